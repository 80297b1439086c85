#include "computes/files/private_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIVATE_NAME 256
#define PRIVATE_NEW ".aml-new"

static int private_one(int root, const struct stat *owner,
                       const aml_application_file_t *file);
static int private_above(int root, const char *path, char name[PRIVATE_NAME]);
static int
private_directory(int dir, const char *name, const struct stat *owner);
static int private_file(int dir, const char *name, const char *text,
                        const struct stat *owner);
static int private_write(int fd, const char *text);


int
amld_private_files(const char *runtime, const aml_application_file_t *files,
                   char *err, size_t size)
{
    int root, fault;
    size_t i;
    struct stat owner;

    root = open(runtime, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root == -1 || fstatat(root, "run", &owner, AT_SYMLINK_NOFOLLOW) != 0) {
        snprintf(err, size, "%s/run: %s", runtime, strerror(errno));
        if (root != -1) {
            close(root);
        }
        return -1;
    }

    for (i = 0; files[i].path != NULL; i++) {
        if (private_one(root, &owner, &files[i]) != 0) {
            fault = errno;
            snprintf(err, size, "cannot make %s/%s: %s", runtime, files[i].path,
                     strerror(fault));
            close(root);
            return -1;
        }
    }

    close(root);

    return 0;
}


static int
private_one(int root, const struct stat *owner,
            const aml_application_file_t *file)
{
    int dir, rc, fault;
    char name[PRIVATE_NAME];

    dir = private_above(root, file->path, name);
    if (dir == -1) {
        return -1;
    }

    rc = file->text == NULL ? private_directory(dir, name, owner)
                            : private_file(dir, name, file->text, owner);
    fault = errno;
    close(dir);
    errno = fault;

    return rc;
}


/* The directory that the last part of `path` is in, which is `name`. */
static int
private_above(int root, const char *path, char name[PRIVATE_NAME])
{
    int dir, next, fault;
    size_t n;

    dir = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    while (dir != -1) {
        n = strcspn(path, "/");
        if (n == 0 || n >= PRIVATE_NAME) {
            close(dir);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, n);
        name[n] = '\0';

        if (path[n] == '\0') {
            return dir;
        }
        path += n + 1;

        next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        fault = errno;
        close(dir);
        errno = fault;
        dir = next;
    }

    return -1;
}


/* By its descriptor: what has the name may be another by now. */
static int
private_directory(int dir, const char *name, const struct stat *owner)
{
    int fd, made, rc, fault;

    made = mkdirat(dir, name, 0700) == 0;
    if (!made && errno != EEXIST) {
        return -1;
    }

    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = made ? fchown(fd, owner->st_uid, owner->st_gid) : 0;
    fault = errno;
    close(fd);
    errno = fault;

    return rc;
}


static int
private_file(int dir, const char *name, const char *text,
             const struct stat *owner)
{
    int fd, fault;
    char fresh[PRIVATE_NAME + sizeof(PRIVATE_NEW)];

    snprintf(fresh, sizeof(fresh), "%s" PRIVATE_NEW, name);
    (void) unlinkat(dir, fresh, 0);

    fd = openat(dir, fresh,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd == -1) {
        return -1;
    }

    if (private_write(fd, text) != 0 ||
        fchown(fd, owner->st_uid, owner->st_gid) != 0 ||
        renameat(dir, fresh, dir, name) != 0) {
        fault = errno;
        close(fd);
        (void) unlinkat(dir, fresh, 0);
        errno = fault;
        return -1;
    }

    return close(fd);
}


static int
private_write(int fd, const char *text)
{
    size_t n;
    ssize_t sent;

    for (n = strlen(text); n > 0; n -= (size_t) sent, text += sent) {
        sent = write(fd, text, n);
        if (sent == -1) {
            if (errno != EINTR) {
                return -1;
            }
            sent = 0;
        }
    }

    return 0;
}
