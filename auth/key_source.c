/*
 * Verifying bearer tokens with the issuers and keys that the registry has.
 */

#include "auth/key_source.h"

#include <stdlib.h>

#include "auth/lookup.h"

/* Keys that one worker holds at a time: a few issuers with a few keys each.
 * A verifier is some kilobytes of OpenSSL. */
#define VERIFIERS 64

typedef struct {
    aml_verifier_t *verifier; /* NULL: a free place */
    int64_t expires;          /* of the key, 0: no end known */
    uint64_t used;            /* by the decider's clock */
    size_t key_len;
    char key[AML_REGISTRY_KEY_MAX + 1];
} held_verifier_t;

struct aml_key_source {
    uint64_t generation; /* of the keys that are held */
    uint64_t clock;      /* one tick a look-up */
    aml_jwt_header_t header;
    held_verifier_t held[VERIFIERS];
    size_t unknown_len;
    char unknown[AML_REGISTRY_KEY_MAX];
};

/* What the source needs to know of the token that is verified. */
typedef struct {
    aml_key_source_t *source;
    aml_registry_txn_t *txn;
    int64_t now;
    held_verifier_t *held; /* that verified it */
} lookup_t;


aml_key_source_t *
aml_key_source_new(void)
{
    return calloc(1, sizeof(aml_key_source_t));
}


static void
drop_verifiers(aml_key_source_t *s)
{
    size_t i;

    for (i = 0; i < VERIFIERS; i++) {
        aml_verifier_free(s->held[i].verifier);
        s->held[i].verifier = NULL;
    }
}


void
aml_key_source_free(aml_key_source_t *s)
{
    if (s != NULL) {
        drop_verifiers(s);
        free(s);
    }
}


static aml_reason_t
source_issuer(void *data, aml_str_t iss, aml_issuer_t *issuer)
{
    lookup_t *l = data;
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;

    switch (aml_look_up(l->txn, key, aml_key_issuer(key, iss), &value)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
        return AML_REASON_TOKEN_ISSUER;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    return aml_issuer_decode(value, issuer) == AML_RECORD_OK
               ? AML_REASON_OK
               : AML_REASON_REGISTRY_UNAVAILABLE;
}


typedef struct {
    char *key;
    size_t n;
    int count;
} only_key_t;


static int
take_only_key(void *data, aml_str_t key, aml_str_t value)
{
    only_key_t *only = data;

    (void) value;

    if (++only->count > 1 || key.n > AML_REGISTRY_KEY_MAX) {
        only->count = 2;
        return 1;
    }
    memcpy(only->key, key.p, key.n);
    only->n = key.n;

    return 0;
}


aml_found_t
aml_key_find(aml_registry_txn_t *txn, aml_str_t iss, aml_str_t kid, char *key,
             size_t *n)
{
    char prefix[AML_REGISTRY_KEY_MAX + 1];
    only_key_t only = {key, 0, 0};
    aml_registry_rc_t rc;
    size_t len;

    if (kid.n != 0) {
        *n = aml_key_key(key, iss, kid);
        return *n != 0 ? AML_FOUND : AML_ABSENT;
    }

    len = aml_key_key(prefix, iss, aml_str(""));
    if (len == 0) {
        return AML_ABSENT;
    }

    rc = aml_registry_each(txn, (aml_str_t){prefix, len}, aml_str(""),
                           take_only_key, &only);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return AML_BROKEN;
    }
    *n = only.n;

    return only.count == 1 ? AML_FOUND : AML_ABSENT;
}


/* The place where `key` is held, else a free one, else the one that was not
 * used for longest. */
static held_verifier_t *
place_for(aml_key_source_t *s, const char *key, size_t n)
{
    held_verifier_t *h, *place = &s->held[0];
    size_t i;

    for (i = 0; i < VERIFIERS; i++) {
        h = &s->held[i];
        if (h->verifier == NULL) {
            if (place->verifier != NULL) {
                place = h;
            }
            continue;
        }
        if (h->key_len == n && memcmp(h->key, key, n) == 0) {
            return h;
        }
        if (place->verifier != NULL && h->used < place->used) {
            place = h;
        }
    }

    return place;
}


static aml_reason_t
hold(lookup_t *l, held_verifier_t *h, const char *key, size_t n)
{
    aml_verifier_t *verifier;
    aml_public_key_t record;
    aml_str_t value;

    switch (aml_look_up(l->txn, key, n, &value)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
        return AML_REASON_TOKEN_KEY;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (aml_public_key_decode(value, &record) != AML_RECORD_OK) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    switch (aml_verifier_new(&record, &verifier)) {
    case AML_KEY_OK:
        break;
    case AML_KEY_FAILED:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    default:
        return AML_REASON_TOKEN_KEY;
    }

    aml_verifier_free(h->verifier);
    h->verifier = verifier;
    h->expires = record.expires;
    h->key_len = n;
    memcpy(h->key, key, n);

    return AML_REASON_OK;
}


static void
suspect(aml_key_source_t *s, aml_str_t iss)
{
    if (iss.n <= sizeof(s->unknown)) {
        memcpy(s->unknown, iss.p, iss.n);
        s->unknown_len = iss.n;
    }
}


/* A key that is not there, of an issuer that is. */
static aml_reason_t
missing(aml_key_source_t *s, aml_str_t iss)
{
    suspect(s, iss);

    return AML_REASON_TOKEN_KEY;
}


aml_str_t
aml_key_source_unknown(const aml_key_source_t *s)
{
    return (aml_str_t){s->unknown, s->unknown_len};
}


static aml_reason_t
source_key(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **verifier)
{
    lookup_t *l = data;
    aml_key_source_t *s = l->source;
    char key[AML_REGISTRY_KEY_MAX + 1];
    held_verifier_t *h;
    aml_reason_t rc;
    size_t n;

    switch (aml_key_find(l->txn, iss, kid, key, &n)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
        return kid.n == 0 ? missing(s, iss) : AML_REASON_TOKEN_KEY;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (kid.n == 0) {
        suspect(s, iss);
    }

    h = place_for(s, key, n);
    if (h->verifier == NULL || h->key_len != n || memcmp(h->key, key, n) != 0) {
        rc = hold(l, h, key, n);
        if (rc != AML_REASON_OK) {
            return rc == AML_REASON_TOKEN_KEY ? missing(s, iss) : rc;
        }
    }

    if (h->expires != 0 && l->now >= h->expires) {
        return missing(s, iss);
    }

    h->used = ++s->clock;
    l->held = h;
    *verifier = h->verifier;

    return AML_REASON_OK;
}


aml_reason_t
aml_key_holds(aml_registry_txn_t *txn, aml_str_t key)
{
    char issuer[AML_REGISTRY_KEY_MAX + 1];
    const size_t prefix = sizeof("key/") - 1;
    aml_found_t found;
    aml_str_t value;
    size_t n;

    found = aml_look_up(txn, key.p, key.n, &value);

    if (found == AML_FOUND) {
        /* "key/<issuer>/<kid>", and "issuer/<issuer>": escaped alike */
        for (n = prefix; n < key.n && key.p[n] != '/'; n++) {
            /* void */
        }

        memcpy(issuer, "issuer/", 7);
        n -= prefix;
        n = n > sizeof(issuer) - 7 ? 0 : n;
        memcpy(issuer + 7, key.p + prefix, n);

        found = aml_look_up(txn, issuer, n == 0 ? 0 : n + 7, &value);
        if (found == AML_ABSENT) {
            return AML_REASON_TOKEN_ISSUER;
        }
    }

    return found == AML_FOUND    ? AML_REASON_OK
           : found == AML_ABSENT ? AML_REASON_TOKEN_KEY
                                 : AML_REASON_REGISTRY_UNAVAILABLE;
}


aml_reason_t
aml_key_source_verify(aml_key_source_t *s, aml_registry_txn_t *txn,
                      aml_str_t token, int64_t now,
                      aml_jwt_identity_t *identity)
{
    lookup_t l = {s, txn, now, NULL};
    aml_jwt_source_t source = {&l, source_issuer, source_key, &s->header};
    uint64_t generation = aml_registry_key_generation(txn);
    aml_reason_t rc;

    s->unknown_len = 0;

    if (s->generation != generation) {
        drop_verifiers(s);
        s->generation = generation;
    }

    rc = aml_jwt_verify(token, now, &source, identity);

    if (rc != AML_REASON_TOKEN_KEY && rc != AML_REASON_TOKEN_SIGNATURE &&
        rc != AML_REASON_TOKEN_ALGORITHM) {
        s->unknown_len = 0;
    }

    if (rc != AML_REASON_OK) {
        return rc;
    }

    /* A token is no better than its key. */
    if (l.held->expires != 0 && l.held->expires < identity->expires) {
        identity->expires = l.held->expires;
    }

    identity->key_len = l.held->key_len;
    memcpy(identity->key, l.held->key, l.held->key_len);

    return AML_REASON_OK;
}
