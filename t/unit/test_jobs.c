/*
 * Documents of jobs and what follows from them, in a real registry.
 */

#include "t/unit/scratch.h"

#include "computes/instances/counts.h"
#include "computes/jobs/job.h"

#define CREATOR "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"
#define LIST_MAX 64

static amld_workspace_t workspaces[] = {
    {(char *) "Demo", (char *) "S-1", (char *) "RG", (char *) "local",
     (char *) "/srv/share",
     (char *) "/subscriptions/S-1/resourceGroups/RG/providers/"
              "Microsoft.MachineLearningServices/workspaces/Demo"},
    {(char *) "two", (char *) "S-1", (char *) "RG", (char *) "local",
     (char *) "/srv/two",
     (char *) "/subscriptions/S-1/resourceGroups/RG/providers/"
              "Microsoft.MachineLearningServices/workspaces/two"},
};

typedef struct {
    size_t n;
    size_t most;
    uint64_t seq[LIST_MAX];
    char keys[LIST_MAX][AML_REGISTRY_KEY_MAX + 1];
} seen_t;


static json_t *
document(const char *id, const char *compute, uint64_t seq)
{
    amld_key_t key;
    json_t *doc;

    assert_int_equal(amld_compute_key(&key, &workspaces[0], compute), 0);
    doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:{s:s},s:{s:I}}", "name", id,
                    "workspace", workspaces[0].id, "compute", key.p, "creator",
                    CREATOR, "status", "Queued", "seq", (json_int_t) seq,
                    "requested", "command", "true", "times", "submitted",
                    (json_int_t) 1);
    assert_non_null(doc);

    return doc;
}


static aml_registry_txn_t *
begin(scratch_t *s, int write)
{
    aml_registry_txn_t *txn;

    assert_int_equal(write ? aml_registry_write(s->registry, &txn)
                           : aml_registry_read(s->registry, &txn),
                     AML_REGISTRY_OK);

    return txn;
}


static void
store(scratch_t *s, const json_t *doc)
{
    amld_key_t key;
    aml_registry_txn_t *txn = begin(s, 1);

    assert_int_equal(
        amld_job_key(&key, &workspaces[0], amld_compute_str(doc, "name")), 0);
    assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
put(scratch_t *s, const char *id, const char *compute, uint64_t seq)
{
    json_t *doc = document(id, compute, seq);

    store(s, doc);
    json_decref(doc);
}


static int
see(void *data, uint64_t seq, const amld_key_t *job)
{
    seen_t *seen = data;

    assert_true(seen->n < LIST_MAX);
    seen->seq[seen->n] = seq;
    snprintf(seen->keys[seen->n], sizeof(seen->keys[0]), "%s", job->p);

    return ++seen->n == seen->most;
}


static seen_t
queue(scratch_t *s, const char *compute, uint64_t from)
{
    seen_t seen;
    amld_key_t key;
    aml_registry_txn_t *txn = begin(s, 0);

    memset(&seen, 0, sizeof(seen));
    assert_int_equal(amld_compute_key(&key, &workspaces[0], compute), 0);
    assert_int_equal(amld_job_queue_each(txn, &key, from, see, &seen),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    return seen;
}


static seen_t
list(scratch_t *s, amld_job_view_t view, uint64_t from, size_t most)
{
    seen_t seen;
    aml_registry_txn_t *txn = begin(s, 0);

    memset(&seen, 0, sizeof(seen));
    seen.most = most;
    assert_int_equal(
        amld_job_list_each(txn, &workspaces[0], view, from, see, &seen),
        AML_REGISTRY_OK);
    aml_registry_end(txn);

    return seen;
}


static amld_job_use_t
use(scratch_t *s)
{
    amld_job_use_t u;
    aml_registry_txn_t *txn = begin(s, 0);

    assert_int_equal(amld_job_use(txn, CREATOR, &u), AML_REGISTRY_OK);
    aml_registry_end(txn);

    return u;
}


static void
names(void **state)
{
    char text[AMLD_JOB_NAME_MAX + 2];
    amld_key_t key;
    (void) state;

    assert_int_equal(amld_job_key(&key, &workspaces[0], "Train_1-a"), 0);
    assert_string_equal(key.p, "job/s-1/rg/demo/train_1-a");
    assert_int_equal(key.n, strlen(key.p));

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(amld_job_name_check(text), -1);
    text[sizeof(text) - 2] = '\0';
    assert_int_equal(amld_job_name_check(text), 0);

    assert_int_equal(amld_job_name_check(""), -1);
    assert_int_equal(amld_job_name_check("-a"), -1);
    assert_int_equal(amld_job_name_check("_a"), -1);
    assert_int_equal(amld_job_name_check("a/b"), -1);
    assert_int_equal(amld_job_name_check("a.b"), -1);
    assert_int_equal(amld_job_name_check("a b"), -1);
    assert_int_equal(amld_job_name_check(".."), -1);
    assert_int_equal(amld_job_name_check("\xc3\xa4"), -1);
}


static void
statuses(void **state)
{
    json_t *doc = document("a", "lab", 1);
    (void) state;

    assert_int_equal(amld_job_status(doc), AMLD_JOB_QUEUED);
    assert_false(amld_job_has_ended(doc));
    assert_false(amld_job_runs(doc));

    /* it never began, and then it did */
    amld_job_set_status(doc, AMLD_JOB_CANCEL_REQUESTED);
    assert_false(amld_job_runs(doc));
    assert_int_equal(amld_job_set_time(doc, "started", 5), 0);
    assert_true(amld_job_runs(doc));
    assert_int_equal(amld_job_time(doc, "started"), 5);
    assert_int_equal(amld_job_time(doc, "submitted"), 1);
    assert_int_equal(amld_job_time(doc, "ended"), 0);

    amld_job_set_status(doc, AMLD_JOB_CANCELED);
    assert_true(amld_job_has_ended(doc));
    assert_false(amld_job_runs(doc));
    assert_string_equal(amld_job_status_name(AMLD_JOB_COMPLETED), "Completed");
    json_decref(doc);
}


static void
what_is_no_document(void **state)
{
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        "{\"name\":\"a\",\"status\":\"Queued\",\"workspace\":\"w\",\"creator\":"
        "\"c\",\"compute\":\"compute/a\",\"requested\":{}}",
        "{\"name\":\"a\",\"status\":\"Odd\",\"workspace\":\"w\",\"creator\":"
        "\"c\",\"compute\":\"compute/a\",\"requested\":{},\"seq\":1}",
        "{\"name\":\"../a\",\"status\":\"Queued\",\"workspace\":\"w\","
        "\"creator\":\"c\",\"compute\":\"compute/a\",\"requested\":{},\"seq\":"
        "1}",
        "{\"name\":\"a\",\"status\":\"Queued\",\"workspace\":\"w\",\"creator\":"
        "\"c\",\"compute\":\"session/a\",\"requested\":{},\"seq\":1}",
    };
    size_t i;
    json_t *doc;
    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(amld_job_parse(aml_str_of(cases[i]), &doc),
                         AML_REGISTRY_CORRUPT);
        assert_null(doc);
    }
}


static void
queue_in_order(void **state)
{
    scratch_t *s = *state;
    size_t n;
    json_t *doc;
    seen_t seen;
    amld_key_t key;
    aml_registry_txn_t *txn;

    /* submitted in another order than their names have */
    put(s, "c", "lab", 1);
    put(s, "a", "lab", 2);
    put(s, "b", "lab", 3);
    put(s, "other", "lab2", 4);

    seen = queue(s, "lab", 0);
    assert_int_equal(seen.n, 3);
    assert_string_equal(seen.keys[0], "job/s-1/rg/demo/c");
    assert_string_equal(seen.keys[1], "job/s-1/rg/demo/a");
    assert_string_equal(seen.keys[2], "job/s-1/rg/demo/b");
    assert_int_equal(seen.seq[2], 3);

    seen = queue(s, "LAB", 2);
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.seq[0], 2);

    /* one runs, one has ended */
    doc = document("c", "lab", 1);
    amld_job_set_status(doc, AMLD_JOB_RUNNING);
    store(s, doc);
    assert_int_equal(queue(s, "lab", 0).n, 3);

    assert_int_equal(amld_compute_key(&key, &workspaces[0], "lab"), 0);
    txn = begin(s, 0);
    assert_int_equal(amld_job_any_runs(txn, &key), 1);
    assert_int_equal(amld_job_queue_count(txn, &key, 2, &n), AML_REGISTRY_OK);
    assert_int_equal(n, 2);
    assert_int_equal(amld_job_queue_count(txn, &key, 9, &n), AML_REGISTRY_OK);
    assert_int_equal(n, 3);
    aml_registry_end(txn);

    amld_job_set_status(doc, AMLD_JOB_FAILED);
    store(s, doc);
    json_decref(doc);
    seen = queue(s, "lab", 0);
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.seq[0], 2);
    assert_int_equal(list(s, AMLD_JOBS_ALL, UINT64_MAX, 0).n, 4);

    assert_int_equal(amld_compute_key(&key, &workspaces[0], "lab"), 0);
    txn = begin(s, 0);
    assert_int_equal(amld_job_any_runs(txn, &key), 0);
    aml_registry_end(txn);
}


static void
lists_newest_first(void **state)
{
    scratch_t *s = *state;
    char id[16];
    int i;
    json_t *doc;
    seen_t seen;

    for (i = 1; i <= 20; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        put(s, id, "lab", (uint64_t) i << 50);
    }

    seen = list(s, AMLD_JOBS_ALL, UINT64_MAX, 5);
    assert_int_equal(seen.n, 5);
    assert_string_equal(seen.keys[0], "job/s-1/rg/demo/j20");
    assert_string_equal(seen.keys[4], "job/s-1/rg/demo/j16");

    seen = list(s, AMLD_JOBS_ALL, seen.seq[4] - 1, 5);
    assert_string_equal(seen.keys[0], "job/s-1/rg/demo/j15");
    assert_int_equal(list(s, AMLD_JOBS_ARCHIVED, UINT64_MAX, 0).n, 0);

    doc = document("j20", "lab", (uint64_t) 20 << 50);
    json_object_set_new(doc, "archived", json_true());
    store(s, doc);
    seen = list(s, AMLD_JOBS_ARCHIVED, UINT64_MAX, 0);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.keys[0], "job/s-1/rg/demo/j20");
    seen = list(s, AMLD_JOBS_ACTIVE, UINT64_MAX, 0);
    assert_int_equal(seen.n, 19);
    assert_string_equal(seen.keys[0], "job/s-1/rg/demo/j19");
    assert_int_equal(list(s, AMLD_JOBS_ALL, UINT64_MAX, 0).n, 20);

    json_object_set_new(doc, "archived", json_false());
    store(s, doc);
    json_decref(doc);
    assert_int_equal(list(s, AMLD_JOBS_ARCHIVED, UINT64_MAX, 0).n, 0);
    assert_int_equal(list(s, AMLD_JOBS_ACTIVE, UINT64_MAX, 0).n, 20);
}


static void
removed_with_all_that_follows(void **state)
{
    scratch_t *s = *state;
    int i;
    char id[16];
    json_t *doc = NULL;
    amld_key_t key;
    amld_job_use_t u;
    aml_registry_txn_t *txn;

    for (i = 1; i <= 4; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        doc = document(id, "lab", (uint64_t) i);
        if (i == 2) {
            amld_job_set_status(doc, AMLD_JOB_RUNNING);
        }
        if (i == 3) {
            json_object_set_new(doc, "archived", json_true());
        }
        store(s, doc);
        json_decref(doc);
    }

    u = use(s);
    assert_int_equal(u.count, 4);
    assert_in_range(u.bytes, 4 * 200, 4 * 400);

    for (i = 1; i <= 4; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(amld_job_key(&key, &workspaces[0], id), 0);
        txn = begin(s, 1);
        assert_int_equal(amld_job_load(txn, &key, &doc), AML_REGISTRY_OK);
        assert_int_equal(amld_job_remove(txn, &key, doc), AML_REGISTRY_OK);
        assert_int_equal(amld_job_remove(txn, &key, doc), AML_REGISTRY_OK);
        json_decref(doc);
        assert_int_equal(amld_job_load(txn, &key, &doc), AML_REGISTRY_NOTFOUND);
        assert_null(doc);
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    }

    assert_int_equal(scratch_count(s, "job"), 0);
    u = use(s);
    assert_int_equal(u.count, 0);
    assert_int_equal(u.bytes, 0);
    txn = begin(s, 0);
    assert_int_equal(amld_job_taken(txn, &u.bytes), AML_REGISTRY_OK);
    assert_int_equal(u.bytes, 0);
    aml_registry_end(txn);
}


/* What a document grows and shrinks by is counted. */
static void
use_follows_documents(void **state)
{
    scratch_t *s = *state;
    json_t *doc = document("a", "lab", 1);
    uint64_t before, longer;

    store(s, doc);
    before = use(s).bytes;

    json_object_set_new(doc, "message", json_string("it did not work"));
    store(s, doc);
    store(s, doc);
    longer = use(s).bytes;
    assert_int_equal(longer - before,
                     strlen("\"message\":\"it did not work\","));
    assert_int_equal(use(s).count, 1);

    json_object_del(doc, "message");
    store(s, doc);
    assert_int_equal(use(s).bytes, before);
    json_decref(doc);
}


static void
counted(scratch_t *s, uint64_t submitted, uint64_t queued, uint64_t running,
        uint64_t over)
{
    aml_counts_t c;
    aml_registry_txn_t *txn = begin(s, 0);

    (void) amld_counts_load(txn, &c);
    aml_registry_end(txn);
    assert_int_equal(c.jobs_submitted, submitted);
    assert_int_equal(c.jobs_queued, queued);
    assert_int_equal(c.jobs_running, running);
    assert_int_equal(c.jobs_completed + c.jobs_failed + c.jobs_canceled, over);
}


static void
becomes(scratch_t *s, json_t *doc, amld_job_status_t status, int64_t started)
{
    amld_job_set_status(doc, status);
    (void) json_object_del(json_object_get(doc, "times"), "started");
    if (started != 0) {
        amld_job_set_time(doc, "started", started);
    }
    store(s, doc);
}


static void
take_away(scratch_t *s, const json_t *doc)
{
    amld_key_t key;
    aml_registry_txn_t *txn = begin(s, 1);

    assert_int_equal(
        amld_job_key(&key, &workspaces[0], amld_compute_str(doc, "name")), 0);
    assert_int_equal(amld_job_remove(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* Each change of status once, whatever else is stored. */
static void
counts_follow_documents(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    static const uint64_t waits[AML_COUNTS_WAITS] = {1, 2, 0, 0, 0, 1};
    scratch_t *s = *state;
    unsigned i;
    json_t *doc[4];
    aml_counts_t c;
    aml_registry_txn_t *txn;

    counted(s, 0, 0, 0, 0);
    for (i = 0; i < 4; i++) {
        doc[i] = document(names[i], "lab", i + 1);
        store(s, doc[i]);
        store(s, doc[i]);
    }
    counted(s, 4, 4, 0, 0);

    /* submitted at 1 */
    becomes(s, doc[0], AMLD_JOB_RUNNING, 1001);
    becomes(s, doc[1], AMLD_JOB_RUNNING, 1002);
    becomes(s, doc[2], AMLD_JOB_RUNNING, 3600002);
    counted(s, 4, 1, 3, 0);
    becomes(s, doc[1], AMLD_JOB_QUEUED, 0);
    counted(s, 4, 2, 2, 0);
    becomes(s, doc[1], AMLD_JOB_RUNNING, 10001);
    becomes(s, doc[0], AMLD_JOB_CANCEL_REQUESTED, 1001);
    counted(s, 4, 1, 3, 0);

    becomes(s, doc[0], AMLD_JOB_CANCELED, 1001);
    becomes(s, doc[1], AMLD_JOB_COMPLETED, 10001);
    becomes(s, doc[2], AMLD_JOB_FAILED, 3600002);
    counted(s, 4, 1, 0, 3);
    take_away(s, doc[3]);
    counted(s, 4, 0, 0, 4);
    for (i = 0; i < 4; i++) {
        take_away(s, doc[i]);
        json_decref(doc[i]);
    }
    counted(s, 4, 0, 0, 4);

    txn = begin(s, 0);
    assert_int_equal(amld_counts_load(txn, &c), AML_REGISTRY_OK);
    aml_registry_end(txn);
    assert_int_equal(c.jobs_completed, 1);
    assert_int_equal(c.jobs_failed, 1);
    assert_int_equal(c.jobs_canceled, 2);
    assert_memory_equal(c.job_waits, waits, sizeof(waits));
    assert_int_equal(c.job_waited, 1000 + 1001 + 3600001 + 10000);
}


/* A registry of a release that did not count, or a damaged record. */
static void
counts_are_begun(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    scratch_t *s = *state;
    unsigned i;
    json_t *doc;
    aml_registry_txn_t *txn;

    for (i = 0; i < 3; i++) {
        doc = document(names[i], "lab", i + 1);
        becomes(s, doc, i == 0 ? AMLD_JOB_RUNNING : AMLD_JOB_QUEUED, 0);
        json_decref(doc);
    }
    put(s, "d", "lab", 4);
    doc = document("d", "lab", 4);
    becomes(s, doc, AMLD_JOB_COMPLETED, 1);
    json_decref(doc);

    for (i = 0; i < 2; i++) {
        counted(s, 4, 2, 1, 1);
        amld_job_counts_tend(s->registry);
        counted(s, 4, 2, 1, 1);

        txn = begin(s, 1);
        assert_int_equal(i == 0 ? aml_registry_del(txn, AML_COUNTS_KEY,
                                                   sizeof(AML_COUNTS_KEY) - 1)
                                : aml_registry_put(txn, AML_COUNTS_KEY,
                                                   sizeof(AML_COUNTS_KEY) - 1,
                                                   "\1", 1),
                         AML_REGISTRY_OK);
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
        counted(s, 0, 0, 0, 0);
        amld_job_counts_tend(s->registry);
        counted(s, 3, 2, 1, 0);

        put(s, i == 0 ? "e" : "f", "lab", 5 + i);
        doc = document(i == 0 ? "e" : "f", "lab", 5 + i);
        becomes(s, doc, AMLD_JOB_FAILED, 1);
        json_decref(doc);
    }
}


/* Bytes of the pages that are in use, by the newest head of the file. */
static uint64_t
pages(scratch_t *s)
{
    char path[128], head[8192];
    uint64_t used[2], when[2], kind[3];
    FILE *f;
    int i;

    snprintf(path, sizeof(path), "%s/registry/data.mdb", s->dir);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(head, 1, sizeof(head), f), sizeof(head));
    fclose(f);
    for (i = 0; i < 2; i++) {
        /* of branches, leaves, and documents with pages of their own */
        memcpy(kind, head + (size_t) i * 4096 + 96, sizeof(kind));
        memcpy(&when[i], head + (size_t) i * 4096 + 144, 8);
        used[i] = kind[0] + kind[1] + kind[2];
    }

    return used[when[1] > when[0]] * 4096;
}


/* What all take is about what the registry has grown by, and rather more. */
static void
taken(void **state)
{
    static const size_t lengths[] = {1, 300, 1000, 1600, 5000, 60000};
    scratch_t *s = *state;
    char id[32], *command;
    unsigned i, k, n;
    uint64_t before, counted, grown, bytes = 0;
    json_t *doc;
    amld_key_t key;
    aml_registry_txn_t *txn = NULL;

    for (k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
        n = lengths[k] < 5000 ? 4000 : 200;
        command = calloc(1, lengths[k] + 1);
        assert_non_null(command);
        memset(command, 'x', lengths[k]);
        before = pages(s);
        counted = bytes;

        for (i = 0; i < n; i++) {
            /* in no order */
            snprintf(id, sizeof(id), "k%u-%08x", k, i * 2654435761U);
            doc = document(id, "lab", k * 10000 + i + 1);
            json_object_set_new(json_object_get(doc, "requested"), "command",
                                json_string(command));
            amld_job_set_status(doc, AMLD_JOB_COMPLETED);
            assert_int_equal(amld_job_key(&key, &workspaces[0], id), 0);
            txn = i % 1000 == 0 ? begin(s, 1) : txn;
            assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
            json_decref(doc);
            if (i % 1000 == 999 || i + 1 == n) {
                assert_int_equal(amld_job_taken(txn, &bytes), AML_REGISTRY_OK);
                assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
            }
        }
        free(command);

        grown = pages(s) - before;
        counted = bytes - counted;
        if (getenv("AML_SHOW") != NULL) {
            fprintf(stderr, "%zu: %llu of %llu\n", lengths[k],
                    (unsigned long long) counted / n,
                    (unsigned long long) grown / n);
        }
        if (counted * 10 < grown * 9 || counted > grown * 2) {
            fail_msg("%zu bytes: %llu counted, %llu taken", lengths[k],
                     (unsigned long long) counted, (unsigned long long) grown);
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(statuses),
        cmocka_unit_test(what_is_no_document),
        cmocka_unit_test_setup_teardown(queue_in_order, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(lists_newest_first, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(removed_with_all_that_follows,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(use_follows_documents, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(counts_follow_documents, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(counts_are_begun, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(taken, scratch_setup, scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
