/*
 * Jobs as the registry holds them: one JSON document each, and what follows
 * from it, which is written in the same transaction.
 *
 *   job/<subscription>/<group>/<workspace>/<id>   the document
 *
 *   jobtime/<workspace>/<~seq>      all jobs, newest first: the id
 *   jobactive/<workspace>/<~seq>    those that are not archived
 *   jobarchived/<workspace>/<~seq>  those that are
 *   jobqueue/<compute>/<seq>        those that have not ended: the key
 *   jobrun/<compute>/<seq>          those that run
 *   jobuse/<principal>              how many, of how many bytes
 *   jobtaken                        what all of them take of the registry
 *
 * <workspace> is <subscription>/<group>/<workspace>, <compute> a compute's key
 * without "compute/", all in lower case; seq and ~seq have 16 hex digits.
 *
 * The document's members:
 *
 *   name (id), workspace (ARM id), compute (the compute's key),
 *   computeName, runtime (of the compute: it tells it from a later one of the
 *   name), creator (principal), creatorName, seq, status,
 *   requested (what was asked for and is fixed): command, environmentId
 *   ("": the instance's own, or "image:<reference>"), environmentVariables,
 *   workingDirectory (below the share; absent: folder), limits {timeout
 *   ("PT<n>M" or "PT<n>S")} or absent, experimentName, properties,
 *   displayName, description, tags (what may change; absent: none),
 *   times {submitted, started, ended} (ms since 1970; those that have come),
 *   command {pid, started, boot} while it runs, tries (how often it was ended
 *   before it had begun), exitCode, message (why it has
 *   failed, for people), cancel (true: asked for), archived (true),
 *   folder (its directory below the share).
 *
 * Status: Queued (it waits, also while the instance is stopped), Running,
 * then Completed, Failed or Canceled; CancelRequested between a
 * cancellation and its end.  The API writes Queued, CancelRequested with
 * cancel, archived and what people call a job, and removes; all else is the
 * runner's.  Both load and store in one write transaction, so that neither
 * overwrites what the other has written.
 */

#ifndef AMLD_JOB_H
#define AMLD_JOB_H

#include "computes/instances/computes.h"

#define AMLD_JOB_NAME_MAX 255 /* bytes of an id */

typedef enum {
    AMLD_JOB_QUEUED = 0,
    AMLD_JOB_RUNNING,
    AMLD_JOB_CANCEL_REQUESTED,
    AMLD_JOB_COMPLETED,
    AMLD_JOB_FAILED,
    AMLD_JOB_CANCELED,
    AMLD_JOB_STATUS_COUNT
} amld_job_status_t;

const char *amld_job_status_name(amld_job_status_t status); /* ARM's, static */
amld_job_status_t amld_job_status(const json_t *doc);
int amld_job_set_status(json_t *doc, amld_job_status_t status); /* 0, -1 */

/* 1 when it is Completed, Failed or Canceled. */
int amld_job_has_ended(const json_t *doc);

/* 1 when it has been started and has not ended. */
int amld_job_runs(const json_t *doc);

/* Writes down that it is to end: one that waits is Canceled by that, one that
 * runs is ended by the runner.  0, or -1 without memory. */
int amld_job_cancel(json_t *doc, int64_t now);

uint64_t amld_job_seq(const json_t *doc);
int64_t amld_job_time(const json_t *doc, const char *name); /* ms; 0: not yet */
int amld_job_set_time(json_t *doc, const char *name, int64_t ms);

/* 0, or -1 when it is no name of a job: letters, digits, '-' and '_', the
 * first a letter or digit, at most AMLD_JOB_NAME_MAX. */
int amld_job_name_check(const char *id);

/* 0, or -1 when it is no name of a job, or too long. */
int amld_job_key(amld_key_t *key, const amld_workspace_t *workspace,
                 const char *id);

/* The key of the compute that a document names; 0, or -1. */
int amld_job_compute(amld_key_t *key, const json_t *doc);


/* A new reference in *doc; NOTFOUND, CORRUPT when it is no such document. */
aml_registry_rc_t
amld_job_load(aml_registry_txn_t *txn, const amld_key_t *key, json_t **doc);
aml_registry_rc_t amld_job_parse(aml_str_t value, json_t **doc);

/* Writes the document and what follows from it.  seq, creator, workspace and
 * compute of a document that is there must not change. */
aml_registry_rc_t amld_job_store(aml_registry_txn_t *txn, const amld_key_t *key,
                                 const json_t *doc);

/* Removes them all.  Of one that runs, the command has to be ended before. */
aml_registry_rc_t amld_job_remove(aml_registry_txn_t *txn,
                                  const amld_key_t *key, const json_t *doc);


/*
 * Calls `each` with keys of jobs, until it answers other than 0.  `seq` is that
 * of the job.  In a write transaction `each` must not write; collect first.
 */
typedef int (*amld_job_each_pt)(void *data, uint64_t seq,
                                const amld_key_t *job);

/* The jobs of an instance that have not ended, in the order in which they were
 * submitted, from the first whose seq is not below `from`. */
aml_registry_rc_t
amld_job_queue_each(aml_registry_txn_t *txn, const amld_key_t *compute,
                    uint64_t from, amld_job_each_pt each, void *data);

/* Of these, the ones that run. */
aml_registry_rc_t
amld_job_run_each(aml_registry_txn_t *txn, const amld_key_t *compute,
                  amld_job_each_pt each, void *data);

/* How many have not ended; stops counting at `most`. */
aml_registry_rc_t
amld_job_queue_count(aml_registry_txn_t *txn, const amld_key_t *compute,
                     size_t most, size_t *count);

/* 1 when a job of the instance runs. */
int amld_job_any_runs(aml_registry_txn_t *txn, const amld_key_t *compute);

typedef enum {
    AMLD_JOBS_ALL = 0,
    AMLD_JOBS_ACTIVE,
    AMLD_JOBS_ARCHIVED
} amld_job_view_t;

/* The jobs of a workspace, newest first, from the first whose seq is not above
 * `from`; UINT64_MAX: all.  It walks no further than `each` does. */
aml_registry_rc_t
amld_job_list_each(aml_registry_txn_t *txn, const amld_workspace_t *workspace,
                   amld_job_view_t view, uint64_t from, amld_job_each_pt each,
                   void *data);


/* ---- job_use.c ---- */

/* What a person's documents are. */
typedef struct {
    uint64_t count;
    uint64_t bytes;
} amld_job_use_t;

aml_registry_rc_t amld_job_use(aml_registry_txn_t *txn, const char *principal,
                               amld_job_use_t *use);

/* What all jobs take of the registry, with their indexes and what pages leave
 * free: bytes, rather too many than too few. */
aml_registry_rc_t amld_job_taken(aml_registry_txn_t *txn, uint64_t *bytes);

/* For amld_job_store() and amld_job_remove(): the document had `before` bytes,
 * and has `n`; -1: it was not, or is not, there. */
aml_registry_rc_t
amld_job_use_change(aml_registry_txn_t *txn, const amld_key_t *key,
                    const json_t *doc, int64_t before, int64_t n);


/* ---- job_count.c ---- */

/* Where a job is, as its indexes have it. */
typedef enum {
    AMLD_JOB_STAGE_NONE = 0,
    AMLD_JOB_STAGE_QUEUED,
    AMLD_JOB_STAGE_RUNS,
    AMLD_JOB_STAGE_ENDED
} amld_job_stage_t;

amld_job_stage_t amld_job_stage(int there, int in_queue, int runs);

/* For amld_job_store() and amld_job_remove(): it was there, and is here now. */
aml_registry_rc_t amld_job_count(aml_registry_txn_t *txn, const json_t *doc,
                                 amld_job_stage_t was, amld_job_stage_t is);

/* When amld starts: where nothing was counted yet, those that have not ended
 * are.  Without room for that it is tried again at the next start. */
void amld_job_counts_tend(aml_registry_t *registry);


/* ---- job_log.c ---- */

/*
 * What the job's command has written so far, to be read at any offset; more may
 * come while it runs.  A descriptor, which is the caller's to close, of a
 * regular file; -1 (errno, ENOENT when there is none yet) else.
 */
int amld_job_log_open(const amld_config_t *c, const json_t *job);

#endif /* AMLD_JOB_H */
