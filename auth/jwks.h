/*
 * JWK Sets: RFC 7517 with the keys of RFC 7518 section 6 and RFC 8037.
 *
 * What a provider publishes becomes public keys that signatures can be checked
 * with, and nothing else: `x5c`, `x5u` and `jku` are not looked at, and no
 * address is followed.  A key that is not taken is counted with the reason;
 * one bad key does not spoil the others.
 */

#ifndef AML_JWKS_H
#define AML_JWKS_H

#include <jansson.h>
#include <stddef.h>

#include "auth/str.h"
#include "registry/records.h"

#define AML_JWKS_KEYS_MAX 64 /* keys of a set, those not taken included */
#define AML_JWKS_SIZE_MAX ((size_t) 256 * 1024) /* bytes */

typedef enum {
    AML_JWK_TAKEN = 0,
    AML_JWK_MALFORMED, /* a member is missing or of a wrong form */
    AML_JWK_TYPE,      /* a `kty` that is not known */
    AML_JWK_CURVE,     /* a `crv` that is not known */
    AML_JWK_SYMMETRIC, /* `kty` oct: who can check can sign */
    AML_JWK_PRIVATE,   /* the private half was published, here or elsewhere in
                          the set: anybody can sign with it */
    AML_JWK_USE,       /* by `use` or `key_ops` not for checking signatures */
    AML_JWK_ALGORITHM, /* an `alg` that is none of aml_alg_t, or not this
                          key's */
    AML_JWK_INVALID,   /* sizes, or a point that is not on its curve */
    AML_JWK_KID,       /* a `kid` that no token can have: see auth/jwt.h */
    AML_JWK_REPEATED,  /* another key for signatures has the same `kid` */
    AML_JWK_VERDICTS
} aml_jwk_verdict_t;

/* For a log, behind the number of keys: "of an unknown type". */
const char *aml_jwk_verdict_text(aml_jwk_verdict_t verdict);

typedef struct {
    aml_str_t kid;    /* where the set has none, the RFC 7638 thumbprint */
    aml_str_t issuer; /* Entra's member: whose tokens it signs; may be empty */
    aml_public_key_t key; /* `expires` is 0 */
} aml_jwk_t;

typedef struct {
    size_t key_count;
    aml_jwk_t keys[AML_JWKS_KEYS_MAX];   /* in the order of the set */
    unsigned verdicts[AML_JWK_VERDICTS]; /* how many keys had each */
    json_t *json;                        /* what strings point into */
    char *room;
} aml_jwks_t;

typedef enum {
    AML_JWKS_OK = 0,
    AML_JWKS_LARGE,     /* over AML_JWKS_SIZE_MAX */
    AML_JWKS_MALFORMED, /* no JSON object with an array `keys`; see json.h */
    AML_JWKS_MANY,      /* over AML_JWKS_KEYS_MAX */
    AML_JWKS_FILE,      /* the file can't be read: errno */
    AML_JWKS_FAILED     /* no memory */
} aml_jwks_rc_t;

/* A sentence for a log, static, without a full stop. */
const char *aml_jwks_strerror(aml_jwks_rc_t rc);

/*
 * OK also for a set of which no key could be taken: `set->key_count` says.
 * A `kid` that two keys for signatures share names neither of them, since
 * nobody could say which; a key for encryption may have it beside.
 * aml_jwks_clear() is due in every case.
 */
aml_jwks_rc_t aml_jwks_parse(aml_str_t text, aml_jwks_t *set);
/* The same of a file. */
aml_jwks_rc_t aml_jwks_read(const char *file, aml_jwks_t *set);
void aml_jwks_clear(aml_jwks_t *set);

#endif /* AML_JWKS_H */
