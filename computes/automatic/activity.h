/*
 * What the gateway's workers tell of credentials in use (auth/activity.h): one
 * thread hears it, another writes it down, many at a time.  Of keys that are
 * missing they tell the key keeper.
 *
 * A use of a session, or of a token that belongs to a sign-in, goes into the
 * sign-in's document (amld_sign_in_seen()); that of a personal token under
 * token-seen/<hash>, {"seen": seconds since 1970}.
 */

#ifndef AMLD_ACTIVITY_H
#define AMLD_ACTIVITY_H

#include <stdint.h>

#include "computes/amld.h"

#define AMLD_ACTIVITY_SECONDS 60 /* between writes */

typedef struct amld_activity amld_activity_t;

/* Binds config->activity; NULL after the reason was logged. */
amld_activity_t *amld_activity_start(amld_t *d);
/* Writes what is left; NULL is allowed. */
void amld_activity_stop(amld_activity_t *a);

/*
 * When a session or a personal token, by its hash, was last used, in seconds
 * since 1970; 0 when it is not known.  What was used in the last minutes is in
 * memory; of a personal token also what `txn` has, unless it is NULL.  Any
 * thread.
 */
int64_t amld_activity_seen(amld_activity_t *a, aml_registry_txn_t *txn,
                           const uint8_t hash[32]);

/* Since when it hears of use, with workers' half a minute taken into account:
 * what was used before may not be known, and is not to be called idle. */
int64_t amld_activity_since(const amld_activity_t *a);

#endif /* AMLD_ACTIVITY_H */
