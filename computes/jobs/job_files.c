#include "computes/jobs/job_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/files/files.h"

#define FILES_DEEP 16 /* parts of a folder's name */

typedef struct {
    char text[PATH_MAX];
    const char *parts[FILES_DEEP];
    size_t count;
} files_way_t;

static int files_way(files_way_t *way, const char *folder);
static int
files_creator(const char *share, const files_way_t *way, struct stat *st);
static int files_fault(int fault);
static int files_enter(int above, const char *name);
static int files_close(int fd);


int
amld_job_files_make(const char *share, const char *folder, char *err,
                    size_t size)
{
    int above, dir, fault, fd;
    size_t k;
    files_way_t way;
    struct stat st;

    if (files_way(&way, folder) != 0) {
        snprintf(err, size, "The job has no directory: \"%s\".", folder);
        return AMLD_JOB_FILES_CANNOT;
    }

    dir = files_creator(share, &way, &st);
    if (dir == -1) {
        fault = errno;
        snprintf(err, size,
                 "The creator's folder in the share cannot be "
                 "entered: %s.",
                 strerror(fault));
        /* What is above it is not theirs to take away. */
        return fault == ENOENT ? AMLD_JOB_FILES_LATER : files_fault(fault);
    }

    for (k = way.count - 2; k < way.count; k++) {
        above = dir;
        dir = amld_files_make(above, way.parts[k],
                              k + 1 < way.count ? 0755 : 0700, st.st_uid,
                              st.st_gid);
        fault = errno;
        close(above);
        if (dir == -1) {
            snprintf(err, size,
                     "The job's directory %s cannot be made: %s: "
                     "%s.",
                     folder, way.parts[k], strerror(fault));
            return files_fault(fault);
        }
    }

    fd = -1;
    if (unlinkat(dir, AMLD_JOB_LOG, 0) == 0 || errno == ENOENT) {
        fd = openat(dir, AMLD_JOB_LOG,
                    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW |
                        O_CLOEXEC,
                    0600);
    }
    if (fd != -1 && st.st_uid != geteuid() &&
        fchown(fd, st.st_uid, st.st_gid) != 0) {
        fd = files_close(fd);
    }
    fault = errno;
    close(dir);
    if (fd == -1) {
        snprintf(err, size,
                 "The job's log %s/" AMLD_JOB_LOG " cannot be made: "
                 "%s.",
                 folder, strerror(fault));
        return files_fault(fault);
    }

    return fd;
}


/* A directory of their own can be made into many things, not into these. */
static int
files_fault(int fault)
{
    switch (fault) {

    case ENOSPC:
    case EDQUOT:
        return AMLD_JOB_FILES_FULL;

    case EAGAIN:
    case EBUSY:
    case EINTR:
    case EIO:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EROFS:
    /* of a server that is away */
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENOTCONN:
    case EREMOTEIO:
    case ESHUTDOWN:
    case ESTALE:
    case ETIMEDOUT:
        return AMLD_JOB_FILES_LATER;

    default:
        return AMLD_JOB_FILES_CANNOT;
    }
}


int
amld_job_files_log(const char *share, const char *folder)
{
    int dir, fd, next;
    size_t k;
    files_way_t way;
    struct stat creator, st;

    if (files_way(&way, folder) != 0) {
        errno = ENOENT;
        return -1;
    }

    dir = files_creator(share, &way, &creator);
    for (k = way.count - 2; k < way.count && dir != -1; k++) {
        next = files_enter(dir, way.parts[k]);
        (void) files_close(dir);
        dir = next;
    }
    if (dir == -1) {
        return -1;
    }

    /* What is there may be a pipe by now, a link, or somebody else's file. */
    fd = openat(dir, AMLD_JOB_LOG,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    (void) files_close(dir);

    if (fd != -1 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
                     st.st_nlink != 1 || st.st_uid != creator.st_uid)) {
        errno = EINVAL;
        fd = files_close(fd);
    }

    return fd;
}


static int
files_way(files_way_t *way, const char *folder)
{
    char *p, *rest;

    way->count = 0;
    if ((size_t) snprintf(way->text, sizeof(way->text), "%s", folder) >=
        sizeof(way->text)) {
        return -1;
    }

    for (p = strtok_r(way->text, "/", &rest); p != NULL;
         p = strtok_r(NULL, "/", &rest)) {
        if (way->count == FILES_DEEP || strcmp(p, ".") == 0 ||
            strcmp(p, "..") == 0) {
            return -1;
        }
        way->parts[way->count++] = p;
    }

    /* of the creator's folder one at least */
    return way->count > 2 ? 0 : -1;
}


/* The folder that "jobs" is in: what is made is whose that is. */
static int
files_creator(const char *share, const files_way_t *way, struct stat *st)
{
    int dir, next;
    size_t k;

    dir = open(share, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (k = 0; k + 2 < way->count && dir != -1; k++) {
        next = files_enter(dir, way->parts[k]);
        (void) files_close(dir);
        dir = next;
    }

    if (dir != -1 && fstat(dir, st) != 0) {
        dir = files_close(dir);
    }

    return dir;
}


static int
files_enter(int above, const char *name)
{
    return openat(above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}


/* -1, with errno as it was. */
static int
files_close(int fd)
{
    int fault;

    fault = errno;
    close(fd);
    errno = fault;

    return -1;
}
