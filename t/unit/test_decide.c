/*
 * Decisions over a real registry in a directory of the test's own.
 */

#include "t/unit/mint.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "auth/decide.h"

#define NOW 1800000000
#define HOST "first-lab.instances.example.org"
#define COOKIE                                                                 \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN-_0" /* 43 characters             \
                                                   */
#define ISS "https://aml.example.org"
#define WORKSPACE "/subscriptions/s/resourceGroups/g/providers/M/workspaces/w"
#define CONTRIBUTOR "b24988ac-6180-42a0-ab88-20f7382dd24c"
#define READER "acdd72a7-3385-48ef-bd42-f606fba81ae7"

static const aml_principal_id_t alice = {{1}};
static const aml_principal_id_t bob = {{2}};

typedef struct {
    char dir[64];
    aml_registry_t *reg;
    aml_decider_t *d;
} env_t;


/* ---- the registry of a test ---- */

static int
setup(void **state)
{
    env_t *e = calloc(1, sizeof(*e));

    if (e == NULL) {
        return -1;
    }
    strcpy(e->dir, "/tmp/aml-decide-XXXXXX");
    if (mkdtemp(e->dir) == NULL ||
        aml_registry_open_writer(e->dir, 64 << 20, (gid_t) -1, &e->reg) !=
            AML_REGISTRY_OK) {
        return -1;
    }
    e->d = aml_decider_new(64);
    *state = e;

    return e->d != NULL ? 0 : -1;
}


static int
teardown(void **state)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", ""};
    env_t *e = *state;
    char path[128];
    size_t i;

    aml_decider_free(e->d);
    aml_registry_close(e->reg);
    for (i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", e->dir, files[i]);
        unlink(path);
    }
    rmdir(e->dir);
    free(e);

    return 0;
}


/* n bytes of 0: the key goes.  `keys`: the key set has changed. */
static void
store(env_t *e, const char *key, size_t klen, const void *value, size_t n,
      int keys)
{
    aml_registry_txn_t *txn;

    assert_true(klen > 0);
    assert_int_equal(aml_registry_write(e->reg, &txn), AML_REGISTRY_OK);
    if (n != 0) {
        assert_int_equal(aml_registry_put(txn, key, klen, value, n),
                         AML_REGISTRY_OK);
    } else {
        assert_int_equal(aml_registry_del(txn, key, klen), AML_REGISTRY_OK);
    }
    if (keys) {
        assert_int_equal(aml_registry_touch_keys(txn), AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
spoil(env_t *e, const char *key, size_t klen)
{
    store(e, key, klen, "\x63\x00garbage", 9, 0);
}


static void
put_session(env_t *e, const aml_principal_id_t *who, int64_t created,
            int64_t expires, const char *host)
{
    aml_session_t s = {created, expires, *who, {{9}}, aml_str_of(host)};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[512];
    uint8_t hash[32];

    assert_int_equal(aml_session_hash(e->d, aml_str(COOKIE), hash), 0);
    store(e, key, aml_key_session(key, hash), buf,
          aml_session_encode(&s, buf, sizeof(buf)), 0);
}


static void
put_principal_with(env_t *e, const aml_principal_id_t *id, int64_t not_before,
                   uint32_t flags, aml_str_t name, const aml_assignment_t *list,
                   uint16_t count)
{
    aml_principal_t p = {.not_before = not_before,
                         .flags = flags,
                         .name = name,
                         .issuer = aml_str("test"),
                         .assignment_count = count};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[4096];

    store(e, key, aml_key_principal(key, id), buf,
          aml_principal_encode(&p, list, buf, sizeof(buf)), 0);
}


static void
put_principal(env_t *e, const aml_principal_id_t *id, int64_t not_before,
              uint32_t flags)
{
    put_principal_with(e, id, not_before, flags, aml_str("Alice"), NULL, 0);
}


static void
put_route(env_t *e, const char *name, unsigned port, aml_instance_state_t state)
{
    aml_route_t r = {.state = state,
                     .port = (uint16_t) port,
                     .generation = 7,
                     .creator = alice,
                     .name = aml_str_of(name)};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[512];

    if (port != 0) {
        r.address = aml_str("unix:/run/aml/x.sock");
    } else {
        r.compute = aml_str(WORKSPACE "/computes/x");
    }
    store(e, key, aml_key_route(key, aml_str_of(name), port), buf,
          aml_route_encode(&r, buf, sizeof(buf)), 0);
}


static void
put_issuer(env_t *e, const char *iss)
{
    aml_issuer_t i = {.algs = 1u << AML_ALG_ES256,
                      .identity = AML_IDENTITY_SUB,
                      .space = aml_str("urn:test"),
                      .name_claim = aml_str("name"),
                      .audience_count = 1,
                      .audiences = {aml_str("gateway")}};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[1024];

    store(e, key, aml_key_issuer(key, aml_str_of(iss)), buf,
          aml_issuer_encode(&i, buf, sizeof(buf)), 1);
}


static void
put_key(env_t *e, const char *iss, const char *kid, EVP_PKEY *pkey,
        int64_t expires)
{
    static char room[AML_RECORD_MAX];
    char key[AML_REGISTRY_KEY_MAX + 1], buf[2048];
    aml_public_key_t k;

    assert_int_equal(aml_public_key_of(pkey, &k, room, sizeof(room)),
                     AML_KEY_OK);
    k.expires = expires;
    store(e, key, aml_key_key(key, aml_str_of(iss), aml_str_of(kid)), buf,
          aml_public_key_encode(&k, buf, sizeof(buf)), 1);
}


/* ---- asking ---- */

static aml_reason_t
by_session(env_t *e, const char *cookie, const char *host, int64_t now,
           aml_identity_t *who)
{
    aml_registry_txn_t *txn;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_identify_session(e->d, txn, aml_str_of(cookie), aml_str_of(host),
                              now, who);
    aml_registry_end(txn);
    assert_int_equal(who->credential, rc == AML_REASON_OK
                                          ? AML_CREDENTIAL_SESSION
                                          : AML_CREDENTIAL_NONE);

    return rc;
}


static aml_reason_t
by_token(env_t *e, const char *token, int64_t now, aml_identity_t *who)
{
    aml_registry_txn_t *txn;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_identify_token(e->d, txn, aml_str_of(token), now, who);
    aml_registry_end(txn);
    assert_int_equal(who->credential, rc == AML_REASON_OK
                                          ? AML_CREDENTIAL_TOKEN
                                          : AML_CREDENTIAL_NONE);

    return rc;
}


static aml_reason_t
holds(env_t *e, const aml_identity_t *who, int64_t now)
{
    aml_registry_txn_t *txn;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_identity_holds(txn, who, now);
    aml_registry_end(txn);

    return rc;
}


static aml_reason_t
application(env_t *e, const aml_identity_t *who, const char *name,
            unsigned port)
{
    aml_registry_txn_t *txn;
    aml_route_t route;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_decide_application(txn, who, aml_str_of(name), port, &route);
    if (rc == AML_REASON_OK) {
        assert_int_equal(route.port, port);
        assert_int_equal(route.generation, 7);
        assert_true(aml_str_eq(route.address, aml_str("unix:/run/aml/x.sock")));
    }
    aml_registry_end(txn);

    return rc;
}


static aml_reason_t
action(env_t *e, const aml_identity_t *who, const char *method,
       const char *path)
{
    aml_registry_txn_t *txn;
    aml_action_t a;
    aml_reason_t rc;

    assert_int_equal(aml_action_of(aml_str_of(method), aml_str_of(path), &a),
                     0);
    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_decide_action(txn, who, &a);
    aml_registry_end(txn);

    return rc;
}


static aml_identity_t
identity(const aml_principal_id_t *id)
{
    return (aml_identity_t){.credential = AML_CREDENTIAL_SESSION,
                            .principal = *id};
}


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


/* ---- may they ---- */

static void
applications(void **state)
{
    static const struct {
        aml_instance_state_t state;
        aml_reason_t reason;
    } t[] = {
        {AML_INSTANCE_UNKNOWN, AML_REASON_INSTANCE_FAILED},
        {AML_INSTANCE_CREATING, AML_REASON_INSTANCE_STARTING},
        {AML_INSTANCE_STARTING, AML_REASON_INSTANCE_STARTING},
        {AML_INSTANCE_RESTARTING, AML_REASON_INSTANCE_STARTING},
        {AML_INSTANCE_STOPPING, AML_REASON_INSTANCE_STOPPING},
        {AML_INSTANCE_DELETING, AML_REASON_INSTANCE_STOPPING},
        {AML_INSTANCE_STOPPED, AML_REASON_INSTANCE_STOPPED},
        {AML_INSTANCE_FAILED, AML_REASON_INSTANCE_FAILED},
        {AML_INSTANCE_RUNNING, AML_REASON_PORT_NOT_OPEN},
    };
    const aml_identity_t creator = identity(&alice), other = identity(&bob);
    aml_identity_t nobody = identity(&alice);
    char key[AML_REGISTRY_KEY_MAX + 1], name[16];
    env_t *e = *state;
    size_t i;

    nobody.credential = AML_CREDENTIAL_NONE;

    assert_int_equal(application(e, &creator, "lab", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        aml_reason_t with_port =
            t[i].state == AML_INSTANCE_RUNNING ? AML_REASON_OK : t[i].reason;

        snprintf(name, sizeof(name), "lab%zu", i);
        put_route(e, name, 0, t[i].state);
        assert_int_equal(application(e, &creator, name, 8888), t[i].reason);
        assert_int_equal(application(e, &other, name, 8888),
                         AML_REASON_NOT_CREATOR);

        put_route(e, name, 8888, t[i].state);
        assert_int_equal(application(e, &creator, name, 8888), with_port);
        assert_int_equal(application(e, &other, name, 8888),
                         AML_REASON_NOT_CREATOR);
        assert_int_equal(application(e, &nobody, name, 8888),
                         AML_REASON_SIGN_IN_REQUIRED);

        /* other ports of the same instance */
        assert_int_equal(application(e, &creator, name, 8787), t[i].reason);
        assert_int_equal(application(e, &other, name, 8787),
                         AML_REASON_NOT_CREATOR);
    }

    /* the instance's own record is no application */
    assert_int_equal(application(e, &creator, "lab8", 0),
                     AML_REASON_PORT_NOT_OPEN);
    assert_int_equal(application(e, &creator, "lab8", 65536 + 8888),
                     AML_REASON_PORT_NOT_OPEN);

    /* names that are none */
    assert_int_equal(application(e, &creator, "", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);
    assert_int_equal(application(e, &creator, "LAB8", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);
    assert_int_equal(application(e, &creator, "lab8/8888", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);

    spoil(e, key, aml_key_route(key, aml_str("lab8"), 8888));
    assert_int_equal(application(e, &creator, "lab8", 8888),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    spoil(e, key, aml_key_route(key, aml_str("lab8"), 0));
    assert_int_equal(application(e, &creator, "lab8", 1),
                     AML_REASON_REGISTRY_UNAVAILABLE);
}


/* A record that lies under another port's key. */
static void
misplaced_routes(void **state)
{
    const aml_identity_t creator = identity(&alice);
    char key[AML_REGISTRY_KEY_MAX + 1], copy[512];
    aml_registry_txn_t *txn;
    env_t *e = *state;
    aml_str_t value;
    size_t n;

    put_route(e, "lab", 22, AML_INSTANCE_RUNNING);
    n = aml_key_route(key, aml_str("lab"), 22);
    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_get(txn, key, n, &value), AML_REGISTRY_OK);
    assert_true(value.n <= sizeof(copy));
    memcpy(copy, value.p, value.n);
    aml_registry_end(txn);

    store(e, key, aml_key_route(key, aml_str("lab"), 80), copy, value.n, 0);
    assert_int_equal(application(e, &creator, "lab", 22), AML_REASON_OK);
    assert_int_equal(application(e, &creator, "lab", 80),
                     AML_REASON_REGISTRY_UNAVAILABLE);
}


static void
put_builtin_roles(env_t *e)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    json_t *all, *one;
    aml_principal_id_t id;
    size_t i;

    all = json_load_file("auth/builtin-roles.json", 0, NULL);
    assert_non_null(all);
    json_array_foreach(all, i, one)
    {
        assert_int_equal(aml_uuid_parse(aml_str_of(json_string_value(
                                            json_object_get(one, "name"))),
                                        &id),
                         0);
        text = json_dumps(one, JSON_COMPACT);
        store(e, key, aml_key_role(key, &id), text, strlen(text), 0);
        free(text);
    }
    json_decref(all);
}


static void
assign(env_t *e, const char *role, const char *scope, const char *role2,
       const char *scope2)
{
    aml_assignment_t list[2];
    uint16_t count = 0;

    if (role != NULL) {
        assert_int_equal(aml_uuid_parse(aml_str_of(role), &list[count].role),
                         0);
        list[count++].scope = aml_str_of(scope);
    }
    if (role2 != NULL) {
        assert_int_equal(aml_uuid_parse(aml_str_of(role2), &list[count].role),
                         0);
        list[count++].scope = aml_str_of(scope2);
    }
    put_principal_with(e, &alice, 0, 0, aml_str("Alice"), list, count);
}


static void
actions(void **state)
{
    static const char path[] = WORKSPACE "/computes/lab";
    const aml_identity_t who = identity(&alice), other = identity(&bob);
    aml_identity_t nobody = identity(&alice);
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_principal_id_t contributor;
    env_t *e = *state;

    nobody.credential = AML_CREDENTIAL_NONE;
    assert_int_equal(aml_uuid_parse(aml_str(CONTRIBUTOR), &contributor), 0);
    put_builtin_roles(e);

    /* a stranger, and someone without roles */
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_ACTION_DENIED);
    assign(e, NULL, NULL, NULL, NULL);
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_ACTION_DENIED);

    assign(e, CONTRIBUTOR, WORKSPACE, NULL, NULL);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_OK);
    assert_int_equal(action(e, &who, "GET", WORKSPACE "/computes"),
                     AML_REASON_OK);
    assert_int_equal(action(e, &nobody, "PUT", path),
                     AML_REASON_SIGN_IN_REQUIRED);
    assert_int_equal(action(e, &other, "PUT", path), AML_REASON_ACTION_DENIED);

    /* there and below, and nowhere else */
    assert_int_equal(
        action(e, &who, "GET",
               "/subscriptions/s/resourceGroups/g/providers/M/workspaces"),
        AML_REASON_ACTION_DENIED);
    assert_int_equal(action(e, &who, "GET", WORKSPACE "2/computes"),
                     AML_REASON_ACTION_DENIED);
    assign(e, CONTRIBUTOR, "/", NULL, NULL);
    assert_int_equal(action(e, &who, "GET", WORKSPACE "2/computes"),
                     AML_REASON_OK);
    assert_int_equal(
        action(e, &who, "PUT",
               WORKSPACE
               "/providers/Microsoft.Authorization/roleAssignments/r"),
        AML_REASON_ACTION_DENIED);

    /* roles are united */
    assign(e, READER, WORKSPACE, NULL, NULL);
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_OK);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_ACTION_DENIED);
    assign(e, READER, WORKSPACE, CONTRIBUTOR, path);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_OK);
    assert_int_equal(action(e, &who, "PUT", WORKSPACE "/computes/lab2"),
                     AML_REASON_ACTION_DENIED);

    /* a role that was deleted, one that is broken, one that is another */
    store(e, key, aml_key_role(key, &contributor), NULL, 0, 0);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_ACTION_DENIED);
    store(e, key, aml_key_role(key, &contributor), "{", 1, 0);
    assert_int_equal(action(e, &who, "PUT", path),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_OK);
    store(e, key, aml_key_role(key, &contributor),
          "{\"Name\":\"x\",\"Id\":\"" READER "\",\"Actions\":[\"*\"]}",
          strlen("{\"Name\":\"x\",\"Id\":\"" READER "\",\"Actions\":[\"*\"]}"),
          0);
    assert_int_equal(action(e, &who, "PUT", path),
                     AML_REASON_REGISTRY_UNAVAILABLE);

    spoil(e, key, aml_key_principal(key, &alice));
    assert_int_equal(action(e, &who, "GET", path),
                     AML_REASON_REGISTRY_UNAVAILABLE);
}


int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(hashes_cookies), T(sessions),         T(labels),
        T(tokens),         T(keys_change),      T(key_names),
        T(many_keys),      T(identities_hold),  T(applications),
        T(actions),        T(misplaced_routes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
