/*
 * Sign-ins that are to be ended: collected in a snapshot, ended in write
 * transactions, told of afterwards.
 */

#ifndef AMLD_SIGN_IN_LIST_H
#define AMLD_SIGN_IN_LIST_H

#include <stddef.h>

#include "registry/records.h"
#include "registry/registry.h"

typedef struct {
    aml_principal_id_t id;
    aml_principal_id_t principal; /* whose it is */
} amld_sign_in_ref_t;

/* Zeroed at first. */
typedef struct {
    amld_sign_in_ref_t *all;
    size_t n, size;
    int failed; /* no memory for one that was added */
} amld_sign_in_list_t;

/* 0, or 1 without memory: what a walk stops for. */
int
amld_sign_in_list_add(amld_sign_in_list_t *list, const aml_principal_id_t *id,
                      const aml_principal_id_t *principal);

/*
 * Ends them in their order, some in each transaction, as nginx's workers look
 * at each change; those that have ended meanwhile do no harm.  `ended` is how
 * many of the first ones are ended for sure, also where the rest failed.
 */
aml_registry_rc_t
amld_sign_in_list_end(aml_registry_t *registry, const amld_sign_in_list_t *list,
                      size_t *ended);
void amld_sign_in_list_free(amld_sign_in_list_t *list);

#endif /* AMLD_SIGN_IN_LIST_H */
