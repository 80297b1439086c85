/*
 * The registry on one machine: transactions on one LMDB environment with one
 * unnamed database.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "registry/changes.h"
#include "registry/internal.h"

#define AML_REGISTRY_TRIES 4
#define AML_REGISTRY_MAP_WAIT 10 /* seconds */

/*
 * Pages that a put or del takes beside its value: every page on its way down,
 * once a transaction, and what a split makes at each level, which is less than
 * two on average.  And room for LMDB's list of free pages.
 */
#define AML_REGISTRY_OP_MOST 32
#define AML_REGISTRY_OP_SPLIT 4
#define AML_REGISTRY_SLACK (1024 * 1024)


const char *
aml_registry_strerror(aml_registry_rc_t rc)
{
    switch (rc) {
    case AML_REGISTRY_OK:
        return "no error";
    case AML_REGISTRY_NOTFOUND:
        return "no such key in the registry";
    case AML_REGISTRY_MISSING:
        return "there is no registry at that path";
    case AML_REGISTRY_NEWER:
        return "the registry was written by a newer release";
    case AML_REGISTRY_CORRUPT:
        return "the registry is damaged, or is not a registry";
    case AML_REGISTRY_DENIED:
        return "the registry's file permissions do not allow it";
    case AML_REGISTRY_BUSY:
        return "the registry has no free reader slot";
    case AML_REGISTRY_FULL:
        return "the registry's disk is full: make room on it";
    case AML_REGISTRY_LIMIT:
        return "the registry is as large as it may get: raise registry_size "
               "and restart amld";
    case AML_REGISTRY_TOOLONG:
        return "the key is too long for the registry";
    case AML_REGISTRY_FAILED:
        break;
    }

    return "the registry failed";
}


aml_registry_rc_t
aml_registry_translate(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return AML_REGISTRY_OK;
    case MDB_NOTFOUND:
        return AML_REGISTRY_NOTFOUND;
    case ENOENT:
    case ENOTDIR:
        return AML_REGISTRY_MISSING;
    case EACCES:
    case EPERM:
    case EROFS:
        return AML_REGISTRY_DENIED;
    case MDB_READERS_FULL:
        return AML_REGISTRY_BUSY;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return AML_REGISTRY_LIMIT;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return AML_REGISTRY_FULL;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
        return AML_REGISTRY_CORRUPT;
    default:
        errno = rc > 0 ? rc : EIO;
        return AML_REGISTRY_FAILED;
    }
}


/* Plain decimal; 0 and the number, or -1. */
static int
parse_number(const void *text, size_t n, uint64_t *number)
{
    const char *p = text, *end = p + n;
    uint64_t v = 0;

    if (n == 0 || n > 19 || *p == '0') {
        return -1;
    }

    for (; p < end; p++) {
        if (*p < '0' || *p > '9') {
            return -1;
        }
        v = v * 10 + (uint64_t) (*p - '0');
    }

    *number = v;
    return 0;
}


aml_registry_rc_t
aml_registry_format_check(MDB_txn *txn, MDB_dbi dbi)
{
    int rc;
    uint64_t format;
    MDB_val k, v;
    MDB_stat st;

    k.mv_data = (void *) AML_REGISTRY_FORMAT_KEY;
    k.mv_size = sizeof(AML_REGISTRY_FORMAT_KEY) - 1;

    rc = mdb_get(txn, dbi, &k, &v);

    if (rc == MDB_NOTFOUND) {
        rc = mdb_stat(txn, dbi, &st);
        if (rc == MDB_SUCCESS) {
            /* empty: made, but not finished; else something else's */
            return st.ms_entries == 0 ? AML_REGISTRY_MISSING
                                      : AML_REGISTRY_CORRUPT;
        }
    }

    if (rc != MDB_SUCCESS) {
        return aml_registry_translate(rc);
    }

    if (parse_number(v.mv_data, v.mv_size, &format) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    return format > AML_REGISTRY_FORMAT ? AML_REGISTRY_NEWER : AML_REGISTRY_OK;
}


/* 0 more: as large as another process has made it. */
static aml_registry_rc_t
map_adopt(aml_registry_t *reg, size_t more)
{
    int rc;
    MDB_envinfo info;
    struct timespec until;

    if (reg->writer) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += AML_REGISTRY_MAP_WAIT;

        /* times out when this very thread still has another snapshot */
        rc = pthread_rwlock_timedwrlock(&reg->map_lock, &until);
        if (rc != 0) {
            return aml_registry_translate(rc);
        }
    }

    (void) mdb_env_info(reg->env, &info);
    rc = reg->broken ? EIO
                     : mdb_env_set_mapsize(
                           reg->env, more > 0 ? info.me_mapsize + more : 0);

    /* LMDB has unmapped the old one and would follow its pointers */
    if (rc != MDB_SUCCESS) {
        reg->broken = 1;
    }

    if (reg->writer) {
        pthread_rwlock_unlock(&reg->map_lock);
    }

    return rc == MDB_SUCCESS ? AML_REGISTRY_OK : aml_registry_translate(rc);
}


aml_registry_rc_t
aml_registry_enlarge(aml_registry_t *reg, size_t more)
{
    return map_adopt(reg, more);
}


aml_registry_rc_t
aml_registry_txn_start(aml_registry_t *reg, unsigned flags, MDB_txn **txn)
{
    int rc;
    unsigned tries;
    aml_registry_rc_t adopted;

    for (tries = 0;; tries++) {
        if (reg->writer) {
            rc = pthread_rwlock_rdlock(&reg->map_lock);
            if (rc != 0) {
                return aml_registry_translate(rc);
            }
        }

        rc = reg->broken    ? EIO
             : *txn != NULL ? mdb_txn_renew(*txn)
                            : mdb_txn_begin(reg->env, NULL, flags, txn);

        if (rc == MDB_SUCCESS) {
            return AML_REGISTRY_OK;
        }

        if (reg->writer) {
            pthread_rwlock_unlock(&reg->map_lock);
        }

        if (tries == AML_REGISTRY_TRIES) {
            return aml_registry_translate(rc);
        }

        if (rc == MDB_MAP_RESIZED) {
            adopted = map_adopt(reg, 0);
            if (adopted != AML_REGISTRY_OK) {
                return adopted;
            }

        } else if (rc == MDB_READERS_FULL && tries == 0) {
            (void) aml_registry_check_readers(reg);

        } else {
            return aml_registry_translate(rc);
        }
    }
}


/*
 * The file must never end before a page that a commit counts as used: readers
 * take that for a file cut short.  LMDB alone does not see to it, as it never
 * writes pages that a transaction takes and gives back.  So the file is made
 * long enough for the most that the transaction may take; it has the writers'
 * lock, so that nobody else changes the size.
 */
static aml_registry_rc_t
reserve(aml_registry_txn_t *txn)
{
    int fd;
    off_t bound, most;
    size_t pages, split;
    MDB_envinfo info;

    pages = txn->ops * AML_REGISTRY_OP_MOST;
    split = txn->tree + AML_REGISTRY_OP_MOST + txn->ops * AML_REGISTRY_OP_SPLIT;
    if (pages > split) {
        pages = split;
    }

    bound = txn->base + (off_t) (txn->values + pages * txn->reg->page);
    if (bound <= txn->size) {
        return AML_REGISTRY_OK;
    }

    (void) mdb_env_info(txn->reg->env, &info);
    most = (off_t) info.me_mapsize;
    if (txn->size >= most) {
        return AML_REGISTRY_OK;
    }

    bound += AML_REGISTRY_SLACK;
    bound -= bound % (off_t) txn->reg->page;
    txn->size = bound < most ? bound : most;

    (void) mdb_env_get_fd(txn->reg->env, &fd);

    return ftruncate(fd, txn->size) == 0 ? AML_REGISTRY_OK
                                         : aml_registry_translate(errno);
}


static aml_registry_rc_t
reserve_op(aml_registry_txn_t *txn, size_t value)
{
    txn->ops++;
    txn->values += value;

    return reserve(txn);
}


aml_registry_rc_t
aml_registry_reserve_begin(aml_registry_txn_t *txn)
{
    int fd, rc;
    MDB_stat tree;
    struct stat st;
    MDB_envinfo info;

    (void) mdb_env_get_fd(txn->reg->env, &fd);
    (void) mdb_env_info(txn->reg->env, &info);

    rc = mdb_stat(txn->txn, txn->reg->dbi, &tree);
    if (rc != MDB_SUCCESS) {
        return aml_registry_translate(rc);
    }

    if (fstat(fd, &st) != 0) {
        return aml_registry_translate(errno);
    }

    txn->size = st.st_size;
    txn->base =
        (off_t) ((info.me_last_pgno + 1) * txn->reg->page) + AML_REGISTRY_SLACK;
    txn->tree = tree.ms_branch_pages + tree.ms_leaf_pages;

    return reserve(txn);
}


static aml_registry_rc_t
txn_new(aml_registry_t *reg, int writes, aml_registry_txn_t **out)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    txn = calloc(1, sizeof(*txn));
    if (txn == NULL) {
        return aml_registry_translate(ENOMEM);
    }

    rc = aml_registry_txn_start(reg, writes ? 0 : MDB_RDONLY, &txn->txn);
    if (rc != AML_REGISTRY_OK) {
        free(txn);
        return rc;
    }

    txn->reg = reg;
    txn->writes = writes;

    rc = aml_registry_format_check(txn->txn, reg->dbi);
    if (rc == AML_REGISTRY_OK && writes) {
        rc = aml_registry_reserve_begin(txn);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn); /* frees it, in another file */
        return rc;             // NOLINT(clang-analyzer-unix.Malloc)
    }

    *out = txn;
    return AML_REGISTRY_OK;
}


aml_registry_rc_t
aml_registry_read(aml_registry_t *reg, aml_registry_txn_t **out)
{
    uint64_t version;
    aml_registry_rc_t rc;

    *out = NULL;

    if (reg->writer) {
        return txn_new(reg, 0, out);
    }

    if (reg->reading) {
        return aml_registry_translate(EINVAL);
    }

    rc = aml_registry_txn_start(reg, MDB_RDONLY, &reg->own.txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    version = mdb_txn_id(reg->own.txn);

    if (version != reg->checked) {
        rc = aml_registry_format_check(reg->own.txn, reg->dbi);
        if (rc != AML_REGISTRY_OK) {
            mdb_txn_reset(reg->own.txn);
            return rc;
        }

        if (reg->cache != NULL &&
            !aml_changes_since(&reg->own, reg->checked, aml_cache_drop,
                               reg->cache)) {
            aml_cache_clear(reg->cache);
        }

        reg->checked = version;
    }

    if (reg->cache != NULL) {
        aml_cache_begin(reg->cache);
    }

    reg->reading = 1;
    *out = &reg->own;

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
aml_registry_write(aml_registry_t *reg, aml_registry_txn_t **out)
{
    *out = NULL;

    if (!reg->writer) {
        return aml_registry_translate(EINVAL);
    }

    return txn_new(reg, 1, out);
}


aml_registry_rc_t
aml_registry_fault(const aml_registry_txn_t *txn)
{
    return txn->writes ? txn->failed : AML_REGISTRY_OK;
}


aml_registry_rc_t
aml_registry_commit(aml_registry_txn_t *txn)
{
    int rc;
    aml_registry_rc_t failed;

    failed = txn->writes ? txn->failed : aml_registry_translate(EINVAL);

    if (failed != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return failed;
    }

    if (txn->changed) {
        failed = aml_changes_write(txn);
        if (failed != AML_REGISTRY_OK) {
            aml_registry_end(txn);
            return failed;
        }
    }

    rc = mdb_txn_commit(txn->txn);
    pthread_rwlock_unlock(&txn->reg->map_lock);
    free(txn);

    return aml_registry_translate(rc);
}


void
aml_registry_end(aml_registry_txn_t *txn)
{
    if (txn == NULL) {
        return;
    }

    if (!txn->reg->writer) {
        mdb_txn_reset(txn->txn);
        txn->watch = NULL;
        txn->reg->reading = 0;
        return;
    }

    mdb_txn_abort(txn->txn);
    pthread_rwlock_unlock(&txn->reg->map_lock);
    free(txn);
}


uint64_t
aml_registry_version(const aml_registry_txn_t *txn)
{
    return mdb_txn_id(txn->txn);
}


aml_registry_rc_t
aml_registry_get(aml_registry_txn_t *txn, const void *key, size_t klen,
                 aml_str_t *value)
{
    int rc;
    MDB_val k, v;
    uint64_t hash = 0;

    if (klen > AML_REGISTRY_KEY_MAX) {
        return AML_REGISTRY_TOOLONG;
    }

    if (klen == 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    if ((txn->reg->cache != NULL || txn->watch != NULL) &&
        aml_changes_hot(key, klen)) {
        hash = aml_changes_hash(key, klen);
    }

    if (txn->watch != NULL) {
        aml_watch_note(txn->watch, hash);
    }

    if (txn->reg->cache == NULL) {
        hash = 0;

    } else if (hash != 0) {

        if (aml_cache_get(txn->reg->cache, hash, (aml_str_t){key, klen},
                          value)) {
            return AML_REGISTRY_OK;
        }
    }

    k.mv_data = (void *) key;
    k.mv_size = klen;

    rc = mdb_get(txn->txn, txn->reg->dbi, &k, &v);
    if (rc != MDB_SUCCESS) {
        return aml_registry_translate(rc);
    }

    value->p = v.mv_data;
    value->n = v.mv_size;

    if (hash != 0) {
        aml_cache_put(txn->reg->cache, hash, (aml_str_t){key, klen}, *value);
    }

    return AML_REGISTRY_OK;
}


void
aml_registry_prefetch(aml_registry_txn_t *txn, const void *key, size_t klen)
{
    if (txn->reg->cache != NULL && klen != 0) {
        aml_cache_prefetch(txn->reg->cache, aml_changes_hash(key, klen));
    }
}


static aml_registry_rc_t
wrote(aml_registry_txn_t *txn, aml_registry_rc_t rc)
{
    if (rc != AML_REGISTRY_OK && txn->failed == AML_REGISTRY_OK) {
        txn->failed = rc;
    }

    return rc;
}


aml_registry_rc_t
aml_registry_put(aml_registry_txn_t *txn, const void *key, size_t klen,
                 const void *value, size_t vlen)
{
    MDB_val k, v;
    aml_registry_rc_t rc;

    if (klen > AML_REGISTRY_KEY_MAX) {
        return AML_REGISTRY_TOOLONG;
    }

    if (!txn->writes || klen == 0) {
        return wrote(txn, aml_registry_translate(EINVAL));
    }

    rc = reserve_op(txn, vlen);
    if (rc != AML_REGISTRY_OK) {
        return wrote(txn, rc);
    }

    k.mv_data = (void *) key;
    k.mv_size = klen;
    v.mv_data = (void *) value;
    v.mv_size = vlen;

    rc = aml_registry_translate(mdb_put(txn->txn, txn->reg->dbi, &k, &v, 0));
    if (rc == AML_REGISTRY_OK) {
        aml_changes_note(txn, key, klen);
    }

    return wrote(txn, rc);
}


aml_registry_rc_t
aml_registry_del(aml_registry_txn_t *txn, const void *key, size_t klen)
{
    int rc;
    MDB_val k;
    aml_registry_rc_t answer;

    if (klen > AML_REGISTRY_KEY_MAX) {
        return AML_REGISTRY_TOOLONG;
    }

    if (!txn->writes) {
        return aml_registry_translate(EINVAL);
    }

    if (klen == 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    answer = reserve_op(txn, 0);
    if (answer != AML_REGISTRY_OK) {
        return wrote(txn, answer);
    }

    k.mv_data = (void *) key;
    k.mv_size = klen;

    rc = mdb_del(txn->txn, txn->reg->dbi, &k, NULL);
    if (rc == MDB_NOTFOUND) {
        return AML_REGISTRY_NOTFOUND;
    }

    if (rc == MDB_SUCCESS) {
        aml_changes_note(txn, key, klen);
    }

    return wrote(txn, aml_registry_translate(rc));
}


static int
begins_with(aml_str_t s, aml_str_t prefix)
{
    return prefix.n == 0 ||
           (s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0);
}


/* The later of the two, as keys are ordered. */
static aml_str_t
later(aml_str_t a, aml_str_t b)
{
    int c;
    size_t n;

    n = a.n < b.n ? a.n : b.n;
    c = n != 0 ? memcmp(a.p, b.p, n) : 0;

    if (c == 0) {
        return a.n < b.n ? b : a;
    }

    return c < 0 ? b : a;
}


aml_registry_rc_t
aml_registry_each(aml_registry_txn_t *txn, aml_str_t prefix, aml_str_t from,
                  aml_registry_each_pt each, void *data)
{
    int rc;
    MDB_val k, v;
    aml_str_t key, start;
    MDB_cursor *cursor;

    start = later(prefix, from);
    if (start.n > AML_REGISTRY_KEY_MAX) {
        return AML_REGISTRY_TOOLONG;
    }

    if (txn->watch != NULL) {
        aml_watch_note(txn->watch, 0);
    }

    rc = mdb_cursor_open(txn->txn, txn->reg->dbi, &cursor);
    if (rc != MDB_SUCCESS) {
        return aml_registry_translate(rc);
    }

    k.mv_data = (void *) start.p;
    k.mv_size = start.n;

    rc = mdb_cursor_get(cursor, &k, &v,
                        start.n != 0 ? MDB_SET_RANGE : MDB_FIRST);

    while (rc == MDB_SUCCESS) {
        key = (aml_str_t){k.mv_data, k.mv_size};

        if (!begins_with(key, prefix)) {
            break;
        }

        if (begins_with(key, aml_str(AML_CHANGES_KEY))) {
            k.mv_data = (void *) AML_CHANGES_BEHIND;
            k.mv_size = sizeof(AML_CHANGES_BEHIND) - 1;
            rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
            continue;
        }

        if (each(data, key, (aml_str_t){v.mv_data, v.mv_size}) != 0) {
            break;
        }

        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }

    mdb_cursor_close(cursor);

    return rc == MDB_NOTFOUND ? AML_REGISTRY_OK : aml_registry_translate(rc);
}


uint64_t
aml_registry_key_generation(aml_registry_txn_t *txn)
{
    uint64_t generation, version;
    aml_str_t v = {NULL, 0};
    aml_registry_t *reg = txn->reg;

    version = aml_registry_version(txn);

    if (txn->watch != NULL) {
        aml_watch_note(txn->watch, 0);
    }

    if (!reg->writer && version == reg->keys_at) {
        return reg->keys;
    }

    if (aml_registry_get(txn, AML_REGISTRY_KEYS_KEY,
                         sizeof(AML_REGISTRY_KEYS_KEY) - 1,
                         &v) != AML_REGISTRY_OK ||
        parse_number(v.p, v.n, &generation) != 0) {
        generation = 0;
    }

    if (!reg->writer) {
        reg->keys = generation;
        reg->keys_at = version;
    }

    return generation;
}


aml_registry_rc_t
aml_registry_touch_keys(aml_registry_txn_t *txn)
{
    int n;
    char text[24];
    uint64_t generation;
    aml_str_t v = {NULL, 0};
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, AML_REGISTRY_KEYS_KEY,
                          sizeof(AML_REGISTRY_KEYS_KEY) - 1, &v);

    if (rc == AML_REGISTRY_NOTFOUND) {
        generation = 0;

    } else if (rc != AML_REGISTRY_OK) {
        return wrote(txn, rc);

    } else if (parse_number(v.p, v.n, &generation) != 0) {
        /* starting again at 1 would make old verdicts look current */
        return wrote(txn, AML_REGISTRY_CORRUPT);
    }

    n = snprintf(text, sizeof(text), "%llu",
                 (unsigned long long) generation + 1);

    return aml_registry_put(txn, AML_REGISTRY_KEYS_KEY,
                            sizeof(AML_REGISTRY_KEYS_KEY) - 1, text,
                            (size_t) n);
}
