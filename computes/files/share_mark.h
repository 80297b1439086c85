/*
 * How a workspace's share is known again.  A directory that is there may be an
 * empty mount point, or another file system: what people would save there is
 * hidden, or lost, as soon as their share is back.  So amld puts a file into
 * each share when it first uses it, and writes down in the registry what it
 * says: a UUID.  It goes with the files when they are moved or restored.
 *
 * Registry: "share/<subscription>/<group>/<workspace>", {"mark": UUID}; or
 * {"new": true} where nobody had a folder yet when the share was not there.
 */

#ifndef AMLD_SHARE_MARK_H
#define AMLD_SHARE_MARK_H

#include <stdatomic.h>
#include <stddef.h>

#include "computes/config/config.h"
#include "registry/registry.h"

#define AMLD_SHARE_MARK ".aml-share" /* at the top of the share */

typedef enum {
    AMLD_SHARE_GOOD = 0,
    AMLD_SHARE_MISSING, /* there is no such directory */
    AMLD_SHARE_OTHER,   /* it is not known, or not the one that was used */
    AMLD_SHARE_SILENT   /* it does not answer, see shares.h */
} amld_share_state_t;

/*
 * Is the share there, and is it the one that was used before?  One that is used
 * for the first time is given its file, or known by the one that it has.  It
 * is not where people have folders already and there is no Users in it.
 *
 * `err` says why it is not good, to people; of a good one, what the operator
 * ought to know, or nothing: where no file can be made it can't be known again.
 * Waits as long as the share does, without a transaction.  It is written to, as
 * one that can be read may hang then: the file has a new time.  When `ends` is
 * set meanwhile the registry is left alone; NULL is allowed.
 */
amld_share_state_t
amld_share_look(aml_registry_t *registry, const amld_workspace_t *workspace,
                const atomic_int *ends, char *err, size_t size);

/* From now on the directory that is there is the workspace's share, whatever
 * was before.  0, or -1 and why. */
int
amld_share_accept(aml_registry_t *registry, const amld_workspace_t *workspace,
                  char *err, size_t size);

#endif /* AMLD_SHARE_MARK_H */
