/*
 * Sessions, sign-ins, single-use codes.
 */

#include "t/unit/scratch.h"

#include "auth/accounts.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"

#define NOW 1795000000
#define HOST "lab1.instances.aml.localhost:8443"
#define SESSION_HOST "lab1.instances.aml.localhost"

typedef struct {
    amld_account_t account;
    aml_principal_id_t sign_in;
    char secret[AMLD_SECRET_SIZE]; /* of the studio's session */
    uint8_t hash[32];
    char browser_secret[AMLD_SECRET_SIZE];
    uint8_t browser[32];
} person_t;


static void
create(scratch_t *s, const person_t *p, const char *host, int64_t expires,
       char secret[AMLD_SECRET_SIZE])
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_session_create(txn, &p->account.principal,
                                         &p->sign_in, host, NOW, expires,
                                         secret),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
sign_in(scratch_t *s, const person_t *p)
{
    amld_sign_in_t made = {.id = p->sign_in,
                           .principal = p->account.principal,
                           .name = p->account.name,
                           .method = "password",
                           .issuer = AMLD_LOCAL_SPACE,
                           .subject = "",
                           .sid = "",
                           .address = "",
                           .agent = "",
                           .created = NOW,
                           .expires = NOW + 3600};
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static person_t
person(scratch_t *s, const char *name)
{
    person_t p;

    memset(&p, 0, sizeof(p));
    assert_int_equal(
        amld_account_add(s->registry, name, "open sesame", NOW, &p.account),
        AMLD_ACCOUNT_OK);
    assert_int_equal(aml_uuid_random(&p.sign_in), 0);
    sign_in(s, &p);
    create(s, &p, "aml.localhost", NOW + 3600, p.secret);
    assert_int_equal(amld_secret_hash(p.secret, p.hash), 0);
    assert_int_equal(amld_secret_new(p.browser_secret, p.browser), 0);

    return p;
}


static void
code(scratch_t *s, const person_t *p, char secret[AMLD_SECRET_SIZE])
{
    amld_code_t c = {.host = HOST, .session_expires = NOW + 3600};

    memcpy(c.browser, p->browser, sizeof(c.browser));
    c.principal = p->account.principal;
    c.sign_in = p->sign_in;
    assert_int_equal(amld_code_create(s->registry, &c, NOW, secret),
                     AML_REGISTRY_OK);
}


static aml_registry_rc_t
redeem(scratch_t *s, const char *secret, const char *host,
       const uint8_t browser[32], int64_t now, char session[AMLD_SECRET_SIZE])
{
    return amld_code_redeem(s->registry, secret, host, SESSION_HOST, browser,
                            NULL, now, session);
}


static aml_registry_rc_t
get(scratch_t *s, const char *secret, aml_session_t *session)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    uint8_t hash[32];

    assert_int_equal(amld_secret_hash(secret, hash), 0);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    rc = amld_session_get(txn, hash, session);
    aml_registry_end(txn);

    return rc;
}


static void
secrets(void **state)
{
    char a[AMLD_SECRET_SIZE], b[AMLD_SECRET_SIZE], hex[AMLD_HASH_HEX_SIZE];
    uint8_t hash[32], other[32];

    (void) state;

    assert_int_equal(amld_secret_new(a, hash), 0);
    assert_int_equal(amld_secret_new(b, other), 0);
    assert_int_equal(strlen(a), 43);
    assert_string_not_equal(a, b);

    amld_hash_format(hash, hex);
    assert_int_equal(amld_hash_parse(hex, other), 0);
    assert_memory_equal(hash, other, 32);

    assert_int_equal(amld_secret_hash(NULL, hash), -1);
    assert_int_equal(amld_secret_hash("", hash), -1);
    assert_int_equal(amld_secret_hash("short", hash), -1);
    a[5] = '+';
    assert_int_equal(amld_secret_hash(a, hash), -1);
    hex[3] = 'G';
    assert_int_equal(amld_hash_parse(hex, other), -1);
    hex[3] = 'A'; /* one spelling only */
    assert_int_equal(amld_hash_parse(hex, other), -1);
    assert_int_equal(amld_hash_parse(NULL, other), -1);
}


static void
sign_in_ends_as_one(void **state)
{
    scratch_t *s = *state;
    char at_one[AMLD_SECRET_SIZE], at_two[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice"), bob = person(s, "bob");
    aml_registry_txn_t *txn;
    aml_session_t session;

    create(s, &alice, "one.apps", NOW + 60, at_one);
    create(s, &alice, "two.apps", NOW + 60, at_two);

    /* ends one alone */
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_session_end(txn, alice.hash), AML_REGISTRY_OK);
    assert_int_equal(amld_session_end(txn, alice.hash), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(get(s, alice.secret, &session), AML_REGISTRY_NOTFOUND);
    assert_int_equal(get(s, at_one, &session), AML_REGISTRY_OK);

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sessions_end_in(txn, &alice.sign_in),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(get(s, at_one, &session), AML_REGISTRY_NOTFOUND);
    assert_int_equal(get(s, at_two, &session), AML_REGISTRY_NOTFOUND);
    assert_int_equal(get(s, bob.secret, &session), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 1);
    assert_int_equal(scratch_count(s, "sign-in/"), 1);
}


/* One more takes the place of the one that was there. */
static void
one_a_host(void **state)
{
    scratch_t *s = *state;
    char first[AMLD_SECRET_SIZE], next[AMLD_SECRET_SIZE],
        other[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice"), bob = person(s, "bob");
    aml_registry_txn_t *txn;
    aml_session_t session;
    uint8_t hash[32];
    int i;

    create(s, &bob, "one.apps", NOW + 60, other);
    create(s, &alice, "one.apps", NOW + 60, first);

    for (i = 0; i < 20; i++) {
        create(s, &alice, "one.apps", NOW + 60, next);
        assert_int_equal(get(s, first, &session), AML_REGISTRY_NOTFOUND);
        assert_int_equal(get(s, next, &session), AML_REGISTRY_OK);
        memcpy(first, next, sizeof(first));
    }

    assert_int_equal(get(s, other, &session), AML_REGISTRY_OK);
    assert_int_equal(get(s, alice.secret, &session), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 4);
    assert_int_equal(scratch_count(s, "sign-in/"), 4);

    assert_int_equal(amld_secret_hash(next, hash), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_session_end(txn, hash), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 3);
    assert_int_equal(scratch_count(s, "sign-in/"), 3);
}


/* With their sign-in, and nothing is left. */
static void
all_end(scratch_t *s, const person_t *p)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sessions_end_in(txn, &p->sign_in), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 0);
    assert_int_equal(scratch_count(s, "sign-in/"), 0);
}


/* Those that were made longest ago go, but not the first. */
static void
most_hosts(void **state)
{
    enum {
        MORE = 3
    };
    static char made[AMLD_SESSIONS_MOST + MORE][AMLD_SECRET_SIZE];
    scratch_t *s = *state;
    person_t alice = person(s, "alice");
    char host[64], again[AMLD_SECRET_SIZE];
    aml_registry_txn_t *txn;
    aml_session_t session;
    int i, gone;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < AMLD_SESSIONS_MOST + MORE; i++) {
        snprintf(host, sizeof(host), "one-%d.apps", 60000 - i);
        assert_int_equal(amld_session_create(txn, &alice.account.principal,
                                             &alice.sign_in, host, NOW,
                                             NOW + 60, made[i]),
                         AML_REGISTRY_OK);
        if (i == 1) { /* anew: it is among the last now */
            assert_int_equal(amld_session_create(
                                 txn, &alice.account.principal, &alice.sign_in,
                                 "one-60000.apps", NOW, NOW + 60, again),
                             AML_REGISTRY_OK);
        }
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(scratch_count(s, "session/"), AMLD_SESSIONS_MOST);
    assert_int_equal(scratch_count(s, "sign-in/"), AMLD_SESSIONS_MOST);
    assert_int_equal(get(s, alice.secret, &session), AML_REGISTRY_OK);

    /* with the studio's that is MORE + 1 too many: 60000 in its first session
     * was replaced, so 59999, 60000 and two others */
    assert_int_equal(get(s, again, &session), AML_REGISTRY_NOTFOUND);
    for (i = 0; i < AMLD_SESSIONS_MOST + MORE; i++) {
        gone = i < MORE + 1;
        assert_int_equal(get(s, made[i], &session),
                         gone ? AML_REGISTRY_NOTFOUND : AML_REGISTRY_OK);
    }

    all_end(s, &alice);
}


/* Makes the session's entry what earlier releases wrote: the hash for a name,
 * no value. */
static void
enter_as_before(scratch_t *s, const person_t *p, const char *host,
                const char *secret)
{
    char key[AML_REGISTRY_KEY_MAX + 1], hex[AMLD_HASH_HEX_SIZE],
        uuid[AML_UUID_TEXT + 1];
    aml_registry_txn_t *txn;
    uint8_t hash[32];
    int n;

    assert_int_equal(amld_secret_hash(secret, hash), 0);
    amld_hash_format(hash, hex);
    aml_uuid_format(&p->sign_in, uuid);

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    n = snprintf(key, sizeof(key), "sign-in/%s/%s", uuid, host);
    assert_int_equal(aml_registry_del(txn, key, (size_t) n), AML_REGISTRY_OK);
    n = snprintf(key, sizeof(key), "sign-in/%s/%s", uuid, hex);
    assert_int_equal(aml_registry_put(txn, key, (size_t) n, "", 0),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
of_earlier_releases(void **state)
{
    scratch_t *s = *state;
    char old[2][AMLD_SECRET_SIZE], made[AMLD_SECRET_SIZE],
        secret[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice");
    aml_registry_txn_t *txn;
    aml_session_t session;
    uint8_t hash[32];
    int i;

    enter_as_before(s, &alice, "aml.localhost", alice.secret);
    for (i = 0; i < 2; i++) {
        create(s, &alice, "one.apps", NOW + 60, old[i]);
        enter_as_before(s, &alice, "one.apps", old[i]);
    }
    assert_int_equal(scratch_count(s, "session/"), 3);

    /* they are good, and lead to others */
    code(s, &alice, secret);
    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_OK);
    create(s, &alice, "one.apps", NOW + 60, made);
    assert_int_equal(get(s, old[0], &session), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "sign-in/"), 5);

    /* one ends by itself, and takes no other's entry */
    assert_int_equal(amld_secret_hash(old[0], hash), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_session_end(txn, hash), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 4);
    assert_int_equal(scratch_count(s, "sign-in/"), 4);
    create(s, &alice, "one.apps", NOW + 60, secret);
    assert_int_equal(get(s, made, &session), AML_REGISTRY_NOTFOUND);

    /* the others with the sign-in, or as they expire */
    assert_int_equal(amld_sessions_sweep(s->registry, NOW + 60, NULL),
                     AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 2);
    assert_int_equal(scratch_count(s, "sign-in/"), 2);
    all_end(s, &alice);
}


/* A browser that has the session already, as of another tab, keeps it. */
static void
code_where_there_is_one(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE], made[AMLD_SECRET_SIZE],
        next[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice"), bob = person(s, "bob");
    aml_session_t session;
    uint8_t hash[32];
    size_t i;

    code(s, &alice, secret);
    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_secret_hash(made, hash), 0);

    code(s, &alice, secret);
    assert_int_equal(amld_code_redeem(s->registry, secret, HOST, SESSION_HOST,
                                      alice.browser, hash, NOW, next),
                     AML_REGISTRY_OK);
    assert_string_equal(next, "");
    assert_int_equal(scratch_count(s, "code/"), 0);
    assert_int_equal(scratch_count(s, "session/"), 3);

    /* of another host, of somebody else, over, none */
    const uint8_t *const others[] = {alice.hash, bob.hash, hash, hash};
    for (i = 0; i < 4; i++) {
        code(s, i == 2 ? &bob : &alice, secret);
        assert_int_equal(amld_code_redeem(s->registry, secret, HOST,
                                          SESSION_HOST,
                                          i == 2 ? bob.browser : alice.browser,
                                          others[i], NOW, next),
                         AML_REGISTRY_OK);
        assert_int_equal(strlen(next), AMLD_SECRET_CHARS);
        assert_int_equal(get(s, next, &session), AML_REGISTRY_OK);
    }
    assert_int_equal(get(s, made, &session), AML_REGISTRY_NOTFOUND);
    assert_int_equal(scratch_count(s, "session/"), 4);
}


static void
code_is_good_once(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE], made[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice");
    aml_registry_txn_t *txn;
    aml_session_t session;
    uint8_t hash[32];

    code(s, &alice, secret);
    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW + 59, made),
                     AML_REGISTRY_OK);

    assert_int_equal(amld_secret_hash(made, hash), 0);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_session_get(txn, hash, &session), AML_REGISTRY_OK);
    assert_true(aml_str_eq(session.host, aml_str(SESSION_HOST)));
    assert_true(aml_principal_eq(&session.principal, &alice.account.principal));
    assert_true(aml_principal_eq(&session.sign_in, &alice.sign_in));
    /* no longer than the sign-in that it comes from */
    assert_int_equal(session.expires, NOW + 3600);
    aml_registry_end(txn);

    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(scratch_count(s, "code/"), 0);
    assert_int_equal(scratch_count(s, "session/"), 2);
}


/* Each of these also takes the code: there is no second try. */
static void
code_is_bound(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE], made[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice"), bob = person(s, "bob");

    code(s, &alice, secret);
    assert_int_equal(redeem(s, secret, HOST, bob.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);

    code(s, &alice, secret);
    assert_int_equal(redeem(s, secret, "lab2.instances.aml.localhost:8443",
                            alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);

    code(s, &alice, secret);
    assert_int_equal(
        redeem(s, secret, HOST, alice.browser, NOW + AMLD_CODE_LIFETIME, made),
        AML_REGISTRY_NOTFOUND);

    assert_int_equal(redeem(s, NULL, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(redeem(s, "x", HOST, alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);

    assert_int_equal(scratch_count(s, "session/"), 2);
}


static void
code_dies_with_sign_in(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE], made[AMLD_SECRET_SIZE];
    person_t alice = person(s, "alice"), bob = person(s, "bob");
    aml_registry_txn_t *txn;

    code(s, &alice, secret);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sessions_end_in(txn, &alice.sign_in),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);

    code(s, &bob, secret);
    assert_int_equal(amld_account_remove(s->registry, "bob", NOW),
                     AMLD_ACCOUNT_OK);
    assert_int_equal(redeem(s, secret, HOST, bob.browser, NOW, made),
                     AML_REGISTRY_NOTFOUND);

    assert_int_equal(scratch_count(s, "session/"), 0);
}


static void
half_written_code(void **state)
{
    static const char *const bad[] = {"", "{", "[]", "{\"host\":1}", "null"};
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE], made[AMLD_SECRET_SIZE], key[128],
        hex[AMLD_HASH_HEX_SIZE];
    person_t alice = person(s, "alice");
    aml_registry_txn_t *txn;
    uint8_t hash[32];
    size_t i;
    int n;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(amld_secret_new(secret, hash), 0);
        amld_hash_format(hash, hex);
        n = snprintf(key, sizeof(key), "code/%s", hex);
        assert_int_equal(aml_registry_write(s->registry, &txn),
                         AML_REGISTRY_OK);
        assert_int_equal(
            aml_registry_put(txn, key, (size_t) n, bad[i], strlen(bad[i])),
            AML_REGISTRY_OK);
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
        assert_int_not_equal(redeem(s, secret, HOST, alice.browser, NOW, made),
                             AML_REGISTRY_OK);
    }

    assert_int_equal(scratch_count(s, "code/"), 0);
}


static void
sweep(void **state)
{
    scratch_t *s = *state;
    person_t alice = person(s, "alice");
    char secret[AMLD_SECRET_SIZE], host[64];
    aml_registry_txn_t *txn;
    size_t removed, i;

    code(s, &alice, secret);

    /* more than one batch of them */
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < 1200; i++) {
        snprintf(host, sizeof(host), "one-%zu.apps", i + 1);
        assert_int_equal(amld_session_create(txn, &alice.account.principal,
                                             &alice.sign_in, host, NOW,
                                             NOW + 10, secret),
                         AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(amld_sessions_sweep(s->registry, NOW + 9, &removed),
                     AML_REGISTRY_OK);
    assert_int_equal(removed, 0);

    assert_int_equal(amld_sessions_sweep(s->registry, NOW + 10, &removed),
                     AML_REGISTRY_OK);
    assert_int_equal(removed, 1200);
    assert_int_equal(scratch_count(s, "session/"), 1);
    assert_int_equal(scratch_count(s, "sign-in/"), 1);
    assert_int_equal(scratch_count(s, "code/"), 1);

    assert_int_equal(amld_sessions_sweep(s->registry, NOW + 60, &removed),
                     AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "code/"), 0);

    assert_int_equal(amld_sessions_sweep(s->registry, NOW + 3600, NULL),
                     AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "session/"), 0);
    assert_int_equal(scratch_count(s, "sign-in/"), 0);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets),
        cmocka_unit_test_setup_teardown(sign_in_ends_as_one, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(one_a_host, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(most_hosts, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(of_earlier_releases, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(code_where_there_is_one, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(code_is_good_once, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(code_is_bound, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(code_dies_with_sign_in, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(half_written_code, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(sweep, scratch_setup, scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
