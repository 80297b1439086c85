/*
 * Dates with times as clients and applications write them (RFC 3339, section
 * 5.6; ISO 8601), and as we do.
 */

#ifndef AMLD_TIMESTAMP_H
#define AMLD_TIMESTAMP_H

#include <stdint.h>

#include "computes/time/zone.h"

#define AMLD_TIMESTAMP_SIZE 32

/*
 * "2026-11-27T18:00:00", with or without seconds, their fraction (which is cut
 * off), and "Z" or "+01:00".  Without these two it is local time of `zone`,
 * which may be NULL for UTC: the first where clocks show it twice, and the
 * moment of the change where they never do.  0, or -1 when it is none.
 */
int amld_timestamp_read(const char *text, const amld_zone_t *zone, int64_t *t);

/* "2026-11-27T18:00:00Z" */
void amld_timestamp_write(int64_t t, char text[AMLD_TIMESTAMP_SIZE]);

#endif /* AMLD_TIMESTAMP_H */
