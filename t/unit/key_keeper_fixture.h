/*
 * A provider of which amld fetches keys, and the little of amld that does.
 */

#ifndef AML_TEST_KEY_KEEPER_FIXTURE_H
#define AML_TEST_KEY_KEEPER_FIXTURE_H

#include "t/unit/tls_server.h"

#include "t/unit/scratch.h"

#include "auth/fetch.h"
#include "auth/key.h"
#include "auth/key_keeper.h"

#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\""
#define STUDIO "https://aml.localhost:8443"

/* What the provider does; changed while it runs. */
typedef struct {
    tls_ca_t ca;
    char ca_file[128];
    tls_server_t *server;
    pthread_mutex_t mutex;
    char keys[1024];    /* of the set */
    char issuer[128];   /* that its metadata names */
    const char *path;   /* of the set */
    const char *status; /* of both documents */
    int hangs;
    atomic_uint metadata; /* requests */
    atomic_uint sets;
} provider_t;

typedef struct {
    amld_t amld;
    amld_config_t config;
    amld_issuer_config_t issuers[3];
    char iss[128];
    char discovery[160];
} daemon_t;

static provider_t idp;
static amld_issuer_kind_t kind = {.name = "oidc", .identity = AML_IDENTITY_SUB};


/* ---- the provider ---- */

static void
provide(tls_conn_t *c)
{
    char body[2048], head[128];
    int hangs;

    pthread_mutex_lock(&idp.mutex);
    hangs = idp.hangs;
    snprintf(head, sizeof(head),
             "%s\r\nContent-Type: application/json\r\n"
             "Cache-Control: max-age=600",
             idp.status);
    if (strncmp(c->path, "/keys", 5) == 0) {
        if (strcmp(c->path, idp.path) != 0) {
            snprintf(head, sizeof(head), "404 Gone");
        }
        atomic_fetch_add(&idp.sets, 1);
        snprintf(body, sizeof(body), "{\"keys\":[%s]}", idp.keys);
    } else {
        atomic_fetch_add(&idp.metadata, 1);
        snprintf(body, sizeof(body),
                 "{\"issuer\":\"%s\",\"jwks_uri\":\"https://localhost:%u%s\","
                 "\"token_endpoint\":\"https://localhost:%u/token\"}",
                 idp.issuer, idp.server->port, idp.path, idp.server->port);
    }
    pthread_mutex_unlock(&idp.mutex);

    if (hangs) {
        tls_hang(c);
    } else {
        tls_reply(c, head, body);
    }
}


static void
publish(const char *keys)
{
    pthread_mutex_lock(&idp.mutex);
    snprintf(idp.keys, sizeof(idp.keys), "%s", keys);
    pthread_mutex_unlock(&idp.mutex);
}


static void
behave(const char *status, int hangs)
{
    pthread_mutex_lock(&idp.mutex);
    idp.status = status;
    idp.hangs = hangs;
    pthread_mutex_unlock(&idp.mutex);
}


/* ---- the daemon ---- */

static void
issuer_of(amld_issuer_config_t *i, char *name, char *iss, char *discovery)
{
    memset(i, 0, sizeof(*i));
    i->name = name;
    i->kind = &kind;
    i->discovery = discovery;
    i->ca = idp.ca_file;
    i->algs = 1u << AML_ALG_EDDSA;
    i->identity_claim = i->groups_claim = i->roles_claim = (char *) "";
    i->key_cooldown = 2;
    i->key_grace = 600;
    i->audiences = calloc(1, sizeof(char *));
    i->audiences[0] = (char *) "api";
    i->audience_count = 1;
    i->iss = calloc(2, sizeof(*i->iss));
    i->iss[0].iss = iss;
    i->iss[0].space = iss;
    i->iss[0].name_claim = "name";
    i->iss_count = 1;
}


static int
begin(void **state)
{
    scratch_t *s;
    daemon_t *d;

    if (scratch_setup(state) != 0) {
        return -1;
    }
    s = *state;

    d = calloc(1, sizeof(*d));
    snprintf(idp.ca_file, sizeof(idp.ca_file), "%s/ca.pem", s->dir);
    idp.ca = tls_ca(idp.ca_file);
    pthread_mutex_init(&idp.mutex, NULL);
    idp.server = tls_server(&idp.ca, "localhost", 3600, provide);
    atomic_store(&idp.metadata, 0);
    atomic_store(&idp.sets, 0);
    snprintf(d->iss, sizeof(d->iss), "https://localhost:%u/id",
             idp.server->port);
    snprintf(d->discovery, sizeof(d->discovery), "%s/metadata", d->iss);
    snprintf(idp.issuer, sizeof(idp.issuer), "%s", d->iss);
    behave("200 OK", 0);
    idp.path = "/keys";
    publish("{" ED ",\"kid\":\"one\"}");

    d->amld.config = &d->config;
    d->amld.registry = s->registry;
    d->config.studio = (char *) STUDIO;
    d->config.issuers = d->issuers;
    d->config.issuer_count = 1;
    issuer_of(&d->issuers[0], (char *) "corp", d->iss, d->discovery);
    idp.server->data = d;

    return amld_fetch_init();
}


static daemon_t *
the_daemon(void)
{
    return idp.server->data;
}


static int
finish(void **state)
{
    daemon_t *d = the_daemon();
    size_t i;

    for (i = 0; i < 3; i++) {
        free(d->issuers[i].audiences);
        free(d->issuers[i].iss);
    }
    tls_server_free(idp.server);
    tls_ca_free(&idp.ca);
    free(d);

    return scratch_teardown(state);
}


static amld_key_keeper_t *
start(void)
{
    amld_key_keeper_t *k = amld_key_keeper_start(&the_daemon()->amld);

    assert_non_null(k);

    return k;
}


#define WAIT_FOR(condition)                                                    \
    do {                                                                       \
        int tries_ = 0;                                                        \
        while (!(condition)) {                                                 \
            if (++tries_ > 1500) {                                             \
                fail_msg("never: %s", #condition);                             \
            }                                                                  \
            tls_nap(20);                                                       \
        }                                                                      \
    } while (0)

#endif /* AML_TEST_KEY_KEEPER_FIXTURE_H */
