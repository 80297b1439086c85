/*
 * Sizes, quotas, and the indexes that change with the instances' documents.
 */

#include "t/unit/config_fixture.h"

#include "computes/instances/compute_index.h"
#include "computes/instances/quota.h"
#include "computes/instances/sizes.h"
#include "t/unit/log_capture.h"

#define ANN "11111111-1111-8111-8111-111111111111"
#define BOB "22222222-2222-8222-8222-222222222222"
#define W "/subscriptions/s-1/resourceGroups/rg/providers/x/workspaces/demo"

static amld_workspace_t workspace = {
    (char *) "demo",  (char *) "s-1",        (char *) "rg",
    (char *) "Local", (char *) "/srv/share", (char *) W,
};
static amld_quota_config_t limits[] = {
    {(char *) "standardDSv2Family", 12},
    {(char *) "total", 16},
};
static amld_config_t config;


static int
set_up(void **state)
{
    memset(&config, 0, sizeof(config));
    config.workspaces = &workspace;
    config.workspace_count = 1;
    config.apps = (char *) "apps";
    config.apps_port = (char *) "";
    config.state = (char *) "/run/aml";
    config.quotas = limits;
    config.quota_count = 2;

    return scratch_setup(state);
}


static aml_registry_txn_t *
begin(scratch_t *s)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

    return txn;
}


static json_t *
document(const char *name, const char *size, const char *by)
{
    json_t *doc;

    doc = json_pack("{s:s,s:s,s:s,s:s,s:{s:s},s:s,s:s,s:{},s:s}", "name", name,
                    "workspace", W, "location", "Local", "runtime", name,
                    "requested", "vmSize", size, "creator", ANN, "creatorName",
                    "ann", "commands", "state", "Stopped");
    assert_non_null(doc);
    if (by != NULL) {
        json_object_set_new(
            doc, "createdBy",
            json_pack("{s:s,s:s}", "principal", by, "name", "x"));
    }

    return doc;
}


/* Stores one, as a creation does. */
static void
add(aml_registry_txn_t *txn, const char *name, const char *size, const char *by)
{
    json_t *doc = document(name, size, by);
    amld_key_t key;

    assert_int_equal(amld_size_freeze(doc, amld_size_find(&config, size)), 0);
    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(amld_compute_store(txn, &config, &key, doc),
                     AML_REGISTRY_OK);
    json_decref(doc);
}


static void
drop(aml_registry_txn_t *txn, const char *name)
{
    json_t *doc;
    amld_key_t key;

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    assert_int_equal(amld_compute_remove(txn, &key, doc), AML_REGISTRY_OK);
    json_decref(doc);
}


static int64_t
used(aml_registry_txn_t *txn, const char *name)
{
    amld_quota_t q;

    assert_int_equal(amld_quota_get(txn, &config, "local", name, &q),
                     AML_REGISTRY_OK);

    return q.used;
}


static void
commit(aml_registry_txn_t *txn)
{
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* ---- sizes ---- */

static void
catalogue(void **state)
{
    amld_size_t own[] = {{(char *) "Small", (char *) "Desk", 2, 4096, 0},
                         {(char *) "Big", (char *) "Desk", 8, 16384, 1}};
    const char *spelling;
    const amld_size_t *size;
    char text[1024], brief[20];
    json_t *doc;
    size_t n;

    (void) state;

    assert_string_equal(amld_size_find(&config, NULL)->name, "STANDARD_DS3_V2");
    size = amld_size_find(&config, "standard_ds11_v2");
    assert_string_equal(size->name, "STANDARD_DS11_V2");
    assert_int_equal(size->cores, 2);
    assert_int_equal(size->memory, 14 * 1024);
    assert_null(amld_size_find(&config, "STANDARD_DS3"));
    assert_null(amld_size_find(&config, ""));
    assert_true(amld_sizes(&config, &n) != NULL && n > 10);
    assert_true(amld_size_family(&config, "STANDARDNCFAMILY", &spelling));
    assert_string_equal(spelling, "standardNCFamily");
    amld_size_names(&config, text, sizeof(text));
    assert_non_null(strstr(text, "STANDARD_NC24S_V3"));

    config.sizes = own;
    config.size_count = 2;
    assert_string_equal(amld_size_find(&config, NULL)->name, "Small");
    assert_null(amld_size_find(&config, "STANDARD_DS3_V2"));
    assert_false(amld_size_family(&config, "standardNCFamily", &spelling));
    amld_size_names(&config, text, sizeof(text));
    assert_string_equal(text, "Small, Big");
    amld_size_names(&config, brief, 12);
    assert_string_equal(brief, "Small, …");

    doc = json_object();
    assert_int_equal(amld_size_freeze(doc, &own[1]), 0);
    assert_int_equal(json_integer_value(
                         json_object_get(json_object_get(doc, "size"), "gpus")),
                     1);
    json_decref(doc);
}


static void
catalogue_is_configured(void **state)
{
#define SIZE(title, text) "size \"" title "\" { " text " }\n"
#define FULL "family = \"desk\" cores = 2 memory = 8g"
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {SIZE("S", "cores = 2 memory = 8g"), "size \"S\": family: is missing"},
        {SIZE("S", "family = \"d\" memory = 8g"), "cores: is missing"},
        {SIZE("S", "family = \"d\" cores = 2"), "memory: is missing"},
        {SIZE("S", "family = \"d\" cores = 0 memory = 8g"),
         "cores: \"0\" is not a number from 1"},
        {SIZE("S", "family = \"d\" cores = many memory = 8g"), "cores: "},
        {SIZE("S", "family = \"d\" cores = 2 memory = 8x"),
         "memory: \"8x\" is not a size"},
        {SIZE("S", FULL " gpus = 65"), "gpus: "},
        {SIZE("S", FULL " disk = 3"), "no such option"},
        {SIZE("S", "family = \"Total\" cores = 2 memory = 8g"),
         "is the quota of all families together"},
        {SIZE("S", "family = \"a b\" cores = 2 memory = 8g"), "family: "},
        {SIZE("a/b", FULL), "name: is not 1 to 64 letters"},
        {SIZE("", FULL), "name: is not 1 to 64 letters"},
        {SIZE("S", FULL) SIZE("s", FULL), "in case only"},
        {SIZE("S", FULL) "quota \"none\" { limit = 3 }\n",
         "no size has that family"},
        {"quota \"total\" { }\n", "limit: is missing"},
        {"quota \"total\" { limit = -1 }\n", "limit: "},
        {"quota \"total\" { limit = 1000000001 }\n", "limit: "},
        {"quota \"total\" { limit = 1 }\nquota \"TOTAL\" { limit = 1 }\n",
         "in case only"},
    };
    scratch_t *s = *state;
    size_t i;
    amld_config_t *c;
    char text[2048], err[4096];

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), GOOD "%s", wrong[i].text);
        c = read_text(s, text, err, sizeof(err));
        if (c != NULL || strstr(err, wrong[i].says) == NULL) {
            fail_msg("%s: %s", wrong[i].text, err);
        }
        assert_non_null(strstr(err, "amld.conf:"));
    }

    c = read_text(s,
                  GOOD SIZE("S", FULL) SIZE(
                      "L", "family = \"Desk-2\" cores = 8 memory = 512m gpus = "
                           "1") "quota \"DESK-2\" { limit = 80 }\nquota "
                                "\"total\" { limit = 0 }\n",
                  err, sizeof(err));
    assert_non_null(c);
    assert_string_equal(err, "");
    assert_int_equal(c->size_count, 2);
    assert_string_equal(c->sizes[1].family, "Desk-2");
    assert_int_equal(c->sizes[1].cores, 8);
    assert_int_equal(c->sizes[1].memory, 512);
    assert_int_equal(c->sizes[1].gpus, 1);
    assert_int_equal(c->quotas[0].limit, 80);
    assert_int_equal(c->quotas[1].limit, 0);
    amld_config_free(c);
}


/* ---- quotas ---- */

static void
how_much_over(void **state)
{
    amld_quota_t q = {.limit = 10, .used = 8};

    (void) state;

    assert_int_equal(amld_quota_over(&q, 2), 0);
    assert_int_equal(amld_quota_over(&q, 3), 1);
    q.used = 12; /* was lowered */
    assert_int_equal(amld_quota_over(&q, 1), 3);
    q.limit = AMLD_QUOTA_NONE;
    assert_int_equal(amld_quota_over(&q, 1000000), 0);
    q.limit = 0;
    q.used = 0;
    assert_int_equal(amld_quota_over(&q, 1), 1);
}


static void
checks(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn = begin(s);
    amld_quota_refusal_t no;

#define CHECK(family, cores)                                                   \
    assert_int_equal(                                                          \
        amld_quota_check(txn, &config, "Local", family, cores, &no),           \
        AML_REGISTRY_OK)

    CHECK("standardDSv2Family", 12);
    assert_null(no.name);
    CHECK("standardDSv2Family", 13);
    assert_string_equal(no.name, "standardDSv2Family");
    assert_int_equal(no.over, 1);

    add(txn, "one", "STANDARD_DS4_V2", NULL); /* 8 */
    CHECK("standardDSv2Family", 4);
    assert_null(no.name);
    CHECK("STANDARDdsv2family", 8);
    assert_string_equal(no.name, "STANDARDdsv2family");
    assert_int_equal(no.quota.limit, 12);
    assert_int_equal(no.quota.used, 8);
    assert_int_equal(no.over, 4);

    /* another family has no limit of its own, but all have one */
    CHECK("standardNCFamily", 8);
    assert_null(no.name);
    CHECK("standardNCFamily", 12);
    assert_string_equal(no.name, "total");
    assert_int_equal(no.over, 4);

    /* another region is another's */
    assert_int_equal(
        amld_quota_check(txn, &config, "mars", "standardDSv2Family", 12, &no),
        AML_REGISTRY_OK);
    assert_null(no.name);

    /* set by the API: at once, and until it is taken back */
    assert_int_equal(
        amld_quota_set_limit(txn, "LOCAL", "STANDARDDSV2FAMILY", 7),
        AML_REGISTRY_OK);
    CHECK("standardDSv2Family", 1);
    assert_int_equal(no.over, 2);
    assert_int_equal(amld_quota_set_limit(txn, "local", "standarddsv2family",
                                          AMLD_QUOTA_NONE),
                     AML_REGISTRY_OK);
    CHECK("standardDSv2Family", 8);
    assert_null(no.name);
    assert_int_equal(amld_quota_set_limit(txn, "local", "standarddsv2family",
                                          AMLD_QUOTA_DEFAULT),
                     AML_REGISTRY_OK);
    CHECK("standardDSv2Family", 5);
    assert_int_equal(no.over, 1);

    commit(txn);
}


static void
what_is_used(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn = begin(s);
    json_t *doc;
    amld_key_t key;

    add(txn, "one", "STANDARD_DS3_V2", NULL);
    add(txn, "two", "STANDARD_NC6", NULL);
    assert_int_equal(used(txn, "standardDSv2Family"), 4);
    assert_int_equal(used(txn, "standardNCFamily"), 6);
    assert_int_equal(used(txn, "total"), 10);

    /* written again, in whatever state: once */
    assert_int_equal(amld_compute_key(&key, &workspace, "one"), 0);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    amld_compute_set_state(doc, AMLD_STATE_RUNNING);
    assert_int_equal(amld_compute_store(txn, &config, &key, doc),
                     AML_REGISTRY_OK);
    amld_compute_set_state(doc, AMLD_STATE_STOPPED);
    assert_int_equal(amld_compute_store(txn, &config, &key, doc),
                     AML_REGISTRY_OK);
    assert_int_equal(used(txn, "total"), 10);

    /* removed twice, once */
    assert_int_equal(amld_compute_remove(txn, &key, doc), AML_REGISTRY_OK);
    assert_int_equal(used(txn, "standardDSv2Family"), 0);
    assert_int_equal(used(txn, "total"), 6);
    (void) amld_compute_remove(txn, &key, doc);
    assert_int_equal(used(txn, "total"), 6);
    json_decref(doc);

    drop(txn, "two");
    commit(txn);
    assert_int_equal(scratch_count(s, "quota/"), 0);
    assert_int_equal(scratch_count(s, "compute-"), 0);

    /* nothing of a transaction that ends without a commit */
    txn = begin(s);
    add(txn, "three", "STANDARD_DS3_V2", NULL);
    aml_registry_end(txn);
    assert_int_equal(scratch_count(s, "quota/"), 0);
}


static void
whose(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn = begin(s);
    amld_key_t prefix;

    add(txn, "one", "STANDARD_DS3_V2", NULL);
    add(txn, "two", "STANDARD_DS3_V2", BOB);
    commit(txn);

    assert_int_equal(
        amld_compute_index_prefix(&prefix, AMLD_INDEX_OF, ANN, &workspace), 0);
    assert_string_equal(prefix.p, "compute-of/" ANN "/s-1/rg/demo/");
    assert_int_equal(scratch_count(s, prefix.p), 2);
    assert_int_equal(
        amld_compute_index_prefix(&prefix, AMLD_INDEX_BY, BOB, &workspace), 0);
    assert_int_equal(scratch_count(s, prefix.p), 1);
    assert_int_equal(scratch_count(s, "compute-by/" ANN), 1);
    assert_int_equal(scratch_count(s, "compute-of/" BOB), 0);

    txn = begin(s);
    drop(txn, "two");
    commit(txn);
    assert_int_equal(scratch_count(s, "compute-by/" BOB), 0);
    assert_int_equal(scratch_count(s, "compute-of/" ANN), 1);
}


static void
put_text(aml_registry_txn_t *txn, const char *key, const char *value)
{
    assert_int_equal(
        aml_registry_put(txn, key, strlen(key), value, strlen(value)),
        AML_REGISTRY_OK);
}


static void
repairs(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn = begin(s);
    json_t *doc;
    char *text;
    int saved;

    add(txn, "one", "STANDARD_DS3_V2", NULL);
    add(txn, "two", "STANDARD_DS11_V2", BOB);

    /* as releases wrote it that knew nothing of this */
    doc = document("old", "STANDARD_NC6", NULL);
    text = json_dumps(doc, 0);
    put_text(txn, "compute/s-1/rg/demo/old", text);
    free(text);
    json_decref(doc);
    doc = document("odd", "GONE", NULL);
    text = json_dumps(doc, 0);
    put_text(txn, "compute/s-1/rg/demo/odd", text);
    free(text);
    json_decref(doc);
    put_text(txn, "compute/s-1/rg/demo/zap", "no JSON");

    /* and as something else may have left it */
    put_text(txn, "quota/local/total", "{\"used\":99,\"limit\":50}");
    put_text(txn, "quota/local/standarddsv2family", "rubbish");
    put_text(txn, "quota/local/gone", "{\"used\":7}");
    put_text(txn, "compute-of/" BOB "/s-1/rg/demo/one", "1");
    put_text(txn, "compute-of/" BOB "/s-1/rg/demo/none", "1");
    put_text(txn, "compute-by/x", "1");
    assert_int_equal(
        aml_registry_del(txn, "compute-by/" BOB "/s-1/rg/demo/two",
                         strlen("compute-by/" BOB "/s-1/rg/demo/two")),
        AML_REGISTRY_OK);
    commit(txn);

    saved = log_begin(s);
    assert_int_equal(amld_compute_index_tend(s->registry, &config), 0);
    log_end(saved);
    assert_int_equal(
        logged("quota total in Local: 12 cores are in use, not 99"), 1);
    assert_int_equal(logged("1 compute instances have got a size"), 1);
    assert_int_equal(logged("entries were put right"), 1);

    txn = begin(s);
    assert_int_equal(used(txn, "standardDSv2Family"), 6);
    assert_int_equal(used(txn, "standardNCFamily"), 6);
    assert_int_equal(used(txn, "total"), 12);
    assert_int_equal(used(txn, "gone"), 0);
    aml_registry_end(txn);
    assert_int_equal(scratch_count(s, "compute-of/" ANN), 4);
    assert_int_equal(scratch_count(s, "compute-of/"), 4);
    assert_int_equal(scratch_count(s, "compute-by/" BOB), 1);
    assert_int_equal(scratch_count(s, "compute-by/"), 4);

    /* and then there is nothing to say */
    saved = log_begin(s);
    assert_int_equal(amld_compute_index_tend(s->registry, &config), 0);
    log_end(saved);
    assert_int_equal(logged(" "), 0);
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(catalogue),     TEST(catalogue_is_configured),
        TEST(how_much_over), TEST(checks),
        TEST(what_is_used),  TEST(whose),
        TEST(repairs),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
