/*
 * The local issuer's keys and tokens.
 *
 * Every change works on the whole list of keys: read it, change it, write
 * what differs.  Generating a key takes a tenth of a second, and is done
 * before the write transaction begins.
 */

#include "auth/local_issuer.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/key.h"
#include "auth/principals.h"
#include "computes/amld.h"
#include "registry/records.h"

#define SIGNING_PREFIX "signing-key/local/"
#define RSA_BITS 2048
#define KEYS_MAX 32
#define LEAD_MAX 3600 /* seconds that a key is published before it signs */

typedef struct {
    amld_signing_key_t key;
    char *issuer; /* that it is published under */
    char *public_pem;
    char *private_pem; /* NULL when it is gone */
    int gone;          /* to be deleted */
} issuer_key_t;

typedef struct {
    issuer_key_t key[KEYS_MAX];
    size_t n;
} issuer_keys_t;


/* ---- keys ---- */

static void
issuer_free_secret(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
        free(text);
    }
}


static void
issuer_key_clear(issuer_key_t *k)
{
    free(k->issuer);
    free(k->public_pem);
    issuer_free_secret(k->private_pem);
    memset(k, 0, sizeof(*k));
}


static void
issuer_keys_clear(issuer_keys_t *keys)
{
    size_t i;

    for (i = 0; i < keys->n; i++) {
        issuer_key_clear(&keys->key[i]);
    }
    keys->n = 0;
}


static char *
issuer_bio_text(BIO *bio)
{
    char *data, *text;
    long n;

    n = BIO_get_mem_data(bio, &data);
    if (n <= 0) {
        return NULL;
    }

    text = strndup(data, (size_t) n);
    OPENSSL_cleanse(data, (size_t) n);

    return text;
}


static char *
issuer_pem(EVP_PKEY *pkey, int private_half)
{
    char *text = NULL;
    BIO *bio;
    int ok;

    bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return NULL;
    }

    ok = private_half
             ? PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
             : PEM_write_bio_PUBKEY(bio, pkey);
    if (ok == 1) {
        text = issuer_bio_text(bio);
    }
    BIO_free(bio);

    return text;
}


static int
issuer_key_make(issuer_key_t *k, const char *issuer, int64_t now)
{
    aml_public_key_t public_key;
    EVP_PKEY *pkey;
    char *room;
    int rc = -1;

    memset(k, 0, sizeof(*k));

    room = malloc(AML_RECORD_MAX);
    pkey = EVP_RSA_gen(RSA_BITS);

    if (room != NULL && pkey != NULL &&
        aml_public_key_of(pkey, &public_key, room, AML_RECORD_MAX) ==
            AML_KEY_OK &&
        aml_key_thumbprint(&public_key, k->key.kid) == 0) {
        k->issuer = strdup(issuer);
        k->public_pem = issuer_pem(pkey, 0);
        k->private_pem = issuer_pem(pkey, 1);
        k->key.created = now;
        k->key.can_sign = 1;
        rc =
            k->issuer != NULL && k->public_pem != NULL && k->private_pem != NULL
                ? 0
                : -1;
    }

    EVP_PKEY_free(pkey);
    free(room);

    if (rc != 0) {
        amld_log(AMLD_LOG_ERROR, "issuer: a signing key can't be made");
        issuer_key_clear(k);
    }

    return rc;
}


/* ---- the list in the registry ---- */

static int
issuer_key_decode(aml_str_t value, issuer_key_t *k)
{
    const char *kid, *issuer, *public_pem, *private_pem = NULL;
    json_int_t created, signs, retires;
    json_t *json;

    memset(k, 0, sizeof(*k));
    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    if (json_unpack(json, "{s:s, s:s, s:s, s?:s, s:I, s:I, s:I}", "kid", &kid,
                    "issuer", &issuer, "public", &public_pem, "private",
                    &private_pem, "created", &created, "signs", &signs,
                    "retires", &retires) != 0 ||
        strlen(kid) != AMLD_KID_SIZE - 1) {
        json_decref(json);
        return -1;
    }

    memcpy(k->key.kid, kid, AMLD_KID_SIZE);
    k->key.created = created;
    k->key.signs = signs;
    k->key.retires = retires;
    k->key.can_sign = private_pem != NULL;
    k->issuer = strdup(issuer);
    k->public_pem = strdup(public_pem);
    k->private_pem = private_pem != NULL ? strdup(private_pem) : NULL;
    json_decref(json);

    if (k->issuer == NULL || k->public_pem == NULL ||
        (k->key.can_sign && k->private_pem == NULL)) {
        issuer_key_clear(k);
        return -1;
    }

    return 0;
}


static int
issuer_keys_each(void *data, aml_str_t key, aml_str_t value)
{
    issuer_keys_t *keys = data;
    issuer_key_t k;
    size_t i;

    if (keys->n == KEYS_MAX) {
        return 1;
    }

    if (issuer_key_decode(value, &k) != 0) {
        amld_log(AMLD_LOG_ERROR, "%.*s: can't be read", (int) key.n, key.p);
        return 0;
    }

    for (i = keys->n; i > 0 && keys->key[i - 1].key.signs > k.key.signs; i--) {
        keys->key[i] = keys->key[i - 1];
    }
    keys->key[i] = k;
    keys->n++;

    return 0;
}


static aml_registry_rc_t
issuer_keys_load(aml_registry_txn_t *txn, issuer_keys_t *keys)
{
    aml_registry_rc_t rc;

    memset(keys, 0, sizeof(*keys));
    rc = aml_registry_each(txn, aml_str(SIGNING_PREFIX), (aml_str_t){NULL, 0},
                           issuer_keys_each, keys);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* Puts unless it is there already; *changed grows by one where it was not. */
static aml_registry_rc_t
issuer_put(aml_registry_txn_t *txn, const char *key, size_t klen,
           const void *value, size_t vlen, int *changed)
{
    aml_registry_rc_t rc;
    aml_str_t old;

    rc = aml_registry_get(txn, key, klen, &old);
    if (rc == AML_REGISTRY_OK && aml_str_eq(old, (aml_str_t){value, vlen})) {
        return AML_REGISTRY_OK;
    }

    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    (*changed)++;

    return aml_registry_put(txn, key, klen, value, vlen);
}


static aml_registry_rc_t
issuer_del(aml_registry_txn_t *txn, const char *key, size_t klen, int *changed)
{
    aml_registry_rc_t rc;

    rc = aml_registry_del(txn, key, klen);
    *changed += rc == AML_REGISTRY_OK;

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static size_t
issuer_public_record(const issuer_key_t *k, void *buf, size_t size)
{
    aml_public_key_t public_key;
    EVP_PKEY *pkey = NULL;
    size_t n = 0;
    char *room;
    BIO *bio;

    room = malloc(AML_RECORD_MAX);
    bio = BIO_new_mem_buf(k->public_pem, -1);
    if (bio != NULL) {
        pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    }

    if (room != NULL && pkey != NULL &&
        aml_public_key_of(pkey, &public_key, room, AML_RECORD_MAX) ==
            AML_KEY_OK) {
        public_key.alg = AML_ALG_RS256;
        public_key.expires = k->key.retires;
        n = aml_public_key_encode(&public_key, buf, size);
    }

    EVP_PKEY_free(pkey);
    BIO_free(bio);
    free(room);

    return n;
}


static aml_registry_rc_t
issuer_key_publish(aml_registry_txn_t *txn, const issuer_key_t *k, void *buf,
                   int *published)
{
    char key[AML_REGISTRY_KEY_MAX + 1], name[128], *text;
    aml_registry_rc_t rc;
    int kept = 0;
    json_t *json;
    size_t n;

    n = aml_key_key(key, aml_str_of(k->issuer), aml_str_of(k->key.kid));
    (void) snprintf(name, sizeof(name), SIGNING_PREFIX "%s", k->key.kid);

    if (k->gone) {
        rc = issuer_del(txn, name, strlen(name), &kept);
        return rc != AML_REGISTRY_OK ? rc : issuer_del(txn, key, n, published);
    }

    json = json_pack("{s:s, s:s, s:s, s:s*, s:I, s:I, s:I}", "kid", k->key.kid,
                     "issuer", k->issuer, "public", k->public_pem, "private",
                     k->private_pem, "created", (json_int_t) k->key.created,
                     "signs", (json_int_t) k->key.signs, "retires",
                     (json_int_t) k->key.retires);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = issuer_put(txn, name, strlen(name), text, strlen(text), &kept);
    issuer_free_secret(text);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    *published += kept; /* so that the transaction is committed */
    kept = (int) issuer_public_record(k, buf, AML_RECORD_MAX);

    return kept == 0 ? AML_REGISTRY_FAILED
                     : issuer_put(txn, key, n, buf, (size_t) kept, published);
}


static aml_registry_rc_t
issuer_publish_issuer(aml_registry_txn_t *txn, const amld_config_t *config,
                      void *buf, int *published)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_issuer_t issuer;
    size_t n;

    memset(&issuer, 0, sizeof(issuer));
    issuer.algs = 1u << AML_ALG_RS256;
    issuer.leeway = AMLD_ISSUER_LEEWAY;
    issuer.lifetime = config->token_lifetime;
    issuer.identity = AML_IDENTITY_PRINCIPAL;
    issuer.name_claim = aml_str("preferred_username");
    issuer.audience_count = 1;
    issuer.audiences[0] = aml_str_of(config->studio);

    n = aml_issuer_encode(&issuer, buf, AML_RECORD_MAX);
    if (n == 0) {
        return AML_REGISTRY_TOOLONG;
    }

    return issuer_put(txn, key, aml_key_issuer(key, aml_str_of(config->studio)),
                      buf, n, published);
}


/* The studio's origin has changed: withdraw what stands under the old one. */
static aml_registry_rc_t
issuer_move(aml_registry_txn_t *txn, const amld_config_t *config,
            issuer_key_t *k, int *published)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    size_t n;

    if (strcmp(k->issuer, config->studio) == 0) {
        return AML_REGISTRY_OK;
    }

    n = aml_key_key(key, aml_str_of(k->issuer), aml_str_of(k->key.kid));
    rc = issuer_del(txn, key, n, published);
    if (rc == AML_REGISTRY_OK) {
        n = aml_key_issuer(key, aml_str_of(k->issuer));
        rc = issuer_del(txn, key, n, published);
    }

    free(k->issuer);
    k->issuer = strdup(config->studio);
    if (k->issuer == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    return rc;
}


static aml_registry_rc_t
issuer_publish(aml_registry_txn_t *txn, const amld_config_t *config,
               issuer_keys_t *keys)
{
    int published = 0;
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t i;
    void *buf;

    buf = malloc(AML_RECORD_MAX);
    if (buf == NULL) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    for (i = 0; i < keys->n && rc == AML_REGISTRY_OK; i++) {
        rc = issuer_move(txn, config, &keys->key[i], &published);
        if (rc == AML_REGISTRY_OK) {
            rc = issuer_key_publish(txn, &keys->key[i], buf, &published);
        }
    }

    if (rc == AML_REGISTRY_OK) {
        rc = issuer_publish_issuer(txn, config, buf, &published);
    }

    if (rc == AML_REGISTRY_OK && published > 0) {
        rc = aml_registry_touch_keys(txn);
    }

    free(buf);

    if (rc != AML_REGISTRY_OK || published == 0) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* ---- when which key signs ---- */

static int64_t
issuer_lead(const amld_config_t *config)
{
    int64_t lead = config->key_lifetime / 10;

    return lead < LEAD_MAX ? lead : LEAD_MAX;
}


/* The one that signs at `now`; keys->n when there is none. */
static size_t
issuer_signer(const issuer_keys_t *keys, int64_t now)
{
    size_t i;

    for (i = keys->n; i > 0; i--) {
        if (keys->key[i - 1].key.can_sign &&
            keys->key[i - 1].key.signs <= now) {
            return i - 1;
        }
    }

    return keys->n;
}


/* From when on a new key is to sign; 0 when none is due. */
static int64_t
issuer_turn(const issuer_keys_t *keys, const amld_config_t *config, int64_t now)
{
    int64_t turn, lead = issuer_lead(config);

    if (issuer_signer(keys, now) == keys->n) {
        return now;
    }

    turn = keys->key[keys->n - 1].key.signs + config->key_lifetime;
    if (turn - lead > now) {
        return 0;
    }

    return turn > now + lead ? turn : now + lead;
}


/* Makes room for a key that signs at once: one that waits for its turn has
 * signed nothing and goes; with `revoke` all go. */
static void
issuer_withdraw(issuer_keys_t *keys, int64_t now, int revoke)
{
    size_t i;

    for (i = 0; i < keys->n; i++) {
        keys->key[i].gone = revoke || keys->key[i].key.signs > now;
    }
}


/* Takes over `k`. */
static int
issuer_key_add(issuer_keys_t *keys, issuer_key_t *k, int64_t signs)
{
    if (keys->n == KEYS_MAX) {
        amld_log(AMLD_LOG_ERROR, "issuer: there are %d keys already", KEYS_MAX);
        return -1;
    }

    k->key.signs = signs;
    keys->key[keys->n++] = *k;
    memset(k, 0, sizeof(*k));

    return 0;
}


static void
issuer_retire(issuer_keys_t *keys, const amld_config_t *config, int64_t now)
{
    issuer_key_t *k, *next = NULL;
    size_t i;

    for (i = keys->n; i > 0; i--) {
        k = &keys->key[i - 1];
        if (k->gone) {
            continue;
        }

        if (next != NULL && k->key.retires == 0) {
            k->key.retires =
                next->key.signs + config->token_lifetime + AMLD_ISSUER_LEEWAY;
        }

        if (next != NULL && next->key.signs <= now && k->key.can_sign) {
            issuer_free_secret(k->private_pem);
            k->private_pem = NULL;
            k->key.can_sign = 0;
        }

        k->gone = k->key.retires != 0 && k->key.retires <= now;
        next = k;
    }
}


typedef enum {
    ISSUER_TEND,   /* add the key when one is due */
    ISSUER_ROTATE, /* add it now */
    ISSUER_REVOKE  /* add it now, withdraw all others */
} issuer_change_t;


static int
issuer_failed(aml_registry_rc_t rc)
{
    amld_log(AMLD_LOG_ERROR, "issuer: %s", aml_registry_strerror(rc));

    return -1;
}


/* `made` is taken over when it is used; NULL: only bring up to date. */
static int
issuer_change(aml_registry_t *registry, const amld_config_t *config,
              int64_t now, issuer_key_t *made, issuer_change_t change)
{
    issuer_keys_t keys;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int64_t signs = 0;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return issuer_failed(rc);
    }

    rc = issuer_keys_load(txn, &keys);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        issuer_keys_clear(&keys);
        return issuer_failed(rc);
    }

    if (made != NULL) {
        signs = change == ISSUER_TEND ? issuer_turn(&keys, config, now) : now;
    }

    if (signs == now) {
        issuer_withdraw(&keys, now, change == ISSUER_REVOKE);
    }

    if (signs != 0 && issuer_key_add(&keys, made, signs) != 0) {
        aml_registry_end(txn);
        issuer_keys_clear(&keys);
        return -1;
    }

    issuer_retire(&keys, config, now);

    rc = issuer_publish(txn, config, &keys);
    issuer_keys_clear(&keys);

    return rc == AML_REGISTRY_OK ? 0 : issuer_failed(rc);
}


static int
issuer_read(aml_registry_t *registry, issuer_keys_t *keys)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    memset(keys, 0, sizeof(*keys));

    rc = aml_registry_read(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = issuer_keys_load(txn, keys);
        aml_registry_end(txn);
    }

    return rc == AML_REGISTRY_OK ? 0 : issuer_failed(rc);
}


int
amld_issuer_tend(aml_registry_t *registry, const amld_config_t *config,
                 int64_t now)
{
    issuer_keys_t keys;
    issuer_key_t made;
    char kid[AMLD_KID_SIZE];
    int rc, due;

    rc = issuer_read(registry, &keys);
    due = issuer_turn(&keys, config, now) != 0;
    issuer_keys_clear(&keys);

    if (rc != 0) {
        return rc;
    }

    if (!due) {
        return issuer_change(registry, config, now, NULL, ISSUER_TEND);
    }

    if (issuer_key_make(&made, config->studio, now) != 0) {
        return -1;
    }
    memcpy(kid, made.key.kid, sizeof(kid));

    rc = issuer_change(registry, config, now, &made, ISSUER_TEND);

    if (rc == 0 && made.public_pem == NULL) {
        amld_log(AMLD_LOG_INFO, "issuer: new signing key %s", kid);
    }
    issuer_key_clear(&made);

    return rc;
}


int
amld_issuer_rotate(aml_registry_t *registry, const amld_config_t *config,
                   int64_t now, int revoke, char kid[AMLD_KID_SIZE])
{
    issuer_key_t made;
    int rc;

    if (issuer_key_make(&made, config->studio, now) != 0) {
        return -1;
    }
    memcpy(kid, made.key.kid, AMLD_KID_SIZE);

    rc = issuer_change(registry, config, now, &made,
                       revoke ? ISSUER_REVOKE : ISSUER_ROTATE);
    issuer_key_clear(&made);

    return rc;
}


int
amld_issuer_each(aml_registry_t *registry, amld_issuer_each_pt each, void *data)
{
    issuer_keys_t keys;
    size_t i;
    int rc;

    rc = issuer_read(registry, &keys);

    for (i = 0; i < keys.n && rc == 0; i++) {
        if (each(data, &keys.key[i].key) != 0) {
            break;
        }
    }
    issuer_keys_clear(&keys);

    return rc;
}


/* ---- tokens ---- */

/* RFC 9068, but for client_id: we have no clients.  `sid` is our own sign-in's,
 * and the token ends with it. */
static char *
issuer_claims(const amld_config_t *config, const amld_mint_t *mint,
              int64_t issued)
{
    char id[AML_UUID_TEXT + 1], sub[AML_UUID_TEXT + 1], sid[AML_UUID_TEXT + 1];
    char *text;
    aml_principal_id_t jti;
    json_t *json;

    if (aml_uuid_random(&jti) != 0) {
        return NULL;
    }
    aml_uuid_format(&jti, id);
    aml_uuid_format(&mint->principal, sub);
    if (mint->sign_in != NULL) {
        aml_uuid_format(mint->sign_in, sid);
    }

    json =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s*}", "iss",
                  config->studio, "aud", config->studio, "sub", sub,
                  "preferred_username", mint->name, "iat", (json_int_t) issued,
                  "exp", (json_int_t) issued + config->token_lifetime, "jti",
                  id, "sid", mint->sign_in != NULL ? sid : NULL);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    return text;
}


static char *
issuer_sign(const issuer_key_t *k, const char *claims)
{
    char *token = NULL;
    jwt_t *jwt = NULL;

    if (jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, claims) == 0 &&
        jwt_add_header(jwt, "kid", k->key.kid) == 0 &&
        jwt_add_header(jwt, "typ", "at+jwt") == 0 &&
        jwt_set_alg(jwt, JWT_ALG_RS256, (const unsigned char *) k->private_pem,
                    (int) strlen(k->private_pem)) == 0) {
        token = jwt_encode_str(jwt);
    }
    jwt_free(jwt);

    return token;
}


amld_account_rc_t
amld_issuer_mint(aml_registry_t *registry, const amld_config_t *config,
                 const amld_mint_t *mint, int64_t now, char **token)
{
    issuer_keys_t keys;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int64_t issued = now;
    char *claims;
    int same;
    size_t i;

    *token = NULL;
    memset(&keys, 0, sizeof(keys));

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        (void) issuer_failed(rc);
        return AMLD_ACCOUNT_FAILED;
    }

    same = mint->account == NULL || amld_account_same(txn, mint->account);
    rc = amld_principal_issued(txn, &mint->principal, now, &issued);
    if (rc == AML_REGISTRY_OK) {
        rc = issuer_keys_load(txn, &keys);
    }
    aml_registry_end(txn);

    if (!same || rc == AML_REGISTRY_DENIED || rc == AML_REGISTRY_NOTFOUND) {
        issuer_keys_clear(&keys);
        return AMLD_ACCOUNT_REFUSED;
    }

    i = issuer_signer(&keys, now);
    if (rc == AML_REGISTRY_OK && i < keys.n) {
        claims = issuer_claims(config, mint, issued);
        if (claims != NULL) {
            *token = issuer_sign(&keys.key[i], claims);
        }
        free(claims);
    }
    issuer_keys_clear(&keys);

    if (*token == NULL) {
        amld_log(AMLD_LOG_ERROR, "issuer: a token can't be signed");
        return AMLD_ACCOUNT_FAILED;
    }

    return AMLD_ACCOUNT_OK;
}
