/*
 * Durations of ISO 8601 (section 5.5.2.4 of its 2019 edition), as far as they
 * are of a certain length: weeks, days, hours, minutes and seconds in whole
 * numbers.  Years and months are not.
 */

#ifndef AMLD_DURATION_H
#define AMLD_DURATION_H

#include <stdint.h>

#define AMLD_DURATION_MAX ((int64_t) 366 * 86400) /* seconds */

/* "PT30M", "P1DT12H", "PT90S", in any case.  0, or -1 when it is none, or
 * longer than AMLD_DURATION_MAX. */
int amld_duration_read(const char *text, int64_t *seconds);

#endif /* AMLD_DURATION_H */
