/*
 * A real registry in a directory of the test's own, and what is asked of it:
 * for the tests of decisions.
 */

#ifndef AML_TEST_DECIDE_FIXTURE_H
#define AML_TEST_DECIDE_FIXTURE_H

#include "t/unit/mint.h"

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

static inline int
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


static inline int
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
static inline void
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


static inline void
spoil(env_t *e, const char *key, size_t klen)
{
    store(e, key, klen, "\x63\x00garbage", 9, 0);
}


static inline void
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


static inline void
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


static inline void
put_principal(env_t *e, const aml_principal_id_t *id, int64_t not_before,
              uint32_t flags)
{
    put_principal_with(e, id, not_before, flags, aml_str("Alice"), NULL, 0);
}


static inline void
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


/* What is started on demand and does not answer. */
static inline void
put_demand(env_t *e, const char *name, unsigned port,
           aml_instance_state_t state)
{
    aml_route_t r = {.state = state,
                     .port = (uint16_t) port,
                     .generation = 7,
                     .creator = alice,
                     .name = aml_str_of(name)};
    char key[AML_REGISTRY_KEY_MAX + 1], buf[512];

    store(e, key, aml_key_route(key, aml_str_of(name), port), buf,
          aml_route_encode(&r, buf, sizeof(buf)), 0);
}


static inline void
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


static inline void
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

static inline aml_reason_t
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


static inline aml_reason_t
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


static inline aml_reason_t
holds(env_t *e, aml_identity_t *who, int64_t now)
{
    aml_registry_txn_t *txn;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_identity_holds(txn, who, now);
    aml_registry_end(txn);

    return rc;
}


static inline aml_reason_t
application(env_t *e, const aml_identity_t *who, const char *name,
            unsigned port)
{
    aml_registry_txn_t *txn;
    aml_target_t target;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    aml_target_expect(txn, aml_str_of(name), port);
    aml_target_find(txn, aml_str_of(name), port, &target);
    rc = aml_decide_application(txn, who, &target);
    if (rc == AML_REASON_OK) {
        assert_int_equal(target.route.port, port);
        assert_int_equal(target.route.generation, 7);
        assert_true(
            aml_str_eq(target.route.address, aml_str("unix:/run/aml/x.sock")));
    }
    aml_registry_end(txn);

    return rc;
}


static inline aml_reason_t
action(env_t *e, const aml_identity_t *who, const char *method,
       const char *path)
{
    aml_registry_txn_t *txn;
    aml_action_t a;
    aml_reason_t rc;

    assert_int_equal(aml_action_of(aml_str_of(method), aml_str_of(path), &a),
                     0);
    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    rc = aml_decide_action(txn, who, NOW, &a);
    aml_registry_end(txn);

    return rc;
}


static inline aml_identity_t
identity(const aml_principal_id_t *id)
{
    return (aml_identity_t){.credential = AML_CREDENTIAL_SESSION,
                            .principal = *id};
}


#endif
