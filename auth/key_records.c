/*
 * Issuers and keys of the configuration, as records that workers read.
 */

#include "auth/key_records.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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

void
amld_keys_issuer(const amld_issuer_config_t *issuer, size_t n,
                 aml_issuer_t *record)
{
    size_t i;

    memset(record, 0, sizeof(*record));
    record->algs = issuer->algs;
    record->leeway = issuer->leeway;
    record->identity = issuer->kind->identity;
    record->flags = issuer->kind->flags;
    record->space = aml_str_of(issuer->iss[n].space);
    record->identity_claim = aml_str_of(issuer->identity_claim);
    record->name_claim = aml_str_of(issuer->iss[n].name_claim);
    record->groups_claim = aml_str_of(issuer->groups_claim);
    record->roles_claim = aml_str_of(issuer->roles_claim);
    record->audience_count = (uint16_t) issuer->audience_count;
    for (i = 0; i < issuer->audience_count; i++) {
        record->audiences[i] = aml_str_of(issuer->audiences[i]);
    }
}


aml_registry_rc_t
amld_keys_publish_issuer(aml_registry_txn_t *txn,
                         const amld_issuer_config_t *issuer, int *changed)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[4096];
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    aml_issuer_t record;
    size_t i, n;

    for (n = 0; n < issuer->iss_count && rc == AML_REGISTRY_OK; n++) {
        amld_keys_issuer(issuer, n, &record);
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


/*
 * Entra's key sets are of many tenants; a key may name the issuer that it is
 * for, "{tenantid}" standing for any: it has to be this tenant's.
 */
static int
key_is_for(const aml_jwk_t *jwk, const amld_issuer_config_t *issuer,
           const char *space)
{
    static const char any[] = AMLD_ENTRA_ANY;
    const char *at, *rest;
    char *iss;
    size_t i;
    int is = 0;

    if (issuer->kind->identity != AML_IDENTITY_ENTRA || jwk->issuer.n == 0) {
        return 1;
    }

    at = memmem(jwk->issuer.p, jwk->issuer.n, any, sizeof(any) - 1);
    if (at == NULL) {
        iss = strndup(jwk->issuer.p, jwk->issuer.n);
    } else {
        rest = at + sizeof(any) - 1;
        if (asprintf(&iss, "%.*s%s%.*s", (int) (at - jwk->issuer.p),
                     jwk->issuer.p, space,
                     (int) (jwk->issuer.p + jwk->issuer.n - rest), rest) < 0) {
            iss = NULL;
        }
    }

    for (i = 0; i < issuer->iss_count && iss != NULL && !is; i++) {
        is = strcmp(issuer->iss[i].iss, iss) == 0 &&
             strcmp(issuer->iss[i].space, space) == 0;
    }
    free(iss);

    return is;
}


static int
set_has(const aml_jwks_t *set, const amld_issuer_config_t *issuer, size_t of,
        const char *name)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t i, n;

    for (i = 0; i < set->key_count; i++) {
        n = aml_key_key(key, aml_str_of(issuer->iss[of].iss), set->keys[i].kid);
        if (n != 0 && strcmp(key, name) == 0 &&
            key_is_for(&set->keys[i], issuer, issuer->iss[of].space)) {
            return 1;
        }
    }

    return 0;
}


static aml_registry_rc_t
keys_of(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer, size_t of,
        const aml_jwks_t *set, int64_t expires, int *changed)
{
    aml_str_t iss = aml_str_of(issuer->iss[of].iss);
    char key[AML_REGISTRY_KEY_MAX + 1], *buf;
    aml_registry_rc_t rc;
    aml_public_key_t record;
    key_list_t old;
    size_t i, n;

    n = aml_key_key(key, iss, aml_str(""));
    rc = key_list_read(txn, key, n, &old);

    /* what the set no longer has is withdrawn at once */
    for (i = 0; i < old.n && rc == AML_REGISTRY_OK; i++) {
        if (!set_has(set, issuer, of, old.key[i])) {
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
        n = aml_key_key(key, iss, set->keys[i].kid);
        if (n == 0 ||
            !key_is_for(&set->keys[i], issuer, issuer->iss[of].space)) {
            continue; /* a kid that no token can name */
        }

        record = set->keys[i].key;
        record.expires = expires;
        rc = put(txn, key, n, buf,
                 aml_public_key_encode(&record, buf, AML_RECORD_MAX), changed);
    }
    free(buf);

    return rc;
}


aml_registry_rc_t
amld_keys_publish(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
                  const aml_jwks_t *set, int64_t expires, int *changed)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t i;

    for (i = 0; i < issuer->iss_count && rc == AML_REGISTRY_OK; i++) {
        rc = keys_of(txn, issuer, i, set, expires, changed);
    }

    return rc;
}


typedef struct {
    size_t count;
    int64_t expires;
} until_t;


static int
until_each(void *data, aml_str_t key, aml_str_t value)
{
    until_t *u = data;
    aml_public_key_t record;

    (void) key;

    if (aml_public_key_decode(value, &record) == AML_RECORD_OK) {
        u->count++;
        if (record.expires != 0 &&
            (u->expires == 0 || record.expires < u->expires)) {
            u->expires = record.expires;
        }
    }

    return 0;
}


aml_registry_rc_t
amld_keys_until(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
                size_t *count, int64_t *expires)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    until_t u = {0, 0};
    size_t n;

    n = aml_key_key(key, aml_str_of(issuer->iss[0].iss), aml_str(""));
    rc = aml_registry_each(txn, (aml_str_t){key, n}, (aml_str_t){NULL, 0},
                           until_each, &u);
    *count = u.count;
    *expires = u.expires;

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* ---- where keys came from ---- */

static size_t
keyset_key(char *key, const char *iss)
{
    size_t n = aml_key_issuer(key, aml_str_of(iss));

    if (n != 0) {
        memcpy(key, "keyset/", 7); /* as long as "issuer/" */
    }

    return n;
}


static const char *
keyset_source(const amld_issuer_config_t *issuer)
{
    return issuer->keys != NULL ? issuer->keys : issuer->discovery;
}


aml_registry_rc_t
amld_keys_note(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
               size_t n, const char *jwks_uri, int64_t now, int64_t expires)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    int changed = 0;
    json_t *json;
    size_t i, len;

    json = json_pack("{s:s, s:s, s:s*, s:I, s:I, s:I}", "section", issuer->name,
                     "source", keyset_source(issuer), "keySet", jwks_uri,
                     "keys", (json_int_t) n, "fetched", (json_int_t) now,
                     "expires", (json_int_t) expires);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    for (i = 0; i < issuer->iss_count && rc == AML_REGISTRY_OK; i++) {
        len = keyset_key(key, issuer->iss[i].iss);
        rc = put(txn, key, len, text, strlen(text), &changed);
    }
    free(text);

    return rc;
}


/* What is there came from where the configuration says. */
static int
keyset_is_from(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
               const char *iss)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    const char *source = NULL;
    aml_str_t value;
    json_t *json;
    int is;

    if (aml_registry_get(txn, key, keyset_key(key, iss), &value) !=
        AML_REGISTRY_OK) {
        return 0;
    }

    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    is = json_unpack(json, "{s:s}", "source", &source) == 0 &&
         strcmp(source, keyset_source(issuer)) == 0;
    json_decref(json);

    return is;
}


/* Whoever spoke for an issuer before does so no longer, at once. */
static aml_registry_rc_t
keyset_moved(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
             int *changed)
{
    static const aml_jwks_t none;
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    int written = 0;
    size_t i, n;

    for (i = 0; i < issuer->iss_count && rc == AML_REGISTRY_OK; i++) {
        if (keyset_is_from(txn, issuer, issuer->iss[i].iss)) {
            continue;
        }

        rc = keys_of(txn, issuer, i, &none, 0, changed);
        if (rc == AML_REGISTRY_OK) {
            n = keyset_key(key, issuer->iss[i].iss);
            rc = del(txn, key, n, &written);
            *changed += written;
        }
    }

    return rc;
}


/* ---- what the configuration no longer has ---- */

typedef struct {
    const amld_config_t *config;
    key_list_t gone;
} withdraw_t;


static int
is_of(const char *iss, aml_str_t key)
{
    char name[AML_REGISTRY_KEY_MAX + 1];
    size_t n;

    if (memcmp(key.p, "key/", 4) == 0) {
        n = aml_key_key(name, aml_str_of(iss), aml_str(""));
        return n != 0 && key.n >= n && memcmp(key.p, name, n) == 0;
    }

    n = aml_key_issuer(name, aml_str_of(iss));

    return n != 0 && key.n == n && memcmp(key.p + 7, name + 7, n - 7) == 0;
}


/* Is issuer/<iss>, keyset/<iss> or key/<iss>/<kid> of the configuration, or
 * our own? */
static int
is_configured(const amld_config_t *config, aml_str_t key)
{
    size_t i, j;

    for (i = 0; i < config->issuer_count; i++) {
        for (j = 0; j < config->issuers[i].iss_count; j++) {
            if (is_of(config->issuers[i].iss[j].iss, key)) {
                return 1;
            }
        }
    }

    return is_of(config->studio, key);
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
    static const char *const families[] = {"issuer/", "key/", "keyset/"};
    withdraw_t w = {.config = config};
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t i, f;

    w.gone.key = malloc(KEYS_MAX * sizeof(*w.gone.key));
    if (w.gone.key == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    for (f = 0; f < 3 && rc == AML_REGISTRY_OK; f++) {
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

    for (i = 0; i < config->issuer_count && rc == AML_REGISTRY_OK; i++) {
        rc = keyset_moved(txn, &config->issuers[i], changed);
    }

    return rc;
}
