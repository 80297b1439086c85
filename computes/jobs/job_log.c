/*
 * The log of a job, to be read.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/jobs/job.h"


int
amld_job_log_open(const amld_config_t *c, const json_t *job)
{
    int fd;
    char path[PATH_MAX];
    struct stat st;

    if ((size_t) snprintf(path, sizeof(path), "%s/jobs/%016llx.log", c->state,
                          (unsigned long long) amld_job_seq(job)) >=
        sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return -1;
    }

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }

    return fd;
}
