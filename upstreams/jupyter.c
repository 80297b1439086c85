/*
 * Jupyter Server 2: JupyterLab at /lab, Notebook 7 at /tree.
 *
 * It has no token: the socket in the instance's private directory is the only
 * way in, and an empty token, unlike one that the gateway would add to every
 * request, leaves Jupyter's own XSRF and Origin checks on.
 */

#include "upstreams/command_line.h"
#include "upstreams/peer.h"

#include <string.h>

/*
 * A kernel's ipc sockets are "<runtime>/run/kernel-<uuid>-ipc-<n>", and
 * must fit into a socket address; what does not would fail at the first cell
 * that is run, in words that nobody understands.
 */
#define RUNTIME "run"
#define KERNEL_SOCKET_CHARS                                                    \
    (sizeof("/" RUNTIME                                                        \
            "/kernel-00000000-0000-0000-0000-000000000000-ipc-0") -            \
     1)

extern const aml_application_t aml_application_jupyter;

static int
jupyter_command(const aml_application_vars_t *vars, const char **argv,
                const char **envp, char *room, size_t size)
{
    aml_command_line_t w = aml_command_line(argv, envp, room, size);

    if (strlen(vars->socket) > AML_PEER_PATH_MAX ||
        !aml_command_line_fits(vars, KERNEL_SOCKET_CHARS)) {
        return -1;
    }

    aml_command_line_add(&w, "%s", vars->program);
    aml_command_line_add(&w, "server");
    aml_command_line_add(&w, "--ServerApp.sock=%s", vars->socket);
    aml_command_line_add(&w, "--ServerApp.sock_mode=0660");
    aml_command_line_add(&w, "--IdentityProvider.token=");
    aml_command_line_add(&w, "--ServerApp.allow_remote_access=True");
    aml_command_line_add(&w, "--ServerApp.trust_xheaders=True");
    aml_command_line_add(&w, "--ServerApp.open_browser=False");
    aml_command_line_add(&w, "--KernelManager.transport=ipc");
    aml_command_line_add(&w, "--ServerApp.root_dir=%s", vars->directory);
    if (vars->folder != NULL) {
        aml_command_line_add(&w, "--ServerApp.preferred_dir=%s", vars->folder);
    }
    aml_command_line_add(&w, "--ServerApp.default_url=/lab");
    aml_command_line_add(&w, "--ServerApp.terminals_enabled=True");

    /* Stopping is the instance's business: a server that stops itself would
     * only be started again. */
    aml_command_line_add(&w, "--ServerApp.quit_button=False");

    /* Whoever runs the machine updates it, and a lab may have no way out. */
    aml_command_line_add(
        &w, "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate");
    aml_command_line_add(&w, "--LabApp.news_url=None");

    if (vars->as_root) {
        aml_command_line_add(&w, "--ServerApp.allow_root=True");
    }

    aml_command_line_env(&w, envp);

    /* What the user set up on this machine for themselves stays out of the
     * instance, and what an instance sets up stays in it. */
    aml_command_line_add(&w, "JUPYTER_RUNTIME_DIR=%s/" RUNTIME, vars->runtime);
    aml_command_line_add(&w, "JUPYTER_DATA_DIR=%s/data", vars->runtime);
    aml_command_line_add(&w, "JUPYTER_CONFIG_DIR=%s/config", vars->runtime);
    aml_command_line_add(&w, "IPYTHONDIR=%s/ipython", vars->runtime);

    return aml_command_line_end(&w);
}


/*
 * JupyterLab asks for kernels, sessions, terminals and the directory that it
 * shows every few seconds, and its extensions for what they show.  All of that
 * only reads; who works there runs something, which is frames, or saves it.
 */
static int
jupyter_is_poll(aml_str_t method, aml_str_t path)
{
    static const char *const read[] = {"/api/", "/lab/api/", "/lsp/",
                                       "/metrics"};
    size_t i, n;

    if (!aml_str_eq(method, aml_str("GET")) &&
        !aml_str_eq(method, aml_str("HEAD"))) {
        return 0;
    }

    for (i = 0; i < sizeof(read) / sizeof(read[0]); i++) {
        n = strlen(read[i]);
        if (path.n >= n && memcmp(path.p, read[i], n) == 0) {
            return 1;
        }
    }

    return 0;
}


const aml_application_t aml_application_jupyter = {
    .name = "jupyter",
    .port = 8888,
    .on_demand = 0,
    .ready_path = "/api/status",
    .links = {{"Jupyter", "/tree"}, {"Jupyter Lab", "/lab"}},
    .command = jupyter_command,
    .is_poll = jupyter_is_poll,
};
