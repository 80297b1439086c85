/*
 * amld role: what its two halves share, assignments (cli_role.c) and
 * definitions (cli_role_definition.c).
 */

#ifndef AMLD_CLI_ROLE_H
#define AMLD_CLI_ROLE_H

#include "computes/cli/cli.h"

extern const char amld_cli_role_usage[];

int amld_cli_role_definitions(const char *file, int argc, char **argv);
int amld_cli_role_define(const char *file, int argc, char **argv);
int amld_cli_role_undefine(const char *file, int argc, char **argv);

/*
 * Opens the registry with roles and assignments as a daemon would have them,
 * and begins a write transaction.  0, or an exit status after the reason was
 * printed.
 */
int amld_cli_role_begin(amld_cli_t *cli, const char *file,
                        aml_registry_txn_t **txn);
/* Commits where `status` is 0, and closes; the status to exit with. */
int amld_cli_role_end(amld_cli_t *cli, aml_registry_txn_t *txn, int status,
                      const amld_audit_event_t *event);

/* By name or UUID; 0, or an exit status after saying what is wrong. */
int amld_cli_role_find(aml_registry_txn_t *txn, const char *text,
                       aml_principal_id_t *role);

#endif /* AMLD_CLI_ROLE_H */
