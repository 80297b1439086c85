/*
 * aml: sign in, instances, jobs and services, SSH.
 */

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"


static void
cli_end(cli_t *cli)
{
    if (cli->token != NULL) {
        explicit_bzero(cli->token, strlen(cli->token));
    }
    free(cli->token);
    free(cli->profile);
    free(cli->server);
    free(cli->workspace);
    free(cli->ca);
    free(cli->apps);
    curl_easy_cleanup(cli->curl);
    curl_global_cleanup();
}


/* "aml", "aml instance", "aml --help": what there is. */
static int
cli_say_help(const cli_t *cli)
{
    const cli_args_t *args = &cli->args;

    cli_help(args->help ? stdout : stderr, cli_commands, args->command,
             args->argc > 0 && args->command == NULL ? args->argv[0] : NULL);

    return args->help ? CLI_EXIT_OK : CLI_EXIT_USAGE;
}


int
main(int argc, char **argv)
{
    cli_t cli = {0};
    char error[256];
    int rc;

    (void) setlocale(LC_CTYPE, "");
    (void) signal(SIGPIPE, SIG_IGN);

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void) puts("aml " CLI_VERSION);
        return CLI_EXIT_OK;
    }
    cli.commands = cli_commands;
    if (cli_args_parse(&cli.args, cli_commands, argc, argv, error,
                       sizeof(error)) != 0) {
        return cli_fail(CLI_EXIT_USAGE, "%s; aml %s%s--help says more", error,
                        cli.args.command ? cli.args.command->name : "",
                        cli.args.command ? " " : "");
    }
    if (cli.args.help || cli.args.command == NULL) {
        return cli_say_help(&cli);
    }
    cli.json = cli_option(&cli.args, "json") != NULL;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (cli.curl = curl_easy_init()) == NULL) {
        return cli_fail(CLI_EXIT_FAILED, "libcurl can't be used");
    }
    rc = cli.args.command->run(&cli);
    cli_end(&cli);

    return rc;
}
