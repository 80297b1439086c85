#include "computes/time/timestamp.h"

#include <ctype.h>
#include <stdio.h>

#include "computes/time/civil.h"

#define TIMESTAMP_FAR (2 * 86400) /* local time is never further from UTC */

static int
timestamp_digits(const char **p, int n, int least, int most, int *value);
static int64_t timestamp_utc(int64_t local, const amld_zone_t *zone);


int
amld_timestamp_read(const char *text, const amld_zone_t *zone, int64_t *t)
{
    int year, month, day, hour, minute, second, ahead, hours, minutes;
    int64_t local;
    const char *p;

    p = text;
    second = 0;

    if (timestamp_digits(&p, 4, 1, 9999, &year) || *p++ != '-' ||
        timestamp_digits(&p, 2, 1, 12, &month) || *p++ != '-' ||
        timestamp_digits(&p, 2, 1, amld_civil_month_days(year, month), &day) ||
        (*p != 'T' && *p != 't' && *p != ' ')) {
        return -1;
    }
    p++;

    if (timestamp_digits(&p, 2, 0, 23, &hour) || *p++ != ':' ||
        timestamp_digits(&p, 2, 0, 59, &minute)) {
        return -1;
    }

    if (*p == ':') {
        p++;
        if (timestamp_digits(&p, 2, 0, 60, &second)) {
            return -1;
        }
        if (*p == '.') {
            p++;
            if (!isdigit((unsigned char) *p)) {
                return -1;
            }
            while (isdigit((unsigned char) *p)) {
                p++;
            }
        }
    }

    local = amld_civil_days(year, month, day) * 86400 + hour * 3600 +
            minute * 60 + second;

    switch (*p) {

    case '\0':
        *t = timestamp_utc(local, zone);
        return 0;

    case 'Z':
    case 'z':
        *t = local;
        return p[1] == '\0' ? 0 : -1;

    case '+':
    case '-':
        ahead = *p++ == '+' ? 1 : -1;
        if (timestamp_digits(&p, 2, 0, 23, &hours) || *p++ != ':' ||
            timestamp_digits(&p, 2, 0, 59, &minutes)) {
            return -1;
        }
        *t = local - ahead * (hours * 3600 + minutes * 60);
        return *p == '\0' ? 0 : -1;

    default:
        return -1;
    }
}


void
amld_timestamp_write(int64_t t, char text[AMLD_TIMESTAMP_SIZE])
{
    int64_t days;
    int rest;
    amld_civil_t c;

    days = amld_civil_floor(t, 86400);
    rest = (int) (t - days * 86400);
    amld_civil_of(days, &c);

    (void) snprintf(text, AMLD_TIMESTAMP_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ",
                    (int) (c.year % 10000), c.month, c.day, rest / 3600,
                    rest / 60 % 60, rest % 60);
}


static int
timestamp_digits(const char **p, int n, int least, int most, int *value)
{
    for (*value = 0; n > 0; n--, (*p)++) {
        if (!isdigit((unsigned char) **p)) {
            return -1;
        }
        *value = *value * 10 + (**p - '0');
    }

    return *value >= least && *value <= most ? 0 : -1;
}


/* The first moment at which the clocks of the zone show this, or more. */
static int64_t
timestamp_utc(int64_t local, const amld_zone_t *zone)
{
    int64_t t;
    amld_zone_span_t span;

    for (t = local - TIMESTAMP_FAR;; t = span.end) {
        amld_zone_span(zone, t, &span);

        if (t + span.offset >= local) {
            return t;
        }
        if (span.end == INT64_MAX || local - span.offset < span.end) {
            return local - span.offset;
        }
    }
}
