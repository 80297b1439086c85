/*
 * The process engine: commands are processes of amld's own account, each under
 * a shim (shim.c) whose number is the command's id.  Nothing is isolated.
 *
 * Every process of a command carries "AML_COMMAND=<runtime>/<name>" in its
 * environment.  It is how what a killed shim has left behind is found.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/engine.h"
#include "computes/files.h"
#include "computes/logfile.h"
#include "computes/procfs.h"

#define PROCESS_MARK "AML_COMMAND="
#define PROCESS_ENV 64  /* entries */
#define PROCESS_ARGS 96 /* of shim and command together */
#define PROCESS_ROOM 8192
#define PROCESS_SWEEPS 200
#define PROCESS_SWEEP_PAUSE 5000 /* us */

typedef struct {
    const char *env[PROCESS_ENV + 1];
    size_t count;
    char room[PROCESS_ROOM];
    size_t used;
} process_env_t;

static int
process_create(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size);
static int
process_start(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size);
static int process_exec(const amld_config_t *c, const amld_engine_instance_t *i,
                        const amld_command_t *command, amld_command_id_t *id,
                        int *hold, char *err, size_t size);
static int process_stop(const amld_config_t *c, const amld_engine_instance_t *i,
                        const amld_command_id_t *id, int kill_all);
static amld_command_state_t
process_inspect(const amld_config_t *c, const amld_engine_instance_t *i,
                const amld_command_id_t *id);
static int process_watch(const amld_command_id_t *id);
static int
process_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
                char *err, size_t size);

static int process_arguments(const amld_command_t *command, const char *log,
                             const char **argv, char *number);
static int
process_environment(process_env_t *e, const amld_engine_instance_t *i,
                    const amld_command_t *command);
static int
process_setenv(process_env_t *e, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int process_add(process_env_t *e, const char *entry);
static void process_child(const amld_engine_instance_t *i,
                          const char *const *argv, const char *const *envp,
                          int hold, int error) __attribute__((noreturn));
static void process_sweep(const char *entry, int prefix);
static int process_keep(const char *name);

const amld_engine_t amld_engine_process = {
    .name = "process",
    .isolation = "instances run as the account of amld and are not isolated "
                 "from it or from each other",
    .create = process_create,
    .start = process_start,
    .exec = process_exec,
    .stop = process_stop,
    .inspect = process_inspect,
    .watch = process_watch,
    .destroy = process_destroy,
};


static int
process_create(const amld_config_t *c, const amld_engine_instance_t *i,
               char *err, size_t size)
{
    (void) c;

    if (amld_files_mkdir(i->runtime, 0700) != 0) {
        snprintf(err, size, "cannot make %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static int
process_start(const amld_config_t *c, const amld_engine_instance_t *i,
              char *err, size_t size)
{
    char path[PATH_MAX];

    if (process_destroy(c, i, err, size) != 0 ||
        process_create(c, i, err, size) != 0) {
        return -1;
    }

    if ((size_t) snprintf(path, sizeof(path), "%s/tmp", i->runtime) >=
            sizeof(path) ||
        amld_files_mkdir(path, 0700) != 0 ||
        (size_t) snprintf(path, sizeof(path), "%s/run", i->runtime) >=
            sizeof(path) ||
        amld_files_mkdir(path, 0700) != 0) {
        snprintf(err, size, "cannot make %s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


static int
process_exec(const amld_config_t *c, const amld_engine_instance_t *i,
             const amld_command_t *command, amld_command_id_t *id, int *hold,
             char *err, size_t size)
{
    int n, fault, error[2], gate[2];
    char log[PATH_MAX], number[16];
    pid_t pid;
    ssize_t got;
    const char *argv[PROCESS_ARGS];
    amld_proc_t proc = {0};
    process_env_t env;

    (void) c;

    n = snprintf(log, sizeof(log), "%s/%s.log", i->runtime, command->name);
    if (n < 0 || (size_t) n >= sizeof(log) ||
        process_environment(&env, i, command) != 0 ||
        process_arguments(command, log, argv, number) != 0) {
        snprintf(err, size, "%s: the command line is too long", command->name);
        return -1;
    }

    process_sweep(env.env[0], 0);

    if (pipe2(gate, O_CLOEXEC) != 0) {
        snprintf(err, size, "%s: %s", command->name, strerror(errno));
        return -1;
    }
    if (pipe2(error, O_CLOEXEC) != 0) {
        snprintf(err, size, "%s: %s", command->name, strerror(errno));
        close(gate[0]);
        close(gate[1]);
        return -1;
    }

    snprintf(number, sizeof(number), "%d", gate[0]);

    pid = fork();

    if (pid == 0) {
        process_child(i, argv, env.env, gate[0], error[1]);
    }

    fault = pid == -1 ? errno : 0;
    close(gate[0]);
    close(error[1]);

    if (pid != -1) {
        do {
            got = read(error[0], &fault, sizeof(fault));
        } while (got == -1 && errno == EINTR);

        if (got == -1) {
            fault = errno;
        } else if (got == 0 && amld_proc_read(pid, &proc) != 0) {
            fault = ESRCH;
        }
        if (fault != 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
    }
    close(error[0]);

    if (fault == 0 && amld_proc_boot(id->boot) != 0) {
        fault = errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }

    if (fault != 0) {
        snprintf(err, size, "%s: cannot start: %s", command->name,
                 strerror(fault));
        close(gate[1]);
        return -1;
    }

    id->pid = pid;
    id->started = proc.started;
    *hold = gate[1];

    return 0;
}


static int
process_stop(const amld_config_t *c, const amld_engine_instance_t *i,
             const amld_command_id_t *id, int kill_all)
{
    int fd, rc;

    (void) c;
    (void) i;

    fd = process_watch(id);
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


static amld_command_state_t
process_inspect(const amld_config_t *c, const amld_engine_instance_t *i,
                const amld_command_id_t *id)
{
    char boot[AMLD_BOOT_ID];
    amld_proc_t proc;

    (void) c;
    (void) i;

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


static int
process_watch(const amld_command_id_t *id)
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
    if (process_inspect(NULL, NULL, id) != AMLD_COMMAND_RUNNING) {
        close(fd);
        return -1;
    }

    return fd;
}


static int
process_destroy(const amld_config_t *c, const amld_engine_instance_t *i,
                char *err, size_t size)
{
    char mark[PATH_MAX + 64];

    (void) c;

    snprintf(mark, sizeof(mark), PROCESS_MARK "%s/", i->runtime);
    process_sweep(mark, 1);

    if (amld_files_remove(i->runtime, 0, process_keep) != 0) {
        snprintf(err, size, "cannot empty %s: %s", i->runtime, strerror(errno));
        return -1;
    }

    return 0;
}


static int
process_arguments(const amld_command_t *command, const char *log,
                  const char **argv, char *number)
{
    size_t n, k;

    n = 0;
    argv[n++] = "amld";
    argv[n++] = "shim";
    argv[n++] = "--log";
    argv[n++] = log;
    argv[n++] = "--hold";
    argv[n++] = number;
    argv[n++] = "--";

    for (k = 0; command->argv[k] != NULL; k++) {
        if (n + 1 == PROCESS_ARGS) {
            return -1;
        }
        argv[n++] = command->argv[k];
    }
    argv[n] = NULL;

    return k > 0 ? 0 : -1;
}


static int
process_environment(process_env_t *e, const amld_engine_instance_t *i,
                    const amld_command_t *command)
{
    char *end, bin[PATH_MAX];
    size_t k;
    const char *home, *shell, *user;
    struct passwd pw, *found;
    char buf[4096];

    home = "/";
    shell = "/bin/sh";
    user = "nobody";

    if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) == 0 &&
        found != NULL) {
        home = found->pw_dir;
        user = found->pw_name;
        if (found->pw_shell != NULL && found->pw_shell[0] == '/' &&
            access(found->pw_shell, X_OK) == 0) {
            shell = found->pw_shell;
        }
    }

    /* A terminal's `python` is then the one that the notebooks have. */
    snprintf(bin, sizeof(bin), "%s", command->argv[0]);
    end = strrchr(bin, '/');
    if (end == NULL || end == bin) {
        snprintf(bin, sizeof(bin), "/usr/local/bin");
    } else {
        *end = '\0';
    }

    e->count = 0;
    e->used = 0;

    /* The mark comes first: sweeps compare it with what is in /proc. */
    if (process_setenv(e, "AML_COMMAND", "%s/%s", i->runtime, command->name) ||
        process_setenv(e, "AML_INSTANCE", "%s", i->name) ||
        process_setenv(e, "PATH", "%s:/usr/local/bin:/usr/bin:/bin%s", bin,
                       geteuid() == 0 ? ":/usr/local/sbin:/usr/sbin:/sbin"
                                      : "") ||
        process_setenv(e, "HOME", "%s", home) ||
        process_setenv(e, "USER", "%s", user) ||
        process_setenv(e, "LOGNAME", "%s", user) ||
        process_setenv(e, "SHELL", "%s", shell) ||
        process_setenv(e, "LANG", "C.UTF-8") ||
        process_setenv(e, "TMPDIR", "%s/tmp", i->runtime)) {
        return -1;
    }

    for (k = 0; command->envp != NULL && command->envp[k] != NULL; k++) {
        if (process_add(e, command->envp[k]) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
process_setenv(process_env_t *e, const char *name, const char *format, ...)
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

    return process_add(e, entry);
}


/* Takes the place of an entry of the same name. */
static int
process_add(process_env_t *e, const char *entry)
{
    size_t k, n;
    const char *p;

    p = strchr(entry, '=');
    if (p == NULL) {
        return -1;
    }
    n = (size_t) (p - entry) + 1;

    for (k = 0; k < e->count; k++) {
        if (strncmp(e->env[k], entry, n) == 0) {
            /* The mark is how leftovers are found: nobody's to change. */
            if (k != 0) {
                e->env[k] = entry;
            }
            return 0;
        }
    }

    if (e->count == PROCESS_ENV) {
        return -1;
    }

    e->env[e->count++] = entry;
    e->env[e->count] = NULL;

    return 0;
}


/* Between fork() in a program with threads and exec: only what signal handlers
 * may call. */
static void
process_child(const amld_engine_instance_t *i, const char *const *argv,
              const char *const *envp, int hold, int error)
{
    int fd, sig, fault;
    sigset_t set;

    for (sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }


    umask(0077);

    fd = open("/dev/null", O_RDWR);
    if (fd == -1 || dup2(fd, 0) == -1 || dup2(fd, 1) == -1 ||
        dup2(fd, 2) == -1 || chdir(i->directory) != 0) {
        goto failed;
    }

    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (fcntl(hold, F_SETFD, 0) != 0) {
        goto failed;
    }

    /* Until the shim takes them itself they wait. */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);

    execve("/proc/self/exe", (char *const *) argv, (char *const *) envp);

failed:

    fault = errno;
    if (write(error, &fault, sizeof(fault)) != sizeof(fault)) {
        _exit(125);
    }
    _exit(126);
}


static void
process_sweep(const char *entry, int prefix)
{
    int n;

    for (n = 0; n < PROCESS_SWEEPS; n++) {
        if (amld_proc_kill_marked(entry, prefix, SIGKILL) == 0) {
            return;
        }
        usleep(PROCESS_SWEEP_PAUSE);
    }
}


/* What a stop takes away: sockets, and what is only for programs that run.  The
 * rest is the instance's until it is deleted: settings, logs. */
static int
process_keep(const char *name)
{
    size_t n;

    n = strlen(name);

    return strcmp(name, "tmp") != 0 && strcmp(name, "run") != 0 &&
           (n < 5 || strcmp(name + n - 5, ".sock") != 0);
}
