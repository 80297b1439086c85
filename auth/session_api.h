/*
 * Where people see their sign-ins and end them.
 *
 *   GET     /auth/sessions         one's own; a page, or JSON for a program
 *   POST    /auth/sessions         the page's forms: end=<id>, or others=1
 *   DELETE  /auth/sessions         all but the one that asks
 *   DELETE  /auth/sessions/{id}
 *
 *   GET     /auth/principals/{principal}/sessions        another's, with
 *   DELETE  /auth/principals/{principal}/sessions        Microsoft.AmlGateway/
 *   DELETE  /auth/principals/{principal}/sessions/{id}   principals/sessions/
 *                                                        read and …/delete
 *
 * By session or a JSON Web Token, never by a personal access token.  Another's
 * sign-in is as one that is not there.
 */

#ifndef AMLD_SESSION_API_H
#define AMLD_SESSION_API_H

#include "computes/http/http.h"

extern const amld_http_route_t amld_session_routes[];

#endif /* AMLD_SESSION_API_H */
