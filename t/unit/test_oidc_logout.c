/*
 * Ends that a provider has to do with: logout tokens end what they are about,
 * once; whoever signs out takes what the provider wants to see with them.
 */

#include "t/unit/oidc_fixture.h"

#include "auth/oidc_logout.h"
#include "auth/sealed.h"
#include "auth/sign_in_secrets.h"
#include "auth/sign_ins.h"

#define TIMES "\"iat\":1795000000,\"exp\":1795000100"
#define EVENTS "\"events\":{" EVENT ":{}}"


static aml_registry_txn_t *
writing(oidc_t *o)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);

    return txn;
}


/* A sign-in of `subject`, in the provider's session `sid`. */
static aml_principal_id_t
signed_in(oidc_t *o, const char *method, const char *subject, const char *sid)
{
    amld_sign_in_t s = {.name = "Ada",
                        .method = method,
                        .issuer = ISS,
                        .subject = subject,
                        .sid = sid,
                        .address = "192.0.2.1",
                        .agent = "Browser/1",
                        .created = NOW,
                        .expires = NOW + 1000};
    aml_registry_txn_t *txn = writing(o);

    assert_int_equal(
        aml_principal_derive(aml_str(ISS), aml_str_of(subject), &s.principal),
        0);
    assert_int_equal(aml_uuid_random(&s.id), 0);
    assert_int_equal(amld_sign_in_begin(txn, &s), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    return s.id;
}


static int
lasts(oidc_t *o, aml_principal_id_t id)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_sign_in_t s;
    json_t *json;

    assert_int_equal(aml_registry_read(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    rc = amld_sign_in_get(txn, &id, &s, &json);
    json_decref(json);
    aml_registry_end(txn);

    return rc == AML_REGISTRY_OK;
}


/* What comes of a logout token with these claims; `ended` sign-ins. */
static aml_registry_rc_t
logout(oidc_t *o, const char *claims, size_t *ended)
{
    char text[512];
    amld_oidc_who_t who;
    aml_registry_rc_t rc;

    (void) snprintf(text, sizeof(text), TIMES "," EVENTS ",%s", claims);
    assert_int_equal(oidc_logout(o, text, &who), AML_REASON_OK);
    rc = amld_oidc_logout(o->scratch->registry, &who, NOW, ended);
    json_decref(who.claims);

    return rc;
}


static void
test_by_sid(void **state)
{
    oidc_t *o = *state;
    aml_principal_id_t one = signed_in(o, "oidc", "s-1", "p-1"),
                       two = signed_in(o, "oidc", "s-1", "p-2"),
                       same = signed_in(o, "oidc", "s-2", "p-1"),
                       without = signed_in(o, "oidc", "s-1", ""),
                       device = signed_in(o, "device", "s-1", "");
    size_t ended;

    assert_int_equal(
        logout(o, "\"jti\":\"1\",\"sid\":\"p-1\",\"sub\":\"s-1\"", &ended),
        AML_REGISTRY_OK);
    assert_int_equal(ended, 3);
    assert_false(lasts(o, one));
    assert_false(lasts(o, same));
    assert_true(lasts(o, two));
    assert_false(lasts(o, without)); /* nothing tells that it is another */
    assert_true(lasts(o, device));

    assert_int_equal(logout(o, "\"jti\":\"2\",\"sid\":\"p-2\"", &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 1);
    assert_false(lasts(o, two));

    /* nobody's */
    assert_int_equal(logout(o, "\"jti\":\"3\",\"sid\":\"p-9\"", &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 0);
}


static void
test_by_sub(void **state)
{
    oidc_t *o = *state;
    aml_principal_id_t one = signed_in(o, "oidc", "s-1", "p-1"),
                       two = signed_in(o, "oidc", "s-1", ""),
                       other = signed_in(o, "oidc", "s-2", "p-2");
    size_t ended;

    assert_int_equal(logout(o, "\"jti\":\"1\",\"sub\":\"s-1\"", &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 2);
    assert_false(lasts(o, one));
    assert_false(lasts(o, two));
    assert_true(lasts(o, other));
}


static void
test_once(void **state)
{
    oidc_t *o = *state;
    aml_principal_id_t id;
    size_t ended;

    assert_int_equal(logout(o, "\"jti\":\"1\",\"sub\":\"s-1\"", &ended),
                     AML_REGISTRY_OK);
    id = signed_in(o, "oidc", "s-1", "p-1");
    assert_int_equal(logout(o, "\"jti\":\"1\",\"sub\":\"s-1\"", &ended),
                     AML_REGISTRY_DENIED);
    assert_int_equal(ended, 0);
    assert_true(lasts(o, id));
    assert_int_equal(logout(o, "\"jti\":\"2\",\"sub\":\"s-1\"", &ended),
                     AML_REGISTRY_OK);
    assert_false(lasts(o, id));
}


static int
is_out(oidc_t *o, const char *subject, const char *sid, int64_t issued,
       int64_t now)
{
    amld_oidc_who_t who = {.iss = ISS, .subject = subject, .sid = sid};
    aml_registry_txn_t *txn;
    int out;

    who.identity.issued = issued;
    assert_int_equal(aml_registry_read(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    out = amld_oidc_logged_out(txn, &who, now);
    aml_registry_end(txn);

    return out;
}


/* A sign-in that was under way while its session ended does not begin. */
static void
test_meanwhile(void **state)
{
    oidc_t *o = *state;
    size_t ended;

    assert_int_equal(
        logout(o, "\"jti\":\"1\",\"sid\":\"p-1\",\"sub\":\"s-1\"", &ended),
        AML_REGISTRY_OK);
    assert_int_equal(is_out(o, "s-1", "p-1", NOW, NOW), 1);
    assert_int_equal(is_out(o, "s-1", "p-1", NOW - 5, NOW + 5), 1);
    assert_int_equal(is_out(o, "s-1", "p-1", NOW + 1, NOW + 5), 0);
    assert_int_equal(is_out(o, "s-1", "p-2", NOW, NOW), 0);
    assert_int_equal(is_out(o, "s-1", "p-1", NOW, NOW + AMLD_LOGOUT_LIFETIME),
                     0);

    assert_int_equal(logout(o, "\"jti\":\"2\",\"sub\":\"s-2\"", &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(is_out(o, "s-2", "p-7", NOW, NOW), 1);
    assert_int_equal(is_out(o, "s-2", "", NOW, NOW), 1);
    assert_int_equal(is_out(o, "s-3", "", NOW, NOW), 0);
}


static amld_sealer_t *
sealer_of(oidc_t *o)
{
    char path[128];
    amld_sealer_t *sealer;

    (void) snprintf(path, sizeof(path), "%s/sealing-keys", o->scratch->dir);
    sealer = amld_sealer_new(path);
    assert_non_null(sealer);

    return sealer;
}


static aml_registry_rc_t
leave(oidc_t *o, const amld_sealer_t *sealer, aml_principal_id_t id,
      char code[AMLD_SECRET_SIZE])
{
    aml_registry_txn_t *txn = writing(o);
    aml_registry_rc_t rc = amld_oidc_leave_begin(txn, sealer, &id, NOW, code);

    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    return rc;
}


static void
test_leave(void **state)
{
    oidc_t *o = *state;
    amld_sealer_t *sealer = sealer_of(o);
    aml_principal_id_t id = signed_in(o, "oidc", "s-1", "p-1");
    amld_sign_in_secret_t kept = {.id_token = "an-id-token",
                                  .refresh_token = "a-refresh-token",
                                  .due = NOW + 100};
    const char *iss, *id_token;
    char code[AMLD_SECRET_SIZE];
    aml_registry_txn_t *txn = writing(o);
    json_t *json;

    assert_int_equal(amld_sign_in_secret_put(txn, sealer, &id, &kept),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    /* good once */
    assert_int_equal(leave(o, sealer, id, code), AML_REGISTRY_OK);
    assert_int_equal(amld_oidc_leave_take(o->scratch->registry, sealer, code,
                                          NOW + 1, &iss, &id_token, &json),
                     AML_REGISTRY_OK);
    assert_string_equal(iss, ISS);
    assert_string_equal(id_token, "an-id-token");
    amld_sign_in_secret_forget(json);
    assert_int_equal(amld_oidc_leave_take(o->scratch->registry, sealer, code,
                                          NOW + 1, &iss, &id_token, &json),
                     AML_REGISTRY_NOTFOUND);

    /* and for a minute */
    assert_int_equal(leave(o, sealer, id, code), AML_REGISTRY_OK);
    assert_int_equal(amld_oidc_leave_take(o->scratch->registry, sealer, code,
                                          NOW + AMLD_LEAVE_LIFETIME, &iss,
                                          &id_token, &json),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_oidc_leave_take(o->scratch->registry, sealer, NULL,
                                          NOW, &iss, &id_token, &json),
                     AML_REGISTRY_NOTFOUND);

    /* not of whoever has signed in otherwise */
    assert_int_equal(
        leave(o, sealer, signed_in(o, "password", "s-1", ""), code),
        AML_REGISTRY_NOTFOUND);

    /* ending the sign-in takes its secrets along */
    assert_int_equal(scratch_count(o->scratch, "sign-in-secret/"), 1);
    txn = writing(o);
    assert_int_equal(amld_sign_in_end(txn, &id), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(o->scratch, "sign-in-secret/"), 0);

    amld_sealer_free(sealer);
}


typedef struct {
    size_t n;
    int64_t due;
} due_t;


static int
due_each(void *data, const aml_principal_id_t *sign_in, int64_t due)
{
    due_t *d = data;

    (void) sign_in;
    d->n++;
    d->due = due;

    return 0;
}


static due_t
all_due(oidc_t *o)
{
    aml_registry_txn_t *txn;
    due_t d = {0};

    assert_int_equal(aml_registry_read(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_secrets_each(txn, due_each, &d),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    return d;
}


static void
test_secrets(void **state)
{
    oidc_t *o = *state;
    amld_sealer_t *sealer = sealer_of(o);
    amld_sign_in_secret_t kept = {.id_token = "an-id-token",
                                  .refresh_token = "a-refresh-token",
                                  .due = NOW + 100},
                          got;
    aml_principal_id_t one = {{1}}, two = {{2}};
    char key[AMLD_SECRET_KEY_SIZE], other[AMLD_SECRET_KEY_SIZE];
    aml_registry_txn_t *txn = writing(o);
    aml_str_t value;
    json_t *json;

    assert_int_equal(amld_sign_in_secret_mark(txn, &one, NOW, 1),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_sign_in_secret_put(txn, sealer, &one, &kept),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_secret_mark(txn, &one, NOW + 5, 1),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_secret_get(txn, sealer, &one, &got, &json),
                     AML_REGISTRY_OK);
    assert_string_equal(got.refresh_token, "a-refresh-token");
    assert_string_equal(got.id_token, "an-id-token");
    assert_int_equal(got.due, NOW + 5);
    assert_int_equal(got.asked, 1);
    amld_sign_in_secret_forget(json);

    /* what is one sign-in's opens for no other; nothing is there in clear */
    assert_int_equal(
        aml_registry_get(txn, key, amld_sign_in_secret_key(&one, key), &value),
        AML_REGISTRY_OK);
    assert_null(memmem(value.p, value.n, "token", 5));
    assert_int_equal(aml_registry_put(txn, other,
                                      amld_sign_in_secret_key(&two, other),
                                      value.p, value.n),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_secret_get(txn, sealer, &two, &got, &json),
                     AML_REGISTRY_NOTFOUND);
    assert_null(json);
    assert_int_equal(amld_sign_in_secret_mark(txn, &two, 0, 0),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(all_due(o).n, 1);
    assert_int_equal(all_due(o).due, NOW + 5);

    amld_sealer_free(sealer);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_sid, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_by_sub, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_once, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_meanwhile, oidc_setup,
                                        oidc_teardown),
        cmocka_unit_test_setup_teardown(test_leave, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_secrets, oidc_setup,
                                        oidc_teardown),
    };

    amld_log_level((amld_log_level_t) -1);

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_logout", tests, NULL, NULL);
}
