/*
 * What a document says, and what runs: made the same.
 */

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "computes/files/logfile.h"
#include "computes/files/shares.h"
#include "computes/instances/instance.h"
#include "computes/instances/on_demand_run.h"
#include "computes/instances/record.h"
#include "computes/instances/step.h"
#include "computes/jobs/job_run.h"
#include "computes/services/service_run.h"

#define RECONCILE_CLEAR_TRIES 3

static int reconcile_runs(const amld_instance_t *i);
static int reconcile_idle(amld_instance_t *i, amld_state_t state);
static int reconcile_start(amld_instance_t *i);
static int reconcile_go_on(amld_instance_t *i);
static int reconcile_applications(amld_instance_t *i);
static int reconcile_clear(amld_instance_t *i, amld_step_kind_t kind);
static int reconcile_settle_failure(amld_instance_t *i);
static int reconcile_step_failed(amld_instance_t *i, int result);
static void reconcile_lost_commit(amld_instance_t *i);
static int tick_preparing(amld_instance_t *i, int64_t now);
static void tick_starting(amld_instance_t *i, int64_t now);
static void tick_up(amld_instance_t *i, int64_t now);
static void tick_crash(amld_app_t *app, int64_t now, const char *what);
static void tick_again(amld_app_t *app, int64_t now);
static int tick_lost(amld_instance_t *i, int64_t now);
static int tick_stopping(amld_instance_t *i, int64_t now);
static int tick_clearing(amld_instance_t *i, int64_t now);


int
amld_reconcile(amld_instance_t *i)
{
    int begun;
    json_t *doc;
    amld_state_t state;

    i->look_at = AMLD_NEVER;

    if (amld_record_load(i, &doc) != 0) {
        return 0;
    }

    if (doc == NULL) {
        if (i->phase == AMLD_PHASE_IDLE) {
            return 1;
        }
        /* Nobody removes documents but this thread, and a person by hand. */
        amld_log(AMLD_LOG_WARN, "%s: its document is gone; stopping it",
                 i->name);
        if (i->phase != AMLD_PHASE_CLEARING) {
            amld_instance_stop(i, 1);
        }
        return 0;
    }

    amld_progress_look(i->progress, doc);
    state = amld_compute_state(doc);
    begun = json_is_true(json_object_get(doc, "begun"));
    snprintf(i->operation, sizeof(i->operation), "%s",
             amld_compute_str(doc, "operation"));

    if (state == AMLD_STATE_RUNNING && i->phase == AMLD_PHASE_UP) {
        amld_on_demand_look(i, doc);
        amld_services_look(i, doc);
    }

    json_decref(doc);
    amld_jobs_look(i);

    switch (state) {

    case AMLD_STATE_STOPPING:
    case AMLD_STATE_DELETING:
        if (i->clear_tries < RECONCILE_CLEAR_TRIES) {
            i->failed = 0;
        }
        if (reconcile_runs(i)) {
            amld_instance_stop(i, 0);
        }
        break;

    case AMLD_STATE_RESTARTING:
        if (!begun) {
            /* What failed before it was asked for is not its own failure. */
            if (strcmp(i->operation, i->tried) != 0) {
                i->failed = 0;
            }
            if (reconcile_runs(i)) {
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
    amld_jobs_adopt(i);

    if (amld_step_adopt(i, doc)) {
        if (amld_record_is_start(doc) && i->app_count == 0) {
            i->phase = AMLD_PHASE_PREPARING;
            i->next_step = i->step.kind;
            amld_progress_step(i->progress, amld_step_name(i->step.kind),
                               amld_step_name(i->step.kind), 0);
            i->begun_at = amld_now();
            return 0;
        }
        if (amld_step_ended(i) == 0) {
            running++;
        }
    }

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
            amld_jobs_up(i);
            amld_on_demand_adopt(i, doc);
            amld_on_demand_look(i, doc);
            amld_services_look(i, doc);
            return 0;
        }

        amld_log(AMLD_LOG_WARN, "%s: was lost; starting it again", i->name);
        if (amld_record_write(i, amld_change_lost) == AMLD_RECORD_FAILED) {
            return 0;
        }
        break;

    case AMLD_STATE_CREATING:
    case AMLD_STATE_STARTING:
    case AMLD_STATE_RESTARTING:
        if (running != 0 && running == i->app_count &&
            amld_record_is_start(doc)) {
            i->phase = AMLD_PHASE_STARTING;
            i->begun_at = amld_now();
            return 0;
        }
        break;

    default:
        break;
    }

    /* What runs now is not what is wanted, or only a part of it. */
    if (running != 0 || i->job_count != 0) {
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

    case AMLD_PHASE_PREPARING:
        return tick_preparing(i, now);

    case AMLD_PHASE_STARTING:
        tick_starting(i, now);
        break;

    case AMLD_PHASE_UP:
        tick_up(i, now);
        break;

    case AMLD_PHASE_STOPPING:
        return tick_stopping(i, now);

    case AMLD_PHASE_CLEARING:
        return tick_clearing(i, now);

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

    next = amld_jobs_next(i);
    if (i->look_at < next) {
        next = i->look_at;
    }

    if (i->phase == AMLD_PHASE_STOPPING && i->kill_at < next) {
        next = amld_instance_running(i) != 0 ? i->kill_at : 0;
    }

    if (i->phase == AMLD_PHASE_PREPARING || i->phase == AMLD_PHASE_CLEARING) {
        if (i->step.by < next) {
            next = i->step.by;
        }
        if (!i->step.running && i->look_at == AMLD_NEVER) {
            next = i->phase == AMLD_PHASE_PREPARING ? 0 : i->step.by;
        }
    }

    for (k = 0; k < i->app_count; k++) {
        app = &i->apps[k];

        if (app->again_at < next) {
            next = app->again_at;
        }

        if (i->phase == AMLD_PHASE_STOPPING || !app->running ||
            (app->ready && !amld_service_is(app))) {
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


static int
reconcile_runs(const amld_instance_t *i)
{
    return i->phase == AMLD_PHASE_PREPARING ||
           i->phase == AMLD_PHASE_STARTING || i->phase == AMLD_PHASE_UP;
}


/* Nothing runs: 1 when that is as it should be. */
static int
reconcile_idle(amld_instance_t *i, amld_state_t state)
{
    /* A start begins by making anew whatever there is. */
    if (!i->cleared && (i->failed || (!amld_record_is_starting(state) &&
                                      state != AMLD_STATE_RUNNING))) {
        return reconcile_clear(i, state == AMLD_STATE_DELETING
                                      ? AMLD_STEP_REMOVE
                                      : AMLD_STEP_CLEAR);
    }
    if (state == AMLD_STATE_DELETING && !i->failed &&
        i->cleared != (int) AMLD_STEP_REMOVE) {
        return reconcile_clear(i, AMLD_STEP_REMOVE);
    }

    switch (state) {

    case AMLD_STATE_CREATING:
    case AMLD_STATE_STARTING:
    case AMLD_STATE_RESTARTING:
        if (i->failed) {
            return reconcile_settle_failure(i);
        }
        return reconcile_start(i);

    case AMLD_STATE_STOPPING:
        if (i->failed) {
            return reconcile_settle_failure(i);
        }
        amld_instance_clean(i, 0);
        if (amld_record_write(i, amld_change_stopped) != AMLD_RECORD_OK) {
            return 0;
        }
        amld_log(AMLD_LOG_INFO, "%s: Stopped", i->name);
        return 1;

    case AMLD_STATE_DELETING:
        if (i->failed) {
            return reconcile_settle_failure(i);
        }
        if (amld_jobs_cancel(i) != 0) {
            i->look_at = amld_now() + AMLD_RETRY_PAUSE;
            return 0;
        }
        amld_instance_clean(i, 1);
        return amld_record_remove(i);

    case AMLD_STATE_RUNNING:
        if (i->failed) {
            return reconcile_settle_failure(i);
        }
        return amld_record_write(i, amld_change_lost) == AMLD_RECORD_OK &&
               reconcile_start(i);

    default:
        amld_instance_clean(i, 0);
        return 1;
    }
}


static int
reconcile_start(amld_instance_t *i)
{
    memcpy(i->tried, i->operation, sizeof(i->tried));
    i->begun_at = amld_now();
    i->cleared = 0;
    i->clear_tries = 0;

    if (amld_instance_begin(i) != 0) {
        amld_log(AMLD_LOG_WARN, "%s: %s", i->name,
                 i->failure != NULL ? i->failure : "no memory");
        return reconcile_clear(i, AMLD_STEP_CLEAR);
    }

    i->phase = AMLD_PHASE_PREPARING;
    i->next_step = AMLD_STEP_PREPARE;

    return reconcile_go_on(i);
}


/* The next step of a start, or the applications. */
static int
reconcile_go_on(amld_instance_t *i)
{
    int rc;
    char err[1024];
    json_t *doc;

    if (amld_record_load(i, &doc) != 0) {
        return 0;
    }

    for (rc = 0; rc == 0 && i->next_step < AMLD_STEP_CLEAR; i->next_step++) {
        rc = amld_step_exec(i, i->next_step, doc, err, sizeof(err));
        if (rc != 0) {
            break;
        }
    }

    json_decref(doc);

    if (rc == -1) {
        amld_instance_fail(i, NULL, 1, "%s", err);
        return 0;
    }

    if (rc == 0) {
        return reconcile_applications(i);
    }

    amld_progress_step(i->progress, amld_step_name(i->step.kind),
                       amld_step_name(i->step.kind), 0);

    /* Written down before it runs: see engine.h. */
    if (amld_record_write(i, amld_change_step) != AMLD_RECORD_OK) {
        amld_step_drop(i);
        reconcile_lost_commit(i);
        return 0;
    }

    amld_step_release(i);

    return 0;
}


static int
reconcile_applications(amld_instance_t *i)
{
    char log[PATH_MAX];
    size_t k;
    const char *name;

    if (amld_instance_exec(i) != 0) {
        amld_instance_fail(i, NULL, 1, "%s",
                           i->failure != NULL ? i->failure : "no memory");
        return 0;
    }

    for (k = 0; k < i->app_count; k++) {
        name = i->apps[k].application->name;
        snprintf(log, sizeof(log), "%s/%s.log", i->runtime, name);
        amld_progress_step(i->progress, name, name, amld_logfile_size(log));
    }

    if (amld_record_write(i, amld_change_begun) != AMLD_RECORD_OK) {
        amld_instance_call_off(i);
        reconcile_lost_commit(i);
        return 0;
    }

    amld_instance_release(i);
    i->phase = AMLD_PHASE_STARTING;

    if (i->app_count == 0) {
        i->look_at = amld_now();
    }

    return 0;
}


/* What was called off is begun again, unless it is not wanted any more. */
static void
reconcile_lost_commit(amld_instance_t *i)
{
    if (i->look_at == AMLD_NEVER) {
        i->look_at = amld_now();
    }

    if (i->full) {
        amld_instance_fail(i, NULL, 1,
                           "The gateway's registry is full: nothing can be "
                           "started until there is room in it.");
    }
}


/* All has ended; what the engine has to do then. */
static int
reconcile_clear(amld_instance_t *i, amld_step_kind_t kind)
{
    int rc;
    char err[1024];

    rc = amld_step_exec(i, kind, NULL, err, sizeof(err));

    if (rc == 1) {
        amld_progress_step(i->progress, amld_step_name(i->step.kind),
                           amld_step_name(i->step.kind), 0);
        amld_step_release(i);
        i->kills = 0;
        i->phase = AMLD_PHASE_CLEARING;
        return 0;
    }

    i->phase = AMLD_PHASE_IDLE;

    if (rc == -1) {
        amld_log(AMLD_LOG_WARN, "%s: %s", i->name, err);
        return reconcile_step_failed(i, AMLD_COMMAND_NO_RESULT);
    }

    i->cleared = (int) i->step.kind;

    return amld_reconcile(i);
}


/* CLEAR has: it is tried again, and after that it is said. */
static int
reconcile_step_failed(amld_instance_t *i, int result)
{
    if (++i->clear_tries < RECONCILE_CLEAR_TRIES) {
        i->phase = AMLD_PHASE_CLEARING;
        i->step.by = amld_now() + AMLD_RETRY_PAUSE;
        return 0;
    }

    if (!i->failed) {
        amld_step_fail(i, result);
    }

    i->phase = AMLD_PHASE_IDLE;
    i->cleared = (int) i->step.kind;

    return amld_reconcile(i);
}


/* 1 when that is written down and all is over. */
static int
reconcile_settle_failure(amld_instance_t *i)
{
    int rc;

    amld_instance_clean(i, 0);

    rc = amld_record_write(i, amld_change_failed);
    if (rc == AMLD_RECORD_CHANGED) {
        i->look_at = amld_now();
    }

    return rc == AMLD_RECORD_OK;
}


static int
tick_preparing(amld_instance_t *i, int64_t now)
{
    int result;

    if (i->step.running) {
        if (!amld_step_ended(i)) {
            if (now >= i->step.by) {
                amld_step_fail(i, AMLD_STEP_LATE);
                amld_instance_stop(i, 1);
            }
            return 0;
        }

        result = amld_step_result(i);

        if (result == 0) {
            i->created |= i->step.kind == AMLD_STEP_CREATION;
            amld_progress_step_end(i->progress, amld_step_name(i->step.kind),
                                   AMLD_OUTCOME_SUCCEEDED);
            i->next_step++;
        } else if (result != AMLD_COMMAND_NOT_BEGUN || !i->step.adopted) {
            amld_step_fail(i, result);
            amld_instance_stop(i, 1);
            return 0;
        }
    }

    return i->look_at == AMLD_NEVER ? reconcile_go_on(i) : 0;
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
            amld_instance_fail(i, app->application->name, 1,
                               "%s ended before it was ready.",
                               app->application->name);
            return;
        }

        if (!app->ready && now >= app->ready_by) {
            amld_instance_fail(i, app->application->name, 1,
                               "%s did not answer within %u seconds.",
                               app->application->name,
                               i->supervisor->d->config->start_timeout);
            return;
        }

        if (app->ready) {
            amld_progress_step_end(i->progress, app->application->name,
                                   AMLD_OUTCOME_SUCCEEDED);
            ready++;
        }
    }

    if (ready < i->app_count || i->look_at != AMLD_NEVER) {
        return;
    }

    rc = amld_record_write(i, amld_change_running);
    if (rc == AMLD_RECORD_CHANGED) {
        i->look_at = now;
        return;
    }
    if (rc == AMLD_RECORD_OK) {
        i->phase = AMLD_PHASE_UP;
        i->started_at = now;
        amld_jobs_up(i);
        i->look_at = i->serves ? now : AMLD_NEVER;
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

        if (app->application->on_demand) {
            amld_on_demand_tick(app, now);

        } else if (amld_instance_ended(app)) {
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
        amld_instance_fail(i, app->application->name, 0,
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
    char err[PATH_MAX + 512];
    amld_instance_t *i;

    i = app->instance;
    if (tick_lost(i, now)) {
        return;
    }

    /* It is no crash of its own that it can't begin now. */
    if (amld_shares_ask(i->supervisor->d, i->workspace, err, sizeof(err)) ==
        AMLD_SHARE_SILENT) {
        app->again_at = amld_now() + AMLD_RETRY_PAUSE;
        return;
    }

    app->again_at = AMLD_NEVER;
    app->up_since = now;

    if (amld_instance_exec_app(app, err, sizeof(err)) != 0) {
        amld_log(AMLD_LOG_WARN, "%s: %s", i->name, err);
        tick_crash(app, now, "can't be started");
        return;
    }

    rc = amld_record_write(i, amld_change_commands);
    if (rc == AMLD_RECORD_OK) {
        amld_instance_release_app(app);
        return;
    }

    amld_instance_drop_app(app);
    if (rc == AMLD_RECORD_CHANGED) {
        i->look_at = now;
    } else {
        app->again_at = now + AMLD_RETRY_PAUSE;
    }
}


/* What the commands ran in has ended: all begins anew, from PREPARE on. */
static int
tick_lost(amld_instance_t *i, int64_t now)
{
    amld_engine_instance_t e;
    const amld_engine_t *engine = i->supervisor->engine;

    amld_instance_engine(i, &e);
    if (engine->lost == NULL || !engine->lost(i->supervisor->d->config, &e)) {
        return 0;
    }

    if (now - i->started_at >= AMLD_CRASH_FORGIVEN) {
        i->losses = 0;
    }

    if (i->losses == AMLD_CRASHES_MAX) {
        amld_instance_fail(i, NULL, 1,
                           "The instance ended again and again: it was started "
                           "%d times in a row.",
                           AMLD_CRASHES_MAX);
        return 1;
    }

    i->losses++;
    amld_log(AMLD_LOG_WARN, "%s: has ended; starting it again", i->name);
    amld_instance_stop(i, 1);

    return 1;
}


static int
tick_stopping(amld_instance_t *i, int64_t now)
{
    size_t k;

    for (k = 0; k < i->app_count; k++) {
        (void) amld_instance_ended(&i->apps[k]);
    }

    (void) amld_step_ended(i);

    if (amld_instance_running(i) == 0) {
        i->kill_at = AMLD_NEVER;
        i->app_count = 0;
        amld_progress_step_end(i->progress, "stop", AMLD_OUTCOME_SUCCEEDED);
        return reconcile_clear(i, AMLD_STEP_CLEAR);
    }

    if (now >= i->kill_at) {
        amld_log(AMLD_LOG_WARN, "%s: did not end when asked to; killing it",
                 i->name);
        amld_instance_stop(i, 1 + (i->kills > 0));
    }

    return 0;
}


static int
tick_clearing(amld_instance_t *i, int64_t now)
{
    int result;

    if (!i->step.running) {
        return now >= i->step.by ? reconcile_clear(i, i->step.kind) : 0;
    }

    if (!amld_step_ended(i)) {
        if (now >= i->step.by) {
            amld_log(AMLD_LOG_WARN, "%s: %s did not end within %u seconds",
                     i->name, amld_step_title(i->step.kind), i->step.timeout);
            amld_step_stop(i, 1 + (i->kills++ > 0));
            i->step.by = now + AMLD_KILL_PAUSE;
        }
        return 0;
    }

    result = amld_step_result(i);
    amld_progress_step_end(i->progress, amld_step_name(i->step.kind),
                           result == 0 ? AMLD_OUTCOME_SUCCEEDED
                                       : AMLD_OUTCOME_FAILED);
    if (result != 0) {
        return reconcile_step_failed(i, result);
    }

    i->phase = AMLD_PHASE_IDLE;
    i->cleared = (int) i->step.kind;

    return amld_reconcile(i);
}
