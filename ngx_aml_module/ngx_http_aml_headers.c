/*
 * Headers in: what a client may not say is taken out, what the gateway says is
 * put in.  The list is made anew: elements of nginx's list can't be removed,
 * and headers_in points at some of them.
 */

#include "ngx_http_aml_module.h"

#include "auth/cookie.h"


typedef struct {
    ngx_http_request_t *request;
    ngx_uint_t browser; /* keep the cookie that amld binds sign-ins to */
} ngx_http_aml_strip_t;


static ngx_uint_t ngx_http_aml_forged(ngx_table_elt_t *h);
static ngx_int_t ngx_http_aml_strip_cookie(ngx_table_elt_t *h, void *data);
static void ngx_http_aml_strip_authorization(ngx_http_request_t *r);
static ngx_int_t
ngx_http_aml_say(ngx_http_request_t *r, ngx_list_t *list,
                 ngx_http_aml_said_e which, const void *value, size_t len);
static ngx_int_t
ngx_http_aml_identity(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      ngx_list_t *list);
static ngx_int_t
ngx_http_aml_say_url(ngx_http_request_t *r, ngx_list_t *list, const char *name);


typedef struct {
    ngx_str_t key;
    const char *lowcase;
} ngx_http_aml_said_t;


/* in the order of ngx_http_aml_said_e */
static const ngx_http_aml_said_t ngx_http_aml_said[] = {
    {ngx_string("X-Forwarded-For"), "x-forwarded-for"},
    {ngx_string("X-Forwarded-Proto"), "x-forwarded-proto"},
    {ngx_string("X-Forwarded-Host"), "x-forwarded-host"},
    {ngx_string("X-AML-Request-Id"), "x-aml-request-id"},
    {ngx_string("X-AML-Principal"), "x-aml-principal"},
    {ngx_string("X-AML-Name"), "x-aml-name"},
    {ngx_string("X-AML-Credential"), "x-aml-credential"},
    {ngx_string("X-AML-Session"), "x-aml-session"},
    {ngx_string("X-AML-Sign-In"), "x-aml-sign-in"},
    {ngx_string("X-AML-Groups"), "x-aml-groups"},
    {ngx_string("X-AML-Action"), "x-aml-action"},
};


/* in the order of aml_credential_t */
static const ngx_str_t ngx_http_aml_credentials[] = {
    ngx_null_string,
    ngx_string("session"),
    ngx_string("token"),
    ngx_string("personal-token"),
};


void
ngx_http_aml_headers_init(ngx_http_aml_main_conf_t *amcf)
{
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_AML_SAID; i++) {
        amcf->said_hash[i] =
            ngx_hash_key((u_char *) ngx_http_aml_said[i].lowcase,
                         ngx_http_aml_said[i].key.len);
    }
}


ngx_int_t
ngx_http_aml_headers(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                     ngx_uint_t require)
{
    ngx_uint_t i, n;
    ngx_list_t list;
    ngx_list_part_t *part;
    ngx_table_elt_t *h, *to;
    ngx_http_aml_strip_t strip;

    if (ctx->hygiene) {
        return NGX_OK;
    }

    ctx->hygiene = 1;

    /* in place first, so that $http_cookie and its like see the same */

    strip.request = r;
    strip.browser = (require == NGX_HTTP_AML_OPTIONAL);

    if (ngx_http_aml_cookies(r, ngx_http_aml_strip_cookie, &strip) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->identified && ctx->identity.credential != AML_CREDENTIAL_SESSION) {
        ngx_http_aml_strip_authorization(r);
    }

#if (NGX_HTTP_X_FORWARDED_FOR)
#if (nginx_version >= 1023000)
    r->headers_in.x_forwarded_for = NULL;
#else
    r->headers_in.x_forwarded_for.nelts = 0;
#endif
#endif

    n = NGX_HTTP_AML_SAID + 1; /* and one of an application's own */

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        n += part->nelts;
    }

    if (ngx_list_init(&list, r->pool, n, sizeof(ngx_table_elt_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].value.data == NULL || ngx_http_aml_forged(&h[i])) {
                continue;
            }

            to = ngx_list_push(&list);
            if (to == NULL) {
                return NGX_ERROR;
            }

            *to = h[i];
        }
    }

    if (ngx_http_aml_identity(r, ctx, &list) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->application != NULL && ctx->application->url_header != NULL &&
        ngx_http_aml_say_url(r, &list, ctx->application->url_header) !=
            NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_in.headers = list;

    if (list.last == &list.part) {
        r->headers_in.headers.last = &r->headers_in.headers.part;
    }

    return NGX_OK;
}


/*
 * Identity and forwarding headers.  '_' counts as '-': with
 * underscores_in_headers on, many an application takes one for the other.
 */
static ngx_uint_t
ngx_http_aml_forged(ngx_table_elt_t *h)
{
    size_t i, len;
    u_char c, *key, name[sizeof("x-forwarded-") - 1];

    key = h->key.data;
    len = h->key.len;

    if (len < sizeof("x-aml-") - 1) {
        return 0;
    }

    c = ngx_tolower(key[0]);

    if (c != 'x' && c != 'f') {
        return 0;
    }

    if (c == 'f') {
        return len == sizeof("forwarded") - 1 &&
               ngx_strncasecmp(key, (u_char *) "forwarded", len) == 0;
    }

    for (i = 0; i < sizeof(name) && i < len; i++) {
        c = ngx_tolower(key[i]);
        name[i] = (c == '_') ? '-' : c;
    }

#define starts(text)                                                           \
    (i >= sizeof(text) - 1 && ngx_memcmp(name, text, sizeof(text) - 1) == 0)

    return starts("x-aml-") || starts("x-forwarded-") || starts("x-rstudio-") ||
           starts("x-original-") ||
           (len == sizeof("x-real-ip") - 1 && starts("x-real-ip")) ||
           (len == sizeof("x-scheme") - 1 && starts("x-scheme"));

#undef starts
}


/*
 * The gateway's own cookies go; amld, behind an optional location, needs those
 * that bind a sign-in to the browser.
 */
static ngx_int_t
ngx_http_aml_strip_cookie(ngx_table_elt_t *h, void *data)
{
    static const aml_str_t kept[] = {
        {AML_COOKIE_BROWSER, sizeof(AML_COOKIE_BROWSER) - 1},
        {AML_COOKIE_LEFT, sizeof(AML_COOKIE_LEFT) - 1},
    };
    ngx_http_aml_strip_t *strip = data;

    u_char *p;
    size_t len, i;
    aml_str_t header, value;

    header = (aml_str_t){(const char *) h->value.data, h->value.len};

    if (memmem(header.p, header.n, AML_COOKIE_SESSION,
               sizeof(AML_COOKIE_SESSION) - 1) == NULL) {
        return NGX_OK;
    }

    p = ngx_pnalloc(strip->request->pool, header.n + 2 * sizeof("; "));
    if (p == NULL) {
        return NGX_ERROR;
    }

    len = aml_cookie_strip((char *) p, header);

    for (i = 0; strip->browser && i < 2; i++) {
        if (aml_cookie_find(header, kept[i], &value) == 1) {
            len = ngx_sprintf(p + len, "%s%*s=%*s", len ? "; " : "", kept[i].n,
                              kept[i].p, value.n, value.p) -
                  p;
        }
    }

    h->value.data = (len == 0) ? NULL : p;
    h->value.len = len;

    return NGX_OK;
}


static void
ngx_http_aml_strip_authorization(ngx_http_request_t *r)
{
    ngx_table_elt_t *h;

    h = r->headers_in.authorization;

    while (h != NULL) {
        ngx_str_null(&h->value);
#if (nginx_version >= 1023000)
        h = h->next;
#else
        break;
#endif
    }

    r->headers_in.authorization = NULL;
}


static ngx_int_t
ngx_http_aml_identity(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      ngx_list_t *list)
{
    u_char *p;
    ngx_str_t id, *addr;
    const ngx_str_t *credential;

    addr = &r->connection->addr_text;

    if (ngx_http_aml_say(r, list, NGX_HTTP_AML_FORWARDED_FOR, addr->data,
                         addr->len) != NGX_OK ||
        ngx_http_aml_say(r, list, NGX_HTTP_AML_FORWARDED_PROTO, "https", 5) !=
            NGX_OK) {
        return NGX_ERROR;
    }

    if (r->headers_in.host != NULL &&
        ngx_http_aml_say(r, list, NGX_HTTP_AML_FORWARDED_HOST,
                         r->headers_in.host->value.data,
                         r->headers_in.host->value.len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->require != NGX_HTTP_AML_CREATOR) {
        ngx_http_aml_request_id(r, &id);

        if (ngx_http_aml_say(r, list, NGX_HTTP_AML_REQUEST_ID, id.data,
                             id.len) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!ctx->identified) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, AML_UUID_TEXT + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    aml_uuid_format(&ctx->identity.principal, (char *) p);

    if (ngx_http_aml_say(r, list, NGX_HTTP_AML_PRINCIPAL, p, AML_UUID_TEXT) !=
            NGX_OK ||
        ngx_http_aml_say(r, list, NGX_HTTP_AML_NAME, ctx->identity.name,
                         ctx->identity.name_len) != NGX_OK) {
        return NGX_ERROR;
    }

    /* what only amld needs */

    if (ctx->require == NGX_HTTP_AML_CREATOR) {
        return NGX_OK;
    }

    credential = &ngx_http_aml_credentials[ctx->identity.credential];

    if (ngx_http_aml_say(r, list, NGX_HTTP_AML_CREDENTIAL, credential->data,
                         credential->len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->identity.credential != AML_CREDENTIAL_TOKEN) {
        p = ngx_pnalloc(r->pool, 2 * sizeof(ctx->identity.session));
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_hex_dump(p, ctx->identity.session, sizeof(ctx->identity.session));

        if (ngx_http_aml_say(r, list, NGX_HTTP_AML_SESSION, p,
                             2 * sizeof(ctx->identity.session)) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ctx->identity.in_sign_in) {
        p = ngx_pnalloc(r->pool, AML_UUID_TEXT + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        aml_uuid_format(&ctx->identity.sign_in, (char *) p);

        if (ngx_http_aml_say(r, list, NGX_HTTP_AML_SIGN_IN, p, AML_UUID_TEXT) !=
            NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* which they are is not told: a token has up to hundreds */

    if (ctx->identity.groups_unknown &&
        ngx_http_aml_say(r, list, NGX_HTTP_AML_GROUPS, "unknown", 7) !=
            NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->action != NULL &&
        ngx_http_aml_say(r, list, NGX_HTTP_AML_ACTION_NAME, ctx->action->action,
                         ctx->action->action_len) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* `value` has to live as long as the request. */
static ngx_int_t
ngx_http_aml_say(ngx_http_request_t *r, ngx_list_t *list,
                 ngx_http_aml_said_e which, const void *value, size_t len)
{
    ngx_table_elt_t *h;
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

    h = ngx_list_push(list);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->key = ngx_http_aml_said[which].key;
    h->lowcase_key = (u_char *) ngx_http_aml_said[which].lowcase;
    h->hash = amcf->said_hash[which];
    h->value.data = (u_char *) value;
    h->value.len = len;

    return NGX_OK;
}


/* A header of one application's; `name` as its descriptor has it. */
static ngx_int_t
ngx_http_aml_say_url(ngx_http_request_t *r, ngx_list_t *list, const char *name)
{
    size_t len;
    u_char *lowcase;
    ngx_str_t url;
    ngx_table_elt_t *h;

    len = ngx_strlen(name);

    lowcase = ngx_pnalloc(r->pool, len);
    if (lowcase == NULL) {
        return NGX_ERROR;
    }

    ngx_http_aml_url(r, &r->unparsed_uri, &url);
    if (url.data == NULL) {
        return NGX_ERROR;
    }

    h = ngx_list_push(list);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->key.data = (u_char *) name;
    h->key.len = len;
    h->hash = ngx_hash_strlow(lowcase, h->key.data, len);
    h->lowcase_key = lowcase;
    h->value = url;

    return NGX_OK;
}


void
ngx_http_aml_url(ngx_http_request_t *r, ngx_str_t *path, ngx_str_t *url)
{
    u_char *p;
    ngx_str_t *host;

    /* there is one: what is decided on is decided on by it */

    host = &r->headers_in.host->value;

    p = ngx_pnalloc(r->pool, sizeof("https://") - 1 + host->len + path->len);

    url->data = p;

    if (p != NULL) {
        p = ngx_sprintf(p, "https://%V%V", host, path);
        url->len = p - url->data;
    }
}


ngx_int_t
ngx_http_aml_cookies(ngx_http_request_t *r, ngx_http_aml_cookie_pt each,
                     void *data)
{
    ngx_int_t rc;

#if (nginx_version >= 1023000)
    ngx_table_elt_t *h;

    for (h = r->headers_in.cookie; h; h = h->next) {
        rc = each(h, data);

        if (rc != NGX_OK) {
            return rc;
        }
    }

#else
    ngx_uint_t i;
    ngx_table_elt_t **h;

    h = r->headers_in.cookies.elts;

    for (i = 0; i < r->headers_in.cookies.nelts; i++) {
        rc = each(h[i], data);

        if (rc != NGX_OK) {
            return rc;
        }
    }
#endif

    return NGX_OK;
}


ngx_table_elt_t *
ngx_http_aml_add_header(ngx_http_request_t *r, const char *name,
                        ngx_str_t *value)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return h;
}
