/*
 * Refusals that explain themselves: a page for a person, JSON for a program,
 * the way to sign in for a person who is not signed in.
 */

#include "ngx_http_aml_module.h"

#include <openssl/evp.h>

#include "auth/origin.h"


#define NGX_HTTP_AML_UPGRADE_REQUIRED 426

#define NGX_HTTP_AML_STYLE                                                     \
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;min-height:100vh;"       \
    "display:grid;place-items:center;background:#f4f5f7;color:#1c2330}"        \
    "main{max-width:34rem;margin:1rem;padding:2rem 2.25rem;background:#fff;"   \
    "border-radius:12px;box-shadow:0 1px 3px #0002,0 8px 24px #0001}"          \
    "h1{font-size:1.4rem;margin:0 0 .75rem}p{margin:0 0 1rem}"                 \
    "a{color:#0b5cad}small{color:#5b6472}"                                     \
    "@media(prefers-color-scheme:dark){body{background:#12151b;"               \
    "color:#e6e9ee}main{background:#1b2029}a{color:#7db7f5}"                   \
    "small{color:#98a2b3}}"

#define NGX_HTTP_AML_TO_MAX 2048 /* AMLD_TO_MAX */

static ngx_int_t
ngx_http_aml_send_refusal(ngx_http_request_t *r, aml_reason_t reason);
static ngx_uint_t ngx_http_aml_nobody_listens(ngx_http_request_t *r);
static ngx_uint_t ngx_http_aml_is_page(ngx_http_request_t *r, aml_origin_t *o);
static ngx_uint_t
ngx_http_aml_by_signing_in(ngx_http_request_t *r, aml_reason_t reason);
static ngx_int_t ngx_http_aml_sign_in(ngx_http_request_t *r);
static ngx_uint_t ngx_http_aml_on_demand(aml_reason_t reason);
static ngx_int_t ngx_http_aml_lead(ngx_http_request_t *r, ngx_str_t *path);
static ngx_buf_t *
ngx_http_aml_page(ngx_http_request_t *r, const aml_reason_info_t *info,
                  ngx_str_t *id, ngx_uint_t again);
static ngx_buf_t *
ngx_http_aml_json(ngx_http_request_t *r, const aml_reason_info_t *info,
                  ngx_str_t *id);
static ngx_int_t
ngx_http_aml_refuse_headers(ngx_http_request_t *r, aml_reason_t reason,
                            const aml_reason_info_t *info, ngx_str_t *id,
                            ngx_uint_t page);
static ngx_int_t ngx_http_aml_retry_after(ngx_http_request_t *r);


static ngx_str_t ngx_http_aml_no_store = ngx_string("no-store");
static ngx_str_t ngx_http_aml_no_referrer = ngx_string("no-referrer");
static ngx_str_t ngx_http_aml_nosniff = ngx_string("nosniff");
static ngx_str_t ngx_http_aml_again = ngx_string("2");
static ngx_str_t ngx_http_aml_websocket = ngx_string("websocket");
static ngx_str_t ngx_http_aml_version = ngx_string("13");
static ngx_str_t ngx_http_aml_start = ngx_string("/.aml/start?to=");
static ngx_str_t ngx_http_aml_invalid_token =
    ngx_string("Bearer error=\"invalid_token\"");
static ngx_str_t ngx_http_aml_bearer_challenge = ngx_string("Bearer");


/* The page's style is allowed by its hash, not by 'unsafe-inline'. */
ngx_int_t
ngx_http_aml_refuse_init(ngx_conf_t *cf, ngx_http_aml_main_conf_t *amcf)
{
    u_char *p, digest[EVP_MAX_MD_SIZE];
    unsigned n;
    ngx_str_t hash, encoded;

    static const char style[] = NGX_HTTP_AML_STYLE;
    static ngx_str_t name = ngx_string("request_id");

    amcf->request_id = ngx_http_get_variable_index(cf, &name);

    if (amcf->request_id == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (EVP_Digest(style, sizeof(style) - 1, digest, &n, EVP_sha256(), NULL) !=
        1) {
        return NGX_ERROR;
    }

    hash.data = digest;
    hash.len = n;

    encoded.data = ngx_pnalloc(cf->pool, ngx_base64_encoded_length(n));
    if (encoded.data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64(&encoded, &hash);

    p = ngx_pnalloc(cf->pool, 160 + encoded.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    amcf->page_csp.data = p;
    amcf->page_csp.len =
        ngx_sprintf(p,
                    "default-src 'none'; style-src 'sha256-%V'; "
                    "base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'",
                    &encoded) -
        p;

    return NGX_OK;
}


ngx_int_t
ngx_http_aml_refuse_handler(ngx_http_request_t *r)
{
    aml_reason_t reason;
    ngx_http_aml_loc_conf_t *alcf;

    /* for the variables */

    if (ngx_http_aml_make_ctx(r) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_aml_module);

    reason = alcf->refuse;

    if (reason == AML_REASON_APPLICATION_UNREACHABLE &&
        ngx_http_aml_nobody_listens(r)) {
        reason = ngx_http_aml_get_ctx(r)->silent;
    }

    return ngx_http_aml_refuse_content(r, reason);
}


/* On a port of the user's own, where that says more than that something of
 * ours does not answer. */
static ngx_uint_t
ngx_http_aml_nobody_listens(ngx_http_request_t *r)
{
    ngx_http_aml_ctx_t *ctx;
    ngx_http_upstream_state_t *state;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL || ctx->peer.len == 0 || ctx->application != NULL ||
        r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        return 0;
    }

    state = r->upstream_states->elts;
    state += r->upstream_states->nelts - 1;

    return state->connect_time == (ngx_msec_t) -1;
}


ngx_int_t
ngx_http_aml_refuse_content(ngx_http_request_t *r, aml_reason_t reason)
{
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

    (void) ngx_atomic_fetch_add(&amcf->counters->decisions[reason], 1);

    return ngx_http_aml_send_refusal(r, reason);
}


ngx_int_t
ngx_http_aml_refuse(ngx_http_request_t *r, aml_reason_t reason)
{
    /* a subrequest has no answer of its own, only a status */

    if (r != r->main) {
        return aml_reason_info(reason)->status;
    }

    ngx_http_finalize_request(r, ngx_http_aml_send_refusal(r, reason));

    return NGX_DONE;
}


static ngx_int_t
ngx_http_aml_send_refusal(ngx_http_request_t *r, aml_reason_t reason)
{
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_str_t id;
    ngx_uint_t page, level;
    ngx_chain_t out;
    aml_origin_t o;
    ngx_http_aml_ctx_t *ctx;
    const aml_reason_info_t *info;

    info = aml_reason_info(reason);
    ctx = ngx_http_aml_get_ctx(r);

    if (ctx != NULL) {
        ctx->decided = 1;
        ctx->allowed = 0;
        ctx->reason = reason;
    }

    ngx_http_aml_request_id(r, &id);

    level = NGX_LOG_INFO;

    if (info->status >= 500 && reason != AML_REASON_INSTANCE_STARTING &&
        !ngx_http_aml_on_demand(reason)) {
        level = NGX_LOG_WARN;
    }

    ngx_log_error(level, r->connection->log, 0,
                  "aml: refused: %s, request id %V", info->code.p, &id);

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    page = ngx_http_aml_is_page(r, &o);

    if (page && ngx_http_aml_by_signing_in(r, reason)) {
        rc = ngx_http_aml_sign_in(r);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (page && ngx_http_aml_on_demand(reason)) {
        return ngx_http_aml_lead(r, &ngx_http_aml_start);
    }

    b = page ? ngx_http_aml_page(r, info, &id,
                                 reason == AML_REASON_INSTANCE_STARTING)
             : ngx_http_aml_json(r, info, &id);

    if (b == NULL ||
        ngx_http_aml_refuse_headers(r, reason, info, &id, page) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.content_length_n = b->last - b->pos;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_uint_t
ngx_http_aml_is_page(ngx_http_request_t *r, aml_origin_t *o)
{
    ngx_memzero(o, sizeof(aml_origin_t));

    o->method.p = (const char *) r->method_name.data;
    o->method.n = r->method_name.len;
    o->websocket = (r->headers_in.upgrade != NULL);
    o->fetch_mode = ngx_http_aml_header(r, "sec-fetch-mode", 14);
    o->fetch_dest = ngx_http_aml_header(r, "sec-fetch-dest", 14);

    return aml_origin_is_page(o, ngx_http_aml_header(r, "accept", 6),
                              ngx_http_aml_header(r, "x-requested-with", 16));
}


/* Signing in mends it: the credential was a cookie, or there was none. */
static ngx_uint_t
ngx_http_aml_by_signing_in(ngx_http_request_t *r, aml_reason_t reason)
{
    switch (reason) {

    case AML_REASON_SIGN_IN_REQUIRED:
    case AML_REASON_SESSION_UNKNOWN:
    case AML_REASON_SESSION_EXPIRED:
    case AML_REASON_SESSION_HOST:
    case AML_REASON_SESSION_MALFORMED:
        return 1;

    case AML_REASON_PRINCIPAL_REVOKED:
        return r->headers_in.authorization == NULL;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_http_aml_sign_in(ngx_http_request_t *r)
{
    ngx_str_t path;
    aml_host_t host;
    ngx_http_aml_srv_conf_t *ascf;

    /* it would not come back there */
    if (r->unparsed_uri.len > NGX_HTTP_AML_TO_MAX) {
        return NGX_DECLINED;
    }

    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    if (ascf->studio_host.len != 0 &&
        ascf->studio_host.len == r->headers_in.server.len &&
        ngx_strncmp(ascf->studio_host.data, r->headers_in.server.data,
                    ascf->studio_host.len) == 0) {
        ngx_str_set(&path, "/auth/sign-in?to=");

    } else if (ascf->apps.len != 0 &&
               aml_host_parse(
                   (aml_str_t){(const char *) r->headers_in.server.data,
                               r->headers_in.server.len},
                   (aml_str_t){(const char *) ascf->apps.data, ascf->apps.len},
                   &host) == 0) {
        ngx_str_set(&path, "/.aml/sign-in?to=");

    } else {
        return NGX_DECLINED;
    }

    return ngx_http_aml_lead(r, &path);
}


/* Its creator is led to a page that starts it, or says how that goes. */
static ngx_uint_t
ngx_http_aml_on_demand(aml_reason_t reason)
{
    switch (reason) {

    case AML_REASON_APPLICATION_NOT_STARTED:
    case AML_REASON_APPLICATION_STARTING:
    case AML_REASON_APPLICATION_FAILED:
    case AML_REASON_SERVICE_STARTING:
    case AML_REASON_SERVICE_STOPPED:
    case AML_REASON_SERVICE_FAILED:
        return 1;

    default:
        return 0;
    }
}


/* To a page of amld's that comes back to the address that was asked for. */
static ngx_int_t
ngx_http_aml_lead(ngx_http_request_t *r, ngx_str_t *path)
{
    u_char *p;
    size_t len;
    ngx_str_t value;
    ngx_table_elt_t *location;

    len = path->len + r->unparsed_uri.len +
          2 * ngx_escape_uri(NULL, r->unparsed_uri.data, r->unparsed_uri.len,
                             NGX_ESCAPE_URI_COMPONENT);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    p = ngx_cpymem(p, path->data, path->len);
    p = (u_char *) ngx_escape_uri(p, r->unparsed_uri.data, r->unparsed_uri.len,
                                  NGX_ESCAPE_URI_COMPONENT);
    value.len = p - value.data;

    /* a path alone stays on the origin that was asked, port included */

    location = ngx_http_aml_add_header(r, "Location", &value);

    if (location == NULL ||
        ngx_http_aml_add_header(r, "Cache-Control", &ngx_http_aml_no_store) ==
            NULL ||
        ngx_http_aml_add_header(r, "Referrer-Policy",
                                &ngx_http_aml_no_referrer) == NULL) {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_MOVED_TEMPORARILY;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_http_aml_refuse_headers(ngx_http_request_t *r, aml_reason_t reason,
                            const aml_reason_info_t *info, ngx_str_t *id,
                            ngx_uint_t page)
{
    ngx_str_t code;
    ngx_http_aml_main_conf_t *amcf;

    code.data = (u_char *) info->code.p;
    code.len = info->code.n;

    r->headers_out.status = info->status;
    ngx_str_null(&r->headers_out.status_line);

    if (page) {
        ngx_str_set(&r->headers_out.content_type, "text/html; charset=utf-8");
    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_aml_add_header(r, "X-AML-Reason", &code) == NULL ||
        ngx_http_aml_add_header(r, "X-AML-Request-Id", id) == NULL ||
        ngx_http_aml_add_header(r, "Cache-Control", &ngx_http_aml_no_store) ==
            NULL ||
        ngx_http_aml_add_header(r, "Referrer-Policy",
                                &ngx_http_aml_no_referrer) == NULL ||
        ngx_http_aml_add_header(r, "X-Content-Type-Options",
                                &ngx_http_aml_nosniff) == NULL) {
        return NGX_ERROR;
    }

    if (page) {
        amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

        if (ngx_http_aml_add_header(r, "Content-Security-Policy",
                                    &amcf->page_csp) == NULL) {
            return NGX_ERROR;
        }
    }

    if ((reason == AML_REASON_INSTANCE_STARTING ||
         reason == AML_REASON_APPLICATION_NOT_STARTED ||
         reason == AML_REASON_APPLICATION_STARTING ||
         reason == AML_REASON_SERVICE_STARTING) &&
        ngx_http_aml_add_header(r, "Retry-After", &ngx_http_aml_again) ==
            NULL) {
        return NGX_ERROR;
    }

    if (reason == AML_REASON_RATE_LIMITED &&
        ngx_http_aml_retry_after(r) != NGX_OK) {
        return NGX_ERROR;
    }

    /* RFC 9110 section 15.5.22, RFC 6455 section 4.4; HTTP/2 has no Upgrade,
     * and its clients drop an answer that has one */

    if (info->status == NGX_HTTP_AML_UPGRADE_REQUIRED &&
        (ngx_http_aml_add_header(r, "Sec-WebSocket-Version",
                                 &ngx_http_aml_version) == NULL ||
         (r->http_version <= NGX_HTTP_VERSION_11 &&
          ngx_http_aml_add_header(r, "Upgrade", &ngx_http_aml_websocket) ==
              NULL))) {
        return NGX_ERROR;
    }

    /* RFC 6750 section 3: an error only where a token was sent */

    if (info->status == NGX_HTTP_UNAUTHORIZED &&
        ngx_http_aml_add_header(r, "WWW-Authenticate",
                                r->headers_in.authorization != NULL
                                    ? &ngx_http_aml_invalid_token
                                    : &ngx_http_aml_bearer_challenge) == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_retry_after(ngx_http_request_t *r)
{
    u_char *p;
    ngx_str_t value;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len =
        ngx_sprintf(p, "%ui", ctx != NULL ? ngx_max(ctx->retry_after, 1) : 1) -
        p;

    return ngx_http_aml_add_header(r, "Retry-After", &value) != NULL
               ? NGX_OK
               : NGX_ERROR;
}


static ngx_buf_t *
ngx_http_aml_page(ngx_http_request_t *r, const aml_reason_info_t *info,
                  ngx_str_t *id, ngx_uint_t again)
{
    ngx_buf_t *b;
    ngx_http_aml_srv_conf_t *ascf;

    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    b = ngx_create_temp_buf(r->pool, 1024 + sizeof(NGX_HTTP_AML_STYLE) +
                                         2 * info->title.n + info->text.n +
                                         info->next.n + info->code.n + id->len +
                                         ascf->studio.len);
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_slprintf(
        b->last, b->end,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width\">"
        "%s<title>%s</title><style>" NGX_HTTP_AML_STYLE "</style></head>\n"
        "<body><main><h1>%s</h1>\n<p>%s</p>\n<p>%s</p>\n",
        again ? "<meta http-equiv=\"refresh\" content=\"2\">" : "",
        info->title.p, info->title.p, info->text.p, info->next.p);

    if (ascf->studio.len != 0) {
        b->last = ngx_slprintf(b->last, b->end,
                               "<p><a href=\"%V/\">Open the studio</a></p>\n",
                               &ascf->studio);
    }

    b->last = ngx_slprintf(b->last, b->end,
                           "<small>Reason: <code>%s</code><br>"
                           "Request: <code>%V</code></small>\n"
                           "</main></body></html>\n",
                           info->code.p, id);

    return b;
}


static ngx_buf_t *
ngx_http_aml_json(ngx_http_request_t *r, const aml_reason_info_t *info,
                  ngx_str_t *id)
{
    ngx_buf_t *b;

    b = ngx_create_temp_buf(r->pool, 256 + info->text.n + info->next.n +
                                         info->code.n + id->len);
    if (b == NULL) {
        return NULL;
    }

    /* the texts are ours and have nothing to escape; a test sees to it */

    b->last = ngx_slprintf(b->last, b->end,
                           "{\"error\":{\"code\":\"%s\",\"message\":\"%s%s%s\","
                           "\"target\":null,\"details\":[],"
                           "\"additionalInfo\":[],\"requestId\":\"%V\"}}\n",
                           info->code.p, info->text.p, info->next.n ? " " : "",
                           info->next.p, id);

    return b;
}


void
ngx_http_aml_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_http_variable_value_t *v;
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

    /* by index, so that the log's $request_id is the same */

    v = ngx_http_get_indexed_variable(r, amcf->request_id);

    if (v == NULL || v->not_found) {
        ngx_str_set(id, "-");
        return;
    }

    id->data = v->data;
    id->len = v->len;
}
