/*
 * Microsoft.Authorization/roleDefinitions.
 */

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/audit.h"
#include "auth/role_api.h"
#include "auth/role_store.h"
#include "auth/roles.h"

#define TYPE "roleDefinitions"
#define BAD_NAME "InvalidRoleDefinitionId"


/* As it is told at a scope: its id says the scope's subscription. */
static json_t *
definition_at(const json_t *role, const char *scope)
{
    json_t *copy;

    copy = json_deep_copy(role);
    (void) json_object_set_new(
        copy, "id",
        amld_role_definition_id(
            scope, json_string_value(json_object_get(role, "name"))));

    return copy;
}


/* Can it be assigned at the scope, or with `below` somewhere below it? */
static int
definition_visible(const json_t *role, const char *scope, int below)
{
    json_t *v;
    size_t i;

    if (amld_role_covers(role, aml_str_of(scope))) {
        return 1;
    }

    json_array_foreach(amld_role_scopes(role), i, v)
    {
        if (below && aml_scope_covers(aml_str_of(scope),
                                      aml_str_of(json_string_value(v)))) {
            return 1;
        }
    }

    return 0;
}


static void
definition_missing(amld_role_call_t *call)
{
    char guid[AML_UUID_TEXT + 1];

    aml_uuid_format(&call->id, guid);
    amld_response_error(call->arm.response, 404, "RoleDefinitionDoesNotExist",
                        NULL,
                        "The specified role definition with ID '%s' does not "
                        "exist.",
                        guid);
}


void
amld_role_definition_get(amld_t *d, const amld_request_t *request,
                         amld_response_t *response)
{
    amld_role_call_t call;
    aml_registry_rc_t rc;
    json_t *role = NULL;

    if (amld_role_begin(&call, d, request, response, TYPE, 1, BAD_NAME) == 0 &&
        amld_role_open(&call, 0) == 0) {
        rc = amld_role_load(call.arm.txn, &call.id, &role);

        if (rc == AML_REGISTRY_NOTFOUND ||
            (rc == AML_REGISTRY_OK &&
             !definition_visible(role, call.scope, 1))) {
            definition_missing(&call);
        } else if (rc != AML_REGISTRY_OK) {
            (void) amld_arm_registry_error(&call.arm, rc);
        } else {
            amld_response_json(response, 200, definition_at(role, call.scope));
        }
    }

    json_decref(role);
    amld_role_end(&call);
}


/* ---- lists ---- */

typedef struct {
    const amld_role_call_t *call;
    amld_role_filter_t filter;
    json_t *list;
    char next[AML_UUID_TEXT + 1];
    int failed;
} definition_list_t;


static int
definition_wanted(const definition_list_t *list, const json_t *role)
{
    const amld_role_filter_t *f = &list->filter;

    return definition_visible(role, list->call->scope, f->at_scope_and_below) &&
           (!f->by_name || strcasecmp(amld_role_name(role), f->name) == 0) &&
           (!f->by_type ||
            strcasecmp(f->type, amld_role_custom(role) ? "CustomRole"
                                                       : "BuiltInRole") == 0);
}


static int
definition_each(void *data, aml_str_t key, aml_str_t value)
{
    definition_list_t *list = data;
    json_t *role;
    int full = 0;

    role = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (role == NULL) {
        amld_log(AMLD_LOG_ERROR, "%.*s: can't be read", (int) key.n, key.p);
        list->failed = 1;
        return 1;
    }

    if (definition_wanted(list, role)) {
        full = json_array_size(list->list) == AMLD_ROLE_PAGE;
        if (full) {
            (void) snprintf(list->next, sizeof(list->next), "%s",
                            json_string_value(json_object_get(role, "name")));
        } else {
            list->failed |=
                json_array_append_new(
                    list->list, definition_at(role, list->call->scope)) != 0;
        }
    }
    json_decref(role);

    return full || list->failed;
}


void
amld_role_definitions_list(amld_t *d, const amld_request_t *request,
                           amld_response_t *response)
{
    char from[AML_REGISTRY_KEY_MAX + 1] = "";
    definition_list_t list = {0};
    amld_role_call_t call;
    aml_principal_id_t id;
    aml_registry_rc_t rc;
    const char *skip;

    list.call = &call;

    if (amld_role_begin(&call, d, request, response, TYPE, 0, NULL) != 0 ||
        amld_role_filter(&call, &list.filter, 0) != 0) {
        amld_role_end(&call);
        return;
    }

    skip = amld_request_query(request, "$skipToken");
    if (skip != NULL) {
        if (aml_uuid_parse(aml_str_of(skip), &id) != 0) {
            amld_response_error(response, 400, "InvalidSkipToken", "$skipToken",
                                "The parameter '$skipToken' is not one that "
                                "this service has given out.");
            amld_role_end(&call);
            return;
        }
        (void) aml_key_role(from, &id);
    }

    if (amld_role_open(&call, 0) == 0 && amld_role_scope_there(&call) == 0) {
        list.list = json_array();
        rc = aml_registry_each(call.arm.txn, aml_str("role/"), aml_str_of(from),
                               definition_each, &list);
        if (rc != AML_REGISTRY_OK || list.failed) {
            json_decref(list.list);
            (void) amld_arm_registry_error(
                &call.arm, list.failed ? AML_REGISTRY_FAILED : rc);
        } else {
            amld_role_list(&call, TYPE, list.list, list.next);
        }
    }

    amld_role_end(&call);
}


/* ---- changes ---- */

static void
definition_refused(amld_role_call_t *call, amld_role_rc_t answer,
                   aml_registry_rc_t rc)
{
    char guid[AML_UUID_TEXT + 1];
    amld_response_t *response = call->arm.response;

    aml_uuid_format(&call->id, guid);

    switch (answer) {

    case AMLD_ROLE_BUILTIN:
        amld_response_error(response, 400, "RoleDefinitionUpdateNotPermitted",
                            NULL,
                            "The role definition '%s' is built in, and cannot "
                            "be changed or deleted.",
                            guid);
        break;

    case AMLD_ROLE_OUTSIDE:
        amld_response_error(response, 403, "LinkedAuthorizationFailed",
                            "assignableScopes",
                            "Assignable scopes, those that the role has now "
                            "and those that it is to have, must lie at the "
                            "scope of the request, '%s', or below it: that is "
                            "where you may define roles by this request.",
                            call->scope);
        break;

    case AMLD_ROLE_NAME:
        amld_response_error(response, 409, "RoleDefinitionWithSameNameExists",
                            "roleName",
                            "Another role definition has this name. Names are "
                            "unique without regard to case.");
        break;

    case AMLD_ROLE_IN_USE:
        amld_response_error(response, 409, "RoleDefinitionHasAssignments", NULL,
                            "There are existing role assignments referencing "
                            "role '%s', at a scope where it would not be "
                            "assignable any more. Delete them first.",
                            guid);
        break;

    case AMLD_ROLE_LIMIT:
        amld_response_error(response, 400, "RoleDefinitionLimitExceeded", NULL,
                            "There are %d custom roles already.",
                            AMLD_ROLES_MAX);
        break;

    default:
        (void) amld_arm_registry_error(&call->arm, rc);
        break;
    }
}


/* 0, or -1 when the response was filled. */
static int
definition_commit(amld_role_call_t *call, amld_role_rc_t answer,
                  aml_registry_rc_t rc)
{
    if (answer != AMLD_ROLE_OK) {
        definition_refused(call, answer, rc);
        return -1;
    }

    rc = aml_registry_commit(call->arm.txn);
    call->arm.txn = NULL;

    return rc == AML_REGISTRY_OK ? 0 : amld_arm_registry_error(&call->arm, rc);
}


static void
definition_audit(const amld_role_call_t *call, const json_t *role)
{
    amld_audit_request(
        call->arm.d, call->arm.request,
        &(amld_audit_event_t){.event = "role",
                              .id = &call->id,
                              .target = amld_role_name(role),
                              .action = call->arm.request->action,
                              .scope = call->scope});
}


static void
definition_put(amld_role_call_t *call)
{
    char by[AML_UUID_TEXT + 1];
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    amld_role_fault_t fault;
    json_t *role;

    role = amld_role_normalise(call->body, &call->id, 1, &fault);
    if (role == NULL) {
        amld_response_error(call->arm.response, 400, fault.code, NULL, "%s",
                            fault.message);
        return;
    }

    aml_uuid_format(&call->arm.request->principal, by);

    if (amld_role_open(call, 1) == 0 && amld_role_scope_there(call) == 0 &&
        definition_commit(
            call, amld_role_define(call->arm.txn, role, call->scope, by, &rc),
            rc) == 0) {
        amld_log(AMLD_LOG_INFO, "roles: \"%s\" defined at %s by %s (%s)",
                 amld_role_name(role), call->scope, by,
                 call->arm.request->name);
        definition_audit(call, role);

        /* 201 also for a change: SDKs take nothing else */
        amld_response_json(call->arm.response, 201,
                           definition_at(role, call->scope));
    }

    json_decref(role);
}


void
amld_role_definition_put(amld_t *d, const amld_request_t *request,
                         amld_response_t *response)
{
    amld_role_call_t call;

    if (amld_role_begin(&call, d, request, response, TYPE, 1, BAD_NAME) == 0 &&
        amld_role_body(&call) == 0) {
        definition_put(&call);
    }

    amld_role_end(&call);
}


void
amld_role_definition_delete(amld_t *d, const amld_request_t *request,
                            amld_response_t *response)
{
    char by[AML_UUID_TEXT + 1];
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    amld_role_call_t call;
    amld_role_rc_t answer;
    json_t *role = NULL;

    if (amld_role_begin(&call, d, request, response, TYPE, 1, BAD_NAME) == 0 &&
        amld_role_open(&call, 1) == 0) {
        answer =
            amld_role_undefine(call.arm.txn, &call.id, call.scope, &role, &rc);
        if (answer == AMLD_ROLE_MISSING) {
            amld_response_empty(response, 204);

        } else if (definition_commit(&call, answer, rc) == 0) {
            aml_uuid_format(&request->principal, by);
            amld_log(AMLD_LOG_INFO, "roles: \"%s\" deleted by %s (%s)",
                     amld_role_name(role), by, request->name);
            definition_audit(&call, role);
            amld_response_json(response, 200, definition_at(role, call.scope));
        }
    }

    json_decref(role);
    amld_role_end(&call);
}
