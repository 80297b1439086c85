/*
 * A load client for the benchmarks: one thread, keepalive TLS connections,
 * exact numbers of prepared requests, and the CPU time that the servers'
 * processes spent on them.
 *
 *   load [--connections N] [--slices N] [--answer PATH [--port N]]
 *        SIDE [--against SIDE]
 *
 *   SIDE: --connect 127.0.0.1:PORT --sni NAME --ca FILE --requests FILE
 *         [--warm FILE] [--count N] [--status N] [--pid PID]...
 *
 * A file of requests holds whole requests without bodies, one behind the
 * other; they are sent in order, and from the start again after the last.
 * Every connection first sends one request of the warm file (by default the
 * first of the other), which is not counted.
 *
 * With two sides they take turns: each side's requests are sent in so many
 * slices, the side that goes first changing each time, so that whatever else
 * the machine does falls on both.  A slice ends when all of its answers are
 * there.  CPU time is read from the servers' process clocks, all threads
 * together, before and after each slice.
 *
 * With --answer it is the upstream, too (answer.h), and polls without ever
 * going to sleep.  To wake somebody on another core costs the server that is
 * measured up to as much as all else it does for a request, on a virtual
 * machine, and how often it has to depends on how fast it is: so nobody
 * sleeps, and no side pays for that.
 *
 * Writes one line of JSON: for each side an object with, among others, the
 * CPU time a request of each slice in microseconds.  Exits 0 also when
 * answers were not as expected: "failed" counts them and "first_failure" has
 * the first one's status line.
 */

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>


#include "bench/answer.h"
#include "bench/client.h"

#define LOAD_PIDS 64
#define LOAD_BUFFER 65536
#define LOAD_TIMEOUT 20 /* seconds without any event: give up */

typedef struct {
    const char *p;
    size_t n;
} load_request_t;

typedef struct {
    char *text;
    load_request_t *list;
    size_t count;
} load_requests_t;

typedef struct {
    int fd;
    SSL *ssl;
    const load_request_t *out; /* being sent; NULL while waiting */
    size_t have;               /* bytes in `in` */
    size_t body;               /* bytes of the body that are still due */
    int in_body;
    int status;
    char in[LOAD_BUFFER];
} load_conn_t;

typedef struct {
    const char *sni;
    const char *ca;
    const char *file;
    const char *warm_file;
    struct sockaddr_in addr;
    int epoll;
    answer_t *answer; /* NULL: somebody else is the upstream */
    load_conn_t *conns;
    size_t conn_count;
    load_requests_t requests;
    load_requests_t warm;
    const load_requests_t *now; /* which of them is being sent */
    size_t next;                /* number of the next request to send */
    size_t last;                /* the one at which to stop */
    size_t due;                 /* answers that are still to come */
    size_t count;               /* how many to send, warming apart */
    size_t failed;              /* answers with another status */
    int status;                 /* that is expected */
    char first[96];             /* first failure */
    pid_t pids[LOAD_PIDS];
    size_t pid_count;
    double *cpu_us; /* of each slice, a request */
    double seconds;
} load_side_t;


/* CPU time of a side's processes so far, ns. */
static uint64_t
load_cpu(const load_side_t *l)
{
    size_t i;
    uint64_t sum = 0;
    clockid_t clock;
    struct timespec ts;

    for (i = 0; i < l->pid_count; i++) {
        errno = clock_getcpuclockid(l->pids[i], &clock);
        if (errno != 0 || clock_gettime(clock, &ts) != 0) {
            client_die("CPU clock of the server");
        }
        sum += (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
    }

    return sum;
}


static void
load_read_requests(const char *file, load_requests_t *r)
{
    char *end, *p;
    FILE *f;
    long size;
    size_t room;

    f = fopen(file, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) <= 0) {
        client_die(file);
    }
    rewind(f);

    r->text = malloc((size_t) size + 1);
    if (r->text == NULL ||
        fread(r->text, 1, (size_t) size, f) != (size_t) size) {
        client_die(file);
    }
    fclose(f);
    r->text[size] = '\0';

    r->list = NULL;
    r->count = room = 0;

    for (p = r->text; *p != '\0'; p = end) {
        end = strstr(p, "\r\n\r\n");
        if (end == NULL) {
            errno = EINVAL;
            client_die(file);
        }
        end += 4;
        if (r->count == room) {
            room = room != 0 ? 2 * room : 64;
            r->list = realloc(r->list, room * sizeof(r->list[0]));
            if (r->list == NULL) {
                client_die(file);
            }
        }
        r->list[r->count++] = (load_request_t){p, (size_t) (end - p)};
    }
}


static void
load_connect(load_side_t *l, SSL_CTX *ctx, load_conn_t *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    c->ssl = client_connect(ctx, &l->addr, l->sni, 0);
    c->fd = SSL_get_fd(c->ssl);

    /* non-blocking only now: a blocking handshake is shorter to write */
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) {
        client_die("epoll");
    }
}


static void
load_wait_for(load_side_t *l, load_conn_t *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev) != 0) {
        client_die("epoll");
    }
}


static void
load_write(load_side_t *l, load_conn_t *c)
{
    int rc;
    size_t n;

    errno = 0;
    rc = SSL_write_ex(c->ssl, c->out->p, c->out->n, &n);
    if (rc == 1) {
        c->out = NULL;
        return;
    }
    if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_WRITE) {
        client_die("write");
    }
    load_wait_for(l, c, EPOLLIN | EPOLLOUT);
}


/* Sends the next request on `c`, if there is one left. */
static void
load_next(load_side_t *l, load_conn_t *c)
{
    if (l->next < l->last) {
        c->out = &l->now->list[l->next % l->now->count];
        l->next++;
        load_write(l, c);
    }
}


static void
load_answered(load_side_t *l, load_conn_t *c)
{
    if (c->status != l->status) {
        l->failed++;
    }
    l->due--;
    c->in_body = 0;
    load_next(l, c);
}


/* A whole header in `in`?  Then takes it off and knows the body's length. */
static int
load_header(load_side_t *l, load_conn_t *c)
{
    char *end, *p;

    c->in[c->have] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (end == NULL) {
        if (c->have == LOAD_BUFFER - 1) {
            errno = EMSGSIZE;
            client_die("header of an answer");
        }
        return 0;
    }
    end += 4;

    if (sscanf(c->in, "HTTP/1.1 %d ", &c->status) != 1) {
        errno = EPROTO;
        client_die("status line");
    }

    end[-2] = '\0';
    p = strcasestr(c->in, "\r\nContent-Length:");
    if (p == NULL && c->status != 204 && c->status != 304) {
        fprintf(stderr, "load: an answer without a length:\n%s", c->in);
        exit(1);
    }
    c->body = p != NULL
                  ? strtoul(p + sizeof("\r\nContent-Length:") - 1, NULL, 10)
                  : 0;
    c->in_body = 1;

    if (c->status != l->status && l->first[0] == '\0') {
        snprintf(l->first, sizeof(l->first), "%.*s",
                 (int) strcspn(c->in, "\r\"\\"), c->in);
    }

    c->have -= (size_t) (end - c->in);
    memmove(c->in, end, c->have);

    return 1;
}


static void
load_readable(load_side_t *l, load_conn_t *c)
{
    int rc;
    size_t n;

    for (;;) {
        errno = 0;
        rc =
            SSL_read_ex(c->ssl, c->in + c->have, LOAD_BUFFER - 1 - c->have, &n);
        if (rc != 1) {
            if (SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ) {
                return;
            }
            client_die("the server closed a connection");
        }
        c->have += n;

        if (!c->in_body && !load_header(l, c)) {
            continue;
        }
        n = c->have < c->body ? c->have : c->body;
        c->have -= n;
        c->body -= n;
        if (c->have != 0) {
            errno = EPROTO;
            client_die("more than one answer");
        }
        if (c->body == 0) {
            load_answered(l, c);
        }
    }
}


/* As epoll_wait(); gives up after a while without any event. */
static int
load_wait(load_side_t *l, struct epoll_event *ev, int max)
{
    int n;
    unsigned long polls;
    double start;

    if (l->answer == NULL) {
        n = epoll_wait(l->epoll, ev, max, LOAD_TIMEOUT * 1000);

    } else {
        start = client_seconds(CLOCK_MONOTONIC);
        polls = 0;
        do {
            answer_poll(l->answer);
            n = epoll_wait(l->epoll, ev, max, 0);
        } while (n == 0 &&
                 (++polls % 4096 != 0 ||
                  client_seconds(CLOCK_MONOTONIC) - start < LOAD_TIMEOUT));
    }

    if (n <= 0) {
        errno = n == 0 ? ETIMEDOUT : errno;
        client_die("waiting for answers");
    }

    return n;
}


/* Sends the next `count` requests and waits for their answers. */
static void
load_send(load_side_t *l, size_t count)
{
    int i, n;
    size_t k;
    load_conn_t *c;
    struct epoll_event ev[64];

    l->last = l->next + count;
    l->due = count;

    for (k = 0; k < l->conn_count; k++) {
        load_next(l, &l->conns[k]);
    }

    while (l->due != 0) {
        n = load_wait(l, ev, 64);
        for (i = 0; i < n; i++) {
            c = ev[i].data.ptr;
            if (c->out != NULL && (ev[i].events & EPOLLOUT) != 0) {
                load_wait_for(l, c, EPOLLIN);
                load_write(l, c);
            }
            if ((ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
                load_readable(l, c);
            }
        }
    }
}


static void
load_slice(load_side_t *l, size_t count, double *cpu_us)
{
    double start;
    uint64_t cpu;

    cpu = load_cpu(l);
    start = client_seconds(CLOCK_MONOTONIC);

    load_send(l, count);

    l->seconds += client_seconds(CLOCK_MONOTONIC) - start;
    *cpu_us = (double) (load_cpu(l) - cpu) / 1e3 / (double) count;
}


static void
load_start(load_side_t *l, size_t connections, size_t slices)
{
    size_t i;
    SSL_CTX *ctx;

    load_read_requests(l->file, &l->requests);
    if (l->warm_file != NULL) {
        load_read_requests(l->warm_file, &l->warm);
    } else {
        l->warm.list = l->requests.list;
        l->warm.count = 1;
    }

    ctx = client_context(l->ca);
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    l->conn_count = connections;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc(connections, sizeof(l->conns[0]));
    l->cpu_us = calloc(slices, sizeof(l->cpu_us[0]));
    if (l->epoll < 0 || l->conns == NULL || l->cpu_us == NULL) {
        client_die("start");
    }
    for (i = 0; i < connections; i++) {
        load_connect(l, ctx, &l->conns[i]);
    }
    SSL_CTX_free(ctx);

    l->now = &l->warm;
    load_send(l, connections);
    if (l->failed != 0) {
        fprintf(stderr, "load: %s: %s\n", l->sni, l->first);
        exit(1);
    }

    l->now = &l->requests;
    l->next = 0;
}


static void
load_print(const load_side_t *l, size_t slices)
{
    size_t i;

    printf("{\"requests\":%zu,\"failed\":%zu,\"seconds\":%.6f,"
           "\"first_failure\":\"%s\",\"cpu_us\":[",
           l->count, l->failed, l->seconds, l->first);
    for (i = 0; i < slices; i++) {
        printf("%s%.4f", i != 0 ? "," : "", l->cpu_us[i]);
    }
    fputs("]}", stdout);
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'a'},
        {"sni", required_argument, NULL, 's'},
        {"ca", required_argument, NULL, 'A'},
        {"requests", required_argument, NULL, 'r'},
        {"warm", required_argument, NULL, 'w'},
        {"count", required_argument, NULL, 'n'},
        {"status", required_argument, NULL, 'e'},
        {"pid", required_argument, NULL, 'p'},
        {"against", no_argument, NULL, '2'},
        {"connections", required_argument, NULL, 'c'},
        {"slices", required_argument, NULL, 'S'},
        {"answer", required_argument, NULL, 'u'},
        {"port", required_argument, NULL, 'P'},
        {NULL, 0, NULL, 0}};

    int o, port = 0;
    const char *path = NULL;
    answer_t *answer = NULL;
    size_t i, k, sides = 1, slices = 1, connections = 32;
    load_side_t side[2] = {{.status = 200, .count = 1000},
                           {.status = 200, .count = 1000}};
    load_side_t *l = &side[0];

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'a':
            l->addr = client_address(optarg);
            break;
        case 's':
            l->sni = optarg;
            break;
        case 'A':
            l->ca = optarg;
            break;
        case 'r':
            l->file = optarg;
            break;
        case 'w':
            l->warm_file = optarg;
            break;
        case 'n':
            l->count = strtoul(optarg, NULL, 10);
            break;
        case 'e':
            l->status = atoi(optarg);
            break;
        case 'p':
            if (l->pid_count < LOAD_PIDS) {
                l->pids[l->pid_count++] = (pid_t) atoi(optarg);
            }
            break;
        case '2':
            l = &side[1];
            sides = 2;
            break;
        case 'c':
            connections = strtoul(optarg, NULL, 10);
            break;
        case 'u':
            path = optarg;
            break;
        case 'P':
            port = atoi(optarg);
            break;
        case 'S':
            slices = strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }

    if (connections == 0 || slices == 0) {
        fputs("load: a number is 0\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (path != NULL) {
        answer = answer_new(path, port);
        if (answer == NULL) {
            client_die(path);
        }
    }
    for (i = 0; i < sides; i++) {
        l = &side[i];
        if (l->addr.sin_port == 0 || l->sni == NULL || l->ca == NULL ||
            l->file == NULL || l->count < slices) {
            fputs("load: --connect, --sni, --ca, --requests, and --count of "
                  "at least --slices are needed\n",
                  stderr);
            return 2;
        }
        l->answer = answer;
        load_start(l, connections, slices);
    }

    for (i = 0; i < slices; i++) {
        for (k = 0; k < sides; k++) {
            l = &side[sides == 1 ? 0 : (i + k) % 2];
            load_slice(l, l->count * (i + 1) / slices - l->count * i / slices,
                       &l->cpu_us[i]);
        }
    }

    putchar('[');
    for (i = 0; i < sides; i++) {
        if (i != 0) {
            putchar(',');
        }
        load_print(&side[i], slices);
    }
    puts("]");

    return 0;
}
