#include "computes/engines/ranges.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static aml_registry_rc_t
range_get(aml_registry_txn_t *txn, const char *key, unsigned *number);
static aml_registry_rc_t
range_put(aml_registry_txn_t *txn, const char *key, unsigned number);

static const char range_last[] = "meta/ranges";


int
amld_range_assign(aml_registry_t *registry, const char *principal,
                  unsigned *number, char *err, size_t size)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    unsigned last = 0;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    if ((size_t) snprintf(key, sizeof(key), "range/%s", principal) >=
        sizeof(key)) {
        snprintf(err, size, "%s is no principal", principal);
        return -1;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        goto failed;
    }

    rc = range_get(txn, key, number);
    if (rc == AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return 0;
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        rc = range_get(txn, range_last, &last);
        if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
            *number = last + 1;
            rc = range_put(txn, range_last, *number);
        }
        if (rc == AML_REGISTRY_OK) {
            rc = range_put(txn, key, *number);
        }
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        goto failed;
    }

    rc = aml_registry_commit(txn);
    if (rc == AML_REGISTRY_OK) {
        return 0;
    }

failed:

    *number = 0;
    snprintf(err, size, "registry: %s", aml_registry_strerror(rc));

    return -1;
}


static aml_registry_rc_t
range_get(aml_registry_txn_t *txn, const char *key, unsigned *number)
{
    char text[16];
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, key, strlen(key), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (value.n == 0 || value.n >= sizeof(text)) {
        return AML_REGISTRY_CORRUPT;
    }
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    *number = (unsigned) strtoul(text, NULL, 10);

    return *number != 0 ? AML_REGISTRY_OK : AML_REGISTRY_CORRUPT;
}


static aml_registry_rc_t
range_put(aml_registry_txn_t *txn, const char *key, unsigned number)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", number);

    return aml_registry_put(txn, key, strlen(key), text, strlen(text));
}
