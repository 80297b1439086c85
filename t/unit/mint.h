/*
 * Keys, signatures and tokens for tests: OpenSSL alone, nothing of what is
 * tested but base64url.
 */

#ifndef AML_TEST_MINT_H
#define AML_TEST_MINT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "auth/base64url.h"
#include "auth/key.h"

#define MINT_SIG_MAX 1024
#define MINT_SALT_DIGEST RSA_PSS_SALTLEN_DIGEST


/* Signs as RFC 7518 and RFC 8037 say; returns the bytes written. `salt` is
 * for PS. */
static inline size_t
mint_sign_salt(EVP_PKEY *pkey, aml_alg_t alg, int salt, const void *data,
               size_t n, unsigned char sig[MINT_SIG_MAX])
{
    int half;
    char md[8];
    size_t len;
    aml_str_t name;
    ECDSA_SIG *parsed;
    EVP_MD_CTX *ctx;
    EVP_PKEY_CTX *pctx;
    const BIGNUM *r, *s;
    const unsigned char *p;

    len = MINT_SIG_MAX;
    name = aml_alg_name(alg);
    memcpy(md, "SHA", 3);
    memcpy(md + 3, name.p + 2, 4);

    ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx,
                                           alg == AML_ALG_EDDSA ? NULL : md,
                                           NULL, NULL, pkey, NULL),
                     1);
    if (name.p[0] == 'P') {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) ==
                        1 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) == 1);
    }

    assert_int_equal(EVP_DigestSign(ctx, sig, &len, data, n), 1);
    EVP_MD_CTX_free(ctx);

    if (name.p[0] == 'E' && alg != AML_ALG_EDDSA) {
        p = sig;
        parsed = d2i_ECDSA_SIG(NULL, &p, (long) len);
        assert_non_null(parsed);
        ECDSA_SIG_get0(parsed, &r, &s);
        half = (EVP_PKEY_get_bits(pkey) + 7) / 8;
        BN_bn2binpad(r, sig, half);
        BN_bn2binpad(s, sig + half, half);
        ECDSA_SIG_free(parsed);
        len = 2 * (size_t) half;
    }

    return len;
}


static inline size_t
mint_sign(EVP_PKEY *pkey, aml_alg_t alg, const void *data, size_t n,
          unsigned char sig[MINT_SIG_MAX])
{
    return mint_sign_salt(pkey, alg, MINT_SALT_DIGEST, data, n, sig);
}


/* Header and payload as they are, and a dot; the caller frees. */
static inline char *
mint_unsigned(const void *header, size_t hlen, const void *payload, size_t plen)
{
    char *token;
    size_t at;

    token = malloc(aml_base64url_size(hlen) + aml_base64url_size(plen) +
                   2 * MINT_SIG_MAX + 3);
    assert_non_null(token);

    at = aml_base64url_encode(token, header, hlen);
    token[at++] = '.';
    at += aml_base64url_encode(token + at, payload, plen);
    token[at++] = '.';
    token[at] = '\0';

    return token;
}


/* Adds the signature to what mint_unsigned() made. */
static inline char *
mint_signed(char *token, EVP_PKEY *pkey, aml_alg_t alg)
{
    size_t n, siglen;
    unsigned char sig[MINT_SIG_MAX];

    n = strlen(token);
    siglen = mint_sign(pkey, alg, token, n - 1, sig);
    token[n + aml_base64url_encode(token + n, sig, siglen)] = '\0';

    return token;
}


static inline char *
mint_token(EVP_PKEY *pkey, aml_alg_t alg, const char *header,
           const char *payload)
{
    return mint_signed(
        mint_unsigned(header, strlen(header), payload, strlen(payload)), pkey,
        alg);
}


/* A verifier for what signs. */
static inline aml_verifier_t *
mint_verifier(EVP_PKEY *pkey, aml_alg_t only)
{
    static char room[AML_RECORD_MAX];
    aml_verifier_t *v;
    aml_public_key_t key;

    assert_non_null(pkey);
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_OK);
    key.alg = (uint16_t) only;
    assert_int_equal(aml_verifier_new(&key, &v), AML_KEY_OK);

    return v;
}

#endif /* AML_TEST_MINT_H */
