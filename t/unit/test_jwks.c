/*
 * JWK Sets: what others published, and what is left out with its reason. Single
 * keys that are left out are in test_jwks_attacks.c.
 */

#include "t/unit/mint.h"

#include "t/unit/jwks_fixture.h"

#include "auth/jwt.h"


static unsigned
left_out(const aml_jwks_t *set)
{
    unsigned i, n = 0;

    for (i = AML_JWK_TAKEN + 1; i < AML_JWK_VERDICTS; i++) {
        n += set->verdicts[i];
    }

    return n;
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


/* A kid of the greatest length, and one more; others are in the table. */
static void
long_kids(void **state)
{
    char kid[AML_JWT_KID_MAX + 2], *key;

    (void) state;

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

/* What is none is in the table. */
static void
forms(void **state)
{
    aml_jwks_t set;

    (void) state;

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
        cmocka_unit_test(long_kids),  cmocka_unit_test(moduli),
        cmocka_unit_test(repeated),   cmocka_unit_test(private_elsewhere),
        cmocka_unit_test(forms),      cmocka_unit_test(bounds),
        cmocka_unit_test(words),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
