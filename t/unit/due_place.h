/*
 * One instance, "Lab", for tests of what happens to it by itself.  Who includes
 * this says by PLACE_KIND which queue is looked at, and by PLACE_TURN what has
 * its turn.
 */

#ifndef AML_DUE_PLACE_H
#define AML_DUE_PLACE_H

#include "t/unit/scratch.h"

#include <jansson.h>
#include <sys/eventfd.h>
#include <time.h>

#include "computes/automatic/due.h"
#include "computes/automatic/usage.h"
#include "computes/instances/computes.h"

#define CREATOR "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"

static amld_workspace_t workspace = {
    (char *) "demo",
    (char *) "s",
    (char *) "rg",
    (char *) "local",
    (char *) "/srv/share",
    (char *) "/subscriptions/s/resourceGroups/rg/providers/"
             "Microsoft.MachineLearningServices/workspaces/demo"};

static amld_config_t config = {.state = (char *) "/run/aml",
                               .apps = (char *) "apps.example.org",
                               .apps_port = (char *) "",
                               .workspaces = &workspace,
                               .workspace_count = 1};

typedef struct {
    scratch_t *scratch;
    amld_t d;
    amld_key_t key;
    int64_t since; /* when it came to run */
} place_t;


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));
    void *scratch;

    assert_non_null(p);
    assert_int_equal(scratch_setup(&scratch), 0);
    p->scratch = scratch;
    p->d.config = &config;
    p->d.registry = p->scratch->registry;
    p->d.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(p->d.wake >= 0);
    p->d.usage = amld_usage_new(0);
    assert_int_equal(amld_compute_key(&p->key, &workspace, "Lab"), 0);
    amld_log_level(AMLD_LOG_ERROR);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;
    void *scratch = p->scratch;

    scratch_teardown(&scratch);
    amld_usage_free(p->d.usage);
    close(p->d.wake);
    free(p);

    return 0;
}


static void
store(place_t *p, json_t *doc)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(p->d.registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &config, &p->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static json_t *
load(place_t *p)
{
    aml_registry_txn_t *txn;
    json_t *doc;

    assert_int_equal(aml_registry_read(p->d.registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &p->key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);

    return doc;
}


static int64_t
due(place_t *p)
{
    aml_registry_txn_t *txn;
    amld_key_t key;
    int64_t at = AMLD_DUE_NEVER;

    assert_int_equal(aml_registry_read(p->d.registry, &txn), AML_REGISTRY_OK);
    if (amld_due_first(txn, PLACE_KIND, &key, &at) == AML_REGISTRY_OK) {
        assert_string_equal(key.p, p->key.p);
    }
    aml_registry_end(txn);

    return at;
}


/* Its turn, at `now`; then it is in `state`. */
static void
turn(place_t *p, int64_t now, amld_state_t state)
{
    json_t *doc;

    PLACE_TURN(&p->d, &p->key, due(p), now);
    doc = load(p);
    assert_string_equal(amld_compute_str(doc, "state"), amld_state_name(state));
    json_decref(doc);
}

#endif /* AML_DUE_PLACE_H */
