#include "auth/rate.h"

#include <string.h>

#define ONE 1000u /* a request, in the bucket's thousandths */

/* `spent` is what is missing to a full bucket, as of `last`.  All zeros: no
 * bucket. */
typedef struct {
    uint64_t id[2];
    uint64_t last;
    uint32_t spent;
    uint32_t check; /* over all the others; kind in its low 8 bits */
} bucket_t;

_Static_assert(sizeof(bucket_t) == AML_RATE_BUCKET, "no padding");


/* Both halves of the product: every bit of it depends on all of both. */
static uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}


static uint64_t
hash_of(const aml_rate_table_t *t, const uint64_t id[2], unsigned kind)
{
    uint64_t h = fold(id[0] ^ t->secret[0], id[1] ^ t->secret[1]);

    return fold(h ^ kind, t->secret[0] ^ 0x9fb21c651e98df25u);
}


static uint32_t
check_of(const aml_rate_table_t *t, const bucket_t *b, unsigned kind)
{
    uint64_t h = hash_of(t, b->id, kind);

    h = fold(h ^ b->last, t->secret[1] ^ 0xd6e8feb86659fd93u);
    h = fold(h ^ b->spent, t->secret[0] ^ 0x9e3779b97f4a7c15u);

    return ((uint32_t) h & ~0xffu) | kind;
}


static int
is_free(const bucket_t *b)
{
    return b->check == 0 && b->last == 0 && b->spent == 0 && b->id[0] == 0 &&
           b->id[1] == 0;
}


/* Clocks of two processes may differ by the time that they have cached. */
static uint64_t
elapsed_since(const bucket_t *b, uint64_t now)
{
    return now > b->last ? now - b->last : 0;
}


/* What is missing in it now. */
static uint64_t
missing(const bucket_t *b, const aml_rate_limit_t *limit, uint64_t now)
{
    uint64_t elapsed = elapsed_since(b, now), filled;

    /* more than any burst takes to fill, and no overflow */
    if (elapsed > (uint64_t) AML_RATE_BURST * ONE * 1000 / limit->rate) {
        return 0;
    }
    filled = elapsed * limit->rate / 1000;

    return b->spent > filled ? b->spent - filled : 0;
}


/* Is `b` better to give up than `than`: nearer to full, then older? */
static int
is_better(const bucket_t *b, const bucket_t *than,
          const aml_rate_limit_t *limit, uint64_t now)
{
    uint64_t m, n;

    if (is_free(than)) {
        return 0;
    }
    if (is_free(b)) {
        return 1;
    }

    m = missing(b, limit, now);
    n = missing(than, limit, now);

    return m < n || (m == n && b->last < than->last);
}


size_t
aml_rate_sets(size_t size)
{
    return size / (AML_RATE_WAYS * sizeof(bucket_t));
}


aml_rate_rc_t
aml_rate_take(const aml_rate_table_t *t, const aml_rate_key_t *key,
              const aml_rate_limit_t *limit, uint64_t now, uint64_t *wait,
              int *evicted)
{
    bucket_t *set, *b, *place = NULL;
    uint64_t id[2], spent, most;
    int i;

    *wait = 0;
    *evicted = 0;

    memcpy(id, key->id, sizeof(id));
    set = (bucket_t *) t->memory +
          hash_of(t, id, key->kind) % t->sets * AML_RATE_WAYS;
    b = NULL;

    for (i = 0; i < AML_RATE_WAYS; i++) {
        if (!is_free(&set[i]) &&
            set[i].check != check_of(t, &set[i], set[i].check & 0xff)) {
            memset(&set[i], 0, sizeof(set[i]));
            return AML_RATE_CORRUPT;
        }

        if (set[i].id[0] == id[0] && set[i].id[1] == id[1] &&
            (set[i].check & 0xff) == key->kind) {
            b = &set[i];
        }

        if (place == NULL || is_better(&set[i], place, limit, now)) {
            place = &set[i];
        }
    }

    if (b == NULL) {
        b = place;
        *evicted = !is_free(b) && missing(b, limit, now) > 0;
        memset(b, 0, sizeof(*b));
        memcpy(b->id, id, sizeof(id));
    }

    spent = missing(b, limit, now) + ONE;
    most = (uint64_t) limit->burst * ONE;

    if (spent > most) {
        *wait =
            ((b->spent + ONE - most) * 1000 + limit->rate - 1) / limit->rate -
            elapsed_since(b, now);
        return AML_RATE_LIMITED;
    }

    b->spent = (uint32_t) spent;
    b->last = now > b->last ? now : b->last;
    b->check = check_of(t, b, key->kind);

    return AML_RATE_OK;
}
