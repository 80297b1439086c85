/*
 * Handlers that wait for somebody else, such as an identity provider: they run
 * in threads of their own, so that however many wait, nobody else does.
 */

#ifndef AMLD_HTTP_SLOW_H
#define AMLD_HTTP_SLOW_H

#include "computes/http/http_internal.h"

#define AMLD_HTTP_SLOW_THREADS 64
#define AMLD_HTTP_SLOW_QUEUE 512 /* requests that wait for a thread */

typedef struct amld_http_slow amld_http_slow_t;

/* Threads are made as they are needed.  NULL without memory. */
amld_http_slow_t *amld_http_slow_new(amld_t *d);

/*
 * Suspends the exchange's connection, runs `handler`, sets e->done and resumes
 * it.  0, or -1 when too many wait: then nothing has happened.
 */
int amld_http_slow_run(amld_http_slow_t *slow, amld_exchange_t *e,
                       amld_handler_pt handler);

/* How many wait for a thread. */
size_t amld_http_slow_waiting(amld_http_slow_t *slow);

/* The exchange is over, whatever became of it. */
void amld_http_slow_over(amld_http_slow_t *slow, const amld_exchange_t *e);

/*
 * Waits for what runs, resumes what waits without having run it (e->done is
 * set, there is no answer), and takes nothing more.  Then it waits until all of
 * them have their answers, a moment at most: the daemon does not, as it stops.
 */
#define AMLD_HTTP_SLOW_LINGER 2 /* seconds */
void amld_http_slow_stop(amld_http_slow_t *slow);
void amld_http_slow_free(amld_http_slow_t *slow); /* NULL is allowed */

#endif /* AMLD_HTTP_SLOW_H */
