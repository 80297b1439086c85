/*
 * A log that keeps its beginning and its end: however much is written, the file
 * is never much larger than its bound, nothing in it is ever changed, and it
 * says where something was left out.  What the disk has refused is counted, and
 * said there, too, as soon as there is room for that.
 */

#ifndef AMLD_CUTLOG_H
#define AMLD_CUTLOG_H

#include <stddef.h>
#include <stdint.h>

#define AMLD_CUTLOG_TAIL 65536 /* bytes of the end, at most */

typedef struct {
    int fd; /* -1: what is written is dropped */
    size_t max;
    size_t size;     /* that is in the file */
    char *tail;      /* a ring of `room` bytes */
    size_t room;     /* 0: there is no memory for one */
    size_t at;       /* where the next byte goes */
    size_t held;     /* how many are in it */
    uint64_t left;   /* out */
    uint64_t lost;   /* what could not be written, in all */
    uint64_t unsaid; /* of it: the file does not say so yet */
    int fault;       /* errno of the last of it */
} amld_cutlog_t;

/* Takes over `fd`, which appends.  The file gets `max` bytes, and a line or two
 * where that is not enough. */
void amld_cutlog_open(amld_cutlog_t *log, int fd, size_t max);

/* Writes all or drops it: a full disk must not stop the command. */
void amld_cutlog_write(amld_cutlog_t *log, const char *data, size_t n);

/* Writes the end, where it was held back; then `lost` and `fault` say what is
 * missing. */
void amld_cutlog_close(amld_cutlog_t *log);

#endif /* AMLD_CUTLOG_H */
