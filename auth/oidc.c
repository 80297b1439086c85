/*
 * What signing in and out with providers shares.
 */

#include "auth/oidc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/expiring.h"
#include "auth/oidc_flows.h"
#include "auth/oidc_logout.h"
#include "auth/oidc_renew.h"
#include "auth/oidc_strays.h"
#include "auth/sessions.h"
#include "computes/files/files.h"

#define KEYS_FILE "sealing-keys"
#define SWEEP_MOST 32768 /* records of a kind at a time */

struct amld_oidc {
    amld_sealer_t *sealer;
    amld_oidc_renewer_t *renewer;
    atomic_int waiters;
    atomic_int asking_all;
    atomic_int *asking; /* of each section */
    atomic_int ends;
    amld_seldom_t refused; /* logout tokens */
};


/* Also where people signed in before `sign_in` was turned off. */
static int
oidc_is_used(const amld_config_t *config)
{
    size_t i;

    for (i = 0; i < config->issuer_count; i++) {
        if (config->issuers[i].client_id != NULL) {
            return 1;
        }
    }

    return 0;
}


static int
oidc_is_ok(aml_registry_rc_t rc)
{
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "oidc: %s", aml_registry_strerror(rc));
    }

    return rc == AML_REGISTRY_OK;
}


amld_oidc_t *
amld_oidc_start(amld_t *d)
{
    char file[4096];
    amld_oidc_t *o;
    size_t n;

    o = calloc(1, sizeof(*o));
    if (o == NULL) {
        amld_log(AMLD_LOG_ERROR, "oidc: no memory");
        return NULL;
    }

    if (!oidc_is_ok(amld_oidc_strays_end(d, &n))) {
        free(o);
        return NULL;
    }

    if (!oidc_is_used(d->config)) {
        return o;
    }

    if (amld_files_mkdir(d->config->state, 0755) != 0 ||
        snprintf(file, sizeof(file), "%s/" KEYS_FILE, d->config->state) >=
            (int) sizeof(file)) {
        amld_log(AMLD_LOG_ERROR, "%s: can't be made", d->config->state);
        free(o);
        return NULL;
    }

    o->asking = calloc(d->config->issuer_count, sizeof(*o->asking));
    if (o->asking == NULL) {
        amld_log(AMLD_LOG_ERROR, "oidc: no memory");
        free(o);
        return NULL;
    }

    o->sealer = amld_sealer_new(file);
    if (o->sealer != NULL &&
        oidc_is_ok(amld_oidc_strays_sealed(d, o->sealer, file, &n))) {
        o->renewer = amld_oidc_renewer_start(d, o->sealer);
    }

    if (o->renewer == NULL) {
        amld_oidc_stop(o);
        return NULL;
    }

    return o;
}


void
amld_oidc_stop(amld_oidc_t *o)
{
    if (o != NULL) {
        amld_oidc_renewer_stop(o->renewer);
        amld_sealer_free(o->sealer);
        free(o->asking);
        free(o);
    }
}


void
amld_oidc_cancel(amld_oidc_t *o)
{
    if (o != NULL) {
        atomic_store(&o->ends, 1);
    }
}


const atomic_int *
amld_oidc_cancelled(const amld_oidc_t *o)
{
    return o != NULL ? &o->ends : NULL;
}


const amld_sealer_t *
amld_oidc_sealer(const amld_oidc_t *o)
{
    return o != NULL ? o->sealer : NULL;
}


amld_oidc_renewer_t *
amld_oidc_renewer(const amld_oidc_t *o)
{
    return o != NULL ? o->renewer : NULL;
}


static int
ask_count(atomic_int *n, int most)
{
    if (atomic_fetch_add(n, 1) >= most) {
        atomic_fetch_sub(n, 1);
        return -1;
    }

    return 0;
}


int
amld_oidc_wait_begin(amld_oidc_t *o)
{
    return ask_count(&o->waiters, AMLD_OIDC_WAITERS);
}


void
amld_oidc_wait_end(amld_oidc_t *o)
{
    atomic_fetch_sub(&o->waiters, 1);
}


int
amld_oidc_refused(amld_oidc_t *o, unsigned *missed)
{
    return amld_seldom(&o->refused, missed);
}


int
amld_oidc_ask_begin(amld_t *d, const amld_issuer_config_t *issuer)
{
    atomic_int *one = &d->oidc->asking[issuer - d->config->issuers];

    if (ask_count(one, AMLD_OIDC_ASKING) != 0) {
        return -1;
    }

    if (ask_count(&d->oidc->asking_all, AMLD_OIDC_ASKING_ALL) != 0) {
        atomic_fetch_sub(one, 1);
        return -1;
    }

    return 0;
}


void
amld_oidc_ask_end(amld_t *d, const amld_issuer_config_t *issuer)
{
    atomic_fetch_sub(&d->oidc->asking_all, 1);
    atomic_fetch_sub(&d->oidc->asking[issuer - d->config->issuers], 1);
}


/* ---- ways to sign in ---- */

const amld_issuer_config_t *
amld_oidc_issuer(const amld_config_t *config, const char *iss)
{
    const amld_issuer_config_t *issuer;
    size_t i, j;

    for (i = 0; i < config->issuer_count; i++) {
        issuer = &config->issuers[i];
        for (j = 0; j < issuer->iss_count && issuer->client_id != NULL; j++) {
            if (strcmp(issuer->iss[j].iss, iss) == 0) {
                return issuer;
            }
        }
    }

    return NULL;
}


void
amld_oidc_redirect_uri(const amld_config_t *config,
                       const amld_issuer_config_t *issuer,
                       char uri[AMLD_OIDC_URI_SIZE])
{
    (void) snprintf(uri, AMLD_OIDC_URI_SIZE, "%s" AMLD_OIDC_CALLBACK "%s",
                    config->studio, issuer->name);
}


const amld_issuer_config_t *
amld_oidc_only_way(const amld_config_t *config)
{
    const amld_issuer_config_t *only = NULL;
    size_t i;

    if (config->local_sign_in) {
        return NULL;
    }

    for (i = 0; i < config->issuer_count; i++) {
        if (config->issuers[i].sign_in) {
            if (only != NULL) {
                return NULL;
            }
            only = &config->issuers[i];
        }
    }

    return only;
}


/* ---- what is over ---- */

aml_registry_rc_t
amld_oidc_sweep(aml_registry_t *registry, int64_t now, size_t *removed)
{
    static const char *const families[] = {AMLD_FLOW_PREFIX, AMLD_LOGOUT_PREFIX,
                                           AMLD_LEAVE_PREFIX};
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    size_t i, n;

    *removed = 0;

    for (i = 0; i < 3 && rc == AML_REGISTRY_OK; i++) {
        rc = amld_expiring_sweep(registry, families[i], now, SWEEP_MOST, &n);
        *removed += n;
    }

    return rc;
}
