/*
 * JWK Sets: what others published, and what is left out with its reason.
 */

#include "t/unit/mint.h"

#include <openssl/err.h>
#include <stdio.h>

#include "auth/jwks.h"
#include "auth/jwt.h"

/* RFC 7517 appendix A.1 */
#define RSA_N                                                                  \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1R"     \
    "K7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9"     \
    "yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZg"     \
    "nYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"     \
    "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK"     \
    "gw"
#define RSA_THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define EC_X "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
#define EC_Y "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"

/* RFC 8037 appendix A */
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_D "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define ED_THUMBPRINT "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

/* members of a good key, without braces: to be added to */
#define RSA "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""
#define EC                                                                     \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\""
#define ED "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\""
#define SET(keys) "{\"keys\":[" keys "]}"


/* Parses a copy that is exactly as long as it says, for the sanitizer. */
static aml_jwks_rc_t
parse_n(const char *text, size_t n, aml_jwks_t *set)
{
    char *copy = malloc(n + (n == 0));
    aml_jwks_rc_t rc;

    assert_non_null(copy);
    memcpy(copy, text, n);
    rc = aml_jwks_parse((aml_str_t){copy, n}, set);
    free(copy); /* the set has what it needs */

    assert_int_equal(ERR_peek_error(), 0);

    return rc;
}


static aml_jwks_rc_t
parse(const char *text, aml_jwks_t *set)
{
    return parse_n(text, strlen(text), set);
}


static unsigned
left_out(const aml_jwks_t *set)
{
    unsigned i, n = 0;

    for (i = AML_JWK_TAKEN + 1; i < AML_JWK_VERDICTS; i++) {
        n += set->verdicts[i];
    }

    return n;
}


static void
assert_kid(const aml_jwks_t *set, size_t i, const char *kid)
{
    assert_true(i < set->key_count);
    assert_int_equal(set->keys[i].kid.n, strlen(kid));
    assert_memory_equal(set->keys[i].kid.p, kid, strlen(kid));
}


/* ---- what is taken ---- */

static void
published(void **state)
{
    aml_jwks_t set;
    uint8_t bytes[256];
    size_t n;

    (void) state;

    /* A.1: one for encryption, one for signatures */
    assert_int_equal(parse(SET("{" EC ",\"use\":\"enc\",\"kid\":\"1\"},"
                               "{" RSA ",\"alg\":\"RS256\","
                               "\"kid\":\"2011-04-29\"}"),
                           &set),
                     AML_JWKS_OK);
    assert_int_equal(set.key_count, 1);
    assert_int_equal(set.verdicts[AML_JWK_USE], 1);
    assert_int_equal(set.verdicts[AML_JWK_TAKEN], 1);
    assert_kid(&set, 0, "2011-04-29");
    assert_int_equal(set.keys[0].key.kty, AML_KTY_RSA);
    assert_int_equal(set.keys[0].key.alg, AML_ALG_RS256);
    assert_int_equal(set.keys[0].key.expires, 0);
    assert_int_equal(aml_base64url_decode(bytes, &n, RSA_N, strlen(RSA_N)), 0);
    assert_int_equal(set.keys[0].key.a.n, n);
    assert_memory_equal(set.keys[0].key.a.p, bytes, n);
    assert_int_equal(set.keys[0].key.b.n, 3);
    assert_memory_equal(set.keys[0].key.b.p, "\1\0\1", 3);
    aml_jwks_clear(&set);

    assert_int_equal(parse(SET("{" EC ",\"kid\":\"1\"},{" ED "}"), &set),
                     AML_JWKS_OK);
    assert_int_equal(set.key_count, 2);
    assert_int_equal(set.keys[0].key.kty, AML_KTY_EC);
    assert_int_equal(set.keys[0].key.curve, AML_CURVE_P256);
    assert_int_equal(set.keys[0].key.alg, AML_ALG_NONE);
    assert_int_equal(set.keys[0].key.a.n, 32);
    assert_int_equal(set.keys[0].key.b.n, 32);
    assert_int_equal(set.keys[1].key.kty, AML_KTY_OKP);
    assert_int_equal(set.keys[1].key.curve, AML_CURVE_ED25519);
    assert_kid(&set, 1, ED_THUMBPRINT);
    aml_jwks_clear(&set);
}


/* A kid that is missing is the thumbprint, RFC 7638 section 3.1. */
static void
thumbprints(void **state)
{
    aml_jwks_t set;

    (void) state;

    assert_int_equal(parse(SET("{" RSA "}"), &set), AML_JWKS_OK);
    assert_kid(&set, 0, RSA_THUMBPRINT);
    aml_jwks_clear(&set);

    /* so that a kid that is that of another is a repetition */
    assert_int_equal(
        parse(SET("{" ED "},{" RSA ",\"kid\":\"" ED_THUMBPRINT "\"}"), &set),
        AML_JWKS_OK);
    assert_int_equal(set.key_count, 0);
    assert_int_equal(set.verdicts[AML_JWK_REPEATED], 2);
    aml_jwks_clear(&set);
}


/* Signatures of what was taken hold. */
static void
signatures(void **state)
{
    static const struct {
        const char *curve;
        const char *crv;
        aml_alg_t alg;
    } curves[] = {{"P-256", "P-256", AML_ALG_ES256},
                  {"P-384", "P-384", AML_ALG_ES384},
                  {"P-521", "P-521", AML_ALG_ES512},
                  {NULL, "Ed25519", AML_ALG_EDDSA},
                  {NULL, "Ed448", AML_ALG_EDDSA}};
    static char room[AML_RECORD_MAX];
    unsigned char sig[MINT_SIG_MAX];
    char text[1024], x[128], y[128];
    aml_public_key_t key;
    aml_verifier_t *v;
    aml_jwks_t set;
    EVP_PKEY *pkey;
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        pkey = curves[i].curve != NULL
                   ? EVP_EC_gen(curves[i].curve)
                   : EVP_PKEY_Q_keygen(NULL, NULL,
                                       curves[i].crv[2] == '2' ? "ED25519"
                                                               : "ED448");
        assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                         AML_KEY_OK);
        x[aml_base64url_encode(x, key.a.p, key.a.n)] = '\0';
        y[aml_base64url_encode(y, key.b.p, key.b.n)] = '\0';
        snprintf(text, sizeof(text),
                 SET("{\"kty\":\"%s\",\"crv\":\"%s\",\"x\":\"%s\"%s%s%s,"
                     "\"kid\":\"k\",\"use\":\"sig\","
                     "\"key_ops\":[\"sign\",\"verify\"]}"),
                 curves[i].curve != NULL ? "EC" : "OKP", curves[i].crv, x,
                 *y != '\0' ? ",\"y\":\"" : "", y, *y != '\0' ? "\"" : "");

        assert_int_equal(parse(text, &set), AML_JWKS_OK);
        assert_int_equal(set.key_count, 1);
        assert_int_equal(aml_verifier_new(&set.keys[0].key, &v), AML_KEY_OK);
        n = mint_sign(pkey, curves[i].alg, "data", 4, sig);
        assert_int_equal(
            aml_verifier_check(v, curves[i].alg, "data", 4, sig, n), 1);
        aml_verifier_free(v);
        aml_jwks_clear(&set);
        EVP_PKEY_free(pkey);
    }
}


/* As providers publish them; what is not for us is not looked at. */
static void
providers(void **state)
{
    static const char entra[] = SET(
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k1\",\"x5t\":\"k1\","
        "\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"x5c\":[\"MIIC\"],"
        "\"cloud_instance_name\":\"microsoftonline.com\","
        "\"issuer\":\"https://login.microsoftonline.com/{tenantid}/v2.0\"}");
    static const char keycloak[] =
        SET("{\"kid\":\"a\",\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\",\"use\":"
            "\"enc\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"x5c\":[\"MIIC\"],"
            "\"x5t\":\"x\",\"x5t#S256\":\"y\"},"
            "{\"kid\":\"b\",\"kty\":\"RSA\",\"alg\":\"RS256\",\"use\":\"sig\","
            "\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"x5u\":\"http://127.0.0.1/\","
            "\"jku\":\"http://127.0.0.1/\"}");
    aml_jwks_t set;

    (void) state;

    assert_int_equal(parse(entra, &set), AML_JWKS_OK);
    assert_int_equal(set.key_count, 1);
    assert_int_equal(left_out(&set), 0);
    assert_true(aml_str_eq(
        set.keys[0].issuer,
        aml_str("https://login.microsoftonline.com/{tenantid}/v2.0")));
    aml_jwks_clear(&set);

    assert_int_equal(parse(keycloak, &set), AML_JWKS_OK);
    assert_int_equal(set.key_count, 1);
    assert_int_equal(set.verdicts[AML_JWK_USE], 1);
    assert_kid(&set, 0, "b");
    assert_int_equal(set.keys[0].issuer.n, 0);
    aml_jwks_clear(&set);
}


/* ---- what is left out ---- */

typedef struct {
    const char *key;
    aml_jwk_verdict_t verdict;
} bad_t;


/* An RSA key with a modulus of that many bits. */
static char *
rsa_of(unsigned bits, int odd)
{
    size_t n = (bits + 7) / 8, at;
    unsigned char *bytes = calloc(1, n);
    char *text = malloc(2 * n + 256);

    assert_non_null(bytes);
    assert_non_null(text);
    memset(bytes, 0x5b, n);
    bytes[0] = (unsigned char) (1u << ((bits - 1) % 8));
    bytes[n - 1] = odd ? 0x5b : 0x5a;
    at = (size_t) sprintf(text, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
    at += aml_base64url_encode(text + at, bytes, n);
    strcpy(text + at, "\"}");
    free(bytes);

    return text;
}


static void
assert_verdict(const char *key, aml_jwk_verdict_t verdict)
{
    aml_jwks_t set;
    char *text;

    /* beside a good one, which it must not spoil */
    assert_true(asprintf(&text, SET("%s,{" ED ",\"kid\":\"good\"}"), key) > 0);
    assert_int_equal(parse(text, &set), AML_JWKS_OK);
    if (set.verdicts[verdict] != (verdict == AML_JWK_TAKEN ? 2 : 1) ||
        set.key_count != (verdict == AML_JWK_TAKEN ? 2 : 1)) {
        print_error("%.300s: not \"%s\"\n", key, aml_jwk_verdict_text(verdict));
        fail();
    }
    assert_kid(&set, set.key_count - 1, "good");

    aml_jwks_clear(&set);
    free(text);
}


static void
verdicts(void **state)
{
    static const bad_t table[] = {
        {"[]", AML_JWK_MALFORMED},
        {"null", AML_JWK_MALFORMED},
        {"\"" RSA_N "\"", AML_JWK_MALFORMED},
        {"{}", AML_JWK_MALFORMED},
        {"{\"kty\":1}", AML_JWK_MALFORMED},
        {"{\"kty\":\"\"}", AML_JWK_MALFORMED},
        {"{\"kty\":\"rsa\"}", AML_JWK_TYPE},
        {"{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}",
         AML_JWK_TYPE},
        {"{\"kty\":\"oct\",\"k\":\"AAAA\",\"alg\":\"HS256\"}",
         AML_JWK_SYMMETRIC},

        /* the private half, whole or in part */
        {"{" RSA ",\"d\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"p\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"q\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"dp\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"dq\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"qi\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"oth\":[]}", AML_JWK_PRIVATE},
        {"{" RSA ",\"d\":null}", AML_JWK_PRIVATE},
        {"{" RSA ",\"k\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" EC ",\"d\":\"AAAA\"}", AML_JWK_PRIVATE},
        {"{" RSA ",\"d\":\"AAAA\",\"alg\":\"none\"}", AML_JWK_PRIVATE},

        /* use */
        {"{" RSA ",\"use\":\"enc\"}", AML_JWK_USE},
        {"{" RSA ",\"use\":\"SIG\"}", AML_JWK_USE},
        {"{" RSA ",\"use\":\"\"}", AML_JWK_USE},
        {"{" RSA ",\"use\":[\"sig\"]}", AML_JWK_MALFORMED},
        {"{" RSA ",\"key_ops\":[]}", AML_JWK_USE},
        {"{" RSA ",\"key_ops\":[\"sign\"]}", AML_JWK_USE},
        {"{" RSA ",\"key_ops\":[\"encrypt\",\"wrapKey\"]}", AML_JWK_USE},
        {"{" RSA ",\"key_ops\":\"verify\"}", AML_JWK_MALFORMED},
        {"{" RSA ",\"key_ops\":[\"verify\",1]}", AML_JWK_MALFORMED},
        {"{" RSA ",\"key_ops\":[\"verify\",\"verify\"]}", AML_JWK_MALFORMED},
        {"{" RSA ",\"key_ops\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\","
         "\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\","
         "\"verify\"]}",
         AML_JWK_MALFORMED},
        {"{" RSA ",\"use\":\"sig\",\"key_ops\":[\"encrypt\"]}", AML_JWK_USE},
        {"{" RSA ",\"use\":\"enc\",\"key_ops\":[\"verify\"]}", AML_JWK_USE},

        /* algorithms */
        {"{" RSA ",\"alg\":\"none\"}", AML_JWK_ALGORITHM},
        {"{" RSA ",\"alg\":\"HS256\"}", AML_JWK_ALGORITHM},
        {"{" RSA ",\"alg\":\"RSA-OAEP\"}", AML_JWK_ALGORITHM},
        {"{" RSA ",\"alg\":\"ES256\"}", AML_JWK_ALGORITHM},
        {"{" RSA ",\"alg\":\"\"}", AML_JWK_ALGORITHM},
        {"{" RSA ",\"alg\":256}", AML_JWK_MALFORMED},
        {"{" EC ",\"alg\":\"ES384\"}", AML_JWK_ALGORITHM},
        {"{" EC ",\"alg\":\"RS256\"}", AML_JWK_ALGORITHM},

        /* kid */
        {"{" RSA ",\"kid\":\"\"}", AML_JWK_KID},
        {"{" RSA ",\"kid\":\"a\\u0007b\"}", AML_JWK_KID},
        {"{" RSA ",\"kid\":\"a\\u007fb\"}", AML_JWK_KID},
        {"{" RSA ",\"kid\":1}", AML_JWK_MALFORMED},
        {"{" RSA ",\"kid\":null}", AML_JWK_MALFORMED},
        {"{" RSA ",\"kid\":\"/../%2e\"}", AML_JWK_TAKEN},
        {"{" RSA ",\"kid\":\"sch\xc3\xb6n\"}", AML_JWK_TAKEN},

        /* RSA */
        {"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", AML_JWK_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}", AML_JWK_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}", AML_JWK_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":[\"" RSA_N "\"],\"e\":\"AQAB\"}",
         AML_JWK_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "==\",\"e\":\"AQAB\"}",
         AML_JWK_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\\n\"}",
         AML_JWK_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Aw\"}", AML_JWK_INVALID},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAA\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"" RSA_N "\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", AML_JWK_INVALID},

        /* EC */
        {"{\"kty\":\"EC\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}",
         AML_JWK_MALFORMED},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}",
         AML_JWK_MALFORMED},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X
         "\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"AQAB\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" RSA_N "\",\"y\":\"" EC_Y
         "\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
         "\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" EC_X
         "\",\"y\":\"" EC_Y "\"}",
         AML_JWK_CURVE},
        {"{\"kty\":\"EC\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\",\"y\":\"" EC_Y
         "\"}",
         AML_JWK_CURVE},

        /* OKP */
        {"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}",
         AML_JWK_CURVE},
        {"{\"kty\":\"OKP\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}",
         AML_JWK_CURVE},
        {"{\"kty\":\"OKP\",\"crv\":1,\"x\":\"" ED_X "\"}", AML_JWK_MALFORMED},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED_X "\"}",
         AML_JWK_INVALID},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
         "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         AML_JWK_INVALID}, /* the neutral element signs everything */
    };
    char kid[AML_JWT_KID_MAX + 2], *key;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_verdict(table[i].key, table[i].verdict);
    }

    memset(kid, 'k', sizeof(kid));
    kid[AML_JWT_KID_MAX] = '\0';
    assert_true(asprintf(&key, "{" RSA ",\"kid\":\"%s\"}", kid) > 0);
    assert_verdict(key, AML_JWK_TAKEN);
    free(key);
    kid[AML_JWT_KID_MAX] = 'k';
    kid[AML_JWT_KID_MAX + 1] = '\0';
    assert_true(asprintf(&key, "{" RSA ",\"kid\":\"%s\"}", kid) > 0);
    assert_verdict(key, AML_JWK_KID);
    free(key);
}


static void
moduli(void **state)
{
    static const struct {
        unsigned bits;
        int odd;
        aml_jwk_verdict_t verdict;
    } table[] = {
        {1024, 1, AML_JWK_INVALID},  {2047, 1, AML_JWK_INVALID},
        {2048, 1, AML_JWK_TAKEN},    {2048, 0, AML_JWK_INVALID},
        {8192, 1, AML_JWK_TAKEN},    {8193, 1, AML_JWK_INVALID},
        {16384, 1, AML_JWK_INVALID},
    };
    char *key;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        key = rsa_of(table[i].bits, table[i].odd);
        assert_verdict(key, table[i].verdict);
        free(key);
    }
}


/* ---- keys that concern each other ---- */

static void
repeated(void **state)
{
    aml_jwks_t set;

    (void) state;

    assert_int_equal(parse(SET("{" RSA ",\"kid\":\"a\"},{" ED
                               ",\"kid\":\"a\"},{" EC ",\"kid\":\"b\"}"),
                           &set),
                     AML_JWKS_OK);
    assert_int_equal(set.verdicts[AML_JWK_REPEATED], 2);
    assert_int_equal(set.key_count, 1);
    assert_kid(&set, 0, "b");
    aml_jwks_clear(&set);

    /* the very same key is no better */
    assert_int_equal(
        parse(SET("{" RSA ",\"kid\":\"a\"},{" RSA ",\"kid\":\"a\"}"), &set),
        AML_JWKS_OK);
    assert_int_equal(set.verdicts[AML_JWK_REPEATED], 2);
    aml_jwks_clear(&set);

    /* nor one of three, nor one whose namesake is bad otherwise */
    assert_int_equal(parse(SET("{" RSA ",\"kid\":\"a\"},{" ED
                               ",\"kid\":\"a\"},{" EC ",\"kid\":\"a\"}"),
                           &set),
                     AML_JWKS_OK);
    assert_int_equal(set.verdicts[AML_JWK_REPEATED], 3);
    aml_jwks_clear(&set);
    assert_int_equal(parse(SET("{" RSA ",\"kid\":\"a\",\"alg\":\"none\"},{" ED
                               ",\"kid\":\"a\"}"),
                           &set),
                     AML_JWKS_OK);
    assert_int_equal(set.verdicts[AML_JWK_ALGORITHM], 1);
    assert_int_equal(set.verdicts[AML_JWK_REPEATED], 1);
    aml_jwks_clear(&set);

    /* but one for encryption may be called the same */
    assert_int_equal(parse(SET("{" RSA ",\"kid\":\"a\",\"use\":\"enc\"},{" ED
                               ",\"kid\":\"a\",\"use\":\"sig\"}"),
                           &set),
                     AML_JWKS_OK);
    assert_int_equal(set.key_count, 1);
    assert_int_equal(set.keys[0].key.kty, AML_KTY_OKP);
    aml_jwks_clear(&set);

    /* the same key by two names is good by both */
    assert_int_equal(
        parse(SET("{" RSA ",\"kid\":\"a\"},{" RSA ",\"kid\":\"b\"}"), &set),
        AML_JWKS_OK);
    assert_int_equal(set.key_count, 2);
    aml_jwks_clear(&set);
}


/* A private half condemns its public half, whatever that is called. */
static void
private_elsewhere(void **state)
{
    aml_jwks_t set;

    (void) state;

    assert_int_equal(
        parse(SET("{" ED ",\"kid\":\"a\"},{" RSA ",\"kid\":\"b\"},{" ED
                  ",\"kid\":\"c\",\"d\":\"" ED_D "\"}"),
              &set),
        AML_JWKS_OK);
    assert_int_equal(set.verdicts[AML_JWK_PRIVATE], 2);
    assert_int_equal(set.key_count, 1);
    assert_kid(&set, 0, "b");
    aml_jwks_clear(&set);

    /* and its namesake */
    assert_int_equal(parse(SET("{" ED ",\"kid\":\"a\",\"d\":\"" ED_D "\"},{" RSA
                               ",\"kid\":\"a\"}"),
                           &set),
                     AML_JWKS_OK);
    assert_int_equal(set.key_count, 0);
    aml_jwks_clear(&set);
}


/* ---- sets ---- */

static void
forms(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"keys\":\"" RSA_N "\"}",
        "{\"Keys\":[]}",
        "{\"keys\":[],\"keys\":[{" RSA "}]}",
        SET("{" RSA ",\"kid\":\"a\",\"kid\":\"b\"}"),
        SET("{" RSA ",\"kty\":\"RSA\"}"),
        SET("{" RSA "}") "x",
        SET("{" RSA "},"),
        "{\"keys\":[{" RSA "}]",
        "<html></html>",
        SET("{" RSA ",\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"),
        SET("{" RSA ",\"kid\":\"a\\u0000b\"}"),
        SET("{" RSA ",\"kid\":\"\xff\"}"),
    };
    aml_jwks_t set;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i], &set) != AML_JWKS_MALFORMED) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_int_equal(set.key_count, 0);
        aml_jwks_clear(&set);
        aml_jwks_clear(&set); /* once more does no harm */
    }

    assert_int_equal(parse("{\"keys\":[]}", &set), AML_JWKS_OK);
    assert_int_equal(set.key_count, 0);
    aml_jwks_clear(&set);

    assert_int_equal(parse("{\"keys\":[],\"more\":{\"a\":1}}", &set),
                     AML_JWKS_OK);
    aml_jwks_clear(&set);
}


static void
bounds(void **state)
{
    size_t i, n, size = AML_JWKS_SIZE_MAX + 64;
    char *text = malloc(size);
    aml_jwks_t set;

    (void) state;
    assert_non_null(text);

    /* so many keys, and one more */
    for (i = AML_JWKS_KEYS_MAX; i <= AML_JWKS_KEYS_MAX + 1; i++) {
        size_t k;

        n = (size_t) sprintf(text, "{\"keys\":[");
        for (k = 0; k < i; k++) {
            n += (size_t) sprintf(text + n, "%s{" RSA ",\"kid\":\"%zu\"}",
                                  k > 0 ? "," : "", k);
        }
        n += (size_t) sprintf(text + n, "]}");
        assert_int_equal(parse_n(text, n, &set),
                         i == AML_JWKS_KEYS_MAX ? AML_JWKS_OK : AML_JWKS_MANY);
        assert_int_equal(set.key_count,
                         i == AML_JWKS_KEYS_MAX ? AML_JWKS_KEYS_MAX : 0);
        aml_jwks_clear(&set);
    }

    /* so many bytes, and one more */
    memset(text, ' ', size);
    memcpy(text, SET("{" RSA "}"), strlen(SET("{" RSA "}")));
    assert_int_equal(parse_n(text, AML_JWKS_SIZE_MAX, &set), AML_JWKS_OK);
    assert_int_equal(set.key_count, 1);
    aml_jwks_clear(&set);
    assert_int_equal(parse_n(text, AML_JWKS_SIZE_MAX + 1, &set),
                     AML_JWKS_LARGE);
    aml_jwks_clear(&set);

    /* one huge number */
    n = (size_t) sprintf(text, "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\","
                               "\"n\":\"");
    memset(text + n, 'A', AML_JWKS_SIZE_MAX - n - 4);
    memcpy(text + AML_JWKS_SIZE_MAX - 4, "\"}]}", 4);
    assert_int_equal(parse_n(text, AML_JWKS_SIZE_MAX, &set), AML_JWKS_OK);
    assert_int_equal(set.key_count, 0);
    aml_jwks_clear(&set);

    free(text);
}


static void
words(void **state)
{
    int i;

    (void) state;

    for (i = 0; i < AML_JWK_VERDICTS; i++) {
        assert_non_null(aml_jwk_verdict_text((aml_jwk_verdict_t) i));
    }
    assert_string_equal(aml_jwk_verdict_text(AML_JWK_VERDICTS), "unknown");
    for (i = 0; i <= AML_JWKS_FAILED; i++) {
        assert_true(strlen(aml_jwks_strerror((aml_jwks_rc_t) i)) > 5);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),  cmocka_unit_test(thumbprints),
        cmocka_unit_test(signatures), cmocka_unit_test(providers),
        cmocka_unit_test(verdicts),   cmocka_unit_test(moduli),
        cmocka_unit_test(repeated),   cmocka_unit_test(private_elsewhere),
        cmocka_unit_test(forms),      cmocka_unit_test(bounds),
        cmocka_unit_test(words),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
