/*
 * Whose a compute is: made for another, and what others may say and see of it.
 */

#include "t/unit/arm_bodies.h"
#include "t/unit/ssh_keys.h"

#define STRANGER "22222222-2222-8222-8222-222222222222"

static void
for_another(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    known(s, MINE, "ann", 0);
    known(s, THEIRS, "bob", 0);
    known(s, "22222222-2222-8222-8222-222222222222", "out",
          AML_PRINCIPAL_DISABLED);
    known(s, "33333333-3333-8333-8333-333333333333", "all",
          AML_PRINCIPAL_GROUP);

    a = call(s, "PUT", LAB, INSIDE(FOR(THEIRS)));
    assert_int_equal(a.status, 201);
    assert_string_equal(at(&a,
                           P "personalComputeInstanceSettings/assignedUser/"
                             "objectId",
                           v),
                        THEIRS);
    assert_string_equal(at(&a, P "createdBy/userId", v), MINE);
    assert_string_equal(at(&a, P "createdBy/userName", v), "ann");
    assert_int_equal(scratch_count(s->scratch, "compute-of/" THEIRS), 1);
    assert_int_equal(scratch_count(s->scratch, "compute-of/" MINE), 0);
    assert_int_equal(scratch_count(s->scratch, "compute-by/" MINE), 1);
    assert_int_equal(scratch_count(s->scratch, "folder/s-1/rg/demo/bob"), 1);

    /* who is no person, or is not let in */
    a = call(s, "PUT", W "/computes/lab-b" V,
             INSIDE(FOR("22222222-2222-8222-8222-222222222222")));
    assert_error(a, 400, "PrincipalNotFound");
    assert_non_null(strstr(at(&a, "error/message", v),
                           "22222222-2222-8222-8222-222222222222"));
    assert_error(call(s, "PUT", W "/computes/lab-b" V,
                      INSIDE(FOR("33333333-3333-8333-8333-333333333333"))),
                 400, "PrincipalNotFound");

    set_state(s, "lab", AMLD_STATE_RUNNING);

    /* theirs to change, and whoever asked for it may name them again */
    assert_int_equal(call_by(s, THEIRS, "PUT", LAB,
                             INSIDE("\"idleTimeBeforeShutdown\":"
                                    "\"PT30M\""))
                         .status,
                     200);
    assert_int_equal(call(s, "PUT", LAB, INSIDE(FOR(THEIRS))).status, 200);
    a = call(s, "PUT", LAB, INSIDE(FOR(MINE)));
    assert_error(a, 400, "PropertyChangeNotAllowed");
    assert_error(call_by(s, THEIRS, "PUT", LAB, INSIDE(FOR(MINE))), 400,
                 "PropertyChangeNotAllowed");

    /* who names nobody wants one of their own */
    assert_error(call(s, "PUT", LAB, BODY), 409, "NameNotAvailable");
}


/* As the user's own directory calls them. */
static void
for_an_object_of_a_tenant(void **state)
{
#define TENANT "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define OBJECT "aaaabbbb-0000-4000-8000-ccccddddeeee"
#define OF                                                                     \
    "\"personalComputeInstanceSettings\":{\"assignedUser\":{\"objectId\":"     \
    "\"AAAABBBB-0000-4000-8000-CCCCDDDDEEEE\",\"tenantId\":\"" TENANT "\"}}"
    server_t *s = *state;
    char id[AML_UUID_TEXT + 1], v[1024];
    aml_principal_id_t principal;
    answer_t a;

    assert_int_equal(
        aml_principal_derive(aml_str(TENANT), aml_str(OBJECT), &principal), 0);
    aml_uuid_format(&principal, id);

    /* oneself, of whom there need be no record */
    a = call_by(s, id, "PUT", W "/computes/own" V, INSIDE(OF));
    assert_int_equal(a.status, 201);
    assert_string_equal(at(&a, P "createdBy/userId", v), id);
    assert_int_equal(call_by(s, id, "PUT", W "/computes/own" V, BODY).status,
                     200);

    assert_error(call(s, "PUT", LAB, INSIDE(OF)), 400, "PrincipalNotFound");
    known(s, id, "eve", 0);
    assert_error(call(s, "PUT", LAB, INSIDE(FOR(OBJECT))), 400,
                 "PrincipalNotFound");
    a = call(s, "PUT", LAB, INSIDE(OF));
    assert_int_equal(a.status, 201);
    assert_string_equal(at(&a,
                           P "personalComputeInstanceSettings/assignedUser/"
                             "objectId",
                           v),
                        id);
}


/* A script runs as the owner, and a key lets in as them: whoever else may write
 * computes gives neither. */
static void
scripts_are_the_owners(void **state)
{
#define OURS SCRIPT("startupScript", ECHO)
#define OTHER                                                                  \
    SCRIPT("creationScript",                                                   \
           "\"scriptSource\":\"inline\",\"scriptData\":\"bHM=\"")
    server_t *s = *state;
    char v[1024];
    answer_t a;

    known(s, THEIRS, "bob", 0);

    a = call(s, "PUT", LAB, INSIDE(FOR(THEIRS) "," OURS));
    assert_error(a, 403, "OwnerOnly");
    assert_string_equal(at(&a, "error/target", v),
                        "properties.properties.setupScripts");
    a = call(s, "PUT", LAB,
             INSIDE(FOR(THEIRS) "," SCRIPT(
                 "startupScript", "\"scriptSource\":\"workspaceStorage\","
                                  "\"scriptData\":\"Users/bob/x.sh\"")));
    assert_error(a, 403, "OwnerOnly");
    a = call(s, "PUT", LAB,
             INSIDE(FOR(THEIRS) ",\"sshSettings\":{\"sshPublicAccess\":"
                                "\"Enabled\",\"adminPublicKey\":"
                                "\"" ED25519 "\"}"));
    assert_error(a, 403, "OwnerOnly");
    assert_string_equal(at(&a, "error/target", v),
                        "properties.properties.sshSettings.adminPublicKey");
    assert_int_equal(scratch_count(s->scratch, "compute/"), 0);
    assert_int_equal(scratch_count(s->scratch, "quota/"), 0);
    assert_false(woken(s));

    /* to name oneself changes nothing */
    assert_int_equal(
        call_by(s, THEIRS, "PUT", LAB, INSIDE(FOR(THEIRS) "," OURS)).status,
        201);

    /* nor when it is tried again */
    set_state(s, "lab", AMLD_STATE_SETUP_FAILED);
    a = call(s, "PUT", LAB, INSIDE(FOR(THEIRS) "," OTHER));
    assert_error(a, 403, "OwnerOnly");
    a = call_by(s, THEIRS, "GET", LAB, NULL);
    assert_string_equal(at(&a, P "state", v), "SetupFailed");
    assert_string_equal(
        at(&a, P "setupScripts/scripts/startupScript/scriptData", v),
        "ZWNobw==");

    /* with those that there are, or without a word of them, it may be */
    a = call(s, "PUT", LAB, INSIDE(FOR(THEIRS) "," OURS));
    assert_int_equal(a.status, 200);
    set_state(s, "lab", AMLD_STATE_CREATE_FAILED);
    a = call(s, "PUT", LAB, INSIDE(FOR(THEIRS)));
    assert_int_equal(a.status, 200);
    set_state(s, "lab", AMLD_STATE_CREATE_FAILED);
    a = call_by(s, THEIRS, "PUT", LAB, INSIDE(OTHER));
    assert_int_equal(a.status, 200);
}


/* What the supervisor does when a start fails. */
static void
set_failed(server_t *s, const char *name)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    static const char message[] = "The script failed. It was status 3. The "
                                  "end of its log:\n+ token=t0p\ndone";

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    assert_int_equal(
        amld_operation_end(txn, doc, "ComputeInstanceSetupFailed", message),
        AML_REGISTRY_OK);
    amld_compute_set_error(doc, "ComputeInstanceSetupFailed", message);
    amld_compute_set_state(doc, AMLD_STATE_SETUP_FAILED);
    assert_int_equal(amld_compute_store(txn, &s->config, &key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
}


/* Scripts, and the ends of logs, are for the owner alone: others may read the
 * compute, also those who have asked for it. */
static void
secrets_are_the_owners(void **state)
{
    static const char *const targets[] = {
        LAB,
        W "/computes" V,
        LAB "&operation=%s",
        LAB "&operation=%s&result=true",
    };
    static const char *const askers[] = {THEIRS, MINE, STRANGER};
    server_t *s = *state;
    char v[1024], id[64], target[512];
    const char *operation;
    size_t i, k;
    int own;
    answer_t a;

    known(s, THEIRS, "bob", 0);
    assert_int_equal(call(s, "PUT", LAB, INSIDE(FOR(THEIRS))).status, 201);
    set_state(s, "lab", AMLD_STATE_CREATE_FAILED);
    a = call_by(s, THEIRS, "PUT", LAB,
                INSIDE(SCRIPT("startupScript",
                              ECHO ",\"scriptArguments\":\"--key t0p\"")));
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "t0p"));
    operation = strstr(a.headers, "operation=");
    assert_non_null(operation);
    snprintf(id, sizeof(id), "%.32s", operation + strlen("operation="));

    set_failed(s, "lab");

    for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        for (k = 0; k < sizeof(askers) / sizeof(askers[0]); k++) {
            own = k == 0;
            snprintf(target, sizeof(target), targets[i], id);
            a = call_by(s, askers[k], "GET", target, NULL);

            if (a.status != (i == 3 ? 409 : 200) ||
                (memmem(a.body, a.body_len, "token=t0p", 9) != NULL) != own ||
                memmem(a.body, a.body_len, "It was status 3.", 16) == NULL ||
                (i < 2 &&
                 ((memmem(a.body, a.body_len, "--key t0p", 9) != NULL) != own ||
                  (memmem(a.body, a.body_len, "ZWNobw", 6) != NULL) != own))) {
                fail_msg("%s by %s: %ld %.*s", target, askers[k], a.status,
                         (int) a.body_len, a.body);
            }
        }
    }

    a = call(s, "GET", LAB, NULL);
    assert_string_equal(at(&a, P "errors/0/error/message", v),
                        "The script failed. It was status 3.");
    assert_string_equal(at(&a, P "errors/0/error/code", v),
                        "ComputeInstanceSetupFailed");
    a = call(s, "PUT", LAB, INSIDE(FOR(THEIRS)));
    assert_int_equal(a.status, 200);
    assert_null(memmem(a.body, a.body_len, "t0p", 3));

    /* the next of that name is somebody else's */
    set_state(s, "lab", AMLD_STATE_STOPPED);
    gone(s, "lab");
    assert_int_equal(call_by(s, STRANGER, "PUT", LAB, BODY).status, 201);
    snprintf(target, sizeof(target), LAB "&operation=%s", id);
    a = call_by(s, STRANGER, "GET", target, NULL);
    assert_int_equal(a.status, 200);
    assert_null(memmem(a.body, a.body_len, "t0p", 3));
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, arm_setup, arm_teardown)
    const struct CMUnitTest tests[] = {
        TEST(for_another),
        TEST(for_an_object_of_a_tenant),
        TEST(scripts_are_the_owners),
        TEST(secrets_are_the_owners),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("arm_owner", tests, NULL, NULL);
}
