/*
 * One request to a provider, for its metadata or its key set, and what came
 * of it.
 */

#ifndef AMLD_KEY_FETCH_H
#define AMLD_KEY_FETCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "auth/discovery.h"
#include "computes/amld.h"

#define AMLD_KEY_FETCH_SECONDS 10 /* for one request, at the most */

/* Strings are static but for `detail`; none has a secret. */
typedef struct {
    const char *why;  /* what is wrong, for a log or a page; NULL: nothing */
    const char *what; /* an operator can do about it */
    char detail[192]; /* for a log; may be empty */
    int down;         /* it does not answer, or says that it can't */
    int64_t next;     /* seconds until the next fetch; 0: it did not say */
    int64_t until;    /* keys are good until then; 0: for good */
} amld_key_result_t;

/* `cancel`, here and below, as in fetch.h.  amld_discovery_clear() is due. */
void amld_metadata_fetch(const amld_issuer_config_t *issuer,
                         const atomic_int *cancel, amld_discovery_t *metadata,
                         amld_key_result_t *r);

/* Fetches the key set and publishes it in one transaction. */
void amld_keys_fetch(amld_t *d, const amld_issuer_config_t *issuer,
                     const char *jwks_uri, const atomic_int *cancel,
                     amld_key_result_t *r);

/* The same of the section's file. */
void amld_keys_load(amld_t *d, const amld_issuer_config_t *issuer,
                    amld_key_result_t *r);

/* A little less than that many seconds, and not together with everybody
 * else. */
int64_t amld_key_jitter(int64_t seconds);

#endif /* AMLD_KEY_FETCH_H */
