/*
 * Who listens on TCP ports of this network namespace: what the kernel says by
 * netlink (sock_diag(7)).  Reads only; nothing blocks for longer than a call.
 */

#ifndef AMLD_LISTENERS_H
#define AMLD_LISTENERS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define AMLD_LISTENERS_MAX 1024 /* of a namespace; the rest is not seen */

typedef struct {
    unsigned port;
    int family; /* AF_INET, AF_INET6 */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } addr;
    int v6only;
    uint32_t inode;
    uint64_t cookie; /* never the same for two sockets */
} amld_listener_socket_t;

/*
 * Fills `list` with those on `port`, or on all ports where it is 0.  How many,
 * or -1 (errno) where the kernel does not say.
 */
int amld_listeners(unsigned port, amld_listener_socket_t *list, size_t most);

/*
 * May a connection to 127.0.0.1 come to it?  What is more specific than
 * another does not matter: whoever asks wants all of them to be trusted.
 */
int amld_listener_takes_loopback(const amld_listener_socket_t *l);

/* Where to connect for it: a loopback address, or its own. */
socklen_t amld_listener_address(const amld_listener_socket_t *l,
                                struct sockaddr_storage *addr);

/* 1 when a living process below `root`, or `root` itself, has the socket with
 * that inode open. */
int amld_listener_is_below(uint32_t inode, pid_t root);

#endif /* AMLD_LISTENERS_H */
