/*
 * Is it idle?  What counts and what does not, from when, and what becomes of
 * one that is.
 */

#include "computes/automatic/idle.h"

#define PLACE_KIND AMLD_DUE_IDLE
#define PLACE_TURN amld_idle_turn
#include "t/unit/due_place.h"

#include <pty.h>
#include <signal.h>
#include <sys/wait.h>

#include "computes/automatic/due.h"
#include "computes/engines/procfs.h"
#include "computes/jobs/job.h"

#define NOW INT64_C(1795780800) /* 2026-11-27 12:00 UTC */
#define MINUTE 60


/* ---- the judgement ---- */

/* Runs for a day, and is to stop after half an hour. */
static amld_idle_facts_t
facts(void)
{
    return (amld_idle_facts_t){.now = NOW,
                               .since = NOW - 1440 * MINUTE,
                               .seconds = 30 * MINUTE,
                               .answered = 1,
                               .asked = 1};
}


static int
stops(const amld_idle_verdict_t *v)
{
    return v->stops_at != AMLD_DUE_NEVER && v->stops_at <= NOW && !v->kept &&
           !v->unknown;
}


static void
judge_uses(void **state)
{
    amld_idle_verdict_t v;
    amld_idle_facts_t f = facts();

    (void) state;

    amld_idle_judge(&f, &v);
    assert_true(stops(&v));
    assert_int_equal(v.idle_since, NOW - 1440 * MINUTE);
    assert_non_null(strstr(v.reason, "Nothing has been used since "
                                     "2026-11-26T12:00:00Z"));

    f.use = (amld_use_t){.when = NOW - 29 * MINUTE, .port = 8888};
    amld_idle_judge(&f, &v);
    assert_false(stops(&v));
    assert_int_equal(v.stops_at, NOW + MINUTE);
    assert_non_null(strstr(v.reason, "jupyter, by a request"));

    f.use.when = NOW - 30 * MINUTE;
    amld_idle_judge(&f, &v);
    assert_true(stops(&v));

    f.use.frames = 1;
    f.use.port = 22;
    amld_idle_judge(&f, &v);
    assert_non_null(strstr(v.reason, "SSH"));

    /* the latest of all */
    f.jupyter.kernel = NOW - 10 * MINUTE;
    f.jupyter.terminal = NOW - 20 * MINUTE;
    amld_idle_judge(&f, &v);
    assert_int_equal(v.idle_since, NOW - 10 * MINUTE);
    assert_non_null(strstr(v.reason, "A kernel was last at work"));
    f.jupyter.terminal = NOW - 5 * MINUTE;
    amld_idle_judge(&f, &v);
    assert_int_equal(v.idle_since, NOW - 5 * MINUTE);
    assert_non_null(strstr(v.reason, "A terminal was last used"));

    /* it says that it was used in a moment */
    f.jupyter.kernel = NOW + AMLD_IDLE_AHEAD;
    amld_idle_judge(&f, &v);
    assert_int_equal(v.idle_since, NOW);
    assert_int_equal(v.stops_at, NOW + 30 * MINUTE);

    /* tomorrow: by a clock that was wrong */
    f.jupyter.kernel = NOW + 1440 * MINUTE;
    amld_idle_judge(&f, &v);
    assert_int_equal(v.idle_since, NOW - 5 * MINUTE);
    f.use.when = f.jupyter.terminal = f.jupyter.kernel;
    amld_idle_judge(&f, &v);
    assert_int_equal(v.idle_since, f.since);
}


static void
judge_keepers(void **state)
{
    amld_idle_verdict_t v;
    amld_idle_facts_t f = facts();

    (void) state;

    /* a kernel that computes for hours, and nobody looks */
    f.jupyter.kernels = 2;
    f.jupyter.busy = 1;
    f.jupyter.kernel = NOW - 600 * MINUTE;
    amld_idle_judge(&f, &v);
    assert_false(stops(&v));
    assert_true(v.kept);
    assert_int_equal(v.idle_since, NOW);
    assert_string_equal(v.reason, "1 of 2 kernels are at work.");

    f = facts();
    f.works = 1;
    amld_idle_judge(&f, &v);
    assert_false(stops(&v));
    assert_string_equal(v.reason, "A program in a terminal is at work.");

    f = facts();
    f.kept = "A job runs.";
    amld_idle_judge(&f, &v);
    assert_false(stops(&v));
    assert_string_equal(v.reason, "A job runs.");

    f = facts();
    f.answered = 0;
    amld_idle_judge(&f, &v);
    assert_false(stops(&v));
    assert_true(v.unknown);

    f = facts();
    f.seconds = 0;
    amld_idle_judge(&f, &v);
    assert_int_equal(v.stops_at, AMLD_DUE_NEVER);
}


/* ---- what Jupyter says ---- */

static void
jupyter_says(void **state)
{
    amld_jupyter_t j = {0};

    (void) state;

    assert_int_equal(
        amld_jupyter_kernels(
            aml_str("[{\"id\":\"1\",\"execution_state\":\"idle\","
                    "\"last_activity\":\"2026-11-27T11:00:00.123456Z\"},"
                    "{\"id\":\"2\",\"execution_state\":\"busy\","
                    "\"last_activity\":\"2026-11-27T10:00:00.000000Z\"},"
                    "{\"id\":\"3\",\"execution_state\":\"starting\"}]"),
            &j),
        0);
    assert_int_equal(j.kernels, 3);
    assert_int_equal(j.busy, 1);
    assert_int_equal(j.kernel, NOW - 60 * MINUTE);

    assert_int_equal(
        amld_jupyter_terminals(
            aml_str("[{\"name\":\"1\","
                    "\"last_activity\":\"2026-11-27T11:30:00Z\"}]"),
            &j),
        0);
    assert_int_equal(j.terminals, 1);
    assert_int_equal(j.terminal, NOW - 30 * MINUTE);

    assert_int_equal(amld_jupyter_kernels(aml_str("[]"), &j), 0);
    assert_int_equal(amld_jupyter_kernels(aml_str("[1,null,{}]"), &j), 0);
    assert_int_equal(amld_jupyter_kernels(aml_str("{}"), &j), -1);
    assert_int_equal(amld_jupyter_kernels(aml_str("<html>"), &j), -1);
    assert_int_equal(amld_jupyter_kernels(aml_str(""), &j), -1);
    assert_int_equal(amld_jupyter_terminals(aml_str("\"x\""), &j), -1);

    assert_int_equal(amld_jupyter_ask("/nowhere/jupyter.sock", &j), -1);
}


/* ---- terminals ---- */

/* One that counts, with or without a terminal, with this mark. */
static pid_t
counting(const char *mark, int terminal)
{
    static const char loop[] = "while :; do :; done";
    char *const argv[] = {(char *) "sh", (char *) "-c", (char *) loop, NULL};
    char *const envp[] = {(char *) mark, NULL};
    int fd;
    pid_t pid = terminal ? forkpty(&fd, NULL, NULL, NULL) : fork();

    if (pid == 0) {
        if (!terminal) {
            setsid();
        }
        execve("/bin/sh", argv, envp);
        _exit(127);
    }
    assert_true(pid > 0);

    return pid;
}


static void
terminals(void **state)
{
    pid_t pids[3] = {counting("AML_COMMAND=/x/1/jupyter", 1),
                     counting("AML_COMMAND=/x/2/jupyter", 1),
                     counting("AML_COMMAND=/x/3/jupyter", 0)};
    int i;

    (void) state;

    for (i = 0; i < 1000 && amld_proc_terminal_ticks("AML_COMMAND=/x/1/") < 5;
         i++) {
        usleep(10000);
    }
    assert_true(amld_proc_terminal_ticks("AML_COMMAND=/x/1/") >= 5);
    assert_int_equal(amld_proc_terminal_ticks("AML_COMMAND=/x/3/"), 0);
    assert_int_equal(amld_proc_terminal_ticks("AML_COMMAND=/x/4/"), 0);

    for (i = 0; i < 3; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
}


/* ---- uses ---- */

static void
uses(void **state)
{
    amld_usage_t *u = amld_usage_new(NOW);
    amld_use_t use = {.when = NOW, .port = 8888};
    char name[32];
    int i;

    (void) state;
    assert_non_null(u);

    amld_usage_last(u, aml_str("lab"), &use);
    assert_int_equal(use.when, 0);
    assert_true(amld_usage_since(u) > NOW);

    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "lab-%d-x", i);
        use = (amld_use_t){.when = NOW + i, .port = 8888};
        amld_usage_note(u, aml_str_of(name), &use);
    }
    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "lab-%d-x", i);
        amld_usage_last(u, aml_str_of(name), &use);
        assert_int_equal(use.when, NOW + i);
    }

    /* what is told late changes nothing */
    use = (amld_use_t){.when = NOW, .port = 22};
    amld_usage_note(u, aml_str_of(name), &use);
    amld_usage_last(u, aml_str_of(name), &use);
    assert_int_equal(use.when, NOW + 4999);
    assert_int_equal(use.port, 8888);

    amld_usage_free(u);
}


/* ---- an instance ---- */

static void
instance(place_t *p, amld_state_t state, const char *idle)
{
    json_t *doc = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:{},s:{s:s*}}", "name", "Lab", "workspace",
        workspace.id, "location", "local", "creator", CREATOR, "runtime", "0a",
        "commands", "requested", "idleTimeBeforeShutdown", idle);

    assert_non_null(doc);
    assert_int_equal(amld_compute_set_state(doc, state), 0);
    store(p, doc);
    p->since = json_integer_value(
        json_object_get(json_object_get(doc, "idle"), "since"));
    json_decref(doc);
}


static void
planned(void **state)
{
    place_t *p = *state;
    json_t *doc;

    instance(p, AMLD_STATE_STARTING, "PT30M");
    assert_int_equal(due(p), AMLD_DUE_NEVER);

    instance(p, AMLD_STATE_RUNNING, "PT30M");
    assert_int_equal(due(p), p->since + 30 * MINUTE);

    /* written again: nothing moves */
    doc = load(p);
    store(p, doc);
    assert_int_equal(due(p), p->since + 30 * MINUTE);

    /* another time counts from the beginning, too */
    json_object_set_new(json_object_get(doc, "requested"),
                        "idleTimeBeforeShutdown", json_string("PT15M"));
    store(p, doc);
    assert_int_equal(due(p), p->since + 15 * MINUTE);

    /* none */
    json_object_del(json_object_get(doc, "requested"),
                    "idleTimeBeforeShutdown");
    store(p, doc);
    assert_int_equal(due(p), AMLD_DUE_NEVER);
    json_object_set_new(json_object_get(doc, "requested"),
                        "idleTimeBeforeShutdown", json_string("PT15M"));
    store(p, doc);
    assert_int_equal(due(p), p->since + 15 * MINUTE);

    /* not while it does not run */
    amld_compute_set_state(doc, AMLD_STATE_STOPPING);
    store(p, doc);
    assert_int_equal(due(p), AMLD_DUE_NEVER);
    assert_null(json_object_get(doc, "idle"));
    json_decref(doc);
}


static void
stops_when_idle(void **state)
{
    place_t *p = *state;
    amld_use_t use = {.port = 8888};
    const json_t *operation;
    json_t *doc;

    instance(p, AMLD_STATE_RUNNING, "PT30M");

    /* used meanwhile: it is looked at again when that is half an hour ago */
    use.when = p->since + 20 * MINUTE;
    amld_usage_note(p->d.usage, aml_str("lab"), &use);
    turn(p, p->since + 30 * MINUTE, AMLD_STATE_RUNNING);
    assert_int_equal(due(p), p->since + 50 * MINUTE);

    turn(p, p->since + 50 * MINUTE, AMLD_STATE_STOPPING);
    doc = load(p);
    operation = json_object_get(doc, "lastOperation");
    assert_string_equal(amld_compute_str(operation, "name"), "Stop");
    assert_string_equal(amld_compute_str(operation, "trigger"), "IdleShutdown");
    assert_non_null(strstr(amld_compute_str(operation, "reason"),
                           "It was idle for 30 minutes."));
    json_decref(doc);
    assert_int_equal(due(p), AMLD_DUE_NEVER);
    assert_int_equal(scratch_count(p->scratch, "operation/"), 1);
}


/* An amld that has just come knows nothing of what was before. */
/* A job of it that has not ended, or none. */
static void
job(place_t *p, const char *status)
{
    json_t *doc =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:{}}", "name", "j", "workspace",
                  workspace.id, "compute", p->key.p, "creator", CREATOR,
                  "status", status, "seq", 7, "requested");
    amld_key_t key = {.n = 0};
    aml_registry_txn_t *txn;

    assert_non_null(doc);
    assert_int_equal(amld_job_key(&key, &workspace, "j"), 0);
    assert_int_equal(aml_registry_write(p->d.registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);
}


static void
jobs_keep(void **state)
{
    place_t *p = *state;
    int64_t now;

    instance(p, AMLD_STATE_RUNNING, "PT15M");
    now = due(p);

    job(p, "Running");
    turn(p, now, AMLD_STATE_RUNNING);
    now = due(p);
    job(p, "Queued");
    turn(p, now, AMLD_STATE_RUNNING);

    /* from its end on, as it is noticed */
    job(p, "Failed");
    now = due(p);
    turn(p, now, AMLD_STATE_RUNNING);
    now = due(p);
    turn(p, now, AMLD_STATE_STOPPING);
}


static void
after_a_restart(void **state)
{
    place_t *p = *state;
    int64_t now;

    instance(p, AMLD_STATE_RUNNING, "PT30M");
    now = p->since + 300 * MINUTE;

    amld_usage_free(p->d.usage);
    p->d.usage = amld_usage_new(now);
    turn(p, now, AMLD_STATE_RUNNING);
    assert_int_equal(due(p), now + 30 * MINUTE);

    /* and its workers have a minute to tell */
    turn(p, due(p), AMLD_STATE_RUNNING);
    assert_int_equal(due(p), now + 31 * MINUTE);
    turn(p, due(p), AMLD_STATE_STOPPING);
}


/* As a clock that was ahead has written it, and heard of it. */
static void
write_ahead(place_t *p, int64_t ahead)
{
    amld_use_t use = {.when = ahead, .port = 8888};
    char *text;
    json_t *doc = load(p);
    aml_registry_txn_t *txn;

    amld_usage_free(p->d.usage);
    p->d.usage = amld_usage_new(ahead);
    amld_usage_note(p->d.usage, aml_str("lab"), &use);

    json_object_set_new(json_object_get(doc, "idle"), "since",
                        json_integer(ahead));
    assert_int_equal(aml_registry_write(p->d.registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(
        amld_due_set(txn, &p->key, doc, AMLD_DUE_IDLE, ahead + 30 * MINUTE),
        AML_REGISTRY_OK);
    text = json_dumps(doc, JSON_COMPACT);
    assert_non_null(text);
    assert_int_equal(
        aml_registry_put(txn, p->key.p, p->key.n, text, strlen(text)),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    free(text);
    json_decref(doc);
}


static void
clock_was_ahead(void **state)
{
    place_t *p = *state;
    amld_use_t use;
    int64_t now;

    instance(p, AMLD_STATE_RUNNING, "PT30M");
    now = p->since;
    write_ahead(p, now + 20 * 1440 * MINUTE);
    assert_int_equal(due(p), now + 20 * 1440 * MINUTE + 30 * MINUTE);

    amld_idle_back(&p->d, now);
    assert_in_range(due(p), now + 30 * MINUTE, now + 31 * MINUTE);
    amld_usage_last(p->d.usage, aml_str("lab"), &use);
    assert_int_equal(use.when, 0);

    /* whatever it was used at, it has its time from now on */
    turn(p, now + 30 * MINUTE, AMLD_STATE_RUNNING);
    assert_in_range(due(p), now + 31 * MINUTE, now + 32 * MINUTE);
    turn(p, due(p), AMLD_STATE_STOPPING);
}


/* One that is as it should be is left alone. */
static void
clock_was_right(void **state)
{
    place_t *p = *state;
    int64_t now;

    instance(p, AMLD_STATE_RUNNING, "PT30M");
    now = p->since;
    turn(p, now + 5 * MINUTE, AMLD_STATE_RUNNING);

    amld_idle_back(&p->d, now + 10 * MINUTE);
    assert_int_equal(due(p), now + 30 * MINUTE);
}


/* A Jupyter Server that does not answer is not taken for idle. */
static void
does_not_answer(void **state)
{
    place_t *p = *state;
    amld_command_id_t id = {.pid = 1, .boot = "x"};
    json_t *doc;

    instance(p, AMLD_STATE_RUNNING, "PT30M");
    doc = load(p);
    assert_int_equal(amld_compute_set_command(doc, "jupyter", &id), 0);
    store(p, doc);
    json_decref(doc);

    turn(p, p->since + 40 * MINUTE, AMLD_STATE_RUNNING);
    assert_int_equal(due(p), p->since + 40 * MINUTE + AMLD_IDLE_AGAIN);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_keep, setup, teardown),
        cmocka_unit_test(judge_uses),
        cmocka_unit_test(judge_keepers),
        cmocka_unit_test(jupyter_says),
        cmocka_unit_test(terminals),
        cmocka_unit_test(uses),
        cmocka_unit_test_setup_teardown(planned, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_when_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_was_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_was_right, setup, teardown),
        cmocka_unit_test_setup_teardown(does_not_answer, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
