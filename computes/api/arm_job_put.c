/*
 * PUT of a job: a new one, the same once more, or other words for one that
 * there is.
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "computes/api/arm_job.h"
#include "computes/files/reserve.h"

static void job_create(amld_arm_job_t *job, const amld_job_put_t *put);
static void job_update(amld_arm_job_t *job, const amld_job_put_t *put);
static int job_instance(amld_arm_job_t *job, const char *name, amld_key_t *key,
                        json_t **instance);
static int job_grows(const json_t *before, const json_t *doc);
static int job_room(amld_arm_job_t *job, const amld_key_t *compute);
static int job_room_all(amld_arm_job_t *job, int more);
static int job_image(amld_arm_job_t *job, const amld_job_put_t *put);
static int job_document(amld_arm_job_t *job, const amld_job_put_t *put,
                        const amld_key_t *compute, const json_t *instance);


void
amld_arm_job_put(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    int rc;
    amld_arm_job_t job;
    amld_job_put_t put;
    amld_arm_fault_t fault;

    if (amld_arm_job_begin(&job, d, request, response) != 0) {
        amld_arm_job_end(&job);
        return;
    }

    if (amld_job_name_check(job.id) != 0 || job.key.n == 0) {
        amld_response_error(response, 400, "InvalidResourceName", "name",
                            "The name of a job has 1 to %d letters of a to z, "
                            "digits, '-' and '_', and begins with a letter or "
                            "a digit.",
                            AMLD_JOB_NAME_MAX);
        amld_arm_job_end(&job);
        return;
    }

    if (amld_job_put_read(&put, request->body, request->body_len,
                          job.arm.workspace, job.id, &fault) != 0) {
        amld_arm_faulty(&job.arm, &fault);

    } else {
        rc = amld_arm_job_load(&job, 1);
        if (rc == 0) {
            job_create(&job, &put);
        } else if (rc == 1 &&
                   amld_arm_job_own(&job, "take another name for a new one")) {
            job_update(&job, &put);
        }
    }

    amld_job_put_free(&put);
    amld_arm_job_end(&job);
}


static void
job_create(amld_arm_job_t *job, const amld_job_put_t *put)
{
    json_t *instance;
    amld_key_t compute = {.n = 0};
    amld_arm_fault_t fault;

    if (amld_job_put_complete(put, &fault) != 0) {
        amld_arm_faulty(&job->arm, &fault);
        return;
    }

    instance = NULL;
    if (job_instance(job, put->compute, &compute, &instance) == 0 &&
        job_image(job, put) == 0 && job_room(job, &compute) == 0 &&
        job_document(job, put, &compute, instance) == 0 &&
        amld_arm_job_commit(job) == 0) {
        amld_log(AMLD_LOG_INFO, "job %s: submitted to %s by %s (%s)", job->id,
                 amld_compute_str(instance, "name"), job->arm.asker,
                 job->arm.request->name);
        amld_response_json(job->arm.response, 201,
                           amld_arm_job_json(job->doc, job->arm.asker));
    }

    json_decref(instance);
}


static void
job_update(amld_arm_job_t *job, const amld_job_put_t *put)
{
    int same, grows;
    json_t *before;
    const char *differs;

    differs = amld_job_put_differs(put, job->doc);
    if (differs != NULL) {
        amld_response_error(job->arm.response, 400, "PropertyChangeNotAllowed",
                            differs,
                            "A job of the name '%.100s' exists. Its '%s' was "
                            "set when it was submitted and cannot be changed; "
                            "tags, description, displayName and isArchived "
                            "can. Take another name for another job.",
                            amld_compute_str(job->doc, "name"), differs);
        return;
    }

    before = json_deep_copy(job->doc);
    if (before == NULL || amld_job_put_apply(put, job->doc) != 0) {
        json_decref(before);
        amld_arm_registry_error(&job->arm, AML_REGISTRY_FAILED);
        return;
    }
    same = json_equal(before, job->doc);
    grows = !same && job_grows(before, job->doc);
    json_decref(before);

    if (!same && amld_reserve_is_spent(job->arm.txn)) {
        amld_arm_registry_error(&job->arm, AML_REGISTRY_LIMIT);
        return;
    }
    if (grows && job_room_all(job, 0) != 0) {
        return;
    }

    if (same || amld_arm_job_commit(job) == 0) {
        amld_response_json(job->arm.response, 200,
                           amld_arm_job_json(job->doc, job->arm.asker));
    }
}


/* That it is to run on, of whoever asks; 0, or -1 when the response was
 * filled. */
static int
job_instance(amld_arm_job_t *job, const char *name, amld_key_t *key,
             json_t **instance)
{
    amld_arm_t *arm;
    aml_registry_rc_t rc;

    arm = &job->arm;

    rc = amld_compute_key(key, arm->workspace, name) == 0
             ? amld_compute_load(arm->txn, key, instance)
             : AML_REGISTRY_NOTFOUND;
    if (rc == AML_REGISTRY_NOTFOUND) {
        amld_response_error(arm->response, 400, "ComputeNotFound",
                            "properties.computeId",
                            "There is no compute instance '%.100s' in this "
                            "workspace.",
                            name);
        return -1;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    if (strcmp(arm->asker, amld_compute_str(*instance, "creator")) != 0) {
        amld_response_error(arm->response, 403, "OwnerOnly",
                            "properties.computeId",
                            "The compute instance '%s' is somebody else's. "
                            "Jobs run as the person whose it is, so that only "
                            "they may submit them.",
                            amld_compute_str(*instance, "name"));
        return -1;
    }

    if (amld_compute_state(*instance) == AMLD_STATE_DELETING) {
        amld_response_error(arm->response, 409, "Conflict",
                            "properties.computeId",
                            "The compute instance '%s' is being deleted.",
                            amld_compute_str(*instance, "name"));
        return -1;
    }

    return 0;
}


/* Of an engine that has images. */
static int
job_image(amld_arm_job_t *job, const amld_job_put_t *put)
{
    const amld_engine_t *engine;

    engine = amld_engine_of(job->arm.d->config);

    if (amld_compute_str(put->requested, "environmentId")[0] == '\0' ||
        (engine != NULL && engine->images)) {
        return 0;
    }

    amld_response_error(job->arm.response, 400, "UserError",
                        "properties.environmentId",
                        "The engine '%s', by which compute instances run "
                        "here, has no images. Leave 'environmentId' out, or "
                        "say 'instance'.",
                        job->arm.d->config->engine);

    return -1;
}


/* By more than what archives it: who comes to a bound may tidy up. */
static int
job_grows(const json_t *before, const json_t *doc)
{
    size_t archived;

    archived = json_object_get(doc, "archived") != NULL &&
                       json_object_get(before, "archived") == NULL
                   ? sizeof(",\"archived\":true") - 1
                   : 0;

    return json_dumpb(doc, NULL, 0, JSON_COMPACT) >
           json_dumpb(before, NULL, 0, JSON_COMPACT) + archived;
}


/* Who may fill the queue must not fill the registry. */
static int
job_room(amld_arm_job_t *job, const amld_key_t *compute)
{
    size_t waiting;
    amld_arm_t *arm;
    aml_registry_rc_t rc;
    const amld_config_t *c;

    arm = &job->arm;
    c = arm->d->config;

    if (amld_reserve_is_spent(arm->txn)) {
        return amld_arm_registry_error(arm, AML_REGISTRY_LIMIT);
    }

    rc = amld_job_queue_count(arm->txn, compute, c->job_queue, &waiting);
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    if (waiting >= c->job_queue) {
        amld_response_error(arm->response, 409, "TooManyJobs",
                            "properties.computeId",
                            "%u jobs of this compute instance run or wait: "
                            "there is no room for another in its queue. Wait "
                            "for some to end, or cancel some.",
                            c->job_queue);
        return -1;
    }

    return job_room_all(job, 1);
}


/* For `more` jobs of who asks, or for more to be kept of one that there is. */
static int
job_room_all(amld_arm_job_t *job, int more)
{
    uint64_t taken;
    amld_arm_t *arm;
    amld_job_use_t use;
    aml_registry_rc_t rc;
    const amld_config_t *c;

    arm = &job->arm;
    c = arm->d->config;

    rc = amld_job_use(arm->txn, arm->asker, &use);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_job_taken(arm->txn, &taken);
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    if ((more > 0 && use.count >= c->job_history) ||
        use.bytes >= c->job_history_size) {
        amld_response_error(arm->response, 409, "TooManyJobs", NULL,
                            "You have %llu jobs, of %llu bytes, those that "
                            "have ended included; %u and %zu may be kept. "
                            "Delete some of those that have ended.",
                            (unsigned long long) use.count,
                            (unsigned long long) use.bytes, c->job_history,
                            c->job_history_size);
        return -1;
    }

    /* The rest is for all that is not jobs: signing in, for one. */
    if (taken >= c->registry_size / 2) {
        amld_response_error(arm->response, 409, "TooManyJobs", NULL,
                            "The jobs of all people take %llu bytes of the "
                            "registry, and may take half of it. Delete some of "
                            "yours that have ended, or ask whoever runs this "
                            "gateway, who can remove others' (amld job "
                            "remove).",
                            (unsigned long long) taken);
        return -1;
    }

    return 0;
}


static int
job_document(amld_arm_job_t *job, const amld_job_put_t *put,
             const amld_key_t *compute, const json_t *instance)
{
    json_t *requested;
    uint64_t seq;
    amld_arm_t *arm;
    const char *folder;
    struct timespec now;
    aml_registry_rc_t rc;

    arm = &job->arm;
    folder = amld_compute_str(instance, "folder");

    rc = amld_compute_generation(arm->txn, &seq);
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    clock_gettime(CLOCK_REALTIME, &now);
    requested = amld_job_put_requested(put, folder);

    job->doc = json_pack(
        "{s:s,s:{},s:s,s:s,s:s%,s:s,s:s,s:s,s:s,s:I,s:o,s:{s:I},s:o}",
        "displayName", job->id, "tags", "name", job->id, "workspace",
        arm->workspace->id, "compute", compute->p, compute->n, "computeName",
        amld_compute_str(instance, "name"), "runtime",
        amld_compute_str(instance, "runtime"), "creator", arm->asker,
        "creatorName",
        arm->request->name[0] != '\0' ? arm->request->name : arm->asker, "seq",
        (json_int_t) seq, "requested", requested, "times", "submitted",
        (json_int_t) now.tv_sec * 1000 + now.tv_nsec / 1000000, "folder",
        json_sprintf("%s/jobs/%s", folder, job->id));

    if (job->doc == NULL ||
        amld_job_set_status(job->doc, AMLD_JOB_QUEUED) != 0 ||
        amld_job_put_apply(put, job->doc) != 0) {
        return amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
    }

    return 0;
}
