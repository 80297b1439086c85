/*
 * The balancer: the upstream peer is the one that the request's decision
 * named.  Without a decision there is no peer.
 */

#include "ngx_http_aml_module.h"


static ngx_int_t
ngx_http_aml_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us);
static ngx_int_t
ngx_http_aml_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_aml_get_peer(ngx_peer_connection_t *pc, void *data);
static void
ngx_http_aml_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state);
#if (NGX_HTTP_SSL)
static ngx_int_t
ngx_http_aml_set_session(ngx_peer_connection_t *pc, void *data);
static void ngx_http_aml_save_session(ngx_peer_connection_t *pc, void *data);
#endif


char *
ngx_http_aml_route(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upstream_server_t *server;
    ngx_http_upstream_srv_conf_t *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (uscf->peer.init_upstream == ngx_http_aml_init_upstream) {
        return "is duplicate";
    }

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"aml_route\" must come before \"keepalive\" and "
                           "can't be used with another balancer");
        return NGX_CONF_ERROR;
    }

    uscf->peer.init_upstream = ngx_http_aml_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE;

    /* nginx refuses an upstream without servers; this one is never asked */

    server = ngx_array_push(uscf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));
    ngx_str_set(&server->name, "aml_route");
    server->down = 1;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_aml_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    us->peer.init = ngx_http_aml_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_upstream_t *u;
    ngx_http_aml_ctx_t *ctx;

    u = r->upstream;

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    if (ctx != NULL &&
        !(ctx->allowed && ctx->require == NGX_HTTP_AML_CREATOR)) {
        ctx = NULL;
    }

    u->peer.data = ctx;
    u->peer.get = ngx_http_aml_get_peer;
    u->peer.free = ngx_http_aml_free_peer;
    u->peer.tries = 1;

#if (NGX_HTTP_SSL)
    /* keepalive calls them whether or not there is TLS to the upstream */
    u->peer.set_session = ngx_http_aml_set_session;
    u->peer.save_session = ngx_http_aml_save_session;
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_aml_ctx_t *ctx = data;

    static ngx_str_t none = ngx_string("aml_route");

    if (ctx == NULL) {
        pc->name = &none;

        ngx_log_error(NGX_LOG_ERR, pc->log, 0,
                      "aml: a request without a decision came to "
                      "\"aml_route\": its location needs "
                      "\"aml_require creator\"");

        return NGX_BUSY;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "aml peer: %V generation %uL", &ctx->peer_name,
                   ctx->generation);

    pc->sockaddr = &ctx->peer.addr.sa;
    pc->socklen = ctx->peer.len;
    pc->name = &ctx->peer_name;
    pc->cached = 0;
    pc->connection = NULL;

    return NGX_OK;
}


static void
ngx_http_aml_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    pc->tries = 0;
}


#if (NGX_HTTP_SSL)

static ngx_int_t
ngx_http_aml_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
ngx_http_aml_save_session(ngx_peer_connection_t *pc, void *data)
{
}

#endif
