/*
 * Room on the disk for commits to come.  amld's alone.
 */

#include "registry/registry.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "registry/internal.h"


/* Blocks without size: LMDB finds the file as it left it. */
int
aml_registry_reserve(aml_registry_t *reg)
{
    mdb_filehandle_t fd;
    struct stat st;

    if (mdb_env_get_fd(reg->env, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0) {
        return -1;
    }

    return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0,
                     st.st_size + AML_REGISTRY_RESERVE);
}
