/*
 * What the values of configuration options look like.
 */

#include "computes/config/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>


char *
amld_value_lower(char *text)
{
    char *p;

    for (p = text; p != NULL && *p != '\0'; p++) {
        *p = (char) tolower((unsigned char) *p);
    }

    return text;
}


/* A number and one letter; `units` says how much each letter is. */
int
amld_value_scaled(const char *value, const char *letters, const uint64_t *units,
                  uint64_t *result)
{
    char *end;
    const char *letter;
    uint64_t n;

    if (!isdigit((unsigned char) *value)) {
        return -1;
    }

    errno = 0;
    n = strtoull(value, &end, 10);
    if (errno != 0) {
        return -1;
    }

    if (*end != '\0') {
        letter = strchr(letters, *end);
        if (letter == NULL || end[1] != '\0') {
            return -1;
        }
        if (__builtin_mul_overflow(n, units[letter - letters], &n)) {
            return -1;
        }
    }

    *result = n;
    return 0;
}


/* Letters, digits and dashes in labels of 1 to 63, 253 in all. */
static int
value_is_domain(const char *name, size_t n)
{
    size_t i, label = 0;

    if (n == 0 || n > 253) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (name[i] == '.') {
            if (label == 0 || name[i - 1] == '-') {
                return 0;
            }
            label = 0;
            continue;
        }

        if (!isalnum((unsigned char) name[i]) &&
            (name[i] != '-' || label == 0)) {
            return 0;
        }

        if (++label > 63) {
            return 0;
        }
    }

    return label > 0 && name[n - 1] != '-';
}


/* "host" or "host:port" → lower-case host and ":port", or "" for 443. */
int
amld_value_authority(const char *text, char **host, char **port)
{
    const char *colon = strchr(text, ':');
    size_t n = colon != NULL ? (size_t) (colon - text) : strlen(text);
    uint64_t number = 443;

    if (!value_is_domain(text, n)) {
        return -1;
    }

    if (colon != NULL &&
        (amld_value_scaled(colon + 1, "", NULL, &number) != 0 || number < 1 ||
         number > 65535 || colon[1] == '0')) {
        return -1;
    }

    *host = amld_value_lower(strndup(text, n));
    *port = number == 443 ? strdup("") : strdup(colon);

    return *host != NULL && *port != NULL ? 0 : -1;
}


int
amld_value_is_name(const char *text, size_t least, size_t most,
                   const char *marks)
{
    size_t i, n = strlen(text);

    if (n < least || n > most || !isalnum((unsigned char) text[0])) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (!isalnum((unsigned char) text[i]) &&
            strchr(marks, text[i]) == NULL) {
            return 0;
        }
    }

    return 1;
}
