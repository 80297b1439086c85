#include "tls/policy.h"

#include <stdint.h>
#include <stdio.h>

/* The same list as in aml-tls.conf: Mozilla's intermediate, ECDHE only. */
#define CIPHERS                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"               \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"               \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"


/*
 * nginx switches versions off by option and sets the bounds to 0, which means
 * the lowest and highest that OpenSSL was built with; others set the bounds.
 */
static int
version_enabled(SSL_CTX *ctx, int version, uint64_t off)
{
    long min = SSL_CTX_get_min_proto_version(ctx);
    long max = SSL_CTX_get_max_proto_version(ctx);

    return (min == 0 || min <= version) && (max == 0 || max >= version) &&
           (SSL_CTX_get_options(ctx) & off) == 0;
}


/*
 * The security level is not asked: it may forbid some of these today (level 1
 * forbids TLS 1.0 in OpenSSL 3), but it is set elsewhere, and what was written
 * is wrong either way.
 */
static const char *
old_version(SSL_CTX *ctx)
{
    static const struct {
        int version;
        uint64_t off;
        const char *name;
    } old[] = {
#ifndef OPENSSL_NO_SSL3
        {SSL3_VERSION, SSL_OP_NO_SSLv3, "SSLv3"},
#endif
        {TLS1_VERSION, SSL_OP_NO_TLSv1, "TLSv1"},
        {TLS1_1_VERSION, SSL_OP_NO_TLSv1_1, "TLSv1.1"},
    };
    size_t i;

    for (i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        if (version_enabled(ctx, old[i].version, old[i].off)) {
            return old[i].name;
        }
    }

    return NULL;
}


static int
cipher_is_good(const SSL_CIPHER *cipher)
{
    int kx = SSL_CIPHER_get_kx_nid(cipher);
    int auth = SSL_CIPHER_get_auth_nid(cipher);

    /* Integrity without encryption passes for AEAD in TLS 1.3 (RFC 9150). */
    if (!SSL_CIPHER_is_aead(cipher) ||
        SSL_CIPHER_get_cipher_nid(cipher) == NID_undef) {
        return 0;
    }

    if (kx == NID_kx_any) {
        return 1; /* TLS 1.3 */
    }

    return (kx == NID_kx_ecdhe || kx == NID_kx_dhe) &&
           (auth == NID_auth_rsa || auth == NID_auth_ecdsa);
}


static const char *
weak_cipher(SSL_CTX *ctx)
{
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    int i, tls12 = version_enabled(ctx, TLS1_2_VERSION, SSL_OP_NO_TLSv1_2);
    const SSL_CIPHER *cipher;

    for (i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        cipher = sk_SSL_CIPHER_value(ciphers, i);
        if (SSL_CIPHER_get_kx_nid(cipher) != NID_kx_any && !tls12) {
            continue;
        }
        if (!cipher_is_good(cipher)) {
            return SSL_CIPHER_get_name(cipher);
        }
    }

    return NULL;
}


aml_tls_rc_t
aml_tls_check(SSL_CTX *ctx, char *what, size_t size)
{
    const char *fault;

    if (size > 0) {
        what[0] = '\0';
    }

    fault = old_version(ctx);
    if (fault != NULL) {
        snprintf(what, size, "%s", fault);
        return AML_TLS_PROTOCOL;
    }

    fault = weak_cipher(ctx);
    if (fault != NULL) {
        snprintf(what, size, "%s", fault);
        return AML_TLS_CIPHER;
    }

    if (SSL_CTX_get0_certificate(ctx) == NULL) {
        return AML_TLS_NO_CERTIFICATE;
    }

    return AML_TLS_OK;
}


const char *
aml_tls_advice(aml_tls_rc_t rc)
{
    switch (rc) {
    case AML_TLS_OK:
        return "";
    case AML_TLS_PROTOCOL:
        return "ssl_protocols TLSv1.2 TLSv1.3;";
    case AML_TLS_CIPHER:
        return "ssl_ciphers " CIPHERS ";";
    case AML_TLS_NO_CERTIFICATE:
        return "ssl_certificate FILE; ssl_certificate_key FILE;";
    }

    return "";
}
