/*
 * Completion: the shells ask "aml complete -- WORD…", the last word being the
 * one under way, and get candidates, one a line.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/text.h"

static const char completion_bash[] =
    "_aml() {\n"
    "    local IFS=$'\\n'\n"
    "    mapfile -t COMPREPLY < <(\n"
    "        aml complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2> /dev/null)\n"
    "    if [[ ${COMPREPLY[0]-} == :files ]]; then\n"
    "        mapfile -t COMPREPLY < <(\n"
    "            compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
    "    fi\n"
    "}\n"
    "complete -F _aml aml\n";

/* Read as it is, or found by its name among zsh's functions. */
static const char completion_zsh[] =
    "#compdef aml\n"
    "_aml() {\n"
    "    local -a found\n"
    "    found=(${(f)\"$(aml complete -- \"${(@)words[2,CURRENT]}\" "
    "2> /dev/null)\"})\n"
    "    if [[ ${found[1]-} == :files ]]; then\n"
    "        _files\n"
    "    else\n"
    "        compadd -- \"${found[@]}\"\n"
    "    fi\n"
    "}\n"
    "if [[ ${funcstack[1]-} == _aml ]]; then\n"
    "    _aml\n"
    "else\n"
    "    compdef _aml aml\n"
    "fi\n";


int
cli_completion(cli_t *cli)
{
    const char *shell = cli->args.argv[0];

    if (strcmp(shell, "bash") == 0) {
        (void) fputs(completion_bash, stdout);
    } else if (strcmp(shell, "zsh") == 0) {
        (void) fputs(completion_zsh, stdout);
    } else {
        return cli_fail(CLI_EXIT_USAGE, "for bash or zsh, not for \"%s\"",
                        shell);
    }

    return CLI_EXIT_OK;
}


/* ---- candidates ---- */

static void
offer(const char *word, size_t n, const char *begin)
{
    if (n >= strlen(begin) && strncmp(word, begin, strlen(begin)) == 0) {
        (void) printf("%.*s\n", (int) n, word);
    }
}


/* The next word of commands' names behind those that are there. */
static void
offer_commands(const cli_t *cli, char **words, int n, const char *begin)
{
    const cli_command_t *c;
    const char *rest;
    size_t k, last_n = 0;
    const char *last = "";
    int i;

    for (c = cli->commands; c->name != NULL; c++) {
        if (c->summary == NULL) {
            continue;
        }
        rest = c->name;
        for (i = 0; i < n && rest != NULL; i++) {
            k = strcspn(rest, " ");
            rest = strlen(words[i]) == k && strncmp(rest, words[i], k) == 0 &&
                           rest[k] == ' '
                       ? rest + k + 1
                       : NULL;
        }
        if (rest == NULL) {
            continue;
        }
        k = strcspn(rest, " ");
        if (k != last_n || strncmp(rest, last, k) != 0) {
            offer(rest, k, begin);
        }
        last = rest;
        last_n = k;
    }
}


static void
offer_options(const cli_option_t *o, const char *begin)
{
    char word[64];

    for (; o != NULL && o->name != NULL; o++) {
        snprintf(word, sizeof(word), "--%s", o->name);
        offer(word, strlen(word), begin);
    }
}


static void
offer_names(cli_t *cli, const char *kind, const char *begin)
{
    char *path;
    json_t *list, *one;
    const char *name;
    size_t i;

    if (cli_workspace_load(cli) != 0) {
        return;
    }
    path = cli_format("%s/%s", cli->workspace, kind);
    if (path != NULL && cli_list(cli, path, 200, &list) == 0) {
        json_array_foreach(list, i, one)
        {
            name = cli_str(one, "name");
            if (cli_name_is_safe(name)) {
                offer(name, strlen(name), begin);
            }
        }
        json_decref(list);
    }
    free(path);
}


/* Is `word` an option whose value comes as the next word? */
static int
wants_value(const cli_option_t *o, const char *word)
{
    for (; o != NULL && o->name != NULL; o++) {
        if (o->value != NULL &&
            ((strncmp(word, "--", 2) == 0 && strcmp(word + 2, o->name) == 0) ||
             (word[0] == '-' && word[1] == o->letter && word[1] != '\0' &&
              word[2] == '\0'))) {
            return strcmp(o->value, "FILE") == 0 ? 2 : 1;
        }
    }

    return 0;
}


static void
offer_arguments(cli_t *cli, const cli_command_t *c, int have, const char *begin)
{
    const char *p;
    size_t n;

    if (c->complete == CLI_COMPLETE_INSTANCE && have == 0) {
        offer_names(cli, "computes", begin);
    } else if (c->complete == CLI_COMPLETE_JOB && have == 0) {
        offer_names(cli, "jobs", begin);
    } else if (c->complete == CLI_COMPLETE_WORDS && have == 0) {
        for (p = c->words; *p != '\0'; p += n + (p[n] == ' ')) {
            n = strcspn(p, " ");
            offer(p, n, begin);
        }
    }
}


int
cli_complete(cli_t *cli)
{
    cli_args_t args;
    int argc = cli->args.argc, i, value = 0, quiet, have = 0;
    char **argv, error[256];
    const char *begin;
    const cli_command_t *c;

    if (argc == 0) {
        return CLI_EXIT_OK;
    }
    /* nothing but candidates may reach the terminal */
    quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (quiet >= 0) {
        (void) dup2(quiet, STDERR_FILENO);
    }
    cli->quiet = 1;

    begin = cli->args.argv[argc - 1];
    argv = calloc((size_t) argc + 2, sizeof(*argv));
    if (argv == NULL) {
        return CLI_EXIT_FAILED;
    }
    argv[0] = (char *) "aml";
    for (i = 0; i < argc - 1; i++) {
        argv[i + 1] = cli->args.argv[i];
    }
    if (argc > 1) {
        value = wants_value(cli_options_common, argv[argc - 1]);
    }

    (void) cli_args_parse(&args, cli->commands, argc, argv, error,
                          sizeof(error));
    c = args.command;
    if (c != NULL && argc > 1 && value == 0) {
        value = wants_value(c->options, argv[argc - 1]);
    }
    have = args.argc;

    if (value == 2) {
        (void) puts(":files");
    } else if (value == 0 && begin[0] == '-') {
        offer_options(c != NULL ? c->options : NULL, begin);
        offer_options(cli_options_common, begin);
    } else if (value == 0 && c == NULL) {
        offer_commands(cli, args.argv, args.argc, begin);
    } else if (value == 0) {
        /* --profile and --workspace of the line under way hold here, too */
        cli->args = args;
        offer_arguments(cli, c, have, begin);
    }
    free(argv);
    if (quiet >= 0) {
        (void) close(quiet);
    }

    return CLI_EXIT_OK;
}
