/*
 * What an answer was made of: when none of it has changed, the answer is what
 * it was.
 */

#include "t/unit/registry_place.h"

static const char *const families[] = {"session", "principal", "route",
                                       "grant",   "token",     "key"};


static aml_registry_txn_t *
reading(aml_registry_t *reg)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);

    return txn;
}


static void
ask(aml_registry_txn_t *txn, const char *key)
{
    aml_str_t value;

    (void) aml_registry_get(txn, key, strlen(key), &value);
}


static int
never(void *data, aml_str_t key, aml_str_t value)
{
    (void) data;
    (void) key;
    (void) value;

    return 1;
}


/* Does what was committed since concern `watch`? */
static int
concerned(aml_registry_t *reg, uint64_t since,
          const aml_registry_watch_t *watch)
{
    aml_registry_txn_t *txn = reading(reg);
    aml_registry_changes_t changes;

    aml_registry_changes(txn, since, &changes);
    aml_registry_end(txn);

    return aml_registry_concerns(&changes, watch);
}


static void
test_watch(void **state)
{
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;
    aml_registry_watch_t watch;
    uint64_t at;
    int i;

    assert_int_equal(put(reg, "session/a", "1"), AML_REGISTRY_OK);

    txn = reading(reg);
    at = aml_registry_version(txn);
    ask(txn, "session/before");
    aml_registry_watch(txn, &watch);
    ask(txn, "session/a");
    ask(txn, "route/none/1");
    aml_registry_watch(txn, NULL);
    ask(txn, "session/behind");
    aml_registry_end(txn);
    assert_int_equal(watch.count, 2);

    /* nothing, something else, something that no request reads */
    assert_int_equal(concerned(reg, at, &watch), 0);
    assert_int_equal(put(reg, "session/b", "1"), AML_REGISTRY_OK);
    assert_int_equal(put(reg, "session/before", "1"), AML_REGISTRY_OK);
    assert_int_equal(put(reg, "session/behind", "1"), AML_REGISTRY_OK);
    assert_int_equal(put(reg, "compute/w/a", "1"), AML_REGISTRY_OK);
    assert_int_equal(concerned(reg, at, &watch), 0);

    /* what was there, and what was not */
    assert_int_equal(put(reg, "session/a", "2"), AML_REGISTRY_OK);
    assert_int_equal(concerned(reg, at, &watch), 1);
    at = at + 5;
    assert_int_equal(concerned(reg, at, &watch), 0);
    assert_int_equal(put(reg, "route/none/1", "1"), AML_REGISTRY_OK);
    assert_int_equal(concerned(reg, at, &watch), 1);

    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_del(txn, "session/a", 9), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(concerned(reg, at + 1, &watch), 1);

    /* from longer ago than is known */
    for (i = 0; i < 257; i++) {
        assert_int_equal(put(reg, "compute/w/a", "1"), AML_REGISTRY_OK);
    }
    assert_int_equal(concerned(reg, at + 2, &watch), 1);
    assert_int_equal(concerned(reg, at + 3, &watch), 0);
    assert_int_equal(concerned(reg, 0, &watch), 1);
    assert_int_equal(concerned(reg, UINT64_MAX, &watch), 1);

    aml_registry_close(reg);
}


/* What can't be followed stands for anything, once anything has changed. */
static void
test_anything(void **state)
{
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;
    aml_registry_watch_t watch;
    uint64_t at;
    char key[40];
    int i, way;

    for (way = 0; way < 5; way++) {
        txn = reading(reg);
        at = aml_registry_version(txn);
        aml_registry_watch(txn, &watch);
        ask(txn, "session/a");
        switch (way) {
        case 0:
            ask(txn, "role/x");
            break;
        case 1:
            (void) aml_registry_each(txn, aml_str("route/"), aml_str(""), never,
                                     NULL);
            break;
        case 2:
            (void) aml_registry_key_generation(txn);
            break;
        case 3:
            for (i = 0; i < AML_REGISTRY_WATCHED; i++) {
                snprintf(key, sizeof(key), "session/%d", i);
                ask(txn, key);
            }
            break;
        default:
            break;
        }
        ask(txn, "session/b");
        aml_registry_end(txn);

        assert_int_equal(concerned(reg, at, &watch), 0);
        assert_int_equal(put(reg, "session/other", "1"), AML_REGISTRY_OK);
        assert_int_equal(concerned(reg, at, &watch), way < 4);

        /* a commit of which nothing is told */
        assert_int_equal(put(reg, "role/x", "1"), AML_REGISTRY_OK);
        assert_int_equal(concerned(reg, at + 1, &watch), way < 4);
    }

    aml_registry_close(reg);
}


/* A commit of too many records, and many commits. */
static void
test_many(void **state)
{
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;
    aml_registry_watch_t watch;
    uint64_t at;
    char key[40];
    int i;

    txn = reading(reg);
    at = aml_registry_version(txn);
    aml_registry_watch(txn, &watch);
    ask(txn, "session/a");
    aml_registry_end(txn);

    for (i = 0; i < AML_REGISTRY_CHANGES + 1; i++) {
        assert_int_equal(concerned(reg, at, &watch), 0);
        snprintf(key, sizeof(key), "session/%d", i);
        assert_int_equal(put(reg, key, "1"), AML_REGISTRY_OK);
    }
    assert_int_equal(concerned(reg, at, &watch), 1);

    at += AML_REGISTRY_CHANGES + 1;
    assert_int_equal(concerned(reg, at, &watch), 0);
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    for (i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "session/%d", i);
        assert_int_equal(aml_registry_put(txn, key, strlen(key), "2", 1),
                         AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(concerned(reg, at, &watch), 1);

    aml_registry_close(reg);
}


/* ---- answers of many records, beside changes of any ---- */

typedef struct {
    aml_registry_watch_t watch;
    unsigned keys[8];
    unsigned n;
    uint64_t answer;
} answer_t;


static size_t
key_of(unsigned i, char key[40])
{
    return (size_t) snprintf(key, 40, "%s/%u", families[i % 6], i);
}


static uint64_t
made_of(aml_registry_txn_t *txn, const answer_t *a)
{
    char key[40];
    uint64_t sum = 0;
    aml_str_t value;
    unsigned i;

    for (i = 0; i < a->n; i++) {
        sum = sum * 31 + 1;
        if (aml_registry_get(txn, key, key_of(a->keys[i], key), &value) ==
            AML_REGISTRY_OK) {
            sum += (unsigned char) value.p[0] * 7u;
        }
    }

    return sum;
}


static void
test_same(void **state)
{
    enum {
        ANSWERS = 60,
        KEYS = 80,
        ROUNDS = 600
    };
    static answer_t answers[ANSWERS];
    aml_registry_t *reg = writer(*state);
    aml_registry_changes_t changes;
    aml_registry_txn_t *txn;
    uint64_t at = 0;
    char key[40], value;
    unsigned i, k, round, spared = 0, again = 0;
    size_t n;

    srand(3);
    for (i = 0; i < ANSWERS; i++) {
        answers[i].n = 1 + (unsigned) rand() % 8;
        for (k = 0; k < answers[i].n; k++) {
            answers[i].keys[k] = (unsigned) rand() % KEYS;
        }
    }

    for (round = 0; round < ROUNDS; round++) {
        assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
        for (k = (unsigned) rand() % 4; k > 0; k--) {
            n = key_of((unsigned) rand() % KEYS, key);
            if (rand() % 3 == 0) {
                (void) aml_registry_del(txn, key, n);
            } else {
                value = (char) ('a' + rand() % 26);
                assert_int_equal(aml_registry_put(txn, key, n, &value, 1),
                                 AML_REGISTRY_OK);
            }
        }
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

        txn = reading(reg);
        aml_registry_changes(txn, at, &changes);
        at = aml_registry_version(txn);
        for (i = 0; i < ANSWERS; i++) {
            if (round > 0 &&
                !aml_registry_concerns(&changes, &answers[i].watch)) {
                spared++;
                assert_true(answers[i].answer == made_of(txn, &answers[i]));
                continue;
            }
            again++;
            aml_registry_watch(txn, &answers[i].watch);
            answers[i].answer = made_of(txn, &answers[i]);
            aml_registry_watch(txn, NULL);
        }
        aml_registry_end(txn);
    }

    assert_true(spared > 3 * again);

    aml_registry_close(reg);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_watch),
        TEST(test_anything),
        TEST(test_many),
        TEST(test_same),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
