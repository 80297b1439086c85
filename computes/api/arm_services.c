/*
 * Custom services of a compute: the list of them, read and replaced; and one of
 * them, started, stopped, started again.  They run as the creator, so nobody
 * else has a say, whatever their role.
 */

#include <string.h>

#include "auth/json.h"
#include "computes/api/arm.h"
#include "computes/services/service.h"
#include "computes/services/service_etag.h"
#include "computes/services/service_read.h"

static json_t *services_body(const char *text, size_t n, json_t **list,
                             amld_arm_fault_t *fault);
static void
services_replace(amld_arm_t *arm, const char *if_match, const json_t *list);
static int services_is_own(amld_arm_t *arm);
static void services_order(amld_t *d, const amld_request_t *request,
                           amld_response_t *response, amld_order_t order);
static void services_answer(amld_arm_t *arm, unsigned status, const char *name);


void
amld_arm_services_get(amld_t *d, const amld_request_t *request,
                      amld_response_t *response)
{
    amld_arm_t arm;

    if (amld_arm_begin(&arm, d, request, response, 1) == 0 &&
        amld_arm_found(&arm)) {
        services_answer(&arm, 200, NULL);
    }

    amld_arm_end(&arm);
}


void
amld_arm_services(amld_t *d, const amld_request_t *request,
                  amld_response_t *response)
{
    int rc;
    json_t *body, *list, *read;
    amld_arm_t arm;
    amld_arm_fault_t fault;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    read = NULL;
    body = services_body(request->body, request->body_len, &list, &fault);

    if (body == NULL ||
        amld_services_read(list, "customServices", &read, &fault) != 0) {
        amld_arm_faulty(&arm, &fault);

    } else {
        rc = amld_arm_load(&arm, 1);
        if (rc == 0) {
            amld_arm_not_found(&arm);
        } else if (rc == 1 && services_is_own(&arm)) {
            services_replace(&arm, amld_request_header(request, "If-Match"),
                             read);
        }
    }

    json_decref(read);
    json_decref(body);
    amld_arm_end(&arm);
}


void
amld_arm_service_start(amld_t *d, const amld_request_t *request,
                       amld_response_t *response)
{
    services_order(d, request, response, AMLD_ORDER_START);
}


void
amld_arm_service_stop(amld_t *d, const amld_request_t *request,
                      amld_response_t *response)
{
    services_order(d, request, response, AMLD_ORDER_STOP);
}


void
amld_arm_service_restart(amld_t *d, const amld_request_t *request,
                         amld_response_t *response)
{
    services_order(d, request, response, AMLD_ORDER_RESTART);
}


/* ARM's is the list itself; an object that has it is taken as well. */
static json_t *
services_body(const char *text, size_t n, json_t **list,
              amld_arm_fault_t *fault)
{
    json_t *body;

    *list = NULL;

    if (!aml_json_shallow((aml_str_t){text, n})) {
        (void) amld_arm_fault(fault, "InvalidRequestContent", NULL,
                              "The request content is nested deeper than %d.",
                              AML_JSON_DEPTH_MAX);
        return NULL;
    }

    body = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    *list =
        json_is_object(body) ? json_object_get(body, "customServices") : body;
    if (!json_is_array(*list)) {
        json_decref(body);
        (void) amld_arm_fault(fault, "InvalidRequestContent", NULL,
                              "The request content must be a list of services, "
                              "as JSON.");
        return NULL;
    }

    return body;
}


static void
services_replace(amld_arm_t *arm, const char *if_match, const json_t *list)
{
    char etag[AMLD_ETAG_SIZE];
    int failed;
    json_t *merged, *requested;
    amld_arm_fault_t fault;

    if (amld_compute_state(arm->doc) == AMLD_STATE_DELETING) {
        amld_response_error(arm->response, 409, "Conflict", NULL,
                            "The compute instance '%s' is being deleted.",
                            amld_compute_str(arm->doc, "name"));
        return;
    }

    /* First of all: what is only named may be gone. */
    if (if_match != NULL && (amld_services_etag(arm->doc, etag) != 0 ||
                             !amld_etag_matches(if_match, etag))) {
        amld_response_error(arm->response, 412, "PreconditionFailed",
                            "If-Match",
                            "The services of the compute instance '%s' are not "
                            "the ones that If-Match names: they have been "
                            "changed since they were read. Read them again.",
                            amld_compute_str(arm->doc, "name"));
        return;
    }

    requested = json_object_get(arm->doc, "requested");
    merged = amld_services_merge(list, amld_services(arm->doc),
                                 "customServices", &fault);
    if (merged == NULL || amld_services_fit(arm->d->config, merged,
                                            "customServices", &fault) != 0) {
        json_decref(merged);
        amld_arm_faulty(arm, &fault);
        return;
    }

    failed = 0;
    if (json_array_size(merged) == 0) {
        (void) json_object_del(requested, "customServices");
    } else {
        failed = json_object_set(requested, "customServices", merged);
    }
    json_decref(merged);

    if (failed) {
        amld_arm_registry_error(arm, AML_REGISTRY_FAILED);
    } else if (amld_arm_commit(arm) == 0) {
        services_answer(arm, 200, NULL);
    }
}


static int
services_is_own(amld_arm_t *arm)
{
    if (strcmp(arm->asker, amld_compute_str(arm->doc, "creator")) == 0) {
        return 1;
    }

    amld_response_error(arm->response, 403, "OwnerOnly", "customServices",
                        "Services run as the person whom the compute instance "
                        "is for: nobody else can give, start or stop them.");

    return 0;
}


static void
services_order(amld_t *d, const amld_request_t *request,
               amld_response_t *response, amld_order_t order)
{
    int rc;
    amld_arm_t arm;
    const char *name;

    if (amld_arm_begin(&arm, d, request, response, 1) != 0) {
        amld_arm_end(&arm);
        return;
    }

    name = amld_request_param(request, "service");
    rc = amld_arm_load(&arm, 1);

    if (rc == 0) {
        amld_arm_not_found(&arm);

    } else if (rc == 1 && services_is_own(&arm)) {
        if (amld_service_find(arm.doc, name) == NULL) {
            amld_response_error(response, 404, "ServiceNotFound", NULL,
                                "The compute instance '%s' has no service "
                                "'%.64s'.",
                                amld_compute_str(arm.doc, "name"), name);

        } else if (amld_compute_state(arm.doc) != AMLD_STATE_RUNNING) {
            amld_response_error(response, 409, "Conflict", NULL,
                                "The compute instance '%s' does not run; its "
                                "services start with it.",
                                amld_compute_str(arm.doc, "name"));

        } else if (amld_service_set_order(arm.doc, name, order) != 0) {
            amld_arm_registry_error(&arm, AML_REGISTRY_FAILED);

        } else if ((order == AMLD_ORDER_STOP ? amld_arm_commit_end(&arm)
                                             : amld_arm_commit(&arm)) == 0) {
            services_answer(&arm, 202, name);
        }
    }

    amld_arm_end(&arm);
}


/* All of them, or one. */
static void
services_answer(amld_arm_t *arm, unsigned status, const char *name)
{
    char etag[AMLD_ETAG_SIZE];
    int own;
    size_t i;
    json_t *all, *one;

    own = strcmp(arm->asker, amld_compute_str(arm->doc, "creator")) == 0;
    all = amld_services_answer(arm->d->config, arm->doc, own);

    if (name == NULL) {
        own = own && amld_services_etag(arm->doc, etag) == 0;
        amld_response_json(arm->response, status,
                           json_pack("{s:o,s:s*}", "customServices", all,
                                     "etag", own ? etag : NULL));
        if (own) {
            amld_response_header(arm->response, "ETag", "%s", etag);
        }
        return;
    }

    json_array_foreach(all, i, one)
    {
        if (strcmp(amld_compute_str(one, "name"), name) == 0) {
            amld_response_json(arm->response, status, json_incref(one));
            break;
        }
    }

    json_decref(all);
}
