/*
 * Schedules are kept: instances start and stop at their times.  A thread of
 * its own (clock.h); what it decides is written in the transaction that also
 * says that this run is over, so that none comes twice.
 */

#ifndef AMLD_SCHEDULE_RUN_H
#define AMLD_SCHEDULE_RUN_H

#include "computes/amld.h"
#include "computes/automatic/clock.h"

/* NULL after the reason was logged; amld_clock_stop() ends it. */
amld_clock_t *amld_schedule_start(amld_t *d);

/* One instance whose time it is; the thread's, and for tests. */
void
amld_schedule_turn(amld_t *d, const amld_key_t *key, int64_t at, int64_t now);

/* Plans anew what lies further ahead than a right clock would have it. */
void amld_schedule_back(amld_t *d, int64_t now);

#endif /* AMLD_SCHEDULE_RUN_H */
