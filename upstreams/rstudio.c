/*
 * RStudio Server, the open source one, from 2024.12, which first could listen
 * on a unix socket.
 *
 * It asks nobody who they are: the socket in the instance's private directory
 * is the only way in.  What it keeps while it runs is open to every account of
 * the machine by its own choice, so it is below "run", which is not.
 */

#include "upstreams/command_line.h"
#include "upstreams/peer.h"

#include <string.h>

/*
 * Its sessions listen on "<data directory>/rstudio-rsession/<account>-d".
 */
#define DATA "run/rs"
#define SESSION_SOCKET "/" DATA "/rstudio-rsession/"
#define SESSION_SUFFIX "-d"
#define KEPT "rstudio"

extern const aml_application_t aml_application_rstudio;


static int
rstudio_command(const aml_application_vars_t *vars, const char **argv,
                const char **envp, char *room, size_t size)
{
    aml_command_line_t w = aml_command_line(argv, envp, room, size);
    const char *user = vars->user != NULL ? vars->user : "";

    if (strlen(vars->socket) > AML_PEER_PATH_MAX ||
        !aml_command_line_fits(vars, sizeof(SESSION_SOCKET SESSION_SUFFIX) - 1 +
                                         strlen(user))) {
        return -1;
    }

    aml_command_line_add(&w, "%s", vars->program);
    aml_command_line_add(&w, "--server-daemonize=0");
    aml_command_line_add(&w, "--auth-none=1");

    /* Root would change to an account of the package's own. */
    if (*user != '\0') {
        aml_command_line_add(&w, "--server-user=%s", user);
    }

    aml_command_line_add(&w, "--www-socket=%s", vars->socket);

    /* It is shown in its own pages' frames; who else may show it is the
     * gateway's to say. */
    aml_command_line_add(&w, "--www-frame-origin=same");
    aml_command_line_add(&w, "--www-verify-user-agent=0");
    aml_command_line_add(
        &w, "--secure-cookie-key-file=%s/" KEPT "/secure-cookie-key",
        vars->runtime);
    aml_command_line_add(&w, "--server-data-dir=%s/" DATA, vars->runtime);
    aml_command_line_add(&w, "--server-pid-file=%s/run/rserver.pid",
                         vars->runtime);
    aml_command_line_add(&w, "--database-config-file=%s/" KEPT "/database.conf",
                         vars->runtime);
    aml_command_line_add(&w, "--rsession-config-file=%s/" KEPT "/rsession.conf",
                         vars->runtime);

    return aml_command_line_end(&w);
}


static int
rstudio_files(const aml_application_vars_t *vars, aml_application_file_t *files,
              char *room, size_t size)
{
    const char *list[2];
    const char *folder = vars->folder != NULL ? vars->folder : vars->directory;
    aml_command_line_t w = {room, size, list, 2, 0};

    files[0] = (aml_application_file_t){KEPT, NULL};
    files[1] = (aml_application_file_t){DATA, NULL};
    files[2] = (aml_application_file_t){
        KEPT "/database.conf",
        aml_command_line_text(&w, "provider=sqlite\ndirectory=%s/" KEPT "\n",
                              vars->runtime)};
    files[3] = (aml_application_file_t){
        KEPT "/rsession.conf",
        aml_command_line_text(&w,
                              "session-default-working-dir=%s\n"
                              "session-default-new-project-dir=%s\n",
                              folder, folder)};
    files[4] = (aml_application_file_t){NULL, NULL};

    return aml_command_line_end(&w);
}


/* Its page waits for events all the time. */
static int
rstudio_is_poll(aml_str_t method, aml_str_t path)
{
    return aml_str_eq(method, aml_str("POST")) &&
           (aml_str_eq(path, aml_str("/rpc/get_events")) ||
            aml_str_eq(path, aml_str("/events/get_events")));
}


/*
 * A terminal says "b" every ten seconds; what is typed begins with "a".  The
 * page that is up is one that begins no session.
 */
const aml_application_t aml_application_rstudio = {
    .name = "rstudio",
    .port = 8787,
    .on_demand = 1,
    .ready_path = "/unsupported_browser.htm",
    .links = {{"RStudio", "/"}},
    .url_header = "X-RStudio-Request",
    .own_location = 1,
    .keep_alive = 1,
    .command = rstudio_command,
    .files = rstudio_files,
    .is_poll = rstudio_is_poll,
};
