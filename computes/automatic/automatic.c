#include "computes/automatic/automatic.h"

#include <string.h>

#include "auth/audit.h"
#include "computes/instances/operations.h"

static void automatic_audit(amld_t *d, const json_t *doc,
                            const amld_automatic_t *what, int refused);


aml_registry_rc_t
amld_automatic_begin(const amld_t *d, aml_registry_txn_t *txn,
                     const amld_key_t *key, json_t *doc,
                     const amld_automatic_t *what)
{
    json_t *last;
    aml_registry_rc_t rc;

    rc = amld_operation_begin(txn, key, doc, what->name);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    last = json_object_get(doc, "lastOperation");

    if (amld_compute_set_str(last, "trigger", what->trigger) != 0 ||
        amld_compute_set_str(last, "reason", what->reason) != 0 ||
        amld_compute_set_state(doc, what->state) != 0 ||
        amld_compute_set_error(doc, NULL, NULL) != 0 ||
        amld_compute_modified(doc) != 0) {
        return AML_REGISTRY_FAILED;
    }

    rc = amld_compute_store(txn, d->config, key, doc);

    return rc == AML_REGISTRY_OK ? amld_compute_notify(txn, key) : rc;
}


void
amld_automatic_told(amld_t *d, const json_t *doc, const amld_automatic_t *what)
{
    amld_wake(d);

    amld_log(AMLD_LOG_INFO, "%s: %s by %s: %s", amld_compute_str(doc, "name"),
             what->name, what->trigger, what->reason);
    automatic_audit(d, doc, what, 0);
}


void
amld_automatic_refused(amld_t *d, const json_t *doc,
                       const amld_automatic_t *what)
{
    amld_log(AMLD_LOG_WARN, "%s: no %s by %s: %s",
             amld_compute_str(doc, "name"), what->name, what->trigger,
             what->reason);
    automatic_audit(d, doc, what, 1);
}


static void
automatic_audit(amld_t *d, const json_t *doc, const amld_automatic_t *what,
                int refused)
{
    char scope[1024];
    aml_principal_id_t of;
    int known;

    if (amld_compute_id(doc, scope, sizeof(scope)) != 0) {
        scope[0] = '\0';
    }
    known =
        aml_uuid_parse(aml_str_of(amld_compute_str(doc, "creator")), &of) == 0;

    amld_audit(d->audit,
               &(amld_audit_event_t){
                   .event = strcmp(what->trigger, "Schedule") == 0 ? "schedule"
                                                                   : "idle",
                   .refused = refused,
                   .reason = what->reason,
                   .of = known ? &of : NULL,
                   .target = amld_compute_str(doc, "name"),
                   .action = what->name,
                   .scope = scope});
}
