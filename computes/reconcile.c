/*
 * What a document says, and what runs: made the same.
 *
 * A handler may write the document at any time.  So nothing is written here
 * but in a transaction that has read the document again and found that it
 * still says what is being done.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "computes/instance.h"
#include "computes/operations.h"

typedef int (*reconcile_change_pt)(amld_instance_t *i, aml_registry_txn_t *txn,
                                   json_t *doc);

static int reconcile_idle(amld_instance_t *i, amld_state_t state);
static int reconcile_start(amld_instance_t *i);
static int reconcile_settle_failure(amld_instance_t *i);
static int reconcile_remove(amld_instance_t *i);
static int reconcile_write(amld_instance_t *i, reconcile_change_pt change);
static int reconcile_load(amld_instance_t *i, json_t **doc);
static int
change_lost(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int
change_begun(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int
change_running(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int
change_stopped(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int
change_failed(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int
change_commands(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int change_set_commands(amld_instance_t *i, json_t *doc);
static void tick_starting(amld_instance_t *i, int64_t now);
static void tick_up(amld_instance_t *i, int64_t now);
static void tick_crash(amld_app_t *app, int64_t now, const char *what);
static void tick_again(amld_app_t *app, int64_t now);
static int tick_stopping(amld_instance_t *i, int64_t now);
static int reconcile_is_start(const json_t *doc);

#define RECONCILE_OK 0
#define RECONCILE_CHANGED 1 /* the document says something else now */
#define RECONCILE_FAILED (-1)


int
amld_reconcile(amld_instance_t *i)
{
    int begun;
    json_t *doc;
    amld_state_t state;

    i->look_at = AMLD_NEVER;

    if (reconcile_load(i, &doc) != 0) {
        return 0;
    }

    if (doc == NULL) {
        if (i->phase == AMLD_PHASE_IDLE) {
            return 1;
        }
        /* Nobody removes documents but this thread, and a person by hand. */
        amld_log(AMLD_LOG_WARN, "%s: its document is gone; stopping it",
                 i->name);
        amld_instance_stop(i, 1);
        return 0;
    }

    state = amld_compute_state(doc);
    begun = json_is_true(json_object_get(doc, "begun"));
    json_decref(doc);

    switch (state) {

    case AMLD_STATE_STOPPING:
    case AMLD_STATE_DELETING:
        i->failed = 0;
        if (i->phase == AMLD_PHASE_STARTING || i->phase == AMLD_PHASE_UP) {
            amld_instance_stop(i, 0);
        }
        break;

    case AMLD_STATE_RESTARTING:
        if (!begun) {
            i->failed = 0;
            if (i->phase == AMLD_PHASE_STARTING || i->phase == AMLD_PHASE_UP) {
                amld_instance_stop(i, 0);
            }
        }
        break;

    default:
        break;
    }

    if (i->phase == AMLD_PHASE_IDLE) {
        return reconcile_idle(i, state);
    }

    return 0;
}


int
amld_reconcile_first(amld_instance_t *i, const json_t *doc)
{
    size_t k, running;
    amld_state_t state;

    state = amld_compute_state(doc);
    running = amld_instance_adopt(i, doc);

    switch (state) {

    case AMLD_STATE_RUNNING:
        if (running != 0 || i->app_count == 0) {
            i->phase = AMLD_PHASE_UP;
            for (k = 0; k < i->app_count; k++) {
                if (!i->apps[k].running) {
                    i->apps[k].again_at = amld_now();
                }
            }
            amld_log(AMLD_LOG_INFO, "%s: still runs", i->name);
            return 0;
        }

        amld_log(AMLD_LOG_WARN, "%s: was lost; starting it again", i->name);
        if (reconcile_write(i, change_lost) == RECONCILE_FAILED) {
            return 0;
        }
        break;

    case AMLD_STATE_CREATING:
    case AMLD_STATE_STARTING:
    case AMLD_STATE_RESTARTING:
        if (running != 0 && running == i->app_count &&
            reconcile_is_start(doc)) {
            i->phase = AMLD_PHASE_STARTING;
            i->begun_at = amld_now();
            return 0;
        }
        break;

    default:
        break;
    }

    /* What runs now is not what is wanted, or only a part of it. */
    if (running != 0) {
        amld_instance_stop(i, state != AMLD_STATE_STOPPING &&
                                  state != AMLD_STATE_DELETING &&
                                  state != AMLD_STATE_RESTARTING);
        return 0;
    }

    i->app_count = 0;

    return amld_reconcile(i);
}


int
amld_instance_tick(amld_instance_t *i, int64_t now)
{
    size_t k;

    if (now >= i->look_at && amld_reconcile(i)) {
        return 1;
    }

    for (k = 0; k < i->app_count; k++) {
        amld_instance_probe(&i->apps[k], now);
    }

    switch (i->phase) {

    case AMLD_PHASE_STARTING:
        tick_starting(i, now);
        break;

    case AMLD_PHASE_UP:
        tick_up(i, now);
        break;

    case AMLD_PHASE_STOPPING:
        return tick_stopping(i, now);

    default:
        break;
    }

    return 0;
}


int64_t
amld_instance_next(const amld_instance_t *i)
{
    size_t k;
    int64_t next;
    const amld_app_t *app;

    next = i->look_at;

    if (i->phase == AMLD_PHASE_STOPPING && i->kill_at < next) {
        next = amld_instance_running(i) != 0 ? i->kill_at : 0;
    }

    for (k = 0; k < i->app_count; k++) {
        app = &i->apps[k];

        if (app->again_at < next) {
            next = app->again_at;
        }

        if (i->phase == AMLD_PHASE_STOPPING || !app->running || app->ready) {
            continue;
        }
        if (app->ready_by < next) {
            next = app->ready_by;
        }
        if (app->probe == NULL && app->probe_at < next) {
            next = app->probe_at;
        }
    }

    return next;
}


/* Nothing runs: 1 when that is as it should be. */
static int
reconcile_idle(amld_instance_t *i, amld_state_t state)
{
    switch (state) {

    case AMLD_STATE_CREATING:
    case AMLD_STATE_STARTING:
    case AMLD_STATE_RESTARTING:
        if (i->failed) {
            return reconcile_settle_failure(i);
        }
        return reconcile_start(i);

    case AMLD_STATE_STOPPING:
        amld_instance_clean(i, 0);
        if (reconcile_write(i, change_stopped) != RECONCILE_OK) {
            return 0;
        }
        amld_log(AMLD_LOG_INFO, "%s: Stopped", i->name);
        return 1;

    case AMLD_STATE_DELETING:
        return reconcile_remove(i);

    case AMLD_STATE_RUNNING:
        if (i->failed) {
            return reconcile_settle_failure(i);
        }
        return reconcile_write(i, change_lost) == RECONCILE_OK &&
               reconcile_start(i);

    default:
        amld_instance_clean(i, 0);
        return 1;
    }
}


static int
reconcile_start(amld_instance_t *i)
{
    i->begun_at = amld_now();

    if (amld_instance_exec(i) != 0) {
        amld_log(AMLD_LOG_WARN, "%s: %s", i->name, i->failure);
        return reconcile_settle_failure(i);
    }

    /* Written down before it runs: see engine.h. */
    if (reconcile_write(i, change_begun) != RECONCILE_OK) {
        amld_instance_call_off(i);
        if (i->look_at == AMLD_NEVER) {
            i->look_at = amld_now();
        }
        return 0;
    }

    amld_instance_release(i);
    i->phase = AMLD_PHASE_STARTING;

    if (i->app_count == 0) {
        i->look_at = amld_now();
    }

    return 0;
}


/* 1 when that is written down and all is over. */
static int
reconcile_settle_failure(amld_instance_t *i)
{
    int rc;

    amld_instance_clean(i, 0);

    rc = reconcile_write(i, change_failed);
    if (rc == RECONCILE_CHANGED) {
        i->look_at = amld_now();
    }

    return rc == RECONCILE_OK;
}


static int
reconcile_remove(amld_instance_t *i)
{
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    amld_instance_clean(i, 1);

    rc = aml_registry_write(i->supervisor->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, &i->key, &doc);

        if (rc == AML_REGISTRY_NOTFOUND) {
            aml_registry_end(txn);
            return 1;
        }
        if (rc == AML_REGISTRY_OK) {
            rc = amld_operation_end(txn, doc, NULL, NULL);
        }
        if (rc == AML_REGISTRY_OK) {
            rc = amld_compute_remove(txn, &i->key, doc);
        }

        json_decref(doc);

        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                 aml_registry_strerror(rc));
        i->look_at = amld_now() + AMLD_RETRY_PAUSE;
        return 0;
    }

    amld_log(AMLD_LOG_INFO, "%s: deleted", i->name);

    return 1;
}


static int
reconcile_load(amld_instance_t *i, json_t **doc)
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


/* One transaction around `change`, which answers RECONCILE_*. */
static int
reconcile_write(amld_instance_t *i, reconcile_change_pt change)
{
    int done;
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    doc = NULL;
    done = RECONCILE_FAILED;

    rc = aml_registry_write(i->supervisor->d->registry, &txn);

    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, &i->key, &doc);

        if (rc == AML_REGISTRY_NOTFOUND) {
            rc = AML_REGISTRY_OK;
            done = RECONCILE_CHANGED;
        } else if (rc == AML_REGISTRY_OK) {
            done = change(i, txn, doc);
        }

        if (rc == AML_REGISTRY_OK && done == RECONCILE_OK) {
            rc = amld_compute_modified(doc) == 0
                     ? amld_compute_store(txn, i->supervisor->d->config,
                                          &i->key, doc)
                     : AML_REGISTRY_FAILED;
            if (rc == AML_REGISTRY_OK) {
                rc = aml_registry_commit(txn);
                txn = NULL;
            }
        }

        aml_registry_end(txn);
        json_decref(doc);
    }

    if (rc != AML_REGISTRY_OK || done == RECONCILE_FAILED) {
        amld_log(AMLD_LOG_ERROR, "%s: registry: %s", i->name,
                 aml_registry_strerror(
                     rc != AML_REGISTRY_OK ? rc : AML_REGISTRY_FAILED));
        i->look_at = amld_now() + AMLD_RETRY_PAUSE;
        return RECONCILE_FAILED;
    }

    return done;
}


/* Nobody has asked for this start, so it is not the user's. */
static int
change_lost(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        return RECONCILE_CHANGED;
    }

    if (amld_operation_begin(txn, &i->key, doc, "Start") != AML_REGISTRY_OK ||
        amld_compute_set_str(json_object_get(doc, "lastOperation"), "trigger",
                             "System") != 0 ||
        amld_compute_set_state(doc, AMLD_STATE_STARTING) != 0) {
        return RECONCILE_FAILED;
    }

    return RECONCILE_OK;
}


static int
change_begun(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    uint64_t generation;
    amld_state_t state;

    state = amld_compute_state(doc);
    if (state != AMLD_STATE_CREATING && state != AMLD_STATE_STARTING &&
        state != AMLD_STATE_RESTARTING) {
        return RECONCILE_CHANGED;
    }

    if (amld_compute_generation(txn, &generation) != AML_REGISTRY_OK ||
        json_object_set_new(doc, "generation",
                            json_integer((json_int_t) generation)) != 0 ||
        json_object_set_new(doc, "begun", json_true()) != 0) {
        return RECONCILE_FAILED;
    }

    return change_set_commands(i, doc);
}


static int
change_running(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) i;

    if (!reconcile_is_start(doc)) {
        return RECONCILE_CHANGED;
    }

    if (amld_operation_end(txn, doc, NULL, NULL) != AML_REGISTRY_OK ||
        amld_compute_set_error(doc, NULL, NULL) != 0 ||
        amld_compute_set_state(doc, AMLD_STATE_RUNNING) != 0) {
        return RECONCILE_FAILED;
    }

    return RECONCILE_OK;
}


static int
change_stopped(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) i;

    if (amld_compute_state(doc) != AMLD_STATE_STOPPING) {
        return RECONCILE_CHANGED;
    }

    if (amld_operation_end(txn, doc, NULL, NULL) != AML_REGISTRY_OK ||
        amld_compute_set_error(doc, NULL, NULL) != 0 ||
        json_object_set_new(doc, "commands", json_object()) != 0 ||
        amld_compute_set_state(doc, AMLD_STATE_STOPPED) != 0) {
        return RECONCILE_FAILED;
    }

    return RECONCILE_OK;
}


static int
change_failed(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    const char *code;
    amld_state_t next;

    switch (amld_compute_state(doc)) {

    case AMLD_STATE_CREATING:
        code = "ComputeInstanceCreateFailed";
        next = AMLD_STATE_CREATE_FAILED;
        break;

    case AMLD_STATE_STARTING:
        code = "ComputeInstanceStartFailed";
        next = AMLD_STATE_STOPPED;
        break;

    case AMLD_STATE_RESTARTING:
        if (!json_is_true(json_object_get(doc, "begun")) &&
            amld_instance_running(i) != 0) {
            return RECONCILE_CHANGED;
        }
        code = "ComputeInstanceRestartFailed";
        next = AMLD_STATE_STOPPED;
        break;

    case AMLD_STATE_RUNNING:
        code = "ComputeInstanceUnusable";
        next = AMLD_STATE_UNUSABLE;
        break;

    default:
        return RECONCILE_CHANGED;
    }

    if (amld_operation_end(txn, doc, code, i->failure) != AML_REGISTRY_OK ||
        amld_compute_set_error(doc, code, i->failure) != 0 ||
        json_object_set_new(doc, "commands", json_object()) != 0 ||
        amld_compute_set_state(doc, next) != 0) {
        return RECONCILE_FAILED;
    }

    amld_log(AMLD_LOG_WARN, "%s: %s", i->name, amld_state_name(next));

    return RECONCILE_OK;
}


static int
change_commands(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) txn;

    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        return RECONCILE_CHANGED;
    }

    return change_set_commands(i, doc);
}


static int
change_set_commands(amld_instance_t *i, json_t *doc)
{
    size_t k;

    if (json_object_set_new(doc, "commands", json_object()) != 0) {
        return RECONCILE_FAILED;
    }

    for (k = 0; k < i->app_count; k++) {
        if (amld_compute_set_command(doc, i->apps[k].application->name,
                                     &i->apps[k].id) != 0) {
            return RECONCILE_FAILED;
        }
    }

    return RECONCILE_OK;
}


static void
tick_starting(amld_instance_t *i, int64_t now)
{
    int rc;
    size_t k, ready;
    amld_app_t *app;

    for (k = 0, ready = 0; k < i->app_count; k++) {
        app = &i->apps[k];

        if (amld_instance_ended(app) && app->adopted) {
            /* Most likely it was still held back when amld was killed. */
            amld_instance_stop(i, 1);
            return;
        }

        if (!app->running) {
            amld_instance_fail(i, app, 1, "%s ended before it was ready.",
                               app->application->name);
            return;
        }

        if (!app->ready && now >= app->ready_by) {
            amld_instance_fail(i, app, 1,
                               "%s did not answer within %u seconds.",
                               app->application->name,
                               i->supervisor->d->config->start_timeout);
            return;
        }

        ready += app->ready != 0;
    }

    if (ready < i->app_count || i->look_at != AMLD_NEVER) {
        return;
    }

    rc = reconcile_write(i, change_running);
    if (rc == RECONCILE_CHANGED) {
        i->look_at = now;
        return;
    }
    if (rc == RECONCILE_OK) {
        i->phase = AMLD_PHASE_UP;
        amld_log(AMLD_LOG_INFO, "%s: Running after %lld ms", i->name,
                 (long long) (now - i->begun_at));
    }
}


static void
tick_up(amld_instance_t *i, int64_t now)
{
    size_t k;
    amld_app_t *app;

    for (k = 0; k < i->app_count && i->phase == AMLD_PHASE_UP; k++) {
        app = &i->apps[k];

        if (amld_instance_ended(app)) {
            tick_crash(app, now, "ended");

        } else if (app->running && !app->ready && now >= app->ready_by) {
            amld_log(AMLD_LOG_WARN, "%s: %s does not answer; ending it",
                     i->name, app->application->name);
            app->ready_by = now + AMLD_KILL_PAUSE;
            amld_instance_kill_app(app);

        } else if (now >= app->again_at) {
            tick_again(app, now);
        }
    }
}


static void
tick_crash(amld_app_t *app, int64_t now, const char *what)
{
    amld_instance_t *i;

    i = app->instance;

    if (now - app->up_since >= AMLD_CRASH_FORGIVEN) {
        app->crashes = 0;
    }

    if (app->crashes == AMLD_CRASHES_MAX) {
        amld_instance_fail(i, app, 0,
                           "%s %s again and again: it was restarted %d times "
                           "in a row.",
                           app->application->name, what, AMLD_CRASHES_MAX);
        return;
    }

    app->again_at = now + (1000LL << app->crashes);
    app->crashes++;

    amld_log(AMLD_LOG_WARN, "%s: %s %s; starting it again in %lld s", i->name,
             app->application->name, what,
             (long long) ((app->again_at - now) / 1000));
}


static void
tick_again(amld_app_t *app, int64_t now)
{
    int rc;
    char err[512];
    amld_instance_t *i;

    i = app->instance;
    app->again_at = AMLD_NEVER;
    app->up_since = now;

    if (amld_instance_exec_app(app, err, sizeof(err)) != 0) {
        amld_log(AMLD_LOG_WARN, "%s: %s", i->name, err);
        tick_crash(app, now, "can't be started");
        return;
    }

    rc = reconcile_write(i, change_commands);
    if (rc == RECONCILE_OK) {
        amld_instance_release_app(app);
        return;
    }

    amld_instance_drop_app(app);
    if (rc == RECONCILE_CHANGED) {
        i->look_at = now;
    } else {
        app->again_at = now + AMLD_RETRY_PAUSE;
    }
}


static int
tick_stopping(amld_instance_t *i, int64_t now)
{
    size_t k;

    for (k = 0; k < i->app_count; k++) {
        (void) amld_instance_ended(&i->apps[k]);
    }

    if (amld_instance_running(i) == 0) {
        i->phase = AMLD_PHASE_IDLE;
        i->kill_at = AMLD_NEVER;
        i->app_count = 0;
        return amld_reconcile(i);
    }

    if (now >= i->kill_at) {
        amld_log(AMLD_LOG_WARN, "%s: did not end when asked to; killing it",
                 i->name);
        amld_instance_stop(i, 1 + (i->kills > 0));
    }

    return 0;
}


/* 1 when what was started last is what is asked for. */
static int
reconcile_is_start(const json_t *doc)
{
    amld_state_t state;

    state = amld_compute_state(doc);

    return (state == AMLD_STATE_CREATING || state == AMLD_STATE_STARTING ||
            state == AMLD_STATE_RESTARTING) &&
           json_is_true(json_object_get(doc, "begun"));
}
