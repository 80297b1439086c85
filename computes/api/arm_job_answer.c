/*
 * What is answered of a job.
 */

#include <stdio.h>
#include <string.h>

#include "computes/api/arm_job.h"

static json_t *job_time(const json_t *doc, const char *name);
static json_t *job_message(const json_t *doc, int own);
static json_t *job_properties(const json_t *doc, int own);
static json_t *job_limits(const json_t *requested);
static json_t *job_outputs(const json_t *doc);
static const char *job_environment(const json_t *requested);

static const char *const job_filled[] = {
    "SubmitTimeUtc", "StartTimeUtc", "EndTimeUtc", "ExitCode",
    "Message",       "Folder",       NULL};


json_t *
amld_arm_job_json(const json_t *doc, const char *asker)
{
    int own;
    char id[1024], compute[1024];
    const char *workspace, *name;
    const json_t *requested, *tags;
    json_t *body, *properties;

    workspace = amld_compute_str(doc, "workspace");
    name = amld_compute_str(doc, "name");
    requested = json_object_get(doc, "requested");
    tags = json_object_get(doc, "tags");
    own = asker[0] != '\0' &&
          strcmp(amld_compute_str(doc, "creator"), asker) == 0;

    if ((size_t) snprintf(id, sizeof(id), "%s/jobs/%s", workspace, name) >=
            sizeof(id) ||
        (size_t) snprintf(compute, sizeof(compute), "%s/computes/%s", workspace,
                          amld_compute_str(doc, "computeName")) >=
            sizeof(compute)) {
        return NULL;
    }

    properties = json_pack(
        "{s:s,s:s,s:s,s:O?,s:s,s:O?,s:s,s:O?,s:o,s:o,s:n,s:b,s:s,s:o,s:{s:i},"
        "s:n,s:n,s:{},s:{},s:{}}",
        "jobType", "Command", "status", amld_compute_str(doc, "status"),
        "computeId", compute, "command",
        own ? json_object_get(requested, "command") : NULL, "environmentId",
        job_environment(requested), "environmentVariables",
        own ? json_object_get(requested, "environmentVariables") : NULL,
        "displayName",
        amld_compute_str(doc, "displayName")[0] != '\0'
            ? amld_compute_str(doc, "displayName")
            : name,
        "description", json_object_get(doc, "description"), "tags",
        json_is_object(tags) ? json_deep_copy(tags) : json_object(),
        "properties", job_properties(doc, own), "identity", "isArchived",
        json_is_true(json_object_get(doc, "archived")), "experimentName",
        amld_compute_str(requested, "experimentName"), "limits",
        job_limits(requested), "resources", "instanceCount", 1, "codeId",
        "distribution", "inputs", "services", "parameters");
    if (properties == NULL ||
        json_object_set_new(properties, "outputs", job_outputs(doc)) != 0 ||
        json_object_set_new(properties, "times",
                            json_pack("{s:o,s:o,s:o}", "submitted",
                                      job_time(doc, "submitted"), "started",
                                      job_time(doc, "started"), "ended",
                                      job_time(doc, "ended"))) != 0 ||
        json_object_set_new(properties, "exitCode",
                            json_is_integer(json_object_get(doc, "exitCode"))
                                ? json_incref(json_object_get(doc, "exitCode"))
                                : json_null()) != 0 ||
        json_object_set_new(properties, "message", job_message(doc, own)) !=
            0 ||
        json_object_set_new(properties, "folder",
                            json_string(amld_compute_str(doc, "folder"))) !=
            0) {
        json_decref(properties);
        return NULL;
    }

    body = json_pack("{s:s,s:s,s:s,s:o,s:{s:o,s:s,s:s,s:s}}", "id", id, "name",
                     name, "type", AMLD_ARM_PROVIDER "/workspaces/jobs",
                     "properties", properties, "systemData", "createdAt",
                     job_time(doc, "submitted"), "createdBy",
                     amld_compute_str(doc, "creatorName"), "createdByType",
                     "User", "createdById", amld_compute_str(doc, "creator"));

    return body;
}


json_t *
amld_arm_job_status_json(const json_t *doc)
{
    return json_pack(
        "{s:s,s:O?,s:o}", "status", amld_compute_str(doc, "status"), "exitCode",
        json_object_get(doc, "exitCode"), "message", job_message(doc, 1));
}


int
amld_arm_job_is_filled(const char *name)
{
    size_t i;

    for (i = 0; job_filled[i] != NULL; i++) {
        if (strcmp(job_filled[i], name) == 0) {
            return 1;
        }
    }

    return 0;
}


static json_t *
job_time(const json_t *doc, const char *name)
{
    char text[AMLD_TIME_SIZE];
    int64_t ms;

    ms = amld_job_time(doc, name);
    if (ms == 0) {
        return json_null();
    }
    amld_time_text(text, ms);

    return json_string(text);
}


/* Behind its first line may be the end of a log. */
static json_t *
job_message(const json_t *doc, int own)
{
    const char *text;

    text = amld_compute_str(doc, "message");
    if (text[0] == '\0') {
        return json_null();
    }

    return own ? json_string(text) : json_stringn(text, strcspn(text, "\n"));
}


/* What people gave, and in strings, for clients that know nothing else, what
 * the members beside it say. */
static json_t *
job_properties(const json_t *doc, int own)
{
    size_t i;
    json_t *map, *value;
    const json_t *exit_code;
    const char *directory;

    value = json_object_get(json_object_get(doc, "requested"), "properties");
    map = json_is_object(value) ? json_copy(value) : json_object();

    for (i = 0; job_filled[i] != NULL; i++) {
        value = NULL;
        exit_code = json_object_get(doc, "exitCode");

        switch (i) {
        case 0:
            value = job_time(doc, "submitted");
            break;
        case 1:
            value = job_time(doc, "started");
            break;
        case 2:
            value = job_time(doc, "ended");
            break;
        case 3:
            value = json_is_integer(exit_code)
                        ? json_sprintf(
                              "%lld", (long long) json_integer_value(exit_code))
                        : NULL;
            break;
        case 4:
            value = job_message(doc, own);
            break;
        default:
            value = json_string(amld_compute_str(doc, "folder"));
            break;
        }

        if (json_is_null(value)) {
            json_decref(value);
            value = NULL;
        }
        if (value != NULL) {
            (void) json_object_set_new(map, job_filled[i], value);
        }
    }

    directory =
        amld_compute_str(json_object_get(doc, "requested"), "workingDirectory");
    if (directory[0] != '\0') {
        (void) json_object_set_new(map, "workingDirectory",
                                   json_sprintf("/%s", directory));
    }

    return map;
}


static json_t *
job_limits(const json_t *requested)
{
    return json_pack(
        "{s:s,s:O?}", "jobLimitsType", "Command", "timeout",
        json_object_get(json_object_get(requested, "limits"), "timeout"));
}


static json_t *
job_outputs(const json_t *doc)
{
    return json_pack(
        "{s:{s:s,s:s,s:o}}", "default", "jobOutputType", "uri_folder", "mode",
        "ReadWriteMount", "uri",
        json_sprintf(AMLD_JOB_STORE "%s", amld_compute_str(doc, "folder")));
}


static const char *
job_environment(const json_t *requested)
{
    const char *id;

    id = amld_compute_str(requested, "environmentId");

    return id[0] != '\0' ? id : "instance";
}
