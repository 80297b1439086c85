/*
 * amld session: who is signed in, and ending that.
 */

#include "computes/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/label.h"
#include "auth/sign_in_list.h"
#include "auth/sign_ins.h"


static const char session_usage[] =
    "Usage: amld [-c FILE] session list [WHO]\n"
    "       amld [-c FILE] session end WHO\n"
    "       amld [-c FILE] session end --id UUID\n"
    "       amld [-c FILE] session end --all\n"
    "\n"
    "Sign-ins: of browsers, programs and command lines.  Whatever one of them\n"
    "has led to ends with it at once, on all instances.\n"
    "\n"
    "WHO is one of\n"
    "  --account NAME                a local account\n"
    "  --principal UUID              a principal\n"
    "  --subject TEXT --issuer NAME  who an issuer calls so; or --space TEXT,\n"
    "                                its namespace\n"
    "\n"
    "  --id UUID   the one that list prints first\n"
    "  --all       everybody's\n";

typedef struct {
    amld_cli_who_t who;
    const char *id;
    int all;
} session_args_t;

/* -1, or an exit status when there is nothing more to do. */
static int
session_args(session_args_t *args, int argc, char **argv, int end)
{
    const amld_cli_option_t options[] = {
        {"id", &args->id, NULL},
        {"all", NULL, &args->all},
        {NULL, NULL, NULL},
    };
    int named, status;

    memset(args, 0, sizeof(*args));

    status =
        amld_cli_options(argc, argv, session_usage, options, &args->who, NULL);
    if (status >= 0) {
        return status;
    }

    named = amld_cli_who_person(&args->who);

    if (named < 0 || (end ? named + (args->id != NULL) + args->all != 1
                          : args->id != NULL || args->all)) {
        return amld_cli_usage(session_usage, 1);
    }

    return -1;
}


static int
session_print(void *data, const amld_sign_in_t *s)
{
    char id[AML_UUID_TEXT + 1], created[AMLD_CLI_TIME_SIZE],
        seen[AMLD_CLI_TIME_SIZE], client[AMLD_LABEL_SIZE];

    (void) data;

    aml_uuid_format(&s->id, id);
    amld_label_client(s->method, s->agent, client);

    printf("%s  %s  %s  %-8s  ", id, amld_cli_time(s->created, created),
           amld_cli_time(s->seen, seen), s->method);
    amld_cli_print(s->name, strlen(s->name));
    fputs("  ", stdout);
    amld_cli_print(s->address, strlen(s->address));
    fputs("  ", stdout);
    amld_cli_print(client, strlen(client));
    putchar('\n');

    return 0;
}


/* Walks over the sign-ins that are meant. */
static int
session_walk(amld_cli_t *cli, const session_args_t *args,
             amld_sign_in_each_pt each, void *data)
{
    const aml_principal_id_t *whose;
    aml_principal_id_t room;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int status;

    rc = amld_cli_read(cli, &txn);
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    status = amld_cli_who_whose(cli->config, txn, &args->who, &room, &whose);
    if (status == AMLD_EXIT_OK) {
        rc = amld_sign_ins_each(txn, whose, each, data);
    }
    rc = amld_cli_end(cli, txn, rc);

    return rc == AML_REGISTRY_OK ? status : amld_cli_registry_fail(rc);
}


static int
session_list(const char *file, int argc, char **argv)
{
    session_args_t args;
    amld_cli_t cli;
    int status;

    status = session_args(&args, argc, argv, 0);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 0);
    if (status == AMLD_EXIT_OK) {
        status = session_walk(&cli, &args, session_print, NULL);
        amld_cli_close(&cli);
    }

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


static int
session_collect(void *data, const amld_sign_in_t *s)
{
    return amld_sign_in_list_add(data, &s->id, &s->principal);
}


static int
session_end_list(amld_cli_t *cli, const amld_sign_in_list_t *list)
{
    aml_registry_rc_t rc;
    size_t i, ended;

    rc = amld_sign_in_list_end(cli->registry, list, &ended);

    for (i = 0; i < ended; i++) {
        amld_cli_audit(cli, &(amld_audit_event_t){.event = "session-end",
                                                  .of = &list->all[i].principal,
                                                  .id = &list->all[i].id});
    }

    fprintf(stderr, "amld: %zu session%s ended\n", ended,
            ended == 1 ? "" : "s");

    return rc == AML_REGISTRY_OK ? AMLD_EXIT_OK : amld_cli_registry_fail(rc);
}


/* The one that --id names. */
static int
session_one(amld_cli_t *cli, const char *id, amld_sign_in_list_t *list)
{
    aml_principal_id_t wanted;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_sign_in_t s;
    json_t *json;

    if (aml_uuid_parse(aml_str_of(id), &wanted) != 0) {
        return amld_cli_fail(AMLD_EXIT_USAGE, "%s: is not a UUID", id);
    }

    rc = aml_registry_read(cli->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_get(txn, &wanted, &s, &json);
        if (rc == AML_REGISTRY_OK) {
            (void) session_collect(list, &s);
        }
        json_decref(json);
        aml_registry_end(txn);
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: there is no such session",
                             id);
    }

    return rc == AML_REGISTRY_OK ? AMLD_EXIT_OK : amld_cli_registry_fail(rc);
}


static int
session_end(const char *file, int argc, char **argv)
{
    amld_sign_in_list_t list = {0};
    session_args_t args;
    amld_cli_t cli;
    int status;

    status = session_args(&args, argc, argv, 1);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = args.id != NULL
                 ? session_one(&cli, args.id, &list)
                 : session_walk(&cli, &args, session_collect, &list);

    if (status == AMLD_EXIT_OK) {
        status = session_end_list(&cli, &list);
    }

    amld_sign_in_list_free(&list);
    amld_cli_close(&cli);

    return status;
}


int
amld_cli_session(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"list", session_list},
        {"end", session_end},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, session_usage, file, argc, argv);
}
