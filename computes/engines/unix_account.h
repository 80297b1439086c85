/*
 * Which account of this machine somebody's commands run as, where amld is root
 * and unix_accounts says "creator".
 *
 * Names are labels: that somebody is called as an account is does not make it
 * theirs.  It is theirs when
 *
 *   unix-account/<principal>   names it, which was written as they signed in
 *                              with a provider that has an account_claim, and
 *                              the provider has that same one now;
 *   they sign in by PAM        as that account;
 *   they are a local account   of that name, which the operator has made.
 */

#ifndef AMLD_UNIX_ACCOUNT_H
#define AMLD_UNIX_ACCOUNT_H

#include <stddef.h>
#include <sys/types.h>

#include "auth/principal.h"
#include "computes/config/config.h"
#include "registry/registry.h"

#define AMLD_UNIX_NAME 64 /* bytes of a name */

typedef struct {
    uid_t uid;
    gid_t gid;
    char name[AMLD_UNIX_NAME + 1];
} amld_unix_account_t;

/* The account's name; 0, or -1 when they have none. */
int amld_unix_account_of(aml_registry_t *registry, const amld_config_t *c,
                         const char *principal, const char *label,
                         char name[AMLD_UNIX_NAME + 1]);

/*
 * Is it here, and may instances run as it?  Never root, one below
 * unix_accounts_least, or one of those that may speak for others.  0, or -1
 * and why.  May ask the network, as the machine's accounts may be there.
 */
int amld_unix_account_get(const amld_config_t *c, const char *name,
                          amld_unix_account_t *account, char *err, size_t size);

/* What somebody's provider says, by `claim` in a token of `issuer`; NULL or ""
 * takes it away.  What is no name of an account is as if nothing was said. */
aml_registry_rc_t
amld_unix_account_say(aml_registry_txn_t *txn,
                      const aml_principal_id_t *principal, const char *issuer,
                      const char *claim, const char *name);

/*
 * Removes what was said by an issuer, or by a claim, that is not configured any
 * more: were it again, what was said before would count again, and an operator
 * may have taken it out because it was not true.  FULL or LIMIT leave it there.
 */
aml_registry_rc_t
amld_unix_account_sweep(aml_registry_t *registry, const amld_config_t *c);

/* The group by which the gateway reaches sockets: registry_group, or else that
 * of the first of gateway_uids.  0, or -1. */
int amld_unix_gateway_group(const amld_config_t *c, gid_t *gid);

#endif /* AMLD_UNIX_ACCOUNT_H */
