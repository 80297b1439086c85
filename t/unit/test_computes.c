/*
 * Documents, operations and the routes that follow from them, in a real
 * registry.
 */

#include "t/unit/scratch.h"

#include <stdlib.h>
#include <time.h>

#include "auth/assignments.h"
#include "auth/principals.h"
#include "computes/files/files.h"
#include "computes/files/paths.h"
#include "computes/instances/computes.h"
#include "computes/instances/operations.h"

#define CREATOR "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define OTHER "11111111-1111-8111-8111-111111111111"

static amld_workspace_t workspaces[] = {
    {(char *) "Demo", (char *) "S-1", (char *) "RG", (char *) "local",
     (char *) "/srv/share",
     (char *) "/subscriptions/S-1/resourceGroups/RG/providers/"
              "Microsoft.MachineLearningServices/workspaces/Demo"},
    {(char *) "two", (char *) "S-1", (char *) "RG", (char *) "local",
     (char *) "/srv/two",
     (char *) "/subscriptions/S-1/resourceGroups/RG/providers/"
              "Microsoft.MachineLearningServices/workspaces/two"},
};

static amld_application_config_t applications[] = {
    {(char *) "jupyter", (char *) "/opt/jupyter"},
};

static amld_config_t config = {
    .state = (char *) "/run/aml",
    .apps = (char *) "apps.example.org",
    .apps_port = (char *) ":8443",
    .studio = (char *) "https://aml.example.org",
    .workspaces = workspaces,
    .workspace_count = 2,
    .applications = applications,
    .application_count = 1,
};


static json_t *
document(const char *name, amld_state_t state)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{}, s:I}", "name",
                            name, "workspace", workspaces[0].id, "location",
                            "local", "creator", CREATOR, "runtime", "0a0b0c0d",
                            "commands", "generation", (json_int_t) 77);

    assert_non_null(doc);
    assert_int_equal(amld_compute_set_state(doc, state), 0);

    return doc;
}


static void
command(json_t *doc)
{
    amld_command_id_t id = {.pid = 4711, .started = 99, .boot = "boot"};

    assert_int_equal(amld_compute_set_command(doc, "jupyter", &id), 0);
}


static void
store(scratch_t *s, const amld_key_t *key, json_t *doc)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &config, key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* The route of `port`; 0 when there is none. */
static int
route(scratch_t *s, const char *lower, unsigned port, aml_route_t *r,
      char address[256])
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t n = aml_key_route(key, aml_str_of(lower), port);
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    aml_str_t value;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    rc = aml_registry_get(txn, key, n, &value);
    if (rc == AML_REGISTRY_OK) {
        assert_int_equal(aml_route_decode(value, r), AML_RECORD_OK);
        snprintf(address, 256, "%.*s",
                 (int) (port != 0 ? r->address.n : r->compute.n),
                 port != 0 ? r->address.p : r->compute.p);
    }
    aml_registry_end(txn);

    return rc == AML_REGISTRY_OK;
}


static void
keys(void **state)
{
    amld_key_t key, prefix;
    amld_workspace_t deep = workspaces[0];
    char name[600];

    (void) state;

    assert_int_equal(amld_compute_key(&key, &workspaces[0], "First-LAB"), 0);
    assert_string_equal(key.p, "compute/s-1/rg/demo/first-lab");
    assert_int_equal(key.n, strlen(key.p));

    assert_int_equal(amld_compute_prefix(&prefix, &workspaces[0]), 0);
    assert_int_equal(strncmp(prefix.p, key.p, prefix.n), 0);

    /* nothing that is longer than a name can be */
    assert_int_equal(
        amld_compute_key(&key, &workspaces[0], "abcdefghijklmnopqrstuvwxy"),
        -1);

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    deep.resource_group = name;
    assert_int_equal(amld_compute_key(&key, &deep, "lab"), -1);
}


static void
routes_follow_the_state(void **state)
{
    static const struct {
        amld_state_t state;
        aml_instance_state_t route;
        int port; /* has the port's route */
    } cases[] = {
        {AMLD_STATE_CREATING, AML_INSTANCE_CREATING, 0},
        {AMLD_STATE_RUNNING, AML_INSTANCE_RUNNING, 1},
        {AMLD_STATE_STOPPING, AML_INSTANCE_STOPPING, 0},
        {AMLD_STATE_STOPPED, AML_INSTANCE_STOPPED, 0},
        {AMLD_STATE_STARTING, AML_INSTANCE_STARTING, 0},
        {AMLD_STATE_RUNNING, AML_INSTANCE_RUNNING, 1},
        {AMLD_STATE_RESTARTING, AML_INSTANCE_RESTARTING, 0},
        {AMLD_STATE_UNUSABLE, AML_INSTANCE_FAILED, 0},
        {AMLD_STATE_CREATE_FAILED, AML_INSTANCE_FAILED, 0},
        {AMLD_STATE_DELETING, AML_INSTANCE_DELETING, 0},
    };
    scratch_t *s = *state;
    char text[256];
    size_t i;
    amld_key_t key;
    aml_route_t r;
    json_t *doc = document("First-Lab", AMLD_STATE_CREATING);

    command(doc);
    assert_int_equal(amld_compute_key(&key, &workspaces[0], "First-Lab"), 0);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        amld_compute_set_state(doc, cases[i].state);
        store(s, &key, doc);

        assert_true(route(s, "first-lab", 0, &r, text));
        assert_int_equal(r.state, cases[i].route);
        assert_int_equal(r.generation, 77);
        assert_string_equal(text + strlen(text) - 19, "/computes/First-Lab");

        assert_int_equal(route(s, "first-lab", 8888, &r, text), cases[i].port);
        assert_int_equal(scratch_count(s, "route/"), 1u + cases[i].port);
        if (cases[i].port) {
            assert_string_equal(text, "unix:/run/aml/i/0a0b0c0d/jupyter.sock");
            assert_int_equal(r.generation, 77);
        }
    }

    json_decref(doc);
}


static void
failed_start(void **state)
{
    scratch_t *s = *state;
    char text[256];
    amld_key_t key;
    aml_route_t r;
    json_t *doc = document("lab", AMLD_STATE_STOPPED);

    json_object_set_new(doc, "lastOperation",
                        json_pack("{s:s}", "status", "StartFailed"));
    assert_int_equal(amld_compute_key(&key, &workspaces[0], "lab"), 0);
    store(s, &key, doc);

    assert_true(route(s, "lab", 0, &r, text));
    assert_int_equal(r.state, AML_INSTANCE_FAILED);

    json_decref(doc);
}


static void
assign(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
       const json_t *doc)
{
    amld_assignment_t a = {.principal = *principal};

    assert_int_equal(aml_uuid_random(&a.id), 0);
    assert_int_equal(amld_compute_id(doc, a.scope, sizeof(a.scope)), 0);
    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_OK);
}


/* Another instance whose name begins the same keeps its routes. */
static void
neighbours(void **state)
{
    scratch_t *s = *state;
    char text[256];
    amld_key_t one, two;
    aml_route_t r;
    aml_registry_txn_t *txn;
    aml_principal_id_t id = {{1}};
    amld_principal_t p = {.name = (char *) "p", .issuer = (char *) "x"};
    json_t *a = document("lab", AMLD_STATE_RUNNING),
           *b = document("lab2", AMLD_STATE_RUNNING);

    command(a);
    command(b);
    assert_int_equal(amld_compute_key(&one, &workspaces[0], "lab"), 0);
    assert_int_equal(amld_compute_key(&two, &workspaces[0], "lab2"), 0);
    store(s, &one, a);
    store(s, &two, b);

    /* roles at the instance end with it */
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_store(txn, &id, &p), AML_REGISTRY_OK);
    assign(txn, &id, a);
    assign(txn, &id, b);
    assert_int_equal(amld_compute_remove(txn, &one, a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "assignment/"), 1);

    assert_false(route(s, "lab", 0, &r, text));
    assert_false(route(s, "lab", 8888, &r, text));
    assert_true(route(s, "lab2", 0, &r, text));
    assert_true(route(s, "lab2", 8888, &r, text));
    assert_int_equal(scratch_count(s, "name/"), 1);
    assert_int_equal(scratch_count(s, "compute/"), 1);

    json_decref(a);
    json_decref(b);
}


static void
a_transaction_or_nothing(void **state)
{
    scratch_t *s = *state;
    amld_key_t key;
    aml_registry_txn_t *txn;
    json_t *doc = document("lab", AMLD_STATE_RUNNING);

    command(doc);
    assert_int_equal(amld_compute_key(&key, &workspaces[0], "lab"), 0);

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &config, &key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_notify(txn, &key), AML_REGISTRY_OK);
    aml_registry_end(txn);

    assert_int_equal(scratch_count(s, "route/"), 0);
    assert_int_equal(scratch_count(s, "compute/"), 0);
    assert_int_equal(scratch_count(s, "name/"), 0);
    assert_int_equal(scratch_count(s, "pending/"), 0);

    json_decref(doc);
}


static void
broken_documents(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"name\":\"lab\",\"runtime\":\"x\"}",
        "{\"name\":\"lab\",\"runtime\":\"x\",\"state\":\"Dancing\"}",
        "{\"name\":\"lab\",\"state\":\"Running\"}",
        "{\"name\":7,\"runtime\":\"x\",\"state\":\"Running\"}",
        ("{\"name\":\"lab\",\"name\":\"x\",\"runtime\":\"x\","
         "\"state\":\"Running\"}"),
    };
    scratch_t *s = *state;
    size_t i;
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspaces[0], "lab"), 0);

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(aml_registry_write(s->registry, &txn),
                         AML_REGISTRY_OK);
        assert_int_equal(
            aml_registry_put(txn, key.p, key.n, texts[i], strlen(texts[i])),
            AML_REGISTRY_OK);
        assert_int_equal(amld_compute_load(txn, &key, &doc),
                         AML_REGISTRY_CORRUPT);
        assert_null(doc);
        aml_registry_end(txn);
    }

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_NOTFOUND);
    aml_registry_end(txn);
}


static void
names_are_taken_once(void **state)
{
    scratch_t *s = *state;
    amld_key_t mine, theirs, far;
    aml_registry_txn_t *txn;
    json_t *doc = document("Lab", AMLD_STATE_STOPPED);

    assert_int_equal(amld_compute_key(&mine, &workspaces[0], "Lab"), 0);
    assert_int_equal(amld_compute_key(&theirs, &workspaces[1], "lab"), 0);
    assert_int_equal(amld_compute_key(&far, &workspaces[1], "lab"), 0);
    store(s, &mine, doc);

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_claim(txn, "local", "LAB", &mine),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_claim(txn, "local", "lAB", &theirs),
                     AML_REGISTRY_NOTFOUND);
    /* another region, but the same host name */
    assert_int_equal(amld_compute_claim(txn, "far", "lab", &far),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_compute_claim(txn, "local", "lab2", &theirs),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    json_decref(doc);
}


#define OLD "folder/s-1/rg/demo/old"

static void
folders(void **state)
{
    scratch_t *s = *state;
    char folder[192];
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

#define FOLDER(principal, label, expected)                                     \
    assert_int_equal(amld_compute_folder(txn, &workspaces[0], principal,       \
                                         label, folder, sizeof(folder)),       \
                     AML_REGISTRY_OK);                                         \
    assert_string_equal(folder, expected)

    FOLDER(CREATOR, "creator", "Users/creator");
    FOLDER(CREATOR, "creator", "Users/creator");

    /* a label is no identity: two people may have the same */
    FOLDER(OTHER, "Creator", "Users/Creator-" OTHER);

    /* whatever the label is now, their files are where they were */
    FOLDER(OTHER, "creator", "Users/Creator-" OTHER);
    FOLDER(CREATOR, "CREATOR", "Users/creator");

    FOLDER(OTHER, "../../etc", "Users/_.._etc");
    FOLDER(OTHER, "...", "Users/" OTHER);
    FOLDER(OTHER, "", "Users/" OTHER);
    FOLDER(OTHER, "a/b\\c d\n", "Users/a_b_c_d_");
    FOLDER(OTHER, "J\xc3\xb6rg", "Users/J_rg");
    FOLDER(OTHER, "ann@example.org", "Users/ann@example.org");

    /* releases before this one did not keep the spelling */
    assert_int_equal(aml_registry_put(txn, OLD, sizeof(OLD) - 1, CREATOR,
                                      sizeof(CREATOR) - 1),
                     AML_REGISTRY_OK);
    FOLDER(CREATOR, "Old", "Users/Old");
    FOLDER(CREATOR, "OLD", "Users/Old");
    FOLDER(OTHER, "old", "Users/old-" OTHER);
#undef FOLDER

    aml_registry_end(txn);
}


static uint64_t
generation(scratch_t *s)
{
    uint64_t one;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_generation(txn, &one), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    return one;
}


static void
generations(void **state)
{
    scratch_t *s = *state;
    int i;
    uint64_t one, last = 0;
    char far[32];
    aml_registry_txn_t *txn;

    for (i = 0; i < 20; i++) {
        one = generation(s);
        assert_true(one > last);
        last = one;
    }

    /* the clock was set back since */
    last += 1000000000000ULL;
    snprintf(far, sizeof(far), "%llu", (unsigned long long) last);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, "meta/generation", 15, far, strlen(far)),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(generation(s), last + 1);
    assert_int_equal(generation(s), last + 2);
}


static void
operations(void **state)
{
    scratch_t *s = *state;
    char first[AMLD_OPERATION_ID + 1], second[AMLD_OPERATION_ID + 1];
    json_t *op, *doc = document("lab", AMLD_STATE_RUNNING);
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspaces[0], "lab"), 0);

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_operation_begin(txn, &key, doc, "Stop"),
                     AML_REGISTRY_OK);
    snprintf(first, sizeof(first), "%s", amld_compute_str(doc, "operation"));
    assert_int_equal(strlen(first), AMLD_OPERATION_ID);
    assert_true(json_is_false(json_object_get(doc, "begun")));

    /* another takes its place */
    assert_int_equal(amld_operation_begin(txn, &key, doc, "Start"),
                     AML_REGISTRY_OK);
    snprintf(second, sizeof(second), "%s", amld_compute_str(doc, "operation"));
    assert_string_not_equal(first, second);

    assert_int_equal(amld_operation_load(txn, first, &op), AML_REGISTRY_OK);
    assert_string_equal(amld_compute_str(op, "status"), "Canceled");
    assert_string_equal(amld_compute_str(op, "compute"), key.p);
    json_decref(op);

    assert_int_equal(amld_operation_end(txn, doc, "Why", "It broke."),
                     AML_REGISTRY_OK);
    assert_string_equal(
        amld_compute_str(json_object_get(doc, "lastOperation"), "status"),
        "StartFailed");
    assert_null(json_object_get(doc, "operation"));
    assert_int_equal(amld_operation_load(txn, second, &op), AML_REGISTRY_OK);
    assert_string_equal(amld_compute_str(op, "status"), "Failed");
    assert_string_equal(
        amld_compute_str(json_object_get(op, "error"), "message"), "It broke.");
    json_decref(op);

    /* nothing under way: nothing happens */
    assert_int_equal(amld_operation_end(txn, doc, NULL, NULL), AML_REGISTRY_OK);
    assert_string_equal(
        amld_compute_str(json_object_get(doc, "lastOperation"), "status"),
        "StartFailed");

    assert_int_equal(amld_operation_begin(txn, &key, doc, "Start"),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    /* what is under way stays, what has ended goes after a day */
    assert_int_equal(amld_operations_sweep(s->registry, time(NULL)), 0);
    assert_int_equal(amld_operations_sweep(
                         s->registry, time(NULL) + AMLD_OPERATION_KEPT + 2),
                     2);
    assert_int_equal(scratch_count(s, "operation/"), 1);

    json_decref(doc);
}


/* However many there are, and with an index: nothing is parsed. */
static void
operations_are_swept(void **state)
{
    scratch_t *s = *state;
    int i;
    json_t *doc;
    size_t n;
    amld_key_t key = {.n = 0};
    aml_registry_txn_t *txn;

    doc = json_pack("{s:s,s:{}}", "creator", "somebody", "lastOperation");
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < 2600; i++) {
        char who[32];

        snprintf(who, sizeof(who), "who-%d", i % 3);
        amld_compute_set_str(doc, "creator", who);
        assert_int_equal(amld_operation_begin(txn, &key, doc, "Stop"),
                         AML_REGISTRY_OK);
        assert_int_equal(amld_operation_end(txn, doc, NULL, NULL),
                         AML_REGISTRY_OK);
    }
    assert_int_equal(amld_operation_begin(txn, &key, doc, "Start"),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, "operation/0123456789abcdef0123456789abcdef", 42,
                         "no JSON", 7),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(amld_operations_sweep(s->registry, time(NULL)), 0);
    n = amld_operations_sweep(s->registry,
                              time(NULL) + AMLD_OPERATION_KEPT + 2);
    assert_int_equal(n, 2600);
    assert_int_equal(scratch_count(s, "operation/"), 2);
    assert_int_equal(scratch_count(s, "operation-"), 0);

    json_decref(doc);
}


/* As a release wrote it that had no index. */
static void
operations_of_before(void **state)
{
    scratch_t *s = *state;
    int i;
    char key[64], text[128];
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < 900; i++) {
        snprintf(key, sizeof(key), "operation/%032x", i);
        snprintf(text, sizeof(text),
                 i % 9 == 0 ? "{\"status\":\"InProgress\"}"
                            : "{\"status\":\"Succeeded\",\"ended\":%d}",
                 1790000000 + i);
        assert_int_equal(
            aml_registry_put(txn, key, strlen(key), text, strlen(text)),
            AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    amld_operations_tend(s->registry);
    assert_int_equal(scratch_count(s, "operation-ended/"), 800);
    assert_int_equal(scratch_count(s, "operation-of/"), 800);
    assert_int_equal(
        amld_operations_sweep(s->registry, 1790000000 + AMLD_OPERATION_KEPT),
        0);
    assert_int_equal(amld_operations_sweep(
                         s->registry, 1790000000 + AMLD_OPERATION_KEPT + 1000),
                     800);
    assert_int_equal(scratch_count(s, "operation/"), 100);

    /* once only */
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, key, strlen(key), "{\"ended\":1}", 11),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    amld_operations_tend(s->registry);
    assert_int_equal(scratch_count(s, "operation-ended/"), 0);
}


/* Who begins very many has the last of them; others are none the worse. */
static void
operations_of_one(void **state)
{
    scratch_t *s = *state;
    int i;
    char first[64], last[64];
    json_t *doc, *op;
    amld_key_t key = {.n = 0};
    aml_registry_txn_t *txn;

    doc = json_pack("{s:s,s:{}}", "creator", "quiet", "lastOperation");
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_operation_begin(txn, &key, doc, "Stop"),
                     AML_REGISTRY_OK);
    snprintf(first, sizeof(first), "%s", amld_compute_str(doc, "operation"));
    assert_int_equal(amld_operation_end(txn, doc, NULL, NULL), AML_REGISTRY_OK);

    amld_compute_set_str(doc, "creator", "busy");
    for (i = 0; i < AMLD_OPERATIONS_OF + 200; i++) {
        assert_int_equal(amld_operation_begin(txn, &key, doc, "Stop"),
                         AML_REGISTRY_OK);
        snprintf(last, sizeof(last), "%s", amld_compute_str(doc, "operation"));
        assert_int_equal(amld_operation_end(txn, doc, NULL, NULL),
                         AML_REGISTRY_OK);
    }

    assert_int_equal(amld_operation_load(txn, first, &op), AML_REGISTRY_OK);
    json_decref(op);
    assert_int_equal(amld_operation_load(txn, last, &op), AML_REGISTRY_OK);
    json_decref(op);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(scratch_count(s, "operation/"), AMLD_OPERATIONS_OF + 1);
    assert_int_equal(scratch_count(s, "operation-of/busy/"),
                     AMLD_OPERATIONS_OF);
    assert_int_equal(scratch_count(s, "operation-ended/"),
                     AMLD_OPERATIONS_OF + 1);

    json_decref(doc);
}


static void
operation_ids(void **state)
{
    static const char *const ids[] = {
        "",
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0",
        "0123456789ABCDEF0123456789ABCDEF",
        "../../../../../../../../../../../",
        "0123456789abcdef0123456789abcdef",
        "00000000000000010000000000000001", /* long over */
        "000000000000000100000000ffffffff", /* not yet */
        "00000000000000040000000068000000", /* nothing */
    };
    scratch_t *s = *state;
    size_t i;
    json_t *op;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        assert_int_equal(amld_operation_load(txn, ids[i], &op),
                         AML_REGISTRY_NOTFOUND);
        assert_null(op);
    }
    aml_registry_end(txn);
}


static void
origins(void **state)
{
    char origin[256];

    (void) state;

    assert_int_equal(
        amld_compute_origin(&config, "First-Lab", 8888, origin, sizeof(origin)),
        0);
    assert_string_equal(origin, "https://first-lab.apps.example.org:8443");
    assert_int_equal(
        amld_compute_origin(&config, "lab", 8787, origin, sizeof(origin)), 0);
    assert_string_equal(origin, "https://lab-8787.apps.example.org:8443");
    assert_int_equal(amld_compute_origin(&config, "lab", 8888, origin, 10), -1);
}


static void
deep_state_directories(void **state)
{
    amld_application_config_t others[] = {
        {(char *) "rstudio", (char *) "/x"},
        {(char *) "vscode", (char *) "/x"},
    };
    char err[512], deep[200];
    size_t n, most;
    amld_config_t c = config;

    (void) state;

    assert_int_equal(amld_paths_check(&c, err, sizeof(err)), 0);

    for (n = 1, most = 0; n < sizeof(deep) - 1; n++) {
        memset(deep, 'd', n);
        deep[0] = '/';
        deep[n] = '\0';
        c.state = deep;
        if (amld_paths_check(&c, err, sizeof(err)) == 0) {
            most = n;
        }
    }

    /* a kernel's socket has to fit */
    assert_int_equal(most, 42);
    deep[most + 1] = '\0';
    assert_int_equal(amld_paths_check(&c, err, sizeof(err)), -1);
    snprintf(deep + 100, 50, "may have %zu", most);
    assert_non_null(strstr(err, deep + 100));

    /* and, where they are configured, those of others */
    for (n = 0; n < 2; n++) {
        c.applications = &others[n];
        deep[37] = '\0';
        assert_int_equal(amld_paths_check(&c, err, sizeof(err)), 0);
        deep[37] = 'd';
        deep[38] = '\0';
        assert_int_equal(amld_paths_check(&c, err, sizeof(err)), -1);
    }

    /* inside a container the state directory's depth is of no matter */
    c.engine = (char *) "podman";
    for (n = 1, most = 0; n < 100; n++) {
        memset(deep, 'd', n);
        deep[0] = '/';
        deep[n] = '\0';
        most = amld_paths_check(&c, err, sizeof(err)) == 0 ? n : most;
    }
    assert_int_equal(most, 99 - strlen("/i/00000000/s/vscode.sock"));
    c.engine = NULL;

    /* no application, no sockets */
    c.application_count = 0;
    assert_int_equal(amld_paths_check(&c, err, sizeof(err)), 0);
}


static int
keep_logs(const char *name)
{
    return strcmp(name, "keep") == 0;
}


static void
removing_files(void **state)
{
    scratch_t *s = *state;
    char path[256], link[300], inside[300];
    FILE *f;

    snprintf(path, sizeof(path), "%s/a/b/c", s->dir);
    assert_int_equal(amld_files_mkdir(path, 0700), 0);
    assert_int_equal(amld_files_mkdir(path, 0700), 0);

    /* a link to what is not ours is removed, what it names stays */
    snprintf(inside, sizeof(inside), "%s/precious", s->dir);
    assert_int_equal(amld_files_mkdir(inside, 0700), 0);
    snprintf(link, sizeof(link), "%s/link", path);
    assert_int_equal(symlink(inside, link), 0);
    snprintf(inside, sizeof(inside), "%s/precious/file", s->dir);
    f = fopen(inside, "w");
    assert_non_null(f);
    fclose(f);

    snprintf(path, sizeof(path), "%s/a/keep", s->dir);
    assert_int_equal(amld_files_mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/a", s->dir);
    assert_int_equal(amld_files_remove(path, 0, keep_logs), 0);
    snprintf(path, sizeof(path), "%s/a/b", s->dir);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "%s/a/keep", s->dir);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/a", s->dir);
    assert_int_equal(amld_files_remove(path, 1, NULL), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(inside, F_OK), 0);

    assert_int_equal(amld_files_remove(path, 1, NULL), 0); /* twice */
    assert_int_equal(amld_files_mkdir(inside, 0700), -1);  /* a file */
}


int
main(void)
{
#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(keys),
        TEST(routes_follow_the_state),
        TEST(failed_start),
        TEST(neighbours),
        TEST(a_transaction_or_nothing),
        TEST(broken_documents),
        TEST(names_are_taken_once),
        TEST(folders),
        TEST(generations),
        TEST(operations),
        TEST(operations_are_swept),
        TEST(operations_of_one),
        TEST(operations_of_before),
        TEST(operation_ids),
        TEST(origins),
        TEST(deep_state_directories),
        TEST(removing_files),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("computes", tests, NULL, NULL);
}
