/*
 * $filter of role assignments and role definitions: what of OData their
 * clients send.
 */

#ifndef AMLD_ROLE_FILTER_H
#define AMLD_ROLE_FILTER_H

#include "auth/principal.h"

#define AMLD_FILTER_TEXT 256
#define AMLD_FILTER_MAX 512 /* bytes of the whole */

typedef struct {
    int at_scope;                 /* atScope() */
    int at_scope_and_below;       /* atScopeAndBelow() */
    int by_principal;             /* principalId eq '…' */
    int by_assignee;              /* assignedTo('…') */
    int by_name;                  /* roleName eq '…' */
    int by_type;                  /* type eq '…' */
    aml_principal_id_t principal; /* of either */
    char name[AMLD_FILTER_TEXT];
    char type[AMLD_FILTER_TEXT];
} amld_role_filter_t;

/*
 * Terms joined by "and", in any case but for what is quoted, in which '' is
 * one quote.  NULL is no filter.  0, or -1 when it is not one of these, names
 * no GUID where one is due, says a thing twice, or is too long.
 */
int amld_role_filter_read(amld_role_filter_t *filter, const char *text);

#endif /* AMLD_ROLE_FILTER_H */
