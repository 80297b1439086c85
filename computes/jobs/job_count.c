/*
 * How many jobs there were and are, and how long they waited.
 */

#include "computes/amld.h"
#include "computes/instances/counts.h"
#include "computes/jobs/job.h"

static void count_wait(aml_counts_t *c, const json_t *doc);
static uint64_t *count_now(aml_counts_t *c, amld_job_stage_t stage);
static uint64_t *count_end(aml_counts_t *c, const json_t *doc);
static int count_one(void *data, aml_str_t key, aml_str_t value);


amld_job_stage_t
amld_job_stage(int there, int in_queue, int runs)
{
    return !there      ? AMLD_JOB_STAGE_NONE
           : !in_queue ? AMLD_JOB_STAGE_ENDED
           : runs      ? AMLD_JOB_STAGE_RUNS
                       : AMLD_JOB_STAGE_QUEUED;
}


aml_registry_rc_t
amld_job_count(aml_registry_txn_t *txn, const json_t *doc, amld_job_stage_t was,
               amld_job_stage_t is)
{
    uint64_t *now;
    aml_counts_t c;
    aml_registry_rc_t rc;

    if (was == is ||
        (was == AMLD_JOB_STAGE_ENDED && is == AMLD_JOB_STAGE_NONE)) {
        return AML_REGISTRY_OK;
    }

    rc = amld_counts_load(txn, &c);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    now = count_now(&c, was);
    if (now != NULL && *now > 0) {
        (*now)--;
    }
    now = count_now(&c, is);
    if (now != NULL) {
        (*now)++;
    }

    if (was == AMLD_JOB_STAGE_NONE) {
        c.jobs_submitted++;
    }
    if (is == AMLD_JOB_STAGE_RUNS) {
        count_wait(&c, doc);
    }
    if (is == AMLD_JOB_STAGE_ENDED || is == AMLD_JOB_STAGE_NONE) {
        (*count_end(&c, doc))++;
    }

    return amld_counts_store(txn, &c);
}


void
amld_job_counts_tend(aml_registry_t *registry)
{
    aml_counts_t c;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_counts_load(txn, &c);
        if (rc != AML_REGISTRY_NOTFOUND) {
            aml_registry_end(txn);
            return;
        }

        rc = aml_registry_each(txn, aml_str("jobqueue/"), aml_str(""),
                               count_one, &c.jobs_submitted);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_each(txn, aml_str("jobrun/"), aml_str(""),
                                   count_one, &c.jobs_running);
        }
        if (rc == AML_REGISTRY_OK) {
            c.jobs_queued = c.jobs_submitted - c.jobs_running;
            rc = amld_counts_store(txn, &c);
        }

        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_WARN, "counts of jobs: registry: %s",
                 aml_registry_strerror(rc));
    }
}


static void
count_wait(aml_counts_t *c, const json_t *doc)
{
    unsigned i;
    int64_t waited;

    /* The clock may have been set back meanwhile. */
    waited = amld_job_time(doc, "started") - amld_job_time(doc, "submitted");
    if (waited < 0) {
        waited = 0;
    }

    for (i = 0; i < AML_COUNTS_WAITS - 1; i++) {
        if (waited <= (int64_t) aml_counts_bound(i) * 1000) {
            break;
        }
    }

    c->job_waits[i]++;
    c->job_waited += (uint64_t) waited;
}


static uint64_t *
count_now(aml_counts_t *c, amld_job_stage_t stage)
{
    return stage == AMLD_JOB_STAGE_QUEUED ? &c->jobs_queued
           : stage == AMLD_JOB_STAGE_RUNS ? &c->jobs_running
                                          : NULL;
}


/* One that is removed before its end has been canceled by that. */
static uint64_t *
count_end(aml_counts_t *c, const json_t *doc)
{
    switch (amld_job_status(doc)) {
    case AMLD_JOB_COMPLETED:
        return &c->jobs_completed;
    case AMLD_JOB_FAILED:
        return &c->jobs_failed;
    default:
        return &c->jobs_canceled;
    }
}


static int
count_one(void *data, aml_str_t key, aml_str_t value)
{
    (void) key;
    (void) value;
    ++*(uint64_t *) data;

    return 0;
}
