/*
 * What has to be done every minute and waits for nobody: expired sessions and
 * codes, the local issuer's keys, reader slots of workers that died.
 */

#ifndef AMLD_HOUSEKEEPING_H
#define AMLD_HOUSEKEEPING_H

#include "computes/amld.h"

#define AMLD_HOUSEKEEPING_SECONDS 60

typedef struct amld_housekeeping amld_housekeeping_t;

/* A thread of its own; NULL after the reason was logged. */
amld_housekeeping_t *amld_housekeeping_start(amld_t *d);
void amld_housekeeping_stop(amld_housekeeping_t *h); /* NULL is allowed */

#endif /* AMLD_HOUSEKEEPING_H */
