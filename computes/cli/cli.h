/*
 * amld's sub-commands for people: accounts, roles, principals, jobs, shares,
 * keys, the registry.  They work while the daemon runs; the registry takes one
 * writer after the other.
 *
 * Each takes the configuration file and its own arguments, argv[0] being the
 * command, and returns an exit status.
 */

#ifndef AMLD_CLI_H
#define AMLD_CLI_H

#include <stdio.h>

#include "auth/audit.h"
#include "auth/principal.h"
#include "computes/config/config.h"
#include "registry/registry.h"

#define AMLD_EXIT_OK 0
#define AMLD_EXIT_FAILED 1
#define AMLD_EXIT_USAGE 2

int amld_cli_account(const char *file, int argc, char **argv);
int amld_cli_role(const char *file, int argc, char **argv);
int amld_cli_principal(const char *file, int argc, char **argv);
int amld_cli_compute(const char *file, int argc, char **argv);
int amld_cli_job(const char *file, int argc, char **argv);
int amld_cli_share(const char *file, int argc, char **argv);
int amld_cli_session(const char *file, int argc, char **argv);
int amld_cli_token(const char *file, int argc, char **argv);
int amld_cli_key(const char *file, int argc, char **argv);
int amld_cli_registry(const char *file, int argc, char **argv);


/* ---- what they share ---- */

typedef struct {
    amld_config_t *config;
    aml_registry_t *registry;

    /* from amld_cli_keep() to amld_cli_kept() */
    FILE *out;
    char *text;
    size_t length;
} amld_cli_t;

/* 0, or an exit status after the reason was printed. */
int amld_cli_open(amld_cli_t *cli, const char *file, int write);
void amld_cli_close(amld_cli_t *cli);

/*
 * What is printed from keep to kept, to standard output, is held back and
 * printed then: whoever does not read on, as a pager that is left open, would
 * keep the transaction, and with it all writers, or the room of whatever they
 * change.  0, or -1 (errno) where not all could be kept or printed.
 */
int amld_cli_keep(amld_cli_t *cli);
int amld_cli_kept(amld_cli_t *cli);

/* A snapshot to print from, with keep and kept.  `rc` is answered again, or
 * FAILED. */
aml_registry_rc_t amld_cli_read(amld_cli_t *cli, aml_registry_txn_t **txn);
aml_registry_rc_t
amld_cli_end(amld_cli_t *cli, aml_registry_txn_t *txn, aml_registry_rc_t rc);

/* The registry as the configuration says; the reason is printed by the log. */
aml_registry_t *amld_registry_open(const amld_config_t *config);

typedef struct {
    const char *name;
    int (*run)(const char *file, int argc, char **argv);
} amld_cli_command_t;

/* Runs the command that argv[1] names; `usage` on --help or a wrong name. */
int amld_cli_dispatch(const amld_cli_command_t *commands, const char *usage,
                      const char *file, int argc, char **argv);

/* A line of the audit log, by whoever runs the command. */
void amld_cli_audit(const amld_cli_t *cli, const amld_audit_event_t *event);

/* Prints "amld: …" and, on standard error, nothing else. */
int amld_cli_fail(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same of the registry's; AMLD_EXIT_FAILED. */
int amld_cli_registry_fail(aml_registry_rc_t rc);

/* Prints `usage` to standard output or, as an error, to standard error. */
int amld_cli_usage(const char *usage, int error);

/* "2026-11-23 09:07:44Z", or "-" for 0. */
#define AMLD_CLI_TIME_SIZE 32
const char *amld_cli_time(int64_t seconds, char text[AMLD_CLI_TIME_SIZE]);


/* ---- who is meant (cli_who.c) ---- */

typedef struct {
    const char *account;   /* --account NAME */
    const char *principal; /* --principal UUID */
    const char *subject;   /* --subject TEXT, with a space or an issuer */
    const char *group;     /* --group NAME, likewise */
    const char *app_role;  /* --app-role NAME, likewise */
    const char *space;     /* --space TEXT */
    const char *issuer;    /* --issuer NAME, of a section */
} amld_cli_who_t;

/* Is exactly one principal named?  0 none, 1 one, -1 something else. */
int amld_cli_who_named(const amld_cli_who_t *who);

/* The same of a person: groups and app roles are something else. */
int amld_cli_who_person(const amld_cli_who_t *who);

/*
 * Whom the options name: `id`, and `label` for messages, which is one of the
 * arguments.  `space` and `group` say what a record of theirs has; `space` is
 * one of the arguments or of `config`.  `txn` may be NULL unless it is an
 * account.  0, or an exit status after saying what is wrong.
 */
typedef struct {
    aml_principal_id_t id;
    const char *label;
    const char *space; /* "" when it is not known */
    int group;
} amld_cli_whom_t;

int amld_cli_who_find(const amld_config_t *config, aml_registry_txn_t *txn,
                      const amld_cli_who_t *who, amld_cli_whom_t *whom);

/* The same, for commands that mean everybody where nobody is named: *whose is
 * `room`, or NULL. */
int amld_cli_who_whose(const amld_config_t *config, aml_registry_txn_t *txn,
                       const amld_cli_who_t *who, aml_principal_id_t *room,
                       const aml_principal_id_t **whose);


/* ---- options (cli_options.c) ---- */

#define AMLD_CLI_OPTIONS_MOST 8

/* One of `value` and `flag`: "--name VALUE", or "--name", which is 1. */
typedef struct {
    const char *name; /* NULL ends a table */
    const char **value;
    int *flag;
} amld_cli_option_t;

/*
 * Reads the options of the table, at most AMLD_CLI_OPTIONS_MOST or NULL; those
 * that say who is meant, unless `who` is NULL; and --help.  What is not given
 * is left as it is.  `argument` is the one argument beside them, NULL where
 * there is none; it is NULL itself where none may be.
 *
 * -1, or an exit status when there is nothing more to do.
 */
int amld_cli_options(int argc, char **argv, const char *usage,
                     const amld_cli_option_t *options, amld_cli_who_t *who,
                     const char **argument);

/* Prints `text`, or what can be printed of it: no control characters. */
void amld_cli_print(const char *text, size_t n);

#endif /* AMLD_CLI_H */
