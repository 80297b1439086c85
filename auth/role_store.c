/*
 * Role definitions and assignments in the registry.
 */

#include "auth/role_store.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/principals.h"
#include "auth/roles.h"
#include "computes/amld.h"


/* ---- definitions ---- */

/* 1 when it was written, 0 when it was there, -1 when it is not one. */
static int
role_put(aml_registry_txn_t *txn, const char *file, size_t index, json_t *json,
         aml_registry_rc_t *rc)
{
    char key[AML_REGISTRY_KEY_MAX + 1], err[256], *text;
    aml_role_t *role;
    aml_str_t value;
    size_t n;
    int changed;

    text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: no memory", file);
        return -1;
    }

    role = aml_role_parse(text, strlen(text), err, sizeof(err));
    if (role == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: role %zu: %s", file, index + 1, err);
        free(text);
        return -1;
    }

    n = aml_key_role(key, aml_role_id(role));
    aml_role_free(role);

    *rc = aml_registry_get(txn, key, n, &value);
    changed = *rc != AML_REGISTRY_OK || !aml_str_eq(value, aml_str_of(text));

    if (*rc == AML_REGISTRY_OK || *rc == AML_REGISTRY_NOTFOUND) {
        *rc = changed ? aml_registry_put(txn, key, n, text, strlen(text))
                      : AML_REGISTRY_OK;
    }

    free(text);

    return *rc == AML_REGISTRY_OK ? changed : -1;
}


static int
roles_put(aml_registry_t *registry, const char *file, json_t *list)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    size_t i, written = 0;
    json_t *json;
    int put;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", file, aml_registry_strerror(rc));
        return -1;
    }

    json_array_foreach(list, i, json)
    {
        put = role_put(txn, file, i, json, &rc);
        if (put < 0) {
            if (rc != AML_REGISTRY_OK) {
                amld_log(AMLD_LOG_ERROR, "%s: %s", file,
                         aml_registry_strerror(rc));
            }
            aml_registry_end(txn);
            return -1;
        }
        written += (size_t) put;
    }

    if (written == 0) {
        aml_registry_end(txn);
        return 0;
    }

    rc = aml_registry_commit(txn);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", file, aml_registry_strerror(rc));
        return -1;
    }

    amld_log(AMLD_LOG_INFO, "roles: %zu definitions new or changed", written);

    return 0;
}


int
amld_roles_load(aml_registry_t *registry, const char *file)
{
    json_error_t error;
    json_t *list;
    int rc;

    list = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
    if (list == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s:%d: %s", file, error.line, error.text);
        return -1;
    }

    if (!json_is_array(list)) {
        amld_log(AMLD_LOG_ERROR, "%s: is not an array of roles", file);
        json_decref(list);
        return -1;
    }

    rc = roles_put(registry, file, list);
    json_decref(list);

    return rc;
}


typedef struct {
    const char *name;
    aml_principal_id_t *id;
    int found;
} role_search_t;


static int
role_search(void *data, aml_str_t key, aml_str_t value)
{
    role_search_t *search = data;
    aml_role_t *role;
    char err[64];

    (void) key;

    role = aml_role_parse(value.p, value.n, err, sizeof(err));
    if (role != NULL && strcasecmp(aml_role_name(role), search->name) == 0) {
        *search->id = *aml_role_id(role);
        search->found = 1;
    }
    aml_role_free(role);

    return search->found;
}


aml_registry_rc_t
amld_role_find(aml_registry_txn_t *txn, const char *text,
               aml_principal_id_t *id)
{
    role_search_t search = {.name = text, .id = id};
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_str_t value;

    if (aml_uuid_parse(aml_str_of(text), id) == 0) {
        return aml_registry_get(txn, key, aml_key_role(key, id), &value);
    }

    rc = aml_registry_each(txn, aml_str("role/"), (aml_str_t){NULL, 0},
                           role_search, &search);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return search.found ? AML_REGISTRY_OK : AML_REGISTRY_NOTFOUND;
}


void
amld_role_label(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                char *name, size_t size)
{
    char key[AML_REGISTRY_KEY_MAX + 1], uuid[AML_UUID_TEXT + 1], err[64];
    aml_role_t *role = NULL;
    aml_str_t value;

    if (aml_registry_get(txn, key, aml_key_role(key, id), &value) ==
        AML_REGISTRY_OK) {
        role = aml_role_parse(value.p, value.n, err, sizeof(err));
    }

    aml_uuid_format(id, uuid);
    (void) snprintf(name, size, "%s",
                    role != NULL ? aml_role_name(role) : uuid);
    aml_role_free(role);
}


/* ---- assignments ---- */

int
amld_scope_valid(const char *scope)
{
    const char *p;

    if (scope[0] != '/' || strlen(scope) > 1024) {
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


static size_t
role_assigned(const amld_principal_t *p, const aml_principal_id_t *role,
              const char *scope)
{
    size_t i;

    for (i = 0; i < p->count; i++) {
        if (aml_principal_eq(&p->list[i].role, role) &&
            aml_str_caseeq(p->list[i].scope, aml_str_of(scope))) {
            break;
        }
    }

    return i;
}


static aml_registry_rc_t
role_change(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
            const aml_principal_id_t *role, const char *scope, int assign)
{
    amld_principal_t p;
    aml_registry_rc_t rc;
    size_t i;

    rc = amld_principal_load(txn, principal, &p);
    if (rc != AML_REGISTRY_OK) {
        goto done;
    }

    i = role_assigned(&p, role, scope);

    if (assign && i == p.count) {
        /* the list has room for one more than it has */
        p.list[p.count].role = *role;
        p.list[p.count].scope = aml_str_of(scope);
        p.count++;
        rc = amld_principal_store(txn, principal, &p);

    } else if (!assign && i < p.count) {
        memmove(&p.list[i], &p.list[i + 1],
                (p.count - i - 1) * sizeof(*p.list));
        p.count--;
        rc = amld_principal_store(txn, principal, &p);

    } else if (!assign) {
        rc = AML_REGISTRY_NOTFOUND;
    }

done:

    amld_principal_clear(&p);

    return rc;
}


static aml_registry_rc_t
role_change_one(aml_registry_t *registry, const aml_principal_id_t *principal,
                const aml_principal_id_t *role, const char *scope, int assign)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = role_change(txn, principal, role, scope, assign);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
amld_role_assign(aml_registry_t *registry, const aml_principal_id_t *principal,
                 const aml_principal_id_t *role, const char *scope)
{
    return role_change_one(registry, principal, role, scope, 1);
}


aml_registry_rc_t
amld_role_unassign(aml_registry_t *registry,
                   const aml_principal_id_t *principal,
                   const aml_principal_id_t *role, const char *scope)
{
    return role_change_one(registry, principal, role, scope, 0);
}
