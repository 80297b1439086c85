/*
 * Sample notebooks, which everybody finds in a folder "samples" of their own
 * when their first instance in a workspace starts.  Once:
 *
 *   samples/<subscription>/<group>/<workspace>/<principal>
 *
 * in the registry says that it was done, so that what somebody deletes stays
 * deleted.
 */

#ifndef AMLD_SAMPLES_H
#define AMLD_SAMPLES_H

#include "computes/amld.h"
#include "computes/instances/computes.h"

#define AMLD_SAMPLES_FOLDER "samples"
#define AMLD_SAMPLES_FILES 64
#define AMLD_SAMPLES_SIZE (1024 * 1024) /* bytes of one file, the most */

/* Of an instance that is about to start its applications.  What fails is
 * logged, tried again at the next start, and keeps nobody from working. */
void amld_samples_give(const amld_t *d, const amld_key_t *compute,
                       const char *principal, const char *folder);

/*
 * Copies the files of directory `from` into "samples" in `folder`, as files of
 * the folder's owner.  What is there stays as it is; no link is followed.  0,
 * or -1 (errno) with nothing of the file that failed left.
 */
int amld_samples_copy(const char *from, const char *folder);

#endif /* AMLD_SAMPLES_H */
