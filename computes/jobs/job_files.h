/*
 * A job's directory in the share, which its creator can change at any moment:
 * no step of the way there is a link, and what is made in it is theirs.
 *
 *   <folder>               0700, where the command begins
 *   <folder>/std_log.txt   what it says
 *
 * <folder> is "<creator's folder>/jobs/<id>".
 */

#ifndef AMLD_JOB_FILES_H
#define AMLD_JOB_FILES_H

#include <stddef.h>

#define AMLD_JOB_LOG "std_log.txt"

#define AMLD_JOB_FILES_CANNOT (-1) /* by what its creator has made of it */
#define AMLD_JOB_FILES_LATER (-2)  /* not at the moment */
#define AMLD_JOB_FILES_FULL (-3)   /* not before the share has room */

/*
 * Makes the directory, and an empty log in it in place of one that is there.
 * A descriptor that appends to it, which is the caller's to close; or one of
 * these and why, for people.
 */
int amld_job_files_make(const char *share, const char *folder, char *err,
                        size_t size);

/* The log, to be read: a regular file of the creator's, and no second name of
 * one.  A descriptor, or -1 (errno; ENOENT when there is none yet). */
int amld_job_files_log(const char *share, const char *folder);

#endif /* AMLD_JOB_FILES_H */
