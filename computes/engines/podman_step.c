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
#define STEP_ARGS 512
#define STEP_ENV 96
#define STEP_MARK "AML_COMMAND="
#define STEP_PATH                                                              \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int step_prepare(const amld_podman_spec_t *s, char *err, size_t size);
static int
step_clear(const amld_podman_spec_t *s, int remove, char *err, size_t size);
static int
step_command(amld_podman_command_t *c, const char *verb, int argc, char **argv);
static int
step_exec(const amld_podman_spec_t *s, const amld_podman_command_t *command,
          char *err, size_t size);
static int
step_beside(const amld_podman_spec_t *s, const amld_podman_command_t *command,
            char *err, size_t size);
static int
step_exec_arguments(amld_podman_container_t *c,
                    const amld_podman_command_t *command, char *directory,
                    char *file, char *mark, char **argv);
static pid_t step_pid(const char *file);
static int step_wait(pid_t pid, const sigset_t *set, int group);
static void step_end(int status) __attribute__((noreturn));
static int step_lock(const amld_podman_spec_t *s, char *err, size_t size);

extern char **environ;


int
amld_podman_step_main(int argc, char **argv)
{
    int rc;
    char err[PATH_MAX + 512];
    amld_podman_command_t command;
    amld_podman_spec_t s;
    static char *ours[] = {(char *) STEP_PATH, (char *) "HOME=/root", NULL};

    /* Of `exec` the environment is the command's, of the others amld's; neither
     * has a say in how podman works. */
    memset(&command, 0, sizeof(command));
    command.environment = environ;
    environ = ours;

    setvbuf(stdout, NULL, _IOLBF, 0);

    if (argc < 3 || step_command(&command, argv[1], argc - 3, argv + 3) != 0) {
        fprintf(
            stderr,
            "usage: amld engine-podman prepare|clear|remove|ports|join FILE\n"
            "       amld engine-podman exec FILE [--directory DIR] "
            "[--group] -- command...\n"
            "       amld engine-podman beside FILE --name NAME --image "
            "IMAGE [--directory DIR] [--group] -- [command...]\n");
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
    } else if (strcmp(argv[1], "ports") == 0) {
        rc = amld_podman_ports_run(&s, err, sizeof(err));
    } else if (strcmp(argv[1], "join") == 0) {
        rc = amld_podman_join(&s, stdin, err, sizeof(err));
    } else if (strcmp(argv[1], "exec") == 0) {
        rc = step_exec(&s, &command, err, sizeof(err));
    } else if (strcmp(argv[1], "beside") == 0) {
        rc = step_beside(&s, &command, err, sizeof(err));
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
    json_int_t timeout, uid, group, cores, memory, gpus, pids, least;

    memset(s, 0, sizeof(*s));
    s->account = "";
    least = 0;

    s->json = json_load_file(file, JSON_REJECT_DUPLICATES, &fault);
    if (s->json == NULL) {
        snprintf(err, size, "%s: %s", file, fault.text);
        return -1;
    }

    if (json_unpack_ex(
            s->json, &fault, 0,
            "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s,"
            " s:o, s:o, s?o, s?o, s?s, s?I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
            "podman", &s->podman, "ociRuntime", &s->wish, "image", &s->image,
            "gpu", &s->gpu, "state", &s->state, "key", &s->key, "name",
            &s->name, "container", &s->container, "directory", &s->directory,
            "share", &s->share, "folder", &s->folder, "subnet", &s->subnet,
            "hostPorts", &s->host_ports, "gateway", &s->gateway, "images",
            &s->images, "before", &s->before, "account", &s->account,
            "accountLeast", &least, "timeout", &timeout, "uid", &uid, "group",
            &group, "cores", &cores, "memory", &memory, "gpus", &gpus, "pids",
            &pids) != 0) {
        snprintf(err, size, "%s: %s", file, fault.text);
        amld_podman_spec_free(s);
        return -1;
    }

    s->timeout = (unsigned) timeout;
    s->account_least = least;
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


/* What is behind FILE; 0, or -1. */
static int
step_command(amld_podman_command_t *c, const char *verb, int argc, char **argv)
{
    int beside, i;

    beside = strcmp(verb, "beside") == 0;
    if (!beside && strcmp(verb, "exec") != 0) {
        return argc == 0 ? 0 : -1;
    }

    for (i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--group") == 0) {
            c->group = 1;
        } else if (i + 1 < argc && strcmp(argv[i], "--directory") == 0) {
            c->directory = argv[++i];
        } else if (beside && i + 1 < argc && strcmp(argv[i], "--name") == 0) {
            c->name = argv[++i];
        } else if (beside && i + 1 < argc && strcmp(argv[i], "--image") == 0) {
            c->image = argv[++i];
        } else {
            return -1;
        }
    }

    if (i >= argc) {
        return -1;
    }
    c->command = argv + i + 1;

    return beside ? (c->name != NULL && c->image != NULL ? 0 : -1)
                  : (c->command[0] != NULL ? 0 : -1);
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
step_exec(const amld_podman_spec_t *s, const amld_podman_command_t *command,
          char *err, size_t size)
{
    int status;
    char *argv[STEP_ARGS];
    char directory[PATH_MAX + 16], file[PATH_MAX], mark[PATH_MAX + 64];
    pid_t pid;
    sigset_t set;
    amld_podman_container_t c;

    if (command->command == NULL || !amld_podman_running(s, &c)) {
        snprintf(err, size, "the container has ended");
        return -1;
    }

    if (command->directory != NULL) {
        snprintf(directory, sizeof(directory), "%s", command->directory);
    } else {
        snprintf(directory, sizeof(directory), AMLD_PODMAN_SHARE "/%s",
                 s->folder);
    }
    if ((size_t) snprintf(file, sizeof(file), "%s/" STEP_PID, s->directory,
                          (int) getpid()) >= sizeof(file)) {
        snprintf(err, size, "%s: too long", s->directory);
        return -1;
    }

    if (step_exec_arguments(&c, command, directory, file, mark, argv) != 0) {
        snprintf(err, size, "%s: the command line is too long",
                 command->command[0]);
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
                 command->command[0], c.id);
        return -1;
    }

    status = step_wait(pid, &set, command->group);
    if (command->group) {
        amld_podman_sweep(command);
    }
    step_end(status);
}


static int
step_beside(const amld_podman_spec_t *s, const amld_podman_command_t *command,
            char *err, size_t size)
{
    int status;

    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

    status = amld_podman_beside(s, command, err, size);
    if (status == -1) {
        return -1;
    }
    step_end(status);
}


/* Only its status is left to say. */
static void
step_end(int status)
{
    sigset_t set;

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
step_exec_arguments(amld_podman_container_t *c,
                    const amld_podman_command_t *command, char *directory,
                    char *file, char *mark, char **argv)
{
    size_t i, n;
    char *const *inside = command->environment;

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
        if (command->group &&
            strncmp(inside[i], STEP_MARK, sizeof(STEP_MARK) - 1) == 0) {
            snprintf(mark, PATH_MAX + 64, AMLD_PODMAN_MARK "%s",
                     inside[i] + sizeof(STEP_MARK) - 1);
            argv[n++] = "-e";
            argv[n++] = mark;
        }
    }
    argv[n++] = c->id;
    for (i = 0; command->command[i] != NULL; i++) {
        if (n + 1 == STEP_ARGS) {
            return -1;
        }
        argv[n++] = command->command[i];
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
step_wait(pid_t pid, const sigset_t *set, int group)
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
        if ((sig == SIGTERM || sig == SIGINT) &&
            (!group || kill(-pid, SIGTERM) != 0)) {
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
