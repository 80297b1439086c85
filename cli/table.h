/*
 * Tables for people: columns that fit the terminal, the widest cut first.
 * Where there is no terminal nothing is cut, so that scripts can read them.
 */

#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#define CLI_TABLE_COLUMNS 8

typedef struct {
    size_t columns;
    size_t rows; /* with that of the headings */
    size_t size;
    char **cells; /* clean */
    int failed;   /* without memory */
} cli_table_t;

/* All zero is an empty one; the first row are headings. */
void cli_table_begin(cli_table_t *table, size_t columns,
                     const char *const *headings);

/* Adds a cell, which is copied and cleaned; rows follow of themselves. */
void cli_table_add(cli_table_t *table, const char *text);
void cli_table_add_n(cli_table_t *table, const char *text, size_t n);

/* Prints it, at most `width` columns (0: any), and empties it.  An exit status.
 */
int cli_table_end(cli_table_t *table, FILE *out, size_t width);

/* Of standard output; 0 where it is no terminal. */
size_t cli_table_width(void);

/* "3 min", "2 h", "5 d": how long ago an RFC 3339 time is; "" where it is none.
 */
const char *cli_ago(const char *time, char *text, size_t size);

#endif /* CLI_TABLE_H */
