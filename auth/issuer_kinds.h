/*
 * Kinds of identity providers: what their tokens look like, so that an
 * operator need not say.  A new kind is a row in issuer_kinds.c.
 */

#ifndef AMLD_ISSUER_KINDS_H
#define AMLD_ISSUER_KINDS_H

#include <stdint.h>

#include "registry/records.h"

/* %s: the tenant; of v2 before it the authority */
#define AMLD_ENTRA_V1 "https://sts.windows.net/%s/"
#define AMLD_ENTRA_V1_CHINA "https://sts.chinacloudapi.cn/%s/"
#define AMLD_ENTRA_V2 "%s/%s/v2.0"
#define AMLD_ENTRA_CHINA "https://login.partner.microsoftonline.cn"
#define AMLD_ENTRA_ANY "{tenantid}" /* as in the metadata of all tenants */
#define AMLD_ENTRA_AUTHORITY "https://login.microsoftonline.com"

typedef struct {
    const char *name;
    const char *issuer; /* where there is only one; NULL: must be given */
    aml_identity_kind_t identity;
    const char *name_claim;
    const char *groups_claim;
    const char *roles_claim;
    const char *scopes; /* that a sign-in asks for */
    uint32_t algs;      /* bit 1 << aml_alg_t */
    uint32_t flags;     /* of aml_issuer_t */
    int bare;           /* a refresh token that is no good is answered 400
                         * and nothing else */
    int vague;          /* whatever is wrong with a refresh token is
                         * invalid_request: 400 where it is no good, 500 where
                         * its person can't be looked up, and is not used up */
    int consent;        /* offline_access wants prompt=consent, as OpenID
                         * Connect Core section 11 has it */
} amld_issuer_kind_t;

/* By name; NULL when there is no such kind. */
const amld_issuer_kind_t *amld_issuer_kind(const char *name);

/* All of them, ended by a NULL name. */
extern const amld_issuer_kind_t amld_issuer_kinds[];

#endif /* AMLD_ISSUER_KINDS_H */
