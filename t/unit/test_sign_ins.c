/*
 * Sign-ins: what they bring, what ends with them, what a sweep leaves.
 */

#include "t/unit/scratch.h"

#include "auth/decide.h"
#include "auth/principals.h"
#include "auth/sessions.h"
#include "auth/sign_ins.h"

#define NOW 1795000000
#define ISS "https://id.example.org/realm"

static const aml_principal_id_t alice = {{0xa1}}, bob = {{0xb0}};
static const aml_principal_id_t team = {{0x71}};


static amld_sign_in_t
sign_in_of(const aml_principal_id_t *principal, const char *sid)
{
    amld_sign_in_t s = {.principal = *principal,
                        .name = "Alice",
                        .method = "oidc",
                        .issuer = ISS,
                        .subject = "a",
                        .sid = sid,
                        .address = "192.0.2.1",
                        .agent = "Browser/1",
                        .created = NOW,
                        .expires = NOW + 100,
                        .groups = &team,
                        .group_count = 1};

    assert_int_equal(aml_uuid_random(&s.id), 0);

    return s;
}


static aml_registry_txn_t *
writing(scratch_t *s)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

    return txn;
}


/* With a session, whose cookie `secret` gets. */
static amld_sign_in_t
begin(scratch_t *s, const aml_principal_id_t *principal, const char *sid,
      char secret[AMLD_SECRET_SIZE])
{
    amld_sign_in_t made = sign_in_of(principal, sid);
    aml_registry_txn_t *txn = writing(s);

    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_session_create(txn, principal, &made.id, "h", NOW,
                                         made.expires, secret),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    return made;
}


static aml_reason_t
asked(scratch_t *s, const char *secret)
{
    aml_decider_t *d = aml_decider_new(4);
    aml_registry_txn_t *txn;
    aml_identity_t who;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    rc = aml_identify_session(d, txn, aml_str_of(secret), aml_str("h"), NOW,
                              &who);
    aml_registry_end(txn);
    aml_decider_free(d);

    return rc;
}


static aml_grant_t
grant_of(scratch_t *s, const aml_principal_id_t *id)
{
    static char room[8192];
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_txn_t *txn;
    aml_grant_t grant;
    aml_str_t value;
    size_t n = aml_key_grant(key, id);

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_get(txn, key, n, &value), AML_REGISTRY_OK);
    memcpy(room, value.p, value.n);
    aml_registry_end(txn);
    assert_int_equal(aml_grant_decode((aml_str_t){room, value.n}, &grant),
                     AML_RECORD_OK);

    return grant;
}


static int
count_each(void *data, const amld_sign_in_t *s)
{
    assert_string_equal(s->method, "oidc");
    (*(size_t *) data)++;

    return 0;
}


static size_t
count(scratch_t *s, const aml_principal_id_t *principal)
{
    size_t n = 0;
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_ins_each(txn, principal, count_each, &n),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    return n;
}


static void
nothing_left(scratch_t *s)
{
    static const char *const families[] = {"session/", "sign-in/", "sid/",
                                           "sign-in-of/"};
    size_t i;

    for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        assert_int_equal(scratch_count(s, families[i]), 0);
    }
}


static void
test_begin(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE];
    amld_sign_in_t made = begin(s, &alice, "s1", secret), read;
    aml_registry_txn_t *txn;
    aml_grant_t grant;
    amld_principal_t p;
    aml_principal_id_t id;
    json_t *json;

    assert_int_equal(asked(s, secret), AML_REASON_OK);

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_get(txn, &made.id, &read, &json),
                     AML_REGISTRY_OK);
    assert_true(aml_principal_eq(&read.principal, &alice));
    assert_string_equal(read.agent, "Browser/1");
    assert_string_equal(read.address, "192.0.2.1");
    assert_string_equal(read.sid, "s1");
    assert_int_equal(read.created, NOW);
    assert_int_equal(read.seen, NOW);
    assert_int_equal(read.expires, NOW + 100);
    json_decref(json);
    assert_int_equal(amld_sign_in_get(txn, &bob, &read, &json),
                     AML_REGISTRY_NOTFOUND);
    assert_null(json);

    /* somebody who was never here has a record now */
    assert_int_equal(amld_principal_load(txn, &alice, &p), AML_REGISTRY_OK);
    assert_string_equal(p.name, "Alice");
    assert_string_equal(p.issuer, ISS);
    amld_principal_clear(&p);
    aml_registry_end(txn);

    grant = grant_of(s, &made.id);
    assert_int_equal(grant.expires, NOW + 100);
    assert_int_equal(grant.group_count, 1);
    id = aml_grant_group(&grant, 0);
    assert_true(aml_principal_eq(&id, &team));
    assert_int_equal(grant_of(s, &alice).expires, NOW + AMLD_GROUPS_LIFETIME);

    /* a name changes; roles stay */
    made.name = "Alice B.";
    made.sid = "";
    assert_int_equal(aml_uuid_random(&made.id), 0);
    txn = writing(s);
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_load(txn, &alice, &p), AML_REGISTRY_OK);
    assert_string_equal(p.name, "Alice B.");

    /* whoever signs in is no group, whatever they were taken for */
    p.flags = AML_PRINCIPAL_GROUP;
    assert_int_equal(amld_principal_store(txn, &alice, &p), AML_REGISTRY_OK);
    amld_principal_clear(&p);
    assert_int_equal(aml_uuid_random(&made.id), 0);
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_load(txn, &alice, &p), AML_REGISTRY_OK);
    assert_int_equal(p.flags, 0);

    /* who is disabled does not sign in */
    p.flags = AML_PRINCIPAL_DISABLED;
    assert_int_equal(amld_principal_store(txn, &alice, &p), AML_REGISTRY_OK);
    amld_principal_clear(&p);
    assert_int_equal(aml_uuid_random(&made.id), 0);
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_DENIED);
    aml_registry_end(txn);
}


/* A client's name for itself is anything. */
static void
test_agent(void **state)
{
    scratch_t *s = *state;
    char agent[600];
    amld_sign_in_t made = sign_in_of(&alice, ""), read;
    aml_registry_txn_t *txn = writing(s);
    json_t *json;

    memset(agent, 'x', sizeof(agent));
    memcpy(agent + 255, "\xc3\xa9", 2);
    agent[sizeof(agent) - 1] = '\0';
    made.agent = agent;
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_get(txn, &made.id, &read, &json),
                     AML_REGISTRY_OK);
    assert_int_equal(strlen(read.agent), 255);
    json_decref(json);

    made.agent = "\xff\xfe";
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_get(txn, &made.id, &read, &json),
                     AML_REGISTRY_OK);
    assert_string_equal(read.agent, "");
    json_decref(json);
    aml_registry_end(txn);
}


static void
test_end(void **state)
{
    scratch_t *s = *state;
    char one[AMLD_SECRET_SIZE], two[AMLD_SECRET_SIZE], hers[AMLD_SECRET_SIZE];
    amld_sign_in_t first = begin(s, &alice, "s1", one);
    amld_sign_in_t second = begin(s, &alice, "s2", two);
    aml_registry_txn_t *txn;
    size_t ended;

    (void) begin(s, &bob, "s3", hers);
    assert_int_equal(count(s, &alice), 2);

    txn = writing(s);
    assert_int_equal(amld_sign_in_end(txn, &first.id), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_end(txn, &first.id), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(asked(s, one), AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(asked(s, two), AML_REASON_OK);
    assert_int_equal(count(s, &alice), 1);

    /* all but this one */
    first = begin(s, &alice, "s1", one);
    txn = writing(s);
    assert_int_equal(amld_sign_ins_end_of(txn, &alice, &second.id, &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 1);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(asked(s, one), AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(asked(s, two), AML_REASON_OK);

    txn = writing(s);
    assert_int_equal(amld_sign_ins_end_of(txn, &alice, NULL, &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(asked(s, two), AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(asked(s, hers), AML_REASON_OK);

    txn = writing(s);
    assert_int_equal(amld_sign_ins_end_of(txn, &bob, NULL, NULL),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    nothing_left(s);
}


/* What a provider's logout ends: that session of that provider. */
static void
test_end_sid(void **state)
{
    scratch_t *s = *state;
    char one[AMLD_SECRET_SIZE], two[AMLD_SECRET_SIZE], hers[AMLD_SECRET_SIZE];
    aml_registry_txn_t *txn;
    size_t ended;

    (void) begin(s, &alice, "s/1", one);
    (void) begin(s, &alice, "s/1", two);
    (void) begin(s, &bob, "s", hers);

    txn = writing(s);
    assert_int_equal(
        amld_sign_ins_end_sid(txn, "https://other/", "s/1", &alice, &ended),
        AML_REGISTRY_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(amld_sign_ins_end_sid(txn, ISS, "s/1", &alice, &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 2);
    assert_int_equal(amld_sign_ins_end_sid(txn, ISS, "", &alice, &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(asked(s, one), AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(asked(s, two), AML_REASON_SESSION_UNKNOWN);
    assert_int_equal(asked(s, hers), AML_REASON_OK);

    txn = writing(s);
    assert_int_equal(amld_sign_ins_end_sid(txn, ISS, "", &bob, &ended),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 1);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    nothing_left(s);
}


static void
test_update(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE];
    amld_sign_in_t made = begin(s, &alice, "s1", secret), read;
    aml_registry_txn_t *txn = writing(s);
    json_t *json;

    made.name = "Ada";
    made.expires = NOW + 500;
    made.group_count = 0;
    made.groups_unknown = 1;
    assert_int_equal(amld_sign_in_update(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_get(txn, &made.id, &read, &json),
                     AML_REGISTRY_OK);
    assert_string_equal(read.name, "Ada");
    assert_string_equal(read.sid, "s1");
    assert_int_equal(read.expires, NOW + 500);
    json_decref(json);

    /* a refresh that says it is somebody else is nobody's */
    made.principal = bob;
    assert_int_equal(amld_sign_in_update(txn, &made), AML_REGISTRY_DENIED);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(grant_of(s, &made.id).flags, AML_GRANT_UNKNOWN);
    assert_int_equal(grant_of(s, &made.id).group_count, 0);
    assert_int_equal(grant_of(s, &made.id).expires, NOW + 500);
}


static void
over_each(void *data, const aml_principal_id_t *id,
          const aml_principal_id_t *principal, int idle)
{
    (void) id;
    assert_true(aml_principal_eq(principal, &alice) ||
                aml_principal_eq(principal, &bob));
    ((unsigned *) data)[idle]++;
}


static void
test_sweep(void **state)
{
    scratch_t *s = *state;
    char secret[AMLD_SECRET_SIZE], from[AML_REGISTRY_KEY_MAX + 1] = "";
    amld_sign_in_t made[5];
    aml_registry_txn_t *txn;
    size_t i, ended, total = 0, rounds = 0;
    unsigned seen[2] = {0};

    for (i = 0; i < 5; i++) {
        made[i] = begin(s, i % 2 == 0 ? &alice : &bob, "", secret);
    }

    /* not yet */
    assert_int_equal(amld_sign_ins_sweep(s->registry, NOW + 99, 0, 100, from,
                                         &ended, over_each, seen),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 0);
    assert_string_equal(from, "");

    /* idle: all but the one that was used */
    txn = writing(s);
    assert_int_equal(amld_sign_in_seen(txn, &made[2].id, NOW + 40),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_sign_in_seen(txn, &made[2].id, NOW + 30),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    do {
        assert_int_equal(amld_sign_ins_sweep(s->registry, NOW + 60, 50, 2, from,
                                             &ended, over_each, seen),
                         AML_REGISTRY_OK);
        assert_true(ended <= 2);
        total += ended;
        rounds++;
    } while (*from != '\0');
    assert_int_equal(total, 4);
    assert_int_equal(rounds, 3);
    assert_int_equal(count(s, &alice), 1);

    /* past its end, however lively */
    assert_int_equal(amld_sign_ins_sweep(s->registry, NOW + 100, 0, 100, from,
                                         &ended, over_each, seen),
                     AML_REGISTRY_OK);
    assert_int_equal(ended, 1);
    nothing_left(s);

    /* each was told of, and why */
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 4);
}


/* However often somebody signs in, and nobody else pays for it. */
static void
test_most(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn = writing(s);
    amld_sign_in_t first, made, others;
    size_t i;

    others = sign_in_of(&bob, "");
    others.created = NOW - 1000;
    assert_int_equal(amld_sign_in_begin(txn, &others), AML_REGISTRY_OK);

    for (i = 0; i < AMLD_SIGN_INS_MOST + 3; i++) {
        made = sign_in_of(&alice, "");
        made.created = NOW + (int64_t) i;
        assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
        if (i == 0) {
            first = made;
        }
        if (i == 1) {
            /* the first one is in use: the next goes before it */
            assert_int_equal(amld_sign_in_seen(txn, &first.id, NOW + 5000),
                             AML_REGISTRY_OK);
        }
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(count(s, &alice), AMLD_SIGN_INS_MOST);
    assert_int_equal(count(s, &bob), 1);
    assert_int_equal(grant_of(s, &first.id).expires, first.expires);
}


#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_begin),   TEST(test_agent),  TEST(test_end),
        TEST(test_end_sid), TEST(test_update), TEST(test_sweep),
        TEST(test_most),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
