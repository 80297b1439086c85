/*
 * What a job runs: its command line by a shell, with its variables.
 */

#ifndef AMLD_JOB_COMMAND_H
#define AMLD_JOB_COMMAND_H

#include <jansson.h>
#include <limits.h>
#include <stdint.h>

#include "computes/config/config.h"
#include "computes/engines/engine.h"

#define AMLD_JOB_ENV 8

typedef struct {
    const char *argv[5];
    const char *envp[AMLD_JOB_ENV];
    char *text; /* what it reads: variables and command, for nobody's eyes */
    char directory[2 * PATH_MAX]; /* inside */
    char bin[PATH_MAX];
    char room[6 * PATH_MAX];
    const char *image; /* the document's; NULL: none */
    int64_t timeout;   /* seconds; 0: none */
} amld_job_command_t;

/*
 * Of a job's document, which must outlive it, in an instance whose engine
 * `inside` is of; with `here` its programs are this machine's.  0, or -1
 * without memory or when names are too long.
 */
int amld_job_command(const amld_config_t *c, const json_t *doc,
                     const amld_engine_inside_t *inside, int here,
                     amld_job_command_t *job);
void amld_job_command_free(amld_job_command_t *job);

#endif /* AMLD_JOB_COMMAND_H */
