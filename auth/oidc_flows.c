/*
 * Flows in the registry.
 */

#include "auth/oidc_flows.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/address.h"
#include "auth/expiring.h"

#define PREFIX AMLD_FLOW_PREFIX
#define KEY_SIZE (sizeof(PREFIX) + 64)

/*
 * What is in front of the JSON: each new flow looks at all of them, so that
 * nothing has to be counted elsewhere; that is a comparison of bytes for each.
 * expiring.h goes by the first member.
 */
typedef struct {
    uint64_t expires; /* little-endian */
    uint8_t used;
    uint8_t address[AMLD_ADDRESS_SIZE];
    uint8_t browser[32];
} __attribute__((packed)) flow_head_t;

typedef struct {
    char text[KEY_SIZE];
    size_t n;
} flow_key_t;


static int
flow_key(const char *state, flow_key_t *k)
{
    char hex[AMLD_HASH_HEX_SIZE];
    uint8_t hash[32];

    if (amld_secret_hash(state, hash) != 0) {
        return -1;
    }

    amld_hash_format(hash, hex);
    k->n = (size_t) snprintf(k->text, sizeof(k->text), PREFIX "%s", hex);

    return 0;
}


static void
flow_key_copy(flow_key_t *k, aml_str_t key)
{
    k->n = key.n < sizeof(k->text) ? key.n : sizeof(k->text) - 1;
    memcpy(k->text, key.p, k->n);
    k->text[k->n] = '\0';
}


/* ---- which one goes ---- */

typedef struct {
    size_t n;
    int used; /* of the one that would go */
    uint64_t expires;
    flow_key_t key;
} flow_group_t;

typedef struct {
    const flow_head_t *head; /* of the new one */
    flow_group_t browser, address, all;
} flow_count_t;


static void
group_add(flow_group_t *g, aml_str_t key, const flow_head_t *head)
{
    uint64_t expires = le64toh(head->expires);

    g->n++;

    if (g->n == 1 || head->used > g->used ||
        (head->used == g->used && expires < g->expires)) {
        g->used = head->used;
        g->expires = expires;
        flow_key_copy(&g->key, key);
    }
}


static int
count_each(void *data, aml_str_t key, aml_str_t value)
{
    flow_count_t *c = data;
    flow_head_t head = {0};

    if (value.n >= sizeof(head)) {
        memcpy(&head, value.p, sizeof(head));
    }

    group_add(&c->all, key, &head);

    if (memcmp(head.address, c->head->address, sizeof(head.address)) == 0) {
        group_add(&c->address, key, &head);
    }
    if (memcmp(head.browser, c->head->browser, sizeof(head.browser)) == 0) {
        group_add(&c->browser, key, &head);
    }

    return 0;
}


static aml_registry_rc_t
flow_room(aml_registry_txn_t *txn, const flow_head_t *head)
{
    flow_count_t c = {.head = head};
    const flow_group_t *over;
    aml_registry_rc_t rc;

    rc = aml_registry_each(txn, aml_str(PREFIX), (aml_str_t){NULL, 0},
                           count_each, &c);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    over = c.browser.n >= AMLD_FLOWS_BROWSER   ? &c.browser
           : c.address.n >= AMLD_FLOWS_ADDRESS ? &c.address
           : c.all.n >= AMLD_FLOWS_ALL         ? &c.all
                                               : NULL;

    return over == NULL ? AML_REGISTRY_OK
                        : aml_registry_del(txn, over->key.text, over->key.n);
}


/* ---- beginning ---- */

static aml_registry_rc_t
flow_put(aml_registry_txn_t *txn, const flow_key_t *k, const flow_head_t *head,
         const json_t *json)
{
    aml_registry_rc_t rc = AML_REGISTRY_FAILED;
    char *text = json_dumps(json, JSON_COMPACT), *value = NULL;
    size_t n = text != NULL ? strlen(text) : 0;

    if (text != NULL) {
        value = malloc(sizeof(*head) + n);
    }

    if (value != NULL) {
        memcpy(value, head, sizeof(*head));
        memcpy(value + sizeof(*head), text, n);
        rc = aml_registry_put(txn, k->text, k->n, value, sizeof(*head) + n);
        OPENSSL_cleanse(value, sizeof(*head) + n);
    } else {
        errno = ENOMEM;
    }

    if (text != NULL) {
        OPENSSL_cleanse(text, n);
    }
    free(text);
    free(value);

    return rc;
}


aml_registry_rc_t
amld_oidc_flow_begin(aml_registry_t *registry, amld_oidc_flow_t *flow,
                     char state[AMLD_SECRET_SIZE])
{
    flow_head_t head = {
        .expires = htole64((uint64_t) flow->created + AMLD_FLOW_LIFETIME)};
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    uint8_t ignored[32];
    flow_key_t k;
    json_t *json;

    (void) amld_address(flow->address, head.address);
    memcpy(head.browser, flow->browser, sizeof(head.browser));

    if (amld_secret_new(state, ignored) != 0 || flow_key(state, &k) != 0 ||
        amld_secret_new(flow->nonce, ignored) != 0 ||
        amld_secret_new(flow->verifier, ignored) != 0) {
        errno = EIO;
        return AML_REGISTRY_FAILED;
    }

    json =
        json_pack("{s:s, s:s, s:b, s:b, s:I, s:s, s:s}", "issuer", flow->issuer,
                  "to", flow->to, "fresh", flow->fresh, "again", flow->again,
                  "created", (json_int_t) flow->created, "nonce", flow->nonce,
                  "verifier", flow->verifier);
    if (json == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = flow_room(txn, &head);
        if (rc == AML_REGISTRY_OK) {
            rc = flow_put(txn, &k, &head, json);
        }
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }

    json_decref(json);

    return rc;
}


/* ---- taking ---- */

static void
secret_copy(char to[AMLD_SECRET_SIZE], const char *from)
{
    (void) snprintf(to, AMLD_SECRET_SIZE, "%s", from);
}


static aml_registry_rc_t
flow_read(aml_str_t value, int64_t now, flow_head_t *head,
          amld_oidc_flow_t *flow, json_t **json)
{
    const char *nonce = "", *verifier = "";
    json_int_t created;

    if (value.n < sizeof(*head)) {
        return AML_REGISTRY_CORRUPT;
    }
    memcpy(head, value.p, sizeof(*head));

    if ((int64_t) le64toh(head->expires) <= now) {
        return AML_REGISTRY_NOTFOUND;
    }

    *json = json_loadb(value.p + sizeof(*head), value.n - sizeof(*head),
                       JSON_REJECT_DUPLICATES, NULL);

    if (json_unpack(*json, "{s:s, s:s, s:b, s:b, s:I, s?s, s?s}", "issuer",
                    &flow->issuer, "to", &flow->to, "fresh", &flow->fresh,
                    "again", &flow->again, "created", &created, "nonce", &nonce,
                    "verifier", &verifier) != 0) {
        return AML_REGISTRY_CORRUPT;
    }

    flow->created = created;
    flow->used = head->used;
    memcpy(flow->browser, head->browser, sizeof(flow->browser));
    secret_copy(flow->nonce, nonce);
    secret_copy(flow->verifier, verifier);

    return AML_REGISTRY_OK;
}


static aml_registry_rc_t
flow_take(aml_registry_txn_t *txn, const flow_key_t *k, int64_t now,
          amld_oidc_flow_t *flow, json_t **json)
{
    aml_registry_rc_t rc;
    flow_head_t head;
    aml_str_t value;

    rc = aml_registry_get(txn, k->text, k->n, &value);
    if (rc == AML_REGISTRY_OK) {
        rc = flow_read(value, now, &head, flow, json);
    }
    if (rc != AML_REGISTRY_OK || flow->used) {
        return rc;
    }

    head.used = 1;
    (void) json_object_del(*json, "nonce");
    (void) json_object_del(*json, "verifier");

    return flow_put(txn, k, &head, *json);
}


aml_registry_rc_t
amld_oidc_flow_take(aml_registry_t *registry, const char *state, int64_t now,
                    amld_oidc_flow_t *flow, json_t **json)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    flow_key_t k;

    memset(flow, 0, sizeof(*flow));
    *json = NULL;

    if (flow_key(state, &k) != 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    rc = amld_expiring_there(registry, k.text, k.n);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_write(registry, &txn);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = flow_take(txn, &k, now, flow, json);

    if (rc == AML_REGISTRY_OK && !flow->used) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    if (rc != AML_REGISTRY_OK) {
        json_decref(*json);
        *json = NULL;
        OPENSSL_cleanse(flow, sizeof(*flow));
    }

    return rc;
}
