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
        assert_int_equal(a->ready_path[0], '/');
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


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors),  cmocka_unit_test(jupyter),
        cmocka_unit_test(without_room), cmocka_unit_test(long_paths),
        cmocka_unit_test(test_polls),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
