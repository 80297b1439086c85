/*
 * The log of a job, to be read.
 */

#include <errno.h>

#include "computes/jobs/job.h"
#include "computes/jobs/job_files.h"


int
amld_job_log_open(const amld_config_t *c, const json_t *job)
{
    const amld_workspace_t *workspace;

    workspace = amld_compute_workspace(c, job);
    if (workspace == NULL) {
        errno = ENOENT;
        return -1;
    }

    return amld_job_files_log(workspace->share,
                              amld_compute_str(job, "folder"));
}
