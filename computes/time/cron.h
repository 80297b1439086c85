/*
 * When a schedule runs: cron's five fields, minute, hour, day of the month,
 * month, day of the week; or six, with seconds first, as NCronTab has them,
 * which is the format that Azure's clients name.
 *
 *   field     one or more of these, with commas between
 *   *  *\/n   all values, each n-th of them
 *   a  a-b    a value, those from one to another; a/n from a to the last
 *   a-b/n     each n-th of them
 *
 * Months and days of the week may have English names, of three letters or
 * more, in any case; Sunday is 0 and 7.  Where both days are given, either is
 * enough; a day that begins with `*` is not given (POSIX, crontab).
 *
 * Where clocks are changed: a run in an hour that is skipped happens at the
 * moment of the change, one in an hour that comes twice happens the first time.
 * A schedule for every hour (hour `*`) follows time as it passes: what is
 * skipped is skipped, and what comes twice comes twice.
 */

#ifndef AMLD_CRON_H
#define AMLD_CRON_H

#include <stddef.h>
#include <stdint.h>

#include "computes/time/zone.h"

#define AMLD_CRON_MAX 256 /* characters of an expression */

/* One bit a value.  Compared by its bytes, so zeroed before it is filled. */
typedef struct {
    uint64_t seconds, minutes, hours, days, months, weekdays;
    uint64_t any_day, any_weekday; /* were `*` */
} amld_cron_t;

/* 0, or -1 and why, for people: which field, and what is wrong with it.  What
 * would never run is wrong. */
int
amld_cron_parse(amld_cron_t *cron, const char *text, char *err, size_t size);

/*
 * How close two runs may be, in seconds of a clock that goes evenly: the least
 * distance that hours, minutes and seconds make, whatever the days.
 */
unsigned amld_cron_least(const amld_cron_t *cron);

/*
 * The first run after `after`, both seconds since 1970; -1: never, or no such
 * zone.  `zone` as in zone.h.  The second form is for many at a time.
 */
int64_t
amld_cron_next(const amld_cron_t *cron, const char *zone, int64_t after);
int64_t amld_cron_next_in(const amld_cron_t *cron, const amld_zone_t *zone,
                          int64_t after);

#endif /* AMLD_CRON_H */
