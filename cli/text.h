/*
 * What is shown to people: of a server's words no control character reaches a
 * terminal, whatever the server sends.
 */

#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/*
 * A copy of `n` bytes of UTF-8, the caller's to free; NULL without memory.
 * Control characters (C0, DEL, C1), what changes the direction of text, and
 * bytes that are no UTF-8 become U+FFFD.  With `lines` newlines and tabs stay;
 * otherwise they are blanks.
 */
char *cli_text_clean(const char *text, size_t n, int lines);

/* Writes it so. */
void cli_text_write(FILE *out, const char *text, size_t n, int lines);

/* A line "name  value" of what is shown of one thing; none where there is no
 * value. */
void cli_text_field(const char *name, const char *value, int lines);

/* Columns that clean text takes on a terminal. */
size_t cli_text_width(const char *text);

/* Bytes of clean text that take `columns` at the most. */
size_t cli_text_fit(const char *text, size_t columns);

/* Prints "aml: …" and a newline on standard error, cleaned; returns `status`.
 */
int cli_fail(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line on standard error, cleaned: how it goes. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc'd; NULL without memory. */
char *cli_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* CLI_TEXT_H */
