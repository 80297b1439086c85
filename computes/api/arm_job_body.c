/*
 * The body of a PUT of a job.
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/api/arm_job.h"
#include "computes/engines/podman.h"
#include "computes/time/duration.h"

#define JOB_NAME 256         /* bytes of a display name, of an experiment's */
#define JOB_DESCRIPTION 4096 /* bytes */
#define JOB_PROPERTIES 50
#define JOB_PROPERTY 1024 /* bytes of a value */
#define JOB_IMAGE 512     /* bytes of a reference */
#define JOB_DIRECTORY 1024
#define JOB_SEGMENT 255
#define JOB_VARIABLE_NAME 256
#define JOB_ID 1024
#define P "properties."

typedef int (*job_member_pt)(amld_job_put_t *put, const json_t *value,
                             amld_arm_fault_t *fault);

static int job_properties(amld_job_put_t *put, const json_t *properties,
                          const amld_workspace_t *workspace, const char *id,
                          amld_arm_fault_t *fault);
static int job_type(const json_t *properties, amld_arm_fault_t *fault);
static int
job_compute(amld_job_put_t *put, const json_t *value,
            const amld_workspace_t *workspace, amld_arm_fault_t *fault);
static int
job_command(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int job_environment(amld_job_put_t *put, const json_t *value,
                           amld_arm_fault_t *fault);
static int job_is_own_environment(const char *text);
static int job_variables(amld_job_put_t *put, const json_t *value,
                         amld_arm_fault_t *fault);
static int job_is_variable(const char *name);
static int
job_limits(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int job_resources(amld_job_put_t *put, const json_t *value,
                         amld_arm_fault_t *fault);
static int job_distribution(amld_job_put_t *put, const json_t *value,
                            amld_arm_fault_t *fault);
static int
job_code(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int
job_identity(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int
job_inputs(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int
job_outputs(const json_t *value, const char *id, amld_arm_fault_t *fault);
static int
job_services(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int job_experiment(amld_job_put_t *put, const json_t *value,
                          amld_arm_fault_t *fault);
static int job_labels(amld_job_put_t *put, const json_t *properties,
                      amld_arm_fault_t *fault);
static int
job_map(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int job_directory(amld_job_put_t *put, const json_t *value,
                         amld_arm_fault_t *fault);
static json_t *job_member(const json_t *object, const char *name);
static json_t *job_strings(const json_t *value);
static int job_is_text(const json_t *value, size_t least, size_t most);
static int job_is_plain(const char *text);
static int job_ask(amld_job_put_t *put, const char *name, json_t *value,
                   amld_arm_fault_t *fault);
static int job_no_memory(amld_arm_fault_t *fault);

static const struct {
    const char *name;
    job_member_pt read;
} job_members[] = {
    {"command", job_command},
    {"environmentId", job_environment},
    {"environmentVariables", job_variables},
    {"limits", job_limits},
    {"resources", job_resources},
    {"distribution", job_distribution},
    {"codeId", job_code},
    {"identity", job_identity},
    {"inputs", job_inputs},
    {"services", job_services},
    {"experimentName", job_experiment},
    {"properties", job_map},
    {"workingDirectory", job_directory},
};


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
        return job_no_memory(fault);
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
        return job_no_memory(fault);
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

    for (i = 0; i < sizeof(job_members) / sizeof(job_members[0]); i++) {
        value = json_object_get(put->requested, job_members[i].name);
        if (value != NULL &&
            !json_equal(value, json_object_get(have, job_members[i].name))) {
            return job_members[i].name;
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

    value = job_member(properties, "computeId");
    if (value != NULL && job_compute(put, value, workspace, fault) != 0) {
        return -1;
    }

    value = job_member(properties, "outputs");
    if (value != NULL && job_outputs(value, id, fault) != 0) {
        return -1;
    }

    for (i = 0; i < sizeof(job_members) / sizeof(job_members[0]); i++) {
        value = job_member(properties, job_members[i].name);
        if (value != NULL && job_members[i].read(put, value, fault) != 0) {
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

    if (!job_is_text(value, 1, JOB_ID)) {
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


static int
job_command(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    const char *text;

    text = json_string_value(value);

    if (!job_is_text(value, 1, AMLD_JOB_COMMAND)) {
        return amld_arm_fault(fault, "UserError", P "command",
                              "A command is a string of 1 to %d bytes. Put "
                              "what is longer into a script in the share.",
                              AMLD_JOB_COMMAND);
    }

    if (strstr(text, "${{inputs.") != NULL ||
        strstr(text, "${{outputs.") != NULL) {
        return amld_arm_fault(fault, "UserError", P "command",
                              "Nothing is filled in for '${{inputs.…}}' and "
                              "'${{outputs.…}}' here. Write the path in the "
                              "share, or use a variable of "
                              "'environmentVariables'.");
    }

    return job_ask(put, "command", json_incref((json_t *) value), fault);
}


/* Clients insist on one, so that there is a name for none. */
static int
job_environment(amld_job_put_t *put, const json_t *value,
                amld_arm_fault_t *fault)
{
    size_t i;
    const char *text;

    static const char image[] = "image:";

    text = json_string_value(value);

    if (job_is_text(value, 0, JOB_ID) && job_is_own_environment(text)) {
        return job_ask(put, "environmentId", json_string(""), fault);
    }

    if (job_is_text(value, sizeof(image), JOB_IMAGE) &&
        strncmp(text, image, sizeof(image) - 1) == 0 &&
        isalnum((unsigned char) text[sizeof(image) - 1])) {
        i = sizeof(image) - 1;
        if (amld_podman_is_image(text + i)) {
            i = strlen(text);
        }
        if (text[i] == '\0') {
            return job_ask(put, "environmentId", json_incref((json_t *) value),
                           fault);
        }
    }

    return amld_arm_fault(fault, "UserError", P "environmentId",
                          "'environmentId' is 'instance', the environment that "
                          "the compute instance has, or 'image:{reference}', "
                          "an image that its machine has. Registered "
                          "environments are not kept here.");
}


/* "", "instance", or an asset of that name: "azureml:instance:1" as its id. */
static int
job_is_own_environment(const char *text)
{
    const char *p;

    static const char asset[] = "/environments/instance";

    if (text[0] == '\0' || strcasecmp(text, "instance") == 0 ||
        strncasecmp(text, "azureml:instance:", 17) == 0) {
        return 1;
    }

    for (p = text; (p = strchr(p, '/')) != NULL; p++) {
        if (strncasecmp(p, asset, sizeof(asset) - 1) == 0) {
            p += sizeof(asset) - 1;
            return *p == '\0' || strncasecmp(p, "/versions/", 10) == 0;
        }
    }

    return 0;
}


static int
job_variables(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    json_t *list, *one;
    const char *name;

    list = job_strings(value);
    if (list == NULL || json_object_size(list) > AMLD_JOB_VARIABLES) {
        json_decref(list);
        return amld_arm_fault(fault, "UserError", P "environmentVariables",
                              "'environmentVariables' is an object of at most "
                              "%d strings.",
                              AMLD_JOB_VARIABLES);
    }

    json_object_foreach(list, name, one)
    {
        if (!job_is_variable(name) ||
            json_string_length(one) > AMLD_JOB_VARIABLE) {
            (void) amld_arm_fault(
                fault, "UserError", P "environmentVariables",
                "'%.64s' can be no variable: a name has letters, digits and "
                "'_', does not begin with a digit or with 'AML_', and has at "
                "most %d bytes, a value at most %d.",
                name, JOB_VARIABLE_NAME, AMLD_JOB_VARIABLE);
            json_decref(list);
            return -1;
        }
    }

    return job_ask(put, "environmentVariables", list, fault);
}


/* What begins with AML_ is amld's. */
static int
job_is_variable(const char *name)
{
    size_t i;

    for (i = 0; name[i] != '\0'; i++) {
        if (!(name[i] >= 'A' && name[i] <= 'Z') &&
            !(name[i] >= 'a' && name[i] <= 'z') && name[i] != '_' &&
            !(i != 0 && name[i] >= '0' && name[i] <= '9')) {
            return 0;
        }
    }

    return i != 0 && i <= JOB_VARIABLE_NAME && strncmp(name, "AML_", 4) != 0;
}


static int
job_limits(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    int64_t seconds;
    const json_t *type, *timeout;

    type = job_member(value, "jobLimitsType");
    timeout = job_member(value, "timeout");
    seconds = 0;

    if (!json_is_object(value) ||
        (type != NULL && (!json_is_string(type) ||
                          strcmp(json_string_value(type), "Command") != 0)) ||
        (timeout != NULL &&
         (!json_is_string(timeout) ||
          amld_duration_read(json_string_value(timeout), &seconds) != 0 ||
          seconds < 1))) {
        return amld_arm_fault(fault, "UserError", P "limits",
                              "'limits' is an object with the jobLimitsType "
                              "'Command' and a 'timeout', a duration in ISO "
                              "8601 of a second to a year, such as PT30M.");
    }

    if (timeout == NULL) {
        return 0;
    }

    return job_ask(
        put, "limits",
        json_pack("{s:o}", "timeout",
                  seconds % 60 == 0
                      ? json_sprintf("PT%lldM", (long long) seconds / 60)
                      : json_sprintf("PT%lldS", (long long) seconds)),
        fault);
}


static int
job_resources(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    const json_t *count, *args;

    (void) put;

    count = job_member(value, "instanceCount");
    args = job_member(value, "dockerArgs");

    if (!json_is_object(value) ||
        (count != NULL &&
         (!json_is_integer(count) || json_integer_value(count) < 1))) {
        return amld_arm_fault(fault, "UserError", P "resources",
                              "'resources' is an object; its 'instanceCount' "
                              "is 1.");
    }

    if (count != NULL && json_integer_value(count) > 1) {
        return amld_arm_fault(
            fault, "UserError", P "resources.instanceCount",
            "A compute instance is one machine: 'instanceCount' can't be %lld. "
            "What needs several machines is for a cluster: submit it to a "
            "compute cluster, or to Slurm, or make it several jobs.",
            (long long) json_integer_value(count));
    }

    if (args != NULL &&
        (!json_is_string(args) || json_string_length(args) != 0)) {
        return amld_arm_fault(fault, "UserError", P "resources.dockerArgs",
                              "'dockerArgs' are not taken: a job has the "
                              "limits, the network and the share of its "
                              "compute instance.");
    }

    return 0;
}


static int
job_distribution(amld_job_put_t *put, const json_t *value,
                 amld_arm_fault_t *fault)
{
    const char *type;

    (void) put;

    type = amld_compute_str(value, "distributionType");

    return amld_arm_fault(
        fault, "UserError", P "distribution",
        "A compute instance is one machine: a 'distribution' (%.40s) is for a "
        "compute cluster, or for Slurm. Several processes on this machine are "
        "started by the command itself, as with 'torchrun --standalone "
        "--nproc_per_node=2 train.py' or 'mpirun -n 2'.",
        type[0] != '\0' ? type : "of any type");
}


static int
job_code(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    (void) put;

    if (job_is_text(value, 0, 0)) {
        return 0;
    }

    return amld_arm_fault(fault, "UserError", P "codeId",
                          "Code is not uploaded with a job: it is in the "
                          "workspace's share, where the command finds it. "
                          "Leave 'code' out, and say by the property "
                          "'workingDirectory' where to run.");
}


static int
job_identity(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    const char *type;

    (void) put;

    type = amld_compute_str(value, "identityType");

    if (!json_is_object(value) ||
        (strcmp(type, "AMLToken") != 0 && strcmp(type, "UserIdentity") != 0)) {
        return amld_arm_fault(fault, "UserError", P "identity",
                              "A job runs as the creator of the compute "
                              "instance: the identityType is 'UserIdentity', "
                              "or 'AMLToken', which is taken for it.");
    }

    return 0;
}


static int
job_inputs(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    (void) put;

    if (json_is_object(value) && json_object_size(value) == 0) {
        return 0;
    }

    return amld_arm_fault(fault, "UserError", P "inputs",
                          "Inputs are not brought to a job: the workspace's "
                          "share is there as files. Name paths in the command, "
                          "and values in 'environmentVariables'.");
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
        uri = job_member(one, "uri");
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


static int
job_services(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    (void) put;

    if (json_is_object(value) && json_object_size(value) == 0) {
        return 0;
    }

    return amld_arm_fault(fault, "UserError", P "services",
                          "A job has no services of its own. What is to be "
                          "reached by a browser is a custom service of the "
                          "compute instance.");
}


static int
job_experiment(amld_job_put_t *put, const json_t *value,
               amld_arm_fault_t *fault)
{
    if (!job_is_text(value, 1, JOB_NAME)) {
        return amld_arm_fault(fault, "UserError", P "experimentName",
                              "An experimentName is a string of 1 to %d bytes.",
                              JOB_NAME);
    }

    return job_ask(put, "experimentName", json_incref((json_t *) value), fault);
}


/* What may change. */
static int
job_labels(amld_job_put_t *put, const json_t *properties,
           amld_arm_fault_t *fault)
{
    const json_t *value;

    value = job_member(properties, "displayName");
    if (value != NULL && !job_is_text(value, 0, JOB_NAME)) {
        return amld_arm_fault(fault, "UserError", P "displayName",
                              "A displayName is a string of at most %d bytes.",
                              JOB_NAME);
    }
    put->display_name = json_string_value(value);

    value = job_member(properties, "description");
    if (value != NULL && !job_is_text(value, 0, JOB_DESCRIPTION)) {
        return amld_arm_fault(fault, "UserError", P "description",
                              "A description is a string of at most %d bytes.",
                              JOB_DESCRIPTION);
    }
    put->description = json_string_value(value);

    value = job_member(properties, "isArchived");
    if (value != NULL && !json_is_boolean(value)) {
        return amld_arm_fault(fault, "UserError", P "isArchived",
                              "isArchived is true or false.");
    }
    put->archived = value != NULL ? json_is_true(value) : -1;

    value = job_member(properties, "tags");
    if (value == NULL) {
        return 0;
    }

    put->tags = job_strings(value);
    if (put->tags == NULL) {
        return amld_arm_fault(fault, "InvalidTags", "tags",
                              "Tags are an object of strings.");
    }

    return amld_arm_tags_check(put->tags, fault);
}


/* Strings for whatever people want; some are ours. */
static int
job_map(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    int filled;
    void *next;
    json_t *map, *one;
    const char *name;

    map = job_strings(value);
    if (map == NULL) {
        return amld_arm_fault(fault, "UserError", P "properties",
                              "'properties' is an object of strings.");
    }

    json_object_foreach_safe(map, next, name, one)
    {
        if (strcmp(name, "workingDirectory") == 0) {
            if (job_directory(put, one, fault) != 0) {
                json_decref(map);
                return -1;
            }
            filled = 1;
        } else {
            filled = amld_arm_job_is_filled(name);
        }
        if (filled) {
            (void) json_object_del(map, name);
        }
    }

    filled = json_object_size(map) > JOB_PROPERTIES;
    json_object_foreach(map, name, one)
    {
        filled |=
            strlen(name) > JOB_NAME || json_string_length(one) > JOB_PROPERTY;
    }
    if (filled) {
        json_decref(map);
        return amld_arm_fault(fault, "UserError", P "properties",
                              "'properties' are at most %d strings; a name has "
                              "at most %d bytes, a value at most %d.",
                              JOB_PROPERTIES, JOB_NAME, JOB_PROPERTY);
    }

    return job_ask(put, "properties", map, fault);
}


static int
job_directory(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    char *out;
    int ok;
    size_t n;
    const char *text;

    text = json_string_value(value);
    ok = job_is_text(value, 0, JOB_DIRECTORY) && job_is_plain(text);

    free(put->directory);
    put->directory = calloc(1, ok ? strlen(text) + 2 : 1);
    if (put->directory == NULL) {
        return job_no_memory(fault);
    }

    /* "//a/./b/" is "/a/b" */
    out = put->directory;
    if (ok && text[0] == '/') {
        *out++ = '/';
    }
    while (ok && *text != '\0') {
        n = strcspn(text, "/");
        if (n > JOB_SEGMENT || (n == 2 && memcmp(text, "..", 2) == 0)) {
            ok = 0;
        } else if (n != 0 && !(n == 1 && text[0] == '.')) {
            if (out != put->directory && out[-1] != '/') {
                *out++ = '/';
            }
            memcpy(out, text, n);
            out += n;
        }
        text += n + (text[n] == '/');
    }
    *out = '\0';

    return ok ? 0
              : amld_arm_fault(fault, "UserError",
                               P "properties.workingDirectory",
                               "'workingDirectory' is a directory in one's "
                               "folder, or with '/' before it one in the "
                               "share: at most %d bytes, without '..' and "
                               "control characters.",
                               JOB_DIRECTORY);
}


/* NULL also where it is null. */
static json_t *
job_member(const json_t *object, const char *name)
{
    json_t *value;

    value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}


/* A new object without those that are null; NULL when it is none of strings. */
static json_t *
job_strings(const json_t *value)
{
    json_t *copy, *one;
    const char *name;

    copy = json_is_object(value) ? json_object() : NULL;
    if (copy == NULL) {
        return NULL;
    }

    json_object_foreach((json_t *) value, name, one)
    {
        if (json_is_null(one)) {
            continue;
        }
        if (!json_is_string(one) || json_object_set(copy, name, one) != 0) {
            json_decref(copy);
            return NULL;
        }
    }

    return copy;
}


static int
job_is_text(const json_t *value, size_t least, size_t most)
{
    return json_is_string(value) && json_string_length(value) >= least &&
           json_string_length(value) <= most;
}


static int
job_is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char) *text < 0x20 || *text == 0x7f) {
            return 0;
        }
    }

    return 1;
}


/* Takes the reference. */
static int
job_ask(amld_job_put_t *put, const char *name, json_t *value,
        amld_arm_fault_t *fault)
{
    return json_object_set_new(put->requested, name, value) == 0
               ? 0
               : job_no_memory(fault);
}


static int
job_no_memory(amld_arm_fault_t *fault)
{
    return amld_arm_fault(fault, "InternalServerError", NULL, "no memory");
}
