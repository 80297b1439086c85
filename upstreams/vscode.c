/*
 * VS Code in the browser: code-server.
 *
 * Without a password: the socket in the instance's private directory is the
 * only way in.  Websockets it takes from its own pages only, by Origin and the
 * host that the gateway says.
 */

#include "upstreams/command_line.h"
#include "upstreams/peer.h"

#include <string.h>

#define PORT 8080
#define PORT_SUFFIX "-8080"
#define KEPT "vscode"

/* Extensions listen below TMPDIR on sockets with these names; vscode-ipc- with
 * a UUID is shorter. */
#define SOCKET_CHARS                                                           \
    (sizeof("/tmp/vscode-0123456789abcdef0123456789abcdef0123456789.sock") - 1)

extern const aml_application_t aml_application_vscode;


/* "https://name-{{port}}.apps/", by which it shows people ports of programs of
 * theirs.  The host's first label ends in our own port. */
static void
vscode_proxy(aml_command_line_t *w, const char *origin)
{
    const char *dot = strchr(origin, '.');
    size_t n = sizeof(PORT_SUFFIX) - 1;

    if (dot == NULL || (size_t) (dot - origin) < n ||
        memcmp(dot - n, PORT_SUFFIX, n) != 0) {
        return;
    }

    aml_command_line_add(w, "VSCODE_PROXY_URI=%.*s-{{port}}%s/",
                         (int) ((size_t) (dot - origin) - n), origin, dot);
}


static int
vscode_command(const aml_application_vars_t *vars, const char **argv,
               const char **envp, char *room, size_t size)
{
    aml_command_line_t w = aml_command_line(argv, envp, room, size);

    if (strlen(vars->socket) > AML_PEER_PATH_MAX ||
        !aml_command_line_fits(vars, SOCKET_CHARS)) {
        return -1;
    }

    aml_command_line_add(&w, "%s", vars->program);
    aml_command_line_add(&w, "--auth");
    aml_command_line_add(&w, "none");
    aml_command_line_add(&w, "--socket");
    aml_command_line_add(&w, "%s", vars->socket);
    /* The gateway may be of the directory's group only. */
    aml_command_line_add(&w, "--socket-mode");
    aml_command_line_add(&w, "660");
    aml_command_line_add(&w, "--disable-telemetry");
    aml_command_line_add(&w, "--disable-update-check");

    /* What the user set up on this machine for themselves stays out of the
     * instance, and what an instance sets up stays in it. */
    aml_command_line_add(&w, "--config");
    aml_command_line_add(&w, "%s/" KEPT "/config.yaml", vars->runtime);
    aml_command_line_add(&w, "--user-data-dir");
    aml_command_line_add(&w, "%s/" KEPT "/data", vars->runtime);
    aml_command_line_add(&w, "--extensions-dir");
    aml_command_line_add(&w, "%s/" KEPT "/extensions", vars->runtime);
    aml_command_line_add(&w, "--session-socket");
    aml_command_line_add(&w, "%s/run/vscode.sock", vars->runtime);

    if (vars->folder != NULL) {
        aml_command_line_add(&w, "%s", vars->folder);
    }

    aml_command_line_env(&w, envp);
    vscode_proxy(&w, vars->origin);

    return aml_command_line_end(&w);
}


static int
vscode_files(const aml_application_vars_t *vars, aml_application_file_t *files,
             char *room, size_t size)
{
    (void) vars;
    (void) room;
    (void) size;

    /* It would write one with a password that nobody asks for. */
    files[0] = (aml_application_file_t){KEPT, NULL};
    files[1] = (aml_application_file_t){KEPT "/config.yaml", "auth: none\n"};
    files[2] = (aml_application_file_t){NULL, NULL};

    return 0;
}


/*
 * What its page sends by itself can't be told from what a person does: the
 * messages that keep the connection are followed, every minute, by some that
 * are as long as a letter that is typed.  So a page that is open is in use.
 */
const aml_application_t aml_application_vscode = {
    .name = "vscode",
    .port = PORT,
    .on_demand = 1,
    .ready_path = "/healthz",
    .links = {{"VS Code", "/"}},
    .command = vscode_command,
    .files = vscode_files,
};
