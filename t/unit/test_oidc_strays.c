/*
 * What becomes of sign-ins whose provider, or whose key, is there no more.
 */

#include "t/unit/oidc_fixture.h"

#include "t/unit/log_capture.h"

#include "auth/oidc.h"
#include "auth/oidc_strays.h"
#include "auth/sign_in_secrets.h"
#include "auth/sign_ins.h"

#define MANY 600 /* more than are ended at once */


static aml_registry_txn_t *
writing(oidc_t *o)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);

    return txn;
}


static void
sign_in(oidc_t *o, const char *method, const char *issuer, size_t count)
{
    amld_sign_in_t s = {.name = "Ada",
                        .method = method,
                        .issuer = issuer,
                        .subject = "ada",
                        .sid = "",
                        .address = "192.0.2.1",
                        .agent = "Browser/1",
                        .created = NOW,
                        .expires = NOW + 1000,
                        .principal = {{1}}};
    aml_registry_txn_t *txn = writing(o);

    for (; count > 0; count--) {
        assert_int_equal(aml_uuid_random(&s.id), 0);
        assert_int_equal(amld_sign_in_begin(txn, &s), AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
test_providers(void **state)
{
    oidc_t *o = *state;
    int saved = log_begin(o->scratch);
    size_t ended;

    sign_in(o, "oidc", ISS, MANY);
    sign_in(o, "device", ISS, 1);
    sign_in(o, "oidc", OTHER_ISS, 1);
    sign_in(o, "password", "urn:aml:local", 1);

    /* that people can't sign in there any more ends nothing */
    o->issuers[0].sign_in = 0;
    assert_ptr_equal(amld_oidc_issuer(&o->config, ISS), &o->issuers[0]);
    assert_int_equal(amld_oidc_strays_end(&o->d, &ended), AML_REGISTRY_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(logged("sign-out"), 0);

    free(o->issuers[0].client_id);
    o->issuers[0].client_id = NULL;
    assert_null(amld_oidc_issuer(&o->config, ISS));
    assert_int_equal(amld_oidc_strays_end(&o->d, &ended), AML_REGISTRY_OK);
    assert_int_equal(ended, MANY + 1);
    assert_int_equal(logged("sign-out: 601 by providers"), 1);
    assert_int_equal(scratch_count(o->scratch, "sign-in-of/"), 2);

    o->config.issuer_count = 0;
    assert_int_equal(amld_oidc_strays_end(&o->d, &ended), AML_REGISTRY_OK);
    assert_int_equal(ended, 1);
    assert_int_equal(scratch_count(o->scratch, "sign-in-of/"), 1);
    log_end(saved);
}


/* With `due` 0 it is not to be renewed. */
static void
keep(oidc_t *o, const amld_sealer_t *sealer, int64_t due)
{
    amld_sign_in_secret_t secret = {
        .id_token = "i", .refresh_token = "r", .due = due};
    aml_registry_txn_t *txn = writing(o);
    aml_principal_id_t id;

    assert_int_equal(aml_uuid_random(&id), 0);
    assert_int_equal(amld_sign_in_secret_put(txn, sealer, &id, &secret),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
test_keys(void **state)
{
    oidc_t *o = *state;
    int saved = log_begin(o->scratch);
    amld_sealer_t *sealer;
    char path[128];
    size_t count;

    (void) snprintf(path, sizeof(path), "%s/sealing-keys", o->scratch->dir);
    sealer = amld_sealer_new(path);
    assert_non_null(sealer);
    keep(o, sealer, NOW);
    keep(o, sealer, NOW);
    keep(o, sealer, 0);
    assert_int_equal(amld_oidc_strays_sealed(&o->d, sealer, path, &count),
                     AML_REGISTRY_OK);
    assert_int_equal(count, 0);
    assert_int_equal(logged("can't be renewed"), 0);
    amld_sealer_free(sealer);

    /* lost, and made again */
    assert_int_equal(unlink(path), 0);
    sealer = amld_sealer_new(path);
    assert_non_null(sealer);
    keep(o, sealer, NOW);
    assert_int_equal(amld_oidc_strays_sealed(&o->d, sealer, path, &count),
                     AML_REGISTRY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(logged("2 sign-ins can't be renewed"), 1);
    amld_sealer_free(sealer);
    log_end(saved);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_providers, oidc_setup,
                                        oidc_teardown),
        cmocka_unit_test_setup_teardown(test_keys, oidc_setup, oidc_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_strays", tests, NULL, NULL);
}
