/*
 * What a region has, whose instances are whose, and what of an instance is
 * changed by operations of its own.
 */

#include "t/unit/arm_fixture.h"

#define N "Microsoft.MachineLearningServices"
#define L "/subscriptions/s-1/providers/" N "/locations/local"
#define QUOTAS "/subscriptions/s-1/providers/" N "/locations/local/quotas/"
#define SETTING(name) W "/computes/lab/" name V
#define P "properties/properties/"

static amld_quota_config_t limits[] = {{(char *) "total", 100}};


/* One of a list by its name; a new reference, or NULL. */
static json_t *
named(const answer_t *a, const char *name)
{
    json_t *json = json_loadb(a->body, a->body_len, 0, NULL), *one, *found;
    size_t i;

    found = NULL;
    json_array_foreach(json_object_get(json, "value"), i, one)
    {
        if (strcmp(json_string_value(
                       json_object_get(json_object_get(one, "name"), "value")),
                   name) == 0) {
            found = json_incref(one);
        }
    }
    json_decref(json);

    return found;
}


static json_int_t
number_of(server_t *s, const char *what, const char *name, const char *member)
{
    char target[256];
    answer_t a;
    json_t *one;
    json_int_t n;

    snprintf(target, sizeof(target), L "/%s" V, what);
    a = call(s, "GET", target, NULL);
    assert_int_equal(a.status, 200);
    one = named(&a, name);
    assert_non_null(one);
    assert_true(json_is_integer(json_object_get(one, member)));
    n = json_integer_value(json_object_get(one, member));
    json_decref(one);

    return n;
}


static void
sizes(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;
    json_t *json, *one;

    a = call(s, "GET", L "/vmSizes" V, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "value/0/name", v), "STANDARD_DS3_V2");
    assert_string_equal(at(&a, "value/0/family", v), "standardDSv2Family");
    assert_string_equal(at(&a, "value/0/supportedComputeTypes/0", v),
                        "ComputeInstance");
    json = json_loadb(a.body, a.body_len, 0, NULL);
    one = json_array_get(json_object_get(json, "value"), 1);
    assert_int_equal(json_integer_value(json_object_get(one, "vCPUs")), 1);
    assert_true(json_real_value(json_object_get(one, "memoryGB")) == 3.5);
    json_decref(json);
}


static void
places(void **state)
{
    static const char *const paths[] = {"vmSizes", "usages", "quotas"};
    server_t *s = *state;
    char target[256];
    size_t i;

    for (i = 0; i < 3; i++) {
        snprintf(target, sizeof(target),
                 "/SUBSCRIPTIONS/S-1/providers/" N "/locations/LOCAL/%s" V,
                 paths[i]);
        assert_int_equal(call(s, "GET", target, NULL).status, 200);
        snprintf(target, sizeof(target),
                 "/subscriptions/s-1/providers/" N "/locations/mars/%s" V,
                 paths[i]);
        assert_error(call(s, "GET", target, NULL), 404, "ResourceNotFound");
        snprintf(target, sizeof(target),
                 "/subscriptions/s-2/providers/" N "/locations/local/%s" V,
                 paths[i]);
        assert_error(call(s, "GET", target, NULL), 404, "ResourceNotFound");
        snprintf(target, sizeof(target), L "/%s", paths[i]);
        assert_error(call(s, "GET", target, NULL), 400,
                     "MissingApiVersionParameter");

        /* by what the gateway has allowed */
        assert_error(
            as(s, MINE, N "/locations/other/read", "GET", target, NULL), 403,
            "AuthorizationFailed");
    }
    assert_error(as(s, MINE, N "/locations/quotas/read", "POST",
                    L "/updateQuotas" V, "{}"),
                 403, "AuthorizationFailed");
}


static void
usages(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;
    json_t *one;

    s->config.quotas = limits;
    s->config.quota_count = 1;

    a = call(s, "GET", L "/usages" V, NULL);
    assert_string_equal(at(&a, "value/0/name/value", v), "total");
    assert_string_equal(at(&a, "value/0/unit", v), "Count");
    assert_string_equal(at(&a, "value/0/type", v), N "/dedicatedCores/usages");
    assert_string_equal(at(&a, "value/0/id", v), L "/usages/total");
    one = named(&a, "standardDSv2Family");
    assert_string_equal(json_string_value(json_object_get(one, "type")),
                        N "/vmFamily/usages");
    json_decref(one);

    assert_int_equal(number_of(s, "usages", "total", "currentValue"), 0);
    assert_int_equal(number_of(s, "usages", "total", "limit"), 100);
    assert_int_equal(number_of(s, "usages", "standardNCFamily", "limit"), -1);

    call(s, "PUT", W "/computes/lab" V, BODY);
    assert_int_equal(number_of(s, "usages", "total", "currentValue"), 4);
    assert_int_equal(
        number_of(s, "usages", "standardDSv2Family", "currentValue"), 4);

    /* stopped, and about to be deleted */
    set_state(s, "lab", AMLD_STATE_STOPPED);
    assert_int_equal(number_of(s, "usages", "total", "currentValue"), 4);
    call(s, "DELETE", W "/computes/lab" V "&underlyingResourceAction=Delete",
         NULL);
    assert_int_equal(number_of(s, "usages", "total", "currentValue"), 4);
    gone(s, "lab");
    assert_int_equal(number_of(s, "usages", "total", "currentValue"), 0);
}


/* A family that no size has any more shows while something of it is used. */
static void
a_family_that_was(void **state)
{
    static amld_size_t own[] = {
        {(char *) "Desk", (char *) "desks", 3, 1024, 0}};
    server_t *s = *state;

    call(s, "PUT", W "/computes/lab" V, BODY);
    s->config.sizes = own;
    s->config.size_count = 1;
    assert_int_equal(
        number_of(s, "usages", "standarddsv2family", "currentValue"), 4);
    assert_int_equal(number_of(s, "usages", "desks", "currentValue"), 0);
    gone(s, "lab");
    {
        answer_t a = call(s, "GET", L "/usages" V, NULL);

        assert_null(named(&a, "standarddsv2family"));
    }
}


#define ONE(id, rest) "{\"value\":[{\"id\":\"" id "\"" rest "}]}"

static void
quotas(void **state)
{
    server_t *s = *state;
    char v[1024], body[2048];
    answer_t a;

    s->config.quotas = limits;
    s->config.quota_count = 1;

    assert_int_equal(number_of(s, "quotas", "total", "limit"), 100);

    a = call(s, "POST", L "/updateQuotas" V,
             "{\"location\":\"Local\",\"value\":[{\"id\":\"" QUOTAS
             "STANDARDDSV2FAMILY\",\"type\":\"x\",\"limit\":6,\"unit\":"
             "\"Count\"},{\"id\":\"" QUOTAS "nothing\",\"limit\":6},{\"id\":"
             "\"" QUOTAS "total\",\"limit\":-1}]}");
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "value/0/status", v), "Success");
    assert_string_equal(at(&a, "value/0/unit", v), "Count");
    assert_string_equal(at(&a, "value/0/id", v), QUOTAS "STANDARDDSV2FAMILY");
    assert_string_equal(at(&a, "value/0/type", v), N "/vmFamily/quotas");
    assert_string_equal(at(&a, "value/0/name/value", v), "standardDSv2Family");
    assert_string_equal(at(&a, "value/1/status", v), "InvalidVMFamilyName");
    assert_string_equal(at(&a, "value/2/status", v), "Success");
    assert_int_equal(number_of(s, "quotas", "standardDSv2Family", "limit"), 6);
    assert_int_equal(number_of(s, "usages", "standardDSv2Family", "limit"), 6);
    assert_int_equal(number_of(s, "quotas", "total", "limit"), -1);
    assert_int_equal(scratch_count(s->scratch, "quota/local/nothing"), 0);

    /* names that no key could have */
    snprintf(body, sizeof(body),
             "{\"value\":[{\"id\":\"" QUOTAS "%0900d\",\"limit\":1},"
             "{\"id\":\"" QUOTAS "../../role/x\",\"limit\":1}]}",
             0);
    a = call(s, "POST", L "/updateQuotas" V, body);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "value/0/status", v), "InvalidVMFamilyName");
    assert_string_equal(at(&a, "value/1/status", v), "InvalidVMFamilyName");

    /* at once */
    assert_int_equal(call(s, "PUT", W "/computes/lab" V, BODY).status, 201);
    assert_error(call(s, "PUT", W "/computes/lab-b" V, BODY), 409,
                 "QuotaExceeded");
    call(s, "POST", L "/updateQuotas" V,
         ONE(QUOTAS "standardDSv2Family", ",\"limit\":8"));
    assert_int_equal(call(s, "PUT", W "/computes/lab-b" V, BODY).status, 201);

    /* below what is used: nothing more, but nothing less either */
    call(s, "POST", L "/updateQuotas" V,
         ONE(QUOTAS "standardDSv2Family", ",\"limit\":0"));
    assert_int_equal(call(s, "PUT", W "/computes/lab" V, BODY).status, 200);
    a = call(s, "PUT", W "/computes/lab-c" V, BODY);
    assert_int_equal(a.status, 409);
    assert_non_null(strstr(at(&a, "error/message", v), "which is 12 too many"));

    /* and back to the configuration's */
    call(s, "POST", L "/updateQuotas" V,
         ONE(QUOTAS "standardDSv2Family", ",\"limit\":null"));
    call(s, "POST", L "/updateQuotas" V,
         ONE(QUOTAS "total", ",\"limit\":null"));
    assert_int_equal(number_of(s, "quotas", "total", "limit"), 100);
    assert_int_equal(number_of(s, "quotas", "standardDSv2Family", "limit"), -1);
}


static void
wrong_quotas(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"value\":{}}",
        "{\"value\":[]}",
        "{\"value\":[7]}",
        "{\"value\":[{}]}",
        "{\"value\":[{\"limit\":7}]}",
        "{\"value\":[{\"id\":7,\"limit\":7}]}",
        ONE("total", ",\"limit\":7"),
        ONE("/subscriptions/s-2/providers/" N "/locations/local/quotas/total",
            ",\"limit\":7"),
        ONE("/subscriptions/s-1/providers/" N "/locations/mars/quotas/total",
            ",\"limit\":7"),
        ONE(W "/quotas/total", ",\"limit\":7"),
        ONE(QUOTAS, ",\"limit\":7"),
        ONE(QUOTAS "total", ""),
        ONE(QUOTAS "total", ",\"limit\":\"7\""),
        ONE(QUOTAS "total", ",\"limit\":7.5"),
        ONE(QUOTAS "total", ",\"limit\":-2"),
        ONE(QUOTAS "total", ",\"limit\":1000000001"),
        ONE(QUOTAS "total", ",\"limit\":99999999999999999999"),
        ONE(QUOTAS "total", ",\"limit\":7,\"unit\":\"Bytes\""),
        "{\"location\":\"mars\",\"value\":[{\"id\":\"" QUOTAS
        "total\",\"limit\":7}]}",
        "{\"value\":[{\"id\":\"" QUOTAS "total\",\"limit\":7},{\"id\":\"" QUOTAS
        "TOTAL\",\"limit\":8}]}",
        /* one that is right, and one that is not */
        "{\"value\":[{\"id\":\"" QUOTAS "total\",\"limit\":7},{\"id\":\"x\","
        "\"limit\":8}]}",
    };
    server_t *s = *state;
    size_t i;
    answer_t a;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        a = call(s, "POST", L "/updateQuotas" V, bodies[i]);
        if (a.status != 400) {
            fail_msg("%ld: %s", a.status, bodies[i]);
        }
    }
    assert_int_equal(scratch_count(s->scratch, "quota/"), 0);
}


/* ---- lists of one's own ---- */

static size_t
listed(server_t *s, const char *query, char *names, size_t size)
{
    char target[1024];
    json_t *json, *one;
    size_t i, n = 0;
    const char *next;
    answer_t a;

    names[0] = '\0';
    snprintf(target, sizeof(target), W "/computes" V "%s", query);

    while (target[0] != '\0') {
        a = call(s, "GET", target, NULL);
        assert_int_equal(a.status, 200);
        json = json_loadb(a.body, a.body_len, 0, NULL);
        json_array_foreach(json_object_get(json, "value"), i, one)
        {
            n++;
            if (strlen(names) + 40 < size) {
                strcat(names, json_string_value(json_object_get(one, "name")));
                strcat(names, " ");
            }
        }
        next = json_string_value(json_object_get(json, "nextLink"));
        snprintf(target, sizeof(target), "%s",
                 next != NULL ? next + strlen("https://" STUDIO) : "");
        json_decref(json);
    }

    return n;
}


static void
ones_own(void **state)
{
#define EQ(member, id) "&$filter=" member "%20eq%20'" id "'"
    static const struct {
        const char *query, *names;
    } cases[] = {
        {"", "a-mine b-theirs c-for-them "},
        {"&createdBy=me", "a-mine c-for-them "},
        {"&createdBy=" MINE, "a-mine c-for-them "},
        {"&createdBy=" THEIRS, "b-theirs "},
        {"&assignedUser=me", "a-mine "},
        {"&assignedUser=" THEIRS, "b-theirs c-for-them "},
        {EQ("properties/properties/createdBy/userId", MINE),
         "a-mine c-for-them "},
        {EQ("properties/createdBy/userId", MINE), "a-mine c-for-them "},
        {EQ("createdBy/userId", "me"), "a-mine c-for-them "},
        {EQ("%20CREATEDBY/userid%20", THEIRS) "%20", "b-theirs "},
        {EQ("properties/properties/personalComputeInstanceSettings/"
            "assignedUser/objectId",
            THEIRS),
         "b-theirs c-for-them "},
        {"&createdBy=99999999-9999-8999-8999-999999999999", ""},
        {"&createdBy=me&$skip=1", "c-for-them "},
        {"&$filter=", "a-mine b-theirs c-for-them "},
    };
    static const char *const wrong[] = {
        "&createdBy=",
        "&createdBy=ann",
        "&createdBy=me&assignedUser=me",
        "&createdBy=me" EQ("createdBy/userId", "me"),
        "&$filter=x",
        "&$filter=createdBy/userId",
        "&$filter=createdBy/userId%20eq",
        "&$filter=createdBy/userId%20eq%20me",
        "&$filter=createdBy/userId%20eq%20'me",
        "&$filter=createdBy/userId%20ne%20'me'",
        "&$filter=createdBy/userIdx%20eq%20'me'",
        "&$filter=createdBy/userId%20eq%20'me'%20or%20true",
        "&$filter=createdBy/userId%20eq%20'../../x'",
        ("&$filter=properties/properties/properties/createdBy/userId%20eq%20"
         "'me'"),
    };
    server_t *s = *state;
    char names[1024], longer[2048], target[256];
    size_t i;

    known(s, THEIRS, "bob", 0);
    assert_int_equal(call(s, "PUT", W "/computes/a-mine" V, BODY).status, 201);
    assert_int_equal(
        call_by(s, THEIRS, "PUT", W "/computes/B-theirs" V, BODY).status, 201);
    assert_int_equal(
        call(s, "PUT", W "/computes/c-for-them" V,
             "{\"properties\":{\"computeType\":\"ComputeInstance\","
             "\"properties\":{\"personalComputeInstanceSettings\":{"
             "\"assignedUser\":{\"objectId\":\"" THEIRS "\"}}}}}")
            .status,
        201);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        listed(s, cases[i].query, names, sizeof(names));
        if (strcasecmp(names, cases[i].names) != 0) {
            fail_msg("%s: %s", cases[i].query, names);
        }
    }

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(target, sizeof(target), W "/computes" V "%s", wrong[i]);
        assert_error(call(s, "GET", target, NULL), 400, "UnsupportedQuery");
    }
    snprintf(longer, sizeof(longer), W "/computes" V "&$filter=%*s'", 1000, "");
    for (i = 0; longer[i] != '\0'; i++) {
        longer[i] = longer[i] == ' ' ? 'x' : longer[i];
    }
    assert_error(call(s, "GET", longer, NULL), 400, "UnsupportedQuery");

    /* in pages, which go on with whose they are */
    for (i = 0; i < AMLD_ARM_PAGE * 2; i++) {
        snprintf(target, sizeof(target), W "/computes/lab%zux" V, i);
        call_by(s, i % 2 ? MINE : THEIRS, "PUT", target, BODY);
    }
    assert_int_equal(listed(s, "&createdBy=me", names, sizeof(names)),
                     AMLD_ARM_PAGE + 2);
    assert_int_equal(
        listed(s, EQ("createdBy/userId", THEIRS), names, sizeof(names)),
        AMLD_ARM_PAGE + 1);

    /* and those that are gone are gone */
    gone(s, "a-mine");
    assert_int_equal(listed(s, "&assignedUser=me", names, sizeof(names)),
                     AMLD_ARM_PAGE);
}


/* ---- idle time, schedules ---- */

static void
idle(void **state)
{
    static const char *const wrong[] = {
        "",
        "{}",
        "[]",
        "{\"idleTimeBeforeShutdown\":30}",
        "{\"idleTimeBeforeShutdown\":\"\"}",
        "{\"idleTimeBeforeShutdown\":\"PT14M\"}",
        "{\"idleTimeBeforeShutdown\":\"P4D\"}",
    };
    server_t *s = *state;
    char v[1024];
    size_t i;
    answer_t a;

    assert_error(call(s, "POST", SETTING("updateIdleShutdownSetting"),
                      "{\"idleTimeBeforeShutdown\":\"PT30M\"}"),
                 404, "ResourceNotFound");
    call(s, "PUT", W "/computes/lab" V, BODY);
    assert_true(woken(s));

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(
            call(s, "POST", SETTING("updateIdleShutdownSetting"), wrong[i])
                .status,
            400);
    }
    assert_false(woken(s));

    a = call(s, "POST", SETTING("updateIdleShutdownSetting"),
             "{\"idleTimeBeforeShutdown\":\"PT1H\"}");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 0);
    assert_true(woken(s));
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, P "idleTimeBeforeShutdown", v), "PT60M");

    assert_int_equal(call(s, "POST", SETTING("updateIdleShutdownSetting"),
                          "{\"idleTimeBeforeShutdown\":null}")
                         .status,
                     200);
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, P "idleTimeBeforeShutdown", v), "");

    set_state(s, "lab", AMLD_STATE_DELETING);
    assert_error(call(s, "POST", SETTING("updateIdleShutdownSetting"),
                      "{\"idleTimeBeforeShutdown\":\"PT30M\"}"),
                 409, "Conflict");
}


static void
schedules(void **state)
{
#define AT(expression)                                                         \
    "{\"status\":\"Enabled\",\"action\":\"Start\",\"triggerType\":\"Cron\","   \
    "\"cron\":{\"expression\":\"" expression "\"}}"
    server_t *s = *state;
    char v[1024], id[1024];
    answer_t a;

    call(s, "PUT", W "/computes/lab" V, BODY);

    assert_error(call(s, "POST", SETTING("updateSchedules"), "{}"), 400,
                 "InvalidRequestContent");
    assert_error(call(s, "POST", SETTING("updateSchedules"),
                      "{\"computeStartStop\":[{\"status\":\"Enabled\","
                      "\"action\":\"Start\",\"triggerType\":\"Recurrence\","
                      "\"recurrence\":{\"frequency\":\"Day\"}}]}"),
                 400, "UserError");

    assert_int_equal(call(s, "POST", SETTING("updateSchedules"),
                          "{\"computeStartStop\":[" AT("0 8 * * *") "]}")
                         .status,
                     200);
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, P "schedules/computeStartStop/0/action", v),
                        "Start");
    at(&a, P "schedules/computeStartStop/0/id", id);
    assert_int_equal(strlen(id), 36);

    /* as it was answered, with one more */
    assert_int_equal(
        call(s, "POST", SETTING("updateSchedules"),
             "{\"computeStartStop\":[" AT("0 9 * * *") "," AT("0 8 * * *") "]}")
            .status,
        200);
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, P "schedules/computeStartStop/1/id", v), id);

    assert_int_equal(
        call(s, "POST", SETTING("updateSchedules"), "{\"computeStartStop\":[]}")
            .status,
        200);
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, P "schedules/computeStartStop/0/id", v), "");
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, arm_setup, arm_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sizes),     TEST(places),
        TEST(usages),    TEST(a_family_that_was),
        TEST(quotas),    TEST(wrong_quotas),
        TEST(ones_own),  TEST(idle),
        TEST(schedules),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("arm_location", tests, NULL, NULL);
}
