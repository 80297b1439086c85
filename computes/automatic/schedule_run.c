#include "computes/automatic/schedule_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "computes/automatic/automatic.h"
#include "computes/automatic/schedule.h"
#include "computes/time/timestamp.h"

typedef enum {
    SCHEDULE_NOTHING = 0, /* it is so already, or nothing was due */
    SCHEDULE_BEGIN,
    SCHEDULE_REFUSE
} schedule_verdict_t;

typedef struct {
    schedule_verdict_t verdict;
    amld_automatic_t what;
    char reason[256];
    amld_schedule_due_t due;
} schedule_decision_t;

static void schedule_turn(void *data, const amld_key_t *key, int64_t at);
static void schedule_back(void *data);
static aml_registry_rc_t
schedule_do(const amld_t *d, aml_registry_txn_t *txn, const amld_key_t *key,
            json_t *doc, int64_t now, schedule_decision_t *decision);
static schedule_verdict_t schedule_verdict(amld_state_t state, int start);
static void schedule_tell(amld_t *d, const json_t *doc,
                          const schedule_decision_t *decision);


amld_clock_t *
amld_schedule_start(amld_t *d)
{
    amld_clock_work_t work = {.name = "schedules",
                              .kind = AMLD_DUE_SCHEDULE,
                              .turn = schedule_turn,
                              .back = schedule_back,
                              .data = d};

    return amld_clock_start(d, &work);
}


void
amld_schedule_turn(amld_t *d, const amld_key_t *key, int64_t at, int64_t now)
{
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    schedule_decision_t decision;

    doc = NULL;
    memset(&decision, 0, sizeof(decision));

    rc = aml_registry_write(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, key, &doc);

        if (rc == AML_REGISTRY_OK &&
            amld_due_at(doc, AMLD_DUE_SCHEDULE) == at) {
            rc = schedule_do(d, txn, key, doc, now, &decision);
        } else if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
            /* Of an instance that is no more, or was made anew. */
            rc = amld_due_drop(txn, AMLD_DUE_SCHEDULE, key, at);
        }

        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    if (rc == AML_REGISTRY_OK) {
        schedule_tell(d, doc, &decision);
    } else {
        amld_log(AMLD_LOG_ERROR, "schedules: %s: registry: %s", key->p,
                 aml_registry_strerror(rc));
    }

    json_decref(doc);
}


void
amld_schedule_back(amld_t *d, int64_t now)
{
    amld_clock_anew(d, AMLD_DUE_SCHEDULE, "schedules", amld_schedule_reset,
                    now);
}


static void
schedule_turn(void *data, const amld_key_t *key, int64_t at)
{
    amld_schedule_turn(data, key, at, (int64_t) time(NULL));
}


static void
schedule_back(void *data)
{
    amld_schedule_back(data, (int64_t) time(NULL));
}


static aml_registry_rc_t
schedule_do(const amld_t *d, aml_registry_txn_t *txn, const amld_key_t *key,
            json_t *doc, int64_t now, schedule_decision_t *decision)
{
    char time[AMLD_TIMESTAMP_SIZE];
    amld_state_t state;
    const amld_schedule_run_t *run;

    static const char *const results[] = {[SCHEDULE_NOTHING] = "NothingToDo",
                                          [SCHEDULE_BEGIN] = "Begun",
                                          [SCHEDULE_REFUSE] = "Refused"};

    amld_schedule_look(doc, now, &decision->due);
    run = &decision->due.run;
    state = amld_compute_state(doc);

    if (run->at == AMLD_DUE_NEVER) {
        run = &decision->due.missed;
        if (amld_schedule_over(doc, now, run->at != AMLD_DUE_NEVER ? run : NULL,
                               "Missed") != 0) {
            return AML_REGISTRY_FAILED;
        }
        return amld_compute_store(txn, d->config, key, doc);
    }

    decision->verdict = schedule_verdict(state, run->start);
    decision->what.name = run->start ? "Start" : "Stop";
    decision->what.state =
        run->start ? AMLD_STATE_STARTING : AMLD_STATE_STOPPING;
    decision->what.trigger = "Schedule";
    decision->what.reason = decision->reason;

    amld_timestamp_write(run->at, time);
    if (decision->verdict == SCHEDULE_REFUSE) {
        (void) snprintf(decision->reason, sizeof(decision->reason),
                        "It was due at %s, but the instance is %s.", time,
                        amld_state_name(state));
    } else {
        (void) snprintf(decision->reason, sizeof(decision->reason),
                        "Its schedule says %s at %s.", decision->what.name,
                        time);
    }

    if (amld_schedule_over(doc, now, run, results[decision->verdict]) != 0) {
        return AML_REGISTRY_FAILED;
    }

    return decision->verdict == SCHEDULE_BEGIN
               ? amld_automatic_begin(d, txn, key, doc, &decision->what)
               : amld_compute_store(txn, d->config, key, doc);
}


/* What has failed stays as it is, with its reason, until somebody looks. */
static schedule_verdict_t
schedule_verdict(amld_state_t state, int start)
{
    switch (state) {

    case AMLD_STATE_STOPPED:
        return start ? SCHEDULE_BEGIN : SCHEDULE_NOTHING;

    case AMLD_STATE_RUNNING:
    case AMLD_STATE_CREATING:
    case AMLD_STATE_STARTING:
    case AMLD_STATE_RESTARTING:
        return start ? SCHEDULE_NOTHING : SCHEDULE_BEGIN;

    default:
        return start ? SCHEDULE_REFUSE : SCHEDULE_NOTHING;
    }
}


/* After the commit: it is so. */
static void
schedule_tell(amld_t *d, const json_t *doc, const schedule_decision_t *decision)
{
    char time[AMLD_TIMESTAMP_SIZE], reason[256];
    const amld_schedule_run_t *missed;
    amld_automatic_t what;

    missed = &decision->due.missed;

    if (doc != NULL && decision->due.more != 0) {
        amld_timestamp_write(missed->at, time);
        (void) snprintf(reason, sizeof(reason),
                        "It was due at %s and is missed%s: amld did not run, "
                        "or the clock was set.",
                        time,
                        decision->due.more > 1 ? ", as others before" : "");
        what = (amld_automatic_t){.name = missed->start ? "Start" : "Stop",
                                  .trigger = "Schedule",
                                  .reason = reason};
        amld_automatic_refused(d, doc, &what);
    }

    switch (decision->verdict) {

    case SCHEDULE_BEGIN:
        amld_automatic_told(d, doc, &decision->what);
        break;

    case SCHEDULE_REFUSE:
        amld_automatic_refused(d, doc, &decision->what);
        break;

    default:
        break;
    }
}
