/*
 * What the sub-commands share, and `amld registry`.
 */

#include "computes/cli/cli.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "computes/amld.h"
#include "registry/dump.h"


aml_registry_t *
amld_registry_open(const amld_config_t *config)
{
    aml_registry_t *registry = NULL;
    aml_registry_rc_t rc;
    gid_t gid = (gid_t) -1;
    struct group *group;

    if (config->registry_group != NULL) {
        group = getgrnam(config->registry_group);
        if (group == NULL) {
            amld_log(AMLD_LOG_ERROR, "registry_group: no such group \"%s\"",
                     config->registry_group);
            return NULL;
        }
        gid = group->gr_gid;
    }

    rc = aml_registry_open_writer(config->registry, config->registry_size, gid,
                                  &registry);
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "registry %s: %s", config->registry,
                 aml_registry_strerror(rc));
        return NULL;
    }

    return registry;
}


int
amld_cli_open(amld_cli_t *cli, const char *file, int write)
{
    aml_registry_rc_t rc;

    memset(cli, 0, sizeof(*cli));

    cli->config = amld_config_read(file);
    if (cli->config == NULL) {
        return AMLD_EXIT_FAILED;
    }

    if (write) {
        cli->registry = amld_registry_open(cli->config);
    } else {
        rc = aml_registry_open_reader(cli->config->registry, &cli->registry);
        if (rc != AML_REGISTRY_OK) {
            cli->registry = NULL;
            (void) amld_cli_fail(AMLD_EXIT_FAILED, "registry %s: %s",
                                 cli->config->registry,
                                 aml_registry_strerror(rc));
        }
    }

    if (cli->registry == NULL) {
        amld_cli_close(cli);
        return AMLD_EXIT_FAILED;
    }

    return AMLD_EXIT_OK;
}


void
amld_cli_close(amld_cli_t *cli)
{
    if (cli->registry != NULL) {
        aml_registry_close(cli->registry);
    }
    amld_config_free(cli->config);
    memset(cli, 0, sizeof(*cli));
}


int
amld_cli_keep(amld_cli_t *cli)
{
    FILE *kept;

    kept = open_memstream(&cli->text, &cli->length);
    if (kept == NULL) {
        return -1;
    }

    cli->out = stdout;
    stdout = kept;

    return 0;
}


int
amld_cli_kept(amld_cli_t *cli)
{
    int failed;
    FILE *kept;

    kept = stdout;
    stdout = cli->out;

    failed = ferror(kept) != 0;
    failed |= fclose(kept) != 0;
    if (failed) {
        errno = ENOMEM;
    } else if (fwrite(cli->text, 1, cli->length, stdout) != cli->length) {
        failed = 1;
    }
    free(cli->text);

    return failed ? -1 : 0;
}


aml_registry_rc_t
amld_cli_read(amld_cli_t *cli, aml_registry_txn_t **txn)
{
    aml_registry_rc_t rc;

    rc = aml_registry_read(cli->registry, txn);
    if (rc == AML_REGISTRY_OK && amld_cli_keep(cli) != 0) {
        aml_registry_end(*txn);
        rc = AML_REGISTRY_FAILED;
    }

    return rc;
}


aml_registry_rc_t
amld_cli_end(amld_cli_t *cli, aml_registry_txn_t *txn, aml_registry_rc_t rc)
{
    aml_registry_end(txn);

    return amld_cli_kept(cli) != 0 && rc == AML_REGISTRY_OK
               ? AML_REGISTRY_FAILED
               : rc;
}


void
amld_cli_audit(const amld_cli_t *cli, const amld_audit_event_t *event)
{
    amld_audit_command(cli->config->audit, event);
}


int
amld_cli_fail(int status, const char *format, ...)
{
    va_list args;

    fputs("amld: ", stderr);
    va_start(args, format);
    (void) vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);

    return status;
}


int
amld_cli_registry_fail(aml_registry_rc_t rc)
{
    return amld_cli_fail(AMLD_EXIT_FAILED, "%s", aml_registry_strerror(rc));
}


int
amld_cli_usage(const char *usage, int error)
{
    fputs(usage, error ? stderr : stdout);

    return error ? AMLD_EXIT_USAGE : AMLD_EXIT_OK;
}


int
amld_cli_dispatch(const amld_cli_command_t *commands, const char *usage,
                  const char *file, int argc, char **argv)
{
    const amld_cli_command_t *command;

    if (argc < 2) {
        return amld_cli_usage(usage, 1);
    }

    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return amld_cli_usage(usage, 0);
    }

    for (command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, argv[1]) == 0) {
            return command->run(file, argc - 1, argv + 1);
        }
    }

    (void) amld_cli_fail(AMLD_EXIT_USAGE, "there is no command \"%s %s\"",
                         argv[0], argv[1]);

    return amld_cli_usage(usage, 1);
}


const char *
amld_cli_time(int64_t seconds, char text[AMLD_CLI_TIME_SIZE])
{
    time_t t = (time_t) seconds;
    struct tm tm;

    if (seconds == 0 || gmtime_r(&t, &tm) == NULL ||
        strftime(text, AMLD_CLI_TIME_SIZE, "%Y-%m-%d %H:%M:%SZ", &tm) == 0) {
        (void) snprintf(text, AMLD_CLI_TIME_SIZE, "-");
    }

    return text;
}


/* ---- amld registry ---- */

static const char registry_usage[] =
    "Usage: amld [-c FILE] registry dump [--json]\n"
    "\n"
    "Prints what is in the registry, secrets left out.\n"
    "\n"
    "  --json   as one JSON object\n";


static int
registry_dump(const char *file, int argc, char **argv)
{
    aml_registry_rc_t rc;
    amld_cli_t cli;
    int json = 0, status;

    status = amld_cli_options(
        argc, argv, registry_usage,
        (const amld_cli_option_t[]){{"json", NULL, &json}, {NULL, NULL, NULL}},
        NULL, NULL);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_registry_dump(cli.registry, stdout, json);
    if (rc == AML_REGISTRY_OK && fflush(stdout) != 0) {
        rc = AML_REGISTRY_FAILED;
    }
    if (rc != AML_REGISTRY_OK) {
        status = amld_cli_fail(AMLD_EXIT_FAILED, "registry %s: %s",
                               cli.config->registry, aml_registry_strerror(rc));
    }
    amld_cli_close(&cli);

    return status;
}


int
amld_cli_registry(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"dump", registry_dump},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, registry_usage, file, argc, argv);
}
