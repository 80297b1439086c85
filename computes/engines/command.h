/*
 * Commands as processes of this machine, each under a shim (shim.c) whose
 * process is the command's identity.  What engines are made of.
 *
 * Every process of a command carries "AML_COMMAND=<runtime>/<name>" in its
 * environment.  It is how what a killed shim has left behind is found.
 *
 * Nothing here blocks for longer than a fork().
 */

#ifndef AMLD_COMMAND_H
#define AMLD_COMMAND_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "computes/engines/procfs.h"

#define AMLD_COMMAND_ENV 64   /* entries */
#define AMLD_COMMAND_ARGS 128 /* of shim and command together */
#define AMLD_COMMAND_ROOM 8192

/*
 * How a running command is found again after amld was killed: enough to tell
 * it from another process that got its number.  Kept in the registry.
 */
typedef struct {
    int64_t pid;
    uint64_t started;        /* start time in clock ticks since boot, proc(5) */
    char boot[AMLD_BOOT_ID]; /* /proc/sys/kernel/random/boot_id */
} amld_command_id_t;

typedef enum {
    AMLD_COMMAND_RUNNING,
    AMLD_COMMAND_ENDED,
    AMLD_COMMAND_LOST /* gone with a reboot, or not ours any more */
} amld_command_state_t;

/* Whom it runs as; needs amld to be root. */
typedef struct {
    uid_t uid;
    gid_t gid;
    const char *name; /* whose further groups it gets; NULL or "": none */
} amld_command_user_t;

typedef struct {
    const char *name;      /* of runtime/<name>.log and .status */
    const char *runtime;   /* private directory of the instance */
    const char *directory; /* working directory */
    const char *const *argv;
    const char *const *envp;         /* all of it, but for the mark */
    const amld_command_user_t *user; /* NULL: amld's own account */
    int status; /* runs to an end: its result is kept, its log begins anew */
    /* Its standard input; NULL: nothing.  Not an argument and no file, so that
     * nobody else of the machine can read it. */
    const char *input;
    int leave;         /* what it has started goes on when it has ended */
    int once;          /* no other has its name, ever: none has left anything */
    int group;         /* SIGTERM is for all of its process group */
    const char *enter; /* its directory, entered as `user`; or NULL */
    /* Where its log goes in place of the private directory: a descriptor that
     * appends; 0: none.  Beyond `log_max` bytes see cutlog.h. */
    int log;
    size_t log_max;
} amld_command_spawn_t;

/*
 * Starts a command that outlives amld.  0, or -1 and why.  It is held back
 * until amld_engine_release(*hold), see engine.h.  What an earlier one of the
 * name has left is ended and its result forgotten first.
 */
int amld_command_spawn(const amld_command_spawn_t *spawn, amld_command_id_t *id,
                       int *hold, char *err, size_t size);

/* Asks (SIGTERM) or makes (`kill_all`) a command and all that it started end;
 * above 1 also what should have done that.  0, or -1 when it has ended. */
int amld_command_stop(const amld_command_id_t *id, int kill_all);
amld_command_state_t amld_command_inspect(const amld_command_id_t *id);
/* A descriptor that polls readable when it has ended (pidfd), or -1 when it has
 * ended already; the caller closes it. */
int amld_command_watch(const amld_command_id_t *id);

/*
 * The result of a command that has ended: what its shim wrote down, which a
 * later amld can read, too.  The exit status; 128 and the number of the signal
 * that ended it; -1 when it was begun and has left none; -2 when it was not
 * begun: it was called off.
 */
#define AMLD_COMMAND_NO_RESULT (-1)
#define AMLD_COMMAND_NOT_BEGUN (-2)
int amld_command_result(const char *runtime, const char *name);

/* How many bytes of what it has said could not be written to its log, and the
 * errno of that; 0 where none are missing. */
uint64_t amld_command_lost(const char *runtime, const char *name, int *fault);

/* Ends what is left of one command; of all of an instance, where `name` is
 * NULL.  At most about half a second, also where somebody makes new ones as
 * fast as they are ended; what is left then is ended next time. */
void amld_command_sweep(const char *runtime, const char *name);


/* ---- an environment ---- */

typedef struct {
    const char *entries[AMLD_COMMAND_ENV + 1];
    size_t count;
    char room[AMLD_COMMAND_ROOM];
    size_t used;
} amld_command_env_t;

void amld_command_env_init(amld_command_env_t *e);

/* "NAME=value", which must outlive `e`; takes the place of one of that name.
 * 0, or -1 when there is no room. */
int amld_command_env_add(amld_command_env_t *e, const char *entry);
int amld_command_env_set(amld_command_env_t *e, const char *name,
                         const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* HOME, USER, LOGNAME, SHELL, LANG and PATH of an account; `bin` is looked in
 * first, where it is not NULL. */
int amld_command_env_account(amld_command_env_t *e, uid_t uid, const char *bin);

#endif /* AMLD_COMMAND_H */
