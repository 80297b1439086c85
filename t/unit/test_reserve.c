/*
 * A registry that is full, and the room that is kept for what must go on.
 */

#include "t/unit/scratch.h"

#include <stdlib.h>

#include "computes/amld.h"
#include "computes/files/reserve.h"

typedef struct {
    scratch_t *scratch;
    aml_registry_t *registry; /* a small one */
    int next;
} place_t;


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));
    void *scratch;
    char path[128];

    assert_non_null(p);
    assert_int_equal(scratch_setup(&scratch), 0);
    p->scratch = scratch;
    snprintf(path, sizeof(path), "%s/small", p->scratch->dir);
    assert_int_equal(
        aml_registry_open_writer(path, 1024 * 1024, (gid_t) -1, &p->registry),
        AML_REGISTRY_OK);
    amld_log_level(AMLD_LOG_ERROR);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;
    void *scratch = p->scratch;

    aml_registry_close(p->registry);
    scratch_teardown(&scratch);
    free(p);

    return 0;
}


static aml_registry_rc_t
put(place_t *p, const char *family, int n, size_t size)
{
    char key[64], value[4096];
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    assert_true(size <= sizeof(value));
    memset(value, 'x', sizeof(value));
    snprintf(key, sizeof(key), "%s/%06d", family, n);
    assert_int_equal(aml_registry_write(p->registry, &txn), AML_REGISTRY_OK);
    rc = aml_registry_put(txn, key, strlen(key), value, size);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* Down to the last byte: with small records, when large ones do not fit. */
static int
fill(place_t *p)
{
    static const size_t sizes[] = {3000, 900, 200, 20};
    size_t k;
    int before, n = 0;
    aml_registry_rc_t rc;

    /* What one commit frees another can use, for a while. */
    do {
        before = n;
        for (k = 0; k < 4; k++) {
            do {
                rc = put(p, "junk", p->next, sizes[k]);
                p->next += rc == AML_REGISTRY_OK;
                n += rc == AML_REGISTRY_OK;
            } while (rc == AML_REGISTRY_OK);
            assert_int_equal(rc, AML_REGISTRY_LIMIT);
        }
    } while (n != before);

    return n;
}


static void
spent_when_full(void **state)
{
    place_t *p = *state;
    int i;

    amld_reserve_keep(p->registry);
    amld_reserve_keep(p->registry); /* one is enough */
    assert_true(fill(p) > 50);
    assert_true(amld_reserve_is_full(put(p, "junk", p->next, 3000)));

    assert_int_equal(amld_reserve_spend(p->registry), 0);
    for (i = 0; i < 20; i++) {
        assert_int_equal(put(p, "junk", p->next + i, 3000), AML_REGISTRY_OK);
    }

    /* there is no second one */
    assert_int_equal(amld_reserve_spend(p->registry), -1);
}


/* When there is room again it is kept again. */
static void
kept_again(void **state)
{
    place_t *p = *state;
    char key[64];
    int i, n;
    aml_registry_txn_t *txn;

    amld_reserve_keep(p->registry);
    n = fill(p);
    assert_int_equal(amld_reserve_spend(p->registry), 0);
    (void) fill(p);
    amld_reserve_keep(p->registry); /* no room: said, and no harm */
    assert_int_equal(amld_reserve_spend(p->registry), -1);

    /* somebody raises registry_size a little, so that anything can be done */
    assert_int_equal(aml_registry_enlarge(p->registry, 65536), AML_REGISTRY_OK);
    for (i = 0; i < n; i++) {
        if (aml_registry_write(p->registry, &txn) == AML_REGISTRY_OK) {
            snprintf(key, sizeof(key), "junk/%06d", i);
            (void) aml_registry_del(txn, key, strlen(key));
            (void) aml_registry_commit(txn);
        }
    }
    amld_reserve_keep(p->registry);
    assert_int_equal(amld_reserve_spend(p->registry), 0);
}


/* From when it is spent until it is kept again. */
static void
is_spent(void **state)
{
    place_t *p = *state;
    aml_registry_txn_t *txn;
    int i;

    static const int spent[] = {0, 0, 1, 0};

    for (i = 0; i < 4; i++) {
        assert_int_equal(aml_registry_read(p->registry, &txn), AML_REGISTRY_OK);
        assert_int_equal(amld_reserve_is_spent(txn), spent[i]);
        aml_registry_end(txn);
        if (i == 1) {
            assert_int_equal(amld_reserve_spend(p->registry), 0);
        } else {
            amld_reserve_keep(p->registry);
        }
    }
}


static void
what_is_full(void **state)
{
    (void) state;

    assert_true(amld_reserve_is_full(AML_REGISTRY_FULL));
    assert_true(amld_reserve_is_full(AML_REGISTRY_LIMIT));
    assert_false(amld_reserve_is_full(AML_REGISTRY_OK));
    assert_false(amld_reserve_is_full(AML_REGISTRY_FAILED));
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(spent_when_full),
        TEST(kept_again),
        TEST(is_spent),
        cmocka_unit_test(what_is_full),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("reserve", tests, NULL, NULL);
}
