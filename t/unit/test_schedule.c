/*
 * Schedules: when the next run is, what is done at it, what is missed, and
 * that nothing comes twice.
 */

#include "computes/automatic/schedule_run.h"

#define PLACE_KIND AMLD_DUE_SCHEDULE
#define PLACE_TURN amld_schedule_turn
#include "t/unit/due_place.h"


#include "computes/automatic/automatic.h"
#include "computes/automatic/due.h"
#include "computes/automatic/schedule.h"
#include "computes/instances/operations.h"
#include "computes/instances/plan.h"
#include "computes/time/civil.h"

#define HOUR 3600
#define DAY 86400

/* 2026-11-27, a Friday, 00:00 UTC */
#define FRIDAY INT64_C(1795737600)


/* "Stop 0 18 * * *; Start 0 8 * * *", in UTC. */
static json_t *
schedules(const char *text)
{
    json_t *list = json_array();
    char action[16], expression[64];
    int used;

    while (sscanf(text, "%15s %63[^;]%n", action, expression, &used) == 2) {
        assert_int_equal(
            json_array_append_new(
                list,
                json_pack("{s:s,s:{s:s,s:s},s:s,s:s}", "triggerType", "Cron",
                          "cron", "timeZone", "UTC", "expression", expression,
                          "action", action, "status", "Enabled")),
            0);
        text += used;
        text += *text == ';';
    }

    return json_pack("{s:{s:o}}", "schedules", "computeStartStop", list);
}


/* An instance in `state`, for which all that was due by `until` is over. */
static void
instance(place_t *p, amld_state_t state, const char *text, int64_t until)
{
    json_t *own, *doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:{},s:o}", "name",
                                  "Lab", "workspace", workspace.id, "location",
                                  "local", "creator", CREATOR, "runtime", "0a",
                                  "commands", "requested", schedules(text));

    assert_non_null(doc);
    assert_int_equal(amld_compute_set_state(doc, state), 0);
    store(p, doc);
    own = json_object_get(doc, "schedule");
    if (own != NULL) {
        assert_int_equal(json_object_set_new(own, "until", json_integer(until)),
                         0);
        (void) json_object_del(own, "next");
        store(p, doc);
    }
    json_decref(doc);
}


static const char *
last(place_t *p, char text[128])
{
    json_t *doc = load(p);
    const json_t *l = json_object_get(json_object_get(doc, "schedule"), "last");

    snprintf(text, 128, "%s %s %s", amld_compute_str(l, "time"),
             amld_compute_str(l, "action"), amld_compute_str(l, "result"));
    json_decref(doc);

    return text;
}


static void
next_run(void **state)
{
    place_t *p = *state;

    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *;Start 0 8 * * *", FRIDAY);
    assert_int_equal(due(p), FRIDAY + 8 * HOUR);
    assert_int_equal(scratch_count(p->scratch, "due/"), 1);

    /* another document in its place: what it knows nothing of is swept away */
    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *", FRIDAY);
    assert_int_equal(due(p), FRIDAY + 8 * HOUR);
    assert_int_equal(scratch_count(p->scratch, "due/"), 2);
    amld_schedule_turn(&p->d, &p->key, FRIDAY + 8 * HOUR, FRIDAY);
    assert_int_equal(due(p), FRIDAY + 18 * HOUR);
    assert_int_equal(scratch_count(p->scratch, "due/"), 1);
}


/* A change begins at its own time: what was due before is not made up for. */
static void
changes(void **state)
{
    place_t *p = *state;
    json_t *doc, *item;
    int64_t now = (int64_t) time(NULL);

    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *", FRIDAY);
    assert_int_equal(due(p), FRIDAY + 18 * HOUR);

    doc = load(p);
    json_object_set_new(doc, "requested", schedules("Stop * * * * *"));
    store(p, doc);
    assert_true(due(p) > now && due(p) <= now + 61);
    assert_int_equal(scratch_count(p->scratch, "due/"), 1);

    /* disabled */
    item = json_array_get(
        json_object_get(
            json_object_get(json_object_get(doc, "requested"), "schedules"),
            "computeStartStop"),
        0);
    json_object_set_new(item, "status", json_string("Disabled"));
    store(p, doc);
    assert_int_equal(due(p), AMLD_DUE_NEVER);

    /* not yet */
    json_object_set_new(item, "status", json_string("Enabled"));
    json_object_set_new(json_object_get(item, "cron"), "startTime",
                        json_string("2096-11-28T10:30:30"));
    store(p, doc);
    assert_int_equal(due(p),
                     amld_civil_days(2096, 11, 28) * DAY + 10 * HOUR + 31 * 60);

    /* none */
    json_object_set_new(doc, "requested", json_object());
    store(p, doc);
    assert_int_equal(scratch_count(p->scratch, "due/"), 0);
    assert_null(json_object_get(doc, "schedule"));
    json_decref(doc);
}


static void
removed(void **state)
{
    place_t *p = *state;
    aml_registry_txn_t *txn;
    json_t *doc;

    instance(p, AMLD_STATE_STOPPED, "Start 0 8 * * *", FRIDAY);
    doc = load(p);
    amld_compute_set_state(doc, AMLD_STATE_DELETING);
    store(p, doc);
    assert_int_equal(due(p), AMLD_DUE_NEVER);

    instance(p, AMLD_STATE_STOPPED, "Start 0 8 * * *", FRIDAY);
    json_decref(doc);
    doc = load(p);
    assert_int_equal(aml_registry_write(p->d.registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_remove(txn, &p->key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(p->scratch, "due/"), 0);
    json_decref(doc);
}


static void
starts_and_stops(void **state)
{
    place_t *p = *state;
    json_t *doc;
    const json_t *operation;
    char text[128];

    instance(p, AMLD_STATE_STOPPED, "Stop 0 18 * * *;Start 0 8 * * *", FRIDAY);
    turn(p, FRIDAY + 8 * HOUR + 1, AMLD_STATE_STARTING);
    assert_string_equal(last(p, text), "2026-11-27T08:00:00Z Start Begun");
    assert_int_equal(due(p), FRIDAY + 18 * HOUR);
    assert_int_equal(scratch_count(p->scratch, "operation/"), 1);
    assert_int_equal(scratch_count(p->scratch, "pending/"), 1);

    doc = load(p);
    operation = json_object_get(doc, "lastOperation");
    assert_string_equal(amld_compute_str(operation, "name"), "Start");
    assert_string_equal(amld_compute_str(operation, "trigger"), "Schedule");
    assert_string_equal(amld_compute_str(operation, "status"), "InProgress");
    assert_string_equal(amld_compute_str(operation, "reason"),
                        "Its schedule says Start at 2026-11-27T08:00:00Z.");
    amld_compute_set_state(doc, AMLD_STATE_RUNNING);
    store(p, doc);
    json_decref(doc);

    /* once: what was done is over, whoever asks again */
    amld_schedule_turn(&p->d, &p->key, FRIDAY + 8 * HOUR, FRIDAY + 9 * HOUR);
    assert_int_equal(scratch_count(p->scratch, "operation/"), 1);
    assert_int_equal(due(p), FRIDAY + 18 * HOUR);

    turn(p, FRIDAY + 18 * HOUR, AMLD_STATE_STOPPING);
    assert_int_equal(due(p), FRIDAY + DAY + 8 * HOUR);
}


/* What was due while amld did not run. */
static void
missed(void **state)
{
    place_t *p = *state;
    char text[128];

    /* a little late */
    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *", FRIDAY);
    turn(p, FRIDAY + 19 * HOUR, AMLD_STATE_STOPPING);

    /* too late: the next day's is next */
    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *", FRIDAY);
    turn(p, FRIDAY + 19 * HOUR + 1, AMLD_STATE_RUNNING);
    assert_string_equal(last(p, text), "2026-11-27T18:00:00Z Stop Missed");
    assert_int_equal(due(p), FRIDAY + DAY + 18 * HOUR);

    /* of several the latest, which is done once */
    instance(p, AMLD_STATE_RUNNING, "Start 0 8 * * *;Stop 0 18 * * *",
             FRIDAY - 9 * DAY);
    turn(p, FRIDAY + 18 * HOUR + 600, AMLD_STATE_STOPPING);
    assert_string_equal(last(p, text), "2026-11-27T18:00:00Z Stop Begun");
    assert_int_equal(due(p), FRIDAY + DAY + 8 * HOUR);

    /* both within the hour, in the order of time and not of the list */
    instance(p, AMLD_STATE_STOPPED, "Start 10 18 * * *;Stop 0 18 * * *",
             FRIDAY);
    turn(p, FRIDAY + 18 * HOUR + 1200, AMLD_STATE_STARTING);

    /* both at the same time: the later of the list */
    instance(p, AMLD_STATE_RUNNING, "Start 0 18 * * *;Stop 0 18 * * *", FRIDAY);
    turn(p, FRIDAY + 18 * HOUR, AMLD_STATE_STOPPING);

    /* every second for a year */
    instance(p, AMLD_STATE_RUNNING, "Stop * * * * * *", FRIDAY - 365 * DAY);
    turn(p, FRIDAY, AMLD_STATE_STOPPING);
    assert_int_equal(due(p), FRIDAY + 1);
}


/* Two that say the same are no reason to say that one was missed. */
static void
same_moment(void **state)
{
    static const struct {
        const char *schedules;
        int64_t now;
        int64_t missed;
        unsigned more;
    } cases[] = {
        {"Stop 0 18 * * *;Stop 0 18 * * mon-fri", FRIDAY + 18 * HOUR,
         AMLD_DUE_NEVER, 0},
        {"Start 0 18 * * *;Stop 0 18 * * *", FRIDAY + 18 * HOUR + 60,
         AMLD_DUE_NEVER, 0},
        {"Stop 0 18 * * *;Stop 0 18 * * *", FRIDAY + 20 * HOUR,
         FRIDAY + 18 * HOUR, 1},
        {"Stop 0 18 * * *;Stop 5 18 * * *", FRIDAY + 18 * HOUR + 600,
         FRIDAY + 18 * HOUR, 1},
    };
    place_t *p = *state;
    json_t *doc;
    size_t k;
    amld_schedule_due_t due_now;

    for (k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        instance(p, AMLD_STATE_RUNNING, cases[k].schedules, FRIDAY);
        doc = load(p);
        amld_schedule_look(doc, cases[k].now, &due_now);
        assert_int_equal(due_now.more, cases[k].more);
        assert_int_equal(due_now.missed.at, cases[k].missed);
        json_decref(doc);
    }
}


static void
states(void **state)
{
    static const struct {
        amld_state_t state;
        const char *action;
        amld_state_t then;
        const char *result;
    } cases[] = {
        {AMLD_STATE_RUNNING, "Start", AMLD_STATE_RUNNING, "NothingToDo"},
        {AMLD_STATE_STARTING, "Start", AMLD_STATE_STARTING, "NothingToDo"},
        {AMLD_STATE_STOPPING, "Start", AMLD_STATE_STOPPING, "Refused"},
        {AMLD_STATE_CREATE_FAILED, "Start", AMLD_STATE_CREATE_FAILED,
         "Refused"},
        {AMLD_STATE_UNUSABLE, "Start", AMLD_STATE_UNUSABLE, "Refused"},
        {AMLD_STATE_STOPPED, "Stop", AMLD_STATE_STOPPED, "NothingToDo"},
        {AMLD_STATE_UNUSABLE, "Stop", AMLD_STATE_UNUSABLE, "NothingToDo"},
        {AMLD_STATE_STARTING, "Stop", AMLD_STATE_STOPPING, "Begun"},
        {AMLD_STATE_RESTARTING, "Stop", AMLD_STATE_STOPPING, "Begun"},
    };
    place_t *p = *state;
    char text[128], schedule[64];
    size_t k;

    for (k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        snprintf(schedule, sizeof(schedule), "%s 0 8 * * *", cases[k].action);
        instance(p, cases[k].state, schedule, FRIDAY);
        turn(p, FRIDAY + 8 * HOUR, cases[k].then);
        assert_non_null(strstr(last(p, text), cases[k].result));
        assert_int_equal(due(p), FRIDAY + DAY + 8 * HOUR);
    }
}


/* A clock that was years ahead when this was planned. */
static void
clock_was_wrong(void **state)
{
    place_t *p = *state;

    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *", FRIDAY + 900 * DAY);
    amld_schedule_back(&p->d, FRIDAY);
    assert_int_equal(due(p), FRIDAY + 18 * HOUR);
}


/* A little wrong: nothing comes twice. */
static void
clock_was_set(void **state)
{
    place_t *p = *state;

    instance(p, AMLD_STATE_RUNNING, "Stop 0 18 * * *", FRIDAY + 18 * HOUR);
    amld_schedule_back(&p->d, FRIDAY + 18 * HOUR - 600);
    assert_int_equal(due(p), FRIDAY + DAY + 18 * HOUR);
}


/* The thread: it sleeps until then, and goes on with the next. */
static void
thread(void **state)
{
    place_t *p = *state;
    amld_clock_t *clock;
    json_t *doc;
    int i, stopping = 0;

    instance(p, AMLD_STATE_RUNNING, "Stop */2 * * * * *", (int64_t) time(NULL));
    clock = amld_schedule_start(&p->d);
    assert_non_null(clock);

    for (i = 0; i < 1000 && !stopping; i++) {
        usleep(10000);
        doc = load(p);
        stopping = amld_compute_state(doc) == AMLD_STATE_STOPPING;
        json_decref(doc);
    }
    assert_true(stopping);
    amld_clock_stop(clock);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(next_run, setup, teardown),
        cmocka_unit_test_setup_teardown(changes, setup, teardown),
        cmocka_unit_test_setup_teardown(removed, setup, teardown),
        cmocka_unit_test_setup_teardown(starts_and_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(missed, setup, teardown),
        cmocka_unit_test_setup_teardown(same_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(states, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_was_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_was_set, setup, teardown),
        cmocka_unit_test_setup_teardown(thread, setup, teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
