/*
 * Schedules of an instance, requested.schedules.computeStartStop, as they are
 * written down and what follows from them.  Nothing here waits or looks at a
 * clock.
 *
 * The document's member "schedule" remembers what has been done, so that no
 * run comes twice whatever happens in between:
 *
 *   of     the schedules that this is about; others begin anew
 *   until  seconds since 1970: what was due by then is over
 *   next   the next run
 *   last   {time, action, result}: the last one that was due
 */

#ifndef AMLD_SCHEDULE_H
#define AMLD_SCHEDULE_H

#include "computes/instances/computes.h"

/* A run that is late by more is missed: nobody waits for it any more. */
#define AMLD_SCHEDULE_LATE 3600 /* seconds */

typedef struct {
    int64_t at; /* AMLD_DUE_NEVER: there is none */
    int start;  /* else stop */
} amld_schedule_run_t;

/* What was due in a time. */
typedef struct {
    amld_schedule_run_t run;    /* the latest, no later than AMLD_SCHEDULE_LATE
                                   ago: to be done */
    amld_schedule_run_t missed; /* the latest of the others */
    unsigned more; /* how many of these, as far as they were counted */
} amld_schedule_due_t;

/*
 * When is the next run?  Brings the member "schedule" up to date.  0, or -1
 * without memory.  `*at` is AMLD_DUE_NEVER where there is nothing to do.
 */
int amld_schedule_plan(json_t *doc, int64_t now, int64_t *at);

/* What has become due by `now`, since `until`; writes nothing. */
void
amld_schedule_look(const json_t *doc, int64_t now, amld_schedule_due_t *due);

/* It is over, with this result; 0, or -1 without memory.  `run` may be NULL
 * where there was none. */
int amld_schedule_over(json_t *doc, int64_t now, const amld_schedule_run_t *run,
                       const char *result);

/* 1 when `until` lies so far ahead that the clock must have been wrong; then
 * it is `now`, and what is planned is planned again. */
int amld_schedule_reset(json_t *doc, int64_t now);

#endif /* AMLD_SCHEDULE_H */
