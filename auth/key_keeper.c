/*
 * The thread that fetches key sets.
 */

#include "auth/key_keeper.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FETCH_SECONDS 10
#define REFRESH_DEFAULT 3600
#define REFRESH_LEAST 300 /* however little the provider says */
#define REFRESH_MOST 86400
#define RETRY_LEAST 5 /* after a failure; doubles */
#define RETRY_MOST 300
#define METADATA_SECONDS 86400

typedef struct {
    const amld_issuer_config_t *issuer;
    int64_t due;     /* when to fetch; all under the keeper's mutex */
    int64_t fetched; /* the last try */
    unsigned retry;  /* seconds, 0 while all is well */
    int known;       /* a good set was there once */
    const char *why; /* what is wrong, as it was logged; NULL: nothing */
    int has_metadata;
    int64_t metadata_at;
    amld_discovery_t metadata;
    pthread_mutex_t fetching; /* of metadata, one at a time */
} keeper_issuer_t;

struct amld_key_keeper {
    amld_t *amld;
    keeper_issuer_t *issuers;
    size_t n;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    int ends;
};


static int64_t
keeper_now(void)
{
    return (int64_t) time(NULL);
}


/* A little earlier, and not together with everybody else's. */
static int64_t
keeper_jitter(int64_t seconds)
{
    uint16_t r = 0;

    (void) RAND_bytes((unsigned char *) &r, sizeof(r));

    return seconds * (75 + r % 20) / 100;
}


/* Once for each change of state. */
static void
keeper_say(amld_key_keeper_t *k, keeper_issuer_t *s, const char *why)
{
    int said;

    pthread_mutex_lock(&k->mutex);
    said = why == s->why ||
           (why != NULL && s->why != NULL && strcmp(why, s->why) == 0);
    s->why = why;
    pthread_mutex_unlock(&k->mutex);

    if (said) {
        return;
    }

    if (why != NULL) {
        amld_log(AMLD_LOG_WARN,
                 "keys: issuer \"%s\": %s; trying again, its keys are good for "
                 "%u s after the last good fetch",
                 s->issuer->name, why, s->issuer->key_grace);
    } else {
        amld_log(AMLD_LOG_INFO, "keys: issuer \"%s\": its keys are here",
                 s->issuer->name);
    }
}


/* ---- metadata ---- */

static const char *
metadata_fetch(const amld_issuer_config_t *issuer, amld_discovery_t *d)
{
    amld_fetch_t fetch = {.url = issuer->discovery,
                          .ca = issuer->ca,
                          .proxy = issuer->proxy,
                          .most = AMLD_DISCOVERY_MAX,
                          .seconds = FETCH_SECONDS};
    amld_fetched_t fetched;
    amld_fetch_rc_t rc;
    const char *why;

    memset(d, 0, sizeof(*d));

    rc = amld_fetch(&fetch, &fetched);
    if (rc != AMLD_FETCH_OK) {
        why = amld_fetch_strerror(rc);
    } else if (fetched.status != 200) {
        why = "its metadata is not there: the answer is not 200";
    } else {
        why = amld_discovery_parse(fetched.body, fetched.n, issuer->iss[0].iss,
                                   d);
    }

    amld_fetched_clear(&fetched);
    if (why != NULL) {
        amld_discovery_clear(d);
    }

    return why;
}


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


int
amld_key_keeper_metadata(amld_key_keeper_t *k,
                         const amld_issuer_config_t *issuer,
                         amld_discovery_t *d, const char **why)
{
    keeper_issuer_t *s = keeper_find(k, issuer);
    amld_discovery_t fresh;

    *why = NULL;
    memset(d, 0, sizeof(*d));

    if (s == NULL || issuer->discovery == NULL) {
        *why = "it has no metadata";
        return -1;
    }

    if (metadata_known(k, s, 0, d)) {
        return 0;
    }

    /* whoever comes meanwhile takes what the first one brings */
    pthread_mutex_lock(&s->fetching);

    if (!metadata_known(k, s, 0, d)) {
        *why = metadata_fetch(issuer, &fresh);

        if (*why == NULL) {
            pthread_mutex_lock(&k->mutex);
            amld_discovery_clear(&s->metadata);
            s->metadata = fresh;
            s->has_metadata = 1;
            s->metadata_at = keeper_now();
            pthread_mutex_unlock(&k->mutex);
        }

        /* yesterday's is better than none */
        if (metadata_known(k, s, 1, d)) {
            *why = NULL;
        } else if (*why == NULL) {
            *why = "no memory";
        }
    }

    pthread_mutex_unlock(&s->fetching);

    return *why == NULL ? 0 : -1;
}


/* ---- key sets ---- */

static void
keys_verdicts(const amld_issuer_config_t *issuer, const aml_jwks_t *set)
{
    int v;

    for (v = AML_JWK_TAKEN + 1; v < AML_JWK_VERDICTS; v++) {
        if (set->verdicts[v] != 0 && v != AML_JWK_USE) {
            amld_log(AMLD_LOG_WARN,
                     "keys: issuer \"%s\": %u keys are left out: %s",
                     issuer->name, set->verdicts[v],
                     aml_jwk_verdict_text((aml_jwk_verdict_t) v));
        }
    }
}


/* One transaction; nothing is written where nothing has changed. */
static const char *
keys_store(amld_t *d, const amld_issuer_config_t *issuer, const aml_jwks_t *set,
           int64_t now)
{
    int64_t expires = issuer->keys != NULL ? 0 : now + issuer->key_grace;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int changed = 0;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return aml_registry_strerror(rc);
    }

    rc = amld_keys_publish(txn, issuer, set, expires,
                           now + issuer->key_grace / 2, &changed);
    if (rc == AML_REGISTRY_OK && changed > 0) {
        rc = aml_registry_touch_keys(txn);
    }

    if (rc != AML_REGISTRY_OK || changed == 0) {
        aml_registry_end(txn);
    } else {
        rc = aml_registry_commit(txn);
    }

    if (rc != AML_REGISTRY_OK) {
        return aml_registry_strerror(rc);
    }

    if (changed > 0) {
        keys_verdicts(issuer, set);
        amld_log(AMLD_LOG_INFO, "keys: issuer \"%s\": %zu keys, %d changes",
                 issuer->name, set->key_count, changed);
    }

    return NULL;
}


static const char *
keys_take(amld_t *d, const amld_issuer_config_t *issuer, const char *text,
          size_t n, int64_t now)
{
    aml_jwks_t *set = malloc(sizeof(*set));
    aml_jwks_rc_t parsed;
    const char *why = NULL;

    if (set == NULL) {
        return "no memory";
    }

    parsed = aml_jwks_parse((aml_str_t){text, n}, set);
    if (parsed != AML_JWKS_OK) {
        why = aml_jwks_strerror(parsed);

    } else if (set->key_count == 0) {
        /* a set without keys is a mistake sooner than the end of all trust */
        why = "its key set has no key for signatures";

    } else {
        why = keys_store(d, issuer, set, now);
    }

    aml_jwks_clear(set);
    free(set);

    return why;
}


static int64_t
keys_refresh(const amld_issuer_config_t *issuer, const amld_fetched_t *fetched)
{
    int64_t seconds = issuer->key_refresh;

    if (seconds == 0) {
        seconds = fetched->max_age >= 0 ? fetched->max_age : REFRESH_DEFAULT;
        seconds = seconds < REFRESH_LEAST  ? REFRESH_LEAST
                  : seconds > REFRESH_MOST ? REFRESH_MOST
                                           : seconds;
    }

    /* never as late as keys end */
    return keeper_jitter(
        seconds < issuer->key_grace / 2 ? seconds : issuer->key_grace / 2);
}


/* NULL, or what is wrong; `*next` is when to come again, in seconds. */
static const char *
keys_fetch(amld_key_keeper_t *k, const amld_issuer_config_t *issuer,
           int64_t *next)
{
    amld_fetch_t fetch = {.ca = issuer->ca,
                          .proxy = issuer->proxy,
                          .most = AML_JWKS_SIZE_MAX,
                          .seconds = FETCH_SECONDS};
    amld_discovery_t metadata;
    amld_fetched_t fetched;
    amld_fetch_rc_t rc;
    const char *why;
    int64_t now;

    if (amld_key_keeper_metadata(k, issuer, &metadata, &why) != 0) {
        return why;
    }

    fetch.url = metadata.jwks_uri;
    rc = amld_fetch(&fetch, &fetched);
    now = keeper_now();

    if (rc != AMLD_FETCH_OK) {
        why = amld_fetch_strerror(rc);
    } else if (fetched.status != 200) {
        why = "its key set is not there: the answer is not 200";
    } else {
        *next = keys_refresh(issuer, &fetched);
        why = keys_take(k->amld, issuer, fetched.body, fetched.n, now);
    }

    amld_fetched_clear(&fetched);
    amld_discovery_clear(&metadata);

    return why;
}


static void
keeper_turn(amld_key_keeper_t *k, keeper_issuer_t *s)
{
    int64_t next = 0;
    const char *why;

    why = keys_fetch(k, s->issuer, &next);

    pthread_mutex_lock(&k->mutex);
    s->fetched = keeper_now();
    if (why == NULL) {
        s->retry = 0;
        s->known = 1;
        s->due = s->fetched + next;
    } else {
        s->retry = s->retry == 0               ? RETRY_LEAST
                   : s->retry * 2 > RETRY_MOST ? RETRY_MOST
                                               : s->retry * 2;
        s->due = s->fetched + 1 + keeper_jitter(s->retry);
    }
    pthread_mutex_unlock(&k->mutex);

    keeper_say(k, s, why);
}


/* ---- the thread ---- */

/* The one that is due first; NULL when none is ever. */
static keeper_issuer_t *
keeper_first(amld_key_keeper_t *k)
{
    keeper_issuer_t *first = NULL;
    size_t i;

    for (i = 0; i < k->n; i++) {
        if (k->issuers[i].issuer->keys == NULL &&
            (first == NULL || k->issuers[i].due < first->due)) {
            first = &k->issuers[i];
        }
    }

    return first;
}


static void *
keeper_run(void *data)
{
    amld_key_keeper_t *k = data;
    keeper_issuer_t *s;
    struct timespec until = {0};

    pthread_mutex_lock(&k->mutex);

    while (!k->ends) {
        s = keeper_first(k);

        if (s != NULL && s->due <= keeper_now()) {
            pthread_mutex_unlock(&k->mutex);
            keeper_turn(k, s);
            pthread_mutex_lock(&k->mutex);
            continue;
        }

        if (s == NULL) {
            pthread_cond_wait(&k->condition, &k->mutex);
        } else {
            until.tv_sec = s->due;
            (void) pthread_cond_timedwait(&k->condition, &k->mutex, &until);
        }
    }

    pthread_mutex_unlock(&k->mutex);

    return NULL;
}


void
amld_key_keeper_unknown_kid(amld_key_keeper_t *k, const char *iss)
{
    int64_t now = keeper_now();
    keeper_issuer_t *s;
    size_t i, j;

    pthread_mutex_lock(&k->mutex);

    for (i = 0; i < k->n; i++) {
        s = &k->issuers[i];
        for (j = 0; j < s->issuer->iss_count; j++) {
            if (s->issuer->keys == NULL && s->due > now &&
                strcmp(s->issuer->iss[j].iss, iss) == 0 &&
                now - s->fetched >= s->issuer->key_cooldown) {
                s->due = now;
                pthread_cond_signal(&k->condition);
            }
        }
    }

    pthread_mutex_unlock(&k->mutex);
}


/* ---- start and stop ---- */

/* Key sets that are files; a bad one is a fault to be mended before. */
static int
keeper_file(amld_t *d, const amld_issuer_config_t *issuer)
{
    json_error_t error;
    const char *why;
    json_t *json;
    char *text;

    json = json_load_file(issuer->keys, JSON_REJECT_DUPLICATES, &error);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    why = text == NULL ? "is not JSON"
                       : keys_take(d, issuer, text, strlen(text), 0);
    free(text);

    if (why != NULL) {
        amld_log(AMLD_LOG_ERROR, "keys: issuer \"%s\": %s: %s", issuer->name,
                 issuer->keys, why);
    }

    return why == NULL ? 0 : -1;
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


static int
keeper_begin(amld_key_keeper_t *k)
{
    aml_registry_rc_t rc;
    size_t i;

    rc = keeper_publish(k->amld);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "keys: %s", aml_registry_strerror(rc));
        return -1;
    }

    for (i = 0; i < k->n; i++) {
        if (k->issuers[i].issuer->keys != NULL &&
            keeper_file(k->amld, k->issuers[i].issuer) != 0) {
            return -1;
        }
    }

    return 0;
}


static void
keeper_free(amld_key_keeper_t *k)
{
    size_t i;

    for (i = 0; i < k->n; i++) {
        amld_discovery_clear(&k->issuers[i].metadata);
        pthread_mutex_destroy(&k->issuers[i].fetching);
    }
    pthread_cond_destroy(&k->condition);
    pthread_mutex_destroy(&k->mutex);
    free(k->issuers);
    free(k);
}


amld_key_keeper_t *
amld_key_keeper_start(amld_t *d)
{
    amld_key_keeper_t *k;
    size_t i;
    int rc;

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
    pthread_cond_init(&k->condition, NULL);

    for (i = 0; i < k->n; i++) {
        k->issuers[i].issuer = &d->config->issuers[i];
        k->issuers[i].due = keeper_now();
        pthread_mutex_init(&k->issuers[i].fetching, NULL);
    }

    if (keeper_begin(k) != 0) {
        keeper_free(k);
        return NULL;
    }

    rc = pthread_create(&k->thread, NULL, keeper_run, k);
    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "keys: %s", strerror(rc));
        keeper_free(k);
        return NULL;
    }

    return k;
}


/* A fetch that is under way is waited for: it has a bound. */
void
amld_key_keeper_stop(amld_key_keeper_t *k)
{
    if (k == NULL) {
        return;
    }

    pthread_mutex_lock(&k->mutex);
    k->ends = 1;
    pthread_cond_signal(&k->condition);
    pthread_mutex_unlock(&k->mutex);

    pthread_join(k->thread, NULL);
    keeper_free(k);
}
