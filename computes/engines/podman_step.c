/*
 * `amld engine-podman VERB FILE [-- COMMAND…]`; see podman.h.  What it says on
 * standard output and error is the log of the step, and the end of it is the
 * reason that people are shown when it fails.
 */

#include "computes/engines/podman.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/engines/podman_run.h"

#define STEP_LOCK "podman.lock"
#define STEP_PID "exec.%d.pid"
#define STEP_ARGS 256
#define STEP_ENV 64
#define STEP_PATH                                                              \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int step_prepare(const amld_podman_spec_t *s, char *err, size_t size);
static int
step_clear(const amld_podman_spec_t *s, int remove, char *err, size_t size);
static int step_exec(const amld_podman_spec_t *s, char **command,
                     char *const *inside, char *err, size_t size);
static int step_exec_arguments(amld_podman_container_t *c, char **command,
                               char *const *inside, char *directory, char *file,
                               char **argv);
static pid_t step_pid(const char *file);
static int step_wait(pid_t pid, const sigset_t *set);
static int step_lock(const amld_podman_spec_t *s, char *err, size_t size);

extern char **environ;


int
amld_podman_step_main(int argc, char **argv)
{
    int rc;
    char err[PATH_MAX + 512], **inside;
    amld_podman_spec_t s;
    static char *ours[] = {(char *) STEP_PATH, (char *) "HOME=/root", NULL};

    /* Of `exec` the environment is the command's, of the others amld's; neither
     * has a say in how podman works. */
    inside = environ;
    environ = ours;

    setvbuf(stdout, NULL, _IOLBF, 0);

    if (argc < 3 ||
        (strcmp(argv[1], "exec") == 0 ? argc < 5 || strcmp(argv[3], "--") != 0
                                      : argc != 3)) {
        fprintf(stderr, "usage: amld engine-podman prepare|clear|remove FILE\n"
                        "       amld engine-podman exec FILE -- command...\n");
        return 2;
    }

    if (amld_podman_spec_read(&s, argv[2], err, sizeof(err)) != 0) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }

    if (strcmp(argv[1], "prepare") == 0) {
        rc = step_prepare(&s, err, sizeof(err));
    } else if (strcmp(argv[1], "clear") == 0) {
        rc = step_clear(&s, 0, err, sizeof(err));
    } else if (strcmp(argv[1], "remove") == 0) {
        rc = step_clear(&s, 1, err, sizeof(err));
    } else if (strcmp(argv[1], "exec") == 0) {
        rc = step_exec(&s, argv + 4, inside, err, sizeof(err));
    } else {
        snprintf(err, sizeof(err), "there is no step \"%s\"", argv[1]);
        rc = -1;
    }

    if (rc != 0) {
        fprintf(stderr, "%s\n", err);
    }

    amld_podman_spec_free(&s);

    return rc == 0 ? 0 : 1;
}


int
amld_podman_spec_read(amld_podman_spec_t *s, const char *file, char *err,
                      size_t size)
{
    json_error_t fault;
    json_int_t timeout, uid, group, cores, memory, gpus, pids;

    memset(s, 0, sizeof(*s));

    s->json = json_load_file(file, JSON_REJECT_DUPLICATES, &fault);
    if (s->json == NULL) {
        snprintf(err, size, "%s: %s", file, fault.text);
        return -1;
    }

    if (json_unpack_ex(
            s->json, &fault, 0,
            "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s,"
            " s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
            "podman", &s->podman, "ociRuntime", &s->wish, "image", &s->image,
            "gpu", &s->gpu, "state", &s->state, "key", &s->key, "name",
            &s->name, "container", &s->container, "directory", &s->directory,
            "share", &s->share, "folder", &s->folder, "subnet", &s->subnet,
            "hostPorts", &s->host_ports, "gateway", &s->gateway, "timeout",
            &timeout, "uid", &uid, "group", &group, "cores", &cores, "memory",
            &memory, "gpus", &gpus, "pids", &pids) != 0) {
        snprintf(err, size, "%s: %s", file, fault.text);
        amld_podman_spec_free(s);
        return -1;
    }

    s->timeout = (unsigned) timeout;
    s->uid = uid;
    s->group = group;
    s->cores = cores;
    s->memory = memory;
    s->gpus = gpus;
    s->pids = pids;

    return 0;
}


void
amld_podman_spec_free(amld_podman_spec_t *s)
{
    json_decref(s->json);
    memset(s, 0, sizeof(*s));
}


static int
step_prepare(const amld_podman_spec_t *s, char *err, size_t size)
{
    int lock, rc;
    amld_podman_container_t c;

    if (geteuid() != 0) {
        snprintf(err, size, "the engine podman needs root");
        return -1;
    }

    lock = step_lock(s, err, size);
    if (lock == -1) {
        return -1;
    }

    rc = -1;
    if (amld_podman_running(s, &c)) {
        printf("container %.12s runs already\n", c.id);
        rc = 0;
    } else if (amld_podman_files(s, err, size) == 0 &&
               amld_podman_up(s, &c, err, size) == 0) {
        printf("container %.12s runs, by %s\n", c.id, c.runtime);
        rc = 0;
    }

    close(lock);

    return rc;
}


static int
step_clear(const amld_podman_spec_t *s, int remove, char *err, size_t size)
{
    int lock, rc;

    lock = step_lock(s, err, size);
    if (lock == -1) {
        return -1;
    }

    rc = amld_podman_down(s, remove, err, size);
    if (rc == 0) {
        amld_podman_files_clear(s, remove);
        if (remove) {
            amld_podman_network_drop(s);
        }
        printf("the container %s\n", remove ? "is removed" : "has ended");
    }

    close(lock);

    return rc;
}


/*
 * The runtime starts the command and leaves: with its help the command would
 * only end when the last of what it has started has closed its output, and one
 * that was killed would seem to go on.  As a subreaper we are the parent of the
 * command then, hand SIGTERM on, and end as it does.  If we are killed, it is
 * the shim's.
 */
static int
step_exec(const amld_podman_spec_t *s, char **command, char *const *inside,
          char *err, size_t size)
{
    int status;
    char *argv[STEP_ARGS];
    char directory[PATH_MAX + 16], file[PATH_MAX];
    pid_t pid;
    sigset_t set;
    amld_podman_container_t c;

    if (!amld_podman_running(s, &c)) {
        snprintf(err, size, "the container has ended");
        return -1;
    }

    snprintf(directory, sizeof(directory), AMLD_PODMAN_SHARE "/%s", s->folder);
    if ((size_t) snprintf(file, sizeof(file), "%s/" STEP_PID, s->directory,
                          (int) getpid()) >= sizeof(file)) {
        snprintf(err, size, "%s: too long", s->directory);
        return -1;
    }

    if (step_exec_arguments(&c, command, inside, directory, file, argv) != 0) {
        snprintf(err, size, "%s: the command line is too long", command[0]);
        return -1;
    }

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        execvp(argv[0], argv);
        fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid == -1) {
        snprintf(err, size, "cannot start %s: %s", argv[0], strerror(errno));
        return -1;
    }

    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
        /* void */
    }
    pid = step_pid(file);
    unlink(file);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || pid <= 1) {
        snprintf(err, size, "%s could not be started in container %.12s",
                 command[0], c.id);
        return -1;
    }

    status = step_wait(pid, &set);

    /* Only its status is left to say. */
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        raise(WTERMSIG(status));
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}


static int
step_exec_arguments(amld_podman_container_t *c, char **command,
                    char *const *inside, char *directory, char *file,
                    char **argv)
{
    size_t i, n;

    n = 0;
    argv[n++] = c->runtime;
    argv[n++] = "exec";
    argv[n++] = "--detach";
    argv[n++] = "--pid-file";
    argv[n++] = file;
    argv[n++] = "--cwd";
    argv[n++] = directory;
    for (i = 0; inside[i] != NULL; i++) {
        if (i == STEP_ENV) {
            return -1;
        }
        argv[n++] = "-e";
        argv[n++] = inside[i];
    }
    argv[n++] = c->id;
    for (i = 0; command[i] != NULL; i++) {
        if (n + 1 == STEP_ARGS) {
            return -1;
        }
        argv[n++] = command[i];
    }
    argv[n] = NULL;

    return 0;
}


static pid_t
step_pid(const char *file)
{
    int pid;
    FILE *f;

    f = fopen(file, "re");
    if (f == NULL || fscanf(f, "%d", &pid) != 1) {
        pid = -1;
    }
    if (f != NULL) {
        fclose(f);
    }

    return pid;
}


/* Of wait(2).  It is our child, so its number is nobody else's until then. */
static int
step_wait(pid_t pid, const sigset_t *set)
{
    int sig, status;
    pid_t ended;

    for (;;) {
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
            if (ended == pid) {
                return status;
            }
        }
        if (ended == -1 && errno == ECHILD) {
            return 0;
        }

        sig = sigwaitinfo(set, NULL);
        if (sig == SIGTERM || sig == SIGINT) {
            kill(pid, SIGTERM);
        }
    }
}


/* One step of an instance at a time. */
static int
step_lock(const amld_podman_spec_t *s, char *err, size_t size)
{
    int fd, rc;
    char path[PATH_MAX];

    if ((size_t) snprintf(path, sizeof(path), "%s/" STEP_LOCK, s->directory) >=
        sizeof(path)) {
        snprintf(err, size, "%s: too long", s->directory);
        return -1;
    }

    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd == -1) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    do {
        rc = flock(fd, LOCK_EX);
    } while (rc == -1 && errno == EINTR);

    return fd;
}
