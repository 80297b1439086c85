/*
 * Workspaces have a share each: folders in it are given to people by what one
 * workspace knows of them.
 */

#ifndef AMLD_CONFIG_SHARES_H
#define AMLD_CONFIG_SHARES_H

#include <confuse.h>

#include "computes/config/config.h"
#include "computes/config/config_read.h"

/* A fault for each that is another's, or below it, however it is written. */
void
amld_config_shares(amld_config_reader_t *r, cfg_t *cfg, const amld_config_t *c);

#endif /* AMLD_CONFIG_SHARES_H */
