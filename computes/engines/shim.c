#include "computes/engines/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "computes/engines/procfs.h"
#include "computes/files/cutlog.h"
#include "computes/files/logfile.h"

/* A process that even SIGKILL does not end hangs in the kernel; waiting for
 * it longer would only hide that. */
#define SHIM_KILL_ROUNDS 1000
#define SHIM_KILL_PAUSE 10 /* ms */

typedef struct {
    const char *log_path;
    int log_fd; /* or -1 */
    size_t log_max;
    int hold;
    int input; /* of the command, or -1 */
    const char *status_path;
    int status_fd;
    const char *directory; /* NULL: as it is */
    int group;             /* SIGTERM is for all of it */
    int leave; /* what the command leaves behind is not ours to end */
    uid_t uid;
    gid_t gid;
    const char *user; /* NULL: as it is */
    char **command;

    amld_logfile_t log;
    amld_cutlog_t cut; /* in its place where there is a log_fd */
    int signals;
    int output; /* read end of the command's output, -1 at its end */
    pid_t pid;
    int ended;
    int status; /* of wait(2), when ended */
} shim_t;

static int shim_arguments(shim_t *s, int argc, char **argv);
static int shim_signals(shim_t *s);
static int shim_wait(shim_t *s);
static int shim_user(shim_t *s, const char *text);
static int shim_number(const char *text, int *number);
static int shim_status(shim_t *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int shim_spawn(shim_t *s);
static void shim_child(shim_t *s, int output) __attribute__((noreturn));
static int shim_become(const shim_t *s);
static void shim_loop(shim_t *s);
static void shim_signal(shim_t *s);
static void shim_reap(shim_t *s);
static void shim_copy(shim_t *s);
static void shim_kill_all(shim_t *s);
static void shim_end(shim_t *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void shim_say(shim_t *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void shim_say_args(shim_t *s, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void shim_log(shim_t *s, const char *data, size_t n);
static void shim_log_close(shim_t *s);


int
amld_shim_main(int argc, char **argv)
{
    int rc;
    shim_t s;

    if (shim_arguments(&s, argc, argv) != 0) {
        fprintf(stderr, "usage: amld shim --log FILE|--log-fd FD "
                        "[--log-max BYTES] [--hold FD] [--input FD] "
                        "[--status FILE] [--user UID:GID:NAME] "
                        "[--directory DIR] [--group] [--leave] -- "
                        "command...\n");
        return 2;
    }

    if (shim_signals(&s) != 0) {
        return 126;
    }

    /* Fails when it leads a process group already: then it has its own. */
    setsid();

    if (!s.leave && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        return 126;
    }

    if (s.log_fd != -1) {
        amld_cutlog_open(&s.cut, s.log_fd, s.log_max);
    } else {
        amld_logfile_open(&s.log, s.log_path, s.log_max);
    }

    if (!shim_wait(&s)) {
        shim_log_close(&s);
        return 0;
    }

    /* Whoever finds no status takes it for one that was not run, and may run
     * it again. */
    if (shim_status(&s, "began   \n") != 0) {
        shim_log_close(&s);
        return 126;
    }

    if (shim_spawn(&s) != 0) {
        shim_say(&s, "cannot start %s: %s", s.command[0], strerror(errno));
        (void) shim_status(&s, "exit %03d\n", 126);
        shim_log_close(&s);
        return 126;
    }

    shim_loop(&s);
    if (!s.leave) {
        shim_kill_all(&s);
    }
    shim_copy(&s);

    if (WIFSIGNALED(s.status)) {
        rc = 128 + WTERMSIG(s.status);
        shim_end(&s, "%s was ended by signal %d (%s)", s.command[0],
                 WTERMSIG(s.status), strsignal(WTERMSIG(s.status)));
    } else {
        rc = WEXITSTATUS(s.status);
        shim_end(&s, "%s ended with exit status %d", s.command[0], rc);
    }

    /* Before the status: whoever reads that finds all of the log. */
    shim_log_close(&s);
    if (s.cut.lost == 0 ||
        shim_status(&s, "exit %03d\nlost %llu %d\n", rc,
                    (unsigned long long) s.cut.lost, s.cut.fault) != 0) {
        (void) shim_status(&s, "exit %03d\n", rc);
    }

    return rc;
}


static int
shim_arguments(shim_t *s, int argc, char **argv)
{
    int i;
    char *end;

    memset(s, 0, sizeof(*s));
    s->hold = -1;
    s->input = -1;
    s->output = -1;
    s->status_fd = -1;
    s->log.fd = -1;
    s->log_fd = -1;
    s->cut.fd = -1;
    s->log_max = AMLD_LOGFILE_MAX;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            s->command = &argv[i + 1];
            break;
        }

        if (strcmp(argv[i], "--leave") == 0) {
            s->leave = 1;
            continue;
        }

        if (strcmp(argv[i], "--group") == 0) {
            s->group = 1;
            continue;
        }

        if (i + 1 >= argc) {
            return -1;
        }

        if (strcmp(argv[i], "--log") == 0) {
            s->log_path = argv[++i];

        } else if (strcmp(argv[i], "--log-max") == 0) {
            s->log_max = (size_t) strtoul(argv[++i], &end, 10);
            if (*end != '\0' || s->log_max == 0) {
                return -1;
            }

        } else if (strcmp(argv[i], "--status") == 0) {
            s->status_path = argv[++i];

        } else if (strcmp(argv[i], "--user") == 0) {
            if (shim_user(s, argv[++i]) != 0) {
                return -1;
            }

        } else if (strcmp(argv[i], "--directory") == 0) {
            s->directory = argv[++i];

        } else if (strcmp(argv[i], "--log-fd") == 0) {
            if (shim_number(argv[++i], &s->log_fd) != 0) {
                return -1;
            }

        } else if (strcmp(argv[i], "--hold") == 0) {
            if (shim_number(argv[++i], &s->hold) != 0) {
                return -1;
            }

        } else if (strcmp(argv[i], "--input") == 0) {
            if (shim_number(argv[++i], &s->input) != 0) {
                return -1;
            }

        } else {
            return -1;
        }
    }

    return (s->log_path != NULL) != (s->log_fd != -1) && s->command != NULL &&
                   s->command[0] != NULL
               ? 0
               : -1;
}


static int
shim_number(const char *text, int *number)
{
    char *end;

    *number = (int) strtol(text, &end, 10);

    return end != text && *end == '\0' && *number >= 0 ? 0 : -1;
}


static int
shim_signals(shim_t *s)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGCHLD);

    if (sigprocmask(SIG_SETMASK, &set, NULL) != 0) {
        return -1;
    }

    signal(SIGPIPE, SIG_IGN);

    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    return s->signals != -1 ? 0 : -1;
}


/* 1 when the command may start, 0 when it was called off. */
static int
shim_wait(shim_t *s)
{
    int go;
    char byte;
    ssize_t n;
    struct pollfd fds[2];
    struct signalfd_siginfo info;

    if (s->hold == -1) {
        return 1;
    }

    fds[0].fd = s->hold;
    fds[0].events = POLLIN;
    fds[1].fd = s->signals;
    fds[1].events = POLLIN;
    go = -1;

    while (go == -1) {
        if (poll(fds, 2, -1) == -1) {
            if (errno == EINTR) {
                continue;
            }
            return 0;
        }

        if (fds[1].revents != 0 &&
            read(s->signals, &info, sizeof(info)) == sizeof(info) &&
            info.ssi_signo != SIGHUP && info.ssi_signo != SIGCHLD) {
            go = 0;

        } else if (fds[0].revents != 0) {
            do {
                n = read(s->hold, &byte, 1);
            } while (n == -1 && errno == EINTR);
            go = n == 1;
        }
    }

    close(s->hold);
    s->hold = -1;

    return go;
}


static int
shim_user(shim_t *s, const char *text)
{
    char *end;

    s->uid = (uid_t) strtoul(text, &end, 10);
    if (end == text || *end != ':') {
        return -1;
    }

    text = end + 1;
    s->gid = (gid_t) strtoul(text, &end, 10);
    if (end == text || *end != ':') {
        return -1;
    }

    s->user = end + 1;

    return 0;
}


/* Nine bytes at least, over those that were there. */
static int
shim_status(shim_t *s, const char *format, ...)
{
    char text[64];
    va_list args;

    if (s->status_path == NULL) {
        return 0;
    }

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    if (s->status_fd == -1) {
        s->status_fd =
            open(s->status_path,
                 O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (s->status_fd == -1 ||
        pwrite(s->status_fd, text, strlen(text), 0) != (ssize_t) strlen(text)) {
        shim_say(s, "%s: %s", s->status_path, strerror(errno));
        return -1;
    }

    return 0;
}


static int
shim_spawn(shim_t *s)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }

    s->pid = fork();

    if (s->pid == 0) {
        close(fds[0]);
        shim_child(s, fds[1]);
    }

    close(fds[1]);
    if (s->input != -1) {
        close(s->input);
        s->input = -1;
    }

    if (s->pid == -1) {
        close(fds[0]);
        return -1;
    }

    s->output = fds[0];
    fcntl(s->output, F_SETFL, fcntl(s->output, F_GETFL) | O_NONBLOCK);

    return 0;
}


static void
shim_child(shim_t *s, int output)
{
    int fd, sig;
    pid_t shim;
    sigset_t set;

    shim = getppid();

    setsid();

    for (sig = 1; sig < NSIG; sig++) {
        signal(sig, SIG_DFL);
    }
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);

    /* amld may be protected from the OOM killer; what people run is not. */
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd != -1) {
        if (write(fd, "0", 1) != 1) {
            /* no right to: then it was not changed either */
        }
        close(fd);
    }

    fd = s->input != -1 ? s->input : open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd == -1 || dup2(fd, 0) == -1 || dup2(output, 1) == -1 ||
        dup2(output, 2) == -1) {
        _exit(126);
    }

    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    umask(0022);

    if (shim_become(s) != 0) {
        dprintf(2, "amld shim: cannot become %lu: %s\n", (unsigned long) s->uid,
                strerror(errno));
        _exit(126);
    }

    if (s->directory != NULL && chdir(s->directory) != 0) {
        dprintf(2, "amld shim: cannot enter %s: %s\n", s->directory,
                strerror(errno));
        _exit(126);
    }

    /* The kernel forgets this when the account changes. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != shim || shim == 1) {
        _exit(126);
    }

    execvp(s->command[0], s->command);

    dprintf(2, "amld shim: cannot run %s: %s\n", s->command[0],
            strerror(errno));
    _exit(127);
}


static int
shim_become(const shim_t *s)
{
    if (s->user == NULL) {
        return 0;
    }

    if ((s->user[0] != '\0' ? initgroups(s->user, s->gid)
                            : setgroups(1, &s->gid)) != 0 ||
        setresgid(s->gid, s->gid, s->gid) != 0 ||
        setresuid(s->uid, s->uid, s->uid) != 0) {
        return -1;
    }

    return 0;
}


static void
shim_loop(shim_t *s)
{
    struct pollfd fds[2];

    while (!s->ended) {
        fds[0].fd = s->signals;
        fds[0].events = POLLIN;
        fds[1].fd = s->output;
        fds[1].events = POLLIN;

        if (poll(fds, 2, -1) == -1 && errno != EINTR) {
            return;
        }

        shim_copy(s);
        shim_signal(s);
    }
}


static void
shim_signal(shim_t *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {

        switch (info.ssi_signo) {

        case SIGTERM:
        case SIGINT:
            if (!s->ended && (!s->group || kill(-s->pid, SIGTERM) != 0)) {
                kill(s->pid, SIGTERM);
            }
            break;

        case SIGQUIT:
            amld_proc_kill_below(getpid(), SIGKILL);
            break;

        default:
            break;
        }
    }

    /* Signals of one kind are merged, so look every time. */
    shim_reap(s);
}


static void
shim_reap(shim_t *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->pid) {
            s->ended = 1;
            s->status = status;
        }
    }
}


static void
shim_copy(shim_t *s)
{
    char buf[16384];
    ssize_t n;

    /* Bounded, so that a command that writes without end can be stopped. */
    for (int i = 0; s->output != -1 && i < 64; i++) {
        n = read(s->output, buf, sizeof(buf));
        if (n > 0) {
            shim_log(s, buf, (size_t) n);
            continue;
        }
        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        close(s->output);
        s->output = -1;
    }
}


static void
shim_kill_all(shim_t *s)
{
    int i, status;
    pid_t pid;
    struct pollfd fd;

    for (i = 0; i < SHIM_KILL_ROUNDS; i++) {
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            /* void */
        }
        if (pid == -1 && errno == ECHILD) {
            return;
        }

        amld_proc_kill_below(getpid(), SIGKILL);
        shim_copy(s);

        fd.fd = s->signals;
        fd.events = POLLIN;
        if (poll(&fd, 1, SHIM_KILL_PAUSE) == 1) {
            struct signalfd_siginfo info;
            while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
                /* void */
            }
        }
    }

    shim_say(s, "processes that %s has left cannot be killed", s->command[0]);
}


/* How the command ended: nobody else says so in an application's log. */
static void
shim_end(shim_t *s, const char *format, ...)
{
    va_list args;

    if (s->log_fd != -1) {
        return;
    }

    va_start(args, format);
    shim_say_args(s, format, args);
    va_end(args);
}


static void
shim_say(shim_t *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    shim_say_args(s, format, args);
    va_end(args);
}


static void
shim_say_args(shim_t *s, const char *format, va_list args)
{
    int n, head;
    char line[1024];
    time_t now;
    struct tm tm;

    now = time(NULL);
    gmtime_r(&now, &tm);
    head = (int) strftime(line, sizeof(line),
                          "%Y-%m-%dT%H:%M:%SZ amld shim: ", &tm);

    n = vsnprintf(line + head, sizeof(line) - (size_t) head - 1, format, args);

    n += head;
    if (n >= (int) sizeof(line) - 1) {
        n = (int) sizeof(line) - 2;
    }
    line[n++] = '\n';

    shim_log(s, line, (size_t) n);
}


static void
shim_log(shim_t *s, const char *data, size_t n)
{
    if (s->log_fd != -1) {
        amld_cutlog_write(&s->cut, data, n);
    } else {
        amld_logfile_write(&s->log, data, n);
    }
}


static void
shim_log_close(shim_t *s)
{
    if (s->log_fd != -1) {
        amld_cutlog_close(&s->cut);
    } else {
        amld_logfile_close(&s->log);
    }
}
