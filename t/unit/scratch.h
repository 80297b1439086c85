/*
 * A temporary directory with a registry in it, for tests of amld's parts.
 */

#ifndef AML_TEST_SCRATCH_H
#define AML_TEST_SCRATCH_H

#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "registry/registry.h"

typedef struct {
    char dir[64];
    aml_registry_t *registry;
} scratch_t;


static inline int
scratch_remove_one(const char *path, const struct stat *st, int type,
                   struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}


static inline int
scratch_setup(void **state)
{
    scratch_t *s = calloc(1, sizeof(*s));
    char path[128];

    assert_non_null(s);
    snprintf(s->dir, sizeof(s->dir), "/tmp/aml-unit-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(path, sizeof(path), "%s/registry", s->dir);
    assert_int_equal(aml_registry_open_writer(path, 64 * 1024 * 1024,
                                              (gid_t) -1, &s->registry),
                     AML_REGISTRY_OK);
    *state = s;

    return 0;
}


static inline int
scratch_teardown(void **state)
{
    scratch_t *s = *state;

    aml_registry_close(s->registry);
    nftw(s->dir, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(s);

    return 0;
}


typedef struct {
    size_t n;
} scratch_count_t;


static inline int
scratch_count_each(void *data, aml_str_t key, aml_str_t value)
{
    (void) key;
    (void) value;
    ((scratch_count_t *) data)->n++;
    return 0;
}


/* How many keys begin with `prefix`. */
static inline size_t
scratch_count(scratch_t *s, const char *prefix)
{
    scratch_count_t count = {0};
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_each(txn, aml_str_of(prefix),
                                       (aml_str_t){NULL, 0}, scratch_count_each,
                                       &count),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    return count.n;
}

#endif /* AML_TEST_SCRATCH_H */
