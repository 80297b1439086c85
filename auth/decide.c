#include "auth/decide.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/roles.h"

/* Keys that one worker holds at a time: a few issuers with a few keys each.
 * A verifier is some kilobytes of OpenSSL. */
#define VERIFIERS 64

typedef struct {
    aml_verifier_t *verifier; /* NULL: a free place */
    int64_t expires;          /* of the key, 0: no end known */
    uint64_t used;            /* by the decider's clock */
    size_t key_len;
    char key[AML_REGISTRY_KEY_MAX + 1];
} held_verifier_t;

struct aml_decider {
    EVP_MD *sha256;
    EVP_MD_CTX *ctx;
    aml_token_cache_t *tokens;
    uint64_t generation; /* of the keys that are held */
    uint64_t clock;      /* one tick a look-up */
    aml_jwt_header_t header;
    held_verifier_t held[VERIFIERS];
};

/* What the token's source needs to know of the request. */
typedef struct {
    aml_decider_t *d;
    aml_registry_txn_t *txn;
    int64_t now;
    int64_t key_expires;
} lookup_t;


aml_decider_t *
aml_decider_new(size_t token_cache_entries)
{
    aml_decider_t *d;

    d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return NULL;
    }

    /* Fetched once: EVP_sha256() would look the implementation up each time. */
    d->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    d->ctx = EVP_MD_CTX_new();
    d->tokens = aml_token_cache_new(token_cache_entries);

    if (d->sha256 == NULL || d->ctx == NULL || d->tokens == NULL ||
        EVP_DigestInit_ex2(d->ctx, d->sha256, NULL) != 1) {
        aml_decider_free(d);
        return NULL;
    }

    return d;
}


static void
drop_verifiers(aml_decider_t *d)
{
    size_t i;

    for (i = 0; i < VERIFIERS; i++) {
        aml_verifier_free(d->held[i].verifier);
        d->held[i].verifier = NULL;
    }
}


void
aml_decider_free(aml_decider_t *d)
{
    if (d == NULL) {
        return;
    }

    drop_verifiers(d);
    aml_token_cache_free(d->tokens);
    EVP_MD_CTX_free(d->ctx);
    EVP_MD_free(d->sha256);
    free(d);
}


/* ---- the registry's answers ---- */

typedef enum {
    FOUND = 0,
    ABSENT,
    BROKEN /* cannot be read: the registry, or this record */
} found_t;


static found_t
look_up(aml_registry_txn_t *txn, const char *key, size_t n, aml_str_t *value)
{
    /* A key that is too long to be one is not there. */
    if (n == 0) {
        return ABSENT;
    }

    switch (aml_registry_get(txn, key, n, value)) {
    case AML_REGISTRY_OK:
        return FOUND;
    case AML_REGISTRY_NOTFOUND:
    case AML_REGISTRY_TOOLONG:
        return ABSENT;
    default:
        return BROKEN;
    }
}


static found_t
find_session(aml_registry_txn_t *txn, const uint8_t hash[32], aml_session_t *s)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    found_t found;

    found = look_up(txn, key, aml_key_session(key, hash), &value);
    if (found == FOUND && aml_session_decode(value, s) != AML_RECORD_OK) {
        return BROKEN;
    }

    return found;
}


static found_t
find_principal(aml_registry_txn_t *txn, const aml_principal_id_t *id,
               aml_principal_t *p)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    found_t found;

    found = look_up(txn, key, aml_key_principal(key, id), &value);
    if (found == FOUND && aml_principal_decode(value, p) != AML_RECORD_OK) {
        return BROKEN;
    }

    return found;
}


static found_t
find_route(aml_registry_txn_t *txn, aml_str_t name, unsigned port,
           aml_route_t *route)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    found_t found;

    found = look_up(txn, key, aml_key_route(key, name, port), &value);
    if (found == FOUND && (aml_route_decode(value, route) != AML_RECORD_OK ||
                           route->port != port)) {
        return BROKEN;
    }

    return found;
}


/* ---- sessions ---- */

int
aml_session_hash(aml_decider_t *d, aml_str_t cookie, uint8_t hash[32])
{
    size_t n;
    uint8_t secret[aml_base64url_room(AML_SESSION_CHARS)];

    /* for its form only */
    if (cookie.n != AML_SESSION_CHARS ||
        aml_base64url_decode(secret, &n, cookie.p, cookie.n) != 0) {
        return -1;
    }

    /* NULL for the digest: the one that the context was made with. */
    if (EVP_DigestInit_ex2(d->ctx, NULL, NULL) != 1 ||
        EVP_DigestUpdate(d->ctx, cookie.p, cookie.n) != 1 ||
        EVP_DigestFinal_ex(d->ctx, hash, NULL) != 1) {
        return -1;
    }

    return 0;
}


/*
 * The label goes into a header and into logs: a control character that got
 * into the registry must not get further.  Cut where a character ends.
 */
static void
copy_label(aml_identity_t *who, aml_str_t label)
{
    size_t i, n = label.n;
    unsigned char c;

    if (n > AML_NAME_MAX) {
        n = AML_NAME_MAX;
        while (n > 0 && ((unsigned char) label.p[n] & 0xc0) == 0x80) {
            n--;
        }
    }

    for (i = 0; i < n; i++) {
        c = (unsigned char) label.p[i];
        who->name[i] = c < 0x20 || c == 0x7f ? '?' : (char) c;
    }
    who->name_len = n;
}


/* OK, or why what was issued at `issued` no longer speaks for `p`. */
static aml_reason_t
check_principal(const aml_principal_t *p, int64_t issued)
{
    if (p->flags & AML_PRINCIPAL_DISABLED) {
        return AML_REASON_PRINCIPAL_REVOKED;
    }
    if (p->not_before > issued) {
        return AML_REASON_PRINCIPAL_REVOKED;
    }

    return AML_REASON_OK;
}


/* Session and principal behind a hash; `host` empty: any. */
static aml_reason_t
check_session(aml_registry_txn_t *txn, const uint8_t hash[32], aml_str_t host,
              int64_t now, aml_session_t *s, aml_principal_t *p)
{
    switch (find_session(txn, hash, s)) {
    case FOUND:
        break;
    case ABSENT:
        return AML_REASON_SESSION_UNKNOWN;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (host.n != 0 && !aml_str_eq(s->host, host)) {
        return AML_REASON_SESSION_HOST;
    }
    if (now >= s->expires) {
        return AML_REASON_SESSION_EXPIRED;
    }

    switch (find_principal(txn, &s->principal, p)) {
    case FOUND:
        return check_principal(p, s->created);
    case ABSENT:
        return AML_REASON_SESSION_UNKNOWN;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


aml_reason_t
aml_identify_session(aml_decider_t *d, aml_registry_txn_t *txn,
                     aml_str_t cookie, aml_str_t host, int64_t now,
                     aml_identity_t *who)
{
    aml_principal_t p;
    aml_session_t s;
    aml_reason_t rc;

    who->credential = AML_CREDENTIAL_NONE;

    if (host.n == 0) {
        return AML_REASON_SESSION_HOST;
    }
    if (aml_session_hash(d, cookie, who->session) != 0) {
        return AML_REASON_SESSION_MALFORMED;
    }

    rc = check_session(txn, who->session, host, now, &s, &p);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    who->credential = AML_CREDENTIAL_SESSION;
    who->principal = s.principal;
    who->issued = s.created;
    who->expires = s.expires;
    copy_label(who, p.name);

    return AML_REASON_OK;
}


/* ---- tokens ---- */

static aml_reason_t
source_issuer(void *data, aml_str_t iss, aml_issuer_t *issuer)
{
    lookup_t *l = data;
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;

    switch (look_up(l->txn, key, aml_key_issuer(key, iss), &value)) {
    case FOUND:
        break;
    case ABSENT:
        return AML_REASON_TOKEN_ISSUER;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    return aml_issuer_decode(value, issuer) == AML_RECORD_OK
               ? AML_REASON_OK
               : AML_REASON_REGISTRY_UNAVAILABLE;
}


typedef struct {
    char *key;
    size_t n;
    int count;
} only_key_t;


static int
take_only_key(void *data, aml_str_t key, aml_str_t value)
{
    only_key_t *only = data;

    (void) value;

    if (++only->count > 1 || key.n > AML_REGISTRY_KEY_MAX) {
        only->count = 2;
        return 1;
    }
    memcpy(only->key, key.p, key.n);
    only->n = key.n;

    return 0;
}


/* A token without `kid` is for the issuer's only key; where there are two,
 * trying each would let a caller choose the work. */
static found_t
find_only_key(aml_registry_txn_t *txn, aml_str_t iss, char *key, size_t *n)
{
    char prefix[AML_REGISTRY_KEY_MAX + 1];
    only_key_t only = {key, 0, 0};
    aml_registry_rc_t rc;
    size_t len;

    len = aml_key_key(prefix, iss, aml_str(""));
    if (len == 0) {
        return ABSENT;
    }

    rc = aml_registry_each(txn, (aml_str_t){prefix, len}, aml_str(""),
                           take_only_key, &only);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return BROKEN;
    }
    *n = only.n;

    return only.count == 1 ? FOUND : ABSENT;
}


/* The place where `key` is held, else a free one, else the one that was not
 * used for longest. */
static held_verifier_t *
place_for(aml_decider_t *d, const char *key, size_t n)
{
    held_verifier_t *h, *place = &d->held[0];
    size_t i;

    for (i = 0; i < VERIFIERS; i++) {
        h = &d->held[i];
        if (h->verifier == NULL) {
            if (place->verifier != NULL) {
                place = h;
            }
            continue;
        }
        if (h->key_len == n && memcmp(h->key, key, n) == 0) {
            return h;
        }
        if (place->verifier != NULL && h->used < place->used) {
            place = h;
        }
    }

    return place;
}


static aml_reason_t
hold(lookup_t *l, held_verifier_t *h, const char *key, size_t n)
{
    aml_verifier_t *verifier;
    aml_public_key_t record;
    aml_str_t value;

    switch (look_up(l->txn, key, n, &value)) {
    case FOUND:
        break;
    case ABSENT:
        return AML_REASON_TOKEN_KEY;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (aml_public_key_decode(value, &record) != AML_RECORD_OK) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    switch (aml_verifier_new(&record, &verifier)) {
    case AML_KEY_OK:
        break;
    case AML_KEY_FAILED:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    default:
        return AML_REASON_TOKEN_KEY;
    }

    aml_verifier_free(h->verifier);
    h->verifier = verifier;
    h->expires = record.expires;
    h->key_len = n;
    memcpy(h->key, key, n);

    return AML_REASON_OK;
}


static aml_reason_t
source_key(void *data, aml_str_t iss, aml_str_t kid, aml_verifier_t **verifier)
{
    lookup_t *l = data;
    aml_decider_t *d = l->d;
    char key[AML_REGISTRY_KEY_MAX + 1];
    held_verifier_t *h;
    aml_reason_t rc;
    size_t n;

    if (kid.n != 0) {
        n = aml_key_key(key, iss, kid);
        if (n == 0) {
            return AML_REASON_TOKEN_KEY;
        }

    } else {
        switch (find_only_key(l->txn, iss, key, &n)) {
        case FOUND:
            break;
        case ABSENT:
            return AML_REASON_TOKEN_KEY;
        default:
            return AML_REASON_REGISTRY_UNAVAILABLE;
        }
    }

    h = place_for(d, key, n);
    if (h->verifier == NULL || h->key_len != n || memcmp(h->key, key, n) != 0) {
        rc = hold(l, h, key, n);
        if (rc != AML_REASON_OK) {
            return rc;
        }
    }

    if (h->expires != 0 && l->now >= h->expires) {
        return AML_REASON_TOKEN_KEY;
    }

    h->used = ++d->clock;
    l->key_expires = h->expires;
    *verifier = h->verifier;

    return AML_REASON_OK;
}


static aml_reason_t
verify(aml_decider_t *d, aml_registry_txn_t *txn, aml_str_t token,
       uint64_t generation, int64_t now, aml_jwt_identity_t *identity)
{
    lookup_t l = {d, txn, now, 0};
    aml_jwt_source_t source = {&l, source_issuer, source_key, &d->header};
    aml_reason_t rc;

    if (d->generation != generation) {
        drop_verifiers(d);
        d->generation = generation;
    }

    rc = aml_jwt_verify(token, now, &source, identity);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    /* A token is no better than its key; the cache must not outlive it. */
    if (l.key_expires != 0 && l.key_expires < identity->expires) {
        identity->expires = l.key_expires;
    }
    aml_token_cache_put(d->tokens, token, generation, now, identity);

    return AML_REASON_OK;
}


/* A principal that has no record is a stranger: it has no roles, and there is
 * nothing that was revoked. */
static aml_reason_t
check_token_principal(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                      int64_t issued)
{
    aml_principal_t p;

    switch (find_principal(txn, id, &p)) {
    case FOUND:
        return check_principal(&p, issued);
    case ABSENT:
        return AML_REASON_OK;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


aml_reason_t
aml_identify_token(aml_decider_t *d, aml_registry_txn_t *txn, aml_str_t token,
                   int64_t now, aml_identity_t *who)
{
    const aml_jwt_identity_t *identity;
    aml_jwt_identity_t fresh;
    uint64_t generation;
    aml_reason_t rc;

    who->credential = AML_CREDENTIAL_NONE;

    if (token.n > AML_JWT_MAX) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    generation = aml_registry_key_generation(txn);

    identity = aml_token_cache_get(d->tokens, token, generation, now);
    if (identity == NULL) {
        rc = verify(d, txn, token, generation, now, &fresh);
        if (rc != AML_REASON_OK) {
            return rc;
        }
        identity = &fresh;
    }

    rc = check_token_principal(txn, &identity->principal, identity->issued);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    who->credential = AML_CREDENTIAL_TOKEN;
    who->principal = identity->principal;
    memset(who->session, 0, sizeof(who->session));
    who->issued = identity->issued;
    who->expires = identity->expires;
    copy_label(who, (aml_str_t){identity->name, identity->name_len});

    return AML_REASON_OK;
}


aml_reason_t
aml_identity_holds(aml_registry_txn_t *txn, const aml_identity_t *who,
                   int64_t now)
{
    aml_principal_t p;
    aml_session_t s;
    aml_reason_t rc;

    switch (who->credential) {

    case AML_CREDENTIAL_SESSION:
        rc = check_session(txn, who->session, aml_str(""), now, &s, &p);
        if (rc == AML_REASON_OK &&
            !aml_principal_eq(&s.principal, &who->principal)) {
            return AML_REASON_SESSION_UNKNOWN;
        }
        return rc;

    case AML_CREDENTIAL_TOKEN:
        if (now >= who->expires) {
            return AML_REASON_TOKEN_EXPIRED;
        }
        return check_token_principal(txn, &who->principal, who->issued);

    default:
        return AML_REASON_SIGN_IN_REQUIRED;
    }
}


/* ---- may they ---- */

static aml_reason_t
reason_of_state(aml_instance_state_t state)
{
    switch (state) {
    case AML_INSTANCE_RUNNING:
        return AML_REASON_OK;
    case AML_INSTANCE_CREATING:
    case AML_INSTANCE_STARTING:
    case AML_INSTANCE_RESTARTING:
        return AML_REASON_INSTANCE_STARTING;
    case AML_INSTANCE_STOPPING:
    case AML_INSTANCE_DELETING:
        return AML_REASON_INSTANCE_STOPPING;
    case AML_INSTANCE_STOPPED:
        return AML_REASON_INSTANCE_STOPPED;
    default:
        return AML_REASON_INSTANCE_FAILED;
    }
}


aml_reason_t
aml_decide_application(aml_registry_txn_t *txn, const aml_identity_t *who,
                       aml_str_t name, unsigned port, aml_route_t *route)
{
    aml_reason_t rc;
    found_t found;

    if (who->credential == AML_CREDENTIAL_NONE) {
        return AML_REASON_SIGN_IN_REQUIRED;
    }

    found = find_route(txn, name, port, route);
    if (found == ABSENT) {
        port = 0;
        found = find_route(txn, name, 0, route);
    }

    if (found == ABSENT) {
        return AML_REASON_INSTANCE_NOT_FOUND;
    }
    if (found == BROKEN) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (!aml_principal_eq(&route->creator, &who->principal)) {
        return AML_REASON_NOT_CREATOR;
    }

    rc = reason_of_state(route->state);
    if (rc != AML_REASON_OK) {
        return rc;
    }
    /* The instance's own record leads nowhere. */
    if (port == 0) {
        return AML_REASON_PORT_NOT_OPEN;
    }

    return route->address.n != 0 ? AML_REASON_OK
                                 : AML_REASON_REGISTRY_UNAVAILABLE;
}


static aml_reason_t
role_allows(aml_registry_txn_t *txn, const aml_principal_id_t *id,
            aml_str_t action)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_role_t *role;
    aml_str_t value;
    int allowed;

    switch (look_up(txn, key, aml_key_role(key, id), &value)) {
    case FOUND:
        break;
    case ABSENT:
        /* A role that was deleted allows nothing. */
        return AML_REASON_ACTION_DENIED;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    role = aml_role_parse(value.p, value.n, NULL, 0);
    if (role == NULL || !aml_principal_eq(aml_role_id(role), id)) {
        aml_role_free(role);
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    allowed = aml_role_allows(role, action);
    aml_role_free(role);

    return allowed ? AML_REASON_OK : AML_REASON_ACTION_DENIED;
}


aml_reason_t
aml_decide_action(aml_registry_txn_t *txn, const aml_identity_t *who,
                  const aml_action_t *action)
{
    aml_str_t name = {action->action, action->action_len};
    aml_reason_t rc, answer = AML_REASON_ACTION_DENIED;
    aml_assignment_t assignment;
    aml_principal_t p;
    aml_str_t rest;

    if (who->credential == AML_CREDENTIAL_NONE) {
        return AML_REASON_SIGN_IN_REQUIRED;
    }

    switch (find_principal(txn, &who->principal, &p)) {
    case FOUND:
        break;
    case ABSENT:
        return AML_REASON_ACTION_DENIED;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    rest = p.assignments;
    while (aml_assignment_next(&rest, &assignment)) {
        if (!aml_scope_covers(assignment.scope, action->scope)) {
            continue;
        }
        rc = role_allows(txn, &assignment.role, name);
        if (rc == AML_REASON_OK) {
            return AML_REASON_OK;
        }

        /* One role that can't be read takes nothing from the others; but
         * "denied" would be a lie if none of them allows it. */
        if (rc != AML_REASON_ACTION_DENIED) {
            answer = rc;
        }
    }

    return answer;
}
