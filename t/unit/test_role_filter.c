/*
 * $filter of role assignments and definitions.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/role_filter.h"

#define GUID "01234567-89ab-cdef-0123-456789abcdef"


static void
reads(void **state)
{
    static const struct {
        const char *text;
        const char *says; /* s b p a n t, as they are in the struct */
    } t[] = {
        {"atScope()", "s"},
        {"ATSCOPE()", "s"},
        {" atScope ( ) ", "s"},
        {"atScopeAndBelow()", "b"},
        {"principalId eq '" GUID "'", "p"},
        {"PrincipalID EQ '01234567-89AB-CDEF-0123-456789ABCDEF'", "p"},
        {"principalId  eq  '" GUID "'  ", "p"},
        {"assignedTo('" GUID "')", "a"},
        {"assignedTo( '" GUID "' )", "a"},
        {"atScope() and assignedTo('" GUID "')", "sa"},
        {"assignedTo('" GUID "') AND atScope()", "sa"},
        {"principalId eq '" GUID "' and atScope()", "sp"},
        {"roleName eq 'Reader'", "n"},
        {"roleName eq 'it''s'", "n"},
        {"roleName eq ''", "n"},
        {"roleName eq 'a' and type eq 'CustomRole'", "nt"},
        {"type eq 'BuiltInRole' and atScopeAndBelow()", "bt"},
    };
    amld_role_filter_t f;
    aml_principal_id_t id;
    char says[8];
    size_t i, n;

    (void) state;

    assert_int_equal(aml_uuid_parse(aml_str(GUID), &id), 0);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (amld_role_filter_read(&f, t[i].text) != 0) {
            fail_msg("%s", t[i].text);
        }
        n = 0;
        memset(says, 0, sizeof(says));
#define SAYS(member, letter)                                                   \
    if (f.member) {                                                            \
        says[n++] = letter;                                                    \
    }
        SAYS(at_scope, 's')
        SAYS(at_scope_and_below, 'b')
        SAYS(by_principal, 'p')
        SAYS(by_assignee, 'a')
        SAYS(by_name, 'n')
        SAYS(by_type, 't')
        if (strcmp(says, t[i].says) != 0) {
            fail_msg("%s: %s", t[i].text, says);
        }
        if (f.by_principal || f.by_assignee) {
            assert_true(aml_principal_eq(&f.principal, &id));
        }
    }

    assert_int_equal(amld_role_filter_read(&f, NULL), 0);
    assert_int_equal(f.at_scope + f.by_principal + f.by_name, 0);
    assert_int_equal(
        amld_role_filter_read(&f, "roleName eq 'it''s' and type eq 'x and y'"),
        0);
    assert_string_equal(f.name, "it's");
    assert_string_equal(f.type, "x and y");
}


static void
refuses(void **state)
{
    static const char *const t[] = {
        "",
        " ",
        "x",
        "atScope",
        "atScope(",
        "atScope)",
        "atScope()x",
        "atScope('x')",
        "xatScope()",
        "atScope() and",
        "atScope() and ",
        "and atScope()",
        "atScope() atScopeAndBelow()",
        "atScope() and atScope()",
        "atScope() and atScopeAndBelow()",
        "atScope()and assignedTo('" GUID "')",
        "atScope() andassignedTo('" GUID "')",
        "atScope() or assignedTo('" GUID "')",
        "not atScope()",
        "(atScope())",
        "assignedTo()",
        "assignedTo('')",
        "assignedTo('x')",
        "assignedTo(" GUID ")",
        "assignedTo('" GUID "'",
        "assignedTo('" GUID "'')",
        "assignedTo('" GUID "', 'x')",
        "principalId eq " GUID,
        "principalId eq 'x'",
        "principalId ne '" GUID "'",
        "principalIdeq '" GUID "'",
        "principalId eq '" GUID,
        "principalId eq '" GUID "' and principalId eq '" GUID "'",
        "principalId eq '" GUID "' and assignedTo('" GUID "')",
        "roleName eq 'a' and roleName eq 'b'",
        "type eq 'a' and type eq 'b'",
        "roleName eq 'a",
        "roleName eq 'a''",
        "roleName eq \"a\"",
        "roleNameeq 'a'",
    };
    amld_role_filter_t f;
    char text[AMLD_FILTER_MAX + 2];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (amld_role_filter_read(&f, t[i]) != -1) {
            fail_msg("%s", t[i]);
        }
    }

    /* a name that is too long, and a whole that is */
    snprintf(text, sizeof(text), "roleName eq '%0*d'", AMLD_FILTER_TEXT - 1, 0);
    assert_int_equal(amld_role_filter_read(&f, text), 0);
    snprintf(text, sizeof(text), "roleName eq '%0*d'", AMLD_FILTER_TEXT, 0);
    assert_int_equal(amld_role_filter_read(&f, text), -1);
    memset(text, ' ', sizeof(text));
    memcpy(text, "atScope()", 9);
    text[AMLD_FILTER_MAX + 1] = '\0';
    assert_int_equal(amld_role_filter_read(&f, text), -1);
    text[AMLD_FILTER_MAX] = '\0';
    assert_int_equal(amld_role_filter_read(&f, text), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("role filter", tests, NULL, NULL);
}
