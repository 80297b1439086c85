/*
 * A worker's life with the registry: opens it, opens it again when it was
 * missing or was replaced, and ends requests to applications, and reads of the
 * control API, whose principal may no longer make them: websockets and tunnels,
 * but also event streams and uploads.
 *
 * One background timer does it.  It is cancelable: a worker that is asked to
 * leave leaves when its last connection does.
 */

#include "ngx_http_aml_module.h"

#include <jansson.h>


#define NGX_HTTP_AML_STALE_TICKS 5 /* looks at the file once in so many */
#define NGX_HTTP_AML_ALL_TICKS 25  /* decides on all once in so many */


static void ngx_http_aml_tick(ngx_event_t *ev);
static void ngx_http_aml_open(ngx_http_aml_main_conf_t *amcf,
                              ngx_http_aml_worker_t *worker);
static void ngx_http_aml_forget(ngx_http_aml_worker_t *worker);
static void ngx_http_aml_check(ngx_http_aml_main_conf_t *amcf,
                               ngx_http_aml_worker_t *worker);
static ngx_uint_t ngx_http_aml_concerned(ngx_http_aml_ctx_t *ctx,
                                         const aml_registry_changes_t *changes);
static aml_reason_t
ngx_http_aml_still(ngx_http_aml_ctx_t *ctx, aml_registry_txn_t *txn);
static aml_reason_t ngx_http_aml_in_time(ngx_http_aml_ctx_t *ctx);
static void ngx_http_aml_refused(ngx_http_aml_main_conf_t *amcf,
                                 ngx_http_aml_ctx_t *ctx, aml_reason_t reason);
static void ngx_http_aml_close(ngx_http_aml_main_conf_t *amcf,
                               ngx_http_aml_ctx_t *ctx, aml_reason_t reason);


ngx_int_t
ngx_http_aml_worker_init(ngx_cycle_t *cycle, ngx_http_aml_main_conf_t *amcf)
{
    ngx_http_aml_worker_t *worker;

    worker = ngx_pcalloc(cycle->pool, sizeof(ngx_http_aml_worker_t));
    if (worker == NULL) {
        return NGX_ERROR;
    }

    worker->log = cycle->log;
    ngx_queue_init(&worker->live);

    /* jansson reads entropy at its first object: now, not in a request */
    json_object_seed(0);

    worker->decider = aml_decider_new(amcf->token_cache);
    if (worker->decider == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "aml: no memory or no entropy for the token cache");
        return NGX_ERROR;
    }

    worker->tick.handler = ngx_http_aml_tick;
    worker->tick.data = amcf;
    worker->tick.log = cycle->log;
    worker->tick.cancelable = 1;

    amcf->worker = worker;

    if (ngx_http_aml_activity_init(amcf, cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_aml_open(amcf, worker);

    ngx_add_timer(&worker->tick, NGX_HTTP_AML_TICK);

    return NGX_OK;
}


void
ngx_http_aml_worker_exit(ngx_http_aml_main_conf_t *amcf)
{
    ngx_http_aml_worker_t *worker = amcf->worker;

    if (worker->tick.timer_set) {
        ngx_del_timer(&worker->tick);
    }

    ngx_http_aml_activity_exit(amcf);
    ngx_http_aml_tunnel_exit(worker);

    if (worker->registry != NULL) {
        aml_registry_close(worker->registry);
        worker->registry = NULL;
    }

    aml_decider_free(worker->decider);
    worker->decider = NULL;

    amcf->worker = NULL;
}


void
ngx_http_aml_live_add(ngx_http_aml_main_conf_t *amcf, ngx_http_aml_ctx_t *ctx)
{
    if (amcf->worker == NULL) {
        return;
    }

    ngx_queue_insert_tail(&amcf->worker->live, &ctx->live);
    ctx->linked = 1;

    /* decided on by an older registry than the others are known to pass */

    if (ctx->version < amcf->worker->version) {
        amcf->worker->version = 0;
    }

    if (ctx->request->headers_in.upgrade) {
        (void) ngx_atomic_fetch_add(&amcf->counters->websockets, 1);
    }
}


void
ngx_http_aml_live_remove(ngx_http_aml_main_conf_t *amcf,
                         ngx_http_aml_ctx_t *ctx)
{
    ngx_queue_remove(&ctx->live);
    ctx->linked = 0;

    if (ctx->request->headers_in.upgrade) {
        (void) ngx_atomic_fetch_add(&amcf->counters->websockets, -1);
    }
}


static void
ngx_http_aml_tick(ngx_event_t *ev)
{
    ngx_http_aml_main_conf_t *amcf = ev->data;

    ngx_http_aml_worker_t *worker;

    worker = amcf->worker;

    if (worker->registry != NULL &&
        ++worker->ticks % NGX_HTTP_AML_STALE_TICKS == 0 &&
        aml_registry_stale(worker->registry)) {
        ngx_log_error(NGX_LOG_NOTICE, worker->log, 0,
                      "aml: the registry was replaced, opening it again");

        aml_registry_close(worker->registry);
        worker->registry = NULL;
        worker->version = 0;
        ngx_http_aml_forget(worker);
    }

    if (worker->registry == NULL) {
        ngx_http_aml_open(amcf, worker);
    }

    if (!ngx_queue_empty(&worker->live)) {
        ngx_http_aml_check(amcf, worker);
    }

    ngx_http_aml_activity_tick(amcf);

    ngx_add_timer(ev, NGX_HTTP_AML_TICK);
}


/* Another registry counts its commits and keys anew: what was remembered by
 * such a number is void. */
static void
ngx_http_aml_forget(ngx_http_aml_worker_t *worker)
{
    aml_decider_free(worker->decider);
    worker->decider = NULL;
}


static void
ngx_http_aml_open(ngx_http_aml_main_conf_t *amcf, ngx_http_aml_worker_t *worker)
{
    aml_registry_rc_t rc;

    if (worker->decider == NULL) {
        worker->decider = aml_decider_new(amcf->token_cache);

        if (worker->decider == NULL) {
            return; /* no memory; the next tick tries again */
        }
    }

    rc = aml_registry_open_reader((char *) amcf->registry.data,
                                  &worker->registry);

    if (rc == AML_REGISTRY_OK) {
        if (aml_registry_cache(worker->registry, amcf->record_cache) !=
            AML_REGISTRY_OK) {
            ngx_log_error(NGX_LOG_WARN, worker->log, 0,
                          "aml: no memory for \"aml_record_cache\", going on "
                          "without");
        }

        if (worker->registry_rc != AML_REGISTRY_OK) {
            ngx_log_error(NGX_LOG_NOTICE, worker->log, 0,
                          "aml: the registry \"%V\" is open", &amcf->registry);
        }

    } else {
        worker->registry = NULL;

        if (rc != worker->registry_rc) {
            ngx_log_error(NGX_LOG_ERR, worker->log, 0,
                          "aml: the registry \"%V\" can't be opened: %s; "
                          "trying again, requests are refused meanwhile",
                          &amcf->registry, aml_registry_strerror(rc));
        }

        (void) ngx_atomic_fetch_add(&amcf->counters->registry_errors, 1);
    }

    worker->registry_rc = rc;
}


/*
 * A request that is under way is decided on again after a change of something
 * that its decision was made of; without one, only time can have ended a
 * credential.  And now and then in any case.
 */
static void
ngx_http_aml_check(ngx_http_aml_main_conf_t *amcf,
                   ngx_http_aml_worker_t *worker)
{
    uint64_t version;
    ngx_uint_t all;
    ngx_queue_t *q, *next;
    aml_reason_t reason;
    aml_registry_txn_t *txn;
    ngx_http_aml_ctx_t *ctx;
    aml_registry_changes_t changes;

    all = 0;
    changes.any = 0;

    if (worker->registry == NULL ||
        aml_registry_read(worker->registry, &txn) != AML_REGISTRY_OK) {
        /* nothing is known to have been revoked; new requests are refused */
        txn = NULL;

    } else {
        version = aml_registry_version(txn);

        if (version != worker->version) {
            aml_registry_changes(txn, worker->version, &changes);
            worker->version = version;
        }

        all = (worker->ticks % NGX_HTTP_AML_ALL_TICKS == 0);
    }

    for (q = ngx_queue_head(&worker->live);
         q != ngx_queue_sentinel(&worker->live); q = next) {
        next = ngx_queue_next(q);
        ctx = ngx_queue_data(q, ngx_http_aml_ctx_t, live);

        if (all || ngx_http_aml_concerned(ctx, &changes)) {
            reason = ngx_http_aml_still(ctx, txn);

        } else {
            reason = ngx_http_aml_in_time(ctx);
        }

        if (reason != AML_REASON_OK) {
            ngx_http_aml_close(amcf, ctx, reason);
        }
    }

    aml_registry_end(txn);
}


static ngx_uint_t
ngx_http_aml_concerned(ngx_http_aml_ctx_t *ctx,
                       const aml_registry_changes_t *changes)
{
    if (!changes->any) {
        return 0;
    }

    return ctx->watch == NULL || aml_registry_concerns(changes, ctx->watch);
}


static aml_reason_t
ngx_http_aml_in_time(ngx_http_aml_ctx_t *ctx)
{
    if (ctx->identity.until > ngx_time()) {
        return AML_REASON_OK;
    }

    return ctx->identity.credential == AML_CREDENTIAL_SESSION ||
                   ctx->identity.in_sign_in
               ? AML_REASON_SESSION_EXPIRED
               : AML_REASON_TOKEN_EXPIRED;
}


static aml_reason_t
ngx_http_aml_still(ngx_http_aml_ctx_t *ctx, aml_registry_txn_t *txn)
{
    aml_reason_t reason;
    aml_target_t target;

    /* without memory for it, every change is taken to concern the request */

    if (ctx->watch == NULL) {
        ctx->watch =
            ngx_palloc(ctx->request->pool, sizeof(aml_registry_watch_t));
    }

    aml_registry_watch(txn, ctx->watch);

    reason = aml_identity_holds(txn, &ctx->identity, ngx_time());

    if (reason == AML_REASON_OK && ctx->require == NGX_HTTP_AML_ACTION) {
        reason =
            aml_decide_action(txn, &ctx->identity, ngx_time(), ctx->action);
        aml_registry_watch(txn, NULL);

        return reason;
    }

    if (reason == AML_REASON_OK) {
        aml_target_find(txn, (aml_str_t){ctx->host.name, ctx->host.name_len},
                        ctx->host.port, &target);

        reason = aml_decide_application(txn, &ctx->identity, &target);
    }

    aml_registry_watch(txn, NULL);

    if (reason == AML_REASON_OK && target.route.generation != ctx->generation) {
        return AML_REASON_INSTANCE_STOPPED;
    }

    return reason;
}


aml_reason_t
ngx_http_aml_live_last(ngx_http_aml_ctx_t *ctx)
{
    aml_reason_t reason;
    aml_registry_txn_t *txn;
    ngx_http_aml_worker_t *worker;
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_aml_module);
    worker = amcf->worker;

    if (worker != NULL && worker->registry != NULL &&
        aml_registry_read(worker->registry, &txn) == AML_REGISTRY_OK) {
        reason = ngx_http_aml_still(ctx, txn);
        aml_registry_end(txn);

    } else {
        reason = ngx_http_aml_in_time(ctx);
    }

    if (reason != AML_REASON_OK) {
        ngx_http_aml_refused(amcf, ctx, reason);
    }

    return reason;
}


static void
ngx_http_aml_refused(ngx_http_aml_main_conf_t *amcf, ngx_http_aml_ctx_t *ctx,
                     aml_reason_t reason)
{
    u_char principal[AML_UUID_TEXT + 1];

    aml_uuid_format(&ctx->identity.principal, (char *) principal);

    ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                  "aml: ended %s of %s at %*s:%ui: %s",
                  ctx->request->headers_in.upgrade ? "websocket" : "request",
                  principal, ctx->host.name_len, ctx->host.name,
                  (ngx_uint_t) ctx->host.port, aml_reason_info(reason)->code.p);

    ngx_http_aml_live_remove(amcf, ctx);

    if (ctx->request->headers_in.upgrade) {
        (void) ngx_atomic_fetch_add(&amcf->counters->websockets_closed, 1);
    }

    ctx->allowed = 0;
    ctx->reason = reason;
}


static void
ngx_http_aml_close(ngx_http_aml_main_conf_t *amcf, ngx_http_aml_ctx_t *ctx,
                   aml_reason_t reason)
{
    ngx_connection_t *c;
    ngx_http_request_t *r;

    ngx_http_aml_refused(amcf, ctx, reason);

    if (ctx->websocket != NULL) {
        ngx_http_aml_websocket_close(ctx, reason);
        return;
    }

    if (ctx->tunnel != NULL) {
        ngx_http_aml_tunnel_close(ctx, reason);
        return;
    }

    /*
     * Its handshake is under way, or it is another protocol.  This ends the
     * upstream connection as well.  The upstream's cleanup gives up its share
     * of the request; without one of ours it would free it while nginx is
     * still at it.
     */

    r = ctx->request;
    c = r->connection;

    r->main->count++;

    ngx_http_finalize_request(r, NGX_HTTP_CLOSE);
    ngx_http_run_posted_requests(c);
}
