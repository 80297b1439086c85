/*
 * Keys of identity providers: fetched by amld, kept in the registry, where
 * workers read them.
 *
 * For each `iss` of the configuration there is issuer/<iss>, and
 * key/<iss>/<kid> for each key.  Keys are good for the section's key_grace
 * after the last good fetch, so that an outage of the provider is none of ours
 * for that long, across restarts.  One thread fetches, one provider after the
 * other.
 */

#ifndef AMLD_KEY_KEEPER_H
#define AMLD_KEY_KEEPER_H

#include "auth/discovery.h"
#include "auth/fetch.h"
#include "auth/jwks.h"
#include "computes/amld.h"

typedef struct amld_key_keeper amld_key_keeper_t;

/*
 * Publishes issuers and key sets that are files, withdraws what the
 * configuration no longer has, and starts to fetch the others.  NULL after the
 * reason was logged.
 */
amld_key_keeper_t *amld_key_keeper_start(amld_t *d);
void amld_key_keeper_stop(amld_key_keeper_t *k); /* NULL is allowed */

/*
 * A token named a key that is not there: fetches soon, unless that was done
 * less than key_cooldown ago, however many ask.  Any thread; does not wait.
 */
void amld_key_keeper_unknown_kid(amld_key_keeper_t *k, const char *iss);

/*
 * The metadata of a section, fetched where it is not known yet or is a day
 * old; may take as long as a fetch.  0, or -1 and why, static.  The caller has
 * amld_discovery_clear().
 */
int amld_key_keeper_metadata(amld_key_keeper_t *k,
                             const amld_issuer_config_t *issuer,
                             amld_discovery_t *metadata, const char **why);


/* ---- the registry's part, for tests as well ---- */

/* Writes issuer/<iss> of a section where it differs; *changed grows. */
aml_registry_rc_t
amld_keys_publish_issuer(aml_registry_txn_t *txn,
                         const amld_issuer_config_t *issuer, int *changed);
/*
 * Makes key/<iss>/… what `set` has, good until `expires`; a key that is there
 * keeps an end that is later than `at_least`.  *changed grows.
 */
aml_registry_rc_t
amld_keys_publish(aml_registry_txn_t *txn, const amld_issuer_config_t *issuer,
                  const aml_jwks_t *set, int64_t expires, int64_t at_least,
                  int *changed);
/* Withdraws issuers that are neither `own` nor of the configuration. */
aml_registry_rc_t amld_keys_withdraw(aml_registry_txn_t *txn,
                                     const amld_config_t *config, int *changed);

#endif /* AMLD_KEY_KEEPER_H */
