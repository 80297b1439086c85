/*
 * Directories of instances: private ones, and people's folders in a share.
 */

#ifndef AMLD_FILES_H
#define AMLD_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* Makes `path` and what is missing above it; what exists is left as it is.
 * Not in a directory that somebody else can write to.  0, or -1 (errno; ENOTDIR
 * when something else is there). */
int amld_files_mkdir(const char *path, mode_t mode);

/* The same of what is missing below `root`, which `path` begins with: that is
 * not made (ENOENT), as it may be something that is not mounted now. */
int amld_files_mkdir_below(const char *root, const char *path, mode_t mode);

/*
 * Makes directory `name` in directory `above` and gives it to `uid` and `gid`,
 * also where `above` is theirs and they change it meanwhile: no link is
 * followed, and what is not root's stays whose it is.  A descriptor of it,
 * which is the caller's to close; -1 (errno; EACCES when one is there that
 * belongs to somebody else).
 */
int amld_files_directory(int above, const char *name, mode_t mode, uid_t uid,
                         gid_t gid);

/*
 * The same in a folder that `uid` has had all along: it is made as `uid`, and
 * nothing that is there is given to anybody, as they may have brought what is
 * root's here under this name.
 */
int
amld_files_make(int above, const char *name, mode_t mode, uid_t uid, gid_t gid);

/* amld_tree_remove(), which may take long. */
int
amld_files_remove(const char *path, int self, int (*keep)(const char *name));

/*
 * A directory name for the label of a person, "Users/<name>"-safe: letters,
 * digits and "._@+-" stay, the rest becomes '_', it does not begin with a dot
 * or a dash and has at most 64 bytes.  `size` of at least 66.  Empty when the
 * label has nothing to make a name of.
 */
void amld_files_name(const char *label, char *name, size_t size);

#endif /* AMLD_FILES_H */
