/*
 * Sign-ins, as amld keeps them: who signed in when, how and from where, and
 * what that brought.  Sessions and tokens belong to one, and end with it.
 *
 *   sign-in-of/<principal>/<sign-in>  the document, JSON, amld's alone
 *   grant/<sign-in>                   what workers read: groups, the end
 *   grant/<principal>                 the groups of the person's last sign-in
 *   sign-in/<sign-in>/<host>          its sessions, see sessions.h
 *   sid/<issuer>/<sid>/<sign-in>      by the provider's session, for logout
 *   sign-in-secret/<sign-in>          the provider's tokens, sign_in_secrets.h
 *
 * All functions are within a transaction and leave it open.
 */

#ifndef AMLD_SIGN_INS_H
#define AMLD_SIGN_INS_H

#include <jansson.h>

#include "auth/principal.h"
#include "registry/registry.h"

/* A person's at once: one more ends the one that was used longest ago. */
#define AMLD_SIGN_INS_MOST 1000

/* Personal tokens know their person's groups for so long after a sign-in. */
#define AMLD_GROUPS_LIFETIME (7 * 86400) /* seconds */

/* Strings are the caller's; empty where there is nothing to say. */
typedef struct {
    aml_principal_id_t id;
    aml_principal_id_t principal;
    const char *name;    /* the person's label */
    const char *method;  /* "password", "pam", "oidc", "device" */
    const char *issuer;  /* of the identity, for people: "local", an address */
    const char *subject; /* as the provider calls it */
    const char *sid;     /* the provider's session */
    const char *address; /* of the client */
    const char *agent;   /* its User-Agent */
    int64_t created;     /* seconds since 1970 */
    int64_t expires;
    int64_t seen;  /* last use that is known */
    int inherited; /* for amld_sign_in_begin() only, as what follows: from
                    * another sign-in, and so no news of the person */
    int groups_unknown;
    const aml_principal_id_t *groups;
    size_t group_count;
} amld_sign_in_t;

/*
 * Writes the sign-in with its grants; `s->seen` is taken to be `s->created`.
 * A person that is seen for the first time gets a record; its label and issuer
 * are brought up to date.  DENIED when the principal is disabled.
 */
aml_registry_rc_t
amld_sign_in_begin(aml_registry_txn_t *txn, const amld_sign_in_t *s);

/* Brings groups, label and the end up to date, as after a refresh.  NOTFOUND
 * when it has ended. */
aml_registry_rc_t
amld_sign_in_update(aml_registry_txn_t *txn, const amld_sign_in_t *s);

/* Ends it with all its sessions and tokens; OK also when it has ended. */
aml_registry_rc_t
amld_sign_in_end(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in);

/* Ends all of a principal's, but for `except`, which may be NULL. */
aml_registry_rc_t
amld_sign_ins_end_of(aml_registry_txn_t *txn,
                     const aml_principal_id_t *principal,
                     const aml_principal_id_t *except, size_t *ended);

/*
 * Ends those of the provider's session `sid`; with an empty `sid`, all of the
 * principal's.  `ended` is how many.
 */
aml_registry_rc_t
amld_sign_ins_end_sid(aml_registry_txn_t *txn, const char *issuer,
                      const char *sid, const aml_principal_id_t *principal,
                      size_t *ended);

/* The document of one; its strings live as long as `*json`, which is the
 * caller's to json_decref().  NOTFOUND. */
aml_registry_rc_t
amld_sign_in_get(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                 amld_sign_in_t *s, json_t **json);

/* A principal's, or with NULL everybody's, in no order; a return other than 0
 * ends the walk.  In a write transaction `each` must not write. */
typedef int (*amld_sign_in_each_pt)(void *data, const amld_sign_in_t *s);
aml_registry_rc_t
amld_sign_ins_each(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
                   amld_sign_in_each_pt each, void *data);

/* Notes a use; nothing is written where that is known already. */
aml_registry_rc_t amld_sign_in_seen(aml_registry_txn_t *txn,
                                    const aml_principal_id_t *id, int64_t when);

/* What a sweep has ended, once it has; `idle` when it was not used. */
typedef void (*amld_sign_in_over_pt)(void *data, const aml_principal_id_t *id,
                                     const aml_principal_id_t *principal,
                                     int idle);

/*
 * How long unused is too long now, in seconds, for amld_sign_ins_sweep(), where
 * `idle` is what the configuration says and uses are heard of since `since`.
 * 0 while that can't be told: a use before `since` was heard by nobody, and one
 * takes AMLD_SEEN_LATE seconds at most until it is written.
 */
#define AMLD_SEEN_LATE 120
int64_t amld_sign_ins_idle(int64_t idle, int64_t since, int64_t now);

/*
 * Ends those that are past their end, and those that were not used for
 * `idle` seconds (0: however long), but for command lines, method "device".
 * Looks at no more than `most` documents, from where `from`
 * (AML_REGISTRY_KEY_MAX + 1 bytes, "" at first) says; it is
 * "" again once the end was reached.  `over`, unless NULL, is told of each.
 */
aml_registry_rc_t
amld_sign_ins_sweep(aml_registry_t *registry, int64_t now, int64_t idle,
                    size_t most, char *from, size_t *ended,
                    amld_sign_in_over_pt over, void *data);

#endif /* AMLD_SIGN_INS_H */
