/*
 * What POST /auth/token gives (RFC 6749 section 5), as a profile keeps it.
 */

#ifndef CLI_RENEW_H
#define CLI_RENEW_H

#include <curl/curl.h>
#include <jansson.h>

#include "cli/http.h"

typedef enum {
    CLI_RENEWED = 0,
    CLI_RENEW_LATER, /* the server can't be asked; why was said */
    CLI_RENEW_OVER   /* the sign-in has ended */
} cli_renewal_t;

/* Is it time, and is there a refresh token?  An eighth of the token's time
 * before its end, a minute at least. */
int cli_renew_due(const json_t *profile, json_int_t now);

/* Is there a token that is good still? */
int cli_renew_is_good(const json_t *profile, json_int_t now);

/* Asks; `profile` has the new tokens then, and is to be saved at once. */
cli_renewal_t cli_renew(CURL *curl, const char *ca, json_t *profile);

/* Puts the tokens of an answer into a profile; 0, or -1 where it has none. */
int cli_renew_keep(json_t *profile, const json_t *answer, json_int_t now);

/*
 * POST /auth/token with a form, "a=b&c=d".  The status, 0 where there is no
 * answer (`answer->error`); `*json` is the caller's, or NULL.
 */
long cli_token_ask(CURL *curl, const cli_request_t *request,
                   cli_answer_t *answer, json_t **json);

/* A value of a form, escaped; the caller's, by free(). */
char *cli_form_escape(const char *value);

#endif /* CLI_RENEW_H */
