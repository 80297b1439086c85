/*
 * Custom services as they are asked for, kept and answered; which addresses the
 * gateway gets for them.
 */

#include "t/unit/scratch.h"

#include "computes/instances/computes.h"
#include "computes/instances/routes.h"
#include "computes/services/service.h"
#include "computes/services/service_etag.h"
#include "computes/services/service_read.h"
#include "upstreams/host.h"
#include "upstreams/peer.h"

#define CREATOR "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define W                                                                      \
    "/subscriptions/s/resourceGroups/g/providers/"                             \
    "Microsoft.MachineLearningServices/workspaces/w"


static json_t *
read_text(const char *text, amld_arm_fault_t *fault)
{
    json_t *out, *value = json_loads(text, 0, NULL);

    assert_non_null(value);
    memset(fault, 0, sizeof(*fault));
    if (amld_services_read(value, "t", &out, fault) != 0) {
        json_decref(out);
        out = NULL;
    }
    json_decref(value);

    return out;
}


static void
test_one_form(void **state)
{
    json_t *list, *wanted;
    amld_arm_fault_t fault;

    (void) state;
    list = read_text(
        "[{\"name\":\"a\",\"command\":\"x\",\"type\":\"docker\",\"docker\":"
        "{\"privileged\":true},\"volumes\":[],\"kernel\":null,\"state\":\"x\","
        "\"image\":{\"type\":\"docker\",\"reference\":null},"
        "\"environmentVariables\":{\"B\":{\"value\":\"c\"}},"
        "\"endpoints\":[{\"target\":5000,\"published\":null,\"hostIp\":null},"
        "{\"name\":\"n\",\"protocol\":\"TCP\",\"target\":80,"
        "\"published\":8000}]},{\"name\":\"b\"}]",
        &fault);
    wanted = json_loads(
        "[{\"name\":\"a\",\"command\":\"x\",\"autoStart\":true,"
        "\"environmentVariables\":{\"B\":{\"type\":\"local\",\"value\":\"c\"}},"
        "\"endpoints\":[{\"name\":\"connect\",\"protocol\":\"http\","
        "\"target\":5000,\"published\":5000},{\"name\":\"n\","
        "\"protocol\":\"tcp\",\"target\":80,\"published\":8000}]},"
        "{\"name\":\"b\"}]",
        0, NULL);
    assert_non_null(list);
    assert_true(json_equal(list, wanted));
    json_decref(list);
    json_decref(wanted);
}


static void
test_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[7]",
        "[{\"name\":7,\"command\":\"x\"}]",
        "[{\"name\":\"-a\",\"command\":\"x\"}]",
        "[{\"name\":\"a.b\",\"command\":\"x\"}]",
        "[{\"name\":\"a\",\"command\":7}]",
        "[{\"name\":\"a\",\"image\":7}]",
        "[{\"name\":\"a\",\"image\":{\"reference\":7}}]",
        "[{\"name\":\"a\",\"image\":{\"reference\":\"-v\"}}]",
        "[{\"name\":\"a\",\"image\":{\"reference\":\"a b\"}}]",
        "[{\"name\":\"a\",\"image\":{\"type\":\"azureml\","
        "\"reference\":\"a\"}}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"autoStart\":\"yes\"}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"kernel\":{}}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":{}}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":[7]}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":[{}]}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":[{\"target\":0}]}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":"
        "[{\"target\":5000,\"published\":22}]}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":"
        "[{\"target\":5000,\"name\":7}]}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"environmentVariables\":[]}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"environmentVariables\":"
        "{\"\":{\"value\":\"x\"}}}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"environmentVariables\":"
        "{\"A=B\":{\"value\":\"x\"}}}]",
        "[{\"name\":\"a\",\"command\":\"x\",\"environmentVariables\":"
        "{\"A\":\"x\"}}]",
    };
    size_t i;
    amld_arm_fault_t fault;

    (void) state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_text(bad[i], &fault) != NULL) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_string_equal(fault.code, "UserError");
        assert_string_equal(fault.target, "t");
        assert_true(fault.message[0] != '\0');
    }
}


static void
test_merge_and_fit(void **state)
{
    json_t *old, *list, *merged;
    amld_config_t c = {.engine = (char *) "process"};
    amld_arm_fault_t fault;

    (void) state;
    old = read_text("[{\"name\":\"a\",\"command\":\"x\",\"endpoints\":"
                    "[{\"target\":5000}]}]",
                    &fault);
    list = read_text("[{\"name\":\"a\"},{\"name\":\"b\",\"image\":"
                     "{\"reference\":\"r\"},\"endpoints\":"
                     "[{\"target\":80,\"published\":8000}]}]",
                     &fault);
    merged = amld_services_merge(list, old, "t", &fault);
    assert_non_null(merged);
    assert_true(json_equal(json_array_get(merged, 0), json_array_get(old, 0)));

    assert_int_equal(amld_services_fit(&c, old, "t", &fault), 0);
    assert_int_equal(amld_services_fit(&c, merged, "t", &fault), -1);
    assert_non_null(strstr(fault.message, "image"));
    c.engine = (char *) "podman";
    assert_int_equal(amld_services_fit(&c, merged, "t", &fault), 0);
    json_decref(merged);

    assert_null(amld_services_merge(list, NULL, "t", &fault));
    assert_string_equal(fault.code, "UserError");
    json_decref(list);

    /* The machine's own ports. */
    c.engine = (char *) "process";
    list = read_text("[{\"name\":\"b\",\"command\":\"x\",\"endpoints\":"
                     "[{\"target\":80,\"published\":8000}]}]",
                     &fault);
    assert_int_equal(amld_services_fit(&c, list, "t", &fault), -1);
    json_decref(list);
    json_decref(old);
}


static json_t *
document(void)
{
    json_t *doc, *list;
    amld_arm_fault_t fault;

    list = read_text("[{\"name\":\"a\",\"command\":\"secret\",\"endpoints\":"
                     "[{\"target\":5000,\"published\":6000},"
                     "{\"target\":5001}]},"
                     "{\"name\":\"b\",\"command\":\"y\",\"autoStart\":false}]",
                     &fault);
    doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:{s:o}}", "name", "Lab",
                    "workspace", W, "location", "local", "creator", CREATOR,
                    "folder", "Users/ann", "runtime", "0a", "state", "Running",
                    "generation", (json_int_t) 5, "requested", "customServices",
                    list);
    assert_non_null(doc);

    return doc;
}


static void
test_status(void **state)
{
    char before[AMLD_SERVICE_REVISION], after[AMLD_SERVICE_REVISION];
    json_t *all, *doc = document(), *one;
    amld_config_t c = {.apps = (char *) "apps.example.org",
                       .apps_port = (char *) ""};

    (void) state;
    all = amld_services_answer(&c, doc, 1);
    one = json_array_get(all, 0);
    assert_string_equal(amld_compute_str(one, "state"), "Starting");
    assert_string_equal(amld_compute_str(one, "command"), "secret");
    assert_string_equal(
        amld_compute_str(json_array_get(json_object_get(one, "endpoints"), 0),
                         "endpointUri"),
        "https://lab-6000.apps.example.org");
    assert_string_equal(amld_compute_str(json_array_get(all, 1), "state"),
                        "Stopped");
    json_decref(all);

    amld_service_set(doc, "a", AMLD_SERVICE_FAILED, "why", "r1");
    amld_service_set_order(doc, "b", AMLD_ORDER_START);
    all = amld_services_answer(&c, doc, 0);
    one = json_array_get(all, 0);
    assert_string_equal(amld_compute_str(one, "state"), "Failed");
    assert_null(json_object_get(one, "command"));
    assert_null(json_object_get(one, "message"));
    assert_null(json_object_get(one, "environmentVariables"));
    assert_string_equal(amld_compute_str(json_array_get(all, 1), "state"),
                        "Starting");
    json_decref(all);
    assert_string_equal(amld_service_revision_of(doc, "a"), "r1");
    amld_service_forget(doc, "a");
    assert_int_equal(amld_service_state(doc, "a"), AMLD_SERVICE_NONE);

    one = (json_t *) amld_service_find(doc, "a");
    assert_int_equal(amld_service_revision(one, before), 0);
    json_object_set_new(one, "autoStart", json_false());
    assert_int_equal(amld_service_revision(one, after), 0);
    assert_string_equal(before, after);
    json_object_set_new(one, "command", json_string("z"));
    assert_int_equal(amld_service_revision(one, after), 0);
    assert_string_not_equal(before, after);
    json_decref(doc);
}


static void
test_etag(void **state)
{
    char etag[AMLD_ETAG_SIZE], other[AMLD_ETAG_SIZE], value[256];
    json_t *doc = document(), *list;

    (void) state;
    assert_int_equal(amld_services_etag(doc, etag), 0);
    assert_int_equal(strlen(etag), AMLD_ETAG_SIZE - 1);

    /* How they are is not what was asked for. */
    amld_service_set(doc, "a", AMLD_SERVICE_FAILED, "why", "r1");
    amld_service_set_order(doc, "b", AMLD_ORDER_START);
    assert_int_equal(amld_services_etag(doc, other), 0);
    assert_string_equal(etag, other);

    list = (json_t *) amld_services(doc);
    json_object_set_new(json_array_get(list, 1), "autoStart", json_true());
    assert_int_equal(amld_services_etag(doc, other), 0);
    assert_string_not_equal(etag, other);

    assert_true(amld_etag_matches(etag, etag));
    assert_true(amld_etag_matches("*", etag));
    assert_false(amld_etag_matches(other, etag));
    assert_false(amld_etag_matches("", etag));
    assert_false(amld_etag_matches("W/", etag));
    assert_false(amld_etag_matches(",", etag));
    assert_false(amld_etag_matches("\"\"", etag));
    assert_false(amld_etag_matches("*", ""));
    snprintf(value, sizeof(value), " \"x\" ,W/%s\t, %s", etag, other);
    assert_true(amld_etag_matches(value, etag));
    assert_true(amld_etag_matches(value, other));
    snprintf(value, sizeof(value), "%.32s", etag + 1);
    assert_true(amld_etag_matches(value, etag));
    snprintf(value, sizeof(value), "%.31s", etag + 1);
    assert_false(amld_etag_matches(value, etag));
    snprintf(value, sizeof(value), "%sx", etag);
    assert_false(amld_etag_matches(value, etag));

    /* None is a list, too, however it is written. */
    json_array_clear(list);
    assert_int_equal(amld_services_etag(doc, etag), 0);
    json_object_del(json_object_get(doc, "requested"), "customServices");
    assert_int_equal(amld_services_etag(doc, other), 0);
    assert_string_equal(etag, other);
    json_decref(doc);
}


/* The address of a port's record, "" where there is none. */
static const char *
address_of(aml_registry_txn_t *txn, unsigned port)
{
    static char text[256];
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_route_t route;

    text[0] = '\0';
    if (aml_registry_get(txn, key, aml_key_route(key, aml_str("lab"), port),
                         &value) == AML_REGISTRY_OK &&
        aml_route_decode(value, &route) == AML_RECORD_OK) {
        snprintf(text, sizeof(text), "%.*s", (int) route.address.n,
                 route.address.p);
    }

    return text;
}


static aml_instance_state_t
state_of(aml_registry_txn_t *txn, unsigned port)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_route_t route;

    return aml_registry_get(txn, key, aml_key_route(key, aml_str("lab"), port),
                            &value) == AML_REGISTRY_OK &&
                   aml_route_decode(value, &route) == AML_RECORD_OK
               ? route.state
               : AML_INSTANCE_UNKNOWN;
}


static void
test_routes(void **state)
{
    static const struct {
        amld_service_state_t state;
        amld_order_t order;
        aml_instance_state_t route;
    } t[] = {
        {AMLD_SERVICE_STOPPED, AMLD_ORDER_NONE, AML_INSTANCE_STOPPED},
        {AMLD_SERVICE_STOPPED, AMLD_ORDER_START, AML_INSTANCE_STARTING},
        {AMLD_SERVICE_FAILED, AMLD_ORDER_NONE, AML_INSTANCE_FAILED},
        {AMLD_SERVICE_FAILED, AMLD_ORDER_RESTART, AML_INSTANCE_STARTING},
        {AMLD_SERVICE_STARTING, AMLD_ORDER_STOP, AML_INSTANCE_STOPPED},
        {AMLD_SERVICE_RUNNING, AMLD_ORDER_STOP, AML_INSTANCE_RUNNING},
        {AMLD_SERVICE_STARTING, AMLD_ORDER_NONE, AML_INSTANCE_STARTING},
    };
    scratch_t *s = *state;
    json_t *doc = document();
    amld_config_t c = {.state = (char *) "/st",
                       .apps = (char *) "apps.example.org",
                       .apps_port = (char *) "",
                       .engine = (char *) "process"};
    amld_command_id_t id = {.pid = 77};
    aml_registry_txn_t *txn;
    size_t i;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

    /* Not before it listens; until then it is said how it is. */
    amld_compute_set_command(doc, "service-a", &id);
    assert_int_equal(amld_routes_put(txn, &c, doc), AML_REGISTRY_OK);
    assert_string_equal(address_of(txn, 6000), "");
    assert_int_equal(state_of(txn, 6000), AML_INSTANCE_STARTING);
    assert_int_equal(state_of(txn, 5000), AML_INSTANCE_UNKNOWN);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        amld_service_set(doc, "a", t[i].state, NULL, NULL);
        amld_service_set_order(doc, "a", t[i].order);
        assert_int_equal(amld_routes_put(txn, &c, doc), AML_REGISTRY_OK);
        assert_int_equal(state_of(txn, 6000), t[i].route);
        assert_int_equal(state_of(txn, 5001), t[i].route);
        assert_string_equal(address_of(txn, 5001),
                            t[i].route == AML_INSTANCE_RUNNING
                                ? "unix:/st/i/0a/5001.sock"
                                : "");
    }
    assert_ptr_equal(amld_service_by_port(doc, 6000),
                     amld_service_find(doc, "a"));
    assert_null(amld_service_by_port(doc, 5000));

    amld_service_set(doc, "a", AMLD_SERVICE_RUNNING, NULL, NULL);
    assert_int_equal(amld_routes_put(txn, &c, doc), AML_REGISTRY_OK);
    assert_string_equal(address_of(txn, 6000), "unix:/st/i/0a/5000.sock");
    assert_string_equal(address_of(txn, 5001), "unix:/st/i/0a/5001.sock");
    assert_string_equal(address_of(txn, 5000), "");
    assert_string_equal(address_of(txn, 0), "");

    /* A network of its own. */
    c.engine = (char *) "podman";
    amld_compute_set_command(doc, AMLD_SERVICE_PORTS, &id);
    assert_int_equal(amld_routes_put(txn, &c, doc), AML_REGISTRY_OK);
    assert_string_equal(address_of(txn, 0), "unix:/st/i/0a/s/*.sock");
    assert_string_equal(address_of(txn, 6000), "unix:/st/i/0a/s/5000.sock");

    /* There the port leads to whoever has it, as any other does. */
    amld_service_set(doc, "a", AMLD_SERVICE_STOPPED, NULL, NULL);
    assert_int_equal(amld_routes_put(txn, &c, doc), AML_REGISTRY_OK);
    assert_string_equal(address_of(txn, 6000), "unix:/st/i/0a/s/6000.sock");
    assert_int_equal(state_of(txn, 6000), AML_INSTANCE_STOPPED);

    /* All of it goes with a stop. */
    amld_compute_set_state(doc, AMLD_STATE_STOPPING);
    assert_int_equal(amld_routes_put(txn, &c, doc), AML_REGISTRY_OK);
    assert_string_equal(address_of(txn, 0), "");
    assert_string_equal(address_of(txn, 6000), "");

    aml_registry_end(txn);
    json_decref(doc);
}


static void
test_address(void **state)
{
    char text[AML_PEER_ADDRESS_MAX], path[AML_PEER_ADDRESS_MAX + 8];
    size_t n;
    aml_peer_t a, b;

    (void) state;
    n = aml_peer_address(aml_str("unix:/s/*.sock"), 65535, text);
    assert_int_equal(n, strlen("unix:/s/65535.sock"));
    assert_memory_equal(text, "unix:/s/65535.sock", n);
    assert_int_equal(aml_peer_of((aml_str_t){text, n}, 7, &a), 0);
    n = aml_peer_address(aml_str("unix:/s/*.sock"), 6553, text);
    assert_int_equal(aml_peer_of((aml_str_t){text, n}, 7, &b), 0);
    assert_false(a.len == b.len && memcmp(&a.addr, &b.addr, a.len) == 0);

    assert_int_equal(aml_peer_address(aml_str("unix:/s/x.sock"), 1, text), 0);
    assert_int_equal(aml_peer_address(aml_str(""), 1, text), 0);
    assert_int_equal(aml_peer_address(aml_str("unix:/*"), 0, text), 0);
    assert_int_equal(aml_peer_address(aml_str("unix:/*"), 65536, text), 0);
    memset(path, 'x', sizeof(path));
    path[0] = '*';
    assert_int_equal(
        aml_peer_address((aml_str_t){path, sizeof(path)}, 80, text), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_form),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_merge_and_fit),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_etag),
        cmocka_unit_test_setup_teardown(test_routes, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(test_address),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
