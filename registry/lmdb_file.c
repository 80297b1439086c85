/*
 * A look at data.mdb before LMDB maps it.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/internal.h"


/*
 * What LMDB 0.9 has at the start of pages 0 and 1.  LMDB trusts these fields:
 * a page size of 0 is a division by zero, and a file that ends before its
 * last page is a SIGBUS on the first read behind the end.  So they are looked
 * at before LMDB does.
 */
typedef struct {
    size_t pgno;
    uint16_t pad;
    uint16_t flags;
    uint32_t bounds;
    uint32_t magic;
    uint32_t version;
    void *address;
    size_t map_size;
    struct {
        uint32_t pad; /* in the first: the page size */
        uint16_t flags;
        uint16_t depth;
        size_t pages[3];
        size_t entries;
        size_t root;
    } db[2];
    size_t last_page;
    size_t txn_id;
} lmdb_meta_t;

#define LMDB_MAGIC 0xBEEFC0DE
#define LMDB_VERSION 1
#define LMDB_P_META 0x08
#define LMDB_PAGE_MIN 512
#define LMDB_PAGE_MAX 32768


static aml_registry_rc_t
data_check_fd(int fd)
{
    off_t at;
    size_t size, page;
    ssize_t n;
    struct stat st;
    lmdb_meta_t meta, newest;

    if (fstat(fd, &st) != 0) {
        return aml_registry_translate(errno);
    }

    /* open for writing makes it first and fills it then */
    if (st.st_size == 0) {
        return AML_REGISTRY_MISSING;
    }

    memset(&newest, 0, sizeof(newest));

    for (at = 0, page = 0;; at += (off_t) page) {
        n = pread(fd, &meta, sizeof(meta), at);
        if (n < 0) {
            return aml_registry_translate(errno);
        }

        if ((size_t) n != sizeof(meta) || !(meta.flags & LMDB_P_META) ||
            meta.magic != LMDB_MAGIC || meta.version != LMDB_VERSION) {
            return AML_REGISTRY_CORRUPT;
        }

        size = meta.db[0].pad;
        if (size < LMDB_PAGE_MIN || size > LMDB_PAGE_MAX ||
            (size & (size - 1)) != 0 || (at != 0 && size != page)) {
            return AML_REGISTRY_CORRUPT;
        }

        if (at == 0 || meta.txn_id > newest.txn_id) {
            newest = meta;
        }

        if (at != 0) {
            break;
        }

        page = size;
    }

    if (st.st_size < (off_t) (2 * page) ||
        newest.last_page >= (size_t) st.st_size / page) {
        return AML_REGISTRY_CORRUPT;
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
aml_registry_data_check(const char *path)
{
    int fd;
    struct stat st;
    aml_registry_rc_t rc;

    /* a fifo would block, a device would be driven */
    if (stat(path, &st) != 0) {
        return aml_registry_translate(errno);
    }

    if (!S_ISREG(st.st_mode)) {
        return AML_REGISTRY_CORRUPT;
    }

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd == -1) {
        return aml_registry_translate(errno);
    }

    rc = data_check_fd(fd);
    close(fd);

    return rc;
}
