/*
 * What the supervisor writes into jobs' documents.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "computes/automatic/usage.h"
#include "computes/files/reserve.h"
#include "computes/jobs/job.h"
#include "computes/jobs/job_run.h"

#define RECORD_TRIES 5 /* of one that is ended before it has begun */

/* What becomes of one, if the commit is. */
typedef struct {
    amld_job_run_t *run;
    amld_job_run_state_t next;
    char says[256]; /* for the log */
} record_t;

static int64_t jobs_boot_clock(void);
static aml_registry_rc_t
record_write(amld_supervisor_t *s, record_t *records, size_t count, int starts);
static aml_registry_rc_t record_one(aml_registry_txn_t *txn, record_t *r);
static int record_start(aml_registry_txn_t *txn, record_t *r, json_t *doc);
static int record_again(record_t *r, json_t *doc);
static int record_end(aml_registry_txn_t *txn, record_t *r, json_t *doc);
static int record_over(record_t *r, json_t *doc, amld_job_status_t status,
                       const char *message);
static amld_state_t
record_state(aml_registry_txn_t *txn, const amld_job_run_t *run);
static void record_use(const amld_job_run_t *run);
static int record_is_lost(const amld_job_run_t *run);


int64_t
amld_jobs_wall(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


int64_t
amld_jobs_ran(const json_t *doc)
{
    int64_t ran;
    const json_t *began;

    began = json_object_get(json_object_get(doc, "command"), "began");

    /* Earlier releases wrote down none. */
    ran = json_is_integer(began)
              ? jobs_boot_clock() - json_integer_value(began)
              : amld_jobs_wall() - amld_job_time(doc, "started");

    return ran > 0 ? ran : 0;
}


/* Milliseconds since the machine was started, which nobody sets. */
static int64_t
jobs_boot_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


int
amld_jobs_record(amld_supervisor_t *s, amld_job_run_t **runs, size_t count)
{
    size_t k, ends;
    record_t *records;
    aml_registry_rc_t rc;

    records = calloc(count, sizeof(*records));
    if (records == NULL) {
        amld_log(AMLD_LOG_ERROR, "jobs: no memory");
        return -1;
    }

    for (k = 0, ends = 0; k < count; k++) {
        records[k].run = runs[k];
        ends += runs[k]->state == AMLD_JOB_RUN_ENDED;
    }

    rc = record_write(s, records, count, 1);

    /* What begins has to wait for room; what has ended has not. */
    if (amld_reserve_is_full(rc) && ends != 0) {
        rc = record_write(s, records, count, 0);
        if (amld_reserve_is_full(rc) &&
            amld_reserve_spend(s->d->registry) == 0) {
            rc = record_write(s, records, count, 0);
        }
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "jobs: registry: %s",
                 aml_registry_strerror(rc));
    }

    for (k = 0; k < count && rc == AML_REGISTRY_OK; k++) {
        if (records[k].says[0] != '\0') {
            record_use(runs[k]);
            amld_log(runs[k]->waits != NULL ? AMLD_LOG_WARN : AMLD_LOG_INFO,
                     "%s: job %s %s", runs[k]->instance->name,
                     strrchr(runs[k]->key.p, '/') + 1, records[k].says);
        }
        runs[k]->state = records[k].next;
    }

    free(records);

    return rc == AML_REGISTRY_OK ? 0 : -1;
}


/* Without `starts` those that are NEW stay what they are. */
static aml_registry_rc_t
record_write(amld_supervisor_t *s, record_t *records, size_t count, int starts)
{
    size_t k;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(s->d->registry, &txn);

    /* What is free then is for stopping and deleting. */
    if (rc == AML_REGISTRY_OK && amld_reserve_is_spent(txn)) {
        starts = 0;
    }

    for (k = 0; k < count && rc == AML_REGISTRY_OK; k++) {
        records[k].next = records[k].run->state;
        records[k].says[0] = '\0';

        if (starts || records[k].run->state != AMLD_JOB_RUN_NEW) {
            rc = record_one(txn, &records[k]);
            if (rc != AML_REGISTRY_OK) {
                aml_registry_end(txn);
            }
        }
    }

    return rc == AML_REGISTRY_OK ? aml_registry_commit(txn) : rc;
}


static aml_registry_rc_t
record_one(aml_registry_txn_t *txn, record_t *r)
{
    int rc;
    json_t *doc;
    aml_registry_rc_t found;

    found = amld_job_load(txn, &r->run->key, &doc);

    /* Somebody has removed it, or it can't be read: nothing more is known of
     * it, and a later one of the name is another. */
    if (found == AML_REGISTRY_NOTFOUND || found == AML_REGISTRY_CORRUPT ||
        (found == AML_REGISTRY_OK && amld_job_seq(doc) != r->run->seq)) {
        json_decref(doc);
        r->next = AMLD_JOB_RUN_OVER;
        return AML_REGISTRY_OK;
    }
    if (found != AML_REGISTRY_OK) {
        return found;
    }

    rc = r->run->state == AMLD_JOB_RUN_NEW ? record_start(txn, r, doc)
                                           : record_end(txn, r, doc);
    if (rc > 0) {
        found = amld_job_store(txn, &r->run->key, doc);
    } else if (rc < 0) {
        found = AML_REGISTRY_FAILED;
    }
    json_decref(doc);

    return found;
}


/* 1 when it is to be stored, 0 when not, -1 without memory. */
static int
record_start(aml_registry_txn_t *txn, record_t *r, json_t *doc)
{
    const amld_job_run_t *run = r->run;

    r->next = AMLD_JOB_RUN_OVER;

    if (amld_job_has_ended(doc) || amld_job_runs(doc)) {
        return 0;
    }

    if (json_is_true(json_object_get(doc, "cancel"))) {
        return record_over(r, doc, AMLD_JOB_CANCELED, NULL);
    }

    /* It waits, until the instance is started again. */
    if (record_state(txn, run) != AMLD_STATE_RUNNING) {
        return 0;
    }

    if (run->fault != NULL) {
        return record_over(r, doc, AMLD_JOB_FAILED, run->fault);
    }

    if (run->waits != NULL) {
        if (strcmp(amld_compute_str(doc, "message"), run->waits) == 0) {
            return 0;
        }
        snprintf(r->says, sizeof(r->says), "is not begun. %.240s", run->waits);
        return amld_compute_set_str(doc, "message", run->waits) == 0 ? 1 : -1;
    }

    if (run->hold == -1) {
        return 0;
    }

    r->next = AMLD_JOB_RUN_GOES;
    snprintf(r->says, sizeof(r->says), "started");
    (void) json_object_del(doc, "message");

    return amld_job_set_status(doc, AMLD_JOB_RUNNING) == 0 &&
                   amld_job_set_time(doc, "started", amld_jobs_wall()) == 0 &&
                   json_object_set_new(
                       doc, "command",
                       json_pack("{s:I,s:I,s:s,s:I}", "pid",
                                 (json_int_t) run->id.pid, "started",
                                 (json_int_t) run->id.started, "boot",
                                 run->id.boot, "began",
                                 (json_int_t) jobs_boot_clock())) == 0
               ? 1
               : -1;
}


/* Its command was called off, as amld was killed between the commit and the
 * release; or something has ended it before it could begin.  It waits where it
 * was; the second not for ever. */
static int
record_again(record_t *r, json_t *doc)
{
    json_int_t tries;
    amld_instance_t *i = r->run->instance;

    if (!r->run->adopted) {
        tries = json_integer_value(json_object_get(doc, "tries")) + 1;
        if (tries >= RECORD_TRIES) {
            return record_over(r, doc, AMLD_JOB_FAILED,
                               "The job could not be begun: it is ended from "
                               "outside before, or there is no room for its "
                               "status on the gateway's disk.");
        }
        if (json_object_set_new(doc, "tries", json_integer(tries)) != 0) {
            return -1;
        }
        i->jobs_at = amld_now() + AMLD_RETRY_PAUSE;
    }

    (void) json_object_del(doc, "command");
    (void) json_object_del(json_object_get(doc, "times"), "started");
    snprintf(r->says, sizeof(r->says), "was not begun; it waits again");
    r->next = AMLD_JOB_RUN_OVER;
    if (r->run->seq < i->jobs_next) {
        i->jobs_next = r->run->seq;
    }
    i->jobs_wait = 1;

    return amld_job_set_status(doc, AMLD_JOB_QUEUED) == 0 ? 1 : -1;
}


static int
record_end(aml_registry_txn_t *txn, record_t *r, json_t *doc)
{
    int again, cancel, deleted, left;
    char text[256];
    amld_state_t state;
    const amld_job_run_t *run = r->run;

    r->next = AMLD_JOB_RUN_OVER;
    if (amld_job_has_ended(doc)) {
        return 0;
    }

    state = record_state(txn, run);
    cancel = json_is_true(json_object_get(doc, "cancel"));

    deleted = state == AMLD_STATE_DELETING || state == AMLD_STATE_COUNT;
    again = run->result == AMLD_COMMAND_NOT_BEGUN && !deleted &&
            run->why != AMLD_JOB_WHY_LATE;

    /* What another amld has signalled is seen by what it did. */
    left = run->why == AMLD_JOB_WHY_STOP ||
           (run->result == AMLD_COMMAND_NOT_BEGUN && deleted) ||
           (run->adopted && run->result != 0 && state != AMLD_STATE_RUNNING);

    if (run->result >= 0 &&
        json_object_set_new(doc, "exitCode", json_integer(run->result)) != 0) {
        return -1;
    }

    if (cancel &&
        (run->why == AMLD_JOB_WHY_CANCEL || run->adopted || run->result < 0)) {
        return record_over(r, doc, AMLD_JOB_CANCELED, NULL);
    }

    if (run->result < 0 && record_is_lost(run)) {
        return record_over(r, doc, AMLD_JOB_FAILED,
                           "The job was lost: the machine was restarted while "
                           "it ran.");
    }

    if (again) {
        return record_again(r, doc);
    }

    if (run->why == AMLD_JOB_WHY_LATE ||
        (run->adopted && run->result != 0 && run->timeout > 0 &&
         amld_jobs_ran(doc) >= run->timeout * 1000 &&
         run->ended >= amld_job_time(doc, "started") + run->timeout * 1000)) {
        snprintf(text, sizeof(text),
                 "The job did not end within %lld second%s, its timeout.",
                 (long long) run->timeout, run->timeout == 1 ? "" : "s");
        return record_over(r, doc, AMLD_JOB_FAILED, text);
    }

    if (left) {
        if (deleted) {
            return record_over(r, doc, AMLD_JOB_CANCELED,
                               "The instance was deleted while the job ran.");
        }
        return record_over(r, doc, AMLD_JOB_FAILED,
                           state == AMLD_STATE_STOPPING ||
                                   state == AMLD_STATE_STOPPED
                               ? "The instance was stopped while the job ran."
                           : state == AMLD_STATE_RESTARTING
                               ? "The instance was restarted while the job ran."
                               : "The instance has ended while the job ran.");
    }

    if (run->result == 0) {
        return record_over(r, doc, AMLD_JOB_COMPLETED, NULL);
    }

    if (run->result == AMLD_COMMAND_NO_RESULT) {
        snprintf(text, sizeof(text),
                 "The job was lost: what looked after it was ended from "
                 "outside.");
    } else if (run->result > 128 && run->result < 128 + 65) {
        snprintf(text, sizeof(text),
                 "The job ended with exit status %d: signal %d (%s) ended it.",
                 run->result, run->result - 128, strsignal(run->result - 128));
    } else {
        snprintf(text, sizeof(text), "The job ended with exit status %d.",
                 run->result);
    }

    return record_over(r, doc, AMLD_JOB_FAILED, text);
}


static int
record_over(record_t *r, json_t *doc, amld_job_status_t status,
            const char *message)
{
    char text[512];
    int64_t ended;

    if (r->run->state == AMLD_JOB_RUN_ENDED && r->run->lost > 0) {
        snprintf(text, sizeof(text),
                 "%.256s%s%llu bytes of its output could not be written to its "
                 "log: %.80s.",
                 message != NULL ? message : "", message != NULL ? " " : "",
                 (unsigned long long) r->run->lost,
                 strerror(r->run->lost_fault));
        message = text;
    }

    ended =
        r->run->state == AMLD_JOB_RUN_ENDED ? r->run->ended : amld_jobs_wall();
    (void) json_object_del(doc, "command");
    (void) json_object_del(doc, "message");

    snprintf(r->says, sizeof(r->says), "%s%s%.200s",
             amld_job_status_name(status), message != NULL ? ": " : "",
             message != NULL ? message : "");

    return amld_job_set_status(doc, status) == 0 &&
                   amld_job_set_time(doc, "ended", ended) == 0 &&
                   (message == NULL ||
                    amld_compute_set_str(doc, "message", message) == 0)
               ? 1
               : -1;
}


/* Of its instance; COUNT where there is none any more. */
static amld_state_t
record_state(aml_registry_txn_t *txn, const amld_job_run_t *run)
{
    json_t *doc;
    amld_state_t state;

    state = AMLD_STATE_COUNT;
    if (amld_compute_load(txn, &run->instance->key, &doc) == AML_REGISTRY_OK) {
        state = amld_compute_state(doc);
    }
    json_decref(doc);

    return state;
}


/* What has run since the last look keeps the instance, too; see idle.h. */
static void
record_use(const amld_job_run_t *run)
{
    amld_use_t use = {.when = amld_jobs_wall() / 1000};
    const amld_instance_t *i = run->instance;

    if (i->supervisor->d->usage != NULL &&
        (run->state == AMLD_JOB_RUN_ENDED || run->hold != -1)) {
        amld_usage_note(i->supervisor->d->usage, aml_str_of(i->lower), &use);
    }
}


/* It was started before the machine was. */
static int
record_is_lost(const amld_job_run_t *run)
{
    char boot[AMLD_BOOT_ID];

    return amld_proc_boot(boot) == 0 && strcmp(boot, run->id.boot) != 0;
}
