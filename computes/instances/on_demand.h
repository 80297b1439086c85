/*
 * Applications on demand: configured, but started only when the creator of a
 * running instance first asks for them.
 *
 * What is asked for is in the document (computes.h), written by whoever asks:
 *
 *   onDemand {<application>: {state, time, message}}
 *
 * "Starting": the supervisor starts it, unless it has already; "Running": it
 * has answered, and the gateway has its address; "Failed": why is in `message`,
 * and it is started again only when that is asked for.  Without a member it was
 * never asked for.  All of it goes when the instance is no longer Running.
 */

#ifndef AMLD_ON_DEMAND_H
#define AMLD_ON_DEMAND_H

#include <jansson.h>

#include "auth/principal.h"
#include "computes/amld.h"
#include "computes/instances/computes.h"
#include "upstreams/application.h"

typedef enum {
    AMLD_DEMAND_NONE = 0,
    AMLD_DEMAND_STARTING,
    AMLD_DEMAND_RUNNING,
    AMLD_DEMAND_FAILED
} amld_demand_t;

amld_demand_t
amld_on_demand_state(const json_t *doc, const aml_application_t *a);
const char *
amld_on_demand_message(const json_t *doc, const aml_application_t *a); /* "" */
/* When it came into its state, seconds since 1970; 0: unknown. */
int64_t amld_on_demand_time(const json_t *doc, const aml_application_t *a);

/* `message` may be NULL.  0, or -1 without memory. */
int amld_on_demand_set(json_t *doc, const aml_application_t *a,
                       amld_demand_t state, const char *message);

/* What the gateway is told of one that has no address. */
aml_instance_state_t amld_on_demand_route(amld_demand_t state);

/* The one on `port` that is configured; NULL. */
const aml_application_t *
amld_on_demand_find(const amld_config_t *c, unsigned port);

/* The document of the instance that has the name (lower case); OK, or
 * NOTFOUND. */
aml_registry_rc_t
amld_on_demand_key(aml_registry_txn_t *txn, const amld_config_t *c,
                   aml_str_t name, amld_key_t *key);

/*
 * That document where `who` may ask for something in it, and the instance runs:
 * OK; DENIED, NOTFOUND as amld_on_demand_ask().  *doc is the caller's, NULL
 * unless OK.
 */
aml_registry_rc_t
amld_on_demand_load(aml_registry_txn_t *txn, const amld_config_t *c,
                    aml_str_t name, const aml_principal_id_t *who,
                    amld_key_t *key, json_t **doc);

/*
 * Asks for it in the name of `who`, and wakes the supervisor: one transaction,
 * none where it was asked for before.  With `again` also where it has failed.
 * OK; DENIED when `who` is not the instance's creator; NOTFOUND when there is
 * no such instance, it is not Running, or has no such application.
 */
aml_registry_rc_t amld_on_demand_ask(amld_t *d, aml_str_t name, unsigned port,
                                     const aml_principal_id_t *who, int again);

/*
 * The last of asking for `what`: stores the document, commits, and wakes the
 * supervisor.  *txn is NULL when it has ended by that, also in vain.
 */
aml_registry_rc_t
amld_on_demand_commit(amld_t *d, aml_registry_txn_t **txn,
                      const amld_key_t *key, json_t *doc, const char *what);

#endif /* AMLD_ON_DEMAND_H */
