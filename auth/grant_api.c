/*
 * Codes and refresh tokens for tokens, RFC 6749 section 5 and RFC 8628.
 */

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/credentials.h"
#include "auth/device.h"
#include "auth/device_api.h"
#include "auth/local_issuer.h"
#include "auth/polls.h"
#include "auth/refresh.h"
#include "auth/sign_ins.h"
#include "auth/site.h"

#define DEVICE_CODE "urn:ietf:params:oauth:grant-type:device_code"


void
amld_grant_error(amld_response_t *response, const char *error, const char *text)
{
    amld_response_json(
        response, 400,
        json_pack("{s:s, s:s}", "error", error, "error_description", text));

    /* a device that waits asks many times, and is told so; this is a code or
     * a token that is not good */
    if (strcmp(error, "invalid_grant") == 0) {
        amld_response_refuses(response, error);
    }
}


static void
grant_failed(amld_response_t *response, aml_registry_rc_t rc)
{
    amld_log(AMLD_LOG_ERROR, "token: %s", aml_registry_strerror(rc));
    amld_response_json(response, 503,
                       json_pack("{s:s, s:s}", "error",
                                 "temporarily_unavailable", "error_description",
                                 "The registry can't be read or written."));
}


/* What a grant comes to: a token that ends with the sign-in. */
static void
grant_answer(amld_t *d, amld_response_t *response,
             const aml_principal_id_t *principal, const char *name,
             const aml_principal_id_t *sign_in, const char *refresh)
{
    amld_mint_t mint = {*principal, name, sign_in, NULL};
    amld_account_rc_t rc;
    char *token;

    rc = amld_issuer_mint(d->registry, d->config, &mint, (int64_t) time(NULL),
                          &token);

    if (rc == AMLD_ACCOUNT_OK) {
        amld_response_json(response, 200,
                           json_pack("{s:s, s:s, s:I, s:s}", "access_token",
                                     token, "token_type", "Bearer",
                                     "expires_in",
                                     (json_int_t) d->config->token_lifetime,
                                     "refresh_token", refresh));
        OPENSSL_cleanse(token, strlen(token));
        free(token);

    } else if (rc == AMLD_ACCOUNT_REFUSED) {
        amld_grant_error(response, "invalid_grant", "Sign in again.");

    } else {
        grant_failed(response, AML_REGISTRY_FAILED);
    }
}


static void
grant_device(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    const char *code = amld_request_form(request, "device_code");
    amld_device_grant_t grant;
    amld_device_state_t state;
    aml_registry_rc_t rc;
    uint8_t hash[32];

    if (amld_secret_hash(code, hash) != 0) {
        amld_grant_error(response,
                         code == NULL ? "invalid_request" : "invalid_grant",
                         "Send the device_code that you were given.");
        return;
    }

    state = amld_device_redeem(d->registry, code, (int64_t) time(NULL),
                               d->config->device_lifetime, &grant, &rc);

    if (rc != AML_REGISTRY_OK) {
        grant_failed(response, rc);
        return;
    }

    switch (state) {

    case AMLD_DEVICE_APPROVED:
        amld_log(AMLD_LOG_INFO, "device: %s is signed in from %s", grant.name,
                 request->client);
        amld_audit_request(d, request,
                           &(amld_audit_event_t){.event = "sign-in",
                                                 .principal = &grant.principal,
                                                 .name = grant.name,
                                                 .method = "device",
                                                 .id = &grant.sign_in});
        grant_answer(d, response, &grant.principal, grant.name, &grant.sign_in,
                     grant.refresh);
        break;

    case AMLD_DEVICE_PENDING:
        if (amld_polls_hasty(d->polls, hash, AMLD_DEVICE_INTERVAL,
                             amld_backoff_now())) {
            amld_grant_error(response, "slow_down",
                             "Ask five seconds later than you do.");
        } else {
            amld_grant_error(response, "authorization_pending",
                             "Nobody has answered yet.");
        }
        break;

    case AMLD_DEVICE_DENIED:
        amld_grant_error(response, "access_denied", "It was denied.");
        break;

    case AMLD_DEVICE_EXPIRED:
        amld_grant_error(response, "expired_token", "Begin again.");
        break;

    case AMLD_DEVICE_UNKNOWN:
        amld_grant_error(response, "invalid_grant",
                         "There is no such code, or it was used.");
        break;
    }

    OPENSSL_cleanse(&grant, sizeof(grant));
}


static void
grant_refresh(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    const char *token = amld_request_form(request, "refresh_token");
    const char *client = amld_request_form(request, "client_id");
    amld_refresh_use_t use = {0};
    char id[AML_UUID_TEXT + 1];
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    json_t *json = NULL;
    amld_sign_in_t s;

    if (token == NULL) {
        amld_grant_error(response, "invalid_request", "Send refresh_token.");
        return;
    }
    if (client == NULL) {
        amld_grant_error(response, "invalid_request", "Send client_id.");
        return;
    }

    rc = amld_refresh_use(d->registry, token, client, (int64_t) time(NULL),
                          &use);
    aml_uuid_format(&use.sign_in, id);

    if (rc == AML_REGISTRY_OK && use.again) {
        amld_log(AMLD_LOG_INFO,
                 "device: sign-in %s: a refresh token came again at once, as "
                 "where an answer is lost, from %s",
                 id, request->client);
    }

    if (rc == AML_REGISTRY_DENIED) {
        amld_log(
            AMLD_LOG_WARN,
            "device: sign-in %s has ended: a refresh token was used twice, "
            "from %s",
            id, request->client);
        amld_audit_request(
            d, request,
            &(amld_audit_event_t){.event = "session-end",
                                  .reason = "refresh_token_reused",
                                  .method = "device",
                                  .id = &use.sign_in});
    }

    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_read(d->registry, &txn);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_sign_in_get(txn, &use.sign_in, &s, &json);
            aml_registry_end(txn);
        }
    }

    if (rc == AML_REGISTRY_OK) {
        grant_answer(d, response, &s.principal, s.name, &use.sign_in, use.next);
    } else if (rc == AML_REGISTRY_NOTFOUND || rc == AML_REGISTRY_DENIED) {
        amld_grant_error(response, "invalid_grant", "Sign in again.");
    } else {
        grant_failed(response, rc);
    }

    json_decref(json);
    OPENSSL_cleanse(&use, sizeof(use));
}


void
amld_grant_token(amld_t *d, const amld_request_t *request,
                 amld_response_t *response)
{
    const char *type = amld_request_form(request, "grant_type");

    if (strcmp(type, DEVICE_CODE) == 0) {
        grant_device(d, request, response);
    } else if (strcmp(type, "refresh_token") == 0) {
        grant_refresh(d, request, response);
    } else {
        amld_grant_error(response, "unsupported_grant_type",
                         "Send " DEVICE_CODE " or refresh_token.");
    }
}
