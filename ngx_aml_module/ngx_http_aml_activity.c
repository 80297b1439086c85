/*
 * Tells amld which credentials are in use, in datagrams that nobody waits for:
 * what a socket does not take at once is dropped and counted.
 *
 * A small table remembers what was told, so that there is one record a
 * credential and application in NGX_HTTP_AML_ACTIVITY_TIME.  What is used
 * meanwhile is told of when that is over.
 */

#include "ngx_http_aml_module.h"

#include <sys/un.h>

#include "auth/activity.h"
#include "upstreams/application.h"


#define ngx_http_aml_str(s) ((aml_str_t){(const char *) (s).data, (s).len})

#define NGX_HTTP_AML_ACTIVITY_TIME 30   /* seconds */
#define NGX_HTTP_AML_ACTIVITY_SETS 2048 /* a power of two */
#define NGX_HTTP_AML_ACTIVITY_WAYS 4
#define NGX_HTTP_AML_ACTIVITY_ROUND 25  /* ticks to see all of the table */
#define NGX_HTTP_AML_ACTIVITY_CONNECT 5 /* ticks between attempts */
#define NGX_HTTP_AML_ACTIVITY_ISSUERS 64


typedef struct {
    uint8_t credential[32];
    uint32_t sent; /* seconds of ngx_current_msec */
    uint32_t used;
    uint32_t requests;
    uint32_t polls;
    uint32_t in;
    uint32_t out;
    uint16_t port;
    uint8_t kind; /* aml_activity_kind_t, 0: a free place */
    uint8_t name_len;
    char name[AML_INSTANCE_NAME_MAX];
    unsigned due : 1; /* something was not told yet */
} ngx_http_aml_active_t;


typedef struct {
    uint32_t issuer; /* its CRC-32: nobody chooses issuers that are known */
    uint32_t told;   /* seconds */
} ngx_http_aml_missing_t;


struct ngx_http_aml_activity_s {
    ngx_socket_t fd;
    uint32_t wanted;      /* CRC-32 of the last datagram of that kind */
    uint32_t wanted_told; /* seconds */
    ngx_uint_t ticks;
    ngx_uint_t position; /* set that the next tick looks at first */
    aml_activity_batch_t batch;
    ngx_http_aml_missing_t missing[NGX_HTTP_AML_ACTIVITY_ISSUERS];
    ngx_http_aml_active_t sets[NGX_HTTP_AML_ACTIVITY_SETS]
                              [NGX_HTTP_AML_ACTIVITY_WAYS];
};


static void
ngx_http_aml_activity_note(ngx_http_aml_main_conf_t *amcf,
                           ngx_http_aml_ctx_t *ctx, ngx_uint_t requests,
                           ngx_uint_t polls, uint32_t in, uint32_t out);
static ngx_http_aml_active_t *
ngx_http_aml_active_place(ngx_http_aml_main_conf_t *amcf,
                          const ngx_http_aml_active_t *what);
static ngx_uint_t ngx_http_aml_active_same(const ngx_http_aml_active_t *a,
                                           const ngx_http_aml_active_t *b);
static void ngx_http_aml_active_tell(ngx_http_aml_main_conf_t *amcf,
                                     ngx_http_aml_active_t *a);
static void ngx_http_aml_activity_connect(ngx_http_aml_main_conf_t *amcf);
static void ngx_http_aml_activity_close(ngx_http_aml_activity_t *activity);
static void ngx_http_aml_activity_send(ngx_http_aml_main_conf_t *amcf);
static ssize_t ngx_http_aml_activity_write(ngx_http_aml_activity_t *activity,
                                           const uint8_t *bytes, size_t n);
static ssize_t ngx_http_aml_activity_datagram(ngx_http_aml_main_conf_t *amcf,
                                              const uint8_t *bytes, size_t n);


#define ngx_http_aml_seconds() ((uint32_t) (ngx_current_msec / 1000))


char *
ngx_http_aml_activity(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_aml_main_conf_t *amcf = conf;

    ngx_str_t *value;

    if (amcf->activity.len != 0) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len <= sizeof("unix:/") - 1 ||
        ngx_strncmp(value[1].data, "unix:/", sizeof("unix:/") - 1) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a socket: write it as "
                           "\"unix:/run/aml/activity.sock\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    amcf->activity.data = value[1].data + sizeof("unix:") - 1;
    amcf->activity.len = value[1].len - (sizeof("unix:") - 1);

    if (amcf->activity.len >= sizeof(((struct sockaddr_un *) 0)->sun_path)) {
        return "is longer than a socket's path can be";
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_aml_activity_init(ngx_http_aml_main_conf_t *amcf, ngx_log_t *log)
{
    ngx_http_aml_activity_t *activity;

    if (amcf->activity.len == 0) {
        return NGX_OK;
    }

    activity = ngx_calloc(sizeof(ngx_http_aml_activity_t), log);
    if (activity == NULL) {
        return NGX_ERROR;
    }

    activity->fd = (ngx_socket_t) -1;
    amcf->worker->activity = activity;

    ngx_http_aml_activity_connect(amcf);

    return NGX_OK;
}


/* What is left to tell is told. */
void
ngx_http_aml_activity_exit(ngx_http_aml_main_conf_t *amcf)
{
    ngx_uint_t i, k;
    ngx_http_aml_activity_t *activity;

    activity = amcf->worker->activity;

    if (activity == NULL) {
        return;
    }

    for (i = 0; i < NGX_HTTP_AML_ACTIVITY_SETS; i++) {
        for (k = 0; k < NGX_HTTP_AML_ACTIVITY_WAYS; k++) {
            if (activity->sets[i][k].due) {
                ngx_http_aml_active_tell(amcf, &activity->sets[i][k]);
            }
        }
    }

    ngx_http_aml_activity_send(amcf);
    ngx_http_aml_activity_close(activity);

    ngx_free(activity);
    amcf->worker->activity = NULL;
}


/* One that was allowed. */
void
ngx_http_aml_activity_request(ngx_http_aml_main_conf_t *amcf,
                              ngx_http_aml_ctx_t *ctx, ngx_http_request_t *r)
{
    ngx_uint_t poll;
    const aml_application_t *application;

    application = ctx->require == NGX_HTTP_AML_CREATOR
                      ? aml_application_by_port(ctx->host.port)
                      : NULL;

    poll = application != NULL && application->is_poll != NULL &&
           application->is_poll(ngx_http_aml_str(r->method_name),
                                ngx_http_aml_str(r->uri));

    ngx_http_aml_activity_note(amcf, ctx, 1, poll, 0, 0);
}


void
ngx_http_aml_activity_frames(ngx_http_aml_main_conf_t *amcf,
                             ngx_http_aml_ctx_t *ctx, uint32_t in, uint32_t out)
{
    ngx_http_aml_activity_note(amcf, ctx, 0, 0, in, out);
}


static void
ngx_http_aml_activity_note(ngx_http_aml_main_conf_t *amcf,
                           ngx_http_aml_ctx_t *ctx, ngx_uint_t requests,
                           ngx_uint_t polls, uint32_t in, uint32_t out)
{
    uint32_t now;
    aml_identity_t *who;
    ngx_http_aml_active_t *a, what;

    who = &ctx->identity;

    ngx_memzero(&what, sizeof(ngx_http_aml_active_t));

    switch (who->credential) {

    case AML_CREDENTIAL_SESSION:
        what.kind = AML_ACTIVITY_SESSION;
        ngx_memcpy(what.credential, who->session, 32);
        break;

    case AML_CREDENTIAL_PERSONAL:
        what.kind = AML_ACTIVITY_PERSONAL;
        ngx_memcpy(what.credential, who->session, 32);
        break;

    case AML_CREDENTIAL_TOKEN:
        what.kind = AML_ACTIVITY_TOKEN;
        ngx_memcpy(what.credential, &who->principal, 16);

        if (who->in_sign_in) {
            ngx_memcpy(what.credential + 16, &who->sign_in, 16);
        }

        break;

    default:
        return;
    }

    if (ctx->require == NGX_HTTP_AML_CREATOR) {
        what.port = ctx->host.port;
        what.name_len = ctx->host.name_len;
        ngx_memcpy(what.name, ctx->host.name, ctx->host.name_len);
    }

    now = ngx_http_aml_seconds();

    a = ngx_http_aml_active_place(amcf, &what);

    a->used = now;
    a->requests += requests;
    a->polls += polls;
    a->in += in;
    a->out += out;
    a->due = 1;

    if (now - a->sent >= NGX_HTTP_AML_ACTIVITY_TIME) {
        ngx_http_aml_active_tell(amcf, a);
    }
}


/* Where it is, or will be now: in the place of what is idle the longest. */
static ngx_http_aml_active_t *
ngx_http_aml_active_place(ngx_http_aml_main_conf_t *amcf,
                          const ngx_http_aml_active_t *what)
{
    uint64_t hash;
    uint32_t now;
    ngx_uint_t i;
    ngx_http_aml_active_t *set, *place;

    /* hashes of secrets and UUIDs made of hashes: nobody chooses them */

    ngx_memcpy(&hash, what->credential, sizeof(hash));

    set = amcf->worker->activity
              ->sets[(hash + what->port) % NGX_HTTP_AML_ACTIVITY_SETS];
    now = ngx_http_aml_seconds();
    place = set;

    for (i = 0; i < NGX_HTTP_AML_ACTIVITY_WAYS; i++) {

        if (ngx_http_aml_active_same(&set[i], what)) {
            return &set[i];
        }

        if (place->kind != 0 &&
            (set[i].kind == 0 || now - set[i].used > now - place->used)) {
            place = &set[i];
        }
    }

    if (place->due) {
        ngx_http_aml_active_tell(amcf, place);
    }

    *place = *what;
    place->sent = now - NGX_HTTP_AML_ACTIVITY_TIME;

    return place;
}


static ngx_uint_t
ngx_http_aml_active_same(const ngx_http_aml_active_t *a,
                         const ngx_http_aml_active_t *b)
{
    return a->kind == b->kind && a->port == b->port &&
           a->name_len == b->name_len &&
           ngx_memcmp(a->credential, b->credential, 32) == 0 &&
           ngx_memcmp(a->name, b->name, a->name_len) == 0;
}


static void
ngx_http_aml_active_tell(ngx_http_aml_main_conf_t *amcf,
                         ngx_http_aml_active_t *a)
{
    uint32_t now;
    aml_activity_t record;
    aml_activity_batch_t *batch;

    now = ngx_http_aml_seconds();

    record.kind = a->kind;
    ngx_memcpy(record.credential, a->credential, 32);
    record.requests = a->requests;
    record.polls = a->polls;
    record.in = a->in;
    record.out = a->out;
    record.age = now - a->used;
    record.name = (aml_str_t){a->name, a->name_len};
    record.port = a->port;

    a->requests = 0;
    a->polls = 0;
    a->in = 0;
    a->out = 0;
    a->due = 0;
    a->sent = now;

    batch = &amcf->worker->activity->batch;

    if (aml_activity_add(batch, &record) != 0) {
        ngx_http_aml_activity_send(amcf);
        (void) aml_activity_add(batch, &record);
    }
}


void
ngx_http_aml_activity_tick(ngx_http_aml_main_conf_t *amcf)
{
    uint32_t now, in, out;
    ngx_uint_t i, k, n;
    ngx_queue_t *q;
    ngx_http_aml_ctx_t *ctx;
    ngx_http_aml_active_t *a;
    ngx_http_aml_activity_t *activity;

    activity = amcf->worker->activity;

    if (activity == NULL) {
        return;
    }

    activity->ticks++;

    if (activity->fd == (ngx_socket_t) -1 &&
        activity->ticks % NGX_HTTP_AML_ACTIVITY_CONNECT == 0) {
        ngx_http_aml_activity_connect(amcf);
    }

    if (activity->ticks % NGX_HTTP_AML_ACTIVITY_ROUND == 0) {

        for (q = ngx_queue_head(&amcf->worker->live);
             q != ngx_queue_sentinel(&amcf->worker->live);
             q = ngx_queue_next(q)) {
            ctx = ngx_queue_data(q, ngx_http_aml_ctx_t, live);

            if (ngx_http_aml_websocket_count(ctx, &in, &out)) {
                ngx_http_aml_activity_frames(amcf, ctx, in, out);
            }
        }
    }

    now = ngx_http_aml_seconds();
    n = NGX_HTTP_AML_ACTIVITY_SETS / NGX_HTTP_AML_ACTIVITY_ROUND + 1;

    for (i = 0; i < n; i++) {
        activity->position =
            (activity->position + 1) % NGX_HTTP_AML_ACTIVITY_SETS;

        for (k = 0; k < NGX_HTTP_AML_ACTIVITY_WAYS; k++) {
            a = &activity->sets[activity->position][k];

            if (a->due && now - a->sent >= NGX_HTTP_AML_ACTIVITY_TIME) {
                ngx_http_aml_active_tell(amcf, a);
            }
        }
    }

    ngx_http_aml_activity_send(amcf);
}


/* To a socket of this machine, where it is there at once or not at all. */
static void
ngx_http_aml_activity_connect(ngx_http_aml_main_conf_t *amcf)
{
    ngx_log_t *log;
    ngx_socket_t fd;
    struct sockaddr_un addr;

    log = amcf->worker->log;

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_socket_errno,
                      "aml: no socket for \"aml_activity\"");
        return;
    }

    ngx_memzero(&addr, sizeof(struct sockaddr_un));
    addr.sun_family = AF_UNIX;
    ngx_memcpy(addr.sun_path, amcf->activity.data, amcf->activity.len);

    if (ngx_nonblocking(fd) == -1 ||
        connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == -1) {

        /* amld is down, or has not come up yet */

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, log, ngx_socket_errno,
                       "aml activity: no \"%V\"", &amcf->activity);
        (void) ngx_close_socket(fd);
        return;
    }

    amcf->worker->activity->fd = fd;
}


static void
ngx_http_aml_activity_close(ngx_http_aml_activity_t *activity)
{
    if (activity->fd != (ngx_socket_t) -1) {
        (void) ngx_close_socket(activity->fd);
        activity->fd = (ngx_socket_t) -1;
    }
}


static void
ngx_http_aml_activity_send(ngx_http_aml_main_conf_t *amcf)
{
    aml_activity_batch_t *batch;

    batch = &amcf->worker->activity->batch;

    if (batch->count == 0) {
        return;
    }

    if (ngx_http_aml_activity_datagram(amcf, batch->bytes, batch->n) == -1) {
        (void) ngx_atomic_fetch_add(&amcf->counters->activity_dropped,
                                    batch->count);
    }

    batch->n = 0;
    batch->count = 0;
}


static ssize_t
ngx_http_aml_activity_datagram(ngx_http_aml_main_conf_t *amcf,
                               const uint8_t *bytes, size_t n)
{
    ssize_t sent;
    ngx_http_aml_activity_t *activity;

    activity = amcf->worker->activity;

    if (activity->fd == (ngx_socket_t) -1) {
        return -1;
    }

    sent = ngx_http_aml_activity_write(activity, bytes, n);

    /* amld may be another by now, and listen again */

    if (activity->fd == (ngx_socket_t) -1) {
        ngx_http_aml_activity_connect(amcf);
        sent = ngx_http_aml_activity_write(activity, bytes, n);
    }

    return sent;
}


/* Closes the socket where it is no good any more. */
static ssize_t
ngx_http_aml_activity_write(ngx_http_aml_activity_t *activity,
                            const uint8_t *bytes, size_t n)
{
    ssize_t sent;

    if (activity->fd == (ngx_socket_t) -1) {
        return -1;
    }

    sent = send(activity->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent == -1 && ngx_socket_errno != NGX_EAGAIN &&
        ngx_socket_errno != ENOBUFS && ngx_socket_errno != NGX_EINTR) {
        ngx_http_aml_activity_close(activity);
    }

    return sent;
}


/*
 * Anybody can make tokens that name keys that there are not: amld is told once
 * a second of an issuer, whatever is said of others, and does with it what it
 * likes.
 */
void
ngx_http_aml_activity_missing_key(ngx_http_aml_main_conf_t *amcf, aml_str_t iss)
{
    size_t n;
    uint8_t bytes[AML_MISSING_KEY_MAX];
    uint32_t now, issuer;
    ngx_uint_t i;
    ngx_http_aml_missing_t *place, *oldest;
    ngx_http_aml_activity_t *activity;

    activity = amcf->worker->activity;

    if (activity == NULL || iss.n == 0) {
        return;
    }

    now = ngx_http_aml_seconds();
    issuer = ngx_crc32_long((u_char *) iss.p, iss.n);
    place = NULL;
    oldest = &activity->missing[0];

    for (i = 0; i < NGX_HTTP_AML_ACTIVITY_ISSUERS; i++) {

        if (activity->missing[i].issuer == issuer) {
            place = &activity->missing[i];
            break;
        }

        if (now - activity->missing[i].told > now - oldest->told) {
            oldest = &activity->missing[i];
        }
    }

    if (place == NULL) {
        place = oldest;
        place->issuer = issuer;

    } else if (place->told == now) {
        return;
    }

    place->told = now;

    n = aml_missing_key_encode(iss, bytes);

    if (n != 0 && ngx_http_aml_activity_datagram(amcf, bytes, n) == -1) {
        (void) ngx_atomic_fetch_add(&amcf->counters->activity_dropped, 1);
    }
}


/* Programs ask again and again until it runs: of the same amld is told once a
 * second. */
void
ngx_http_aml_activity_wanted(ngx_http_aml_main_conf_t *amcf,
                             ngx_http_aml_ctx_t *ctx)
{
    size_t n;
    uint8_t bytes[AML_WANTED_MAX];
    uint32_t now, crc;
    aml_wanted_t wanted;
    ngx_http_aml_activity_t *activity;

    activity = amcf->worker->activity;

    if (activity == NULL) {
        return;
    }

    wanted.principal = ctx->identity.principal;
    wanted.name = (aml_str_t){ctx->host.name, ctx->host.name_len};
    wanted.port = ctx->host.port;

    n = aml_wanted_encode(&wanted, bytes);
    if (n == 0) {
        return;
    }

    now = ngx_http_aml_seconds();
    crc = ngx_crc32_long(bytes, n);

    if (activity->wanted == crc && activity->wanted_told == now) {
        return;
    }

    if (ngx_http_aml_activity_datagram(amcf, bytes, n) == -1) {
        (void) ngx_atomic_fetch_add(&amcf->counters->activity_dropped, 1);
        return;
    }

    activity->wanted = crc;
    activity->wanted_told = now;
}
