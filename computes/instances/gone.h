/*
 * What is to be removed of instances' private directories, and may take long:
 * people choose how many files they have.
 *
 *   <state>/i/.gone/…   was put aside, at once, and is removed by a thread
 *   <state>/i/<name>    of an instance that is no more, found at start
 *
 * A thread that is ended, or killed, leaves the rest to the next amld.
 */

#ifndef AMLD_GONE_H
#define AMLD_GONE_H

#include "computes/config/config.h"

typedef struct amld_gone amld_gone_t;

/*
 * Puts `name` of private directory `runtime` aside; all of it where `name` is
 * NULL.  0, also where there is nothing, or -1 (errno).
 */
int amld_gone_put(const char *runtime, const char *name);

/* Of all that is put aside below state directory `c->state`.  NULL, and a line
 * in the log, when it can't be. */
amld_gone_t *amld_gone_new(const amld_config_t *c);

/*
 * Directory `path` of an instance that nobody knows any more: what is left of
 * its processes is ended, its container and mounts are removed, it is then.
 * Before amld_gone_start().
 */
void amld_gone_orphan(amld_gone_t *g, const char *path);

int amld_gone_start(amld_gone_t *g);
void amld_gone_free(amld_gone_t *g);

#endif /* AMLD_GONE_H */
