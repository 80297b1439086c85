/*
 * Signing in with an identity provider: and back.
 *
 * What the browser brings is compared with what is under way, the code is
 * exchanged for tokens, and what they say is a sign-in.
 */

#include "auth/oidc_sign_in.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/claims.h"
#include "auth/cookie.h"
#include "auth/key_keeper.h"
#include "auth/oidc_flows.h"
#include "auth/oidc_logout.h"
#include "auth/oidc_renew.h"
#include "auth/oidc_token.h"
#include "auth/sign_in.h"
#include "auth/sign_in_secrets.h"
#include "auth/site.h"
#include "computes/engines/unix_account.h"


/* ---- what is said of it ---- */

/* A sign-in, or why there is none; `who` where that is known. */
static void
callback_audit(amld_t *d, const amld_request_t *request,
               const amld_issuer_config_t *issuer, aml_reason_t reason,
               const amld_oidc_who_t *who, const char *name,
               const aml_principal_id_t *sign_in)
{
    amld_audit_event_t e = {.event = "sign-in",
                            .method = "oidc",
                            .name = name,
                            .id = sign_in,
                            .target = issuer->name,
                            .client = request->client,
                            .request = request->id};

    if (who != NULL) {
        e.principal = &who->identity.principal;
    }
    if (reason != AML_REASON_OK) {
        e.refused = 1;
        e.reason = aml_reason_info(reason)->code.p;
    }

    /* not as amld_audit_request(): who was signed in before is not who asks */
    amld_audit(d->audit, &e);
    amld_request_audited(request);
}


static void
callback_failed(amld_t *d, const amld_request_t *request,
                amld_response_t *response, const amld_issuer_config_t *issuer,
                const amld_oidc_fault_t *fault, const char *to)
{
    char text[320];

    callback_audit(d, request, issuer, fault->reason, NULL, NULL, NULL);

    amld_oidc_fault_text(fault, text, sizeof(text));
    amld_log(AMLD_LOG_WARN, "sign-in: from %s by \"%s\": %s", request->client,
             issuer->name, text);
    amld_oidc_fail(d, request, response, fault->reason, NULL, to);
}


/* ---- who it is ---- */

typedef struct {
    amld_t *d;
    const amld_request_t *request;
    const amld_issuer_config_t *issuer;
    const amld_oidc_flow_t *flow;
    amld_discovery_t metadata;
    amld_oidc_tokens_t tokens;
    amld_oidc_who_t who;
    int64_t now;
} callback_t;


/* A token that is no good: what is wrong is for the log. */
static int
callback_token_fault(amld_oidc_fault_t *f, aml_reason_t reason,
                     const char *what)
{
    memset(f, 0, sizeof(*f));
    f->reason = reason == AML_REASON_REGISTRY_UNAVAILABLE
                    ? reason
                    : AML_REASON_PROVIDER_ANSWER;
    f->why = what;
    if (reason == AML_REASON_TOKEN_EXPIRED ||
        reason == AML_REASON_TOKEN_NOT_YET) {
        f->why = "the ID token's times do not fit: look at both clocks";
    }
    (void) snprintf(f->detail, sizeof(f->detail), "%s",
                    aml_reason_info(reason)->code.p);

    return -1;
}


/* The code's tokens, and what they say. */
static int
callback_who(callback_t *c, const char *code, amld_oidc_fault_t *fault)
{
    amld_oidc_client_t client = {.issuer = c->issuer,
                                 .metadata = &c->metadata,
                                 .cancel = amld_oidc_cancelled(c->d->oidc)};
    char callback[AMLD_OIDC_URI_SIZE];
    aml_reason_t rc;
    json_t *userinfo;

    amld_oidc_redirect_uri(c->d->config, c->issuer, callback);

    if (amld_oidc_code(&client, code, callback, c->flow->verifier, &c->tokens,
                       fault) != 0) {
        return -1;
    }

    if (*c->tokens.id_token == '\0') {
        fault->reason = AML_REASON_PROVIDER_ANSWER;
        fault->why = "the provider's answer has no ID token";
        return -1;
    }

    c->now = (int64_t) time(NULL);
    rc = amld_oidc_id_token(c->d, c->issuer, c->tokens.id_token, c->flow->nonce,
                            c->tokens.access_token, c->now, &c->who);
    if (rc != AML_REASON_OK) {
        return callback_token_fault(fault, rc, "the ID token is not accepted");
    }

    if (c->issuer->userinfo) {
        userinfo = amld_oidc_userinfo(&client, c->tokens.access_token, fault);
        if (userinfo == NULL) {
            return -1;
        }

        rc = amld_oidc_add_userinfo(userinfo, &c->who);
        json_decref(userinfo);
        if (rc != AML_REASON_OK) {
            return callback_token_fault(fault, rc, "UserInfo is not accepted");
        }
    }

    return 0;
}


/*
 * RFC 9700 section 4.4: whose answer it is, so that no other provider's code is
 * sent to this one.  Each sends people back to the address of its section, and
 * that has to be the flow's.
 */
static int
callback_address_fits(const callback_t *c)
{
    const char *name = amld_request_param(c->request, "issuer");

    return name != NULL && strcmp(name, c->flow->issuer) == 0;
}


/* The same by RFC 9207 section 2.4, where the provider says who it is. */
static int
callback_iss_fits(const callback_t *c)
{
    const char *iss = amld_request_query(c->request, "iss");
    size_t i;

    if (iss == NULL) {
        return !c->metadata.iss_parameter;
    }

    if (strcmp(iss, c->metadata.issuer) == 0) {
        return 1;
    }

    /* the metadata of all of Entra's tenants names none of them */
    for (i = 0; i < c->issuer->iss_count; i++) {
        if (strcmp(iss, c->issuer->iss[i].iss) == 0) {
            return 1;
        }
    }

    return 0;
}


/* RFC 6749 section 4.1.2.1: of what people do, or of what was configured? */
static aml_reason_t
callback_error_reason(const char *error)
{
    static const struct {
        const char *error;
        aml_reason_t reason;
    } known[] = {
        {"temporarily_unavailable", AML_REASON_PROVIDER_UNREACHABLE},
        {"server_error", AML_REASON_PROVIDER_UNREACHABLE},
        {"invalid_request", AML_REASON_PROVIDER_ANSWER},
        {"invalid_client", AML_REASON_PROVIDER_ANSWER},
        {"unauthorized_client", AML_REASON_PROVIDER_ANSWER},
        {"unsupported_response_type", AML_REASON_PROVIDER_ANSWER},
        {"invalid_scope", AML_REASON_PROVIDER_ANSWER},
    };
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(error, known[i].error) == 0) {
            return known[i].reason;
        }
    }

    return AML_REASON_PROVIDER_REFUSED;
}


/* What the provider says that went wrong, if it is one of its words. */
static void
callback_refused(const callback_t *c, amld_response_t *response,
                 const char *error)
{
    const char *description =
        amld_request_query(c->request, "error_description");
    size_t n = strlen(error);
    aml_reason_t reason = callback_error_reason(error);

    amld_log(AMLD_LOG_WARN, "sign-in: from %s by \"%s\": %.64s: %.200s",
             c->request->client, c->issuer->name, error,
             description != NULL ? description : "");

    if (n > 40 || strspn(error, "abcdefghijklmnopqrstuvwxyz_") != n) {
        error = NULL;
    }

    callback_audit(c->d, c->request, c->issuer, reason, NULL, NULL, NULL);
    amld_oidc_fail(c->d, c->request, response, reason, error, c->flow->to);
}


/* ---- the sign-in ---- */

/* A label for people; the subject where the provider has none. */
static void
callback_name(const amld_oidc_who_t *who, char *name, size_t size)
{
    const char *p;

    if (who->identity.name_len > 0) {
        (void) snprintf(name, size, "%.*s", (int) who->identity.name_len,
                        who->identity.name);
        return;
    }

    for (p = who->subject; *p > 0x20 && *p < 0x7f; p++) {
        /* void */
    }
    if (*p == '\0' && p - who->subject <= 64) {
        (void) snprintf(name, size, "%s", who->subject);
        return;
    }

    aml_uuid_format(&who->identity.principal, name);
}


/*
 * Did another tab of this browser sign the same person in while this one was on
 * its way?  To end that would close what it has opened meanwhile.
 */
static int
callback_overtaken(aml_registry_txn_t *txn, const callback_t *c)
{
    const amld_request_t *r = c->request;
    amld_sign_in_t s;
    json_t *json;
    int same;

    if (!r->identified || !r->by_session || !r->in_sign_in ||
        !aml_principal_eq(&r->principal, &c->who.identity.principal) ||
        amld_sign_in_get(txn, &r->sign_in, &s, &json) != AML_REGISTRY_OK) {
        return 0;
    }

    same = strcmp(s.method, "oidc") == 0 && strcmp(s.issuer, c->who.iss) == 0 &&
           s.created >= c->flow->created;
    json_decref(json);

    return same;
}


/* The provider's session as a key can have it; else "". */
static const char *
callback_sid(const amld_oidc_who_t *who)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t n = aml_key_key(key, aml_str_of(who->iss), aml_str_of(who->sid));

    return *who->sid == '\0' || n == 0 ||
                   n > AML_REGISTRY_KEY_MAX - 2 * AML_UUID_TEXT
               ? ""
               : who->sid;
}


typedef enum {
    CALLBACK_BEGUN,
    CALLBACK_OVERTAKEN,
    CALLBACK_LOGGED_OUT, /* meanwhile, at the provider */
    CALLBACK_FAILED      /* see the registry's rc */
} callback_end_t;


/* Which account of the machine is theirs, as the provider says; what it said
 * before and does not say now is over. */
static aml_registry_rc_t
callback_account(aml_registry_txn_t *txn, const amld_oidc_who_t *who)
{
    const char *claim = who->issuer->account_claim;

    return amld_unix_account_say(
        txn, &who->identity.principal, who->iss, claim,
        claim != NULL && claim[0] != '\0'
            ? json_string_value(aml_claims_find(who->claims, aml_str_of(claim)))
            : NULL);
}


static callback_end_t
callback_enter(const callback_t *c, aml_registry_txn_t *txn, amld_sign_in_t *s,
               const amld_sign_in_secret_t *kept, char secret[AMLD_SECRET_SIZE],
               aml_registry_rc_t *rc)
{
    int out = amld_oidc_logged_out(txn, &c->who, c->now);

    if (out != 0) {
        *rc = out < 0 ? AML_REGISTRY_FAILED : AML_REGISTRY_OK;
        return out < 0 ? CALLBACK_FAILED : CALLBACK_LOGGED_OUT;
    }

    if (callback_overtaken(txn, c)) {
        return CALLBACK_OVERTAKEN;
    }

    *rc = amld_sign_in_enter_within(c->d, txn, c->request, s, secret);
    if (*rc == AML_REGISTRY_OK) {
        *rc = amld_oidc_remember(txn, &c->who);
    }
    if (*rc == AML_REGISTRY_OK) {
        *rc = callback_account(txn, &c->who);
    }
    if (*rc == AML_REGISTRY_OK) {
        *rc = amld_sign_in_secret_put(txn, amld_oidc_sealer(c->d->oidc), &s->id,
                                      kept);
    }

    return *rc == AML_REGISTRY_OK ? CALLBACK_BEGUN : CALLBACK_FAILED;
}


static callback_end_t
callback_begin(const callback_t *c, const char *name,
               char secret[AMLD_SECRET_SIZE], aml_principal_id_t *sign_in,
               aml_registry_rc_t *rc)
{
    int renews = *c->tokens.refresh_token != '\0';
    amld_sign_in_secret_t kept = {
        .id_token = c->tokens.id_token,
        .refresh_token = c->tokens.refresh_token,
        .due = renews ? amld_oidc_renew_due(c->now, c->tokens.lifetime) : 0};
    amld_sign_in_t s = {.principal = c->who.identity.principal,
                        .name = name,
                        .method = "oidc",
                        .issuer = c->who.iss,
                        .subject = c->who.subject,
                        .sid = callback_sid(&c->who),
                        .groups_unknown = c->who.identity.groups_unknown,
                        .groups = c->who.identity.groups,
                        .group_count = c->who.identity.group_count};
    aml_registry_txn_t *txn;
    callback_end_t end;

    *rc = aml_registry_write(c->d->registry, &txn);
    if (*rc != AML_REGISTRY_OK) {
        return CALLBACK_FAILED;
    }

    end = callback_enter(c, txn, &s, &kept, secret, rc);
    if (end != CALLBACK_BEGUN) {
        aml_registry_end(txn);
        return end;
    }

    *rc = aml_registry_commit(txn);
    if (*rc != AML_REGISTRY_OK) {
        return CALLBACK_FAILED;
    }

    *sign_in = s.id;
    if (renews) {
        amld_oidc_renewer_add(amld_oidc_renewer(c->d->oidc), &s.id, kept.due);
    }

    return CALLBACK_BEGUN;
}


static void
callback_signed_in(const callback_t *c, amld_response_t *response)
{
    char name[AML_JWT_NAME_MAX + 1], secret[AMLD_SECRET_SIZE];
    char left[AMLD_SECRET_SIZE + 1];
    const amld_request_t *request = c->request;
    aml_principal_id_t sign_in;
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    callback_name(&c->who, name, sizeof(name));

    switch (callback_begin(c, name, secret, &sign_in, &rc)) {

    case CALLBACK_BEGUN:
        amld_log(AMLD_LOG_INFO, "sign-in: %s from %s by \"%s\"", name,
                 request->client, c->issuer->name);
        callback_audit(c->d, request, c->issuer, AML_REASON_OK, &c->who, name,
                       &sign_in);
        amld_response_redirect(response, c->flow->to);
        amld_response_header(response, "Set-Cookie", "%s=%s; %s",
                             AML_COOKIE_SESSION, secret, AMLD_COOKIE_FLAGS);
        if (amld_request_cookie(request, AML_COOKIE_LEFT, left, sizeof(left)) ==
            0) {
            amld_response_header(response, "Set-Cookie", "%s=; Max-Age=0; %s",
                                 AML_COOKIE_LEFT, AMLD_COOKIE_FLAGS);
        }
        break;

    case CALLBACK_OVERTAKEN:
        amld_response_redirect(response, c->flow->to);
        break;

    case CALLBACK_LOGGED_OUT:
        amld_log(AMLD_LOG_INFO,
                 "sign-in: %s from %s by \"%s\" was signed out meanwhile", name,
                 request->client, c->issuer->name);
        callback_audit(c->d, request, c->issuer, AML_REASON_PROVIDER_REFUSED,
                       &c->who, name, NULL);
        amld_oidc_fail(c->d, request, response, AML_REASON_PROVIDER_REFUSED,
                       NULL, c->flow->to);
        break;

    case CALLBACK_FAILED:
        if (rc == AML_REGISTRY_DENIED) {
            amld_log(AMLD_LOG_WARN, "sign-in: %s from %s is disabled", name,
                     request->client);
            callback_audit(c->d, request, c->issuer,
                           AML_REASON_PRINCIPAL_REVOKED, &c->who, name, NULL);
            amld_oidc_fail(c->d, request, response,
                           AML_REASON_PRINCIPAL_REVOKED, NULL, c->flow->to);
        } else {
            amld_site_failed(c->d, request, response, "sign-in", rc);
        }
        break;
    }

    OPENSSL_cleanse(secret, sizeof(secret));
}


/* ---- the callback ---- */

/* Whoever comes back to an address that was used, by the browser's history. */
static void
callback_stale(amld_t *d, const amld_request_t *request,
               amld_response_t *response, const char *to)
{
    char url[AMLD_OIDC_TO_SIZE];

    if (request->identified && request->by_session) {
        amld_oidc_page(d, request, response, AML_REASON_SIGN_IN_STALE,
                       "It was finished before, and you are signed in.", NULL,
                       to, "Go on");
        return;
    }

    amld_oidc_sign_in_url(url, to);
    amld_oidc_page(d, request, response, AML_REASON_SIGN_IN_STALE, NULL, NULL,
                   url, "Sign in");
}


/*
 * In a browser that is not the one it was begun in.  Two first tabs are given a
 * cookie each, and the browser keeps one of them: whichever came too early
 * begins once more, with a code of its own.
 */
static void
callback_elsewhere(amld_t *d, const amld_request_t *request,
                   amld_response_t *response, const amld_oidc_flow_t *flow,
                   int has_cookie)
{
    char prefix[128];

    if (has_cookie && flow->fresh && !flow->again && !flow->used) {
        (void) snprintf(prefix, sizeof(prefix),
                        "/auth/oidc/%s?again=1&to=", flow->issuer);
        amld_site_go(response, prefix, flow->to);
        return;
    }

    amld_log(AMLD_LOG_WARN,
             "sign-in: from %s by \"%s\" was begun in another browser",
             request->client, flow->issuer);
    amld_audit(
        d->audit,
        &(amld_audit_event_t){
            .event = "sign-in",
            .refused = 1,
            .reason = aml_reason_info(AML_REASON_SIGN_IN_ELSEWHERE)->code.p,
            .method = "oidc",
            .target = flow->issuer,
            .client = request->client,
            .request = request->id});
    amld_request_audited(request);
    amld_oidc_page(d, request, response, AML_REASON_SIGN_IN_ELSEWHERE, NULL,
                   NULL, "/auth/sign-in", "Sign in here");
}


/* RFC 6749 section 3.1; which one somebody else on the way has looked at, if
 * anybody, is not known. */
static int
callback_repeats(const amld_request_t *request)
{
    static const char *const names[] = {"code", "iss", "error",
                                        "error_description"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (amld_request_query_repeated(request, names[i])) {
            return 1;
        }
    }

    return 0;
}


static void
callback_finish(callback_t *c, amld_response_t *response)
{
    const char *error = amld_request_query(c->request, "error");
    const char *code = amld_request_query(c->request, "code"), *why;
    amld_oidc_fault_t fault = {0};

    if (!callback_address_fits(c)) {
        fault.reason = AML_REASON_PROVIDER_ANSWER;
        fault.why = "the answer came to another provider's address";
        callback_failed(c->d, c->request, response, c->issuer, &fault,
                        c->flow->to);
        return;
    }

    if (callback_repeats(c->request)) {
        fault.reason = AML_REASON_PROVIDER_ANSWER;
        fault.why = "the answer has a parameter twice";
        callback_failed(c->d, c->request, response, c->issuer, &fault,
                        c->flow->to);
        return;
    }

    if (amld_key_keeper_metadata(c->d->keys, c->issuer, &c->metadata, &why) !=
            0 ||
        c->metadata.token_endpoint == NULL) {
        fault.reason = AML_REASON_PROVIDER_UNREACHABLE;
        fault.why = why != NULL ? why : "it has no token endpoint";
        callback_failed(c->d, c->request, response, c->issuer, &fault,
                        c->flow->to);
        return;
    }

    if (!callback_iss_fits(c)) {
        fault.reason = AML_REASON_PROVIDER_ANSWER;
        fault.why = "the answer is another provider's, or does not say whose";
        callback_failed(c->d, c->request, response, c->issuer, &fault,
                        c->flow->to);

    } else if (error != NULL) {
        callback_refused(c, response, error);

    } else if (code == NULL || *code == '\0') {
        fault.reason = AML_REASON_PROVIDER_ANSWER;
        fault.why = "the answer has no code";
        callback_failed(c->d, c->request, response, c->issuer, &fault,
                        c->flow->to);

    } else if (callback_who(c, code, &fault) != 0) {
        callback_failed(c->d, c->request, response, c->issuer, &fault,
                        c->flow->to);

    } else {
        callback_signed_in(c, response);
    }
}


static void
callback_take(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    callback_t c = {.d = d, .request = request};
    char cookie[AMLD_SECRET_SIZE];
    amld_oidc_flow_t flow;
    aml_registry_rc_t rc;
    uint8_t browser[32];
    int has_cookie;
    json_t *json;

    has_cookie = amld_request_cookie(request, AML_COOKIE_BROWSER, cookie,
                                     sizeof(cookie)) == 0 &&
                 amld_secret_hash(cookie, browser) == 0;

    rc = amld_oidc_flow_take(d->registry,
                             amld_request_query_repeated(request, "state")
                                 ? NULL
                                 : amld_request_query(request, "state"),
                             (int64_t) time(NULL), &flow, &json);
    c.flow = &flow;

    if (rc == AML_REGISTRY_NOTFOUND) {
        callback_stale(d, request, response, "/");

    } else if (rc != AML_REGISTRY_OK) {
        amld_site_failed(d, request, response, "sign-in", rc);

    } else if (!has_cookie ||
               CRYPTO_memcmp(browser, flow.browser, sizeof(browser)) != 0) {
        callback_elsewhere(d, request, response, &flow, has_cookie);

    } else if (flow.used ||
               (c.issuer = amld_oidc_section(d, flow.issuer)) == NULL) {
        callback_stale(d, request, response, flow.to);

    } else {
        callback_finish(&c, response);
    }

    amld_discovery_clear(&c.metadata);
    amld_oidc_tokens_clear(&c.tokens);
    json_decref(c.who.claims);
    json_decref(json);
    OPENSSL_cleanse(&flow, sizeof(flow));
}


/* Whoever is told to come again finds what is under way untouched. */
void
amld_oidc_callback(amld_t *d, const amld_request_t *request,
                   amld_response_t *response)
{
    const amld_issuer_config_t *issuer =
        amld_oidc_section(d, amld_request_param(request, "issuer"));

    if (!amld_site_studio(d, request, response)) {
        return;
    }

    if (issuer == NULL) {
        callback_take(d, request, response);

    } else if (amld_oidc_ask_begin(d, issuer) != 0) {
        amld_oidc_busy(d, issuer, request, response);

    } else {
        callback_take(d, request, response);
        amld_oidc_ask_end(d, issuer);
    }
}
