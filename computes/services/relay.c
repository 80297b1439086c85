#include "computes/services/relay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "computes/services/relay_internal.h"

#define RELAY_ROUND 200     /* ms between looks */
#define RELAY_EVENTS 64     /* of a turn */
#define RELAY_BACKLOG 128   /* of a socket */
#define RELAY_PIPES 4096    /* connections at a time */
#define RELAY_FILES_OWN 320 /* descriptors for what is no connection */
#define RELAY_LISTENED 16   /* of one port, that is looked at */

static int relay_arguments(int argc, char **argv, amld_relay_options_t *o,
                           unsigned *ports, char ***command);
static int relay_free(const amld_relay_options_t *o);
static pid_t relay_spawn(char **command);
static int relay_begin(relay_t *r, const amld_relay_options_t *o);
static void relay_round(relay_t *r);
static void relay_round_all(relay_t *r);
static relay_port_t *relay_port(relay_t *r, unsigned port);
static void relay_settle(relay_t *r, relay_port_t *port);
static int
relay_set(relay_t *r, relay_port_t *port, const amld_listener_socket_t *list,
          size_t n, relay_set_t *set);
static int relay_trusts(relay_t *r, const relay_port_t *port,
                        const amld_listener_socket_t *l);
static int relay_open(relay_t *r, relay_port_t *port);
static int relay_path(const relay_t *r, const relay_port_t *port,
                      struct sockaddr_un *addr);
static void relay_close(relay_t *r, relay_port_t *port);
static int relay_is_there(const relay_t *r, const relay_port_t *port);
static void relay_resume(relay_t *r);
static int relay_signal(relay_t *r, int *status);


int
amld_relay_main(int argc, char **argv)
{
    int status;
    char **command;
    sigset_t set;
    unsigned ports[AMLD_RELAY_PORTS];
    amld_relay_options_t o;

    if (relay_arguments(argc, argv, &o, ports, &command) != 0) {
        fprintf(stderr, "usage: amld relay --dir DIRECTORY [--port PORT]... "
                        "-- command...\n");
        return 2;
    }

    if (!relay_free(&o)) {
        return AMLD_RELAY_TAKEN;
    }

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    o.child = relay_spawn(command);
    if (o.child == -1) {
        fprintf(stderr, "amld relay: cannot start %s: %s\n", command[0],
                strerror(errno));
        return 126;
    }

    status = amld_relay_run(&o);

    return status;
}


int
amld_relay_run(const amld_relay_options_t *options)
{
    int i, n, over, status;
    int64_t next, now;
    relay_t *r;
    relay_end_t *end;
    struct epoll_event events[RELAY_EVENTS];

    r = calloc(1, sizeof(*r));
    if (r == NULL || relay_begin(r, options) != 0) {
        fprintf(stderr, "amld relay: %s\n", strerror(errno));
        if (options->child != 0) {
            kill(-options->child, SIGKILL);
        }
        free(r);
        return 1;
    }

    status = 0;
    next = 0;

    for (over = 0; !over;) {
        now = relay_now();
        if (now >= next) {
            relay_late(r, now);
            relay_round(r);
            relay_resume(r);
            next = now + RELAY_ROUND;
        }

        n = epoll_wait(r->epoll, events, RELAY_EVENTS, (int) (next - now));

        for (i = 0; i < n; i++) {
            end = events[i].data.ptr;
            switch (end->kind) {
            case RELAY_SIGNALS:
                over |= relay_signal(r, &status);
                break;
            case RELAY_ENDS:
                over = 1;
                break;
            case RELAY_LISTENS:
                if (end->fd != -1) {
                    relay_accept(r, end->of);
                }
                break;
            case RELAY_PIPE:
                relay_event(r, end, events[i].events);
                break;
            }
        }

        relay_bury(r);
    }

    for (i = 0; i < AMLD_RELAY_PORTS; i++) {
        relay_close(r, &r->ports[i]);
    }
    relay_end_all(r);
    free(r->list);
    free(r);

    return status;
}


int64_t
relay_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


int
relay_watch(relay_t *r, relay_end_t *end, uint32_t events)
{
    struct epoll_event e;

    e.events = events;
    e.data.ptr = end;
    end->events = events;

    if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, end->fd, &e) == 0) {
        return 0;
    }

    return errno == ENOENT ? epoll_ctl(r->epoll, EPOLL_CTL_ADD, end->fd, &e)
                           : -1;
}


int
relay_look(relay_t *r, relay_port_t *port, relay_set_t *set)
{
    int n;
    amld_listener_socket_t list[RELAY_LISTENED];

    set->n = 0;
    n = amld_listeners(port->port, list, RELAY_LISTENED);

    return n > 0 && relay_set(r, port, list, (size_t) n, set);
}


static int
relay_arguments(int argc, char **argv, amld_relay_options_t *o, unsigned *ports,
                char ***command)
{
    int i;
    char *end;
    unsigned long port;

    memset(o, 0, sizeof(*o));
    o->ports = ports;
    o->below = 1;
    o->ends = -1;
    *command = NULL;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            *command = &argv[i + 1];
            break;
        }
        if (i + 1 >= argc) {
            return -1;
        }

        if (strcmp(argv[i], "--dir") == 0) {
            o->directory = argv[++i];

        } else if (strcmp(argv[i], "--port") == 0) {
            port = strtoul(argv[++i], &end, 10);
            if (*end != '\0' || port == 0 || port > 65535 ||
                o->port_count == AMLD_RELAY_PORTS) {
                return -1;
            }
            ports[o->port_count++] = (unsigned) port;

        } else {
            return -1;
        }
    }

    return o->directory != NULL && o->port_count != 0 && *command != NULL &&
                   (*command)[0] != NULL
               ? 0
               : -1;
}


/* Whoever has a port already is not ours: nothing of ours runs yet. */
static int
relay_free(const amld_relay_options_t *o)
{
    int k, n;
    size_t i;
    amld_listener_socket_t list[RELAY_LISTENED];

    for (i = 0; i < o->port_count; i++) {
        n = amld_listeners(o->ports[i], list, RELAY_LISTENED);
        for (k = 0; k < n; k++) {
            if (amld_listener_takes_loopback(&list[k])) {
                fprintf(stderr,
                        "amld relay: port %u of this machine is in use by "
                        "something else, such as a service of another compute "
                        "instance\n",
                        o->ports[i]);
                return 0;
            }
        }
    }

    return 1;
}


/* In a process group of its own, so that all of it hears SIGTERM. */
static pid_t
relay_spawn(char **command)
{
    int null;
    pid_t pid, relay;
    sigset_t set;

    relay = getpid();
    pid = fork();

    if (pid == 0) {
        setpgid(0, 0);
        sigemptyset(&set);
        sigprocmask(SIG_SETMASK, &set, NULL);
        signal(SIGPIPE, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != relay) {
            _exit(126);
        }
        execvp(command[0], command);
        fprintf(stderr, "amld relay: cannot run %s: %s\n", command[0],
                strerror(errno));
        _exit(127);
    }

    if (pid != -1) {
        (void) setpgid(pid, pid);
    }

    /* It is the command's to read. */
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null != -1) {
        (void) dup2(null, 0);
        close(null);
    }

    return pid;
}


static int
relay_begin(relay_t *r, const amld_relay_options_t *o)
{
    size_t i;
    sigset_t set;
    struct rlimit limit;

    r->options = o;
    r->signals = (relay_end_t){.kind = RELAY_SIGNALS, .fd = -1};
    r->ends = (relay_end_t){.kind = RELAY_ENDS, .fd = o->ends};
    for (i = 0; i < AMLD_RELAY_PORTS; i++) {
        r->ports[i].end =
            (relay_end_t){.kind = RELAY_LISTENS, .fd = -1, .of = &r->ports[i]};
        r->ports[i].port = i < o->port_count ? o->ports[i] : 0;
    }

    r->pipe_most = RELAY_PIPES;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < RELAY_FILES_OWN + 2 * RELAY_PIPES) {
            r->pipe_most = limit.rlim_cur > RELAY_FILES_OWN + 2
                               ? (limit.rlim_cur - RELAY_FILES_OWN) / 2
                               : 1;
        }
    }

    /* What it makes is for its own account and the directory's group. */
    umask(0117);

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);

    r->list = calloc(AMLD_LISTENERS_MAX, sizeof(*r->list));
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    return r->list == NULL || r->epoll == -1 || r->signals.fd == -1 ||
                   relay_watch(r, &r->signals, EPOLLIN) != 0 ||
                   (o->ends != -1 && relay_watch(r, &r->ends, EPOLLIN) != 0)
               ? -1
               : 0;
}


static void
relay_round(relay_t *r)
{
    size_t i;
    relay_set_t set;

    if (r->options->port_count == 0) {
        relay_round_all(r);
        return;
    }

    for (i = 0; i < r->options->port_count; i++) {
        (void) relay_look(r, &r->ports[i], &set);
        r->ports[i].trusted = set;
        relay_settle(r, &r->ports[i]);
    }
}


static void
relay_round_all(relay_t *r)
{
    int i, k, m, n;
    relay_port_t *port;
    amld_listener_socket_t same[RELAY_LISTENED];

    n = amld_listeners(0, r->list, AMLD_LISTENERS_MAX);
    if (n == -1) {
        return;
    }

    for (i = 0; i < AMLD_RELAY_PORTS; i++) {
        r->ports[i].seen = 0;
    }

    for (i = 0; i < n; i++) {
        port = relay_port(r, r->list[i].port);
        if (port == NULL || port->seen) {
            continue;
        }
        port->seen = 1;

        for (k = i, m = 0; k < n && m < RELAY_LISTENED; k++) {
            if (r->list[k].port == port->port) {
                same[m++] = r->list[k];
            }
        }
        (void) relay_set(r, port, same, (size_t) m, &port->trusted);
    }

    for (i = 0; i < AMLD_RELAY_PORTS; i++) {
        port = &r->ports[i];
        if (port->port != 0) {
            if (!port->seen) {
                port->trusted.n = 0;
            }
            relay_settle(r, port);
        }
    }
}


/* Its place, or a free one; NULL when there are too many. */
static relay_port_t *
relay_port(relay_t *r, unsigned number)
{
    int i;
    relay_port_t *free_one;

    for (i = 0, free_one = NULL; i < AMLD_RELAY_PORTS; i++) {
        if (r->ports[i].port == number) {
            return &r->ports[i];
        }
        if (free_one == NULL && r->ports[i].port == 0) {
            free_one = &r->ports[i];
        }
    }

    if (free_one != NULL) {
        free_one->port = number;
        free_one->said = 0;
    }

    return free_one;
}


/* Its socket is there when somebody is trusted, and only then. */
static void
relay_settle(relay_t *r, relay_port_t *port)
{
    if (port->end.fd != -1 && !relay_is_there(r, port)) {
        relay_close(r, port);
    }

    if (port->trusted.n != 0 && port->end.fd == -1) {
        if (relay_open(r, port) != 0 && errno != EEXIST) {
            fprintf(stderr, "amld relay: %s/%u.sock: %s\n",
                    r->options->directory, port->port, strerror(errno));
        }

    } else if (port->trusted.n == 0) {
        relay_close(r, port);
        if (r->options->port_count == 0) {
            port->port = 0;
        }
    }
}


/*
 * Those that a connection to one address could come to, and that address: the
 * loopback of IPv4, where nobody takes that the one of IPv6, and where all are
 * trusted any other.  1 when each of them is trusted.
 */
static int
relay_set(relay_t *r, relay_port_t *port, const amld_listener_socket_t *list,
          size_t n, relay_set_t *set)
{
    int takes, v6, way;
    size_t i;
    const amld_listener_socket_t *l;

    set->n = 0;

    for (way = 0; way < (r->options->below ? 2 : 3) && set->n == 0; way++) {
        for (i = 0; i < n; i++) {
            l = &list[i];
            v6 = l->family == AF_INET6 &&
                 (IN6_IS_ADDR_UNSPECIFIED(&l->addr.v6) ||
                  IN6_IS_ADDR_LOOPBACK(&l->addr.v6));
            takes = way == 0   ? amld_listener_takes_loopback(l)
                    : way == 1 ? v6
                               : set->n == 0;
            if (!takes) {
                continue;
            }
            if (set->n == RELAY_COOKIES || !relay_trusts(r, port, l)) {
                set->n = 0;
                if (!port->said) {
                    port->said = 1;
                    fprintf(stderr,
                            "amld relay: port %u: what listens there is not "
                            "of this service; nobody is led to it\n",
                            port->port);
                }
                return 0;
            }
            set->to = *l;
            set->cookies[set->n++] = l->cookie;
        }
    }

    return set->n != 0;
}


static int
relay_trusts(relay_t *r, const relay_port_t *port,
             const amld_listener_socket_t *l)
{
    size_t i;

    if (!r->options->below) {
        return 1;
    }

    for (i = 0; i < port->trusted.n; i++) {
        if (port->trusted.cookies[i] == l->cookie) {
            return 1;
        }
    }

    return amld_listener_is_below(l->inode, getpid());
}


static int
relay_path(const relay_t *r, const relay_port_t *port, struct sockaddr_un *addr)
{
    addr->sun_family = AF_UNIX;

    return (size_t) snprintf(addr->sun_path, sizeof(addr->sun_path),
                             "%s/%u.sock", r->options->directory,
                             port->port) < sizeof(addr->sun_path)
               ? 0
               : -1;
}


static int
relay_open(relay_t *r, relay_port_t *port)
{
    int fd, fault;
    struct stat st;
    struct sockaddr_un addr;

    if (relay_path(r, port, &addr) != 0) {
        errno = ENAMETOOLONG;
        return -1;
    }

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    if (lstat(addr.sun_path, &st) == 0) {
        if (S_ISSOCK(st.st_mode) &&
            (connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == 0 ||
             errno == EAGAIN)) {
            close(fd);
            errno = EEXIST;
            return -1;
        }
        (void) unlink(addr.sun_path);
        close(fd);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd == -1) {
            return -1;
        }
    }

    if (bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 ||
        lstat(addr.sun_path, &st) != 0 || listen(fd, RELAY_BACKLOG) != 0) {
        fault = errno;
        close(fd);
        errno = fault;
        return -1;
    }

    port->device = st.st_dev;
    port->inode = st.st_ino;
    port->end.fd = fd;
    if (relay_watch(r, &port->end, EPOLLIN) != 0) {
        relay_close(r, port);
        return -1;
    }

    return 0;
}


static void
relay_close(relay_t *r, relay_port_t *port)
{
    struct sockaddr_un addr;

    if (port->end.fd == -1) {
        return;
    }

    close(port->end.fd);
    port->end.fd = -1;

    if (relay_is_there(r, port) && relay_path(r, port, &addr) == 0) {
        (void) unlink(addr.sun_path);
    }
}


/* Its socket, and not one that somebody has put there since. */
static int
relay_is_there(const relay_t *r, const relay_port_t *port)
{
    struct stat st;
    struct sockaddr_un addr;

    return relay_path(r, port, &addr) == 0 && lstat(addr.sun_path, &st) == 0 &&
           st.st_dev == port->device && st.st_ino == port->inode;
}


static void
relay_resume(relay_t *r)
{
    size_t i;

    if (!r->full || r->pipe_count >= r->pipe_most) {
        return;
    }

    r->full = 0;
    for (i = 0; i < AMLD_RELAY_PORTS; i++) {
        if (r->ports[i].end.fd != -1) {
            (void) relay_watch(r, &r->ports[i].end, EPOLLIN);
        }
    }
}


/* 1 when it is time to end. */
static int
relay_signal(relay_t *r, int *status)
{
    int ended, over;
    pid_t child, pid;
    struct signalfd_siginfo info;

    over = 0;
    child = r->options->child;

    while (read(r->signals.fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT) {
            continue;
        }
        if (child == 0) {
            over = 1;
        } else {
            (void) kill(-child, SIGTERM);
        }
    }

    while ((pid = waitpid(-1, &ended, WNOHANG)) > 0) {
        if (pid == child) {
            *status =
                WIFSIGNALED(ended) ? 128 + WTERMSIG(ended) : WEXITSTATUS(ended);
            over = 1;
        }
    }

    return over;
}
