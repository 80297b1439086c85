/*
 * Verified tokens, remembered by one worker.
 *
 * The key is SHA-256 over a secret that the worker makes at start and the
 * token, so that no token is kept and nobody can aim at a slot.  Only who a
 * token speaks for is kept, never a decision, never beyond the token's expiry,
 * and nothing once the set of keys and issuers has changed.  Fixed size; four
 * slots to a set, the least recently used gives way.
 */

#ifndef AML_TOKEN_CACHE_H
#define AML_TOKEN_CACHE_H

#include "auth/jwt.h"

typedef struct aml_token_cache aml_token_cache_t;

/* `entries` is rounded up to a power of two of at least 4; NULL without
 * memory or entropy. */
aml_token_cache_t *aml_token_cache_new(size_t entries);
void aml_token_cache_free(aml_token_cache_t *cache);

/*
 * The identity of a token that was put under the same `generation` (of the
 * key set, aml_registry_key_generation()) and has not expired at `now`; NULL
 * otherwise.  The pointer holds until the next put.
 */
const aml_jwt_identity_t *
aml_token_cache_get(aml_token_cache_t *cache, aml_str_t token,
                    uint64_t generation, int64_t now);

/*
 * Remembers until min(identity->expires, now + 3600).  A put that is the next
 * call after a get that found nothing, with the same pointer and length, must
 * be of the same bytes: the hash is not made again.
 */
void aml_token_cache_put(aml_token_cache_t *cache, aml_str_t token,
                         uint64_t generation, int64_t now,
                         const aml_jwt_identity_t *identity);

#endif /* AML_TOKEN_CACHE_H */
