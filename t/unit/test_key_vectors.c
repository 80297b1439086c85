/*
 * Keys and signatures that others published, and keys that are refused.
 */

#include "t/unit/mint.h"

#include <openssl/err.h>
#include <stdio.h>

/* ---- published vectors ---- */

#define A2_N                                                                   \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw"     \
    "-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b3269"     \
    "0r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS"     \
    "-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aG"     \
    "hyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp"     \
    "oQ"
#define A2_PAYLOAD                                                             \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"     \
    "LmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC7638_N                                                              \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1R"     \
    "K7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9"     \
    "yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZg"     \
    "nYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"     \
    "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK"     \
    "gw"

typedef struct {
    const char *what;
    aml_kty_t kty;
    aml_curve_t curve;
    const char *a, *b; /* base64url, as in the JWK */
    const char *thumbprint;
    aml_alg_t alg;
    const char *input;
    const char *sig;
} vector_t;

static const vector_t vectors[] = {
    {"RFC 7515 A.2", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQAB", NULL,
     AML_ALG_RS256, "eyJhbGciOiJSUzI1NiJ9." A2_PAYLOAD,
     "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuH"
     "Im4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdi"
     "uB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN"
     "9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2"
     "w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77"
     "Rw"},
    {"RFC 7515 A.3", AML_KTY_EC, AML_CURVE_P256,
     "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
     "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", NULL, AML_ALG_ES256,
     "eyJhbGciOiJFUzI1NiJ9." A2_PAYLOAD,
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQ"
     "xfKTUJqPP3-Kg6NU1Q"},
    {"RFC 7515 A.4", AML_KTY_EC, AML_CURVE_P521,
     "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1j"
     "SfS9tsz4qUxcWceqwQGk",
     "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0A"
     "ZMaZmh9ubmf63e3kyMj2",
     NULL, AML_ALG_ES512, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
     "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2"
     "SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqO"
     "gzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"},
    {"RFC 8037 A.4", AML_KTY_OKP, AML_CURVE_ED25519,
     "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "",
     "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", AML_ALG_EDDSA,
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsP"
     "t9g7sVvpAr_MuM0KAg"},
    {"RFC 7638 3.1", AML_KTY_RSA, AML_CURVE_NONE, RFC7638_N, "AQAB",
     "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", AML_ALG_NONE, NULL, NULL},
};


static aml_str_t
decoded(const char *text, char *room)
{
    size_t n;

    assert_int_equal(aml_base64url_decode(room, &n, text, strlen(text)), 0);

    return (aml_str_t){room, n};
}


static void
test_vectors(void **state)
{
    size_t i;
    aml_str_t sig;
    aml_verifier_t *v;
    const vector_t *t;
    aml_public_key_t key;
    char a[1024], b[1024], s[1024], kid[44];

    (void) state;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        t = &vectors[i];
        memset(&key, 0, sizeof(key));
        key.kty = t->kty;
        key.curve = t->curve;
        key.a = decoded(t->a, a);
        key.b = decoded(t->b, b);

        assert_int_equal(aml_verifier_new(&key, &v), AML_KEY_OK);

        if (t->thumbprint != NULL) {
            assert_int_equal(aml_key_thumbprint(&key, kid), 0);
            assert_string_equal(kid, t->thumbprint);
        }

        if (t->sig != NULL) {
            sig = decoded(t->sig, s);
            assert_int_equal(aml_verifier_check(v, t->alg, t->input,
                                                strlen(t->input), sig.p, sig.n),
                             1);
            assert_int_equal(aml_verifier_check(v, t->alg, t->input + 1,
                                                strlen(t->input) - 1, sig.p,
                                                sig.n),
                             0);
        }

        aml_verifier_free(v);
    }
}


/* The forms that RFC 7638 hashes, written out here once more. */
static void
test_thumbprint_forms(void **state)
{
    size_t i;
    char room[4096], json[4096], x[200], y[200], kid[44], want[44];
    unsigned char md[32];
    EVP_PKEY *pkey;
    aml_public_key_t key;
    static const struct {
        const char *type, *crv, *format;
    } forms[] = {
        {"P-256", "P-256",
         "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}"},
        {"P-384", "P-384",
         "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}"},
        {"P-521", "P-521",
         "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}"},
        {"ED25519", "Ed25519", "{\"crv\":\"%s\",\"kty\":\"OKP\",\"x\":\"%s\"}"},
        {"ED448", "Ed448", "{\"crv\":\"%s\",\"kty\":\"OKP\",\"x\":\"%s\"}"},
    };

    (void) state;

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        pkey = forms[i].type[0] == 'P'
                   ? EVP_EC_gen(forms[i].type)
                   : EVP_PKEY_Q_keygen(NULL, NULL, forms[i].type);
        assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                         AML_KEY_OK);
        x[aml_base64url_encode(x, key.a.p, key.a.n)] = '\0';
        y[aml_base64url_encode(y, key.b.p, key.b.n)] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(json, sizeof(json), forms[i].format, forms[i].crv, x, y);
#pragma GCC diagnostic pop
        assert_int_equal(
            EVP_Digest(json, strlen(json), md, NULL, EVP_sha256(), NULL), 1);
        want[aml_base64url_encode(want, md, sizeof(md))] = '\0';

        assert_int_equal(aml_key_thumbprint(&key, kid), 0);
        assert_string_equal(kid, want);
        EVP_PKEY_free(pkey);
    }

    key.kty = (aml_kty_t) 9;
    assert_int_equal(aml_key_thumbprint(&key, kid), -1);
    key.kty = AML_KTY_EC;
    assert_int_equal(aml_key_thumbprint(&key, kid), -1);
    key.kty = AML_KTY_RSA;
    key.a = (aml_str_t){room, 2000};
    memset(room, 1, sizeof(room));
    assert_int_equal(aml_key_thumbprint(&key, kid), -1);
}


/* ---- keys that are refused ---- */

#define P256_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define P256_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ZERO32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define ONES32 "__________________________________________8"

static const struct {
    const char *what;
    aml_kty_t kty;
    aml_curve_t curve;
    const char *a, *b;
    unsigned alg;
    aml_key_rc_t want;
} bad_keys[] = {
    {"e is 1", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQ", 0, AML_KEY_INVALID},
    {"e is 2", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "Ag", 0, AML_KEY_INVALID},
    {"e is 3", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "Aw", 0, AML_KEY_INVALID},
    {"e is 0", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AA", 0, AML_KEY_INVALID},
    {"no e", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "", 0, AML_KEY_INVALID},
    {"e is 65536", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQAA", 0,
     AML_KEY_INVALID},
    {"e of 65 bits", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQAAAAAAAAAB", 0,
     AML_KEY_INVALID},
    {"e as long as n", AML_KTY_RSA, AML_CURVE_NONE, A2_N, A2_N, 0,
     AML_KEY_INVALID},
    {"no n", AML_KTY_RSA, AML_CURVE_NONE, "", "AQAB", 0, AML_KEY_INVALID},
    {"n of zeros", AML_KTY_RSA, AML_CURVE_NONE, ZERO32, "AQAB", 0,
     AML_KEY_INVALID},
    {"n of 256 bits", AML_KTY_RSA, AML_CURVE_NONE, ONES32, "AQAB", 0,
     AML_KEY_INVALID},
    {"RSA with a curve", AML_KTY_RSA, AML_CURVE_P256, A2_N, "AQAB", 0,
     AML_KEY_INVALID},
    {"RSA for ES256", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQAB", AML_ALG_ES256,
     AML_KEY_INVALID},
    {"RSA for no algorithm", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQAB",
     AML_ALG_COUNT, AML_KEY_INVALID},
    {"RSA for 65535", AML_KTY_RSA, AML_CURVE_NONE, A2_N, "AQAB", 65535,
     AML_KEY_INVALID},
    {"P-256 for ES384", AML_KTY_EC, AML_CURVE_P256, P256_X, P256_Y,
     AML_ALG_ES384, AML_KEY_INVALID},
    {"off the curve", AML_KTY_EC, AML_CURVE_P256, P256_X, P256_X, 0,
     AML_KEY_INVALID},
    {"x and y swapped", AML_KTY_EC, AML_CURVE_P256, P256_Y, P256_X, 0,
     AML_KEY_INVALID},
    {"the origin", AML_KTY_EC, AML_CURVE_P256, ZERO32, ZERO32, 0,
     AML_KEY_INVALID},
    {"x above p", AML_KTY_EC, AML_CURVE_P256, ONES32, P256_Y, 0,
     AML_KEY_INVALID},
    {"no y", AML_KTY_EC, AML_CURVE_P256, P256_X, "", 0, AML_KEY_INVALID},
    {"no x", AML_KTY_EC, AML_CURVE_P256, "", P256_Y, 0, AML_KEY_INVALID},
    {"short x", AML_KTY_EC, AML_CURVE_P256, "AQAB", P256_Y, 0, AML_KEY_INVALID},
    {"of another curve", AML_KTY_EC, AML_CURVE_P384, P256_X, P256_Y, 0,
     AML_KEY_INVALID},
    {"long x", AML_KTY_EC, AML_CURVE_P256, A2_N, P256_Y, 0, AML_KEY_INVALID},
    {"EC, no curve", AML_KTY_EC, AML_CURVE_NONE, P256_X, P256_Y, 0,
     AML_KEY_UNSUPPORTED},
    {"EC, Edwards curve", AML_KTY_EC, AML_CURVE_ED25519, P256_X, P256_Y, 0,
     AML_KEY_UNSUPPORTED},
    {"EC, unknown curve", AML_KTY_EC, (aml_curve_t) 77, P256_X, P256_Y, 0,
     AML_KEY_UNSUPPORTED},
    {"EC, curve -1", AML_KTY_EC, (aml_curve_t) -1, P256_X, P256_Y, 0,
     AML_KEY_UNSUPPORTED},
    {"OKP, no curve", AML_KTY_OKP, AML_CURVE_NONE, ED_X, "", 0,
     AML_KEY_UNSUPPORTED},
    {"OKP, P-256", AML_KTY_OKP, AML_CURVE_P256, ED_X, "", 0,
     AML_KEY_UNSUPPORTED},
    {"Ed448, short", AML_KTY_OKP, AML_CURVE_ED448, ED_X, "", 0,
     AML_KEY_INVALID},
    {"Ed25519 with y", AML_KTY_OKP, AML_CURVE_ED25519, ED_X, ED_X, 0,
     AML_KEY_INVALID},
    {"Ed25519, empty", AML_KTY_OKP, AML_CURVE_ED25519, "", "", 0,
     AML_KEY_INVALID},
    {"Ed25519 for RS256", AML_KTY_OKP, AML_CURVE_ED25519, ED_X, "",
     AML_ALG_RS256, AML_KEY_INVALID},
    {"type 0", (aml_kty_t) 0, AML_CURVE_NONE, A2_N, "AQAB", 0,
     AML_KEY_UNSUPPORTED},
    {"type 4", (aml_kty_t) 4, AML_CURVE_NONE, A2_N, "AQAB", 0,
     AML_KEY_UNSUPPORTED},
};


static void
test_bad_keys(void **state)
{
    size_t i;
    char a[1024], b[1024];
    aml_verifier_t *v;
    aml_key_rc_t rc;
    aml_public_key_t key;

    (void) state;

    for (i = 0; i < sizeof(bad_keys) / sizeof(bad_keys[0]); i++) {
        memset(&key, 0, sizeof(key));
        key.kty = bad_keys[i].kty;
        key.curve = bad_keys[i].curve;
        key.alg = (uint16_t) bad_keys[i].alg;
        key.a = decoded(bad_keys[i].a, a);
        key.b = decoded(bad_keys[i].b, b);

        rc = aml_verifier_new(&key, &v);
        if (rc != bad_keys[i].want || v != NULL) {
            fail_msg("%s: %d", bad_keys[i].what, (int) rc);
        }
    }

    assert_int_equal(ERR_peek_error(), 0);
}


static void
test_rsa_sizes(void **state)
{
    size_t i;
    aml_verifier_t *v;
    aml_public_key_t key;
    unsigned char n[2000];
    static const struct {
        size_t bits;
        int even, zeros;
        aml_key_rc_t want;
    } sizes[] = {
        {1024, 0, 0, AML_KEY_INVALID}, {2047, 0, 0, AML_KEY_INVALID},
        {2047, 0, 4, AML_KEY_INVALID}, {2048, 0, 0, AML_KEY_OK},
        {2048, 0, 1, AML_KEY_OK},      {2048, 0, 9, AML_KEY_OK},
        {2048, 1, 0, AML_KEY_INVALID}, {4096, 0, 0, AML_KEY_OK},
        {8192, 0, 0, AML_KEY_OK},      {8193, 0, 0, AML_KEY_INVALID},
        {8200, 0, 0, AML_KEY_INVALID}, {15992, 0, 0, AML_KEY_INVALID},
    };

    (void) state;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(n, 0, sizeof(n));
        memset(&key, 0, sizeof(key));
        key.kty = AML_KTY_RSA;
        key.a.p = (char *) n;
        key.a.n = (size_t) sizes[i].zeros + (sizes[i].bits + 7) / 8;
        key.b = (aml_str_t){"\1\0\1", 3};
        n[sizes[i].zeros] = (unsigned char) (1 << (sizes[i].bits - 1) % 8);
        n[key.a.n - 1] |= sizes[i].even ? 2 : 1;

        assert_int_equal(aml_verifier_new(&key, &v), sizes[i].want);
        aml_verifier_free(v);
    }
}


/* Keys with which anybody could sign, and bytes that are no point: OpenSSL
 * would take them all. */
static void
test_edwards(void **state)
{
    size_t i;
    aml_verifier_t *v;
    aml_public_key_t key;
    static const struct {
        aml_curve_t curve;
        const char *hex;
        aml_key_rc_t want;
    } points[] = {
        {AML_CURVE_ED25519,
         "0000000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "0100000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "0200000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "0300000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED25519,
         "0400000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED25519,
         "0500000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED25519,
         "0600000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED25519,
         "0700000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "0800000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED25519,
         "0900000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED25519,
         "0a00000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED25519,
         "0b00000000000000000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "0000000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "0100000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "fefffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffff"
         "ffffffffffffffffffffffffffffffffffffffffffffffff00",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffff"
         "ffffffffffffffffffffffffffffffffffffffffffffffff00",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
         "ffffffffffffffffffffffffffffffffffffffffffffffff00",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "0000000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000001",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "0200000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "0300000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED448,
         "0400000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED448,
         "0500000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED448,
         "0600000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_INVALID},
        {AML_CURVE_ED448,
         "0700000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED448,
         "0800000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
        {AML_CURVE_ED448,
         "0900000000000000000000000000000000000000000000000000000000000000"
         "00000000000000000000000000000000000000000000000000",
         AML_KEY_OK},
    };
    unsigned char raw[57];
    long n;
    unsigned char *bytes;

    (void) state;

    for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        bytes = OPENSSL_hexstr2buf(points[i].hex, &n);
        assert_non_null(bytes);
        assert_true(n <= (long) sizeof(raw));
        memcpy(raw, bytes, (size_t) n);
        OPENSSL_free(bytes);

        memset(&key, 0, sizeof(key));
        key.kty = AML_KTY_OKP;
        key.curve = points[i].curve;
        key.a = (aml_str_t){(char *) raw, (size_t) n};

        if (aml_verifier_new(&key, &v) != points[i].want) {
            fail_msg("point %zu: %s", i, points[i].hex);
        }
        aml_verifier_free(v);

        /* the sign of x decides nothing here */
        raw[n - 1] ^= 0x80;
        assert_int_equal(aml_verifier_new(&key, &v), points[i].want);
        aml_verifier_free(v);
    }
}


/* Every key that OpenSSL makes is a good one. */
static void
test_edwards_generated(void **state)
{
    int i;
    EVP_PKEY *pkey;

    (void) state;

    for (i = 0; i < 64; i++) {
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, i & 1 ? "ED25519" : "ED448");
        aml_verifier_free(mint_verifier(pkey, AML_ALG_NONE));
        EVP_PKEY_free(pkey);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_thumbprint_forms),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_rsa_sizes),
        cmocka_unit_test(test_edwards),
        cmocka_unit_test(test_edwards_generated),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
