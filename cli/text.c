/*
 * What is shown to people.
 */

#include "cli/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */


/* The character at `p` and how many bytes it has; 0 where it is no UTF-8. */
static size_t
text_decode(const unsigned char *p, size_t n, uint32_t *c)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size, i;

    if (p[0] < 0x80) {
        *c = p[0];
        return 1;
    }

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        size = 2;
        *c = p[0] & 0x1f;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        size = 3;
        *c = p[0] & 0x0f;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        size = 4;
        *c = p[0] & 0x07;
    } else {
        return 0;
    }

    if (size > n) {
        return 0;
    }
    for (i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        *c = *c << 6 | (p[i] & 0x3f);
    }

    return *c < least[size] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff)
               ? 0
               : size;
}


static int
text_is_shown(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) && c != 0x200e &&
           c != 0x200f && c != 0x061c && !(c >= 0x2028 && c <= 0x202e) &&
           !(c >= 0x2066 && c <= 0x2069) && c != 0xfeff &&
           !(c >= 0xe0000 && c <= 0xe007f);
}


char *
cli_text_clean(const char *text, size_t n, int lines)
{
    const unsigned char *p = (const unsigned char *) text;
    char *clean, *out;
    uint32_t c;
    size_t size;

    if (n > SIZE_MAX / 3 - 1) {
        return NULL;
    }
    clean = malloc(n * 3 + 1);
    if (clean == NULL) {
        return NULL;
    }

    for (out = clean; n > 0; p += size, n -= size) {
        size = text_decode(p, n, &c);

        if (size > 0 && (c == '\n' || c == '\t')) {
            *out++ = lines ? (char) c : ' ';
        } else if (size > 0 && text_is_shown(c)) {
            memcpy(out, p, size);
            out += size;
        } else {
            memcpy(out, REPLACEMENT, 3);
            out += 3;
            size = size > 0 ? size : 1;
        }
    }
    *out = '\0';

    return clean;
}


void
cli_text_write(FILE *out, const char *text, size_t n, int lines)
{
    char *clean = cli_text_clean(text, n, lines);

    if (clean != NULL) {
        (void) fputs(clean, out);
    }
    free(clean);
}


void
cli_text_field(const char *name, const char *value, int lines)
{
    if (value[0] != '\0') {
        (void) printf("%-12s ", name);
        cli_text_write(stdout, value, strlen(value), lines);
        (void) putchar('\n');
    }
}


size_t
cli_text_width(const char *text)
{
    const unsigned char *p = (const unsigned char *) text;
    size_t n = strlen(text), size, width = 0;
    uint32_t c;
    int w;

    for (; n > 0; p += size, n -= size) {
        size = text_decode(p, n, &c);
        size = size > 0 ? size : 1;
        w = size == 1 ? 1 : wcwidth((wchar_t) c);
        width += w < 0 ? 1 : (size_t) w;
    }

    return width;
}


size_t
cli_text_fit(const char *text, size_t columns)
{
    const unsigned char *p = (const unsigned char *) text;
    size_t n = strlen(text), size, width = 0;
    uint32_t c;
    int w;

    for (; n > 0; p += size, n -= size) {
        size = text_decode(p, n, &c);
        size = size > 0 ? size : 1;
        w = size == 1 ? 1 : wcwidth((wchar_t) c);
        width += w < 0 ? 1 : (size_t) w;
        if (width > columns) {
            break;
        }
    }

    return (size_t) ((const char *) p - text);
}


static char *
text_vformat(const char *format, va_list args)
{
    char *text;

    return vasprintf(&text, format, args) < 0 ? NULL : text;
}


static void
text_line(const char *before, const char *format, va_list args)
{
    char *text = text_vformat(format, args);

    if (text != NULL) {
        (void) fputs(before, stderr);
        cli_text_write(stderr, text, strlen(text), 0);
        (void) fputc('\n', stderr);
    }
    free(text);
}


int
cli_fail(int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) fflush(stdout);
    text_line("aml: ", format, args);
    va_end(args);

    return status;
}


void
cli_note(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_line("", format, args);
    va_end(args);
}


char *
cli_format(const char *format, ...)
{
    char *text;
    va_list args;

    va_start(args, format);
    text = text_vformat(format, args);
    va_end(args);

    return text;
}
