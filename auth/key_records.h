/*
 * Issuers and keys of the configuration, as records that workers read.  All in
 * the caller's transaction; who changes something has to touch the keys.
 */

#ifndef AMLD_KEY_RECORDS_H
#define AMLD_KEY_RECORDS_H

#include "auth/jwks.h"
#include "computes/config/config.h"
#include "registry/registry.h"

/* What is asked of tokens of the section's n-th `iss`; strings are the
 * section's. */
void amld_keys_issuer(const amld_issuer_config_t *issuer, size_t n,
                      aml_issuer_t *record);

/* Writes issuer/<iss> of a section where it differs; *changed grows. */
aml_registry_rc_t
amld_keys_publish_issuer(aml_registry_txn_t *txn,
                         const amld_issuer_config_t *issuer, int *changed);
/*
 * Makes key/<iss>/… what `set` has, good until `expires`, 0: for good.
 * *changed grows.
 */
aml_registry_rc_t
amld_keys_publish(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
                  const aml_jwks_t *set, int64_t expires, int *changed);
/* How many keys the section has, and when the first of them ends (0: never). */
aml_registry_rc_t
amld_keys_until(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
                size_t *count, int64_t *expires);
/* Writes keyset/<iss>: `n` keys were fetched at `now`, from `jwks_uri`. */
aml_registry_rc_t
amld_keys_note(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
               size_t n, const char *jwks_uri, int64_t now, int64_t expires);
/*
 * Withdraws issuers that are neither our own nor of the configuration, and
 * keys that came from elsewhere than the configuration says now.
 */
aml_registry_rc_t amld_keys_withdraw(aml_registry_txn_t *txn,
                                     const amld_config_t *config, int *changed);

#endif /* AMLD_KEY_RECORDS_H */
