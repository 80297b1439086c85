#include "computes/services/listeners.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "computes/engines/procfs.h"

#define LISTENERS_BUFFER 32768
#define LISTENERS_WAIT 2 /* seconds; the kernel answers at once */

static int listeners_open(void);
static int listeners_ask(int fd, int family, unsigned port);
static int
listeners_hear(int fd, amld_listener_socket_t *list, size_t most, size_t *n);
static void listeners_one(const struct nlmsghdr *h, amld_listener_socket_t *l);
static int listeners_has(pid_t pid, const char *wanted);


int
amld_listeners(unsigned port, amld_listener_socket_t *list, size_t most)
{
    int fd, fault, rc;
    size_t i, n;

    static const int families[] = {AF_INET, AF_INET6};

    fd = listeners_open();
    if (fd == -1) {
        return -1;
    }

    n = 0;
    rc = 0;
    for (i = 0; i < 2 && rc == 0; i++) {
        rc = listeners_ask(fd, families[i], port);
        if (rc == 0) {
            rc = listeners_hear(fd, list, most, &n);
        }
        /* A machine without IPv6. */
        if (rc != 0 && i == 1 && (errno == ENOENT || errno == EAFNOSUPPORT)) {
            rc = 0;
        }
    }

    fault = errno;
    close(fd);
    errno = fault;

    return rc == 0 ? (int) n : -1;
}


int
amld_listener_takes_loopback(const amld_listener_socket_t *l)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    const uint8_t *b;

    if (l->family == AF_INET) {
        return l->addr.v4.s_addr == htonl(INADDR_ANY) ||
               l->addr.v4.s_addr == htonl(INADDR_LOOPBACK);
    }

    if (memcmp(&l->addr.v6, &any, sizeof(any)) == 0) {
        return !l->v6only;
    }

    b = l->addr.v6.s6_addr;

    return IN6_IS_ADDR_V4MAPPED(&l->addr.v6) && b[12] == 127 && b[13] == 0 &&
           b[14] == 0 && b[15] == 1;
}


socklen_t
amld_listener_address(const amld_listener_socket_t *l,
                      struct sockaddr_storage *addr)
{
    struct sockaddr_in *in;
    struct sockaddr_in6 *in6;

    memset(addr, 0, sizeof(*addr));

    if (l->family == AF_INET || amld_listener_takes_loopback(l)) {
        in = (struct sockaddr_in *) addr;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t) l->port);
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (l->family == AF_INET && l->addr.v4.s_addr != htonl(INADDR_ANY)) {
            in->sin_addr = l->addr.v4;
        }
        return sizeof(*in);
    }

    in6 = (struct sockaddr_in6 *) addr;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t) l->port);
    in6->sin6_addr =
        IN6_IS_ADDR_UNSPECIFIED(&l->addr.v6) ? in6addr_loopback : l->addr.v6;

    return sizeof(*in6);
}


int
amld_listener_is_below(uint32_t inode, pid_t root)
{
    char wanted[32];
    int found;
    size_t i, count;
    pid_t *pids;

    snprintf(wanted, sizeof(wanted), "socket:[%u]", inode);

    if (listeners_has(root, wanted)) {
        return 1;
    }

    if (amld_proc_below(root, &pids, &count) != 0) {
        return 0;
    }

    found = 0;
    for (i = 0; i < count && !found; i++) {
        found = listeners_has(pids[i], wanted);
    }

    free(pids);

    return found;
}


static int
listeners_open(void)
{
    int fd;
    struct timeval wait = {.tv_sec = LISTENERS_WAIT};

    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd != -1) {
        (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    }

    return fd;
}


static int
listeners_ask(int fd, int family, unsigned port)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct {
        struct nlmsghdr h;
        struct inet_diag_req_v2 r;
    } ask;

    memset(&ask, 0, sizeof(ask));
    ask.h.nlmsg_len = sizeof(ask);
    ask.h.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    ask.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    ask.r.sdiag_family = (uint8_t) family;
    ask.r.sdiag_protocol = IPPROTO_TCP;
    ask.r.idiag_states = 1u << TCP_LISTEN;
    ask.r.id.idiag_sport = htons((uint16_t) port);

    return sendto(fd, &ask, sizeof(ask), 0, (struct sockaddr *) &kernel,
                  sizeof(kernel)) == (ssize_t) sizeof(ask)
               ? 0
               : -1;
}


static int
listeners_hear(int fd, amld_listener_socket_t *list, size_t most, size_t *n)
{
    ssize_t got;
    unsigned left;
    const struct nlmsgerr *fault;
    const struct nlmsghdr *h;
    _Alignas(struct nlmsghdr) char buf[LISTENERS_BUFFER];

    for (;;) {
        got = recv(fd, buf, sizeof(buf), 0);
        if (got == -1 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return -1;
        }

        left = (unsigned) got;
        for (h = (const struct nlmsghdr *) buf; NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE) {
                return 0;
            }
            if (h->nlmsg_type == NLMSG_ERROR) {
                fault = NLMSG_DATA(h);
                errno = -fault->error;
                return -1;
            }
            if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && *n < most &&
                h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
                listeners_one(h, &list[(*n)++]);
            }
        }
    }
}


static void
listeners_one(const struct nlmsghdr *h, amld_listener_socket_t *l)
{
    unsigned left;
    const struct inet_diag_msg *m;
    const struct rtattr *a;

    m = NLMSG_DATA(h);

    memset(l, 0, sizeof(*l));
    l->port = ntohs(m->id.idiag_sport);
    l->family = m->idiag_family;
    memcpy(&l->addr, m->id.idiag_src,
           m->idiag_family == AF_INET ? sizeof(l->addr.v4)
                                      : sizeof(l->addr.v6));
    l->inode = m->idiag_inode;
    l->cookie = (uint64_t) m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];

    left = h->nlmsg_len - (unsigned) NLMSG_LENGTH(sizeof(*m));
    for (a = (const struct rtattr *) (m + 1); RTA_OK(a, left);
         a = RTA_NEXT(a, left)) {
        if (a->rta_type == INET_DIAG_SKV6ONLY && RTA_PAYLOAD(a) >= 1) {
            l->v6only = *(const uint8_t *) RTA_DATA(a) != 0;
        }
    }
}


static int
listeners_has(pid_t pid, const char *wanted)
{
    char path[64], link[64];
    DIR *dir;
    int found;
    ssize_t n;
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long) pid);
    dir = opendir(path);
    if (dir == NULL) {
        return 0;
    }

    found = 0;
    while (!found && (entry = readdir(dir)) != NULL) {
        n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        if (n > 0) {
            link[n] = '\0';
            found = strcmp(link, wanted) == 0;
        }
    }

    closedir(dir);

    return found;
}
