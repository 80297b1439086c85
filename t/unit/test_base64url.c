#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/base64url.h"
#include "auth/str.h"


typedef struct {
    const char *text;
    const char *bytes;
    size_t n;
} pair_t;

/* RFC 4648 section 10, RFC 7515 appendix C, and what differs from base64 */
static const pair_t pairs[] = {
    {"", "", 0},
    {"Zg", "f", 1},
    {"Zm8", "fo", 2},
    {"Zm9v", "foo", 3},
    {"Zm9vYg", "foob", 4},
    {"Zm9vYmE", "fooba", 5},
    {"Zm9vYmFy", "foobar", 6},
    {"A-z_4ME", "\x03\xec\xff\xe0\xc1", 5},
    {"-_-_", "\xfb\xff\xbf", 3},
    {"AAAA", "\0\0\0", 3},
};


static void
test_pairs(void **state)
{
    size_t i, n, len;
    char text[16], bytes[16];

    (void) state;

    for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        n = aml_base64url_encode(text, pairs[i].bytes, pairs[i].n);
        assert_int_equal(n, strlen(pairs[i].text));
        assert_int_equal(n, aml_base64url_size(pairs[i].n));
        assert_memory_equal(text, pairs[i].text, n);

        assert_int_equal(aml_base64url_decode(bytes, &len, pairs[i].text, n),
                         0);
        assert_int_equal(len, pairs[i].n);
        assert_memory_equal(bytes, pairs[i].bytes, len);
    }
}


static void
test_refused(void **state)
{
    static const char *const bad[] = {
        "A",      "AAAAA",                   /* 1 modulo 4 */
        "Zg==",   "Zm8=",    "Zg=",     "=", /* padding */
        "Zh",     "Zm9",     "Zm9vYh",       /* bits behind the last byte */
        "+///",   "Zm9v+A",  "Zm9v/A",       /* base64, not base64url */
        "Zm 9v",  "Zm9v\n",  " Zm9v",        /* white space */
        "Zm9v.Y", "Zm9\x80", "Zm9\xc3",      /* others */
        "@@@@",   "[[[[",    "````",    "{{{{", "////", "::::"};
    size_t i, len;
    char bytes[16];

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(
            aml_base64url_decode(bytes, &len, bad[i], strlen(bad[i])), -1);
    }

    assert_int_equal(aml_base64url_decode(bytes, &len, "Zm9\0", 4), -1);
}


/* Every byte at every place of a group: in the alphabet or an error. */
static void
test_alphabet(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int c, want;
    size_t place, len;
    char text[4], bytes[3];

    (void) state;

    for (c = 0; c < 256; c++) {
        want = c != 0 && strchr(alphabet, c) != NULL ? 0 : -1;

        for (place = 0; place < 4; place++) {
            memcpy(text, "AAAA", 4);
            text[place] = (char) c;
            assert_int_equal(aml_base64url_decode(bytes, &len, text, 4), want);
        }
    }
}


/* In buffers of exactly the size that the header names. */
static void
test_round(void **state)
{
    size_t n, i, len;
    uint8_t *in, *out;
    char *text;

    (void) state;

    for (n = 1; n < 200; n++) {
        in = malloc(n);
        text = malloc(aml_base64url_size(n));
        out = malloc(aml_base64url_room(aml_base64url_size(n)));
        assert_non_null(in);
        assert_non_null(text);
        assert_non_null(out);

        for (i = 0; i < n; i++) {
            in[i] = (uint8_t) (rand() >> 7);
        }

        len = aml_base64url_encode(text, in, n);
        assert_int_equal(len, aml_base64url_size(n));
        assert_int_equal(aml_base64url_decode(out, &len, text, len), 0);
        assert_int_equal(len, n);
        assert_memory_equal(in, out, n);

        free(in);
        free(text);
        free(out);
    }
}


/* There is one text for a value: whatever decodes encodes to itself. */
static void
test_canonical(void **state)
{
    char text[8], again[16];
    uint8_t bytes[8];
    size_t i, j, n, len;

    (void) state;

    srand(7);

    for (i = 0; i < 200000; i++) {
        n = (size_t) rand() % 8;
        for (j = 0; j < n; j++) {
            text[j] = (char) ('-' + rand() % ('z' - '-' + 1));
        }

        if (aml_base64url_decode(bytes, &len, text, n) == 0) {
            assert_int_equal(aml_base64url_encode(again, bytes, len), n);
            assert_memory_equal(text, again, n);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_alphabet),  cmocka_unit_test(test_round),
        cmocka_unit_test(test_canonical),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
