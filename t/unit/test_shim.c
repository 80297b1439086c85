/*
 * The shim with real processes.  This program is its own `amld shim`, and the
 * commands below it are shells.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "computes/engines/procfs.h"
#include "computes/engines/shim.h"
#include "computes/files/logfile.h"

typedef struct {
    char dir[64];
    char log[96];
} place_t;


static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    strcpy(p->dir, "/tmp/aml-shim-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->log, sizeof(p->log), "%s/log", p->dir);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;

    nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(p);

    return 0;
}


/* Starts a shim around `sh -c script`, in the place's directory. */
static pid_t
start(place_t *p, const char *max, int hold, const char *script)
{
    char number[16];
    const char *argv[16];
    int n = 0;
    pid_t pid;

    argv[n++] = "test_shim";
    argv[n++] = "shim";
    argv[n++] = "--log";
    argv[n++] = p->log;
    if (max != NULL) {
        argv[n++] = "--log-max";
        argv[n++] = max;
    }
    if (hold != -1) {
        snprintf(number, sizeof(number), "%d", hold);
        argv[n++] = "--hold";
        argv[n++] = number;
    }
    argv[n++] = "--";
    argv[n++] = "/bin/sh";
    argv[n++] = "-c";
    argv[n++] = script;
    argv[n] = NULL;

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (chdir(p->dir) == 0) {
            execv("/proc/self/exe", (char *const *) argv);
        }
        _exit(99);
    }

    return pid;
}


static int
end(pid_t pid)
{
    int status, i;

    for (i = 0; i < 3000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status)
                                     : 256 + WTERMSIG(status);
        }
        usleep(10000);
    }

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    return -1;
}


/* Waits for a file that a script writes a number into. */
static pid_t
number(place_t *p, const char *name)
{
    char path[128];
    int i;
    long n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", p->dir, name);
    for (i = 0; i < 3000; i++) {
        n = 0;
        f = fopen(path, "r");
        if (f != NULL) {
            if (fscanf(f, "%ld\n", &n) != 1) {
                n = 0;
            }
            fclose(f);
        }
        if (n > 0) {
            return (pid_t) n;
        }
        usleep(10000);
    }

    fail_msg("%s was not written", path);
    return -1;
}


static int
lives(pid_t pid)
{
    amld_proc_t proc;

    return amld_proc_read(pid, &proc) == 0 && proc.state != 'Z' &&
           proc.state != 'X';
}


static int
gone(pid_t pid)
{
    int i;

    for (i = 0; i < 1000; i++) {
        if (!lives(pid)) {
            return 1;
        }
        usleep(10000);
    }

    return 0;
}


static size_t
size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (size_t) st.st_size : 0;
}


static int
logged(place_t *p, const char *text)
{
    char tail[8192];

    return amld_logfile_tail(p->log, 100, tail, sizeof(tail)) != 0 &&
           strstr(tail, text) != NULL;
}


static void
exit_status(void **state)
{
    place_t *p = *state;

    assert_int_equal(end(start(p, NULL, -1, "echo said; exit 7")), 7);
    assert_true(logged(p, "said\n"));
    assert_true(logged(p, "/bin/sh ended with exit status 7"));

    assert_int_equal(end(start(p, NULL, -1, "echo woe >&2; kill -9 $$")),
                     128 + 9);
    assert_true(logged(p, "woe\n"));
    assert_true(logged(p, "was ended by signal 9"));
}


static void
cannot_run(void **state)
{
    place_t *p = *state;
    pid_t pid = fork();

    if (pid == 0) {
        execl("/proc/self/exe", "test_shim", "shim", "--log", p->log, "--",
              "/nowhere/jupyter", (char *) NULL);
        _exit(99);
    }
    assert_int_equal(end(pid), 127);
    assert_true(logged(p, "cannot run /nowhere/jupyter: No such file"));
}


static void
arguments(void **state)
{
    static const char *const wrong[][6] = {
        {"shim", NULL},
        {"shim", "--log", "/dev/null", NULL},
        {"shim", "--log", "/dev/null", "--", NULL},
        {"shim", "--", "true", NULL},
        {"shim", "--hold", "x", "--", "true", NULL},
        {"shim", "--log-max", "0", "--", "true", NULL},
        {"shim", "--what", "x", "--", "true", NULL},
    };
    size_t i;
    int n, err, null;

    (void) state;

    err = dup(2);
    null = open("/dev/null", O_WRONLY);
    dup2(null, 2);
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (n = 0; wrong[i][n] != NULL; n++) {
            /* void */
        }
        assert_int_equal(amld_shim_main(n, (char **) (uintptr_t) wrong[i]), 2);
    }
    dup2(err, 2);
    close(err);
    close(null);
}


/* Of what a terminal's `nohup setsid` or a kernel is: a session of its own,
 * no parent left. */
#define DAEMON                                                                 \
    "(setsid sh -c 'echo $$ > daemon.tmp; mv daemon.tmp daemon; "              \
    "exec sleep 1000' &) ; "


static void
daemons_end_with_it(void **state)
{
    place_t *p = *state;
    pid_t shim, daemon;

    shim = start(p, NULL, -1, DAEMON "while [ ! -e daemon ]; do :; done");
    daemon = number(p, "daemon");
    assert_int_equal(end(shim), 0);
    assert_false(lives(daemon));
}


static void
daemons_are_left(void **state)
{
    place_t *p = *state;
    pid_t shim, daemon;

    shim = fork();
    if (shim == 0) {
        if (chdir(p->dir) == 0) {
            execl("/proc/self/exe", "test_shim", "shim", "--log", p->log,
                  "--leave", "--", "/bin/sh", "-c",
                  DAEMON "while [ ! -e daemon ]; do :; done; exit 4",
                  (char *) NULL);
        }
        _exit(99);
    }
    daemon = number(p, "daemon");
    assert_int_equal(end(shim), 4);
    assert_true(lives(daemon));
    kill(daemon, SIGKILL);
    assert_true(gone(daemon));
}


static void
term_is_passed_on(void **state)
{
    place_t *p = *state;
    pid_t shim, daemon;

    shim = start(p, NULL, -1,
                 "trap 'echo bye; exit 3' TERM; " DAEMON
                 "while :; do sleep 0.05; done");
    daemon = number(p, "daemon");
    assert_true(lives(daemon));
    kill(shim, SIGTERM);
    assert_int_equal(end(shim), 3);
    assert_false(lives(daemon));
    assert_true(logged(p, "bye\n"));
}


static void
quit_kills_all(void **state)
{
    place_t *p = *state;
    pid_t shim, daemon, child;

    shim = start(p, NULL, -1,
                 "trap '' TERM INT QUIT HUP; " DAEMON
                 "echo $$ > child.tmp; mv child.tmp child; "
                 "while :; do sleep 0.05; done");
    daemon = number(p, "daemon");
    child = number(p, "child");
    kill(shim, SIGTERM);
    usleep(200000);
    assert_true(lives(child));
    assert_true(lives(shim));
    kill(shim, SIGQUIT);
    assert_int_equal(end(shim), 128 + 9);
    assert_false(lives(daemon));
    assert_false(lives(child));
}


static void
hangup_is_nothing(void **state)
{
    place_t *p = *state;
    pid_t shim, child;

    shim = start(p, NULL, -1,
                 "echo $$ > child.tmp; mv child.tmp child; exec sleep 1000");
    child = number(p, "child");
    kill(shim, SIGHUP);
    kill(shim, SIGPIPE);
    usleep(200000);
    assert_true(lives(child));
    kill(shim, SIGQUIT);
    assert_int_equal(end(shim), 128 + 9);
}


static void
killed_shim_takes_its_command(void **state)
{
    place_t *p = *state;
    pid_t shim, child;

    shim = start(p, NULL, -1,
                 "echo $$ > child.tmp; mv child.tmp child; exec sleep 1000");
    child = number(p, "child");
    kill(shim, SIGKILL);
    assert_int_equal(end(shim), 256 + 9);
    assert_true(gone(child));
}


static void
sessions_of_their_own(void **state)
{
    place_t *p = *state;
    pid_t shim, child;

    shim = start(p, NULL, -1,
                 "echo $$ > child.tmp; mv child.tmp child; exec sleep 1000");
    child = number(p, "child");
    assert_int_equal(getsid(shim), shim);
    assert_int_equal(getsid(child), child);
    kill(shim, SIGQUIT);
    assert_int_equal(end(shim), 128 + 9);
}


/* What the command gets: no descriptors, no signal masks, a sane umask. */
static void
clean_start(void **state)
{
    place_t *p = *state;
    sigset_t set, old;
    pid_t shim;

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(SIGUSR1, SIG_IGN);
    shim = start(p, NULL, -1,
                 "ls -m /proc/self/fd; umask; grep -E 'Sig(Blk|Ign)' "
                 "/proc/self/status; cat /proc/self/oom_score_adj");
    signal(SIGUSR1, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);

    assert_int_equal(end(shim), 0);
    assert_true(logged(p, "0, 1, 2, 3\n")); /* 3 is the directory itself */
    assert_true(logged(p, "0022\n"));
    assert_true(logged(p, "SigBlk: 0000000000000000\n"));
    assert_true(logged(p, "SigIgn: 0000000000000000\n"));
}


static void
held_back(void **state)
{
    place_t *p = *state;
    int fds[2];
    char path[128];
    pid_t shim;

    snprintf(path, sizeof(path), "%s/ran", p->dir);

    assert_int_equal(pipe(fds), 0);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    shim = start(p, NULL, fds[0], "touch ran");
    close(fds[0]);
    usleep(200000);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(lives(shim));
    assert_int_equal(write(fds[1], "g", 1), 1);
    close(fds[1]);
    assert_int_equal(end(shim), 0);
    assert_int_equal(access(path, F_OK), 0);
}


static void
called_off(void **state)
{
    place_t *p = *state;
    int fds[2];
    char path[128];
    pid_t shim;

    snprintf(path, sizeof(path), "%s/ran", p->dir);

    assert_int_equal(pipe(fds), 0);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    shim = start(p, NULL, fds[0], "touch ran");
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(end(shim), 0);

    assert_int_equal(pipe(fds), 0);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    shim = start(p, NULL, fds[0], "touch ran");
    close(fds[0]);
    usleep(100000);
    kill(shim, SIGTERM);
    assert_int_equal(end(shim), 0);
    close(fds[1]);

    assert_int_equal(access(path, F_OK), -1);
}


static void
log_is_bounded(void **state)
{
    place_t *p = *state;
    char old[128];

    snprintf(old, sizeof(old), "%s.1", p->log);

    assert_int_equal(end(start(p, "20000", -1,
                               "i=0; while [ $i -lt 5000 ]; do "
                               "echo line number $i; i=$((i+1)); done")),
                     0);
    assert_in_range(size_of(p->log), 1, 20000);
    assert_in_range(size_of(old), 1, 20000);
    assert_true(logged(p, "line number 4999\n"));
}


/* A reader that is slower than the command, a command that never stops: the
 * order to kill is heard all the same. */
static void
chatter_can_be_stopped(void **state)
{
    place_t *p = *state;
    pid_t shim;

    shim = start(p, "100000", -1,
                 "echo $$ > child.tmp; mv child.tmp child; exec yes");
    number(p, "child");
    usleep(100000);
    kill(shim, SIGTERM);
    assert_int_equal(end(shim), 128 + 15);
    assert_in_range(size_of(p->log), 1, 200000);
}


/* /dev/full: writing fails, the command does not notice. */
static void
full_disk(void **state)
{
    place_t *p = *state;

    assert_int_equal(symlink("/dev/full", p->log), 0);
    assert_int_equal(end(start(p, NULL, -1, "echo x; exit 5")), 5);
    assert_int_equal(unlink(p->log), 0);

    strcat(p->log, "/no/such/directory");
    assert_int_equal(end(start(p, NULL, -1, "echo x; exit 6")), 6);
}


static void
tails(void **state)
{
    static const struct {
        const char *text;
        unsigned lines;
        const char *tail;
    } cases[] = {
        {"", 3, ""},
        {"\n\n\n", 3, ""},
        {"one", 3, "one"},
        {"one\ntwo\nthree\n", 2, "two\nthree"},
        {"one\ntwo\nthree\n", 9, "one\ntwo\nthree"},
        {"\x1b[31mred\x1b[0m\ttab\r\n", 3, "red tab"},
        {"bell\a nul", 3, "bell nul"},
        {"bad \xff\xfe \xc3\xa4 \xe2\x82 x", 3, "bad ?? \xc3\xa4 ?? x"},
        {"\xed\xa0\x80 \xc0\x80 \xf8", 3, "??? ?? ?"},
        {"cut \x1b[", 3, "cut "},
        {"cut \x1b", 3, "cut "},
    };
    place_t *p = *state;
    char tail[64], big[65];
    size_t i;
    FILE *f;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f = fopen(p->log, "w");
        assert_non_null(f);
        fputs(cases[i].text, f);
        fclose(f);
        tail[0] = '\0';
        assert_int_equal(
            amld_logfile_tail(p->log, cases[i].lines, tail, sizeof(tail)),
            strlen(cases[i].tail));
        assert_string_equal(tail, cases[i].tail);
    }

    /* only whole lines of what fits */
    f = fopen(p->log, "w");
    assert_non_null(f);
    memset(big, 'x', sizeof(big) - 1);
    big[64] = '\0';
    fprintf(f, "%s%s\nlast\n", big, big);
    fclose(f);
    assert_int_equal(amld_logfile_tail(p->log, 9, tail, sizeof(tail)), 4);
    assert_string_equal(tail, "last");

    unlink(p->log);
    assert_int_equal(amld_logfile_tail(p->log, 9, tail, sizeof(tail)), 0);
}


int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(exit_status),
        TEST(cannot_run),
        TEST(arguments),
        TEST(daemons_end_with_it),
        TEST(daemons_are_left),
        TEST(term_is_passed_on),
        TEST(quit_kills_all),
        TEST(hangup_is_nothing),
        TEST(killed_shim_takes_its_command),
        TEST(sessions_of_their_own),
        TEST(clean_start),
        TEST(held_back),
        TEST(called_off),
        TEST(log_is_bounded),
        TEST(chatter_can_be_stopped),
        TEST(full_disk),
        TEST(tails),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("shim", tests, NULL, NULL);
}
