/*
 * Custom services, the supervisor's side: each is one of i->apps and is run as
 * an application on demand is (on_demand_run.h), but for what is here: what it
 * runs, when it counts as up, that people start and stop it, and that it is
 * always started again when it ends, until it has done so too often.
 *
 * Where an engine gives instances networks of their own, the relay that leads
 * into one is looked after the same way, by the name "ports".  That is never
 * given up: it is only started ever less often.
 *
 * A service never takes its instance with it.
 */

#ifndef AMLD_SERVICE_RUN_H
#define AMLD_SERVICE_RUN_H

#include "computes/instances/instance.h"
#include "computes/services/service.h"

typedef struct amld_service {
    aml_application_t application; /* what the rest sees of it */
    char name[AMLD_SERVICE_NAME + 1];
    char label[AMLD_SERVICE_LABEL_SIZE];
    char revision[AMLD_SERVICE_REVISION]; /* of what runs */
    json_t *definition;                   /* NULL: it is asked for no more */
    int ports;                            /* it is the relay */
    amld_order_t order;                   /* being carried out */
    int off;                              /* a person has stopped it */
    int stopping;                         /* was told to end */
    int again;                            /* is to be started when it has */
    int kills;
} amld_service_t;

void amld_service_free(amld_service_t *s); /* NULL is allowed */

/* Makes what runs what `doc`, of a running instance, asks for. */
void amld_services_look(amld_instance_t *i, const json_t *doc);

/* Takes over those of the document; how many of them run. */
size_t amld_services_adopt(amld_instance_t *i, const json_t *doc);

/* Is it one?  What follows is for these only. */
int amld_service_is(const amld_app_t *app);
int amld_service_is_stopping(const amld_app_t *app); /* also 0 for others */
int amld_service_is_ports(const amld_app_t *app);    /* likewise */

/* Starts it, held back; 0, or -1 and why. */
int amld_service_exec(amld_app_t *app, char *err, size_t size);

/* Are its sockets there?  app->ready then. */
void amld_service_probe(amld_app_t *app, int64_t now);

/* Of one that is being stopped: 1.  0: it is like any other. */
int amld_service_tick(amld_app_t *app, int64_t now);

/* Writes how it is into the document; 0, or -1. */
int amld_service_record(const amld_app_t *app, json_t *doc);
/* That was committed. */
void amld_service_recorded(amld_app_t *app);

#endif /* AMLD_SERVICE_RUN_H */
