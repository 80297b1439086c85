/*
 * Custom services: commands of the creator's that run as long as their
 * instance does, and have ports.
 *
 * What is asked for is in the document, as it was checked (service_read.h):
 *
 *   requested.customServices [{name, command?, image? {type, reference},
 *     environmentVariables {<name>: {type: "local", value}},
 *     endpoints [{name, protocol, target, published}], autoStart}]
 *
 * and how it goes, of a running instance:
 *
 *   services {<name>: {state, time, message?, revision, order?}}
 *
 * `order` is a person's ("start", "stop", "restart") and is taken away when it
 * has been carried out; the rest is the supervisor's.  `revision` is of what
 * runs, see amld_service_revision().  All of `services` goes when the instance
 * is no longer Running.
 *
 * Its command is called "service-<name>", as its log is.  The application
 * behind `target` is reached by <sockets>/<target>.sock: the service's own
 * socket, or a relay's (relay.h).
 */

#ifndef AMLD_SERVICE_H
#define AMLD_SERVICE_H

#include <jansson.h>

#include "computes/config/config.h"
#include "registry/records.h"

#define AMLD_SERVICES_MAX 16      /* of an instance */
#define AMLD_SERVICE_NAME 32      /* characters of a name */
#define AMLD_SERVICE_ENDPOINTS 16 /* of all services of an instance */
#define AMLD_SERVICE_VARIABLES 32 /* of a service */
#define AMLD_SERVICE_LABEL "service-"
#define AMLD_SERVICE_LABEL_SIZE (sizeof(AMLD_SERVICE_LABEL) + AMLD_SERVICE_NAME)
#define AMLD_SERVICE_REVISION 17
#define AMLD_SERVICE_PORTS "ports" /* the relay of an engine with networks */

typedef enum {
    AMLD_SERVICE_NONE = 0, /* nothing is known: it has not been started */
    AMLD_SERVICE_STARTING,
    AMLD_SERVICE_RUNNING,
    AMLD_SERVICE_STOPPED,
    AMLD_SERVICE_FAILED
} amld_service_state_t;

typedef enum {
    AMLD_ORDER_NONE = 0,
    AMLD_ORDER_START,
    AMLD_ORDER_STOP,
    AMLD_ORDER_RESTART
} amld_order_t;

typedef struct {
    unsigned target;
    unsigned published; /* how hosts name it */
} amld_endpoint_t;

/* All that are asked for, an array; NULL: none. */
const json_t *amld_services(const json_t *doc);
/* One of them, NULL. */
const json_t *amld_service_find(const json_t *doc, const char *name);

/* Its ports; how many, at most AMLD_SERVICE_ENDPOINTS. */
size_t amld_service_endpoints(const json_t *service,
                              amld_endpoint_t list[AMLD_SERVICE_ENDPOINTS]);

/* "service-<name>" */
void amld_service_label(const char *name, char label[AMLD_SERVICE_LABEL_SIZE]);
/* The name in such a one, NULL when it is none. */
const char *amld_service_of_label(const char *label);

/* A hash of what it runs; 0, or -1 without memory. */
int amld_service_revision(const json_t *service,
                          char revision[AMLD_SERVICE_REVISION]);

amld_service_state_t amld_service_state(const json_t *doc, const char *name);
amld_order_t amld_service_order(const json_t *doc, const char *name);
/* Why it failed, ""; since when it is in its state, 0. */
const char *amld_service_message(const json_t *doc, const char *name);
int64_t amld_service_time(const json_t *doc, const char *name);
const char *
amld_service_revision_of(const json_t *doc, const char *name); /* "" */

/* `message` and `revision` may be NULL.  0, or -1 without memory. */
int amld_service_set(json_t *doc, const char *name, amld_service_state_t state,
                     const char *message, const char *revision);
int amld_service_set_order(json_t *doc, const char *name, amld_order_t order);
void amld_service_forget(json_t *doc, const char *name);

/* The one whose address names `published`, NULL. */
const json_t *amld_service_by_port(const json_t *doc, unsigned published);

/* What the gateway is told of a running instance's service: RUNNING, or why
 * not: STARTING, STOPPED, FAILED. */
aml_instance_state_t amld_service_route(const json_t *doc, const char *name);

/* The `at`-th endpoint of all services, and how its service is: 1 and moves
 * *at, or 0 at the end.  For routes. */
int amld_service_next_route(const json_t *doc, size_t *at, amld_endpoint_t *e,
                            aml_instance_state_t *state);

/*
 * ARM's customServices[]: a new reference.  Whoever is not the creator gets
 * names, ports and states only: the rest may have secrets.
 */
json_t *
amld_services_answer(const amld_config_t *c, const json_t *doc, int own);

#endif /* AMLD_SERVICE_H */
