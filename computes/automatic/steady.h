/*
 * Whether the wall's clock can be believed, for what cannot be undone.
 *
 * A clock that is wrong when a machine starts is put right with a jump, sooner
 * or later.  So it is believed when it is not much later than when it was
 * believed before, which is in the registry ("meta/clock"), or when it has gone
 * steadily for a while.
 */

#ifndef AMLD_STEADY_H
#define AMLD_STEADY_H

#include <stdint.h>

#include "registry/registry.h"

#define AMLD_STEADY_JUMP 60     /* seconds that it may be set by, unnoticed */
#define AMLD_STEADY_AHEAD 86400 /* seconds: a machine was off for as long */
#define AMLD_STEADY_WAIT 3600   /* seconds that it has to go steadily */
#define AMLD_STEADY_NOTE 3600   /* seconds between notes in the registry */

typedef struct {
    int64_t apart; /* wall's clock less the other, at the last look */
    int64_t since; /* it goes steadily since then, by the other */
    int64_t noted; /* when it was believed, by itself; 0: never */
    int believed;
} amld_steady_t;

/* `boot` is CLOCK_BOOTTIME; both in seconds. */
void amld_steady_begin(amld_steady_t *s, aml_registry_t *registry, int64_t wall,
                       int64_t boot);

/* 1 when `wall` can be believed.  To be asked often: what happens between two
 * looks is one jump. */
int amld_steady_look(amld_steady_t *s, aml_registry_t *registry, int64_t wall,
                     int64_t boot);

#endif /* AMLD_STEADY_H */
