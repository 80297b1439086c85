/*
 * What a command takes, and its help.
 */

#include "cli/options.h"

#include <string.h>

const cli_option_t cli_options_common[] = {
    {"profile", 'p', "NAME", "the server that was signed in to by this name",
     0},
    {"workspace", 'w', "WORKSPACE", "SUBSCRIPTION/GROUP/NAME, or its ARM id",
     0},
    {"json", 0, NULL, "the answer as JSON, for scripts", 0},
    {"help", 'h', NULL, "this help", 0},
    {NULL, 0, NULL, NULL, 0},
};


/* ---- which command ---- */

/* Words of a command's name that argv begins with; 0 where it does not. */
static int
command_words(const char *name, int argc, char **argv)
{
    int i;
    size_t n;

    for (i = 0; i < argc; i++) {
        n = strcspn(name, " ");
        if (strlen(argv[i]) != n || strncmp(argv[i], name, n) != 0) {
            return 0;
        }
        if (name[n] == '\0') {
            return i + 1;
        }
        name += n + 1;
    }

    return 0;
}


static const cli_command_t *
command_find(const cli_command_t *commands, int argc, char **argv, int *words)
{
    const cli_command_t *c;

    for (c = commands; c->name != NULL; c++) {
        *words = command_words(c->name, argc, argv);
        if (*words > 0) {
            return c;
        }
    }

    return NULL;
}


static int
command_is_group(const cli_command_t *commands, const char *word)
{
    const cli_command_t *c;
    size_t n = strlen(word);

    for (c = commands; c->name != NULL; c++) {
        if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ') {
            return 1;
        }
    }

    return 0;
}


/* ---- options ---- */

/* The option at a place: common ones first, then the command's. */
static const cli_option_t *
option_at(const cli_args_t *args, size_t place)
{
    size_t i;

    for (i = 0; cli_options_common[i].name != NULL; i++) {
        if (i == place) {
            return &cli_options_common[i];
        }
    }
    place -= i;

    if (args->command == NULL || args->command->options == NULL) {
        return NULL;
    }
    for (i = 0; args->command->options[i].name != NULL; i++) {
        if (i == place) {
            return &args->command->options[i];
        }
    }

    return NULL;
}


static int
option_place(const cli_args_t *args, const char *name, size_t n, char letter)
{
    size_t i;
    const cli_option_t *o;

    for (i = 0; i < 2 * CLI_OPTIONS_MOST; i++) {
        o = option_at(args, i);
        if (o == NULL) {
            return -1;
        }
        if (name != NULL ? strlen(o->name) == n && memcmp(o->name, name, n) == 0
                         : o->letter != 0 && o->letter == letter) {
            return (int) i;
        }
    }

    return -1;
}


static int
option_set(cli_args_t *args, int place, const char *value, char *error,
           size_t size)
{
    const cli_option_t *o = option_at(args, (size_t) place);

    if (o->repeated) {
        if (args->repeats == CLI_REPEATED_MOST) {
            snprintf(error, size, "--%s: too many of them", o->name);
            return -1;
        }
        args->repeated[args->repeats].place = place;
        args->repeated[args->repeats++].value = value;
    }
    args->value[place] = value;
    if (strcmp(o->name, "help") == 0) {
        args->help = 1;
    }

    return 0;
}


/* Takes one word of options; `*i` moves on where the value is the next. */
static int
option_take(cli_args_t *args, int argc, char **argv, int *i, char *error,
            size_t size)
{
    const char *word = argv[*i], *name, *value;
    const cli_option_t *o;
    int place;
    size_t n;

    if (word[1] == '-') {
        name = word + 2;
        n = strcspn(name, "=");
        place = option_place(args, name, n, 0);
        if (place < 0) {
            snprintf(error, size, "no such option: --%.*s", (int) n, name);
            return -1;
        }
        o = option_at(args, (size_t) place);
        value = name[n] == '=' ? name + n + 1 : NULL;
        if (o->value == NULL && value != NULL) {
            snprintf(error, size, "--%s takes no value", o->name);
            return -1;
        }
        if (o->value != NULL && value == NULL) {
            if (*i + 1 >= argc) {
                snprintf(error, size, "--%s wants %s", o->name, o->value);
                return -1;
            }
            value = argv[++*i];
        }
        return option_set(args, place, value != NULL ? value : "", error, size);
    }

    for (word++; *word != '\0'; word++) {
        place = option_place(args, NULL, 0, *word);
        if (place < 0) {
            snprintf(error, size, "no such option: -%c", *word);
            return -1;
        }
        o = option_at(args, (size_t) place);
        if (o->value == NULL) {
            if (option_set(args, place, "", error, size) != 0) {
                return -1;
            }
            continue;
        }
        if (word[1] != '\0') {
            return option_set(args, place, word + 1, error, size);
        }
        if (*i + 1 >= argc) {
            snprintf(error, size, "-%c wants %s", *word, o->value);
            return -1;
        }
        return option_set(args, place, argv[++*i], error, size);
    }

    return 0;
}


int
cli_args_parse(cli_args_t *args, const cli_command_t *commands, int argc,
               char **argv, char *error, size_t size)
{
    int i, words, count = 0;
    const cli_command_t *c;

    memset(args, 0, sizeof(*args));
    args->argv = argv + 1;

    /* common options may stand before the command */
    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (option_take(args, argc, argv, &i, error, size) != 0) {
            return -1;
        }
    }

    c = command_find(commands, argc - i, argv + i, &words);
    if (c == NULL) {
        for (; i < argc; i++) {
            if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
                args->help = 1;
            } else {
                args->argv[count++] = argv[i];
            }
        }
        args->argc = count;
        if (count > 0 && !command_is_group(commands, args->argv[0])) {
            snprintf(error, size, "no such command: %s", args->argv[0]);
            return -1;
        }
        if (count > 1) {
            snprintf(error, size, "no such command: %s %s", args->argv[0],
                     args->argv[1]);
            return -1;
        }
        return 0;
    }

    args->command = c;

    for (i += words; i < argc; i++) {
        if (c->ours > 0 && count >= c->ours) {
            break;
        }
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            args->argv[count++] = argv[i];
        } else if (option_take(args, argc, argv, &i, error, size) != 0) {
            return -1;
        }
    }
    /* a program's arguments may be set off by "--" as well */
    if (c->ours > 0 && count == c->ours && i < argc &&
        strcmp(argv[i], "--") == 0) {
        i++;
    }
    while (i < argc) {
        args->argv[count++] = argv[i++];
    }
    args->argc = count;

    if (args->help) {
        return 0;
    }
    if (count < c->least) {
        snprintf(error, size, "aml %s wants %s", c->name, c->arguments);
        return -1;
    }
    if (c->most >= 0 && count > c->most) {
        snprintf(error, size, "too many arguments: %s", args->argv[c->most]);
        return -1;
    }

    return 0;
}


const char *
cli_option(const cli_args_t *args, const char *name)
{
    int place = option_place(args, name, strlen(name), 0);

    return place < 0 ? NULL : args->value[place];
}


const char *
cli_option_each(const cli_args_t *args, const char *name, size_t i)
{
    int place = option_place(args, name, strlen(name), 0);
    size_t k;

    for (k = 0; place >= 0 && k < args->repeats; k++) {
        if (args->repeated[k].place == place && i-- == 0) {
            return args->repeated[k].value;
        }
    }

    return NULL;
}


/* ---- help ---- */

static void
help_option(FILE *out, const cli_option_t *o)
{
    char left[64];
    int n;

    n = snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                 o->value ? " " : "", o->value ? o->value : "");
    (void) fprintf(out, n > 27 ? "  %s\n  %-27s %s\n" : "  %-27s%s %s\n", left,
                   "", o->help);
}


static void
help_of_command(FILE *out, const cli_command_t *c)
{
    const cli_option_t *o;

    (void) fprintf(out, "Usage: aml %s [OPTION]%s%s\n\n%s\n", c->name,
                   c->arguments[0] != '\0' ? " " : "", c->arguments,
                   c->summary);
    if (c->text != NULL) {
        (void) fprintf(out, "\n%s\n", c->text);
    }
    (void) fprintf(out, "\n");
    for (o = c->options; o != NULL && o->name != NULL; o++) {
        help_option(out, o);
    }
    for (o = cli_options_common; o->name != NULL; o++) {
        help_option(out, o);
    }
}


void
cli_help(FILE *out, const cli_command_t *commands, const cli_command_t *command,
         const char *group)
{
    const cli_command_t *c;
    size_t n = group != NULL ? strlen(group) : 0;

    if (command != NULL) {
        help_of_command(out, command);
        return;
    }

    (void) fprintf(out, "Usage: aml COMMAND [OPTION]\n\n");
    for (c = commands; c->name != NULL; c++) {
        if (c->summary != NULL &&
            (group == NULL ||
             (strncmp(c->name, group, n) == 0 && c->name[n] == ' '))) {
            (void) fprintf(out, "  %-18s %s\n", c->name, c->summary);
        }
    }
    (void) fprintf(out, "\n\"aml COMMAND --help\" says more of each.\n");
}
