/*
 * Signing in with a name and a password: the form, and HTTP Basic.
 */

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/cookie.h"
#include "auth/credentials.h"
#include "auth/device_api.h"
#include "auth/local_issuer.h"
#include "auth/sessions.h"
#include "auth/sign_in.h"
#include "auth/site.h"

#define BASIC_SIZE 1024
#define WRONG "Name or password is wrong."


/* What is logged of a name that was refused: only what could be one, as people
 * type passwords there. */
static const char *
password_label(const char *name)
{
    return amld_account_name_valid(name) ? name : "";
}


/* One line of the audit log: of `person`, or of a name that was refused. */
static void
password_audit(amld_t *d, const amld_request_t *request, const char *event,
               const char *name, const amld_person_t *person,
               const aml_principal_id_t *sign_in, const char *refused)
{
    amld_audit_event_t e = {.event = event,
                            .refused = refused != NULL,
                            .reason = refused,
                            .id = sign_in,
                            .method = "password"};

    if (person != NULL) {
        e.principal = &person->principal;
        e.name = person->name;
        e.method = person->method;
    } else {
        e.name = password_label(name);
    }
    amld_audit_request(d, request, &e);
}


static const char *
password_reason(amld_check_t why)
{
    return why == AMLD_CHECK_LATER    ? "try_later"
           : why == AMLD_CHECK_BUSY   ? "daemon_busy"
           : why == AMLD_CHECK_FAILED ? "accounts_unavailable"
                                      : "wrong_password";
}


/* What is known of a sign-in by who it is. */
static amld_sign_in_t
password_of(const amld_person_t *person)
{
    return (amld_sign_in_t){.principal = person->principal,
                            .name = person->name,
                            .method = person->method,
                            .issuer = person->issuer,
                            .subject = person->name,
                            .sid = "",
                            .groups = person->groups,
                            .group_count = person->group_count,
                            .groups_unknown = person->groups_unknown};
}


/* ---- the form ---- */

static aml_registry_rc_t
password_begin(amld_t *d, const amld_request_t *request,
               const amld_person_t *person, char secret[AMLD_SECRET_SIZE],
               aml_principal_id_t *sign_in)
{
    amld_sign_in_t made = password_of(person);
    aml_registry_rc_t rc;

    rc = amld_sign_in_enter(d, request, &made,
                            person->local ? &person->account : NULL, secret);
    *sign_in = made.id;

    return rc;
}


static void
password_later(amld_t *d, amld_response_t *response, const char *to,
               const char *name, unsigned seconds)
{
    const aml_reason_info_t *info = aml_reason_info(AML_REASON_TRY_LATER);
    char alert[128];

    (void) snprintf(alert, sizeof(alert), "%s Try again in %u second%s.",
                    info->text.p, seconds, seconds == 1 ? "" : "s");
    amld_page_sign_in(d, response, info->status, info->code.p, to, name, alert);
    amld_response_header(response, "X-AML-Reason", "%s", info->code.p);
    amld_response_header(response, "Retry-After", "%u", seconds);
}


/* The person is cleared by the caller. */
static void
password_sign_in(amld_t *d, const amld_request_t *request,
                 amld_response_t *response, const char *name, const char *to,
                 const amld_person_t *person)
{
    char secret[AMLD_SECRET_SIZE];
    aml_principal_id_t sign_in;
    aml_registry_rc_t rc;

    rc = person != NULL ? password_begin(d, request, person, secret, &sign_in)
                        : AML_REGISTRY_DENIED;

    if (rc == AML_REGISTRY_DENIED || rc == AML_REGISTRY_NOTFOUND) {
        amld_log(AMLD_LOG_WARN, "sign-in: refused \"%.64s\" from %s",
                 password_label(name), request->client);
        password_audit(d, request, "sign-in", name, person, NULL,
                       person != NULL ? "principal_revoked" : "wrong_password");
        amld_page_sign_in(d, response, 403, NULL, to, name, WRONG);
        return;
    }

    if (rc != AML_REGISTRY_OK) {
        amld_site_failed(d, request, response, "sign-in", rc);
        return;
    }

    amld_log(AMLD_LOG_INFO, "sign-in: %s from %s", person->name,
             request->client);
    password_audit(d, request, "sign-in", name, person, &sign_in, NULL);

    amld_response_redirect(response, to);
    amld_response_header(response, "Set-Cookie", "%s=%s; %s",
                         AML_COOKIE_SESSION, secret, AMLD_COOKIE_FLAGS);
    OPENSSL_cleanse(secret, sizeof(secret));
}


static void
password_submit(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    const char *name = amld_request_form(request, "name");
    const char *password = amld_request_form(request, "password");
    const char *to = amld_sign_in_local(amld_request_form(request, "to"));
    amld_person_t person;
    unsigned seconds;

    if (!amld_site_studio(d, request, response)) {
        return;
    }

    name = name != NULL ? name : "";
    password = password != NULL ? password : "";

    switch (
        amld_credentials_check(d, request, name, password, &person, &seconds)) {
    case AMLD_CHECK_RIGHT:
        password_sign_in(d, request, response, name, to, &person);
        break;
    case AMLD_CHECK_WRONG:
        password_sign_in(d, request, response, name, to, NULL);
        break;
    case AMLD_CHECK_LATER:
        password_audit(d, request, "sign-in", name, NULL, NULL, "try_later");
        password_later(d, response, to, name, seconds);
        break;
    case AMLD_CHECK_BUSY:
        password_audit(d, request, "sign-in", name, NULL, NULL, "daemon_busy");
        amld_site_refuse(d, response, AMLD_SITE_STUDIO, AML_REASON_DAEMON_BUSY);
        amld_response_header(response, "Retry-After", "%d",
                             AMLD_CHECK_BUSY_SECONDS);
        break;
    case AMLD_CHECK_FAILED:
        password_audit(d, request, "sign-in", name, NULL, NULL,
                       "accounts_unavailable");
        amld_site_refuse(d, response, AMLD_SITE_STUDIO,
                         AML_REASON_ACCOUNTS_UNAVAILABLE);
        break;
    }

    amld_person_clear(&person);
}


/* ---- tokens ---- */

/*
 * A sign-in for a token, which ends with it and is among the person's sessions:
 * what PAM has brought is a sign-in's, and a program that says what it is
 * called, in `client`, can sign out again.  NULL is one that does not.
 */
static aml_registry_rc_t
password_program(amld_t *d, const amld_request_t *request,
                 const amld_person_t *person, const char *client,
                 aml_principal_id_t *sign_in)
{
    int64_t now = (int64_t) time(NULL);
    const char *agent = amld_request_header(request, "User-Agent");
    amld_sign_in_t made = password_of(person);
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    made.address = request->client;
    made.agent = client != NULL ? client : agent != NULL ? agent : "";
    made.created = now;
    made.expires = now + d->config->token_lifetime;

    if (aml_uuid_random(&made.id) != 0) {
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = person->local && !amld_account_same(txn, &person->account)
             ? AML_REGISTRY_DENIED
             : amld_sign_in_begin(txn, &made);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    *sign_in = made.id;

    return aml_registry_commit(txn);
}


/* `mint->sign_in` is where there is one of the token. */
static amld_check_t
password_mint(amld_t *d, const amld_request_t *request,
              const amld_person_t *person, aml_principal_id_t *sign_in,
              amld_mint_t *mint, char **token)
{
    const char *client = amld_request_form(request, "client_id");
    aml_registry_rc_t rc;

    mint->principal = person->principal;
    mint->name = person->name;
    mint->account = person->local ? &person->account : NULL;

    if (!person->local || client != NULL) {
        rc = password_program(d, request, person, client, sign_in);
        if (rc != AML_REGISTRY_OK) {
            amld_log(AMLD_LOG_ERROR, "token: %s", aml_registry_strerror(rc));
            return rc == AML_REGISTRY_DENIED ? AMLD_CHECK_WRONG
                                             : AMLD_CHECK_FAILED;
        }
        mint->sign_in = sign_in;
    }

    switch (amld_issuer_mint(d->registry, d->config, mint, (int64_t) time(NULL),
                             token)) {
    case AMLD_ACCOUNT_OK:
        return AMLD_CHECK_RIGHT;
    case AMLD_ACCOUNT_REFUSED:
        return AMLD_CHECK_WRONG;
    default:
        return AMLD_CHECK_FAILED;
    }
}


static void
password_token_refused(amld_t *d, const amld_request_t *request,
                       amld_response_t *response, amld_check_t why,
                       unsigned seconds)
{
    if (why == AMLD_CHECK_WRONG) {
        amld_response_error(response, 401, "sign_in_required", NULL,
                            "Send name and password of an account as HTTP "
                            "Basic credentials.");
        amld_response_header(response, "WWW-Authenticate",
                             "Basic realm=\"AML Gateway\", charset=\"UTF-8\"");

    } else if (why == AMLD_CHECK_LATER) {
        amld_site_later(d, request, response, seconds);

    } else if (why == AMLD_CHECK_BUSY) {
        amld_site_say(d, request, response, AML_REASON_DAEMON_BUSY);
        amld_response_header(response, "Retry-After", "%d",
                             AMLD_CHECK_BUSY_SECONDS);

    } else {
        amld_site_say(d, request, response, AML_REASON_ACCOUNTS_UNAVAILABLE);
    }
}


static void
password_token(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    const char *name = "", *password;
    char room[BASIC_SIZE], *token = NULL;
    amld_check_t rc = AMLD_CHECK_WRONG;
    aml_principal_id_t sign_in;
    amld_mint_t mint = {0};
    amld_person_t person;
    unsigned seconds = 0;

    if (!amld_site_is_studio(d, request)) {
        amld_response_error(response, 404, "host_unknown", NULL,
                            "Tokens are given out at the studio's address.");
        return;
    }

    if (amld_request_form(request, "grant_type") != NULL) {
        amld_grant_token(d, request, response);
        return;
    }

    if (amld_request_form(request, "client_id") != NULL &&
        amld_device_client(request) == NULL) {
        amld_grant_error(response, "invalid_request", AMLD_DEVICE_CLIENT_WRONG);
        return;
    }

    if (amld_sign_in_basic(amld_request_header(request, "Authorization"), room,
                           sizeof(room), &name, &password) == 0) {
        rc = amld_credentials_check(d, request, name, password, &person,
                                    &seconds);
        if (rc == AMLD_CHECK_RIGHT) {
            rc = password_mint(d, request, &person, &sign_in, &mint, &token);
        }
        password_audit(d, request, "token", name,
                       rc == AMLD_CHECK_RIGHT ? &person : NULL, mint.sign_in,
                       rc == AMLD_CHECK_RIGHT ? NULL : password_reason(rc));
        amld_person_clear(&person);

        amld_log(rc == AMLD_CHECK_RIGHT ? AMLD_LOG_INFO : AMLD_LOG_WARN,
                 "token: %s \"%.64s\" from %s",
                 rc == AMLD_CHECK_RIGHT ? "for" : "refused",
                 password_label(name), request->client);
        OPENSSL_cleanse(room, sizeof(room));
    }

    if (rc != AMLD_CHECK_RIGHT) {
        password_token_refused(d, request, response, rc, seconds);
        return;
    }

    amld_response_json(response, 200,
                       json_pack("{s:s, s:s, s:I}", "access_token", token,
                                 "token_type", "Bearer", "expires_in",
                                 (json_int_t) d->config->token_lifetime));
    OPENSSL_cleanse(token, strlen(token));
    free(token);
}


const amld_http_route_t amld_password_routes[] = {
    {"POST", "/auth/sign-in", password_submit},
    {"POST", "/auth/token", password_token},
    {NULL, NULL, NULL},
};
