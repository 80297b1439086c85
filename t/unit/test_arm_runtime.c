/*
 * The names of private directories: by chance, and never of two.
 */

#include "t/unit/arm_bodies.h"

#include <openssl/rand.h>
#include <sys/random.h>
#include <sys/stat.h>

/* What is drawn next; then it is chance again. */
static const char *draws[4];


int
RAND_bytes(unsigned char *buf, int n)
{
    size_t i;

    if (n == 4 && draws[0] != NULL) {
        memcpy(buf, draws[0], 4);
        for (i = 0; i < 3; i++) {
            draws[i] = draws[i + 1];
        }
        return 1;
    }

    return getrandom(buf, (size_t) n, 0) == n;
}


static void
assert_runtime(server_t *s, const char *name, const char *want)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(aml_registry_read(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);
    assert_string_equal(amld_compute_str(doc, "runtime"), want);
    json_decref(doc);
}


/* Two in one directory would have each other's sockets. */
static void
drawn_again(void **state)
{
    server_t *s = *state;
    char directory[] = "/tmp/aml-runtime-XXXXXX", path[64];

    assert_non_null(mkdtemp(directory));
    s->config.state = directory;
    snprintf(path, sizeof(path), "%s/i", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/i/62626262", directory);
    assert_int_equal(mkdir(path, 0700), 0);

    draws[0] = "aaaa";
    assert_int_equal(call(s, "PUT", LAB, BODY).status, 201);
    assert_runtime(s, "lab", "61616161");

    /* another's; one that is still there */
    draws[0] = "aaaa";
    draws[1] = "bbbb";
    draws[2] = "cccc";
    assert_int_equal(
        call_by(s, THEIRS, "PUT", W "/computes/two" V, BODY).status, 201);
    assert_runtime(s, "two", "63636363");
    assert_null(draws[0]);
    assert_int_equal(scratch_count(s->scratch, "runtime/"), 2);
    assert_int_equal(
        scratch_count(s->scratch, "runtime/63636363/s-1/rg/demo/two"), 1);

    /* what is gone is free */
    set_state(s, "lab", AMLD_STATE_STOPPED);
    gone(s, "lab");
    assert_int_equal(scratch_count(s->scratch, "runtime/"), 1);
    draws[0] = "aaaa";
    assert_int_equal(call(s, "PUT", W "/computes/three" V, BODY).status, 201);
    assert_runtime(s, "three", "61616161");

    rmdir(path);
    snprintf(path, sizeof(path), "%s/i", directory);
    rmdir(path);
    rmdir(directory);
    s->config.state = (char *) "/run/aml";
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(drawn_again, arm_setup, arm_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("arm_runtime", tests, NULL, NULL);
}
