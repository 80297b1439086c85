/*
 * Fills a registry for the benchmarks with the records that amld writes: an
 * issuer and its key, people, instances, and sessions of one person.
 *
 *   fill_registry --registry DIR --key KEY.pem --issuer ISS --audience AUD
 *                 --subject SUB --apps DOMAIN --address ADDRESS
 *                 [--instances N] [--own N] [--sessions N]
 *                 [--each N] [--every] [--port N]
 *   fill_registry --registry DIR --touch-keys
 *
 * Of the instances, `own` are asked for, spread evenly: SUB owns the first, and
 * a person each the others.  The rest belongs to other people, --each of them
 * (100).  With --every these have a session, too, which nobody uses.  Names
 * are scattered, so that neighbours in time are not neighbours in the store.
 * Every instance runs at the same address with the same generation: what
 * differs between a small and a large registry is the look-up alone, not
 * connections upstream.
 *
 * Each instance that is asked for gets `sessions` sessions; for each of them a
 * line "host cookie" is written.
 * --touch-keys begins a new generation of the key set, after which a worker
 * takes no remembered token for verified.
 */

#include <getopt.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/base64url.h"
#include "auth/decide.h"
#include "auth/key.h"
#include "registry/records.h"
#include "registry/registry.h"

#define FILL_BATCH 50000 /* instances a transaction */
#define FILL_SPACE "urn:aml:bench"
#define FILL_WORKSPACE                                                         \
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/"      \
    "bench/providers/Microsoft.MachineLearningServices/workspaces/bench"
#define FILL_LIFETIME (7 * 86400)

typedef struct {
    aml_registry_t *registry;
    aml_registry_txn_t *txn;
    aml_decider_t *decider; /* for aml_session_hash() */
    aml_principal_id_t me;
    const char *issuer;
    const char *audience;
    const char *subject;
    const char *apps;
    const char *address;
    unsigned port; /* that it is the address of */
    unsigned long instances;
    unsigned long own;
    unsigned long sessions;
    unsigned long each; /* instances of one person */
    int every;
    int64_t now;
} fill_t;


static void
fill_die(const char *what, aml_registry_rc_t rc)
{
    fprintf(stderr, "fill_registry: %s%s%s\n", what,
            rc != AML_REGISTRY_OK ? ": " : "",
            rc != AML_REGISTRY_OK ? aml_registry_strerror(rc) : "");
    exit(1);
}


static void
fill_put(fill_t *f, const char *key, size_t klen, const void *value,
         size_t vlen)
{
    aml_registry_rc_t rc;

    if (klen == 0 || vlen == 0) {
        fill_die("a record is too long", AML_REGISTRY_OK);
    }
    rc = aml_registry_put(f->txn, key, klen, value, vlen);
    if (rc != AML_REGISTRY_OK) {
        fill_die("put", rc);
    }
}


static void
fill_begin(fill_t *f)
{
    aml_registry_rc_t rc = aml_registry_write(f->registry, &f->txn);

    if (rc != AML_REGISTRY_OK) {
        fill_die("begin", rc);
    }
}


static void
fill_commit(fill_t *f)
{
    aml_registry_rc_t rc = aml_registry_commit(f->txn);

    if (rc != AML_REGISTRY_OK) {
        fill_die("commit", rc);
    }
}


static void
fill_principal(fill_t *f, const char *subject, aml_principal_id_t *id)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    uint8_t buf[1024];
    aml_principal_t p = {0};
    aml_assignment_t a = {0};

    if (aml_principal_derive(aml_str(FILL_SPACE), aml_str_of(subject), id) !=
        0) {
        fill_die("principal", AML_REGISTRY_OK);
    }

    /* the role is not looked at for applications; any id will do */
    a.role = *id;
    a.scope = aml_str(FILL_WORKSPACE);
    p.name = aml_str_of(subject);
    p.issuer = aml_str_of(f->issuer);
    p.assignment_count = 1;

    fill_put(f, key, aml_key_principal(key, id), buf,
             aml_principal_encode(&p, &a, buf, sizeof(buf)));
}


static void
fill_issuer(fill_t *f, const char *file)
{
    char key[AML_REGISTRY_KEY_MAX + 1], kid[44];
    FILE *pem;
    EVP_PKEY *pkey;
    aml_issuer_t issuer = {0};
    aml_public_key_t public;
    aml_registry_rc_t rc;
    static uint8_t room[AML_RECORD_MAX], buf[AML_RECORD_MAX];

    pem = fopen(file, "r");
    pkey = pem != NULL ? PEM_read_PrivateKey(pem, NULL, NULL, NULL) : NULL;
    if (pkey == NULL ||
        aml_public_key_of(pkey, &public, room, sizeof(room)) != AML_KEY_OK ||
        aml_key_thumbprint(&public, kid) != 0) {
        fill_die("the key cannot be used", AML_REGISTRY_OK);
    }
    fclose(pem);
    public.alg = AML_ALG_RS256;

    fill_put(f, key, aml_key_key(key, aml_str_of(f->issuer), aml_str_of(kid)),
             buf, aml_public_key_encode(&public, buf, sizeof(buf)));
    EVP_PKEY_free(pkey);

    issuer.algs = 1u << AML_ALG_RS256;
    issuer.leeway = 60;
    issuer.space = aml_str(FILL_SPACE);
    issuer.name_claim = aml_str("preferred_username");
    issuer.audience_count = 1;
    issuer.audiences[0] = aml_str_of(f->audience);

    fill_put(f, key, aml_key_issuer(key, aml_str_of(f->issuer)), buf,
             aml_issuer_encode(&issuer, buf, sizeof(buf)));

    rc = aml_registry_touch_keys(f->txn);
    if (rc != AML_REGISTRY_OK) {
        fill_die("generation of the keys", rc);
    }
}


/* A session at `host`, and the line for the request where one is asked for. */
static void
fill_session(fill_t *f, const char *host, const aml_principal_id_t *whose,
             int line)
{
    char key[AML_REGISTRY_KEY_MAX + 1], cookie[AML_SESSION_CHARS + 1];
    uint8_t secret[32], hash[32], buf[512];
    aml_session_t s = {0};

    if (RAND_bytes(secret, sizeof(secret)) != 1) {
        fill_die("no entropy", AML_REGISTRY_OK);
    }
    cookie[aml_base64url_encode(cookie, secret, sizeof(secret))] = '\0';
    if (aml_session_hash(f->decider, aml_str_of(cookie), hash) != 0) {
        fill_die("session", AML_REGISTRY_OK);
    }

    s.created = f->now;
    s.expires = f->now + FILL_LIFETIME;
    s.principal = *whose;
    s.sign_in = *whose;
    s.host = aml_str_of(host);
    fill_put(f, key, aml_key_session(key, hash), buf,
             aml_session_encode(&s, buf, sizeof(buf)));

    if (line) {
        printf("%s %s\n", host, cookie);
    }
}


static void
fill_instance(fill_t *f, unsigned long number,
              const aml_principal_id_t *creator, int measured)
{
    char key[AML_REGISTRY_KEY_MAX + 1], name[16], host[256], compute[256];
    uint8_t buf[1024];
    aml_route_t r = {0};
    unsigned long i;

    /* an odd multiplier: every number has a name of its own */
    snprintf(name, sizeof(name), "i%08x",
             (unsigned) ((uint32_t) number * 2654435761u));
    snprintf(compute, sizeof(compute), "%s/computes/%s", FILL_WORKSPACE, name);

    r.state = AML_INSTANCE_RUNNING;
    r.generation = 1;
    r.creator = *creator;
    r.name = aml_str_of(name);
    r.compute = aml_str_of(compute);
    fill_put(f, key, aml_key_route(key, r.name, 0), buf,
             aml_route_encode(&r, buf, sizeof(buf)));

    r.port = (uint16_t) f->port;
    r.address = aml_str_of(f->address);
    r.compute = aml_str("");
    fill_put(f, key, aml_key_route(key, r.name, f->port), buf,
             aml_route_encode(&r, buf, sizeof(buf)));

    snprintf(host, sizeof(host), "%s.%s", name, f->apps);
    for (i = 0; i < (measured ? f->sessions : (unsigned long) f->every); i++) {
        fill_session(f, host, creator, measured);
    }
}


static void
fill_all(fill_t *f, const char *key_file)
{
    char subject[32];
    unsigned long i, step;
    aml_principal_id_t other, owner;
    int measured;

    fill_begin(f);
    fill_issuer(f, key_file);
    fill_principal(f, f->subject, &f->me);

    step = f->instances / f->own;
    for (i = 0; i < f->instances; i++) {
        if (i % f->each == 0) {
            snprintf(subject, sizeof(subject), "person-%lu", i / f->each);
            fill_principal(f, subject, &other);
        }

        /* a person has one instance, or few: each that is asked for is of
         * another */
        measured = i % step == 0 && i / step < f->own;
        if (measured && i > 0) {
            snprintf(subject, sizeof(subject), "owner-%lu", i / step);
            fill_principal(f, subject, &owner);
        }
        fill_instance(f, i,
                      !measured ? &other
                      : i == 0  ? &f->me
                                : &owner,
                      measured);
        if (i % FILL_BATCH == FILL_BATCH - 1) {
            fill_commit(f);
            fill_begin(f);
        }
    }
    fill_commit(f);
}


static void
fill_touch(fill_t *f)
{
    aml_registry_rc_t rc;

    fill_begin(f);
    rc = aml_registry_touch_keys(f->txn);
    if (rc != AML_REGISTRY_OK) {
        fill_die("generation of the keys", rc);
    }
    fill_commit(f);
}


int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"registry", required_argument, NULL, 'r'},
        {"key", required_argument, NULL, 'k'},
        {"issuer", required_argument, NULL, 'i'},
        {"audience", required_argument, NULL, 'a'},
        {"subject", required_argument, NULL, 's'},
        {"apps", required_argument, NULL, 'd'},
        {"address", required_argument, NULL, 'u'},
        {"instances", required_argument, NULL, 'n'},
        {"own", required_argument, NULL, 'o'},
        {"sessions", required_argument, NULL, 'S'},
        {"each", required_argument, NULL, 'e'},
        {"every", no_argument, NULL, 'E'},
        {"port", required_argument, NULL, 'P'},
        {"touch-keys", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0}};

    int o, touch = 0;
    fill_t f = {.instances = 1,
                .own = 1,
                .sessions = 1,
                .each = 100,
                .port = 8888,
                .now = (int64_t) time(NULL)};
    const char *dir = NULL, *key = NULL;
    aml_registry_rc_t rc;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'r':
            dir = optarg;
            break;
        case 'P':
            f.port = (unsigned) strtoul(optarg, NULL, 10);
            break;
        case 'k':
            key = optarg;
            break;
        case 'i':
            f.issuer = optarg;
            break;
        case 'a':
            f.audience = optarg;
            break;
        case 's':
            f.subject = optarg;
            break;
        case 'd':
            f.apps = optarg;
            break;
        case 'u':
            f.address = optarg;
            break;
        case 'n':
            f.instances = strtoul(optarg, NULL, 10);
            break;
        case 'o':
            f.own = strtoul(optarg, NULL, 10);
            break;
        case 'S':
            f.sessions = strtoul(optarg, NULL, 10);
            break;
        case 'e':
            f.each = strtoul(optarg, NULL, 10);
            break;
        case 'E':
            f.every = 1;
            break;
        case 't':
            touch = 1;
            break;
        default:
            return 2;
        }
    }
    if (dir == NULL || (!touch && (key == NULL || f.issuer == NULL ||
                                   f.audience == NULL || f.subject == NULL ||
                                   f.apps == NULL || f.address == NULL))) {
        fill_die("an option is missing", AML_REGISTRY_OK);
    }
    if (f.own == 0 || f.own > f.instances || f.each == 0) {
        fill_die("--own is between 1 and --instances, --each 1 or more",
                 AML_REGISTRY_OK);
    }

    rc = aml_registry_open_writer(dir, (size_t) 8 << 30, (gid_t) -1,
                                  &f.registry);
    if (rc != AML_REGISTRY_OK) {
        fill_die(dir, rc);
    }
    f.decider = aml_decider_new(4);
    if (f.decider == NULL) {
        fill_die("no memory", AML_REGISTRY_OK);
    }

    if (touch) {
        fill_touch(&f);
    } else {
        fill_all(&f, key);
    }

    aml_decider_free(f.decider);
    aml_registry_close(f.registry);

    return 0;
}
