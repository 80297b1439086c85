/*
 * An engine says where commands run, nothing more: create, start, exec,
 * destroy.  Applications, jobs and services are commands.  What stops them,
 * looks after them and finds them again is the same for all: command.h.
 *
 * A new engine is one file that defines an amld_engine_t and one row in
 * engine.c.  Engines are called by the supervisor's thread only and never
 * block for longer than a fork(): what takes time is a command itself.
 */

#ifndef AMLD_ENGINE_H
#define AMLD_ENGINE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "computes/config/config.h"
#include "computes/engines/command.h"

/* An instance as an engine sees it; strings outlive the call. */
typedef struct {
    const char *name;         /* lower case, unique in the region */
    const char *runtime;      /* private directory, 0700: sockets, logs */
    const char *share;        /* the workspace's files */
    const char *directory;    /* working directory of its commands */
    const char *creator;      /* whose it is: principal, text of a UUID */
    const char *creator_name; /* a label */
    const char *account;      /* their Unix account, or NULL */
    const char *subnet;       /* "": the default one */
    unsigned cores;           /* 0 where nothing was said */
    unsigned long memory_mb;  /* likewise */
    unsigned gpus;
    unsigned range; /* its creator's number, where the engine has ranges */
} amld_engine_instance_t;

/* How what an instance has is called inside of it. */
typedef struct {
    char share[PATH_MAX];
    char directory[PATH_MAX];
    char runtime[PATH_MAX]; /* settings, and "run" */
    char kept[PATH_MAX];    /* that directory, outside */
    char sockets[PATH_MAX]; /* where applications make theirs */
    const char *user;       /* that commands run as; NULL: ask the machine */
    int as_root;            /* commands run as uid 0 */
} amld_engine_inside_t;

typedef struct {
    const char *name; /* of its log: runtime/<name>.log */
    const char *const *argv;
    const char *const *envp; /* additions to the engine's own */
    int status;              /* its result is asked for, see command.h */
    const char *input;       /* what it reads, see command.h */
    const char *directory;   /* where it runs, inside; NULL: the creator's */
    const char *bin;         /* first in PATH; NULL: where argv[0] is */
    /* Of the engine's host, never fetched: in a container of its own beside
     * the instance, with its share, its network and limits like its own, and
     * ended with it.  NULL: in the instance.  Not for engines without images.
     */
    const char *image;
    int once;       /* these are as in command.h: runs under its name once */
    int log;        /* a descriptor; 0: none */
    size_t log_max; /* bytes */
} amld_command_t;

/*
 * What is run to an end for an instance, see step.h.  An engine has PREPARE,
 * before anything is exec'd in the instance; CLEAR, when all of that has ended:
 * at a stop, a restart and after a start that failed; and REMOVE in its place
 * when the instance is deleted, also where CLEAR has been run.  Each may be run
 * again after it was killed half-way, and these two also where nothing is left.
 * The others are people's scripts.
 */
typedef enum {
    AMLD_STEP_PREPARE = 0,
    AMLD_STEP_CREATION,
    AMLD_STEP_STARTUP,
    AMLD_STEP_CLEAR,
    AMLD_STEP_REMOVE,
    AMLD_STEP_COUNT
} amld_step_kind_t;

#define AMLD_STEP_ARGS 32

/* Before the names of variables that are for a container of an image only: a
 * person's must not steer what starts it. */
#define AMLD_ENGINE_VARIABLE "AML_ENV_"

typedef struct {
    const char *name;
    const char *isolation; /* one sentence for logs and people */
    const char *sockets;   /* their place in the private directory: "", "/s" */
    int ranges;            /* each creator needs a number, see ranges.h */
    int images;            /* commands may have one of their own */

    /* NULL: all is called inside what it is called outside. */
    void (*inside)(const amld_config_t *c, const amld_engine_instance_t *i,
                   amld_engine_inside_t *inside);

    int (*create)(const amld_config_t *c, const amld_engine_instance_t *i,
                  char *err, size_t size);
    int (*start)(const amld_config_t *c, const amld_engine_instance_t *i,
                 char *err, size_t size);
    /*
     * Starts a command; it outlives amld.  0, or -1 and why.  The command is
     * held back until amld_engine_release(*hold): who it is can be written
     * down before it runs.  If `hold` is closed instead, also because amld
     * was killed, the command is called off.
     */
    int (*exec)(const amld_config_t *c, const amld_engine_instance_t *i,
                const amld_command_t *command, amld_command_id_t *id, int *hold,
                char *err, size_t size);
    /*
     * Starts amld's relay in the network that the instance has for itself, as
     * exec starts a command of the name `name`: it makes <port>.sock among the
     * sockets for each TCP port that something inside listens on.  NULL: the
     * instance shares the machine's network.
     */
    int (*ports)(const amld_config_t *c, const amld_engine_instance_t *i,
                 const char *name, amld_command_id_t *id, int *hold, char *err,
                 size_t size);
    /* 1 when what commands run in has ended: PREPARE is needed before another
     * is exec'd.  NULL: it never does. */
    int (*lost)(const amld_config_t *c, const amld_engine_instance_t *i);
    /*
     * The command of a step: AMLD_STEP_ARGS pointers each in argv and envp,
     * NULL-ended, strings in `room`.  It is run as amld's account, in the
     * private directory, with start_timeout to end in; what it has started
     * and left goes on.  1, 0 when there is nothing to do, -1 and why.  NULL:
     * an engine without steps.
     */
    int (*step)(const amld_config_t *c, const amld_engine_instance_t *i,
                amld_step_kind_t step, const char **argv, const char **envp,
                char *room, size_t room_size, char *err, size_t size);
    /* Ends whatever is left of the instance, at once, and removes from its
     * private directory "tmp", "run" and the sockets: what a stop takes. */
    int (*destroy)(const amld_config_t *c, const amld_engine_instance_t *i,
                   char *err, size_t size);
} amld_engine_t;

/* NULL when there is none of that name. */
const amld_engine_t *amld_engine_find(const char *name);

/* Of the configuration: "process" is two, see unix_accounts. */
const amld_engine_t *amld_engine_of(const amld_config_t *c);

/* Of the configuration; what an engine has no function for is answered, too. */
const char *amld_engine_sockets(const amld_config_t *c);
void amld_engine_inside(const amld_engine_t *engine, const amld_config_t *c,
                        const amld_engine_instance_t *i,
                        amld_engine_inside_t *inside);

/* First in the PATH of a command; "" where there is nothing. */
void amld_engine_bin(const amld_command_t *command, char *bin, size_t size);

/* What an engine without images says to one: -1, or 0. */
int amld_engine_no_image(const amld_command_t *command, char *err, size_t size);

/* What every engine's exec begins with: the instance's directories, what the
 * command is, and `env` (with the command's own additions in it). */
void
amld_engine_spawn(amld_command_spawn_t *spawn, const amld_engine_instance_t *i,
                  const amld_command_t *command, const amld_command_env_t *env);

/* Lets a command run that exec holds back, and closes `hold`; 0, or -1 when it
 * is gone already. */
int amld_engine_release(int hold);

#endif /* AMLD_ENGINE_H */
