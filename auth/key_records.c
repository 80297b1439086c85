/*
 * Issuers and keys of the configuration, as records that workers read.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth/key_keeper.h"
#include "registry/records.h"

#define KEYS_MAX 256 /* of one issuer: of its set, and of sets before it */


/* Puts unless it is there already. */
static aml_registry_rc_t
put(aml_registry_txn_t *txn, const char *key, size_t klen, const void *value,
    size_t vlen, int *changed)
{
    aml_registry_rc_t rc;
    aml_str_t old;

    if (klen == 0 || vlen == 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = aml_registry_get(txn, key, klen, &old);
    if (rc == AML_REGISTRY_OK && aml_str_eq(old, (aml_str_t){value, vlen})) {
        return AML_REGISTRY_OK;
    }

    (*changed)++;

    return aml_registry_put(txn, key, klen, value, vlen);
}


static aml_registry_rc_t
del(aml_registry_txn_t *txn, const char *key, size_t klen, int *changed)
{
    aml_registry_rc_t rc;

    rc = aml_registry_del(txn, key, klen);
    *changed += rc == AML_REGISTRY_OK;

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* ---- issuers ---- */

aml_registry_rc_t
amld_keys_publish_issuer(aml_registry_txn_t *txn,
                         const amld_issuer_config_t *issuer, int *changed)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[4096];
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    aml_issuer_t record;
    size_t i, n;

    for (n = 0; n < issuer->iss_count && rc == AML_REGISTRY_OK; n++) {
        memset(&record, 0, sizeof(record));
        record.algs = issuer->algs;
        record.leeway = issuer->leeway;
        record.identity = issuer->kind->identity;
        record.flags = issuer->kind->flags;
        record.space = aml_str_of(issuer->iss[n].space);
        record.identity_claim = aml_str_of(issuer->identity_claim);
        record.name_claim = aml_str_of(issuer->iss[n].name_claim);
        record.groups_claim = aml_str_of(issuer->groups_claim);
        record.roles_claim = aml_str_of(issuer->roles_claim);
        record.audience_count = (uint16_t) issuer->audience_count;
        for (i = 0; i < issuer->audience_count; i++) {
            record.audiences[i] = aml_str_of(issuer->audiences[i]);
        }

        i = aml_key_issuer(key, aml_str_of(issuer->iss[n].iss));

        /* no audience: it is for sign-in, and its tokens are not taken */
        rc = issuer->audience_count == 0
                 ? del(txn, key, i, changed)
                 : put(txn, key, i, buf,
                       aml_issuer_encode(&record, buf, sizeof(buf)), changed);
    }

    return rc;
}


/* ---- keys ---- */

typedef struct {
    char (*key)[AML_REGISTRY_KEY_MAX + 1];
    size_t n;
} key_list_t;


static int
key_list_add(void *data, aml_str_t key, aml_str_t value)
{
    key_list_t *list = data;

    (void) value;

    if (list->n == KEYS_MAX) {
        return 1;
    }
    memcpy(list->key[list->n], key.p, key.n);
    list->key[list->n++][key.n] = '\0';

    return 0;
}


static aml_registry_rc_t
key_list_read(aml_registry_txn_t *txn, const char *prefix, size_t n,
              key_list_t *list)
{
    aml_registry_rc_t rc;

    list->n = 0;
    list->key = malloc(KEYS_MAX * sizeof(*list->key));
    if (list->key == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_each(txn, (aml_str_t){prefix, n}, (aml_str_t){NULL, 0},
                           key_list_add, list);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* The end that a key has: workers hold keys, and must be told of a new end by
 * a new generation, so that it changes seldom. */
static int64_t
key_end(aml_registry_txn_t *txn, const char *key, size_t n, int64_t expires,
        int64_t at_least)
{
    aml_public_key_t old;
    aml_str_t value;

    if (aml_registry_get(txn, key, n, &value) == AML_REGISTRY_OK &&
        aml_public_key_decode(value, &old) == AML_RECORD_OK &&
        (old.expires == expires ||
         (expires != 0 && old.expires != 0 && old.expires > at_least &&
          old.expires <= expires))) {
        return old.expires;
    }

    return expires;
}


/* Entra's key sets are of many tenants; a key may name the issuer that it is
 * for, "{tenantid}" standing for any. */
static int
key_is_for(const aml_jwk_t *jwk, const char *space)
{
    static const char any[] = "{tenantid}";

    return jwk->issuer.n == 0 ||
           memmem(jwk->issuer.p, jwk->issuer.n, any, sizeof(any) - 1) != NULL ||
           memmem(jwk->issuer.p, jwk->issuer.n, space, strlen(space)) != NULL;
}


static int
set_has(const aml_jwks_t *set, const char *iss, const char *space,
        const char *name)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t i, n;

    for (i = 0; i < set->key_count; i++) {
        n = aml_key_key(key, aml_str_of(iss), set->keys[i].kid);
        if (n != 0 && strcmp(key, name) == 0 &&
            key_is_for(&set->keys[i], space)) {
            return 1;
        }
    }

    return 0;
}


static aml_registry_rc_t
keys_of(aml_registry_txn_t *txn, const char *iss, const char *space,
        const aml_jwks_t *set, int64_t expires, int64_t at_least, int *changed)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *buf;
    aml_registry_rc_t rc;
    aml_public_key_t record;
    key_list_t old;
    size_t i, n;

    n = aml_key_key(key, aml_str_of(iss), aml_str(""));
    rc = key_list_read(txn, key, n, &old);

    /* what the set no longer has is withdrawn at once */
    for (i = 0; i < old.n && rc == AML_REGISTRY_OK; i++) {
        if (!set_has(set, iss, space, old.key[i])) {
            rc = del(txn, old.key[i], strlen(old.key[i]), changed);
        }
    }
    free(old.key);

    buf = malloc(AML_RECORD_MAX);
    if (buf == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    for (i = 0; i < set->key_count && rc == AML_REGISTRY_OK; i++) {
        n = aml_key_key(key, aml_str_of(iss), set->keys[i].kid);
        if (n == 0 || !key_is_for(&set->keys[i], space)) {
            continue; /* a kid that no token can name */
        }

        record = set->keys[i].key;
        record.expires = key_end(txn, key, n, expires, at_least);
        rc = put(txn, key, n, buf,
                 aml_public_key_encode(&record, buf, AML_RECORD_MAX), changed);
    }
    free(buf);

    return rc;
}


aml_registry_rc_t
amld_keys_publish(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
                  const aml_jwks_t *set, int64_t expires, int64_t at_least,
                  int *changed)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t i;

    for (i = 0; i < issuer->iss_count && rc == AML_REGISTRY_OK; i++) {
        rc = keys_of(txn, issuer->iss[i].iss, issuer->iss[i].space, set,
                     expires, at_least, changed);
    }

    return rc;
}


/* ---- what the configuration no longer has ---- */

typedef struct {
    const amld_config_t *config;
    key_list_t gone;
} withdraw_t;


/* Is "issuer/<iss>" or "key/<iss>/<kid>" of the configuration, or our own? */
static int
is_configured(const amld_config_t *config, aml_str_t key)
{
    char name[AML_REGISTRY_KEY_MAX + 1];
    const char *iss;
    size_t i, j, n;
    int is_key = memcmp(key.p, "key/", 4) == 0;

    for (i = 0; i <= config->issuer_count; i++) {
        for (j = 0;
             i == config->issuer_count ? j == 0
                                       : j < config->issuers[i].iss_count;
             j++) {
            iss = i == config->issuer_count ? config->studio
                                            : config->issuers[i].iss[j].iss;
            n = is_key ? aml_key_key(name, aml_str_of(iss), aml_str(""))
                       : aml_key_issuer(name, aml_str_of(iss));

            if (n != 0 && (is_key ? key.n >= n : key.n == n) &&
                memcmp(key.p, name, n) == 0) {
                return 1;
            }
        }
    }

    return 0;
}


static int
withdraw_each(void *data, aml_str_t key, aml_str_t value)
{
    withdraw_t *w = data;

    return is_configured(w->config, key) ? 0
                                         : key_list_add(&w->gone, key, value);
}


aml_registry_rc_t
amld_keys_withdraw(aml_registry_txn_t *txn, const amld_config_t *config,
                   int *changed)
{
    static const char *const families[] = {"issuer/", "key/"};
    withdraw_t w = {.config = config};
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t i, f;

    w.gone.key = malloc(KEYS_MAX * sizeof(*w.gone.key));
    if (w.gone.key == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    for (f = 0; f < 2 && rc == AML_REGISTRY_OK; f++) {
        do {
            w.gone.n = 0;
            rc = aml_registry_each(txn, aml_str_of(families[f]),
                                   (aml_str_t){NULL, 0}, withdraw_each, &w);
            rc = rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;

            for (i = 0; i < w.gone.n && rc == AML_REGISTRY_OK; i++) {
                rc = del(txn, w.gone.key[i], strlen(w.gone.key[i]), changed);
            }
        } while (rc == AML_REGISTRY_OK && w.gone.n == KEYS_MAX);
    }

    free(w.gone.key);

    return rc;
}
