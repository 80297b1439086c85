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

#include "auth/oidc_pace.h"
#include "auth/oidc_renewal.h"
#include "auth/sign_in_secrets.h"

#define NO_SECTION (-1) /* of the configuration, or it is not known yet */

typedef struct {
    int64_t due; /* seconds since 1970 */
    aml_principal_id_t sign_in;
    int section;
    unsigned failures; /* in a row */
    int clean;         /* that it was asked before has done nothing */
} entry_t;

/* A provider. */
typedef struct {
    amld_pace_t pace;
    const char *said; /* why it can't be asked, once that was logged */
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


/* ---- providers ---- */

/* As amld_pace_begin(). */
static int64_t
provider_begin(amld_oidc_renewer_t *r, const entry_t *e)
{
    int64_t later;

    pthread_mutex_lock(&r->mutex);
    later = amld_pace_begin(&r->providers[e->section].pace, renew_now());
    pthread_mutex_unlock(&r->mutex);

    return later;
}


static amld_pace_end_t
pace_end_of(const amld_renewal_t *renewal, const entry_t *e)
{
    switch (renewal->end) {
    case AMLD_RENEWAL_FAILED:
        return e->failures > 0 ? AMLD_PACE_AGAIN : AMLD_PACE_ONE;
    case AMLD_RENEWAL_DOWN:
        return AMLD_PACE_DOWN;
    default:
        return AMLD_PACE_GOOD;
    }
}


/* Until when it is left alone. */
static int64_t
provider_end(amld_oidc_renewer_t *r, const entry_t *e, amld_pace_end_t end,
             long retry_after)
{
    amld_pace_t *pace = &r->providers[e->section].pace;
    int64_t until;

    pthread_mutex_lock(&r->mutex);
    amld_pace_end(pace, end, retry_after, renew_now());
    until = pace->until;
    pthread_mutex_unlock(&r->mutex);

    return until;
}


/* Once for each change: it may be so for days. */
static void
provider_say(amld_oidc_renewer_t *r, const entry_t *e, const char *why)
{
    provider_t *p = &r->providers[e->section];
    const char *said;

    pthread_mutex_lock(&r->mutex);
    said = p->said;
    p->said = why;
    pthread_mutex_unlock(&r->mutex);

    if (why != NULL && (said == NULL || strcmp(said, why) != 0)) {
        amld_log(AMLD_LOG_WARN, "renewal: by \"%s\": nobody is renewed: %s",
                 r->d->config->issuers[e->section].name, why);
    }
}


/* ---- a turn ---- */

/* 0, or when it may be asked.  Which section it is has to be read once; what
 * waits then is not read again and again. */
static int64_t
turn_begin(amld_oidc_renewer_t *r, entry_t *e, amld_renewal_t *renewal,
           amld_renewal_rc_t *rc)
{
    int known = e->section != NO_SECTION;
    int64_t later = known ? provider_begin(r, e) : 0;

    *rc = AMLD_RENEWAL_READY;
    if (later != 0) {
        return later;
    }

    *rc = amld_renewal_open(r->d, r->sealer, &e->sign_in, e->clean, renewal);

    if (*rc != AMLD_RENEWAL_READY) {
        if (known) {
            (void) provider_end(r, e, AMLD_PACE_NONE, -1);
        }
        return 0;
    }

    if (!known) {
        e->section = (int) (renewal->issuer - r->d->config->issuers);
        later = provider_begin(r, e);
        if (later != 0) {
            amld_renewal_close(renewal);
        }
    }

    return later;
}


/* When to look at the entry again; 0: never. */
static int64_t
turn_end(amld_oidc_renewer_t *r, entry_t *e, const amld_renewal_t *renewal)
{
    int64_t until;

    until = provider_end(r, e, pace_end_of(renewal, e), renewal->retry_after);
    provider_say(r, e, renewal->why);
    e->clean = renewal->clean;

    switch (renewal->end) {
    case AMLD_RENEWAL_FAILED:
        return renew_now() +
               amld_oidc_renew_pause(++e->failures, renewal->retry_after);
    case AMLD_RENEWAL_DOWN:
        return until + chance(5);
    case AMLD_RENEWAL_DONE:
        e->failures = 0;
        return renewal->due;
    default:
        return 0;
    }
}


/* Without the mutex.  1 when the entry is to be looked at again. */
static int
renew_turn(amld_oidc_renewer_t *r, entry_t *e)
{
    amld_renewal_t renewal;
    amld_renewal_rc_t rc;
    int64_t later;

    later = turn_begin(r, e, &renewal, &rc);

    if (rc == AMLD_RENEWAL_GONE) {
        return 0;
    }
    if (rc != AMLD_RENEWAL_READY) {
        later = renew_now() + 30 + chance(30);
    }
    if (later != 0) {
        e->due = later;
        return 1;
    }

    amld_renewal_run(r->d, r->sealer, &r->ends, &renewal);
    e->due = turn_end(r, e, &renewal);
    amld_renewal_close(&renewal);

    return e->due != 0;
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
    entry_t e = {
        .due = due, .sign_in = *sign_in, .section = NO_SECTION, .clean = 1};

    if (r == NULL) {
        return;
    }

    pthread_mutex_lock(&r->mutex);
    if (heap_add(r, &e) == 0) {
        pthread_cond_signal(&r->more);
    }
    pthread_mutex_unlock(&r->mutex);
}


typedef struct {
    amld_oidc_renewer_t *renewer;
    int64_t now;
    uint64_t late;
    int64_t spread;
} take_up_t;


static int
take_up_count(void *data, const aml_principal_id_t *sign_in, int64_t due)
{
    take_up_t *t = data;

    (void) sign_in;
    t->late += due <= t->now;

    return 0;
}


/* Whether what was asked when amld ended has done anything is not known. */
static int
take_up_each(void *data, const aml_principal_id_t *sign_in, int64_t due)
{
    const take_up_t *t = data;
    entry_t e = {.due = due > t->now ? due : t->now + chance(t->spread),
                 .sign_in = *sign_in,
                 .section = NO_SECTION};

    return heap_add(t->renewer, &e) != 0;
}


static aml_registry_rc_t
renew_take_up(amld_oidc_renewer_t *r, aml_registry_txn_t *txn)
{
    take_up_t t = {.renewer = r, .now = renew_now()};
    aml_registry_rc_t rc;

    rc = amld_sign_in_secrets_each(txn, take_up_count, &t);
    t.spread = amld_pace_spread(t.late);

    return rc == AML_REGISTRY_OK
               ? amld_sign_in_secrets_each(txn, take_up_each, &t)
               : rc;
}


static int
renew_begin(amld_oidc_renewer_t *r)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int failed;

    rc = aml_registry_read(r->d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = renew_take_up(r, txn);
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
