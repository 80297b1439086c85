/*
 * Role definitions and what they allow, as Azure RBAC has them.
 *
 * What a role allows is its Actions less its NotActions, role by role, then
 * united: NotActions is no deny.  An assignment holds at its scope and below.
 */

#ifndef AML_ROLES_H
#define AML_ROLES_H

#include "auth/principal.h"
#include "auth/str.h"

typedef struct aml_role aml_role_t;

/*
 * Reads one definition, in either public format:
 * {Name, Id, Actions, NotActions, …} or
 * {name, properties:{roleName, permissions:[{actions, notActions, …}]}}.
 * Member names are taken without regard to case.  `name` is the GUID that
 * identifies it: Id or name, bare or as the last segment of a path.
 * NULL when it is not one; `err` (of `errlen` bytes) then says why.  What is
 * in both formats at once is none, as two readers would take it for two
 * roles; nor is a permission under a condition, which can't be kept.
 */
aml_role_t *
aml_role_parse(const char *json, size_t n, char *err, size_t errlen);
void aml_role_free(aml_role_t *role);

const aml_principal_id_t *aml_role_id(const aml_role_t *role);
const char *aml_role_name(const aml_role_t *role);

/* 1 when it says so: IsCustom, or the type "CustomRole". */
int aml_role_custom(const aml_role_t *role);

/* May it be assigned at `scope`: is that one of its assignable scopes or below
 * one?  A definition that names none is for everywhere. */
int aml_role_assignable(const aml_role_t *role, aml_str_t scope);

/* 1 when some action pattern of a permission matches and no notAction of the
 * same permission does. */
int aml_role_allows(const aml_role_t *role, aml_str_t action);

/* 1 when it does not, but would without its notActions. */
int aml_role_takes_back(const aml_role_t *role, aml_str_t action);

/*
 * Case-insensitive; `*` matches any run of characters, '/' included, and the
 * middle of "/" "*" "/" may also be nothing, so that it matches a single '/'.
 * Linear in pattern and text up to 1024 bytes each; no recursion.
 */
int aml_role_match(aml_str_t pattern, aml_str_t action);

/* 1 when `scope` is `at` or below it: segment by segment, case-insensitive.
 * "/" is above everything. */
int aml_scope_covers(aml_str_t at, aml_str_t scope);

#endif /* AML_ROLES_H */
