/*
 * Two tables, each with a list in the order of use: what went wrong, and which
 * account is known where.
 */

#include "auth/backoff.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/address.h"

#define KEY_SIZE 16
#define KIND_MAX 16
#define ACCOUNT_MAX 256
#define NONE UINT32_MAX
#define SECOND 1000

typedef struct {
    uint8_t key[KEY_SIZE];
    int64_t last;    /* when it went wrong last */
    uint32_t wrong;  /* so often */
    uint32_t shared; /* of a pair: so much of it counts for both, too */
    uint32_t trying; /* attempts that are under way */
    uint32_t next;   /* of the same bucket */
    uint32_t older, newer;
} entry_t;

typedef struct {
    entry_t *entry;
    uint32_t *bucket;
    uint32_t size, used;
    uint32_t oldest, newest;
} table_t;

/* What an attempt counts for. */
enum {
    BY_ACCOUNT = 0,
    BY_ADDRESS,
    BY_PAIR,
    BY_COUNT
};

struct amld_backoff {
    amld_backoff_limits_t limits;
    uint8_t secret[32]; /* so that nobody chooses buckets */
    pthread_mutex_t mutex;
    table_t wrong;
    table_t known;
};


/* ---- tables ---- */

static int
table_init(table_t *t, size_t entries)
{
    t->size = (uint32_t) entries;
    t->entry = calloc(entries, sizeof(*t->entry));
    t->bucket = malloc(entries * sizeof(*t->bucket));
    t->oldest = t->newest = NONE;

    if (t->entry == NULL || t->bucket == NULL) {
        return -1;
    }
    memset(t->bucket, 0xff, entries * sizeof(*t->bucket));

    return 0;
}


static uint32_t *
table_bucket(table_t *t, const uint8_t key[KEY_SIZE])
{
    uint32_t h;

    memcpy(&h, key, sizeof(h));

    return &t->bucket[h % t->size];
}


static void
list_take(table_t *t, entry_t *e)
{
    if (e->older != NONE) {
        t->entry[e->older].newer = e->newer;
    } else {
        t->oldest = e->newer;
    }
    if (e->newer != NONE) {
        t->entry[e->newer].older = e->older;
    } else {
        t->newest = e->older;
    }
}


static void
list_put(table_t *t, entry_t *e)
{
    uint32_t i = (uint32_t) (e - t->entry);

    e->older = t->newest;
    e->newer = NONE;
    if (t->newest != NONE) {
        t->entry[t->newest].newer = i;
    } else {
        t->oldest = i;
    }
    t->newest = i;
}


static entry_t *
table_find(table_t *t, const uint8_t key[KEY_SIZE])
{
    uint32_t i;

    for (i = *table_bucket(t, key); i != NONE; i = t->entry[i].next) {
        if (memcmp(t->entry[i].key, key, KEY_SIZE) == 0) {
            return &t->entry[i];
        }
    }

    return NULL;
}


/* Found, or made in place of the oldest; the newest now. */
static entry_t *
table_touch(table_t *t, const uint8_t key[KEY_SIZE])
{
    entry_t *e = table_find(t, key);
    uint32_t *link, i;

    if (e != NULL) {
        list_take(t, e);
        list_put(t, e);
        return e;
    }

    if (t->used < t->size) {
        i = t->used++;
        e = &t->entry[i];

    } else {
        i = t->oldest;
        e = &t->entry[i];
        list_take(t, e);
        for (link = table_bucket(t, e->key); *link != i;
             link = &t->entry[*link].next) {
        }
        *link = e->next;
    }

    memset(e, 0, sizeof(*e));
    memcpy(e->key, key, KEY_SIZE);
    link = table_bucket(t, key);
    e->next = *link;
    *link = i;
    list_put(t, e);

    return e;
}


/* ---- who and where ---- */

int
amld_backoff_same_address(const char *a, const char *b)
{
    uint8_t one[AMLD_ADDRESS_SIZE], other[AMLD_ADDRESS_SIZE];
    size_t n = amld_address(a, one);

    return n == amld_address(b, other) && memcmp(one, other, n) == 0;
}


static void
key_of(const amld_backoff_t *b, const amld_attempt_t *a, unsigned by,
       uint8_t key[KEY_SIZE])
{
    uint8_t text[sizeof(b->secret) + 1 + KIND_MAX + ACCOUNT_MAX +
                 AMLD_ADDRESS_SIZE];
    size_t n, i, end;
    uint8_t hash[32];

    /* each part has its place, so that none runs into the next; of names that
     * are too long to be one, the beginning will do */
    memset(text, 0, sizeof(text));
    memcpy(text, b->secret, sizeof(b->secret));
    n = sizeof(b->secret);
    text[n++] = (uint8_t) by;
    memcpy(text + n, a->kind, strnlen(a->kind, KIND_MAX));
    n += KIND_MAX;

    if (by != BY_ADDRESS && a->account != NULL) {
        end = strnlen(a->account, ACCOUNT_MAX);
        for (i = 0; i < end; i++) {
            text[n + i] = (uint8_t) tolower((unsigned char) a->account[i]);
        }
    }
    n += ACCOUNT_MAX;

    if (by != BY_ACCOUNT) {
        n += amld_address(a->address, text + n);
    }

    (void) SHA256(text, n, hash);
    memcpy(key, hash, KEY_SIZE);
}


/* ---- how long to wait ---- */

/* What is not forgotten yet. */
static uint32_t
wrong_of(const amld_backoff_t *b, const entry_t *e, int64_t now)
{
    int64_t quiet = (now - e->last) / ((int64_t) b->limits.most * SECOND);

    return quiet >= e->wrong ? 0
                             : e->wrong - (uint32_t) (quiet > 0 ? quiet : 0);
}


static unsigned
free_of(const amld_backoff_t *b, unsigned by)
{
    return by == BY_ADDRESS ? b->limits.address : b->limits.account;
}


/* Seconds, rounded up. */
static unsigned
wait_of(const amld_backoff_t *b, const entry_t *e, unsigned by, int64_t now)
{
    uint32_t wrong = wrong_of(b, e, now);
    unsigned i, free = free_of(b, by);
    int64_t wait = b->limits.first;

    /* an address may be a lecture hall's, and a known pair a program's */
    if (wrong == 0 && by != BY_ACCOUNT) {
        return 0;
    }

    if (wrong < free) {
        return wrong + e->trying < free ? 0 : b->limits.first;
    }

    for (i = free; i < wrong && wait < b->limits.most; i++) {
        wait *= 2;
    }
    if (wait > b->limits.most) {
        wait = b->limits.most;
    }

    wait = e->last + wait * SECOND - now;
    if (wait > 0) {
        return (unsigned) ((wait + SECOND - 1) / SECOND);
    }

    return e->trying > 0 ? b->limits.first : 0;
}


/* What counts against an attempt: of a known pair, only that itself. */
static int
counts(const amld_attempt_t *a, int known, unsigned by)
{
    if (a->account == NULL) {
        return by == BY_ADDRESS;
    }

    return known ? by == BY_PAIR : by != BY_PAIR;
}


unsigned
amld_backoff_begin(amld_backoff_t *b, amld_attempt_t *a)
{
    entry_t *e[BY_COUNT] = {NULL};
    uint8_t key[KEY_SIZE];
    unsigned by, more, wait = 0;
    int known;

    a->counted = 0;

    pthread_mutex_lock(&b->mutex);

    key_of(b, a, BY_PAIR, key);
    known = table_find(&b->known, key) != NULL;

    for (by = 0; by < BY_COUNT; by++) {
        if (!counts(a, known, by)) {
            continue;
        }
        key_of(b, a, by, key);
        e[by] = table_find(&b->wrong, key);
        if (e[by] != NULL) {
            more = wait_of(b, e[by], by, a->now);
            wait = more > wait ? more : wait;
        }
    }

    /* none that was refused makes one: it would take another's place */
    if (wait == 0 && e[BY_ACCOUNT] == NULL && counts(a, known, BY_ACCOUNT)) {
        key_of(b, a, BY_ACCOUNT, key);
        e[BY_ACCOUNT] = table_touch(&b->wrong, key);
        key_of(b, a, BY_ADDRESS, key);
        e[BY_ADDRESS] = table_find(&b->wrong, key);
    }

    for (by = 0; by < BY_COUNT && wait == 0; by++) {
        if (e[by] != NULL) {
            e[by]->trying++;
            a->counted |= 1u << by;
        }
    }

    pthread_mutex_unlock(&b->mutex);

    return wait;
}


/* ---- what came of it ---- */

static entry_t *
went_wrong(amld_backoff_t *b, const uint8_t key[KEY_SIZE], int64_t now)
{
    entry_t *e = table_touch(&b->wrong, key);

    e->wrong = wrong_of(b, e, now) + 1;
    e->shared = e->shared < e->wrong ? e->shared : e->wrong - 1;
    e->last = now;

    return e;
}


/* Takes `n` back. */
static void
forgive(amld_backoff_t *b, const uint8_t key[KEY_SIZE], uint32_t n)
{
    entry_t *e = table_find(&b->wrong, key);

    if (e != NULL) {
        e->wrong = e->wrong > n ? e->wrong - n : 0;
    }
}


void
amld_backoff_end(amld_backoff_t *b, amld_attempt_t *a, amld_attempt_end_t end)
{
    uint8_t key[BY_COUNT][KEY_SIZE];
    uint32_t wrong;
    unsigned by;
    entry_t *e;
    int known;

    pthread_mutex_lock(&b->mutex);

    for (by = 0; by < BY_COUNT; by++) {
        key_of(b, a, by, key[by]);
        e = table_find(&b->wrong, key[by]);
        if ((a->counted & 1u << by) && e != NULL && e->trying > 0) {
            e->trying--;
        }
    }

    known = table_find(&b->known, key[BY_PAIR]) != NULL;

    if (a->account == NULL) {
        if (end == AMLD_ATTEMPT_WRONG) {
            (void) went_wrong(b, key[BY_ADDRESS], a->now);
        }

    } else if (end == AMLD_ATTEMPT_WRONG) {
        went_wrong(b, key[BY_PAIR], a->now)->shared += !known;
        if (!known) {
            (void) went_wrong(b, key[BY_ACCOUNT], a->now);
            (void) went_wrong(b, key[BY_ADDRESS], a->now);
        }

    } else if (end == AMLD_ATTEMPT_RIGHT) {
        e = table_find(&b->wrong, key[BY_PAIR]);
        if (e != NULL) {
            wrong = wrong_of(b, e, a->now);
            wrong = wrong < e->shared ? wrong : e->shared;
            forgive(b, key[BY_ACCOUNT], wrong);
            forgive(b, key[BY_ADDRESS], wrong);
            e->wrong = e->shared = 0;
        }
        (void) table_touch(&b->known, key[BY_PAIR]);
    }

    pthread_mutex_unlock(&b->mutex);
}


int
amld_backoff_known(amld_backoff_t *b, const amld_attempt_t *a)
{
    uint8_t key[KEY_SIZE];
    int known;

    key_of(b, a, BY_PAIR, key);

    pthread_mutex_lock(&b->mutex);
    known = table_find(&b->known, key) != NULL;
    pthread_mutex_unlock(&b->mutex);

    return known;
}


void
amld_backoff_know(amld_backoff_t *b, const amld_attempt_t *a)
{
    uint8_t key[KEY_SIZE];

    key_of(b, a, BY_PAIR, key);

    pthread_mutex_lock(&b->mutex);
    (void) table_touch(&b->known, key);
    pthread_mutex_unlock(&b->mutex);
}


int64_t
amld_backoff_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}


/* ---- start and end ---- */

amld_backoff_t *
amld_backoff_new(const amld_backoff_limits_t *limits)
{
    amld_backoff_t *b;

    b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }

    b->limits = *limits;
    pthread_mutex_init(&b->mutex, NULL);

    if (table_init(&b->wrong, limits->entries) != 0 ||
        table_init(&b->known, limits->entries) != 0 ||
        RAND_bytes(b->secret, sizeof(b->secret)) != 1) {
        amld_backoff_free(b);
        return NULL;
    }

    return b;
}


void
amld_backoff_free(amld_backoff_t *b)
{
    if (b == NULL) {
        return;
    }

    free(b->wrong.entry);
    free(b->wrong.bucket);
    free(b->known.entry);
    free(b->known.bucket);
    pthread_mutex_destroy(&b->mutex);
    free(b);
}
