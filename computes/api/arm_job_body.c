/*
 * The body of a PUT of a job.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/api/arm_job.h"
#include "computes/api/arm_job_members.h"

#define JOB_NAME 256         /* bytes of a display name */
#define JOB_DESCRIPTION 4096 /* bytes */
#define JOB_DIRECTORY 1024
#define JOB_ID 1024
#define P "properties."

static int job_properties(amld_job_put_t *put, const json_t *properties,
                          const amld_workspace_t *workspace, const char *id,
                          amld_arm_fault_t *fault);
static int job_type(const json_t *properties, amld_arm_fault_t *fault);
static int
job_compute(amld_job_put_t *put, const json_t *value,
            const amld_workspace_t *workspace, amld_arm_fault_t *fault);
static int
job_outputs(const json_t *value, const char *id, amld_arm_fault_t *fault);
static int job_labels(amld_job_put_t *put, const json_t *properties,
                      amld_arm_fault_t *fault);


int
amld_job_put_read(amld_job_put_t *put, const char *text, size_t n,
                  const amld_workspace_t *workspace, const char *id,
                  amld_arm_fault_t *fault)
{
    char *kept;
    size_t bytes;
    json_t *properties;

    memset(put, 0, sizeof(*put));
    put->archived = -1;

    put->requested = json_object();
    if (put->requested == NULL) {
        return amld_job_no_memory(fault);
    }

    put->body = amld_arm_body(text, n, fault);
    if (put->body == NULL) {
        return -1;
    }

    properties = json_object_get(put->body, "properties");
    if (!json_is_object(properties)) {
        return amld_arm_fault(fault, "InvalidRequestContent", "properties",
                              "The member 'properties' must be an object.");
    }

    if (job_properties(put, properties, workspace, id, fault) != 0) {
        return -1;
    }

    kept = json_dumps(put->requested, JSON_COMPACT);
    if (kept == NULL) {
        return amld_job_no_memory(fault);
    }
    bytes = strlen(kept);
    free(kept);

    if (bytes > AMLD_JOB_REQUESTED) {
        return amld_arm_fault(fault, "UserError", "properties",
                              "What a job is to do has %zu bytes as JSON; it "
                              "may have %d. Put what is long into a file of "
                              "the share.",
                              bytes, AMLD_JOB_REQUESTED);
    }

    return 0;
}


void
amld_job_put_free(amld_job_put_t *put)
{
    json_decref(put->body);
    json_decref(put->requested);
    json_decref(put->tags);
    free(put->directory);
}


int
amld_job_put_complete(const amld_job_put_t *put, amld_arm_fault_t *fault)
{
    if (json_object_get(put->requested, "command") == NULL) {
        return amld_arm_fault(fault, "UserError", P "command",
                              "A job has a 'command': what a shell is to run.");
    }

    if (put->compute == NULL) {
        return amld_arm_fault(fault, "UserError", P "computeId",
                              "A job has a 'computeId': the id of the compute "
                              "instance that it is to run on, or its name.");
    }

    return 0;
}


json_t *
amld_job_put_requested(const amld_job_put_t *put, const char *folder)
{
    int failed;
    char path[JOB_DIRECTORY + 256];
    json_t *requested;

    requested = json_pack("{s:s,s:{},s:s,s:{}}", "environmentId", "",
                          "environmentVariables", "experimentName", "Default",
                          "properties");
    failed = requested == NULL || json_object_update(requested, put->requested);

    if (!failed && put->directory != NULL) {
        failed =
            amld_job_directory(put->directory, folder, path, sizeof(path)) ||
            amld_compute_set_str(requested, "workingDirectory", path);
    }

    if (failed) {
        json_decref(requested);
        return NULL;
    }

    return requested;
}


const char *
amld_job_put_differs(const amld_job_put_t *put, const json_t *doc)
{
    char path[JOB_DIRECTORY + 256], folder[512], *end;
    size_t i;
    const json_t *have, *value;

    have = json_object_get(doc, "requested");

    if (put->compute != NULL &&
        strcasecmp(put->compute, amld_compute_str(doc, "computeName")) != 0) {
        return P "computeId";
    }

    for (i = 0; amld_job_members[i].name != NULL; i++) {
        value = json_object_get(put->requested, amld_job_members[i].name);
        if (value != NULL &&
            !json_equal(value,
                        json_object_get(have, amld_job_members[i].name))) {
            return amld_job_members[i].name;
        }
    }

    if (put->directory != NULL) {
        snprintf(folder, sizeof(folder), "%s", amld_compute_str(doc, "folder"));
        for (i = 0; i < 2 && (end = strrchr(folder, '/')) != NULL; i++) {
            *end = '\0'; /* "/jobs/<id>" */
        }
        if (amld_job_directory(put->directory, folder, path, sizeof(path)) !=
                0 ||
            strcmp(path, amld_compute_str(have, "workingDirectory")) != 0) {
            return "workingDirectory";
        }
    }

    return NULL;
}


int
amld_job_put_apply(const amld_job_put_t *put, json_t *doc)
{
    int failed;

    failed = 0;

    if (put->tags != NULL) {
        failed |= json_object_set(doc, "tags", put->tags);
    }
    if (put->display_name != NULL) {
        failed |= amld_compute_set_str(doc, "displayName", put->display_name);
    }
    if (put->description != NULL) {
        failed |= amld_compute_set_str(doc, "description", put->description);
    }
    if (put->archived == 1) {
        failed |= json_object_set_new(doc, "archived", json_true());
    } else if (put->archived == 0) {
        (void) json_object_del(doc, "archived");
    }

    return failed ? -1 : 0;
}


int
amld_job_directory(const char *directory, const char *folder, char *path,
                   size_t size)
{
    int n;

    n = directory[0] == '/' ? snprintf(path, size, "%s", directory + 1)
        : directory[0] == '\0'
            ? snprintf(path, size, "%s", folder)
            : snprintf(path, size, "%s/%s", folder, directory);

    return n >= 0 && (size_t) n < size ? 0 : -1;
}


static int
job_properties(amld_job_put_t *put, const json_t *properties,
               const amld_workspace_t *workspace, const char *id,
               amld_arm_fault_t *fault)
{
    size_t i;
    json_t *value;

    if (job_type(properties, fault) != 0) {
        return -1;
    }

    value = amld_job_member(properties, "computeId");
    if (value != NULL && job_compute(put, value, workspace, fault) != 0) {
        return -1;
    }

    value = amld_job_member(properties, "outputs");
    if (value != NULL && job_outputs(value, id, fault) != 0) {
        return -1;
    }

    for (i = 0; amld_job_members[i].name != NULL; i++) {
        value = amld_job_member(properties, amld_job_members[i].name);
        if (value != NULL && amld_job_members[i].read(put, value, fault) != 0) {
            return -1;
        }
    }

    return job_labels(put, properties, fault);
}


static int
job_type(const json_t *properties, amld_arm_fault_t *fault)
{
    const json_t *type;

    type = json_object_get(properties, "jobType");

    if (!json_is_string(type) ||
        strcmp(json_string_value(type), "Command") != 0) {
        return amld_arm_fault(fault, "UserError", P "jobType",
                              "Only jobs of the jobType 'Command' run on a "
                              "compute instance. Run what a pipeline, a sweep "
                              "or AutoML would do in a command.");
    }

    return 0;
}


/* "<workspace>/computes/<name>", or the name. */
static int
job_compute(amld_job_put_t *put, const json_t *value,
            const amld_workspace_t *workspace, amld_arm_fault_t *fault)
{
    size_t n;
    const char *text, *name;

    static const char computes[] = "/computes/";

    text = json_string_value(value);
    name = text;
    n = strlen(workspace->id);

    if (!amld_job_is_text(value, 1, JOB_ID)) {
        name = NULL;

    } else if (text[0] == '/') {
        name =
            strncasecmp(text, workspace->id, n) == 0 &&
                    strncasecmp(text + n, computes, sizeof(computes) - 1) == 0
                ? text + n + sizeof(computes) - 1
                : NULL;
    }

    if (name == NULL || name[0] == '\0' || strchr(name, '/') != NULL) {
        return amld_arm_fault(fault, "UserError", P "computeId",
                              "'computeId' is the id of a compute instance of "
                              "this workspace, '%.300s/computes/{name}', or "
                              "its name.",
                              workspace->id);
    }

    put->compute = name;

    return 0;
}


/* What the answers have may be sent back. */
static int
job_outputs(const json_t *value, const char *id, amld_arm_fault_t *fault)
{
    int ok;
    size_t n, k;
    json_t *one;
    const json_t *uri;
    const char *name, *text;

    ok = json_is_object(value);

    json_object_foreach((json_t *) value, name, one)
    {
        uri = amld_job_member(one, "uri");
        text = json_string_value(uri);
        n = text != NULL ? strlen(text) : 0;
        k = strlen(id);

        ok = ok && strcmp(name, "default") == 0 &&
             (json_is_null(one) ||
              (json_is_object(one) &&
               (uri == NULL || (text != NULL &&
                                strncmp(text, AMLD_JOB_STORE,
                                        sizeof(AMLD_JOB_STORE) - 1) == 0 &&
                                n > k && text[n - k - 1] == '/' &&
                                strcasecmp(text + n - k, id) == 0))));
    }

    return ok ? 0
              : amld_arm_fault(fault, "UserError", P "outputs",
                               "A job has one output, 'default', which is its "
                               "own directory in the share; no other can be "
                               "asked for, and no other place.");
}


/* What may change. */
static int
job_labels(amld_job_put_t *put, const json_t *properties,
           amld_arm_fault_t *fault)
{
    const json_t *value;

    value = amld_job_member(properties, "displayName");
    if (value != NULL && !amld_job_is_text(value, 0, JOB_NAME)) {
        return amld_arm_fault(fault, "UserError", P "displayName",
                              "A displayName is a string of at most %d bytes.",
                              JOB_NAME);
    }
    put->display_name = json_string_value(value);

    value = amld_job_member(properties, "description");
    if (value != NULL && !amld_job_is_text(value, 0, JOB_DESCRIPTION)) {
        return amld_arm_fault(fault, "UserError", P "description",
                              "A description is a string of at most %d bytes.",
                              JOB_DESCRIPTION);
    }
    put->description = json_string_value(value);

    value = amld_job_member(properties, "isArchived");
    if (value != NULL && !json_is_boolean(value)) {
        return amld_arm_fault(fault, "UserError", P "isArchived",
                              "isArchived is true or false.");
    }
    put->archived = value != NULL ? json_is_true(value) : -1;

    value = amld_job_member(properties, "tags");
    if (value == NULL) {
        return 0;
    }

    put->tags = amld_job_strings(value);
    if (put->tags == NULL) {
        return amld_arm_fault(fault, "InvalidTags", "tags",
                              "Tags are an object of strings.");
    }

    return amld_arm_tags_check(put->tags, fault);
}
