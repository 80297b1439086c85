/*
 * What calls about assignments and about definitions share, and their routes.
 */

#include "auth/role_api.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/sign_in.h"

#define AUTHORIZATION "/providers/Microsoft.Authorization/"
#define SUBSCRIPTION "/subscriptions/{subscription}"
#define GROUP SUBSCRIPTION "/resourceGroups/{group}"
#define WORKSPACE                                                              \
    GROUP "/providers/" AMLD_ARM_PROVIDER "/workspaces/{workspace}"
#define COMPUTE WORKSPACE "/computes/{compute}"

#define AT(scope)                                                              \
    {"GET", scope AUTHORIZATION "roleAssignments",                             \
     amld_role_assignments_list},                                              \
        {"GET", scope AUTHORIZATION "roleAssignments/{name}",                  \
         amld_role_assignment_get},                                            \
        {"PUT", scope AUTHORIZATION "roleAssignments/{name}",                  \
         amld_role_assignment_put},                                            \
        {"DELETE", scope AUTHORIZATION "roleAssignments/{name}",               \
         amld_role_assignment_delete},                                         \
        {"GET", scope AUTHORIZATION "roleDefinitions",                         \
         amld_role_definitions_list},                                          \
        {"GET", scope AUTHORIZATION "roleDefinitions/{name}",                  \
         amld_role_definition_get},                                            \
        {"PUT", scope AUTHORIZATION "roleDefinitions/{name}",                  \
         amld_role_definition_put},                                            \
    {                                                                          \
        "DELETE", scope AUTHORIZATION "roleDefinitions/{name}",                \
            amld_role_definition_delete                                        \
    }

const amld_http_route_t amld_role_routes[] = {
    AT(""),        AT(SUBSCRIPTION), AT(GROUP),
    AT(WORKSPACE), AT(COMPUTE),      {NULL, NULL, NULL},
};


/*
 * The scope is what the gateway decided on: the path up to "/providers/
 * Microsoft.Authorization/<type>", and of one that is named, without that.
 */
static int
role_scope(amld_role_call_t *call, const char *type, const char *name)
{
    char end[256];
    aml_str_t scope = call->arm.scope;
    size_t n = 0;

    if (name != NULL) {
        n = (size_t) snprintf(end, sizeof(end), AUTHORIZATION "%s/%s", type,
                              name);
        if (n >= sizeof(end) || n > scope.n ||
            strncasecmp(scope.p + scope.n - n, end, n) != 0) {
            return -1;
        }
    }

    scope.n -= n;
    if (scope.n == 0) {
        scope = aml_str("/");
    }
    if (scope.n > AMLD_SCOPE_MAX) {
        return -1;
    }
    memcpy(call->scope, scope.p, scope.n);
    call->scope[scope.n] = '\0';

    return amld_scope_valid(call->scope) ? 0 : -1;
}


int
amld_role_begin(amld_role_call_t *call, amld_t *d,
                const amld_request_t *request, amld_response_t *response,
                const char *type, int named, const char *code)
{
    const char *name = NULL;

    memset(call, 0, sizeof(*call));

    if (amld_arm_enter(&call->arm, d, request, response) != 0) {
        return -1;
    }

    if (named) {
        name = amld_request_param(request, "name");
        if (aml_uuid_parse(aml_str_of(name), &call->id) != 0) {
            amld_response_error(response, 400, code, NULL,
                                "The name '%.100s' is not valid: it must be a "
                                "GUID.",
                                name);
            return -1;
        }
    }

    if (role_scope(call, type, name) != 0) {
        amld_response_error(response, 400, "InvalidScope", NULL,
                            "The scope of the request is not valid, or has "
                            "over %d bytes.",
                            AMLD_SCOPE_MAX);
        return -1;
    }

    return 0;
}


void
amld_role_end(amld_role_call_t *call)
{
    json_decref(call->body);
    call->body = NULL;
    amld_arm_end(&call->arm);
}


int
amld_role_body(amld_role_call_t *call)
{
    const amld_request_t *request = call->arm.request;
    json_error_t error;

    call->body = json_loadb(request->body, request->body_len,
                            JSON_REJECT_DUPLICATES, &error);
    if (call->body == NULL) {
        amld_response_error(call->arm.response, 400, "InvalidRequestContent",
                            NULL,
                            "The request content is not valid JSON: line %d, "
                            "column %d: %s.",
                            error.line, error.column, error.text);
        return -1;
    }

    if (!json_is_object(call->body)) {
        amld_response_error(call->arm.response, 400, "InvalidRequestContent",
                            NULL, "The request content must be a JSON object.");
        return -1;
    }

    return 0;
}


int
amld_role_open(amld_role_call_t *call, int write)
{
    amld_arm_t *arm = &call->arm;
    aml_registry_rc_t rc;

    rc = write ? aml_registry_write(arm->d->registry, &arm->txn)
               : aml_registry_read(arm->d->registry, &arm->txn);
    if (rc == AML_REGISTRY_OK) {
        return 0;
    }
    arm->txn = NULL;

    return amld_arm_registry_error(arm, rc);
}


int
amld_role_scope_there(amld_role_call_t *call)
{
    amld_arm_t *arm = &call->arm;
    const char *subscription, *group, *workspace;
    const amld_config_t *c = arm->d->config;
    aml_registry_rc_t rc;
    size_t i, in_subscription = 0, in_group = 0;

    subscription = amld_request_param(arm->request, "subscription");
    group = amld_request_param(arm->request, "group");
    workspace = amld_request_param(arm->request, "workspace");
    arm->name = amld_request_param(arm->request, "compute");

    if (subscription == NULL) {
        return 0;
    }

    for (i = 0; i < c->workspace_count; i++) {
        if (strcasecmp(c->workspaces[i].subscription, subscription) == 0) {
            in_subscription++;
            in_group += group != NULL &&
                        strcasecmp(c->workspaces[i].resource_group, group) == 0;
        }
    }

    if (in_subscription == 0) {
        amld_response_error(arm->response, 404, "SubscriptionNotFound", NULL,
                            "The subscription '%.100s' could not be found.",
                            subscription);
        return -1;
    }
    if (group == NULL) {
        return 0;
    }
    if (in_group == 0) {
        amld_response_error(arm->response, 404, "ResourceGroupNotFound", NULL,
                            "Resource group '%.100s' could not be found.",
                            group);
        return -1;
    }
    if (workspace == NULL) {
        return 0;
    }

    arm->workspace = amld_workspace_find(c, subscription, group, workspace);
    if (arm->workspace == NULL) {
        amld_response_error(arm->response, 404, "ResourceNotFound", NULL,
                            "The Resource '" AMLD_ARM_PROVIDER
                            "/workspaces/%.100s' under resource group "
                            "'%.100s' was not found.",
                            workspace, group);
        return -1;
    }
    if (arm->name == NULL) {
        return 0;
    }

    rc = amld_compute_key(&arm->key, arm->workspace, arm->name) == 0
             ? amld_compute_load(arm->txn, &arm->key, &arm->doc)
             : AML_REGISTRY_NOTFOUND;
    if (rc == AML_REGISTRY_NOTFOUND) {
        amld_arm_not_found(arm);
        return -1;
    }

    return rc == AML_REGISTRY_OK ? 0 : amld_arm_registry_error(arm, rc);
}


int
amld_role_filter(amld_role_call_t *call, amld_role_filter_t *filter,
                 int assignments)
{
    const char *text;

    text = amld_request_query(call->arm.request, "$filter");

    if (amld_role_filter_read(filter, text) == 0 &&
        !(assignments ? filter->by_name || filter->by_type
                      : filter->by_principal || filter->by_assignee)) {
        return 0;
    }

    amld_response_error(call->arm.response, 400, "UnsupportedQuery", "$filter",
                        "The filter '%.200s' is not supported. Supported "
                        "filters are 'atScope()', 'atScopeAndBelow()' and %s, "
                        "joined by 'and'.",
                        text,
                        assignments
                            ? "'principalId eq '{id}'' or 'assignedTo('{id}')'"
                            : "'roleName eq '{name}'', 'type eq '{type}''");

    return -1;
}


void
amld_role_list(amld_role_call_t *call, const char *type, json_t *list,
               const char *next)
{
    char base[300], token[3 * AML_REGISTRY_KEY_MAX], filter[2048] = "";
    amld_arm_t *arm = &call->arm;
    const char *text;
    json_t *body;

    body = json_pack("{s:o}", "value", list);

    if (next[0] != '\0' &&
        amld_sign_in_encode(token, sizeof(token), next) == 0) {
        text = amld_request_query(arm->request, "$filter");
        if (text != NULL) {
            (void) amld_sign_in_encode(filter, sizeof(filter), text);
        }
        amld_arm_base(arm, base, sizeof(base));
        json_object_set_new(
            body, "nextLink",
            json_sprintf("%s%s" AUTHORIZATION "%s?api-version=%s%s%s"
                         "&%%24skipToken=%s",
                         base, call->scope[1] != '\0' ? call->scope : "", type,
                         arm->version, text != NULL ? "&%24filter=" : "",
                         filter, token));
    }

    amld_response_json(arm->response, 200, body);
}


json_t *
amld_role_definition_id(const char *scope, const char *guid)
{
    static const char prefix[] = "/subscriptions/";
    size_t n = 0;

    if (strncasecmp(scope, prefix, sizeof(prefix) - 1) == 0) {
        n = sizeof(prefix) - 1;
        n += strcspn(scope + n, "/");
    }

    return json_sprintf("%.*s" AUTHORIZATION "roleDefinitions/%s", (int) n,
                        scope, guid);
}
