/*
 * The studio page: a person's own instances.
 */

#ifndef AMLD_STUDIO_H
#define AMLD_STUDIO_H

#include "computes/http/http.h"
#include "registry/records.h"

/* A person's own instances, by the lower-case name that hosts have; a return
 * other than 0 ends the walk. */
typedef int (*amld_own_each_pt)(void *data, aml_str_t name,
                                const aml_route_t *route);
aml_registry_rc_t
amld_own_instances(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
                   amld_own_each_pt each, void *data);

/* 0, or -1 after the reason was logged and nothing was answered. */
int amld_studio_page(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);

#endif /* AMLD_STUDIO_H */
