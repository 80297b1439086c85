/*
 * Where people make personal access tokens, see them and revoke them.
 *
 *   GET     /auth/tokens        one's own; a page, or JSON for a program
 *   POST    /auth/tokens        a new one, of JSON or of the page's form; and
 *                               the page's revoke=<id>
 *   DELETE  /auth/tokens/{id}
 *
 * By session or a JSON Web Token; a new one by session only, so that no token
 * outlives itself by another.  Never by a personal access token.
 */

#ifndef AMLD_TOKEN_API_H
#define AMLD_TOKEN_API_H

#include <jansson.h>

#include "auth/personal_tokens.h"
#include "computes/http/http.h"

extern const amld_http_route_t amld_token_routes[];


/* ---- token_ask.c: what a new token is to be ---- */

#define AMLD_TOKEN_NAME_SIZE 32 /* of an instance */
#define AMLD_TOKEN_FORM_SIZE 4096

typedef struct {
    aml_personal_token_t token; /* strings are of what follows or the request */
    unsigned days;
    char names[AML_TOKEN_SCOPES][AMLD_TOKEN_NAME_SIZE];
    char actions[AMLD_TOKEN_FORM_SIZE];
    json_t *body;
    char message[256]; /* what is wrong */
} amld_token_ask_t;

/*
 * Reads JSON or the form; `most` is the longest that it may be good, in days.
 * Whose the instances are is not looked at.  0, or -1 and a message;
 * amld_token_ask_free() in either case.
 *
 * JSON: {"name", "expiresInDays", "instances": "all", "none" or names,
 * "actions": patterns}; what is left out is none, and of days 30.  The form:
 * name, days, reach ("all", "none" or "some"), instance.<name> for each,
 * do.see, do.run, and actions, parted by white space or commas.
 */
int amld_token_ask_json(amld_token_ask_t *ask, const amld_request_t *request,
                        unsigned most);
int amld_token_ask_form(amld_token_ask_t *ask, const amld_request_t *request,
                        const json_t *instances, unsigned most);
void amld_token_ask_free(amld_token_ask_t *ask);


/* ---- token_page.c ---- */

typedef struct {
    const char *person;
    const json_t *tokens;        /* as the API lists them */
    const json_t *instances;     /* own ones: lower-case names */
    unsigned most;               /* days */
    const char *made;            /* the new token, or NULL */
    const char *alert;           /* what went wrong, or NULL */
    const amld_request_t *again; /* whose form is filled in again, or NULL */
} amld_token_page_t;

void amld_token_page(const amld_t *d, amld_response_t *response,
                     unsigned status, const amld_token_page_t *page);

#endif /* AMLD_TOKEN_API_H */
