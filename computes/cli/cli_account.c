/*
 * amld account: local accounts.
 */

#include "computes/cli/cli.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "auth/accounts.h"

#define GENERATED_CHARS 20 /* of 64: 120 bits */
#define PASSWORD_SIZE (AML_PASSWORD_MAX + 2)

static const char account_usage[] =
    "Usage: amld [-c FILE] account add NAME [--password-stdin|--generate]\n"
    "       amld [-c FILE] account password NAME [--password-stdin|"
    "--generate]\n"
    "       amld [-c FILE] account remove NAME\n"
    "       amld [-c FILE] account list\n"
    "\n"
    "Local accounts.  A name is 1 to 64 letters, digits and . _ @ -, in any\n"
    "case.  A new password, like removal, ends the account's sessions and\n"
    "voids its tokens at once.\n"
    "\n"
    "  --password-stdin   takes the password from the first line of standard\n"
    "                     input instead of asking for it\n"
    "  --generate         makes one and prints it to standard output\n";

typedef struct {
    const char *name;
    int from_stdin;
    int generate;
    char password[PASSWORD_SIZE];
} account_args_t;


/* One line without its end; -1 when there is none or it is too long. */
static int
account_read_line(char line[PASSWORD_SIZE])
{
    size_t n;

    if (fgets(line, PASSWORD_SIZE, stdin) == NULL) {
        return -1;
    }

    n = strlen(line);
    if (n > 0 && line[n - 1] == '\n') {
        line[--n] = '\0';
        if (n > 0 && line[n - 1] == '\r') {
            line[--n] = '\0';
        }
        return 0;
    }

    return n <= AML_PASSWORD_MAX ? 0 : -1;
}


static int
account_ask_once(const char *prompt, char line[PASSWORD_SIZE])
{
    struct termios saved, silent;
    int rc;

    if (tcgetattr(STDIN_FILENO, &saved) != 0) {
        return -1;
    }

    silent = saved;
    silent.c_lflag &= ~(tcflag_t) ECHO;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0) {
        return -1;
    }

    fputs(prompt, stderr);
    rc = account_read_line(line);
    fputc('\n', stderr);
    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);

    return rc;
}


static int
account_ask(char password[PASSWORD_SIZE])
{
    char again[PASSWORD_SIZE];
    int same;

    if (account_ask_once("Password: ", password) != 0 ||
        account_ask_once("Again: ", again) != 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "no password, or a too long one, was given");
    }

    same = strcmp(password, again) == 0;
    OPENSSL_cleanse(again, sizeof(again));

    return same ? AMLD_EXIT_OK
                : amld_cli_fail(AMLD_EXIT_FAILED, "the two are not the same");
}


static int
account_password(account_args_t *args)
{
    if (args->generate) {
        return aml_password_generate(args->password, GENERATED_CHARS) == 0
                   ? AMLD_EXIT_OK
                   : amld_cli_fail(AMLD_EXIT_FAILED,
                                   "no password can be generated");
    }

    if (args->from_stdin) {
        return account_read_line(args->password) == 0
                   ? AMLD_EXIT_OK
                   : amld_cli_fail(AMLD_EXIT_FAILED,
                                   "standard input has no password, or a too "
                                   "long one");
    }

    if (!isatty(STDIN_FILENO)) {
        return amld_cli_fail(AMLD_EXIT_USAGE,
                             "standard input is no terminal: say "
                             "--password-stdin or --generate");
    }

    return account_ask(args->password);
}


/* -1, or an exit status when there is nothing more to do. */
static int
account_args(account_args_t *args, int argc, char **argv, int password)
{
    const amld_cli_option_t options[] = {
        {"password-stdin", NULL, &args->from_stdin},
        {"generate", NULL, &args->generate},
        {NULL, NULL, NULL},
    };
    int status;

    memset(args, 0, sizeof(*args));

    status =
        amld_cli_options(argc, argv, account_usage, options, NULL, &args->name);
    if (status >= 0) {
        return status;
    }

    if (args->name == NULL || (args->from_stdin && args->generate) ||
        (!password && (args->from_stdin || args->generate))) {
        return amld_cli_usage(account_usage, 1);
    }

    if (!amld_account_name_valid(args->name)) {
        return amld_cli_fail(AMLD_EXIT_USAGE, "%s: %s", args->name,
                             amld_account_strerror(AMLD_ACCOUNT_NAME));
    }

    return -1;
}


static int
account_done(const account_args_t *args, amld_account_rc_t rc, const char *done)
{
    if (rc != AMLD_ACCOUNT_OK) {
        return amld_cli_fail(AMLD_EXIT_FAILED, "%s: %s", args->name,
                             amld_account_strerror(rc));
    }

    fprintf(stderr, "amld: account %s %s\n", args->name, done);

    if (args->generate && printf("%s\n", args->password) < 0) {
        return amld_cli_fail(AMLD_EXIT_FAILED,
                             "the password can't be printed: %s",
                             strerror(errno));
    }

    return AMLD_EXIT_OK;
}


static void
account_audit(const amld_cli_t *cli, const account_args_t *args,
              const char *action)
{
    amld_cli_audit(cli, &(amld_audit_event_t){.event = "account",
                                              .action = action,
                                              .target = args->name});
}


static int
account_with_password(const char *file, int argc, char **argv, int add)
{
    account_args_t args;
    amld_account_rc_t rc;
    amld_cli_t cli;
    int status;

    status = account_args(&args, argc, argv, 1);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    status = account_password(&args);
    if (status == AMLD_EXIT_OK) {
        rc = add ? amld_account_add(cli.registry, args.name, args.password,
                                    (int64_t) time(NULL), NULL)
                 : amld_account_set_password(cli.registry, args.name,
                                             args.password,
                                             (int64_t) time(NULL));
        status = account_done(&args, rc, add ? "added" : "has a new password");
        if (rc == AMLD_ACCOUNT_OK) {
            account_audit(&cli, &args, add ? "add" : "password");
        }
    }

    OPENSSL_cleanse(args.password, sizeof(args.password));
    amld_cli_close(&cli);

    return status;
}


static int
account_add(const char *file, int argc, char **argv)
{
    return account_with_password(file, argc, argv, 1);
}


static int
account_change(const char *file, int argc, char **argv)
{
    return account_with_password(file, argc, argv, 0);
}


static int
account_remove(const char *file, int argc, char **argv)
{
    account_args_t args;
    amld_cli_t cli;
    int status;

    status = account_args(&args, argc, argv, 0);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status == AMLD_EXIT_OK) {
        status = account_done(
            &args,
            amld_account_remove(cli.registry, args.name, (int64_t) time(NULL)),
            "removed");
        if (status == AMLD_EXIT_OK) {
            account_audit(&cli, &args, "remove");
        }
        amld_cli_close(&cli);
    }

    return status;
}


static int
account_print(void *data, const amld_account_t *account)
{
    char created[AMLD_CLI_TIME_SIZE], principal[AML_UUID_TEXT + 1];

    (void) data;

    aml_uuid_format(&account->principal, principal);

    return printf("%-24s  %s  %s\n", account->name, principal,
                  amld_cli_time(account->created, created)) < 0;
}


static int
account_list(const char *file, int argc, char **argv)
{
    aml_registry_txn_t *txn;
    amld_account_rc_t rc;
    amld_cli_t cli;
    int status;

    if (argc > 1) {
        return amld_cli_usage(account_usage, strcmp(argv[1], "--help") != 0);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    rc = AMLD_ACCOUNT_FAILED;
    if (amld_cli_read(&cli, &txn) == AML_REGISTRY_OK) {
        rc = amld_account_each(txn, account_print, NULL);
        if (amld_cli_end(&cli, txn, AML_REGISTRY_OK) != AML_REGISTRY_OK) {
            rc = AMLD_ACCOUNT_FAILED;
        }
    }

    if (rc != AMLD_ACCOUNT_OK || fflush(stdout) != 0) {
        status = amld_cli_fail(AMLD_EXIT_FAILED, "%s",
                               amld_account_strerror(AMLD_ACCOUNT_FAILED));
    }
    amld_cli_close(&cli);

    return status;
}


int
amld_cli_account(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"add", account_add},
        {"password", account_change},
        {"remove", account_remove},
        {"list", account_list},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, account_usage, file, argc, argv);
}
