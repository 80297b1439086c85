#include "computes/instances/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct amld_probes {
    CURLM *multi;
    amld_probe_t *first; /* of those by banner */
};

struct amld_probe {
    amld_probes_t *probes;
    CURL *easy; /* NULL: by banner */
    void (*done)(void *data, int ok);
    void *data;

    amld_probe_t *next;
    const char *banner;
    int fd; /* -1: can't be connected to */
    size_t seen;
    int64_t by;
};

static amld_probe_t *probe_banner(amld_probe_t *probe, const char *socket);
static int probe_connect(const char *path);
static int probe_read(amld_probe_t *probe, int64_t now);
static int64_t probe_now(void);
static void probes_banners(amld_probes_t *probes);
static unsigned probes_done(amld_probes_t *probes);
static size_t probe_drop(char *data, size_t size, size_t n, void *probe);


amld_probes_t *
amld_probes_new(void)
{
    amld_probes_t *probes;

    probes = calloc(1, sizeof(*probes));
    if (probes == NULL) {
        return NULL;
    }

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (probes->multi = curl_multi_init()) == NULL) {
        free(probes);
        return NULL;
    }

    return probes;
}


void
amld_probes_free(amld_probes_t *probes)
{
    if (probes != NULL) {
        curl_multi_cleanup(probes->multi);
        free(probes);
    }
}


amld_probe_t *
amld_probe_new(amld_probes_t *probes, const char *socket, const char *path,
               const char *banner, void (*done)(void *data, int ok), void *data)
{
    int failed;
    char url[512];
    amld_probe_t *probe;

    probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return NULL;
    }

    probe->probes = probes;
    probe->done = done;
    probe->data = data;
    probe->fd = -1;
    probe->banner = banner;

    if (path == NULL) {
        return probe_banner(probe, socket);
    }

    probe->easy = curl_easy_init();

    if (probe->easy == NULL ||
        (size_t) snprintf(url, sizeof(url), "http://localhost%s", path) >=
            sizeof(url)) {
        curl_easy_cleanup(probe->easy);
        free(probe);
        return NULL;
    }

    failed = 0;
#define PROBE_SET(option, value)                                               \
    failed |= curl_easy_setopt(probe->easy, (option), (value)) != CURLE_OK

    PROBE_SET(CURLOPT_URL, url);
    PROBE_SET(CURLOPT_UNIX_SOCKET_PATH, socket);
    PROBE_SET(CURLOPT_PROXY, ""); /* also none from the environment */
    PROBE_SET(CURLOPT_NOSIGNAL, 1L);
    PROBE_SET(CURLOPT_TIMEOUT_MS, (long) AMLD_PROBE_TIMEOUT);
    PROBE_SET(CURLOPT_FORBID_REUSE, 1L);
    PROBE_SET(CURLOPT_USERAGENT, "amld");
    PROBE_SET(CURLOPT_WRITEFUNCTION, probe_drop);
    PROBE_SET(CURLOPT_PRIVATE, (char *) probe);
#undef PROBE_SET

    if (failed || curl_multi_add_handle(probes->multi, probe->easy)) {
        curl_easy_cleanup(probe->easy);
        free(probe);
        return NULL;
    }

    return probe;
}


void
amld_probe_free(amld_probe_t *probe)
{
    amld_probe_t **p;

    if (probe == NULL) {
        return;
    }

    if (probe->easy != NULL) {
        curl_multi_remove_handle(probe->probes->multi, probe->easy);
        curl_easy_cleanup(probe->easy);
        free(probe);
        return;
    }

    for (p = &probe->probes->first; *p != NULL; p = &(*p)->next) {
        if (*p == probe) {
            *p = probe->next;
            break;
        }
    }

    if (probe->fd != -1) {
        close(probe->fd);
    }
    free(probe);
}


void
amld_probes_wait(amld_probes_t *probes, struct curl_waitfd *fds, unsigned count,
                 int timeout)
{
    int running, left;
    unsigned n;
    int64_t now;
    amld_probe_t *probe;
    struct curl_waitfd *all;

    for (n = count, probe = probes->first; probe != NULL; probe = probe->next) {
        n++;
    }

    all = fds;
    if (n > count) {
        all = calloc(n, sizeof(*all));
        if (all == NULL) {
            all = fds;
            timeout = timeout < 0 || timeout > 10 ? 10 : timeout;
        }
    }

    if (all != fds) {
        if (count > 0) {
            memcpy(all, fds, count * sizeof(*all));
        }
        now = probe_now();
        for (n = count, probe = probes->first; probe != NULL;
             probe = probe->next, n++) {
            all[n].fd = probe->fd;
            all[n].events = CURL_WAIT_POLLIN;
            left = probe->by > now ? (int) (probe->by - now) : 0;
            timeout = timeout < 0 || timeout > left ? left : timeout;
        }
    } else {
        n = count;
    }

    /* A connection that is refused ends a request without any wait; nothing
     * would wake the poll for it. */
    curl_multi_perform(probes->multi, &running);
    if (probes_done(probes) != 0) {
        timeout = 0;
    }

    curl_multi_poll(probes->multi, all, n, timeout, NULL);
    curl_multi_perform(probes->multi, &running);
    (void) probes_done(probes);

    if (all != fds) {
        if (count > 0) {
            memcpy(fds, all, count * sizeof(*all));
        }
        free(all);
    }

    probes_banners(probes);
}


/* The connection that the banner is read of; one that can't be made is seen
 * in amld_probes_wait(). */
static amld_probe_t *
probe_banner(amld_probe_t *probe, const char *socket)
{
    probe->fd = probe_connect(socket);
    probe->by = probe->fd != -1 ? probe_now() + AMLD_PROBE_TIMEOUT : 0;
    probe->next = probe->probes->first;
    probe->probes->first = probe;

    return probe;
}


static int
probe_connect(const char *path)
{
    int fd;
    struct sockaddr_un to;

    memset(&to, 0, sizeof(to));
    to.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(to.sun_path)) {
        return -1;
    }
    memcpy(to.sun_path, path, strlen(path));

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    if (connect(fd, (struct sockaddr *) &to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }

    return fd;
}


/* 1 it is up, 0 it is not, -1 that is not known yet. */
static int
probe_read(amld_probe_t *probe, int64_t now)
{
    char text[AMLD_PROBE_BANNER];
    size_t want;
    ssize_t n;

    if (probe->fd == -1) {
        return 0;
    }

    want = strlen(probe->banner) - probe->seen;
    if (want > sizeof(text)) {
        return 0;
    }

    n = recv(probe->fd, text, want, MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return now >= probe->by ? 0 : -1;
    }
    if (n <= 0 || memcmp(text, probe->banner + probe->seen, (size_t) n) != 0) {
        return 0;
    }

    probe->seen += (size_t) n;
    if ((size_t) n < want) {
        return now >= probe->by ? 0 : -1;
    }

    return 1;
}


static int64_t
probe_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


/* Begins anew after each: one that is called back may free others, and begin
 * one, which has nothing to tell yet or is at its end. */
static void
probes_banners(amld_probes_t *probes)
{
    int ok;
    void *data;
    int64_t now;
    amld_probe_t *probe;
    void (*done)(void *data, int ok);

    now = probe_now();
    probe = probes->first;

    while (probe != NULL) {
        ok = probe_read(probe, now);
        if (ok == -1) {
            probe = probe->next;
            continue;
        }

        done = probe->done;
        data = probe->data;
        amld_probe_free(probe);
        done(data, ok);
        probe = probes->first;
    }
}


/* How many have their answer now. */
static unsigned
probes_done(amld_probes_t *probes)
{
    int ok, left;
    long status;
    void *data;
    char *private;
    CURLMsg *message;
    unsigned n;
    amld_probe_t *probe;
    void (*done)(void *data, int ok);

    n = 0;

    while ((message = curl_multi_info_read(probes->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }

        status = 0;
        private = NULL;
        ok = message->data.result == CURLE_OK;
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE,
                          &status);
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);

        probe = (amld_probe_t *) private;
        done = probe->done;
        data = probe->data;
        amld_probe_free(probe);
        done(data, ok && status == 200);
        n++;
    }

    return n;
}


static size_t
probe_drop(char *data, size_t size, size_t n, void *probe)
{
    (void) data;
    (void) probe;

    return size * n;
}
