/*
 * Services under a real supervisor: this program is also what it starts as the
 * application, and the shim.
 */

#include "t/unit/supervisor_fixture.h"

#include "computes/services/service.h"

#define PATIENCE 3000 /* of 10 ms */


/* As many as there may be, of which each name begins with `prefix`. */
static void
give(world_t *w, const char *prefix)
{
    amld_t d = {.wake = w->wake};
    char name[16];
    int k;
    aml_registry_txn_t *txn;
    json_t *doc, *list = json_array();

    for (k = 0; k < AMLD_SERVICES_MAX; k++) {
        snprintf(name, sizeof(name), "%s%d", prefix, k);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:{}, s:[], s:b}", "name",
                                        name, "command", "exec sleep 1000",
                                        "environmentVariables", "endpoints",
                                        "autoStart", 1));
    }

    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &w->key, &doc), AML_REGISTRY_OK);
    assert_int_equal(json_object_set_new(json_object_get(doc, "requested"),
                                         "customServices", list),
                     0);
    assert_int_equal(amld_compute_store(txn, &w->config, &w->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_notify(txn, &w->key), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
    amld_wake(&d);
}


static int
running(world_t *w, const char *prefix)
{
    char name[16];
    int k, n;
    json_t *doc = load(w);

    for (k = 0, n = 0; k < AMLD_SERVICES_MAX; k++) {
        snprintf(name, sizeof(name), "%s%d", prefix, k);
        n += amld_service_state(doc, name) == AMLD_SERVICE_RUNNING;
    }
    json_decref(doc);

    return n;
}


static void
all_run(world_t *w, const char *prefix)
{
    int i, n = 0;

    for (i = 0; i < PATIENCE && n != AMLD_SERVICES_MAX; i++) {
        n = running(w, prefix);
        usleep(10000);
    }
    assert_int_equal(n, AMLD_SERVICES_MAX);
}


/* There are not places for both: the new ones get those of the old. */
static void
replaced(void **state)
{
    world_t *w = *state;

    behave(w, "");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    give(w, "a");
    all_run(w, "a");
    give(w, "b");
    all_run(w, "b");
    assert_int_equal(running(w, "a"), 0);
}


int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaced, setup, teardown),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "server") == 0) {
        return stand_in(argc, argv);
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("service_run", tests, NULL, NULL);
}
