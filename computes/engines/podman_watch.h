/*
 * The thread that sees to it that instances of podman stay apart while they
 * run: ports of the default network that are new and not of a start, as after
 * `podman network reload`, and rules that somebody has flushed.
 *
 * The kernel tells of changed interfaces and rules; what it did not tell is
 * seen after a minute.
 */

#ifndef AMLD_PODMAN_WATCH_H
#define AMLD_PODMAN_WATCH_H

#include "computes/config/config.h"
#include "computes/engines/podman.h"

typedef struct amld_podman_watch amld_podman_watch_t;

/* NULL after the reason was logged.  `c` must outlive it. */
amld_podman_watch_t *amld_podman_watch_start(const amld_config_t *c);

/* Waits for what is being done; NULL is allowed. */
void amld_podman_watch_stop(amld_podman_watch_t *watch);

/* What there is to say of networks without an instance, the default one's; to
 * be freed as others.  0, or -1 without memory. */
int amld_podman_spec_of(const amld_config_t *c, amld_podman_spec_t *s);

#endif /* AMLD_PODMAN_WATCH_H */
