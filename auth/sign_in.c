/*
 * Signing in and out: the handlers.
 */

#include "auth/sign_in.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auth/accounts.h"
#include "auth/assets.h"
#include "auth/audit.h"
#include "auth/cookie.h"
#include "auth/oidc.h"
#include "auth/pages.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"
#include "auth/site.h"
#include "auth/studio.h"

#define URL_SIZE 8192


/* ---- what every handler asks first ---- */

typedef struct {
    char authority[AMLD_AUTHORITY_SIZE];
    char host[AMLD_AUTHORITY_SIZE];
} sign_in_instance_t;


static int
sign_in_at_instance(amld_t *d, const amld_request_t *request,
                    amld_response_t *response, sign_in_instance_t *at)
{
    if (amld_sign_in_instance(d->config, request->host, at->authority,
                              at->host) != 0) {
        amld_site_refuse(d, response, AMLD_SITE_INSTANCE,
                         AML_REASON_HOST_UNKNOWN);
        return 0;
    }

    if (!amld_site_same_origin(request)) {
        amld_site_refuse(d, response, AMLD_SITE_INSTANCE,
                         AML_REASON_CROSS_ORIGIN);
        return 0;
    }

    return 1;
}


static void
sign_in_failed(amld_t *d, amld_response_t *response, amld_site_t site,
               const char *what, aml_registry_rc_t rc)
{
    amld_log(AMLD_LOG_ERROR, "%s: %s", what, aml_registry_strerror(rc));
    amld_site_refuse(d, response, site, AML_REASON_REGISTRY_UNAVAILABLE);
}


/* Ends the sign-in that the request's session belongs to; 0 when that was
 * done or there is none. */
static aml_registry_rc_t
sign_in_end(aml_registry_txn_t *txn, const amld_request_t *request)
{
    aml_principal_id_t sign_in;
    aml_session_t session;
    aml_registry_rc_t rc;

    rc = amld_session_get(txn, request->session, &session);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    sign_in = session.sign_in;
    rc = amld_sign_in_end(txn, &sign_in);

    return rc != AML_REGISTRY_OK ? rc : amld_session_end(txn, request->session);
}


/* ---- the form ---- */

static void
sign_in_form(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    const char *to = amld_sign_in_local(amld_request_query(request, "to"));
    const amld_issuer_config_t *only = amld_oidc_only_way(d->config);
    char prefix[64];

    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (request->identified && request->by_session) {
        amld_response_redirect(response, to);
        return;
    }

    if (only != NULL) {
        (void) snprintf(prefix, sizeof(prefix),
                        "/auth/oidc/%s?to=", only->name);
        amld_site_go(response, prefix, to);
        return;
    }

    amld_page_sign_in(d, response, 200, NULL, to, "", NULL);
}


aml_registry_rc_t
amld_sign_in_enter_within(amld_t *d, aml_registry_txn_t *txn,
                          const amld_request_t *request, amld_sign_in_t *s,
                          char secret[AMLD_SECRET_SIZE])
{
    int64_t now = (int64_t) time(NULL);
    const char *agent = amld_request_header(request, "User-Agent");
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    s->address = request->client;
    s->agent = agent != NULL ? agent : "";
    s->created = now;
    s->expires = now + d->config->session_lifetime;

    if (aml_uuid_random(&s->id) != 0) {
        return AML_REGISTRY_FAILED;
    }

    if (request->identified && request->by_session) {
        rc = sign_in_end(txn, request);
    }

    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_begin(txn, s);
    }

    return rc != AML_REGISTRY_OK
               ? rc
               : amld_session_create(txn, &s->principal, &s->id,
                                     d->config->studio_host, now, s->expires,
                                     secret);
}


aml_registry_rc_t
amld_sign_in_enter(amld_t *d, const amld_request_t *request, amld_sign_in_t *s,
                   const amld_account_t *account, char secret[AMLD_SECRET_SIZE])
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = account != NULL && !amld_account_same(txn, account)
             ? AML_REGISTRY_DENIED
             : amld_sign_in_enter_within(d, txn, request, s, secret);

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* ---- signing out ---- */

/* `code` as of amld_oidc_leaves(); NULL where nobody is led to a provider. */
static aml_registry_rc_t
sign_out_end(amld_t *d, const amld_request_t *request, char *code)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (code != NULL) {
        rc = amld_oidc_leaves(d, txn, request, code);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = sign_in_end(txn, request);
    }
    if (rc == AML_REGISTRY_OK) {
        return aml_registry_commit(txn);
    }

    aml_registry_end(txn);

    return rc;
}


static void
sign_in_out(amld_t *d, const amld_request_t *request, amld_response_t *response,
            amld_site_t site)
{
    char url[AMLD_AUTHORITY_SIZE + 96], code[AMLD_SECRET_SIZE] = "";
    aml_registry_rc_t rc;

    if (request->identified && request->by_session) {
        rc = sign_out_end(d, request, code);
        if (rc != AML_REGISTRY_OK) {
            /* to end what is here comes first */
            amld_log(AMLD_LOG_WARN,
                     "sign-out: %s from %s can't be led to a provider: %s",
                     request->name, request->client, aml_registry_strerror(rc));
            *code = '\0';
            rc = sign_out_end(d, request, NULL);
        }

        if (rc != AML_REGISTRY_OK) {
            sign_in_failed(d, response, site, "sign-out", rc);
            return;
        }

        amld_log(AMLD_LOG_INFO, "sign-out: %s from %s", request->name,
                 request->client);
        amld_audit_request(d, request,
                           &(amld_audit_event_t){.event = "sign-out",
                                                 .id = &request->sign_in});
    }

    (void) snprintf(url, sizeof(url), "%s%s%s", d->config->studio,
                    *code != '\0' ? "/auth/leave?code=" : "/auth/signed-out",
                    code);
    amld_response_redirect(response, url);
    amld_site_clear_cookie(response);
}


static void
sign_in_out_studio(amld_t *d, const amld_request_t *request,
                   amld_response_t *response)
{
    if (amld_site_studio(d, request, response)) {
        sign_in_out(d, request, response, AMLD_SITE_STUDIO);
    }
}


static void
sign_in_out_instance(amld_t *d, const amld_request_t *request,
                     amld_response_t *response)
{
    sign_in_instance_t at;

    if (sign_in_at_instance(d, request, response, &at)) {
        sign_in_out(d, request, response, AMLD_SITE_INSTANCE);
    }
}


static void
sign_in_signed_out(amld_t *d, const amld_request_t *request,
                   amld_response_t *response)
{
    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (request->identified && request->by_session) {
        amld_response_redirect(response, "/");
        return;
    }

    amld_page_signed_out(d, response);
    amld_site_clear_cookie(response);
    amld_oidc_returned(request, response);
}


/* ---- from the studio's origin to an instance's ---- */

static void
sign_in_at(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    const char *to = amld_sign_in_local(amld_request_query(request, "to"));
    const char *again = amld_request_query(request, "again");
    char prefix[URL_SIZE], hex[AMLD_HASH_HEX_SIZE];
    sign_in_instance_t at;
    uint8_t hash[32];

    if (!sign_in_at_instance(d, request, response, &at)) {
        return;
    }

    if (request->identified && request->by_session) {
        amld_response_redirect(response, to);
        return;
    }

    /* one spelling of a host: cookies know no other */
    if (strcasecmp(at.authority, request->host) != 0) {
        (void) snprintf(prefix, sizeof(prefix),
                        "https://%s/.aml/sign-in?to=", at.authority);
        amld_site_go(response, prefix, to);
        return;
    }

    if (amld_site_browser(request, response, hash) < 0) {
        sign_in_failed(d, response, AMLD_SITE_INSTANCE, "sign-in",
                       AML_REGISTRY_FAILED);
        return;
    }

    amld_hash_format(hash, hex);
    (void) snprintf(
        prefix, sizeof(prefix),
        "%s/auth/handoff?host=%s&browser=%s%s&to=", d->config->studio,
        at.authority, hex, again != NULL ? "&again=1" : "");
    amld_site_go(response, prefix, to);
}


/* What the code is made of, from the session that asks; NOTFOUND when it has
 * ended meanwhile. */
static aml_registry_rc_t
sign_in_code(amld_t *d, const amld_request_t *request, amld_code_t *code,
             char secret[AMLD_SECRET_SIZE])
{
    aml_registry_txn_t *txn;
    aml_session_t session;
    aml_registry_rc_t rc;

    rc = aml_registry_read(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_session_get(txn, request->session, &session);
    if (rc == AML_REGISTRY_OK) {
        code->principal = session.principal;
        code->sign_in = session.sign_in;
        code->session_expires = session.expires;
    }
    aml_registry_end(txn);

    return rc != AML_REGISTRY_OK
               ? rc
               : amld_code_create(d->registry, code, (int64_t) time(NULL),
                                  secret);
}


static void
sign_in_handoff(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    const char *back = amld_request_query(request, "back");
    const char *host = amld_request_query(request, "host");
    const char *browser = amld_request_query(request, "browser");
    const char *again =
        amld_request_query(request, "again") != NULL ? "&again=1" : "";
    char prefix[URL_SIZE], packed[AMLD_TO_PACKED_SIZE], room[AMLD_TO_MAX + 1],
        secret[AMLD_SECRET_SIZE];
    aml_registry_rc_t rc = AML_REGISTRY_NOTFOUND;
    sign_in_instance_t at;
    amld_code_t code;
    const char *to;

    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (host == NULL ||
        amld_sign_in_instance(d->config, host, at.authority, at.host) != 0 ||
        amld_hash_parse(browser, code.browser) != 0) {
        amld_site_refuse(d, response, AMLD_SITE_STUDIO,
                         AML_REASON_HOST_UNKNOWN);
        return;
    }

    to = back != NULL ? amld_sign_in_unpack(back, room)
                      : amld_sign_in_local(amld_request_query(request, "to"));

    if (request->identified && request->by_session) {
        code.host = at.authority;
        rc = sign_in_code(d, request, &code, secret);
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        (void) snprintf(prefix, sizeof(prefix),
                        "/auth/handoff?host=%s&browser=%s%s&back=%s",
                        at.authority, browser, again,
                        amld_sign_in_pack(packed, to) == 0 ? packed : "");
        amld_site_go(response, "/auth/sign-in?to=", prefix);
        return;
    }

    if (rc != AML_REGISTRY_OK) {
        sign_in_failed(d, response, AMLD_SITE_STUDIO, "handoff", rc);
        return;
    }

    (void) snprintf(prefix, sizeof(prefix),
                    "https://%s/.aml/session?code=%s%s&to=", at.authority,
                    secret, again);
    amld_site_go(response, prefix, to);
}


static void
sign_in_session(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    const char *to = amld_sign_in_local(amld_request_query(request, "to"));
    const char *code = amld_request_query(request, "code");
    char cookie[AMLD_SECRET_SIZE], secret[AMLD_SECRET_SIZE], encoded[URL_SIZE],
        again[URL_SIZE + 32];
    aml_registry_rc_t rc = AML_REGISTRY_NOTFOUND;
    sign_in_instance_t at;
    uint8_t browser[32];
    int bound;

    if (!sign_in_at_instance(d, request, response, &at)) {
        return;
    }

    bound = amld_request_cookie(request, AML_COOKIE_BROWSER, cookie,
                                sizeof(cookie)) == 0 &&
            amld_secret_hash(cookie, browser) == 0;

    /* a code is spent by whoever brings it: without a cookie of its browser it
     * is for nobody */
    if (bound || amld_secret_new(cookie, browser) == 0) {
        rc = amld_code_redeem(d->registry, code, at.authority, at.host, browser,
                              request->identified && request->by_session
                                  ? request->session
                                  : NULL,
                              (int64_t) time(NULL), secret);
    }

    if (rc == AML_REGISTRY_OK) {
        amld_response_redirect(response, to);
        amld_response_status(response, 303);
        if (*secret != '\0') {
            amld_response_header(response, "Set-Cookie", "%s=%s; %s",
                                 AML_COOKIE_SESSION, secret, AMLD_COOKIE_FLAGS);
        }
        OPENSSL_cleanse(secret, sizeof(secret));
        return;
    }

    if (rc != AML_REGISTRY_NOTFOUND) {
        sign_in_failed(d, response, AMLD_SITE_INSTANCE, "session", rc);
        return;
    }

    /* another tab was faster, or the page was opened again from history */
    if (request->identified && request->by_session) {
        amld_response_redirect(response, to);
        amld_response_status(response, 303);
        return;
    }

    /* two tabs made a browser cookie each, and the other one's has stayed */
    if (bound && amld_request_query(request, "again") == NULL) {
        amld_site_go(response, "/.aml/sign-in?again=1&to=", to);
        return;
    }

    if (amld_sign_in_encode(encoded, sizeof(encoded), to) != 0) {
        encoded[0] = '\0';
    }
    (void) snprintf(again, sizeof(again), "/.aml/sign-in?to=%s", encoded);

    amld_site_refuse_to(d, response, AMLD_SITE_INSTANCE,
                        AML_REASON_CODE_UNKNOWN, again);
}


/* ---- files ---- */

static void
sign_in_style(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    aml_str_t style = amld_asset_style();

    (void) d;
    (void) request;

    amld_response_content(response, 200, "text/css; charset=utf-8", style.p,
                          style.n);
    amld_response_header(response, "Cache-Control", "max-age=300");
}


static void
sign_in_script(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    aml_str_t script = amld_asset_studio();

    (void) d;
    (void) request;

    amld_response_content(response, 200, "text/javascript; charset=utf-8",
                          script.p, script.n);
    amld_response_header(response, "Cache-Control", "max-age=300");
}


static void
sign_in_studio_page(amld_t *d, const amld_request_t *request,
                    amld_response_t *response)
{
    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (!request->identified) {
        amld_site_go(response, "/auth/sign-in?to=", "/");
        return;
    }

    /* it was not made to tell of all instances */
    if (request->by_personal) {
        amld_site_say(d, request, response, AML_REASON_TOKEN_SCOPE);
        return;
    }

    if (amld_studio_page(d, request, response) != 0) {
        amld_site_refuse(d, response, AMLD_SITE_STUDIO,
                         AML_REASON_REGISTRY_UNAVAILABLE);
    }
}


const amld_http_route_t amld_sign_in_routes[] = {
    {"GET", "/", sign_in_studio_page},
    {"GET", "/auth/sign-in", sign_in_form},
    {"POST", "/auth/sign-out", sign_in_out_studio},
    {"GET", "/auth/signed-out", sign_in_signed_out},
    {"GET", "/auth/handoff", sign_in_handoff},
    {"GET", "/auth/style.css", sign_in_style},
    {"GET", "/auth/studio.js", sign_in_script},
    {"GET", "/.aml/sign-in", sign_in_at},
    {"GET", "/.aml/session", sign_in_session},
    {"POST", "/.aml/sign-out", sign_in_out_instance},
    {"GET", "/.aml/style.css", sign_in_style},
    {NULL, NULL, NULL},
};
