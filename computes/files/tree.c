#include "computes/files/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory on the way down: one descriptor for all of them is enough, as it
 * is known again. */
typedef struct {
    dev_t dev;
    ino_t ino;
    char *names; /* of directories in it, one after the other */
    size_t at;
    size_t n;
    size_t room;
} tree_level_t;

typedef struct tree {
    /* A directory that is entered; 0, or -1 with errno. */
    int (*enter)(const struct tree *t, int fd, const struct stat *st);
    /* Something else in it. */
    int (*entry)(const struct tree *t, int dir, const char *name);
    /* A directory in it, after all that is in that. */
    int (*leave)(const struct tree *t, int dir, const char *name);
    int (*keep)(const char *name);
    const atomic_int *stop;
    uid_t from, to;

    int fault; /* the first */
    tree_level_t *levels;
    size_t depth;
    size_t room;
} tree_t;

static void tree_walk(tree_t *t, int fd);
static int tree_push(tree_t *t, int fd);
static void tree_pop(tree_t *t);
static void tree_read(tree_t *t, int dir);
static int tree_is_directory(int dir, const struct dirent *entry);
static int tree_name(tree_level_t *level, const char *name);
static int tree_down(tree_t *t, int dir);
static int tree_up(tree_t *t, int dir);
static void tree_fault(tree_t *t);
static int remove_enter(const tree_t *t, int fd, const struct stat *st);
static int remove_entry(const tree_t *t, int dir, const char *name);
static int remove_leave(const tree_t *t, int dir, const char *name);
static int give_entry(const tree_t *t, int dir, const char *name);
static int give_one(const tree_t *t, int fd);


int
amld_tree_remove(const char *path, int self, int (*keep)(const char *name),
                 const atomic_int *stop)
{
    int fd;
    tree_t t;

    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        return errno == ENOENT ? 0 : -1;
    }

    memset(&t, 0, sizeof(t));
    t.enter = remove_enter;
    t.entry = remove_entry;
    t.leave = remove_leave;
    t.keep = keep;
    t.stop = stop;
    tree_walk(&t, fd);

    if (self && t.fault == 0 && rmdir(path) != 0) {
        tree_fault(&t);
    }

    errno = t.fault;

    return t.fault == 0 ? 0 : -1;
}


int
amld_tree_give(const char *path, uid_t from, uid_t to)
{
    int fd, top;
    tree_t t;
    struct stat st;

    memset(&t, 0, sizeof(t));
    t.entry = give_entry;
    t.leave = give_entry;
    t.from = from;
    t.to = to;

    top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top == -1) {
        return -1;
    }

    if (fstat(top, &st) != 0) {
        tree_fault(&t);
    } else if (st.st_uid != from) {
        t.fault = EAGAIN;
    } else if ((fd = fcntl(top, F_DUPFD_CLOEXEC, 0)) == -1) {
        tree_fault(&t);
    } else {
        tree_walk(&t, fd);
    }

    if (t.fault == 0 && give_one(&t, top) != 0) {
        tree_fault(&t);
    }

    close(top);
    errno = t.fault;

    return t.fault == 0 ? 0 : -1;
}


/* All that is in `fd`, which it takes over. */
static void
tree_walk(tree_t *t, int fd)
{
    if (tree_push(t, fd) == 0) {
        tree_read(t, fd);
    } else {
        tree_fault(t);
    }

    while (t->depth > 0 && fd != -1) {
        if (t->stop != NULL && atomic_load(t->stop)) {
            errno = ECANCELED;
            tree_fault(t);
            break;
        }
        if (t->levels[t->depth - 1].at < t->levels[t->depth - 1].n) {
            fd = tree_down(t, fd);
        } else if (t->depth > 1) {
            fd = tree_up(t, fd);
        } else {
            break;
        }
    }

    while (t->depth > 0) {
        tree_pop(t);
    }
    free(t->levels);
    if (fd != -1) {
        close(fd);
    }
}


static int
tree_push(tree_t *t, int fd)
{
    size_t room;
    struct stat st;
    tree_level_t *more;

    if (fstat(fd, &st) != 0) {
        return -1;
    }
    if (t->depth > 0 && st.st_dev != t->levels[0].dev) {
        errno = EXDEV;
        return -1;
    }
    if (t->depth > 0 && t->enter != NULL && t->enter(t, fd, &st) != 0) {
        return -1;
    }

    if (t->depth == t->room) {
        room = t->room != 0 ? 2 * t->room : 32;
        more = realloc(t->levels, room * sizeof(*more));
        if (more == NULL) {
            return -1;
        }
        t->levels = more;
        t->room = room;
    }

    memset(&t->levels[t->depth], 0, sizeof(t->levels[0]));
    t->levels[t->depth].dev = st.st_dev;
    t->levels[t->depth].ino = st.st_ino;
    t->depth++;

    return 0;
}


static void
tree_pop(tree_t *t)
{
    free(t->levels[--t->depth].names);
}


/* What is no directory is done, the others are for later. */
static void
tree_read(tree_t *t, int fd)
{
    int again, is;
    DIR *dir;
    struct dirent *entry;

    again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = again != -1 ? fdopendir(again) : NULL;
    if (dir == NULL) {
        tree_fault(t);
        if (again != -1) {
            close(again);
        }
        return;
    }

    while ((entry = readdir(dir)) != NULL &&
           (t->stop == NULL || !atomic_load(t->stop))) {
        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0 ||
            (t->depth == 1 && t->keep != NULL && t->keep(entry->d_name))) {
            continue;
        }

        is = tree_is_directory(fd, entry);
        if ((is == 1 &&
             tree_name(&t->levels[t->depth - 1], entry->d_name) != 0) ||
            (is == 0 && t->entry(t, fd, entry->d_name) != 0 &&
             errno != ENOENT)) {
            tree_fault(t);
        }
    }

    closedir(dir);
}


static int
tree_is_directory(int dir, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN) {
        return entry->d_type == DT_DIR;
    }

    return fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
               ? S_ISDIR(st.st_mode)
               : -1;
}


static int
tree_name(tree_level_t *level, const char *name)
{
    size_t n, room;
    char *more;

    n = strlen(name) + 1;

    if (level->n + n > level->room) {
        room = 2 * level->room + n + 256;
        more = realloc(level->names, room);
        if (more == NULL) {
            return -1;
        }
        level->names = more;
        level->room = room;
    }

    memcpy(level->names + level->n, name, n);
    level->n += n;

    return 0;
}


/* Into the next one of this level, if it can be; the new descriptor. */
static int
tree_down(tree_t *t, int dir)
{
    int fd;
    const char *name;
    tree_level_t *level;

    level = &t->levels[t->depth - 1];
    name = level->names + level->at;
    level->at += strlen(name) + 1;

    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        if (errno != ENOENT) {
            tree_fault(t);
        }
        return dir;
    }

    if (tree_push(t, fd) != 0) {
        tree_fault(t);
        close(fd);
        return dir;
    }

    close(dir);
    tree_read(t, fd);

    return fd;
}


/* Back to the level above; -1 when that is not where it was: somebody has moved
 * the directory meanwhile. */
static int
tree_up(tree_t *t, int dir)
{
    int up;
    size_t at;
    struct stat st;
    const tree_level_t *level;

    up = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(dir);
    tree_pop(t);
    level = &t->levels[t->depth - 1];

    if (up != -1 && (fstat(up, &st) != 0 || st.st_dev != level->dev ||
                     st.st_ino != level->ino)) {
        close(up);
        up = -1;
        errno = ESTALE;
    }
    if (up == -1) {
        tree_fault(t);
        return -1;
    }

    for (at = level->at - 1; at > 0 && level->names[at - 1] != '\0'; at--) {
        /* void */
    }
    if (t->leave(t, up, level->names + at) != 0 && errno != ENOENT) {
        tree_fault(t);
    }

    return up;
}


static void
tree_fault(tree_t *t)
{
    if (t->fault == 0) {
        t->fault = errno;
    }
}


/* Whoever is at work in it still can't make anything new. */
static int
remove_enter(const tree_t *t, int fd, const struct stat *st)
{
    (void) t;

    if (geteuid() == 0 && st->st_uid != 0 && fchown(fd, 0, 0) != 0) {
        return -1;
    }
    if ((st->st_mode & 07777) != 0700 && fchmod(fd, 0700) != 0) {
        return -1;
    }

    return 0;
}


static int
remove_entry(const tree_t *t, int dir, const char *name)
{
    (void) t;

    return unlinkat(dir, name, 0);
}


static int
remove_leave(const tree_t *t, int dir, const char *name)
{
    (void) t;

    return unlinkat(dir, name, AT_REMOVEDIR);
}


/* Looked at and given are the same, whatever has that name by then. */
static int
give_entry(const tree_t *t, int dir, const char *name)
{
    int fd, rc, fault;

    fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    rc = give_one(t, fd);
    fault = errno;
    close(fd);
    errno = fault;

    return rc;
}


static int
give_one(const tree_t *t, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return -1;
    }
    if (st.st_uid != t->from || (!S_ISDIR(st.st_mode) && st.st_nlink > 1)) {
        return 0;
    }

    return fchownat(fd, "", t->to, t->to, AT_EMPTY_PATH);
}
