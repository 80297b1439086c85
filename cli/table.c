/*
 * Tables for people.
 */

#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/text.h"

#define TABLE_GAP 2
#define TABLE_LEAST 6 /* columns that a cut column keeps */


void
cli_table_begin(cli_table_t *table, size_t columns, const char *const *headings)
{
    size_t i;

    memset(table, 0, sizeof(*table));
    table->columns = columns;
    for (i = 0; i < columns; i++) {
        cli_table_add(table, headings[i]);
    }
}


void
cli_table_add(cli_table_t *table, const char *text)
{
    cli_table_add_n(table, text, strlen(text));
}


void
cli_table_add_n(cli_table_t *table, const char *text, size_t n)
{
    size_t size;
    char **grown;

    if (table->rows == table->size) {
        size = table->size * 2 + 64;
        grown = realloc(table->cells, size * sizeof(*grown));
        if (grown == NULL) {
            table->failed = 1;
            return;
        }
        table->cells = grown;
        table->size = size;
    }
    table->cells[table->rows] = cli_text_clean(text, n, 0);
    if (table->cells[table->rows] == NULL) {
        table->failed = 1;
        return;
    }
    table->rows++; /* of cells, until the end */
}


/* Takes from the widest until it fits. */
static void
table_fit(size_t *width, size_t columns, size_t most)
{
    size_t i, widest, total;

    for (;;) {
        total = (columns - 1) * TABLE_GAP;
        widest = 0;
        for (i = 0; i < columns; i++) {
            total += width[i];
            if (width[i] > width[widest]) {
                widest = i;
            }
        }
        if (total <= most || width[widest] <= TABLE_LEAST) {
            return;
        }
        width[widest]--;
    }
}


static void
table_cell(FILE *out, const char *cell, size_t width, int last)
{
    size_t have = cli_text_width(cell), n;

    if (have <= width) {
        (void) fputs(cell, out);
    } else {
        n = cli_text_fit(cell, width - 1);
        (void) fprintf(out, "%.*s~", (int) n, cell);
        have = width;
    }
    for (; !last && have < width + TABLE_GAP; have++) {
        (void) fputc(' ', out);
    }
}


int
cli_table_end(cli_table_t *table, FILE *out, size_t width)
{
    size_t of[CLI_TABLE_COLUMNS] = {0}, i, w;
    int failed = table->failed;

    for (i = 0; i < table->rows; i++) {
        w = cli_text_width(table->cells[i]);
        if (w > of[i % table->columns]) {
            of[i % table->columns] = w;
        }
    }
    if (width > 0) {
        table_fit(of, table->columns, width);
    }

    for (i = 0; i < table->rows && !failed; i++) {
        w = i % table->columns;
        table_cell(out, table->cells[i], of[w], w + 1 == table->columns);
        if (w + 1 == table->columns) {
            (void) fputc('\n', out);
        }
    }
    for (i = 0; i < table->rows; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    memset(table, 0, sizeof(*table));

    return failed || fflush(out) != 0
               ? cli_fail(CLI_EXIT_FAILED, "the table can't be written")
               : CLI_EXIT_OK;
}


size_t
cli_table_width(void)
{
    struct winsize size;

    return isatty(STDOUT_FILENO) &&
                   ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
                   size.ws_col > 0
               ? size.ws_col
               : 0;
}


const char *
cli_ago(const char *when, char *text, size_t size)
{
    struct tm tm = {0};
    long long seconds;

    if (strptime(when, "%Y-%m-%dT%H:%M:%S", &tm) == NULL) {
        return "";
    }
    seconds = (long long) time(NULL) - (long long) timegm(&tm);
    seconds = seconds > 0 ? seconds : 0;

    if (seconds < 120) {
        snprintf(text, size, "%lld s", seconds);
    } else if (seconds < 2 * 3600) {
        snprintf(text, size, "%lld min", seconds / 60);
    } else if (seconds < 48LL * 3600) {
        snprintf(text, size, "%lld h", seconds / 3600);
    } else {
        snprintf(text, size, "%lld d", seconds / 86400);
    }

    return text;
}
