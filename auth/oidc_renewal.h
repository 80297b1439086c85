/*
 * One renewal of a sign-in: what is asked, and what comes of it.  See
 * oidc_renew.h.
 */

#ifndef AMLD_OIDC_RENEWAL_H
#define AMLD_OIDC_RENEWAL_H

#include <jansson.h>
#include <stdatomic.h>

#include "auth/oidc_provider.h"
#include "auth/sealed.h"
#include "auth/sign_in_secrets.h"
#include "auth/sign_ins.h"
#include "computes/amld.h"

typedef enum {
    AMLD_RENEWAL_READY = 0,
    AMLD_RENEWAL_GONE,  /* there is nothing to renew, now or later */
    AMLD_RENEWAL_BROKEN /* the registry; it has been logged */
} amld_renewal_rc_t;

typedef enum {
    AMLD_RENEWAL_DONE = 0, /* again when it is due, or never */
    AMLD_RENEWAL_ENDED,    /* the sign-in has ended */
    AMLD_RENEWAL_FAILED,   /* it is to be tried again later */
    AMLD_RENEWAL_DOWN      /* and so is whatever else the provider renews */
} amld_renewal_end_t;

typedef struct {
    const amld_issuer_config_t *issuer;
    amld_sign_in_t sign_in; /* strings of `document` */
    json_t *document;
    amld_sign_in_secret_t secret; /* strings of `kept` */
    json_t *kept;
    int unclear; /* it was asked before, and may have been answered */

    /* once it has run */
    amld_renewal_end_t end;
    int64_t due;      /* 0: never */
    long retry_after; /* seconds, -1 */
    int clean;        /* what was asked has done nothing */
    const char *why;  /* it is DOWN, static; NULL where that was logged */
} amld_renewal_t;

/*
 * Looks what there is to renew.  `clean`: what was asked before, if anything,
 * is known to have done nothing.  amld_renewal_close() is due where it is
 * READY.
 */
amld_renewal_rc_t amld_renewal_open(amld_t *d, const amld_sealer_t *sealer,
                                    const aml_principal_id_t *sign_in,
                                    int clean, amld_renewal_t *r);

/* Asks the provider and writes what it says; takes as long as that. */
void amld_renewal_run(amld_t *d, const amld_sealer_t *sealer,
                      const atomic_int *cancel, amld_renewal_t *r);

void amld_renewal_close(amld_renewal_t *r);

#endif /* AMLD_OIDC_RENEWAL_H */
