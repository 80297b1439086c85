/*
 * Server-sent events.
 */

#include "cli/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int
sse_add(char **text, size_t *n, size_t *size, const char *p, size_t more)
{
    char *grown;
    size_t want;

    if (more > CLI_SSE_MOST - *n) {
        return -1;
    }
    if (*n + more + 1 > *size) {
        want = (*n + more + 1) * 2;
        grown = realloc(*text, want);
        if (grown == NULL) {
            return -1;
        }
        *text = grown;
        *size = want;
    }
    if (more > 0) {
        memcpy(*text + *n, p, more);
    }
    *n += more;
    (*text)[*n] = '\0';

    return 0;
}


/* An empty line: what has come is an event, if there is data. */
static int
sse_dispatch(cli_sse_t *s)
{
    int rc = 0;

    memcpy(s->id, s->id_next, sizeof(s->id));
    if (s->has_data) {
        rc = s->event(s->context, s->name[0] != '\0' ? s->name : "message",
                      s->data, s->data_n);
    }
    s->has_data = 0;
    s->data_n = 0;
    s->name[0] = '\0';

    return rc;
}


static int
sse_line(cli_sse_t *s)
{
    char *value;
    size_t n;

    if (s->line_n == 0) {
        return sse_dispatch(s);
    }

    value = memchr(s->line, ':', s->line_n);
    if (value == s->line) {
        return 0; /* a comment */
    }
    n = value != NULL ? (size_t) (value - s->line) : s->line_n;
    if (value == NULL) {
        value = s->line + s->line_n;
    } else {
        value++;
        value += *value == ' ';
    }

    if (n == 4 && memcmp(s->line, "data", 4) == 0) {
        if (s->has_data &&
            sse_add(&s->data, &s->data_n, &s->data_size, "\n", 1) != 0) {
            return -1;
        }
        s->has_data = 1;
        return sse_add(&s->data, &s->data_n, &s->data_size, value,
                       (size_t) (s->line + s->line_n - value));
    }
    if (n == 5 && memcmp(s->line, "event", 5) == 0) {
        snprintf(s->name, sizeof(s->name), "%s", value);
    }
    /* it comes back in an address: digits are all that is of use here */
    if (n == 2 && memcmp(s->line, "id", 2) == 0 &&
        value[strspn(value, "0123456789")] == '\0' &&
        strlen(value) < sizeof(s->id_next)) {
        strcpy(s->id_next, value);
    }

    return 0;
}


int
cli_sse_feed(cli_sse_t *s, const char *p, size_t n)
{
    size_t k;

    while (n > 0 && s->stopped == 0) {
        if (s->cr && *p == '\n') {
            s->cr = 0;
            p++;
            n--;
            continue;
        }
        s->cr = 0;

        for (k = 0; k < n && p[k] != '\n' && p[k] != '\r'; k++) {
        }
        if (sse_add(&s->line, &s->line_n, &s->line_size, p, k) != 0) {
            s->stopped = -1;
            break;
        }
        if (k < n) {
            s->cr = p[k] == '\r';
            k++;
            s->stopped = sse_line(s);
            s->line_n = 0;
        }
        p += k;
        n -= k;
    }

    return s->stopped != 0 ? -1 : 0;
}


void
cli_sse_again(cli_sse_t *s)
{
    s->line_n = s->data_n = 0;
    s->has_data = s->cr = 0;
    s->name[0] = '\0';
    memcpy(s->id_next, s->id, sizeof(s->id));
}


void
cli_sse_clear(cli_sse_t *s)
{
    free(s->line);
    free(s->data);
    memset(s, 0, sizeof(*s));
}
