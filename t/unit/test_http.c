/*
 * The control socket: a real libmicrohttpd on a unix socket, asked by curl and
 * by hand.
 */

#include "t/unit/http_client.h"

#include <pthread.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "computes/http/http_slow.h"

#define PRINCIPAL "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"


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


static void wait_at_gate(amld_t *d, const amld_request_t *request,
                         amld_response_t *response);

/* Goes on as one that waits, unless it is told not to. */
static void
later(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    if (amld_request_query(request, "now") != NULL) {
        echo(d, request, response);
    } else {
        amld_response_later(response, wait_at_gate);
    }
}


static const amld_http_route_t routes[] = {
    {"POST", "/later/{name}", later}, {"GET", "/echo/{name}", echo},
    {"POST", "/echo/{name}", echo},   {"GET", "/tail/*", echo},
    {"PUT", "/echo/{name}/x", echo},  {"GET", "/inject", inject},
    {"GET", "/silent", silent},       {NULL, NULL, NULL},
};

const amld_http_route_t *const http_tables[] = {routes, NULL};


/* ---- handlers that wait ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned waiting; /* handlers in wait() */
    int go;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};


static void
wait_at_gate(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    pthread_mutex_lock(&gate.mutex);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.go) {
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    gate.waiting--;
    pthread_mutex_unlock(&gate.mutex);

    echo(d, request, response);
}


static const amld_http_route_t slow_routes[] = {
    {"GET", "/wait/{name}", wait_at_gate},
    {"POST", "/wait/{name}", wait_at_gate},
    {"PATCH", "/echo/{name}", wait_at_gate},
    {NULL, NULL, NULL},
};

const amld_http_route_t *const http_slow_tables[] = {slow_routes, NULL};


/* Writes raw bytes, returns the status; 0 when the connection just ends. */
static int
raw(server_t *s, const char *request)
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
    (void) send(fd, request, strlen(request), MSG_NOSIGNAL);
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
    assert_string_equal(v, "GET, HEAD, POST, PATCH");
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
        "/echo/a%2Fb",   "/echo/a%2fb",     "/echo//a",      "///echo/a",
        "/echo/../x",    "/echo/%2e%2e/",   "/echo/.",       "/echo/%2E",
        "/echo/a%00b",   "/echo/a%0ab",     "/echo/a%7f",    "/echo/a%",
        "/echo/a%2",     "/echo/a%zz",      "/echo/a%5cb",   "/echo/%c3%28",
        "/echo/%ff",     "/echo/a?q=%",     "/echo/a?q=%00", "/echo/a?q=%ff",
        "/echo/a?%zz=1", "/echo/%ed%a0%80", "/echo/%c0%af",
    };
    server_t *s = *state;
    char target[10000], value[256];
    answer_t a;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        a = get(s, bad[i], NULL);
        if (a.status != 400 || strstr(a.body, "\"BadRequest\"") == NULL) {
            print_error("%s: %ld %s\n", bad[i], a.status, a.body);
            fail();
        }
    }

    /* what SDKs make of "/{scope}" */
    a = get(s, "//echo/a", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(said(&a, "path", value), "/echo/a");

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
        raw(s, "GET http://evil/echo/a HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(raw(s, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
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
        {"X-AML-Groups: unknown"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: token",
         "X-AML-Groups: x"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Principal: " PRINCIPAL,
         "X-AML-Credential: token"},
        {"X-AML-Principal: " PRINCIPAL, "X-AML-Credential: token",
         "X-AML-Credential: token"},
        {"Origin: https://a", "Origin: https://b"},
        {"Authorization: Basic a", "Authorization: Basic b"},
        {"X-AML-Name: \xff"},
        {"X-AML-Action: a\x7f"},
    };
    server_t *s = *state;
    char w[256];
    answer_t a;
    size_t i;

    const char two[] = "GET /echo/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";

    assert_int_equal(raw(s, two), 400);

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


/* Nor can they take all the connections that there are. */
static void
other_uid_many(void **state)
{
    server_t *s = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timespec from, to;
    int i, ready[2];
    char c = 'x';
    pid_t pid;

    if (getuid() != 0) {
        skip();
    }

    assert_int_equal(pipe(ready), 0);
    strcpy(addr.sun_path, s->listen);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(1);
        }
        for (i = 0; i < 1500; i++) {
            (void) !connect(socket(AF_UNIX, SOCK_STREAM, 0),
                            (struct sockaddr *) &addr, sizeof(addr));
        }
        (void) !write(ready[1], &c, 1);
        pause();
        _exit(0);
    }

    assert_int_equal(read(ready[0], &c, 1), 1);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (i = 0; i < 16; i++) {
        assert_int_equal(get(s, "/echo/a", NULL).status, 200);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 30); /* idle ones have 300 s */

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
}


/* With a group of the workers, nobody else gets that far. */
static void
group_of_the_workers(void **state)
{
    static char nogroup[] = "nogroup";
    server_t *s = *state;
    struct stat st;

    if (getuid() != 0) {
        skip();
    }

    assert_int_equal(stat(s->listen, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);

    amld_http_stop(s->http);
    s->config.registry_group = nogroup;
    s->http = amld_http_start(&s->amld, http_tables, http_slow_tables);
    assert_non_null(s->http);
    assert_int_equal(stat(s->listen, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(st.st_gid, 65534);
    s->config.registry_group = NULL;
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
    assert_int_equal(ask(s, "POST", "/echo/a", form, "f=%00", 5).status, 400);
    assert_int_equal(ask(s, "POST", "/echo/a", form, "f=a\0b", 5).status, 400);
    assert_int_equal(ask(s, "POST", "/echo/a", form, "f\0=a", 5).status, 400);
    free(body);
}


typedef struct {
    server_t *server;
    pthread_t thread;
    char path[32];
    answer_t answer;
} asker_t;


static void *
asker_run(void *data)
{
    asker_t *a = data;

    a->answer = ask(a->server, "POST", a->path, NULL, "f=1&f=2", 7);

    return NULL;
}


static void
gate_wait(unsigned n)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.waiting < n) {
        pthread_cond_wait(&gate.changed, &gate.mutex);
    }
    pthread_mutex_unlock(&gate.mutex);
}


static void
gate_open(int go)
{
    pthread_mutex_lock(&gate.mutex);
    gate.go = go;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}


/* Many more than there are threads wait; others are answered meanwhile, and
 * each of those that waited gets the answer to its own request. */
static void
slow(void **state)
{
    enum {
        MANY = AMLD_HTTP_SLOW_THREADS + 40
    };
    server_t *s = *state;
    asker_t *askers = calloc(MANY, sizeof(*askers));
    char w[256];
    size_t i;

    assert_non_null(askers);
    gate_open(0);
    for (i = 0; i < MANY; i++) {
        askers[i].server = s;
        snprintf(askers[i].path, sizeof(askers[i].path), "/%s/n%zu",
                 i % 2 ? "wait" : "later", i);
        assert_int_equal(
            pthread_create(&askers[i].thread, NULL, asker_run, &askers[i]), 0);
    }
    gate_wait(AMLD_HTTP_SLOW_THREADS);

    for (i = 0; i < 50; i++) {
        assert_int_equal(get(s, "/echo/a", NULL).status, 200);
        assert_int_equal(ask(s, "POST", "/later/a?now=1", NULL, "", 0).status,
                         200);
    }
    assert_int_equal(ask(s, "PUT", "/wait/a", NULL, NULL, 0).status, 405);

    gate_open(1);
    for (i = 0; i < MANY; i++) {
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
        assert_int_equal(askers[i].answer.status, 200);
        assert_string_equal(said(&askers[i].answer, "path", w), askers[i].path);
        assert_string_equal(said(&askers[i].answer, "f", w), "1");
    }
    free(askers);

    /* one method of a path may wait, and another not */
    assert_int_equal(get(s, "/echo/a", NULL).status, 200);
    assert_int_equal(ask(s, "PATCH", "/echo/a", NULL, NULL, 0).status, 200);
}


/* amld ends: what waits behind others is told so, what runs is finished. */
static void *
stop_run(void *data)
{
    amld_http_stop(data);
    return NULL;
}


static void
slow_stop(void **state)
{
    enum {
        MANY = AMLD_HTTP_SLOW_THREADS + 8
    };
    server_t *s = *state;
    asker_t *askers = calloc(MANY, sizeof(*askers));
    unsigned ok = 0, busy = 0, late = 0;
    time_t began = time(NULL);
    pthread_t stopper;
    size_t i;

    assert_non_null(askers);
    gate_open(0);
    for (i = 0; i < MANY; i++) {
        askers[i].server = s;
        snprintf(askers[i].path, sizeof(askers[i].path), "/wait/n%zu", i);
        assert_int_equal(
            pthread_create(&askers[i].thread, NULL, asker_run, &askers[i]), 0);
    }
    gate_wait(AMLD_HTTP_SLOW_THREADS);
    while (amld_http_waiting(s->http) < MANY - AMLD_HTTP_SLOW_THREADS) {
        usleep(1000);
    }

    assert_int_equal(pthread_create(&stopper, NULL, stop_run, s->http), 0);
    s->http = NULL;
    gate_open(1);
    assert_int_equal(pthread_join(stopper, NULL), 0);

    for (i = 0; i < MANY; i++) {
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
        ok += askers[i].answer.status == 200;
        busy += askers[i].answer.status == 503 &&
                strstr(askers[i].answer.headers, "daemon_busy") != NULL;
        late += askers[i].answer.status == 0;
    }

    /* who came when the socket was no more was not let in; nobody was kept
     * waiting until curl gave up */
    assert_true(time(NULL) - began < 15);
    assert_true(ok >= AMLD_HTTP_SLOW_THREADS);
    assert_int_equal(ok + busy + late, MANY);
    free(askers);

    s->http = amld_http_start(&s->amld, http_tables, http_slow_tables);
    assert_non_null(s->http);
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
    assert_null(amld_http_start(&second.amld, http_tables, http_slow_tables));
    assert_int_equal(get(s, "/echo/a", NULL).status, 200);

    /* something that is no socket is left alone */
    snprintf(path, sizeof(path), "%s/file", s->scratch->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    second.config.listen = path;
    assert_null(amld_http_start(&second.amld, http_tables, http_slow_tables));
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
    http = amld_http_start(&second.amld, http_tables, http_slow_tables);
    assert_non_null(http);
    amld_http_stop(http);
    assert_int_equal(stat(path, &st), -1);
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
        cmocka_unit_test_setup_teardown(other_uid_many, setup, teardown),
        cmocka_unit_test_setup_teardown(group_of_the_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(slow, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(header_injection, setup, teardown),
        cmocka_unit_test_setup_teardown(sockets, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
