#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/action.h"
#include "auth/audit.h"
#include "computes/api/arm.h"
#include "computes/files/reserve.h"
#include "computes/instances/operations.h"
#include "computes/jobs/job.h"
#include "upstreams/host.h"

static int arm_allowed(amld_arm_t *arm);
static int arm_version(const char *version);


int
amld_arm_enter(amld_arm_t *arm, amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    memset(arm, 0, sizeof(*arm));
    arm->d = d;
    arm->request = request;
    arm->response = response;
    aml_uuid_format(&request->principal, arm->asker);

    if (!request->identified) {
        amld_response_error(response, 401, "AuthenticationFailed", NULL,
                            "Authentication failed: the request names no "
                            "principal.");
        return -1;
    }

    if (!arm_allowed(arm)) {
        amld_response_error(response, 403, "AuthorizationFailed", NULL,
                            "The gateway has not allowed this action.");
        return -1;
    }

    arm->version = amld_request_query(request, "api-version");
    if (arm->version == NULL || arm->version[0] == '\0') {
        amld_response_error(response, 400, "MissingApiVersionParameter", NULL,
                            "The api-version query parameter (?api-version=) "
                            "is required for all requests.");
        return -1;
    }

    if (!arm_version(arm->version)) {
        amld_response_error(response, 400, "InvalidApiVersionParameter", NULL,
                            "The api-version '%.40s' is invalid. It has the "
                            "form YYYY-MM-DD or YYYY-MM-DD-preview.",
                            arm->version);
        return -1;
    }

    return 0;
}


int
amld_arm_begin(amld_arm_t *arm, amld_t *d, const amld_request_t *request,
               amld_response_t *response, int compute)
{
    const char *subscription, *group, *workspace;

    if (amld_arm_enter(arm, d, request, response) != 0) {
        return -1;
    }

    subscription = amld_request_param(request, "subscription");
    group = amld_request_param(request, "group");
    workspace = amld_request_param(request, "workspace");

    arm->workspace =
        amld_workspace_find(d->config, subscription, group, workspace);
    if (arm->workspace == NULL) {
        amld_response_error(response, 404, "ResourceNotFound", NULL,
                            "The Resource '" AMLD_ARM_PROVIDER
                            "/workspaces/%.100s' under resource group "
                            "'%.100s' was not found.",
                            workspace, group);
        return -1;
    }

    if (!compute) {
        return 0;
    }

    arm->name = amld_request_param(request, "compute");

    if (amld_compute_key(&arm->key, arm->workspace, arm->name) != 0) {
        /* Longer than any name is; PUT says so with the rule. */
        if (strcmp(request->method, "PUT") == 0) {
            return 0;
        }
        amld_arm_not_found(arm);
        return -1;
    }

    return 0;
}


void
amld_arm_end(amld_arm_t *arm)
{
    json_decref(arm->doc);
    aml_registry_end(arm->txn);
    arm->doc = NULL;
    arm->txn = NULL;
}


int
amld_arm_load(amld_arm_t *arm, int write)
{
    aml_registry_rc_t rc;

    rc = write ? aml_registry_write(arm->d->registry, &arm->txn)
               : aml_registry_read(arm->d->registry, &arm->txn);
    if (rc != AML_REGISTRY_OK) {
        arm->txn = NULL;
        return amld_arm_registry_error(arm, rc);
    }

    rc = amld_compute_load(arm->txn, &arm->key, &arm->doc);
    if (rc == AML_REGISTRY_NOTFOUND) {
        return 0;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }
    arm->works = amld_job_any_runs(arm->txn, &arm->key);

    return 1;
}


static void
arm_audit(const amld_arm_t *arm)
{
    char scope[AMLD_PATH_MAX];

    (void) snprintf(scope, sizeof(scope), "%.*s", (int) arm->scope.n,
                    arm->scope.p);
    amld_audit_request(arm->d, arm->request,
                       &(amld_audit_event_t){.event = "compute",
                                             .target = arm->name,
                                             .of = arm->of,
                                             .action = arm->request->action,
                                             .scope = scope});
}


int
amld_arm_commit(amld_arm_t *arm)
{
    amld_state_t state;

    state = amld_compute_state(arm->doc);
    if (state != AMLD_STATE_STOPPING && state != AMLD_STATE_DELETING &&
        amld_reserve_is_spent(arm->txn)) {
        return amld_arm_registry_error(arm, AML_REGISTRY_LIMIT);
    }

    return amld_arm_commit_end(arm);
}


int
amld_arm_commit_end(amld_arm_t *arm)
{
    aml_registry_rc_t rc;

    rc = amld_compute_modified(arm->doc) == 0
             ? amld_compute_store(arm->txn, arm->d->config, &arm->key, arm->doc)
             : AML_REGISTRY_FAILED;

    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_notify(arm->txn, &arm->key);
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    rc = aml_registry_commit(arm->txn);
    arm->txn = NULL;
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    amld_wake(arm->d);
    arm_audit(arm);

    return 0;
}


int
amld_arm_registry_error(amld_arm_t *arm, aml_registry_rc_t rc)
{
    amld_log(AMLD_LOG_ERROR, "arm: %s %s: registry: %s", arm->request->method,
             arm->request->path, aml_registry_strerror(rc));

    if (amld_reserve_is_full(rc)) {
        amld_response_error(arm->response, 507, "InsufficientStorage", NULL,
                            "The registry is full: %s.",
                            aml_registry_strerror(rc));
    } else {
        amld_response_error(arm->response, 503, "ServiceUnavailable", NULL,
                            "The registry does not answer: %s.",
                            aml_registry_strerror(rc));
    }

    return -1;
}


void
amld_arm_faulty(amld_arm_t *arm, const amld_arm_fault_t *fault)
{
    if (strcmp(fault->code, "InternalServerError") == 0) {
        amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
        return;
    }

    amld_response_error(arm->response, 400, fault->code, fault->target, "%s",
                        fault->message);
}


int
amld_arm_found(amld_arm_t *arm)
{
    int rc;

    rc = amld_arm_load(arm, 0);
    if (rc == 0) {
        amld_arm_not_found(arm);
    }

    return rc == 1;
}


void
amld_arm_not_found(amld_arm_t *arm)
{
    amld_response_error(arm->response, 404, "ResourceNotFound", NULL,
                        "The Resource '" AMLD_ARM_PROVIDER
                        "/workspaces/%s/computes/%.100s' was not found.",
                        arm->workspace->name, arm->name);
}


void
amld_arm_operation_headers(amld_arm_t *arm, const char *id, int location)
{
    char url[2048], base[300];
    const char *name;

    amld_arm_base(arm, base, sizeof(base));
    name = arm->doc != NULL ? amld_compute_str(arm->doc, "name") : arm->name;

    snprintf(url, sizeof(url), "%s%s/computes/%s?api-version=%s&operation=%s",
             base, arm->workspace->id, name, arm->version, id);

    amld_response_header(arm->response, "Azure-AsyncOperation", "%s", url);
    if (location) {
        amld_response_header(arm->response, "Location", "%s&result=true", url);
    }
    amld_response_header(arm->response, "Retry-After", "%d", AMLD_ARM_RETRY);
}


void
amld_arm_base(const amld_arm_t *arm, char *base, size_t size)
{
    size_t i;
    const char *host;

    host = arm->request->host;

    for (i = 0; host[i] != '\0'; i++) {
        if (!isalnum((unsigned char) host[i]) &&
            strchr(".-:[]", host[i]) == NULL) {
            break;
        }
    }

    if (i == 0 || i > 255 || host[i] != '\0') {
        snprintf(base, size, "%s", arm->d->config->studio);
        return;
    }

    snprintf(base, size, "https://%s", host);
}


int
amld_arm_since(const amld_arm_t *arm, const char *date)
{
    return strncmp(arm->version, date, 10) >= 0;
}


/* The gateway decided on method and path; what it allowed must be what is
 * asked here. */
static int
arm_allowed(amld_arm_t *arm)
{
    aml_action_t action;

    if (aml_action_of(aml_str_of(arm->request->method),
                      aml_str_of(arm->request->path), &action) != 0) {
        return 0;
    }
    arm->scope = action.scope;

    return aml_str_caseeq(aml_str_of(arm->request->action),
                          (aml_str_t){action.action, action.action_len});
}


static int
arm_version(const char *version)
{
    size_t i;

    static const char form[] = "0000-00-00";

    for (i = 0; i < sizeof(form) - 1; i++) {
        if (form[i] == '0' ? !isdigit((unsigned char) version[i])
                           : version[i] != form[i]) {
            return 0;
        }
    }

    return version[i] == '\0' || strcasecmp(version + i, "-preview") == 0;
}
