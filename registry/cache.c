/*
 * Sets of eight: in sets of two, one record in eight had no place when the
 * cache was two thirds full; in sets of four, one in thirty when it was half
 * full.  What says whether a record is there is kept apart from the records, as
 * there is little of it: a look-up waits for its record's memory only.
 */

#include "registry/cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define AML_CACHE_WAYS 8
#define AML_CACHE_LINE 64


/* Those of a set fill two lines of memory. */
typedef struct {
    uint64_t hash;  /* 0: empty */
    uint32_t used;  /* number of the snapshot that used it last */
    uint32_t epoch; /* of the cache; an earlier one: empty */
} aml_cache_tag_t;

typedef struct {
    uint16_t klen;
    uint16_t vlen;
    char record[AML_CACHE_RECORD]; /* key, then value */
} aml_cache_slot_t;

struct aml_cache {
    aml_cache_tag_t *tags;
    aml_cache_slot_t *slots;
    size_t size; /* of the memory of both, bytes */
    uint64_t mask;
    uint32_t snapshot;
    uint32_t epoch;
};

_Static_assert(sizeof(aml_cache_tag_t) * AML_CACHE_WAYS == 2 * AML_CACHE_LINE,
               "a set's tags");
_Static_assert(sizeof(aml_cache_tag_t) + sizeof(aml_cache_slot_t) ==
                   AML_CACHE_ENTRY,
               "an entry's size");


aml_cache_t *
aml_cache_new(size_t entries)
{
    size_t n;
    aml_cache_t *cache;

    for (n = AML_CACHE_WAYS;
         n < entries && n < SIZE_MAX / (2 * AML_CACHE_ENTRY); n *= 2) {
        /* void */
    }

    cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        return NULL;
    }

    cache->mask = n - 1;
    cache->size = n * AML_CACHE_ENTRY;
    cache->epoch = 1;
    cache->tags = mmap(NULL, cache->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (cache->tags == MAP_FAILED) {
        free(cache);
        return NULL;
    }

    cache->slots = (aml_cache_slot_t *) (cache->tags + n);

    return cache;
}


void
aml_cache_free(aml_cache_t *cache)
{
    if (cache == NULL) {
        return;
    }

    (void) munmap(cache->tags, cache->size);
    free(cache);
}


void
aml_cache_begin(aml_cache_t *cache)
{
    cache->snapshot++;
}


static size_t
set_of(const aml_cache_t *cache, uint64_t hash)
{
    return hash & cache->mask & ~(uint64_t) (AML_CACHE_WAYS - 1);
}


static int
occupied(const aml_cache_t *cache, const aml_cache_tag_t *tag)
{
    return tag->hash != 0 && tag->epoch == cache->epoch;
}


int
aml_cache_get(aml_cache_t *cache, uint64_t hash, aml_str_t key,
              aml_str_t *value)
{
    size_t i, end;
    aml_cache_slot_t *slot;

    i = set_of(cache, hash);

    for (end = i + AML_CACHE_WAYS; i < end; i++) {
        if (cache->tags[i].hash != hash || !occupied(cache, &cache->tags[i])) {
            continue;
        }

        slot = &cache->slots[i];

        if (slot->klen == key.n && memcmp(slot->record, key.p, key.n) == 0) {
            cache->tags[i].used = cache->snapshot;
            *value = (aml_str_t){slot->record + slot->klen, slot->vlen};
            return 1;
        }
    }

    return 0;
}


void
aml_cache_prefetch(const aml_cache_t *cache, uint64_t hash)
{
    size_t i, end;
    const char *slot;

    i = set_of(cache, hash);

    for (end = i + AML_CACHE_WAYS; i < end; i++) {
        if (cache->tags[i].hash == hash) {
            slot = (const char *) &cache->slots[i];
            __builtin_prefetch(slot);
            __builtin_prefetch(slot + AML_CACHE_LINE);
            __builtin_prefetch(slot + (ptrdiff_t) 2 * AML_CACHE_LINE);
        }
    }
}


void
aml_cache_put(aml_cache_t *cache, uint64_t hash, aml_str_t key, aml_str_t value)
{
    size_t i, end, place;
    aml_cache_tag_t *tag;
    aml_cache_slot_t *slot;

    if (key.n > AML_CACHE_RECORD || value.n > AML_CACHE_RECORD - key.n) {
        return;
    }

    i = place = set_of(cache, hash);

    for (end = i + AML_CACHE_WAYS; i < end; i++) {
        if (!occupied(cache, &cache->tags[i])) {
            place = i;
            break;
        }

        if (cache->snapshot - cache->tags[i].used >
            cache->snapshot - cache->tags[place].used) {
            place = i;
        }
    }

    tag = &cache->tags[place];

    /* somebody may hold a pointer into it */
    if (occupied(cache, tag) && tag->used == cache->snapshot) {
        return;
    }

    tag->hash = hash;
    tag->used = cache->snapshot;
    tag->epoch = cache->epoch;

    slot = &cache->slots[place];
    slot->klen = (uint16_t) key.n;
    slot->vlen = (uint16_t) value.n;
    memcpy(slot->record, key.p, key.n);
    memcpy(slot->record + key.n, value.p, value.n);
}


void
aml_cache_drop(void *data, uint64_t hash)
{
    size_t i, end;
    aml_cache_t *cache = data;

    i = set_of(cache, hash);

    for (end = i + AML_CACHE_WAYS; i < end; i++) {
        if (cache->tags[i].hash == hash) {
            cache->tags[i].hash = 0;
        }
    }
}


void
aml_cache_clear(aml_cache_t *cache)
{
    /* old epochs come round again once in four thousand million times */
    if (++cache->epoch == 0) {
        memset(cache->tags, 0, cache->size);
        cache->epoch = 1;
    }
}
