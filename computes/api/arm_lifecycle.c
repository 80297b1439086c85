/*
 * Start, stop, restart, delete: what is asked of a compute that there is.
 */

#include <stdio.h>
#include <string.h>

#include "computes/api/arm.h"
#include "computes/instances/operations.h"

typedef enum {
    ARM_START,
    ARM_STOP,
    ARM_RESTART
} arm_verb_t;

typedef enum {
    ARM_BEGIN, /* begin an operation */
    ARM_GOES,  /* it is under way already */
    ARM_IS_SO, /* it is so already */
    ARM_CONFLICT
} arm_verdict_t;

static void arm_lifecycle(amld_t *d, const amld_request_t *request,
                          amld_response_t *response, arm_verb_t verb);
static arm_verdict_t arm_verdict(amld_state_t state, arm_verb_t verb);
static void arm_conflict(amld_arm_t *arm, arm_verb_t verb);


int
amld_arm_operation_begin(amld_arm_t *arm, const char *name, amld_state_t state)
{
    aml_registry_rc_t rc;

    rc = amld_operation_begin(arm->txn, &arm->key, arm->doc, name);
    if (rc == AML_REGISTRY_OK &&
        (amld_compute_set_state(arm->doc, state) != 0 ||
         amld_compute_set_error(arm->doc, NULL, NULL) != 0)) {
        rc = AML_REGISTRY_FAILED;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    return amld_arm_commit(arm);
}


void
amld_arm_delete(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    int rc;
    amld_arm_t arm;
    const char *action;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    /* An instance is no attached resource: nothing but files would be left,
     * and those are kept in either case. */
    action = amld_request_query(request, "underlyingResourceAction");
    if (action == NULL ||
        (strcmp(action, "Delete") != 0 && strcmp(action, "Detach") != 0)) {
        amld_response_error(response, 400, "UserError",
                            "underlyingResourceAction",
                            "The parameter 'underlyingResourceAction' must be "
                            "'Delete' or 'Detach'.");
        amld_arm_end(&arm);
        return;
    }

    rc = amld_arm_load(&arm, 1);

    if (rc == 0) {
        amld_response_empty(response, 204);

    } else if (rc == 1) {
        if (amld_compute_state(arm.doc) == AMLD_STATE_DELETING ||
            amld_arm_operation_begin(&arm, "Delete", AMLD_STATE_DELETING) ==
                0) {
            amld_arm_operation_headers(
                &arm, amld_compute_str(arm.doc, "operation"), 1);
            amld_response_empty(response, 202);
            amld_log(AMLD_LOG_INFO, "%s: deletion asked for by %s",
                     amld_compute_str(arm.doc, "name"), request->name);
        }
    }

    amld_arm_end(&arm);
}


void
amld_arm_start(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    arm_lifecycle(d, request, response, ARM_START);
}


void
amld_arm_stop(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    arm_lifecycle(d, request, response, ARM_STOP);
}


void
amld_arm_restart(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    arm_lifecycle(d, request, response, ARM_RESTART);
}


static void
arm_lifecycle(amld_t *d, const amld_request_t *request,
              amld_response_t *response, arm_verb_t verb)
{
    int rc;
    char id[AMLD_OPERATION_ID + 1];
    amld_arm_t arm;
    const char *name;
    amld_state_t state, next;
    arm_verdict_t verdict;

    static const struct {
        const char *name;
        amld_state_t state;
    } verbs[] = {
        [ARM_START] = {"Start", AMLD_STATE_STARTING},
        [ARM_STOP] = {"Stop", AMLD_STATE_STOPPING},
        [ARM_RESTART] = {"Restart", AMLD_STATE_RESTARTING},
    };

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    rc = amld_arm_load(&arm, 1);
    if (rc != 1) {
        if (rc == 0) {
            amld_arm_not_found(&arm);
        }
        amld_arm_end(&arm);
        return;
    }

    id[0] = '\0';
    name = verbs[verb].name;
    next = verbs[verb].state;
    state = amld_compute_state(arm.doc);
    verdict = arm_verdict(state, verb);

    /* What was never created is, with its creation script. */
    if (verb == ARM_RESTART && amld_state_is_not_created(state)) {
        name = "Create";
        next = AMLD_STATE_CREATING;
    }

    switch (verdict) {

    case ARM_CONFLICT:
        arm_conflict(&arm, verb);
        amld_arm_end(&arm);
        return;

    case ARM_GOES:
        snprintf(id, sizeof(id), "%s", amld_compute_str(arm.doc, "operation"));
        break;

    case ARM_BEGIN:
        if (amld_arm_operation_begin(&arm, name, next) != 0) {
            amld_arm_end(&arm);
            return;
        }
        snprintf(id, sizeof(id), "%s", amld_compute_str(arm.doc, "operation"));
        amld_log(AMLD_LOG_INFO, "%s: %s asked for by %s",
                 amld_compute_str(arm.doc, "name"), verbs[verb].name,
                 request->name);
        break;

    default:
        break;
    }

    /* Asked for what is so already, or for what goes on by itself since a
     * restart: done, so that a client may ask twice. */
    if (id[0] == '\0') {
        amld_operation_done(verbs[verb].name, id);
    }

    /* The first version, whose clients take nothing but 200. */
    amld_arm_operation_headers(&arm, id, 1);
    amld_response_empty(response,
                        amld_arm_since(&arm, "2021-07-01") ? 202 : 200);
    amld_arm_end(&arm);
}


static arm_verdict_t
arm_verdict(amld_state_t state, arm_verb_t verb)
{
    switch (verb) {

    case ARM_START:
        return state == AMLD_STATE_STOPPED    ? ARM_BEGIN
               : state == AMLD_STATE_STARTING ? ARM_GOES
                                              : ARM_CONFLICT;

    case ARM_STOP:
        return state == AMLD_STATE_STOPPED    ? ARM_IS_SO
               : state == AMLD_STATE_STOPPING ? ARM_GOES
               : state == AMLD_STATE_DELETING ? ARM_CONFLICT
                                              : ARM_BEGIN;

    default:
        return state == AMLD_STATE_RESTARTING ? ARM_GOES
               : state == AMLD_STATE_CREATING || state == AMLD_STATE_STARTING ||
                       state == AMLD_STATE_STOPPING ||
                       state == AMLD_STATE_DELETING
                   ? ARM_CONFLICT
                   : ARM_BEGIN;
    }
}


static void
arm_conflict(amld_arm_t *arm, arm_verb_t verb)
{
    const char *name, *state;

    name = amld_compute_str(arm->doc, "name");
    state = amld_state_name(amld_compute_state(arm->doc));

    if (verb == ARM_START) {
        amld_response_error(arm->response, 409,
                            "StartComputeInstanceOnlyAllowedInStoppedState",
                            NULL,
                            "The compute instance '%s' is in the state '%s'; "
                            "it can be started in the state 'Stopped' only.",
                            name, state);
    } else {
        amld_response_error(arm->response, 409, "Conflict", NULL,
                            "The compute instance '%s' is in the state '%s'; "
                            "it cannot be %s now.",
                            name, state,
                            verb == ARM_STOP ? "stopped" : "restarted");
    }
}


void
amld_arm_list_nodes(amld_t *d, const amld_request_t *request,
                    amld_response_t *response)
{
    amld_arm_t arm;

    if (amld_arm_begin(&arm, d, request, response, 1) == 0 &&
        amld_arm_found(&arm)) {
        amld_response_error(response, 400, "UserError", NULL,
                            "ComputeListNodes with computeType "
                            "ComputeInstance is not supported.");
    }

    amld_arm_end(&arm);
}
