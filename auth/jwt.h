/*
 * JSON Web Tokens: RFC 7515 compact serialisation, RFC 7519 claims, RFC 8725
 * best practice, RFC 9068 where a token says that it is an access token.
 *
 * Strict by design.  The algorithm comes from what the issuer allows and what
 * the key is, never from the token alone; duplicate members, `crit`, padding,
 * trailing bytes and anything that is not UTF-8 JSON are errors.
 */

#ifndef AML_JWT_H
#define AML_JWT_H

#include <jansson.h>
#include <stdint.h>

#include "auth/key.h"
#include "auth/principal.h"
#include "auth/reason.h"
#include "auth/str.h"
#include "registry/records.h"
#include "registry/registry.h"

#define AML_JWT_MAX 16384    /* bytes of a token that is looked at at all */
#define AML_JWT_NAME_MAX 128 /* bytes of the label that are kept */

#define AML_JWT_GROUPS_MAX AML_GRANT_GROUPS

/*
 * Who a verified token speaks for; owns all its memory.  Of `groups` only the
 * first group_count are set: copy with aml_jwt_identity_copy().
 */
typedef struct {
    aml_principal_id_t principal;
    int64_t issued;  /* iat, or nbf, or 0; see aml_jwt_verify() */
    int64_t expires; /* exp: first second at which it is not valid */
    int in_sign_in;  /* it ends with the sign-in: one of our own tokens */
    aml_principal_id_t sign_in;
    size_t name_len;
    char name[AML_JWT_NAME_MAX]; /* printable, UTF-8, for people; not ended */
    size_t key_len;              /* registry key of the key that signed it; */
    char key[AML_REGISTRY_KEY_MAX]; /* set by key_source.h */
    int groups_unknown;             /* there are others than these */
    size_t group_count;
    aml_principal_id_t groups[AML_JWT_GROUPS_MAX];
} aml_jwt_identity_t;

void
aml_jwt_identity_copy(aml_jwt_identity_t *to, const aml_jwt_identity_t *from);

#define AML_JWT_KID_MAX 255    /* OpenID Connect Core bounds a subject so */
#define AML_JWT_HEADER_MAX 512 /* characters of a header that is remembered */

typedef enum {
    AML_JWT_ACCESS = 0,
    AML_JWT_ID,
    AML_JWT_LOGOUT
} aml_jwt_use_t;

/*
 * What the header of the last token that was verified said.  An issuer's
 * tokens have the same header, byte for byte, until its key changes; what the
 * same bytes say need not be read again.  Zeroed, it remembers nothing.
 */
typedef struct {
    size_t text_len; /* as it stands in the token; 0: none */
    size_t kid_len;
    aml_alg_t alg;
    int access; /* `typ` says that it is an access token */
    char kid[AML_JWT_KID_MAX];
    char text[AML_JWT_HEADER_MAX];
} aml_jwt_header_t;

/*
 * Where issuers and keys come from.  Both answer AML_REASON_OK, or the reason
 * to refuse with (TOKEN_ISSUER, TOKEN_KEY, REGISTRY_UNAVAILABLE).  `kid` is
 * empty when the token has none; the source may then take the issuer's only
 * key.  A verifier stays valid at least until aml_jwt_verify() returns.
 * `header` is memory between calls, or NULL.
 */
typedef struct {
    void *data;
    aml_reason_t (*issuer)(void *data, aml_str_t iss, aml_issuer_t *issuer);
    aml_reason_t (*key)(void *data, aml_str_t iss, aml_str_t kid,
                        aml_verifier_t **verifier);
    aml_jwt_header_t *header;
} aml_jwt_source_t;

/*
 * Verifies `token` at time `now` (seconds since 1970).  AML_REASON_OK and a
 * filled `identity`, or the reason to refuse; `identity` is then undefined.
 *
 * Order: form, header (`alg`, `crit`, `typ`), issuer, algorithm, key,
 * signature, then what kind of token it is, exp, nbf, iat, aud, identity
 * claims.  No claim but `iss` is looked at before the signature holds.  Entra
 * identity (issuer->identity) wants `tid` and `oid`, and a `tid` that is
 * issuer->space where that is not empty; others want `sub`.  The issuer's
 * leeway is for nbf and iat: exp is the end.  Unless the token is one of our
 * own, `issued` is earlier by the leeway: by our clock it was not issued
 * before.
 */
aml_reason_t
aml_jwt_verify(aml_str_t token, int64_t now, const aml_jwt_source_t *source,
               aml_jwt_identity_t *identity);

/*
 * The same for a token of another kind, for amld; `claims`, unless NULL, is
 * the caller's to json_decref() after OK.  The source's issuer says what the
 * audience has to be.  Its `header` is to be NULL or a memory of this use only.
 *
 * AML_JWT_ACCESS is aml_jwt_verify(): ID, refresh and logout tokens are
 * TOKEN_TYPE.  AML_JWT_ID: an ID token, OpenID Connect Core section 2; nonce,
 * azp and at_hash are the caller's to compare.  AML_JWT_LOGOUT: a logout token,
 * OpenID Connect Back-Channel Logout section 2.4; `identity` has times only,
 * sub, sid and jti are the caller's.
 */
aml_reason_t aml_jwt_open(aml_str_t token, int64_t now, aml_jwt_use_t use,
                          const aml_jwt_source_t *source,
                          aml_jwt_identity_t *identity, json_t **claims);

#endif /* AML_JWT_H */
