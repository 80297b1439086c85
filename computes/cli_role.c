/*
 * amld role: who may do what where.
 */

#include "computes/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "auth/accounts.h"
#include "auth/principals.h"
#include "auth/role_store.h"
#include "auth/roles.h"

static const char role_usage[] =
    "Usage: amld [-c FILE] role assign --account NAME --role ROLE "
    "--scope SCOPE\n"
    "       amld [-c FILE] role remove --account NAME --role ROLE "
    "--scope SCOPE\n"
    "       amld [-c FILE] role list [--account NAME]\n"
    "       amld [-c FILE] role definitions\n"
    "\n"
    "Roles of local accounts.  ROLE is a role's name, such as Contributor, "
    "or\n"
    "its UUID.  SCOPE is the path where it holds, and below: \"/\", or\n"
    "/subscriptions/… down to a workspace or a single compute.  A change\n"
    "holds from the next request on.\n";

typedef struct {
    const char *account;
    const char *role;
    const char *scope;
} role_args_t;


/* -1, or an exit status when there is nothing more to do. */
static int
role_args(role_args_t *args, int argc, char **argv, int all)
{
    static const struct option options[] = {
        {"account", required_argument, NULL, 'a'},
        {"role", required_argument, NULL, 'r'},
        {"scope", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    memset(args, 0, sizeof(*args));

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            args->account = optarg;
            break;
        case 'r':
            args->role = optarg;
            break;
        case 's':
            args->scope = optarg;
            break;
        case 'h':
            return amld_cli_usage(role_usage, 0);
        default:
            return amld_cli_usage(role_usage, 1);
        }
    }

    if (optind != argc || (all ? args->account == NULL || args->role == NULL ||
                                     args->scope == NULL
                               : args->role != NULL || args->scope != NULL)) {
        return amld_cli_usage(role_usage, 1);
    }

    if (args->scope != NULL && !amld_scope_valid(args->scope)) {
        return amld_cli_fail(AMLD_EXIT_USAGE,
                             "%s: a scope is \"/\" or a path such as "
                             "/subscriptions/…, without a slash at its end",
                             args->scope);
    }

    return -1;
}


static int
role_print_name(void *data, aml_str_t key, aml_str_t value)
{
    char err[64], id[AML_UUID_TEXT + 1];
    aml_role_t *role;

    (void) key;

    role = aml_role_parse(value.p, value.n, err, sizeof(err));
    if (role != NULL) {
        aml_uuid_format(aml_role_id(role), id);
        fprintf(data, "%s  %s\n", id, aml_role_name(role));
    }
    aml_role_free(role);

    return 0;
}


/* What the names stand for; 0, or an exit status after saying what is wrong. */
static int
role_resolve(aml_registry_t *registry, const role_args_t *args,
             aml_principal_id_t *principal, aml_principal_id_t *role)
{
    aml_registry_txn_t *txn;
    amld_account_t account;
    amld_account_rc_t found;
    aml_registry_rc_t rc;
    int status = AMLD_EXIT_OK;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s", aml_registry_strerror(rc));
    }

    found = amld_account_find(txn, args->account, &account);
    *principal = account.principal;

    if (found != AMLD_ACCOUNT_OK) {
        status = amld_cli_fail(AMLD_EXIT_FAILED, "%s: %s", args->account,
                               amld_account_strerror(found));

    } else {
        rc = amld_role_find(txn, args->role, role);
        if (rc == AML_REGISTRY_NOTFOUND) {
            status = amld_cli_fail(
                AMLD_EXIT_FAILED,
                "%s: there is no such role; there are:", args->role);
            (void) aml_registry_each(txn, aml_str("role/"),
                                     (aml_str_t){NULL, 0}, role_print_name,
                                     stderr);
        } else if (rc != AML_REGISTRY_OK) {
            status = amld_cli_fail(AMLD_EXIT_FAILED, "%s",
                                   aml_registry_strerror(rc));
        }
    }

    aml_registry_end(txn);

    return status;
}


static int
role_change(const char *file, int argc, char **argv, int assign)
{
    aml_principal_id_t principal, role;
    aml_registry_rc_t rc;
    role_args_t args;
    amld_cli_t cli;
    int status;

    status = role_args(&args, argc, argv, 1);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    /* also before the daemon's first start */
    if (amld_roles_load(cli.registry, cli.config->roles) != 0) {
        status = AMLD_EXIT_FAILED;
    } else {
        status = role_resolve(cli.registry, &args, &principal, &role);
    }

    if (status == AMLD_EXIT_OK) {
        rc = assign
                 ? amld_role_assign(cli.registry, &principal, &role, args.scope)
                 : amld_role_unassign(cli.registry, &principal, &role,
                                      args.scope);

        if (rc == AML_REGISTRY_NOTFOUND) {
            status = amld_cli_fail(AMLD_EXIT_FAILED,
                                   "%s does not have role %s at %s",
                                   args.account, args.role, args.scope);
        } else if (rc == AML_REGISTRY_TOOLONG) {
            status =
                amld_cli_fail(AMLD_EXIT_FAILED, "%s has too many roles already",
                              args.account);
        } else if (rc != AML_REGISTRY_OK) {
            status = amld_cli_fail(AMLD_EXIT_FAILED, "%s",
                                   aml_registry_strerror(rc));
        } else {
            fprintf(stderr, "amld: %s %s role %s at %s\n", args.account,
                    assign ? "has" : "no longer has", args.role, args.scope);
        }
    }

    amld_cli_close(&cli);

    return status;
}


static int
role_assign(const char *file, int argc, char **argv)
{
    return role_change(file, argc, argv, 1);
}


static int
role_remove(const char *file, int argc, char **argv)
{
    return role_change(file, argc, argv, 0);
}


typedef struct {
    aml_registry_txn_t *txn;
    const char *account; /* NULL: all */
    int found;
} role_list_t;


static int
role_print(void *data, const amld_account_t *account)
{
    role_list_t *list = data;
    amld_principal_t p;
    char name[128];
    size_t i;

    if (list->account != NULL &&
        strcasecmp(list->account, account->name) != 0) {
        return 0;
    }
    list->found = 1;

    if (amld_principal_load(list->txn, &account->principal, &p) ==
        AML_REGISTRY_OK) {
        for (i = 0; i < p.count; i++) {
            amld_role_label(list->txn, &p.list[i].role, name, sizeof(name));
            printf("%-24s  %-24s  %.*s\n", account->name, name,
                   (int) p.list[i].scope.n, p.list[i].scope.p);
        }
    }
    amld_principal_clear(&p);

    return 0;
}


static int
role_list(const char *file, int argc, char **argv)
{
    role_list_t list = {0};
    aml_registry_rc_t rc;
    role_args_t args;
    amld_cli_t cli;
    int status;

    status = role_args(&args, argc, argv, 0);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    list.account = args.account;

    rc = aml_registry_read(cli.registry, &list.txn);
    if (rc != AML_REGISTRY_OK) {
        status =
            amld_cli_fail(AMLD_EXIT_FAILED, "%s", aml_registry_strerror(rc));
    } else {
        if (amld_account_each(list.txn, role_print, &list) != AMLD_ACCOUNT_OK) {
            status = AMLD_EXIT_FAILED;
        } else if (args.account != NULL && !list.found) {
            status = amld_cli_fail(AMLD_EXIT_FAILED, "%s: %s", args.account,
                                   amld_account_strerror(AMLD_ACCOUNT_MISSING));
        }
        aml_registry_end(list.txn);
    }

    if (fflush(stdout) != 0) {
        status = AMLD_EXIT_FAILED;
    }
    amld_cli_close(&cli);

    return status;
}


static int
role_definitions(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_cli_t cli;
    int status;

    if (argc > 1) {
        return amld_cli_usage(role_usage, strcmp(argv[1], "--help") != 0);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = aml_registry_read(cli.registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("role/"), (aml_str_t){NULL, 0},
                               role_print_name, stdout);
        aml_registry_end(txn);
    }

    if (rc != AML_REGISTRY_OK) {
        status =
            amld_cli_fail(AMLD_EXIT_FAILED, "%s", aml_registry_strerror(rc));
    }
    amld_cli_close(&cli);

    return status;
}


int
amld_cli_role(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"assign", role_assign},
        {"remove", role_remove},
        {"list", role_list},
        {"definitions", role_definitions},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, role_usage, file, argc, argv);
}
