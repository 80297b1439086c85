/*
 * The nginx side: directives, phases, variables, the balancer.  What it
 * decides by is in auth/, registry/, upstreams/ and tls/, which know nothing
 * of nginx.
 */

#ifndef NGX_HTTP_AML_MODULE_H
#define NGX_HTTP_AML_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/decide.h"
#include "auth/reason.h"
#include "registry/registry.h"
#include "upstreams/application.h"
#include "upstreams/host.h"
#include "upstreams/peer.h"


#define NGX_HTTP_AML_TICK 200 /* ms between looks at the registry */


/* What a location asks for. */
typedef enum {
    NGX_HTTP_AML_OFF = 0,   /* nothing */
    NGX_HTTP_AML_OPTIONAL,  /* tells who it is where that is known */
    NGX_HTTP_AML_SIGNED_IN, /* anyone who is signed in */
    NGX_HTTP_AML_ACTION,    /* a role that allows what method and path name */
    NGX_HTTP_AML_CREATOR    /* the creator of the instance that is asked for */
} ngx_http_aml_require_e;


/* Headers that the gateway says upstream. */
typedef enum {
    NGX_HTTP_AML_FORWARDED_FOR = 0,
    NGX_HTTP_AML_FORWARDED_PROTO,
    NGX_HTTP_AML_FORWARDED_HOST,
    NGX_HTTP_AML_REQUEST_ID,
    NGX_HTTP_AML_PRINCIPAL,
    NGX_HTTP_AML_NAME,
    NGX_HTTP_AML_CREDENTIAL,
    NGX_HTTP_AML_SESSION,
    NGX_HTTP_AML_SIGN_IN,
    NGX_HTTP_AML_GROUPS,
    NGX_HTTP_AML_ACTION_NAME,
    NGX_HTTP_AML_SAID /* how many */
} ngx_http_aml_said_e;


/* Counters that all workers share; see ngx_http_aml_status.c. */
typedef struct {
    ngx_atomic_t decisions[AML_REASON_COUNT];
    ngx_atomic_t websockets; /* open now */
    ngx_atomic_t websockets_closed;
    ngx_atomic_t registry_errors;
    ngx_atomic_t activity_dropped;
    ngx_atomic_t rate_evicted;
    ngx_atomic_t rate_corrupt;
} ngx_http_aml_counters_t;


typedef struct ngx_http_aml_activity_s ngx_http_aml_activity_t;
typedef struct ngx_http_aml_rate_zone_s ngx_http_aml_rate_zone_t;


/* What one worker keeps; made after the fork, never shared. */
typedef struct {
    aml_registry_t *registry; /* NULL while it can't be opened */
    aml_registry_rc_t registry_rc;
    aml_decider_t *decider;
    uint64_t version; /* of the registry when websockets were checked */
    ngx_event_t tick;
    ngx_uint_t ticks;
    ngx_queue_t live; /* ngx_http_aml_ctx_t.live of requests under way */
    ngx_http_aml_activity_t *activity; /* NULL: amld is not told */
    void *spare;                       /* tunnels' buffers, linked */
    ngx_uint_t spares;
    ngx_log_t *log;
} ngx_http_aml_worker_t;


typedef struct {
    ngx_str_t registry;
    ngx_str_t activity; /* path of amld's socket, or empty */
    ngx_uint_t token_cache;
    ngx_uint_t record_cache;
    ngx_shm_zone_t *zone;
    ngx_http_aml_counters_t *counters;
    ngx_http_aml_worker_t *worker;
    ngx_int_t request_id;                    /* index of $request_id */
    ngx_uint_t said_hash[NGX_HTTP_AML_SAID]; /* of their names */
    ngx_str_t page_csp; /* header value with the hash of the page's style */
} ngx_http_aml_main_conf_t;


/* An application's own pages may show it, whatever it is. */
#define NGX_HTTP_AML_ANCESTORS "frame-ancestors 'self'"


typedef struct {
    ngx_str_t apps;        /* apps domain, lower case */
    ngx_str_t studio;      /* origin */
    ngx_str_t studio_host; /* of the origin, lower case, without port */
    ngx_str_t ancestors;   /* "frame-ancestors 'self' …", or empty */
    ngx_uint_t used;       /* some location of this server asks for something */
} ngx_http_aml_srv_conf_t;


typedef struct {
    ngx_uint_t require;
    ngx_uint_t refuse; /* aml_reason_t, or AML_REASON_OK: does not */
    ngx_uint_t status;
    ngx_http_aml_rate_zone_t *rate_zone; /* NULL: off */
    ngx_uint_t rate_burst;
    ngx_str_t tunnel; /* path, or empty */
    ngx_msec_t tunnel_ping;
    ngx_msec_t tunnel_connect;
} ngx_http_aml_loc_conf_t;


typedef struct ngx_http_aml_tunnel_s ngx_http_aml_tunnel_t;
typedef struct ngx_http_aml_websocket_s ngx_http_aml_websocket_t;


/* What is known of one request. */
typedef struct {
    ngx_http_request_t *request;
    ngx_uint_t require; /* what `reason` was decided for */
    aml_reason_t reason;
    aml_identity_t identity; /* valid when identified */

    unsigned decided : 1;    /* reason is set */
    unsigned allowed : 1;    /* and is AML_REASON_OK */
    unsigned identified : 1; /* identity is set */
    unsigned instance : 1;   /* host is set */
    unsigned hygiene : 1;    /* headers upstream have been set */
    unsigned linked : 1;     /* live is in the worker's queue */
    unsigned noted : 1;      /* as activity */
    unsigned rated : 1;      /* one request was taken off its rate */
    unsigned tunnels : 1;    /* it asks for a tunnel, as it should */

    aml_host_t host;
    const aml_application_t *application; /* NULL: none that is known */
    uint64_t generation;
    uint64_t version;            /* of the registry that was decided by */
    aml_registry_watch_t *watch; /* what that was made of; NULL: anything */
    aml_peer_t peer;
    ngx_str_t peer_name;
    aml_reason_t silent;    /* where nobody listens at `peer` */
    aml_action_t *action;   /* NULL but for the control API */
    ngx_uint_t retry_after; /* seconds, for AML_REASON_RATE_LIMITED */
    ngx_queue_t live;
    ngx_http_aml_websocket_t *websocket; /* NULL before the 101 */
    ngx_http_aml_tunnel_t *tunnel;       /* NULL: none is being made */
} ngx_http_aml_ctx_t;


extern ngx_module_t ngx_http_aml_module;


/* ngx_http_aml_access.c */

/* The context, also after an internal redirect has cleared it; NULL. */
ngx_http_aml_ctx_t *ngx_http_aml_get_ctx(ngx_http_request_t *r);
ngx_int_t ngx_http_aml_access_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_aml_precontent_handler(ngx_http_request_t *r);
/* The value of a request header, empty when absent; `lowcase` is its name. */
aml_str_t
ngx_http_aml_header(ngx_http_request_t *r, const char *lowcase, size_t len);

/* The same, and a new one where there is none; NULL without memory. */
ngx_http_aml_ctx_t *ngx_http_aml_make_ctx(ngx_http_request_t *r);

/* ngx_http_aml_log.c */

ngx_int_t ngx_http_aml_log_init(ngx_conf_t *cf);
/* The path as the client wrote it, without the query. */
void ngx_http_aml_path(ngx_http_request_t *r, ngx_str_t *path);

/* ngx_http_aml_headers.c */

void ngx_http_aml_headers_init(ngx_http_aml_main_conf_t *amcf);
/* Removes what a client may not say and adds what the gateway says. */
ngx_int_t ngx_http_aml_headers(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx,
                               ngx_uint_t require);

/* Calls `each` for every Cookie header, whatever the nginx. */
typedef ngx_int_t (*ngx_http_aml_cookie_pt)(ngx_table_elt_t *h, void *data);
ngx_int_t ngx_http_aml_cookies(ngx_http_request_t *r,
                               ngx_http_aml_cookie_pt each, void *data);

/* Public origin and address of the request; data is NULL without memory. */
void ngx_http_aml_url(ngx_http_request_t *r, ngx_str_t *path, ngx_str_t *url);

/* A response header; in nginx 1.23 and later elements are linked. */
ngx_table_elt_t *ngx_http_aml_add_header(ngx_http_request_t *r,
                                         const char *name, ngx_str_t *value);

/* ngx_http_aml_filter.c */

void ngx_http_aml_filter_init(void);

/* ngx_http_aml_refuse.c */

ngx_int_t
ngx_http_aml_refuse_init(ngx_conf_t *cf, ngx_http_aml_main_conf_t *amcf);
/* Sends the refusal and returns what a phase or content handler returns
 * after the response is under way. */
ngx_int_t ngx_http_aml_refuse(ngx_http_request_t *r, aml_reason_t reason);
ngx_int_t ngx_http_aml_refuse_handler(ngx_http_request_t *r);
/* The same for a content handler: what it returns, or finalizes with. */
ngx_int_t
ngx_http_aml_refuse_content(ngx_http_request_t *r, aml_reason_t reason);
/* $request_id, 32 hexadecimal digits; "-" without memory. */
void ngx_http_aml_request_id(ngx_http_request_t *r, ngx_str_t *id);

/* ngx_http_aml_upstream.c */

char *ngx_http_aml_route(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ngx_http_aml_live.c */

ngx_int_t
ngx_http_aml_worker_init(ngx_cycle_t *cycle, ngx_http_aml_main_conf_t *amcf);
void ngx_http_aml_worker_exit(ngx_http_aml_main_conf_t *amcf);
/* Keeps an eye on a request to an application until it ends. */
void
ngx_http_aml_live_add(ngx_http_aml_main_conf_t *amcf, ngx_http_aml_ctx_t *ctx);
void ngx_http_aml_live_remove(ngx_http_aml_main_conf_t *amcf,
                              ngx_http_aml_ctx_t *ctx);
/* Looks once more at one that ends of itself: why it would have been closed,
 * and then it is off the list, or AML_REASON_OK. */
aml_reason_t ngx_http_aml_live_last(ngx_http_aml_ctx_t *ctx);

/* ngx_http_aml_websocket.c */

void ngx_http_aml_websocket_init(void);
/* Ends an open websocket with a Close frame.  May free the request. */
void ngx_http_aml_websocket_close(ngx_http_aml_ctx_t *ctx, aml_reason_t reason);
void ngx_http_aml_websocket_cleanup(ngx_http_aml_ctx_t *ctx);

/* Data frames from and to the client since the last call; 0 when there were
 * none, or it is no websocket. */
ngx_uint_t ngx_http_aml_websocket_count(ngx_http_aml_ctx_t *ctx, uint32_t *in,
                                        uint32_t *out);

/* ngx_http_aml_activity.c */

char *ngx_http_aml_activity(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* For amcf->worker. */
ngx_int_t
ngx_http_aml_activity_init(ngx_http_aml_main_conf_t *amcf, ngx_log_t *log);
void ngx_http_aml_activity_exit(ngx_http_aml_main_conf_t *amcf);
void ngx_http_aml_activity_tick(ngx_http_aml_main_conf_t *amcf);
/* The identity of `ctx` did something that was allowed.  Only where there is
 * amcf->worker->activity. */
void
ngx_http_aml_activity_request(ngx_http_aml_main_conf_t *amcf,
                              ngx_http_aml_ctx_t *ctx, ngx_http_request_t *r);
void ngx_http_aml_activity_frames(ngx_http_aml_main_conf_t *amcf,
                                  ngx_http_aml_ctx_t *ctx, uint32_t in,
                                  uint32_t out);
/* A program asked for an application that is started on demand. */
void ngx_http_aml_activity_wanted(ngx_http_aml_main_conf_t *amcf,
                                  ngx_http_aml_ctx_t *ctx);
/* A token of a known issuer was refused for a key that is not known, unless
 * `iss` is empty. */
void ngx_http_aml_activity_missing_key(ngx_http_aml_main_conf_t *amcf,
                                       aml_str_t iss);

/* ngx_http_aml_rate.c */

char *ngx_http_aml_rate_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_aml_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* Is it one too many?  Then ctx->retry_after is set. */
ngx_uint_t
ngx_http_aml_rate_limited(ngx_http_request_t *r, ngx_http_aml_ctx_t *ctx);

/* ngx_http_aml_status.c */

ngx_int_t
ngx_http_aml_status_zone(ngx_conf_t *cf, ngx_http_aml_main_conf_t *amcf);
ngx_int_t ngx_http_aml_status_handler(ngx_http_request_t *r);

/* ngx_http_aml_tls.c */

/* Refuses servers that allow less than tls/policy.h asks for. */
ngx_int_t ngx_http_aml_tls_enforce(ngx_conf_t *cf);

/* ngx_http_aml_tunnel.c */

char *ngx_http_aml_tunnel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
/* Does it ask for a tunnel?  By path and Upgrade only. */
ngx_uint_t ngx_http_aml_tunnel_asked(ngx_http_request_t *r);
/* Is it a request that a tunnel can be made of? */
aml_reason_t ngx_http_aml_tunnel_check(ngx_http_request_t *r);
/* It becomes one. */
void ngx_http_aml_tunnel_take(ngx_http_request_t *r);
/* It may no longer be used.  May free the request. */
void ngx_http_aml_tunnel_close(ngx_http_aml_ctx_t *ctx, aml_reason_t reason);

/* ngx_http_aml_tunnel_relay.c */

/* As ngx_http_aml_websocket_count(). */
ngx_uint_t
ngx_http_aml_tunnel_count(ngx_http_aml_ctx_t *ctx, uint32_t *in, uint32_t *out);
void ngx_http_aml_tunnel_exit(ngx_http_aml_worker_t *worker);

/* ngx_http_aml_variables.c */

ngx_int_t ngx_http_aml_add_variables(ngx_conf_t *cf);

#endif /* NGX_HTTP_AML_MODULE_H */
