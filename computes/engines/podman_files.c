/*
 * What an instance of podman has of the machine's files.
 *
 *   <private>/s      sockets: a file system of its own, small, on which no
 *                    symbolic link is followed.  The gateway and amld connect
 *                    to what is in there, and whoever is root inside could
 *                    otherwise lead them to somebody else's socket.
 *   <private>/home   root's home, kept until the instance is deleted
 *   <private>/tmp    /tmp, emptied by a stop
 *
 * The private directory itself is never seen inside: amld's logs and notes are
 * in it.
 */

#include "computes/engines/podman.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "computes/engines/podman_run.h"
#include "computes/files/files.h"
#include "computes/files/tree.h"

#define FILES_TMPFS 0x01021994
#define FILES_PATIENCE 600 /* seconds, to remove what there is */
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10 */
#endif

static int files_pass(const amld_podman_spec_t *s, const char *path, char *err,
                      size_t size);
static int files_path(const amld_podman_spec_t *s, const char *name, char *path,
                      char *err, size_t size);
static int files_make(const amld_podman_spec_t *s, const char *name,
                      mode_t mode, char *err, size_t size);
static int files_sockets(const amld_podman_spec_t *s, char *err, size_t size);
static int files_mounted(const char *path);
static void files_remove(const amld_podman_spec_t *s, const char *name);
static int files_private(const amld_podman_spec_t *s, char *err, size_t size);
static int
files_run(const amld_podman_spec_t *s, int dir, char *err, size_t size);
static int files_folder(const amld_podman_spec_t *s, char *err, size_t size);
static int files_were_theirs(const amld_podman_spec_t *s, uid_t uid);
static int files_of_account(const amld_podman_spec_t *s, uid_t uid);


int
amld_podman_files(const amld_podman_spec_t *s, char *err, size_t size)
{
    char above[PATH_MAX];

    /* The gateway passes through, and sees nothing but what it can name. */
    snprintf(above, sizeof(above), "%s", s->directory);
    *strrchr(above, '/') = '\0';
    if (files_pass(s, above, err, size) != 0 ||
        files_pass(s, s->directory, err, size) != 0) {
        return -1;
    }

    files_remove(s, "tmp");

    return files_sockets(s, err, size) == 0 &&
                   files_make(s, "home", 0700, err, size) == 0 &&
                   files_make(s, "tmp", 01777, err, size) == 0 &&
                   files_private(s, err, size) == 0 &&
                   files_folder(s, err, size) == 0
               ? 0
               : -1;
}


void
amld_podman_files_clear(const amld_podman_spec_t *s, int all)
{
    char path[PATH_MAX], err[512];

    if (files_path(s, AMLD_PODMAN_SOCKETS_DIR, path, err, sizeof(err)) == 0) {
        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
            /* one upon the other, of steps that were killed */
        }
        rmdir(path);
    }

    files_remove(s, "tmp");
    if (all) {
        files_remove(s, "home");
    }
}


/* However deep it is, and it is no fault of ours what a disk refuses. */
static void
files_remove(const amld_podman_spec_t *s, const char *name)
{
    char path[PATH_MAX], err[512];
    amld_podman_args_t a;

    if (files_path(s, name, path, err, sizeof(err)) != 0 ||
        access(path, F_OK) != 0) {
        return;
    }

    amld_podman_args(&a, "rm");
    amld_podman_arg(&a, "-rf");
    amld_podman_arg(&a, "--one-file-system");
    amld_podman_arg(&a, "--");
    amld_podman_arg(&a, "%s", path);

    if (amld_podman_run(&a, NULL, FILES_PATIENCE, NULL, 0, err, sizeof(err)) !=
        0) {
        printf("%s\n", err);
    }
}


static int
files_pass(const amld_podman_spec_t *s, const char *path, char *err,
           size_t size)
{
    if (chown(path, 0, s->group != -1 ? (gid_t) s->group : 0) != 0 ||
        chmod(path, s->group != -1 ? 0710 : 0700) != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


static int
files_path(const amld_podman_spec_t *s, const char *name, char *path, char *err,
           size_t size)
{
    if ((size_t) snprintf(path, PATH_MAX, "%s/%s", s->directory, name) >=
        PATH_MAX) {
        snprintf(err, size, "%s: too long", s->directory);
        return -1;
    }

    return 0;
}


static int
files_make(const amld_podman_spec_t *s, const char *name, mode_t mode,
           char *err, size_t size)
{
    char path[PATH_MAX];

    if (files_path(s, name, path, err, size) != 0) {
        return -1;
    }

    if (amld_files_mkdir(path, 0700) != 0 ||
        lchown(path, (uid_t) s->uid, (gid_t) s->uid) != 0 ||
        chmod(path, mode) != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    return 0;
}


static int
files_sockets(const amld_podman_spec_t *s, char *err, size_t size)
{
    char path[PATH_MAX], options[128];
    long long group;

    if (files_path(s, AMLD_PODMAN_SOCKETS_DIR, path, err, size) != 0) {
        return -1;
    }
    if (amld_files_mkdir(path, 0700) != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    if (files_mounted(path)) {
        /* A container that runs has it, too: it is not made anew. */
        return 0;
    }

    /* What is new in it has the directory's group: the gateway's. */
    group = s->group != -1 ? (long long) s->group : (long long) s->uid;
    snprintf(options, sizeof(options),
             "size=1m,nr_inodes=1k,mode=2770,uid=%lld,gid=%lld",
             (long long) s->uid, group);

    if (mount("aml", path, "tmpfs",
              MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW,
              options) != 0) {
        snprintf(err, size,
                 "no file system for sockets can be mounted at %s: %s", path,
                 strerror(errno));
        return -1;
    }

    return 0;
}


static int
files_mounted(const char *path)
{
    struct stat at, above;
    struct statfs fs;
    char up[PATH_MAX];

    return (size_t) snprintf(up, sizeof(up), "%s/..", path) < sizeof(up) &&
           lstat(path, &at) == 0 && lstat(up, &above) == 0 &&
           at.st_dev != above.st_dev && statfs(path, &fs) == 0 &&
           fs.f_type == FILES_TMPFS;
}


/* The applications' own directories in root's home, where only "run" is
 * emptied.  Nothing runs inside now, but what was there is what somebody made
 * of it: no step of the way may be a link. */
static int
files_private(const amld_podman_spec_t *s, char *err, size_t size)
{
    int fd, home, rc;
    char path[PATH_MAX];
    const char *name;

    if (files_path(s, "home", path, err, size) != 0) {
        return -1;
    }

    name = strrchr(AMLD_PODMAN_PRIVATE, '/') + 1;

    home = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (home == -1) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }

    if (mkdirat(home, name, 0700) != 0 && errno != EEXIST) {
        snprintf(err, size, "%s/%s: %s", path, name, strerror(errno));
        close(home);
        return -1;
    }

    fd = openat(home, name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = -1;
    if (fd == -1) {
        snprintf(err, size, "%s/%s: %s", path, name, strerror(errno));
    } else if (fchown(fd, (uid_t) s->uid, (gid_t) s->uid) != 0) {
        snprintf(err, size, "%s/%s: %s", path, name, strerror(errno));
        close(fd);
    } else {
        rc = files_run(s, fd, err, size);
        close(fd);
    }

    close(home);

    return rc;
}


static int
files_run(const amld_podman_spec_t *s, int dir, char *err, size_t size)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d/run", dir);
    if (amld_files_remove(path, 1, NULL) != 0) {
        printf("what the run before has left in " AMLD_PODMAN_PRIVATE
               "/run can't be removed: %s\n",
               strerror(errno));
    }

    if ((mkdirat(dir, "run", 0700) != 0 && errno != EEXIST) ||
        fchownat(dir, "run", (uid_t) s->uid, (gid_t) s->uid,
                 AT_SYMLINK_NOFOLLOW) != 0) {
        snprintf(err, size, AMLD_PODMAN_PRIVATE "/run: %s", strerror(errno));
        return -1;
    }

    return 0;
}


/* The creator's folder is theirs: root's inside.  It has their name, which does
 * not make it theirs when it is somebody else's. */
static int
files_folder(const amld_podman_spec_t *s, char *err, size_t size)
{
    char path[PATH_MAX];
    struct stat st;

    if ((size_t) snprintf(path, sizeof(path), "%s/%s", s->share, s->folder) >=
        sizeof(path)) {
        snprintf(err, size, "%s: too long", s->share);
        return -1;
    }

    if (lstat(path, &st) != 0) {
        snprintf(err, size, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(err, size, "%s: not a directory", path);
        return -1;
    }
    if (st.st_uid >= (uid_t) s->uid &&
        st.st_uid < (uid_t) s->uid + AMLD_PODMAN_RANGE) {
        return 0;
    }

    if (st.st_uid != 0 && !files_were_theirs(s, st.st_uid) &&
        !files_of_account(s, st.st_uid)) {
        snprintf(err, size,
                 "%s belongs to another account (uid %lu) and not to this "
                 "instance's creator (uid %lld). Whoever runs this machine can "
                 "give it to them, or move it out of the way.",
                 path, (unsigned long) st.st_uid, (long long) s->uid);
        return -1;
    }

    if (amld_tree_give(path, st.st_uid, (uid_t) s->uid) != 0) {
        snprintf(err, size, "the files below %s can't be given to uid %lld: %s",
                 path, (long long) s->uid, strerror(errno));
        return -1;
    }

    return 0;
}


/* Under another uid_base. */
static int
files_were_theirs(const amld_podman_spec_t *s, uid_t uid)
{
    size_t k;
    json_t *value;
    json_int_t first;

    json_array_foreach((json_t *) s->before, k, value)
    {
        first = json_integer_value(value);
        if (first > 0 && uid >= first && uid < first + AMLD_PODMAN_RANGE) {
            return 1;
        }
    }

    return 0;
}


/* Of the engine with accounts. */
static int
files_of_account(const amld_podman_spec_t *s, uid_t uid)
{
    size_t k;
    json_t *value;
    const struct passwd *pw;

    if (*s->account == '\0' || uid == 0 || uid < s->account_least) {
        return 0;
    }

    json_array_foreach((json_t *) s->gateway, k, value)
    {
        if (json_integer_value(value) == uid) {
            return 0;
        }
    }

    pw = getpwnam(s->account);

    return pw != NULL && pw->pw_uid == uid;
}
