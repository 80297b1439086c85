/*
 * Directories of instances, in which somebody else may be at work meanwhile.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "computes/files/files.h"
#include "computes/files/private_files.h"
#include "computes/files/samples.h"
#include "computes/files/tree.h"

#define SOMEBODY 65534
#define OTHER 1234
#define ROUNDS 1000

typedef struct {
    char dir[64];
} place_t;


static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}


static int
setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    strcpy(p->dir, "/tmp/aml-files-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    assert_int_equal(chmod(p->dir, 0711), 0);
    *state = p;

    return 0;
}


static int
teardown(void **state)
{
    place_t *p = *state;

    nftw(p->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(p);

    return 0;
}


static const char *
at(const place_t *p, const char *name)
{
    static char path[4][PATH_MAX];
    static unsigned n;
    char *to = path[n++ % 4];

    snprintf(to, PATH_MAX, "%s/%s", p->dir, name);

    return to;
}


static void
make(const char *path, mode_t mode, uid_t uid)
{
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, uid, uid), 0);
}


static void
make_file(const char *path, mode_t mode, uid_t uid)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd != -1);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(fchown(fd, uid, uid), 0);
    close(fd);
}


static struct stat
look(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);

    return st;
}


/* In `where`, as somebody, again and again: a directory of the name `name`
 * makes room for a link to `victim`, symbolic or hard. */
static pid_t
swap(const char *where, const char *name, const char *victim, int hard)
{
    pid_t pid = fork();

    if (pid != 0) {
        return pid;
    }

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (setgid(SOMEBODY) != 0 || setuid(SOMEBODY) != 0 || chdir(where) != 0) {
        _exit(1);
    }
    for (;;) {
        if (rmdir(name) == 0) {
            if ((hard ? link(victim, name) : symlink(victim, name)) == 0) {
                usleep(30);
            }
        }
        (void) unlink(name);
    }
}


static void
end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}


static void
directories(void **state)
{
    place_t *p = *state;
    int above, fd;

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "u"), 0700, SOMEBODY);
    above = open(at(p, "u"), O_PATH | O_DIRECTORY);
    assert_true(above != -1);

    fd = amld_files_directory(above, "tmp", 0750, SOMEBODY, SOMEBODY);
    assert_true(fd != -1);
    close(fd);
    assert_int_equal(look(at(p, "u/tmp")).st_uid, SOMEBODY);
    assert_int_equal(look(at(p, "u/tmp")).st_mode & 07777, 0750);

    /* what is there stays as they have it */
    assert_int_equal(chmod(at(p, "u/tmp"), 0711), 0);
    fd = amld_files_directory(above, "tmp", 0750, SOMEBODY, SOMEBODY);
    assert_true(fd != -1);
    close(fd);
    assert_int_equal(look(at(p, "u/tmp")).st_mode & 07777, 0711);

    /* of an amld that was killed */
    make(at(p, "u/run"), 0700, 0);
    fd = amld_files_directory(above, "run", 0700, SOMEBODY, SOMEBODY);
    assert_true(fd != -1);
    close(fd);
    assert_int_equal(look(at(p, "u/run")).st_uid, SOMEBODY);

    /* of others, and of root's for others to see */
    make(at(p, "u/other"), 0700, OTHER);
    assert_int_equal(
        amld_files_directory(above, "other", 0700, SOMEBODY, SOMEBODY), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(look(at(p, "u/other")).st_uid, OTHER);
    make(at(p, "u/root"), 0755, 0);
    assert_int_equal(
        amld_files_directory(above, "root", 0700, SOMEBODY, SOMEBODY), -1);
    assert_int_equal(look(at(p, "u/root")).st_uid, 0);

    /* no directory */
    make_file(at(p, "u/file"), 0600, 0);
    assert_int_equal(symlink("tmp", at(p, "u/link")), 0);
    assert_int_equal(
        amld_files_directory(above, "file", 0700, SOMEBODY, SOMEBODY), -1);
    assert_int_equal(
        amld_files_directory(above, "link", 0700, SOMEBODY, SOMEBODY), -1);
    assert_int_equal(look(at(p, "u/file")).st_uid, 0);
    close(above);

    /* In root's directory all that root has is root's to give. */
    above = open(p->dir, O_PATH | O_DIRECTORY);
    make(at(p, "folder"), 0755, 0);
    fd = amld_files_directory(above, "folder", 0755, SOMEBODY, SOMEBODY);
    assert_true(fd != -1);
    close(fd);
    close(above);
    assert_int_equal(look(at(p, "folder")).st_uid, SOMEBODY);
}


/* In somebody's folder, where they can give root's any name. */
static void
made(void **state)
{
    place_t *p = *state;
    int above, fd;

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "u"), 0700, SOMEBODY);
    make(at(p, "u/backup"), 0700, 0);
    above = open(at(p, "u"), O_PATH | O_DIRECTORY);
    assert_true(above != -1);

    fd = amld_files_make(above, "new", 0755, SOMEBODY, SOMEBODY);
    assert_true(fd != -1);
    close(fd);
    assert_int_equal(look(at(p, "u/new")).st_uid, SOMEBODY);
    assert_int_equal(look(at(p, "u/new")).st_gid, SOMEBODY);
    assert_int_equal(look(at(p, "u/new")).st_mode & 07777, 0755);
    fd = amld_files_make(above, "new", 0700, SOMEBODY, SOMEBODY);
    assert_true(fd != -1);
    close(fd);
    assert_int_equal(look(at(p, "u/new")).st_mode & 07777, 0755);

    assert_int_equal(rename(at(p, "u/backup"), at(p, "u/jobs")), 0);
    fd = amld_files_make(above, "jobs", 0755, SOMEBODY, SOMEBODY);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(look(at(p, "u/jobs")).st_uid, 0);
    assert_int_equal(look(at(p, "u/jobs")).st_mode & 07777, 0700);
    close(above);

    /* and all is root again */
    make_file(at(p, "after"), 0600, OTHER);
    fd = open(at(p, "after"), O_WRONLY);
    assert_true(fd != -1);
    close(fd);
    make(at(p, "dir"), 0700, OTHER);
    fd = open(at(p, "dir/file"), O_WRONLY | O_CREAT, 0600);
    assert_true(fd != -1);
    close(fd);
    assert_int_equal(look(at(p, "dir/file")).st_uid, 0);
}


/* Nobody gets root to change, or to give away, what is elsewhere. */
static void
swapped(void **state)
{
    place_t *p = *state;
    int above, fd, k;
    pid_t pid;
    char victim[PATH_MAX];

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "u"), 0700, SOMEBODY);
    make(at(p, "victim"), 0755, 0);
    snprintf(victim, sizeof(victim), "%s", at(p, "victim"));
    above = open(at(p, "u"), O_PATH | O_DIRECTORY);
    pid = swap(at(p, "u"), "tmp", victim, 0);

    for (k = 0; k < ROUNDS; k++) {
        (void) amld_files_remove(at(p, "u"), 0, NULL);
        fd = amld_files_directory(above, "tmp", 0700, SOMEBODY, SOMEBODY);
        if (fd != -1) {
            close(fd);
        }
        if (look(victim).st_uid != 0 || (look(victim).st_mode & 0777) != 0755) {
            break;
        }
    }
    end(pid);
    close(above);

    assert_int_equal(look(victim).st_uid, 0);
    assert_int_equal(look(victim).st_mode & 0777, 0755);
}


/* The mode is not set by a path that leads elsewhere by now. */
static void
swapped_path(void **state)
{
    place_t *p = *state;
    int k;
    pid_t pid;
    char victim[PATH_MAX], path[PATH_MAX];

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "u"), 0700, SOMEBODY);
    make(at(p, "victim"), 0755, 0);
    snprintf(victim, sizeof(victim), "%s", at(p, "victim"));
    snprintf(path, sizeof(path), "%s", at(p, "u/tmp"));
    pid = swap(at(p, "u"), "tmp", victim, 0);

    for (k = 0; k < ROUNDS; k++) {
        (void) amld_files_remove(at(p, "u"), 0, NULL);
        (void) amld_files_mkdir(path, 0700);
        if ((look(victim).st_mode & 0777) != 0755) {
            break;
        }
    }
    end(pid);

    assert_int_equal(look(victim).st_mode & 0777, 0755);
}


/* Applications' files, and samples: into what is its person's, only. */
static void
for_applications(void **state)
{
    static const aml_application_file_t files[] = {{"settings", NULL},
                                                   {NULL, NULL}};
    place_t *p = *state;
    char err[512];

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "u"), 0700, SOMEBODY);
    make(at(p, "u/run"), 0700, SOMEBODY);
    assert_int_equal(amld_private_files(at(p, "u"), files, err, sizeof(err)),
                     0);
    assert_int_equal(look(at(p, "u/settings")).st_uid, SOMEBODY);

    assert_int_equal(rmdir(at(p, "u/settings")), 0);
    make(at(p, "u/settings"), 0755, OTHER);
    assert_int_equal(amld_private_files(at(p, "u"), files, err, sizeof(err)),
                     0);
    assert_int_equal(look(at(p, "u/settings")).st_uid, OTHER);

    make(at(p, "from"), 0755, 0);
    make_file(at(p, "from/a.ipynb"), 0644, 0);
    assert_int_equal(amld_samples_copy(at(p, "from"), at(p, "u")), 0);
    assert_int_equal(look(at(p, "u/samples")).st_uid, SOMEBODY);
    assert_int_equal(look(at(p, "u/samples")).st_mode & 0777, 0755);
    assert_int_equal(look(at(p, "u/samples/a.ipynb")).st_uid, SOMEBODY);
    assert_int_equal(chown(at(p, "u/samples"), OTHER, OTHER), 0);
    assert_int_equal(amld_samples_copy(at(p, "from"), at(p, "u")), -1);
    assert_int_equal(look(at(p, "u/samples")).st_uid, OTHER);
}


/* ---- trees ---- */

/* Directories below each other; in the last a file. */
static void
make_deep(const char *path, size_t depth)
{
    size_t k;
    int fd;

    fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(fd != -1);
    for (k = 0; k < depth; k++) {
        int next;

        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        assert_true(next != -1);
        close(fd);
        fd = next;
    }
    close(openat(fd, "f", O_WRONLY | O_CREAT, 0600));
    close(fd);
}


static int
keep_logs(const char *name)
{
    return strcmp(name, "log") == 0;
}


static void
removed(void **state)
{
    place_t *p = *state;
    atomic_int stop = 1;

    make(at(p, "t"), 0755, geteuid());
    make(at(p, "kept"), 0755, geteuid());
    make_file(at(p, "kept/f"), 0644, geteuid());
    make_deep(at(p, "t"), 5000);
    make(at(p, "t/wide"), 0755, geteuid());
    make(at(p, "t/wide/a"), geteuid() == 0 ? 0000 : 0700, geteuid());
    make(at(p, "t/wide/b"), 0755, geteuid());
    make_file(at(p, "t/log"), 0600, geteuid());
    make_file(at(p, "t/wide/log"), 0600, geteuid());
    assert_int_equal(symlink(at(p, "kept"), at(p, "t/link")), 0);
    assert_int_equal(symlink(at(p, "kept"), at(p, "t/wide/link")), 0);

    assert_int_equal(amld_tree_remove(at(p, "t"), 1, NULL, &stop), -1);
    assert_int_equal(errno, ECANCELED);

    assert_int_equal(amld_tree_remove(at(p, "t"), 0, keep_logs, NULL), 0);
    assert_int_equal(access(at(p, "t/log"), F_OK), 0);
    assert_int_equal(access(at(p, "t/wide"), F_OK), -1);
    assert_int_equal(access(at(p, "t/d"), F_OK), -1);
    assert_int_equal(access(at(p, "kept/f"), F_OK), 0);
    assert_int_equal(amld_tree_remove(at(p, "t"), 1, NULL, NULL), 0);
    assert_int_equal(access(at(p, "t"), F_OK), -1);
    assert_int_equal(amld_tree_remove(at(p, "t"), 1, NULL, NULL), 0);
}


static void
given(void **state)
{
    place_t *p = *state;
    char text[PATH_MAX];

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "t"), 0755, SOMEBODY);
    make(at(p, "t/a"), 0700, SOMEBODY);
    make(at(p, "t/a/b"), 0700, SOMEBODY);
    make_file(at(p, "t/a/b/f"), 0600, SOMEBODY);
    make_file(at(p, "t/root"), 0600, 0);
    make_file(at(p, "t/other"), 0600, OTHER);
    make_file(at(p, "elsewhere"), 0600, SOMEBODY);
    assert_int_equal(link(at(p, "elsewhere"), at(p, "t/second")), 0);
    assert_int_equal(symlink(at(p, "elsewhere"), at(p, "t/link")), 0);
    assert_int_equal(lchown(at(p, "t/link"), SOMEBODY, SOMEBODY), 0);

    assert_int_equal(amld_tree_give(at(p, "t"), OTHER, 700000), -1);
    assert_int_equal(amld_tree_give(at(p, "t"), SOMEBODY, 700000), 0);
    assert_int_equal(look(at(p, "t")).st_uid, 700000);
    assert_int_equal(look(at(p, "t")).st_gid, 700000);
    assert_int_equal(look(at(p, "t/a/b")).st_uid, 700000);
    assert_int_equal(look(at(p, "t/a/b/f")).st_uid, 700000);
    assert_int_equal(look(at(p, "t/link")).st_uid, 700000);
    assert_int_equal(look(at(p, "t/root")).st_uid, 0);
    assert_int_equal(look(at(p, "t/other")).st_uid, OTHER);
    assert_int_equal(look(at(p, "elsewhere")).st_uid, SOMEBODY);

    /* a link in its place */
    snprintf(text, sizeof(text), "%s", at(p, "t"));
    assert_int_equal(symlink(text, at(p, "at")), 0);
    assert_int_equal(amld_tree_give(at(p, "at"), 700000, OTHER), -1);
    assert_int_equal(look(text).st_uid, 700000);
}


/* A directory makes room for a link to another's, while it is being given. */
static void
given_meanwhile(void **state)
{
    place_t *p = *state;
    char name[32];
    int k, n, taken = 0;
    pid_t pid;

    if (geteuid() != 0) {
        skip();
    }

    make(at(p, "t"), 0755, SOMEBODY);
    make(at(p, "other"), 0700, OTHER);
    make(at(p, "t/d"), 0755, SOMEBODY);
    for (k = 0; k < 200; k++) {
        snprintf(name, sizeof(name), "other/f%d", k);
        make_file(at(p, name), 0600, OTHER);
        snprintf(name, sizeof(name), "t/d/f%d", k);
        make_file(at(p, name), 0600, SOMEBODY);
    }

    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (chdir(at(p, "t")) != 0 || setgid(SOMEBODY) != 0 ||
            setuid(SOMEBODY) != 0) {
            _exit(1);
        }
        for (;;) {
            if (rename("d", "e") == 0 && symlink(at(p, "other"), "d") == 0) {
                usleep(200);
                (void) unlink("d");
            }
            (void) rename("e", "d");
            usleep(200);
        }
    }

    for (n = 0; n < 20 && taken == 0; n++) {
        assert_int_equal(chown(at(p, "t"), SOMEBODY, SOMEBODY), 0);
        (void) amld_tree_give(at(p, "t"), SOMEBODY, SOMEBODY + n % 2);
        for (k = 0; k < 200; k++) {
            snprintf(name, sizeof(name), "other/f%d", k);
            taken += look(at(p, name)).st_uid != OTHER;
        }
    }
    end(pid);

    assert_int_equal(taken, 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made, setup, teardown),
        cmocka_unit_test_setup_teardown(directories, setup, teardown),
        cmocka_unit_test_setup_teardown(swapped, setup, teardown),
        cmocka_unit_test_setup_teardown(swapped_path, setup, teardown),
        cmocka_unit_test_setup_teardown(for_applications, setup, teardown),
        cmocka_unit_test_setup_teardown(removed, setup, teardown),
        cmocka_unit_test_setup_teardown(given, setup, teardown),
        cmocka_unit_test_setup_teardown(given_meanwhile, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
