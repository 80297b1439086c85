#include "computes/instances/on_demand.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MEMBER "onDemand"

static const json_t *demand_of(const json_t *doc, const aml_application_t *a);
static int demand_is_wanted(amld_demand_t state, int again);

static const char *const demand_names[] = {
    [AMLD_DEMAND_NONE] = "",
    [AMLD_DEMAND_STARTING] = "Starting",
    [AMLD_DEMAND_RUNNING] = "Running",
    [AMLD_DEMAND_FAILED] = "Failed",
};


amld_demand_t
amld_on_demand_state(const json_t *doc, const aml_application_t *a)
{
    size_t i;
    const char *state;

    state = amld_compute_str(demand_of(doc, a), "state");

    for (i = AMLD_DEMAND_STARTING; i <= AMLD_DEMAND_FAILED; i++) {
        if (strcmp(state, demand_names[i]) == 0) {
            return (amld_demand_t) i;
        }
    }

    return AMLD_DEMAND_NONE;
}


const char *
amld_on_demand_message(const json_t *doc, const aml_application_t *a)
{
    return amld_compute_str(demand_of(doc, a), "message");
}


int64_t
amld_on_demand_time(const json_t *doc, const aml_application_t *a)
{
    return json_integer_value(json_object_get(demand_of(doc, a), "time"));
}


int
amld_on_demand_set(json_t *doc, const aml_application_t *a, amld_demand_t state,
                   const char *message)
{
    json_t *all;

    all = json_object_get(doc, MEMBER);
    if (!json_is_object(all)) {
        if (json_object_set_new(doc, MEMBER, json_object()) != 0) {
            return -1;
        }
        all = json_object_get(doc, MEMBER);
    }

    if (state == AMLD_DEMAND_NONE) {
        (void) json_object_del(all, a->name);
        return 0;
    }

    return json_object_set_new(
        all, a->name,
        json_pack("{s:s,s:I,s:s*}", "state", demand_names[state], "time",
                  (json_int_t) time(NULL), "message", message));
}


aml_instance_state_t
amld_on_demand_route(amld_demand_t state)
{
    switch (state) {
    case AMLD_DEMAND_STARTING:
    case AMLD_DEMAND_RUNNING:
        return AML_INSTANCE_STARTING;
    case AMLD_DEMAND_FAILED:
        return AML_INSTANCE_FAILED;
    case AMLD_DEMAND_NONE:
        break;
    }

    return AML_INSTANCE_STOPPED;
}


const aml_application_t *
amld_on_demand_find(const amld_config_t *c, unsigned port)
{
    const aml_application_t *a;

    a = aml_application_by_port(port);

    return a != NULL && a->on_demand && amld_compute_program(c, a) != NULL
               ? a
               : NULL;
}


aml_registry_rc_t
amld_on_demand_key(aml_registry_txn_t *txn, const amld_config_t *c,
                   aml_str_t name, amld_key_t *key)
{
    int n;
    char own[AML_REGISTRY_KEY_MAX + 1];
    size_t i;
    aml_str_t value;
    aml_registry_rc_t rc;

    for (i = 0; i < c->workspace_count; i++) {
        n = snprintf(own, sizeof(own), "name/%s/%.*s",
                     c->workspaces[i].location, (int) name.n, name.p);
        if (n < 0 || (size_t) n >= sizeof(own)) {
            continue;
        }

        rc = aml_registry_get(txn, own, (size_t) n, &value);
        if (rc == AML_REGISTRY_OK) {
            if (value.n >= sizeof(key->p)) {
                return AML_REGISTRY_CORRUPT;
            }
            memcpy(key->p, value.p, value.n);
            key->p[value.n] = '\0';
            key->n = value.n;
            return AML_REGISTRY_OK;
        }
        if (rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
    }

    return AML_REGISTRY_NOTFOUND;
}


aml_registry_rc_t
amld_on_demand_load(aml_registry_txn_t *txn, const amld_config_t *c,
                    aml_str_t name, const aml_principal_id_t *who,
                    amld_key_t *key, json_t **doc)
{
    aml_registry_rc_t rc;
    aml_principal_id_t creator;

    *doc = NULL;

    rc = amld_on_demand_key(txn, c, name, key);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_load(txn, key, doc);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (aml_uuid_parse(aml_str_of(amld_compute_str(*doc, "creator")),
                       &creator) != 0 ||
        !aml_principal_eq(&creator, who)) {
        rc = AML_REGISTRY_DENIED;
    } else if (amld_compute_state(*doc) != AMLD_STATE_RUNNING) {
        rc = AML_REGISTRY_NOTFOUND;
    }

    if (rc != AML_REGISTRY_OK) {
        json_decref(*doc);
        *doc = NULL;
    }

    return rc;
}


aml_registry_rc_t
amld_on_demand_ask(amld_t *d, aml_str_t name, unsigned port,
                   const aml_principal_id_t *who, int again)
{
    json_t *doc;
    amld_key_t key;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    const aml_application_t *a;

    a = amld_on_demand_find(d->config, port);
    if (a == NULL) {
        return AML_REGISTRY_NOTFOUND;
    }

    /* Many ask at once, one of them writes. */
    rc = aml_registry_read(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    rc = amld_on_demand_load(txn, d->config, name, who, &key, &doc);
    aml_registry_end(txn);
    if (rc != AML_REGISTRY_OK ||
        !demand_is_wanted(amld_on_demand_state(doc, a), again)) {
        json_decref(doc);
        return rc;
    }
    json_decref(doc);

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_on_demand_load(txn, d->config, name, who, &key, &doc);
    if (rc == AML_REGISTRY_OK &&
        demand_is_wanted(amld_on_demand_state(doc, a), again)) {
        rc = amld_on_demand_set(doc, a, AMLD_DEMAND_STARTING, NULL) == 0
                 ? amld_on_demand_commit(d, &txn, &key, doc, a->name)
                 : AML_REGISTRY_FAILED;
    }

    aml_registry_end(txn);
    json_decref(doc);

    return rc;
}


aml_registry_rc_t
amld_on_demand_commit(amld_t *d, aml_registry_txn_t **txn,
                      const amld_key_t *key, json_t *doc, const char *what)
{
    aml_registry_rc_t rc;

    rc = amld_compute_store(*txn, d->config, key, doc);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_compute_notify(*txn, key);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_commit(*txn);
    *txn = NULL;
    if (rc == AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_INFO, "%s: %s is asked for",
                 amld_compute_str(doc, "name"), what);
        amld_wake(d);
    }

    return rc;
}


static const json_t *
demand_of(const json_t *doc, const aml_application_t *a)
{
    return json_object_get(json_object_get(doc, MEMBER), a->name);
}


static int
demand_is_wanted(amld_demand_t state, int again)
{
    return state == AMLD_DEMAND_NONE || (again && state == AMLD_DEMAND_FAILED);
}
