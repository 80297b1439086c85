/*
 * Role definitions in the registry: role/<uuid>, in ARM's shape.
 *
 * Built-in ones are those of the file that the configuration names; nobody
 * else changes them.  Custom ones are made by the API and the command line.
 */

#ifndef AMLD_ROLE_STORE_H
#define AMLD_ROLE_STORE_H

#include "auth/principal.h"
#include "auth/role_definition.h"
#include "registry/registry.h"

#define AMLD_ROLES_MAX 1000 /* custom ones */

/*
 * Reads a JSON array of role definitions (auth/builtin-roles.json) and brings
 * role/<uuid> up to date; nothing is written where nothing has changed.  0,
 * or -1 after the reason was logged: then nothing was written at all.
 */
int amld_roles_load(aml_registry_t *registry, const char *file);

/* A new reference; NULL unless OK. */
aml_registry_rc_t amld_role_load(aml_registry_txn_t *txn,
                                 const aml_principal_id_t *id, json_t **role);

/* By name, in any case, or by UUID; a built-in one before one of the same
 * name that is not. */
aml_registry_rc_t amld_role_find(aml_registry_txn_t *txn, const char *text,
                                 aml_principal_id_t *id);
/* Its name into `name`; its UUID where it has no definition any more. */
void amld_role_label(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                     char *name, size_t size);

typedef enum {
    AMLD_ROLE_OK = 0,
    AMLD_ROLE_MISSING, /* no such definition */
    AMLD_ROLE_BUILTIN, /* which nobody changes */
    AMLD_ROLE_OUTSIDE, /* an assignable scope is not at `within` or below */
    AMLD_ROLE_NAME,    /* another role has the name */
    AMLD_ROLE_IN_USE,  /* it is assigned where it would not be assignable */
    AMLD_ROLE_LIMIT,   /* there are AMLD_ROLES_MAX already */
    AMLD_ROLE_FAILED   /* the registry: see *rc */
} amld_role_rc_t;

/* A sentence for people, static, without a full stop. */
const char *amld_role_strerror(amld_role_rc_t rc);

/*
 * Makes or replaces a custom definition, one that amld_role_normalise() made.
 * `within` is where whoever asks may: all assignable scopes must be there or
 * below, those that it had as well.  `by` is their principal, "" for the
 * command line; it and the time are set in `role`.
 */
amld_role_rc_t
amld_role_define(aml_registry_txn_t *txn, json_t *role, const char *within,
                 const char *by, aml_registry_rc_t *rc);

/* Removes a custom definition that is not assigned; *role, unless NULL, is
 * what it was, a new reference. */
amld_role_rc_t
amld_role_undefine(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                   const char *within, json_t **role, aml_registry_rc_t *rc);

#endif /* AMLD_ROLE_STORE_H */
