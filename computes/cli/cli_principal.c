/*
 * amld principal: whoever has, or could have, an identity here.
 */

#include "computes/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/personal_tokens.h"
#include "auth/principals.h"
#include "auth/sign_ins.h"
#include "computes/amld.h"

static const char principal_usage[] =
    "Usage: amld [-c FILE] principal id WHO\n"
    "       amld [-c FILE] principal list\n"
    "       amld [-c FILE] principal disable|enable|revoke WHO\n"
    "\n"
    "WHO is one of\n"
    "  --account NAME                    a local account\n"
    "  --principal UUID, or UUID alone   a principal\n"
    "  --subject TEXT --issuer NAME      who an issuer calls so\n"
    "  --group NAME --issuer NAME        a group of an issuer\n"
    "  --app-role NAME --issuer NAME     an app role of an issuer\n"
    "\n"
    "The issuer is a section of the configuration; --space TEXT in its place\n"
    "is its namespace, for Entra the tenant.\n"
    "\n"
    "  id        prints the UUID\n"
    "  list      prints those that have a record\n"
    "  disable   refuses whatever they come with, and ends their sessions\n"
    "  enable    undoes it; they have to sign in again\n"
    "  revoke    ends their sessions and voids the tokens they have now\n";


/* -1, or an exit status when there is nothing more to do. */
static int
principal_args(amld_cli_who_t *who, int argc, char **argv)
{
    const char *alone;
    int status;

    memset(who, 0, sizeof(*who));

    status = amld_cli_options(argc, argv, principal_usage, NULL, who, &alone);
    if (status >= 0) {
        return status;
    }

    if (alone != NULL && who->principal != NULL) {
        return amld_cli_usage(principal_usage, 1);
    }
    who->principal = alone != NULL ? alone : who->principal;

    return amld_cli_who_named(who) == 1 ? -1
                                        : amld_cli_usage(principal_usage, 1);
}


static int
principal_id(const char *file, int argc, char **argv)
{
    char text[AML_UUID_TEXT + 1];
    aml_registry_txn_t *txn;
    amld_cli_whom_t whom;
    aml_registry_rc_t rc;
    amld_cli_who_t who;
    amld_cli_t cli;
    int status;

    status = principal_args(&who, argc, argv);
    if (status >= 0) {
        return status;
    }

    /* what is derived needs no registry */
    if (who.account == NULL && who.issuer == NULL) {
        status = amld_cli_who_find(NULL, NULL, &who, &whom);

    } else {
        status = amld_cli_open(&cli, file, 0);
        if (status != AMLD_EXIT_OK) {
            return status;
        }
        rc = aml_registry_read(cli.registry, &txn);
        if (rc != AML_REGISTRY_OK) {
            status = amld_cli_registry_fail(rc);
        } else {
            status = amld_cli_who_find(cli.config, txn, &who, &whom);
            aml_registry_end(txn);
        }
        amld_cli_close(&cli);
    }

    if (status == AMLD_EXIT_OK) {
        aml_uuid_format(&whom.id, text);
        printf("%s\n", text);
    }

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


static int
principal_print(void *data, aml_str_t key, aml_str_t value)
{
    aml_principal_t p;

    (void) data;

    if (key.n < AML_UUID_TEXT ||
        aml_principal_decode(value, &p) != AML_RECORD_OK) {
        (void) amld_cli_fail(AMLD_EXIT_FAILED, "%.*s: can't be read",
                             (int) key.n, key.p);
        return 0;
    }

    amld_cli_print(key.p + key.n - AML_UUID_TEXT, AML_UUID_TEXT);
    printf("  %-8s  ", p.flags & AML_PRINCIPAL_DISABLED ? "disabled"
                       : p.flags & AML_PRINCIPAL_GROUP  ? "group"
                                                        : "");
    amld_cli_print(p.name.p, p.name.n);
    fputs("  ", stdout);
    amld_cli_print(p.issuer.p, p.issuer.n);
    putchar('\n');

    return 0;
}


static int
principal_list(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_cli_t cli;
    int status;

    if (argc > 1) {
        return amld_cli_usage(principal_usage, strcmp(argv[1], "--help") != 0);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("principal/"), (aml_str_t){NULL, 0},
                               principal_print, NULL);
        rc = amld_cli_end(&cli, txn, rc);
    }
    if (rc != AML_REGISTRY_OK) {
        status = amld_cli_registry_fail(rc);
    }
    amld_cli_close(&cli);

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


typedef enum {
    PRINCIPAL_DISABLE,
    PRINCIPAL_ENABLE,
    PRINCIPAL_REVOKE
} principal_change_t;


/*
 * Also of one without a record: tokens need none, and whoever is refused must
 * be refused by something.
 */
static aml_registry_rc_t
principal_write(aml_registry_txn_t *txn, const amld_cli_whom_t *whom,
                principal_change_t change, int64_t now)
{
    amld_principal_t p;
    aml_registry_rc_t rc;
    size_t ended;

    rc = amld_principal_load(txn, &whom->id, &p);

    if (rc == AML_REGISTRY_NOTFOUND && change != PRINCIPAL_ENABLE) {
        p.name = strdup(whom->group ? whom->label : "");
        p.issuer = strdup(whom->space);
        p.flags = whom->group ? AML_PRINCIPAL_GROUP : 0;
        errno = ENOMEM;
        rc = p.name != NULL && p.issuer != NULL ? AML_REGISTRY_OK
                                                : AML_REGISTRY_FAILED;
    }

    if (rc == AML_REGISTRY_OK) {
        if (change == PRINCIPAL_ENABLE) {
            p.flags &= ~AML_PRINCIPAL_DISABLED;
        } else {
            amld_principal_void(&p, now);
        }
        if (change == PRINCIPAL_DISABLE) {
            p.flags |= AML_PRINCIPAL_DISABLED;
        }
        rc = amld_principal_store(txn, &whom->id, &p);
    }
    amld_principal_clear(&p);

    if (rc != AML_REGISTRY_OK || change == PRINCIPAL_ENABLE) {
        return rc;
    }

    rc = amld_sign_ins_end_of(txn, &whom->id, NULL, &ended);

    return rc == AML_REGISTRY_OK
               ? amld_personal_tokens_end_of(txn, &whom->id, NULL)
               : rc;
}


static int
principal_apply(amld_cli_t *cli, const amld_cli_who_t *who,
                principal_change_t change)
{
    static const char *const done[] = {"is disabled", "is enabled",
                                       "has to sign in again"};
    static const char *const actions[] = {"disable", "enable", "revoke"};
    char text[AML_UUID_TEXT + 1];
    aml_registry_txn_t *txn;
    amld_cli_whom_t whom;
    aml_registry_rc_t rc;
    int status;

    rc = aml_registry_write(cli->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    status = amld_cli_who_find(cli->config, txn, who, &whom);
    if (status != AMLD_EXIT_OK) {
        aml_registry_end(txn);
        return status;
    }

    rc = principal_write(txn, &whom, change, (int64_t) time(NULL));
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: there is no such principal",
                             whom.label);
    }
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_registry_fail(rc);
    }

    aml_uuid_format(&whom.id, text);
    fprintf(stderr, "amld: %s (%s) %s\n", whom.label, text, done[change]);
    amld_cli_audit(cli, &(amld_audit_event_t){.event = "principal",
                                              .action = actions[change],
                                              .of = &whom.id,
                                              .target = whom.label});

    return AMLD_EXIT_OK;
}


static int
principal_change(const char *file, int argc, char **argv,
                 principal_change_t change)
{
    amld_cli_who_t who;
    amld_cli_t cli;
    int status;

    status = principal_args(&who, argc, argv);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status == AMLD_EXIT_OK) {
        status = principal_apply(&cli, &who, change);
        amld_cli_close(&cli);
    }

    return status;
}


static int
principal_disable(const char *file, int argc, char **argv)
{
    return principal_change(file, argc, argv, PRINCIPAL_DISABLE);
}


static int
principal_enable(const char *file, int argc, char **argv)
{
    return principal_change(file, argc, argv, PRINCIPAL_ENABLE);
}


static int
principal_revoke(const char *file, int argc, char **argv)
{
    return principal_change(file, argc, argv, PRINCIPAL_REVOKE);
}


int
amld_cli_principal(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"id", principal_id},           {"list", principal_list},
        {"disable", principal_disable}, {"enable", principal_enable},
        {"revoke", principal_revoke},   {NULL, NULL},
    };

    return amld_cli_dispatch(commands, principal_usage, file, argc, argv);
}
