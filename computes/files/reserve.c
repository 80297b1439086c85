#include "computes/files/reserve.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "computes/amld.h"

#define RESERVE_KEY "reserve/%02u"
#define RESERVE_PIECE 3000    /* bytes: a page each, wherever there is one */
#define RESERVE_ADVANCE 65536 /* bytes: what two commits of a few keys need */

static const char reserve_time[] = "reserve/when";

static size_t reserve_key(char key[32], unsigned n);
static int reserve_is_kept(aml_registry_txn_t *txn);
static aml_registry_rc_t reserve_when(aml_registry_txn_t *txn);
static aml_registry_rc_t reserve_note(aml_registry_t *registry, int spend);


void
amld_reserve_keep(aml_registry_t *registry)
{
    char key[32], piece[RESERVE_PIECE];
    size_t len;
    int kept;
    unsigned n;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    kept = 0;
    rc = aml_registry_read(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        kept = reserve_is_kept(txn);
        aml_registry_end(txn);
    }
    if (kept || rc != AML_REGISTRY_OK) {
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
            rc = reserve_when(txn);
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
    int kept;
    aml_registry_txn_t *txn;

    if (aml_registry_read(registry, &txn) != AML_REGISTRY_OK) {
        return -1;
    }

    kept = reserve_is_kept(txn);
    aml_registry_end(txn);

    /* To give up pages takes some, and the last commit may have had them. */
    if (!kept ||
        aml_registry_enlarge(registry, RESERVE_ADVANCE) != AML_REGISTRY_OK ||
        reserve_note(registry, 1) != AML_REGISTRY_OK) {
        return -1;
    }

    amld_log(AMLD_LOG_ERROR, "registry: it is full; what was kept in reserve "
                             "is used now");

    /* LMDB gives pages out again one commit later. */
    (void) reserve_note(registry, 0);

    return 0;
}


int
amld_reserve_is_spent(aml_registry_txn_t *txn)
{
    aml_str_t value;

    /* a registry without either is one that amld has just begun with */
    return aml_registry_get(txn, reserve_time, sizeof(reserve_time) - 1,
                            &value) == AML_REGISTRY_OK &&
           !reserve_is_kept(txn);
}


int
amld_reserve_is_full(aml_registry_rc_t rc)
{
    return rc == AML_REGISTRY_FULL || rc == AML_REGISTRY_LIMIT;
}


/* No key comes or goes, as pages that are split or joined need others. */
static aml_registry_rc_t
reserve_note(aml_registry_t *registry, int spend)
{
    char key[32];
    size_t len;
    unsigned n;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (spend && !reserve_is_kept(txn)) {
        rc = AML_REGISTRY_NOTFOUND;
    }
    for (n = 0; spend && n < AMLD_RESERVE_PIECES && rc == AML_REGISTRY_OK;
         n++) {
        len = reserve_key(key, n);
        rc = aml_registry_put(txn, key, len, "-", 1);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = reserve_when(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static aml_registry_rc_t
reserve_when(aml_registry_txn_t *txn)
{
    char now[32];
    int len;

    len = snprintf(now, sizeof(now), "%020lld", (long long) time(NULL));

    return aml_registry_put(txn, reserve_time, sizeof(reserve_time) - 1, now,
                            (size_t) len);
}


static int
reserve_is_kept(aml_registry_txn_t *txn)
{
    char key[32];
    size_t len;
    aml_str_t value;

    len = reserve_key(key, 0);

    return aml_registry_get(txn, key, len, &value) == AML_REGISTRY_OK &&
           value.n == RESERVE_PIECE;
}


static size_t
reserve_key(char key[32], unsigned n)
{
    return (size_t) snprintf(key, 32, RESERVE_KEY, n);
}
