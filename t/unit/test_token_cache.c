#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "auth/token_cache.h"

#define NOW 1700000000


static aml_jwt_identity_t
somebody(int number, int64_t expires)
{
    aml_jwt_identity_t who;

    memset(&who, 0, sizeof(who));
    memcpy(who.principal.b, &number, sizeof(number));
    who.issued = NOW;
    who.expires = expires;
    who.name_len =
        (size_t) snprintf(who.name, sizeof(who.name), "person %d", number);

    return who;
}


static void
put(aml_token_cache_t *cache, const char *token, uint64_t generation,
    int64_t now, int number, int64_t expires)
{
    aml_jwt_identity_t who;

    who = somebody(number, expires);
    aml_token_cache_put(cache, aml_str_of(token), generation, now, &who);
}


/* The number that a token was put with, -1 when it is not known. */
static int
get(aml_token_cache_t *cache, const char *token, uint64_t generation,
    int64_t now)
{
    int number;
    const aml_jwt_identity_t *who;

    who = aml_token_cache_get(cache, aml_str_of(token), generation, now);
    if (who == NULL) {
        return -1;
    }

    memcpy(&number, who->principal.b, sizeof(number));

    return number;
}


static void
test_remembers(void **state)
{
    aml_token_cache_t *cache;
    aml_jwt_identity_t want;
    const aml_jwt_identity_t *who;

    (void) state;

    cache = aml_token_cache_new(64);
    assert_non_null(cache);

    assert_int_equal(get(cache, "a.b.c", 1, NOW), -1);
    put(cache, "a.b.c", 1, NOW, 7, NOW + 100);

    who = aml_token_cache_get(cache, aml_str("a.b.c"), 1, NOW);
    want = somebody(7, NOW + 100);
    assert_non_null(who);
    assert_memory_equal(&who->principal, &want.principal,
                        sizeof(want.principal));
    assert_int_equal(who->issued, want.issued);
    assert_int_equal(who->expires, want.expires);
    assert_int_equal(who->name_len, want.name_len);
    assert_memory_equal(who->name, want.name, want.name_len);

    /* nothing that only looks like it */
    assert_int_equal(get(cache, "a.b.d", 1, NOW), -1);
    assert_int_equal(get(cache, "a.b.c ", 1, NOW), -1);
    assert_int_equal(get(cache, "a.b.", 1, NOW), -1);
    assert_int_equal(get(cache, "A.b.c", 1, NOW), -1);
    assert_int_equal(get(cache, "", 1, NOW), -1);

    /* the last word counts */
    put(cache, "a.b.c", 1, NOW, 8, NOW + 100);
    assert_int_equal(get(cache, "a.b.c", 1, NOW), 8);

    aml_token_cache_free(cache);
    aml_token_cache_free(NULL);
}


/* Bytes, not strings: a NUL ends nothing. */
static void
test_bytes(void **state)
{
    aml_jwt_identity_t who;
    aml_token_cache_t *cache;

    (void) state;

    cache = aml_token_cache_new(4);
    who = somebody(1, NOW + 100);
    aml_token_cache_put(cache, (aml_str_t){"a\0b", 3}, 1, NOW, &who);
    assert_null(aml_token_cache_get(cache, (aml_str_t){"a\0c", 3}, 1, NOW));
    assert_null(aml_token_cache_get(cache, (aml_str_t){"a", 1}, 1, NOW));
    assert_non_null(aml_token_cache_get(cache, (aml_str_t){"a\0b", 3}, 1, NOW));
    aml_token_cache_free(cache);
}


static void
test_expiry(void **state)
{
    aml_token_cache_t *cache;

    (void) state;

    cache = aml_token_cache_new(64);

    put(cache, "short", 1, NOW, 1, NOW + 10);
    assert_int_equal(get(cache, "short", 1, NOW + 9), 1);
    assert_int_equal(get(cache, "short", 1, NOW + 10), -1);
    assert_int_equal(get(cache, "short", 1, NOW + 999999), -1);

    /* an hour at most, also for a token that lives for a year */
    put(cache, "long", 1, NOW, 2, NOW + 31536000);
    assert_int_equal(get(cache, "long", 1, NOW + 3599), 2);
    assert_int_equal(get(cache, "long", 1, NOW + 3600), -1);

    /* nothing that is over already */
    put(cache, "over", 1, NOW, 3, NOW);
    assert_int_equal(get(cache, "over", 1, NOW), -1);
    assert_int_equal(get(cache, "over", 1, NOW - 1000), -1);
    put(cache, "zero", 1, NOW, 3, 0);
    assert_int_equal(get(cache, "zero", 1, NOW), -1);
    put(cache, "ages ago", 1, NOW, 3, INT64_MIN);
    assert_int_equal(get(cache, "ages ago", 1, NOW), -1);

    aml_token_cache_free(cache);
}


static void
test_generation(void **state)
{
    int i;
    char token[32];
    aml_token_cache_t *cache;

    (void) state;

    cache = aml_token_cache_new(4096) /* sets are chosen by chance */;

    for (i = 0; i < 20; i++) {
        snprintf(token, sizeof(token), "token %d", i);
        put(cache, token, 1, NOW, i, NOW + 100);
    }
    assert_int_equal(get(cache, "token 3", 1, NOW), 3);

    /* a key changed: all of them are void, and stay so */
    assert_int_equal(get(cache, "token 3", 2, NOW), -1);
    for (i = 0; i < 20; i++) {
        snprintf(token, sizeof(token), "token %d", i);
        assert_int_equal(get(cache, token, 1, NOW), -1);
        assert_int_equal(get(cache, token, 2, NOW), -1);
    }

    put(cache, "token 3", 2, NOW, 33, NOW + 100);
    assert_int_equal(get(cache, "token 3", 2, NOW), 33);

    /* a put under another generation voids as well */
    put(cache, "token 4", 3, NOW, 44, NOW + 100);
    assert_int_equal(get(cache, "token 3", 3, NOW), -1);
    assert_int_equal(get(cache, "token 4", 3, NOW), 44);

    /* also from and to 0, and where the counter starts over */
    assert_int_equal(get(cache, "token 4", 0, NOW), -1);
    put(cache, "token 5", 0, NOW, 5, NOW + 100);
    assert_int_equal(get(cache, "token 5", 0, NOW), 5);
    assert_int_equal(get(cache, "token 5", UINT64_MAX, NOW), -1);

    aml_token_cache_free(cache);
}


/* Four slots: the fifth takes the place of the one not used for longest. */
static void
test_least_recently_used(void **state)
{
    int i;
    char token[32];
    aml_token_cache_t *cache;

    (void) state;

    cache = aml_token_cache_new(1);

    for (i = 0; i < 4; i++) {
        snprintf(token, sizeof(token), "token %d", i);
        put(cache, token, 1, NOW, i, NOW + 100);
    }

    assert_int_equal(get(cache, "token 0", 1, NOW), 0);
    assert_int_equal(get(cache, "token 2", 1, NOW), 2);
    assert_int_equal(get(cache, "token 3", 1, NOW), 3);

    put(cache, "token 4", 1, NOW, 4, NOW + 100);
    assert_int_equal(get(cache, "token 1", 1, NOW), -1);
    assert_int_equal(get(cache, "token 0", 1, NOW), 0);
    assert_int_equal(get(cache, "token 2", 1, NOW), 2);
    assert_int_equal(get(cache, "token 3", 1, NOW), 3);
    assert_int_equal(get(cache, "token 4", 1, NOW), 4);

    /* one that has run out goes first, whenever it was used */
    put(cache, "token 4", 1, NOW, 4, NOW + 5);
    put(cache, "token 5", 1, NOW + 6, 5, NOW + 100);
    assert_int_equal(get(cache, "token 0", 1, NOW + 6), 0);
    assert_int_equal(get(cache, "token 2", 1, NOW + 6), 2);
    assert_int_equal(get(cache, "token 3", 1, NOW + 6), 3);
    assert_int_equal(get(cache, "token 5", 1, NOW + 6), 5);

    aml_token_cache_free(cache);
}


static void
test_sizes(void **state)
{
    int i, found;
    size_t j;
    char token[32];
    aml_token_cache_t *cache;
    static const size_t sizes[] = {0, 1, 3, 4, 5, 1000, 4096};

    (void) state;

    for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
        cache = aml_token_cache_new(sizes[j]);
        assert_non_null(cache);

        for (i = 0; i < 10000; i++) {
            snprintf(token, sizeof(token), "token %d", i);
            put(cache, token, 1, NOW, i, NOW + 100);
            assert_int_equal(get(cache, token, 1, NOW), i);
        }

        found = 0;
        for (i = 0; i < 10000; i++) {
            snprintf(token, sizeof(token), "token %d", i);
            if (get(cache, token, 1, NOW) >= 0) {
                assert_int_equal(get(cache, token, 1, NOW), i);
                found++;
            }
        }

        /* all slots are in use, and there are no more than asked for */
        assert_true(found >= 4 && (size_t) found >= sizes[j] * 9 / 10);
        assert_true((size_t) found <= (sizes[j] < 4 ? 4 : 2 * sizes[j]));

        aml_token_cache_free(cache);
    }
}


/* Two workers' caches put a token in different places: the secret differs.
 * Of 4 slots in 1024 two caches seldom evict the same. */
static void
test_secret(void **state)
{
    int i, same;
    char token[32];
    aml_token_cache_t *a, *b;

    (void) state;

    a = aml_token_cache_new(64);
    b = aml_token_cache_new(64);
    same = 0;

    for (i = 0; i < 256; i++) {
        snprintf(token, sizeof(token), "token %d", i);
        put(a, token, 1, NOW, i, NOW + 100);
        put(b, token, 1, NOW, i, NOW + 100);
    }

    for (i = 0; i < 256; i++) {
        snprintf(token, sizeof(token), "token %d", i);
        same += (get(a, token, 1, NOW) < 0) == (get(b, token, 1, NOW) < 0);
    }

    assert_true(same < 256);

    aml_token_cache_free(a);
    aml_token_cache_free(b);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_generation),
        cmocka_unit_test(test_least_recently_used),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_secret),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
