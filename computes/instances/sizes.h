/*
 * The catalogue of sizes: what a compute instance may have.  The operator's
 * "size" sections, or where there is none the table built in, whose names and
 * figures are Azure's.
 *
 * An instance keeps the size that it was created with, in its document's
 * "size": {family, cores, memory (MiB), gpus}.  The catalogue may change under
 * it.
 */

#ifndef AMLD_SIZES_H
#define AMLD_SIZES_H

#include <jansson.h>
#include <stddef.h>

#include "computes/config/config.h"

/* All sizes; the first is that of instances for which none is asked. */
const amld_size_t *amld_sizes(const amld_config_t *config, size_t *count);

/* By name, without regard to case; the default of NULL; NULL: no such. */
const amld_size_t *
amld_size_find(const amld_config_t *config, const char *name);

/* 1 when a size of the catalogue has the family, without regard to case; then
 * `spelling` is how the catalogue spells it. */
int amld_size_family(const amld_config_t *config, const char *family,
                     const char **spelling);

/* The names of all, joined by ", ", for an error; cut with "…" where the room
 * ends. */
void amld_size_names(const amld_config_t *config, char *text, size_t room);

/* Writes the size into an instance's document; 0, or -1 without memory. */
int amld_size_freeze(json_t *doc, const amld_size_t *size);

#endif /* AMLD_SIZES_H */
