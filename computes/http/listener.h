/*
 * The unix sockets that amld owns: the control API's and the one for activity.
 */

#ifndef AMLD_LISTENER_H
#define AMLD_LISTENER_H

#include <sys/stat.h>

#include "computes/config/config.h"

typedef struct {
    const char *path; /* the configuration's */
    int fd;
    struct stat socket; /* what was bound, so that only that is removed */
} amld_listener_t;

/*
 * Binds `path`, which is the option `name`, of `type` SOCK_STREAM (and
 * listens) or SOCK_DGRAM; not blocking, not inherited.  Its directory is made
 * where it is missing.  A socket that is left over is replaced, one that is in
 * use is not.  With config->registry_group that group may connect, else
 * everybody: who is heard is for the caller, see amld_is_gateway().  0, or -1
 * after the reason was logged.
 */
int amld_listener_open(amld_listener_t *l, const amld_config_t *config,
                       const char *name, const char *path, int type);

/* Removes what was bound; the descriptor stays open. */
void amld_listener_remove(const amld_listener_t *l);

/* Is it one of config->gateway_uids? */
int amld_is_gateway(const amld_config_t *config, uid_t uid);

#endif /* AMLD_LISTENER_H */
