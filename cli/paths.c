/*
 * Where aml keeps what.
 */

#include "cli/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/text.h"


const char *
cli_path_home(void)
{
    const char *home = getenv("HOME");
    struct passwd *account;

    if (home == NULL || home[0] != '/') {
        account = getpwuid(getuid());
        home = account != NULL ? account->pw_dir : NULL;
    }

    return home != NULL && home[0] == '/' ? home : NULL;
}


static char *
path_of(const char *variable, const char *below, const char *name)
{
    const char *base = getenv(variable), *home;

    if (base == NULL || base[0] != '/') {
        home = cli_path_home();
        if (home == NULL) {
            return NULL;
        }
        return cli_format("%s/%s/aml%s%s", home, below, name ? "/" : "",
                          name ? name : "");
    }

    return cli_format("%s/aml%s%s", base, name ? "/" : "", name ? name : "");
}


char *
cli_path_config(const char *name)
{
    return path_of("XDG_CONFIG_HOME", ".config", name);
}


char *
cli_path_state(const char *name)
{
    return path_of("XDG_STATE_HOME", ".local/state", name);
}


int
cli_path_make(const char *directory)
{
    char path[PATH_MAX];
    char *p;
    size_t n = strlen(directory);

    if (n == 0 || n >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, directory, n + 1);

    for (p = path + 1; *p != '\0'; p++) {
        if (*p != '/') {
            continue;
        }
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            return -1;
        }
        *p = '/';
    }

    return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}


int
cli_path_private(const char *path, int directory, char *error,
                 unsigned long size)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        snprintf(error, size, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)) {
        snprintf(error, size, "%s is no %s", path,
                 directory ? "directory" : "regular file");
        return -1;
    }
    if (st.st_uid != geteuid()) {
        snprintf(error, size, "%s is not yours", path);
        return -1;
    }
    if ((st.st_mode & 077) != 0) {
        snprintf(error, size, "others may read %s: chmod %s %s", path,
                 directory ? "700" : "600", path);
        return -1;
    }

    return 0;
}


static int
path_write(int fd, const char *text, size_t n)
{
    ssize_t wrote;

    while (n > 0) {
        wrote = write(fd, text, n);
        if (wrote < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        text += wrote;
        n -= (size_t) wrote;
    }

    return 0;
}


/* Bytes that are there, also where blocks are counted only as they are
 * written. */
static int
path_fill(int fd, size_t n)
{
    static const char nothing[4096];
    size_t piece;

    for (; n > 0; n -= piece) {
        piece = n < sizeof(nothing) ? n : sizeof(nothing);
        if (path_write(fd, nothing, piece) != 0) {
            return -1;
        }
    }

    return fsync(fd);
}


int
cli_replacement_begin(cli_replacement_t *r, const char *path,
                      unsigned long room, unsigned mode)
{
    struct stat st;
    int saved;

    r->fd = -1;
    r->mode = mode;
    r->temporary = NULL;
    r->real = realpath(path, NULL);
    if (r->real == NULL) {
        r->real = errno == ENOENT ? strdup(path) : NULL;
    } else if (stat(r->real, &st) == 0) {
        r->mode = st.st_mode & 07777;
    }
    if (r->real != NULL) {
        r->temporary = cli_format("%s.XXXXXX", r->real);
    }
    if (r->temporary != NULL) {
        r->fd = mkostemp(r->temporary, O_CLOEXEC);
    }

    if (r->fd < 0 || (room > 0 && path_fill(r->fd, room) != 0)) {
        saved = errno;
        cli_replacement_drop(r);
        errno = saved;
        return -1;
    }

    return 0;
}


int
cli_replacement_end(cli_replacement_t *r, const char *text, unsigned long n)
{
    int rc, saved, fd = r->fd;

    rc = lseek(fd, 0, SEEK_SET) != 0 || path_write(fd, text, n) != 0 ||
                 ftruncate(fd, (off_t) n) != 0 || fsync(fd) != 0 ||
                 fchmod(fd, r->mode) != 0
             ? -1
             : 0;
    if (rc == 0) {
        r->fd = -1;
        rc = close(fd) != 0 || rename(r->temporary, r->real) != 0 ? -1 : 0;
        if (rc != 0) {
            saved = errno;
            (void) unlink(r->temporary);
            errno = saved;
        }
    }

    saved = errno;
    cli_replacement_drop(r);
    errno = saved;

    return rc;
}


void
cli_replacement_drop(cli_replacement_t *r)
{
    if (r->fd >= 0) {
        (void) close(r->fd);
        (void) unlink(r->temporary);
    }
    free(r->real);
    free(r->temporary);
    r->real = r->temporary = NULL;
    r->fd = -1;
}


int
cli_path_replace(const char *path, const char *text, unsigned long n,
                 unsigned mode)
{
    cli_replacement_t r;

    return cli_replacement_begin(&r, path, 0, mode) != 0
               ? -1
               : cli_replacement_end(&r, text, n);
}


int
cli_path_lock(const char *path)
{
    int fd, rc, saved;

    do {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return -1;
    }

    do {
        rc = flock(fd, LOCK_EX);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        saved = errno;
        (void) close(fd);
        errno = saved;
        return -1;
    }

    return fd;
}


char *
cli_path_read(const char *path, unsigned long most, unsigned long *n)
{
    char *text;
    ssize_t got;
    int fd, saved;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return NULL;
    }
    text = malloc(most + 2);
    if (text == NULL) {
        (void) close(fd);
        errno = ENOMEM;
        return NULL;
    }

    *n = 0;
    do {
        got = read(fd, text + *n, most + 1 - *n);
        if (got > 0) {
            *n += (unsigned long) got;
        }
    } while ((got > 0 && *n <= most) || (got < 0 && errno == EINTR));

    saved = got < 0 ? errno : *n > most ? EFBIG : 0;
    (void) close(fd);
    if (saved != 0) {
        free(text);
        errno = saved;
        return NULL;
    }
    text[*n] = '\0';

    return text;
}
