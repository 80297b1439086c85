/*
 * What a token costs, in microseconds of this process, one thread:
 *
 *   cc -O2 -std=c11 -D_GNU_SOURCE -I. -o jwt_bench bench/jwt_bench.c \
 *       build/release/libaml.a -ljansson -lcrypto -llmdb
 *
 * Tokens are all different, so that a verify is what a worker pays for one
 * that it has not seen.
 */

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/base64url.h"
#include "auth/jwt.h"
#include "auth/token_cache.h"

#define ISSUER "https://login.example.org/2f0c1f5a/v2.0"
#define AUDIENCE "api://gateway"
#define COUNT 5000

static aml_verifier_t *verifier;


static aml_reason_t
issuer_of(void *data, aml_str_t iss, aml_issuer_t *issuer)
{
    (void) data;

    memset(issuer, 0, sizeof(*issuer));
    issuer->algs = ~0u;
    issuer->audience_count = 1;
    issuer->audiences[0] = aml_str(AUDIENCE);
    issuer->name_claim = aml_str("name");

    return aml_str_eq(iss, aml_str(ISSUER)) ? AML_REASON_OK
                                            : AML_REASON_TOKEN_ISSUER;
}


static aml_reason_t
key_of(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **out)
{
    (void) data;
    (void) iss;
    (void) kid;

    *out = verifier;

    return AML_REASON_OK;
}


static double
seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);

    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}


/* RFC 7518 section 3.4 from DER; `size` is one coordinate's. */
static size_t
raw_signature(unsigned char *sig, size_t n, int size)
{
    const BIGNUM *r, *s;
    const unsigned char *p;
    ECDSA_SIG *parsed;

    p = sig;
    parsed = d2i_ECDSA_SIG(NULL, &p, (long) n);
    if (parsed == NULL) {
        exit(1);
    }

    ECDSA_SIG_get0(parsed, &r, &s);
    BN_bn2binpad(r, sig, size);
    BN_bn2binpad(s, sig + size, size);
    ECDSA_SIG_free(parsed);

    return 2 * (size_t) size;
}


static char *
mint(EVP_PKEY *pkey, const char *alg, int i)
{
    int n;
    size_t at, siglen;
    char *token, json[1024];
    unsigned char sig[1024];
    EVP_MD_CTX *ctx;

    token = malloc(4096);
    ctx = EVP_MD_CTX_new();
    siglen = sizeof(sig);

    n = snprintf(json, sizeof(json),
                 "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"k1\"}", alg);
    at = aml_base64url_encode(token, json, (size_t) n);
    token[at++] = '.';

    n = snprintf(
        json, sizeof(json),
        "{\"aud\":\"" AUDIENCE "\",\"iss\":\"" ISSUER "\",\"iat\":1000,"
        "\"nbf\":1000,\"exp\":5000,\"name\":\"Ada Lovelace\","
        "\"oid\":\"6d1f7a1e-1111-4222-8333-%012d\",\"sub\":\"s%d\","
        "\"preferred_username\":\"ada@example.org\","
        "\"tid\":\"2f0c1f5a-5555-4666-8777-123456789abc\","
        "\"scp\":\"user_impersonation\",\"uti\":\"%08x%08x\",\"ver\":\"2.0\"}",
        i, i, rand(), rand());
    at += aml_base64url_encode(token + at, json, (size_t) n);

    if (EVP_DigestSignInit(ctx, NULL, alg[1] == 'S' ? EVP_sha256() : NULL, NULL,
                           pkey) != 1 ||
        EVP_DigestSign(ctx, sig, &siglen, (unsigned char *) token, at) != 1) {
        exit(1);
    }

    if (alg[0] == 'E' && alg[1] == 'S') {
        siglen = raw_signature(sig, siglen, 32);
    }

    token[at++] = '.';
    at += aml_base64url_encode(token + at, sig, siglen);
    token[at] = '\0';
    EVP_MD_CTX_free(ctx);

    return token;
}


static void
measure(EVP_PKEY *pkey, const char *alg)
{
    int i, round;
    char room[AML_RECORD_MAX], **tokens;
    double t, best, build, put, hit;
    aml_public_key_t key;
    aml_jwt_identity_t who;
    aml_token_cache_t *cache;
    aml_jwt_header_t header = {0};
    const aml_jwt_source_t source = {NULL, issuer_of, key_of, &header};

    if (pkey == NULL ||
        aml_public_key_of(pkey, &key, room, sizeof(room)) != AML_KEY_OK) {
        exit(1);
    }

    t = seconds();
    for (i = 0; i < 1000; i++) {
        if (aml_verifier_new(&key, &verifier) != AML_KEY_OK) {
            exit(1);
        }
        if (i < 999) {
            aml_verifier_free(verifier);
        }
    }
    build = (seconds() - t) / 1000;

    tokens = calloc(COUNT, sizeof(*tokens));
    for (i = 0; i < COUNT; i++) {
        tokens[i] = mint(pkey, alg, i);
    }

    best = 1;
    for (round = 0; round < 5; round++) {
        t = seconds();
        for (i = 0; i < COUNT; i++) {
            if (aml_jwt_verify(aml_str_of(tokens[i]), 2000, &source, &who) !=
                AML_REASON_OK) {
                exit(1);
            }
        }
        t = (seconds() - t) / COUNT;
        best = t < best ? t : best;
    }

    cache = aml_token_cache_new(16 * COUNT);
    t = seconds();
    for (i = 0; i < COUNT; i++) {
        aml_token_cache_put(cache, aml_str_of(tokens[i]), 1, 2000, &who);
    }
    put = (seconds() - t) / COUNT;

    t = seconds();
    for (i = 0; i < 200 * COUNT; i++) {
        if (aml_token_cache_get(cache, aml_str_of(tokens[7]), 1, 2000) ==
            NULL) {
            exit(1);
        }
    }
    hit = (seconds() - t) / (200 * COUNT);

    printf("%-6s %4zu bytes  key %6.2f  verify %7.2f  put %5.2f  hit %5.2f "
           "us\n",
           alg, strlen(tokens[0]), build * 1e6, best * 1e6, put * 1e6,
           hit * 1e6);

    for (i = 0; i < COUNT; i++) {
        free(tokens[i]);
    }
    free(tokens);
    aml_token_cache_free(cache);
    aml_verifier_free(verifier);
    EVP_PKEY_free(pkey);
}


int
main(void)
{
    measure(EVP_RSA_gen(2048), "RS256");
    measure(EVP_EC_gen("P-256"), "ES256");
    measure(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "EdDSA");

    return 0;
}
