#include "computes/automatic/due.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DUE_DIGITS 12
#define DUE_LAST INT64_C(999999999999)

typedef struct {
    size_t prefix;
    int (*each)(void *data, const amld_key_t *key, int64_t at);
    void *data;
} due_walk_t;

typedef struct {
    amld_key_t *key;
    int64_t *at;
    int found;
} due_first_t;

typedef struct {
    const amld_key_t *compute;
    amld_key_t place;
} due_drop_t;

static const char *const due_kinds[AMLD_DUE_COUNT] = {
    [AMLD_DUE_SCHEDULE] = "schedule",
    [AMLD_DUE_IDLE] = "idle",
};

static int
due_key(amld_key_t *key, const json_t *doc, amld_due_t kind, int64_t at);
static int due_walk(void *data, aml_str_t key, aml_str_t value);
static int due_find(void *data, aml_str_t key, aml_str_t value);
static int due_is_first(void *data, const amld_key_t *key, int64_t at);


aml_registry_rc_t
amld_due_set(aml_registry_txn_t *txn, const amld_key_t *key, json_t *doc,
             amld_due_t kind, int64_t at)
{
    int64_t before;
    json_t *due;
    amld_key_t place = {.n = 0};
    aml_registry_rc_t rc;

    before = amld_due_at(doc, kind);

    if (before != AMLD_DUE_NEVER && before != at) {
        if (due_key(&place, doc, kind, before) != 0) {
            return AML_REGISTRY_TOOLONG;
        }
        rc = aml_registry_del(txn, place.p, place.n);
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
        (void) json_object_del(json_object_get(doc, "due"), due_kinds[kind]);
    }

    if (at == AMLD_DUE_NEVER) {
        return AML_REGISTRY_OK;
    }

    at = at < 0 ? 0 : at > DUE_LAST ? DUE_LAST : at;

    due = json_object_get(doc, "due");
    if (!json_is_object(due)) {
        due = json_object();
        if (json_object_set_new(doc, "due", due) != 0) {
            return AML_REGISTRY_FAILED;
        }
    }

    if (due_key(&place, doc, kind, at) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    if (json_object_set_new(due, due_kinds[kind],
                            json_integer((json_int_t) at)) != 0) {
        return AML_REGISTRY_FAILED;
    }

    return aml_registry_put(txn, place.p, place.n, key->p, key->n);
}


aml_registry_rc_t
amld_due_remove(aml_registry_txn_t *txn, const json_t *doc)
{
    int kind;
    int64_t at;
    amld_key_t place = {.n = 0};
    aml_registry_rc_t rc;

    for (kind = 0; kind < AMLD_DUE_COUNT; kind++) {
        at = amld_due_at(doc, (amld_due_t) kind);
        if (at == AMLD_DUE_NEVER) {
            continue;
        }
        if (due_key(&place, doc, (amld_due_t) kind, at) != 0) {
            return AML_REGISTRY_TOOLONG;
        }
        rc = aml_registry_del(txn, place.p, place.n);
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
amld_due_drop(aml_registry_txn_t *txn, amld_due_t kind, const amld_key_t *key,
              int64_t at)
{
    due_drop_t drop = {.compute = key};
    aml_registry_rc_t rc;
    char prefix[64];
    int n;

    n = snprintf(prefix, sizeof(prefix), "due/%s/%0*lld/", due_kinds[kind],
                 DUE_DIGITS, (long long) at);

    rc = aml_registry_each(txn, (aml_str_t){prefix, (size_t) n}, aml_str(""),
                           due_find, &drop);
    if (rc == AML_REGISTRY_OK && drop.place.n != 0) {
        rc = aml_registry_del(txn, drop.place.p, drop.place.n);
    }

    return rc;
}


int64_t
amld_due_at(const json_t *doc, amld_due_t kind)
{
    const json_t *at;

    at = json_object_get(json_object_get(doc, "due"), due_kinds[kind]);

    return json_is_integer(at) ? (int64_t) json_integer_value(at)
                               : AMLD_DUE_NEVER;
}


aml_registry_rc_t
amld_due_first(aml_registry_txn_t *txn, amld_due_t kind, amld_key_t *key,
               int64_t *at)
{
    due_first_t first = {key, at, 0};
    aml_registry_rc_t rc;

    rc = amld_due_each(txn, kind, due_is_first, &first);

    return rc == AML_REGISTRY_OK && !first.found ? AML_REGISTRY_NOTFOUND : rc;
}


aml_registry_rc_t
amld_due_each(aml_registry_txn_t *txn, amld_due_t kind,
              int (*each)(void *data, const amld_key_t *key, int64_t at),
              void *data)
{
    char prefix[32];
    int n;
    due_walk_t walk = {.each = each, .data = data};

    n = snprintf(prefix, sizeof(prefix), "due/%s/", due_kinds[kind]);
    walk.prefix = (size_t) n;

    return aml_registry_each(txn, (aml_str_t){prefix, walk.prefix}, aml_str(""),
                             due_walk, &walk);
}


static int
due_key(amld_key_t *key, const json_t *doc, amld_due_t kind, int64_t at)
{
    int n;
    char *p;

    n = snprintf(key->p, sizeof(key->p), "due/%s/%0*lld/%s/%s", due_kinds[kind],
                 DUE_DIGITS, (long long) at, amld_compute_str(doc, "location"),
                 amld_compute_str(doc, "name"));
    if (n < 0 || (size_t) n >= sizeof(key->p)) {
        return -1;
    }
    key->n = (size_t) n;

    /* Names are unique without regard to case. */
    for (p = key->p; *p != '\0'; p++) {
        *p = (char) tolower((unsigned char) *p);
    }

    return 0;
}


static int
due_walk(void *data, aml_str_t key, aml_str_t value)
{
    int64_t at;
    char digits[DUE_DIGITS + 1];
    amld_key_t compute = {.n = 0};
    const due_walk_t *walk;

    walk = data;

    if (key.n < walk->prefix + DUE_DIGITS || value.n > AML_REGISTRY_KEY_MAX) {
        return 0;
    }

    memcpy(digits, key.p + walk->prefix, DUE_DIGITS);
    digits[DUE_DIGITS] = '\0';
    at = strtoll(digits, NULL, 10);

    memcpy(compute.p, value.p, value.n);
    compute.p[value.n] = '\0';
    compute.n = value.n;

    return walk->each(walk->data, &compute, at);
}


static int
due_find(void *data, aml_str_t key, aml_str_t value)
{
    due_drop_t *drop;

    drop = data;

    if (value.n != drop->compute->n ||
        memcmp(value.p, drop->compute->p, value.n) != 0 ||
        key.n >= sizeof(drop->place.p)) {
        return 0;
    }

    memcpy(drop->place.p, key.p, key.n);
    drop->place.p[key.n] = '\0';
    drop->place.n = key.n;

    return 1;
}


static int
due_is_first(void *data, const amld_key_t *key, int64_t at)
{
    due_first_t *first;

    first = data;
    *first->key = *key;
    *first->at = at;
    first->found = 1;

    return 1;
}
