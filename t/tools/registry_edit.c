/*
 * Writes crafted records into a registry, for tests of what the gateway makes
 * of them: states that the real lifecycle only passes through, issuers and
 * keys that amld has none of, records that are cut short.
 *
 *     registry_edit DIR < edits.jsonl
 *     registry_edit DIR fill SIZE       until it is full, if SIZE bytes is the
 *                                       most; with keys that begin with "fill/"
 *
 * One JSON object a line; all lines are one transaction.
 *
 *     {"op":"route","name":…,"port":0,"state":"Running","creator":uuid,
 *      "generation":1,"address":"unix:/…","compute":"/subscriptions/…"}
 *     {"op":"session","cookie":…,"host":…,"principal":uuid,"sign_in":uuid,
 *      "created":…,"expires":…}
 *     {"op":"token","token":"amlp_…","id":uuid,"principal":uuid,"created":…,
 *      "expires":…,"flags":0,"label":…,"instances":[…],"actions":[…]}
 *     {"op":"principal","id":uuid,"not_before":0,"flags":0,"name":…,
 *      "issuer":…,"assignments":[{"role":uuid,"scope":"/…"}]}
 *     {"op":"grant","id":uuid,"principal":uuid,"expires":…,"unknown":0,
 *      "groups":[uuid…]}
 *     {"op":"issuer","iss":…,"algs":["RS256"],"leeway":0,"lifetime":0,
 *      "identity":"sub"|"entra"|"principal","space":"","name_claim":"name",
 *      "audiences":[…]}
 *     {"op":"key","iss":…,"kid":…,"pem":"/file","alg":"","expires":0}
 *     {"op":"delete-key","iss":…,"kid":…}
 *     {"op":"put","key":…,"hex":…}  {"op":"delete","key":…}
 *     {"op":"get","key":…}          prints the value as hex, or "none"
 *     {"op":"copy","from":…,"to":…}
 */

#include <inttypes.h>
#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/key.h"
#include "registry/records.h"
#include "registry/registry.h"

#define MAP_SIZE ((size_t) 1 << 30)

typedef struct {
    aml_registry_txn_t *txn;
    unsigned line;
} edit_t;


static _Noreturn void
fail(const edit_t *e, const char *what)
{
    fprintf(stderr, "registry_edit: line %u: %s\n", e->line, what);
    exit(1);
}


static const char *
text(const edit_t *e, json_t *o, const char *name, const char *other)
{
    json_t *v = json_object_get(o, name);

    if (v == NULL) {
        if (other == NULL) {
            fail(e, name);
        }
        return other;
    }
    if (!json_is_string(v)) {
        fail(e, name);
    }
    return json_string_value(v);
}


static int64_t
number(json_t *o, const char *name, int64_t other)
{
    json_t *v = json_object_get(o, name);

    return json_is_integer(v) ? json_integer_value(v) : other;
}


static aml_principal_id_t
uuid(const edit_t *e, json_t *o, const char *name)
{
    aml_principal_id_t id;

    if (aml_uuid_parse(aml_str_of(text(e, o, name, NULL)), &id) != 0) {
        fail(e, name);
    }
    return id;
}


static void
put(const edit_t *e, const char *key, size_t klen, const void *value,
    size_t vlen)
{
    if (klen == 0 || vlen == 0) {
        fail(e, "key or record is too long");
    }
    if (aml_registry_put(e->txn, key, klen, value, vlen) != AML_REGISTRY_OK) {
        fail(e, "put");
    }
}


static aml_instance_state_t
state_of(const edit_t *e, const char *name)
{
    static const struct {
        const char *name;
        aml_instance_state_t state;
    } states[] = {
        {"Creating", AML_INSTANCE_CREATING},
        {"Starting", AML_INSTANCE_STARTING},
        {"Running", AML_INSTANCE_RUNNING},
        {"Stopping", AML_INSTANCE_STOPPING},
        {"Stopped", AML_INSTANCE_STOPPED},
        {"Restarting", AML_INSTANCE_RESTARTING},
        {"Deleting", AML_INSTANCE_DELETING},
        {"Failed", AML_INSTANCE_FAILED},
    };

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(states[i].name, name) == 0) {
            return states[i].state;
        }
    }
    fail(e, "state");
}


static void
edit_route(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    const char *name = text(e, o, "name", NULL);
    aml_route_t r = {
        .state = state_of(e, text(e, o, "state", NULL)),
        .port = (uint16_t) number(o, "port", 0),
        .generation = (uint64_t) number(o, "generation", 1),
        .creator = uuid(e, o, "creator"),
        .name = aml_str_of(name),
        .address = aml_str_of(text(e, o, "address", "")),
        .compute = aml_str_of(text(e, o, "compute", "")),
    };

    put(e, key, aml_key_route(key, r.name, r.port), buf,
        aml_route_encode(&r, buf, sizeof(buf)));
}


static void
edit_session(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    uint8_t hash[32];
    const char *cookie = text(e, o, "cookie", NULL);
    aml_session_t s = {
        .created = number(o, "created", 0),
        .expires = number(o, "expires", 0),
        .principal = uuid(e, o, "principal"),
        .sign_in = uuid(e, o, "sign_in"),
        .host = aml_str_of(text(e, o, "host", NULL)),
    };

    SHA256((const unsigned char *) cookie, strlen(cookie), hash);
    put(e, key, aml_key_session(key, hash), buf,
        aml_session_encode(&s, buf, sizeof(buf)));
}


static uint16_t
list_of(const edit_t *e, json_t *o, const char *name,
        aml_str_t list[AML_TOKEN_SCOPES])
{
    json_t *v;
    size_t i;

    json_array_foreach(json_object_get(o, name), i, v)
    {
        if (i == AML_TOKEN_SCOPES || !json_is_string(v)) {
            fail(e, name);
        }
        list[i] = aml_str_of(json_string_value(v));
    }

    return (uint16_t) json_array_size(json_object_get(o, name));
}


static void
edit_token(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    uint8_t hash[32];
    const char *token = text(e, o, "token", NULL);
    aml_personal_token_t t = {
        .created = number(o, "created", 0),
        .expires = number(o, "expires", 0),
        .flags = (uint32_t) number(o, "flags", 0),
        .principal = uuid(e, o, "principal"),
        .id = uuid(e, o, "id"),
        .label = aml_str_of(text(e, o, "label", "")),
    };

    t.instance_count = list_of(e, o, "instances", t.instances);
    t.action_count = list_of(e, o, "actions", t.actions);

    SHA256((const unsigned char *) token, strlen(token), hash);
    put(e, key, aml_key_token(key, hash), buf,
        aml_personal_token_encode(&t, buf, sizeof(buf)));
}


static void
edit_grant(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    aml_principal_id_t list[AML_GRANT_GROUPS], id = uuid(e, o, "id");
    json_t *group, *groups = json_object_get(o, "groups");
    size_t i;
    aml_grant_t g = {
        .expires = number(o, "expires", 0),
        .flags = number(o, "unknown", 0) ? AML_GRANT_UNKNOWN : 0,
        .principal = uuid(e, o, "principal"),
    };

    json_array_foreach(groups, i, group)
    {
        if (i == AML_GRANT_GROUPS ||
            aml_uuid_parse(aml_str_of(json_string_value(group)), &list[i]) !=
                0) {
            fail(e, "groups");
        }
        g.group_count++;
    }
    put(e, key, aml_key_grant(key, &id), buf,
        aml_grant_encode(&g, list, buf, sizeof(buf)));
}


static void
edit_principal(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    aml_assignment_t list[64];
    aml_principal_id_t id = uuid(e, o, "id");
    json_t *a, *assignments = json_object_get(o, "assignments");
    size_t i;
    aml_principal_t p = {
        .not_before = number(o, "not_before", 0),
        .flags = (uint32_t) number(o, "flags", 0),
        .name = aml_str_of(text(e, o, "name", "")),
        .issuer = aml_str_of(text(e, o, "issuer", "")),
    };

    json_array_foreach(assignments, i, a)
    {
        if (i == 64) {
            fail(e, "assignments");
        }
        list[i].role = uuid(e, a, "role");
        list[i].scope = aml_str_of(text(e, a, "scope", NULL));
        p.assignment_count++;
    }
    put(e, key, aml_key_principal(key, &id), buf,
        aml_principal_encode(&p, list, buf, sizeof(buf)));
}


static void
edit_issuer(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    aml_str_t iss = aml_str_of(text(e, o, "iss", NULL));
    json_t *v;
    size_t i;
    const char *identity = text(e, o, "identity", "sub");
    aml_issuer_t issuer = {
        .leeway = (uint32_t) number(o, "leeway", 0),
        .lifetime = (uint32_t) number(o, "lifetime", 0),
        .identity = strcmp(identity, "entra") == 0 ? AML_IDENTITY_ENTRA
                    : strcmp(identity, "principal") == 0
                        ? AML_IDENTITY_PRINCIPAL
                        : AML_IDENTITY_SUB,
        .space = aml_str_of(text(e, o, "space", "")),
        .name_claim = aml_str_of(text(e, o, "name_claim", "name")),
    };

    json_array_foreach(json_object_get(o, "algs"), i, v)
    {
        aml_alg_t alg = aml_alg_find(aml_str_of(json_string_value(v)));

        if (alg == AML_ALG_NONE) {
            fail(e, "algs");
        }
        issuer.algs |= 1u << alg;
    }
    json_array_foreach(json_object_get(o, "audiences"), i, v)
    {
        if (i == AML_ISSUER_AUDIENCES) {
            fail(e, "audiences");
        }
        issuer.audiences[i] = aml_str_of(json_string_value(v));
        issuer.audience_count++;
    }
    put(e, key, aml_key_issuer(key, iss), buf,
        aml_issuer_encode(&issuer, buf, sizeof(buf)));
    aml_registry_touch_keys(e->txn);
}


static void
edit_key(const edit_t *e, json_t *o)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[AML_RECORD_MAX];
    char room[AML_RECORD_MAX];
    aml_public_key_t k;
    EVP_PKEY *pkey;
    FILE *f = fopen(text(e, o, "pem", NULL), "r");

    pkey = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    if (pkey == NULL ||
        aml_public_key_of(pkey, &k, room, sizeof(room)) != AML_KEY_OK) {
        fail(e, "pem");
    }
    fclose(f);
    k.alg = (uint16_t) aml_alg_find(aml_str_of(text(e, o, "alg", "")));
    k.expires = number(o, "expires", 0);
    put(e, key,
        aml_key_key(key, aml_str_of(text(e, o, "iss", NULL)),
                    aml_str_of(text(e, o, "kid", NULL))),
        buf, aml_public_key_encode(&k, buf, sizeof(buf)));
    EVP_PKEY_free(pkey);
    aml_registry_touch_keys(e->txn);
}


static void
edit_put(const edit_t *e, json_t *o)
{
    const char *key = text(e, o, "key", NULL), *hex = text(e, o, "hex", NULL);
    char value[AML_RECORD_MAX];
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n && i < sizeof(value); i++) {
        unsigned byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            fail(e, "hex");
        }
        value[i] = (char) byte;
    }
    if (aml_registry_put(e->txn, key, strlen(key), value, n) !=
        AML_REGISTRY_OK) {
        fail(e, "put");
    }
}


static void
edit_get(const edit_t *e, json_t *o)
{
    const char *key = text(e, o, "key", NULL);
    aml_str_t value;

    if (aml_registry_get(e->txn, key, strlen(key), &value) != AML_REGISTRY_OK) {
        puts("none");
        return;
    }
    for (size_t i = 0; i < value.n; i++) {
        printf("%02x", (unsigned char) value.p[i]);
    }
    puts("");
}


static void
edit_copy(const edit_t *e, json_t *o)
{
    const char *from = text(e, o, "from", NULL), *to = text(e, o, "to", NULL);
    static char copy[AML_RECORD_MAX];
    aml_str_t value;

    if (aml_registry_get(e->txn, from, strlen(from), &value) !=
            AML_REGISTRY_OK ||
        value.n > sizeof(copy)) {
        fail(e, "from");
    }
    /* A put may move the page that the value lies on. */
    memcpy(copy, value.p, value.n);
    put(e, to, strlen(to), copy, value.n);
}


static void
edit(const edit_t *e, json_t *o)
{
    const char *op = text(e, o, "op", NULL);

    if (strcmp(op, "route") == 0) {
        edit_route(e, o);
    } else if (strcmp(op, "session") == 0) {
        edit_session(e, o);
    } else if (strcmp(op, "token") == 0) {
        edit_token(e, o);
    } else if (strcmp(op, "principal") == 0) {
        edit_principal(e, o);
    } else if (strcmp(op, "grant") == 0) {
        edit_grant(e, o);
    } else if (strcmp(op, "issuer") == 0) {
        edit_issuer(e, o);
    } else if (strcmp(op, "key") == 0) {
        edit_key(e, o);
    } else if (strcmp(op, "put") == 0) {
        edit_put(e, o);
    } else if (strcmp(op, "get") == 0) {
        edit_get(e, o);
    } else if (strcmp(op, "copy") == 0) {
        edit_copy(e, o);
    } else if (strcmp(op, "delete-key") == 0) {
        char key[AML_REGISTRY_KEY_MAX + 1];
        size_t n = aml_key_key(key, aml_str_of(text(e, o, "iss", NULL)),
                               aml_str_of(text(e, o, "kid", NULL)));

        aml_registry_del(e->txn, key, n);
        aml_registry_touch_keys(e->txn);
    } else if (strcmp(op, "delete") == 0) {
        const char *key = text(e, o, "key", NULL);

        aml_registry_del(e->txn, key, strlen(key));
    } else {
        fail(e, "op");
    }
}


/* Pages first, then what is left in them; each is a commit. */
static int
fill(const char *dir, size_t size)
{
    static const size_t pieces[] = {3000, 500, 50};
    static const char value[3000];
    aml_registry_t *reg;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    char key[64];
    unsigned n = 0;

    rc = aml_registry_open_writer(dir, size, (gid_t) -1, &reg);
    for (size_t i = 0; i < 3 && (rc == AML_REGISTRY_OK || i > 0); i++) {
        do {
            rc = aml_registry_write(reg, &txn);
            if (rc == AML_REGISTRY_OK) {
                snprintf(key, sizeof(key), "fill/%06u", n++);
                rc = aml_registry_put(txn, key, strlen(key), value, pieces[i]);
                if (rc == AML_REGISTRY_OK) {
                    rc = aml_registry_commit(txn);
                } else {
                    aml_registry_end(txn);
                }
            }
        } while (rc == AML_REGISTRY_OK);
    }
    if (rc != AML_REGISTRY_LIMIT && rc != AML_REGISTRY_FULL) {
        fprintf(stderr, "registry_edit: fill: %s\n", aml_registry_strerror(rc));
        return 1;
    }
    aml_registry_close(reg);
    printf("%u\n", n);
    return 0;
}


int
main(int argc, char **argv)
{
    aml_registry_t *reg;
    aml_registry_rc_t rc;
    edit_t e = {NULL, 0};
    char *line = NULL;
    size_t room = 0;

    if (argc == 4 && strcmp(argv[2], "fill") == 0) {
        return fill(argv[1], strtoul(argv[3], NULL, 10));
    }
    if (argc != 2) {
        fprintf(stderr, "usage: registry_edit DIR < edits, or DIR fill SIZE\n");
        return 2;
    }
    rc = aml_registry_open_writer(argv[1], MAP_SIZE, (gid_t) -1, &reg);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_write(reg, &e.txn);
    }
    if (rc != AML_REGISTRY_OK) {
        fail(&e, aml_registry_strerror(rc));
    }
    while (getline(&line, &room, stdin) > 0) {
        json_t *o = json_loads(line, JSON_ALLOW_NUL, NULL);

        e.line++;
        if (!json_is_object(o)) {
            fail(&e, "not a JSON object");
        }
        edit(&e, o);
        json_decref(o);
    }
    free(line);
    rc = aml_registry_commit(e.txn);
    if (rc != AML_REGISTRY_OK) {
        fail(&e, aml_registry_strerror(rc));
    }
    aml_registry_close(reg);
    return 0;
}
