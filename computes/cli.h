/*
 * amld's sub-commands for people: accounts, roles, keys, the registry.  They
 * work while the daemon runs; the registry takes one writer after the other.
 *
 * Each takes the configuration file and its own arguments, argv[0] being the
 * command, and returns an exit status.
 */

#ifndef AMLD_CLI_H
#define AMLD_CLI_H

#include "computes/config.h"
#include "registry/registry.h"

#define AMLD_EXIT_OK 0
#define AMLD_EXIT_FAILED 1
#define AMLD_EXIT_USAGE 2

int amld_cli_account(const char *file, int argc, char **argv);
int amld_cli_role(const char *file, int argc, char **argv);
int amld_cli_key(const char *file, int argc, char **argv);
int amld_cli_registry(const char *file, int argc, char **argv);


/* ---- what they share ---- */

typedef struct {
    amld_config_t *config;
    aml_registry_t *registry;
} amld_cli_t;

/* 0, or an exit status after the reason was printed. */
int amld_cli_open(amld_cli_t *cli, const char *file, int write);
void amld_cli_close(amld_cli_t *cli);

/* The registry as the configuration says; the reason is printed by the log. */
aml_registry_t *amld_registry_open(const amld_config_t *config);

typedef struct {
    const char *name;
    int (*run)(const char *file, int argc, char **argv);
} amld_cli_command_t;

/* Runs the command that argv[1] names; `usage` on --help or a wrong name. */
int amld_cli_dispatch(const amld_cli_command_t *commands, const char *usage,
                      const char *file, int argc, char **argv);

/* Prints "amld: …" and, on standard error, nothing else. */
int amld_cli_fail(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints `usage` to standard output or, as an error, to standard error. */
int amld_cli_usage(const char *usage, int error);

/* "2026-11-23 09:07:44Z", or "-" for 0. */
#define AMLD_CLI_TIME_SIZE 32
const char *amld_cli_time(int64_t seconds, char text[AMLD_CLI_TIME_SIZE]);

#endif /* AMLD_CLI_H */
