/*
 * Why a request was refused: a stable code for logs and programs, a status,
 * and words for a person.  docs/reasons.md lists them; a test compares.
 */

#ifndef AML_REASON_H
#define AML_REASON_H

#include "auth/str.h"

/* name, HTTP status, title, what it means, what to do next */
#define AML_REASONS(X)                                                         \
    X(OK, ok, 200, "Allowed", "The request was allowed.", "")                  \
    X(SIGN_IN_REQUIRED, sign_in_required, 401, "Please sign in",               \
      "This page is for people who are signed in.", "Sign in and try again.")  \
    X(SESSION_UNKNOWN, session_unknown, 401, "Your session has ended",         \
      "You signed out, or your session was ended.", "Sign in again.")          \
    X(SESSION_EXPIRED, session_expired, 401, "Your session has expired",       \
      "Sessions end after a while.", "Sign in again.")                         \
    X(SESSION_HOST, session_host, 401, "Please sign in here",                  \
      "Your session belongs to another address.", "Sign in again.")            \
    X(SESSION_MALFORMED, session_malformed, 401, "Please sign in again",       \
      "The session cookie cannot be read.",                                    \
      "Sign in again; if that does not help, clear this site's cookies.")      \
    X(PRINCIPAL_REVOKED, principal_revoked, 401, "Please sign in again",       \
      "What you signed in with is no longer accepted.",                        \
      "Sign in again, or ask your administrator.")                             \
    X(TOKEN_MALFORMED, token_malformed, 401, "The token cannot be read",       \
      "The bearer token is not a well-formed JSON Web Token.",                 \
      "Get a new token.")                                                      \
    X(TOKEN_ALGORITHM, token_algorithm, 401, "The token is not accepted",      \
      "The token's signature algorithm is not one that its issuer uses "       \
      "here.",                                                                 \
      "Get a new token.")                                                      \
    X(TOKEN_CRITICAL, token_critical, 401, "The token is not accepted",        \
      "The token asks for an extension that is not supported.",                \
      "Get a new token.")                                                      \
    X(TOKEN_ISSUER, token_issuer, 401, "The token is not accepted",            \
      "The token's issuer is not known here.",                                 \
      "Get a token from an issuer that this gateway trusts.")                  \
    X(TOKEN_KEY, token_key, 401, "The token is not accepted",                  \
      "The key that signed the token is not known.", "Get a new token.")       \
    X(TOKEN_SIGNATURE, token_signature, 401, "The token is not accepted",      \
      "The token's signature is not valid.", "Get a new token.")               \
    X(TOKEN_AUDIENCE, token_audience, 401, "The token is not accepted",        \
      "The token is meant for another service.",                               \
      "Get a token for this service.")                                         \
    X(TOKEN_EXPIRED, token_expired, 401, "The token has expired",              \
      "The token is past its expiry time.", "Get a new token.")                \
    X(TOKEN_NOT_YET, token_not_yet, 401, "The token is not valid yet",         \
      "The token's start time lies in the future.",                            \
      "Check the clocks of this machine and of the issuer.")                   \
    X(TOKEN_CLAIMS, token_claims, 401, "The token is not accepted",            \
      "The token lacks a claim that is needed, or has it in a wrong form.",    \
      "Get a new token.")                                                      \
    X(TOKEN_TYPE, token_type, 401, "This kind of token is not accepted",       \
      "It is an ID, refresh or logout token, which says nothing of access.",   \
      "Send an access token.")                                                 \
    X(TOKEN_UNKNOWN, token_unknown, 401, "The token is not known",             \
      "The personal access token was revoked, or never was one.",              \
      "Make a new one in the studio.")                                         \
    X(TOKEN_SCOPE, token_scope, 403, "The token does not reach this far",      \
      "The personal access token was made for other instances or actions.",    \
      "Use another token, or make one whose scope has this.")                  \
    X(TRY_LATER, try_later, 429, "Too many wrong attempts",                    \
      "There were too many wrong attempts.",                                   \
      "Wait as long as Retry-After says, then try again.")                     \
    X(CREDENTIAL_REPEATED, credential_repeated, 400,                           \
      "More than one credential",                                              \
      "The request carries the same kind of credential twice.",                \
      "Send one; in a browser, clear this site's cookies.")                    \
    X(REQUEST_MALFORMED, request_malformed, 400,                               \
      "The request cannot be understood",                                      \
      "The request is not well-formed HTTP for this address.",                 \
      "Check the address, and the program that made the request.")             \
    X(REQUEST_TOO_LARGE, request_too_large, 413, "The request is too large",   \
      "The request's body is larger than this gateway takes.",                 \
      "Send less at a time.")                                                  \
    X(HEADERS_TOO_LARGE, headers_too_large, 431,                               \
      "The request's headers are too large",                                   \
      "Cookies or other headers are larger than this gateway takes.",          \
      "In a browser, clear this site's cookies.")                              \
    X(CODE_UNKNOWN, code_unknown, 403, "Signing in here did not work",         \
      "The link that was to sign you in was used before, took too long, or "   \
      "was made for another browser. This site needs cookies.",                \
      "Try again.")                                                            \
    X(NOT_CREATOR, not_creator, 403, "This compute instance is not yours",     \
      "Only its creator can open the applications of a compute instance, "     \
      "whatever their role.",                                                  \
      "Create an instance of your own, or ask its creator for a copy of "      \
      "what you need in the shared files.")                                    \
    X(ACTION_DENIED, action_denied, 403, "Your roles do not allow this",       \
      "No role that is assigned to you here allows this action.",              \
      "Ask an owner of the workspace for a role that does.")                   \
    X(GROUPS_UNKNOWN, groups_unknown, 403, "Your groups are not known",        \
      "No role of your own allows this action, and your identity provider "    \
      "did not tell which groups you are in.",                                 \
      "Sign in again, or ask an owner for a role of your own or by an app "    \
      "role.")                                                                 \
    X(CROSS_ORIGIN, cross_origin, 403, "Request from another site",            \
      "The request was made by a page of another origin.",                     \
      "Open this address directly.")                                           \
    X(HOST_UNKNOWN, host_unknown, 404, "No such address",                      \
      "This host name names no compute instance and no port.",                 \
      "Check the address.")                                                    \
    X(INSTANCE_NOT_FOUND, instance_not_found, 404, "No such compute instance", \
      "There is no compute instance of this name.",                            \
      "Check the name, or see the studio for your instances.")                 \
    X(PORT_NOT_OPEN, port_not_open, 404, "Nothing listens on this port",       \
      "The compute instance runs, but has no application on this port.",       \
      "Start the application, or check the port in the address.")              \
    X(TUNNEL_ONLY, tunnel_only, 426, "This address is for SSH",                \
      "Programs open a tunnel here, such as aml ssh, OpenSSH by it, or VS "    \
      "Code Remote-SSH. There is nothing to see in a browser.",                \
      "Use aml ssh with the name of the instance.")                            \
    X(ACTION_UNKNOWN, action_unknown, 404, "No such operation",                \
      "This path and method name no operation.", "Check the address.")         \
    X(RATE_LIMITED, rate_limited, 429, "Too many requests",                    \
      "You, or a program of yours, have asked more often than is allowed.",    \
      "Wait a moment, then try again.")                                        \
    X(INSTANCE_STARTING, instance_starting, 503,                               \
      "The compute instance is starting", "It will be ready in a moment.",     \
      "This page tries again by itself.")                                      \
    X(INSTANCE_STOPPING, instance_stopping, 503,                               \
      "The compute instance is stopping", "It is being stopped or deleted.",   \
      "Wait, then start it again.")                                            \
    X(INSTANCE_STOPPED, instance_stopped, 409,                                 \
      "The compute instance is stopped", "Its applications do not run.",       \
      "Start it in the studio.")                                               \
    X(INSTANCE_FAILED, instance_failed, 409,                                   \
      "The compute instance does not work",                                    \
      "It could not be created or started.",                                   \
      "See the studio for the reason; restart or delete it.")                  \
    X(APPLICATION_NOT_STARTED, application_not_started, 503,                   \
      "The application does not run yet",                                      \
      "It is started when its creator first asks for it.",                     \
      "Open its address in a browser, or try again in a moment.")              \
    X(APPLICATION_STARTING, application_starting, 503,                         \
      "The application is starting", "It will be ready in a moment.",          \
      "Try again in a moment.")                                                \
    X(APPLICATION_FAILED, application_failed, 409,                             \
      "The application could not be started",                                  \
      "The compute instance runs, but this application ended or did not "      \
      "answer.",                                                               \
      "Open its address in a browser to see why, and to start it again.")      \
    X(SERVICE_STARTING, service_starting, 503, "The service is starting",      \
      "This port is a custom service's, which does not listen yet.",           \
      "Try again in a moment; aml service logs shows what it says.")           \
    X(SERVICE_STOPPED, service_stopped, 409, "The service is stopped",         \
      "This port is a custom service's, which does not run: you have "         \
      "stopped it, or it does not start with its instance.",                   \
      "Start it by aml service start, or open its address in a browser.")      \
    X(SERVICE_FAILED, service_failed, 409, "The service has failed",           \
      "This port is a custom service's, which could not be started, or "       \
      "ended again and again.",                                                \
      "See its log by aml service logs, and try again by aml service start.")  \
    X(APPLICATION_UNREACHABLE, application_unreachable, 502,                   \
      "The application does not answer",                                       \
      "The compute instance runs, but its application does not answer.",       \
      "Try again in a moment, or restart the compute instance.")               \
    X(APPLICATION_TIMEOUT, application_timeout, 504,                           \
      "The application took too long",                                         \
      "The application was reached, but did not answer in time.",              \
      "Try again in a moment.")                                                \
    X(PROVIDER_UNREACHABLE, provider_unreachable, 502,                         \
      "The identity provider does not answer",                                 \
      "Your organisation's identity provider cannot be asked right "           \
      "now. Who is signed in stays so.",                                       \
      "Try again in a moment, or tell your administrator.")                    \
    X(PROVIDER_ANSWER, provider_answer, 502,                                   \
      "The identity provider's answer is not accepted",                        \
      "What the identity provider answered is not as it must be; "             \
      "nobody was signed in.",                                                 \
      "Try again, or tell your administrator: amld's log says what "           \
      "is wrong.")                                                             \
    X(PROVIDER_REFUSED, provider_refused, 403,                                 \
      "The identity provider did not sign you in",                             \
      "The sign-in was cancelled, or the identity provider does not "          \
      "let you in here.",                                                      \
      "Try again, or ask your administrator.")                                 \
    X(SIGN_IN_STALE, sign_in_stale, 400, "This sign-in is over",               \
      "It was finished before, or it took too long.", "Begin again.")          \
    X(SIGN_IN_ELSEWHERE, sign_in_elsewhere, 400,                               \
      "This sign-in was begun elsewhere",                                      \
      "It was begun in another browser, or this one keeps no "                 \
      "cookies of this site.",                                                 \
      "Begin again here.")                                                     \
    X(DAEMON_UNAVAILABLE, daemon_unavailable, 503,                             \
      "The control service does not answer",                                   \
      "Signing in and changing instances is not possible right now. What "     \
      "runs goes on running.",                                                 \
      "Try again in a moment, or tell your administrator: amld is down.")      \
    X(ACCOUNTS_UNAVAILABLE, accounts_unavailable, 503,                         \
      "Passwords cannot be checked",                                           \
      "Where accounts are looked up there is no answer right now.",            \
      "Try again in a moment, or tell your administrator: the log of amld "    \
      "says why.")                                                             \
    X(DAEMON_BUSY, daemon_busy, 503, "The control service is busy",            \
      "Too many requests wait for others right now, such as an identity "      \
      "provider.",                                                             \
      "Try again in a moment.")                                                \
    X(REGISTRY_UNAVAILABLE, registry_unavailable, 503,                         \
      "The gateway cannot look things up",                                     \
      "The gateway's registry cannot be read or written.",                     \
      "Tell your administrator: the error log of the gateway or of amld "      \
      "says why.")

typedef enum {
#define X(NAME, code, status, title, text, next) AML_REASON_##NAME,
    AML_REASONS(X)
#undef X
    AML_REASON_COUNT
} aml_reason_t;

typedef struct {
    aml_str_t code;
    unsigned status;
    aml_str_t title;
    aml_str_t text;
    aml_str_t next;
} aml_reason_info_t;

/* Static; for a value out of range that of REGISTRY_UNAVAILABLE. */
const aml_reason_info_t *aml_reason_info(aml_reason_t reason);

/* By code, AML_REASON_COUNT when there is none. */
aml_reason_t aml_reason_find(aml_str_t code);

#endif /* AML_REASON_H */
