/*
 * One record of the registry: there, not there, or not to be read.  What can't
 * be read is never the same as what is not there.
 */

#ifndef AML_LOOKUP_H
#define AML_LOOKUP_H

#include "registry/registry.h"

typedef enum {
    AML_FOUND = 0,
    AML_ABSENT,
    AML_BROKEN /* the registry, or this record */
} aml_found_t;


static inline aml_found_t
aml_look_up(aml_registry_txn_t *txn, const char *key, size_t n,
            aml_str_t *value)
{
    /* A key that is too long to be one is not there. */
    if (n == 0) {
        return AML_ABSENT;
    }

    switch (aml_registry_get(txn, key, n, value)) {
    case AML_REGISTRY_OK:
        return AML_FOUND;
    case AML_REGISTRY_NOTFOUND:
    case AML_REGISTRY_TOOLONG:
        return AML_ABSENT;
    default:
        return AML_BROKEN;
    }
}

#endif /* AML_LOOKUP_H */
