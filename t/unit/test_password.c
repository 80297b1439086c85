#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/password.h"


static void
test_hash(void **state)
{
    size_t i;
    char hash[AML_PASSWORD_HASH_SIZE], again[AML_PASSWORD_HASH_SIZE];
    static const char *const others[] = {"correct horse ",
                                         "Correct horse",
                                         "correct hors",
                                         "",
                                         "*",
                                         "correct horse\n",
                                         "c",
                                         "correct horse correct horse"};

    (void) state;

    assert_int_equal(aml_password_hash("correct horse", hash), 0);
    assert_int_equal(strncmp(hash, "$y$", 3), 0);
    assert_null(strstr(hash, "correct"));

    assert_int_equal(aml_password_check("correct horse", hash), 1);
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(aml_password_check(others[i], hash), 0);
    }

    /* the hash itself is no password */
    assert_int_equal(aml_password_check(hash, hash), 0);

    /* a new salt each time */
    assert_int_equal(aml_password_hash("correct horse", again), 0);
    assert_string_not_equal(hash, again);
    assert_int_equal(aml_password_check("correct horse", again), 1);

    /* crypt(3) elsewhere reads it */
    assert_string_equal(crypt("correct horse", hash), hash);
}


static void
test_lengths(void **state)
{
    size_t n;
    char password[AML_PASSWORD_MAX + 200], hash[AML_PASSWORD_HASH_SIZE];

    (void) state;

    assert_int_equal(aml_password_hash("", hash), -1);

    for (n = 1; n <= sizeof(password) - 1; n += 70) {
        memset(password, 'x', n);
        password[n] = '\0';

        if (n > AML_PASSWORD_MAX) {
            assert_int_equal(aml_password_hash(password, hash), -1);
            assert_int_equal(aml_password_check(password, hash), 0);
            continue;
        }

        assert_int_equal(aml_password_hash(password, hash), 0);
        assert_int_equal(aml_password_check(password, hash), 1);

        /* every byte counts */
        password[n - 1] = 'y';
        assert_int_equal(aml_password_check(password, hash), 0);
    }

    memset(password, 'x', AML_PASSWORD_MAX + 1);
    password[AML_PASSWORD_MAX + 1] = '\0';
    assert_int_equal(aml_password_hash(password, hash), -1);
    password[AML_PASSWORD_MAX] = '\0';
    assert_int_equal(aml_password_hash(password, hash), 0);
    assert_int_equal(aml_password_check(password, hash), 1);
    password[AML_PASSWORD_MAX] = 'x';
    assert_int_equal(aml_password_check(password, hash), 0);
}


static void
test_utf8(void **state)
{
    char hash[AML_PASSWORD_HASH_SIZE];

    (void) state;

    assert_int_equal(
        aml_password_hash("p\xc3\xa4ss w\xc3\xb6rd \xf0\x9f\x98\x80", hash), 0);
    assert_int_equal(
        aml_password_check("p\xc3\xa4ss w\xc3\xb6rd \xf0\x9f\x98\x80", hash),
        1);
    assert_int_equal(
        aml_password_check("p\xc3\xa5ss w\xc3\xb6rd \xf0\x9f\x98\x80", hash),
        0);
}


static void
test_bad_hashes(void **state)
{
    size_t i, n;
    char hash[AML_PASSWORD_HASH_SIZE], cut[AML_PASSWORD_HASH_SIZE];
    static const char *const hashes[] = {
        "",
        "*0",
        "*1",
        "!",
        "x",
        "secret",
        "$y$",
        "$y$j9T$",
        "$y$j9T$$",
        "$y$////////$x$y",
        "$1$abcdefgh$",
        "$y$j9T$short$short",
    };

    (void) state;

    for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        assert_int_equal(aml_password_check("secret", hashes[i]), 0);
        assert_int_equal(aml_password_check("*0", hashes[i]), 0);
    }

    /* other methods are not what accounts here have, even where right */
    assert_int_equal(
        aml_password_check("secret", crypt("secret", "$6$saltsalt$")), 0);
    assert_int_equal(aml_password_check("secret", crypt("secret", "ab")), 0);

    /* cut anywhere, or with more behind */
    assert_int_equal(aml_password_hash("secret", hash), 0);
    n = strlen(hash);
    for (i = 0; i < n; i += 5) {
        memcpy(cut, hash, i);
        cut[i] = '\0';
        assert_int_equal(aml_password_check("secret", cut), 0);
    }
    memcpy(cut, hash, n);
    memcpy(cut + n, "A", 2);
    assert_int_equal(aml_password_check("secret", cut), 0);

    hash[n - 1] = hash[n - 1] == '.' ? '/' : '.';
    assert_int_equal(aml_password_check("secret", hash), 0);
}


static double
took(const char *password, const char *hash, int *answer)
{
    int i;
    double best, t;
    struct timespec a, b;

    best = 1e9;
    for (i = 0; i < 5; i++) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        *answer = aml_password_check(password, hash);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        t = (double) (b.tv_sec - a.tv_sec) +
            (double) (b.tv_nsec - a.tv_nsec) / 1e9;
        best = t < best ? t : best;
    }

    return best;
}


/* Whether there is such an account can't be told from the time: the work is
 * the same.  A wide margin, for a machine that does other things too. */
static void
test_nobody(void **state)
{
    int answer;
    double nobody, wrong, locked;
    char hash[AML_PASSWORD_HASH_SIZE];

    (void) state;

    assert_int_equal(aml_password_hash("secret", hash), 0);

    wrong = took("wrong", hash, &answer);
    assert_int_equal(answer, 0);
    nobody = took("wrong", NULL, &answer);
    assert_int_equal(answer, 0);
    locked = took("wrong", "!", &answer);
    assert_int_equal(answer, 0);

    assert_true(nobody > wrong / 2 && nobody < wrong * 2);
    assert_true(locked > wrong / 2 && locked < wrong * 2);
}


static void
test_generate(void **state)
{
    int seen[256];
    size_t i, n;
    char password[AML_PASSWORD_MAX + 2], other[AML_PASSWORD_MAX + 2];
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    (void) state;

    memset(seen, 0, sizeof(seen));

    for (n = 1; n <= AML_PASSWORD_MAX; n += 51) {
        memset(password, '#', sizeof(password));
        assert_int_equal(aml_password_generate(password, n), 0);
        assert_int_equal(strlen(password), n);
        assert_int_equal(strspn(password, characters), n);
        assert_int_equal(password[n + 1], '#');
        for (i = 0; i < n; i++) {
            seen[(unsigned char) password[i]]++;
        }
    }

    /* all of them turn up: 2,500 draws of 64 */
    for (i = 0; i < 64; i++) {
        assert_true(seen[(unsigned char) characters[i]] > 0);
    }

    assert_int_equal(aml_password_generate(password, 20), 0);
    assert_int_equal(aml_password_generate(other, 20), 0);
    assert_string_not_equal(password, other);

    assert_int_equal(aml_password_generate(password, 0), -1);
    assert_int_equal(aml_password_generate(password, AML_PASSWORD_MAX + 1), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),   cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_utf8),   cmocka_unit_test(test_bad_hashes),
        cmocka_unit_test(test_nobody), cmocka_unit_test(test_generate),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
