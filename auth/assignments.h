/*
 * Role assignments: who has which role where, in the registry.
 *
 *   assignment/<guid>                          JSON, the assignment
 *   assignment-at<scope, lower case>//<guid>   "<principal> <role>"
 *   assignment-of/<principal>/<guid>           "<role> <scope>"
 *
 * What decides is the list in principal/<uuid>, which workers read: it is
 * changed in the same transaction.  "assignment-at" of the scope "/" is
 * "assignment-at//<guid>"; no scope has an empty segment, so that what begins
 * with a scope and "/" is at that scope or below, and nothing else is.
 */

#ifndef AMLD_ASSIGNMENTS_H
#define AMLD_ASSIGNMENTS_H

#include "auth/principal.h"
#include "registry/registry.h"

#define AMLD_SCOPE_MAX 448 /* bytes; a key has room for no more */
#define AMLD_DESCRIPTION_MAX 1024
#define AMLD_STAMP_SIZE 32 /* "2026-11-23T09:07:44.123Z" */

typedef enum {
    AMLD_TYPE_USER = 0,
    AMLD_TYPE_GROUP,
    AMLD_TYPE_SERVICE,
    AMLD_TYPE_COUNT
} amld_principal_type_t;

/* "User", "Group", "ServicePrincipal": static. */
const char *amld_principal_type_name(amld_principal_type_t type);
/* By name, in any case; AMLD_TYPE_COUNT when it is none of them. */
amld_principal_type_t amld_principal_type_find(const char *name);

typedef struct {
    aml_principal_id_t id;
    aml_principal_id_t principal;
    aml_principal_id_t role;
    amld_principal_type_t type;
    char scope[AMLD_SCOPE_MAX + 1];
    char description[AMLD_DESCRIPTION_MAX + 1];
    char created_on[AMLD_STAMP_SIZE];
    char updated_on[AMLD_STAMP_SIZE];
    char created_by[AML_UUID_TEXT + 1]; /* "": from the command line */
    char updated_by[AML_UUID_TEXT + 1];
} amld_assignment_t;

/* "/", or "/a/b…" without empty segments, a slash at the end or characters
 * that no ARM id has; at most AMLD_SCOPE_MAX bytes. */
int amld_scope_valid(const char *scope);


/* ---- within a transaction ---- */

/* OK, NOTFOUND, or CORRUPT when what is there is no assignment. */
aml_registry_rc_t
amld_assignment_get(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                    amld_assignment_t *a);

/* The assignment of exactly this role at exactly this scope. */
aml_registry_rc_t amld_assignment_find(aml_registry_txn_t *txn,
                                       const aml_principal_id_t *principal,
                                       const aml_principal_id_t *role,
                                       const char *scope, amld_assignment_t *a);

/*
 * A GUID that follows from principal, role and scope, so that doing it twice
 * is doing it once; a random one where that is in use for something else.
 */
aml_registry_rc_t
amld_assignment_id(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
                   const aml_principal_id_t *role, const char *scope,
                   aml_principal_id_t *id);

/*
 * A new assignment; id, scope and times are filled.  NOTFOUND when the
 * principal has no record, TOOLONG when it has too many roles already.  That
 * neither the id nor the same assignment is there is the caller's to know.
 */
aml_registry_rc_t
amld_assignment_add(aml_registry_txn_t *txn, const amld_assignment_t *a);

/* Writes what may change: description, type and times. */
aml_registry_rc_t
amld_assignment_update(aml_registry_txn_t *txn, const amld_assignment_t *a);

aml_registry_rc_t
amld_assignment_remove(aml_registry_txn_t *txn, const amld_assignment_t *a);

/* The assignment, but not the entry of the list: id, principal, scope. */
aml_registry_rc_t
amld_assignment_forget(aml_registry_txn_t *txn, const amld_assignment_t *a);

/* All that a principal has. */
aml_registry_rc_t amld_assignments_end_of(aml_registry_txn_t *txn,
                                          const aml_principal_id_t *principal);

/* All at the scope and below: what was there is gone, and another of its name
 * must not inherit. */
aml_registry_rc_t
amld_assignments_end_below(aml_registry_txn_t *txn, const char *scope);


/* What the indexes say, without reading the assignment; strings live as the
 * transaction's values do. */
typedef struct {
    aml_str_t key;
    aml_str_t scope; /* lower case, unless it is of a principal */
    aml_principal_id_t id;
    aml_principal_id_t principal;
    aml_principal_id_t role;
} amld_assignment_entry_t;

/* A return other than 0 ends the walk. */
typedef int (*amld_assignment_each_pt)(void *data,
                                       const amld_assignment_entry_t *entry);

/*
 * Those at `scope`, with `below` also those below it, starting at the first
 * whose key is not less than `from` where that is not empty.
 */
aml_registry_rc_t
amld_assignments_at(aml_registry_txn_t *txn, const char *scope, int below,
                    aml_str_t from, amld_assignment_each_pt each, void *data);

/* Those of a principal, in the order of their GUIDs. */
aml_registry_rc_t
amld_assignments_of(aml_registry_txn_t *txn,
                    const aml_principal_id_t *principal, aml_str_t from,
                    amld_assignment_each_pt each, void *data);


/* ---- at start ---- */

/*
 * Every entry of a principal's list gets its assignment where it has none, as
 * releases before this one wrote none; an assignment whose entry is gone goes
 * too.  0, or -1 after the reason was logged.
 */
int amld_assignments_tend(aml_registry_t *registry);

#endif /* AMLD_ASSIGNMENTS_H */
