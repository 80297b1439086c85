/*
 * Handles of the registry: opening, making, closing, and whether the files
 * are still the same.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/internal.h"


/* The whole database must be ours: text keys, no duplicates. */
static aml_registry_rc_t
database_open(aml_registry_t *reg, MDB_txn *txn)
{
    int rc;
    unsigned flags = 0;
    MDB_stat st;

    rc = mdb_dbi_open(txn, NULL, 0, &reg->dbi);
    if (rc == MDB_SUCCESS) {
        rc = mdb_dbi_flags(txn, reg->dbi, &flags);
    }

    if (rc == MDB_SUCCESS && flags != 0) {
        rc = MDB_INCOMPATIBLE;
    }

    if (rc == MDB_SUCCESS) {
        rc = mdb_env_stat(reg->env, &st);
        reg->page = st.ms_psize;
    }

    return aml_registry_translate(rc);
}


static aml_registry_rc_t
registry_new(const char *dir, int writer, aml_registry_t **out)
{
    int rc;
    size_t n;
    aml_registry_t *reg;

    *out = NULL;
    n = strlen(dir);
    reg = calloc(1, sizeof(*reg));
    if (reg == NULL) {
        return aml_registry_translate(ENOMEM);
    }

    reg->writer = writer;
    reg->data_path = malloc(n + sizeof("/data.mdb"));
    reg->lock_path = malloc(n + sizeof("/lock.mdb"));
    if (reg->data_path == NULL || reg->lock_path == NULL) {
        aml_registry_close(reg);
        return aml_registry_translate(ENOMEM);
    }

    memcpy(reg->data_path, dir, n);
    strcpy(reg->data_path + n, "/data.mdb");
    memcpy(reg->lock_path, dir, n);
    strcpy(reg->lock_path + n, "/lock.mdb");

    if (writer) {
        rc = pthread_rwlock_init(&reg->map_lock, NULL);
        if (rc != 0) {
            aml_registry_close(reg);
            return aml_registry_translate(rc);
        }
        reg->locks = 1;
    }

    rc = mdb_env_create(&reg->env);
    if (rc != MDB_SUCCESS) {
        reg->env = NULL;
    } else {
        rc = mdb_env_set_maxreaders(reg->env, AML_REGISTRY_READERS);
    }

    if (rc != MDB_SUCCESS) {
        aml_registry_close(reg);
        return aml_registry_translate(rc);
    }

    *out = reg;
    return AML_REGISTRY_OK;
}


/* Remembers which files are open, for aml_registry_stale(). */
static aml_registry_rc_t
registry_identify(aml_registry_t *reg)
{
    int fd;
    struct stat st;

    if (mdb_env_get_fd(reg->env, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0) {
        return aml_registry_translate(errno);
    }

    reg->data_dev = st.st_dev;
    reg->data_ino = st.st_ino;

    /* a read-only file system has none */
    if (stat(reg->lock_path, &st) == 0) {
        reg->lock_dev = st.st_dev;
        reg->lock_ino = st.st_ino;
    }

    return AML_REGISTRY_OK;
}


/*
 * LMDB makes lock.mdb by setting its length, and then writes to it by way of
 * memory: on a full disk that is SIGBUS.  So its blocks are asked for first.
 * One that is there keeps its length: others have it mapped.
 */
static aml_registry_rc_t
lock_reserve(const aml_registry_t *reg)
{
    int fd, rc;
    struct stat st;

    fd = open(reg->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1) {
        /* a reader of a read-only file system has none */
        return errno == EROFS ? AML_REGISTRY_OK : aml_registry_translate(errno);
    }

    rc =
        fstat(fd, &st) != 0
            ? errno
            : posix_fallocate(
                  fd, 0, st.st_size != 0 ? st.st_size : AML_REGISTRY_LOCK_SIZE);
    close(fd);

    /* EOPNOTSUPP, EINVAL: a file system that can't; as without this */
    return rc == EOPNOTSUPP || rc == EINVAL ? AML_REGISTRY_OK
                                            : aml_registry_translate(rc);
}


aml_registry_rc_t
aml_registry_open_reader(const char *dir, aml_registry_t **out)
{
    int rc;
    aml_registry_t *reg;
    aml_registry_rc_t answer;

    *out = NULL;

    answer = registry_new(dir, 0, &reg);
    if (reg == NULL) {
        return answer;
    }

    answer = aml_registry_data_check(reg->data_path);
    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    answer = lock_reserve(reg);
    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    rc = mdb_env_open(reg->env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
    if (rc != MDB_SUCCESS) {
        answer = aml_registry_translate(rc);
        goto failed;
    }

    answer = registry_identify(reg);
    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    reg->own.reg = reg;

    answer = aml_registry_txn_start(reg, MDB_RDONLY, &reg->own.txn);
    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    answer = database_open(reg, reg->own.txn);
    if (answer == AML_REGISTRY_OK) {
        answer = aml_registry_format_check(reg->own.txn, reg->dbi);
    }

    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    reg->checked = mdb_txn_id(reg->own.txn);
    mdb_txn_reset(reg->own.txn);

    *out = reg;
    return AML_REGISTRY_OK;

failed:
    aml_registry_close(reg);
    return answer;
}


aml_registry_rc_t
aml_registry_cache(aml_registry_t *reg, size_t records)
{
    if (reg->writer || reg->cache != NULL) {
        return aml_registry_translate(EINVAL);
    }

    reg->cache = aml_cache_new(records);

    return reg->cache != NULL ? AML_REGISTRY_OK
                              : aml_registry_translate(ENOMEM);
}


static aml_registry_rc_t
directory_make(const char *dir, gid_t group)
{
    if (mkdir(dir, 0700) != 0) {
        return errno == EEXIST ? AML_REGISTRY_OK
                               : aml_registry_translate(errno);
    }

    if (group != (gid_t) -1 &&
        (chown(dir, (uid_t) -1, group) != 0 || chmod(dir, 0750) != 0)) {
        return aml_registry_translate(errno);
    }

    return AML_REGISTRY_OK;
}


static aml_registry_rc_t
files_permit(aml_registry_t *reg, gid_t group)
{
    int fd;
    mode_t data, lock;

    if (mdb_env_get_fd(reg->env, &fd) != MDB_SUCCESS) {
        return aml_registry_translate(EINVAL);
    }

    data = 0600;
    lock = 0600;

    if (group != (gid_t) -1) {
        data = 0640;
        lock = 0660;

        if (fchown(fd, (uid_t) -1, group) != 0 ||
            chown(reg->lock_path, (uid_t) -1, group) != 0) {
            return aml_registry_translate(errno);
        }
    }

    if (fchmod(fd, data) != 0 || chmod(reg->lock_path, lock) != 0) {
        return aml_registry_translate(errno);
    }

    return AML_REGISTRY_OK;
}


/* So that the names of new files survive a power cut as their content does. */
static aml_registry_rc_t
directory_sync(const char *dir)
{
    int fd, rc;

    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1) {
        return aml_registry_translate(errno);
    }

    rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);

    /* EINVAL: a file system that knows no such thing */
    return rc == EINVAL ? AML_REGISTRY_OK : aml_registry_translate(rc);
}


/* Makes what is new, migrates what is old, refuses what is not ours. */
static aml_registry_rc_t
registry_prepare(aml_registry_t *reg)
{
    int n;
    char text[16];
    MDB_txn *mdb = NULL;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_txn_start(reg, 0, &mdb);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    txn = calloc(1, sizeof(*txn));
    if (txn == NULL) {
        mdb_txn_abort(mdb);
        pthread_rwlock_unlock(&reg->map_lock);
        return aml_registry_translate(ENOMEM);
    }

    txn->reg = reg;
    txn->txn = mdb;
    txn->writes = 1;

    rc = database_open(reg, mdb);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_format_check(mdb, reg->dbi);
    }

    if (rc != AML_REGISTRY_MISSING) {
        aml_registry_end(txn);
        return rc;
    }

    rc = aml_registry_reserve_begin(txn);
    if (rc == AML_REGISTRY_OK) {
        n = snprintf(text, sizeof(text), "%d", AML_REGISTRY_FORMAT);
        rc = aml_registry_put(txn, AML_REGISTRY_FORMAT_KEY,
                              sizeof(AML_REGISTRY_FORMAT_KEY) - 1, text,
                              (size_t) n);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
aml_registry_open_writer(const char *dir, size_t map_size, gid_t group,
                         aml_registry_t **out)
{
    int rc;
    aml_registry_t *reg;
    aml_registry_rc_t answer;

    *out = NULL;

    answer = directory_make(dir, group);
    if (answer != AML_REGISTRY_OK) {
        return answer;
    }

    answer = registry_new(dir, 1, &reg);
    if (reg == NULL) {
        return answer;
    }

    answer = aml_registry_data_check(reg->data_path);
    if (answer != AML_REGISTRY_OK && answer != AML_REGISTRY_MISSING) {
        goto failed;
    }

    answer = lock_reserve(reg);
    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    map_size = (map_size + 0xffff) & ~(size_t) 0xffff;
    rc = mdb_env_set_mapsize(reg->env, map_size);
    if (rc == MDB_SUCCESS) {
        rc = mdb_env_open(reg->env, dir, MDB_NOTLS, 0600);
    }

    if (rc != MDB_SUCCESS) {
        answer = aml_registry_translate(rc);
        goto failed;
    }

    (void) aml_registry_check_readers(reg);

    answer = registry_prepare(reg);
    if (answer == AML_REGISTRY_OK) {
        answer = files_permit(reg, group);
    }
    if (answer == AML_REGISTRY_OK) {
        answer = registry_identify(reg);
    }
    if (answer == AML_REGISTRY_OK) {
        answer = directory_sync(dir);
    }

    if (answer != AML_REGISTRY_OK) {
        goto failed;
    }

    *out = reg;
    return AML_REGISTRY_OK;

failed:
    aml_registry_close(reg);
    return answer;
}


void
aml_registry_close(aml_registry_t *reg)
{
    if (reg == NULL) {
        return;
    }

    if (reg->own.txn != NULL) {
        mdb_txn_abort(reg->own.txn);
    }

    if (reg->env != NULL) {
        mdb_env_close(reg->env);
    }

    aml_cache_free(reg->cache);

    if (reg->locks) {
        pthread_rwlock_destroy(&reg->map_lock);
    }

    free(reg->data_path);
    free(reg->lock_path);
    free(reg);
}


int
aml_registry_stale(const aml_registry_t *reg)
{
    int fd;
    struct stat st;
    MDB_envinfo info;

    if (reg->broken) {
        return 1;
    }

    if (stat(reg->data_path, &st) != 0 || st.st_dev != reg->data_dev ||
        st.st_ino != reg->data_ino) {
        return 1;
    }

    if (reg->lock_ino != 0 &&
        (stat(reg->lock_path, &st) != 0 || st.st_dev != reg->lock_dev ||
         st.st_ino != reg->lock_ino)) {
        return 1;
    }

    /* the first two pages are the ones that mdb_env_info() reads */
    if (mdb_env_get_fd(reg->env, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0 ||
        st.st_size < (off_t) (2 * reg->page)) {
        return 1;
    }

    if (mdb_env_info(reg->env, &info) != MDB_SUCCESS) {
        return 1;
    }

    /* asked for again: the writer may have grown file and count meanwhile */
    if (fstat(fd, &st) != 0) {
        return 1;
    }

    return info.me_last_pgno >= (size_t) st.st_size / reg->page;
}


int
aml_registry_check_readers(aml_registry_t *reg)
{
    int dead = 0;

    return mdb_reader_check(reg->env, &dead) == MDB_SUCCESS ? dead : 0;
}
