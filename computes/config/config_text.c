#include "computes/config/config_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_TEXT_MAX (1024 * 1024)


/* Two slashes, or one and a star, within a word are no comment: a path. */
static int
starts_word(const char *text, const char *p)
{
    return p == text || strchr(" \t\r\n={},;()+\"'", p[-1]) != NULL;
}


static char *
skip_string(char *p)
{
    char quote = *p;

    for (p++; *p != '\0' && *p != quote; p++) {
        if (*p == '\\' && p[1] != '\0') {
            p++;
        }
    }

    return *p == quote ? p + 1 : p;
}


static char *
blank_to(char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p != '\n') {
            *p = ' ';
        }
    }

    return p;
}


void
amld_config_blank(char *text)
{
    char *p = text, *end;

    while (*p != '\0') {
        if (*p == '"' || *p == '\'') {
            p = skip_string(p);

        } else if (*p == '#' ||
                   (strncmp(p, "//", 2) == 0 && starts_word(text, p))) {
            p = blank_to(p, p + strcspn(p, "\n"));

        } else if (strncmp(p, "/*", 2) == 0 && starts_word(text, p)) {
            end = strstr(p + 2, "*/");
            if (end == NULL) {
                return; /* libconfuse says that it does not end */
            }
            p = blank_to(p, end + 2);

        } else {
            p++;
        }
    }
}


char *
amld_config_text(const char *file)
{
    char *text;
    FILE *f;
    size_t n;
    int err;

    f = fopen(file, "re");
    if (f == NULL) {
        return NULL;
    }

    errno = 0;
    err = 0;
    n = 0;
    text = malloc(CONFIG_TEXT_MAX + 1);

    if (text == NULL) {
        err = ENOMEM;

    } else {
        n = fread(text, 1, CONFIG_TEXT_MAX + 1, f);
        if (ferror(f)) {
            err = errno != 0 ? errno : EIO;

        } else if (n > CONFIG_TEXT_MAX) {
            err = EFBIG;

        } else if (memchr(text, '\0', n) != NULL) {
            err = EILSEQ;
        }
    }

    (void) fclose(f);

    if (err != 0) {
        free(text);
        errno = err;
        return NULL;
    }

    text[n] = '\0';
    amld_config_blank(text);

    return text;
}
