#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/hex.h"


/* Every value at every place of texts of all lengths, and nothing behind. */
static void
test_all(void **state)
{
    uint8_t bytes[37];
    char text[2 * sizeof(bytes) + 1], expected[2 * sizeof(bytes) + 1];
    unsigned value;
    size_t i, n;

    (void) state;

    for (n = 0; n <= sizeof(bytes); n++) {
        for (value = 0; value < 256; value++) {
            for (i = 0; i < n; i++) {
                bytes[i] = (uint8_t) (value + i * 7);
                snprintf(expected + 2 * i, 3, "%02x", bytes[i]);
            }

            memset(text, '#', sizeof(text));
            aml_hex_encode(text, bytes, n);
            assert_memory_equal(text, expected, 2 * n);
            assert_int_equal(text[2 * n], '#');
        }
    }
}


/* Each character at each place: digits of either case, and nothing else. */
static void
test_decode(void **state)
{
    static const char good[] = "0123456789abcdefABCDEF";
    char text[6 + 1];
    uint8_t bytes[3];
    size_t i;
    int c;

    (void) state;

    assert_int_equal(aml_hex_decode(bytes, "00fFA7", 3), 0);
    assert_memory_equal(bytes, "\x00\xff\xa7", 3);

    for (c = 0; c < 256; c++) {
        for (i = 0; i < 6; i++) {
            memcpy(text, "123456", 7);
            text[i] = (char) c;
            assert_int_equal(aml_hex_decode(bytes, text, 3),
                             c != 0 && strchr(good, c) != NULL ? 0 : -1);
        }
    }
}


int
main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_all),
                                              cmocka_unit_test(test_decode)};

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("hex", tests, NULL, NULL);
}
