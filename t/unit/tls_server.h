/*
 * A server of HTTPS in the test's own process, with an authority and
 * certificates of its own, that answers as a test tells it to: well, slowly,
 * in part, or not at all.
 */

#ifndef AML_TEST_TLS_SERVER_H
#define AML_TEST_TLS_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TLS_REQUEST_MAX 8192
#define TLS_CONNECTIONS 256

typedef struct tls_server tls_server_t;

typedef struct {
    tls_server_t *server;
    int fd;
    SSL *ssl; /* NULL: plain */
    char request[TLS_REQUEST_MAX];
    char path[256];
} tls_conn_t;

typedef void (*tls_answer_pt)(tls_conn_t *c);

struct tls_server {
    int fd;
    unsigned port;
    SSL_CTX *ctx;
    tls_answer_pt answer;
    void *data;
    atomic_uint requests; /* that were read whole */
    atomic_int ends;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_t conn[TLS_CONNECTIONS];
    size_t conns;
};


/* ---- certificates ---- */

typedef struct {
    EVP_PKEY *key;
    X509 *cert;
} tls_ca_t;


static inline void
tls_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *e;
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}


/* `until`: seconds from now; `ca` NULL: an authority, signed by itself. */
static inline X509 *
tls_certificate(EVP_PKEY *key, const char *name, long until, const tls_ca_t *ca)
{
    static long serial = 1;
    X509 *cert = X509_new();
    char alt[128];

    assert_non_null(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400 * 2);
    X509_gmtime_adj(X509_getm_notAfter(cert), until);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *) name, -1, -1, 0);
    X509_set_issuer_name(cert,
                         X509_get_subject_name(ca != NULL ? ca->cert : cert));
    if (ca == NULL) {
        tls_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
        tls_extension(cert, cert, NID_key_usage, "critical,keyCertSign");
    } else {
        snprintf(alt, sizeof(alt), "DNS:%s", name);
        tls_extension(cert, ca->cert, NID_subject_alt_name, alt);
    }
    assert_true(X509_sign(cert, ca != NULL ? ca->key : key, EVP_sha256()) > 0);

    return cert;
}


/* An authority; its certificate is in `file`. */
static inline tls_ca_t
tls_ca(const char *file)
{
    tls_ca_t ca;
    FILE *f;

    ca.key = EVP_EC_gen("P-256");
    assert_non_null(ca.key);
    ca.cert = tls_certificate(ca.key, "test authority", 86400, NULL);

    f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, ca.cert), 1);
    fclose(f);

    return ca;
}


static inline void
tls_ca_free(tls_ca_t *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
}


/* ---- what a test's answers are made of ---- */

/* As much as the client takes. */
static inline int
tls_write(tls_conn_t *c, const void *data, size_t n)
{
    const char *p = data;
    ssize_t k;

    while (n > 0) {
        k = c->ssl != NULL ? SSL_write(c->ssl, p, n > 16384 ? 16384 : (int) n)
                           : send(c->fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) {
            return -1;
        }
        p += k;
        n -= (size_t) k;
    }

    return 0;
}


static inline int
tls_say(tls_conn_t *c, const char *text)
{
    return tls_write(c, text, strlen(text));
}


/* Status line and headers as they are, lines ended by "\r\n", and a body. */
static inline void
tls_reply(tls_conn_t *c, const char *head, const char *body)
{
    char text[2048];

    snprintf(
        text, sizeof(text),
        "HTTP/1.1 %.1500s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
        head, strlen(body));
    (void) tls_say(c, text);
    (void) tls_say(c, body);
}


static inline void
tls_json(tls_conn_t *c, const char *body)
{
    tls_reply(c, "200 OK\r\nContent-Type: application/json", body);
}


static inline void
tls_nap(unsigned ms)
{
    struct timespec t = {ms / 1000, (long) (ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}


/* Until the client has gone, or the server ends. */
static inline void
tls_hang(tls_conn_t *c)
{
    char byte;

    while (!atomic_load(&c->server->ends) &&
           recv(c->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0) {
        tls_nap(20);
    }
}


/* ---- the server ---- */

/* Head and body. */
static inline int
tls_read(tls_conn_t *c)
{
    size_t n = 0, want = 0;
    char *end, *length;
    ssize_t k;

    for (;;) {
        c->request[n] = '\0';
        end = strstr(c->request, "\r\n\r\n");
        if (end != NULL) {
            length = strcasestr(c->request, "content-length:");
            want =
                (size_t) (end + 4 - c->request) +
                (length != NULL && length < end ? strtoul(length + 15, NULL, 10)
                                                : 0);
            if (n >= want) {
                break;
            }
        }
        if (n == sizeof(c->request) - 1) {
            return -1;
        }

        k = c->ssl != NULL
                ? SSL_read(c->ssl, c->request + n,
                           (int) (sizeof(c->request) - 1 - n))
                : recv(c->fd, c->request + n, sizeof(c->request) - 1 - n, 0);
        if (k <= 0) {
            return -1;
        }
        n += (size_t) k;

        if (c->ssl == NULL && c->request[0] == 0x16) {
            strcpy(c->path, "/"); /* somebody speaks TLS */
            return 0;
        }
    }

    return sscanf(c->request, "%*s %255s", c->path) == 1 ? 0 : -1;
}


static inline void *
tls_conn_run(void *data)
{
    tls_conn_t *c = data;
    struct timeval patience = {.tv_sec = 20};

    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));

    if (c->ssl != NULL) {
        SSL_set_fd(c->ssl, c->fd);
    }

    if ((c->ssl == NULL || SSL_accept(c->ssl) == 1) && tls_read(c) == 0) {
        atomic_fetch_add(&c->server->requests, 1);
        c->server->answer(c);
        if (c->ssl != NULL) {
            (void) SSL_shutdown(c->ssl);
        }
    }

    SSL_free(c->ssl);
    close(c->fd);
    free(c);

    return NULL;
}


static inline void *
tls_server_run(void *data)
{
    tls_server_t *s = data;
    tls_conn_t *c;
    int fd;

    while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
        c = calloc(1, sizeof(*c));
        if (c == NULL || s->conns == TLS_CONNECTIONS) {
            abort();
        }
        c->server = s;
        c->fd = fd;
        c->ssl = s->ctx != NULL ? SSL_new(s->ctx) : NULL;
        if (pthread_create(&s->conn[s->conns], NULL, tls_conn_run, c) != 0) {
            abort();
        }
        s->conns++;
    }

    return NULL;
}


/* Which port is free is the kernel's to say; a `port` that a server had
 * before can be had again. */
static inline void
tls_server_listen(tls_server_t *s, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof(at);
    int one = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t) port);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(s->fd, (struct sockaddr *) &at, sizeof(at)), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *) &at, &n), 0);
    s->port = ntohs(at.sin_port);
    s->conns = 0;
    atomic_store(&s->ends, 0);
    assert_int_equal(pthread_create(&s->thread, NULL, tls_server_run, s), 0);
}


/* With `ca` NULL a plain one; `until` as above. */
static inline tls_server_t *
tls_server(const tls_ca_t *ca, const char *name, long until,
           tls_answer_pt answer)
{
    tls_server_t *s = calloc(1, sizeof(*s));
    EVP_PKEY *key;
    X509 *cert;

    assert_non_null(s);
    signal(SIGPIPE, SIG_IGN);
    s->answer = answer;

    if (ca != NULL) {
        key = EVP_EC_gen("P-256");
        cert = tls_certificate(key, name, until, ca);
        s->ctx = SSL_CTX_new(TLS_server_method());
        assert_non_null(s->ctx);
        assert_int_equal(SSL_CTX_use_certificate(s->ctx, cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, key), 1);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    tls_server_listen(s, 0);

    return s;
}


/* Nobody listens from now on; tls_server_listen() undoes it. */
static inline void
tls_server_down(tls_server_t *s)
{
    size_t i;

    atomic_store(&s->ends, 1);
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (i = 0; i < s->conns; i++) {
        pthread_join(s->conn[i], NULL);
    }
}


static inline void
tls_server_free(tls_server_t *s)
{
    tls_server_down(s);
    SSL_CTX_free(s->ctx);
    free(s);
}

#endif /* AML_TEST_TLS_SERVER_H */
