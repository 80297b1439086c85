#include "computes/instances/record.h"

#include "computes/files/reserve.h"
#include "computes/instances/operations.h"
#include "computes/instances/step.h"
#include "computes/services/service.h"

static aml_registry_rc_t
record_try(amld_instance_t *i, amld_record_change_pt change, int *answer);
static int record_begins(amld_record_change_pt change);
static aml_registry_rc_t record_remove(amld_instance_t *i);
static int change_set_commands(amld_instance_t *i, json_t *doc);


/* One transaction around `change`, which answers AMLD_RECORD_*. */
int
amld_record_write(amld_instance_t *i, amld_record_change_pt change)
{
    int done;
    aml_registry_rc_t rc;

    rc = record_try(i, change, &done);

    /* What begins something has to wait for room; what has ended has not. */
    if (amld_reserve_is_full(rc) && !record_begins(change) &&
        amld_reserve_spend(i->supervisor->d->registry) == 0) {
        rc = record_try(i, change, &done);
    }

    i->full = amld_reserve_is_full(rc);

    if (rc != AML_REGISTRY_OK || done == AMLD_RECORD_FAILED) {
        amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                 aml_registry_strerror(
                     rc != AML_REGISTRY_OK ? rc : AML_REGISTRY_FAILED));
        i->look_at = amld_now() + AMLD_RETRY_PAUSE;
        return AMLD_RECORD_FAILED;
    }

    return done;
}


static int
record_begins(amld_record_change_pt change)
{
    return change == amld_change_lost || change == amld_change_step ||
           change == amld_change_begun;
}


static aml_registry_rc_t
record_try(amld_instance_t *i, amld_record_change_pt change, int *answer)
{
    int done;
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    doc = NULL;
    done = AMLD_RECORD_FAILED;

    rc = aml_registry_write(i->supervisor->d->registry, &txn);

    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, &i->key, &doc);

        if (rc == AML_REGISTRY_NOTFOUND) {
            rc = AML_REGISTRY_OK;
            done = AMLD_RECORD_CHANGED;
        } else if (rc == AML_REGISTRY_OK && record_begins(change) &&
                   amld_reserve_is_spent(txn)) {
            rc = AML_REGISTRY_LIMIT;
        } else if (rc == AML_REGISTRY_OK) {
            done = change(i, txn, doc);
            if (done == AMLD_RECORD_FAILED) {
                rc = aml_registry_fault(txn);
            }
        }

        if (rc == AML_REGISTRY_OK && done == AMLD_RECORD_OK) {
            amld_progress_look(i->progress, doc);
            rc = amld_compute_modified(doc) == 0 &&
                         amld_progress_save(i->progress, doc) == 0
                     ? amld_compute_store(txn, i->supervisor->d->config,
                                          &i->key, doc)
                     : AML_REGISTRY_FAILED;
            if (rc == AML_REGISTRY_OK) {
                rc = aml_registry_commit(txn);
                txn = NULL;
                amld_progress_state(i->progress);
            }
        }

        aml_registry_end(txn);
        json_decref(doc);
    }

    *answer = done;

    return rc;
}


int
amld_record_load(amld_instance_t *i, json_t **doc)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    *doc = NULL;

    rc = aml_registry_read(i->supervisor->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, &i->key, doc);
        aml_registry_end(txn);
    }

    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        return 0;
    }

    amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
             aml_registry_strerror(rc));
    i->look_at = amld_now() + AMLD_RETRY_PAUSE;

    return -1;
}


/* Nobody has asked for this start, so it is not the user's. */
int
amld_change_lost(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        return AMLD_RECORD_CHANGED;
    }

    if (amld_operation_begin(txn, &i->key, doc, "Start") != AML_REGISTRY_OK ||
        amld_compute_set_str(json_object_get(doc, "lastOperation"), "trigger",
                             "System") != 0 ||
        amld_compute_set_state(doc, AMLD_STATE_STARTING) != 0) {
        return AMLD_RECORD_FAILED;
    }

    return AMLD_RECORD_OK;
}


int
amld_change_step(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) txn;

    if (!amld_record_is_starting(amld_compute_state(doc))) {
        return AMLD_RECORD_CHANGED;
    }

    /* Those of the start before have ended. */
    if ((i->created && json_object_set_new(doc, "created", json_true()) != 0) ||
        json_object_set_new(doc, "commands", json_object()) != 0 ||
        json_object_set_new(doc, "begun", json_true()) != 0 ||
        amld_step_record(i, doc) != 0) {
        return AMLD_RECORD_FAILED;
    }

    return AMLD_RECORD_OK;
}


int
amld_change_begun(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    uint64_t generation;

    if (!amld_record_is_starting(amld_compute_state(doc))) {
        return AMLD_RECORD_CHANGED;
    }

    (void) json_object_del(doc, "step");

    if ((i->created && json_object_set_new(doc, "created", json_true()) != 0) ||
        amld_compute_generation(txn, &generation) != AML_REGISTRY_OK ||
        json_object_set_new(doc, "generation",
                            json_integer((json_int_t) generation)) != 0 ||
        json_object_set_new(doc, "begun", json_true()) != 0 ||
        (i->user != NULL &&
         amld_compute_set_str(doc, "account", i->user) != 0)) {
        return AMLD_RECORD_FAILED;
    }

    return change_set_commands(i, doc);
}


int
amld_change_running(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    i->serves =
        amld_services(doc) != NULL || i->supervisor->engine->ports != NULL;

    if (!amld_record_is_start(doc)) {
        return AMLD_RECORD_CHANGED;
    }

    if (amld_operation_end(txn, doc, NULL, NULL) != AML_REGISTRY_OK ||
        amld_compute_set_error(doc, NULL, NULL) != 0 ||
        amld_compute_set_state(doc, AMLD_STATE_RUNNING) != 0) {
        return AMLD_RECORD_FAILED;
    }

    return AMLD_RECORD_OK;
}


int
amld_change_stopped(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) i;

    if (amld_compute_state(doc) != AMLD_STATE_STOPPING) {
        return AMLD_RECORD_CHANGED;
    }

    (void) json_object_del(doc, "step");

    if (amld_operation_end(txn, doc, NULL, NULL) != AML_REGISTRY_OK ||
        amld_compute_set_error(doc, NULL, NULL) != 0 ||
        json_object_set_new(doc, "commands", json_object()) != 0 ||
        amld_compute_set_state(doc, AMLD_STATE_STOPPED) != 0) {
        return AMLD_RECORD_FAILED;
    }

    return AMLD_RECORD_OK;
}


int
amld_change_failed(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    const char *code, *text;
    amld_state_t next;

    switch (amld_compute_state(doc)) {

    case AMLD_STATE_CREATING:
        code = "ComputeInstanceCreateFailed";
        next = AMLD_STATE_CREATE_FAILED;
        if (i->setup_failed) {
            code = "ComputeInstanceSetupFailed";
            next = AMLD_STATE_SETUP_FAILED;
        }
        break;

    case AMLD_STATE_STARTING:
        code = "ComputeInstanceStartFailed";
        next = AMLD_STATE_STOPPED;
        break;

    case AMLD_STATE_RESTARTING:
        if (!json_is_true(json_object_get(doc, "begun")) &&
            amld_instance_running(i) != 0) {
            return AMLD_RECORD_CHANGED;
        }
        code = "ComputeInstanceRestartFailed";
        next = AMLD_STATE_STOPPED;
        break;

    case AMLD_STATE_RUNNING:
        code = "ComputeInstanceUnusable";
        next = AMLD_STATE_UNUSABLE;
        break;

    case AMLD_STATE_STOPPING:
        code = "ComputeInstanceStopFailed";
        next = AMLD_STATE_UNUSABLE;
        break;

    case AMLD_STATE_DELETING:
        code = "ComputeInstanceDeleteFailed";
        next = AMLD_STATE_UNUSABLE;
        break;

    default:
        return AMLD_RECORD_CHANGED;
    }

    text = i->failure != NULL ? i->failure : "There is no memory.";
    (void) json_object_del(doc, "step");

    if (amld_operation_end(txn, doc, code, text) != AML_REGISTRY_OK ||
        amld_compute_set_error(doc, code, text) != 0 ||
        json_object_set_new(doc, "commands", json_object()) != 0 ||
        amld_compute_set_state(doc, next) != 0) {
        return AMLD_RECORD_FAILED;
    }

    amld_log(AMLD_LOG_WARN, "%s: %s", i->name, amld_state_name(next));

    return AMLD_RECORD_OK;
}


int
amld_change_commands(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) txn;

    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        return AMLD_RECORD_CHANGED;
    }

    return change_set_commands(i, doc);
}


int
amld_record_remove(amld_instance_t *i)
{
    aml_registry_rc_t rc;

    rc = record_remove(i);
    if (amld_reserve_is_full(rc) &&
        amld_reserve_spend(i->supervisor->d->registry) == 0) {
        rc = record_remove(i);
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        return 1;
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                 aml_registry_strerror(rc));
        i->look_at = amld_now() + AMLD_RETRY_PAUSE;
        return 0;
    }

    amld_progress_state(i->progress);
    amld_log(AMLD_LOG_INFO, "%s: deleted", i->name);

    return 1;
}


static aml_registry_rc_t
record_remove(amld_instance_t *i)
{
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(i->supervisor->d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_compute_load(txn, &i->key, &doc);

    if (rc == AML_REGISTRY_OK) {
        rc = amld_operation_end(txn, doc, NULL, NULL);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_compute_remove(txn, &i->key, doc);
        }
        if (rc == AML_REGISTRY_OK) {
            json_decref(doc);
            return aml_registry_commit(txn);
        }
        if (aml_registry_fault(txn) != AML_REGISTRY_OK) {
            rc = aml_registry_fault(txn);
        } else if (rc == AML_REGISTRY_NOTFOUND) {
            rc = AML_REGISTRY_FAILED; /* of something else */
        }
    }

    json_decref(doc);
    aml_registry_end(txn);

    return rc;
}


int
amld_record_is_start(const json_t *doc)
{
    return amld_record_is_starting(amld_compute_state(doc)) &&
           json_is_true(json_object_get(doc, "begun"));
}


int
amld_record_is_starting(amld_state_t state)
{
    return state == AMLD_STATE_CREATING || state == AMLD_STATE_STARTING ||
           state == AMLD_STATE_RESTARTING;
}


static int
change_set_commands(amld_instance_t *i, json_t *doc)
{
    size_t k;

    if (json_object_set_new(doc, "commands", json_object()) != 0) {
        return AMLD_RECORD_FAILED;
    }

    for (k = 0; k < i->app_count; k++) {
        /* One on demand that has none, see on_demand_run.h. */
        if (i->apps[k].id.pid == 0) {
            continue;
        }
        if (amld_compute_set_command(doc, i->apps[k].application->name,
                                     &i->apps[k].id) != 0) {
            return AMLD_RECORD_FAILED;
        }
    }

    return AMLD_RECORD_OK;
}
