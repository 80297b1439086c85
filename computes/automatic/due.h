/*
 * What has to be looked at, and when: an index by time of instances, so that
 * one look-up says whether there is anything to do, however many there are.
 *
 *   due/<kind>/<seconds since 1970, 12 digits>/<region>/<name>
 *
 * with the instance's compute key as the value.  What is there follows from
 * the document's member due {<kind>: seconds} and changes in the transaction
 * that writes the document.
 */

#ifndef AMLD_DUE_H
#define AMLD_DUE_H

#include "computes/instances/computes.h"

#define AMLD_DUE_NEVER ((int64_t) -1)

typedef enum {
    AMLD_DUE_SCHEDULE = 0, /* a schedule starts or stops it */
    AMLD_DUE_IDLE,         /* it may have been idle for long enough */
    AMLD_DUE_COUNT
} amld_due_t;

/* Puts an instance there, moves it, or with AMLD_DUE_NEVER takes it away. */
aml_registry_rc_t amld_due_set(aml_registry_txn_t *txn, const amld_key_t *key,
                               json_t *doc, amld_due_t kind, int64_t at);

/* Takes all of an instance's away: it is removed. */
aml_registry_rc_t amld_due_remove(aml_registry_txn_t *txn, const json_t *doc);

/* One entry, of which nothing is known but this. */
aml_registry_rc_t amld_due_drop(aml_registry_txn_t *txn, amld_due_t kind,
                                const amld_key_t *key, int64_t at);

/* When, or AMLD_DUE_NEVER. */
int64_t amld_due_at(const json_t *doc, amld_due_t kind);

/* Whose turn it is next, and when; NOTFOUND. */
aml_registry_rc_t amld_due_first(aml_registry_txn_t *txn, amld_due_t kind,
                                 amld_key_t *key, int64_t *at);

/* All of them, in order; a return other than 0 ends the walk. */
aml_registry_rc_t
amld_due_each(aml_registry_txn_t *txn, amld_due_t kind,
              int (*each)(void *data, const amld_key_t *key, int64_t at),
              void *data);

#endif /* AMLD_DUE_H */
