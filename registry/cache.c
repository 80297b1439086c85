/*
 * Sets of four neighbouring slots: a look-up touches one page of memory.  In
 * sets of two, one record in eight had no place when the cache was two thirds
 * full.
 */

#include "registry/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define AML_CACHE_WAYS 4


typedef struct {
    uint64_t hash;  /* 0: empty */
    uint64_t used;  /* number of the snapshot that used it last */
    uint32_t epoch; /* of the cache; an earlier one: empty */
    uint16_t klen;
    uint16_t vlen;
    char record[AML_CACHE_RECORD]; /* key, then value */
    char unused[4];
} aml_cache_slot_t;

struct aml_cache {
    aml_cache_slot_t *slots;
    size_t size; /* of the memory, bytes */
    uint64_t mask;
    uint64_t snapshot;
    uint32_t epoch;
};

_Static_assert(sizeof(aml_cache_slot_t) == AML_CACHE_SLOT, "a slot's size");


aml_cache_t *
aml_cache_new(size_t entries)
{
    size_t n;
    aml_cache_t *cache;

    for (n = AML_CACHE_WAYS; n < entries && n < SIZE_MAX / (2 * AML_CACHE_SLOT);
         n *= 2) {
        /* void */
    }

    cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return NULL;
    }

    cache->mask = n - 1;
    cache->size = n * AML_CACHE_SLOT;
    cache->epoch = 1;
    cache->slots = mmap(NULL, cache->size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (cache->slots == MAP_FAILED) {
        free(cache);
        return NULL;
    }

    return cache;
}


void
aml_cache_free(aml_cache_t *cache)
{
    if (cache == NULL) {
        return;
    }

    (void) munmap(cache->slots, cache->size);
    free(cache);
}


void
aml_cache_begin(aml_cache_t *cache)
{
    cache->snapshot++;
}


static aml_cache_slot_t *
set_of(const aml_cache_t *cache, uint64_t hash)
{
    return &cache->slots[hash & cache->mask & ~(uint64_t) (AML_CACHE_WAYS - 1)];
}


static int
occupied(const aml_cache_t *cache, const aml_cache_slot_t *slot)
{
    return slot->hash != 0 && slot->epoch == cache->epoch;
}


int
aml_cache_get(aml_cache_t *cache, uint64_t hash, aml_str_t key,
              aml_str_t *value)
{
    unsigned way;
    aml_cache_slot_t *set, *slot;

    set = set_of(cache, hash);

    for (way = 0; way < AML_CACHE_WAYS; way++) {
        slot = &set[way];

        if (slot->hash == hash && occupied(cache, slot) &&
            slot->klen == key.n && memcmp(slot->record, key.p, key.n) == 0) {
            slot->used = cache->snapshot;
            *value = (aml_str_t){slot->record + slot->klen, slot->vlen};
            return 1;
        }
    }

    return 0;
}


void
aml_cache_prefetch(const aml_cache_t *cache, uint64_t hash)
{
    unsigned way;
    aml_cache_slot_t *set;

    set = set_of(cache, hash);

    for (way = 0; way < AML_CACHE_WAYS; way++) {
        __builtin_prefetch(&set[way]);
        __builtin_prefetch((char *) &set[way] + 64);
    }
}


void
aml_cache_put(aml_cache_t *cache, uint64_t hash, aml_str_t key, aml_str_t value)
{
    unsigned way;
    aml_cache_slot_t *set, *slot;

    if (key.n > AML_CACHE_RECORD || value.n > AML_CACHE_RECORD - key.n) {
        return;
    }

    set = set_of(cache, hash);
    slot = set;

    for (way = 0; way < AML_CACHE_WAYS; way++) {
        if (!occupied(cache, &set[way])) {
            slot = &set[way];
            break;
        }

        if (set[way].used < slot->used) {
            slot = &set[way];
        }
    }

    /* somebody may hold a pointer into it */
    if (occupied(cache, slot) && slot->used == cache->snapshot) {
        return;
    }

    slot->hash = hash;
    slot->used = cache->snapshot;
    slot->epoch = cache->epoch;
    slot->klen = (uint16_t) key.n;
    slot->vlen = (uint16_t) value.n;
    memcpy(slot->record, key.p, key.n);
    memcpy(slot->record + key.n, value.p, value.n);
}


void
aml_cache_drop(void *data, uint64_t hash)
{
    unsigned way;
    aml_cache_slot_t *set;

    set = set_of(data, hash);

    for (way = 0; way < AML_CACHE_WAYS; way++) {
        if (set[way].hash == hash) {
            set[way].hash = 0;
        }
    }
}


void
aml_cache_clear(aml_cache_t *cache)
{
    /* old epochs come round again once in four thousand million times */
    if (++cache->epoch == 0) {
        memset(cache->slots, 0, cache->size);
        cache->epoch = 1;
    }
}
