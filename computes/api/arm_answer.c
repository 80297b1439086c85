/*
 * What is answered of a compute, a workspace, an operation.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/amld.h"
#include "computes/api/arm.h"
#include "computes/services/service.h"
#include "computes/services/service_etag.h"
#include "upstreams/application.h"

static const char *arm_provisioning(const json_t *doc);
static int arm_is_own(const json_t *doc, const char *asker);
static json_t *
arm_errors(const amld_config_t *c, const json_t *doc, const char *asker);
static json_t *arm_error(const char *code, const char *message);
static json_t *arm_applications(const amld_config_t *c, const json_t *doc);
static json_t *arm_schedules(const json_t *requested);
static json_t *arm_ssh(const amld_config_t *c, const json_t *doc);
static json_t *
arm_instance(const amld_config_t *c, const json_t *doc, const char *asker);


json_t *
amld_arm_compute(const amld_config_t *c, const json_t *doc, const char *asker)
{
    char id[1024];
    json_t *body, *tags;
    const json_t *description;

    if (amld_compute_id(doc, id, sizeof(id)) != 0) {
        return NULL;
    }

    tags = json_object_get(doc, "tags");
    description = json_object_get(doc, "description");

    body = json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:{s:s,s:s,s:o,s:s,s:s,s:s,s:o,s:b,s:b,s:o}}",
        "id", id, "name", amld_compute_str(doc, "name"), "type",
        AMLD_ARM_PROVIDER "/workspaces/computes", "location",
        amld_compute_str(doc, "location"), "tags",
        json_is_object(tags) ? json_deep_copy(tags) : json_object(),
        "properties", "computeType", "ComputeInstance", "computeLocation",
        amld_compute_str(doc, "location"), "description",
        json_is_string(description) ? json_copy((json_t *) description)
                                    : json_null(),
        "provisioningState", arm_provisioning(doc), "createdOn",
        amld_compute_str(doc, "createdOn"), "modifiedOn",
        amld_compute_str(doc, "modifiedOn"), "provisioningErrors",
        amld_state_is_not_created(amld_compute_state(doc))
            ? arm_errors(NULL, doc, asker)
            : json_array(),
        "isAttachedCompute", 0, "disableLocalAuth", 1, "properties",
        arm_instance(c, doc, asker));

    return body;
}


json_t *
amld_arm_compute_now(const amld_arm_t *arm)
{
    json_t *body;

    body = amld_arm_compute(arm->d->config, arm->doc, arm->asker);
    amld_arm_compute_works(body, arm->works);

    return body;
}


void
amld_arm_compute_works(json_t *body, int works)
{
    json_t *inner;

    inner = json_object_get(json_object_get(body, "properties"), "properties");

    if (works && strcmp(amld_compute_str(inner, "state"), "Running") == 0) {
        (void) amld_compute_set_str(inner, "state", "JobRunning");
    }
}


json_t *
amld_arm_workspace(const amld_workspace_t *workspace)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:{},s:{s:s,s:s,s:s,s:s}}", "id",
                     workspace->id, "name", workspace->name, "type",
                     AMLD_ARM_PROVIDER "/workspaces", "location",
                     workspace->location, "tags", "properties", "friendlyName",
                     workspace->name, "description", "", "provisioningState",
                     "Succeeded", "publicNetworkAccess", "Enabled");
}


json_t *
amld_arm_operation(const char *id, const json_t *op, const char *asker)
{
    char *message;
    json_t *body, *end, *error;

    body = json_pack("{s:s,s:s,s:s,s:s}", "id", id, "name", id, "status",
                     amld_compute_str(op, "status"), "startTime",
                     amld_compute_str(op, "startTime"));
    if (body == NULL) {
        return NULL;
    }

    end = json_object_get(op, "endTime");
    if (end != NULL) {
        json_object_set(body, "endTime", end);
    }

    error = json_object_get(op, "error");
    if (error != NULL) {
        message = amld_arm_error_message(op, error, asker);
        json_object_set_new(body, "error",
                            json_pack("{s:s,s:s,s:n,s:[],s:[]}", "code",
                                      amld_compute_str(error, "code"),
                                      "message", message != NULL ? message : "",
                                      "target", "details", "additionalInfo"));
        free(message);
    }

    return body;
}


char *
amld_arm_error_message(const json_t *doc, const json_t *error,
                       const char *asker)
{
    char *text;
    size_t n, line;

    text = strdup(amld_compute_str(error, "message"));
    if (text == NULL || arm_is_own(doc, asker)) {
        return text;
    }

    line = strcspn(text, "\n");
    n = line;

    /* "…. The end of its log:" */
    if (text[line] == '\n' && line != 0 && text[line - 1] == ':') {
        while (n != 0 && text[n - 1] != '.') {
            n--;
        }
    }
    text[n != 0 ? n : line] = '\0';

    return text;
}


static int
arm_is_own(const json_t *doc, const char *asker)
{
    return asker[0] != '\0' &&
           strcmp(amld_compute_str(doc, "creator"), asker) == 0;
}


static const char *
arm_provisioning(const json_t *doc)
{
    switch (amld_compute_state(doc)) {

    case AMLD_STATE_CREATING:
        return "Creating";

    case AMLD_STATE_CREATE_FAILED:
    case AMLD_STATE_SETUP_FAILED:
        return "Failed";

    case AMLD_STATE_DELETING:
        return "Deleting";

    case AMLD_STATE_STARTING:
    case AMLD_STATE_RESTARTING:
    case AMLD_STATE_STOPPING:
        return "Updating";

    default:
        return "Succeeded";
    }
}


/* What went wrong, and, with `c`, what is wrong at this moment. */
static json_t *
arm_errors(const amld_config_t *c, const json_t *doc, const char *asker)
{
    char *message;
    size_t i;
    json_t *list, *error;
    const amld_workspace_t *workspace;

    list = json_array();

    json_array_foreach(json_object_get(doc, "errors"), i, error)
    {
        message = amld_arm_error_message(doc, error, asker);
        json_array_append_new(list, arm_error(amld_compute_str(error, "code"),
                                              message != NULL ? message : ""));
        free(message);
    }

    workspace = c != NULL ? amld_compute_workspace(c, doc) : NULL;
    if (workspace != NULL && c->share_full != NULL &&
        c->share_full[workspace - c->workspaces]) {
        json_array_append_new(
            list, arm_error("ShareFull",
                            "The workspace's share is full. Nothing can be "
                            "saved there until somebody deletes files or it "
                            "is made larger; the instance can be used, "
                            "stopped and deleted."));
    }

    return list;
}


static json_t *
arm_error(const char *code, const char *message)
{
    return json_pack("{s:{s:s,s:s,s:n,s:[],s:[]}}", "error", "code", code,
                     "message", message, "target", "details", "additionalInfo");
}


static json_t *
arm_applications(const amld_config_t *c, const json_t *doc)
{
    char url[512];
    size_t i, k, n;
    json_t *list;
    const aml_application_t *a;

    list = json_array();

    for (i = 0; aml_applications[i] != NULL; i++) {
        a = aml_applications[i];

        if (amld_compute_program(c, a) == NULL ||
            amld_compute_origin(c, amld_compute_str(doc, "name"), a->port, url,
                                sizeof(url)) != 0) {
            continue;
        }
        n = strlen(url);

        for (k = 0; k < AML_APPLICATION_LINKS; k++) {
            if (a->links[k].display_name == NULL) {
                break;
            }
            snprintf(url + n, sizeof(url) - n, "%s", a->links[k].path);
            json_array_append_new(list, json_pack("{s:s,s:s}", "displayName",
                                                  a->links[k].display_name,
                                                  "endpointUri", url));
        }
    }

    return list;
}


/* As they are kept, and what ARM's say beside it. */
static json_t *
arm_schedules(const json_t *requested)
{
    size_t i;
    json_t *list, *one, *copy;

    list = json_array();

    json_array_foreach(json_object_get(json_object_get(requested, "schedules"),
                                       "computeStartStop"),
                       i, one)
    {
        copy = json_copy(one);
        json_object_set_new(copy, "provisioningStatus",
                            json_string("Completed"));
        json_object_set_new(
            copy, "schedule",
            json_pack("{s:s,s:s,s:s}", "id", amld_compute_str(one, "id"),
                      "provisioningStatus", "Completed", "status",
                      amld_compute_str(one, "status")));
        json_array_append_new(list, copy);
    }

    return list;
}


/* As it was asked for; and whom to sign in as, which is not known before the
 * first start. */
static json_t *
arm_ssh(const amld_config_t *c, const json_t *doc)
{
    int on;
    const char *account, *key;
    const json_t *ssh;
    const aml_application_t *a;

    ssh = json_object_get(json_object_get(doc, "requested"), "sshSettings");
    account = amld_compute_str(doc, "account");
    key = amld_compute_public_key(doc);
    a = aml_application_by_name(aml_str("ssh"));
    on = a != NULL && key != NULL && amld_compute_has(c, a, key);

    return json_pack("{s:s,s:s?,s:o,s:O?}", "sshPublicAccess",
                     key != NULL ? "Enabled" : "Disabled", "adminUserName",
                     on && account[0] != '\0' ? account : NULL, "sshPort",
                     on ? json_integer(a->port) : json_null(), "adminPublicKey",
                     json_object_get(ssh, "adminPublicKey"));
}


static json_t *
arm_instance(const amld_config_t *c, const json_t *doc, const char *asker)
{
    char etag[AMLD_ETAG_SIZE];
    const json_t *requested, *last, *by;
    const char *creator, *organisation;

    requested = json_object_get(doc, "requested");
    last = json_object_get(doc, "lastOperation");
    by = json_object_get(doc, "createdBy");
    creator = amld_compute_str(doc, "creator");
    organisation = amld_compute_str(doc, "organisation");

    if (!arm_is_own(doc, asker) || amld_services_etag(doc, etag) != 0) {
        etag[0] = '\0';
    }

    /* What holds, not what was asked for: applications are those of one
     * person alone. */
    return json_pack(
        "{s:s,s:O?,s:s,s:s,s:{s:{s:s,s:s}},s:o,s:{s:n,s:n},"
        "s:o,s:{s:s,s:s,s:s},s:o,s:s,s:{s:s,s:s,s:s,s:s},s:{s:o},s:o,"
        "s:s*,s:O?,s:O?,s:{s:s}}",
        "vmSize", amld_compute_str(requested, "vmSize"), "subnet",
        json_object_get(requested, "subnet"), "applicationSharingPolicy",
        "Personal", "computeInstanceAuthorizationType", "personal",
        "personalComputeInstanceSettings", "assignedUser", "objectId", creator,
        "tenantId", organisation, "sshSettings", arm_ssh(c, doc),
        "connectivityEndpoints", "publicIpAddress", "privateIpAddress",
        "applications", arm_applications(c, doc), "createdBy", "userId",
        by != NULL ? amld_compute_str(by, "principal") : creator, "userOrgId",
        organisation, "userName",
        by != NULL ? amld_compute_str(by, "name")
                   : amld_compute_str(doc, "creatorName"),
        "errors", arm_errors(c, doc, asker), "state",
        amld_state_name(amld_compute_state(doc)), "lastOperation",
        "operationName", amld_compute_str(last, "name"), "operationTime",
        amld_compute_str(last, "time"), "operationStatus",
        amld_compute_str(last, "status"), "operationTrigger",
        amld_compute_str(last, "trigger"), "schedules", "computeStartStop",
        arm_schedules(requested), "customServices",
        amld_services_answer(c, doc, arm_is_own(doc, asker)),
        "customServicesEtag", etag[0] != '\0' ? etag : NULL, "setupScripts",
        arm_is_own(doc, asker) ? json_object_get(requested, "setupScripts")
                               : NULL,
        "idleTimeBeforeShutdown",
        json_object_get(requested, "idleTimeBeforeShutdown"), "versions",
        "runtime", AMLD_VERSION);
}
