/*
 * Starts and stops that nobody asks for at that moment: by a schedule, or for
 * idleness.  As the control API does it: the document says what is wanted, and
 * the supervisor makes it so.
 */

#ifndef AMLD_AUTOMATIC_H
#define AMLD_AUTOMATIC_H

#include "computes/amld.h"
#include "computes/instances/computes.h"

typedef struct {
    const char *name; /* "Start", "Stop" */
    amld_state_t state;
    const char
        *trigger;       /* ARM's operationTrigger: "Schedule", "IdleShutdown" */
    const char *reason; /* for people: a sentence */
} amld_automatic_t;

/*
 * Begins an operation, and stores the document, in a transaction that the
 * caller commits; amld_automatic_told() after that.  What an operation of a
 * user had under way ends as when a user asks for another.
 */
aml_registry_rc_t amld_automatic_begin(const amld_t *d, aml_registry_txn_t *txn,
                                       const amld_key_t *key, json_t *doc,
                                       const amld_automatic_t *what);

/* Log, audit log, and the supervisor is woken. */
void
amld_automatic_told(amld_t *d, const json_t *doc, const amld_automatic_t *what);

/* The same of what was not done, and why: a line of the log, one of the audit
 * log. */
void amld_automatic_refused(amld_t *d, const json_t *doc,
                            const amld_automatic_t *what);

#endif /* AMLD_AUTOMATIC_H */
