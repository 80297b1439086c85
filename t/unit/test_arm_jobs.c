/*
 * Jobs by the control API: what is submitted, answered, changed, cancelled and
 * deleted, and by whom.
 */

#include "t/unit/job_bodies.h"

#define PP "properties/"


static void
submit(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    a = call(s, "PUT", JOB,
             ASK("\"command\":\"echo \\\"it's\\\"\\nls 'a b' $X `y`\","
                 "\"environmentId\":\"instance\",\"displayName\":\"Train\","
                 "\"environmentVariables\":{\"A\":\"1\",\"B\":null,\"_c9\":"
                 "\"x\\ny\"},\"limits\":{\"jobLimitsType\":\"Command\","
                 "\"timeout\":\"P1DT30S\"},\"tags\":{\"team\":\"blue\"},"
                 "\"description\":\"d\",\"experimentName\":\"e\","
                 "\"properties\":{\"mine\":\"yes\",\"workingDirectory\":"
                 "\"src//./x/\"},\"resources\":{\"instanceCount\":1,"
                 "\"shmSize\":\"2g\"},\"services\":{},\"inputs\":{},"
                 "\"outputs\":{},\"distribution\":null,\"codeId\":null,"
                 "\"identity\":{\"identityType\":\"AMLToken\"},"
                 "\"isArchived\":false"));
    assert_int_equal(a.status, 201);
    assert_true(woken(s));
    assert_int_equal(scratch_count(s->scratch, "pending/s-1/rg/demo/lab"), 1);
    assert_int_equal(scratch_count(s->scratch, "jobqueue/s-1/rg/demo/lab/"), 1);

    assert_string_equal(at(&a, "id", v), J);
    assert_string_equal(at(&a, "name", v), "train-1");
    assert_string_equal(at(&a, "type", v), M "/jobs");
    assert_string_equal(at(&a, PP "jobType", v), "Command");
    assert_string_equal(at(&a, PP "status", v), "Queued");
    assert_string_equal(at(&a, PP "computeId", v), LAB);
    assert_string_equal(at(&a, PP "command", v),
                        "echo \"it's\"\nls 'a b' $X `y`");
    assert_string_equal(at(&a, PP "environmentId", v), "instance");
    assert_string_equal(json_at(&a, PP "environmentVariables", v),
                        "{\"A\":\"1\",\"_c9\":\"x\\ny\"}");
    assert_string_equal(at(&a, PP "limits/timeout", v), "PT86430S");
    assert_string_equal(at(&a, PP "limits/jobLimitsType", v), "Command");
    assert_string_equal(at(&a, PP "displayName", v), "Train");
    assert_string_equal(at(&a, PP "experimentName", v), "e");
    assert_string_equal(at(&a, PP "description", v), "d");
    assert_string_equal(at(&a, PP "tags/team", v), "blue");
    assert_string_equal(at(&a, PP "properties/mine", v), "yes");
    assert_string_equal(at(&a, PP "properties/workingDirectory", v),
                        "/Users/ann/src/x");
    assert_string_equal(at(&a, PP "properties/Folder", v),
                        "Users/ann/jobs/train-1");
    assert_string_equal(at(&a, PP "folder", v), "Users/ann/jobs/train-1");
    assert_int_equal(strlen(at(&a, PP "times/submitted", v)), 24);
    assert_string_equal(json_at(&a, PP "times/started", v), "null");
    assert_string_equal(json_at(&a, PP "exitCode", v), "null");
    assert_string_equal(json_at(&a, PP "message", v), "null");

    /* members that clients stumble over */
    assert_string_equal(json_at(&a, PP "services", v), "{}");
    assert_string_equal(json_at(&a, PP "inputs", v), "{}");
    assert_string_equal(json_at(&a, PP "isArchived", v), "false");
    assert_string_equal(json_at(&a, PP "resources", v),
                        "{\"instanceCount\":1}");
    assert_string_equal(at(&a, "systemData/createdBy", v), "ann");

    a = call(s, "GET", W "/jobs/TRAIN-1" V, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "name", v), "train-1");
}


/* The least there is, by the instance's name. */
static void
submit_little(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    a = call(s, "PUT", JOB,
             "{\"properties\":{\"jobType\":\"Command\",\"computeId\":\"LAB\","
             "\"command\":\"true\"}}");
    assert_int_equal(a.status, 201);
    assert_string_equal(at(&a, PP "computeId", v), LAB);
    assert_string_equal(at(&a, PP "displayName", v), "train-1");
    assert_string_equal(at(&a, PP "experimentName", v), "Default");
    assert_string_equal(json_at(&a, PP "limits/timeout", v), "null");
    assert_string_equal(json_at(&a, PP "environmentVariables", v), "{}");

    /* also while the instance is stopped, or comes up */
    set_state(s, "lab", AMLD_STATE_STOPPED);
    assert_int_equal(call(s, "PUT", W "/jobs/b" V, TO("")).status, 201);
    set_state(s, "lab", AMLD_STATE_CREATING);
    assert_int_equal(call(s, "PUT", W "/jobs/c" V, TO("")).status, 201);
    set_state(s, "lab", AMLD_STATE_DELETING);
    assert_error(call(s, "PUT", W "/jobs/d" V, TO("")), 409, "Conflict");
}


static void
submit_again(void **state)
{
    static const char *const others[] = {
        ASK("\"command\":\"false\""),
        TO(",\"environmentVariables\":{\"A\":\"2\"}"),
        TO(",\"environmentVariables\":{}"),
        TO(",\"limits\":{\"timeout\":\"PT2M\"}"),
        TO(",\"experimentName\":\"other\""),
        TO(",\"properties\":{\"workingDirectory\":\"other\"}"),
        TO(",\"properties\":{\"a\":\"b\"}"),
        ("{\"properties\":{\"jobType\":\"Command\",\"computeId\":\"lab2\","
         "\"command\":\"true\"}}"),
    };
    static const char body[] =
        TO(",\"environmentVariables\":{\"A\":\"1\"},\"limits\":{\"timeout\":"
           "\"PT60S\"},\"properties\":{\"workingDirectory\":\"src\"}");
    server_t *s = *state;
    char v[1024], first[65536];
    size_t i, n;
    answer_t a;

    lab(s);
    a = call(s, "PUT", JOB, body);
    assert_int_equal(a.status, 201);
    n = a.body_len;
    memcpy(first, a.body, n);
    (void) woken(s);

    /* an answer that was lost on its way, once more */
    a = call(s, "PUT", JOB, body);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, n);
    assert_memory_equal(a.body, first, n);
    assert_false(woken(s));
    assert_int_equal(scratch_count(s->scratch, "jobqueue/"), 1);

    /* what a GET has answered, as clients do to archive a job */
    a = call(s, "GET", JOB, NULL);
    a.body[a.body_len] = '\0';
    a = call(s, "PUT", JOB, a.body);
    assert_int_equal(a.status, 200);
    assert_memory_equal(a.body, first, n);
    assert_false(woken(s));

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        a = call(s, "PUT", JOB, others[i]);
        assert_error(a, 400, "PropertyChangeNotAllowed");
    }
    a = call(s, "GET", JOB, NULL);
    assert_memory_equal(a.body, first, n);

    /* what people call it may change, also once it has ended */
    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");
    a = call(s, "PUT", JOB,
             "{\"properties\":{\"jobType\":\"Command\",\"tags\":{\"x\":\"y\"},"
             "\"description\":\"new\",\"displayName\":\"New\",\"isArchived\":"
             "true}}");
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, PP "tags/x", v), "y");
    assert_string_equal(at(&a, PP "description", v), "new");
    assert_string_equal(at(&a, PP "displayName", v), "New");
    assert_string_equal(json_at(&a, PP "isArchived", v), "true");
    assert_string_equal(at(&a, PP "status", v), "Completed");
    assert_string_equal(at(&a, PP "command", v), "true");
    assert_false(woken(s));
    a = call(s, "PUT", JOB, TO(",\"isArchived\":false"));
    assert_string_equal(json_at(&a, PP "isArchived", v), "false");
    assert_string_equal(at(&a, PP "tags/x", v), "y");
}


static void
ended(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    assert_int_equal(call(s, "PUT", JOB, TO("")).status, 201);
    job_is(s, "train-1", AMLD_JOB_RUNNING, "started");
    a = call(s, "GET", JOB, NULL);
    assert_string_equal(at(&a, PP "times/started", v),
                        "2027-01-15T08:00:00.123Z");
    assert_string_equal(at(&a, PP "properties/StartTimeUtc", v),
                        "2027-01-15T08:00:00.123Z");

    job_is(s, "train-1", AMLD_JOB_FAILED, "ended");
    a = call(s, "GET", JOB, NULL);
    assert_string_equal(at(&a, PP "status", v), "Failed");
    assert_string_equal(json_at(&a, PP "exitCode", v), "3");
    assert_string_equal(at(&a, PP "properties/ExitCode", v), "3");
    assert_string_equal(at(&a, PP "message", v),
                        "It ended with 3. The end of its log:\nsecret");

    /* and what others see */
    a = call_by(s, THEIRS, "GET", JOB, NULL);
    assert_string_equal(at(&a, PP "message", v),
                        "It ended with 3. The end of its log:");
    assert_string_equal(at(&a, PP "properties/Message", v),
                        "It ended with 3. The end of its log:");
}


static void
state_of_the_instance(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    assert_int_equal(call(s, "PUT", JOB, TO("")).status, 201);
    a = call(s, "GET", LAB V, NULL);
    assert_string_equal(at(&a, "properties/properties/state", v), "Running");

    job_is(s, "train-1", AMLD_JOB_RUNNING, "started");
    a = call(s, "GET", LAB V, NULL);
    assert_string_equal(at(&a, "properties/properties/state", v), "JobRunning");
    assert_string_equal(at(&a, "properties/provisioningState", v), "Succeeded");
    a = call(s, "GET", W "/computes" V, NULL);
    assert_string_equal(at(&a, "value/0/properties/properties/state", v),
                        "JobRunning");
    a = call(s, "PUT", LAB V, BODY);
    assert_string_equal(at(&a, "properties/properties/state", v), "JobRunning");

    /* what it is on its way to is what counts */
    set_state(s, "lab", AMLD_STATE_STOPPING);
    a = call(s, "GET", LAB V, NULL);
    assert_string_equal(at(&a, "properties/properties/state", v), "Stopping");
    set_state(s, "lab", AMLD_STATE_RUNNING);

    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");
    a = call(s, "GET", LAB V, NULL);
    assert_string_equal(at(&a, "properties/properties/state", v), "Running");
}


static void
bad_bodies(void **state)
{
    static const struct {
        const char *body, *code, *word;
    } cases[] = {
        {"", "InvalidRequestContent", "JSON"},
        {"[]", "InvalidRequestContent", "object"},
        {"{}", "InvalidRequestContent", "properties"},
        {"{\"properties\":[]}", "InvalidRequestContent", "object"},
        {ASK("\"command\":\"a\\u0000b\""), "InvalidRequestContent", "NUL"},
        {TO(",\"environmentVariables\":{\"A\":\"\\u0000\"}"),
         "InvalidRequestContent", "NUL"},
        {TO(",\"command\":\"twice\""), "InvalidRequestContent", "JSON"},
        {"{\"properties\":{\"jobType\":\"Pipeline\",\"computeId\":\"lab\","
         "\"command\":\"true\"}}",
         "UserError", "Command"},
        {"{\"properties\":{\"computeId\":\"lab\",\"command\":\"true\"}}",
         "UserError", "Command"},
        {ASK("\"command\":\"\""), "UserError", "command"},
        {ASK("\"command\":[\"a\"]"), "UserError", "command"},
        {ASK("\"x\":1"), "UserError", "command"},
        {ASK("\"command\":\"cat ${{inputs.x}}\""), "UserError", "inputs"},
        {"{\"properties\":{\"jobType\":\"Command\",\"command\":\"true\"}}",
         "UserError", "computeId"},
        {"{\"properties\":{\"jobType\":\"Command\",\"command\":\"true\","
         "\"computeId\":\"/subscriptions/s-2/resourceGroups/rg/providers/" M
         "/demo/computes/lab\"}}",
         "UserError", "computeId"},
        {"{\"properties\":{\"jobType\":\"Command\",\"command\":\"true\","
         "\"computeId\":\"" LAB "/x\"}}",
         "UserError", "computeId"},
        {"{\"properties\":{\"jobType\":\"Command\",\"command\":\"true\","
         "\"computeId\":\"nothing\"}}",
         "ComputeNotFound", "nothing"},
        {TO(",\"resources\":{\"instanceCount\":2}"), "UserError", "cluster"},
        {TO(",\"resources\":{\"instanceCount\":0}"), "UserError", "1"},
        {TO(",\"resources\":{\"instanceCount\":\"1\"}"), "UserError", "1"},
        {TO(",\"resources\":{\"dockerArgs\":\"--privileged\"}"), "UserError",
         "dockerArgs"},
        {TO(",\"distribution\":{\"distributionType\":\"PyTorch\"}"),
         "UserError", "torchrun"},
        {TO(",\"codeId\":\"/code\""), "UserError", "share"},
        {TO(",\"identity\":{\"identityType\":\"Managed\"}"), "UserError",
         "creator"},
        {TO(",\"inputs\":{\"x\":{\"jobInputType\":\"literal\"}}"), "UserError",
         "share"},
        {TO(",\"outputs\":{\"model\":{}}"), "UserError", "default"},
        {TO(",\"outputs\":{\"default\":{\"uri\":\"azureml://x\"}}"),
         "UserError", "default"},
        {TO(",\"services\":{\"a\":{}}"), "UserError", "custom service"},
        {TO(",\"environmentId\":\"/x/environments/sklearn/versions/1\""),
         "UserError", "image:"},
        {TO(",\"environmentId\":\"image:\""), "UserError", "image:"},
        {TO(",\"environmentId\":\"image:--privileged\""), "UserError",
         "image:"},
        {TO(",\"environmentId\":\"image:a b\""), "UserError", "image:"},
        {TO(",\"environmentId\":\"image:a\""), "UserError", "no images"},
        {TO(",\"environmentVariables\":[]"), "UserError", "strings"},
        {TO(",\"environmentVariables\":{\"A\":1}"), "UserError", "strings"},
        {TO(",\"environmentVariables\":{\"A B\":\"1\"}"), "UserError", "A B"},
        {TO(",\"environmentVariables\":{\"A=B\":\"1\"}"), "UserError", "A=B"},
        {TO(",\"environmentVariables\":{\"\":\"1\"}"), "UserError", "variable"},
        {TO(",\"environmentVariables\":{\"1A\":\"1\"}"), "UserError", "1A"},
        {TO(",\"environmentVariables\":{\"AML_COMMAND\":\"1\"}"), "UserError",
         "AML_"},
        {TO(",\"limits\":{\"timeout\":\"soon\"}"), "UserError", "PT30M"},
        {TO(",\"limits\":{\"timeout\":\"PT0S\"}"), "UserError", "PT30M"},
        {TO(",\"limits\":{\"timeout\":\"P2Y\"}"), "UserError", "PT30M"},
        {TO(",\"limits\":{\"jobLimitsType\":\"Sweep\"}"), "UserError",
         "Command"},
        {TO(",\"experimentName\":\"\""), "UserError", "experimentName"},
        {TO(",\"displayName\":7"), "UserError", "displayName"},
        {TO(",\"description\":{}"), "UserError", "description"},
        {TO(",\"isArchived\":\"true\""), "UserError", "isArchived"},
        {TO(",\"tags\":{\"a\":1}"), "InvalidTags", "Tags"},
        {TO(",\"properties\":{\"a\":1}"), "UserError", "strings"},
        {TO(",\"properties\":{\"workingDirectory\":\"../ben\"}"), "UserError",
         ".."},
        {TO(",\"properties\":{\"workingDirectory\":\"/a/../../etc\"}"),
         "UserError", ".."},
        {TO(",\"properties\":{\"workingDirectory\":\"a\\nb\"}"), "UserError",
         "control"},
    };
    server_t *s = *state;
    size_t i;
    answer_t a;
    char v[1024];

    lab(s);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        a = call(s, "PUT", JOB, cases[i].body);
        if (strcmp(at(&a, "error/code", v), cases[i].code) != 0 ||
            strstr(at(&a, "error/message", v), cases[i].word) == NULL) {
            fail_msg("%s:\n%.*s", cases[i].body, (int) a.body_len, a.body);
        }
        assert_int_equal(a.status, 400);
    }
    assert_int_equal(scratch_count(s->scratch, "job"), 0);
}


/* Whatever is long has an end, and is kept up to it. */
static void
sizes(void **state)
{
    server_t *s = *state;
    size_t n;
    char *body, v[1024];
    answer_t a;

    lab(s);
    body = malloc(300000);
    assert_non_null(body);

    n = (size_t) snprintf(body, 200, "%s",
                          "{\"properties\":{\"jobType\":\"Command\","
                          "\"computeId\":\"lab\",\"command\":\"");
    memset(body + n, 'x', AMLD_JOB_COMMAND + 1);
    strcpy(body + n + AMLD_JOB_COMMAND + 1, "\"}}");
    assert_error(call(s, "PUT", JOB, body), 400, "UserError");
    strcpy(body + n + AMLD_JOB_COMMAND, "\"}}");
    assert_int_equal(call(s, "PUT", JOB, body).status, 201);

    /* what is longer as JSON than it is */
    memset(body + n, 'x', AMLD_JOB_COMMAND);
    for (; n + 6 < 150000; n += 6) {
        memcpy(body + n, "\\u0001", 6);
    }
    strcpy(body + n, "\"}}");
    a = call(s, "PUT", W "/jobs/long" V, body);
    assert_error(a, 400, "UserError");
    assert_non_null(strstr(at(&a, "error/message", v), "file of the share"));
    free(body);
}


static void
names(void **state)
{
    static const char *const bad[] = {"-a", "_a", "a.b"};
    char target[600], id[AMLD_JOB_NAME_MAX + 2];
    server_t *s = *state;
    size_t i;

    lab(s);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(target, sizeof(target), W "/jobs/%s" V, bad[i]);
        assert_error(as(s, MINE, M "/jobs/write", "PUT", target, TO("")), 400,
                     "InvalidResourceName");
        assert_error(as(s, MINE, M "/jobs/read", "GET", target, NULL), 404,
                     "ResourceNotFound");
    }

    memset(id, 'a', sizeof(id));
    snprintf(target, sizeof(target), W "/jobs/%.*s" V, AMLD_JOB_NAME_MAX + 1,
             id);
    assert_error(call(s, "PUT", target, TO("")), 400, "InvalidResourceName");
    snprintf(target, sizeof(target), W "/jobs/%.*s" V, AMLD_JOB_NAME_MAX, id);
    assert_int_equal(call(s, "PUT", target, TO("")).status, 201);
}


static void
cancel(void **state)
{
    server_t *s = *state;
    char v[1024], url[1024], result[1024];
    answer_t a;
    int i;

    lab(s);
    assert_error(call(s, "POST", J "/cancel" V, ""), 404, "ResourceNotFound");
    assert_int_equal(call(s, "PUT", JOB, TO("")).status, 201);
    assert_error(call(s, "GET", JOB "&operation=cancel", NULL), 404,
                 "OperationNotFound");
    job_is(s, "train-1", AMLD_JOB_RUNNING, "started");
    (void) woken(s);

    for (i = 0; i < 2; i++) {
        a = call(s, "POST", J "/cancel" V, "");
        assert_int_equal(a.status, 202);
        assert_int_equal(a.body_len, 0);
        assert_int_equal(woken(s), i == 0);
        assert_true(header_of(&a, "Location", result));
        assert_true(header_of(&a, "Azure-AsyncOperation", url));
        assert_true(header_of(&a, "Retry-After", v));
    }
    a = call(s, "GET", JOB, NULL);
    assert_string_equal(at(&a, PP "status", v), "CancelRequested");

    a = call(s, "GET", url + strlen("https://" STUDIO), NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "status", v), "InProgress");
    a = call(s, "GET", result + strlen("https://" STUDIO), NULL);
    assert_int_equal(a.status, 202);
    assert_true(header_of(&a, "Location", v));

    job_is(s, "train-1", AMLD_JOB_CANCELED, "ended");
    a = call(s, "GET", url + strlen("https://" STUDIO), NULL);
    assert_string_equal(at(&a, "status", v), "Succeeded");
    assert_string_not_equal(at(&a, "endTime", v), "");
    a = call(s, "GET", result + strlen("https://" STUDIO), NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, PP "status", v), "Canceled");

    /* what is over is canceled as often as one likes */
    (void) woken(s);
    assert_int_equal(call(s, "POST", J "/cancel" V, "").status, 200);
    assert_false(woken(s));

    /* one that waits has ended by it */
    assert_int_equal(call(s, "PUT", W "/jobs/waits" V, TO("")).status, 201);
    assert_int_equal(call(s, "POST", W "/jobs/waits/cancel" V, "").status, 202);
    a = call(s, "GET", W "/jobs/waits" V, NULL);
    assert_string_equal(at(&a, PP "status", v), "Canceled");
    at(&a, PP "times/submitted", v);
    assert_true(strcmp(at(&a, PP "times/ended", url), v) >= 0);
}


static void
deletion(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    assert_int_equal(call(s, "DELETE", JOB, NULL).status, 204);
    assert_int_equal(call(s, "PUT", JOB, TO("")).status, 201);
    a = call(s, "DELETE", JOB, NULL);
    assert_error(a, 409, "Conflict");
    assert_non_null(strstr(at(&a, "error/message", v), "Cancel it first"));
    job_is(s, "train-1", AMLD_JOB_RUNNING, "started");
    assert_error(call(s, "DELETE", JOB, NULL), 409, "Conflict");

    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");
    assert_int_equal(call(s, "DELETE", JOB, NULL).status, 200);
    assert_int_equal(scratch_count(s->scratch, "job"), 0);
    assert_error(call(s, "GET", JOB, NULL), 404, "ResourceNotFound");
    assert_int_equal(call(s, "DELETE", JOB, NULL).status, 204);

    /* the name is free again */
    assert_int_equal(call(s, "PUT", JOB, ASK("\"command\":\"false\"")).status,
                     201);
}


/* A colleague who may do all that a role allows. */
static void
of_others(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    assert_error(call_by(s, THEIRS, "PUT", JOB, TO("")), 403, "OwnerOnly");
    assert_int_equal(scratch_count(s->scratch, "job"), 0);

    assert_int_equal(
        call(s, "PUT", JOB, TO(",\"environmentVariables\":{\"KEY\":\"s\"}"))
            .status,
        201);
    assert_error(call_by(s, THEIRS, "PUT", JOB, TO("")), 403, "OwnerOnly");
    assert_error(call_by(s, THEIRS, "POST", J "/cancel" V, ""), 403,
                 "OwnerOnly");
    assert_error(call_by(s, THEIRS, "GET", J "/logs" V, NULL), 403,
                 "OwnerOnly");
    job_is(s, "train-1", AMLD_JOB_COMPLETED, "ended");
    assert_error(call_by(s, THEIRS, "DELETE", JOB, NULL), 403, "OwnerOnly");

    a = call_by(s, THEIRS, "GET", JOB, NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, PP "status", v), "Completed");
    assert_string_equal(json_at(&a, PP "command", v), "null");
    assert_string_equal(json_at(&a, PP "environmentVariables", v), "null");
    a = call_by(s, THEIRS, "GET", W "/jobs" V, NULL);
    assert_string_equal(at(&a, "value/0/properties/command", v), "");
    assert_string_equal(at(&a, "value/0/properties/status", v), "Completed");
    a = call(s, "GET", W "/jobs" V, NULL);
    assert_string_equal(at(&a, "value/0/properties/command", v), "true");
}


/* What the gateway has allowed is what is done. */
static void
actions(void **state)
{
    server_t *s = *state;

    lab(s);
    assert_error(as(s, MINE, M "/jobs/read", "PUT", JOB, TO("")), 403,
                 "AuthorizationFailed");
    assert_error(as(s, MINE, M "/jobs/write", "POST", J "/cancel" V, ""), 403,
                 "AuthorizationFailed");
    assert_error(as(s, MINE, M "/jobs/read", "GET", J "/logs" V, NULL), 403,
                 "AuthorizationFailed");
    assert_int_equal(as(s, MINE, M "/jobs/write", "PUT", JOB, TO("")).status,
                     201);
    assert_int_equal(
        as(s, MINE, M "/jobs/cancel/action", "POST", J "/cancel" V, "").status,
        202);
    assert_int_equal(
        as(s, MINE, M "/jobs/logs/read", "GET", J "/logs" V, NULL).status, 200);
    assert_error(call(s, "PUT", J, TO("")), 400, "MissingApiVersionParameter");
}


static void
room(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    s->config.job_queue = 2;
    assert_int_equal(call(s, "PUT", W "/jobs/a" V, TO("")).status, 201);
    assert_int_equal(call(s, "PUT", W "/jobs/b" V, TO("")).status, 201);
    a = call(s, "PUT", W "/jobs/c" V, TO(""));
    assert_error(a, 409, "TooManyJobs");
    assert_non_null(strstr(at(&a, "error/message", v), "2 jobs"));
    /* those that are there may be sent again */
    assert_int_equal(call(s, "PUT", W "/jobs/b" V, TO("")).status, 200);

    job_is(s, "a", AMLD_JOB_COMPLETED, "ended");
    assert_int_equal(call(s, "PUT", W "/jobs/c" V, TO("")).status, 201);

    /* and those that have ended are no end of it */
    s->config.job_queue = 1000;
    s->config.job_history = 3;
    a = call(s, "PUT", W "/jobs/d" V, TO(""));
    assert_error(a, 409, "TooManyJobs");
    assert_non_null(strstr(at(&a, "error/message", v), "Delete some"));
    assert_int_equal(call(s, "DELETE", W "/jobs/a" V, NULL).status, 200);
    assert_int_equal(call(s, "PUT", W "/jobs/d" V, TO("")).status, 201);

    s->config.job_history = 1000;
    s->config.job_history_size = 1000;
    assert_error(call(s, "PUT", W "/jobs/e" V, TO("")), 409, "TooManyJobs");

    /* nor do all people's fill the registry */
    s->config.job_history_size = 1024 * 1024;
    s->config.registry_size = 4096;
    a = call(s, "PUT", W "/jobs/e" V, TO(""));
    assert_error(a, 409, "TooManyJobs");
    assert_non_null(strstr(at(&a, "error/message", v), "amld job remove"));
    assert_int_equal(call(s, "PUT", W "/jobs/d" V, TO("")).status, 200);
    s->config.registry_size = 16384;
    assert_int_equal(call(s, "PUT", W "/jobs/e" V, TO("")).status, 201);
}


/* Nor by what may be changed of those that there are. */
static void
room_to_grow(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    lab(s);
    assert_int_equal(
        call(s, "PUT", W "/jobs/a" V, TO(",\"tags\":{\"k\":\"value\"}")).status,
        201);
    job_is(s, "a", AMLD_JOB_COMPLETED, "ended");

    /* as many as there may be: not one more, but these may be tidied up */
    s->config.job_history = 1;
    assert_int_equal(
        call(s, "PUT", W "/jobs/a" V, TO(",\"description\":\"d\"")).status,
        200);

    s->config.job_history_size = 100;
    a = call(s, "PUT", W "/jobs/a" V, TO(",\"tags\":{\"k\":\"longer\"}"));
    assert_error(a, 409, "TooManyJobs");
    assert_error(call(s, "PUT", W "/jobs/a" V, TO(",\"description\":\"dd\"")),
                 409, "TooManyJobs");
    a = call(s, "PUT", W "/jobs/a" V, TO(",\"isArchived\":true"));
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, "properties/description", v), "d");
    assert_string_equal(at(&a, "properties/tags/k", v), "value");
    assert_error(call(s, "PUT", W "/jobs/a" V,
                      TO(",\"isArchived\":true,\"displayName\":\"longer\"")),
                 409, "TooManyJobs");
    assert_int_equal(
        call(s, "PUT", W "/jobs/a" V, TO(",\"tags\":{\"k\":\"other\"}")).status,
        200);
    assert_int_equal(call(s, "PUT", W "/jobs/a" V, TO(",\"tags\":{}")).status,
                     200);

    s->config.job_history_size = 1024 * 1024;
    s->config.registry_size = 1024;
    a = call(s, "PUT", W "/jobs/a" V, TO(",\"tags\":{\"k\":\"v\"}"));
    assert_error(a, 409, "TooManyJobs");
    assert_non_null(strstr(at(&a, "error/message", v), "amld job remove"));
    assert_int_equal(
        call(s, "PUT", W "/jobs/a" V, TO(",\"description\":\"\"")).status, 200);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(submit, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(submit_little, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(submit_again, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(ended, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(state_of_the_instance, arm_setup,
                                        arm_teardown),
        cmocka_unit_test_setup_teardown(bad_bodies, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(sizes, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(names, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(cancel, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(deletion, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(of_others, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(actions, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(room, arm_setup, arm_teardown),
        cmocka_unit_test_setup_teardown(room_to_grow, arm_setup, arm_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
