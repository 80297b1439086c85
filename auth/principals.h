/*
 * amld's side of principal/<uuid>: read, change, write.
 */

#ifndef AMLD_PRINCIPALS_H
#define AMLD_PRINCIPALS_H

#include "registry/records.h"
#include "registry/registry.h"

typedef struct {
    int64_t not_before;
    uint32_t flags;
    char *name;
    char *issuer;
    aml_assignment_t *list; /* scopes are memory of `room`; has room for one
                             * more than it has */
    size_t count;
    char *room;
} amld_principal_t;

/* A copy; NOTFOUND leaves it empty, and amld_principal_clear() is due in every
 * case. */
aml_registry_rc_t
amld_principal_load(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                    amld_principal_t *p);
aml_registry_rc_t
amld_principal_store(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                     const amld_principal_t *p);
void amld_principal_clear(amld_principal_t *p);

/* Where in the list the role is at exactly that scope; p->count when it is
 * not. */
size_t amld_principal_entry(const amld_principal_t *p,
                            const aml_principal_id_t *role, aml_str_t scope);

/*
 * Voids what was issued up to `now`.  Within this second that can only be told
 * by moving not-before to the next, and what is issued then counts from there;
 * what is voided once more within it, from the one behind.
 */
void amld_principal_void(amld_principal_t *p, int64_t now);

/*
 * When something that is issued to the principal at `now` counts as issued:
 * `now`, or its not-before where that is a little later.  NOTFOUND for a
 * principal without a record, DENIED for a disabled one.
 */
aml_registry_rc_t
amld_principal_issued(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                      int64_t now, int64_t *issued);

#endif /* AMLD_PRINCIPALS_H */
