/*
 * The records that a request needs, flat and versioned: what is in the
 * registry under session/, principal/, grant/, token/, route/, key/ and
 * issuer/; and the counts that the gateway tells of jobs and services.
 *
 * Encoding: little-endian fixed fields first (version, a 16-bit number, is
 * the first of every record), then strings, each as 16-bit length and bytes.
 * Decoders check every length against the value's size, refuse a version that
 * they do not know, and point strings into the value: they live as long as
 * the registry snapshot.  Encoders write into a caller's buffer and return the
 * bytes used, or 0 where it is too small, a field too long, or a value one
 * that the decoder would answer AML_RECORD_INVALID to.
 */

#ifndef AML_RECORDS_H
#define AML_RECORDS_H

#include <stdint.h>

#include "auth/principal.h"
#include "auth/str.h"

#define AML_RECORD_MAX 65535 /* no record is larger than this */


typedef enum {
    AML_RECORD_OK = 0,
    AML_RECORD_TRUNCATED, /* lengths do not fit the value */
    AML_RECORD_VERSION,   /* a version that this code does not know */
    AML_RECORD_INVALID    /* a field has a value that it can't have */
} aml_record_rc_t;


/*
 * Keys.  Each writes into `key` (AML_REGISTRY_KEY_MAX + 1 bytes, NUL-ended
 * for people) and returns the length without NUL, 0 when it is too long or,
 * for a route, no name or port.  In `issuer` and `kid` '/', '%' and everything
 * that is not printable ASCII is written as %XX, so that no two pairs share a
 * key; with an empty `kid`, aml_key_key() is the prefix of all keys of exactly
 * that issuer.
 */
size_t aml_key_session(char *key, const uint8_t hash[32]); /* hex */
size_t aml_key_principal(char *key, const aml_principal_id_t *id);
/* of a sign-in, or of a principal */
size_t aml_key_grant(char *key, const aml_principal_id_t *id);
size_t aml_key_token(char *key, const uint8_t hash[32]); /* hex */
size_t aml_key_route(char *key, aml_str_t lowercase_name, unsigned port);
size_t aml_key_key(char *key, aml_str_t issuer, aml_str_t kid);
size_t aml_key_issuer(char *key, aml_str_t issuer);
size_t aml_key_role(char *key, const aml_principal_id_t *role);


/* ---- session/<hex SHA-256 of the cookie's value> ---- */

typedef struct {
    int64_t created; /* seconds since 1970 */
    int64_t expires; /* first second at which it is no longer valid */
    aml_principal_id_t principal;
    aml_principal_id_t sign_in; /* all sessions of one sign-in share it */
    aml_str_t host; /* the one host it is for, lower case, without port */
} aml_session_t;

size_t aml_session_encode(const aml_session_t *s, void *buf, size_t size);
aml_record_rc_t aml_session_decode(aml_str_t value, aml_session_t *s);


/* ---- principal/<uuid>: the person, and which roles where ---- */

typedef struct {
    int64_t not_before; /* sessions and tokens issued earlier are void */
    uint32_t flags;     /* AML_PRINCIPAL_* */
    aml_str_t name;     /* a label for people, never identity */
    aml_str_t issuer;   /* where it comes from, for people */
    uint16_t assignment_count;
    aml_str_t assignments; /* encoded; see aml_assignment_next() */
} aml_principal_t;

#define AML_PRINCIPAL_DISABLED 1u
#define AML_PRINCIPAL_GROUP 2u /* a group or an app role, see principal.h */

typedef struct {
    aml_principal_id_t role;
    aml_str_t scope; /* "/subscriptions/…", no trailing slash; "/" is all */
} aml_assignment_t;

/* `list` has p->assignment_count entries; p->assignments is ignored. */
size_t
aml_principal_encode(const aml_principal_t *p, const aml_assignment_t *list,
                     void *buf, size_t size);
aml_record_rc_t aml_principal_decode(aml_str_t value, aml_principal_t *p);
/* Without issuer and assignments, which stay empty and are not looked at: for
 * requests that ask only whether somebody is still let in. */
aml_record_rc_t aml_principal_decode_head(aml_str_t value, aml_principal_t *p);

/* Takes the next assignment off `rest` (start with p->assignments); 1, or 0 at
 * the end.  A decoded principal's assignments are known to be well-formed. */
int aml_assignment_next(aml_str_t *rest, aml_assignment_t *a);


/* ---- grant/<sign-in>: what a sign-in has brought, there while it lasts; and
 *      grant/<principal>: what the person's last sign-in has brought, for
 *      personal tokens ---- */

typedef struct {
    int64_t expires; /* first second at which it no longer holds */
    uint32_t flags;  /* AML_GRANT_UNKNOWN */
    aml_principal_id_t principal;
    uint16_t group_count;
    const uint8_t *groups; /* principals of groups and app roles; see
                            * aml_grant_group() */
} aml_grant_t;

/* There are groups that the provider has not told: never the same as none. */
#define AML_GRANT_UNKNOWN 1u
#define AML_GRANT_GROUPS 256

/* `list` has g->group_count entries; g->groups is ignored. */
size_t aml_grant_encode(const aml_grant_t *g, const aml_principal_id_t *list,
                        void *buf, size_t size);
aml_record_rc_t aml_grant_decode(aml_str_t value, aml_grant_t *g);
/* The i-th, i below group_count. */
aml_principal_id_t aml_grant_group(const aml_grant_t *g, unsigned i);


/* ---- token/<hex SHA-256 of the token>: a personal access token ---- */

#define AML_TOKEN_PREFIX "amlp_"
#define AML_TOKEN_CHARS 48 /* the prefix and 43 characters of base64url */
#define AML_TOKEN_SCOPES 16

/* Where it holds.  Strings in `instances` are lower-case names; in `actions`
 * patterns as a role's Actions.  Without instances, it opens all of its
 * person's unless flags say none; without actions it may call nothing. */
typedef struct {
    int64_t created;
    int64_t expires;
    uint32_t flags; /* AML_TOKEN_NO_INSTANCES */
    aml_principal_id_t principal;
    aml_principal_id_t id; /* what people call it by */
    aml_str_t label;
    uint16_t instance_count;
    uint16_t action_count;
    aml_str_t instances[AML_TOKEN_SCOPES];
    aml_str_t actions[AML_TOKEN_SCOPES];
} aml_personal_token_t;

#define AML_TOKEN_NO_INSTANCES 1u

size_t aml_personal_token_encode(const aml_personal_token_t *t, void *buf,
                                 size_t size);
aml_record_rc_t
aml_personal_token_decode(aml_str_t value, aml_personal_token_t *t);


/* ---- route/<lowercase name>/<port>; port 0 is the instance itself ---- */

typedef enum {
    AML_INSTANCE_UNKNOWN = 0,
    AML_INSTANCE_CREATING,
    AML_INSTANCE_STARTING,
    AML_INSTANCE_RUNNING,
    AML_INSTANCE_STOPPING,
    AML_INSTANCE_STOPPED,
    AML_INSTANCE_RESTARTING,
    AML_INSTANCE_DELETING,
    AML_INSTANCE_FAILED /* CreateFailed, Unusable */
} aml_instance_state_t;

#define AML_INSTANCE_STATES 9

/*
 * A port's own state is RUNNING with an address.  Without one it is an
 * application that is started on demand, or a custom service: STOPPED, STARTING
 * or FAILED.  A custom service may be so with an address, too: where the
 * engine leads to every port, somebody else may listen there, or the service
 * already, and only where nobody does the state says why.
 */
typedef struct {
    aml_instance_state_t state;
    uint16_t port;
    uint64_t generation; /* never the same for two starts of any instance */
    aml_principal_id_t creator;
    aml_str_t name;    /* the instance's name as it was given */
    aml_str_t address; /* "unix:/path" or "host:port"; empty where the
                        * application does not answer yet.  Of port 0 it is
                        * where all ports without a record of their own are,
                        * with '*' for the port; or empty */
    aml_str_t compute; /* its ARM id; empty but for port 0 */
} aml_route_t;

size_t aml_route_encode(const aml_route_t *route, void *buf, size_t size);
aml_record_rc_t aml_route_decode(aml_str_t value, aml_route_t *route);


/* ---- key/<issuer>/<kid>: one public key ---- */

typedef enum {
    AML_KTY_RSA = 1, /* a = n, b = e */
    AML_KTY_EC = 2,  /* a = x, b = y */
    AML_KTY_OKP = 3  /* a = x */
} aml_kty_t;

typedef enum {
    AML_CURVE_NONE = 0,
    AML_CURVE_P256,
    AML_CURVE_P384,
    AML_CURVE_P521,
    AML_CURVE_ED25519,
    AML_CURVE_ED448
} aml_curve_t;

typedef struct {
    aml_kty_t kty;
    aml_curve_t curve;
    uint16_t alg;    /* the one aml_alg_t it is for, 0: any that fits */
    int64_t expires; /* seconds since 1970, 0: no end known */
    aml_str_t a, b;  /* big-endian, as in RFC 7518 section 6 */
} aml_public_key_t;

size_t aml_public_key_encode(const aml_public_key_t *k, void *buf, size_t size);
aml_record_rc_t aml_public_key_decode(aml_str_t value, aml_public_key_t *k);


/* ---- issuer/<iss>: what is asked of its tokens ---- */

typedef enum {
    AML_IDENTITY_SUB = 0,  /* namespace + identity_claim */
    AML_IDENTITY_ENTRA,    /* tid + oid; the namespace is the tenant */
    AML_IDENTITY_PRINCIPAL /* sub is the principal itself: our own tokens */
} aml_identity_kind_t;

#define AML_ISSUER_AUDIENCES 8

/* A token must have `scp` (a person's) or `roles` (an application's). */
#define AML_ISSUER_REQUIRE_SCOPE 1u

typedef struct {
    uint32_t algs;     /* bit 1 << aml_alg_t for each that is allowed */
    uint32_t leeway;   /* seconds of clock difference that are forgiven */
    uint32_t lifetime; /* longest exp - iat that is taken, 0: any */
    aml_identity_kind_t identity;
    aml_str_t space;          /* namespace of its subjects; empty: the issuer */
    uint32_t flags;           /* AML_ISSUER_REQUIRE_SCOPE */
    aml_str_t identity_claim; /* for AML_IDENTITY_SUB; empty: sub */
    aml_str_t name_claim;     /* label for people, such as preferred_username */
    aml_str_t groups_claim;   /* empty: tokens tell of no groups */
    aml_str_t roles_claim;    /* app roles, likewise */
    uint16_t audience_count;
    aml_str_t audiences[AML_ISSUER_AUDIENCES]; /* one must be in `aud` */
} aml_issuer_t;

size_t aml_issuer_encode(const aml_issuer_t *i, void *buf, size_t size);
aml_record_rc_t aml_issuer_decode(aml_str_t value, aml_issuer_t *i);


/* ---- counts: of jobs and services, since the registry was made ---- */

#define AML_COUNTS_KEY "counts"
#define AML_COUNTS_WAITS 6

typedef struct {
    uint64_t jobs_submitted;
    uint64_t jobs_completed;
    uint64_t jobs_failed;
    uint64_t jobs_canceled;
    uint64_t jobs_queued;                 /* now */
    uint64_t jobs_running;                /* now */
    uint64_t job_waits[AML_COUNTS_WAITS]; /* starts, by aml_counts_bound() */
    uint64_t job_waited;                  /* ms, before all of these */
    uint64_t service_starts;
    uint64_t service_restarts; /* of these, after it had ended by itself */
    uint64_t service_failures;
} aml_counts_t;

size_t aml_counts_encode(const aml_counts_t *c, void *buf, size_t size);
aml_record_rc_t aml_counts_decode(aml_str_t value, aml_counts_t *c);
/* job_waits[i] has those that waited this many seconds at most, and longer than
 * the one before says; 0 for the last, which has the rest. */
unsigned aml_counts_bound(unsigned i);

#endif /* AML_RECORDS_H */
