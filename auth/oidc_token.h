/*
 * ID and logout tokens of an identity provider, OpenID Connect Core section
 * 3.1.3.7 and Back-Channel Logout section 2.6, with the keys that the registry
 * has.
 */

#ifndef AMLD_OIDC_TOKEN_H
#define AMLD_OIDC_TOKEN_H

#include "auth/jwt.h"
#include "auth/oidc_provider.h"
#include "computes/amld.h"

#define AMLD_ID_TOKEN_AGE 600 /* seconds that one may have been on its way */
#define AMLD_SUBJECT_MAX 255

/*
 * What a token says.  Strings live as long as `claims`, which is the caller's
 * to json_decref() when it is not NULL.
 */
typedef struct {
    const amld_issuer_config_t *issuer;
    aml_jwt_identity_t identity; /* of a logout token, times only */
    const char *iss;
    const char *subject; /* `sub`, "" where a logout token has none */
    const char *sid;     /* the provider's session, or "" */
    json_t *claims;
} amld_oidc_who_t;

/*
 * An ID token that came from the token endpoint, for us, at `now`.  `nonce`
 * must be what it has, unless it is NULL, for one that came by a refresh token.
 * `access_token` is what at_hash is compared with, where there is one.  OK, or
 * why not; REGISTRY_UNAVAILABLE, too.  A key that is not known is waited for,
 * as the keeper allows; d->keys may be NULL.
 */
aml_reason_t
amld_oidc_id_token(amld_t *d, const amld_issuer_config_t *issuer,
                   const char *token, const char *nonce,
                   const char *access_token, int64_t now, amld_oidc_who_t *who);

/* A logout token, likewise; TOKEN_KEY at once where the key is not known. */
aml_reason_t
amld_oidc_logout_token(amld_t *d, const amld_issuer_config_t *issuer,
                       const char *token, int64_t now, amld_oidc_who_t *who);

/*
 * A claim of text, of a token of which nothing is verified: where it says that
 * it is from, or what one that was accepted before has said.  Borrowed from
 * `*json`, which is the caller's to json_decref(); NULL when there is none.
 */
const char *
amld_oidc_unverified(const char *token, const char *claim, json_t **json);

/*
 * Adds what UserInfo says where the ID token says nothing, and makes who->
 * identity again of both.  TOKEN_CLAIMS when it is somebody else's.
 */
aml_reason_t amld_oidc_add_userinfo(json_t *userinfo, amld_oidc_who_t *who);

/* The same of UserInfo alone, for a refresh that has brought no ID token: of
 * whom it must be, by `iss` and `sub`, is known. */
aml_reason_t amld_oidc_only_userinfo(const amld_issuer_config_t *issuer,
                                     const char *iss, const char *subject,
                                     json_t *userinfo, amld_oidc_who_t *who);

/*
 * The principal of a logout token's `sub`, as who->identity.principal.
 * NOTFOUND when nobody of that `sub` has signed in.
 */
aml_registry_rc_t
amld_oidc_principal(aml_registry_txn_t *txn, const amld_oidc_who_t *who,
                    aml_principal_id_t *principal);

/* Remembers whose `sub` that is, for the above, where it does not follow. */
aml_registry_rc_t
amld_oidc_remember(aml_registry_txn_t *txn, const amld_oidc_who_t *who);

#endif /* AMLD_OIDC_TOKEN_H */
