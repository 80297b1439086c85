/*
 * Tokens that must not pass: wrong ones, forged ones, tampered ones.
 */

#include "t/unit/jwt_fixture.h"

#include <openssl/hmac.h>
#include <stdio.h>

#include <jwt.h>


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
     AML_REASON_TOKEN_TYPE},
    {"typ of a logout token", "{\"alg\":\"RS256\",\"typ\":\"logout+jwt\"}",
     GOOD, AML_REASON_TOKEN_TYPE},
    {"typ of a proof", "{\"alg\":\"RS256\",\"typ\":\"dpop+jwt\"}", GOOD,
     AML_REASON_TOKEN_TYPE},
    {"typ empty", "{\"alg\":\"RS256\",\"typ\":\"\"}", GOOD,
     AML_REASON_TOKEN_TYPE},
    {"typ a bare prefix", "{\"alg\":\"RS256\",\"typ\":\"application/\"}", GOOD,
     AML_REASON_TOKEN_TYPE},
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


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bytes_in_json),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_es_signature),
        cmocka_unit_test(test_hmac_with_public_key),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
