#include "computes/files/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void logfile_rotate(amld_logfile_t *log);
static size_t logfile_utf8(const unsigned char *p, size_t n);


int
amld_logfile_open(amld_logfile_t *log, const char *path, size_t max)
{
    struct stat st;

    log->path = path;
    log->max = max;
    log->size = 0;
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                   0600);
    if (log->fd == -1) {
        return -1;
    }

    if (fstat(log->fd, &st) == 0) {
        log->size = (size_t) st.st_size;
    }

    return 0;
}


void
amld_logfile_write(amld_logfile_t *log, const char *data, size_t n)
{
    ssize_t sent;

    if (log->size != 0 && log->size + n > log->max) {
        logfile_rotate(log);
    }

    while (log->fd != -1 && n > 0) {
        sent = write(log->fd, data, n);
        if (sent == -1) {
            if (errno == EINTR) {
                continue;
            }
            return;
        }
        log->size += (size_t) sent;
        data += sent;
        n -= (size_t) sent;
    }
}


void
amld_logfile_close(amld_logfile_t *log)
{
    if (log->fd != -1) {
        close(log->fd);
        log->fd = -1;
    }
}


size_t
amld_logfile_tail(const char *path, unsigned lines, char *buf, size_t size)
{
    int fd;
    char *p;
    off_t end;
    size_t n, skip;
    ssize_t got;

    if (size < 2) {
        return 0;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -1) {
        return 0;
    }

    end = lseek(fd, 0, SEEK_END);
    skip = end > (off_t) (size - 1) ? (size_t) end - (size - 1) : 0;
    got = end > 0 ? pread(fd, buf, size - 1, (off_t) skip) : 0;
    close(fd);

    if (got <= 0) {
        return 0;
    }

    n = (size_t) got;

    /* A line that was cut at its beginning says less than none. */
    if (skip != 0 && (p = memchr(buf, '\n', n)) != NULL) {
        n -= (size_t) (p + 1 - buf);
        memmove(buf, p + 1, n);
    }

    n = amld_logfile_clean(buf, n);
    while (n > 0 && buf[n - 1] == '\n') {
        n--;
    }
    buf[n] = '\0';

    for (p = buf + n; p > buf; p--) {
        if (p[-1] == '\n' && --lines == 0) {
            break;
        }
    }

    n -= (size_t) (p - buf);
    memmove(buf, p, n + 1);

    return n;
}


size_t
amld_logfile_read(const char *path, int64_t *offset, char *buf, size_t size)
{
    int fd;
    char *end;
    size_t n;
    ssize_t got;
    struct stat st;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -1) {
        return 0;
    }

    got = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (st.st_size < *offset) {
            *offset = 0;
        }
        got = pread(fd, buf, size - 1, (off_t) *offset);
    }
    close(fd);

    if (got <= 0) {
        return 0;
    }

    n = (size_t) got;
    end = memrchr(buf, '\n', n);
    if (end != NULL) {
        n = (size_t) (end - buf) + 1;
    } else if (n < size - 1) {
        return 0; /* the rest of the line is to come */
    }

    *offset += (int64_t) n;
    n = amld_logfile_clean(buf, n);
    buf[n] = '\0';

    return n;
}


int64_t
amld_logfile_size(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t) st.st_size
                                                        : 0;
}


static void
logfile_rotate(amld_logfile_t *log)
{
    int fd;
    char old[4096];

    if ((size_t) snprintf(old, sizeof(old), "%s.1", log->path) >= sizeof(old)) {
        return;
    }

    if (rename(log->path, old) == 0) {
        fd = open(log->path,
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (log->fd != -1) {
            close(log->fd);
        }
        log->fd = fd;
        log->size = 0;

    } else if (log->fd != -1 && ftruncate(log->fd, 0) == 0) {
        log->size = 0;
    }
}


size_t
amld_logfile_clean(char *s, size_t n)
{
    size_t i, k, len;
    unsigned char *u;

    u = (unsigned char *) s;
    k = 0;

    for (i = 0; i < n;) {
        if (u[i] == 0x1b) {
            i++;
            if (i < n && u[i] == '[') {
                for (i++; i < n && (u[i] < 0x40 || u[i] > 0x7e); i++) {
                    /* void */
                }
            }
            i += i < n;
            continue;
        }

        if (u[i] == '\t') {
            u[k++] = ' ';
            i++;
            continue;
        }

        if ((u[i] < 0x20 && u[i] != '\n') || u[i] == 0x7f) {
            i++;
            continue;
        }

        len = logfile_utf8(u + i, n - i);
        if (len == 0) {
            u[k++] = '?';
            i++;
            continue;
        }

        memmove(u + k, u + i, len);
        k += len;
        i += len;
    }

    return k;
}


/* Length of the well-formed UTF-8 sequence at `p`, or 0. */
static size_t
logfile_utf8(const unsigned char *p, size_t n)
{
    size_t i, len;
    unsigned long c;

    if (p[0] < 0x80) {
        return 1;
    }

    len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len > n) {
        return 0;
    }

    c = p[0] & (0x7fu >> len);
    for (i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3f);
    }

    if ((len == 3 && c < 0x800) || (len == 4 && c < 0x10000) || c > 0x10ffff ||
        (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }

    return len;
}
