/*
 * Sections "issuer" of the configuration.
 */

#ifndef AMLD_CONFIG_ISSUER_H
#define AMLD_CONFIG_ISSUER_H

#include "computes/config/config.h"
#include "computes/config/config_read.h"

extern cfg_opt_t amld_config_issuer_options[];

/* Reads one; faults are said. */
void amld_config_issuer(amld_config_reader_t *r, cfg_t *section,
                        amld_issuer_config_t *issuer);
/* What two sections must not share. */
void amld_config_issuers_check(amld_config_reader_t *r, cfg_t *cfg,
                               const amld_config_t *c);
void amld_config_issuer_clear(amld_issuer_config_t *issuer);

#endif /* AMLD_CONFIG_ISSUER_H */
