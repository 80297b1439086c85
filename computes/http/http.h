/*
 * The control socket: libmicrohttpd on a unix socket, one table of routes.
 *
 * Identity comes from the gateway's X-AML-* headers, and only from a peer whose
 * uid (SO_PEERCRED) is one of the configuration's gateway_uids; every other
 * peer is answered 403 before anything is looked at.
 */

#ifndef AMLD_HTTP_H
#define AMLD_HTTP_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "auth/decide.h"
#include "computes/amld.h"

#define AMLD_BODY_MAX (1024 * 1024)
#define AMLD_PATH_MAX 8192 /* of a target, query included: as nginx takes */

typedef struct amld_request amld_request_t;
typedef struct amld_response amld_response_t;

/*
 * Fills `response`.  Runs in a thread of the pool and may wait a while (a
 * password hash, a commit), but not for processes: those are operations.
 */
typedef void (*amld_handler_pt)(amld_t *d, const amld_request_t *request,
                                amld_response_t *response);

/*
 * `pattern` is a path whose segments may be "{name}" (one segment, available
 * by amld_request_param()) and whose last may be "*" (the rest).  Literal
 * segments are compared without regard to case, as ARM does.
 */
typedef struct {
    const char *method; /* "GET", also for HEAD; "POST" … */
    const char *pattern;
    amld_handler_pt handler;
} amld_http_route_t;

typedef struct amld_http amld_http_t;

/*
 * Binds config->listen (mode 0666; its directory is made where it is missing)
 * and serves it with config->threads threads.  `tables` is a NULL-ended list
 * of tables, each ended by a NULL method; the first match wins.  Handlers of
 * `slow`, likewise, wait for others: they have threads of their own, and where
 * too many wait the answer is 503 daemon_busy.  A path with
 * an empty segment, "." or "..", an encoded slash or a control character is
 * refused with 400 before any table is looked at.  NULL when it can't start,
 * after the reason was logged: also when another amld answers on the socket.
 */
amld_http_t *amld_http_start(amld_t *d, const amld_http_route_t *const *tables,
                             const amld_http_route_t *const *slow);
void amld_http_stop(amld_http_t *http);

/* How many requests wait for a thread of those that wait for others. */
size_t amld_http_waiting(amld_http_t *http);


/* ---- what a handler asks ---- */

struct amld_request {
    const char *method;
    const char *path;   /* as the client sent it, decoded, without query */
    const char *host;   /* public Host, port included; "" when absent */
    const char *id;     /* request id, for logs and error pages */
    const char *client; /* address of the client, for logs */

    int identified;               /* the gateway vouches for who it is */
    aml_principal_id_t principal; /* valid when identified */
    const char *name;             /* label, "" when not identified */
    int by_session;               /* credential: session cookie */
    int by_personal;              /* or a personal access token; else a JWT */
    uint8_t session[32];          /* hash of either of these two */
    int groups_unknown;           /* of a token: it has groups that count, or
                                   * may have, and which is not told here */
    int in_sign_in;               /* it ends with a sign-in: */
    aml_principal_id_t sign_in;
    const char *action; /* what the gateway has allowed, "" when nothing */

    const char *body;
    size_t body_len;

    void *internal;
};

/* The audit log has the refusal of this one already: else it gets a line when
 * it is answered, see http_refusal() in http.c. */
void amld_request_audited(const amld_request_t *request);

const char *amld_request_param(const amld_request_t *request,
                               const char *name); /* of the pattern */
const char *amld_request_query(const amld_request_t *request, const char *name);
/* 1 when it is there more than once; amld_request_query() has the first. */
int amld_request_query_repeated(const amld_request_t *request,
                                const char *name); /* NULL when absent */
const char *
amld_request_header(const amld_request_t *request, const char *name);
/* A field of an application/x-www-form-urlencoded body, decoded; NULL. */
const char *amld_request_form(const amld_request_t *request, const char *name);
/* The value of one cookie into `value`; 0, or -1 when absent, repeated or
 * longer than size - 1. */
int amld_request_cookie(const amld_request_t *request, const char *name,
                        char *value, size_t size);


/* ---- what a handler answers; every answer gets Cache-Control: no-store
 *      unless a handler set its own ---- */

void amld_response_json(amld_response_t *response, unsigned status,
                        json_t *body); /* takes the reference */
void amld_response_html(amld_response_t *response, unsigned status,
                        const char *html);
void amld_response_empty(amld_response_t *response, unsigned status);
/* Of any type: style sheets, scripts, text. */
void amld_response_content(amld_response_t *response, unsigned status,
                           const char *type, const char *body, size_t n);
/* 302 to a GET or HEAD, 303 to anything else. */
void amld_response_redirect(amld_response_t *response, const char *location);
/* The answer is to be `handler`'s, which waits for others: it is run as those
 * of `slow` tables are, once this one has returned. */
void amld_response_later(amld_response_t *response, amld_handler_pt handler);
/*
 * 200, and as much as `read` gives, as MHD's content readers do: bytes into
 * `buf`, 0 once it has suspended the connection, -1 at the end.  It runs in a
 * thread that serves others, too.  `over` frees `data` in any case.
 */
struct MHD_Connection;
typedef ssize_t (*amld_stream_pt)(void *data, uint64_t at, char *buf,
                                  size_t size);
void
amld_response_stream(amld_response_t *response, const char *type,
                     amld_stream_pt read, void (*over)(void *data), void *data);
/* The same with another status and with how long it is: `read` never gives
 * more, and -1 before that is a fault. */
void
amld_response_stream_of(amld_response_t *response, unsigned status,
                        const char *type, uint64_t size, amld_stream_pt read,
                        void (*over)(void *data), void *data);
struct MHD_Connection *amld_request_connection(const amld_request_t *request);
unsigned amld_response_status_of(const amld_response_t *response); /* 0: none */
/* Changes the status only. */
void amld_response_status(amld_response_t *response, unsigned status);
/* Refused when name or value has a control character. */
void amld_response_header(amld_response_t *response, const char *name,
                          const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Id of the request that it answers, "" when that has none. */
const char *amld_response_request(const amld_response_t *response);
/* It refuses somebody, whatever its status: what the audit log says then. */
void amld_response_refuses(amld_response_t *response, const char *code);
/* {"error":{"code","message","target","details":[],"additionalInfo":[],
 * "requestId"}} */
void
amld_response_error(amld_response_t *response, unsigned status,
                    const char *code, const char *target, const char *format,
                    ...) __attribute__((format(printf, 5, 6)));

#endif /* AMLD_HTTP_H */
