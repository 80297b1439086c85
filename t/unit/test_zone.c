/*
 * Time zones: the machine's own C library says the same of each, and a damaged
 * file is no zone.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "computes/time/zone.h"

extern char *tzname[];


static void
as_libc(const char *name)
{
    amld_zone_t *zone = amld_zone_load(name);
    amld_zone_span_t span;
    struct tm tm;
    int64_t t;
    time_t at;

    assert_non_null(zone);
    setenv("TZ", name, 1);
    tzset();

    /* 1930 to 2200 */
    for (t = -1262304000; t < INT64_C(7258118400); t += 5 * 3600 + 1800 + 7) {
        at = (time_t) t;
        assert_non_null(localtime_r(&at, &tm));
        amld_zone_span(zone, t, &span);
        if (span.offset != tm.tm_gmtoff || span.start > t || span.end <= t) {
            fail_msg("%s at %lld: %d, and libc says %ld", name, (long long) t,
                     span.offset, tm.tm_gmtoff);
        }
    }

    amld_zone_free(zone);
}


static void
test_as_libc(void **state)
{
    static const char *const names[] = {
        "Europe/Berlin",       "America/New_York", "America/Santiago",
        "Australia/Lord_Howe", "Pacific/Apia",     "Asia/Kolkata",
        "Africa/Casablanca",   "Asia/Tehran",      "America/Sao_Paulo",
        "Europe/Dublin",       "America/Nuuk",     "Asia/Gaza",
        "Pacific/Kiritimati",  "Antarctica/Troll", "UTC",
        "Etc/GMT+12",          "Pacific/Chatham",
    };
    size_t k;

    (void) state;

    for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        as_libc(names[k]);
    }
}


/* The last second of one span is followed by the first of the next. */
static void
test_spans(void **state)
{
    amld_zone_t *zone = amld_zone_load("Europe/Berlin");
    amld_zone_span_t a, b;

    (void) state;
    assert_non_null(zone);

    amld_zone_span(zone, 1774746000 - 1, &a); /* 2026-03-29 01:00 UTC */
    amld_zone_span(zone, 1774746000, &b);
    assert_int_equal(a.end, 1774746000);
    assert_int_equal(b.start, 1774746000);
    assert_int_equal(a.offset, 3600);
    assert_int_equal(b.offset, 7200);
    amld_zone_free(zone);

    amld_zone_span(NULL, 5, &a);
    assert_int_equal(a.offset, 0);
    assert_true(a.start == INT64_MIN && a.end == INT64_MAX);
}


static void
test_names(void **state)
{
    static const char *const wrong[] = {"Nowhere/Town",
                                        "../../../etc/passwd",
                                        "Europe/../Europe/Berlin",
                                        "/usr/share/zoneinfo/UTC",
                                        "Europe",
                                        "zone.tab",
                                        "Europe/Berlin\n",
                                        ":UTC",
                                        "CET-1CEST",
                                        "+01:00",
                                        "Standard Time"};
    static const char *const windows[] = {"W. Europe Standard Time",
                                          "UTC",
                                          "UTC+12",
                                          "AUS Eastern Standard Time",
                                          "utc-11",
                                          "Central Standard Time (Mexico)",
                                          "Yukon Standard Time",
                                          "Afghanistan Standard Time"};
    char name[AMLD_ZONE_NAME_MAX + 2];
    size_t k;

    (void) state;

    for (k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        if (amld_zone_exists(wrong[k])) {
            fail_msg("%s", wrong[k]);
        }
    }
    for (k = 0; k < sizeof(windows) / sizeof(windows[0]); k++) {
        assert_non_null(amld_zone_of_windows(windows[k]));
        assert_true(amld_zone_exists(windows[k]));
    }

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_false(amld_zone_exists(name));

    assert_true(amld_zone_exists(NULL));
    assert_true(amld_zone_exists(""));
    assert_true(amld_zone_exists("UTC"));
    assert_null(amld_zone_of_windows("Europe/Berlin"));
}


/* A file with one type, no times, and this rule. */
static int32_t
rule_offset(const char *rule, int64_t t)
{
    uint8_t file[512] = {0};
    amld_zone_span_t span = {0, 0, INT32_MIN};
    amld_zone_t *zone;
    size_t n = 0;
    int k;

    for (k = 0; k < 2; k++) {
        memcpy(file + n, "TZif2", 5);
        file[n + 39] = 1;
        file[n + 43] = 4;
        n += 44;
        memcpy(file + n, "\0\0\0\0\0\0AAA", 10);
        n += 10;
    }
    n += (size_t) snprintf((char *) file + n, sizeof(file) - n, "\n%s\n", rule);

    zone = amld_zone_parse(file, n);
    if (zone != NULL) {
        amld_zone_span(zone, t, &span);
    }
    amld_zone_free(zone);

    return span.offset;
}


static void
test_rules(void **state)
{
    static const char *const wrong[] = {"X1",
                                        "AAA",
                                        "AAA25",
                                        "AAA1:60",
                                        "<AAA1",
                                        "AAA1BBB",
                                        "AAA1BBB,M13.1.0,M1.1.0",
                                        "AAA1BBB,J0,J5",
                                        "AAA1BBB,M3.6.0,M10.5.0",
                                        "AAA1BBB,M3.5.7,M10.5.0",
                                        "AAA1BBB,M3.5.0",
                                        "AAA1BBB,M3.5.0/168,M10.5.0",
                                        "AAA1BBB,M3.5.0,M10.5.0,"};
    const int64_t january = 1767225600, july = 1782864000;
    size_t k;

    (void) state;

    for (k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        assert_int_equal(rule_offset(wrong[k], july), INT32_MIN);
    }

    assert_int_equal(rule_offset("", july), 0);
    assert_int_equal(rule_offset("<+0330>-3:30", july), 12600);
    assert_int_equal(rule_offset("CET-1CEST,M3.5.0,M10.5.0/3", july), 7200);
    assert_int_equal(rule_offset("CET-1CEST,M3.5.0,M10.5.0/3", january), 3600);
    assert_int_equal(rule_offset("AAA1BBB0:30,J60,J300/-24", july), -1800);
    assert_int_equal(rule_offset("AAA1BBB,180,200", july), 0);

    /* Summer all year, as RFC 9636 writes it. */
    assert_int_equal(rule_offset("AAA3EDT4,0/0,J365/23", july), -14400);
    assert_int_equal(rule_offset("AAA3EDT4,0/0,J365/23", january), -14400);
    assert_int_equal(rule_offset("AAA3EDT4,0/0,J365/23", january + 14400),
                     -14400);
}


static void
test_damaged(void **state)
{
    uint8_t bytes[AMLD_ZONE_FILE_MAX], copy[AMLD_ZONE_FILE_MAX];
    amld_zone_t *zone;
    size_t n, k;
    FILE *f;

    (void) state;

    f = fopen("/usr/share/zoneinfo/Europe/Berlin", "r");
    assert_non_null(f);
    n = fread(bytes, 1, sizeof(bytes), f);
    (void) fclose(f);

    zone = amld_zone_parse(bytes, n);
    assert_non_null(zone);
    amld_zone_free(zone);

    for (k = 0; k < n; k++) {
        assert_null(amld_zone_parse(bytes, k));
    }

    /* Each header byte, all ones: read without harm, whatever it means. */
    for (k = 0; k < n; k++) {
        memcpy(copy, bytes, n);
        copy[k] = 0xff;
        amld_zone_free(amld_zone_parse(copy, n));
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_libc), cmocka_unit_test(test_spans),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_rules),
        cmocka_unit_test(test_damaged),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
