/*
 * Secrets of sign-ins in the registry.
 */

#include "auth/sign_in_secrets.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/json.h"

#define PREFIX "sign-in-secret/"

/* What is not sealed: whoever renews looks for it among all. */
typedef struct {
    uint64_t due; /* little-endian */
    uint8_t asked;
} __attribute__((packed)) secret_head_t;


size_t
amld_sign_in_secret_key(const aml_principal_id_t *sign_in,
                        char key[AMLD_SECRET_KEY_SIZE])
{
    char id[AML_UUID_TEXT + 1];

    aml_uuid_format(sign_in, id);

    return (size_t) snprintf(key, AMLD_SECRET_KEY_SIZE, PREFIX "%s", id);
}


aml_registry_rc_t
amld_sign_in_secret_put(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                        const aml_principal_id_t *sign_in,
                        const amld_sign_in_secret_t *secret)
{
    secret_head_t head = {htole64((uint64_t) secret->due),
                          (uint8_t) (secret->asked != 0)};
    char key[AMLD_SECRET_KEY_SIZE], *text;
    aml_registry_rc_t rc = AML_REGISTRY_FAILED;
    size_t n, key_len = amld_sign_in_secret_key(sign_in, key);
    uint8_t *value = NULL;
    json_t *json;

    json = json_pack("{s:s, s:s}", "id_token", secret->id_token,
                     "refresh_token", secret->refresh_token);
    text = json_dumps(json, JSON_COMPACT);
    amld_sign_in_secret_forget(json);
    n = text != NULL ? strlen(text) : 0;

    if (text != NULL) {
        value = malloc(sizeof(head) + n + AMLD_SEALED_EXTRA);
    }
    errno = ENOMEM;

    if (value != NULL &&
        amld_seal(sealer, (aml_str_t){key, key_len}, (aml_str_t){text, n},
                  value + sizeof(head)) == 0) {
        memcpy(value, &head, sizeof(head));
        rc = aml_registry_put(txn, key, key_len, value,
                              sizeof(head) + n + AMLD_SEALED_EXTRA);
    }

    if (text != NULL) {
        OPENSSL_cleanse(text, n);
    }
    free(text);
    free(value);

    return rc;
}


static json_t *
secret_open(const amld_sealer_t *sealer, aml_str_t what, aml_str_t sealed)
{
    json_t *json = NULL;
    uint8_t *text;
    size_t n;

    if (sealed.n <= AMLD_SEALED_EXTRA) {
        return NULL;
    }

    n = sealed.n - AMLD_SEALED_EXTRA;
    text = malloc(n);

    if (text != NULL && amld_unseal(sealer, what, sealed, text) == 0) {
        json = aml_json_object((aml_str_t){(const char *) text, n});
        OPENSSL_cleanse(text, n);
    }
    free(text);

    return json;
}


aml_registry_rc_t
amld_sign_in_secret_get(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                        const aml_principal_id_t *sign_in,
                        amld_sign_in_secret_t *secret, json_t **json)
{
    char key[AMLD_SECRET_KEY_SIZE];
    size_t n = amld_sign_in_secret_key(sign_in, key);
    aml_registry_rc_t rc;
    secret_head_t head;
    aml_str_t value;

    memset(secret, 0, sizeof(*secret));
    *json = NULL;

    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if (value.n < sizeof(head)) {
        return AML_REGISTRY_CORRUPT;
    }

    memcpy(&head, value.p, sizeof(head));
    secret->due = (int64_t) le64toh(head.due);
    secret->asked = head.asked;

    *json = secret_open(
        sealer, (aml_str_t){key, n},
        (aml_str_t){value.p + sizeof(head), value.n - sizeof(head)});

    if (json_unpack(*json, "{s:s, s:s}", "id_token", &secret->id_token,
                    "refresh_token", &secret->refresh_token) != 0) {
        amld_sign_in_secret_forget(*json);
        *json = NULL;
        return AML_REGISTRY_NOTFOUND;
    }

    return AML_REGISTRY_OK;
}


/* jansson frees without clearing; its strings are ours to overwrite. */
void
amld_sign_in_secret_forget(json_t *json)
{
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value)
    {
        if (json_is_string(value)) {
            OPENSSL_cleanse((char *) json_string_value(value),
                            json_string_length(value));
        }
    }

    json_decref(json);
}


aml_registry_rc_t
amld_sign_in_secret_mark(aml_registry_txn_t *txn,
                         const aml_principal_id_t *sign_in, int64_t due,
                         int asked)
{
    secret_head_t head = {htole64((uint64_t) due), (uint8_t) (asked != 0)};
    char key[AMLD_SECRET_KEY_SIZE], *copy;
    size_t n = amld_sign_in_secret_key(sign_in, key);
    aml_registry_rc_t rc;
    aml_str_t value;

    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if (value.n < sizeof(head)) {
        return AML_REGISTRY_CORRUPT;
    }

    copy = malloc(value.n);
    if (copy == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    memcpy(copy, value.p, value.n);
    memcpy(copy, &head, sizeof(head));
    rc = aml_registry_put(txn, key, n, copy, value.n);
    free(copy);

    return rc;
}


/* ---- all of them ---- */

typedef struct {
    amld_sign_in_secret_each_pt each;
    void *data;
} secret_walk_t;


static int
walk_each(void *data, aml_str_t key, aml_str_t value)
{
    const secret_walk_t *walk = data;
    aml_principal_id_t sign_in;
    secret_head_t head;
    aml_str_t id = {key.p + sizeof(PREFIX) - 1, key.n - sizeof(PREFIX) + 1};

    if (value.n < sizeof(head) || aml_uuid_parse(id, &sign_in) != 0) {
        return 0;
    }
    memcpy(&head, value.p, sizeof(head));

    return head.due == 0
               ? 0
               : walk->each(walk->data, &sign_in, (int64_t) le64toh(head.due));
}


aml_registry_rc_t
amld_sign_in_secrets_each(aml_registry_txn_t *txn,
                          amld_sign_in_secret_each_pt each, void *data)
{
    secret_walk_t walk = {each, data};

    return aml_registry_each(txn, aml_str(PREFIX), (aml_str_t){NULL, 0},
                             walk_each, &walk);
}


typedef struct {
    const amld_sealer_t *sealer;
    size_t n;
} secret_lost_t;


static int
lost_each(void *data, aml_str_t key, aml_str_t value)
{
    secret_lost_t *lost = data;
    secret_head_t head;

    (void) key;

    if (value.n >= sizeof(head)) {
        memcpy(&head, value.p, sizeof(head));
        value = (aml_str_t){value.p + sizeof(head), value.n - sizeof(head)};
        lost->n += head.due != 0 && !amld_sealer_opens(lost->sealer, value);
    }

    return 0;
}


aml_registry_rc_t
amld_sign_in_secrets_lost(aml_registry_txn_t *txn, const amld_sealer_t *sealer,
                          size_t *count)
{
    secret_lost_t lost = {.sealer = sealer};
    aml_registry_rc_t rc;

    rc = aml_registry_each(txn, aml_str(PREFIX), (aml_str_t){NULL, 0},
                           lost_each, &lost);
    *count = lost.n;

    return rc;
}
