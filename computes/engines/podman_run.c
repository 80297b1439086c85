#include "computes/engines/podman_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_COMPLAINT 4096 /* bytes of standard error that are kept */
#define RUN_READS 64       /* in a row */

typedef struct {
    int in, out, err, end; /* ours; `end` is the pidfd */
    pid_t pid;
    const char *input;
    char *text;
    size_t size, length;
    char complaint[RUN_COMPLAINT];
    size_t said;
} run_t;

/* Nobody else's has a say in how these work. */
static char *run_environment[] = {
    (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
             "/bin",
    (char *) "HOME=/root", NULL};

static int run_spawn(run_t *r, const char *const *argv);
static int run_talk(run_t *r, int64_t until);
static void run_write(run_t *r);
static void run_read(run_t *r);
static void run_complain(run_t *r);
static void run_close(int *fd);
static void run_explain(run_t *r, const amld_podman_args_t *a, int late,
                        unsigned seconds, int status, char *err, size_t size);
static const char *run_complaint(run_t *r);
static int64_t run_now(void);

extern char **environ;


void
amld_podman_args(amld_podman_args_t *a, const char *program)
{
    a->count = 0;
    a->used = 0;
    a->failed = 0;
    a->argv[0] = NULL;

    amld_podman_arg(a, "%s", program);
}


void
amld_podman_arg(amld_podman_args_t *a, const char *format, ...)
{
    int n;
    size_t left;
    va_list args;

    left = sizeof(a->room) - a->used;

    va_start(args, format);
    n = vsnprintf(a->room + a->used, left, format, args);
    va_end(args);

    if (n < 0 || (size_t) n >= left || a->count == AMLD_PODMAN_ARGS) {
        a->failed = 1;
        return;
    }

    a->argv[a->count++] = a->room + a->used;
    a->argv[a->count] = NULL;
    a->used += (size_t) n + 1;
}


int
amld_podman_run(const amld_podman_args_t *a, const char *input,
                unsigned seconds, char *out, size_t size, char *err,
                size_t err_size)
{
    int late, status;
    run_t r;

    memset(&r, 0, sizeof(r));
    r.in = r.out = r.err = r.end = -1;
    r.input = input != NULL ? input : "";
    r.text = out;
    r.size = size;

    if (out != NULL) {
        out[0] = '\0';
    }
    err[0] = '\0';

    if (a->failed || a->count == 0) {
        snprintf(err, err_size, "the command line of %s is too long",
                 a->count > 0 ? a->argv[0] : "a program");
        return -1;
    }

    if (run_spawn(&r, a->argv) != 0) {
        snprintf(err, err_size, "cannot run %s: %s", a->argv[0],
                 strerror(errno));
        run_close(&r.in);
        run_close(&r.out);
        run_close(&r.err);
        return errno == ENOENT ? 127 : -1;
    }

    late = run_talk(&r, run_now() + (int64_t) seconds * 1000);
    if (late) {
        kill(-r.pid, SIGKILL);
        kill(r.pid, SIGKILL);
    }

    while (waitpid(r.pid, &status, 0) == -1 && errno == EINTR) {
        /* void */
    }

    run_close(&r.in);
    run_close(&r.out);
    run_close(&r.err);
    run_close(&r.end);

    if (out != NULL) {
        out[r.length] = '\0';
        while (r.length > 0 && strchr(" \r\n\t", out[r.length - 1]) != NULL) {
            out[--r.length] = '\0';
        }
    }

    if (late || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        run_explain(&r, a, late, seconds, status, err, err_size);
    }

    return !late && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}


static int
run_spawn(run_t *r, const char *const *argv)
{
    int fault, in[2], out[2], err[2], gate[2];
    ssize_t n;

    if (pipe2(in, O_CLOEXEC) != 0) {
        return -1;
    }
    r->in = in[1];
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        return -1;
    }
    r->out = out[0];
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(in[0]);
        close(out[1]);
        return -1;
    }
    r->err = err[0];
    if (pipe2(gate, O_CLOEXEC) != 0) {
        close(in[0]);
        close(out[1]);
        close(err[1]);
        return -1;
    }

    r->pid = fork();

    if (r->pid == 0) {
        /* What it starts dies with its group when it is late. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (dup2(in[0], 0) != -1 && dup2(out[1], 1) != -1 &&
            dup2(err[1], 2) != -1) {
            signal(SIGPIPE, SIG_DFL);
            environ = run_environment;
            execvp(argv[0], (char *const *) argv);
        }
        fault = errno;
        if (write(gate[1], &fault, sizeof(fault)) != sizeof(fault)) {
            _exit(126);
        }
        _exit(127);
    }

    fault = r->pid == -1 ? errno : 0;
    close(in[0]);
    close(out[1]);
    close(err[1]);
    close(gate[1]);

    if (fault == 0) {
        do {
            n = read(gate[0], &fault, sizeof(fault));
        } while (n == -1 && errno == EINTR);

        if (n > 0) {
            waitpid(r->pid, NULL, 0);
        } else {
            fault = 0;
        }
    }
    close(gate[0]);

    if (fault == 0) {
        r->end = pidfd_open(r->pid, 0);
        if (r->end == -1) {
            fault = errno;
            kill(r->pid, SIGKILL);
            waitpid(r->pid, NULL, 0);
        }
    }

    if (fault != 0) {
        errno = fault;
        return -1;
    }

    fcntl(r->in, F_SETFL, O_NONBLOCK);
    fcntl(r->out, F_SETFL, O_NONBLOCK);
    fcntl(r->err, F_SETFL, O_NONBLOCK);

    return 0;
}


/* Until it has ended: what it leaves behind may hold the pipes for ever.  1
 * when its time was over first. */
static int
run_talk(run_t *r, int64_t until)
{
    int64_t left;
    struct pollfd fds[4];

    signal(SIGPIPE, SIG_IGN);

    for (;;) {
        left = until - run_now();
        if (left <= 0) {
            return 1;
        }

        fds[0] = (struct pollfd){.fd = r->end, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = r->out, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = r->err, .events = POLLIN};
        fds[3] = (struct pollfd){.fd = r->in, .events = POLLOUT};

        if (poll(fds, 4, left > 1000 ? 1000 : (int) left) == -1 &&
            errno != EINTR) {
            return 1;
        }

        run_write(r);
        run_read(r);
        run_complain(r);

        if (fds[0].revents != 0) {
            run_read(r);
            run_complain(r);
            return 0;
        }
    }
}


static void
run_write(run_t *r)
{
    ssize_t n;

    while (r->in != -1) {
        if (*r->input == '\0') {
            run_close(&r->in);
            return;
        }
        n = write(r->in, r->input, strlen(r->input));
        if (n > 0) {
            r->input += n;
        } else if (n == -1 && errno == EAGAIN) {
            return;
        } else if (n != -1 || errno != EINTR) {
            run_close(&r->in);
        }
    }
}


static void
run_read(run_t *r)
{
    char waste[4096];
    int i;
    ssize_t n;
    size_t room;

    /* Bounded: one that writes without end has its time, too. */
    for (i = 0; r->out != -1 && i < RUN_READS; i++) {
        room = r->text != NULL ? r->size - 1 - r->length : 0;
        n = room > 0 ? read(r->out, r->text + r->length, room)
                     : read(r->out, waste, sizeof(waste));
        if (n > 0) {
            r->length += room > 0 ? (size_t) n : 0;
        } else if (n == 0 || errno != EAGAIN) {
            if (n == -1 && errno == EINTR) {
                continue;
            }
            run_close(&r->out);
        } else {
            return;
        }
    }
}


/* Its end is what counts. */
static void
run_complain(run_t *r)
{
    char text[2048];
    int i;
    size_t n, drop;
    ssize_t got;

    for (i = 0; r->err != -1 && i < RUN_READS; i++) {
        got = read(r->err, text, sizeof(text));
        if (got == 0 || (got == -1 && errno != EAGAIN && errno != EINTR)) {
            run_close(&r->err);
            return;
        }
        if (got == -1 && errno == EAGAIN) {
            return;
        }
        if (got == -1) {
            continue;
        }

        n = (size_t) got;
        if (r->said + n >= sizeof(r->complaint)) {
            drop = r->said + n - sizeof(r->complaint) + 1;
            memmove(r->complaint, r->complaint + drop, r->said - drop);
            r->said -= drop;
        }
        memcpy(r->complaint + r->said, text, n);
        r->said += n;
    }
}


static void
run_close(int *fd)
{
    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
}


static void
run_explain(run_t *r, const amld_podman_args_t *a, int late, unsigned seconds,
            int status, char *err, size_t size)
{
    char what[128];
    size_t k;
    int n;
    const char *line;

    /* Its name and its verb; options are long and of no help. */
    n = snprintf(what, sizeof(what), "%s", a->argv[0]);
    for (k = 1; k < a->count && n > 0 && (size_t) n < sizeof(what); k++) {
        if (a->argv[k][0] == '-') {
            k += strchr(a->argv[k], '=') == NULL;
            continue;
        }
        snprintf(what + n, sizeof(what) - (size_t) n, " %s", a->argv[k]);
        break;
    }

    line = run_complaint(r);

    if (late) {
        snprintf(err, size, "%s did not end within %u seconds%s%s", what,
                 seconds, *line != '\0' ? ": " : "", line);
    } else if (WIFSIGNALED(status)) {
        snprintf(err, size, "%s was ended by signal %d%s%s", what,
                 WTERMSIG(status), *line != '\0' ? ": " : "", line);
    } else {
        snprintf(err, size, "%s ended with exit status %d%s%s", what,
                 WEXITSTATUS(status), *line != '\0' ? ": " : "", line);
    }
}


static const char *
run_complaint(run_t *r)
{
    char *p;
    size_t k;

    while (r->said > 0 && strchr(" \r\n\t", r->complaint[r->said - 1])) {
        r->said--;
    }
    r->complaint[r->said] = '\0';

    /* nft points at the place below what it says. */
    p = strstr(r->complaint, "Error:");
    if (p != NULL) {
        p[strcspn(p, "\n")] = '\0';
    } else {
        p = strrchr(r->complaint, '\n');
        p = p != NULL ? p + 1 : r->complaint;
    }

    for (k = 0; p[k] != '\0'; k++) {
        if ((unsigned char) p[k] < ' ') {
            p[k] = ' ';
        }
    }

    return p;
}


static int64_t
run_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
