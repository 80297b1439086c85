/*
 * amld role definitions, define, undefine.
 */

#include "computes/cli/cli_role.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "auth/role_store.h"
#include "auth/roles.h"


static int
definition_print(void *data, aml_str_t key, aml_str_t value)
{
    char id[AML_UUID_TEXT + 1], err[128];
    const char *name;
    aml_role_t *role;

    (void) data;

    role = aml_role_parse(value.p, value.n, err, sizeof(err));
    if (role == NULL) {
        (void) amld_cli_fail(AMLD_EXIT_FAILED, "%.*s: %s", (int) key.n, key.p,
                             err);
        return 0;
    }

    aml_uuid_format(aml_role_id(role), id);
    name = aml_role_name(role);
    printf("%s  %-8s  ", id, aml_role_custom(role) ? "custom" : "built-in");
    amld_cli_print(name, strlen(name));
    putchar('\n');
    aml_role_free(role);

    return 0;
}


int
amld_cli_role_definitions(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_cli_t cli;
    int status;

    if (argc > 1) {
        return amld_cli_usage(amld_cli_role_usage,
                              strcmp(argv[1], "--help") != 0);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = amld_cli_read(&cli, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("role/"), (aml_str_t){NULL, 0},
                               definition_print, NULL);
        rc = amld_cli_end(&cli, txn, rc);
    }
    if (rc != AML_REGISTRY_OK) {
        status = amld_cli_registry_fail(rc);
    }
    amld_cli_close(&cli);

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


/* -1 with the one argument, or an exit status. */
static int
definition_args(int argc, char **argv, const char **argument)
{
    int status;

    status =
        amld_cli_options(argc, argv, amld_cli_role_usage, NULL, NULL, argument);

    return status < 0 && *argument == NULL
               ? amld_cli_usage(amld_cli_role_usage, 1)
               : status;
}


static int
define_one(aml_registry_txn_t *txn, const char *name, size_t index,
           const json_t *in)
{
    amld_role_fault_t fault;
    aml_registry_rc_t rc;
    amld_role_rc_t answer;
    json_t *role;

    role = amld_role_normalise(in, NULL, 1, &fault);
    if (role == NULL) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: role %zu: %s", name,
                             index + 1, fault.message);
    }

    answer = amld_role_define(txn, role, "/", "", &rc);
    if (answer == AMLD_ROLE_OK) {
        printf("%s  %s\n", json_string_value(json_object_get(role, "name")),
               amld_role_name(role));
    }
    json_decref(role);

    return answer == AMLD_ROLE_OK ? AMLD_EXIT_OK
           : answer == AMLD_ROLE_FAILED
               ? amld_cli_registry_fail(rc)
               : amld_cli_fail(AMLD_EXIT_FAILED, "%s: role %zu: %s", name,
                               index + 1, amld_role_strerror(answer));
}


int
amld_cli_role_define(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    json_error_t error;
    amld_cli_t cli;
    const char *name;
    json_t *json;
    size_t i, n;
    int status;

    status = definition_args(argc, argv, &name);
    if (status >= 0) {
        return status;
    }

    json = strcmp(name, "-") == 0
               ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
               : json_load_file(name, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s:%d: %s", name, error.line,
                             error.text);
    }

    status = amld_cli_role_begin(&cli, file, &txn);
    if (status == AMLD_EXIT_OK) {
        n = json_is_array(json) ? json_array_size(json) : 1;
        for (i = 0; i < n && status == AMLD_EXIT_OK; i++) {
            status = define_one(txn, name, i,
                                json_is_array(json) ? json_array_get(json, i)
                                                    : json);
        }
        status = amld_cli_role_end(&cli, txn, status,
                                   &(amld_audit_event_t){.event = "role",
                                                         .action = "define",
                                                         .target = name});
    }
    json_decref(json);

    return fflush(stdout) == 0 ? status : AMLD_EXIT_FAILED;
}


int
amld_cli_role_undefine(const char *file, int argc, char **argv)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    aml_registry_txn_t *txn;
    amld_role_rc_t answer;
    aml_principal_id_t id;
    amld_cli_t cli;
    const char *name;
    int status;

    status = definition_args(argc, argv, &name);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_role_begin(&cli, file, &txn);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = amld_cli_role_find(txn, name, &id);
    if (status == AMLD_EXIT_OK) {
        answer = amld_role_undefine(txn, &id, "/", NULL, &rc);
        if (answer == AMLD_ROLE_FAILED) {
            status = amld_cli_registry_fail(rc);
        } else if (answer != AMLD_ROLE_OK) {
            status = amld_cli_fail(AMLD_EXIT_FAILED, "%s: %s", name,
                                   amld_role_strerror(answer));
        }
    }

    return amld_cli_role_end(&cli, txn, status,
                             &(amld_audit_event_t){.event = "role",
                                                   .action = "undefine",
                                                   .target = name});
}
