/*
 * Personal access tokens, tokens that end with a sign-in, and groups: over a
 * real registry.
 */

#include "t/unit/decide_fixture.h"

#include <jansson.h>

#define SECRET "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_0"
#define TOKEN AML_TOKEN_PREFIX SECRET
#define COMPUTE WORKSPACE "/computes/x"

static const aml_principal_id_t sign_in = {{9}};


static void
put_token(env_t *e, const char *text, aml_personal_token_t *t)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[4096];
    uint8_t hash[32];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL), 1);
    assert_int_equal(EVP_DigestUpdate(ctx, text, strlen(text)), 1);
    assert_int_equal(EVP_DigestFinal_ex(ctx, hash, NULL), 1);
    EVP_MD_CTX_free(ctx);

    store(e, key, aml_key_token(key, hash), buf,
          t != NULL ? aml_personal_token_encode(t, buf, sizeof(buf)) : 0, 0);
}


static void
put_grant(env_t *e, const aml_principal_id_t *id,
          const aml_principal_id_t *whose, int64_t expires, uint32_t flags,
          const aml_principal_id_t *groups, uint16_t n)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[8192];
    aml_grant_t g = {.expires = expires,
                     .flags = flags,
                     .principal = *whose,
                     .group_count = n};

    store(e, key, aml_key_grant(key, id), buf,
          aml_grant_encode(&g, groups, buf, sizeof(buf)), 0);
}


static void
put_role(env_t *e, const char *id, const char *actions)
{
    char key[AML_REGISTRY_KEY_MAX + 1], text[512];
    aml_principal_id_t uuid;
    int n;

    assert_int_equal(aml_uuid_parse(aml_str_of(id), &uuid), 0);
    n = snprintf(text, sizeof(text),
                 "{\"Name\":\"r\",\"Id\":\"%s\",\"Actions\":[\"%s\"]}", id,
                 actions);
    store(e, key, aml_key_role(key, &uuid), text, (size_t) n, 0);
}


static void
assign(env_t *e, const aml_principal_id_t *id, uint32_t flags, const char *role)
{
    aml_assignment_t a = {.scope = aml_str(WORKSPACE)};

    assert_int_equal(aml_uuid_parse(aml_str_of(role), &a.role), 0);
    put_principal_with(e, id, 0, flags, aml_str("x"), &a, 1);
}


static aml_reason_t
ask(env_t *e, const char *token, int64_t now, aml_identity_t *who)
{
    aml_registry_txn_t *txn;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_identify_token(e->d, txn, aml_str_of(token), now, who);
    aml_registry_end(txn);

    return rc;
}


/* ---- personal access tokens ---- */

static void
test_personal(void **state)
{
    env_t *e = *state;
    aml_identity_t who;
    aml_personal_token_t t = {.created = NOW - 10,
                              .expires = NOW + 10,
                              .principal = alice,
                              .label = aml_str("x")};

    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_TOKEN_UNKNOWN);

    put_token(e, TOKEN, &t);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_TOKEN_UNKNOWN);
    put_principal(e, &alice, 0, 0);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.credential, AML_CREDENTIAL_PERSONAL);
    assert_true(aml_principal_eq(&who.principal, &alice));
    assert_int_equal(who.expires, NOW + 10);
    assert_int_equal(who.issued, NOW - 10);
    assert_int_equal(who.in_sign_in, 0);
    assert_int_equal(who.name_len, 5);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_OK);

    /* the form */
    assert_int_equal(ask(e, AML_TOKEN_PREFIX, NOW, &who),
                     AML_REASON_TOKEN_MALFORMED);
    assert_int_equal(ask(e, TOKEN "0", NOW, &who), AML_REASON_TOKEN_MALFORMED);
    assert_int_equal(ask(e, "amlp_" SECRET "=", NOW, &who),
                     AML_REASON_TOKEN_MALFORMED);
    assert_int_equal(
        ask(e, "amlp_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_4", NOW, &who),
        AML_REASON_TOKEN_UNKNOWN);
    /* a cookie's value is none, nor is a token's a cookie */
    assert_int_equal(ask(e, SECRET, NOW, &who), AML_REASON_TOKEN_MALFORMED);
    assert_int_equal(by_session(e, SECRET, HOST, NOW, &who),
                     AML_REASON_SESSION_UNKNOWN);

    /* its end, and its person's */
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);
    assert_int_equal(ask(e, TOKEN, NOW + 9, &who), AML_REASON_OK);
    assert_int_equal(holds(e, &who, NOW + 10), AML_REASON_TOKEN_EXPIRED);
    assert_int_equal(ask(e, TOKEN, NOW + 10, &who), AML_REASON_TOKEN_EXPIRED);
    ask(e, TOKEN, NOW, &who);
    put_principal(e, &alice, NOW - 9, 0);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_PRINCIPAL_REVOKED);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &alice, 0, AML_PRINCIPAL_DISABLED);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_PRINCIPAL_REVOKED);

    put_principal(e, &alice, 0, 0);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);
    put_token(e, TOKEN, NULL);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_TOKEN_UNKNOWN);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_TOKEN_UNKNOWN);
}


static void
test_personal_scope(void **state)
{
    env_t *e = *state;
    aml_identity_t who;
    aml_personal_token_t t = {
        .created = NOW, .expires = NOW + 10, .principal = alice};

    put_principal(e, &alice, 0, 0);
    put_route(e, "one", 0, AML_INSTANCE_RUNNING);
    put_route(e, "one", 8888, AML_INSTANCE_RUNNING);
    put_route(e, "two", 0, AML_INSTANCE_STOPPED);
    put_token(e, TOKEN, &t);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);

    /* all of one's own, and nobody else's */
    assert_int_equal(application(e, &who, "one", 8888), AML_REASON_OK);
    assert_int_equal(application(e, &who, "two", 8888),
                     AML_REASON_INSTANCE_STOPPED);
    t.principal = bob;
    put_principal(e, &bob, 0, 0);
    put_token(e, TOKEN, &t);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);
    assert_int_equal(application(e, &who, "one", 8888), AML_REASON_NOT_CREATOR);

    /* one of them: of the others it does not even tell the state */
    t.principal = alice;
    t.instance_count = 1;
    t.instances[0] = aml_str("one");
    put_token(e, TOKEN, &t);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);
    assert_int_equal(application(e, &who, "one", 8888), AML_REASON_OK);
    assert_int_equal(application(e, &who, "two", 8888), AML_REASON_TOKEN_SCOPE);

    /* none; narrowed while a websocket is open */
    t.instance_count = 0;
    t.flags = AML_TOKEN_NO_INSTANCES;
    put_token(e, TOKEN, &t);
    assert_int_equal(application(e, &who, "one", 8888), AML_REASON_TOKEN_SCOPE);

    /* actions: what the token names and a role allows */
    put_role(e, CONTRIBUTOR, "*");
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_TOKEN_SCOPE);
    t.action_count = 1;
    t.actions[0] = aml_str("M/workspaces/*/READ");
    put_token(e, TOKEN, &t);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_ACTION_DENIED);
    assign(e, &alice, 0, CONTRIBUTOR);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_OK);
    assert_int_equal(action(e, &who, "DELETE", COMPUTE),
                     AML_REASON_TOKEN_SCOPE);

    put_token(e, TOKEN, NULL);
    assert_int_equal(application(e, &who, "one", 8888),
                     AML_REASON_TOKEN_UNKNOWN);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_TOKEN_UNKNOWN);
}


/* ---- groups ---- */

static void
test_groups_of_a_sign_in(void **state)
{
    static const aml_principal_id_t team = {{0x71}}, other = {{0x72}};
    env_t *e = *state;
    aml_identity_t who;

    put_role(e, CONTRIBUTOR, "*");
    put_role(e, READER, "*/read");
    put_principal(e, &alice, 0, 0);
    put_session(e, &alice, NOW, NOW + 100, HOST);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.in_sign_in, 1);
    assert_true(aml_principal_eq(&who.sign_in, &sign_in));

    assert_int_equal(action(e, &who, "PUT", COMPUTE), AML_REASON_ACTION_DENIED);

    put_grant(e, &sign_in, &alice, NOW + 100, 0, &other, 1);
    assign(e, &team, AML_PRINCIPAL_GROUP, CONTRIBUTOR);
    assert_int_equal(action(e, &who, "PUT", COMPUTE), AML_REASON_ACTION_DENIED);

    put_grant(e, &sign_in, &alice, NOW + 100, 0, &team, 1);
    assert_int_equal(action(e, &who, "PUT", COMPUTE), AML_REASON_OK);

    /* the group's role changes, the group goes, is disabled: the next request
     */
    assign(e, &team, AML_PRINCIPAL_GROUP, READER);
    assert_int_equal(action(e, &who, "PUT", COMPUTE), AML_REASON_ACTION_DENIED);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_OK);
    assign(e, &team, AML_PRINCIPAL_GROUP | AML_PRINCIPAL_DISABLED, READER);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_ACTION_DENIED);
    assign(e, &team, AML_PRINCIPAL_GROUP, READER);

    /* unknown is not none, and takes nothing away */
    put_grant(e, &sign_in, &alice, NOW + 100, AML_GRANT_UNKNOWN, &team, 1);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_OK);
    assert_int_equal(action(e, &who, "PUT", COMPUTE),
                     AML_REASON_GROUPS_UNKNOWN);
    put_grant(e, &sign_in, &alice, NOW + 100, AML_GRANT_UNKNOWN, NULL, 0);
    assert_int_equal(action(e, &who, "GET", COMPUTE),
                     AML_REASON_GROUPS_UNKNOWN);

    /* what has expired is not known any more */
    put_grant(e, &sign_in, &alice, NOW, 0, &team, 1);
    assert_int_equal(action(e, &who, "GET", COMPUTE),
                     AML_REASON_GROUPS_UNKNOWN);
    put_grant(e, &sign_in, &alice, NOW, 0, NULL, 0);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_ACTION_DENIED);

    /* somebody else's */
    put_grant(e, &sign_in, &bob, NOW + 100, 0, &team, 1);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_ACTION_DENIED);
}


static void
test_groups_of_a_person(void **state)
{
    static const aml_principal_id_t team = {{0x71}};
    env_t *e = *state;
    aml_identity_t who;
    aml_personal_token_t t = {.created = NOW,
                              .expires = NOW + 10,
                              .principal = alice,
                              .action_count = 1,
                              .actions = {aml_str("*")}};

    put_role(e, READER, "*/read");
    put_principal(e, &alice, 0, 0);
    assign(e, &team, AML_PRINCIPAL_GROUP, READER);
    put_token(e, TOKEN, &t);
    assert_int_equal(ask(e, TOKEN, NOW, &who), AML_REASON_OK);

    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_ACTION_DENIED);
    put_grant(e, &alice, &alice, NOW + 100, 0, &team, 1);
    assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_OK);
    put_grant(e, &alice, &alice, NOW, 0, &team, 1);
    assert_int_equal(action(e, &who, "GET", COMPUTE),
                     AML_REASON_GROUPS_UNKNOWN);
}


/* ---- JSON Web Tokens ---- */

static char *
token_with(EVP_PKEY *pkey, const char *more)
{
    char text[1024];

    (void) snprintf(text, sizeof(text),
                    "{\"iss\":\"" ISS "\",\"aud\":\"gateway\",\"exp\":%d%s}",
                    NOW + 100, more);

    return mint_token(pkey, AML_ALG_ES256, "{\"alg\":\"ES256\",\"kid\":\"k\"}",
                      text);
}


#define LEEWAY 60

static void
put_issuer_of(env_t *e, aml_identity_kind_t kind)
{
    aml_issuer_t i = {.algs = 1u << AML_ALG_ES256,
                      .leeway = LEEWAY,
                      .identity = kind,
                      .groups_claim = aml_str("groups"),
                      .audience_count = 1,
                      .audiences = {aml_str("gateway")}};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[1024];

    store(e, key, aml_key_issuer(key, aml_str(ISS)), buf,
          aml_issuer_encode(&i, buf, sizeof(buf)), 1);
}


static void
test_groups_of_a_token(void **state)
{
    env_t *e = *state;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    aml_principal_id_t team;
    aml_identity_t who;
    char *text;
    int round;

    put_role(e, READER, "*/read");
    put_issuer_of(e, AML_IDENTITY_SUB);
    put_key(e, ISS, "k", pkey, 0);
    assert_int_equal(
        aml_group_derive(AML_GROUP, aml_str(ISS), aml_str("team"), &team), 0);
    assign(e, &team, AML_PRINCIPAL_GROUP, READER);

    /* verified anew, then from memory; a stranger without a record */
    text = token_with(pkey, ",\"sub\":\"a\",\"groups\":[\"x\",\"team\"]");
    for (round = 0; round < 2; round++) {
        assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
        assert_int_equal(who.group_count, 2);
        assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_OK);
        assert_int_equal(action(e, &who, "PUT", COMPUTE),
                         AML_REASON_ACTION_DENIED);
    }
    free(text);

    /* the groups of one token are not the next one's */
    text = token_with(pkey, ",\"sub\":\"b\"");
    for (round = 0; round < 2; round++) {
        assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
        assert_int_equal(action(e, &who, "GET", COMPUTE),
                         AML_REASON_ACTION_DENIED);
    }
    free(text);

    text = token_with(pkey, ",\"sub\":\"c\",\"hasgroups\":true");
    for (round = 0; round < 2; round++) {
        assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
        assert_int_equal(action(e, &who, "GET", COMPUTE),
                         AML_REASON_GROUPS_UNKNOWN);
    }
    free(text);

    EVP_PKEY_free(pkey);
}


static void
test_token_of_a_sign_in(void **state)
{
    static const aml_principal_id_t team = {{0x71}};
    env_t *e = *state;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    aml_identity_t who;
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    int round;

    put_role(e, READER, "*/read");
    put_issuer_of(e, AML_IDENTITY_PRINCIPAL);
    put_key(e, ISS, "k", pkey, 0);
    put_principal(e, &alice, 0, 0);
    assign(e, &team, AML_PRINCIPAL_GROUP, READER);
    text = token_with(pkey, ",\"sub\":\"01000000-0000-0000-0000-000000000000\","
                            "\"sid\":\"09000000-0000-0000-0000-000000000000\"");

    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_SESSION_UNKNOWN);
    put_grant(e, &sign_in, &alice, NOW + 10, 0, &team, 1);
    for (round = 0; round < 2; round++) {
        assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
        assert_true(aml_principal_eq(&who.principal, &alice));
        assert_int_equal(holds(e, &who, NOW), AML_REASON_OK);
        assert_int_equal(action(e, &who, "GET", COMPUTE), AML_REASON_OK);
    }
    assert_int_equal(ask(e, text, NOW + 10, &who), AML_REASON_SESSION_EXPIRED);

    ask(e, text, NOW, &who);
    put_grant(e, &sign_in, &bob, NOW + 10, 0, &team, 1);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_SESSION_UNKNOWN);
    store(e, key, aml_key_grant(key, &sign_in), "", 0, 0);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_SESSION_UNKNOWN);

    spoil(e, key, aml_key_grant(key, &sign_in));
    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_REGISTRY_UNAVAILABLE);

    free(text);
    EVP_PKEY_free(pkey);
}


/* What is open stays when the token has expired, and ends with the sign-in. */
static void
test_open_by_a_sign_in(void **state)
{
    env_t *e = *state;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    aml_identity_t who;
    char key[AML_REGISTRY_KEY_MAX + 1], copy[AML_REGISTRY_KEY_MAX + 1], *text;
    int64_t end;

    put_issuer_of(e, AML_IDENTITY_PRINCIPAL);
    put_key(e, ISS, "k", pkey, 0);
    put_principal(e, &alice, 0, 0);
    text = token_with(pkey, ",\"sub\":\"01000000-0000-0000-0000-000000000000\","
                            "\"sid\":\"09000000-0000-0000-0000-000000000000\"");
    put_grant(e, &sign_in, &alice, NOW + 10000, 0, NULL, 0);

    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
    memcpy(copy, who.key.p, who.key.n);
    who.key.p = copy;
    end = who.expires;
    assert_true(end < NOW + 9000);
    assert_int_equal(who.until, NOW + 10000);
    assert_int_equal(holds(e, &who, end), AML_REASON_OK);
    assert_int_equal(ask(e, text, end + 3600, &who), AML_REASON_TOKEN_EXPIRED);
    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
    memcpy(copy, who.key.p, who.key.n);
    who.key.p = copy;

    /* a key that is withdrawn while the token is good ends it */
    store(e, key, aml_key_key(key, aml_str(ISS), aml_str("k")), "", 0, 1);
    assert_int_equal(holds(e, &who, end - 1), AML_REASON_TOKEN_KEY);
    assert_int_equal(holds(e, &who, end), AML_REASON_OK);

    /* so does all that ends a sign-in, or moves its end */
    put_grant(e, &sign_in, &alice, NOW + 9000, 0, NULL, 0);
    assert_int_equal(holds(e, &who, end), AML_REASON_OK);
    assert_int_equal(who.until, NOW + 9000);
    assert_int_equal(holds(e, &who, NOW + 9000), AML_REASON_SESSION_EXPIRED);
    put_principal(e, &alice, 0, AML_PRINCIPAL_DISABLED);
    assert_int_equal(holds(e, &who, end), AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &alice, NOW + 1000, 0);
    assert_int_equal(holds(e, &who, end), AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &alice, 0, 0);
    assert_int_equal(holds(e, &who, end), AML_REASON_OK);
    store(e, key, aml_key_grant(key, &sign_in), "", 0, 1);
    assert_int_equal(holds(e, &who, end), AML_REASON_SESSION_UNKNOWN);

    free(text);
    EVP_PKEY_free(pkey);
}


/* A websocket that a token let in ends when the key that signed it, or the
 * issuer, is withdrawn; not when another one is. */
static void
test_key_of_a_token(void **state)
{
    env_t *e = *state;
    EVP_PKEY *pkey = EVP_EC_gen("P-256"), *next = EVP_EC_gen("P-256");
    aml_identity_t who;
    char key[AML_REGISTRY_KEY_MAX + 1], copy[AML_REGISTRY_KEY_MAX + 1], *text;
    size_t n;
    int round;

    put_issuer_of(e, AML_IDENTITY_SUB);
    put_key(e, ISS, "k", pkey, 0);
    text = token_with(pkey, ",\"sub\":\"a\"");

    for (round = 0; round < 2; round++) {
        assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
        n = aml_key_key(key, aml_str(ISS), aml_str("k"));
        assert_true(aml_str_eq(who.key, (aml_str_t){key, n}));
    }
    memcpy(copy, who.key.p, who.key.n);
    who.key.p = copy;

    put_key(e, ISS, "next", next, 0);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_OK);
    store(e, key, aml_key_key(key, aml_str(ISS), aml_str("next")), "", 0, 1);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_OK);

    store(e, key, aml_key_issuer(key, aml_str(ISS)), "", 0, 1);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_TOKEN_ISSUER);
    put_issuer_of(e, AML_IDENTITY_SUB);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_OK);
    store(e, key, aml_key_key(key, aml_str(ISS), aml_str("k")), "", 0, 1);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_TOKEN_KEY);

    free(text);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(next);
}


/* A provider's clock may be ahead by the leeway: what it has issued before our
 * not-before must not pass for later.  Ours is the same clock. */
static void
test_revoked_ahead(void **state)
{
    static const struct {
        aml_identity_kind_t kind;
        int issued; /* after not-before */
        aml_reason_t want;
    } cases[] = {
        {AML_IDENTITY_SUB, -1, AML_REASON_PRINCIPAL_REVOKED},
        {AML_IDENTITY_SUB, 0, AML_REASON_PRINCIPAL_REVOKED},
        {AML_IDENTITY_SUB, LEEWAY - 1, AML_REASON_PRINCIPAL_REVOKED},
        {AML_IDENTITY_SUB, LEEWAY, AML_REASON_OK},
        {AML_IDENTITY_SUB, LEEWAY + 1, AML_REASON_OK},
        {AML_IDENTITY_PRINCIPAL, -1, AML_REASON_PRINCIPAL_REVOKED},
        {AML_IDENTITY_PRINCIPAL, 0, AML_REASON_OK},
    };
    env_t *e = *state;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    aml_principal_id_t id;
    aml_identity_t who;
    char claims[128], *text;
    size_t i;
    int round;

    put_key(e, ISS, "k", pkey, 0);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_issuer_of(e, cases[i].kind);
        snprintf(claims, sizeof(claims),
                 ",\"sub\":\"01000000-0000-0000-0000-000000000000\","
                 "\"iat\":%d",
                 NOW + cases[i].issued);
        text = token_with(pkey, claims);

        assert_int_equal(ask(e, text, NOW + 1, &who), AML_REASON_OK);
        id = who.principal;
        put_principal(e, &id, NOW, 0);
        assert_int_equal(holds(e, &who, NOW + 1), cases[i].want);
        for (round = 0; round < 2; round++) {
            assert_int_equal(ask(e, text, NOW + 1, &who), cases[i].want);
        }
        put_principal(e, &id, 0, 0);
        free(text);
    }

    /* without a time, as without anything that was revoked */
    put_issuer_of(e, AML_IDENTITY_SUB);
    text = token_with(pkey, ",\"sub\":\"b\"");
    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
    put_principal(e, &who.principal, 0, 0);
    assert_int_equal(ask(e, text, NOW, &who), AML_REASON_OK);
    free(text);

    EVP_PKEY_free(pkey);
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_personal),
        TEST(test_personal_scope),
        TEST(test_groups_of_a_sign_in),
        TEST(test_groups_of_a_person),
        TEST(test_key_of_a_token),
        TEST(test_groups_of_a_token),
        TEST(test_revoked_ahead),
        TEST(test_token_of_a_sign_in),
        TEST(test_open_by_a_sign_in),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
