/*
 * The body of a PUT.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "computes/arm.h"

#define ARM_TAGS 50
#define ARM_TAG_NAME 512
#define ARM_TAG_VALUE 256
#define ARM_DESCRIPTION 4096
#define ARM_SIZE_DEFAULT "STANDARD_DS3_V2"

static int arm_tags(const json_t *tags, amld_arm_fault_t *fault);
static int arm_requested(amld_arm_put_t *put, const json_t *inner,
                         amld_arm_fault_t *fault);
static int arm_assigned(const json_t *inner, const char *principal,
                        amld_arm_fault_t *fault);
static const char *arm_ssh(const json_t *requested);
static const char *arm_subnet(const json_t *requested);


int
amld_arm_put_read(amld_arm_put_t *put, const char *text, size_t n,
                  const amld_workspace_t *workspace, const char *principal,
                  amld_arm_fault_t *fault)
{
    json_t *location, *properties, *type, *description, *inner;
    json_error_t error;

    memset(put, 0, sizeof(*put));

    put->body = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (put->body == NULL) {
        return amld_arm_fault(fault, "InvalidRequestContent", NULL,
                              "The request content is not valid JSON: line %d, "
                              "column %d: %s.",
                              error.line, error.column, error.text);
    }

    if (!json_is_object(put->body)) {
        return amld_arm_fault(fault, "InvalidRequestContent", NULL,
                              "The request content must be a JSON object.");
    }

    location = json_object_get(put->body, "location");
    if (location != NULL && !json_is_null(location) &&
        (!json_is_string(location) ||
         strcasecmp(json_string_value(location), workspace->location) != 0)) {
        return amld_arm_fault(
            fault, "UserError", "location",
            "Compute instances of this workspace are in '%s'; "
            "no other location can be asked for.",
            workspace->location);
    }

    put->tags = json_object_get(put->body, "tags");
    if (json_is_null(put->tags)) {
        put->tags = NULL;
    }
    if (put->tags != NULL && arm_tags(put->tags, fault) != 0) {
        return -1;
    }

    properties = json_object_get(put->body, "properties");
    if (!json_is_object(properties)) {
        return amld_arm_fault(fault, "InvalidRequestContent", "properties",
                              "The member 'properties' must be an object.");
    }

    type = json_object_get(properties, "computeType");
    if (!json_is_string(type) ||
        strcmp(json_string_value(type), "ComputeInstance") != 0) {
        return amld_arm_fault(
            fault, "UserError", "properties.computeType",
            "Only the computeType 'ComputeInstance' is supported "
            "here.");
    }

    description = json_object_get(properties, "description");
    if (description != NULL && !json_is_null(description)) {
        if (!json_is_string(description) ||
            json_string_length(description) > ARM_DESCRIPTION) {
            return amld_arm_fault(
                fault, "UserError", "properties.description",
                "A description is a string of at most %d bytes.",
                ARM_DESCRIPTION);
        }
        put->description = json_string_value(description);
    }

    inner = json_object_get(properties, "properties");
    if (inner != NULL && !json_is_null(inner) && !json_is_object(inner)) {
        return amld_arm_fault(fault, "InvalidRequestContent",
                              "properties.properties",
                              "The member 'properties.properties' must be an "
                              "object.");
    }

    if (arm_assigned(inner, principal, fault) != 0) {
        return -1;
    }

    return arm_requested(put, inner, fault);
}


void
amld_arm_put_free(amld_arm_put_t *put)
{
    json_decref(put->body);
    json_decref(put->requested);
}


const char *
amld_arm_put_differs(const amld_arm_put_t *put, const json_t *doc)
{
    const json_t *have;

    have = json_object_get(doc, "requested");

    if (strcasecmp(amld_compute_str(put->requested, "vmSize"),
                   amld_compute_str(have, "vmSize")) != 0) {
        return "vmSize";
    }
    if (strcmp(arm_ssh(put->requested), arm_ssh(have)) != 0) {
        return "sshSettings";
    }
    if (strcasecmp(arm_subnet(put->requested), arm_subnet(have)) != 0) {
        return "subnet";
    }

    return NULL;
}


int
amld_arm_fault(amld_arm_fault_t *fault, const char *code, const char *target,
               const char *format, ...)
{
    va_list args;

    fault->code = code;
    fault->target = target;

    va_start(args, format);
    vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);

    return -1;
}


static int
arm_tags(const json_t *tags, amld_arm_fault_t *fault)
{
    json_t *value;
    const char *name;

    if (!json_is_object(tags) || json_object_size(tags) > ARM_TAGS) {
        return amld_arm_fault(fault, "InvalidTags", "tags",
                              "Tags are an object of at most %d members.",
                              ARM_TAGS);
    }

    json_object_foreach((json_t *) tags, name, value)
    {
        if (strlen(name) > ARM_TAG_NAME || !json_is_string(value) ||
            json_string_length(value) > ARM_TAG_VALUE) {
            return amld_arm_fault(
                fault, "InvalidTags", "tags",
                "The value of a tag is a string of at most %d "
                "bytes, its name has at most %d.",
                ARM_TAG_VALUE, ARM_TAG_NAME);
        }
    }

    return 0;
}


static int
arm_requested(amld_arm_put_t *put, const json_t *inner, amld_arm_fault_t *fault)
{
    size_t n;
    json_t *size, *ssh, *access, *subnet, *id;
    const char *text;

    size = json_object_get(inner, "vmSize");
    text = ARM_SIZE_DEFAULT;

    if (size != NULL && !json_is_null(size)) {
        text = json_string_value(size);
        n = text != NULL ? strlen(text) : 0;
        if (n == 0 || n > 64 ||
            strspn(text, "abcdefghijklmnopqrstuvwxyz"
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != n) {
            return amld_arm_fault(
                fault, "UserError", "properties.properties.vmSize",
                "A vmSize is a string of 1 to 64 letters, digits, "
                "'_' and '-'.");
        }
    }

    put->requested = json_pack("{s:s}", "vmSize", text);
    if (put->requested == NULL) {
        return amld_arm_fault(fault, "InternalError", NULL, "no memory");
    }

    ssh = json_object_get(inner, "sshSettings");
    if (ssh != NULL && !json_is_null(ssh)) {
        access = json_object_get(ssh, "sshPublicAccess");
        if (!json_is_object(ssh) ||
            (access != NULL && !json_is_null(access) &&
             (!json_is_string(access) ||
              (strcmp(json_string_value(access), "Enabled") != 0 &&
               strcmp(json_string_value(access), "Disabled") != 0 &&
               strcmp(json_string_value(access), "NotSpecified") != 0)))) {
            return amld_arm_fault(fault, "UserError",
                                  "properties.properties.sshSettings",
                                  "sshPublicAccess is 'Enabled', 'Disabled' or "
                                  "'NotSpecified'.");
        }
        json_object_set(put->requested, "sshSettings", ssh);
    }

    subnet = json_object_get(inner, "subnet");
    if (subnet != NULL && !json_is_null(subnet)) {
        id = json_object_get(subnet, "id");
        if (!json_is_string(id) || json_string_length(id) > 1024) {
            return amld_arm_fault(fault, "UserError",
                                  "properties.properties.subnet",
                                  "A subnet is an object with an 'id'.");
        }
        json_object_set_new(put->requested, "subnet",
                            json_pack("{s:O}", "id", id));
    }

    return 0;
}


/* An instance is its creator's; nobody can have one made for someone else. */
static int
arm_assigned(const json_t *inner, const char *principal,
             amld_arm_fault_t *fault)
{
    const json_t *user, *object;

    user = json_object_get(
        json_object_get(inner, "personalComputeInstanceSettings"),
        "assignedUser");
    object = json_object_get(user, "objectId");

    if (object == NULL || json_is_null(object)) {
        return 0;
    }

    if (!json_is_string(object) ||
        strcasecmp(json_string_value(object), principal) != 0) {
        return amld_arm_fault(
            fault, "UserError",
            "properties.properties."
            "personalComputeInstanceSettings.assignedUser",
            "A compute instance belongs to whoever creates it; "
            "creating it for another user is not supported.");
    }

    return 0;
}


static const char *
arm_ssh(const json_t *requested)
{
    const char *access;

    access = amld_compute_str(json_object_get(requested, "sshSettings"),
                              "sshPublicAccess");

    return strcmp(access, "Enabled") == 0 ? access : "Disabled";
}


static const char *
arm_subnet(const json_t *requested)
{
    return amld_compute_str(json_object_get(requested, "subnet"), "id");
}
