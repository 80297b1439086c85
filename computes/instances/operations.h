/*
 * Long-running operations: one JSON document each at operation/<id>, 32 hex
 * digits that can't be guessed.
 *
 *   {compute (its key), creator (whose that was), name ("Start"), status,
 *    startTime, endTime, error {code, message}}
 *
 * What is under way is also in the compute's document (operation,
 * lastOperation); the two change in one transaction.  What has ended has two
 * keys more, with when it ended, in microseconds as 16 hex digits:
 *
 *   operation-ended/<time>/<id>       whose it was
 *   operation-of/<creator>/<time>/<id>
 *
 * by which it is removed after a day, or earlier where its creator has more
 * than AMLD_OPERATIONS_OF: nobody fills the registry with them.
 */

#ifndef AMLD_OPERATIONS_H
#define AMLD_OPERATIONS_H

#include <jansson.h>
#include <stdint.h>

#include "computes/instances/computes.h"
#include "registry/registry.h"

#define AMLD_OPERATION_ID 32               /* characters */
#define AMLD_OPERATION_KEPT (24 * 60 * 60) /* seconds after its end */
#define AMLD_OPERATIONS_OF 1000            /* that have ended, of one person */

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

/*
 * The id of one that was over when it was asked for ("Start", "Stop",
 * "Restart", "Update"): the id says all there is to it, and nothing is written.
 * It has room for 33 bytes.
 */
void amld_operation_done(const char *name, char *id);

/* A new reference; NOTFOUND also for what is no id.  One that was over when it
 * was asked for has no "compute". */
aml_registry_rc_t
amld_operation_load(aml_registry_txn_t *txn, const char *id, json_t **op);

/*
 * At start, once in the life of a registry: notes the ends of operations that
 * earlier releases have written, which are not found otherwise.  What can't be
 * written is logged, and tried at the next start.
 */
void amld_operations_tend(aml_registry_t *registry);

/* Removes those that ended more than AMLD_OPERATION_KEPT seconds before `now`;
 * in batches, so that others may write in between.  How many. */
size_t amld_operations_sweep(aml_registry_t *registry, int64_t now);

#endif /* AMLD_OPERATIONS_H */
