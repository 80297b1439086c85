/*
 * Claims of a token whose signature holds: from JSON to who it speaks for.
 */

#ifndef AML_CLAIMS_H
#define AML_CLAIMS_H

#include <jansson.h>

#include "auth/jwt.h"

/*
 * The claim of that name; where there is none, the name's dots lead into
 * objects, as in Keycloak's "realm_access.roles".  Borrowed, or NULL.
 */
json_t *aml_claims_find(const json_t *claims, aml_str_t path);

/*
 * Principal, label, groups and app roles, and for our own tokens the sign-in.
 * OK, or TOKEN_CLAIMS.  Whatever is wrong with groups leaves them unknown; it
 * is never the same as none.
 */
aml_reason_t aml_claims_identity(const json_t *claims, aml_str_t iss,
                                 const aml_issuer_t *issuer, aml_jwt_use_t use,
                                 aml_jwt_identity_t *identity);

#endif /* AML_CLAIMS_H */
