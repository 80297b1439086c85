/*
 * Logs of commands: written by the shim, bounded; their end is read by the
 * supervisor to say why something failed.
 */

#ifndef AMLD_LOGFILE_H
#define AMLD_LOGFILE_H

#include <stddef.h>
#include <stdint.h>

#define AMLD_LOGFILE_MAX (8 * 1024 * 1024) /* bytes until it is rotated */

typedef struct {
    int fd; /* -1: what is written is dropped */
    const char *path;
    size_t size;
    size_t max;
} amld_logfile_t;

/* Appends to `path`, which must outlive the log; 0, or -1 (errno). */
int amld_logfile_open(amld_logfile_t *log, const char *path, size_t max);

/*
 * Writes all or drops it: a full disk must not stop the command.  A log that
 * would grow over `max` is renamed to "<path>.1", over the one before.
 */
void amld_logfile_write(amld_logfile_t *log, const char *data, size_t n);

void amld_logfile_close(amld_logfile_t *log);

/*
 * The last `lines` lines of `path`, from at most size - 1 bytes, NUL-ended,
 * for people: escape sequences and control characters but newlines are taken
 * out, what is not UTF-8 becomes '?'.  Returns the length; 0 when there is
 * nothing to read.
 */
size_t
amld_logfile_tail(const char *path, unsigned lines, char *buf, size_t size);

/*
 * What is in `path` from the byte `*offset` on, as above, at most size - 1
 * bytes and whole lines where there are any; moves *offset.  A log that has
 * become shorter is read from its beginning.  Returns the length.
 */
size_t
amld_logfile_read(const char *path, int64_t *offset, char *buf, size_t size);

/*
 * Takes out of `n` bytes what is not for people, as above, in place; returns
 * how many are left.
 */
size_t amld_logfile_clean(char *s, size_t n);

/* Its size now; 0 where there is none. */
int64_t amld_logfile_size(const char *path);

#endif /* AMLD_LOGFILE_H */
