/*
 * amld job: what jobs there are, and removing those that have ended, for who
 * runs the gateway; people delete their own by the API.
 */

#include "computes/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "computes/jobs/job_remove.h"

#define JOB_DAYS_MOST 36500
#define JOB_STEP 100000 /* jobs looked at in a call */

static const char job_usage[] =
    "Usage: amld [-c FILE] job list [WHO] [--workspace NAME] [--id NAME]\n"
    "                               [--status STATUS] [--json]\n"
    "       amld [-c FILE] job remove [WHO] [--workspace NAME] [--id NAME]\n"
    "                               [--older DAYS] [--all]\n"
    "\n"
    "Jobs, of all workspaces.  list has a line for each: name, status, "
    "creator,\n"
    "instance, workspace, when it was submitted and when it has ended.  "
    "remove\n"
    "has the registry forget those that have ended and are all that is said;\n"
    "others are left, and so are the jobs' directories, with their logs.\n"
    "\n"
    "WHO is one of\n"
    "  --account NAME                a local account\n"
    "  --principal UUID              a principal\n"
    "  --subject TEXT --issuer NAME  who an issuer calls so; or --space TEXT,\n"
    "                                its namespace\n"
    "\n"
    "  --workspace NAME  those of one workspace\n"
    "  --id NAME         the job of that name\n"
    "  --status STATUS   those in it, such as Running or Completed\n"
    "  --older DAYS      those that have ended so many days ago, or before\n"
    "  --all             all that have ended\n"
    "  --json            one document a line, without what was to be run\n";

typedef struct {
    amld_cli_who_t who;
    amld_job_which_t which;
    const char *status;
    const char *older; /* as `which.before` */
    int json;
    int all;
    int failed;
    char creator[AML_UUID_TEXT + 1];
    const amld_cli_t *cli;
} job_args_t;

static int job_args(job_args_t *args, int argc, char **argv, int remove);
static int job_days(const char *text, int64_t *before);
static int job_whose(const amld_cli_t *cli, job_args_t *args);
static int job_list(const char *file, int argc, char **argv);
static int job_each(void *data, aml_str_t key, aml_str_t value);
static void job_line(const json_t *doc);
static void job_json(json_t *doc);
static int job_remove(const char *file, int argc, char **argv);
static void job_removed(void *data, const json_t *doc);


int
amld_cli_job(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"list", job_list},
        {"remove", job_remove},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, job_usage, file, argc, argv);
}


/* -1, or an exit status when there is nothing more to do. */
static int
job_args(job_args_t *args, int argc, char **argv, int remove)
{
    const amld_cli_option_t options[] = {
        {"workspace", &args->which.workspace, NULL},
        {"id", &args->which.name, NULL},
        {"status", &args->status, NULL},
        {"older", &args->older, NULL},
        {"all", NULL, &args->all},
        {"json", NULL, &args->json},
        {NULL, NULL, NULL},
    };
    int named, status;

    memset(args, 0, sizeof(*args));

    status = amld_cli_options(argc, argv, job_usage, options, &args->who, NULL);
    if (status >= 0) {
        return status;
    }

    if (args->older != NULL &&
        job_days(args->older, &args->which.before) != 0) {
        return amld_cli_fail(AMLD_EXIT_USAGE,
                             "%s: is no number of days, 1 to %d", args->older,
                             JOB_DAYS_MOST);
    }

    named = amld_cli_who_person(&args->who);

    if (named < 0 || (remove ? args->status != NULL || args->json
                             : args->all || args->older != NULL)) {
        return amld_cli_usage(job_usage, 1);
    }

    /* All there are is not what one gets by leaving something out. */
    if (remove && args->all == (named == 1 || args->which.name != NULL ||
                                args->older != NULL)) {
        return amld_cli_usage(job_usage, 1);
    }

    return -1;
}


static int
job_days(const char *text, int64_t *before)
{
    char *end;
    long days;

    days = strtol(text, &end, 10);
    if (end == text || *end != '\0' || days < 1 || days > JOB_DAYS_MOST) {
        return -1;
    }

    *before = ((int64_t) time(NULL) - (int64_t) days * 86400) * 1000;

    return 0;
}


/* 0, or an exit status after saying what is wrong. */
static int
job_whose(const amld_cli_t *cli, job_args_t *args)
{
    int status;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    aml_principal_id_t room;
    const aml_principal_id_t *whose;

    args->cli = cli;

    rc = aml_registry_read(cli->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    status = amld_cli_who_whose(cli->config, txn, &args->who, &room, &whose);
    aml_registry_end(txn);

    if (status == AMLD_EXIT_OK && whose != NULL) {
        aml_uuid_format(whose, args->creator);
        args->which.creator = args->creator;
    }

    return status;
}


static int
job_list(const char *file, int argc, char **argv)
{
    int status;
    amld_cli_t cli;
    job_args_t args;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    status = job_args(&args, argc, argv, 0);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = job_whose(&cli, &args);
    if (status != AMLD_EXIT_OK) {
        amld_cli_close(&cli);
        return status;
    }

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("job/"), aml_str(""), job_each,
                               &args);
        rc = amld_cli_end(&cli, txn, rc);
    }
    amld_cli_close(&cli);

    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return amld_cli_registry_fail(rc);
    }

    return fflush(stdout) == 0 && !args.failed ? AMLD_EXIT_OK
                                               : AMLD_EXIT_FAILED;
}


static int
job_each(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    job_args_t *args;

    args = data;

    if (amld_job_parse(value, &doc) != AML_REGISTRY_OK) {
        (void) amld_cli_fail(AMLD_EXIT_FAILED, "%.*s: is damaged", (int) key.n,
                             key.p);
        args->failed = 1;
        return 0;
    }

    if (amld_job_is_one(&args->which, doc) &&
        (args->status == NULL ||
         strcasecmp(args->status, amld_compute_str(doc, "status")) == 0)) {
        if (args->json) {
            job_json(doc);
        } else {
            job_line(doc);
        }
    }
    json_decref(doc);

    return 0;
}


static void
job_line(const json_t *doc)
{
    char submitted[AMLD_CLI_TIME_SIZE], ended[AMLD_CLI_TIME_SIZE];
    const char *workspace, *creator;

    workspace = strrchr(amld_compute_str(doc, "workspace"), '/');
    creator = amld_compute_str(doc, "creatorName");

    printf("%-24s  %-15s  ", amld_compute_str(doc, "name"),
           amld_compute_str(doc, "status"));
    amld_cli_print(creator, strlen(creator));
    printf("  %s  %s  %s  %s\n", amld_compute_str(doc, "computeName"),
           workspace != NULL ? workspace + 1 : "-",
           amld_cli_time(amld_job_time(doc, "submitted") / 1000, submitted),
           amld_cli_time(amld_job_time(doc, "ended") / 1000, ended));
}


/* What a person has run, what it was given, and what it has written, which a
 * message has behind its first line, is theirs. */
static void
job_json(json_t *doc)
{
    char *text;
    const char *message;
    json_t *requested;

    requested = json_object_get(doc, "requested");
    (void) json_object_del(requested, "command");
    (void) json_object_del(requested, "environmentVariables");

    message = amld_compute_str(doc, "message");
    if (strchr(message, '\n') != NULL) {
        (void) json_object_set_new(
            doc, "message", json_stringn(message, strcspn(message, "\n")));
    }

    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (text != NULL) {
        puts(text);
    }
    free(text);
}


static int
job_remove(const char *file, int argc, char **argv)
{
    char from[AML_REGISTRY_KEY_MAX + 1] = "";
    int status;
    size_t n, total;
    amld_cli_t cli;
    job_args_t args;
    aml_registry_rc_t rc;

    status = job_args(&args, argc, argv, 1);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = job_whose(&cli, &args);
    if (status != AMLD_EXIT_OK) {
        amld_cli_close(&cli);
        return status;
    }

    total = 0;
    do {
        rc = amld_jobs_remove(cli.registry, &args.which, JOB_STEP, from,
                              job_removed, &args, &n);
        total += n;
    } while (rc == AML_REGISTRY_OK && from[0] != '\0');
    amld_cli_close(&cli);

    fprintf(stderr, "amld: %zu job%s removed\n", total, total == 1 ? "" : "s");

    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }
    if (args.which.name != NULL && total == 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "%s: there is no such job that has ended",
                             args.which.name);
    }

    return AMLD_EXIT_OK;
}


static void
job_removed(void *data, const json_t *doc)
{
    char scope[1024];
    const job_args_t *args;
    aml_principal_id_t of;
    int known;

    args = data;
    known =
        aml_uuid_parse(aml_str_of(amld_compute_str(doc, "creator")), &of) == 0;

    (void) snprintf(scope, sizeof(scope), "%s/jobs/%s",
                    amld_compute_str(doc, "workspace"),
                    amld_compute_str(doc, "name"));

    amld_cli_audit(
        args->cli,
        &(amld_audit_event_t){
            .event = "job",
            .of = known ? &of : NULL,
            .target = amld_compute_str(doc, "name"),
            .action =
                "Microsoft.MachineLearningServices/workspaces/jobs/delete",
            .scope = scope});
}
