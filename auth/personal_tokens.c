/*
 * Personal access tokens in the registry.
 */

#include "auth/personal_tokens.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/principals.h"
#include "auth/sessions.h"

#define INDEX "token-of/"
#define RECORDS "token/"
#define SEEN "token-seen/"


typedef struct {
    char text[AML_REGISTRY_KEY_MAX + 1];
    size_t n;
} token_key_t;

static token_key_t
key_of_index(const aml_principal_id_t *principal, const aml_principal_id_t *id)
{
    char whose[AML_UUID_TEXT + 1], which[AML_UUID_TEXT + 1] = "";
    token_key_t k;

    aml_uuid_format(principal, whose);
    if (id != NULL) {
        aml_uuid_format(id, which);
    }
    k.n =
        (size_t) snprintf(k.text, sizeof(k.text), INDEX "%s/%s", whose, which);

    return k;
}


static token_key_t
key_of_seen(const uint8_t hash[32])
{
    char hex[AMLD_HASH_HEX_SIZE];
    token_key_t k;

    amld_hash_format(hash, hex);
    k.n = (size_t) snprintf(k.text, sizeof(k.text), SEEN "%s", hex);

    return k;
}


static aml_registry_rc_t
gone(aml_registry_rc_t rc)
{
    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* ---- reading ---- */

/* The hash that an entry of the index names; 0, or -1. */
static int
index_hash(aml_str_t value, uint8_t hash[32])
{
    json_t *json;
    int rc;

    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    rc =
        amld_hash_parse(json_string_value(json_object_get(json, "hash")), hash);
    json_decref(json);

    return rc;
}


typedef struct {
    aml_registry_txn_t *txn;
    amld_personal_token_each_pt each;
    void *data;
} token_walk_t;


static int
walk_each(void *data, aml_str_t key, aml_str_t value)
{
    char record[AML_REGISTRY_KEY_MAX + 1];
    const token_walk_t *walk = data;
    aml_personal_token_t t;
    uint8_t hash[32];

    (void) key;

    if (index_hash(value, hash) != 0 ||
        aml_registry_get(walk->txn, record, aml_key_token(record, hash),
                         &value) != AML_REGISTRY_OK ||
        aml_personal_token_decode(value, &t) != AML_RECORD_OK) {
        return 0;
    }

    return walk->each(walk->data, &t, hash);
}


aml_registry_rc_t
amld_personal_tokens_each(aml_registry_txn_t *txn,
                          const aml_principal_id_t *principal,
                          amld_personal_token_each_pt each, void *data)
{
    token_walk_t walk = {txn, each, data};
    aml_str_t prefix = aml_str(INDEX);
    token_key_t k;

    if (principal != NULL) {
        k = key_of_index(principal, NULL);
        prefix = (aml_str_t){k.text, k.n};
    }

    return gone(
        aml_registry_each(txn, prefix, (aml_str_t){NULL, 0}, walk_each, &walk));
}


int64_t
amld_personal_token_seen(aml_registry_txn_t *txn, const uint8_t hash[32])
{
    token_key_t k = key_of_seen(hash);
    int64_t seen = 0;
    aml_str_t value;
    json_t *json;

    if (aml_registry_get(txn, k.text, k.n, &value) == AML_REGISTRY_OK) {
        json = json_loadb(value.p, value.n, 0, NULL);
        seen = json_integer_value(json_object_get(json, "seen"));
        json_decref(json);
    }

    return seen;
}


/* ---- making ---- */

typedef struct {
    int64_t now;
    size_t n;
} token_count_t;

static int
count_each(void *data, const aml_personal_token_t *t, const uint8_t hash[32])
{
    token_count_t *count = data;

    (void) hash;
    count->n += t->expires > count->now;

    return 0;
}


/* The text of a new token, and its hash; 0, or -1 without entropy. */
static int
token_text(char text[AMLD_TOKEN_SIZE], uint8_t hash[32])
{
    char secret[AMLD_SECRET_SIZE];

    if (amld_secret_new(secret, hash) != 0) {
        return -1;
    }

    (void) snprintf(text, AMLD_TOKEN_SIZE, AML_TOKEN_PREFIX "%s", secret);
    OPENSSL_cleanse(secret, sizeof(secret));

    return SHA256((const unsigned char *) text, AML_TOKEN_CHARS, hash) != NULL
               ? 0
               : -1;
}


static aml_registry_rc_t
token_index(aml_registry_txn_t *txn, const aml_personal_token_t *t,
            const uint8_t hash[32])
{
    token_key_t k = key_of_index(&t->principal, &t->id);
    char hex[AMLD_HASH_HEX_SIZE], *text;
    aml_registry_rc_t rc;
    json_t *json;

    amld_hash_format(hash, hex);
    json = json_pack("{s:s, s:s%, s:I, s:I}", "hash", hex, "label", t->label.p,
                     t->label.n, "created", (json_int_t) t->created, "expires",
                     (json_int_t) t->expires);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, k.text, k.n, text, strlen(text));
    free(text);

    return rc;
}


aml_registry_rc_t
amld_personal_token_create(aml_registry_txn_t *txn, aml_personal_token_t *t,
                           char text[AMLD_TOKEN_SIZE])
{
    char key[AML_REGISTRY_KEY_MAX + 1], *buf;
    token_count_t count = {.now = t->created};
    aml_registry_rc_t rc;
    uint8_t hash[32];
    size_t n;

    rc = amld_principal_issued(txn, &t->principal, t->created, &t->created);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_personal_tokens_each(txn, &t->principal, count_each, &count);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if (count.n >= AMLD_TOKENS_MOST) {
        return AML_REGISTRY_LIMIT;
    }

    if (aml_uuid_random(&t->id) != 0 || token_text(text, hash) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    buf = malloc(AML_RECORD_MAX);
    if (buf == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    n = aml_personal_token_encode(t, buf, AML_RECORD_MAX);
    rc = n == 0 ? AML_REGISTRY_TOOLONG
                : aml_registry_put(txn, key, aml_key_token(key, hash), buf, n);
    free(buf);

    return rc != AML_REGISTRY_OK ? rc : token_index(txn, t, hash);
}


/* ---- revoking ---- */

/* The record first: without it the token is good for nothing. */
static aml_registry_rc_t
token_delete(aml_registry_txn_t *txn, const uint8_t hash[32],
             const token_key_t *index)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    token_key_t seen = key_of_seen(hash);
    aml_registry_rc_t rc;

    rc = gone(aml_registry_del(txn, key, aml_key_token(key, hash)));
    if (rc == AML_REGISTRY_OK) {
        rc = gone(aml_registry_del(txn, index->text, index->n));
    }
    if (rc == AML_REGISTRY_OK) {
        rc = gone(aml_registry_del(txn, seen.text, seen.n));
    }

    return rc;
}


aml_registry_rc_t
amld_personal_token_revoke(aml_registry_txn_t *txn,
                           const aml_principal_id_t *principal,
                           const aml_principal_id_t *id)
{
    token_key_t k = key_of_index(principal, id);
    aml_registry_rc_t rc;
    aml_str_t value;
    uint8_t hash[32];

    rc = aml_registry_get(txn, k.text, k.n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return index_hash(value, hash) == 0 ? token_delete(txn, hash, &k)
                                        : AML_REGISTRY_CORRUPT;
}


/* Tokens, collected before anything is deleted. */
typedef struct {
    struct {
        uint8_t hash[32];
        token_key_t index;
    } * list;
    size_t n, size;
    int failed;
    int64_t now; /* sweep */
    size_t looked_at, most;
    char *from;
} token_list_t;


static int
list_add(token_list_t *list, const uint8_t hash[32], const token_key_t *index)
{
    size_t size;
    void *grown;

    if (list->n == list->size) {
        size = list->size == 0 ? 16 : list->size * 2;
        grown = realloc(list->list, size * sizeof(*list->list));
        if (grown == NULL) {
            list->failed = 1;
            return 1;
        }
        list->list = grown;
        list->size = size;
    }

    memcpy(list->list[list->n].hash, hash, 32);
    list->list[list->n++].index = *index;

    return 0;
}


static aml_registry_rc_t
list_delete(aml_registry_txn_t *txn, token_list_t *list, aml_registry_rc_t rc)
{
    size_t i;

    if (rc == AML_REGISTRY_OK && list->failed) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    for (i = 0; i < list->n && rc == AML_REGISTRY_OK; i++) {
        rc = token_delete(txn, list->list[i].hash, &list->list[i].index);
    }
    free(list->list);

    return rc;
}


/* Of the index, also where the record is gone or can't be read. */
static int
end_each(void *data, aml_str_t key, aml_str_t value)
{
    token_list_t *list = data;
    uint8_t hash[32] = {0};
    token_key_t k;

    memcpy(k.text, key.p, key.n);
    k.text[key.n] = '\0';
    k.n = key.n;
    (void) index_hash(value, hash);

    return list_add(list, hash, &k);
}


aml_registry_rc_t
amld_personal_tokens_end_of(aml_registry_txn_t *txn,
                            const aml_principal_id_t *principal,
                            size_t *revoked)
{
    token_key_t k = key_of_index(principal, NULL);
    token_list_t list = {0};
    aml_registry_rc_t rc;
    size_t n;

    rc = gone(aml_registry_each(txn, (aml_str_t){k.text, k.n},
                                (aml_str_t){NULL, 0}, end_each, &list));
    n = list.n;
    rc = list_delete(txn, &list, rc);

    if (revoked != NULL) {
        *revoked = n;
    }

    return rc;
}


/* ---- the sweep ---- */

static int
sweep_each(void *data, aml_str_t key, aml_str_t value)
{
    token_list_t *list = data;
    char hex[AMLD_HASH_HEX_SIZE];
    aml_personal_token_t t;
    uint8_t hash[32];
    token_key_t k;

    if (list->looked_at++ == list->most) {
        memcpy(list->from, key.p, key.n);
        list->from[key.n] = '\0';
        return 1;
    }

    if (key.n != sizeof(RECORDS) - 1 + sizeof(hex) - 1 ||
        aml_personal_token_decode(value, &t) != AML_RECORD_OK ||
        t.expires > list->now) {
        return 0;
    }

    memcpy(hex, key.p + sizeof(RECORDS) - 1, sizeof(hex) - 1);
    hex[sizeof(hex) - 1] = '\0';
    k = key_of_index(&t.principal, &t.id);

    return amld_hash_parse(hex, hash) == 0 ? list_add(list, hash, &k) : 0;
}


aml_registry_rc_t
amld_personal_tokens_sweep(aml_registry_t *registry, int64_t now, size_t most,
                           char *from, size_t *removed)
{
    char start[AML_REGISTRY_KEY_MAX + 1];
    token_list_t list = {.now = now, .most = most, .from = from};
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    *removed = 0;
    strcpy(start, from);
    from[0] = '\0';

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    rc = gone(aml_registry_each(txn, aml_str(RECORDS), aml_str_of(start),
                                sweep_each, &list));
    aml_registry_end(txn);

    if (rc != AML_REGISTRY_OK || list.n == 0) {
        free(list.list);
        return rc;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        free(list.list);
        return rc;
    }

    *removed = list.n;
    rc = list_delete(txn, &list, rc);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}
