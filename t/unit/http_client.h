/*
 * amld's control socket in a temporary directory, and curl to ask it.
 */

#ifndef AML_TEST_HTTP_CLIENT_H
#define AML_TEST_HTTP_CLIENT_H

#include "t/unit/scratch.h"

#include <curl/curl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "auth/credentials.h"
#include "auth/polls.h"
#include "computes/http/http.h"

#define STUDIO "aml.localhost:8443"
#define INSTANCE "lab1.instances.aml.localhost:8443"

/* Of the test: what the server serves. */
extern const amld_http_route_t *const http_tables[];
/* only of tests that have some */
extern const amld_http_route_t *const http_slow_tables[] __attribute__((weak));
static const amld_http_route_t *const http_none[] = {NULL};

typedef struct {
    scratch_t *scratch;
    amld_config_t config;
    amld_t amld;
    amld_http_t *http;
    char listen[96];
    uid_t uid;
} server_t;

typedef struct {
    long status;
    char headers[8192];
    size_t header_len;
    char body[65536];
    size_t body_len;
} answer_t;


static inline int
setup(void **state)
{
    static char studio[] = "https://" STUDIO, host[] = "aml.localhost",
                apps[] = "instances.aml.localhost", port[] = ":8443";
    server_t *s = calloc(1, sizeof(*s));
    void *scratch;

    assert_non_null(s);
    assert_int_equal(scratch_setup(&scratch), 0);
    s->scratch = scratch;
    assert_int_equal(chmod(s->scratch->dir, 0755), 0);
    snprintf(s->listen, sizeof(s->listen), "%s/run/amld.sock", s->scratch->dir);

    s->uid = getuid();
    s->config.listen = s->listen;
    s->config.gateway_uids = &s->uid;
    s->config.gateway_uid_count = 1;
    s->config.threads = 2;
    s->config.studio = studio;
    s->config.studio_host = host;
    s->config.apps = apps;
    s->config.apps_port = port;
    s->config.local_sign_in = 1;
    s->config.session_lifetime = 3600;
    s->config.token_lifetime = 600;
    s->config.device_lifetime = 7200;
    s->config.local_sign_in = 1;
    s->config.personal_token_lifetime = 90 * 86400;
    s->config.key_lifetime = 86400;
    s->amld.config = &s->config;
    s->amld.registry = s->scratch->registry;
    s->config.backoff_account = 5;
    s->config.backoff_address = 20;
    s->config.backoff_first = 1;
    s->config.backoff_most = 300;
    s->amld.credentials = amld_credentials_new(&s->config);
    s->amld.polls = amld_polls_new();
    assert_true(s->amld.credentials != NULL && s->amld.polls != NULL);
    amld_log_level(AMLD_LOG_ERROR);

    s->http = amld_http_start(&s->amld, http_tables,
                              http_slow_tables != NULL ? http_slow_tables
                                                       : http_none);
    assert_non_null(s->http);
    *state = s;

    return 0;
}


static inline int
teardown(void **state)
{
    server_t *s = *state;
    struct stat st;
    void *scratch = s->scratch;

    amld_http_stop(s->http);
    amld_credentials_free(s->amld.credentials);
    amld_polls_free(s->amld.polls);
    assert_int_equal(stat(s->listen, &st), -1);
    scratch_teardown(&scratch);
    free(s);

    return 0;
}


static inline size_t
take_header(char *data, size_t size, size_t n, void *to)
{
    answer_t *a = to;

    n *= size;
    if (a->header_len + n < sizeof(a->headers)) {
        memcpy(a->headers + a->header_len, data, n);
        a->header_len += n;
    }

    return n;
}


static inline size_t
take_body(char *data, size_t size, size_t n, void *to)
{
    answer_t *a = to;

    n *= size;
    if (a->body_len + n < sizeof(a->body)) {
        memcpy(a->body + a->body_len, data, n);
        a->body_len += n;
    }

    return n;
}


/* `headers` is a NULL-ended list; `body` NULL for none. */
static inline answer_t
ask(server_t *s, const char *method, const char *target,
    const char *const *headers, const char *body, long length)
{
    struct curl_slist *list = NULL;
    char url[16384];
    answer_t a;
    CURL *curl;

    memset(&a, 0, sizeof(a));
    snprintf(url, sizeof(url), "http://x%s", target);

    curl = curl_easy_init();
    assert_non_null(curl);
    for (; headers != NULL && *headers != NULL; headers++) {
        list = curl_slist_append(list, *headers);
    }
    list = curl_slist_append(list, "Expect:");

    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, s->listen);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOBODY,
                     (long) (strcmp(method, "HEAD") == 0));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &a);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, length);
    }

    (void) curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a.status);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);

    return a;
}


static inline answer_t
get(server_t *s, const char *target, const char *const *headers)
{
    return ask(s, "GET", target, headers, NULL, 0);
}


/* The member of an echo; "" when it is null or the body is none. */
static inline const char *
said(const answer_t *a, const char *member, char value[256])
{
    json_t *json = json_loadb(a->body, a->body_len, 0, NULL);
    const char *text = json_string_value(json_object_get(json, member));

    snprintf(value, 256, "%s", text != NULL ? text : "");
    json_decref(json);

    return value;
}


static inline int
header_of(const answer_t *a, const char *name, char value[1024])
{
    const char *p = a->headers, *end;
    size_t n = strlen(name);

    for (; *p != '\0'; p = end + 2) {
        end = strstr(p, "\r\n");
        if (end == NULL || end == p) {
            break;
        }
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            snprintf(value, 1024, "%.*s", (int) (end - p - (long) n - 2),
                     p + n + 2);
            return 1;
        }
    }

    value[0] = '\0';

    return 0;
}

#endif /* AML_TEST_HTTP_CLIENT_H */
