/*
 * What is answered.
 */

#include "computes/http/http_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ERROR_MESSAGE_MAX 1024
#define ERROR_ID_MAX 128
#define STREAM_BLOCK 2048
#define STREAM_LARGE 65536


static void
response_body(amld_response_t *r, unsigned status, const char *type, char *body,
              size_t n)
{
    free(r->body);
    r->status = status;
    r->type = type;
    r->body = body;
    r->body_len = n;
    r->failed |= body == NULL;
}


void
amld_response_content(amld_response_t *response, unsigned status,
                      const char *type, const char *body, size_t n)
{
    char *copy = malloc(n + 1);

    if (copy != NULL) {
        memcpy(copy, body, n);
        copy[n] = '\0';
    }

    response_body(response, status, type, copy, n);
}


void
amld_response_html(amld_response_t *response, unsigned status, const char *html)
{
    amld_response_content(response, status, "text/html; charset=utf-8", html,
                          strlen(html));
}


void
amld_response_json(amld_response_t *response, unsigned status, json_t *body)
{
    char *text = NULL;

    if (body != NULL) {
        text = json_dumps(body, JSON_COMPACT);
        json_decref(body);
    }

    response_body(response, status, "application/json; charset=utf-8", text,
                  text != NULL ? strlen(text) : 0);
}


void
amld_response_empty(amld_response_t *response, unsigned status)
{
    free(response->body);
    response->body = NULL;
    response->body_len = 0;
    response->type = NULL;
    response->status = status;
}


void
amld_response_stream(amld_response_t *response, const char *type,
                     amld_stream_pt read, void (*over)(void *data), void *data)
{
    amld_response_stream_of(response, 200, type, MHD_SIZE_UNKNOWN, read, over,
                            data);
}


void
amld_response_stream_of(amld_response_t *response, unsigned status,
                        const char *type, uint64_t size, amld_stream_pt read,
                        void (*over)(void *data), void *data)
{
    amld_response_empty(response, status);
    response->type = type;
    response->stream = read;
    response->stream_over = over;
    response->stream_data = data;
    response->stream_size = size;
}


struct MHD_Connection *
amld_request_connection(const amld_request_t *request)
{
    const amld_exchange_t *e = request->internal;

    return e->connection;
}


void
amld_response_later(amld_response_t *response, amld_handler_pt handler)
{
    response->later = handler;
}


unsigned
amld_response_status_of(const amld_response_t *response)
{
    return response->status;
}


void
amld_response_status(amld_response_t *response, unsigned status)
{
    response->status = status;
}


void
amld_response_redirect(amld_response_t *response, const char *location)
{
    amld_response_empty(response, response->safe ? 302 : 303);
    amld_response_header(response, "Location", "%s", location);

    /* codes and addresses of instances travel in the query */
    amld_response_header(response, "Referrer-Policy", "no-referrer");
}


static int
response_is_token(const char *name)
{
    const char *p;

    for (p = name; *p != '\0'; p++) {
        if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7f ||
            strchr("()<>@,;:\\\"/[]?={}", *p) != NULL) {
            return 0;
        }
    }

    return p != name;
}


static int
response_is_value(const char *value)
{
    const char *p;

    for (p = value; *p != '\0'; p++) {
        if (((unsigned char) *p < 0x20 && *p != '\t') || *p == 0x7f) {
            return 0;
        }
    }

    return 1;
}


void
amld_response_header(amld_response_t *response, const char *name,
                     const char *format, ...)
{
    char *key, *value = NULL;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&value, format, args);
    va_end(args);

    if (n < 0) {
        response->failed = 1;
        return;
    }

    key = strdup(name);

    if (key == NULL || response->header_count == AMLD_HTTP_HEADERS ||
        !response_is_token(name) || !response_is_value(value)) {
        amld_log(AMLD_LOG_ERROR, "http: header \"%s\" can't be sent: \"%s\"",
                 name, value);
        response->failed = 1;
        free(key);
        free(value);
        return;
    }

    response->header[response->header_count].name = key;
    response->header[response->header_count].value = value;
    response->header_count++;
}


/* Of what a client sent and was cut somewhere; JSON takes nothing else. */
static void
response_utf8(char *text)
{
    char *p;
    json_t *valid;
    size_t n;

    for (p = text; *p != '\0'; p += n) {
        n = 1;
        if ((unsigned char) *p < 0x80) {
            continue;
        }

        while (n < 4 && ((unsigned char) p[n] & 0xc0) == 0x80) {
            n++;
        }

        valid = json_stringn(p, n);
        json_decref(valid);
        if (valid == NULL) {
            n = 1;
            *p = '?';
        }
    }
}


void
amld_response_error(amld_response_t *response, unsigned status,
                    const char *code, const char *target, const char *format,
                    ...)
{
    char message[ERROR_MESSAGE_MAX], id[ERROR_ID_MAX];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    response_utf8(message);

    (void) snprintf(id, sizeof(id), "%s", amld_response_request(response));
    response_utf8(id);

    (void) snprintf(response->code, sizeof(response->code), "%s", code);

    amld_response_json(response, status,
                       json_pack("{s:{s:s, s:s, s:s?, s:[], s:[], s:s}}",
                                 "error", "code", code, "message", message,
                                 "target", target, "details", "additionalInfo",
                                 "requestId", id));
}


const char *
amld_response_request(const amld_response_t *response)
{
    return response->request != NULL ? response->request : "";
}


void
amld_response_refuses(amld_response_t *response, const char *code)
{
    response->refuses = 1;
    (void) snprintf(response->code, sizeof(response->code), "%s", code);
}


void
amld_http_response_clear(amld_response_t *r)
{
    size_t i;

    for (i = 0; i < r->header_count; i++) {
        free(r->header[i].name);
        free(r->header[i].value);
    }

    if (r->stream != NULL) {
        r->stream_over(r->stream_data);
        r->stream = NULL;
    }

    free(r->body);
    r->body = NULL;
    r->body_len = 0;
    r->header_count = 0;
    r->status = 0;
    r->failed = 0;
    r->refuses = 0;
    r->code[0] = '\0';
}


const char *
amld_http_response_header(const amld_response_t *r, const char *name)
{
    size_t i;

    for (i = 0; i < r->header_count; i++) {
        if (strcasecmp(r->header[i].name, name) == 0) {
            return r->header[i].value;
        }
    }

    return NULL;
}


enum MHD_Result
amld_http_send(amld_exchange_t *e)
{
    amld_response_t *r = &e->response;
    struct MHD_Response *m;
    enum MHD_Result rc;
    size_t i;
    int ok;

    if (r->status == 0 || r->failed) {
        amld_log(AMLD_LOG_ERROR, "http: %s %s: no answer could be made",
                 e->request.method, e->request.path);
        amld_http_response_clear(r);
        amld_response_error(r, 500, "InternalServerError", NULL,
                            "Something went wrong here. The log of amld says "
                            "what.");
        if (r->failed) {
            return MHD_NO;
        }
    }

    if (r->stream != NULL) {
        m = MHD_create_response_from_callback(
            r->stream_size,
            r->stream_size == MHD_SIZE_UNKNOWN ? STREAM_BLOCK : STREAM_LARGE,
            r->stream, r->stream_data, r->stream_over);
    } else {
        m = MHD_create_response_from_buffer(r->body_len, r->body,
                                            MHD_RESPMEM_MUST_FREE);
    }
    if (m == NULL) {
        return MHD_NO;
    }
    r->body = NULL;
    r->stream = NULL; /* the response's now */

    ok = 1;
    for (i = 0; i < r->header_count; i++) {
        ok &= MHD_add_response_header(m, r->header[i].name,
                                      r->header[i].value) == MHD_YES;
    }

    if (r->type != NULL) {
        ok &= MHD_add_response_header(m, "Content-Type", r->type) == MHD_YES;
    }

    if (amld_http_response_header(r, "Cache-Control") == NULL) {
        ok &=
            MHD_add_response_header(m, "Cache-Control", "no-store") == MHD_YES;
    }

    ok &= MHD_add_response_header(m, "X-Content-Type-Options", "nosniff") ==
          MHD_YES;

    if (*e->request.id != '\0') {
        /* as ARM's clients know it, and as nginx's own refusals have it */
        ok &= MHD_add_response_header(m, "x-ms-request-id", e->request.id) ==
              MHD_YES;
        ok &= MHD_add_response_header(m, "X-AML-Request-Id", e->request.id) ==
              MHD_YES;
    }

    rc = ok ? MHD_queue_response(e->connection, r->status, m) : MHD_NO;
    MHD_destroy_response(m);

    return rc;
}
