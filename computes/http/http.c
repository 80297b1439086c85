/*
 * The control socket: connections, bodies, dispatch.
 */

#include "computes/http/http_slow.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/action.h"
#include "auth/audit.h"
#include "auth/origin.h"
#include "auth/pages.h"
#include "auth/reason.h"
#include "computes/http/listener.h"

#define HTTP_CONNECTION_MEMORY (64 * 1024)
#define HTTP_IDLE_SECONDS 300
#define HTTP_FOREIGN_SECONDS 1
#define HTTP_DROP_MAX (16 * AMLD_BODY_MAX)

struct amld_http {
    amld_t *amld;
    const amld_http_route_t *const *tables;
    const amld_http_route_t *const *slow_tables;
    amld_http_slow_t *slow;
    struct MHD_Daemon *daemon;
    amld_listener_t listener;
};


/* ---- one request ---- */

static void
http_free(amld_exchange_t *e)
{
    if (e == NULL) {
        return;
    }

    amld_http_response_clear(&e->response);
    amld_http_pairs_free(&e->query);
    amld_http_pairs_free(&e->form);
    amld_http_pairs_free(&e->params);

    if (e->body != NULL) {
        explicit_bzero(e->body, e->body_size);
    }
    free(e->body);
    free(e->path);
    free(e->target);
    free(e);
}


/*
 * Why somebody is refused, by reason or else by the error's code; NULL where
 * nobody is.  What is merely not there, or not in a state for it, is no
 * refusal.
 */
static const char *
http_refusal(const amld_exchange_t *e)
{
    const amld_response_t *r = &e->response;
    const char *reason = amld_http_response_header(r, "X-AML-Reason");

    if (reason == NULL) {
        reason = r->code;
    }

    if (r->refuses) {
        return reason;
    }

    switch (r->status) {
    case 401:
    case 403:
    case 429:
        return reason;
    case 404:
        return aml_reason_find(aml_str_of(reason)) != AML_REASON_COUNT ? reason
                                                                       : NULL;
    default:
        return NULL;
    }
}


/* One line for each refusal that has none yet. */
static void
http_audit(amld_http_t *http, const amld_exchange_t *e)
{
    const amld_request_t *r = &e->request;
    const char *reason = http_refusal(e);
    char target[AMLD_PATH_MAX + 512], scope[AMLD_PATH_MAX] = "";
    aml_action_t action;

    if (reason == NULL || e->audited) {
        return;
    }

    (void) snprintf(target, sizeof(target), "%s %.255s%s", r->method, r->host,
                    r->path);
    if (*r->action != '\0' &&
        aml_action_of(aml_str_of(r->method), aml_str_of(r->path), &action) ==
            0) {
        (void) snprintf(scope, sizeof(scope), "%.*s", (int) action.scope.n,
                        action.scope.p);
    }

    amld_audit_request(http->amld, r,
                       &(amld_audit_event_t){.event = "refusal",
                                             .refused = 1,
                                             .reason = reason,
                                             .target = target,
                                             .action = r->action,
                                             .scope = scope});
}


static enum MHD_Result
http_answer(amld_http_t *http, amld_exchange_t *e)
{
    enum MHD_Result rc;

    http_audit(http, e);
    rc = amld_http_send(e);
    amld_log(AMLD_LOG_DEBUG, "http: %s %s %u %s", e->request.method,
             e->request.path, e->response.status, e->request.id);

    return rc;
}


/* As nginx's own refusals of what is not well-formed have it. */
static void
http_malformed(amld_exchange_t *e)
{
    amld_response_header(&e->response, "X-AML-Reason", "%s",
                         aml_reason_info(AML_REASON_REQUEST_MALFORMED)->code.p);
}


static enum MHD_Result
http_refuse(amld_http_t *http, amld_exchange_t *e, unsigned status,
            const char *code, const char *message)
{
    amld_response_error(&e->response, status, code, NULL, "%s", message);
    amld_response_header(&e->response, "Connection", "close");
    if (status == 400) {
        http_malformed(e);
    }

    return http_answer(http, e);
}


static int
http_method_fits(const char *method, const char *route)
{
    return strcmp(method, route) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route, "GET") == 0);
}


/* One name of each method, "HEAD" with "GET", in the order of the tables. */
static void
http_allow(char *allow, size_t size, const char *method)
{
    char name[16];
    size_t n = strlen(allow);

    (void) snprintf(name, sizeof(name), "%s", method);

    if (strstr(allow, name) != NULL) {
        return;
    }

    (void) snprintf(allow + n, size - n, "%s%s%s", n > 0 ? ", " : "", name,
                    strcmp(name, "GET") == 0 ? ", HEAD" : "");
}


/* For a person a page, for a program the error. */
static void
http_nothing(amld_http_t *http, amld_exchange_t *e, unsigned status,
             const char *code, const char *message)
{
    const amld_request_t *r = &e->request;
    const char *accept = amld_request_header(r, "Accept");
    aml_origin_t origin;

    memset(&origin, 0, sizeof(origin));
    origin.method = aml_str_of(r->method);
    origin.fetch_mode = aml_str_of(amld_request_header(r, "Sec-Fetch-Mode"));

    if (aml_origin_is_page(
            &origin, aml_str_of(accept),
            aml_str_of(amld_request_header(r, "X-Requested-With")))) {
        amld_page_message(http->amld, &e->response,
                          strncmp(e->path, "/.aml/", 6) == 0
                              ? AMLD_SITE_INSTANCE
                              : AMLD_SITE_STUDIO,
                          status, code, "Nothing here", message,
                          http->amld->config->studio, "Go to the studio");
        return;
    }

    amld_response_error(&e->response, status, code, NULL, "%s", message);
}


/*
 * The handler that fits; -1 when a path fits and its methods do not, which
 * `allow` has then, or without memory.
 */
static int
http_find(const amld_http_route_t *const *table, amld_exchange_t *e,
          amld_handler_pt *handler, char *allow, size_t size)
{
    const amld_http_route_t *route;
    int match;

    for (; *table != NULL; table++) {
        for (route = *table; route->method != NULL; route++) {

            match = amld_http_match(route->pattern, e->path, &e->params);
            if (match < 0) {
                return -1;
            }
            if (match == 0) {
                continue;
            }

            if (http_method_fits(e->request.method, route->method)) {
                *handler = route->handler;
                return 0;
            }

            http_allow(allow, size, route->method);
        }
    }

    return 0;
}


static void
http_busy(amld_http_t *http, amld_exchange_t *e)
{
    const aml_reason_info_t *info = aml_reason_info(AML_REASON_DAEMON_BUSY);

    http_nothing(http, e, info->status, info->code.p, info->text.p);
    amld_response_header(&e->response, "X-AML-Reason", "%s", info->code.p);
    amld_response_header(&e->response, "Retry-After", "5");
}


/* 1 when the answer comes later. */
static int
http_dispatch(amld_http_t *http, amld_exchange_t *e)
{
    amld_handler_pt handler = NULL, slow = NULL;
    char allow[96] = "";

    if (http_find(http->tables, e, &handler, allow, sizeof(allow)) != 0 ||
        (handler == NULL &&
         http_find(http->slow_tables, e, &slow, allow, sizeof(allow)) != 0)) {
        e->response.failed = 1;
        return 0;
    }

    if (handler != NULL) {
        amld_log_request(e->request.id);
        handler(http->amld, &e->request, &e->response);
        amld_log_request(NULL);
        slow = e->response.later;
    }

    if (slow != NULL) {
        if (amld_http_slow_run(http->slow, e, slow) == 0) {
            return 1;
        }
        http_busy(http, e);

    } else if (handler != NULL) {
        return 0;

    } else if (*allow != '\0') {
        http_nothing(http, e, 405, "MethodNotAllowed",
                     "This address can't be asked in this way.");
        amld_response_header(&e->response, "Allow", "%s", allow);
        http_malformed(e);

    } else {
        http_nothing(http, e, 404, "NotFound",
                     "There is nothing at this address.");
    }

    return 0;
}


static int
http_peer(struct MHD_Connection *connection, struct ucred *peer)
{
    const union MHD_ConnectionInfo *info;
    socklen_t len = sizeof(*peer);

    info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info != NULL && getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED,
                                      peer, &len) == 0
               ? 0
               : -1;
}


static int
http_peer_allowed(const amld_http_t *http, struct MHD_Connection *connection)
{
    struct ucred peer;

    if (http_peer(connection, &peer) != 0) {
        return 0;
    }

    if (amld_is_gateway(http->amld->config, peer.uid)) {
        return 1;
    }

    amld_log(AMLD_LOG_WARN, "http: refused a connection of uid %lu, pid %ld",
             (unsigned long) peer.uid, (long) peer.pid);

    return 0;
}


static enum MHD_Result
http_begin(amld_http_t *http, amld_exchange_t *e, const char *method)
{
    const char *length, *fault;

    e->started = 1;
    e->request.method = method;
    e->response.safe =
        strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (!http_peer_allowed(http, e->connection)) {
        /* anybody here can ask, as often as they like; amld's log has it */
        e->audited = 1;
        return http_refuse(http, e, 403, "Forbidden",
                           "Only the gateway may ask here.");
    }

    fault = amld_http_parse_target(e);
    if (fault == NULL) {
        fault = amld_http_parse_headers(e);
        e->response.request = e->request.id;
    }
    if (fault != NULL) {
        return http_refuse(http, e, 400, "BadRequest", fault);
    }

    length = amld_request_header(&e->request, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > AMLD_BODY_MAX) {
        return http_refuse(http, e, 413, "RequestTooLarge",
                           "The request's body is too large.");
    }

    return MHD_YES;
}


/* libmicrohttpd takes an answer before the body or behind it, not within. */
static enum MHD_Result
http_body(amld_exchange_t *e, const char *data, size_t n)
{
    size_t size;
    char *grown;

    if (e->overlong || n > AMLD_BODY_MAX - e->request.body_len) {
        e->overlong = 1;
        e->dropped += n;
        return e->dropped > HTTP_DROP_MAX ? MHD_NO : MHD_YES;
    }

    if (e->request.body_len + n >= e->body_size) {
        size = e->body_size == 0 ? 4096 : e->body_size;
        while (size <= e->request.body_len + n) {
            size *= 2;
        }

        grown = malloc(size);
        if (grown == NULL) {
            return MHD_NO;
        }

        /* not realloc: the old copy may hold a password */
        if (e->body != NULL) {
            memcpy(grown, e->body, e->request.body_len);
            explicit_bzero(e->body, e->body_size);
            free(e->body);
        }
        e->body = grown;
        e->body_size = size;
    }

    memcpy(e->body + e->request.body_len, data, n);
    e->request.body_len += n;
    e->body[e->request.body_len] = '\0';
    e->request.body = e->body;

    return MHD_YES;
}


static enum MHD_Result
http_finish(amld_http_t *http, amld_exchange_t *e)
{
    const char *fault;

    if (e->overlong) {
        return http_refuse(http, e, 413, "RequestTooLarge",
                           "The request's body is too large.");
    }

    fault = amld_http_parse_form(e);
    if (fault != NULL) {
        return http_refuse(http, e, 400, "BadRequest", fault);
    }

    return http_dispatch(http, e) ? MHD_YES : http_answer(http, e);
}


static enum MHD_Result
http_handle(void *data, struct MHD_Connection *connection, const char *url,
            const char *method, const char *version, const char *upload,
            size_t *upload_size, void **state)
{
    amld_http_t *http = data;
    amld_exchange_t *e = *state;
    enum MHD_Result rc;

    (void) url;
    (void) version;

    if (e == NULL) {
        return MHD_NO;
    }

    if (!e->started) {
        e->connection = connection;
        return http_begin(http, e, method);
    }

    if (e->done) {
        if (e->response.status == 0 && !e->response.failed) {
            http_busy(http, e); /* amld ends, and it has not run */
        }
        return http_answer(http, e);
    }

    if (*upload_size > 0) {
        rc = http_body(e, upload, *upload_size);
        *upload_size = 0;
        return rc;
    }

    return http_finish(http, e);
}


/* The target as it was sent, before libmicrohttpd decodes it. */
static void *
http_target(void *data, const char *target, struct MHD_Connection *connection)
{
    amld_exchange_t *e;

    (void) data;
    (void) connection;

    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return NULL;
    }

    e->target = strdup(target);
    if (e->target == NULL) {
        free(e);
        return NULL;
    }

    e->request.internal = e;
    e->request.method = "";
    e->request.path = "";
    e->request.host = "";
    e->request.id = "";
    e->request.client = "";
    e->request.name = "";
    e->request.action = "";
    e->request.body = "";

    return e;
}


static void
http_completed(void *data, struct MHD_Connection *connection, void **state,
               enum MHD_RequestTerminationCode code)
{
    const amld_http_t *http = data;

    (void) connection;
    (void) code;

    amld_http_slow_over(http->slow, *state);
    http_free(*state);
    *state = NULL;
}


static void http_log(void *data, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void
http_log(void *data, const char *format, va_list args)
{
    char text[512];
    size_t n;

    (void) data;

    (void) vsnprintf(text, sizeof(text), format, args);
    n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') {
        text[--n] = '\0';
    }

    amld_log(AMLD_LOG_DEBUG, "http: %s", text);
}


/* ---- the socket ---- */

/* Of anybody but the gateway: an answer that says so, and no waiting. */
static void
http_connected(void *data, struct MHD_Connection *connection, void **context,
               enum MHD_ConnectionNotificationCode code)
{
    const amld_http_t *http = data;
    struct ucred peer;

    (void) context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED &&
        (http_peer(connection, &peer) != 0 ||
         !amld_is_gateway(http->amld->config, peer.uid))) {
        (void) MHD_set_connection_option(connection,
                                         MHD_CONNECTION_OPTION_TIMEOUT,
                                         (unsigned) HTTP_FOREIGN_SECONDS);
    }
}


amld_http_t *
amld_http_start(amld_t *d, const amld_http_route_t *const *tables,
                const amld_http_route_t *const *slow)
{
    amld_http_t *http;

    http = calloc(1, sizeof(*http));
    if (http == NULL) {
        return NULL;
    }
    http->amld = d;
    http->tables = tables;
    http->slow_tables = slow;
    http->slow = amld_http_slow_new(d);
    if (http->slow == NULL) {
        free(http);
        return NULL;
    }

    if (amld_listener_open(&http->listener, d->config, "listen",
                           d->config->listen, SOCK_STREAM) != 0) {
        amld_http_slow_free(http->slow);
        free(http);
        return NULL;
    }

    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG |
            MHD_ALLOW_SUSPEND_RESUME,
        0, NULL, NULL, http_handle, http, MHD_OPTION_EXTERNAL_LOGGER, http_log,
        NULL, MHD_OPTION_LISTEN_SOCKET, http->listener.fd,
        MHD_OPTION_THREAD_POOL_SIZE,
        d->config->threads > 1 ? d->config->threads : 0u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) HTTP_CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) HTTP_IDLE_SECONDS,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        http_target, NULL, MHD_OPTION_NOTIFY_COMPLETED, http_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, http_connected, http, MHD_OPTION_END);

    if (http->daemon == NULL) {
        amld_log(AMLD_LOG_ERROR, "listen %s: libmicrohttpd does not start",
                 d->config->listen);
        close(http->listener.fd);
        amld_listener_remove(&http->listener);
        amld_http_slow_free(http->slow);
        free(http);
        return NULL;
    }

    return http;
}


size_t
amld_http_waiting(amld_http_t *http)
{
    return amld_http_slow_waiting(http->slow);
}


void
amld_http_stop(amld_http_t *http)
{
    if (http == NULL) {
        return;
    }

    /* first, so that nobody who starts meanwhile is taken for it */
    amld_listener_remove(&http->listener);

    amld_http_slow_stop(http->slow);
    MHD_stop_daemon(http->daemon);
    amld_http_slow_free(http->slow);
    free(http);
}
