/*
 * One request of a connection is much like the one before: the same cookie or
 * token, the same host, and mostly the same snapshot of the registry.
 */

#include "ngx_http_aml_module.h"

#include <openssl/crypto.h>


typedef struct {
    ngx_http_aml_memo_t *memo;
    ngx_atomic_uint_t connection;
} ngx_http_aml_memo_owner_t;


static ngx_int_t
ngx_http_aml_memo_own(ngx_http_request_t *r, ngx_http_aml_memo_t *memo);
static void ngx_http_aml_memo_wipe(void *data);
static ngx_http_aml_memo_t *
ngx_http_aml_memo(ngx_http_request_t *r, ngx_http_aml_worker_t *worker);


ngx_int_t
ngx_http_aml_memo_init(ngx_http_aml_worker_t *worker, ngx_cycle_t *cycle)
{
    /* pages that no connection comes to are never touched */

    worker->memos = ngx_pcalloc(cycle->pool, NGX_HTTP_AML_MEMOS *
                                                 sizeof(ngx_http_aml_memo_t));

    return worker->memos == NULL ? NGX_ERROR : NGX_OK;
}


void
ngx_http_aml_memo_forget(ngx_http_aml_worker_t *worker)
{
    ngx_memzero(worker->memos,
                NGX_HTTP_AML_MEMOS * sizeof(ngx_http_aml_memo_t));
}


static ngx_http_aml_memo_t *
ngx_http_aml_memo(ngx_http_request_t *r, ngx_http_aml_worker_t *worker)
{
    return &worker->memos[r->connection->number & (NGX_HTTP_AML_MEMOS - 1)];
}


ngx_uint_t
ngx_http_aml_memo_get(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      ngx_http_aml_worker_t *worker, uint64_t version,
                      aml_credential_t kind, aml_str_t credential)
{
    u_char *p;
    ngx_http_aml_memo_t *memo;

    memo = ngx_http_aml_memo(r, worker);

    if (memo->connection != r->connection->number || memo->version != version ||
        memo->kind != kind || memo->credential_len != credential.n ||
        memo->server_len != r->headers_in.server.len ||
        memo->identity.expires <= ngx_time() ||
        ngx_memcmp(memo->server, r->headers_in.server.data, memo->server_len) !=
            0 ||
        ngx_memcmp(memo->credential, credential.p, credential.n) != 0) {
        return 0;
    }

    p = ngx_pnalloc(r->pool, memo->address_len);
    if (p == NULL) {
        return 0;
    }

    ngx_memcpy(p, memo->address, memo->address_len);

    ctx->identity = memo->identity;
    ctx->identified = 1;
    ctx->host = memo->host;
    ctx->instance = 1;
    ctx->generation = memo->generation;
    ctx->peer = memo->peer;
    ctx->peer_name.data = p;
    ctx->peer_name.len = memo->address_len;

    return 1;
}


void
ngx_http_aml_memo_put(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      ngx_http_aml_worker_t *worker, uint64_t version,
                      aml_credential_t kind, aml_str_t credential)
{
    ngx_http_aml_memo_t *memo;

    memo = ngx_http_aml_memo(r, worker);

    /* a first request is often the only one: remember from the second on */

    if (r->connection->requests < 2 ||
        credential.n > NGX_HTTP_AML_MEMO_CREDENTIAL ||
        r->headers_in.server.len > NGX_HTTP_AML_MEMO_SERVER ||
        ctx->peer_name.len > sizeof(memo->address)) {
        return;
    }

    if (memo->connection != r->connection->number &&
        ngx_http_aml_memo_own(r, memo) != NGX_OK) {
        return;
    }

    memo->connection = r->connection->number;
    memo->version = version;
    memo->kind = kind;
    memo->credential_len = credential.n;
    memo->server_len = r->headers_in.server.len;
    memo->identity = ctx->identity;
    memo->host = ctx->host;
    memo->generation = ctx->generation;
    memo->peer = ctx->peer;
    memo->address_len = ctx->peer_name.len;

    ngx_memcpy(memo->server, r->headers_in.server.data, memo->server_len);
    ngx_memcpy(memo->credential, credential.p, credential.n);
    ngx_memcpy(memo->address, ctx->peer_name.data, memo->address_len);
}


/* A credential is not kept for longer than its connection. */
static ngx_int_t
ngx_http_aml_memo_own(ngx_http_request_t *r, ngx_http_aml_memo_t *memo)
{
    ngx_pool_cleanup_t *cln;
    ngx_http_aml_memo_owner_t *owner;

    /* two connections may take a place from each other, again and again */

    for (cln = r->connection->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_aml_memo_wipe) {
            return NGX_OK;
        }
    }

    cln = ngx_pool_cleanup_add(r->connection->pool,
                               sizeof(ngx_http_aml_memo_owner_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    owner = cln->data;
    owner->memo = memo;
    owner->connection = r->connection->number;

    cln->handler = ngx_http_aml_memo_wipe;

    return NGX_OK;
}


static void
ngx_http_aml_memo_wipe(void *data)
{
    ngx_http_aml_memo_owner_t *owner = data;

    if (owner->memo->connection == owner->connection) {
        OPENSSL_cleanse(owner->memo, sizeof(ngx_http_aml_memo_t));
    }
}
