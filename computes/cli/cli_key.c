/*
 * amld key: what the local issuer signs with.
 */

#include "computes/cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/local_issuer.h"

static const char key_usage[] =
    "Usage: amld [-c FILE] key list\n"
    "       amld [-c FILE] key rotate [--revoke]\n"
    "\n"
    "Keys that sign the tokens of local accounts.  amld makes new ones by\n"
    "itself; rotate makes one that signs at once.\n"
    "\n"
    "  --revoke   withdraws all other keys now, and so voids every token\n"
    "             that they have signed\n";


static int
key_print(void *data, const amld_signing_key_t *key)
{
    char created[AMLD_CLI_TIME_SIZE], signs[AMLD_CLI_TIME_SIZE],
        retires[AMLD_CLI_TIME_SIZE];
    const char *state;
    int64_t now = (int64_t) time(NULL);

    (void) data;

    state = key->signs > now ? "waits" : key->can_sign ? "signs" : "verifies";

    return printf("%s  %-8s  created %s  signs from %s  until %s\n", key->kid,
                  state, amld_cli_time(key->created, created),
                  amld_cli_time(key->signs, signs),
                  amld_cli_time(key->retires, retires)) < 0;
}


static int
key_list(const char *file, int argc, char **argv)
{
    amld_cli_t cli;
    int status;

    if (argc > 1) {
        return amld_cli_usage(key_usage, strcmp(argv[1], "--help") != 0);
    }

    status = amld_cli_open(&cli, file, 0);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    if (amld_issuer_each(cli.registry, key_print, NULL) != 0 ||
        fflush(stdout) != 0) {
        status = AMLD_EXIT_FAILED;
    }
    amld_cli_close(&cli);

    return status;
}


static int
key_rotate(const char *file, int argc, char **argv)
{
    char kid[AMLD_KID_SIZE];
    int revoke = 0, status;
    amld_cli_t cli;

    status =
        amld_cli_options(argc, argv, key_usage,
                         (const amld_cli_option_t[]){{"revoke", NULL, &revoke},
                                                     {NULL, NULL, NULL}},
                         NULL, NULL);
    if (status >= 0) {
        return status;
    }

    status = amld_cli_open(&cli, file, 1);
    if (status != AMLD_EXIT_OK) {
        return status;
    }

    if (amld_issuer_rotate(cli.registry, cli.config, (int64_t) time(NULL),
                           revoke, kid) != 0 ||
        printf("%s\n", kid) < 0 || fflush(stdout) != 0) {
        status = AMLD_EXIT_FAILED;
    } else {
        amld_cli_audit(
            &cli, &(amld_audit_event_t){.event = "key",
                                        .action = revoke ? "revoke" : "rotate",
                                        .target = kid});
    }
    amld_cli_close(&cli);

    return status;
}


int
amld_cli_key(const char *file, int argc, char **argv)
{
    static const amld_cli_command_t commands[] = {
        {"list", key_list},
        {"rotate", key_rotate},
        {NULL, NULL},
    };

    return amld_cli_dispatch(commands, key_usage, file, argc, argv);
}
