/*
 * Microsoft.Authorization/roleAssignments.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auth/accounts.h"
#include "auth/audit.h"
#include "auth/principals.h"
#include "auth/role_api.h"
#include "auth/role_store.h"
#include "auth/roles.h"

#define TYPE "roleAssignments"
#define BAD_NAME "InvalidRoleAssignmentId"
#define DEFINITIONS "/providers/Microsoft.Authorization/roleDefinitions/"


static json_t *
text_or_null(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}


static json_t *
assignment_json(const amld_assignment_t *a)
{
    char id[AML_UUID_TEXT + 1], principal[AML_UUID_TEXT + 1],
        role[AML_UUID_TEXT + 1];

    aml_uuid_format(&a->id, id);
    aml_uuid_format(&a->principal, principal);
    aml_uuid_format(&a->role, role);

    return json_pack(
        "{s:o,s:s,s:s,s:{s:s,s:o,s:s,s:s,s:o,s:n,s:n,s:o,s:o,s:o,s:o,s:n}}",
        "id",
        json_sprintf("%s/providers/Microsoft.Authorization/" TYPE "/%s",
                     a->scope[1] != '\0' ? a->scope : "", id),
        "name", id, "type", "Microsoft.Authorization/" TYPE, "properties",
        "scope", a->scope, "roleDefinitionId",
        amld_role_definition_id(a->scope, role), "principalId", principal,
        "principalType", amld_principal_type_name(a->type), "description",
        text_or_null(a->description), "condition", "conditionVersion",
        "createdOn", text_or_null(a->created_on), "updatedOn",
        text_or_null(a->updated_on), "createdBy", text_or_null(a->created_by),
        "updatedBy", text_or_null(a->updated_by),
        "delegatedManagedIdentityResourceId");
}


/* The one at the path, which is at the path's scope: OK, or NOTFOUND. */
static aml_registry_rc_t
assignment_at(amld_role_call_t *call, amld_assignment_t *a)
{
    aml_registry_rc_t rc;

    rc = amld_assignment_get(call->arm.txn, &call->id, a);

    return rc == AML_REGISTRY_OK && strcasecmp(a->scope, call->scope) != 0
               ? AML_REGISTRY_NOTFOUND
               : rc;
}


void
amld_role_assignment_get(amld_t *d, const amld_request_t *request,
                         amld_response_t *response)
{
    char guid[AML_UUID_TEXT + 1];
    amld_role_call_t call;
    aml_registry_rc_t rc;
    amld_assignment_t a;

    if (amld_role_begin(&call, d, request, response, TYPE, 1, BAD_NAME) == 0 &&
        amld_role_open(&call, 0) == 0) {
        rc = assignment_at(&call, &a);

        if (rc == AML_REGISTRY_NOTFOUND) {
            aml_uuid_format(&call.id, guid);
            amld_response_error(response, 404, "RoleAssignmentNotFound", NULL,
                                "The role assignment '%s' is not found.", guid);
        } else if (rc != AML_REGISTRY_OK) {
            (void) amld_arm_registry_error(&call.arm, rc);
        } else {
            amld_response_json(response, 200, assignment_json(&a));
        }
    }

    amld_role_end(&call);
}


/* ---- lists ---- */

/* A walk of one index: at a scope, below one, or of a principal. */
typedef struct {
    aml_principal_id_t principal;
    char scope[AMLD_SCOPE_MAX + 1];
    int below;
} leg_t;

typedef struct {
    amld_role_call_t *call;
    amld_role_filter_t filter;
    json_t *list;
    char next[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
} assignment_list_t;


static int
assignment_each(void *data, const amld_assignment_entry_t *entry)
{
    assignment_list_t *list = data;
    aml_str_t scope = aml_str_of(list->call->scope);
    amld_assignment_t a;

    /* those of a principal are of all scopes */
    if (!aml_scope_covers(entry->scope, scope) &&
        (list->filter.at_scope || !aml_scope_covers(scope, entry->scope))) {
        return 0;
    }

    if (json_array_size(list->list) == AMLD_ROLE_PAGE) {
        (void) snprintf(list->next, sizeof(list->next), "%.*s",
                        (int) entry->key.n, entry->key.p);
        return 1;
    }

    list->rc = amld_assignment_get(list->call->arm.txn, &entry->id, &a);
    if (list->rc == AML_REGISTRY_OK &&
        json_array_append_new(list->list, assignment_json(&a)) != 0) {
        list->rc = AML_REGISTRY_FAILED;
    }

    return list->rc != AML_REGISTRY_OK;
}


/* Goes on at `*from` where that lies on this leg, and forgets it then; legs
 * before it are done with. */
static aml_registry_rc_t
leg_walk(assignment_list_t *list, const leg_t *leg, const char **from)
{
    char prefix[AML_REGISTRY_KEY_MAX + 1], uuid[AML_UUID_TEXT + 1];
    aml_str_t start = {NULL, 0};
    aml_registry_rc_t rc;

    if (leg->scope[0] != '\0') {
        (void) snprintf(prefix, sizeof(prefix), "assignment-at%s%s",
                        leg->scope[1] != '\0' ? leg->scope : "",
                        leg->below ? "/" : "//");
    } else {
        aml_uuid_format(&leg->principal, uuid);
        (void) snprintf(prefix, sizeof(prefix), "assignment-of/%s/", uuid);
    }

    if (*from != NULL) {
        if (strncasecmp(*from, prefix, strlen(prefix)) != 0) {
            return AML_REGISTRY_OK;
        }
        start = aml_str_of(*from);
        *from = NULL;
    }

    rc = leg->scope[0] != '\0'
             ? amld_assignments_at(list->call->arm.txn, leg->scope, leg->below,
                                   start, assignment_each, list)
             : amld_assignments_of(list->call->arm.txn, &leg->principal, start,
                                   assignment_each, list);

    return rc == AML_REGISTRY_OK ? list->rc : rc;
}


/* At every scope above, from the root down, then at the scope itself and,
 * unless that is not wanted, below. */
static aml_registry_rc_t
list_at_scope(assignment_list_t *list, const char **from)
{
    const char *scope = list->call->scope, *p = scope;
    leg_t leg = {.scope = "/"};
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    while (rc == AML_REGISTRY_OK && list->next[0] == '\0') {
        leg.below = strcmp(leg.scope, scope) == 0 && !list->filter.at_scope;

        rc = leg_walk(list, &leg, from);
        if (*p == '\0' || p[1] == '\0') {
            break;
        }

        p += 1 + strcspn(p + 1, "/");
        (void) snprintf(leg.scope, sizeof(leg.scope), "%.*s", (int) (p - scope),
                        scope);
    }

    return rc;
}


/* A person's groups, as their last sign-in told; 1 when some are not known. */
static int
list_groups(assignment_list_t *list, const char **from, aml_registry_rc_t *rc)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_grant_t grant;
    aml_str_t value;
    unsigned i;
    leg_t leg;

    *rc = aml_registry_get(list->call->arm.txn, key,
                           aml_key_grant(key, &list->filter.principal), &value);
    if (*rc == AML_REGISTRY_NOTFOUND) {
        *rc = AML_REGISTRY_OK;
        return 1;
    }
    if (*rc != AML_REGISTRY_OK) {
        return 1;
    }
    if (aml_grant_decode(value, &grant) != AML_RECORD_OK) {
        *rc = AML_REGISTRY_CORRUPT;
        return 1;
    }
    if (grant.expires <= (int64_t) time(NULL)) {
        return 1;
    }

    for (i = 0; i < grant.group_count && *rc == AML_REGISTRY_OK &&
                list->next[0] == '\0';
         i++) {
        memset(&leg, 0, sizeof(leg));
        leg.principal = aml_grant_group(&grant, i);
        *rc = leg_walk(list, &leg, from);
    }

    return (grant.flags & AML_GRANT_UNKNOWN) != 0;
}


static aml_registry_rc_t
list_of_principal(assignment_list_t *list, const char **from)
{
    leg_t leg = {.principal = list->filter.principal};
    aml_registry_rc_t rc;
    int unknown;

    rc = leg_walk(list, &leg, from);

    if (rc == AML_REGISTRY_OK && list->filter.by_assignee &&
        list->next[0] == '\0') {
        unknown = list_groups(list, from, &rc);

        /* A list has no other place to say so. */
        if (unknown) {
            amld_response_header(list->call->arm.response, "X-AML-Groups",
                                 "unknown");
        }
    }

    return rc;
}


void
amld_role_assignments_list(amld_t *d, const amld_request_t *request,
                           amld_response_t *response)
{
    assignment_list_t list = {0};
    amld_role_call_t call;
    aml_registry_rc_t rc;
    const char *from;

    list.call = &call;

    if (amld_role_begin(&call, d, request, response, TYPE, 0, NULL) != 0 ||
        amld_role_filter(&call, &list.filter, 1) != 0 ||
        amld_role_open(&call, 0) != 0 || amld_role_scope_there(&call) != 0) {
        amld_role_end(&call);
        return;
    }

    from = amld_request_query(request, "$skipToken");
    list.list = json_array();

    rc = list.filter.by_principal || list.filter.by_assignee
             ? list_of_principal(&list, &from)
             : list_at_scope(&list, &from);

    if (rc != AML_REGISTRY_OK) {
        json_decref(list.list);
        (void) amld_arm_registry_error(&call.arm, rc);

    } else if (from != NULL) {
        json_decref(list.list);
        amld_response_error(response, 400, "InvalidSkipToken", "$skipToken",
                            "The parameter '$skipToken' is not one that this "
                            "service has given out.");
    } else {
        amld_role_list(&call, TYPE, list.list, list.next);
    }

    amld_role_end(&call);
}


/* ---- a new one ---- */

/* What a PUT asks for. */
typedef struct {
    aml_principal_id_t principal;
    aml_principal_id_t role;
    amld_principal_type_t type; /* AMLD_TYPE_COUNT: it does not say */
    const char *description;
} assignment_put_t;


static int
put_fault(amld_role_call_t *call, const char *code, const char *target,
          const char *message)
{
    amld_response_error(call->arm.response, 400, code, target, "%s", message);

    return -1;
}


/* Fields whose effect there is none of must not be taken for granted. */
static int
put_unsupported(amld_role_call_t *call, const json_t *properties)
{
    static const char *const none[] = {"condition",
                                       "delegatedManagedIdentityResourceId"};
    json_t *v;
    size_t i;

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        v = json_object_get(properties, none[i]);
        if (v != NULL && !json_is_null(v) &&
            !(json_is_string(v) && json_string_length(v) == 0)) {
            return put_fault(call,
                             i == 0 ? "ConditionsNotSupported"
                                    : "InvalidRequestContent",
                             none[i],
                             i == 0 ? "Conditions are not supported: an "
                                      "assignment under a condition would "
                                      "hold without one. Assign a custom role "
                                      "that allows less, or at a lower scope."
                                    : "Managed identities of other tenants "
                                      "are not supported.");
        }
    }

    if (json_is_true(json_object_get(properties, "canDelegate"))) {
        return put_fault(call, "InvalidRequestContent", "canDelegate",
                         "Delegation is not supported.");
    }

    return 0;
}


static int
put_role(amld_role_call_t *call, const json_t *properties,
         assignment_put_t *put)
{
    const char *text;
    size_t n, k = sizeof(DEFINITIONS) - 1;

    text = json_string_value(json_object_get(properties, "roleDefinitionId"));
    if (text == NULL) {
        return put_fault(call, "InvalidRequestContent", "roleDefinitionId",
                         "The member 'properties.roleDefinitionId' is "
                         "missing.");
    }

    n = strlen(text);
    if (n > AML_UUID_TEXT) {
        if (n < AML_UUID_TEXT + k ||
            strncasecmp(text + n - AML_UUID_TEXT - k, DEFINITIONS, k) != 0) {
            n = 0;
        } else {
            text += n - AML_UUID_TEXT;
            n = AML_UUID_TEXT;
        }
    }
    if (aml_uuid_parse((aml_str_t){text, n}, &put->role) != 0) {
        return put_fault(call, "InvalidRoleDefinitionId", "roleDefinitionId",
                         "A role definition's id ends in /providers/"
                         "Microsoft.Authorization/roleDefinitions/{GUID}.");
    }

    return 0;
}


static int
put_principal(amld_role_call_t *call, const json_t *properties,
              assignment_put_t *put)
{
    json_t *v;

    v = json_object_get(properties, "principalId");
    if (aml_uuid_parse((aml_str_t){json_string_value(v), json_string_length(v)},
                       &put->principal) != 0) {
        return put_fault(call, "InvalidPrincipalId", "principalId",
                         "A principal ID must be a GUID.");
    }

    v = json_object_get(properties, "principalType");
    put->type = AMLD_TYPE_COUNT;
    if (v != NULL && !json_is_null(v)) {
        put->type = json_is_string(v)
                        ? amld_principal_type_find(json_string_value(v))
                        : AMLD_TYPE_COUNT;
        if (put->type == AMLD_TYPE_COUNT) {
            return put_fault(call, "UnsupportedPrincipalType", "principalType",
                             "A principal's type is 'User', 'Group' or "
                             "'ServicePrincipal'.");
        }
    }

    return 0;
}


static int
put_read(amld_role_call_t *call, assignment_put_t *put)
{
    const json_t *properties;
    json_t *v;

    memset(put, 0, sizeof(*put));

    properties = json_object_get(call->body, "properties");
    if (!json_is_object(properties)) {
        return put_fault(call, "InvalidRequestContent", "properties",
                         "The member 'properties' must be an object.");
    }

    if (put_role(call, properties, put) != 0 ||
        put_principal(call, properties, put) != 0 ||
        put_unsupported(call, properties) != 0) {
        return -1;
    }

    v = json_object_get(properties, "scope");
    if (json_is_string(v) &&
        strcasecmp(json_string_value(v), call->scope) != 0) {
        return put_fault(call, "InvalidRequestContent", "scope",
                         "The scope in the content is not that of the "
                         "address.");
    }

    v = json_object_get(properties, "description");
    put->description = "";
    if (v != NULL && !json_is_null(v)) {
        put->description = json_string_value(v);
        if (put->description == NULL ||
            json_string_length(v) > AMLD_DESCRIPTION_MAX ||
            !amld_role_printable(put->description)) {
            return put_fault(call, "InvalidRequestContent", "description",
                             "A description is a string of at most 1024 bytes "
                             "without control characters.");
        }
    }

    return 0;
}


/* Is there such a role, and can it be assigned here? */
static int
put_check_role(amld_role_call_t *call, const assignment_put_t *put)
{
    char key[AML_REGISTRY_KEY_MAX + 1], guid[AML_UUID_TEXT + 1];
    aml_role_t *role = NULL;
    aml_registry_rc_t rc;
    aml_str_t value;
    int assignable;

    rc = aml_registry_get(call->arm.txn, key, aml_key_role(key, &put->role),
                          &value);
    if (rc == AML_REGISTRY_OK) {
        role = aml_role_parse(value.p, value.n, NULL, 0);
        if (role == NULL) {
            rc = AML_REGISTRY_CORRUPT;
        }
    }
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return amld_arm_registry_error(&call->arm, rc);
    }

    assignable =
        role != NULL && aml_role_assignable(role, aml_str_of(call->scope));
    aml_role_free(role);
    if (assignable) {
        return 0;
    }

    aml_uuid_format(&put->role, guid);
    amld_response_error(call->arm.response, 400, "RoleDefinitionDoesNotExist",
                        "roleDefinitionId",
                        "The specified role definition with ID '%s' does not "
                        "exist, or is not assignable at this scope.",
                        guid);

    return -1;
}


static int
put_unmatched(amld_role_call_t *call, const assignment_put_t *put,
              const char *type)
{
    char guid[AML_UUID_TEXT + 1];

    aml_uuid_format(&put->principal, guid);
    amld_response_error(call->arm.response, 400, "UnmatchedPrincipalType",
                        "principalType",
                        "The PrincipalId '%s' has type '%s', which is "
                        "different from specified PrincipalType '%s'.",
                        guid, type, amld_principal_type_name(put->type));

    return -1;
}


/*
 * Whom it is for.  A group need not have been seen, nor a service, which never
 * signs in: a record is made for them.  A person must be known, as nobody
 * would notice a wrong GUID.
 */
static int
put_check_principal(amld_role_call_t *call, assignment_put_t *put)
{
    char guid[AML_UUID_TEXT + 1];
    aml_registry_rc_t rc;
    amld_principal_t p;
    int group, local;

    rc = amld_principal_load(call->arm.txn, &put->principal, &p);
    group = (p.flags & AML_PRINCIPAL_GROUP) != 0;
    local = p.issuer != NULL && strcmp(p.issuer, AMLD_LOCAL_SPACE) == 0;

    if (rc == AML_REGISTRY_NOTFOUND &&
        (put->type == AMLD_TYPE_GROUP || put->type == AMLD_TYPE_SERVICE)) {
        amld_principal_clear(&p);
        group = put->type == AMLD_TYPE_GROUP;
        p.flags = group ? AML_PRINCIPAL_GROUP : 0;
        p.name = strdup("");
        p.issuer = strdup("");
        errno = ENOMEM;
        rc = p.name != NULL && p.issuer != NULL
                 ? amld_principal_store(call->arm.txn, &put->principal, &p)
                 : AML_REGISTRY_FAILED;
    }
    amld_principal_clear(&p);

    if (rc == AML_REGISTRY_NOTFOUND) {
        aml_uuid_format(&put->principal, guid);
        amld_response_error(call->arm.response, 400, "PrincipalNotFound",
                            "principalId",
                            "Principal %s does not exist here: nobody with "
                            "that ID has signed in. Check the ID; for a group "
                            "or a service, set principalType to Group or "
                            "ServicePrincipal.",
                            guid);
        return -1;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(&call->arm, rc);
    }

    if (put->type == AMLD_TYPE_COUNT) {
        put->type = group ? AMLD_TYPE_GROUP : AMLD_TYPE_USER;
    } else if (group != (put->type == AMLD_TYPE_GROUP)) {
        return put_unmatched(call, put, group ? "Group" : "User");
    } else if (local && put->type == AMLD_TYPE_SERVICE) {
        return put_unmatched(call, put, "User");
    }

    return 0;
}


static int
put_commit(amld_role_call_t *call, aml_registry_rc_t rc)
{
    if (rc == AML_REGISTRY_TOOLONG) {
        amld_response_error(call->arm.response, 400,
                            "RoleAssignmentLimitExceeded", NULL,
                            "No more role assignments can be created for this "
                            "principal. Assign roles to groups, or at a "
                            "higher scope.");
        return -1;
    }

    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(call->arm.txn);
        call->arm.txn = NULL;
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_arm_registry_error(&call->arm, rc);
    }

    return 0;
}


static void
assignment_log(const amld_role_call_t *call, const amld_assignment_t *a,
               const char *what)
{
    char id[AML_UUID_TEXT + 1], principal[AML_UUID_TEXT + 1],
        role[AML_UUID_TEXT + 1], by[AML_UUID_TEXT + 1];

    aml_uuid_format(&a->id, id);
    aml_uuid_format(&a->principal, principal);
    aml_uuid_format(&a->role, role);
    aml_uuid_format(&call->arm.request->principal, by);
    amld_log(AMLD_LOG_INFO,
             "roles: assignment %s %s: role %s at %s to %s, by "
             "%s (%s)",
             id, what, role, a->scope, principal, by, call->arm.request->name);
    amld_audit_request(
        call->arm.d, call->arm.request,
        &(amld_audit_event_t){.event = "role",
                              .of = &a->principal,
                              .id = &a->id,
                              .target = role,
                              .action = call->arm.request->action,
                              .scope = a->scope});
}


/* A PUT of what is there: what may change is changed. */
static void
put_again(amld_role_call_t *call, const assignment_put_t *put,
          amld_assignment_t *a)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    if (strcasecmp(a->scope, call->scope) != 0 ||
        !aml_principal_eq(&a->principal, &put->principal) ||
        !aml_principal_eq(&a->role, &put->role)) {
        amld_response_error(call->arm.response, 400,
                            "RoleAssignmentUpdateNotPermitted", NULL,
                            "Tenant ID, application ID, principal ID, role "
                            "and scope are not allowed to be updated: a role "
                            "assignment with this ID exists.");
        return;
    }

    if (strcmp(a->description, put->description) != 0) {
        (void) snprintf(a->description, sizeof(a->description), "%s",
                        put->description);
        amld_time_now(a->updated_on);
        aml_uuid_format(&call->arm.request->principal, a->updated_by);
        rc = amld_assignment_update(call->arm.txn, a);
    }

    if (put_commit(call, rc) == 0) {
        amld_response_json(call->arm.response, 200, assignment_json(a));
    }
}


static void
put_new(amld_role_call_t *call, const assignment_put_t *put)
{
    char guid[AML_UUID_TEXT + 1];
    amld_assignment_t a;
    aml_registry_rc_t rc;

    rc = amld_assignment_find(call->arm.txn, &put->principal, &put->role,
                              call->scope, &a);
    if (rc == AML_REGISTRY_OK) {
        aml_uuid_format(&a.id, guid);
        amld_response_error(call->arm.response, 409, "RoleAssignmentExists",
                            NULL,
                            "The role assignment already exists. The ID of "
                            "the conflicting role assignment is %s.",
                            guid);
        return;
    }
    if (rc != AML_REGISTRY_NOTFOUND) {
        (void) amld_arm_registry_error(&call->arm, rc);
        return;
    }

    memset(&a, 0, sizeof(a));
    a.id = call->id;
    a.principal = put->principal;
    a.role = put->role;
    a.type = put->type;
    memcpy(a.scope, call->scope, sizeof(a.scope));
    (void) snprintf(a.description, sizeof(a.description), "%s",
                    put->description);
    amld_time_now(a.created_on);
    memcpy(a.updated_on, a.created_on, sizeof(a.updated_on));
    aml_uuid_format(&call->arm.request->principal, a.created_by);
    memcpy(a.updated_by, a.created_by, sizeof(a.updated_by));

    if (put_commit(call, amld_assignment_add(call->arm.txn, &a)) == 0) {
        assignment_log(call, &a, "made");
        amld_response_json(call->arm.response, 201, assignment_json(&a));
    }
}


void
amld_role_assignment_put(amld_t *d, const amld_request_t *request,
                         amld_response_t *response)
{
    amld_role_call_t call;
    aml_registry_rc_t rc;
    amld_assignment_t a;
    assignment_put_t put;

    if (amld_role_begin(&call, d, request, response, TYPE, 1, BAD_NAME) != 0 ||
        amld_role_body(&call) != 0 || put_read(&call, &put) != 0 ||
        amld_role_open(&call, 1) != 0 || amld_role_scope_there(&call) != 0 ||
        put_check_role(&call, &put) != 0) {
        amld_role_end(&call);
        return;
    }

    rc = amld_assignment_get(call.arm.txn, &call.id, &a);
    if (rc == AML_REGISTRY_OK) {
        put_again(&call, &put, &a);
    } else if (rc != AML_REGISTRY_NOTFOUND) {
        (void) amld_arm_registry_error(&call.arm, rc);
    } else if (put_check_principal(&call, &put) == 0) {
        put_new(&call, &put);
    }

    amld_role_end(&call);
}


/* ---- the end of one ---- */

void
amld_role_assignment_delete(amld_t *d, const amld_request_t *request,
                            amld_response_t *response)
{
    amld_role_call_t call;
    aml_registry_rc_t rc;
    amld_assignment_t a;

    if (amld_role_begin(&call, d, request, response, TYPE, 1, BAD_NAME) == 0 &&
        amld_role_open(&call, 1) == 0) {
        rc = assignment_at(&call, &a);

        if (rc == AML_REGISTRY_NOTFOUND) {
            amld_response_empty(response, 204);
            amld_role_end(&call);
            return;
        }

        if (rc == AML_REGISTRY_OK) {
            rc = amld_assignment_remove(call.arm.txn, &a);
        }
        if (put_commit(&call, rc) == 0) {
            assignment_log(&call, &a, "deleted");
            amld_response_json(response, 200, assignment_json(&a));
        }
    }

    amld_role_end(&call);
}
