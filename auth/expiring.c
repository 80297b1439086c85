/*
 * Records that are over by themselves.
 */

#include "auth/expiring.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256 /* others may write after each */

typedef struct {
    int64_t now;
    size_t n, most, removed;
    struct {
        size_t n;
        char text[AMLD_EXPIRING_KEY_MAX];
    } keys[BATCH];
} sweep_t;


void
amld_expiring_write(void *head, int64_t expires)
{
    uint64_t number = htole64((uint64_t) expires);

    memcpy(head, &number, sizeof(number));
}


int64_t
amld_expiring_read(aml_str_t value)
{
    uint64_t number;

    if (value.n < sizeof(number)) {
        return 0;
    }
    memcpy(&number, value.p, sizeof(number));

    return (int64_t) le64toh(number);
}


static int
sweep_each(void *data, aml_str_t key, aml_str_t value)
{
    sweep_t *s = data;

    if (amld_expiring_read(value) <= s->now && key.n <= AMLD_EXPIRING_KEY_MAX) {
        s->keys[s->n].n = key.n;
        memcpy(s->keys[s->n].text, key.p, key.n);
        s->n++;
    }

    return s->n == s->most;
}


/* Whoever was quicker has made some last longer. */
static aml_registry_rc_t
sweep_delete(aml_registry_txn_t *txn, sweep_t *s)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    aml_str_t value;
    size_t i;

    s->removed = 0;

    for (i = 0; i < s->n && rc == AML_REGISTRY_OK; i++) {
        rc = aml_registry_get(txn, s->keys[i].text, s->keys[i].n, &value);
        if (rc == AML_REGISTRY_OK && amld_expiring_read(value) <= s->now) {
            rc = aml_registry_del(txn, s->keys[i].text, s->keys[i].n);
            s->removed += rc == AML_REGISTRY_OK;
        }
        rc = rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    return rc;
}


static aml_registry_rc_t
sweep_batch(aml_registry_t *registry, const char *prefix, sweep_t *s)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    s->n = s->removed = 0;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    rc = aml_registry_each(txn, aml_str_of(prefix), (aml_str_t){NULL, 0},
                           sweep_each, s);
    aml_registry_end(txn);

    if (rc != AML_REGISTRY_OK || s->n == 0) {
        return rc;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = sweep_delete(txn, s);
    if (rc != AML_REGISTRY_OK || s->removed == 0) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
amld_expiring_sweep(aml_registry_t *registry, const char *prefix, int64_t now,
                    size_t most, size_t *removed)
{
    aml_registry_rc_t rc;
    sweep_t *s;

    *removed = 0;

    s = malloc(sizeof(*s));
    if (s == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }
    s->now = now;

    do {
        s->most = most - *removed < BATCH ? most - *removed : BATCH;
        rc = sweep_batch(registry, prefix, s);
        *removed += rc == AML_REGISTRY_OK ? s->removed : 0;
    } while (rc == AML_REGISTRY_OK && s->n == BATCH && *removed < most);

    free(s);

    return rc;
}


aml_registry_rc_t
amld_expiring_there(aml_registry_t *registry, const char *key, size_t n)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    aml_str_t value;

    rc = aml_registry_read(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_get(txn, key, n, &value);
        aml_registry_end(txn);
    }

    return rc;
}
