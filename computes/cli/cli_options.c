/*
 * The options of a sub-command, from a table.
 */

#include "computes/cli/cli.h"

#include <getopt.h>

#define FIRST 256 /* above every letter */
#define WHO 7


int
amld_cli_options(int argc, char **argv, const char *usage,
                 const amld_cli_option_t *options, amld_cli_who_t *who,
                 const char **argument)
{
    amld_cli_who_t nobody = {0}, *w = who != NULL ? who : &nobody;
    const amld_cli_option_t of_who[WHO] = {
        {"account", &w->account, NULL},   {"principal", &w->principal, NULL},
        {"subject", &w->subject, NULL},   {"group", &w->group, NULL},
        {"app-role", &w->app_role, NULL}, {"space", &w->space, NULL},
        {"issuer", &w->issuer, NULL},
    };
    const amld_cli_option_t *all[WHO + AMLD_CLI_OPTIONS_MOST], *o;
    struct option list[WHO + AMLD_CLI_OPTIONS_MOST + 2] = {{0}};
    size_t i, n = 0;
    int c;

    for (i = 0; i < WHO && who != NULL; i++) {
        all[n++] = &of_who[i];
    }
    for (i = 0; options != NULL && i < AMLD_CLI_OPTIONS_MOST &&
                options[i].name != NULL;
         i++) {
        all[n++] = &options[i];
    }
    for (i = 0; i < n; i++) {
        list[i] = (struct option){all[i]->name,
                                  all[i]->value != NULL ? required_argument
                                                        : no_argument,
                                  NULL, FIRST + (int) i};
    }
    list[n] = (struct option){"help", no_argument, NULL, 'h'};

    optind = 0; /* so that getopt starts anew */
    while ((c = getopt_long(argc, argv, "h", list, NULL)) != -1) {
        if (c < FIRST) {
            return amld_cli_usage(usage, c != 'h');
        }
        o = all[c - FIRST];
        if (o->value != NULL) {
            *o->value = optarg;
        } else {
            *o->flag = 1;
        }
    }

    if (argument != NULL) {
        *argument = optind < argc ? argv[optind++] : NULL;
    }

    return optind == argc ? -1 : amld_cli_usage(usage, 1);
}
