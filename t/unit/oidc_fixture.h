/*
 * A provider of the configuration, with keys in the registry, and tokens of
 * its making.
 */

#ifndef AML_TEST_OIDC_FIXTURE_H
#define AML_TEST_OIDC_FIXTURE_H

#include "t/unit/mint.h"
#include "t/unit/scratch.h"

#include <openssl/sha.h>

#include "auth/issuer_kinds.h"
#include "auth/oidc_token.h"
#include "registry/records.h"

#define NOW 1795000000
#define ISS "https://id.example.org/realm"
#define OTHER_ISS "https://id.example.net"
#define CLIENT "aml"
#define NONCE "a-nonce"
#define ACCESS "an-access-token"
#define EVENT "\"http://schemas.openid.net/event/backchannel-logout\""

typedef struct {
    scratch_t *scratch;
    amld_config_t config;
    amld_issuer_config_t issuers[2];
    amld_t d;
    EVP_PKEY *rsa, *p256, *p384, *ed;
} oidc_t;


static inline void
oidc_publish(oidc_t *o, const char *iss, const char *kid, EVP_PKEY *pkey,
             int64_t expires)
{
    static char room[AML_RECORD_MAX];
    char value[AML_RECORD_MAX], name[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    aml_public_key_t key;
    size_t n;

    assert_int_equal(aml_public_key_of(pkey, &key, room, sizeof(room)),
                     AML_KEY_OK);
    key.expires = expires;
    n = aml_public_key_encode(&key, value, sizeof(value));
    assert_true(n > 0);

    assert_int_equal(aml_registry_write(o->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, name,
                         aml_key_key(name, aml_str_of(iss), aml_str_of(kid)),
                         value, n),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static inline void
oidc_issuer_of(amld_issuer_config_t *i, const char *name, const char *iss)
{
    i->name = strdup(name);
    i->kind = amld_issuer_kind("oidc");
    i->algs = UINT32_MAX;
    i->client_id = strdup(CLIENT);
    i->identity_claim = strdup("");
    i->groups_claim = strdup("groups");
    i->roles_claim = strdup("");
    i->leeway = 60;
    i->sign_in = 1;
    i->iss = calloc(1, sizeof(*i->iss));
    assert_non_null(i->iss);
    i->iss[0].iss = strdup(iss);
    i->iss[0].space = strdup(iss);
    i->iss[0].name_claim = "preferred_username";
    i->iss_count = 1;
}


static inline int
oidc_setup(void **state)
{
    oidc_t *o = calloc(1, sizeof(*o));

    assert_non_null(o);
    assert_int_equal(scratch_setup((void **) &o->scratch), 0);

    oidc_issuer_of(&o->issuers[0], "corp", ISS);
    oidc_issuer_of(&o->issuers[1], "other", OTHER_ISS);
    o->config.issuers = o->issuers;
    o->config.issuer_count = 2;
    o->d.config = &o->config;
    o->d.registry = o->scratch->registry;

    o->rsa = EVP_RSA_gen(2048);
    o->p256 = EVP_EC_gen("P-256");
    o->p384 = EVP_EC_gen("P-384");
    o->ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    oidc_publish(o, ISS, "rsa", o->rsa, 0);
    oidc_publish(o, ISS, "p384", o->p384, 0);
    oidc_publish(o, ISS, "ed", o->ed, 0);
    oidc_publish(o, OTHER_ISS, "p256", o->p256, 0);
    *state = o;

    return 0;
}


static inline int
oidc_teardown(void **state)
{
    oidc_t *o = *state;
    size_t i, n;

    EVP_PKEY_free(o->rsa);
    EVP_PKEY_free(o->p256);
    EVP_PKEY_free(o->p384);
    EVP_PKEY_free(o->ed);
    for (i = 0; i < 2; i++) {
        free(o->issuers[i].name);
        free(o->issuers[i].client_id);
        free(o->issuers[i].identity_claim);
        free(o->issuers[i].groups_claim);
        free(o->issuers[i].roles_claim);
        for (n = 0; n < o->issuers[i].iss_count; n++) {
            free(o->issuers[i].iss[n].iss);
            free(o->issuers[i].iss[n].space);
        }
        free(o->issuers[i].iss);
    }
    scratch_teardown((void **) &o->scratch);
    free(o);

    return 0;
}


/* By the RSA key. */
static inline char *
oidc_mint(oidc_t *o, const char *type, const char *claims)
{
    char head[128];

    (void) snprintf(
        head, sizeof(head), "{\"alg\":\"RS256\",\"kid\":\"rsa\"%s%s%s}",
        *type != '\0' ? ",\"typ\":\"" : "", type, *type != '\0' ? "\"" : "");

    return mint_token(o->rsa, AML_ALG_RS256, head, claims);
}


/* As a logout token says them, without `sub` and the like. */
static inline aml_reason_t
oidc_logout(oidc_t *o, const char *claims, amld_oidc_who_t *who)
{
    char text[1024];
    aml_reason_t rc;
    char *token;

    (void) snprintf(text, sizeof(text),
                    "{\"iss\":\"" ISS "\",\"aud\":\"" CLIENT "\",%s}", claims);
    token = oidc_mint(o, "logout+jwt", text);
    rc = amld_oidc_logout_token(&o->d, &o->issuers[0], token, NOW, who);
    free(token);

    return rc;
}

#endif /* AML_TEST_OIDC_FIXTURE_H */
