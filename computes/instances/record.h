/*
 * What the supervisor writes into documents.
 *
 * A handler may write a document at any time.  So nothing is written here but
 * in a transaction that has read the document again and found that it still
 * says what is being done.
 */

#ifndef AMLD_RECORD_H
#define AMLD_RECORD_H

#include "computes/instances/instance.h"

#define AMLD_RECORD_OK 0
#define AMLD_RECORD_CHANGED 1 /* the document says something else now */
#define AMLD_RECORD_FAILED (-1)

typedef int (*amld_record_change_pt)(amld_instance_t *i,
                                     aml_registry_txn_t *txn, json_t *doc);

/* Reads it: 0, with NULL where there is none; or -1, look_at is set then. */
int amld_record_load(amld_instance_t *i, json_t **doc);

/* One transaction around `change`; AMLD_RECORD_*, look_at is set when it
 * FAILED. */
int amld_record_write(amld_instance_t *i, amld_record_change_pt change);

/* Removes an instance that is being deleted; likewise. */
int amld_record_remove(amld_instance_t *i);

/* 1 when what was started last is what is asked for. */
int amld_record_is_start(const json_t *doc);

/* 1 in states that lead to Running. */
int amld_record_is_starting(amld_state_t state);


/* ---- changes ---- */

/* It was Running and is to be started again. */
int amld_change_lost(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

/* i->step is about to run. */
int amld_change_step(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

/* The applications are about to run. */
int amld_change_begun(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

/* All have answered. */
int
amld_change_running(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

/* All have ended, as was asked. */
int
amld_change_stopped(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

/* All have ended for i->failure. */
int
amld_change_failed(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

/* An application of a running instance was started again. */
int
amld_change_commands(amld_instance_t *i, aml_registry_txn_t *txn, json_t *doc);

#endif /* AMLD_RECORD_H */
