/*
 * JSON from strangers: what is taken and what is not.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "auth/json.h"


/* Exactly as long as it says, for the sanitizer. */
static int
taken(aml_str_t text)
{
    char *copy;
    json_t *json;

    copy = malloc(text.n + (text.n == 0));
    assert_non_null(copy);
    memcpy(copy, text.p, text.n);
    json = aml_json_object((aml_str_t){copy, text.n});
    free(copy);

    if (json == NULL) {
        return 0;
    }

    assert_true(json_is_object(json));
    json_decref(json);

    return 1;
}


static void
forms(void **state)
{
    static const char *const good[] = {
        "{}",
        " {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\\"]\"]}\n",
        "{\"a\":{\"a\":{}}}",
        "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[\"}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "\"a\"",
        "1",
        "null",
        "{",
        "{}x",
        "{}{}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\\u0000\":1}",
        "{\"a\":\"\xff\"}",
        "{\"a\":1e400}",
        "{\"a\":99999999999999999999}",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\":\"\\",
        "\xef\xbb\xbf{}",
    };
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!taken(aml_str_of(good[i]))) {
            fail_msg("not taken: %s", good[i]);
        }
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (taken(aml_str_of(bad[i]))) {
            fail_msg("taken: %s", bad[i]);
        }
    }

    assert_false(taken(aml_str("{\"a\":\"\0\"}")));
    assert_false(taken(aml_str("{}\0")));
}


static int
nested(size_t depth)
{
    int rc;
    char *text;

    text = malloc(2 * depth + 4);
    assert_non_null(text);

    memcpy(text, "{\"\":", 4);
    memset(text + 4, '[', depth - 1);
    memset(text + 3 + depth, ']', depth - 1);
    text[2 + 2 * depth] = '}';
    rc = taken((aml_str_t){text, 2 * depth + 3});
    free(text);

    return rc;
}


static void
depth(void **state)
{
    (void) state;

    assert_true(nested(AML_JSON_DEPTH_MAX));
    assert_false(nested(AML_JSON_DEPTH_MAX + 1));
    assert_false(nested(100000));
}


static void
strings(void **state)
{
    json_t *json;

    (void) state;

    json = aml_json_object(aml_str("{\"a\":\"x y\",\"b\":1}"));
    assert_true(aml_str_eq(aml_json_string(json_object_get(json, "a")),
                           aml_str("x y")));
    assert_int_equal(aml_json_string(json_object_get(json, "b")).n, 0);
    assert_int_equal(aml_json_string(json_object_get(json, "c")).n, 0);
    json_decref(json);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(depth),
        cmocka_unit_test(strings),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
