/*
 * What is left of providers and keys that are there no more.
 */

#include "auth/oidc_strays.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth/audit.h"
#include "auth/oidc.h"
#include "auth/sign_in_secrets.h"
#include "auth/sign_ins.h"

#define BATCH 256 /* ended at once: nginx's workers look at each change */

typedef struct {
    aml_principal_id_t id;
    aml_principal_id_t principal;
} stray_t;

typedef struct {
    const amld_config_t *config;
    stray_t *all;
    size_t n, size;
    int failed;
} strays_t;


/* ---- providers ---- */

static int
stray_each(void *data, const amld_sign_in_t *s)
{
    strays_t *strays = data;
    stray_t *grown;
    size_t size;

    /* what is ours is no address */
    if (strncmp(s->issuer, "https://", 8) != 0 ||
        amld_oidc_issuer(strays->config, s->issuer) != NULL) {
        return 0;
    }

    if (strays->n == strays->size) {
        size = strays->size == 0 ? BATCH : strays->size * 2;
        grown = realloc(strays->all, size * sizeof(*strays->all));
        if (grown == NULL) {
            strays->failed = 1;
            return 1;
        }
        strays->all = grown;
        strays->size = size;
    }
    strays->all[strays->n++] = (stray_t){s->id, s->principal};

    return 0;
}


static aml_registry_rc_t
strays_collect(aml_registry_t *registry, strays_t *strays)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = amld_sign_ins_each(txn, NULL, stray_each, strays);
    aml_registry_end(txn);

    if (strays->failed) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static aml_registry_rc_t
strays_end_batch(aml_registry_t *registry, const stray_t *strays, size_t n)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    size_t i;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < n && rc == AML_REGISTRY_OK; i++) {
        rc = amld_sign_in_end(txn, &strays[i].id);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static void
stray_audit(const amld_t *d, const stray_t *stray)
{
    amld_audit(d->audit, &(amld_audit_event_t){.event = "session-end",
                                               .reason = "provider_removed",
                                               .method = "oidc",
                                               .of = &stray->principal,
                                               .id = &stray->id});
}


aml_registry_rc_t
amld_oidc_strays_end(amld_t *d, size_t *ended)
{
    strays_t strays = {.config = d->config};
    aml_registry_rc_t rc;
    size_t i, n;

    *ended = 0;
    rc = strays_collect(d->registry, &strays);

    while (rc == AML_REGISTRY_OK && *ended < strays.n) {
        n = strays.n - *ended < BATCH ? strays.n - *ended : BATCH;
        rc = strays_end_batch(d->registry, strays.all + *ended, n);
        for (i = 0; i < n && rc == AML_REGISTRY_OK; i++) {
            stray_audit(d, &strays.all[(*ended)++]);
        }
    }
    free(strays.all);

    if (*ended > 0) {
        amld_log(AMLD_LOG_WARN,
                 "sign-out: %zu by providers that no section with a client_id "
                 "is of any more",
                 *ended);
    }

    return rc;
}


/* ---- keys ---- */

aml_registry_rc_t
amld_oidc_strays_sealed(amld_t *d, const amld_sealer_t *sealer,
                        const char *file, size_t *count)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    *count = 0;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_secrets_lost(txn, sealer, count);
        aml_registry_end(txn);
    }

    if (*count > 0) {
        amld_log(AMLD_LOG_WARN,
                 "%zu sign-in%s can't be renewed: the sealing key is not in %s",
                 *count, *count > 1 ? "s" : "", file);
    }

    return rc;
}
