/*
 * The local issuer: keys that sign the tokens of local accounts.
 *
 * A key is published (key/<issuer>/<kid>) some time before it signs, signs for
 * config->key_lifetime, and stays published until the last token that it can
 * have signed has expired.  The private half, signing-key/local/<kid>, is
 * deleted as soon as its successor signs.  Issuer and audience are the
 * studio's origin; when that changes, what was published under the old one is
 * withdrawn.
 */

#ifndef AMLD_LOCAL_ISSUER_H
#define AMLD_LOCAL_ISSUER_H

#include "auth/accounts.h"
#include "computes/config/config.h"
#include "registry/registry.h"

#define AMLD_KID_SIZE 44
#define AMLD_ISSUER_LEEWAY 60 /* seconds between clocks that are forgiven */

typedef struct {
    char kid[AMLD_KID_SIZE];
    int64_t created; /* all in seconds since 1970 */
    int64_t signs;   /* signs from then on */
    int64_t retires; /* is withdrawn then; 0: has no successor yet */
    int can_sign;    /* the private half is there */
} amld_signing_key_t;

/*
 * Makes the keys that are due, withdraws those that are over, and brings the
 * published records up to date; to be called at start and every minute.
 * Writes only what has changed.  0, or -1 after the reason was logged.
 */
int amld_issuer_tend(aml_registry_t *registry, const amld_config_t *config,
                     int64_t now);

/*
 * A new key that signs at once; with `revoke` all others are withdrawn, and
 * with them every token that they have signed.  0, or -1 after the reason was
 * logged.
 */
int amld_issuer_rotate(aml_registry_t *registry, const amld_config_t *config,
                       int64_t now, int revoke, char kid[AMLD_KID_SIZE]);

/* In the order in which they sign; a return other than 0 ends the walk. */
typedef int (*amld_issuer_each_pt)(void *data, const amld_signing_key_t *key);
int amld_issuer_each(aml_registry_t *registry, amld_issuer_each_pt each,
                     void *data);

/* Whom a token is for. */
typedef struct {
    aml_principal_id_t principal;
    const char *name;                  /* a label */
    const aml_principal_id_t *sign_in; /* that it ends with, or NULL */
    const amld_account_t *account;     /* that was checked, or NULL */
} amld_mint_t;

/*
 * A token that is good for config->token_lifetime; the caller frees it.
 * REFUSED when the account was changed since it was checked, or the principal
 * has no record or is disabled.
 */
amld_account_rc_t
amld_issuer_mint(aml_registry_t *registry, const amld_config_t *config,
                 const amld_mint_t *mint, int64_t now, char **token);

#endif /* AMLD_LOCAL_ISSUER_H */
