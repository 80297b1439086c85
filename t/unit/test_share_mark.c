/*
 * How a workspace's share is known again.  What amld makes of it is
 * t/integration/share.t.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "computes/files/files.h"
#include "computes/files/share_mark.h"
#include "scratch.h"

#define FIRST "0a0b0c0d-0000-4000-8000-000000000001"
#define SECOND "0a0b0c0d-0000-4000-8000-000000000002"

typedef struct {
    scratch_t *scratch;
    char share[96];
    char err[4096];
    amld_workspace_t workspace;
} world_t;


static int
setup(void **state)
{
    void *scratch;
    world_t *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    assert_int_equal(scratch_setup(&scratch), 0);
    w->scratch = scratch;
    snprintf(w->share, sizeof(w->share), "%s/share", w->scratch->dir);
    w->workspace =
        (amld_workspace_t){(char *) "demo",  (char *) "s", (char *) "RG",
                           (char *) "local", w->share,     (char *) "/id"};
    *state = w;

    return 0;
}


static int
teardown(void **state)
{
    world_t *w = *state;
    void *scratch = w->scratch;

    scratch_teardown(&scratch);
    free(w);

    return 0;
}


static amld_share_state_t
look(world_t *w)
{
    return amld_share_look(w->scratch->registry, &w->workspace, NULL, w->err,
                           sizeof(w->err));
}


static const char *
at(const world_t *w, const char *name)
{
    static char path[192];

    snprintf(path, sizeof(path), "%s/%s", w->share, name);

    return path;
}


static void
say(const world_t *w, const char *text)
{
    FILE *f = fopen(at(w, AMLD_SHARE_MARK), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}


static void
somebody(const world_t *w)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, "folder/s/rg/demo/ann", 20, "x ann", 5),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
made(void **state)
{
    world_t *w = *state;
    struct stat st;

    assert_int_equal(mkdir(w->share, 0755), 0);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    assert_string_equal(w->err, "");
    assert_int_equal(stat(at(w, AMLD_SHARE_MARK), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);

    assert_int_equal(unlink(at(w, AMLD_SHARE_MARK)), 0);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
    assert_non_null(strstr(w->err, "no file"));
    assert_int_equal(access(at(w, AMLD_SHARE_MARK), F_OK), -1);
    say(w, SECOND "\n");
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
    assert_non_null(strstr(w->err, "another file"));

    assert_int_equal(amld_share_accept(w->scratch->registry, &w->workspace,
                                       w->err, sizeof(w->err)),
                     0);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    say(w, SECOND);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    say(w, FIRST);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
}


static void
brought(void **state)
{
    world_t *w = *state;

    assert_int_equal(mkdir(w->share, 0755), 0);
    say(w, FIRST "\nmore\n");
    somebody(w);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    say(w, SECOND);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
}


static void
later(void **state)
{
    world_t *w = *state;

    assert_int_equal(look(w), AMLD_SHARE_MISSING);
    assert_int_equal(amld_share_accept(w->scratch->registry, &w->workspace,
                                       w->err, sizeof(w->err)),
                     -1);
    somebody(w);
    assert_int_equal(look(w), AMLD_SHARE_MISSING);
    assert_int_equal(mkdir(w->share, 0755), 0);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    assert_int_equal(unlink(at(w, AMLD_SHARE_MARK)), 0);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
}


static void
doubtful(void **state)
{
    world_t *w = *state;

    somebody(w);
    assert_int_equal(look(w), AMLD_SHARE_MISSING);
    assert_int_equal(mkdir(w->share, 0755), 0);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
    assert_non_null(strstr(w->err, "nobody's files"));
    assert_int_equal(access(at(w, AMLD_SHARE_MARK), F_OK), -1);
    assert_int_equal(mkdir(at(w, "Users"), 0755), 0);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    assert_int_equal(access(at(w, AMLD_SHARE_MARK), F_OK), 0);
}


static void
hostile(void **state)
{
    static const char *const nothing[] = {
        "", "0", "no uuid, but of the length of one, or so"};
    world_t *w = *state;
    size_t k;

    assert_int_equal(mkdir(w->share, 0755), 0);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);

    for (k = 0; k < 3; k++) {
        say(w, nothing[k]);
        assert_int_equal(look(w), AMLD_SHARE_OTHER);
    }
    assert_int_equal(amld_share_accept(w->scratch->registry, &w->workspace,
                                       w->err, sizeof(w->err)),
                     0);
    assert_int_equal(look(w), AMLD_SHARE_GOOD);

    assert_int_equal(unlink(at(w, AMLD_SHARE_MARK)), 0);
    assert_int_equal(mkfifo(at(w, AMLD_SHARE_MARK), 0600), 0);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
    assert_int_equal(unlink(at(w, AMLD_SHARE_MARK)), 0);
    assert_int_equal(symlink("/etc/hostname", at(w, AMLD_SHARE_MARK)), 0);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
    assert_non_null(strstr(w->err, "can't be known"));
    assert_int_equal(unlink(at(w, AMLD_SHARE_MARK)), 0);
    assert_int_equal(mkdir(at(w, AMLD_SHARE_MARK), 0755), 0);
    assert_int_equal(look(w), AMLD_SHARE_OTHER);
}


/* As from a server that squashes root: nothing can be made there. */
static void
closed(void **state)
{
    world_t *w = *state;

    if (geteuid() == 0) {
        snprintf(w->share, sizeof(w->share), "/proc/self");
    } else {
        assert_int_equal(mkdir(w->share, 0555), 0);
    }
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
    assert_non_null(strstr(w->err, "can be made"));
    assert_int_equal(look(w), AMLD_SHARE_GOOD);
}


static void
below(void **state)
{
    world_t *w = *state;
    char path[192], beside[192];

    snprintf(path, sizeof(path), "%s", at(w, "Users/ann"));
    snprintf(beside, sizeof(beside), "%s-2/Users", w->share);

    assert_int_equal(amld_files_mkdir_below(w->share, path, 0755), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(access(w->share, F_OK), -1);
    assert_int_equal(amld_files_mkdir_below(w->share, beside, 0755), -1);
    assert_int_equal(errno, EINVAL);

    assert_int_equal(mkdir(w->share, 0755), 0);
    assert_int_equal(amld_files_mkdir_below(w->share, path, 0755), 0);
    assert_int_equal(amld_files_mkdir_below(w->share, path, 0755), 0);
    assert_int_equal(access(path, F_OK), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made, setup, teardown),
        cmocka_unit_test_setup_teardown(brought, setup, teardown),
        cmocka_unit_test_setup_teardown(later, setup, teardown),
        cmocka_unit_test_setup_teardown(doubtful, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(closed, setup, teardown),
        cmocka_unit_test_setup_teardown(below, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
