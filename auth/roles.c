#include "auth/roles.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PATTERN_MAX 1024
#define SHORT_PIECE 8

typedef struct {
    size_t count;
    aml_str_t *items; /* into the role's JSON */
} pattern_list_t;

typedef struct {
    pattern_list_t actions;
    pattern_list_t not_actions;
} permission_t;

struct aml_role {
    json_t *json; /* keeps the strings alive */
    json_t *body; /* the object in it that has the members */
    const char *name;
    aml_principal_id_t id;
    size_t count;
    permission_t permissions[];
};


/* ---- matching ---- */

static char
fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}


static int
piece_at(const char *piece, const char *text, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (fold(piece[i]) != fold(text[i])) {
            return 0;
        }
    }

    return 1;
}


/*
 * Where in `text` from `from` on the piece is first; text.n + 1 when it is
 * not.  By Knuth, Morris and Pratt where that could take long: everybody's
 * requests wait while a worker looks through the roles of one.
 */
static size_t
piece_find(const char *piece, size_t n, aml_str_t text, size_t from)
{
    uint16_t back[PATTERN_MAX];
    size_t i, k;

    if (n > text.n - from) {
        return text.n + 1;
    }

    if (n <= SHORT_PIECE || n > PATTERN_MAX) {
        for (i = from; n <= text.n - i; i++) {
            if (piece_at(piece, text.p + i, n)) {
                return i;
            }
        }
        return text.n + 1;
    }

    /* back[i]: of the first i + 1 characters the longest end that is also a
     * beginning */
    back[0] = 0;
    for (i = 1, k = 0; i < n; i++) {
        while (k > 0 && fold(piece[i]) != fold(piece[k])) {
            k = back[k - 1];
        }
        k += fold(piece[i]) == fold(piece[k]);
        back[i] = (uint16_t) k;
    }

    for (i = from, k = 0; i < text.n; i++) {
        while (k > 0 && fold(text.p[i]) != fold(piece[k])) {
            k = back[k - 1];
        }
        k += fold(text.p[i]) == fold(piece[k]);
        if (k == n) {
            return i + 1 - n;
        }
    }

    return text.n + 1;
}


/*
 * The pattern is cut at its stars.  Each piece is taken as early as it can be:
 * what is possible behind a later place is possible behind an earlier one, so
 * nothing is ever tried twice.
 */
int
aml_role_match(aml_str_t pattern, aml_str_t action)
{
    const char *p, *stop, *end;
    size_t at = 0, from, n;
    int first = 1;

    if (pattern.n == 0) {
        return action.n == 0;
    }
    if (action.n == 0) {
        action.p = "";
    }

    p = pattern.p;
    end = p + pattern.n;

    for (;;) {
        stop = memchr(p, '*', (size_t) (end - p));
        if (stop == NULL) {
            stop = end;
        }
        n = (size_t) (stop - p);
        from = at;

        /* "/" "*" "/" may be one '/': the one that was just taken. */
        if (!first && n > 0 && *p == '/' && at > 0 && p - pattern.p >= 2 &&
            p[-2] == '/') {
            from = at - 1;
        }

        if (stop == end) {
            if (first) {
                return n == action.n && piece_at(p, action.p, n);
            }
            return n <= action.n - from &&
                   piece_at(p, action.p + (action.n - n), n);
        }

        if (first) {
            if (n > action.n || !piece_at(p, action.p, n)) {
                return 0;
            }
        } else {
            from = piece_find(p, n, action, from);
            if (from == action.n + 1) {
                return 0;
            }
        }

        at = from + n;
        first = 0;
        p = stop + 1;
    }
}


int
aml_scope_covers(aml_str_t at, aml_str_t scope)
{
    if (at.n == 0 || at.p[0] != '/' || scope.n == 0 || scope.p[0] != '/') {
        return 0;
    }
    if (at.n == 1) {
        return 1;
    }
    if (scope.n < at.n || strncasecmp(at.p, scope.p, at.n) != 0) {
        return 0;
    }

    return scope.n == at.n || (at.p[at.n - 1] != '/' && scope.p[at.n] == '/');
}


static int
any_matches(const pattern_list_t *list, aml_str_t action)
{
    size_t i;

    for (i = 0; i < list->count; i++) {
        if (aml_role_match(list->items[i], action)) {
            return 1;
        }
    }

    return 0;
}


int
aml_role_allows(const aml_role_t *role, aml_str_t action)
{
    const permission_t *p;
    size_t i;

    if (action.n == 0) {
        return 0;
    }

    for (i = 0; i < role->count; i++) {
        p = &role->permissions[i];
        if (any_matches(&p->actions, action) &&
            !any_matches(&p->not_actions, action)) {
            return 1;
        }
    }

    return 0;
}


int
aml_role_takes_back(const aml_role_t *role, aml_str_t action)
{
    size_t i;

    if (action.n == 0 || aml_role_allows(role, action)) {
        return 0;
    }

    for (i = 0; i < role->count; i++) {
        if (any_matches(&role->permissions[i].actions, action)) {
            return 1;
        }
    }

    return 0;
}


/* ---- reading ---- */

typedef struct {
    char *text;
    size_t size;
} complaint_t;


static int __attribute__((format(printf, 2, 3)))
complain(const complaint_t *c, const char *format, ...)
{
    va_list args;

    if (c->size > 0) {
        va_start(args, format);
        vsnprintf(c->text, c->size, format, args);
        va_end(args);
    }

    return -1;
}


/*
 * Member by name without regard to case; NULL in *value when it is missing or
 * null.  Two that differ in case only are an error: what one reader takes for
 * NotActions, another would not see.
 */
static int
member(json_t *object, const char *name, json_t **value, const complaint_t *c)
{
    const char *key;
    json_t *v;
    int seen = 0;

    *value = NULL;

    json_object_foreach(object, key, v)
    {
        if (strcasecmp(key, name) != 0) {
            continue;
        }
        if (seen) {
            return complain(c, "\"%s\" is there twice", name);
        }
        seen = 1;
        *value = json_is_null(v) ? NULL : v;
    }

    return 0;
}


static int
string_member(json_t *object, const char *name, const char **text,
              const complaint_t *c)
{
    json_t *v;

    *text = NULL;

    if (member(object, name, &v, c) != 0) {
        return -1;
    }
    if (v == NULL) {
        return 0;
    }
    if (!json_is_string(v)) {
        return complain(c, "\"%s\" is not a string", name);
    }
    *text = json_string_value(v);

    return 0;
}


static int
read_patterns(json_t *object, const char *name, pattern_list_t *list,
              const complaint_t *c)
{
    json_t *array, *v;
    size_t i;

    list->count = 0;
    list->items = NULL;

    if (member(object, name, &array, c) != 0) {
        return -1;
    }
    if (array == NULL) {
        return 0;
    }
    if (!json_is_array(array)) {
        return complain(c, "\"%s\" is not an array", name);
    }
    if (json_array_size(array) == 0) {
        return 0;
    }

    list->items = calloc(json_array_size(array), sizeof(aml_str_t));
    if (list->items == NULL) {
        return complain(c, "no memory");
    }

    json_array_foreach(array, i, v)
    {
        if (!json_is_string(v) || json_string_length(v) == 0 ||
            json_string_length(v) > PATTERN_MAX) {
            return complain(c, "\"%s\" has something other than an action",
                            name);
        }
        list->items[i] =
            (aml_str_t){json_string_value(v), json_string_length(v)};
    }
    list->count = json_array_size(array);

    return 0;
}


/* Frees nothing on failure: aml_role_free() does, with the role. */
static int
read_permission(json_t *object, permission_t *p, const complaint_t *c)
{
    const char *condition;

    if (!json_is_object(object)) {
        return complain(c, "a permission is not an object");
    }
    if (string_member(object, "condition", &condition, c) != 0) {
        return -1;
    }
    if (condition != NULL && condition[0] != '\0') {
        return complain(c, "conditions are not supported");
    }
    if (read_patterns(object, "actions", &p->actions, c) != 0 ||
        read_patterns(object, "notActions", &p->not_actions, c) != 0) {
        return -1;
    }

    return 0;
}


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


/* In ARM's shape "id" is a path and "name" the GUID; in the other "Id" is the
 * GUID and "Name" the label.  A label is not asked to be a GUID. */
static int
read_id(json_t *root, int arm, aml_principal_id_t *id, const complaint_t *c)
{
    const char *path, *name;
    aml_principal_id_t other;

    if (string_member(root, "id", &path, c) != 0 ||
        string_member(root, "name", &name, c) != 0) {
        return -1;
    }

    if (guid_of(path, id) != 0) {
        return guid_of(name, id) == 0 ? 0 : complain(c, "no GUID names it");
    }
    if (arm && guid_of(name, &other) == 0 && !aml_principal_eq(id, &other)) {
        return complain(c, "\"id\" and \"name\" are two different GUIDs");
    }

    return 0;
}


/* Where there are permissions, no actions beside them. */
static int
one_place(json_t *root, json_t *body, const complaint_t *c)
{
    static const char *const lists[] = {"actions", "notActions", "dataActions",
                                        "notDataActions"};
    json_t *v;
    size_t i;

    if (body != root) {
        if (member(root, "permissions", &v, c) != 0) {
            return -1;
        }
        if (v != NULL) {
            return complain(c, "it has permissions in two places");
        }
    }

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (member(root, lists[i], &v, c) != 0) {
            return -1;
        }
        if (v == NULL && body != root && member(body, lists[i], &v, c) != 0) {
            return -1;
        }
        if (v != NULL) {
            return complain(c, "it has permissions, and \"%s\" beside them",
                            lists[i]);
        }
    }

    return 0;
}


static aml_role_t *
read_role(json_t *root, const complaint_t *c)
{
    json_t *body, *permissions;
    aml_role_t *role;
    const char *label;
    size_t i, count;

    if (!json_is_object(root)) {
        complain(c, "not an object");
        return NULL;
    }

    if (member(root, "properties", &body, c) != 0) {
        return NULL;
    }
    if (body == NULL) {
        body = root;
    } else if (!json_is_object(body)) {
        complain(c, "\"properties\" is not an object");
        return NULL;
    }

    if (member(body, "permissions", &permissions, c) != 0 ||
        string_member(body, "roleName", &label, c) != 0) {
        return NULL;
    }
    if (permissions != NULL && !json_is_array(permissions)) {
        complain(c, "\"permissions\" is not an array");
        return NULL;
    }
    if (permissions == NULL && body != root) {
        complain(c, "\"properties\" has no \"permissions\"");
        return NULL;
    }
    if (permissions != NULL && one_place(root, body, c) != 0) {
        return NULL;
    }
    if (label == NULL && string_member(root, "name", &label, c) != 0) {
        return NULL;
    }
    if (label == NULL || label[0] == '\0') {
        complain(c, "it has no name");
        return NULL;
    }

    count = permissions != NULL ? json_array_size(permissions) : 1;
    role = calloc(1, sizeof(*role) + count * sizeof(permission_t));
    if (role == NULL) {
        complain(c, "no memory");
        return NULL;
    }
    role->count = count;
    role->name = label;
    role->json = json_incref(root);
    role->body = body;

    if (read_id(root, permissions != NULL, &role->id, c) != 0) {
        goto failed;
    }

    for (i = 0; i < count; i++) {
        if (read_permission(permissions != NULL ? json_array_get(permissions, i)
                                                : root,
                            &role->permissions[i], c) != 0) {
            goto failed;
        }
    }

    return role;

failed:

    aml_role_free(role);

    return NULL;
}


aml_role_t *
aml_role_parse(const char *json, size_t n, char *err, size_t errlen)
{
    complaint_t c = {err, errlen};
    json_error_t error;
    aml_role_t *role;
    json_t *root;

    complain(&c, "%s", "");

    root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        complain(&c, "line %d: %s", error.line, error.text);
        return NULL;
    }

    role = read_role(root, &c);
    json_decref(root);

    return role;
}


void
aml_role_free(aml_role_t *role)
{
    size_t i;

    if (role == NULL) {
        return;
    }

    for (i = 0; i < role->count; i++) {
        free(role->permissions[i].actions.items);
        free(role->permissions[i].not_actions.items);
    }
    json_decref(role->json);
    free(role);
}


const aml_principal_id_t *
aml_role_id(const aml_role_t *role)
{
    return &role->id;
}


const char *
aml_role_name(const aml_role_t *role)
{
    return role->name;
}


int
aml_role_assignable(const aml_role_t *role, aml_str_t scope)
{
    const complaint_t c = {NULL, 0};
    json_t *scopes, *v;
    size_t i;

    if (member(role->body, "assignableScopes", &scopes, &c) != 0) {
        return 0;
    }
    if (scopes == NULL) {
        return 1;
    }

    json_array_foreach(scopes, i, v)
    {
        if (aml_scope_covers(
                (aml_str_t){json_string_value(v), json_string_length(v)},
                scope)) {
            return 1;
        }
    }

    return 0;
}


int
aml_role_custom(const aml_role_t *role)
{
    const complaint_t c = {NULL, 0};
    const char *type;
    json_t *v;

    if (member(role->body, "isCustom", &v, &c) == 0 && json_is_true(v)) {
        return 1;
    }

    return (string_member(role->body, "type", &type, &c) == 0 && type != NULL &&
            strcasecmp(type, "CustomRole") == 0) ||
           (string_member(role->body, "roleType", &type, &c) == 0 &&
            type != NULL && strcasecmp(type, "CustomRole") == 0);
}
