/*
 * Signing out with an identity provider: people there (RP-Initiated
 * Logout 1.0), and the provider here (Back-Channel Logout 1.0).
 */

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/base64url.h"
#include "auth/cookie.h"
#include "auth/fetch.h"
#include "auth/key_keeper.h"
#include "auth/oidc.h"
#include "auth/oidc_logout.h"
#include "auth/sign_in_secrets.h"
#include "auth/site.h"

#define SIGNED_OUT "/auth/signed-out"
#define HINT_MAX 4096 /* of an ID token; servers read addresses of 8 KiB */


/* ---- from here to the provider ---- */

aml_registry_rc_t
amld_oidc_leaves(amld_t *d, aml_registry_txn_t *txn,
                 const amld_request_t *request, char *code)
{
    const amld_sealer_t *sealer = amld_oidc_sealer(d->oidc);
    aml_principal_id_t sign_in;
    aml_session_t session;
    aml_registry_rc_t rc;

    code[0] = '\0';

    rc = amld_session_get(txn, request->session, &session);
    if (rc == AML_REGISTRY_OK && sealer != NULL) {
        sign_in = session.sign_in;
        rc = amld_oidc_leave_begin(txn, sealer, &sign_in, (int64_t) time(NULL),
                                   code);
        if (rc != AML_REGISTRY_OK) {
            code[0] = '\0';
        }
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* What the provider is to send back with people whose cookie that is. */
static void
left_state(const char *cookie, char state[AMLD_SECRET_SIZE])
{
    uint8_t hash[32];

    (void) SHA256((const uint8_t *) cookie, strlen(cookie), hash);
    state[aml_base64url_encode(state, hash, sizeof(hash))] = '\0';
}


/* malloc()ed, or NULL. */
static char *
leave_url(const amld_t *d, const amld_issuer_config_t *issuer,
          const char *endpoint, const char *id_token, const char *state)
{
    char back[512];
    const char *const fields[][2] = {{"client_id", issuer->client_id},
                                     {"post_logout_redirect_uri", back},
                                     {"state", state},
                                     {"id_token_hint", id_token}};
    size_t n = strlen(id_token);

    n = n > 0 && n <= HINT_MAX ? 4 : 3;

    (void) snprintf(back, sizeof(back), "%s" SIGNED_OUT, d->config->studio);

    return amld_fetch_url(endpoint, fields, n);
}


/*
 * Not a redirect: this is the end of a form's way, and browsers hold each
 * address on it against the form's policy, which knows no provider.
 */
static void
leave_page(amld_t *d, amld_response_t *response,
           const amld_issuer_config_t *issuer, const char *url)
{
    amld_html_t html = {0};

    amld_page_begin_leading(&html, AMLD_SITE_STUDIO, "Signing out", url);
    amld_html(&html,
              "<main class=\"narrow\">\n"
              "<h1>You are signed out here</h1>\n"
              "<div class=\"card\">\n"
              "<p>Your sessions here and on your compute instances have ended. "
              "Your identity provider is asked to sign you out, too.</p>\n"
              "<p><a class=\"button main\" href=\"%s\">Go on</a></p>\n"
              "</div>\n"
              "<p class=\"soft\">%s</p>\n"
              "</main>\n",
              url, issuer->name);
    amld_page_end(d, response, 200, &html);
}


/* Who has signed out here does not come again: they are told so at once. */
static int
leave_metadata(amld_t *d, const amld_issuer_config_t *issuer,
               amld_discovery_t *metadata, const char **why)
{
    int rc;

    if (amld_oidc_ask_begin(d, issuer) != 0) {
        memset(metadata, 0, sizeof(*metadata));
        *why = "too many wait for it";
        return -1;
    }

    rc = amld_key_keeper_reach(d->keys, issuer, metadata, why);
    amld_oidc_ask_end(d, issuer);

    return rc;
}


static void
oidc_leave_to(amld_t *d, amld_response_t *response,
              const amld_issuer_config_t *issuer, const char *id_token)
{
    char cookie[AMLD_SECRET_SIZE], state[AMLD_SECRET_SIZE], *url = NULL;
    amld_discovery_t metadata;
    uint8_t hash[32];
    const char *why;

    if (amld_secret_new(cookie, hash) != 0) {
        amld_response_redirect(response, SIGNED_OUT);
        return;
    }
    left_state(cookie, state);

    if (leave_metadata(d, issuer, &metadata, &why) != 0) {
        amld_log(AMLD_LOG_WARN,
                 "sign-out: \"%s\" can't be asked to sign somebody out: %s",
                 issuer->name, why);

    } else if (metadata.end_session_endpoint != NULL) {
        url = leave_url(d, issuer, metadata.end_session_endpoint, id_token,
                        state);
    }

    if (url != NULL) {
        leave_page(d, response, issuer, url);
    } else {
        amld_response_redirect(response, SIGNED_OUT);
    }

    amld_response_header(response, "Set-Cookie", "%s=%s; Max-Age=%d; %s",
                         AML_COOKIE_LEFT, cookie, AMLD_COOKIE_LEFT_LIFETIME,
                         AMLD_COOKIE_FLAGS);

    free(url);
    amld_discovery_clear(&metadata);
}


void
amld_oidc_leave(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    const amld_sealer_t *sealer = amld_oidc_sealer(d->oidc);
    const amld_issuer_config_t *issuer = NULL;
    aml_registry_rc_t rc = AML_REGISTRY_NOTFOUND;
    const char *iss, *id_token;
    json_t *json = NULL;

    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (sealer != NULL) {
        rc = amld_oidc_leave_take(d->registry, sealer,
                                  amld_request_query(request, "code"),
                                  (int64_t) time(NULL), &iss, &id_token, &json);
    }
    if (rc == AML_REGISTRY_OK) {
        issuer = amld_oidc_issuer(d->config, iss);
    }

    if (issuer != NULL) {
        oidc_leave_to(d, response, issuer, id_token);
    } else {
        amld_response_redirect(response, SIGNED_OUT);
    }

    amld_sign_in_secret_forget(json);
}


void
amld_oidc_returned(const amld_request_t *request, amld_response_t *response)
{
    const char *state = amld_request_query(request, "state");
    char cookie[AMLD_SECRET_SIZE], expected[AMLD_SECRET_SIZE];

    if (state == NULL || amld_request_cookie(request, AML_COOKIE_LEFT, cookie,
                                             sizeof(cookie)) != 0) {
        return;
    }

    left_state(cookie, expected);
    if (strcmp(state, expected) == 0) {
        amld_response_header(response, "Set-Cookie", "%s=; Max-Age=0; %s",
                             AML_COOKIE_LEFT, AMLD_COOKIE_FLAGS);
    }
}


/* ---- from the provider to here ---- */

/* Back-Channel Logout section 2.8. */
static void
backchannel_refuse(amld_response_t *response, const char *description)
{
    amld_response_json(response, 400,
                       json_pack("{s:s, s:s}", "error", "invalid_request",
                                 "error_description", description));
}


/* The section that the token says it is of; nothing of that is verified. */
static const amld_issuer_config_t *
backchannel_issuer(amld_t *d, const amld_request_t *request)
{
    const amld_issuer_config_t *issuer = NULL;
    const char *iss;
    json_t *json;

    iss = amld_oidc_unverified(amld_request_form(request, "logout_token"),
                               "iss", &json);
    if (iss != NULL) {
        issuer = amld_oidc_issuer(d->config, iss);
    }
    json_decref(json);

    return issuer;
}


static void
backchannel_audit(amld_t *d, const amld_request_t *request,
                  const amld_issuer_config_t *issuer, const char *refused,
                  const amld_oidc_who_t *who)
{
    aml_principal_id_t of = {{0}};
    aml_registry_txn_t *txn;
    int known = 0;

    if (who != NULL && *who->subject != '\0' &&
        aml_registry_read(d->registry, &txn) == AML_REGISTRY_OK) {
        known = amld_oidc_principal(txn, who, &of) == AML_REGISTRY_OK;
        aml_registry_end(txn);
    }

    amld_audit(d->audit,
               &(amld_audit_event_t){
                   .event = "session-end",
                   .refused = refused != NULL,
                   .reason = refused != NULL ? refused : "provider_logout",
                   .method = "oidc",
                   .of = known ? &of : NULL,
                   .target = issuer != NULL ? issuer->name : NULL,
                   .client = request->client,
                   .request = request->id});
}


static void
backchannel_refused(amld_t *d, const amld_request_t *request,
                    amld_response_t *response,
                    const amld_issuer_config_t *issuer, aml_reason_t reason)
{
    const char *code = aml_reason_info(reason)->code.p;
    unsigned missed;

    /* nobody has to have signed it */
    if (amld_oidc_refused(d->oidc, &missed)) {
        amld_log(
            AMLD_LOG_WARN,
            "sign-out: \"%s\": a logout token from %s is not accepted: %s; "
            "others that were not since the last such line: %u",
            issuer != NULL ? issuer->name : "", request->client, code, missed);
        backchannel_audit(d, request, issuer, code, NULL);
    }
    backchannel_refuse(response, code);
}


static void
backchannel_end(amld_t *d, const amld_request_t *request,
                amld_response_t *response, const amld_issuer_config_t *issuer,
                const amld_oidc_who_t *who, int64_t now)
{
    aml_registry_rc_t rc;
    size_t ended;

    rc = amld_oidc_logout(d->registry, who, now, &ended);

    if (rc == AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_INFO, "sign-out: %zu by \"%s\"", ended, issuer->name);
        backchannel_audit(d, request, issuer, NULL, who);
        amld_response_empty(response, 200);

    } else if (rc == AML_REGISTRY_DENIED) {
        amld_log(AMLD_LOG_WARN, "sign-out: \"%s\": a logout token came twice",
                 issuer->name);
        backchannel_audit(d, request, issuer, "token_reused", NULL);
        backchannel_refuse(response, "this token was used before");

    } else {
        amld_log(AMLD_LOG_ERROR, "sign-out: %s", aml_registry_strerror(rc));
        amld_response_error(
            response, 503,
            aml_reason_info(AML_REASON_REGISTRY_UNAVAILABLE)->code.p, NULL,
            "The sign-out cannot be written down.");
    }
}


/* 1 when it is answered; 0 when its key is not known. */
static int
backchannel_try(amld_t *d, const amld_request_t *request,
                amld_response_t *response, const amld_issuer_config_t *issuer)
{
    const char *token = amld_request_form(request, "logout_token");
    int64_t now = (int64_t) time(NULL);
    amld_oidc_who_t who;
    aml_reason_t rc;

    rc = amld_oidc_logout_token(d, issuer, token, now, &who);

    if (rc == AML_REASON_OK) {
        backchannel_end(d, request, response, issuer, &who, now);

    } else if (rc == AML_REASON_REGISTRY_UNAVAILABLE) {
        amld_response_error(response, 503, aml_reason_info(rc)->code.p, NULL,
                            "%s", aml_reason_info(rc)->text.p);

    } else if (rc != AML_REASON_TOKEN_KEY) {
        backchannel_refused(d, request, response, issuer, rc);
    }

    json_decref(who.claims);

    return rc != AML_REASON_TOKEN_KEY;
}


/*
 * The provider has new keys, maybe.  Whoever makes key IDs up can have these
 * few wait for a fetch, and no more of those that others need.
 */
static void
backchannel_wait(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    const amld_issuer_config_t *issuer = backchannel_issuer(d, request);
    int fetched = 0;

    if (issuer != NULL && d->keys != NULL &&
        amld_oidc_wait_begin(d->oidc) == 0) {
        fetched = amld_key_keeper_fetch(d->keys, issuer) == 0;
        amld_oidc_wait_end(d->oidc);
    }

    if (!fetched || !backchannel_try(d, request, response, issuer)) {
        backchannel_refused(d, request, response, issuer, AML_REASON_TOKEN_KEY);
    }
}


/* At once, however many wait for providers: it is what ends people's access. */
static void
oidc_backchannel(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    const amld_issuer_config_t *issuer;

    if (!amld_site_is_studio(d, request)) {
        amld_response_error(response, 404, "NotFound", NULL,
                            "There is nothing at this address.");
        return;
    }

    if (amld_request_form(request, "logout_token") == NULL) {
        backchannel_refuse(response, "there is no logout_token");
        return;
    }

    issuer = backchannel_issuer(d, request);
    if (issuer == NULL) {
        backchannel_refused(d, request, response, NULL,
                            AML_REASON_TOKEN_ISSUER);
        return;
    }

    if (!backchannel_try(d, request, response, issuer)) {
        amld_response_later(response, backchannel_wait);
    }
}


const amld_http_route_t amld_oidc_routes[] = {
    {"POST", "/auth/backchannel-logout", oidc_backchannel},
    {NULL, NULL, NULL},
};
