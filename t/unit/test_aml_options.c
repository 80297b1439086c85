#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"

static const cli_option_t options[] = {
    {"all", 'a', NULL, "everything", 0},
    {"size", 's', "SIZE", "how large", 0},
    {"tag", 't', "NAME=VALUE", "a tag", 1},
    {"word", 0, "WORD", "another that repeats", 1},
    {NULL, 0, NULL, NULL, 0},
};

static const cli_command_t commands[] = {
    {"thing make", "NAME", "make one", NULL, options, NULL, 1, 1, 0,
     CLI_COMPLETE_NOTHING, NULL},
    {"thing list", "", "list them", NULL, NULL, NULL, 0, 0, 0,
     CLI_COMPLETE_NOTHING, NULL},
    {"run", "NAME [COMMAND...]", "run it", NULL, options, NULL, 1, -1, 1,
     CLI_COMPLETE_NOTHING, NULL},
    {"submit", "-- COMMAND...", "submit it", NULL, options, NULL, 1, -1, 0,
     CLI_COMPLETE_NOTHING, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, CLI_COMPLETE_NOTHING, NULL},
};

static cli_args_t args;
static char error[256];


/* Takes a line with blanks between its words. */
static int
parse(const char *line)
{
    static char copy[512];
    static char *argv[64];
    char *p, *save = NULL;
    int n = 0;

    snprintf(copy, sizeof(copy), "%s", line);
    for (p = strtok_r(copy, " ", &save); p != NULL;
         p = strtok_r(NULL, " ", &save)) {
        argv[n++] = p;
    }
    argv[n] = NULL;
    error[0] = '\0';

    return cli_args_parse(&args, commands, n, argv, error, sizeof(error));
}


static void
finds_commands(void **state)
{
    (void) state;
    assert_int_equal(parse("aml thing make x"), 0);
    assert_string_equal(args.command->name, "thing make");
    assert_int_equal(args.argc, 1);
    assert_string_equal(args.argv[0], "x");
    assert_int_equal(parse("aml --profile p thing list"), 0);
    assert_string_equal(args.command->name, "thing list");
    assert_string_equal(cli_option(&args, "profile"), "p");
    assert_int_equal(parse("aml"), 0);
    assert_null(args.command);
    assert_int_equal(parse("aml thing"), 0);
    assert_null(args.command);
    assert_int_equal(parse("aml thing --help"), 0);
    assert_true(args.help);
    assert_int_equal(parse("aml thing frob"), -1);
    assert_string_equal(error, "no such command: thing frob");
    assert_int_equal(parse("aml frob"), -1);
    assert_int_equal(parse("aml thin list"), -1);
}


static void
takes_options(void **state)
{
    (void) state;
    assert_int_equal(parse("aml thing make --size=big x -a"), 0);
    assert_string_equal(cli_option(&args, "size"), "big");
    assert_string_equal(cli_option(&args, "all"), "");
    assert_null(cli_option(&args, "tag"));
    assert_null(cli_option(&args, "no-such"));
    assert_int_equal(parse("aml thing make -asbig x"), 0);
    assert_string_equal(cli_option(&args, "size"), "big");
    assert_non_null(cli_option(&args, "all"));
    assert_int_equal(parse("aml thing make -s -a x"), 0);
    assert_string_equal(cli_option(&args, "size"), "-a");
    assert_int_equal(parse("aml thing make -- -a"), 0);
    assert_string_equal(args.argv[0], "-a");
    assert_int_equal(parse("aml thing make -"), 0);
    assert_string_equal(args.argv[0], "-");
    assert_int_equal(
        parse("aml thing make x -t a=1 --word w --tag b=2 --word=v"), 0);
    assert_string_equal(cli_option_each(&args, "tag", 0), "a=1");
    assert_string_equal(cli_option_each(&args, "tag", 1), "b=2");
    assert_null(cli_option_each(&args, "tag", 2));
    assert_string_equal(cli_option_each(&args, "word", 1), "v");
}


static void
leaves_others(void **state)
{
    (void) state;
    assert_int_equal(parse("aml run -a x ls -a --frob -- y"), 0);
    assert_int_equal(args.argc, 6);
    assert_string_equal(args.argv[2], "-a");
    assert_string_equal(args.argv[4], "--");
    assert_int_equal(parse("aml run x -- ls"), 0);
    assert_int_equal(args.argc, 2);
    assert_string_equal(args.argv[1], "ls");
    assert_int_equal(parse("aml submit -s big -- ls --size"), 0);
    assert_int_equal(args.argc, 2);
}


static void
refuses(void **state)
{
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"aml thing make", "aml thing make wants NAME"},
        {"aml thing make x y", "too many arguments: y"},
        {"aml thing make --frob x", "no such option: --frob"},
        {"aml thing make --siz x", "no such option: --siz"},
        {"aml thing make -z x", "no such option: -z"},
        {"aml thing make x --size", "--size wants SIZE"},
        {"aml thing make x -s", "-s wants SIZE"},
        {"aml thing make x --all=1", "--all takes no value"},
        {"aml --frob", "no such option: --frob"},
        {"aml thing list -a", "no such option: -a"},
    };
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(cases[i].line), -1);
        assert_string_equal(error, cases[i].said);
    }
}


static void
limits(void **state)
{
    char *argv[2 * CLI_REPEATED_MOST + 8];
    int n = 0;

    (void) state;
    argv[n++] = (char *) "aml";
    argv[n++] = (char *) "run";
    while (n < 2 * CLI_REPEATED_MOST + 4) {
        argv[n++] = (char *) "-t";
        argv[n++] = (char *) "a=b";
    }
    argv[n++] = (char *) "x";
    argv[n] = NULL;
    assert_int_equal(
        cli_args_parse(&args, commands, n, argv, error, sizeof(error)), -1);
    assert_string_equal(error, "--tag: too many of them");
}


static void
helps(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    (void) state;
    cli_help(out, commands, &commands[0], NULL);
    (void) fclose(out);
    assert_non_null(strstr(text, "Usage: aml thing make [OPTION] NAME\n"));
    assert_non_null(strstr(text, "  -s, --size SIZE             how large\n"));
    free(text);

    out = open_memstream(&text, &n);
    cli_help(out, commands, NULL, "thing");
    (void) fclose(out);
    assert_non_null(strstr(text, "  thing list         list them\n"));
    assert_null(strstr(text, "run it"));
    free(text);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_commands), cmocka_unit_test(takes_options),
        cmocka_unit_test(leaves_others),  cmocka_unit_test(refuses),
        cmocka_unit_test(limits),         cmocka_unit_test(helps),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
