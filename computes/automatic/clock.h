/*
 * A thread that does what is due (due.h), each thing at its time.
 *
 * It looks at the first entry only.  Time is that of the wall, which can be
 * set: so it never sleeps for longer than AMLD_CLOCK_LOOK, and says when
 * time went back.
 */

#ifndef AMLD_CLOCK_H
#define AMLD_CLOCK_H

#include "computes/amld.h"
#include "computes/automatic/due.h"

#define AMLD_CLOCK_LOOK 2  /* seconds */
#define AMLD_CLOCK_AGAIN 5 /* seconds after something could not be done */
#define AMLD_CLOCK_BACK 60 /* seconds that it may be set back unnoticed */

typedef struct amld_clock amld_clock_t;

typedef struct {
    const char *name; /* for the log */
    amld_due_t kind;
    /* It is time: has to take the entry away or move it.  It may wait. */
    void (*turn)(void *data, const amld_key_t *key, int64_t at);
    /* At the beginning, and when the wall's clock was set back; or NULL. */
    void (*back)(void *data);
    void *data;
} amld_clock_work_t;

/* `work` is copied.  NULL after the reason was logged. */
amld_clock_t *amld_clock_start(amld_t *d, const amld_clock_work_t *work);

/*
 * After a clock that was wrong: those that are due some time are planned anew
 * where `reset` says so.  It changes the document so that storing it plans it,
 * and returns 1; or changes nothing.  `name` is for the log.
 */
void amld_clock_anew(amld_t *d, amld_due_t kind, const char *name,
                     int (*reset)(json_t *doc, int64_t now), int64_t now);

/* Waits for what is being done; NULL is allowed. */
void amld_clock_stop(amld_clock_t *clock);

#endif /* AMLD_CLOCK_H */
