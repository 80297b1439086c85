/*
 * Bearer tokens, verified with the issuers and keys that the registry has.
 * Verifiers are kept between calls while the set of keys stays the same.
 * One a thread.
 */

#ifndef AML_KEY_SOURCE_H
#define AML_KEY_SOURCE_H

#include "auth/jwt.h"
#include "auth/lookup.h"
#include "registry/registry.h"

typedef struct aml_key_source aml_key_source_t;

aml_key_source_t *aml_key_source_new(void);
void aml_key_source_free(aml_key_source_t *s);

/*
 * As aml_jwt_verify(); identity->expires is never later than the key's end.
 * REGISTRY_UNAVAILABLE also for a record that can't be read.
 */
aml_reason_t aml_key_source_verify(aml_key_source_t *s, aml_registry_txn_t *txn,
                                   aml_str_t token, int64_t now,
                                   aml_jwt_identity_t *identity);

/*
 * The issuer of the token that aml_key_source_verify() was last asked about,
 * when that is known but the key is not, or has ended: somebody may want to
 * look for it.  A token without `kid` asks for the issuer's only key; where
 * that did not sign it (TOKEN_SIGNATURE, TOKEN_ALGORITHM), another may have
 * taken its place.  Empty otherwise.  Valid until the next call.
 */
aml_str_t aml_key_source_unknown(const aml_key_source_t *s);

/*
 * Is the key of identity->key, and its issuer, still there?  OK, TOKEN_KEY,
 * TOKEN_ISSUER or REGISTRY_UNAVAILABLE.
 */
aml_reason_t aml_key_holds(aml_registry_txn_t *txn, aml_str_t key);

/*
 * The registry's name, at most AML_REGISTRY_KEY_MAX bytes, of the key that a
 * token of `iss` is to be verified with; whether there is one of that name is
 * not looked at, where `kid` says it.  A token without `kid` is for the
 * issuer's only key; where there are two, trying each would let a caller choose
 * the work.
 */
aml_found_t aml_key_find(aml_registry_txn_t *txn, aml_str_t iss, aml_str_t kid,
                         char *key, size_t *n);

#endif /* AML_KEY_SOURCE_H */
