/*
 * Variables for logs: names are bounded and printable, none holds a secret.
 * And two for proxy_set_header, which nginx has no cheap ones for.
 */

#include "ngx_http_aml_module.h"


#define NGX_HTTP_AML_PLAIN_MAX 1024


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
ngx_http_aml_scope(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                   uintptr_t data);
static ngx_int_t
ngx_http_aml_audit(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                   uintptr_t data);
static ngx_int_t
ngx_http_aml_host_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                           uintptr_t data);
static ngx_int_t
ngx_http_aml_path_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                           uintptr_t data);
static ngx_int_t
ngx_http_aml_set_plain(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                       ngx_str_t *value);
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

    {ngx_string("aml_scope"), NULL, ngx_http_aml_scope, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_audit"), NULL, ngx_http_aml_audit, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_host"), NULL, ngx_http_aml_host_variable, 0,
     NGX_HTTP_VAR_NOCACHEABLE, 0},

    {ngx_string("aml_path"), NULL, ngx_http_aml_path_variable, 0,
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
ngx_http_aml_scope(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                   uintptr_t data)
{
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || ctx->action == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_aml_set(v, ctx->action->scope.p, ctx->action->scope.n);
}


/* Is it to be written into a log of what was refused, and of what was changed:
 * "1", or "0". */
static ngx_int_t
ngx_http_aml_audit(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                   uintptr_t data)
{
    size_t n;
    ngx_uint_t audit;
    aml_action_t *action;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    audit = 0;

    if (ctx != NULL && ctx->decided) {
        action = ctx->action;
        n = sizeof("/read") - 1;

        audit = !ctx->allowed ||
                (action != NULL &&
                 (action->action_len < n ||
                  ngx_memcmp(action->action + action->action_len - n, "/read",
                             n) != 0));
    }

    return ngx_http_aml_set(v, audit ? "1" : "0", 1);
}


static ngx_int_t
ngx_http_aml_host_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                           uintptr_t data)
{
    return ngx_http_aml_set_plain(r, v, &r->headers_in.server);
}


static ngx_int_t
ngx_http_aml_path_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                           uintptr_t data)
{
    ngx_str_t path;

    ngx_http_aml_path(r, &path);

    return ngx_http_aml_set_plain(r, v, &path);
}


/* nginx escapes for JSON what has a meaning there, but lets through what is
 * no UTF-8; so nothing but printable ASCII is left. */
static ngx_int_t
ngx_http_aml_set_plain(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                       ngx_str_t *value)
{
    u_char *p, *start;
    size_t i, n;

    n = ngx_min(value->len, NGX_HTTP_AML_PLAIN_MAX);

    start = ngx_pnalloc(r->pool, 3 * n + 1);
    if (start == NULL) {
        return NGX_ERROR;
    }

    for (i = 0, p = start; i < n; i++) {
        if (value->data[i] > ' ' && value->data[i] < 0x7f) {
            *p++ = value->data[i];

        } else {
            p = ngx_sprintf(p, "%%%02Xd", (u_int) value->data[i]);
        }
    }

    return ngx_http_aml_set(v, start, p - start);
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
