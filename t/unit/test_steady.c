/*
 * A clock that is wrong when amld starts, put right, or wrong for long.
 */

#include "t/unit/scratch.h"

#include "computes/automatic/steady.h"

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)


static void
first(void **state)
{
    scratch_t *s = *state;
    amld_steady_t c;

    amld_steady_begin(&c, s->registry, NOW, 100);
    assert_int_equal(scratch_count(s, "meta/clock"), 1);
    assert_int_equal(amld_steady_look(&c, s->registry, NOW, 100), 1);
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 5, 105), 1);
}


/* Forty days ahead at the start, and for some time. */
static void
ahead(void **state)
{
    scratch_t *s = *state;
    amld_steady_t c;
    int k;
    int64_t t;

    amld_steady_begin(&c, s->registry, NOW, 100);

    /* also where amld is started again and again */
    for (k = 0; k < 3; k++) {
        amld_steady_begin(&c, s->registry, NOW + 40 * DAY, 10);
        assert_int_equal(amld_steady_look(&c, s->registry, NOW + 40 * DAY, 10),
                         0);
        assert_int_equal(
            amld_steady_look(&c, s->registry, NOW + 40 * DAY + 5, 15), 0);
    }

    /* right again: known at once */
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 20, 20), 1);

    /* and ahead while amld runs, by several jumps */
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 40 * DAY + 25, 25),
                     0);
    t = 25 + AMLD_STEADY_WAIT - 5;
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 40 * DAY + t, t),
                     0);
    t += 5;
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 50 * DAY + t, t),
                     0);
    t += AMLD_STEADY_WAIT - 1;
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 50 * DAY + t, t),
                     0);
    t += 1;
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 50 * DAY + t, t),
                     1);
}


/* What is slow, or a little, is no jump. */
static void
put_right_slowly(void **state)
{
    scratch_t *s = *state;
    amld_steady_t c;
    int64_t t, wall;

    amld_steady_begin(&c, s->registry, NOW, 0);
    wall = NOW + 3 * DAY;
    amld_steady_begin(&c, s->registry, wall, 0);
    for (t = 0; t < AMLD_STEADY_WAIT; t += 5) {
        assert_int_equal(amld_steady_look(&c, s->registry, wall, t), 0);
        wall += 6;
    }
    assert_int_equal(amld_steady_look(&c, s->registry, wall, t), 1);
}


/* It is noted as it goes, once an hour: also after one that was wrong. */
static void
noted(void **state)
{
    scratch_t *s = *state;
    amld_steady_t c;
    int64_t t;

    amld_steady_begin(&c, s->registry, NOW + 400 * DAY, 0);
    assert_int_equal(amld_steady_look(&c, s->registry, NOW, 5), 1);
    assert_int_equal(c.noted, NOW + 400 * DAY);
    for (t = 10; t < 3 * DAY; t += 600) {
        assert_int_equal(amld_steady_look(&c, s->registry, NOW + t, t), 1);
    }
    amld_steady_begin(&c, s->registry, NOW + 3 * DAY, 0);
    assert_in_range(c.noted, NOW + 3 * DAY - 4500, NOW + 3 * DAY);
    assert_int_equal(amld_steady_look(&c, s->registry, NOW + 3 * DAY, 0), 1);
}


int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(first),
        T(ahead),
        T(put_right_slowly),
        T(noted),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("steady", tests, NULL, NULL);
}
