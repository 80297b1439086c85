/*
 * amld fetches keys of identity providers, and keeps them: against a provider
 * that rotates, fails, hangs and comes back.
 */

#include "t/unit/key_keeper_fixture.h"

#include "t/unit/log_capture.h"

#include <time.h>

#include "auth/jwks.h"
#include "auth/key_records.h"

#define TENANT_A "11111111-1111-4111-8111-111111111111"
#define TENANT_B "22222222-2222-4222-8222-222222222222"

static amld_issuer_kind_t entra = {.name = "entra",
                                   .identity = AML_IDENTITY_ENTRA};


/* ---- what can be seen ---- */

static int
has_key(scratch_t *s, const char *iss, const char *kid,
        aml_public_key_t *record)
{
    static char room[AML_RECORD_MAX];
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    aml_str_t value;
    int has;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    has = aml_registry_get(txn, key,
                           aml_key_key(key, aml_str_of(iss), aml_str_of(kid)),
                           &value) == AML_REGISTRY_OK;
    if (has && record != NULL) {
        memcpy(room, value.p, value.n);
        assert_int_equal(
            aml_public_key_decode((aml_str_t){room, value.n}, record),
            AML_RECORD_OK);
    }
    aml_registry_end(txn);

    return has;
}


static int
has_issuer(scratch_t *s, const char *iss)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    aml_str_t value;
    int has;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    has = aml_registry_get(txn, key, aml_key_issuer(key, aml_str_of(iss)),
                           &value) == AML_REGISTRY_OK;
    aml_registry_end(txn);

    return has;
}


static uint64_t
generation(scratch_t *s)
{
    aml_registry_txn_t *txn;
    uint64_t g;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    g = aml_registry_key_generation(txn);
    aml_registry_end(txn);

    return g;
}


/* ---- fetching ---- */

static void
fetched(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    time_t before = time(NULL);
    aml_public_key_t record;
    amld_key_keeper_t *k;
    uint64_t g;

    k = start();
    assert_true(has_issuer(s, d->iss)); /* at once */
    WAIT_FOR(has_key(s, d->iss, "one", &record));

    /* key_grace at least, and a quarter more at the most */
    assert_true(record.expires >= before + 600);
    assert_true(record.expires <= time(NULL) + 750);
    assert_int_equal(record.kty, AML_KTY_OKP);
    assert_int_equal(scratch_count(s, "keyset/"), 1);
    amld_key_keeper_stop(k);
    assert_int_equal(atomic_load(&idp.sets), 1);
    assert_int_equal(atomic_load(&idp.metadata), 1);

    /* again: fetched, and nothing changed */
    g = generation(s);
    k = start();
    WAIT_FOR(atomic_load(&idp.sets) == 2);
    amld_key_keeper_stop(k);
    assert_int_equal(generation(s), g);
}


static void
rotated(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k = start();
    uint64_t g;

    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    g = generation(s);

    publish("{" ED ",\"kid\":\"two\"},{" ED ",\"kid\":\"three\"}");
    amld_key_keeper_unknown_kid(k, aml_str_of(d->iss));
    WAIT_FOR(has_key(s, d->iss, "two", NULL));
    assert_true(has_key(s, d->iss, "three", NULL));
    assert_false(has_key(s, d->iss, "one", NULL));
    assert_int_equal(generation(s), g + 1);

    amld_key_keeper_stop(k);
}


/* However many name keys that there are not, and whoever they say it is. */
static void
flooded(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k = start();
    time_t from;
    unsigned n;
    int i;

    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    WAIT_FOR(atomic_load(&idp.sets) == 1);
    tls_nap(1100);

    from = time(NULL);
    for (i = 0; i < 250; i++) {
        amld_key_keeper_unknown_kid(k, aml_str_of(d->iss));
        amld_key_keeper_unknown_kid(k, aml_str("https://nobody.example"));
        amld_key_keeper_unknown_kid(k, aml_str(""));
        tls_nap(20);
    }
    n = atomic_load(&idp.sets) - 1;

    /* one at once, then one each two seconds */
    assert_true(n >= 2);
    assert_true(n <= 1 + (unsigned) (time(NULL) - from) / 2);
    assert_int_equal(atomic_load(&idp.metadata), 1);

    amld_key_keeper_stop(k);
}


typedef struct {
    amld_key_keeper_t *k;
    const amld_issuer_config_t *issuer;
    int rc;
} waiter_t;


static void *
wait_for_keys(void *data)
{
    waiter_t *w = data;

    w->rc = amld_key_keeper_fetch(w->k, w->issuer);

    return NULL;
}


static void
waited_for(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k = start();
    waiter_t w[8];
    pthread_t t[8];
    size_t i;
    int good = 0;

    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    publish("{" ED ",\"kid\":\"two\"}");

    for (i = 0; i < 8; i++) {
        w[i] = (waiter_t){k, &d->issuers[0], -2};
        assert_int_equal(pthread_create(&t[i], NULL, wait_for_keys, &w[i]), 0);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
        good += w[i].rc == 0;
        assert_true(w[i].rc == 0 || w[i].rc == -1);
    }
    assert_true(good > 0);
    assert_true(has_key(s, d->iss, "two", NULL));
    assert_true(atomic_load(&idp.sets) <= 3);

    /* under the cooldown nobody waits */
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[1]), -1);

    amld_key_keeper_stop(k);
}


/* ---- what goes wrong ---- */

static void
outage(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k;
    int saved = log_begin(s);
    uint64_t g;

    k = start();
    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    g = generation(s);
    publish("{" ED ",\"kid\":\"two\"}");
    tls_server_down(idp.server);

    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
    WAIT_FOR(logged("it can't be reached") == 1);
    assert_int_equal(logged("its keys are good until 2"), 1);
    assert_int_equal(logged("may need `proxy`"), 1);
    assert_true(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);

    /* a new amld has what the old one had */
    k = start();
    WAIT_FOR(logged("it can't be reached") == 2);
    tls_nap(6000); /* and tries again, without a word */
    assert_int_equal(logged("it can't be reached"), 2);
    assert_true(has_key(s, d->iss, "one", NULL));
    assert_int_equal(generation(s), g);

    tls_server_listen(idp.server, idp.server->port);
    WAIT_FOR(logged("all is well again") == 1);
    assert_true(has_key(s, d->iss, "two", NULL));
    assert_false(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);
    log_end(saved);
}


/* Whatever comes instead of keys, those that are there stay. */
static void
nonsense(void **state)
{
    static const char *const sets[] = {"",
                                       "1",
                                       "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
                                       "{" ED ",\"kid\":\"a\"},{" ED
                                       ",\"kid\":\"a\"}",
                                       "{" ED ",\"kid\":\"a\",\"d\":\"AAAA\"}",
                                       "{"};
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k = start();
    int saved = log_begin(s);
    size_t i;

    d->issuers[0].key_cooldown = 0;
    WAIT_FOR(has_key(s, d->iss, "one", NULL));

    for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        publish(sets[i]);
        assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
        assert_true(has_key(s, d->iss, "one", NULL));
    }
    publish("{" ED ",\"kid\":\"two\"}");
    behave("404 No", 0);
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
    behave("302 Found\r\nLocation: /keys", 0);
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
    assert_true(has_key(s, d->iss, "one", NULL));
    assert_int_equal(scratch_count(s, "key/"), 1);
    assert_true(logged("published with the private half") > 0);

    behave("200 OK", 0);
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), 0);
    assert_true(has_key(s, d->iss, "two", NULL));

    /* a set that has moved is found at the second try */
    pthread_mutex_lock(&idp.mutex);
    idp.path = "/keys-2";
    pthread_mutex_unlock(&idp.mutex);
    publish("{" ED ",\"kid\":\"three\"}");
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), 0);
    assert_true(has_key(s, d->iss, "three", NULL));
    amld_key_keeper_stop(k);
    log_end(saved);
}


static void
another_issuer(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k;
    amld_discovery_t m;
    const char *why;
    int saved = log_begin(s);

    snprintf(idp.issuer, sizeof(idp.issuer), "https://evil.example");
    k = start();
    WAIT_FOR(logged("there are no keys yet") == 1);
    assert_int_equal(logged("its metadata names another issuer"), 1);
    assert_int_equal(logged("look at `issuer`"), 1);
    assert_int_equal(atomic_load(&idp.sets), 0);
    assert_int_equal(scratch_count(s, "key/"), 0);

    assert_int_equal(amld_key_keeper_metadata(k, &d->issuers[0], &m, &why), -1);
    assert_string_equal(why, "its metadata names another issuer");
    amld_discovery_clear(&m);
    amld_key_keeper_stop(k);
    log_end(saved);
}


/* Keys end when nobody has vouched for them for too long. */
static void
withdrawn(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k;
    aml_public_key_t record;
    int saved = log_begin(s);

    d->issuers[0].key_grace = 4;
    k = start();
    WAIT_FOR(has_key(s, d->iss, "one", &record));
    assert_true(record.expires <= time(NULL) + 5);

    /* with a fetch before they end they go on */
    WAIT_FOR(has_key(s, d->iss, "one", &record) &&
             record.expires > time(NULL) + 1 && atomic_load(&idp.sets) > 3);

    behave("503 Busy", 0);
    WAIT_FOR(logged("its keys have ended at 2") == 1);
    assert_int_equal(logged("503 from https://localhost:"), 2);
    assert_true(has_key(s, d->iss, "one", &record));
    assert_true(record.expires <= time(NULL));
    amld_key_keeper_stop(k);
    log_end(saved);
}


/* One that hangs is nobody else's trouble, and keeps no amld from ending. */
static void
hanging(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    tls_server_t *bad;
    char iss[128], discovery[160];
    amld_key_keeper_t *k;
    time_t from;

    bad = tls_server(&idp.ca, "localhost", 3600, tls_hang);
    snprintf(iss, sizeof(iss), "https://localhost:%u", bad->port);
    snprintf(discovery, sizeof(discovery), "%s/metadata", iss);
    issuer_of(&d->issuers[1], (char *) "corp", d->iss, d->discovery);
    d->issuers[0].name = (char *) "slow";
    d->issuers[0].discovery = discovery;
    d->issuers[0].iss[0].iss = iss;
    d->issuers[0].iss[0].space = iss;
    d->config.issuer_count = 2;

    from = time(NULL);
    k = start();
    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    WAIT_FOR(atomic_load(&bad->requests) == 1);
    amld_key_keeper_stop(k);
    assert_true(time(NULL) - from < 5);
    tls_server_free(bad);
}


/* ---- the configuration ---- */

static void
left(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k = start();
    aml_registry_txn_t *txn;
    char key[AML_REGISTRY_KEY_MAX + 1];
    uint64_t g;

    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);

    /* our own stays */
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, key,
                                      aml_key_issuer(key, aml_str(STUDIO)), "x",
                                      1),
                     AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_put(
            txn, key, aml_key_key(key, aml_str(STUDIO), aml_str("k")), "x", 1),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    g = generation(s);
    d->config.issuer_count = 0;
    k = start();
    assert_false(has_issuer(s, d->iss));
    assert_false(has_key(s, d->iss, "one", NULL));
    assert_int_equal(scratch_count(s, "keyset/"), 0);
    assert_true(has_issuer(s, STUDIO));
    assert_int_equal(scratch_count(s, "key/"), 1);
    assert_true(generation(s) > g);
    amld_key_keeper_stop(k);
    d->config.issuer_count = 1;
}


/* Keys that came from elsewhere go before new ones are there. */
static void
moved(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k = start();
    int saved = log_begin(s);

    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);

    behave("500 No", 0);
    k = start();
    assert_true(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);

    strcat(d->discovery, "-2");
    k = start();
    assert_false(has_key(s, d->iss, "one", NULL));
    assert_int_equal(scratch_count(s, "keyset/"), 0);
    behave("200 OK", 0);
    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);
    log_end(saved);
}


/* Without an audience no token of it is good; its keys are for sign-in. */
static void
for_sign_in(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k;

    d->issuers[0].audience_count = 0;
    k = start();
    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    assert_false(has_issuer(s, d->iss));
    amld_key_keeper_stop(k);
}


static void
file_of_keys(void **state)
{
    scratch_t *s = *state;
    daemon_t *d = the_daemon();
    int saved = log_begin(s);
    aml_public_key_t record;
    amld_key_keeper_t *k;
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/keys.json", s->dir);
    d->issuers[0].keys = path;

    f = fopen(path, "w");
    fputs("{\"keys\":[{" ED ",\"kid\":\"filed\"}]}\n", f);
    fclose(f);
    k = start();
    assert_true(has_key(s, d->iss, "filed", &record)); /* at once */
    assert_int_equal(record.expires, 0);
    amld_key_keeper_unknown_kid(k, aml_str_of(d->iss));
    assert_int_equal(amld_key_keeper_fetch(k, &d->issuers[0]), -1);
    amld_key_keeper_stop(k);
    assert_int_equal(atomic_load(&idp.sets), 0);

    /* a bad one is a fault to be mended before, not an outage */
    f = fopen(path, "w");
    fputs("{\"keys\":[]}\n", f);
    fclose(f);
    assert_null(amld_key_keeper_start(&d->amld));
    unlink(path);
    assert_null(amld_key_keeper_start(&d->amld));
    assert_int_equal(logged("keys: issuer \"corp\": "), 3);
    log_end(saved);

    /* from a file to the network: the file's go */
    d->issuers[0].keys = NULL;
    k = start();
    assert_false(has_key(s, d->iss, "filed", NULL));
    WAIT_FOR(has_key(s, d->iss, "one", NULL));
    amld_key_keeper_stop(k);
}


/* ---- Entra ---- */

/* Keys say whose tokens they sign; those of one tenant are not another's. */
static void
tenants(void **state)
{
    static const char a1[] = "https://sts.windows.net/" TENANT_A "/";
    static const char b1[] = "https://sts.windows.net/" TENANT_B "/";
    static const char text[] =
        "{\"keys\":["
        "{" ED ",\"kid\":\"all\",\"issuer\":\"https://e/{tenantid}/v2.0\"},"
        "{" ED ",\"kid\":\"a\",\"issuer\":\"https://e/" TENANT_A "/v2.0\"},"
        "{" ED ",\"kid\":\"other\",\"issuer\":\"https://f/{tenantid}/v2.0\"},"
        "{" ED
        ",\"kid\":\"consumers\",\"issuer\":\"https://e/9188040d-6c67-4c5b-"
        "b112-36a304b66dad/v2.0\"},"
        "{" ED ",\"kid\":\"unsaid\"}]}";
    scratch_t *s = *state;
    amld_issuer_config_t i = the_daemon()->issuers[0];
    aml_registry_txn_t *txn;
    aml_jwks_t set;
    int changed = 0;
    size_t n;

    char a2[] = "https://e/" TENANT_A "/v2.0";
    char b2[] = "https://e/" TENANT_B "/v2.0";
    char ta[] = TENANT_A, tb[] = TENANT_B;

    i.kind = &entra;
    i.iss = calloc(4, sizeof(*i.iss));
    i.iss[0].iss = a2;
    i.iss[1].iss = strdup(a1);
    i.iss[2].iss = b2;
    i.iss[3].iss = strdup(b1);
    for (n = 0; n < 4; n++) {
        i.iss[n].space = n < 2 ? ta : tb;
        i.iss[n].name_claim = "";
    }
    i.iss_count = 4;

    assert_int_equal(aml_jwks_parse(aml_str_of(text), &set), AML_JWKS_OK);
    assert_int_equal(set.key_count, 5);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_keys_publish(txn, &i, &set, 99, &changed),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(changed, 3 + 3 + 2 + 2);

    for (n = 0; n < 4; n++) {
        assert_true(has_key(s, i.iss[n].iss, "all", NULL));
        assert_true(has_key(s, i.iss[n].iss, "unsaid", NULL));
        assert_int_equal(has_key(s, i.iss[n].iss, "a", NULL), n < 2);
        assert_false(has_key(s, i.iss[n].iss, "other", NULL));
        assert_false(has_key(s, i.iss[n].iss, "consumers", NULL));
    }

    /* the same once more is no change */
    changed = 0;
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_keys_publish(txn, &i, &set, 99, &changed),
                     AML_REGISTRY_OK);
    assert_int_equal(changed, 0);
    aml_registry_end(txn);

    aml_jwks_clear(&set);
    free(i.iss[1].iss);
    free(i.iss[3].iss);
    free(i.iss);
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fetched),        TEST(rotated),   TEST(flooded),
        TEST(waited_for),     TEST(outage),    TEST(nonsense),
        TEST(another_issuer), TEST(withdrawn), TEST(hanging),
        TEST(left),           TEST(moved),     TEST(for_sign_in),
        TEST(file_of_keys),   TEST(tenants),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
