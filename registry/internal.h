/*
 * What the files of the registry share: open.c makes and closes handles,
 * registry.c has transactions, lmdb_file.c looks at files before LMDB does.
 */

#ifndef AML_REGISTRY_INTERNAL_H
#define AML_REGISTRY_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>

#include "registry/cache.h"
#include "registry/registry.h"

#define AML_REGISTRY_FORMAT_KEY "meta/format"
#define AML_REGISTRY_KEYS_KEY "meta/keys"

#define AML_CHANGES_MAX 60 /* keys that one commit tells of */


struct aml_registry_txn {
    aml_registry_t *reg;
    MDB_txn *txn;
    aml_registry_rc_t failed; /* of the first write that failed */
    int writes;
    off_t size;    /* of data.mdb */
    off_t base;    /* no page that is taken without a put or del lies beyond */
    size_t tree;   /* pages of the tree when it began */
    size_t ops;    /* puts and dels so far */
    size_t values; /* bytes that were put */
    int changed;   /* something was put or deleted; see changes.h */
    size_t noted;  /* hashes; over AML_CHANGES_MAX: too many to keep */
    uint8_t hashes[AML_CHANGES_MAX * sizeof(uint64_t)];
    aml_registry_watch_t *watch; /* NULL: nobody does */
};

struct aml_registry {
    MDB_env *env;
    MDB_dbi dbi;
    char *data_path;
    char *lock_path;
    size_t page;
    dev_t data_dev, lock_dev;
    ino_t data_ino, lock_ino;
    int writer;
    int locks;  /* map_lock is made */
    int broken; /* the map is lost; under map_lock on a writer handle */

    /* reader handles */
    aml_registry_txn_t own;
    uint64_t checked;   /* the version whose format was looked at, and which
                         * the cache has followed */
    aml_cache_t *cache; /* NULL: none */
    uint64_t keys;      /* generation of the keys at version keys_at */
    uint64_t keys_at;
    int reading;

    /* Writer handles: held for reading by every transaction, for writing by
     * who changes the map, which LMDB allows without transactions only. */
    pthread_rwlock_t map_lock;
};


/* Of LMDB's and errno's numbers; FAILED leaves the number in errno. */
aml_registry_rc_t aml_registry_translate(int rc);

/*
 * Is `path` a file that LMDB can be given: whole, with a sane header?  OK,
 * MISSING (none, or empty), CORRUPT, DENIED or FAILED.
 */
aml_registry_rc_t aml_registry_data_check(const char *path);

/*
 * Begins, or renews `*txn` where there is one, and sets right what can be.
 * On a writer handle map_lock is held for reading when it answers OK.
 */
aml_registry_rc_t
aml_registry_txn_start(aml_registry_t *reg, unsigned flags, MDB_txn **txn);

/* Of a key that was asked for; 0 when commits do not tell of its kind. */
void aml_watch_note(aml_registry_watch_t *watch, uint64_t hash);

/* OK, NEWER, CORRUPT, or MISSING when there is nothing in it at all. */
aml_registry_rc_t aml_registry_format_check(MDB_txn *txn, MDB_dbi dbi);

/* For a write transaction that has just begun. */
aml_registry_rc_t aml_registry_reserve_begin(aml_registry_txn_t *txn);

#endif /* AML_REGISTRY_INTERNAL_H */
