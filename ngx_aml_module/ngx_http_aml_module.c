/*
 * Directives, configuration, start and end of workers.
 */

#include "ngx_http_aml_module.h"

#include <openssl/ssl.h>


static ngx_int_t ngx_http_aml_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_aml_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_aml_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_aml_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_aml_create_srv_conf(ngx_conf_t *cf);
static char *
ngx_http_aml_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child);
static void *ngx_http_aml_create_loc_conf(ngx_conf_t *cf);
static char *
ngx_http_aml_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static char *
ngx_http_aml_registry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *
ngx_http_aml_apps_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t
ngx_http_aml_origin(ngx_conf_t *cf, ngx_str_t *origin, ngx_str_t *host);
static char *
ngx_http_aml_studio(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *
ngx_http_aml_frame_ancestors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *
ngx_http_aml_refuse_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *
ngx_http_aml_status_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_aml_init_process(ngx_cycle_t *cycle);
static void ngx_http_aml_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t ngx_http_aml_require[] = {
    {ngx_string("off"), NGX_HTTP_AML_OFF},
    {ngx_string("optional"), NGX_HTTP_AML_OPTIONAL},
    {ngx_string("signed-in"), NGX_HTTP_AML_SIGNED_IN},
    {ngx_string("action"), NGX_HTTP_AML_ACTION},
    {ngx_string("creator"), NGX_HTTP_AML_CREATOR},
    {ngx_null_string, 0},
};


static ngx_conf_num_bounds_t ngx_http_aml_token_cache_bounds = {
    ngx_conf_check_num_bounds, 4, 1048576};

static ngx_conf_num_bounds_t ngx_http_aml_record_cache_bounds = {
    ngx_conf_check_num_bounds, 4, 16777216};


static ngx_command_t ngx_http_aml_commands[] = {

    {ngx_string("aml_registry"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_http_aml_registry, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_token_cache"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_num_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_aml_main_conf_t, token_cache),
     &ngx_http_aml_token_cache_bounds},

    {ngx_string("aml_record_cache"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_num_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(ngx_http_aml_main_conf_t, record_cache),
     &ngx_http_aml_record_cache_bounds},

    {ngx_string("aml_activity"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_http_aml_activity, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_apps_domain"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_CONF_TAKE1,
     ngx_http_aml_apps_domain, NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_studio"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_CONF_TAKE1,
     ngx_http_aml_studio, NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_frame_ancestors"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_CONF_1MORE,
     ngx_http_aml_frame_ancestors, NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_require"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF |
         NGX_CONF_TAKE1,
     ngx_conf_set_enum_slot, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(ngx_http_aml_loc_conf_t, require), &ngx_http_aml_require},

    {ngx_string("aml_rate_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
     ngx_http_aml_rate_zone, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_rate"),
     NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF |
         NGX_CONF_TAKE12,
     ngx_http_aml_rate, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_refuse"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1,
     ngx_http_aml_refuse_directive, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
     ngx_http_aml_status_directive, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_tunnel"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE123,
     ngx_http_aml_tunnel, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},

    {ngx_string("aml_route"), NGX_HTTP_UPS_CONF | NGX_CONF_NOARGS,
     ngx_http_aml_route, NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},

    ngx_null_command};


static ngx_http_module_t ngx_http_aml_module_ctx = {
    ngx_http_aml_preconfiguration, ngx_http_aml_postconfiguration,

    ngx_http_aml_create_main_conf, ngx_http_aml_init_main_conf,

    ngx_http_aml_create_srv_conf,  ngx_http_aml_merge_srv_conf,

    ngx_http_aml_create_loc_conf,  ngx_http_aml_merge_loc_conf,
};


ngx_module_t ngx_http_aml_module = {
    NGX_MODULE_V1,
    &ngx_http_aml_module_ctx,
    ngx_http_aml_commands,
    NGX_HTTP_MODULE,
    NULL, /* init master */
    NULL, /* init module */
    ngx_http_aml_init_process,
    NULL, /* init thread */
    NULL, /* exit thread */
    ngx_http_aml_exit_process,
    NULL, /* exit master */
    NGX_MODULE_V1_PADDING,
};


static ngx_int_t
ngx_http_aml_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_aml_add_variables(cf);
}


static ngx_int_t
ngx_http_aml_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_handler_pt *h;
    ngx_http_aml_main_conf_t *amcf;
    ngx_http_core_main_conf_t *cmcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_aml_module);

    if (amcf->registry.len == 0) {
        return NGX_OK;
    }

    if (ngx_http_aml_tls_enforce(cf) != NGX_OK ||
        ngx_http_aml_status_zone(cf, amcf) != NGX_OK ||
        ngx_http_aml_refuse_init(cf, amcf) != NGX_OK ||
        ngx_http_aml_log_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_aml_headers_init(amcf);
    ngx_http_aml_filter_init();
    ngx_http_aml_websocket_init();

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_aml_access_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_aml_precontent_handler;

    return NGX_OK;
}


static void *
ngx_http_aml_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_aml_main_conf_t *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_aml_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    amcf->token_cache = NGX_CONF_UNSET_UINT;
    amcf->record_cache = NGX_CONF_UNSET_UINT;

    return amcf;
}


static char *
ngx_http_aml_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_aml_main_conf_t *amcf = conf;

    ngx_conf_init_uint_value(amcf->token_cache, 4096);
    ngx_conf_init_uint_value(amcf->record_cache, 131072);

    return NGX_CONF_OK;
}


static void *
ngx_http_aml_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_aml_srv_conf_t));
}


static char *
ngx_http_aml_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_aml_srv_conf_t *prev = parent;
    ngx_http_aml_srv_conf_t *conf = child;

    ngx_conf_merge_str_value(conf->apps, prev->apps, "");
    ngx_conf_merge_str_value(conf->studio, prev->studio, "");
    ngx_conf_merge_str_value(conf->studio_host, prev->studio_host, "");
    ngx_conf_merge_str_value(conf->ancestors, prev->ancestors, "");

    return NGX_CONF_OK;
}


static void *
ngx_http_aml_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_aml_loc_conf_t *alcf;

    alcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_aml_loc_conf_t));
    if (alcf == NULL) {
        return NULL;
    }

    alcf->require = NGX_CONF_UNSET_UINT;
    alcf->rate_zone = NGX_CONF_UNSET_PTR;

    return alcf;
}


static char *
ngx_http_aml_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_aml_loc_conf_t *prev = parent;
    ngx_http_aml_loc_conf_t *conf = child;

    ngx_http_aml_main_conf_t *amcf;
    ngx_http_aml_srv_conf_t *ascf;

    ngx_conf_merge_uint_value(conf->require, prev->require, NGX_HTTP_AML_OFF);

    if (conf->rate_zone == NGX_CONF_UNSET_PTR) {
        conf->rate_zone =
            prev->rate_zone == NGX_CONF_UNSET_PTR ? NULL : prev->rate_zone;
        conf->rate_burst = prev->rate_burst;
    }

    if (conf->require == NGX_HTTP_AML_OFF && conf->refuse == AML_REASON_OK &&
        conf->status == 0 && conf->rate_zone == NULL && conf->tunnel.len == 0) {
        return NGX_CONF_OK;
    }

    /* a server's own configuration, while its locations are merged */

    ascf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_aml_module);
    ascf->used = 1;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_aml_module);

    if (amcf->registry.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"aml_require\", \"aml_rate\", \"aml_refuse\" "
                           "and \"aml_status\" need \"aml_registry\" in the "
                           "http block");
        return NGX_CONF_ERROR;
    }

    if (conf->tunnel.len != 0 && conf->require != NGX_HTTP_AML_CREATOR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"aml_tunnel\" needs \"aml_require creator\"");
        return NGX_CONF_ERROR;
    }

    if (conf->require == NGX_HTTP_AML_CREATOR && ascf->apps.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"aml_require creator\" needs "
                           "\"aml_apps_domain\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_aml_registry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_main_conf_t *amcf = conf;

    ngx_str_t *value;

    if (amcf->registry.len != 0) {
        return "is duplicate";
    }

    value = cf->args->elts;
    amcf->registry = value[1];

    /* relative to the prefix, as the paths of data are elsewhere */

    if (ngx_conf_full_name(cf->cycle, &amcf->registry, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_aml_apps_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_srv_conf_t *ascf = conf;

    size_t i;
    u_char c;
    ngx_str_t *value;

    if (ascf->apps.len != 0) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; i < value[1].len; i++) {
        c = ngx_tolower(value[1].data[i]);
        value[1].data[i] = c;

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
            (c == '.' && i > 0 && i + 1 < value[1].len)) {
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a domain: write it as "
                           "\"instances.example.org\", without port",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0) {
        return "is empty";
    }

    ascf->apps = value[1];

    return NGX_CONF_OK;
}


/* "https://host[:port]", which becomes lower case; `host` is inside of it. */
static ngx_int_t
ngx_http_aml_origin(ngx_conf_t *cf, ngx_str_t *origin, ngx_str_t *host)
{
    u_char *p, *last;

    if (origin->len <= sizeof("https://") - 1 ||
        ngx_strncmp(origin->data, "https://", sizeof("https://") - 1) != 0) {
        goto invalid;
    }

    last = origin->data + origin->len;
    p = origin->data + sizeof("https://") - 1;

    host->data = p;

    while (p < last && *p != ':') {
        *p = ngx_tolower(*p);

        if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
              *p == '-' || *p == '.')) {
            goto invalid;
        }

        p++;
    }

    host->len = p - host->data;

    if (p < last && ngx_atoi(p + 1, last - p - 1) <= 0) {
        goto invalid;
    }

    return NGX_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" is not an origin: write it as "
                       "\"https://aml.example.org\", with a port where it "
                       "is not 443, without a path",
                       origin);

    return NGX_ERROR;
}


static char *
ngx_http_aml_studio(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_srv_conf_t *ascf = conf;

    ngx_str_t *value;

    if (ascf->studio.len != 0) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_aml_origin(cf, &value[1], &ascf->studio_host) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ascf->studio = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_aml_frame_ancestors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_srv_conf_t *ascf = conf;

    u_char *p;
    size_t len;
    ngx_str_t *value, host;
    ngx_uint_t i;

    if (ascf->ancestors.len != 0) {
        return "is duplicate";
    }

    value = cf->args->elts;
    len = sizeof(NGX_HTTP_AML_ANCESTORS) - 1;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_aml_origin(cf, &value[i], &host) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        len += 1 + value[i].len;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    ascf->ancestors.data = p;
    ascf->ancestors.len = len;

    p = ngx_cpymem(p, NGX_HTTP_AML_ANCESTORS,
                   sizeof(NGX_HTTP_AML_ANCESTORS) - 1);

    for (i = 1; i < cf->args->nelts; i++) {
        *p++ = ' ';
        p = ngx_cpymem(p, value[i].data, value[i].len);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_aml_refuse_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_loc_conf_t *alcf = conf;

    aml_reason_t reason;
    ngx_str_t *value;
    ngx_http_core_loc_conf_t *clcf;

    if (alcf->refuse != AML_REASON_OK) {
        return "is duplicate";
    }

    value = cf->args->elts;
    reason = aml_reason_find(
        (aml_str_t){(const char *) value[1].data, value[1].len});

    if (reason == AML_REASON_OK || reason == AML_REASON_COUNT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a reason to refuse: see "
                           "docs/reasons.md",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    alcf->refuse = reason;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_aml_refuse_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_aml_status_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_loc_conf_t *alcf = conf;

    ngx_http_core_loc_conf_t *clcf;

    alcf->status = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_aml_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_aml_init_process(ngx_cycle_t *cycle)
{
    ngx_http_aml_main_conf_t *amcf;

    /* cache managers and loaders come here as well */

    if (ngx_process != NGX_PROCESS_WORKER &&
        ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;
    }

    if (ngx_get_conf(cycle->conf_ctx, ngx_http_module) == NULL) {
        return NGX_OK;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_aml_module);

    if (amcf == NULL || amcf->registry.len == 0) {
        return NGX_OK;
    }

    return ngx_http_aml_worker_init(cycle, amcf);
}


static void
ngx_http_aml_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_aml_main_conf_t *amcf;

    if (ngx_get_conf(cycle->conf_ctx, ngx_http_module) == NULL) {
        return;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_aml_module);

    if (amcf != NULL && amcf->worker != NULL) {
        ngx_http_aml_worker_exit(amcf);
    }
}
