#include "computes/instances/probe.h"

#include <stdio.h>
#include <stdlib.h>

struct amld_probes {
    CURLM *multi;
};

struct amld_probe {
    amld_probes_t *probes;
    CURL *easy;
    void (*done)(void *data, int ok);
    void *data;
};

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
               void (*done)(void *data, int ok), void *data)
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
    if (probe != NULL) {
        curl_multi_remove_handle(probe->probes->multi, probe->easy);
        curl_easy_cleanup(probe->easy);
        free(probe);
    }
}


void
amld_probes_wait(amld_probes_t *probes, struct curl_waitfd *fds, unsigned count,
                 int timeout)
{
    int running;

    /* A connection that is refused ends a request without any wait; nothing
     * would wake the poll for it. */
    curl_multi_perform(probes->multi, &running);
    if (probes_done(probes) != 0) {
        timeout = 0;
    }

    curl_multi_poll(probes->multi, fds, count, timeout, NULL);
    curl_multi_perform(probes->multi, &running);
    (void) probes_done(probes);
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
