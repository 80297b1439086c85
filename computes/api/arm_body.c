/*
 * The body of a PUT.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/json.h"
#include "computes/api/arm.h"
#include "computes/api/arm_settings.h"
#include "computes/services/service_read.h"

#define ARM_TAGS 50
#define ARM_TAG_NAME 512
#define ARM_TAG_VALUE 256
#define ARM_DESCRIPTION 4096
#define ARM_SUBNET 1024
#define ARM_OBJECT_ID 256
#define ARM_SIZE_MAX 64
#define ARM_INNER "properties.properties."
#define ARM_ASSIGNED ARM_INNER "personalComputeInstanceSettings.assignedUser"

static json_t *arm_member(const json_t *object, const char *name);
static int
arm_location(const json_t *value, const char *target,
             const amld_workspace_t *workspace, amld_arm_fault_t *fault);
static int
arm_properties(amld_arm_put_t *put, const json_t *properties,
               const amld_workspace_t *workspace, amld_arm_fault_t *fault);
static int
arm_inner(amld_arm_put_t *put, const json_t *inner, amld_arm_fault_t *fault);
static int
arm_size(amld_arm_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int
arm_subnet(amld_arm_put_t *put, const json_t *value, amld_arm_fault_t *fault);
static int arm_policies(const json_t *inner, amld_arm_fault_t *fault);
static int arm_assigned(amld_arm_put_t *put, const json_t *settings,
                        amld_arm_fault_t *fault);
static int arm_is_text(const json_t *value, size_t least, size_t most);
static int arm_set(json_t *object, const char *name, json_t *value);


json_t *
amld_arm_body(const char *text, size_t n, amld_arm_fault_t *fault)
{
    json_t *body;
    json_error_t error;

    static const char code[] = "InvalidRequestContent";

    if (!aml_json_shallow((aml_str_t){text, n})) {
        (void) amld_arm_fault(fault, code, NULL,
                              "The request content is nested deeper than %d.",
                              AML_JSON_DEPTH_MAX);
        return NULL;
    }

    body = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (body == NULL && json_error_code(&error) == json_error_null_character) {
        (void) amld_arm_fault(fault, code, NULL,
                              "The request content has a string with a NUL "
                              "character (\\u0000) in line %d, column %d. "
                              "Nothing here can have one: neither commands "
                              "nor variables nor names.",
                              error.line, error.column);
        return NULL;
    }
    if (body == NULL) {
        (void) amld_arm_fault(fault, code, NULL,
                              "The request content is not valid JSON: line %d, "
                              "column %d: %s.",
                              error.line, error.column, error.text);
        return NULL;
    }

    if (!json_is_object(body)) {
        json_decref(body);
        (void) amld_arm_fault(fault, code, NULL,
                              "The request content must be a JSON object.");
        return NULL;
    }

    return body;
}


int
amld_arm_put_read(amld_arm_put_t *put, const char *text, size_t n,
                  const amld_workspace_t *workspace, amld_arm_fault_t *fault)
{
    json_t *properties;

    memset(put, 0, sizeof(*put));

    put->body = amld_arm_body(text, n, fault);
    if (put->body == NULL || arm_location(arm_member(put->body, "location"),
                                          "location", workspace, fault) != 0) {
        return -1;
    }

    put->tags = arm_member(put->body, "tags");
    if (put->tags != NULL && amld_arm_tags_check(put->tags, fault) != 0) {
        return -1;
    }

    properties = json_object_get(put->body, "properties");
    if (!json_is_object(properties)) {
        return amld_arm_fault(fault, "InvalidRequestContent", "properties",
                              "The member 'properties' must be an object.");
    }

    return arm_properties(put, properties, workspace, fault);
}


void
amld_arm_put_free(amld_arm_put_t *put)
{
    json_decref(put->body);
    json_decref(put->subnet);
    json_decref(put->ssh);
    json_decref(put->scripts);
    json_decref(put->idle);
    json_decref(put->schedules);
    json_decref(put->services);
}


json_t *
amld_arm_put_requested(const amld_arm_put_t *put, const char *vm_size,
                       amld_arm_fault_t *fault)
{
    int failed, on;
    json_t *requested, *ssh;
    const char *key;

    requested = json_pack("{s:s}", "vmSize", vm_size);
    failed = requested == NULL;

    if (put->subnet != NULL) {
        failed |= json_object_set(requested, "subnet", put->subnet);
    }

    if (put->ssh != NULL) {
        on = strcmp(amld_compute_str(put->ssh, "sshPublicAccess"), "Enabled") ==
             0;
        key = amld_compute_str(put->ssh, "adminPublicKey");

        if (on && key[0] == '\0') {
            json_decref(requested);
            (void) amld_arm_fault(fault, "UserError", ARM_INNER "sshSettings",
                                  "sshPublicAccess is 'Enabled', but there is "
                                  "no adminPublicKey: SSH is by key only.");
            return NULL;
        }

        /* a key for what is off is of no use */
        ssh = json_pack("{s:s,s:s*}", "sshPublicAccess",
                        on ? "Enabled" : "Disabled", "adminPublicKey",
                        on ? key : NULL);
        failed |= json_object_set_new(requested, "sshSettings", ssh);
    }

    if (put->scripts != NULL) {
        failed |= json_object_set(requested, "setupScripts", put->scripts);
    }

    if (json_is_object(put->schedules)) {
        failed |= amld_arm_schedules_name(put->schedules, NULL);
    }
    failed |= arm_set(requested, "idleTimeBeforeShutdown", put->idle);
    failed |= arm_set(requested, "schedules", put->schedules);
    failed |= arm_set(requested, "customServices", put->services);

    if (failed) {
        json_decref(requested);
        (void) amld_arm_fault(fault, "InternalServerError", NULL, "no memory");
        return NULL;
    }

    return requested;
}


const char *
amld_arm_put_differs(const amld_arm_put_t *put, const json_t *doc)
{
    const json_t *have, *ssh;
    const char *access, *key;

    have = json_object_get(doc, "requested");

    if (put->vm_size != NULL &&
        strcasecmp(put->vm_size, amld_compute_str(have, "vmSize")) != 0) {
        return "vmSize";
    }

    ssh = json_object_get(have, "sshSettings");
    access = amld_compute_str(ssh, "sshPublicAccess");
    access = access[0] != '\0' ? access : "Disabled";
    key = amld_compute_str(put->ssh, "sshPublicAccess");
    if (key[0] != '\0' && strcmp(key, access) != 0) {
        return "sshSettings";
    }

    /* what is off has no key to be changed */
    key = amld_compute_str(put->ssh, "adminPublicKey");
    if (key[0] != '\0' && strcmp(access, "Enabled") == 0 &&
        strcmp(key, amld_compute_str(ssh, "adminPublicKey")) != 0) {
        return "sshSettings.adminPublicKey";
    }

    if (put->subnet != NULL &&
        strcasecmp(amld_compute_str(put->subnet, "id"),
                   amld_compute_str(json_object_get(have, "subnet"), "id")) !=
            0) {
        return "subnet";
    }

    /* one that could not be created may be tried with others */
    if (put->scripts != NULL &&
        !amld_state_is_not_created(amld_compute_state(doc)) &&
        !json_equal(put->scripts, json_object_get(have, "setupScripts"))) {
        return "setupScripts";
    }

    return NULL;
}


int
amld_arm_put_apply(const amld_arm_put_t *put, json_t *doc)
{
    int failed;
    json_t *requested;

    requested = json_object_get(doc, "requested");
    failed = 0;

    if (put->tags != NULL) {
        failed |= json_object_set(doc, "tags", put->tags);
    }
    if (put->description != NULL) {
        failed |= amld_compute_set_str(doc, "description", put->description);
    }
    if (put->scripts != NULL) {
        failed |= json_object_set(requested, "setupScripts", put->scripts);
    }

    failed |= arm_set(requested, "idleTimeBeforeShutdown", put->idle);
    if (json_is_object(put->schedules)) {
        failed |= amld_arm_schedules_name(
            put->schedules, json_object_get(requested, "schedules"));
    }
    failed |= arm_set(requested, "schedules", put->schedules);
    failed |= arm_set(requested, "customServices", put->services);

    return failed ? -1 : 0;
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


/* NULL also where it is null. */
static json_t *
arm_member(const json_t *object, const char *name)
{
    json_t *value;

    value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}


int
amld_arm_tags_check(const json_t *tags, amld_arm_fault_t *fault)
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
            return amld_arm_fault(fault, "InvalidTags", "tags",
                                  "The value of a tag is a string of at most "
                                  "%d bytes, its name has at most %d.",
                                  ARM_TAG_VALUE, ARM_TAG_NAME);
        }
    }

    return 0;
}


static int
arm_location(const json_t *value, const char *target,
             const amld_workspace_t *workspace, amld_arm_fault_t *fault)
{
    if (value != NULL &&
        (!json_is_string(value) ||
         strcasecmp(json_string_value(value), workspace->location) != 0)) {
        return amld_arm_fault(fault, "UserError", target,
                              "Compute instances of this workspace are in "
                              "'%s'; no other location can be asked for.",
                              workspace->location);
    }

    return 0;
}


static int
arm_properties(amld_arm_put_t *put, const json_t *properties,
               const amld_workspace_t *workspace, amld_arm_fault_t *fault)
{
    json_t *type, *description, *local, *inner;

    type = json_object_get(properties, "computeType");
    if (!json_is_string(type) ||
        strcmp(json_string_value(type), "ComputeInstance") != 0) {
        return amld_arm_fault(fault, "UserError", "properties.computeType",
                              "Only the computeType 'ComputeInstance' is "
                              "supported here.");
    }

    if (arm_location(arm_member(properties, "computeLocation"),
                     "properties.computeLocation", workspace, fault) != 0) {
        return -1;
    }

    description = arm_member(properties, "description");
    if (description != NULL) {
        if (!arm_is_text(description, 0, ARM_DESCRIPTION)) {
            return amld_arm_fault(fault, "UserError", "properties.description",
                                  "A description is a string of at most %d "
                                  "bytes.",
                                  ARM_DESCRIPTION);
        }
        put->description = json_string_value(description);
    }

    local = arm_member(properties, "disableLocalAuth");
    if (local != NULL && !json_is_boolean(local)) {
        return amld_arm_fault(fault, "UserError", "properties.disableLocalAuth",
                              "disableLocalAuth is true or false.");
    }

    inner = arm_member(properties, "properties");
    if (inner != NULL && !json_is_object(inner)) {
        return amld_arm_fault(fault, "InvalidRequestContent",
                              "properties.properties",
                              "The member 'properties.properties' must be an "
                              "object.");
    }

    return arm_inner(put, inner, fault);
}


static int
arm_inner(amld_arm_put_t *put, const json_t *inner, amld_arm_fault_t *fault)
{
    size_t i;
    json_t *value;

    const struct {
        const char *name, *target;
        int (*read)(const json_t *value, const char *target, json_t **out,
                    amld_arm_fault_t *fault);
        json_t **out;
        int clears; /* null is an answer, too */
    } settings[] = {
        {"sshSettings", ARM_INNER "sshSettings", amld_arm_ssh_read, &put->ssh,
         0},
        {"setupScripts", ARM_INNER "setupScripts", amld_arm_scripts_read,
         &put->scripts, 0},
        {"idleTimeBeforeShutdown", ARM_INNER "idleTimeBeforeShutdown",
         amld_arm_idle_read, &put->idle, 1},
        {"schedules", ARM_INNER "schedules", amld_arm_schedules_read,
         &put->schedules, 1},
        {"customServices", AMLD_SERVICES_TARGET, amld_services_read,
         &put->services, 1},
    };

    if (arm_size(put, arm_member(inner, "vmSize"), fault) != 0 ||
        arm_subnet(put, arm_member(inner, "subnet"), fault) != 0 ||
        arm_policies(inner, fault) != 0 ||
        arm_assigned(put, arm_member(inner, "personalComputeInstanceSettings"),
                     fault) != 0) {
        return -1;
    }

    for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        value = json_object_get(inner, settings[i].name);

        if (json_is_null(value)) {
            *settings[i].out = settings[i].clears ? json_null() : NULL;
        } else if (value != NULL &&
                   settings[i].read(value, settings[i].target, settings[i].out,
                                    fault) != 0) {
            return -1;
        }
    }

    /* empty ones are none */
    if (json_is_object(put->scripts) &&
        json_object_size(json_object_get(put->scripts, "scripts")) == 0) {
        json_decref(put->scripts);
        put->scripts = NULL;
    }
    if (json_is_object(put->schedules) &&
        json_array_size(json_object_get(put->schedules, "computeStartStop")) ==
            0) {
        json_decref(put->schedules);
        put->schedules = json_null();
    }
    if (json_is_array(put->services) && json_array_size(put->services) == 0) {
        json_decref(put->services);
        put->services = json_null();
    }

    return 0;
}


/* Whether there is such a size is known where the catalogue is. */
static int
arm_size(amld_arm_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    const char *text;

    if (value == NULL) {
        return 0;
    }

    text = json_string_value(value);
    if (!arm_is_text(value, 1, ARM_SIZE_MAX) ||
        strspn(text,
               "abcdefghijklmnopqrstuvwxyz"
               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(text)) {
        return amld_arm_fault(fault, "UserError", ARM_INNER "vmSize",
                              "A vmSize is a string of 1 to %d letters, "
                              "digits, '_' and '-'.",
                              ARM_SIZE_MAX);
    }

    put->vm_size = text;

    return 0;
}


static int
arm_subnet(amld_arm_put_t *put, const json_t *value, amld_arm_fault_t *fault)
{
    size_t i;
    json_t *id;
    const char *text;

    if (value == NULL) {
        return 0;
    }

    id = arm_member(value, "id");
    text = json_string_value(id);

    for (i = 0; text != NULL && (unsigned char) text[i] > ' ' &&
                (unsigned char) text[i] < 127;
         i++) {
        /* void */
    }

    if (!json_is_object(value) || !arm_is_text(id, 1, ARM_SUBNET) ||
        text == NULL || text[i] != '\0') {
        return amld_arm_fault(fault, "UserError", ARM_INNER "subnet",
                              "A subnet is an object with an 'id' of at most "
                              "%d characters, without blanks.",
                              ARM_SUBNET);
    }

    put->subnet = json_pack("{s:O}", "id", id);

    return put->subnet != NULL ? 0
                               : amld_arm_fault(fault, "InternalServerError",
                                                NULL, "no memory");
}


/* What can be said in one way only, and what there is not. */
static int
arm_policies(const json_t *inner, amld_arm_fault_t *fault)
{
    json_t *value;
    const char *text;

    value = arm_member(inner, "applicationSharingPolicy");
    text = json_string_value(value);
    if (value != NULL && (text == NULL || (strcmp(text, "Personal") != 0 &&
                                           strcmp(text, "Shared") != 0))) {
        return amld_arm_fault(
            fault, "UserError", ARM_INNER "applicationSharingPolicy",
            "applicationSharingPolicy is 'Personal'; 'Shared' "
            "is taken for it, as clients send it unasked.");
    }

    value = arm_member(inner, "computeInstanceAuthorizationType");
    text = json_string_value(value);
    if (value != NULL && (text == NULL || strcasecmp(text, "personal") != 0)) {
        return amld_arm_fault(fault, "UserError",
                              ARM_INNER "computeInstanceAuthorizationType",
                              "computeInstanceAuthorizationType is "
                              "'personal'.");
    }

    return 0;
}


static int
arm_assigned(amld_arm_put_t *put, const json_t *settings,
             amld_arm_fault_t *fault)
{
    json_t *user, *object, *tenant;

    if (settings == NULL) {
        return 0;
    }

    user = arm_member(settings, "assignedUser");
    if (json_is_object(settings) && user == NULL) {
        return 0;
    }

    object = arm_member(user, "objectId");
    tenant = arm_member(user, "tenantId");

    if (!json_is_object(user) || !arm_is_text(object, 1, ARM_OBJECT_ID) ||
        (tenant != NULL && !arm_is_text(tenant, 0, ARM_OBJECT_ID))) {
        return amld_arm_fault(fault, "UserError", ARM_ASSIGNED,
                              "personalComputeInstanceSettings is an object "
                              "with an object 'assignedUser', which has an "
                              "'objectId' and may have a 'tenantId'.");
    }

    put->user = json_string_value(object);
    put->tenant = json_string_value(tenant);

    return 0;
}


static int
arm_is_text(const json_t *value, size_t least, size_t most)
{
    return json_is_string(value) && json_string_length(value) >= least &&
           json_string_length(value) <= most;
}


/* NULL leaves it as it is, null takes it away. */
static int
arm_set(json_t *object, const char *name, json_t *value)
{
    if (value == NULL) {
        return 0;
    }

    if (json_is_null(value)) {
        (void) json_object_del(object, name);
        return 0;
    }

    return json_object_set(object, name, value);
}
