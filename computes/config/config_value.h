/*
 * What the values of configuration options look like: numbers with a unit,
 * host names, names.
 */

#ifndef AMLD_CONFIG_VALUE_H
#define AMLD_CONFIG_VALUE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Digits and at most one letter of `letters`, which multiplies by the unit of
 * the same place.  0, or -1 when malformed or over 64 bits.
 */
int amld_value_scaled(const char *value, const char *letters,
                      const uint64_t *units, uint64_t *result);

/*
 * "host" or "host:port" as in an origin.  Fills `host`, lower case, and
 * `port`, ":8443" or "" for 443; the caller frees both, also after -1.
 */
int amld_value_authority(const char *text, char **host, char **port);

/* `least` to `most` letters, digits and characters of `marks`, beginning
 * with a letter or a digit. */
int amld_value_is_name(const char *text, size_t least, size_t most,
                       const char *marks);

/* ASCII, in place; returns `text`, which may be NULL. */
char *amld_value_lower(char *text);

#endif /* AMLD_CONFIG_VALUE_H */
