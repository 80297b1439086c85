/*
 * Request rates of each principal, over all workers; where nobody is known,
 * of the client's address.  The buckets are auth/rate.c's, in a zone of shared
 * memory.
 */

#include "ngx_http_aml_module.h"

#include <openssl/rand.h>

#include "auth/rate.h"


/* One aml_rate_zone; the data of its shared memory. */
struct ngx_http_aml_rate_zone_s {
    ngx_shm_zone_t *shm_zone;
    ngx_slab_pool_t *pool;
    aml_rate_table_t table;
    uint32_t rate; /* thousandths of a request a second; 0: not declared */
};


static ngx_int_t ngx_http_aml_rate_init_zone(ngx_shm_zone_t *zone, void *data);
static void ngx_http_aml_rate_key(ngx_http_request_t *r,
                                  ngx_http_aml_ctx_t *ctx, aml_rate_key_t *key);
static ngx_int_t ngx_http_aml_rate_size(ngx_conf_t *cf, ngx_str_t *value,
                                        ngx_str_t *name, ssize_t *size);
static uint32_t ngx_http_aml_rate_rate(ngx_str_t *value);


enum {
    NGX_HTTP_AML_RATE_PRINCIPAL = 1,
    NGX_HTTP_AML_RATE_ADDRESS,
    NGX_HTTP_AML_RATE_OTHER /* a socket without addresses */
};


char *
ngx_http_aml_rate_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t size;
    uint32_t rate;
    ngx_str_t *value, name;
    ngx_uint_t i;
    ngx_shm_zone_t *shm_zone;
    ngx_http_aml_rate_zone_t *zone;

    value = cf->args->elts;

    size = 0;
    rate = 0;
    ngx_str_null(&name);

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {
            if (ngx_http_aml_rate_size(cf, &value[i], &name, &size) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "rate=", 5) == 0) {
            rate = ngx_http_aml_rate_rate(&value[i]);

            if (rate == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid rate \"%V\": write it as "
                                   "\"rate=100r/s\" or \"rate=30r/m\"",
                                   &value[i]);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    if (name.len == 0 || rate == 0) {
        return "needs \"zone=name:size\" and \"rate=\"";
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_aml_rate_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_aml_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        return "is duplicate";
    }

    zone->shm_zone = shm_zone;
    zone->rate = rate;

    shm_zone->init = ngx_http_aml_rate_init_zone;
    shm_zone->data = zone;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_aml_rate_size(ngx_conf_t *cf, ngx_str_t *value, ngx_str_t *name,
                       ssize_t *size)
{
    u_char *p;
    ngx_str_t s;

    name->data = value->data + 5;

    p = (u_char *) ngx_strchr(name->data, ':');

    if (p == NULL || p == name->data) {
        goto invalid;
    }

    name->len = p - name->data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    *size = ngx_parse_size(&s);

    if (*size == NGX_ERROR) {
        goto invalid;
    }

    if (*size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone \"%V\" is too small",
                           value);
        return NGX_ERROR;
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid zone \"%V\": write it as \"zone=name:1m\"",
                       value);

    return NGX_ERROR;
}


/* Thousandths a second; 0 when it is none. */
static uint32_t
ngx_http_aml_rate_rate(ngx_str_t *value)
{
    u_char *p;
    size_t len;
    ngx_int_t n;
    ngx_uint_t scale;

    p = value->data + 5;
    len = value->len - 5;

    if (len > 3 && ngx_strncmp(p + len - 3, "r/s", 3) == 0) {
        scale = 1;

    } else if (len > 3 && ngx_strncmp(p + len - 3, "r/m", 3) == 0) {
        scale = 60;

    } else {
        return 0;
    }

    n = ngx_atoi(p, len - 3);

    if (n <= 0 || n > AML_RATE_MOST) {
        return 0;
    }

    return (uint32_t) (n * 1000 / scale);
}


char *
ngx_http_aml_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_loc_conf_t *alcf = conf;

    ngx_int_t burst;
    ngx_str_t *value, name;
    ngx_uint_t i;
    ngx_shm_zone_t *shm_zone;

    if (alcf->rate_zone != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        alcf->rate_zone = NULL;
        return NGX_CONF_OK;
    }

    shm_zone = NULL;
    burst = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {
            name.data = value[i].data + 5;
            name.len = value[i].len - 5;

            shm_zone =
                ngx_shared_memory_add(cf, &name, 0, &ngx_http_aml_module);
            if (shm_zone == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "burst=", 6) == 0) {
            burst = ngx_atoi(value[i].data + 6, value[i].len - 6);

            if (burst <= 0 || burst > AML_RATE_BURST) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid burst \"%V\"",
                                   &value[i]);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    if (shm_zone == NULL) {
        return "needs \"zone=name\" or \"off\"";
    }

    if (shm_zone->data == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there is no \"aml_rate_zone\" that is called "
                           "\"%V\" before this",
                           &shm_zone->shm.name);
        return NGX_CONF_ERROR;
    }

    alcf->rate_zone = shm_zone->data;
    alcf->rate_burst = burst;

    /* what comes in one second, where nothing else is said */

    if (burst == 0) {
        alcf->rate_burst = ngx_max(alcf->rate_zone->rate / 1000, 1);
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_aml_rate_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t size;
    ngx_http_aml_rate_zone_t *zone, *old;

    zone = shm_zone->data;
    old = data;

    /* a reload keeps who has asked how often; a new rate holds at once */

    if (old != NULL) {
        zone->pool = old->pool;
        zone->table = old->table;
        return NGX_OK;
    }

    zone->pool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /* all that there is, in one piece */

    size = zone->pool->pfree * ngx_pagesize;

    zone->table.memory = ngx_slab_calloc(zone->pool, size);
    zone->table.sets = aml_rate_sets(size);

    if (zone->table.memory == NULL || zone->table.sets == 0) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "aml: no room in zone \"%V\"", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    if (RAND_bytes((u_char *) zone->table.secret, sizeof(zone->table.secret)) !=
        1) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "aml: no entropy for zone \"%V\"", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_aml_rate_limited(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx)
{
    int evicted;
    uint64_t wait;
    aml_rate_rc_t rc;
    aml_rate_key_t key;
    aml_rate_limit_t limit;
    ngx_http_aml_loc_conf_t *alcf;
    ngx_http_aml_rate_zone_t *zone;
    ngx_http_aml_main_conf_t *amcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_aml_module);
    zone = alcf->rate_zone;

    /* once a request, whatever subrequests and redirects it leads to */

    if (zone == NULL || ctx->rated || r != r->main) {
        return 0;
    }

    ctx->rated = 1;

    ngx_http_aml_rate_key(r, ctx, &key);

    limit.rate = zone->rate;
    limit.burst = alcf->rate_burst;

    /* a worker that dies with the lock has it taken away by the master */

    ngx_shmtx_lock(&zone->pool->mutex);

    rc = aml_rate_take(&zone->table, &key, &limit, ngx_current_msec, &wait,
                       &evicted);

    ngx_shmtx_unlock(&zone->pool->mutex);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "aml rate: kind %d, %d, wait %uL", key.kind, rc, wait);

    amcf = ngx_http_get_module_main_conf(r, ngx_http_aml_module);

    if (evicted) {
        (void) ngx_atomic_fetch_add(&amcf->counters->rate_evicted, 1);
    }

    if (rc == AML_RATE_OK) {
        return 0;
    }

    if (rc == AML_RATE_CORRUPT) {
        (void) ngx_atomic_fetch_add(&amcf->counters->rate_corrupt, 1);

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "aml: zone \"%V\" was damaged",
                      &zone->shm_zone->shm.name);
    }

    ctx->retry_after = ngx_max((wait + 999) / 1000, 1);

    return 1;
}


static void
ngx_http_aml_rate_key(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                      aml_rate_key_t *key)
{
    struct sockaddr *sa;
#if (NGX_HAVE_INET6)
    struct in6_addr *addr;
#endif

    ngx_memzero(key, sizeof(aml_rate_key_t));

    if (ctx->identified) {
        key->kind = NGX_HTTP_AML_RATE_PRINCIPAL;
        ngx_memcpy(key->id, &ctx->identity.principal, sizeof(key->id));
        return;
    }

    key->kind = NGX_HTTP_AML_RATE_ADDRESS;
    sa = r->connection->sockaddr;

    switch (sa->sa_family) {

    case AF_INET:
        ngx_memcpy(key->id + 12, &((struct sockaddr_in *) sa)->sin_addr, 4);
        return;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        addr = &((struct sockaddr_in6 *) sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(addr)) {
            ngx_memcpy(key->id + 12, addr->s6_addr + 12, 4);

        } else {

            /* a subscriber has a /64, and all of its addresses */

            ngx_memcpy(key->id, addr->s6_addr, 8);
        }

        return;
#endif

    default:
        key->kind = NGX_HTTP_AML_RATE_OTHER;
    }
}
