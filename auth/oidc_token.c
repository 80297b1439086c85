/*
 * ID and logout tokens.
 */

#include "auth/oidc_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64url.h"
#include "auth/claims.h"
#include "auth/json.h"
#include "auth/key_keeper.h"
#include "auth/key_records.h"
#include "auth/key_source.h"
#include "auth/lookup.h"

#define SUBJECT_KEY "subject/"


/* ---- issuers and keys ---- */

typedef struct {
    aml_registry_txn_t *txn;
    const amld_issuer_config_t *issuer;
    int64_t now;
    int nameless; /* a key was asked for that the token does not name */
    aml_verifier_t *verifier;
} token_source_t;


/* From the configuration: the registry has only those whose access tokens are
 * taken. */
static aml_reason_t
issuer_get(const amld_issuer_config_t *issuer, aml_str_t iss,
           aml_issuer_t *record)
{
    size_t i;

    for (i = 0; i < issuer->iss_count; i++) {
        if (aml_str_eq(aml_str_of(issuer->iss[i].iss), iss)) {
            amld_keys_issuer(issuer, i, record);
            return AML_REASON_OK;
        }
    }

    return AML_REASON_TOKEN_ISSUER;
}


/* Only the section's own: of two providers, each speaks for itself.  What is
 * for us has our client_id, whatever access tokens have. */
static aml_reason_t
source_issuer(void *data, aml_str_t iss, aml_issuer_t *record)
{
    const token_source_t *s = data;
    aml_reason_t rc;

    rc = issuer_get(s->issuer, iss, record);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    record->audience_count = 1;
    record->audiences[0] = aml_str_of(s->issuer->client_id);
    if (s->issuer->userinfo) {
        record->identity_claim = aml_str(""); /* which may be there only */
    }

    return AML_REASON_OK;
}


static aml_reason_t
key_get(aml_registry_txn_t *txn, aml_str_t iss, aml_str_t kid,
        aml_public_key_t *key)
{
    char name[AML_REGISTRY_KEY_MAX + 1];
    aml_found_t found;
    aml_str_t value;
    size_t n;

    found = aml_key_find(txn, iss, kid, name, &n);
    if (found == AML_FOUND) {
        found = aml_look_up(txn, name, n, &value);
    }

    switch (found) {
    case AML_FOUND:
        return aml_public_key_decode(value, key) == AML_RECORD_OK
                   ? AML_REASON_OK
                   : AML_REASON_REGISTRY_UNAVAILABLE;
    case AML_ABSENT:
        return AML_REASON_TOKEN_KEY;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


static aml_reason_t
source_key(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **verifier)
{
    token_source_t *s = data;
    aml_public_key_t key;
    aml_reason_t rc;

    s->nameless = kid.n == 0;

    rc = key_get(s->txn, iss, kid, &key);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    if (key.expires != 0 && key.expires <= s->now) {
        return AML_REASON_TOKEN_KEY;
    }

    switch (aml_verifier_new(&key, &s->verifier)) {
    case AML_KEY_OK:
        *verifier = s->verifier;
        return AML_REASON_OK;
    case AML_KEY_FAILED:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    default:
        return AML_REASON_TOKEN_KEY;
    }
}


/* One look at it, in a snapshot of its own. */
static aml_reason_t
token_open(amld_t *d, const amld_issuer_config_t *issuer, const char *token,
           int64_t now, aml_jwt_use_t use, aml_alg_t *alg, amld_oidc_who_t *who)
{
    token_source_t s = {.issuer = issuer, .now = now};
    aml_jwt_header_t *header = calloc(1, sizeof(*header));
    aml_jwt_source_t source = {&s, source_issuer, source_key, header};
    aml_reason_t rc = AML_REASON_REGISTRY_UNAVAILABLE;

    if (header != NULL && issuer->client_id != NULL &&
        aml_registry_read(d->registry, &s.txn) == AML_REGISTRY_OK) {
        rc = aml_jwt_open(aml_str_of(token), now, use, &source, &who->identity,
                          &who->claims);
        aml_registry_end(s.txn);
        *alg = header->alg;
    }

    /* the only key did not sign it: another may have taken its place */
    if (s.nameless && (rc == AML_REASON_TOKEN_SIGNATURE ||
                       rc == AML_REASON_TOKEN_ALGORITHM)) {
        rc = AML_REASON_TOKEN_KEY;
    }

    aml_verifier_free(s.verifier);
    free(header);

    return rc;
}


static const char *
claim_text(const json_t *claims, const char *name)
{
    const json_t *v = json_object_get(claims, name);

    return json_is_string(v) ? json_string_value(v) : "";
}


const char *
amld_oidc_unverified(const char *token, const char *claim, json_t **json)
{
    const char *dot = strchr(token, '.'), *end = NULL;
    char *room;
    size_t n;

    *json = NULL;

    if (dot != NULL) {
        end = strchr(++dot, '.');
    }
    if (end == NULL || end - dot > AML_JWT_MAX) {
        return NULL;
    }

    n = (size_t) (end - dot);
    room = malloc(aml_base64url_room(n) + 1);
    if (room != NULL && aml_base64url_decode(room, &n, dot, n) == 0) {
        *json = aml_json_object((aml_str_t){room, n});
    }
    free(room);

    return json_string_value(json_object_get(*json, claim));
}


static void
token_names(const amld_issuer_config_t *issuer, amld_oidc_who_t *who)
{
    who->issuer = issuer;
    who->iss = claim_text(who->claims, "iss");
    who->subject = claim_text(who->claims, "sub");
    who->sid = claim_text(who->claims, "sid");
}


/* ---- ID tokens ---- */

static int
same_secret(const char *a, const char *b)
{
    size_t n = strlen(a);

    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}


static const EVP_MD *
alg_hash(aml_alg_t alg)
{
    switch (alg) {
    case AML_ALG_RS384:
    case AML_ALG_PS384:
    case AML_ALG_ES384:
        return EVP_sha384();
    case AML_ALG_RS512:
    case AML_ALG_PS512:
    case AML_ALG_ES512:
    case AML_ALG_EDDSA: /* Ed25519 */
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}


/* OpenID Connect Core section 3.1.3.6: the left half of the hash. */
static int
at_hash_fits(const char *at_hash, const char *access_token, aml_alg_t alg)
{
    char text[EVP_MAX_MD_SIZE];
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n;

    if (EVP_Digest(access_token, strlen(access_token), hash, &n, alg_hash(alg),
                   NULL) != 1) {
        return 0;
    }

    text[aml_base64url_encode(text, hash, n / 2)] = '\0';

    return same_secret(at_hash, text);
}


/* Where there are several audiences, it has to say that it is for us. */
static int
azp_fits(const json_t *claims, const char *client_id)
{
    const json_t *azp = json_object_get(claims, "azp");
    const json_t *aud = json_object_get(claims, "aud");

    if (azp == NULL) {
        return json_array_size(aud) <= 1;
    }

    return json_is_string(azp) &&
           strcmp(json_string_value(azp), client_id) == 0;
}


static aml_reason_t
id_token_claims(const amld_oidc_who_t *who, const char *client_id,
                const char *nonce, const char *access_token, aml_alg_t alg,
                int64_t now)
{
    const json_t *at_hash = json_object_get(who->claims, "at_hash");
    size_t subject = strlen(who->subject);

    if (subject == 0 || subject > AMLD_SUBJECT_MAX ||
        json_object_get(who->claims, "iat") == NULL ||
        !azp_fits(who->claims, client_id) ||
        (nonce != NULL &&
         !same_secret(claim_text(who->claims, "nonce"), nonce))) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    if (at_hash != NULL &&
        (!json_is_string(at_hash) ||
         !at_hash_fits(json_string_value(at_hash), access_token, alg))) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    return who->identity.issued + AMLD_ID_TOKEN_AGE < now
               ? AML_REASON_TOKEN_EXPIRED
               : AML_REASON_OK;
}


aml_reason_t
amld_oidc_id_token(amld_t *d, const amld_issuer_config_t *issuer,
                   const char *token, const char *nonce,
                   const char *access_token, int64_t now, amld_oidc_who_t *who)
{
    aml_alg_t alg = AML_ALG_NONE;
    aml_reason_t rc;

    memset(who, 0, sizeof(*who));

    rc = token_open(d, issuer, token, now, AML_JWT_ID, &alg, who);

    if (rc == AML_REASON_TOKEN_KEY && d->keys != NULL &&
        amld_key_keeper_fetch(d->keys, issuer) == 0) {
        rc = token_open(d, issuer, token, now, AML_JWT_ID, &alg, who);
    }
    if (rc != AML_REASON_OK) {
        return rc;
    }

    token_names(issuer, who);

    return id_token_claims(who, issuer->client_id, nonce, access_token, alg,
                           now);
}


aml_reason_t
amld_oidc_logout_token(amld_t *d, const amld_issuer_config_t *issuer,
                       const char *token, int64_t now, amld_oidc_who_t *who)
{
    const json_t *sub, *sid, *jti;
    aml_alg_t alg = AML_ALG_NONE;
    aml_reason_t rc;

    memset(who, 0, sizeof(*who));

    rc = token_open(d, issuer, token, now, AML_JWT_LOGOUT, &alg, who);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    token_names(issuer, who);
    sub = json_object_get(who->claims, "sub");
    sid = json_object_get(who->claims, "sid");
    jti = json_object_get(who->claims, "jti");

    if (!json_is_string(jti) || json_string_length(jti) == 0 ||
        json_object_get(who->claims, "iat") == NULL ||
        (sub != NULL && *who->subject == '\0') ||
        (sid != NULL && *who->sid == '\0') || (sub == NULL && sid == NULL)) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    return who->identity.issued + AMLD_ID_TOKEN_AGE < now
               ? AML_REASON_TOKEN_EXPIRED
               : AML_REASON_OK;
}


/* ---- UserInfo ---- */

aml_reason_t
amld_oidc_add_userinfo(json_t *userinfo, amld_oidc_who_t *who)
{
    aml_str_t iss = aml_str_of(who->iss);
    aml_issuer_t issuer;
    aml_reason_t rc;

    /* OpenID Connect Core section 5.3.2 */
    if (!same_secret(claim_text(userinfo, "sub"), who->subject)) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    if (json_object_update_missing(who->claims, userinfo) != 0) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    rc = issuer_get(who->issuer, iss, &issuer);

    return rc != AML_REASON_OK
               ? rc
               : aml_claims_identity(who->claims, iss, &issuer, AML_JWT_ID,
                                     &who->identity);
}


aml_reason_t
amld_oidc_only_userinfo(const amld_issuer_config_t *issuer, const char *iss,
                        const char *subject, json_t *userinfo,
                        amld_oidc_who_t *who)
{
    memset(who, 0, sizeof(*who));

    who->claims = json_pack("{s:s, s:s}", "iss", iss, "sub", subject);
    if (who->claims == NULL) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
    token_names(issuer, who);

    return amld_oidc_add_userinfo(userinfo, who);
}


/* ---- `sub`, where it is not the identity ---- */

/* "key/<issuer>/<sub>" has both parts escaped; 0 when they are too long. */
static size_t
subject_key(char key[AML_REGISTRY_KEY_MAX + 1], const amld_oidc_who_t *who)
{
    char name[AML_REGISTRY_KEY_MAX + 1];
    size_t n =
        aml_key_key(name, aml_str_of(who->iss), aml_str_of(who->subject));

    if (n == 0 || n + sizeof(SUBJECT_KEY) > AML_REGISTRY_KEY_MAX) {
        return 0;
    }

    return (size_t) snprintf(key, AML_REGISTRY_KEY_MAX + 1, SUBJECT_KEY "%s",
                             name + sizeof("key/") - 1);
}


/* Is the principal made of `sub`?  Then it is filled. */
static int
subject_follows(const amld_oidc_who_t *who, aml_principal_id_t *principal)
{
    aml_str_t iss = aml_str_of(who->iss);
    aml_issuer_t issuer;

    return issuer_get(who->issuer, iss, &issuer) == AML_REASON_OK &&
           issuer.identity == AML_IDENTITY_SUB &&
           (issuer.identity_claim.n == 0 ||
            aml_str_eq(issuer.identity_claim, aml_str("sub"))) &&
           aml_principal_derive(issuer.space.n > 0 ? issuer.space : iss,
                                aml_str_of(who->subject), principal) == 0;
}


aml_registry_rc_t
amld_oidc_principal(aml_registry_txn_t *txn, const amld_oidc_who_t *who,
                    aml_principal_id_t *principal)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t n = subject_key(key, who);
    aml_registry_rc_t rc;
    aml_str_t value;

    if (subject_follows(who, principal)) {
        return AML_REGISTRY_OK;
    }

    rc = n == 0 ? AML_REGISTRY_NOTFOUND : aml_registry_get(txn, key, n, &value);
    if (rc == AML_REGISTRY_OK && aml_uuid_parse(value, principal) != 0) {
        rc = AML_REGISTRY_CORRUPT;
    }

    return rc;
}


aml_registry_rc_t
amld_oidc_remember(aml_registry_txn_t *txn, const amld_oidc_who_t *who)
{
    char key[AML_REGISTRY_KEY_MAX + 1], id[AML_UUID_TEXT + 1];
    size_t n = subject_key(key, who);
    aml_principal_id_t principal;

    if (n == 0 || subject_follows(who, &principal)) {
        return AML_REGISTRY_OK;
    }

    aml_uuid_format(&who->identity.principal, id);

    return aml_registry_put(txn, key, n, id, AML_UUID_TEXT);
}
