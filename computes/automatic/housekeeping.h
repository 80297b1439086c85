/*
 * What has to be done every minute and waits for nobody: expired sessions and
 * codes, the local issuer's keys, reader slots of workers that died.  Every few
 * seconds it looks whether the registry is still the one that is at its path:
 * amld ends when it is not, as nobody reads what it goes on writing.
 */

#ifndef AMLD_HOUSEKEEPING_H
#define AMLD_HOUSEKEEPING_H

#include "computes/amld.h"

#define AMLD_HOUSEKEEPING_SECONDS 60
#define AMLD_HOUSEKEEPING_LOOK 5 /* seconds */

typedef struct amld_housekeeping amld_housekeeping_t;

/* A thread of its own; NULL after the reason was logged. */
amld_housekeeping_t *amld_housekeeping_start(amld_t *d);
void amld_housekeeping_stop(amld_housekeeping_t *h); /* NULL is allowed */

#endif /* AMLD_HOUSEKEEPING_H */
