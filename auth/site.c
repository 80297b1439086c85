/*
 * Which host, who, from where.
 */

#include "auth/site.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auth/cookie.h"
#include "auth/origin.h"
#include "auth/sign_in.h"

#define URL_SIZE 8192


/* ---- from where ---- */

static void
site_origin(const amld_request_t *request, aml_origin_t *origin)
{
    memset(origin, 0, sizeof(*origin));
    origin->method = aml_str_of(request->method);
    origin->host = aml_str_of(request->host);
    origin->origin = aml_str_of(amld_request_header(request, "Origin"));
    origin->fetch_site =
        aml_str_of(amld_request_header(request, "Sec-Fetch-Site"));
    origin->fetch_mode =
        aml_str_of(amld_request_header(request, "Sec-Fetch-Mode"));
    origin->fetch_dest =
        aml_str_of(amld_request_header(request, "Sec-Fetch-Dest"));
}


int
amld_site_is_page(const amld_request_t *request)
{
    aml_origin_t origin;

    site_origin(request, &origin);
    origin.method = aml_str("GET");

    return aml_origin_is_page(
        &origin, aml_str_of(amld_request_header(request, "Accept")),
        aml_str_of(amld_request_header(request, "X-Requested-With")));
}


int
amld_site_same_origin(const amld_request_t *request)
{
    aml_origin_t origin;

    site_origin(request, &origin);

    return aml_origin_allowed(&origin);
}


int
amld_site_is_studio(const amld_t *d, const amld_request_t *request)
{
    return strcasecmp(request->host, d->config->studio + strlen("https://")) ==
           0;
}


/* ---- refusals ---- */

void
amld_site_refuse(amld_t *d, amld_response_t *response, amld_site_t site,
                 aml_reason_t reason)
{
    const aml_reason_info_t *info = aml_reason_info(reason);
    char text[512];

    (void) snprintf(text, sizeof(text), "%.*s %.*s", (int) info->text.n,
                    info->text.p, (int) info->next.n, info->next.p);

    /* the strings are literals, and so NUL-ended */
    amld_page_message(d, response, site, info->status, info->code.p,
                      info->title.p, text, NULL, NULL);
    amld_response_header(response, "X-AML-Reason", "%s", info->code.p);
}


void
amld_site_refuse_to(amld_t *d, amld_response_t *response, amld_site_t site,
                    aml_reason_t reason, const char *again)
{
    const aml_reason_info_t *info = aml_reason_info(reason);

    amld_page_message(d, response, site, info->status, info->code.p,
                      info->title.p, info->text.p, again, "Try again");
    amld_response_header(response, "X-AML-Reason", "%s", info->code.p);
}


void
amld_site_say(amld_t *d, const amld_request_t *request,
              amld_response_t *response, aml_reason_t reason)
{
    amld_site_say_at(d, request, response, AMLD_SITE_STUDIO, reason);
}


void
amld_site_say_at(amld_t *d, const amld_request_t *request,
                 amld_response_t *response, amld_site_t site,
                 aml_reason_t reason)
{
    const aml_reason_info_t *info = aml_reason_info(reason);

    if (amld_site_is_page(request)) {
        amld_site_refuse(d, response, site, reason);
        return;
    }

    amld_response_error(response, info->status, info->code.p, NULL, "%s %s",
                        info->text.p, info->next.p);
    amld_response_header(response, "X-AML-Reason", "%s", info->code.p);
}


void
amld_site_later(amld_t *d, const amld_request_t *request,
                amld_response_t *response, unsigned seconds)
{
    const aml_reason_info_t *info = aml_reason_info(AML_REASON_TRY_LATER);
    char text[128];

    (void) snprintf(text, sizeof(text), "%s Try again in %u second%s.",
                    info->text.p, seconds, seconds == 1 ? "" : "s");

    if (amld_site_is_page(request)) {
        amld_page_message(d, response, AMLD_SITE_STUDIO, info->status,
                          info->code.p, info->title.p, text, NULL, NULL);
    } else {
        amld_response_error(response, info->status, info->code.p, NULL, "%s",
                            text);
    }
    amld_response_header(response, "X-AML-Reason", "%s", info->code.p);
    amld_response_header(response, "Retry-After", "%u", seconds);
}


void
amld_site_failed(amld_t *d, const amld_request_t *request,
                 amld_response_t *response, const char *what,
                 aml_registry_rc_t rc)
{
    amld_log(AMLD_LOG_ERROR, "%s: %s", what, aml_registry_strerror(rc));
    amld_site_say(d, request, response, AML_REASON_REGISTRY_UNAVAILABLE);
}


int
amld_site_studio(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    if (!amld_site_is_studio(d, request)) {
        amld_site_refuse(d, response, AMLD_SITE_STUDIO,
                         AML_REASON_HOST_UNKNOWN);
        return 0;
    }

    if (!amld_site_same_origin(request)) {
        amld_site_refuse(d, response, AMLD_SITE_STUDIO,
                         AML_REASON_CROSS_ORIGIN);
        return 0;
    }

    return 1;
}


/* ---- who ---- */

int
amld_site_foreign(const amld_request_t *request)
{
    int browser = amld_request_header(request, "Origin") != NULL ||
                  amld_request_header(request, "Sec-Fetch-Site") != NULL;

    return (request->by_session || (!request->identified && browser)) &&
           !amld_site_same_origin(request);
}


int
amld_site_person(amld_t *d, const amld_request_t *request,
                 amld_response_t *response, int session, const char *to)
{
    aml_reason_t reason = AML_REASON_OK;

    if (!amld_site_is_studio(d, request)) {
        reason = AML_REASON_HOST_UNKNOWN;

    } else if (request->by_personal) {
        reason = AML_REASON_TOKEN_SCOPE;

    } else if (amld_site_foreign(request)) {
        reason = AML_REASON_CROSS_ORIGIN;

    } else if (!request->identified || (session && !request->by_session)) {

        if (to != NULL && amld_site_is_page(request)) {
            amld_site_go(response, "/auth/sign-in?to=", to);
            return 0;
        }
        reason = AML_REASON_SIGN_IN_REQUIRED;
    }

    if (reason != AML_REASON_OK) {
        amld_site_say(d, request, response, reason);
        return 0;
    }

    return 1;
}


void
amld_site_identity(const amld_request_t *request, aml_identity_t *who)
{
    memset(who, 0, sizeof(*who));
    who->credential = !request->identified   ? AML_CREDENTIAL_NONE
                      : request->by_session  ? AML_CREDENTIAL_SESSION
                      : request->by_personal ? AML_CREDENTIAL_PERSONAL
                                             : AML_CREDENTIAL_TOKEN;
    who->principal = request->principal;
    who->in_sign_in = request->in_sign_in;
    who->sign_in = request->sign_in;
    memcpy(who->session, request->session, sizeof(who->session));
    who->groups_unknown = request->groups_unknown;
}


aml_reason_t
amld_site_may(amld_t *d, const amld_request_t *request, const char *action)
{
    aml_action_t a = {.scope = aml_str("/")};
    aml_registry_txn_t *txn;
    aml_identity_t who;
    aml_reason_t rc;

    a.action_len = strlen(action);
    if (a.action_len > sizeof(a.action)) {
        return AML_REASON_ACTION_DENIED;
    }
    memcpy(a.action, action, a.action_len);

    amld_site_identity(request, &who);

    if (aml_registry_read(d->registry, &txn) != AML_REGISTRY_OK) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
    rc = aml_decide_action(txn, &who, (int64_t) time(NULL), &a);
    aml_registry_end(txn);

    return rc;
}


/* ---- and where to ---- */

void
amld_site_go(amld_response_t *response, const char *prefix, const char *to)
{
    char encoded[URL_SIZE], url[2 * URL_SIZE];

    if (amld_sign_in_encode(encoded, sizeof(encoded), to) != 0) {
        (void) snprintf(encoded, sizeof(encoded), "/");
    }

    (void) snprintf(url, sizeof(url), "%s%s", prefix, encoded);
    amld_response_redirect(response, url);
}


void
amld_site_clear_cookie(amld_response_t *response)
{
    amld_response_header(response, "Set-Cookie", "%s=; Max-Age=0; %s",
                         AML_COOKIE_SESSION, AMLD_COOKIE_FLAGS);
}


int
amld_site_browser(const amld_request_t *request, amld_response_t *response,
                  uint8_t hash[32])
{
    char cookie[AMLD_SECRET_SIZE];

    if (amld_request_cookie(request, AML_COOKIE_BROWSER, cookie,
                            sizeof(cookie)) == 0 &&
        amld_secret_hash(cookie, hash) == 0) {
        return 0;
    }

    if (amld_secret_new(cookie, hash) != 0) {
        return -1;
    }

    amld_response_header(response, "Set-Cookie", "%s=%s; %s",
                         AML_COOKIE_BROWSER, cookie, AMLD_COOKIE_FLAGS);

    return 1;
}
