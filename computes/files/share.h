/*
 * Whose the directories are that people's folders are made in.
 */

#ifndef AMLD_SHARE_H
#define AMLD_SHARE_H

#include "computes/config/config.h"

/*
 * Looks at each workspace's share, and at Users in it: whoever may make or
 * rename something there has, or can take, somebody's folder.  So each ought to
 * be root's or amld's, and nobody else's to write.  What is not is a warning in
 * the log, no fault: shares of other machines may not be able to say.  Returns
 * how many warnings there were; what is not there yet is none.
 */
size_t amld_share_check(const amld_config_t *c);

#endif /* AMLD_SHARE_H */
