#include "computes/time/cron.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "computes/time/civil.h"

#define CRON_FIELDS 6
#define CRON_DAY 86400
#define CRON_HORIZON                                                           \
    (50 * 366)         /* days: February 29 on a day of the week may           \
                          take 40 years */
#define CRON_SPANS 512 /* changes of the clocks in that time */
#define CRON_LAST (INT64_C(1) << 42)

typedef struct {
    const char *name; /* for people */
    int least, most;
    const char *const *names; /* of least, least + 1 … */
    int names_n;
} cron_field_t;

static const char *const cron_months[] = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
static const char *const cron_weekdays[] = {"Sunday",    "Monday",   "Tuesday",
                                            "Wednesday", "Thursday", "Friday",
                                            "Saturday"};

static const cron_field_t cron_fields[CRON_FIELDS] = {
    {"second", 0, 59, NULL, 0},
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of the month", 1, 31, NULL, 0},
    {"month", 1, 12, cron_months, 12},
    {"day of the week", 0, 7, cron_weekdays, 7},
};

typedef struct {
    char *err;
    size_t size;
} cron_error_t;

static int cron_fail(const cron_error_t *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int cron_field(const cron_field_t *f, const char *text, size_t n,
                      uint64_t *set, const cron_error_t *e);
static int cron_item(const cron_field_t *f, const char *text, size_t n,
                     uint64_t *set, const cron_error_t *e);
static int
cron_value(const cron_field_t *f, const char **p, const char *end, int *value);
static int cron_possible(const amld_cron_t *cron);
static int64_t cron_local(const amld_cron_t *cron, int64_t from, int64_t until);
static int64_t cron_time(const amld_cron_t *cron, int64_t from);
static int
cron_day(const amld_cron_t *cron, const amld_civil_t *c, int64_t days);


int
amld_cron_parse(amld_cron_t *cron, const char *text, char *err, size_t size)
{
    size_t k, n, lengths[CRON_FIELDS];
    uint64_t sets[CRON_FIELDS];
    const char *p, *fields[CRON_FIELDS];
    cron_error_t e = {err, size};

    memset(cron, 0, sizeof(*cron));

    if (strnlen(text, AMLD_CRON_MAX + 1) > AMLD_CRON_MAX) {
        return cron_fail(&e, "is longer than %d characters", AMLD_CRON_MAX);
    }

    for (n = 0, p = text;; n++) {
        p += strspn(p, " \t");
        if (*p == '\0') {
            break;
        }
        if (n < CRON_FIELDS) {
            fields[n] = p;
            lengths[n] = strcspn(p, " \t");
        }
        p += strcspn(p, " \t");
    }

    if (n != CRON_FIELDS && n != CRON_FIELDS - 1) {
        return cron_fail(&e,
                         "has %zu fields and not 5: minute, hour, day of the "
                         "month, month, day of the week",
                         n);
    }

    sets[0] = 1;
    for (k = CRON_FIELDS - n; k < CRON_FIELDS; k++) {
        p = fields[k - (CRON_FIELDS - n)];
        if (cron_field(&cron_fields[k], p, lengths[k - (CRON_FIELDS - n)],
                       &sets[k], &e) != 0) {
            return -1;
        }
    }

    cron->seconds = sets[0];
    cron->minutes = sets[1];
    cron->hours = sets[2];
    cron->days = sets[3];
    cron->months = sets[4];
    cron->weekdays = (sets[5] | sets[5] >> 7) & 0x7f;
    cron->any_day = *fields[n - 3] == '*';
    cron->any_weekday = *fields[n - 1] == '*';

    if (!cron_possible(cron)) {
        return cron_fail(&e, "never comes: there is no such day");
    }

    return 0;
}


unsigned
amld_cron_least(const amld_cron_t *cron)
{
    int i, first, last, least;

    first = last = -1;
    least = CRON_DAY;

    for (i = 0; i < 60; i++) {
        if ((cron->seconds & UINT64_C(1) << i) == 0) {
            continue;
        }
        if (last != -1 && i - last < least) {
            least = i - last;
        }
        last = i;
    }
    if (least < 60) {
        return (unsigned) least;
    }

    for (i = 0, last = -1; i < 24 * 60; i++) {
        if ((cron->hours & UINT64_C(1) << i / 60) == 0 ||
            (cron->minutes & UINT64_C(1) << i % 60) == 0) {
            continue;
        }
        if (last == -1) {
            first = i;
        } else if ((i - last) * 60 < least) {
            least = (i - last) * 60;
        }
        last = i;
    }

    /* over midnight */
    if (last != -1 && (first + 24 * 60 - last) * 60 < least) {
        least = (first + 24 * 60 - last) * 60;
    }

    return (unsigned) least;
}


int64_t
amld_cron_next(const amld_cron_t *cron, const char *name, int64_t after)
{
    int64_t next;
    amld_zone_t *zone;

    zone = amld_zone_load(name);
    if (zone == NULL) {
        return -1;
    }

    next = amld_cron_next_in(cron, zone, after);
    amld_zone_free(zone);

    return next;
}


/*
 * From one change of the clocks to the next: in between, local time just goes
 * on.
 */
int64_t
amld_cron_next_in(const amld_cron_t *cron, const amld_zone_t *zone,
                  int64_t after)
{
    int k, hourly;
    int64_t t, from, until, before, local, horizon;
    amld_zone_span_t span, last;

    if (after > CRON_LAST || after < -CRON_LAST) {
        return -1;
    }

    hourly = cron->hours == 0xffffff;
    t = after + 1;
    horizon = t + (int64_t) CRON_HORIZON * CRON_DAY;

    for (k = 0; k < CRON_SPANS && t < horizon; k++) {
        amld_zone_span(zone, t, &span);

        from = t + span.offset;
        until = (span.end < horizon ? span.end : horizon) + span.offset;

        if (span.start != INT64_MIN && !hourly) {
            amld_zone_span(zone, span.start - 1, &last);
            before = span.start + last.offset;

            if (t == span.start && before < from &&
                cron_local(cron, before, from) >= 0) {
                return t;
            }
            /* What comes a second time. */
            if (from < before) {
                from = before;
            }
        }

        if (from < until) {
            local = cron_local(cron, from, until);
            if (local >= 0) {
                return local - span.offset;
            }
        }

        if (span.end == INT64_MAX) {
            break;
        }
        t = span.end;
    }

    return -1;
}


static int
cron_fail(const cron_error_t *e, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) vsnprintf(e->err, e->size, format, args);
    va_end(args);

    return -1;
}


static int
cron_field(const cron_field_t *f, const char *text, size_t n, uint64_t *set,
           const cron_error_t *e)
{
    size_t length;
    const char *comma;

    for (*set = 0;; text += length + 1, n -= length + 1) {
        comma = memchr(text, ',', n);
        length = comma != NULL ? (size_t) (comma - text) : n;

        if (cron_item(f, text, length, set, e) != 0) {
            return -1;
        }
        if (comma == NULL) {
            return 0;
        }
    }
}


static int
cron_item(const cron_field_t *f, const char *text, size_t n, uint64_t *set,
          const cron_error_t *e)
{
    int first, last, step, v;
    const char *p, *end;

    p = text;
    end = text + n;
    step = 1;

    if (p < end && *p == '*') {
        p++;
        first = f->least;
        last = f->most - (f->names == cron_weekdays);
    } else {
        if (cron_value(f, &p, end, &first) != 0) {
            goto failed;
        }
        last = first;
        if (p < end && *p == '-') {
            p++;
            if (cron_value(f, &p, end, &last) != 0) {
                goto failed;
            }
        } else if (p < end && *p == '/') {
            last = f->most - (f->names == cron_weekdays && first < f->most);
        }
    }

    if (p < end && *p == '/') {
        for (p++, step = 0; p < end && isdigit((unsigned char) *p); p++) {
            step = step * 10 + (*p - '0');
            if (step > f->most) {
                break;
            }
        }
        if (step == 0) {
            goto failed;
        }
    }

    if (p != end) {
        goto failed;
    }

    if (last < first) {
        /* From Friday to Sunday. */
        if (f->names != cron_weekdays || last != 0) {
            return cron_fail(e, "%s: \"%.*s\" ends before it begins", f->name,
                             (int) n, text);
        }
        last = 7;
    }

    for (v = first; v <= last; v += step) {
        *set |= UINT64_C(1) << v;
    }

    return 0;

failed:

    return cron_fail(e,
                     "%s: \"%.*s\" is no number from %d to %d, range or step",
                     f->name, (int) n, text, f->least, f->most);
}


static int
cron_value(const cron_field_t *f, const char **p, const char *end, int *value)
{
    int k, v;
    size_t n;

    for (n = 0; *p + n < end && isalpha((unsigned char) (*p)[n]); n++) {
    }

    if (n != 0) {
        for (k = 0; n >= 3 && k < f->names_n; k++) {
            if (n <= strlen(f->names[k]) &&
                strncasecmp(*p, f->names[k], n) == 0) {
                *value = f->least + k;
                *p += n;
                return 0;
            }
        }
        return -1;
    }

    if (*p == end || !isdigit((unsigned char) **p)) {
        return -1;
    }

    for (v = 0; *p < end && isdigit((unsigned char) **p); (*p)++) {
        v = v * 10 + (**p - '0');
        if (v > f->most) {
            return -1;
        }
    }
    *value = v;

    return v >= f->least ? 0 : -1;
}


/* Does a year have such a day?  Weekdays fall on every date some year. */
static int
cron_possible(const amld_cron_t *cron)
{
    int month;
    uint64_t days;

    if (!cron->any_day && !cron->any_weekday) {
        return 1;
    }

    for (month = 1; month <= 12; month++) {
        days = (UINT64_C(2) << amld_civil_month_days(2000, month)) - 2;
        if ((cron->months >> month & 1) && (cron->days & days) != 0) {
            return 1;
        }
    }

    return 0;
}


/* The first local time that is one of the schedule's, from `from` on and
 * before `until`; -1. */
static int64_t
cron_local(const amld_cron_t *cron, int64_t from, int64_t until)
{
    int64_t days, time;
    amld_civil_t c;

    days = amld_civil_floor(from, CRON_DAY);
    time = from - days * CRON_DAY;

    while (days * CRON_DAY < until) {
        amld_civil_of(days, &c);

        if (!(cron->months >> c.month & 1)) {
            days += amld_civil_month_days(c.year, c.month) - c.day + 1;
            time = 0;
            continue;
        }

        if (cron_day(cron, &c, days)) {
            time = cron_time(cron, time);
            if (time >= 0) {
                return days * CRON_DAY + time < until ? days * CRON_DAY + time
                                                      : -1;
            }
        }

        days++;
        time = 0;
    }

    return -1;
}


static int
cron_day(const amld_cron_t *cron, const amld_civil_t *c, int64_t days)
{
    int day, weekday;

    day = (int) (cron->days >> c->day & 1);
    weekday = (int) (cron->weekdays >> amld_civil_weekday(days) & 1);

    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}


/* The first time of the day from `from` seconds on; -1. */
static int64_t
cron_time(const amld_cron_t *cron, int64_t from)
{
    int64_t h, m, s;

    h = from / 3600;
    m = from / 60 % 60;
    s = from % 60;

    for (; h < 24; h++, m = 0, s = 0) {
        if (!(cron->hours >> h & 1)) {
            continue;
        }
        for (; m < 60; m++, s = 0) {
            if (!(cron->minutes >> m & 1)) {
                continue;
            }
            for (; s < 60; s++) {
                if (cron->seconds >> s & 1) {
                    return h * 3600 + m * 60 + s;
                }
            }
        }
    }

    return -1;
}
