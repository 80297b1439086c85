/*
 * What goes through a tunnel: both directions at once, in one loop.
 */

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/text.h"
#include "cli/tunnel.h"
#include "upstreams/ws_decode.h"

#define RELAY_SIZE ((size_t) 128 * 1024) /* of a direction */
#define RELAY_PIPE (256 * 1024)
#define RELAY_MASKS 256     /* taken from the system at once */
#define RELAY_PING 30000    /* ms */
#define RELAY_SILENCE 60000 /* ms without a byte: it is dead */
#define RELAY_LINGER 2000   /* ms for a last Close */

typedef struct {
    cli_tunnel_t *t;
    int in, out;

    /* from the gateway: payload that waits to be written */
    uint8_t from[RELAY_SIZE];
    size_t from_at, from_n;
    aml_ws_decoder_t ws;
    int more; /* TLS may have more that poll() does not see */

    /* to the gateway: frames that are being sent */
    uint8_t to[RELAY_SIZE + CLI_WS_HEADER];
    size_t to_at, to_n;
    int blocked; /* until the socket can be written */

    /* what is to be sent between frames: the latest ping is answered */
    uint8_t pong[AML_WS_CONTROL_MAX];
    size_t pong_n;
    unsigned pong_due : 1;
    unsigned ping_due : 1;
    unsigned close_due : 1;
    unsigned close_sent : 1;
    unsigned close_came : 1;
    unsigned in_over : 1;
    unsigned out_over : 1;
    unsigned out_gone : 1; /* nobody reads any more; what is sent goes on */
    unsigned cut : 1;      /* the connection is gone */
    unsigned close_code;   /* that we send */
    unsigned code;         /* that came; 0: none */
    char reason[AML_WS_CONTROL_MAX];
    size_t reason_n;
    const char *wrong;

    long long heard, pinged, ends; /* ms; `ends` 0: not yet */

    uint8_t masks[RELAY_MASKS][4];
    size_t mask_at;
} relay_t;

static volatile sig_atomic_t relay_signal;


static void
relay_on_signal(int number)
{
    relay_signal = number;
}


static long long
relay_now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (long long) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/* ---- to the gateway ---- */

static const uint8_t *
relay_mask(relay_t *r)
{
    if (r->mask_at == RELAY_MASKS) {
        if (RAND_bytes(r->masks[0], sizeof(r->masks)) != 1) {
            r->wrong = "the system has no random bytes";
            r->cut = 1;
        }
        r->mask_at = 0;
    }

    return r->masks[r->mask_at++];
}


/* Appends a control frame to what is sent; there is room where it is empty. */
static void
relay_control(relay_t *r, unsigned opcode, const uint8_t *payload, size_t n)
{
    const uint8_t *mask = relay_mask(r);

    r->to_n += cli_ws_header(r->to + r->to_n, opcode, n, mask);
    if (n > 0) {
        memcpy(r->to + r->to_n, payload, n);
        cli_ws_mask(r->to + r->to_n, n, mask);
    }
    r->to_n += n;
}


/* Between two frames of data. */
static void
relay_controls(relay_t *r)
{
    uint8_t code[2] = {(uint8_t) (r->close_code >> 8), (uint8_t) r->close_code};

    if (r->close_sent) {
        return;
    }
    if (r->pong_due) {
        relay_control(r, CLI_WS_PONG, r->pong, r->pong_n);
        r->pong_due = 0;
    }
    if (r->ping_due) {
        relay_control(r, CLI_WS_PING, NULL, 0);
        r->ping_due = 0;
    }
    if (r->close_due) {
        relay_control(r, CLI_WS_CLOSE, code, 2);
        r->close_sent = 1;
    }
}


static void
relay_close(relay_t *r, unsigned code)
{
    if (!r->close_due) {
        r->close_due = 1;
        r->close_code = code;
    }
}


/* Reads one piece, and makes a frame of it. */
static void
relay_read(relay_t *r)
{
    const uint8_t *mask;
    uint8_t header[CLI_WS_HEADER];
    ssize_t n;
    size_t size;

    n = read(r->in, r->to + CLI_WS_HEADER, RELAY_SIZE);
    if (n < 0) {
        if (errno == EINTR || errno == EAGAIN) {
            return;
        }
        n = 0;
    }
    if (n == 0) {
        r->in_over = 1;
        relay_close(r, AML_WS_NORMAL);
        return;
    }

    mask = relay_mask(r);
    size = cli_ws_header(header, CLI_WS_BINARY, (uint64_t) n, mask);
    cli_ws_mask(r->to + CLI_WS_HEADER, (size_t) n, mask);
    r->to_at = CLI_WS_HEADER - size;
    r->to_n = CLI_WS_HEADER + (size_t) n;
    memcpy(r->to + r->to_at, header, size);
}


static void
relay_send(relay_t *r)
{
    CURLcode rc;
    size_t sent;

    while (r->to_at < r->to_n) {
        sent = 0;
        rc = curl_easy_send(r->t->curl, r->to + r->to_at, r->to_n - r->to_at,
                            &sent);
        if (rc == CURLE_AGAIN) {
            r->blocked = 1;
            return;
        }
        if (rc != CURLE_OK) {
            r->cut = 1;
            return;
        }
        r->to_at += sent;
    }
    r->to_at = r->to_n = 0;
}


/* ---- from the gateway ---- */

static void
relay_heard(relay_t *r, aml_ws_event_t event)
{
    size_t n = r->ws.control_size;

    switch (event) {

    case AML_WS_PING:
        memcpy(r->pong, r->ws.control, n);
        r->pong_n = n;
        r->pong_due = 1;
        break;

    case AML_WS_CLOSED:
        r->code = r->ws.code;
        r->reason_n = n > 2 ? n - 2 : 0;
        memcpy(r->reason, r->ws.control + (n > 2 ? 2 : 0), r->reason_n);
        r->close_came = 1;
        relay_close(r, AML_WS_NORMAL);
        break;

    case AML_WS_BROKEN:
        r->wrong = r->ws.code == AML_WS_UNSUPPORTED
                       ? "text came, and no bytes"
                       : "what came is no websocket";
        r->in_over = 1;
        relay_close(r, r->ws.code);
        r->ends = r->ends ? r->ends : relay_now() + RELAY_LINGER;
        break;

    default: /* a pong has been heard, and that is all */
        break;
    }
}


/* Takes frames apart; payload moves to where the buffer begins. */
static void
relay_decode(relay_t *r, size_t n)
{
    const uint8_t *in = r->from;
    uint8_t *out = r->from;
    aml_ws_event_t event;

    do {
        event = aml_ws_decode(&r->ws, &in, r->from + n, &out);
        relay_heard(r, event);
    } while (event != AML_WS_MORE);

    r->from_at = 0;
    r->from_n = (size_t) (out - r->from);
}


/* As much as there is, and fits. */
static void
relay_receive(relay_t *r)
{
    CURLcode rc = CURLE_OK;
    size_t n = 0, got;

    while (n < RELAY_SIZE) {
        got = 0;
        rc = curl_easy_recv(r->t->curl, r->from + n, RELAY_SIZE - n, &got);
        if (rc != CURLE_OK || got == 0) {
            break;
        }
        n += got;
    }
    r->more = rc == CURLE_OK && n == RELAY_SIZE;
    if (n > 0) {
        r->heard = relay_now();
        relay_decode(r, n);
    }
    if ((rc != CURLE_OK && rc != CURLE_AGAIN) ||
        (rc == CURLE_OK && n < RELAY_SIZE)) {
        r->cut = 1;
    }
}


static void
relay_write(relay_t *r)
{
    ssize_t n;

    while (r->from_at < r->from_n && !r->out_over) {
        n = write(r->out, r->from + r->from_at, r->from_n - r->from_at);
        if (n < 0 && errno == EINTR && relay_signal == 0) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n < 0) {
            r->out_over = 1;
            return;
        }
        r->from_at += (size_t) n;
    }
    r->from_at = r->from_n = 0;
}


/* ---- the loop ---- */

/* Nobody reads, or somebody wants an end: a Close, and no more. */
static void
relay_leave(relay_t *r, long long now)
{
    r->in_over = 1;
    r->from_at = r->from_n = 0;
    relay_close(r, AML_WS_GOING_AWAY);
    if (r->ends == 0) {
        r->ends = now + RELAY_LINGER;
    }
}


static int
relay_is_over(const relay_t *r, long long now)
{
    int sent = r->close_sent && r->to_at == r->to_n;

    if (r->ends != 0 && (now >= r->ends || sent || r->cut)) {
        return 1;
    }

    return r->from_at == r->from_n && (r->cut || (r->close_came && sent));
}


/* How long poll() may wait, ms. */
static int
relay_patience(const relay_t *r, long long now)
{
    long long until = r->heard + RELAY_SILENCE;

    if (r->pinged + RELAY_PING < until) {
        until = r->pinged + RELAY_PING;
    }
    if (r->ends != 0 && r->ends < until) {
        until = r->ends;
    }
    if (r->more && r->from_at == r->from_n && !r->close_came && !r->cut) {
        until = now;
    }

    return until > now ? (int) (until - now) : 0;
}


static void
relay_poll(relay_t *r, const sigset_t *mask, long long now)
{
    struct pollfd fd[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
    int patience = relay_patience(r, now), empty = r->from_at == r->from_n;
    struct timespec ts = {patience / 1000, (patience % 1000) * 1000000L};

    fd[0].fd = (int) r->t->socket;
    fd[0].events = (short) ((empty && !r->close_came && !r->cut ? POLLIN : 0) |
                            (r->blocked ? POLLOUT : 0));
    if (fd[0].events == 0) {
        fd[0].fd = -1;
    }
    if (r->to_at == r->to_n && !r->in_over && !r->close_due) {
        fd[1].fd = r->in;
        fd[1].events = POLLIN;
    }
    /* that its reader has gone shows without asking for room */
    fd[2].fd = r->out_over || (r->out_gone && empty) ? -1 : r->out;
    fd[2].events = empty ? 0 : POLLOUT;

    if (ppoll(fd, 3, &ts, mask) < 0) {
        return;
    }
    if (fd[0].revents & (POLLOUT | POLLERR | POLLHUP)) {
        r->blocked = 0;
    }
    if (empty && !r->close_came && !r->cut &&
        ((fd[0].revents & (POLLIN | POLLERR | POLLHUP)) || r->more)) {
        relay_receive(r);
    }
    if (fd[2].revents & (POLLERR | POLLNVAL)) {
        r->out_over = 1;
    }
    if (fd[2].revents & POLLHUP) {
        r->out_gone = 1;
    }
    relay_write(r);
    if (fd[1].revents) {
        relay_read(r);
    }
}


static void
relay_loop(relay_t *r, const sigset_t *mask)
{
    long long now = relay_now();

    r->heard = r->pinged = now;
    /* of a record that has not been read to its end poll() knows nothing */
    r->more = 1;
    if (r->t->early_n > 0) {
        memcpy(r->from, r->t->early, r->t->early_n);
        relay_decode(r, r->t->early_n);
        relay_write(r);
    }

    while (!relay_is_over(r, now)) {
        if (r->to_at == r->to_n && !r->cut) {
            relay_controls(r);
        }
        if (r->to_at < r->to_n && !r->blocked && !r->cut) {
            relay_send(r);
        }
        if (relay_is_over(r, now)) {
            break;
        }
        relay_poll(r, mask, now);

        now = relay_now();
        if (r->out_over || (r->out_gone && r->in_over) || relay_signal != 0) {
            relay_leave(r, now);
        }
        /* while nobody takes what has come, nothing is read */
        if (r->from_at < r->from_n) {
            r->heard = now;
        }
        if (now - r->pinged >= RELAY_PING) {
            r->pinged = now;
            r->ping_due = 1;
        }
        if (now - r->heard >= RELAY_SILENCE) {
            r->wrong = "nothing has come for a minute";
            r->cut = 1;
        }
    }
}


static int
relay_outcome(const relay_t *r)
{
    if (r->wrong != NULL) {
        return cli_fail(CLI_EXIT_UNREACHABLE, "the tunnel has ended: %s",
                        r->wrong);
    }
    if (r->close_came) {
        if (r->code == AML_WS_NORMAL || r->code == AML_WS_GOING_AWAY) {
            return CLI_EXIT_OK;
        }
        return cli_fail(CLI_EXIT_FAILED,
                        "the gateway has closed the tunnel: %.*s (%u)",
                        r->reason_n > 0 ? (int) r->reason_n : 13,
                        r->reason_n > 0 ? r->reason : "with no words", r->code);
    }
    if (r->out_over || r->out_gone || relay_signal != 0) {
        return CLI_EXIT_OK;
    }

    return cli_fail(CLI_EXIT_UNREACHABLE, "the connection was cut");
}


/* A pipe or a socket must not keep the other direction waiting; its flags are
 * those that it had, or -1. */
static int
relay_prepare(int fd)
{
    struct stat st;
    int flags;

    if (fstat(fd, &st) != 0 ||
        (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))) {
        return -1;
    }
    if (S_ISFIFO(st.st_mode)) {
        (void) fcntl(fd, F_SETPIPE_SZ, RELAY_PIPE);
    }
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        return -1;
    }

    return flags;
}


/* A terminal that is stopped must not either; as others have its description,
 * and would find it changed, it is opened anew. */
static int
relay_out(int fd)
{
    char path[32];
    int own;

    if (!isatty(fd)) {
        return fd;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    return own >= 0 ? own : fd;
}


int
cli_tunnel_relay(cli_tunnel_t *t, int in, int out)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = relay_on_signal};
    sigset_t blocked, before;
    relay_t *r = calloc(1, sizeof(*r));
    int rc, in_flags, out_flags;
    size_t i;

    if (r == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    r->t = t;
    r->in = in;
    r->out = relay_out(out);
    r->mask_at = RELAY_MASKS;
    r->ws.server = 1;

    (void) sigemptyset(&blocked);
    for (i = 0; i < 3; i++) {
        (void) sigaddset(&blocked, ends[i]);
        (void) sigaction(ends[i], &action, NULL);
    }
    (void) sigprocmask(SIG_BLOCK, &blocked, &before);
    in_flags = relay_prepare(in);
    out_flags = relay_prepare(out);

    relay_loop(r, &before);

    /* in the other order: both may be one, changed twice */
    if (out_flags >= 0) {
        (void) fcntl(out, F_SETFL, out_flags);
    }
    if (in_flags >= 0) {
        (void) fcntl(in, F_SETFL, in_flags);
    }
    if (r->out != out) {
        (void) close(r->out);
    }
    rc = relay_outcome(r);
    (void) sigprocmask(SIG_SETMASK, &before, NULL);
    free(r);

    return rc;
}
