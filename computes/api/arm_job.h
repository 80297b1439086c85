/*
 * Jobs in Azure Resource Manager's shape: submit, get, list, cancel, delete,
 * and what Azure has no call for, their logs.  docs/jobs.md is the manual.
 *
 * Whoever may read jobs may list and get them; what was to be run is in the
 * answers to its creator only.  Only the creator of an instance submits jobs to
 * it, as they run as them, and only they cancel, delete and read logs.
 */

#ifndef AMLD_ARM_JOB_H
#define AMLD_ARM_JOB_H

#include "computes/api/arm.h"
#include "computes/jobs/job.h"

extern const amld_http_route_t amld_arm_job_routes[];

#define AMLD_JOB_COMMAND (64 * 1024)    /* bytes */
#define AMLD_JOB_VARIABLES 256          /* of an environment */
#define AMLD_JOB_VARIABLE (32 * 1024)   /* bytes of a value */
#define AMLD_JOB_REQUESTED (128 * 1024) /* bytes of all that is kept */
#define AMLD_JOB_LOOKED 1000    /* documents, at most, for a page of a list */
#define AMLD_JOB_LEFT_OUT 10000 /* jobs, of which only the key is read */


/* ---- arm_job.c ---- */

typedef struct {
    amld_arm_t arm;
    const char *id;
    amld_key_t key;
    json_t *doc;
} amld_arm_job_t;

/* As amld_arm_begin(), and the job's key; amld_arm_job_end() in either case.
 * An id that is none is answered 404, but for PUT, which says the rule. */
int
amld_arm_job_begin(amld_arm_job_t *job, amld_t *d,
                   const amld_request_t *request, amld_response_t *response);
void amld_arm_job_end(amld_arm_job_t *job);

/* Opens a transaction and loads the job.  1 when it is there, 0 when it is not,
 * -1 when the response was filled. */
int amld_arm_job_load(amld_arm_job_t *job, int write);

/* 1, or 0 when somebody else asks and the response was filled. */
int amld_arm_job_own(amld_arm_job_t *job, const char *what);

void amld_arm_job_not_found(amld_arm_job_t *job);

/* Stores the document, tells the runner, commits, and writes the audit line;
 * 0, or -1 when the response was filled. */
int amld_arm_job_commit(amld_arm_job_t *job);


/* ---- arm_job_body.c ---- */

/* What a PUT asks for; what is not said is NULL, or not in `requested`. */
typedef struct {
    json_t *body;
    json_t *requested;   /* owned: what is fixed, as documents have it, but */
    char *directory;     /* workingDirectory as it was sent, cleaned; owned */
    const char *compute; /* its name */
    json_t *tags;        /* owned */
    const char *display_name;
    const char *description;
    int archived; /* -1: not said */
} amld_job_put_t;

/*
 * Reads and checks a body for the job `id`.  0, or -1 and a fault;
 * amld_job_put_free() in either case.
 */
int amld_job_put_read(amld_job_put_t *put, const char *text, size_t n,
                      const amld_workspace_t *workspace, const char *id,
                      amld_arm_fault_t *fault);
void amld_job_put_free(amld_job_put_t *put);

/* What a new job must say; 0, or -1 and a fault. */
int amld_job_put_complete(const amld_job_put_t *put, amld_arm_fault_t *fault);

/* What is fixed of a new job, with what was not said filled in; `folder` is
 * the creator's, below the share.  A new reference, NULL without memory. */
json_t *amld_job_put_requested(const amld_job_put_t *put, const char *folder);

/* NULL, or the member that is fixed and is asked to be another than the
 * document's; static. */
const char *amld_job_put_differs(const amld_job_put_t *put, const json_t *doc);

/* Writes into the document what may change; 0, or -1 without memory. */
int amld_job_put_apply(const amld_job_put_t *put, json_t *doc);

/* "/Users/ann" is below the share, "a/b" below `folder`: the path below the
 * share, without a slash at either end.  0, or -1 when it is too long. */
int amld_job_directory(const char *directory, const char *folder, char *path,
                       size_t size);


/* ---- arm_job_answer.c ---- */

/* A new reference, NULL without memory. */
json_t *amld_arm_job_json(const json_t *doc, const char *asker);

/* {"status","exitCode","message"}: how it is, for the end of a stream. */
json_t *amld_arm_job_status_json(const json_t *doc);

/* Where outputs are, as a URI of a data store: what Azure calls the share. */
#define AMLD_JOB_STORE "azureml://datastores/workspaceworkingdirectory/paths/"

/* Members of properties.properties that amld fills in; 1 when `name` is one. */
int amld_arm_job_is_filled(const char *name);


/* ---- handlers: arm_job_put.c, arm_job_list.c, arm_job_log.c ---- */

void amld_arm_job_put(amld_t *d, const amld_request_t *request,
                      amld_response_t *response);
void amld_arm_job_list(amld_t *d, const amld_request_t *request,
                       amld_response_t *response);
void amld_arm_job_log(amld_t *d, const amld_request_t *request,
                      amld_response_t *response);

/* arm_job_follow.c: the same as a stream of events; the job is loaded. */
void amld_arm_job_follow(amld_arm_job_t *job);

#endif /* AMLD_ARM_JOB_H */
