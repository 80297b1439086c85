/*
 * What the measuring clients share: TLS to the gateway, as browsers have it.
 * Whatever fails ends the program.
 */

#ifndef AML_BENCH_CLIENT_H
#define AML_BENCH_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


/* Says what failed, and with errno, unless 0, why. */
static inline void
client_die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
            errno != 0 ? strerror(errno) : "failed");
    ERR_print_errors_fp(stderr);
    exit(1);
}


/* Seconds of a clock. */
static inline double
client_seconds(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) != 0) {
        client_die("clock");
    }

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


/* Of "IPv4:port". */
static inline struct sockaddr_in
client_address(const char *text)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    const char *colon = strrchr(text, ':');
    char ip[INET_ADDRSTRLEN];

    if (colon == NULL || (size_t) (colon - text) >= sizeof(ip)) {
        errno = EINVAL;
        client_die(text);
    }
    memcpy(ip, text, (size_t) (colon - text));
    ip[colon - text] = '\0';
    addr.sin_port = htons((uint16_t) atoi(colon + 1));

    if (inet_pton(AF_INET, ip, &addr.sin_addr) != 1) {
        errno = EINVAL;
        client_die(text);
    }

    return addr;
}


/* TLS 1.3, verified by the authorities in the file `ca`. */
static inline SSL_CTX *
client_context(const char *ca)
{
    SSL_CTX *ctx;

    errno = 0;
    ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_load_verify_locations(ctx, ca, NULL)) {
        client_die("TLS context");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);

    return ctx;
}


/* A blocking connection whose reads wait for `seconds`, 0 for ever. */
static inline SSL *
client_connect(SSL_CTX *ctx, const struct sockaddr_in *addr, const char *sni,
               time_t seconds)
{
    struct timeval limit = {.tv_sec = seconds};
    int fd, one = 1;
    SSL *ssl;

    errno = 0;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        connect(fd, (const struct sockaddr *) addr, sizeof(*addr)) != 0) {
        client_die("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));

    ssl = SSL_new(ctx);
    if (ssl == NULL || !SSL_set_fd(ssl, fd) ||
        !SSL_set_tlsext_host_name(ssl, sni) || !SSL_set1_host(ssl, sni) ||
        SSL_connect(ssl) != 1) {
        client_die("TLS handshake");
    }

    return ssl;
}

#endif /* AML_BENCH_CLIENT_H */
