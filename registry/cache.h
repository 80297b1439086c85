/*
 * Records that a reader has seen, in memory that is near.
 *
 * A registry of a million instances is some hundred megabytes; a look-up at a
 * random place of it waits for memory at each level of the tree.  A cache
 * keeps copies of the records of the hot path.  What is taken from it is what
 * the snapshot holds: the ring of changes (changes.h) says what to forget when
 * the snapshot is a newer one, and where it does not say, all is forgotten.
 *
 * One thread, one cache.  Values live as long as the snapshot, as those of
 * aml_registry_get() do.
 */

#ifndef AML_CACHE_H
#define AML_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "auth/str.h"

/* Key and value together; longer ones are not kept. */
#define AML_CACHE_RECORD 508
#define AML_CACHE_ENTRY 528 /* bytes of memory for each */

typedef struct aml_cache aml_cache_t;

/* `entries` is rounded up to a power of two, 8 at least.  NULL without
 * memory.  Memory that is never used is never touched. */
aml_cache_t *aml_cache_new(size_t entries);
void aml_cache_free(aml_cache_t *cache);

/* A snapshot begins: values of the one before may go. */
void aml_cache_begin(aml_cache_t *cache);

/* 1 and the value, or 0.  `hash` is the key's. */
int aml_cache_get(aml_cache_t *cache, uint64_t hash, aml_str_t key,
                  aml_str_t *value);

/* Asks for the memory that a get will look at, and does not wait for it. */
void aml_cache_prefetch(const aml_cache_t *cache, uint64_t hash);

/* Keeps a copy, unless it is too long or values of this snapshot are in its
 * place. */
void aml_cache_put(aml_cache_t *cache, uint64_t hash, aml_str_t key,
                   aml_str_t value);

/* Forgets all keys of that hash; `cache` is void for aml_changes_since(). */
void aml_cache_drop(void *cache, uint64_t hash);
void aml_cache_clear(aml_cache_t *cache);

#endif /* AML_CACHE_H */
