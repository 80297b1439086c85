/*
 * A route's address as a socket address.
 *
 * Keepalive caches of upstream connections compare raw sockaddr bytes.  The
 * generation of the instance is put behind the NUL of sun_path, so that an
 * address that is used again never meets a connection to the instance that
 * had it before.
 */

#ifndef AML_PEER_H
#define AML_PEER_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "auth/str.h"

typedef struct {
    union {
        struct sockaddr sa;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } addr;
    socklen_t len;
} aml_peer_t;

/* The path must leave room for a NUL and the 8 bytes of the generation. */
#define AML_PEER_PATH_MAX (sizeof(((struct sockaddr_un *) 0)->sun_path) - 9)

/*
 * `address` is "unix:/absolute/path", "a.b.c.d:port" or "[v6]:port".  For IPv4
 * the generation goes into sin_zero, for IPv6 into sin6_flowinfo's place it
 * can't: such addresses are never used twice by an engine.  0, or -1 when
 * malformed or too long.
 */
int aml_peer_of(aml_str_t address, uint64_t generation, aml_peer_t *peer);

/*
 * A route's address with the port in place of '*'; its length, at most
 * AML_PEER_ADDRESS_MAX, or 0 where there is no '*' or it is too long.
 */
#define AML_PEER_ADDRESS_MAX 256
size_t aml_peer_address(aml_str_t address, unsigned port,
                        char text[AML_PEER_ADDRESS_MAX]);

#endif /* AML_PEER_H */
