/*
 * Tokens.  With an even first byte the input is the token; otherwise it is
 * header and claims, parted by a newline, and gets a good Ed25519 signature,
 * so that what comes behind the signature is reached, too.
 */

#include <assert.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static EVP_PKEY *signer;
static aml_verifier_t *verifier;
static char room[AML_RECORD_MAX];

#define NOW 1700000000


static aml_reason_t
source_issuer(void *data, aml_str_t iss, aml_issuer_t *issuer)
{
    (void) data;
    (void) iss;
    *issuer = (aml_issuer_t){.algs = 1U << AML_ALG_EDDSA,
                             .leeway = 60,
                             .name_claim = aml_str("name"),
                             .audience_count = 1};
    issuer->audiences[0] = aml_str("a");
    return AML_REASON_OK;
}


static aml_reason_t
source_key(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **v)
{
    (void) data;
    (void) iss;
    (void) kid;
    *v = verifier;
    return AML_REASON_OK;
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const unsigned char secret[32] = {1};
    aml_public_key_t key;

    (void) argc;
    (void) argv;
    signer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret,
                                          sizeof(secret));
    if (signer == NULL ||
        aml_public_key_of(signer, &key, room, sizeof(room)) != AML_KEY_OK ||
        aml_verifier_new(&key, &verifier) != AML_KEY_OK) {
        abort();
    }
    return 0;
}


/* A token of the two parts, NULL when there is no memory. */
static char *
sign(const uint8_t *data, size_t n, size_t *size)
{
    const uint8_t *end = memchr(data, '\n', n);
    size_t header = end != NULL ? (size_t) (end - data) : n;
    size_t claims = end != NULL ? n - header - 1 : 0;
    unsigned char sig[64];
    size_t siglen = sizeof(sig);
    char *token =
        malloc(aml_base64url_size(header) + aml_base64url_size(claims) + 128);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t at;

    if (token == NULL || md == NULL) {
        free(token);
        EVP_MD_CTX_free(md);
        return NULL;
    }
    at = aml_base64url_encode(token, data, header);
    token[at++] = '.';
    at += aml_base64url_encode(token + at, data + n - claims, claims);
    if (EVP_DigestSignInit(md, NULL, NULL, NULL, signer) != 1 ||
        EVP_DigestSign(md, sig, &siglen, (unsigned char *) token, at) != 1) {
        abort();
    }
    EVP_MD_CTX_free(md);
    token[at++] = '.';
    at += aml_base64url_encode(token + at, sig, siglen);
    *size = at;
    return token;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static aml_jwt_header_t header;
    const aml_jwt_source_t source = {NULL, source_issuer, source_key, &header};
    aml_jwt_identity_t identity;
    size_t size = n;
    char *token;

    if (n == 0) {
        return 0;
    }
    if ((data[0] & 1) != 0) {
        token = sign(data + 1, n - 1, &size);
    } else {
        size = n - 1;
        token = malloc(size > 0 ? size : 1);
        if (token != NULL) {
            memcpy(token, data + 1, size);
        }
    }
    if (token == NULL) {
        return 0;
    }
    if (aml_jwt_verify((aml_str_t){token, size}, NOW, &source, &identity) ==
        AML_REASON_OK) {
        assert((data[0] & 1) != 0);
        assert(identity.expires > NOW - 61);
        assert(identity.name_len <= AML_JWT_NAME_MAX);
    }
    free(token);
    return 0;
}
