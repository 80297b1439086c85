/*
 * A tunnel while it is open.  There is one buffer a direction, and a side is
 * read from only into free space: who does not read holds up who sends to
 * them, by TCP, and nothing grows.  What the client says is unmasked in place;
 * what the application says gets its header in front, one frame for what was
 * read.  An idle tunnel has no buffers.
 *
 * The end.  The application closes: what it has said is sent, then Close 1000.
 * The client says Close: what it has said is sent on, the application is told
 * that nothing more comes, may finish what it has to say, and then Close is
 * answered.  A revocation: the frame under way, Close 1008.  Then, as with any
 * request that is closed in good order, nginx ends TLS and our direction, and
 * drops what comes until the client closes as well.
 *
 * The timer is an ordinary one, not cancelable: a worker that is asked to leave
 * waits for its tunnels, for worker_shutdown_timeout.
 */

#include "ngx_http_aml_tunnel.h"


#define NGX_HTTP_AML_TUNNEL_BUFFER 65536 /* four records of TLS */
#define NGX_HTTP_AML_TUNNEL_HEAD 4       /* of a frame that fits into it */
#define NGX_HTTP_AML_TUNNEL_SPARE 8      /* buffers that a worker keeps */
#define NGX_HTTP_AML_TUNNEL_ROUNDS 16    /* then it is others' turn */
#define NGX_HTTP_AML_TUNNEL_HURRY 500    /* ms */
#define NGX_HTTP_AML_TUNNEL_DRAIN 5000   /* ms in which nothing moves */
#define NGX_HTTP_AML_TUNNEL_SILENT 3     /* pings */

#define NGX_HTTP_AML_FRAME_BINARY 0x82
#define NGX_HTTP_AML_FRAME_PING 0x89
#define NGX_HTTP_AML_FRAME_PONG 0x8a


static void ngx_http_aml_tunnel_client(ngx_http_request_t *r);
static void ngx_http_aml_tunnel_application(ngx_event_t *ev);
static void ngx_http_aml_tunnel_timer(ngx_event_t *ev);
static void ngx_http_aml_tunnel_relay(ngx_http_aml_tunnel_t *t);
static ngx_int_t ngx_http_aml_tunnel_arm(ngx_http_aml_tunnel_t *t);
static ngx_int_t ngx_http_aml_tunnel_in(ngx_http_aml_tunnel_t *t);
static ngx_int_t ngx_http_aml_tunnel_in_send(ngx_http_aml_tunnel_t *t);
static void ngx_http_aml_tunnel_in_ended(ngx_http_aml_tunnel_t *t);
static void ngx_http_aml_tunnel_decode(ngx_http_aml_tunnel_t *t, size_t n);
static ngx_int_t ngx_http_aml_tunnel_out(ngx_http_aml_tunnel_t *t);
static ngx_int_t ngx_http_aml_tunnel_out_send(ngx_http_aml_tunnel_t *t);
static ngx_int_t ngx_http_aml_tunnel_out_read(ngx_http_aml_tunnel_t *t);
static ngx_uint_t ngx_http_aml_tunnel_put_control(ngx_http_aml_tunnel_t *t);
static void
ngx_http_aml_tunnel_out_ended(ngx_http_aml_tunnel_t *t, ngx_uint_t code);
static void ngx_http_aml_tunnel_finish(ngx_http_aml_tunnel_t *t);
static ngx_int_t ngx_http_aml_tunnel_get_buf(ngx_http_aml_tunnel_t *t,
                                             ngx_http_aml_tunnel_buf_t *b);
static void ngx_http_aml_tunnel_put_buf(ngx_http_aml_tunnel_t *t,
                                        ngx_http_aml_tunnel_buf_t *b);


void
ngx_http_aml_tunnel_begin(ngx_http_aml_tunnel_t *t)
{
    size_t n;
    ngx_buf_t *early;
    ngx_connection_t *pc;
    ngx_http_request_t *r;

    r = t->ctx->request;
    pc = t->peer.connection;

    t->open = 1;

    r->read_event_handler = ngx_http_aml_tunnel_client;
    r->write_event_handler = ngx_http_aml_tunnel_client;
    pc->read->handler = ngx_http_aml_tunnel_application;
    pc->write->handler = ngx_http_aml_tunnel_application;

    t->timer.handler = ngx_http_aml_tunnel_timer;
    ngx_add_timer(&t->timer, t->ping);

    /*
     * What came with the handshake: no more than a header's buffer, which is
     * smaller but where it was made larger.  Who waits for the 101 says nothing
     * before it.
     */

    early = r->header_in;
    n = early->last - early->pos;

    if (n > NGX_HTTP_AML_TUNNEL_BUFFER) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "aml: a tunnel's client said %uz bytes with its "
                      "handshake",
                      n);
        ngx_http_aml_tunnel_end(t, AML_WS_TOO_BIG, (aml_str_t){NULL, 0});
        return;
    }

    if (n != 0) {
        if (ngx_http_aml_tunnel_get_buf(t, &t->in) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }

        ngx_memcpy(t->in.last, early->pos, n);
        early->pos = early->last;

        ngx_http_aml_tunnel_decode(t, n);
    }

    ngx_http_aml_tunnel_relay(t);
}


void
ngx_http_aml_tunnel_free(ngx_http_aml_tunnel_t *t)
{
    uint32_t in, out;
    ngx_connection_t *c;
    ngx_http_aml_main_conf_t *amcf;

    ngx_http_aml_tunnel_put_buf(t, &t->in);

    if (!t->open) {
        return;
    }

    c = t->ctx->request->connection;
    amcf = ngx_http_get_module_main_conf(t->ctx->request, ngx_http_aml_module);

    if (amcf->worker != NULL && amcf->worker->activity != NULL &&
        ngx_http_aml_tunnel_count(t->ctx, &in, &out)) {
        ngx_http_aml_activity_frames(amcf, t->ctx, in, out);
    }

    /* the worker's time is over: at once or not at all */

    if (c->close && !t->closing && t->out.pos == t->out.last &&
        t->control_sent == t->control_len) {
        t->control_len = aml_ws_close_frame(t->control, AML_WS_GOING_AWAY,
                                            (aml_str_t){NULL, 0});
        (void) c->send(c, t->control, t->control_len);
    }

    t->open = 0;

    ngx_http_aml_tunnel_put_buf(t, &t->out);
}


static void
ngx_http_aml_tunnel_client(ngx_http_request_t *r)
{
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    ngx_http_aml_tunnel_relay(ctx->tunnel);
}


static void
ngx_http_aml_tunnel_application(ngx_event_t *ev)
{
    ngx_connection_t *c;
    ngx_http_aml_tunnel_t *t;

    t = ngx_http_aml_tunnel_of(ev);
    c = t->ctx->request->connection;

    if (t->peer.connection->close) {
        ngx_http_aml_tunnel_end(t, AML_WS_GOING_AWAY, (aml_str_t){NULL, 0});
    } else {
        ngx_http_aml_tunnel_relay(t);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_aml_tunnel_timer(ngx_event_t *ev)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;
    ngx_http_aml_tunnel_t *t = ev->data;

    r = t->ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "aml tunnel timer: closing %d, in ended %d, silent %d",
                   t->closing, t->in_ended, t->silent);

    if (t->closing || t->out_lost) {
        ngx_http_finalize_request(r, NGX_HTTP_CLOSE);

    } else if (t->in_ended) {

        /* the application has nothing more to say, and does not close */

        ngx_http_aml_tunnel_end(t, t->code, (aml_str_t){NULL, 0});

    } else if (t->silent == NGX_HTTP_AML_TUNNEL_SILENT) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "aml: a tunnel's client does not answer pings");
        ngx_http_finalize_request(r, NGX_HTTP_CLOSE);

    } else {

        /* it can be heard, and it has been asked */

        if (!t->ping_due && t->out.pos == t->out.last &&
            t->control_sent == t->control_len && t->in.pos == t->in.last) {
            t->silent++;
        }

        t->ping_due = 1;

        ngx_add_timer(&t->timer, t->ping);
        ngx_http_aml_tunnel_relay(t);
    }

    ngx_http_run_posted_requests(c);
}


/* Moves what can be moved.  May free the request. */
static void
ngx_http_aml_tunnel_relay(ngx_http_aml_tunnel_t *t)
{
    ngx_int_t in, out;
    ngx_uint_t i;
    ngx_connection_t *c;

    c = t->ctx->request->connection;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, c->log, 0, "aml tunnel relay");

    for (i = 0; i < NGX_HTTP_AML_TUNNEL_ROUNDS; i++) {
        in = ngx_http_aml_tunnel_in(t);
        out = ngx_http_aml_tunnel_out(t);

        if (in == NGX_ERROR || out == NGX_ERROR) {
            ngx_http_finalize_request(t->ctx->request, NGX_ERROR);
            return;
        }

        if (out == NGX_DONE) {
            ngx_http_aml_tunnel_finish(t);
            return;
        }

        if (in == NGX_AGAIN && out == NGX_AGAIN) {
            break;
        }

        if (!t->hurried && (t->closing || t->in_ended)) {
            ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
        }
    }

    if (i == NGX_HTTP_AML_TUNNEL_ROUNDS) {
        ngx_post_event(c->read, &ngx_posted_next_events);
    }

    if (t->in.pos == t->in.last) {
        ngx_http_aml_tunnel_put_buf(t, &t->in);
    }

    if (t->out.pos == t->out.last) {
        ngx_http_aml_tunnel_put_buf(t, &t->out);
    }

    if (ngx_http_aml_tunnel_arm(t) != NGX_OK) {
        ngx_http_finalize_request(t->ctx->request, NGX_ERROR);
    }
}


static ngx_int_t
ngx_http_aml_tunnel_arm(ngx_http_aml_tunnel_t *t)
{
    ngx_uint_t i, flags;
    ngx_connection_t *c[2];

    c[0] = t->ctx->request->connection;
    c[1] = t->peer.connection;

    for (i = 0; i < 2; i++) {
        flags = c[i]->read->eof || c[i]->read->error ? NGX_CLOSE_EVENT : 0;

        if (ngx_handle_read_event(c[i]->read, flags) != NGX_OK ||
            ngx_handle_write_event(c[i]->write, 0) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* From the client to the application: NGX_OK where something has moved,
 * NGX_AGAIN, NGX_ERROR. */
static ngx_int_t
ngx_http_aml_tunnel_in(ngx_http_aml_tunnel_t *t)
{
    size_t room;
    ssize_t n;
    ngx_int_t rc;
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = t->ctx->request;
    c = r->connection;

    rc = ngx_http_aml_tunnel_in_send(t);

    if (t->in_ended || t->closing || !c->read->ready) {
        return rc;
    }

    if (ngx_http_aml_tunnel_get_buf(t, &t->in) != NGX_OK) {
        return NGX_ERROR;
    }

    room = t->in.start + NGX_HTTP_AML_TUNNEL_BUFFER - t->in.last;

    if (room == 0) {
        return rc;
    }

    n = c->recv(c, t->in.last, room);

    if (n == NGX_AGAIN) {
        return rc;
    }

    if (n == 0 || n == NGX_ERROR) {
        t->out_lost = 1;
        ngx_http_aml_tunnel_in_ended(t);
        return NGX_OK;
    }

    r->request_length += n;
    t->silent = 0;

    ngx_http_aml_tunnel_decode(t, n);

    (void) ngx_http_aml_tunnel_in_send(t);

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_tunnel_in_send(ngx_http_aml_tunnel_t *t)
{
    ssize_t n;
    ngx_int_t rc;
    ngx_connection_t *pc;
    ngx_http_aml_tunnel_buf_t *b;

    pc = t->peer.connection;
    b = &t->in;
    rc = NGX_AGAIN;

    while (b->pos < b->last && !t->in_lost && !t->closing && pc->write->ready) {
        n = pc->send(pc, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR) {

            /* what it has said before may still be there to be read */

            t->in_lost = 1;
            break;
        }

        b->pos += n;
        rc = NGX_OK;
    }

    if (t->in_lost || t->closing || b->pos == b->last) {
        b->pos = b->start;
        b->last = b->start;

        if (t->in_ended && !t->in_shut) {
            t->in_shut = 1;

            if (!t->in_lost) {
                (void) ngx_shutdown_socket(pc->fd, NGX_WRITE_SHUTDOWN);
            }
        }
    }

    return rc;
}


/* The client has said that it says nothing more, or is gone. */
static void
ngx_http_aml_tunnel_in_ended(ngx_http_aml_tunnel_t *t)
{
    t->in_ended = 1;

    if (!t->closing) {
        ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
    }
}


/* Of what was read behind t->in.last. */
static void
ngx_http_aml_tunnel_decode(ngx_http_aml_tunnel_t *t, size_t n)
{
    const uint8_t *p, *end;

    p = t->in.last;
    end = p + n;

    while (p < end && !t->in_ended && !t->closing) {

        switch (aml_ws_decode(&t->decoder, &p, end, &t->in.last)) {

        case AML_WS_PING:

            /* of several the last is answered: RFC 6455 section 5.5.3 */

            t->pong_len = t->decoder.control_size;
            ngx_memcpy(t->pong, t->decoder.control, t->pong_len);
            t->pong_due = 1;
            break;

        case AML_WS_CLOSED:
            t->code = t->decoder.code ? t->decoder.code : AML_WS_NORMAL;
            ngx_http_aml_tunnel_in_ended(t);
            break;

        case AML_WS_BROKEN:
            ngx_log_error(NGX_LOG_INFO, t->ctx->request->connection->log, 0,
                          "aml: a tunnel's client broke the protocol: "
                          "closing by %ui",
                          (ngx_uint_t) t->decoder.code);

            t->closing = 1;
            t->code = t->decoder.code;
            t->reason = (aml_str_t){NULL, 0};
            ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
            break;

        case AML_WS_PONG:
        case AML_WS_MORE:
            break;
        }
    }
}


/* From the application to the client: likewise, and NGX_DONE when the Close
 * frame has been sent. */
static ngx_int_t
ngx_http_aml_tunnel_out(ngx_http_aml_tunnel_t *t)
{
    ngx_int_t rc, moved;

    moved = NGX_AGAIN;

    for (;;) {

        if (t->out_lost) {

            /* the application gets what the client has said, no more */

            return t->closing || (t->in.pos == t->in.last && t->in_ended)
                       ? NGX_ERROR
                       : moved;
        }

        rc = ngx_http_aml_tunnel_out_send(t);

        if (rc == NGX_AGAIN) {
            return moved;
        }

        if (t->close_put) {
            return NGX_DONE;
        }

        if (!ngx_http_aml_tunnel_put_control(t)) {
            break;
        }

        moved = NGX_OK;
    }

    if (t->peer.connection->read->ready) {
        rc = ngx_http_aml_tunnel_out_read(t);

        return rc == NGX_AGAIN ? moved : rc;
    }

    return moved;
}


/* NGX_OK when nothing is left: between frames. */
static ngx_int_t
ngx_http_aml_tunnel_out_send(ngx_http_aml_tunnel_t *t)
{
    u_char *p;
    size_t size;
    ssize_t n;
    ngx_connection_t *c;

    c = t->ctx->request->connection;

    for (;;) {

        /* never both: one is begun when the other has ended */

        if (t->control_sent < t->control_len) {
            p = t->control + t->control_sent;
            size = t->control_len - t->control_sent;

        } else {
            p = t->out.pos;
            size = t->out.last - t->out.pos;
        }

        if (size == 0) {
            return NGX_OK;
        }

        if (!c->write->ready) {
            return NGX_AGAIN;
        }

        n = c->send(c, p, size);

        if (n == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (n == NGX_ERROR) {
            t->out_lost = 1;
            ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
            return NGX_OK;
        }

        if (t->control_sent < t->control_len) {
            t->control_sent += n;
        } else {
            t->out.pos += n;
        }

        if (!t->hurried && (t->closing || t->in_ended)) {
            ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
        }
    }
}


/* Between frames: is there a control frame to be sent? */
static ngx_uint_t
ngx_http_aml_tunnel_put_control(ngx_http_aml_tunnel_t *t)
{
    if (t->pong_due && !t->hurried) {
        t->pong_due = 0;
        t->control_len =
            aml_ws_header(t->control, NGX_HTTP_AML_FRAME_PONG, t->pong_len);
        ngx_memcpy(t->control + t->control_len, t->pong, t->pong_len);
        t->control_len += t->pong_len;

    } else if (t->closing) {
        t->close_put = 1;
        t->control_len = aml_ws_close_frame(t->control, t->code, t->reason);

    } else if (t->ping_due) {
        t->ping_due = 0;
        t->control_len = aml_ws_header(t->control, NGX_HTTP_AML_FRAME_PING, 0);

    } else {
        return 0;
    }

    t->control_sent = 0;

    return 1;
}


static ngx_int_t
ngx_http_aml_tunnel_out_read(ngx_http_aml_tunnel_t *t)
{
    ssize_t n;
    uint8_t head[AML_WS_HEADER_MAX];
    size_t head_len;
    ngx_connection_t *pc;
    ngx_http_aml_tunnel_buf_t *b;

    pc = t->peer.connection;
    b = &t->out;

    if (ngx_http_aml_tunnel_get_buf(t, b) != NGX_OK) {
        return NGX_ERROR;
    }

    b->pos = b->start + NGX_HTTP_AML_TUNNEL_HEAD;
    b->last = b->pos;

    n = pc->recv(pc, b->pos,
                 NGX_HTTP_AML_TUNNEL_BUFFER - NGX_HTTP_AML_TUNNEL_HEAD);

    if (n == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (n == 0 || n == NGX_ERROR) {
        ngx_http_aml_tunnel_out_ended(t, n == 0 ? AML_WS_NORMAL
                                                : AML_WS_UNEXPECTED);
        return NGX_OK;
    }

    head_len = aml_ws_header(head, NGX_HTTP_AML_FRAME_BINARY, n);

    b->last = b->pos + n;
    b->pos -= head_len;
    ngx_memcpy(b->pos, head, head_len);

    t->frames_out++;

    return NGX_OK;
}


/*
 * The application has closed.  Where an instance is stopped, that may be before
 * the worker's next look at the registry; so it looks now.
 */
static void
ngx_http_aml_tunnel_out_ended(ngx_http_aml_tunnel_t *t, ngx_uint_t code)
{
    t->closing = 1;
    t->code = t->in_ended ? t->code : code;
    t->reason = (aml_str_t){NULL, 0};

    if (t->ctx->linked && ngx_http_aml_live_last(t->ctx) != AML_REASON_OK) {
        t->code = AML_WS_POLICY;
        t->reason = aml_reason_info(t->ctx->reason)->code;
    }

    ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
}


void
ngx_http_aml_tunnel_end(ngx_http_aml_tunnel_t *t, ngx_uint_t code,
                        aml_str_t reason)
{
    t->closing = 1;

    if (!t->close_put) {
        t->code = code;
        t->reason = reason;
    }

    if (code == AML_WS_POLICY) {
        t->hurried = 1;
        ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_HURRY);

    } else {
        ngx_add_timer(&t->timer, NGX_HTTP_AML_TUNNEL_DRAIN);
    }

    ngx_http_aml_tunnel_relay(t);
}


static void
ngx_http_aml_tunnel_finish(ngx_http_aml_tunnel_t *t)
{
    ngx_http_request_t *r;
    ngx_http_aml_main_conf_t *amcf;

    r = t->ctx->request;
    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

    if (t->ctx->linked) {
        ngx_http_aml_live_remove(amcf, t->ctx);
    }

    ngx_http_aml_tunnel_release(t);

    r->lingering_close = 1;

    ngx_http_finalize_request(r, NGX_OK);
}


ngx_uint_t
ngx_http_aml_tunnel_count(ngx_http_aml_ctx_t *ctx, uint32_t *in, uint32_t *out)
{
    ngx_http_aml_tunnel_t *t = ctx->tunnel;

    *in = t->decoder.data - t->counted_in;
    *out = t->frames_out - t->counted_out;

    t->counted_in = t->decoder.data;
    t->counted_out = t->frames_out;

    return *in != 0 || *out != 0;
}


static ngx_int_t
ngx_http_aml_tunnel_get_buf(ngx_http_aml_tunnel_t *t,
                            ngx_http_aml_tunnel_buf_t *b)
{
    ngx_http_aml_worker_t *worker;
    ngx_http_aml_main_conf_t *amcf;

    if (b->start != NULL) {
        return NGX_OK;
    }

    amcf = ngx_http_get_module_main_conf(t->ctx->request, ngx_http_aml_module);
    worker = amcf->worker;

    if (worker != NULL && worker->spare != NULL) {
        b->start = worker->spare;
        worker->spare = *(void **) b->start;
        worker->spares--;

    } else {
        b->start = ngx_alloc(NGX_HTTP_AML_TUNNEL_BUFFER,
                             t->ctx->request->connection->log);
    }

    b->pos = b->start;
    b->last = b->start;

    return b->start != NULL ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_aml_tunnel_put_buf(ngx_http_aml_tunnel_t *t,
                            ngx_http_aml_tunnel_buf_t *b)
{
    ngx_http_aml_worker_t *worker;
    ngx_http_aml_main_conf_t *amcf;

    if (b->start == NULL) {
        return;
    }

    amcf = ngx_http_get_module_main_conf(t->ctx->request, ngx_http_aml_module);
    worker = amcf->worker;

    if (worker != NULL && worker->spares < NGX_HTTP_AML_TUNNEL_SPARE) {
        *(void **) b->start = worker->spare;
        worker->spare = b->start;
        worker->spares++;

    } else {
        ngx_free(b->start);
    }

    b->start = NULL;
    b->pos = NULL;
    b->last = NULL;
}


void
ngx_http_aml_tunnel_exit(ngx_http_aml_worker_t *worker)
{
    void *next;

    while (worker->spare != NULL) {
        next = *(void **) worker->spare;
        ngx_free(worker->spare);
        worker->spare = next;
    }

    worker->spares = 0;
}
