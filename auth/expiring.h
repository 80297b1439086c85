/*
 * Records of amld's own that are over by themselves: their values begin with
 * when, as a 64-bit little-endian number of seconds since 1970.
 */

#ifndef AMLD_EXPIRING_H
#define AMLD_EXPIRING_H

#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"

#define AMLD_EXPIRING_HEAD 8
#define AMLD_EXPIRING_KEY_MAX 96

/* `head` is AMLD_EXPIRING_HEAD bytes. */
void amld_expiring_write(void *head, int64_t expires);

/* When it is over; 0 for a value that is too short. */
int64_t amld_expiring_read(aml_str_t value);

/* Is a record there?  OK or NOTFOUND, in a snapshot of its own, so that whoever
 * makes its secret up costs no write transaction. */
aml_registry_rc_t
amld_expiring_there(aml_registry_t *registry, const char *key, size_t n);

/*
 * Deletes those that are over of a family, of which no key is longer than
 * AMLD_EXPIRING_KEY_MAX; at most `most`.  `removed` is how many.
 */
aml_registry_rc_t
amld_expiring_sweep(aml_registry_t *registry, const char *prefix, int64_t now,
                    size_t most, size_t *removed);

#endif /* AMLD_EXPIRING_H */
