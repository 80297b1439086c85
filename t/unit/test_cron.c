/*
 * Schedules: what an expression says, and when it comes, also where clocks are
 * changed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "computes/time/civil.h"
#include "computes/time/cron.h"

/* "2026-03-29 02:30" in UTC. */
static int64_t
utc(const char *text)
{
    int year, month, day, hour, minute;

    assert_int_equal(
        sscanf(text, "%d-%d-%d %d:%d", &year, &month, &day, &hour, &minute), 5);

    return amld_civil_days(year, month, day) * 86400 + hour * 3600 +
           minute * 60;
}


static const char *
in_utc(int64_t t)
{
    static char text[64];
    int64_t days = amld_civil_floor(t, 86400), rest = t - days * 86400;
    amld_civil_t c;

    if (t == -1) {
        return "never";
    }

    amld_civil_of(days, &c);
    (void) snprintf(text, sizeof(text), "%04lld-%02d-%02d %02lld:%02lld%s",
                    (long long) c.year, c.month, c.day, (long long) rest / 3600,
                    (long long) rest / 60 % 60,
                    rest % 60 == 0 ? "" : " and seconds");

    return text;
}


static const char *
next_after(const char *expression, const char *zone, int64_t after)
{
    char err[256];
    amld_cron_t cron;

    if (amld_cron_parse(&cron, expression, err, sizeof(err)) != 0) {
        fail_msg("%s: %s", expression, err);
    }

    return in_utc(amld_cron_next(&cron, zone, after));
}


static void
next_is(const char *expression, const char *zone, const char *after,
        const char *expected)
{
    assert_string_equal(next_after(expression, zone, utc(after)), expected);
}


static void
test_lists(void **state)
{
    (void) state;

    next_is("* * * * *", NULL, "2026-11-27 12:00", "2026-11-27 12:01");
    next_is("0 18 * * *", "", "2026-11-27 12:00", "2026-11-27 18:00");
    next_is("0 18 * * *", "UTC", "2026-11-27 18:00", "2026-11-28 18:00");
    next_is("  5,10-12\t0 * * * ", "UTC", "2026-11-27 00:05",
            "2026-11-27 00:10");
    next_is("5,10-12 0 * * *", "UTC", "2026-11-27 00:12", "2026-11-28 00:05");
    next_is("*/20 * * * *", "UTC", "2026-11-27 00:41", "2026-11-27 01:00");
    next_is("10-30/10 * * * *", "UTC", "2026-11-27 00:30", "2026-11-27 01:10");
    next_is("50/5 * * * *", "UTC", "2026-11-27 00:50", "2026-11-27 00:55");
    next_is("0 0 1 */5 *", "UTC", "2026-11-27 00:00", "2027-01-01 00:00");
    next_is("0 0 1 jan-Mar,DECEMBER *", "UTC", "2026-11-27 00:00",
            "2026-12-01 00:00");
    next_is("0 8 * * mon-FRI", "UTC", "2026-11-27 12:00", "2026-11-30 08:00");
    next_is("0 8 * * Sund", "UTC", "2026-11-27 12:00", "2026-11-29 08:00");
    next_is("0 8 * * 7", "UTC", "2026-11-27 12:00", "2026-11-29 08:00");
    next_is("0 8 * * 0", "UTC", "2026-11-27 12:00", "2026-11-29 08:00");
    next_is("0 8 * * sat-sun", "UTC", "2026-11-28 08:00", "2026-11-29 08:00");
    next_is("0 8 * * 5/2", "UTC", "2026-11-27 12:00", "2026-12-04 08:00");
    next_is("0 0 29 2 *", "UTC", "2096-03-01 00:00", "2104-02-29 00:00");
}


static void
test_seconds(void **state)
{
    char err[256];
    amld_cron_t cron;

    (void) state;

    assert_int_equal(amld_cron_parse(&cron, "30 0 18 * * *", err, sizeof(err)),
                     0);
    assert_int_equal(amld_cron_next(&cron, "UTC", utc("2026-11-27 18:00")),
                     utc("2026-11-27 18:00") + 30);
    assert_int_equal(amld_cron_next(&cron, "UTC", utc("2026-11-27 18:00") + 30),
                     utc("2026-11-28 18:00") + 30);

    /* With five there is one run a minute. */
    next_is("0 18 * * *", "UTC", "2026-11-27 17:59", "2026-11-27 18:00");
}


/* Either day is enough where both are given; `*` does not give one. */
static void
test_days(void **state)
{
    (void) state;

    next_is("0 0 13 * 5", "UTC", "2026-11-27 12:00", "2026-12-04 00:00");
    next_is("0 0 13 * 5", "UTC", "2026-12-11 12:00", "2026-12-13 00:00");
    next_is("0 0 13 * *", "UTC", "2026-11-27 12:00", "2026-12-13 00:00");
    next_is("0 0 * * 5", "UTC", "2026-11-27 12:00", "2026-12-04 00:00");
    next_is("0 0 */2 * 5", "UTC", "2026-12-01 00:00", "2026-12-11 00:00");
    next_is("0 0 30 2 5", "UTC", "2026-11-27 12:00", "2027-02-05 00:00");
}


static void
test_malformed(void **state)
{
    static const struct {
        const char *text, *said;
    } wrong[] = {
        {"", "has 0 fields"},
        {"* * * *", "has 4 fields"},
        {"* * * * * * *", "has 7 fields"},
        {"60 * * * *", "minute: \"60\""},
        {"* 24 * * *", "hour: \"24\""},
        {"* * 0 * *", "day of the month: \"0\""},
        {"* * 32 * *", "day of the month: \"32\""},
        {"* * * 13 *", "month: \"13\""},
        {"* * * Ja *", "month: \"Ja\""},
        {"* * * Januarys *", "month: \"Januarys\""},
        {"* * * mon *", "month: \"mon\""},
        {"* * * * 8", "day of the week: \"8\""},
        {"* * * * jan", "day of the week: \"jan\""},
        {"5-1 * * * *", "ends before it begins"},
        {"*/0 * * * *", "minute: \"*/0\""},
        {"*/ * * * *", "minute: \"*/\""},
        {"*/99999999999 * * * *", "minute: "},
        {"99999999999 * * * *", "minute: "},
        {"1- * * * *", "minute: \"1-\""},
        {"-1 * * * *", "minute: \"-1\""},
        {"1,,2 * * * *", "minute: \"\""},
        {"1, * * * *", "minute: \"\""},
        {"1x * * * *", "minute: \"1x\""},
        {"1;2 * * * *", "minute: \"1;2\""},
        {"** * * * *", "minute: \"**\""},
        {"@daily", "has 1 fields"},
        {"60 0 0 * * *", "second: \"60\""},
        {"0 0 30 2 *", "never comes"},
        {"0 0 31 4,6,9,11 *", "never comes"},
    };
    char err[256], text[AMLD_CRON_MAX + 64];
    amld_cron_t cron;
    size_t k;

    (void) state;

    for (k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        err[0] = '\0';
        assert_int_equal(
            amld_cron_parse(&cron, wrong[k].text, err, sizeof(err)), -1);
        if (strstr(err, wrong[k].said) == NULL) {
            fail_msg("%s: %s", wrong[k].text, err);
        }
    }

    memset(text, '1', sizeof(text));
    memcpy(text + sizeof(text) - 9, " * * * *", 9);
    assert_int_equal(amld_cron_parse(&cron, text, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "is longer than"));
}


static void
test_zones(void **state)
{
    (void) state;

    next_is("0 8 * * *", "Europe/Berlin", "2026-01-10 00:00",
            "2026-01-10 07:00");
    next_is("0 8 * * *", "Europe/Berlin", "2026-07-10 00:00",
            "2026-07-10 06:00");
    next_is("0 8 * * *", "W. Europe Standard Time", "2026-07-10 00:00",
            "2026-07-10 06:00");
    next_is("0 8 * * *", "pacific standard time", "2026-07-10 00:00",
            "2026-07-10 15:00");
    next_is("0 8 * * *", "India Standard Time", "2026-07-10 00:00",
            "2026-07-10 02:30");
    next_is("0 8 * * *", "Nowhere/Town", "2026-07-10 00:00", "never");

    /* The day is the zone's. */
    next_is("0 0 1 * *", "Pacific/Auckland", "2026-11-29 12:00",
            "2026-11-30 11:00");
}


/* 2026-03-29 in Berlin: 02:00 becomes 03:00, which is 01:00 UTC. */
static void
test_skipped_hour(void **state)
{
    static const char zone[] = "Europe/Berlin";

    (void) state;

    next_is("30 2 * * *", zone, "2026-03-28 12:00", "2026-03-29 01:00");
    next_is("30 2 * * *", zone, "2026-03-29 01:00", "2026-03-30 00:30");
    next_is("59 1 * * *", zone, "2026-03-28 12:00", "2026-03-29 00:59");
    next_is("0 3 * * *", zone, "2026-03-28 12:00", "2026-03-29 01:00");

    /* 02:10 and 02:50 are one run, and so is 03:00 with them. */
    next_is("0,10,50 2-3 * * *", zone, "2026-03-28 12:00", "2026-03-29 01:00");
    next_is("0,10,50 2-3 * * *", zone, "2026-03-29 01:00", "2026-03-29 01:10");

    /* Every hour is every hour. */
    next_is("30 * * * *", zone, "2026-03-29 00:00", "2026-03-29 00:30");
    next_is("30 * * * *", zone, "2026-03-29 00:30", "2026-03-29 01:30");

    /* On no such day of the week. */
    next_is("30 2 * * mon", zone, "2026-03-28 12:00", "2026-03-30 00:30");
}


/* 2026-10-25 in Berlin: 03:00, which is 01:00 UTC, becomes 02:00. */
static void
test_doubled_hour(void **state)
{
    static const char zone[] = "Europe/Berlin";

    (void) state;

    next_is("30 2 * * *", zone, "2026-10-24 12:00", "2026-10-25 00:30");
    next_is("30 2 * * *", zone, "2026-10-25 00:30", "2026-10-26 01:30");
    next_is("30 2 * * *", zone, "2026-10-25 01:10", "2026-10-26 01:30");
    next_is("0 3 * * *", zone, "2026-10-25 00:30", "2026-10-25 02:00");

    next_is("30 * * * *", zone, "2026-10-25 00:00", "2026-10-25 00:30");
    next_is("30 * * * *", zone, "2026-10-25 00:30", "2026-10-25 01:30");
    next_is("30 * * * *", zone, "2026-10-25 01:30", "2026-10-25 02:30");
}


/* Where clocks change at midnight, by half an hour, and by a whole day. */
static void
test_odd_changes(void **state)
{
    (void) state;

    /* 2026-09-06 in Santiago: 00:00 becomes 01:00, which is 04:00 UTC. */
    next_is("0 0 * * *", "America/Santiago", "2026-09-05 12:00",
            "2026-09-06 04:00");
    next_is("0 0 * * *", "America/Santiago", "2026-09-06 04:00",
            "2026-09-07 03:00");

    /* 2026-10-04 on Lord Howe: 02:00 becomes 02:30, which is 15:30 UTC. */
    next_is("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00",
            "2026-10-03 15:30");

    /* There was no 2011-12-30 in Apia. */
    next_is("0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00",
            "2011-12-30 10:00");

    /* After the table of any file ends: the rule. */
    next_is("30 2 * * *", "Europe/Berlin", "2100-03-27 12:00",
            "2100-03-28 01:00");
}


static void
test_limits(void **state)
{
    char err[256];
    amld_cron_t cron;

    (void) state;

    assert_int_equal(amld_cron_parse(&cron, "* * * * *", err, sizeof(err)), 0);
    assert_int_equal(amld_cron_next(&cron, "UTC", INT64_MAX), -1);
    assert_int_equal(amld_cron_next(&cron, "UTC", INT64_MIN), -1);
    assert_int_equal(amld_cron_next(&cron, "Europe/Berlin", -1), 0);
}


/* How close runs are. */
static void
test_least(void **state)
{
    static const struct {
        const char *expression;
        unsigned least;
    } cases[] = {
        {"* * * * *", 60},         {"*/5 * * * *", 300},
        {"0 18 * * *", 86400},     {"0 18 29 2 *", 86400},
        {"0,30 8,18 * * *", 1800}, {"0,57 3 * * *", 57 * 60},
        {"0,57 3,4 * * *", 180},   {"59 23 * * *", 86400},
        {"0,59 0,23 * * *", 60},   {"30 */5 * * * *", 300},
        {"0/2 0 18 * * *", 2},     {"0,59 0 18 * * *", 59},
    };
    size_t i;
    char err[256];
    amld_cron_t cron;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            amld_cron_parse(&cron, cases[i].expression, err, sizeof(err)), 0);
        if (amld_cron_least(&cron) != cases[i].least) {
            fail_msg("%s: %u", cases[i].expression, amld_cron_least(&cron));
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_skipped_hour),
        cmocka_unit_test(test_doubled_hour),
        cmocka_unit_test(test_odd_changes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_least),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
