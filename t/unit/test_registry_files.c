/*
 * The store's files: missing, damaged, newer, not ours, not allowed, replaced.
 */

#include "t/unit/registry_place.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>


/* ---- files that are not what they should be ---- */

static void
test_missing(void **state)
{
    place_t *p = *state;
    int fd;

    assert_int_equal(look(p), AML_REGISTRY_MISSING);

    assert_int_equal(mkdir(p->dir, 0700), 0);
    assert_int_equal(look(p), AML_REGISTRY_MISSING);
    assert_int_equal(access(p->lock, F_OK), -1); /* and makes nothing */

    /* made, and not yet filled: the writer takes it from there */
    fd = open(p->data, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(look(p), AML_REGISTRY_MISSING);
    aml_registry_close(writer(p));
    assert_int_equal(look(p), AML_REGISTRY_NOTFOUND);
}


static void
test_not_a_directory(void **state)
{
    place_t *p = *state;
    int fd;
    aml_registry_t *reg = (aml_registry_t *) p;

    fd = open(p->dir, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(look(p), AML_REGISTRY_MISSING);
    assert_int_not_equal(aml_registry_open_writer(p->dir, MIB, NO_GROUP, &reg),
                         AML_REGISTRY_OK);
    assert_null(reg);
    unlink(p->dir);

    /* a directory or a fifo where the file should be: no waiting for it */
    assert_int_equal(mkdir(p->dir, 0700), 0);
    assert_int_equal(mkfifo(p->data, 0600), 0);
    assert_int_equal(look(p), AML_REGISTRY_CORRUPT);
    assert_int_equal(aml_registry_open_writer(p->dir, MIB, NO_GROUP, &reg),
                     AML_REGISTRY_CORRUPT);
    unlink(p->data);
    assert_int_equal(mkdir(p->data, 0700), 0);
    assert_int_equal(look(p), AML_REGISTRY_CORRUPT);
    rmdir(p->data);
}


static void
file_write(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    close(fd);
}


static char *
file_read(const char *path, size_t *n)
{
    int fd = open(path, O_RDONLY);
    char *data;
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *n = (size_t) st.st_size;
    data = malloc(*n + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, *n), *n);
    close(fd);

    return data;
}


/* Refused by both, and left as it is. */
static void
refused(const place_t *p, aml_registry_rc_t want)
{
    size_t before, after;
    char *old, *new;
    aml_registry_t *reg;

    old = file_read(p->data, &before);
    assert_int_equal(look(p), want);
    assert_int_equal(aml_registry_open_writer(p->dir, 16 * MIB, NO_GROUP, &reg),
                     want);
    assert_null(reg);
    new = file_read(p->data, &after);
    assert_int_equal(before, after);
    assert_memory_equal(old, new, before);
    free(old);
    free(new);
}


static void
test_garbage(void **state)
{
    place_t *p = *state;
    size_t i, n;
    char junk[20000];
    static const size_t sizes[] = {1,    15,   16,   100,  151,  152,  4095,
                                   4096, 4097, 8191, 8192, 8193, 20000};

    srand(3);
    for (i = 0; i < sizeof(junk); i++) {
        junk[i] = (char) rand();
    }
    assert_int_equal(mkdir(p->dir, 0700), 0);

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        file_write(p->data, junk, sizes[i]);
        refused(p, AML_REGISTRY_CORRUPT);
    }

    memset(junk, 0, sizeof(junk));
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        file_write(p->data, junk, sizes[i]);
        refused(p, AML_REGISTRY_CORRUPT);
    }

    n = (size_t) snprintf(junk, sizeof(junk), "SQLite format 3");
    file_write(p->data, junk, n);
    refused(p, AML_REGISTRY_CORRUPT);
}


static void
test_cut_short(void **state)
{
    place_t *p = *state;
    size_t i, n, used;
    char *whole;

    make_whole(p, &used);
    whole = file_read(p->data, &n);
    assert_true(used > 100000);
    assert_true(n >= used);

    for (i = 1; i < used; i += i < 9000 ? 1021 : 8009) {
        file_write(p->data, whole, i);
        refused(p, AML_REGISTRY_CORRUPT);
    }
    file_write(p->data, whole, used - 1);
    refused(p, AML_REGISTRY_CORRUPT);

    /* all that is in use is there: nothing is missing */
    file_write(p->data, whole, used);
    assert_int_equal(look(p), AML_REGISTRY_OK);
    aml_registry_close(writer(p));

    free(whole);
}


/* Pages that a transaction takes and gives back are never written; the file
 * must count as whole all the same. */
static void
test_not_cut_short(void **state)
{
    place_t *p = *state;
    size_t i, j;
    char *value = calloc(1, 64 * 1024);
    aml_registry_t *reg = writer(p);
    aml_registry_txn_t *txn;

    assert_non_null(value);
    assert_int_equal(put(reg, "a/b", "x"), AML_REGISTRY_OK);

    for (i = 1; i <= 100; i += 9) {
        assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
        for (j = 0; j < i; j++) {
            assert_int_equal(
                aml_registry_put(txn, (char *) &j, 1, value, 64 * 1024),
                AML_REGISTRY_OK);
        }
        for (j = 0; j < i; j++) {
            assert_int_equal(aml_registry_del(txn, (char *) &j, 1),
                             AML_REGISTRY_OK);
        }
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
        assert_int_equal(look(p), AML_REGISTRY_OK);
        assert_int_equal(aml_registry_stale(reg), 0);
    }

    free(value);
    aml_registry_close(reg);
}


/* Every byte of what LMDB trusts, and some values that it would die of. */
static void
test_header_bitten(void **state)
{
    place_t *p = *state;
    size_t i, j, n, used, page;
    int rc;
    child_t c;
    char *whole, was;
    static const unsigned char bits[] = {0x01, 0x10, 0x80, 0xff};

    make_whole(p, &used);
    whole = file_read(p->data, &n);

    /* flags, magic and version, page size of each page: bytes 10, 16 to 24
     * and 40 to 44 of the page */
    page = (size_t) sysconf(_SC_PAGESIZE);
    for (i = 0; i < 2 * page; i++) {
        size_t at = i % page;

        if (at != 10 && (at < 16 || at >= 24) && (at < 40 || at >= 44)) {
            continue;
        }

        for (j = 0; j < sizeof(bits); j++) {
            was = whole[i];
            whole[i] = (char) (was ^ (char) bits[j]);
            file_write(p->data, whole, n);
            whole[i] = was;

            child_start(&c, p, run_look);
            rc = hear(&c);
            assert_int_equal(child_end(&c), 0);

            /* of the flags only one is meant */
            if (at != 10 || bits[j] == 0xff) {
                assert_int_equal(rc, AML_REGISTRY_CORRUPT);
            }
        }
    }

    free(whole);
}


static void
make_foreign(const place_t *p, unsigned flags, const char *key, int out)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {strlen(key), (void *) key}, v = {1, (void *) "1"};

    if (mkdir(p->dir, 0700) != 0 || mdb_env_create(&env) != 0 ||
        mdb_env_open(env, p->dir, 0, 0600) != 0 ||
        mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
        mdb_dbi_open(txn, NULL, flags | MDB_CREATE, &dbi) != 0 ||
        mdb_put(txn, dbi, &k, &v, 0) != 0 || mdb_txn_commit(txn) != 0) {
        _exit(1);
    }
    mdb_env_close(env);
    say(out, 0);
}


static void
run_foreign(const place_t *p, int in, int out)
{
    (void) in;
    make_foreign(p, 0, "a/b", out);
}


/* It even has our key, but its values are sorted duplicates. */
static void
run_foreign_flags(const place_t *p, int in, int out)
{
    (void) in;
    make_foreign(p, MDB_DUPSORT, "meta/format", out);
}


static void
run_empty(const place_t *p, int in, int out)
{
    MDB_env *env;

    (void) in;

    if (mkdir(p->dir, 0700) != 0 || mdb_env_create(&env) != 0 ||
        mdb_env_open(env, p->dir, 0, 0600) != 0) {
        _exit(1);
    }
    mdb_env_close(env);
    say(out, 0);
}


static void
test_foreign(void **state)
{
    place_t *p = *state;
    child_t c;

    size_t i;
    static const child_pt foreign[] = {run_foreign, run_foreign_flags};

    /* LMDB, but not ours: never taken over */
    for (i = 0; i < 2; i++) {
        child_start(&c, p, foreign[i]);
        assert_int_equal(hear(&c), 0);
        assert_int_equal(child_end(&c), 0);
        refused(p, AML_REGISTRY_CORRUPT);
        unlink(p->data);
        unlink(p->lock);
        rmdir(p->dir);
    }

    /* a writer that was killed between making and filling it */
    child_start(&c, p, run_empty);
    assert_int_equal(hear(&c), 0);
    assert_int_equal(child_end(&c), 0);
    assert_int_equal(look(p), AML_REGISTRY_MISSING);
    aml_registry_close(writer(p));
    assert_int_equal(look(p), AML_REGISTRY_NOTFOUND);
}


/* ---- formats ---- */

static void
run_newer_reader(const place_t *p, int in, int out)
{
    int i;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    if (aml_registry_open_reader(p->dir, &reg) != AML_REGISTRY_OK) {
        _exit(1);
    }
    for (i = 0; i < 4; i++) {
        rc = aml_registry_read(reg, &txn);
        if (rc == AML_REGISTRY_OK) {
            aml_registry_end(txn);
        } else if (txn != NULL) {
            _exit(2);
        }
        say(out, rc);
        next(in);
    }
    aml_registry_close(reg);
}


static void
run_format(const place_t *p, int in, int out)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {11, (void *) "meta/format"}, v = {1, (void *) "1"};

    (void) in;

    if (mdb_env_create(&env) != 0 || mdb_env_open(env, p->dir, 0, 0600) != 0 ||
        mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
        mdb_dbi_open(txn, NULL, 0, &dbi) != 0 ||
        mdb_put(txn, dbi, &k, &v, 0) != 0 || mdb_txn_commit(txn) != 0) {
        _exit(1);
    }
    mdb_env_close(env);
    say(out, 0);
}


static void
test_newer(void **state)
{
    place_t *p = *state;
    child_t c, d;
    aml_registry_t *reg = writer(p);
    aml_registry_txn_t *txn;

    assert_int_equal(put(reg, "a/b", "x"), AML_REGISTRY_OK);
    child_start(&c, p, run_newer_reader);
    assert_int_equal(hear(&c), AML_REGISTRY_OK);

    /* upgraded under a reader and a writer that live */
    assert_int_equal(put(reg, "meta/format", "2"), AML_REGISTRY_OK);
    go(&c);
    assert_int_equal(hear(&c), AML_REGISTRY_NEWER);
    go(&c);
    assert_int_equal(hear(&c), AML_REGISTRY_NEWER);
    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_NEWER);
    assert_null(txn);
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_NEWER);
    assert_null(txn);
    aml_registry_close(reg);
    refused(p, AML_REGISTRY_NEWER);

    /* and gone back */
    child_start(&d, p, run_format);
    assert_int_equal(hear(&d), 0);
    assert_int_equal(child_end(&d), 0);
    go(&c);
    assert_int_equal(hear(&c), AML_REGISTRY_OK);
    go(&c);
    assert_int_equal(child_end(&c), 0);
    aml_registry_close(writer(p));
}


static void
test_format_nonsense(void **state)
{
    static const struct {
        const char *format;
        aml_registry_rc_t rc;
    } t[] = {{"2", AML_REGISTRY_NEWER},
             {"10", AML_REGISTRY_NEWER},
             {"4294967297", AML_REGISTRY_NEWER},
             {"0", AML_REGISTRY_CORRUPT},
             {"01", AML_REGISTRY_CORRUPT},
             {"", AML_REGISTRY_CORRUPT},
             {"-1", AML_REGISTRY_CORRUPT},
             {"1 ", AML_REGISTRY_CORRUPT},
             {"one", AML_REGISTRY_CORRUPT},
             {"18446744073709551617", AML_REGISTRY_CORRUPT}};
    place_t *p = *state;
    size_t i;
    child_t c;
    aml_registry_t *reg;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        reg = writer(p);
        assert_int_equal(put(reg, "meta/format", t[i].format), AML_REGISTRY_OK);
        aml_registry_close(reg);
        refused(p, t[i].rc);

        child_start(&c, p, run_format);
        assert_int_equal(hear(&c), 0);
        assert_int_equal(child_end(&c), 0);
    }
}


/* ---- permissions ---- */

static mode_t
mode_of(const char *path, gid_t *group)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    *group = st.st_gid;

    return st.st_mode & 07777;
}


static void
test_modes(void **state)
{
    place_t *p = *state;
    gid_t group, other = getegid();
    aml_registry_t *reg;
    mode_t was = umask(0);

    reg = writer(p);
    aml_registry_close(reg);
    assert_int_equal(mode_of(p->dir, &group), 0700);
    assert_int_equal(mode_of(p->data, &group), 0600);
    assert_int_equal(mode_of(p->lock, &group), 0600);

    if (geteuid() == 0) {
        other = 65534;
    }

    /* a group is added later, to files that exist */
    assert_int_equal(aml_registry_open_writer(p->dir, MIB, other, &reg),
                     AML_REGISTRY_OK);
    aml_registry_close(reg);
    assert_int_equal(mode_of(p->data, &group), 0640);
    assert_int_equal(group, other);
    assert_int_equal(mode_of(p->lock, &group), 0660);
    assert_int_equal(group, other);

    unlink(p->data);
    unlink(p->lock);
    rmdir(p->dir);
    umask(077);
    assert_int_equal(aml_registry_open_writer(p->dir, MIB, other, &reg),
                     AML_REGISTRY_OK);
    aml_registry_close(reg);
    assert_int_equal(mode_of(p->dir, &group), 0750);
    assert_int_equal(group, other);
    assert_int_equal(mode_of(p->data, &group), 0640);
    assert_int_equal(mode_of(p->lock, &group), 0660);
    umask(was);
}


/* As a worker: root could read everything. */
static void
run_look_as_nobody(const place_t *p, int in, int out)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
        _exit(96);
    }

    run_look(p, in, out);
}


static int
look_as_nobody(const place_t *p)
{
    int rc;
    child_t c;

    child_start(&c, p, run_look_as_nobody);
    rc = hear(&c);
    assert_int_equal(child_end(&c), 0);

    return rc;
}


static void
test_denied(void **state)
{
    place_t *p = *state;
    aml_registry_t *reg;

    assert_int_equal(chmod(p->top, 0755), 0);
    reg = writer(p);
    assert_int_equal(put(reg, "a/b", "x"), AML_REGISTRY_OK);
    aml_registry_close(reg);

    assert_int_equal(chmod(p->dir, 0755), 0);
    assert_int_equal(chmod(p->data, 0444), 0);
    assert_int_equal(chmod(p->lock, 0666), 0);
    assert_int_equal(look_as_nobody(p), AML_REGISTRY_OK);

    /* a reader registers itself in lock.mdb */
    assert_int_equal(chmod(p->lock, 0444), 0);
    assert_int_equal(look_as_nobody(p), AML_REGISTRY_DENIED);

    assert_int_equal(chmod(p->lock, 0666), 0);
    assert_int_equal(chmod(p->data, 0), 0);
    assert_int_equal(look_as_nobody(p), AML_REGISTRY_DENIED);

    /* the owner may use the directory, whatever the tests run as */
    assert_int_equal(chmod(p->data, 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(chmod(p->dir, 0), 0);
        assert_int_equal(look_as_nobody(p), AML_REGISTRY_DENIED);
        assert_int_equal(chmod(p->dir, 0755), 0);

        unlink(p->lock);
        assert_int_equal(look_as_nobody(p), AML_REGISTRY_DENIED);
    }
}


/* ---- reader slots ---- */

/* Holds lock.mdb open with very few slots, so that all others have as few. */
static void
run_few_slots(const place_t *p, int in, int out)
{
    MDB_env *env;

    if (mdb_env_create(&env) != 0 || mdb_env_set_maxreaders(env, 2) != 0 ||
        mdb_env_open(env, p->dir, MDB_NOTLS, 0600) != 0) {
        _exit(1);
    }
    say(out, 0);
    next(in);
    mdb_env_close(env);
}


static void
run_hold_slot(const place_t *p, int in, int out)
{
    aml_registry_t *reg;
    aml_registry_rc_t rc;

    rc = aml_registry_open_reader(p->dir, &reg);
    say(out, rc);
    next(in);
    if (rc == AML_REGISTRY_OK) {
        aml_registry_close(reg);
    }
}


/* ---- a full disk ---- */

static int
fill_disk(const char *dir, off_t leave)
{
    char path[128], block[4096] = "";
    struct statvfs st;
    int fd;

    (void) snprintf(path, sizeof(path), "%s/filler", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        return -1;
    }
    while (statvfs(dir, &st) == 0 &&
           (off_t) (st.f_bavail * st.f_bsize) > leave &&
           write(fd, block, sizeof(block)) == sizeof(block)) {
        /* void */
    }
    close(fd);

    return 0;
}


/* In a child, which must come to an end of its own, whatever room there is. */
static void
run_full_disk(const place_t *p, int in, int out)
{
    off_t leave;
    int made = 0, full = 0;
    aml_registry_t *reg;
    aml_registry_rc_t rc;

    (void) in;

    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", p->top, "tmpfs", 0, "size=2m") != 0) {
        say(out, -1);
        _exit(0);
    }

    for (leave = 0; leave < 1024 * 1024; leave += 8192) {
        if (fill_disk(p->top, leave) != 0) {
            _exit(1);
        }
        rc = aml_registry_open_writer(p->dir, MIB, NO_GROUP, &reg);
        if (rc == AML_REGISTRY_OK) {
            made++;
            aml_registry_close(reg);

            /* and a reader that has to make lock.mdb anew */
            (void) unlink(p->lock);
            (void) fill_disk(p->top, 0);
            rc = aml_registry_open_reader(p->dir, &reg);
            if (rc == AML_REGISTRY_OK) {
                aml_registry_close(reg);
            }
        }
        full += rc == AML_REGISTRY_FULL;
        (void) unlink(p->lock);
        (void) unlink(p->data);
        (void) rmdir(p->dir);
    }

    say(out, made > 0 && full > 0);
}


static void
test_full_disk(void **state)
{
    child_t c;
    int said;

    child_start(&c, *state, run_full_disk);
    said = hear(&c);
    assert_int_equal(child_end(&c), 0);
    if (said < 0) {
        skip(); /* only root may mount */
    }
    assert_int_equal(said, 1);
}


static void
test_slots(void **state)
{
    place_t *p = *state;
    child_t few, one, two;
    aml_registry_t *reg = writer(p);

    assert_int_equal(put(reg, "a/b", "x"), AML_REGISTRY_OK);
    aml_registry_close(reg);
    unlink(p->lock);

    child_start(&few, p, run_few_slots);
    assert_int_equal(hear(&few), 0);
    child_start(&one, p, run_hold_slot);
    assert_int_equal(hear(&one), AML_REGISTRY_OK);
    child_start(&two, p, run_hold_slot);
    assert_int_equal(hear(&two), AML_REGISTRY_OK);

    assert_int_equal(look(p), AML_REGISTRY_BUSY);

    /* one dies without a word: the next reader finds out by itself */
    assert_int_equal(kill(one.pid, SIGKILL), 0);
    assert_int_equal(child_end(&one), 128 + SIGKILL);
    assert_int_equal(look(p), AML_REGISTRY_OK);

    /* and so does a writer that is asked to */
    child_start(&one, p, run_hold_slot);
    assert_int_equal(hear(&one), AML_REGISTRY_OK);
    reg = writer(p);
    assert_int_equal(aml_registry_check_readers(reg), 0);
    assert_int_equal(kill(one.pid, SIGKILL), 0);
    assert_int_equal(child_end(&one), 128 + SIGKILL);
    assert_int_equal(aml_registry_check_readers(reg), 1);
    assert_int_equal(aml_registry_check_readers(reg), 0);
    aml_registry_close(reg);

    /* one ends in order */
    go(&two);
    assert_int_equal(child_end(&two), 0);
    assert_int_equal(look(p), AML_REGISTRY_OK);
    go(&few);
    assert_int_equal(child_end(&few), 0);
}


/* ---- a registry that is replaced ---- */

static void
run_stale(const place_t *p, int in, int out)
{
    int i;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    if (aml_registry_open_reader(p->dir, &reg) != AML_REGISTRY_OK) {
        _exit(1);
    }

    for (i = 0; i < 5; i++) {
        say(out, aml_registry_stale(reg));
        next(in);
    }

    aml_registry_close(reg);
    if (aml_registry_open_reader(p->dir, &reg) != AML_REGISTRY_OK ||
        aml_registry_read(reg, &txn) != AML_REGISTRY_OK) {
        _exit(2);
    }
    say(out, has(txn, "a/b", "new"));
    aml_registry_end(txn);
    say(out, aml_registry_stale(reg));
    next(in);

    /* cut to nothing under the map: said without touching it */
    say(out, aml_registry_stale(reg));
    next(in);
    say(out, aml_registry_stale(reg));
    aml_registry_close(reg);
}


static void
test_stale(void **state)
{
    place_t *p = *state;
    char aside[96];
    size_t used;
    child_t c;
    aml_registry_t *reg = writer(p);

    assert_int_equal(put(reg, "a/b", "old"), AML_REGISTRY_OK);
    child_start(&c, p, run_stale);
    assert_int_equal(hear(&c), 0);
    assert_int_equal(put(reg, "a/b", "more"), AML_REGISTRY_OK);
    go(&c);
    assert_int_equal(hear(&c), 0);
    aml_registry_close(reg);

    /* another lock file: readers and writer no longer know of each other */
    snprintf(aside, sizeof(aside), "%s/aside", p->top);
    assert_int_equal(rename(p->lock, aside), 0);
    go(&c);
    assert_int_equal(hear(&c), 1);
    assert_int_equal(rename(aside, p->lock), 0);

    unlink(p->data);
    unlink(p->lock);
    rmdir(p->dir);
    go(&c);
    assert_int_equal(hear(&c), 1);

    make_whole(p, &used);
    reg = writer(p);
    assert_int_equal(put(reg, "a/b", "new"), AML_REGISTRY_OK);
    aml_registry_close(reg);
    go(&c);
    assert_int_equal(hear(&c), 1);

    go(&c);
    assert_int_equal(hear(&c), 1);
    assert_int_equal(hear(&c), 0);

    assert_int_equal(truncate(p->data, (off_t) used - 4096), 0);
    go(&c);
    assert_int_equal(hear(&c), 1);
    assert_int_equal(truncate(p->data, 0), 0);
    go(&c);
    assert_int_equal(hear(&c), 1);
    assert_int_equal(child_end(&c), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_missing),         TEST(test_not_a_directory),
        TEST(test_garbage),         TEST(test_cut_short),
        TEST(test_not_cut_short),   TEST(test_header_bitten),
        TEST(test_foreign),         TEST(test_newer),
        TEST(test_format_nonsense), TEST(test_modes),
        TEST(test_denied),          TEST(test_full_disk),
        TEST(test_slots),           TEST(test_stale),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    signal(SIGPIPE, SIG_IGN);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
