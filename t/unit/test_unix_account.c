/*
 * Whose account of the machine is somebody's, and which may run instances.
 */

#include "t/unit/scratch.h"

#include <grp.h>
#include <pwd.h>

#include "auth/accounts.h"
#include "auth/pam.h"
#include "computes/engines/unix_account.h"

#define STRANGER "11111111-1111-8111-8111-111111111111"


static int
of(scratch_t *s, const amld_config_t *c, const aml_principal_id_t *id,
   const char *label, char name[AMLD_UNIX_NAME + 1])
{
    char uuid[AML_UUID_TEXT + 1];

    aml_uuid_format(id, uuid);

    return amld_unix_account_of(s->registry, c, uuid, label, name);
}


static void
say(scratch_t *s, const aml_principal_id_t *id, const char *name)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_unix_account_say(txn, id, "https://idp.example",
                                           "preferred_username", name),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* That somebody is called so is not enough. */
static void
labels(void **state)
{
    scratch_t *s = *state;
    amld_pam_config_t pam = {0};
    amld_config_t c = {0};
    amld_account_t account;
    aml_principal_id_t id, stranger;
    char name[AMLD_UNIX_NAME + 1];

    assert_int_equal(aml_uuid_parse(aml_str(STRANGER), &stranger), 0);
    assert_int_equal(
        amld_account_add(s->registry, "ann", "open sesame", 1000, &account),
        AMLD_ACCOUNT_OK);

    /* a local account */
    assert_int_equal(of(s, &c, &account.principal, "ann", name), 0);
    assert_string_equal(name, "ann");
    assert_int_equal(of(s, &c, &stranger, "ann", name), -1);
    assert_int_equal(of(s, &c, &account.principal, "bob", name), -1);

    /* PAM, where it is configured */
    assert_int_equal(amld_pam_principal("carl", &id), 0);
    assert_int_equal(of(s, &c, &id, "carl", name), -1);
    c.pam = &pam;
    assert_int_equal(of(s, &c, &id, "carl", name), 0);
    assert_string_equal(name, "carl");
    assert_int_equal(of(s, &c, &id, "root", name), -1);
    assert_int_equal(of(s, &c, &stranger, "carl", name), -1);
}


static void
claims(void **state)
{
    static const char *const wrong[] = {"",     "-rf",  "a b",
                                        "a/b",  "a\nb", "../root",
                                        "1000", "a:b",  "\xc3\xa4nne"};
    scratch_t *s = *state;
    amld_issuer_config_t issuer = {0};
    amld_config_t c = {.issuers = &issuer, .issuer_count = 1};
    aml_principal_id_t stranger;
    char name[AMLD_UNIX_NAME + 1], iss[] = "https://idp.example",
                                   claim[] = "preferred_username",
                                   other[] = "sub";
    size_t k;

    issuer.iss = calloc(1, sizeof(*issuer.iss));
    assert_non_null(issuer.iss);
    issuer.iss[0].iss = iss;
    issuer.iss_count = 1;
    issuer.account_claim = claim;

    assert_int_equal(aml_uuid_parse(aml_str(STRANGER), &stranger), 0);

    say(s, &stranger, "dora");
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), 0);
    assert_string_equal(name, "dora");

    /* only as long as it is what the operator wants to hear */
    issuer.account_claim = other;
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);
    issuer.account_claim = NULL;
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);
    issuer.account_claim = claim;
    iss[8] = 'x';
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);
    iss[8] = 'i';
    c.issuer_count = 0;
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);
    c.issuer_count = 1;
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), 0);

    for (k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        say(s, &stranger, "dora");
        say(s, &stranger, wrong[k]);
        assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);
    }

    /* a start sweeps what does not count, so that it never does again */
    say(s, &stranger, "dora");
    assert_int_equal(amld_unix_account_sweep(s->registry, &c), AML_REGISTRY_OK);
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), 0);
    for (k = 0; k < 600; k++) {
        assert_int_equal(aml_principal_derive(
                             aml_str("urn:test"),
                             (aml_str_t){(char *) &k, sizeof(k)}, &stranger),
                         0);
        say(s, &stranger, "dora");
    }
    issuer.account_claim = other;
    assert_int_equal(amld_unix_account_sweep(s->registry, &c), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "unix-account/"), 0);
    issuer.account_claim = claim;
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);

    say(s, &stranger, "dora");
    say(s, &stranger, NULL);
    assert_int_equal(of(s, &c, &stranger, "Dora D.", name), -1);
    assert_int_equal(scratch_count(s, "unix-account/"), 0);
    free(issuer.iss);
}


static void
which_may(void **state)
{
    uid_t gateway;
    amld_config_t c = {.unix_accounts_least = 1};
    amld_unix_account_t account;
    struct passwd *pw = getpwnam("daemon");
    char err[512];

    (void) state;
    assert_non_null(pw);
    gateway = pw->pw_uid;

    assert_int_equal(
        amld_unix_account_get(&c, "daemon", &account, err, sizeof(err)), 0);
    assert_int_equal(account.uid, gateway);
    assert_string_equal(account.name, "daemon");

    assert_int_equal(
        amld_unix_account_get(&c, "root", &account, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "root's"));

    c.unix_accounts_least = 1000;
    assert_int_equal(
        amld_unix_account_get(&c, "daemon", &account, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "unix_accounts_least"));

    c.unix_accounts_least = 1;
    c.gateway_uids = &gateway;
    c.gateway_uid_count = 1;
    assert_int_equal(
        amld_unix_account_get(&c, "daemon", &account, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "the gateway's"));

    assert_int_equal(
        amld_unix_account_get(&c, "nobody-here", &account, err, sizeof(err)),
        -1);
    assert_non_null(strstr(err, "There is no account \"nobody-here\""));
}


static void
group_of_the_gateway(void **state)
{
    uid_t uid = getpwnam("daemon")->pw_uid;
    amld_config_t c = {0};
    gid_t gid;

    (void) state;

    assert_int_equal(amld_unix_gateway_group(&c, &gid), -1);
    c.gateway_uids = &uid;
    c.gateway_uid_count = 1;
    assert_int_equal(amld_unix_gateway_group(&c, &gid), 0);
    assert_int_equal(gid, getpwnam("daemon")->pw_gid);
    c.registry_group = (char *) "mail";
    assert_int_equal(amld_unix_gateway_group(&c, &gid), 0);
    assert_int_equal(gid, getgrnam("mail")->gr_gid);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(labels, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(claims, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(which_may),
        cmocka_unit_test(group_of_the_gateway),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
