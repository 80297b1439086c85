/*
 * The metadata of an identity provider, and whether it can be reached at all,
 * for people who are about to be sent there.
 */

#include "t/unit/key_keeper_fixture.h"

typedef struct {
    amld_key_keeper_t *k;
    const amld_issuer_config_t *issuer;
    int rc;
} waiter_t;


static void *
ask_metadata(void *data)
{
    waiter_t *w = data;
    amld_discovery_t m;
    const char *why;

    w->rc = amld_key_keeper_metadata(w->k, w->issuer, &m, &why);
    if (w->rc == 0 &&
        strncmp(m.token_endpoint, "https://localhost:", 18) != 0) {
        w->rc = -2;
    }
    amld_discovery_clear(&m);

    return NULL;
}


static void
metadata(void **state)
{
    daemon_t *d = the_daemon();
    amld_key_keeper_t *k;
    waiter_t w[16];
    pthread_t t[16];
    size_t i;
    int down;

    (void) state;

    for (down = 0; down < 2; down++) {
        behave(down ? "500 No" : "200 OK", 0);
        atomic_store(&idp.metadata, 0);
        k = start();
        for (i = 0; i < 16; i++) {
            w[i] = (waiter_t){k, &d->issuers[0], -3};
            assert_int_equal(pthread_create(&t[i], NULL, ask_metadata, &w[i]),
                             0);
        }
        for (i = 0; i < 16; i++) {
            pthread_join(t[i], NULL);
            assert_int_equal(w[i].rc, down ? -1 : 0);
        }
        /* the thread's own, and theirs */
        assert_true(atomic_load(&idp.metadata) <= 2);
        amld_key_keeper_stop(k);
    }
}


static int
reaches(amld_key_keeper_t *k, const char **why)
{
    amld_discovery_t m;
    int rc = amld_key_keeper_reach(k, &the_daemon()->issuers[0], &m, why);

    assert_int_equal(m.token_endpoint != NULL, rc == 0);
    amld_discovery_clear(&m);

    return rc == 0;
}


static void
reached(void **state)
{
    amld_key_keeper_t *k = start();
    const char *why;
    waiter_t w = {k, &the_daemon()->issuers[0], -3};
    unsigned n;

    (void) state;

    assert_true(reaches(k, &why));
    n = atomic_load(&idp.metadata);

    /* it is there, whatever it says */
    behave("404 No", 0);
    WAIT_FOR(!reaches(k, &why) || atomic_load(&idp.metadata) > n);
    assert_true(reaches(k, &why));

    /* and not, though what it said is known */
    behave("503 Busy", 0);
    WAIT_FOR(!reaches(k, &why));
    assert_string_equal(why, "it answers with an error");
    (void) ask_metadata(&w);
    assert_int_equal(w.rc, 0);

    tls_server_down(idp.server);
    WAIT_FOR(!reaches(k, &why) && strcmp(why, "it can't be reached") == 0);

    behave("200 OK", 0);
    tls_server_listen(idp.server, idp.server->port);
    WAIT_FOR(reaches(k, &why));

    amld_key_keeper_stop(k);
}


static void *
ask_until_asked(void *data)
{
    waiter_t *w = data;
    const char *why;
    unsigned n = atomic_load(&idp.metadata);

    do {
        w->rc = reaches(w->k, &why);
        tls_nap(20);
    } while (atomic_load(&idp.metadata) == n);

    return NULL;
}


/* While it keeps one waiting, it does so to nobody else. */
static void
silent(void **state)
{
    amld_key_keeper_t *k = start();
    waiter_t w = {k, NULL, -3};
    const char *why;
    pthread_t t;
    unsigned n;

    (void) state;

    assert_true(reaches(k, &why));
    behave("200 OK", 1);
    n = atomic_load(&idp.metadata);
    assert_int_equal(pthread_create(&t, NULL, ask_until_asked, &w), 0);
    WAIT_FOR(atomic_load(&idp.metadata) > n);

    assert_true(reaches(k, &why));
    assert_int_equal(atomic_load(&idp.metadata), n + 1);

    tls_server_down(idp.server);
    pthread_join(t, NULL);
    assert_int_equal(w.rc, 0);
    assert_false(reaches(k, &why));

    tls_server_listen(idp.server, idp.server->port);
    amld_key_keeper_stop(k);
}


#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metadata),
        TEST(reached),
        TEST(silent),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
