/*
 * Time zones: when local time is how far from UTC.  Nothing here looks at or
 * changes the zone of the process.
 *
 * A name is one of the IANA database, read from the machine's own copy of it
 * (TZif, RFC 9636), or one of Windows, as clients of Azure send them, which
 * stands for the zone that the CLDR names for it in the world at large.
 */

#ifndef AMLD_ZONE_H
#define AMLD_ZONE_H

#include <stddef.h>
#include <stdint.h>

#define AMLD_ZONE_NAME_MAX 64
#define AMLD_ZONE_FILE_MAX 65536 /* bytes of TZif */

typedef struct amld_zone amld_zone_t;

/* A stretch of time with one offset. */
typedef struct {
    int64_t start;  /* first second of it; INT64_MIN: ever since */
    int64_t end;    /* first second of the next; INT64_MAX: for ever */
    int32_t offset; /* local time less UTC, in seconds */
} amld_zone_span_t;

/* 1 when it can be loaded; NULL and "" are UTC. */
int amld_zone_exists(const char *zone);

/* NULL when there is no such zone, its file is damaged, or without memory. */
amld_zone_t *amld_zone_load(const char *zone);
/* The same of a file's bytes; NULL when they are no TZif or one with leap
 * seconds. */
amld_zone_t *amld_zone_parse(const void *bytes, size_t n);
void amld_zone_free(amld_zone_t *zone); /* NULL is allowed */

/* The span that `t`, in seconds since 1970, is in; NULL is UTC. */
void amld_zone_span(const amld_zone_t *zone, int64_t t, amld_zone_span_t *span);

/* The IANA name that a Windows name stands for; NULL when it is none.  In any
 * case. */
const char *amld_zone_of_windows(const char *name);

#endif /* AMLD_ZONE_H */
