/*
 * The pace of renewals.
 */

#include "auth/oidc_pace.h"

#include "auth/oidc_renew.h"

#define ROW_PAUSE_MOST 3 /* doublings: it answers, whatever it is */
#define SPREAD_LEAST 30  /* seconds */


/* Is it asked for one sign-in at a time? */
static int
pace_doubts(const amld_pace_t *p)
{
    return p->failures > 0 || p->row >= AMLD_PACE_ROW;
}


/* However many wait, few of them come again in each second. */
static int64_t
pace_book(amld_pace_t *p, int64_t from)
{
    if (p->booked < from) {
        p->booked = from;
        p->bookings = 0;

    } else if (p->bookings >= AMLD_RENEW_A_SECOND) {
        p->booked++;
        p->bookings = 0;
    }
    p->bookings++;

    return p->booked;
}


int64_t
amld_pace_begin(amld_pace_t *p, int64_t now)
{
    if (p->until > now) {
        return pace_book(p, p->until);
    }

    if (p->second != now) {
        p->second = now;
        p->begun = 0;
    }

    if (p->active >= (pace_doubts(p) ? 1 : AMLD_RENEW_AT_ONCE) ||
        p->begun >= AMLD_RENEW_A_SECOND) {
        return pace_book(p, now + 1);
    }

    p->active++;
    p->begun++;

    return 0;
}


static void
pace_pause(amld_pace_t *p, unsigned failures, long retry_after, int64_t now)
{
    int64_t until = now + amld_oidc_renew_pause(failures, retry_after);

    if (until > p->until) {
        p->until = until;
    }
}


/*
 * It has answered.  A sign-in that goes on failing has the others wait for a
 * second: otherwise a few of them would have the provider waited for as long as
 * if it were down.
 */
static void
pace_one(amld_pace_t *p, int again, int64_t now)
{
    unsigned n;

    p->failures = 0;

    if (again) {
        if (pace_doubts(p) && p->until <= now) {
            p->until = now + 1;
        }
        return;
    }

    p->row++;
    if (pace_doubts(p)) {
        n = p->row - AMLD_PACE_ROW + 1;
        pace_pause(p, n < ROW_PAUSE_MOST ? n : ROW_PAUSE_MOST, -1, now);
    }
}


void
amld_pace_end(amld_pace_t *p, amld_pace_end_t end, long retry_after,
              int64_t now)
{
    p->active--;

    switch (end) {
    case AMLD_PACE_GOOD:
        if (p->until > now) {
            p->booked = 0; /* nobody has to wait that long */
        }
        p->failures = p->row = 0;
        p->until = 0;
        break;
    case AMLD_PACE_ONE:
    case AMLD_PACE_AGAIN:
        pace_one(p, end == AMLD_PACE_AGAIN, now);
        break;
    case AMLD_PACE_DOWN:
        pace_pause(p, ++p->failures, retry_after, now);
        break;
    case AMLD_PACE_NONE:
        p->begun -= p->second == now && p->begun > 0;
        break;
    }
}


int64_t
amld_pace_spread(uint64_t late)
{
    uint64_t least = late / AMLD_RENEW_A_SECOND;

    return least > SPREAD_LEAST ? (int64_t) least : SPREAD_LEAST;
}
