/*
 * What of an instance may change while it is there, by operations of their own:
 * idle time and schedules.
 */

#include <string.h>

#include "computes/api/arm.h"
#include "computes/api/arm_settings.h"

typedef enum {
    CHANGE_IDLE,
    CHANGE_SCHEDULES
} change_t;

static void change(amld_t *d, const amld_request_t *request,
                   amld_response_t *response, change_t what);
static int change_read(const json_t *body, change_t what, json_t **out,
                       amld_arm_fault_t *fault);
static void change_write(amld_arm_t *arm, change_t what, json_t *value);


void
amld_arm_update_idle(amld_t *d, const amld_request_t *request,
                     amld_response_t *response)
{
    change(d, request, response, CHANGE_IDLE);
}


void
amld_arm_update_schedules(amld_t *d, const amld_request_t *request,
                          amld_response_t *response)
{
    change(d, request, response, CHANGE_SCHEDULES);
}


static void
change(amld_t *d, const amld_request_t *request, amld_response_t *response,
       change_t what)
{
    int rc;
    json_t *body, *value;
    amld_arm_t arm;
    amld_arm_fault_t fault;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    value = NULL;
    body = amld_arm_body(request->body, request->body_len, &fault);

    if (body == NULL || change_read(body, what, &value, &fault) != 0) {
        amld_arm_faulty(&arm, &fault);

    } else {
        rc = amld_arm_load(&arm, 1);
        if (rc == 0) {
            amld_arm_not_found(&arm);
        } else if (rc == 1) {
            change_write(&arm, what, value);
        }
    }

    json_decref(value);
    json_decref(body);
    amld_arm_end(&arm);
}


/* *out is null where nothing is to be there any more. */
static int
change_read(const json_t *body, change_t what, json_t **out,
            amld_arm_fault_t *fault)
{
    json_t *value;

    static const char *const names[] = {
        [CHANGE_IDLE] = "idleTimeBeforeShutdown",
        [CHANGE_SCHEDULES] = "computeStartStop",
    };

    value = json_object_get(body, names[what]);
    if (value == NULL) {
        return amld_arm_fault(fault, "InvalidRequestContent", names[what],
                              "The member '%s' is missing; null takes away "
                              "what there is.",
                              names[what]);
    }

    if (json_is_null(value)) {
        *out = json_null();
        return 0;
    }

    return what == CHANGE_IDLE
               ? amld_arm_idle_read(value, names[what], out, fault)
               : amld_arm_schedules_read(body, names[what], out, fault);
}


static void
change_write(amld_arm_t *arm, change_t what, json_t *value)
{
    json_t *requested;
    const char *name;

    if (amld_compute_state(arm->doc) == AMLD_STATE_DELETING) {
        amld_response_error(arm->response, 409, "Conflict", NULL,
                            "The compute instance '%s' is being deleted.",
                            amld_compute_str(arm->doc, "name"));
        return;
    }

    name = what == CHANGE_IDLE ? "idleTimeBeforeShutdown" : "schedules";
    requested = json_object_get(arm->doc, "requested");

    if (json_is_null(value) ||
        (what == CHANGE_SCHEDULES &&
         json_array_size(json_object_get(value, "computeStartStop")) == 0)) {
        (void) json_object_del(requested, name);

    } else if ((what == CHANGE_SCHEDULES &&
                amld_arm_schedules_name(
                    value, json_object_get(requested, name)) != 0) ||
               json_object_set(requested, name, value) != 0) {
        amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
        return;
    }

    if (amld_arm_commit(arm) == 0) {
        amld_response_empty(arm->response, 200);
    }
}
