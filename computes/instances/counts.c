#include "computes/instances/counts.h"

#include <string.h>

#define COUNTS_KEY_LEN (sizeof(AML_COUNTS_KEY) - 1)


aml_registry_rc_t
amld_counts_load(aml_registry_txn_t *txn, aml_counts_t *c)
{
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, AML_COUNTS_KEY, COUNTS_KEY_LEN, &value);
    if (rc == AML_REGISTRY_OK && aml_counts_decode(value, c) != AML_RECORD_OK) {
        rc = AML_REGISTRY_NOTFOUND;
    }
    if (rc != AML_REGISTRY_OK) {
        memset(c, 0, sizeof(*c));
    }

    return rc;
}


aml_registry_rc_t
amld_counts_store(aml_registry_txn_t *txn, const aml_counts_t *c)
{
    char value[2 + sizeof(*c)];
    size_t n;

    n = aml_counts_encode(c, value, sizeof(value));

    return n != 0
               ? aml_registry_put(txn, AML_COUNTS_KEY, COUNTS_KEY_LEN, value, n)
               : AML_REGISTRY_TOOLONG;
}


aml_registry_rc_t
amld_counts_services(aml_registry_txn_t *txn, const amld_service_counts_t *s)
{
    aml_counts_t c;
    aml_registry_rc_t rc;

    if (s->starts == 0 && s->restarts == 0 && s->failures == 0) {
        return AML_REGISTRY_OK;
    }

    rc = amld_counts_load(txn, &c);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    c.service_starts += s->starts;
    c.service_restarts += s->restarts;
    c.service_failures += s->failures;

    return amld_counts_store(txn, &c);
}
