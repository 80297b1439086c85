/*
 * Is an application up?  GET of its ready_path on its unix socket, answered by
 * 200; or its ready_banner, which is what it says first.  Nothing waits: this
 * goes on while the supervisor polls.
 */

#ifndef AMLD_PROBE_H
#define AMLD_PROBE_H

#include <curl/curl.h>

#define AMLD_PROBE_TIMEOUT 5000 /* ms for one */
#define AMLD_PROBE_BANNER 64    /* characters at most */

typedef struct amld_probes amld_probes_t;
typedef struct amld_probe amld_probe_t;

/* NULL without memory. */
amld_probes_t *amld_probes_new(void);
void amld_probes_free(amld_probes_t *probes); /* of no probe */

/* One, by `path`, or where that is NULL by `banner`, which outlives it; `done`
 * is called from amld_probes_wait() unless it is freed before.  NULL without
 * memory. */
amld_probe_t *amld_probe_new(amld_probes_t *probes, const char *socket,
                             const char *path, const char *banner,
                             void (*done)(void *data, int ok), void *data);
void amld_probe_free(amld_probe_t *probe); /* NULL is allowed */

/*
 * Polls `fds` and the probes' own for at most `timeout` ms, fills in revents,
 * and calls back for probes that have their answer: each is freed first.
 */
void amld_probes_wait(amld_probes_t *probes, struct curl_waitfd *fds,
                      unsigned count, int timeout);

#endif /* AMLD_PROBE_H */
