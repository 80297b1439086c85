/*
 * What an instance's document has coming by itself: when its schedules start
 * or stop it, when it may be idle.
 */

#ifndef AMLD_PLAN_H
#define AMLD_PLAN_H

#include "computes/instances/computes.h"

/* Before the document is written: brings its members schedule, idle and due,
 * and the index (due.h), up to date with the rest of it. */
aml_registry_rc_t
amld_plan(aml_registry_txn_t *txn, const amld_key_t *key, json_t *doc);

#endif /* AMLD_PLAN_H */
