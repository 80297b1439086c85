/*
 * Applications on demand, the supervisor's side: starts what was asked for
 * while the instance is up, writes down how it went, starts again what ends.
 *
 * One that does not work never takes the instance with it: it fails by itself,
 * with its reason in the document, and is started anew only when that is asked
 * for (on_demand.h).  Otherwise it is one of i->apps like the others: written
 * down before it runs, found again by another amld, ended by a stop.
 */

#ifndef AMLD_ON_DEMAND_RUN_H
#define AMLD_ON_DEMAND_RUN_H

#include "computes/instances/instance.h"

/* Starts what `doc`, of a running instance, asks for and is not there. */
void amld_on_demand_look(amld_instance_t *i, const json_t *doc);

/* After adoption: what is known of those that were found. */
void amld_on_demand_adopt(amld_instance_t *i, const json_t *doc);

/* What has happened since to one of them while its instance is up. */
void amld_on_demand_tick(amld_app_t *app, int64_t now);


/* ---- for services, which are run the same way: service_run.h ---- */

/* It is asked for; what was before does not count. */
void amld_on_demand_start(amld_app_t *app, int64_t now);
/* Writes down all that is dirty; AMLD_RECORD_*. */
int amld_on_demand_write(amld_instance_t *i, int64_t now);

#endif /* AMLD_ON_DEMAND_RUN_H */
