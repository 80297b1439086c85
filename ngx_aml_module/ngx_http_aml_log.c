/*
 * What nginx's error log says of a request: all that it says elsewhere, but
 * for the query and the referrer, in which codes and tokens travel.
 */

#include "ngx_http_aml_module.h"


static ngx_int_t ngx_http_aml_log_handler(ngx_http_request_t *r);
static u_char *
ngx_http_aml_log_error(ngx_http_request_t *r, ngx_http_request_t *sr,
                       u_char *buf, size_t len);


ngx_int_t
ngx_http_aml_log_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt *h;
    ngx_http_core_main_conf_t *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_aml_log_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_log_handler(ngx_http_request_t *r)
{
    ngx_http_aml_srv_conf_t *ascf;

    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    if (ascf->used) {
        r->log_handler = ngx_http_aml_log_error;
    }

    return NGX_DECLINED;
}


void
ngx_http_aml_path(ngx_http_request_t *r, ngx_str_t *path)
{
    u_char *p;

    *path = r->unparsed_uri;

    p = ngx_strlchr(path->data, path->data + path->len, '?');

    if (p != NULL) {
        path->len = p - path->data;
    }
}


/* As ngx_http_log_error_handler(), which is nginx's own. */
static u_char *
ngx_http_aml_log_error(ngx_http_request_t *r, ngx_http_request_t *sr,
                       u_char *buf, size_t len)
{
    u_char *p, *last;
    ngx_str_t path;
    ngx_http_upstream_t *u;
    ngx_http_core_srv_conf_t *cscf;

    p = buf;
    last = buf + len;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    ngx_http_aml_path(r, &path);

    p = ngx_slprintf(p, last, ", server: %V, request: \"%V %V %V\"",
                     &cscf->server_name, &r->method_name, &path,
                     &r->http_protocol);

    if (r != sr) {
        p = ngx_slprintf(p, last, ", subrequest: \"%V\"", &sr->uri);
    }

    u = sr->upstream;

    if (u && u->peer.name) {
        p = ngx_slprintf(p, last, ", upstream: \"%V%V\"", &u->schema,
                         u->peer.name);
    }

    if (r->headers_in.host) {
        p = ngx_slprintf(p, last, ", host: \"%V\"", &r->headers_in.host->value);
    }

    return p;
}
