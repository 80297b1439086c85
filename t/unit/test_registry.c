/*
 * The store: transactions, snapshots, threads, processes that grow and die.
 */

#include "t/unit/registry_place.h"


/* ---- one process ---- */

static void
test_put_get(void **state)
{
    place_t *p = *state;
    aml_registry_t *reg = writer(p);
    aml_registry_txn_t *txn, *old;
    uint64_t version;

    assert_int_equal(put(reg, "a/b", "one"), AML_REGISTRY_OK);

    assert_int_equal(aml_registry_read(reg, &old), AML_REGISTRY_OK);
    version = aml_registry_version(old);
    assert_true(has(old, "a/b", "one"));
    assert_true(has(old, "a/", NULL));
    assert_true(has(old, "a/bc", NULL));
    assert_true(has(old, "", NULL));

    /* a write in the making is seen by itself only */
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, "a/b", 3, "two", 3),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, "a/c", 3, "", 0), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", "two"));
    assert_true(has(old, "a/b", "one"));
    assert_int_equal(aml_registry_version(txn), version + 1);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    /* a snapshot stays what it was */
    assert_true(has(old, "a/b", "one"));
    assert_true(has(old, "a/c", NULL));
    assert_int_equal(aml_registry_version(old), version);
    aml_registry_end(old);

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", "two"));
    assert_true(has(txn, "a/c", ""));
    assert_int_equal(aml_registry_version(txn), version + 1);
    aml_registry_end(txn);

    /* what is ended without commit has not been */
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_del(txn, "a/b", 3), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_del(txn, "a/b", 3), AML_REGISTRY_NOTFOUND);
    aml_registry_end(txn);
    aml_registry_end(NULL);

    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", "two"));
    assert_int_equal(aml_registry_version(txn), version + 2);
    assert_int_equal(aml_registry_del(txn, "a/b", 3), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    aml_registry_close(reg);
    reg = writer(p);
    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", NULL));
    assert_true(has(txn, "a/c", ""));
    assert_true(has(txn, "meta/format", "1"));
    aml_registry_end(txn);
    aml_registry_close(reg);
}


static void
test_misuse(void **state)
{
    char key[600];
    aml_str_t v;
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;

    memset(key, 'k', sizeof(key));

    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, key, AML_REGISTRY_KEY_MAX, "x", 1),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, key, AML_REGISTRY_KEY_MAX + 1, "x", 1),
        AML_REGISTRY_TOOLONG);
    assert_int_equal(aml_registry_get(txn, key, AML_REGISTRY_KEY_MAX, &v),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_get(txn, key, AML_REGISTRY_KEY_MAX + 1, &v),
                     AML_REGISTRY_TOOLONG);
    assert_int_equal(aml_registry_del(txn, key, AML_REGISTRY_KEY_MAX + 1),
                     AML_REGISTRY_TOOLONG);
    assert_int_equal(aml_registry_del(txn, "", 0), AML_REGISTRY_NOTFOUND);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    /* a put that failed spoils the whole */
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, "a/b", 3, "x", 1), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, "", 0, "x", 1), AML_REGISTRY_FAILED);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_FAILED);

    /* nothing is written by way of a snapshot */
    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", NULL));
    assert_int_equal(aml_registry_put(txn, "a/b", 3, "x", 1),
                     AML_REGISTRY_FAILED);
    assert_int_equal(aml_registry_del(txn, key, 3), AML_REGISTRY_FAILED);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_FAILED);

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", NULL));
    aml_registry_end(txn);
    aml_registry_close(reg);
    aml_registry_close(NULL);
}


static void
test_strerror(void **state)
{
    int i, j;

    (void) state;

    for (i = AML_REGISTRY_OK; i <= AML_REGISTRY_FAILED; i++) {
        assert_non_null(aml_registry_strerror((aml_registry_rc_t) i));
        for (j = 0; j < i; j++) {
            assert_string_not_equal(
                aml_registry_strerror((aml_registry_rc_t) i),
                aml_registry_strerror((aml_registry_rc_t) j));
        }
    }
    assert_non_null(aml_registry_strerror((aml_registry_rc_t) 77));
}


typedef struct {
    char text[256];
    unsigned most;
} walk_t;


static int
walk(void *data, aml_str_t key, aml_str_t value)
{
    walk_t *w = data;
    size_t n = strlen(w->text);

    snprintf(w->text + n, sizeof(w->text) - n, "%.*s=%.*s ", (int) key.n, key.p,
             (int) value.n, value.p);

    return --w->most == 0;
}


static void
walked(aml_registry_txn_t *txn, const char *prefix, const char *from,
       unsigned most, const char *want)
{
    walk_t w = {.most = most};

    assert_int_equal(
        aml_registry_each(txn, aml_str_of(prefix), aml_str_of(from), walk, &w),
        AML_REGISTRY_OK);
    assert_string_equal(w.text, want);
}


static void
test_each(void **state)
{
    char key[600];
    size_t i;
    walk_t w = {.most = 1};
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;
    static const char *const keys[] = {"k/b", "k/a",   "k", "k0",
                                       "j/z", "k/a/x", "l", "k/ab"};

    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(
            aml_registry_put(txn, keys[i], strlen(keys[i]), "v", 1),
            AML_REGISTRY_OK);
    }
    /* also over what is not committed yet */
    walked(txn, "k/", "", 0, "k/a=v k/a/x=v k/ab=v k/b=v ");
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    walked(txn, "", "", 0,
           "j/z=v k=v k/a=v k/a/x=v k/ab=v k/b=v k0=v l=v meta/format=1 ");
    walked(txn, "k/", NULL, 0, "k/a=v k/a/x=v k/ab=v k/b=v ");
    walked(txn, "k/", "k/a/", 0, "k/a/x=v k/ab=v k/b=v ");
    walked(txn, "k/", "k/ab", 0, "k/ab=v k/b=v ");
    walked(txn, "k/", "k/ab", 1, "k/ab=v ");
    walked(txn, "k/", "a", 2, "k/a=v k/a/x=v ");
    walked(txn, "k/", "k0", 0, "");
    walked(txn, "k/", "z", 0, "");
    walked(txn, "k/c", "", 0, "");
    walked(txn, "", "l", 0, "l=v meta/format=1 ");
    walked(txn, "zz", "", 0, "");

    memset(key, 'k', sizeof(key));
    assert_int_equal(
        aml_registry_each(txn, (aml_str_t){key, 512}, aml_str(""), walk, &w),
        AML_REGISTRY_TOOLONG);
    aml_registry_end(txn);
    aml_registry_close(reg);
}


static void
test_generation(void **state)
{
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_key_generation(txn), 0);
    assert_int_equal(aml_registry_touch_keys(txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_touch_keys(txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_key_generation(txn), 2);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_touch_keys(txn), AML_REGISTRY_OK);
    aml_registry_end(txn);

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_key_generation(txn), 2);
    aml_registry_end(txn);

    /* starting again would make what was remembered look current */
    assert_int_equal(put(reg, "meta/keys", "2x"), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_key_generation(txn), 0);
    assert_int_equal(aml_registry_touch_keys(txn), AML_REGISTRY_CORRUPT);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_CORRUPT);
    aml_registry_close(reg);
}


/* ---- threads on a writer's handle ---- */

typedef struct {
    aml_registry_t *reg;
    int failed;
} crowd_t;


static void *
crowd_run(void *data)
{
    int i;
    char text[24];
    aml_str_t v;
    crowd_t *c = data;
    aml_registry_txn_t *txn, *look_at;

    for (i = 0; i < 20; i++) {
        /* a snapshot is held while writing, as handlers do */
        if (aml_registry_read(c->reg, &look_at) != AML_REGISTRY_OK) {
            c->failed = 1;
            return NULL;
        }

        if (aml_registry_write(c->reg, &txn) != AML_REGISTRY_OK) {
            aml_registry_end(look_at);
            c->failed = 1;
            return NULL;
        }

        if (aml_registry_get(txn, "n", 1, &v) != AML_REGISTRY_OK) {
            v = aml_str("0");
        }
        snprintf(text, sizeof(text), "%.*s", (int) v.n, v.p);
        snprintf(text, sizeof(text), "%d", atoi(text) + 1);

        if (aml_registry_put(txn, "n", 1, text, strlen(text)) !=
                AML_REGISTRY_OK ||
            aml_registry_commit(txn) != AML_REGISTRY_OK) {
            c->failed = 1;
        }
        aml_registry_end(look_at);
    }

    return NULL;
}


static void
test_threads(void **state)
{
    size_t i;
    pthread_t thread[8];
    crowd_t crowd[8];
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;

    for (i = 0; i < 8; i++) {
        crowd[i] = (crowd_t){.reg = reg};
        assert_int_equal(pthread_create(&thread[i], NULL, crowd_run, &crowd[i]),
                         0);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(crowd[i].failed, 0);
    }

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "n", "160"));
    aml_registry_end(txn);
    aml_registry_close(reg);
}


/* ---- two processes ---- */

static void
run_follow(const place_t *p, int in, int out)
{
    int i;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;
    uint64_t version = 0;

    if (aml_registry_open_reader(p->dir, &reg) != AML_REGISTRY_OK) {
        _exit(1);
    }

    if (aml_registry_write(reg, &txn) != AML_REGISTRY_FAILED) {
        _exit(2);
    }

    for (i = 0; i < 3; i++) {
        if (aml_registry_read(reg, &txn) != AML_REGISTRY_OK) {
            _exit(3);
        }
        if (aml_registry_version(txn) <= version) {
            _exit(4);
        }
        version = aml_registry_version(txn);
        say(out, has(txn, "a/b", i == 0 ? "one" : i == 1 ? "two" : NULL));

        /* the writer commits under this snapshot */
        next(in);
        say(out, has(txn, "a/b", i == 0 ? "one" : i == 1 ? "two" : NULL));

        /* one at a time */
        {
            aml_registry_txn_t *second;

            if (aml_registry_read(reg, &second) != AML_REGISTRY_FAILED) {
                _exit(5);
            }
        }
        aml_registry_end(txn);
    }

    aml_registry_close(reg);
}


static void
test_two_processes(void **state)
{
    int i;
    child_t c;
    aml_registry_t *reg = writer(*state);
    aml_registry_txn_t *txn;

    assert_int_equal(put(reg, "a/b", "one"), AML_REGISTRY_OK);
    child_start(&c, *state, run_follow);

    for (i = 0; i < 3; i++) {
        assert_int_equal(hear(&c), 1);
        if (i == 1) {
            assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
            assert_int_equal(aml_registry_del(txn, "a/b", 3), AML_REGISTRY_OK);
            assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
        } else {
            assert_int_equal(put(reg, i == 0 ? "a/b" : "x", "two"),
                             AML_REGISTRY_OK);
        }
        go(&c);
        assert_int_equal(hear(&c), 1);
    }

    assert_int_equal(child_end(&c), 0);
    aml_registry_close(reg);
}


/* A registry outgrows the map that a reader has of it. */
static void
run_grown_reader(const place_t *p, int in, int out)
{
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    if (aml_registry_open_reader(p->dir, &reg) != AML_REGISTRY_OK) {
        _exit(1);
    }
    say(out, 0);
    next(in);
    say(out, aml_registry_read(reg, &txn));
    say(out, has(txn, "a/b", "after"));
    aml_registry_end(txn);
    say(out, aml_registry_stale(reg));
    aml_registry_close(reg);
}


static void
fill(aml_registry_t *reg, size_t mib)
{
    size_t i;
    char key[32];
    char *value = calloc(1, MIB / 4);
    aml_registry_txn_t *txn;

    assert_non_null(value);
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);
    for (i = 0; i < mib * 4; i++) {
        snprintf(key, sizeof(key), "big/%zu", i);
        assert_int_equal(
            aml_registry_put(txn, key, strlen(key), value, MIB / 4),
            AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_put(txn, "a/b", 3, "after", 5),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    free(value);
}


static void
test_map_grows_under_reader(void **state)
{
    place_t *p = *state;
    child_t c;
    aml_registry_t *reg;

    assert_int_equal(aml_registry_open_writer(p->dir, MIB, NO_GROUP, &reg),
                     AML_REGISTRY_OK);
    assert_int_equal(put(reg, "a/b", "before"), AML_REGISTRY_OK);
    child_start(&c, p, run_grown_reader);
    assert_int_equal(hear(&c), 0);

    aml_registry_close(reg);
    assert_int_equal(aml_registry_open_writer(p->dir, 64 * MIB, NO_GROUP, &reg),
                     AML_REGISTRY_OK);
    fill(reg, 8);

    go(&c);
    assert_int_equal(hear(&c), AML_REGISTRY_OK);
    assert_int_equal(hear(&c), 1);
    assert_int_equal(hear(&c), 0);
    assert_int_equal(child_end(&c), 0);
    aml_registry_close(reg);
}


/* The same under a writer's handle: a second amld command with a larger map. */
static void
run_grow(const place_t *p, int in, int out)
{
    aml_registry_t *reg;

    (void) in;

    if (aml_registry_open_writer(p->dir, 64 * MIB, NO_GROUP, &reg) !=
        AML_REGISTRY_OK) {
        _exit(1);
    }
    fill(reg, 8);
    say(out, 0);
    aml_registry_close(reg);
}


static void
test_map_grows_under_writer(void **state)
{
    place_t *p = *state;
    child_t c;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_open_writer(p->dir, MIB, NO_GROUP, &reg),
                     AML_REGISTRY_OK);
    assert_int_equal(put(reg, "a/b", "before"), AML_REGISTRY_OK);
    child_start(&c, p, run_grow);
    assert_int_equal(hear(&c), 0);
    assert_int_equal(child_end(&c), 0);

    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "a/b", "after"));
    aml_registry_end(txn);
    assert_int_equal(put(reg, "a/b", "again"), AML_REGISTRY_OK);
    aml_registry_close(reg);
}


static void
test_full(void **state)
{
    place_t *p = *state;
    size_t i;
    char key[32], *value = calloc(1, MIB / 4);
    aml_registry_t *reg;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    assert_non_null(value);
    assert_int_equal(aml_registry_open_writer(p->dir, MIB, NO_GROUP, &reg),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_write(reg, &txn), AML_REGISTRY_OK);

    for (i = 0; i < 8 && rc == AML_REGISTRY_OK; i++) {
        snprintf(key, sizeof(key), "big/%zu", i);
        rc = aml_registry_put(txn, key, strlen(key), value, MIB / 4);
    }
    assert_int_equal(rc, AML_REGISTRY_LIMIT);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_LIMIT);

    /* nothing of it is kept, and small things still go in */
    assert_int_equal(put(reg, "a/b", "small"), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
    assert_true(has(txn, "big/0", NULL));
    aml_registry_end(txn);
    aml_registry_close(reg);

    /* the operator allows more */
    reg = writer(p);
    assert_int_equal(put_in(reg, "big/0", value, MIB / 4), AML_REGISTRY_OK);
    aml_registry_close(reg);
    free(value);
}


/* ---- a writer that dies ---- */

static void
run_die(const place_t *p, int in, int out)
{
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    if (aml_registry_open_writer(p->dir, 16 * MIB, NO_GROUP, &reg) !=
            AML_REGISTRY_OK ||
        aml_registry_write(reg, &txn) != AML_REGISTRY_OK ||
        aml_registry_put(txn, "a/b", 3, "lost", 4) != AML_REGISTRY_OK) {
        _exit(1);
    }
    say(out, 0);
    next(in); /* never */
}


static void
test_writer_killed(void **state)
{
    place_t *p = *state;
    int i;
    child_t c;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    reg = writer(p);
    assert_int_equal(put(reg, "a/b", "kept"), AML_REGISTRY_OK);

    /* with the locks of a writer that lives on, and without */
    for (i = 0; i < 2; i++) {
        if (i == 1) {
            aml_registry_close(reg);
        }

        child_start(&c, p, run_die);
        assert_int_equal(hear(&c), 0);
        assert_int_equal(kill(c.pid, SIGKILL), 0);
        assert_int_equal(child_end(&c), 128 + SIGKILL);
        assert_int_equal(look(p), AML_REGISTRY_OK);

        if (i == 1) {
            reg = writer(p);
        }

        assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
        assert_true(has(txn, "a/b", "kept"));
        aml_registry_end(txn);
        assert_int_equal(put(reg, "a/b", "kept"), AML_REGISTRY_OK);
    }

    aml_registry_close(reg);
}


/* Killed at any moment of many commits: what is there is whole. */
static void
run_hurry(const place_t *p, int in, int out)
{
    int i;
    char text[16];
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    (void) in;

    if (aml_registry_open_writer(p->dir, 16 * MIB, NO_GROUP, &reg) !=
        AML_REGISTRY_OK) {
        _exit(1);
    }
    say(out, 0);

    for (i = 0;; i++) {
        snprintf(text, sizeof(text), "%d", i);
        if (aml_registry_write(reg, &txn) != AML_REGISTRY_OK ||
            aml_registry_put(txn, "x", 1, text, strlen(text)) !=
                AML_REGISTRY_OK ||
            aml_registry_put(txn, "y", 1, text, strlen(text)) !=
                AML_REGISTRY_OK ||
            aml_registry_commit(txn) != AML_REGISTRY_OK) {
            _exit(2);
        }
    }
}


static void
test_writer_killed_often(void **state)
{
    place_t *p = *state;
    int i;
    child_t c;
    aml_str_t x, y;
    aml_registry_t *reg;
    aml_registry_txn_t *txn;

    for (i = 0; i < 20; i++) {
        child_start(&c, p, run_hurry);
        assert_int_equal(hear(&c), 0);
        poll(NULL, 0, i);
        assert_int_equal(kill(c.pid, SIGKILL), 0);
        assert_int_equal(child_end(&c), 128 + SIGKILL);

        reg = writer(p);
        assert_int_equal(aml_registry_read(reg, &txn), AML_REGISTRY_OK);
        if (aml_registry_get(txn, "x", 1, &x) == AML_REGISTRY_OK) {
            assert_int_equal(aml_registry_get(txn, "y", 1, &y),
                             AML_REGISTRY_OK);
            assert_true(aml_str_eq(x, y));
        } else {
            assert_true(has(txn, "y", NULL));
        }
        aml_registry_end(txn);
        aml_registry_close(reg);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_put_get),
        TEST(test_misuse),
        TEST(test_strerror),
        TEST(test_each),
        TEST(test_generation),
        TEST(test_threads),
        TEST(test_two_processes),
        TEST(test_map_grows_under_reader),
        TEST(test_map_grows_under_writer),
        TEST(test_full),
        TEST(test_writer_killed),
        TEST(test_writer_killed_often),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    signal(SIGPIPE, SIG_IGN);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
