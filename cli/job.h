/*
 * What the commands for jobs share.
 */

#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <stdio.h>

#include "cli/cli.h"

/* One word as it is, several quoted for a shell; the caller's. */
char *cli_job_command(int argc, char **argv);

/*
 * Writes the log as it comes, to its end, or nothing where `out` is NULL.  The
 * exit status says what the job has come to: CLI_EXIT_OUTCOME where that is not
 * Completed.  With --json the job is printed then.
 */
int cli_job_follow(cli_t *cli, const char *name, FILE *out);

/* GETs text, all or a range of it, and writes it as it comes: to a terminal
 * without control characters, else byte by byte. */
int cli_print_text(cli_t *cli, const char *path, const char *range);

#endif /* CLI_JOB_H */
