/*
 * Jupyter Server 2: JupyterLab at /lab, Notebook 7 at /tree.
 *
 * It has no token: the socket in the instance's private directory is the only
 * way in, and an empty token, unlike one that the gateway would add to every
 * request, leaves Jupyter's own XSRF and Origin checks on.
 */

#include "upstreams/application.h"
#include "upstreams/peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/*
 * A kernel's ipc sockets are "<runtime>/run/kernel-<uuid>-ipc-<n>", and
 * must fit into a socket address; what does not would fail at the first cell
 * that is run, in words that nobody understands.
 */
#define RUNTIME "run"
#define KERNEL_SOCKET_CHARS                                                    \
    (sizeof("/" RUNTIME "/kernel-00000000-0000-0000-0000-000000000000-ipc-0"))

extern const aml_application_t aml_application_jupyter;

typedef struct {
    char *p;
    size_t left;
    const char **list;
    size_t slots; /* with the one for NULL */
    int failed;
} writer_t;


static void __attribute__((format(printf, 2, 3)))
add(writer_t *w, const char *format, ...)
{
    va_list args;
    int n;

    if (w->failed || w->slots < 2) {
        w->failed = 1;
        return;
    }

    va_start(args, format);
    n = vsnprintf(w->p, w->left, format, args);
    va_end(args);

    if (n < 0 || (size_t) n >= w->left) {
        w->failed = 1;
        return;
    }

    *w->list++ = w->p;
    *w->list = NULL;
    w->slots--;
    w->p += n + 1;
    w->left -= (size_t) n + 1;
}


static int
jupyter_command(const aml_application_vars_t *vars, const char **argv,
                const char **envp, char *room, size_t size)
{
    writer_t w = {room, size, argv, AML_APPLICATION_ARGS, 0};
    const size_t path = sizeof(((struct sockaddr_un *) 0)->sun_path);

    argv[0] = NULL;
    envp[0] = NULL;

    if (strlen(vars->socket) > AML_PEER_PATH_MAX ||
        strlen(vars->runtime) + KERNEL_SOCKET_CHARS > path) {
        return -1;
    }

    add(&w, "%s", vars->program);
    add(&w, "server");
    add(&w, "--ServerApp.sock=%s", vars->socket);
    add(&w, "--ServerApp.sock_mode=0660");
    add(&w, "--IdentityProvider.token=");
    add(&w, "--ServerApp.allow_remote_access=True");
    add(&w, "--ServerApp.trust_xheaders=True");
    add(&w, "--ServerApp.open_browser=False");
    add(&w, "--KernelManager.transport=ipc");
    add(&w, "--ServerApp.root_dir=%s", vars->directory);
    if (vars->folder != NULL) {
        add(&w, "--ServerApp.preferred_dir=%s", vars->folder);
    }
    add(&w, "--ServerApp.default_url=/lab");
    add(&w, "--ServerApp.terminals_enabled=True");

    /* Stopping is the instance's business: a server that stops itself would
     * only be started again. */
    add(&w, "--ServerApp.quit_button=False");

    /* Whoever runs the machine updates it, and a lab may have no way out. */
    add(&w, "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate");
    add(&w, "--LabApp.news_url=None");

    if (vars->as_root) {
        add(&w, "--ServerApp.allow_root=True");
    }

    w.list = envp;
    w.slots = AML_APPLICATION_ARGS;

    /* What the user set up on this machine for themselves stays out of the
     * instance, and what an instance sets up stays in it. */
    add(&w, "JUPYTER_RUNTIME_DIR=%s/" RUNTIME, vars->runtime);
    add(&w, "JUPYTER_DATA_DIR=%s/data", vars->runtime);
    add(&w, "JUPYTER_CONFIG_DIR=%s/config", vars->runtime);
    add(&w, "IPYTHONDIR=%s/ipython", vars->runtime);

    return w.failed ? -1 : 0;
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
