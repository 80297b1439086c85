/*
 * Applications on demand under a real supervisor.  This program is also what it
 * starts for them; files "behaviour" and "behaviour-rstudio" in the share tell
 * it to do something else.
 */

#include "t/unit/supervisor_fixture.h"

#include "computes/instances/on_demand.h"

#define PATIENCE 3000 /* of 10 ms */


static const aml_application_t *
rstudio(void)
{
    return aml_application_by_port(8787);
}


static void
behave_rstudio(world_t *w, const char *what)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/behaviour-rstudio", w->share);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(what, f);
    fclose(f);
}


static void
ask_for(world_t *w, int again)
{
    amld_t d = {.config = &w->config,
                .registry = w->scratch->registry,
                .wake = w->wake};
    aml_principal_id_t creator;

    assert_int_equal(aml_uuid_parse(aml_str(CREATOR), &creator), 0);
    assert_int_equal(
        amld_on_demand_ask(&d, aml_str("lab"), 8787, &creator, again),
        AML_REGISTRY_OK);
}


static amld_demand_t
demand(world_t *w)
{
    json_t *doc = load(w);
    amld_demand_t state = amld_on_demand_state(doc, rstudio());

    json_decref(doc);

    return state;
}


static void
demand_becomes(world_t *w, amld_demand_t state)
{
    int i;

    for (i = 0; i < PATIENCE && demand(w) != state; i++) {
        usleep(10000);
    }

    assert_int_equal(demand(w), state);
}


static const char *
message(world_t *w, char text[2048])
{
    json_t *doc = load(w);

    snprintf(text, 2048, "%s", amld_on_demand_message(doc, rstudio()));
    json_decref(doc);

    return text;
}


static pid_t
rstudio_shim(world_t *w)
{
    json_t *doc = load(w);
    amld_command_id_t id = {0};

    (void) amld_compute_command(doc, "rstudio", &id);
    json_decref(doc);

    return (pid_t) id.pid;
}


/* The shims and stand-ins that run, when no more are ending. */
static void
runs(world_t *w, int n)
{
    int i;

    for (i = 0; i < PATIENCE && left(w) != n; i++) {
        usleep(10000);
    }

    assert_int_equal(left(w), n);
}


static mode_t
mode_of(world_t *w, const char *name)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/%s", w->state, name);

    return lstat(path, &st) == 0 ? st.st_mode : 0;
}


static void
up(world_t *w)
{
    want(w, "Create", AMLD_STATE_CREATING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_int_equal(demand(w), AMLD_DEMAND_NONE);
    assert_int_equal(left(w), 2);
}


static void
wait_for_routes(world_t *w, size_t n)
{
    int i;

    for (i = 0;
         i < PATIENCE && scratch_count(w->scratch, "route/lab/8787") != n;
         i++) {
        usleep(10000);
    }

    assert_int_equal(scratch_count(w->scratch, "route/lab/8787"), n);
}


static void
test_whole_life(void **state)
{
    world_t *w = *state;
    int64_t same;

    up(w);
    same = generation(w);

    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
    assert_true(port_answers(w, 8787));
    assert_int_equal(left(w), 4);
    assert_int_equal(generation(w), same);
    assert_int_equal(state_of(w), AMLD_STATE_RUNNING);

    /* what it needs was made, for nobody else */
    assert_int_equal(mode_of(w, "rstudio"), S_IFDIR | 0700);
    assert_int_equal(mode_of(w, "run/rs"), S_IFDIR | 0700);
    assert_int_equal(mode_of(w, "rstudio/database.conf"), S_IFREG | 0600);

    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_int_equal(left(w), 0);
    assert_int_equal(demand(w), AMLD_DEMAND_NONE);

    /* and is on demand again */
    want(w, "Start", AMLD_STATE_STARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_int_equal(left(w), 2);
    assert_false(port_answers(w, 8787));
    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_RUNNING);

    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    assert_int_equal(demand(w), AMLD_DEMAND_NONE);
    assert_int_equal(left(w), 2);
}


static void
test_fails(void **state)
{
    world_t *w = *state;
    char text[2048];

    up(w);
    behave_rstudio(w, "crash");
    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_FAILED);
    assert_non_null(strstr(message(w, text), "ended before it was ready"));
    assert_non_null(strstr(text, "the reason of it"));

    /* it alone */
    assert_int_equal(state_of(w), AMLD_STATE_RUNNING);
    assert_true(answers(w));
    runs(w, 2);
    assert_int_equal(rstudio_shim(w), 0);

    /* nobody begins it again by going on asking */
    ask_for(w, 0);
    assert_int_equal(demand(w), AMLD_DEMAND_FAILED);

    behave_rstudio(w, "");
    ask_for(w, 1);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
    assert_string_equal(message(w, text), "");
    assert_true(port_answers(w, 8787));
}


static void
test_too_late(void **state)
{
    world_t *w = *state;
    char text[2048];

    (void) amld_end(w, SIGTERM);
    w->config.start_timeout = 2;
    amld_again(w);

    up(w);
    behave_rstudio(w, "hang");
    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_STARTING);
    assert_false(port_answers(w, 8787));
    demand_becomes(w, AMLD_DEMAND_FAILED);
    assert_non_null(strstr(message(w, text), "within 2 seconds"));
    assert_int_equal(state_of(w), AMLD_STATE_RUNNING);
    runs(w, 2);

    /* it listens, but says that it is not ready */
    behave_rstudio(w, "busy");
    ask_for(w, 1);
    demand_becomes(w, AMLD_DEMAND_FAILED);
    runs(w, 2);
}


static void
test_what_it_needs_is_in_the_way(void **state)
{
    world_t *w = *state;
    char path[256], other[256], text[2048];
    struct stat st;

    up(w);

    /* where it would write there is a way to elsewhere */
    snprintf(other, sizeof(other), "%s/elsewhere", w->share);
    assert_int_equal(mkdir(other, 0755), 0);
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/rstudio", w->state);
    assert_int_equal(symlink(other, path), 0);

    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_FAILED);
    assert_non_null(strstr(message(w, text), "cannot make"));
    snprintf(text, sizeof(text), "%s/database.conf", other);
    assert_int_equal(lstat(text, &st), -1);
    assert_int_equal(state_of(w), AMLD_STATE_RUNNING);

    /* nor is a file that lies there written into */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/i/0a0b0c0d/rstudio/database.conf",
             w->state);
    assert_int_equal(symlink(text, path), 0);
    ask_for(w, 1);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
    assert_int_equal(lstat(text, &st), -1);
    assert_int_equal(mode_of(w, "rstudio/database.conf"), S_IFREG | 0600);
}


static void
test_again_and_again(void **state)
{
    world_t *w = *state;
    char text[2048];
    pid_t before;
    int i;

    up(w);
    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
    before = rstudio_shim(w);

    kill(before, SIGQUIT);
    demand_becomes(w, AMLD_DEMAND_STARTING);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
    assert_int_not_equal(rstudio_shim(w), before);
    assert_true(port_answers(w, 8787));

    behave_rstudio(w, "crash");
    kill(rstudio_shim(w), SIGQUIT);

    /* 2 + 4 + 8 + 16 seconds of pauses */
    for (i = 0; i < 2 * PATIENCE && demand(w) != AMLD_DEMAND_FAILED; i++) {
        usleep(10000);
    }
    assert_int_equal(demand(w), AMLD_DEMAND_FAILED);
    assert_non_null(strstr(message(w, text), "again and again"));
    assert_non_null(strstr(text, "the reason of it"));
    assert_int_equal(state_of(w), AMLD_STATE_RUNNING);
    assert_true(answers(w));
    runs(w, 2);
}


static void
test_adoption(void **state)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    world_t *w = *state;
    pid_t before;
    size_t i;

    up(w);
    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
    before = rstudio_shim(w);

    for (i = 0; i < 2; i++) {
        (void) amld_end(w, signals[i]);
        assert_true(port_answers(w, 8787));
        amld_again(w);
        usleep(300000);
        assert_int_equal(rstudio_shim(w), before);
        assert_int_equal(demand(w), AMLD_DEMAND_RUNNING);
    }

    /* one that ended meanwhile */
    (void) amld_end(w, SIGKILL);
    kill(before, SIGQUIT);
    for (i = 0; i < PATIENCE && kill(before, 0) == 0; i++) {
        usleep(10000);
    }
    amld_again(w);
    for (i = 0;
         i < PATIENCE && (rstudio_shim(w) == before || !port_answers(w, 8787));
         i++) {
        usleep(10000);
    }
    assert_true(port_answers(w, 8787));
    demand_becomes(w, AMLD_DEMAND_RUNNING);

    /* what it was asked for while it was away */
    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    (void) amld_end(w, SIGKILL);
    ask_for(w, 0);
    amld_again(w);
    demand_becomes(w, AMLD_DEMAND_RUNNING);
}


/* Killed at any moment: what was asked for comes, once. */
static void
test_killed_anywhere(void **state)
{
    world_t *w = *state;
    unsigned seed = (unsigned) time(NULL);
    int round, kills, n;

    print_message("# seed %u\n", seed);
    up(w);

    for (round = 0; round < 15; round++) {
        ask_for(w, 1);
        kills = rand_r(&seed) % 4;
        for (n = 0; n < kills; n++) {
            usleep((useconds_t) (rand_r(&seed) % 40000));
            (void) amld_end(w, SIGKILL);
            amld_again(w);
        }
        demand_becomes(w, AMLD_DEMAND_RUNNING);
        assert_true(port_answers(w, 8787));
        assert_true(answers(w));
        runs(w, 4);

        want(w, "Restart", AMLD_STATE_RESTARTING);
        becomes(w, AMLD_STATE_RUNNING);
        assert_int_equal(demand(w), AMLD_DEMAND_NONE);
        runs(w, 2);
    }
}


/* What is installed later is there for instances that run already. */
static void
test_configured_later(void **state)
{
    world_t *w = *state;

    (void) amld_end(w, SIGTERM);
    w->config.application_count = 1;
    amld_again(w);
    up(w);
    assert_int_equal(scratch_count(w->scratch, "route/lab/8787"), 0);

    (void) amld_end(w, SIGTERM);
    w->config.application_count = 2;
    amld_again(w);
    wait_for_routes(w, 1);
    ask_for(w, 0);
    demand_becomes(w, AMLD_DEMAND_RUNNING);

    /* what runs is reached as long as it does */
    (void) amld_end(w, SIGTERM);
    w->config.application_count = 1;
    amld_again(w);
    usleep(300000);
    assert_true(port_answers(w, 8787));
    assert_true(answers(w));

    want(w, "Restart", AMLD_STATE_RESTARTING);
    becomes(w, AMLD_STATE_RUNNING);
    wait_for_routes(w, 0);
}


static void
test_stop_while_starting(void **state)
{
    world_t *w = *state;

    up(w);
    behave_rstudio(w, "hang");
    ask_for(w, 0);
    runs(w, 4);
    want(w, "Stop", AMLD_STATE_STOPPING);
    becomes(w, AMLD_STATE_STOPPED);
    assert_int_equal(left(w), 0);
    assert_int_equal(demand(w), AMLD_DEMAND_NONE);
    assert_int_equal(scratch_count(w->scratch, "route/lab/8787"), 0);
}


int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_whole_life),
        T(test_fails),
        T(test_too_late),
        T(test_what_it_needs_is_in_the_way),
        T(test_again_and_again),
        T(test_adoption),
        T(test_killed_anywhere),
        T(test_configured_later),
        T(test_stop_while_starting),
    };

    if (argc > 1 && strcmp(argv[1], "shim") == 0) {
        return amld_shim_main(argc - 1, argv + 1);
    }
    if (argc > 1 && (strcmp(argv[1], "server") == 0 ||
                     strncmp(argv[1], "--server-", 9) == 0)) {
        return stand_in(argc, argv);
    }

    if (argc > 1) {
        cmocka_set_test_filter(argv[1]); /* one of them, by hand */
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    world_applications = 2;

    return cmocka_run_group_tests_name("on_demand_run", tests, NULL, NULL);
}
