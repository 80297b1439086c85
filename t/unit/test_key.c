#include "t/unit/mint.h"

#include <openssl/err.h>

/* ---- names ---- */

static const char *const names[] = {
    [AML_ALG_RS256] = "RS256", [AML_ALG_RS384] = "RS384",
    [AML_ALG_RS512] = "RS512", [AML_ALG_PS256] = "PS256",
    [AML_ALG_PS384] = "PS384", [AML_ALG_PS512] = "PS512",
    [AML_ALG_ES256] = "ES256", [AML_ALG_ES384] = "ES384",
    [AML_ALG_ES512] = "ES512", [AML_ALG_EDDSA] = "EdDSA",
};


static void
test_alg_names(void **state)
{
    int i;
    size_t j;
    static const aml_str_t strangers[] = {
        {"", 0},      {"none", 4},   {"None", 4},  {"HS256", 5},
        {"rs256", 5}, {"RS256 ", 6}, {"RS25", 4},  {"RS256\0", 6},
        {"RS1", 3},   {"ES256K", 6}, {"EDDSA", 5}, {"Ed25519", 7},
        {NULL, 0}};

    (void) state;

    for (i = AML_ALG_NONE + 1; i < AML_ALG_COUNT; i++) {
        assert_int_equal(aml_alg_find(aml_str_of(names[i])), i);
        assert_true(
            aml_str_eq(aml_alg_name((aml_alg_t) i), aml_str_of(names[i])));
    }

    for (j = 0; j < sizeof(strangers) / sizeof(strangers[0]); j++) {
        assert_int_equal(aml_alg_find(strangers[j]), AML_ALG_NONE);
    }

    assert_int_equal(aml_alg_name(AML_ALG_NONE).n, 0);
    assert_int_equal(aml_alg_name(AML_ALG_COUNT).n, 0);
    assert_int_equal(aml_alg_name((aml_alg_t) 99).n, 0);
}


static void
test_alg_fits(void **state)
{
    int alg, kty, curve, want;

    (void) state;

    for (alg = -1; alg <= AML_ALG_COUNT; alg++) {
        for (kty = 0; kty <= AML_KTY_OKP + 1; kty++) {
            for (curve = -1; curve <= AML_CURVE_ED448 + 1; curve++) {
                want = 0;
                if (alg >= AML_ALG_RS256 && alg <= AML_ALG_PS512) {
                    want = kty == AML_KTY_RSA && curve == AML_CURVE_NONE;

                } else if (alg >= AML_ALG_ES256 && alg <= AML_ALG_ES512) {
                    want = kty == AML_KTY_EC &&
                           curve == AML_CURVE_P256 + alg - AML_ALG_ES256;

                } else if (alg == AML_ALG_EDDSA) {
                    want = kty == AML_KTY_OKP && (curve == AML_CURVE_ED25519 ||
                                                  curve == AML_CURVE_ED448);
                }

                assert_int_equal(aml_alg_fits((aml_alg_t) alg, (aml_kty_t) kty,
                                              (aml_curve_t) curve),
                                 want);
            }
        }
    }
}


/* ---- every algorithm, against what OpenSSL signs ---- */

static EVP_PKEY *
key_for(aml_alg_t alg, int other)
{
    switch (alg) {
    case AML_ALG_ES256:
        return EVP_EC_gen("P-256");
    case AML_ALG_ES384:
        return EVP_EC_gen("P-384");
    case AML_ALG_ES512:
        return EVP_EC_gen("P-521");
    case AML_ALG_EDDSA:
        return EVP_PKEY_Q_keygen(NULL, NULL, other ? "ED448" : "ED25519");
    default:
        return EVP_RSA_gen(other ? 3072 : 2048);
    }
}


static void
check_algorithm(aml_alg_t alg, EVP_PKEY *pkey)
{
    int i, a;
    size_t n;
    aml_verifier_t *v;
    unsigned char sig[MINT_SIG_MAX], der[MINT_SIG_MAX];
    const char data[] = "header.payload";

    v = mint_verifier(pkey, AML_ALG_NONE);

    /* many checks by one verifier, good and bad in turns */
    for (i = 0; i < 8; i++) {
        n = mint_sign(pkey, alg, data, sizeof(data), sig);
        assert_int_equal(aml_verifier_check(v, alg, data, sizeof(data), sig, n),
                         1);
        assert_int_equal(
            aml_verifier_check(v, alg, data, sizeof(data) - 1, sig, n), 0);
        assert_int_equal(
            aml_verifier_check(v, alg, data, sizeof(data), sig, n - 1), 0);
        assert_int_equal(
            aml_verifier_check(v, alg, data, sizeof(data), sig, n + 1), 0);
        assert_int_equal(aml_verifier_check(v, alg, data, sizeof(data), sig, 0),
                         0);

        sig[(size_t) i * n / 8] ^= 1;
        assert_int_equal(aml_verifier_check(v, alg, data, sizeof(data), sig, n),
                         0);
        sig[(size_t) i * n / 8] ^= 1;

        for (a = 0; a <= AML_ALG_COUNT; a++) {
            if (a != (int) alg) {
                assert_int_equal(aml_verifier_check(v, (aml_alg_t) a, data,
                                                    sizeof(data), sig, n),
                                 0);
            }
        }
    }

    memset(der, 0, sizeof(der));
    assert_int_equal(aml_verifier_check(v, alg, data, sizeof(data), der, n), 0);
    memset(der, 0xff, sizeof(der));
    assert_int_equal(aml_verifier_check(v, alg, data, sizeof(data), der, n), 0);

    /* empty data is data */
    n = mint_sign(pkey, alg, "", 0, sig);
    assert_int_equal(aml_verifier_check(v, alg, "", 0, sig, n), 1);

    assert_int_equal(ERR_peek_error(), 0);

    aml_verifier_free(v);
}


static void
test_algorithms(void **state)
{
    int alg;
    EVP_PKEY *rsa, *pkey;

    (void) state;

    rsa = key_for(AML_ALG_RS256, 0);

    for (alg = AML_ALG_RS256; alg <= AML_ALG_PS512; alg++) {
        check_algorithm((aml_alg_t) alg, rsa);
    }
    EVP_PKEY_free(rsa);

    for (alg = AML_ALG_ES256; alg <= AML_ALG_EDDSA; alg++) {
        pkey = key_for((aml_alg_t) alg, 0);
        check_algorithm((aml_alg_t) alg, pkey);
        EVP_PKEY_free(pkey);
    }

    pkey = key_for(AML_ALG_EDDSA, 1);
    check_algorithm(AML_ALG_EDDSA, pkey);
    EVP_PKEY_free(pkey);

    pkey = key_for(AML_ALG_RS256, 1);
    check_algorithm(AML_ALG_RS256, pkey);
    EVP_PKEY_free(pkey);
}


/* r and s are short now and then: 600 signatures of each size meet all the
 * shapes that DER has for them. */
static void
test_ecdsa_shapes(void **state)
{
    int i, alg, size;
    size_t n;
    EVP_PKEY *pkey;
    aml_verifier_t *v;
    unsigned char sig[MINT_SIG_MAX];

    (void) state;

    for (alg = AML_ALG_ES256; alg <= AML_ALG_ES512; alg++) {
        pkey = key_for((aml_alg_t) alg, 0);
        v = mint_verifier(pkey, AML_ALG_NONE);
        size = alg == AML_ALG_ES256 ? 32 : alg == AML_ALG_ES384 ? 48 : 66;

        for (i = 0; i < (alg == AML_ALG_ES256 ? 600 : 150); i++) {
            n = mint_sign(pkey, (aml_alg_t) alg, &i, sizeof(i), sig);
            assert_int_equal(n, 2 * size);
            assert_int_equal(
                aml_verifier_check(v, (aml_alg_t) alg, &i, sizeof(i), sig, n),
                1);
        }

        /* r = 0, s = 0, r and s with every bit set */
        memset(sig, 0, (size_t) size);
        assert_int_equal(
            aml_verifier_check(v, (aml_alg_t) alg, &i, sizeof(i), sig, n), 0);
        mint_sign(pkey, (aml_alg_t) alg, &i, sizeof(i), sig);
        memset(sig + size, 0, (size_t) size);
        assert_int_equal(
            aml_verifier_check(v, (aml_alg_t) alg, &i, sizeof(i), sig, n), 0);
        memset(sig + size, 0xff, (size_t) size);
        assert_int_equal(
            aml_verifier_check(v, (aml_alg_t) alg, &i, sizeof(i), sig, n), 0);

        aml_verifier_free(v);
        EVP_PKEY_free(pkey);
    }
}


static void
test_pss_salt(void **state)
{
    size_t i, n;
    EVP_PKEY *pkey;
    aml_verifier_t *v;
    unsigned char sig[MINT_SIG_MAX];
    static const int salts[] = {0, 20, 31, 33, RSA_PSS_SALTLEN_MAX};

    (void) state;

    pkey = EVP_RSA_gen(2048);
    v = mint_verifier(pkey, AML_ALG_NONE);

    for (i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        n = mint_sign_salt(pkey, AML_ALG_PS256, salts[i], "x", 1, sig);
        assert_int_equal(aml_verifier_check(v, AML_ALG_PS256, "x", 1, sig, n),
                         0);
    }

    n = mint_sign_salt(pkey, AML_ALG_PS256, 32, "x", 1, sig);
    assert_int_equal(aml_verifier_check(v, AML_ALG_PS256, "x", 1, sig, n), 1);

    aml_verifier_free(v);
    EVP_PKEY_free(pkey);
}


static void
test_only(void **state)
{
    size_t n;
    EVP_PKEY *pkey;
    aml_verifier_t *v;
    unsigned char sig[MINT_SIG_MAX];

    (void) state;

    pkey = EVP_RSA_gen(2048);
    v = mint_verifier(pkey, AML_ALG_PS256);

    assert_true(aml_verifier_fits(v, AML_ALG_PS256));
    assert_false(aml_verifier_fits(v, AML_ALG_RS256));
    assert_false(aml_verifier_fits(v, AML_ALG_NONE));

    n = mint_sign(pkey, AML_ALG_RS256, "x", 1, sig);
    assert_int_equal(aml_verifier_check(v, AML_ALG_RS256, "x", 1, sig, n), 0);
    n = mint_sign(pkey, AML_ALG_PS256, "x", 1, sig);
    assert_int_equal(aml_verifier_check(v, AML_ALG_PS256, "x", 1, sig, n), 1);

    aml_verifier_free(v);
    EVP_PKEY_free(pkey);
}


/* ---- to a record ---- */

static void
test_public_key_of(void **state)
{
    size_t i;
    char room[2048];
    EVP_PKEY *pkey;
    aml_public_key_t key;

    (void) state;

    pkey = EVP_RSA_gen(2048);
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_OK);
    assert_int_equal(key.kty, AML_KTY_RSA);
    assert_int_equal(key.curve, AML_CURVE_NONE);
    assert_int_equal(key.a.n, 256);
    assert_int_equal(key.b.n, 3);
    assert_memory_equal(key.b.p, "\1\0\1", 3);
    assert_int_equal(key.alg, 0);
    assert_int_equal(key.expires, 0);
    for (i = 0; i < 259; i += 37) {
        assert_int_equal(aml_public_key_of(pkey, &key, room, i),
                         AML_KEY_FAILED);
    }
    assert_int_equal(aml_public_key_of(pkey, &key, room, 259), AML_KEY_OK);
    EVP_PKEY_free(pkey);

    pkey = EVP_RSA_gen(1024);
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_INVALID);
    EVP_PKEY_free(pkey);

    /* coordinates keep their leading zeros: some of 400 have them */
    for (i = 0; i < 400; i++) {
        pkey = EVP_EC_gen("P-256");
        assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                         AML_KEY_OK);
        assert_int_equal(key.kty, AML_KTY_EC);
        assert_int_equal(key.curve, AML_CURVE_P256);
        assert_int_equal(key.a.n, 32);
        assert_int_equal(key.b.n, 32);
        EVP_PKEY_free(pkey);
    }

    pkey = EVP_EC_gen("secp256k1");
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_UNSUPPORTED);
    EVP_PKEY_free(pkey);

    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_UNSUPPORTED);
    EVP_PKEY_free(pkey);

    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_OK);
    assert_int_equal(key.kty, AML_KTY_OKP);
    assert_int_equal(key.curve, AML_CURVE_ED25519);
    assert_int_equal(key.a.n, 32);
    assert_int_equal(key.b.n, 0);
    assert_int_equal(aml_public_key_of(pkey, &key, room, 31), AML_KEY_FAILED);
    EVP_PKEY_free(pkey);

    assert_int_equal(ERR_peek_error(), 0);
}


/* The record may go once the verifier is made. */
static void
test_copies(void **state)
{
    size_t n;
    char room[2048];
    EVP_PKEY *pkey;
    aml_verifier_t *v;
    aml_public_key_t key;
    unsigned char sig[MINT_SIG_MAX];

    (void) state;

    pkey = EVP_EC_gen("P-256");
    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_OK);
    assert_int_equal(aml_verifier_new(&key, &v), AML_KEY_OK);
    memset(room, 0xa5, sizeof(room));
    memset(&key, 0xa5, sizeof(key));

    n = mint_sign(pkey, AML_ALG_ES256, "x", 1, sig);
    assert_int_equal(aml_verifier_check(v, AML_ALG_ES256, "x", 1, sig, n), 1);

    aml_verifier_free(v);
    aml_verifier_free(NULL);
    EVP_PKEY_free(pkey);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alg_names),
        cmocka_unit_test(test_alg_fits),
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_ecdsa_shapes),
        cmocka_unit_test(test_pss_salt),
        cmocka_unit_test(test_only),
        cmocka_unit_test(test_public_key_of),
        cmocka_unit_test(test_copies),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
