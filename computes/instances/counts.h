/*
 * The one record of what is counted of jobs and services (registry/records.h),
 * which the gateway tells (aml_status).  It is written in the transactions that
 * make what it counts so: it is right after amld was killed, and nobody has to
 * walk the registry for it.
 */

#ifndef AMLD_COUNTS_H
#define AMLD_COUNTS_H

#include "registry/records.h"
#include "registry/registry.h"

/* NOTFOUND when there is none, or none that can be read: all are 0 then. */
aml_registry_rc_t amld_counts_load(aml_registry_txn_t *txn, aml_counts_t *c);
aml_registry_rc_t
amld_counts_store(aml_registry_txn_t *txn, const aml_counts_t *c);

/* What has come to pass with services and is not written down yet. */
typedef struct {
    unsigned starts;
    unsigned restarts;
    unsigned failures;
} amld_service_counts_t;

/* Adds them; writes nothing where there are none. */
aml_registry_rc_t
amld_counts_services(aml_registry_txn_t *txn, const amld_service_counts_t *s);

#endif /* AMLD_COUNTS_H */
