#include "bench/answer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_EVENTS 64
#define ANSWER_ROOM 32768 /* bytes of a request; none has a body */

/* About what Jupyter's /api/status says. */
#define ANSWER_BODY                                                            \
    "{\"connections\": 1, \"kernels\": 1, "                                    \
    "\"last_activity\": \"2026-11-23T09:07:44.000000Z\", "                     \
    "\"started\": \"2026-11-23T09:00:00.000000Z\"}"

typedef struct {
    int fd;
    int listens;
    size_t have;
    char in[ANSWER_ROOM];
} answer_conn_t;

struct answer {
    int epoll;
    size_t ok_len;
    char ok[512];
};

static const char answer_allow[] =
    "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n";


static int
answer_add(answer_t *a, int fd, int listens)
{
    answer_conn_t *c;
    struct epoll_event ev;

    c = malloc(sizeof(*c));
    if (c == NULL) {
        return -1;
    }

    c->fd = fd;
    c->listens = listens;
    c->have = 0;
    ev.events = EPOLLIN;
    ev.data.ptr = c;

    return epoll_ctl(a->epoll, EPOLL_CTL_ADD, fd, &ev);
}


static int
answer_listen(answer_t *a, const struct sockaddr *addr, socklen_t len)
{
    int fd, one = 1;

    fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));

    return bind(fd, addr, len) != 0 || listen(fd, 512) != 0
               ? -1
               : answer_add(a, fd, 1);
}


answer_t *
answer_new(const char *path, int port)
{
    answer_t *a;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (strlen(path) >= sizeof(un.sun_path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    strcpy(un.sun_path, path);
    in.sin_port = htons((uint16_t) port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    a = malloc(sizeof(*a));
    if (a == NULL) {
        return NULL;
    }
    a->ok_len = (size_t) snprintf(
        a->ok, sizeof(a->ok),
        "HTTP/1.1 200 OK\r\nServer: bench\r\n"
        "Date: Mon, 23 Nov 2026 09:07:44 GMT\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n"
        "Connection: keep-alive\r\n\r\n" ANSWER_BODY,
        sizeof(ANSWER_BODY) - 1);

    /* peers that run as another user have to reach it */
    unlink(path);
    a->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (a->epoll < 0 ||
        answer_listen(a, (struct sockaddr *) &un, sizeof(un)) != 0 ||
        chmod(path, 0666) != 0 ||
        (port != 0 &&
         answer_listen(a, (struct sockaddr *) &in, sizeof(in)) != 0)) {
        free(a);
        return NULL;
    }

    return a;
}


static void
answer_accept(answer_t *a, int listener)
{
    int fd, one = 1;

    for (;;) {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (answer_add(a, fd, 0) != 0) {
            close(fd);
        }
    }
}


/* 0, or -1 when the connection is at its end. */
static int
answer_read(answer_t *a, answer_conn_t *c)
{
    char *end;
    ssize_t n;
    size_t len, used;
    const char *out;

    n = recv(c->fd, c->in + c->have, sizeof(c->in) - 1 - c->have, 0);
    if (n <= 0) {
        return n < 0 && errno == EAGAIN ? 0 : -1;
    }
    c->have += (size_t) n;
    c->in[c->have] = '\0';

    end = strstr(c->in, "\r\n\r\n");
    if (end == NULL) {
        return c->have == sizeof(c->in) - 1 ? -1 : 0;
    }

    out = a->ok;
    len = a->ok_len;
    if (strncmp(c->in, "GET /allow", 10) == 0) {
        out = answer_allow;
        len = sizeof(answer_allow) - 1;
    }
    n = send(c->fd, out, len, MSG_NOSIGNAL);

    /* proxies that speak 1.0 wait for the end */
    if (n != (ssize_t) len || strstr(c->in, " HTTP/1.0\r\n") != NULL ||
        strcasestr(c->in, "\r\nConnection: close\r\n") != NULL) {
        return -1;
    }

    used = (size_t) (end + 4 - c->in);
    c->have -= used;
    memmove(c->in, c->in + used, c->have);

    return 0;
}


void
answer_poll(answer_t *a)
{
    int i, n;
    answer_conn_t *c;
    struct epoll_event ev[ANSWER_EVENTS];

    n = epoll_wait(a->epoll, ev, ANSWER_EVENTS, 0);
    for (i = 0; i < n; i++) {
        c = ev[i].data.ptr;
        if (c->listens) {
            answer_accept(a, c->fd);
        } else if (answer_read(a, c) != 0) {
            close(c->fd);
            free(c);
        }
    }
}
