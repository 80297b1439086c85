/*
 * One's own sign-ins, and an administrator's view of others'.
 */

#include "auth/session_api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/label.h"
#include "auth/sign_ins.h"
#include "auth/site.h"

#define PAGE "/auth/sessions"
#define READ "Microsoft.AmlGateway/principals/sessions/read"
#define DELETE "Microsoft.AmlGateway/principals/sessions/delete"

#define LIST_MOST 10000 /* sign-ins that are looked at */
#define PAGE_MOST 100   /* rows of the page */


/* ---- lists ---- */

typedef struct {
    int64_t created;
    json_t *json;
} session_row_t;

typedef struct {
    const aml_principal_id_t *current; /* of the request, or NULL */
    int64_t now;
    session_row_t *row;
    size_t n, size;
    int failed;
} session_list_t;


static json_t *
session_json(const session_list_t *list, const amld_sign_in_t *s)
{
    char id[AML_UUID_TEXT + 1], created[AMLD_LABEL_SIZE],
        expires[AMLD_LABEL_SIZE], seen[AMLD_LABEL_SIZE],
        client[AMLD_LABEL_SIZE];
    int current;

    current = list->current != NULL && aml_principal_eq(list->current, &s->id);

    aml_uuid_format(&s->id, id);
    amld_label_time(s->created, created);
    amld_label_time(s->expires, expires);
    /* what asks is in use; it is only not written down yet */
    amld_label_time(current ? list->now : s->seen, seen);
    amld_label_client(s->method, s->agent, client);

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "id", id,
                     "method", s->method, "created", created, "lastSeen", seen,
                     "expires", expires, "address", s->address, "client",
                     client, "userAgent", s->agent, "current", current);
}


static int
session_each(void *data, const amld_sign_in_t *s)
{
    session_list_t *list = data;
    size_t size;
    void *grown;

    if (s->expires <= list->now) {
        return 0;
    }

    if (list->n == list->size) {
        size = list->size == 0 ? 16 : list->size * 2;
        grown = realloc(list->row, size * sizeof(*list->row));
        if (grown == NULL) {
            list->failed = 1;
            return 1;
        }
        list->row = grown;
        list->size = size;
    }

    list->row[list->n].created = s->created;
    list->row[list->n].json = session_json(list, s);
    list->failed = list->row[list->n].json == NULL;

    return list->failed || ++list->n == LIST_MOST;
}


/* The newest first; of one second in any order. */
static int
session_compare(const void *a, const void *b)
{
    const session_row_t *one = a, *other = b;

    return (one->created < other->created) - (one->created > other->created);
}


/* An array; NULL after the response was filled. */
static json_t *
session_list(amld_t *d, const amld_request_t *request,
             amld_response_t *response, const aml_principal_id_t *principal)
{
    session_list_t list = {.now = (int64_t) time(NULL)};
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    json_t *array;
    size_t i;

    list.current = request->in_sign_in ? &request->sign_in : NULL;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_ins_each(txn, principal, session_each, &list);
        aml_registry_end(txn);
    }

    if (list.n > 0) {
        qsort(list.row, list.n, sizeof(*list.row), session_compare);
    }

    array = json_array();
    for (i = 0; i < list.n; i++) {
        list.failed |= json_array_append_new(array, list.row[i].json) != 0;
    }
    free(list.row);

    if (rc == AML_REGISTRY_OK && (array == NULL || list.failed)) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    if (rc != AML_REGISTRY_OK) {
        json_decref(array);
        amld_site_failed(d, request, response, "sessions", rc);
        return NULL;
    }

    return array;
}


/* ---- the page ---- */

static const char *
row_text(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}


static const char *
row_method(const json_t *row)
{
    const char *method = row_text(row, "method");

    return strcmp(method, "password") == 0 ? "with a password"
           : strcmp(method, "pam") == 0    ? "with this machine's account"
           : strcmp(method, "oidc") == 0   ? "at the identity provider"
           : strcmp(method, "device") == 0 ? "by a code on another device"
                                           : method;
}


static void
page_row(amld_html_t *html, const json_t *row)
{
    int current = json_is_true(json_object_get(row, "current"));

    amld_html(html,
              "<li data-session=\"%s\">\n"
              "<h2>%s</h2>\n",
              row_text(row, "id"), row_text(row, "client"));
    if (current) {
        amld_html(html, "<span class=\"here\">this one</span>\n");
    }
    amld_html(html,
              "<form method=\"post\" action=\"" PAGE "\">\n"
              "<input type=\"hidden\" name=\"end\" value=\"%s\">\n"
              "<button aria-label=\"Sign out %s\">Sign out</button>\n"
              "</form>\n"
              "<dl>\n",
              row_text(row, "id"), row_text(row, "client"));
    amld_page_time(html, "Signed in", row_text(row, "created"), "");
    amld_html(html, "<dt>How</dt><dd>%s</dd>\n", row_method(row));
    amld_html(html, "<dt>From</dt><dd>%s</dd>\n", row_text(row, "address"));
    amld_page_time(html, "Last used", row_text(row, "lastSeen"), "");
    amld_page_time(html, "Ends", row_text(row, "expires"), "");
    amld_html(html, "</dl>\n</li>\n");
}


static void
session_page(amld_t *d, const amld_request_t *request,
             amld_response_t *response, const json_t *list)
{
    amld_html_t html = {0};
    char more[32];
    size_t i, n = json_array_size(list);

    amld_page_begin(&html, AMLD_SITE_STUDIO, "Sessions", NULL);
    amld_page_header(&html, request->name);
    amld_html(&html,
              "<main>\n"
              "<h1>Where you are signed in</h1>\n"
              "<p>Each is a browser or a program that has signed in as you. "
              "Signing one out ends it on all compute instances, with what "
              "is open there, at once. If you don't know one, sign it out "
              "and change your password.</p>\n"
              "<ul class=\"instances sessions\">\n");

    for (i = 0; i < n && i < PAGE_MOST; i++) {
        page_row(&html, json_array_get(list, i));
    }
    amld_html(&html, "</ul>\n");

    if (i < n) {
        (void) snprintf(more, sizeof(more), "%zu", n - i);
        amld_html(&html, "<p class=\"soft\">And %s older ones.</p>\n", more);
    }

    amld_html(&html, "<form method=\"post\" action=\"" PAGE "\">\n"
                     "<input type=\"hidden\" name=\"others\" value=\"1\">\n"
                     "<button>Sign out everywhere else</button>\n"
                     "</form>\n"
                     "</main>\n");

    amld_page_end(d, response, 200, &html);
}


static void
session_get(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    json_t *list;

    if (!amld_site_person(d, request, response, 0, PAGE)) {
        return;
    }

    list = session_list(d, request, response, &request->principal);
    if (list == NULL) {
        return;
    }

    if (amld_site_is_page(request)) {
        session_page(d, request, response, list);
        json_decref(list);
    } else {
        amld_response_json(response, 200, json_pack("{s:o}", "value", list));
    }
}


/* ---- ending ---- */

/* NOTFOUND when the principal has no such sign-in. */
static aml_registry_rc_t
session_end(amld_t *d, const aml_principal_id_t *principal,
            const aml_principal_id_t *id)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_sign_in_t s;
    json_t *json;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_sign_in_get(txn, id, &s, &json);
    if (rc == AML_REGISTRY_OK && !aml_principal_eq(&s.principal, principal)) {
        rc = AML_REGISTRY_NOTFOUND;
    }
    json_decref(json);

    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_end(txn, id);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static aml_registry_rc_t
session_end_all(amld_t *d, const aml_principal_id_t *principal,
                const aml_principal_id_t *except, size_t *ended)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    *ended = 0;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_sign_ins_end_of(txn, principal, except, ended);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* `id` NULL: all of theirs, or but for the one that asks. */
static void
session_audit(amld_t *d, const amld_request_t *request,
              const aml_principal_id_t *of, const aml_principal_id_t *id,
              int but_one)
{
    amld_audit_request(d, request,
                       &(amld_audit_event_t){.event = "session-end",
                                             .of = of,
                                             .id = id,
                                             .target = id != NULL ? NULL
                                                       : but_one  ? "others"
                                                                  : "all"});
}


static void
session_not_found(amld_response_t *response)
{
    amld_response_error(response, 404, "SessionNotFound", NULL,
                        "There is no such session, or it has ended.");
}


/* `id` of the path. */
static void
session_delete_named(amld_t *d, const amld_request_t *request,
                     amld_response_t *response,
                     const aml_principal_id_t *principal)
{
    aml_registry_rc_t rc = AML_REGISTRY_NOTFOUND;
    aml_principal_id_t id;

    if (aml_uuid_parse(aml_str_of(amld_request_param(request, "id")), &id) ==
        0) {
        rc = session_end(d, principal, &id);
    }

    if (rc == AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_INFO, "sessions: %s ended one from %s", request->name,
                 request->client);
        session_audit(d, request, principal, &id, 0);
        amld_response_empty(response, 204);

    } else if (rc == AML_REGISTRY_NOTFOUND) {
        session_not_found(response);

    } else {
        amld_site_failed(d, request, response, "sessions", rc);
    }
}


static void
session_delete_all(amld_t *d, const amld_request_t *request,
                   amld_response_t *response,
                   const aml_principal_id_t *principal,
                   const aml_principal_id_t *except)
{
    aml_registry_rc_t rc;
    size_t ended;

    rc = session_end_all(d, principal, except, &ended);
    if (rc != AML_REGISTRY_OK) {
        amld_site_failed(d, request, response, "sessions", rc);
        return;
    }

    amld_log(AMLD_LOG_INFO, "sessions: %s ended %zu from %s", request->name,
             ended, request->client);
    session_audit(d, request, principal, NULL, except != NULL);
    amld_response_json(response, 200,
                       json_pack("{s:I}", "ended", (json_int_t) ended));
}


static const aml_principal_id_t *
session_own(const amld_request_t *request)
{
    return request->in_sign_in ? &request->sign_in : NULL;
}


static void
session_delete(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    if (amld_site_person(d, request, response, 0, NULL)) {
        session_delete_named(d, request, response, &request->principal);
    }
}


static void
session_delete_others(amld_t *d, const amld_request_t *request,
                      amld_response_t *response)
{
    if (amld_site_person(d, request, response, 0, NULL)) {
        session_delete_all(d, request, response, &request->principal,
                           session_own(request));
    }
}


/* The page's forms; then the page again, without what has ended. */
static void
session_post(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    int others = amld_request_form(request, "others") != NULL;
    const char *end = others ? NULL : amld_request_form(request, "end");
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    const char *to = PAGE;
    aml_principal_id_t id;
    size_t ended = 0;

    if (!amld_site_person(d, request, response, 0, PAGE)) {
        return;
    }

    if (others) {
        rc = session_end_all(d, &request->principal, session_own(request),
                             &ended);

    } else if (aml_uuid_parse(aml_str_of(end), &id) == 0) {
        rc = session_end(d, &request->principal, &id);
        ended = rc == AML_REGISTRY_OK;
        if (request->in_sign_in && aml_principal_eq(&id, &request->sign_in)) {
            to = "/auth/signed-out";
        }
    }

    /* what has ended meanwhile has ended */
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        amld_site_failed(d, request, response, "sessions", rc);
        return;
    }

    if (ended > 0) {
        amld_log(AMLD_LOG_INFO, "sessions: %s ended %zu from %s", request->name,
                 ended, request->client);
        session_audit(d, request, &request->principal, end != NULL ? &id : NULL,
                      1);
    }
    amld_response_redirect(response, to);
    if (strcmp(to, PAGE) != 0) {
        amld_site_clear_cookie(response);
    }
}


/* ---- an administrator's ---- */

/* Of the path; 0, or -1 when the response was filled. */
static int
session_of(amld_t *d, const amld_request_t *request, amld_response_t *response,
           const char *action, aml_principal_id_t *principal)
{
    aml_reason_t reason;

    if (!amld_site_person(d, request, response, 0, NULL)) {
        return -1;
    }

    reason = amld_site_may(d, request, action);
    if (reason != AML_REASON_OK) {
        amld_site_say(d, request, response, reason);
        return -1;
    }

    if (aml_uuid_parse(aml_str_of(amld_request_param(request, "principal")),
                       principal) != 0) {
        amld_response_error(response, 400, "InvalidPrincipalId", NULL,
                            "The principal must be a UUID.");
        return -1;
    }

    return 0;
}


static void
session_get_of(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    aml_principal_id_t principal;
    json_t *list;

    if (session_of(d, request, response, READ, &principal) != 0) {
        return;
    }

    list = session_list(d, request, response, &principal);
    if (list != NULL) {
        amld_response_json(response, 200, json_pack("{s:o}", "value", list));
    }
}


static void
session_delete_of(amld_t *d, const amld_request_t *request,
                  amld_response_t *response)
{
    aml_principal_id_t principal;

    if (session_of(d, request, response, DELETE, &principal) == 0) {
        session_delete_named(d, request, response, &principal);
    }
}


static void
session_delete_all_of(amld_t *d, const amld_request_t *request,
                      amld_response_t *response)
{
    aml_principal_id_t principal;

    if (session_of(d, request, response, DELETE, &principal) == 0) {
        session_delete_all(d, request, response, &principal, NULL);
    }
}


const amld_http_route_t amld_session_routes[] = {
    {"GET", PAGE, session_get},
    {"POST", PAGE, session_post},
    {"DELETE", PAGE, session_delete_others},
    {"DELETE", PAGE "/{id}", session_delete},
    {"GET", "/auth/principals/{principal}/sessions", session_get_of},
    {"DELETE", "/auth/principals/{principal}/sessions", session_delete_all_of},
    {"DELETE", "/auth/principals/{principal}/sessions/{id}", session_delete_of},
    {NULL, NULL, NULL},
};
