#include "computes/api/on_demand_api.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/assets.h"
#include "auth/pages.h"
#include "auth/sign_in.h"
#include "auth/site.h"
#include "computes/files/logfile.h"
#include "computes/instances/on_demand.h"
#include "computes/services/service.h"
#include "computes/services/service_ask.h"
#include "upstreams/host.h"

#define DEMAND_LOG 4096
#define DEMAND_LINES 12

/* What is asked about. */
typedef struct {
    aml_host_t host;
    const char *to;                       /* where to go on to */
    const char *name;                     /* of the application, for people */
    const aml_application_t *application; /* NULL: a custom service */
    char label[AMLD_SERVICE_LABEL_SIZE];  /* of its log */
    aml_reason_t reason;                  /* the gateway's */
    json_t *doc;
} demand_t;

/* How it goes. */
typedef struct {
    const char *state;
    const char *button;
    const char *message; /* why it failed, or "" */
    int64_t seconds;     /* since it is in that state */
    char text[512];
    char log[DEMAND_LOG]; /* its end while it starts, or "" */
} demand_view_t;

static int demand_of(amld_t *d, const amld_request_t *request,
                     amld_response_t *response, demand_t *x);
static aml_reason_t
demand_decide(amld_t *d, const amld_request_t *request, demand_t *x);
static aml_reason_t demand_name(demand_t *x, aml_reason_t reason);
static aml_registry_rc_t
demand_ask(amld_t *d, const amld_request_t *request, const demand_t *x);
static aml_reason_t demand_reason(aml_registry_rc_t rc);
static int demand_is_about(aml_reason_t reason);
static int demand_is_starting(const demand_t *x);
static int demand_by_oneself(const amld_request_t *request);
static void demand_view(const amld_t *d, const demand_t *x, demand_view_t *v);
static unsigned demand_timeout(const amld_t *d, const demand_t *x);
static void demand_json(const amld_t *d, amld_response_t *response,
                        const demand_t *x, unsigned status);
static void demand_page(const amld_t *d, const amld_request_t *request,
                        amld_response_t *response, const demand_t *x);


static void
demand_show(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    demand_t x;

    if (!demand_of(d, request, response, &x)) {
        return;
    }

    if (!amld_site_is_page(request)) {
        demand_json(d, response, &x, 200);
    } else if (x.reason == AML_REASON_OK) {
        amld_response_redirect(response, x.to);
    } else {
        demand_page(d, request, response, &x);
    }

    json_decref(x.doc);
}


static void
demand_start(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    demand_t x;
    aml_registry_rc_t rc;

    if (!demand_of(d, request, response, &x)) {
        return;
    }

    if (x.reason != AML_REASON_OK) {
        rc = demand_ask(d, request, &x);
        json_decref(x.doc);
        x.reason = rc == AML_REGISTRY_OK ? demand_decide(d, request, &x)
                                         : demand_reason(rc);
        if (!demand_is_about(x.reason)) {
            amld_site_say_at(d, request, response, AMLD_SITE_INSTANCE,
                             x.reason);
            return;
        }
    }

    if (!amld_site_is_page(request)) {
        demand_json(d, response, &x, x.reason == AML_REASON_OK ? 200 : 202);
    } else if (x.reason == AML_REASON_OK) {
        amld_response_redirect(response, x.to);
    } else {
        amld_site_go(response, "/.aml/start?to=", x.to);
    }

    json_decref(x.doc);
}


static void
demand_script(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    aml_str_t script = amld_asset_start();

    (void) d;
    (void) request;

    amld_response_content(response, 200, "text/javascript; charset=utf-8",
                          script.p, script.n);
    amld_response_header(response, "Cache-Control", "max-age=300");
}


/* The studio's button: the origin that asks is known, and nothing but the
 * start is done, whatever comes of it is the gateway's to show. */
static void
demand_open(amld_t *d, const amld_request_t *request, amld_response_t *response)
{
    const char *host = amld_request_form(request, "host");
    char authority[AMLD_AUTHORITY_SIZE], name[AMLD_AUTHORITY_SIZE];
    char url[AMLD_AUTHORITY_SIZE + 16];
    aml_registry_rc_t rc;
    aml_host_t at;

    if (!amld_site_person(d, request, response, 1, "/")) {
        return;
    }

    if (host == NULL ||
        amld_sign_in_instance(d->config, host, authority, name) != 0 ||
        aml_host_parse(aml_str_of(name), aml_str_of(d->config->apps), &at) !=
            0) {
        amld_site_say(d, request, response, AML_REASON_HOST_UNKNOWN);
        return;
    }

    rc = amld_on_demand_ask(d, (aml_str_t){at.name, at.name_len}, at.port,
                            &request->principal, 0);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND &&
        rc != AML_REGISTRY_DENIED) {
        amld_site_failed(d, request, response, "open", rc);
        return;
    }

    (void) snprintf(url, sizeof(url), "https://%s/", authority);
    amld_response_redirect(response, url);
}


/* 1 when the one who asks may know, and x->doc is theirs to free; else the
 * response is filled. */
static int
demand_of(amld_t *d, const amld_request_t *request, amld_response_t *response,
          demand_t *x)
{
    char authority[AMLD_AUTHORITY_SIZE], name[AMLD_AUTHORITY_SIZE];
    const char *to;

    memset(x, 0, sizeof(*x));

    to = amld_request_form(request, "to");
    x->to =
        amld_sign_in_local(to != NULL ? to : amld_request_query(request, "to"));

    if (amld_sign_in_instance(d->config, request->host, authority, name) != 0 ||
        aml_host_parse(aml_str_of(name), aml_str_of(d->config->apps),
                       &x->host) != 0) {
        x->reason = AML_REASON_HOST_UNKNOWN;

    } else if (amld_site_foreign(request)) {
        x->reason = AML_REASON_CROSS_ORIGIN;

    } else if (!request->identified && amld_site_is_page(request)) {
        amld_site_go(response, "/.aml/sign-in?to=", x->to);
        return 0;

    } else {
        x->reason = demand_decide(d, request, x);
    }

    if (demand_is_about(x->reason)) {
        return 1;
    }

    /* It was stopped meanwhile, or started anew: the gateway has a page for
     * that. */
    if (amld_site_is_page(request) &&
        (x->reason == AML_REASON_INSTANCE_STARTING ||
         x->reason == AML_REASON_INSTANCE_STOPPING ||
         x->reason == AML_REASON_INSTANCE_STOPPED)) {
        amld_response_redirect(response, x->to);
        return 0;
    }

    amld_site_say_at(d, request, response, AMLD_SITE_INSTANCE, x->reason);

    return 0;
}


/* As the gateway decides; with the document, where it is about that. */
static aml_reason_t
demand_decide(amld_t *d, const amld_request_t *request, demand_t *x)
{
    const aml_str_t name = {x->host.name, x->host.name_len};
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    aml_target_t target;
    aml_identity_t who;
    aml_reason_t reason;
    amld_key_t key;

    x->doc = NULL;
    amld_site_identity(request, &who);

    rc = aml_registry_read(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return demand_reason(rc);
    }

    aml_target_find(txn, name, x->host.port, &target);
    reason = aml_decide_application(txn, &who, &target);

    x->application = amld_on_demand_find(d->config, x->host.port);

    if (demand_is_about(reason) &&
        aml_application_by_port(x->host.port) == x->application) {
        rc = amld_on_demand_key(txn, d->config, name, &key);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_compute_load(txn, &key, &x->doc);
        }
        reason =
            rc == AML_REGISTRY_OK ? demand_name(x, reason) : demand_reason(rc);
    } else if (demand_is_about(reason)) {
        reason = AML_REASON_PORT_NOT_OPEN;
    }

    aml_registry_end(txn);

    return reason;
}


/* What it is called; how it is, where the gateway would first have tried. */
static aml_reason_t
demand_name(demand_t *x, aml_reason_t reason)
{
    const json_t *service;

    if (x->application != NULL) {
        x->name = x->application->links[0].display_name;
        snprintf(x->label, sizeof(x->label), "%s", x->application->name);
        return reason;
    }

    service = amld_service_by_port(x->doc, x->host.port);
    if (service == NULL) {
        json_decref(x->doc);
        x->doc = NULL;
        return AML_REASON_PORT_NOT_OPEN;
    }

    x->name = amld_compute_str(service, "name");
    amld_service_label(x->name, x->label);

    switch (amld_service_route(x->doc, x->name)) {
    case AML_INSTANCE_STARTING:
        return AML_REASON_SERVICE_STARTING;
    case AML_INSTANCE_STOPPED:
        return AML_REASON_SERVICE_STOPPED;
    case AML_INSTANCE_FAILED:
        return AML_REASON_SERVICE_FAILED;
    default:
        return AML_REASON_OK;
    }
}


static aml_registry_rc_t
demand_ask(amld_t *d, const amld_request_t *request, const demand_t *x)
{
    const aml_str_t name = {x->host.name, x->host.name_len};

    return x->application != NULL
               ? amld_on_demand_ask(d, name, x->host.port, &request->principal,
                                    1)
               : amld_service_ask(d, name, x->host.port, &request->principal);
}


static aml_reason_t
demand_reason(aml_registry_rc_t rc)
{
    switch (rc) {
    case AML_REGISTRY_DENIED:
        return AML_REASON_NOT_CREATOR;
    case AML_REGISTRY_NOTFOUND:
        return AML_REASON_PORT_NOT_OPEN;
    default:
        amld_log(AMLD_LOG_ERROR, "start: %s", aml_registry_strerror(rc));
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


static int
demand_is_about(aml_reason_t reason)
{
    return reason == AML_REASON_OK ||
           reason == AML_REASON_APPLICATION_NOT_STARTED ||
           reason == AML_REASON_APPLICATION_STARTING ||
           reason == AML_REASON_APPLICATION_FAILED ||
           reason == AML_REASON_SERVICE_STARTING ||
           reason == AML_REASON_SERVICE_STOPPED ||
           reason == AML_REASON_SERVICE_FAILED;
}


static int
demand_is_starting(const demand_t *x)
{
    return x->reason == AML_REASON_APPLICATION_STARTING ||
           x->reason == AML_REASON_SERVICE_STARTING;
}


/* Not by a page of another origin, as all redirects on the way are said: the
 * address was typed, or was here before. */
static int
demand_by_oneself(const amld_request_t *request)
{
    const char *site = amld_request_header(request, "Sec-Fetch-Site");

    return site != NULL &&
           (strcmp(site, "none") == 0 || strcmp(site, "same-origin") == 0);
}


static void
demand_view(const amld_t *d, const demand_t *x, demand_view_t *v)
{
    char path[PATH_MAX], log[PATH_MAX + 64];
    int64_t since;
    const char *instance;

    memset(v, 0, sizeof(*v));
    v->message = "";
    v->button = "Try again";

    instance = amld_compute_str(x->doc, "name");
    since = x->application != NULL ? amld_on_demand_time(x->doc, x->application)
                                   : amld_service_time(x->doc, x->name);
    v->seconds = (int64_t) time(NULL) - since;
    if (since == 0 || v->seconds < 0) {
        v->seconds = 0;
    }

    switch (x->reason) {

    case AML_REASON_OK:
        v->state = "Running";
        snprintf(v->text, sizeof(v->text), "%s runs.", x->name);
        break;

    case AML_REASON_APPLICATION_STARTING:
        v->state = "Starting";
        snprintf(v->text, sizeof(v->text),
                 "%s is starting: %lld of at most %u seconds.", x->name,
                 (long long) v->seconds, d->config->start_timeout);
        break;

    case AML_REASON_SERVICE_STARTING:
        v->state = "Starting";
        snprintf(v->text, sizeof(v->text),
                 "%s is starting: it does not listen on all its ports yet. Its "
                 "whole log: aml service logs %s %s",
                 x->name, instance, x->name);
        break;

    case AML_REASON_SERVICE_STOPPED:
        v->state = "Stopped";
        v->button = "Start it";
        snprintf(v->text, sizeof(v->text),
                 "%s is stopped. Start it here, or by: aml service start %s %s",
                 x->name, instance, x->name);
        break;

    case AML_REASON_SERVICE_FAILED:
        v->state = "Failed";
        snprintf(v->text, sizeof(v->text),
                 "%s has failed. Its whole log: aml service logs %s %s",
                 x->name, instance, x->name);
        v->message = amld_service_message(x->doc, x->name);
        break;

    case AML_REASON_APPLICATION_FAILED:
        v->state = "Failed";
        snprintf(v->text, sizeof(v->text), "%s could not be started.", x->name);
        v->message = amld_on_demand_message(x->doc, x->application);
        break;

    default:
        v->state = "NotStarted";
        v->button = "Start it";
        snprintf(v->text, sizeof(v->text),
                 "%s does not run yet. It is started when it is asked for.",
                 x->name);
        break;
    }

    if (demand_is_starting(x) &&
        amld_compute_runtime(d->config, x->doc, path, sizeof(path)) == 0) {
        snprintf(log, sizeof(log), "%s/%s.log", path, x->label);
        (void) amld_logfile_tail(log, DEMAND_LINES, v->log, sizeof(v->log));
    }
}


/* Seconds that its start may take; 0: a service has as many as it needs. */
static unsigned
demand_timeout(const amld_t *d, const demand_t *x)
{
    return x->application != NULL ? d->config->start_timeout : 0;
}


static void
demand_json(const amld_t *d, amld_response_t *response, const demand_t *x,
            unsigned status)
{
    demand_view_t v;

    demand_view(d, x, &v);

    amld_response_json(response, status,
                       json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I}",
                                 "application", x->label, "displayName",
                                 x->name, "state", v.state, "text", v.text,
                                 "message", v.message, "log", v.log, "button",
                                 v.button, "seconds", (json_int_t) v.seconds,
                                 "timeout", (json_int_t) demand_timeout(d, x)));

    if (demand_is_starting(x)) {
        amld_response_header(response, "Retry-After", "1");
    }
}


static void
demand_page(const amld_t *d, const amld_request_t *request,
            amld_response_t *response, const demand_t *x)
{
    static const char script[] = "/.aml/start.js";
    amld_html_t html = {0};
    demand_view_t v;
    char seconds[32], most[32];
    int starting;

    demand_view(d, x, &v);
    starting = demand_is_starting(x);
    snprintf(seconds, sizeof(seconds), "%lld", (long long) v.seconds);
    snprintf(most, sizeof(most), "%u", demand_timeout(d, x));

    if (starting) {
        amld_page_begin_again(&html, AMLD_SITE_INSTANCE, x->name, script);
    } else {
        amld_page_begin(&html, AMLD_SITE_INSTANCE, x->name, script);
    }

    amld_html(&html,
              "<main class=\"wait\">\n"
              "<h1>%s on %s</h1>\n"
              "<div class=\"card\" data-demand=\"%s\" data-to=\"%s\"",
              x->name, amld_compute_str(x->doc, "name"), v.state, x->to);
    amld_html(&html, x->reason == AML_REASON_APPLICATION_NOT_STARTED &&
                             demand_by_oneself(request)
                         ? " data-auto>\n"
                         : ">\n");
    amld_html(&html,
              "<p role=\"status\" data-part=\"status\">%s</p>\n"
              "<progress data-part=\"progress\"",
              v.text);
    if (demand_timeout(d, x) != 0) {
        amld_html(&html, " max=\"%s\" value=\"%s\"", most, seconds);
    }
    amld_html(&html, starting ? "></progress>\n" : " hidden></progress>\n");
    amld_html(&html, *v.message != '\0' ? "<pre class=\"alert\" role=\"alert\" "
                                          "data-part=\"alert\">"
                                        : "<pre class=\"alert\" role=\"alert\" "
                                          "data-part=\"alert\" hidden>");
    amld_html(&html, "%s</pre>\n", v.message);
    amld_html(&html, *v.log != '\0' ? "<pre data-part=\"log\">"
                                    : "<pre data-part=\"log\" hidden>");
    amld_html(&html, "%s</pre>\n", v.log);
    amld_html(&html, "<form method=\"post\" action=\"/.aml/start\" "
                     "data-part=\"form\"");
    amld_html(&html, starting ? " hidden>\n" : ">\n");
    amld_html(&html,
              "<input type=\"hidden\" name=\"to\" value=\"%s\">\n"
              "<button class=\"main\" data-part=\"button\">%s</button>\n"
              "</form>\n"
              "</div>\n"
              "<p class=\"soft\"><a href=\"%s/\">Open the studio</a></p>\n"
              "</main>\n",
              x->to, v.button, d->config->studio);

    amld_page_end(d, response, 200, &html);
}


const amld_http_route_t amld_on_demand_routes[] = {
    {"GET", "/.aml/start", demand_show},
    {"POST", "/.aml/start", demand_start},
    {"GET", "/.aml/start.js", demand_script},
    {"POST", "/auth/open", demand_open},
    {NULL, NULL, NULL},
};
