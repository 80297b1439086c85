#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/cookie.h"


static void
finds(void **state)
{
    static const struct {
        const char *header;
        int found;
        const char *value;
    } t[] = {
        {"", 0, ""},
        {"__Host-aml=abc", 1, "abc"},
        {"a=1; __Host-aml=abc; b=2", 1, "abc"},
        {"a=1;__Host-aml=abc;b=2", 1, "abc"},
        {"a=1;\t __Host-aml = abc \t; b=2", 1, "abc"},
        {"__Host-aml=", 1, ""},
        {"__Host-aml=a=b==", 1, "a=b=="},
        {"__Host-aml=\"abc\"", 1, "\"abc\""},
        {"__Host-aml=a b", 1, "a b"},
        {"__Host-aml=a,__Host-aml=b", 1, "a,__Host-aml=b"},
        {"__Host-aml=one; __Host-aml=two", 2, "one"},
        {"__Host-aml=one; __Host-aml=one", 2, "one"},
        {"__Host-aml=; __Host-aml=x; __Host-aml=y", 2, ""},
        {"__Host-aml", 0, ""},
        {"__Host-aml; x=1", 0, ""},
        {"__host-aml=abc", 0, ""},
        {"__Host-AML=abc", 0, ""},
        {"__Host-aml-browser=abc", 0, ""},
        {"x__Host-aml=abc", 0, ""},
        {"__Host-am=abc", 0, ""},
        {"x=__Host-aml=abc", 0, ""},
        {"=__Host-aml=abc", 0, ""},
        {";;; ; __Host-aml=abc;;", 1, "abc"},
        {"=; ==; a", 0, ""},
        {"\xff\xfe=1; __Host-aml=\xff", 1, "\xff"},
    };
    aml_str_t value;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        int found = aml_cookie_find(aml_str_of(t[i].header),
                                    aml_str(AML_COOKIE_SESSION), &value);

        if (found != t[i].found || !aml_str_eq(value, aml_str_of(t[i].value))) {
            fail_msg("\"%s\": %d \"%.*s\"", t[i].header, found, (int) value.n,
                     value.p != NULL ? value.p : "");
        }
    }

    assert_int_equal(aml_cookie_find((aml_str_t){NULL, 0},
                                     aml_str(AML_COOKIE_SESSION), &value),
                     0);
    assert_int_equal(aml_cookie_find(aml_str("=x"), aml_str(""), &value), 0);
    assert_int_equal(aml_cookie_find(aml_str("__Host-aml=1; __Host-aml-browser"
                                             "=2"),
                                     aml_str(AML_COOKIE_BROWSER), &value),
                     1);
    assert_memory_equal(value.p, "2", 1);
}


static void
strips(void **state)
{
    static const struct {
        const char *header, *left;
    } t[] = {
        {"", ""},
        {"a=1", "a=1"},
        {" a=1 ;; b=2; ", " a=1 ;; b=2; "},
        {"__Host-aml=x", ""},
        {"__Host-aml", ""},
        {" __Host-aml = x ", ""},
        {"__Host-aml=x;", ""},
        {"; __Host-aml=x ; ;", ""},
        {"__Host-aml=x; a=1", "a=1"},
        {"a=1; __Host-aml=x", "a=1"},
        {"a=1; __Host-aml=x; b=2", "a=1; b=2"},
        {"a=1;__Host-aml=x;b=2", "a=1;b=2"},
        {"a=1; __Host-aml=x; __Host-aml=y; __Host-aml-browser=z; b=2",
         "a=1; b=2"},
        {"__Host-aml-anything=1; _xsrf=2|a|b|3", "_xsrf=2|a|b|3"},
        {"__Host-amlx=1; __Host-aml=2", "__Host-amlx=1"},
        {"__Host-amlx=1", "__Host-amlx=1"},
        {"a=__Host-aml=1; b", "a=__Host-aml=1; b"},
        {"a;b;c;d;e;f;__Host-aml=", "a;b;c;d;e;f"},
        {"=v; __Host-aml=1", "=v"},
    };
    char dst[128];
    size_t i, n, size;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        size = strlen(t[i].header);
        memset(dst, '#', sizeof(dst));

        n = aml_cookie_strip(dst, aml_str_of(t[i].header));

        if (!aml_str_eq((aml_str_t){dst, n}, aml_str_of(t[i].left))) {
            fail_msg("\"%s\": \"%.*s\"", t[i].header, (int) n, dst);
        }
        assert_true(n < size || strcmp(t[i].header, t[i].left) == 0);
        assert_int_equal(dst[size], '#');
    }
}


/* Whatever comes in: no more than header.n bytes out, none of them ours. */
static void
strips_noise(void **state)
{
    static const char *const words[] = {
        "__Host-aml", "__Host-aml-browser", "a", "=",  ";", "; ", " ", "\t",
        "b=c",        "__Host-am",          "-", "\"",
    };
    char header[256], *dst;
    aml_str_t value;
    unsigned seed = 1;
    size_t n, out;
    int i, k;

    (void) state;

    for (i = 0; i < 20000; i++) {
        n = 0;
        for (k = 0; k < 12; k++) {
            seed = seed * 1103515245u + 12345u;
            const char *w = words[(seed >> 16) % 12];
            memcpy(header + n, w, strlen(w));
            n += strlen(w);
        }

        /* Exactly n bytes, so that a sanitizer sees one too many. */
        dst = malloc(n);
        assert_non_null(dst);
        out = aml_cookie_strip(dst, (aml_str_t){header, n});
        assert_true(out <= n);
        assert_int_equal(aml_cookie_find((aml_str_t){dst, out},
                                         aml_str(AML_COOKIE_SESSION), &value),
                         0);
        assert_int_equal(aml_cookie_find((aml_str_t){dst, out},
                                         aml_str(AML_COOKIE_BROWSER), &value),
                         0);
        if (out == n) {
            assert_memory_equal(dst, header, n);
        }
        free(dst);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(strips),
        cmocka_unit_test(strips_noise),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
