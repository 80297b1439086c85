/*
 * Between relay.c, which knows ports, and relay_pipe.c, which carries bytes.
 */

#ifndef AMLD_RELAY_INTERNAL_H
#define AMLD_RELAY_INTERNAL_H

#include <stdint.h>
#include <sys/stat.h>

#include "computes/services/listeners.h"
#include "computes/services/relay.h"

#define RELAY_COOKIES 16 /* listeners of a port, with SO_REUSEPORT */

typedef enum {
    RELAY_SIGNALS,
    RELAY_ENDS,
    RELAY_LISTENS,
    RELAY_PIPE
} relay_kind_t;

/* What epoll tells of. */
typedef struct {
    relay_kind_t kind;
    int fd; /* or -1 */
    uint32_t events;
    void *of; /* relay_port_t, relay_pipe_t */
    int side; /* of a pipe: 0 is the gateway, 1 the application */
} relay_end_t;

/* Who listens on a port: the same set is the same listeners. */
typedef struct {
    size_t n;
    uint64_t cookies[RELAY_COOKIES];
    amld_listener_socket_t to; /* where to connect */
} relay_set_t;

typedef struct {
    unsigned port; /* 0: a free place */
    relay_end_t end;
    relay_set_t trusted; /* n is 0: nobody is */
    dev_t device;        /* of the socket, when it is ours */
    ino_t inode;
    int seen; /* of a round that looks at all */
    int said; /* that somebody else is there */

} relay_port_t;

typedef struct relay_pipe {
    struct relay_pipe *next, **at;
    relay_end_t ends[2];
    relay_port_t *port;
    relay_set_t before; /* who listened when it was begun */
    int connecting;
    int dead;
    int64_t by; /* must be connected then */
    struct {    /* from ends[i] to the other */
        char *bytes;
        size_t from, n;
        int over; /* nothing more comes from there */
        int told; /* and the other has been told */
        int gone; /* it has hung up: epoll says so for ever */
    } way[2];
} relay_pipe_t;

typedef struct {
    const amld_relay_options_t *options;
    int epoll;
    relay_end_t signals, ends;
    relay_port_t ports[AMLD_RELAY_PORTS];
    amld_listener_socket_t *list; /* AMLD_LISTENERS_MAX, for a look */
    relay_pipe_t *pipes, *dead;
    size_t pipe_count, pipe_most;
    int full; /* no more are accepted for now */
} relay_t;

/* relay.c */

int64_t relay_now(void); /* monotonic, ms */
int relay_watch(relay_t *r, relay_end_t *end, uint32_t events);
/* Looks who listens there now; 1 when all of them are trusted. */
int relay_look(relay_t *r, relay_port_t *port, relay_set_t *set);

/* relay_pipe.c */

void relay_accept(relay_t *r, relay_port_t *port);
void relay_event(relay_t *r, relay_end_t *end, uint32_t events);
void relay_late(relay_t *r, int64_t now); /* ends what does not connect */
void relay_bury(relay_t *r);              /* after a round of events */
void relay_end_all(relay_t *r);

#endif /* AMLD_RELAY_INTERNAL_H */
