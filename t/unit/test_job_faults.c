/*
 * Jobs that can't be begun at first, or are ended from outside before they
 * have begun: none is lost, and none passes another.  This program is also what
 * the supervisor starts as the application, and the shim.
 */

#include "t/unit/jobs_fixture.h"

#include <sys/mman.h>
#include <sys/syscall.h>

static char refuse[64]; /* while that is there, see memfd_create() */
static int refuse_from;
static char die[PATH_MAX]; /* of a shim */
static char share[64];     /* while that is there, see mkdirat() */


/* Of those that are begun while `refuse` is there the second is not. */
int
memfd_create(const char *name, unsigned flags)
{
    if (refuse[0] != '\0' && access(refuse, F_OK) == 0 && ++refuse_from == 2) {
        unlink(refuse);
        errno = EMFILE;
        return -1;
    }

    return (int) syscall(SYS_memfd_create, name, flags);
}


/* A shim that is let go and finds `die` goes no further. */
ssize_t
read(int fd, void *buf, size_t n)
{
    ssize_t got = syscall(SYS_read, fd, buf, n);

    if (got == 1 && n == 1 && die[0] != '\0' && unlink(die) == 0) {
        kill(getpid(), SIGKILL);
    }

    return got;
}


/* For the reason that `share` names, in amld. */
int
mkdirat(int dir, const char *name, mode_t mode)
{
    int fault = 0;
    FILE *f = share[0] != '\0' ? fopen(share, "r") : NULL;

    if (f != NULL) {
        if (fscanf(f, "%d", &fault) != 1) {
            fault = 0;
        }
        fclose(f);
    }
    if (fault != 0) {
        errno = fault;
        return -1;
    }

    return (int) syscall(SYS_mkdirat, dir, name, mode);
}


static void
share_refuses(int fault)
{
    char path[80];
    FILE *f;

    if (fault == 0) {
        assert_int_equal(unlink(share), 0);
        return;
    }
    snprintf(path, sizeof(path), "%s.new", share);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%d\n", fault);
    fclose(f);
    assert_int_equal(rename(path, share), 0);
}


static int
setup_share(void **state)
{
    snprintf(share, sizeof(share), "/tmp/aml-job-share-%ld", (long) getpid());

    return setup(state);
}


static int
teardown_share(void **state)
{
    (void) unlink(share);
    share[0] = '\0';

    return teardown(state);
}


static int
setup_refusal(void **state)
{
    snprintf(refuse, sizeof(refuse), "/tmp/aml-job-faults-%ld",
             (long) getpid());

    return setup(state);
}


static void
make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_true(fd >= 0);
    close(fd);
}


static void
stopped(world_t *w)
{
    up(w);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
}


/* In the order of their submission, whichever could be begun. */
static void
refused(void **state)
{
    world_t *w = *state;

    stopped(w);
    submit_each(w, "j", 0, 11, WAITS);
    make_file(refuse);
    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_RUNNING);
    wait_until_each_up(w, "j", 0, 8);
    assert_int_equal(access(refuse, F_OK), -1);
    each_is(w, "j", 8, 11, "Queued");
    each_completes(w, "j", 0, 11);
}


static void
message_is(world_t *w, const char *name, const char *part)
{
    int i, is;
    json_t *doc;

    for (i = 0, is = 0; i < PATIENCE && !is; i++) {
        doc = job_load(w, name);
        is = strstr(amld_compute_str(doc, "message"), part) != NULL;
        json_decref(doc);
        usleep(10000);
    }
    assert_true(is);
}


/* It is not the jobs' fault: they wait, for as long as it takes. */
static void
full_share(void **state)
{
    world_t *w = *state;

    up(w);
    share_refuses(ENOSPC);
    submit(w, "first", "echo ran >> ../../ran", NULL);
    submit(w, "second", "echo ran >> ../../ran", NULL);
    submit(w, "third", "echo ran >> ../../ran", NULL);
    message_is(w, "first", "It waits for room in the share. The job's directo");
    message_is(w, "first", "No space left on device");
    assert_string_equal(status(w, "first"), "Queued");
    assert_string_equal(status(w, "second"), "Queued");

    /* one that is cancelled waits for nothing any more */
    cancel(w, "first");
    job_ends(w, "first", "Canceled", 0, "");

    share_refuses(EDQUOT);
    message_is(w, "second", "quota exceeded");
    (void) amld_end(w, SIGKILL);
    amld_again(w);
    assert_string_equal(status(w, "second"), "Queued");

    share_refuses(0);
    job_ends(w, "third", "Completed", 0, "");
    job_ends(w, "second", "Completed", 0, "");
    file_is(w, "ran", "ran\nran\n");
}


/* For a moment; unlike what is the creator's own. */
static void
share_away(void **state)
{
    static const int faults[] = {EIO, ESTALE, EMFILE};
    world_t *w = *state;
    char name[16];
    size_t k;

    up(w);
    for (k = 0; k < sizeof(faults) / sizeof(*faults); k++) {
        snprintf(name, sizeof(name), "a%zu", k);
        share_refuses(faults[k]);
        submit(w, name, "true", NULL);
        usleep(300000);
        assert_string_equal(status(w, name), "Queued");
        share_refuses(0);
        job_ends(w, name, "Completed", 0, "");
    }

    share_refuses(ELOOP);
    submit(w, "own", "true", NULL);
    job_ends(w, "own", "Failed", 0, "cannot be made");
}


/* What can't be read is no end of the queue. */
static void
corrupt(void **state)
{
    world_t *w = *state;
    int k;
    amld_key_t key;
    aml_registry_txn_t *txn;

    stopped(w);
    submit_each(w, "c", 0, 30, "true");
    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    for (k = 2; k < 18; k++) {
        key = job_key(w, numbered("c", k));
        assert_int_equal(aml_registry_put(txn, key.p, key.n, "{}", 2),
                         AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_RUNNING);
    for (k = 0; k < 30; k++) {
        if (k < 2 || k >= 18) {
            job_is(w, numbered("c", k), "Completed");
        }
    }

    /* nor of what a deletion cancels */
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    submit(w, "last", "true", NULL);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_COUNT);
    job_is(w, "last", "Canceled");
}


/* The shims that have started nothing yet. */
static int
kill_held(world_t *w)
{
    char path[64], below[16];
    int fd, killed = 0;
    pid_t pid;
    ssize_t n;
    FILE *children;

    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long) w->amld,
             (long) w->amld);
    children = fopen(path, "r");
    if (children == NULL) {
        return -1;
    }
    while (fscanf(children, "%d", &pid) == 1) {
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int) pid,
                 (int) pid);
        fd = open(path, O_RDONLY);
        n = fd != -1 ? read(fd, below, sizeof(below)) : -1;
        close(fd);
        if (n == 0) {
            kill(pid, SIGKILL);
            killed++;
        }
    }
    fclose(children);

    return killed;
}


static long
ticks(pid_t pid)
{
    char path[64];
    long user = 0, system = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f,
                            "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
                            "%*u %ld %ld",
                            &user, &system),
                     2);
    fclose(f);

    return user + system;
}


/* Those that are held back and killed are begun anew, and nobody turns round
 * and round until there is room. */
static void
held(void **state)
{
    world_t *w = *state;
    int k;
    long before;

    up(w);
    submit_each(w, "j", 0, 10, WAITS);
    wait_until_each_up(w, "j", 0, 8);
    for (k = 0; k < PATIENCE && kill_held(w) == 0; k++) {
        usleep(10000);
    }
    assert_true(k < PATIENCE);

    before = ticks(w->amld);
    usleep(1000000);
    assert_in_range(ticks(w->amld) - before, 0, 40);
    each_completes(w, "j", 0, 10);
}


/* Also where it had been let go; not for ever. */
static void
not_begun(void **state)
{
    world_t *w = *state;
    char path[PATH_MAX];
    json_t *doc;
    int k;

    up(w);
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/die", w->state);
    make_file(path);
    submit(w, "once", "echo x >> ../../ran", NULL);
    job_ends(w, "once", "Completed", 0, "");
    assert_int_equal(access(path, F_OK), -1);
    file_is(w, "ran", "x\n");

    submit(w, "never", "echo x >> ../../never", NULL);
    for (k = 0; k < PATIENCE && strcmp(status(w, "never"), "Failed"); k++) {
        make_file(path);
        usleep(10000);
    }
    job_ends(w, "never", "Failed", 0, "could not be begun");
    assert_int_equal(access(in_share(w, "never"), F_OK), -1);
    doc = job_load(w, "never");
    assert_int_equal(json_integer_value(json_object_get(doc, "tries")), 4);
    json_decref(doc);
}


int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_refusal, teardown)
    const struct CMUnitTest tests[] = {
        T(refused),
        T(corrupt),
        T(held),
        T(not_begun),
        cmocka_unit_test_setup_teardown(full_share, setup_share,
                                        teardown_share),
        cmocka_unit_test_setup_teardown(share_away, setup_share,
                                        teardown_share),
    };
    char *slash;
    int i;

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        for (i = 2; i + 1 < argc; i++) {
            if (strcmp(argv[i], "--status") == 0 &&
                strstr(argv[i + 1], "/job-") != NULL) {
                snprintf(die, sizeof(die), "%s", argv[i + 1]);
                slash = strrchr(die, '/');
                strcpy(slash + 1, "die");
            }
        }
        return amld_shim_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "server") == 0) {
        return stand_in(argc, argv);
    }

    if (argc > 1) {
        cmocka_set_test_filter(argv[1]); /* one of them, by hand */
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("job_faults", tests, NULL, NULL);
}
