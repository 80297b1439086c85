/*
 * Containers beside an instance's: of another image, for one command.  They
 * have its user namespace, its network and its cgroups, so that they are not
 * apart from it, and the share; its sockets and root's home they have not.
 *
 *   <private>/beside.<name>   the first process of a container, while it is
 *                             there; podman writes it
 */

#include "computes/engines/podman.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "computes/engines/engine.h"
#include "computes/engines/podman_run.h"
#include "computes/engines/procfs.h"

#define BESIDE "beside."
#define BESIDE_HOOKS "hooks"
#define BESIDE_LINE 32768       /* of a file of variables, for podman */
#define BESIDE_ONCE 32          /* containers that are removed at a time */
#define BESIDE_ID 65            /* of an image, hexadecimal */
#define BESIDE_FAILED 125       /* podman's own failure, podman(1) */
#define BESIDE_PAUSE 50000000   /* ns, until the container is there */
#define BESIDE_DEPTH 8          /* processes from us to a container's */
#define BESIDE_SWEEPS 100       /* rounds, */
#define BESIDE_SWEEP_PAUSE 5000 /* us apart */
#define BESIDE_COMMAND "AML_COMMAND="

static int beside_allowed(const amld_podman_spec_t *s, const char *image);
static int beside_image(const amld_podman_spec_t *s, const char *image,
                        char id[BESIDE_ID], char *err, size_t size);
static int
beside_arguments(const amld_podman_spec_t *s, const amld_podman_container_t *c,
                 const amld_podman_command_t *command, const char *image,
                 const char *file, const char *variables, amld_podman_args_t *a,
                 char *err, size_t size);
static int beside_hooks(const amld_podman_spec_t *s, amld_podman_args_t *a,
                        char *err, size_t size);
static int
beside_variables(const amld_podman_command_t *command, char *path, size_t size);
static const char *
beside_variable(const amld_podman_command_t *command, size_t k);
static int beside_is_plain(const char *variable);
static int beside_note(const char *file, char *err, size_t size);
static pid_t beside_pid(const char *file);
static int beside_lives(const amld_podman_container_t *c, pid_t pid);
static int beside_is_ours(pid_t pid);
static int beside_wait(pid_t pid, const char *file, const sigset_t *set);
static int
beside_path(const amld_podman_spec_t *s, const char *name, char path[PATH_MAX]);


int
amld_podman_is_image(const char *name)
{
    size_t k, n;
    const char *colon;

    static const char *const transports[] = {
        "atomic",
        "containers-storage",
        "dir",
        "docker",
        "docker-archive",
        "docker-daemon",
        "oci",
        "oci-archive",
        "ostree",
        "sif",
        "tarball",
    };

    n = strlen(name);
    if (n == 0 || n > 255 || !isalnum((unsigned char) name[0])) {
        return 0;
    }

    for (k = 0; k < n; k++) {
        if (!isalnum((unsigned char) name[k]) &&
            strchr("._-/:@", name[k]) == NULL) {
            return 0;
        }
    }

    colon = strchr(name, ':');
    if (colon == NULL) {
        return 1;
    }

    n = (size_t) (colon - name);
    for (k = 0; k < sizeof(transports) / sizeof(*transports); k++) {
        if (strlen(transports[k]) == n &&
            strncasecmp(transports[k], name, n) == 0) {
            return 0;
        }
    }

    return 1;
}


int
amld_podman_beside(const amld_podman_spec_t *s,
                   const amld_podman_command_t *command, char *err, size_t size)
{
    int fd, status;
    char file[PATH_MAX], image[BESIDE_ID], variables[64];
    pid_t pid;
    sigset_t set;
    amld_podman_args_t a;
    amld_podman_container_t c;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);

    if (!amld_podman_running(s, &c)) {
        snprintf(err, size, "the instance's container has ended");
        return -1;
    }

    if (beside_path(s, command->name, file) != 0) {
        snprintf(err, size, "%s: too long", s->directory);
        return -1;
    }

    amld_podman_beside_clear(s, 0);

    if (beside_note(file, err, size) != 0) {
        return -1;
    }

    fd = beside_variables(command, variables, sizeof(variables));
    if (fd == -1) {
        snprintf(err, size, "no memory for variables");
        unlink(file);
        return -1;
    }

    if (beside_image(s, command->image, image, err, size) != 0 ||
        beside_arguments(s, &c, command, image, file, variables, &a, err,
                         size) != 0) {
        close(fd);
        unlink(file);
        return -1;
    }

    pid = fork();
    if (pid == 0) {
        /* A signal for us is not podman's, too. */
        setpgid(0, 0);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        execvp(a.argv[0], (char *const *) a.argv);
        fprintf(stderr, "cannot run %s: %s\n", a.argv[0], strerror(errno));
        _exit(127);
    }
    close(fd);
    if (pid == -1) {
        snprintf(err, size, "cannot start %s: %s", a.argv[0], strerror(errno));
        unlink(file);
        return -1;
    }

    status = beside_wait(pid, file, &set);
    unlink(file);

    if (WIFEXITED(status) && WEXITSTATUS(status) == BESIDE_FAILED) {
        fprintf(stderr, "the container of %s could not be run\n",
                command->image);
    }

    return status;
}


void
amld_podman_beside_clear(const amld_podman_spec_t *s, int all)
{
    char err[512], path[PATH_MAX];
    char files[BESIDE_ONCE][NAME_MAX + 1];
    DIR *dir;
    amld_podman_args_t a;
    amld_podman_container_t c;
    pid_t pid;
    size_t k, n;
    struct dirent *entry;

    if (!all && !amld_podman_running(s, &c)) {
        return;
    }

    do {
        dir = opendir(s->directory);
        if (dir == NULL) {
            return;
        }

        n = 0;
        amld_podman_args(&a, s->podman);
        amld_podman_arg(&a, "rm");
        amld_podman_arg(&a, "--force");
        amld_podman_arg(&a, "--volumes");
        amld_podman_arg(&a, "--ignore");
        amld_podman_arg(&a, "--time=0");

        while (n < BESIDE_ONCE && (entry = readdir(dir)) != NULL) {
            if (strncmp(entry->d_name, BESIDE, sizeof(BESIDE) - 1) != 0 ||
                beside_path(s, entry->d_name + sizeof(BESIDE) - 1, path) != 0) {
                continue;
            }

            /* One without a number is being made. */
            pid = beside_pid(path);
            if (!all && (pid <= 1 || beside_lives(&c, pid))) {
                continue;
            }

            snprintf(files[n++], NAME_MAX + 1, "%s",
                     entry->d_name + sizeof(BESIDE) - 1);
            amld_podman_arg(&a, "%s-%s", s->container,
                            entry->d_name + sizeof(BESIDE) - 1);
        }
        closedir(dir);

        if (n == 0) {
            return;
        }
        if (amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, sizeof(err)) !=
            0) {
            printf("%s\n", err);
            return;
        }

        for (k = 0; k < n; k++) {
            if (beside_path(s, files[k], path) == 0) {
                unlink(path);
            }
        }
    } while (n == BESIDE_ONCE);
}


void
amld_podman_sweep(const amld_podman_command_t *command)
{
    int i;
    char mark[PATH_MAX + 64];
    size_t k;

    for (k = 0; command->environment[k] != NULL; k++) {
        if (strncmp(command->environment[k], BESIDE_COMMAND,
                    sizeof(BESIDE_COMMAND) - 1) == 0) {
            break;
        }
    }
    if (command->environment[k] == NULL ||
        (size_t) snprintf(mark, sizeof(mark), AMLD_PODMAN_MARK "%s",
                          command->environment[k] + sizeof(BESIDE_COMMAND) -
                              1) >= sizeof(mark)) {
        return;
    }

    for (i = 0; i < BESIDE_SWEEPS; i++) {
        if (amld_proc_kill_marked(mark, 0, SIGKILL) == 0) {
            return;
        }
        usleep(BESIDE_SWEEP_PAUSE);
    }
}


/* By the name that is asked for: others of the same image are not meant. */
static int
beside_allowed(const amld_podman_spec_t *s, const char *image)
{
    size_t i;
    const json_t *one;

    json_array_foreach(s->images, i, one)
    {
        if (fnmatch(json_string_value(one), image, 0) == 0) {
            return 1;
        }
    }

    return 0;
}


/* What is here under that name: whatever podman could fetch is not asked. */
static int
beside_image(const amld_podman_spec_t *s, const char *image, char id[BESIDE_ID],
             char *err, size_t size)
{
    char out[256], fault[512];
    const char *hex;
    amld_podman_args_t a;

    if (!amld_podman_is_image(image)) {
        snprintf(err, size, "\"%.200s\" is not the name of an image", image);
        return -1;
    }

    if (!beside_allowed(s, image)) {
        snprintf(err, size,
                 "The image %.200s is none of those that may be run here: ask "
                 "whoever runs this machine.",
                 image);
        return -1;
    }

    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "image");
    amld_podman_arg(&a, "inspect");
    amld_podman_arg(&a, "--format={{.Id}}");
    amld_podman_arg(&a, "%s", image);

    if (amld_podman_run(&a, NULL, s->timeout, out, sizeof(out), fault,
                        sizeof(fault)) != 0) {
        snprintf(err, size,
                 "There is no image %.200s on the machine of this instance, "
                 "and none is fetched: ask whoever runs it. (%.200s)",
                 image, fault);
        return -1;
    }

    hex = strncmp(out, "sha256:", 7) == 0 ? out + 7 : out;
    if (strlen(hex) != BESIDE_ID - 1 ||
        strspn(hex, "0123456789abcdef") != BESIDE_ID - 1) {
        snprintf(err, size, "podman can't say which image %.200s is: %.80s",
                 image, out);
        return -1;
    }
    snprintf(id, BESIDE_ID, "%.64s", hex);

    return 0;
}


static int
beside_arguments(const amld_podman_spec_t *s, const amld_podman_container_t *c,
                 const amld_podman_command_t *command, const char *image,
                 const char *file, const char *variables, amld_podman_args_t *a,
                 char *err, size_t size)
{
    char gpus[256], *gpu, *rest;
    size_t k;

    gpus[0] = '\0';
    if (s->gpus > 0 &&
        amld_podman_gpus_of(s, gpus, sizeof(gpus), err, size) != 0) {
        return -1;
    }

    amld_podman_args(a, s->podman);
    amld_podman_arg(a, "--runtime=%s", c->runtime);
    if (beside_hooks(s, a, err, size) != 0) {
        return -1;
    }
    amld_podman_arg(a, "run");
    amld_podman_arg(a, "--rm");
    amld_podman_arg(a, "--interactive");
    amld_podman_arg(a, "--replace");
    amld_podman_arg(a, "--init");
    amld_podman_arg(a, "--pull=never");
    amld_podman_arg(a, "--http-proxy=false");
    amld_podman_arg(a, "--sig-proxy=false");
    amld_podman_arg(a, "--log-driver=passthrough");
    amld_podman_arg(a, "--stop-timeout=0");
    amld_podman_arg(a, "--pidfile=%s", file);
    amld_podman_arg(a, "--name=%s-%s", s->container, command->name);
    amld_podman_arg(a, "--label=aml.state=%s", s->key);
    amld_podman_arg(a, "--label=aml.beside=%s", s->container);
    amld_podman_arg(a, "--userns=container:%s", c->id);
    amld_podman_arg(a, "--network=container:%s", c->id);
    amld_podman_arg(a, "--user=0:0");
    /* With a network of somebody else's it has the machine's /sys. */
    amld_podman_arg(a, "--security-opt=mask=/sys/fs/cgroup");
    amld_podman_arg(a, "--cpus=%lld", (long long) s->cores);
    amld_podman_arg(a, "--memory=%lldm", (long long) s->memory);
    amld_podman_arg(a, "--memory-swap=%lldm", (long long) s->memory);
    amld_podman_arg(a, "--pids-limit=%lld", (long long) s->pids);
    amld_podman_arg(a, "--shm-size=%lldm",
                    s->memory > 128 ? (long long) s->memory / 2 : 64LL);
    amld_podman_limits(a);
    amld_podman_arg(a, "--volume=%s:" AMLD_PODMAN_SHARE ":rw", s->share);
    if (command->directory != NULL) {
        amld_podman_arg(a, "--workdir=%s", command->directory);
    } else {
        amld_podman_arg(a, "--workdir=" AMLD_PODMAN_SHARE "/%s", s->folder);
    }
    amld_podman_arg(a, "--env-file=%s", variables);
    for (k = 0; command->environment[k] != NULL; k++) {
        if (!beside_is_plain(command->environment[k])) {
            amld_podman_arg(a, "--env=%s", beside_variable(command, k));
        }
    }
    for (gpu = strtok_r(gpus, ",", &rest); gpu != NULL;
         gpu = strtok_r(NULL, ",", &rest)) {
        amld_podman_arg(a, "--device=%s=%s", s->gpu, gpu);
    }

    /* Without a command the image's own is run. */
    if (command->command[0] != NULL) {
        amld_podman_arg(a, "--entrypoint=");
    }
    amld_podman_arg(a, "%s", image);
    for (k = 0; command->command[k] != NULL; k++) {
        amld_podman_arg(a, "%s", command->command[k]);
    }

    if (a->failed) {
        snprintf(err, size, "%s: the command line is too long", command->image);
        return -1;
    }

    return 0;
}


/*
 * The runtime runs ours when there is a container, before anything runs in it:
 * see amld_podman_join().  podman doesn't look where it would by itself when it
 * is given a directory.
 */
static int
beside_hooks(const amld_podman_spec_t *s, amld_podman_args_t *a, char *err,
             size_t size)
{
    static const char *const usual[] = {
        "/usr/share/containers/oci/hooks.d",
        "/etc/containers/oci/hooks.d",
    };
    char self[PATH_MAX], directory[PATH_MAX], file[PATH_MAX], temp[PATH_MAX];
    int rc;
    size_t k;
    ssize_t n;
    json_t *hook;

    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    if (n > 10 && strcmp(self + n - 10, " (deleted)") == 0) {
        self[n - 10] = '\0';
    }

    if ((size_t) snprintf(directory, sizeof(directory), "%s/" BESIDE_HOOKS,
                          s->directory) >= sizeof(directory) ||
        (size_t) snprintf(file, sizeof(file), "%s/beside.json", directory) >=
            sizeof(file) ||
        (size_t) snprintf(temp, sizeof(temp), "%s/%d", directory,
                          (int) getpid()) >= sizeof(temp) ||
        (mkdir(directory, 0700) != 0 && errno != EEXIST)) {
        snprintf(err, size, "%s/" BESIDE_HOOKS ": %s", s->directory,
                 strerror(errno));
        return -1;
    }

    hook =
        json_pack("{s:s, s:{s:s, s:[s,s,s,s+]}, s:{s:b}, s:[s]}", "version",
                  "1.0.0", "hook", "path", self, "args", "amld",
                  "engine-podman", "join", s->directory, "/" AMLD_PODMAN_SPEC,
                  "when", "always", 1, "stages", "createRuntime");
    rc = hook != NULL ? json_dump_file(hook, temp, 0) : -1;
    json_decref(hook);
    if (rc != 0 || rename(temp, file) != 0) {
        snprintf(err, size, "%s: %s", file, strerror(errno));
        unlink(temp);
        return -1;
    }

    for (k = 0; k < sizeof(usual) / sizeof(*usual); k++) {
        if (access(usual[k], F_OK) == 0) {
            amld_podman_arg(a, "--hooks-dir=%s", usual[k]);
        }
    }
    amld_podman_arg(a, "--hooks-dir=%s", directory);

    return 0;
}


/* For podman to read: arguments are for all of the machine to see, and its own
 * environment steers it. */
static int
beside_variables(const amld_podman_command_t *command, char *path, size_t size)
{
    int fd;
    size_t k;

    fd = memfd_create("variables", 0);
    if (fd == -1) {
        return -1;
    }

    for (k = 0; command->environment[k] != NULL; k++) {
        if (beside_is_plain(command->environment[k]) &&
            dprintf(fd, "%s\n", beside_variable(command, k)) < 0) {
            close(fd);
            return -1;
        }
    }
    snprintf(path, size, "/proc/self/fd/%d", fd);

    return fd;
}


static const char *
beside_variable(const amld_podman_command_t *command, size_t k)
{
    const char *variable = command->environment[k];
    size_t n = sizeof(AMLD_ENGINE_VARIABLE) - 1;

    return strncmp(variable, AMLD_ENGINE_VARIABLE, n) == 0 ? variable + n
                                                           : variable;
}


/* One that a line of a file can say, to each version of podman. */
static int
beside_is_plain(const char *variable)
{
    const char *value = strchr(variable, '=');

    return value != NULL && strpbrk(variable, "\r\n") == NULL &&
           (value[1] == '\0' || strchr("\"' \t", value[1]) == NULL) &&
           strlen(variable) < BESIDE_LINE;
}


/* Before there is a container that nobody would find again. */
static int
beside_note(const char *file, char *err, size_t size)
{
    int fd;

    fd =
        open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd == -1) {
        snprintf(err, size, "%s: %s", file, strerror(errno));
        return -1;
    }
    close(fd);

    return 0;
}


static pid_t
beside_pid(const char *file)
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


/* Has that number a process of the instance's, the first of a container?  It
 * may be another's by now, but is nobody else's. */
static int
beside_lives(const amld_podman_container_t *c, pid_t pid)
{
    char line[256], path[64];
    const char *inside;
    FILE *f;
    int first;
    struct stat its, theirs;

    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int) c->pid);
    if (stat(path, &its) != 0) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int) pid);
    if (stat(path, &theirs) != 0 || its.st_ino != theirs.st_ino ||
        its.st_dev != theirs.st_dev) {
        return 0;
    }

    snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
    f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    for (first = 0; !first && fgets(line, sizeof(line), f) != NULL;) {
        line[strcspn(line, "\n")] = '\0';
        inside = strrchr(line, '\t');
        first = strncmp(line, "NSpid:", 6) == 0 && inside != NULL &&
                strcmp(inside, "\t1") == 0;
    }
    fclose(f);

    return first;
}


/* conmon is our child, as we are a subreaper; the container's is its. */
static int
beside_is_ours(pid_t pid)
{
    int i;
    amld_proc_t proc;

    for (i = 0; i < BESIDE_DEPTH && pid > 1; i++) {
        if (pid == getpid()) {
            return 1;
        }
        if (amld_proc_read(pid, &proc) != 0) {
            return 0;
        }
        pid = proc.parent;
    }

    return 0;
}


/* Of wait(2).  A signal that comes before the container does waits for it. */
static int
beside_wait(pid_t pid, const char *file, const sigset_t *set)
{
    int asked, sig, status;
    pid_t ended, inside;
    struct timespec pause = {.tv_nsec = BESIDE_PAUSE};

    for (asked = 0;;) {
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
            if (ended == pid) {
                return status;
            }
        }
        if (ended == -1 && errno == ECHILD) {
            return 0;
        }

        sig = asked ? sigtimedwait(set, NULL, &pause) : sigwaitinfo(set, NULL);
        asked |= sig == SIGTERM || sig == SIGINT;

        /* All behind its first process, which is podman's. */
        if (asked && (inside = beside_pid(file)) > 1 &&
            beside_is_ours(inside) &&
            amld_proc_kill_below(inside, SIGTERM) > 0) {
            asked = 0;
        }
    }
}


static int
beside_path(const amld_podman_spec_t *s, const char *name, char path[PATH_MAX])
{
    return (size_t) snprintf(path, PATH_MAX, "%s/" BESIDE "%s", s->directory,
                             name) < PATH_MAX
               ? 0
               : -1;
}
