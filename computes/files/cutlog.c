#include "computes/files/cutlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void cutlog_hold(amld_cutlog_t *log, const char *data, size_t n);
static void cutlog_put(amld_cutlog_t *log, const char *data, size_t n);
static void cutlog_say(amld_cutlog_t *log);
static size_t cutlog_send(amld_cutlog_t *log, const char *data, size_t n);


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

    if (log->unsaid > 0) {
        cutlog_say(log);
    }
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
    size_t sent;

    if (log->fd == -1) {
        return;
    }

    if (log->unsaid > 0) {
        cutlog_say(log);
    }

    /* Nothing is in the log behind a place that it does not tell of. */
    sent = log->unsaid == 0 ? cutlog_send(log, data, n) : 0;
    log->lost += n - sent;
    log->unsaid += n - sent;
}


static void
cutlog_say(amld_cutlog_t *log)
{
    int n;
    char line[160];
    size_t sent;

    n = snprintf(line, sizeof(line),
                 "\n[amld: %llu bytes could not be written: %.80s]\n",
                 (unsigned long long) log->unsaid, strerror(log->fault));
    sent = cutlog_send(log, line, (size_t) n);

    /* It may be said many times: that is part of the bound, too. */
    log->size += sent;
    if (sent == (size_t) n) {
        log->unsaid = 0;
    }
}


/* How much of it was written; all, or there is a `fault`. */
static size_t
cutlog_send(amld_cutlog_t *log, const char *data, size_t n)
{
    size_t sent;
    ssize_t got;

    sent = 0;

    while (sent < n) {
        got = write(log->fd, data + sent, n - sent);
        if (got == -1) {
            if (errno == EINTR) {
                continue;
            }
            log->fault = errno;
            break;
        }
        sent += (size_t) got;
    }

    return sent;
}
