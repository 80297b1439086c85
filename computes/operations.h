/*
 * Long-running operations: one JSON document each at operation/<id>, 32 hex
 * digits that can't be guessed.
 *
 *   {compute (its key), creator (whose that was), name ("Start"), status,
 *    startTime, endTime, error {code, message}}
 *
 * What is under way is also in the compute's document (operation,
 * lastOperation); the two change in one transaction.
 */

#ifndef AMLD_OPERATIONS_H
#define AMLD_OPERATIONS_H

#include <jansson.h>
#include <stdint.h>

#include "computes/computes.h"
#include "registry/registry.h"

#define AMLD_OPERATION_ID 32               /* characters */
#define AMLD_OPERATION_KEPT (24 * 60 * 60) /* seconds after its end */

/*
 * Begins `name` ("Create", "Start", "Stop", "Restart", "Delete") on a compute:
 * one that is under way is canceled.  Changes `doc`, which the caller stores.
 */
aml_registry_rc_t
amld_operation_begin(aml_registry_txn_t *txn, const amld_key_t *compute,
                     json_t *doc, const char *name);

/*
 * Ends what is under way in `doc`, and its lastOperation: Succeeded, or
 * Failed where `code` is not NULL.  Nothing where nothing is.
 */
aml_registry_rc_t amld_operation_end(aml_registry_txn_t *txn, json_t *doc,
                                     const char *code, const char *message);

/* A record of something that was done already; `id` has room for 33 bytes. */
aml_registry_rc_t
amld_operation_done(aml_registry_txn_t *txn, const amld_key_t *compute,
                    const char *name, char *id);

/* A new reference; NOTFOUND also for what is no id. */
aml_registry_rc_t
amld_operation_load(aml_registry_txn_t *txn, const char *id, json_t **op);

/* Removes those that ended more than AMLD_OPERATION_KEPT seconds before
 * `now`; a batch at a time, returns how many. */
int amld_operations_sweep(aml_registry_t *registry, int64_t now);

#endif /* AMLD_OPERATIONS_H */
