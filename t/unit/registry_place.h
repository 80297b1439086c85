/*
 * A directory for a registry, and children that use it.  LMDB wants one handle
 * a process for a directory, so that readers and second writers live in
 * children, which are told what to do one step at a time.
 */

#ifndef AML_TEST_REGISTRY_PLACE_H
#define AML_TEST_REGISTRY_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <lmdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/registry.h"

#define MIB ((size_t) 1024 * 1024)
#define NO_GROUP ((gid_t) -1)


/* ---- a directory a test ---- */

typedef struct {
    char top[32];
    char dir[64];  /* the registry; not made yet */
    char data[80]; /* its files */
    char lock[80];
} place_t;


static inline int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return -1;
    }

    strcpy(p->top, "/tmp/aml-registry-XXXXXX");
    if (mkdtemp(p->top) == NULL) {
        return -1;
    }
    snprintf(p->dir, sizeof(p->dir), "%s/r", p->top);
    snprintf(p->data, sizeof(p->data), "%s/data.mdb", p->dir);
    snprintf(p->lock, sizeof(p->lock), "%s/lock.mdb", p->dir);
    *state = p;

    return 0;
}


static inline int
teardown(void **state)
{
    place_t *p = *state;

    unlink(p->data);
    unlink(p->lock);
    rmdir(p->dir);
    rmdir(p->top);
    free(p);

    return 0;
}


/* ---- children that are told what to do, one step at a time ---- */

typedef struct {
    pid_t pid;
    int to, from;
} child_t;

typedef void (*child_pt)(const place_t *p, int in, int out);


static inline void
child_start(child_t *c, const place_t *p, child_pt run)
{
    int to[2], from[2];

    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    fflush(NULL);
    c->pid = fork();
    assert_true(c->pid >= 0);

    if (c->pid == 0) {
        close(to[1]);
        close(from[0]);
        alarm(60);
        run(p, to[0], from[1]);
        _exit(0);
    }

    close(to[0]);
    close(from[1]);
    c->to = to[1];
    c->from = from[0];
}


/* In the child: what it found, and then the next step. */
static inline void
say(int out, int what)
{
    if (write(out, &what, sizeof(what)) != sizeof(what)) {
        _exit(99);
    }
}


static inline void
next(int in)
{
    char c;

    if (read(in, &c, 1) != 1) {
        _exit(98);
    }
}


/* In the parent. */
static inline int
hear(child_t *c)
{
    int what;

    assert_int_equal(read(c->from, &what, sizeof(what)), sizeof(what));
    return what;
}


static inline void
go(child_t *c)
{
    assert_int_equal(write(c->to, "x", 1), 1);
}


/* The exit code, or 128 and the signal. */
static inline int
child_end(child_t *c)
{
    int status;

    close(c->to);
    close(c->from);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);

    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}


/* ---- short forms ---- */

static inline aml_registry_t *
writer(const place_t *p)
{
    aml_registry_t *reg;

    assert_int_equal(aml_registry_open_writer(p->dir, 16 * MIB, NO_GROUP, &reg),
                     AML_REGISTRY_OK);
    return reg;
}


static inline aml_registry_rc_t
put_in(aml_registry_t *reg, const char *key, const void *value, size_t n)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_write(reg, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    rc = aml_registry_put(txn, key, strlen(key), value, n);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }
    return aml_registry_commit(txn);
}


static inline aml_registry_rc_t
put(aml_registry_t *reg, const char *key, const char *value)
{
    return put_in(reg, key, value, strlen(value));
}


/* 1 when the key has that value, 0 otherwise; NULL: when it is not there. */
static inline int
has(aml_registry_txn_t *txn, const char *key, const char *value)
{
    aml_str_t v;
    aml_registry_rc_t rc = aml_registry_get(txn, key, strlen(key), &v);

    if (value == NULL) {
        return rc == AML_REGISTRY_NOTFOUND;
    }
    return rc == AML_REGISTRY_OK && aml_str_eq(v, aml_str_of(value));
}


/* A reader in a child: what it answers to open, then to one get of "a/b". */
static inline void
run_look(const place_t *p, int in, int out)
{
    aml_str_t v;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    (void) in;

    rc = aml_registry_open_reader(p->dir, &reg);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_read(reg, &txn);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_get(txn, "a/b", 3, &v);
            aml_registry_end(txn);
        }
        aml_registry_close(reg);
    } else if (reg != NULL) {
        _exit(97);
    }

    say(out, rc);
}


static inline int
look(const place_t *p)
{
    int rc;
    child_t c;

    child_start(&c, p, run_look);
    rc = hear(&c);
    assert_int_equal(child_end(&c), 0);

    return rc;
}


/* A registry whose pages are all in use up to its last. */
static inline void
make_whole(const place_t *p, size_t *used)
{
    char key[32], value[200];
    size_t i;
    MDB_envinfo info;
    MDB_stat st;
    MDB_env *env;
    aml_registry_t *reg = writer(p);
    aml_registry_txn_t *txn;

    memset(value, 'v', sizeof(value));
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    for (i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "k/%06zu", i);
        assert_int_equal(
            aml_registry_put(txn, key, strlen(key), value, sizeof(value)),
            AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_put(txn, "a/b", 3, "x", 1), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    aml_registry_close(reg);

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, p->dir, MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_env_info(env, &info), 0);
    assert_int_equal(mdb_env_stat(env, &st), 0);
    mdb_env_close(env);
    *used = (info.me_last_pgno + 1) * st.ms_psize;
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif /* AML_TEST_REGISTRY_PLACE_H */
