#include <arpa/inet.h>
#include <stddef.h>

#include "upstreams/peer.h"


/* 1 to 5 digits, no leading zero, 1 to 65535; 0 when it is anything else. */
static unsigned
parse_port(const char *p, size_t n)
{
    unsigned port = 0;
    const char *end = p + n;

    if (n == 0 || n > 5 || *p == '0') {
        return 0;
    }

    for (; p < end; p++) {
        if (*p < '0' || *p > '9') {
            return 0;
        }
        port = port * 10 + (unsigned) (*p - '0');
    }

    return port <= 65535 ? port : 0;
}


static int
unix_peer(aml_str_t path, uint64_t generation, aml_peer_t *peer)
{
    if (path.n < 2 || path.n > AML_PEER_PATH_MAX || path.p[0] != '/') {
        return -1;
    }

    peer->addr.un.sun_family = AF_UNIX;
    memcpy(peer->addr.un.sun_path, path.p, path.n);

    /* behind the NUL: the kernel stops there, keepalive does not */
    memcpy(peer->addr.un.sun_path + path.n + 1, &generation,
           sizeof(generation));

    peer->len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + path.n +
                             1 + sizeof(generation));

    return 0;
}


static int
inet_peer(aml_str_t address, uint64_t generation, aml_peer_t *peer)
{
    int family;
    char text[INET6_ADDRSTRLEN];
    void *to;
    size_t n;
    unsigned port;
    const char *host;

    host = address.p;

    for (n = address.n; n != 0 && host[n - 1] != ':'; n--) {
        /* void */
    }

    if (n == 0) {
        return -1;
    }

    port = parse_port(host + n, address.n - n);
    n--;
    if (port == 0) {
        return -1;
    }

    family = AF_INET;
    to = &peer->addr.in.sin_addr;

    if (host[0] == '[') {
        if (n < 2 || host[n - 1] != ']') {
            return -1;
        }

        host++;
        n -= 2;
        family = AF_INET6;
        to = &peer->addr.in6.sin6_addr;
    }

    if (n == 0 || n >= sizeof(text)) {
        return -1;
    }

    memcpy(text, host, n);
    text[n] = '\0';

    if (inet_pton(family, text, to) != 1) {
        return -1;
    }

    if (family == AF_INET) {
        peer->addr.in.sin_family = AF_INET;
        peer->addr.in.sin_port = htons((uint16_t) port);
        memcpy(peer->addr.in.sin_zero, &generation, sizeof(generation));
        peer->len = sizeof(peer->addr.in);

    } else {
        peer->addr.in6.sin6_family = AF_INET6;
        peer->addr.in6.sin6_port = htons((uint16_t) port);
        peer->len = sizeof(peer->addr.in6);
    }

    return 0;
}


int
aml_peer_of(aml_str_t address, uint64_t generation, aml_peer_t *peer)
{
    aml_str_t scheme = aml_str("unix:");

    memset(peer, 0, sizeof(*peer));

    /* text behind a NUL would be taken for part of the address by nobody */
    if (address.n == 0 || memchr(address.p, '\0', address.n) != NULL) {
        return -1;
    }

    if (address.n > scheme.n && memcmp(address.p, scheme.p, scheme.n) == 0) {
        return unix_peer(
            (aml_str_t){address.p + scheme.n, address.n - scheme.n}, generation,
            peer);
    }

    return inet_peer(address, generation, peer);
}


size_t
aml_peer_address(aml_str_t address, unsigned port,
                 char text[AML_PEER_ADDRESS_MAX])
{
    char digits[8];
    const char *star;
    size_t n, before, after;

    star = address.n != 0 ? memchr(address.p, '*', address.n) : NULL;
    if (star == NULL || port == 0 || port > 65535) {
        return 0;
    }

    for (n = sizeof(digits); port != 0; port /= 10) {
        digits[--n] = (char) ('0' + port % 10);
    }

    before = (size_t) (star - address.p);
    after = address.n - before - 1;
    if (before + (sizeof(digits) - n) + after > AML_PEER_ADDRESS_MAX) {
        return 0;
    }

    memcpy(text, address.p, before);
    memcpy(text + before, digits + n, sizeof(digits) - n);
    memcpy(text + before + sizeof(digits) - n, star + 1, after);

    return before + sizeof(digits) - n + after;
}
