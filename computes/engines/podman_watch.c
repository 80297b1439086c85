#include "computes/engines/podman_watch.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "computes/amld.h"

#define WATCH_LOOK 60000 /* ms */
#define WATCH_SOON 1000  /* ms, after a change or while something starts */
#define WATCH_READS 64   /* in a row */

struct amld_podman_watch {
    amld_podman_spec_t spec;
    pthread_t thread;
    int links, rules, end; /* descriptors, or -1 */
};

static void *watch_run(void *data);
static void watch_ports(amld_podman_watch_t *w);
static int watch_rules(amld_podman_watch_t *w, int anew);
static int watch_open(int protocol, unsigned group, const char *what);
static int watch_told(int fd, short events);
static void watch_free(amld_podman_watch_t *w);
static int64_t watch_now(void);


amld_podman_watch_t *
amld_podman_watch_start(const amld_config_t *c)
{
    int rc;
    amld_podman_watch_t *w;

    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        amld_log(AMLD_LOG_ERROR, "networks: no memory");
        return NULL;
    }
    w->links = w->rules = w->end = -1;

    if (amld_podman_spec_of(c, &w->spec) != 0) {
        amld_log(AMLD_LOG_ERROR, "networks: no memory");
        watch_free(w);
        return NULL;
    }

    w->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->end == -1) {
        amld_log(AMLD_LOG_ERROR, "networks: %s", strerror(errno));
        watch_free(w);
        return NULL;
    }

    w->links = watch_open(NETLINK_ROUTE, RTNLGRP_LINK, "interfaces");
    w->rules = watch_open(NETLINK_NETFILTER, NFNLGRP_NFTABLES, "rules");

    rc = pthread_create(&w->thread, NULL, watch_run, w);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "networks: %s", strerror(rc));
        watch_free(w);
        return NULL;
    }

    return w;
}


void
amld_podman_watch_stop(amld_podman_watch_t *w)
{
    const uint64_t one = 1;

    if (w == NULL) {
        return;
    }

    if (write(w->end, &one, sizeof(one)) != sizeof(one)) {
        amld_log(AMLD_LOG_ERROR, "networks: %s", strerror(errno));
    }
    pthread_join(w->thread, NULL);
    watch_free(w);
}


/* The first look makes the rules anew: they are of this configuration then. */
static void *
watch_run(void *data)
{
    amld_podman_watch_t *w;
    int64_t now, next;
    int anew, ready;
    struct pollfd fds[3];

    w = data;
    anew = 1;
    next = 0;

    for (;;) {
        now = watch_now();
        if (now >= next) {
            watch_ports(w);
            if (watch_rules(w, anew) == 0) {
                anew = 0;
                next = now + WATCH_LOOK;
            } else {
                next = now + WATCH_SOON;
            }
        }

        fds[0] = (struct pollfd){.fd = w->end, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = w->links, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = w->rules, .events = POLLIN};

        now = watch_now();
        ready = poll(fds, 3, next > now ? (int) (next - now) : 0);
        if (ready <= 0) {
            continue;
        }
        if (fds[0].revents != 0) {
            return NULL;
        }

        if (watch_told(w->links, fds[1].revents)) {
            watch_ports(w);
        }
        if (watch_told(w->rules, fds[2].revents) &&
            next > watch_now() + WATCH_SOON) {
            next = watch_now() + WATCH_SOON;
        }
    }
}


/* At once: what is behind a port may reach its neighbours until then. */
static void
watch_ports(amld_podman_watch_t *w)
{
    char err[512];
    size_t closed;

    if (!amld_podman_network_exists(&w->spec)) {
        return;
    }

    if (amld_podman_network_apart(&w->spec, &closed, err, sizeof(err)) != 0) {
        /* it was there a moment ago: removed with the last in there */
        if (amld_podman_network_exists(&w->spec)) {
            amld_log(AMLD_LOG_WARN, "%s", err);
        }
        return;
    }

    /* A start does it itself, and just as soon. */
    if (closed > 0 && !amld_podman_network_busy(&w->spec)) {
        amld_log(AMLD_LOG_WARN,
                 "instances of the default network were not kept apart at %zu "
                 "of its ports, as after `podman network reload`; now they are",
                 closed);
    }
}


/* 0, or 1 to look again soon. */
static int
watch_rules(amld_podman_watch_t *w, int anew)
{
    char err[512];
    int mended, rc;

    rc = amld_podman_network_tend(&w->spec, anew, &mended, err, sizeof(err));
    if (rc == -1) {
        amld_log(AMLD_LOG_WARN, "the rules of instances' networks: %s", err);
    } else if (mended) {
        amld_log(AMLD_LOG_WARN,
                 "rules of instances' networks were gone from table inet "
                 "aml_%s, and are made again",
                 w->spec.key);
    }

    return rc == 1;
}


static int
watch_open(int protocol, unsigned group, const char *what)
{
    int fd;
    struct sockaddr_nl all = {.nl_family = AF_NETLINK,
                              .nl_groups = 1U << (group - 1)};

    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd == -1 || bind(fd, (struct sockaddr *) &all, sizeof(all)) != 0) {
        amld_log(AMLD_LOG_WARN,
                 "the kernel does not tell of changed %s (%s): they are looked "
                 "at each minute",
                 what, strerror(errno));
        if (fd != -1) {
            close(fd);
        }
        return -1;
    }

    return fd;
}


/* That something has changed is what counts; also where so much has that the
 * kernel has left out some. */
static int
watch_told(int fd, short events)
{
    char text[8192];
    int i;
    ssize_t n;

    if (fd == -1 || events == 0) {
        return 0;
    }

    for (i = 0; i < WATCH_READS; i++) {
        n = recv(fd, text, sizeof(text), MSG_TRUNC);
        if (n == -1 && errno != EINTR && errno != ENOBUFS) {
            break;
        }
    }

    return 1;
}


static void
watch_free(amld_podman_watch_t *w)
{
    if (w->links != -1) {
        close(w->links);
    }
    if (w->rules != -1) {
        close(w->rules);
    }
    if (w->end != -1) {
        close(w->end);
    }
    amld_podman_spec_free(&w->spec);
    free(w);
}


static int64_t
watch_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
