/*
 * What comes from identity providers when people sign in and out: ID tokens,
 * logout tokens, UserInfo, and the query that a browser comes back with.  The
 * first byte chooses.  Tokens are header and claims, parted by a newline, and
 * get a good signature, so that what comes behind it is reached; "token" is one
 * as it is.
 */

#include <assert.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/base64url.h"
#include "auth/issuer_kinds.h"
#include "auth/json.h"
#include "auth/oidc_token.h"
#include "computes/http/http_internal.h"
#include "registry/records.h"

#define NOW 1700000000
#define ISS "https://id.example"
#define NONCE "n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[] = "/tmp/aml-fuzz-XXXXXX";
static char name[] = "name", iss[] = ISS, client[] = "aml", groups[] = "groups",
            none[] = "";
static EVP_PKEY *signer;
static amld_issuer_config_t issuer;
static amld_config_t config;
static amld_t daemon_;


static void
remove_registry(void)
{
    static const char *const files[] = {"registry/data.mdb",
                                        "registry/lock.mdb", "registry", ""};
    char path[64];
    size_t i;

    aml_registry_close(daemon_.registry);
    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        (void) snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        (void) remove(path);
    }
}


static void
publish(void)
{
    static char room[AML_RECORD_MAX], value[AML_RECORD_MAX];
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    aml_public_key_t public;
    size_t n;

    if (aml_public_key_of(signer, &public, room, sizeof(room)) != AML_KEY_OK) {
        abort();
    }
    n = aml_public_key_encode(&public, value, sizeof(value));
    if (aml_registry_write(daemon_.registry, &txn) != AML_REGISTRY_OK ||
        aml_registry_put(txn, key, aml_key_key(key, aml_str(ISS), aml_str("k")),
                         value, n) != AML_REGISTRY_OK ||
        aml_registry_commit(txn) != AML_REGISTRY_OK) {
        abort();
    }
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const unsigned char secret[32] = {1};
    char path[64];

    (void) argc;
    (void) argv;

    signer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret,
                                          sizeof(secret));
    if (signer == NULL || mkdtemp(dir) == NULL) {
        abort();
    }
    (void) snprintf(path, sizeof(path), "%s/registry", dir);
    if (aml_registry_open_writer(path, 16 << 20, (gid_t) -1,
                                 &daemon_.registry) != AML_REGISTRY_OK) {
        abort();
    }
    (void) atexit(remove_registry);

    issuer = (amld_issuer_config_t){.name = name,
                                    .kind = amld_issuer_kind("oidc"),
                                    .algs = 1U << AML_ALG_EDDSA,
                                    .client_id = client,
                                    .identity_claim = none,
                                    .groups_claim = groups,
                                    .roles_claim = none,
                                    .leeway = 60,
                                    .sign_in = 1,
                                    .iss = calloc(1, sizeof(*issuer.iss)),
                                    .iss_count = 1};
    if (issuer.iss == NULL) {
        abort();
    }
    issuer.iss[0].iss = iss;
    issuer.iss[0].space = iss;
    issuer.iss[0].name_claim = name;
    config.issuers = &issuer;
    config.issuer_count = 1;
    daemon_.config = &config;
    publish();

    return 0;
}


/* A token of the two parts, NULL when there is no memory. */
static char *
sign(const char *data, size_t n)
{
    const char *end = memchr(data, '\n', n);
    size_t header = end != NULL ? (size_t) (end - data) : n;
    size_t claims = end != NULL ? n - header - 1 : 0, at, len = 64;
    unsigned char sig[64];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    char *token;

    token =
        malloc(aml_base64url_size(header) + aml_base64url_size(claims) + 128);
    if (token == NULL || md == NULL) {
        abort();
    }

    at = aml_base64url_encode(token, data, header);
    token[at++] = '.';
    at += aml_base64url_encode(token + at, data + n - claims, claims);
    if (EVP_DigestSignInit(md, NULL, NULL, NULL, signer) != 1 ||
        EVP_DigestSign(md, sig, &len, (unsigned char *) token, at) != 1) {
        abort();
    }
    EVP_MD_CTX_free(md);
    token[at++] = '.';
    at += aml_base64url_encode(token + at, sig, len);
    token[at] = '\0';

    return token;
}


/* What a token says is told, and lives as long as its claims. */
static void
check_who(const amld_oidc_who_t *who)
{
    assert(json_is_object(who->claims));
    assert(strcmp(who->iss, ISS) == 0);
    assert(strlen(who->subject) <= AMLD_SUBJECT_MAX);
    assert(who->sid != NULL);
    assert(who->identity.issued + AMLD_ID_TOKEN_AGE >= NOW);
    assert(who->identity.issued <= NOW + 60);
}


static void
id_token(const char *token, int is_signed)
{
    amld_oidc_who_t who;

    if (amld_oidc_id_token(&daemon_, &issuer, token, NONCE, "a", NOW, &who) ==
        AML_REASON_OK) {
        assert(is_signed);
        check_who(&who);
        assert(*who.subject != '\0');
        assert(who.identity.name_len <= AML_JWT_NAME_MAX);
        assert(strcmp(json_string_value(json_object_get(who.claims, "nonce")),
                      NONCE) == 0);
    }
    json_decref(who.claims);
}


static void
logout_token(const char *token, int is_signed)
{
    amld_oidc_who_t who;

    if (amld_oidc_logout_token(&daemon_, &issuer, token, NOW, &who) ==
        AML_REASON_OK) {
        assert(is_signed);
        check_who(&who);
        assert(*who.subject != '\0' || *who.sid != '\0');
        assert(json_object_get(who.claims, "nonce") == NULL);
        assert(json_is_string(json_object_get(who.claims, "jti")));
    }
    json_decref(who.claims);
}


static void
id_claims(char *text, size_t n)
{
    char *token = sign(text, n);

    id_token(token, 1);
    free(token);
}


static void
logout_claims(char *text, size_t n)
{
    char *token = sign(text, n);

    logout_token(token, 1);
    free(token);
}


static void
any_token(char *text, size_t n)
{
    const char *claim;
    json_t *json;

    (void) n;
    id_token(text, 0);
    logout_token(text, 0);

    claim = amld_oidc_unverified(text, "iss", &json);
    assert(claim == NULL || json_is_object(json));
    json_decref(json);
}


static void
userinfo(char *text, size_t n)
{
    json_t *json = aml_json_object((aml_str_t){text, n});
    amld_oidc_who_t who;

    if (json == NULL) {
        return;
    }
    if (amld_oidc_only_userinfo(&issuer, ISS, "ada", json, &who) ==
        AML_REASON_OK) {
        assert(strcmp(who.subject, "ada") == 0);
        assert(strcmp(json_string_value(json_object_get(who.claims, "iss")),
                      ISS) == 0);
        assert(who.identity.name_len <= AML_JWT_NAME_MAX);
    }
    json_decref(who.claims);
    json_decref(json);
}


/* Names and values are text, in the room of what was sent. */
static void
query(char *text, size_t n)
{
    amld_http_pairs_t pairs = {0};
    size_t i, total = 0;

    if (amld_http_parse_pairs(&pairs, text, n) == 0) {
        assert(pairs.n <= AMLD_HTTP_PAIRS);
        for (i = 0; i < pairs.n; i++) {
            assert(strlen(pairs.pair[i].name) == pairs.pair[i].name_len);
            total += pairs.pair[i].name_len + strlen(pairs.pair[i].value);
        }
        assert(total <= n);
    }
    amld_http_pairs_free(&pairs);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const targets[])(char *, size_t) = {
        id_claims, logout_claims, any_token, userinfo, query};
    char *copy;

    if (n == 0) {
        return 0;
    }

    /* of exactly that size and a NUL, so that one byte too far is seen */
    copy = malloc(n);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data + 1, n - 1);
    copy[n - 1] = '\0';
    targets[data[0] % 5](copy, n - 1);
    free(copy);

    return 0;
}
