/*
 * What amld asks an identity provider for: tokens for a code or for a refresh
 * token (RFC 6749 sections 4.1.3 and 6, RFC 7636), and UserInfo (OpenID Connect
 * Core section 5.3).
 *
 * Any thread; each call waits for the provider, AMLD_OIDC_SECONDS at most.
 */

#ifndef AMLD_OIDC_PROVIDER_H
#define AMLD_OIDC_PROVIDER_H

#include <jansson.h>
#include <stdatomic.h>

#include "auth/discovery.h"
#include "auth/reason.h"
#include "computes/config/config.h"

#define AMLD_OIDC_SECONDS 10
#define AMLD_OIDC_ANSWER_MAX ((size_t) 128 * 1024) /* bytes */

/* We, as the provider knows us. */
typedef struct {
    const amld_issuer_config_t *issuer;
    const amld_discovery_t *metadata;
    const atomic_int *cancel; /* see fetch.h; may be NULL */
} amld_oidc_client_t;

/* What went wrong. */
typedef struct {
    aml_reason_t reason; /* for the person: PROVIDER_… or SIGN_IN_STALE */
    const char *why;     /* for the log, static */
    char detail[160];    /* the same: what the provider said; may be empty */
    int invalid_grant;   /* the code or refresh token is no good */
    int anew;            /* it may be good, but the person has to be asked */
    int one;             /* others may fare better than this one */
    int lost;            /* the provider may have done it all the same */
    long retry_after;    /* seconds that it asks for; -1 */
} amld_oidc_fault_t;

/* Strings live as long as `json`. */
typedef struct {
    const char *access_token;
    const char *id_token; /* "" where there is none, as the next */
    const char *refresh_token;
    int64_t lifetime; /* of the access token, seconds */
    json_t *json;
} amld_oidc_tokens_t;

/* 0 and tokens, or -1 and the fault.  amld_oidc_tokens_clear() is due in every
 * case. */
int amld_oidc_code(const amld_oidc_client_t *c, const char *code,
                   const char *redirect_uri, const char *verifier,
                   amld_oidc_tokens_t *tokens, amld_oidc_fault_t *fault);
int amld_oidc_refresh(const amld_oidc_client_t *c, const char *refresh_token,
                      amld_oidc_tokens_t *tokens, amld_oidc_fault_t *fault);
void amld_oidc_tokens_clear(amld_oidc_tokens_t *tokens);

/* UserInfo's claims, the caller's to json_decref(); NULL and the fault. */
json_t *amld_oidc_userinfo(const amld_oidc_client_t *c,
                           const char *access_token, amld_oidc_fault_t *fault);

/* For a log: "why (detail)", cut where it does not fit. */
void
amld_oidc_fault_text(const amld_oidc_fault_t *fault, char *text, size_t size);

#endif /* AMLD_OIDC_PROVIDER_H */
