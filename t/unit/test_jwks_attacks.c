/*
 * Key sets that must not be taken, whole or in part: the table's.
 */

#include "t/unit/jwks_fixture.h"

#include <jansson.h>

#define TABLE "t/data/identity-attacks.json" /* tests run at the root */


/* Longer names first. */
static const struct {
    const char *name;
    const char *value;
} placeholders[] = {
    {"@rsa", RSA}, {"@edx", ED_X}, {"@ec", EC},  {"@ed", ED},
    {"@n", RSA_N}, {"@x", EC_X},   {"@y", EC_Y},
};


/* What `text` says, with values for placeholders; the caller frees.  With
 * `latin1`, characters up to U+00FF are bytes. */
static char *
filled(const char *text, int latin1)
{
    const size_t count = sizeof(placeholders) / sizeof(placeholders[0]);
    size_t i, n = 0;
    char *out = malloc(sizeof(RSA) * strlen(text) + 1);

    assert_non_null(out);

    while (*text != '\0') {
        for (i = 0; i < count; i++) {
            if (strncmp(text, placeholders[i].name,
                        strlen(placeholders[i].name)) == 0) {
                break;
            }
        }

        if (i < count) {
            n += (size_t) sprintf(out + n, "%s", placeholders[i].value);
            text += strlen(placeholders[i].name);

        } else if (latin1 && (*text & 0xe0) == 0xc0) {
            out[n++] = (char) ((*text & 3) << 6 | (text[1] & 0x3f));
            text += 2;

        } else {
            assert_true(*text != '@');
            out[n++] = *text++;
        }
    }
    out[n] = '\0';

    return out;
}


static aml_jwk_verdict_t
verdict_of(const char *reason)
{
    int i;

    for (i = 0; i < AML_JWK_VERDICTS; i++) {
        if (strcmp(aml_jwk_verdict_text((aml_jwk_verdict_t) i), reason) == 0) {
            return (aml_jwk_verdict_t) i;
        }
    }
    fail_msg("no key is \"%s\"", reason);

    return AML_JWK_VERDICTS;
}


static void
assert_refused(const char *text, const char *reason)
{
    aml_jwks_t set;
    aml_jwks_rc_t rc = parse(text, &set);

    if (strcmp(aml_jwks_strerror(rc), reason) != 0) {
        fail_msg("%.300s: %s", text, aml_jwks_strerror(rc));
    }
    assert_int_equal(set.key_count, 0);

    aml_jwks_clear(&set);
    aml_jwks_clear(&set); /* once more does no harm */
}


static void
test_table(void **state)
{
    json_t *table, *rows, *row;
    unsigned seen[AML_JWK_VERDICTS] = {0}, sets = 0;
    json_error_t err;
    size_t i;

    (void) state;

    table = json_load_file(TABLE, JSON_ALLOW_NUL, &err);
    if (table == NULL) {
        fail_msg("%s: %s", TABLE, err.text);
    }
    rows = json_object_get(table, "key_sets");
    assert_true(json_array_size(rows) > 100);

    json_array_foreach(rows, i, row)
    {
        const char *key = json_string_value(json_object_get(row, "key"));
        const char *set = json_string_value(json_object_get(row, "set"));
        const char *reason = json_string_value(json_object_get(row, "reason"));
        char *text;

        assert_true((key != NULL) != (set != NULL));
        assert_non_null(reason);

        text = filled(key != NULL ? key : set,
                      json_is_true(json_object_get(row, "latin1")));
        if (key != NULL) {
            assert_verdict(text, verdict_of(reason));
            seen[verdict_of(reason)]++;
        } else {
            assert_refused(text, reason);
            sets++;
        }
        free(text);
    }

    json_decref(table);

    /* each verdict but one, which takes two keys */
    for (i = 0; i < AML_JWK_VERDICTS; i++) {
        assert_true(seen[i] > 0 || i == AML_JWK_REPEATED);
    }
    assert_true(sets > 10);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
