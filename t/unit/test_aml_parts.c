#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/create.h"
#include "cli/job.h"
#include "cli/paths.h"
#include "cli/ssh.h"


static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}


static int
set_up(void **state)
{
    static char dir[64];

    snprintf(dir, sizeof(dir), "/tmp/aml-cli-XXXXXX");
    *state = mkdtemp(dir);

    return *state == NULL;
}


static int
tear_down(void **state)
{
    return nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}


static void
takes(char *have, const char *want)
{
    if (want == NULL) {
        assert_null(have);
    } else {
        assert_non_null(have);
        assert_string_equal(have, want);
    }
    free(have);
}


/* ---- addresses ---- */

static void
origins(void **state)
{
    (void) state;
    takes(cli_http_origin("https://aml.example.org"),
          "https://aml.example.org");
    takes(cli_http_origin("AML.Example.org/"), "https://aml.example.org");
    takes(cli_http_origin("https://aml.example.org:443"),
          "https://aml.example.org");
    takes(cli_http_origin("aml.example.org:8443"),
          "https://aml.example.org:8443");
    takes(cli_http_origin("https://[::1]:8443"), "https://[::1]:8443");
    takes(cli_http_origin("http://aml.example.org"), NULL);
    takes(cli_http_origin("https://ann:x@aml.example.org"), NULL);
    takes(cli_http_origin("https://aml.example.org/studio"), NULL);
    takes(cli_http_origin("https://aml.example.org/?x"), NULL);
    takes(cli_http_origin("file:///etc/passwd"), NULL);
    takes(cli_http_origin(""), NULL);
}


static void
below(void **state)
{
    const char *o = "https://aml.example.org";

    (void) state;
    assert_string_equal(cli_http_below(o, "https://aml.example.org/x?y=z"),
                        "/x?y=z");
    assert_string_equal(cli_http_below(o, "https://AML.example.org:443/x"),
                        "/x");
    assert_null(cli_http_below(o, "https://evil.example/x"));
    assert_null(cli_http_below(o, "http://aml.example.org/x"));
    assert_null(cli_http_below(o, "https://aml.example.org:444/x"));
    assert_null(cli_http_below(o, "https://aml.example.org@evil.example/x"));
    assert_null(cli_http_below(o, "https://aml.example.org.evil.example/x"));
    assert_null(cli_http_below(o, "//aml.example.org/x"));
    assert_null(cli_http_below(o, "/x"));
}


static void
workspaces(void **state)
{
    static const char id[] = "/subscriptions/s-1/resourceGroups/rg/providers/"
                             "Microsoft.MachineLearningServices/workspaces/ws";

    (void) state;
    takes(cli_workspace_path("s-1/rg/ws"), id);
    takes(cli_workspace_path(id), id);
    takes(cli_workspace_path("/subscriptions/s-1/resourcegroups/rg/providers/"
                             "microsoft.machinelearningservices/workspaces/ws"),
          id);
    takes(cli_workspace_path("s-1/rg"), NULL);
    takes(cli_workspace_path("s-1/rg/ws/x"), NULL);
    takes(cli_workspace_path("s-1/../ws"), NULL);
    takes(cli_workspace_path("s-1/r?g/ws"), NULL);
    takes(cli_workspace_path("s-1/r%2f/ws"), NULL);
    takes(cli_workspace_path(""), NULL);
}


static void
minutes(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"45", "PT45M"},   {"30m", "PT30M"},   {"2h", "PT120M"},
        {"1d", "PT1440M"}, {"PT15M", "PT15M"}, {"0", NULL},
        {"", NULL},        {"x", NULL},        {"-5", NULL},
        {"5s", NULL},      {"5 m", NULL},      {"99999999999999999999", NULL}};
    char out[32];
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(cli_minutes(cases[i].in, out, sizeof(out)),
                         cases[i].out != NULL ? 0 : -1);
        if (cases[i].out != NULL) {
            assert_string_equal(out, cases[i].out);
        }
    }
}


static void
commands(void **state)
{
    char *one[] = {(char *) "echo $HOME; ls"};
    char *many[] = {(char *) "echo", (char *) "a b",       (char *) "it's",
                    (char *) "",     (char *) "$x",        (char *) "--a=b",
                    (char *) "~",    (char *) "two\nlines"};

    (void) state;
    takes(cli_job_command(1, one), "echo $HOME; ls");
    takes(cli_job_command(8, many),
          "echo 'a b' 'it'\\''s' '' '$x' --a=b '~' 'two\nlines'");
}


/* ---- files ---- */

static void
directories(void **state)
{
    char want[256];

    (void) setenv("HOME", *state, 1);
    (void) unsetenv("XDG_CONFIG_HOME");
    snprintf(want, sizeof(want), "%s/.config/aml/x", (char *) *state);
    takes(cli_path_config("x"), want);
    (void) setenv("XDG_CONFIG_HOME", "relative", 1);
    takes(cli_path_config("x"), want);
    (void) setenv("XDG_CONFIG_HOME", "/elsewhere", 1);
    takes(cli_path_config(NULL), "/elsewhere/aml");
    (void) unsetenv("XDG_CONFIG_HOME");
    (void) unsetenv("XDG_STATE_HOME");
    snprintf(want, sizeof(want), "%s/.local/state/aml", (char *) *state);
    takes(cli_path_state(NULL), want);
}


static void
replaces(void **state)
{
    char file[128], link[128], error[256], *text;
    struct stat st;
    unsigned long n;

    snprintf(file, sizeof(file), "%s/deep/er/file", (char *) *state);
    snprintf(link, sizeof(link), "%s/deep/er", (char *) *state);
    assert_int_equal(cli_path_make(link), 0);
    assert_int_equal(cli_path_private(link, 1, error, sizeof(error)), 0);
    assert_int_equal(cli_path_replace(file, "one", 3, 0600), 0);
    assert_int_equal(cli_path_private(file, 0, error, sizeof(error)), 0);
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(cli_path_private(file, 0, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "chmod 600"));

    snprintf(link, sizeof(link), "%s/link", (char *) *state);
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(cli_path_private(link, 0, error, sizeof(error)), -1);
    assert_int_equal(cli_path_replace(link, "three", 5, 0600), 0);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    text = cli_path_read(file, 5, &n);
    takes(text, "three");
    assert_null(cli_path_read(file, 4, &n));
    assert_int_equal(errno, EFBIG);
    assert_null(cli_path_read("/nowhere/at/all", 4, &n));
    assert_int_equal(errno, ENOENT);
}


/* ---- OpenSSH's configuration ---- */

static void
configurations(void **state)
{
    static const char mine[] = "# mine\nHost box\n  User me\n";
    static const char one[] =
        "# >>> aml: a.aml\nHost a.aml\n# <<< aml: a.aml\n";
    static const char two[] = "# >>> aml: a.aml\nHost A\n# <<< aml: a.aml\n";
    char text[256], want[512];

    (void) state;
    takes(cli_ssh_config_set("", "a.aml", "Host a.aml\n"), one);
    takes(cli_ssh_config_set(one, "a.aml", "Host A\n"), two);
    takes(cli_ssh_config_set(one, "a.aml", "Host a.aml\n"), one);
    snprintf(want, sizeof(want), "%s\n%s", mine, one);
    takes(cli_ssh_config_set(mine, "a.aml", "Host a.aml\n"), want);
    takes(cli_ssh_config_set(want, "b.aml", NULL), want);
    snprintf(text, sizeof(text), "%s\n", mine);
    takes(cli_ssh_config_set(want, "a.aml", NULL), text);
    takes(cli_ssh_config_set("no newline", "a.aml", "Host a.aml\n"),
          "no newline\n\n# >>> aml: a.aml\nHost a.aml\n# <<< aml: a.aml\n");

    /* another name that begins so, and one in the middle of a line */
    snprintf(text, sizeof(text), "# >>> aml: a.aml.b\nx # >>> aml: a.aml\n");
    snprintf(want, sizeof(want), "%s\n%s", text, one);
    takes(cli_ssh_config_set(text, "a.aml", "Host a.aml\n"), want);

    /* what has no end is not ours to cut */
    takes(cli_ssh_config_set("# >>> aml: a.aml\nHost a\nHost mine\n", "a.aml",
                             "Host a.aml\n"),
          NULL);
}


static void
includes(void **state)
{
    static const char mine[] = "# mine\nPort 22\nHost box\n  User me\n";
    char want[256];

    (void) state;
    takes(cli_ssh_config_include("", "/x y"), "Include \"/x y\"\n");
    snprintf(want, sizeof(want), "Include \"/x\"\n\n%s", mine);
    takes(cli_ssh_config_include(mine, "/x"), want);
    takes(cli_ssh_config_include(want, "/x"), want);
    takes(cli_ssh_config_include("# a\r\nInclude \"/x\"\r\n", "/x"),
          "# a\r\nInclude \"/x\"\r\n");

    /* within a Host it would hold for that one only */
    snprintf(want, sizeof(want), "Include \"/x\"\n\n%s",
             "Host box\nInclude \"/x\"\n");
    takes(cli_ssh_config_include("Host box\nInclude \"/x\"\n", "/x"), want);
    snprintf(want, sizeof(want), "Include \"/x\"\n\n%s",
             "match all\nInclude \"/x\"\n");
    takes(cli_ssh_config_include("match all\nInclude \"/x\"\n", "/x"), want);
}


static void
quotes(void **state)
{
    (void) state;
    takes(cli_ssh_quote("/usr/bin/aml"), "'/usr/bin/aml'");
    takes(cli_ssh_quote("/a b/it's 100%"), "'/a b/it'\\''s 100%%'");
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins),
        cmocka_unit_test(below),
        cmocka_unit_test(workspaces),
        cmocka_unit_test(minutes),
        cmocka_unit_test(commands),
        cmocka_unit_test_setup_teardown(directories, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replaces, set_up, tear_down),
        cmocka_unit_test(configurations),
        cmocka_unit_test(includes),
        cmocka_unit_test(quotes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
