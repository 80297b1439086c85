/*
 * The section `podman` of the configuration.
 */

#ifndef AMLD_CONFIG_PODMAN_H
#define AMLD_CONFIG_PODMAN_H

#include <confuse.h>

#include "computes/config/config.h"
#include "computes/config/config_read.h"

extern cfg_opt_t amld_config_podman_options[];

/* What the section says, checked; with `used` also whether this machine and
 * account can do it.  NULL after a fault without memory. */
amld_podman_config_t *
amld_config_podman(amld_config_reader_t *r, cfg_t *section, int used);
void amld_config_podman_free(amld_podman_config_t *podman);

#endif /* AMLD_CONFIG_PODMAN_H */
