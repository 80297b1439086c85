/*
 * A tunnel: a websocket of a client's on one side, the socket of a route on
 * the other.  ngx_http_aml_tunnel.c makes it, up to the 101;
 * ngx_http_aml_tunnel_relay.c is what it does from then on.
 */

#ifndef NGX_HTTP_AML_TUNNEL_H
#define NGX_HTTP_AML_TUNNEL_H

#include "ngx_http_aml_module.h"

#include "upstreams/ws_decode.h"


/* One direction.  The memory is there only while something is in it. */
typedef struct {
    u_char *start;
    u_char *pos; /* pos to last: still to be sent on */
    u_char *last;
} ngx_http_aml_tunnel_buf_t;


struct ngx_http_aml_tunnel_s {
    ngx_http_aml_ctx_t *ctx;
    ngx_peer_connection_t peer;
    ngx_event_t timer; /* connect; open: the next ping; ends: patience */
    ngx_msec_t ping;

    ngx_http_aml_tunnel_buf_t in;  /* to the application: bytes */
    ngx_http_aml_tunnel_buf_t out; /* to the client: one frame */
    aml_ws_decoder_t decoder;
    uint32_t frames_out;
    uint32_t counted_in; /* see ngx_http_aml_websocket_count() */
    uint32_t counted_out;

    /* Control frames go between the others. */
    u_char control[AML_WS_CLOSE_MAX];
    uint8_t control_len;
    uint8_t control_sent;
    uint8_t pong_len; /* `pong` is what the last ping had */
    u_char pong[AML_WS_CONTROL_MAX];
    uint16_t code; /* the Close frame's */
    aml_str_t reason;

    unsigned open : 1;     /* the 101 has been sent */
    unsigned pong_due : 1; /* to be sent */
    unsigned ping_due : 1;
    unsigned silent : 2;    /* pings that nothing was heard upon */
    unsigned in_ended : 1;  /* nothing more comes from the client */
    unsigned in_lost : 1;   /* the application takes no more */
    unsigned in_shut : 1;   /* it has been told that nothing more comes */
    unsigned out_lost : 1;  /* the client is gone */
    unsigned closing : 1;   /* nothing goes on but what is in `out`, and then
                               the Close frame by `code` */
    unsigned hurried : 1;   /* for so long and no longer */
    unsigned close_put : 1; /* the Close frame is in `control` */
};


/* ngx_http_aml_tunnel.c */

/* That of an event of the connection to the application; what is logged from
 * here on is said of its request. */
ngx_http_aml_tunnel_t *ngx_http_aml_tunnel_of(ngx_event_t *ev);
/* Lets go of the application, and of what the tunnel holds. */
void ngx_http_aml_tunnel_release(ngx_http_aml_tunnel_t *t);

/* ngx_http_aml_tunnel_relay.c */

/* From the 101 on.  May free the request; to be followed by
 * ngx_http_run_posted_requests(), as everything here that ends it. */
void ngx_http_aml_tunnel_begin(ngx_http_aml_tunnel_t *t);
/* Ends it with a Close frame; by AML_WS_POLICY soon, by others when what is
 * under way has been sent.  May free the request. */
void ngx_http_aml_tunnel_end(ngx_http_aml_tunnel_t *t, ngx_uint_t code,
                             aml_str_t reason);
/* What it holds of the worker. */
void ngx_http_aml_tunnel_free(ngx_http_aml_tunnel_t *t);

#endif /* NGX_HTTP_AML_TUNNEL_H */
