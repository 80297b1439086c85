/*
 * amld token: personal access tokens, seen and revoked.  Nobody but their
 * person makes them.
 */

#include "computes/cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/personal_tokens.h"

static const char token_usage[] =
    "Usage: amld [-c FILE] token list [WHO]\n"
    "       amld [-c FILE] token revoke WHO\n"
    "       amld [-c FILE] token revoke --id UUID\n"
    "\n"
    "Personal access tokens.  One that is revoked lets nothing through any\n"
    "more, and what is open by it is closed at once.\n"
    "\n"
    "WHO is one of\n"
    "  --account NAME                a local account\n"
    "  --principal UUID              a principal\n"
    "  --subject TEXT --issuer NAME  who an issuer calls so; or --space TEXT,\n"
    "                                its namespace\n"
    "\n"
    "  --id UUID   the one that list prints first\n";

typedef struct {
    amld_cli_who_t who;
    const char *id;
} token_args_t;


/* -1, or an exit status when there is nothing more to do. */
static int
token_args(token_args_t *args, int argc, char **argv, int revoke)
{
    const amld_cli_option_t options[] = {
        {"id", &args->id, NULL},
        {NULL, NULL, NULL},
    };
    int named, status;

    memset(args, 0, sizeof(*args));

    status =
        amld_cli_options(argc, argv, token_usage, options, &args->who, NULL);
    if (status >= 0) {
        return status;
    }

    named = amld_cli_who_person(&args->who);

    if (named < 0 ||
        (revoke ? named + (args->id != NULL) != 1 : args->id != NULL)) {
        return amld_cli_usage(token_usage, 1);
    }

    return -1;
}


/* ---- list ---- */

static void
print_scopes(const aml_str_t *list, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        fputs(i == 0 ? "" : ",", stdout);
        amld_cli_print(list[i].p, list[i].n);
    }
    fputs(n == 0 ? "none" : "", stdout);
}


static int
token_print(void *data, const aml_personal_token_t *t, const uint8_t hash[32])
{
    char id[AML_UUID_TEXT + 1], principal[AML_UUID_TEXT + 1],
        expires[AMLD_CLI_TIME_SIZE], seen[AMLD_CLI_TIME_SIZE];

    aml_uuid_format(&t->id, id);
    aml_uuid_format(&t->principal, principal);

    printf("%s  %s  %-20s  %-20s  ", id, principal,
           amld_cli_time(t->expires, expires),
           amld_cli_time(amld_personal_token_seen(data, hash), seen));
    if (t->instance_count == 0 && !(t->flags & AML_TOKEN_NO_INSTANCES)) {
        fputs("all", stdout);
    } else {
        print_scopes(t->instances, t->instance_count);
    }
    fputs("  ", stdout);
    print_scopes(t->actions, t->action_count);
    fputs("  ", stdout);
    amld_cli_print(t->label.p, t->label.n);
    putchar('\n');

    return 0;
}


static int
token_list(const char *file, int argc, char **argv)
{
    const aml_principal_id_t *whose;
    aml_principal_id_t room;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    token_args_t args;
    amld_cli_t cli;
    int status;

    status = token_args(&args, argc, argv, 0);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        status = amld_cli_who_whose(cli.config, txn, &args.who, &room, &whose);
        if (status == AMLD_EXIT_OK) {
            rc = amld_personal_tokens_each(txn, whose, token_print, txn);
        }
        rc = amld_cli_end(&cli, txn, rc);
    }
    amld_cli_close(&cli);

    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


/* ---- revoke ---- */

typedef struct {
    aml_principal_id_t id;
    aml_principal_id_t principal;
    int found;
} token_find_t;


static int
token_find(void *data, const aml_personal_token_t *t, const uint8_t hash[32])
{
    token_find_t *find = data;

    (void) hash;

    if (aml_principal_eq(&t->id, &find->id)) {
        find->principal = t->principal;
        find->found = 1;
    }

    return find->found;
}


static aml_registry_rc_t
token_revoke_one(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                 size_t *n)
{
    token_find_t find = {.id = *id};
    aml_registry_rc_t rc;

    rc = amld_personal_tokens_each(txn, NULL, token_find, &find);
    if (rc == AML_REGISTRY_OK && find.found) {
        *n = 1;
        rc = amld_personal_token_revoke(txn, &find.principal, id);
    }

    return rc;
}


static int
token_revoke_in(amld_cli_t *cli, const token_args_t *args,
                const aml_principal_id_t *id, size_t *n)
{
    const aml_principal_id_t *whose;
    aml_principal_id_t room;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    int status;

    rc = aml_registry_write(cli->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    status = amld_cli_who_whose(cli->config, txn, &args->who, &room, &whose);
    if (status != AMLD_EXIT_OK) {
        aml_registry_end(txn);
        return status;
    }

    rc = whose != NULL ? amld_personal_tokens_end_of(txn, whose, n)
                       : token_revoke_one(txn, id, n);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    return rc == AML_REGISTRY_OK ? AMLD_EXIT_OK : amld_cli_registry_fail(rc);
}


/* Of one, or of all of somebody's. */
static void
token_audit(const amld_cli_t *cli, const token_args_t *args,
            const aml_principal_id_t *id)
{
    const char *whose = args->who.account != NULL     ? args->who.account
                        : args->who.principal != NULL ? args->who.principal
                                                      : args->who.subject;

    amld_cli_audit(
        cli, &(amld_audit_event_t){.event = "token-revoke",
                                   .id = args->id != NULL ? id : NULL,
                                   .target = args->id != NULL ? NULL : whose});
}


static int
token_revoke(const char *file, int argc, char **argv)
{
    aml_principal_id_t id;
    token_args_t args;
    amld_cli_t cli;
    size_t n = 0;
    int status;

    status = token_args(&args, argc, argv, 1);
    if (status >= 0) {
        return status;
    }

    if (args.id != NULL && aml_uuid_parse(aml_str_of(args.id), &id) != 0) {
        return amld_cli_fail(AMLD_EXIT_USAGE, "%s: is not a UUID", args.id);
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = token_revoke_in(&cli, &args, &id, &n);
    if (status == AMLD_EXIT_OK && n > 0) {
        token_audit(&cli, &args, &id);
    }
    amld_cli_close(&cli);

    if (status != AMLD_EXIT_OK) {
        return status;
    }
    if (args.id != NULL && n == 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: there is no such token",
                             args.id);
    }
    fprintf(stderr, "amld: %zu token%s revoked\n", n, n == 1 ? "" : "s");

    return AMLD_EXIT_OK;
}


int
amld_cli_token(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"list", token_list},
        {"revoke", token_revoke},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, token_usage, file, argc, argv);
}
