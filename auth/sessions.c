/*
 * Sessions and single-use codes in the registry.
 */

#include "auth/sessions.h"

#include <errno.h>
#include <inttypes.h>
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

#define SESSION_FAMILY "session/"


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
                     const char *from, aml_registry_each_pt each,
                     session_keys_t *keys)
{
    aml_registry_rc_t rc;

    rc = aml_registry_each(txn, aml_str_of(prefix), aml_str_of(from), each,
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


/* ---- the index of a sign-in's sessions ---- */

#define ENTRY_HEX 64
#define ENTRY_SIZE (ENTRY_HEX + 8)
#define ENTRY_FIRST 1

/* In order of making.  The first of a sign-in is the studio's, from which all
 * others come: it stays. */
typedef struct {
    char hex[AMLD_HASH_HEX_SIZE]; /* of the session */
    uint32_t order;
} session_entry_t;


static size_t
session_index_key(char key[AML_REGISTRY_KEY_MAX + 1],
                  const aml_principal_id_t *sign_in, aml_str_t name)
{
    char uuid[AML_UUID_TEXT + 1];

    aml_uuid_format(sign_in, uuid);

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, "sign-in/%s/%.*s",
                             uuid, (int) name.n, name.p);
}


static void
session_entry_format(const session_entry_t *entry, char text[ENTRY_SIZE + 1])
{
    (void) snprintf(text, ENTRY_SIZE + 1, "%s%08" PRIx32, entry->hex,
                    entry->order);
}


/*
 * Earlier releases had the hash for a name, and no value: there was no bound
 * then, and such entries are gone when their sessions are.  0, or -1 where it
 * is one of these.
 */
static int
session_entry_parse(aml_str_t value, session_entry_t *entry)
{
    char order[ENTRY_SIZE - ENTRY_HEX + 1];

    if (value.n != ENTRY_SIZE) {
        return -1;
    }

    memcpy(entry->hex, value.p, ENTRY_HEX);
    entry->hex[ENTRY_HEX] = '\0';
    memcpy(order, value.p + ENTRY_HEX, ENTRY_SIZE - ENTRY_HEX);
    order[ENTRY_SIZE - ENTRY_HEX] = '\0';
    entry->order = (uint32_t) strtoul(order, NULL, 16);

    return 0;
}


typedef struct {
    aml_str_t host; /* the one that is asked for */
    size_t prefix;  /* bytes of a key before the host */
    size_t count;
    uint32_t last;
    session_entry_t there;              /* at that host; order 0: none */
    session_entry_t oldest;             /* of others, but the first; likewise */
    char key[AML_REGISTRY_KEY_MAX + 1]; /* of the oldest */
} session_hosts_t;


static int
session_hosts_each(void *data, aml_str_t key, aml_str_t value)
{
    session_hosts_t *h = data;
    session_entry_t entry;
    aml_str_t host;

    if (session_entry_parse(value, &entry) != 0) {
        return 0;
    }

    host = (aml_str_t){key.p + h->prefix, key.n - h->prefix};
    h->count++;
    h->last = entry.order > h->last ? entry.order : h->last;

    if (aml_str_eq(host, h->host)) {
        h->there = entry;

    } else if (entry.order != ENTRY_FIRST &&
               (h->oldest.order == 0 || entry.order < h->oldest.order)) {
        h->oldest = entry;
        memcpy(h->key, key.p, key.n);
        h->key[key.n] = '\0';
    }

    return 0;
}


static aml_registry_rc_t
session_del(aml_registry_txn_t *txn, const char *hex)
{
    char key[sizeof(SESSION_FAMILY) + ENTRY_HEX];
    int n = snprintf(key, sizeof(key), SESSION_FAMILY "%s", hex);

    return session_gone(aml_registry_del(txn, key, (size_t) n));
}


/*
 * Enters a session for `host`.  The one that was there ends, and where there
 * are more than AMLD_SESSIONS_MOST, the one that was made longest ago.
 */
static aml_registry_rc_t
session_enter(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in,
              const char *host, const char *hex)
{
    char key[AML_REGISTRY_KEY_MAX + 1], text[ENTRY_SIZE + 1];
    session_hosts_t h = {.host = aml_str_of(host)};
    session_entry_t entry;
    aml_registry_rc_t rc;

    h.prefix = session_index_key(key, sign_in, aml_str(""));

    rc = aml_registry_each(txn, (aml_str_t){key, h.prefix},
                           (aml_str_t){NULL, 0}, session_hosts_each, &h);
    if (rc == AML_REGISTRY_OK && h.there.order != 0) {
        rc = session_del(txn, h.there.hex);
    }

    if (rc == AML_REGISTRY_OK && h.there.order == 0 &&
        h.count >= AMLD_SESSIONS_MOST && h.oldest.order != 0) {
        rc = session_del(txn, h.oldest.hex);
        if (rc == AML_REGISTRY_OK) {
            rc = session_gone(aml_registry_del(txn, h.key, strlen(h.key)));
        }
    }

    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    memcpy(entry.hex, hex, sizeof(entry.hex));
    entry.order = h.there.order == ENTRY_FIRST ? ENTRY_FIRST
                  : h.last < UINT32_MAX        ? h.last + 1
                                               : h.last;
    session_entry_format(&entry, text);

    return aml_registry_put(txn, key, session_index_key(key, sign_in, h.host),
                            text, ENTRY_SIZE);
}


/* Takes a session that ends out of the index, where it stands there. */
static aml_registry_rc_t
session_leave(aml_registry_txn_t *txn, const aml_session_t *session,
              const char *hex)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    session_entry_t entry;
    aml_registry_rc_t rc;
    aml_str_t value;
    size_t n;

    n = session_index_key(key, &session->sign_in, session->host);
    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    if (rc == AML_REGISTRY_NOTFOUND ||
        session_entry_parse(value, &entry) != 0 ||
        strcmp(entry.hex, hex) != 0) {
        n = session_index_key(key, &session->sign_in, aml_str_of(hex));
    }

    return session_gone(aml_registry_del(txn, key, n));
}


/* ---- sessions ---- */

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

    return session_enter(txn, sign_in, host, hex);
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
    aml_session_t session;
    aml_registry_rc_t rc;

    rc = session_get_key(txn, key, &session);
    if (rc == AML_REGISTRY_OK) {
        rc = session_leave(txn, &session, strchr(key, '/') + 1);
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


/* The entry, and the session that it is of. */
static int
sign_in_each(void *data, aml_str_t key, aml_str_t value)
{
    char session[sizeof(SESSION_FAMILY) + ENTRY_HEX];
    session_entry_t entry;
    const char *hex;
    int n;

    if (session_entry_parse(value, &entry) == 0) {
        hex = entry.hex;
    } else if (key.n > ENTRY_HEX) {
        hex = key.p + key.n - ENTRY_HEX;
    } else {
        return session_keys_add(data, key);
    }

    n = snprintf(session, sizeof(session), SESSION_FAMILY "%.*s", ENTRY_HEX,
                 hex);

    return session_keys_add(data, (aml_str_t){session, (size_t) n}) ||
           session_keys_add(data, key);
}


aml_registry_rc_t
amld_sessions_end_in(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in)
{
    char prefix[AML_REGISTRY_KEY_MAX + 1];
    session_keys_t keys = {0};
    aml_registry_rc_t rc;
    size_t i;

    session_index_key(prefix, sign_in, aml_str(""));
    rc = session_keys_collect(txn, prefix, "", sign_in_each, &keys);

    for (i = 0; i < keys.n && rc == AML_REGISTRY_OK; i++) {
        rc = session_gone(
            aml_registry_del(txn, keys.key[i], strlen(keys.key[i])));
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

    session_index_key(prefix, sign_in, aml_str(""));
    rc = session_keys_collect(txn, prefix, "", sign_in_each, &keys);
    n = keys.n;
    free(keys.key);

    return rc == AML_REGISTRY_OK && n > 0;
}


/* 1 when the browser has a session already that it could be given. */
static int
session_serves(aml_registry_txn_t *txn, const uint8_t *has, const char *host,
               const aml_principal_id_t *principal,
               const aml_principal_id_t *sign_in, int64_t now)
{
    aml_session_t s;

    return has != NULL && amld_session_get(txn, has, &s) == AML_REGISTRY_OK &&
           s.expires > now && aml_str_eq(s.host, aml_str_of(host)) &&
           aml_principal_eq(&s.principal, principal) &&
           aml_principal_eq(&s.sign_in, sign_in);
}


static aml_registry_rc_t
code_to_session(aml_registry_txn_t *txn, json_t *code, const char *host,
                const char *session_host, const uint8_t browser[32],
                const uint8_t *has, int64_t now, char session[AMLD_SECRET_SIZE])
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

    if (session_serves(txn, has, session_host, &principal, &sign_in, now)) {
        session[0] = '\0';
        return AML_REGISTRY_OK;
    }

    rc = amld_session_create(txn, &principal, &sign_in, session_host, now,
                             session_expires, session);

    return rc == AML_REGISTRY_DENIED ? AML_REGISTRY_NOTFOUND : rc;
}


aml_registry_rc_t
amld_code_redeem(aml_registry_t *registry, const char *secret, const char *host,
                 const char *session_host, const uint8_t browser[32],
                 const uint8_t *has, int64_t now,
                 char session[AMLD_SECRET_SIZE])
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

    rc = code_to_session(txn, code, host, session_host, browser, has, now,
                         session);
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
sweep_collect(aml_registry_t *registry, const char *family, const char *from,
              aml_registry_each_pt each, session_keys_t *keys)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = session_keys_collect(txn, family, from, each, keys);
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
        rc = strncmp(key, SESSION_FAMILY, sizeof(SESSION_FAMILY) - 1) == 0
                 ? session_end_key(txn, key)
                 : session_gone(aml_registry_del(txn, key, strlen(key)));
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* Each batch goes on where the one before has ended. */
static aml_registry_rc_t
sweep_family(aml_registry_t *registry, const char *family,
             aml_registry_each_pt each, int64_t now, size_t *removed)
{
    char from[AML_REGISTRY_KEY_MAX + 1] = "";
    session_keys_t keys;
    aml_registry_rc_t rc;
    size_t n;

    do {
        memset(&keys, 0, sizeof(keys));
        keys.now = now;
        keys.most = SWEEP_BATCH;

        rc = sweep_collect(registry, family, from, each, &keys);
        n = keys.n;
        if (rc == AML_REGISTRY_OK && n > 0) {
            memcpy(from, keys.key[n - 1], sizeof(from));
            rc = sweep_delete(registry, &keys);
        }

        *removed += rc == AML_REGISTRY_OK ? n : 0;
        free(keys.key);

    } while (rc == AML_REGISTRY_OK && n == SWEEP_BATCH);

    return rc;
}


aml_registry_rc_t
amld_sessions_sweep(aml_registry_t *registry, int64_t now, size_t *removed)
{
    aml_registry_rc_t rc;
    size_t total = 0;

    rc = sweep_family(registry, "code/", sweep_code, now, &total);
    if (rc == AML_REGISTRY_OK) {
        rc = sweep_family(registry, SESSION_FAMILY, sweep_session, now, &total);
    }

    if (removed != NULL) {
        *removed = total;
    }

    return rc;
}
