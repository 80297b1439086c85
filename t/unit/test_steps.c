/*
 * Steps of an engine, run by the supervisor: the process engine with a
 * PREPARE, a CLEAR and a REMOVE that are shell scripts in the share.
 */

#include "t/unit/supervisor_fixture.h"

#include "computes/files/files.h"

extern const amld_engine_t amld_engine_process;

static amld_engine_t engine;
static char share[96];


/* In place of engine.c: the one engine of this test. */
static int
engine_step(const amld_config_t *c, const amld_engine_instance_t *i,
            amld_step_kind_t kind, const char **argv, const char **envp,
            char *room, size_t room_size, char *err, size_t size)
{
    const char *name = kind == AMLD_STEP_PREPARE  ? "prepare"
                       : kind == AMLD_STEP_REMOVE ? "remove"
                                                  : "clear";

    (void) c;
    (void) envp;

    assert_true(kind == AMLD_STEP_PREPARE || kind == AMLD_STEP_CLEAR ||
                kind == AMLD_STEP_REMOVE);
    assert_string_equal(i->creator, CREATOR);
    assert_string_equal(i->subnet, "net");
    assert_int_equal(i->cores, 4);
    assert_int_equal(i->memory_mb, 1024);
    snprintf(room, room_size, "%s/%s", share, name);
    if (access(room, F_OK) != 0) {
        return 0;
    }
    if (access(room, X_OK) != 0) {
        snprintf(err, size, "%s is of no use", name);
        return -1;
    }
    argv[0] = room;
    argv[1] = i->runtime;
    argv[2] = share;
    argv[3] = NULL;

    return 1;
}


const amld_engine_t *
amld_engine_find(const char *name)
{
    (void) name;
    engine = amld_engine_process;
    engine.step = engine_step;
    return &engine;
}


int
amld_engine_release(int hold)
{
    ssize_t n = write(hold, "g", 1);

    close(hold);
    return n == 1 ? 0 : -1;
}


static void
script(world_t *w, const char *name, const char *text, int mode)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.new", w->share, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, (mode_t) mode), 0);
    {
        char to[160];
        snprintf(to, sizeof(to), "%s/%s", w->share, name);
        assert_int_equal(rename(path, to), 0);
    }
}


static const char *
trace(world_t *w, char text[1024])
{
    char path[160];
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/trace", w->share);
    f = fopen(path, "r");
    if (f != NULL) {
        n = fread(text, 1, 1023, f);
        fclose(f);
    }
    text[n] = '\0';

    return text;
}


static void
traced(world_t *w, const char *wanted)
{
    char text[1024];
    int i;

    for (i = 0; i < 2000 && strstr(trace(w, text), wanted) == NULL; i++) {
        usleep(10000);
    }
    assert_non_null(strstr(text, wanted));
}


static int
steps_setup(void **state)
{
    world_t *w;
    int rc = setup(state);

    w = *state;
    (void) amld_end(w, SIGKILL);
    w->config.start_timeout = 5;
    strcpy(share, w->share);
    amld_again(w);

    return rc;
}


#define TRACE(what) "echo " what " >> $2/trace"

static void
before_and_after(void **state)
{
    world_t *w = *state;
    char text[1024];

    script(w, "prepare",
           "test -d $1/tmp || exit 1\n"
           "test ! -e $1/jupyter.log || exit 2\n" TRACE("prepare"),
           0755);
    script(w, "clear", "grep -q . $1/jupyter.log && " TRACE("clear") "\nexit 0",
           0755);

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(trace(w, text), "prepare\n");
    script(w, "prepare", TRACE("again"), 0755);
    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(trace(w, text), "prepare\nclear\nagain\n");
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_string_equal(trace(w, text), "prepare\nclear\nagain\nclear\n");
    script(w, "remove", TRACE("last"), 0755);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_COUNT);
    assert_string_equal(trace(w, text), "prepare\nclear\nagain\nclear\nlast\n");
    assert_int_equal(left(w), 0);
}


static void
prepare_fails(void **state)
{
    world_t *w = *state;
    char text[2048];

    script(w, "prepare", "echo no such image; exit 7", 0755);
    script(w, "clear", TRACE("clear"), 0755);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_non_null(strstr(failure(w, text), "exit status 7"));
    assert_non_null(strstr(text, "no such image"));
    assert_true(operation(w, "Create", "Failed"));
    traced(w, "clear\n");

    script(w, "prepare", "kill -KILL $$", 0755);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_non_null(strstr(failure(w, text), "signal 9"));
    assert_null(strstr(text, "no such image")); /* that was the last one's */

    script(w, "prepare", "exit 0", 0644); /* can't be executed */
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_non_null(strstr(failure(w, text), "prepare is of no use"));

    script(w, "prepare", "exit 0", 0755);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
}


static void
prepare_hangs(void **state)
{
    world_t *w = *state;
    char text[2048];

    script(w, "prepare", "echo thinking; trap '' TERM; sleep 1000", 0755);
    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_non_null(strstr(failure(w, text), "did not end within 5 seconds"));
    assert_non_null(strstr(text, "thinking"));
    assert_true(operation(w, "Start", "Failed"));
    assert_int_equal(left(w), 0);
}


static void
stopped_while_preparing(void **state)
{
    world_t *w = *state;

    script(w, "prepare", TRACE("begun") "; sleep 1000", 0755);
    want(w, "Create", AMLD_STATE_CREATING);
    traced(w, "begun\n");
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_int_equal(left(w), 0);
    assert_true(operation(w, "Create", "Canceled"));
    assert_true(operation(w, "Stop", "Succeeded"));
}


static void
clear_fails(void **state)
{
    world_t *w = *state;
    char text[2048];

    script(w, "clear", TRACE("try") "; test $(grep -c try $2/trace) -ge 3",
           0755);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED); /* at the third try */

    script(w, "clear", "echo it is busy; exit 9", 0755);
    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_UNUSABLE);
    assert_non_null(strstr(failure(w, text), "exit status 9"));
    assert_non_null(strstr(text, "it is busy"));
    assert_true(operation(w, "Delete", "Failed"));

    script(w, "clear", "exit 0", 0755);
    script(w, "remove", "echo it is there still; exit 8", 0755);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_UNUSABLE);
    assert_non_null(strstr(failure(w, text), "exit status 8"));
    script(w, "remove", "exit 0", 0755);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_COUNT);
}


static void
clear_hangs(void **state)
{
    world_t *w = *state;
    char text[1024];

    script(w, "clear",
           TRACE("clear") "; test $(wc -l < $2/trace) -ge 2 || sleep 1000",
           0755);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_string_equal(trace(w, text), "clear\nclear\n");
    assert_int_equal(left(w), 0);
}


/* amld is killed while PREPARE runs: it goes on, once. */
static void
adopted(void **state)
{
    world_t *w = *state;
    char text[2048];

    script(w, "prepare",
           TRACE("begun") "; until test -e $2/go; do sleep 0.05; done; " TRACE(
               "done"),
           0755);
    want(w, "Create", AMLD_STATE_CREATING);
    traced(w, "begun\n");
    (void) amld_end(w, SIGKILL);
    amld_again(w);
    behave(w, "");
    assert_int_equal(state_of(w), AMLD_STATE_CREATING);
    script(w, "go", "", 0644);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(trace(w, text), "begun\ndone\n");
}


/* It ends while amld is down. */
static void
judged(void **state)
{
    static const struct {
        const char *script;
        amld_state_t state;
        const char *failure;
    } cases[] = {
        {TRACE("begun") "; sleep 0.3; exit 0", AMLD_STATE_RUNNING, ""},
        {TRACE("begun") "; sleep 0.3; exit 4", AMLD_STATE_STOPPED,
         "exit status 4"},
        /* its shim is killed: there is no result */
        {TRACE("begun") "; sleep 0.3; kill -KILL $PPID; exec sleep 1000",
         AMLD_STATE_STOPPED, "ended from outside"},
    };
    world_t *w = *state;
    char path[160], text[2048];
    size_t i;

    snprintf(path, sizeof(path), "%s/trace", w->share);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unlink(path);
        script(w, "prepare", cases[i].script, 0755);
        want(w, "Start", AMLD_STATE_STARTING);
        traced(w, "begun\n");
        (void) amld_end(w, SIGKILL);
        assert_true(quiet(w));
        amld_again(w);
        becomes(w, cases[i].state);
        assert_non_null(strstr(failure(w, text), cases[i].failure));
        assert_string_equal(trace(w, text), "begun\n");
        want(w, "Stop", AMLD_STATE_STOPPING);
        becomes(w, AMLD_STATE_STOPPED);
    }
}


/* What was stopped meanwhile is not gone on with. */
static void
stopped_while_down(void **state)
{
    world_t *w = *state;
    char text[1024];

    script(w, "prepare", TRACE("begun") "; sleep 1000", 0755);
    script(w, "clear", TRACE("clear"), 0755);
    want(w, "Create", AMLD_STATE_CREATING);
    traced(w, "begun\n");
    (void) amld_end(w, SIGKILL);
    want(w, "Stop", AMLD_STATE_STOPPING);
    amld_again(w);
    becomes(w, AMLD_STATE_STOPPED);
    assert_string_equal(trace(w, text), "begun\nclear\n");
    assert_int_equal(left(w), 0);
}


/* The registry says that it runs, but amld was killed before it let it. */
static void
not_begun(void **state)
{
    world_t *w = *state;
    char text[1024], path[160];
    json_t *doc;
    aml_registry_txn_t *txn;

    script(w, "prepare", TRACE("prepare"), 0755);
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/tmp", w->state);
    assert_int_equal(amld_files_mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/Users/ann", w->share);
    assert_int_equal(amld_files_mkdir(path, 0755), 0);
    (void) amld_end(w, SIGKILL);
    want(w, "Create", AMLD_STATE_CREATING);
    doc = load(w);
    assert_int_equal(json_object_set_new(doc, "begun", json_true()), 0);
    assert_int_equal(
        json_object_set_new(doc, "step",
                            json_pack("{s:s,s:i,s:i,s:s,s:i,s:i}", "name",
                                      "prepare", "pid", 99999999, "started", 1,
                                      "boot", "x", "began", 1, "timeout", 60)),
        0);
    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_store(txn, &w->config, &w->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
    amld_again(w);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(trace(w, text), "prepare\n");
}


int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, steps_setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(before_and_after),
        TEST(prepare_fails),
        TEST(prepare_hangs),
        TEST(stopped_while_preparing),
        TEST(clear_fails),
        TEST(clear_hangs),
        TEST(adopted),
        TEST(judged),
        TEST(stopped_while_down),
        TEST(not_begun),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }
    if (argc > 1) {
        return stand_in(argc, argv);
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
