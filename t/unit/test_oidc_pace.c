/*
 * How fast providers are asked, and when they are left alone.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/oidc_pace.h"
#include "auth/oidc_renew.h"

#define NOW 1795000000


/* One is asked for at `now`, and comes to that end. */
static void
ask(amld_pace_t *p, amld_pace_end_t end, int64_t now)
{
    assert_int_equal(amld_pace_begin(p, now), 0);
    amld_pace_end(p, end, -1, now);
}


static void
test_bounds(void **state)
{
    amld_pace_t p = {0};
    int i;

    (void) state;

    for (i = 0; i < AMLD_RENEW_AT_ONCE; i++) {
        assert_int_equal(amld_pace_begin(&p, NOW), 0);
    }
    assert_int_equal(amld_pace_begin(&p, NOW), NOW + 1);
    amld_pace_end(&p, AMLD_PACE_GOOD, -1, NOW);
    assert_int_equal(amld_pace_begin(&p, NOW), 0);
    while (p.active > 0) {
        amld_pace_end(&p, AMLD_PACE_GOOD, -1, NOW);
    }

    for (i = AMLD_RENEW_AT_ONCE + 1; i < AMLD_RENEW_A_SECOND; i++) {
        ask(&p, AMLD_PACE_GOOD, NOW);
    }
    assert_int_not_equal(amld_pace_begin(&p, NOW), 0);

    /* what was not asked does not count */
    assert_int_equal(amld_pace_begin(&p, NOW + 1), 0);
    amld_pace_end(&p, AMLD_PACE_NONE, -1, NOW + 1);
    assert_int_equal(p.active, 0);
    assert_int_equal(p.begun, 0);
}


/* However many are late, each of them is looked at a few times. */
static void
test_many_late(void **state)
{
    enum {
        MANY = 5000
    };
    static int64_t due[MANY];
    amld_pace_t p = {0};
    size_t i, left = MANY, looks = 0;
    int64_t now, later;

    (void) state;

    for (now = NOW; left > 0; now++) {
        assert_true(now < NOW + 3 * MANY / AMLD_RENEW_A_SECOND);
        for (i = 0; i < MANY; i++) {
            if (due[i] < 0 || due[i] > now) {
                continue;
            }
            looks++;
            later = amld_pace_begin(&p, now);
            if (later == 0) {
                amld_pace_end(&p, AMLD_PACE_GOOD, -1, now);
                left--;
            } else {
                assert_true(later > now);
            }
            due[i] = later == 0 ? -1 : later;
        }
    }
    assert_true(looks <= 3 * MANY);

    assert_int_equal(amld_pace_spread(0), 30);
    assert_int_equal(amld_pace_spread(1000), 30);
    assert_int_equal(amld_pace_spread(50000), 50000 / AMLD_RENEW_A_SECOND);
}


static void
test_down(void **state)
{
    amld_pace_t p = {0};
    int64_t now = NOW;
    unsigned i;

    (void) state;

    /* longer each time */
    for (i = 1; i < 10; i++) {
        ask(&p, AMLD_PACE_DOWN, now);
        assert_in_range(p.until - now, i < 7 ? 5 << (i - 1) : 300, 375);
        assert_true(amld_pace_begin(&p, now) >= p.until);
        now = p.until;
    }

    /* then one at a time, until it has answered well */
    assert_int_equal(amld_pace_begin(&p, now), 0);
    assert_int_not_equal(amld_pace_begin(&p, now), 0);
    amld_pace_end(&p, AMLD_PACE_GOOD, -1, now);
    assert_int_equal(amld_pace_begin(&p, now), 0);
    assert_int_equal(amld_pace_begin(&p, now), 0);
    amld_pace_end(&p, AMLD_PACE_GOOD, -1, now);

    /* as long as it asks for; and nobody waits for what is over */
    amld_pace_end(&p, AMLD_PACE_DOWN, 1000, now);
    assert_int_equal(p.until, now + 1000);
    assert_int_equal(amld_pace_begin(&p, now), now + 1000);
    p.active++;
    amld_pace_end(&p, AMLD_PACE_GOOD, -1, now);
    for (i = 0; i < AMLD_RENEW_AT_ONCE; i++) {
        assert_int_equal(amld_pace_begin(&p, now), 0);
    }
    assert_int_equal(amld_pace_begin(&p, now), now + 1);
}


/* Sign-ins that it does not renew, while it renews others. */
static void
test_ones(void **state)
{
    amld_pace_t p = {0};
    int64_t now = NOW;
    int i;

    (void) state;

    /* one and the same, for however long */
    ask(&p, AMLD_PACE_ONE, now);
    for (i = 0; i < 100; i++) {
        ask(&p, AMLD_PACE_AGAIN, ++now);
    }

    /* many, with one between that is renewed */
    for (i = 0; i < 100; i++) {
        if (i % (AMLD_PACE_ROW - 1) == 0) {
            ask(&p, AMLD_PACE_GOOD, ++now);
        }
        ask(&p, AMLD_PACE_ONE, ++now);
    }
    ask(&p, AMLD_PACE_GOOD, ++now);
    assert_int_equal(p.until, 0);

    /* in a row: it is left alone, never for long */
    for (i = 0; i < AMLD_PACE_ROW; i++) {
        ask(&p, AMLD_PACE_ONE, now);
    }
    assert_true(amld_pace_begin(&p, now) >= now + 5);
    for (i = 0; i < 100; i++) {
        now = p.until;
        ask(&p, AMLD_PACE_ONE, now);
        assert_in_range(p.until - now, 5, 25);
    }
    now = p.until;
    ask(&p, AMLD_PACE_AGAIN, now);
    assert_int_equal(p.until, now + 1);

    now = p.until;
    ask(&p, AMLD_PACE_GOOD, now);
    assert_int_equal(p.until, 0);
    assert_int_equal(p.row, 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_many_late),
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_ones),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_pace", tests, NULL, NULL);
}
