/*
 * Role definitions and who has which role where, in the registry.
 */

#ifndef AMLD_ROLE_STORE_H
#define AMLD_ROLE_STORE_H

#include "auth/principal.h"
#include "registry/registry.h"

/*
 * Reads a JSON array of role definitions (auth/builtin-roles.json) and brings
 * role/<uuid> up to date; nothing is written where nothing has changed.  0,
 * or -1 after the reason was logged: then nothing was written at all.
 */
int amld_roles_load(aml_registry_t *registry, const char *file);

/* By name, in any case, or by UUID. */
aml_registry_rc_t amld_role_find(aml_registry_txn_t *txn, const char *text,
                                 aml_principal_id_t *id);
/* Its name into `name`; its UUID where it has no definition any more. */
void amld_role_label(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                     char *name, size_t size);

/* "/", or "/a/b…" without empty segments, a slash at the end or characters
 * that no ARM id has. */
int amld_scope_valid(const char *scope);

/* OK also when it is assigned already; NOTFOUND without such a principal. */
aml_registry_rc_t
amld_role_assign(aml_registry_t *registry, const aml_principal_id_t *principal,
                 const aml_principal_id_t *role, const char *scope);

/* NOTFOUND when it is not assigned there. */
aml_registry_rc_t
amld_role_unassign(aml_registry_t *registry,
                   const aml_principal_id_t *principal,
                   const aml_principal_id_t *role, const char *scope);

#endif /* AMLD_ROLE_STORE_H */
