/*
 * The section "pam" of the configuration.
 */

#ifndef AMLD_CONFIG_PAM_H
#define AMLD_CONFIG_PAM_H

#include "computes/config/config.h"
#include "computes/config/config_read.h"

extern cfg_opt_t amld_config_pam_options[];

/* Reads it; a new one, or NULL after a fault was said. */
amld_pam_config_t *amld_config_pam(amld_config_reader_t *r, cfg_t *section);
void amld_config_pam_free(amld_pam_config_t *pam); /* NULL is allowed */

#endif /* AMLD_CONFIG_PAM_H */
