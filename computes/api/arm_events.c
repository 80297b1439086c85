/*
 * How far an instance is, followed: server-sent events, or JSON for who asks
 * once; and what its commands have written, for its person alone.
 */

#include "computes/api/arm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "computes/files/logfile.h"
#include "computes/instances/progress.h"
#include "computes/instances/step.h"
#include "computes/services/service.h"

#define EVENTS_KEEPALIVE 15000 /* ms, below the patience of proxies */
#define EVENTS_MOST 600000     /* ms; clients come again by themselves */
#define EVENTS_RECHECK 5000    /* ms between looks at the document */
#define EVENTS_LOG_PAUSE 500   /* ms between looks at a log */
#define EVENTS_LOG_CHUNK 2048  /* bytes of a log in an event */
#define EVENTS_LOG_BEHIND (64 * 1024)
#define EVENTS_LOG_TAIL 4096
#define EVENTS_LOG_WHOLE (256 * 1024)
#define EVENTS_LOG_LINES 12

typedef struct {
    amld_follower_t follower;
    amld_progress_t *progress;
    amld_t *d;
    amld_key_t key;
    int own; /* the creator follows */
    char runtime[PATH_MAX];
    char *text; /* what is being sent, or NULL */
    size_t sent;
    int over; /* once it is sent */
    uint64_t seen;
    uint64_t looked; /* at the document, when progress had this version */
    int64_t look_at;
    int64_t keep_at;
    int64_t ends_at;
    char state[32];
    char log[AMLD_PROGRESS_NAME];
    int64_t offset;
} events_t;

static int events_are_asked(const amld_request_t *request);
static int events_is_own(const amld_arm_t *arm);
static void events_once(amld_arm_t *arm, amld_progress_t *p);
static void events_stream(amld_arm_t *arm, amld_progress_t *p);
static ssize_t events_read(void *data, uint64_t at, char *buf, size_t size);
static void events_over(void *data);
static int events_step(events_t *e);
static int events_log(events_t *e);
static int events_state(events_t *e, uint64_t version);
static void events_say(events_t *e, const char *event, json_t *data);
static json_t *events_state_json(const json_t *doc, int own);
static int events_settled(const json_t *doc);
static int64_t events_now(void);


void
amld_arm_events(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    amld_arm_t arm;
    amld_progress_t *p;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0 ||
        !amld_arm_found(&arm)) {
        amld_arm_end(&arm);
        return;
    }

    p = amld_progress_join(d->progress, &arm.key);
    amld_progress_look(p, arm.doc);

    if (events_are_asked(request)) {
        events_stream(&arm, p);
    } else {
        events_once(&arm, p);
    }

    amld_progress_leave(p);
    amld_arm_end(&arm);
}


void
amld_arm_log(amld_t *d, const amld_request_t *request,
             amld_response_t *response)
{
    int known;
    char path[PATH_MAX + 64], *text;
    size_t n, k;
    amld_arm_t arm;
    const char *name, *service;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0 ||
        !amld_arm_found(&arm)) {
        amld_arm_end(&arm);
        return;
    }

    name = amld_request_param(request, "log");
    known = 0;
    for (k = 0; k < AMLD_STEP_COUNT; k++) {
        known |= strcmp(amld_step_name((amld_step_kind_t) k), name) == 0;
    }
    known |= aml_application_by_name(aml_str_of(name)) != NULL;
    service = amld_service_of_label(name);
    known |= service != NULL && amld_service_find(arm.doc, service) != NULL;

    if (!events_is_own(&arm)) {
        amld_response_error(response, 403, "AuthorizationFailed", NULL,
                            "What runs on a compute instance writes its logs "
                            "for its creator; nobody else may read them.");
        amld_arm_end(&arm);
        return;
    }

    n = strlen(amld_compute_str(arm.doc, "runtime"));
    text = malloc(EVENTS_LOG_WHOLE);
    if (text == NULL || !known || n == 0 ||
        amld_compute_runtime(d->config, arm.doc, path, PATH_MAX) != 0) {
        n = 0;
    } else {
        n = strlen(path);
        snprintf(path + n, sizeof(path) - n, "/%s.log", name);
        n = amld_logfile_tail(path, UINT_MAX, text, EVENTS_LOG_WHOLE);
    }

    if (n == 0) {
        amld_response_error(response, 404, "LogNotFound", NULL,
                            "There is no log '%.64s', or nothing in it.", name);
    } else {
        amld_response_content(response, 200, "text/plain; charset=utf-8", text,
                              n);
    }

    free(text);
    amld_arm_end(&arm);
}


static int
events_are_asked(const amld_request_t *request)
{
    const char *accept;

    accept = amld_request_header(request, "Accept");

    return accept != NULL && strstr(accept, "text/event-stream") != NULL;
}


static int
events_is_own(const amld_arm_t *arm)
{
    char principal[AML_UUID_TEXT + 1];

    aml_uuid_format(&arm->request->principal, principal);

    return strcmp(principal, amld_compute_str(arm->doc, "creator")) == 0;
}


static void
events_once(amld_arm_t *arm, amld_progress_t *p)
{
    int own;
    char path[PATH_MAX + 64], text[EVENTS_LOG_TAIL];
    size_t n;
    json_t *body;
    amld_progress_step_t step;

    own = events_is_own(arm);
    body = events_state_json(arm->doc, own);
    json_object_set_new(body, "steps", amld_progress_json(p));

    if (own && amld_progress_running(p, &step) && step.log[0] != '\0' &&
        amld_compute_runtime(arm->d->config, arm->doc, path, PATH_MAX) == 0) {
        n = strlen(path);
        snprintf(path + n, sizeof(path) - n, "/%s.log", step.log);
        n = amld_logfile_tail(path, EVENTS_LOG_LINES, text, sizeof(text));
        json_object_set_new(
            body, "log",
            json_pack("{s:s,s:s%}", "name", step.log, "text", text, n));
    }

    amld_response_json(arm->response, 200, body);
}


static void
events_stream(amld_arm_t *arm, amld_progress_t *p)
{
    events_t *e;

    e = calloc(1, sizeof(*e));
    if (e != NULL) {
        e->progress = amld_progress_join(arm->d->progress, &arm->key);
        e->d = arm->d;
        e->key = arm->key;
        e->own = events_is_own(arm);
        e->follower.who = arm->request->principal;
        e->follower.connection = amld_request_connection(arm->request);
        e->keep_at = events_now() + EVENTS_KEEPALIVE;
        e->ends_at = events_now() + EVENTS_MOST;
        e->text = strdup("retry: 2000\n\n");
    }

    if (e == NULL || e->text == NULL || p == NULL ||
        amld_compute_runtime(arm->d->config, arm->doc, e->runtime,
                             sizeof(e->runtime)) != 0 ||
        amld_progress_follow(e->progress, &e->follower) != 0) {
        if (e != NULL) {
            events_over(e);
        }
        amld_response_error(arm->response, 503, "TooManyFollowers", NULL,
                            "You, or too many others, follow compute "
                            "instances now. Without "
                            "'text/event-stream' in Accept this address "
                            "answers at once.");
        amld_response_header(arm->response, "Retry-After", "5");
        return;
    }

    amld_response_stream(arm->response, "text/event-stream", events_read,
                         events_over, e);
    amld_response_header(arm->response, "X-Accel-Buffering", "no");
}


static ssize_t
events_read(void *data, uint64_t at, char *buf, size_t size)
{
    int rc;
    size_t n;
    int64_t now;
    uint64_t version;
    events_t *e;

    (void) at;
    e = data;

    for (;;) {
        if (e->text != NULL) {
            n = strlen(e->text + e->sent);
            n = n < size ? n : size;
            memcpy(buf, e->text + e->sent, n);
            e->sent += n;
            if (e->text[e->sent] == '\0') {
                free(e->text);
                e->text = NULL;
                e->sent = 0;
            }
            e->keep_at = events_now() + EVENTS_KEEPALIVE;
            return (ssize_t) n;
        }

        if (e->over) {
            return -1;
        }

        version = amld_progress_version(e->progress);
        if (events_log(e) || events_step(e) || events_state(e, version)) {
            if (e->text == NULL) {
                return -1; /* no memory */
            }
            continue;
        }

        now = events_now();
        if (now >= e->ends_at) {
            return -1;
        }
        if (now >= e->keep_at) {
            e->text = strdup(":\n\n");
            continue;
        }

        rc = amld_progress_wait(&e->follower, version,
                                e->own && e->log[0] != '\0' ? EVENTS_LOG_PAUSE
                                                            : EVENTS_RECHECK);
        if (rc != 0) {
            return rc == 1 ? 0 : -1;
        }
    }
}


static void
events_over(void *data)
{
    events_t *e;

    e = data;
    amld_progress_unfollow(&e->follower);
    amld_progress_leave(e->progress);
    free(e->text);
    free(e);
}


static int
events_step(events_t *e)
{
    char path[PATH_MAX + 64];
    int64_t size;
    amld_progress_step_t step;

    if (!amld_progress_next(e->progress, e->seen, &step)) {
        return 0;
    }

    e->seen = step.version;

    if (step.outcome == AMLD_OUTCOME_RUNNING && step.log[0] != '\0') {
        snprintf(e->log, sizeof(e->log), "%s", step.log);
        snprintf(path, sizeof(path), "%s/%s.log", e->runtime, e->log);
        size = amld_logfile_size(path);
        e->offset = size - step.offset > EVENTS_LOG_TAIL
                        ? size - EVENTS_LOG_TAIL
                        : step.offset;
    } else if (strcmp(step.log, e->log) == 0) {
        e->log[0] = '\0';
    }

    events_say(e, "step", amld_progress_step_json(&step));

    return 1;
}


/* Before the step that it belongs to is said to have ended. */
static int
events_log(events_t *e)
{
    char path[PATH_MAX + 64], text[EVENTS_LOG_CHUNK];
    size_t n;
    int64_t size;

    if (!e->own || e->log[0] == '\0') {
        return 0;
    }

    snprintf(path, sizeof(path), "%s/%s.log", e->runtime, e->log);

    /* Who reads slowly misses what was before. */
    size = amld_logfile_size(path);
    if (size - e->offset > EVENTS_LOG_BEHIND) {
        e->offset = size - EVENTS_LOG_TAIL;
    }

    n = amld_logfile_read(path, &e->offset, text, sizeof(text));
    if (n == 0) {
        return 0;
    }

    events_say(e, "log",
               json_pack("{s:s,s:s%}", "name", e->log, "text", text, n));

    return 1;
}


static int
events_state(events_t *e, uint64_t version)
{
    char runtime[PATH_MAX];
    int said;
    json_t *doc;
    int64_t now;
    const char *state;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    now = events_now();
    if (e->look_at != 0 && version == e->looked && now < e->look_at) {
        return 0;
    }

    rc = aml_registry_read(e->d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        e->look_at = now + EVENTS_RECHECK;
        return 0;
    }
    rc = amld_compute_load(txn, &e->key, &doc);
    aml_registry_end(txn);

    e->looked = version;
    e->look_at = now + EVENTS_RECHECK;
    said = 0;

    /* Gone, or another of the name. */
    if (rc == AML_REGISTRY_NOTFOUND ||
        (rc == AML_REGISTRY_OK &&
         (amld_compute_runtime(e->d->config, doc, runtime, sizeof(runtime)) !=
              0 ||
          strcmp(runtime, e->runtime) != 0))) {
        events_say(e, "state",
                   json_pack("{s:s,s:b}", "state", "Deleted", "settled", 1));
        e->over = 1;
        said = 1;

    } else if (rc == AML_REGISTRY_OK) {
        state = amld_compute_str(doc, "state");
        if (strcmp(e->state, state) != 0) {
            snprintf(e->state, sizeof(e->state), "%s", state);
            e->over = events_settled(doc);
            events_say(e, "state", events_state_json(doc, e->own));
            said = 1;
        }
    }

    json_decref(doc);

    return said;
}


/* Takes the reference. */
static void
events_say(events_t *e, const char *event, json_t *data)
{
    char *json;

    json = data != NULL ? json_dumps(data, JSON_COMPACT) : NULL;
    json_decref(data);

    if (json == NULL ||
        asprintf(&e->text, "event: %s\ndata: %s\n\n", event, json) == -1) {
        e->text = NULL;
    }

    free(json);
}


/* Errors have the end of a log. */
static json_t *
events_state_json(const json_t *doc, int own)
{
    json_t *body, *last;

    body = json_pack("{s:s,s:b}", "state", amld_compute_str(doc, "state"),
                     "settled", events_settled(doc));

    last = json_object_get(doc, "lastOperation");
    if (body != NULL && json_is_object(last)) {
        json_object_set(body, "operation", last);
    }
    if (body != NULL && own) {
        json_object_set_new(body, "errors",
                            json_is_array(json_object_get(doc, "errors"))
                                ? json_deep_copy(json_object_get(doc, "errors"))
                                : json_array());
    }

    return body;
}


static int
events_settled(const json_t *doc)
{
    amld_state_t state;

    state = amld_compute_state(doc);

    return state != AMLD_STATE_CREATING && state != AMLD_STATE_STARTING &&
           state != AMLD_STATE_RESTARTING && state != AMLD_STATE_STOPPING &&
           state != AMLD_STATE_DELETING;
}


static int64_t
events_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
