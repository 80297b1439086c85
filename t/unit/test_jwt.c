#include "t/unit/mint.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>

#include <jwt.h>

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


static test_key_t *
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


static int
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


static int
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

static aml_reason_t
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


static aml_reason_t
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


static test_source_t
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


static aml_reason_t
verify(test_source_t *s, const char *token, size_t n, aml_jwt_identity_t *who)
{
    char *copy;
    aml_reason_t rc;
    aml_jwt_identity_t nobody;
    aml_jwt_source_t source = {s, find_issuer, find_key};

    ERR_clear_error(); /* libjwt leaves its own behind */

    /* exactly as long as it says, for the sanitizer */
    copy = malloc(n + (n == 0));
    memcpy(copy, token, n);
    rc = aml_jwt_verify((aml_str_t){copy, n}, NOW, &source,
                        who != NULL ? who : &nobody);
    free(copy);

    assert_int_equal(ERR_peek_error(), 0);

    return rc;
}


static aml_reason_t
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


static void
expect(const char *what, aml_reason_t got, aml_reason_t want)
{
    if (got != want) {
        fail_msg("%s: reason %d, not %d", what, (int) got, (int) want);
    }
}


/* ---- good ones ---- */

static void
test_algorithms(void **state)
{
    size_t i;
    char header[128];
    test_source_t s;
    aml_jwt_identity_t who;
    aml_principal_id_t want;
    static const struct {
        const char *kid;
        aml_alg_t alg;
    } good[] = {
        {"rsa", AML_ALG_RS256},   {"rsa", AML_ALG_RS384},
        {"rsa", AML_ALG_RS512},   {"rsa", AML_ALG_PS256},
        {"rsa", AML_ALG_PS384},   {"rsa", AML_ALG_PS512},
        {"p256", AML_ALG_ES256},  {"p384", AML_ALG_ES384},
        {"p521", AML_ALG_ES512},  {"ed25519", AML_ALG_EDDSA},
        {"ed448", AML_ALG_EDDSA}, {"rsa-ps256", AML_ALG_PS256},
    };

    (void) state;

    assert_int_equal(aml_principal_derive(aml_str(ISS), aml_str("ada"), &want),
                     0);

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s = a_source();
        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}",
                 aml_alg_name(good[i].alg).p, good[i].kid);

        expect(header,
               verify_new(&s, good[i].kid, good[i].alg, header,
                          "{" WHO "," WHEN "," FOR
                          ",\"iat\":1699999990,\"name\":\"Ada\"}",
                          &who),
               AML_REASON_OK);

        assert_true(aml_principal_eq(&who.principal, &want));
        assert_int_equal(who.expires, 1700000600);
        assert_int_equal(who.issued, 1699999990);
        assert_int_equal(who.name_len, 3);
        assert_memory_equal(who.name, "Ada", 3);
        assert_int_equal(s.issuers, 1);
        assert_int_equal(s.keys, 1);

        /* allowed for one algorithm only: this one, then any other */
        s.issuer.algs = 1u << good[i].alg;
        expect(header,
               verify_new(&s, good[i].kid, good[i].alg, header, GOOD, NULL),
               AML_REASON_OK);
        s.issuer.algs = ~(1u << good[i].alg);
        expect(header,
               verify_new(&s, good[i].kid, good[i].alg, header, GOOD, NULL),
               AML_REASON_TOKEN_ALGORITHM);
    }
}


static void
test_good_headers(void **state)
{
    size_t i;
    test_source_t s;
    static const char *const headers[] = {
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"RS256\",\"typ\":\"jwt\"}",
        "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"RS256\",\"typ\":\"AT+JWT\"}",
        "{\"alg\":\"RS256\",\"typ\":\"application/at+jwt\"}",
        "{\"alg\":\"RS256\",\"typ\":\"Application/JWT\"}",
        " {\r\n\t\"alg\" : \"RS256\" } \n",
        "{\"\\u0061lg\":\"RS\\u0032\\u0035\\u0036\"}",
        /* for somebody else: never looked at */
        "{\"alg\":\"RS256\",\"jku\":\"https://evil.example/keys\"}",
        "{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}",
        "{\"alg\":\"RS256\",\"x5u\":\"file:///etc/passwd\",\"x5c\":[1]}",
        "{\"alg\":\"RS256\",\"b64\":false,\"x5t\":\"AA\",\"nonce\":\"z\"}",
    };

    (void) state;

    s = a_source();
    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        expect(headers[i],
               verify_new(&s, "rsa", AML_ALG_RS256, headers[i], GOOD, NULL),
               AML_REASON_OK);
        assert_int_equal(s.kid.n, 0);
    }

    expect("kid is handed on",
           verify_new(&s, "rsa", AML_ALG_RS256, HEAD, GOOD, NULL),
           AML_REASON_OK);
    assert_true(aml_str_eq(s.kid, aml_str("rsa")));
}


static void
test_good_claims(void **state)
{
    size_t i;
    test_source_t s;
    aml_jwt_identity_t who;
    static const struct {
        const char *payload;
        int64_t issued, expires;
    } good[] = {
        {"{" WHO "," FOR ",\"exp\":1700000001}", 0, 1700000001},
        {"{" WHO "," FOR ",\"exp\":1700000000.5}", 0, 1700000001},
        {"{" WHO "," FOR ",\"exp\":1.7000006e9}", 0, 1700000600},
        {"{" WHO "," FOR ",\"exp\":253402300799}", 0, 253402300799},
        {"{" WHO "," FOR "," WHEN ",\"nbf\":1700000000}", 1700000000,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"nbf\":1700000060}", 1700000060,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"iat\":1700000060}", 1700000060,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"iat\":0,\"nbf\":5}", 0, 1700000600},
        {"{" WHO "," FOR "," WHEN ",\"iat\":1699999999.9}", 1699999999,
         1700000600},
        {"{" WHO "," WHEN ",\"aud\":[\"" AUD "\"]}", 0, 1700000600},
        {"{" WHO "," WHEN ",\"aud\":[\"a\",\"" AUD "\",\"b\"]}", 0, 1700000600},
        {"{" WHO "," WHEN ",\"aud\":\"https://aml.example.org\"}", 0,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"deep\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}",
         0, 1700000600},
        {"{" WHO "," FOR "," WHEN ",\"text\":\"[[[[{{{{[[[[{{{{[[[[\\\"{\"}", 0,
         1700000600},
    };

    (void) state;

    s = a_source();
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        expect(
            good[i].payload,
            verify_new(&s, "rsa", AML_ALG_RS256, HEAD, good[i].payload, &who),
            AML_REASON_OK);
        assert_int_equal(who.issued, good[i].issued);
        assert_int_equal(who.expires, good[i].expires);
    }
}


/* ---- bad ones whose signature holds ---- */

static const struct {
    const char *what;
    const char *header;
    const char *payload;
    aml_reason_t want;
} bad[] = {
    /* headers */
    {"alg none", "{\"alg\":\"none\"}", GOOD, AML_REASON_TOKEN_ALGORITHM},
    {"alg None", "{\"alg\":\"None\"}", GOOD, AML_REASON_TOKEN_ALGORITHM},
    {"alg HS256", "{\"alg\":\"HS256\"}", GOOD, AML_REASON_TOKEN_ALGORITHM},
    {"alg rs256", "{\"alg\":\"rs256\"}", GOOD, AML_REASON_TOKEN_ALGORITHM},
    {"alg empty", "{\"alg\":\"\"}", GOOD, AML_REASON_TOKEN_ALGORITHM},
    {"alg RS1", "{\"alg\":\"RS1\"}", GOOD, AML_REASON_TOKEN_ALGORITHM},
    {"alg missing", "{\"kid\":\"rsa\"}", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"alg number", "{\"alg\":256}", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"alg null", "{\"alg\":null}", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"alg array", "{\"alg\":[\"RS256\"]}", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"alg with NUL", "{\"alg\":\"RS256\\u0000\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"alg twice", "{\"alg\":\"RS256\",\"alg\":\"none\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"alg twice, the same", "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"alg twice, escaped", "{\"alg\":\"RS256\",\"al\\u0067\":\"none\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"crit", "{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":true}", GOOD,
     AML_REASON_TOKEN_CRITICAL},
    {"crit empty", "{\"alg\":\"RS256\",\"crit\":[]}", GOOD,
     AML_REASON_TOKEN_CRITICAL},
    {"crit null", "{\"alg\":\"RS256\",\"crit\":null}", GOOD,
     AML_REASON_TOKEN_CRITICAL},
    {"crit before a bad alg", "{\"alg\":\"none\",\"crit\":[\"x\"]}", GOOD,
     AML_REASON_TOKEN_CRITICAL},
    {"typ JOSE", "{\"alg\":\"RS256\",\"typ\":\"JOSE\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"typ of a logout token", "{\"alg\":\"RS256\",\"typ\":\"logout+jwt\"}",
     GOOD, AML_REASON_TOKEN_MALFORMED},
    {"typ of a proof", "{\"alg\":\"RS256\",\"typ\":\"dpop+jwt\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"typ empty", "{\"alg\":\"RS256\",\"typ\":\"\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"typ a bare prefix", "{\"alg\":\"RS256\",\"typ\":\"application/\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"typ number", "{\"alg\":\"RS256\",\"typ\":1}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"kid unknown", "{\"alg\":\"RS256\",\"kid\":\"k\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid path", "{\"alg\":\"RS256\",\"kid\":\"../../dev/null\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid other case", "{\"alg\":\"RS256\",\"kid\":\"RSA\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid SQL", "{\"alg\":\"RS256\",\"kid\":\"x' UNION SELECT 'a\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid line break", "{\"alg\":\"RS256\",\"kid\":\"rsa\\n\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid delete", "{\"alg\":\"RS256\",\"kid\":\"rsa\\u007f\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid empty", "{\"alg\":\"RS256\",\"kid\":\"\"}", GOOD,
     AML_REASON_TOKEN_KEY},
    {"kid NUL", "{\"alg\":\"RS256\",\"kid\":\"rsa\\u0000\"}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"kid number", "{\"alg\":\"RS256\",\"kid\":1}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"kid null", "{\"alg\":\"RS256\",\"kid\":null}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"key of another type", "{\"alg\":\"RS256\",\"kid\":\"p256\"}", GOOD,
     AML_REASON_TOKEN_ALGORITHM},
    {"key of EdDSA", "{\"alg\":\"RS256\",\"kid\":\"ed25519\"}", GOOD,
     AML_REASON_TOKEN_ALGORITHM},
    {"alg of another type", "{\"alg\":\"ES256\",\"kid\":\"rsa\"}", GOOD,
     AML_REASON_TOKEN_ALGORITHM},
    {"alg EdDSA, key RSA", "{\"alg\":\"EdDSA\",\"kid\":\"rsa\"}", GOOD,
     AML_REASON_TOKEN_ALGORITHM},
    {"key for PS256 only", "{\"alg\":\"RS256\",\"kid\":\"rsa-ps256\"}", GOOD,
     AML_REASON_TOKEN_ALGORITHM},
    {"alg of another hash", "{\"alg\":\"RS384\",\"kid\":\"rsa\"}", GOOD,
     AML_REASON_TOKEN_SIGNATURE},
    {"alg of another padding", "{\"alg\":\"PS256\",\"kid\":\"rsa\"}", GOOD,
     AML_REASON_TOKEN_SIGNATURE},
    {"header empty", "", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header array", "[\"alg\",\"RS256\"]", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header string", "\"RS256\"", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header null", "null", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header cut", "{\"alg\":\"RS256\"", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header and more", HEAD "x", GOOD, AML_REASON_TOKEN_MALFORMED},
    {"two headers", HEAD HEAD, GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header with comma", "{\"alg\":\"RS256\",}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"header single quotes", "{'alg':'RS256'}", GOOD,
     AML_REASON_TOKEN_MALFORMED},
    {"header with BOM", "\xef\xbb\xbf" HEAD, GOOD, AML_REASON_TOKEN_MALFORMED},
    {"header with comment", "/**/" HEAD, GOOD, AML_REASON_TOKEN_MALFORMED},

    /* payloads as JSON */
    {"payload empty", HEAD, "", AML_REASON_TOKEN_MALFORMED},
    {"payload text", HEAD, "Payload", AML_REASON_TOKEN_MALFORMED},
    {"payload array", HEAD, "[" GOOD "]", AML_REASON_TOKEN_MALFORMED},
    {"payload and more", HEAD, GOOD "{}", AML_REASON_TOKEN_MALFORMED},
    {"payload cut", HEAD, "{" WHO "," WHEN "," FOR, AML_REASON_TOKEN_MALFORMED},
    {"sub twice", HEAD, "{" WHO "," WHEN "," FOR ",\"sub\":\"eve\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"iss twice, escaped", HEAD,
     "{" WHO "," WHEN "," FOR ",\"\\u0069ss\":\"x\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"duplicates below", HEAD,
     "{" WHO "," WHEN "," FOR ",\"x\":[{\"a\":1,\"a\":2}]}",
     AML_REASON_TOKEN_MALFORMED},
    {"bad UTF-8", HEAD, "{" WHO "," WHEN "," FOR ",\"name\":\"\xff\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"overlong UTF-8", HEAD, "{" WHO "," WHEN "," FOR ",\"name\":\"\xc0\xaf\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"surrogate in UTF-8", HEAD,
     "{" WHO "," WHEN "," FOR ",\"name\":\"\xed\xa0\x80\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"half a surrogate pair", HEAD,
     "{" WHO "," WHEN "," FOR ",\"name\":\"\\ud800\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"Latin-1", HEAD, "{" WHO "," WHEN "," FOR ",\"name\":\"Ren\xe9\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"control in a string", HEAD,
     "{" WHO "," WHEN "," FOR ",\"name\":\"a\nb\"}",
     AML_REASON_TOKEN_MALFORMED},
    {"NUL in sub", HEAD,
     "{\"iss\":\"" ISS "\",\"sub\":\"ada\\u0000\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_MALFORMED},
    {"nested too deep", HEAD,
     "{" WHO "," WHEN "," FOR ",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}",
     AML_REASON_TOKEN_MALFORMED},
    {"exp 1e400", HEAD, "{" WHO "," FOR ",\"exp\":1e400}",
     AML_REASON_TOKEN_MALFORMED},
    {"exp of 30 digits", HEAD,
     "{" WHO "," FOR ",\"exp\":999999999999999999999999999999}",
     AML_REASON_TOKEN_MALFORMED},
    {"exp NaN", HEAD, "{" WHO "," FOR ",\"exp\":NaN}",
     AML_REASON_TOKEN_MALFORMED},
    {"exp hexadecimal", HEAD, "{" WHO "," FOR ",\"exp\":0x7fffffff}",
     AML_REASON_TOKEN_MALFORMED},
    {"exp octal", HEAD, "{" WHO "," FOR ",\"exp\":01700000600}",
     AML_REASON_TOKEN_MALFORMED},

    /* issuers */
    {"no iss", HEAD, "{\"sub\":\"ada\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
    {"iss empty", HEAD, "{\"iss\":\"\",\"sub\":\"ada\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
    {"iss array", HEAD,
     "{\"iss\":[\"" ISS "\"],\"sub\":\"ada\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
    {"iss other", HEAD,
     "{\"iss\":\"https://evil.example\",\"sub\":\"ada\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_ISSUER},
    {"iss with slash", HEAD,
     "{\"iss\":\"" ISS "/\",\"sub\":\"ada\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_ISSUER},
    {"iss other case", HEAD,
     "{\"iss\":\"HTTPS://login.example.org/t1\",\"sub\":\"ada\"," WHEN "," FOR
     "}",
     AML_REASON_TOKEN_ISSUER},

    /* times */
    {"no exp", HEAD, "{" WHO "," FOR "}", AML_REASON_TOKEN_CLAIMS},
    {"exp string", HEAD, "{" WHO "," FOR ",\"exp\":\"1700000600\"}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp null", HEAD, "{" WHO "," FOR ",\"exp\":null}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp true", HEAD, "{" WHO "," FOR ",\"exp\":true}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp negative", HEAD, "{" WHO "," FOR ",\"exp\":-1}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp negative real", HEAD, "{" WHO "," FOR ",\"exp\":-1.5}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp in year 10000", HEAD, "{" WHO "," FOR ",\"exp\":253402300800}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp in milliseconds", HEAD, "{" WHO "," FOR ",\"exp\":1700000600000}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp 2^63 - 1", HEAD, "{" WHO "," FOR ",\"exp\":9223372036854775807}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp 1e300", HEAD, "{" WHO "," FOR ",\"exp\":1e300}",
     AML_REASON_TOKEN_CLAIMS},
    {"exp 0", HEAD, "{" WHO "," FOR ",\"exp\":0}", AML_REASON_TOKEN_EXPIRED},
    {"exp -0.0", HEAD, "{" WHO "," FOR ",\"exp\":-0.0}",
     AML_REASON_TOKEN_EXPIRED},
    {"exp now", HEAD, "{" WHO "," FOR ",\"exp\":1700000000}",
     AML_REASON_TOKEN_EXPIRED},
    {"exp within the leeway", HEAD, "{" WHO "," FOR ",\"exp\":1699999999}",
     AML_REASON_TOKEN_EXPIRED},
    {"exp long ago", HEAD, "{" WHO "," FOR ",\"exp\":1.5}",
     AML_REASON_TOKEN_EXPIRED},
    {"nbf ahead", HEAD, "{" WHO "," FOR "," WHEN ",\"nbf\":1700000061}",
     AML_REASON_TOKEN_NOT_YET},
    {"nbf ahead by less than a second", HEAD,
     "{" WHO "," FOR "," WHEN ",\"nbf\":1700000060.25}",
     AML_REASON_TOKEN_NOT_YET},
    {"iat ahead", HEAD, "{" WHO "," FOR "," WHEN ",\"iat\":1700000061}",
     AML_REASON_TOKEN_NOT_YET},
    {"nbf string", HEAD, "{" WHO "," FOR "," WHEN ",\"nbf\":\"0\"}",
     AML_REASON_TOKEN_CLAIMS},
    {"nbf null", HEAD, "{" WHO "," FOR "," WHEN ",\"nbf\":null}",
     AML_REASON_TOKEN_CLAIMS},
    {"iat string", HEAD, "{" WHO "," FOR "," WHEN ",\"iat\":\"0\"}",
     AML_REASON_TOKEN_CLAIMS},
    {"iat negative", HEAD, "{" WHO "," FOR "," WHEN ",\"iat\":-5}",
     AML_REASON_TOKEN_CLAIMS},

    /* audiences */
    {"no aud", HEAD, "{" WHO "," WHEN "}", AML_REASON_TOKEN_AUDIENCE},
    {"aud other", HEAD, "{" WHO "," WHEN ",\"aud\":\"api://x\"}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud longer", HEAD, "{" WHO "," WHEN ",\"aud\":\"" AUD "/\"}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud shorter", HEAD, "{" WHO "," WHEN ",\"aud\":\"api://gatewa\"}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud empty", HEAD, "{" WHO "," WHEN ",\"aud\":\"\"}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud no one", HEAD, "{" WHO "," WHEN ",\"aud\":[]}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud others", HEAD, "{" WHO "," WHEN ",\"aud\":[\"a\",\"b\"]}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud both in one", HEAD,
     "{" WHO "," WHEN ",\"aud\":\"" AUD " https://aml.example.org\"}",
     AML_REASON_TOKEN_AUDIENCE},
    {"aud null", HEAD, "{" WHO "," WHEN ",\"aud\":null}",
     AML_REASON_TOKEN_CLAIMS},
    {"aud number", HEAD, "{" WHO "," WHEN ",\"aud\":1}",
     AML_REASON_TOKEN_CLAIMS},
    {"aud object", HEAD, "{" WHO "," WHEN ",\"aud\":{\"" AUD "\":1}}",
     AML_REASON_TOKEN_CLAIMS},
    {"aud mixed", HEAD, "{" WHO "," WHEN ",\"aud\":[\"" AUD "\",1]}",
     AML_REASON_TOKEN_CLAIMS},
    {"aud nested", HEAD, "{" WHO "," WHEN ",\"aud\":[[\"" AUD "\"]]}",
     AML_REASON_TOKEN_CLAIMS},

    /* identity */
    {"no sub", HEAD, "{\"iss\":\"" ISS "\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
    {"sub empty", HEAD, "{\"iss\":\"" ISS "\",\"sub\":\"\"," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
    {"sub number", HEAD, "{\"iss\":\"" ISS "\",\"sub\":7," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
    {"sub null", HEAD, "{\"iss\":\"" ISS "\",\"sub\":null," WHEN "," FOR "}",
     AML_REASON_TOKEN_CLAIMS},
};


static void
test_bad(void **state)
{
    size_t i;
    test_source_t s;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = a_source();
        expect(bad[i].what,
               verify_new(&s, "rsa", AML_ALG_RS256, bad[i].header,
                          bad[i].payload, NULL),
               bad[i].want);
    }
}


/* No claim but iss is looked at before the signature holds: each of these
 * would be refused for another reason. */
static void
test_order(void **state)
{
    size_t i;
    char *token;
    test_source_t s;
    static const char *const payloads[] = {
        "{\"iss\":\"" ISS "\"}",
        "{" WHO "," FOR ",\"exp\":1}",
        "{" WHO "," WHEN "," FOR ",\"nbf\":1800000000}",
        "{" WHO "," WHEN ",\"aud\":\"x\"}",
        "{\"iss\":\"" ISS "\",\"sub\":1,\"exp\":\"\",\"aud\":{}}",
    };

    (void) state;

    for (i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        s = a_source();
        token = mint_token(key_named("rsa-ps256")->pkey, AML_ALG_RS256, HEAD,
                           payloads[i]);
        expect(payloads[i], verify(&s, token, strlen(token), NULL),
               AML_REASON_TOKEN_SIGNATURE);
        free(token);
    }

    /* what is refused before a key is needed asks for none */
    s = a_source();
    verify_new(&s, "rsa", AML_ALG_RS256, "{\"alg\":\"none\"}", GOOD, NULL);
    assert_int_equal(s.issuers + s.keys, 0);
    s.issuer.algs = 1u << AML_ALG_ES256;
    expect("alg", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, GOOD, NULL),
           AML_REASON_TOKEN_ALGORITHM);
    assert_int_equal(s.issuers, 1);
    assert_int_equal(s.keys, 0);

    s = a_source();
    s.issuer_rc = AML_REASON_REGISTRY_UNAVAILABLE;
    expect("registry", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, GOOD, NULL),
           AML_REASON_REGISTRY_UNAVAILABLE);
    s.issuer_rc = AML_REASON_OK;
    s.key_rc = AML_REASON_REGISTRY_UNAVAILABLE;
    expect("registry", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, GOOD, NULL),
           AML_REASON_REGISTRY_UNAVAILABLE);
}


static void
test_bytes_in_json(void **state)
{
    char *token;
    size_t at;
    test_source_t s;
    static const char nul_after[] = GOOD "\0";
    static const char nul_inside[] =
        "{" WHO "," WHEN "," FOR ",\"name\":\"a\0b\"}";

    (void) state;

    s = a_source();

    at = strlen(HEAD);
    token =
        mint_signed(mint_unsigned(HEAD, at, nul_after, sizeof(nul_after) - 1),
                    key_named("rsa")->pkey, AML_ALG_RS256);
    expect("NUL after", verify(&s, token, strlen(token), NULL),
           AML_REASON_TOKEN_MALFORMED);
    free(token);

    token =
        mint_signed(mint_unsigned(HEAD, at, nul_inside, sizeof(nul_inside) - 1),
                    key_named("rsa")->pkey, AML_ALG_RS256);
    expect("NUL inside", verify(&s, token, strlen(token), NULL),
           AML_REASON_TOKEN_MALFORMED);
    free(token);

    token = mint_signed(mint_unsigned(HEAD "\0", at + 1, GOOD, strlen(GOOD)),
                        key_named("rsa")->pkey, AML_ALG_RS256);
    expect("NUL in header", verify(&s, token, strlen(token), NULL),
           AML_REASON_TOKEN_MALFORMED);
    free(token);
}


/* ---- tokens that were tampered with ---- */

static void
test_cut(void **state)
{
    char *token;
    size_t i, n, last;
    test_source_t s;
    aml_reason_t rc;

    (void) state;

    s = a_source();
    token = mint_token(key_named("p256")->pkey, AML_ALG_ES256,
                       "{\"alg\":\"ES256\",\"kid\":\"p256\"}", GOOD);
    n = strlen(token);
    last = (size_t) (strrchr(token, '.') - token);

    for (i = 0; i < n; i++) {
        rc = verify(&s, token, i, NULL);
        if (i <= last) {
            expect("cut", rc, AML_REASON_TOKEN_MALFORMED);

        } else {
            assert_true(rc == AML_REASON_TOKEN_SIGNATURE ||
                        rc == AML_REASON_TOKEN_MALFORMED);
        }

        /* and from the front */
        if (i > 0) {
            assert_int_not_equal(verify(&s, token + i, n - i, NULL),
                                 AML_REASON_OK);
        }
    }

    expect("whole", verify(&s, token, n, NULL), AML_REASON_OK);
    free(token);
}


/* Each character to three others: the next of the alphabet, a stranger, a
 * dot.  One text for one token. */
static void
test_changed(void **state)
{
    int j;
    char *token, c;
    size_t i, n;
    test_source_t s;

    (void) state;

    s = a_source();
    token = mint_token(key_named("ed25519")->pkey, AML_ALG_EDDSA,
                       "{\"alg\":\"EdDSA\",\"kid\":\"ed25519\"}", GOOD);
    n = strlen(token);

    for (i = 0; i < n; i++) {
        c = token[i];
        for (j = 0; j < 4; j++) {
            token[i] = (char) (j == 0   ? c + 1
                               : j == 1 ? c ^ 0x80
                               : j == 2 ? '='
                                        : '.');
            if (token[i] != c) {
                assert_int_not_equal(verify(&s, token, n, NULL), AML_REASON_OK);
            }
        }
        token[i] = c;
    }

    expect("whole", verify(&s, token, n, NULL), AML_REASON_OK);
    free(token);
}


/* What stands around and between the three parts. */
static void
test_form(void **state)
{
    size_t i;
    char *token, *dot, *last, text[4096];
    test_source_t s;
    static const char *const edges[] = {
        " %s",     "%s ",     "%s\n",  "\t%s",      "%s.",    ".%s",
        "%s=",     "%s==",    "%s.AA", "Bearer %s", "\"%s\"", "%s%%3D",
        "%s\r\nX", "%s,%1$s", "%s..",  "A%s",       "%sA",    "%s+/"};

    (void) state;

    s = a_source();
    token = mint_token(key_named("rsa")->pkey, AML_ALG_RS256, HEAD, GOOD);
    dot = strchr(token, '.');
    last = strrchr(token, '.');

    for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        aml_reason_t rc;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (strstr(edges[i], "%1$s") != NULL) {
            snprintf(text, sizeof(text), "%s,%s", token, token);
        } else {
            snprintf(text, sizeof(text), edges[i], token);
        }
#pragma GCC diagnostic pop
        rc = verify(&s, text, strlen(text), NULL);
        assert_true(rc == AML_REASON_TOKEN_MALFORMED ||
                    rc == AML_REASON_TOKEN_SIGNATURE);
    }

    /* padding inside, a dot too few, a part that is empty */
    snprintf(text, sizeof(text), "%.*s=%s", (int) (dot - token), token, dot);
    expect("pad", verify(&s, text, strlen(text), NULL),
           AML_REASON_TOKEN_MALFORMED);
    snprintf(text, sizeof(text), "%.*s=%s", (int) (last - token), token, last);
    expect("pad", verify(&s, text, strlen(text), NULL),
           AML_REASON_TOKEN_MALFORMED);
    snprintf(text, sizeof(text), "%.*s%s", (int) (dot - token), token, dot + 1);
    expect("dot", verify(&s, text, strlen(text), NULL),
           AML_REASON_TOKEN_MALFORMED);
    expect("no header", verify(&s, dot, strlen(dot), NULL),
           AML_REASON_TOKEN_MALFORMED);
    snprintf(text, sizeof(text), "%.*s.%s", (int) (dot - token), token, last);
    expect("no payload", verify(&s, text, strlen(text), NULL),
           AML_REASON_TOKEN_MALFORMED);
    snprintf(text, sizeof(text), "%.*s", (int) (last + 1 - token), token);
    expect("no signature", verify(&s, text, strlen(text), NULL),
           AML_REASON_TOKEN_SIGNATURE);
    expect("five parts", verify(&s, "a.b.c.d.e", 9, NULL),
           AML_REASON_TOKEN_MALFORMED);
    expect("dots", verify(&s, "..", 2, NULL), AML_REASON_TOKEN_MALFORMED);
    expect("nothing", verify(&s, "", 0, NULL), AML_REASON_TOKEN_MALFORMED);

    free(token);
}


static void
test_huge(void **state)
{
    int i;
    char *token, *big;
    test_source_t s;
    aml_reason_t rc;
    static const int sizes[] = {8000, 11600, 12100, 13000, 100000};

    (void) state;

    s = a_source();
    for (i = 0; i < 5; i++) {
        big = malloc((size_t) sizes[i] + 1);
        snprintf(big, (size_t) sizes[i] + 1,
                 "{" WHO "," WHEN "," FOR ",\"x\":\"%*c\"}", sizes[i] - 150,
                 'x');
        token = mint_token(key_named("rsa")->pkey, AML_ALG_RS256, HEAD, big);
        rc = verify(&s, token, strlen(token), NULL);
        expect("size", rc,
               strlen(token) <= AML_JWT_MAX ? AML_REASON_OK
                                            : AML_REASON_TOKEN_MALFORMED);
        assert_int_equal(rc == AML_REASON_OK, i < 2);
        free(token);
        free(big);
    }

    /* 12,000 levels cost no stack */
    big = malloc(12001);
    memset(big, '[', 12000);
    big[12000] = '\0';
    expect("depth", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, big, NULL),
           AML_REASON_TOKEN_MALFORMED);
    expect("depth", verify_new(&s, "rsa", AML_ALG_RS256, big, GOOD, NULL),
           AML_REASON_TOKEN_MALFORMED);
    free(big);
}


static void
test_es_signature(void **state)
{
    size_t i, n;
    char *token;
    test_source_t s;
    unsigned char sig[MINT_SIG_MAX];
    static const struct {
        const char *what;
        int r, s; /* bytes to set them to, -1: leave */
        size_t len;
    } forms[] = {
        {"r and s zero", 0, 0, 64}, {"r zero", 0, -1, 64},
        {"s zero", -1, 0, 64},      {"all ones", 255, 255, 64},
        {"short", -1, -1, 63},      {"half", -1, -1, 32},
        {"empty", -1, -1, 0},       {"long", -1, -1, 65},
        {"P-384 length", 0, 0, 96}, {"huge", -1, -1, 1024},
    };

    (void) state;

    s = a_source();

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        memset(sig, 0, sizeof(sig));
        token = mint_unsigned("{\"alg\":\"ES256\",\"kid\":\"p256\"}", 28, GOOD,
                              strlen(GOOD));
        n = strlen(token);
        mint_sign(key_named("p256")->pkey, AML_ALG_ES256, token, n - 1, sig);
        if (forms[i].r >= 0) {
            memset(sig, forms[i].r, 32);
        }
        if (forms[i].s >= 0) {
            memset(sig + 32, forms[i].s, 32);
        }
        n += aml_base64url_encode(token + n, sig, forms[i].len);
        expect(forms[i].what, verify(&s, token, n, NULL),
               AML_REASON_TOKEN_SIGNATURE);
        free(token);
    }
}


/* ---- the secret that is no secret ---- */

static size_t
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


static size_t
private_pem(EVP_PKEY *pkey, char *pem, size_t size)
{
    int n;
    BIO *bio;

    bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    n = BIO_read(bio, pem, (int) size - 1);
    assert_true(n > 0);
    pem[n] = '\0';
    BIO_free(bio);

    return (size_t) n;
}


static void
test_hmac_with_public_key(void **state)
{
    int j;
    size_t i, n;
    char *token, pem[4096];
    unsigned len;
    jwt_t *theirs;
    test_source_t s;
    unsigned char sig[64];
    static const char *const headers[] = {
        "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS256\",\"kid\":\"rsa\"}",
        "{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
        "{\"alg\":\"HS256\",\"kid\":\"ed25519\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"ed25519\"}",
        "{\"alg\":\"none\"}",
    };

    (void) state;

    s = a_source();
    n = public_pem(key_named("rsa")->pkey, pem, sizeof(pem));

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        token =
            mint_unsigned(headers[i], strlen(headers[i]), GOOD, strlen(GOOD));
        HMAC(EVP_sha256(), pem, (int) n, (unsigned char *) token,
             strlen(token) - 1, sig, &len);
        j = (int) strlen(token);
        token[j + (int) aml_base64url_encode(token + j, sig, len)] = '\0';

        expect(headers[i], verify(&s, token, strlen(token), NULL),
               headers[i][8] == 'H' || headers[i][8] == 'n'
                   ? AML_REASON_TOKEN_ALGORITHM
                   : AML_REASON_TOKEN_SIGNATURE);

        /* Known difference: libjwt takes the first of them. */
        if (i == 0 &&
            jwt_decode(&theirs, token, (unsigned char *) pem, (int) n) == 0) {
            print_message("# libjwt accepts HS256 with the public key\n");
            jwt_free(theirs);
        }

        free(token);
    }
}


/* ---- what libjwt says ---- */

/*
 * libjwt mints, both judge; then both judge what was tampered with, and
 * tokens that OpenSSL minted.  libjwt 1.10 knows RS and ES only, and looks at
 * no claim.  Known differences, all of which are refused here: HS256 with the
 * public key, duplicate members, what follows the object, padding.
 */
static void
test_libjwt(void **state)
{
    size_t i, j, n;
    jwt_t *jwt, *theirs;
    char *token, *at, c, private[8192], public[4096];
    int rc, theirs_ok, ours_ok;
    test_source_t s;
    static const struct {
        const char *kid;
        jwt_alg_t theirs;
        aml_alg_t alg;
    } algs[] = {
        {"rsa", JWT_ALG_RS256, AML_ALG_RS256},
        {"rsa", JWT_ALG_RS384, AML_ALG_RS384},
        {"rsa", JWT_ALG_RS512, AML_ALG_RS512},
        {"p256", JWT_ALG_ES256, AML_ALG_ES256},
        {"p384", JWT_ALG_ES384, AML_ALG_ES384},
        {"p521", JWT_ALG_ES512, AML_ALG_ES512},
    };

    (void) state;

    s = a_source();

    for (i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        n = private_pem(key_named(algs[i].kid)->pkey, private, sizeof(private));

        assert_int_equal(jwt_new(&jwt), 0);
        jwt_add_header(jwt, "kid", algs[i].kid);
        jwt_add_grant(jwt, "iss", ISS);
        jwt_add_grant(jwt, "sub", "ada");
        jwt_add_grant(jwt, "aud", AUD);
        jwt_add_grant_int(jwt, "exp", NOW + 600);
        jwt_add_grant_int(jwt, "iat", NOW);
        assert_int_equal(jwt_set_alg(jwt, algs[i].theirs,
                                     (unsigned char *) private, (int) n),
                         0);
        token = jwt_encode_str(jwt);
        assert_non_null(token);
        jwt_free(jwt);

        expect(algs[i].kid, verify(&s, token, strlen(token), NULL),
               AML_REASON_OK);

        n = public_pem(key_named(algs[i].kid)->pkey, public, sizeof(public));
        rc = jwt_decode(&theirs, token, (unsigned char *) public, (int) n);
        assert_int_equal(rc, 0);
        jwt_free(theirs);

        /* 40 places of the signature and the payload */
        at = strchr(token, '.') + 1;
        for (j = 0; j < 40; j++) {
            char *p = at + j * strlen(at) / 40;

            c = *p;
            if (c == '.') {
                continue;
            }
            *p = c == 'A' ? 'B' : 'A';
            theirs_ok = jwt_decode(&theirs, token, (unsigned char *) public,
                                   (int) n) == 0;
            if (theirs_ok) {
                jwt_free(theirs);
            }
            ours_ok = verify(&s, token, strlen(token), NULL) == AML_REASON_OK;
            assert_int_equal(ours_ok, 0);
            assert_int_equal(theirs_ok, 0);
            *p = c;
        }

        free(token);

        /* the other way round */
        snprintf(private, sizeof(private),
                 "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
                 aml_alg_name(algs[i].alg).p, algs[i].kid);
        token = mint_token(key_named(algs[i].kid)->pkey, algs[i].alg, private,
                           GOOD);
        expect(private, verify(&s, token, strlen(token), NULL), AML_REASON_OK);
        assert_int_equal(
            jwt_decode(&theirs, token, (unsigned char *) public, (int) n), 0);
        assert_string_equal(jwt_get_grant(theirs, "sub"), "ada");
        jwt_free(theirs);
        free(token);
    }
}


/* ---- issuers that ask for more ---- */

static void
test_lifetime(void **state)
{
    size_t i;
    test_source_t s;
    static const struct {
        const char *payload;
        aml_reason_t want;
    } lives[] = {
        {"{" WHO "," FOR "," WHEN ",\"iat\":1699999800}", AML_REASON_OK},
        {"{" WHO "," FOR "," WHEN ",\"iat\":1699997000}", AML_REASON_OK},
        {"{" WHO "," FOR "," WHEN ",\"iat\":1699996999}",
         AML_REASON_TOKEN_CLAIMS},
        {"{" WHO "," FOR "," WHEN ",\"nbf\":1699999800}", AML_REASON_OK},
        {"{" WHO "," FOR "," WHEN ",\"iat\":0,\"nbf\":1699999800}",
         AML_REASON_TOKEN_CLAIMS},
        {"{" WHO "," FOR "," WHEN "}", AML_REASON_TOKEN_CLAIMS},
        {"{" WHO "," FOR ",\"exp\":253402300799,\"iat\":1700000000}",
         AML_REASON_TOKEN_CLAIMS},
    };

    (void) state;

    s = a_source();
    s.issuer.lifetime = 3600;

    for (i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        expect(
            lives[i].payload,
            verify_new(&s, "rsa", AML_ALG_RS256, HEAD, lives[i].payload, NULL),
            lives[i].want);
    }

    /* without leeway the next second is too far */
    s = a_source();
    s.issuer.leeway = 0;
    expect("leeway",
           verify_new(&s, "rsa", AML_ALG_RS256, HEAD,
                      "{" WHO "," FOR "," WHEN ",\"nbf\":1700000001}", NULL),
           AML_REASON_TOKEN_NOT_YET);
    expect("leeway",
           verify_new(&s, "rsa", AML_ALG_RS256, HEAD,
                      "{" WHO "," FOR "," WHEN ",\"nbf\":1700000000}", NULL),
           AML_REASON_OK);

    /* an issuer without an audience lets nobody in */
    s = a_source();
    s.issuer.audience_count = 0;
    expect("audience", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, GOOD, NULL),
           AML_REASON_TOKEN_AUDIENCE);
}


static void
test_identity(void **state)
{
    size_t i;
    test_source_t s;
    aml_jwt_identity_t who;
    aml_principal_id_t want;
    static const struct {
        const char *claims;
        aml_identity_kind_t kind;
        const char *space; /* of the issuer's record */
        const char *want_space, *want_subject;
    } who_is[] = {
        {"\"sub\":\"ada\"", AML_IDENTITY_SUB, "", ISS, "ada"},
        {"\"sub\":\"ada\"", AML_IDENTITY_SUB, "urn:x", "urn:x", "ada"},
        {"\"sub\":\"ada\",\"oid\":\"o\",\"tid\":\"t\"", AML_IDENTITY_SUB, "",
         ISS, "ada"},
        {"\"sub\":\"Ren\xc3\xa9\"", AML_IDENTITY_SUB, "", ISS, "Ren\xc3\xa9"},
        {"\"oid\":\"o\",\"tid\":\"t\"", AML_IDENTITY_ENTRA, "", "t", "o"},
        {"\"oid\":\"o\",\"tid\":\"t\",\"sub\":\"s\"", AML_IDENTITY_ENTRA, "t",
         "t", "o"},
        {"\"oid\":\"o\",\"tid\":\"t\"", AML_IDENTITY_ENTRA, "t2", NULL, NULL},
        {"\"oid\":\"o\",\"sub\":\"s\"", AML_IDENTITY_ENTRA, "", NULL, NULL},
        {"\"oid\":\"o\",\"sub\":\"s\"", AML_IDENTITY_ENTRA, "t", NULL, NULL},
        {"\"tid\":\"t\",\"sub\":\"s\"", AML_IDENTITY_ENTRA, "", NULL, NULL},
        {"\"tid\":\"\",\"oid\":\"o\"", AML_IDENTITY_ENTRA, "", NULL, NULL},
        {"\"tid\":\"t\",\"oid\":\"\"", AML_IDENTITY_ENTRA, "", NULL, NULL},
        {"\"tid\":\"t\",\"oid\":[\"o\"]", AML_IDENTITY_ENTRA, "", NULL, NULL},
        {"\"tid\":1,\"oid\":\"o\"", AML_IDENTITY_ENTRA, "", NULL, NULL},
    };

    (void) state;

    for (i = 0; i < sizeof(who_is) / sizeof(who_is[0]); i++) {
        char payload[512];

        s = a_source();
        s.issuer.identity = who_is[i].kind;
        s.issuer.space = aml_str_of(who_is[i].space);
        snprintf(payload, sizeof(payload),
                 "{\"iss\":\"" ISS "\"," WHEN "," FOR ",%s}", who_is[i].claims);

        expect(payload,
               verify_new(&s, "rsa", AML_ALG_RS256, HEAD, payload, &who),
               who_is[i].want_space != NULL ? AML_REASON_OK
                                            : AML_REASON_TOKEN_CLAIMS);
        if (who_is[i].want_space != NULL) {
            assert_int_equal(
                aml_principal_derive(aml_str_of(who_is[i].want_space),
                                     aml_str_of(who_is[i].want_subject), &want),
                0);
            assert_true(aml_principal_eq(&who.principal, &want));
            assert_int_equal(who.name_len, 0);
        }
    }
}


static void
test_subject_length(void **state)
{
    char payload[512];
    test_source_t s;

    (void) state;

    s = a_source();
    snprintf(payload, sizeof(payload),
             "{\"iss\":\"" ISS "\"," WHEN "," FOR ",\"sub\":\"%0255d\"}", 7);
    expect("255", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, payload, NULL),
           AML_REASON_OK);
    snprintf(payload, sizeof(payload),
             "{\"iss\":\"" ISS "\"," WHEN "," FOR ",\"sub\":\"%0256d\"}", 7);
    expect("256", verify_new(&s, "rsa", AML_ALG_RS256, HEAD, payload, NULL),
           AML_REASON_TOKEN_CLAIMS);

    snprintf(payload, sizeof(payload), "{\"alg\":\"RS256\",\"kid\":\"%0256d\"}",
             7);
    expect("kid", verify_new(&s, "rsa", AML_ALG_RS256, payload, GOOD, NULL),
           AML_REASON_TOKEN_KEY);
    assert_int_equal(s.keys, 2); /* the third asked for none */
}


#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void
test_name(void **state)
{
    size_t i;
    char payload[2048];
    test_source_t s;
    aml_jwt_identity_t who;
    static const struct {
        const char *json, *want;
    } labels[] = {
        {"\"Ada Lovelace\"", "Ada Lovelace"},
        {"\"  Ada \"", "Ada"},
        {"\"\"", ""},
        {"\"   \"", ""},
        {"7", ""},
        {"null", ""},
        {"[\"Ada\"]", ""},
        {"\"Ren\\u00e9 \xe2\x82\xac \\ud83d\\ude00\"",
         "Ren\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\"a\\r\\nSet-Cookie: b\"", "aSet-Cookie: b"},
        {"\"\\u001b[31mred\\u007f\\u009b\"", "[31mred"},
        {"\"\\u202egnp\\u2066x\\u200b\\u2028\\ufeff\\u200f\"", "gnpx"},
        {"\"a\\udb40\\udc41\\ufffe\\uffff\\ue000\\udbff\\udfffz\"", "az"},
        {"\"a\\\\b\\\"c\\/d\"", "a\\b\"c/d"},
        {"\"<script>&amp;\"", "<script>&amp;"},
        /* 128 bytes, then 129, then cuts inside characters */
        {"\"" SIXTY SIXTY "01234567\"", SIXTY SIXTY "01234567"},
        {"\"" SIXTY SIXTY "012345678\"", SIXTY SIXTY "01234567"},
        {"\"" SIXTY SIXTY "0123456\xc3\xa9\"", SIXTY SIXTY "0123456"},
        {"\"" SIXTY SIXTY "012345\xc3\xa9z\"", SIXTY SIXTY "012345\xc3\xa9"},
        {"\"" SIXTY SIXTY "01234\xf0\x9f\x98\x80z\"", SIXTY SIXTY "01234"},
        {"\"" SIXTY SIXTY "0123456 z\"", SIXTY SIXTY "0123456"},
    };

    (void) state;

    s = a_source();
    for (i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        snprintf(payload, sizeof(payload),
                 "{" WHO "," WHEN "," FOR ",\"name\":%s}", labels[i].json);
        memset(&who, 0xa5, sizeof(who));
        expect(payload,
               verify_new(&s, "rsa", AML_ALG_RS256, HEAD, payload, &who),
               AML_REASON_OK);
        assert_int_equal(who.name_len, strlen(labels[i].want));
        assert_memory_equal(who.name, labels[i].want, who.name_len);
    }

    /* the claim is the issuer's choice, down to every byte of its name */
    s.issuer.name_claim = aml_str("upn");
    verify_new(&s, "rsa", AML_ALG_RS256, HEAD,
               "{" WHO "," WHEN "," FOR ",\"name\":\"A\",\"upn\":\"B\"}", &who);
    assert_int_equal(who.name_len, 1);
    assert_int_equal(who.name[0], 'B');
    s.issuer.name_claim.n = 0;
    verify_new(&s, "rsa", AML_ALG_RS256, HEAD,
               "{" WHO "," WHEN "," FOR ",\"name\":\"A\",\"\":\"B\"}", &who);
    assert_int_equal(who.name_len, 0);
}


/* ---- published tokens ---- */

static aml_verifier_t *published;


static aml_reason_t
joe(void *data, aml_str_t iss, aml_issuer_t *issuer)
{
    (void) data;

    memset(issuer, 0, sizeof(*issuer));
    issuer->algs = ~0u;

    return aml_str_eq(iss, aml_str("joe")) ? AML_REASON_OK
                                           : AML_REASON_TOKEN_ISSUER;
}


static aml_reason_t
joes(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **verifier)
{
    (void) data;
    (void) iss;

    assert_int_equal(kid.n, 0);
    *verifier = published;

    return AML_REASON_OK;
}


/* RFC 7515 A.1, A.3 and A.5: the same claims, which name no audience; A.3 is
 * signed well and gets that far, or fails at exp where the clock says so. */
static void
test_rfc7515(void **state)
{
    size_t n;
    char x[64], y[64];
    aml_public_key_t key;
    aml_jwt_identity_t who;
    const aml_jwt_source_t source = {NULL, joe, joes};
#define CLAIMS                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"     \
    "LmNvbS9pc19yb290Ijp0cnVlfQ"
    static const char a1[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS
                             ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char a3[] = "eyJhbGciOiJFUzI1NiJ9." CLAIMS
                             ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCg"
                             "fTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    static const char a5[] = "eyJhbGciOiJub25lIn0." CLAIMS ".";

    (void) state;

    memset(&key, 0, sizeof(key));
    key.kty = AML_KTY_EC;
    key.curve = AML_CURVE_P256;
    aml_base64url_decode(x, &n, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                         43);
    key.a = (aml_str_t){x, n};
    aml_base64url_decode(y, &n, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                         43);
    key.b = (aml_str_t){y, n};
    assert_int_equal(aml_verifier_new(&key, &published), AML_KEY_OK);

    expect("A.1", aml_jwt_verify(aml_str_of(a1), 1300819379, &source, &who),
           AML_REASON_TOKEN_ALGORITHM);
    expect("A.3", aml_jwt_verify(aml_str_of(a3), 1300819379, &source, &who),
           AML_REASON_TOKEN_AUDIENCE);
    expect("A.3", aml_jwt_verify(aml_str_of(a3), 1300819380, &source, &who),
           AML_REASON_TOKEN_EXPIRED);
    expect("A.5", aml_jwt_verify(aml_str_of(a5), 1300819379, &source, &who),
           AML_REASON_TOKEN_ALGORITHM);

    aml_verifier_free(published);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_good_headers),
        cmocka_unit_test(test_good_claims),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bytes_in_json),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_es_signature),
        cmocka_unit_test(test_hmac_with_public_key),
        cmocka_unit_test(test_libjwt),
        cmocka_unit_test(test_lifetime),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_subject_length),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_rfc7515),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
