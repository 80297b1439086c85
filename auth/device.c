/*
 * Device authorizations in the registry.
 */

#include "auth/device.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sign_ins.h"
#include "registry/records.h"

#define DEVICES "device/"
#define USERS "device-user/"

/* RFC 8628 section 6.1: no vowels, so that no words come of it. */
#define ALPHABET "BCDFGHJKLMNPQRSTVWXZ"
#define USER_CODE_LETTERS 8

#define SWEEP_BATCH 512


/* ---- codes and keys ---- */

typedef struct {
    char text[AML_REGISTRY_KEY_MAX + 1];
    size_t n;
} device_key_t;

static device_key_t
key_of(const char *family, const uint8_t hash[32])
{
    char hex[AMLD_HASH_HEX_SIZE];
    device_key_t k;

    amld_hash_format(hash, hex);
    k.n = (size_t) snprintf(k.text, sizeof(k.text), "%s%s", family, hex);

    return k;
}


static device_key_t
key_of_user(const char *user_code)
{
    uint8_t hash[32];

    (void) SHA256((const unsigned char *) user_code, strlen(user_code), hash);

    return key_of(USERS, hash);
}


int
amld_user_code(const char *typed, char user_code[AMLD_USER_CODE_SIZE])
{
    size_t n = 0;
    char c;

    for (; typed != NULL && *typed != '\0'; typed++) {
        c = (char) toupper((unsigned char) *typed);

        if (c == '-' || c == ' ' || c == '.' || c == '_') {
            continue;
        }
        if (n == USER_CODE_LETTERS || strchr(ALPHABET, c) == NULL) {
            return -1;
        }
        user_code[n < 4 ? n : n + 1] = c;
        n++;
    }

    user_code[4] = '-';
    user_code[AMLD_USER_CODE_SIZE - 1] = '\0';

    return n == USER_CODE_LETTERS ? 0 : -1;
}


/* Every letter as likely as any other; 0, or -1 without entropy. */
static int
user_code_new(char user_code[AMLD_USER_CODE_SIZE])
{
    const unsigned letters = sizeof(ALPHABET) - 1;
    char typed[USER_CODE_LETTERS + 1];
    uint8_t byte;
    size_t n = 0;

    while (n < USER_CODE_LETTERS) {
        if (RAND_bytes(&byte, 1) != 1) {
            return -1;
        }
        if (byte < 256 / letters * letters) {
            typed[n++] = ALPHABET[byte % letters];
        }
    }
    typed[n] = '\0';

    return amld_user_code(typed, user_code);
}


static aml_registry_rc_t
put_json(aml_registry_txn_t *txn, const device_key_t *k, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    aml_registry_rc_t rc;

    if (text == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_put(txn, k->text, k->n, text, strlen(text));
    free(text);

    return rc;
}


static const char *
text_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL ? text : "";
}


static int64_t
number_of(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}


/* A new reference. */
static aml_registry_rc_t
get_json(aml_registry_txn_t *txn, const device_key_t *k, json_t **json)
{
    aml_registry_rc_t rc;
    aml_str_t value;

    *json = NULL;

    rc = aml_registry_get(txn, k->text, k->n, &value);
    if (rc == AML_REGISTRY_OK) {
        *json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
        rc = json_is_object(*json) ? AML_REGISTRY_OK : AML_REGISTRY_CORRUPT;
    }

    return rc;
}


/* ---- asking ---- */

static int
count_each(void *data, aml_str_t key, aml_str_t value)
{
    size_t *n = data;

    (void) key;
    (void) value;

    return ++*n == AMLD_DEVICES_MOST;
}


/* A code that no other has; within the transaction. */
static aml_registry_rc_t
create_user(aml_registry_txn_t *txn, const uint8_t hash[32],
            char user_code[AMLD_USER_CODE_SIZE])
{
    char hex[AMLD_HASH_HEX_SIZE];
    aml_registry_rc_t rc;
    aml_str_t value;
    device_key_t k;

    do {
        if (user_code_new(user_code) != 0) {
            errno = EIO;
            return AML_REGISTRY_FAILED;
        }
        k = key_of_user(user_code);
        rc = aml_registry_get(txn, k.text, k.n, &value);
    } while (rc == AML_REGISTRY_OK);

    if (rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    amld_hash_format(hash, hex);

    return aml_registry_put(txn, k.text, k.n, hex, strlen(hex));
}


static aml_registry_rc_t
create_in(aml_registry_txn_t *txn, const amld_device_t *d,
          const uint8_t hash[32], char user_code[AMLD_USER_CODE_SIZE])
{
    device_key_t k = key_of(DEVICES, hash);
    aml_registry_rc_t rc;
    size_t n = 0;
    json_t *json;

    rc = aml_registry_each(txn, aml_str(DEVICES), (aml_str_t){NULL, 0},
                           count_each, &n);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }
    if (n >= AMLD_DEVICES_MOST) {
        return AML_REGISTRY_LIMIT;
    }

    rc = create_user(txn, hash, user_code);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s}", "client", d->client,
                     "address", d->address, "agent", d->agent, "created",
                     (json_int_t) d->created, "expires",
                     (json_int_t) d->expires, "state", "pending", "user",
                     key_of_user(user_code).text + sizeof(USERS) - 1);
    rc = put_json(txn, &k, json);
    json_decref(json);

    return rc;
}


aml_registry_rc_t
amld_device_create(aml_registry_t *registry, amld_device_t *d,
                   char code[AMLD_SECRET_SIZE],
                   char user_code[AMLD_USER_CODE_SIZE])
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    uint8_t hash[32];

    d->expires = d->created + AMLD_DEVICE_LIFETIME;

    if (amld_secret_new(code, hash) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = create_in(txn, d, hash, user_code);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* ---- answering ---- */

static aml_registry_rc_t
find_by_user(aml_registry_txn_t *txn, const char *user_code, int64_t now,
             device_key_t *k, json_t **json)
{
    device_key_t user = key_of_user(user_code);
    char hex[AMLD_HASH_HEX_SIZE] = "";
    aml_registry_rc_t rc;
    aml_str_t value;
    uint8_t hash[32];

    *json = NULL;

    rc = aml_registry_get(txn, user.text, user.n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (value.n == sizeof(hex) - 1) {
        memcpy(hex, value.p, value.n);
        hex[value.n] = '\0';
    }
    if (amld_hash_parse(hex, hash) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    *k = key_of(DEVICES, hash);
    rc = get_json(txn, k, json);

    if (rc == AML_REGISTRY_OK &&
        (number_of(*json, "expires") <= now ||
         strcmp(text_of(*json, "state"), "pending") != 0)) {
        rc = AML_REGISTRY_NOTFOUND;
    }

    return rc;
}


aml_registry_rc_t
amld_device_find(aml_registry_txn_t *txn, const char *user_code, int64_t now,
                 amld_device_t *d, json_t **json)
{
    aml_registry_rc_t rc;
    device_key_t k;

    rc = find_by_user(txn, user_code, now, &k, json);

    if (rc == AML_REGISTRY_OK) {
        d->client = text_of(*json, "client");
        d->address = text_of(*json, "address");
        d->agent = text_of(*json, "agent");
        d->created = number_of(*json, "created");
        d->expires = number_of(*json, "expires");
    }

    return rc;
}


static aml_registry_rc_t
answer_in(aml_registry_txn_t *txn, const char *user_code,
          const aml_principal_id_t *sign_in, int approved, int64_t now)
{
    char id[AML_UUID_TEXT + 1];
    json_t *json, *document;
    aml_registry_rc_t rc;
    amld_sign_in_t s;
    device_key_t k;

    rc = find_by_user(txn, user_code, now, &k, &json);

    if (rc == AML_REGISTRY_OK) {
        rc = amld_sign_in_get(txn, sign_in, &s, &document);
        json_decref(document);
    }

    if (rc == AML_REGISTRY_OK) {
        aml_uuid_format(sign_in, id);
        json_object_set_new(json, "state",
                            json_string(approved ? "approved" : "denied"));
        json_object_set_new(json, "sign_in", json_string(id));
        rc = put_json(txn, &k, json);
    }
    json_decref(json);

    return rc;
}


aml_registry_rc_t
amld_device_answer(aml_registry_t *registry, const char *user_code,
                   const aml_principal_id_t *sign_in, int approved, int64_t now)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = answer_in(txn, user_code, sign_in, approved, now);
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


/* ---- redeeming ---- */

static amld_device_state_t
state_of(const json_t *json, int64_t now)
{
    const char *state = text_of(json, "state");

    if (number_of(json, "expires") <= now) {
        return AMLD_DEVICE_EXPIRED;
    }

    return strcmp(state, "approved") == 0  ? AMLD_DEVICE_APPROVED
           : strcmp(state, "pending") == 0 ? AMLD_DEVICE_PENDING
                                           : AMLD_DEVICE_DENIED;
}


static aml_registry_rc_t
device_delete(aml_registry_txn_t *txn, const device_key_t *k,
              const json_t *json)
{
    uint8_t hash[32];
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    device_key_t user;

    if (amld_hash_parse(text_of(json, "user"), hash) == 0) {
        user = key_of(USERS, hash);
        rc = aml_registry_del(txn, user.text, user.n);
    }
    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        rc = aml_registry_del(txn, k->text, k->n);
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


/* What the sign-in that has approved brought; `list` has AML_GRANT_GROUPS. */
static aml_registry_rc_t
inherit(aml_registry_txn_t *txn, const aml_principal_id_t *from,
        aml_principal_id_t *list, amld_sign_in_t *s)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_grant_t grant;
    aml_str_t value;
    unsigned i;

    rc = aml_registry_get(txn, key, aml_key_grant(key, from), &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if (aml_grant_decode(value, &grant) != AML_RECORD_OK) {
        return AML_REGISTRY_CORRUPT;
    }

    for (i = 0; i < grant.group_count; i++) {
        list[i] = aml_grant_group(&grant, i);
    }
    s->groups = list;
    s->group_count = grant.group_count;
    s->groups_unknown = (grant.flags & AML_GRANT_UNKNOWN) != 0;
    s->inherited = 1;

    return AML_REGISTRY_OK;
}


/* Cut where a character ends. */
static void
copy_label(char *dst, size_t size, const char *label)
{
    size_t n = strnlen(label, size - 1);

    while (n > 0 && ((unsigned char) label[n] & 0xc0) == 0x80) {
        n--;
    }
    memcpy(dst, label, n);
    dst[n] = '\0';
}


/* The new sign-in; NOTFOUND when the one that approved it has ended, DENIED for
 * a disabled principal. */
static aml_registry_rc_t
redeem_sign_in(aml_registry_txn_t *txn, const json_t *json, int64_t now,
               int64_t lifetime, amld_device_grant_t *grant)
{
    aml_principal_id_t from, *groups;
    aml_registry_rc_t rc;
    json_t *document;
    amld_sign_in_t s;

    if (aml_uuid_parse(aml_str_of(text_of(json, "sign_in")), &from) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    rc = amld_sign_in_get(txn, &from, &s, &document);
    groups = calloc(AML_GRANT_GROUPS, sizeof(*groups));

    if (rc == AML_REGISTRY_OK && s.expires <= now) {
        rc = AML_REGISTRY_NOTFOUND;
    }
    if (rc == AML_REGISTRY_OK && groups == NULL) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }
    if (rc == AML_REGISTRY_OK) {
        rc = inherit(txn, &from, groups, &s);
    }

    if (rc == AML_REGISTRY_OK) {
        s.method = "device";
        s.sid = "";
        s.address = text_of(json, "address");
        s.agent = text_of(json, "client");
        s.created = now;
        s.expires = now + lifetime;
        errno = EIO;
        rc = aml_uuid_random(&s.id) == 0 ? amld_sign_in_begin(txn, &s)
                                         : AML_REGISTRY_FAILED;
    }

    if (rc == AML_REGISTRY_OK) {
        grant->principal = s.principal;
        grant->sign_in = s.id;
        grant->expires = s.expires;
        copy_label(grant->name, sizeof(grant->name), s.name);
        rc = amld_refresh_create(txn, &s.id, text_of(json, "client"), s.expires,
                                 grant->refresh);
    }

    free(groups);
    json_decref(document);

    return rc;
}


static amld_device_state_t
redeem_in(aml_registry_txn_t *txn, const device_key_t *k, int64_t now,
          int64_t lifetime, amld_device_grant_t *grant, aml_registry_rc_t *rc)
{
    amld_device_state_t state = AMLD_DEVICE_UNKNOWN;
    json_t *json;

    *rc = get_json(txn, k, &json);
    if (*rc == AML_REGISTRY_OK) {
        state = state_of(json, now);
    } else if (*rc == AML_REGISTRY_NOTFOUND) {
        *rc = AML_REGISTRY_OK;
    }

    /* somebody was faster, or it is over now */
    if (state == AMLD_DEVICE_APPROVED) {
        *rc = redeem_sign_in(txn, json, now, lifetime, grant);

        if (*rc == AML_REGISTRY_NOTFOUND || *rc == AML_REGISTRY_DENIED) {
            state = AMLD_DEVICE_DENIED;
            *rc = AML_REGISTRY_OK;
        } else if (*rc == AML_REGISTRY_OK) {
            *rc = device_delete(txn, k, json);
        }
    }
    json_decref(json);

    return state;
}


amld_device_state_t
amld_device_redeem(aml_registry_t *registry, const char *code, int64_t now,
                   int64_t lifetime, amld_device_grant_t *grant,
                   aml_registry_rc_t *rc)
{
    amld_device_state_t state = AMLD_DEVICE_UNKNOWN;
    aml_registry_txn_t *txn;
    uint8_t hash[32];
    device_key_t k;
    json_t *json;

    *rc = AML_REGISTRY_OK;
    if (amld_secret_hash(code, hash) != 0) {
        return AMLD_DEVICE_UNKNOWN;
    }
    k = key_of(DEVICES, hash);

    /* questions are many, and no commits */
    *rc = aml_registry_read(registry, &txn);
    if (*rc != AML_REGISTRY_OK) {
        return AMLD_DEVICE_UNKNOWN;
    }
    *rc = get_json(txn, &k, &json);
    if (*rc == AML_REGISTRY_OK) {
        state = state_of(json, now);
    } else if (*rc == AML_REGISTRY_NOTFOUND) {
        *rc = AML_REGISTRY_OK;
    }
    json_decref(json);
    aml_registry_end(txn);

    if (state != AMLD_DEVICE_APPROVED) {
        return state;
    }

    *rc = aml_registry_write(registry, &txn);
    if (*rc != AML_REGISTRY_OK) {
        return AMLD_DEVICE_UNKNOWN;
    }

    state = redeem_in(txn, &k, now, lifetime, grant, rc);

    if (*rc == AML_REGISTRY_OK && state == AMLD_DEVICE_APPROVED) {
        *rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    return *rc == AML_REGISTRY_OK ? state : AMLD_DEVICE_UNKNOWN;
}


/* ---- the sweep ---- */

typedef struct {
    int64_t now;
    size_t n;
    device_key_t key[SWEEP_BATCH];
} device_sweep_t;


static int
sweep_each(void *data, aml_str_t key, aml_str_t value)
{
    device_sweep_t *s = data;
    json_t *json;
    int over;

    json = json_loadb(value.p, value.n, 0, NULL);
    over = number_of(json, "expires") + AMLD_DEVICE_LINGER <= s->now;
    json_decref(json);

    if (over) {
        memcpy(s->key[s->n].text, key.p, key.n);
        s->key[s->n].text[key.n] = '\0';
        s->key[s->n++].n = key.n;
    }

    return s->n == SWEEP_BATCH;
}


static aml_registry_rc_t
sweep_once(aml_registry_t *registry, device_sweep_t *s)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    json_t *json;
    size_t i;

    s->n = 0;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    rc = aml_registry_each(txn, aml_str(DEVICES), (aml_str_t){NULL, 0},
                           sweep_each, s);
    aml_registry_end(txn);
    rc = rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;

    if (rc != AML_REGISTRY_OK || s->n == 0) {
        return rc;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < s->n && rc == AML_REGISTRY_OK; i++) {
        rc = get_json(txn, &s->key[i], &json);
        if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_CORRUPT) {
            rc = device_delete(txn, &s->key[i], json);
        } else if (rc == AML_REGISTRY_NOTFOUND) {
            rc = AML_REGISTRY_OK;
        }
        json_decref(json);
    }

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


aml_registry_rc_t
amld_devices_sweep(aml_registry_t *registry, int64_t now, size_t *removed)
{
    aml_registry_rc_t rc;
    device_sweep_t *s;

    *removed = 0;

    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }
    s->now = now;

    do {
        rc = sweep_once(registry, s);
        *removed += rc == AML_REGISTRY_OK ? s->n : 0;
    } while (rc == AML_REGISTRY_OK && s->n == SWEEP_BATCH);

    free(s);

    return rc;
}
