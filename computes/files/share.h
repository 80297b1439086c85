/*
 * The directories that people's folders are made in: whose they are, and
 * whether they are there; share_mark.h says which they are.
 */

#ifndef AMLD_SHARE_H
#define AMLD_SHARE_H

#include "computes/config/config.h"

/*
 * Looks at each workspace's share, and at Users in it: whoever may make or
 * rename something there has, or can take, somebody's folder.  So each ought to
 * be root's or amld's, and nobody else's to write.  What is not is a warning in
 * the log, no fault: shares of other machines may not be able to say.  So is a
 * share that is not there; a Users that is not there yet is none.  Returns how
 * many warnings there were.
 */
size_t amld_share_check(const amld_config_t *c);
size_t amld_share_check_one(const amld_workspace_t *w);

#endif /* AMLD_SHARE_H */
