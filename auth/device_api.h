/*
 * Device authorization for command lines, RFC 8628.
 *
 *   POST  /auth/device          a program asks: client_id=<what it is>
 *   GET   /auth/device          the page: enter the code, see who asks
 *   POST  /auth/device/answer   its form: user_code, answer=approve or deny
 *   POST  /auth/token           with grant_type: codes and refresh tokens for
 *                               tokens; see amld_grant_token()
 */

#ifndef AMLD_DEVICE_API_H
#define AMLD_DEVICE_API_H

#include "computes/http/http.h"

extern const amld_http_route_t amld_device_routes[];

/*
 * POST /auth/token, where the form has a grant_type:
 * urn:ietf:params:oauth:grant-type:device_code with device_code, or
 * refresh_token with refresh_token; client_id where it is sent must be the
 * one that asked.  Errors are OAuth's.
 */
void amld_grant_token(amld_t *d, const amld_request_t *request,
                      amld_response_t *response);

/* 400 as of RFC 6749 section 5.2. */
void amld_grant_error(amld_response_t *response, const char *error,
                      const char *text);

/* What the program is called, client_id of the form; NULL when it is not said,
 * or can't be a name. */
const char *amld_device_client(const amld_request_t *request);

#define AMLD_DEVICE_CLIENT_WRONG                                               \
    "Send client_id: what the program is called, 1 to 64 bytes."

#endif /* AMLD_DEVICE_API_H */
