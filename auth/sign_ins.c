/*
 * Sign-ins in the registry.
 */

#include "auth/sign_ins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/principals.h"
#include "auth/sessions.h"
#include "auth/sign_in_list.h"
#include "auth/sign_in_secrets.h"
#include "registry/records.h"

#define PREFIX "sign-in-of/"
#define AGENT_MAX 256


/* ---- keys ---- */

typedef struct {
    char text[AML_REGISTRY_KEY_MAX + 1];
    size_t n;
} sign_in_key_t;

static sign_in_key_t
key_of(const aml_principal_id_t *principal, const aml_principal_id_t *id)
{
    char whose[AML_UUID_TEXT + 1], which[AML_UUID_TEXT + 1] = "";
    sign_in_key_t k;

    aml_uuid_format(principal, whose);
    if (id != NULL) {
        aml_uuid_format(id, which);
    }

    k.n =
        (size_t) snprintf(k.text, sizeof(k.text), PREFIX "%s/%s", whose, which);

    return k;
}


static sign_in_key_t
key_of_grant(const aml_principal_id_t *id)
{
    sign_in_key_t k;

    k.n = aml_key_grant(k.text, id);

    return k;
}


/* 0 bytes when the provider's names are too long for a key. */
static sign_in_key_t
key_of_sid(const char *issuer, const char *sid, const aml_principal_id_t *id)
{
    char key[AML_REGISTRY_KEY_MAX + 1], which[AML_UUID_TEXT + 1] = "";
    sign_in_key_t k;
    size_t n;

    if (id != NULL) {
        aml_uuid_format(id, which);
    }

    /* "key/<issuer>/<sid>", in which both parts are escaped */
    n = aml_key_key(key, aml_str_of(issuer), aml_str_of(sid));
    k.n = n == 0 || n > sizeof(k.text) - sizeof("sid//") - AML_UUID_TEXT
              ? 0
              : (size_t) snprintf(k.text, sizeof(k.text), "sid/%s/%s",
                                  key + sizeof("key/") - 1, which);

    return k;
}


static aml_registry_rc_t
gone(aml_registry_rc_t rc)
{
    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* ---- documents ---- */

static const char *
text_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL ? text : "";
}


static int
document_read(json_t *json, amld_sign_in_t *s)
{
    memset(s, 0, sizeof(*s));

    if (aml_uuid_parse(aml_str_of(text_of(json, "id")), &s->id) != 0 ||
        aml_uuid_parse(aml_str_of(text_of(json, "principal")), &s->principal) !=
            0) {
        return -1;
    }

    s->name = text_of(json, "name");
    s->method = text_of(json, "method");
    s->issuer = text_of(json, "issuer");
    s->subject = text_of(json, "subject");
    s->sid = text_of(json, "sid");
    s->address = text_of(json, "address");
    s->agent = text_of(json, "agent");
    s->created = json_integer_value(json_object_get(json, "created"));
    s->expires = json_integer_value(json_object_get(json, "expires"));
    s->seen = json_integer_value(json_object_get(json, "seen"));

    return 0;
}


/* What a client says of itself is cut, and is UTF-8 or left out. */
static json_t *
agent_of(const char *agent)
{
    size_t n = strnlen(agent, AGENT_MAX);
    json_t *json;

    while (n > 0 && ((unsigned char) agent[n] & 0xc0) == 0x80) {
        n--;
    }

    json = json_stringn(agent, n);

    return json != NULL ? json : json_string("");
}


static aml_registry_rc_t
document_write(aml_registry_txn_t *txn, const amld_sign_in_t *s)
{
    char id[AML_UUID_TEXT + 1], principal[AML_UUID_TEXT + 1], *text;
    sign_in_key_t k = key_of(&s->principal, &s->id);
    aml_registry_rc_t rc;
    json_t *json;

    aml_uuid_format(&s->id, id);
    aml_uuid_format(&s->principal, principal);

    json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:I, "
                  "s:I}",
                  "id", id, "principal", principal, "name", s->name, "method",
                  s->method, "issuer", s->issuer, "subject", s->subject, "sid",
                  s->sid, "address", s->address, "agent", agent_of(s->agent),
                  "created", (json_int_t) s->created, "expires",
                  (json_int_t) s->expires, "seen", (json_int_t) s->seen);
    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, k.text, k.n, text, strlen(text));
    free(text);

    return rc;
}


/* ---- grants ---- */

static aml_registry_rc_t
grant_write(aml_registry_txn_t *txn, const aml_principal_id_t *id,
            const amld_sign_in_t *s, int64_t expires)
{
    uint8_t buf[AML_GRANT_GROUPS * sizeof(aml_principal_id_t) + 64];
    aml_grant_t grant = {.expires = expires, .principal = s->principal};
    sign_in_key_t k = key_of_grant(id);
    size_t n;

    grant.group_count =
        (uint16_t) (s->group_count < AML_GRANT_GROUPS ? s->group_count
                                                      : AML_GRANT_GROUPS);
    if (s->groups_unknown || s->group_count > AML_GRANT_GROUPS) {
        grant.flags = AML_GRANT_UNKNOWN;
    }

    n = aml_grant_encode(&grant, s->groups, buf, sizeof(buf));

    return n == 0 ? AML_REGISTRY_TOOLONG
                  : aml_registry_put(txn, k.text, k.n, buf, n);
}


static aml_registry_rc_t
grants_write(aml_registry_txn_t *txn, const amld_sign_in_t *s, int64_t now)
{
    aml_registry_rc_t rc;

    rc = grant_write(txn, &s->id, s, s->expires);

    return rc != AML_REGISTRY_OK || s->inherited
               ? rc
               : grant_write(txn, &s->principal, s, now + AMLD_GROUPS_LIFETIME);
}


/* The principal that a sign-in is of; NOTFOUND when it has ended. */
static aml_registry_rc_t
grant_principal(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                aml_principal_id_t *principal)
{
    sign_in_key_t k = key_of_grant(id);
    aml_registry_rc_t rc;
    aml_grant_t grant;
    aml_str_t value;

    rc = aml_registry_get(txn, k.text, k.n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (aml_grant_decode(value, &grant) != AML_RECORD_OK) {
        return AML_REGISTRY_CORRUPT;
    }

    *principal = grant.principal;

    return AML_REGISTRY_OK;
}


/* ---- beginning ---- */

static aml_registry_rc_t
person_write(aml_registry_txn_t *txn, const amld_sign_in_t *s)
{
    amld_principal_t p;
    aml_registry_rc_t rc;

    rc = amld_principal_load(txn, &s->principal, &p);

    if (rc == AML_REGISTRY_OK && (p.flags & AML_PRINCIPAL_DISABLED)) {
        rc = AML_REGISTRY_DENIED;
    }

    if (rc == AML_REGISTRY_OK && strcmp(p.name, s->name) == 0 &&
        strcmp(p.issuer, s->issuer) == 0 && !(p.flags & AML_PRINCIPAL_GROUP)) {
        amld_principal_clear(&p);
        return AML_REGISTRY_OK;
    }

    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        free(p.name);
        free(p.issuer);
        p.name = strdup(s->name);
        p.issuer = strdup(s->issuer);
        /* whatever somebody took the UUID for that they gave a role to */
        p.flags &= ~AML_PRINCIPAL_GROUP;
        errno = ENOMEM;
        rc = p.name != NULL && p.issuer != NULL
                 ? amld_principal_store(txn, &s->principal, &p)
                 : AML_REGISTRY_FAILED;
    }

    amld_principal_clear(&p);

    return rc;
}


typedef struct {
    size_t n;
    int64_t seen;
    aml_principal_id_t id; /* of the one that was used longest ago */
} oldest_t;


static int
oldest_each(void *data, const amld_sign_in_t *s)
{
    oldest_t *oldest = data;

    if (oldest->n++ == 0 || s->seen < oldest->seen) {
        oldest->seen = s->seen;
        oldest->id = s->id;
    }

    return 0;
}


/* Whoever signs in for ever, by a script or in spite, fills no disk. */
static aml_registry_rc_t
make_room(aml_registry_txn_t *txn, const aml_principal_id_t *principal)
{
    oldest_t oldest = {0};
    aml_registry_rc_t rc;

    rc = amld_sign_ins_each(txn, principal, oldest_each, &oldest);

    return rc == AML_REGISTRY_OK && oldest.n >= AMLD_SIGN_INS_MOST
               ? amld_sign_in_end(txn, &oldest.id)
               : rc;
}


aml_registry_rc_t
amld_sign_in_begin(aml_registry_txn_t *txn, const amld_sign_in_t *s)
{
    amld_sign_in_t made = *s;
    aml_registry_rc_t rc;
    sign_in_key_t k;

    made.seen = made.created;

    rc = person_write(txn, &made);
    if (rc == AML_REGISTRY_OK) {
        rc = make_room(txn, &made.principal);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = document_write(txn, &made);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = grants_write(txn, &made, made.created);
    }

    if (rc == AML_REGISTRY_OK && *made.sid != '\0') {
        k = key_of_sid(made.issuer, made.sid, &made.id);
        rc = k.n == 0 ? AML_REGISTRY_TOOLONG
                      : aml_registry_put(txn, k.text, k.n, "", 0);
    }

    return rc;
}


aml_registry_rc_t
amld_sign_in_update(aml_registry_txn_t *txn, const amld_sign_in_t *s)
{
    const aml_principal_id_t whose = s->principal;
    amld_sign_in_t old, made;
    aml_registry_rc_t rc;
    json_t *json;

    rc = amld_sign_in_get(txn, &s->id, &old, &json);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (!aml_principal_eq(&old.principal, &whose)) {
        json_decref(json);
        return AML_REGISTRY_DENIED;
    }

    made = old;
    made.name = s->name;
    made.expires = s->expires;
    made.groups_unknown = s->groups_unknown;
    made.groups = s->groups;
    made.group_count = s->group_count;

    rc = person_write(txn, &made);
    if (rc == AML_REGISTRY_OK) {
        rc = document_write(txn, &made);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = grants_write(txn, &made, s->seen != 0 ? s->seen : made.created);
    }

    json_decref(json);

    return rc;
}


/* ---- reading ---- */

static aml_registry_rc_t
document_get(aml_registry_txn_t *txn, const sign_in_key_t *k, amld_sign_in_t *s,
             json_t **json)
{
    aml_registry_rc_t rc;
    aml_str_t value;

    *json = NULL;

    rc = aml_registry_get(txn, k->text, k->n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    *json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (document_read(*json, s) != 0) {
        json_decref(*json);
        *json = NULL;
        return AML_REGISTRY_CORRUPT;
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
amld_sign_in_get(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                 amld_sign_in_t *s, json_t **json)
{
    aml_principal_id_t principal;
    aml_registry_rc_t rc;
    sign_in_key_t k;

    *json = NULL;

    rc = grant_principal(txn, id, &principal);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    k = key_of(&principal, id);

    return document_get(txn, &k, s, json);
}


typedef struct {
    amld_sign_in_each_pt each;
    void *data;
} sign_in_walk_t;


static int
walk_each(void *data, aml_str_t key, aml_str_t value)
{
    sign_in_walk_t *walk = data;
    amld_sign_in_t s;
    json_t *json;
    int rc = 0;

    (void) key;

    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (document_read(json, &s) == 0) {
        rc = walk->each(walk->data, &s);
    }
    json_decref(json);

    return rc;
}


aml_registry_rc_t
amld_sign_ins_each(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
                   amld_sign_in_each_pt each, void *data)
{
    sign_in_walk_t walk = {each, data};
    aml_str_t prefix = aml_str(PREFIX);
    sign_in_key_t k;

    if (principal != NULL) {
        k = key_of(principal, NULL);
        prefix = (aml_str_t){k.text, k.n};
    }

    return gone(
        aml_registry_each(txn, prefix, (aml_str_t){NULL, 0}, walk_each, &walk));
}


aml_registry_rc_t
amld_sign_in_seen(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                  int64_t when)
{
    amld_sign_in_t s;
    aml_registry_rc_t rc;
    json_t *json;

    rc = amld_sign_in_get(txn, id, &s, &json);
    if (rc == AML_REGISTRY_OK && s.seen < when) {
        s.seen = when;
        rc = document_write(txn, &s);
    }
    json_decref(json);

    return rc;
}


/* ---- ending ---- */

/* UUIDs, collected before anything is deleted. */
typedef struct {
    aml_principal_id_t *id;
    size_t n, size;
    int failed;
    const aml_principal_id_t *except;
} sign_in_ids_t;


static int
ids_add(sign_in_ids_t *ids, const aml_principal_id_t *id)
{
    size_t size;
    void *grown;

    if (ids->n == ids->size) {
        size = ids->size == 0 ? 16 : ids->size * 2;
        grown = realloc(ids->id, size * sizeof(*ids->id));
        if (grown == NULL) {
            ids->failed = 1;
            return 1;
        }
        ids->id = grown;
        ids->size = size;
    }

    ids->id[ids->n++] = *id;

    return 0;
}


/* The last part of a key is the sign-in. */
static int
ids_add_key(void *data, aml_str_t key, aml_str_t value)
{
    sign_in_ids_t *ids = data;
    aml_principal_id_t id;

    (void) value;

    if (key.n < AML_UUID_TEXT ||
        aml_uuid_parse(
            (aml_str_t){key.p + key.n - AML_UUID_TEXT, AML_UUID_TEXT}, &id) !=
            0 ||
        (ids->except != NULL && aml_principal_eq(&id, ids->except))) {
        return 0;
    }

    return ids_add(ids, &id);
}


static aml_registry_rc_t
ids_end(aml_registry_txn_t *txn, sign_in_ids_t *ids, aml_registry_rc_t rc,
        size_t *ended)
{
    size_t i;

    if (rc == AML_REGISTRY_OK && ids->failed) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    for (i = 0; i < ids->n && rc == AML_REGISTRY_OK; i++) {
        rc = amld_sign_in_end(txn, &ids->id[i]);
    }

    if (ended != NULL) {
        *ended = ids->n;
    }
    free(ids->id);

    return rc;
}


static aml_registry_rc_t
end_document(aml_registry_txn_t *txn, const aml_principal_id_t *principal,
             const aml_principal_id_t *id)
{
    sign_in_key_t k = key_of(principal, id), by_sid;
    amld_sign_in_t s;
    aml_registry_rc_t rc;
    json_t *json;

    rc = document_get(txn, &k, &s, &json);

    if (rc == AML_REGISTRY_OK && *s.sid != '\0') {
        by_sid = key_of_sid(s.issuer, s.sid, id);
        rc = gone(aml_registry_del(txn, by_sid.text, by_sid.n));
    } else if (rc == AML_REGISTRY_CORRUPT) {
        rc = AML_REGISTRY_OK;
    }
    json_decref(json);

    return gone(rc) != AML_REGISTRY_OK
               ? rc
               : gone(aml_registry_del(txn, k.text, k.n));
}


aml_registry_rc_t
amld_sign_in_end(aml_registry_txn_t *txn, const aml_principal_id_t *sign_in)
{
    sign_in_key_t k = key_of_grant(sign_in);
    char secret[AMLD_SECRET_KEY_SIZE];
    aml_principal_id_t principal;
    aml_registry_rc_t rc;

    rc = grant_principal(txn, sign_in, &principal);

    if (rc == AML_REGISTRY_OK) {
        rc = end_document(txn, &principal, sign_in);
    } else if (rc == AML_REGISTRY_CORRUPT) {
        rc = AML_REGISTRY_OK;
    }

    if (gone(rc) == AML_REGISTRY_OK) {
        rc = gone(aml_registry_del(txn, k.text, k.n));
    }
    if (rc == AML_REGISTRY_OK) {
        rc = gone(aml_registry_del(txn, secret,
                                   amld_sign_in_secret_key(sign_in, secret)));
    }

    return rc != AML_REGISTRY_OK ? rc : amld_sessions_end_in(txn, sign_in);
}


aml_registry_rc_t
amld_sign_ins_end_of(aml_registry_txn_t *txn,
                     const aml_principal_id_t *principal,
                     const aml_principal_id_t *except, size_t *ended)
{
    sign_in_ids_t ids = {.except = except};
    sign_in_key_t k = key_of(principal, NULL);
    aml_registry_rc_t rc;

    rc = gone(aml_registry_each(txn, (aml_str_t){k.text, k.n},
                                (aml_str_t){NULL, 0}, ids_add_key, &ids));

    return ids_end(txn, &ids, rc, ended);
}


aml_registry_rc_t
amld_sign_ins_end_sid(aml_registry_txn_t *txn, const char *issuer,
                      const char *sid, const aml_principal_id_t *principal,
                      size_t *ended)
{
    sign_in_ids_t ids = {0};
    aml_registry_rc_t rc;
    sign_in_key_t k;

    *ended = 0;

    if (*sid == '\0') {
        return amld_sign_ins_end_of(txn, principal, NULL, ended);
    }

    k = key_of_sid(issuer, sid, NULL);
    if (k.n == 0) {
        return AML_REGISTRY_OK;
    }

    rc = gone(aml_registry_each(txn, (aml_str_t){k.text, k.n},
                                (aml_str_t){NULL, 0}, ids_add_key, &ids));

    return ids_end(txn, &ids, rc, ended);
}


/* ---- the sweep ---- */

int64_t
amld_sign_ins_idle(int64_t idle, int64_t since, int64_t now)
{
    if (idle == 0 || now - since < idle + AMLD_SEEN_LATE) {
        return 0;
    }

    return idle + AMLD_SEEN_LATE;
}


typedef struct {
    amld_sign_in_list_t over;
    char *unused; /* of each: not used, rather than at its end */
    size_t looked_at, most;
    char *from;
    int64_t now, idle;
} sweep_t;


static int
sweep_each(void *data, aml_str_t key, aml_str_t value)
{
    sweep_t *sweep = data;
    aml_principal_id_t id, principal;
    amld_sign_in_t s;
    json_t *json;
    int expired, idle;

    if (sweep->looked_at++ == sweep->most) {
        memcpy(sweep->from, key.p, key.n);
        sweep->from[key.n] = '\0';
        return 1;
    }

    /* of what can't be read, the key says enough */
    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    expired = document_read(json, &s) != 0 || s.expires <= sweep->now;
    idle = !expired && sweep->idle != 0 && strcmp(s.method, "device") != 0 &&
           s.seen + sweep->idle <= sweep->now;
    json_decref(json);

    if ((expired || idle) &&
        key.n == sizeof(PREFIX) - 1 + 2 * AML_UUID_TEXT + 1 &&
        aml_uuid_parse((aml_str_t){key.p + sizeof(PREFIX) - 1, AML_UUID_TEXT},
                       &principal) == 0 &&
        aml_uuid_parse(
            (aml_str_t){key.p + key.n - AML_UUID_TEXT, AML_UUID_TEXT}, &id) ==
            0) {
        sweep->unused[sweep->over.n] = (char) idle;
        return amld_sign_in_list_add(&sweep->over, &id, &principal);
    }

    return 0;
}


static aml_registry_rc_t
sweep_collect(aml_registry_t *registry, sweep_t *sweep, const char *start)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = gone(aml_registry_each(txn, aml_str(PREFIX), aml_str_of(start),
                                sweep_each, sweep));
    aml_registry_end(txn);

    return rc;
}


aml_registry_rc_t
amld_sign_ins_sweep(aml_registry_t *registry, int64_t now, int64_t idle,
                    size_t most, char *from, size_t *ended,
                    amld_sign_in_over_pt over, void *data)
{
    char start[AML_REGISTRY_KEY_MAX + 1];
    sweep_t sweep = {.now = now, .idle = idle, .most = most, .from = from};
    aml_registry_rc_t rc;
    size_t i;

    *ended = 0;
    strcpy(start, from);
    from[0] = '\0';

    sweep.unused = malloc(most + 1);
    if (sweep.unused == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    /* what was used meanwhile has its use noted by the next one again */
    rc = sweep_collect(registry, &sweep, start);
    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_list_end(registry, &sweep.over, ended);
    }

    for (i = 0; i < *ended && over != NULL; i++) {
        over(data, &sweep.over.all[i].id, &sweep.over.all[i].principal,
             sweep.unused[i]);
    }
    amld_sign_in_list_free(&sweep.over);
    free(sweep.unused);

    return rc;
}
