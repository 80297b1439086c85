/*
 * Ends of sign-ins that an identity provider has to do with, in the registry:
 *
 *   logout/<hash>   a logout token that was used, or whom one was about
 *   leave/<hash>    somebody who has signed out here and is on their way to do
 *                   so at the provider; good once and for a minute
 *
 * Both are over by themselves, see expiring.h.
 */

#ifndef AMLD_OIDC_LOGOUT_H
#define AMLD_OIDC_LOGOUT_H

#include <jansson.h>

#include "auth/oidc_token.h"
#include "auth/sealed.h"
#include "auth/sessions.h"

#define AMLD_LOGOUT_PREFIX "logout/"
#define AMLD_LOGOUT_LIFETIME 1800 /* longer than any logout token is taken */
#define AMLD_LEAVE_PREFIX "leave/"
#define AMLD_LEAVE_LIFETIME 60

/*
 * Ends what a logout token is about, and remembers both for a while: the token,
 * which is not taken again, and whom it was about, for sign-ins that are under
 * way.  DENIED when the token was used before.  `ended` is how many sign-ins.
 */
aml_registry_rc_t
amld_oidc_logout(aml_registry_t *registry, const amld_oidc_who_t *who,
                 int64_t now, size_t *ended);

/* Was whoever an ID token is about signed out at the provider after it was
 * issued?  1, 0, or -1 when the registry fails. */
int amld_oidc_logged_out(aml_registry_txn_t *txn, const amld_oidc_who_t *who,
                         int64_t now);

/*
 * For a sign-in that is about to be ended: what its person brings to the
 * studio.  NOTFOUND when it is none of a provider.
 */
aml_registry_rc_t
amld_oidc_leave_begin(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                      const aml_principal_id_t *sign_in, int64_t now,
                      char code[AMLD_SECRET_SIZE]);

/* Takes it.  Strings live as long as `*json`, which is the caller's to give to
 * amld_sign_in_secret_forget(). */
aml_registry_rc_t
amld_oidc_leave_take(aml_registry_t *registry, const amld_sealer_t *sealer,
                     const char *code, int64_t now, const char **iss,
                     const char **id_token, json_t **json);

#endif /* AMLD_OIDC_LOGOUT_H */
