/*
 * Sign-ins with an identity provider, renewed while they last: before the
 * provider's access token expires it is asked with the refresh token whether
 * the person is still let in, and which groups they are in now.
 *
 * A provider that says no (invalid_grant) ends the sign-in.  One that does not
 * answer ends nothing: the sign-in goes on until its own end, and the provider
 * is asked again, later each time.
 *
 * Before it is asked, that is written down; what it answers, with the refresh
 * token that takes the old one's place, is one transaction.  Where amld is
 * killed between the two, or the answer is lost, the old token may be used up:
 * when the provider then says invalid_grant, that says nothing of the person,
 * and the sign-in goes on without being renewed.
 */

#ifndef AMLD_OIDC_RENEW_H
#define AMLD_OIDC_RENEW_H

#include "auth/principal.h"
#include "auth/sealed.h"
#include "computes/amld.h"

#define AMLD_RENEW_THREADS 16
#define AMLD_RENEW_AT_ONCE 8   /* requests to one provider */
#define AMLD_RENEW_A_SECOND 50 /* to one provider */
#define AMLD_RENEW_LEAST 5     /* seconds between two of one sign-in */
#define AMLD_RENEW_MOST 3600   /* the same, whatever the provider's tokens */

typedef struct amld_oidc_renewer amld_oidc_renewer_t;

/* Takes up what the registry has.  NULL after the reason was logged. */
amld_oidc_renewer_t *
amld_oidc_renewer_start(amld_t *d, const amld_sealer_t *sealer);
/* Requests that are under way are given up; NULL is allowed. */
void amld_oidc_renewer_stop(amld_oidc_renewer_t *r);

/* A sign-in that is to be renewed from `due` on; any thread.  One that can't be
 * taken is not renewed before the next start. */
void amld_oidc_renewer_add(amld_oidc_renewer_t *r,
                           const aml_principal_id_t *sign_in, int64_t due);

/* When to renew what is good for `lifetime` seconds from `now`: between five
 * and six eighths of it, by chance, within the bounds above. */
int64_t amld_oidc_renew_due(int64_t now, int64_t lifetime);

/* How long to leave a provider alone that has failed `failures` times: 5
 * seconds, then twice as long each time, 300 at most, and up to a quarter more
 * by chance; or as long as it asks, an hour at most. */
int64_t amld_oidc_renew_pause(unsigned failures, long retry_after);

#endif /* AMLD_OIDC_RENEW_H */
