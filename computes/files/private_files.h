/*
 * Files and directories that an application needs in its instance's private
 * directory before it is started.
 *
 * What runs on an instance may have written there before: nothing that it left
 * is followed or written into.
 */

#ifndef AMLD_PRIVATE_FILES_H
#define AMLD_PRIVATE_FILES_H

#include "upstreams/application.h"

/*
 * Makes the list below `runtime`, for whoever "run" in it belongs to.  A
 * directory that is there stays; a file takes the place of the one before, all
 * at once.  0, or -1 and why.
 */
int amld_private_files(const char *runtime, const aml_application_file_t *files,
                       char *err, size_t size);

#endif /* AMLD_PRIVATE_FILES_H */
