/*
 * Lists of jobs: pages, filters, and a long history.
 */

#include "t/unit/job_bodies.h"

#include <time.h>

#define JOBS W "/jobs" V

typedef struct {
    size_t n;
    size_t pages;
    size_t longest; /* page */
    char first[64];
    char last[64];
    int ordered; /* each is older than the one before */
} walked_t;


/* Many of them, as the API writes; `tagged` of them, the oldest, have a tag,
 * and those behind `archived` are archived. */
static void
fill(server_t *s, unsigned count, unsigned tagged, unsigned archived)
{
    unsigned i;
    char id[32];
    json_t *doc;
    uint64_t seq;
    amld_key_t key, compute;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&compute, &workspace, "lab"), 0);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);

    for (i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "j%05u", i);
        assert_int_equal(amld_compute_generation(txn, &seq), AML_REGISTRY_OK);
        assert_int_equal(amld_job_key(&key, &workspace, id), 0);
        doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:{s:s},s:{},s:{s:I}}",
                        "name", id, "workspace", W, "compute", compute.p,
                        "computeName", i % 2 != 0 ? "lab" : "other", "creator",
                        MINE, "status", "Completed", "seq", (json_int_t) seq,
                        "requested", "command", "true", "tags", "times",
                        "submitted", (json_int_t) 1);
        if (i < tagged) {
            json_object_set_new(doc, "tags", json_pack("{s:s}", "a&b", "1"));
        }
        if (i >= archived) {
            json_object_set_new(doc, "archived", json_true());
        }
        assert_int_equal(amld_job_store(txn, &key, doc), AML_REGISTRY_OK);
        json_decref(doc);
    }

    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* From page to page, as clients do. */
static walked_t
walk(server_t *s, const char *target)
{
    char url[1024], name[64] = "", next[1024];
    size_t i;
    json_t *json, *list, *one;
    answer_t a;
    walked_t w;

    memset(&w, 0, sizeof(w));
    w.ordered = 1;
    snprintf(url, sizeof(url), "%s", target);

    while (url[0] != '\0') {
        a = call(s, "GET", url, NULL);
        assert_int_equal(a.status, 200);
        json = json_loadb(a.body, a.body_len, 0, NULL);
        list = json_object_get(json, "value");
        assert_true(json_is_array(list));
        w.pages++;
        assert_true(w.pages < 1000);
        if (json_array_size(list) > w.longest) {
            w.longest = json_array_size(list);
        }
        json_array_foreach(list, i, one)
        {
            if (w.n++ == 0) {
                snprintf(w.first, sizeof(w.first), "%s",
                         amld_compute_str(one, "name"));
            } else {
                w.ordered &= strcmp(amld_compute_str(one, "name"), name) < 0;
            }
            snprintf(name, sizeof(name), "%.60s",
                     amld_compute_str(one, "name"));
        }
        snprintf(next, sizeof(next), "%s", amld_compute_str(json, "nextLink"));
        snprintf(url, sizeof(url), "%s",
                 next[0] != '\0' ? next + strlen("https://" STUDIO) : "");
        json_decref(json);
    }
    snprintf(w.last, sizeof(w.last), "%s", name);

    return w;
}


static void
pages(void **state)
{
    server_t *s = *state;
    walked_t w;
    answer_t a;
    char v[1024];

    lab(s);
    a = call(s, "GET", JOBS, NULL);
    assert_string_equal(json_at(&a, "value", v), "[]");
    assert_string_equal(json_at(&a, "nextLink", v), "");

    fill(s, 75, 0, 75);
    w = walk(s, JOBS);
    assert_int_equal(w.n, 75);
    assert_int_equal(w.pages, 3);
    assert_int_equal(w.longest, AMLD_ARM_PAGE);
    assert_string_equal(w.first, "j00074");
    assert_string_equal(w.last, "j00000");
    assert_true(w.ordered);

    /* how many to leave out */
    w = walk(s, JOBS "&$skip=70");
    assert_int_equal(w.n, 5);
    assert_string_equal(w.first, "j00004");
    w = walk(s, JOBS "&$skipToken=10");
    assert_int_equal(w.n, 65);
    assert_int_equal(walk(s, JOBS "&$skip=75").n, 0);
    assert_int_equal(walk(s, JOBS "&$skip=9999999999999").n, 0);

    /* exactly a page has no other behind it */
    assert_int_equal(walk(s, JOBS "&$skip=45").pages, 1);
}


static void
filters(void **state)
{
    server_t *s = *state;
    walked_t w;

    lab(s);
    fill(s, 100, 10, 60);
    w = walk(s, JOBS);
    assert_int_equal(w.n, 60);
    assert_string_equal(w.first, "j00059");
    assert_int_equal(walk(s, JOBS "&listViewType=ActiveOnly").n, 60);
    w = walk(s, JOBS "&listViewType=ArchivedOnly");
    assert_int_equal(w.n, 40);
    assert_string_equal(w.last, "j00060");
    w = walk(s, JOBS "&listViewType=all");
    assert_int_equal(w.n, 100);
    assert_true(w.ordered);

    assert_int_equal(walk(s, JOBS "&jobType=Command").n, 60);
    assert_int_equal(walk(s, JOBS "&jobType=Pipeline").n, 0);

    w = walk(s, JOBS "&tag=a%26b");
    assert_int_equal(w.n, 10);
    assert_string_equal(w.first, "j00009");
    assert_int_equal(walk(s, JOBS "&tag=a").n, 0);
    assert_int_equal(walk(s, JOBS "&compute=LAB").n, 30);
    w = walk(s, JOBS "&compute=lab&$skip=29");
    assert_int_equal(w.n, 1);
    assert_string_equal(w.first, "j00001");
}


static void
wrong_queries(void **state)
{
    static const char *const tokens[] = {"x",
                                         "-1",
                                         "~",
                                         "~0",
                                         "~xy",
                                         "~1-",
                                         "~1-x",
                                         "1x",
                                         "~ 1",
                                         "~1-1x",
                                         "%7E-1",
                                         "~1~1",
                                         "99999999999999999999"};
    server_t *s = *state;
    char target[600];
    size_t i;

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        snprintf(target, sizeof(target), JOBS "&$skip=%s",
                 strcmp(tokens[i], "~ 1") == 0 ? "~%201" : tokens[i]);
        assert_error(call(s, "GET", target, NULL), 400, "InvalidSkipToken");
    }
    assert_error(call(s, "GET", JOBS "&listViewType=Some", NULL), 400,
                 "UnsupportedQuery");
}


/* A page looks at so many and no more, and still nothing is left out. */
static void
rare_tag(void **state)
{
    server_t *s = *state;
    walked_t w;

    lab(s);
    fill(s, 5000, 3, 5000);
    w = walk(s, JOBS "&tag=a%26b");
    assert_int_equal(w.n, 3);
    assert_int_equal(w.pages, 5);
    w = walk(s, JOBS "&tag=a%26b&$skip=2");
    assert_int_equal(w.n, 1);
    assert_string_equal(w.first, "j00000");
    w = walk(s, JOBS "&tag=nothing");
    assert_int_equal(w.n, 0);
    assert_int_equal(w.pages, 5);
}


/* Leaving out has a bound of its own: many are left out from page to page. */
static void
left_out(void **state)
{
    server_t *s = *state;
    walked_t w;
    answer_t a;
    char v[1024];

    lab(s);
    fill(s, AMLD_JOB_LEFT_OUT + 1050, 0, AMLD_JOB_LEFT_OUT + 1050);
    w = walk(s, JOBS "&$skip=11040");
    assert_int_equal(w.n, 10);
    assert_int_equal(w.pages, 2);
    assert_string_equal(w.first, "j00009");
    assert_int_equal(walk(s, JOBS "&$skip=10000").longest, AMLD_ARM_PAGE);

    a = call(s, "GET", JOBS "&$skip=4000000000", NULL);
    assert_string_equal(json_at(&a, "value", v), "[]");
    assert_non_null(strstr(json_at(&a, "nextLink", v), "-3999990000"));
    assert_int_equal(walk(s, JOBS "&$skip=4000000000").pages, 2);
}


static int64_t
page_took(server_t *s, const char *target)
{
    int i;
    struct timespec a, b;
    int64_t took, least = INT64_MAX;

    for (i = 0; i < 7; i++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        assert_int_equal(call(s, "GET", target, NULL).status, 200);
        clock_gettime(CLOCK_MONOTONIC, &b);
        took = (b.tv_sec - a.tv_sec) * 1000000000 + (b.tv_nsec - a.tv_nsec);
        least = took < least ? took : least;
    }

    return least;
}


/* A page takes as long behind 60 jobs as behind 20,000, wherever it is. */
static void
history(void **state)
{
    server_t *s = *state;
    char middle[512];
    int64_t few, many;
    json_t *json;
    answer_t a;

    lab(s);
    fill(s, 60, 0, 60);
    few = page_took(s, JOBS);
    fill(s, 20000, 0, 20000);
    many = page_took(s, JOBS);
    if (many > 5 * few + 2000000) {
        fail_msg("first page: %lld ns instead of %lld", (long long) many,
                 (long long) few);
    }

    a = call(s, "GET", JOBS "&$skip=10000", NULL);
    json = json_loadb(a.body, a.body_len, 0, NULL);
    snprintf(middle, sizeof(middle), JOBS "&$skip=%s",
             strstr(amld_compute_str(json, "nextLink"), "skip=") + 5);
    json_decref(json);
    many = page_took(s, middle);
    if (many > 5 * few + 2000000) {
        fail_msg("in the middle: %lld ns instead of %lld", (long long) many,
                 (long long) few);
    }
}


/* One that is damaged hides no other. */
static void
damaged(void **state)
{
    server_t *s = *state;
    aml_registry_txn_t *txn;

    lab(s);
    fill(s, 3, 0, 3);
    assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(txn, "job/s-1/rg/demo/j00001", 22, "{}", 2),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(walk(s, JOBS).n, 2);
    assert_error(call(s, "GET", W "/jobs/j00001" V, NULL), 503,
                 "ServiceUnavailable");
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(filters, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(wrong_queries, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(rare_tag, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(left_out, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(history, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(damaged, arm_setup, arm_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
