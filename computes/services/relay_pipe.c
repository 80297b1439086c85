/*
 * Connections: what comes from one side goes to the other, and no more is read
 * than there is room for.
 */

#include "computes/services/relay_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PIPE_BYTES 65536
#define PIPE_ROUNDS 8     /* of one connection, before others' turn */
#define PIPE_CONNECT 5000 /* ms */

static int pipe_connect(relay_t *r, relay_pipe_t *p);
static int pipe_same(const relay_set_t *a, const relay_set_t *b);
static int pipe_connected(relay_t *r, relay_pipe_t *p);
static int pipe_move(relay_pipe_t *p, int side);
static int pipe_interest(relay_t *r, relay_pipe_t *p);
static void pipe_kill(relay_t *r, relay_pipe_t *p);


void
relay_accept(relay_t *r, relay_port_t *port)
{
    int fd;
    relay_pipe_t *p;

    if (r->pipe_count >= r->pipe_most) {
        r->full = 1;
        (void) relay_watch(r, &port->end, 0);
        return;
    }

    fd = accept4(port->end.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            r->full = 1;
            (void) relay_watch(r, &port->end, 0);
        }
        return;
    }

    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        close(fd);
        return;
    }

    p->port = port;
    p->by = relay_now() + PIPE_CONNECT;
    p->ends[0] = (relay_end_t){.kind = RELAY_PIPE, .fd = fd, .of = p};
    p->ends[1] =
        (relay_end_t){.kind = RELAY_PIPE, .fd = -1, .of = p, .side = 1};

    p->next = r->pipes;
    p->at = &r->pipes;
    if (p->next != NULL) {
        p->next->at = &p->next;
    }
    r->pipes = p;
    r->pipe_count++;

    if (!relay_look(r, port, &p->before) || pipe_connect(r, p) != 0) {
        pipe_kill(r, p);
    }
}


void
relay_event(relay_t *r, relay_end_t *end, uint32_t events)
{
    int side;
    relay_pipe_t *p;

    p = end->of;
    side = end->side;

    if (p->dead) {
        return;
    }

    if (p->connecting) {
        if (side == 0 || pipe_connected(r, p) != 0) {
            pipe_kill(r, p);
        }
        return;
    }

    /* It hears nothing any more, or has failed. */
    if ((events & EPOLLERR) != 0 ||
        ((events & EPOLLHUP) != 0 && p->way[side].over &&
         !p->way[!side].told)) {
        pipe_kill(r, p);
        return;
    }

    p->way[side].gone |= (events & EPOLLHUP) != 0;

    if (pipe_move(p, 0) != 0 || pipe_move(p, 1) != 0 ||
        (p->way[0].told && p->way[1].told) || pipe_interest(r, p) != 0) {
        pipe_kill(r, p);
    }
}


void
relay_late(relay_t *r, int64_t now)
{
    relay_pipe_t *p, *next;

    for (p = r->pipes; p != NULL; p = next) {
        next = p->next;
        if (p->connecting && now >= p->by) {
            pipe_kill(r, p);
        }
    }
}


void
relay_bury(relay_t *r)
{
    relay_pipe_t *p;

    while ((p = r->dead) != NULL) {
        r->dead = p->next;
        free(p);
    }
}


void
relay_end_all(relay_t *r)
{
    while (r->pipes != NULL) {
        pipe_kill(r, r->pipes);
    }

    relay_bury(r);
}


/* From the address that it goes to: that there is one says that it is this
 * machine's own, whatever a listener has bound itself to. */
static int
pipe_connect(relay_t *r, relay_pipe_t *p)
{
    int fd, one = 1;
    socklen_t len;
    struct sockaddr_storage to, from;

    len = amld_listener_address(&p->before.to, &to);
    from = to;
    if (to.ss_family == AF_INET) {
        ((struct sockaddr_in *) &from)->sin_port = 0;
    } else {
        ((struct sockaddr_in6 *) &from)->sin6_port = 0;
    }

    fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }
    p->ends[1].fd = fd;
    p->connecting = 1;

    (void) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                      sizeof(one));
    (void) setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));

    if (bind(fd, (struct sockaddr *) &from, len) != 0 ||
        (connect(fd, (struct sockaddr *) &to, len) != 0 &&
         errno != EINPROGRESS)) {
        return -1;
    }

    return relay_watch(r, &p->ends[1], EPOLLOUT);
}


static int
pipe_same(const relay_set_t *a, const relay_set_t *b)
{
    size_t i, k;

    if (a->n != b->n) {
        return 0;
    }

    for (i = 0; i < a->n; i++) {
        for (k = 0; k < b->n && a->cookies[i] != b->cookies[k]; k++) {
            /* void */
        }
        if (k == b->n) {
            return 0;
        }
    }

    return 1;
}


/* Who listened before and does now has listened in between, and had the port
 * for itself. */
static int
pipe_connected(relay_t *r, relay_pipe_t *p)
{
    int fault;
    socklen_t len;
    relay_set_t after;

    fault = 0;
    len = sizeof(fault);
    if (getsockopt(p->ends[1].fd, SOL_SOCKET, SO_ERROR, &fault, &len) != 0 ||
        fault != 0) {
        return -1;
    }

    if (r->options->below &&
        (!relay_look(r, p->port, &after) || !pipe_same(&p->before, &after))) {
        return -1;
    }

    p->connecting = 0;

    return pipe_interest(r, p);
}


/* 0, or -1 when the connection has failed. */
static int
pipe_move(relay_pipe_t *p, int side)
{
    int i, to;
    ssize_t n;

    to = p->ends[!side].fd;

    for (i = 0; i < PIPE_ROUNDS; i++) {
        if (p->way[side].n == 0) {
            if (p->way[side].over) {
                break;
            }
            if (p->way[side].bytes == NULL) {
                p->way[side].bytes = malloc(PIPE_BYTES);
                if (p->way[side].bytes == NULL) {
                    return -1;
                }
            }

            n = read(p->ends[side].fd, p->way[side].bytes, PIPE_BYTES);
            if (n == -1) {
                if (errno == EINTR) {
                    continue;
                }
                if (errno != EAGAIN) {
                    return -1;
                }
                break;
            }
            p->way[side].over = n == 0;
            p->way[side].from = 0;
            p->way[side].n = (size_t) n;
            continue;
        }

        n = send(to, p->way[side].bytes + p->way[side].from, p->way[side].n,
                 MSG_NOSIGNAL);
        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }
            if (errno != EAGAIN) {
                return -1;
            }
            break;
        }
        p->way[side].from += (size_t) n;
        p->way[side].n -= (size_t) n;
    }

    if (p->way[side].n == 0) {
        /* An idle websocket costs no memory but the kernel's. */
        free(p->way[side].bytes);
        p->way[side].bytes = NULL;

        if (p->way[side].over && !p->way[side].told) {
            (void) shutdown(to, SHUT_WR);
            p->way[side].told = 1;
        }
    }

    return 0;
}


static int
pipe_interest(relay_t *r, relay_pipe_t *p)
{
    int side;
    uint32_t events;

    for (side = 0; side < 2; side++) {
        events = 0;
        if (!p->way[side].over && p->way[side].n == 0) {
            events |= EPOLLIN;
        }
        if (p->way[!side].n != 0) {
            events |= EPOLLOUT;
        }

        /* One that is done with both ways would be told of for ever; so would
         * one that has gone while the other does not take what it has sent. */
        if (events == 0 &&
            (p->way[side].gone || (p->way[side].over && p->way[!side].told))) {
            (void) epoll_ctl(r->epoll, EPOLL_CTL_DEL, p->ends[side].fd, NULL);
            p->ends[side].events = 0;
            continue;
        }
        if (relay_watch(r, &p->ends[side], events) != 0) {
            return -1;
        }
    }

    return 0;
}


static void
pipe_kill(relay_t *r, relay_pipe_t *p)
{
    int side;

    *p->at = p->next;
    if (p->next != NULL) {
        p->next->at = p->at;
    }

    for (side = 0; side < 2; side++) {
        if (p->ends[side].fd != -1) {
            close(p->ends[side].fd);
            p->ends[side].fd = -1;
        }
        free(p->way[side].bytes);
        p->way[side].bytes = NULL;
    }

    p->dead = 1;
    p->next = r->dead;
    r->dead = p;
    r->pipe_count--;
}
