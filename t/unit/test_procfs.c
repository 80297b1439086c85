/*
 * A number of a process that ends, and is another's before it is sent a signal:
 * the other is not hit.  The test stands where the number is looked up.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/engines/procfs.h"

#define MARK "AML_COMMAND=/nowhere/test-procfs"

typedef enum {
    NEVER,
    BEFORE, /* the descriptor is opened */
    AFTER
} when_t;

static struct {
    when_t when;
    pid_t pid; /* whose number is taken */
    int mark;  /* the other has the mark, too */
    int done;
} replace;


/* A process that waits for its end; with that number, where it is one. */
static pid_t
start(pid_t number, int mark)
{
    char *argv[] = {(char *) "sleep", (char *) "600", NULL};
    char *envp[] = {mark ? (char *) MARK : (char *) "OTHER=1", NULL};
    struct clone_args args = {.exit_signal = SIGCHLD};
    char seen[64];
    int ready[2];
    pid_t pid;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    if (number != 0) {
        args.set_tid = (uint64_t) (uintptr_t) &number;
        args.set_tid_size = 1;
    }
    pid = (pid_t) syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        execve("/usr/bin/sleep", argv, envp);
        execve("/bin/sleep", argv, envp);
        _exit(1);
    }
    close(ready[1]);
    /* it ends with exec */
    assert_true(pid == -1 || read(ready[0], seen, sizeof(seen)) == 0);
    close(ready[0]);

    return pid;
}


static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}


static uint64_t
started(pid_t pid)
{
    amld_proc_t proc;

    assert_int_equal(amld_proc_read(pid, &proc), 0);

    return proc.started;
}


static void
take_number(void)
{
    uint64_t before = started(replace.pid);

    /* Ticks are coarse, and no real number comes back within one. */
    end(replace.pid);
    for (;;) {
        assert_int_equal(start(replace.pid, replace.mark), replace.pid);
        if (started(replace.pid) != before) {
            break;
        }
        end(replace.pid);
    }
    replace.done = 1;
}


/* In place of the C library's. */
int
pidfd_open(pid_t pid, unsigned flags)
{
    int fd;
    when_t when = pid == replace.pid && !replace.done ? replace.when : NEVER;

    if (when == BEFORE) {
        take_number();
    }
    fd = (int) syscall(SYS_pidfd_open, pid, flags);
    if (when == AFTER) {
        take_number();
    }

    return fd;
}


static int
lives(pid_t pid)
{
    int status;

    return waitpid(pid, &status, WNOHANG) == 0;
}


static void
marked(void **state)
{
    pid_t one, other, prefix;

    (void) state;

    one = start(0, 1);
    other = start(0, 0);
    prefix = start(0, 1);
    assert_int_equal(amld_proc_kill_marked(MARK, 0, 0), 2);
    assert_int_equal(
        amld_proc_kill_marked("AML_COMMAND=/nowhere/test-pr", 0, 0), 0);
    assert_int_equal(
        amld_proc_kill_marked("AML_COMMAND=/nowhere/test-pr", 1, SIGKILL), 2);
    assert_int_equal(waitpid(one, NULL, 0), one);
    assert_int_equal(waitpid(prefix, NULL, 0), prefix);
    assert_true(lives(other));
    end(other);
}


static int
may_choose_numbers(void)
{
    pid_t pid = start(0, 0), again;

    end(pid);
    again = start(pid, 0);
    if (again == pid) {
        end(pid);
    }

    return again == pid;
}


static void
number_is_anothers(when_t when, int mark, int below)
{
    pid_t pid = start(0, 1);

    memset(&replace, 0, sizeof(replace));
    replace.when = when;
    replace.pid = pid;
    replace.mark = mark;

    if (below) {
        (void) amld_proc_kill_below(getpid(), SIGKILL);
    } else {
        assert_int_equal(amld_proc_kill_marked(MARK, 0, SIGKILL), 0);
    }
    assert_true(replace.done);
    assert_true(lives(pid));

    replace.when = NEVER;
    end(pid);
}


static void
reused(void **state)
{
    int below, mark;

    (void) state;

    if (!may_choose_numbers()) {
        skip();
    }

    for (below = 0; below < 2; below++) {
        for (mark = 0; mark < 2; mark++) {
            number_is_anothers(BEFORE, mark, below);
            number_is_anothers(AFTER, mark, below);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marked),
        cmocka_unit_test(reused),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
