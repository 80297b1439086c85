/*
 * Key sets that must not be taken, whole or in part: the table's.
 */

#include "t/unit/jwks_fixture.h"

#include "t/unit/attack_table.h"


static const attack_placeholder_t placeholders[] = {
    {"@rsa", RSA}, {"@edx", ED_X}, {"@ec", EC},  {"@ed", ED},
    {"@n", RSA_N}, {"@x", EC_X},   {"@y", EC_Y},
};


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
    size_t i;

    (void) state;

    table = attack_table("key_sets", 100, &rows);

    json_array_foreach(rows, i, row)
    {
        const char *key = json_string_value(json_object_get(row, "key"));
        const char *set = json_string_value(json_object_get(row, "set"));
        const char *reason = json_string_value(json_object_get(row, "reason"));
        char *text;

        assert_true((key != NULL) != (set != NULL));
        assert_non_null(reason);

        text = attack_text(key != NULL ? key : set, placeholders,
                           sizeof(placeholders) / sizeof(placeholders[0]), 0,
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
