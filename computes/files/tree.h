/*
 * Trees of files that somebody else may be changing meanwhile: by descriptors,
 * however deep, without following a link or going to another file system.
 */

#ifndef AMLD_TREE_H
#define AMLD_TREE_H

#include <stdatomic.h>
#include <sys/types.h>

/*
 * Removes what is in directory `path`, and `path` itself when `self` is set;
 * names in it for which `keep` answers 1 stay, NULL keeps nothing.  Where
 * `stop` becomes true it ends early.  0, or -1 when something is left (errno of
 * the first fault); a directory that is not there is no fault.
 */
int amld_tree_remove(const char *path, int self, int (*keep)(const char *name),
                     const atomic_int *stop);

/*
 * Gives all that is `from`'s in directory `path` to `to`, its group as well,
 * and in the end `path` itself, which tells whether it was done.  What is
 * somebody else's stays so, and what has a second name: that may be anywhere.
 * 0, or -1 (errno of the first fault; EAGAIN when `path` is not `from`'s).
 */
int amld_tree_give(const char *path, uid_t from, uid_t to);

#endif /* AMLD_TREE_H */
