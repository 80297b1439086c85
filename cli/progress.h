/*
 * Waiting for what an instance is about to become, with its steps on standard
 * error (docs/computes.md, "Progress and logs").
 */

#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

/*
 * Follows until the operation ("Create", "Start", "Stop", "Restart", "Delete")
 * is over.  0, or an exit status after it was said what has failed:
 * CLI_EXIT_OUTCOME where the operation has.  `*compute` is the instance then,
 * the caller's; NULL where it is gone.
 */
int cli_progress(cli_t *cli, const char *name, const char *operation,
                 json_t **compute);

/* Says an instance's errors, a line each and the ends of logs. */
void cli_progress_errors(const json_t *compute);

#endif /* CLI_PROGRESS_H */
