/*
 * The control socket: a real libmicrohttpd on a unix socket, asked by curl and
 * by hand.  And through it, the flow of signing in.
 */

#include "t/unit/scratch.h"

#include <curl/curl.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "auth/accounts.h"
#include "auth/cookie.h"
#include "auth/local_issuer.h"
#include "auth/sessions.h"
#include "auth/sign_in.h"
#include "computes/http.h"

#define STUDIO "aml.localhost:8443"
#define INSTANCE "lab1.instances.aml.localhost:8443"
#define PRINCIPAL "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"

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


/* ---- a handler that says what it was told ---- */

static void
echo(amld_t *d, const amld_request_t *r, amld_response_t *response)
{
    const char *tail = amld_request_param(r, "*");
    const char *name = amld_request_param(r, "name");
    const char *q = amld_request_query(r, "q");
    const char *f = amld_request_form(r, "f");
    char principal[AML_UUID_TEXT + 1], cookie[32];

    (void) d;
    aml_uuid_format(&r->principal, principal);

    amld_response_json(
        response, 200,
        json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:I, s:s?, s:s?, s:s?, s:s?,"
                  " s:s?}",
                  "path", r->path, "host", r->host, "identified", r->identified,
                  "principal", r->identified ? principal : "", "who", r->name,
                  "action", r->action, "length", (json_int_t) r->body_len,
                  "name", name, "tail", tail, "q", q, "f", f, "cookie",
                  amld_request_cookie(r, "c", cookie, sizeof(cookie)) == 0
                      ? cookie
                      : NULL));
}


static void
inject(amld_t *d, const amld_request_t *r, amld_response_t *response)
{
    (void) d;

    amld_response_empty(response, 204);
    amld_response_header(response, "X-Test", "%s", amld_request_query(r, "q"));
}


static void
silent(amld_t *d, const amld_request_t *r, amld_response_t *response)
{
    (void) d;
    (void) r;
    (void) response;
}


static const amld_http_route_t routes[] = {
    {"GET", "/echo/{name}", echo},
    {"POST", "/echo/{name}", echo},
    {"GET", "/tail/*", echo},
    {"PUT", "/echo/{name}/x", echo},
    {"GET", "/inject", inject},
    {"GET", "/silent", silent},
    {NULL, NULL, NULL},
};

static const amld_http_route_t *const tables[] = {routes, amld_sign_in_routes,
                                                  NULL};


/* ---- server and client ---- */

static int
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
    s->config.session_lifetime = 3600;
    s->config.token_lifetime = 600;
    s->config.key_lifetime = 86400;
    s->amld.config = &s->config;
    s->amld.registry = s->scratch->registry;
    amld_log_level(AMLD_LOG_ERROR);

    s->http = amld_http_start(&s->amld, tables);
    assert_non_null(s->http);
    *state = s;

    return 0;
}


static int
teardown(void **state)
{
    server_t *s = *state;
    struct stat st;
    void *scratch = s->scratch;

    amld_http_stop(s->http);
    assert_int_equal(stat(s->listen, &st), -1);
    scratch_teardown(&scratch);
    free(s);

    return 0;
}


static size_t
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


static size_t
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
static answer_t
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


static answer_t
get(server_t *s, const char *target, const char *const *headers)
{
    return ask(s, "GET", target, headers, NULL, 0);
}


/* The member of an echo; "" when it is null or the body is none. */
static const char *
said(const answer_t *a, const char *member, char value[256])
{
    json_t *json = json_loadb(a->body, a->body_len, 0, NULL);
    const char *text = json_string_value(json_object_get(json, member));

    snprintf(value, 256, "%s", text != NULL ? text : "");
    json_decref(json);

    return value;
}


static int
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


/* Writes raw bytes, returns the status; 0 when the connection just ends. */
static int
raw(server_t *s, const char *request, size_t n)
{
    struct timeval patience = {.tv_sec = 10};
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char answer[64] = "";
    ssize_t got;
    int fd;

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    strcpy(addr.sun_path, s->listen);
    assert_int_equal(connect(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void) send(fd, request, n, MSG_NOSIGNAL);
    (void) shutdown(fd, SHUT_WR);
    got = recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
    close(fd);

    return got > 12 ? atoi(answer + 9) : 0;
}


/* ---- requests ---- */

static void
dispatch(void **state)
{
    server_t *s = *state;
    char v[1024], w[256];
    answer_t a;

    a = get(s, "/ECHO/a%20b?q=x%2By+z&r", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(said(&a, "path", w), "/ECHO/a b");
    assert_string_equal(said(&a, "name", w), "a b");
    assert_string_equal(said(&a, "q", w), "x+y z");
    assert_true(header_of(&a, "Cache-Control", v));
    assert_string_equal(v, "no-store");
    assert_true(header_of(&a, "X-Content-Type-Options", v));

    a = get(s, "/tail/a/b/c", NULL);
    assert_string_equal(said(&a, "tail", w), "a/b/c");

    assert_int_equal(get(s, "/echo", NULL).status, 404);
    assert_int_equal(get(s, "/echo/a/b", NULL).status, 404);
    assert_int_equal(get(s, "/tail/", NULL).status, 404);

    a = ask(s, "DELETE", "/echo/a", NULL, NULL, 0);
    assert_int_equal(a.status, 405);
    assert_true(header_of(&a, "Allow", v));
    assert_string_equal(v, "GET, HEAD, POST");
    assert_string_equal(
        ask(s, "GET", "/echo/a/x", NULL, NULL, 0).status == 405 ? "405" : "",
        "405");

    a = ask(s, "HEAD", "/echo/a", NULL, NULL, 0);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 0);

    a = ask(s, "POST", "/echo/a", NULL, "f=1%202&f=3", 11);
    assert_string_equal(said(&a, "f", w), "1 2");
}


static void
for_people(void **state)
{
    const char *const page[] = {"Accept: text/html", NULL};
    const char *const xhr[] = {"Accept: text/html", "Sec-Fetch-Mode: cors",
                               NULL};
    server_t *s = *state;
    answer_t a;

    a = get(s, "/nothing<b>", page);
    assert_int_equal(a.status, 404);
    assert_non_null(strstr(a.body, "<!doctype html>"));
    a = get(s, "/nothing", xhr);
    assert_int_equal(a.status, 404);
    assert_int_equal(a.body[0], '{');
}


static void
malformed(void **state)
{
    static const char *const bad[] = {
        "/echo/a%2Fb",   "/echo/a%2fb",     "/echo//a",      "//echo/a",
        "/echo/../x",    "/echo/%2e%2e/",   "/echo/.",       "/echo/%2E",
        "/echo/a%00b",   "/echo/a%0ab",     "/echo/a%7f",    "/echo/a%",
        "/echo/a%2",     "/echo/a%zz",      "/echo/a%5cb",   "/echo/%c3%28",
        "/echo/%ff",     "/echo/a?q=%",     "/echo/a?q=%00", "/echo/a?q=%ff",
        "/echo/a?%zz=1", "/echo/%ed%a0%80", "/echo/%c0%af",
    };
    server_t *s = *state;
    char target[10000];
    answer_t a;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        a = get(s, bad[i], NULL);
        if (a.status != 400 || strstr(a.body, "\"BadRequest\"") == NULL) {
            print_error("%s: %ld %s\n", bad[i], a.status, a.body);
            fail();
        }
    }

    memset(target, 'a', sizeof(target));
    memcpy(target, "/echo/", 6);
    target[AMLD_PATH_MAX + 1] = '\0';
    assert_int_equal(get(s, target, NULL).status, 400);

    memset(target, '&', sizeof(target));
    memcpy(target, "/echo/a?", 8);
    for (i = 0; i < 70; i++) {
        target[9 + 2 * i] = 'q';
    }
    target[8 + 2 * 70] = '\0';
    assert_int_equal(get(s, target, NULL).status, 400);

    assert_int_equal(
        raw(s, "GET http://evil/echo/a HTTP/1.1\r\nHost: a\r\n\r\n", 47), 400);
    assert_int_equal(raw(s, "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 29), 400);
}


static void
identity(void **state)
{
    const char *const session[] = {
        "X-AML-Principal: " PRINCIPAL,
        "X-AML-Name: Alice",
        "X-AML-Credential: session",
        "X-AML-Session: 00112233445566778899aabbccddeeff"
        "00112233445566778899aabbccddeeff",
        "X-AML-Action: a/b/read",
        "Cookie: a=b; c=d",
        NULL};
    const char *const token[] = {"X-AML-Principal: " PRINCIPAL,
                                 "X-AML-Credential: token", NULL};
    const char *const nobody[] = {"X-AML-Name: Eve", NULL};
    const char *const bad[][4] = {
        {"X-AML-Principal: alice", "X-AML-Credential: token"},
        {"X-AML-Principal: " PRINCIPAL},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: root"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: session"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: session",
         "X-AML-Session: 0011"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: token",
         "X-AML-Session: 0011"},
        {"X-AML-Credential: token"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Principal: " PRINCIPAL,
         "X-AML-Credential: token"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: token",
         "X-AML-Credential: token"},
        {"Host: a", "Host: b"},
        {"X-AML-Name: \xff"},
        {"X-AML-Action: a\x7f"},
    };
    server_t *s = *state;
    char w[256];
    answer_t a;
    size_t i;

    a = get(s, "/echo/a", session);
    assert_int_equal(a.status, 200);
    assert_string_equal(said(&a, "principal", w), PRINCIPAL);
    assert_string_equal(said(&a, "who", w), "Alice");
    assert_string_equal(said(&a, "action", w), "a/b/read");
    assert_string_equal(said(&a, "cookie", w), "d");
    assert_non_null(strstr(a.body, "\"identified\":true"));

    a = get(s, "/echo/a", token);
    assert_string_equal(said(&a, "principal", w), PRINCIPAL);

    a = get(s, "/echo/a", nobody);
    assert_non_null(strstr(a.body, "\"identified\":false"));
    assert_string_equal(said(&a, "who", w), "");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        a = get(s, "/echo/a", bad[i]);
        if (a.status != 400) {
            print_error("identity %zu: %ld %s\n", i, a.status, a.body);
            fail();
        }
    }
}


/* Whoever is not the gateway hears nothing but no. */
static void
other_uid(void **state)
{
    const char *const headers[] = {"X-AML-Principal: " PRINCIPAL,
                                   "X-AML-Credential: token", NULL};
    server_t *s = *state;
    answer_t a;
    pid_t pid;
    int status;

    if (getuid() != 0) {
        /* the other way round: it is we who are not the gateway */
        s->uid = getuid() + 1;
        a = get(s, "/echo/a", headers);
        assert_int_equal(a.status, 403);
        return;
    }

    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(1);
        }
        a = get(s, "/echo/a", headers);
        _exit(a.status == 403 && strstr(a.body, "Alice") == NULL &&
                      strstr(a.body, "\"Forbidden\"") != NULL &&
                      get(s, "/nothing", NULL).status == 403 &&
                      ask(s, "POST", "/echo/a", NULL, "x", 1).status == 403
                  ? 0
                  : 2);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(get(s, "/echo/a", headers).status, 200);
}


static void
bodies(void **state)
{
    const char *const chunked[] = {"Transfer-Encoding: chunked", NULL};
    const char *const form[] = {
        "Content-Type: application/x-www-form-urlencoded", NULL};
    const char *const json[] = {"Content-Type: application/json", NULL};
    server_t *s = *state;
    char *body = calloc(1, AMLD_BODY_MAX + 2);
    answer_t a;

    assert_non_null(body);
    memset(body, 'x', AMLD_BODY_MAX + 1);

    a = ask(s, "POST", "/echo/a", json, body, AMLD_BODY_MAX);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"length\":1048576"));
    assert_int_equal(
        ask(s, "POST", "/echo/a", json, body, AMLD_BODY_MAX + 1).status, 413);
    assert_int_equal(
        ask(s, "POST", "/echo/a", chunked, body, AMLD_BODY_MAX + 1).status,
        413);
    assert_int_equal(ask(s, "POST", "/echo/a", form, "f=%zz", 5).status, 400);
    free(body);
}


static void
header_injection(void **state)
{
    server_t *s = *state;
    answer_t a;
    char v[1024];

    a = get(s, "/inject?q=fine", NULL);
    assert_int_equal(a.status, 204);
    assert_true(header_of(&a, "X-Test", v));

    a = get(s, "/inject?q=a%0d%0aSet-Cookie:%20x=y", NULL);
    assert_int_equal(a.status, 500);
    assert_false(header_of(&a, "Set-Cookie", v));
    assert_false(header_of(&a, "X-Test", v));

    assert_int_equal(get(s, "/silent", NULL).status, 500);
}


static void
sockets(void **state)
{
    server_t *s = *state, second = *s;
    char path[96];
    struct stat st;
    amld_http_t *http;
    FILE *f;

    assert_int_equal(stat(s->listen, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);

    /* another answers there */
    second.amld.config = &second.config;
    second.config.listen = s->listen;
    amld_log_level(AMLD_LOG_ERROR);
    assert_null(amld_http_start(&second.amld, tables));
    assert_int_equal(get(s, "/echo/a", NULL).status, 200);

    /* something that is no socket is left alone */
    snprintf(path, sizeof(path), "%s/file", s->scratch->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    second.config.listen = path;
    assert_null(amld_http_start(&second.amld, tables));
    assert_int_equal(stat(path, &st), 0);

    /* a socket that nobody answers on is replaced */
    snprintf(path, sizeof(path), "%s/stale", s->scratch->dir);
    {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        strcpy(addr.sun_path, path);
        assert_int_equal(bind(fd, (struct sockaddr *) &addr, sizeof(addr)), 0);
        close(fd);
    }
    http = amld_http_start(&second.amld, tables);
    assert_non_null(http);
    amld_http_stop(http);
    assert_int_equal(stat(path, &st), -1);
}


/* ---- signing in ---- */

/* The value of the cookie `name` that the answer sets. */
static int
set_cookie(const answer_t *a, const char *name, char value[128])
{
    char text[128];
    const char *p;

    snprintf(text, sizeof(text), "Set-Cookie: %s=", name);
    p = strstr(a->headers, text);
    if (p == NULL) {
        return 0;
    }
    p += strlen(text);
    snprintf(value, 128, "%.*s", (int) strcspn(p, ";\r"), p);
    assert_non_null(strstr(p, "; Path=/; Secure; HttpOnly; SameSite=Lax"));

    return 1;
}


static void
session_header(const char *secret, char text[96])
{
    char hex[AMLD_HASH_HEX_SIZE];
    uint8_t hash[32];

    assert_int_equal(amld_secret_hash(secret, hash), 0);
    amld_hash_format(hash, hex);
    snprintf(text, 96, "X-AML-Session: %s", hex);
}


static void
account(server_t *s, amld_account_t *a)
{
    assert_int_equal(amld_account_add(s->scratch->registry, "Alice",
                                      "open sesame", (int64_t) time(NULL), a),
                     AMLD_ACCOUNT_OK);
}


static answer_t
submit(server_t *s, const char *origin, const char *host, const char *fields)
{
    const char *const headers[] = {origin, host, NULL};

    return ask(s, "POST", "/auth/sign-in", headers, fields,
               (long) strlen(fields));
}

#define ORIGIN "Origin: https://" STUDIO
#define HOST "Host: " STUDIO
#define FIELDS "name=alice&password=open+sesame"


static void
sign_in_form(void **state)
{
    server_t *s = *state;
    amld_account_t alice;
    char v[1024], cookie[128];
    answer_t a, b;

    account(s, &alice);

    a = submit(s, ORIGIN, HOST, FIELDS "&to=/lab?a%3D1%26b");
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/lab?a=1&b");
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    assert_int_equal(strlen(cookie), 43);

    a = submit(s, ORIGIN, HOST, FIELDS "&to=//evil.org");
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/");

    /* unknown and wrong are told apart by nothing */
    a = submit(s, ORIGIN, HOST, "name=alice&password=wrong");
    b = submit(s, ORIGIN, HOST, "name=nobod&password=wrong");
    assert_int_equal(a.status, 403);
    assert_int_equal(b.status, 403);
    assert_int_equal(a.body_len, b.body_len);
    assert_false(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    assert_int_equal(submit(s, ORIGIN, HOST, "").status, 403);
    assert_int_equal(submit(s, ORIGIN, HOST, "name=%22%3E%3Cscript%3E").status,
                     403);

    /* from elsewhere, or nobody says from where */
    assert_int_equal(scratch_count(s->scratch, "session/"), 2);
    a = submit(s, "Origin: https://" INSTANCE, HOST, FIELDS);
    assert_int_equal(a.status, 403);
    assert_true(header_of(&a, "X-AML-Reason", v));
    assert_string_equal(v, "cross_origin");
    assert_int_equal(submit(s, "Origin: null", HOST, FIELDS).status, 403);
    assert_int_equal(submit(s, "X-Y: z", HOST, FIELDS).status, 403);
    assert_int_equal(
        submit(s, "Sec-Fetch-Site: same-site", HOST, FIELDS).status, 403);
    assert_int_equal(
        submit(s, "Origin: https://" INSTANCE, "Host: " INSTANCE, FIELDS)
            .status,
        404);
    assert_int_equal(scratch_count(s->scratch, "session/"), 2);

    assert_int_equal(
        submit(s, "Sec-Fetch-Site: same-origin", HOST, FIELDS).status, 303);
}


/* From the instance to the studio and back, as a browser goes. */
static void
handoff(void **state)
{
    const char *const at[] = {"Host: " INSTANCE, NULL};
    server_t *s = *state;
    char v[1024], browser[128], cookie[128], studio_session[96], line[160],
        principal[64], target[1024], lab_session[128], lab_line[96];
    const char *const signed_in[] = {
        HOST, principal, "X-AML-Credential: session", studio_session, NULL};
    const char *const back[] = {"Host: " INSTANCE, line, NULL};
    const char *const in_lab[] = {"Host: " INSTANCE,           principal,
                                  "X-AML-Credential: session", lab_line,
                                  "Origin: https://" INSTANCE, NULL};
    const char *const elsewhere[] = {"Host: lab2.instances.aml.localhost:8443",
                                     line, NULL};
    const char *const anonymous[] = {HOST, NULL};
    amld_account_t alice;
    answer_t a;

    account(s, &alice);
    strcpy(principal, "X-AML-Principal: ");
    aml_uuid_format(&alice.principal, principal + strlen(principal));

    a = submit(s, ORIGIN, HOST, FIELDS);
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    session_header(cookie, studio_session);

    /* instance: a cookie for the browser, then off to the studio */
    a = get(s, "/.aml/sign-in?to=/lab", at);
    assert_int_equal(a.status, 302);
    assert_true(set_cookie(&a, AML_COOKIE_BROWSER, browser));
    assert_true(header_of(&a, "Location", v));
    assert_ptr_equal(
        strstr(v, "https://" STUDIO "/auth/handoff?host=" INSTANCE "&browser="),
        v);
    snprintf(target, sizeof(target), "%s", v + strlen("https://" STUDIO));

    /* with the cookie there already it is kept */
    snprintf(line, sizeof(line), "Cookie: " AML_COOKIE_BROWSER "=%s", browser);
    a = get(s, "/.aml/sign-in?to=/lab", back);
    assert_false(set_cookie(&a, AML_COOKIE_BROWSER, v));

    /* not signed in: the form, and then here again */
    a = get(s, target, anonymous);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_ptr_equal(strstr(v, "/auth/sign-in?to=/auth/handoff?host%3D"), v);

    /* signed in: a code */
    a = get(s, target, signed_in);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_ptr_equal(strstr(v, "https://" INSTANCE "/.aml/session?code="), v);
    snprintf(target, sizeof(target), "%s", v + strlen("https://" INSTANCE));

    /* which is for this browser: without its cookie there is nothing */
    a = get(s, target, at);
    assert_int_equal(a.status, 403);
    assert_false(set_cookie(&a, AML_COOKIE_SESSION, v));

    a = get(s, target, back);
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/lab");
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, lab_session));
    session_header(lab_session, lab_line);
    assert_int_equal(scratch_count(s->scratch, "session/"), 2);

    /* and good once: then it is tried again, once */
    a = get(s, target, back);
    assert_int_equal(a.status, 302);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "/.aml/sign-in?again=1&to=/lab");
    strcat(target, "&again=1");
    assert_int_equal(get(s, target, back).status, 403);

    /* also at another instance */
    assert_int_equal(get(s, target, elsewhere).status, 403);

    /* signing out on the instance ends it everywhere */
    a = ask(s, "POST", "/.aml/sign-out", in_lab, "", 0);
    assert_int_equal(a.status, 303);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, "https://" STUDIO "/auth/signed-out");
    assert_non_null(strstr(a.headers, "__Host-aml=; Max-Age=0;"));
    assert_int_equal(scratch_count(s->scratch, "session/"), 0);
    assert_int_equal(scratch_count(s->scratch, "sign-in/"), 0);

    /* the page afterwards stays where it is */
    a = get(s, "/auth/signed-out", anonymous);
    assert_int_equal(a.status, 200);

    /* a session that has ended gets no code */
    snprintf(target, sizeof(target),
             "/auth/handoff?host=" INSTANCE "&browser=%064d&to=/", 0);
    a = get(s, target, signed_in);
    assert_int_equal(a.status, 302);
    assert_int_equal(scratch_count(s->scratch, "code/"), 0);
}


static void
handoff_elsewhere(void **state)
{
    static const char *const bad[] = {
        "/auth/handoff",
        "/auth/handoff?host=evil.org&browser=%064d",
        "/auth/handoff?host=aml.localhost:8443&browser=%064d",
        "/auth/handoff?host=lab1.instances.aml.localhost:443&browser=%064d",
        "/auth/handoff?host=lab1.instances.aml.localhost:8443@evil.org"
        "&browser=%064d",
        "/auth/handoff?host=" INSTANCE "&browser=%063d",
        "/auth/handoff?host=" INSTANCE,
    };
    const char *const studio[] = {HOST, NULL};
    const char *const image[] = {HOST, "Sec-Fetch-Site: same-site",
                                 "Sec-Fetch-Mode: no-cors",
                                 "Sec-Fetch-Dest: image", NULL};
    server_t *s = *state;
    char target[512];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(target, sizeof(target), bad[i], 0);
        assert_int_equal(get(s, target, studio).status, 404);
    }

    /* a page of an instance can't fetch codes */
    snprintf(target, sizeof(target),
             "/auth/handoff?host=" INSTANCE "&browser=%064d", 0);
    assert_int_equal(get(s, target, image).status, 403);
    assert_int_equal(get(s, target, studio).status, 302);
}


static void
sign_in_replaces(void **state)
{
    server_t *s = *state;
    char cookie[128], line[96], principal[64];
    const char *const headers[] = {
        HOST, ORIGIN, principal, "X-AML-Credential: session", line, NULL};
    amld_account_t alice;
    answer_t a;

    account(s, &alice);
    strcpy(principal, "X-AML-Principal: ");
    aml_uuid_format(&alice.principal, principal + strlen(principal));
    a = submit(s, ORIGIN, HOST, FIELDS);
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, cookie));
    session_header(cookie, line);

    assert_int_equal(get(s, "/auth/sign-in?to=/x", headers).status, 302);

    a = ask(s, "POST", "/auth/sign-in", headers, FIELDS, (long) strlen(FIELDS));
    assert_int_equal(a.status, 303);
    assert_int_equal(scratch_count(s->scratch, "session/"), 1);
    assert_true(set_cookie(&a, AML_COOKIE_SESSION, principal));
    assert_string_not_equal(principal, cookie);
}


static void
tokens(void **state)
{
    const char *const right[] = {
        HOST, "Authorization: Basic QWxpY2U6b3BlbiBzZXNhbWU=", NULL};
    const char *const wrong[] = {
        HOST, "Authorization: Basic QWxpY2U6b3BlbiBzZXNhbWU2", NULL};
    const char *const none[] = {HOST, NULL};
    const char *const instance[] = {
        "Host: " INSTANCE,
        "Authorization: Basic QWxpY2U6b3BlbiBzZXNhbWU=", NULL};
    server_t *s = *state;
    amld_account_t alice;
    char v[1024], w[256];
    answer_t a;

    account(s, &alice);
    assert_int_equal(amld_issuer_tend(s->scratch->registry, &s->config,
                                      (int64_t) time(NULL)),
                     0);

    a = ask(s, "POST", "/auth/token", right, "", 0);
    assert_int_equal(a.status, 200);
    assert_string_equal(said(&a, "token_type", w), "Bearer");
    assert_non_null(strstr(a.body, "\"expires_in\":600"));
    assert_non_null(strstr(a.body, "\"access_token\":\"ey"));

    a = ask(s, "POST", "/auth/token", wrong, "", 0);
    assert_int_equal(a.status, 401);
    assert_true(header_of(&a, "WWW-Authenticate", v));
    assert_ptr_equal(strstr(v, "Basic "), v);
    assert_int_equal(ask(s, "POST", "/auth/token", none, "", 0).status, 401);
    assert_int_equal(ask(s, "POST", "/auth/token", instance, "", 0).status,
                     404);
    assert_int_equal(get(s, "/auth/token", right).status, 405);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dispatch, setup, teardown),
        cmocka_unit_test_setup_teardown(for_people, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(identity, setup, teardown),
        cmocka_unit_test_setup_teardown(other_uid, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(header_injection, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(sign_in_form, setup, teardown),
        cmocka_unit_test_setup_teardown(handoff, setup, teardown),
        cmocka_unit_test_setup_teardown(handoff_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(sign_in_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
