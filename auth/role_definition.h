/*
 * Role definitions as people write them, made one.
 */

#ifndef AMLD_ROLE_DEFINITION_H
#define AMLD_ROLE_DEFINITION_H

#include <jansson.h>

#include "auth/principal.h"

#define AMLD_ROLE_NAME_MAX 128   /* bytes */
#define AMLD_ROLE_TEXT_MAX 16384 /* bytes of a custom definition */
#define AMLD_ROLE_PATTERNS 256
#define AMLD_ROLE_SCOPES 64
#define AMLD_ROLE_PERMISSIONS 16

typedef struct {
    const char *code; /* ARM's */
    char message[256];
} amld_role_fault_t;

/*
 * `in`, in either public format or the flat one that `az` prints, in ARM's
 * shape: {id, name, type, properties: {roleName, type, description,
 * assignableScopes, permissions}}.  A new reference, or NULL and a fault.
 *
 * `id` is whose it is; NULL: who it says it is, and where it does not, of a
 * custom one, somebody new.  A built-in one that names no assignable scopes is
 * for everywhere; a custom one must name some.
 *
 * Members of a permission that are not known are refused, as a "notAction"
 * that nobody reads would give more than was meant.
 */
json_t *amld_role_normalise(const json_t *in, const aml_principal_id_t *id,
                            int custom, amld_role_fault_t *fault);

/* 1 when it is not a built-in one.  Of one in ARM's shape. */
int amld_role_custom(const json_t *role);
const char *amld_role_name(const json_t *role);
const json_t *amld_role_scopes(const json_t *role);

/* Is every assignable scope at `within` or below? */
int amld_role_within(const json_t *role, const char *within);
/* Is `scope` at one of them or below? */
int amld_role_covers(const json_t *role, aml_str_t scope);

/* 1 when it may be an action or a pattern of actions. */
int amld_role_pattern_valid(const char *text);

/* 1 when it has no control characters, so that it can be printed. */
int amld_role_printable(const char *text);

#endif /* AMLD_ROLE_DEFINITION_H */
