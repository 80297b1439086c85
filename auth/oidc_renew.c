/*
 * Renewing sign-ins: when, and by which thread.  What is asked and what comes
 * of it is in oidc_renewal.c.
 */

#include "auth/oidc_renew.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/oidc_renewal.h"
#include "auth/sign_in_secrets.h"

#define START_SPREAD 30 /* seconds over which those are asked that are late */

typedef struct {
    int64_t due; /* seconds since 1970 */
    aml_principal_id_t sign_in;
    int clean; /* that it was asked before has done nothing */
} entry_t;

/* A provider. */
typedef struct {
    unsigned active; /* requests under way */
    unsigned failures;
    int64_t until;  /* is left alone until then */
    int64_t second; /* in this second … */
    unsigned begun; /* … so many have begun */
} provider_t;

struct amld_oidc_renewer {
    amld_t *d;
    const amld_sealer_t *sealer;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    pthread_t threads[AMLD_RENEW_THREADS];
    unsigned thread_count;
    atomic_int ends;
    entry_t *heap; /* the next one first */
    size_t n, size;
    provider_t *providers; /* as the configuration's issuers */
};


static int64_t
renew_now(void)
{
    return (int64_t) time(NULL);
}


/* 0 to most. */
static int64_t
chance(int64_t most)
{
    uint32_t random = 0;

    (void) RAND_bytes((unsigned char *) &random, sizeof(random));

    return most > 0 ? (int64_t) (random % ((uint64_t) most + 1)) : 0;
}


int64_t
amld_oidc_renew_due(int64_t now, int64_t lifetime)
{
    int64_t after = lifetime / 8 * 5 + lifetime % 8 * 5 / 8;

    after += chance(lifetime / 8);

    return now + (after < AMLD_RENEW_LEAST ? AMLD_RENEW_LEAST
                  : after > AMLD_RENEW_MOST
                      ? AMLD_RENEW_MOST - chance(AMLD_RENEW_MOST / 8)
                      : after);
}


int64_t
amld_oidc_renew_pause(unsigned failures, long retry_after)
{
    int64_t pause = 300;

    if (failures > 0 && failures <= 6) {
        pause = (int64_t) 5 << (failures - 1);
    }
    pause += chance(pause / 4);

    if (retry_after > pause) {
        pause = retry_after < 3600 ? retry_after : 3600;
    }

    return pause;
}


/* ---- the heap; under the mutex ---- */

static int
heap_add(amld_oidc_renewer_t *r, const entry_t *e)
{
    size_t i, parent, size;
    void *grown;

    if (r->n == r->size) {
        size = r->size == 0 ? 64 : r->size * 2;
        grown = realloc(r->heap, size * sizeof(*r->heap));
        if (grown == NULL) {
            amld_log(AMLD_LOG_ERROR, "renewal: no memory");
            return -1;
        }
        r->heap = grown;
        r->size = size;
    }

    for (i = r->n++; i > 0; i = parent) {
        parent = (i - 1) / 2;
        if (r->heap[parent].due <= e->due) {
            break;
        }
        r->heap[i] = r->heap[parent];
    }
    r->heap[i] = *e;

    return 0;
}


static entry_t
heap_take(amld_oidc_renewer_t *r)
{
    entry_t first = r->heap[0], last = r->heap[--r->n];
    size_t i, child;

    for (i = 0; (child = 2 * i + 1) < r->n; i = child) {
        if (child + 1 < r->n && r->heap[child + 1].due < r->heap[child].due) {
            child++;
        }
        if (r->heap[child].due >= last.due) {
            break;
        }
        r->heap[i] = r->heap[child];
    }
    r->heap[i] = last;

    return first;
}


/* ---- providers; under the mutex ---- */

/* 0 when one more may be asked now, or when to look again. */
static int64_t
provider_begin(provider_t *p, int64_t now)
{
    unsigned most = p->failures > 0 ? 1 : AMLD_RENEW_AT_ONCE;

    if (p->until > now) {
        return p->until + chance(5);
    }

    if (p->second != now) {
        p->second = now;
        p->begun = 0;
    }

    if (p->active >= most || p->begun >= AMLD_RENEW_A_SECOND) {
        return now + 1 + (p->failures > 0 ? chance(5) : 0);
    }

    p->active++;
    p->begun++;

    return 0;
}


static void
provider_end(provider_t *p, const amld_renewal_t *renewal, int64_t now)
{
    p->active--;

    if (renewal->end != AMLD_RENEWAL_FAILED) {
        p->failures = 0;
        p->until = 0;
        return;
    }

    p->failures++;
    p->until = now + amld_oidc_renew_pause(p->failures, renewal->retry_after);
}


/* ---- a turn ---- */

/* Without the mutex.  1 when the entry is to be looked at again. */
static int
renew_turn(amld_oidc_renewer_t *r, entry_t *e)
{
    amld_renewal_t renewal;
    int64_t later;
    size_t which;

    switch (
        amld_renewal_open(r->d, r->sealer, &e->sign_in, e->clean, &renewal)) {
    case AMLD_RENEWAL_READY:
        break;
    case AMLD_RENEWAL_GONE:
        return 0;
    default: /* the registry */
        e->due = renew_now() + 30 + chance(30);
        return 1;
    }

    which = (size_t) (renewal.issuer - r->d->config->issuers);

    pthread_mutex_lock(&r->mutex);
    later = provider_begin(&r->providers[which], renew_now());
    pthread_mutex_unlock(&r->mutex);

    if (later != 0) {
        amld_renewal_close(&renewal);
        e->due = later;
        return 1;
    }

    amld_renewal_run(r->d, r->sealer, &r->ends, &renewal);

    pthread_mutex_lock(&r->mutex);
    provider_end(&r->providers[which], &renewal, renew_now());
    later = r->providers[which].until;
    pthread_mutex_unlock(&r->mutex);

    e->clean = renewal.clean;
    e->due =
        renewal.end == AMLD_RENEWAL_FAILED ? later + chance(5) : renewal.due;
    amld_renewal_close(&renewal);

    return renewal.end == AMLD_RENEWAL_FAILED ||
           (renewal.end == AMLD_RENEWAL_DONE && e->due != 0);
}


static void *
renew_run(void *data)
{
    amld_oidc_renewer_t *r = data;
    struct timespec until = {0};
    entry_t e;
    int again;

    pthread_mutex_lock(&r->mutex);

    while (!atomic_load(&r->ends)) {
        if (r->n == 0) {
            pthread_cond_wait(&r->more, &r->mutex);
            continue;
        }

        if (r->heap[0].due > renew_now()) {
            until.tv_sec = r->heap[0].due;
            (void) pthread_cond_timedwait(&r->more, &r->mutex, &until);
            continue;
        }

        e = heap_take(r);
        pthread_mutex_unlock(&r->mutex);

        again = renew_turn(r, &e);

        pthread_mutex_lock(&r->mutex);
        if (again) {
            (void) heap_add(r, &e);
        }
    }

    pthread_mutex_unlock(&r->mutex);

    return NULL;
}


/* ---- start and stop ---- */

void
amld_oidc_renewer_add(amld_oidc_renewer_t *r, const aml_principal_id_t *sign_in,
                      int64_t due)
{
    entry_t e = {.due = due, .sign_in = *sign_in, .clean = 1};

    if (r == NULL) {
        return;
    }

    pthread_mutex_lock(&r->mutex);
    if (heap_add(r, &e) == 0) {
        pthread_cond_signal(&r->more);
    }
    pthread_mutex_unlock(&r->mutex);
}


/* Whether what was asked when amld ended has done anything is not known. */
static int
renew_take_up(void *data, const aml_principal_id_t *sign_in, int64_t due)
{
    amld_oidc_renewer_t *r = data;
    int64_t now = renew_now();
    entry_t e = {.due = due > now ? due : now + chance(START_SPREAD),
                 .sign_in = *sign_in};

    return heap_add(r, &e) != 0;
}


static int
renew_begin(amld_oidc_renewer_t *r)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int failed;

    rc = aml_registry_read(r->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_secrets_each(txn, renew_take_up, r);
        aml_registry_end(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "renewal: %s", aml_registry_strerror(rc));
        return -1;
    }

    while (r->thread_count < AMLD_RENEW_THREADS) {
        failed =
            pthread_create(&r->threads[r->thread_count], NULL, renew_run, r);
        if (failed != 0) {
            amld_log(AMLD_LOG_ERROR, "renewal: %s", strerror(failed));
            return -1;
        }
        r->thread_count++;
    }

    return 0;
}


amld_oidc_renewer_t *
amld_oidc_renewer_start(amld_t *d, const amld_sealer_t *sealer)
{
    amld_oidc_renewer_t *r = calloc(1, sizeof(*r));

    if (r == NULL || (r->providers = calloc(d->config->issuer_count + 1,
                                            sizeof(*r->providers))) == NULL) {
        amld_log(AMLD_LOG_ERROR, "renewal: no memory");
        free(r);
        return NULL;
    }

    r->d = d;
    r->sealer = sealer;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->more, NULL);

    if (renew_begin(r) != 0) {
        amld_oidc_renewer_stop(r);
        return NULL;
    }

    return r;
}


void
amld_oidc_renewer_stop(amld_oidc_renewer_t *r)
{
    unsigned i;

    if (r == NULL) {
        return;
    }

    pthread_mutex_lock(&r->mutex);
    atomic_store(&r->ends, 1);
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mutex);

    for (i = 0; i < r->thread_count; i++) {
        pthread_join(r->threads[i], NULL);
    }

    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->mutex);
    free(r->providers);
    free(r->heap);
    free(r);
}
