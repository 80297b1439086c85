/*
 * Refresh tokens of ours: of sign-ins that a command line has.  Each is good
 * once, and its use brings the next; whoever brings one that was used has it
 * from somebody, and the sign-in ends (RFC 9700 section 4.14.2).
 *
 * An answer may be lost on its way.  So the one that was used last is good once
 * more, for AMLD_REFRESH_GRACE seconds, while what it brought has not been
 * used; that is void then, and whoever brings it ends the sign-in.
 *
 *   refresh/<hash of the family>   JSON: the sign-in, the hash of what is next,
 *                                  that of the one before and when it was used
 *
 * A token is "amlr_", the family and a secret, 43 characters of base64url
 * each.  The family stays the same: nobody but who has had a token of it knows
 * it, so that nobody else can end the sign-in by guessing.
 */

#ifndef AMLD_REFRESH_H
#define AMLD_REFRESH_H

#include "auth/principal.h"
#include "auth/sessions.h"
#include "registry/registry.h"

#define AMLD_REFRESH_PREFIX "amlr_"
#define AMLD_REFRESH_CHARS (5 + 2 * AMLD_SECRET_CHARS)
#define AMLD_REFRESH_SIZE (AMLD_REFRESH_CHARS + 1)
#define AMLD_REFRESH_GRACE 60 /* seconds */

/* The first one, within the transaction. */
aml_registry_rc_t
amld_refresh_create(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in,
                    const char *client, int64_t expires,
                    char text[AMLD_REFRESH_SIZE]);

typedef struct {
    aml_principal_id_t sign_in;
    char next[AMLD_REFRESH_SIZE];
    int again; /* it had been used: its answer was lost, or it was stolen */
} amld_refresh_use_t;

/*
 * Takes one and makes the next, for `client` (RFC 6749 section 6).  NOTFOUND
 * when there is none such, it is another client's, or its sign-in has ended;
 * DENIED when it was used before and is not good once more: then `sign_in` has
 * ended with that.  `use` is to be cleansed in any case.
 */
aml_registry_rc_t
amld_refresh_use(aml_registry_t *registry, const char *text, const char *client,
                 int64_t now, amld_refresh_use_t *use);

/* Deletes those whose sign-ins have ended, looking at no more than `most`, from
 * where `from` says, as amld_sign_ins_sweep(). */
aml_registry_rc_t amld_refresh_sweep(aml_registry_t *registry, int64_t now,
                                     size_t most, char *from, size_t *removed);

#endif /* AMLD_REFRESH_H */
