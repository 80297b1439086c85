/*
 * What is left of providers and keys that are there no more.
 */

#include "auth/oidc_strays.h"

#include <string.h>

#include "auth/audit.h"
#include "auth/oidc.h"
#include "auth/sign_in_list.h"
#include "auth/sign_in_secrets.h"
#include "auth/sign_ins.h"

typedef struct {
    const amld_config_t *config;
    amld_sign_in_list_t list;
} strays_t;


/* ---- providers ---- */

static int
stray_each(void *data, const amld_sign_in_t *s)
{
    strays_t *strays = data;

    /* what is ours is no address */
    if (strncmp(s->issuer, "https://", 8) != 0 ||
        amld_oidc_issuer(strays->config, s->issuer) != NULL) {
        return 0;
    }

    return amld_sign_in_list_add(&strays->list, &s->id, &s->principal);
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

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static void
stray_audit(const amld_t *d, const amld_sign_in_ref_t *stray)
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
    size_t i;

    *ended = 0;
    rc = strays_collect(d->registry, &strays);

    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_list_end(d->registry, &strays.list, ended);
    }
    for (i = 0; i < *ended; i++) {
        stray_audit(d, &strays.list.all[i]);
    }
    amld_sign_in_list_free(&strays.list);

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
