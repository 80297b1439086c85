/*
 * The container of an instance: made by the first start, stopped and started
 * as the instance is, removed with it.  What people install in it stays as long
 * as they have it.
 *
 * podman is asked to do something, and then the OCI runtime whether it is so:
 * what an application is started with is that runtime's word, not podman's.
 */

#include "computes/engines/podman.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/engines/podman_run.h"
#include "computes/engines/procfs.h"
#include "computes/files/files.h"

#define CONTAINER_TRIES 8
#define CONTAINER_FAILED 125            /* podman's own failure, podman(1) */
#define CONTAINER_PAUSE 250000          /* us */
#define CONTAINER_NOTE "container.json" /* of the last start */
#define CONTAINER_NPROC 32768           /* podman's own hard limit */
#define CONTAINER_SHM 64                /* MB at least */

/* Of a container that is there, whether it runs or not. */
typedef struct {
    int there;
    char spec[SHA256_DIGEST_LENGTH * 2 + 1]; /* what it was made for */
    char gpus[256];
} container_t;

static int container_look(const amld_podman_spec_t *s, container_t *k,
                          char *err, size_t size);
static void container_hash(const amld_podman_spec_t *s, char *hex);
static int container_start(const amld_podman_spec_t *s,
                           amld_podman_container_t *c, char *err, size_t size);
static int
container_make(const amld_podman_spec_t *s, amld_podman_container_t *c,
               const char *hash, char *err, size_t size);
static int
container_create(const amld_podman_spec_t *s, const char *runtime,
                 const char *hash, const char *gpus, char *err, size_t size);
static int container_choose(const amld_podman_spec_t *s, char *runtime,
                            size_t room, char *err, size_t size);
static int container_try(const amld_podman_spec_t *s, const char *runtime,
                         char *err, size_t size);
static void container_doubt(const amld_podman_spec_t *s);
static int container_settle(const amld_podman_spec_t *s,
                            amld_podman_container_t *c, char *err, size_t size);
static int container_verify(const amld_podman_spec_t *s,
                            amld_podman_container_t *c, char *err, size_t size);
static int
container_note(const amld_podman_spec_t *s, const amld_podman_container_t *c,
               char *err, size_t size);
static int container_is_id(const char *id);


int
amld_podman_up(const amld_podman_spec_t *s, amld_podman_container_t *c,
               char *err, size_t size)
{
    char hash[SHA256_DIGEST_LENGTH * 2 + 1];
    container_t known;

    container_hash(s, hash);

    if (container_look(s, &known, err, size) != 0) {
        return -1;
    }

    if (known.there && strcmp(known.spec, hash) != 0) {
        printf("the container was made for another configuration and is made "
               "anew; what was installed in it is gone\n");
        if (amld_podman_down(s, 1, err, size) != 0) {
            return -1;
        }
        known.there = 0;
    }

    if (known.there) {
        if (container_start(s, c, err, size) == 0) {
            return 0;
        }
        /* One that can't be started is not kept as a ruin: the share and
         * root's home are not in it. */
        printf("%s\nthe container is made anew; what was installed in it is "
               "gone\n",
               err);
        if (amld_podman_down(s, 1, err, size) != 0) {
            return -1;
        }
    }

    return container_make(s, c, hash, err, size);
}


int
amld_podman_running(const amld_podman_spec_t *s, amld_podman_container_t *c)
{
    char path[PATH_MAX], boot[AMLD_BOOT_ID];
    const char *id, *runtime, *noted;
    json_t *doc;
    json_int_t pid, started;
    amld_proc_t proc;
    int rc;

    if ((size_t) snprintf(path, sizeof(path), "%s/" CONTAINER_NOTE,
                          s->directory) >= sizeof(path) ||
        amld_proc_boot(boot) != 0) {
        return 0;
    }

    doc = json_load_file(path, 0, NULL);
    if (doc == NULL) {
        return 0;
    }

    rc = json_unpack(doc, "{s:s, s:s, s:s, s:I, s:I}", "id", &id, "runtime",
                     &runtime, "boot", &noted, "pid", &pid, "started",
                     &started) == 0 &&
         strcmp(boot, noted) == 0 && container_is_id(id) &&
         strlen(runtime) < sizeof(c->runtime) && pid > 1 &&
         amld_proc_read((pid_t) pid, &proc) == 0 &&
         proc.started == (uint64_t) started && proc.state != 'Z' &&
         proc.state != 'X';

    if (rc) {
        snprintf(c->id, sizeof(c->id), "%s", id);
        snprintf(c->runtime, sizeof(c->runtime), "%s", runtime);
        c->pid = pid;
        c->started = (uint64_t) started;
    }

    json_decref(doc);

    return rc;
}


int
amld_podman_down(const amld_podman_spec_t *s, int remove, char *err,
                 size_t size)
{
    int i, rc;
    char path[PATH_MAX];
    amld_podman_args_t a;

    if ((size_t) snprintf(path, sizeof(path), "%s/" CONTAINER_NOTE,
                          s->directory) < sizeof(path)) {
        unlink(path);
    }

    /* They are in its network. */
    amld_podman_beside_clear(s, 1);

    amld_podman_args(&a, s->podman);
    if (remove) {
        amld_podman_arg(&a, "rm");
        amld_podman_arg(&a, "--force");
        amld_podman_arg(&a, "--volumes");
    } else {
        amld_podman_arg(&a, "stop");
    }
    amld_podman_arg(&a, "--ignore");
    amld_podman_arg(&a, "--time=0");
    amld_podman_arg(&a, "%s", s->container);

    /* A container that starts just then has a copy of this one's mounts for a
     * moment, and podman can't remove them: "device or resource busy". */
    for (i = 0;; i++) {
        rc = amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, size);
        if (rc != CONTAINER_FAILED || i == CONTAINER_TRIES) {
            break;
        }
        usleep(CONTAINER_PAUSE);
    }

    return rc == 0 ? 0 : -1;
}


int
amld_podman_gpus_of(const amld_podman_spec_t *s, char *text, size_t size,
                    char *err, size_t err_size)
{
    container_t known;

    if (container_look(s, &known, err, err_size) != 0) {
        return -1;
    }
    snprintf(text, size, "%s", known.gpus);

    return 0;
}


static int
container_look(const amld_podman_spec_t *s, container_t *k, char *err,
               size_t size)
{
    char out[1024], *tab;
    amld_podman_args_t a;

    memset(k, 0, sizeof(*k));

    /* Not `inspect`: that there is none must differ from podman's failing. */
    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "ps");
    amld_podman_arg(&a, "--all");
    amld_podman_arg(&a, "--filter=label=aml.instance=%s", s->container);
    amld_podman_arg(&a, "--format={{index .Labels \"aml.spec\"}}\t"
                        "{{index .Labels \"aml.gpus\"}}");

    if (amld_podman_run(&a, NULL, s->timeout, out, sizeof(out), err, size) !=
        0) {
        return -1;
    }

    if (out[0] == '\0') {
        return 0;
    }

    tab = strchr(out, '\t');
    if (tab != NULL) {
        *tab = '\0';
        snprintf(k->gpus, sizeof(k->gpus), "%.255s", tab + 1);
    }
    k->there = 1;
    snprintf(k->spec, sizeof(k->spec), "%.64s", out);

    return 0;
}


/* What makes a container another one.  Not the image: it is updated for new
 * instances, and nobody's is taken from under them. */
static void
container_hash(const amld_podman_spec_t *s, char *hex)
{
    char text[4 * PATH_MAX];
    unsigned char hash[SHA256_DIGEST_LENGTH];
    int i;

    snprintf(text, sizeof(text), "1 %s %s %s %s %lld %lld %lld %lld %lld",
             s->name, s->directory, s->share, s->subnet, (long long) s->uid,
             (long long) s->cores, (long long) s->memory, (long long) s->gpus,
             (long long) s->pids);
    SHA256((const unsigned char *) text, strlen(text), hash);

    for (i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
}


static int
container_start(const amld_podman_spec_t *s, amld_podman_container_t *c,
                char *err, size_t size)
{
    int lock, rc;
    size_t closed;
    amld_podman_args_t a;

    if (amld_podman_network(s, &lock, err, size) != 0) {
        return -1;
    }

    /* What it waits with is of its owner's layer: nothing of it runs before its
     * port is apart from the others'.  It may run already. */
    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "init");
    amld_podman_arg(&a, "%s", s->container);

    rc = amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, size);
    if (rc != 0 && strstr(err, "already been created") != NULL) {
        rc = 0;
    }
    if (rc == 0) {
        rc = amld_podman_network_apart(s, &closed, err, size);
    }
    if (rc == 0) {
        amld_podman_args(&a, s->podman);
        amld_podman_arg(&a, "start");
        amld_podman_arg(&a, "%s", s->container);
        rc = amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, size);
    }

    rc = rc == 0 ? container_settle(s, c, err, size) : -1;
    close(lock);

    return rc;
}


static int
container_make(const amld_podman_spec_t *s, amld_podman_container_t *c,
               const char *hash, char *err, size_t size)
{
    char runtime[PATH_MAX], gpus[256];
    int i, lock, rc;

    if (container_choose(s, runtime, sizeof(runtime), err, size) != 0) {
        return -1;
    }

    rc = -1;
    for (i = 0; i < 2 && rc != 0; i++) {
        if (amld_podman_network(s, &lock, err, size) != 0) {
            return -1;
        }

        gpus[0] = '\0';
        if (s->gpus > 0 &&
            amld_podman_gpus(s, gpus, sizeof(gpus), err, size) != 0) {
            close(lock);
            return -1;
        }

        rc = container_create(s, runtime, hash, gpus, err, size);
        if (rc == 0) {
            rc = container_settle(s, c, err, size);
            close(lock);
            if (rc != 0) {
                container_doubt(s);
            }
            return rc;
        }
        close(lock);

        /* What was found out before may not be so any more: which runtime
         * works, that there is the network. */
        container_doubt(s);
        if (strstr(err, "network") == NULL) {
            return -1;
        }
        amld_podman_network_doubt(s);
    }

    return -1;
}


static int
container_create(const amld_podman_spec_t *s, const char *runtime,
                 const char *hash, const char *gpus, char *err, size_t size)
{
    char network[64], devices[256], *gpu, *rest;
    amld_podman_args_t a;

    amld_podman_network_name(s, network, sizeof(network));

    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "--runtime=%s", runtime);
    amld_podman_arg(&a, "run");
    amld_podman_arg(&a, "--detach");
    amld_podman_arg(&a, "--pull=never");
    amld_podman_arg(&a, "--http-proxy=false");
    amld_podman_arg(&a, "--replace");
    amld_podman_arg(&a, "--init");
    amld_podman_arg(&a, "--name=%s", s->container);
    amld_podman_arg(&a, "--hostname=%s", s->name);
    amld_podman_arg(&a, "--label=aml.state=%s", s->key);
    amld_podman_arg(&a, "--label=aml.instance=%s", s->container);
    amld_podman_arg(&a, "--label=aml.spec=%s", hash);
    amld_podman_arg(&a, "--network=%s", network);
    amld_podman_arg(&a, "--uidmap=0:%lld:%d", (long long) s->uid,
                    AMLD_PODMAN_RANGE);
    amld_podman_arg(&a, "--gidmap=0:%lld:%d", (long long) s->uid,
                    AMLD_PODMAN_RANGE);
    amld_podman_arg(&a, "--cpus=%lld", (long long) s->cores);
    amld_podman_arg(&a, "--memory=%lldm", (long long) s->memory);
    amld_podman_arg(&a, "--memory-swap=%lldm", (long long) s->memory);
    amld_podman_arg(&a, "--pids-limit=%lld", (long long) s->pids);
    /* Part of its memory anyway, and libraries that train want much of it. */
    amld_podman_arg(&a, "--shm-size=%lldm",
                    s->memory / 2 > CONTAINER_SHM ? (long long) s->memory / 2
                                                  : (long long) CONTAINER_SHM);
    amld_podman_limits(&a);
    amld_podman_arg(&a, "--log-driver=none");
    amld_podman_arg(&a, "--stop-timeout=0");
    amld_podman_arg(&a,
                    "--volume=%s/" AMLD_PODMAN_SOCKETS_DIR
                    ":" AMLD_PODMAN_SOCKETS ":rw",
                    s->directory);
    amld_podman_arg(&a, "--volume=%s/home:" AMLD_PODMAN_HOME ":rw",
                    s->directory);
    amld_podman_arg(&a, "--volume=%s/tmp:/tmp:rw", s->directory);
    amld_podman_arg(&a, "--volume=%s:" AMLD_PODMAN_SHARE ":rw", s->share);

    if (*gpus != '\0') {
        amld_podman_arg(&a, "--label=aml.gpus=%s", gpus);
        snprintf(devices, sizeof(devices), "%s", gpus);
        for (gpu = strtok_r(devices, ",", &rest); gpu != NULL;
             gpu = strtok_r(NULL, ",", &rest)) {
            amld_podman_arg(&a, "--device=%s=%s", s->gpu, gpu);
        }
    }

    amld_podman_arg(&a, "%s", s->image);
    amld_podman_arg(&a, "sleep");
    amld_podman_arg(&a, "infinity");

    return amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, size);
}


/* Not above what the machine allows us, and as high as that: what podman asks
 * for by itself is refused where a machine allows less. */
void
amld_podman_limits(amld_podman_args_t *a)
{
    struct rlimit limit;
    unsigned long long n;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        n = limit.rlim_max < 1048576 ? limit.rlim_max : 1048576;
        amld_podman_arg(a, "--ulimit=nofile=%llu:%llu", n, n);
    }

    if (getrlimit(RLIMIT_NPROC, &limit) == 0) {
        n = limit.rlim_max < CONTAINER_NPROC ? limit.rlim_max : CONTAINER_NPROC;
        amld_podman_arg(a, "--ulimit=nproc=%llu:%llu", n, n);
    }
}


/* Which OCI runtime works here; tried once a boot. */
static int
container_choose(const amld_podman_spec_t *s, char *runtime, size_t room,
                 char *err, size_t size)
{
    static const char *const candidates[] = {"crun", "runc"};
    char boot[AMLD_BOOT_ID], fault[512], name[PATH_MAX], path[PATH_MAX];
    FILE *f;
    size_t i, n;

    if (strcmp(s->wish, "auto") != 0) {
        snprintf(runtime, room, "%s", s->wish);
        return 0;
    }

    if (amld_proc_boot(boot) != 0 ||
        (size_t) snprintf(path, sizeof(path), "%s/podman/runtime.%s", s->state,
                          boot) >= sizeof(path)) {
        snprintf(err, size, "%s: too long", s->state);
        return -1;
    }

    snprintf(name, sizeof(name), "%s/podman", s->state);
    if (amld_files_mkdir(name, 0700) != 0) {
        snprintf(err, size, "%s: %s", name, strerror(errno));
        return -1;
    }

    f = fopen(path, "re");
    if (f != NULL) {
        i = fscanf(f, "%15s", name) == 1;
        fclose(f);
        if (i == 1) {
            snprintf(runtime, room, "%s", name);
            return 0;
        }
    }

    n = 0;
    err[0] = '\0';
    for (i = 0; i < sizeof(candidates) / sizeof(*candidates); i++) {
        if (container_try(s, candidates[i], fault, sizeof(fault)) == 0) {
            printf("the OCI runtime is %s%s%s\n", candidates[i],
                   n > 0 ? "; " : "", err);
            f = fopen(path, "we");
            if (f != NULL) {
                fprintf(f, "%s\n", candidates[i]);
                fclose(f);
            }
            snprintf(runtime, room, "%s", candidates[i]);
            return 0;
        }
        n += (size_t) snprintf(err + n, n < size ? size - n : 0, "%s%s: %s",
                               n > 0 ? "; " : "", candidates[i], fault);
        if (n >= size) {
            break;
        }
    }

    return -1;
}


static void
container_doubt(const amld_podman_spec_t *s)
{
    char boot[AMLD_BOOT_ID], path[PATH_MAX];

    if (amld_proc_boot(boot) == 0 &&
        (size_t) snprintf(path, sizeof(path), "%s/podman/runtime.%s", s->state,
                          boot) < sizeof(path)) {
        unlink(path);
    }
}


static int
container_try(const amld_podman_spec_t *s, const char *runtime, char *err,
              size_t size)
{
    amld_podman_args_t a;

    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "--runtime=%s", runtime);
    amld_podman_arg(&a, "run");
    amld_podman_arg(&a, "--rm");
    amld_podman_arg(&a, "--pull=never");
    amld_podman_arg(&a, "--network=none");
    amld_podman_arg(&a, "--log-driver=none");
    amld_podman_arg(&a, "--label=aml.state=%s", s->key);
    amld_podman_limits(&a);
    amld_podman_arg(&a, "%s", s->image);
    amld_podman_arg(&a, "true");

    return amld_podman_run(&a, NULL, s->timeout, NULL, 0, err, size) == 0 ? 0
                                                                          : -1;
}


/* One that has been started is written down when all is well with it. */
static int
container_settle(const amld_podman_spec_t *s, amld_podman_container_t *c,
                 char *err, size_t size)
{
    size_t closed;

    return container_verify(s, c, err, size) == 0 &&
                   amld_podman_network_apart(s, &closed, err, size) == 0 &&
                   container_note(s, c, err, size) == 0
               ? 0
               : -1;
}


/* Who it is, and that it is there: its runtime knows it, and its first process
 * is the person's. */
static int
container_verify(const amld_podman_spec_t *s, amld_podman_container_t *c,
                 char *err, size_t size)
{
    char out[8192], *tab, path[64];
    const char *status;
    json_t *doc;
    json_int_t pid;
    struct stat st;
    amld_podman_args_t a;
    amld_proc_t proc;

    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "container");
    amld_podman_arg(&a, "inspect");
    amld_podman_arg(&a, "--format={{.Id}}\t{{.OCIRuntime}}");
    amld_podman_arg(&a, "%s", s->container);
    if (amld_podman_run(&a, NULL, s->timeout, out, sizeof(out), err, size) !=
        0) {
        return -1;
    }

    tab = strchr(out, '\t');
    if (tab != NULL) {
        *tab = '\0';
    }
    if (tab == NULL || !container_is_id(out) || tab[1] == '\0' ||
        strlen(tab + 1) >= sizeof(c->runtime)) {
        snprintf(
            err, size,
            "podman has started a container and can't say which: \"%.80s\"",
            out);
        return -1;
    }
    snprintf(c->id, sizeof(c->id), "%.64s", out);
    snprintf(c->runtime, sizeof(c->runtime), "%.4000s", tab + 1);

    amld_podman_args(&a, c->runtime);
    amld_podman_arg(&a, "state");
    amld_podman_arg(&a, "%s", c->id);
    if (amld_podman_run(&a, NULL, s->timeout, out, sizeof(out), err, size) !=
        0) {
        return -1;
    }

    doc = json_loads(out, 0, NULL);
    if (doc == NULL ||
        json_unpack(doc, "{s:s, s:I}", "status", &status, "pid", &pid) != 0 ||
        strcmp(status, "running") != 0 || pid <= 1 || pid > INT_MAX ||
        amld_proc_read((pid_t) pid, &proc) != 0) {
        snprintf(err, size,
                 "podman says that %s runs, and its runtime that it does not",
                 s->container);
        json_decref(doc);
        return -1;
    }
    json_decref(doc);

    snprintf(path, sizeof(path), "/proc/%lld", (long long) pid);
    if (stat(path, &st) != 0 || st.st_uid != (uid_t) s->uid) {
        snprintf(err, size,
                 "the first process of %s does not run as uid %lld: it is not "
                 "isolated",
                 s->container, (long long) s->uid);
        return -1;
    }

    c->pid = pid;
    c->started = proc.started;

    return 0;
}


static int
container_note(const amld_podman_spec_t *s, const amld_podman_container_t *c,
               char *err, size_t size)
{
    char path[PATH_MAX], next[PATH_MAX], boot[AMLD_BOOT_ID];
    json_t *doc;
    int rc;

    if (amld_proc_boot(boot) != 0 ||
        (size_t) snprintf(path, sizeof(path), "%s/" CONTAINER_NOTE,
                          s->directory) >= sizeof(path) ||
        (size_t) snprintf(next, sizeof(next), "%s/" CONTAINER_NOTE ".new",
                          s->directory) >= sizeof(next)) {
        snprintf(err, size, "%s: too long", s->directory);
        return -1;
    }

    doc = json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", c->id, "runtime",
                    c->runtime, "boot", boot, "pid", (json_int_t) c->pid,
                    "started", (json_int_t) c->started);
    rc = doc != NULL && json_dump_file(doc, next, 0) == 0 &&
                 rename(next, path) == 0
             ? 0
             : -1;
    json_decref(doc);

    if (rc != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
    }

    return rc;
}


static int
container_is_id(const char *id)
{
    return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64;
}
