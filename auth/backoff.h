/*
 * Wrong passwords and codes, counted by account and by address: the more there
 * were, the longer the next attempt has to wait.  Never a lock-out: a wait is
 * bounded, and from an address that an account has signed in from before, only
 * what went wrong between these two counts.
 *
 * Memory is bounded; what was not touched for longest is forgotten first, and
 * all of it with the process.  Whether an account exists is not known here.
 * An address is an IPv4 address, or the /64 of an IPv6 one.  Any thread.
 */

#ifndef AMLD_BACKOFF_H
#define AMLD_BACKOFF_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    unsigned account; /* wrong attempts that cost nothing, by account */
    unsigned address; /* and by address, which people may share */
    unsigned first;   /* seconds of the first wait; each next is twice that */
    unsigned most;    /* seconds of the longest; in so many one is forgotten */
    size_t entries;   /* that are remembered of each kind */
} amld_backoff_limits_t;

typedef struct amld_backoff amld_backoff_t;

/* NULL without memory or entropy. */
amld_backoff_t *amld_backoff_new(const amld_backoff_limits_t *limits);
void amld_backoff_free(amld_backoff_t *b); /* NULL is allowed */

/* What is tried: names of one kind say nothing of another's. */
typedef struct {
    const char *kind;    /* "password", "code" */
    const char *account; /* NULL: only the address counts */
    const char *address;
    int64_t now;      /* milliseconds, of a clock that is never set */
    unsigned counted; /* of amld_backoff_begin() */
} amld_attempt_t;

/*
 * 0 when it may be tried now, and amld_backoff_end() is due then; else how many
 * seconds to wait.  Attempts at once count as one after the other: of an
 * account always, of an address, or where the account is known, once something
 * went wrong.
 */
unsigned amld_backoff_begin(amld_backoff_t *b, amld_attempt_t *attempt);

typedef enum {
    AMLD_ATTEMPT_WRONG,
    AMLD_ATTEMPT_RIGHT, /* what this account did wrong from there is forgiven */
    AMLD_ATTEMPT_NONE   /* it could not be tried */
} amld_attempt_end_t;

void amld_backoff_end(amld_backoff_t *b, amld_attempt_t *attempt,
                      amld_attempt_end_t end);

/* Does `b` know that the account has signed in from there?  And it does now. */
int amld_backoff_known(amld_backoff_t *b, const amld_attempt_t *attempt);
void amld_backoff_know(amld_backoff_t *b, const amld_attempt_t *attempt);

/* 1 when both are the same address, in the sense above. */
int amld_backoff_same_address(const char *a, const char *b);

/* Milliseconds since some time, for `now`. */
int64_t amld_backoff_now(void);

#endif /* AMLD_BACKOFF_H */
