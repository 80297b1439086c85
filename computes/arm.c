#include "computes/arm.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/operations.h"
#include "upstreams/host.h"

#define ARM_W                                                                  \
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/"          \
    "Microsoft.MachineLearningServices/workspaces/{workspace}"

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

typedef struct {
    json_t *list;
    const amld_config_t *config;
    unsigned long skip;
    size_t prefix;
    char next[AML_INSTANCE_NAME_MAX + 1];
    int failed;
} arm_list_t;

static void arm_workspace_get(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);
static void
arm_list(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
arm_get(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
arm_put(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
arm_delete(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
arm_start(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void
arm_stop(amld_t *d, const amld_request_t *request, amld_response_t *response);
static void arm_restart(amld_t *d, const amld_request_t *request,
                        amld_response_t *response);
static void arm_list_nodes(amld_t *d, const amld_request_t *request,
                           amld_response_t *response);

static void arm_operation(amld_arm_t *arm, const char *id);
static void arm_result(amld_arm_t *arm, const char *id, const json_t *op);
static int arm_list_each(void *data, aml_str_t key, aml_str_t value);
static void
arm_create(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal);
static void
arm_update(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal);
static int
arm_document(amld_arm_t *arm, const amld_arm_put_t *put, const char *principal);
static int
arm_begin_operation(amld_arm_t *arm, const char *name, amld_state_t state);
static void arm_lifecycle(amld_t *d, const amld_request_t *request,
                          amld_response_t *response, arm_verb_t verb);
static arm_verdict_t arm_verdict(amld_state_t state, arm_verb_t verb);
static void arm_conflict(amld_arm_t *arm, arm_verb_t verb);

const amld_http_route_t amld_arm_routes[] = {
    {"GET", ARM_W, arm_workspace_get},
    {"GET", ARM_W "/computes", arm_list},
    {"GET", ARM_W "/computes/{compute}", arm_get},
    {"PUT", ARM_W "/computes/{compute}", arm_put},
    {"DELETE", ARM_W "/computes/{compute}", arm_delete},
    {"POST", ARM_W "/computes/{compute}/start", arm_start},
    {"POST", ARM_W "/computes/{compute}/stop", arm_stop},
    {"POST", ARM_W "/computes/{compute}/restart", arm_restart},
    {"POST", ARM_W "/computes/{compute}/listNodes", arm_list_nodes},
    {NULL, NULL, NULL},
};


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
        amld_response_json(response, 200, amld_arm_compute(d->config, arm.doc));
    }

    amld_arm_end(&arm);
}


static void
arm_operation(amld_arm_t *arm, const char *id)
{
    json_t *op;
    const char *result;
    aml_registry_rc_t rc;

    rc = amld_operation_load(arm->txn, id, &op);

    if (rc == AML_REGISTRY_OK &&
        strcmp(amld_compute_str(op, "compute"), arm->key.p) != 0) {
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
            amld_response_json(arm->response, 200, amld_arm_operation(id, op));
        }
    }

    json_decref(op);
}


static void
arm_result(amld_arm_t *arm, const char *id, const json_t *op)
{
    const json_t *error;
    const char *status;

    status = amld_compute_str(op, "status");

    if (strcmp(status, "InProgress") == 0) {
        amld_arm_operation_headers(arm, id, 1);
        amld_response_empty(arm->response, 202);

    } else if (strcmp(status, "Succeeded") == 0) {
        if (arm->doc != NULL &&
            strcmp(amld_compute_str(op, "name"), "Delete") != 0) {
            amld_response_json(arm->response, 200,
                               amld_arm_compute(arm->d->config, arm->doc));
        } else {
            amld_response_empty(arm->response, 204);
        }

    } else {
        error = json_object_get(op, "error");
        amld_response_error(arm->response, 409, amld_compute_str(error, "code"),
                            NULL, "%s", amld_compute_str(error, "message"));
    }
}


static void
arm_list(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    char base[300], from[AML_REGISTRY_KEY_MAX + 1];
    size_t i, n;
    json_t *body;
    amld_key_t prefix;
    amld_arm_t arm;
    arm_list_t list;
    const char *skip, *name;
    aml_registry_rc_t rc;

    if (amld_arm_begin(&arm, d, request, response, 0) != 0) {
        amld_arm_end(&arm);
        return;
    }

    /* Its name in 2020-08-01. */
    name = "$skip";
    skip = amld_request_query(request, "$skip");
    if (skip == NULL &&
        (skip = amld_request_query(request, "$skiptoken")) != NULL) {
        name = "$skiptoken";
    }
    if (skip == NULL) {
        skip = "";
        name = amld_arm_since(&arm, "2020-08-02") ? "$skip" : "$skiptoken";
    }

    n = strlen(skip);
    for (i = 0; i < n; i++) {
        if (!isdigit((unsigned char) skip[i]) &&
            !(skip[i] >= 'a' && skip[i] <= 'z') && skip[i] != '-') {
            break;
        }
    }
    if (i < n || n > AML_INSTANCE_NAME_MAX ||
        amld_compute_prefix(&prefix, arm.workspace) != 0) {
        amld_response_error(response, 400, "InvalidSkipToken", name,
                            "The parameter '%s' is not one that this service "
                            "has given out.",
                            name);
        amld_arm_end(&arm);
        return;
    }

    memset(&list, 0, sizeof(list));
    list.list = json_array();
    list.config = d->config;
    list.prefix = prefix.n;

    /* A name goes on where the last page ended; no name begins with a digit,
     * so that a number is how many to leave out. */
    from[0] = '\0';
    if (isdigit((unsigned char) skip[0])) {
        list.skip = strtoul(skip, NULL, 10);
    } else if (n != 0) {
        snprintf(from, sizeof(from), "%.*s%s", (int) prefix.n, prefix.p, skip);
    }

    rc = aml_registry_read(d->registry, &arm.txn);
    if (rc != AML_REGISTRY_OK) {
        arm.txn = NULL;
    } else {
        rc = aml_registry_each(arm.txn, (aml_str_t){prefix.p, prefix.n},
                               aml_str_of(from), arm_list_each, &list);
    }

    if (rc != AML_REGISTRY_OK || list.failed) {
        json_decref(list.list);
        amld_arm_registry_error(&arm, list.failed ? AML_REGISTRY_FAILED : rc);
        amld_arm_end(&arm);
        return;
    }

    body = json_pack("{s:o}", "value", list.list);
    if (list.next[0] != '\0') {
        amld_arm_base(&arm, base, sizeof(base));
        json_object_set_new(
            body, "nextLink",
            json_sprintf("%s%s/computes?api-version=%s&%%24%s=%s", base,
                         arm.workspace->id, arm.version, name + 1, list.next));
    }

    amld_response_json(response, 200, body);
    amld_arm_end(&arm);
}


static int
arm_list_each(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    arm_list_t *list;

    list = data;

    if (list->skip != 0) {
        list->skip--;
        return 0;
    }

    if (json_array_size(list->list) == AMLD_ARM_PAGE) {
        snprintf(list->next, sizeof(list->next), "%.*s",
                 (int) (key.n - list->prefix), key.p + list->prefix);
        return 1;
    }

    doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    list->failed |= doc == NULL ||
                    json_array_append_new(
                        list->list, amld_arm_compute(list->config, doc)) != 0;
    json_decref(doc);

    return list->failed;
}


static void
arm_put(amld_t *d, const amld_request_t *request, amld_response_t *response)
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

    if (arm_begin_operation(arm, "Create", AMLD_STATE_CREATING) != 0) {
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
        if (arm_begin_operation(arm, "Create", AMLD_STATE_CREATING) != 0) {
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


static int
arm_begin_operation(amld_arm_t *arm, const char *name, amld_state_t state)
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


static void
arm_delete(amld_t *d, const amld_request_t *request, amld_response_t *response)
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
            arm_begin_operation(&arm, "Delete", AMLD_STATE_DELETING) == 0) {
            amld_arm_operation_headers(
                &arm, amld_compute_str(arm.doc, "operation"), 1);
            amld_response_empty(response, 202);
            amld_log(AMLD_LOG_INFO, "%s: deletion asked for by %s",
                     amld_compute_str(arm.doc, "name"), request->name);
        }
    }

    amld_arm_end(&arm);
}


static void
arm_start(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    arm_lifecycle(d, request, response, ARM_START);
}


static void
arm_stop(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    arm_lifecycle(d, request, response, ARM_STOP);
}


static void
arm_restart(amld_t *d, const amld_request_t *request, amld_response_t *response)
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
    verdict = arm_verdict(amld_compute_state(arm.doc), verb);

    switch (verdict) {

    case ARM_CONFLICT:
        arm_conflict(&arm, verb);
        amld_arm_end(&arm);
        return;

    case ARM_GOES:
        snprintf(id, sizeof(id), "%s", amld_compute_str(arm.doc, "operation"));
        break;

    case ARM_BEGIN:
        if (arm_begin_operation(&arm, verbs[verb].name, verbs[verb].state) !=
            0) {
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
        aml_registry_rc_t done;

        done = amld_operation_done(arm.txn, &arm.key, verbs[verb].name, id);
        if (done == AML_REGISTRY_OK) {
            done = aml_registry_commit(arm.txn);
            arm.txn = NULL;
        }
        if (done != AML_REGISTRY_OK) {
            amld_arm_registry_error(&arm, done);
            amld_arm_end(&arm);
            return;
        }
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


static void
arm_list_nodes(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    int rc;
    amld_arm_t arm;

    if (amld_arm_begin(&arm, d, request, response, 1) == 0) {
        rc = amld_arm_load(&arm, 0);
        if (rc == 0) {
            amld_arm_not_found(&arm);
        } else if (rc == 1) {
            amld_response_error(response, 400, "UserError", NULL,
                                "ComputeListNodes with computeType "
                                "ComputeInstance is not supported.");
        }
    }

    amld_arm_end(&arm);
}
