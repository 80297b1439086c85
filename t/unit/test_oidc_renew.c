/*
 * When sign-ins are renewed, and how long a provider is left alone.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/oidc_renew.h"

#define NOW 1795000000
#define TIMES 200 /* as there is chance in it */


static void
test_due(void **state)
{
    static const struct {
        int64_t lifetime, least, most;
    } t[] = {
        {1, AMLD_RENEW_LEAST, AMLD_RENEW_LEAST},
        {8, 5, 6},
        {80, 50, 60},
        {300, 187, 225},
        {3600, 2250, 2700},
        {86400, AMLD_RENEW_MOST - AMLD_RENEW_MOST / 8, AMLD_RENEW_MOST},
        {INT32_MAX, AMLD_RENEW_MOST - AMLD_RENEW_MOST / 8, AMLD_RENEW_MOST},
    };
    int64_t after, low, high;
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        low = INT64_MAX;
        high = 0;
        for (n = 0; n < TIMES; n++) {
            after = amld_oidc_renew_due(NOW, t[i].lifetime) - NOW;
            assert_in_range(after, t[i].least, t[i].most);
            low = after < low ? after : low;
            high = after > high ? after : high;
        }
        /* not everybody at once */
        if (t[i].most - t[i].least > 10) {
            assert_true(high > low);
        }
    }
}


static void
test_pause(void **state)
{
    static const struct {
        unsigned failures;
        long retry_after;
        int64_t least, most;
    } t[] = {
        {1, -1, 5, 6},          {2, -1, 10, 12},         {6, -1, 160, 200},
        {7, -1, 300, 375},      {4000000, -1, 300, 375}, {1, 60, 60, 60},
        {1, 86400, 3600, 3600}, {7, 1, 300, 375},        {1, 0, 5, 6},
    };
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        for (n = 0; n < TIMES; n++) {
            assert_in_range(
                amld_oidc_renew_pause(t[i].failures, t[i].retry_after),
                t[i].least, t[i].most);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_pause),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_renew", tests, NULL, NULL);
}
