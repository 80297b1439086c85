#include "computes/automatic/usage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "upstreams/host.h"

#define USAGE_LEAST 256       /* places, a power of two */
#define USAGE_MOST (1u << 21) /* instances whose use is known, twice */
#define USAGE_SETTLE 60       /* seconds until all workers are heard */

typedef struct {
    amld_use_t use;
    uint8_t length; /* 0: a free place */
    char name[AML_INSTANCE_NAME_MAX];
} usage_place_t;

struct amld_usage {
    pthread_mutex_t mutex;
    usage_place_t *places; /* open addressing */
    size_t size, count;
    uint64_t seed; /* names are chosen by people */
    int64_t since;
};

static usage_place_t *usage_place(const amld_usage_t *u, aml_str_t name);
static int usage_grow(amld_usage_t *u, int64_t now);


amld_usage_t *
amld_usage_new(int64_t now)
{
    amld_usage_t *u;

    u = calloc(1, sizeof(*u));
    if (u == NULL) {
        return NULL;
    }

    u->since = now + USAGE_SETTLE;
    u->size = USAGE_LEAST;
    u->places = calloc(u->size, sizeof(*u->places));
    if (u->places == NULL ||
        getrandom(&u->seed, sizeof(u->seed), 0) != sizeof(u->seed)) {
        free(u->places);
        free(u);
        return NULL;
    }
    pthread_mutex_init(&u->mutex, NULL);

    return u;
}


void
amld_usage_free(amld_usage_t *u)
{
    if (u != NULL) {
        pthread_mutex_destroy(&u->mutex);
        free(u->places);
        free(u);
    }
}


void
amld_usage_note(amld_usage_t *u, aml_str_t name, const amld_use_t *use)
{
    usage_place_t *place;

    if (name.n == 0 || name.n > AML_INSTANCE_NAME_MAX) {
        return;
    }

    pthread_mutex_lock(&u->mutex);

    place = usage_place(u, name);
    if (place->length == 0 && 2 * (u->count + 1) > u->size) {
        place = usage_grow(u, use->when) == 0 ? usage_place(u, name) : NULL;
    }

    if (place != NULL) {
        if (place->length == 0) {
            place->length = (uint8_t) name.n;
            memcpy(place->name, name.p, name.n);
            u->count++;
        }
        if (use->when >= place->use.when) {
            place->use = *use;
        }
    }

    pthread_mutex_unlock(&u->mutex);
}


void
amld_usage_last(amld_usage_t *u, aml_str_t name, amld_use_t *use)
{
    memset(use, 0, sizeof(*use));

    if (name.n == 0 || name.n > AML_INSTANCE_NAME_MAX) {
        return;
    }

    pthread_mutex_lock(&u->mutex);
    *use = usage_place(u, name)->use;
    pthread_mutex_unlock(&u->mutex);
}


int64_t
amld_usage_since(amld_usage_t *u)
{
    int64_t since;

    pthread_mutex_lock(&u->mutex);
    since = u->since;
    pthread_mutex_unlock(&u->mutex);

    return since;
}


void
amld_usage_back(amld_usage_t *u, int64_t now)
{
    size_t i;

    pthread_mutex_lock(&u->mutex);

    u->since = now + USAGE_SETTLE;
    for (i = 0; i < u->size; i++) {
        if (u->places[i].use.when > now) {
            memset(&u->places[i].use, 0, sizeof(u->places[i].use));
        }
    }

    pthread_mutex_unlock(&u->mutex);
}


static usage_place_t *
usage_place(const amld_usage_t *u, aml_str_t name)
{
    size_t i;
    uint64_t h;
    usage_place_t *place;

    /* FNV-1a, from a start that nobody knows */
    for (h = u->seed, i = 0; i < name.n; i++) {
        h = (h ^ (uint8_t) name.p[i]) * UINT64_C(1099511628211);
    }
    h ^= h >> 32;

    for (i = (size_t) h & (u->size - 1);; i = (i + 1) & (u->size - 1)) {
        place = &u->places[i];
        if (place->length == 0 || (place->length == name.n &&
                                   memcmp(place->name, name.p, name.n) == 0)) {
            return place;
        }
    }
}


/* Without those that nobody waits for any more. */
static int
usage_grow(amld_usage_t *u, int64_t now)
{
    size_t i, n;
    usage_place_t *old;

    old = u->places;
    n = u->size;

    if (n >= USAGE_MOST) {
        return -1;
    }

    u->places = calloc(2 * n, sizeof(*u->places));
    if (u->places == NULL) {
        u->places = old;
        return -1;
    }
    u->size = 2 * n;
    u->count = 0;

    for (i = 0; i < n; i++) {
        if (old[i].length != 0 && old[i].use.when > now - AMLD_USAGE_KEPT) {
            *usage_place(u, (aml_str_t){old[i].name, old[i].length}) = old[i];
            u->count++;
        }
    }
    free(old);

    return 0;
}
