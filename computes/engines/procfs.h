/*
 * What /proc tells of processes: enough to know one again after amld was
 * killed, and to end everything that a command has left behind.
 */

#ifndef AMLD_PROCFS_H
#define AMLD_PROCFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AMLD_BOOT_ID 40 /* bytes, NUL included */

typedef struct {
    pid_t pid;
    pid_t parent;
    char state;       /* 'Z' and 'X' are dead */
    uint64_t started; /* clock ticks since boot, proc(5) field 22 */
} amld_proc_t;

/* 0, or -1 when there is no such process. */
int amld_proc_read(pid_t pid, amld_proc_t *proc);

/* /proc/sys/kernel/random/boot_id; 0, or -1. */
int amld_proc_boot(char boot[AMLD_BOOT_ID]);

/*
 * Sends `sig` to every living descendant of `root`, not to `root` itself, and
 * to nothing that has got the number of one since.  Returns how many there
 * were.  Complete only where `root` is a child subreaper: an orphan then stays
 * below it.
 */
int amld_proc_kill_below(pid_t root, int sig);

/* The same ones, listed: 0, with an array that the caller frees; or -1. */
int amld_proc_below(pid_t root, pid_t **pids, size_t *count);

/*
 * Sends `sig` to every living process with an environment entry that is
 * `entry`, or begins with it when `prefix` is set, and to nothing that has got
 * the number of one since.  The caller is spared.  Returns how many there were.
 * Sees the environment that a process was started with, of processes whose
 * environment the caller may read.
 */
int amld_proc_kill_marked(const char *entry, int prefix, int sig);

/*
 * Processor time, in clock ticks, that living processes with an environment
 * entry that begins with `entry` have used, of those that have a terminal.
 */
uint64_t amld_proc_terminal_ticks(const char *entry);

#endif /* AMLD_PROCFS_H */
