/*
 * amld relay: makes TCP ports reachable by unix sockets, and so only for
 * whoever may open these.  For each port it makes `<directory>/<port>.sock`
 * while something that it trusts listens there, and takes it away again.
 *
 *   amld relay --dir DIRECTORY [--port PORT]... -- command…
 *
 * runs the command, and trusts what listens below itself (processes, however
 * often they fork): on a machine that is shared anybody may take a port first.
 * It looks before and after it connects: the listener must be the same one,
 * so that what is sent has come to it and to nobody else.  It hands SIGTERM on
 * to the command's process group and ends as the command does.
 *
 * The engine podman runs it in an instance's network, where it trusts all and
 * serves all ports: amld_relay_run().
 *
 * A socket that is there already and that somebody listens on is left alone:
 * a command may listen on it by itself.
 */

#ifndef AMLD_RELAY_H
#define AMLD_RELAY_H

#include <stddef.h>
#include <sys/types.h>

#define AMLD_RELAY_PORTS 256 /* at most so many at a time */
#define AMLD_RELAY_TAKEN 98  /* exit status: a port is somebody else's */

typedef struct {
    const char *directory;
    const unsigned *ports;
    size_t port_count; /* 0: all that there are */
    int below;         /* trusts descendants only */
    pid_t child;       /* ends with it; 0: none */
    int ends;          /* and when this polls readable; -1: nothing */
} amld_relay_options_t;

/* Signals must be blocked.  The exit status: the child's, or 0. */
int amld_relay_run(const amld_relay_options_t *options);

/* argv[0] is "relay". */
int amld_relay_main(int argc, char **argv);

#endif /* AMLD_RELAY_H */
