/*
 * The decision: who is asking, and may they.  Plain C over one registry
 * snapshot; the nginx module and amld both use it.
 */

#ifndef AML_DECIDE_H
#define AML_DECIDE_H

#include "auth/action.h"
#include "auth/jwt.h"
#include "auth/principal.h"
#include "auth/reason.h"
#include "auth/str.h"
#include "auth/token_cache.h"
#include "registry/records.h"
#include "registry/registry.h"

#define AML_SESSION_CHARS 43 /* base64url of 256 random bits */
#define AML_NAME_MAX AML_JWT_NAME_MAX

typedef enum {
    AML_CREDENTIAL_NONE = 0,
    AML_CREDENTIAL_SESSION,
    AML_CREDENTIAL_TOKEN,   /* a JSON Web Token */
    AML_CREDENTIAL_PERSONAL /* a personal access token */
} aml_credential_t;

/*
 * Who is asking; outlives the snapshot, but for `key` and `groups`, which are
 * memory of the decider until its next call: copy what is to last.
 */
typedef struct {
    aml_credential_t credential;
    int in_sign_in; /* sign_in is set */
    aml_principal_id_t principal;
    aml_principal_id_t sign_in; /* that it ends with */
    uint8_t session[32]; /* SHA-256 of the cookie or the personal token */
    int64_t issued;
    int64_t expires; /* of the credential */
    int64_t until;   /* what was opened with it may stay: of a token that was
                      * given out in a sign-in, that sign-in's end */
    aml_str_t key;   /* of a JSON Web Token: registry key of what signed it */
    int groups_unknown;
    size_t group_count; /* of a JSON Web Token; what a sign-in brought is in
                         * the registry */
    const aml_principal_id_t *groups;
    size_t name_len;
    char name[AML_NAME_MAX]; /* label for people; printable UTF-8 */
} aml_identity_t;

/* What one worker keeps between requests: verifiers, verified tokens, hash
 * contexts.  One a thread. */
typedef struct aml_decider aml_decider_t;

aml_decider_t *aml_decider_new(size_t token_cache_entries);
void aml_decider_free(aml_decider_t *d);

/* SHA-256 of a session cookie's value; 0, or -1 when it is malformed. */
int aml_session_hash(aml_decider_t *d, aml_str_t cookie, uint8_t hash[32]);

/*
 * Cookie → identity.  `host` is the host asked for, lower case, without
 * port.  OK, SESSION_MALFORMED, SESSION_UNKNOWN, SESSION_EXPIRED,
 * SESSION_HOST, PRINCIPAL_REVOKED or REGISTRY_UNAVAILABLE.
 */
aml_reason_t aml_identify_session(aml_decider_t *d, aml_registry_txn_t *txn,
                                  aml_str_t cookie, aml_str_t host, int64_t now,
                                  aml_identity_t *who);

/*
 * Bearer token, a JSON Web Token or a personal one, → identity.  OK, TOKEN_*,
 * PRINCIPAL_REVOKED, REGISTRY_UNAVAILABLE; SESSION_UNKNOWN and
 * SESSION_EXPIRED for a token of ours whose sign-in has ended.  A principal
 * that has no record is a stranger with no roles, not an error.
 */
aml_reason_t
aml_identify_token(aml_decider_t *d, aml_registry_txn_t *txn, aml_str_t token,
                   int64_t now, aml_identity_t *who);

/* After TOKEN_KEY, TOKEN_SIGNATURE or TOKEN_ALGORITHM of aml_identify_token():
 * see aml_key_source_unknown(). */
aml_str_t aml_decider_unknown_key(const aml_decider_t *d);

/*
 * Is `who`, identified earlier, still good?  For connections that are open:
 * looks session, principal, sign-in and signing key up again, and sets
 * who->until anew.  A token of a sign-in is good for as long as the sign-in
 * lasts, though it could not be used again: who keeps signed in would get
 * another, but can't bring it to what is open.  Once it has expired its key
 * is not asked for, as keys that are retired go.
 */
aml_reason_t
aml_identity_holds(aml_registry_txn_t *txn, aml_identity_t *who, int64_t now);

/*
 * What listens on `port` of instance `name` (lower case), looked up before it
 * is known who asks.  Lives as long as the snapshot.
 */
typedef struct {
    aml_str_t name;
    unsigned port; /* 0: it has no record; route is the instance's own */
    int found;     /* aml_found_t */
    aml_route_t route;
} aml_target_t;

/*
 * aml_target_expect() and, some work later, aml_target_find(), are
 * calls that only ask for memory which is needed later: in a large registry
 * each record is a wait.  The first may be left out.
 */
void aml_target_expect(aml_registry_txn_t *txn, aml_str_t name, unsigned port);
void aml_target_find(aml_registry_txn_t *txn, aml_str_t name, unsigned port,
                     aml_target_t *target);

/*
 * May `who` open it?  OK: target->route has its address, which for port 0 is
 * one for all ports, see aml_peer_address().  NOT_CREATOR comes
 * before anything that tells of the instance's state; TOKEN_SCOPE where a
 * personal token was made for other instances; APPLICATION_NOT_STARTED,
 * _STARTING, _FAILED for what is started on demand, and aml_decide_silent()'s
 * for a custom service without an address.
 */
aml_reason_t
aml_decide_application(aml_registry_txn_t *txn, const aml_identity_t *who,
                       const aml_target_t *target);

/*
 * Why nobody listens at the address of a target that `who` may open, where it
 * is a port of people's own: SERVICE_STARTING, _STOPPED, _FAILED where a custom
 * service that is not up has it, else PORT_NOT_OPEN.
 */
aml_reason_t aml_decide_silent(const aml_target_t *target);

/*
 * May `who` do `action`, by a role of their own or of a group?  OK,
 * TOKEN_SCOPE, ACTION_DENIED, REGISTRY_UNAVAILABLE; GROUPS_UNKNOWN where
 * nothing that is known allows it and not all groups are known.
 */
aml_reason_t
aml_decide_action(aml_registry_txn_t *txn, const aml_identity_t *who,
                  int64_t now, const aml_action_t *action);

#endif /* AML_DECIDE_H */
