/*
 * Custom services, asked for at their address: started by the page that says
 * that they do not run.
 */

#ifndef AMLD_SERVICE_ASK_H
#define AMLD_SERVICE_ASK_H

#include "auth/principal.h"
#include "computes/amld.h"

/*
 * Orders the service that has `port` of the instance `name` (lower case) to be
 * started, in the name of `who`, and wakes the supervisor; nothing where it
 * runs, or is being started.  OK; DENIED when `who` is not the instance's
 * creator; NOTFOUND when there is no such instance, it is not Running, or has
 * no such service.
 */
aml_registry_rc_t amld_service_ask(amld_t *d, aml_str_t name, unsigned port,
                                   const aml_principal_id_t *who);

#endif /* AMLD_SERVICE_ASK_H */
