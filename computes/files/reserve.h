/*
 * Room in the registry that is kept for what must go on when it is full: to
 * stop, to delete, to write down what has ended.  Deleting needs room, too.
 *
 *   reserve/<nn>    a page of nothing each; "-" when it is spent
 *   reserve/when    since when it is kept, or spent; seconds since 1970
 *
 * It is spent when a commit finds no room, and kept again when there is some.
 * Nothing begins until then: a burst of starts would use up what others need to
 * be stopped and deleted.
 */

#ifndef AMLD_RESERVE_H
#define AMLD_RESERVE_H

#include "registry/registry.h"

#define AMLD_RESERVE_PIECES 48

/* Makes it where it is missing; without room that is said in the log, and
 * tried again by the next call. */
void amld_reserve_keep(aml_registry_t *registry);

/* 0 when there was one and its room is free now. */
int amld_reserve_spend(aml_registry_t *registry);

/* 1 from when it is spent until it is kept again. */
int amld_reserve_is_spent(aml_registry_txn_t *txn);

/* 1 for what an answer of the registry means "no room" by. */
int amld_reserve_is_full(aml_registry_rc_t rc);

#endif /* AMLD_RESERVE_H */
