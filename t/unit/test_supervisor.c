/*
 * The supervisor as a process of its own, over a real registry, with real
 * commands.  The application is a stand-in: this program, in place of
 * `jupyter`, answers 200 to every request on the socket that it is given.  A
 * file "behaviour" in the share tells it to do something else.
 */

#include "t/unit/supervisor_fixture.h"

#include <fcntl.h>

#include "computes/instances/instance.h"


static void
whole_life(void **state)
{
    world_t *w = *state;
    char path[160];
    int64_t first, second;

    want(w, "Create", AMLD_STATE_CREATING);
    assert_false(has_route(w));
    becomes(w, AMLD_STATE_RUNNING);
    assert_true(answers(w));
    assert_true(operation(w, "Create", "Succeeded"));
    first = generation(w);
    assert_true(first > 0);
    snprintf(path, sizeof(path), "%s/Users/ann", w->share);
    assert_int_equal(access(path, F_OK), 0);

    want(w, "Stop", AMLD_STATE_STOPPING);
    assert_false(has_route(w)); /* before anything is asked to end */
    becomes(w, AMLD_STATE_STOPPED);
    assert_true(operation(w, "Stop", "Succeeded"));
    assert_int_equal(left(w), 0);

    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_true(answers(w));
    second = generation(w);
    assert_true(second > first);

    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_true(answers(w));
    assert_true(generation(w) > second);
    assert_true(operation(w, "Restart", "Succeeded"));

    want(w, "Delete", AMLD_STATE_DELETING);
    assert_false(has_route(w));
    becomes(w, AMLD_STATE_COUNT);
    assert_true(operation(w, "Delete", "Succeeded"));
    assert_int_equal(left(w), 0);
    assert_int_equal(scratch_count(w->scratch, "route/"), 0);
    assert_int_equal(scratch_count(w->scratch, "name/"), 0);
    assert_int_equal(access(path, F_OK), 0); /* files are kept */
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d", w->state);
    assert_int_equal(access(path, F_OK), -1);
}


static void
create_fails(void **state)
{
    world_t *w = *state;
    char text[2048];

    behave(w, "crash");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_true(operation(w, "Create", "Failed"));
    assert_non_null(strstr(failure(w, text), "jupyter ended before it was "
                                             "ready"));
    assert_non_null(strstr(text, "the reason of it"));
    assert_non_null(strstr(text, "exit status 3"));
    assert_int_equal(left(w), 0);

    /* what was wrong is put right */
    behave(w, "");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_string_equal(failure(w, text), "");

    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    behave(w, "crash");
    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_true(operation(w, "Start", "Failed"));
}


static void
start_times_out(void **state)
{
    world_t *w = *state;
    char text[2048];

    (void) amld_end(w, SIGTERM);
    w->config.start_timeout = 1;
    amld_again(w);

    behave(w, "hang");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_non_null(
        strstr(failure(w, text), "did not answer within 1 seconds"));
    assert_true(quiet(w));

    behave(w, "busy"); /* it listens, but is not up */
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_true(quiet(w));
}


static void
no_program(void **state)
{
    world_t *w = *state;
    char text[2048];

    (void) amld_end(w, SIGTERM);
    strcpy(w->program, "/nowhere/jupyter");
    amld_again(w);
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_CREATE_FAILED);
    assert_non_null(strstr(failure(w, text), "cannot run /nowhere/jupyter"));
}


static void
stop_while_starting(void **state)
{
    world_t *w = *state;

    behave(w, "hang");
    want(w, "Create", AMLD_STATE_CREATING);
    usleep(300000);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_true(operation(w, "Create", "Canceled"));
    assert_true(operation(w, "Stop", "Succeeded"));
    assert_int_equal(left(w), 0);

    want(w, "Start", AMLD_STATE_STARTING);
    usleep(300000);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_COUNT);
    assert_int_equal(left(w), 0);
}


static void
stubborn(void **state)
{
    world_t *w = *state;
    time_t begun;

    behave(w, "stubborn");
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    begun = time(NULL);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_in_range(time(NULL) - begun, 1, 5); /* stop_timeout is 2 s */
    assert_int_equal(left(w), 0);
}


static void
crashes(void **state)
{
    world_t *w = *state;
    pid_t before;
    int64_t same, killed;
    int i;

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    before = shim(w);
    same = generation(w);

    killed = amld_now();
    kill(before, SIGQUIT);
    for (i = 0; i < 6000 && (shim(w) == before || !answers(w)); i++) {
        usleep(10000);
    }
    assert_int_not_equal(shim(w), before);
    assert_true(answers(w));
    assert_int_equal(state_of(w), AMLD_STATE_RUNNING);
    assert_int_equal(generation(w), same);    /* it is the same start */
    assert_true(amld_now() - killed >= 1000); /* a second's pause */
}


static void
crashes_again_and_again(void **state)
{
    world_t *w = *state;
    char text[2048];
    time_t begun = time(NULL);

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    behave(w, "crash");
    kill(shim(w), SIGQUIT);
    /* 1 + 2 + 4 + 8 + 16 seconds of pauses */
    while (state_of(w) == AMLD_STATE_RUNNING && time(NULL) - begun < 120) {
        usleep(100000);
    }
    assert_int_equal(state_of(w), AMLD_STATE_UNUSABLE);
    assert_true(time(NULL) - begun >= 30);
    assert_non_null(strstr(failure(w, text), "again and again"));
    assert_non_null(strstr(text, "the reason of it"));
    assert_false(has_route(w));

    behave(w, "");
    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_true(answers(w));
    assert_string_equal(failure(w, text), "");
}


static void
adoption(void **state)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    world_t *w = *state;
    size_t i;
    pid_t before;
    int64_t same;

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    before = shim(w);
    same = generation(w);

    for (i = 0; i < 2; i++) {
        assert_int_equal(amld_end(w, signals[i]),
                         signals[i] == SIGTERM ? 0 : 256 + SIGKILL);
        assert_true(answers(w));
        amld_again(w);
        usleep(300000);
        assert_int_equal(shim(w), before);
        assert_int_equal(generation(w), same);
        assert_int_equal(state_of(w), AMLD_STATE_RUNNING);
        assert_true(answers(w));
    }

    /* what it has adopted it watches, too */
    kill(before, SIGQUIT);
    for (i = 0; i < 1000 && (shim(w) == before || !answers(w)); i++) {
        usleep(10000);
    }
    assert_true(answers(w));
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_int_equal(left(w), 0);
}


/* A reboot: everything is gone, and numbers are used again. */
static void
lost(void **state)
{
    world_t *w = *state;
    amld_command_id_t id;
    json_t *doc;
    aml_registry_txn_t *txn;
    int64_t before;
    int i;

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    before = generation(w);
    (void) amld_end(w, SIGKILL);
    kill(shim(w), SIGKILL);
    assert_true(quiet(w));

    /* the number is this test's own now, of another boot */
    assert_int_equal(aml_registry_write(w->scratch->registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &w->key, &doc), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_command(doc, "jupyter", &id), 0);
    id.pid = getpid();
    id.boot[0] = 'x';
    assert_int_equal(amld_compute_set_command(doc, "jupyter", &id), 0);
    assert_int_equal(amld_compute_store(txn, &w->config, &w->key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);

    amld_again(w);
    for (i = 0; i < 1000 && (generation(w) == before || !answers(w)); i++) {
        usleep(10000);
    }
    becomes(w, AMLD_STATE_RUNNING);
    assert_true(answers(w));
    assert_true(generation(w) > before);
}


static void
asked_while_down(void **state)
{
    world_t *w = *state;

    (void) amld_end(w, SIGKILL);
    want(w, "Create", AMLD_STATE_CREATING);
    amld_again(w);
    becomes(w, AMLD_STATE_RUNNING);

    (void) amld_end(w, SIGKILL);
    want(w, "Stop", AMLD_STATE_STOPPING);
    amld_again(w);
    becomes(w, AMLD_STATE_STOPPED);
    assert_int_equal(left(w), 0);

    (void) amld_end(w, SIGKILL);
    want(w, "Delete", AMLD_STATE_DELETING);
    amld_again(w);
    becomes(w, AMLD_STATE_COUNT);
}


/* Killed at any moment, again and again: what was asked for is what comes,
 * once, and nothing else runs. */
static void
killed_anywhere(void **state)
{
    static const struct {
        const char *operation;
        amld_state_t via, to;
    } steps[] = {
        {"Create", AMLD_STATE_CREATING, AMLD_STATE_RUNNING},
        {"Restart", AMLD_STATE_RESTARTING, AMLD_STATE_RUNNING},
        {"Stop", AMLD_STATE_STOPPING, AMLD_STATE_STOPPED},
        {"Start", AMLD_STATE_STARTING, AMLD_STATE_RUNNING},
        {"Delete", AMLD_STATE_DELETING, AMLD_STATE_COUNT},
    };
    world_t *w = *state;
    unsigned seed = (unsigned) time(NULL);
    int round, kills, n;
    size_t i;

    print_message("# seed %u\n", seed);

    for (round = 0; round < 6; round++) {
        for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            want(w, steps[i].operation, steps[i].via);
            kills = rand_r(&seed) % 4;
            for (n = 0; n < kills; n++) {
                usleep((useconds_t) (rand_r(&seed) % 40000));
                (void) amld_end(w, SIGKILL);
                amld_again(w);
            }
            becomes(w, steps[i].to);
            assert_true(operation(w, steps[i].operation, "Succeeded"));
            if (steps[i].to == AMLD_STATE_RUNNING) {
                assert_true(answers(w));
                /* the shim, the stand-in */
                assert_int_equal(left(w), 2);
            } else {
                assert_int_equal(left(w), 0);
            }
        }
        assert_int_equal(scratch_count(w->scratch, "pending/"), 0);
        assert_int_equal(scratch_count(w->scratch, "route/"), 0);
    }
    assert_false(operation(w, "Create", "InProgress"));
    assert_false(operation(w, "Delete", "InProgress"));
}


static void
one_at_a_time(void **state)
{
    world_t *w = *state;
    pid_t first = w->amld;
    int status;

    usleep(200000);
    amld_log_level(-1);
    amld_again(w);
    assert_int_equal(waitpid(w->amld, &status, 0), w->amld);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    w->amld = first;
}


/* Of a deletion that was cut off between registry and disk. */
static void
orphans(void **state)
{
    world_t *w = *state;
    char path[200];
    int i;

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    (void) amld_end(w, SIGKILL);

    snprintf(path, sizeof(path), "%s/i/deadbeef", w->state);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/i/deadbeef/jupyter.log", w->state);
    assert_int_equal(mkdir(path, 0700), 0);
    amld_again(w);
    snprintf(path, sizeof(path), "%s/i/deadbeef", w->state);
    for (i = 0; i < 1000 && access(path, F_OK) == 0; i++) {
        usleep(10000);
    }
    assert_int_equal(access(path, F_OK), -1);
    /* one that is stopped keeps its own */
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d", w->state);
    assert_int_equal(access(path, F_OK), 0);
}


/* Nothing of what people leave in their temporary directory stays, how deep it
 * may be, and no start waits for it. */
static void
much_is_left(void **state)
{
    world_t *w = *state;
    char path[200];
    int k, fd, next;

    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/tmp", w->state);
    fd = open(path, O_RDONLY | O_DIRECTORY);
    for (k = 0; k < 500; k++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        assert_true(next != -1);
        close(fd);
        fd = next;
    }
    close(fd);

    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    want(w, "Delete", AMLD_STATE_DELETING);
    becomes(w, AMLD_STATE_COUNT);
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d", w->state);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof(path), "%s/i/.gone", w->state);
    for (k = 0; k < 1000 && rmdir(path) != 0; k++) {
        usleep(10000);
    }
    assert_true(k < 1000);
}


int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(whole_life),
        TEST(create_fails),
        TEST(start_times_out),
        TEST(no_program),
        TEST(stop_while_starting),
        TEST(stubborn),
        TEST(crashes),
        TEST(crashes_again_and_again),
        TEST(adoption),
        TEST(lost),
        TEST(asked_while_down),
        TEST(killed_anywhere),
        TEST(one_at_a_time),
        TEST(orphans),
        TEST(much_is_left),
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

    return cmocka_run_group_tests_name("supervisor", tests, NULL, NULL);
}
