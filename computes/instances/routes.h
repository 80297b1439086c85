/*
 * Where an instance's ports lead to: the records at route/, which follow from
 * its document.
 *
 *   <name>/0        the instance: its state; where it has a network of its
 *                   own, an address with '*' for any port that has no record
 *   <name>/<port>   an application, or an endpoint of a service
 */

#ifndef AMLD_ROUTES_H
#define AMLD_ROUTES_H

#include "computes/instances/computes.h"

/* Writes all of them, and removes those that are no more. */
aml_registry_rc_t amld_routes_put(aml_registry_txn_t *txn,
                                  const amld_config_t *c, const json_t *doc);
/* Removes all of an instance; its name in lower case. */
aml_registry_rc_t amld_routes_drop(aml_registry_txn_t *txn, const char *lower);

/* The state that the gateway is told. */
aml_instance_state_t amld_routes_head(const json_t *doc);

#endif /* AMLD_ROUTES_H */
