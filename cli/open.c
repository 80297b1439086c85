/*
 * aml open: an application of an instance in a browser.
 */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/text.h"

static const struct {
    const char *name;
    unsigned port;
    const char *path;
} open_known[] = {{"lab", 8888, "/lab"},
                  {"tree", 8888, "/tree"},
                  {"rstudio", 8787, "/"},
                  {"vscode", 8080, "/"}};


/* $BROWSER, or what the desktop has; only where there is somebody to see it. */
static void
open_browser(const char *url)
{
    const char *browser = getenv("BROWSER");
    pid_t pid;
    int status;

    if (browser == NULL || browser[0] == '\0') {
        if (getenv("DISPLAY") == NULL && getenv("WAYLAND_DISPLAY") == NULL) {
            return;
        }
        browser = "xdg-open";
    }
    (void) fflush(stdout);
    pid = fork();
    if (pid == 0) {
        /* that it is ignored would be inherited */
        (void) signal(SIGPIPE, SIG_DFL);
        (void) execlp(browser, browser, url, (char *) NULL);
        _exit(127);
    }
    if (pid > 0) {
        (void) waitpid(pid, &status, 0);
    }
}


int
cli_open(cli_t *cli)
{
    const char *what = cli->args.argc > 1 ? cli->args.argv[1] : "lab";
    const char *path = "/";
    unsigned long port = 0;
    char *end, *origin, *url;
    size_t i;
    int rc;

    for (i = 0; i < sizeof(open_known) / sizeof(open_known[0]); i++) {
        if (strcmp(what, open_known[i].name) == 0) {
            port = open_known[i].port;
            path = open_known[i].path;
        }
    }
    if (port == 0 && what[0] >= '1' && what[0] <= '9') {
        port = strtoul(what, &end, 10);
        port = *end == '\0' && port <= 65535 ? port : 0;
    }
    if (port == 0) {
        return cli_fail(CLI_EXIT_USAGE,
                        "\"%s\" is none of lab, tree, rstudio, vscode, and no "
                        "port",
                        what);
    }

    origin = cli_app_origin(cli, cli->args.argv[0], (unsigned) port, &rc);
    if (origin == NULL) {
        return rc;
    }
    url = cli_format("%s%s", origin, path);
    free(origin);
    if (url == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "no memory");
    }
    cli_text_write(stdout, url, strlen(url), 0);
    (void) putchar('\n');
    if (cli_option(&cli->args, "print") == NULL && isatty(STDOUT_FILENO)) {
        open_browser(url);
    }
    free(url);

    return CLI_EXIT_OK;
}
