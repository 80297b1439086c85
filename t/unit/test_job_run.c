/*
 * Jobs under a real supervisor: this program is also what it starts as the
 * application, and the shim.
 */

#include "t/unit/jobs_fixture.h"


static void
one(void **state)
{
    world_t *w = *state;
    char expected[512];
    struct stat st;
    json_t *doc;

    up(w);
    submit(w, "first-Job",
           "echo hello \"$GREETING\" $AML_JOB_ID $AZUREML_RUN_ID; pwd\n"
           "echo \"$AML_JOB_DIR\" >&2; cat; echo done > result.txt",
           json_pack("{s:{s:s,s:s,s:s}}", "environmentVariables", "GREETING",
                     "it's\n$(id) \\ \"", "NOT-A-NAME", "x", "AML_COMMAND",
                     "none"));
    job_ends(w, "first-Job", "Completed", 0, "");

    snprintf(expected, sizeof(expected),
             "hello it's\n$(id) \\ \" first-Job first-Job\n"
             "%s/Users/ann/jobs/first-Job\n%s/Users/ann/jobs/first-Job\n",
             w->share, w->share);
    log_is(w, "first-Job", expected);
    file_is(w, "jobs/first-Job/result.txt", "done\n");
    assert_int_equal(stat(in_share(w, "jobs/first-Job"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(in_share(w, "jobs/first-Job/" AMLD_JOB_LOG), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    doc = job_load(w, "first-Job");
    assert_true(amld_job_time(doc, "started") >=
                amld_job_time(doc, "submitted"));
    assert_true(amld_job_time(doc, "ended") >= amld_job_time(doc, "started"));
    json_decref(doc);

    assert_int_equal(scratch_count(w->scratch, "jobqueue/"), 0);
    assert_int_equal(scratch_count(w->scratch, "jobrun/"), 0);
    assert_int_equal(scratch_count(w->scratch, "job/"), 1);
}


static void
ends(void **state)
{
    world_t *w = *state;

    up(w);
    submit(w, "three", "echo oops; exit 3", NULL);
    submit(w, "killed", "kill -9 $$", NULL);
    submit(w, "syntax", "echo 'open", NULL);
    submit(w, "none", "no-such-program-here", NULL);
    submit(w, "image", "true",
           json_pack("{s:s}", "environmentId", "image:docker.io/library/x"));
    submit(w, "where", "pwd | grep -c '/share/Users$'",
           json_pack("{s:s}", "workingDirectory", "Users"));
    submit(w, "nowhere", "true",
           json_pack("{s:s}", "workingDirectory", "Users/none"));
    submit(w, "curated", "true",
           json_pack("{s:s}", "environmentId", "AzureML-sklearn"));

    job_ends(w, "three", "Failed", 3, "exit status 3.");
    log_is(w, "three", "oops\n");
    job_ends(w, "killed", "Failed", 137, "signal 9 (Killed)");
    job_is(w, "syntax", "Failed");
    job_ends(w, "none", "Failed", 127, "exit status 127.");
    job_ends(w, "image", "Failed", 0, "no images");
    job_ends(w, "where", "Completed", 0, "");
    job_ends(w, "nowhere", "Failed", 126, "exit status 126.");
    job_ends(w, "curated", "Completed", 0, "");
}


/* Two a core, first come first served. */
static void
slots(void **state)
{
    world_t *w = *state;

    up(w);
    submit_each(w, "j", 0, 11, WAITS);
    wait_until_each_up(w, "j", 0, 8);
    assert_string_equal(status(w, "j7"), "Running");
    usleep(100000);
    each_is(w, "j", 8, 11, "Queued");
    assert_int_equal(scratch_count(w->scratch, "jobrun/"), 8);

    /* the next are held back already, and not begun */
    assert_int_equal(access(in_share(w, "j8.up"), F_OK), -1);
    let_go(w, "j5");
    wait_until_up(w, "j8");
    job_ends(w, "j5", "Completed", 0, "");
    assert_string_equal(status(w, "j9"), "Queued");
    let_go(w, "j8");
    wait_until_up(w, "j9");
    assert_string_equal(status(w, "j10"), "Queued");
    let_go(w, "j0");
    let_go(w, "j1");
    wait_until_up(w, "j10");
    job_is(w, "j0", "Completed");
    job_is(w, "j1", "Completed");
    assert_int_equal(scratch_count(w->scratch, "jobrun/"), 7);

    each_completes(w, "j", 0, 11);
}


static void
canceled(void **state)
{
    world_t *w = *state;

    up(w);
    submit(w, "polite",
           "trap 'echo saved; exit 0' TERM; touch ../../p.up; "
           "while :; do sleep 0.02; done",
           NULL);
    submit(w, "stubborn",
           "trap '' TERM; MARK=stubborn sleep 600 & "
           "touch ../../s.up; wait; wait; sleep 600",
           NULL);
    submit(w, "away",
           "MARK=away setsid sh -c 'trap \"\" TERM; sleep 600 & "
           "wait' & sleep 0.1; touch ../../a.up; exec sleep 600",
           NULL);
    submit_each(w, "w", 0, 6, WAITS);
    wait_for_file(w, "p.up");
    wait_for_file(w, "s.up");
    wait_for_file(w, "a.up");
    wait_until_up(w, "w4");

    /* that waits: never run */
    assert_string_equal(status(w, "w5"), "Queued");
    cancel(w, "w5");
    assert_string_equal(status(w, "w5"), "Canceled");
    cancel(w, "polite");
    job_is(w, "polite", "Canceled");
    job_is(w, "w5", "Canceled");
    assert_int_equal(access(in_share(w, "w5.up"), F_OK), -1);

    /* killed after stop_timeout, with all that it has started */
    assert_true(lives("MARK=stubborn") > 0);
    assert_true(lives("MARK=away") > 0);
    cancel(w, "stubborn");
    cancel(w, "away");
    cancel(w, "away");
    job_is(w, "away", "Canceled");
    dies("MARK=away");
    assert_string_equal(status(w, "stubborn"), "CancelRequested");
    job_is(w, "stubborn", "Canceled");
    dies("MARK=stubborn");
    assert_string_equal(status(w, "w0"), "Running");
}


static void
leaves_nothing(void **state)
{
    world_t *w = *state;

    up(w);
    submit(w, "daemon",
           "MARK=daemon setsid sh -c 'sleep 600 & sleep 600' & "
           "(MARK=daemon sh -c 'sleep 600 &' &); sleep 0.1; "
           "exit 4",
           NULL);
    job_ends(w, "daemon", "Failed", 4, "exit status 4.");
    dies("MARK=daemon");
}


static void
timeout(void **state)
{
    world_t *w = *state;
    json_t *doc;

    up(w);
    submit(w, "late", "exec sleep 600",
           json_pack("{s:{s:s}}", "limits", "timeout", "PT1S"));
    submit(w, "early", "true",
           json_pack("{s:{s:s}}", "limits", "timeout", "PT1S"));
    job_ends(w, "early", "Completed", 0, "");
    job_is(w, "late", "Failed");
    doc = job_load(w, "late");
    assert_string_equal(amld_compute_str(doc, "message"),
                        "The job did not end within 1 second, its timeout.");
    json_decref(doc);
}


static void
stop_and_start(void **state)
{
    world_t *w = *state;
    int k;

    up(w);
    submit_each(w, "q", 0, 10, WAITS);
    wait_until_up(w, "q7");

    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_true(quiet(w));
    for (k = 0; k < 8; k++) {
        job_is(w, numbered("q", k), "Failed");
    }
    job_ends(w, "q0", "Failed", 143, "instance was stopped while");
    assert_string_equal(status(w, "q8"), "Queued");
    submit(w, "q10", "true", NULL);
    assert_int_equal(scratch_count(w->scratch, "jobqueue/"), 3);

    want(w, "Start", AMLD_STATE_STARTING);
    wait_until_up(w, "q8");
    wait_until_up(w, "q9");
    job_ends(w, "q10", "Completed", 0, "");

    want(w, "Restart", AMLD_STATE_RESTARTING);
    job_ends(w, "q8", "Failed", 143, "instance was restarted");
    becomes(w, AMLD_STATE_RUNNING);
    submit(w, "q11", WAITS, NULL);
    wait_until_up(w, "q11");
    submit_each(w, "q", 20, 29, "exec sleep 600");
    job_is(w, "q26", "Running");

    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_COUNT);
    job_ends(w, "q11", "Canceled", 143, "deleted while");
    job_ends(w, "q27", "Canceled", 0, "The instance was deleted.");
    job_ends(w, "q28", "Canceled", 0, "The instance was deleted.");
    assert_int_equal(scratch_count(w->scratch, "jobqueue/"), 0);
    assert_int_equal(scratch_count(w->scratch, "jobrun/"), 0);
    assert_true(quiet(w));
}


/* The share is its user's to put something in the way. */
static void
hostile_share(void **state)
{
    world_t *w = *state;
    char secret[PATH_MAX];
    int fd;

    up(w);
    snprintf(secret, sizeof(secret), "%s/secret", w->scratch->dir);
    fd = open(secret, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);

    /* a link for the directory: nothing is made where it leads */
    submit(w, "before", "true", NULL);
    job_is(w, "before", "Completed");
    assert_int_equal(symlink(w->scratch->dir, in_share(w, "jobs/linked")), 0);
    submit(w, "linked", "touch ran", NULL);
    job_ends(w, "linked", "Failed", 0, "cannot be made");
    assert_int_equal(log_open(w, "linked"), -1);

    /* one for the log, a directory, a pipe, a second name */
    assert_int_equal(mkdir(in_share(w, "jobs/log"), 0755), 0);
    assert_int_equal(symlink(secret, in_share(w, "jobs/log/" AMLD_JOB_LOG)), 0);
    submit(w, "log", "echo mine; ls -l " AMLD_JOB_LOG, NULL);
    job_is(w, "log", "Completed");
    assert_int_equal(unlink(in_share(w, "jobs/log/" AMLD_JOB_LOG)), 0);
    assert_int_equal(log_open(w, "log"), -1);
    assert_int_equal(symlink(secret, in_share(w, "jobs/log/" AMLD_JOB_LOG)), 0);
    assert_int_equal(log_open(w, "log"), -1);
    assert_int_equal(unlink(in_share(w, "jobs/log/" AMLD_JOB_LOG)), 0);
    assert_int_equal(mkfifo(in_share(w, "jobs/log/" AMLD_JOB_LOG), 0600), 0);
    assert_int_equal(log_open(w, "log"), -1);
    assert_int_equal(unlink(in_share(w, "jobs/log/" AMLD_JOB_LOG)), 0);
    assert_int_equal(link(secret, in_share(w, "jobs/log/" AMLD_JOB_LOG)), 0);
    assert_int_equal(log_open(w, "log"), -1);

    assert_int_equal(mkdir(in_share(w, "jobs/dir"), 0755), 0);
    assert_int_equal(mkdir(in_share(w, "jobs/dir/" AMLD_JOB_LOG), 0755), 0);
    submit(w, "dir", "true", NULL);
    job_ends(w, "dir", "Failed", 0, "log");

    /* a second name of somebody's file is taken away, not written to */
    assert_int_equal(mkdir(in_share(w, "jobs/hard"), 0755), 0);
    assert_int_equal(link(secret, in_share(w, "jobs/hard/" AMLD_JOB_LOG)), 0);
    submit(w, "hard", "echo mine", NULL);
    job_is(w, "hard", "Completed");
    log_is(w, "hard", "mine\n");
    fd = open(secret, O_RDONLY);
    assert_int_equal(lseek(fd, 0, SEEK_END), 1);
    close(fd);
}


/* Somebody may rename what is root's in their own folder. */
static void
of_root(void **state)
{
    world_t *w = *state;
    struct stat st;

    if (geteuid() != 0) {
        skip();
    }

    up(w);
    assert_int_equal(mkdir(in_share(w, "backup"), 0700), 0);
    assert_int_equal(chown(in_share(w, ""), 65534, 65534), 0);
    assert_int_equal(rename(in_share(w, "backup"), in_share(w, "jobs")), 0);
    submit(w, "root", "true", NULL);
    job_ends(w, "root", "Failed", 0, "jobs: Permission denied");
    assert_int_equal(stat(in_share(w, "jobs"), &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}


/* Gigabytes would do the same, in more time. */
static void
much_log(void **state)
{
    world_t *w = *state;
    int fd;
    struct stat st;

    up(w);
    submit(w, "much", "head -c 40000000 /dev/zero", NULL);
    job_is(w, "much", "Completed");
    fd = log_open(w, "much");
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    assert_in_range(st.st_size, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1000);
}


int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(one),           T(ends),     T(slots),
        T(canceled),      T(timeout),  T(stop_and_start),
        T(hostile_share), T(much_log), T(leaves_nothing),
        T(of_root),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "server") == 0) {
        return stand_in(argc, argv);
    }

    if (argc > 1) {
        cmocka_set_test_filter(argv[1]); /* one of them, by hand */
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("job_run", tests, NULL, NULL);
}
