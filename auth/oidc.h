/*
 * Signing in and out with an identity provider, OpenID Connect Core 1.0.
 *
 *   GET  /auth/oidc/{issuer}?to=…    to the provider: oidc_sign_in.c
 *   GET  /auth/callback/{issuer}     and back: oidc_callback.c
 *   GET  /auth/leave?code=…          to sign out there, too: oidc_sign_out.c
 *   POST /auth/backchannel-logout    the provider tells of one
 *
 * {issuer} is the name of its section.
 */

#ifndef AMLD_OIDC_H
#define AMLD_OIDC_H

#include <stdatomic.h>

#include "auth/sealed.h"
#include "computes/http/http.h"

#define AMLD_OIDC_CALLBACK "/auth/callback/" /* and the section's name */
#define AMLD_OIDC_URI_SIZE 512

/* Answered at once, and those that ask providers. */
extern const amld_http_route_t amld_oidc_routes[];
extern const amld_http_route_t amld_oidc_slow_routes[];

/* What the handlers share; d->oidc. */
typedef struct amld_oidc amld_oidc_t;

/* NULL after the reason was logged.  Without an issuer that has a client_id
 * there is nothing to be kept, but the routes are there. */
amld_oidc_t *amld_oidc_start(amld_t *d);
/* Has requests to providers end soon; NULL is allowed, as below. */
void amld_oidc_cancel(amld_oidc_t *o);
void amld_oidc_stop(amld_oidc_t *o);

const atomic_int *amld_oidc_cancelled(const amld_oidc_t *o);

const amld_sealer_t *amld_oidc_sealer(const amld_oidc_t *o);
struct amld_oidc_renewer *amld_oidc_renewer(const amld_oidc_t *o);

/* The section whose `iss` that may be, and with which people sign in, or have
 * before its `sign_in` was turned off; NULL. */
const amld_issuer_config_t *
amld_oidc_issuer(const amld_config_t *config, const char *iss);

/* Where its provider sends people back to: an address for each section, so that
 * none can pass another's code off as its own (RFC 9700 section 4.4). */
void amld_oidc_redirect_uri(const amld_config_t *config,
                            const amld_issuer_config_t *issuer,
                            char uri[AMLD_OIDC_URI_SIZE]);

/* The one that people have to sign in with, where there is no other way; NULL.
 */
const amld_issuer_config_t *amld_oidc_only_way(const amld_config_t *config);

/*
 * Before the sign-in of the session that asks is ended, within the transaction
 * that does: `code` is what its person brings to /auth/leave, "" when that
 * was none of a provider.
 */
aml_registry_rc_t amld_oidc_leaves(amld_t *d, aml_registry_txn_t *txn,
                                   const amld_request_t *request,
                                   char *code); /* AMLD_SECRET_SIZE */

/* For the page that the provider sends people back to: forgets that they have
 * to sign in there again, if it is they who have signed out there. */
void
amld_oidc_returned(const amld_request_t *request, amld_response_t *response);

/* Deletes what is over. */
aml_registry_rc_t
amld_oidc_sweep(aml_registry_t *registry, int64_t now, size_t *removed);


/* ---- what its files share ---- */

/*
 * AML_COOKIE_LEFT is the cookie of a browser that has signed out here, and not
 * yet at the provider: the next sign-in asks for the password there, else
 * signing out would be none.
 */
#define AMLD_COOKIE_LEFT_LIFETIME 86400

void amld_oidc_leave(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);

/* Requests that anybody can send and that wait for keys: 0, or -1 when there
 * are enough of them. */
#define AMLD_OIDC_WAITERS 4
int amld_oidc_wait_begin(amld_oidc_t *o);
void amld_oidc_wait_end(amld_oidc_t *o);

/* Is one of the logout tokens that are not accepted to be told of?  See
 * amld_seldom(). */
int amld_oidc_refused(amld_oidc_t *o, unsigned *missed);

/*
 * Requests of people that may wait for a section's provider: 0, or -1 when
 * there are enough of that section, or of all.  One that is slow takes the
 * threads of no other, and of the AMLD_HTTP_SLOW_THREADS some are left for
 * passwords.
 */
#define AMLD_OIDC_ASKING 24
#define AMLD_OIDC_ASKING_ALL (2 * AMLD_OIDC_ASKING)
int amld_oidc_ask_begin(amld_t *d, const amld_issuer_config_t *issuer);
void amld_oidc_ask_end(amld_t *d, const amld_issuer_config_t *issuer);

#endif /* AMLD_OIDC_H */
