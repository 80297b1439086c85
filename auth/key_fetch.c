/*
 * Metadata and key sets: one request, what it brought, and what went wrong.
 */

#include "auth/key_fetch.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/fetch.h"
#include "auth/jwks.h"
#include "auth/key_records.h"

#define REFRESH_DEFAULT 3600
#define REFRESH_LEAST 300 /* however little the provider says */
#define REFRESH_MOST 86400

#define LOOK_AT_ADDRESSES "look at `issuer` and `discovery` in its section"


int64_t
amld_key_jitter(int64_t seconds)
{
    uint16_t r = 0;

    (void) RAND_bytes((unsigned char *) &r, sizeof(r));

    return seconds * (75 + r % 20) / 100;
}


/* ---- what can go wrong ---- */

static const char *
fetch_do(amld_fetch_rc_t rc)
{
    switch (rc) {
    case AMLD_FETCH_UNREACHABLE:
    case AMLD_FETCH_TIMEOUT:
    case AMLD_FETCH_CUT:
        return "look whether it runs and can be reached from here; its section "
               "may need `proxy`";
    case AMLD_FETCH_TLS:
        return "look at its certificate and at `ca` in its section";
    case AMLD_FETCH_REFUSED:
    case AMLD_FETCH_LARGE:
    case AMLD_FETCH_TYPE:
        return LOOK_AT_ADDRESSES;
    default:
        return "look at this machine's memory";
    }
}


/* Fills `r` where the answer is none to go on with; 1 when it is. */
static int
fetch_is_good(const char *what, const char *url, amld_fetch_rc_t rc,
              const amld_fetched_t *f, amld_key_result_t *r)
{
    if (rc != AMLD_FETCH_OK) {
        r->why = amld_fetch_strerror(rc);
        r->what = fetch_do(rc);
        r->down = rc == AMLD_FETCH_UNREACHABLE || rc == AMLD_FETCH_TIMEOUT ||
                  rc == AMLD_FETCH_TLS || rc == AMLD_FETCH_CUT;
        (void) snprintf(r->detail, sizeof(r->detail), "%s%s%.140s", what,
                        *f->detail != '\0' ? ": " : "", f->detail);
        return 0;
    }

    if (f->status != 200) {
        r->why = f->status / 100 == 3
                     ? "it sends us elsewhere; redirects are not followed"
                     : "it answers with an error";
        r->what =
            f->status / 100 == 5 ? "look whether it runs" : LOOK_AT_ADDRESSES;
        r->down = f->status / 100 == 5;
        (void) snprintf(r->detail, sizeof(r->detail), "%s: %ld from %.140s",
                        what, f->status, url);
        r->next = f->retry_after > 0 ? f->retry_after : 0;
        return 0;
    }

    return 1;
}


/* ---- metadata ---- */

void
amld_metadata_fetch(const amld_issuer_config_t *issuer,
                    const atomic_int *cancel, amld_discovery_t *d,
                    amld_key_result_t *r)
{
    amld_fetch_t fetch = {.url = issuer->discovery,
                          .ca = issuer->ca,
                          .proxy = issuer->proxy,
                          .most = AMLD_DISCOVERY_MAX,
                          .seconds = AMLD_KEY_FETCH_SECONDS,
                          .cancel = cancel};
    amld_fetched_t fetched;
    amld_fetch_rc_t rc;

    memset(d, 0, sizeof(*d));
    memset(r, 0, sizeof(*r));

    rc = amld_fetch(&fetch, &fetched);

    if (fetch_is_good("metadata", issuer->discovery, rc, &fetched, r)) {
        r->why = amld_discovery_parse(fetched.body, fetched.n,
                                      issuer->iss[0].iss, issuer->iss_any, d);
        if (r->why != NULL) {
            r->what = LOOK_AT_ADDRESSES;
            (void) snprintf(r->detail, sizeof(r->detail), "%.180s",
                            issuer->discovery);
        }
    }

    amld_fetched_clear(&fetched);
    if (r->why != NULL) {
        amld_discovery_clear(d);
    }
}


/* ---- key sets ---- */

static void
keys_verdicts(const amld_issuer_config_t *issuer, const aml_jwks_t *set)
{
    int v;

    for (v = AML_JWK_TAKEN + 1; v < AML_JWK_VERDICTS; v++) {
        if (set->verdicts[v] != 0 && v != AML_JWK_USE) {
            amld_log(AMLD_LOG_WARN,
                     "keys: issuer \"%s\": keys that are left out: %u, %s",
                     issuer->name, set->verdicts[v],
                     aml_jwk_verdict_text((aml_jwk_verdict_t) v));
        }
    }
}


/* Until when keys are good that were fetched now.  Workers hold keys, and a
 * new end is a change that they must be told of, so that it moves in steps. */
static int64_t
keys_end(const amld_issuer_config_t *issuer, int64_t now)
{
    int64_t step = issuer->key_grace / 4 > 0 ? issuer->key_grace / 4 : 1;

    return (now + issuer->key_grace + step - 1) / step * step;
}


/* One transaction; workers are told where something has changed. */
static aml_registry_rc_t
keys_store(amld_t *d, const amld_issuer_config_t *issuer, const aml_jwks_t *set,
           const char *jwks_uri, int64_t now, int64_t until)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int changed = 0;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_keys_publish(txn, issuer, set, until, &changed);
    if (rc == AML_REGISTRY_OK && changed > 0) {
        rc = aml_registry_touch_keys(txn);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_keys_note(txn, issuer, set->key_count, jwks_uri, now, until);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    rc = aml_registry_commit(txn);
    if (rc == AML_REGISTRY_OK && changed > 0) {
        keys_verdicts(issuer, set);
        amld_log(AMLD_LOG_INFO,
                 "keys: issuer \"%s\": its key set has changed; keys: %zu, "
                 "records changed: %d",
                 issuer->name, set->key_count, changed);
    }

    return rc;
}


/* A set, as it was read; `from` is NULL for a file. */
static void
keys_take(amld_t *d, const amld_issuer_config_t *issuer, aml_jwks_rc_t parsed,
          const aml_jwks_t *set, const char *from, amld_key_result_t *r)
{
    int64_t now = (int64_t) time(NULL);
    aml_registry_rc_t rc;

    if (parsed != AML_JWKS_OK) {
        r->why = aml_jwks_strerror(parsed);
        r->what = "ask whoever runs it";

    } else if (set->key_count == 0) {
        /* it is a mistake sooner than the end of all trust */
        keys_verdicts(issuer, set);
        r->why = "its key set has no key that can be used";
        r->what = "ask whoever runs it";

    } else {
        r->until = issuer->keys != NULL ? 0 : keys_end(issuer, now);
        rc = keys_store(d, issuer, set, from, now, r->until);
        if (rc != AML_REGISTRY_OK) {
            r->why = aml_registry_strerror(rc);
            r->what = "look at the registry and its disk";
        }
    }

    if (r->why != NULL) {
        (void) snprintf(r->detail, sizeof(r->detail), "%.180s",
                        from != NULL ? from : issuer->keys);
    }
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
    return amld_key_jitter(
        seconds < issuer->key_grace / 2 ? seconds : issuer->key_grace / 2);
}


void
amld_keys_fetch(amld_t *d, const amld_issuer_config_t *issuer,
                const char *jwks_uri, const atomic_int *cancel,
                amld_key_result_t *r)
{
    amld_fetch_t fetch = {.url = jwks_uri,
                          .ca = issuer->ca,
                          .proxy = issuer->proxy,
                          .most = AML_JWKS_SIZE_MAX,
                          .seconds = AMLD_KEY_FETCH_SECONDS,
                          .cancel = cancel};
    aml_jwks_t *set = malloc(sizeof(*set));
    amld_fetched_t fetched;
    amld_fetch_rc_t rc;
    aml_jwks_rc_t parsed;

    memset(r, 0, sizeof(*r));

    if (set == NULL) {
        r->why = "no memory";
        r->what = fetch_do(AMLD_FETCH_FAILED);
        return;
    }

    rc = amld_fetch(&fetch, &fetched);

    if (fetch_is_good("key set", jwks_uri, rc, &fetched, r)) {
        r->next = keys_refresh(issuer, &fetched);
        parsed = aml_jwks_parse((aml_str_t){fetched.body, fetched.n}, set);
        keys_take(d, issuer, parsed, set, jwks_uri, r);
        aml_jwks_clear(set);
    }

    amld_fetched_clear(&fetched);
    free(set);
}


void
amld_keys_load(amld_t *d, const amld_issuer_config_t *issuer,
               amld_key_result_t *r)
{
    aml_jwks_t *set = malloc(sizeof(*set));
    aml_jwks_rc_t parsed;

    memset(r, 0, sizeof(*r));

    if (set == NULL) {
        r->why = "no memory";
        return;
    }

    parsed = aml_jwks_read(issuer->keys, set);
    keys_take(d, issuer, parsed, set, NULL, r);
    aml_jwks_clear(set);
    free(set);
}
