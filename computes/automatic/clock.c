#include "computes/automatic/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct amld_clock {
    amld_t *d;
    amld_clock_work_t work;
    pthread_t thread;
    pthread_mutex_t mutex; /* of `ends` */
    pthread_cond_t condition;
    int ends;

    int64_t ahead;  /* of the wall's clock before the monotonic one */
    int complained; /* of the registry */
};

typedef struct {
    amld_key_t *keys;
    size_t n, room;
} clock_keys_t;

static void *clock_run(void *data);
static int64_t clock_once(amld_clock_t *c, amld_key_t *last, int64_t *last_at);
static void clock_set_back(amld_clock_t *c);
static int clock_sleep(amld_clock_t *c, int64_t seconds);
static int clock_collect(void *data, const amld_key_t *key, int64_t at);


amld_clock_t *
amld_clock_start(amld_t *d, const amld_clock_work_t *work)
{
    int rc;
    amld_clock_t *c;
    pthread_condattr_t attr;

    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        amld_log(AMLD_LOG_ERROR, "%s: no memory", work->name);
        return NULL;
    }

    c->d = d;
    c->work = *work;

    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->condition, &attr);
    pthread_condattr_destroy(&attr);

    rc = pthread_create(&c->thread, NULL, clock_run, c);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "%s: %s", work->name, strerror(rc));
        pthread_cond_destroy(&c->condition);
        pthread_mutex_destroy(&c->mutex);
        free(c);
        return NULL;
    }

    return c;
}


void
amld_clock_stop(amld_clock_t *c)
{
    if (c == NULL) {
        return;
    }

    pthread_mutex_lock(&c->mutex);
    c->ends = 1;
    pthread_cond_signal(&c->condition);
    pthread_mutex_unlock(&c->mutex);

    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->condition);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}


void
amld_clock_anew(amld_t *d, amld_due_t kind, const char *name,
                int (*reset)(json_t *doc, int64_t now), int64_t now)
{
    size_t k;
    json_t *doc;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    clock_keys_t keys = {.n = 0};

    if (aml_registry_read(d->registry, &txn) != AML_REGISTRY_OK) {
        return;
    }
    (void) amld_due_each(txn, kind, clock_collect, &keys);

    /* What is as it should be is only read. */
    for (k = 0; k < keys.n; k++) {
        if (amld_compute_load(txn, &keys.keys[k], &doc) != AML_REGISTRY_OK ||
            !reset(doc, now)) {
            keys.keys[k].n = 0;
        }
        json_decref(doc);
    }
    aml_registry_end(txn);

    for (k = 0; k < keys.n; k++) {
        if (keys.keys[k].n == 0 ||
            aml_registry_write(d->registry, &txn) != AML_REGISTRY_OK) {
            continue;
        }

        rc = amld_compute_load(txn, &keys.keys[k], &doc);
        if (rc == AML_REGISTRY_OK && reset(doc, now)) {
            amld_log(AMLD_LOG_WARN,
                     "%s: %s: planned anew, as the clock was wrong",
                     amld_compute_str(doc, "name"), name);
            rc = amld_compute_store(txn, d->config, &keys.keys[k], doc);
        }
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
        if (rc != AML_REGISTRY_OK) {
            amld_log(AMLD_LOG_ERROR, "%s: registry: %s", name,
                     aml_registry_strerror(rc));
        }
        json_decref(doc);
    }

    free(keys.keys);
}


static void *
clock_run(void *data)
{
    int64_t last_at;
    amld_key_t last = {.n = 0};
    amld_clock_t *c;

    c = data;
    last_at = AMLD_DUE_NEVER;
    c->ahead = INT64_MAX;

    do {
        clock_set_back(c);
    } while (!clock_sleep(c, clock_once(c, &last, &last_at)));

    return NULL;
}


/* Does what is first, if it is time; for how many seconds to wait then. */
static int64_t
clock_once(amld_clock_t *c, amld_key_t *last, int64_t *last_at)
{
    int64_t now, at = 0;
    amld_key_t key = {.n = 0};
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_read(c->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_due_first(txn, c->work.kind, &key, &at);
        aml_registry_end(txn);
    }

    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        if (!c->complained) {
            amld_log(AMLD_LOG_ERROR, "%s: registry: %s", c->work.name,
                     aml_registry_strerror(rc));
        }
        c->complained = 1;
        return AMLD_CLOCK_AGAIN;
    }
    c->complained = 0;

    if (rc == AML_REGISTRY_NOTFOUND) {
        return AMLD_CLOCK_LOOK;
    }

    now = (int64_t) time(NULL);
    if (at > now) {
        return at - now < AMLD_CLOCK_LOOK ? at - now : AMLD_CLOCK_LOOK;
    }

    /* It was its turn just now, and it is still there. */
    if (*last_at == at && last->n == key.n &&
        memcmp(last->p, key.p, key.n) == 0) {
        *last_at = AMLD_DUE_NEVER;
        return AMLD_CLOCK_AGAIN;
    }

    *last = key;
    *last_at = at;
    c->work.turn(c->work.data, &key, at);

    return 0;
}


static void
clock_set_back(amld_clock_t *c)
{
    int64_t ahead;
    struct timespec wall, monotonic;

    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    ahead = (int64_t) wall.tv_sec - (int64_t) monotonic.tv_sec;

    if (c->work.back != NULL && ahead < c->ahead - AMLD_CLOCK_BACK) {
        if (c->ahead != INT64_MAX) {
            amld_log(AMLD_LOG_WARN, "%s: the clock was set back by %lld s",
                     c->work.name, (long long) (c->ahead - ahead));
        }
        c->work.back(c->work.data);
    }

    c->ahead = ahead;
}


/* 1 when it is time to end. */
static int
clock_sleep(amld_clock_t *c, int64_t seconds)
{
    int ends, rc;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;

    pthread_mutex_lock(&c->mutex);
    for (rc = 0; !c->ends && seconds > 0 && rc != ETIMEDOUT;) {
        rc = pthread_cond_timedwait(&c->condition, &c->mutex, &until);
    }
    ends = c->ends;
    pthread_mutex_unlock(&c->mutex);

    return ends;
}


static int
clock_collect(void *data, const amld_key_t *key, int64_t at)
{
    clock_keys_t *keys;
    amld_key_t *more;

    (void) at;
    keys = data;

    if (keys->n == keys->room) {
        keys->room = keys->room != 0 ? keys->room * 2 : 64;
        more = realloc(keys->keys, keys->room * sizeof(*more));
        if (more == NULL) {
            return 1;
        }
        keys->keys = more;
    }
    keys->keys[keys->n++] = *key;

    return 0;
}
