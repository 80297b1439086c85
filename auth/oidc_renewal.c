/*
 * One renewal of a sign-in.
 */

#include "auth/oidc_renewal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/audit.h"
#include "auth/key_keeper.h"
#include "auth/oidc.h"
#include "auth/oidc_renew.h"
#include "auth/oidc_token.h"
#include "registry/records.h"

#define GRANT_DAY 86400 /* a person's own grant is made to last longer */


/* ---- what there is ---- */

amld_renewal_rc_t
amld_renewal_open(amld_t *d, const amld_sealer_t *sealer,
                  const aml_principal_id_t *sign_in, int clean,
                  amld_renewal_t *r)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    memset(r, 0, sizeof(*r));
    r->retry_after = -1;

    rc = aml_registry_read(d->registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_get(txn, sign_in, &r->sign_in, &r->document);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_sign_in_secret_get(txn, sealer, sign_in, &r->secret,
                                         &r->kept);
        }
        aml_registry_end(txn);
    }

    if (rc == AML_REGISTRY_OK) {
        r->issuer = amld_oidc_issuer(d->config, r->sign_in.issuer);
        r->unclear = r->secret.asked && !clean;
        r->clean = clean;

        if (r->issuer != NULL && *r->secret.refresh_token != '\0') {
            return AMLD_RENEWAL_READY;
        }
        rc = AML_REGISTRY_NOTFOUND;
    }

    amld_renewal_close(r);

    if (rc == AML_REGISTRY_NOTFOUND || rc == AML_REGISTRY_CORRUPT) {
        return AMLD_RENEWAL_GONE;
    }
    amld_log(AMLD_LOG_ERROR, "renewal: %s", aml_registry_strerror(rc));

    return AMLD_RENEWAL_BROKEN;
}


void
amld_renewal_close(amld_renewal_t *r)
{
    amld_sign_in_secret_forget(r->kept);
    json_decref(r->document);
    r->kept = NULL;
    r->document = NULL;
}


/* ---- writing it down ---- */

typedef aml_registry_rc_t (*renewal_write_pt)(aml_registry_txn_t *txn,
                                              void *data);

static aml_registry_rc_t
renewal_commit(amld_t *d, renewal_write_pt write, void *data)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_write(d->registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = write(txn, data);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static aml_registry_rc_t
write_asked(aml_registry_txn_t *txn, void *data)
{
    const amld_renewal_t *r = data;

    return amld_sign_in_secret_mark(txn, &r->sign_in.id, r->secret.due, 1);
}


static aml_registry_rc_t
write_end(aml_registry_txn_t *txn, void *data)
{
    const amld_renewal_t *r = data;

    return amld_sign_in_end(txn, &r->sign_in.id);
}


typedef struct {
    const amld_sealer_t *sealer;
    const amld_renewal_t *r;
    const aml_jwt_identity_t *identity; /* NULL: nothing is new */
    amld_sign_in_secret_t secret;
    int64_t now;
} renewal_new_t;


/* Is what workers read of these groups already there, and for long enough? */
static int
grant_is(aml_registry_txn_t *txn, const aml_principal_id_t *whose,
         const aml_jwt_identity_t *identity, int64_t until)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_principal_id_t group;
    aml_grant_t grant;
    aml_str_t value;
    unsigned i;

    if (aml_registry_get(txn, key, aml_key_grant(key, whose), &value) !=
            AML_REGISTRY_OK ||
        aml_grant_decode(value, &grant) != AML_RECORD_OK ||
        grant.expires < until || grant.group_count != identity->group_count ||
        !(grant.flags & AML_GRANT_UNKNOWN) != !identity->groups_unknown) {
        return 0;
    }

    for (i = 0; i < grant.group_count; i++) {
        group = aml_grant_group(&grant, i);
        if (!aml_principal_eq(&group, &identity->groups[i])) {
            return 0;
        }
    }

    return 1;
}


/* Each change of a grant has workers decide again on what is open by it: only
 * where there is one. */
static aml_registry_rc_t
write_identity(aml_registry_txn_t *txn, const renewal_new_t *n)
{
    const aml_jwt_identity_t *identity = n->identity;
    amld_sign_in_t s = n->r->sign_in;
    char name[AML_JWT_NAME_MAX + 1];

    if (identity->name_len > 0) {
        (void) snprintf(name, sizeof(name), "%.*s", (int) identity->name_len,
                        identity->name);
        s.name = name;
    }

    if (strcmp(s.name, n->r->sign_in.name) == 0 &&
        grant_is(txn, &s.id, identity, s.expires) &&
        grant_is(txn, &s.principal, identity,
                 n->now + AMLD_GROUPS_LIFETIME - GRANT_DAY)) {
        return AML_REGISTRY_OK;
    }

    s.seen = n->now;
    s.groups_unknown = identity->groups_unknown;
    s.groups = identity->groups;
    s.group_count = identity->group_count;

    return amld_sign_in_update(txn, &s);
}


static aml_registry_rc_t
write_new(aml_registry_txn_t *txn, void *data)
{
    const renewal_new_t *n = data;
    const aml_principal_id_t *id = &n->r->sign_in.id;
    char key[AMLD_SECRET_KEY_SIZE];
    aml_registry_rc_t rc;
    aml_str_t value;

    /* it may have ended meanwhile */
    rc = aml_registry_get(txn, key, amld_sign_in_secret_key(id, key), &value);
    if (rc == AML_REGISTRY_OK && n->identity != NULL) {
        rc = write_identity(txn, n);
    }

    return rc != AML_REGISTRY_OK
               ? rc
               : amld_sign_in_secret_put(txn, n->sealer, id, &n->secret);
}


/* ---- what was answered ---- */

/* OpenID Connect Core section 12.2: the same person's, of the same sign-in. */
static int
same_person(const amld_renewal_t *r, const amld_oidc_who_t *who)
{
    const char *nonce =
        json_string_value(json_object_get(who->claims, "nonce"));
    const char *before;
    json_t *json;
    int same;

    if (strcmp(who->iss, r->sign_in.issuer) != 0 ||
        strcmp(who->subject, r->sign_in.subject) != 0 ||
        !aml_principal_eq(&who->identity.principal, &r->sign_in.principal)) {
        return 0;
    }

    if (nonce == NULL) {
        return 1;
    }

    before = amld_oidc_unverified(r->secret.id_token, "nonce", &json);
    same = before == NULL || strcmp(nonce, before) == 0;
    json_decref(json);

    return same;
}


typedef enum {
    RENEWAL_NEWS,
    RENEWAL_NO_NEWS,
    RENEWAL_SOMEBODY_ELSE
} renewal_news_t;


/* What UserInfo says, beside the ID token or alone; 0, or -1 when it can't be
 * asked. */
static int
renewal_userinfo(const amld_oidc_client_t *client, const amld_renewal_t *r,
                 const amld_oidc_tokens_t *tokens, amld_oidc_who_t *who,
                 aml_reason_t *rc)
{
    amld_oidc_fault_t fault;
    json_t *userinfo;
    char text[320];

    userinfo = amld_oidc_userinfo(client, tokens->access_token, &fault);
    if (userinfo == NULL) {
        amld_oidc_fault_text(&fault, text, sizeof(text));
        amld_log(AMLD_LOG_WARN, "renewal: by \"%s\": UserInfo: %s",
                 client->issuer->name, text);
        return -1;
    }

    *rc = who->claims != NULL
              ? amld_oidc_add_userinfo(userinfo, who)
              : amld_oidc_only_userinfo(client->issuer, r->sign_in.issuer,
                                        r->sign_in.subject, userinfo, who);
    json_decref(userinfo);

    return 0;
}


/* What the tokens say of the person.  What can't be used says nothing: the
 * provider has agreed that the sign-in goes on. */
static renewal_news_t
renewal_who(amld_t *d, const amld_oidc_client_t *client,
            const amld_renewal_t *r, const amld_oidc_tokens_t *tokens,
            int64_t now, amld_oidc_who_t *who)
{
    int has_token = *tokens->id_token != '\0';
    aml_reason_t rc = AML_REASON_OK;

    if (!has_token && !client->issuer->userinfo) {
        return RENEWAL_NO_NEWS;
    }

    if (has_token) {
        rc = amld_oidc_id_token(d, client->issuer, tokens->id_token, NULL,
                                tokens->access_token, now, who);
    }

    /* whatever UserInfo says, or does not */
    if (has_token && rc == AML_REASON_OK && !same_person(r, who)) {
        return RENEWAL_SOMEBODY_ELSE;
    }

    if (rc == AML_REASON_OK && client->issuer->userinfo &&
        renewal_userinfo(client, r, tokens, who, &rc) != 0) {
        return RENEWAL_NO_NEWS;
    }

    if (rc != AML_REASON_OK) {
        amld_log(AMLD_LOG_WARN,
                 "renewal: by \"%s\": what is said of %s is not accepted: %s",
                 client->issuer->name, r->sign_in.name,
                 aml_reason_info(rc)->code.p);
        return RENEWAL_NO_NEWS;
    }

    return same_person(r, who) ? RENEWAL_NEWS : RENEWAL_SOMEBODY_ELSE;
}


static void
renewal_end(amld_t *d, amld_renewal_t *r, aml_reason_t reason, const char *why)
{
    aml_registry_rc_t rc = renewal_commit(d, write_end, r);

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "renewal: %s", aml_registry_strerror(rc));
        r->end = AMLD_RENEWAL_FAILED;
        return;
    }

    amld_log(AMLD_LOG_INFO, "sign-out: %s by \"%s\": %s", r->sign_in.name,
             r->issuer->name, why);
    amld_audit(d->audit,
               &(amld_audit_event_t){.event = "session-end",
                                     .reason = aml_reason_info(reason)->code.p,
                                     .name = r->sign_in.name,
                                     .method = "oidc",
                                     .of = &r->sign_in.principal,
                                     .id = &r->sign_in.id,
                                     .target = r->issuer->name});
    r->end = AMLD_RENEWAL_ENDED;
}


static void
renewal_granted(amld_t *d, const amld_sealer_t *sealer,
                const amld_oidc_client_t *client, amld_renewal_t *r,
                const amld_oidc_tokens_t *tokens)
{
    renewal_new_t n = {.sealer = sealer, .r = r, .now = (int64_t) time(NULL)};
    amld_oidc_who_t who = {.claims = NULL};
    renewal_news_t news;
    aml_registry_rc_t rc;

    news = renewal_who(d, client, r, tokens, n.now, &who);

    if (news == RENEWAL_SOMEBODY_ELSE) {
        renewal_end(d, r, AML_REASON_PROVIDER_ANSWER,
                    "the provider took them for somebody else");
        json_decref(who.claims);
        return;
    }

    n.identity = news == RENEWAL_NEWS ? &who.identity : NULL;
    n.secret = r->secret;
    n.secret.asked = 0;
    n.secret.due = r->due = amld_oidc_renew_due(n.now, tokens->lifetime);
    if (*tokens->refresh_token != '\0') {
        n.secret.refresh_token = tokens->refresh_token;
    }
    if (news == RENEWAL_NEWS && *tokens->id_token != '\0') {
        n.secret.id_token = tokens->id_token;
    }

    rc = renewal_commit(d, write_new, &n);

    if (rc == AML_REGISTRY_OK) {
        r->end = AMLD_RENEWAL_DONE;
        r->clean = 1;
        amld_log(AMLD_LOG_DEBUG, "renewal: %s by \"%s\"", r->sign_in.name,
                 r->issuer->name);

    } else if (rc == AML_REGISTRY_DENIED) {
        renewal_end(d, r, AML_REASON_PRINCIPAL_REVOKED,
                    "they are disabled here");

    } else if (rc == AML_REGISTRY_NOTFOUND) {
        r->end = AMLD_RENEWAL_ENDED;

    } else {
        /* the old refresh token may be used up, and the new one is lost */
        amld_log(AMLD_LOG_ERROR, "renewal: %s", aml_registry_strerror(rc));
        r->end = AMLD_RENEWAL_FAILED;
        r->clean = 0;
    }

    json_decref(who.claims);
}


/* The refresh token is no good. */
static void
renewal_refused(amld_t *d, const amld_sealer_t *sealer, amld_renewal_t *r)
{
    renewal_new_t n = {.sealer = sealer, .r = r};
    aml_registry_rc_t rc;

    if (!r->unclear) {
        renewal_end(d, r, AML_REASON_PROVIDER_REFUSED,
                    "the provider renews no more");
        return;
    }

    n.secret = r->secret;
    n.secret.refresh_token = "";
    n.secret.asked = 0;
    n.secret.due = 0;
    rc = renewal_commit(d, write_new, &n);

    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        amld_log(AMLD_LOG_ERROR, "renewal: %s", aml_registry_strerror(rc));
        r->end = AMLD_RENEWAL_FAILED;
        return;
    }

    amld_log(AMLD_LOG_WARN,
             "renewal: the refresh token of %s by \"%s\" was lost; the sign-in "
             "goes on to its end without",
             r->sign_in.name, r->issuer->name);
    r->end = AMLD_RENEWAL_DONE;
    r->due = 0;
}


/* Neither did the provider renew it, nor say that it never will. */
static void
renewal_failed(amld_renewal_t *r, const amld_oidc_fault_t *fault)
{
    char text[320];

    amld_oidc_fault_text(fault, text, sizeof(text));

    if (fault->one) {
        amld_log(AMLD_LOG_WARN, "renewal: by \"%s\": %s: %s", r->issuer->name,
                 r->sign_in.name, text);
        r->end = AMLD_RENEWAL_FAILED;
    } else {
        amld_log(AMLD_LOG_WARN, "renewal: by \"%s\": %s", r->issuer->name,
                 text);
        r->end = AMLD_RENEWAL_DOWN;
    }

    r->clean = !r->unclear && !fault->lost;
    r->retry_after = fault->retry_after;
}


/* ---- all of it ---- */

/* Writes down that the provider is asked; 0 when it must not be. */
static int
renewal_asks(amld_t *d, amld_renewal_t *r)
{
    aml_registry_rc_t rc = AML_REGISTRY_OK;

    if (!r->secret.asked) {
        rc = renewal_commit(d, write_asked, r);
    }

    if (rc == AML_REGISTRY_NOTFOUND) {
        r->end = AMLD_RENEWAL_ENDED;

    } else if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "renewal: %s", aml_registry_strerror(rc));
        r->end = AMLD_RENEWAL_FAILED;
    }

    return rc == AML_REGISTRY_OK;
}


static void
renewal_ask(amld_t *d, const amld_sealer_t *sealer,
            const amld_oidc_client_t *client, amld_renewal_t *r)
{
    amld_oidc_tokens_t tokens;
    amld_oidc_fault_t fault;

    if (amld_oidc_refresh(client, r->secret.refresh_token, &tokens, &fault) ==
        0) {
        renewal_granted(d, sealer, client, r, &tokens);

    } else if (fault.anew) {
        renewal_end(d, r, AML_REASON_PROVIDER_REFUSED,
                    "the provider wants them to sign in anew");

    } else if (fault.invalid_grant) {
        renewal_refused(d, sealer, r);

    } else {
        renewal_failed(r, &fault);
    }

    amld_oidc_tokens_clear(&tokens);
}


void
amld_renewal_run(amld_t *d, const amld_sealer_t *sealer,
                 const atomic_int *cancel, amld_renewal_t *r)
{
    amld_oidc_client_t client = {.issuer = r->issuer, .cancel = cancel};
    amld_discovery_t metadata;

    if (amld_key_keeper_metadata(d->keys, r->issuer, &metadata, &r->why) == 0) {
        r->why = metadata.token_endpoint == NULL
                     ? "its metadata has no token_endpoint"
                     : NULL;
    }

    if (r->why != NULL) {
        r->end = AMLD_RENEWAL_DOWN;

    } else if (renewal_asks(d, r)) {
        client.metadata = &metadata;
        renewal_ask(d, sealer, &client, r);
    }

    amld_discovery_clear(&metadata);
}
