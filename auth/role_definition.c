/*
 * Role definitions: from what people write to ARM's shape.
 */

#include "auth/role_definition.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/assignments.h"
#include "auth/roles.h"

#define DEFINITION_TYPE "Microsoft.Authorization/roleDefinitions"
#define PATTERN_MAX 256
#define TEXT_MAX 2048

static const char *const lists[] = {"actions", "notActions", "dataActions",
                                    "notDataActions"};

#define LISTS (sizeof(lists) / sizeof(lists[0]))


static int __attribute__((format(printf, 3, 4)))
role_fault(amld_role_fault_t *fault, const char *code, const char *format, ...)
{
    va_list args;

    fault->code = code;
    va_start(args, format);
    (void) vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);

    return -1;
}


/* Without regard to case, NULL for a null; two that differ in case only are a
 * fault. */
static int
role_member(const json_t *object, const char *name, json_t **value,
            amld_role_fault_t *fault)
{
    const char *key;
    json_t *v;
    int seen = 0;

    *value = NULL;

    json_object_foreach((json_t *) object, key, v)
    {
        if (strcasecmp(key, name) != 0) {
            continue;
        }
        if (seen++) {
            return role_fault(fault, "InvalidRequestContent",
                              "The member '%s' is there twice.", name);
        }
        *value = json_is_null(v) ? NULL : v;
    }

    return 0;
}


static int
role_string(const json_t *object, const char *name, const char **text,
            size_t most, amld_role_fault_t *fault)
{
    json_t *v;

    *text = NULL;

    if (role_member(object, name, &v, fault) != 0) {
        return -1;
    }
    if (v == NULL) {
        return 0;
    }
    if (!json_is_string(v) || json_string_length(v) > most ||
        !amld_role_printable(json_string_value(v))) {
        return role_fault(fault, "InvalidRequestContent",
                          "The member '%s' is not a string of at most %zu "
                          "bytes without control characters.",
                          name, most);
    }
    *text = json_string_value(v);

    return 0;
}


int
amld_role_printable(const char *text)
{
    const unsigned char *p;

    for (p = (const unsigned char *) text; *p != '\0'; p++) {
        /* U+0080 to U+009F drive terminals too */
        if (*p < ' ' || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0)) {
            return 0;
        }
    }

    return 1;
}


/* ---- who it is ---- */

static int
guid_of(const char *text, aml_principal_id_t *id)
{
    const char *slash;

    if (text == NULL) {
        return -1;
    }
    slash = strrchr(text, '/');

    return aml_uuid_parse(aml_str_of(slash != NULL ? slash + 1 : text), id);
}


/* `own` is where GUIDs are looked for: "id", and "name" where that is no
 * label. */
static int
role_identity(const json_t *in, int flat, const aml_principal_id_t *id,
              int custom, aml_principal_id_t *own, amld_role_fault_t *fault)
{
    const char *path, *name;
    aml_principal_id_t other;
    int found;

    if (role_string(in, "id", &path, TEXT_MAX, fault) != 0 ||
        role_string(in, "name", &name, TEXT_MAX, fault) != 0) {
        return -1;
    }

    found = guid_of(path, own) == 0;
    if (!flat && guid_of(name, &other) == 0) {
        if (found && !aml_principal_eq(own, &other)) {
            return role_fault(fault, "InvalidRequestContent",
                              "The members 'id' and 'name' are two different "
                              "GUIDs.");
        }
        *own = other;
        found = 1;
    }

    if (id != NULL) {
        if (found && !aml_principal_eq(own, id)) {
            return role_fault(fault, "InvalidRequestContent",
                              "The definition has another GUID than its "
                              "address.");
        }
        *own = *id;
        return 0;
    }

    if (found) {
        return 0;
    }
    if (!custom || (path != NULL && path[0] != '\0')) {
        return role_fault(fault, "InvalidRoleDefinitionId",
                          "No GUID names the definition.");
    }

    return aml_uuid_random(own) == 0 ? 0
                                     : role_fault(fault, "InternalServerError",
                                                  "There is no randomness.");
}


/* ---- what it allows ---- */

int
amld_role_pattern_valid(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789./-_*");

    return n > 0 && n <= PATTERN_MAX && text[n] == '\0';
}


static int
pattern_valid(const json_t *v)
{
    const char *text = json_string_value(v);

    return text != NULL && strlen(text) == json_string_length(v) &&
           amld_role_pattern_valid(text);
}


static json_t *
role_patterns(const json_t *object, const char *name, amld_role_fault_t *fault)
{
    json_t *array, *v;
    size_t i;

    if (role_member(object, name, &array, fault) != 0) {
        return NULL;
    }
    if (array == NULL) {
        return json_array();
    }
    if (!json_is_array(array) || json_array_size(array) > AMLD_ROLE_PATTERNS) {
        (void) role_fault(fault, "InvalidRequestContent",
                          "The member '%s' is not an array of at most %d "
                          "actions.",
                          name, AMLD_ROLE_PATTERNS);
        return NULL;
    }

    json_array_foreach(array, i, v)
    {
        if (!pattern_valid(v)) {
            (void) role_fault(fault, "InvalidActionOrNotAction",
                              "Item %zu of '%s' is no action. An action is 1 "
                              "to %d letters, digits and './-_', with '*' for "
                              "anything.",
                              i + 1, name, PATTERN_MAX);
            return NULL;
        }
    }

    return json_deep_copy(array);
}


/* Of a permission; of the flat format, which is one, also what else it has. */
static int
role_known(const json_t *object, int flat, amld_role_fault_t *fault)
{
    static const char *const known[] = {
        "actions",   "notActions",       "dataActions", "notDataActions",
        "condition", "conditionVersion", "name",        "id",
        "isCustom",  "description",      "roleName",    "type",
        "roleType",  "assignableScopes", "objectId",    "createdOn",
        "updatedOn", "createdBy",        "updatedBy",
    };
    const size_t own = LISTS + 2;
    const char *key;
    json_t *v;
    size_t i, n = flat ? sizeof(known) / sizeof(known[0]) : own;

    json_object_foreach((json_t *) object, key, v)
    {
        for (i = 0; i < n; i++) {
            if (strcasecmp(key, known[i]) == 0) {
                break;
            }
        }
        if (i == n) {
            return role_fault(fault, "InvalidRequestContent",
                              "A permission has no member '%.60s'.", key);
        }
    }

    return 0;
}


static int
role_condition(const json_t *object, amld_role_fault_t *fault)
{
    const char *text;

    if (role_string(object, "condition", &text, TEXT_MAX, fault) != 0) {
        return -1;
    }

    return text == NULL || text[0] == '\0'
               ? 0
               : role_fault(fault, "ConditionsNotSupported",
                            "Conditions are not supported: what holds under a "
                            "condition would hold without one.");
}


static json_t *
role_permission(const json_t *object, int flat, amld_role_fault_t *fault)
{
    json_t *permission, *list;
    size_t i;

    if (!json_is_object(object)) {
        (void) role_fault(fault, "InvalidRequestContent",
                          "A permission must be an object.");
        return NULL;
    }
    if (role_known(object, flat, fault) != 0 ||
        role_condition(object, fault) != 0) {
        return NULL;
    }

    permission = json_object();

    for (i = 0; i < LISTS; i++) {
        list = role_patterns(object, lists[i], fault);
        if (list == NULL ||
            json_object_set_new(permission, lists[i], list) != 0) {
            json_decref(permission);
            return NULL;
        }
    }

    return permission;
}


static json_t *
role_permissions(const json_t *body, amld_role_fault_t *fault)
{
    json_t *array, *list, *permission, *v;
    size_t i;

    if (role_member(body, "permissions", &array, fault) != 0) {
        return NULL;
    }
    if (array != NULL &&
        (!json_is_array(array) || json_array_size(array) == 0 ||
         json_array_size(array) > AMLD_ROLE_PERMISSIONS)) {
        (void) role_fault(fault, "InvalidRequestContent",
                          "The member 'permissions' is not an array of 1 to "
                          "%d objects.",
                          AMLD_ROLE_PERMISSIONS);
        return NULL;
    }

    list = json_array();

    for (i = 0; i < (array != NULL ? json_array_size(array) : 1); i++) {
        v = array != NULL ? json_array_get(array, i) : (json_t *) body;
        permission = role_permission(v, array == NULL, fault);
        if (permission == NULL || json_array_append_new(list, permission)) {
            json_decref(list);
            return NULL;
        }
    }

    return list;
}


/* ---- where ---- */

static json_t *
role_scopes(const json_t *body, int custom, amld_role_fault_t *fault)
{
    json_t *array, *v;
    size_t i;

    if (role_member(body, "assignableScopes", &array, fault) != 0) {
        return NULL;
    }
    if (array == NULL && !custom) {
        return json_pack("[s]", "/");
    }
    if (!json_is_array(array) || json_array_size(array) == 0 ||
        json_array_size(array) > AMLD_ROLE_SCOPES) {
        (void) role_fault(fault, "InvalidRequestContent",
                          "The member 'assignableScopes' is not an array of 1 "
                          "to %d scopes.",
                          AMLD_ROLE_SCOPES);
        return NULL;
    }

    json_array_foreach(array, i, v)
    {
        if (!json_is_string(v) || !amld_scope_valid(json_string_value(v))) {
            (void) role_fault(fault, "InvalidAssignableScope",
                              "Item %zu of 'assignableScopes' is no scope: "
                              "'/', or a path such as /subscriptions/… "
                              "without a slash at its end.",
                              i + 1);
            return NULL;
        }
    }

    return json_deep_copy(array);
}


/* ---- the whole ---- */

/* Two readers must not find two sets of actions in one definition. */
static int
role_one_place(const json_t *in, const json_t *properties, int permissions,
               amld_role_fault_t *fault)
{
    const json_t *objects[] = {in, properties};
    json_t *v;
    size_t i, k;

    if (properties == NULL && !permissions) {
        return 0;
    }

    if (properties != NULL) {
        if (permissions) {
            return role_fault(fault, "InvalidRequestContent",
                              "There are permissions in two places.");
        }
        if (role_member(properties, "permissions", &v, fault) != 0) {
            return -1;
        }
        if (v == NULL) {
            return role_fault(fault, "InvalidRequestContent",
                              "The member 'properties.permissions' is "
                              "missing.");
        }
    }

    for (k = 0; k < 2; k++) {
        for (i = 0; i < LISTS && objects[k] != NULL; i++) {
            if (role_member(objects[k], lists[i], &v, fault) != 0) {
                return -1;
            }
            if (v != NULL) {
                return role_fault(fault, "InvalidRequestContent",
                                  "There are permissions, and '%s' beside "
                                  "them.",
                                  lists[i]);
            }
        }
    }

    return 0;
}


static int
role_type_right(const json_t *in, const json_t *body, int custom,
                amld_role_fault_t *fault)
{
    const char *type, *flat;
    json_t *v;

    if (role_member(in, "isCustom", &v, fault) != 0 ||
        role_string(in, "roleType", &flat, TEXT_MAX, fault) != 0 ||
        role_string(body, "type", &type, TEXT_MAX, fault) != 0) {
        return -1;
    }
    if (!custom) {
        return 0;
    }

    if (body == in) {
        type = flat;
    }
    if (json_is_false(v) || (type != NULL && type[0] != '\0' &&
                             strcasecmp(type, "CustomRole") != 0)) {
        return role_fault(fault, "InvalidRequestContent",
                          "Only custom roles can be defined: the type is "
                          "'CustomRole'.");
    }

    return 0;
}


static int
role_label(const json_t *in, const json_t *body, int flat, const char **label,
           amld_role_fault_t *fault)
{
    aml_principal_id_t id;

    if (role_string(body, "roleName", label, AMLD_ROLE_NAME_MAX, fault) != 0) {
        return -1;
    }
    if (*label == NULL && flat &&
        role_string(in, "name", label, AMLD_ROLE_NAME_MAX, fault) != 0) {
        return -1;
    }

    if (*label == NULL || (*label)[0] == '\0' || (*label)[0] == ' ' ||
        (*label)[strlen(*label) - 1] == ' ' ||
        aml_uuid_parse(aml_str_of(*label), &id) == 0) {
        return role_fault(fault, "InvalidRoleDefinitionName",
                          "A role's name has 1 to %d bytes, no space at "
                          "either end, and is no GUID.",
                          AMLD_ROLE_NAME_MAX);
    }

    return 0;
}


static int
role_checked(const json_t *role, int custom, amld_role_fault_t *fault)
{
    aml_role_t *parsed = NULL;
    char err[128] = "no memory", *text;
    size_t n;

    text = json_dumps(role, JSON_COMPACT | JSON_SORT_KEYS);
    n = text != NULL ? strlen(text) : 0;
    if (text != NULL) {
        parsed = aml_role_parse(text, n, err, sizeof(err));
    }
    free(text);
    aml_role_free(parsed);

    if (parsed == NULL) {
        return role_fault(fault, "InvalidRequestContent",
                          "The definition can't be read: %s.", err);
    }
    if (custom && n > AMLD_ROLE_TEXT_MAX) {
        return role_fault(fault, "RoleDefinitionTooLarge",
                          "A definition has at most %d bytes.",
                          AMLD_ROLE_TEXT_MAX);
    }

    return 0;
}


json_t *
amld_role_normalise(const json_t *in, const aml_principal_id_t *id, int custom,
                    amld_role_fault_t *fault)
{
    char guid[AML_UUID_TEXT + 1];
    const char *label, *description;
    json_t *properties, *permissions = NULL, *scopes = NULL, *role = NULL, *v;
    const json_t *body;
    aml_principal_id_t own;
    int flat;

    if (!json_is_object(in)) {
        (void) role_fault(fault, "InvalidRequestContent",
                          "A role definition must be a JSON object.");
        return NULL;
    }

    if (role_member(in, "properties", &properties, fault) != 0 ||
        role_member(in, "permissions", &v, fault) != 0) {
        return NULL;
    }
    if (properties != NULL && !json_is_object(properties)) {
        (void) role_fault(fault, "InvalidRequestContent",
                          "The member 'properties' must be an object.");
        return NULL;
    }
    body = properties != NULL ? properties : in;

    /* The one format in which "Name" is the label. */
    flat = properties == NULL && v == NULL;

    if (role_one_place(in, properties, v != NULL, fault) != 0 ||
        role_identity(in, flat, id, custom, &own, fault) != 0 ||
        role_label(in, body, flat, &label, fault) != 0 ||
        role_string(body, "description", &description, TEXT_MAX, fault) != 0 ||
        role_type_right(in, body, custom, fault) != 0) {
        return NULL;
    }

    permissions = role_permissions(body, fault);
    if (permissions != NULL) {
        scopes = role_scopes(body, custom, fault);
    }
    if (scopes == NULL) {
        json_decref(permissions);
        return NULL;
    }

    aml_uuid_format(&own, guid);
    role = json_pack("{s:o,s:s,s:s,s:{s:s,s:s,s:s,s:o,s:o}}", "id",
                     json_sprintf("/providers/" DEFINITION_TYPE "/%s", guid),
                     "name", guid, "type", DEFINITION_TYPE, "properties",
                     "roleName", label, "type",
                     custom ? "CustomRole" : "BuiltInRole", "description",
                     description != NULL ? description : "", "assignableScopes",
                     scopes, "permissions", permissions);

    if (role == NULL || role_checked(role, custom, fault) != 0) {
        json_decref(role);
        return NULL;
    }

    return role;
}


/* ---- what it says ---- */

static const char *
role_property(const json_t *role, const char *name)
{
    const char *text;

    text = json_string_value(
        json_object_get(json_object_get(role, "properties"), name));

    return text != NULL ? text : "";
}


int
amld_role_custom(const json_t *role)
{
    return strcmp(role_property(role, "type"), "CustomRole") == 0;
}


const char *
amld_role_name(const json_t *role)
{
    return role_property(role, "roleName");
}


const json_t *
amld_role_scopes(const json_t *role)
{
    return json_object_get(json_object_get(role, "properties"),
                           "assignableScopes");
}


int
amld_role_within(const json_t *role, const char *within)
{
    json_t *v;
    size_t i;

    json_array_foreach(amld_role_scopes(role), i, v)
    {
        if (!aml_scope_covers(aml_str_of(within),
                              aml_str_of(json_string_value(v)))) {
            return 0;
        }
    }

    return 1;
}


int
amld_role_covers(const json_t *role, aml_str_t scope)
{
    json_t *v;
    size_t i;

    json_array_foreach(amld_role_scopes(role), i, v)
    {
        if (aml_scope_covers(aml_str_of(json_string_value(v)), scope)) {
            return 1;
        }
    }

    return 0;
}
