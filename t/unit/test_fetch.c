/*
 * Requests to identity providers, against servers that do not behave.
 */

#include "t/unit/fetch_fixture.h"

#define MOST 4096
#define SECRET "s3cr3t-Pa55word"


static double
seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}


/* ---- the server's side ---- */

/* The request, as a JSON string of hex digits. */
static void
echo(tls_conn_t *c)
{
    static const char hex[] = "0123456789abcdef";
    char *body = malloc(2 * strlen(c->request) + 16), *at = body;
    const char *p;

    *at++ = '"';
    for (p = c->request; *p != '\0'; p++) {
        *at++ = hex[(unsigned char) *p >> 4];
        *at++ = hex[(unsigned char) *p & 15];
    }
    *at++ = '"';
    *at = '\0';
    tls_json(c, body);
    free(body);
}


static void
misbehave(tls_conn_t *c)
{
    char text[1024];
    int i;

    if (strcmp(c->path, "/ok") == 0) {
        tls_reply(c,
                  "200 OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
                  "Cache-Control: public, max-age=1234, must-revalidate",
                  "{\"a\":1}");

    } else if (strcmp(c->path, "/set") == 0) {
        tls_reply(c,
                  "200 OK\r\nCONTENT-TYPE: Application/JWK-Set+JSON\r\n"
                  "cache-control: max-age=60, no-store",
                  "{}");

    } else if (strcmp(c->path, "/empty") == 0) {
        tls_json(c, "");

    } else if (strcmp(c->path, "/html") == 0) {
        tls_reply(c, "200 OK\r\nContent-Type: text/html", "<html>");

    } else if (strcmp(c->path, "/jsonish") == 0) {
        tls_reply(c, "200 OK\r\nContent-Type: application/jsonx", "{}");

    } else if (strcmp(c->path, "/untyped") == 0) {
        tls_reply(c, "200 OK\r\nX-A: b", "{}");

    } else if (strcmp(c->path, "/busy") == 0) {
        tls_reply(c, "503 Busy\r\nContent-Type: text/html\r\nRetry-After:  17",
                  "<html>");

    } else if (strcmp(c->path, "/later") == 0) {
        tls_reply(c,
                  "429 Many\r\nContent-Type: application/json\r\n"
                  "Retry-After: 99999999999999999999",
                  "{\"error\":\"x\"}");

    } else if (strcmp(c->path, "/moved") == 0) {
        snprintf(text, sizeof(text),
                 "302 Found\r\nContent-Type: application/json\r\n"
                 "Location: https://localhost:%u/ok",
                 c->server->port);
        tls_reply(c, text, "{}");

    } else if (strcmp(c->path, "/large") == 0) {
        (void) tls_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json"
                          "\r\nContent-Length: 99999999999\r\n\r\n{");
        tls_hang(c);

    } else if (strcmp(c->path, "/endless") == 0) {
        memset(text, ' ', sizeof(text));
        (void) tls_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json"
                          "\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (i = 0; i < 100000; i++) {
            if (tls_say(c, "400\r\n") != 0 || tls_write(c, text, 1024) != 0 ||
                tls_say(c, "\r\n") != 0) {
                break;
            }
        }

    } else if (strcmp(c->path, "/most") == 0) {
        char *body = malloc(MOST + 1);

        memset(body, ' ', MOST);
        body[MOST] = '\0';
        tls_json(c, body);
        free(body);

    } else if (strcmp(c->path, "/headers") == 0) {
        (void) tls_say(c, "HTTP/1.1 200 OK\r\n");
        memset(text, 'h', sizeof(text));
        memcpy(text, "X-A: ", 5);
        memcpy(text + 1022, "\r\n", 2);
        while (tls_write(c, text, 1024) == 0) {
        }

    } else if (strcmp(c->path, "/slow") == 0) {
        tls_hang(c);

    } else if (strcmp(c->path, "/drip") == 0) {
        (void) tls_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json"
                          "\r\nContent-Length: 4000\r\n\r\n");
        while (!atomic_load(&c->server->ends) && tls_say(c, " ") == 0) {
            tls_nap(50);
        }

    } else if (strcmp(c->path, "/cut") == 0) {
        (void) tls_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json"
                          "\r\nContent-Length: 40\r\n\r\n{\"a\":");

    } else if (strcmp(c->path, "/half") == 0) {
        (void) tls_say(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json"
                          "\r\nContent-Length: 40\r\n\r\n{\"a\":");
        (void) SSL_shutdown(c->ssl);
        shutdown(c->fd, SHUT_WR);
        tls_hang(c);

    } else if (strcmp(c->path, "/nothing") == 0) {
        return;

    } else if (strcmp(c->path, "/garbage") == 0) {
        (void) tls_say(c, "220 mail.example.org ESMTP\r\n{}");

    } else if (strcmp(c->path, "/gzip") == 0) {
        tls_reply(c,
                  "200 OK\r\nContent-Type: application/json\r\n"
                  "Content-Encoding: gzip",
                  "\x1f\x8b\x08");

    } else {
        echo(c);
    }
}


static int
begin(void **state)
{
    return here_begin(state, misbehave);
}


/* ---- the client's side ---- */

static amld_fetch_t
to(const char *host, unsigned port, const char *path)
{
    static _Thread_local char url[256];
    amld_fetch_t f = {
        .url = url, .ca = here.ca_file, .most = MOST, .seconds = 5};

    snprintf(url, sizeof(url), "https://%s:%u%s", host, port, path);

    return f;
}


static amld_fetch_t
at(const char *path)
{
    return to("localhost", here.server->port, path);
}


static amld_fetch_rc_t
fetch_rc_of(amld_fetch_t f)
{
    amld_fetched_t r;
    amld_fetch_rc_t rc;

    rc = amld_fetch(&f, &r);
    if (rc != AMLD_FETCH_OK) {
        assert_null(r.body);
        assert_int_equal(r.n, 0);
    } else {
        assert_non_null(r.body);
        assert_int_equal(r.body[r.n], '\0');
    }
    amld_fetched_clear(&r);

    return rc;
}


static void
assert_rc(const char *what, amld_fetch_t f, amld_fetch_rc_t want)
{
    double from = seconds_now();
    amld_fetch_rc_t rc = fetch_rc_of(f);

    if (rc != want) {
        fail_msg("%s: %s, not %s", what, amld_fetch_strerror(rc),
                 amld_fetch_strerror(want));
    }
    assert_true(seconds_now() - from < f.seconds + 2);
}


/* What /echo was asked; the caller frees. */
static char *
asked(const amld_fetch_t *f)
{
    amld_fetched_t r;
    char *text;
    size_t i;
    unsigned c;

    assert_int_equal(amld_fetch(f, &r), AMLD_FETCH_OK);
    text = calloc(1, r.n);
    for (i = 1; i + 2 < r.n; i += 2) {
        assert_int_equal(sscanf(r.body + i, "%2x", &c), 1);
        text[i / 2] = (char) c;
    }
    amld_fetched_clear(&r);

    return text;
}


static void
answers(void **state)
{
    amld_fetch_t f = at("/ok");
    amld_fetched_t r;

    (void) state;

    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "{\"a\":1}");
    assert_int_equal(r.n, 7);
    assert_int_equal(r.max_age, 1234);
    assert_int_equal(r.retry_after, -1);
    assert_string_equal(r.detail, "");
    amld_fetched_clear(&r);
    amld_fetched_clear(&r); /* once more does no harm */

    f = at("/set");
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(r.max_age, 0);
    amld_fetched_clear(&r);

    f = at("/empty");
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_string_equal(r.body, "");
    assert_int_equal(r.max_age, -1);
    amld_fetched_clear(&r);

    assert_rc("just as much as is allowed", at("/most"), AMLD_FETCH_OK);
    f = at("/most");
    f.most = MOST - 1;
    assert_rc("one byte more", f, AMLD_FETCH_LARGE);
}


static void
statuses(void **state)
{
    amld_fetch_t f = at("/busy");
    amld_fetched_t r;
    unsigned before;

    (void) state;

    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(r.status, 503);
    assert_int_equal(r.retry_after, 17);
    amld_fetched_clear(&r);

    f = at("/later");
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(r.status, 429);
    assert_int_equal(r.retry_after, -1);
    assert_string_equal(r.body, "{\"error\":\"x\"}");
    amld_fetched_clear(&r);

    before = atomic_load(&here.server->requests);
    f = at("/moved");
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(r.status, 302);
    assert_string_equal(r.body, "{}");
    assert_int_equal(atomic_load(&here.server->requests), before + 1);
    amld_fetched_clear(&r);
}


static void
types(void **state)
{
    amld_fetched_t r;
    amld_fetch_t f;

    (void) state;

    assert_rc("another type", at("/html"), AMLD_FETCH_TYPE);
    assert_rc("one that only begins so", at("/jsonish"), AMLD_FETCH_TYPE);
    assert_rc("none", at("/untyped"), AMLD_FETCH_TYPE);

    f = at("/html");
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_TYPE);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.detail, "text/html");
    amld_fetched_clear(&r);

    /* nothing is unpacked, so that nothing small becomes huge */
    f = at("/gzip");
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(r.n, 3);
    amld_fetched_clear(&r);
}


static void
sizes(void **state)
{
    (void) state;

    assert_rc("a length that is too great", at("/large"), AMLD_FETCH_LARGE);
    assert_rc("no length and no end", at("/endless"), AMLD_FETCH_LARGE);
    assert_int_not_equal(fetch_rc_of(at("/headers")), AMLD_FETCH_OK);
}


static void
times(void **state)
{
    tls_server_t *mute = tls_server(NULL, NULL, 0, tls_hang);
    amld_fetch_t f;

    (void) state;

    /* it never gets the request, so it can't have done anything */
    f = to("localhost", mute->port, "/ok");
    f.seconds = 1;
    assert_rc("no handshake", f, AMLD_FETCH_UNREACHABLE);
    assert_int_equal(atomic_load(&mute->requests), 1);
    tls_server_free(mute);

    f = at("/slow");
    f.seconds = 1;
    assert_rc("no answer", f, AMLD_FETCH_TIMEOUT);
    f = at("/drip");
    f.seconds = 1;
    assert_rc("a byte at a time", f, AMLD_FETCH_TIMEOUT);
}


static void
cut(void **state)
{
    (void) state;

    assert_rc("less than it said", at("/cut"), AMLD_FETCH_CUT);
    assert_rc("half closed", at("/half"), AMLD_FETCH_CUT);
    assert_rc("nothing", at("/nothing"), AMLD_FETCH_CUT);
    assert_rc("no HTTP", at("/garbage"), AMLD_FETCH_CUT);
}


static void
certificates(void **state)
{
    tls_server_t *other, *late, *old, *plain, *strange;
    char strange_file[128];
    tls_ca_t ca;
    amld_fetch_t f;
    amld_fetched_t r;

    other = tls_server(&here.ca, "other.localhost", 3600, misbehave);
    late = tls_server(&here.ca, "localhost", -3600, misbehave);
    old = tls_server(&here.ca, "localhost", 3600, misbehave);
    plain = tls_server(NULL, "localhost", 3600, misbehave);
    snprintf(strange_file, sizeof(strange_file), "%s/strange.pem",
             ((scratch_t *) *state)->dir);
    ca = tls_ca(strange_file);
    strange = tls_server(&ca, "localhost", 3600, misbehave);

    SSL_CTX_set_security_level(old->ctx, 0);
    SSL_CTX_set_min_proto_version(old->ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old->ctx, TLS1_1_VERSION);

    assert_rc("its own name", to("other.localhost", other->port, "/ok"),
              AMLD_FETCH_OK);
    assert_rc("another name", to("localhost", other->port, "/ok"),
              AMLD_FETCH_TLS);
    assert_rc("an address for a name",
              to("127.0.0.1", here.server->port, "/ok"), AMLD_FETCH_TLS);
    assert_rc("expired", to("localhost", late->port, "/ok"), AMLD_FETCH_TLS);
    assert_rc("TLS 1.1", to("localhost", old->port, "/ok"), AMLD_FETCH_TLS);
    assert_rc("no TLS", to("localhost", plain->port, "/ok"), AMLD_FETCH_TLS);

    assert_rc("another authority", to("localhost", strange->port, "/ok"),
              AMLD_FETCH_TLS);
    f = to("localhost", strange->port, "/ok");
    f.ca = strange_file;
    assert_rc("which is this one's", f, AMLD_FETCH_OK);
    f = at("/ok");
    f.ca = strange_file;
    assert_rc("and no other's", f, AMLD_FETCH_TLS);

    f = at("/ok");
    f.ca = NULL;
    assert_int_equal(amld_fetch(&f, &r), AMLD_FETCH_TLS);
    assert_non_null(strstr(r.detail, "certificate"));
    amld_fetched_clear(&r);

    f.ca = "/nonexistent.pem";
    assert_rc("a file that is not there", f, AMLD_FETCH_TLS);

    assert_int_equal(atomic_load(&old->requests), 0);
    assert_int_equal(atomic_load(&late->requests), 0);
    assert_int_equal(atomic_load(&other->requests), 1);

    tls_server_free(other);
    tls_server_free(late);
    tls_server_free(old);
    tls_server_free(plain);
    tls_server_free(strange);
    tls_ca_free(&ca);
}


static void
addresses(void **state)
{
    static const char *const urls[] = {"",
                                       "http://localhost/",
                                       "HTTPS://localhost/",
                                       "file:///etc/passwd",
                                       "ftp://localhost/",
                                       "https:",
                                       "localhost"};
    amld_fetch_t f = at("/ok");
    unsigned port;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        f.url = urls[i];
        assert_rc(urls[i], f, AMLD_FETCH_REFUSED);
    }
    f.url = "https:///ok";
    assert_int_not_equal(fetch_rc_of(f), AMLD_FETCH_OK);

    assert_rc("no such host", to("no-such-host.invalid", 443, "/"),
              AMLD_FETCH_UNREACHABLE);

    /* nobody listens; then somebody does again, at the same place */
    port = here.server->port;
    tls_server_down(here.server);
    assert_rc("an outage", to("localhost", port, "/ok"),
              AMLD_FETCH_UNREACHABLE);
    tls_server_listen(here.server, port);
    assert_rc("its end", to("localhost", port, "/ok"), AMLD_FETCH_OK);
}


/* ---- proxies ---- */

static void
be_proxy(tls_conn_t *c)
{
    snprintf(c->server->data, 256, "%.255s", c->request);
    tls_reply(c, "403 No\r\nCache-Control: max-age=9", "");
}


static void
proxies(void **state)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY",
                                        "all_proxy", "ALL_PROXY"};
    char address[128], seen[256] = "";
    tls_server_t *proxy = tls_server(NULL, NULL, 0, be_proxy);
    amld_fetch_t f = at("/ok");
    amld_fetched_t r;
    size_t i;

    (void) state;

    proxy->data = seen;
    snprintf(address, sizeof(address), "http://127.0.0.1:%u", proxy->port);

    for (i = 0; i < 4; i++) {
        setenv(names[i], address, 1);
    }
    assert_rc("the environment says nothing", f, AMLD_FETCH_OK);
    assert_int_equal(atomic_load(&proxy->requests), 0);

    for (i = 0; i < 4; i++) {
        unsetenv(names[i]);
    }
    setenv("no_proxy", "*", 1);
    snprintf(address, sizeof(address), "http://user:" SECRET "@127.0.0.1:%u",
             proxy->port);
    f.proxy = address;
    assert_int_not_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
    assert_int_equal(atomic_load(&proxy->requests), 1);
    assert_true(strncmp(seen, "CONNECT localhost:", 18) == 0);
    assert_null(strstr(r.detail, SECRET));
    assert_int_equal(r.max_age, -1);
    amld_fetched_clear(&r);
    unsetenv("no_proxy");

    tls_server_free(proxy);
}


/* ---- what is sent ---- */

static void
requests(void **state)
{
    amld_fetch_t f = at("/echo?a=b");
    char *text, *form;

    (void) state;

    text = asked(&f);
    assert_true(strncmp(text, "GET /echo?a=b HTTP/", 19) == 0);
    assert_non_null(strcasestr(text, "\r\naccept: application/json\r\n"));
    assert_null(strcasestr(text, "\r\nauthorization:"));
    assert_null(strcasestr(text, "\r\ncookie:"));
    assert_null(strcasestr(text, "accept-encoding"));
    free(text);

    form = amld_fetch_form(NULL, "grant_type", "authorization_code");
    form = amld_fetch_form(form, "code", "a&b=c d+\xc3\xa9");
    form = amld_fetch_form(form, "empty", "");
    assert_string_equal(form, "grant_type=authorization_code&"
                              "code=a%26b%3Dc%20d%2B%C3%A9&empty=");
    f.form = form;
    f.user = "client";
    f.password = SECRET;
    text = asked(&f);
    assert_true(strncmp(text, "POST /echo", 10) == 0);
    assert_non_null(strcasestr(
        text, "\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strcasestr(text, "\r\nauthorization: Basic Y2xpZW50On"));
    assert_string_equal(strstr(text, "\r\n\r\n") + 4, form);
    free(text);
    free(form);

    f.form = NULL;
    f.user = NULL;
    f.bearer = "abc.def";
    text = asked(&f);
    assert_non_null(strcasestr(text, "\r\nauthorization: Bearer abc.def\r\n"));
    free(text);
}


/* A secret that was sent is in no word about a failure. */
static void
secrets(void **state)
{
    static const char *const paths[] = {"/slow",  "/cut",     "/html",
                                        "/large", "/garbage", "/nothing"};
    amld_fetched_t r;
    amld_fetch_t f;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        f = at(paths[i]);
        f.seconds = 1;
        f.form = "client_secret=" SECRET;
        f.user = SECRET;
        f.password = SECRET;
        assert_int_not_equal(amld_fetch(&f, &r), AMLD_FETCH_OK);
        assert_null(strstr(r.detail, SECRET));
        amld_fetched_clear(&r);
    }

    for (i = 0; i <= AMLD_FETCH_FAILED; i++) {
        assert_true(strlen(amld_fetch_strerror((amld_fetch_rc_t) i)) > 5);
    }
}


/* ---- threads ---- */

static void *
cancel_soon(void *data)
{
    tls_nap(100);
    atomic_store((atomic_int *) data, 1);

    return NULL;
}


static void
cancelled(void **state)
{
    static const char *const paths[] = {"/slow", "/drip"};
    atomic_int cancel;
    amld_fetch_t f;
    pthread_t t;
    double from;
    size_t i;

    (void) state;

    for (i = 0; i < 2; i++) {
        atomic_init(&cancel, 0);
        f = at(paths[i]);
        f.seconds = 20;
        f.cancel = &cancel;
        from = seconds_now();
        pthread_create(&t, NULL, cancel_soon, &cancel);
        assert_int_equal(fetch_rc_of(f), AMLD_FETCH_ENDED);
        assert_true(seconds_now() - from < 5);
        pthread_join(t, NULL);
    }
}


static void *
many_times(void *data)
{
    atomic_int *good = data;
    amld_fetched_t r;
    amld_fetch_t f;
    int i;

    for (i = 0; i < 5; i++) {
        f = at("/ok");
        f.seconds = 20;
        if (amld_fetch(&f, &r) == AMLD_FETCH_OK &&
            strcmp(r.body, "{\"a\":1}") == 0) {
            atomic_fetch_add(good, 1);
        }
        amld_fetched_clear(&r);
    }

    return NULL;
}


static void
threads(void **state)
{
    pthread_t t[8];
    atomic_int good;
    size_t i;

    (void) state;

    atomic_init(&good, 0);
    for (i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, many_times, &good), 0);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
    }
    assert_int_equal(atomic_load(&good), 40);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),      cmocka_unit_test(statuses),
        cmocka_unit_test(types),        cmocka_unit_test(sizes),
        cmocka_unit_test(times),        cmocka_unit_test(cut),
        cmocka_unit_test(certificates), cmocka_unit_test(addresses),
        cmocka_unit_test(proxies),      cmocka_unit_test(requests),
        cmocka_unit_test(secrets),      cmocka_unit_test(cancelled),
        cmocka_unit_test(threads),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, begin, here_finish);
}
