/*
 * Requests to an identity provider's token and UserInfo endpoints.
 */

#include "auth/oidc_provider.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "auth/fetch.h"
#include "auth/json.h"
#include "auth/sign_in_secrets.h"

#define SECRET_MAX 1024
#define LIFETIME                                                               \
    3600 /* where the provider does not say: RFC 6749 section 5.1 */


/* ---- faults ---- */

static int
fault_say(amld_oidc_fault_t *f, aml_reason_t reason, const char *why,
          const char *detail)
{
    f->reason = reason;
    f->why = why;
    (void) snprintf(f->detail, sizeof(f->detail), "%s",
                    detail != NULL ? detail : "");

    return -1;
}


static void
fault_clear(amld_oidc_fault_t *f)
{
    memset(f, 0, sizeof(*f));
    f->retry_after = -1;
}


void
amld_oidc_fault_text(const amld_oidc_fault_t *fault, char *text, size_t size)
{
    int some = *fault->detail != '\0';

    (void) snprintf(text, size, "%s%s%s%s", fault->why, some ? " (" : "",
                    fault->detail, some ? ")" : "");
}


/* ---- who we are ---- */

/* The secret of the file, without the end of its line; -1 when it can't be
 * read, with errno, or 0 there when it is empty.  It is read each time, so that
 * it can be changed. */
static int
client_secret(const char *file, char secret[SECRET_MAX])
{
    ssize_t n;
    int fd, error;

    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }

    n = read(fd, secret, SECRET_MAX - 1);
    error = n < 0 ? errno : 0;
    close(fd);
    errno = error;
    if (n < 0) {
        return -1;
    }

    while (n > 0 && (secret[n - 1] == '\n' || secret[n - 1] == '\r')) {
        n--;
    }
    secret[n] = '\0';

    return n > 0 ? 0 : -1;
}


/* As a form's value, which a name of HTTP Basic is too (RFC 6749 section
 * 2.3.1); malloc()ed. */
static char *
form_value(const char *text)
{
    char *form = amld_fetch_form(NULL, "", text);

    if (form != NULL) {
        memmove(form, form + 1, strlen(form));
    }

    return form;
}


static void
wipe(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
        free(text);
    }
}


/* ---- answers ---- */

static int
fault_of_fetch(const amld_fetched_t *fetched, amld_fetch_rc_t rc,
               amld_oidc_fault_t *f)
{
    aml_reason_t reason = AML_REASON_PROVIDER_UNREACHABLE;

    switch (rc) {
    case AMLD_FETCH_TIMEOUT:
    case AMLD_FETCH_CUT:
    case AMLD_FETCH_ENDED:
        f->lost = 1;
        break;
    case AMLD_FETCH_LARGE:
    case AMLD_FETCH_TYPE:
        f->lost = f->one = 1;
        reason = AML_REASON_PROVIDER_ANSWER;
        break;
    case AMLD_FETCH_REFUSED:
        reason = AML_REASON_PROVIDER_ANSWER;
        break;
    default:
        break;
    }

    return fault_say(f, reason, amld_fetch_strerror(rc), fetched->detail);
}


/* Is it one of these? */
static int
is_error(const char *error, const char *const *errors)
{
    while (*errors != NULL && strcmp(error, *errors) != 0) {
        errors++;
    }

    return *errors != NULL;
}


/* How errors are to be read; as of the issuer's kind. */
typedef struct {
    int bare;
    int vague;
} manner_t;


/* RFC 6749 section 5.2, OpenID Connect Core section 3.1.2.6. */
static int
fault_of_error(const json_t *json, const amld_fetched_t *fetched,
               const manner_t *manner, amld_oidc_fault_t *f)
{
    /* whoever it is about */
    static const char *const of_all[] = {"invalid_client",
                                         "unauthorized_client",
                                         "temporarily_unavailable", NULL};
    static const char *const of_client[] = {"invalid_client",
                                            "unauthorized_client", NULL};
    static const char *const of_person[] = {
        "interaction_required", "consent_required", "login_required", NULL};
    long status = fetched->status;
    const char *error, *description;
    char detail[sizeof(f->detail)];

    error = json_string_value(json_object_get(json, "error"));
    description = json_string_value(json_object_get(json, "error_description"));

    f->one = error == NULL || !is_error(error, of_all);

    if (error == NULL && manner->bare && status == 400 && fetched->n == 0) {
        f->invalid_grant = 1;
        return fault_say(f, AML_REASON_SIGN_IN_STALE, "the provider refuses",
                         NULL);
    }

    if (error == NULL) {
        (void) snprintf(detail, sizeof(detail), "status %ld", status);
        return fault_say(f, AML_REASON_PROVIDER_ANSWER,
                         "the provider answers with an error", detail);
    }

    (void) snprintf(detail, sizeof(detail), "%.40s%s%.100s", error,
                    description != NULL ? ": " : "",
                    description != NULL ? description : "");

    f->anew = is_error(error, of_person);
    f->invalid_grant = strcmp(error, "invalid_grant") == 0 ||
                       (manner->vague && status == 400 &&
                        strcmp(error, "invalid_request") == 0);

    if (is_error(error, of_client)) {
        return fault_say(f, AML_REASON_PROVIDER_ANSWER,
                         "the provider refuses this client: look at client_id "
                         "and client_secret_file",
                         detail);
    }

    return fault_say(f,
                     f->invalid_grant ? AML_REASON_SIGN_IN_STALE
                                      : AML_REASON_PROVIDER_REFUSED,
                     "the provider refuses", detail);
}


/* What is between may say so of an answer that it has lost, unless that is
 * known to be the provider's own. */
static void
fault_of_server(const json_t *json, const amld_fetched_t *fetched,
                const manner_t *manner, amld_oidc_fault_t *f)
{
    const char *error = json_string_value(json_object_get(json, "error"));
    char detail[80];

    (void) snprintf(detail, sizeof(detail), "status %ld%s%.40s",
                    fetched->status, error != NULL ? ", " : "",
                    error != NULL ? error : "");
    (void) fault_say(f, AML_REASON_PROVIDER_UNREACHABLE,
                     "the provider can't answer now", detail);

    f->one = fetched->status != 503 && fetched->status != 429;
    f->lost = f->one && !(manner->vague && error != NULL);
}


/* The object that was answered; NULL and the fault. */
static json_t *
answer_read(const amld_fetched_t *fetched, const manner_t *manner,
            amld_oidc_fault_t *f)
{
    json_t *json = aml_json_object((aml_str_t){fetched->body, fetched->n});

    f->retry_after = fetched->retry_after;

    if (fetched->status == 200 && json != NULL) {
        return json;
    }

    if (fetched->status == 200) {
        f->lost = f->one = 1;
        (void) fault_say(f, AML_REASON_PROVIDER_ANSWER,
                         "the provider's answer is not JSON", NULL);

    } else if (fetched->status / 100 == 5 || fetched->status == 429) {
        fault_of_server(json, fetched, manner, f);

    } else {
        (void) fault_of_error(json, fetched, manner, f);
    }

    json_decref(json);

    return NULL;
}


/* ---- tokens ---- */

static int
tokens_read(json_t *json, amld_oidc_tokens_t *t, amld_oidc_fault_t *f)
{
    const char *type, *text;
    const json_t *lifetime;

    t->json = json;
    t->access_token = t->id_token = t->refresh_token = "";
    t->lifetime = LIFETIME;

    type = json_string_value(json_object_get(json, "token_type"));
    text = json_string_value(json_object_get(json, "access_token"));

    if (text == NULL || type == NULL || strcasecmp(type, "Bearer") != 0) {
        f->lost = f->one = 1;
        return fault_say(f, AML_REASON_PROVIDER_ANSWER,
                         "the provider's answer has no access token", NULL);
    }
    t->access_token = text;

    text = json_string_value(json_object_get(json, "id_token"));
    t->id_token = text != NULL ? text : "";
    text = json_string_value(json_object_get(json, "refresh_token"));
    t->refresh_token = text != NULL ? text : "";

    lifetime = json_object_get(json, "expires_in");
    if (json_is_integer(lifetime) && json_integer_value(lifetime) > 0) {
        t->lifetime = json_integer_value(lifetime);

    } else if (json_is_string(lifetime)) {
        /* Entra v1 has it so */
        t->lifetime = strtol(json_string_value(lifetime), NULL, 10);
    }
    if (t->lifetime <= 0 || t->lifetime > INT32_MAX) {
        t->lifetime = LIFETIME;
    }

    return 0;
}


void
amld_oidc_tokens_clear(amld_oidc_tokens_t *tokens)
{
    amld_sign_in_secret_forget(tokens->json);
    memset(tokens, 0, sizeof(*tokens));
}


/* Takes the form; it is NULL without memory. */
static int
tokens_ask(const amld_oidc_client_t *c, char *form, int refresh,
           amld_oidc_tokens_t *tokens, amld_oidc_fault_t *f)
{
    const amld_issuer_config_t *i = c->issuer;
    manner_t manner = {.bare = i->kind->bare,
                       .vague = refresh && i->kind->vague};
    amld_fetch_t fetch = {.url = c->metadata->token_endpoint,
                          .ca = i->ca,
                          .proxy = i->proxy,
                          .most = AMLD_OIDC_ANSWER_MAX,
                          .seconds = AMLD_OIDC_SECONDS,
                          .cancel = c->cancel};
    char secret[SECRET_MAX] = "", *user = NULL, *password = NULL;
    int basic = i->client_secret_file != NULL && c->metadata->basic;
    amld_fetched_t fetched = {0};
    amld_fetch_rc_t fetch_rc;
    json_t *json;
    int rc = -1;

    if (i->client_secret_file != NULL &&
        client_secret(i->client_secret_file, secret) != 0) {
        wipe(form);
        return fault_say(f, AML_REASON_PROVIDER_ANSWER,
                         "client_secret_file can't be read",
                         errno != 0 ? strerror(errno) : "it is empty");
    }

    if (basic) {
        user = form_value(i->client_id);
        password = form_value(secret);
    } else {
        form = form != NULL ? amld_fetch_form(form, "client_id", i->client_id)
                            : NULL;
        if (form != NULL && *secret != '\0') {
            form = amld_fetch_form(form, "client_secret", secret);
        }
    }
    OPENSSL_cleanse(secret, sizeof(secret));

    if (form == NULL || (basic && (user == NULL || password == NULL))) {
        (void) fault_say(f, AML_REASON_PROVIDER_UNREACHABLE, "no memory", NULL);

    } else {
        fetch.form = form;
        fetch.user = user;
        fetch.password = password;

        fetch_rc = amld_fetch(&fetch, &fetched);
        if (fetch_rc != AMLD_FETCH_OK) {
            (void) fault_of_fetch(&fetched, fetch_rc, f);
        } else {
            json = answer_read(&fetched, &manner, f);
            rc = json != NULL ? tokens_read(json, tokens, f) : -1;
        }
        amld_fetched_clear(&fetched);
    }

    wipe(form);
    wipe(user);
    wipe(password);

    return rc;
}


int
amld_oidc_code(const amld_oidc_client_t *c, const char *code,
               const char *redirect_uri, const char *verifier,
               amld_oidc_tokens_t *tokens, amld_oidc_fault_t *fault)
{
    const char *const fields[][2] = {{"grant_type", "authorization_code"},
                                     {"code", code},
                                     {"redirect_uri", redirect_uri},
                                     {"code_verifier", verifier}};
    char *form = NULL;
    size_t i;

    memset(tokens, 0, sizeof(*tokens));
    fault_clear(fault);

    for (i = 0; i < 4 && (i == 0 || form != NULL); i++) {
        form = amld_fetch_form(form, fields[i][0], fields[i][1]);
    }

    return tokens_ask(c, form, 0, tokens, fault);
}


int
amld_oidc_refresh(const amld_oidc_client_t *c, const char *refresh_token,
                  amld_oidc_tokens_t *tokens, amld_oidc_fault_t *fault)
{
    char *form;

    memset(tokens, 0, sizeof(*tokens));
    fault_clear(fault);

    form = amld_fetch_form(NULL, "grant_type", "refresh_token");
    if (form != NULL) {
        form = amld_fetch_form(form, "refresh_token", refresh_token);
    }

    return tokens_ask(c, form, 1, tokens, fault);
}


/* ---- UserInfo ---- */

json_t *
amld_oidc_userinfo(const amld_oidc_client_t *c, const char *access_token,
                   amld_oidc_fault_t *fault)
{
    amld_fetch_t fetch = {.url = c->metadata->userinfo_endpoint,
                          .ca = c->issuer->ca,
                          .proxy = c->issuer->proxy,
                          .bearer = access_token,
                          .most = AMLD_OIDC_ANSWER_MAX,
                          .seconds = AMLD_OIDC_SECONDS,
                          .cancel = c->cancel};
    manner_t manner = {0};
    amld_fetched_t fetched = {0};
    json_t *json = NULL;
    amld_fetch_rc_t rc;

    fault_clear(fault);

    if (fetch.url == NULL) {
        (void) fault_say(fault, AML_REASON_PROVIDER_ANSWER,
                         "the provider has no UserInfo", NULL);
        return NULL;
    }

    rc = amld_fetch(&fetch, &fetched);
    if (rc != AMLD_FETCH_OK) {
        (void) fault_of_fetch(&fetched, rc, fault);
    } else {
        json = answer_read(&fetched, &manner, fault);
    }
    amld_fetched_clear(&fetched);

    return json;
}
