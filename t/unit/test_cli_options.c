/*
 * Options of amld's commands.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "computes/cli/cli.h"

typedef struct {
    amld_cli_who_t who;
    const char *scope, *alone;
    int json, status;
} read_t;


/* Of words with a blank between; `more` is what may be there beside --scope
 * and --json. */
static read_t
reads(const char *text, const char *more)
{
    read_t r = {.alone = "before"};
    const amld_cli_option_t options[] = {
        {"scope", &r.scope, NULL}, {"json", NULL, &r.json}, {NULL, NULL, NULL}};
    static char room[256];
    char *argv[16], *save = NULL;
    int argc = 0;

    (void) strncpy(room, text, sizeof(room) - 1);
    for (argv[0] = strtok_r(room, " ", &save); argv[argc] != NULL;
         argv[argc] = strtok_r(NULL, " ", &save)) {
        argc++;
    }

    r.status = amld_cli_options(
        argc, argv, "", options, strstr(more, "who") != NULL ? &r.who : NULL,
        strstr(more, "argument") != NULL ? &r.alone : NULL);

    return r;
}


static void
taken(void **state)
{
    read_t r;

    (void) state;

    r = reads("list", "");
    assert_int_equal(r.status, -1);
    assert_null(r.scope);
    assert_int_equal(r.json, 0);
    assert_string_equal(r.alone, "before");

    r = reads("list --json --scope=/a", "");
    assert_int_equal(r.status, -1);
    assert_string_equal(r.scope, "/a");
    assert_int_equal(r.json, 1);

    /* the next command begins anew, and the last word counts */
    r = reads("list --scope /a --scope /b", "who");
    assert_int_equal(r.status, -1);
    assert_string_equal(r.scope, "/b");
    assert_int_equal(r.json, 0);
    assert_int_equal(amld_cli_who_person(&r.who), 0);
}


static void
persons(void **state)
{
    static const struct {
        const char *text;
        int named, person;
    } cases[] = {
        {"x --account a", 1, 1},
        {"x --principal p", 1, 1},
        {"x --subject s --issuer i", 1, 1},
        {"x --subject s --space n", 1, 1},
        {"x --group g --issuer i", 1, -1},
        {"x --app-role r --space n", 1, -1},
        {"x --account a --principal p", -1, -1},
        {"x --subject s", -1, -1},
        {"x --issuer i", -1, -1},
    };
    read_t r;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        r = reads(cases[i].text, "who");
        assert_int_equal(r.status, -1);
        assert_int_equal(amld_cli_who_named(&r.who), cases[i].named);
        assert_int_equal(amld_cli_who_person(&r.who), cases[i].person);
        assert_int_equal(reads(cases[i].text, "").status, AMLD_EXIT_USAGE);
    }
}


static void
arguments(void **state)
{
    read_t r;

    (void) state;

    assert_null(reads("show --json", "argument").alone);
    r = reads("show lab --json", "argument");
    assert_string_equal(r.alone, "lab");
    assert_int_equal(r.json, 1);
    assert_string_equal(reads("show -- --json", "argument").alone, "--json");
    assert_int_equal(reads("show lab other", "argument").status,
                     AMLD_EXIT_USAGE);
    assert_int_equal(reads("show lab", "").status, AMLD_EXIT_USAGE);
}


static void
refused(void **state)
{
    (void) state;

    assert_int_equal(reads("x --what", "").status, AMLD_EXIT_USAGE);
    assert_int_equal(reads("x --scope", "").status, AMLD_EXIT_USAGE);
    assert_int_equal(reads("x --json=yes", "").status, AMLD_EXIT_USAGE);
    assert_int_equal(reads("x -j", "").status, AMLD_EXIT_USAGE);
    assert_int_equal(reads("x --help --what", "").status, AMLD_EXIT_OK);
    assert_int_equal(reads("x -h", "").status, AMLD_EXIT_OK);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken),
        cmocka_unit_test(persons),
        cmocka_unit_test(arguments),
        cmocka_unit_test(refused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("cli_options", tests, NULL, NULL);
}
