/*
 * Sign-ins with an identity provider that are under way: what was sent with the
 * browser there, to be compared with what it comes back with.
 *
 *   flow/<hex SHA-256 of the state>   a head for counting, then JSON
 *
 * The state is known to the browser and the provider only.  A flow is taken
 * once; it stays as used, without its secrets, until it would have expired, so
 * that whoever comes back to its address can be led on.
 *
 * How many there can be is bounded, by browser, by address and in all; beyond
 * that the oldest of those goes, and used ones before others.  Nobody is
 * refused for what others have begun.  expiring.h deletes what is over.
 */

#ifndef AMLD_OIDC_FLOWS_H
#define AMLD_OIDC_FLOWS_H

#include <jansson.h>

#include "auth/sessions.h"
#include "registry/registry.h"

#define AMLD_FLOW_PREFIX "flow/"
#define AMLD_FLOW_LIFETIME 600 /* seconds */
#define AMLD_FLOWS_BROWSER 64
#define AMLD_FLOWS_ADDRESS 4096
#define AMLD_FLOWS_ALL 16384

typedef struct {
    const char *issuer;  /* name of its section */
    const char *to;      /* where to afterwards, a local path */
    const char *address; /* of the client, for counting; not read back */
    uint8_t browser[32]; /* hash of its cookie */
    int fresh;           /* the cookie was made for this one */
    int again;           /* it is the second try of one that lost its cookie */
    int64_t created;     /* seconds since 1970 */

    /* filled when it begins, and when it is taken */
    char nonce[AMLD_SECRET_SIZE];
    char verifier[AMLD_SECRET_SIZE]; /* of PKCE, RFC 7636 */
    int used;                        /* it was taken before: no secrets */
} amld_oidc_flow_t;

/* Begins one, in a transaction of its own; `state` is what it is found by. */
aml_registry_rc_t
amld_oidc_flow_begin(aml_registry_t *registry, amld_oidc_flow_t *flow,
                     char state[AMLD_SECRET_SIZE]);

/*
 * Takes it.  Strings live as long as `*json`, which is the caller's to
 * json_decref().  NOTFOUND when there is none, or it has expired.
 */
aml_registry_rc_t
amld_oidc_flow_take(aml_registry_t *registry, const char *state, int64_t now,
                    amld_oidc_flow_t *flow, json_t **json);

#endif /* AMLD_OIDC_FLOWS_H */
