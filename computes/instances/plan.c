#include "computes/instances/plan.h"

#include <time.h>

#include "computes/automatic/due.h"
#include "computes/automatic/idle.h"
#include "computes/automatic/schedule.h"


aml_registry_rc_t
amld_plan(aml_registry_txn_t *txn, const amld_key_t *key, json_t *doc)
{
    int64_t at, now;
    aml_registry_rc_t rc;

    now = (int64_t) time(NULL);

    if (amld_schedule_plan(doc, now, &at) != 0) {
        return AML_REGISTRY_FAILED;
    }
    rc = amld_due_set(txn, key, doc, AMLD_DUE_SCHEDULE, at);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (amld_idle_plan(doc, now, &at) != 0) {
        return AML_REGISTRY_FAILED;
    }

    return amld_due_set(txn, key, doc, AMLD_DUE_IDLE, at);
}
