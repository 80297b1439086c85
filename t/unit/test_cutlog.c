/*
 * What a shim does for a job: a log that is cut and not rotated, a directory
 * that is entered as the command, signals for a whole group, nothing run that
 * can't be written down.  This program is its own `amld shim`.
 */

#include "t/unit/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "computes/engines/command.h"
#include "computes/engines/shim.h"
#include "computes/files/cutlog.h"

static char place[] = "/tmp/aml-cutlog-XXXXXX";


static const char *
path(const char *name)
{
    static char p[4][128];
    static int i;

    i = (i + 1) % 4;
    snprintf(p[i], sizeof(p[i]), "%s/%s", place, name);

    return p[i];
}


static int
appends(const char *name)
{
    int fd;

    fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    assert_true(fd > 0);

    return fd;
}


static char *
slurp(const char *name, size_t *n)
{
    char *text = calloc(1, 1 << 20);
    int fd = open(path(name), O_RDONLY);
    ssize_t got;

    assert_non_null(text);
    assert_true(fd >= 0);
    got = read(fd, text, (1 << 20) - 1);
    assert_true(got >= 0);
    close(fd);
    *n = (size_t) got;

    return text;
}


/* All of "0\n" … "<lines - 1>\n", in pieces of `step` bytes. */
static char *
counted(int lines, size_t step, size_t max, size_t *n)
{
    char *text = malloc(64 + (size_t) lines * 8);
    size_t at, len;
    amld_cutlog_t log;
    int i;

    assert_non_null(text);
    for (i = 0, len = 0; i < lines; i++) {
        len += (size_t) sprintf(text + len, "%d\n", i);
    }
    amld_cutlog_open(&log, appends("log"), max);
    for (at = 0; at < len; at += step) {
        amld_cutlog_write(&log, text + at, len - at < step ? len - at : step);
    }
    amld_cutlog_close(&log);
    free(text);

    return slurp("log", n);
}


static void
cut(void **state)
{
    char *text;
    size_t n, k;

    static const size_t steps[] = {1, 7, 100, 4096, 1 << 20};

    (void) state;

    for (k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
        /* as much as fits: nothing is said, all is there in order */
        text = counted(200, steps[k], 690, &n);
        assert_int_equal(n, 690);
        assert_memory_equal(text, "0\n1\n2\n", 6);
        assert_string_equal(text + n - 8, "198\n199\n");
        assert_null(strstr(text, "amld"));
        free(text);

        /* one byte more */
        text = counted(200, steps[k], 689, &n);
        assert_non_null(strstr(text, "its bound of 689 bytes"));
        assert_non_null(strstr(text, "[amld: 1 bytes left out]"));
        free(text);

        /* the beginning, and the end */
        text = counted(100000, steps[k], 4000, &n);
        assert_in_range(n, 4000, 4200);
        assert_memory_equal(text, "0\n1\n2\n", 6);
        assert_string_equal(text + n - 12, "99998\n99999\n");
        assert_non_null(strstr(text, "of what follows only the end is kept"));
        assert_non_null(strstr(text, "[amld: 584890 bytes left out]"));
        free(text);
    }

    /* no room for an end */
    text = counted(10, 3, 3, &n);
    assert_memory_equal(text, "0\n1\n[amld: the log", 18);
    assert_non_null(strstr(text, "[amld: 17 bytes left out]"));
    free(text);
}


static void
full(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_APPEND);
    amld_cutlog_t log;

    (void) state;

    assert_true(fd > 0);
    amld_cutlog_open(&log, fd, 100);
    amld_cutlog_write(&log, "x\n", 2);
    assert_int_equal(log.lost, 2);
    assert_int_equal(log.fault, ENOSPC);
    amld_cutlog_write(&log, "yy\n", 3);
    amld_cutlog_close(&log);
    amld_cutlog_write(&log, "x\n", 2);
    assert_int_equal(log.fd, -1);
    assert_int_equal(log.lost, 5);
}


/* For a while: it is said where that was, before what comes next. */
static void
full_for_a_while(void **state)
{
    int fds[2];
    char buf[8192];
    ssize_t n;
    amld_cutlog_t log;

    (void) state;

    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) == 4096);
    memset(buf, 'x', sizeof(buf));
    amld_cutlog_open(&log, fds[1], 1 << 20);
    amld_cutlog_write(&log, buf, 5000);
    amld_cutlog_write(&log, buf, 100);
    assert_int_equal(log.lost, 1004);

    assert_int_equal(read(fds[0], buf, sizeof(buf)), 4096);
    amld_cutlog_write(&log, "more\n", 5);
    n = read(fds[0], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_string_equal(buf, "\n[amld: 1004 bytes could not be written: "
                             "Resource temporarily unavailable]\nmore\n");
    assert_int_equal(log.unsaid, 0);

    /* also where nothing comes */
    memset(buf, 'x', sizeof(buf));
    amld_cutlog_write(&log, buf, 4097);
    assert_int_equal(log.lost, 1005);
    assert_int_equal(read(fds[0], buf, sizeof(buf)), 4096);
    amld_cutlog_close(&log);
    n = read(fds[0], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_non_null(strstr(buf, "[amld: 1 bytes could not be written: "));
    close(fds[0]);
}


/* A shim with these options around `sh -c script`. */
static pid_t
start(int log, const char *max, const char *status, const char *const *more,
      const char *script)
{
    char number[16];
    const char *argv[24];
    int n = 0;
    pid_t pid;

    snprintf(number, sizeof(number), "%d", log);
    argv[n++] = "test_cutlog";
    argv[n++] = "shim";
    argv[n++] = "--log-fd";
    argv[n++] = number;
    argv[n++] = "--log-max";
    argv[n++] = max;
    argv[n++] = "--status";
    argv[n++] = status;
    while (more != NULL && *more != NULL) {
        argv[n++] = *more++;
    }
    argv[n++] = "--";
    argv[n++] = "/bin/sh";
    argv[n++] = "-c";
    argv[n++] = script;
    argv[n] = NULL;

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (chdir(place) == 0) {
            execv("/proc/self/exe", (char *const *) argv);
        }
        _exit(99);
    }
    close(log);

    return pid;
}


static int
end(pid_t pid)
{
    int status, i;

    for (i = 0; i < 3000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        usleep(10000);
    }
    kill(pid, SIGKILL);
    fail_msg("it does not end");

    return -1;
}


static void
says(const char *name, const char *text)
{
    size_t n;
    char *is = slurp(name, &n);

    assert_string_equal(is, text);
    free(is);
}


static void
nothing_but_the_command(void **state)
{
    (void) state;

    assert_int_equal(end(start(appends("log"), "1000", path("status"), NULL,
                               "echo hello; echo oops >&2; exit 3")),
                     3);
    says("log", "hello\noops\n");
    says("status", "exit 003\n");

    assert_int_equal(
        end(start(appends("log"), "1000", path("status"), NULL, "kill -9 $$")),
        137);
    says("log", "");
    says("status", "exit 137\n");
}


/* What the log could not have is told; how it ended, too. */
static void
nothing_is_written(void **state)
{
    int fault;
    char text[64];

    (void) state;

    assert_int_equal(
        end(start(open("/dev/full", O_WRONLY | O_APPEND), "1000",
                  path("full.status"), NULL, "echo hello; exit 3")),
        3);
    snprintf(text, sizeof(text), "exit 003\nlost 6 %d\n", ENOSPC);
    says("full.status", text);
    assert_int_equal(amld_command_result(place, "full"), 3);
    assert_int_equal(amld_command_lost(place, "full", &fault), 6);
    assert_int_equal(fault, ENOSPC);

    assert_int_equal(
        end(start(appends("log"), "1000", path("full.status"), NULL, "echo x")),
        0);
    says("full.status", "exit 000\n");
    assert_int_equal(amld_command_lost(place, "full", &fault), 0);
    assert_int_equal(amld_command_lost(place, "none", &fault), 0);
}


/* Gigabytes, in bounded memory and a bounded file. */
static void
much(void **state)
{
    char *text;
    size_t n;
    const char *const limit[] = {"--group", NULL};

    (void) state;

    assert_int_equal(end(start(appends("log"), "100000", path("status"), limit,
                               "head -c 300000000 /dev/zero | tr '\\0' x; "
                               "echo; echo the reason; exit 1")),
                     1);
    text = slurp("log", &n);
    assert_in_range(n, 100000, 100300);
    assert_non_null(strstr(text, "bytes left out]\n"));
    assert_string_equal(text + n - 12, "\nthe reason\n");
    free(text);
}


static void
directory(void **state)
{
    char real[PATH_MAX], line[PATH_MAX + 2];
    const char *const inside[] = {"--directory", "sub", NULL};
    const char *const nowhere[] = {"--directory", "none", NULL};
    size_t n;
    char *text;

    (void) state;

    assert_int_equal(mkdir(path("sub"), 0700), 0);
    assert_int_equal(
        end(start(appends("log"), "1000", path("status"), inside, "pwd")), 0);
    assert_non_null(realpath(path("sub"), real));
    snprintf(line, sizeof(line), "%s\n", real);
    says("log", line);

    assert_int_equal(
        end(start(appends("log"), "1000", path("status"), nowhere, "pwd")),
        126);
    text = slurp("log", &n);
    assert_non_null(strstr(text, "cannot enter none: No such file"));
    free(text);
}


/* What would be taken for never run is not. */
static void
no_status(void **state)
{
    (void) state;

    unlink(path("ran"));
    assert_int_equal(end(start(appends("log"), "1000", path("no/status"), NULL,
                               "touch ran")),
                     126);
    assert_int_equal(access(path("ran"), F_OK), -1);
    assert_int_equal(
        end(start(appends("log"), "1000", "/dev/full", NULL, "touch ran")),
        126);
    assert_int_equal(access(path("ran"), F_OK), -1);
}


/* A shell that waits for its child keeps a signal to itself: with --group the
 * child has it, too. */
static void
group(void **state)
{
    int i;
    char *text;
    size_t n;
    pid_t shim;
    const char *const all[] = {"--group", NULL};
    const char *script = "trap 'exit 143' TERM\n"
                         "sh -c 'trap \"echo saved; exit 0\" TERM; "
                         "touch up; while :; do sleep 0.02; done'\n"
                         "echo not reached";

    (void) state;

    unlink(path("up"));
    shim = start(appends("log"), "1000", path("status"), all, script);
    for (i = 0; i < 1000 && access(path("up"), F_OK) != 0; i++) {
        usleep(10000);
    }
    kill(shim, SIGTERM);
    assert_int_equal(end(shim), 143);
    text = slurp("log", &n);
    assert_non_null(strstr(text, "saved\n"));
    assert_null(strstr(text, "not reached"));
    free(text);
    says("status", "exit 143\n");
}


int
main(int argc, char **argv)
{
    char command[160];
    int rc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut),
        cmocka_unit_test(full),
        cmocka_unit_test(full_for_a_while),
        cmocka_unit_test(nothing_but_the_command),
        cmocka_unit_test(nothing_is_written),
        cmocka_unit_test(much),
        cmocka_unit_test(directory),
        cmocka_unit_test(no_status),
        cmocka_unit_test(group),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (mkdtemp(place) == NULL) {
        return 1;
    }
    rc = cmocka_run_group_tests_name("cutlog", tests, NULL, NULL);
    snprintf(command, sizeof(command), "rm -rf %s", place);

    return system(command) == 0 ? rc : 1;
}
