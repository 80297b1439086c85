/*
 * Public keys: from a registry record or a JWK to something that verifies.
 *
 * An aml_verifier_t is built once for a key and used for many tokens; it holds
 * an EVP_PKEY made by EVP_PKEY_fromdata() and contexts that are re-used.  It is
 * for one thread.
 */

#ifndef AML_KEY_H
#define AML_KEY_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/str.h"
#include "registry/records.h"

/* RFC 7518 section 3.1, RFC 8037.  No HMAC and no "none", on purpose. */
typedef enum {
    AML_ALG_NONE = 0, /* not an algorithm: an unset field */
    AML_ALG_RS256,
    AML_ALG_RS384,
    AML_ALG_RS512,
    AML_ALG_PS256,
    AML_ALG_PS384,
    AML_ALG_PS512,
    AML_ALG_ES256,
    AML_ALG_ES384,
    AML_ALG_ES512,
    AML_ALG_EDDSA,
    AML_ALG_COUNT
} aml_alg_t;

#define AML_RSA_BITS_MIN 2048
#define AML_RSA_BITS_MAX 8192

/* Exact, case-sensitive; AML_ALG_NONE for anything else. */
aml_alg_t aml_alg_find(aml_str_t name);
aml_str_t aml_alg_name(aml_alg_t alg);

/* 1 when a key of this type and curve can make signatures of this kind. */
int aml_alg_fits(aml_alg_t alg, aml_kty_t kty, aml_curve_t curve);


typedef struct aml_verifier aml_verifier_t;

typedef enum {
    AML_KEY_OK = 0,
    AML_KEY_INVALID,     /* sizes, an RSA modulus out of range, a point that
                            is not on its curve, an even or tiny exponent */
    AML_KEY_UNSUPPORTED, /* a type or curve that is not known */
    AML_KEY_FAILED       /* OpenSSL: no memory */
} aml_key_rc_t;

/* Copies what it needs of `key`. */
aml_key_rc_t
aml_verifier_new(const aml_public_key_t *key, aml_verifier_t **out);
void aml_verifier_free(aml_verifier_t *v);

/* 1 when the key is for this algorithm: by its type, its curve and the one
 * that its record names. */
int aml_verifier_fits(const aml_verifier_t *v, aml_alg_t alg);

/*
 * 1 when `sig` (raw bytes; for ES the r and s of RFC 7518 section 3.4, exact
 * length) is the signature of `alg` over `data`; 0 when it is not, or when
 * the key is not for that algorithm; -1 when OpenSSL fails.
 */
int aml_verifier_check(aml_verifier_t *v, aml_alg_t alg, const void *data,
                       size_t n, const void *sig, size_t siglen);


/*
 * The record for the public half of `pkey`.  The strings point into `room`
 * (AML_RECORD_MAX bytes are always enough).
 */
aml_key_rc_t aml_public_key_of(EVP_PKEY *pkey, aml_public_key_t *key,
                               void *room, size_t size);

/* RFC 7638 thumbprint, SHA-256, as base64url: 43 characters and a NUL. */
int aml_key_thumbprint(const aml_public_key_t *key, char kid[44]);

#endif /* AML_KEY_H */
