#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/principal.h"


static void
text_of(aml_str_t space, aml_str_t subject, char text[AML_UUID_TEXT + 1])
{
    aml_principal_id_t id;

    assert_int_equal(aml_principal_derive(space, subject, &id), 0);
    aml_uuid_format(&id, text);
}


/*
 * printf 'urn:aml:local\0creator' | sha256sum, with version and variant set.
 * Identities are kept: this value must never change.
 */
static void
test_derive_known(void **state)
{
    char text[AML_UUID_TEXT + 1];

    (void) state;

    text_of(aml_str("urn:aml:local"), aml_str("creator"), text);
    assert_string_equal(text, "ac115355-9834-8d1c-9e40-75034104a8e1");

    text_of(aml_str("https://login.example/tenant"), aml_str("0\0x"), text);
    assert_string_equal(text, "4f793677-3256-8c9d-8325-fe52a76f55f7");
}


static void
test_derive_apart(void **state)
{
    size_t i, j;
    static const struct {
        aml_str_t space, subject;
    } who[] = {{aml_str("a"), aml_str("bc")},   {aml_str("ab"), aml_str("c")},
               {aml_str("A"), aml_str("bc")},   {aml_str("a"), aml_str("BC")},
               {aml_str("a"), aml_str("bc\0")}, {aml_str("a"), aml_str("\0bc")},
               {aml_str("a"), aml_str("b\0c")}, {aml_str("a "), aml_str("bc")}};
    aml_principal_id_t id[8];

    (void) state;

    for (i = 0; i < 8; i++) {
        assert_int_equal(
            aml_principal_derive(who[i].space, who[i].subject, &id[i]), 0);
        assert_int_equal(id[i].b[6] >> 4, 8);
        assert_int_equal(id[i].b[8] >> 6, 2);

        for (j = 0; j < i; j++) {
            assert_false(aml_principal_eq(&id[i], &id[j]));
        }
    }
}


static void
test_derive_refused(void **state)
{
    aml_principal_id_t id;

    (void) state;

    assert_int_equal(aml_principal_derive(aml_str(""), aml_str("x"), &id), -1);
    assert_int_equal(aml_principal_derive(aml_str("x"), aml_str(""), &id), -1);
    assert_int_equal(aml_principal_derive(aml_str_of(NULL), aml_str("x"), &id),
                     -1);

    /* else ("a\0b", "c") would be ("a", "b\0c") */
    assert_int_equal(aml_principal_derive(aml_str("a\0b"), aml_str("c"), &id),
                     -1);
    assert_int_equal(aml_principal_derive(aml_str("\0"), aml_str("c"), &id),
                     -1);
}


/* python3: sha256(b"urn:x#group\\0admins"), version 8 marked */
static void
test_groups(void **state)
{
    char text[AML_UUID_TEXT + 1], space[4096];
    aml_principal_id_t group, role, person, other;

    (void) state;

    assert_int_equal(aml_group_derive(AML_GROUP, aml_str("urn:x"),
                                      aml_str("admins"), &group),
                     0);
    aml_uuid_format(&group, text);
    assert_string_equal(text, "68c8b2b5-c154-8697-a1af-8ec897438dc5");
    assert_int_equal(aml_group_derive(AML_APP_ROLE, aml_str("urn:x"),
                                      aml_str("admins"), &role),
                     0);
    aml_uuid_format(&role, text);
    assert_string_equal(text, "e742bb52-bc37-8efa-91fe-bc63da5b971f");

    /* nobody's subject, no other issuer's group */
    assert_int_equal(
        aml_principal_derive(aml_str("urn:x"), aml_str("admins"), &person), 0);
    assert_int_equal(aml_group_derive(AML_GROUP, aml_str("urn:y"),
                                      aml_str("admins"), &other),
                     0);
    assert_false(aml_principal_eq(&group, &person));
    assert_false(aml_principal_eq(&group, &other));

    memset(space, 'x', sizeof(space));
    assert_int_equal(
        aml_group_derive(AML_GROUP, aml_str(""), aml_str("a"), &group), -1);
    assert_int_equal(
        aml_group_derive(AML_GROUP, aml_str("x"), aml_str(""), &group), -1);
    assert_int_equal(
        aml_group_derive(AML_GROUP, aml_str("x\0y"), aml_str("a"), &group), -1);
    assert_int_equal(aml_group_derive(AML_GROUP,
                                      (aml_str_t){space, sizeof(space)},
                                      aml_str("a"), &group),
                     -1);
}


static void
test_uuid_text(void **state)
{
    size_t i;
    char text[AML_UUID_TEXT + 1];
    aml_principal_id_t id, same;

    (void) state;

    assert_int_equal(
        aml_uuid_parse(aml_str("01234567-89ab-CDEF-aBcD-ef0123456789"), &id),
        0);
    assert_memory_equal(
        id.b,
        "\x01\x23\x45\x67\x89\xab\xcd\xef\xab\xcd\xef\x01\x23\x45\x67"
        "\x89",
        16);

    aml_uuid_format(&id, text);
    assert_string_equal(text, "01234567-89ab-cdef-abcd-ef0123456789");

    for (i = 0; i < 1000; i++) {
        assert_int_equal(aml_uuid_random(&id), 0);
        aml_uuid_format(&id, text);
        assert_int_equal(aml_uuid_parse(aml_str_of(text), &same), 0);
        assert_true(aml_principal_eq(&id, &same));
    }
}


static void
test_uuid_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "01234567-89ab-cdef-abcd-ef012345678",
                                      "01234567-89ab-cdef-abcd-ef01234567890",
                                      "0123456789abcdefabcdef0123456789",
                                      "0123456789abcdefabcdef0123456789----",
                                      "01234567089ab-cdef-abcd-ef0123456789",
                                      "01234567-89ab0cdef-abcd-ef0123456789",
                                      "01234567-89ab-cdef0abcd-ef0123456789",
                                      "01234567-89ab-cdef-abcd0ef0123456789",
                                      "-1234567-89ab-cdef-abcd-ef0123456789",
                                      "0123456--89ab-cdef-abcd-ef0123456789",
                                      "g1234567-89ab-cdef-abcd-ef0123456789",
                                      "01234567-89ab-cdef-abcd-ef012345678g",
                                      "{1234567-89ab-cdef-abcd-ef012345678}",
                                      " 1234567-89ab-cdef-abcd-ef0123456789",
                                      "0x234567-89ab-cdef-abcd-ef0123456789",
                                      ("\xc3\xa9"
                                       "234567-89ab-cdef-abcd-ef0123456789")};
    size_t i;
    char text[AML_UUID_TEXT];
    aml_principal_id_t id;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(aml_uuid_parse(aml_str_of(bad[i]), &id), -1);
    }

    /* every other byte at every place */
    memcpy(text, "01234567-89ab-cdef-abcd-ef0123456789", sizeof(text));
    for (i = 0; i < sizeof(text); i++) {
        char was = text[i];

        text[i] = '\0';
        assert_int_equal(aml_uuid_parse((aml_str_t){text, sizeof(text)}, &id),
                         -1);
        text[i] = was == '-' ? 'a' : '/';
        assert_int_equal(aml_uuid_parse((aml_str_t){text, sizeof(text)}, &id),
                         -1);
        text[i] = was;
    }
}


static void
test_uuid_random(void **state)
{
    aml_principal_id_t a, b;

    (void) state;

    assert_int_equal(aml_uuid_random(&a), 0);
    assert_int_equal(aml_uuid_random(&b), 0);
    assert_false(aml_principal_eq(&a, &b));
    assert_int_equal(a.b[6] >> 4, 4);
    assert_int_equal(a.b[8] >> 6, 2);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derive_known),
        cmocka_unit_test(test_derive_apart),
        cmocka_unit_test(test_derive_refused),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_uuid_text),
        cmocka_unit_test(test_uuid_refused),
        cmocka_unit_test(test_uuid_random),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
