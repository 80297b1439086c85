/*
 * Logs of jobs: ranges, and a stream of what is being written.
 */

#include "t/unit/job_bodies.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "computes/instances/progress.h"
#include "computes/jobs/job_files.h"

#define LOGS J "/logs" V

typedef struct {
    char share[96];
    char log[256];
} place_t;

static place_t place;

/* A log is opened here (the linker's --wrap): has the thread a transaction? */
static aml_registry_t *watched;
static int opened, held;

int __real_amld_job_files_log(const char *share, const char *folder);
int __wrap_amld_job_files_log(const char *share, const char *folder);

int
__wrap_amld_job_files_log(const char *share, const char *folder)
{
    if (watched != NULL) {
        opened++;
        /* that is refused where there is one */
        held += aml_registry_enlarge(watched, 4096) != AML_REGISTRY_OK;
    }

    return __real_amld_job_files_log(share, folder);
}


static int
log_setup(void **state)
{
    server_t *s;
    char path[256];

    assert_int_equal(arm_setup(state), 0);
    s = *state;
    s->amld.progress = amld_progress_hub_new();
    assert_non_null(s->amld.progress);

    snprintf(place.share, sizeof(place.share), "%s/share", s->scratch->dir);
    workspace.share = place.share;
    lab(s);
    assert_int_equal(call(s, "PUT", JOB, TO("")).status, 201);

    assert_int_equal(mkdir(place.share, 0755), 0);
    snprintf(path, sizeof(path), "%s/Users", place.share);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/Users/ann", place.share);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/Users/ann/jobs", place.share);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/Users/ann/jobs/train-1", place.share);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(place.log, sizeof(place.log),
             "%s/Users/ann/jobs/train-1/std_log.txt", place.share);

    return 0;
}


static int
log_teardown(void **state)
{
    server_t *s = *state;
    amld_progress_hub_t *hub = s->amld.progress;

    amld_progress_hub_end(hub);
    assert_int_equal(arm_teardown(state), 0);
    amld_progress_hub_free(hub);

    return 0;
}


static void
say(const char *text, size_t n)
{
    int fd = open(place.log, O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t) n);
    close(fd);
}


static void
tell(const char *text)
{
    say(text, strlen(text));
}


static answer_t
range(server_t *s, const char *method, const char *value)
{
    char who[80], field[80];
    const char *headers[] = {"Host: " STUDIO,
                             who,
                             "X-AML-Name: ann",
                             "X-AML-Credential: token",
                             "X-AML-Action: " M "/jobs/logs/read",
                             field,
                             NULL};

    snprintf(who, sizeof(who), "X-AML-Principal: %s", MINE);
    snprintf(field, sizeof(field), "%s%s",
             value != NULL ? "Range: " : "X-N: ", value != NULL ? value : "1");

    return ask(s, method, LOGS, headers, NULL, 0);
}


static void
ranges(void **state)
{
    static const struct {
        const char *range;
        long status;
        const char *body, *content_range;
    } cases[] = {
        {NULL, 200, "0123456789", ""},
        {"bytes=0-3", 206, "0123", "bytes 0-3/10"},
        {"bytes=3-", 206, "3456789", "bytes 3-9/10"},
        {"bytes=9-9", 206, "9", "bytes 9-9/10"},
        {"bytes=7-100", 206, "789", "bytes 7-9/10"},
        {"bytes=0-9223372036854775807", 206, "0123456789", "bytes 0-9/10"},
        {"bytes=0-99999999999999999999", 206, "0123456789", "bytes 0-9/10"},
        {"Bytes=-4", 206, "6789", "bytes 6-9/10"},
        {"bytes=-100", 206, "0123456789", "bytes 0-9/10"},
        {"bytes=10-", 416, NULL, "bytes */10"},
        {"bytes=10-12", 416, NULL, "bytes */10"},
        {"bytes=99999999999999999999-", 416, NULL, "bytes */10"},
        {"bytes=-0", 416, NULL, "bytes */10"},
        /* none at all, or several: all of it */
        {"bytes=4-2", 200, "0123456789", ""},
        {"bytes=", 200, "0123456789", ""},
        {"bytes=-", 200, "0123456789", ""},
        {"bytes=a-b", 200, "0123456789", ""},
        {"bytes=1-2,4-5", 200, "0123456789", ""},
        {"bytes=--1", 200, "0123456789", ""},
        {"bytes= 1-2", 200, "0123456789", ""},
        {"lines=1-2", 200, "0123456789", ""},
    };
    server_t *s = *state;
    char v[1024];
    size_t i;
    answer_t a;

    tell("0123456789");
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        a = range(s, "GET", cases[i].range);
        header_of(&a, "Content-Range", v);
        if (a.status != cases[i].status ||
            strcmp(v, cases[i].content_range) != 0) {
            fail_msg("%s: %ld \"%s\"", cases[i].range, a.status, v);
        }
        if (cases[i].body == NULL) {
            assert_error(a, 416, "RangeNotSatisfiable");
        } else {
            assert_int_equal(a.body_len, strlen(cases[i].body));
            assert_memory_equal(a.body, cases[i].body, a.body_len);
            header_of(&a, "Accept-Ranges", v);
            assert_string_equal(v, "bytes");
            header_of(&a, "Content-Type", v);
            assert_string_equal(v, "text/plain; charset=utf-8");
        }
    }

    a = range(s, "HEAD", NULL);
    assert_int_equal(a.status, 200);
    header_of(&a, "Content-Length", v);
    assert_string_equal(v, "10");
}


static void
nothing_yet(void **state)
{
    server_t *s = *state;
    answer_t a;
    char v[1024];

    a = range(s, "GET", NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 0);
    a = range(s, "GET", "bytes=0-");
    assert_error(a, 416, "RangeNotSatisfiable");
    header_of(&a, "Content-Range", v);
    assert_string_equal(v, "bytes */0");
    assert_error(call(s, "GET", W "/jobs/none/logs" V, NULL), 404,
                 "ResourceNotFound");
}


/* Bytes are bytes, whatever they are. */
static void
raw_bytes(void **state)
{
    static const char text[] = "\x1b[31mred\x1b[0m\r\n\0\xff\xfe\n";
    server_t *s = *state;
    answer_t a;

    say(text, sizeof(text) - 1);
    a = range(s, "GET", NULL);
    assert_int_equal(a.body_len, sizeof(text) - 1);
    assert_memory_equal(a.body, text, a.body_len);
}


static void
what_is_no_log(void **state)
{
    server_t *s = *state;
    char secret[256];
    int fd;

    snprintf(secret, sizeof(secret), "%s/secret", s->scratch->dir);
    fd = open(secret, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "secret", 6), 6);
    close(fd);

    assert_int_equal(symlink(secret, place.log), 0);
    assert_error(range(s, "GET", NULL), 404, "LogNotFound");
    assert_int_equal(unlink(place.log), 0);
    assert_int_equal(link(secret, place.log), 0);
    assert_error(range(s, "GET", NULL), 404, "LogNotFound");
    assert_int_equal(unlink(place.log), 0);
    assert_int_equal(mkfifo(place.log, 0600), 0);
    assert_error(range(s, "GET", NULL), 404, "LogNotFound");
}


/* The memory that the process has, in KiB. */
static long
resident(void)
{
    long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
    fclose(f);

    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}


static int
dial(server_t *s, const char *target, const char *accept)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[1024];
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    assert_true(fd >= 0);
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", s->listen);
    assert_int_equal(connect(fd, (struct sockaddr *) &to, sizeof(to)), 0);
    snprintf(text, sizeof(text),
             "GET %s HTTP/1.1\r\nHost: " STUDIO "\r\nX-AML-Principal: " MINE
             "\r\nX-AML-Name: ann\r\nX-AML-Credential: token\r\n"
             "X-AML-Action: " M "/jobs/logs/read\r\n%s\r\n",
             target, accept);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));

    return fd;
}


/* Reads until `until` is there, or the end of the stream; the length. */
static size_t
hear(int fd, char *text, size_t size, const char *until)
{
    size_t n = strlen(text);
    ssize_t got;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (n + 1 < size && strstr(text, until) == NULL &&
           poll(&p, 1, 10000) == 1) {
        got = read(fd, text + n, size - 1 - n);
        if (got <= 0) {
            break;
        }
        n += (size_t) got;
        text[n] = '\0';
    }
    if (strstr(text, until) == NULL) {
        fail_msg("no \"%s\" in:\n%s", until, text);
    }

    return n;
}


/* Gigabytes, mostly a hole, of which the middle and the end are read. */
static void
gigabytes(void **state)
{
    server_t *s = *state;
    int fd, i, slow[4];
    char v[1024], buf[65536];
    long before;
    uint64_t n;
    ssize_t got;
    answer_t a;

    tell("begin\n");
    assert_int_equal(truncate(place.log, (off_t) 6 << 30), 0);
    tell("the end\n");

    a = range(s, "GET", "bytes=-8");
    assert_int_equal(a.status, 206);
    header_of(&a, "Content-Range", v);
    assert_string_equal(v, "bytes 6442450944-6442450951/6442450952");
    assert_memory_equal(a.body, "the end\n", 8);
    a = range(s, "HEAD", NULL);
    header_of(&a, "Content-Length", v);
    assert_string_equal(v, "6442450952");

    /* some do not read at all, one a good part of it */
    before = resident();
    for (i = 0; i < 4; i++) {
        slow[i] = dial(s, LOGS, "");
    }
    fd = dial(s, LOGS, "Range: bytes=1048576-\r\n");
    for (n = 0; n < (uint64_t) 256 << 20; n += (uint64_t) got) {
        got = read(fd, buf, sizeof(buf));
        assert_true(got > 0);
    }
    close(fd);
    assert_true(resident() - before < 8 * 1024);

    /* others are answered meanwhile */
    assert_int_equal(call(s, "GET", JOB, NULL).status, 200);
    for (i = 0; i < 4; i++) {
        close(slow[i]);
    }
}


/* It is cut short while it is read: the reader is told, by the length. */
static void
becomes_shorter(void **state)
{
    server_t *s = *state;
    int fd;
    char buf[65536];
    uint64_t n = 0;
    ssize_t got;

    tell("x");
    assert_int_equal(truncate(place.log, 64 << 20), 0);
    fd = dial(s, LOGS, "");
    got = read(fd, buf, sizeof(buf));
    assert_true(got > 0);
    assert_int_equal(truncate(place.log, 1 << 20), 0);
    while ((got = read(fd, buf, sizeof(buf))) > 0) {
        n += (uint64_t) got;
    }
    assert_true(n < 64 << 20);
    close(fd);
    assert_int_equal(call(s, "GET", JOB, NULL).status, 200);
}


static void
many_readers(void **state)
{
    server_t *s = *state;
    int i, fds[AMLD_PROGRESS_OWN];
    char text[4096];

    tell("x");
    assert_int_equal(truncate(place.log, 64 << 20), 0);
    for (i = 0; i < AMLD_PROGRESS_OWN; i++) {
        fds[i] = dial(s, LOGS, "");
        text[0] = '\0';
        hear(fds[i], text, sizeof(text), "200 OK");
    }
    assert_error(range(s, "GET", NULL), 503, "TooManyFollowers");
    assert_int_equal(range(s, "GET", "bytes=0-65535").status, 206);

    for (i = 0; i < AMLD_PROGRESS_OWN; i++) {
        close(fds[i]);
    }
    for (i = 0; i < 500 && range(s, "HEAD", NULL).status == 503; i++) {
        usleep(10000);
    }
    assert_int_equal(range(s, "HEAD", NULL).status, 200);
}


#define SSE "Accept: text/event-stream\r\n"

/* A share that hangs holds no snapshot of the registry. */
static void
no_snapshot(void **state)
{
    server_t *s = *state;
    static char text[65536];
    int fd;

    tell("one\ntwo\n");
    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");
    opened = 0;
    held = 0;
    watched = s->amld.registry;

    assert_int_equal(range(s, "GET", NULL).status, 200);
    assert_int_equal(opened, 1);
    text[0] = '\0';
    fd = dial(s, LOGS, SSE);
    hear(fd, text, sizeof(text), "event: end");
    close(fd);
    watched = NULL;
    assert_true(opened > 1);
    assert_int_equal(held, 0);
}


static void
follow(void **state)
{
    server_t *s = *state;
    static char text[65536];
    int fd;
    char *p;

    text[0] = '\0';
    fd = dial(s, LOGS, SSE);
    hear(fd, text, sizeof(text), "\"Queued\"");
    assert_non_null(strstr(text, "text/event-stream"));
    assert_non_null(strstr(text, "X-Accel-Buffering: no"));

    job_is(s, "train-1", AMLD_JOB_RUNNING, "started");
    tell("one\ntwo\nhal");
    hear(fd, text, sizeof(text), "data: two\n\n");
    assert_non_null(strstr(text, "id: 8\nevent: log\ndata: one\ndata: two\n"));
    hear(fd, text, sizeof(text), "\"Running\"");
    assert_null(strstr(text, "hal"));

    /* colours, carriage returns, what is no text, what would be an event */
    tell("f\n\x1b[31mred\x1b[0m\r\n10%\r20%\r\n\xff\nevent: end\n\ndata: x\n");
    hear(fd, text, sizeof(text), "data: data: x\n\n");
    p = strstr(text, "data: half\n");
    assert_non_null(p);
    assert_int_equal(strncmp(p,
                             "data: half\ndata: red\ndata: 10%\ndata: 20%\n"
                             "data: ?\ndata: event: end\ndata: \n"
                             "data: data: x\n\n",
                             79),
                     0);

    /* the rest comes before the end, and nothing behind it */
    tell("no newline");
    job_is(s, "train-1", AMLD_JOB_FAILED, "ended");
    hear(fd, text, sizeof(text), "\r\n0\r\n\r\n");
    p = strstr(text, "data: no newline\n\n");
    assert_non_null(p);
    p = strstr(p, "event: end\ndata: {\"status\":\"Failed\",\"exitCode\":3,");
    assert_non_null(p);
    assert_non_null(strstr(p, "}\n\n\r\n0\r\n"));
    close(fd);
}


static void
follow_again(void **state)
{
    server_t *s = *state;
    static char text[65536];
    int fd;

    tell("one\ntwo\n");
    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");

    text[0] = '\0';
    fd = dial(s, LOGS, SSE);
    hear(fd, text, sizeof(text), "\r\n0\r\n\r\n");
    assert_non_null(strstr(text, "data: one\ndata: two\n\n"));
    assert_non_null(strstr(text, "\"Completed\""));
    assert_null(strstr(text, "event: status"));
    close(fd);

    text[0] = '\0';
    fd = dial(s, LOGS, SSE "Last-Event-ID: 4\r\n");
    hear(fd, text, sizeof(text), "\r\n0\r\n\r\n");
    assert_null(strstr(text, "one"));
    assert_non_null(strstr(text, "id: 8\nevent: log\ndata: two\n\n"));
    close(fd);

    text[0] = '\0';
    fd = dial(s, LOGS "&offset=8", SSE);
    hear(fd, text, sizeof(text), "\r\n0\r\n\r\n");
    assert_null(strstr(text, "event: log"));
    close(fd);

    /* behind its end: it has become shorter */
    text[0] = '\0';
    fd = dial(s, LOGS "&offset=999999999999", SSE);
    hear(fd, text, sizeof(text), "\r\n0\r\n\r\n");
    assert_non_null(strstr(text, "data: one\n"));
    close(fd);
}


/* Its creator goes on writing when the job has ended: what there was then. */
static void
follow_ends(void **state)
{
    server_t *s = *state;
    const size_t n = 4 << 20;
    char *line = malloc(n), *text = calloc(1, 2 * n);
    int fd, i;

    assert_true(line != NULL && text != NULL);
    memset(line, 'a', n);
    for (i = 0; i < 4096; i++) {
        line[i * 1024 + 1023] = '\n';
    }
    tell("begin\n");
    say(line, n);
    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");

    /* nobody reads what is sent, so that the stream has begun and waits */
    fd = dial(s, LOGS, SSE);
    hear(fd, text, 2 * n, "data: begin\n");
    tell("afterwards\n");
    hear(fd, text, 2 * n, "\r\n0\r\n\r\n");
    assert_non_null(strstr(text, "\"Completed\""));
    assert_null(strstr(text, "afterwards"));
    close(fd);

    /* and of what is cut then nothing is read twice */
    memset(text, 0, 2 * n);
    fd = dial(s, LOGS, SSE);
    hear(fd, text, 2 * n, "data: begin\n");
    assert_int_equal(truncate(place.log, 6), 0);
    hear(fd, text, 2 * n, "\r\n0\r\n\r\n");
    assert_null(strstr(strstr(text, "data: begin\n") + 1, "data: begin\n"));
    close(fd);
    free(text);
    free(line);
}


static void
follow_to_deletion(void **state)
{
    server_t *s = *state;
    char text[4096] = "";
    int fd = dial(s, LOGS, SSE);
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    hear(fd, text, sizeof(text), "\"Queued\"");
    assert_int_equal(amld_job_key(&key, &workspace, "train-1"), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_job_load(txn, &key, &doc), AML_REGISTRY_OK);
    assert_int_equal(amld_job_remove(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);

    hear(fd, text, sizeof(text), "event: end\ndata: {\"status\":\"Deleted\"}");
    close(fd);
}


/* One line of megabytes, and characters across its parts. */
static void
follow_long_lines(void **state)
{
    server_t *s = *state;
    const size_t n = 300000;
    char *line = malloc(n), *text = calloc(1, 2 * n), *p;
    size_t i, seen = 0;
    int fd;

    assert_true(line != NULL && text != NULL);
    for (i = 0; i < n; i += 3) {
        memcpy(line + i, "\xe2\x82\xac", 3);
    }
    tell("x");
    say(line, n);
    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");

    fd = dial(s, LOGS, SSE);
    hear(fd, text, 2 * n, "\r\n0\r\n\r\n");
    close(fd);

    /* chunks of the transfer may begin within one */
    assert_null(strchr(text, '?'));
    for (p = text; (p = strstr(p, "\xe2")) != NULL; p++) {
        seen++;
    }
    assert_int_equal(seen, n / 3);
    free(text);
    free(line);
}


static void
follow_limits(void **state)
{
    server_t *s = *state;
    int i, fds[AMLD_PROGRESS_OWN];
    char text[4096];

    for (i = 0; i < AMLD_PROGRESS_OWN; i++) {
        text[0] = '\0';
        fds[i] = dial(s, LOGS, SSE);
        hear(fds[i], text, sizeof(text), "\"Queued\"");
    }
    text[0] = '\0';
    i = dial(s, LOGS, SSE);
    hear(i, text, sizeof(text), "TooManyFollowers");
    close(i);
    assert_int_equal(range(s, "GET", NULL).status, 200);

    for (i = 0; i < AMLD_PROGRESS_OWN; i++) {
        close(fds[i]);
    }
}


int
main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)
    const struct CMUnitTest tests[] = {
        TEST(ranges),
        TEST(nothing_yet),
        TEST(raw_bytes),
        TEST(what_is_no_log),
        TEST(gigabytes),
        TEST(becomes_shorter),
        TEST(many_readers),
        TEST(follow),
        TEST(follow_again),
        TEST(no_snapshot),
        TEST(follow_ends),
        TEST(follow_to_deletion),
        TEST(follow_long_lines),
        TEST(follow_limits),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
