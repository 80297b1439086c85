/*
 * What a provider says of itself: OpenID Connect Discovery 1.0 section 3,
 * RFC 8414, RP-Initiated Logout section 2.1, RFC 9207.
 */

#ifndef AMLD_DISCOVERY_H
#define AMLD_DISCOVERY_H

#include <stddef.h>

#define AMLD_DISCOVERY_MAX ((size_t) 64 * 1024) /* bytes of the document */

typedef struct {
    char *issuer;
    char *jwks_uri;
    char *authorization_endpoint; /* NULL: no sign-in here */
    char *token_endpoint;
    char *userinfo_endpoint;    /* NULL where there is none, as those below */
    char *end_session_endpoint; /* a person is sent there to sign out */
    int no_s256;                /* of PKCE's methods it names others only */
    int iss_parameter;          /* its callbacks have `iss` */
    int basic;                  /* client_secret_basic; else _post */
} amld_discovery_t;

/*
 * Reads the document.  NULL and a filled `d`, or what is wrong, static, for a
 * log.  `issuer` is what the document must say, exactly: whoever could serve
 * another's could speak for it.  `any`, unless NULL, is what it may say
 * instead: Entra's metadata for all tenants has a template there.  Addresses
 * that are not https are left out, or are an error where they are needed.
 * amld_discovery_clear() is due in every case.
 */
const char *amld_discovery_parse(const char *text, size_t n, const char *issuer,
                                 const char *any, amld_discovery_t *d);
void amld_discovery_clear(amld_discovery_t *d);

/* 0, or -1 without memory: `to` is then cleared. */
int amld_discovery_copy(amld_discovery_t *to, const amld_discovery_t *from);

#endif /* AMLD_DISCOVERY_H */
