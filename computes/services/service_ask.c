#include "computes/services/service_ask.h"

#include "computes/instances/on_demand.h"
#include "computes/services/service.h"

static int ask_is_needed(const json_t *doc, const json_t *service);


aml_registry_rc_t
amld_service_ask(amld_t *d, aml_str_t name, unsigned port,
                 const aml_principal_id_t *who)
{
    json_t *doc;
    amld_key_t key;
    const char *label;
    const json_t *service;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_on_demand_load(txn, d->config, name, who, &key, &doc);
    service = rc == AML_REGISTRY_OK ? amld_service_by_port(doc, port) : NULL;
    if (rc == AML_REGISTRY_OK && service == NULL) {
        rc = AML_REGISTRY_NOTFOUND;
    }

    if (rc == AML_REGISTRY_OK && ask_is_needed(doc, service)) {
        label = amld_compute_str(service, "name");
        rc = amld_service_set_order(doc, label, AMLD_ORDER_START) == 0
                 ? amld_on_demand_commit(d, &txn, &key, doc, label)
                 : AML_REGISTRY_FAILED;
    }

    aml_registry_end(txn);
    json_decref(doc);

    return rc;
}


static int
ask_is_needed(const json_t *doc, const json_t *service)
{
    switch (amld_service_route(doc, amld_compute_str(service, "name"))) {
    case AML_INSTANCE_STOPPED:
    case AML_INSTANCE_FAILED:
        return 1;
    default:
        return 0;
    }
}
