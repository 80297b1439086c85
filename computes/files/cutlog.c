#include "computes/files/cutlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void cutlog_hold(amld_cutlog_t *log, const char *data, size_t n);
static void cutlog_put(amld_cutlog_t *log, const char *data, size_t n);


void
amld_cutlog_open(amld_cutlog_t *log, int fd, size_t max)
{
    memset(log, 0, sizeof(*log));
    log->fd = fd;
    log->max = max;
    log->room = max / 4 < AMLD_CUTLOG_TAIL ? max / 4 : AMLD_CUTLOG_TAIL;
}


void
amld_cutlog_write(amld_cutlog_t *log, const char *data, size_t n)
{
    size_t head, now;

    head = log->max - log->room;
    now = log->size < head ? head - log->size : 0;
    if (now > n) {
        now = n;
    }

    /* Also what a disk has refused is counted: the beginning is over then. */
    cutlog_put(log, data, now);
    log->size += now;

    if (now < n) {
        cutlog_hold(log, data + now, n - now);
    }
}


void
amld_cutlog_close(amld_cutlog_t *log)
{
    int n;
    char line[128];
    size_t first;

    if (log->left > 0) {
        n = snprintf(line, sizeof(line), "\n[amld: %llu bytes left out]\n",
                     (unsigned long long) log->left);
        cutlog_put(log, line, (size_t) n);
    }

    if (log->held > 0) {
        first = log->held == log->room ? log->at : 0;
        cutlog_put(log, log->tail + first, log->held - first);
        cutlog_put(log, log->tail, first);
    }

    free(log->tail);
    log->tail = NULL;
    log->held = 0;

    if (log->fd != -1) {
        close(log->fd);
        log->fd = -1;
    }
}


static void
cutlog_hold(amld_cutlog_t *log, const char *data, size_t n)
{
    int len;
    char line[160];
    size_t part;

    if (log->tail == NULL && log->room > 0) {
        log->tail = malloc(log->room);
        if (log->tail == NULL) {
            log->room = 0;
        }
    }

    if (log->left == 0 && log->held + n > log->room) {
        len = snprintf(line, sizeof(line),
                       "\n[amld: the log has come to its bound of %zu bytes; "
                       "of what follows only the end is kept]\n",
                       log->max);
        cutlog_put(log, line, (size_t) len);
    }

    if (n > log->room) {
        log->left += n - log->room;
        data += n - log->room;
        n = log->room;
    }

    if (log->held + n > log->room) {
        log->left += log->held + n - log->room;
        log->held = log->room;
    } else {
        log->held += n;
    }

    while (n > 0) {
        part = log->room - log->at < n ? log->room - log->at : n;
        memcpy(log->tail + log->at, data, part);
        log->at = (log->at + part) % log->room;
        data += part;
        n -= part;
    }
}


static void
cutlog_put(amld_cutlog_t *log, const char *data, size_t n)
{
    ssize_t sent;

    while (log->fd != -1 && n > 0) {
        sent = write(log->fd, data, n);
        if (sent == -1) {
            if (errno == EINTR) {
                continue;
            }
            return;
        }
        data += sent;
        n -= (size_t) sent;
    }
}
