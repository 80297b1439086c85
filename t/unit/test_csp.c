#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/csp.h"


static void
test_values(void **state)
{
    static const char *const values[][2] = {
        {"", ""},
        {"frame-ancestors 'self'", ""},
        {"frame-ancestors", ""},
        {"frame-ancestors 'self'; report-uri /api/security/csp-report",
         "report-uri /api/security/csp-report"},
        {"default-src 'self'; frame-ancestors 'none'", "default-src 'self'"},
        {"default-src 'self';frame-ancestors *;sandbox",
         "default-src 'self';sandbox"},
        {"Frame-Ancestors\t*; sandbox", "sandbox"},
        {" ; ;; frame-ancestors *;; , ,", ""},
        {"sandbox, frame-ancestors 'none'", "sandbox"},
        {"frame-ancestors 'none', sandbox", "sandbox"},
        {"a b; frame-ancestors 'none', c d;e", "a b,c d;e"},
        {"a, frame-ancestors x, b", "a,b"},
        {"a; frame-ancestors x, b", "a,b"},
        {"a, frame-ancestors x; b", "a,b"},
        {"frame-ancestorsx y", "frame-ancestorsx y"},
        {"x-frame-ancestors y", "x-frame-ancestors y"},
        {"report-uri /frame-ancestors", "report-uri /frame-ancestors"},
        {"frame-ancestors a; frame-ancestors b; c", "c"},
    };

    char text[128];
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        memset(text, '#', sizeof(text));
        n = aml_csp_without_ancestors(text, aml_str_of(values[i][0]));
        assert_int_equal(n, strlen(values[i][1]));
        assert_memory_equal(text, values[i][1], n);
        assert_int_equal(text[strlen(values[i][0])], '#');

        /* where it is */
        strcpy(text, values[i][0]);
        n = aml_csp_without_ancestors(text, aml_str_of(text));
        assert_int_equal(n, strlen(values[i][1]));
        assert_memory_equal(text, values[i][1], n);
    }
}


int
main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("csp", tests, NULL, NULL);
}
