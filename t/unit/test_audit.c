/*
 * The audit log: whole lines of JSON, whatever they are about, and nobody who
 * waits for them.
 */

#include "t/unit/scratch.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "auth/audit.h"

static const aml_principal_id_t alice = {{0xa1}};


static char *
place(scratch_t *s, const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "file:%s/%s", s->dir, name);

    return path;
}


/* The lines of a file as JSON; an array. */
static json_t *
lines_of(scratch_t *s, const char *name)
{
    char path[160], line[8192];
    json_t *list = json_array();
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        assert_non_null(strchr(line, '\n'));
        /* one that was cut is none */
        (void) json_array_append_new(
            list, json_loads(line, JSON_REJECT_DUPLICATES, NULL));
    }
    fclose(f);

    return list;
}


static const char *
member(const json_t *list, size_t i, const char *name)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(list, i), name));

    assert_non_null(text);

    return text;
}


static void
specs(void **state)
{
    static const char *const good[] = {"", "file:/var/log/x", "syslog:auth",
                                       "syslog:local7"};
    static const char *const bad[] = {"file:",   "file:x",   "x",          "/x",
                                      "syslog:", "syslog:x", "syslog:kern"};
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(amld_audit_spec_fault(good[i]));
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(amld_audit_spec_fault(bad[i]));
    }
}


static void
lines(void **state)
{
    static char longest[5000];
    scratch_t *s = *state;
    amld_audit_t *a = amld_audit_open(place(s, "log"), "");
    char path[160];
    struct stat st;
    json_t *list;

    assert_non_null(a);
    memset(longest, 'x', sizeof(longest) - 1);
    memcpy(longest + 1023, "\xc3\xa9", 2); /* over the limit */

    amld_audit(a, &(amld_audit_event_t){.event = "sign-in",
                                        .principal = &alice,
                                        .name = "Al\"ice\n\x1b[2J \xc3\xa9",
                                        .client = "192.0.2.1",
                                        .request = "r1"});
    amld_audit(a, &(amld_audit_event_t){.event = "sign-in",
                                        .refused = 1,
                                        .reason = "wrong_password",
                                        .name = "\xff\xfe bad",
                                        .target = longest});
    amld_audit_close(a);

    list = lines_of(s, "log");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member(list, 0, "event"), "sign-in");
    assert_string_equal(member(list, 0, "decision"), "allow");
    assert_string_equal(member(list, 0, "reason"), "ok");
    assert_string_equal(member(list, 0, "name"), "Al\"ice\n\x1b[2J \xc3\xa9");
    assert_string_equal(member(list, 0, "principal"),
                        "a1000000-0000-0000-0000-000000000000");
    assert_string_equal(member(list, 0, "client"), "192.0.2.1");
    assert_string_equal(member(list, 0, "requestId"), "r1");
    assert_string_equal(member(list, 0, "target"), "");
    assert_int_equal(strlen(member(list, 0, "time")), 24);
    assert_string_equal(member(list, 1, "decision"), "refuse");
    assert_string_equal(member(list, 1, "reason"), "wrong_password");
    assert_string_equal(member(list, 1, "name"), "?? bad");
    assert_int_equal(strlen(member(list, 1, "target")), 1023);
    assert_string_equal(member(list, 1, "of"), "");
    json_decref(list);

    snprintf(path, sizeof(path), "%s/log", s->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0137, 0);

    /* what is off takes nothing, and no spec makes nothing */
    a = amld_audit_open("", "");
    assert_non_null(a);
    amld_audit(a, &(amld_audit_event_t){.event = "x"});
    amld_audit_reopen(a);
    amld_audit_close(a);
    amld_audit(NULL, &(amld_audit_event_t){.event = "x"});
    amld_log_level(AMLD_LOG_ERROR);
    assert_null(amld_audit_open("file:/nonexistent/x", ""));
}


static void *
write_many(void *data)
{
    size_t i;

    for (i = 0; i < 500; i++) {
        amld_audit(data, &(amld_audit_event_t){.event = "many",
                                               .name = "somebody",
                                               .scope = "/a/b/c"});
        if (i % 50 == 0) {
            amld_audit_reopen(data);
        }
    }

    return NULL;
}


static void
threads(void **state)
{
    scratch_t *s = *state;
    amld_audit_t *a = amld_audit_open(place(s, "log"), "");
    pthread_t thread[4];
    json_t *list, *v;
    size_t i;

    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, write_many, a), 0);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    amld_audit_close(a);

    list = lines_of(s, "log");
    assert_int_equal(json_array_size(list), 2000);
    json_array_foreach(list, i, v)
    {
        assert_true(json_is_object(v));
    }
    json_decref(list);
}


/* Moved away, as logrotate does. */
static void
reopen(void **state)
{
    scratch_t *s = *state;
    amld_audit_t *a = amld_audit_open(place(s, "log"), "");
    char from[160], to[160];
    json_t *list;

    snprintf(from, sizeof(from), "%s/log", s->dir);
    snprintf(to, sizeof(to), "%s/log.1", s->dir);

    amld_audit(a, &(amld_audit_event_t){.event = "one"});
    assert_int_equal(rename(from, to), 0);
    amld_audit(a, &(amld_audit_event_t){.event = "two"});
    amld_audit_reopen(a);
    amld_audit(a, &(amld_audit_event_t){.event = "three"});

    list = lines_of(s, "log.1");
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    list = lines_of(s, "log");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(member(list, 0, "event"), "three");
    json_decref(list);

    /* where it can't be made anew it goes on */
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(mkdir(from, 0700), 0);
    amld_audit_reopen(a);
    amld_audit(a, &(amld_audit_event_t){.event = "four"});
    amld_audit_close(a);
    list = lines_of(s, "log.1");
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
}


/* A full disk, and one that is full in the middle of a line. */
static void
full(void **state)
{
    struct rlimit was, limit;
    scratch_t *s = *state;
    amld_audit_t *a = amld_audit_open("file:/dev/full", "");
    char path[160];
    struct stat st;
    json_t *list;
    int fd, i;

    assert_non_null(a);
    amld_audit(a, &(amld_audit_event_t){.event = "lost"});
    amld_audit_close(a);

    /* a pipe that nobody empties: not waited for */
    snprintf(path, sizeof(path), "%s/pipe", s->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR | O_NONBLOCK);
    assert_true(fd >= 0);
    a = amld_audit_open(place(s, "pipe"), "");
    assert_non_null(a);
    for (i = 0; i < 2000; i++) {
        amld_audit(a, &(amld_audit_event_t){.event = "many"});
    }
    amld_audit_close(a);
    close(fd);

    /* a line of which a part fits: the next one is whole */
    a = amld_audit_open(place(s, "log"), "");
    assert_non_null(a);
    amld_audit(a, &(amld_audit_event_t){.event = "one"});
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    limit = was;
    snprintf(path, sizeof(path), "%s/log", s->dir);
    assert_int_equal(stat(path, &st), 0);
    limit.rlim_cur = (rlim_t) st.st_size + 50;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    amld_audit(a, &(amld_audit_event_t){.event = "two", .name = "cut"});
    amld_audit(a, &(amld_audit_event_t){.event = "three"});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    amld_audit(a, &(amld_audit_event_t){.event = "four"});
    amld_audit_close(a);

    list = lines_of(s, "log");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member(list, 0, "event"), "one");
    assert_string_equal(member(list, 1, "event"), "four");
    json_decref(list);
}


static int
listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(
        bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));

    return fd;
}


/* A stand-in for the socket of syslog, that is there, goes, and comes back. */
static void
by_syslog(void **state)
{
    scratch_t *s = *state;
    char path[96], datagram[8192];
    amld_audit_t *a;
    json_t *json;
    ssize_t n;
    int fd, i;

    snprintf(path, sizeof(path), "%s/dev-log", s->dir);
    assert_null(amld_audit_open("syslog:authpriv", path));
    fd = listen_at(path);
    a = amld_audit_open("syslog:authpriv", path);
    assert_non_null(a);

    amld_audit(a, &(amld_audit_event_t){.event = "sign-in", .name = "x\ny"});
    n = recv(fd, datagram, sizeof(datagram) - 1, 0);
    assert_true(n > 0);
    datagram[n] = '\0';
    /* authpriv is 10, info 6 */
    assert_ptr_equal(strstr(datagram, "<86>"), datagram);
    assert_non_null(strstr(datagram, " amld["));
    assert_null(strchr(datagram, '\n'));
    json = json_loads(strchr(datagram, '{'), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "event")),
                        "sign-in");
    json_decref(json);

    /* nobody reads: not waited for */
    for (i = 0; i < 5000; i++) {
        amld_audit(a, &(amld_audit_event_t){.event = "many"});
    }

    /* started again */
    close(fd);
    unlink(path);
    amld_audit(a, &(amld_audit_event_t){.event = "lost"});
    fd = listen_at(path);
    amld_audit(a, &(amld_audit_event_t){.event = "again"});
    n = recv(fd, datagram, sizeof(datagram) - 1, 0);
    assert_true(n > 0);
    datagram[n] = '\0';
    assert_non_null(strstr(datagram, "\"again\""));

    amld_audit_close(a);
    close(fd);
}


#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs),
        TEST(lines),
        TEST(threads),
        TEST(reopen),
        TEST(full),
        TEST(by_syslog),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
