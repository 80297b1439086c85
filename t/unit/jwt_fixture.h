/*
 * Keys, an issuer that has them, and what is asked of tokens: for the tests of
 * tokens.
 */

#ifndef AML_TEST_JWT_FIXTURE_H
#define AML_TEST_JWT_FIXTURE_H

#include "t/unit/mint.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "auth/jwt.h"

#define NOW 1700000000
#define ISS "https://login.example.org/t1"
#define AUD "api://gateway"

#define HEAD "{\"alg\":\"RS256\",\"kid\":\"rsa\"}"

/* claims that are right, without braces: to be added to */
#define WHO "\"iss\":\"" ISS "\",\"sub\":\"ada\""
#define WHEN "\"exp\":1700000600"
#define FOR "\"aud\":\"" AUD "\""
#define GOOD "{" WHO "," WHEN "," FOR "}"

typedef struct {
    const char *kid;
    aml_alg_t only;
    EVP_PKEY *pkey;
    aml_verifier_t *verifier;
} test_key_t;

typedef struct {
    int issuers, keys; /* how often the source was asked */
    aml_reason_t issuer_rc, key_rc;
    aml_issuer_t issuer;
    aml_str_t kid;
    char kid_room[512];
} test_source_t;

static test_key_t keys[] = {
    {"rsa", AML_ALG_NONE, NULL, NULL},
    {"rsa-ps256", AML_ALG_PS256, NULL, NULL},
    {"p256", AML_ALG_NONE, NULL, NULL},
    {"p384", AML_ALG_NONE, NULL, NULL},
    {"p521", AML_ALG_NONE, NULL, NULL},
    {"ed25519", AML_ALG_NONE, NULL, NULL},
    {"ed448", AML_ALG_NONE, NULL, NULL},
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))


static inline test_key_t *
key_named(const char *kid)
{
    size_t i;

    for (i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].kid, kid) == 0) {
            return &keys[i];
        }
    }

    fail_msg("no key %s", kid);
    return NULL;
}


static inline int
make_keys(void **state)
{
    size_t i;

    (void) state;

    keys[0].pkey = EVP_RSA_gen(2048);
    keys[1].pkey = EVP_RSA_gen(2048);
    keys[2].pkey = EVP_EC_gen("P-256");
    keys[3].pkey = EVP_EC_gen("P-384");
    keys[4].pkey = EVP_EC_gen("P-521");
    keys[5].pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    keys[6].pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");

    for (i = 0; i < KEYS; i++) {
        keys[i].verifier = mint_verifier(keys[i].pkey, keys[i].only);
    }

    return 0;
}


static inline int
free_keys(void **state)
{
    size_t i;

    (void) state;

    for (i = 0; i < KEYS; i++) {
        aml_verifier_free(keys[i].verifier);
        EVP_PKEY_free(keys[i].pkey);
    }

    return 0;
}


/* ---- where issuers and keys come from ---- */

static inline aml_reason_t
find_issuer(void *data, aml_str_t iss, aml_issuer_t *issuer)
{
    test_source_t *s = data;

    s->issuers++;
    if (s->issuer_rc != AML_REASON_OK) {
        return s->issuer_rc;
    }

    *issuer = s->issuer;

    return aml_str_eq(iss, aml_str(ISS)) ? AML_REASON_OK
                                         : AML_REASON_TOKEN_ISSUER;
}


static inline aml_reason_t
find_key(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **verifier)
{
    size_t i;
    test_source_t *s = data;

    (void) iss;

    s->keys++;
    assert_true(kid.n < sizeof(s->kid_room));
    memcpy(s->kid_room, kid.p, kid.n);
    s->kid = (aml_str_t){s->kid_room, kid.n};

    if (s->key_rc != AML_REASON_OK) {
        return s->key_rc;
    }

    if (kid.n == 0) {
        kid = aml_str("rsa");
    }

    for (i = 0; i < KEYS; i++) {
        if (aml_str_eq(kid, aml_str_of(keys[i].kid))) {
            *verifier = keys[i].verifier;
            return AML_REASON_OK;
        }
    }

    return AML_REASON_TOKEN_KEY;
}


static inline test_source_t
a_source(void)
{
    test_source_t s;

    memset(&s, 0, sizeof(s));
    s.issuer.algs = ~1u;
    s.issuer.leeway = 60;
    s.issuer.audience_count = 2;
    s.issuer.audiences[0] = aml_str(AUD);
    s.issuer.audiences[1] = aml_str("https://aml.example.org");
    s.issuer.name_claim = aml_str("name");

    return s;
}


static inline aml_reason_t
verify(test_source_t *s, const char *token, size_t n, aml_jwt_identity_t *who)
{
    char *copy, *end;
    aml_reason_t rc;
    test_source_t asked;
    aml_jwt_identity_t nobody;
    aml_jwt_source_t source = {s, find_issuer, find_key, NULL};

    /* of all tests of a program, so that headers meet what they should not */
    static aml_jwt_header_t header;

    ERR_clear_error(); /* libjwt leaves its own behind */

    /* exactly as long as it says, for the sanitizer */
    copy = malloc(n + (n == 0));
    memcpy(copy, token, n);
    rc = aml_jwt_verify((aml_str_t){copy, n}, NOW, &source,
                        who != NULL ? who : &nobody);

    /* what is remembered of a header changes no verdict, either time */
    asked = *s;
    source.header = &header;
    assert_int_equal(
        aml_jwt_verify((aml_str_t){copy, n}, NOW, &source, &nobody), rc);
    assert_int_equal(
        aml_jwt_verify((aml_str_t){copy, n}, NOW, &source, &nobody), rc);
    if (rc == AML_REASON_OK) {
        end = memchr(copy, '.', n);
        assert_true(end != NULL &&
                    aml_str_eq((aml_str_t){header.text, header.text_len},
                               (aml_str_t){copy, (size_t) (end - copy)}));
    }
    *s = asked;
    free(copy);

    assert_int_equal(ERR_peek_error(), 0);

    return rc;
}


static inline aml_reason_t
verify_new(test_source_t *s, const char *kid, aml_alg_t alg, const char *header,
           const char *payload, aml_jwt_identity_t *who)
{
    char *token;
    aml_reason_t rc;

    token = mint_token(key_named(kid)->pkey, alg, header, payload);
    rc = verify(s, token, strlen(token), who);
    free(token);

    return rc;
}


static inline void
expect(const char *what, aml_reason_t got, aml_reason_t want)
{
    if (got != want) {
        fail_msg("%s: reason %d, not %d", what, (int) got, (int) want);
    }
}


static inline size_t
public_pem(EVP_PKEY *pkey, char *pem, size_t size)
{
    int n;
    BIO *bio;

    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    n = BIO_read(bio, pem, (int) size - 1);
    assert_true(n > 0);
    pem[n] = '\0';
    BIO_free(bio);

    return (size_t) n;
}


#endif
