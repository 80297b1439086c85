/*
 * The routes of jobs, and what is asked of one that there is: get, cancel,
 * delete.
 *
 * The status of a cancellation follows from the job, so that it needs no record
 * of its own: it is under way until the job has ended.
 */

#include "computes/api/arm_job.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "computes/files/reserve.h"

#define ARM_W                                                                  \
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/"          \
    "Microsoft.MachineLearningServices/workspaces/{workspace}"

static void
job_get(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
job_operation(amld_arm_job_t *job, const char *operation, int there);
static void job_operation_headers(amld_arm_job_t *job);
static void
job_cancel(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
job_delete(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void job_cancel_once(amld_t *d, const amld_request_t *request,
                            amld_response_t *response);
static void job_delete_once(amld_t *d, const amld_request_t *request,
                            amld_response_t *response);
static int job_commit(amld_arm_job_t *job, int stored);

const amld_http_route_t amld_arm_job_routes[] = {
    {"GET", ARM_W "/jobs", amld_arm_job_list},
    {"GET", ARM_W "/jobs/{job}", job_get},
    {"PUT", ARM_W "/jobs/{job}", amld_arm_job_put},
    {"DELETE", ARM_W "/jobs/{job}", job_delete},
    {"POST", ARM_W "/jobs/{job}/cancel", job_cancel},
    {"GET", ARM_W "/jobs/{job}/logs", amld_arm_job_log},
    {NULL, NULL, NULL},
};


int
amld_arm_job_begin(amld_arm_job_t *job, amld_t *d,
                   const amld_request_t *request, amld_response_t *response)
{
    memset(&job->key, 0, sizeof(job->key));
    job->doc = NULL;
    job->id = "";

    if (amld_arm_begin(&job->arm, d, request, response, 0) != 0) {
        return -1;
    }

    job->id = amld_request_param(request, "job");
    job->arm.name = job->id;

    if (amld_job_key(&job->key, job->arm.workspace, job->id) != 0 &&
        strcmp(request->method, "PUT") != 0) {
        amld_arm_job_not_found(job);
        return -1;
    }

    return 0;
}


void
amld_arm_job_end(amld_arm_job_t *job)
{
    json_decref(job->doc);
    job->doc = NULL;
    amld_arm_end(&job->arm);
}


int
amld_arm_job_load(amld_arm_job_t *job, int write)
{
    amld_arm_t *arm;
    aml_registry_rc_t rc;

    arm = &job->arm;

    rc = write ? aml_registry_write(arm->d->registry, &arm->txn)
               : aml_registry_read(arm->d->registry, &arm->txn);
    if (rc != AML_REGISTRY_OK) {
        arm->txn = NULL;
        return amld_arm_registry_error(arm, rc);
    }

    rc = amld_job_load(arm->txn, &job->key, &job->doc);
    if (rc == AML_REGISTRY_NOTFOUND) {
        return 0;
    }

    return rc == AML_REGISTRY_OK ? 1 : amld_arm_registry_error(arm, rc);
}


int
amld_arm_job_own(amld_arm_job_t *job, const char *what)
{
    if (strcmp(job->arm.asker, amld_compute_str(job->doc, "creator")) == 0) {
        return 1;
    }

    amld_response_error(job->arm.response, 403, "OwnerOnly", NULL,
                        "The job '%.100s' is somebody else's: %s.",
                        amld_compute_str(job->doc, "name"), what);

    return 0;
}


void
amld_arm_job_not_found(amld_arm_job_t *job)
{
    amld_response_error(job->arm.response, 404, "ResourceNotFound", NULL,
                        "The Resource '" AMLD_ARM_PROVIDER
                        "/workspaces/%s/jobs/%.256s' was not found.",
                        job->arm.workspace->name, job->id);
}


int
amld_arm_job_commit(amld_arm_job_t *job)
{
    return job_commit(job, 1);
}


static int
job_commit(amld_arm_job_t *job, int stored)
{
    char scope[AMLD_PATH_MAX];
    amld_arm_t *arm;
    amld_key_t compute = {.n = 0};
    aml_registry_rc_t rc;

    arm = &job->arm;

    rc = stored ? amld_job_store(arm->txn, &job->key, job->doc)
                : amld_job_remove(arm->txn, &job->key, job->doc);

    /* Nothing is to be done for one that has ended. */
    if (rc == AML_REGISTRY_OK && !amld_job_has_ended(job->doc)) {
        rc = amld_job_compute(&compute, job->doc) == 0
                 ? amld_compute_notify(arm->txn, &compute)
                 : AML_REGISTRY_TOOLONG;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    rc = aml_registry_commit(arm->txn);
    arm->txn = NULL;
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    if (compute.n != 0) {
        amld_wake(arm->d);
    }

    (void) snprintf(scope, sizeof(scope), "%.*s", (int) arm->scope.n,
                    arm->scope.p);
    amld_audit_request(arm->d, arm->request,
                       &(amld_audit_event_t){.event = "job",
                                             .target = job->id,
                                             .action = arm->request->action,
                                             .scope = scope});

    return 0;
}


static void
job_get(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    int rc;
    const char *operation;
    amld_arm_job_t job;

    if (amld_arm_job_begin(&job, d, request, response) == 0) {

        rc = amld_arm_job_load(&job, 0);
        operation = amld_request_query(request, "operation");

        if (rc >= 0 && operation != NULL) {
            job_operation(&job, operation, rc);

        } else if (rc == 0) {
            amld_arm_job_not_found(&job);

        } else if (rc == 1) {
            amld_response_json(response, 200,
                               amld_arm_job_json(job.doc, job.arm.asker));
        }
    }

    amld_arm_job_end(&job);
}


static void
job_operation(amld_arm_job_t *job, const char *operation, int there)
{
    char text[AMLD_TIME_SIZE];
    int over;
    json_t *body;
    const char *result;

    if (strcmp(operation, "cancel") != 0 || !there ||
        (!amld_job_has_ended(job->doc) &&
         !json_is_true(json_object_get(job->doc, "cancel")))) {
        amld_response_error(job->arm.response, 404, "OperationNotFound", NULL,
                            "This job has no operation of that name under "
                            "way, or there is no such job any more.");
        return;
    }

    over = amld_job_has_ended(job->doc);
    result = amld_request_query(job->arm.request, "result");

    if (result != NULL && strcmp(result, "true") == 0) {
        if (over) {
            amld_response_json(job->arm.response, 200,
                               amld_arm_job_json(job->doc, job->arm.asker));
        } else {
            job_operation_headers(job);
            amld_response_empty(job->arm.response, 202);
        }
        return;
    }

    body = json_pack("{s:s,s:s,s:s}", "id", operation, "name", operation,
                     "status", over ? "Succeeded" : "InProgress");
    if (over) {
        amld_time_text(text, amld_job_time(job->doc, "ended"));
        (void) json_object_set_new(body, "endTime", json_string(text));
    } else {
        amld_response_header(job->arm.response, "Retry-After", "%d",
                             AMLD_ARM_RETRY);
    }

    amld_response_json(job->arm.response, 200, body);
}


static void
job_operation_headers(amld_arm_job_t *job)
{
    char url[2048], base[300];
    const amld_arm_t *arm;

    arm = &job->arm;
    amld_arm_base(arm, base, sizeof(base));

    (void) snprintf(
        url, sizeof(url), "%s%s/jobs/%s?api-version=%s&operation=cancel", base,
        arm->workspace->id, amld_compute_str(job->doc, "name"), arm->version);

    amld_response_header(arm->response, "Azure-AsyncOperation", "%s", url);
    amld_response_header(arm->response, "Location", "%s&result=true", url);
    amld_response_header(arm->response, "Retry-After", "%d", AMLD_ARM_RETRY);
}


/* A registry that is full keeps nobody from ending what runs, and from making
 * room. */
static void
job_cancel(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    job_cancel_once(d, request, response);

    if (amld_response_status_of(response) == 507 &&
        amld_reserve_spend(d->registry) == 0) {
        job_cancel_once(d, request, response);
    }
}


static void
job_delete(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    job_delete_once(d, request, response);

    if (amld_response_status_of(response) == 507 &&
        amld_reserve_spend(d->registry) == 0) {
        job_delete_once(d, request, response);
    }
}


static void
job_cancel_once(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    int rc, asked;
    amld_arm_job_t job;
    struct timespec now;

    if (amld_arm_job_begin(&job, d, request, response) != 0) {
        amld_arm_job_end(&job);
        return;
    }

    rc = amld_arm_job_load(&job, 1);
    if (rc == 0) {
        amld_arm_job_not_found(&job);
    }
    if (rc != 1 || !amld_arm_job_own(&job, "only its creator cancels it")) {
        amld_arm_job_end(&job);
        return;
    }

    asked = json_is_true(json_object_get(job.doc, "cancel"));

    if (amld_job_has_ended(job.doc)) {
        amld_response_empty(response, 200);
        amld_arm_job_end(&job);
        return;
    }

    if (!asked) {
        clock_gettime(CLOCK_REALTIME, &now);
        if (amld_job_cancel(job.doc, (int64_t) now.tv_sec * 1000 +
                                         now.tv_nsec / 1000000) != 0) {
            amld_arm_registry_error(&job.arm, AML_REGISTRY_FAILED);
            amld_arm_job_end(&job);
            return;
        }
        if (amld_arm_job_commit(&job) != 0) {
            amld_arm_job_end(&job);
            return;
        }
        amld_log(AMLD_LOG_INFO, "job %s: cancellation asked for by %s", job.id,
                 request->name);
    }

    job_operation_headers(&job);
    amld_response_empty(response, 202);
    amld_arm_job_end(&job);
}


static void
job_delete_once(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    int rc;
    amld_arm_job_t job;

    if (amld_arm_job_begin(&job, d, request, response) != 0) {
        amld_arm_job_end(&job);
        return;
    }

    rc = amld_arm_job_load(&job, 1);
    if (rc == 0) {
        amld_response_empty(response, 204);
    }
    if (rc != 1 || !amld_arm_job_own(&job, "only its creator deletes it")) {
        amld_arm_job_end(&job);
        return;
    }

    if (!amld_job_has_ended(job.doc)) {
        amld_response_error(response, 409, "Conflict", NULL,
                            "The job '%.100s' is in the status '%s': one that "
                            "has not ended can't be deleted. Cancel it first.",
                            amld_compute_str(job.doc, "name"),
                            amld_compute_str(job.doc, "status"));

    } else if (job_commit(&job, 0) == 0) {
        amld_response_empty(response, 200);
        amld_log(AMLD_LOG_INFO, "job %s: deleted by %s", job.id, request->name);
    }

    amld_arm_job_end(&job);
}
