#include "t/unit/jwt_fixture.h"

#define TID "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define TID2 "00000000-86f1-41af-91ab-2d7cd011db47"

#include <stdio.h>

#include <jwt.h>


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
        assert_int_equal(who.issued, 1699999990 - 60);
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
        /* issued counts from the leeway before */
        {"{" WHO "," FOR "," WHEN ",\"nbf\":1700000000}", 1699999940,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"nbf\":1700000060}", 1700000000,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"iat\":1700000060}", 1700000000,
         1700000600},
        {"{" WHO "," FOR "," WHEN ",\"iat\":0,\"nbf\":5}", 0, 1700000600},
        {"{" WHO "," FOR "," WHEN ",\"iat\":1699999999.9}", 1699999939,
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


/* ---- what libjwt says ---- */

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
        {"\"oid\":\"o\",\"tid\":\"" TID "\"", AML_IDENTITY_ENTRA, TID, TID,
         "o"},
        {"\"oid\":\"o\",\"tid\":\"" TID "\",\"sub\":\"s\"", AML_IDENTITY_ENTRA,
         TID, TID, "o"},
        {"\"oid\":\"o\",\"tid\":\"72F988BF-86F1-41AF-91AB-2D7CD011DB47\"",
         AML_IDENTITY_ENTRA, TID, TID, "o"},
        {"\"oid\":\"o\",\"tid\":\"" TID2 "\"", AML_IDENTITY_ENTRA, TID, NULL,
         NULL},
        /* a namespace of ours is no tenant, whatever the record says */
        {"\"oid\":\"o\",\"tid\":\"urn:aml:local\"", AML_IDENTITY_ENTRA,
         "urn:aml:local", NULL, NULL},
        {"\"oid\":\"o\",\"tid\":\"\"", AML_IDENTITY_ENTRA, "", NULL, NULL},
        {"\"oid\":\"o\",\"sub\":\"s\"", AML_IDENTITY_ENTRA, TID, NULL, NULL},
        {"\"tid\":\"" TID "\",\"sub\":\"s\"", AML_IDENTITY_ENTRA, TID, NULL,
         NULL},
        {"\"tid\":\"" TID "\",\"oid\":\"\"", AML_IDENTITY_ENTRA, TID, NULL,
         NULL},
        {"\"tid\":\"" TID "\",\"oid\":[\"o\"]", AML_IDENTITY_ENTRA, TID, NULL,
         NULL},
        {"\"tid\":1,\"oid\":\"o\"", AML_IDENTITY_ENTRA, TID, NULL, NULL},
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
    const aml_jwt_source_t source = {NULL, joe, joes, NULL};
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
