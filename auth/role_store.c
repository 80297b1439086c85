/*
 * Role definitions in the registry.
 */

#include "auth/role_store.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/assignments.h"
#include "auth/roles.h"
#include "computes/amld.h"
#include "computes/instances/computes.h"
#include "registry/records.h"


/* ---- definitions ---- */

/* 1 when it was written, 0 when it was there. */
static int
role_put(aml_registry_txn_t *txn, const json_t *role, aml_registry_rc_t *rc)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    aml_principal_id_t id;
    aml_str_t value;
    int changed;
    size_t n;

    text = json_dumps(role, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL || aml_uuid_parse(aml_str_of(json_string_value(
                                           json_object_get(role, "name"))),
                                       &id) != 0) {
        free(text);
        errno = ENOMEM;
        *rc = AML_REGISTRY_FAILED;
        return 0;
    }

    n = aml_key_role(key, &id);
    *rc = aml_registry_get(txn, key, n, &value);
    changed = *rc != AML_REGISTRY_OK || !aml_str_eq(value, aml_str_of(text));

    if (*rc == AML_REGISTRY_OK || *rc == AML_REGISTRY_NOTFOUND) {
        *rc = changed ? aml_registry_put(txn, key, n, text, strlen(text))
                      : AML_REGISTRY_OK;
    }
    free(text);

    return changed;
}


static int
builtin_put(aml_registry_txn_t *txn, const char *file, size_t index,
            const json_t *json, aml_registry_rc_t *rc)
{
    amld_role_fault_t fault;
    json_t *role;
    int put;

    role = amld_role_normalise(json, NULL, 0, &fault);
    if (role == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: role %zu: %s", file, index + 1,
                 fault.message);
        return -1;
    }

    put = role_put(txn, role, rc);
    json_decref(role);

    return *rc == AML_REGISTRY_OK ? put : -1;
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
        put = builtin_put(txn, file, i, json, &rc);
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
    int custom = 1;

    (void) key;

    role = aml_role_parse(value.p, value.n, err, sizeof(err));
    if (role != NULL && strcasecmp(aml_role_name(role), search->name) == 0) {
        custom = aml_role_custom(role);
        if (!search->found || !custom) {
            *search->id = *aml_role_id(role);
            search->found = 1;
        }
    }
    aml_role_free(role);

    return search->found && !custom;
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


aml_registry_rc_t
amld_role_load(aml_registry_txn_t *txn, const aml_principal_id_t *id,
               json_t **role)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_str_t value;

    *role = NULL;

    rc = aml_registry_get(txn, key, aml_key_role(key, id), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    *role = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    return *role != NULL ? AML_REGISTRY_OK : AML_REGISTRY_CORRUPT;
}


/* ---- custom definitions ---- */

const char *
amld_role_strerror(amld_role_rc_t rc)
{
    switch (rc) {
    case AMLD_ROLE_OK:
        return "done";
    case AMLD_ROLE_MISSING:
        return "there is no such role";
    case AMLD_ROLE_BUILTIN:
        return "it is a built-in role, which can't be changed";
    case AMLD_ROLE_OUTSIDE:
        return "it is assignable outside of the scope";
    case AMLD_ROLE_NAME:
        return "another role has this name";
    case AMLD_ROLE_IN_USE:
        return "it is assigned where it would not be assignable any more";
    case AMLD_ROLE_LIMIT:
        return "there are too many custom roles";
    case AMLD_ROLE_FAILED:
        break;
    }

    return "the registry can't be used";
}


typedef struct {
    const aml_principal_id_t *id;
    const json_t *role; /* the new definition, NULL: none */
    int found;
} role_use_t;


static int
role_use_each(void *data, const amld_assignment_entry_t *entry)
{
    role_use_t *use = data;

    use->found =
        aml_principal_eq(&entry->role, use->id) &&
        (use->role == NULL || !amld_role_covers(use->role, entry->scope));

    return use->found;
}


/* Looks at every assignment's index: definitions change rarely. */
static aml_registry_rc_t
role_in_use(aml_registry_txn_t *txn, role_use_t *use)
{
    return amld_assignments_at(txn, "/", 1, (aml_str_t){NULL, 0}, role_use_each,
                               use);
}


typedef struct {
    const aml_principal_id_t *id;
    const char *name;
    size_t customs; /* others */
    int taken;
} role_others_t;


static int
role_others_each(void *data, aml_str_t key, aml_str_t value)
{
    role_others_t *others = data;
    aml_role_t *role;

    (void) key;

    role = aml_role_parse(value.p, value.n, NULL, 0);
    if (role != NULL && !aml_principal_eq(aml_role_id(role), others->id)) {
        others->customs += (size_t) aml_role_custom(role);
        others->taken |= strcasecmp(aml_role_name(role), others->name) == 0;
    }
    aml_role_free(role);

    return 0;
}


static void
role_stamp(json_t *role, const json_t *before, const char *by)
{
    json_t *properties, *had;
    char now[AMLD_TIME_SIZE];
    const char *text;

    properties = json_object_get(role, "properties");
    had = json_object_get(before, "properties");
    amld_time_now(now);

    text = json_string_value(json_object_get(had, "createdOn"));
    (void) json_object_set_new(properties, "createdOn",
                               json_string(text != NULL ? text : now));
    text = json_string_value(json_object_get(had, "createdBy"));
    (void) json_object_set_new(
        properties, "createdBy",
        json_string(before == NULL || text == NULL ? by : text));
    (void) json_object_set_new(properties, "updatedOn", json_string(now));
    (void) json_object_set_new(properties, "updatedBy", json_string(by));
}


/* What there is, as far as whoever asks may change it. */
static amld_role_rc_t
role_before(aml_registry_txn_t *txn, const aml_principal_id_t *id,
            const char *within, json_t **before, aml_registry_rc_t *rc)
{
    *rc = amld_role_load(txn, id, before);

    if (*rc == AML_REGISTRY_NOTFOUND) {
        return AMLD_ROLE_MISSING;
    }
    if (*rc != AML_REGISTRY_OK) {
        return AMLD_ROLE_FAILED;
    }
    if (!amld_role_custom(*before)) {
        return AMLD_ROLE_BUILTIN;
    }

    return amld_role_within(*before, within) ? AMLD_ROLE_OK : AMLD_ROLE_OUTSIDE;
}


amld_role_rc_t
amld_role_define(aml_registry_txn_t *txn, json_t *role, const char *within,
                 const char *by, aml_registry_rc_t *rc)
{
    role_others_t others = {.name = amld_role_name(role)};
    role_use_t use = {.role = role};
    amld_role_rc_t answer;
    aml_principal_id_t id;
    json_t *before;

    if (aml_uuid_parse(
            aml_str_of(json_string_value(json_object_get(role, "name"))),
            &id) != 0) {
        *rc = AML_REGISTRY_CORRUPT;
        return AMLD_ROLE_FAILED;
    }
    others.id = use.id = &id;

    answer = role_before(txn, &id, within, &before, rc);
    if (answer == AMLD_ROLE_MISSING) {
        answer = AMLD_ROLE_OK;
    }
    if (answer == AMLD_ROLE_OK && !amld_role_within(role, within)) {
        answer = AMLD_ROLE_OUTSIDE;
    }

    if (answer == AMLD_ROLE_OK) {
        *rc = aml_registry_each(txn, aml_str("role/"), (aml_str_t){NULL, 0},
                                role_others_each, &others);
        if (*rc == AML_REGISTRY_OK && before != NULL) {
            *rc = role_in_use(txn, &use);
        }

        answer = *rc != AML_REGISTRY_OK ? AMLD_ROLE_FAILED
                 : others.taken         ? AMLD_ROLE_NAME
                 : use.found            ? AMLD_ROLE_IN_USE
                 : before == NULL && others.customs >= AMLD_ROLES_MAX
                     ? AMLD_ROLE_LIMIT
                     : AMLD_ROLE_OK;
    }

    if (answer == AMLD_ROLE_OK) {
        role_stamp(role, before, by);
        (void) role_put(txn, role, rc);
        answer = *rc == AML_REGISTRY_OK ? AMLD_ROLE_OK : AMLD_ROLE_FAILED;
    }
    json_decref(before);

    return answer;
}


amld_role_rc_t
amld_role_undefine(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                   const char *within, json_t **role, aml_registry_rc_t *rc)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    role_use_t use = {.id = id};
    amld_role_rc_t answer;
    json_t *before;

    answer = role_before(txn, id, within, &before, rc);

    if (answer == AMLD_ROLE_OK) {
        *rc = role_in_use(txn, &use);
        if (*rc == AML_REGISTRY_OK && !use.found) {
            *rc = aml_registry_del(txn, key, aml_key_role(key, id));
        }
        answer = *rc != AML_REGISTRY_OK ? AMLD_ROLE_FAILED
                 : use.found            ? AMLD_ROLE_IN_USE
                                        : AMLD_ROLE_OK;
    }

    if (role != NULL && answer == AMLD_ROLE_OK) {
        *role = before;
    } else {
        json_decref(before);
    }

    return answer;
}
