/*
 * aml instance list, show, start, stop, restart, delete.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"

#define INNER "properties.properties."


static const char *
instance_idle(const json_t *compute)
{
    const char *text = cli_str(compute, INNER "idleTimeBeforeShutdown");

    return text[0] != '\0' ? text : "-";
}


int
cli_instance_list(cli_t *cli)
{
    static const char *const headings[] = {"NAME",  "STATE", "SIZE",
                                           "OWNER", "LAST",  "AGO"};
    char last[128], ago[32], *path;
    cli_table_t table;
    json_t *list = NULL, *one;
    size_t i;
    int rc;

    rc = cli_workspace_load(cli);
    if (rc != 0) {
        return rc;
    }
    path = cli_format(
        "%s/computes%s", cli->workspace,
        cli_option(&cli->args, "mine") != NULL ? "?assignedUser=me" : "");
    rc = path != NULL ? cli_list(cli, path, 0, &list)
                      : cli_fail(CLI_EXIT_FAILED, "no memory");
    free(path);
    if (rc != 0) {
        return rc;
    }

    if (cli->json) {
        rc = cli_print_json(list);
    } else {
        cli_table_begin(&table, 6, headings);
        json_array_foreach(list, i, one)
        {
            snprintf(last, sizeof(last), "%.60s %.60s",
                     cli_str(one, INNER "lastOperation.operationName"),
                     cli_str(one, INNER "lastOperation.operationStatus"));
            cli_table_add(&table, cli_str(one, "name"));
            cli_table_add(&table, cli_str(one, INNER "state"));
            cli_table_add(&table, cli_str(one, INNER "vmSize"));
            cli_table_add(&table, cli_str(one, INNER "createdBy.userName"));
            cli_table_add(&table, last);
            cli_table_add(
                &table,
                cli_ago(cli_str(one, INNER "lastOperation.operationTime"), ago,
                        sizeof(ago)));
        }
        rc = cli_table_end(&table, stdout, cli_table_width());
    }
    json_decref(list);

    return rc;
}


static void
instance_print(const json_t *compute)
{
    json_t *one;
    size_t i;

    cli_text_field("name", cli_str(compute, "name"), 0);
    cli_text_field("state", cli_str(compute, INNER "state"), 0);
    cli_text_field("size", cli_str(compute, INNER "vmSize"), 0);
    cli_text_field("owner", cli_str(compute, INNER "createdBy.userName"), 0);
    cli_text_field("created", cli_str(compute, "properties.createdOn"), 0);
    cli_text_field("idle stop", instance_idle(compute), 0);
    cli_text_field("ssh", cli_str(compute, INNER "sshSettings.sshPublicAccess"),
                   0);
    cli_text_field("last",
                   cli_str(compute, INNER "lastOperation.operationName"), 0);
    cli_text_field("", cli_str(compute, INNER "lastOperation.operationStatus"),
                   0);
    cli_text_field("", cli_str(compute, INNER "lastOperation.operationTime"),
                   0);
    json_array_foreach(cli_at(compute, INNER "applications"), i, one)
    {
        cli_text_field(cli_str(one, "displayName"), cli_str(one, "endpointUri"),
                       0);
    }
    (void) fflush(stdout);
    cli_progress_errors(compute);
}


int
cli_instance_show(cli_t *cli)
{
    return cli_show(cli, "computes", instance_print);
}


int
cli_instance_wait(cli_t *cli, const char *operation)
{
    const char *name = cli->args.argv[0];
    json_t *compute = NULL;
    int rc = 0;

    if (cli_option(&cli->args, "no-wait") == NULL) {
        rc = cli_progress(cli, name, operation, &compute);
        if (rc == 0 && cli->json && compute != NULL) {
            rc = cli_print_json(compute);
        } else if (rc == 0 && !cli->json) {
            cli_note("%s is %s.", name,
                     compute != NULL ? cli_str(compute, INNER "state")
                                     : "deleted");
        }
    }
    json_decref(compute);

    return rc;
}


static int
instance_do(cli_t *cli, const char *method, const char *tail,
            const char *operation)
{
    cli_answer_t answer;
    char *path;
    int rc;

    path = cli_path_named(cli, "computes", tail, &rc);
    if (path == NULL) {
        return rc;
    }
    rc = cli_call(cli, method, path, NULL, &answer);
    free(path);
    cli_answer_clear(&answer);

    return rc != 0 ? rc : cli_instance_wait(cli, operation);
}


int
cli_instance_start(cli_t *cli)
{
    return instance_do(cli, "POST", "/start", "Start");
}


int
cli_instance_stop(cli_t *cli)
{
    return instance_do(cli, "POST", "/stop", "Stop");
}


int
cli_instance_restart(cli_t *cli)
{
    return instance_do(cli, "POST", "/restart", "Restart");
}


int
cli_instance_delete(cli_t *cli)
{
    char typed[64] = "";
    const char *name = cli->args.argv[0];

    if (cli_option(&cli->args, "yes") == NULL) {
        if (!isatty(STDIN_FILENO)) {
            return cli_fail(CLI_EXIT_USAGE,
                            "nobody can be asked here: --yes to delete it");
        }
        (void) fprintf(stderr,
                       "What runs on it ends; files are kept.  Type the name "
                       "to delete it: ");
        if (fgets(typed, sizeof(typed), stdin) == NULL) {
            typed[0] = '\0';
        }
        typed[strcspn(typed, "\r\n")] = '\0';
        if (strcmp(typed, name) != 0) {
            return cli_fail(CLI_EXIT_USAGE, "nothing was deleted");
        }
    }

    return instance_do(cli, "DELETE", "?underlyingResourceAction=Delete",
                       "Delete");
}
