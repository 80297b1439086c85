/*
 * Headers out: an application does not set the gateway's own cookies.
 */

#include "ngx_http_aml_module.h"

#include "auth/cookie.h"


static ngx_int_t ngx_http_aml_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_aml_own_cookie(ngx_str_t *value);


static ngx_http_output_header_filter_pt ngx_http_next_header_filter;


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

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    if (ctx == NULL || ctx->require != NGX_HTTP_AML_CREATOR || !ctx->allowed) {
        return ngx_http_next_header_filter(r);
    }

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == sizeof("Set-Cookie") - 1 &&
                ngx_strncasecmp(h[i].key.data, (u_char *) "Set-Cookie",
                                sizeof("Set-Cookie") - 1) == 0 &&
                ngx_http_aml_own_cookie(&h[i].value)) {
                h[i].hash = 0;
            }
        }
    }

    return ngx_http_next_header_filter(r);
}


/* As browsers read it (RFC 6265 section 5.2): blanks before the name do not
 * count.  Case does, but nobody else needs a name like this. */
static ngx_uint_t
ngx_http_aml_own_cookie(ngx_str_t *value)
{
    u_char *p, *last;

    p = value->data;
    last = p + value->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return (size_t) (last - p) >= sizeof(AML_COOKIE_SESSION) - 1 &&
           ngx_strncasecmp(p, (u_char *) AML_COOKIE_SESSION,
                           sizeof(AML_COOKIE_SESSION) - 1) == 0;
}
