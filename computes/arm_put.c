/*
 * PUT of a compute: a new one, or changes to one that there is.
 */

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "computes/arm.h"
#include "computes/operations.h"
#include "upstreams/host.h"

static void
arm_create(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal);
static void
arm_update(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal);
static int
arm_document(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal);


void
amld_arm_put(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    int rc;
    char principal[AML_UUID_TEXT + 1];
    amld_arm_t arm;
    amld_arm_put_t put;
    aml_name_rc_t wrong;
    amld_arm_fault_t fault;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    wrong = aml_instance_name_check(aml_str_of(arm.name));
    if (wrong != AML_NAME_OK) {
        amld_response_error(response, 400, "InvalidResourceName", "name", "%s",
                            aml_instance_name_rule(wrong));
        amld_arm_end(&arm);
        return;
    }

    aml_uuid_format(&request->principal, principal);

    if (amld_arm_put_read(&put, request->body, request->body_len, arm.workspace,
                          principal, &fault) != 0) {
        amld_response_error(response, 400, fault.code, fault.target, "%s",
                            fault.message);
        amld_arm_put_free(&put);
        amld_arm_end(&arm);
        return;
    }

    rc = amld_arm_load(&arm, 1);
    if (rc == 0) {
        arm_create(&arm, &put, principal);
    } else if (rc == 1) {
        arm_update(&arm, &put, principal);
    }

    amld_arm_put_free(&put);
    amld_arm_end(&arm);
}


static void
arm_create(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal)
{
    aml_registry_rc_t rc;

    rc = amld_compute_claim(arm->txn, arm->workspace->location, arm->name,
                            &arm->key);
    if (rc == AML_REGISTRY_NOTFOUND) {
        amld_response_error(arm->response, 409, "NameNotAvailable", "name",
                            "The name '%s' is in use in '%s'. Names of compute "
                            "instances are unique in a region, without regard "
                            "to case.",
                            arm->name, arm->workspace->location);
        return;
    }
    if (rc != AML_REGISTRY_OK) {
        amld_arm_registry_error(arm, rc);
        return;
    }

    if (arm_document(arm, put, principal) != 0) {
        return;
    }

    if (amld_arm_operation_begin(arm, "Create", AMLD_STATE_CREATING) != 0) {
        return;
    }

    amld_log(AMLD_LOG_INFO, "%s: created by %s (%s)", arm->name, principal,
             arm->request->name);

    amld_arm_operation_headers(arm, amld_compute_str(arm->doc, "operation"), 0);
    amld_response_json(arm->response, 201,
                       amld_arm_compute(arm->d->config, arm->doc));
}


static void
arm_update(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal)
{
    int failed;
    char id[AMLD_OPERATION_ID + 1];
    const char *differs, *operation;
    amld_state_t state;
    aml_registry_rc_t rc;

    state = amld_compute_state(arm->doc);

    if (state == AMLD_STATE_DELETING) {
        amld_response_error(arm->response, 409, "Conflict", NULL,
                            "The compute instance '%s' is being deleted.",
                            amld_compute_str(arm->doc, "name"));
        return;
    }

    differs = strcmp(principal, amld_compute_str(arm->doc, "creator")) != 0
                  ? "createdBy"
                  : amld_arm_put_differs(put, arm->doc);
    if (differs != NULL) {
        amld_response_error(arm->response, 409, "PropertyChangeNotAllowed",
                            differs,
                            "A compute instance of the name '%s' exists. Its "
                            "'%s' was set when it was created and cannot be "
                            "changed.",
                            amld_compute_str(arm->doc, "name"), differs);
        return;
    }

    failed = 0;
    if (put->tags != NULL) {
        failed |= json_object_set(arm->doc, "tags", put->tags);
    }
    if (put->description != NULL) {
        failed |=
            amld_compute_set_str(arm->doc, "description", put->description);
    }
    if (failed) {
        amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
        return;
    }

    if (state == AMLD_STATE_CREATE_FAILED) {
        if (amld_arm_operation_begin(arm, "Create", AMLD_STATE_CREATING) != 0) {
            return;
        }
        operation = amld_compute_str(arm->doc, "operation");

    } else {
        operation = state == AMLD_STATE_CREATING
                        ? amld_compute_str(arm->doc, "operation")
                        : "";

        /* One that is over already: a client whose PUT has no operation reads
         * the answer twice, and msrest's models don't survive that. */
        if (operation[0] == '\0') {
            rc = amld_operation_done(arm->txn, &arm->key, "Update", id);
            if (rc != AML_REGISTRY_OK) {
                amld_arm_registry_error(arm, rc);
                return;
            }
            operation = id;
        }

        if (amld_arm_commit(arm) != 0) {
            return;
        }
    }

    amld_arm_operation_headers(arm, operation, 0);
    amld_response_json(arm->response, 200,
                       amld_arm_compute(arm->d->config, arm->doc));
}


static int
arm_document(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal)
{
    char folder[192], now[AMLD_TIME_SIZE], runtime[9],
        organisation[AML_UUID_TEXT + 1];
    unsigned char raw[4];
    const char *label;
    aml_registry_rc_t rc;
    aml_principal_id_t id;

    label = arm->request->name[0] != '\0' ? arm->request->name : principal;

    rc = amld_compute_folder(arm->txn, arm->workspace, principal, label, folder,
                             sizeof(folder));
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(arm, rc);
    }

    /* Clients want an organisation; this deployment is the only one. */
    if (RAND_bytes(raw, sizeof(raw)) != 1 ||
        aml_principal_derive(aml_str("urn:aml:organisation"),
                             aml_str_of(arm->d->config->studio), &id) != 0) {
        return amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
    }

    aml_uuid_format(&id, organisation);
    snprintf(runtime, sizeof(runtime), "%02x%02x%02x%02x", raw[0], raw[1],
             raw[2], raw[3]);
    amld_time_now(now);

    arm->doc = json_pack(
        "{s:s,s:s,s:s,s:s,s:O,s:s,s:s,s:s,s:s,s:s,s:[],s:s,s:{},s:o}", "name",
        arm->name, "workspace", arm->workspace->id, "location",
        arm->workspace->location, "runtime", runtime, "requested",
        put->requested, "creator", principal, "creatorName", label,
        "organisation", organisation, "createdOn", now, "modifiedOn", now,
        "errors", "folder", folder, "commands", "tags",
        put->tags != NULL ? json_deep_copy(put->tags) : json_object());

    if (arm->doc == NULL ||
        (put->description != NULL &&
         amld_compute_set_str(arm->doc, "description", put->description))) {
        return amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
    }

    return 0;
}
