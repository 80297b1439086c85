#include "computes/instances/on_demand_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/files/logfile.h"
#include "computes/instances/on_demand.h"
#include "computes/instances/record.h"
#include "computes/services/service_run.h"

#define DEMAND_FAILURE 2048
#define DEMAND_TAIL 12           /* lines of a log */
#define DEMAND_PORTS_PAUSE 30000 /* ms */

static const char *demand_name(const amld_app_t *app);
static int demand_is_new(const amld_instance_t *i, const json_t *doc);
static int demand_counts(const amld_app_t *app);
static void demand_exec(amld_app_t *app, int64_t now);
static void demand_ended(amld_app_t *app, int64_t now);
static void demand_again(amld_app_t *app, int64_t now);
static void demand_fail(amld_app_t *app, int with_log, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int
change_demand(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);
static int
change_nothing(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);


void
amld_on_demand_look(amld_instance_t *i, const json_t *doc)
{
    size_t k;
    amld_app_t *app;
    const aml_application_t *a;

    for (k = 0; aml_applications[k] != NULL; k++) {
        a = aml_applications[k];

        if (!a->on_demand ||
            amld_on_demand_state(doc, a) != AMLD_DEMAND_STARTING) {
            continue;
        }

        app = amld_instance_app(i, a);
        if (app == NULL) {
            amld_log(AMLD_LOG_ERROR, "%s: more than %d applications", i->name,
                     AMLD_INSTANCE_APPS);
            continue;
        }

        if (!app->running && !app->demand.dirty &&
            app->again_at == AMLD_NEVER) {
            amld_on_demand_start(app, amld_now());
        }
    }
}


void
amld_on_demand_adopt(amld_instance_t *i, const json_t *doc)
{
    size_t k;
    amld_app_t *app;

    for (k = 0; k < i->app_count; k++) {
        app = &i->apps[k];

        if (app->application->on_demand &&
            amld_on_demand_state(doc, app->application) ==
                AMLD_DEMAND_RUNNING) {
            app->demand.answered = 1;
            app->demand.told = 1;
        }
    }

    if (demand_is_new(i, doc)) {
        (void) amld_record_write(i, change_nothing);
    }
}


void
amld_on_demand_tick(amld_app_t *app, int64_t now)
{
    amld_instance_t *i;

    i = app->instance;

    if (app->service != NULL && amld_service_tick(app, now)) {
        /* it is being stopped, or has been */

    } else if (amld_instance_ended(app)) {
        demand_ended(app, now);

    } else if (app->running && !app->ready && now >= app->ready_by) {
        amld_log(AMLD_LOG_WARN, "%s: %s does not answer; ending it", i->name,
                 app->application->name);
        app->demand.late = 1;
        app->ready_by = now + AMLD_KILL_PAUSE;
        amld_instance_kill_app(app);

    } else if (now >= app->again_at) {
        demand_exec(app, now);
    }

    if (app->running && app->ready && !app->demand.told &&
        !amld_service_is_stopping(app)) {
        amld_log(AMLD_LOG_INFO, "%s: %s runs", i->name, demand_name(app));
        app->demand.answered = 1;
        app->demand.told = 1;
        app->demand.dirty = 1;
    }

    if (app->demand.dirty && i->look_at == AMLD_NEVER) {
        (void) amld_on_demand_write(i, now);
    }
}


static const char *
demand_name(const amld_app_t *app)
{
    const char *name = app->application->links[0].display_name;

    return name != NULL ? name : app->application->name;
}


/* Do the routes not have what is configured now?  They are written with the
 * document. */
static int
demand_is_new(const amld_instance_t *i, const json_t *doc)
{
    int differs;
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t k, n;
    aml_str_t value;
    aml_registry_txn_t *txn;
    const aml_application_t *a;

    if (aml_registry_read(i->supervisor->d->registry, &txn) !=
        AML_REGISTRY_OK) {
        return 0;
    }

    for (k = 0, differs = 0; aml_applications[k] != NULL; k++) {
        a = aml_applications[k];
        if (a->on_demand) {
            n = aml_key_route(key, aml_str_of(i->lower), a->port);
            differs |=
                (aml_registry_get(txn, key, n, &value) == AML_REGISTRY_OK) !=
                (amld_compute_application(i->supervisor->d->config, doc, a) !=
                 AML_INSTANCE_UNKNOWN);
        }
    }

    aml_registry_end(txn);

    return differs;
}


/* Somebody has asked for it: what was before does not count. */
void
amld_on_demand_start(amld_app_t *app, int64_t now)
{
    free(app->demand.failure);
    memset(&app->demand, 0, sizeof(app->demand));
    app->adopted = 0;
    app->crashes = 0;

    demand_exec(app, now);
}


/* Is what happens to it counted?  A person's services are. */
static int
demand_counts(const amld_app_t *app)
{
    return amld_service_is(app) && !amld_service_is_ports(app);
}


static void
demand_exec(amld_app_t *app, int64_t now)
{
    int again;
    char err[1024];
    amld_instance_t *i;
    amld_service_counts_t *counts;

    i = app->instance;
    counts = &i->supervisor->counts;
    again = app->crashes > 0;
    app->again_at = AMLD_NEVER;
    app->up_since = now;
    app->adopted = 0;
    app->demand.late = 0;
    app->demand.told = 0;

    if (amld_instance_exec_app(app, err, sizeof(err)) != 0) {
        app->id.pid = 0;
        demand_fail(app, 0, "%s", err);
        return;
    }

    /* Written down before it runs: see engine.h. */
    app->demand.dirty = 1;
    if (demand_counts(app)) {
        counts->starts++;
        counts->restarts += (unsigned) again;
    }
    if (amld_on_demand_write(i, now) == AMLD_RECORD_OK) {
        amld_instance_release_app(app);
        return;
    }

    if (demand_counts(app)) {
        counts->starts--;
        counts->restarts -= (unsigned) again;
    }

    /* It is asked for as long as the document says so: see the look after
     * this. */
    amld_instance_drop_app(app);
    app->id.pid = 0;
    app->demand.dirty = 0;
}


static void
demand_ended(amld_app_t *app, int64_t now)
{
    const char *name = demand_name(app);

    app->id.pid = 0;

    if (app->demand.late && !app->demand.answered) {
        demand_fail(app, 1, "%s did not answer within %u seconds.", name,
                    app->instance->supervisor->d->config->start_timeout);
        return;
    }

    if (!app->demand.answered) {
        if (app->adopted) {
            /* Most likely it was still held back when amld was killed. */
            app->again_at = now;
            return;
        }
        if (!amld_service_is(app)) {
            demand_fail(app, 1, "%s ended before it was ready.", name);
            return;
        }
    }

    demand_again(app, now);
}


static void
demand_again(amld_app_t *app, int64_t now)
{
    const char *name = demand_name(app);

    if (now - app->up_since >= AMLD_CRASH_FORGIVEN) {
        app->crashes = 0;
    }

    if (app->crashes == AMLD_CRASHES_MAX) {
        demand_fail(app, 1,
                    "%s ended again and again: it was restarted %d times in a "
                    "row.",
                    name, AMLD_CRASHES_MAX);
        return;
    }

    app->again_at =
        now + ((amld_service_is(app) ? 500LL : 1000LL) << app->crashes);
    app->crashes++;
    app->demand.told = 0;
    app->demand.dirty = 1;

    amld_log(AMLD_LOG_WARN, "%s: %s ended; starting it again in %lld ms",
             app->instance->name, name, (long long) (app->again_at - now));
}


static void
demand_fail(amld_app_t *app, int with_log, const char *format, ...)
{
    int n;
    char text[DEMAND_FAILURE], log[4096];
    va_list args;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text) / 2, format, args);
    va_end(args);

    if (n > 0 && with_log && (size_t) n < sizeof(text) / 2) {
        snprintf(log, sizeof(log), "%s/%s.log", app->instance->runtime,
                 app->application->name);
        n += snprintf(text + n, sizeof(text) - (size_t) n, AMLD_LOG_FOLLOWS);
        if (amld_logfile_tail(log, DEMAND_TAIL, text + n,
                              sizeof(text) - (size_t) n) == 0) {
            snprintf(text + n, sizeof(text) - (size_t) n, "(empty)");
        }
    }

    amld_log(AMLD_LOG_WARN, "%s: %s", app->instance->name, text);

    app->instance->supervisor->counts.failures += demand_counts(app);
    free(app->demand.failure);
    app->demand.failure = strdup(text);
    app->demand.told = 0;
    app->demand.dirty = 1;
    /* All ports of the instance are behind it, and nobody can start it. */
    app->again_at = amld_service_is_ports(app) ? amld_now() + DEMAND_PORTS_PAUSE
                                               : AMLD_NEVER;
}


/* AMLD_RECORD_*.  Where it can't be written it is tried again when the
 * instance is looked at again. */
int
amld_on_demand_write(amld_instance_t *i, int64_t now)
{
    int rc;
    size_t k;

    rc = amld_record_write(i, change_demand);
    if (rc == AMLD_RECORD_OK) {
        memset(&i->supervisor->counts, 0, sizeof(i->supervisor->counts));
    }

    for (k = 0; rc != AMLD_RECORD_FAILED && k < i->app_count; k++) {
        if (rc == AMLD_RECORD_OK && i->apps[k].demand.dirty &&
            i->apps[k].service != NULL) {
            amld_service_recorded(&i->apps[k]);
        }
        i->apps[k].demand.dirty = 0;
    }

    if (rc == AMLD_RECORD_CHANGED) {
        i->look_at = now;
    }

    return rc;
}


/* Those that are dirty, and no others: a person may have asked for one again
 * meanwhile. */
static int
change_demand(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    size_t k;
    amld_demand_t state;
    const amld_app_t *app;

    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        return AMLD_RECORD_CHANGED;
    }

    for (k = 0; k < i->app_count; k++) {
        app = &i->apps[k];
        if (!app->demand.dirty) {
            continue;
        }

        if (app->service != NULL) {
            if (amld_service_record(app, doc) != 0) {
                return AMLD_RECORD_FAILED;
            }
            continue;
        }

        state = app->running && app->demand.told ? AMLD_DEMAND_RUNNING
                : app->running || app->again_at != AMLD_NEVER
                    ? AMLD_DEMAND_STARTING
                    : AMLD_DEMAND_FAILED;

        if (amld_compute_set_command(doc, app->application->name,
                                     app->id.pid != 0 ? &app->id : NULL) != 0 ||
            amld_on_demand_set(doc, app->application, state,
                               state == AMLD_DEMAND_FAILED ? app->demand.failure
                                                           : NULL) != 0) {
            return AMLD_RECORD_FAILED;
        }
    }

    return amld_counts_services(txn, &i->supervisor->counts) == AML_REGISTRY_OK
               ? AMLD_RECORD_OK
               : AMLD_RECORD_FAILED;
}


static int
change_nothing(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc)
{
    (void) i;
    (void) txn;
    (void) doc;

    return AMLD_RECORD_OK;
}
