/*
 * `amld engine-podman join FILE`, which the OCI runtime runs for a container
 * beside an instance's; see podman.h.
 */

#include "computes/engines/podman.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_LINES 32

/* A line of /proc/<pid>/cgroup. */
typedef struct {
    char controllers[128]; /* "": version 2 */
    char path[PATH_MAX];
} cgroup_t;

static size_t cgroup_read(int64_t pid, cgroup_t *list);
static void cgroup_move(const cgroup_t *to, int64_t pid);
static const cgroup_t *
cgroup_find(const cgroup_t *list, size_t n, const char *controller);


int
amld_podman_join(const amld_podman_spec_t *s, FILE *state, char *err,
                 size_t size)
{
    static const char *const limited[] = {"cpu", "memory", "pids"};
    int rc;
    json_t *doc;
    json_int_t pid;
    size_t i, k, n;
    cgroup_t *its, *now;
    const cgroup_t *a, *b;
    amld_podman_container_t c;

    doc = json_loadf(state, JSON_DISABLE_EOF_CHECK, NULL);
    rc = doc != NULL && json_unpack(doc, "{s:I}", "pid", &pid) == 0 && pid > 1;
    json_decref(doc);
    if (!rc) {
        snprintf(err, size, "the runtime doesn't say what it has made");
        return -1;
    }

    if (!amld_podman_running(s, &c)) {
        snprintf(err, size, "the instance's container has ended");
        return -1;
    }

    its = calloc(2 * CGROUP_LINES, sizeof(*its));
    if (its == NULL) {
        snprintf(err, size, "no memory");
        return -1;
    }
    now = its + CGROUP_LINES;

    n = cgroup_read(c.pid, its);
    for (i = 0; i < n; i++) {
        cgroup_move(&its[i], pid);
    }

    /* What counts is where it is then. */
    k = cgroup_read(pid, now);
    for (i = 0, rc = 0; rc == 0 && i < sizeof(limited) / sizeof(*limited);
         i++) {
        a = cgroup_find(its, n, limited[i]);
        b = cgroup_find(now, k, limited[i]);
        if (a == NULL || b == NULL || strcmp(a->path, b->path) != 0) {
            snprintf(err, size,
                     "the container can't have the instance's limits of %s",
                     limited[i]);
            rc = -1;
        }
    }

    free(its);

    return rc;
}


static size_t
cgroup_read(int64_t pid, cgroup_t *list)
{
    char file[64], line[PATH_MAX + 256], *controllers, *path;
    FILE *f;
    size_t n;

    snprintf(file, sizeof(file), "/proc/%lld/cgroup", (long long) pid);
    f = fopen(file, "re");
    if (f == NULL) {
        return 0;
    }

    for (n = 0; n < CGROUP_LINES && fgets(line, sizeof(line), f) != NULL;) {
        line[strcspn(line, "\n")] = '\0';
        controllers = strchr(line, ':');
        path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL) {
            continue;
        }
        *path++ = '\0';
        controllers++;
        if (strlen(controllers) < sizeof(list->controllers) &&
            strlen(path) < sizeof(list->path)) {
            strcpy(list[n].controllers, controllers);
            strcpy(list[n].path, path);
            n++;
        }
    }
    fclose(f);

    return n;
}


/* Not all there are need be mounted, or matter. */
static void
cgroup_move(const cgroup_t *to, int64_t pid)
{
    int fd;
    char file[PATH_MAX];
    const char *where;

    where = to->controllers;
    if (strncmp(where, "name=", 5) == 0) {
        where += 5;
    } else if (*where == '\0') {
        where = access(CGROUP_ROOT "/cgroup.controllers", F_OK) == 0
                    ? "."
                    : "unified";
    }

    if ((size_t) snprintf(file, sizeof(file), CGROUP_ROOT "/%s%s/cgroup.procs",
                          where, to->path) >= sizeof(file)) {
        return;
    }

    fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd != -1) {
        (void) dprintf(fd, "%lld", (long long) pid);
        close(fd);
    }
}


/* Of version 1, or else of version 2. */
static const cgroup_t *
cgroup_find(const cgroup_t *list, size_t n, const char *controller)
{
    char *one, *rest, text[sizeof(list->controllers)];
    size_t i;
    const cgroup_t *unified;

    unified = NULL;
    for (i = 0; i < n; i++) {
        if (list[i].controllers[0] == '\0') {
            unified = &list[i];
        }
        strcpy(text, list[i].controllers);
        for (one = strtok_r(text, ",", &rest); one != NULL;
             one = strtok_r(NULL, ",", &rest)) {
            if (strcmp(one, controller) == 0) {
                return &list[i];
            }
        }
    }

    return unified;
}
