/*
 * What a command takes, and its help: one table says both, and completion
 * reads it, too.
 *
 *   aml [OPTION…] COMMAND [SUBCOMMAND] [OPTION…] [ARGUMENT…]
 *
 * "--name value", "--name=value", "-n value"; letters of flags can stand
 * together.  Options may come before and behind arguments, until "--", or as
 * many arguments as the command says: what follows there is another
 * program's.
 */

#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#define CLI_OPTIONS_MOST 24
#define CLI_REPEATED_MOST 256 /* times that one option is given */

typedef struct {
    const char *name;  /* without "--"; NULL ends a table */
    char letter;       /* or 0 */
    const char *value; /* what it is called in the help; NULL for a flag */
    const char *help;
    unsigned repeated : 1; /* may come more than once */
} cli_option_t;

/* What completion offers for arguments. */
typedef enum {
    CLI_COMPLETE_NOTHING = 0,
    CLI_COMPLETE_INSTANCE,
    CLI_COMPLETE_JOB,
    CLI_COMPLETE_WORDS /* those of cli_command_t.words */
} cli_complete_t;

struct cli_s;

typedef struct {
    const char *name;      /* "instance create"; NULL ends a table */
    const char *arguments; /* "NAME [PORT]", or "" */
    const char *summary;   /* one line */
    const char *text;      /* more of help, or NULL */
    const cli_option_t *options;
    int (*run)(struct cli_s *cli);
    int least, most; /* arguments; most -1: any number */
    int ours;        /* options are looked for up to so many arguments;
                        0: among all */
    cli_complete_t complete;
    const char *words; /* for CLI_COMPLETE_WORDS, with blanks between */
} cli_command_t;

typedef struct {
    const cli_command_t *command;
    const char *value[2 * CLI_OPTIONS_MOST]; /* by place; "" for a flag */
    struct {
        int place;
        const char *value;
    } repeated[CLI_REPEATED_MOST];
    size_t repeats;
    int help;
    int argc; /* arguments */
    char **argv;
} cli_args_t;

/* Options that every command takes. */
extern const cli_option_t cli_options_common[];

/*
 * Takes argv[1…] apart, in place.  0, or -1 after `error` was filled: what is
 * wrong, as people typed it.  Without a command, or with one that has
 * sub-commands only, `command` is NULL: help is meant, and argv[0…argc) what
 * was said.
 */
int cli_args_parse(cli_args_t *args, const cli_command_t *commands, int argc,
                   char **argv, char *error, size_t size);

/* An option's value, "" for a flag that is given; NULL where it is not. */
const char *cli_option(const cli_args_t *args, const char *name);

/* The `i`th value of an option that may come more than once; NULL beyond. */
const char *cli_option_each(const cli_args_t *args, const char *name, size_t i);

/* "aml X --help"; of all commands where `command` is NULL, those only whose
 * name begins with the word `group` where that is not. */
void cli_help(FILE *out, const cli_command_t *commands,
              const cli_command_t *command, const char *group);

#endif /* CLI_OPTIONS_H */
