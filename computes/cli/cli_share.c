/*
 * amld share: the directories of workspaces' files, and which they are.
 */

#include "computes/cli/cli.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "computes/files/share_mark.h"

static const char share_usage[] =
    "Usage: amld [-c FILE] share list\n"
    "       amld [-c FILE] share accept WORKSPACE\n"
    "\n"
    "Workspaces' shares.  amld knows each by a file " AMLD_SHARE_MARK
    " at its top, and\n"
    "starts nothing on a directory that is not the share that it knows: it may "
    "be\n"
    "one that is not mounted.  list has a line for each: workspace, share, and "
    "what\n"
    "is wrong with it.  accept makes what is there now the workspace's share, "
    "as after\n"
    "its files were moved without that file.\n"
    "\n"
    "  -h, --help   this\n";

static int share_list(const char *file, int argc, char **argv);
static int share_accept(const char *file, int argc, char **argv);
static const amld_workspace_t *
share_workspace(const amld_config_t *c, const char *name);


int
amld_cli_share(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"list", share_list},
        {"accept", share_accept},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, share_usage, file, argc, argv);
}


/* It looks as amld does, and so makes known what is used for the first time. */
static int
share_list(const char *file, int argc, char **argv)
{
    char said[PATH_MAX + 512];
    size_t i;
    amld_cli_t cli;
    int status;
    const amld_workspace_t *w;
    amld_share_state_t state;

    status = amld_cli_options(argc, argv, share_usage, NULL, NULL, NULL);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    for (i = 0; i < cli.config->workspace_count; i++) {
        w = &cli.config->workspaces[i];
        state = amld_share_look(cli.registry, w, NULL, said, sizeof(said));
        printf("%-24s  %s  %s\n", w->name, w->share,
               said[0] != '\0' ? said : "good");
        if (state != AMLD_SHARE_GOOD) {
            status = AMLD_EXIT_FAILED;
        }
    }
    amld_cli_close(&cli);

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


static int
share_accept(const char *file, int argc, char **argv)
{
    char err[PATH_MAX + 512];
    const char *name;
    amld_cli_t cli;
    int status;
    const amld_workspace_t *w;

    name = NULL;
    status = amld_cli_options(argc, argv, share_usage, NULL, NULL, &name);
    if (status >= 0) {
        return status;
    }
    if (name == NULL) {
        return amld_cli_usage(share_usage, 1);
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    w = share_workspace(cli.config, name);
    if (w == NULL) {
        status = amld_cli_fail(AMLD_EXIT_FAILED,
                               "%s: there is no such workspace, or more than "
                               "one",
                               name);
    } else if (amld_share_accept(cli.registry, w, err, sizeof(err)) != 0) {
        status = amld_cli_fail(AMLD_EXIT_FAILED, "%s: %s", w->name, err);
    } else {
        amld_cli_audit(&cli, &(amld_audit_event_t){.event = "share",
                                                   .target = w->share,
                                                   .action = "accept",
                                                   .scope = w->id});
        printf("%s: %s is its share\n", w->name, w->share);
    }
    amld_cli_close(&cli);

    return status;
}


/* By its name where that is one's alone, or by its id. */
static const amld_workspace_t *
share_workspace(const amld_config_t *c, const char *name)
{
    size_t i;
    const amld_workspace_t *w, *found;

    for (i = 0, found = NULL; i < c->workspace_count; i++) {
        w = &c->workspaces[i];
        if (strcasecmp(w->id, name) == 0) {
            return w;
        }
        if (strcasecmp(w->name, name) == 0) {
            if (found != NULL) {
                return NULL;
            }
            found = w;
        }
    }

    return found;
}
