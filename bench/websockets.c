/*
 * Websockets while sessions end: how soon each of them is closed, and what the
 * gateway's worker does meanwhile.
 *
 *   websockets --registry DIR --connect 127.0.0.1:PORT --sni NAME --ca FILE
 *              --sessions FILE --upstream PATH --connections N [--samples N]
 *              [--seconds S] [--commits N] [--go FILE] --pid PID
 *
 * The file has a line "host cookie" for each session.  N websockets are opened,
 * as many of each session.  Then, for S seconds each, the worker's CPU time is
 * read while nothing happens, and while other people sign in: N commits a
 * second, each with a new session.  Waits until FILE is there, if it is given.
 * Then sessions are revoked, one after the other: measured is the time from
 * the return of the commit until the Close frame of each websocket is read,
 * which must say 1008.  At the end every other websocket has to answer.
 *
 * Upstream is a thread of its own: it accepts every upgrade, and answers
 * whatever comes with a small message.
 *
 * Writes one line of JSON; times in milliseconds, CPU as percent of a core.
 */

#include <fcntl.h>
#include <getopt.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/un.h>


#include "auth/base64url.h"
#include "auth/decide.h"
#include "bench/client.h"
#include "registry/records.h"
#include "registry/registry.h"

#define WS_EVENTS 256
#define WS_PATIENCE 10000 /* ms until a websocket counts as never closed */
#define WS_HEAD 8192

typedef struct {
    char *host;
    char *cookie;
    int revoked;
} session_t;

typedef struct {
    int fd;
    SSL *ssl;
    session_t *session;
    int open;
    int answered;
    double closed; /* ms, when the Close frame came */
    unsigned code; /* that it had; 0: none came */
} websocket_t;

typedef struct {
    aml_registry_t *registry;
    aml_decider_t *decider;
    SSL_CTX *ctx;
    const char *sni;
    struct sockaddr_in addr;
    int epoll;
    session_t *sessions;
    size_t session_count;
    websocket_t *sockets;
    size_t socket_count;
    size_t lost; /* closed although nobody had revoked their session */
    clockid_t worker;
} bench_t;


static double
bench_now(void)
{
    return client_seconds(CLOCK_MONOTONIC) * 1e3;
}


/* ---- upstream ---- */

static const char upstream_accept[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Accept: "
    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char upstream_page[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char upstream_message[] = "\x81\x02ok";


/* A request comes in one piece from nginx beside us; what is none are frames.
 */
static void *
upstream_run(void *data)
{
    int listener = *(int *) data, epoll = epoll_create1(EPOLL_CLOEXEC), i, n;
    struct epoll_event events[WS_EVENTS], ev = {.events = EPOLLIN};
    char buf[WS_HEAD];
    const char *answer;
    ssize_t got;

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) != 0) {
        client_die("upstream");
    }

    for (;;) {
        n = epoll_wait(epoll, events, WS_EVENTS, -1);
        for (i = 0; i < n; i++) {
            if (events[i].data.u64 == 0) {
                ev.data.u64 = 0;
                ev.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (ev.data.fd >= 0) {
                    (void) epoll_ctl(epoll, EPOLL_CTL_ADD, ev.data.fd, &ev);
                }
                continue;
            }

            got = recv(events[i].data.fd, buf, sizeof(buf) - 1, 0);
            if (got <= 0) {
                close(events[i].data.fd);
                continue;
            }

            buf[got] = '\0';
            answer = memcmp(buf, "GET ", 4) != 0 ? upstream_message
                     : strcasestr(buf, "\r\nUpgrade: websocket\r\n") != NULL
                         ? upstream_accept
                         : upstream_page;
            (void) send(events[i].data.fd, answer, strlen(answer),
                        MSG_NOSIGNAL);
        }
    }

    return NULL;
}


static void
upstream_start(const char *path)
{
    static int listener;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    pthread_t thread;

    if (strlen(path) >= sizeof(un.sun_path)) {
        errno = ENAMETOOLONG;
        client_die("--upstream");
    }
    strcpy(un.sun_path, path);
    (void) unlink(path);

    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 ||
        bind(listener, (struct sockaddr *) &un, sizeof(un)) != 0 ||
        listen(listener, 512) != 0 ||
        pthread_create(&thread, NULL, upstream_run, &listener) != 0) {
        client_die("upstream");
    }
}


/* ---- the registry ---- */

static void
session_key(bench_t *b, const char *cookie, char *key, size_t *n)
{
    uint8_t hash[32];

    if (aml_session_hash(b->decider, aml_str_of(cookie), hash) != 0) {
        client_die("session");
    }
    *n = aml_key_session(key, hash);
}


static void
session_revoke(bench_t *b, session_t *s)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    size_t n;

    session_key(b, s->cookie, key, &n);
    if (aml_registry_write(b->registry, &txn) != AML_REGISTRY_OK ||
        aml_registry_del(txn, key, n) != AML_REGISTRY_OK ||
        aml_registry_commit(txn) != AML_REGISTRY_OK) {
        client_die("revoking");
    }
    s->revoked = 1;
}


/* Somebody else signs in. */
static void
session_another(bench_t *b)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    uint8_t hash[32], buf[512];
    aml_session_t s = {0};
    aml_registry_txn_t *txn;
    size_t n, len;

    if (RAND_bytes(hash, sizeof(hash)) != 1) {
        client_die("no entropy");
    }
    s.created = (int64_t) time(NULL);
    s.expires = s.created + 86400;
    s.host = aml_str("other.localhost");
    memcpy(s.principal.b, hash, sizeof(s.principal.b));
    n = aml_key_session(key, hash);
    len = aml_session_encode(&s, buf, sizeof(buf));

    if (aml_registry_write(b->registry, &txn) != AML_REGISTRY_OK ||
        aml_registry_put(txn, key, n, buf, len) != AML_REGISTRY_OK ||
        aml_registry_commit(txn) != AML_REGISTRY_OK) {
        client_die("signing in");
    }
}


/* ---- websockets ---- */

static void
websocket_open(bench_t *b, websocket_t *w)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = w};
    char buf[WS_HEAD];
    int n;
    size_t have = 0, got;

    w->ssl = client_connect(b->ctx, &b->addr, b->sni, 20);
    w->fd = SSL_get_fd(w->ssl);

    n = snprintf(buf, sizeof(buf),
                 "GET /api/kernels/1/channels HTTP/1.1\r\n"
                 "Host: %s:%u\r\nOrigin: https://%s:%u\r\n"
                 "Cookie: __Host-aml=%s\r\n"
                 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                 w->session->host, ntohs(b->addr.sin_port), w->session->host,
                 ntohs(b->addr.sin_port), w->session->cookie);
    if (SSL_write(w->ssl, buf, n) != n) {
        client_die("write");
    }

    do {
        if (have == sizeof(buf) - 1 ||
            SSL_read_ex(w->ssl, buf + have, sizeof(buf) - 1 - have, &got) !=
                1) {
            client_die("no answer to the upgrade");
        }
        have += got;
        buf[have] = '\0';
    } while (strstr(buf, "\r\n\r\n") == NULL);

    if (strncmp(buf, "HTTP/1.1 101 ", 13) != 0) {
        fprintf(stderr, "websockets: %.*s\n", (int) strcspn(buf, "\r\n"), buf);
        exit(1);
    }

    w->open = 1;
    if (fcntl(w->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(b->epoll, EPOLL_CTL_ADD, w->fd, &ev) != 0) {
        client_die("epoll");
    }
}


static void
websocket_end(bench_t *b, websocket_t *w)
{
    if (!w->session->revoked) {
        b->lost++;
    }
    if (w->closed == 0) {
        w->closed = bench_now();
    }
    w->open = 0;
    SSL_free(w->ssl);
    close(w->fd);
}


static void
websocket_read(bench_t *b, websocket_t *w)
{
    unsigned char buf[256];
    int n;

    for (;;) {
        n = SSL_read(w->ssl, buf, sizeof(buf));
        if (n <= 0) {
            if (SSL_get_error(w->ssl, n) == SSL_ERROR_WANT_READ) {
                return;
            }
            ERR_clear_error();
            websocket_end(b, w);
            return;
        }

        if (n >= 4 && buf[0] == 0x88) {
            w->code = (unsigned) (buf[2] << 8 | buf[3]);
            w->closed = bench_now();
        } else if (buf[0] == 0x81) {
            w->answered = 1;
        }
    }
}


/* Whatever comes within `ms`. */
static void
bench_poll(bench_t *b, double ms)
{
    struct epoll_event events[WS_EVENTS];
    double end = bench_now() + ms, left;
    int i, n;

    while ((left = end - bench_now()) > 0) {
        n = epoll_wait(b->epoll, events, WS_EVENTS, (int) left + 1);
        for (i = 0; i < n; i++) {
            websocket_read(b, events[i].data.ptr);
        }
        if (n > 0) {
            return;
        }
    }
}


/* What the worker does in the meantime: percent of a core. */
static double
worker_percent(bench_t *b, double seconds, unsigned commits)
{
    double began = bench_now(), cpu = client_seconds(b->worker) * 1e3,
           next = began, now;

    while ((now = bench_now()) < began + seconds * 1e3) {
        if (commits != 0 && now >= next) {
            session_another(b);
            next += 1e3 / commits;
        }
        bench_poll(b, commits != 0 ? 1e3 / commits / 4 : 100);
    }

    return (client_seconds(b->worker) * 1e3 - cpu) / (bench_now() - began) *
           100;
}


static size_t
sample(bench_t *b, size_t number, double *times, size_t *codes)
{
    session_t *s = &b->sessions[number];
    double committed;
    size_t i, n, still;

    session_revoke(b, s);
    committed = bench_now();

    do {
        bench_poll(b, 20);
        still = 0;
        for (i = number; i < b->socket_count; i += b->session_count) {
            still += (size_t) b->sockets[i].open;
        }
    } while (still != 0 && bench_now() - committed < WS_PATIENCE);

    for (i = number, n = 0; i < b->socket_count; i += b->session_count, n++) {
        times[n] =
            b->sockets[i].open ? WS_PATIENCE : b->sockets[i].closed - committed;
        *codes += b->sockets[i].code == 1008;
    }

    return n;
}


/* A message to each, masked with zeros; how many answer. */
static size_t
bench_alive(bench_t *b)
{
    static const unsigned char message[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i'};
    double end;
    size_t i, answered, open;

    for (i = 0; i < b->socket_count; i++) {
        if (b->sockets[i].open) {
            (void) SSL_write(b->sockets[i].ssl, message, sizeof(message));
        }
    }

    end = bench_now() + WS_PATIENCE;
    do {
        bench_poll(b, 100);
        answered = open = 0;
        for (i = 0; i < b->socket_count; i++) {
            open += (size_t) b->sockets[i].open;
            answered += (size_t) b->sockets[i].answered;
        }
    } while (answered < open && bench_now() < end);

    return answered;
}


/* ---- the program ---- */

static int
compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}


static void
read_sessions(bench_t *b, const char *file)
{
    FILE *in = fopen(file, "re");
    char *host, *cookie;

    if (in == NULL) {
        client_die(file);
    }
    while (fscanf(in, "%ms %ms", &host, &cookie) == 2) {
        b->sessions = realloc(b->sessions,
                              (b->session_count + 1) * sizeof(b->sessions[0]));
        if (b->sessions == NULL) {
            client_die("no memory");
        }
        b->sessions[b->session_count++] = (session_t){host, cookie, 0};
    }
    fclose(in);
    if (b->session_count == 0) {
        errno = EINVAL;
        client_die(file);
    }
}


static void
bench_start(bench_t *b, const char *dir, const char *to, const char *ca,
            long pid)
{
    b->addr = client_address(to);
    b->ctx = client_context(ca);
    SSL_CTX_set_mode(b->ctx, SSL_MODE_RELEASE_BUFFERS);

    b->decider = aml_decider_new(4);
    if (b->decider == NULL ||
        aml_registry_open_writer(dir, (size_t) 8 << 30, (gid_t) -1,
                                 &b->registry) != AML_REGISTRY_OK) {
        client_die(dir);
    }
    if (clock_getcpuclockid((pid_t) pid, &b->worker) != 0) {
        client_die("--pid");
    }
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"registry", required_argument, NULL, 'r'},
        {"connect", required_argument, NULL, 'c'},
        {"sni", required_argument, NULL, 'h'},
        {"ca", required_argument, NULL, 'A'},
        {"sessions", required_argument, NULL, 's'},
        {"upstream", required_argument, NULL, 'u'},
        {"connections", required_argument, NULL, 'n'},
        {"samples", required_argument, NULL, 'S'},
        {"seconds", required_argument, NULL, 't'},
        {"commits", required_argument, NULL, 'C'},
        {"go", required_argument, NULL, 'g'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0}};

    bench_t b = {0};
    const char *dir = NULL, *to = NULL, *ca = NULL, *file = NULL;
    const char *upstream = NULL, *go = NULL;
    double seconds = 10, idle, busy, *times;
    unsigned commits = 20;
    size_t samples = 200, i, n = 0, codes = 0, late = 0;
    uint8_t random;
    long pid = 0;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'r':
            dir = optarg;
            break;
        case 'c':
            to = optarg;
            break;
        case 'h':
            b.sni = optarg;
            break;
        case 'A':
            ca = optarg;
            break;
        case 's':
            file = optarg;
            break;
        case 'u':
            upstream = optarg;
            break;
        case 'n':
            b.socket_count = strtoul(optarg, NULL, 10);
            break;
        case 'S':
            samples = strtoul(optarg, NULL, 10);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 'C':
            commits = (unsigned) strtoul(optarg, NULL, 10);
            break;
        case 'g':
            go = optarg;
            break;
        case 'p':
            pid = strtol(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    if (dir == NULL || to == NULL || b.sni == NULL || ca == NULL ||
        file == NULL || upstream == NULL || b.socket_count == 0 || pid == 0) {
        fputs("websockets: an option is missing\n", stderr);
        return 2;
    }

    bench_start(&b, dir, to, ca, pid);
    read_sessions(&b, file);
    upstream_start(upstream);

    b.sockets = calloc(b.socket_count, sizeof(b.sockets[0]));
    times = calloc(b.socket_count, sizeof(times[0]));
    if (b.sockets == NULL || times == NULL || samples >= b.session_count) {
        client_die("as many sessions as are revoked, and one");
    }
    for (i = 0; i < b.socket_count; i++) {
        b.sockets[i].session = &b.sessions[i % b.session_count];
        websocket_open(&b, &b.sockets[i]);
    }

    (void) worker_percent(&b, 2, 0);
    idle = worker_percent(&b, seconds, 0);
    busy = worker_percent(&b, seconds, commits);

    fputs("ready\n", stderr);
    while (go != NULL && access(go, F_OK) != 0) {
        bench_poll(&b, 50);
    }

    for (i = 0; i < samples; i++) {
        n += sample(&b, i, times + n, &codes);

        /* not in step with the worker's timer */
        (void) RAND_bytes(&random, 1);
        bench_poll(&b, random);
    }

    qsort(times, n, sizeof(times[0]), compare);
    for (i = 0; i < n; i++) {
        late += times[i] >= 1000;
    }

    printf("{\"websockets\":%zu,\"sessions\":%zu,\"revoked\":%zu,"
           "\"closed\":%zu,\"with_1008\":%zu,\"late\":%zu,"
           "\"close_ms\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f},",
           b.socket_count, b.session_count, samples, n, codes, late,
           times[n / 2], times[n * 99 / 100], times[n - 1]);
    i = bench_alive(&b);
    printf("\"others\":%zu,\"others_answer\":%zu,\"lost\":%zu,"
           "\"idle_percent\":%.3f,\"commits_a_second\":%u,"
           "\"commits_percent\":%.3f}\n",
           b.socket_count - n, i, b.lost, idle, commits, busy);

    aml_registry_close(b.registry);

    return 0;
}
