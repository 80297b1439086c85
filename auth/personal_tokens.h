/*
 * Personal access tokens, as amld makes and revokes them.
 *
 *   token/<hash>                 the record that workers read (records.h)
 *   token-of/<principal>/<id>    JSON: the hash, and what lists show
 *   token-seen/<hash>            when it was last used, see activity.h
 *
 * The text is in nobody's hands but its person's: the registry has its
 * SHA-256.  All functions but the sweep are within a transaction and leave it
 * open.
 */

#ifndef AMLD_PERSONAL_TOKENS_H
#define AMLD_PERSONAL_TOKENS_H

#include "registry/records.h"
#include "registry/registry.h"

#define AMLD_TOKENS_MOST 50      /* a person's that are good at once */
#define AMLD_TOKEN_LABEL_MAX 100 /* bytes */
#define AMLD_TOKEN_SIZE (AML_TOKEN_CHARS + 1)

/*
 * A new one: `t` has principal, label, scope, `created` and `expires`; `id` is
 * filled, and `created` brought up to date.  `text` is the token itself.
 * NOTFOUND and DENIED when the principal has no record or is disabled, LIMIT
 * when it has AMLD_TOKENS_MOST already.
 */
aml_registry_rc_t
amld_personal_token_create(aml_registry_txn_t *txn, aml_personal_token_t *t,
                           char text[AMLD_TOKEN_SIZE]);

/* A principal's, or with NULL everybody's, in no order; a return other than 0
 * ends the walk.  In a write transaction `each` must not write. */
typedef int (*amld_personal_token_each_pt)(void *data,
                                           const aml_personal_token_t *t,
                                           const uint8_t hash[32]);
aml_registry_rc_t
amld_personal_tokens_each(aml_registry_txn_t *txn,
                          const aml_principal_id_t *principal,
                          amld_personal_token_each_pt each, void *data);

/* When it was last used, as far as that is written; 0: never. */
int64_t
amld_personal_token_seen(aml_registry_txn_t *txn, const uint8_t hash[32]);

/* NOTFOUND when the principal has none of that id. */
aml_registry_rc_t
amld_personal_token_revoke(aml_registry_txn_t *txn,
                           const aml_principal_id_t *principal,
                           const aml_principal_id_t *id);

/* All of a principal's; `revoked`, unless NULL, is how many. */
aml_registry_rc_t
amld_personal_tokens_end_of(aml_registry_txn_t *txn,
                            const aml_principal_id_t *principal,
                            size_t *revoked);

/*
 * Deletes those that have expired.  Looks at no more than `most`, from where
 * `from` (AML_REGISTRY_KEY_MAX + 1 bytes, "" at first) says; it is "" again
 * once the end was reached.
 */
aml_registry_rc_t
amld_personal_tokens_sweep(aml_registry_t *registry, int64_t now, size_t most,
                           char *from, size_t *removed);

#endif /* AMLD_PERSONAL_TOKENS_H */
