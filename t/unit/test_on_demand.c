/*
 * What is asked for, in the document and in the routes that follow from it.
 */

#include "t/unit/scratch.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include "computes/instances/on_demand.h"

#define CREATOR "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define OTHER "11111111-1111-8111-8111-111111111111"
#define ID                                                                     \
    "/subscriptions/s/resourceGroups/rg/providers/"                            \
    "Microsoft.MachineLearningServices/workspaces/demo"

static amld_workspace_t workspace = {(char *) "demo",       (char *) "s",
                                     (char *) "rg",         (char *) "local",
                                     (char *) "/srv/share", (char *) ID};

static amld_application_config_t applications[] = {
    {(char *) "jupyter", (char *) "/opt/jupyter"},
    {(char *) "rstudio", (char *) "/opt/rserver"},
};

static amld_config_t config = {
    .state = (char *) "/run/aml",
    .apps = (char *) "apps.example.org",
    .apps_port = (char *) "",
    .workspaces = &workspace,
    .workspace_count = 1,
    .applications = applications,
    .application_count = 2,
};

static const amld_command_id_t id = {.pid = 4711, .started = 9, .boot = "b"};


static const aml_application_t *
rstudio(void)
{
    return aml_application_by_port(8787);
}


static json_t *
document(amld_state_t state)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{}, s:I}", "name",
                            "Lab", "workspace", ID, "location", "local",
                            "creator", CREATOR, "runtime", "0a0b0c0d",
                            "commands", "generation", (json_int_t) 77);

    assert_non_null(doc);
    assert_int_equal(amld_compute_set_state(doc, state), 0);
    assert_int_equal(amld_compute_set_command(doc, "jupyter", &id), 0);

    return doc;
}


static void
store(scratch_t *s, json_t *doc)
{
    aml_registry_txn_t *txn;
    amld_key_t key;

    assert_int_equal(amld_compute_key(&key, &workspace, "lab"), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &config, &key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static json_t *
load(scratch_t *s)
{
    aml_registry_txn_t *txn;
    amld_key_t key;
    json_t *doc;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_on_demand_key(txn, &config, aml_str("lab"), &key),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);

    return doc;
}


static amld_demand_t
state_of(scratch_t *s)
{
    json_t *doc = load(s);
    amld_demand_t state = amld_on_demand_state(doc, rstudio());

    json_decref(doc);

    return state;
}


/* What the gateway is told: the port's state, UNKNOWN where it has no route,
 * and whether there is an address. */
static aml_instance_state_t
route(scratch_t *s, unsigned port, int *address)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_instance_state_t state = AML_INSTANCE_UNKNOWN;
    aml_registry_txn_t *txn;
    aml_str_t value;
    aml_route_t r;
    size_t n;

    *address = 0;
    n = aml_key_route(key, aml_str("lab"), port);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    if (aml_registry_get(txn, key, n, &value) == AML_REGISTRY_OK) {
        assert_int_equal(aml_route_decode(value, &r), AML_RECORD_OK);
        assert_int_equal(r.generation, 77);
        state = r.state;
        *address = r.address.n != 0;
    }
    aml_registry_end(txn);

    return state;
}


static void
test_document(void **state)
{
    json_t *doc = document(AMLD_STATE_RUNNING);

    (void) state;

    assert_int_equal(amld_on_demand_state(doc, rstudio()), AMLD_DEMAND_NONE);
    assert_string_equal(amld_on_demand_message(doc, rstudio()), "");
    assert_int_equal(amld_on_demand_time(doc, rstudio()), 0);

    assert_int_equal(
        amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_FAILED, "it broke"), 0);
    assert_int_equal(amld_on_demand_state(doc, rstudio()), AMLD_DEMAND_FAILED);
    assert_string_equal(amld_on_demand_message(doc, rstudio()), "it broke");
    assert_true(amld_on_demand_time(doc, rstudio()) > 1700000000);
    assert_int_equal(amld_on_demand_state(doc, aml_application_by_port(8080)),
                     AMLD_DEMAND_NONE);

    assert_int_equal(
        amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_STARTING, NULL), 0);
    assert_string_equal(amld_on_demand_message(doc, rstudio()), "");
    assert_int_equal(amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_NONE, NULL),
                     0);
    assert_int_equal(amld_on_demand_state(doc, rstudio()), AMLD_DEMAND_NONE);

    /* what nobody wrote means nothing */
    json_object_set_new(doc, "onDemand",
                        json_pack("{s:{s:s}}", "rstudio", "state", "Soon"));
    assert_int_equal(amld_on_demand_state(doc, rstudio()), AMLD_DEMAND_NONE);
    json_object_set_new(doc, "onDemand", json_string("rstudio"));
    assert_int_equal(amld_on_demand_state(doc, rstudio()), AMLD_DEMAND_NONE);
    assert_int_equal(
        amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_RUNNING, NULL), 0);
    assert_int_equal(amld_on_demand_state(doc, rstudio()), AMLD_DEMAND_RUNNING);

    json_decref(doc);
}


static void
test_routes(void **state)
{
    scratch_t *s = *state;
    json_t *doc = document(AMLD_STATE_RUNNING);
    int address;

    store(s, doc);
    assert_int_equal(route(s, 8787, &address), AML_INSTANCE_STOPPED);
    assert_int_equal(address, 0);
    assert_int_equal(route(s, 8888, &address), AML_INSTANCE_RUNNING);
    assert_int_equal(address, 1);

    /* VS Code is not configured */
    assert_int_equal(route(s, 8080, &address), AML_INSTANCE_UNKNOWN);

    /* its process is there before it answers, and is no address */
    amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_STARTING, NULL);
    assert_int_equal(amld_compute_set_command(doc, "rstudio", &id), 0);
    store(s, doc);
    assert_int_equal(route(s, 8787, &address), AML_INSTANCE_STARTING);
    assert_int_equal(address, 0);

    amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_RUNNING, NULL);
    store(s, doc);
    assert_int_equal(route(s, 8787, &address), AML_INSTANCE_RUNNING);
    assert_int_equal(address, 1);

    amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_FAILED, "x");
    store(s, doc);
    assert_int_equal(route(s, 8787, &address), AML_INSTANCE_FAILED);
    assert_int_equal(address, 0);

    /* with the instance all of it goes */
    amld_compute_set_state(doc, AMLD_STATE_STOPPING);
    store(s, doc);
    assert_int_equal(route(s, 8787, &address), AML_INSTANCE_UNKNOWN);
    assert_int_equal(state_of(s), AMLD_DEMAND_NONE);
    amld_compute_set_state(doc, AMLD_STATE_RUNNING);
    store(s, doc);
    assert_int_equal(route(s, 8787, &address), AML_INSTANCE_STOPPED);

    json_decref(doc);
}


/* Who asks for what; and whether the supervisor is woken. */
static aml_registry_rc_t
ask(scratch_t *s, const char *name, unsigned port, const char *who, int again,
    int *woken)
{
    amld_t d = {.config = &config, .registry = s->registry};
    aml_principal_id_t principal;
    aml_registry_rc_t rc;
    uint64_t count;

    d.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_int_equal(aml_uuid_parse(aml_str_of(who), &principal), 0);
    rc = amld_on_demand_ask(&d, aml_str_of(name), port, &principal, again);
    *woken = read(d.wake, &count, sizeof(count)) == sizeof(count);
    close(d.wake);

    return rc;
}


static void
test_ask(void **state)
{
    scratch_t *s = *state;
    json_t *doc = document(AMLD_STATE_RUNNING);
    int woken;

    store(s, doc);
    assert_int_equal(ask(s, "nolab", 8787, CREATOR, 1, &woken),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(ask(s, "lab", 8888, CREATOR, 1, &woken),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(ask(s, "lab", 8080, CREATOR, 1, &woken),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(ask(s, "lab", 22, CREATOR, 1, &woken),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(ask(s, "lab", 8787, OTHER, 1, &woken),
                     AML_REGISTRY_DENIED);
    assert_int_equal(woken, 0);
    assert_int_equal(state_of(s), AMLD_DEMAND_NONE);
    assert_int_equal(scratch_count(s, "pending/"), 0);

    assert_int_equal(ask(s, "lab", 8787, CREATOR, 0, &woken), AML_REGISTRY_OK);
    assert_int_equal(woken, 1);
    assert_int_equal(state_of(s), AMLD_DEMAND_STARTING);
    assert_int_equal(scratch_count(s, "pending/"), 1);

    /* once */
    assert_int_equal(ask(s, "lab", 8787, CREATOR, 1, &woken), AML_REGISTRY_OK);
    assert_int_equal(woken, 0);

    /* one that has failed, only where that is meant */
    json_decref(doc);
    doc = load(s);
    amld_on_demand_set(doc, rstudio(), AMLD_DEMAND_FAILED, "x");
    store(s, doc);
    assert_int_equal(ask(s, "lab", 8787, CREATOR, 0, &woken), AML_REGISTRY_OK);
    assert_int_equal(woken, 0);
    assert_int_equal(state_of(s), AMLD_DEMAND_FAILED);
    assert_int_equal(ask(s, "lab", 8787, CREATOR, 1, &woken), AML_REGISTRY_OK);
    assert_int_equal(woken, 1);
    assert_int_equal(state_of(s), AMLD_DEMAND_STARTING);

    /* and of an instance that runs */
    amld_compute_set_state(doc, AMLD_STATE_STOPPED);
    store(s, doc);
    assert_int_equal(ask(s, "lab", 8787, CREATOR, 1, &woken),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(woken, 0);

    json_decref(doc);
}


typedef struct {
    scratch_t *s;
    int woken;
    pthread_t thread;
} tab_t;


static void *
tab(void *data)
{
    tab_t *t = data;

    assert_int_equal(ask(t->s, "lab", 8787, CREATOR, 1, &t->woken),
                     AML_REGISTRY_OK);

    return NULL;
}


static void
test_many_at_once(void **state)
{
    json_t *doc = document(AMLD_STATE_RUNNING);
    tab_t tabs[8];
    size_t i;
    int n;

    store(*state, doc);
    json_decref(doc);

    for (i = 0; i < 8; i++) {
        tabs[i].s = *state;
        assert_int_equal(pthread_create(&tabs[i].thread, NULL, tab, &tabs[i]),
                         0);
    }
    for (i = 0, n = 0; i < 8; i++) {
        pthread_join(tabs[i].thread, NULL);
        n += tabs[i].woken;
    }
    assert_int_equal(n, 1);
}


int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_document),
        T(test_routes),
        T(test_ask),
        T(test_many_at_once),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    amld_log_level(AMLD_LOG_ERROR);

    return cmocka_run_group_tests_name("on_demand", tests, NULL, NULL);
}
