/*
 * Who asks: sessions and tokens, over a real registry.
 */

#include "t/unit/decide_fixture.h"


/* ---- sessions ---- */

static void
hashes_cookies(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_", /* 42 */
        COOKIE "0",                                   /* 44 */
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_=",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_+",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_/",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_ ",
        "\"bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_\"",
        "\377bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_0",
    };
    env_t *e = *state;
    uint8_t hash[32], again[32], want[32];
    aml_identity_t who;
    size_t i;
    char huge[70000];

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (aml_session_hash(e->d, aml_str_of(bad[i]), hash) != -1) {
            fail_msg("\"%s\"", bad[i]);
        }
        assert_int_equal(by_session(e, bad[i], HOST, NOW, &who),
                         AML_REASON_SESSION_MALFORMED);
    }
    memset(huge, 'a', sizeof(huge));
    assert_int_equal(
        aml_session_hash(e->d, (aml_str_t){huge, sizeof(huge)}, hash), -1);
    huge[5] = '\0';
    assert_int_equal(
        aml_session_hash(e->d, (aml_str_t){huge, AML_SESSION_CHARS}, hash), -1);

    /* SHA-256 of the text, each time anew. */
    EVP_Digest(COOKIE, AML_SESSION_CHARS, want, NULL, EVP_sha256(), NULL);
    assert_int_equal(aml_session_hash(e->d, aml_str(COOKIE), hash), 0);
    assert_int_equal(aml_session_hash(e->d, aml_str(COOKIE), again), 0);
    assert_memory_equal(hash, want, 32);
    assert_memory_equal(again, want, 32);
}


static void
sessions(void **state)
{
    env_t *e = *state;
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_identity_t who;
    uint8_t hash[32];

    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_SESSION_UNKNOWN);

    put_session(e, &alice, NOW - 10, NOW + 10, HOST);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_SESSION_UNKNOWN); /* no principal */

    put_principal(e, &alice, 0, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_true(aml_principal_eq(&who.principal, &alice));
    assert_int_equal(who.issued, NOW - 10);
    assert_int_equal(who.expires, NOW + 10);
    assert_true(
        aml_str_eq((aml_str_t){who.name, who.name_len}, aml_str("Alice")));
    assert_int_equal(aml_session_hash(e->d, aml_str(COOKIE), hash), 0);
    assert_memory_equal(who.session, hash, 32);

    /* another cookie that is as well-formed */
    assert_int_equal(by_session(e,
                                "Abcdefghijklmnopqrstuvwxyzabcdefghijklmn-_0",
                                HOST, NOW, &who),
                     AML_REASON_SESSION_UNKNOWN);

    /* another host, though it be a neighbour */
    assert_int_equal(
        by_session(e, COOKIE, "second-lab.instances.example.org", NOW, &who),
        AML_REASON_SESSION_HOST);
    assert_int_equal(by_session(e, COOKIE, "instances.example.org", NOW, &who),
                     AML_REASON_SESSION_HOST);
    assert_int_equal(by_session(e, COOKIE, HOST ".", NOW, &who),
                     AML_REASON_SESSION_HOST);
    assert_int_equal(by_session(e, COOKIE, "", NOW, &who),
                     AML_REASON_SESSION_HOST);

    /* the first second at which it is over */
    assert_int_equal(by_session(e, COOKIE, HOST, NOW + 9, &who), AML_REASON_OK);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW + 10, &who),
                     AML_REASON_SESSION_EXPIRED);

    put_principal(e, &alice, NOW - 10, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    put_principal(e, &alice, NOW - 9, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &alice, 0, AML_PRINCIPAL_DISABLED);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_PRINCIPAL_REVOKED);

    spoil(e, key, aml_key_principal(key, &alice));
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    put_principal(e, &alice, 0, 0);
    spoil(e, key, aml_key_session(key, hash));
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_REGISTRY_UNAVAILABLE);

    store(e, key, aml_key_session(key, hash), NULL, 0, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who),
                     AML_REASON_SESSION_UNKNOWN);
}


static void
labels(void **state)
{
    env_t *e = *state;
    char name[AML_NAME_MAX + 40];
    aml_identity_t who;

    put_session(e, &alice, NOW, NOW + 10, HOST);

    /* nothing in a label may end a header line */
    put_principal_with(e, &alice, 0, 0, aml_str("a\r\nX-AML-Name: b\x7f\t"),
                       NULL, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_true(aml_str_eq((aml_str_t){who.name, who.name_len},
                           aml_str("a??X-AML-Name: b??")));

    memset(name, 'n', sizeof(name));
    put_principal_with(e, &alice, 0, 0, (aml_str_t){name, sizeof(name)}, NULL,
                       0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.name_len, AML_NAME_MAX);

    /* no half of a character */
    memcpy(name + AML_NAME_MAX - 2, "\xe2\x82\xac", 3);
    put_principal_with(e, &alice, 0, 0, (aml_str_t){name, sizeof(name)}, NULL,
                       0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.name_len, AML_NAME_MAX - 2);

    memset(name, 0x80, sizeof(name));
    put_principal_with(e, &alice, 0, 0, (aml_str_t){name, sizeof(name)}, NULL,
                       0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.name_len, 0);

    put_principal_with(e, &alice, 0, 0, aml_str(""), NULL, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.name_len, 0);
}


/* ---- tokens ---- */

static char *
mint(EVP_PKEY *pkey, const char *iss, const char *kid, const char *sub,
     const char *more)
{
    char header[128], payload[512];

    if (kid != NULL) {
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}",
                 kid);
    } else {
        snprintf(header, sizeof(header), "{\"alg\":\"ES256\"}");
    }
    snprintf(payload, sizeof(payload),
             "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"gateway\","
             "\"exp\":%d,\"name\":\"Carol\"%s}",
             iss, sub, NOW + 300, more);

    return mint_token(pkey, AML_ALG_ES256, header, payload);
}


static void
tokens(void **state)
{
    env_t *e = *state;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    char key[AML_REGISTRY_KEY_MAX + 1], iat[32], *token, *ageless, *huge;
    aml_principal_id_t carol;
    aml_identity_t who;

    assert_int_equal(
        aml_principal_derive(aml_str("urn:test"), aml_str("carol"), &carol), 0);
    snprintf(iat, sizeof(iat), ",\"iat\":%d", NOW - 100);
    token = mint(pkey, ISS, "k1", "carol", iat);
    ageless = mint(pkey, ISS, "k1", "carol", "");

    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_ISSUER);
    put_issuer(e, ISS);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_KEY);
    put_key(e, ISS, "k1", pkey, 0);

    /* a stranger, first verified and then remembered */
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    assert_true(aml_principal_eq(&who.principal, &carol));
    assert_int_equal(who.issued, NOW - 100);
    assert_int_equal(who.expires, NOW + 300);
    assert_true(
        aml_str_eq((aml_str_t){who.name, who.name_len}, aml_str("Carol")));

    /* what the principal's record says holds for the remembered one too */
    put_principal(e, &carol, NOW - 100, 0);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    assert_int_equal(by_token(e, ageless, NOW, &who),
                     AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &carol, NOW - 99, 0);
    assert_int_equal(by_token(e, token, NOW, &who),
                     AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &carol, 0, AML_PRINCIPAL_DISABLED);
    assert_int_equal(by_token(e, token, NOW, &who),
                     AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &carol, 0, 0);
    assert_int_equal(by_token(e, ageless, NOW, &who), AML_REASON_OK);
    spoil(e, key, aml_key_principal(key, &carol));
    assert_int_equal(by_token(e, token, NOW, &who),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    put_principal(e, &carol, 0, 0);

    assert_int_equal(by_token(e, token, NOW + 300, &who),
                     AML_REASON_TOKEN_EXPIRED);

    /* not tokens */
    assert_int_equal(by_token(e, "", NOW, &who), AML_REASON_TOKEN_MALFORMED);
    assert_int_equal(by_token(e, "a.b", NOW, &who), AML_REASON_TOKEN_MALFORMED);
    huge = malloc(AML_JWT_MAX + 2);
    assert_non_null(huge);
    memset(huge, 'a', AML_JWT_MAX + 1);
    huge[AML_JWT_MAX + 1] = '\0';
    assert_int_equal(by_token(e, huge, NOW, &who), AML_REASON_TOKEN_MALFORMED);

    free(huge);
    free(token);
    free(ageless);
    EVP_PKEY_free(pkey);
}


static void
keys_change(void **state)
{
    env_t *e = *state;
    EVP_PKEY *one = EVP_EC_gen("P-256"), *two = EVP_EC_gen("P-256");
    char key[AML_REGISTRY_KEY_MAX + 1], *token, *other, *fresh;
    aml_identity_t who;
    size_t n;

    put_issuer(e, ISS);
    put_key(e, ISS, "k1", one, 0);
    token = mint(one, ISS, "k1", "carol", "");
    fresh = mint(one, ISS, "k1", "carol", ",\"x\":1");
    other = mint(two, ISS, "k1", "carol", "");

    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    assert_int_equal(by_token(e, other, NOW, &who), AML_REASON_TOKEN_SIGNATURE);

    /* A record that changes while the generation does not is not read again:
     * this is how one sees that token and key are remembered at all. */
    n = aml_key_key(key, aml_str(ISS), aml_str("k1"));
    spoil(e, key, n);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    assert_int_equal(by_token(e, fresh, NOW, &who), AML_REASON_OK);
    store(e, key, n, "\x63\x00", 2, 1);
    assert_int_equal(by_token(e, token, NOW, &who),
                     AML_REASON_REGISTRY_UNAVAILABLE);

    /* another key under the same name */
    put_key(e, ISS, "k1", two, 0);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_SIGNATURE);
    assert_int_equal(by_token(e, other, NOW, &who), AML_REASON_OK);

    /* the key goes, and with it what it signed */
    store(e, key, n, NULL, 0, 1);
    assert_int_equal(by_token(e, other, NOW, &who), AML_REASON_TOKEN_KEY);

    /* the key runs out by itself: the token that is remembered, too */
    put_key(e, ISS, "k1", one, NOW + 60);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    assert_int_equal(who.expires, NOW + 60);
    assert_int_equal(by_token(e, token, NOW + 59, &who), AML_REASON_OK);
    assert_int_equal(by_token(e, token, NOW + 60, &who), AML_REASON_TOKEN_KEY);

    /* the issuer goes */
    put_key(e, ISS, "k1", one, 0);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    n = aml_key_issuer(key, aml_str(ISS));
    spoil(e, key, n);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    store(e, key, n, "\x63\x00", 2, 1);
    assert_int_equal(by_token(e, token, NOW, &who),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    store(e, key, n, NULL, 0, 1);
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_ISSUER);

    free(token);
    free(fresh);
    free(other);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}


/* Whose key is missing is told when it is, and of known issuers only. */
static void
missing_keys(void **state)
{
    env_t *e = *state;
    EVP_PKEY *one = EVP_EC_gen("P-256"), *two = EVP_EC_gen("P-256"),
             *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) 2048);
    char *good, *bad, *nameless, *stranger;
    aml_identity_t who;

    put_issuer(e, ISS);
    good = mint(one, ISS, "k1", "carol", "");
    bad = mint(one, ISS, "k2", "carol", "");
    nameless = mint(one, ISS, NULL, "carol", "");
    stranger = mint(one, ISS "/other", "k1", "carol", "");

    assert_int_equal(aml_decider_unknown_key(e->d).n, 0);
    assert_int_equal(by_token(e, nameless, NOW, &who), AML_REASON_TOKEN_KEY);
    assert_true(aml_str_eq(aml_decider_unknown_key(e->d), aml_str(ISS)));

    put_key(e, ISS, "k1", one, NOW + 60);
    assert_int_equal(by_token(e, good, NOW, &who), AML_REASON_OK);
    assert_int_equal(aml_decider_unknown_key(e->d).n, 0);
    assert_int_equal(by_token(e, bad, NOW, &who), AML_REASON_TOKEN_KEY);
    assert_true(aml_str_eq(aml_decider_unknown_key(e->d), aml_str(ISS)));
    assert_int_equal(by_token(e, stranger, NOW, &who), AML_REASON_TOKEN_ISSUER);
    assert_int_equal(aml_decider_unknown_key(e->d).n, 0);

    /* one that has ended may have got a new end */
    assert_int_equal(by_token(e, good, NOW + 60, &who), AML_REASON_TOKEN_KEY);
    assert_true(aml_str_eq(aml_decider_unknown_key(e->d), aml_str(ISS)));

    /* where a key is named, a wrong signature is just wrong; but the only one
     * may be another by now, of another kind even */
    put_key(e, ISS, "k1", two, 0);
    assert_int_equal(by_token(e, good, NOW, &who), AML_REASON_TOKEN_SIGNATURE);
    assert_int_equal(aml_decider_unknown_key(e->d).n, 0);
    assert_int_equal(by_token(e, nameless, NOW, &who),
                     AML_REASON_TOKEN_SIGNATURE);
    assert_true(aml_str_eq(aml_decider_unknown_key(e->d), aml_str(ISS)));
    put_key(e, ISS, "k1", rsa, 0);
    assert_int_equal(by_token(e, good, NOW, &who), AML_REASON_TOKEN_ALGORITHM);
    assert_int_equal(aml_decider_unknown_key(e->d).n, 0);
    assert_int_equal(by_token(e, nameless, NOW, &who),
                     AML_REASON_TOKEN_ALGORITHM);
    assert_true(aml_str_eq(aml_decider_unknown_key(e->d), aml_str(ISS)));
    put_key(e, ISS, "k1", one, 0);
    assert_int_equal(by_token(e, nameless, NOW + 300, &who),
                     AML_REASON_TOKEN_EXPIRED);
    assert_int_equal(aml_decider_unknown_key(e->d).n, 0);

    free(good);
    free(bad);
    free(nameless);
    free(stranger);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    EVP_PKEY_free(rsa);
}


static void
key_names(void **state)
{
    env_t *e = *state;
    EVP_PKEY *one = EVP_EC_gen("P-256"), *two = EVP_EC_gen("P-256");
    char kid[700], *token, *nameless;
    aml_identity_t who;

    put_issuer(e, ISS);
    put_issuer(e, ISS "/tenant");
    nameless = mint(one, ISS, NULL, "carol", "");

    /* without a name: the only key, or none */
    assert_int_equal(by_token(e, nameless, NOW, &who), AML_REASON_TOKEN_KEY);
    put_key(e, ISS "/tenant", "k1", one, 0);
    assert_int_equal(by_token(e, nameless, NOW, &who), AML_REASON_TOKEN_KEY);
    put_key(e, ISS, "k9", one, 0);
    assert_int_equal(by_token(e, nameless, NOW, &who), AML_REASON_OK);
    put_key(e, ISS, "k2", two, 0);
    assert_int_equal(by_token(e, nameless, NOW, &who), AML_REASON_TOKEN_KEY);

    /* one issuer's key is not to be had by another's name for it */
    token = mint(one, ISS, "tenant/k1", "carol", "");
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_KEY);
    free(token);
    token = mint(one, ISS "/tenant", "k1", "carol", "");
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
    free(token);
    token = mint(two, ISS "/tenant", "k1", "carol", "");
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_SIGNATURE);
    free(token);

    /* a name that no key of the registry can have */
    memset(kid, 'k', sizeof(kid));
    kid[90] = '\0';
    token = mint(one, ISS, kid, "carol", "");
    assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_TOKEN_KEY);
    free(token);

    free(nameless);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}


/* More keys than a worker holds: each must still be the right one. */
static void
many_keys(void **state)
{
    enum {
        KEYS = 100
    };
    env_t *e = *state;
    EVP_PKEY *pkey[4];
    char kid[16], more[32], *token;
    aml_identity_t who;
    unsigned i, round;

    put_issuer(e, ISS);
    for (i = 0; i < 4; i++) {
        pkey[i] = EVP_EC_gen("P-256");
        assert_non_null(pkey[i]);
    }
    for (i = 0; i < KEYS; i++) {
        snprintf(kid, sizeof(kid), "k%u", i);
        put_key(e, ISS, kid, pkey[i % 4], 0);
    }

    for (round = 0; round < 3; round++) {
        for (i = 0; i < KEYS; i++) {
            snprintf(kid, sizeof(kid), "k%u", i);
            snprintf(more, sizeof(more), ",\"x\":%u", round);
            token = mint(pkey[i % 4], ISS, kid, "carol", more);
            assert_int_equal(by_token(e, token, NOW, &who), AML_REASON_OK);
            free(token);
            token = mint(pkey[(i + 1) % 4], ISS, kid, "carol", more);
            assert_int_equal(by_token(e, token, NOW, &who),
                             AML_REASON_TOKEN_SIGNATURE);
            free(token);
        }
    }
    for (i = 0; i < 4; i++) {
        EVP_PKEY_free(pkey[i]);
    }
}


static void
identities_hold(void **state)
{
    env_t *e = *state;
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_identity_t who, token;

    put_session(e, &alice, NOW, NOW + 10, HOST);
    put_principal(e, &alice, 0, 0);
    put_principal(e, &bob, 0, 0);
    assert_int_equal(by_session(e, COOKIE, HOST, NOW, &who), AML_REASON_OK);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_OK);
    assert_int_equal(holds(e, &who, NOW + 10), AML_REASON_SESSION_EXPIRED);

    put_principal(e, &alice, NOW + 1, 0);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &alice, 0, AML_PRINCIPAL_DISABLED);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_PRINCIPAL_REVOKED);
    put_principal(e, &alice, 0, 0);

    put_session(e, &bob, NOW, NOW + 10, HOST);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_SESSION_UNKNOWN);
    store(e, key, aml_key_session(key, who.session), NULL, 0, 0);
    assert_int_equal(holds(e, &who, NOW), AML_REASON_SESSION_UNKNOWN);

    token = (aml_identity_t){.credential = AML_CREDENTIAL_TOKEN,
                             .principal = alice,
                             .issued = NOW - 5,
                             .expires = NOW + 10};
    assert_int_equal(holds(e, &token, NOW), AML_REASON_OK);
    assert_int_equal(holds(e, &token, NOW + 10), AML_REASON_TOKEN_EXPIRED);
    put_principal(e, &alice, NOW - 4, 0);
    assert_int_equal(holds(e, &token, NOW), AML_REASON_PRINCIPAL_REVOKED);
    spoil(e, key, aml_key_principal(key, &alice));
    assert_int_equal(holds(e, &token, NOW), AML_REASON_REGISTRY_UNAVAILABLE);
    store(e, key, aml_key_principal(key, &alice), NULL, 0, 0);
    assert_int_equal(holds(e, &token, NOW), AML_REASON_OK);

    token.credential = AML_CREDENTIAL_NONE;
    assert_int_equal(holds(e, &token, NOW), AML_REASON_SIGN_IN_REQUIRED);
}


int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(hashes_cookies), T(sessions),        T(labels),
        T(tokens),         T(keys_change),     T(missing_keys),
        T(many_keys),      T(identities_hold), T(key_names),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
