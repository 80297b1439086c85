/*
 * Secrets at rest: what opens, and what must not.
 */

#include "t/unit/log_capture.h"
#include "t/unit/scratch.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "auth/sealed.h"
#include "computes/amld.h"

#define TEXT "a refresh token"

typedef struct {
    char path[128];
    amld_sealer_t *sealer;
} keys_t;


static keys_t
keys_of(scratch_t *s)
{
    keys_t k;

    snprintf(k.path, sizeof(k.path), "%s/sealing-keys", s->dir);
    k.sealer = amld_sealer_new(k.path);
    assert_non_null(k.sealer);

    return k;
}


/* Whole, with a NUL behind. */
static void
read_keys(const keys_t *k, char text[4096])
{
    FILE *f = fopen(k->path, "r");

    assert_non_null(f);
    text[fread(text, 1, 4095, f)] = '\0';
    fclose(f);
}


static void
write_keys(const keys_t *k, const char *text)
{
    FILE *f = fopen(k->path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}


static int
opens(const amld_sealer_t *s, const char *what, const uint8_t *sealed, size_t n)
{
    char text[256] = "";
    aml_str_t in = {(const char *) sealed, n};

    if (amld_unseal(s, aml_str_of(what), in, (uint8_t *) text) != 0) {
        return 0;
    }
    text[n - AMLD_SEALED_EXTRA] = '\0';

    return strcmp(text, TEXT) == 0;
}


static void
test_seal(void **state)
{
    uint8_t sealed[256], other[256];
    keys_t k = keys_of(*state);
    aml_str_t text = aml_str(TEXT);
    size_t i, n = text.n + AMLD_SEALED_EXTRA;

    assert_int_equal(amld_seal(k.sealer, aml_str("one"), text, sealed), 0);
    assert_true(opens(k.sealer, "one", sealed, n));
    assert_null(memmem(sealed, n, "refresh", 7));

    /* never the same twice */
    assert_int_equal(amld_seal(k.sealer, aml_str("one"), text, other), 0);
    assert_memory_not_equal(sealed, other, n);

    /* another's, cut, changed anywhere */
    assert_false(opens(k.sealer, "two", sealed, n));
    assert_false(opens(k.sealer, "", sealed, n));
    for (i = 0; i < n; i++) {
        assert_false(opens(k.sealer, "one", sealed, i));
    }
    for (i = 0; i < n * 8; i++) {
        memcpy(other, sealed, n);
        other[i / 8] ^= (uint8_t) (1u << i % 8);
        assert_false(opens(k.sealer, "one", other, n));
    }
    assert_true(opens(k.sealer, "one", sealed, n));

    amld_sealer_free(k.sealer);
}


static void
test_file(void **state)
{
    uint8_t old[256], new[256];
    keys_t k = keys_of(*state);
    char text[4096], both[8300];
    aml_str_t secret = aml_str(TEXT);
    size_t n = secret.n + AMLD_SEALED_EXTRA;
    struct stat st;

    assert_int_equal(stat(k.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(amld_seal(k.sealer, aml_str("x"), secret, old), 0);
    amld_sealer_free(k.sealer);

    /* it stays */
    read_keys(&k, text);
    k = keys_of(*state);
    assert_true(opens(k.sealer, "x", old, n));
    amld_sealer_free(k.sealer);

    /* a new key in front: it seals, the old one goes on opening */
    snprintf(both, sizeof(both), "01234567 %064d\n%s", 7, text);
    write_keys(&k, both);
    k = keys_of(*state);
    assert_int_equal(amld_seal(k.sealer, aml_str("x"), secret, new), 0);
    assert_memory_equal(new + 1, "\x01\x23\x45\x67", 4);
    assert_true(opens(k.sealer, "x", old, n));
    assert_true(opens(k.sealer, "x", new, n));
    amld_sealer_free(k.sealer);

    /* and is gone with its line */
    both[8 + 1 + 64 + 1] = '\0';
    write_keys(&k, both);
    k = keys_of(*state);
    assert_false(opens(k.sealer, "x", old, n));
    assert_true(opens(k.sealer, "x", new, n));
    amld_sealer_free(k.sealer);
}


static void
test_bad_files(void **state)
{
    static const char good[] =
        "01234567 "
        "0000000000000000000000000000000000000000000000000000000000000001\n";
    static const char *const bad[] = {
        "",
        "\n",
        "01234567\n",
        "01234567 00\n",
        "0123456x "
        "0000000000000000000000000000000000000000000000000000000000000001\n",
        "01234567 "
        "000000000000000000000000000000000000000000000000000000000000000g\n",
        "01234567 "
        "00000000000000000000000000000000000000000000000000000000000000010\n",
    };
    keys_t k = keys_of(*state);
    char text[2 * sizeof(good)];
    size_t i;

    amld_sealer_free(k.sealer);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_keys(&k, bad[i]);
        assert_null(amld_sealer_new(k.path));
    }

    snprintf(text, sizeof(text), "%s%s", good, good);
    write_keys(&k, text);
    assert_null(amld_sealer_new(k.path));

    write_keys(&k, good);
    assert_int_equal(chmod(k.path, 0640), 0);
    assert_null(amld_sealer_new(k.path));
    assert_int_equal(chmod(k.path, 0600), 0);
    k = keys_of(*state);
    amld_sealer_free(k.sealer);

    if (geteuid() == 0) { /* nobody else can give a file away */
        assert_int_equal(chown(k.path, 1, (gid_t) -1), 0);
        assert_null(amld_sealer_new(k.path));
        assert_int_equal(chown(k.path, 0, (gid_t) -1), 0);
    }

    /* not for want of a file, but of a place for it */
    assert_null(amld_sealer_new("/nonexistent/sealing-keys"));
    assert_int_equal(unlink(k.path), 0);
    assert_int_equal(mkfifo(k.path, 0600), 0);
    assert_null(amld_sealer_new(k.path));
}


/* Digits of either case are the same key. */
static void
test_case(void **state)
{
    uint8_t sealed[256];
    keys_t k = keys_of(*state);
    aml_str_t secret = aml_str(TEXT);
    size_t i, n = secret.n + AMLD_SEALED_EXTRA;
    char text[4096];

    assert_int_equal(amld_seal(k.sealer, aml_str("x"), secret, sealed), 0);
    assert_true(
        amld_sealer_opens(k.sealer, (aml_str_t){(const char *) sealed, n}));
    amld_sealer_free(k.sealer);

    read_keys(&k, text);
    for (i = 0; text[i] != '\0'; i++) {
        text[i] = (char) toupper((unsigned char) text[i]);
    }
    write_keys(&k, text);
    k = keys_of(*state);
    assert_true(opens(k.sealer, "x", sealed, n));

    /* another key's, another version's, and nothing */
    sealed[1] ^= 1;
    assert_false(
        amld_sealer_opens(k.sealer, (aml_str_t){(const char *) sealed, n}));
    sealed[1] ^= 1;
    sealed[0]++;
    assert_false(
        amld_sealer_opens(k.sealer, (aml_str_t){(const char *) sealed, n}));
    assert_false(amld_sealer_opens(k.sealer, (aml_str_t){NULL, 0}));
    amld_sealer_free(k.sealer);
}


/* A file that was lost is made again, and that can be seen. */
static void
test_made(void **state)
{
    keys_t k;
    int saved = log_begin(*state);

    amld_log_level(AMLD_LOG_INFO);
    k = keys_of(*state);
    assert_int_equal(logged("sealing-keys: made"), 1);
    amld_sealer_free(k.sealer);
    k = keys_of(*state);
    assert_int_equal(logged("sealing-keys: made"), 1);
    amld_sealer_free(k.sealer);
    amld_log_level((amld_log_level_t) -1);
    log_end(saved);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seal, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_file, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_case, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_made, scratch_setup,
                                        scratch_teardown),
    };

    amld_log_level((amld_log_level_t) -1);

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("sealed", tests, NULL, NULL);
}
