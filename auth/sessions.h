/*
 * Sessions and single-use codes, as amld makes and ends them.
 *
 * A session is a secret that only its cookie holds; the registry has its hash,
 * under session/<hash>, and an index sign-in/<uuid>/<host> of all that one
 * sign-in has led to: the studio's and one for each origin.  They end together
 * and none lives longer than the first.
 *
 * A code takes a sign-in from the studio's origin to an instance's: bound to
 * that host and to the browser that asked, good once and for a minute.
 */

#ifndef AMLD_SESSIONS_H
#define AMLD_SESSIONS_H

#include "auth/principal.h"
#include "registry/records.h"
#include "registry/registry.h"

#define AMLD_SECRET_CHARS 43
#define AMLD_SECRET_SIZE (AMLD_SECRET_CHARS + 1)
#define AMLD_HASH_HEX_SIZE 65
#define AMLD_CODE_LIFETIME 60 /* seconds */
#define AMLD_HOST_MAX 255

/* Of one sign-in at once: one more ends the one that was made longest ago, but
 * never the first, which is the studio's. */
#define AMLD_SESSIONS_MOST 2048

/* 256 random bits as base64url, and their SHA-256 over the text; 0, or -1. */
int amld_secret_new(char secret[AMLD_SECRET_SIZE], uint8_t hash[32]);
/* 0, or -1 when it is not 43 characters of base64url. */
int amld_secret_hash(const char *secret, uint8_t hash[32]);
void amld_hash_format(const uint8_t hash[32], char hex[AMLD_HASH_HEX_SIZE]);
/* 64 hex digits; 0, or -1. */
int amld_hash_parse(const char *hex, uint8_t hash[32]);


/*
 * A new session for `host` (lower case, without port) within the transaction,
 * in place of the one that the sign-in had there.  NOTFOUND or DENIED when the
 * principal has no record or is disabled.
 */
aml_registry_rc_t
amld_session_create(aml_registry_txn_t *txn,
                    const aml_principal_id_t *principal,
                    const aml_principal_id_t *sign_in, const char *host,
                    int64_t now, int64_t expires,
                    char secret[AMLD_SECRET_SIZE]);

/* Strings live as the transaction's values do. */
aml_registry_rc_t amld_session_get(aml_registry_txn_t *txn,
                                   const uint8_t hash[32], aml_session_t *s);

/* Each within the transaction; OK also when there was nothing to end. */
aml_registry_rc_t
amld_session_end(aml_registry_txn_t *txn, const uint8_t hash[32]);
/* All sessions of a sign-in; amld_sign_in_end() is the whole. */
aml_registry_rc_t amld_sessions_end_in(aml_registry_txn_t *txn,
                                       const aml_principal_id_t *sign_in);


typedef struct {
    const char *host; /* authority of the instance, port included */
    uint8_t browser[32];
    aml_principal_id_t principal;
    aml_principal_id_t sign_in;
    int64_t session_expires;
} amld_code_t;

aml_registry_rc_t
amld_code_create(aml_registry_t *registry, const amld_code_t *code, int64_t now,
                 char secret[AMLD_SECRET_SIZE]);

/*
 * Takes the code, which is gone then whatever comes of it, and where all is
 * well makes a session of it, in the same transaction.  `host` as for the
 * code, `session_host` as for the session.  `has`, unless NULL, is the hash of
 * the session that the browser has: where that is of this host and sign-in it
 * stays, so that another tab keeps its connections, and `session` is "".
 * NOTFOUND when there is no such code, or it is over, or for another host or
 * browser, or its sign-in has ended meanwhile.
 */
aml_registry_rc_t
amld_code_redeem(aml_registry_t *registry, const char *secret, const char *host,
                 const char *session_host, const uint8_t browser[32],
                 const uint8_t *has, int64_t now,
                 char session[AMLD_SECRET_SIZE]);


/* Deletes what has expired; `removed`, unless NULL, is how much. */
aml_registry_rc_t
amld_sessions_sweep(aml_registry_t *registry, int64_t now, size_t *removed);

#endif /* AMLD_SESSIONS_H */
