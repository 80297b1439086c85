/*
 * What amld keeps of a sign-in with an identity provider, to have it renewed
 * and to end it there:
 *
 *   sign-in-secret/<sign-in>   when to renew, and the provider's ID and refresh
 *                              tokens, sealed (sealed.h)
 *
 * It is deleted with the sign-in, by amld_sign_in_end().  All functions are
 * within a transaction and leave it open.
 */

#ifndef AMLD_SIGN_IN_SECRETS_H
#define AMLD_SIGN_IN_SECRETS_H

#include <jansson.h>

#include "auth/principal.h"
#include "auth/sealed.h"
#include "registry/registry.h"

#define AMLD_SECRET_KEY_SIZE (sizeof("sign-in-secret/") + AML_UUID_TEXT)

typedef struct {
    const char *id_token;      /* "" where there is none, as the next */
    const char *refresh_token; /* is not asked with once it is "" */
    int64_t due;               /* when to renew, seconds since 1970; 0: never */
    int asked; /* the provider was asked, and what it said is not known */
} amld_sign_in_secret_t;

/* The registry's key; returns its length. */
size_t amld_sign_in_secret_key(const aml_principal_id_t *sign_in,
                               char key[AMLD_SECRET_KEY_SIZE]);

aml_registry_rc_t
amld_sign_in_secret_put(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                        const aml_principal_id_t *sign_in,
                        const amld_sign_in_secret_t *secret);

/*
 * Strings live as long as `*json`, which is the caller's to give to
 * amld_sign_in_secret_forget().  NOTFOUND also when it can't be opened: its key
 * was taken away.
 */
aml_registry_rc_t
amld_sign_in_secret_get(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                        const aml_principal_id_t *sign_in,
                        amld_sign_in_secret_t *secret, json_t **json);
void amld_sign_in_secret_forget(json_t *json);

/* Sets `due` and `asked`, without opening it. */
aml_registry_rc_t amld_sign_in_secret_mark(aml_registry_txn_t *txn,
                                           const aml_principal_id_t *sign_in,
                                           int64_t due, int asked);

/* Those that are to be renewed; a return other than 0 ends the walk. */
typedef int (*amld_sign_in_secret_each_pt)(void *data,
                                           const aml_principal_id_t *sign_in,
                                           int64_t due);
aml_registry_rc_t
amld_sign_in_secrets_each(aml_registry_txn_t *txn,
                          amld_sign_in_secret_each_pt each, void *data);

/* How many of those the sealer has no key for. */
aml_registry_rc_t
amld_sign_in_secrets_lost(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                          size_t *count);

#endif /* AMLD_SIGN_IN_SECRETS_H */
