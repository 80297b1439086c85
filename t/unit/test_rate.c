#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/rate.h"

#define SETS 64

static uint64_t memory[SETS * AML_RATE_WAYS * AML_RATE_BUCKET / 8];
static const aml_rate_limit_t ten = {10000, 20}; /* 10 a second, 20 at once */


static aml_rate_table_t
table(size_t sets)
{
    memset(memory, 0, sizeof(memory));

    return (aml_rate_table_t){memory, sets, {0x1234567890abcdef, 42}};
}


static aml_rate_key_t
key_of(uint64_t n, unsigned kind)
{
    aml_rate_key_t key = {.kind = (uint8_t) kind};

    memcpy(key.id, &n, sizeof(n));

    return key;
}


static aml_rate_rc_t
take(const aml_rate_table_t *t, uint64_t n, const aml_rate_limit_t *limit,
     uint64_t now, uint64_t *wait)
{
    aml_rate_key_t key = key_of(n, 1);
    int evicted;

    return aml_rate_take(t, &key, limit, now, wait, &evicted);
}


static unsigned
taken(const aml_rate_table_t *t, uint64_t n, const aml_rate_limit_t *limit,
      uint64_t now, unsigned tries)
{
    uint64_t wait;
    unsigned ok = 0;

    while (tries-- > 0) {
        ok += take(t, n, limit, now, &wait) == AML_RATE_OK;
    }

    return ok;
}


static void
test_bucket(void **state)
{
    aml_rate_table_t t = table(SETS);
    uint64_t wait;

    (void) state;

    /* as many as fit, at once */
    assert_int_equal(taken(&t, 7, &ten, 1000, 100), 20);
    assert_int_equal(take(&t, 7, &ten, 1000, &wait), AML_RATE_LIMITED);
    assert_int_equal(wait, 100);
    assert_int_equal(take(&t, 7, &ten, 1040, &wait), AML_RATE_LIMITED);
    assert_int_equal(wait, 60);

    /* somebody else's is another */
    assert_int_equal(taken(&t, 8, &ten, 1000, 100), 20);

    /* then as they come in: asking in vain costs nothing */
    assert_int_equal(take(&t, 7, &ten, 1100, &wait), AML_RATE_OK);
    assert_int_equal(take(&t, 7, &ten, 1100, &wait), AML_RATE_LIMITED);
    assert_int_equal(taken(&t, 7, &ten, 1600, 100), 5);

    /* never more than fit */
    assert_int_equal(taken(&t, 7, &ten, 100000, 100), 20);
    assert_int_equal(taken(&t, 7, &ten, UINT64_MAX / 2, 100), 20);

    /* a clock that is a little behind takes nothing back */
    assert_int_equal(take(&t, 7, &ten, UINT64_MAX / 2 - 5, &wait),
                     AML_RATE_LIMITED);
    assert_int_equal(wait, 100);
}


static void
test_limits(void **state)
{
    static const aml_rate_limit_t slow = {1, 1},
                                  fast = {AML_RATE_MOST * 1000u,
                                          AML_RATE_BURST},
                                  one = {1000, 1};
    aml_rate_table_t t = table(SETS);
    uint64_t wait;

    (void) state;

    /* one in a thousand seconds */
    assert_int_equal(take(&t, 1, &slow, 1, &wait), AML_RATE_OK);
    assert_int_equal(take(&t, 1, &slow, 1, &wait), AML_RATE_LIMITED);
    assert_int_equal(wait, 1000000);
    assert_int_equal(take(&t, 1, &slow, 1000000, &wait), AML_RATE_LIMITED);
    assert_int_equal(wait, 1);
    assert_int_equal(take(&t, 1, &slow, 1000001, &wait), AML_RATE_OK);

    assert_int_equal(taken(&t, 2, &fast, 5, 1100000), AML_RATE_BURST);
    assert_int_equal(taken(&t, 2, &fast, 6, 2000), 1000);

    assert_int_equal(take(&t, 3, &one, 1000, &wait), AML_RATE_OK);
    assert_int_equal(take(&t, 3, &one, 1999, &wait), AML_RATE_LIMITED);
    assert_int_equal(wait, 1);
    assert_int_equal(take(&t, 3, &one, 2000, &wait), AML_RATE_OK);
}


/* Whatever the pace: what came through is what the rate allows. */
static void
test_rate(void **state)
{
    static const aml_rate_limit_t limits[] = {
        {10000, 20}, {333, 3}, {20000, 100}, {16, 2}, {999, 50}};
    aml_rate_table_t t = table(SETS);
    uint64_t now, wait, start;
    size_t i;
    double allowed;
    unsigned ok;

    (void) state;
    srand(5);

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        start = now = 1000;
        for (ok = 0; now < start + 600000; now += (uint64_t) rand() % 40) {
            ok += take(&t, 100 + i, &limits[i], now, &wait) == AML_RATE_OK;
        }
        allowed =
            limits[i].burst + (double) limits[i].rate * (now - start) / 1e6;
        if (allowed > 600000 / 20) {
            allowed = 600000.0 / 20; /* it was not asked more often */
        }
        assert_true(ok <= allowed + 1);
        assert_true(ok >= allowed * 0.97 - 2);
    }
}


/* After the time that is said there is one, and not before. */
static void
test_wait(void **state)
{
    static const aml_rate_limit_t limits[] = {
        {10000, 20}, {333, 3}, {7, 2}, {1234567, 9}};
    aml_rate_table_t t;
    uint64_t now, wait, next;
    size_t i;
    int round;

    (void) state;
    srand(6);

    for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        t = table(SETS);
        now = 1000;
        for (round = 0; round < 200; round++) {
            while (take(&t, 1, &limits[i], now, &wait) == AML_RATE_OK) {
            }
            assert_true(wait > 0);
            if (wait > 1) {
                assert_int_equal(take(&t, 1, &limits[i], now + wait - 1, &next),
                                 AML_RATE_LIMITED);
            }
            now += wait;
            assert_int_equal(take(&t, 1, &limits[i], now, &next), AML_RATE_OK);
            now += (uint64_t) rand() % 50;
        }
    }
}


static void
test_kinds(void **state)
{
    aml_rate_table_t t = table(SETS);
    aml_rate_key_t person = key_of(9, 1), address = key_of(9, 2);
    uint64_t wait;
    int i, evicted;

    (void) state;

    for (i = 0; i < 20; i++) {
        assert_int_equal(aml_rate_take(&t, &person, &ten, 1, &wait, &evicted),
                         AML_RATE_OK);
    }
    assert_int_equal(aml_rate_take(&t, &person, &ten, 1, &wait, &evicted),
                     AML_RATE_LIMITED);
    assert_int_equal(aml_rate_take(&t, &address, &ten, 1, &wait, &evicted),
                     AML_RATE_OK);
}


/* More who ask than there is room for: those that are full or nearly go first,
 * and whoever asks all the time stays limited. */
static void
test_eviction(void **state)
{
    aml_rate_table_t t = table(1);
    aml_rate_key_t key;
    uint64_t n, wait;
    int evicted, gone = 0;

    (void) state;

    assert_int_equal(taken(&t, 1, &ten, 1000, 100), 20);
    for (n = 2; n < 200; n++) {
        key = key_of(n, 1);
        assert_int_equal(aml_rate_take(&t, &key, &ten, 1000, &wait, &evicted),
                         AML_RATE_OK);
        gone += evicted;
        assert_int_equal(take(&t, 1, &ten, 1000, &wait), AML_RATE_LIMITED);
    }
    assert_int_equal(gone, 198 - (AML_RATE_WAYS - 1));

    /* full ones make room without a word */
    for (n = 200; n < 200 + AML_RATE_WAYS; n++) {
        key = key_of(n, 1);
        assert_int_equal(aml_rate_take(&t, &key, &ten, 100000, &wait, &evicted),
                         AML_RATE_OK);
        assert_int_equal(evicted, 0);
    }

    /* of equals the one that was used the longest ago */
    t = table(1);
    for (n = 0; n < AML_RATE_WAYS; n++) {
        assert_int_equal(taken(&t, n, &ten, 1000 + n, 2), 2);
    }
    assert_int_equal(taken(&t, 0, &ten, 1010, 18), 18);
    assert_int_equal(take(&t, 99, &ten, 1011, &wait), AML_RATE_OK);
    assert_int_equal(taken(&t, 2, &ten, 1011, 100), 18);
    assert_int_equal(taken(&t, 1, &ten, 1011, 100), 20);
}


/* One flipped bit, anywhere in a bucket: the request is not let through, and
 * the bucket is gone. */
static void
test_corrupt(void **state)
{
    aml_rate_table_t t;
    uint8_t *bytes = (uint8_t *) memory;
    unsigned bit, found = 0;
    uint64_t wait;

    (void) state;

    for (bit = 0; bit < AML_RATE_BUCKET * 8; bit++) {
        t = table(1);
        assert_int_equal(taken(&t, 1, &ten, 1000, 20), 20);
        bytes[bit / 8] ^= (uint8_t) (1u << bit % 8);
        found += take(&t, 1, &ten, 1000, &wait) == AML_RATE_CORRUPT;
        assert_int_equal(taken(&t, 1, &ten, 1000, 100), 20);
    }
    assert_int_equal(found, AML_RATE_BUCKET * 8);

    /* nothing but noise: each set says so once for each bucket */
    srand(8);
    t = table(SETS);
    for (bit = 0; bit < sizeof(memory); bit++) {
        bytes[bit] = (uint8_t) rand();
    }
    found = 0;
    for (bit = 0; bit < 8192; bit++) {
        found += take(&t, bit, &ten, 1000, &wait) == AML_RATE_CORRUPT;
    }
    assert_int_equal(found, SETS * AML_RATE_WAYS);
}


/* Whose buckets lie together depends on the secret alone. */
static void
test_secret(void **state)
{
    enum {
        MANY = 10000
    };
    aml_rate_table_t a, b;
    uint64_t n, wait;
    size_t i, same = 0, used;
    static uint64_t first[sizeof(memory) / 8];

    (void) state;

    a = table(SETS);
    for (n = 0; n < 100; n++) {
        assert_int_equal(take(&a, n, &ten, 1, &wait), AML_RATE_OK);
    }
    memcpy(first, memory, sizeof(memory));

    b = table(SETS);
    b.secret[0]++;
    for (n = 0; n < 100; n++) {
        assert_int_equal(take(&b, n, &ten, 1, &wait), AML_RATE_OK);
    }
    for (i = 0; i < SETS * AML_RATE_WAYS; i++) {
        same += first[i * 4 + 2] != 0 && first[i * 4] == memory[i * 4] &&
                first[i * 4 + 1] == memory[i * 4 + 1];
    }
    assert_true(same < 20);

    /* and they are spread: addresses that follow each other, too */
    a = table(SETS);
    for (n = 0; n < MANY; n++) {
        (void) take(&a, n << 40, &ten, 1, &wait);
    }
    for (i = 0, used = 0; i < SETS * AML_RATE_WAYS; i++) {
        used += memory[i * 4 + 2] != 0;
    }
    assert_int_equal(used, SETS * AML_RATE_WAYS);
}


static void
test_sets(void **state)
{
    (void) state;

    assert_int_equal(aml_rate_sets(0), 0);
    assert_int_equal(aml_rate_sets(AML_RATE_WAYS * AML_RATE_BUCKET - 1), 0);
    assert_int_equal(aml_rate_sets(AML_RATE_WAYS * AML_RATE_BUCKET), 1);
    assert_int_equal(aml_rate_sets(1 << 20), 4096);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_rate),    cmocka_unit_test(test_wait),
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_corrupt), cmocka_unit_test(test_secret),
        cmocka_unit_test(test_sets),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
