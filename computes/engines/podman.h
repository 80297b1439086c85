/*
 * The engine podman, in its steps: `amld engine-podman VERB FILE` is run under
 * a shim for an instance and may block; the daemon itself only writes FILE
 * (engine_podman.c) and runs these.
 *
 *   prepare   directories, network, container: it runs when this has ended
 *   clear     the container is stopped; what was changed in it stays
 *   remove    it is gone, and its network when it was the last in there
 *   exec [--directory DIR] [--group] -- COMMAND…
 *             in the container; the environment is the command's
 *   beside --name NAME --image REF [--directory DIR] [--group] -- [COMMAND…]
 *             in a container of its own, of an image that is here; its name,
 *             uids, network and limits are the instance's
 *   ports     the relay in the container's network, see relay.h
 *   join      a hook: what is on standard input, oci-runtime's state of a
 *             container beside it, gets into the instance's cgroups
 *
 * With --group SIGTERM is for all that the command has started, and what it
 * leaves behind is ended.
 *
 * All may be killed at any moment and run again.
 */

#ifndef AMLD_PODMAN_H
#define AMLD_PODMAN_H

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AMLD_PODMAN_MARK "AML_JOB_COMMAND=" /* of what --group runs inside */

/* Inside, in every instance. */
#define AMLD_PODMAN_SOCKETS "/run/aml"
#define AMLD_PODMAN_SHARE "/share"
#define AMLD_PODMAN_HOME "/root"
#define AMLD_PODMAN_KEPT "/.aml" /* in that: settings, "run" */
#define AMLD_PODMAN_PRIVATE AMLD_PODMAN_HOME AMLD_PODMAN_KEPT

/* In the instance's private directory. */
#define AMLD_PODMAN_SPEC "podman.json"
#define AMLD_PODMAN_SOCKETS_DIR "s"

#define AMLD_PODMAN_RANGE 65536 /* uids of a person */
#define AMLD_PODMAN_KEY 8       /* characters */

#define AMLD_PODMAN_NETWORKS 1024
#define AMLD_PODMAN_RULES (65536 + AMLD_PODMAN_NETWORKS * 192) /* bytes */

/* FILE; strings are of `json`. */
typedef struct {
    json_t *json;
    const char *podman;
    const char *wish; /* OCI runtime, or "auto" */
    const char *image;
    const char *gpu;       /* kind of CDI device */
    const char *state;     /* amld's state directory */
    const char *key;       /* of that: in the names of all that is ours */
    const char *name;      /* host name */
    const char *container; /* its name */
    const char *directory; /* the instance's private one */
    const char *share;
    const char *folder; /* below the share */
    const char *subnet; /* "" for the default */
    const json_t *host_ports;
    const json_t *gateway; /* uids */
    const json_t *images;  /* patterns of those that may be run beside it */
    const json_t *before;  /* first uids of earlier ranges of the creator's */
    const char *account;   /* theirs on this machine, or "" */
    int64_t account_least; /* the lowest uid of such */
    int64_t uid;           /* of root inside */
    int64_t group;         /* of the gateway, or -1 */
    int64_t cores, memory, gpus, pids;
    unsigned timeout; /* seconds, of a call of podman */
} amld_podman_spec_t;

/* 0, or -1 with a line for people in `err`. */
int amld_podman_spec_read(amld_podman_spec_t *s, const char *file, char *err,
                          size_t size);
void amld_podman_spec_free(amld_podman_spec_t *s);

/* "aml-<key>-<what the subnet's id is hashed to>" */
void
amld_podman_network_name(const amld_podman_spec_t *s, char *name, size_t size);

/*
 * Makes the network where it is missing, with the rules that keep it apart; it
 * stays there until *lock is closed.  0, or -1.
 */
int amld_podman_network(const amld_podman_spec_t *s, int *lock, char *err,
                        size_t size);

/* What is known of the network is wrong: look again. */
void amld_podman_network_doubt(const amld_podman_spec_t *s);

/* Removes it when nobody is in it any more.  A failure is said, no more. */
void amld_podman_network_drop(const amld_podman_spec_t *s);

/* In the default network instances don't reach each other either: to be called
 * after one has started, and when a port may be new.  0, and how many ports
 * were not apart, or -1. */
int amld_podman_network_apart(const amld_podman_spec_t *s, size_t *closed,
                              char *err, size_t size);

/* Known, with a bridge. */
int amld_podman_network_exists(const amld_podman_spec_t *s);

/* An instance is being started, or a network made or removed. */
int amld_podman_network_busy(const amld_podman_spec_t *s);

/*
 * The rules of all networks: where something is missing of them, or with
 * `anew`, they are made again.  0, and whether something was missing in
 * *mended; 1 when networks are being made or removed just now; or -1.
 */
int amld_podman_network_tend(const amld_podman_spec_t *s, int anew, int *mended,
                             char *err, size_t size);

/* The rules for `count` bridges, for nft's standard input; 0, or -1 when there
 * is no room. */
int amld_podman_rules(const amld_podman_spec_t *s, const char *const *bridges,
                      size_t count, char *text, size_t size);

/* Directories in the private one, the sockets' file system, whose the creator's
 * folder is; what a run before this one has left is removed.  0, or -1. */
int amld_podman_files(const amld_podman_spec_t *s, char *err, size_t size);

/* The sockets' file system goes, and what is temporary; with `all` root's home
 * as well. */
void amld_podman_files_clear(const amld_podman_spec_t *s, int all);

/*
 * Chooses `count` devices of the kind that no other instance has: numbers, as
 * "0,3", into `text`.  0, or -1 and why.  Under the lock of the network.
 */
int amld_podman_gpus(const amld_podman_spec_t *s, char *text, size_t size,
                     char *err, size_t err_size);

/* A container that runs. */
typedef struct {
    char id[65];
    char runtime[PATH_MAX];
    int64_t pid; /* of its first process */
    uint64_t started;
} amld_podman_container_t;

/* Makes or starts it, unless it runs; 0, or -1. */
int amld_podman_up(const amld_podman_spec_t *s, amld_podman_container_t *c,
                   char *err, size_t size);

/* What the last amld_podman_up() has found, if that still runs. */
int
amld_podman_running(const amld_podman_spec_t *s, amld_podman_container_t *c);

/* Ends all that runs in it; with `remove` it is gone.  That there is none is
 * no fault. */
int amld_podman_down(const amld_podman_spec_t *s, int remove, char *err,
                     size_t size);

/* The devices that the container has, as amld_podman_gpus() says them; 0, or
 * -1. */
int amld_podman_gpus_of(const amld_podman_spec_t *s, char *text, size_t size,
                        char *err, size_t err_size);


/* ---- containers beside it ---- */

/* Of a command: what `exec` and `beside` are called with. */
typedef struct {
    const char *name;
    const char *image;
    const char *directory; /* NULL: where commands begin */
    int group;
    char **command;
    char *const *environment;
} amld_podman_command_t;

/*
 * Runs it, with the standard descriptors that there are, to its end: what
 * wait(2) says of it; -1 and why when there was none.  SIGTERM and SIGINT,
 * which are blocked from then on, end it by SIGTERM.
 */
int amld_podman_beside(const amld_podman_spec_t *s,
                       const amld_podman_command_t *command, char *err,
                       size_t size);

/* Removes those whose commands were killed; with `all` every one.  A failure is
 * said, no more. */
void amld_podman_beside_clear(const amld_podman_spec_t *s, int all);

/* 1 when it is the name of an image, and nothing else that podman takes for
 * one: an archive, a directory, an option. */
int amld_podman_is_image(const char *name);

/* What the machine allows, into a command line. */
struct amld_podman_args;
void amld_podman_limits(struct amld_podman_args *a);

/*
 * A container beside the instance's has the instance's limits together with it,
 * whatever version of cgroups the machine has and whoever manages them: this
 * moves its first process, before that runs anything, from the cgroups that
 * the runtime has made to those of the instance's first process.  0, or -1:
 * it must not run then.
 */
int amld_podman_join(const amld_podman_spec_t *s, FILE *state, char *err,
                     size_t size);

/* Ends what the command has left in a container; see --group. */
void amld_podman_sweep(const amld_podman_command_t *command);

/* The relay, until the container or this is ended; 0, or -1. */
int amld_podman_ports_run(const amld_podman_spec_t *s, char *err, size_t size);

/* main() of `amld engine-podman`. */
int amld_podman_step_main(int argc, char **argv);

#endif /* AMLD_PODMAN_H */
