/*
 * The routes of the control API, and what is read: workspaces, computes and
 * how operations go.
 */

#include "computes/api/arm.h"

#include <stdlib.h>
#include <string.h>

#include "computes/files/reserve.h"
#include "computes/instances/operations.h"

#define ARM_W                                                                  \
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/"          \
    "Microsoft.MachineLearningServices/workspaces/{workspace}"

#define ARM_L                                                                  \
    "/subscriptions/{subscription}/providers/"                                 \
    "Microsoft.MachineLearningServices/locations/{location}"

static void arm_workspace_get(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);
static void
arm_get(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void arm_operation(amld_arm_t *arm, const char *id);
static void arm_result(amld_arm_t *arm, const char *id, const json_t *op);

static void
arm_delete(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
arm_stop(amld_t *d, const amld_request_t *request, amld_response_t *response);

const amld_http_route_t amld_arm_routes[] = {
    {"GET", ARM_W, arm_workspace_get},
    {"GET", ARM_W "/computes", amld_arm_list},
    {"GET", ARM_W "/computes/{compute}", arm_get},
    {"GET", ARM_W "/computes/{compute}/idle", amld_arm_idle},
    {"PUT", ARM_W "/computes/{compute}", amld_arm_put},
    {"DELETE", ARM_W "/computes/{compute}", arm_delete},
    {"POST", ARM_W "/computes/{compute}/start", amld_arm_start},
    {"POST", ARM_W "/computes/{compute}/stop", arm_stop},
    {"POST", ARM_W "/computes/{compute}/restart", amld_arm_restart},
    {"POST", ARM_W "/computes/{compute}/listNodes", amld_arm_list_nodes},
    {"GET", ARM_W "/computes/{compute}/events", amld_arm_events},
    {"GET", ARM_W "/computes/{compute}/logs/{log}", amld_arm_log},
    {"POST", ARM_W "/computes/{compute}/updateIdleShutdownSetting",
     amld_arm_update_idle},
    {"POST", ARM_W "/computes/{compute}/updateSchedules",
     amld_arm_update_schedules},
    {"GET", ARM_W "/computes/{compute}/customServices", amld_arm_services_get},
    {"POST", ARM_W "/computes/{compute}/customServices", amld_arm_services},
    {"POST", ARM_W "/computes/{compute}/customServices/{service}/start",
     amld_arm_service_start},
    {"POST", ARM_W "/computes/{compute}/customServices/{service}/stop",
     amld_arm_service_stop},
    {"POST", ARM_W "/computes/{compute}/customServices/{service}/restart",
     amld_arm_service_restart},
    {"GET", ARM_L "/vmSizes", amld_arm_sizes},
    {"GET", ARM_L "/usages", amld_arm_usages},
    {"GET", ARM_L "/quotas", amld_arm_quotas},
    {"POST", ARM_L "/updateQuotas", amld_arm_update_quotas},
    {NULL, NULL, NULL},
};


/* A registry that is full keeps nobody from stopping and deleting. */
static void
arm_delete(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    amld_arm_delete(d, request, response);

    if (amld_response_status_of(response) == 507 &&
        amld_reserve_spend(d->registry) == 0) {
        amld_arm_delete(d, request, response);
    }
}


static void
arm_stop(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    amld_arm_stop(d, request, response);

    if (amld_response_status_of(response) == 507 &&
        amld_reserve_spend(d->registry) == 0) {
        amld_arm_stop(d, request, response);
    }
}


static void
arm_workspace_get(amld_t *d, const amld_request_t *request,
                  amld_response_t *response)
{
    amld_arm_t arm;

    if (amld_arm_begin(&arm, d, request, response, 0) == 0) {
        amld_response_json(response, 200, amld_arm_workspace(arm.workspace));
    }

    amld_arm_end(&arm);
}


static void
arm_get(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    int rc;
    amld_arm_t arm;
    const char *id;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    rc = amld_arm_load(&arm, 0);
    id = amld_request_query(request, "operation");

    if (rc >= 0 && id != NULL) {
        /* Also of a compute that is gone: it may be its deletion. */
        arm_operation(&arm, id);

    } else if (rc == 0) {
        amld_arm_not_found(&arm);

    } else if (rc == 1) {
        amld_response_json(response, 200, amld_arm_compute_now(&arm));
    }

    amld_arm_end(&arm);
}


static void
arm_operation(amld_arm_t *arm, const char *id)
{
    json_t *op;
    const char *compute, *result;
    aml_registry_rc_t rc;

    rc = amld_operation_load(arm->txn, id, &op);

    /* One that was over when it was asked for names none. */
    compute = amld_compute_str(op, "compute");
    if (rc == AML_REGISTRY_OK &&
        (compute[0] == '\0' ? arm->doc == NULL
                            : strcmp(compute, arm->key.p) != 0)) {
        rc = AML_REGISTRY_NOTFOUND;
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        amld_response_error(arm->response, 404, "OperationNotFound", NULL,
                            "This compute has no operation of that id. "
                            "Operations are kept for a day.");

    } else if (rc != AML_REGISTRY_OK) {
        amld_arm_registry_error(arm, rc);

    } else {
        result = amld_request_query(arm->request, "result");
        if (result != NULL && strcmp(result, "true") == 0) {
            arm_result(arm, id, op);

        } else {
            if (strcmp(amld_compute_str(op, "status"), "InProgress") == 0) {
                amld_response_header(arm->response, "Retry-After", "%d",
                                     AMLD_ARM_RETRY);
            }
            amld_response_json(arm->response, 200,
                               amld_arm_operation(id, op, arm->asker));
        }
    }

    json_decref(op);
}


static void
arm_result(amld_arm_t *arm, const char *id, const json_t *op)
{
    char *message;
    const json_t *error;
    const char *status;

    status = amld_compute_str(op, "status");

    if (strcmp(status, "InProgress") == 0) {
        amld_arm_operation_headers(arm, id, 1);
        amld_response_empty(arm->response, 202);

    } else if (strcmp(status, "Succeeded") == 0) {
        if (arm->doc != NULL &&
            strcmp(amld_compute_str(op, "name"), "Delete") != 0) {
            amld_response_json(arm->response, 200, amld_arm_compute_now(arm));
        } else {
            amld_response_empty(arm->response, 204);
        }

    } else {
        error = json_object_get(op, "error");
        message = amld_arm_error_message(op, error, arm->asker);
        amld_response_error(arm->response, 409, amld_compute_str(error, "code"),
                            NULL, "%s", message != NULL ? message : "");
        free(message);
    }
}
