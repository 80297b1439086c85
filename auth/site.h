/*
 * What the handlers of sign-in, sessions and tokens ask first: which host, who,
 * from where; and what they answer when that is not as it must be.
 */

#ifndef AMLD_SITE_H
#define AMLD_SITE_H

#include "auth/pages.h"
#include "computes/http/http.h"

#define AMLD_COOKIE_FLAGS "Path=/; Secure; HttpOnly; SameSite=Lax"

/* Does a person look at the answer?  Of any method: forms have pages too. */
int amld_site_is_page(const amld_request_t *request);

int amld_site_is_studio(const amld_t *d, const amld_request_t *request);

/*
 * For requests that cookies speak for, or that set one: 0 when a page of
 * another origin has made it, other than by following a link.
 */
int amld_site_same_origin(const amld_request_t *request);

/* The reason as a page. */
void amld_site_refuse(amld_t *d, amld_response_t *response, amld_site_t site,
                      aml_reason_t reason);

/* The same with an address to try again at. */
void amld_site_refuse_to(amld_t *d, amld_response_t *response, amld_site_t site,
                         aml_reason_t reason, const char *again);

/* As a page, at the studio where nothing else is said, or as JSON for a
 * program. */
void amld_site_say(amld_t *d, const amld_request_t *request,
                   amld_response_t *response, aml_reason_t reason);
void amld_site_say_at(amld_t *d, const amld_request_t *request,
                      amld_response_t *response, amld_site_t site,
                      aml_reason_t reason);

/* try_later: in so many seconds. */
void amld_site_later(amld_t *d, const amld_request_t *request,
                     amld_response_t *response, unsigned seconds);

/* That the registry can't be used, after logging that `what` has failed. */
void amld_site_failed(amld_t *d, const amld_request_t *request,
                      amld_response_t *response, const char *what,
                      aml_registry_rc_t rc);

/* 1 when the studio was asked, by nobody else; else the response is filled
 * with a page. */
int amld_site_studio(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);

/*
 * 1 when the studio was asked by somebody who may look after their own sign-ins
 * and tokens: by their session from the studio's own pages, or, unless
 * `session` is set, by a JSON Web Token of theirs; never by a personal access
 * token.  Else the response is filled: whoever is not signed in is sent to do
 * that and back to `to`, which is NULL where a program is told instead.
 */
int amld_site_person(amld_t *d, const amld_request_t *request,
                     amld_response_t *response, int session, const char *to);

/* Does a page of another origin ask?  A token speaks for itself: no page can
 * send one that it does not have.  And who has neither, a program maybe, is
 * told that first. */
int amld_site_foreign(const amld_request_t *request);

/* Who asks, as the gateway says, for decide.h. */
void amld_site_identity(const amld_request_t *request, aml_identity_t *who);

/*
 * May who asks do `action`, "Microsoft.AmlGateway/…", at "/"?  OK, or why not.
 * Of a JSON Web Token of another issuer amld does not know the groups.
 */
aml_reason_t
amld_site_may(amld_t *d, const amld_request_t *request, const char *action);

/* Redirects to `prefix` and the encoded `to`. */
void
amld_site_go(amld_response_t *response, const char *prefix, const char *to);

void amld_site_clear_cookie(amld_response_t *response);

/*
 * The hash of the cookie by which a browser is known at this origin while it
 * signs in: 0, or 1 when it had none and was given one, or -1.
 */
int amld_site_browser(const amld_request_t *request, amld_response_t *response,
                      uint8_t hash[32]);

#endif /* AMLD_SITE_H */
