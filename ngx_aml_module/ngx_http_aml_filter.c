/*
 * Headers out: an application does not set the gateway's own cookies, nor does
 * it decide who may show it in a frame.
 */

#include "ngx_http_aml_module.h"

#include "auth/cookie.h"
#include "auth/csp.h"


static ngx_int_t ngx_http_aml_header_filter(ngx_http_request_t *r);
static void ngx_http_aml_filter(ngx_table_elt_t *h, ngx_uint_t embeddable);
static ngx_uint_t ngx_http_aml_own_cookie(ngx_str_t *value);
static ngx_uint_t ngx_http_aml_is_location(ngx_table_elt_t *h);
static ngx_int_t
ngx_http_aml_location(ngx_http_request_t *r, const aml_application_t *a,
                      ngx_str_t *value);
static ngx_uint_t
ngx_http_aml_own_host(ngx_http_request_t *r, const aml_application_t *a,
                      ngx_str_t *authority, ngx_uint_t secure);
static ngx_uint_t ngx_http_aml_is_document(ngx_http_request_t *r);
static ngx_int_t
ngx_http_aml_say_ancestors(ngx_http_request_t *r, const ngx_str_t *ancestors);


static ngx_http_output_header_filter_pt ngx_http_next_header_filter;

static const ngx_str_t ngx_http_aml_ancestors =
    ngx_string(NGX_HTTP_AML_ANCESTORS);


void
ngx_http_aml_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_aml_header_filter;
}


static ngx_int_t
ngx_http_aml_header_filter(ngx_http_request_t *r)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_srv_conf_t *ascf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    if (ctx == NULL || ctx->require != NGX_HTTP_AML_CREATOR || !ctx->allowed) {
        return ngx_http_next_header_filter(r);
    }

    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            ngx_http_aml_filter(&h[i], ascf->ancestors.len != 0);

            if (ctx->application != NULL && ctx->application->own_location &&
                ngx_http_aml_is_location(&h[i]) &&
                ngx_http_aml_location(r, ctx->application, &h[i].value) !=
                    NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    if (ngx_http_aml_is_document(r) &&
        ngx_http_aml_say_ancestors(
            r, ascf->ancestors.len != 0 ? &ascf->ancestors
                                        : &ngx_http_aml_ancestors) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* Browsers obey every policy there is: where others may embed, the
 * application's own word on it is taken away. */
static void
ngx_http_aml_filter(ngx_table_elt_t *h, ngx_uint_t embeddable)
{
    switch (h->key.len) {

    case sizeof("Set-Cookie") - 1:
        if (ngx_strncasecmp(h->key.data, (u_char *) "Set-Cookie",
                            sizeof("Set-Cookie") - 1) == 0 &&
            ngx_http_aml_own_cookie(&h->value)) {
            h->hash = 0;
        }
        break;

    case sizeof("X-Frame-Options") - 1:
        if (embeddable &&
            ngx_strncasecmp(h->key.data, (u_char *) "X-Frame-Options",
                            sizeof("X-Frame-Options") - 1) == 0) {
            h->hash = 0;
        }

        /* of as many letters; it takes cookies of all hosts of the domain */

        if (ngx_strncasecmp(h->key.data, (u_char *) "Clear-Site-Data",
                            sizeof("Clear-Site-Data") - 1) == 0) {
            h->hash = 0;
        }
        break;

    case sizeof("Content-Security-Policy") - 1:
        if (embeddable &&
            ngx_strncasecmp(h->key.data, (u_char *) "Content-Security-Policy",
                            sizeof("Content-Security-Policy") - 1) == 0) {
            h->value.len = aml_csp_without_ancestors(
                (char *) h->value.data,
                (aml_str_t){(char *) h->value.data, h->value.len});

            if (h->value.len == 0) {
                h->hash = 0;
            }
        }
        break;
    }
}


/* As browsers read it (RFC 6265 section 5.2): blanks before the name do not
 * count, and the value of a cookie without a name is sent as it is, as if it
 * had one.  Case counts, but nobody else needs a name like this. */
static ngx_uint_t
ngx_http_aml_own_cookie(ngx_str_t *value)
{
    u_char *p, *last;

    p = value->data;
    last = p + value->len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == '=')) {
        p++;
    }

    return (size_t) (last - p) >= sizeof(AML_COOKIE_SESSION) - 1 &&
           ngx_strncasecmp(p, (u_char *) AML_COOKIE_SESSION,
                           sizeof(AML_COOKIE_SESSION) - 1) == 0;
}


static ngx_uint_t
ngx_http_aml_is_location(ngx_table_elt_t *h)
{
    return h->hash != 0 && h->key.len == sizeof("Location") - 1 &&
           ngx_strncasecmp(h->key.data, (u_char *) "Location",
                           sizeof("Location") - 1) == 0;
}


/* A redirect to itself, as it calls itself, leads to where it is for people. */
static ngx_int_t
ngx_http_aml_location(ngx_http_request_t *r, const aml_application_t *a,
                      ngx_str_t *value)
{
    size_t n;
    u_char *p, *last;
    ngx_str_t authority, path, url;

    p = value->data;
    last = p + value->len;

    if (value->len > 7 && ngx_strncasecmp(p, (u_char *) "http://", 7) == 0) {
        n = 7;

    } else if (value->len > 8 &&
               ngx_strncasecmp(p, (u_char *) "https://", 8) == 0) {
        n = 8;

    } else {
        return NGX_OK;
    }

    authority.data = p + n;

    for (p += n; p < last && *p != '/' && *p != '?' && *p != '#'; p++) {
        /* void */
    }

    authority.len = p - authority.data;
    path.data = p;
    path.len = last - p;

    if (!ngx_http_aml_own_host(r, a, &authority, n == 8)) {
        return NGX_OK;
    }

    ngx_http_aml_url(r, &path, &url);

    if (url.data == NULL) {
        return NGX_ERROR;
    }

    *value = url;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_aml_own_host(ngx_http_request_t *r, const aml_application_t *a,
                      ngx_str_t *authority, ngx_uint_t secure)
{
    size_t len;
    ngx_uint_t i;
    ngx_str_t *host;

    static const ngx_str_t loopback[] = {
        ngx_string("localhost"),
        ngx_string("127.0.0.1"),
    };

    host = &r->headers_in.host->value;

    if (authority->len == host->len &&
        ngx_strncasecmp(authority->data, host->data, host->len) == 0) {
        return !secure;
    }

    for (i = 0; i < 2; i++) {
        len = loopback[i].len;

        if (authority->len < len ||
            ngx_strncasecmp(authority->data, loopback[i].data, len) != 0) {
            continue;
        }

        if (authority->len == len) {
            return 1;
        }

        return authority->data[len] == ':' &&
               ngx_atoi(authority->data + len + 1, authority->len - len - 1) ==
                   (ngx_int_t) a->port;
    }

    return 0;
}


/* Is it something that a frame would show and a person could press on?  Most
 * answers of an application are JSON. */
static ngx_uint_t
ngx_http_aml_is_document(ngx_http_request_t *r)
{
    ngx_str_t *type;

    type = &r->headers_out.content_type;

    return r->headers_out.status != NGX_HTTP_SWITCHING_PROTOCOLS &&
           !(type->len >= sizeof("application/json") - 1 &&
             ngx_strncasecmp(type->data, (u_char *) "application/json",
                             sizeof("application/json") - 1) == 0);
}


static ngx_int_t
ngx_http_aml_say_ancestors(ngx_http_request_t *r, const ngx_str_t *ancestors)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "Content-Security-Policy");
    h->lowcase_key = (u_char *) "content-security-policy";
    h->value = *ancestors;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}
