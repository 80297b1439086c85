/*
 * The relay: a port is reached by a socket while something below it listens,
 * and by nobody else's listener, ever.
 */

#include "t/unit/scratch.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/services/listeners.h"
#include "computes/services/relay.h"

#define ROUNDS 500 /* of 20 ms */

static char program[4096];


/* ---- what is run below the relay: "serve", "full", "deaf" ---- */

static int
tcp_listen(unsigned port)
{
    int fd, one = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET};

    addr.sin_port = htons((uint16_t) port);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 ||
        listen(fd, 8) != 0) {
        close(fd);
        return -1;
    }

    return fd;
}


/* Says its name, then sends back what comes, to its end. */
static int
serve(unsigned port, const char *name)
{
    char buf[65536];
    int c, fd;
    ssize_t n;

    fd = tcp_listen(port);
    if (fd == -1) {
        return 7;
    }

    for (;;) {
        c = accept(fd, NULL, NULL);
        if (c == -1) {
            continue;
        }
        if (fork() == 0) {
            if (write(c, name, strlen(name)) < 0) {
                _exit(1);
            }
            while ((n = read(c, buf, sizeof(buf))) > 0) {
                if (write(c, buf, (size_t) n) != n) {
                    break;
                }
            }
            _exit(0);
        }
        close(c);
    }
}


/* Accepts nothing: what connects when its queue is full waits. */
static int
full(unsigned port)
{
    int fd = tcp_listen(port);

    if (fd == -1 || listen(fd, 0) != 0) {
        return 7;
    }

    for (;;) {
        pause();
    }
}


/* Reads nothing. */
static int
deaf(unsigned port)
{
    int fd = tcp_listen(port);

    if (fd == -1) {
        return 7;
    }

    for (;;) {
        (void) !write(accept(fd, NULL, NULL), "deaf", 4);
    }
}


/* ---- the tests' side ---- */

static unsigned
free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &addr, &len), 0);
    close(fd);

    return ntohs(addr.sin_port);
}


static pid_t
relay(const char *dir, unsigned port, const char *script)
{
    char text[16], *argv[] = {(char *) "relay",
                              (char *) "--dir",
                              (char *) dir,
                              (char *) "--port",
                              text,
                              (char *) "--",
                              (char *) "sh",
                              (char *) "-c",
                              (char *) script,
                              NULL};
    pid_t pid;

    snprintf(text, sizeof(text), "%u", port);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(9);
        }
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void) close_range(3, ~0u, 0);
        _exit(amld_relay_main(9, argv));
    }

    return pid;
}


static int
ends(pid_t pid, int sig)
{
    int status;

    kill(pid, sig);
    assert_int_equal(waitpid(pid, &status, 0), pid);

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}


/* A connection by the socket, or -1 where there is none. */
static int
reach(const char *dir, unsigned port)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 20};

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/%u.sock", dir, port);
    if (connect(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));

    return fd;
}


static int
reached(const char *dir, unsigned port)
{
    int fd = -1, i;

    for (i = 0; i < ROUNDS && (fd = reach(dir, port)) == -1; i++) {
        usleep(20000);
    }

    return fd;
}


/* The next `n` bytes; how many came. */
static size_t
take(int fd, char *buf, size_t n)
{
    size_t got;
    ssize_t one;

    for (got = 0; got < n; got += (size_t) one) {
        one = read(fd, buf + got, n - got);
        if (one <= 0) {
            break;
        }
    }

    return got;
}


static void
script_of(char *script, size_t size, unsigned port, const char *name)
{
    snprintf(script, size, "exec '%s' serve %u %s", program, port, name);
}


static void
test_carries(void **state)
{
    scratch_t *s = *state;
    char script[4200], *big, buf[8];
    const size_t size = 8 * 1024 * 1024;
    unsigned port = free_port();
    pid_t pid, writer;
    int fd;

    script_of(script, sizeof(script), port, "hello");
    pid = relay(s->dir, port, script);
    fd = reached(s->dir, port);
    assert_true(fd != -1);
    assert_int_equal(take(fd, buf, 5), 5);
    assert_memory_equal(buf, "hello", 5);

    /* Much both ways, and then an end that is handed on. */
    big = calloc(1, size);
    assert_non_null(big);
    writer = fork();
    if (writer == 0) {
        memset(big, 'x', size);
        (void) !write(fd, big, size);
        shutdown(fd, SHUT_WR);
        _exit(0);
    }
    assert_int_equal(take(fd, big, size), size);
    assert_int_equal(big[size - 1], 'x');
    assert_int_equal(read(fd, buf, 1), 0);
    waitpid(writer, NULL, 0);
    free(big);
    close(fd);

    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);
    assert_int_equal(reach(s->dir, port), -1);
}


/* A service that goes into the background, and one that only its child has. */
static void
test_descendants(void **state)
{
    scratch_t *s = *state;
    char script[4300], buf[8];
    unsigned port = free_port();
    pid_t pid;
    int fd;

    snprintf(script, sizeof(script),
             "(env -i setsid '%s' serve %u away &) ; exec sleep 1000", program,
             port);
    pid = relay(s->dir, port, script);
    fd = reached(s->dir, port);
    assert_true(fd != -1);
    assert_int_equal(take(fd, buf, 4), 4);
    assert_memory_equal(buf, "away", 4);
    close(fd);

    /* It is the shim's to end what is left; here we do. */
    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);
    snprintf(script, sizeof(script), "fuser -k -s %u/tcp 2>/dev/null", port);
    (void) !system(script);
}


static void
test_of_somebody_else(void **state)
{
    scratch_t *s = *state;
    char path[160];
    struct stat st;
    struct timeval soon = {.tv_sec = 1};
    unsigned port = free_port();
    pid_t pid;
    int fd, i;
    fd_set set;

    pid = relay(s->dir, port, "exec sleep 1000");
    snprintf(path, sizeof(path), "%s/%u.sock", s->dir, port);
    usleep(300000);
    fd = tcp_listen(port);
    assert_true(fd != -1);

    /* Some rounds of its looks. */
    for (i = 0; i < 40; i++) {
        assert_int_equal(lstat(path, &st), -1);
        usleep(25000);
    }
    FD_ZERO(&set);
    FD_SET(fd, &set);
    assert_int_equal(select(fd + 1, &set, NULL, NULL, &soon), 0);
    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);

    /* And it is taken before anything is begun. */
    pid = relay(s->dir, port, "exec sleep 1000");
    assert_int_equal(ends(pid, 0), AMLD_RELAY_TAKEN);
    close(fd);
}


/*
 * A listener gives way to another's between two looks: what was reached before
 * must not lead to it.
 */
static void
test_changes_hands(void **state)
{
    scratch_t *s = *state;
    char script[4300], buf[8];
    unsigned port = free_port();
    pid_t pid;
    int fd, i, thief;

    snprintf(script, sizeof(script),
             "'%s' serve %u mine & echo $! > %s/pid; exec sleep 1000", program,
             port, s->dir);
    pid = relay(s->dir, port, script);
    fd = reached(s->dir, port);
    assert_true(fd != -1);
    assert_int_equal(take(fd, buf, 4), 4);
    close(fd);

    snprintf(script, sizeof(script), "kill -KILL $(cat %s/pid)", s->dir);
    assert_int_equal(system(script), 0);
    for (i = 0, thief = -1; i < ROUNDS && thief == -1; i++) {
        thief = tcp_listen(port);
        usleep(thief == -1 ? 1000 : 0);
    }
    assert_true(thief != -1);

    /* Its socket is still there for a moment, but leads nowhere. */
    for (i = 0; i < 50; i++) {
        fd = reach(s->dir, port);
        if (fd != -1) {
            assert_int_equal(take(fd, buf, 1), 0);
            close(fd);
        }
        usleep(10000);
    }
    assert_int_equal(fcntl(thief, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(accept(thief, NULL, NULL), -1);
    close(thief);
    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);
}


static long
ticks(pid_t pid)
{
    char path[64];
    FILE *f;
    long system = -1, user = -1;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f,
                            "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u "
                            "%*u %*u %ld %ld",
                            &user, &system),
                     2);
    fclose(f);

    return user + system;
}


/* Sends as much as there is room for to one that does not read, and goes. */
static void
test_one_that_goes(void **state)
{
    scratch_t *s = *state;
    char script[4200], *big, buf[8];
    const size_t size = 1024 * 1024;
    unsigned port = free_port();
    long before;
    pid_t pid;
    int fd, i;

    snprintf(script, sizeof(script), "exec '%s' deaf %u", program, port);
    pid = relay(s->dir, port, script);
    fd = reached(s->dir, port);
    assert_true(fd != -1);
    assert_int_equal(take(fd, buf, 4), 4);

    big = calloc(1, size);
    assert_non_null(big);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (i = 0; i < 20; i++) {
        while (write(fd, big, size) > 0) {
            i = 0;
        }
        usleep(10000);
    }
    free(big);
    close(fd);

    usleep(100000);
    before = ticks(pid);
    usleep(1000000);
    assert_true(ticks(pid) - before < sysconf(_SC_CLK_TCK) / 4);

    /* And others are served. */
    fd = reached(s->dir, port);
    assert_true(fd != -1);
    assert_int_equal(take(fd, buf, 4), 4);
    close(fd);
    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);
}


/* The same while a connection is on its way: it gets to the other one, but
 * nothing is said there. */
static void
test_changes_hands_on_the_way(void **state)
{
    scratch_t *s = *state;
    char script[4300], buf[8];
    struct timeval wait = {.tv_sec = 5};
    unsigned port = free_port();
    pid_t pid;
    int c, fds[4], i, thief;

    snprintf(script, sizeof(script),
             "'%s' full %u & echo $! > %s/pid; exec sleep 1000", program, port,
             s->dir);
    pid = relay(s->dir, port, script);
    for (i = 0; i < 4; i++) {
        fds[i] = reached(s->dir, port);
        assert_true(fds[i] != -1);
        assert_int_equal(write(fds[i], "secret", 6), 6);
    }
    usleep(300000);

    snprintf(script, sizeof(script), "kill -KILL $(cat %s/pid)", s->dir);
    assert_int_equal(system(script), 0);
    for (i = 0, thief = -1; i < ROUNDS && thief == -1; i++) {
        thief = tcp_listen(port);
        usleep(thief == -1 ? 1000 : 0);
    }
    assert_true(thief != -1);

    (void) setsockopt(thief, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    c = accept(thief, NULL, NULL);
    assert_true(c != -1);
    (void) setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_int_equal(take(c, buf, 1), 0);
    close(c);
    close(thief);
    for (i = 0; i < 4; i++) {
        close(fds[i]);
    }
    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);
}


static void
test_own_socket(void **state)
{
    scratch_t *s = *state;
    char path[160];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct stat before, after;
    unsigned port = free_port();
    char script[4200], buf[8];
    pid_t pid;
    int fd, tcp = -1, i;

    /* The command's own, beside a port: it is left alone. */
    snprintf(path, sizeof(path), "%s/%u.sock", s->dir, port);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.80s/%u.sock", s->dir,
             port);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(lstat(path, &before), 0);

    script_of(script, sizeof(script), port, "hello");
    pid = relay(s->dir, port, script);
    for (i = 0; i < ROUNDS && tcp == -1; i++) {
        tcp = tcp_listen(port);
        if (tcp != -1) {
            close(tcp);
            tcp = -1;
            usleep(10000);
        } else {
            break;
        }
    }
    usleep(600000);
    assert_int_equal(lstat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);

    /* One that nobody listens on any more gives way. */
    close(fd);
    fd = reached(s->dir, port);
    assert_true(fd != -1);
    assert_int_equal(take(fd, buf, 5), 5);
    close(fd);
    assert_int_equal(ends(pid, SIGTERM), 128 + SIGTERM);
}


static void
test_listeners(void **state)
{
    amld_listener_socket_t list[8];
    struct sockaddr_storage addr;
    unsigned port = free_port();
    int fd;

    (void) state;
    assert_int_equal(amld_listeners(port, list, 8), 0);
    fd = tcp_listen(port);
    assert_true(fd != -1);
    assert_int_equal(amld_listeners(port, list, 8), 1);
    assert_int_equal(list[0].port, port);
    assert_true(amld_listener_takes_loopback(&list[0]));
    assert_int_equal(amld_listener_address(&list[0], &addr),
                     sizeof(struct sockaddr_in));
    assert_true(amld_listener_is_below(list[0].inode, getpid()));
    assert_false(amld_listener_is_below(list[0].inode + 1, getpid()));
    close(fd);

    /* By addresses alone. */
    memset(&list[0], 0, sizeof(list[0]));
    list[0].family = AF_INET6;
    assert_true(amld_listener_takes_loopback(&list[0]));
    list[0].v6only = 1;
    assert_false(amld_listener_takes_loopback(&list[0]));
    list[0].addr.v6 = in6addr_loopback;
    assert_false(amld_listener_takes_loopback(&list[0]));
    list[0].family = AF_INET;
    list[0].addr.v4.s_addr = htonl(0x0a000001);
    assert_false(amld_listener_takes_loopback(&list[0]));
    assert_int_equal(amld_listener_address(&list[0], &addr),
                     sizeof(struct sockaddr_in));
    assert_int_equal(((struct sockaddr_in *) &addr)->sin_addr.s_addr,
                     htonl(0x0a000001));
}


int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listeners),
        cmocka_unit_test_setup_teardown(test_carries, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_descendants, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_of_somebody_else, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_changes_hands, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_one_that_goes, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_changes_hands_on_the_way,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_own_socket, scratch_setup,
                                        scratch_teardown),
    };
    ssize_t n;

    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        return serve((unsigned) atoi(argv[2]), argv[3]);
    }

    if (argc == 3 && strcmp(argv[1], "full") == 0) {
        return full((unsigned) atoi(argv[2]));
    }
    if (argc == 3 && strcmp(argv[1], "deaf") == 0) {
        return deaf((unsigned) atoi(argv[2]));
    }

    n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    program[n > 0 ? n : 0] = '\0';
    signal(SIGPIPE, SIG_IGN);
    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
