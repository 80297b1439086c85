#include "auth/decide.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/key_source.h"
#include "auth/lookup.h"
#include "auth/roles.h"
#include "upstreams/application.h"
#include "upstreams/host.h"

struct aml_decider {
    EVP_MD *sha256;
    EVP_MD_CTX *ctx;
    aml_token_cache_t *tokens;
    aml_key_source_t *keys;
    aml_jwt_identity_t fresh; /* of a token that is not in the cache yet */
};


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
    d->keys = aml_key_source_new();

    if (d->sha256 == NULL || d->ctx == NULL || d->tokens == NULL ||
        d->keys == NULL || EVP_DigestInit_ex2(d->ctx, d->sha256, NULL) != 1) {
        aml_decider_free(d);
        return NULL;
    }

    return d;
}


void
aml_decider_free(aml_decider_t *d)
{
    if (d == NULL) {
        return;
    }

    aml_key_source_free(d->keys);
    aml_token_cache_free(d->tokens);
    EVP_MD_CTX_free(d->ctx);
    EVP_MD_free(d->sha256);
    free(d);
}


/* ---- the registry's answers ---- */

static aml_found_t
find_session(aml_registry_txn_t *txn, const uint8_t hash[32], aml_session_t *s)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_found_t found;

    found = aml_look_up(txn, key, aml_key_session(key, hash), &value);
    if (found == AML_FOUND && aml_session_decode(value, s) != AML_RECORD_OK) {
        return AML_BROKEN;
    }

    return found;
}


/* `decode` is aml_principal_decode(), or its _head(), which reads less. */
static aml_found_t
find_principal(aml_registry_txn_t *txn, const aml_principal_id_t *id,
               aml_record_rc_t (*decode)(aml_str_t, aml_principal_t *),
               aml_principal_t *p)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_found_t found;

    found = aml_look_up(txn, key, aml_key_principal(key, id), &value);
    if (found == AML_FOUND && decode(value, p) != AML_RECORD_OK) {
        return AML_BROKEN;
    }

    return found;
}


static aml_found_t
find_grant(aml_registry_txn_t *txn, const aml_principal_id_t *id,
           aml_grant_t *grant)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_found_t found;

    found = aml_look_up(txn, key, aml_key_grant(key, id), &value);
    if (found == AML_FOUND && aml_grant_decode(value, grant) != AML_RECORD_OK) {
        return AML_BROKEN;
    }

    return found;
}


static aml_found_t
find_token(aml_registry_txn_t *txn, const uint8_t hash[32],
           aml_personal_token_t *token)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_found_t found;

    found = aml_look_up(txn, key, aml_key_token(key, hash), &value);
    if (found == AML_FOUND &&
        aml_personal_token_decode(value, token) != AML_RECORD_OK) {
        return AML_BROKEN;
    }

    return found;
}


static aml_found_t
find_route(aml_registry_txn_t *txn, aml_str_t name, unsigned port,
           aml_route_t *route)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_str_t value;
    aml_found_t found;

    found = aml_look_up(txn, key, aml_key_route(key, name, port), &value);
    if (found == AML_FOUND &&
        (aml_route_decode(value, route) != AML_RECORD_OK ||
         route->port != port)) {
        return AML_BROKEN;
    }

    return found;
}


/* ---- sessions ---- */

/* 256 random bits, as cookies and personal tokens have them: for the form. */
static int
is_secret(aml_str_t text)
{
    size_t n;
    uint8_t secret[aml_base64url_room(AML_SESSION_CHARS)];

    return text.n == AML_SESSION_CHARS &&
           aml_base64url_decode(secret, &n, text.p, text.n) == 0;
}


static int
hash_of(aml_decider_t *d, aml_str_t text, uint8_t hash[32])
{
    /* NULL for the digest: the one that the context was made with. */
    if (EVP_DigestInit_ex2(d->ctx, NULL, NULL) != 1 ||
        EVP_DigestUpdate(d->ctx, text.p, text.n) != 1 ||
        EVP_DigestFinal_ex(d->ctx, hash, NULL) != 1) {
        return -1;
    }

    return 0;
}


int
aml_session_hash(aml_decider_t *d, aml_str_t cookie, uint8_t hash[32])
{
    return is_secret(cookie) ? hash_of(d, cookie, hash) : -1;
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
    case AML_FOUND:
        break;
    case AML_ABSENT:
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

    switch (find_principal(txn, &s->principal, aml_principal_decode_head, p)) {
    case AML_FOUND:
        return check_principal(p, s->created);
    case AML_ABSENT:
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
    who->in_sign_in = 1;
    who->sign_in = s.sign_in;
    who->key = aml_str("");
    who->groups_unknown = 0;
    who->group_count = 0;
    who->issued = s.created;
    who->expires = s.expires;
    who->until = s.expires;
    copy_label(who, p.name);

    return AML_REASON_OK;
}


/* ---- tokens ---- */

/* A principal that has no record is a stranger: it has no roles, and there is
 * nothing that was revoked. */
static aml_reason_t
check_token_principal(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                      int64_t issued)
{
    aml_principal_t p;

    switch (find_principal(txn, id, aml_principal_decode_head, &p)) {
    case AML_FOUND:
        return check_principal(&p, issued);
    case AML_ABSENT:
        return AML_REASON_OK;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


/* A token of ours that was given out in a sign-in ends with it, which is at
 * `until`. */
static aml_reason_t
check_sign_in(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in,
              const aml_principal_id_t *principal, int64_t now, int64_t *until)
{
    aml_grant_t grant;

    switch (find_grant(txn, sign_in, &grant)) {
    case AML_FOUND:
        if (!aml_principal_eq(&grant.principal, principal)) {
            return AML_REASON_SESSION_UNKNOWN;
        }
        *until = grant.expires;
        return now < grant.expires ? AML_REASON_OK : AML_REASON_SESSION_EXPIRED;
    case AML_ABSENT:
        return AML_REASON_SESSION_UNKNOWN;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


/* Behind the hash of a personal token; it acts for its principal, which must
 * be there. */
static aml_reason_t
check_personal(aml_registry_txn_t *txn, const uint8_t hash[32], int64_t now,
               aml_personal_token_t *token, aml_principal_t *p)
{
    switch (find_token(txn, hash, token)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
        return AML_REASON_TOKEN_UNKNOWN;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (now >= token->expires) {
        return AML_REASON_TOKEN_EXPIRED;
    }

    switch (
        find_principal(txn, &token->principal, aml_principal_decode_head, p)) {
    case AML_FOUND:
        return check_principal(p, token->created);
    case AML_ABSENT:
        return AML_REASON_TOKEN_UNKNOWN;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


static aml_reason_t
identify_personal(aml_decider_t *d, aml_registry_txn_t *txn, aml_str_t text,
                  int64_t now, aml_identity_t *who)
{
    const size_t prefix = sizeof(AML_TOKEN_PREFIX) - 1;
    aml_personal_token_t token;
    aml_principal_t p;
    aml_reason_t rc;

    if (!is_secret((aml_str_t){text.p + prefix, text.n - prefix}) ||
        hash_of(d, text, who->session) != 0) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    rc = check_personal(txn, who->session, now, &token, &p);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    who->credential = AML_CREDENTIAL_PERSONAL;
    who->principal = token.principal;
    who->in_sign_in = 0;
    who->key = aml_str("");
    who->issued = token.created;
    who->expires = token.expires;
    who->until = token.expires;
    who->groups_unknown = 0;
    who->group_count = 0;
    copy_label(who, p.name);

    return AML_REASON_OK;
}


static int
is_personal(aml_str_t token)
{
    return token.n >= sizeof(AML_TOKEN_PREFIX) - 1 &&
           memcmp(token.p, AML_TOKEN_PREFIX, sizeof(AML_TOKEN_PREFIX) - 1) == 0;
}


aml_reason_t
aml_identify_token(aml_decider_t *d, aml_registry_txn_t *txn, aml_str_t token,
                   int64_t now, aml_identity_t *who)
{
    const aml_jwt_identity_t *identity;
    uint64_t generation;
    int64_t until;
    aml_reason_t rc;

    who->credential = AML_CREDENTIAL_NONE;

    if (is_personal(token)) {
        return identify_personal(d, txn, token, now, who);
    }

    if (token.n > AML_JWT_MAX) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    generation = aml_registry_key_generation(txn);

    identity = aml_token_cache_get(d->tokens, token, generation, now);
    if (identity == NULL) {
        rc = aml_key_source_verify(d->keys, txn, token, now, &d->fresh);
        if (rc != AML_REASON_OK) {
            return rc;
        }

        aml_token_cache_put(d->tokens, token, generation, now, &d->fresh);
        identity = &d->fresh;
    }

    until = identity->expires;
    rc = check_token_principal(txn, &identity->principal, identity->issued);
    if (rc == AML_REASON_OK && identity->in_sign_in) {
        rc = check_sign_in(txn, &identity->sign_in, &identity->principal, now,
                           &until);
    }
    if (rc != AML_REASON_OK) {
        return rc;
    }

    who->credential = AML_CREDENTIAL_TOKEN;
    who->principal = identity->principal;
    memset(who->session, 0, sizeof(who->session));
    who->in_sign_in = identity->in_sign_in;
    who->sign_in = identity->sign_in;
    who->issued = identity->issued;
    who->expires = identity->expires;
    who->until = until;
    who->key = (aml_str_t){identity->key, identity->key_len};
    who->groups_unknown = identity->groups_unknown;
    who->group_count = identity->group_count;
    who->groups = identity->groups;
    copy_label(who, (aml_str_t){identity->name, identity->name_len});

    return AML_REASON_OK;
}


aml_str_t
aml_decider_unknown_key(const aml_decider_t *d)
{
    return aml_key_source_unknown(d->keys);
}


static aml_reason_t
token_holds(aml_registry_txn_t *txn, aml_identity_t *who, int64_t now)
{
    int over = now >= who->expires;
    aml_reason_t rc = AML_REASON_OK;

    if (over && !who->in_sign_in) {
        return AML_REASON_TOKEN_EXPIRED;
    }
    if (!over && who->key.n != 0) {
        rc = aml_key_holds(txn, who->key);
    }
    if (rc == AML_REASON_OK) {
        rc = check_token_principal(txn, &who->principal, who->issued);
    }
    if (rc == AML_REASON_OK && who->in_sign_in) {
        rc = check_sign_in(txn, &who->sign_in, &who->principal, now,
                           &who->until);
    }

    return rc;
}


aml_reason_t
aml_identity_holds(aml_registry_txn_t *txn, aml_identity_t *who, int64_t now)
{
    aml_personal_token_t token;
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
        if (rc == AML_REASON_OK) {
            who->until = s.expires;
        }
        return rc;

    case AML_CREDENTIAL_TOKEN:
        return token_holds(txn, who, now);

    case AML_CREDENTIAL_PERSONAL:
        rc = check_personal(txn, who->session, now, &token, &p);
        if (rc == AML_REASON_OK &&
            !aml_principal_eq(&token.principal, &who->principal)) {
            return AML_REASON_TOKEN_UNKNOWN;
        }
        if (rc == AML_REASON_OK) {
            who->until = token.expires;
        }
        return rc;

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


/* Of an application without an address. */
static aml_reason_t
reason_of_demand(aml_instance_state_t state)
{
    switch (state) {
    case AML_INSTANCE_STOPPED:
        return AML_REASON_APPLICATION_NOT_STARTED;
    case AML_INSTANCE_STARTING:
        return AML_REASON_APPLICATION_STARTING;
    case AML_INSTANCE_FAILED:
        return AML_REASON_APPLICATION_FAILED;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }
}


aml_reason_t
aml_decide_silent(const aml_target_t *target)
{
    switch (target->port != 0 ? target->route.state : AML_INSTANCE_RUNNING) {
    case AML_INSTANCE_STARTING:
        return AML_REASON_SERVICE_STARTING;
    case AML_INSTANCE_STOPPED:
        return AML_REASON_SERVICE_STOPPED;
    case AML_INSTANCE_FAILED:
        return AML_REASON_SERVICE_FAILED;
    default:
        return AML_REASON_PORT_NOT_OPEN;
    }
}


/* Was the token made for this?  `name` of an instance, or an action. */
static aml_reason_t
check_scope(aml_registry_txn_t *txn, const aml_identity_t *who, aml_str_t name,
            aml_str_t action)
{
    aml_personal_token_t token;
    unsigned i;

    if (who->credential != AML_CREDENTIAL_PERSONAL) {
        return AML_REASON_OK;
    }

    switch (find_token(txn, who->session, &token)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
        return AML_REASON_TOKEN_UNKNOWN;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (action.n != 0) {
        for (i = 0; i < token.action_count; i++) {
            if (aml_role_match(token.actions[i], action)) {
                return AML_REASON_OK;
            }
        }
        return AML_REASON_TOKEN_SCOPE;
    }

    if (token.instance_count == 0) {
        return token.flags & AML_TOKEN_NO_INSTANCES ? AML_REASON_TOKEN_SCOPE
                                                    : AML_REASON_OK;
    }

    for (i = 0; i < token.instance_count; i++) {
        if (aml_str_eq(token.instances[i], name)) {
            return AML_REASON_OK;
        }
    }

    return AML_REASON_TOKEN_SCOPE;
}


void
aml_target_expect(aml_registry_txn_t *txn, aml_str_t name, unsigned port)
{
    char key[AML_REGISTRY_KEY_MAX + 1];

    aml_registry_prefetch(txn, key, aml_key_route(key, name, port));
}


void
aml_target_find(aml_registry_txn_t *txn, aml_str_t name, unsigned port,
                aml_target_t *target)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_found_t found;

    found = find_route(txn, name, port, &target->route);

    /* The instance's own record says what it is, and where other ports are:
     * but SSH is on or off. */
    if (found == AML_ABSENT) {
        found = find_route(txn, name, 0, &target->route);
        if (port == AML_PORT_SSH) {
            target->route.address = aml_str("");
        }
        port = 0;
    }

    target->name = name;
    target->port = port;
    target->found = found;

    /* whoever may open it is its creator */
    if (found == AML_FOUND) {
        aml_registry_prefetch(txn, key,
                              aml_key_principal(key, &target->route.creator));
    }
}


aml_reason_t
aml_decide_application(aml_registry_txn_t *txn, const aml_identity_t *who,
                       const aml_target_t *target)
{
    aml_reason_t rc;

    if (who->credential == AML_CREDENTIAL_NONE) {
        return AML_REASON_SIGN_IN_REQUIRED;
    }

    if (target->found == AML_ABSENT) {
        return AML_REASON_INSTANCE_NOT_FOUND;
    }
    if (target->found == AML_BROKEN) {
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (!aml_principal_eq(&target->route.creator, &who->principal)) {
        return AML_REASON_NOT_CREATOR;
    }

    rc = check_scope(txn, who, target->name, aml_str(""));
    if (rc != AML_REASON_OK) {
        return rc;
    }

    if (target->route.address.n == 0 && target->port != 0) {
        return aml_application_by_port(target->port) != NULL
                   ? reason_of_demand(target->route.state)
                   : aml_decide_silent(target);
    }

    rc = reason_of_state(target->route.state);
    if (rc != AML_REASON_OK) {
        /* With an address a service's port may be tried: see records.h. */
        return aml_decide_silent(target) != AML_REASON_PORT_NOT_OPEN &&
                       aml_application_by_port(target->port) == NULL
                   ? AML_REASON_OK
                   : rc;
    }
    if (target->port == 0 && target->route.address.n == 0) {
        return AML_REASON_PORT_NOT_OPEN;
    }

    return AML_REASON_OK;
}


static aml_reason_t
role_allows(aml_registry_txn_t *txn, const aml_principal_id_t *id,
            aml_str_t action)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_role_t *role;
    aml_str_t value;
    int allowed;

    switch (aml_look_up(txn, key, aml_key_role(key, id), &value)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
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


/*
 * What the assignments of one principal, a person or a group, come to: OK,
 * ACTION_DENIED, or REGISTRY_UNAVAILABLE where a role that can't be read might
 * have allowed it: "denied" would be a lie then.
 */
static aml_reason_t
assignments_allow(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                  const aml_action_t *action)
{
    aml_str_t name = {action->action, action->action_len};
    aml_reason_t rc, answer = AML_REASON_ACTION_DENIED;
    aml_assignment_t assignment;
    aml_principal_t p;
    aml_str_t rest;

    switch (find_principal(txn, id, aml_principal_decode, &p)) {
    case AML_FOUND:
        break;
    case AML_ABSENT:
        return AML_REASON_ACTION_DENIED;
    default:
        return AML_REASON_REGISTRY_UNAVAILABLE;
    }

    if (p.flags & AML_PRINCIPAL_DISABLED) {
        return AML_REASON_ACTION_DENIED;
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
        if (rc != AML_REASON_ACTION_DENIED) {
            answer = rc;
        }
    }

    return answer;
}


/* The groups that are known of `who`: of the token itself, or what the sign-in
 * or the person's last one brought. */
static aml_reason_t
groups_allow(aml_registry_txn_t *txn, const aml_identity_t *who, int64_t now,
             const aml_action_t *action)
{
    int unknown = who->groups_unknown;
    aml_reason_t rc, answer = AML_REASON_ACTION_DENIED;
    aml_principal_id_t id;
    aml_grant_t grant = {0};
    size_t i, n = who->group_count;

    if (who->in_sign_in || who->credential == AML_CREDENTIAL_PERSONAL) {

        switch (find_grant(
            txn, who->in_sign_in ? &who->sign_in : &who->principal, &grant)) {
        case AML_FOUND:
            if (!aml_principal_eq(&grant.principal, &who->principal)) {
                return AML_REASON_ACTION_DENIED;
            }
            break;
        case AML_ABSENT:
            break;
        default:
            return AML_REASON_REGISTRY_UNAVAILABLE;
        }

        n = grant.group_count;
        unknown = (grant.flags & AML_GRANT_UNKNOWN) != 0;

        /* what was known of a person once may hold no more */
        if (grant.expires != 0 && now >= grant.expires) {
            unknown = n != 0 || unknown;
            n = 0;
        }
    }

    for (i = 0; i < n; i++) {
        id = grant.groups != NULL ? aml_grant_group(&grant, (unsigned) i)
                                  : who->groups[i];

        rc = assignments_allow(txn, &id, action);
        if (rc == AML_REASON_OK) {
            return AML_REASON_OK;
        }
        if (rc != AML_REASON_ACTION_DENIED) {
            answer = rc;
        }
    }

    return answer == AML_REASON_ACTION_DENIED && unknown
               ? AML_REASON_GROUPS_UNKNOWN
               : answer;
}


aml_reason_t
aml_decide_action(aml_registry_txn_t *txn, const aml_identity_t *who,
                  int64_t now, const aml_action_t *action)
{
    aml_reason_t own, rc;

    if (who->credential == AML_CREDENTIAL_NONE) {
        return AML_REASON_SIGN_IN_REQUIRED;
    }

    rc = check_scope(txn, who, aml_str(""),
                     (aml_str_t){action->action, action->action_len});
    if (rc != AML_REASON_OK) {
        return rc;
    }

    own = assignments_allow(txn, &who->principal, action);
    if (own == AML_REASON_OK) {
        return own;
    }

    rc = groups_allow(txn, who, now, action);

    return rc == AML_REASON_OK || own == AML_REASON_ACTION_DENIED ? rc : own;
}
