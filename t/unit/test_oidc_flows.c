/*
 * Sign-ins that are under way: taken once, bounded, over by themselves; and
 * other records that are.
 */

#include "t/unit/scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "auth/address.h"
#include "auth/expiring.h"
#include "auth/oidc_flows.h"
#include "computes/amld.h"

#define NOW 1795000000


/* Begins one; returns what was written. */
static amld_oidc_flow_t
begin(scratch_t *s, const char *address, uint8_t browser, int64_t when,
      char state[AMLD_SECRET_SIZE])
{
    amld_oidc_flow_t flow = {.issuer = "corp",
                             .to = "/lab?x=\"y\"",
                             .address = address,
                             .fresh = 1,
                             .created = when};

    memset(flow.browser, browser, sizeof(flow.browser));
    assert_int_equal(amld_oidc_flow_begin(s->registry, &flow, state),
                     AML_REGISTRY_OK);

    return flow;
}


/* Takes it and forgets it: OK, NOTFOUND, or DENIED where it was used. */
static aml_registry_rc_t
take(scratch_t *s, const char *state, int64_t now)
{
    amld_oidc_flow_t flow;
    aml_registry_rc_t rc;
    json_t *json;

    rc = amld_oidc_flow_take(s->registry, state, now, &flow, &json);
    if (rc == AML_REGISTRY_OK && flow.used) {
        rc = AML_REGISTRY_DENIED;
    }
    json_decref(json);

    return rc;
}


static void
test_take(void **state)
{
    scratch_t *s = *state;
    char one[AMLD_SECRET_SIZE], two[AMLD_SECRET_SIZE];
    amld_oidc_flow_t made = begin(s, "192.0.2.1", 7, NOW, one), flow;
    json_t *json;

    (void) begin(s, "192.0.2.1", 7, NOW, two);
    assert_string_not_equal(one, two);
    assert_string_not_equal(made.nonce, made.verifier);
    assert_int_equal(strlen(made.verifier), 43);

    assert_int_equal(
        amld_oidc_flow_take(s->registry, one, NOW + 1, &flow, &json),
        AML_REGISTRY_OK);
    assert_string_equal(flow.issuer, "corp");
    assert_string_equal(flow.to, "/lab?x=\"y\"");
    assert_string_equal(flow.nonce, made.nonce);
    assert_string_equal(flow.verifier, made.verifier);
    assert_memory_equal(flow.browser, made.browser, sizeof(flow.browser));
    assert_int_equal(flow.fresh, 1);
    assert_int_equal(flow.again, 0);
    assert_int_equal(flow.used, 0);
    assert_int_equal(flow.created, NOW);
    json_decref(json);

    /* once; after that it leads on, without its secrets */
    assert_int_equal(
        amld_oidc_flow_take(s->registry, one, NOW + 2, &flow, &json),
        AML_REGISTRY_OK);
    assert_int_equal(flow.used, 1);
    assert_string_equal(flow.to, "/lab?x=\"y\"");
    assert_string_equal(flow.nonce, "");
    assert_string_equal(flow.verifier, "");
    json_decref(json);

    assert_int_equal(take(s, two, NOW + AMLD_FLOW_LIFETIME - 1),
                     AML_REGISTRY_OK);
}


static void
test_not_there(void **state)
{
    scratch_t *s = *state;
    char text[AMLD_SECRET_SIZE];

    (void) begin(s, "192.0.2.1", 7, NOW, text);

    assert_int_equal(take(s, NULL, NOW), AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, "", NOW), AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, "../../meta/format", NOW), AML_REGISTRY_NOTFOUND);
    assert_int_equal(
        take(s, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NOW),
        AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, text, NOW + AMLD_FLOW_LIFETIME),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, text, NOW), AML_REGISTRY_OK);
    assert_int_equal(take(s, text, NOW), AML_REGISTRY_DENIED);
}


static aml_registry_rc_t
put(scratch_t *s, const char *key, const void *value, size_t n)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, key, strlen(key), value, n),
                     AML_REGISTRY_OK);

    return aml_registry_commit(txn);
}


/* A record that nobody has written so is no sign-in. */
static void
test_corrupt(void **state)
{
    scratch_t *s = *state;
    char text[AMLD_SECRET_SIZE], hex[AMLD_HASH_HEX_SIZE], key[128],
        value[256] = {0};
    uint8_t hash[32];
    size_t n;

    assert_int_equal(amld_secret_new(text, hash), 0);
    amld_hash_format(hash, hex);
    (void) snprintf(key, sizeof(key), AMLD_FLOW_PREFIX "%s", hex);

    for (n = 1; n < sizeof(value); n += 50) {
        amld_expiring_write(value, NOW + 100);
        assert_int_equal(put(s, key, value, n), AML_REGISTRY_OK);
        assert_int_not_equal(take(s, text, NOW), AML_REGISTRY_OK);
        assert_int_not_equal(take(s, text, NOW), AML_REGISTRY_DENIED);
    }
}


/* The oldest of a browser goes, and none of another's. */
static void
test_browser_bound(void **state)
{
    scratch_t *s = *state;
    char first[AMLD_SECRET_SIZE], second[AMLD_SECRET_SIZE],
        other[AMLD_SECRET_SIZE], text[AMLD_SECRET_SIZE];
    int i;

    (void) begin(s, "192.0.2.1", 8, NOW - 100, other);
    (void) begin(s, "192.0.2.1", 7, NOW, first);
    (void) begin(s, "192.0.2.1", 7, NOW + 1, second);
    for (i = 2; i < AMLD_FLOWS_BROWSER; i++) {
        (void) begin(s, "192.0.2.1", 7, NOW + i, text);
    }
    assert_int_equal(scratch_count(s, AMLD_FLOW_PREFIX),
                     AMLD_FLOWS_BROWSER + 1);

    (void) begin(s, "198.51.100.1", 7, NOW + 100, text);
    assert_int_equal(scratch_count(s, AMLD_FLOW_PREFIX),
                     AMLD_FLOWS_BROWSER + 1);
    assert_int_equal(take(s, first, NOW + 100), AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, other, NOW + 100), AML_REGISTRY_OK);

    /* one that was used goes before older ones that were not */
    assert_int_equal(take(s, text, NOW + 100), AML_REGISTRY_OK);
    (void) begin(s, "192.0.2.1", 7, NOW + 101, first);
    assert_int_equal(take(s, text, NOW + 100), AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, second, NOW + 100), AML_REGISTRY_OK);
}


static void
test_sweep(void **state)
{
    scratch_t *s = *state;
    char old[AMLD_SECRET_SIZE], young[AMLD_SECRET_SIZE], text[32], key[64];
    size_t removed, i;

    (void) begin(s, "192.0.2.1", 1, NOW - AMLD_FLOW_LIFETIME, old);
    (void) begin(s, "192.0.2.1", 1, NOW - AMLD_FLOW_LIFETIME + 1, young);

    assert_int_equal(
        amld_expiring_sweep(s->registry, AMLD_FLOW_PREFIX, NOW, 100, &removed),
        AML_REGISTRY_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(take(s, old, NOW - 1), AML_REGISTRY_NOTFOUND);
    assert_int_equal(take(s, young, NOW), AML_REGISTRY_OK);

    /* batches, a bound, and no other family */
    amld_expiring_write(text, NOW);
    assert_int_equal(put(s, "left/x", text, 8), AML_REGISTRY_OK);
    for (i = 0; i < 600; i++) {
        (void) snprintf(key, sizeof(key), "leave/%zu", i);
        assert_int_equal(put(s, key, text, 8), AML_REGISTRY_OK);
    }
    assert_int_equal(put(s, "leave/short", text, 3), AML_REGISTRY_OK);

    assert_int_equal(
        amld_expiring_sweep(s->registry, "leave/", NOW - 1, 1000, &removed),
        AML_REGISTRY_OK);
    assert_int_equal(removed, 1); /* what can't be read is over */
    assert_int_equal(
        amld_expiring_sweep(s->registry, "leave/", NOW, 500, &removed),
        AML_REGISTRY_OK);
    assert_int_equal(removed, 500);
    assert_int_equal(
        amld_expiring_sweep(s->registry, "leave/", NOW, 500, &removed),
        AML_REGISTRY_OK);
    assert_int_equal(removed, 100);
    assert_int_equal(
        amld_expiring_sweep(s->registry, "leave/", NOW, 500, &removed),
        AML_REGISTRY_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(scratch_count(s, "left/"), 1);
}


typedef struct {
    scratch_t *scratch;
    atomic_int tid;
    size_t removed;
    aml_registry_rc_t rc;
} sweeper_t;


static void *
sweeper_run(void *data)
{
    sweeper_t *w = data;

    atomic_store(&w->tid, (int) syscall(SYS_gettid));
    w->rc = amld_expiring_sweep(w->scratch->registry, "leave/", NOW, 10,
                                &w->removed);

    return NULL;
}


/* Until the thread sleeps. */
static void
wait_asleep(sweeper_t *w)
{
    char path[64], line[256], *p;
    FILE *f;

    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        (void) snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
                        atomic_load(&w->tid));
        f = fopen(path, "r");
        p = f != NULL ? fgets(line, sizeof(line), f) : NULL;
        p = p != NULL ? strrchr(line, ')') : NULL;
        if (f != NULL) {
            fclose(f);
        }
    } while (p == NULL || p[2] != 'S');
}


/* One that is made to last longer while the sweep waits to write is not over;
 * others that it has seen are. */
static void
test_sweep_late(void **state)
{
    sweeper_t w = {.scratch = *state};
    aml_registry_txn_t *txn;
    pthread_t thread;
    char value[8];

    amld_expiring_write(value, NOW);
    assert_int_equal(put(*state, "leave/a", value, 8), AML_REGISTRY_OK);
    assert_int_equal(put(*state, "leave/b", value, 8), AML_REGISTRY_OK);
    assert_int_equal(put(*state, "leave/c", value, 8), AML_REGISTRY_OK);

    assert_int_equal(aml_registry_write(w.scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(pthread_create(&thread, NULL, sweeper_run, &w), 0);
    wait_asleep(&w);
    amld_expiring_write(value, NOW + 1);
    assert_int_equal(aml_registry_put(txn, "leave/a", 7, value, 8),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_del(txn, "leave/b", 7), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);

    assert_int_equal(w.rc, AML_REGISTRY_OK);
    assert_int_equal(w.removed, 1);
    assert_int_equal(scratch_count(*state, "leave/"), 1);
    assert_int_equal(scratch_count(*state, "leave/a"), 1);
}


static void
test_address(void **state)
{
    static const struct {
        const char *one, *other;
        int same;
    } t[] = {
        {"192.0.2.1", "192.0.2.1", 1},
        {"192.0.2.1", "192.0.2.2", 0},
        {"192.0.2.1", "::ffff:192.0.2.1", 1},
        {"2001:db8::1", "2001:db8::2", 1},
        {"2001:db8::1", "2001:db8:0:1::1", 0},
        {"unix:", "unix:", 1},
        {"unix:", "192.0.2.1", 0},
        {"", "unix:", 0},
        {"a name that is longer than there is room", "another name", 0},
    };
    uint8_t one[AMLD_ADDRESS_SIZE], other[AMLD_ADDRESS_SIZE];
    size_t i, n;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        n = amld_address(t[i].one, one);
        assert_true(n <= sizeof(one));
        assert_int_equal(n == amld_address(t[i].other, other) &&
                             memcmp(one, other, n) == 0,
                         t[i].same);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_take, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_not_there, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_corrupt, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_browser_bound, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_sweep_late, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_sweep, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(test_address),
    };

    amld_log_level((amld_log_level_t) -1);

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("oidc_flows", tests, NULL, NULL);
}
