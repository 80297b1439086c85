#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/table.h"
#include "cli/text.h"


static void
cleans(void **state)
{
    static const struct {
        const char *in, *out;
        int lines;
    } cases[] = {
        {"plain", "plain", 0},
        {"Gr\xc3\xbc\xc3\x9f\x65 \xe2\x9c\x93 \xf0\x9f\x90\xa7",
         "Gr\xc3\xbc\xc3\x9f\x65 \xe2\x9c\x93 \xf0\x9f\x90\xa7", 0},
        {"a\tb\nc", "a b c", 0},
        {"a\tb\nc", "a\tb\nc", 1},
        {"\x1b[31m", "\xef\xbf\xbd[31m", 1},
        {"\r\a\x7f", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 1},
        {"\xc2\x9b", "\xef\xbf\xbd", 1},             /* C1: CSI */
        {"\x9b", "\xef\xbf\xbd", 1},                 /* no UTF-8 */
        {"\xe2\x80\xae", "\xef\xbf\xbd", 0},         /* right to left */
        {"\xe2\x81\xa6", "\xef\xbf\xbd", 0},         /* isolate */
        {"\xe2\x80\xa8", "\xef\xbf\xbd", 1},         /* line separator */
        {"\xc0\x8a", "\xef\xbf\xbd\xef\xbf\xbd", 1}, /* overlong newline */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 1},
        {"\xe2\x9c", "\xef\xbf\xbd\xef\xbf\xbd", 1}, /* cut */
        {"", "", 0},
    };
    char *clean;
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        clean =
            cli_text_clean(cases[i].in, strlen(cases[i].in), cases[i].lines);
        assert_string_equal(clean, cases[i].out);
        free(clean);
    }
    clean = cli_text_clean("a\0b", 3, 1);
    assert_string_equal(clean, "a\xef\xbf\xbd"
                               "b");
    free(clean);
}


/* No byte that is a control character comes out, whatever goes in. */
static void
cleans_anything(void **state)
{
    unsigned char bytes[64];
    char *clean, *again;
    size_t i, k;

    (void) state;
    srand(7);
    for (i = 0; i < 20000; i++) {
        for (k = 0; k < sizeof(bytes); k++) {
            bytes[k] = (unsigned char) rand();
        }
        clean = cli_text_clean((char *) bytes, sizeof(bytes), 0);
        for (k = 0; clean[k] != '\0'; k++) {
            assert_true((unsigned char) clean[k] >= 0x20 && clean[k] != 0x7f);
        }
        again = cli_text_clean(clean, strlen(clean), 0);
        assert_string_equal(again, clean);
        free(clean);
        free(again);
    }
}


static char *
printed(cli_table_t *table, size_t width)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    assert_non_null(out);
    assert_int_equal(cli_table_end(table, out, width), 0);
    (void) fclose(out);

    return text;
}


static void
fill(cli_table_t *table)
{
    static const char *const headings[] = {"NAME", "COMMAND"};

    cli_table_begin(table, 2, headings);
    cli_table_add(table, "one");
    cli_table_add(table, "python train.py --epochs 3");
    cli_table_add(table, "a-longer-name");
    cli_table_add(table, "x\x1b[2Jy");
}


static void
tables(void **state)
{
    cli_table_t table;
    char *text;

    (void) state;
    fill(&table);
    text = printed(&table, 0);
    assert_string_equal(text, "NAME           COMMAND\n"
                              "one            python train.py --epochs 3\n"
                              "a-longer-name  x\xef\xbf\xbd[2Jy\n");
    free(text);

    fill(&table);
    text = printed(&table, 30);
    assert_string_equal(text, "NAME           COMMAND\n"
                              "one            python train.p~\n"
                              "a-longer-name  x\xef\xbf\xbd[2Jy\n");
    free(text);

    fill(&table);
    text = printed(&table, 1); /* what can't fit is not cut to nothing */
    assert_string_equal(text, "NAME    COMMA~\n"
                              "one     pytho~\n"
                              "a-lon~  x\xef\xbf\xbd[2Jy\n");
    free(text);
}


static void
ago(void **state)
{
    char text[32];

    (void) state;
    assert_string_equal(cli_ago("", text, sizeof(text)), "");
    assert_string_equal(cli_ago("yesterday", text, sizeof(text)), "");
    assert_non_null(
        strstr(cli_ago("2001-01-01T00:00:00Z", text, sizeof(text)), " d"));
    assert_string_equal(cli_ago("2999-01-01T00:00:00Z", text, sizeof(text)),
                        "0 s");
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans),
        cmocka_unit_test(cleans_anything),
        cmocka_unit_test(tables),
        cmocka_unit_test(ago),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
