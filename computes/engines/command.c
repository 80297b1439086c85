#include "computes/engines/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_MARK "AML_COMMAND="
#define COMMAND_SWEEP_TIME 500   /* ms */
#define COMMAND_PATIENCE 15000   /* ms for a child to become a shim */
#define COMMAND_SWEEP_PAUSE 5000 /* us */
#define COMMAND_STATUS 64        /* bytes that a shim writes, at most */

typedef struct {
    char mark[PATH_MAX + 64];
    char log[PATH_MAX + 64];
    char status[PATH_MAX + 64];
    char user[128];
    char hold[16];
    char input[16];
    char log_fd[16];
    char log_max[32];
    int input_fd; /* or -1 */
    int output;   /* the log, or 0 */
    const char *argv[AMLD_COMMAND_ARGS];
    const char *envp[AMLD_COMMAND_ENV + 2];
} command_line_t;

static int command_line(command_line_t *l, const amld_command_spawn_t *spawn);
static int command_input(const char *text);
static int command_fork(const command_line_t *l, const char *directory,
                        int hold, amld_proc_t *proc);
static void command_child(const command_line_t *l, const char *directory,
                          int hold, int error) __attribute__((noreturn));
static void command_kill_marked(const char *entry, int prefix);
static int command_status(const char *runtime, const char *name,
                          char text[COMMAND_STATUS]);


int
amld_command_spawn(const amld_command_spawn_t *spawn, amld_command_id_t *id,
                   int *hold, char *err, size_t size)
{
    int fault, gate[2];
    char before[PATH_MAX + 72];
    amld_proc_t proc = {0};
    command_line_t l;

    if (command_line(&l, spawn) != 0) {
        snprintf(err, size, "%s: the command line is too long", spawn->name);
        return -1;
    }

    /* That takes a look at every process there is. */
    if (!spawn->once) {
        command_kill_marked(l.mark, 0);
    }

    /* What is run to an end has a log of each run. */
    if (spawn->status && spawn->log == 0) {
        snprintf(before, sizeof(before), "%s.1", l.log);
        (void) rename(l.log, before);
    }

    if (unlink(l.status) != 0 && errno != ENOENT) {
        snprintf(err, size, "%s: %s", l.status, strerror(errno));
        return -1;
    }

    if (spawn->input != NULL) {
        l.input_fd = command_input(spawn->input);
        snprintf(l.input, sizeof(l.input), "%d", l.input_fd);
    }

    if ((spawn->input != NULL && l.input_fd == -1) ||
        amld_proc_boot(id->boot) != 0 || pipe2(gate, O_CLOEXEC) != 0) {
        snprintf(err, size, "%s: cannot start: %s", spawn->name,
                 strerror(errno));
        if (l.input_fd != -1) {
            close(l.input_fd);
        }
        return -1;
    }

    snprintf(l.hold, sizeof(l.hold), "%d", gate[0]);
    fault = command_fork(&l, spawn->directory, gate[0], &proc);
    close(gate[0]);
    if (l.input_fd != -1) {
        close(l.input_fd);
    }

    if (fault != 0) {
        snprintf(err, size, "%s: cannot start: %s", spawn->name,
                 strerror(fault));
        close(gate[1]);
        return -1;
    }

    id->pid = proc.pid;
    id->started = proc.started;
    *hold = gate[1];

    return 0;
}


int
amld_command_stop(const amld_command_id_t *id, int kill_all)
{
    int fd, rc;

    fd = amld_command_watch(id);
    if (fd == -1) {
        return -1;
    }

    rc = pidfd_send_signal(fd,
                           kill_all > 1 ? SIGKILL
                           : kill_all   ? SIGQUIT
                                        : SIGTERM,
                           NULL, 0);
    if (kill_all) {
        /* Its user may have stopped it with all others of theirs. */
        (void) pidfd_send_signal(fd, SIGCONT, NULL, 0);
    }
    close(fd);

    return rc;
}


amld_command_state_t
amld_command_inspect(const amld_command_id_t *id)
{
    char boot[AMLD_BOOT_ID];
    amld_proc_t proc;

    if (id->pid <= 1 || id->pid > INT_MAX || amld_proc_boot(boot) != 0 ||
        strcmp(boot, id->boot) != 0) {
        return AMLD_COMMAND_LOST;
    }

    if (amld_proc_read((pid_t) id->pid, &proc) != 0) {
        return AMLD_COMMAND_ENDED;
    }

    if (proc.started != id->started) {
        return AMLD_COMMAND_LOST;
    }

    if (proc.state == 'Z' || proc.state == 'X') {
        /* Ours to bury, unless another amld has started it. */
        waitpid((pid_t) id->pid, NULL, WNOHANG);
        return AMLD_COMMAND_ENDED;
    }

    return AMLD_COMMAND_RUNNING;
}


int
amld_command_watch(const amld_command_id_t *id)
{
    int fd;

    if (id->pid <= 1 || id->pid > INT_MAX) {
        return -1;
    }

    fd = pidfd_open((pid_t) id->pid, 0);
    if (fd == -1) {
        return -1;
    }

    /* Asked after the descriptor was opened: it can't change hands now. */
    if (amld_command_inspect(id) != AMLD_COMMAND_RUNNING) {
        close(fd);
        return -1;
    }

    return fd;
}


int
amld_command_result(const char *runtime, const char *name)
{
    int status;
    char text[COMMAND_STATUS];

    if (command_status(runtime, name, text) != 0) {
        return errno == ENOENT ? AMLD_COMMAND_NOT_BEGUN
                               : AMLD_COMMAND_NO_RESULT;
    }

    return sscanf(text, "exit %3d", &status) == 1 ? status
                                                  : AMLD_COMMAND_NO_RESULT;
}


uint64_t
amld_command_lost(const char *runtime, const char *name, int *fault)
{
    int status;
    char text[COMMAND_STATUS];
    uint64_t lost;

    *fault = 0;

    return command_status(runtime, name, text) == 0 &&
                   sscanf(text, "exit %3d lost %" SCNu64 " %d", &status, &lost,
                          fault) == 3
               ? lost
               : 0;
}


/* What a shim has written there; 0, or -1 (errno). */
static int
command_status(const char *runtime, const char *name, char text[COMMAND_STATUS])
{
    int fd, fault;
    char path[PATH_MAX + 64];
    ssize_t n;

    snprintf(path, sizeof(path), "%s/%s.status", runtime, name);

    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, text, COMMAND_STATUS - 1);
    fault = n == 0 ? EINVAL : errno;
    close(fd);
    if (n <= 0) {
        errno = fault;
        return -1;
    }
    text[n] = '\0';

    return 0;
}


void
amld_command_sweep(const char *runtime, const char *name)
{
    char mark[PATH_MAX + 64];

    snprintf(mark, sizeof(mark), COMMAND_MARK "%s/%s", runtime,
             name != NULL ? name : "");
    command_kill_marked(mark, name == NULL);
}


void
amld_command_env_init(amld_command_env_t *e)
{
    e->count = 0;
    e->used = 0;
    e->entries[0] = NULL;
}


int
amld_command_env_add(amld_command_env_t *e, const char *entry)
{
    size_t k, n;
    const char *p;

    p = strchr(entry, '=');
    if (p == NULL) {
        return -1;
    }
    n = (size_t) (p - entry) + 1;

    for (k = 0; k < e->count; k++) {
        if (strncmp(e->entries[k], entry, n) == 0) {
            e->entries[k] = entry;
            return 0;
        }
    }

    if (e->count == AMLD_COMMAND_ENV) {
        return -1;
    }

    e->entries[e->count++] = entry;
    e->entries[e->count] = NULL;

    return 0;
}


int
amld_command_env_set(amld_command_env_t *e, const char *name,
                     const char *format, ...)
{
    int n;
    char *entry;
    size_t left;
    va_list args;

    entry = e->room + e->used;
    left = sizeof(e->room) - e->used;

    n = snprintf(entry, left, "%s=", name);
    if (n < 0 || (size_t) n >= left) {
        return -1;
    }
    e->used += (size_t) n;
    left -= (size_t) n;

    va_start(args, format);
    n = vsnprintf(e->room + e->used, left, format, args);
    va_end(args);

    if (n < 0 || (size_t) n >= left) {
        return -1;
    }
    e->used += (size_t) n + 1;

    return amld_command_env_add(e, entry);
}


int
amld_command_env_account(amld_command_env_t *e, uid_t uid, const char *bin)
{
    const char *home, *shell, *user;
    struct passwd pw, *found;
    char buf[4096];

    home = "/";
    shell = "/bin/sh";
    user = "nobody";

    if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) == 0 && found != NULL) {
        home = found->pw_dir;
        user = found->pw_name;
        if (found->pw_shell != NULL && found->pw_shell[0] == '/' &&
            access(found->pw_shell, X_OK) == 0) {
            shell = found->pw_shell;
        }
    }

    return amld_command_env_set(e, "PATH", "%s%s/usr/local/bin:/usr/bin:/bin%s",
                                bin != NULL ? bin : "", bin != NULL ? ":" : "",
                                uid == 0 ? ":/usr/local/sbin:/usr/sbin:/sbin"
                                         : "") ||
                   amld_command_env_set(e, "HOME", "%s", home) ||
                   amld_command_env_set(e, "USER", "%s", user) ||
                   amld_command_env_set(e, "LOGNAME", "%s", user) ||
                   amld_command_env_set(e, "SHELL", "%s", shell) ||
                   amld_command_env_set(e, "LANG", "C.UTF-8")
               ? -1
               : 0;
}


/* The shim's arguments and its environment, which begins with the mark. */
static int
command_line(command_line_t *l, const amld_command_spawn_t *spawn)
{
    size_t n, k;

    if ((size_t) snprintf(l->mark, sizeof(l->mark), COMMAND_MARK "%s/%s",
                          spawn->runtime, spawn->name) >= sizeof(l->mark) ||
        (size_t) snprintf(l->log, sizeof(l->log), "%s/%s.log", spawn->runtime,
                          spawn->name) >= PATH_MAX ||
        (size_t) snprintf(l->status, sizeof(l->status), "%s/%s.status",
                          spawn->runtime, spawn->name) >= PATH_MAX) {
        return -1;
    }

    n = 0;
    l->argv[n++] = "amld";
    l->argv[n++] = "shim";

    l->output = spawn->log;
    if (spawn->log != 0) {
        snprintf(l->log_fd, sizeof(l->log_fd), "%d", spawn->log);
        snprintf(l->log_max, sizeof(l->log_max), "%zu", spawn->log_max);
        l->argv[n++] = "--log-fd";
        l->argv[n++] = l->log_fd;
        l->argv[n++] = "--log-max";
        l->argv[n++] = l->log_max;
    } else {
        l->argv[n++] = "--log";
        l->argv[n++] = l->log;
    }

    l->argv[n++] = "--hold";
    l->argv[n++] = l->hold;

    l->input_fd = -1;
    if (spawn->input != NULL) {
        l->argv[n++] = "--input";
        l->argv[n++] = l->input;
    }

    if (spawn->status) {
        l->argv[n++] = "--status";
        l->argv[n++] = l->status;
    }

    if (spawn->leave) {
        l->argv[n++] = "--leave";
    }

    if (spawn->group) {
        l->argv[n++] = "--group";
    }

    if (spawn->enter != NULL) {
        l->argv[n++] = "--directory";
        l->argv[n++] = spawn->enter;
    }

    if (spawn->user != NULL) {
        if ((size_t) snprintf(l->user, sizeof(l->user), "%lu:%lu:%s",
                              (unsigned long) spawn->user->uid,
                              (unsigned long) spawn->user->gid,
                              spawn->user->name != NULL
                                  ? spawn->user->name
                                  : "") >= sizeof(l->user)) {
            return -1;
        }
        l->argv[n++] = "--user";
        l->argv[n++] = l->user;
    }

    l->argv[n++] = "--";

    for (k = 0; spawn->argv[k] != NULL; k++) {
        if (n + 1 == AMLD_COMMAND_ARGS) {
            return -1;
        }
        l->argv[n++] = spawn->argv[k];
    }
    l->argv[n] = NULL;

    if (k == 0) {
        return -1;
    }

    n = 0;
    l->envp[n++] = l->mark;

    for (k = 0; spawn->envp != NULL && spawn->envp[k] != NULL; k++) {
        /* How leftovers are found is nobody's to change. */
        if (strncmp(spawn->envp[k], COMMAND_MARK, sizeof(COMMAND_MARK) - 1) ==
            0) {
            continue;
        }
        if (n == AMLD_COMMAND_ENV + 1) {
            return -1;
        }
        l->envp[n++] = spawn->envp[k];
    }
    l->envp[n] = NULL;

    return 0;
}


/* Memory that the shim and its command have, and whoever they let have it. */
static int
command_input(const char *text)
{
    int fd, fault;
    size_t at, n;
    ssize_t put;

    fd = memfd_create("input", MFD_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = strlen(text);
    for (at = 0; at < n; at += (size_t) put) {
        put = pwrite(fd, text + at, n - at, (off_t) at);
        if (put == -1 && errno == EINTR) {
            put = 0;
        } else if (put == -1) {
            fault = errno;
            close(fd);
            errno = fault;
            return -1;
        }
    }

    return fd;
}


/* 0, or why not (errno). */
static int
command_fork(const command_line_t *l, const char *directory, int hold,
             amld_proc_t *proc)
{
    int fault, error[2];
    pid_t pid;
    ssize_t got;
    struct pollfd ready;

    if (pipe2(error, O_CLOEXEC) != 0) {
        return errno;
    }

    fault = 0;
    pid = fork();

    if (pid == 0) {
        command_child(l, directory, hold, error[1]);
    }
    if (pid == -1) {
        fault = errno;
    }

    close(error[1]);

    if (pid != -1) {
        /* It enters a directory that may not answer, and then dies later. */
        ready = (struct pollfd){.fd = error[0], .events = POLLIN};
        do {
            got = poll(&ready, 1, COMMAND_PATIENCE);
        } while (got == -1 && errno == EINTR);
        if (got == 0) {
            kill(pid, SIGKILL);
            close(error[0]);
            return ETIMEDOUT;
        }

        do {
            got = read(error[0], &fault, sizeof(fault));
        } while (got == -1 && errno == EINTR);

        if (got == -1) {
            fault = errno;
        } else if (got == 0 && amld_proc_read(pid, proc) != 0) {
            fault = ESRCH;
        }
        if (fault != 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }

    close(error[0]);

    return fault;
}


/* Between fork() in a program with threads and exec: only what signal handlers
 * may call. */
static void
command_child(const command_line_t *l, const char *directory, int hold,
              int error)
{
    int fd, sig, fault;
    sigset_t set;

    for (sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }

    umask(0077);

    fd = open("/dev/null", O_RDWR);
    if (fd == -1 || dup2(fd, 0) == -1 || dup2(fd, 1) == -1 ||
        dup2(fd, 2) == -1 || chdir(directory) != 0) {
        goto failed;
    }

    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (fcntl(hold, F_SETFD, 0) != 0 ||
        (l->input_fd != -1 && fcntl(l->input_fd, F_SETFD, 0) != 0) ||
        (l->output != 0 && fcntl(l->output, F_SETFD, 0) != 0)) {
        goto failed;
    }

    /* Until the shim takes them itself they wait. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);

    execve("/proc/self/exe", (char *const *) l->argv, (char *const *) l->envp);

failed:

    fault = errno;
    if (write(error, &fault, sizeof(fault)) != sizeof(fault)) {
        _exit(125);
    }
    _exit(126);
}


static void
command_kill_marked(const char *entry, int prefix)
{
    struct timespec now;
    int64_t end, ms;

    for (end = 0;; usleep(COMMAND_SWEEP_PAUSE)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
        if (end == 0) {
            end = ms + COMMAND_SWEEP_TIME;
        }
        if (amld_proc_kill_marked(entry, prefix, SIGKILL) == 0 || ms >= end) {
            return;
        }
    }
}
