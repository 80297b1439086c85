/*
 * amld's configuration: what is taken, and that each fault is named.
 */

#include "t/unit/config_fixture.h"

#define SHARE_OF(path)                                                         \
    "workspace \"other\" {\n"                                                  \
    "  subscription = \"11111111-2222-3333-4444-555555555555\"\n"              \
    "  resource_group = \"rg\"\n"                                              \
    "  share = \"" path "\"\n"                                                 \
    "}\n"


static void
defaults(void **state)
{
    scratch_t *s = *state;
    const amld_workspace_t *w;
    amld_config_t *c;
    char err[4096];

    c = read_text(s, GOOD, err, sizeof(err));
    assert_string_equal(err, "");
    assert_non_null(c);

    assert_string_equal(c->studio, "https://aml.localhost:8443");
    assert_string_equal(c->studio_host, "aml.localhost");
    assert_string_equal(c->apps, "instances.aml.localhost");
    assert_string_equal(c->apps_port, ":8443");
    assert_string_equal(c->registry, "/var/lib/aml/registry");
    assert_true(c->registry_size == 1024u * 1024 * 1024);
    assert_null(c->registry_group);
    assert_string_equal(c->listen, "/run/aml/amld.sock");
    assert_string_equal(c->activity, "/run/aml/activity.sock");
    assert_string_equal(c->state, "/var/lib/aml/state");
    assert_string_equal(c->engine, "process");
    assert_string_equal(c->audit, "");
    assert_int_equal(c->gateway_uid_count, 1);
    assert_int_equal(c->gateway_uids[0], 0);
    assert_int_equal(c->threads, 4);
    assert_int_equal(c->session_lifetime, 12 * 3600);
    assert_int_equal(c->token_lifetime, 3600);
    assert_int_equal(c->session_idle, 8 * 3600);
    assert_int_equal(c->device_lifetime, 7 * 86400);
    assert_int_equal(c->personal_token_lifetime, 365 * 86400);
    assert_int_equal(c->backoff_account, 5);
    assert_int_equal(c->backoff_address, 20);
    assert_int_equal(c->backoff_first, 1);
    assert_int_equal(c->backoff_most, 300);
    assert_int_equal(c->key_lifetime, 30 * 86400);
    assert_int_equal(c->start_timeout, 60);
    assert_int_equal(c->stop_timeout, 10);

    assert_int_equal(c->workspace_count, 1);
    assert_string_equal(
        c->workspaces[0].id,
        "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg/"
        "providers/Microsoft.MachineLearningServices/workspaces/demo");
    assert_string_equal(c->workspaces[0].location, "local");

    w = amld_workspace_find(c, "11111111-2222-3333-4444-555555555555", "RG",
                            "Demo");
    assert_ptr_equal(w, &c->workspaces[0]);
    assert_null(amld_workspace_find(c, "11111111-2222-3333-4444-555555555556",
                                    "rg", "demo"));

    amld_config_free(c);
}


static void
values(void **state)
{
    scratch_t *s = *state;
    amld_config_t *c;
    char err[4096], path[160];

    c = read_text(s,
                  "studio = \"https://AML.Example.org:443\"\n"
                  "apps = \"Instances.Example.org\"\n"
                  "registry = \"reg\"\nregistry_size = 64m\n"
                  "listen = \"amld.sock\"\n"
                  "session_lifetime = 15m\ntoken_lifetime = 90\n"
                  "key_lifetime = 2d\nthreads = 1\n"
                  "application \"jupyter\" { program = \"/bin/sh\" }\n" REST,
                  err, sizeof(err));
    assert_string_equal(err, "");
    assert_non_null(c);

    assert_string_equal(c->studio, "https://aml.example.org");
    assert_string_equal(c->apps, "instances.example.org");
    assert_string_equal(c->apps_port, "");
    assert_true(c->registry_size == 64u * 1024 * 1024);
    assert_int_equal(c->session_lifetime, 900);
    assert_int_equal(c->token_lifetime, 90);
    assert_int_equal(c->key_lifetime, 2 * 86400);
    assert_int_equal(c->threads, 1);
    assert_int_equal(c->application_count, 1);
    assert_string_equal(c->applications[0].name, "jupyter");
    assert_string_equal(c->applications[0].program, "/bin/sh");

    /* relative to the file, not to where amld was started */
    snprintf(path, sizeof(path), "%s/reg", s->dir);
    assert_string_equal(c->registry, path);

    /* beside the other socket, wherever that is */
    snprintf(path, sizeof(path), "%s/activity.sock", s->dir);
    assert_string_equal(c->activity, path);

    amld_config_free(c);
}


typedef struct {
    const char *text;
    const char *want; /* what standard error must say, behind the file */
} fault_t;


static void
faults(void **state)
{
    static const fault_t table[] = {
        {"bogus = 1\n" GOOD, ":1: no such option 'bogus'"},
        {GOOD "workspace \"x\" {\n oops = 1\n}\n", "no such option 'oops'"},
        {GOOD "engine = \"docker\"\n", ":10: engine: there is no engine"},
        {"\nengine = \"a\"\nengine = \"b\"\n" GOOD, ":3: engine: is given"},
        {HOSTS "threads = 0\n" REST, ":3: threads: "},
        {HOSTS "threads = 65\n" REST, ":3: threads: "},
        {HOSTS "threads = -1\n" REST, ":3: threads: "},
        {HOSTS "threads = 4x\n" REST, ":3: threads: "},
        {HOSTS "session_lifetime = 10s\n" REST, ":3: session_lifetime: "},
        {HOSTS "session_lifetime = 12\"\"\n" REST, ":3:"},
        {HOSTS "session_lifetime = 99999999999999999999d\n" REST,
         ":3: session_lifetime: "},
        {HOSTS "token_lifetime = 1w\n" REST, ":3: token_lifetime: "},
        {HOSTS "registry_size = 12\n" REST, ":3: registry_size: "},
        {HOSTS "registry_size = 9999999g\n" REST, ":3: registry_size: "},
        {HOSTS "registry = \"\"\n" REST, ":3: registry: is empty"},
        {HOSTS "activity = \"\"\n" REST, ":3: activity: is empty"},
        {HOSTS "activity = \"/run/aml/amld.sock\"\n" REST,
         ":3: activity: is the same as listen"},
        {HOSTS
         "activity = \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
         "\n" REST,
         ":3: activity: /aaa"},
        {HOSTS "registry_group = \"no-such-group\"\n" REST,
         ":3: registry_group: no such group"},
        {HOSTS "roles = \"/nonexistent\"\ngateway_uids = {0}\n" WORKSPACE,
         ":3: roles: /nonexistent: "},
        {HOSTS
         "roles = \"/dev/null\"\ngateway_uids = {no-such-user}\n" WORKSPACE,
         ":4: gateway_uids: no such user"},
        {HOSTS "roles = \"/dev/null\"\ngateway_uids = {4294967295}\n" WORKSPACE,
         ":4: gateway_uids: no such user"},
        {HOSTS "roles = \"/dev/null\"\ngateway_uids = {}\n" WORKSPACE,
         "gateway_uids: is empty"},
        {HOSTS "roles = \"/dev/null\"\ngateway_uids = {0}\n",
         ": workspace: there must be one"},
        {REST, ": studio: is missing"},
        {"studio = \"http://a.b\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://a.b/\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://a.b:0\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://a.b:065\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://a.b:65536\"\napps = \"c.d\"\n" REST,
         ":1: studio: "},
        {"studio = \"https://u@a.b\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://a..b\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://-a.b\"\napps = \"c.d\"\n" REST, ":1: studio: "},
        {"studio = \"https://a.b\"\napps = \"https://c.d\"\n" REST,
         ":2: apps: "},
        {"studio = \"https://a.b\"\napps = \"*.c.d\"\n" REST, ":2: apps: "},
        {"studio = \"https://a.c.d\"\napps = \"c.d\"\n" REST,
         ":1: studio: must not be a name below apps"},
        {GOOD WORKSPACE, ":10: found duplicate title 'demo'"},
        {GOOD "workspace \"DEMO\" {\n subscription = \"11111111-2222-3333-"
              "4444-555555555555\"\n resource_group = rg\n share = \"/s\"\n}\n",
         "differs from another workspace's in case only"},
        {GOOD "workspace \"x\" {\n share = \"/s\"\n}\n", "workspace \"x\": "},
        {GOOD "workspace \"other\" {\n subscription = \"nope\"\n"
              " resource_group = rg\n share = \"/s\"\n}\n",
         ":11: workspace \"other\": subscription: \"nope\" is not a UUID"},
        {GOOD "workspace \"other\" {\n subscription = \"11111111-2222-3333-"
              "4444-555555555555\"\n resource_group = \"a/b\"\n"
              " share = \"/s\"\n}\n",
         ":12: workspace \"other\": resource_group: "},
        {GOOD SHARE_OF("/srv/share"),
         ":13: workspace \"other\": share: /srv/share and /srv/share, of "
         "workspace \"demo\", are one"},
        {GOOD SHARE_OF("/srv//x/../share/./"), "workspace \"other\": share: "},
        {GOOD SHARE_OF("/srv/share/Users/ann"), "workspace \"other\": share: "},
        {GOOD SHARE_OF("/srv"), "workspace \"other\": share: "},
        {GOOD SHARE_OF("/"), "workspace \"other\": share: "},
        {GOOD "application \"frob\" { program = \"/bin/sh\" }\n",
         "application \"frob\": name: there is no such application"},
        {GOOD "application \"jupyter\" { }\n",
         "application \"jupyter\": program: is missing"},
        {GOOD "application \"jupyter\" { program = \"/nonexistent\" }\n",
         "program: /nonexistent: "},
        {GOOD "application \"jupyter\" { program = \"/etc/passwd\" }\n",
         "program: /etc/passwd: not an executable file"},
        {GOOD "pam {\n service = \"no-such-service\"\n}\n",
         ":11: service: there is no PAM service \"no-such-service\""},
        {GOOD "pam {\n service = \"../passwd\"\n}\n", ":11: service: "},
        {GOOD "pam {\n directory = \"/nonexistent\"\n}\n",
         "there is no PAM service \"aml\" in /nonexistent"},
        {GOOD "pam {\n service = login\n allowed_groups = {\"\"}\n}\n",
         ":12: allowed_groups: has an empty name"},
        {HOSTS "audit = \"file:log\"\n" REST, ":3: audit: \"file:log\" is"},
        {HOSTS "backoff_first = 0\n" REST, ":3: backoff_first: "},
        {HOSTS "session_idle = 31d\n" REST, ":3: session_idle: "},
        {"# one\n# two\n/* three\nfour */\n\n  // six\nthreads = 0 # x\n" GOOD,
         ":7: threads: "},
        {HOSTS "registry = 'a#\\'b'\nthreads = 0\n" REST, ":4: threads: "},
        {HOSTS "/* open\nthreads = 0\n" REST, ":"},
        {GOOD "workspace {\n", ":10:"},
        {GOOD "studio = {\n", ":10:"},
    };
    scratch_t *s = *state;
    amld_config_t *c;
    char err[4096];
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        c = read_text(s, table[i].text, err, sizeof(err));

        if (c != NULL || strstr(err, table[i].want) == NULL ||
            strstr(err, "/amld.conf") == NULL) {
            print_error("%s\n--- wanted \"%s\", got:\n%s\n", table[i].text,
                        table[i].want, err);
            fail();
        }
    }
}


static void
pam(void **state)
{
    scratch_t *s = *state;
    amld_config_t *c;
    char err[4096], path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/aml", s->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);

    c = read_text(s, GOOD "pam { directory = \".\" }\n", err, sizeof(err));
    assert_string_equal(err, "");
    assert_non_null(c->pam);
    assert_string_equal(c->pam->service, "aml");
    assert_int_equal(c->pam->group_count, 0);
    amld_config_free(c);

    c = read_text(s,
                  GOOD "pam {\n directory = \".\"\n"
                       " allowed_groups = {a, \"b c\"}\n}\n",
                  err, sizeof(err));
    assert_string_equal(err, "");
    assert_int_equal(c->pam->group_count, 2);
    assert_string_equal(c->pam->groups[1], "b c");
    amld_config_free(c);

    c = read_text(s, GOOD, err, sizeof(err));
    assert_null(c->pam);
    amld_config_free(c);
}


/* All that is wrong is said at once. */
static void
every_fault(void **state)
{
    scratch_t *s = *state;
    char err[4096];

    assert_null(read_text(s, HOSTS "threads = 0\nstop_timeout = x\n" REST, err,
                          sizeof(err)));
    assert_non_null(strstr(err, ":3: threads: "));
    assert_non_null(strstr(err, ":4: stop_timeout: "));
}


static void
no_file(void **state)
{
    scratch_t *s = *state;

    assert_null(amld_config_read("/nonexistent/amld.conf"));
    assert_null(amld_config_read(s->dir));
    assert_null(amld_config_read("/dev/null"));
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(values, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(pam, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(faults, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(every_fault, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(no_file, scratch_setup,
                                        scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
