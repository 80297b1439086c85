/*
 * What a job has written: all of it, or ranges (RFC 9110, section 14), of logs
 * of any size; as a stream of events in arm_job_follow.c.
 */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/api/arm_job.h"
#include "computes/instances/progress.h"

/* What is not longer is answered from memory; what is, takes the place of a
 * follower: somebody may read it slowly. */
#define LOG_SHORT (64 * 1024)
#define LOG_TYPE "text/plain; charset=utf-8"

typedef struct {
    amld_follower_t follower;
    amld_progress_t *progress;
    int fd;
    int64_t from;
    int64_t n;
} job_log_t;

typedef enum {
    LOG_WHOLE,
    LOG_PART,
    LOG_NOTHING /* no part of it was asked for */
} log_range_t;

static void log_answer(amld_arm_job_t *job, int fd, int64_t size);
static log_range_t log_range(const amld_request_t *request, int64_t size,
                             int64_t *from, int64_t *n);
static int log_number(const char **p, int64_t *number);
static int log_short(amld_arm_job_t *job, unsigned status, int fd, int64_t from,
                     int64_t n);
static void
log_long(amld_arm_job_t *job, unsigned status, int fd, int64_t from, int64_t n);
static ssize_t log_read(void *data, uint64_t at, char *buf, size_t size);
static void log_over(void *data);


void
amld_arm_job_log(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    int rc, fd;
    const char *accept;
    struct stat st;
    amld_arm_job_t job;

    if (amld_arm_job_begin(&job, d, request, response) != 0) {
        amld_arm_job_end(&job);
        return;
    }

    rc = amld_arm_job_load(&job, 0);
    if (rc == 0) {
        amld_arm_job_not_found(&job);
    }
    if (rc != 1 ||
        !amld_arm_job_own(&job, "what it writes is for its creator alone")) {
        amld_arm_job_end(&job);
        return;
    }

    accept = amld_request_header(request, "Accept");
    if (accept != NULL && strstr(accept, "text/event-stream") != NULL) {
        amld_arm_job_follow(&job);
        amld_arm_job_end(&job);
        return;
    }

    /* The share may take its time, or hang: no snapshot is held meanwhile, as
     * no page that was in use when it began is used again before it ends. */
    aml_registry_end(job.arm.txn);
    job.arm.txn = NULL;

    fd = amld_job_log_open(d->config, job.doc);

    if (fd >= 0 && fstat(fd, &st) == 0) {
        log_answer(&job, fd, (int64_t) st.st_size);

    } else if (fd < 0 && errno == ENOENT) {
        log_answer(&job, -1, 0);

    } else {
        amld_response_error(response, 404, "LogNotFound", NULL,
                            "The log of the job '%.100s' can't be read: %s.",
                            job.id, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
    }

    amld_arm_job_end(&job);
}


/* Closes the descriptor, or has given it away. */
static void
log_answer(amld_arm_job_t *job, int fd, int64_t size)
{
    int64_t from, n;
    unsigned status;
    log_range_t range;

    range = log_range(job->arm.request, size, &from, &n);

    if (range == LOG_NOTHING) {
        amld_response_error(job->arm.response, 416, "RangeNotSatisfiable", NULL,
                            "The log has %lld bytes; none of them were asked "
                            "for.",
                            (long long) size);
        amld_response_header(job->arm.response, "Content-Range", "bytes */%lld",
                             (long long) size);
        if (fd >= 0) {
            close(fd);
        }
        return;
    }

    status = range == LOG_PART ? 206 : 200;

    if (n > LOG_SHORT) {
        log_long(job, status, fd, from, n);

    } else {
        if (log_short(job, status, fd, from, n) != 0) {
            range = LOG_NOTHING;
        }
        if (fd >= 0) {
            close(fd);
        }
    }

    amld_response_header(job->arm.response, "Accept-Ranges", "bytes");
    if (range == LOG_PART &&
        amld_response_status_of(job->arm.response) == 206) {
        amld_response_header(job->arm.response, "Content-Range",
                             "bytes %lld-%lld/%lld", (long long) from,
                             (long long) (from + n - 1), (long long) size);
    }
}


/* Of one range; what is none is as good as not there, and so are several. */
static log_range_t
log_range(const amld_request_t *request, int64_t size, int64_t *from,
          int64_t *n)
{
    int64_t first, last;
    const char *p;

    static const char unit[] = "bytes=";

    *from = 0;
    *n = size;

    p = amld_request_header(request, "Range");
    if (p == NULL || strncasecmp(p, unit, sizeof(unit) - 1) != 0 ||
        amld_request_header(request, "If-Range") != NULL) {
        return LOG_WHOLE;
    }
    p += sizeof(unit) - 1;

    if (*p == '-') {
        p++;
        if (log_number(&p, &last) != 0 || *p != '\0') {
            return LOG_WHOLE;
        }
        if (last == 0 || size == 0) {
            return LOG_NOTHING;
        }
        *n = last < size ? last : size;
        *from = size - *n;
        return LOG_PART;
    }

    if (log_number(&p, &first) != 0 || *p++ != '-') {
        return LOG_WHOLE;
    }
    last = INT64_MAX;
    if (*p != '\0' && (log_number(&p, &last) != 0 || last < first)) {
        return LOG_WHOLE;
    }
    if (*p != '\0') {
        return LOG_WHOLE;
    }

    if (first >= size) {
        return LOG_NOTHING;
    }
    if (last >= size) {
        last = size - 1;
    }
    *from = first;
    *n = last - first + 1;

    return LOG_PART;
}


/* More than there can be is as much as there can be. */
static int
log_number(const char **p, int64_t *number)
{
    char *end;

    if (!isdigit((unsigned char) **p)) {
        return -1;
    }

    *number = strtoll(*p, &end, 10);
    *p = end;

    return 0;
}


/* 0, or -1 when the response is an error. */
static int
log_short(amld_arm_job_t *job, unsigned status, int fd, int64_t from, int64_t n)
{
    char *text;
    ssize_t got;

    text = malloc((size_t) n + 1);
    got = text == NULL ? -1 : n == 0 ? 0 : pread(fd, text, (size_t) n, from);

    /* It can have become shorter since. */
    if (got != n) {
        free(text);
        amld_response_error(job->arm.response, 503, "ServiceUnavailable", NULL,
                            "The log can't be read now.");
        return -1;
    }

    amld_response_content(job->arm.response, status, LOG_TYPE, text,
                          (size_t) n);
    free(text);

    return 0;
}


static void
log_long(amld_arm_job_t *job, unsigned status, int fd, int64_t from, int64_t n)
{
    job_log_t *log;

    log = calloc(1, sizeof(*log));
    if (log == NULL) {
        close(fd);
        amld_arm_registry_error(&job->arm, AML_REGISTRY_FAILED);
        return;
    }

    log->fd = fd;
    log->from = from;
    log->n = n;
    log->progress = amld_progress_join(job->arm.d->progress, &job->key);
    log->follower.who = job->arm.request->principal;
    log->follower.connection = amld_request_connection(job->arm.request);

    if (amld_progress_follow(log->progress, &log->follower) != 0) {
        log_over(log);
        amld_response_error(job->arm.response, 503, "TooManyFollowers", NULL,
                            "You, or too many others, read long logs or follow "
                            "something now. A range of at most %d bytes is "
                            "answered at once.",
                            LOG_SHORT);
        amld_response_header(job->arm.response, "Retry-After", "5");
        return;
    }

    amld_response_stream_of(job->arm.response, status, LOG_TYPE, (uint64_t) n,
                            log_read, log_over, log);
    /* else the gateway would keep on its disk what a slow client leaves */
    amld_response_header(job->arm.response, "X-Accel-Buffering", "no");
}


static ssize_t
log_read(void *data, uint64_t at, char *buf, size_t size)
{
    ssize_t got;
    job_log_t *log;

    log = data;

    if (at >= (uint64_t) log->n) {
        return -1;
    }
    if (size > (uint64_t) log->n - at) {
        size = (size_t) ((uint64_t) log->n - at);
    }

    do {
        got = pread(log->fd, buf, size, (off_t) (log->from + (int64_t) at));
    } while (got < 0 && errno == EINTR);

    return got > 0 ? got : -2; /* it has become shorter, or can't be read */
}


static void
log_over(void *data)
{
    job_log_t *log;

    log = data;
    amld_progress_unfollow(&log->follower);
    amld_progress_leave(log->progress);
    close(log->fd);
    free(log);
}
