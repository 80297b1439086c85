/*
 * A lean client of tunnels, for ./dev bench tunnel.
 *
 *     tunnel_client --connect IP:PORT --sni HOST --ca FILE --path PATH
 *                   [--bearer TOKEN] [--idle N [--tls-only]]
 *
 * A ProxyCommand: standard input goes into the tunnel, what comes out of it to
 * standard output.  With --idle it opens so many tunnels, says "open", and
 * keeps them until standard input ends; with --tls-only these are no tunnels
 * yet.
 */

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sys/resource.h>

#include "bench/client.h"
#include "upstreams/ws_frame.h"

#define BUFFER 65536
#define HEAD 8 /* of a masked frame of less than 64 KB */


typedef struct {
    struct sockaddr_in addr;
    const char *sni;
    const char *path;
    const char *bearer;
    SSL_CTX *tls;
} place_t;

/* What comes out of a tunnel: frames of the gateway's. */
typedef struct {
    uint8_t head[AML_WS_HEADER_MAX];
    size_t have;
    uint64_t left;
    int in_payload;
} reader_t;


static void
write_all(int fd, const uint8_t *p, size_t n)
{
    ssize_t k;

    while (n > 0) {
        k = write(fd, p, n);
        if (k < 0) {
            client_die("write");
        }
        p += k;
        n -= (size_t) k;
    }
}


static void
send_all(SSL *ssl, const uint8_t *p, size_t n)
{
    struct pollfd fd = {.fd = SSL_get_fd(ssl)};
    int k;

    while (n > 0) {
        k = SSL_write(ssl, p, (int) n);
        if (k > 0) {
            p += k;
            n -= (size_t) k;
            continue;
        }
        switch (SSL_get_error(ssl, k)) {
        case SSL_ERROR_WANT_WRITE:
            fd.events = POLLOUT;
            break;
        case SSL_ERROR_WANT_READ:
            fd.events = POLLIN;
            break;
        default:
            client_die("SSL_write");
        }
        (void) poll(&fd, 1, -1);
    }
}


/* Byte by byte up to the empty line, so that no frame is read. */
static SSL *
open_tunnel(const place_t *at)
{
    char text[4096];
    size_t n = 0;
    int k;
    SSL *ssl = client_connect(at->tls, &at->addr, at->sni, 60);

    k = snprintf(text, sizeof(text),
                 "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
                 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s\r\n\r\n",
                 at->path, at->sni, at->bearer ? "Authorization: Bearer " : "",
                 at->bearer ? at->bearer : "Pragma: no-cache");
    if (k < 0 || (size_t) k >= sizeof(text)) {
        client_die("token");
    }
    send_all(ssl, (const uint8_t *) text, (size_t) k);

    while (n < 4 || memcmp(text + n - 4, "\r\n\r\n", 4) != 0) {
        if (n + 1 == sizeof(text) || SSL_read(ssl, text + n, 1) != 1) {
            client_die("handshake");
        }
        n++;
    }
    if (strncmp(text, "HTTP/1.1 101 ", 13) != 0) {
        text[n] = '\0';
        fputs(text, stderr);
        client_die("refused");
    }

    return ssl;
}


/* Payload at buf + HEAD; the frame may begin behind buf. */
static void
say(SSL *ssl, uint8_t *buf, size_t n)
{
    static const uint8_t mask[4] = {0x5a, 0xc3, 0x96, 0x1f};
    uint8_t head[AML_WS_HEADER_MAX], *frame;
    size_t size = aml_ws_header(head, 0x82, n), i;
    uint32_t word, key;

    head[1] |= 0x80;
    memcpy(head + size, mask, sizeof(mask));
    memcpy(&key, mask, sizeof(key));
    for (i = 0; i + 4 <= n; i += 4) {
        memcpy(&word, buf + HEAD + i, sizeof(word));
        word ^= key;
        memcpy(buf + HEAD + i, &word, sizeof(word));
    }
    for (; i < n; i++) {
        buf[HEAD + i] ^= mask[i & 3];
    }

    size += sizeof(mask);
    frame = buf + HEAD - size;
    memcpy(frame, head, size);
    send_all(ssl, frame, size + n);
}


/* 1 when a Close frame has come. */
static int
hear(reader_t *r, const uint8_t *p, size_t n)
{
    size_t k;

    while (n > 0) {
        if (!r->in_payload) {
            r->head[r->have++] = *p++;
            n--;
            if (r->have < aml_ws_header_size(r->head, r->have)) {
                continue;
            }
            if (r->head[0] == 0x88) {
                return 1;
            }
            if (aml_ws_payload_size(r->head, &r->left) != 0) {
                client_die("frame");
            }
            r->have = 0;
            r->in_payload = r->left > 0;
            continue;
        }
        k = n < r->left ? n : (size_t) r->left;
        if (r->head[0] == 0x82) {
            write_all(STDOUT_FILENO, p, k);
        }
        p += k;
        n -= k;
        r->left -= k;
        r->in_payload = r->left > 0;
    }

    return 0;
}


static void
relay(SSL *ssl)
{
    static uint8_t in[HEAD + BUFFER - 1], out[BUFFER];
    static const uint8_t bye[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    reader_t reader = {0};
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = SSL_get_fd(ssl), .events = POLLIN}};
    ssize_t n;
    int k;

    (void) fcntl(fds[1].fd, F_SETFL, O_NONBLOCK);

    for (;;) {
        (void) poll(fds, 2, SSL_pending(ssl) > 0 ? 0 : -1);

        if (fds[0].revents != 0) {
            n = read(STDIN_FILENO, in + HEAD, sizeof(in) - HEAD);
            if (n > 0) {
                say(ssl, in, (size_t) n);
            } else {
                send_all(ssl, bye, sizeof(bye));
                fds[0].fd = -1;
            }
        }

        while ((k = SSL_read(ssl, out, sizeof(out))) > 0) {
            if (hear(&reader, out, (size_t) k)) {
                return;
            }
        }
        if (SSL_get_error(ssl, k) != SSL_ERROR_WANT_READ) {
            return;
        }
    }
}


static void
keep_idle(const place_t *at, unsigned long count, int tls_only)
{
    struct rlimit limit;
    unsigned long i;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (i = 0; i < count; i++) {
        if (tls_only) {
            (void) client_connect(at->tls, &at->addr, at->sni, 60);
        } else {
            (void) open_tunnel(at);
        }
    }
    puts("open");
    (void) fflush(stdout);
    (void) getchar();
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'c'},
        {"sni", required_argument, NULL, 's'},
        {"ca", required_argument, NULL, 'a'},
        {"path", required_argument, NULL, 'p'},
        {"bearer", required_argument, NULL, 'b'},
        {"idle", required_argument, NULL, 'i'},
        {"tls-only", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    place_t at = {.path = "/"};
    const char *ca = NULL;
    unsigned long idle = 0;
    int c, tls_only = 0;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            at.addr = client_address(optarg);
            break;
        case 's':
            at.sni = optarg;
            break;
        case 'a':
            ca = optarg;
            break;
        case 'p':
            at.path = optarg;
            break;
        case 'b':
            at.bearer = optarg;
            break;
        case 'i':
            idle = strtoul(optarg, NULL, 10);
            break;
        case 't':
            tls_only = 1;
            break;
        default:
            return 2;
        }
    }
    if (ca == NULL || at.sni == NULL) {
        fputs("--connect, --sni and --ca are needed\n", stderr);
        return 2;
    }
    at.tls = client_context(ca);

    if (idle > 0) {
        keep_idle(&at, idle, tls_only);
    } else {
        relay(open_tunnel(&at));
    }

    return 0;
}
