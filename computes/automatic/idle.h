/*
 * Idle shutdown: an instance that has idleTimeBeforeShutdown stops when nobody
 * and nothing has used it for so long.
 *
 * What is use: requests, but for those that an open page makes by itself, and
 * data frames of websockets, either way, SSH's among them, as the gateway tells
 * (usage.h); a kernel that is at work or has been; a terminal that was written
 * to or has written; a program in one that is at work, though nobody looks;
 * what idle_keepers says, such as jobs.  Pings are none.
 *
 * What was before amld started is not known to it, so the time begins with it
 * at the earliest; and it does not stop what it can't ask.  The same when the
 * clock was set back: what lies ahead of now by more than AMLD_IDLE_AHEAD was
 * written by a clock that was wrong, and says nothing.
 *
 * The document's member "idle" is {since: seconds since 1970, when it came to
 * run; seconds: of idleTimeBeforeShutdown, as planned}; due (due.h) is when to
 * look, which is not before it may have been idle for long enough.  So an
 * instance in use is looked at once in that time, however many there are.
 */

#ifndef AMLD_IDLE_H
#define AMLD_IDLE_H

#include "computes/amld.h"
#include "computes/automatic/clock.h"
#include "computes/automatic/usage.h"
#include "computes/instances/computes.h"
#include "computes/instances/jupyter.h"

#define AMLD_IDLE_AGAIN 60 /* seconds, when it could not be asked */
#define AMLD_IDLE_AHEAD 60 /* seconds: less is taken for now */
#define AMLD_IDLE_REASON 256

/* What is known of an instance at a moment. */
typedef struct {
    int64_t now;
    int64_t since;   /* runs, and is looked after, since then */
    int64_t seconds; /* it stops after so long; 0: never */
    amld_use_t use;
    int asked;    /* `jupyter` is from now */
    int answered; /* it is known, or there is nobody to ask */
    amld_jupyter_t jupyter;
    int works;        /* a program in a terminal does */
    const char *kept; /* by something else: what; or NULL */
} amld_idle_facts_t;

typedef struct {
    int64_t idle_since;            /* the last use; `now` while it goes on */
    int64_t stops_at;              /* if nothing happens; AMLD_DUE_NEVER */
    int kept;                      /* it is in use at this moment */
    int unknown;                   /* it could not be asked */
    char reason[AMLD_IDLE_REASON]; /* the last use, or what keeps it */
} amld_idle_verdict_t;

/* Looks at nothing but the facts.  It is to stop when stops_at is not after
 * `now`, and neither `kept` nor `unknown`. */
void
amld_idle_judge(const amld_idle_facts_t *facts, amld_idle_verdict_t *verdict);

/* Brings the member "idle" up to date and says when to look: `*at` is
 * AMLD_DUE_NEVER where it never stops by itself.  0, or -1 without memory. */
int amld_idle_plan(json_t *doc, int64_t now, int64_t *at);

/* 1 after the member "idle" was changed so that it is planned anew, as what it
 * has, or the time to look, was written by a clock that was ahead. */
int amld_idle_reset(json_t *doc, int64_t now);

/* requested.idleTimeBeforeShutdown in seconds; 0: none. */
int64_t amld_idle_seconds(const json_t *doc);

/*
 * What keeps an instance beside the gateway and Jupyter: 1 and a sentence, or
 * 0.  Rows of a table in idle.c; called without a transaction, may wait a
 * moment.
 */
typedef int (*amld_idle_keeper_pt)(amld_t *d, const json_t *doc, char *why,
                                   size_t size);

/* Gathers facts; asks, which may take AMLD_JUPYTER_TIMEOUT twice, and looks at
 * terminals for a second, where there are some. */
void amld_idle_gather(amld_t *d, const json_t *doc, int64_t now,
                      amld_idle_facts_t *facts, char why[AMLD_IDLE_REASON]);

/* One instance whose time may have come; the thread's, and for tests. */
void amld_idle_turn(amld_t *d, const amld_key_t *key, int64_t at, int64_t now);

/* All of them, after the clock was set back; the thread's, and for tests. */
void amld_idle_back(amld_t *d, int64_t now);

/* NULL after the reason was logged; amld_clock_stop() ends it. */
amld_clock_t *amld_idle_start(amld_t *d);

#endif /* AMLD_IDLE_H */
