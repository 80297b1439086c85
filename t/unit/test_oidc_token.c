/*
 * ID and logout tokens: what is asked of them beyond any token.
 */

#include "t/unit/oidc_fixture.h"

#define BASE                                                                   \
    "\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"s-1\","              \
    "\"exp\":1795000300,\"iat\":1795000000"
#define WITH_NONCE BASE ",\"nonce\":\"" NONCE "\""


static aml_reason_t
opened(oidc_t *o, const char *token, const char *nonce, amld_oidc_who_t *who)
{
    return amld_oidc_id_token(&o->d, &o->issuers[0], token, nonce, ACCESS, NOW,
                              who);
}


static aml_reason_t
id_token(oidc_t *o, const char *claims, const char *nonce)
{
    amld_oidc_who_t who;
    aml_reason_t rc;
    char text[2048], *token;

    (void) snprintf(text, sizeof(text), "{%s}", claims);
    token = oidc_mint(o, "JWT", text);
    rc = opened(o, token, nonce, &who);
    json_decref(who.claims);
    free(token);

    return rc;
}


/* The left half of its hash, as a claim. */
static const char *
at_hash(const EVP_MD *md, const char *of, char text[128])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    char half[96];
    unsigned n;

    assert_int_equal(EVP_Digest(of, strlen(of), hash, &n, md, NULL), 1);
    half[aml_base64url_encode(half, hash, n / 2)] = '\0';
    (void) snprintf(text, 128, ",\"at_hash\":\"%s\"", half);

    return text;
}


static void
test_who(void **state)
{
    oidc_t *o = *state;
    aml_principal_id_t expected;
    amld_oidc_who_t who;
    char *token = oidc_mint(o, "JWT",
                            "{" WITH_NONCE ",\"sid\":\"p-1\",\"groups\":[\"g\"]"
                            ",\"preferred_username\":\"ada\"}");

    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_OK);
    assert_ptr_equal(who.issuer, &o->issuers[0]);
    assert_string_equal(who.iss, ISS);
    assert_string_equal(who.subject, "s-1");
    assert_string_equal(who.sid, "p-1");
    assert_int_equal(who.identity.name_len, 3);
    assert_int_equal(who.identity.group_count, 1);
    assert_int_equal(
        aml_principal_derive(aml_str(ISS), aml_str("s-1"), &expected), 0);
    assert_true(aml_principal_eq(&expected, &who.identity.principal));
    json_decref(who.claims);

    /* of another section it is nothing */
    assert_int_equal(amld_oidc_id_token(&o->d, &o->issuers[1], token, NONCE,
                                        ACCESS, NOW, &who),
                     AML_REASON_TOKEN_ISSUER);
    json_decref(who.claims);
    free(token);
}


static void
test_claims(void **state)
{
    static const struct {
        const char *claims, *nonce;
        aml_reason_t rc;
    } t[] = {
        {WITH_NONCE, NONCE, AML_REASON_OK},
        {WITH_NONCE, NULL, AML_REASON_OK},
        {BASE, NULL, AML_REASON_OK},
        {BASE, NONCE, AML_REASON_TOKEN_CLAIMS},
        {WITH_NONCE, "another", AML_REASON_TOKEN_CLAIMS},
        {BASE ",\"nonce\":1", NONCE, AML_REASON_TOKEN_CLAIMS},
        {WITH_NONCE ",\"azp\":\"" CLIENT "\"", NONCE, AML_REASON_OK},
        {WITH_NONCE ",\"azp\":\"another\"", NONCE, AML_REASON_TOKEN_CLAIMS},
        {WITH_NONCE ",\"azp\":[]", NONCE, AML_REASON_TOKEN_CLAIMS},
        {WITH_NONCE ",\"at_hash\":\"x\"", NONCE, AML_REASON_TOKEN_CLAIMS},
        {WITH_NONCE ",\"at_hash\":null", NONCE, AML_REASON_TOKEN_CLAIMS},
        {"\"iss\":\"" ISS "\",\"aud\":[\"" CLIENT "\",\"b\"],\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1795000000",
         NULL, AML_REASON_TOKEN_CLAIMS},
        {"\"iss\":\"" ISS "\",\"aud\":[\"" CLIENT "\",\"b\"],\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1795000000,\"azp\":\"" CLIENT "\"",
         NULL, AML_REASON_OK},
        {"\"iss\":\"" ISS "\",\"aud\":[\"" CLIENT "\"],\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1795000000",
         NULL, AML_REASON_OK},
        {"\"iss\":\"" ISS "\",\"aud\":\"b\",\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1795000000",
         NULL, AML_REASON_TOKEN_AUDIENCE},
        {"\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"\","
         "\"exp\":1795000300,\"iat\":1795000000",
         NULL, AML_REASON_TOKEN_CLAIMS},
        {"\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"s\","
         "\"exp\":1795000300",
         NULL, AML_REASON_TOKEN_CLAIMS},
        {"\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"s\","
         "\"exp\":1795000000,\"iat\":1794999900",
         NULL, AML_REASON_TOKEN_EXPIRED},
        /* it has been on its way for too long, or comes from the future */
        {"\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1794999399",
         NULL, AML_REASON_TOKEN_EXPIRED},
        {"\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1795000061",
         NULL, AML_REASON_TOKEN_NOT_YET},
        {"\"iss\":\"" OTHER_ISS "\",\"aud\":\"" CLIENT "\",\"sub\":\"s\","
         "\"exp\":1795000300,\"iat\":1795000000",
         NULL, AML_REASON_TOKEN_ISSUER},
    };
    oidc_t *o = *state;
    aml_reason_t rc;
    size_t i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        rc = id_token(o, t[i].claims, t[i].nonce);
        if (rc != t[i].rc) {
            fail_msg("%s: %s, not %s", t[i].claims, aml_reason_info(rc)->code.p,
                     aml_reason_info(t[i].rc)->code.p);
        }
    }
}


/* By the hash of the signature that it has. */
static void
test_at_hash(void **state)
{
    oidc_t *o = *state;
    struct {
        EVP_PKEY *pkey;
        aml_alg_t alg;
        const char *head;
        const EVP_MD *md;
    } t[] = {
        {o->rsa, AML_ALG_RS256, "{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
         EVP_sha256()},
        {o->rsa, AML_ALG_PS512, "{\"alg\":\"PS512\",\"kid\":\"rsa\"}",
         EVP_sha512()},
        {o->p384, AML_ALG_ES384, "{\"alg\":\"ES384\",\"kid\":\"p384\"}",
         EVP_sha384()},
        {o->ed, AML_ALG_EDDSA, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}",
         EVP_sha512()},
    };
    const EVP_MD *all[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    char text[1024], claim[128], *token;
    amld_oidc_who_t who;
    aml_reason_t rc;
    size_t i, j;

    for (i = 0; i < 4; i++) {
        for (j = 0; j < 3; j++) {
            (void) snprintf(text, sizeof(text), "{" WITH_NONCE "%s}",
                            at_hash(all[j], ACCESS, claim));
            token = mint_token(t[i].pkey, t[i].alg, t[i].head, text);
            rc = opened(o, token, NONCE, &who);
            assert_int_equal(rc,
                             EVP_MD_get_type(all[j]) == EVP_MD_get_type(t[i].md)
                                 ? AML_REASON_OK
                                 : AML_REASON_TOKEN_CLAIMS);
            json_decref(who.claims);
            free(token);
        }
    }

    (void) snprintf(text, sizeof(text), WITH_NONCE "%s",
                    at_hash(EVP_sha256(), "another token", claim));
    assert_int_equal(id_token(o, text, NONCE), AML_REASON_TOKEN_CLAIMS);
}


static void
test_keys(void **state)
{
    oidc_t *o = *state;
    char *token =
        mint_token(o->p256, AML_ALG_ES256,
                   "{\"alg\":\"ES256\",\"kid\":\"p256\"}", "{" WITH_NONCE "}");
    char *rotated;
    amld_oidc_who_t who;

    /* a key of another provider */
    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_TOKEN_KEY);
    oidc_publish(o, ISS, "p256", o->p256, NOW);
    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_TOKEN_KEY);
    oidc_publish(o, ISS, "p256", o->p256, NOW + 1);
    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_OK);
    json_decref(who.claims);
    free(token);

    /* no kid: of several none, of one that one */
    token = mint_token(o->p256, AML_ALG_ES256, "{\"alg\":\"ES256\"}",
                       "{\"iss\":\"" OTHER_ISS "\",\"aud\":\"" CLIENT "\","
                       "\"sub\":\"s\",\"exp\":1795000300,\"iat\":1795000000}");
    assert_int_equal(amld_oidc_id_token(&o->d, &o->issuers[1], token, NULL,
                                        ACCESS, NOW, &who),
                     AML_REASON_OK);
    json_decref(who.claims);

    /* where that one did not sign, it may have been replaced */
    rotated = mint_token(o->rsa, AML_ALG_RS256, "{\"alg\":\"RS256\"}",
                         "{\"iss\":\"" OTHER_ISS "\",\"aud\":\"" CLIENT "\","
                         "\"sub\":\"s\",\"exp\":1795000300,"
                         "\"iat\":1795000000}");
    assert_int_equal(amld_oidc_id_token(&o->d, &o->issuers[1], rotated, NULL,
                                        ACCESS, NOW, &who),
                     AML_REASON_TOKEN_KEY);
    free(rotated);

    oidc_publish(o, OTHER_ISS, "rsa", o->rsa, 0);
    assert_int_equal(amld_oidc_id_token(&o->d, &o->issuers[1], token, NULL,
                                        ACCESS, NOW, &who),
                     AML_REASON_TOKEN_KEY);
    free(token);

    /* algorithms that the section does not allow, or nobody should */
    o->issuers[0].algs = UINT32_C(1) << AML_ALG_ES384;
    assert_int_equal(id_token(o, WITH_NONCE, NONCE),
                     AML_REASON_TOKEN_ALGORITHM);
    token = mint_unsigned("{\"alg\":\"none\"}", 14, "{" WITH_NONCE "}",
                          strlen("{" WITH_NONCE "}"));
    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_TOKEN_ALGORITHM);
    free(token);
    assert_int_not_equal(opened(o, "", NONCE, &who), AML_REASON_OK);
    assert_int_not_equal(opened(o, "a.b.c", NONCE, &who), AML_REASON_OK);
}


/* A logout token is none for signing in, nor the other way round. */
static void
test_kinds(void **state)
{
    oidc_t *o = *state;
    amld_oidc_who_t who;
    char *token;

    token =
        oidc_mint(o, "logout+jwt",
                  "{" WITH_NONCE ",\"jti\":\"j\",\"events\":{" EVENT ":{}}}");
    assert_int_not_equal(opened(o, token, NONCE, &who), AML_REASON_OK);
    free(token);
    token = oidc_mint(o, "JWT", "{" BASE ",\"jti\":\"j\"}");
    assert_int_not_equal(
        amld_oidc_logout_token(&o->d, &o->issuers[0], token, NOW, &who),
        AML_REASON_OK);
    free(token);
    token = oidc_mint(o, "at+jwt", "{" WITH_NONCE "}");
    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_TOKEN_TYPE);
    free(token);
}


#define TIMES "\"iat\":1795000000,\"exp\":1795000100"
#define EVENTS "\"events\":{" EVENT ":{}}"

static void
test_logout_tokens(void **state)
{
    static const struct {
        const char *claims;
        int good;
    } t[] = {
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\"," EVENTS, 1},
        {TIMES ",\"jti\":\"j\",\"sid\":\"p\"," EVENTS, 1},
        {TIMES ",\"jti\":\"j\",\"sid\":\"p\",\"sub\":\"s\"," EVENTS, 1},
        /* Glewlwyd's have no exp */
        {"\"iat\":1795000000,\"jti\":\"j\",\"sub\":\"s\"," EVENTS, 1},
        {TIMES ",\"jti\":\"j\"," EVENTS, 0},
        {TIMES ",\"sub\":\"s\"," EVENTS, 0},
        {TIMES ",\"jti\":\"\",\"sub\":\"s\"," EVENTS, 0},
        {TIMES ",\"jti\":1,\"sub\":\"s\"," EVENTS, 0},
        {TIMES ",\"jti\":\"j\",\"sub\":1," EVENTS, 0},
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\",\"sid\":\"\"," EVENTS, 0},
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\"", 0},
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\",\"events\":{}", 0},
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\",\"events\":{" EVENT ":1}", 0},
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\",\"nonce\":\"n\"," EVENTS, 0},
        {TIMES ",\"jti\":\"j\",\"sub\":\"s\",\"nonce\":null," EVENTS, 0},
        {"\"exp\":1795000100,\"jti\":\"j\",\"sub\":\"s\"," EVENTS, 0},
        {"\"iat\":1795000000,\"exp\":1795000000,\"jti\":\"j\",\"sub\":"
         "\"s\"," EVENTS,
         0},
        {"\"iat\":1794999399,\"exp\":1795000100,\"jti\":\"j\",\"sub\":"
         "\"s\"," EVENTS,
         0},
        {"\"iat\":1795000061,\"exp\":1795000100,\"jti\":\"j\",\"sub\":"
         "\"s\"," EVENTS,
         0},
    };
    oidc_t *o = *state;
    amld_oidc_who_t who;
    aml_reason_t rc;
    size_t i;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        rc = oidc_logout(o, t[i].claims, &who);
        json_decref(who.claims);
        if ((rc == AML_REASON_OK) != t[i].good) {
            fail_msg("%s: %s", t[i].claims, aml_reason_info(rc)->code.p);
        }
    }
}


static void
test_userinfo(void **state)
{
    oidc_t *o = *state;
    amld_oidc_who_t who;
    json_t *info;
    char *token = oidc_mint(o, "JWT", "{" WITH_NONCE "}");

    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_OK);
    info =
        json_pack("{s:s, s:[s], s:s, s:s}", "sub", "s-1", "groups", "g", "iss",
                  "https://evil.example", "preferred_username", "ada");
    assert_int_equal(amld_oidc_add_userinfo(info, &who), AML_REASON_OK);
    assert_int_equal(who.identity.group_count, 1);
    assert_int_equal(who.identity.name_len, 3);
    assert_string_equal(who.iss, ISS);

    (void) json_object_set_new(info, "sub", json_string("s-2"));
    assert_int_equal(amld_oidc_add_userinfo(info, &who),
                     AML_REASON_TOKEN_CLAIMS);
    (void) json_object_del(info, "sub");
    assert_int_equal(amld_oidc_add_userinfo(info, &who),
                     AML_REASON_TOKEN_CLAIMS);

    json_decref(info);
    json_decref(who.claims);
    free(token);
}


/* Where identity is another claim, `sub` is remembered for logout tokens. */
static void
test_subject(void **state)
{
    oidc_t *o = *state;
    amld_oidc_who_t who, out;
    aml_principal_id_t principal;
    aml_registry_txn_t *txn;
    char *token;

    free(o->issuers[0].identity_claim);
    o->issuers[0].identity_claim = strdup("employee");
    token = oidc_mint(o, "JWT", "{" WITH_NONCE ",\"employee\":\"e-7\"}");
    assert_int_equal(opened(o, token, NONCE, &who), AML_REASON_OK);
    free(token);
    assert_int_equal(
        oidc_logout(o, TIMES ",\"jti\":\"j\",\"sub\":\"s-1\"," EVENTS, &out),
        AML_REASON_OK);

    assert_int_equal(aml_registry_write(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_oidc_principal(txn, &out, &principal),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_oidc_remember(txn, &who), AML_REGISTRY_OK);
    assert_int_equal(amld_oidc_principal(txn, &out, &principal),
                     AML_REGISTRY_OK);
    assert_true(aml_principal_eq(&principal, &who.identity.principal));
    aml_registry_end(txn);

    json_decref(who.claims);
    json_decref(out.claims);
}


static void
test_unverified(void **state)
{
    static const char *const bad[] = {"",    ".",     "..",      "x",
                                      "x.y", "x.!.z", "x.AAAA.z"};
    oidc_t *o = *state;
    char *token = oidc_mint(o, "JWT", "{" BASE ",\"n\":1}");
    json_t *json;
    size_t i;

    assert_string_equal(amld_oidc_unverified(token, "iss", &json), ISS);
    json_decref(json);
    assert_null(amld_oidc_unverified(token, "n", &json));
    json_decref(json);
    assert_null(amld_oidc_unverified(token, "none", &json));
    json_decref(json);
    free(token);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(amld_oidc_unverified(bad[i], "iss", &json));
        json_decref(json);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_claims, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_at_hash, oidc_setup,
                                        oidc_teardown),
        cmocka_unit_test_setup_teardown(test_keys, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_kinds, oidc_setup, oidc_teardown),
        cmocka_unit_test_setup_teardown(test_logout_tokens, oidc_setup,
                                        oidc_teardown),
        cmocka_unit_test_setup_teardown(test_userinfo, oidc_setup,
                                        oidc_teardown),
        cmocka_unit_test_setup_teardown(test_subject, oidc_setup,
                                        oidc_teardown),
        cmocka_unit_test_setup_teardown(test_unverified, oidc_setup,
                                        oidc_teardown),
    };

    amld_log_level((amld_log_level_t) -1);

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_token", tests, NULL, NULL);
}
