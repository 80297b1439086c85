/*
 * The sections "size" and "quota" of the configuration.
 */

#ifndef AMLD_CONFIG_COMPUTES_H
#define AMLD_CONFIG_COMPUTES_H

#include "computes/config/config.h"
#include "computes/config/config_read.h"

extern cfg_opt_t amld_config_size_options[];
extern cfg_opt_t amld_config_quota_options[];

/* Fills sizes and quotas; what is wrong is a fault of `r`. */
void
amld_config_computes(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c);
/* Whom instances run as; behind `engine`. */
void
amld_config_accounts(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c);

/* The directory of sample notebooks. */
void amld_config_samples(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c);

void amld_config_computes_free(amld_config_t *c);

#endif /* AMLD_CONFIG_COMPUTES_H */
