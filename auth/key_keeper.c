/*
 * The threads that fetch key sets.
 */

#include "auth/key_keeper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/key_fetch.h"
#include "auth/key_records.h"

#define RETRY_LEAST 5 /* after a failure; doubles */
#define RETRY_MOST 300
#define RETRY_AFTER_MOST 3600 /* that a provider may ask for */
#define METADATA_SECONDS 86400
#define REACH_SECONDS 5

typedef struct {
    amld_key_keeper_t *keeper;
    const amld_issuer_config_t *issuer;
    pthread_t thread;
    int runs; /* the thread is there */

    /* under the keeper's mutex */
    pthread_cond_t due_now; /* the thread waits */
    pthread_cond_t done;    /* callers wait for the thread */
    int64_t due;            /* when to fetch */
    int64_t asked;          /* when a key that is not known last led to that */
    unsigned long rounds;   /* fetches that have ended */
    int good;               /* the last one was */
    unsigned retry;         /* seconds, 0 while all is well */
    const char *why;        /* what is wrong, as it was logged; NULL: nothing */
    int64_t until;          /* when keys end; 0: never, or there are none */
    int ended;              /* that they have ended was logged */

    int has_metadata;
    int64_t metadata_at;
    amld_discovery_t metadata;
    int64_t failed_at; /* the last try for metadata, where it failed */
    const char *failed_why;
    int failed_down;
    pthread_mutex_t fetching; /* of metadata, one at a time */
} keeper_issuer_t;

struct amld_key_keeper {
    amld_t *amld;
    keeper_issuer_t *issuers;
    size_t n;
    pthread_mutex_t mutex;
    atomic_int ends;
};


static int64_t
keeper_now(void)
{
    return (int64_t) time(NULL);
}


/* Times for people. */
static const char *
keeper_time(int64_t seconds, char text[32])
{
    time_t t = (time_t) seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL ||
        strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        text[0] = '\0';
    }

    return text;
}


static int
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}


/*
 * Once for each change of state, and once more when keys have ended: what is
 * wrong, for how long it does no harm, and what to do.
 */
static void
keeper_say(keeper_issuer_t *s, const amld_key_result_t *r)
{
    const char *name = s->issuer->name;
    int64_t until, now = keeper_now();
    int said, ended;
    char text[32];

    pthread_mutex_lock(&s->keeper->mutex);
    until = s->until;
    said = same_text(r->why, s->why);
    s->why = r->why;
    ended = r->why != NULL && until != 0 && until <= now && !s->ended;
    s->ended = r->why != NULL && (s->ended || ended);
    pthread_mutex_unlock(&s->keeper->mutex);

    if (r->why == NULL) {
        if (!said) {
            amld_log(AMLD_LOG_INFO, "keys: issuer \"%s\": all is well again",
                     name);
        }
        return;
    }

    if (ended) {
        amld_log(AMLD_LOG_ERROR,
                 "keys: issuer \"%s\": its keys have ended at %s and its "
                 "tokens are refused until they can be fetched: %s%s%s%s; %s",
                 name, keeper_time(until, text), r->why,
                 *r->detail != '\0' ? " (" : "", r->detail,
                 *r->detail != '\0' ? ")" : "", r->what);

    } else if (!said && until == 0) {
        amld_log(AMLD_LOG_ERROR,
                 "keys: issuer \"%s\": there are no keys yet and its tokens "
                 "are refused: %s%s%s%s; %s",
                 name, r->why, *r->detail != '\0' ? " (" : "", r->detail,
                 *r->detail != '\0' ? ")" : "", r->what);

    } else if (!said) {
        amld_log(AMLD_LOG_WARN,
                 "keys: issuer \"%s\": %s%s%s%s; its keys are good until %s; "
                 "%s",
                 name, r->why, *r->detail != '\0' ? " (" : "", r->detail,
                 *r->detail != '\0' ? ")" : "", keeper_time(until, text),
                 r->what);
    }
}


/* ---- metadata ---- */

static keeper_issuer_t *
keeper_find(amld_key_keeper_t *k, const amld_issuer_config_t *issuer)
{
    size_t i;

    for (i = 0; i < k->n; i++) {
        if (k->issuers[i].issuer == issuer) {
            return &k->issuers[i];
        }
    }

    return NULL;
}


/* What is known, however old with `any`; 1 when there is something. */
static int
metadata_known(amld_key_keeper_t *k, keeper_issuer_t *s, int any,
               amld_discovery_t *d)
{
    int known;

    pthread_mutex_lock(&k->mutex);
    known = s->has_metadata &&
            (any || keeper_now() - s->metadata_at < METADATA_SECONDS) &&
            amld_discovery_copy(d, &s->metadata) == 0;
    pthread_mutex_unlock(&k->mutex);

    return known;
}


static void
metadata_renew(amld_key_keeper_t *k, keeper_issuer_t *s, amld_key_result_t *r)
{
    amld_discovery_t fresh;
    int no_s256 = 0;

    amld_metadata_fetch(s->issuer, &k->ends, &fresh, r);

    pthread_mutex_lock(&k->mutex);
    if (r->why == NULL) {
        no_s256 = fresh.no_s256;
        amld_discovery_clear(&s->metadata);
        s->metadata = fresh;
        s->has_metadata = 1;
        s->metadata_at = keeper_now();
        s->failed_at = 0;
    } else {
        s->failed_at = keeper_now();
        s->failed_why = r->why;
        s->failed_down = r->down;
    }
    pthread_mutex_unlock(&k->mutex);

    if (no_s256 && s->issuer->sign_in) {
        amld_log(AMLD_LOG_WARN,
                 "keys: issuer \"%s\": its metadata names no S256 among PKCE's "
                 "methods; people can't sign in where it means that",
                 s->issuer->name);
    }
}


/* A failure is an answer, too, for a moment: many may wait for it. */
static const char *
metadata_failed(amld_key_keeper_t *k, keeper_issuer_t *s)
{
    int64_t now = keeper_now();
    const char *why;

    pthread_mutex_lock(&k->mutex);
    why = s->failed_at != 0 && s->failed_at <= now &&
                  now - s->failed_at < RETRY_LEAST
              ? s->failed_why
              : NULL;
    pthread_mutex_unlock(&k->mutex);

    return why;
}


/* What is known, or else what a fetch brings; r->why where there is nothing.
 * With `patient` a failure of a moment ago is no reason not to try. */
static void
metadata_get(amld_key_keeper_t *k, keeper_issuer_t *s, int patient,
             amld_discovery_t *d, amld_key_result_t *r)
{
    memset(d, 0, sizeof(*d));
    memset(r, 0, sizeof(*r));

    if (metadata_known(k, s, 0, d)) {
        return;
    }

    /* whoever comes meanwhile takes what the first one brings */
    pthread_mutex_lock(&s->fetching);

    if (!metadata_known(k, s, 0, d)) {
        r->why = patient ? NULL : metadata_failed(k, s);
        if (r->why == NULL) {
            metadata_renew(k, s, r);
        }

        /* yesterday's is better than none */
        if (metadata_known(k, s, 1, d)) {
            r->why = NULL;
        } else if (r->why == NULL) {
            r->why = "no memory";
            r->what = "look at this machine's memory";
        }
    }

    pthread_mutex_unlock(&s->fetching);
}


int
amld_key_keeper_metadata(amld_key_keeper_t *k,
                         const amld_issuer_config_t *issuer,
                         amld_discovery_t *d, const char **why)
{
    keeper_issuer_t *s = keeper_find(k, issuer);
    amld_key_result_t r;

    if (s == NULL || issuer->discovery == NULL) {
        memset(d, 0, sizeof(*d));
        *why = "it has no metadata";
        return -1;
    }

    metadata_get(k, s, 0, d, &r);
    *why = r.why;

    return r.why == NULL ? 0 : -1;
}


/* NULL, or why the provider can't be reached.  One of many asks it: were it
 * silent, the others would take the threads that it takes to sign in with
 * another. */
static const char *
metadata_unreachable(amld_key_keeper_t *k, keeper_issuer_t *s)
{
    int64_t now = keeper_now();
    const char *why = NULL;
    amld_key_result_t r;
    int old, failed;

    pthread_mutex_lock(&k->mutex);
    old = now - s->metadata_at >= REACH_SECONDS;
    failed = s->failed_at != 0 && s->failed_at <= now &&
             now - s->failed_at < RETRY_LEAST;
    if (old && failed && s->failed_down) {
        why = s->failed_why;
    }
    pthread_mutex_unlock(&k->mutex);

    if (old && !failed && pthread_mutex_trylock(&s->fetching) == 0) {
        metadata_renew(k, s, &r);
        pthread_mutex_unlock(&s->fetching);
        why = r.down ? r.why : NULL;
    }

    return why;
}


int
amld_key_keeper_reach(amld_key_keeper_t *k, const amld_issuer_config_t *issuer,
                      amld_discovery_t *d, const char **why)
{
    if (amld_key_keeper_metadata(k, issuer, d, why) != 0) {
        return -1;
    }

    *why = metadata_unreachable(k, keeper_find(k, issuer));
    if (*why == NULL) {
        return 0;
    }

    amld_discovery_clear(d);

    return -1;
}


/* ---- a fetch ---- */

static void
keeper_fetch(keeper_issuer_t *s, amld_key_result_t *r)
{
    amld_key_keeper_t *k = s->keeper;
    amld_discovery_t metadata;

    metadata_get(k, s, 1, &metadata, r);
    if (r->why != NULL) {
        return;
    }

    amld_keys_fetch(k->amld, s->issuer, metadata.jwks_uri, &k->ends, r);
    amld_discovery_clear(&metadata);

    if (r->why != NULL) {
        /* it may have moved */
        pthread_mutex_lock(&k->mutex);
        s->metadata_at = 0;
        pthread_mutex_unlock(&k->mutex);
    }
}


static void
keeper_turn(keeper_issuer_t *s)
{
    amld_key_result_t r;
    int64_t wait;

    keeper_fetch(s, &r);

    pthread_mutex_lock(&s->keeper->mutex);

    if (r.why == NULL) {
        s->retry = 0;
        s->until = r.until;
        wait = r.next > 0 ? r.next : 1;
    } else {
        s->retry = s->retry == 0               ? RETRY_LEAST
                   : s->retry * 2 > RETRY_MOST ? RETRY_MOST
                                               : s->retry * 2;
        wait = 1 + amld_key_jitter(s->retry);
        if (r.next > wait) {
            wait = r.next < RETRY_AFTER_MOST ? r.next : RETRY_AFTER_MOST;
        }
    }

    s->due = keeper_now() + wait;
    s->good = r.why == NULL;
    s->rounds++;
    pthread_cond_broadcast(&s->done);

    pthread_mutex_unlock(&s->keeper->mutex);

    if (!atomic_load(&s->keeper->ends)) {
        keeper_say(s, &r);
    }
}


/* ---- the threads ---- */

static void *
keeper_run(void *data)
{
    keeper_issuer_t *s = data;
    amld_key_keeper_t *k = s->keeper;
    struct timespec until = {0};

    pthread_mutex_lock(&k->mutex);

    while (!atomic_load(&k->ends)) {
        if (s->due <= keeper_now()) {
            pthread_mutex_unlock(&k->mutex);
            keeper_turn(s);
            pthread_mutex_lock(&k->mutex);
            continue;
        }

        until.tv_sec = s->due;
        (void) pthread_cond_timedwait(&s->due_now, &k->mutex, &until);
    }

    pthread_mutex_unlock(&k->mutex);

    return NULL;
}


/* Under the mutex.  1 when it will be fetched, or is being. */
static int
keeper_ask(keeper_issuer_t *s)
{
    int64_t now = keeper_now();

    if (!s->runs) {
        return 0;
    }

    if (s->due <= now) {
        return 1;
    }

    if (s->asked != 0 && s->asked <= now &&
        now - s->asked < s->issuer->key_cooldown) {
        return 0;
    }

    s->asked = now;
    s->due = now;
    pthread_cond_signal(&s->due_now);

    return 1;
}


void
amld_key_keeper_unknown_kid(amld_key_keeper_t *k, aml_str_t iss)
{
    const amld_issuer_config_t *issuer;
    size_t i, j;

    pthread_mutex_lock(&k->mutex);

    for (i = 0; i < k->n; i++) {
        issuer = k->issuers[i].issuer;
        for (j = 0; j < issuer->iss_count; j++) {
            if (aml_str_eq(aml_str_of(issuer->iss[j].iss), iss)) {
                (void) keeper_ask(&k->issuers[i]);
            }
        }
    }

    pthread_mutex_unlock(&k->mutex);
}


int
amld_key_keeper_fetch(amld_key_keeper_t *k, const amld_issuer_config_t *issuer)
{
    keeper_issuer_t *s = keeper_find(k, issuer);
    unsigned long round;
    int rc = -1;

    if (s == NULL) {
        return -1;
    }

    pthread_mutex_lock(&k->mutex);

    if (keeper_ask(s)) {
        round = s->rounds;
        while (s->rounds == round && !atomic_load(&k->ends)) {
            pthread_cond_wait(&s->done, &k->mutex);
        }
        rc = s->rounds != round && s->good ? 0 : -1;
    }

    pthread_mutex_unlock(&k->mutex);

    return rc;
}


/* ---- start and stop ---- */

/* What is there from the last time. */
static aml_registry_rc_t
keeper_remember(amld_key_keeper_t *k, keeper_issuer_t *s)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t n;

    rc = aml_registry_read(k->amld->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_keys_until(txn, s->issuer, &n, &s->until);
        aml_registry_end(txn);
    }

    return rc;
}


static aml_registry_rc_t
keeper_publish(amld_t *d)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int changed = 0;
    size_t i;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_keys_withdraw(txn, d->config, &changed);
    for (i = 0; i < d->config->issuer_count && rc == AML_REGISTRY_OK; i++) {
        rc = amld_keys_publish_issuer(txn, &d->config->issuers[i], &changed);
    }
    if (rc == AML_REGISTRY_OK && changed > 0) {
        rc = aml_registry_touch_keys(txn);
    }

    if (rc != AML_REGISTRY_OK || changed == 0) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* Key sets that are files: a bad one is a fault to be mended before. */
static int
keeper_begin(amld_key_keeper_t *k)
{
    const amld_issuer_config_t *issuer;
    amld_key_result_t r;
    aml_registry_rc_t rc;
    size_t i;

    rc = keeper_publish(k->amld);

    for (i = 0; i < k->n && rc == AML_REGISTRY_OK; i++) {
        rc = keeper_remember(k, &k->issuers[i]);
    }

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "keys: %s", aml_registry_strerror(rc));
        return -1;
    }

    for (i = 0; i < k->n; i++) {
        issuer = k->issuers[i].issuer;
        if (issuer->keys == NULL) {
            continue;
        }

        amld_keys_load(k->amld, issuer, &r);
        if (r.why != NULL) {
            amld_log(AMLD_LOG_ERROR, "keys: issuer \"%s\": %s (%s)",
                     issuer->name, r.why, r.detail);
            return -1;
        }
    }

    return 0;
}


static int
keeper_threads(amld_key_keeper_t *k)
{
    keeper_issuer_t *s;
    size_t i;
    int rc;

    for (i = 0; i < k->n; i++) {
        s = &k->issuers[i];
        if (s->issuer->keys != NULL) {
            continue;
        }

        rc = pthread_create(&s->thread, NULL, keeper_run, s);
        if (rc != 0) {
            amld_log(AMLD_LOG_ERROR, "keys: %s", strerror(rc));
            return -1;
        }
        s->runs = 1;
    }

    return 0;
}


amld_key_keeper_t *
amld_key_keeper_start(amld_t *d)
{
    amld_key_keeper_t *k;
    keeper_issuer_t *s;
    size_t i;

    k = calloc(1, sizeof(*k));
    if (k == NULL || (k->issuers = calloc(d->config->issuer_count + 1,
                                          sizeof(*k->issuers))) == NULL) {
        amld_log(AMLD_LOG_ERROR, "keys: no memory");
        free(k);
        return NULL;
    }

    k->amld = d;
    k->n = d->config->issuer_count;
    pthread_mutex_init(&k->mutex, NULL);

    for (i = 0; i < k->n; i++) {
        s = &k->issuers[i];
        s->keeper = k;
        s->issuer = &d->config->issuers[i];
        pthread_cond_init(&s->due_now, NULL);
        pthread_cond_init(&s->done, NULL);
        pthread_mutex_init(&s->fetching, NULL);
    }

    if (keeper_begin(k) != 0 || keeper_threads(k) != 0) {
        amld_key_keeper_stop(k);
        return NULL;
    }

    return k;
}


void
amld_key_keeper_cancel(amld_key_keeper_t *k)
{
    size_t i;

    if (k == NULL) {
        return;
    }

    pthread_mutex_lock(&k->mutex);
    atomic_store(&k->ends, 1);
    for (i = 0; i < k->n; i++) {
        pthread_cond_signal(&k->issuers[i].due_now);
        pthread_cond_broadcast(&k->issuers[i].done);
    }
    pthread_mutex_unlock(&k->mutex);
}


void
amld_key_keeper_stop(amld_key_keeper_t *k)
{
    keeper_issuer_t *s;
    size_t i;

    if (k == NULL) {
        return;
    }

    amld_key_keeper_cancel(k);

    for (i = 0; i < k->n; i++) {
        s = &k->issuers[i];
        if (s->runs) {
            pthread_join(s->thread, NULL);
        }
        amld_discovery_clear(&s->metadata);
        pthread_mutex_destroy(&s->fetching);
        pthread_cond_destroy(&s->due_now);
        pthread_cond_destroy(&s->done);
    }

    pthread_mutex_destroy(&k->mutex);
    free(k->issuers);
    free(k);
}
