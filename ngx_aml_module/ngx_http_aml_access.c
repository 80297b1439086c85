/*
 * Who is it, may they, where to.  The access phase decides; the precontent
 * phase makes sure that a decision was made (subrequests and "satisfy any"
 * pass the access phase by) and sets the headers that go upstream.
 */

#include "ngx_http_aml_module.h"

#include "auth/cookie.h"
#include "auth/origin.h"


#define ngx_http_aml_str(s) ((aml_str_t){(const char *) (s).data, (s).len})


/* What the Cookie headers have. */
typedef struct {
    aml_str_t session;
    int count;
} ngx_http_aml_cookie_t;


static void ngx_http_aml_cleanup(void *data);
static ngx_int_t
ngx_http_aml_authorize(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                       ngx_uint_t require);
static aml_reason_t
ngx_http_aml_decide(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                    ngx_uint_t require, aml_registry_txn_t *txn,
                    ngx_http_aml_worker_t *worker);
static ngx_int_t
ngx_http_aml_host(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx);
static aml_reason_t
ngx_http_aml_credential(ngx_http_request_t *r, aml_credential_t *kind,
                        aml_str_t *credential);
static aml_reason_t
ngx_http_aml_identify(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      aml_registry_txn_t *txn, ngx_http_aml_worker_t *worker,
                      aml_credential_t kind, aml_str_t credential);
static aml_reason_t
ngx_http_aml_keep(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx);
static aml_reason_t
ngx_http_aml_creator(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                     aml_registry_txn_t *txn, const aml_target_t *target);
static aml_reason_t
ngx_http_aml_action(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                    aml_registry_txn_t *txn);
static ngx_int_t ngx_http_aml_find_cookie(ngx_table_elt_t *h, void *data);
static ngx_uint_t ngx_http_aml_bearer(ngx_http_request_t *r, aml_str_t *token);
static ngx_uint_t ngx_http_aml_same_origin(ngx_http_request_t *r);
static ngx_uint_t ngx_http_aml_one_host(ngx_http_request_t *r);


ngx_http_aml_ctx_t *
ngx_http_aml_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_aml_module);

    if (ctx != NULL || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    /* internal redirects clear r->ctx; the cleanup handler remembers */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_aml_cleanup) {
            ctx = cln->data;

            if (ctx->request == r) {
                return ctx;
            }
        }
    }

    return NULL;
}


ngx_http_aml_ctx_t *
ngx_http_aml_make_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_aml_ctx_t *ctx;

    ctx = ngx_http_aml_get_ctx(r);

    if (ctx == NULL) {
        cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_aml_ctx_t));
        if (cln == NULL) {
            return NULL;
        }

        ctx = cln->data;
        ngx_memzero(ctx, sizeof(ngx_http_aml_ctx_t));
        ctx->request = r;

        cln->handler = ngx_http_aml_cleanup;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_aml_module);

    return ctx;
}


static void
ngx_http_aml_cleanup(void *data)
{
    ngx_http_aml_ctx_t *ctx = data;

    ngx_http_aml_main_conf_t *amcf;

    if (ctx->websocket != NULL) {
        ngx_http_aml_websocket_cleanup(ctx);
    }

    if (ctx->linked) {
        amcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_aml_module);
        ngx_http_aml_live_remove(amcf, ctx);
    }
}


ngx_int_t
ngx_http_aml_access_handler(ngx_http_request_t *r)
{
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_loc_conf_t *alcf;
    ngx_http_aml_main_conf_t *amcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_aml_module);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "aml access: require %ui", alcf->require);

    if (alcf->require == NGX_HTTP_AML_OFF && alcf->rate_zone == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_aml_make_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (alcf->require != NGX_HTTP_AML_OFF) {
        return ngx_http_aml_authorize(r, ctx, alcf->require);
    }

    if (ngx_http_aml_rate_limited(r, ctx)) {
        amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);
        (void) ngx_atomic_fetch_add(
            &amcf->counters->decisions[AML_REASON_RATE_LIMITED], 1);

        return ngx_http_aml_refuse(r, AML_REASON_RATE_LIMITED);
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_aml_precontent_handler(ngx_http_request_t *r)
{
    ngx_int_t rc;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_srv_conf_t *ascf;
    ngx_http_aml_loc_conf_t *alcf;
    ngx_http_aml_main_conf_t *amcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_aml_module);
    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    if (alcf->require == NGX_HTTP_AML_OFF && !ascf->used) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_aml_make_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (alcf->require != NGX_HTTP_AML_OFF &&
        !(ctx->allowed && ctx->require == alcf->require)) {
        rc = ngx_http_aml_authorize(r, ctx, alcf->require);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_http_aml_headers(r, ctx, alcf->require) != NGX_OK) {
        return NGX_ERROR;
    }

    /*
     * Not only websockets last: event streams do, and uploads both ways.  Of
     * the control API what reads: a change is not to be cut off because of
     * what it has changed.
     */

    if ((alcf->require == NGX_HTTP_AML_CREATOR ||
         (alcf->require == NGX_HTTP_AML_ACTION && ctx->action != NULL &&
          r->method == NGX_HTTP_GET)) &&
        !ctx->linked && r == r->main) {
        amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);
        ngx_http_aml_live_add(amcf, ctx);
    }

    if (alcf->require == NGX_HTTP_AML_CREATOR && ctx->tunnels) {
        ngx_http_aml_tunnel_take(r);
    }

    return NGX_DECLINED;
}


/* NGX_OK when allowed; otherwise the refusal has been sent. */
static ngx_int_t
ngx_http_aml_authorize(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                       ngx_uint_t require)
{
    aml_reason_t reason;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    ngx_http_aml_worker_t *worker;
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);
    worker = amcf->worker;

    ctx->require = require;
    ctx->decided = 1;
    ctx->allowed = 0;

    if (!ngx_http_aml_one_host(r) ||
        (r->headers_in.upgrade && r->http_version > NGX_HTTP_VERSION_11)) {

        /* HTTP/2 has no Upgrade (RFC 9113 section 8.2.2), and nginx would
         * relay the connection of all streams */

        reason = AML_REASON_REQUEST_MALFORMED;

    } else if (worker == NULL || worker->registry == NULL) {
        reason = AML_REASON_REGISTRY_UNAVAILABLE;

    } else {
        rc = aml_registry_read(worker->registry, &txn);

        if (rc == AML_REGISTRY_OK) {
            ctx->version = aml_registry_version(txn);
            reason = ngx_http_aml_decide(r, ctx, require, txn, worker);
            aml_registry_end(txn);

        } else {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "aml: the registry can't be read: %s",
                          aml_registry_strerror(rc));
            reason = AML_REASON_REGISTRY_UNAVAILABLE;
        }
    }

    ctx->reason = reason;

    (void) ngx_atomic_fetch_add(&amcf->counters->decisions[reason], 1);

    if (reason == AML_REASON_OK) {
        ctx->allowed = 1;

        if (worker->activity != NULL && ctx->identified && !ctx->noted &&
            r == r->main) {
            ctx->noted = 1;
            ngx_http_aml_activity_request(amcf, ctx, r);
        }

        return NGX_OK;
    }

    return ngx_http_aml_refuse(r, reason);
}


static aml_reason_t
ngx_http_aml_decide(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                    ngx_uint_t require, aml_registry_txn_t *txn,
                    ngx_http_aml_worker_t *worker)
{
    aml_str_t credential, name;
    aml_reason_t reason;
    aml_credential_t kind = AML_CREDENTIAL_NONE;
    aml_target_t target;

    if (require == NGX_HTTP_AML_CREATOR) {
        if (ngx_http_aml_host(r, ctx) != NGX_OK) {
            return AML_REASON_HOST_UNKNOWN;
        }

        name = (aml_str_t){ctx->host.name, ctx->host.name_len};
        aml_target_expect(txn, name, ctx->host.port);
    }

    /* after an internal redirect the credential may be gone already */

    credential = (aml_str_t){NULL, 0};

    reason = ctx->identified ? AML_REASON_OK
                             : ngx_http_aml_credential(r, &kind, &credential);

    if (require == NGX_HTTP_AML_CREATOR) {
        aml_target_find(txn, name, ctx->host.port, &target);
    }

    if (!ctx->identified) {

        if (reason == AML_REASON_OK) {
            reason =
                ngx_http_aml_identify(r, ctx, txn, worker, kind, credential);
        }

        /* also who is not known, or would not be let in */

        if (reason != AML_REASON_REGISTRY_UNAVAILABLE &&
            ngx_http_aml_rate_limited(r, ctx)) {
            return AML_REASON_RATE_LIMITED;
        }

        if (require == NGX_HTTP_AML_OPTIONAL) {
            return reason == AML_REASON_REGISTRY_UNAVAILABLE ? reason
                                                             : AML_REASON_OK;
        }

        if (reason != AML_REASON_OK) {
            return reason;
        }
    }

    switch (require) {

    case NGX_HTTP_AML_CREATOR:
        return ngx_http_aml_creator(r, ctx, txn, &target);

    case NGX_HTTP_AML_ACTION:
        return ngx_http_aml_action(r, ctx, txn);

    default:
        return AML_REASON_OK;
    }
}


/* By form only: whether there is such an instance comes last. */
static ngx_int_t
ngx_http_aml_host(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx)
{
    ngx_http_aml_srv_conf_t *ascf;

    if (ctx->instance) {
        return NGX_OK;
    }

    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    if (aml_host_parse(ngx_http_aml_str(r->headers_in.server),
                       ngx_http_aml_str(ascf->apps), &ctx->host) != 0) {
        return NGX_ERROR;
    }

    ctx->instance = 1;

    return NGX_OK;
}


/* What the request brings; whether it holds is asked later. */
static aml_reason_t
ngx_http_aml_credential(ngx_http_request_t *r, aml_credential_t *kind,
                        aml_str_t *credential)
{
    ngx_uint_t bearers;
    ngx_http_aml_cookie_t cookie;

    bearers = ngx_http_aml_bearer(r, credential);

    if (bearers > 1) {
        return AML_REASON_CREDENTIAL_REPEATED;
    }

    if (bearers == 1) {

        /* a token that is wrong never falls back to a cookie */

        *kind = AML_CREDENTIAL_TOKEN;
        return AML_REASON_OK;
    }

    ngx_memzero(&cookie, sizeof(ngx_http_aml_cookie_t));
    ngx_http_aml_cookies(r, ngx_http_aml_find_cookie, &cookie);

    if (cookie.count == 0) {
        return AML_REASON_SIGN_IN_REQUIRED;
    }

    if (cookie.count > 1) {
        return AML_REASON_CREDENTIAL_REPEATED;
    }

    if (!ngx_http_aml_same_origin(r)) {
        return AML_REASON_CROSS_ORIGIN;
    }

    *kind = AML_CREDENTIAL_SESSION;
    *credential = cookie.session;

    return AML_REASON_OK;
}


static aml_reason_t
ngx_http_aml_identify(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      aml_registry_txn_t *txn, ngx_http_aml_worker_t *worker,
                      aml_credential_t kind, aml_str_t credential)
{
    aml_reason_t reason;

    reason = (kind == AML_CREDENTIAL_TOKEN)
                 ? aml_identify_token(worker->decider, txn, credential,
                                      ngx_time(), &ctx->identity)
                 : aml_identify_session(worker->decider, txn, credential,
                                        ngx_http_aml_str(r->headers_in.server),
                                        ngx_time(), &ctx->identity);

    if (reason == AML_REASON_OK && ctx->identity.key.n != 0) {
        reason = ngx_http_aml_keep(r, ctx);

    } else if (reason == AML_REASON_TOKEN_KEY ||
               reason == AML_REASON_TOKEN_SIGNATURE ||
               reason == AML_REASON_TOKEN_ALGORITHM) {
        ngx_http_aml_activity_missing_key(
            ngx_http_get_module_main_conf(r, ngx_http_aml_module),
            aml_decider_unknown_key(worker->decider));
    }

    ctx->identified = (reason == AML_REASON_OK);

    return reason;
}


/* The next request takes the decider's memory of a token. */
static aml_reason_t
ngx_http_aml_keep(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx)
{
    u_char *p;
    size_t size;
    aml_principal_id_t *groups;

    p = ngx_pnalloc(r->pool, ctx->identity.key.n);
    if (p == NULL) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    ngx_memcpy(p, ctx->identity.key.p, ctx->identity.key.n);
    ctx->identity.key.p = (char *) p;

    if (ctx->identity.group_count == 0) {
        return AML_REASON_OK;
    }

    if (ctx->require != NGX_HTTP_AML_ACTION) {

        /* nobody asks for them; should somebody, none would be wrong */

        ctx->identity.groups = NULL;
        ctx->identity.group_count = 0;
        ctx->identity.groups_unknown = 1;

        return AML_REASON_OK;
    }

    size = ctx->identity.group_count * sizeof(aml_principal_id_t);

    groups = ngx_palloc(r->pool, size);
    if (groups == NULL) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    ngx_memcpy(groups, ctx->identity.groups, size);
    ctx->identity.groups = groups;

    return AML_REASON_OK;
}


static aml_reason_t
ngx_http_aml_creator(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                     aml_registry_txn_t *txn, const aml_target_t *target)
{
    char any[AML_PEER_ADDRESS_MAX];
    u_char *p;
    aml_str_t address;
    aml_reason_t reason;
    const aml_route_t *route;

    route = &target->route;

    reason = aml_decide_application(txn, &ctx->identity, target);

    if (reason == AML_REASON_APPLICATION_NOT_STARTED &&
        ctx->identity.credential != AML_CREDENTIAL_SESSION) {

        /* who has a token means it; a page may be anybody's doing, and is
         * asked by /.aml/start */

        ngx_http_aml_activity_wanted(
            ngx_http_get_module_main_conf(r, ngx_http_aml_module), ctx);
    }

    if (reason != AML_REASON_OK) {
        return reason;
    }

    ctx->application = aml_application_by_port(ctx->host.port);

    /* what listens on a port of people's own may speak HTTP or not */

    if (ctx->application != NULL) {
        ctx->tunnels = (ctx->application->tunnel != 0);

    } else {
        ctx->tunnels = (ngx_http_aml_tunnel_asked(r) != 0);
    }

    if (ctx->tunnels) {
        reason = ngx_http_aml_tunnel_check(r);

        if (reason != AML_REASON_OK) {
            return reason;
        }
    }

    address = route->address;

    if (target->port == 0) {
        address.n = aml_peer_address(route->address, ctx->host.port, any);
        address.p = any;
    }

    if (aml_peer_of(address, route->generation, &ctx->peer) != 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "aml: route of instance \"%*s\" port %ui has an address "
                      "that can't be used",
                      ctx->host.name_len, ctx->host.name,
                      (ngx_uint_t) ctx->host.port);
        return AML_REASON_APPLICATION_UNREACHABLE;
    }

    ctx->generation = route->generation;
    ctx->silent = aml_decide_silent(target);

    /* the name of the peer is for logs; it must outlive the snapshot */

    p = ngx_pnalloc(r->pool, address.n);
    if (p == NULL) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    ngx_memcpy(p, address.p, address.n);
    ctx->peer_name.data = p;
    ctx->peer_name.len = address.n;

    return AML_REASON_OK;
}


static aml_reason_t
ngx_http_aml_action(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                    aml_registry_txn_t *txn)
{
    size_t n;
    u_char *p;

    /*
     * The proxy sends the path as the client wrote it: what is decided on and
     * what amld sees must be the same bytes.
     */

    p = r->unparsed_uri.data;
    n = r->unparsed_uri.len;

    if (r->args.len != 0 || (n > 0 && p[n - 1] == '?')) {
        n -= ngx_min(n, r->args.len + 1);
    }

    /* SDKs write "/{scope}/…" for a scope that begins with a slash; amld takes
     * two at the start for one, too */

    if (n > 1 && p[0] == '/' && p[1] == '/') {
        p++;
        n--;
    }

    if (n != r->uri.len || ngx_memcmp(p, r->uri.data, n) != 0) {
        return AML_REASON_REQUEST_MALFORMED;
    }

    if (ctx->action == NULL) {
        ctx->action = ngx_palloc(r->pool, sizeof(aml_action_t));
        if (ctx->action == NULL) {
            return AML_REASON_REGISTRY_UNAVAILABLE;
        }
    }

    if (aml_action_of(ngx_http_aml_str(r->method_name),
                      ngx_http_aml_str(r->uri), ctx->action) != 0) {
        ctx->action = NULL;
        return AML_REASON_ACTION_UNKNOWN;
    }

    return aml_decide_action(txn, &ctx->identity, ngx_time(), ctx->action);
}


static ngx_int_t
ngx_http_aml_find_cookie(ngx_table_elt_t *h, void *data)
{
    ngx_http_aml_cookie_t *cookie = data;

    int n;
    aml_str_t value;

    n = aml_cookie_find(ngx_http_aml_str(h->value), aml_str(AML_COOKIE_SESSION),
                        &value);

    if (n > 0 && cookie->count == 0) {
        cookie->session = value;
    }

    cookie->count += n;

    return NGX_OK;
}


/* How many Authorization headers say Bearer. */
static ngx_uint_t
ngx_http_aml_bearer(ngx_http_request_t *r, aml_str_t *token)
{
    u_char *p, *last;
    ngx_uint_t n;
    ngx_table_elt_t *h;

    h = r->headers_in.authorization;
    n = 0;

    while (h != NULL) {

        if (h->value.len >= sizeof("Bearer") - 1 &&
            ngx_strncasecmp(h->value.data, (u_char *) "Bearer",
                            sizeof("Bearer") - 1) == 0 &&
            (h->value.len == sizeof("Bearer") - 1 ||
             h->value.data[sizeof("Bearer") - 1] == ' ')) {
            p = h->value.data + sizeof("Bearer") - 1;
            last = h->value.data + h->value.len;

            while (p < last && *p == ' ') {
                p++;
            }

            *token = (aml_str_t){(const char *) p, (size_t) (last - p)};
            n++;
        }

#if (nginx_version >= 1023000)
        h = h->next;
#else
        break;
#endif
    }

    return n;
}


static ngx_uint_t
ngx_http_aml_same_origin(ngx_http_request_t *r)
{
    aml_origin_t o;
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_http_aml_srv_conf_t *ascf;

    ascf = ngx_http_get_module_srv_conf(r, ngx_http_aml_module);

    ngx_memzero(&o, sizeof(aml_origin_t));

    o.method = ngx_http_aml_str(r->method_name);
    o.websocket = (r->headers_in.upgrade != NULL);
    o.embeddable = (ascf->ancestors.len != 0);

    if (r->headers_in.host != NULL) {
        o.host = ngx_http_aml_str(r->headers_in.host->value);
    }

    /* one walk for all four */

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        switch (h[i].key.len) {

        case sizeof("origin") - 1:
            if (ngx_memcmp(h[i].lowcase_key, "origin", 6) == 0) {
                if (o.origin.p != NULL) {
                    return 0;
                }
                o.origin = ngx_http_aml_str(h[i].value);
            }
            break;

        case sizeof("sec-fetch-site") - 1: /* and -mode, -dest */
            if (ngx_memcmp(h[i].lowcase_key, "sec-fetch-", 10) != 0) {
                break;
            }

            if (ngx_memcmp(h[i].lowcase_key + 10, "site", 4) == 0) {
                o.fetch_site = ngx_http_aml_str(h[i].value);

            } else if (ngx_memcmp(h[i].lowcase_key + 10, "mode", 4) == 0) {
                o.fetch_mode = ngx_http_aml_str(h[i].value);

            } else if (ngx_memcmp(h[i].lowcase_key + 10, "dest", 4) == 0) {
                o.fetch_dest = ngx_http_aml_str(h[i].value);
            }
            break;
        }
    }

    return aml_origin_allowed(&o);
}


/*
 * The host that is decided on may come from an absolute address or from
 * HTTP/2's :authority; the Host header goes upstream.  They must say the same,
 * and what follows the name must be a port.
 */
static ngx_uint_t
ngx_http_aml_one_host(ngx_http_request_t *r)
{
    u_char *p, *last;
    ngx_str_t *host, *server;

    if (r->headers_in.host == NULL) {
        return r->headers_in.server.len == 0;
    }

    host = &r->headers_in.host->value;
    server = &r->headers_in.server;

    if (host->len < server->len ||
        ngx_strncasecmp(host->data, server->data, server->len) != 0) {
        return 0;
    }

    p = host->data + server->len;
    last = host->data + host->len;

    if (p < last && *p == '.') {
        p++;
    }

    if (p == last) {
        return 1;
    }

    if (*p++ != ':' || last - p > 5) {
        return 0;
    }

    while (p < last) {
        if (*p < '0' || *p > '9') {
            return 0;
        }
        p++;
    }

    return 1;
}


aml_str_t
ngx_http_aml_header(ngx_http_request_t *r, const char *lowcase, size_t len)
{
    ngx_uint_t i;
    ngx_list_part_t *part;
    ngx_table_elt_t *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len &&
            ngx_strncasecmp(h[i].key.data, (u_char *) lowcase, len) == 0) {
            return ngx_http_aml_str(h[i].value);
        }
    }

    return (aml_str_t){NULL, 0};
}
