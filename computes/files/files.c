#include "computes/files/files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/files/tree.h"

static int files_mkdir(const char *path, size_t from, mode_t mode);
static int files_mode(const char *path, mode_t mode);


int
amld_files_mkdir(const char *path, mode_t mode)
{
    return files_mkdir(path, 0, mode);
}


int
amld_files_mkdir_below(const char *root, const char *path, mode_t mode)
{
    size_t n;

    n = strlen(root);
    if (strncmp(path, root, n) != 0 || path[n] != '/') {
        errno = EINVAL;
        return -1;
    }

    return files_mkdir(path, n, mode);
}


/* What is in the first `from` bytes has to be there. */
static int
files_mkdir(const char *path, size_t from, mode_t mode)
{
    char buf[PATH_MAX], *p;
    struct stat st;

    if ((size_t) snprintf(buf, sizeof(buf), "%s", path) >= sizeof(buf)) {
        errno = ENAMETOOLONG;
        return -1;
    }

    for (p = buf + from + 1; *p != '\0'; p++) {
        if (*p != '/') {
            continue;
        }
        *p = '\0';
        if (mkdir(buf, 0755) != 0 && errno != EEXIST) {
            return -1;
        }
        *p = '/';
    }

    if (mkdir(buf, mode) == 0) {
        return files_mode(buf, mode);
    }

    if (errno != EEXIST || stat(buf, &st) != 0) {
        return -1;
    }

    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }

    return 0;
}


int
amld_files_directory(int above, const char *name, mode_t mode, uid_t uid,
                     gid_t gid)
{
    int fd, made, fault;
    struct stat st, up;

    made = mkdirat(above, name, 0700) == 0;
    if (!made && errno != EEXIST) {
        return -1;
    }

    fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    fault = 0;
    if (fstat(fd, &st) != 0 || fstat(above, &up) != 0) {
        fault = errno;

    } else if (st.st_uid == uid) {
        if (made && fchmod(fd, mode) != 0) {
            fault = errno;
        }

    } else if (st.st_uid != 0 || geteuid() != 0 ||
               ((st.st_mode & 0077) != 0 &&
                (up.st_uid != 0 || (up.st_mode & 0022) != 0))) {
        /* Nobody can bring a directory here that is root's alone. */
        fault = EACCES;

    } else if (fchown(fd, uid, gid) != 0 || fchmod(fd, mode) != 0) {
        fault = errno;
    }

    if (fault != 0) {
        close(fd);
        errno = fault;
        return -1;
    }

    return fd;
}


/* By the thread's own account for files, which no other thread has. */
int
amld_files_make(int above, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    int fd, made, fault;
    struct stat st;

    (void) setfsgid(gid);
    (void) setfsuid(uid);

    made = mkdirat(above, name, mode) == 0;
    fault = made || errno == EEXIST ? 0 : errno;
    fd = fault == 0 ? openat(above, name,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                    : -1;
    if (fd == -1) {
        fault = fault != 0 ? fault : errno;
    } else if (fstat(fd, &st) != 0) {
        fault = errno;
    } else if (st.st_uid != uid) {
        fault = EACCES;
    } else if (made && fchmod(fd, mode) != 0) {
        fault = errno;
    }

    (void) setfsuid(geteuid());
    (void) setfsgid(getegid());

    if (fault != 0) {
        if (fd != -1) {
            close(fd);
        }
        errno = fault;
        return -1;
    }

    return fd;
}


int
amld_files_remove(const char *path, int self, int (*keep)(const char *name))
{
    return amld_tree_remove(path, self, keep, NULL);
}


void
amld_files_name(const char *label, char *name, size_t size)
{
    size_t n;
    unsigned char c;

    for (n = 0; *label != '\0' && n < 64 && n + 1 < size; label++) {
        c = (unsigned char) *label;

        if (n == 0 && (c == '.' || c == '-' || c == ' ')) {
            continue;
        }

        /* One underscore a character, not one a byte. */
        if (c >= 0x80) {
            if ((c & 0xc0) != 0x80) {
                name[n++] = '_';
            }
            continue;
        }

        name[n++] = isalnum(c) || strchr("._@+-", c) != NULL ? (char) c : '_';
    }

    name[n] = '\0';
}


/* The umask has no say in who may enter.  By descriptor: what is there now may
 * be another's link. */
static int
files_mode(const char *path, mode_t mode)
{
    int fd, fault;
    struct stat st;

    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    fault = 0;
    if (fstat(fd, &st) != 0) {
        fault = errno;
    } else if (st.st_uid != geteuid() || (st.st_mode & 0777 & ~mode) != 0) {
        fault = EACCES;
    } else if (fchmod(fd, mode) != 0) {
        fault = errno;
    }
    close(fd);
    errno = fault;

    return fault == 0 ? 0 : -1;
}
