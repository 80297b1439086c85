#include "computes/instances/gone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/amld.h"
#include "computes/engines/command.h"
#include "computes/engines/engine.h"
#include "computes/engines/podman.h"
#include "computes/files/files.h"
#include "computes/files/tree.h"

#define GONE_DIRECTORY ".gone"

struct amld_gone {
    const amld_config_t *config;
    char path[PATH_MAX];
    char **orphans;
    size_t orphan_count;
    int ends; /* eventfd */
    int news; /* inotify */
    atomic_int stop;
    int started;
    pthread_t thread;
};

static void *gone_run(void *data);
static void gone_all(amld_gone_t *g);
static int gone_wait(amld_gone_t *g);
static void gone_orphan(amld_gone_t *g, const char *path);
static int gone_container(amld_gone_t *g, const char *path);
static int gone_spawn(const char **argv, const char *log, pid_t *pid);
static void gone_remove(amld_gone_t *g, const char *path);


int
amld_gone_put(const char *runtime, const char *name)
{
    int n;
    char from[PATH_MAX], to[PATH_MAX];
    uint64_t number;
    const char *slash;

    slash = strrchr(runtime, '/');
    n = snprintf(from, sizeof(from), "%s%s%s", runtime, name != NULL ? "/" : "",
                 name != NULL ? name : "");
    if (slash == NULL || n < 0 || (size_t) n >= sizeof(from) ||
        getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    n = snprintf(to, sizeof(to), "%.*s/" GONE_DIRECTORY "/%016llx",
                 (int) (slash - runtime), runtime, (unsigned long long) number);
    if (n < 0 || (size_t) n >= sizeof(to)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    if (rename(from, to) == 0) {
        return 0;
    }
    if (errno != ENOENT || access(from, F_OK) != 0) {
        return errno == ENOENT ? 0 : -1;
    }

    *strrchr(to, '/') = '\0';
    if (amld_files_mkdir(to, 0700) != 0) {
        return -1;
    }
    to[strlen(to)] = '/';

    return rename(from, to);
}


amld_gone_t *
amld_gone_new(const amld_config_t *c)
{
    amld_gone_t *g;

    g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return NULL;
    }

    g->config = c;
    g->ends = -1;
    g->news = -1;
    atomic_init(&g->stop, 0);

    if ((size_t) snprintf(g->path, sizeof(g->path), "%s/i/" GONE_DIRECTORY,
                          c->state) >= sizeof(g->path) ||
        amld_files_mkdir(g->path, 0700) != 0 ||
        (g->ends = eventfd(0, EFD_CLOEXEC)) == -1 ||
        (g->news = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) == -1 ||
        inotify_add_watch(g->news, g->path, IN_MOVED_TO | IN_ONLYDIR) == -1) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", g->path, strerror(errno));
        amld_gone_free(g);
        return NULL;
    }

    return g;
}


void
amld_gone_orphan(amld_gone_t *g, const char *path)
{
    char **more;

    more = realloc(g->orphans, (g->orphan_count + 1) * sizeof(*more));
    if (more == NULL) {
        return;
    }
    g->orphans = more;

    g->orphans[g->orphan_count] = strdup(path);
    g->orphan_count += g->orphans[g->orphan_count] != NULL;
}


int
amld_gone_start(amld_gone_t *g)
{
    int rc;

    rc = pthread_create(&g->thread, NULL, gone_run, g);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", g->path, strerror(rc));
        return -1;
    }
    g->started = 1;

    return 0;
}


void
amld_gone_free(amld_gone_t *g)
{
    size_t k;
    const uint64_t one = 1;

    if (g == NULL) {
        return;
    }

    if (g->started) {
        atomic_store(&g->stop, 1);
        if (write(g->ends, &one, sizeof(one)) != sizeof(one)) {
            amld_log(AMLD_LOG_ERROR, "%s: %s", g->path, strerror(errno));
        }
        pthread_join(g->thread, NULL);
    }

    for (k = 0; k < g->orphan_count; k++) {
        free(g->orphans[k]);
    }
    free(g->orphans);
    if (g->ends != -1) {
        close(g->ends);
    }
    if (g->news != -1) {
        close(g->news);
    }
    free(g);
}


static void *
gone_run(void *data)
{
    size_t k;
    amld_gone_t *g = data;

    /* What is moved while it looks is told of afterwards. */
    gone_all(g);

    for (k = 0; k < g->orphan_count && !atomic_load(&g->stop); k++) {
        gone_orphan(g, g->orphans[k]);
    }

    while (gone_wait(g) == 0) {
        gone_all(g);
    }

    return NULL;
}


static void
gone_all(amld_gone_t *g)
{
    DIR *dir;
    char path[PATH_MAX];
    struct dirent *entry;

    dir = opendir(g->path);
    if (dir == NULL) {
        amld_log(AMLD_LOG_WARN, "%s: %s", g->path, strerror(errno));
        return;
    }

    while (!atomic_load(&g->stop) && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' &&
            (size_t) snprintf(path, sizeof(path), "%s/%s", g->path,
                              entry->d_name) < sizeof(path)) {
            gone_remove(g, path);
        }
    }

    closedir(dir);
}


/* 0 when there is something new, 1 when it is time to end. */
static int
gone_wait(amld_gone_t *g)
{
    char buf[4096];
    struct pollfd fds[2] = {{.fd = g->ends, .events = POLLIN},
                            {.fd = g->news, .events = POLLIN}};

    while (poll(fds, 2, -1) == -1 && errno == EINTR) {
        /* void */
    }

    while (read(g->news, buf, sizeof(buf)) > 0) {
        /* void */
    }

    return atomic_load(&g->stop);
}


static void
gone_orphan(amld_gone_t *g, const char *path)
{
    amld_log(AMLD_LOG_INFO, "removing what is left of an instance: %s", path);

    amld_command_sweep(path, NULL);

    if (gone_container(g, path) == 0) {
        gone_remove(g, path);
    }
}


/* As its own settings say, whatever the configuration says now. */
static int
gone_container(amld_gone_t *g, const char *path)
{
    int status, watch;
    char room[PATH_MAX], log[PATH_MAX], err[512];
    const char *argv[AMLD_STEP_ARGS], *envp[AMLD_STEP_ARGS];
    pid_t pid;
    amld_engine_instance_t e;
    struct pollfd fds[2];

    memset(&e, 0, sizeof(e));
    e.name = strrchr(path, '/') + 1;
    e.runtime = path;

    status = amld_engine_find("podman")->step(g->config, &e, AMLD_STEP_REMOVE,
                                              argv, envp, room, sizeof(room),
                                              err, sizeof(err));
    if (status == 0) {
        return 0;
    }

    if (status == -1 || (size_t) snprintf(log, sizeof(log), "%s/remove.log",
                                          path) >= sizeof(log)) {
        amld_log(AMLD_LOG_WARN, "cannot remove %s", path);
        return -1;
    }
    if (gone_spawn(argv, log, &pid) != 0) {
        amld_log(AMLD_LOG_WARN, "cannot remove %s: %s", path, strerror(errno));
        return -1;
    }

    watch = pidfd_open(pid, 0);
    fds[0] = (struct pollfd){.fd = watch, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = g->ends, .events = POLLIN};
    while (poll(fds, 2, -1) == -1 && errno == EINTR) {
        /* void */
    }
    if (fds[0].revents == 0) {
        /* It may be killed, and is begun again by the next amld. */
        kill(pid, SIGKILL);
    }
    if (watch != -1) {
        close(watch);
    }

    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
        /* void */
    }

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        if (!atomic_load(&g->stop)) {
            amld_log(AMLD_LOG_WARN,
                     "cannot remove the container of %s, which is tried again "
                     "when amld is started; see %s",
                     path, log);
        }
        return -1;
    }

    return 0;
}


static int
gone_spawn(const char **argv, const char *log, pid_t *pid)
{
    int rc;
    sigset_t none, all;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t files;

    static char *env[] = {NULL};

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(
        &files, 1, log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);

    rc = posix_spawn(pid, argv[0], &files, &attr, (char *const *) argv, env);

    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    errno = rc;

    return rc == 0 ? 0 : -1;
}


/* Also a file, or a link. */
static void
gone_remove(amld_gone_t *g, const char *path)
{
    char sockets[PATH_MAX];

    if (unlink(path) == 0) {
        return;
    }

    if ((size_t) snprintf(sockets, sizeof(sockets),
                          "%s/" AMLD_PODMAN_SOCKETS_DIR,
                          path) < sizeof(sockets)) {
        while (umount2(sockets, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
            /* one upon the other */
        }
    }

    if (amld_tree_remove(path, 1, NULL, &g->stop) != 0 && errno != ECANCELED) {
        amld_log(AMLD_LOG_WARN, "cannot remove %s: %s", path, strerror(errno));
    }
}
