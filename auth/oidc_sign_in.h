/*
 * What the two halves of a sign-in with an identity provider share: to it,
 * oidc_sign_in.c, and back, oidc_callback.c.
 */

#ifndef AMLD_OIDC_SIGN_IN_H
#define AMLD_OIDC_SIGN_IN_H

#include "auth/oidc.h"
#include "auth/reason.h"

#define AMLD_OIDC_TO_SIZE 8192 /* of an address with where to afterwards */

/* The section of that name with which people sign in; NULL. */
const amld_issuer_config_t *amld_oidc_section(amld_t *d, const char *name);

/* With what one can sign in to get to `to`. */
void amld_oidc_sign_in_url(char url[AMLD_OIDC_TO_SIZE], const char *to);

/* A page with the reason, and a way on; `text` instead of the reason's own, and
 * what the provider calls it, may be NULL. */
void
amld_oidc_page(amld_t *d, const amld_request_t *request,
               amld_response_t *response, aml_reason_t reason, const char *text,
               const char *detail, const char *link, const char *label);

/* The same with the sign-in page, for another try. */
void amld_oidc_fail(amld_t *d, const amld_request_t *request,
                    amld_response_t *response, aml_reason_t reason,
                    const char *detail, const char *to);

/* That too many wait for this provider: the same address is good in a moment.
 */
void amld_oidc_busy(amld_t *d, const amld_issuer_config_t *issuer,
                    const amld_request_t *request, amld_response_t *response);

/* The handler of what comes back. */
void amld_oidc_callback(amld_t *d, const amld_request_t *request,
                        amld_response_t *response);

#endif /* AMLD_OIDC_SIGN_IN_H */
