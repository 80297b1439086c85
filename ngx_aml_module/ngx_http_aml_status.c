/*
 * Counters of all workers, in the text format that Prometheus reads.
 */

#include "ngx_http_aml_module.h"


static ngx_int_t ngx_http_aml_init_zone(ngx_shm_zone_t *zone, void *data);


ngx_int_t
ngx_http_aml_status_zone(ngx_conf_t *cf, ngx_http_aml_main_conf_t *amcf)
{
    static ngx_str_t name = ngx_string("aml_status");

    amcf->zone = ngx_shared_memory_add(cf, &name, 8 * ngx_pagesize,
                                       &ngx_http_aml_module);
    if (amcf->zone == NULL) {
        return NGX_ERROR;
    }

    amcf->zone->init = ngx_http_aml_init_zone;
    amcf->zone->data = amcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_aml_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t *pool;
    ngx_http_aml_main_conf_t *amcf, *old;

    amcf = zone->data;
    old = data;

    /* a reload goes on counting */

    if (old != NULL) {
        amcf->counters = old->counters;
        return NGX_OK;
    }

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        amcf->counters = pool->data;
        return NGX_OK;
    }

    amcf->counters = ngx_slab_calloc(pool, sizeof(ngx_http_aml_counters_t));
    if (amcf->counters == NULL) {
        return NGX_ERROR;
    }

    pool->data = amcf->counters;

    return NGX_OK;
}


ngx_int_t
ngx_http_aml_status_handler(ngx_http_request_t *r)
{
    size_t size;
    ngx_int_t rc;
    ngx_buf_t *b;
    ngx_uint_t i;
    ngx_chain_t out;
    aml_registry_txn_t *txn;
    ngx_http_aml_worker_t *worker;
    ngx_http_aml_counters_t *counters;
    ngx_http_aml_main_conf_t *amcf;

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);
    counters = amcf->counters;
    worker = amcf->worker;

    size = 1024 + AML_REASON_COUNT * 128;

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last =
        ngx_slprintf(b->last, b->end, "# TYPE aml_decisions_total counter\n");

    for (i = 0; i < AML_REASON_COUNT; i++) {
        b->last = ngx_slprintf(
            b->last, b->end, "aml_decisions_total{reason=\"%s\"} %uA\n",
            aml_reason_info(i)->code.p, counters->decisions[i]);
    }

    b->last =
        ngx_slprintf(b->last, b->end,
                     "# TYPE aml_websockets gauge\n"
                     "aml_websockets %uA\n"
                     "# TYPE aml_websockets_closed_total counter\n"
                     "aml_websockets_closed_total %uA\n"
                     "# TYPE aml_registry_errors_total counter\n"
                     "aml_registry_errors_total %uA\n"
                     "# TYPE aml_activity_dropped_total counter\n"
                     "aml_activity_dropped_total %uA\n"
                     "# TYPE aml_rate_evicted_total counter\n"
                     "aml_rate_evicted_total %uA\n"
                     "# TYPE aml_rate_corrupt_total counter\n"
                     "aml_rate_corrupt_total %uA\n",
                     counters->websockets, counters->websockets_closed,
                     counters->registry_errors, counters->activity_dropped,
                     counters->rate_evicted, counters->rate_corrupt);

    if (worker != NULL && worker->registry != NULL &&
        aml_registry_read(worker->registry, &txn) == AML_REGISTRY_OK) {
        b->last = ngx_slprintf(b->last, b->end,
                               "# TYPE aml_registry_up gauge\n"
                               "aml_registry_up 1\n"
                               "# TYPE aml_registry_version counter\n"
                               "aml_registry_version %uL\n",
                               aml_registry_version(txn));
        aml_registry_end(txn);

    } else {
        b->last = ngx_slprintf(b->last, b->end,
                               "# TYPE aml_registry_up gauge\n"
                               "aml_registry_up 0\n");
    }

    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    ngx_str_set(&r->headers_out.content_type, "text/plain; version=0.0.4");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
