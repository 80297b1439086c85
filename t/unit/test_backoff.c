/*
 * How long the next attempt waits: by account, by address, and never for those
 * who are known where they are.
 */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/backoff.h"

#define HOME "192.0.2.1"
#define ELSEWHERE "198.51.100.7"

static int64_t now;


static amld_backoff_t *
fresh(size_t entries)
{
    amld_backoff_limits_t limits = {.account = 5,
                                    .address = 8,
                                    .first = 1,
                                    .most = 300,
                                    .entries = entries};
    amld_backoff_t *b = amld_backoff_new(&limits);

    assert_non_null(b);
    now = 1000000;

    return b;
}


static unsigned
attempt(amld_backoff_t *b, const char *account, const char *address,
        amld_attempt_end_t end)
{
    amld_attempt_t a = {
        .kind = "password", .account = account, .address = address, .now = now};
    unsigned wait = amld_backoff_begin(b, &a);

    if (wait == 0) {
        amld_backoff_end(b, &a, end);
    }

    return wait;
}


static unsigned
wrong(amld_backoff_t *b, const char *account, const char *address)
{
    return attempt(b, account, address, AMLD_ATTEMPT_WRONG);
}


static unsigned
right(amld_backoff_t *b, const char *account, const char *address)
{
    return attempt(b, account, address, AMLD_ATTEMPT_RIGHT);
}


static void
grows(void **state)
{
    amld_backoff_t *b = fresh(100);
    unsigned i, wait, expected = 1;
    char address[32];

    (void) state;

    /* each from somewhere else: it is the account */
    for (i = 0; i < 5; i++) {
        snprintf(address, sizeof(address), "203.0.113.%u", i);
        assert_int_equal(wrong(b, "alice", address), 0);
    }

    for (i = 0; i < 12; i++) {
        snprintf(address, sizeof(address), "203.0.114.%u", i);
        assert_int_equal(wrong(b, "alice", address), expected);
        assert_int_equal(wrong(b, "ALICE", ELSEWHERE), expected);
        /* the right one waits as well */
        assert_int_equal(right(b, "alice", ELSEWHERE), expected);

        now += expected * 1000 - 1;
        assert_int_equal(wrong(b, "alice", address), 1);
        now += 1;
        wait = wrong(b, "alice", address);
        assert_int_equal(wait, 0);
        expected = expected * 2 > 300 ? 300 : expected * 2;
    }

    /* nobody else waits for that */
    assert_int_equal(wrong(b, "bob", HOME), 0);

    /* and in time it is forgotten */
    assert_int_equal(wrong(b, "alice", HOME), 300);
    now += 300 * 1000;
    assert_int_equal(right(b, "alice", HOME), 0);
    now += 30 * 300 * 1000;
    for (i = 0; i < 5; i++) {
        snprintf(address, sizeof(address), "203.0.115.%u", i);
        assert_int_equal(wrong(b, "alice", address), 0);
    }
    assert_int_equal(wrong(b, "alice", address), 1);

    amld_backoff_free(b);
}


static void
by_address(void **state)
{
    amld_backoff_t *b = fresh(100);
    char name[32];
    unsigned i;

    (void) state;

    for (i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "name%u", i);
        assert_int_equal(wrong(b, name, ELSEWHERE), 0);
    }
    assert_int_equal(wrong(b, "another", ELSEWHERE), 1);
    assert_int_equal(wrong(b, "another", HOME), 0);

    /* an account of one's own does not buy new attempts */
    now += 1000;
    assert_int_equal(right(b, "mine", ELSEWHERE), 0);
    assert_int_equal(wrong(b, "yetanother", ELSEWHERE), 0);
    assert_int_equal(wrong(b, "yetanother", ELSEWHERE), 2);

    /* but nothing that others do keeps it out now */
    assert_int_equal(right(b, "mine", ELSEWHERE), 0);

    amld_backoff_free(b);
}


/* Somebody else's attempts keep nobody out who has been here before. */
static void
known(void **state)
{
    amld_backoff_t *b = fresh(1000);
    unsigned i;
    char address[32];

    (void) state;

    assert_int_equal(right(b, "alice", HOME), 0);
    for (i = 0; i < 200; i++) {
        snprintf(address, sizeof(address), "203.0.113.%u", i);
        (void) wrong(b, "alice", address);
        now += 1000;
    }
    assert_true(wrong(b, "alice", ELSEWHERE) > 1);
    assert_int_equal(right(b, "alice", HOME), 0);

    /* signing in at home forgives nothing of that elsewhere */
    assert_true(wrong(b, "alice", ELSEWHERE) > 1);
    assert_true(wrong(b, "alice", "203.0.113.9") > 1);

    /* also where others at the same address guess */
    for (i = 0; i < 50; i++) {
        snprintf(address, sizeof(address), "name%u", i);
        (void) wrong(b, address, HOME);
    }
    assert_true(wrong(b, "carol", HOME) > 0);
    assert_int_equal(right(b, "alice", HOME), 0);

    /* who guesses there for this account waits all the same */
    for (i = 0; i < 5; i++) {
        assert_int_equal(wrong(b, "alice", HOME), 0);
    }
    assert_int_equal(wrong(b, "alice", HOME), 1);
    now += 1000;
    assert_int_equal(right(b, "alice", HOME), 0);
    assert_int_equal(wrong(b, "alice", HOME), 0);

    amld_backoff_free(b);
}


/* Mistakes of one's own are forgiven, and they alone. */
static void
forgiven(void **state)
{
    amld_backoff_t *b = fresh(100);
    unsigned i;

    (void) state;

    for (i = 0; i < 3; i++) {
        assert_int_equal(wrong(b, "alice", HOME), 0);
    }
    assert_int_equal(wrong(b, "alice", ELSEWHERE), 0);
    assert_int_equal(right(b, "alice", HOME), 0);

    /* one is left: four more until there is a wait */
    for (i = 0; i < 4; i++) {
        assert_int_equal(wrong(b, "alice", ELSEWHERE), 0);
    }
    assert_int_equal(wrong(b, "alice", ELSEWHERE), 1);

    amld_backoff_free(b);
}


/* Many at once are no way around it. */
static void
at_once(void **state)
{
    amld_backoff_t *b = fresh(100);
    char name[20][16];
    amld_attempt_t a[20];
    unsigned i, begun = 0;

    (void) state;

    /* where nothing went wrong yet, as many as may go wrong */
    for (i = 0; i < 20; i++) {
        a[i] = (amld_attempt_t){"password", "alice", HOME, now, 0};
        assert_int_equal(amld_backoff_begin(b, &a[i]), i < 5 ? 0 : 1);
    }
    for (i = 0; i < 5; i++) {
        amld_backoff_end(b, &a[i], AMLD_ATTEMPT_NONE);
    }

    /* but of an address, and where one is known, as many as like */
    for (i = 0; i < 20; i++) {
        snprintf(name[i], sizeof(name[i]), "name%u", i);
        a[i] = (amld_attempt_t){"password", name[i], HOME, now, 0};
        assert_int_equal(amld_backoff_begin(b, &a[i]), 0);
    }
    for (i = 0; i < 20; i++) {
        amld_backoff_end(b, &a[i], AMLD_ATTEMPT_NONE);
    }
    assert_int_equal(right(b, "bob", HOME), 0);
    for (i = 0; i < 20; i++) {
        a[i] = (amld_attempt_t){"password", "bob", HOME, now, 0};
        assert_int_equal(amld_backoff_begin(b, &a[i]), 0);
    }
    for (i = 0; i < 20; i++) {
        amld_backoff_end(b, &a[i], AMLD_ATTEMPT_NONE);
    }

    assert_int_equal(wrong(b, "alice", HOME), 0);
    for (i = 0; i < 20; i++) {
        a[i] = (amld_attempt_t){"password", "alice", HOME, now, 0};
        if (amld_backoff_begin(b, &a[i]) == 0) {
            a[begun++] = a[i];
        }
    }
    assert_int_equal(begun, 4);
    for (i = 0; i < begun; i++) {
        amld_backoff_end(b, &a[i], AMLD_ATTEMPT_WRONG);
    }
    assert_int_equal(wrong(b, "alice", HOME), 1);

    /* after the wait, one */
    now += 1000;
    a[0] = (amld_attempt_t){"password", "alice", HOME, now, 0};
    assert_int_equal(amld_backoff_begin(b, &a[0]), 0);
    assert_int_equal(wrong(b, "alice", HOME), 1);
    amld_backoff_end(b, &a[0], AMLD_ATTEMPT_NONE);
    assert_int_equal(wrong(b, "alice", HOME), 0);
    assert_int_equal(wrong(b, "alice", HOME), 2);

    amld_backoff_free(b);
}


static void
addresses(void **state)
{
    (void) state;

    assert_true(amld_backoff_same_address(HOME, HOME));
    assert_false(amld_backoff_same_address(HOME, "192.0.2.2"));
    assert_true(amld_backoff_same_address(HOME, "::ffff:192.0.2.1"));
    assert_true(
        amld_backoff_same_address("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
    assert_false(
        amld_backoff_same_address("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_true(amld_backoff_same_address("unix:", "unix:"));
    assert_false(amld_backoff_same_address("unix:", ""));
    assert_false(amld_backoff_same_address("", HOME));
}


static void
kinds(void **state)
{
    amld_backoff_t *b = fresh(100);
    amld_attempt_t a;
    unsigned i;

    (void) state;

    for (i = 0; i < 5; i++) {
        assert_int_equal(wrong(b, "alice", HOME), 0);
    }
    assert_int_equal(wrong(b, "alice", HOME), 1);

    a = (amld_attempt_t){"code", "alice", HOME, now, 0};
    assert_int_equal(amld_backoff_begin(b, &a), 0);
    assert_false(amld_backoff_known(b, &a));
    amld_backoff_end(b, &a, AMLD_ATTEMPT_RIGHT);
    assert_true(amld_backoff_known(b, &a));
    a.kind = "password";
    assert_false(amld_backoff_known(b, &a));
    amld_backoff_know(b, &a);
    assert_true(amld_backoff_known(b, &a));

    amld_backoff_free(b);
}


/* However many names are tried: the one that was touched longest ago goes. */
static void
bounded(void **state)
{
    amld_backoff_t *b = fresh(64);
    char name[32], address[32];
    unsigned i, n;

    (void) state;

    for (i = 0; i < 5; i++) {
        assert_int_equal(wrong(b, "alice", ELSEWHERE), 0);
    }

    /* three entries each */
    for (n = 0; n < 20; n++) {
        snprintf(name, sizeof(name), "name%u", n);
        snprintf(address, sizeof(address), "10.0.%u.1", n);
        assert_int_equal(wrong(b, name, address), 0);
    }
    assert_int_equal(wrong(b, "alice", ELSEWHERE), 1);

    for (; n < 10000; n++) {
        snprintf(name, sizeof(name), "name%u", n);
        snprintf(address, sizeof(address), "10.%u.%u.1", n / 256, n % 256);
        assert_int_equal(wrong(b, name, address), 0);
        assert_int_equal(right(b, name, address), 0);
    }
    assert_int_equal(wrong(b, "alice", ELSEWHERE), 0);

    amld_backoff_free(b);
}


static void *
hammer(void *data)
{
    char name[16], address[16];
    amld_attempt_t a = {"password", name, address, 0, 0};
    unsigned i;

    for (i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "n%u", i % 50);
        snprintf(address, sizeof(address), "10.0.0.%u", i % 97);
        a.now = (int64_t) i * 1000;
        if (amld_backoff_begin(data, &a) == 0) {
            amld_backoff_end(data, &a, (amld_attempt_end_t) (i % 3));
        }
    }

    return NULL;
}


static void
threads(void **state)
{
    amld_backoff_t *b = fresh(64);
    pthread_t thread[4];
    size_t i;

    (void) state;

    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, hammer, b), 0);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }

    amld_backoff_free(b);
    amld_backoff_free(NULL);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),   cmocka_unit_test(by_address),
        cmocka_unit_test(known),   cmocka_unit_test(forgiven),
        cmocka_unit_test(at_once), cmocka_unit_test(addresses),
        cmocka_unit_test(kinds),   cmocka_unit_test(bounded),
        cmocka_unit_test(threads),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
