/*
 * Server-sent events (the HTML standard, section 9.2.6), in whatever pieces
 * they come.  An event of more than CLI_SSE_MOST bytes ends the stream.
 */

#ifndef CLI_SSE_H
#define CLI_SSE_H

#include <stddef.h>

#define CLI_SSE_MOST ((size_t) 1024 * 1024)

/* An event with its name ("message" where it has none) and data, ended by NUL;
 * other than 0 ends the stream. */
typedef int (*cli_sse_pt)(void *context, const char *event, const char *data,
                          size_t n);

/* All zero with `event` and `context` is the beginning. */
typedef struct {
    cli_sse_pt event;
    void *context;
    char *line, *data;
    size_t line_n, line_size, data_n, data_size;
    char name[64];
    char id[64]; /* the last event's, or that before it */
    char id_next[64];
    unsigned has_data : 1;
    unsigned cr : 1; /* the last byte was a CR */
    int stopped; /* what event() has returned; -1 without memory or too long */
} cli_sse_t;

/* 0, or -1 when it is over. */
int cli_sse_feed(cli_sse_t *sse, const char *p, size_t n);
/* A stream that goes on where this one was: what was under way is dropped. */
void cli_sse_again(cli_sse_t *sse);
void cli_sse_clear(cli_sse_t *sse);

#endif /* CLI_SSE_H */
