/*
 * Local accounts, and what changing one ends.
 */

#include "t/unit/scratch.h"

#include "auth/accounts.h"
#include "auth/assignments.h"
#include "auth/decide.h"
#include "auth/principals.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"

#define NOW 1795000000


static amld_account_t
add(scratch_t *s, const char *name)
{
    amld_account_t account;

    assert_int_equal(
        amld_account_add(s->registry, name, "open sesame", NOW, &account),
        AMLD_ACCOUNT_OK);

    return account;
}


/* A session of the account; whether it is still good is session_good(). */
static void
session(scratch_t *s, const amld_account_t *account, int64_t now,
        char secret[AMLD_SECRET_SIZE])
{
    amld_sign_in_t sign_in = {.principal = account->principal,
                              .name = account->name,
                              .method = "password",
                              .issuer = AMLD_LOCAL_SPACE,
                              .subject = account->name,
                              .sid = "",
                              .address = "127.0.0.1",
                              .agent = "",
                              .created = now,
                              .expires = now + 3600};
    aml_registry_txn_t *txn;

    assert_int_equal(aml_uuid_random(&sign_in.id), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_begin(txn, &sign_in), AML_REGISTRY_OK);
    assert_int_equal(amld_session_create(txn, &account->principal, &sign_in.id,
                                         "aml.localhost", now, now + 3600,
                                         secret),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static aml_reason_t
session_reason(scratch_t *s, const char *secret, int64_t now)
{
    aml_decider_t *d = aml_decider_new(16);
    aml_registry_txn_t *txn;
    aml_identity_t who;
    aml_reason_t reason;

    assert_non_null(d);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    reason = aml_identify_session(d, txn, aml_str_of(secret),
                                  aml_str("aml.localhost"), now, &who);
    aml_registry_end(txn);
    aml_decider_free(d);

    return reason;
}


static void
names(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        ".a",
        "-a",
        "_a",
        "@a",
        "a b",
        "a/b",
        "a\nb",
        "a:b",
        "a\\b",
        "a%00",
        "\xc3\xa9",
        "a\x7f",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    static const char *const good[] = {
        "a",
        "9",
        "a.b",
        "Alice@example.org",
        "a-_b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    scratch_t *s = *state;
    amld_account_t account;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(
            amld_account_add(s->registry, bad[i], "open sesame", NOW, NULL),
            AMLD_ACCOUNT_NAME);
        assert_int_equal(
            amld_account_check(s->registry, bad[i], "open sesame", &account),
            AMLD_ACCOUNT_REFUSED);
    }
    assert_int_equal(scratch_count(s, "account/"), 0);

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(amld_account_name_valid(good[i]));
    }
}


static void
passwords(void **state)
{
    scratch_t *s = *state;
    amld_account_t account;
    char longest[AML_PASSWORD_MAX + 2];

    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';

    assert_int_equal(amld_account_add(s->registry, "a", "1234567", NOW, NULL),
                     AMLD_ACCOUNT_PASSWORD);
    assert_int_equal(amld_account_add(s->registry, "a", longest, NOW, NULL),
                     AMLD_ACCOUNT_PASSWORD);

    add(s, "Alice");
    assert_int_equal(
        amld_account_check(s->registry, "alice", "open sesame", &account),
        AMLD_ACCOUNT_OK);
    assert_string_equal(account.name, "Alice");
    assert_int_equal(
        amld_account_check(s->registry, "ALICE", "open sesamE", &account),
        AMLD_ACCOUNT_REFUSED);
    assert_int_equal(amld_account_check(s->registry, "alice", "", &account),
                     AMLD_ACCOUNT_REFUSED);
    assert_int_equal(
        amld_account_check(s->registry, "alice", longest, &account),
        AMLD_ACCOUNT_REFUSED);
    assert_int_equal(
        amld_account_check(s->registry, "bob", "open sesame", &account),
        AMLD_ACCOUNT_REFUSED);
}


static void
one_of_a_name(void **state)
{
    scratch_t *s = *state;
    amld_account_t first, second;

    first = add(s, "Alice");
    assert_int_equal(
        amld_account_add(s->registry, "aLICE", "other password", NOW, NULL),
        AMLD_ACCOUNT_EXISTS);
    assert_int_equal(
        amld_account_check(s->registry, "alice", "open sesame", &second),
        AMLD_ACCOUNT_OK);

    /* who comes under the same name later is somebody else */
    assert_int_equal(amld_account_remove(s->registry, "ALICE", NOW),
                     AMLD_ACCOUNT_OK);
    assert_int_equal(amld_account_remove(s->registry, "alice", NOW),
                     AMLD_ACCOUNT_MISSING);
    second = add(s, "alice");
    assert_false(aml_principal_eq(&first.principal, &second.principal));
}


static void
new_password(void **state)
{
    scratch_t *s = *state;
    char of_alice[AMLD_SECRET_SIZE], of_bob[AMLD_SECRET_SIZE];
    amld_account_t alice, bob, now;
    aml_registry_txn_t *txn;
    int64_t issued, again;

    alice = add(s, "alice");
    bob = add(s, "bob");
    session(s, &alice, NOW, of_alice);
    session(s, &bob, NOW, of_bob);
    assert_int_equal(session_reason(s, of_alice, NOW), AML_REASON_OK);

    assert_int_equal(amld_account_set_password(s->registry, "Alice",
                                               "close sesame", NOW + 5),
                     AMLD_ACCOUNT_OK);

    assert_int_equal(session_reason(s, of_alice, NOW + 5),
                     AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(session_reason(s, of_bob, NOW + 5), AML_REASON_OK);
    assert_int_equal(scratch_count(s, "session/"), 1);
    assert_int_equal(scratch_count(s, "sign-in/"), 1);

    assert_int_equal(
        amld_account_check(s->registry, "alice", "open sesame", &now),
        AMLD_ACCOUNT_REFUSED);
    assert_int_equal(
        amld_account_check(s->registry, "alice", "close sesame", &now),
        AMLD_ACCOUNT_OK);
    assert_true(aml_principal_eq(&now.principal, &alice.principal));

    /* what was checked before the change is not good for anything now */
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_false(amld_account_same(txn, &alice));
    assert_true(amld_account_same(txn, &now));
    aml_registry_end(txn);

    /* a sign-in within the same second holds */
    session(s, &now, NOW + 5, of_alice);
    assert_int_equal(session_reason(s, of_alice, NOW + 5), AML_REASON_OK);

    /* until the password changes once more within it */
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(
        amld_principal_issued(txn, &alice.principal, NOW + 5, &issued),
        AML_REGISTRY_OK);
    aml_registry_end(txn);
    assert_int_equal(amld_account_set_password(s->registry, "alice",
                                               "close sesame", NOW + 5),
                     AMLD_ACCOUNT_OK);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(
        amld_principal_issued(txn, &alice.principal, NOW + 5, &again),
        AML_REGISTRY_OK);
    aml_registry_end(txn);
    assert_true(again > issued);

    assert_int_equal(
        amld_account_set_password(s->registry, "carol", "close sesame", NOW),
        AMLD_ACCOUNT_MISSING);
}


static void
assign(scratch_t *s, const aml_principal_id_t *principal, const char *scope)
{
    amld_assignment_t a = {.principal = *principal};
    aml_registry_txn_t *txn;

    assert_int_equal(aml_uuid_random(&a.role), 0);
    assert_int_equal(aml_uuid_random(&a.id), 0);
    snprintf(a.scope, sizeof(a.scope), "%s", scope);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
removal(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE];
    aml_principal_id_t sign_in;
    aml_registry_txn_t *txn;
    amld_account_t alice;
    amld_principal_t p;

    alice = add(s, "alice");
    session(s, &alice, NOW, secret);
    assign(s, &alice.principal, "/subscriptions/x");
    assert_int_equal(scratch_count(s, "assignment"), 3);

    assert_int_equal(amld_account_remove(s->registry, "alice", NOW + 1),
                     AMLD_ACCOUNT_OK);

    assert_int_equal(scratch_count(s, "session/"), 0);
    assert_int_equal(scratch_count(s, "sign-in/"), 0);
    assert_int_equal(scratch_count(s, "account/"), 0);
    assert_int_equal(scratch_count(s, "assignment"), 0);

    /* tokens outlive accounts: the principal stays, and is refused */
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_load(txn, &alice.principal, &p),
                     AML_REGISTRY_OK);
    assert_true(p.flags & AML_PRINCIPAL_DISABLED);
    assert_true(p.not_before > NOW + 1);
    assert_int_equal(p.count, 0);
    amld_principal_clear(&p);

    assert_int_equal(aml_uuid_random(&sign_in), 0);
    assert_int_equal(amld_session_create(txn, &alice.principal, &sign_in, "h",
                                         NOW, NOW + 60, secret),
                     AML_REGISTRY_DENIED);
    aml_registry_end(txn);
}


/* What an administrator has done to the principal survives a new password. */
static void
kept(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn;
    amld_account_t alice;
    amld_principal_t p;

    alice = add(s, "alice");
    assign(s, &alice.principal, "/subscriptions/a");

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_load(txn, &alice.principal, &p),
                     AML_REGISTRY_OK);
    p.flags |= AML_PRINCIPAL_DISABLED;
    assert_int_equal(amld_principal_store(txn, &alice.principal, &p),
                     AML_REGISTRY_OK);
    amld_principal_clear(&p);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(
        amld_account_set_password(s->registry, "alice", "close sesame", NOW),
        AMLD_ACCOUNT_OK);

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_load(txn, &alice.principal, &p),
                     AML_REGISTRY_OK);
    assert_int_equal(p.flags, AML_PRINCIPAL_DISABLED);
    assert_int_equal(p.count, 1);
    assert_true(aml_str_eq(p.list[0].scope, aml_str("/subscriptions/a")));
    assert_string_equal(p.name, "alice");
    amld_principal_clear(&p);
    aml_registry_end(txn);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(passwords, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(one_of_a_name, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(new_password, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(removal, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(kept, scratch_setup, scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
