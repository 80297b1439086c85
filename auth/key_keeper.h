/*
 * Keys of identity providers: fetched by amld, kept in the registry, where
 * workers read them.
 *
 * For each `iss` of the configuration there is issuer/<iss>, and
 * key/<iss>/<kid> for each key.  Keys are good for the section's key_grace, and
 * a quarter of it longer at the most, after the last good fetch, so that an
 * outage of the provider is none of ours for that long, across restarts.  What
 * was fetched when, and from where, is in keyset/<iss>, JSON.
 *
 * Each provider has a thread: one that is slow keeps nobody else waiting.
 */

#ifndef AMLD_KEY_KEEPER_H
#define AMLD_KEY_KEEPER_H

#include "auth/discovery.h"
#include "auth/str.h"
#include "computes/amld.h"

typedef struct amld_key_keeper amld_key_keeper_t;

/*
 * Publishes issuers and key sets that are files, withdraws what the
 * configuration no longer has, and starts to fetch the others.  NULL after the
 * reason was logged.
 */
amld_key_keeper_t *amld_key_keeper_start(amld_t *d);
/* Has fetches that are under way, and those who wait for one, end soon; NULL is
 * allowed, as below. */
void amld_key_keeper_cancel(amld_key_keeper_t *k);
void amld_key_keeper_stop(amld_key_keeper_t *k);

/*
 * A token named a key that is not there: fetches soon, unless that was done
 * less than key_cooldown ago, however many ask.  Fetches that are due anyway
 * do not count.  Any thread; does not wait.
 */
void amld_key_keeper_unknown_kid(amld_key_keeper_t *k, aml_str_t iss);

/*
 * The same for a caller that can wait: 0 when keys were fetched since, -1 when
 * the cooldown forbids it or it failed.
 */
int
amld_key_keeper_fetch(amld_key_keeper_t *k, const amld_issuer_config_t *issuer);

/*
 * The metadata of a section, fetched where it is not known yet or is a day
 * old; may take as long as a fetch, which all who ask share.  0, or -1 and
 * why, static.  The caller has amld_discovery_clear().
 */
int amld_key_keeper_metadata(amld_key_keeper_t *k,
                             const amld_issuer_config_t *issuer,
                             amld_discovery_t *metadata, const char **why);

/*
 * The same before somebody's browser is sent there: -1, too, when the provider
 * does not answer now, as the browser would show a page of its own, without a
 * way on.  It is asked where its metadata is older than five seconds, for one
 * caller at a time; others go on meanwhile.
 */
int
amld_key_keeper_reach(amld_key_keeper_t *k, const amld_issuer_config_t *issuer,
                      amld_discovery_t *metadata, const char **why);

#endif /* AMLD_KEY_KEEPER_H */
