/*
 * How fast an identity provider is asked to renew sign-ins, and when it is left
 * alone: it may be down, or it may be one sign-in only that it does not renew.
 * Of these many can be without harm to the others, so a provider that answers
 * is thought to have failed only when AMLD_PACE_ROW sign-ins in a row have,
 * none of which had failed before.
 *
 * One for each provider; the caller has it locked.
 */

#ifndef AMLD_OIDC_PACE_H
#define AMLD_OIDC_PACE_H

#include <stdint.h>

#define AMLD_PACE_ROW 5

typedef struct {
    unsigned active;   /* requests under way */
    unsigned failures; /* of the provider, in a row */
    unsigned row;      /* sign-ins that have failed for the first time, too */
    int64_t until;     /* is left alone until then */
    int64_t second;    /* in this second … */
    unsigned begun;    /* … so many have begun */
    int64_t booked;    /* those that had to wait come again then … */
    unsigned bookings; /* … so many of them */
} amld_pace_t;

typedef enum {
    AMLD_PACE_GOOD = 0, /* the sign-in was renewed, or ended */
    AMLD_PACE_ONE,      /* it was not, which says little of others */
    AMLD_PACE_AGAIN,    /* the same of one that has failed before */
    AMLD_PACE_DOWN,     /* the provider can't be asked */
    AMLD_PACE_NONE      /* it was not asked after all */
} amld_pace_end_t;

/* 0 when one more may be asked for now, and amld_pace_end() is due; else when
 * to come again, which is another second for every AMLD_RENEW_A_SECOND. */
int64_t amld_pace_begin(amld_pace_t *p, int64_t now);

/* `retry_after`: the seconds that a provider which is DOWN asks for, or -1. */
void amld_pace_end(amld_pace_t *p, amld_pace_end_t end, long retry_after,
                   int64_t now);

/* Over how many seconds to ask for `late` sign-ins that are all due. */
int64_t amld_pace_spread(uint64_t late);

#endif /* AMLD_OIDC_PACE_H */
