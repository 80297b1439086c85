/*
 * Removes jobs that have ended, many at a time: for who runs the gateway, and
 * for those that are kept only for so long.
 */

#ifndef AMLD_JOB_REMOVE_H
#define AMLD_JOB_REMOVE_H

#include "computes/jobs/job.h"

typedef struct {
    const char *creator;   /* principal; NULL: anybody's */
    const char *name;      /* in any case; NULL: any */
    const char *workspace; /* its name; NULL: all */
    int64_t before;        /* ended before that, ms since 1970; 0: whenever */
} amld_job_which_t;

/* 1 when it is one of these, whether it has ended or not, and whenever. */
int amld_job_is_one(const amld_job_which_t *which, const json_t *doc);

typedef void (*amld_job_removed_pt)(void *data, const json_t *doc);

/*
 * Removes those of them that have ended, and calls `removed`, unless NULL, for
 * each, when that is written.  Looks at no more than `most` jobs, from where
 * `from` (AML_REGISTRY_KEY_MAX + 1 bytes, "" at first) says; it is "" again
 * once the end was reached.  `n` is how many there were, also on failure.
 *
 * Others may write between its steps, which become smaller where the registry
 * has little room left; what is kept in reserve is used for it.
 */
aml_registry_rc_t
amld_jobs_remove(aml_registry_t *registry, const amld_job_which_t *which,
                 size_t most, char *from, amld_job_removed_pt removed,
                 void *data, size_t *n);

#endif /* AMLD_JOB_REMOVE_H */
