/*
 * PUT of a compute: what of a body is taken, what is kept of it, and what may
 * change.
 */

#include "t/unit/arm_bodies.h"

#include <time.h>

#include "computes/api/arm_settings.h"
#include "computes/instances/setup_script.h"
#include "t/unit/ssh_keys.h"

#define ROOT "properties."
#define INNER "properties.properties."
#define STORED(path)                                                           \
    "\"scriptSource\":\"workspaceStorage\",\"scriptData\":\"" path "\""
static json_t *kept(server_t *s, const char *name);


/* ---- what is refused ---- */

static void
every_field(void **state)
{
    static const struct {
        const char *body, *target;
    } cases[] = {
        {BESIDE(",\"computeLocation\":\"mars\""), ROOT "computeLocation"},
        {BESIDE(",\"computeLocation\":7"), ROOT "computeLocation"},
        {BESIDE(",\"description\":7"), ROOT "description"},
        {BESIDE(",\"disableLocalAuth\":\"yes\""), ROOT "disableLocalAuth"},

        {INSIDE("\"vmSize\":7"), INNER "vmSize"},
        {INSIDE("\"vmSize\":\"\""), INNER "vmSize"},
        {INSIDE("\"vmSize\":\"../../x\""), INNER "vmSize"},
        {INSIDE("\"vmSize\":\"STANDARD_NONE\""), INNER "vmSize"},

        {INSIDE("\"subnet\":\"/s\""), INNER "subnet"},
        {INSIDE("\"subnet\":[]"), INNER "subnet"},
        {INSIDE("\"subnet\":{}"), INNER "subnet"},
        {INSIDE("\"subnet\":{\"id\":7}"), INNER "subnet"},
        {INSIDE("\"subnet\":{\"id\":\"\"}"), INNER "subnet"},
        {INSIDE("\"subnet\":{\"id\":\"a b\"}"), INNER "subnet"},
        {INSIDE("\"subnet\":{\"id\":\"a\\nb\"}"), INNER "subnet"},

        {INSIDE("\"applicationSharingPolicy\":\"Public\""),
         INNER "applicationSharingPolicy"},
        {INSIDE("\"applicationSharingPolicy\":true"),
         INNER "applicationSharingPolicy"},
        {INSIDE("\"computeInstanceAuthorizationType\":\"team\""),
         INNER "computeInstanceAuthorizationType"},
        {INSIDE("\"customServices\":{}"), INNER "customServices"},
        {INSIDE("\"customServices\":[{\"name\":\"x\"}]"),
         INNER "customServices"},

        {INSIDE("\"sshSettings\":7"), INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Maybe\"}"),
         INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":true}"),
         INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\"}"),
         INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
                "\"adminPublicKey\":\"\"}"),
         INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
                "\"adminPublicKey\":\"ssh-rsa AAAA\"}"),
         INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
                "\"adminPublicKey\":\"" ED25519 "\\n" ED25519 "\"}"),
         INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"adminPublicKey\":7}"), INNER "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Disabled\","
                "\"adminPublicKey\":\"" ED25519 "\"}"),
         INNER "sshSettings"},

        {INSIDE("\"idleTimeBeforeShutdown\":30"),
         INNER "idleTimeBeforeShutdown"},
        {INSIDE("\"idleTimeBeforeShutdown\":\"30\""),
         INNER "idleTimeBeforeShutdown"},
        {INSIDE("\"idleTimeBeforeShutdown\":\"PT14M\""),
         INNER "idleTimeBeforeShutdown"},
        {INSIDE("\"idleTimeBeforeShutdown\":\"P3DT1M\""),
         INNER "idleTimeBeforeShutdown"},
        {INSIDE("\"idleTimeBeforeShutdown\":\"PT20M30S\""),
         INNER "idleTimeBeforeShutdown"},

        {INSIDE("\"schedules\":[]"), INNER "schedules"},
        {INSIDE("\"schedules\":{\"computeStartStop\":{}}"), INNER "schedules"},
        {INSIDE(SCHEDULES("7")), INNER "schedules"},
        {INSIDE(SCHEDULES("{}")), INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Recurrence\",\"action\":"
                          "\"Stop\",\"recurrence\":{}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES(DAILY(",\"recurrence\":{\"frequency\":\"Day\"}"))),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\"}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Reboot\","
                          "\"cron\":{\"expression\":\"0 18 * * *\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"61 18 * * *\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"* * * * *\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"0/2 0 18 * * *\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":7}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"0 18 * * *\","
                          "\"timeZone\":\"Mars/Olympus\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"0 18 * * *\","
                          "\"timeZone\":\"../../etc/passwd\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"0 18 * * *\","
                          "\"startTime\":\"tomorrow\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES("{\"triggerType\":\"Cron\",\"action\":\"Stop\","
                          "\"cron\":{\"expression\":\"0 18 * * *\","
                          "\"startTime\":\"2026-13-01T00:00:00\"}}")),
         INNER "schedules"},
        {INSIDE(SCHEDULES(DAILY(",\"status\":\"Perhaps\""))),
         INNER "schedules"},
        {INSIDE(SCHEDULES(DAILY(",\"id\":\"a/b\""))), INNER "schedules"},
        {INSIDE(SCHEDULES(DAILY(",\"id\":\"\""))), INNER "schedules"},
        {INSIDE(SCHEDULES(DAILY(",\"id\":\"a\"") "," DAILY(",\"id\":\"a\""))),
         INNER "schedules"},

        {INSIDE("\"setupScripts\":[]"), INNER "setupScripts"},
        {INSIDE("\"setupScripts\":{\"scripts\":7}"), INNER "setupScripts"},
        {INSIDE(SCRIPT("startupScript", "\"scriptData\":\"ZWNobw==\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("startupScript", "\"scriptSource\":\"inline\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("startupScript",
                       "\"scriptSource\":\"elsewhere\",\"scriptData\":"
                       "\"Users/ann/x.sh\"")),
         INNER "setupScripts"},
        {INSIDE(
             SCRIPT("startupScript", "\"scriptSource\":\"workspaceStorage\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("startupScript",
                       STORED("Users/ann/x.sh") ","
                                                "\"timeout\":\"None\"")),
         INNER "setupScripts"},
        {INSIDE(
             SCRIPT("creationScript",
                    "\"scriptSource\":\"inline\",\"scriptData\":\"echo\n\"")),
         "" /* a line feed in a string is no JSON */},
        {INSIDE(SCRIPT("creationScript",
                       "\"scriptSource\":\"inline\",\"scriptData\":\"\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript",
                       "\"scriptSource\":\"inline\",\"scriptData\":\"e!!o\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript",
                       "\"scriptSource\":\"inline\",\"scriptData\":\"AAAA\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript", ECHO ",\"scriptArguments\":[]")),
         INNER "setupScripts"},
        {INSIDE(
             SCRIPT("creationScript", ECHO ",\"scriptArguments\":\"a\\nb\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript", ECHO ",\"timeout\":15")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript", ECHO ",\"timeout\":\"P2D\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript", ECHO ",\"timeout\":\"PT0S\"")),
         INNER "setupScripts"},
        {INSIDE(SCRIPT("creationScript", ECHO ",\"timeout\":\"15x\"")),
         INNER "setupScripts"},

        {INSIDE("\"personalComputeInstanceSettings\":7"),
         INNER "personalComputeInstanceSettings.assignedUser"},
        {INSIDE("\"personalComputeInstanceSettings\":{\"assignedUser\":7}"),
         INNER "personalComputeInstanceSettings.assignedUser"},
        {INSIDE("\"personalComputeInstanceSettings\":{\"assignedUser\":{}}"),
         INNER "personalComputeInstanceSettings.assignedUser"},
        {INSIDE("\"personalComputeInstanceSettings\":{\"assignedUser\":{"
                "\"objectId\":7}}"),
         INNER "personalComputeInstanceSettings.assignedUser"},
        {INSIDE(FOR("nobody")),
         INNER "personalComputeInstanceSettings.assignedUser.objectId"},
        {INSIDE(FOR(THEIRS)),
         INNER "personalComputeInstanceSettings.assignedUser.objectId"},
    };
    server_t *s = *state;
    char v[1024];
    size_t i;
    answer_t a;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        a = call(s, "PUT", LAB, cases[i].body);
        if (a.status != 400 ||
            strcmp(at(&a, "error/target", v), cases[i].target) != 0) {
            fail_msg("%ld \"%s\": %s", a.status, v, cases[i].body);
        }
        assert_string_not_equal(at(&a, "error/message", v), "");
    }

    assert_int_equal(scratch_count(s->scratch, "compute"), 0);
    assert_int_equal(scratch_count(s->scratch, "quota/"), 0);
    assert_int_equal(scratch_count(s->scratch, "folder/"), 0);
    assert_false(woken(s));
}


static void
too_long(void **state)
{
    static const struct {
        const char *before, *after;
        size_t most; /* that is taken */
    } cases[] = {
        {"{\"properties\":{\"computeType\":\"ComputeInstance\","
         "\"description\":\"",
         "\"}}", 4096},
        {"{\"tags\":{\"a\":\"",
         "\"},\"properties\":{\"computeType\":\"ComputeInstance\"}}", 256},
        {"{\"tags\":{\"",
         "\":\"a\"},\"properties\":{\"computeType\":\"ComputeInstance\"}}",
         512},
        {"{\"properties\":{\"computeType\":\"ComputeInstance\","
         "\"properties\":{\"subnet\":{\"id\":\"",
         "\"}}}}", 1024},
        {"{\"properties\":{\"computeType\":\"ComputeInstance\","
         "\"properties\":{\"setupScripts\":{\"scripts\":{\"startupScript\":{"
         "\"scriptSource\":\"inline\",\"scriptData\":\"ZWNobw==\","
         "\"scriptArguments\":\"",
         "\"}}}}}}", 1024},
        {"{\"properties\":{\"computeType\":\"ComputeInstance\","
         "\"properties\":{\"setupScripts\":{\"scripts\":{\"startupScript\":{"
         "\"scriptSource\":\"workspaceStorage\",\"scriptData\":\"Users/ann/",
         "\"}}}}}}", 252}, /* four more than a name has on a file system */
        /* "xxxx" stands for three bytes */
        {"{\"properties\":{\"computeType\":\"ComputeInstance\","
         "\"properties\":{\"setupScripts\":{\"scripts\":{\"startupScript\":{"
         "\"scriptSource\":\"inline\",\"scriptData\":\"",
         "\"}}}}}}", AMLD_SCRIPT_MAX / 3 * 4},
    };
    server_t *s = *state;
    char *body, target[256];
    size_t i, more, n;
    answer_t a;

    body = malloc(AMLD_SCRIPT_MAX * 2);
    assert_non_null(body);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (more = 0; more < 2; more++) {
            n = cases[i].most + more * 4;
            sprintf(body, "%s%*s%s", cases[i].before, (int) n, "",
                    cases[i].after);
            memset(body + strlen(cases[i].before), 'x', n);

            snprintf(target, sizeof(target), W "/computes/lab-%c" V,
                     (int) ('a' + i));
            a = call(s, "PUT", target, body);
            if (a.status != (more ? 400 : 201)) {
                fail_msg("%zu %zu: %ld %s", i, more, a.status, a.body);
            }
            call(s, "GET", target, NULL);
        }
    }

    /* more of them than there may be */
    n = (size_t) sprintf(body, "{\"tags\":{");
    for (i = 0; i < 51; i++) {
        n += (size_t) sprintf(body + n, "%s\"t%zu\":\"\"", i ? "," : "", i);
    }
    sprintf(body + n, "},\"properties\":{\"computeType\":"
                      "\"ComputeInstance\"}}");
    assert_error(call(s, "PUT", LAB, body), 400, "InvalidTags");

    n = (size_t) sprintf(body, "{\"properties\":{\"computeType\":"
                               "\"ComputeInstance\",\"properties\":{"
                               "\"schedules\":{\"computeStartStop\":[");
    for (i = 0; i < AMLD_SCHEDULES_MAX + 1; i++) {
        n += (size_t) sprintf(body + n, "%s" DAILY(""), i ? "," : "");
    }
    sprintf(body + n, "]}}}}");
    assert_error(call(s, "PUT", LAB, body), 400, "UserError");

    free(body);
}


static void
cut_deep_and_odd(void **state)
{
    server_t *s = *state;
    char body[4096], v[1024];
    size_t n;
    answer_t a;

    /* wherever it is cut */
    for (n = 0; n < strlen(BODY); n++) {
        memcpy(body, BODY, n);
        body[n] = '\0';
        assert_error(call(s, "PUT", LAB, body), 400, "InvalidRequestContent");
    }

    /* deep, closed or not */
    snprintf(body, sizeof(body), "{\"a\":%*s", 3000, "");
    memset(body + 5, '[', 3000);
    a = call(s, "PUT", LAB, body);
    assert_error(a, 400, "InvalidRequestContent");
    assert_non_null(strstr(at(&a, "error/message", v), "nested deeper"));
    n = strlen(body);
    memset(body + n, ']', 20);
    body[n + 20] = '\0';
    assert_error(call(s, "PUT", LAB, body), 400, "InvalidRequestContent");
    snprintf(body, sizeof(body),
             "{\"x\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\","
             "\"properties\":{\"computeType\":\"ComputeInstance\"}}");
    assert_int_equal(call(s, "PUT", W "/computes/odd-one" V, body).status, 201);

    assert_error(call(s, "PUT", LAB, "\xef\xbb\xbf" BODY), 400,
                 "InvalidRequestContent");
    assert_error(call(s, "PUT", LAB, BODY "x"), 400, "InvalidRequestContent");
    assert_error(call(s, "PUT", LAB, "{\"tags\":{\"a\":\"\xff\"}}"), 400,
                 "InvalidRequestContent");
    assert_error(call(s, "PUT", LAB, "{\"a\":1e999}"), 400,
                 "InvalidRequestContent");
    assert_int_equal(scratch_count(s->scratch, "compute/"), 1);
}


/* Of each part of the rule its own words. */
static void
names(void **state)
{
    static const struct {
        const char *name, *says;
    } cases[] = {
        {"ab", "3 to 24 characters"},
        {"abcdefghijklmnopqrstuvwxy", "3 to 24 characters"},
        {"1ab", "start with a letter"},
        {"-lab", "start with a letter"},
        {"a_b", "letters, digits and '-' only"},
        {"lab.x", "letters, digits and '-' only"},
        {"a(b)c", "letters, digits and '-' only"},
        {"lab-1", "followed by a letter"},
        {"lab-", "followed by a letter"},
        {"lab-x-8888", "followed by a letter"},
    };
    server_t *s = *state;
    char target[512], v[1024], longer[300];
    size_t i;
    answer_t a;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(target, sizeof(target), W "/computes/%s" V, cases[i].name);
        a = call(s, "PUT", target, BODY);
        assert_error(a, 400, "InvalidResourceName");
        assert_string_equal(at(&a, "error/target", v), "name");
        if (strstr(at(&a, "error/message", v), cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].name, v);
        }
    }

    /* as long as a segment of a path can be */
    memset(longer, 'a', 255);
    longer[255] = '\0';
    snprintf(target, sizeof(target), W "/computes/%s" V, longer);
    assert_error(call(s, "PUT", target, BODY), 400, "InvalidResourceName");

    /* the shortest, the longest, dashes side by side */
    assert_int_equal(call(s, "PUT", W "/computes/abc" V, BODY).status, 201);
    assert_int_equal(
        call(s, "PUT", W "/computes/a--2345678901234567890-xY" V, BODY).status,
        400);
    assert_int_equal(
        call(s, "PUT", W "/computes/a--234567890123456789-xY" V, BODY).status,
        201);
}


/* ---- what is kept ---- */

/* What the document says was asked for; a new reference. */
static json_t *
kept(server_t *s, const char *name)
{
    json_t *doc, *requested;
    amld_key_t key;
    aml_registry_txn_t *txn;

    assert_int_equal(amld_compute_key(&key, &workspace, name), 0);
    assert_int_equal(aml_registry_read(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);
    requested = json_incref(json_object_get(doc, "requested"));
    json_decref(doc);

    return requested;
}


static void
assert_kept(server_t *s, const char *name, const char *want)
{
    char *text;
    json_t *have = kept(s, name);

    text = json_dumps(have, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, want);
    free(text);
    json_decref(have);
}


static void
one_form(void **state)
{
    server_t *s = *state;
    char v[1024];
    answer_t a;

    /* nothing is asked for */
    a = call(s, "PUT", W "/computes/plain" V,
             "{\"properties\":{\"computeType\":\"ComputeInstance\"}}");
    assert_int_equal(a.status, 201);
    assert_kept(s, "plain", "{\"vmSize\":\"STANDARD_DS3_V2\"}");
    assert_string_equal(at(&a, "properties/properties/vmSize", v),
                        "STANDARD_DS3_V2");

    /* nor with what stands for nothing, and with what is not known */
    a = call(s, "PUT", W "/computes/nulls" V,
             "{\"sku\":{\"name\":\"x\"},\"identity\":{\"type\":"
             "\"SystemAssigned\"},\"unknown\":[1],\"tags\":null,"
             "\"properties\":{\"computeType\":\"ComputeInstance\","
             "\"resourceId\":null,\"description\":null,\"disableLocalAuth\":"
             "false,\"more\":{},\"properties\":{\"vmSize\":null,\"subnet\":"
             "null,\"applicationSharingPolicy\":\"Shared\",\"sshSettings\":"
             "null,\"computeInstanceAuthorizationType\":\"Personal\","
             "\"idleTimeBeforeShutdown\":null,"
             "\"personalComputeInstanceSettings\":{\"assignedUser\":null},"
             "\"schedules\":{\"computeStartStop\":[]},\"setupScripts\":{"
             "\"scripts\":{\"creationScript\":{},\"startupScript\":null}},"
             "\"customServices\":[],\"enableNodePublicIp\":true}}}");
    assert_int_equal(a.status, 201);
    assert_kept(s, "nulls", "{\"vmSize\":\"STANDARD_DS3_V2\"}");

    a = call(s, "PUT", W "/computes/full" V,
             INSIDE("\"vmSize\":\"standard_ds11_v2\","
                    "\"subnet\":{\"id\":\"/subnets/a\",\"x\":1},"
                    "\"sshSettings\":{\"sshPublicAccess\":\"enabled\","
                    "\"adminPublicKey\":\"" ED25519 " ann \\n\"},"
                    "\"idleTimeBeforeShutdown\":\"PT1H\","
                    "\"schedules\":{\"computeStartStop\":[{\"id\":\"s1\","
                    "\"triggerType\":\"cron\",\"action\":\"stop\",\"status\":"
                    "\"disabled\",\"provisioningStatus\":\"Completed\","
                    "\"cron\":{\"expression\":\"0 18 * * 1-5\",\"timeZone\":"
                    "\"Pacific Standard Time\",\"startTime\":"
                    "\"2021-04-23T01:30:00\"}}]},"
                    "\"setupScripts\":{\"scripts\":{\"creationScript\":{" ECHO
                    ",\"timeout\":\"15m\"},\"startupScript\":{" ECHO
                    ",\"scriptArguments\":\"-x 'a b'\",\"timeout\":"
                    "\"PT90S\"}}}"));
    assert_int_equal(a.status, 201);
    assert_kept(
        s, "full",
        "{\"idleTimeBeforeShutdown\":\"PT60M\",\"schedules\":{"
        "\"computeStartStop\":[{\"action\":\"Stop\",\"cron\":{\"expression\":"
        "\"0 18 * * 1-5\",\"startTime\":\"2021-04-23T01:30:00\",\"timeZone\":"
        "\"Pacific Standard Time\"},\"id\":\"s1\",\"status\":\"Disabled\","
        "\"triggerType\":\"Cron\"}]},\"setupScripts\":{\"scripts\":{"
        "\"creationScript\":{\"scriptData\":\"ZWNobw==\",\"scriptSource\":"
        "\"inline\",\"timeout\":\"PT15M\"},\"startupScript\":{"
        "\"scriptArguments\":\"-x 'a b'\",\"scriptData\":\"ZWNobw==\","
        "\"scriptSource\":\"inline\",\"timeout\":\"PT90S\"}}},"
        "\"sshSettings\":{\"adminPublicKey\":\"" ED25519
        " ann\",\"sshPublicAccess\":\"Enabled\"},\"subnet\":{\"id\":"
        "\"/subnets/a\"},\"vmSize\":\"STANDARD_DS11_V2\"}");

    /* and so it is answered */
    assert_string_equal(at(&a, P "vmSize", v), "STANDARD_DS11_V2");
    assert_string_equal(at(&a, P "subnet/id", v), "/subnets/a");
    assert_string_equal(at(&a, P "sshSettings/sshPublicAccess", v), "Enabled");
    assert_string_equal(at(&a, P "sshSettings/adminPublicKey", v),
                        ED25519 " ann");
    assert_string_equal(at(&a, P "idleTimeBeforeShutdown", v), "PT60M");
    assert_string_equal(at(&a, P "schedules/computeStartStop/0/id", v), "s1");
    assert_string_equal(
        at(&a, P "schedules/computeStartStop/0/provisioningStatus", v),
        "Completed");
    assert_string_equal(
        at(&a, P "schedules/computeStartStop/0/schedule/status", v),
        "Disabled");
    assert_string_equal(
        at(&a, P "setupScripts/scripts/startupScript/timeout", v), "PT90S");
    assert_string_equal(at(&a, P "applicationSharingPolicy", v), "Personal");

    /* a key for what is off */
    a = call(s, "PUT", W "/computes/off" V,
             INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"NotSpecified\","
                    "\"adminPublicKey\":\"" RSA "\"}"));
    assert_int_equal(a.status, 201);
    assert_kept(s, "off",
                "{\"sshSettings\":{\"sshPublicAccess\":\"Disabled\"},"
                "\"vmSize\":\"STANDARD_DS3_V2\"}");
}


/* A size stays what it was, whatever the catalogue says later. */
static void
sizes_are_frozen(void **state)
{
    static amld_size_t own[] = {
        {(char *) "Desk", (char *) "desks", 3, 4096, 0},
    };
    server_t *s = *state;
    char v[1024];
    json_t *doc;
    amld_key_t key;
    answer_t a;
    aml_registry_txn_t *txn;

    assert_int_equal(call(s, "PUT", LAB, BODY).status, 201);

    s->config.sizes = own;
    s->config.size_count = 1;

    /* the name of one that is there no more */
    assert_int_equal(call(s, "PUT", LAB, BODY).status, 200);
    a = call(s, "PUT", W "/computes/desk" V, BODY);
    assert_error(a, 400, "UserError");
    assert_non_null(strstr(at(&a, "error/message", v), "There are: Desk."));
    assert_int_equal(
        call(s, "PUT", W "/computes/desk" V, INSIDE("\"vmSize\":null")).status,
        201);

    assert_int_equal(amld_compute_key(&key, &workspace, "lab"), 0);
    assert_int_equal(aml_registry_read(s->amld.registry, &txn),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_compute_load(txn, &key, &doc), AML_REGISTRY_OK);
    aml_registry_end(txn);
    assert_int_equal(json_integer_value(json_object_get(
                         json_object_get(doc, "size"), "memory")),
                     14336);
    json_decref(doc);
    assert_kept(s, "desk", "{\"vmSize\":\"Desk\"}");
}


/* ---- what may change ---- */

static void
fixed(void **state)
{
    static const struct {
        const char *body, *target;
    } cases[] = {
        {INSIDE("\"vmSize\":\"STANDARD_DS4_V2\""), "vmSize"},
        {INSIDE("\"vmSize\":\"NO_SUCH\""), "vmSize"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Disabled\"}"),
         "sshSettings"},
        {INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
                "\"adminPublicKey\":\"" P256 "\"}"),
         "sshSettings.adminPublicKey"},
        {INSIDE("\"sshSettings\":{\"adminPublicKey\":\"" P256 "\"}"),
         "sshSettings.adminPublicKey"},
        {INSIDE("\"subnet\":{\"id\":\"/subnets/b\"}"), "subnet"},
        {INSIDE(SCRIPT("startupScript", ECHO)), "setupScripts"},
        {INSIDE(FOR(THEIRS)), "personalComputeInstanceSettings.assignedUser"},
    };
    static const char *const same[] = {
        INSIDE(""),
        INSIDE("\"vmSize\":\"standard_ds3_v2\""),
        INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\"}"),
        INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"NotSpecified\"}"),
        INSIDE("\"sshSettings\":{\"sshPublicAccess\":\"Enabled\","
               "\"adminPublicKey\":\"" ED25519 "\\n\"}"),
        INSIDE("\"subnet\":{\"id\":\"/SUBNETS/a\"}"),
        INSIDE("\"subnet\":null"),
        INSIDE(FOR(MINE)),
    };
    server_t *s = *state;
    char v[1024], *before, *after;
    json_t *json;
    size_t i;
    answer_t a;

    known(s, THEIRS, "bob", 0);
    assert_int_equal(
        call(s, "PUT", LAB,
             INSIDE("\"subnet\":{\"id\":\"/subnets/a\"},\"sshSettings\":{"
                    "\"sshPublicAccess\":\"Enabled\",\"adminPublicKey\":"
                    "\"" ED25519 "\"}"))
            .status,
        201);
    set_state(s, "lab", AMLD_STATE_STOPPED);
    json = kept(s, "lab");
    before = json_dumps(json, JSON_SORT_KEYS);
    json_decref(json);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        a = call(s, "PUT", LAB, cases[i].body);
        assert_error(a, 400, "PropertyChangeNotAllowed");
        assert_string_equal(at(&a, "error/target", v), cases[i].target);
        assert_non_null(strstr(at(&a, "error/message", v), cases[i].target));
    }
    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        a = call(s, "PUT", LAB, same[i]);
        if (a.status != 200) {
            fail_msg("%ld: %s: %s", a.status, same[i], a.body);
        }
    }

    json = kept(s, "lab");
    after = json_dumps(json, JSON_SORT_KEYS);
    json_decref(json);
    assert_string_equal(after, before);
    free(before);
    free(after);

    /* one that could not be created may be tried with other scripts */
    set_state(s, "lab", AMLD_STATE_CREATE_FAILED);
    a = call(s, "PUT", LAB, INSIDE(SCRIPT("startupScript", ECHO)));
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, P "state", v), "Creating");
    assert_string_equal(
        at(&a, P "setupScripts/scripts/startupScript/scriptData", v),
        "ZWNobw==");
}


static void
changes(void **state)
{
    server_t *s = *state;
    char v[1024], first[1024];
    answer_t a;

    call(s, "PUT", LAB, BODY);
    set_state(s, "lab", AMLD_STATE_RUNNING);

    a = call(s, "PUT", LAB,
             INSIDE("\"idleTimeBeforeShutdown\":\"P1D\"," SCHEDULES(
                 DAILY("") "," DAILY(",\"status\":\"Disabled\",\"id\":"
                                     "\"mine\""))));
    assert_int_equal(a.status, 200);
    assert_string_equal(at(&a, P "idleTimeBeforeShutdown", v), "PT1440M");
    assert_string_equal(at(&a, P "schedules/computeStartStop/1/id", v), "mine");
    at(&a, P "schedules/computeStartStop/0/id", first);
    assert_int_equal(strlen(first), 36);
    assert_string_equal(at(&a, P "state", v), "Running");

    /* what is not said stays */
    a = call(s, "PUT", LAB, INSIDE(""));
    assert_string_equal(at(&a, P "idleTimeBeforeShutdown", v), "PT1440M");
    assert_string_equal(at(&a, P "schedules/computeStartStop/0/id", v), first);

    /* the same schedule keeps its id, another gets its own */
    a = call(s, "PUT", LAB,
             INSIDE(SCHEDULES(
                 "{\"triggerType\":\"Cron\",\"action\":\"Start\",\"cron\":{"
                 "\"expression\":\"0 8 * * *\"}}," DAILY(""))));
    assert_string_equal(at(&a, P "schedules/computeStartStop/1/id", v), first);
    assert_string_not_equal(at(&a, P "schedules/computeStartStop/0/id", v),
                            first);
    assert_int_equal(strlen(v), 36);

    /* null, or none, takes them away */
    a = call(s, "PUT", LAB, INSIDE("\"idleTimeBeforeShutdown\":null"));
    assert_string_equal(at(&a, P "idleTimeBeforeShutdown", v), "");
    assert_string_equal(at(&a, P "schedules/computeStartStop/1/id", v), first);
    a = call(s, "PUT", LAB, INSIDE(SCHEDULES("")));
    assert_int_equal(a.status, 200);
    assert_kept(s, "lab", "{\"vmSize\":\"STANDARD_DS3_V2\"}");
}


/* The path of a script in the share: only of the person's own folder, and
 * nothing that could lead out of it. */
static void
stored_scripts(void **state)
{
    static const char *const bad[] = {
        "7",
        "[]",
        "\"\"",
        "\"/\"",
        "\"/Users/ann/x.sh\"",
        "\"//Users/ann/x.sh\"",
        "\"./Users/ann/x.sh\"",
        "\"../Users/ann/x.sh\"",
        "\"Users/ann\"",
        "\"Users/ann/\"",
        "\"Users/ann//x.sh\"",
        "\"Users/ann/x.sh/\"",
        "\"Users/ann/.\"",
        "\"Users/ann/..\"",
        "\"Users/ann/../bob/x.sh\"",
        "\"Users/ann/d/../../bob/x.sh\"",
        "\"Users/ann/./x.sh\"",
        "\"Users/ann/a\\nb\"",
        "\"Users/ann/a\\tb\"",
        "\"Users/ann/\\u001b[2J\"",
        "\"Users/ann/\\u007f\"",
        "\"Users/ann/\\u009b2J\"",
        /* somebody else's, or nobody's */
        "\"Users/bob/x.sh\"",
        "\"Users/ann2/x.sh\"",
        "\"Users/an/x.sh\"",
        "\"Users/Ann/x.sh\"",
        "\"users/ann/x.sh\"",
        "\"Users/x.sh\"",
        "\"x.sh\"",
        "\"ann/x.sh\"",
        "\"Users\\\\ann\\\\x.sh\"",
        "\"https://example.org/x.sh\"",
    };
    server_t *s = *state;
    char body[4096], path[2048], v[1024];
    size_t i;
    answer_t a;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(body, sizeof(body),
                 INSIDE("\"setupScripts\":{\"scripts\":{\"creationScript\":{"
                        "\"scriptSource\":\"workspaceStorage\","
                        "\"scriptData\":%s}}}"),
                 bad[i]);
        a = call(s, "PUT", LAB, body);
        if (a.status != 400 ||
            strcmp(at(&a, "error/target", v), INNER "setupScripts") != 0 ||
            strstr(at(&a, "error/message", v), "creationScript: scriptData") !=
                v) {
            fail_msg("%ld %s: %s", a.status, bad[i], a.body);
        }
    }
    assert_error(
        call(s, "PUT", LAB,
             INSIDE(SCRIPT("creationScript", STORED("Users/ann/a\\u0000b")))),
        400, "InvalidRequestContent");

    /* with every part of it short */
    strcpy(path, "Users/ann");
    while (strlen(path) < AMLD_SCRIPT_PATH - 100) {
        strcat(path, "/xxxxxxxxx");
    }
    for (i = 0; i < 2; i++) {
        while (strlen(path) < AMLD_SCRIPT_PATH + i) {
            strcat(path, "y");
        }
        snprintf(body, sizeof(body),
                 INSIDE("\"setupScripts\":{\"scripts\":{\"creationScript\":{"
                        "\"scriptSource\":\"workspaceStorage\","
                        "\"scriptData\":\"%s\"}}}"),
                 path);
        assert_int_equal(
            call(s, "PUT", i == 0 ? W "/computes/long" V : LAB, body).status,
            i == 0 ? 201 : 400);
    }
    assert_int_equal(scratch_count(s->scratch, "compute/"), 1);

    a = call(s, "PUT", LAB,
             INSIDE("\"setupScripts\":{\"scripts\":{\"creationScript\":{"
                    "\"scriptSource\":\"WORKSPACESTORAGE\",\"scriptData\":"
                    "\"Users/ann/a b/\xc3\xa4$(x).sh\",\"scriptArguments\":"
                    "\"a\",\"timeout\":\"Nonem\"},\"startupScript\":{" STORED(
                        "Users/ann/...") ",\"timeout\":\"2m\"}}}"));
    assert_int_equal(a.status, 201);
    assert_kept(s, "lab",
                "{\"setupScripts\":{\"scripts\":{\"creationScript\":{"
                "\"scriptArguments\":\"a\",\"scriptData\":\"Users/ann/a "
                "b/\xc3\xa4$(x).sh\",\"scriptSource\":\"workspaceStorage\"},"
                "\"startupScript\":{\"scriptData\":\"Users/ann/...\","
                "\"scriptSource\":\"workspaceStorage\",\"timeout\":\"PT2M\"}}},"
                "\"vmSize\":\"STANDARD_DS3_V2\"}");
    assert_string_equal(
        at(&a, P "setupScripts/scripts/creationScript/scriptSource", v),
        "workspaceStorage");

    /* nor when it is tried again, with others */
    set_state(s, "lab", AMLD_STATE_SETUP_FAILED);
    a = call(s, "PUT", LAB,
             INSIDE(SCRIPT("startupScript", STORED("Users/bob/x.sh"))));
    assert_error(a, 400, "UserError");
    assert_non_null(strstr(a.body, "'Users/ann/'"));
    a = call(s, "PUT", LAB,
             INSIDE(SCRIPT("startupScript", STORED("Users/ann/x.sh"))));
    assert_int_equal(a.status, 200);
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, arm_setup, arm_teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_field), TEST(too_long), TEST(cut_deep_and_odd),
        TEST(names),       TEST(one_form), TEST(sizes_are_frozen),
        TEST(fixed),       TEST(changes),  TEST(stored_scripts),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("arm_put", tests, NULL, NULL);
}
