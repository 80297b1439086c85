#include "auth/sign_in_list.h"

#include <errno.h>
#include <stdlib.h>

#include "auth/sign_ins.h"

#define BATCH 256


int
amld_sign_in_list_add(amld_sign_in_list_t *list, const aml_principal_id_t *id,
                      const aml_principal_id_t *principal)
{
    amld_sign_in_ref_t *grown;
    size_t size;

    if (list->n == list->size) {
        size = list->size == 0 ? 64 : list->size * 2;
        grown = realloc(list->all, size * sizeof(*list->all));
        if (grown == NULL) {
            list->failed = 1;
            return 1;
        }
        list->all = grown;
        list->size = size;
    }

    list->all[list->n++] = (amld_sign_in_ref_t){*id, *principal};

    return 0;
}


static aml_registry_rc_t
list_end_some(aml_registry_t *registry, const amld_sign_in_ref_t *ref, size_t n)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t i;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < n && rc == AML_REGISTRY_OK; i++) {
        rc = amld_sign_in_end(txn, &ref[i].id);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
amld_sign_in_list_end(aml_registry_t *registry, const amld_sign_in_list_t *list,
                      size_t *ended)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t n;

    *ended = 0;

    if (list->failed) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    while (*ended < list->n) {
        n = list->n - *ended < BATCH ? list->n - *ended : BATCH;
        rc = list_end_some(registry, list->all + *ended, n);
        if (rc != AML_REGISTRY_OK) {
            break;
        }
        *ended += n;
    }

    return rc;
}


void
amld_sign_in_list_free(amld_sign_in_list_t *list)
{
    free(list->all);
    *list = (amld_sign_in_list_t){0};
}
