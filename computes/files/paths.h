/*
 * Unix sockets have short addresses (107 bytes), so that the state directory
 * must not be deep.
 */

#ifndef AMLD_PATHS_H
#define AMLD_PATHS_H

#include <stddef.h>

#include "computes/config/config.h"

/*
 * Would every configured application find room for its sockets below
 * c->state?  0, or -1 with a sentence that says how long it may be.
 */
int amld_paths_check(const amld_config_t *c, char *err, size_t size);

#endif /* AMLD_PATHS_H */
