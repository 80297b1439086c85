/*
 * aml job submit, list, show, cancel, delete.
 */

#include "cli/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/create.h"
#include "cli/table.h"
#include "cli/text.h"

#define JOB_LIST 50 /* rows where nothing is said */


/* ---- submit ---- */

/*
 * What a shell is to make of it: one word is a shell's line as it stands,
 * several are a program and its arguments, each in quotes where it needs them.
 */
char *
cli_job_command(int argc, char **argv)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                                "UVWXYZ0123456789_@%+=:,./-";
    size_t size = 1;
    char *text, *p, *q;
    int i;

    if (argc == 1) {
        return strdup(argv[0]);
    }
    for (i = 0; i < argc; i++) {
        size += strlen(argv[i]) * 4 + 3;
    }
    text = malloc(size);
    if (text == NULL) {
        return NULL;
    }
    for (p = text, i = 0; i < argc; i++) {
        if (i > 0) {
            *p++ = ' ';
        }
        if (argv[i][0] != '\0' && argv[i][strspn(argv[i], plain)] == '\0') {
            p = stpcpy(p, argv[i]);
            continue;
        }
        *p++ = '\'';
        for (q = argv[i]; *q != '\0'; q++) {
            if (*q == '\'') {
                p = stpcpy(p, "'\\''");
            } else {
                *p++ = *q;
            }
        }
        *p++ = '\'';
    }
    *p = '\0';

    return text;
}


/* "job-20261127-120000-a1b2": one that says when. */
static int
job_name(char *name, size_t size)
{
    unsigned char random[4];
    time_t now = time(NULL);
    struct tm tm;

    if (getentropy(random, sizeof(random)) != 0 ||
        gmtime_r(&now, &tm) == NULL) {
        return -1;
    }
    snprintf(name, size, "job-%04d%02d%02d-%02d%02d%02d-%02x%02x%02x%02x",
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
             tm.tm_min, tm.tm_sec, random[0], random[1], random[2], random[3]);

    return 0;
}


/* --env NAME=VALUE, or NAME alone: its value here. */
static int
job_environment(cli_t *cli, json_t *properties)
{
    const char *given, *value;
    json_t *variables = json_object();
    char *name;
    size_t i;
    int rc = 0;

    for (i = 0;
         rc == 0 && (given = cli_option_each(&cli->args, "env", i)) != NULL;
         i++) {
        value = strchr(given, '=');
        name = value != NULL ? strndup(given, (size_t) (value - given))
                             : strdup(given);
        value = value != NULL ? value + 1 : getenv(given);
        if (name == NULL || name[0] == '\0' || value == NULL) {
            rc = cli_fail(CLI_EXIT_USAGE,
                          "--env wants NAME=VALUE, or the NAME of a variable "
                          "that is set: %s",
                          given);
        } else {
            json_object_set_new(variables, name, json_string(value));
        }
        free(name);
    }
    if (json_object_size(variables) > 0) {
        json_object_set(properties, "environmentVariables", variables);
    }
    json_decref(variables);

    return rc;
}


static int
job_properties(cli_t *cli, json_t *properties)
{
    const char *timeout = cli_option(&cli->args, "timeout");
    const char *image = cli_option(&cli->args, "image");
    const char *directory = cli_option(&cli->args, "directory");
    const char *experiment = cli_option(&cli->args, "experiment");
    char text[512];

    if (timeout != NULL) {
        if (cli_minutes(timeout, text, sizeof(text)) != 0) {
            return cli_fail(CLI_EXIT_USAGE,
                            "--timeout wants a time such as 30m or 2h");
        }
        json_object_set_new(properties, "limits",
                            json_pack("{s:s,s:s}", "jobLimitsType", "Command",
                                      "timeout", text));
    }
    if (image != NULL) {
        if ((size_t) snprintf(text, sizeof(text), "image:%s", image) >=
            sizeof(text)) {
            return cli_fail(CLI_EXIT_USAGE, "the image's name is too long");
        }
        json_object_set_new(properties, "environmentId", json_string(text));
    }
    if (directory != NULL) {
        json_object_set_new(properties, "properties",
                            json_pack("{s:s}", "workingDirectory", directory));
    }
    if (experiment != NULL) {
        json_object_set_new(properties, "experimentName",
                            json_string(experiment));
    }

    return job_environment(cli, properties);
}


/* Sent again where the answer was lost: the same name is the same job. */
static int
job_put(cli_t *cli, const char *name, const json_t *body, json_t **job)
{
    char *path = cli_path_of(cli, "jobs", name, "");
    cli_answer_t answer;
    int rc;

    *job = NULL;
    if (path == NULL) {
        return CLI_EXIT_USAGE;
    }
    rc = cli_call(cli, "PUT", path, body, &answer);
    if (rc == 0) {
        *job = json_loadb(answer.body, answer.n, 0, NULL);
    }
    cli_answer_clear(&answer);
    free(path);

    return rc;
}


int
cli_job_submit(cli_t *cli)
{
    const char *instance = cli_option(&cli->args, "instance");
    const char *name = cli_option(&cli->args, "name");
    char made[64], *command = NULL;
    json_t *properties = NULL, *body = NULL, *job = NULL;
    int rc;

    rc = cli_workspace_load(cli);
    if (rc != 0) {
        return rc;
    }
    if (instance == NULL) {
        return cli_fail(CLI_EXIT_USAGE, "on which instance? --instance NAME");
    }
    if (name == NULL) {
        if (job_name(made, sizeof(made)) != 0) {
            return cli_fail(CLI_EXIT_FAILED, "no random bytes");
        }
        name = made;
    }

    command = cli_job_command(cli->args.argc, cli->args.argv);
    properties = json_pack("{s:s,s:s,s:s}", "jobType", "Command", "computeId",
                           instance, "command", command != NULL ? command : "");
    body = json_pack("{s:O}", "properties", properties);
    rc = command == NULL || body == NULL
             ? cli_fail(CLI_EXIT_USAGE, "the command is no UTF-8")
             : job_properties(cli, properties);
    if (rc == 0) {
        rc = job_put(cli, name, body, &job);
    }
    free(command);
    json_decref(properties);
    json_decref(body);

    if (rc == 0 && cli_option(&cli->args, "wait") != NULL) {
        cli_note("%s", name);
        rc = cli_job_follow(cli, name, cli->json ? NULL : stdout);
    } else if (rc == 0) {
        rc = cli->json ? cli_print_json(job) : puts(name) < 0;
    }
    json_decref(job);

    return rc;
}


/* ---- list, show ---- */

int
cli_job_list(cli_t *cli)
{
    static const char *const headings[] = {"NAME", "STATUS", "INSTANCE",
                                           "EXIT", "AGO",    "COMMAND"};
    const char *instance = cli_option(&cli->args, "instance");
    const char *most = cli_option(&cli->args, "most"), *id;
    char ago[32], number[32], *path;
    json_t *list = NULL, *one, *exit_code;
    cli_table_t table;
    size_t i;
    int rc;

    rc = cli_workspace_load(cli);
    if (rc != 0) {
        return rc;
    }
    if (most != NULL &&
        (most[0] == '\0' || most[strspn(most, "0123456789")] != '\0' ||
         strlen(most) > 7)) {
        return cli_fail(CLI_EXIT_USAGE, "--most wants a number; 0 is all");
    }
    if (instance != NULL && !cli_name_is_safe(instance)) {
        return cli_fail(CLI_EXIT_USAGE, "\"%s\" is no instance's name",
                        instance);
    }
    path = cli_format("%s/jobs?listViewType=%s%s%s", cli->workspace,
                      cli_option(&cli->args, "all") ? "All" : "ActiveOnly",
                      instance != NULL ? "&compute=" : "",
                      instance != NULL ? instance : "");
    rc =
        path != NULL
            ? cli_list(cli, path,
                       most != NULL ? strtoul(most, NULL, 10) : JOB_LIST, &list)
            : cli_fail(CLI_EXIT_FAILED, "no memory");
    free(path);
    if (rc != 0) {
        return rc;
    }

    if (cli->json) {
        rc = cli_print_json(list);
        json_decref(list);
        return rc;
    }
    cli_table_begin(&table, 6, headings);
    json_array_foreach(list, i, one)
    {
        exit_code = cli_at(one, "properties.exitCode");
        number[0] = '\0';
        if (json_is_integer(exit_code)) {
            snprintf(number, sizeof(number), "%lld",
                     (long long) json_integer_value(exit_code));
        }
        id = strrchr(cli_str(one, "properties.computeId"), '/');
        cli_table_add(&table, cli_str(one, "name"));
        cli_table_add(&table, cli_str(one, "properties.status"));
        cli_table_add(&table, id != NULL ? id + 1 : "");
        cli_table_add(&table, number);
        cli_table_add(&table,
                      cli_ago(cli_str(one, "properties.times.submitted"), ago,
                              sizeof(ago)));
        cli_table_add(&table, cli_str(one, "properties.command"));
    }
    rc = cli_table_end(&table, stdout, cli_table_width());
    json_decref(list);

    return rc;
}


static void
job_print(const json_t *job)
{
    static const struct {
        const char *name, *path;
    } lines[] = {{"name", "name"},
                 {"status", "properties.status"},
                 {"message", "properties.message"},
                 {"instance", "properties.computeId"},
                 {"submitted", "properties.times.submitted"},
                 {"started", "properties.times.started"},
                 {"ended", "properties.times.ended"},
                 {"timeout", "properties.limits.timeout"},
                 {"image", "properties.environmentId"},
                 {"folder", "properties.folder"},
                 {"command", "properties.command"}};
    json_t *exit_code = cli_at(job, "properties.exitCode");
    char number[32];
    size_t i;

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cli_text_field(lines[i].name, cli_str(job, lines[i].path), 1);
    }
    if (json_is_integer(exit_code)) {
        snprintf(number, sizeof(number), "%lld",
                 (long long) json_integer_value(exit_code));
        cli_text_field("exit code", number, 0);
    }
}


int
cli_job_show(cli_t *cli)
{
    return cli_show(cli, "jobs", job_print);
}


/* ---- cancel, delete ---- */

/* Until it has ended, as cancelling takes its command's time. */
static int
job_ends(cli_t *cli)
{
    struct timespec pause = {0, 300000000};
    const char *status;
    json_t *job;
    char *path;
    int rc, ended = 0;

    path = cli_path_named(cli, "jobs", "", &rc);
    if (path == NULL) {
        return rc;
    }
    while (!ended) {
        rc = cli_get(cli, path, &job);
        if (rc != 0) {
            break;
        }
        status = cli_str(job, "properties.status");
        ended = strcmp(status, "Canceled") == 0 ||
                strcmp(status, "Completed") == 0 ||
                strcmp(status, "Failed") == 0;
        if (ended && cli->json) {
            rc = cli_print_json(job);
        } else if (ended) {
            cli_note("%s is %s.", cli->args.argv[0], status);
        } else {
            (void) nanosleep(&pause, NULL);
        }
        json_decref(job);
    }
    free(path);

    return rc;
}


int
cli_job_cancel(cli_t *cli)
{
    cli_answer_t answer;
    char *path;
    int rc;

    path = cli_path_named(cli, "jobs", "/cancel", &rc);
    if (path == NULL) {
        return rc;
    }
    rc = cli_call(cli, "POST", path, NULL, &answer);
    cli_answer_clear(&answer);
    free(path);

    return rc != 0 || cli_option(&cli->args, "no-wait") != NULL ? rc
                                                                : job_ends(cli);
}


int
cli_job_delete(cli_t *cli)
{
    cli_answer_t answer;
    char *path;
    int rc;

    path = cli_path_named(cli, "jobs", "", &rc);
    if (path == NULL) {
        return rc;
    }
    rc = cli_call(cli, "DELETE", path, NULL, &answer);
    if (rc == 0 && answer.status == 204) {
        rc = cli_fail(CLI_EXIT_NOT_FOUND, "there is no job \"%s\"",
                      cli->args.argv[0]);
    }
    cli_answer_clear(&answer);
    free(path);

    return rc;
}
