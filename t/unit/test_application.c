#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "upstreams/application.h"
#include "upstreams/peer.h"

static const aml_application_vars_t lab = {
    .program = "/opt/jupyter/bin/jupyter",
    .socket = "/run/aml/i/first-lab/jupyter.sock",
    .directory = "/srv/share/with a space",
    .runtime = "/run/aml/i/first-lab",
    .origin = "https://first-lab.instances.example.org",
};

static const aml_application_vars_t demand = {
    .program = "/opt/program",
    .socket = "/run/aml/i/first-lab/x.sock",
    .directory = "/srv/share",
    .folder = "/srv/share/Users/ada",
    .runtime = "/run/aml/i/first-lab",
    .origin = "https://first-lab-8080.instances.example.org:8443",
    .user = "ada",
};


static int
has(const char *const *list, const char *text)
{
    for (; *list != NULL; list++) {
        if (strcmp(*list, text) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
descriptors(void **state)
{
    const aml_application_t *a, *b;
    size_t i, k;

    (void) state;

    assert_non_null(aml_applications[0]);

    for (i = 0; aml_applications[i] != NULL; i++) {
        a = aml_applications[i];
        assert_true(a->port > 0 && a->port < 65536);
        assert_true((a->ready_path != NULL) != (a->ready_banner != NULL));
        assert_true(a->ready_path == NULL || a->ready_path[0] == '/');
        assert_true(!a->tunnel || a->ready_path == NULL);
        assert_non_null(a->command);
        assert_ptr_equal(aml_application_by_port(a->port), a);
        assert_ptr_equal(aml_application_by_name(aml_str_of(a->name)), a);
        for (k = 0; k < i; k++) {
            b = aml_applications[k];
            assert_int_not_equal(a->port, b->port);
            assert_string_not_equal(a->name, b->name);
        }
        for (k = 0; k < AML_APPLICATION_LINKS; k++) {
            if (a->links[k].display_name != NULL) {
                assert_int_equal(a->links[k].path[0], '/');
            }
        }
    }

    assert_null(aml_application_by_port(0));
    assert_null(aml_application_by_port(8889));
    assert_null(aml_application_by_name(aml_str("")));
    assert_null(aml_application_by_name(aml_str("Jupyter")));
    assert_null(aml_application_by_name(aml_str("jupyte")));
}


static void
jupyter(void **state)
{
    const aml_application_t *a = aml_application_by_port(8888);
    aml_application_vars_t vars = lab;
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    char room[4096];
    size_t i;

    (void) state;

    assert_non_null(a);
    assert_string_equal(a->name, "jupyter");
    assert_string_equal(a->ready_path, "/api/status");
    assert_int_equal(a->on_demand, 0);
    assert_string_equal(a->links[0].display_name, "Jupyter");
    assert_string_equal(a->links[0].path, "/tree");
    assert_string_equal(a->links[1].display_name, "Jupyter Lab");
    assert_string_equal(a->links[1].path, "/lab");
    assert_null(a->links[2].display_name);

    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_string_equal(argv[0], lab.program);
    assert_string_equal(argv[1], "server");
    assert_true(
        has(argv, "--ServerApp.sock=/run/aml/i/first-lab/jupyter.sock"));
    assert_true(has(argv, "--ServerApp.sock_mode=0660"));
    assert_true(has(argv, "--IdentityProvider.token="));
    assert_true(has(argv, "--ServerApp.allow_remote_access=True"));
    assert_true(has(argv, "--ServerApp.trust_xheaders=True"));
    assert_true(has(argv, "--ServerApp.open_browser=False"));
    assert_true(has(argv, "--KernelManager.transport=ipc"));
    assert_true(has(argv, "--ServerApp.root_dir=/srv/share/with a space"));
    assert_true(has(argv, "--ServerApp.default_url=/lab"));
    assert_false(has(argv, "--ServerApp.allow_root=True"));

    /* Nothing of it may open what the gateway keeps shut. */
    for (i = 0; argv[i] != NULL; i++) {
        assert_null(strstr(argv[i], "allow_origin"));
        assert_null(strstr(argv[i], "disable_check_xsrf"));
        assert_null(strstr(argv[i], ".ip="));
        assert_null(strstr(argv[i], ".port="));
    }

    assert_true(has(envp, "JUPYTER_RUNTIME_DIR=/run/aml/i/first-lab/run"));
    assert_true(has(envp, "JUPYTER_DATA_DIR=/run/aml/i/first-lab/data"));
    assert_true(has(envp, "JUPYTER_CONFIG_DIR=/run/aml/i/first-lab/config"));

    vars.as_root = 1;
    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_true(has(argv, "--ServerApp.allow_root=True"));
}


static void
without_room(void **state)
{
    const aml_application_t *a = aml_application_by_port(8888);
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    char room[4096], *tight;
    size_t size, needed = 0;

    (void) state;

    for (size = 0; size <= sizeof(room); size++) {
        if (a->command(&lab, argv, envp, room, size) == 0) {
            needed = size;
            break;
        }
    }
    assert_true(needed > 100 && needed < 2048);

    /* In exactly as much as it takes, so that a sanitizer sees more. */
    tight = malloc(needed);
    assert_non_null(tight);
    assert_int_equal(a->command(&lab, argv, envp, tight, needed), 0);
    free(tight);
    tight = malloc(needed - 1);
    assert_non_null(tight);
    assert_int_equal(a->command(&lab, argv, envp, tight, needed - 1), -1);
    free(tight);
}


/* A socket address has 107 bytes for the path; the gateway wants 8 of them. */
static void
long_paths(void **state)
{
    const aml_application_t *a = aml_application_by_port(8888);
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    aml_application_vars_t vars = lab;
    char room[4096], path[256], kernel[512];
    size_t n, longest;

    (void) state;

    vars.socket = path;
    for (n = 1, longest = 0; n < sizeof(path); n++) {
        memset(path, '/', n);
        path[n] = '\0';
        if (a->command(&vars, argv, envp, room, sizeof(room)) == 0) {
            longest = n;
        }
    }
    assert_int_equal(longest, AML_PEER_PATH_MAX);

    vars.socket = lab.socket;
    vars.runtime = path;
    for (n = 1, longest = 0; n < sizeof(path); n++) {
        memset(path, '/', n);
        path[n] = '\0';
        if (a->command(&vars, argv, envp, room, sizeof(room)) == 0) {
            longest = n;
        }
    }
    memset(path, '/', longest);
    path[longest] = '\0';
    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    n = (size_t) snprintf(kernel, sizeof(kernel),
                          "%s/kernel-01234567-89ab-cdef-0123-456789abcdef"
                          "-ipc-5",
                          envp[0] + strlen("JUPYTER_RUNTIME_DIR="));
    assert_int_equal(n, sizeof(((struct sockaddr_un *) 0)->sun_path) - 1);
}


static void
test_polls(void **state)
{
    static const struct {
        const char *method, *path;
        int poll;
    } asked[] = {
        {"GET", "/api/kernels", 1},
        {"HEAD", "/api/contents/a.ipynb", 1},
        {"GET", "/lsp/status", 1},
        {"GET", "/metrics", 1},
        {"PUT", "/api/contents/a.ipynb", 0},
        {"POST", "/api/sessions", 0},
        {"GET", "/lab", 0},
        {"GET", "/lab/tree/api/x", 0},
        {"GET", "/apix", 0},
        {"GET", "/api", 0},
        {"GET", "/files/data.csv", 0},
        {"", "", 0},
    };
    const aml_application_t *a = aml_application_by_port(8888);
    size_t k;

    (void) state;

    for (k = 0; k < sizeof(asked) / sizeof(asked[0]); k++) {
        assert_int_equal(
            a->is_poll(aml_str_of(asked[k].method), aml_str_of(asked[k].path)),
            asked[k].poll);
    }
}


static const aml_application_file_t *
file(const aml_application_file_t *files, const char *path)
{
    for (; files->path != NULL; files++) {
        if (strcmp(files->path, path) == 0) {
            return files;
        }
    }

    return NULL;
}


/* What is needed, each directory before what is in it, nothing outside of the
 * private directory. */
static void
files(const aml_application_t *a, aml_application_file_t *list, char *room,
      size_t size)
{
    size_t i, n;

    assert_int_equal(a->files(&demand, list, room, size), 0);

    for (n = 0; list[n].path != NULL; n++) {
        assert_true(n < AML_APPLICATION_FILES - 1);
        assert_int_not_equal(list[n].path[0], '/');
        assert_null(strstr(list[n].path, ".."));
        for (i = n + 1; list[i].path != NULL; i++) {
            assert_int_not_equal(
                strncmp(list[n].path, list[i].path, strlen(list[i].path)), 0);
        }
    }
    assert_true(n > 0);
}


static void
rstudio(void **state)
{
    const aml_application_t *a = aml_application_by_port(8787);
    aml_application_vars_t vars = demand;
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    aml_application_file_t list[AML_APPLICATION_FILES];
    char room[4096];
    size_t i;

    (void) state;

    assert_string_equal(a->name, "rstudio");
    assert_int_equal(a->on_demand, 1);
    assert_string_equal(a->links[0].display_name, "RStudio");
    assert_null(a->links[1].display_name);
    assert_string_equal(a->url_header, "X-RStudio-Request");
    assert_int_equal(a->own_location, 1);
    assert_int_equal(a->keep_alive, 1);
    assert_true(a->is_poll(aml_str("POST"), aml_str("/rpc/get_events")));
    assert_false(a->is_poll(aml_str("POST"), aml_str("/rpc/console_input")));
    assert_false(a->is_poll(aml_str("GET"), aml_str("/rpc/get_events")));

    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_string_equal(argv[0], "/opt/program");
    assert_true(has(argv, "--server-daemonize=0"));
    assert_true(has(argv, "--auth-none=1"));
    assert_true(has(argv, "--server-user=ada"));
    assert_true(has(argv, "--www-socket=/run/aml/i/first-lab/x.sock"));
    assert_true(has(argv, "--www-frame-origin=same"));
    assert_true(has(argv, "--www-verify-user-agent=0"));

    /* Its data directory is open to everybody: not so the one above. */
    assert_true(has(argv, "--server-data-dir=/run/aml/i/first-lab/run/rs"));
    assert_true(has(argv, "--secure-cookie-key-file=/run/aml/i/first-lab/"
                          "rstudio/secure-cookie-key"));
    assert_true(has(argv, "--database-config-file=/run/aml/i/first-lab/"
                          "rstudio/database.conf"));
    assert_true(has(argv, "--rsession-config-file=/run/aml/i/first-lab/"
                          "rstudio/rsession.conf"));

    /* Only where it listens for the gateway. */
    for (i = 0; argv[i] != NULL; i++) {
        assert_null(strstr(argv[i], "www-address"));
        assert_null(strstr(argv[i], "www-port"));
    }

    vars.user = NULL;
    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    for (i = 0; argv[i] != NULL; i++) {
        assert_null(strstr(argv[i], "--server-user"));
    }

    files(a, list, room, sizeof(room));
    assert_null(file(list, "rstudio")->text);
    assert_null(file(list, "run/rs")->text);
    assert_string_equal(file(list, "rstudio/database.conf")->text,
                        "provider=sqlite\n"
                        "directory=/run/aml/i/first-lab/rstudio\n");
    assert_non_null(strstr(file(list, "rstudio/rsession.conf")->text,
                           "session-default-working-dir=/srv/share/Users/ada"
                           "\n"));
    assert_int_equal(a->files(&demand, list, room, 20), -1);
}


static void
vscode(void **state)
{
    const aml_application_t *a = aml_application_by_port(8080);
    aml_application_vars_t vars = demand;
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    aml_application_file_t list[AML_APPLICATION_FILES];
    char room[4096];

    (void) state;

    assert_string_equal(a->name, "vscode");
    assert_int_equal(a->on_demand, 1);
    assert_string_equal(a->ready_path, "/healthz");
    assert_string_equal(a->links[0].display_name, "VS Code");
    assert_null(a->links[1].display_name);
    assert_null(a->url_header);
    assert_int_equal(a->keep_alive, 0);

    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_string_equal(argv[1], "--auth");
    assert_string_equal(argv[2], "none");
    assert_string_equal(argv[3], "--socket");
    assert_string_equal(argv[4], "/run/aml/i/first-lab/x.sock");
    assert_string_equal(argv[5], "--socket-mode");
    assert_string_equal(argv[6], "660");
    assert_true(has(argv, "--disable-telemetry"));
    assert_true(has(argv, "--disable-update-check"));
    assert_false(has(argv, "--bind-addr"));
    assert_true(has(argv, "/run/aml/i/first-lab/vscode/data"));
    assert_true(has(argv, "/srv/share/Users/ada"));
    assert_true(has(envp, "VSCODE_PROXY_URI=https://first-lab-{{port}}"
                          ".instances.example.org:8443/"));

    /* Of another host nothing is known. */
    vars.origin = "https://first-lab.instances.example.org";
    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_null(envp[0]);
    vars.origin = "https://x";
    assert_int_equal(a->command(&vars, argv, envp, room, sizeof(room)), 0);
    assert_null(envp[0]);

    files(a, list, room, sizeof(room));
    assert_null(file(list, "vscode")->text);
    assert_string_equal(file(list, "vscode/config.yaml")->text, "auth: none\n");
}


/* Sockets that they make themselves must fit as well. */
static void
long_paths_on_demand(void **state)
{
    static const struct {
        unsigned port;
        const char *socket;
    } made[] = {
        {8787, "/run/rs/rstudio-rsession/ada-d"},
        {8080, "/tmp/vscode-0123456789abcdef0123456789abcdef0123456789.sock"},
    };
    const aml_application_t *a;
    const char *argv[AML_APPLICATION_ARGS], *envp[AML_APPLICATION_ARGS];
    aml_application_vars_t vars = demand;
    char room[4096], path[256];
    size_t i, n, longest;

    (void) state;

    for (i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        a = aml_application_by_port(made[i].port);
        vars.runtime = path;
        for (n = 1, longest = 0; n < sizeof(path); n++) {
            memset(path, '/', n);
            path[n] = '\0';
            if (a->command(&vars, argv, envp, room, sizeof(room)) == 0) {
                longest = n;
            }
        }
        assert_int_equal(longest + strlen(made[i].socket),
                         sizeof(((struct sockaddr_un *) 0)->sun_path) - 1);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors),  cmocka_unit_test(jupyter),
        cmocka_unit_test(without_room), cmocka_unit_test(long_paths),
        cmocka_unit_test(test_polls),   cmocka_unit_test(rstudio),
        cmocka_unit_test(vscode),       cmocka_unit_test(long_paths_on_demand),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
