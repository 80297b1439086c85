/*
 * The upstream of the benchmarks: answers every request with the same few
 * bytes, on a unix socket and a TCP port, keepalive.  It never waits: who has
 * made it calls answer_poll() again and again.
 */

#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

typedef struct answer answer_t;

/* Listens at `path`, which is made anew, and at 127.0.0.1:`port` unless that
 * is 0.  NULL when it can't: see errno. */
answer_t *answer_new(const char *path, int port);

/* Takes what has come and answers it; "/allow" with 204, the rest with 200. */
void answer_poll(answer_t *a);

#endif /* BENCH_ANSWER_H */
