/*
 * When instances were last used, as the gateway tells it: in memory only, as it
 * changes all the time.  Who starts again knows nothing of the time before
 * (see idle.h for what becomes of that).
 */

#ifndef AMLD_USAGE_H
#define AMLD_USAGE_H

#include <stdint.h>

#include "auth/str.h"

#define AMLD_USAGE_KEPT                                                        \
    (4 * 86400) /* seconds: longer than anybody may wait                       \
                 */

typedef struct amld_usage amld_usage_t;

typedef struct {
    int64_t when;  /* seconds since 1970; 0: it is not known */
    unsigned port; /* what was used */
    int frames;    /* on a websocket, else by a request */
} amld_use_t;

/* NULL without memory. */
amld_usage_t *amld_usage_new(int64_t now);
void amld_usage_free(amld_usage_t *usage); /* NULL is allowed */

/* Any thread.  `name` is in lower case. */
void
amld_usage_note(amld_usage_t *usage, aml_str_t name, const amld_use_t *use);
void amld_usage_last(amld_usage_t *usage, aml_str_t name, amld_use_t *use);

/* Since when use is heard of. */
int64_t amld_usage_since(amld_usage_t *usage);

/* The clock was set back: what lies ahead is forgotten, and as nobody knows
 * what it was, use is heard of from now on. */
void amld_usage_back(amld_usage_t *usage, int64_t now);

#endif /* AMLD_USAGE_H */
