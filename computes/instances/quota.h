/*
 * Quotas: how many cores the instances of a region may have, in each family of
 * sizes and in all ("total").  Stopped instances count, deleted ones don't.
 *
 *   quota/<region>/<family or "total">   all lower case; JSON
 *     {used (cores), limit (cores, -1: none; absent: the configuration's)}
 *
 * What is used is changed in the transaction that writes or removes an
 * instance's document (compute_index.h), so that a check in the transaction
 * that creates one holds: LMDB has one writer at a time.
 */

#ifndef AMLD_QUOTA_H
#define AMLD_QUOTA_H

#include <jansson.h>
#include <stdint.h>

#include "computes/config/config.h"
#include "registry/registry.h"

#define AMLD_QUOTA_TOTAL "total"
#define AMLD_QUOTA_NONE ((int64_t) -1)         /* no limit */
#define AMLD_QUOTA_DEFAULT ((int64_t) -2)      /* the configuration's */
#define AMLD_QUOTA_MOST ((int64_t) 1000000000) /* the highest limit */

typedef struct {
    int64_t limit; /* cores, or AMLD_QUOTA_NONE */
    int64_t used;  /* cores */
} amld_quota_t;

/* Why something was refused. */
typedef struct {
    const char *name; /* of the quota, as the caller had it; or NULL */
    amld_quota_t quota;
    int64_t over; /* cores that are too many */
} amld_quota_refusal_t;

/* How many of `asked` more cores are too many; 0: they fit. */
int64_t amld_quota_over(const amld_quota_t *q, int64_t asked);

/* What there is; unlimited and unused where nothing is known. */
aml_registry_rc_t
amld_quota_get(aml_registry_txn_t *txn, const amld_config_t *config,
               const char *region, const char *name, amld_quota_t *q);

/* Fills `refusal` with the quota that would be exceeded, the family's first;
 * its name is NULL when none would. */
aml_registry_rc_t
amld_quota_check(aml_registry_txn_t *txn, const amld_config_t *config,
                 const char *region, const char *family, int64_t cores,
                 amld_quota_refusal_t *refusal);

/* Cores, AMLD_QUOTA_NONE or AMLD_QUOTA_DEFAULT.  May be below what is used:
 * then nothing more is created. */
aml_registry_rc_t
amld_quota_set_limit(aml_registry_txn_t *txn, const char *region,
                     const char *name, int64_t limit);

/* Adds to what is used of a family and of the total; `cores` may be
 * negative. */
aml_registry_rc_t amld_quota_use(aml_registry_txn_t *txn, const char *region,
                                 const char *family, int64_t cores);

/* As the document of an instance says; one without a size uses nothing. */
aml_registry_rc_t
amld_quota_use_by(aml_registry_txn_t *txn, const json_t *doc, int sign);

/* Writes what is used of one quota, whatever was there. */
aml_registry_rc_t
amld_quota_set_used(aml_registry_txn_t *txn, const char *region,
                    const char *name, int64_t used);

#endif /* AMLD_QUOTA_H */
