/*
 * Microsoft.Authorization/roleAssignments and roleDefinitions, in ARM's shape:
 * at "/", a subscription, a resource group, a workspace and a compute.
 *
 * That whoever asks may do it at the scope in the path is the gateway's
 * decision; here is checked that it was about this action and this path, and
 * that nothing reaches beyond the scope.
 */

#ifndef AMLD_ROLE_API_H
#define AMLD_ROLE_API_H

#include "auth/assignments.h"
#include "auth/role_filter.h"
#include "computes/api/arm.h"

extern const amld_http_route_t amld_role_routes[];

#define AMLD_ROLE_PAGE 100 /* on a page of a list */


/* ---- what both kinds share ---- */

typedef struct {
    amld_arm_t arm;
    char scope[AMLD_SCOPE_MAX + 1]; /* of the path, as the client wrote it */
    aml_principal_id_t id;          /* of the path, where it has a name */
    json_t *body;
} amld_role_call_t;

/*
 * Identity, action, api-version, scope, and with `named` the GUID; `code` is
 * what one that is none is answered with.  0, or -1 when the response was
 * filled.  amld_role_end() in either case.
 */
int amld_role_begin(amld_role_call_t *call, amld_t *d,
                    const amld_request_t *request, amld_response_t *response,
                    const char *type, int named, const char *code);
void amld_role_end(amld_role_call_t *call);

/* The body's object; 0, or -1 when the response was filled. */
int amld_role_body(amld_role_call_t *call);

/* Opens a transaction; 0, or -1 when the response was filled. */
int amld_role_open(amld_role_call_t *call, int write);

/* Is what the scope names there?  0, or -1 when the response was filled. */
int amld_role_scope_there(amld_role_call_t *call);

/* The filter of the query, for a list of assignments or of definitions; 0, or
 * -1 when the response was filled. */
int amld_role_filter(amld_role_call_t *call, amld_role_filter_t *filter,
                     int assignments);

/* A list's answer; `next` is the $skipToken of the next page, "" at the end.
 * Takes `list`. */
void amld_role_list(amld_role_call_t *call, const char *type, json_t *list,
                    const char *next);

/* The id of a definition or an assignment as the scope's subscription has it:
 * "/subscriptions/…/providers/Microsoft.Authorization/<type>/<guid>". */
json_t *amld_role_definition_id(const char *scope, const char *guid);

void amld_role_definitions_list(amld_t *d, const amld_request_t *request,
                                amld_response_t *response);
void amld_role_definition_get(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);
void amld_role_definition_put(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);
void amld_role_definition_delete(amld_t *d, const amld_request_t *request,
                                 amld_response_t *response);

void amld_role_assignments_list(amld_t *d, const amld_request_t *request,
                                amld_response_t *response);
void amld_role_assignment_get(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);
void amld_role_assignment_put(amld_t *d, const amld_request_t *request,
                              amld_response_t *response);
void amld_role_assignment_delete(amld_t *d, const amld_request_t *request,
                                 amld_response_t *response);

#endif /* AMLD_ROLE_API_H */
