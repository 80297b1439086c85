/*
 * Jobs, when amld ends and begins again meanwhile.
 */

#include "t/unit/jobs_fixture.h"

#include <dirent.h>


static void
again(world_t *w, int sig)
{
    (void) amld_end(w, sig);
    amld_again(w);
}


/* They go on; what has ended meanwhile is known. */
static void
adopted(void **state)
{
    world_t *w = *state;
    json_t *doc;
    int64_t ended;

    up(w);
    submit(w, "long", WAITS, NULL);
    wait_until_up(w, "long");
    submit(w, "short", WAITS "; exit 7", NULL);
    submit(w, "late", "exec sleep 600",
           json_pack("{s:{s:s}}", "limits", "timeout", "PT1S"));
    wait_until_up(w, "short");
    job_is(w, "late", "Running");

    (void) amld_end(w, SIGKILL);
    let_go(w, "short");
    submit(w, "meanwhile", "true", NULL);
    usleep(300000);
    amld_again(w);
    ended = amld_jobs_wall();

    job_ends(w, "short", "Failed", 7, "exit status 7.");
    job_ends(w, "meanwhile", "Completed", 0, "");
    doc = job_load(w, "short");
    assert_true(amld_job_time(doc, "ended") < ended - 100);
    json_decref(doc);
    assert_string_equal(status(w, "long"), "Running");
    job_is(w, "late", "Failed");

    again(w, SIGTERM);
    let_go(w, "long");
    job_ends(w, "long", "Completed", 0, "");
    file_is(w, "order", "long\nshort\n");
}


/* The wall's clock as it was when a job began, and the other. */
static void
began(world_t *w, const char *name, int64_t wall, int64_t boot)
{
    json_t *command, *doc = job_load(w, name);

    command = json_object_get(doc, "command");
    assert_int_equal(
        amld_job_set_time(doc, "started", amld_job_time(doc, "started") + wall),
        0);
    json_object_set_new(
        command, "began",
        json_integer(json_integer_value(json_object_get(command, "began")) +
                     boot));
    job_store(w, name, doc);
}


/* How long one has run is no matter of a clock that can be set. */
static void
clock_is_set(void **state)
{
    const int64_t day = INT64_C(86400000);
    world_t *w = *state;

    static const char *const names[] = {"goes", "fails", "late"};
    size_t k;

    up(w);
    for (k = 0; k < 3; k++) {
        submit(w, names[k], WAITS "; exit 7",
               json_pack("{s:{s:s}}", "limits", "timeout", "PT2H"));
        wait_until_up(w, names[k]);
    }
    (void) amld_end(w, SIGKILL);
    began(w, "goes", -40 * day, 0);
    began(w, "fails", -40 * day, 0);
    began(w, "late", 40 * day, -day);
    let_go(w, "fails");
    usleep(300000);
    amld_again(w);

    job_ends(w, "fails", "Failed", 7, "exit status 7.");
    job_ends(w, "late", "Failed", 143, "within 7200 seconds");
    assert_string_equal(status(w, "goes"), "Running");
    let_go(w, "goes");
    job_ends(w, "goes", "Failed", 7, "exit status 7.");
}


/* A cancellation that nobody was there for, and a stop. */
static void
asked_meanwhile(void **state)
{
    world_t *w = *state;

    up(w);
    submit(w, "one", WAITS, NULL);
    submit(w, "two", WAITS, NULL);
    wait_until_up(w, "one");
    wait_until_up(w, "two");
    (void) amld_end(w, SIGKILL);
    cancel(w, "one");
    amld_again(w);
    job_is(w, "one", "Canceled");
    assert_string_equal(status(w, "two"), "Running");

    (void) amld_end(w, SIGKILL);
    want(w, "Stop", AMLD_STATE_STOPPING);
    amld_again(w);
    becomes(w, AMLD_STATE_STOPPED);
    job_ends(w, "two", "Failed", 143, "instance was stopped");
}


/* What the registry says of one that is written down as running. */
static void
pretend(world_t *w, const char *name, const char *boot)
{
    json_t *doc = job_load(w, name);

    amld_job_set_status(doc, AMLD_JOB_RUNNING);
    amld_job_set_time(doc, "started", amld_jobs_wall());
    json_object_set_new(doc, "command",
                        json_pack("{s:I,s:I,s:s}", "pid",
                                  (json_int_t) INT_MAX - 1, "started",
                                  (json_int_t) 1, "boot", boot));
    job_store(w, name, doc);
}


/* One that was never let run is run; one that may have been never again. */
static void
lost(void **state)
{
    world_t *w = *state;
    char boot[AMLD_BOOT_ID], path[PATH_MAX];
    int fd;
    json_t *doc;

    static const struct {
        const char *name;
        const char *status;
        const char *is;
        int code;
        const char *message;
    } after_boot[] = {
        {"held", NULL, "Failed", 0, "the machine was restarted"},
        {"began", "began   \n", "Failed", 0, "the machine was restarted"},
        {"done", "exit 000\n", "Completed", 0, ""},
        {"failed", "exit 009\n", "Failed", 9, "exit status 9."},
    };
    size_t k;

    up(w);
    (void) amld_end(w, SIGKILL);
    assert_int_equal(amld_proc_boot(boot), 0);

    submit(w, "not-begun", "echo x >> ../../ran", NULL);
    pretend(w, "not-begun", boot);
    submit(w, "killed", "echo x >> ../../ran", NULL);
    doc = job_load(w, "killed");
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/job-%016llx.status", w->state,
             (unsigned long long) amld_job_seq(doc));
    json_decref(doc);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "began   \n", 9), 9);
    close(fd);
    pretend(w, "killed", boot);

    for (k = 0; k < sizeof(after_boot) / sizeof(*after_boot); k++) {
        submit(w, after_boot[k].name, "echo x >> ../../ran", NULL);
        pretend(w, after_boot[k].name, "another");
        if (after_boot[k].status != NULL) {
            doc = job_load(w, after_boot[k].name);
            snprintf(path, sizeof(path), "%s/i/0a0b0c0d/job-%016llx.status",
                     w->state, (unsigned long long) amld_job_seq(doc));
            json_decref(doc);
            fd = open(path, O_WRONLY | O_CREAT, 0600);
            assert_int_equal(write(fd, after_boot[k].status, 9), 9);
            close(fd);
        }
    }

    amld_again(w);
    job_ends(w, "not-begun", "Completed", 0, "");
    job_ends(w, "killed", "Failed", 0, "was lost");
    for (k = 0; k < sizeof(after_boot) / sizeof(*after_boot); k++) {
        job_ends(w, after_boot[k].name, after_boot[k].is, after_boot[k].code,
                 after_boot[k].message);
    }
    file_is(w, "ran", "x\n");
}


/* All of the machine's: the instance is started again, its queue goes on. */
static void
rebooted(void **state)
{
    world_t *w = *state;
    char mark[160];
    int k;
    json_t *doc, *commands;
    aml_registry_txn_t *txn;

    up(w);
    submit(w, "ran", WAITS, NULL);
    wait_until_up(w, "ran");
    (void) amld_end(w, SIGKILL);
    snprintf(mark, sizeof(mark), "AML_COMMAND=%s/", w->state);
    for (k = 0; k < 500 && amld_proc_kill_marked(mark, 1, SIGKILL); k++) {
        usleep(10000);
    }
    submit(w, "waits", "true", NULL);

    doc = load(w);
    commands = json_object_get(json_object_get(doc, "commands"), "jupyter");
    json_object_set_new(commands, "boot", json_string("another"));
    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &w->config, &w->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
    doc = job_load(w, "ran");
    json_object_set_new(json_object_get(doc, "command"), "boot",
                        json_string("another"));
    job_store(w, "ran", doc);

    amld_again(w);
    job_ends(w, "ran", "Failed", 0, "the machine was restarted");
    becomes(w, AMLD_STATE_RUNNING);
    job_ends(w, "waits", "Completed", 0, "");
    file_is(w, "order", "ran\n");
}


static int
status_files(world_t *w)
{
    char path[PATH_MAX];
    DIR *dir;
    struct dirent *entry;
    int n = 0;

    snprintf(path, sizeof(path), "%s/i/0a0b0c0d", w->state);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        n += strncmp(entry->d_name, "job-", 4) == 0;
    }
    closedir(dir);

    return n;
}


/* amld is killed at any moment of many short jobs: each has run once. */
static void
killed_anywhere(void **state)
{
    world_t *w = *state;
    char name[16], wanted[16], line[16];
    int k, seen[60] = {0};
    FILE *f;

    up(w);
    for (k = 0; k < 60; k++) {
        snprintf(name, sizeof(name), "k%d", k);
        submit(w, name, "echo $AML_JOB_ID >> ../../ran; sleep 0.01", NULL);
        if (k % 4 == 3) {
            usleep((useconds_t) (k * 1237 % 30000));
            again(w, SIGKILL);
        }
    }
    for (k = 0; k < 60; k++) {
        snprintf(name, sizeof(name), "k%d", k);
        job_ends(w, name, "Completed", 0, "");
    }

    f = fopen(in_share(w, "ran"), "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        k = atoi(line + 1);
        snprintf(wanted, sizeof(wanted), "k%d\n", k);
        assert_string_equal(line, wanted);
        assert_in_range(k, 0, 59);
        seen[k]++;
    }
    fclose(f);
    for (k = 0; k < 60; k++) {
        assert_int_equal(seen[k], 1);
    }
    assert_int_equal(scratch_count(w->scratch, "jobqueue/"), 0);
    assert_int_equal(scratch_count(w->scratch, "jobrun/"), 0);
    for (k = 0; k < 500 && status_files(w) != 0; k++) {
        usleep(10000);
    }
    assert_int_equal(status_files(w), 0);
}


int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(adopted), T(clock_is_set), T(asked_meanwhile),
        T(lost),    T(rebooted),     T(killed_anywhere),
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

    return cmocka_run_group_tests_name("job_adopt", tests, NULL, NULL);
}
