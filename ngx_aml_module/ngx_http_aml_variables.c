/*
 * Variables for logs: names are bounded and printable, none holds a secret.
 * And two for proxy_set_header, which nginx has no cheap ones for.
 */

#include "ngx_http_aml_module.h"


static ngx_int_t
ngx_http_aml_principal(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                       uintptr_t data);
static ngx_int_t
ngx_http_aml_instance(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                      uintptr_t data);
static ngx_int_t
ngx_http_aml_action_variable(ngx_http_request_t *r,
                             ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t
ngx_http_aml_decision(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                      uintptr_t data);
static ngx_int_t
ngx_http_aml_reason(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                    uintptr_t data);


static ngx_int_t
ngx_http_aml_upgrade(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                     uintptr_t data);
static ngx_int_t
ngx_http_aml_connection(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                        uintptr_t data);


static ngx_http_variable_t ngx_http_aml_variables[] = {

    {ngx_string("aml_principal"), NULL, ngx_http_aml_principal, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_instance"), NULL, ngx_http_aml_instance, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_action"), NULL, ngx_http_aml_action_variable, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_decision"), NULL, ngx_http_aml_decision, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_reason"), NULL, ngx_http_aml_reason, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_upgrade"), NULL, ngx_http_aml_upgrade, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_connection"), NULL, ngx_http_aml_connection, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_null_string, NULL, NULL, 0, 0, 0}};


ngx_int_t
ngx_http_aml_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t *var, *v;

    for (v = ngx_http_aml_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_set(ngx_http_variable_value_t *v, const void *data, size_t len)
{
    if (len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) data;
    v->len = len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_principal(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                       uintptr_t data)
{
    u_char *p;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || !ctx->identified) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, AML_UUID_TEXT + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    aml_uuid_format(&ctx->identity.principal, (char *) p);

    return ngx_http_aml_set(v, p, AML_UUID_TEXT);
}


static ngx_int_t
ngx_http_aml_instance(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                      uintptr_t data)
{
    u_char *p, *last;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || !ctx->instance) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, AML_INSTANCE_NAME_MAX + sizeof(":65535") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = ngx_sprintf(p, "%*s:%ui", ctx->host.name_len, ctx->host.name,
                       (ngx_uint_t) ctx->host.port);

    return ngx_http_aml_set(v, p, last - p);
}


static ngx_int_t
ngx_http_aml_action_variable(ngx_http_request_t *r,
                             ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || ctx->action == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_aml_set(v, ctx->action->action, ctx->action->action_len);
}


static ngx_int_t
ngx_http_aml_decision(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                      uintptr_t data)
{
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || !ctx->decided) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ctx->allowed ? ngx_http_aml_set(v, "allow", 5)
                        : ngx_http_aml_set(v, "refuse", 6);
}


static ngx_int_t
ngx_http_aml_reason(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                    uintptr_t data)
{
    const aml_reason_info_t *info;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || !ctx->decided) {
        v->not_found = 1;
        return NGX_OK;
    }

    info = aml_reason_info(ctx->reason);

    return ngx_http_aml_set(v, info->code.p, info->code.n);
}


/* What the client asks to upgrade to. */
static ngx_int_t
ngx_http_aml_upgrade(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                     uintptr_t data)
{
    if (r->headers_in.upgrade == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_aml_set(v, r->headers_in.upgrade->value.data,
                            r->headers_in.upgrade->value.len);
}


/* Connection for the upstream: hop by hop, so what $aml_upgrade needs. */
static ngx_int_t
ngx_http_aml_connection(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                        uintptr_t data)
{
    if (r->headers_in.upgrade == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_aml_set(v, "upgrade", 7);
}
