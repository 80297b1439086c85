/*
 * How a tunnel comes to be: whether the request is one that asks for a tunnel,
 * the connection to the application, and the 101.  The application is
 * connected to before the 101, so that a refusal is one that explains itself.
 */

#include "ngx_http_aml_tunnel.h"

#include <ngx_sha1.h>


#define NGX_HTTP_AML_TUNNEL_PING 30000   /* ms */
#define NGX_HTTP_AML_TUNNEL_CONNECT 5000 /* ms */
#define NGX_HTTP_AML_TUNNEL_KEY 24       /* characters, of 16 bytes */


/* What the handshake's headers say (RFC 6455 section 4.2.1). */
typedef struct {
    ngx_str_t key;
    ngx_uint_t keys;
    ngx_str_t version;
    ngx_uint_t versions;
    ngx_uint_t upgrade; /* Connection names it */
} ngx_http_aml_handshake_t;


static void
ngx_http_aml_handshake(ngx_http_request_t *r, ngx_http_aml_handshake_t *hs);
static ngx_uint_t ngx_http_aml_has_token(ngx_str_t *list, ngx_str_t *token);
static ngx_uint_t ngx_http_aml_is_key(ngx_str_t *key);
static ngx_int_t ngx_http_aml_tunnel_handler(ngx_http_request_t *r);
static void ngx_http_aml_tunnel_cleanup(void *data);
static void ngx_http_aml_tunnel_connecting(ngx_event_t *ev);
static void ngx_http_aml_tunnel_late(ngx_event_t *ev);
static void ngx_http_aml_tunnel_waiting(ngx_http_request_t *r);
static void ngx_http_aml_tunnel_connected(ngx_http_aml_tunnel_t *t);
static void
ngx_http_aml_tunnel_refuse(ngx_http_aml_tunnel_t *t, aml_reason_t reason);
static aml_reason_t ngx_http_aml_unreachable(ngx_http_aml_ctx_t *ctx);
static ngx_int_t ngx_http_aml_tunnel_test(ngx_connection_t *c);
static ngx_int_t ngx_http_aml_tunnel_accept(ngx_http_request_t *r);
static void ngx_http_aml_tunnel_flush(ngx_http_request_t *r);
static void ngx_http_aml_tunnel_open(ngx_http_aml_tunnel_t *t);


static ngx_str_t ngx_http_aml_websocket = ngx_string("websocket");
static ngx_str_t ngx_http_aml_upgrade = ngx_string("upgrade");


char *
ngx_http_aml_tunnel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_loc_conf_t *alcf = conf;

    ngx_str_t *value, time;
    ngx_uint_t i;
    ngx_msec_t *to;

    if (alcf->tunnel.data != NULL) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[0] != '/') {
        return "needs a path that begins with \"/\"";
    }

    alcf->tunnel = value[1];
    alcf->tunnel_ping = NGX_HTTP_AML_TUNNEL_PING;
    alcf->tunnel_connect = NGX_HTTP_AML_TUNNEL_CONNECT;

    for (i = 2; i < cf->args->nelts; i++) {
        time = value[i];

        if (ngx_strncmp(time.data, "ping=", 5) == 0) {
            to = &alcf->tunnel_ping;
            time.data += 5;
            time.len -= 5;

        } else if (ngx_strncmp(time.data, "connect=", 8) == 0) {
            to = &alcf->tunnel_connect;
            time.data += 8;
            time.len -= 8;

        } else {
            to = NULL;
        }

        if (to != NULL) {
            *to = ngx_parse_time(&time, 0);
        }

        if (to == NULL || *to == (ngx_msec_t) NGX_ERROR || *to == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_aml_tunnel_asked(ngx_http_request_t *r)
{
    ngx_http_aml_loc_conf_t *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_aml_module);

    return alcf->tunnel.len != 0 && r->uri.len == alcf->tunnel.len &&
           ngx_memcmp(r->uri.data, alcf->tunnel.data, r->uri.len) == 0 &&
           r->headers_in.upgrade != NULL;
}


aml_reason_t
ngx_http_aml_tunnel_check(ngx_http_request_t *r)
{
    ngx_http_aml_handshake_t hs;

    if (!ngx_http_aml_tunnel_asked(r)) {
        return AML_REASON_TUNNEL_ONLY;
    }

    ngx_http_aml_handshake(r, &hs);

    if (hs.versions != 1 || hs.version.len != 2 ||
        ngx_memcmp(hs.version.data, "13", 2) != 0 ||
        !ngx_http_aml_has_token(&r->headers_in.upgrade->value,
                                &ngx_http_aml_websocket)) {
        return AML_REASON_TUNNEL_ONLY;
    }

    /* a body would stand where the first frame does */

    if (r->method != NGX_HTTP_GET || r->http_version != NGX_HTTP_VERSION_11 ||
        r->headers_in.content_length_n > 0 || r->headers_in.chunked ||
        !hs.upgrade || hs.keys != 1 || !ngx_http_aml_is_key(&hs.key)) {
        return AML_REASON_REQUEST_MALFORMED;
    }

    return AML_REASON_OK;
}


static void
ngx_http_aml_handshake(ngx_http_request_t *r, ngx_http_aml_handshake_t *hs)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    ngx_memzero(hs, sizeof(ngx_http_aml_handshake_t));

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            switch (h[i].key.len) {

            case sizeof("connection") - 1:
                if (ngx_memcmp(h[i].lowcase_key, "connection", 10) == 0) {
                    hs->upgrade |= ngx_http_aml_has_token(
                        &h[i].value, &ngx_http_aml_upgrade);
                }
                break;

            case sizeof("sec-websocket-key") - 1:
                if (ngx_memcmp(h[i].lowcase_key, "sec-websocket-key", 17) ==
                    0) {
                    hs->key = h[i].value;
                    hs->keys++;
                }
                break;

            case sizeof("sec-websocket-version") - 1:
                if (ngx_memcmp(h[i].lowcase_key, "sec-websocket-version", 21) ==
                    0) {
                    hs->version = h[i].value;
                    hs->versions++;
                }
                break;
            }
        }
    }
}


/* In a list by commas, without regard to case. */
static ngx_uint_t
ngx_http_aml_has_token(ngx_str_t *list, ngx_str_t *token)
{
    u_char *p, *last, *word, *stop;

    p = list->data;
    last = p + list->len;

    while (p < last) {
        word = p;

        while (p < last && *p != ',') {
            p++;
        }

        stop = p++;

        while (word < stop && (*word == ' ' || *word == '\t')) {
            word++;
        }

        while (stop > word && (stop[-1] == ' ' || stop[-1] == '\t')) {
            stop--;
        }

        if ((size_t) (stop - word) == token->len &&
            ngx_strncasecmp(word, token->data, token->len) == 0) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_aml_is_key(ngx_str_t *key)
{
    u_char bytes[ngx_base64_decoded_length(NGX_HTTP_AML_TUNNEL_KEY)];
    ngx_str_t decoded;

    decoded.data = bytes;

    return key->len == NGX_HTTP_AML_TUNNEL_KEY &&
           ngx_decode_base64(&decoded, key) == NGX_OK && decoded.len == 16;
}


void
ngx_http_aml_tunnel_take(ngx_http_request_t *r)
{
    r->content_handler = ngx_http_aml_tunnel_handler;
}


static ngx_int_t
ngx_http_aml_tunnel_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_http_cleanup_t *cln;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_tunnel_t *t;
    ngx_http_aml_loc_conf_t *alcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "aml tunnel to %V", &ctx->peer_name);

    /* only what is on the list of live requests is ended by a revocation */

    if (!ctx->linked || r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    t = ngx_pcalloc(r->pool, sizeof(ngx_http_aml_tunnel_t));
    cln = ngx_http_cleanup_add(r, 0);

    if (t == NULL || cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_aml_module);

    t->ctx = ctx;
    t->ping = alcf->tunnel_ping;
    t->timer.handler = ngx_http_aml_tunnel_late;
    t->timer.data = t;
    t->timer.log = r->connection->log;

    cln->handler = ngx_http_aml_tunnel_cleanup;
    cln->data = t;

    t->peer.sockaddr = &ctx->peer.addr.sa;
    t->peer.socklen = ctx->peer.len;
    t->peer.name = &ctx->peer_name;
    t->peer.get = ngx_event_get_peer;
    t->peer.log = r->connection->log;
    t->peer.log_error = NGX_ERROR_ERR;

    r->connection->log->action = "connecting to the end of a tunnel";

    rc = ngx_event_connect_peer(&t->peer);

    if (rc == NGX_ERROR || rc == NGX_DECLINED || rc == NGX_BUSY) {
        return ngx_http_aml_refuse_content(r, ngx_http_aml_unreachable(ctx));
    }

    ctx->tunnel = t;

    t->peer.connection->data = r;
    t->peer.connection->read->handler = ngx_http_aml_tunnel_connecting;
    t->peer.connection->write->handler = ngx_http_aml_tunnel_connecting;

    r->main->count++;
    r->read_event_handler = ngx_http_aml_tunnel_waiting;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (rc == NGX_AGAIN) {
        ngx_add_timer(&t->timer, alcf->tunnel_connect);
        return NGX_DONE;
    }

    ngx_http_aml_tunnel_connected(t);

    return NGX_DONE;
}


static void
ngx_http_aml_tunnel_cleanup(void *data)
{
    ngx_http_aml_tunnel_release(data);
}


void
ngx_http_aml_tunnel_release(ngx_http_aml_tunnel_t *t)
{
    ngx_http_aml_tunnel_free(t);

    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    if (t->peer.connection != NULL) {
        ngx_close_connection(t->peer.connection);
        t->peer.connection = NULL;
    }
}


ngx_http_aml_tunnel_t *
ngx_http_aml_tunnel_of(ngx_event_t *ev)
{
    ngx_connection_t *pc;
    ngx_http_request_t *r;
    ngx_http_aml_ctx_t *ctx;

    pc = ev->data;
    r = pc->data;
    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    ngx_http_set_log_request(r->connection->log, r);

    return ctx->tunnel;
}


/* The connection to the application is there, or has failed. */
static void
ngx_http_aml_tunnel_connecting(ngx_event_t *ev)
{
    ngx_connection_t *c, *pc;
    ngx_http_aml_tunnel_t *t;

    t = ngx_http_aml_tunnel_of(ev);
    c = t->ctx->request->connection;
    pc = t->peer.connection;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0, "aml tunnel connecting: %d",
                   ev->write);

    if (pc->close || ngx_http_aml_tunnel_test(pc) != NGX_OK) {
        ngx_http_aml_tunnel_refuse(t, ngx_http_aml_unreachable(t->ctx));

    } else {
        ngx_http_aml_tunnel_connected(t);
    }

    ngx_http_run_posted_requests(c);
}


/* On a port of the user's own nobody listens: that says more. */
static aml_reason_t
ngx_http_aml_unreachable(ngx_http_aml_ctx_t *ctx)
{
    return ctx->application == NULL ? ctx->silent
                                    : AML_REASON_APPLICATION_UNREACHABLE;
}


static ngx_int_t
ngx_http_aml_tunnel_test(ngx_connection_t *c)
{
    int err;
    socklen_t len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_connection_error(c, err, "connect() of a tunnel failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_aml_tunnel_late(ngx_event_t *ev)
{
    ngx_connection_t *c;
    ngx_http_aml_tunnel_t *t = ev->data;

    c = t->ctx->request->connection;

    ngx_http_set_log_request(c->log, t->ctx->request);

    if (t->ctx->request->header_sent) {
        ngx_http_finalize_request(t->ctx->request, NGX_HTTP_CLOSE);

    } else {
        ngx_log_error(NGX_LOG_ERR, c->log, NGX_ETIMEDOUT,
                      "aml: connecting to the end of a tunnel took too long");
        ngx_http_aml_tunnel_refuse(t, AML_REASON_APPLICATION_TIMEOUT);
    }

    ngx_http_run_posted_requests(c);
}


/* The client says something before it may, or has left. */
static void
ngx_http_aml_tunnel_waiting(ngx_http_request_t *r)
{
    u_char byte;
    ssize_t n;
    ngx_uint_t gone;
    ngx_connection_t *c;

    c = r->connection;

    n = recv(c->fd, &byte, 1, MSG_PEEK);
    gone = (n == 0 || (n == -1 && ngx_socket_errno != NGX_EAGAIN));

#if (NGX_HAVE_EPOLLRDHUP)
    /* behind the end of TLS, which is there to be read */

    gone |= c->read->pending_eof;
#endif

    if (gone) {
        c->read->eof = 1;
        c->error = 1;
        ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static void
ngx_http_aml_tunnel_refuse(ngx_http_aml_tunnel_t *t, aml_reason_t reason)
{
    ngx_http_request_t *r;
    ngx_http_aml_main_conf_t *amcf;

    r = t->ctx->request;
    t->ctx->tunnel = NULL;

    ngx_http_aml_tunnel_release(t);

    if (t->ctx->linked) {
        amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);
        ngx_http_aml_live_remove(amcf, t->ctx);
    }

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_finalize_request(r, ngx_http_aml_refuse_content(r, reason));
}


static void
ngx_http_aml_tunnel_connected(ngx_http_aml_tunnel_t *t)
{
    ngx_int_t rc;
    ngx_http_request_t *r;

    r = t->ctx->request;

    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    rc = ngx_http_aml_tunnel_accept(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    r->write_event_handler = ngx_http_aml_tunnel_flush;

    ngx_http_aml_tunnel_flush(r);
}


/* The 101. */
static ngx_int_t
ngx_http_aml_tunnel_accept(ngx_http_request_t *r)
{
    ngx_int_t rc;
    u_char digest[20];
    ngx_str_t accept, hash;
    ngx_sha1_t sha1;
    ngx_http_aml_handshake_t hs;

    static u_char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    ngx_http_aml_handshake(r, &hs);

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, hs.key.data, hs.key.len);
    ngx_sha1_update(&sha1, guid, sizeof(guid) - 1);
    ngx_sha1_final(digest, &sha1);

    hash.data = digest;
    hash.len = sizeof(digest);

    accept.data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(hash.len));
    if (accept.data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64(&accept, &hash);

    if (ngx_http_aml_add_header(r, "Upgrade", &ngx_http_aml_websocket) ==
            NULL ||
        ngx_http_aml_add_header(r, "Sec-WebSocket-Accept", &accept) == NULL) {
        return NGX_ERROR;
    }

    r->keepalive = 0;
    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    r->headers_out.content_length_n = -1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    return ngx_http_send_special(r, NGX_HTTP_FLUSH);
}


static void
ngx_http_aml_tunnel_flush(ngx_http_request_t *r)
{
    ngx_connection_t *c;
    ngx_http_aml_ctx_t *ctx;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    if ((c->buffered || r->out != NULL) &&
        ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (!c->buffered && r->out == NULL) {
        ngx_http_aml_tunnel_open(ctx->tunnel);
        return;
    }

    /* a client that does not even take the 101 */

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (!ctx->tunnel->timer.timer_set) {
        ngx_add_timer(&ctx->tunnel->timer, NGX_HTTP_AML_TUNNEL_CONNECT);
    }
}


static void
ngx_http_aml_tunnel_open(ngx_http_aml_tunnel_t *t)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    r = t->ctx->request;
    c = r->connection;

    c->log->action = "relaying a tunnel";

    if (ngx_tcp_nodelay(c) != NGX_OK ||
        (t->peer.sockaddr->sa_family != AF_UNIX &&
         ngx_tcp_nodelay(t->peer.connection) != NGX_OK)) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        ngx_ssl_free_buffer(c);
    }
#endif

    ngx_http_aml_tunnel_begin(t);
}


/* Before the 101 there is an answer to say it with, afterwards a frame. */
void
ngx_http_aml_tunnel_close(ngx_http_aml_ctx_t *ctx, aml_reason_t reason)
{
    ngx_connection_t *c;
    ngx_http_aml_tunnel_t *t;

    t = ctx->tunnel;
    c = ctx->request->connection;

    if (t->open) {
        ngx_http_aml_tunnel_end(t, AML_WS_POLICY,
                                aml_reason_info(reason)->code);

    } else if (ctx->request->header_sent) {
        ngx_http_finalize_request(ctx->request, NGX_HTTP_CLOSE);

    } else {
        ngx_http_aml_tunnel_refuse(t, reason);
    }

    ngx_http_run_posted_requests(c);
}
