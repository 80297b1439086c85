/*
 * Sockets that amld takes over from one that was killed, and those that
 * another has.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/http/listener.h"
#include "t/unit/scratch.h"


/* A process that has a socket at `path` for so long, and no other. */
static pid_t
holder(const char *path, int type, unsigned ms)
{
    int fd;
    pid_t pid;
    struct sockaddr_un addr;

    memset(&addr, 0, sizeof(addr));
    addr.sun_family = AF_UNIX;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);

    fd = socket(AF_UNIX, type, 0);
    assert_int_not_equal(fd, -1);
    assert_int_equal(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
    assert_true(type == SOCK_DGRAM || listen(fd, 512) == 0);

    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        usleep(ms * 1000);
        _exit(0);
    }
    close(fd);

    return pid;
}


static void
taken_over(void **state)
{
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    char path[96];
    size_t i;
    pid_t pid;
    amld_config_t config;
    amld_listener_t l;
    scratch_t *s = *state;

    memset(&config, 0, sizeof(config));
    snprintf(path, sizeof(path), "%s/s", s->dir);

    for (i = 0; i < 2; i++) {
        /* its process is gone soon, as between fork and exec */
        pid = holder(path, types[i], 150);
        assert_int_equal(
            amld_listener_open(&l, &config, "listen", path, types[i]), 0);
        close(l.fd);
        amld_listener_remove(&l);
        waitpid(pid, NULL, 0);
    }
}


static void
another(void **state)
{
    char path[96];
    pid_t pid;
    amld_config_t config;
    amld_listener_t l;
    scratch_t *s = *state;

    memset(&config, 0, sizeof(config));
    snprintf(path, sizeof(path), "%s/s", s->dir);

    pid = holder(path, SOCK_DGRAM, 60000);
    assert_int_equal(
        amld_listener_open(&l, &config, "activity", path, SOCK_DGRAM), -1);
    assert_int_equal(access(path, F_OK), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taken_over, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(another, scratch_setup,
                                        scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
