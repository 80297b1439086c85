/*
 * Probes by what a server says first: one that is up, and those that are not,
 * however they go about it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "computes/instances/probe.h"

#define BANNER "SSH-2.0-"

typedef struct {
    char directory[32], path[64];
    amld_probes_t *probes;
    int listening;
} place_t;

typedef struct {
    int calls, ok;
    amld_probe_t **other; /* freed when it is called back */
} seen_t;


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    assert_non_null(p);
    strcpy(p->directory, "/tmp/aml-probe-XXXXXX");
    assert_non_null(mkdtemp(p->directory));
    snprintf(p->path, sizeof(p->path), "%s/s", p->directory);
    memcpy(at.sun_path, p->path, strlen(p->path));

    p->listening = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listening, (struct sockaddr *) &at, sizeof(at)),
                     0);
    assert_int_equal(listen(p->listening, 8), 0);
    p->probes = amld_probes_new();
    assert_non_null(p->probes);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;

    amld_probes_free(p->probes);
    if (p->listening != -1) {
        close(p->listening);
    }
    unlink(p->path);
    rmdir(p->directory);
    free(p);

    return 0;
}


static void
done(void *data, int ok)
{
    seen_t *seen = data;

    seen->calls++;
    seen->ok = ok;
    if (seen->other != NULL) {
        amld_probe_free(*seen->other);
        *seen->other = NULL;
    }
}


static amld_probe_t *
begin(place_t *p, seen_t *seen)
{
    memset(seen, 0, sizeof(*seen));

    return amld_probe_new(p->probes, p->path, NULL, BANNER, done, seen);
}


static void
waited(place_t *p, const seen_t *seen)
{
    int i;

    for (i = 0; i < 100 && seen->calls == 0; i++) {
        amld_probes_wait(p->probes, NULL, 0, 50);
    }
    assert_int_equal(seen->calls, 1);
}


/* What is said, byte by byte where `slow`; then the end, or not. */
static int
answer(place_t *p, const char *text, int slow, int end)
{
    int fd;
    size_t n, step;

    seen_t seen;

    assert_non_null(begin(p, &seen));
    fd = accept(p->listening, NULL, NULL);
    assert_int_not_equal(fd, -1);

    for (n = 0; n < strlen(text); n += step) {
        step = slow ? 1 : strlen(text);
        assert_int_equal(send(fd, text + n, step, MSG_NOSIGNAL), step);
        if (slow && n + 1 < strlen(BANNER)) {
            amld_probes_wait(p->probes, NULL, 0, 0);
            assert_int_equal(seen.calls, 0);
        }
    }
    if (end) {
        close(fd);
    }

    waited(p, &seen);
    if (!end) {
        /* It hangs up, and sends nothing. */
        assert_true(recv(fd, &n, sizeof(n), 0) <= 0);
        close(fd);
    }

    return seen.ok;
}


static void
said(void **state)
{
    place_t *p = *state;

    assert_int_equal(answer(p, "SSH-2.0-OpenSSH_9.2p1\r\n", 0, 0), 1);
    assert_int_equal(answer(p, "SSH-2.0-", 0, 0), 1);
    assert_int_equal(answer(p, "SSH-2.0-", 1, 0), 1);
    assert_int_equal(answer(p, "SSH-2.0-x", 0, 1), 1);

    assert_int_equal(answer(p, "", 0, 1), 0);
    assert_int_equal(answer(p, "SSH-2.0", 0, 1), 0);
    assert_int_equal(answer(p, "SSH-1.99-x\r\n", 0, 0), 0);
    assert_int_equal(answer(p, "HTTP/1.1 400 Bad Request\r\n\r\n", 0, 0), 0);
    assert_int_equal(answer(p, "\n", 0, 0), 0);
}


static void
nobody(void **state)
{
    place_t *p = *state;
    char deep[256];
    seen_t seen;

    /* A socket that nobody listens on, a file, nothing at all. */
    close(p->listening);
    p->listening = -1;
    assert_non_null(begin(p, &seen));
    assert_int_equal(seen.calls, 0);
    waited(p, &seen);
    assert_int_equal(seen.ok, 0);

    unlink(p->path);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_non_null(begin(p, &seen));
    waited(p, &seen);
    assert_int_equal(seen.ok, 0);

    unlink(p->path);
    assert_non_null(begin(p, &seen));
    waited(p, &seen);
    assert_int_equal(seen.ok, 0);

    memset(deep, 'x', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    memset(&seen, 0, sizeof(seen));
    assert_non_null(amld_probe_new(p->probes, deep, NULL, BANNER, done, &seen));
    waited(p, &seen);
    assert_int_equal(seen.ok, 0);
}


/* Silence is no answer, and holds up nobody: the others and what the caller
 * polls have theirs. */
static void
silence(void **state)
{
    place_t *p = *state;
    amld_probe_t *silent, *other;
    int fd, fds[2];
    seen_t seen, third;
    struct curl_waitfd wait = {0};

    silent = begin(p, &seen);
    other = begin(p, &third);
    fd = accept(p->listening, NULL, NULL);
    assert_int_not_equal(fd, -1);

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    wait.fd = fds[0];
    wait.events = CURL_WAIT_POLLIN;
    amld_probes_wait(p->probes, &wait, 1, 5000);
    assert_true(wait.revents & CURL_WAIT_POLLIN);
    assert_int_equal(seen.calls, 0);
    close(fds[0]);
    close(fds[1]);
    close(fd);
    close(accept(p->listening, NULL, NULL));

    /* One ends, and takes the other with it. */
    seen.other = &other;
    third.other = &silent;
    amld_probes_wait(p->probes, NULL, 0, 5000);
    assert_int_equal(seen.calls + third.calls, 1);

    /* One that is let be is heard of no more. */
    silent = begin(p, &seen);
    assert_non_null(silent);
    amld_probe_free(silent);
    amld_probes_wait(p->probes, NULL, 0, 0);
    assert_int_equal(seen.calls, 0);
    amld_probe_free(NULL);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(said, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(silence, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
