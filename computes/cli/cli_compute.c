/*
 * amld compute: what instances there are, and how each of them is.
 */

#include "computes/cli/cli.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/files/logfile.h"
#include "computes/instances/computes.h"
#include "computes/instances/step.h"

#define COMPUTE_TAIL 20 /* lines of a log */


static const char compute_usage[] =
    "Usage: amld [-c FILE] compute list [--state STATE] [--creator NAME]\n"
    "                                   [--json]\n"
    "       amld [-c FILE] compute show NAME [--json]\n"
    "\n"
    "Compute instances, of all workspaces.  list has a line for each: name,\n"
    "state, size, creator, workspace, what was done last and when, and what "
    "is\n"
    "wrong.  show has all of one but what its set-up scripts say, with the\n"
    "ends of its logs.\n"
    "\n"
    "  --state STATE   only those in it, such as Running or Unusable\n"
    "  --creator NAME  only those of a person, by name or principal\n"
    "  --json          one document a line, as the registry has it, without "
    "that\n"
    "\n"
    "Instances are changed by the API (docs/computes.md), also while they are\n"
    "shown here.\n";

typedef struct {
    const char *state;
    const char *creator;
    const char *name;
    int json;
    unsigned long found;
    int failed;
    const amld_config_t *config;
} compute_args_t;


/* -1, or an exit status when there is nothing more to do. */
static int
compute_args(compute_args_t *args, int argc, char **argv, int show)
{
    const amld_cli_option_t options[] = {
        {"state", &args->state, NULL},
        {"creator", &args->creator, NULL},
        {"json", NULL, &args->json},
        {NULL, NULL, NULL},
    };
    int status;

    memset(args, 0, sizeof(*args));

    status = amld_cli_options(argc, argv, compute_usage, options, NULL,
                              show ? &args->name : NULL);
    if (status >= 0) {
        return status;
    }

    return show && (args->name == NULL || args->state != NULL ||
                    args->creator != NULL)
               ? amld_cli_usage(compute_usage, 1)
               : -1;
}


static void
compute_string(const char *text)
{
    amld_cli_print(text, strlen(text));
}


/* What is meant, and no more of it than its first line. */
static void
compute_line(const json_t *doc)
{
    const char *workspace, *error;
    const json_t *last;

    last = json_object_get(doc, "lastOperation");
    workspace = strrchr(amld_compute_str(doc, "workspace"), '/');
    error = amld_compute_str(json_array_get(json_object_get(doc, "errors"), 0),
                             "message");

    printf("%-24s  %-12s  ", amld_compute_str(doc, "name"),
           amld_compute_str(doc, "state"));
    compute_string(
        amld_compute_str(json_object_get(doc, "requested"), "vmSize"));
    fputs("  ", stdout);
    compute_string(amld_compute_str(doc, "creatorName"));
    printf("  %s  %s %s %s", workspace != NULL ? workspace + 1 : "-",
           amld_compute_str(last, "name"), amld_compute_str(last, "status"),
           amld_compute_str(last, "time"));
    if (error[0] != '\0') {
        fputs("  ", stdout);
        amld_cli_print(error, strcspn(error, "\n"));
    }
    putchar('\n');
}


static void
compute_json(const json_t *doc)
{
    char *text;

    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (text != NULL) {
        puts(text);
    }
    free(text);
}


static int
compute_wanted(const compute_args_t *args, const json_t *doc)
{
    if (args->name != NULL) {
        return strcasecmp(args->name, amld_compute_str(doc, "name")) == 0;
    }

    return (args->state == NULL ||
            strcasecmp(args->state, amld_compute_str(doc, "state")) == 0) &&
           (args->creator == NULL ||
            strcmp(args->creator, amld_compute_str(doc, "creatorName")) == 0 ||
            strcasecmp(args->creator, amld_compute_str(doc, "creator")) == 0);
}


static void
compute_log(const char *runtime, const char *name)
{
    char path[PATH_MAX + 64], tail[8192];

    snprintf(path, sizeof(path), "%s/%s.log", runtime, name);
    if (amld_logfile_tail(path, COMPUTE_TAIL, tail, sizeof(tail)) == 0) {
        return;
    }

    printf("%s\n", path);
    fputs(tail, stdout);
    if (tail[strlen(tail) - 1] != '\n') {
        putchar('\n');
    }
}


/* The ends of logs, as far as whoever asks may read them. */
static void
compute_logs(const compute_args_t *args, const json_t *doc)
{
    char runtime[PATH_MAX];
    size_t i;

    if (amld_compute_runtime(args->config, doc, runtime, sizeof(runtime)) !=
        0) {
        return;
    }

    for (i = 0; i < AMLD_STEP_COUNT; i++) {
        compute_log(runtime, amld_step_name((amld_step_kind_t) i));
    }
    for (i = 0; aml_applications[i] != NULL; i++) {
        compute_log(runtime, aml_applications[i]->name);
    }
}


/* What a person's scripts say, and are told, is theirs. */
static void
compute_leave_out(json_t *doc)
{
    const char *name;
    json_t *script;

    json_object_foreach(
        json_object_get(
            json_object_get(json_object_get(doc, "requested"), "setupScripts"),
            "scripts"),
        name, script)
    {
        (void) json_object_del(script, "scriptData");
        (void) json_object_del(script, "scriptArguments");
    }
}


static void
compute_whole(const compute_args_t *args, const json_t *doc)
{
    char *text;

    text = json_dumps(doc, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (text != NULL) {
        puts(text);
    }
    free(text);

    compute_logs(args, doc);
}


static int
compute_each(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    compute_args_t *args;

    args = data;

    doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(doc)) {
        (void) amld_cli_fail(AMLD_EXIT_FAILED, "%.*s: is damaged", (int) key.n,
                             key.p);
        args->failed = 1;

    } else if (compute_wanted(args, doc)) {
        args->found++;
        compute_leave_out(doc);
        if (args->json) {
            compute_json(doc);
        } else if (args->name != NULL) {
            compute_whole(args, doc);
        } else {
            compute_line(doc);
        }
    }

    json_decref(doc);

    return 0;
}


static int
compute_run(const char *file, compute_args_t *args)
{
    amld_cli_t cli;
    int status;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    args->config = cli.config;

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("compute/"), aml_str(""),
                               compute_each, args);
        rc = amld_cli_end(&cli, txn, rc);
    }
    amld_cli_close(&cli);

    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return amld_cli_registry_fail(rc);
    }
    if (args->name != NULL && args->found == 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "%s: there is no such instance; amld compute list "
                             "has those there are",
                             args->name);
    }

    return fflush(stdout) == 0 && !args->failed ? AMLD_EXIT_OK
                                                : AMLD_EXIT_FAILED;
}


static int
compute_list(const char *file, int argc, char **argv)
{
    compute_args_t args;
    int status;

    status = compute_args(&args, argc, argv, 0);

    return status >= 0 ? status : compute_run(file, &args);
}


static int
compute_show(const char *file, int argc, char **argv)
{
    compute_args_t args;
    int status;

    status = compute_args(&args, argc, argv, 1);

    return status >= 0 ? status : compute_run(file, &args);
}


int
amld_cli_compute(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"list", compute_list},
        {"show", compute_show},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, compute_usage, file, argc, argv);
}
