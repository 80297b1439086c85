/*
 * The control API: what it answers, and what it keeps.
 */

#include "t/unit/arm_fixture.h"

#include "computes/instances/operations.h"


static void
create(void **state)
{
    server_t *s = *state;
    char v[1024], url[1024];
    answer_t a;

    a = call(s, "PUT", W "/computes/First-Lab" V, BODY);
    assert_int_equal(a.status, 201);
    assert_true(woken(s));
    assert_int_equal(scratch_count(s->scratch, "pending/s-1/rg/demo/first-lab"),
                     1);

    assert_string_equal(at(&a, "id", v), W "/computes/First-Lab");
    assert_string_equal(at(&a, "name", v), "First-Lab");
    assert_string_equal(at(&a, "type", v), M "/computes");
    assert_string_equal(at(&a, "location", v), "local");
    assert_string_equal(at(&a, "properties/computeType", v), "ComputeInstance");
    assert_string_equal(at(&a, "properties/provisioningState", v), "Creating");
#define INNER "properties/properties/"
    assert_string_equal(at(&a, INNER "state", v), "Creating");
    assert_string_equal(at(&a, INNER "vmSize", v), "STANDARD_DS3_V2");
    assert_string_equal(at(&a, INNER "applicationSharingPolicy", v),
                        "Personal");
    assert_string_equal(at(&a, INNER "createdBy/userId", v), MINE);
    assert_string_equal(at(&a, INNER "createdBy/userName", v), "ann");
    assert_int_equal(strlen(at(&a, INNER "createdBy/userOrgId", v)), 36);
    assert_string_equal(at(&a, INNER "sshSettings/sshPublicAccess", v),
                        "Disabled");
    assert_string_equal(at(&a, INNER "applications/1/displayName", v),
                        "Jupyter Lab");
    assert_string_equal(at(&a, INNER "applications/1/endpointUri", v),
                        "https://first-lab.instances.aml.localhost:8443/lab");
    assert_string_equal(at(&a, INNER "lastOperation/operationName", v),
                        "Create");
    assert_string_equal(at(&a, INNER "lastOperation/operationStatus", v),
                        "InProgress");
    assert_string_equal(at(&a, INNER "lastOperation/operationTrigger", v),
                        "User");

    assert_true(header_of(&a, "Azure-AsyncOperation", url));
    assert_memory_equal(url, "https://" STUDIO W "/computes/First-Lab",
                        strlen("https://" STUDIO W "/computes/First-Lab"));
    assert_true(header_of(&a, "Retry-After", v));
    assert_string_equal(v, "1");

    /* as an SDK does: where it goes, then the resource */
    a = call(s, "GET", url + strlen("https://" STUDIO), NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "status", v), "InProgress");
    set_state(s, "first-lab", AMLD_STATE_RUNNING);
    a = call(s, "GET", url + strlen("https://" STUDIO), NULL);
    assert_string_equal(at(&a, "status", v), "Succeeded");
    a = call(s, "GET", W "/computes/FIRST-lab" V, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "name", v), "First-Lab");
    assert_string_equal(at(&a, "properties/provisioningState", v), "Succeeded");
}


static void
create_again(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a, b;

    call(s, "PUT", W "/computes/lab" V, BODY);
    a = call(s, "PUT", W "/computes/LAB" V, BODY);
    assert_int_equal(a.status, 200);
    assert_true(header_of(&a, "Azure-AsyncOperation", v));
    assert_string_equal(at(&a, "name", v), "lab");
    assert_int_equal(scratch_count(s->scratch, "operation/"), 1);

    set_state(s, "lab", AMLD_STATE_RUNNING);
    a = call(s, "PUT", W "/computes/lab" V,
             "{\"tags\":{\"a\":\"b\"},\"properties\":{\"computeType\":"
             "\"ComputeInstance\",\"description\":\"mine\",\"properties\":"
             "{\"vmSize\":\"standard_ds3_v2\"}}}");
    assert_int_equal(a.status, 200);
    assert_true(header_of(&a, "Azure-AsyncOperation", v));
    b = call(s, "GET", v + strlen("https://" STUDIO), NULL);
    assert_string_equal(at(&b, "status", v), "Succeeded");
    assert_string_equal(at(&a, "tags/a", v), "b");
    assert_string_equal(at(&a, "properties/description", v), "mine");
    assert_string_equal(at(&a, INNER "state", v), "Running");

    /* one that failed can be tried again; one that goes can't */
    set_state(s, "lab", AMLD_STATE_CREATE_FAILED);
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, "properties/provisioningState", v), "Failed");
    a = call(s, "PUT", W "/computes/lab" V, BODY);
    assert_int_equal(a.status, 200);
    assert_true(header_of(&a, "Azure-AsyncOperation", v));
    assert_string_equal(at(&a, INNER "state", v), "Creating");
    set_state(s, "lab", AMLD_STATE_DELETING);
    assert_error(call(s, "PUT", W "/computes/lab" V, BODY), 409, "Conflict");
}


/* What is so already writes nothing, and is over for whoever asks. */
static void
nothing_to_do(void **state)
{
    static const struct {
        const char *method, *target;
    } cases[] = {
        {"POST", W "/computes/lab/stop" V},
        {"PUT", W "/computes/lab" V},
    };
    server_t *s = *state;
    char v[1024], result[1100], modified[64];
    size_t i, k;
    answer_t a;

    assert_int_equal(call(s, "PUT", W "/computes/lab" V, BODY).status, 201);
    set_state(s, "lab", AMLD_STATE_STOPPED);
    a = call(s, "GET", W "/computes/lab" V, NULL);
    snprintf(modified, sizeof(modified), "%.60s",
             at(&a, "properties/modifiedOn", v));
    (void) woken(s);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (k = 0; k < 3; k++) {
            a = call(s, cases[i].method, cases[i].target,
                     cases[i].method[1] == 'U' ? BODY : NULL);
            assert_int_equal(a.status, cases[i].method[1] == 'U' ? 200 : 202);
            assert_true(header_of(&a, "Azure-AsyncOperation", v));
        }
        a = call(s, "GET", v + strlen("https://" STUDIO), NULL);
        assert_int_equal(a.status, 200);
        snprintf(result, sizeof(result), "%s&result=true",
                 v + strlen("https://" STUDIO));
        assert_string_equal(at(&a, "status", v), "Succeeded");
        assert_string_not_equal(at(&a, "endTime", v), "");
        a = call(s, "GET", result, NULL);
        assert_int_equal(a.status, 200);
        assert_string_equal(at(&a, "name", v), "lab");
    }

    assert_int_equal(scratch_count(s->scratch, "operation/"), 1);
    assert_false(woken(s));
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, "properties/modifiedOn", v), modified);

    /* there is nothing to say of what is gone */
    gone(s, "lab");
    assert_error(call(s, "GET", result, NULL), 404, "OperationNotFound");
}


static void
bad_bodies(void **state)
{
#define PROPERTIES(text)                                                       \
    "{\"properties\":{\"computeType\":\"ComputeInstance\",\"properties\":"     \
    "{" text "}}}"
    static const struct {
        const char *body, *code;
    } cases[] = {
        {"", "InvalidRequestContent"},
        {"{", "InvalidRequestContent"},
        {"[]", "InvalidRequestContent"},
        {"\"x\"", "InvalidRequestContent"},
        {"{}", "InvalidRequestContent"},
        {"{\"properties\":[]}", "InvalidRequestContent"},
        {"{\"properties\":{}}", "UserError"},
        {"{\"properties\":{\"computeType\":\"AmlCompute\"}}", "UserError"},
        {"{\"properties\":{\"computeType\":7}}", "UserError"},
        {"{\"location\":\"mars\",\"properties\":{\"computeType\":"
         "\"ComputeInstance\"}}",
         "UserError"},
        {"{\"location\":7,\"properties\":{\"computeType\":"
         "\"ComputeInstance\"}}",
         "UserError"},
        {"{\"properties\":{\"computeType\":\"ComputeInstance\","
         "\"properties\":[]}}",
         "InvalidRequestContent"},
        {"{\"tags\":[],\"properties\":{\"computeType\":\"ComputeInstance\"}}",
         "InvalidTags"},
        {"{\"tags\":{\"a\":1},\"properties\":{\"computeType\":"
         "\"ComputeInstance\"}}",
         "InvalidTags"},
        {"{\"properties\":{\"computeType\":\"ComputeInstance\"},"
         "\"properties\":{}}",
         "InvalidRequestContent"},
        {PROPERTIES("\"vmSize\":\"\""), "UserError"},
        {PROPERTIES("\"vmSize\":\"a b\""), "UserError"},
        {PROPERTIES("\"vmSize\":7"), "UserError"},
        {PROPERTIES("\"vmSize\":\"x\\u0000y\""), "InvalidRequestContent"},
        {PROPERTIES("\"sshSettings\":7"), "UserError"},
        {PROPERTIES("\"sshSettings\":{\"sshPublicAccess\":\"Maybe\"}"),
         "UserError"},
        {PROPERTIES("\"subnet\":\"x\""), "UserError"},
        {PROPERTIES("\"personalComputeInstanceSettings\":{\"assignedUser\":"
                    "{\"objectId\":\"" THEIRS "\"}}"),
         "PrincipalNotFound"},
    };
    server_t *s = *state;
    size_t i;
    answer_t a;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        a = call(s, "PUT", W "/computes/lab" V, cases[i].body);
        if (a.status != 400) {
            fail_msg("%ld: %s", a.status, cases[i].body);
        }
        assert_error(a, 400, cases[i].code);
    }
    assert_int_equal(scratch_count(s->scratch, "compute/"), 0);
    assert_int_equal(scratch_count(s->scratch, "folder/"), 0);
    assert_false(woken(s));

    /* what a client of Azure sends is taken */
    a = call(s, "PUT", W "/computes/lab" V,
             "{\"location\":\"LOCAL\",\"tags\":null,\"properties\":{"
             "\"computeType\":\"ComputeInstance\",\"properties\":{"
             "\"vmSize\":\"STANDARD_DS3_V2\",\"subnet\":{\"id\":\"/s\"},"
             "\"applicationSharingPolicy\":\"Shared\",\"sshSettings\":{"
             "\"sshPublicAccess\":\"NotSpecified\"},"
             "\"idleTimeBeforeShutdown\":\"PT30M\","
             "\"personalComputeInstanceSettings\":{\"assignedUser\":{"
             "\"objectId\":\"" MINE "\",\"tenantId\":\"t\"}},"
             "\"schedules\":{\"computeStartStop\":[]}}}}");
    assert_int_equal(a.status, 201);
}


static void
bad_names(void **state)
{
    static const char *const names[] = {
        "ab",    "1ab",   "a_b",    "lab-1",
        "a--1",  "lab-",  "-lab",   "abcdefghijklmnopqrstuvwxy",
        "lab.x", "a(b)c", "x-8888",
    };
    server_t *s = *state;
    size_t i;
    char target[256];

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(target, sizeof(target), W "/computes/%s" V, names[i]);
        assert_error(call(s, "PUT", target, BODY), 400, "InvalidResourceName");
        assert_error(call(s, "GET", target, NULL), 404, "ResourceNotFound");
    }
    assert_int_equal(scratch_count(s->scratch, "compute/"), 0);
}


static void
versions(void **state)
{
    static const struct {
        const char *query, *code;
    } cases[] = {
        {"", "MissingApiVersionParameter"},
        {"?api-version=", "MissingApiVersionParameter"},
        {"?api-version=latest", "InvalidApiVersionParameter"},
        {"?api-version=2022-10", "InvalidApiVersionParameter"},
        {"?api-version=2022-10-01x", "InvalidApiVersionParameter"},
        {"?api-version=2022-10-01-beta", "InvalidApiVersionParameter"},
        {"?api-version=2022-10-01%0d%0aX:%20y", "InvalidApiVersionParameter"},
        /* cut within a letter, where it is told */
        {"?api-version=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%c3%a4",
         "InvalidApiVersionParameter"},
    };
    server_t *s = *state;
    size_t i;
    char target[256];

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(target, sizeof(target), W "%s", cases[i].query);
        assert_error(call(s, "GET", target, NULL), 400, cases[i].code);
    }

    assert_int_equal(
        call(s, "GET", W "?api-version=2023-08-01-preview", NULL).status, 200);
    assert_int_equal(call(s, "GET", W "?api-version=2020-08-01", NULL).status,
                     200);
}


static void
not_allowed(void **state)
{
    server_t *s = *state;
    const char *const nobody[] = {"Host: " STUDIO, NULL};

    assert_error(ask(s, "GET", W V, nobody, NULL, 0), 401,
                 "AuthenticationFailed");
    assert_error(as(s, MINE, M "/computes/read", "GET", W V, NULL), 403,
                 "AuthorizationFailed");
    assert_error(as(s, MINE, M "/computes/read", "DELETE",
                    W "/computes/lab" V "&underlyingResourceAction=Delete",
                    NULL),
                 403, "AuthorizationFailed");
    assert_error(as(s, MINE, M "/computes/start/action", "POST",
                    W "/computes/lab/stop" V, NULL),
                 403, "AuthorizationFailed");
    assert_int_equal(as(s, MINE,
                        "microsoft.machinelearningservices/WORKSPACES/read",
                        "GET", W V, NULL)
                         .status,
                     200);
}


static void
workspaces(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    a = call(s, "GET", W V, NULL);
    assert_string_equal(at(&a, "location", v), "local");
    assert_string_equal(at(&a, "id", v), W);

    assert_error(as(s, MINE, M "/read", "GET",
                    "/subscriptions/s-1/resourceGroups/rg/providers/" M
                    "/other" V,
                    NULL),
                 404, "ResourceNotFound");
}


static void
lifecycle(void **state)
{
    static const struct {
        amld_state_t from;
        const char *verb;
        long status;
        amld_state_t to;
    } cases[] = {
        {AMLD_STATE_STOPPED, "start", 202, AMLD_STATE_STARTING},
        {AMLD_STATE_RUNNING, "start", 409, AMLD_STATE_RUNNING},
        {AMLD_STATE_CREATING, "start", 409, AMLD_STATE_CREATING},
        {AMLD_STATE_RESTARTING, "start", 409, AMLD_STATE_RESTARTING},
        {AMLD_STATE_STOPPING, "start", 409, AMLD_STATE_STOPPING},
        {AMLD_STATE_DELETING, "start", 409, AMLD_STATE_DELETING},
        {AMLD_STATE_UNUSABLE, "start", 409, AMLD_STATE_UNUSABLE},
        {AMLD_STATE_RUNNING, "stop", 202, AMLD_STATE_STOPPING},
        {AMLD_STATE_STARTING, "stop", 202, AMLD_STATE_STOPPING},
        {AMLD_STATE_CREATING, "stop", 202, AMLD_STATE_STOPPING},
        {AMLD_STATE_UNUSABLE, "stop", 202, AMLD_STATE_STOPPING},
        {AMLD_STATE_STOPPED, "stop", 202, AMLD_STATE_STOPPED},
        {AMLD_STATE_DELETING, "stop", 409, AMLD_STATE_DELETING},
        {AMLD_STATE_RUNNING, "restart", 202, AMLD_STATE_RESTARTING},
        {AMLD_STATE_UNUSABLE, "restart", 202, AMLD_STATE_RESTARTING},
        {AMLD_STATE_CREATE_FAILED, "restart", 202, AMLD_STATE_CREATING},
        {AMLD_STATE_SETUP_FAILED, "restart", 202, AMLD_STATE_CREATING},
        {AMLD_STATE_SETUP_FAILED, "start", 409, AMLD_STATE_SETUP_FAILED},
        {AMLD_STATE_STOPPED, "restart", 202, AMLD_STATE_RESTARTING},
        {AMLD_STATE_STOPPING, "restart", 409, AMLD_STATE_STOPPING},
        {AMLD_STATE_DELETING, "restart", 409, AMLD_STATE_DELETING},
    };
    server_t *s = *state;
    size_t i;
    char v[1024], first[1024], target[256];
    answer_t a;

    call(s, "PUT", W "/computes/lab" V, BODY);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_state(s, "lab", cases[i].from);
        snprintf(target, sizeof(target), W "/computes/lab/%s" V, cases[i].verb);
        a = call(s, "POST", target, NULL);
        if (a.status != cases[i].status) {
            fail_msg("%s of %s: %ld", cases[i].verb,
                     amld_state_name(cases[i].from), a.status);
        }
        if (a.status == 202) {
            assert_int_equal(a.body_len, 0);
            assert_true(header_of(&a, "Azure-AsyncOperation", first));
            assert_true(header_of(&a, "Location", v));
            assert_true(header_of(&a, "Retry-After", v));

            /* asked twice, done once; what is created is not restarted */
            a = call(s, "POST", target, NULL);
            if (cases[i].to == AMLD_STATE_CREATING) {
                assert_error(a, 409, "Conflict");
            } else {
                assert_int_equal(a.status, 202);
                assert_true(header_of(&a, "Azure-AsyncOperation", v));
                if (cases[i].from != cases[i].to) {
                    assert_string_equal(v, first);
                }
            }
        } else if (strcmp(cases[i].verb, "start") == 0) {
            assert_error(a, 409,
                         "StartComputeInstanceOnlyAllowedInStoppedState");
        } else {
            assert_error(a, 409, "Conflict");
        }
        a = call(s, "GET", W "/computes/lab" V, NULL);
        assert_string_equal(at(&a, INNER "state", v),
                            amld_state_name(cases[i].to));
    }

    /* clients of the first version take nothing but 200 */
    set_state(s, "lab", AMLD_STATE_STOPPED);
    assert_int_equal(
        call(s, "POST", W "/computes/lab/start?api-version=2020-08-01", NULL)
            .status,
        200);

    assert_error(call(s, "POST", W "/computes/none/start" V, NULL), 404,
                 "ResourceNotFound");
    assert_error(call(s, "POST", W "/computes/lab/listNodes" V, NULL), 400,
                 "UserError");
    assert_int_equal(call(s, "POST", W "/computes/lab/dance" V, NULL).status,
                     404);
}


/* The table of docs/computes.md, row by row. */
static void
states_as_documented(void **state)
{
    static const char *const verbs[] = {"start", "stop", "restart"};
    server_t *s = *state;
    char line[512], v[1024], target[256], cell[7][128];
    size_t k, rows = 0;
    int from;
    FILE *f = fopen("docs/computes.md", "r");
    answer_t a;

    assert_non_null(f);
    call(s, "PUT", W "/computes/lab" V, BODY);

    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line,
                   "| `%127[A-Za-z]` | %127[A-Za-z] | %127[^|]| %127[^|]| "
                   "%127[^|]| %127[^|]| %127[^|]|",
                   cell[0], cell[1], cell[2], cell[3], cell[4], cell[5],
                   cell[6]) != 7) {
            continue;
        }
        for (from = 0; from < AMLD_STATE_COUNT; from++) {
            if (strcmp(amld_state_name((amld_state_t) from), cell[0]) == 0) {
                break;
            }
        }
        assert_true(from < AMLD_STATE_COUNT);
        rows++;

        set_state(s, "lab", (amld_state_t) from);
        a = call(s, "GET", W "/computes/lab" V, NULL);
        assert_string_equal(at(&a, "properties/provisioningState", v), cell[1]);

        for (k = 0; k < 3; k++) {
            set_state(s, "lab", (amld_state_t) from);
            snprintf(target, sizeof(target), W "/computes/lab/%s" V, verbs[k]);
            a = call(s, "POST", target, NULL);
            if (a.status != (strcmp(cell[3 + k], "409 ") == 0 ? 409 : 202)) {
                fail_msg("%s of %s: %ld", verbs[k], cell[0], a.status);
            }
            a = call(s, "GET", W "/computes/lab" V, NULL);
            if ((strcmp(at(&a, INNER "state", v), cell[0]) != 0) !=
                (strcmp(cell[3 + k], "yes ") == 0)) {
                fail_msg("%s of %s: %s", verbs[k], cell[0], v);
            }
        }

        set_state(s, "lab", (amld_state_t) from);
        a = call(s, "DELETE",
                 W "/computes/lab" V "&underlyingResourceAction=Delete", NULL);
        assert_int_equal(a.status, 202);
    }
    fclose(f);
    assert_int_equal(rows, AMLD_STATE_COUNT);
}


static void
results(void **state)
{
    server_t *s = *state;
    char v[1024], location[1024], status[1024];
    const char *path = location + strlen("https://" STUDIO);
    answer_t a;

    call(s, "PUT", W "/computes/lab" V, BODY);
    set_state(s, "lab", AMLD_STATE_RUNNING);
    a = call(s, "POST", W "/computes/lab/stop" V, NULL);
    assert_true(header_of(&a, "Location", location));
    assert_true(header_of(&a, "Azure-AsyncOperation", status));

    a = call(s, "GET", path, NULL);
    assert_int_equal(a.status, 202);
    assert_true(header_of(&a, "Location", v));
    assert_string_equal(v, location);

    /* superseded */
    call(s, "DELETE", W "/computes/lab" V "&underlyingResourceAction=Delete",
         NULL);
    a = call(s, "GET", status + strlen("https://" STUDIO), NULL);
    assert_string_equal(at(&a, "status", v), "Canceled");
    assert_string_not_equal(at(&a, "error/code", v), "");
    assert_error(call(s, "GET", path, NULL), 409, "OperationPreempted");

    set_state(s, "lab", AMLD_STATE_STOPPED);
    a = call(s, "POST", W "/computes/lab/start" V, NULL);
    assert_true(header_of(&a, "Location", location));
    set_state(s, "lab", AMLD_STATE_RUNNING);
    a = call(s, "GET", path, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, INNER "state", v), "Running");

    assert_error(call(s, "GET", W "/computes/lab" V "&operation=x", NULL), 404,
                 "OperationNotFound");
    /* of another compute */
    call(s, "PUT", W "/computes/lab2" V, BODY);
    snprintf(v, sizeof(v), W "/computes/lab2" V "&operation=%.32s",
             strstr(path, "operation=") + strlen("operation="));
    assert_error(call(s, "GET", v, NULL), 404, "OperationNotFound");
}


static void
deletion(void **state)
{
    static const char *const wrong[] = {
        "", "&underlyingResourceAction=", "&underlyingResourceAction=delete"};
    server_t *s = *state;
    size_t i;
    char v[1024], target[256];
    answer_t a;

    call(s, "PUT", W "/computes/lab" V, BODY);
    set_state(s, "lab", AMLD_STATE_RUNNING);

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(target, sizeof(target), W "/computes/lab" V "%s", wrong[i]);
        assert_error(call(s, "DELETE", target, NULL), 400, "UserError");
    }

    a = call(s, "DELETE",
             W "/computes/lab" V "&underlyingResourceAction=Detach", NULL);
    assert_int_equal(a.status, 202);
    assert_true(header_of(&a, "Location", v));
    assert_true(header_of(&a, "Azure-AsyncOperation", v));
    a = call(s, "GET", W "/computes/lab" V, NULL);
    assert_string_equal(at(&a, INNER "state", v), "Deleting");
    assert_int_equal(
        call(s, "DELETE",
             W "/computes/lab" V "&underlyingResourceAction=Delete", NULL)
            .status,
        202);
    assert_int_equal(
        call(s, "DELETE",
             W "/computes/none" V "&underlyingResourceAction=Delete", NULL)
            .status,
        204);
}


static void
lists(void **state)
{
    static const char *const wrong[] = {"%2F",
                                        "A",
                                        "x%20y",
                                        "..",
                                        "12abc",
                                        "1-a",
                                        "abcdefghijklmnopqrstuvwxyz"};
    server_t *s = *state;
    char target[512], v[1024], last[32] = "";
    size_t seen = 0, pages = 0, i;
    answer_t a;
    json_t *json, *value, *one;
    const char *next, *name;

    a = call(s, "GET", W "/computes" V, NULL);
    assert_string_equal(a.body, "{\"value\":[]}");

    for (i = 0; i < AMLD_ARM_PAGE * 2 + 5; i++) {
        snprintf(target, sizeof(target), W "/computes/lab%zux" V, i);
        assert_int_equal(call(s, "PUT", target, BODY).status, 201);
    }

    for (snprintf(target, sizeof(target), W "/computes" V); target[0] != '\0';
         pages++) {
        a = call(s, "GET", target, NULL);
        assert_int_equal(a.status, 200);
        json = json_loadb(a.body, a.body_len, 0, NULL);
        value = json_object_get(json, "value");
        assert_true(json_array_size(value) <= AMLD_ARM_PAGE);
        json_array_foreach(value, i, one)
        {
            name = json_string_value(json_object_get(one, "name"));
            assert_true(strcmp(name, last) > 0);
            snprintf(last, sizeof(last), "%s", name);
            seen++;
        }
        next = json_string_value(json_object_get(json, "nextLink"));
        target[0] = '\0';
        if (next != NULL) {
            assert_memory_equal(next, "https://" STUDIO,
                                strlen("https://" STUDIO));
            snprintf(target, sizeof(target), "%s",
                     next + strlen("https://" STUDIO));
        }
        json_decref(json);
    }
    assert_int_equal(seen, AMLD_ARM_PAGE * 2 + 5);
    assert_int_equal(pages, 3);

    a = call(s, "GET", W "/computes" V "&$skip=64", NULL);
    json = json_loadb(a.body, a.body_len, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(json, "value")), 1);
    json_decref(json);
    a = call(s, "GET", W "/computes?api-version=2020-08-01", NULL);
    assert_non_null(strstr(at(&a, "nextLink", v), "%24skiptoken="));

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(target, sizeof(target), W "/computes" V "&$skip=%s", wrong[i]);
        assert_error(call(s, "GET", target, NULL), 400, "InvalidSkipToken");
    }
}


/* A document that is damaged is left out, and all others are there. */
static void
damaged(void **state)
{
    static const char *const values[] = {
        "", "{", "[]", "{\"name\":\"lab-b\"}",
        "{\"name\":\"lab-b\",\"state\":\"Perhaps\",\"runtime\":\"1\"}"};
    static const char *const targets[] = {
        W "/computes" V,
        W "/computes" V "&assignedUser=me",
    };
    server_t *s = *state;
    size_t i, k;
    char v[1024];
    answer_t a;
    amld_key_t key;
    aml_registry_txn_t *txn;

    call(s, "PUT", W "/computes/lab-a" V, BODY);
    call(s, "PUT", W "/computes/lab-b" V, BODY);
    call(s, "PUT", W "/computes/lab-c" V, BODY);
    assert_int_equal(amld_compute_key(&key, &workspace, "lab-b"), 0);

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_equal(aml_registry_write(s->amld.registry, &txn),
                         AML_REGISTRY_OK);
        assert_int_equal(
            aml_registry_put(txn, key.p, key.n, values[i], strlen(values[i])),
            AML_REGISTRY_OK);
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

        for (k = 0; k < sizeof(targets) / sizeof(targets[0]); k++) {
            a = call(s, "GET", targets[k], NULL);
            assert_int_equal(a.status, 200);
            assert_string_equal(at(&a, "value/0/name", v), "lab-a");
            assert_string_equal(at(&a, "value/1/name", v), "lab-c");
            assert_string_equal(at(&a, "value/2/name", v), "");
        }
    }
}


/* A Host that could not be one is not repeated. */
static void
strange_hosts(void **state)
{
    server_t *s = *state;
    char v[1024];
    const char *const headers[] = {"Host: evil.example.org/x?",
                                   "X-AML-Principal: " MINE,
                                   "X-AML-Name: ann",
                                   "X-AML-Credential: token",
                                   "X-AML-Action: " M "/computes/write",
                                   NULL};
    answer_t a =
        ask(s, "PUT", W "/computes/lab" V, headers, BODY, (long) strlen(BODY));

    if (a.status == 201) {
        assert_true(header_of(&a, "Azure-AsyncOperation", v));
        assert_memory_equal(v, "https://" STUDIO "/",
                            strlen("https://" STUDIO "/"));
    } else {
        assert_int_equal(a.status, 400);
    }
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, arm_setup, arm_teardown)
    const struct CMUnitTest tests[] = {
        TEST(create),        TEST(create_again),
        TEST(nothing_to_do), TEST(bad_bodies),
        TEST(bad_names),     TEST(versions),
        TEST(not_allowed),   TEST(workspaces),
        TEST(lifecycle),     TEST(states_as_documented),
        TEST(results),       TEST(deletion),
        TEST(lists),         TEST(damaged),
        TEST(strange_hosts),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("arm", tests, NULL, NULL);
}
