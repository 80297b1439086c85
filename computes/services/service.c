#include "computes/services/service.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "computes/instances/computes.h"
#include "computes/time/timestamp.h"

#define MEMBER "services"

static const json_t *service_status(const json_t *doc, const char *name);
static json_t *service_status_made(json_t *doc, const char *name);
static json_t *service_answer(const amld_config_t *c, const json_t *doc,
                              const json_t *service, int own);
static json_t *
service_answer_endpoints(const amld_config_t *c, const json_t *doc,
                         const json_t *service);
static amld_service_state_t service_begins(const json_t *doc, const char *name);
static const char *service_word(const json_t *doc, const char *name);

static const char *const service_states[] = {
    [AMLD_SERVICE_NONE] = "",           [AMLD_SERVICE_STARTING] = "Starting",
    [AMLD_SERVICE_RUNNING] = "Running", [AMLD_SERVICE_STOPPED] = "Stopped",
    [AMLD_SERVICE_FAILED] = "Failed",
};

static const char *const service_orders[] = {
    [AMLD_ORDER_NONE] = "",
    [AMLD_ORDER_START] = "start",
    [AMLD_ORDER_STOP] = "stop",
    [AMLD_ORDER_RESTART] = "restart",
};


const json_t *
amld_services(const json_t *doc)
{
    const json_t *list;

    list = json_object_get(json_object_get(doc, "requested"), "customServices");

    return json_is_array(list) ? list : NULL;
}


const json_t *
amld_service_find(const json_t *doc, const char *name)
{
    size_t i;
    const json_t *list, *one;

    list = amld_services(doc);

    for (i = 0; i < json_array_size(list); i++) {
        one = json_array_get(list, i);
        if (strcmp(amld_compute_str(one, "name"), name) == 0) {
            return one;
        }
    }

    return NULL;
}


size_t
amld_service_endpoints(const json_t *service,
                       amld_endpoint_t list[AMLD_SERVICE_ENDPOINTS])
{
    size_t i, n;
    json_int_t target, published;
    const json_t *all, *one;

    all = json_object_get(service, "endpoints");

    for (i = 0, n = 0; i < json_array_size(all) && n < AMLD_SERVICE_ENDPOINTS;
         i++) {
        one = json_array_get(all, i);
        target = json_integer_value(json_object_get(one, "target"));
        published = json_integer_value(json_object_get(one, "published"));
        if (target > 0 && target <= 65535 && published > 0 &&
            published <= 65535) {
            list[n++] =
                (amld_endpoint_t){(unsigned) target, (unsigned) published};
        }
    }

    return n;
}


void
amld_service_label(const char *name, char label[AMLD_SERVICE_LABEL_SIZE])
{
    snprintf(label, AMLD_SERVICE_LABEL_SIZE, AMLD_SERVICE_LABEL "%s", name);
}


const char *
amld_service_of_label(const char *label)
{
    size_t n = sizeof(AMLD_SERVICE_LABEL) - 1;

    return strncmp(label, AMLD_SERVICE_LABEL, n) == 0 ? label + n : NULL;
}


int
amld_service_revision(const json_t *service,
                      char revision[AMLD_SERVICE_REVISION])
{
    char *text;
    size_t i;
    json_t *copy;
    unsigned char hash[SHA256_DIGEST_LENGTH];

    /* When it starts by itself changes nothing of what runs. */
    copy = json_copy((json_t *) service);
    (void) json_object_del(copy, "autoStart");
    text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(copy);
    if (text == NULL) {
        return -1;
    }

    SHA256((const unsigned char *) text, strlen(text), hash);
    free(text);

    for (i = 0; i < (AMLD_SERVICE_REVISION - 1) / 2; i++) {
        snprintf(revision + 2 * i, 3, "%02x", hash[i]);
    }

    return 0;
}


amld_service_state_t
amld_service_state(const json_t *doc, const char *name)
{
    size_t i;
    const char *state;

    state = amld_compute_str(service_status(doc, name), "state");

    for (i = AMLD_SERVICE_STARTING; i <= AMLD_SERVICE_FAILED; i++) {
        if (strcmp(state, service_states[i]) == 0) {
            return (amld_service_state_t) i;
        }
    }

    return AMLD_SERVICE_NONE;
}


amld_order_t
amld_service_order(const json_t *doc, const char *name)
{
    size_t i;
    const char *order;

    order = amld_compute_str(service_status(doc, name), "order");

    for (i = AMLD_ORDER_START; i <= AMLD_ORDER_RESTART; i++) {
        if (strcmp(order, service_orders[i]) == 0) {
            return (amld_order_t) i;
        }
    }

    return AMLD_ORDER_NONE;
}


const char *
amld_service_revision_of(const json_t *doc, const char *name)
{
    return amld_compute_str(service_status(doc, name), "revision");
}


const char *
amld_service_message(const json_t *doc, const char *name)
{
    return amld_compute_str(service_status(doc, name), "message");
}


int64_t
amld_service_time(const json_t *doc, const char *name)
{
    return json_integer_value(
        json_object_get(service_status(doc, name), "time"));
}


int
amld_service_set(json_t *doc, const char *name, amld_service_state_t state,
                 const char *message, const char *revision)
{
    int failed;
    json_t *status;

    status = service_status_made(doc, name);

    failed = amld_compute_set_str(status, "state", service_states[state]);
    failed |= json_object_set_new(status, "time",
                                  json_integer((json_int_t) time(NULL)));

    if (message != NULL) {
        failed |= amld_compute_set_str(status, "message", message);
    } else {
        (void) json_object_del(status, "message");
    }

    if (revision != NULL) {
        failed |= amld_compute_set_str(status, "revision", revision);
    }

    return failed ? -1 : 0;
}


int
amld_service_set_order(json_t *doc, const char *name, amld_order_t order)
{
    if (order == AMLD_ORDER_NONE) {
        (void) json_object_del((json_t *) service_status(doc, name), "order");
        return 0;
    }

    return amld_compute_set_str(service_status_made(doc, name), "order",
                                service_orders[order]);
}


void
amld_service_forget(json_t *doc, const char *name)
{
    (void) json_object_del(json_object_get(doc, MEMBER), name);
}


const json_t *
amld_service_by_port(const json_t *doc, unsigned published)
{
    size_t i, k, n;
    const json_t *list, *one;
    amld_endpoint_t ends[AMLD_SERVICE_ENDPOINTS];

    list = amld_services(doc);

    for (i = 0; i < json_array_size(list); i++) {
        one = json_array_get(list, i);
        n = amld_service_endpoints(one, ends);
        for (k = 0; k < n; k++) {
            if (ends[k].published == published) {
                return one;
            }
        }
    }

    return NULL;
}


aml_instance_state_t
amld_service_route(const json_t *doc, const char *name)
{
    char label[AMLD_SERVICE_LABEL_SIZE];
    amld_command_id_t command;
    amld_service_state_t state;

    amld_service_label(name, label);
    state = amld_service_state(doc, name);

    /* Also one that was told to end: until it has, it listens. */
    if (state == AMLD_SERVICE_RUNNING &&
        amld_compute_command(doc, label, &command) == 0) {
        return AML_INSTANCE_RUNNING;
    }

    switch (amld_service_order(doc, name)) {
    case AMLD_ORDER_STOP:
        return AML_INSTANCE_STOPPED;
    case AMLD_ORDER_START:
    case AMLD_ORDER_RESTART:
        return AML_INSTANCE_STARTING;
    case AMLD_ORDER_NONE:
        break;
    }

    if (state == AMLD_SERVICE_NONE) {
        state = service_begins(doc, name);
    }

    return state == AMLD_SERVICE_STOPPED  ? AML_INSTANCE_STOPPED
           : state == AMLD_SERVICE_FAILED ? AML_INSTANCE_FAILED
                                          : AML_INSTANCE_STARTING;
}


int
amld_service_next_route(const json_t *doc, size_t *at, amld_endpoint_t *e,
                        aml_instance_state_t *state)
{
    size_t i, k, n;
    const json_t *list, *one;
    amld_endpoint_t ends[AMLD_SERVICE_ENDPOINTS];

    list = amld_services(doc);

    for (i = 0, k = 0; i < json_array_size(list); i++, k += n) {
        one = json_array_get(list, i);
        n = amld_service_endpoints(one, ends);
        if (*at < k + n) {
            *e = ends[*at - k];
            *state = amld_service_route(doc, amld_compute_str(one, "name"));
            (*at)++;
            return 1;
        }
    }

    return 0;
}


json_t *
amld_services_answer(const amld_config_t *c, const json_t *doc, int own)
{
    size_t i;
    json_t *answer;
    const json_t *list;

    list = amld_services(doc);
    answer = json_array();

    for (i = 0; i < json_array_size(list); i++) {
        json_array_append_new(
            answer, service_answer(c, doc, json_array_get(list, i), own));
    }

    return answer;
}


static const json_t *
service_status(const json_t *doc, const char *name)
{
    return json_object_get(json_object_get(doc, MEMBER), name);
}


/* NULL without memory. */
static json_t *
service_status_made(json_t *doc, const char *name)
{
    json_t *all, *one;

    all = json_object_get(doc, MEMBER);
    if (!json_is_object(all)) {
        (void) json_object_set_new(doc, MEMBER, json_object());
        all = json_object_get(doc, MEMBER);
    }

    one = json_object_get(all, name);
    if (!json_is_object(one)) {
        (void) json_object_set_new(all, name, json_object());
        one = json_object_get(all, name);
    }

    return one;
}


static json_t *
service_answer(const amld_config_t *c, const json_t *doc, const json_t *service,
               int own)
{
    char since[AMLD_TIMESTAMP_SIZE];
    int64_t when;
    json_t *answer, *image;
    const char *name;
    const json_t *status;

    name = amld_compute_str(service, "name");
    status = service_status(doc, name);

    answer = json_pack("{s:s,s:o,s:O,s:s}", "name", name, "endpoints",
                       service_answer_endpoints(c, doc, service), "autoStart",
                       json_object_get(service, "autoStart"), "state",
                       service_word(doc, name));

    when = json_integer_value(json_object_get(status, "time"));
    if (when != 0) {
        amld_timestamp_write(when, since);
        json_object_set_new(answer, "since", json_string(since));
    }

    if (!own) {
        return answer;
    }

    /* Clients of Azure read the image's reference without a look whether there
     * is one. */
    image = json_object_get(service, "image");
    json_object_set_new(
        answer, "image",
        image != NULL ? json_incref(image)
                      : json_pack("{s:s,s:n}", "type", "docker", "reference"));
    if (json_object_get(service, "command") != NULL) {
        json_object_set(answer, "command", json_object_get(service, "command"));
    }
    json_object_set(answer, "environmentVariables",
                    json_object_get(service, "environmentVariables"));
    json_object_set_new(answer, "volumes", json_array());
    json_object_set_new(answer, "message",
                        json_string(amld_compute_str(status, "message")));

    return answer;
}


static json_t *
service_answer_endpoints(const amld_config_t *c, const json_t *doc,
                         const json_t *service)
{
    char url[512];
    size_t i;
    json_int_t port;
    json_t *all, *list, *one;

    list = json_array();
    all = json_object_get(service, "endpoints");

    json_array_foreach(all, i, one)
    {
        port = json_integer_value(json_object_get(one, "published"));
        one = json_copy(one);
        json_object_set_new(one, "hostIp", json_null());
        if (amld_compute_origin(c, amld_compute_str(doc, "name"),
                                (unsigned) port, url, sizeof(url)) == 0) {
            json_object_set_new(one, "endpointUri", json_string(url));
        }
        json_array_append_new(list, one);
    }

    return list;
}


/* Of one that nothing is known of. */
static amld_service_state_t
service_begins(const json_t *doc, const char *name)
{
    return json_is_false(
               json_object_get(amld_service_find(doc, name), "autoStart"))
               ? AMLD_SERVICE_STOPPED
               : AMLD_SERVICE_STARTING;
}


static const char *
service_word(const json_t *doc, const char *name)
{
    amld_service_state_t state;

    if (amld_compute_state(doc) != AMLD_STATE_RUNNING) {
        return service_states[AMLD_SERVICE_STOPPED];
    }

    switch (amld_service_order(doc, name)) {
    case AMLD_ORDER_START:
        return service_states[AMLD_SERVICE_STARTING];
    case AMLD_ORDER_STOP:
        return "Stopping";
    case AMLD_ORDER_RESTART:
        return "Restarting";
    case AMLD_ORDER_NONE:
        break;
    }

    state = amld_service_state(doc, name);
    if (state == AMLD_SERVICE_NONE) {
        state = service_begins(doc, name);
    }

    return service_states[state];
}
