/*
 * Counters of all workers, in the text format that Prometheus reads.
 */

#include "ngx_http_aml_module.h"


#define NGX_HTTP_AML_STATUS_TEXT 4096


static ngx_int_t ngx_http_aml_init_zone(ngx_shm_zone_t *zone, void *data);
static void ngx_http_aml_status_counts(ngx_buf_t *b, aml_registry_txn_t *txn);


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

    size = NGX_HTTP_AML_STATUS_TEXT + AML_REASON_COUNT * 128;

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
        ngx_http_aml_status_counts(b, txn);
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


/* What amld counts; a record that this release can't read is left out. */

static void
ngx_http_aml_status_counts(ngx_buf_t *b, aml_registry_txn_t *txn)
{
    uint64_t n;
    aml_str_t value;
    ngx_uint_t i;
    aml_counts_t c;
    aml_registry_rc_t rc;

    ngx_memzero(&c, sizeof(aml_counts_t));

    rc = aml_registry_get(txn, AML_COUNTS_KEY, sizeof(AML_COUNTS_KEY) - 1,
                          &value);

    if (rc == AML_REGISTRY_OK ? aml_counts_decode(value, &c) != AML_RECORD_OK
                              : rc != AML_REGISTRY_NOTFOUND) {
        return;
    }

    b->last = ngx_slprintf(b->last, b->end,
                           "# TYPE aml_jobs_submitted_total counter\n"
                           "aml_jobs_submitted_total %uL\n"
                           "# TYPE aml_jobs_ended_total counter\n"
                           "aml_jobs_ended_total{status=\"completed\"} %uL\n"
                           "aml_jobs_ended_total{status=\"failed\"} %uL\n"
                           "aml_jobs_ended_total{status=\"canceled\"} %uL\n"
                           "# TYPE aml_jobs_queued gauge\n"
                           "aml_jobs_queued %uL\n"
                           "# TYPE aml_jobs_running gauge\n"
                           "aml_jobs_running %uL\n"
                           "# TYPE aml_job_wait_seconds histogram\n",
                           c.jobs_submitted, c.jobs_completed, c.jobs_failed,
                           c.jobs_canceled, c.jobs_queued, c.jobs_running);

    for (i = 0, n = 0; i < AML_COUNTS_WAITS; i++) {
        n += c.job_waits[i];

        if (aml_counts_bound(i) == 0) {
            b->last = ngx_slprintf(
                b->last, b->end,
                "aml_job_wait_seconds_bucket{le=\"+Inf\"} %uL\n", n);
            continue;
        }

        b->last = ngx_slprintf(b->last, b->end,
                               "aml_job_wait_seconds_bucket{le=\"%ui\"} %uL\n",
                               (ngx_uint_t) aml_counts_bound(i), n);
    }

    b->last =
        ngx_slprintf(b->last, b->end,
                     "aml_job_wait_seconds_sum %uL.%03uL\n"
                     "aml_job_wait_seconds_count %uL\n"
                     "# TYPE aml_service_starts_total counter\n"
                     "aml_service_starts_total %uL\n"
                     "# TYPE aml_service_restarts_total counter\n"
                     "aml_service_restarts_total %uL\n"
                     "# TYPE aml_service_failures_total counter\n"
                     "aml_service_failures_total %uL\n",
                     c.job_waited / 1000, c.job_waited % 1000, n,
                     c.service_starts, c.service_restarts, c.service_failures);
}
