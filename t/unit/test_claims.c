/*
 * What tokens say beside that they are good: what kind they are, groups, app
 * roles, scope, tenants, our own sign-ins.
 */

#include "t/unit/jwt_fixture.h"

#define TID "72f988bf-86f1-41af-91ab-2d7cd011db47"


static test_source_t
with_groups(const char *groups, const char *roles)
{
    test_source_t s = a_source();

    s.issuer.groups_claim = aml_str_of(groups);
    s.issuer.roles_claim = aml_str_of(roles);

    return s;
}


static aml_reason_t
claims(test_source_t *s, const char *more, aml_jwt_identity_t *who)
{
    char text[8192];

    (void) snprintf(text, sizeof(text), "{" WHO "," WHEN "," FOR "%s%s}",
                    *more != '\0' ? "," : "", more);

    return verify_new(s, "rsa", AML_ALG_RS256, HEAD, text, who);
}


static int
has_group(const aml_jwt_identity_t *who, aml_group_kind_t kind,
          const char *name)
{
    size_t i;
    aml_principal_id_t id;

    assert_int_equal(
        aml_group_derive(kind, aml_str(ISS), aml_str_of(name), &id), 0);

    for (i = 0; i < who->group_count; i++) {
        if (aml_principal_eq(&who->groups[i], &id)) {
            return 1;
        }
    }

    return 0;
}


/* "Unknown" is never "none", and "none" never "unknown". */
static void
test_groups(void **state)
{
    static const struct {
        const char *claims;
        size_t count;
        int unknown;
    } t[] = {
        {"", 0, 0},
        {"\"groups\":[]", 0, 0},
        {"\"groups\":null", 0, 0},
        {"\"groups\":[\"a\"]", 1, 0},
        {"\"groups\":\"a\"", 1, 0},
        {"\"groups\":[\"a\",\"b\"]", 2, 0},
        {"\"groups\":[\"a\",1]", 1, 1},
        {"\"groups\":[\"\"]", 0, 1},
        {"\"groups\":[[\"a\"]]", 0, 1},
        {"\"groups\":{}", 0, 1},
        {"\"groups\":true", 0, 1},
        {"\"hasgroups\":true", 0, 1},
        {"\"hasgroups\":false", 0, 0},
        {"\"_claim_names\":{\"groups\":\"src1\"},"
         "\"_claim_sources\":{\"src1\":{\"endpoint\":\"http://evil/\"}}",
         0, 1},
        {"\"_claim_names\":{\"address\":\"src1\"}", 0, 0},
        {"\"roles\":[\"x\"]", 1, 0},
        {"\"groups\":[\"a\"],\"roles\":[\"a\"]", 2, 0},
        {"\"roles\":[\"x\"],\"_claim_names\":{\"groups\":\"s\"}", 1, 1},
    };
    test_source_t s = with_groups("groups", "roles");
    aml_jwt_identity_t who;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        expect(t[i].claims, claims(&s, t[i].claims, &who), AML_REASON_OK);
        if (who.group_count != t[i].count ||
            who.groups_unknown != t[i].unknown) {
            fail_msg("%s: %zu groups, unknown %d", t[i].claims, who.group_count,
                     who.groups_unknown);
        }
    }

    /* a group is not the app role of that name, nor a person */
    expect("both", claims(&s, "\"groups\":[\"a\"],\"roles\":[\"b\"]", &who),
           AML_REASON_OK);
    assert_true(has_group(&who, AML_GROUP, "a"));
    assert_false(has_group(&who, AML_APP_ROLE, "a"));
    assert_true(has_group(&who, AML_APP_ROLE, "b"));
    assert_false(has_group(&who, AML_GROUP, "b"));

    /* who asks for none gets none */
    s = with_groups("", "");
    expect("none", claims(&s, "\"groups\":[\"a\"],\"hasgroups\":true", &who),
           AML_REASON_OK);
    assert_int_equal(who.group_count, 0);
    assert_int_equal(who.groups_unknown, 0);
}


static void
test_many_groups(void **state)
{
    test_source_t s = with_groups("groups", "");
    aml_jwt_identity_t who;
    char text[8192];
    size_t n, i, count;

    (void) state;

    for (count = AML_JWT_GROUPS_MAX; count <= AML_JWT_GROUPS_MAX + 1; count++) {
        n = (size_t) snprintf(text, sizeof(text), "\"groups\":[");
        for (i = 0; i < count; i++) {
            n += (size_t) snprintf(text + n, sizeof(text) - n, "%s\"g%zu\"",
                                   i != 0 ? "," : "", i);
        }
        (void) snprintf(text + n, sizeof(text) - n, "]");

        expect("many", claims(&s, text, &who), AML_REASON_OK);
        assert_int_equal(who.group_count, AML_JWT_GROUPS_MAX);
        assert_int_equal(who.groups_unknown, count > AML_JWT_GROUPS_MAX);
    }
}


/* A name as it stands before a path; Keycloak's roles lie deep. */
static void
test_paths(void **state)
{
    test_source_t s =
        with_groups("https://example.org/groups", "realm_access.roles");
    aml_jwt_identity_t who;

    (void) state;

    expect("paths",
           claims(&s,
                  "\"https://example.org/groups\":[\"a\"],"
                  "\"realm_access\":{\"roles\":[\"b\"]}",
                  &who),
           AML_REASON_OK);
    assert_true(has_group(&who, AML_GROUP, "a"));
    assert_true(has_group(&who, AML_APP_ROLE, "b"));

    expect("literal",
           claims(&s,
                  "\"realm_access.roles\":[\"c\"],"
                  "\"realm_access\":{\"roles\":[\"b\"]}",
                  &who),
           AML_REASON_OK);
    assert_true(has_group(&who, AML_APP_ROLE, "c"));
    assert_false(has_group(&who, AML_APP_ROLE, "b"));

    expect("no object", claims(&s, "\"realm_access\":[\"roles\"]", &who),
           AML_REASON_OK);
    assert_int_equal(who.group_count, 0);
}


static void
test_identity_claim(void **state)
{
    test_source_t s = a_source();
    aml_jwt_identity_t who;
    aml_principal_id_t id;

    (void) state;

    s.issuer.identity_claim = aml_str("uid");
    expect("none", claims(&s, "", &who), AML_REASON_TOKEN_CLAIMS);
    expect("number", claims(&s, "\"uid\":7", &who), AML_REASON_TOKEN_CLAIMS);
    expect("own", claims(&s, "\"uid\":\"u7\"", &who), AML_REASON_OK);
    assert_int_equal(aml_principal_derive(aml_str(ISS), aml_str("u7"), &id), 0);
    assert_true(aml_principal_eq(&id, &who.principal));
}


/* ---- what kind it is ---- */

static void
test_kinds(void **state)
{
    static const struct {
        const char *header, *claims;
        aml_reason_t reason;
    } t[] = {
        {"", "", AML_REASON_OK},
        {"\"typ\":\"JWT\"", "", AML_REASON_OK},
        {"\"typ\":\"at+jwt\"", "", AML_REASON_OK},
        {"\"typ\":\"application/at+JWT\"", "", AML_REASON_OK},
        {"\"typ\":\"logout+jwt\"", "", AML_REASON_TOKEN_TYPE},
        {"\"typ\":\"dpop+jwt\"", "", AML_REASON_TOKEN_TYPE},
        {"", "\"nonce\":\"n\"", AML_REASON_TOKEN_TYPE},
        {"", "\"at_hash\":\"h\"", AML_REASON_TOKEN_TYPE},
        {"", "\"c_hash\":\"h\"", AML_REASON_TOKEN_TYPE},
        {"\"typ\":\"JWT\"", "\"nonce\":\"n\"", AML_REASON_TOKEN_TYPE},
        {"\"typ\":\"at+jwt\"", "\"nonce\":\"n\"", AML_REASON_OK},
        /* Keycloak */
        {"", "\"typ\":\"Bearer\",\"nonce\":\"n\"", AML_REASON_OK},
        {"", "\"typ\":\"ID\"", AML_REASON_TOKEN_TYPE},
        {"", "\"typ\":\"Refresh\"", AML_REASON_TOKEN_TYPE},
        {"", "\"typ\":\"Offline\"", AML_REASON_TOKEN_TYPE},
        {"", "\"typ\":\"Logout\"", AML_REASON_TOKEN_TYPE},
        {"\"typ\":\"at+jwt\"", "\"typ\":\"ID\"", AML_REASON_TOKEN_TYPE},
        {"", "\"events\":{}", AML_REASON_TOKEN_TYPE},
        {"\"typ\":\"at+jwt\"", "\"events\":{}", AML_REASON_TOKEN_TYPE},
    };
    test_source_t s = a_source();
    char header[256], text[512];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        (void) snprintf(header, sizeof(header),
                        "{\"alg\":\"RS256\",\"kid\":\"rsa\"%s%s}",
                        *t[i].header != '\0' ? "," : "", t[i].header);
        (void) snprintf(text, sizeof(text), "{" WHO "," WHEN "," FOR "%s%s}",
                        *t[i].claims != '\0' ? "," : "", t[i].claims);
        expect(text, verify_new(&s, "rsa", AML_ALG_RS256, header, text, NULL),
               t[i].reason);
    }
}


static aml_reason_t
open_as(aml_jwt_use_t use, const char *header, const char *text,
        json_t **opened)
{
    test_source_t s = a_source();
    aml_jwt_source_t jwt = {&s, find_issuer, find_key, NULL};
    aml_jwt_identity_t who;
    aml_reason_t rc;
    char *token;

    token = mint_token(key_named("rsa")->pkey, AML_ALG_RS256, header, text);
    rc = aml_jwt_open(aml_str_of(token), NOW, use, &jwt, &who, opened);
    free(token);

    return rc;
}


#define EVENT                                                                  \
    "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"

static void
test_open(void **state)
{
    static const struct {
        aml_jwt_use_t use;
        const char *claims;
        aml_reason_t reason;
    } t[] = {
        {AML_JWT_ID, "{" WHO "," WHEN "," FOR ",\"nonce\":\"n\"}",
         AML_REASON_OK},
        {AML_JWT_ID, "{" WHO "," WHEN "," FOR "," EVENT "}",
         AML_REASON_TOKEN_TYPE},
        {AML_JWT_ID, "{" WHO "," WHEN ",\"aud\":\"other\"}",
         AML_REASON_TOKEN_AUDIENCE},
        {AML_JWT_LOGOUT, "{" WHO "," WHEN "," FOR "," EVENT "}", AML_REASON_OK},
        {AML_JWT_LOGOUT, "{" WHO "," WHEN "," FOR "}", AML_REASON_TOKEN_TYPE},
        {AML_JWT_LOGOUT, "{" WHO "," WHEN "," FOR ",\"events\":[]}",
         AML_REASON_TOKEN_TYPE},
        {AML_JWT_LOGOUT, "{" WHO "," WHEN "," FOR "," EVENT ",\"nonce\":\"\"}",
         AML_REASON_TOKEN_TYPE},
        {AML_JWT_LOGOUT, "{" WHO "," FOR "," EVENT "}",
         AML_REASON_TOKEN_CLAIMS},
        /* without exp, by an earlier draft: five minutes */
        {AML_JWT_LOGOUT,
         "{" WHO "," FOR "," EVENT ",\"iat\":9223372036854775807}",
         AML_REASON_TOKEN_CLAIMS},
        {AML_JWT_LOGOUT, "{" WHO "," FOR "," EVENT ",\"iat\":1699999701}",
         AML_REASON_OK},
        {AML_JWT_LOGOUT, "{" WHO "," FOR "," EVENT ",\"iat\":1699999700}",
         AML_REASON_TOKEN_EXPIRED},
        /* a session, and nobody by name */
        {AML_JWT_LOGOUT,
         "{\"iss\":\"" ISS "\",\"sid\":\"s\"," WHEN "," FOR "," EVENT "}",
         AML_REASON_OK},
    };
    json_t *opened;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        opened = NULL;
        expect(t[i].claims, open_as(t[i].use, HEAD, t[i].claims, &opened),
               t[i].reason);
        assert_int_equal(opened != NULL, t[i].reason == AML_REASON_OK);
        if (opened != NULL) {
            assert_string_equal(
                json_string_value(json_object_get(opened, "iss")), ISS);
        }
        json_decref(opened);
    }

    expect("logout+jwt",
           open_as(AML_JWT_LOGOUT,
                   "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"logout+jwt\"}",
                   "{" WHO "," WHEN "," FOR "," EVENT "}", NULL),
           AML_REASON_OK);
    expect("at+jwt is no ID token",
           open_as(AML_JWT_ID,
                   "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"typ\":\"at+jwt\"}",
                   "{" WHO "," WHEN "," FOR "}", NULL),
           AML_REASON_TOKEN_TYPE);
}


/* ---- Entra ---- */

static aml_reason_t
entra(const char *space, uint32_t flags, const char *more)
{
    test_source_t s = a_source();
    char text[1024];

    s.issuer.identity = AML_IDENTITY_ENTRA;
    s.issuer.space = aml_str_of(space);
    s.issuer.flags = flags;
    (void) snprintf(text, sizeof(text),
                    "{\"iss\":\"" ISS "\"," WHEN "," FOR ",%s}", more);

    return verify_new(&s, "rsa", AML_ALG_RS256, HEAD, text, NULL);
}


static void
test_entra(void **state)
{
    (void) state;

#define WHOM "\"tid\":\"" TID "\",\"oid\":\"o\""
    expect("own", entra(TID, 0, WHOM), AML_REASON_OK);
    expect("no scope", entra(TID, AML_ISSUER_REQUIRE_SCOPE, WHOM),
           AML_REASON_TOKEN_CLAIMS);
    expect("empty scope",
           entra(TID, AML_ISSUER_REQUIRE_SCOPE, WHOM ",\"scp\":\"\""),
           AML_REASON_TOKEN_CLAIMS);
    expect("no roles",
           entra(TID, AML_ISSUER_REQUIRE_SCOPE, WHOM ",\"roles\":[]"),
           AML_REASON_TOKEN_CLAIMS);
    expect("scope",
           entra(TID, AML_ISSUER_REQUIRE_SCOPE,
                 WHOM ",\"azp\":\"c\",\"scp\":\"a\""),
           AML_REASON_OK);
    expect("roles",
           entra(TID, AML_ISSUER_REQUIRE_SCOPE,
                 WHOM ",\"appid\":\"c\",\"roles\":[\"a\"]"),
           AML_REASON_OK);

    /* an ID token that came with a renewal: no nonce, but the app's roles */
    expect("an ID token",
           entra(TID, AML_ISSUER_REQUIRE_SCOPE, WHOM ",\"roles\":[\"a\"]"),
           AML_REASON_TOKEN_CLAIMS);
    expect("nobody asked",
           entra(TID, AML_ISSUER_REQUIRE_SCOPE,
                 WHOM ",\"azp\":\"\",\"appid\":1,\"scp\":\"a\""),
           AML_REASON_TOKEN_CLAIMS);
}


/* ---- our own ---- */

static void
test_own(void **state)
{
    static const char id[] = "00112233-4455-8677-8899-aabbccddeeff";
    test_source_t s = a_source();
    aml_jwt_identity_t who;
    char text[512], uuid[AML_UUID_TEXT + 1];
    size_t i;
    static const struct {
        const char *claims;
        aml_reason_t reason;
        int in_sign_in;
    } t[] = {
        {"\"sub\":\"00112233-4455-8677-8899-aabbccddeeff\"", AML_REASON_OK, 0},
        {"\"sub\":\"00112233-4455-8677-8899-aabbccddeeff\",\"sid\":"
         "\"00112233-4455-8677-8899-aabbccddeef0\"",
         AML_REASON_OK, 1},
        {"\"sub\":\"00112233-4455-8677-8899-aabbccddeeff\",\"sid\":\"x\"",
         AML_REASON_TOKEN_CLAIMS, 0},
        {"\"sub\":\"00112233-4455-8677-8899-aabbccddeeff\",\"sid\":null",
         AML_REASON_TOKEN_CLAIMS, 0},
        {"\"sub\":\"ada\"", AML_REASON_TOKEN_CLAIMS, 0},
    };

    (void) state;

    s.issuer.identity = AML_IDENTITY_PRINCIPAL;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        (void) snprintf(text, sizeof(text),
                        "{\"iss\":\"" ISS "\"," WHEN "," FOR ",%s}",
                        t[i].claims);
        expect(text, verify_new(&s, "rsa", AML_ALG_RS256, HEAD, text, &who),
               t[i].reason);
        if (t[i].reason == AML_REASON_OK) {
            aml_uuid_format(&who.principal, uuid);
            assert_string_equal(uuid, id);
            assert_int_equal(who.in_sign_in, t[i].in_sign_in);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups), cmocka_unit_test(test_many_groups),
        cmocka_unit_test(test_paths),  cmocka_unit_test(test_identity_claim),
        cmocka_unit_test(test_kinds),  cmocka_unit_test(test_open),
        cmocka_unit_test(test_entra),  cmocka_unit_test(test_own),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
