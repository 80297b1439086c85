#include "computes/engines/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

static ssize_t proc_slurp(const char *path, char *buf, size_t size);
static int proc_list(amld_proc_t **list, size_t *count);
static int
proc_below(const amld_proc_t *list, size_t count, size_t i, pid_t root);
static int proc_hold(const amld_proc_t *proc);
static int proc_send(int fd, int sig);
static int proc_marked(pid_t pid, const char *entry, int prefix);


int
amld_proc_read(pid_t pid, amld_proc_t *proc)
{
    char path[64], buf[1024], *p;
    int parent;
    unsigned long long started;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);

    if (proc_slurp(path, buf, sizeof(buf)) <= 0) {
        return -1;
    }

    /* The command's name may have blanks and parentheses of its own. */
    p = strrchr(buf, ')');
    if (p == NULL || p[1] != ' ') {
        return -1;
    }

    if (sscanf(p + 2,
               "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
               "%*d %*d %*d %*d %llu",
               &proc->state, &parent, &started) != 3) {
        return -1;
    }

    proc->pid = pid;
    proc->parent = parent;
    proc->started = started;

    return 0;
}


int
amld_proc_boot(char boot[AMLD_BOOT_ID])
{
    ssize_t n;

    n = proc_slurp("/proc/sys/kernel/random/boot_id", boot, AMLD_BOOT_ID);
    if (n <= 0) {
        return -1;
    }

    boot[strcspn(boot, "\n")] = '\0';

    return boot[0] != '\0' ? 0 : -1;
}


int
amld_proc_kill_below(pid_t root, int sig)
{
    int fd, n;
    size_t i, count;
    amld_proc_t *list;

    if (proc_list(&list, &count) != 0) {
        return 0;
    }

    n = 0;
    for (i = 0; i < count; i++) {
        if (list[i].pid != root && list[i].state != 'Z' &&
            list[i].state != 'X' && proc_below(list, count, i, root)) {
            fd = proc_hold(&list[i]);
            n += fd != -1 && proc_send(fd, sig);
        }
    }

    free(list);

    return n;
}


int
amld_proc_below(pid_t root, pid_t **pids, size_t *count)
{
    size_t i, n;
    amld_proc_t *list;

    if (proc_list(&list, count) != 0) {
        return -1;
    }

    *pids = malloc((*count + 1) * sizeof(**pids));
    if (*pids == NULL) {
        free(list);
        return -1;
    }

    for (i = 0, n = 0; i < *count; i++) {
        if (list[i].pid != root && list[i].state != 'Z' &&
            list[i].state != 'X' && proc_below(list, *count, i, root)) {
            (*pids)[n++] = list[i].pid;
        }
    }

    *count = n;
    free(list);

    return 0;
}


int
amld_proc_kill_marked(const char *entry, int prefix, int sig)
{
    int fd, n;
    size_t i, count;
    amld_proc_t *list;

    if (proc_list(&list, &count) != 0) {
        return 0;
    }

    n = 0;
    for (i = 0; i < count; i++) {
        if (list[i].pid != getpid() && list[i].state != 'Z' &&
            list[i].state != 'X' && proc_marked(list[i].pid, entry, prefix)) {
            fd = proc_hold(&list[i]);
            n += fd != -1 && proc_send(fd, sig);
        }
    }

    free(list);

    return n;
}


uint64_t
amld_proc_terminal_ticks(const char *entry)
{
    char path[64], buf[1024], *p;
    int terminal;
    size_t i, count;
    uint64_t sum;
    amld_proc_t *list;
    unsigned long long user, system;

    if (proc_list(&list, &count) != 0) {
        return 0;
    }

    sum = 0;
    for (i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "/proc/%ld/stat", (long) list[i].pid);

        if (proc_slurp(path, buf, sizeof(buf)) > 0 &&
            (p = strrchr(buf, ')')) != NULL && p[1] == ' ' &&
            sscanf(p + 2,
                   "%*c %*d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu",
                   &terminal, &user, &system) == 3 &&
            terminal != 0 && proc_marked(list[i].pid, entry, 1)) {
            sum += user + system;
        }
    }

    free(list);

    return sum;
}


static ssize_t
proc_slurp(const char *path, char *buf, size_t size)
{
    int fd;
    ssize_t n;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, buf, size - 1);
    close(fd);

    if (n >= 0) {
        buf[n] = '\0';
    }

    return n;
}


static int
proc_list(amld_proc_t **list, size_t *count)
{
    DIR *dir;
    size_t n, room;
    amld_proc_t *found, *more;
    struct dirent *entry;

    dir = opendir("/proc");
    if (dir == NULL) {
        return -1;
    }

    n = 0;
    room = 0;
    found = NULL;

    while ((entry = readdir(dir)) != NULL) {
        if (!isdigit((unsigned char) entry->d_name[0])) {
            continue;
        }

        if (n == room) {
            room = room != 0 ? room * 2 : 256;
            more = realloc(found, room * sizeof(*found));
            if (more == NULL) {
                break;
            }
            found = more;
        }

        if (amld_proc_read((pid_t) atol(entry->d_name), &found[n]) == 0) {
            n++;
        }
    }

    closedir(dir);

    *list = found;
    *count = n;

    return 0;
}


/*
 * Of the process that was looked at, and not of another that has its number by
 * now: a descriptor, or -1.
 */
static int
proc_hold(const amld_proc_t *proc)
{
    int fd;
    amld_proc_t now;

    fd = pidfd_open(proc->pid, 0);
    if (fd == -1) {
        return -1;
    }

    if (amld_proc_read(proc->pid, &now) != 0 || now.started != proc->started) {
        close(fd);
        return -1;
    }

    return fd;
}


/* 1 when it was there to be sent it. */
static int
proc_send(int fd, int sig)
{
    int rc;

    rc = pidfd_send_signal(fd, sig, NULL, 0);
    close(fd);

    return rc == 0;
}


static int
proc_below(const amld_proc_t *list, size_t count, size_t i, pid_t root)
{
    size_t k, depth;
    pid_t parent;

    /* Bounded: numbers that are used again while the list is read could
     * make it go in circles. */
    parent = list[i].parent;
    for (depth = 0; depth < count; depth++) {
        if (parent == root) {
            return 1;
        }
        if (parent <= 1) {
            return 0;
        }

        for (k = 0; k < count && list[k].pid != parent; k++) {
            /* void */
        }
        /* one that is younger than its child has another's number */
        if (k == count || list[k].started > list[i].started) {
            return 0;
        }
        parent = list[k].parent;
    }

    return 0;
}


static int
proc_marked(pid_t pid, const char *entry, int prefix)
{
    int fd, same, found;
    char path[64], buf[4096];
    size_t at, len;
    ssize_t i, n;

    snprintf(path, sizeof(path), "/proc/%ld/environ", (long) pid);

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    len = strlen(entry);
    at = 0;
    same = 1;
    found = 0;

    while (!found && (n = read(fd, buf, sizeof(buf))) > 0) {
        for (i = 0; i < n && !found; i++) {
            if (buf[i] == '\0') {
                found = same && at == len;
                at = 0;
                same = 1;
                continue;
            }

            if (at < len ? buf[i] != entry[at] : !prefix) {
                same = 0;
            }
            at++;
            found = prefix && same && at == len;
        }
    }

    close(fd);

    return found;
}
