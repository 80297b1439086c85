/*
 * Numbers of people, for engines that give each a range of uids: 1, 2, 3, and
 * never another for the same principal, or the same for another.  What they
 * own in a share is theirs by that.
 *
 *   range/<principal>   the number, decimal
 *   meta/ranges         the last one given out
 */

#ifndef AMLD_RANGES_H
#define AMLD_RANGES_H

#include <stddef.h>

#include "registry/registry.h"

/* Finds or assigns it; 0, or -1 with a line for people. */
int amld_range_assign(aml_registry_t *registry, const char *principal,
                      unsigned *number, char *err, size_t size);

#endif /* AMLD_RANGES_H */
