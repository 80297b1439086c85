/*
 * What commits changed: a ring of the last AML_CHANGES_RING commits, each
 * with hashes of the keys of the hot path that it wrote or deleted.  It is
 * written in the transaction that it tells of, so that a reader that has
 * followed it to a snapshot knows of everything up to that snapshot.
 *
 *   meta/changes/<version modulo the ring, two hex digits>
 *     version as 64-bit number, count as 16-bit number, then as many 64-bit
 *     hashes; all little-endian.  Count 0xffff: too many to tell.
 *
 * A reader that finds another version in an entry than the one it looks for
 * knows only that it has missed some.
 */

#ifndef AML_CHANGES_H
#define AML_CHANGES_H

#include "registry/internal.h"

#define AML_CHANGES_RING 256
#define AML_CHANGES_KEY "meta/changes/"
#define AML_CHANGES_BEHIND "meta/changes0" /* the first key behind them */

/*
 * Is a key read by every request: a session, principal, route, key, issuer?
 * Part of the format: an amld that notes fewer families than a worker caches
 * leaves it with records that are stale.  A new family is a new format.
 */
int aml_changes_hot(const void *key, size_t n);

/* Never 0.  Part of the format: all releases make the same. */
uint64_t aml_changes_hash(const void *key, size_t n);

/* Notes in a write transaction that a key was written or deleted. */
void aml_changes_note(aml_registry_txn_t *txn, const void *key, size_t n);

/* Writes the transaction's entry; for its commit.  Answers as a put does. */
aml_registry_rc_t aml_changes_write(aml_registry_txn_t *txn);

/*
 * Calls `each` for every hash that the commits after `since` up to the
 * snapshot `txn` have noted.  1, or 0 when some are not known: then anything
 * may have changed, and `each` may or may not have been called.
 */
int aml_changes_since(aml_registry_txn_t *txn, uint64_t since,
                      void (*each)(void *data, uint64_t hash), void *data);

#endif /* AML_CHANGES_H */
