/*
 * Tokens, and what renews them.
 */

#include "cli/renew.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/credentials.h"
#include "cli/text.h"

#define RENEW_SECONDS 20 /* an attempt; no signal ends it meanwhile */
#define RENEW_ATTEMPTS 2
#define RENEW_LEAST 60 /* seconds before the end of a token */


static json_int_t
renew_number(const json_t *profile, const char *member)
{
    return json_integer_value(json_object_get(profile, member));
}


int
cli_renew_due(const json_t *profile, json_int_t now)
{
    json_int_t before = renew_number(profile, "lifetime") / 8;

    before = before > RENEW_LEAST ? before : RENEW_LEAST;

    return json_string_value(json_object_get(profile, "refresh_token")) !=
               NULL &&
           renew_number(profile, "expires") - now < before;
}


int
cli_renew_is_good(const json_t *profile, json_int_t now)
{
    json_int_t expires = renew_number(profile, "expires");

    return json_string_value(json_object_get(profile, "access_token")) !=
               NULL &&
           (expires == 0 || expires > now);
}


int
cli_renew_keep(json_t *profile, const json_t *answer, json_int_t now)
{
    json_t *access = json_object_get(answer, "access_token");
    json_t *refresh = json_object_get(answer, "refresh_token");
    json_int_t seconds = renew_number(answer, "expires_in");

    if (!json_is_string(access) || json_string_length(access) == 0 ||
        seconds <= 0 || seconds > (json_int_t) 10 * 365 * 24 * 3600) {
        return -1;
    }

    json_object_set(profile, "access_token", access);
    json_object_set_new(profile, "expires", json_integer(now + seconds));
    json_object_set_new(profile, "lifetime", json_integer(seconds));
    if (json_is_string(refresh)) {
        json_object_set(profile, "refresh_token", refresh);
    } else {
        json_object_del(profile, "refresh_token");
    }

    return 0;
}


char *
cli_form_escape(const char *value)
{
    char *escaped = curl_easy_escape(NULL, value, (int) strlen(value));
    char *copy = escaped != NULL ? strdup(escaped) : NULL;

    if (escaped != NULL) {
        explicit_bzero(escaped, strlen(escaped));
    }
    curl_free(escaped);

    return copy;
}


long
cli_token_ask(CURL *curl, const cli_request_t *request, cli_answer_t *answer,
              json_t **json)
{
    *json = NULL;
    if (cli_http(curl, request, answer) != 0) {
        return 0;
    }
    *json = json_loadb(answer->body, answer->n, 0, NULL);
    if (!json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
    }

    return answer->status;
}


/*
 * Asks, and once more where the server may have taken the token though nothing
 * of use has come: it is good again for a minute then, and never later.
 */
static long
renew_ask(CURL *curl, const char *ca, const char *url, const char *form,
          cli_answer_t *answer, json_t **json)
{
    cli_request_t request = {.method = "POST",
                             .url = url,
                             .ca = ca,
                             .type = "application/x-www-form-urlencoded",
                             .body = form,
                             .body_n = strlen(form),
                             .timeout = RENEW_SECONDS};
    struct timespec pause = {1, 0};
    unsigned attempt;
    long status;

    for (attempt = 1;; attempt++) {
        status = cli_token_ask(curl, &request, answer, json);
        if (attempt == RENEW_ATTEMPTS ||
            (status == 0 ? !answer->sent : status < 500)) {
            return status;
        }
        json_decref(*json);
        cli_answer_clear(answer);
        (void) nanosleep(&pause, NULL);
    }
}


cli_renewal_t
cli_renew(CURL *curl, const char *ca, json_t *profile)
{
    const char *token, *client, *server, *error;
    char *url, *form, *escaped, *name;
    cli_renewal_t renewal = CLI_RENEW_LATER;
    cli_answer_t answer;
    json_t *json;
    long status;

    token = json_string_value(json_object_get(profile, "refresh_token"));
    client = json_string_value(json_object_get(profile, "client"));
    server = json_string_value(json_object_get(profile, "server"));

    url = cli_format("%s/auth/token", server != NULL ? server : "");
    escaped = cli_form_escape(token != NULL ? token : "");
    name = cli_form_escape(client != NULL ? client : "aml");
    form = escaped != NULL && name != NULL
               ? cli_format("grant_type=refresh_token&client_id=%s&"
                            "refresh_token=%s",
                            name, escaped)
               : NULL;
    if (url == NULL || form == NULL) {
        (void) cli_fail(0, "no memory");
        goto done;
    }

    status = renew_ask(curl, ca, url, form, &answer, &json);

    error = json_string_value(json_object_get(json, "error"));
    if (status == 200 &&
        cli_renew_keep(profile, json, (json_int_t) time(NULL)) == 0) {
        renewal = CLI_RENEWED;
    } else if (status == 400 && error != NULL &&
               strcmp(error, "invalid_grant") == 0) {
        renewal = CLI_RENEW_OVER;
    } else {
        (void) cli_fail(0, "your sign-in can't be renewed now: %s",
                        status == 0 ? answer.error
                        : error     ? error
                                : "the server does not answer as it should");
    }
    cli_profile_cleanse(json);
    json_decref(json);
    cli_answer_clear(&answer);

done:
    if (form != NULL) {
        explicit_bzero(form, strlen(form));
    }
    if (escaped != NULL) {
        explicit_bzero(escaped, strlen(escaped));
    }
    free(form);
    free(escaped);
    free(name);
    free(url);

    return renewal;
}
