/*
 * The record cache and the ring of changes that it follows: what a reader is
 * answered is what the snapshot holds, always.
 */

#include "t/unit/registry_place.h"

#include "registry/changes.h"

#define KEYS 60
#define ROUNDS 400

static const char *const families[] = {"session", "principal", "route", "key",
                                       "issuer",  "compute",   "role"};


static size_t
key_of(unsigned i, char key[40])
{
    return (size_t) snprintf(key, 40, "%s/%u/%04x", families[i % 7], i,
                             i * 2654435761u >> 16);
}


/* ---- a reader beside a writer ---- */

/* 1 when the cache answered, 0 when the store did; ends the child when the two
 * differ. */
static int
same_as_store(aml_registry_txn_t *txn, unsigned i, aml_str_t *value)
{
    char key[40];
    size_t n = key_of(i, key);
    MDB_val k = {n, key}, v;
    aml_registry_rc_t rc = aml_registry_get(txn, key, n, value);
    int raw = mdb_get(txn->txn, txn->reg->dbi, &k, &v);

    if ((rc == AML_REGISTRY_OK) != (raw == 0)) {
        _exit(10);
    }
    if (raw != 0) {
        *value = aml_str("");
        return 0;
    }
    if (value->n != v.mv_size || memcmp(value->p, v.mv_data, v.mv_size) != 0) {
        _exit(11);
    }

    return value->p != v.mv_data;
}


static void
run_reader(const place_t *p, int in, int out)
{
    int round, j, hits = 0, far = 0;
    unsigned i;
    char copies[24][512];
    aml_str_t held[24];
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    if (aml_registry_open_reader(p->dir, &reg) != AML_REGISTRY_OK ||
        aml_registry_cache(reg, 32) != AML_REGISTRY_OK ||
        aml_registry_cache(reg, 32) != AML_REGISTRY_FAILED) {
        _exit(1);
    }

    for (round = 0; round < ROUNDS; round++) {
        next(in);
        if (aml_registry_read(reg, &txn) != AML_REGISTRY_OK) {
            _exit(2);
        }
        for (j = 0; j < 24; j++) {
            i = (unsigned) rand() % KEYS;
            if (same_as_store(txn, i, &held[j])) {
                hits++;
            } else {
                far++;
            }
            memcpy(copies[j], held[j].p, held[j].n);
        }
        /* values last as long as the snapshot, whatever came after them */
        for (j = 0; j < 24; j++) {
            if (memcmp(copies[j], held[j].p, held[j].n) != 0) {
                _exit(3);
            }
        }
        aml_registry_end(txn);
        say(out, 0);
    }

    say(out, hits);
    say(out, far);
    aml_registry_close(reg);
}


/* Some records are too long for the cache, or become so. */
static void
change(aml_registry_txn_t *txn, unsigned i, int round)
{
    char key[40], value[400];
    size_t n = key_of(i, key), len = rand() % 4 == 0 ? 300 : 60;

    if (rand() % 4 == 0) {
        (void) aml_registry_del(txn, key, n);
        return;
    }

    memset(value, 'a' + rand() % 26, sizeof(value));
    snprintf(value, sizeof(value), "%d of %u", round, i);
    assert_int_equal(aml_registry_put(txn, key, n, value, len),
                     AML_REGISTRY_OK);
}


static void
test_same_as_store(void **state)
{
    int round, commits, keys, hits, far;
    child_t c;
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;

    srand(20);
    child_start(&c, *state, run_reader);

    for (round = 0; round < ROUNDS; round++) {
        /* mostly none or one; more than the ring has; more keys than it has */
        commits = round % 50 == 49 ? AML_CHANGES_RING + 90 : rand() % 3;
        while (commits-- > 0) {
            assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
            keys = round % 20 == 19 ? 2 * AML_CHANGES_MAX : 1 + rand() % 3;
            while (keys-- > 0) {
                change(txn, (unsigned) rand() % KEYS, round);
            }
            if (rand() % 8 == 0) {
                aml_registry_end(txn);
            } else {
                assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
            }
        }
        go(&c);
        assert_int_equal(hear(&c), 0);
    }

    hits = hear(&c);
    far = hear(&c);
    assert_true(hits > 500);
    assert_true(far > 500);
    assert_int_equal(child_end(&c), 0);
    aml_registry_close(reg);
}


/* ---- the ring ---- */

typedef struct {
    uint64_t hashes[256];
    size_t count;
} seen_t;


static void
see(void *data, uint64_t hash)
{
    seen_t *seen = data;

    assert_true(seen->count < 256);
    seen->hashes[seen->count++] = hash;
}


static uint64_t
hash_of(const char *key)
{
    return aml_changes_hash(key, strlen(key));
}


static int
since(aml_registry_t *reg, uint64_t version, seen_t *seen)
{
    int known;
    aml_registry_txn_t *txn;
    aml_registry_changes_t changes;

    memset(seen, 0, sizeof(*seen));
    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    known = aml_changes_since(txn, version, see, seen);
    aml_registry_changes(txn, version, &changes);
    assert_int_equal(changes.count > AML_REGISTRY_CHANGES,
                     !known || seen->count > AML_REGISTRY_CHANGES);
    if (changes.count <= AML_REGISTRY_CHANGES) {
        assert_int_equal(changes.count, seen->count);
        assert_memory_equal(changes.keys, seen->hashes,
                            seen->count * sizeof(seen->hashes[0]));
    }
    aml_registry_end(txn);

    return known;
}


static uint64_t
version_of(aml_registry_t *reg)
{
    uint64_t version;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    version = aml_registry_version(txn);
    aml_registry_end(txn);

    return version;
}


static void
test_ring(void **state)
{
    int i;
    char key[40];
    seen_t seen;
    uint64_t at;
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;

    at = version_of(reg);
    assert_int_equal(since(reg, at, &seen), 1);
    assert_int_equal(seen.count, 0);

    /* what is no record of the hot path is a commit without keys */
    assert_int_equal(put(reg, "session/a", "1"), AML_REGISTRY_OK);
    assert_int_equal(put(reg, "compute/w/a", "1"), AML_REGISTRY_OK);
    assert_int_equal(put(reg, "route/b/8888", "1"), AML_REGISTRY_OK);
    assert_int_equal(version_of(reg), at + 3);
    assert_int_equal(since(reg, at, &seen), 1);
    assert_int_equal(seen.count, 2);
    assert_true(seen.hashes[0] == hash_of("session/a"));
    assert_true(seen.hashes[1] == hash_of("route/b/8888"));
    assert_int_equal(since(reg, at + 1, &seen), 1);
    assert_int_equal(seen.count, 1);

    /* a deletion is a change; one of nothing is none, and no commit */
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_del(txn, "session/a", 9), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_del(txn, "session/a", 9),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(version_of(reg), at + 4);
    assert_int_equal(since(reg, at + 3, &seen), 1);
    assert_int_equal(seen.count, 1);

    /* as many keys as fit, and one more */
    for (i = 0; i < 2; i++) {
        assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
        for (int j = 0; j < AML_CHANGES_MAX + i; j++) {
            snprintf(key, sizeof(key), "session/%d", j);
            assert_int_equal(aml_registry_put(txn, key, strlen(key), "x", 1),
                             AML_REGISTRY_OK);
        }
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
        assert_int_equal(since(reg, at + 4 + (uint64_t) i, &seen), i == 0);
    }

    /* from the future, and from longer ago than the ring goes */
    at = version_of(reg);
    assert_int_equal(since(reg, at + 1, &seen), 0);
    for (i = 0; i < AML_CHANGES_RING; i++) {
        assert_int_equal(put(reg, "compute/w/a", "1"), AML_REGISTRY_OK);
    }
    assert_int_equal(since(reg, at, &seen), 1);
    assert_int_equal(since(reg, at - 1, &seen), 0);

    aml_registry_close(reg);
}


/* A release that knows no ring commits in between; entries that are none. */
static void
test_foreign_commits(void **state)
{
    size_t i;
    char key[40];
    seen_t seen;
    uint64_t at;
    aml_registry_t *reg = writer(*state);
    MDB_txn *txn;
    MDB_val k = {9, (void *) "session/a"}, v = {1, (void *) "x"};
    static const char entries[][11] = {"", "x", "\1\0\0\0\0\0\0\0\0",
                                       "\1\0\0\0\0\0\0\0\1\0"};

    assert_int_equal(put(reg, "session/a", "1"), AML_REGISTRY_OK);
    at = version_of(reg);

    assert_int_equal(mdb_txn_begin(reg->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, reg->dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(since(reg, at, &seen), 0);

    assert_int_equal(put(reg, "session/a", "2"), AML_REGISTRY_OK);
    assert_int_equal(since(reg, at, &seen), 0);
    assert_int_equal(since(reg, at + 1, &seen), 1);

    for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        at = version_of(reg);
        k.mv_data = key;
        k.mv_size = (size_t) snprintf(key, sizeof(key), AML_CHANGES_KEY "%02x",
                                      (unsigned) ((at + 1) % AML_CHANGES_RING));
        v.mv_data = (void *) entries[i];
        v.mv_size = i == 0 ? 0 : i == 1 ? 1 : i == 2 ? 9 : 10;
        assert_int_equal(mdb_txn_begin(reg->env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_put(txn, reg->dbi, &k, &v, 0), 0);
        assert_int_equal(mdb_txn_commit(txn), 0);
        assert_int_equal(since(reg, at, &seen), 0);
        assert_int_equal(seen.count, 0);
    }

    aml_registry_close(reg);
}


/* On disk, so the same for all releases. */
static void
test_hash(void **state)
{
    (void) state;

    assert_true(hash_of("session/a") == 0xc0aded6230ec3fe6u);
    assert_true(hash_of("route/first-lab/8888") == 0x40b4f388c09e8439u);
    assert_true(hash_of("a") != hash_of("b"));
    assert_true(aml_changes_hash("a\0", 2) != aml_changes_hash("a", 1));
    assert_true(aml_changes_hot("route/x/0", 9));
    assert_false(aml_changes_hot("route/", 6));
    assert_false(aml_changes_hot("routes/x", 8));
    assert_false(aml_changes_hot("meta/keys", 9));
    assert_false(aml_changes_hot("", 0));
}


/* ---- the cache alone ---- */

static void
test_cache(void **state)
{
    int i;
    char key[16], big[AML_CACHE_RECORD];
    aml_str_t v, first;
    aml_cache_t *cache = aml_cache_new(1); /* one set */

    (void) state;

    aml_cache_begin(cache);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("a"), &v), 0);
    aml_cache_put(cache, 8, aml_str("a"), aml_str("one"));
    assert_int_equal(aml_cache_get(cache, 8, aml_str("a"), &first), 1);
    assert_true(aml_str_eq(first, aml_str("one")));

    /* the same hash, another key: an attacker who has found one gets nothing */
    assert_int_equal(aml_cache_get(cache, 8, aml_str("b"), &v), 0);
    assert_int_equal(aml_cache_get(cache, 9, aml_str("a"), &v), 0);

    /* a full set, all of this snapshot: nothing gives way */
    for (i = 1; i < 12; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        aml_cache_put(cache, 8, aml_str_of(key), aml_str("x"));
    }
    assert_int_equal(aml_cache_get(cache, 8, aml_str("k7"), &v), 1);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("k8"), &v), 0);
    assert_true(aml_str_eq(first, aml_str("one")));

    /* the next snapshot: the one that was not used for longest does */
    aml_cache_begin(cache);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("a"), &v), 1);
    aml_cache_put(cache, 8, aml_str("k8"), aml_str("y"));
    assert_int_equal(aml_cache_get(cache, 8, aml_str("a"), &v), 1);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("k8"), &v), 1);

    /* what is dropped is gone, with all of its hash */
    aml_cache_drop(cache, 9);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("a"), &v), 1);
    aml_cache_drop(cache, 8);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("a"), &v), 0);
    assert_int_equal(aml_cache_get(cache, 8, aml_str("k8"), &v), 0);

    /* as long as fits, and one more */
    memset(big, 'b', sizeof(big));
    aml_cache_put(cache, 1, (aml_str_t){big, 28},
                  (aml_str_t){big, AML_CACHE_RECORD - 28});
    assert_int_equal(aml_cache_get(cache, 1, (aml_str_t){big, 28}, &v), 1);
    assert_int_equal(v.n, AML_CACHE_RECORD - 28);
    aml_cache_put(cache, 1, (aml_str_t){big, 29},
                  (aml_str_t){big, AML_CACHE_RECORD - 28});
    assert_int_equal(aml_cache_get(cache, 1, (aml_str_t){big, 29}, &v), 0);

    aml_cache_clear(cache);
    assert_int_equal(aml_cache_get(cache, 1, (aml_str_t){big, 28}, &v), 0);

    aml_cache_free(cache);
    aml_cache_free(NULL);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_same_as_store),     TEST(test_ring),
        TEST(test_foreign_commits),   cmocka_unit_test(test_hash),
        cmocka_unit_test(test_cache),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
