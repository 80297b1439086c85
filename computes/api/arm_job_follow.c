/*
 * The log of a job as server-sent events, from where one likes until the job
 * has ended:
 *
 *   id: <bytes of the log up to here>
 *   event: log
 *   data: <a line of it>          as many as there are
 *
 *   event: status
 *   data: {"status":"Running"}    when it changes
 *
 *   event: end
 *   data: {"status":"Completed","exitCode":0,"message":null}
 *
 * A stream without "end" was cut off; Last-Event-ID goes on where it was.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "computes/api/arm_job.h"
#include "computes/files/logfile.h"
#include "computes/instances/progress.h"

#define FOLLOW_KEEPALIVE 15000   /* ms, below the patience of proxies */
#define FOLLOW_PAUSE 300         /* ms between looks while it runs */
#define FOLLOW_QUEUED 1000       /* and before that */
#define FOLLOW_CHUNK (16 * 1024) /* bytes of a log in an event */
#define FOLLOW_ROOM 64

typedef struct {
    amld_follower_t follower;
    amld_progress_t *progress;
    amld_t *d;
    amld_key_t key;
    uint64_t seq;
    char status[32];
    int64_t offset;
    int64_t last; /* where the log ended when the job had; -1 before */
    char *text;   /* what is being sent, or NULL */
    size_t sent;
    int over; /* once it is sent */
    int64_t keep_at;
} follow_t;

static int64_t follow_offset(const amld_request_t *request);
static ssize_t follow_read(void *data, uint64_t at, char *buf, size_t size);
static void follow_over(void *data);
static int follow_look(follow_t *f, json_t **doc);
static int follow_status(follow_t *f, const json_t *doc);
static int follow_log(follow_t *f, const json_t *doc);
static size_t follow_lines(const char *raw, size_t n, int all);
static void follow_say_log(follow_t *f, char *raw, size_t n);
static void follow_say(follow_t *f, const char *event, json_t *data);
static int64_t follow_now(void);


void
amld_arm_job_follow(amld_arm_job_t *job)
{
    follow_t *f;
    const amld_arm_t *arm;

    arm = &job->arm;

    f = calloc(1, sizeof(*f));
    if (f != NULL) {
        f->progress = amld_progress_join(arm->d->progress, &job->key);
        f->d = arm->d;
        f->key = job->key;
        f->seq = amld_job_seq(job->doc);
        f->offset = follow_offset(arm->request);
        f->last = -1;
        f->follower.who = arm->request->principal;
        f->follower.connection = amld_request_connection(arm->request);
        f->keep_at = follow_now() + FOLLOW_KEEPALIVE;
        f->text = strdup("retry: 2000\n\n");
    }

    if (f == NULL || f->text == NULL ||
        amld_progress_follow(f->progress, &f->follower) != 0) {
        if (f != NULL) {
            follow_over(f);
        }
        amld_response_error(arm->response, 503, "TooManyFollowers", NULL,
                            "You, or too many others, follow something now. "
                            "Without 'text/event-stream' in Accept this "
                            "address answers at once.");
        amld_response_header(arm->response, "Retry-After", "5");
        return;
    }

    amld_response_stream(arm->response, "text/event-stream", follow_read,
                         follow_over, f);
    amld_response_header(arm->response, "X-Accel-Buffering", "no");
}


/* Where the stream before was cut off, or where one likes to begin. */
static int64_t
follow_offset(const amld_request_t *request)
{
    char *end;
    const char *text;
    long long offset;

    text = amld_request_header(request, "Last-Event-ID");
    if (text == NULL) {
        text = amld_request_query(request, "offset");
    }
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return 0;
    }
    offset = strtoll(text, &end, 10);

    return *end == '\0' ? offset : 0;
}


static ssize_t
follow_read(void *data, uint64_t at, char *buf, size_t size)
{
    int rc, said;
    size_t n;
    int64_t now;
    uint64_t version;
    json_t *doc;
    follow_t *f;

    (void) at;
    f = data;

    for (;;) {
        if (f->text != NULL) {
            n = strlen(f->text + f->sent);
            n = n < size ? n : size;
            memcpy(buf, f->text + f->sent, n);
            f->sent += n;
            if (f->text[f->sent] == '\0') {
                free(f->text);
                f->text = NULL;
                f->sent = 0;
            }
            f->keep_at = follow_now() + FOLLOW_KEEPALIVE;
            return (ssize_t) n;
        }

        if (f->over) {
            return -1;
        }

        version = amld_progress_version(f->progress);

        /* The document first: once that says it has ended, there is no more to
         * come behind what is read then. */
        said = follow_look(f, &doc);
        if (!said && doc != NULL) {
            said = follow_log(f, doc) || follow_status(f, doc);
        }
        json_decref(doc);

        if (said) {
            if (f->text == NULL) {
                return -1; /* no memory */
            }
            continue;
        }

        now = follow_now();
        if (now >= f->keep_at) {
            f->text = strdup(":\n\n");
            if (f->text == NULL) {
                return -1;
            }
            continue;
        }

        rc = amld_progress_wait(
            &f->follower, version,
            strcmp(f->status, "Queued") == 0 ? FOLLOW_QUEUED : FOLLOW_PAUSE);
        if (rc != 0) {
            return rc == 1 ? 0 : -1;
        }
    }
}


static void
follow_over(void *data)
{
    follow_t *f;

    f = data;
    amld_progress_unfollow(&f->follower);
    amld_progress_leave(f->progress);
    free(f->text);
    free(f);
}


/* The document now, a reference of the caller's; NULL when it can't be read, or
 * is gone: then that is said, and 1 is answered. */
static int
follow_look(follow_t *f, json_t **doc)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    *doc = NULL;

    rc = aml_registry_read(f->d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return 0;
    }
    rc = amld_job_load(txn, &f->key, doc);
    aml_registry_end(txn);

    /* Gone, or another of the name. */
    if (rc == AML_REGISTRY_NOTFOUND ||
        (rc == AML_REGISTRY_OK && amld_job_seq(*doc) != f->seq)) {
        follow_say(f, "end", json_pack("{s:s}", "status", "Deleted"));
        f->over = 1;
        return 1;
    }

    return 0;
}


static int
follow_status(follow_t *f, const json_t *doc)
{
    const char *status;

    status = amld_compute_str(doc, "status");

    if (amld_job_has_ended(doc)) {
        follow_say(f, "end", amld_arm_job_status_json(doc));
        f->over = 1;
        return 1;
    }

    if (strcmp(f->status, status) != 0) {
        snprintf(f->status, sizeof(f->status), "%s", status);
        follow_say(f, "status", json_pack("{s:s}", "status", status));
        return 1;
    }

    return 0;
}


static int
follow_log(follow_t *f, const json_t *doc)
{
    int fd;
    char *raw;
    size_t n, most;
    ssize_t got;
    int64_t size;
    struct stat st;

    fd = amld_job_log_open(f->d->config, doc);
    if (fd < 0) {
        return 0;
    }

    raw = NULL;
    got = -1;
    if (fstat(fd, &st) == 0) {
        /* It is its creator's, who may go on writing, or cut it, when the job
         * has ended: what there was then is read, and once. */
        if (f->last < 0) {
            /* what has become shorter is read anew */
            f->offset = st.st_size < f->offset ? 0 : f->offset;
            f->last = amld_job_has_ended(doc) ? st.st_size : -1;
        }
        size = f->last >= 0 && f->last < st.st_size ? f->last : st.st_size;

        if (size > f->offset) {
            most = size - f->offset < FOLLOW_CHUNK ? (size_t) (size - f->offset)
                                                   : FOLLOW_CHUNK;
            raw = malloc(FOLLOW_CHUNK);
            got = raw != NULL ? pread(fd, raw, most, f->offset) : -1;
        }
    }
    close(fd);

    n = got > 0 ? follow_lines(raw, (size_t) got,
                               got == FOLLOW_CHUNK || amld_job_has_ended(doc))
                : 0;
    if (n != 0) {
        f->offset += (int64_t) n;
        follow_say_log(f, raw, n);
    }
    free(raw);

    return n != 0;
}


/* How many bytes of it are lines that are whole; `all`: what is not, too, where
 * there is nothing else. */
static size_t
follow_lines(const char *raw, size_t n, int all)
{
    size_t k;

    /* "\r" alone ends a line of a progress bar, before "\n" it does not */
    for (k = n; k > 0; k--) {
        if (raw[k - 1] == '\n' || (raw[k - 1] == '\r' && k < n)) {
            return k;
        }
    }
    if (!all) {
        return 0;
    }

    /* no character is torn apart */
    for (k = n; n == FOLLOW_CHUNK && k > n - 4; k--) {
        if (((unsigned char) raw[k - 1] & 0xc0) != 0x80) {
            return (unsigned char) raw[k - 1] >= 0xc0 ? k - 1 : n;
        }
    }

    return n;
}


static void
follow_say_log(follow_t *f, char *raw, size_t n)
{
    char *out;
    size_t i, k, lines, room;

    for (i = 0, k = 0; i < n; i++) {
        if (raw[i] == '\r') {
            if (i + 1 < n && raw[i + 1] == '\n') {
                continue;
            }
            raw[i] = '\n';
        }
        raw[k++] = raw[i];
    }

    n = amld_logfile_clean(raw, k);
    if (n != 0 && raw[n - 1] == '\n') {
        n--;
    }

    lines = 1;
    for (i = 0; i < n; i++) {
        lines += raw[i] == '\n';
    }

    room = n + lines * sizeof("data: ") + FOLLOW_ROOM;
    f->text = malloc(room);
    if (f->text == NULL) {
        return;
    }

    out = f->text +
          snprintf(f->text, room,
                   "id: %lld\nevent: log\ndata: ", (long long) f->offset);
    for (i = 0; i < n; i++) {
        *out++ = raw[i];
        if (raw[i] == '\n') {
            memcpy(out, "data: ", sizeof("data: ") - 1);
            out += sizeof("data: ") - 1;
        }
    }
    memcpy(out, "\n\n", sizeof("\n\n"));
}


/* Takes the reference. */
static void
follow_say(follow_t *f, const char *event, json_t *data)
{
    char *json;

    json = data != NULL ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);

    if (json == NULL ||
        asprintf(&f->text, "event: %s\ndata: %s\n\n", event, json) == -1) {
        f->text = NULL;
    }

    free(json);
}


static int64_t
follow_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
