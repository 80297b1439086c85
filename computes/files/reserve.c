#include "computes/files/reserve.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "computes/amld.h"

#define RESERVE_KEY "reserve/%02u"
#define RESERVE_PIECE 3000 /* bytes: a page each, wherever there is one */

static const char reserve_spent[] = "reserve/spent";

static size_t reserve_key(char key[32], unsigned n);
static aml_registry_rc_t reserve_note(aml_registry_t *registry, int spend);


void
amld_reserve_keep(aml_registry_t *registry)
{
    char key[32], piece[RESERVE_PIECE];
    size_t len;
    unsigned n;
    aml_str_t value;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    len = reserve_key(key, 0);
    rc = aml_registry_read(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_get(txn, key, len, &value);
        aml_registry_end(txn);
    }
    if (rc != AML_REGISTRY_NOTFOUND) {
        return;
    }

    memset(piece, 0, sizeof(piece));
    rc = aml_registry_write(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        for (n = 0; n < AMLD_RESERVE_PIECES && rc == AML_REGISTRY_OK; n++) {
            len = reserve_key(key, n);
            rc = aml_registry_put(txn, key, len, piece, sizeof(piece));
        }
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "registry: no room is left in reserve: %s",
                 aml_registry_strerror(rc));
    }
}


int
amld_reserve_spend(aml_registry_t *registry)
{
    if (reserve_note(registry, 1) != AML_REGISTRY_OK) {
        return -1;
    }

    amld_log(AMLD_LOG_ERROR, "registry: it is full; what was kept in reserve "
                             "is used now");

    /* LMDB gives pages out again one commit later. */
    (void) reserve_note(registry, 0);

    return 0;
}


int
amld_reserve_is_full(aml_registry_rc_t rc)
{
    return rc == AML_REGISTRY_FULL || rc == AML_REGISTRY_LIMIT;
}


static aml_registry_rc_t
reserve_note(aml_registry_t *registry, int spend)
{
    char key[32], now[32];
    size_t len;
    unsigned n;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (n = 0; spend && n < AMLD_RESERVE_PIECES && rc == AML_REGISTRY_OK;
         n++) {
        len = reserve_key(key, n);
        rc = aml_registry_del(txn, key, len);
    }
    if (rc == AML_REGISTRY_OK && !spend) {
        snprintf(now, sizeof(now), "%lld", (long long) time(NULL));
        rc = aml_registry_put(txn, reserve_spent, sizeof(reserve_spent) - 1,
                              now, strlen(now));
    }
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static size_t
reserve_key(char key[32], unsigned n)
{
    return (size_t) snprintf(key, 32, RESERVE_KEY, n);
}
