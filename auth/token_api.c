/*
 * One's own personal access tokens.
 */

#include "auth/token_api.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/label.h"
#include "auth/sessions.h"
#include "auth/site.h"
#include "auth/studio.h"
#include "computes/automatic/activity.h"

#define PAGE "/auth/tokens"
#define DAY 86400


/* ---- lists ---- */

static json_t *
token_strings(const aml_str_t *list, unsigned n)
{
    json_t *array = json_array();
    unsigned i;

    for (i = 0; i < n; i++) {
        (void) json_array_append_new(array, json_stringn(list[i].p, list[i].n));
    }

    return array;
}


static json_t *
token_json(const aml_personal_token_t *t, int64_t seen)
{
    char id[AML_UUID_TEXT + 1], created[AMLD_LABEL_SIZE],
        expires[AMLD_LABEL_SIZE], used[AMLD_LABEL_SIZE];
    json_t *instances;

    aml_uuid_format(&t->id, id);
    amld_label_time(t->created, created);
    amld_label_time(t->expires, expires);
    amld_label_time(seen, used);

    instances =
        t->instance_count > 0
            ? token_strings(t->instances, t->instance_count)
            : json_string(t->flags & AML_TOKEN_NO_INSTANCES ? "none" : "all");

    return json_pack("{s:s, s:s%, s:s, s:s, s:s?, s:o, s:o}", "id", id, "name",
                     t->label.p, t->label.n, "created", created, "expires",
                     expires, "lastUsed", seen != 0 ? used : NULL, "instances",
                     instances, "actions",
                     token_strings(t->actions, t->action_count));
}


typedef struct {
    amld_t *d;
    aml_registry_txn_t *txn;
    int64_t now;
    json_t *tokens;
    json_t *instances;
} token_list_t;


static int
token_each(void *data, const aml_personal_token_t *t, const uint8_t hash[32])
{
    token_list_t *list = data;
    int64_t seen;

    seen = list->d->activity != NULL
               ? amld_activity_seen(list->d->activity, list->txn, hash)
               : amld_personal_token_seen(list->txn, hash);

    return t->expires > list->now &&
           json_array_append_new(list->tokens, token_json(t, seen)) != 0;
}


static int
token_instance(void *data, aml_str_t name, const aml_route_t *route)
{
    token_list_t *list = data;

    (void) route;

    return json_array_append_new(list->instances,
                                 json_stringn(name.p, name.n)) != 0;
}


/* The newest first: times of one form, in the order of their text. */
static int
token_compare(const void *a, const void *b)
{
    json_t *const *one = a, *const *other = b;

    return strcmp(json_string_value(json_object_get(*other, "created")),
                  json_string_value(json_object_get(*one, "created")));
}


static json_t *
token_sorted(const json_t *array)
{
    size_t i, n = json_array_size(array);
    json_t **list, *sorted = json_array();

    list = malloc((n + 1) * sizeof(json_t *));
    for (i = 0; list != NULL && i < n; i++) {
        list[i] = json_array_get(array, i);
    }
    if (list != NULL) {
        qsort(list, n, sizeof(json_t *), token_compare);
    }
    for (i = 0; list != NULL && i < n; i++) {
        (void) json_array_append(sorted, list[i]);
    }
    free(list);

    return sorted;
}


static void
token_list_free(token_list_t *list)
{
    json_decref(list->tokens);
    json_decref(list->instances);
}


/* Tokens, and with `page` one's instances; 0, or -1 when the response was
 * filled.  token_list_free() in either case. */
static int
token_list(amld_t *d, const amld_request_t *request, amld_response_t *response,
           int page, token_list_t *list)
{
    aml_registry_rc_t rc;
    json_t *sorted;

    list->d = d;
    list->now = (int64_t) time(NULL);
    list->tokens = json_array();
    list->instances = json_array();

    rc = aml_registry_read(d->registry, &list->txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_personal_tokens_each(list->txn, &request->principal,
                                       token_each, list);
        if (rc == AML_REGISTRY_OK && page) {
            rc = amld_own_instances(list->txn, &request->principal,
                                    token_instance, list);
        }
        aml_registry_end(list->txn);
    }

    if (rc != AML_REGISTRY_OK) {
        amld_site_failed(d, request, response, "tokens", rc);
        return -1;
    }

    sorted = token_sorted(list->tokens);
    json_decref(list->tokens);
    list->tokens = sorted;

    return 0;
}


static unsigned
token_days(const amld_t *d)
{
    return d->config->personal_token_lifetime / DAY;
}


static void
token_show(amld_t *d, const amld_request_t *request, amld_response_t *response,
           unsigned status, const amld_token_page_t *what)
{
    amld_token_page_t page = *what;
    token_list_t list = {0};

    if (token_list(d, request, response, 1, &list) == 0) {
        page.person = request->name;
        page.tokens = list.tokens;
        page.instances = list.instances;
        page.most = token_days(d);
        amld_token_page(d, response, status, &page);
    }
    token_list_free(&list);
}


static void
token_get(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    token_list_t list = {0};

    if (!amld_site_person(d, request, response, 0, PAGE)) {
        return;
    }

    if (amld_site_is_page(request)) {
        token_show(d, request, response, 200, &(amld_token_page_t){0});
        return;
    }

    if (token_list(d, request, response, 0, &list) == 0) {
        amld_response_json(response, 200,
                           json_pack("{s:O}", "value", list.tokens));
    }
    token_list_free(&list);
}


/* ---- making ---- */

/* Are they all there, and the person's?  Within the transaction. */
static int
token_own(aml_registry_txn_t *txn, const aml_personal_token_t *t)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_route_t route;
    aml_str_t value;
    unsigned i;
    size_t n;

    for (i = 0; i < t->instance_count; i++) {
        n = aml_key_route(key, t->instances[i], 0);
        if (n == 0 ||
            aml_registry_get(txn, key, n, &value) != AML_REGISTRY_OK ||
            aml_route_decode(value, &route) != AML_RECORD_OK ||
            !aml_principal_eq(&route.creator, &t->principal)) {
            return 0;
        }
    }

    return 1;
}


/* NOTFOUND when an instance is not the person's, DENIED when the session has
 * ended, LIMIT. */
static aml_registry_rc_t
token_create(amld_t *d, const amld_request_t *request, amld_token_ask_t *ask,
             char text[AMLD_TOKEN_SIZE])
{
    aml_personal_token_t *t = &ask->token;
    aml_registry_txn_t *txn;
    aml_session_t session;
    aml_registry_rc_t rc;

    t->principal = request->principal;
    t->created = (int64_t) time(NULL);
    t->expires = t->created + (int64_t) ask->days * DAY;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    /* it may have been ended since the gateway looked */
    rc = amld_session_get(txn, request->session, &session);
    if (rc == AML_REGISTRY_NOTFOUND) {
        rc = AML_REGISTRY_DENIED;
    } else if (rc == AML_REGISTRY_OK && !token_own(txn, t)) {
        rc = AML_REGISTRY_NOTFOUND;
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_personal_token_create(txn, t, text);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* What is wrong is told as it was asked. */
static void
token_wrong(amld_t *d, const amld_request_t *request, amld_response_t *response,
            int form, unsigned status, const char *code, const char *message)
{
    amld_token_page_t page = {.alert = message, .again = request};

    if (form) {
        token_show(d, request, response, status, &page);
    } else {
        amld_response_error(response, status, code, NULL, "%s", message);
    }
}


static void
token_made(amld_t *d, const amld_request_t *request, amld_response_t *response,
           int form, const amld_token_ask_t *ask, const char *text)
{
    char label[AMLD_TOKEN_LABEL_MAX + 1];
    json_t *json;

    memcpy(label, ask->token.label.p, ask->token.label.n);
    label[ask->token.label.n] = '\0';

    amld_log(AMLD_LOG_INFO, "tokens: %s made one from %s", request->name,
             request->client);
    amld_audit_request(d, request,
                       &(amld_audit_event_t){.event = "token-new",
                                             .id = &ask->token.id,
                                             .target = label});

    if (form) {
        token_show(d, request, response, 200,
                   &(amld_token_page_t){.made = text});
        return;
    }

    json = token_json(&ask->token, 0);
    json_object_set_new(json, "token", json_string(text));
    amld_response_json(response, 201, json);
}


static void
token_new(amld_t *d, const amld_request_t *request, amld_response_t *response,
          int form)
{
    char text[AMLD_TOKEN_SIZE];
    token_list_t list = {0};
    amld_token_ask_t ask;
    aml_registry_rc_t rc;
    int asked;

    if (!form) {
        asked = amld_token_ask_json(&ask, request, token_days(d));
    } else if (token_list(d, request, response, 1, &list) == 0) {
        asked =
            amld_token_ask_form(&ask, request, list.instances, token_days(d));
    } else {
        token_list_free(&list);
        return;
    }

    rc = asked == 0 ? token_create(d, request, &ask, text) : AML_REGISTRY_OK;

    if (asked != 0) {
        token_wrong(d, request, response, form, 400, "InvalidRequestContent",
                    ask.message);

    } else if (rc == AML_REGISTRY_OK) {
        token_made(d, request, response, form, &ask, text);

    } else if (rc == AML_REGISTRY_NOTFOUND) {
        token_wrong(d, request, response, form, 400, "InstanceNotFound",
                    "You have no instance of that name.");

    } else if (rc == AML_REGISTRY_LIMIT) {
        token_wrong(d, request, response, form, 409, "TokenLimitReached",
                    "You have 50 tokens, which is as many as one may have. "
                    "Revoke one first.");

    } else if (rc == AML_REGISTRY_DENIED) {
        amld_site_say(d, request, response, AML_REASON_SESSION_UNKNOWN);

    } else {
        amld_site_failed(d, request, response, "tokens", rc);
    }

    OPENSSL_cleanse(text, sizeof(text));
    amld_token_ask_free(&ask);
    token_list_free(&list);
}


/* ---- revoking ---- */

static aml_registry_rc_t
token_revoke(amld_t *d, const amld_request_t *request, const char *text)
{
    aml_registry_txn_t *txn;
    aml_principal_id_t id;
    aml_registry_rc_t rc;

    if (aml_uuid_parse(aml_str_of(text), &id) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_personal_token_revoke(txn, &request->principal, &id);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    rc = aml_registry_commit(txn);
    if (rc == AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_INFO, "tokens: %s revoked one from %s", request->name,
                 request->client);
        amld_audit_request(
            d, request,
            &(amld_audit_event_t){.event = "token-revoke", .id = &id});
    }

    return rc;
}


static void
token_delete(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    aml_registry_rc_t rc;

    if (!amld_site_person(d, request, response, 0, NULL)) {
        return;
    }

    rc = token_revoke(d, request, amld_request_param(request, "id"));
    if (rc == AML_REGISTRY_OK) {
        amld_response_empty(response, 204);
    } else if (rc == AML_REGISTRY_NOTFOUND) {
        amld_response_error(response, 404, "TokenNotFound", NULL,
                            "There is no such token, or it was revoked.");
    } else {
        amld_site_failed(d, request, response, "tokens", rc);
    }
}


static void
token_post(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    const char *revoke = amld_request_form(request, "revoke");
    const char *type = amld_request_header(request, "Content-Type");
    int json = type != NULL && strncasecmp(type, "application/json", 16) == 0;
    aml_registry_rc_t rc;

    if (!amld_site_person(d, request, response, revoke == NULL, PAGE)) {
        return;
    }

    if (revoke == NULL) {
        token_new(d, request, response, !json);
        return;
    }

    /* what was revoked meanwhile is revoked */
    rc = token_revoke(d, request, revoke);
    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        amld_response_redirect(response, PAGE);
    } else {
        amld_site_failed(d, request, response, "tokens", rc);
    }
}


const amld_http_route_t amld_token_routes[] = {
    {"GET", PAGE, token_get},
    {"POST", PAGE, token_post},
    {"DELETE", PAGE "/{id}", token_delete},
    {NULL, NULL, NULL},
};
