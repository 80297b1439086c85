/*
 * Sessions and single-use codes in the registry.
 */

#include "auth/sessions.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64url.h"
#include "auth/hex.h"
#include "auth/principals.h"

#define SWEEP_BATCH 512 /* deletions a transaction: others write too */


/* ---- secrets ---- */

int
amld_secret_new(char secret[AMLD_SECRET_SIZE], uint8_t hash[32])
{
    uint8_t bytes[32];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return -1;
    }

    secret[aml_base64url_encode(secret, bytes, sizeof(bytes))] = '\0';
    OPENSSL_cleanse(bytes, sizeof(bytes));

    return amld_secret_hash(secret, hash);
}


int
amld_secret_hash(const char *secret, uint8_t hash[32])
{
    uint8_t bytes[aml_base64url_room(AMLD_SECRET_CHARS)];
    size_t n;

    if (secret == NULL || strlen(secret) != AMLD_SECRET_CHARS ||
        aml_base64url_decode(bytes, &n, secret, AMLD_SECRET_CHARS) != 0) {
        return -1;
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));

    return SHA256((const unsigned char *) secret, AMLD_SECRET_CHARS, hash) !=
                   NULL
               ? 0
               : -1;
}


void
amld_hash_format(const uint8_t hash[32], char hex[AMLD_HASH_HEX_SIZE])
{
    aml_hex_encode(hex, hash, 32);
    hex[AMLD_HASH_HEX_SIZE - 1] = '\0';
}


/* As it was formatted, and no other way. */
int
amld_hash_parse(const char *hex, uint8_t hash[32])
{
    return hex != NULL && strspn(hex, "0123456789abcdef") == 64 &&
                   hex[64] == '\0'
               ? aml_hex_decode(hash, hex, 32)
               : -1;
}


/* ---- keys, collected before they are deleted ---- */

typedef struct {
    char (*key)[AML_REGISTRY_KEY_MAX + 1];
    size_t n, size;
    size_t most; /* 0: no limit */
    int failed;
    int64_t now; /* sweep */
} session_keys_t;


static int
session_keys_add(session_keys_t *keys, aml_str_t key)
{
    size_t size;
    void *grown;

    if (keys->n == keys->size) {
        size = keys->size == 0 ? 16 : keys->size * 2;
        grown = realloc(keys->key, size * sizeof(*keys->key));
        if (grown == NULL) {
            keys->failed = 1;
            return 1;
        }
        keys->key = grown;
        keys->size = size;
    }

    memcpy(keys->key[keys->n], key.p, key.n);
    keys->key[keys->n][key.n] = '\0';
    keys->n++;

    return keys->most != 0 && keys->n == keys->most;
}


static aml_registry_rc_t
session_keys_collect(aml_registry_txn_t *txn, const char *prefix,
                     aml_registry_each_pt each, session_keys_t *keys)
{
    aml_registry_rc_t rc;

    rc = aml_registry_each(txn, aml_str_of(prefix), (aml_str_t){NULL, 0}, each,
                           keys);
    if (keys->failed) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static aml_registry_rc_t
session_gone(aml_registry_rc_t rc)
{
    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* ---- sessions ---- */

static size_t
session_index_key(char key[AML_REGISTRY_KEY_MAX + 1],
                  const aml_principal_id_t *sign_in, const char *hex)
{
    char uuid[AML_UUID_TEXT + 1];

    aml_uuid_format(sign_in, uuid);

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, "sign-in/%s/%s",
                             uuid, hex);
}


aml_registry_rc_t
amld_session_create(aml_registry_txn_t *txn,
                    const aml_principal_id_t *principal,
                    const aml_principal_id_t *sign_in, const char *host,
                    int64_t now, int64_t expires, char secret[AMLD_SECRET_SIZE])
{
    char key[AML_REGISTRY_KEY_MAX + 1], hex[AMLD_HASH_HEX_SIZE], buf[512];
    aml_session_t session;
    aml_registry_rc_t rc;
    uint8_t hash[32];
    size_t n;

    memset(&session, 0, sizeof(session));

    rc = amld_principal_issued(txn, principal, now, &session.created);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (amld_secret_new(secret, hash) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    session.expires = expires;
    session.principal = *principal;
    session.sign_in = *sign_in;
    session.host = aml_str_of(host);

    n = aml_session_encode(&session, buf, sizeof(buf));
    if (n == 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = aml_registry_put(txn, key, aml_key_session(key, hash), buf, n);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    amld_hash_format(hash, hex);

    return aml_registry_put(txn, key, session_index_key(key, sign_in, hex), "",
                            0);
}


static aml_registry_rc_t
session_get_key(aml_registry_txn_t *txn, const char *key, aml_session_t *s)
{
    aml_registry_rc_t rc;
    aml_str_t value;

    rc = aml_registry_get(txn, key, strlen(key), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return aml_session_decode(value, s) == AML_RECORD_OK ? AML_REGISTRY_OK
                                                         : AML_REGISTRY_CORRUPT;
}


aml_registry_rc_t
amld_session_get(aml_registry_txn_t *txn, const uint8_t hash[32],
                 aml_session_t *s)
{
    char key[AML_REGISTRY_KEY_MAX + 1];

    aml_key_session(key, hash);

    return session_get_key(txn, key, s);
}


/* A record that can't be read is deleted all the same. */
static aml_registry_rc_t
session_end_key(aml_registry_txn_t *txn, const char *key)
{
    char index[AML_REGISTRY_KEY_MAX + 1];
    aml_session_t session;
    aml_registry_rc_t rc;
    size_t n;

    rc = session_get_key(txn, key, &session);

    if (rc == AML_REGISTRY_OK) {
        n = session_index_key(index, &session.sign_in, strchr(key, '/') + 1);
        rc = session_gone(aml_registry_del(txn, index, n));
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }

    } else if (rc != AML_REGISTRY_CORRUPT) {
        return session_gone(rc);
    }

    return session_gone(aml_registry_del(txn, key, strlen(key)));
}


aml_registry_rc_t
amld_session_end(aml_registry_txn_t *txn, const uint8_t hash[32])
{
    char key[AML_REGISTRY_KEY_MAX + 1];

    aml_key_session(key, hash);

    return session_end_key(txn, key);
}


static int
sign_in_each(void *data, aml_str_t key, aml_str_t value)
{
    (void) value;
    return session_keys_add(data, key);
}


aml_registry_rc_t
amld_sessions_end_in(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in)
{
    char prefix[AML_REGISTRY_KEY_MAX + 1], key[AML_REGISTRY_KEY_MAX + 1];
    session_keys_t keys = {0};
    aml_registry_rc_t rc;
    uint8_t hash[32];
    size_t i, n;

    n = session_index_key(prefix, sign_in, "");

    rc = session_keys_collect(txn, prefix, sign_in_each, &keys);

    for (i = 0; i < keys.n && rc == AML_REGISTRY_OK; i++) {
        rc = session_gone(
            aml_registry_del(txn, keys.key[i], strlen(keys.key[i])));

        if (rc == AML_REGISTRY_OK &&
            amld_hash_parse(keys.key[i] + n, hash) == 0) {
            aml_key_session(key, hash);
            rc = session_gone(aml_registry_del(txn, key, strlen(key)));
        }
    }

    free(keys.key);

    return rc;
}


/* ---- codes ---- */

static size_t
code_key(char key[AML_REGISTRY_KEY_MAX + 1], const uint8_t hash[32])
{
    char hex[AMLD_HASH_HEX_SIZE];

    amld_hash_format(hash, hex);

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, "code/%s", hex);
}


aml_registry_rc_t
amld_code_create(aml_registry_t *registry, const amld_code_t *code, int64_t now,
                 char secret[AMLD_SECRET_SIZE])
{
    char key[AML_REGISTRY_KEY_MAX + 1], browser[AMLD_HASH_HEX_SIZE],
        principal[AML_UUID_TEXT + 1], sign_in[AML_UUID_TEXT + 1], *text;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    uint8_t hash[32];
    json_t *json;

    if (amld_secret_new(secret, hash) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    amld_hash_format(code->browser, browser);
    aml_uuid_format(&code->principal, principal);
    aml_uuid_format(&code->sign_in, sign_in);

    json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "host", code->host,
                     "browser", browser, "principal", principal, "sign_in",
                     sign_in, "expires", (json_int_t) now + AMLD_CODE_LIFETIME,
                     "session_expires", (json_int_t) code->session_expires);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc =
            aml_registry_put(txn, key, code_key(key, hash), text, strlen(text));
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    free(text);

    return rc;
}


/* 1 when there is a session of this sign-in left. */
static int
sign_in_alive(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in)
{
    char prefix[AML_REGISTRY_KEY_MAX + 1];
    session_keys_t keys = {.most = 1};
    aml_registry_rc_t rc;
    size_t n;

    session_index_key(prefix, sign_in, "");
    rc = session_keys_collect(txn, prefix, sign_in_each, &keys);
    n = keys.n;
    free(keys.key);

    return rc == AML_REGISTRY_OK && n > 0;
}


static aml_registry_rc_t
code_to_session(aml_registry_txn_t *txn, json_t *code, const char *host,
                const char *session_host, const uint8_t browser[32],
                int64_t now, char session[AMLD_SECRET_SIZE])
{
    const char *for_host, *for_browser, *principal_text, *sign_in_text;
    aml_principal_id_t principal, sign_in;
    json_int_t expires, session_expires;
    aml_registry_rc_t rc;
    uint8_t hash[32];

    if (json_unpack(code, "{s:s, s:s, s:s, s:s, s:I, s:I}", "host", &for_host,
                    "browser", &for_browser, "principal", &principal_text,
                    "sign_in", &sign_in_text, "expires", &expires,
                    "session_expires", &session_expires) != 0 ||
        amld_hash_parse(for_browser, hash) != 0 ||
        aml_uuid_parse(aml_str_of(principal_text), &principal) != 0 ||
        aml_uuid_parse(aml_str_of(sign_in_text), &sign_in) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    if (expires <= now || session_expires <= now ||
        strcmp(for_host, host) != 0 ||
        CRYPTO_memcmp(hash, browser, sizeof(hash)) != 0 ||
        !sign_in_alive(txn, &sign_in)) {
        return AML_REGISTRY_NOTFOUND;
    }

    rc = amld_session_create(txn, &principal, &sign_in, session_host, now,
                             session_expires, session);

    return rc == AML_REGISTRY_DENIED ? AML_REGISTRY_NOTFOUND : rc;
}


aml_registry_rc_t
amld_code_redeem(aml_registry_t *registry, const char *secret, const char *host,
                 const char *session_host, const uint8_t browser[32],
                 int64_t now, char session[AMLD_SECRET_SIZE])
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc, committed;
    aml_registry_txn_t *txn;
    json_t *code = NULL;
    aml_str_t value;
    uint8_t hash[32];
    size_t n;

    if (amld_secret_hash(secret, hash) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }
    n = code_key(key, hash);

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_get(txn, key, n, &value);
    if (rc == AML_REGISTRY_OK) {
        code = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
        rc = aml_registry_del(txn, key, n);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        json_decref(code);
        return rc;
    }

    rc = code_to_session(txn, code, host, session_host, browser, now, session);
    json_decref(code);

    committed = aml_registry_commit(txn);

    return rc != AML_REGISTRY_OK ? rc : committed;
}


/* ---- the sweep ---- */

static int
sweep_session(void *data, aml_str_t key, aml_str_t value)
{
    session_keys_t *keys = data;
    aml_session_t session;

    if (aml_session_decode(value, &session) == AML_RECORD_OK &&
        session.expires <= keys->now) {
        return session_keys_add(keys, key);
    }

    return 0;
}


static int
sweep_code(void *data, aml_str_t key, aml_str_t value)
{
    session_keys_t *keys = data;
    json_int_t expires = 0;
    json_t *code;

    code = json_loadb(value.p, value.n, 0, NULL);
    (void) json_unpack(code, "{s:I}", "expires", &expires);
    json_decref(code);

    return expires <= keys->now ? session_keys_add(keys, key) : 0;
}


static aml_registry_rc_t
sweep_collect(aml_registry_t *registry, session_keys_t *keys)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = session_keys_collect(txn, "code/", sweep_code, keys);
    if (rc == AML_REGISTRY_OK && keys->n < keys->most) {
        rc = session_keys_collect(txn, "session/", sweep_session, keys);
    }

    aml_registry_end(txn);

    return rc;
}


static aml_registry_rc_t
sweep_delete(aml_registry_t *registry, const session_keys_t *keys)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    const char *key;
    size_t i;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < keys->n && rc == AML_REGISTRY_OK; i++) {
        key = keys->key[i];
        rc = strncmp(key, "session/", 8) == 0
                 ? session_end_key(txn, key)
                 : session_gone(aml_registry_del(txn, key, strlen(key)));
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
amld_sessions_sweep(aml_registry_t *registry, int64_t now, size_t *removed)
{
    session_keys_t keys;
    aml_registry_rc_t rc;
    size_t total = 0, n;

    do {
        memset(&keys, 0, sizeof(keys));
        keys.now = now;
        keys.most = SWEEP_BATCH;

        rc = sweep_collect(registry, &keys);
        if (rc == AML_REGISTRY_OK && keys.n > 0) {
            rc = sweep_delete(registry, &keys);
        }

        n = keys.n;
        total += rc == AML_REGISTRY_OK ? n : 0;
        free(keys.key);

    } while (rc == AML_REGISTRY_OK && n == SWEEP_BATCH);

    if (removed != NULL) {
        *removed = total;
    }

    return rc;
}
