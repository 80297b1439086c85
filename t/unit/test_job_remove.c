/*
 * Removing jobs that have ended, many at a time, from a real registry.
 */

#include "t/unit/scratch.h"

#include "computes/files/reserve.h"
#include "computes/jobs/job_remove.h"

#define ANN "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define BOB "11111111-1111-8111-8111-111111111111"
#define PROVIDER "/providers/Microsoft.MachineLearningServices/workspaces/"
#define DAY INT64_C(86400000)

static const amld_workspace_t workspaces[] = {
    {(char *) "demo", (char *) "s-1", (char *) "rg", (char *) "local",
     (char *) "/srv/share",
     (char *) "/subscriptions/s-1/resourceGroups/rg" PROVIDER "demo"},
    {(char *) "two", (char *) "s-1", (char *) "rg", (char *) "local",
     (char *) "/srv/two",
     (char *) "/subscriptions/s-1/resourceGroups/rg" PROVIDER "two"},
};

static uint64_t last_seq;


static aml_registry_rc_t
put_in(aml_registry_txn_t *txn, unsigned workspace, const char *id,
       const char *creator, amld_job_status_t status, int64_t ended,
       size_t command)
{
    json_t *doc;
    char *text = calloc(1, command + 1);
    amld_key_t key, compute;
    aml_registry_rc_t rc;

    assert_non_null(text);
    memset(text, 'x', command);
    assert_int_equal(amld_compute_key(&compute, &workspaces[workspace], "lab"),
                     0);
    assert_int_equal(amld_job_key(&key, &workspaces[workspace], id), 0);
    doc = json_pack("{s:s,s:s,s:s,s:s,s:I,s:{s:s}}", "name", id, "workspace",
                    workspaces[workspace].id, "compute", compute.p, "creator",
                    creator, "seq", (json_int_t) ++last_seq, "requested",
                    "command", text);
    assert_non_null(doc);
    free(text);
    amld_job_set_status(doc, status);
    if (ended != 0) {
        assert_int_equal(amld_job_set_time(doc, "ended", ended), 0);
    }

    rc = amld_job_store(txn, &key, doc);
    json_decref(doc);

    return rc;
}


static aml_registry_rc_t
put(aml_registry_t *registry, unsigned workspace, const char *id,
    const char *creator, amld_job_status_t status, int64_t ended,
    size_t command)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(registry, &txn), AML_REGISTRY_OK);
    rc = put_in(txn, workspace, id, creator, status, ended, command);
    if (rc == AML_REGISTRY_OK) {
        return aml_registry_commit(txn);
    }
    aml_registry_end(txn);

    return rc;
}


static void
removed(void *data, const json_t *doc)
{
    strcat(data, amld_compute_str(doc, "name"));
    strcat(data, " ");
}


/* The names of those that were removed. */
static const char *
remove_jobs(scratch_t *s, const amld_job_which_t *which)
{
    static char names[4096];
    char from[AML_REGISTRY_KEY_MAX + 1] = "";
    size_t n;

    names[0] = '\0';
    assert_int_equal(
        amld_jobs_remove(s->registry, which, 1000, from, removed, names, &n),
        AML_REGISTRY_OK);
    assert_string_equal(from, "");

    return names;
}


static void
which_ones(void **state)
{
    scratch_t *s = *state;
    aml_registry_t *r = s->registry;

    put(r, 0, "a-old", ANN, AMLD_JOB_COMPLETED, 1 * DAY, 1);
    put(r, 0, "a-new", ANN, AMLD_JOB_FAILED, 9 * DAY, 1);
    put(r, 0, "a-runs", ANN, AMLD_JOB_RUNNING, 0, 1);
    put(r, 0, "a-waits", ANN, AMLD_JOB_QUEUED, 0, 1);
    put(r, 0, "a-asked", ANN, AMLD_JOB_CANCEL_REQUESTED, 0, 1);
    put(r, 0, "b-old", BOB, AMLD_JOB_CANCELED, 2 * DAY, 1);
    put(r, 1, "b-old", BOB, AMLD_JOB_COMPLETED, 2 * DAY, 1);
    put(r, 1, "b-more", BOB, AMLD_JOB_COMPLETED, 3 * DAY, 1);

    assert_string_equal(
        remove_jobs(s, &(amld_job_which_t){.creator = BOB, .before = DAY}), "");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){.name = "a-runs"}),
                        "");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){.before = 2 * DAY}),
                        "a-old ");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){.name = "B-OLD",
                                                           .workspace = "two"}),
                        "b-old ");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){.workspace = "Two"}),
                        "b-more ");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){.creator = ANN}),
                        "a-new ");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){0}), "b-old ");
    assert_string_equal(remove_jobs(s, &(amld_job_which_t){0}), "");

    /* those that have not ended are there, and all that follows from them */
    assert_int_equal(scratch_count(s, "job/"), 3);
    assert_int_equal(scratch_count(s, "jobtime/"), 3);
    assert_int_equal(scratch_count(s, "jobqueue/"), 3);
    assert_int_equal(scratch_count(s, "jobuse/"), 1);
}


/* By a clock that was far behind while it ran: it is as old as it is. */
static void
ended_before_it_began(void **state)
{
    scratch_t *s = *state;
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn;

    put(s->registry, 0, "odd", ANN, AMLD_JOB_COMPLETED, 1 * DAY, 1);
    assert_int_equal(amld_job_key(&key, &workspaces[0], "odd"), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_job_load(txn, &key, &doc), AML_REGISTRY_OK);
    assert_int_equal(amld_job_set_time(doc, "submitted", 9 * DAY), 0);
    assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    json_decref(doc);

    assert_string_equal(remove_jobs(s, &(amld_job_which_t){.before = 9 * DAY}),
                        "");
    assert_string_equal(
        remove_jobs(s, &(amld_job_which_t){.before = 9 * DAY + 1}), "odd ");
}


/* From step to step, also over what is damaged. */
static void
in_steps(void **state)
{
    scratch_t *s = *state;
    char id[16], from[AML_REGISTRY_KEY_MAX + 1] = "";
    unsigned i, steps;
    size_t n, total = 0;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < 700; i++) {
        snprintf(id, sizeof(id), "j%04u", i);
        put_in(txn, i % 2, id, i % 3 == 0 ? ANN : BOB,
               i % 5 == 0 ? AMLD_JOB_RUNNING : AMLD_JOB_COMPLETED, DAY, 1);
    }
    assert_int_equal(
        aml_registry_put(txn, "job/s-1/rg/demo/j0001x", 22, "{}", 2),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    for (steps = 0; steps == 0 || from[0] != '\0'; steps++) {
        assert_int_equal(amld_jobs_remove(s->registry,
                                          &(amld_job_which_t){.creator = BOB},
                                          200, from, NULL, NULL, &n),
                         AML_REGISTRY_OK);
        total += n;
    }
    assert_int_equal(steps, 4);
    assert_int_equal(total, 373);
    assert_int_equal(scratch_count(s, "job/"), 701 - 373);
}


/* It takes pages to give up pages: also where there is none but in reserve. */
static void
no_room(void **state)
{
    scratch_t *s = *state;
    char path[128], id[32], from[AML_REGISTRY_KEY_MAX + 1] = "";
    unsigned i;
    size_t n;
    aml_registry_t *r;
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    snprintf(path, sizeof(path), "%s/small", s->dir);
    assert_int_equal(
        aml_registry_open_writer(path, 1024 * 1024, (gid_t) -1, &r),
        AML_REGISTRY_OK);
    amld_reserve_keep(r);

    for (i = 0; i < 100000 && rc == AML_REGISTRY_OK; i++) {
        snprintf(id, sizeof(id), "j%08x", i * 2654435761U);
        rc = put(r, 0, id, ANN, AMLD_JOB_COMPLETED, DAY, 1500);
    }
    assert_true(amld_reserve_is_full(rc));
    i--;
    assert_true(i > 60);

    assert_int_equal(amld_jobs_remove(r, &(amld_job_which_t){0}, 100000, from,
                                      NULL, NULL, &n),
                     AML_REGISTRY_OK);
    assert_int_equal(n, i);
    amld_reserve_keep(r);
    assert_int_equal(put(r, 0, "again", ANN, AMLD_JOB_QUEUED, 0, 60000),
                     AML_REGISTRY_OK);
    aml_registry_close(r);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(which_ones, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(ended_before_it_began, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(in_steps, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(no_room, scratch_setup,
                                        scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
