/*
 * Verified tokens, in sets of four slots.
 */

#include "auth/token_cache.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define AML_TOKEN_CACHE_WAYS 4
#define AML_TOKEN_CACHE_SETS_MAX ((size_t) 1 << 20)
#define AML_TOKEN_CACHE_SECONDS 3600
#define AML_TOKEN_CACHE_KEY 32

typedef struct {
    uint8_t key[AML_TOKEN_CACHE_KEY];
    int64_t until;  /* 0: free */
    uint64_t epoch; /* void in any other */
    uint64_t used;  /* the clock at its last use */
    aml_jwt_identity_t identity;
} aml_token_slot_t;

struct aml_token_cache {
    EVP_MD_CTX *digest;
    uint8_t secret[AML_TOKEN_CACHE_KEY];
    uint64_t generation;
    uint64_t epoch; /* counts changes of generation */
    uint64_t clock; /* counts uses, not time */
    size_t sets;    /* a power of two */

    /* of the get that found nothing: a put of the same token comes next */
    const char *missed;
    size_t missed_len;
    uint8_t missed_key[AML_TOKEN_CACHE_KEY];

    aml_token_slot_t *slots;
};


/* Fetched once: EVP_sha256() would look the implementation up each time. */
static EVP_MD_CTX *
aml_token_cache_digest(void)
{
    EVP_MD *sha256;
    EVP_MD_CTX *ctx;

    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ctx = EVP_MD_CTX_new();

    if (sha256 == NULL || ctx == NULL ||
        EVP_DigestInit_ex2(ctx, sha256, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }

    EVP_MD_free(sha256); /* the context has a share of its own */

    return ctx;
}


aml_token_cache_t *
aml_token_cache_new(size_t entries)
{
    aml_token_cache_t *cache;

    cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return NULL;
    }

    cache->sets = 1;
    while (cache->sets * AML_TOKEN_CACHE_WAYS < entries &&
           cache->sets < AML_TOKEN_CACHE_SETS_MAX) {
        cache->sets *= 2;
    }

    ERR_set_mark();

    cache->slots =
        calloc(cache->sets * AML_TOKEN_CACHE_WAYS, sizeof(*cache->slots));
    cache->digest = aml_token_cache_digest();

    ERR_pop_to_mark();

    if (cache->slots == NULL || cache->digest == NULL ||
        RAND_bytes(cache->secret, sizeof(cache->secret)) != 1) {
        aml_token_cache_free(cache);
        return NULL;
    }

    return cache;
}


void
aml_token_cache_free(aml_token_cache_t *cache)
{
    if (cache == NULL) {
        return;
    }

    EVP_MD_CTX_free(cache->digest);
    OPENSSL_cleanse(cache->secret, sizeof(cache->secret));
    free(cache->slots);
    free(cache);
}


/* What was remembered under another set of keys is void, at once however
 * large the cache is; and stays void should the number ever come back. */
static void
aml_token_cache_turn(aml_token_cache_t *cache, uint64_t generation)
{
    if (cache->generation != generation) {
        cache->generation = generation;
        cache->epoch++;
    }
}


static int
aml_token_slot_live(const aml_token_cache_t *cache,
                    const aml_token_slot_t *slot, int64_t now)
{
    return slot->epoch == cache->epoch && slot->until > now;
}


/*
 * The set where a token belongs, NULL when OpenSSL fails.  The key is SHA-256
 * of a secret and the token: nobody can choose a token for a set, and who reads
 * the memory finds nothing that opens anything.  It is never shown, so there is
 * nothing to extend and no need of HMAC, which takes half as long again.
 */
static aml_token_slot_t *
aml_token_cache_set(aml_token_cache_t *cache, aml_str_t token,
                    uint8_t key[AML_TOKEN_CACHE_KEY])
{
    size_t set;

    if (cache->missed != NULL && cache->missed == token.p &&
        cache->missed_len == token.n) {
        memcpy(key, cache->missed_key, AML_TOKEN_CACHE_KEY);

    } else if (EVP_DigestInit_ex2(cache->digest, NULL, NULL) != 1 ||
               EVP_DigestUpdate(cache->digest, cache->secret,
                                sizeof(cache->secret)) != 1 ||
               EVP_DigestUpdate(cache->digest, token.p, token.n) != 1 ||
               EVP_DigestFinal_ex(cache->digest, key, NULL) != 1) {
        return NULL;
    }

    memcpy(&set, key, sizeof(set));

    return &cache->slots[(set & (cache->sets - 1)) * AML_TOKEN_CACHE_WAYS];
}


static aml_token_slot_t *
aml_token_cache_find(aml_token_slot_t *set,
                     const uint8_t key[AML_TOKEN_CACHE_KEY])
{
    int i;

    for (i = 0; i < AML_TOKEN_CACHE_WAYS; i++) {
        if (CRYPTO_memcmp(set[i].key, key, AML_TOKEN_CACHE_KEY) == 0) {
            return &set[i];
        }
    }

    return NULL;
}


const aml_jwt_identity_t *
aml_token_cache_get(aml_token_cache_t *cache, aml_str_t token,
                    uint64_t generation, int64_t now)
{
    uint8_t key[AML_TOKEN_CACHE_KEY];
    aml_token_slot_t *set, *slot;

    aml_token_cache_turn(cache, generation);

    cache->missed = NULL;

    set = aml_token_cache_set(cache, token, key);
    if (set == NULL) {
        return NULL;
    }

    slot = aml_token_cache_find(set, key);
    if (slot == NULL || !aml_token_slot_live(cache, slot, now)) {
        cache->missed = token.p;
        cache->missed_len = token.n;
        memcpy(cache->missed_key, key, sizeof(key));
        return NULL;
    }

    slot->used = ++cache->clock;

    return &slot->identity;
}


void
aml_token_cache_put(aml_token_cache_t *cache, aml_str_t token,
                    uint64_t generation, int64_t now,
                    const aml_jwt_identity_t *identity)
{
    int i;
    int64_t until;
    uint8_t key[AML_TOKEN_CACHE_KEY];
    aml_token_slot_t *set, *slot;

    until = now + AML_TOKEN_CACHE_SECONDS;
    if (until > identity->expires) {
        until = identity->expires;
    }

    if (until <= now || until <= 0) {
        return;
    }

    aml_token_cache_turn(cache, generation);

    set = aml_token_cache_set(cache, token, key);
    cache->missed = NULL;
    if (set == NULL) {
        return;
    }

    slot = aml_token_cache_find(set, key);
    if (slot == NULL) {
        slot = &set[0];
        for (i = 0; i < AML_TOKEN_CACHE_WAYS; i++) {
            if (!aml_token_slot_live(cache, &set[i], now)) {
                slot = &set[i];
                break;
            }

            if (set[i].used < slot->used) {
                slot = &set[i];
            }
        }
    }

    memcpy(slot->key, key, sizeof(key));
    slot->until = until;
    slot->epoch = cache->epoch;
    slot->used = ++cache->clock;
    aml_jwt_identity_copy(&slot->identity, identity);
}
