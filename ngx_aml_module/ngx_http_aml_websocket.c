/*
 * Websockets while they are open.  nginx relays bytes; here is followed where
 * frames begin and end, so that one whose principal may no longer use it ends
 * with a Close frame that says why, and never in the middle of another.
 *
 * The end: nothing more from the client reaches the application.  What the
 * application has begun to say is finished, for so long as
 * NGX_HTTP_AML_FRAME_WAIT; then come the Close frame, the end of TLS and of our
 * direction.  What the client still sends is read and dropped until it closes
 * as well: a close() with unread bytes would take the frame back.
 */

#include "ngx_http_aml_module.h"

#include "upstreams/ws_frame.h"


#define NGX_HTTP_AML_FRAME_WAIT 500 /* ms */
#define NGX_HTTP_AML_LINGER 1000    /* ms */
#define NGX_HTTP_AML_DISCARD 16     /* reads at a time */


struct ngx_http_aml_websocket_s {
    ngx_http_aml_ctx_t *ctx;
    ngx_send_pt original_send;          /* of the client's connection */
    ngx_send_pt original_upstream_send; /* where activity is counted */
    void (*original_finalize)(ngx_http_request_t *r, ngx_int_t rc);
    aml_ws_stream_t out; /* what the client has been sent */
    aml_ws_stream_t in;  /* what the application has been sent */
    uint32_t counted_in; /* data frames, see _count() */
    uint32_t counted_out;
    size_t pending;    /* of a send that has to be made again as it was */
    ngx_event_t event; /* posted: between frames; timer: out of patience */
    u_char frame[AML_WS_CLOSE_MAX];
    size_t frame_len;
    size_t frame_sent;
    unsigned ending : 1;  /* it may not go on */
    unsigned parting : 1; /* the upstream is gone, the frame is under way */
};


static ngx_int_t ngx_http_aml_websocket_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_aml_is_websocket(ngx_http_request_t *r);
static ngx_int_t
ngx_http_aml_websocket_begin(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx);
static ssize_t
ngx_http_aml_websocket_send(ngx_connection_t *c, u_char *buf, size_t size);
static ssize_t ngx_http_aml_websocket_send_upstream(ngx_connection_t *c,
                                                    u_char *buf, size_t size);
static void
ngx_http_aml_websocket_finalize(ngx_http_request_t *r, ngx_int_t rc);
static ngx_uint_t ngx_http_aml_websocket_ready(ngx_http_aml_websocket_t *ws);
static void ngx_http_aml_websocket_part(ngx_http_aml_websocket_t *ws);
static void ngx_http_aml_websocket_write(ngx_http_request_t *r);
static void ngx_http_aml_websocket_half_close(ngx_http_aml_websocket_t *ws);
static void ngx_http_aml_websocket_discard(ngx_http_request_t *r);
static void ngx_http_aml_websocket_event(ngx_event_t *ev);
static void
ngx_http_aml_websocket_end(ngx_http_aml_websocket_t *ws, ngx_int_t rc);
static void
ngx_http_aml_websocket_blocked(ngx_http_request_t *r, ngx_http_upstream_t *u);
static void ngx_http_aml_websocket_no_event(ngx_http_aml_websocket_t *ws);


static ngx_http_output_header_filter_pt ngx_http_next_header_filter;


void
ngx_http_aml_websocket_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_aml_websocket_header_filter;
}


static ngx_int_t
ngx_http_aml_websocket_header_filter(ngx_http_request_t *r)
{
    ngx_http_aml_ctx_t *ctx;

    if (r->headers_out.status != NGX_HTTP_SWITCHING_PROTOCOLS ||
        r->upstream == NULL || !r->upstream->upgrade) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    if (ctx != NULL && ctx->linked && ngx_http_aml_is_websocket(r) &&
        ngx_http_aml_websocket_begin(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* Both sides have said so. */
static ngx_uint_t
ngx_http_aml_is_websocket(ngx_http_request_t *r)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    static ngx_str_t websocket = ngx_string("websocket");

    h = r->headers_in.upgrade;

    if (h == NULL || h->value.len != websocket.len ||
        ngx_strncasecmp(h->value.data, websocket.data, websocket.len) != 0) {
        return 0;
    }

    part = &r->upstream->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("Upgrade") - 1 &&
            ngx_strncasecmp(h[i].key.data, (u_char *) "Upgrade",
                            sizeof("Upgrade") - 1) == 0) {
            return h[i].value.len == websocket.len &&
                   ngx_strncasecmp(h[i].value.data, websocket.data,
                                   websocket.len) == 0;
        }
    }
}


static ngx_int_t
ngx_http_aml_websocket_begin(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx)
{
    ngx_connection_t *c, *pc;
    ngx_http_aml_websocket_t *ws;
    ngx_http_aml_main_conf_t *amcf;

    ws = ngx_pcalloc(r->pool, sizeof(ngx_http_aml_websocket_t));
    if (ws == NULL) {
        return NGX_ERROR;
    }

    c = r->connection;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, c->log, 0, "aml websocket");

    ws->ctx = ctx;

    if (ctx->application != NULL) {
        ws->in.keep_alive = (uint8_t) ctx->application->keep_alive;
        ws->out.keep_alive = (uint8_t) ctx->application->keep_alive;
    }

    ws->event.handler = ngx_http_aml_websocket_event;
    ws->event.data = ws;
    ws->event.log = c->log;

    ws->original_send = c->send;
    c->send = ngx_http_aml_websocket_send;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

    if (amcf->activity.len != 0) {
        pc = r->upstream->peer.connection;
        ws->original_upstream_send = pc->send;
        pc->send = ngx_http_aml_websocket_send_upstream;
    }

    ws->original_finalize = r->upstream->finalize_request;
    r->upstream->finalize_request = ngx_http_aml_websocket_finalize;

    ctx->websocket = ws;

    return NGX_OK;
}


/* What nginx relays to the client. */
static ssize_t
ngx_http_aml_websocket_send(ngx_connection_t *c, u_char *buf, size_t size)
{
    ssize_t n;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_request_t *r;
    ngx_http_aml_websocket_t *ws;

    r = c->data;
    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);
    ws = ctx->websocket;

    if (ws->ending) {
        if (ws->event.posted) {
            return NGX_AGAIN;
        }

        /* TLS has taken in what is pending, and wants to see it again */

        size = aml_ws_until(&ws->out, buf, size, ws->pending);
    }

    n = ws->original_send(c, buf, size);

    if (n > 0) {
        aml_ws_feed(&ws->out, buf, n);
        ws->pending = 0;

    } else if (n == NGX_AGAIN) {
        ws->pending = size;
    }

    /* not from here: nginx is in the middle of its relaying */

    if (ws->ending && ngx_http_aml_websocket_ready(ws)) {
        ngx_post_event(&ws->event, &ngx_posted_events);
    }

    return n;
}


/* What nginx relays to the application.  Its connection ends with this. */
static ssize_t
ngx_http_aml_websocket_send_upstream(ngx_connection_t *c, u_char *buf,
                                     size_t size)
{
    ssize_t n;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_request_t *r;

    r = c->data;
    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    n = ctx->websocket->original_upstream_send(c, buf, size);

    if (n > 0) {
        aml_ws_feed(&ctx->websocket->in, buf, n);
    }

    return n;
}


ngx_uint_t
ngx_http_aml_websocket_count(ngx_http_aml_ctx_t *ctx, uint32_t *in,
                             uint32_t *out)
{
    ngx_http_aml_websocket_t *ws = ctx->websocket;

    if (ctx->tunnel != NULL) {
        return ngx_http_aml_tunnel_count(ctx, in, out);
    }

    if (ws == NULL) {
        return 0;
    }

    *in = ws->in.data - ws->counted_in;
    *out = ws->out.data - ws->counted_out;

    ws->counted_in = ws->in.data;
    ws->counted_out = ws->out.data;

    return *in != 0 || *out != 0;
}


/* Nothing stands before a Close frame, or nothing ever will be a frame. */
static ngx_uint_t
ngx_http_aml_websocket_ready(ngx_http_aml_websocket_t *ws)
{
    return ws->out.lost || (ws->pending == 0 && aml_ws_between(&ws->out));
}


void
ngx_http_aml_websocket_close(ngx_http_aml_ctx_t *ctx, aml_reason_t reason)
{
    ngx_http_request_t *r;
    ngx_http_aml_websocket_t *ws;

    r = ctx->request;
    ws = ctx->websocket;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "aml websocket close: left %uL, header %ui, pending %uz",
                   ws->out.left, (ngx_uint_t) ws->out.have, ws->pending);

    ws->ending = 1;
    ws->frame_len = aml_ws_close_frame(ws->frame, AML_WS_POLICY,
                                       aml_reason_info(reason)->code);

    r->read_event_handler = ngx_http_block_reading;
    r->upstream->write_event_handler = ngx_http_aml_websocket_blocked;

    ngx_add_timer(&ws->event, NGX_HTTP_AML_FRAME_WAIT);

    if (ngx_http_aml_websocket_ready(ws)) {
        ngx_http_aml_websocket_part(ws);
    }
}


static void
ngx_http_aml_websocket_blocked(ngx_http_request_t *r, ngx_http_upstream_t *u)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "aml websocket: not for the application any more");
}


static void
ngx_http_aml_websocket_part(ngx_http_aml_websocket_t *ws)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = ws->ctx->request;
    c = r->connection;

    if (ws->out.lost || c->buffered) {
        ngx_http_aml_websocket_end(ws, NGX_ERROR);
        return;
    }

    ws->parting = 1;

    if (ws->out.closing) {
        ws->frame_len = 0;
    }

    /* the upstream's cleanup gives up a share of the request */

    r->main->count++;
    (*r->upstream->cleanup)(r);

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_aml_websocket_write;

    ngx_http_aml_websocket_write(r);
}


static void
ngx_http_aml_websocket_write(ngx_http_request_t *r)
{
    ssize_t n;
    ngx_connection_t *c;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_websocket_t *ws;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);
    ws = ctx->websocket;

    if (ws->frame_sent < ws->frame_len) {
        n = ws->original_send(c, ws->frame + ws->frame_sent,
                              ws->frame_len - ws->frame_sent);

        if (n == NGX_ERROR) {
            ngx_http_aml_websocket_end(ws, NGX_ERROR);
            return;
        }

        if (n > 0) {
            ws->frame_sent += n;
        }
    }

    if (ws->frame_sent == ws->frame_len) {
        ngx_http_aml_websocket_half_close(ws);

    } else if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_aml_websocket_end(ws, NGX_ERROR);
    }
}


static void
ngx_http_aml_websocket_half_close(ngx_http_aml_websocket_t *ws)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = ws->ctx->request;
    c = r->connection;

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        c->ssl->shutdown_without_free = 1;

        if (ngx_ssl_shutdown(c) != NGX_OK) {
            ngx_http_aml_websocket_end(ws, NGX_HTTP_CLOSE);
            return;
        }
    }
#endif

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        ngx_connection_error(c, ngx_socket_errno,
                             ngx_shutdown_socket_n " failed");
        ngx_http_aml_websocket_end(ws, NGX_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_aml_websocket_discard;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_add_timer(&ws->event, NGX_HTTP_AML_LINGER);

    ngx_http_aml_websocket_discard(r);
}


static void
ngx_http_aml_websocket_discard(ngx_http_request_t *r)
{
    u_char buf[NGX_HTTP_DISCARD_BUFFER_SIZE];
    ssize_t n;
    ngx_uint_t i;
    ngx_connection_t *c;
    ngx_http_aml_ctx_t *ctx;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    for (i = 0; c->read->ready; i++) {

        /* who sends faster than this reads must not have the worker */

        if (i == NGX_HTTP_AML_DISCARD) {
            ngx_post_event(c->read, &ngx_posted_next_events);
            return;
        }

        n = c->recv(c, buf, sizeof(buf));

        if (n == 0 || n == NGX_ERROR) {
            ngx_http_aml_websocket_end(ctx->websocket, NGX_ERROR);
            return;
        }
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_aml_websocket_end(ctx->websocket, NGX_ERROR);
    }
}


static void
ngx_http_aml_websocket_event(ngx_event_t *ev)
{
    ngx_http_request_t *r;
    ngx_http_aml_websocket_t *ws;

    ws = ev->data;
    r = ws->ctx->request;

    ngx_http_set_log_request(r->connection->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "aml websocket event, timed out: %d", ev->timedout);

    if (ev->timedout) {
        ngx_http_aml_websocket_end(ws, NGX_ERROR);
        return;
    }

    ngx_http_aml_websocket_part(ws);
}


static void
ngx_http_aml_websocket_end(ngx_http_aml_websocket_t *ws, ngx_int_t rc)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = ws->ctx->request;
    c = r->connection;

    /* who does not read can't be sent an end of TLS either */

    if (ws->pending || (ws->parting && ws->frame_sent < ws->frame_len)) {
        rc = NGX_HTTP_CLOSE;
    }

    /* see ngx_http_aml_close() */

    if (r->upstream->cleanup != NULL) {
        r->main->count++;
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/*
 * nginx ends the relaying: the application has closed, or the client.  Where
 * an instance is stopped, its applications may be gone before the worker's
 * next look at the registry; so it looks now.
 */
static void
ngx_http_aml_websocket_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t *c;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_websocket_t *ws;
    ngx_http_aml_main_conf_t *amcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);
    ws = ctx->websocket;

    ws->original_finalize(r, rc);

    if (ws->parting) {
        return;
    }

    ngx_http_aml_websocket_no_event(ws);

    if (ctx->linked && ngx_http_aml_live_last(ctx) == AML_REASON_OK) {
        amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);
        ngx_http_aml_live_remove(amcf, ctx);
        return;
    }

    c = r->connection;

    if (c->timedout || c->error || c->buffered || ws->out.closing ||
        ws->out.lost || !ngx_http_aml_websocket_ready(ws)) {
        return;
    }

    ws->frame_len = aml_ws_close_frame(ws->frame, AML_WS_POLICY,
                                       aml_reason_info(ctx->reason)->code);

    /* at once or not at all */

    (void) ws->original_send(c, ws->frame, ws->frame_len);

    r->lingering_close = 1;
}


static void
ngx_http_aml_websocket_no_event(ngx_http_aml_websocket_t *ws)
{
    if (ws->event.timer_set) {
        ngx_del_timer(&ws->event);
    }

    if (ws->event.posted) {
        ngx_delete_posted_event(&ws->event);
    }
}


void
ngx_http_aml_websocket_cleanup(ngx_http_aml_ctx_t *ctx)
{
    uint32_t in, out;
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_aml_module);

    if (amcf->worker != NULL && amcf->worker->activity != NULL &&
        ngx_http_aml_websocket_count(ctx, &in, &out)) {
        ngx_http_aml_activity_frames(amcf, ctx, in, out);
    }

    ngx_http_aml_websocket_no_event(ctx->websocket);

    ctx->request->connection->send = ctx->websocket->original_send;
}
