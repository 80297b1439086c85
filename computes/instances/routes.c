/*
 * Where an instance's ports lead to, as the gateway reads it.
 */

#include "computes/instances/routes.h"

#include <stdio.h>
#include <string.h>

#include "computes/instances/on_demand.h"
#include "computes/services/service.h"
#include "upstreams/host.h"

#define ROUTES_PORTS 64 /* more than an instance ever has */
#define ROUTES_ADDRESS 256

typedef struct {
    size_t n;
    amld_key_t keys[ROUTES_PORTS];
} routes_keys_t;

static int routes_lower(const char *name, char low[AML_INSTANCE_NAME_MAX + 1]);
static aml_registry_rc_t
routes_kept(aml_registry_txn_t *txn, const char *lower,
            const aml_route_t *route, routes_keys_t *kept);
static aml_registry_rc_t routes_drop(aml_registry_txn_t *txn, const char *lower,
                                     const routes_keys_t *but);
static int routes_collect(void *data, aml_str_t key, aml_str_t value);
static int routes_address(const amld_config_t *c, const json_t *doc,
                          const char *name, char address[ROUTES_ADDRESS]);


aml_registry_rc_t
amld_routes_put(aml_registry_txn_t *txn, const amld_config_t *c,
                const json_t *doc)
{
    char id[1024], low[AML_INSTANCE_NAME_MAX + 1], address[ROUTES_ADDRESS];
    int any, up;
    size_t i;
    amld_command_id_t command;
    amld_endpoint_t end;
    aml_instance_state_t state;
    aml_registry_rc_t rc;
    aml_route_t route;
    routes_keys_t kept;
    const aml_application_t *a;

    if (amld_compute_id(doc, id, sizeof(id)) != 0 ||
        routes_lower(amld_compute_str(doc, "name"), low) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    memset(&route, 0, sizeof(route));
    state = amld_routes_head(doc);
    route.state = state;
    route.generation =
        (uint64_t) json_integer_value(json_object_get(doc, "generation"));
    route.name = aml_str_of(amld_compute_str(doc, "name"));
    route.compute = aml_str_of(id);
    if (aml_uuid_parse(aml_str_of(amld_compute_str(doc, "creator")),
                       &route.creator) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    if (state == AML_INSTANCE_RUNNING &&
        amld_compute_command(doc, AMLD_SERVICE_PORTS, &command) == 0) {
        if (routes_address(c, doc, "*", address) != 0) {
            return AML_REGISTRY_TOOLONG;
        }
        route.address = aml_str_of(address);
    }

    any = route.address.n != 0;

    kept.n = 0;
    rc = routes_kept(txn, low, &route, &kept);
    route.compute = aml_str("");

    for (i = 0; rc == AML_REGISTRY_OK && state == AML_INSTANCE_RUNNING &&
                aml_applications[i] != NULL;
         i++) {
        a = aml_applications[i];

        route.state = amld_compute_application(c, doc, a);
        if (route.state == AML_INSTANCE_UNKNOWN) {
            continue;
        }
        if (routes_address(c, doc, a->name, address) != 0) {
            return AML_REGISTRY_TOOLONG;
        }

        route.port = (uint16_t) a->port;
        route.address =
            aml_str_of(route.state == AML_INSTANCE_RUNNING ? address : "");
        rc = routes_kept(txn, low, &route, &kept);
    }

    for (i = 0; rc == AML_REGISTRY_OK && state == AML_INSTANCE_RUNNING &&
                amld_service_next_route(doc, &i, &end, &route.state);) {
        up = route.state == AML_INSTANCE_RUNNING;

        /* Where every port is reached, also what somebody else is that listens
         * on the one that a service which is not up has. */
        snprintf(id, sizeof(id), "%u", up ? end.target : end.published);
        if (routes_address(c, doc, id, address) != 0) {
            return AML_REGISTRY_TOOLONG;
        }

        route.port = (uint16_t) end.published;
        route.address = aml_str_of(up || any ? address : "");
        rc = routes_kept(txn, low, &route, &kept);
    }

    return rc == AML_REGISTRY_OK ? routes_drop(txn, low, &kept) : rc;
}


aml_registry_rc_t
amld_routes_drop(aml_registry_txn_t *txn, const char *lower)
{
    return routes_drop(txn, lower, NULL);
}


aml_instance_state_t
amld_compute_application(const amld_config_t *c, const json_t *doc,
                         const aml_application_t *a)
{
    amld_demand_t demand;
    amld_command_id_t command;

    if (a->on_demand) {
        demand = amld_on_demand_state(doc, a);
        if (demand != AMLD_DEMAND_RUNNING) {
            return amld_compute_program(c, a) != NULL
                       ? amld_on_demand_route(demand)
                       : AML_INSTANCE_UNKNOWN;
        }
    }

    /* Also while it is being started again: "does not answer" is then truer
     * than "nothing listens on this port". */
    return amld_compute_command(doc, a->name, &command) == 0
               ? AML_INSTANCE_RUNNING
               : AML_INSTANCE_UNKNOWN;
}


aml_instance_state_t
amld_routes_head(const json_t *doc)
{
    amld_state_t state;
    const char *status;

    state = amld_compute_state(doc);
    status = amld_compute_str(json_object_get(doc, "lastOperation"), "status");

    /* ARM has no state for a start that failed: it is Stopped again, and can
     * be started.  Who opens its address is told that it failed. */
    if (state == AMLD_STATE_STOPPED && (strcmp(status, "StartFailed") == 0 ||
                                        strcmp(status, "RestartFailed") == 0)) {
        return AML_INSTANCE_FAILED;
    }

    return amld_state_route(state);
}


static int
routes_lower(const char *name, char low[AML_INSTANCE_NAME_MAX + 1])
{
    size_t i;

    for (i = 0; name[i] != '\0'; i++) {
        if (i == AML_INSTANCE_NAME_MAX) {
            return -1;
        }
        low[i] =
            name[i] >= 'A' && name[i] <= 'Z' ? (char) (name[i] + 32) : name[i];
    }
    low[i] = '\0';

    return 0;
}


/* Of a socket where the engine has them. */
static int
routes_address(const amld_config_t *c, const json_t *doc, const char *name,
               char address[ROUTES_ADDRESS])
{
    memcpy(address, "unix:", 5);

    return amld_compute_socket(c, doc, name, address + 5, ROUTES_ADDRESS - 5);
}


static aml_registry_rc_t
routes_kept(aml_registry_txn_t *txn, const char *lower,
            const aml_route_t *route, routes_keys_t *kept)
{
    char buf[4096];
    size_t n;
    amld_key_t *key;

    if (kept->n == ROUTES_PORTS) {
        return AML_REGISTRY_TOOLONG;
    }

    key = &kept->keys[kept->n];
    key->n = aml_key_route(key->p, aml_str_of(lower), route->port);
    n = aml_route_encode(route, buf, sizeof(buf));
    if (key->n == 0 || n == 0) {
        return AML_REGISTRY_TOOLONG;
    }
    kept->n++;

    return aml_registry_put(txn, key->p, key->n, buf, n);
}


static aml_registry_rc_t
routes_drop(aml_registry_txn_t *txn, const char *lower,
            const routes_keys_t *but)
{
    size_t i, k;
    amld_key_t prefix = {.n = 0};
    routes_keys_t found;
    aml_registry_rc_t rc;

    prefix.n =
        (size_t) snprintf(prefix.p, sizeof(prefix.p), "route/%s/", lower);
    if (prefix.n >= sizeof(prefix.p)) {
        return AML_REGISTRY_TOOLONG;
    }

    found.n = 0;
    rc = aml_registry_each(txn, (aml_str_t){prefix.p, prefix.n}, aml_str(""),
                           routes_collect, &found);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    for (i = 0; i < found.n; i++) {
        for (k = 0; but != NULL && k < but->n; k++) {
            if (but->keys[k].n == found.keys[i].n &&
                memcmp(but->keys[k].p, found.keys[i].p, found.keys[i].n) == 0) {
                break;
            }
        }
        if (but != NULL && k < but->n) {
            continue;
        }

        rc = aml_registry_del(txn, found.keys[i].p, found.keys[i].n);
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
    }

    return AML_REGISTRY_OK;
}


static int
routes_collect(void *data, aml_str_t key, aml_str_t value)
{
    routes_keys_t *found;

    (void) value;
    found = data;

    if (found->n == ROUTES_PORTS || key.n > AML_REGISTRY_KEY_MAX) {
        return 1;
    }

    memcpy(found->keys[found->n].p, key.p, key.n);
    found->keys[found->n].p[key.n] = '\0';
    found->keys[found->n].n = key.n;
    found->n++;

    return 0;
}
