#include "computes/time/zone.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "computes/time/civil.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define ZONE_HEADER 44
#define ZONE_TIMES_MAX 4096
#define ZONE_OFFSET_MAX (26 * 3600) /* RFC 9636, section 3.2 */

/* A day of the year on which a rule changes the time, and when on it. */
typedef struct {
    enum {
        ZONE_JULIAN,
        ZONE_DAY,
        ZONE_WEEKDAY
    } kind;
    int month, week, day; /* a day of the year is in `day` */
    int32_t time;         /* seconds of local time; may lie on other days */
} zone_date_t;

/* What holds after the last time of the table: a POSIX TZ string. */
typedef struct {
    int32_t standard, summer;
    int has_summer;
    zone_date_t begins, ends; /* of summer time */
} zone_rule_t;

struct amld_zone {
    int has_rule;
    zone_rule_t rule;
    size_t n;
    int64_t at[ZONE_TIMES_MAX];
    int32_t offset[ZONE_TIMES_MAX + 1]; /* [0] before at[0] */
};

typedef struct {
    const uint8_t *p;
    uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
} zone_header_t;

static int zone_header(const uint8_t *p, size_t n, zone_header_t *h);
static size_t zone_block(const zone_header_t *h, size_t width);
static int zone_table(amld_zone_t *zone, const zone_header_t *h);
static int zone_rule(zone_rule_t *rule, const char *text);
static int zone_rule_name(const char **p);
static int
zone_rule_time(const char **p, int32_t *seconds, int hours_max, int sign);
static int zone_rule_date(const char **p, zone_date_t *date);
static int zone_number(const char **p, int least, int most, int *value);
static int64_t zone_date_local(const zone_date_t *date, int64_t year);
static void zone_rule_span(const amld_zone_t *zone, int64_t t, int64_t since,
                           amld_zone_span_t *span);
static int zone_path(const char *zone, char *path, size_t size);


int
amld_zone_exists(const char *name)
{
    amld_zone_t *zone;

    if (name == NULL || *name == '\0') {
        return 1;
    }

    zone = amld_zone_load(name);
    amld_zone_free(zone);

    return zone != NULL;
}


amld_zone_t *
amld_zone_load(const char *name)
{
    int fd;
    char path[PATH_MAX];
    size_t n;
    ssize_t got;
    uint8_t *bytes;
    amld_zone_t *zone;

    /* There is always UTC, also on a machine without the database. */
    if (name == NULL || *name == '\0' || strcasecmp(name, "UTC") == 0) {
        zone = calloc(1, sizeof(*zone));
        return zone;
    }

    if (zone_path(name, path, sizeof(path)) != 0) {
        return NULL;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1) {
        return NULL;
    }

    zone = NULL;
    bytes = malloc(AMLD_ZONE_FILE_MAX);

    if (bytes != NULL) {
        for (n = 0; n < AMLD_ZONE_FILE_MAX; n += (size_t) got) {
            got = read(fd, bytes + n, AMLD_ZONE_FILE_MAX - n);
            if (got <= 0) {
                break;
            }
        }
        zone = amld_zone_parse(bytes, n);
    }

    free(bytes);
    close(fd);

    return zone;
}


amld_zone_t *
amld_zone_parse(const void *bytes, size_t n)
{
    char text[128];
    size_t used, length;
    const uint8_t *p, *end;
    amld_zone_t *zone;
    zone_header_t h;

    p = bytes;

    if (zone_header(p, n, &h) != 0) {
        return NULL;
    }

    zone = calloc(1, sizeof(*zone));
    if (zone == NULL) {
        return NULL;
    }

    /* Version 1 ends in 2038 and is there for readers that know no better. */
    used = ZONE_HEADER + zone_block(&h, 4);
    if (used > n || p[4] < '2' || zone_header(p + used, n - used, &h) != 0) {
        goto failed;
    }
    p += used;
    n -= used;

    used = ZONE_HEADER + zone_block(&h, 8);
    if (used + 2 > n || p[used] != '\n' || zone_table(zone, &h) != 0) {
        goto failed;
    }

    end = memchr(p + used + 1, '\n', n - used - 1);
    length = end != NULL ? (size_t) (end - (p + used + 1)) : sizeof(text);
    if (length >= sizeof(text)) {
        goto failed;
    }

    memcpy(text, p + used + 1, length);
    text[length] = '\0';

    if (length != 0) {
        if (strlen(text) != length || zone_rule(&zone->rule, text) != 0) {
            goto failed;
        }
        zone->has_rule = 1;
    }

    return zone;

failed:

    free(zone);

    return NULL;
}


void
amld_zone_free(amld_zone_t *zone)
{
    free(zone);
}


void
amld_zone_span(const amld_zone_t *zone, int64_t t, amld_zone_span_t *span)
{
    size_t low, high, middle;

    if (zone == NULL) {
        *span = (amld_zone_span_t){INT64_MIN, INT64_MAX, 0};
        return;
    }

    /* How many times of the table are over. */
    for (low = 0, high = zone->n; low < high;) {
        middle = (low + high) / 2;
        if (zone->at[middle] <= t) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }

    span->start = low > 0 ? zone->at[low - 1] : INT64_MIN;
    span->end = low < zone->n ? zone->at[low] : INT64_MAX;
    span->offset = zone->offset[low];

    if (low == zone->n && zone->has_rule) {
        zone_rule_span(zone, t, span->start, span);
    }
}


static int
zone_path(const char *zone, char *path, size_t size)
{
    size_t n;
    const char *p, *windows;

    windows = amld_zone_of_windows(zone);
    if (windows != NULL) {
        zone = windows;
    }

    n = strlen(zone);
    if (n == 0 || n > AMLD_ZONE_NAME_MAX || !isalpha((unsigned char) zone[0])) {
        return -1;
    }

    for (p = zone; *p != '\0'; p++) {
        if (!isalnum((unsigned char) *p) && strchr("_-+/", *p) == NULL) {
            return -1;
        }
    }

    return (size_t) snprintf(path, size, "%s/%s", ZONE_DIRECTORY, zone) < size
               ? 0
               : -1;
}


/* ---- TZif ---- */

static uint32_t
zone_u32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 |
           (uint32_t) p[2] << 8 | p[3];
}


static int64_t
zone_i64(const uint8_t *p)
{
    return (int64_t) ((uint64_t) zone_u32(p) << 32 | zone_u32(p + 4));
}


static int
zone_header(const uint8_t *p, size_t n, zone_header_t *h)
{
    if (n < ZONE_HEADER || memcmp(p, "TZif", 4) != 0) {
        return -1;
    }

    h->p = p + ZONE_HEADER;
    h->isutcnt = zone_u32(p + 20);
    h->isstdcnt = zone_u32(p + 24);
    h->leapcnt = zone_u32(p + 28);
    h->timecnt = zone_u32(p + 32);
    h->typecnt = zone_u32(p + 36);
    h->charcnt = zone_u32(p + 40);

    /* No sum of these can wrap. */
    return h->isutcnt <= 256 && h->isstdcnt <= 256 && h->leapcnt == 0 &&
                   h->timecnt <= ZONE_TIMES_MAX && h->typecnt <= 256 &&
                   h->charcnt <= 4096
               ? 0
               : -1;
}


static size_t
zone_block(const zone_header_t *h, size_t width)
{
    return (size_t) h->timecnt * (width + 1) + (size_t) h->typecnt * 6 +
           h->charcnt + h->isstdcnt + h->isutcnt;
}


static int
zone_table(amld_zone_t *zone, const zone_header_t *h)
{
    size_t k;
    int32_t offset[256];
    const uint8_t *types, *p;

    if (h->typecnt == 0) {
        return -1;
    }

    types = h->p + (size_t) h->timecnt * 8;
    p = types + h->timecnt;

    for (k = 0; k < h->typecnt; k++, p += 6) {
        offset[k] = (int32_t) zone_u32(p);
        if (offset[k] > ZONE_OFFSET_MAX || offset[k] < -ZONE_OFFSET_MAX) {
            return -1;
        }
    }

    zone->offset[0] = offset[0];

    for (k = 0; k < h->timecnt; k++) {
        zone->at[k] = zone_i64(h->p + k * 8);
        if (types[k] >= h->typecnt ||
            (k > 0 && zone->at[k] <= zone->at[k - 1])) {
            return -1;
        }
        zone->offset[k + 1] = offset[types[k]];
    }
    zone->n = h->timecnt;

    return 0;
}


/* ---- the rule: POSIX.1-2017, section 8.3, and RFC 9636, section 3.3.2 ---- */

static int
zone_rule(zone_rule_t *rule, const char *text)
{
    const char *p;

    p = text;

    if (zone_rule_name(&p) != 0 ||
        zone_rule_time(&p, &rule->standard, 24, -1) != 0) {
        return -1;
    }

    if (*p == '\0') {
        return 0;
    }

    rule->has_summer = 1;
    rule->summer = rule->standard + 3600;

    if (zone_rule_name(&p) != 0 ||
        (*p != ',' && zone_rule_time(&p, &rule->summer, 24, -1) != 0) ||
        zone_rule_date(&p, &rule->begins) != 0 ||
        zone_rule_date(&p, &rule->ends) != 0) {
        return -1;
    }

    return *p == '\0' ? 0 : -1;
}


static int
zone_rule_name(const char **p)
{
    const char *end;

    if (**p == '<') {
        end = strchr(*p, '>');
        if (end == NULL) {
            return -1;
        }
        *p = end + 1;
        return 0;
    }

    for (end = *p; isalpha((unsigned char) *end); end++) {
    }
    if (end - *p < 3) {
        return -1;
    }
    *p = end;

    return 0;
}


/* "[+-]h[:m[:s]]"; a zone's offset counts to the west. */
static int
zone_rule_time(const char **p, int32_t *seconds, int hours_max, int sign)
{
    int hours, minutes, rest;

    minutes = 0;
    rest = 0;

    if (**p == '+' || **p == '-') {
        sign = **p == '-' ? -sign : sign;
        (*p)++;
    }

    if (zone_number(p, 0, hours_max, &hours) != 0) {
        return -1;
    }

    if (**p == ':') {
        (*p)++;
        if (zone_number(p, 0, 59, &minutes) != 0) {
            return -1;
        }
        if (**p == ':') {
            (*p)++;
            if (zone_number(p, 0, 59, &rest) != 0) {
                return -1;
            }
        }
    }

    *seconds = sign * (hours * 3600 + minutes * 60 + rest);

    return 0;
}


static int
zone_rule_date(const char **p, zone_date_t *date)
{
    if (*(*p)++ != ',') {
        return -1;
    }

    switch (**p) {

    case 'M':
        (*p)++;
        date->kind = ZONE_WEEKDAY;
        if (zone_number(p, 1, 12, &date->month) != 0 || *(*p)++ != '.' ||
            zone_number(p, 1, 5, &date->week) != 0 || *(*p)++ != '.' ||
            zone_number(p, 0, 6, &date->day) != 0) {
            return -1;
        }
        break;

    case 'J':
        (*p)++;
        date->kind = ZONE_JULIAN;
        if (zone_number(p, 1, 365, &date->day) != 0) {
            return -1;
        }
        break;

    default:
        date->kind = ZONE_DAY;
        if (zone_number(p, 0, 365, &date->day) != 0) {
            return -1;
        }
    }

    date->time = 2 * 3600;

    if (**p == '/') {
        (*p)++;
        return zone_rule_time(p, &date->time, 167, 1);
    }

    return 0;
}


static int
zone_number(const char **p, int least, int most, int *value)
{
    int n;

    if (!isdigit((unsigned char) **p)) {
        return -1;
    }

    for (n = 0; isdigit((unsigned char) **p); (*p)++) {
        n = n * 10 + (**p - '0');
        if (n > most) {
            return -1;
        }
    }
    *value = n;

    return n >= least ? 0 : -1;
}


/* Seconds since 1970 on the clock of the wall, of that clock's change. */
static int64_t
zone_date_local(const zone_date_t *date, int64_t year)
{
    int64_t day;
    int weekday;

    switch (date->kind) {

    case ZONE_JULIAN: /* February 29 is never counted */
        day = amld_civil_days(year, 1, 1) + date->day - 1;
        if (date->day > 59 && amld_civil_leap(year)) {
            day++;
        }
        break;

    case ZONE_DAY:
        day = amld_civil_days(year, 1, 1) + date->day;
        break;

    default:
        day = amld_civil_days(year, date->month, 1);
        weekday = amld_civil_weekday(day);
        day += (date->day - weekday + 7) % 7 + 7 * (date->week - 1);
        if (date->week == 5 &&
            day >= amld_civil_days(year, date->month, 1) +
                       amld_civil_month_days(year, date->month)) {
            day -= 7;
        }
    }

    return day * 86400 + date->time;
}


static void
zone_rule_span(const amld_zone_t *zone, int64_t t, int64_t since,
               amld_zone_span_t *span)
{
    int k, to_summer;
    int64_t year, at;
    amld_civil_t c;
    const zone_rule_t *rule;

    rule = &zone->rule;

    span->start = since;
    span->end = INT64_MAX;
    span->offset = rule->standard;

    if (!rule->has_summer) {
        return;
    }

    amld_civil_of(amld_civil_floor(t, 86400), &c);

    /* The last change that is over and the first that is to come; summer wins
     * where it ends and begins again in one moment. */
    span->start = INT64_MIN;

    for (year = c.year - 2; year <= c.year + 2; year++) {
        for (k = 0; k < 2; k++) {
            to_summer = k == 1;
            at = to_summer
                     ? zone_date_local(&rule->begins, year) - rule->standard
                     : zone_date_local(&rule->ends, year) - rule->summer;

            if (at <= t && at >= span->start) {
                if (at > span->start || to_summer) {
                    span->offset = to_summer ? rule->summer : rule->standard;
                }
                span->start = at;
            } else if (at > t && at < span->end) {
                span->end = at;
            }
        }
    }

    if (span->start < since) {
        span->start = since;
    }
}
