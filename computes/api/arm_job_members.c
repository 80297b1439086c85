/*
 * Members of a job's properties that are fixed once it is submitted.
 */

#include "computes/api/arm_job_members.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/engines/podman.h"
#include "computes/time/duration.h"

#define JOB_NAME 256 /* bytes of an experiment's name, of a property's */
#define JOB_PROPERTIES 50
#define JOB_PROPERTY 1024 /* bytes of a value */
#define JOB_IMAGE 512     /* bytes of a reference */
#define JOB_DIRECTORY 1024
#define JOB_SEGMENT 255
#define JOB_VARIABLE_NAME 256
#define JOB_ID 1024
#define P "properties."

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
job_services(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int job_experiment(amld_job_put_t *put, const json_t *value,
                          amld_arm_fault_t *fault);
static int
job_map(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int job_directory(amld_job_put_t *put, const json_t *value,
                         amld_arm_fault_t *fault);
static int job_is_plain(const char *text);
static int job_ask(amld_job_put_t *put, const char *name, json_t *value,
                   amld_arm_fault_t *fault);

const amld_job_member_t amld_job_members[] = {
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
    {NULL, NULL},
};


static int
job_command(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    const char *text;

    text = json_string_value(value);

    if (!amld_job_is_text(value, 1, AMLD_JOB_COMMAND)) {
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

    if (amld_job_is_text(value, 0, JOB_ID) && job_is_own_environment(text)) {
        return job_ask(put, "environmentId", json_string(""), fault);
    }

    if (amld_job_is_text(value, sizeof(image), JOB_IMAGE) &&
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

    list = amld_job_strings(value);
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

    type = amld_job_member(value, "jobLimitsType");
    timeout = amld_job_member(value, "timeout");
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

    count = amld_job_member(value, "instanceCount");
    args = amld_job_member(value, "dockerArgs");

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

    if (amld_job_is_text(value, 0, 0)) {
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
    if (!amld_job_is_text(value, 1, JOB_NAME)) {
        return amld_arm_fault(fault, "UserError", P "experimentName",
                              "An experimentName is a string of 1 to %d bytes.",
                              JOB_NAME);
    }

    return job_ask(put, "experimentName", json_incref((json_t *) value), fault);
}


/* Strings for whatever people want; some are ours. */
static int
job_map(amld_job_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    int filled;
    void *next;
    json_t *map, *one;
    const char *name;

    map = amld_job_strings(value);
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
    ok = amld_job_is_text(value, 0, JOB_DIRECTORY) && job_is_plain(text);

    free(put->directory);
    put->directory = calloc(1, ok ? strlen(text) + 2 : 1);
    if (put->directory == NULL) {
        return amld_job_no_memory(fault);
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
json_t *
amld_job_member(const json_t *object, const char *name)
{
    json_t *value;

    value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}


/* A new object without those that are null; NULL when it is none of strings. */
json_t *
amld_job_strings(const json_t *value)
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


int
amld_job_is_text(const json_t *value, size_t least, size_t most)
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
               : amld_job_no_memory(fault);
}


int
amld_job_no_memory(amld_arm_fault_t *fault)
{
    return amld_arm_fault(fault, "InternalServerError", NULL, "no memory");
}
