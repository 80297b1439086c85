/*
 * Role assignments: documents, their indexes, and the list that decides.
 */

#include "auth/assignments.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/principals.h"

#define ASSIGNMENT_SPACE "urn:aml:assignment"
#define AT_FAMILY "assignment-at"
#define OF_FAMILY "assignment-of/"
#define AT_VALUE (2 * AML_UUID_TEXT + 1)
#define OF_KEY (sizeof(OF_FAMILY) - 1 + 2 * AML_UUID_TEXT + 1)
#define OF_VALUE (AML_UUID_TEXT + 1) /* bytes before the scope */

static const char *const principal_types[AMLD_TYPE_COUNT] = {
    [AMLD_TYPE_USER] = "User",
    [AMLD_TYPE_GROUP] = "Group",
    [AMLD_TYPE_SERVICE] = "ServicePrincipal",
};


const char *
amld_principal_type_name(amld_principal_type_t type)
{
    return principal_types[type];
}


amld_principal_type_t
amld_principal_type_find(const char *name)
{
    size_t i;

    for (i = 0; i < AMLD_TYPE_COUNT; i++) {
        if (strcasecmp(principal_types[i], name) == 0) {
            break;
        }
    }

    return (amld_principal_type_t) i;
}


int
amld_scope_valid(const char *scope)
{
    const char *p;

    if (scope[0] != '/' || strlen(scope) > AMLD_SCOPE_MAX) {
        return 0;
    }

    if (scope[1] == '\0') {
        return 1;
    }

    for (p = scope; *p != '\0'; p++) {
        if (*p == '/') {
            if (p[1] == '/' || p[1] == '\0') {
                return 0;
            }
        } else if (!isalnum((unsigned char) *p) &&
                   strchr("-._()", *p) == NULL) {
            return 0;
        }
    }

    return 1;
}


/* ---- keys ---- */

static size_t
key_of_document(char key[AML_REGISTRY_KEY_MAX + 1],
                const aml_principal_id_t *id)
{
    char uuid[AML_UUID_TEXT + 1];

    aml_uuid_format(id, uuid);

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, "assignment/%s",
                             uuid);
}


static size_t
key_of_principal(char key[AML_REGISTRY_KEY_MAX + 1],
                 const aml_principal_id_t *principal,
                 const aml_principal_id_t *id)
{
    char uuid[AML_UUID_TEXT + 1], last[AML_UUID_TEXT + 1] = "";

    aml_uuid_format(principal, uuid);
    if (id != NULL) {
        aml_uuid_format(id, last);
    }

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, OF_FAMILY "%s/%s",
                             uuid, last);
}


/* `end` is "//" and a GUID for one assignment, "//" for all at the scope, "/"
 * for those below it too.  0 when it is too long. */
static size_t
key_of_scope(char key[AML_REGISTRY_KEY_MAX + 1], const char *scope,
             const char *end)
{
    size_t i;
    int n;

    n = snprintf(key, AML_REGISTRY_KEY_MAX + 1, AT_FAMILY "%s%s",
                 scope[1] == '\0' ? "" : scope, end);
    if (n < 0 || n > AML_REGISTRY_KEY_MAX) {
        return 0;
    }

    for (i = 0; i < (size_t) n; i++) {
        key[i] = (char) tolower((unsigned char) key[i]);
    }

    return (size_t) n;
}


static size_t
key_at_scope(char key[AML_REGISTRY_KEY_MAX + 1], const char *scope,
             const aml_principal_id_t *id)
{
    char end[2 + AML_UUID_TEXT + 1] = "//";

    aml_uuid_format(id, end + 2);

    return key_of_scope(key, scope, end);
}


/* ---- documents ---- */

static int
take_text(json_t *json, const char *member, char *text, size_t size)
{
    const char *value;

    value = json_string_value(json_object_get(json, member));
    if (value == NULL || strlen(value) >= size) {
        return -1;
    }
    memcpy(text, value, strlen(value) + 1);

    return 0;
}


static int
take_id(json_t *json, const char *member, aml_principal_id_t *id)
{
    json_t *value;

    value = json_object_get(json, member);

    return aml_uuid_parse(
        (aml_str_t){json_string_value(value), json_string_length(value)}, id);
}


static int
assignment_decode(aml_str_t value, amld_assignment_t *a)
{
    char type[32];
    json_t *json;
    int rc = -1;

    memset(a, 0, sizeof(*a));

    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    if (take_id(json, "id", &a->id) == 0 &&
        take_id(json, "principal", &a->principal) == 0 &&
        take_id(json, "role", &a->role) == 0 &&
        take_text(json, "principalType", type, sizeof(type)) == 0 &&
        take_text(json, "scope", a->scope, sizeof(a->scope)) == 0 &&
        take_text(json, "description", a->description,
                  sizeof(a->description)) == 0 &&
        take_text(json, "createdOn", a->created_on, sizeof(a->created_on)) ==
            0 &&
        take_text(json, "updatedOn", a->updated_on, sizeof(a->updated_on)) ==
            0 &&
        take_text(json, "createdBy", a->created_by, sizeof(a->created_by)) ==
            0 &&
        take_text(json, "updatedBy", a->updated_by, sizeof(a->updated_by)) ==
            0) {
        a->type = amld_principal_type_find(type);
        rc = a->type < AMLD_TYPE_COUNT && amld_scope_valid(a->scope) ? 0 : -1;
    }

    json_decref(json);

    return rc;
}


static aml_registry_rc_t
document_put(aml_registry_txn_t *txn, const amld_assignment_t *a)
{
    char key[AML_REGISTRY_KEY_MAX + 1], id[AML_UUID_TEXT + 1],
        principal[AML_UUID_TEXT + 1], role[AML_UUID_TEXT + 1], *text;
    aml_registry_rc_t rc;
    json_t *json;

    aml_uuid_format(&a->id, id);
    aml_uuid_format(&a->principal, principal);
    aml_uuid_format(&a->role, role);

    json = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "id", id,
                     "principal", principal, "principalType",
                     amld_principal_type_name(a->type), "role", role, "scope",
                     a->scope, "description", a->description, "createdOn",
                     a->created_on, "updatedOn", a->updated_on, "createdBy",
                     a->created_by, "updatedBy", a->updated_by);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, key, key_of_document(key, &a->id), text,
                          strlen(text));
    free(text);

    return rc;
}


/* The document and both indexes. */
static aml_registry_rc_t
documents_put(aml_registry_txn_t *txn, const amld_assignment_t *a)
{
    char key[AML_REGISTRY_KEY_MAX + 1], principal[AML_UUID_TEXT + 1],
        role[AML_UUID_TEXT + 1], value[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    size_t n;

    n = key_at_scope(key, a->scope, &a->id);
    if (n == 0 || !amld_scope_valid(a->scope)) {
        return AML_REGISTRY_TOOLONG;
    }

    aml_uuid_format(&a->principal, principal);
    aml_uuid_format(&a->role, role);

    (void) snprintf(value, sizeof(value), "%s %s", principal, role);
    rc = aml_registry_put(txn, key, n, value, AT_VALUE);

    if (rc == AML_REGISTRY_OK) {
        (void) snprintf(value, sizeof(value), "%s %s", role, a->scope);
        rc = aml_registry_put(txn, key,
                              key_of_principal(key, &a->principal, &a->id),
                              value, strlen(value));
    }

    return rc == AML_REGISTRY_OK ? document_put(txn, a) : rc;
}


static aml_registry_rc_t
delete_key(aml_registry_txn_t *txn, const char *key, size_t n)
{
    aml_registry_rc_t rc;

    rc = aml_registry_del(txn, key, n);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


aml_registry_rc_t
amld_assignment_forget(aml_registry_txn_t *txn, const amld_assignment_t *a)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;

    rc = delete_key(txn, key, key_at_scope(key, a->scope, &a->id));

    if (rc == AML_REGISTRY_OK) {
        rc = delete_key(txn, key, key_of_principal(key, &a->principal, &a->id));
    }
    if (rc == AML_REGISTRY_OK) {
        rc = delete_key(txn, key, key_of_document(key, &a->id));
    }

    return rc;
}


aml_registry_rc_t
amld_assignment_get(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                    amld_assignment_t *a)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_str_t value;

    rc = aml_registry_get(txn, key, key_of_document(key, id), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return assignment_decode(value, a) == 0 && aml_principal_eq(&a->id, id)
               ? AML_REGISTRY_OK
               : AML_REGISTRY_CORRUPT;
}


/* ---- walks ---- */

typedef struct {
    amld_assignment_each_pt each;
    void *data;
    aml_registry_rc_t rc;
} walk_t;


/* A UUID at the start, or the end, of `s`. */
static int
uuid_first(aml_str_t s, aml_principal_id_t *id)
{
    return s.n < AML_UUID_TEXT
               ? -1
               : aml_uuid_parse((aml_str_t){s.p, AML_UUID_TEXT}, id);
}


static int
uuid_last(aml_str_t s, aml_principal_id_t *id)
{
    return s.n < AML_UUID_TEXT
               ? -1
               : aml_uuid_parse(
                     (aml_str_t){s.p + s.n - AML_UUID_TEXT, AML_UUID_TEXT}, id);
}


static int
walk_of(void *data, aml_str_t key, aml_str_t value)
{
    walk_t *walk = data;
    amld_assignment_entry_t entry;
    aml_str_t rest;

    if (key.n != OF_KEY || value.n < OF_VALUE + 1) {
        walk->rc = AML_REGISTRY_CORRUPT;
        return 1;
    }

    rest = (aml_str_t){key.p + sizeof(OF_FAMILY) - 1,
                       key.n - (sizeof(OF_FAMILY) - 1)};
    entry.key = key;
    entry.scope = (aml_str_t){value.p + OF_VALUE, value.n - OF_VALUE};

    if (uuid_first(rest, &entry.principal) != 0 ||
        uuid_last(rest, &entry.id) != 0 ||
        uuid_first(value, &entry.role) != 0) {
        walk->rc = AML_REGISTRY_CORRUPT;
        return 1;
    }

    return walk->each(walk->data, &entry);
}


aml_registry_rc_t
amld_assignments_of(aml_registry_txn_t *txn,
                    const aml_principal_id_t *principal, aml_str_t from,
                    amld_assignment_each_pt each, void *data)
{
    walk_t walk = {each, data, AML_REGISTRY_OK};
    char prefix[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    size_t n;

    n = key_of_principal(prefix, principal, NULL);
    rc = aml_registry_each(txn, (aml_str_t){prefix, n}, from, walk_of, &walk);

    return rc == AML_REGISTRY_OK ? walk.rc : rc;
}


static int
walk_at(void *data, aml_str_t key, aml_str_t value)
{
    walk_t *walk = data;
    amld_assignment_entry_t entry;
    size_t tail = 2 + AML_UUID_TEXT;

    if (key.n < sizeof(AT_FAMILY) - 1 + tail || value.n != AT_VALUE ||
        uuid_last(key, &entry.id) != 0 ||
        uuid_first(value, &entry.principal) != 0 ||
        uuid_last(value, &entry.role) != 0) {
        walk->rc = AML_REGISTRY_CORRUPT;
        return 1;
    }

    entry.key = key;
    entry.scope = (aml_str_t){key.p + sizeof(AT_FAMILY) - 1,
                              key.n - tail - (sizeof(AT_FAMILY) - 1)};
    if (entry.scope.n == 0) {
        entry.scope = aml_str("/");
    }

    return walk->each(walk->data, &entry);
}


aml_registry_rc_t
amld_assignments_at(aml_registry_txn_t *txn, const char *scope, int below,
                    aml_str_t from, amld_assignment_each_pt each, void *data)
{
    walk_t walk = {each, data, AML_REGISTRY_OK};
    char prefix[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    size_t n;

    n = key_of_scope(prefix, scope, below ? "/" : "//");
    if (n == 0) {
        return AML_REGISTRY_OK;
    }

    rc = aml_registry_each(txn, (aml_str_t){prefix, n}, from, walk_at, &walk);

    return rc == AML_REGISTRY_OK ? walk.rc : rc;
}


typedef struct {
    const aml_principal_id_t *role;
    const char *scope;
    aml_principal_id_t id;
    int found;
} find_t;


static int
find_each(void *data, const amld_assignment_entry_t *entry)
{
    find_t *find = data;

    if (aml_principal_eq(&entry->role, find->role) &&
        aml_str_caseeq(entry->scope, aml_str_of(find->scope))) {
        find->id = entry->id;
        find->found = 1;
    }

    return find->found;
}


aml_registry_rc_t
amld_assignment_find(aml_registry_txn_t *txn,
                     const aml_principal_id_t *principal,
                     const aml_principal_id_t *role, const char *scope,
                     amld_assignment_t *a)
{
    find_t find = {.role = role, .scope = scope};
    aml_registry_rc_t rc;

    rc = amld_assignments_of(txn, principal, (aml_str_t){NULL, 0}, find_each,
                             &find);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return find.found ? amld_assignment_get(txn, &find.id, a)
                      : AML_REGISTRY_NOTFOUND;
}


aml_registry_rc_t
amld_assignment_id(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
                   const aml_principal_id_t *role, const char *scope,
                   aml_principal_id_t *id)
{
    char subject[AML_REGISTRY_KEY_MAX + 128], one[AML_UUID_TEXT + 1],
        two[AML_UUID_TEXT + 1], key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_str_t value;
    char *p;

    aml_uuid_format(principal, one);
    aml_uuid_format(role, two);
    (void) snprintf(subject, sizeof(subject), "%s %s %.*s", one, two,
                    AMLD_SCOPE_MAX, scope);
    for (p = subject; *p != '\0'; p++) {
        *p = (char) tolower((unsigned char) *p);
    }

    if (aml_principal_derive(aml_str(ASSIGNMENT_SPACE), aml_str_of(subject),
                             id) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_get(txn, key, key_of_document(key, id), &value);
    if (rc == AML_REGISTRY_OK) {
        if (aml_uuid_random(id) == 0) {
            return AML_REGISTRY_OK;
        }
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* ---- changes ---- */

static aml_str_t
scope_of(const amld_assignment_t *a)
{
    return (aml_str_t){a->scope, strlen(a->scope)};
}


static aml_registry_rc_t
list_change(aml_registry_txn_t *txn, const amld_assignment_t *a, int add)
{
    amld_principal_t p;
    aml_registry_rc_t rc;
    size_t i;

    rc = amld_principal_load(txn, &a->principal, &p);
    if (rc != AML_REGISTRY_OK) {
        goto done;
    }

    i = amld_principal_entry(&p, &a->role, scope_of(a));

    if (add && i == p.count) {
        /* the list has room for one more than it has */
        p.list[p.count].role = a->role;
        p.list[p.count].scope = scope_of(a);
        p.count++;
        rc = amld_principal_store(txn, &a->principal, &p);

    } else if (!add && i < p.count) {
        memmove(&p.list[i], &p.list[i + 1],
                (p.count - i - 1) * sizeof(*p.list));
        p.count--;
        rc = amld_principal_store(txn, &a->principal, &p);
    }

done:

    amld_principal_clear(&p);

    return rc;
}


aml_registry_rc_t
amld_assignment_add(aml_registry_txn_t *txn, const amld_assignment_t *a)
{
    aml_registry_rc_t rc;

    rc = list_change(txn, a, 1);

    return rc == AML_REGISTRY_OK ? documents_put(txn, a) : rc;
}


aml_registry_rc_t
amld_assignment_update(aml_registry_txn_t *txn, const amld_assignment_t *a)
{
    return document_put(txn, a);
}


aml_registry_rc_t
amld_assignment_remove(aml_registry_txn_t *txn, const amld_assignment_t *a)
{
    aml_registry_rc_t rc;

    rc = list_change(txn, a, 0);
    if (rc == AML_REGISTRY_NOTFOUND) {
        rc = AML_REGISTRY_OK;
    }

    return rc == AML_REGISTRY_OK ? amld_assignment_forget(txn, a) : rc;
}


/* What a walk finds, to be written behind it: no documents are needed. */
typedef struct {
    amld_assignment_t *list;
    size_t n;
    size_t size;
    int failed;
} found_t;


static int
found_add(void *data, const amld_assignment_entry_t *entry)
{
    found_t *found = data;
    amld_assignment_t *a;
    size_t size;

    if (found->n == found->size) {
        size = found->size == 0 ? 8 : found->size * 2;
        a = realloc(found->list, size * sizeof(*a));
        if (a == NULL) {
            found->failed = 1;
            return 1;
        }
        found->list = a;
        found->size = size;
    }

    a = &found->list[found->n++];
    a->id = entry->id;
    a->principal = entry->principal;
    a->role = entry->role;
    (void) snprintf(a->scope, sizeof(a->scope), "%.*s", (int) entry->scope.n,
                    entry->scope.p);

    return 0;
}


static aml_registry_rc_t
found_remove(aml_registry_txn_t *txn, found_t *found, aml_registry_rc_t rc)
{
    size_t i;

    if (rc == AML_REGISTRY_OK && found->failed) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    if (found->list == NULL) {
        return rc;
    }

    for (i = 0; i < found->n && rc == AML_REGISTRY_OK; i++) {
        rc = amld_assignment_remove(txn, &found->list[i]);
    }
    free(found->list);

    return rc;
}


aml_registry_rc_t
amld_assignments_end_of(aml_registry_txn_t *txn,
                        const aml_principal_id_t *principal)
{
    found_t found = {0};
    aml_registry_rc_t rc;

    rc = amld_assignments_of(txn, principal, (aml_str_t){NULL, 0}, found_add,
                             &found);

    return found_remove(txn, &found, rc);
}


aml_registry_rc_t
amld_assignments_end_below(aml_registry_txn_t *txn, const char *scope)
{
    found_t found = {0};
    aml_registry_rc_t rc;

    rc = amld_assignments_at(txn, scope, 1, (aml_str_t){NULL, 0}, found_add,
                             &found);

    return found_remove(txn, &found, rc);
}
