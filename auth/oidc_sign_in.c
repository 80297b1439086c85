/*
 * Signing in with an identity provider: to it.
 *
 * Authorization code (RFC 6749 section 4.1) with PKCE S256 (RFC 7636), state,
 * nonce and iss (RFC 9207).  What is under way is in the registry, bound to the
 * browser by the cookie that it has for all of its sign-ins.
 */

#include "auth/oidc_sign_in.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/base64url.h"
#include "auth/cookie.h"
#include "auth/fetch.h"
#include "auth/key_keeper.h"
#include "auth/oidc_flows.h"
#include "auth/sign_in.h"
#include "auth/site.h"

#define BUSY_SECONDS 5


/* ---- where people are led on ---- */

void
amld_oidc_page(amld_t *d, const amld_request_t *request,
               amld_response_t *response, aml_reason_t reason, const char *text,
               const char *detail, const char *link, const char *label)
{
    const aml_reason_info_t *info = aml_reason_info(reason);
    amld_html_t html = {0};

    amld_page_begin(&html, AMLD_SITE_STUDIO, info->title.p, NULL);
    amld_html(&html,
              "<main class=\"narrow\">\n"
              "<h1>%s</h1>\n"
              "<div class=\"card\">\n"
              "<p>%s %s</p>\n"
              "<p><a class=\"button main\" href=\"%s\">%s</a></p>\n"
              "</div>\n",
              info->title.p, text != NULL ? text : info->text.p,
              text != NULL ? "" : info->next.p, link, label);
    amld_page_why(&html, info->code.p, detail, request->id);
    amld_html(&html, "</main>\n");
    amld_page_end(d, response, info->status, &html);
    amld_response_header(response, "X-AML-Reason", "%s", info->code.p);
}


void
amld_oidc_sign_in_url(char url[AMLD_OIDC_TO_SIZE], const char *to)
{
    static const char path[] = "/auth/sign-in?to=";

    memcpy(url, path, sizeof(path));
    if (amld_sign_in_encode(url + sizeof(path) - 1,
                            AMLD_OIDC_TO_SIZE - sizeof(path), to) != 0) {
        (void) snprintf(url, AMLD_OIDC_TO_SIZE, "/auth/sign-in");
    }
}


void
amld_oidc_fail(amld_t *d, const amld_request_t *request,
               amld_response_t *response, aml_reason_t reason,
               const char *detail, const char *to)
{
    char url[AMLD_OIDC_TO_SIZE];

    amld_oidc_sign_in_url(url, to);
    amld_oidc_page(d, request, response, reason, NULL, detail, url,
                   "Try again");
}


void
amld_oidc_busy(amld_t *d, const amld_issuer_config_t *issuer,
               const amld_request_t *request, amld_response_t *response)
{
    amld_log(AMLD_LOG_WARN,
             "sign-in: from %s by \"%s\": too many wait for this provider",
             request->client, issuer->name);
    amld_site_refuse(d, response, AMLD_SITE_STUDIO, AML_REASON_DAEMON_BUSY);
    amld_response_header(response, "Retry-After", "%d", BUSY_SECONDS);
    amld_response_header(response, "Refresh", "%d", BUSY_SECONDS);
}


/* ---- to the provider ---- */

const amld_issuer_config_t *
amld_oidc_section(amld_t *d, const char *name)
{
    const amld_issuer_config_t *issuer = amld_issuer_find(d->config, name);

    return issuer != NULL && issuer->sign_in ? issuer : NULL;
}


/* RFC 7636 section 4.2. */
static void
oidc_challenge(const char *verifier, char challenge[AMLD_SECRET_SIZE])
{
    uint8_t hash[32];

    (void) SHA256((const uint8_t *) verifier, strlen(verifier), hash);
    challenge[aml_base64url_encode(challenge, hash, sizeof(hash))] = '\0';
}


static int
oidc_has_scope(const char *scopes, const char *scope)
{
    size_t n = strlen(scope), len;

    for (; *scopes != '\0'; scopes += len + (scopes[len] == ' ')) {
        len = strcspn(scopes, " ");
        if (len == n && memcmp(scopes, scope, n) == 0) {
            return 1;
        }
    }

    return 0;
}


/* OpenID Connect Core section 3.1.2.1; a prompt of "none" would be a sign-in
 * that nobody has asked for. */
static const char *
oidc_prompt(const amld_request_t *request, const amld_issuer_config_t *issuer)
{
    const char *asked = amld_request_query(request, "prompt");
    char left[AMLD_SECRET_SIZE + 1];
    int consent = issuer->kind->consent &&
                  oidc_has_scope(issuer->scopes, "offline_access");

    if (amld_request_cookie(request, AML_COOKIE_LEFT, left, sizeof(left)) ==
            0 ||
        (asked != NULL && strcmp(asked, "login") == 0)) {
        return consent ? "login consent" : "login";
    }

    if (asked != NULL && strcmp(asked, "select_account") == 0) {
        return consent ? "select_account consent" : "select_account";
    }

    return consent || (asked != NULL && strcmp(asked, "consent") == 0)
               ? "consent"
               : NULL;
}


/* malloc()ed, or NULL.  `prompt` may be NULL. */
static char *
oidc_authorize_url(const amld_t *d, const amld_issuer_config_t *issuer,
                   const amld_discovery_t *metadata,
                   const amld_oidc_flow_t *flow, const char *state,
                   const char *prompt)
{
    char challenge[AMLD_SECRET_SIZE], callback[AMLD_OIDC_URI_SIZE];
    const char *const fields[][2] = {
        {"response_type", "code"},
        {"client_id", issuer->client_id},
        {"redirect_uri", callback},
        {"scope", issuer->scopes},
        {"state", state},
        {"nonce", flow->nonce},
        {"code_challenge", challenge},
        {"code_challenge_method", "S256"},
        {"prompt", prompt},
    };
    size_t n = sizeof(fields) / sizeof(fields[0]) - (prompt == NULL);

    oidc_challenge(flow->verifier, challenge);
    amld_oidc_redirect_uri(d->config, issuer, callback);

    return amld_fetch_url(metadata->authorization_endpoint, fields, n);
}


static void
oidc_go(amld_t *d, const amld_request_t *request, amld_response_t *response,
        const amld_issuer_config_t *issuer, const amld_discovery_t *metadata,
        const char *to)
{
    amld_oidc_flow_t flow = {.issuer = issuer->name,
                             .to = to,
                             .address = request->client,
                             .again =
                                 amld_request_query(request, "again") != NULL,
                             .created = (int64_t) time(NULL)};
    char state[AMLD_SECRET_SIZE], *url;
    aml_registry_rc_t rc = AML_REGISTRY_FAILED;

    flow.fresh = amld_site_browser(request, response, flow.browser);
    if (flow.fresh >= 0) {
        rc = amld_oidc_flow_begin(d->registry, &flow, state);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_site_failed(d, request, response, "sign-in", rc);
        return;
    }

    url = oidc_authorize_url(d, issuer, metadata, &flow, state,
                             oidc_prompt(request, issuer));
    if (url == NULL) {
        errno = ENOMEM;
        amld_site_failed(d, request, response, "sign-in", AML_REGISTRY_FAILED);
    } else {
        amld_response_redirect(response, url);
    }

    free(url);
    OPENSSL_cleanse(&flow, sizeof(flow));
}


static void
oidc_start(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    const char *to = amld_sign_in_local(amld_request_query(request, "to"));
    const amld_issuer_config_t *issuer =
        amld_oidc_section(d, amld_request_param(request, "issuer"));
    amld_discovery_t metadata;
    const char *why;
    int rc;

    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (issuer == NULL) {
        amld_page_message(d, response, AMLD_SITE_STUDIO, 404, "NotFound",
                          "Nothing here",
                          "There is no identity provider of this name.",
                          "/auth/sign-in", "Sign in");
        return;
    }

    if (request->identified && request->by_session) {
        amld_response_redirect(response, to);
        return;
    }

    if (amld_oidc_ask_begin(d, issuer) != 0) {
        amld_oidc_busy(d, issuer, request, response);
        return;
    }

    rc = amld_key_keeper_reach(d->keys, issuer, &metadata, &why);
    amld_oidc_ask_end(d, issuer);

    if (rc != 0) {
        amld_log(AMLD_LOG_WARN, "sign-in: from %s by \"%s\": %s",
                 request->client, issuer->name, why);
        amld_oidc_fail(d, request, response, AML_REASON_PROVIDER_UNREACHABLE,
                       NULL, to);

    } else if (metadata.authorization_endpoint == NULL ||
               metadata.token_endpoint == NULL) {
        amld_log(AMLD_LOG_WARN,
                 "sign-in: \"%s\": its metadata has no endpoints to sign in "
                 "with",
                 issuer->name);
        amld_oidc_fail(d, request, response, AML_REASON_PROVIDER_ANSWER, NULL,
                       to);

    } else {
        oidc_go(d, request, response, issuer, &metadata, to);
    }

    amld_discovery_clear(&metadata);
}


const amld_http_route_t amld_oidc_slow_routes[] = {
    {"GET", "/auth/oidc/{issuer}", oidc_start},
    {"GET", AMLD_OIDC_CALLBACK "{issuer}", amld_oidc_callback},
    {"GET", "/auth/leave", amld_oidc_leave},
    {NULL, NULL, NULL},
};
