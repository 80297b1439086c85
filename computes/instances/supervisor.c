#include "computes/instances/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "auth/audit.h"
#include "computes/files/files.h"
#include "computes/instances/gone.h"
#include "computes/instances/instance.h"
#include "computes/jobs/job_run.h"

#define SUPERVISOR_WAIT 60000 /* ms, at most */
#define SUPERVISOR_FDS 2      /* signals, wake */
#define SUPERVISOR_RUNTIME 16 /* bytes of the name of a private directory */

typedef struct {
    amld_key_t *keys;
    size_t n;
    size_t room;
    int failed;
} supervisor_keys_t;

/* What there is at the start. */
typedef struct {
    size_t runtime_count;
    size_t runtime_room;
    char (*runtimes)[SUPERVISOR_RUNTIME]; /* private directories in use */
    size_t live_count;
    size_t live_room;
    struct {
        amld_key_t key;
        json_t *doc;
    } * live; /* what is not settled */
    int failed;
} supervisor_first_t;

static int supervisor_lock(const amld_config_t *c);
static int supervisor_signals(void);
static void supervisor_first(amld_supervisor_t *s, amld_gone_t *gone);
static int supervisor_first_each(void *data, aml_str_t key, aml_str_t value);
static int supervisor_compare(const void *a, const void *b);
static void
supervisor_orphans(amld_supervisor_t *s, const supervisor_first_t *first,
                   amld_gone_t *gone);
static int
supervisor_known(const supervisor_first_t *first, const char *runtime);
static void supervisor_pending(amld_supervisor_t *s);
static amld_instance_t *
supervisor_find(amld_supervisor_t *s, const amld_key_t *key);
static amld_instance_t *
supervisor_add(amld_supervisor_t *s, const amld_key_t *key, const json_t *doc);
static void supervisor_remove(amld_supervisor_t *s, amld_instance_t *gone);
static void supervisor_tick(amld_supervisor_t *s);
static int supervisor_wait(amld_supervisor_t *s, int signals, int64_t until);
static void
supervisor_stirred(amld_supervisor_t *s, const struct curl_waitfd *fds);
static int supervisor_keys(amld_supervisor_t *s, const char *family,
                           supervisor_keys_t *keys);
static int supervisor_collect(void *data, aml_str_t key, aml_str_t value);


int
amld_supervisor_run(amld_t *d)
{
    int lock, signals;
    amld_instance_t *i;
    amld_gone_t *gone;
    amld_supervisor_t s;

    memset(&s, 0, sizeof(s));
    s.d = d;

    s.engine = amld_engine_of(d->config);
    if (s.engine == NULL) {
        amld_log(AMLD_LOG_ERROR, "there is no engine \"%s\"",
                 d->config->engine);
        return -1;
    }

    lock = supervisor_lock(d->config);
    signals = lock != -1 ? supervisor_signals() : -1;
    gone = signals != -1 ? amld_gone_new(d->config) : NULL;
    s.probes = gone != NULL ? amld_probes_new() : NULL;
    if (s.probes == NULL) {
        amld_gone_free(gone);
        if (signals != -1) {
            close(signals);
        }
        if (lock != -1) {
            close(lock);
        }
        return -1;
    }

    amld_log(AMLD_LOG_INFO, "engine %s: %s%s", s.engine->name,
             geteuid() == 0 ? "amld is root: " : "", s.engine->isolation);

    supervisor_first(&s, gone);
    (void) amld_gone_start(gone);

    do {
        supervisor_tick(&s);
    } while (!supervisor_wait(&s, signals, amld_now() + SUPERVISOR_WAIT));

    while ((i = s.first) != NULL) {
        s.first = i->next;
        amld_instance_free(i);
    }

    amld_gone_free(gone);
    amld_probes_free(s.probes);
    close(signals);
    close(lock);

    return 0;
}


void
amld_wake(amld_t *d)
{
    const uint64_t one = 1;

    /* Full means that it is awake. */
    if (write(d->wake, &one, sizeof(one)) != sizeof(one) && errno != EAGAIN) {
        amld_log(AMLD_LOG_ERROR, "wake: %s", strerror(errno));
    }
}


/*
 * Two supervisors would end each other's commands.  The lock is this process's
 * and no child's: one that is just about to become a shim must not keep the
 * next amld out when this one is killed.
 */
static int
supervisor_lock(const amld_config_t *c)
{
    int fd;
    char path[PATH_MAX];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if ((size_t) snprintf(path, sizeof(path), "%s/i", c->state) >=
            sizeof(path) ||
        amld_files_mkdir(path, 0700) != 0) {
        amld_log(AMLD_LOG_ERROR, "cannot make %s: %s", path, strerror(errno));
        return -1;
    }

    snprintf(path, sizeof(path), "%s/lock", c->state);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1 || fcntl(fd, F_SETLK, &whole) != 0) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", path,
                 fd != -1 && (errno == EAGAIN || errno == EACCES)
                     ? "another amld has this state directory"
                     : strerror(errno));
        if (fd != -1) {
            close(fd);
        }
        return -1;
    }

    return fd;
}


static int
supervisor_signals(void)
{
    int fd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);

    /* For the threads of others that is done already. */
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 ||
        (fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1) {
        amld_log(AMLD_LOG_ERROR, "signals: %s", strerror(errno));
        return -1;
    }

    return fd;
}


/*
 * What another amld has left: everything is looked at once, in one snapshot.
 * What is written meanwhile is pending.
 */
static void
supervisor_first(amld_supervisor_t *s, amld_gone_t *gone)
{
    size_t k;
    amld_instance_t *i;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    supervisor_first_t first;

    memset(&first, 0, sizeof(first));

    rc = aml_registry_read(s->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("compute/"), aml_str(""),
                               supervisor_first_each, &first);
        aml_registry_end(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "registry: %s", aml_registry_strerror(rc));
        first.failed = 1;
    }

    for (k = 0; k < first.live_count; k++) {
        i = supervisor_add(s, &first.live[k].key, first.live[k].doc);
        if (i != NULL && amld_reconcile_first(i, first.live[k].doc)) {
            supervisor_remove(s, i);
        }
        json_decref(first.live[k].doc);
    }

    if (!first.failed) {
        if (first.runtime_count > 0) {
            qsort(first.runtimes, first.runtime_count, sizeof(*first.runtimes),
                  supervisor_compare);
        }
        supervisor_orphans(s, &first, gone);
    }

    free(first.live);
    free(first.runtimes);

    supervisor_pending(s);
}


static int
supervisor_first_each(void *data, aml_str_t key, aml_str_t value)
{
    void *more;
    size_t room;
    json_t *doc;
    aml_registry_rc_t rc;
    supervisor_first_t *first;

    first = data;

    rc = amld_compute_parse(value, &doc);
    if (rc != AML_REGISTRY_OK || key.n > AML_REGISTRY_KEY_MAX) {
        amld_log(AMLD_LOG_ERROR, "%.*s: %s", (int) key.n, key.p,
                 aml_registry_strerror(rc));
        first->failed = 1;
        json_decref(doc);
        return 0;
    }

    if (first->runtime_count == first->runtime_room) {
        room = first->runtime_room != 0 ? first->runtime_room * 2 : 256;
        more = realloc(first->runtimes, room * sizeof(*first->runtimes));
        if (more == NULL) {
            first->failed = 1;
            json_decref(doc);
            return 1;
        }
        first->runtimes = more;
        first->runtime_room = room;
    }
    snprintf(first->runtimes[first->runtime_count++], SUPERVISOR_RUNTIME, "%s",
             amld_compute_str(doc, "runtime"));

    if (amld_compute_settled(doc)) {
        json_decref(doc);
        return 0;
    }

    if (first->live_count == first->live_room) {
        room = first->live_room != 0 ? first->live_room * 2 : 64;
        more = realloc(first->live, room * sizeof(*first->live));
        if (more == NULL) {
            first->failed = 1;
            json_decref(doc);
            return 1;
        }
        first->live = more;
        first->live_room = room;
    }

    memcpy(first->live[first->live_count].key.p, key.p, key.n);
    first->live[first->live_count].key.p[key.n] = '\0';
    first->live[first->live_count].key.n = key.n;
    first->live[first->live_count++].doc = doc;

    return 0;
}


static int
supervisor_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}


/* Private directories of instances that are no more: amld was killed between
 * two steps of a deletion. */
static void
supervisor_orphans(amld_supervisor_t *s, const supervisor_first_t *first,
                   amld_gone_t *gone)
{
    DIR *dir;
    char path[PATH_MAX];
    struct dirent *entry;

    snprintf(path, sizeof(path), "%s/i", s->d->config->state);
    dir = opendir(path);
    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || supervisor_known(first, entry->d_name) ||
            (size_t) snprintf(path, sizeof(path), "%s/i/%s",
                              s->d->config->state,
                              entry->d_name) >= sizeof(path)) {
            continue;
        }

        amld_gone_orphan(gone, path);
    }

    closedir(dir);
}


static int
supervisor_known(const supervisor_first_t *first, const char *runtime)
{
    return strlen(runtime) < SUPERVISOR_RUNTIME && first->runtime_count != 0 &&
           bsearch(runtime, first->runtimes, first->runtime_count,
                   sizeof(*first->runtimes), supervisor_compare) != NULL;
}


static void
supervisor_pending(amld_supervisor_t *s)
{
    size_t k;
    json_t *doc;
    amld_key_t key;
    amld_instance_t *i;
    supervisor_keys_t keys;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    if (supervisor_keys(s, "pending/", &keys) != 0 || keys.n == 0) {
        free(keys.keys);
        return;
    }

    /* Taken off the list first, read then: what is written in between is
     * seen. */
    rc = aml_registry_write(s->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        for (k = 0; k < keys.n; k++) {
            (void) aml_registry_del(txn, keys.keys[k].p, keys.keys[k].n);
        }
        rc = aml_registry_commit(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "registry: %s", aml_registry_strerror(rc));
    }

    for (k = 0; k < keys.n; k++) {
        key.n = (size_t) snprintf(key.p, sizeof(key.p), "compute/%s",
                                  keys.keys[k].p + strlen("pending/"));

        i = supervisor_find(s, &key);
        if (i == NULL &&
            aml_registry_read(s->d->registry, &txn) == AML_REGISTRY_OK) {
            rc = amld_compute_load(txn, &key, &doc);
            aml_registry_end(txn);
            if (rc == AML_REGISTRY_OK && !amld_compute_settled(doc)) {
                i = supervisor_add(s, &key, doc);
            }
            json_decref(doc);
        }

        if (i != NULL && amld_reconcile(i)) {
            supervisor_remove(s, i);
        }
    }

    free(keys.keys);
}


static amld_instance_t *
supervisor_find(amld_supervisor_t *s, const amld_key_t *key)
{
    amld_instance_t *i;

    for (i = s->first; i != NULL; i = i->next) {
        if (i->key.n == key->n && memcmp(i->key.p, key->p, key->n) == 0) {
            return i;
        }
    }

    return NULL;
}


static amld_instance_t *
supervisor_add(amld_supervisor_t *s, const amld_key_t *key, const json_t *doc)
{
    amld_instance_t *i;

    i = amld_instance_new(s, key, doc);
    if (i != NULL) {
        i->next = s->first;
        s->first = i;
    }

    return i;
}


static void
supervisor_remove(amld_supervisor_t *s, amld_instance_t *gone)
{
    amld_instance_t **i;

    for (i = &s->first; *i != NULL; i = &(*i)->next) {
        if (*i == gone) {
            *i = gone->next;
            amld_instance_free(gone);
            return;
        }
    }
}


static void
supervisor_tick(amld_supervisor_t *s)
{
    amld_instance_t *i, *next;

    for (i = s->first; i != NULL; i = next) {
        next = i->next;
        if (amld_instance_tick(i, amld_now())) {
            supervisor_remove(s, i);
        }
    }

    amld_jobs_turn(s);
}


/* 1 when it is time to end. */
static int
supervisor_wait(amld_supervisor_t *s, int signals, int64_t until)
{
    int ends, timeout;
    size_t k, n;
    int64_t next, now;
    uint64_t count;
    amld_instance_t *i;
    const amld_job_run_t *run;
    struct curl_waitfd *fds;
    struct signalfd_siginfo info;

    n = SUPERVISOR_FDS;
    for (i = s->first; i != NULL; i = i->next) {
        n += i->app_count + 1 + i->job_count;
        next = amld_instance_next(i);
        if (next < until) {
            until = next;
        }
    }

    now = amld_now();
    timeout = until > now ? (int) (until - now) : 0;

    fds = calloc(n, sizeof(*fds));
    if (fds == NULL) {
        /* Ends are then seen a little later. */
        usleep(100000);
        n = 0;
    } else {
        fds[0].fd = signals;
        fds[0].events = CURL_WAIT_POLLIN;
        fds[1].fd = s->d->wake;
        fds[1].events = CURL_WAIT_POLLIN;

        n = SUPERVISOR_FDS;
        for (i = s->first; i != NULL; i = i->next) {
            if (i->step.watch != -1) {
                fds[n].fd = i->step.watch;
                fds[n++].events = CURL_WAIT_POLLIN;
            }
            for (k = 0; k < i->app_count; k++) {
                if (i->apps[k].watch != -1) {
                    fds[n].fd = i->apps[k].watch;
                    fds[n++].events = CURL_WAIT_POLLIN;
                }
            }
            for (run = i->jobs; run != NULL; run = run->next) {
                if (run->watch != -1) {
                    fds[n].fd = run->watch;
                    fds[n++].events = CURL_WAIT_POLLIN;
                }
            }
        }
    }

    amld_probes_wait(s->probes, fds, (unsigned) n, fds != NULL ? timeout : 0);
    supervisor_stirred(s, fds);
    free(fds);

    ends = 0;
    while (read(signals, &info, sizeof(info)) == sizeof(info)) {
        ends |= info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
        if (info.ssi_signo == SIGHUP) {
            amld_audit_reopen(s->d->audit);
            amld_log(AMLD_LOG_INFO,
                     "SIGHUP: the audit log is opened anew; the configuration "
                     "is read at a start only");
        }
    }

    if (read(s->d->wake, &count, sizeof(count)) == sizeof(count)) {
        supervisor_pending(s);
    }

    return ends;
}


/* Which commands are worth a look, in the order that `fds` was filled in. */
static void
supervisor_stirred(amld_supervisor_t *s, const struct curl_waitfd *fds)
{
    size_t k, n;
    amld_instance_t *i;
    amld_job_run_t *run;

    n = SUPERVISOR_FDS;

    for (i = s->first; i != NULL; i = i->next) {
        n += i->step.watch != -1;
        for (k = 0; k < i->app_count; k++) {
            if (i->apps[k].watch != -1) {
                i->apps[k].stirred |= fds == NULL || fds[n].revents != 0;
                n++;
            }
        }
        for (run = i->jobs; run != NULL; run = run->next) {
            if (run->watch != -1) {
                run->stirred |= fds == NULL || fds[n].revents != 0;
                n++;
            }
        }
    }
}


static int
supervisor_keys(amld_supervisor_t *s, const char *family,
                supervisor_keys_t *keys)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    memset(keys, 0, sizeof(*keys));

    rc = aml_registry_read(s->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str_of(family), aml_str(""),
                               supervisor_collect, keys);
        aml_registry_end(txn);
    }

    if (rc != AML_REGISTRY_OK || keys->failed) {
        amld_log(AMLD_LOG_ERROR, "registry: %s",
                 keys->failed ? "no memory" : aml_registry_strerror(rc));
        return -1;
    }

    return 0;
}


static int
supervisor_collect(void *data, aml_str_t key, aml_str_t value)
{
    amld_key_t *more;
    supervisor_keys_t *keys;

    (void) value;
    keys = data;

    if (keys->keys == NULL || keys->n == keys->room) {
        keys->room = keys->room != 0 ? keys->room * 2 : 64;
        more = realloc(keys->keys, keys->room * sizeof(*more));
        if (more == NULL) {
            keys->failed = 1;
            return 1;
        }
        keys->keys = more;
    }

    memcpy(keys->keys[keys->n].p, key.p, key.n);
    keys->keys[keys->n].p[key.n] = '\0';
    keys->keys[keys->n].n = key.n;
    keys->n++;

    return 0;
}
