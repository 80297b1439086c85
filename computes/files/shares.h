/*
 * Workspaces' shares, asked from threads of their own, one for each.  A share
 * of another machine may not answer for hours, and whoever asks it waits as
 * long, where no signal reaches; so the supervisor asks here first, with a
 * deadline.  What was asked before is remembered: of one that does not answer
 * that is said at once, until it does.
 */

#ifndef AMLD_SHARES_H
#define AMLD_SHARES_H

#include "computes/amld.h"
#include "computes/files/share_mark.h"

#define AMLD_SHARES_PATIENCE 5000 /* ms until it does not answer */

typedef struct amld_shares amld_shares_t;

/* Looks at each, and waits a little for what they say, so that a new share is
 * known before anybody has a folder in it.  NULL after the reason was logged.
 */
amld_shares_t *amld_shares_start(amld_t *d);
void amld_shares_stop(amld_shares_t *shares); /* NULL is allowed */

/*
 * As amld_share_look(), and AMLD_SHARE_SILENT when the share does not answer in
 * time.  It is asked anew, unless it has answered within the last moments; to
 * have it written to is a part of that.  With d->shares NULL: without a
 * deadline.
 */
amld_share_state_t amld_shares_ask(amld_t *d, const amld_workspace_t *workspace,
                                   char *err, size_t size);

/* The supervisor begins something with a share, `what` (a constant), and has
 * done it.  It may hang there all the same, and then that is logged. */
void amld_shares_enter(amld_t *d, const amld_workspace_t *workspace,
                       const char *what);
void amld_shares_leave(amld_t *d);

/* Every few seconds, from any thread: logs what does not answer, and who waits
 * for it. */
void amld_shares_mind(amld_t *d);

#endif /* AMLD_SHARES_H */
