/*
 * Refresh tokens in the registry.
 */

#include "auth/refresh.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sign_ins.h"
#include "registry/records.h"

#define FAMILY "refresh/"
#define PREFIX_N (sizeof(AMLD_REFRESH_PREFIX) - 1)


static size_t
refresh_key(char key[AML_REGISTRY_KEY_MAX + 1], const uint8_t family[32])
{
    char hex[AMLD_HASH_HEX_SIZE];

    amld_hash_format(family, hex);

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, FAMILY "%s", hex);
}


/* The two hashes of a token; 0, or -1 when it is none. */
static int
refresh_parse(const char *text, uint8_t family[32], uint8_t secret[32])
{
    char part[AMLD_SECRET_SIZE];
    int rc;

    if (text == NULL || strlen(text) != AMLD_REFRESH_CHARS ||
        memcmp(text, AMLD_REFRESH_PREFIX, PREFIX_N) != 0) {
        return -1;
    }

    memcpy(part, text + PREFIX_N, AMLD_SECRET_CHARS);
    part[AMLD_SECRET_CHARS] = '\0';
    rc = amld_secret_hash(part, family);
    OPENSSL_cleanse(part, sizeof(part));

    return rc != 0
               ? rc
               : amld_secret_hash(text + PREFIX_N + AMLD_SECRET_CHARS, secret);
}


/* Keeps the document, with the hash of what is next; takes the reference. */
static aml_registry_rc_t
refresh_put(aml_registry_txn_t *txn, const uint8_t family[32],
            const uint8_t current[32], json_t *json)
{
    char key[AML_REGISTRY_KEY_MAX + 1], hex[AMLD_HASH_HEX_SIZE], *text = NULL;
    aml_registry_rc_t rc;

    amld_hash_format(current, hex);
    if (json_object_set_new(json, "hash", json_string(hex)) == 0) {
        text = json_dumps(json, JSON_COMPACT);
    }
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, key, refresh_key(key, family), text,
                          strlen(text));
    free(text);

    return rc;
}


aml_registry_rc_t
amld_refresh_create(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in,
                    const char *client, int64_t expires,
                    char text[AMLD_REFRESH_SIZE])
{
    char first[AMLD_SECRET_SIZE], second[AMLD_SECRET_SIZE],
        id[AML_UUID_TEXT + 1];
    uint8_t family[32], secret[32];

    if (amld_secret_new(first, family) != 0 ||
        amld_secret_new(second, secret) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    (void) snprintf(text, AMLD_REFRESH_SIZE, AMLD_REFRESH_PREFIX "%s%s", first,
                    second);
    OPENSSL_cleanse(first, sizeof(first));
    OPENSSL_cleanse(second, sizeof(second));
    aml_uuid_format(sign_in, id);

    return refresh_put(txn, family, secret,
                       json_pack("{s:s, s:s, s:I}", "sign_in", id, "client",
                                 client, "expires", (json_int_t) expires));
}


/* ---- one use ---- */

/* Its document, a new reference; NOTFOUND when it is over or not the client's.
 */
static aml_registry_rc_t
refresh_find(aml_registry_txn_t *txn, const uint8_t family[32],
             const char *client, int64_t now, json_t **json)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    const char *sign_in, *hash, *whose;
    aml_registry_rc_t rc;
    json_int_t expires;
    aml_str_t value;

    *json = NULL;

    rc = aml_registry_get(txn, key, refresh_key(key, family), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    *json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (json_unpack(*json, "{s:s, s:s, s:s, s:I}", "sign_in", &sign_in, "hash",
                    &hash, "client", &whose, "expires", &expires) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    return expires <= now || strcmp(client, whose) != 0 ? AML_REGISTRY_NOTFOUND
                                                        : AML_REGISTRY_OK;
}


/*
 * Is it the one before, whose answer may have been lost?  Only while what that
 * answer brought has not come, and once.
 */
static int
refresh_is_before(const json_t *json, const uint8_t secret[32], int64_t now)
{
    const char *hex = json_string_value(json_object_get(json, "before"));
    int64_t turned = json_integer_value(json_object_get(json, "turned"));
    uint8_t before[32];

    return hex != NULL && amld_hash_parse(hex, before) == 0 &&
           CRYPTO_memcmp(before, secret, sizeof(before)) == 0 &&
           now >= turned && now - turned <= AMLD_REFRESH_GRACE;
}


/* The document for what comes next; a new reference, NULL without memory. */
static json_t *
refresh_after(json_t *json, int64_t now, int again)
{
    json_t *next = json_copy(json);
    int failed;

    if (again) {
        (void) json_object_del(next, "before");
        return next;
    }

    failed =
        json_object_set(next, "before", json_object_get(json, "hash")) != 0 ||
        json_object_set_new(next, "turned", json_integer(now)) != 0;
    if (failed) {
        json_decref(next);
        next = NULL;
    }

    return next;
}


/* Within a write transaction, which is committed also after DENIED. */
static aml_registry_rc_t
refresh_turn(aml_registry_txn_t *txn, json_t *json, const uint8_t family[32],
             const uint8_t secret[32], int64_t now, amld_refresh_use_t *use)
{
    char part[AMLD_SECRET_SIZE], key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    amld_sign_in_t s;
    json_t *document;
    uint8_t current[32], made[32];

    if (amld_hash_parse(json_string_value(json_object_get(json, "hash")),
                        current) != 0 ||
        aml_uuid_parse(
            aml_str_of(json_string_value(json_object_get(json, "sign_in"))),
            &use->sign_in) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    rc = amld_sign_in_get(txn, &use->sign_in, &s, &document);
    json_decref(document);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    use->again = refresh_is_before(json, secret, now);
    if (!use->again && CRYPTO_memcmp(current, secret, sizeof(current)) != 0) {
        rc = amld_sign_in_end(txn, &use->sign_in);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_del(txn, key, refresh_key(key, family));
        }
        return rc == AML_REGISTRY_OK ? AML_REGISTRY_DENIED : rc;
    }

    if (amld_secret_new(part, made) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }
    memcpy(use->next + PREFIX_N + AMLD_SECRET_CHARS, part, sizeof(part));
    OPENSSL_cleanse(part, sizeof(part));

    return refresh_put(txn, family, made, refresh_after(json, now, use->again));
}


aml_registry_rc_t
amld_refresh_use(aml_registry_t *registry, const char *text, const char *client,
                 int64_t now, amld_refresh_use_t *use)
{
    uint8_t family[32], secret[32];
    aml_registry_rc_t rc, committed;
    aml_registry_txn_t *txn;
    json_t *json = NULL;

    memset(use, 0, sizeof(*use));
    if (refresh_parse(text, family, secret) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }
    memcpy(use->next, text, PREFIX_N + AMLD_SECRET_CHARS);

    /* whoever guesses gets no commit for it */
    rc = aml_registry_read(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = refresh_find(txn, family, client, now, &json);
        json_decref(json);
        aml_registry_end(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = refresh_find(txn, family, client, now, &json);
    if (rc == AML_REGISTRY_OK) {
        rc = refresh_turn(txn, json, family, secret, now, use);
    }
    json_decref(json);

    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_DENIED) {
        aml_registry_end(txn);
        return rc;
    }

    committed = aml_registry_commit(txn);

    return committed != AML_REGISTRY_OK ? committed : rc;
}


/* ---- the sweep ---- */

typedef struct {
    aml_registry_txn_t *txn;
    int64_t now;
    char (*key)[AML_REGISTRY_KEY_MAX + 1];
    size_t n, looked_at, most;
    char *from;
} refresh_sweep_t;


static int
sweep_each(void *data, aml_str_t key, aml_str_t value)
{
    char grant[AML_REGISTRY_KEY_MAX + 1];
    refresh_sweep_t *s = data;
    aml_principal_id_t id;
    aml_str_t found;
    json_t *json;
    int over;

    if (s->looked_at++ == s->most) {
        memcpy(s->from, key.p, key.n);
        s->from[key.n] = '\0';
        return 1;
    }

    json = json_loadb(value.p, value.n, 0, NULL);
    over = json_integer_value(json_object_get(json, "expires")) <= s->now ||
           aml_uuid_parse(
               aml_str_of(json_string_value(json_object_get(json, "sign_in"))),
               &id) != 0 ||
           aml_registry_get(s->txn, grant, aml_key_grant(grant, &id), &found) ==
               AML_REGISTRY_NOTFOUND;
    json_decref(json);

    if (over) {
        memcpy(s->key[s->n], key.p, key.n);
        s->key[s->n++][key.n] = '\0';
    }

    return 0;
}


static aml_registry_rc_t
sweep_delete(aml_registry_t *registry, const refresh_sweep_t *s)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t i;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < s->n && rc == AML_REGISTRY_OK; i++) {
        rc = aml_registry_del(txn, s->key[i], strlen(s->key[i]));
        rc = rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
amld_refresh_sweep(aml_registry_t *registry, int64_t now, size_t most,
                   char *from, size_t *removed)
{
    char start[AML_REGISTRY_KEY_MAX + 1];
    refresh_sweep_t s = {.now = now, .most = most, .from = from};
    aml_registry_rc_t rc;

    *removed = 0;
    strcpy(start, from);
    from[0] = '\0';

    s.key = malloc(most * sizeof(*s.key));
    if (s.key == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_read(registry, &s.txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(s.txn, aml_str(FAMILY), aml_str_of(start),
                               sweep_each, &s);
        aml_registry_end(s.txn);
    }

    rc = rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    if (rc == AML_REGISTRY_OK && s.n > 0) {
        rc = sweep_delete(registry, &s);
    }

    *removed = s.n;
    free(s.key);

    return rc;
}
