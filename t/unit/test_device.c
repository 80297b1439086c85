/*
 * Device authorizations and refresh tokens in the registry: each code is good
 * once, however many bring it.
 */

#include "t/unit/scratch.h"

#include <pthread.h>

#include "auth/device.h"
#include "auth/polls.h"
#include "auth/principals.h"
#include "auth/sign_ins.h"
#include "registry/records.h"

#define NOW 1795000000

static const aml_principal_id_t alice = {{0xa1}};
static const aml_principal_id_t teams[] = {{{0x71}}, {{0x72}}};


static aml_registry_txn_t *
writing(scratch_t *s)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

    return txn;
}


static aml_principal_id_t
signed_in(scratch_t *s, int unknown)
{
    amld_sign_in_t made = {.principal = alice,
                           .name = "Alice",
                           .method = "oidc",
                           .issuer = "i",
                           .subject = "a",
                           .sid = "sid",
                           .address = "192.0.2.1",
                           .agent = "Browser/1",
                           .created = NOW,
                           .expires = NOW + 1000,
                           .groups_unknown = unknown,
                           .groups = teams,
                           .group_count = 2};
    aml_registry_txn_t *txn = writing(s);

    assert_int_equal(aml_uuid_random(&made.id), 0);
    assert_int_equal(amld_sign_in_begin(txn, &made), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    return made.id;
}


static void
end(scratch_t *s, const aml_principal_id_t *sign_in)
{
    aml_registry_txn_t *txn = writing(s);

    assert_int_equal(amld_sign_in_end(txn, sign_in), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static aml_registry_rc_t
there(scratch_t *s, const aml_principal_id_t *id, char method[16],
      char client[65])
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    amld_sign_in_t found;
    json_t *json;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    rc = amld_sign_in_get(txn, id, &found, &json);
    if (rc == AML_REGISTRY_OK) {
        snprintf(method, 16, "%s", found.method);
        snprintf(client, 65, "%s", found.agent);
    }
    json_decref(json);
    aml_registry_end(txn);

    return rc;
}


static void
create(scratch_t *s, char code[AMLD_SECRET_SIZE],
       char user_code[AMLD_USER_CODE_SIZE])
{
    amld_device_t d = {.client = "aml on box",
                       .address = "198.51.100.9",
                       .agent = "aml/1",
                       .created = NOW};

    assert_int_equal(amld_device_create(s->registry, &d, code, user_code),
                     AML_REGISTRY_OK);
    assert_int_equal(d.expires, NOW + AMLD_DEVICE_LIFETIME);
}


static amld_device_state_t
redeem(scratch_t *s, const char *code, int64_t now, amld_device_grant_t *grant)
{
    aml_registry_rc_t rc;
    amld_device_state_t state =
        amld_device_redeem(s->registry, code, now, 5000, grant, &rc);

    assert_int_equal(rc, AML_REGISTRY_OK);

    return state;
}


static void
user_codes(void **state)
{
    static const char *const good[] = {"BCDF-GHJK", "bcdfghjk", " bcdf ghjk ",
                                       "b.c_d-f-g h j k"};
    static const char *const bad[] = {
        "",          "BCDF-GHJ",  "BCDF-GHJKL",   "ACDF-GHJK",
        "BCDF-GHJ1", "BCDF/GHJK", "BCDF-GHJ\xc3", "BCDFGHJK\n"};
    char code[AMLD_USER_CODE_SIZE];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(amld_user_code(good[i], code), 0);
        assert_string_equal(code, "BCDF-GHJK");
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(amld_user_code(bad[i], code), -1);
    }
    assert_int_equal(amld_user_code(NULL, code), -1);
}


static void
approved(void **state)
{
    char code[AMLD_SECRET_SIZE], user_code[AMLD_USER_CODE_SIZE],
        again[AMLD_USER_CODE_SIZE], method[16], client[65],
        key[AML_REGISTRY_KEY_MAX + 1];
    scratch_t *s = *state;
    aml_principal_id_t by = signed_in(s, 1);
    amld_device_grant_t grant;
    aml_registry_txn_t *txn;
    aml_grant_t brought;
    amld_device_t d;
    aml_str_t value;
    json_t *json;

    create(s, code, user_code);
    assert_int_equal(amld_user_code(user_code, again), 0);
    assert_string_equal(again, user_code);
    assert_int_equal(redeem(s, code, NOW, &grant), AMLD_DEVICE_PENDING);

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_device_find(txn, user_code, NOW, &d, &json),
                     AML_REGISTRY_OK);
    assert_string_equal(d.client, "aml on box");
    assert_string_equal(d.address, "198.51.100.9");
    json_decref(json);
    assert_int_equal(amld_device_find(txn, "BCDF-BCDF", NOW, &d, &json),
                     AML_REGISTRY_NOTFOUND);
    json_decref(json);
    assert_int_equal(amld_device_find(txn, user_code, d.expires, &d, &json),
                     AML_REGISTRY_NOTFOUND);
    json_decref(json);
    aml_registry_end(txn);

    assert_int_equal(
        amld_device_answer(s->registry, user_code, &by, 1, NOW + 10),
        AML_REGISTRY_OK);

    /* an answer is final */
    assert_int_equal(
        amld_device_answer(s->registry, user_code, &by, 0, NOW + 10),
        AML_REGISTRY_NOTFOUND);

    assert_int_equal(redeem(s, code, NOW + 20, &grant), AMLD_DEVICE_APPROVED);
    assert_true(aml_principal_eq(&grant.principal, &alice));
    assert_string_equal(grant.name, "Alice");
    assert_int_equal(grant.expires, NOW + 20 + 5000);
    assert_int_equal(strlen(grant.refresh), AMLD_REFRESH_CHARS);
    assert_int_equal(there(s, &grant.sign_in, method, client), AML_REGISTRY_OK);
    assert_string_equal(method, "device");
    assert_string_equal(client, "aml on box");
    assert_int_equal(scratch_count(s, "device/"), 0);
    assert_int_equal(scratch_count(s, "device-user/"), 0);

    /* with the groups of the one that approved it, and no news of the person:
     * what personal tokens go by is as old as it was */
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(
        aml_registry_get(txn, key, aml_key_grant(key, &grant.sign_in), &value),
        AML_REGISTRY_OK);
    assert_int_equal(aml_grant_decode(value, &brought), AML_RECORD_OK);
    assert_int_equal(brought.group_count, 2);
    assert_int_equal(brought.flags, AML_GRANT_UNKNOWN);
    assert_int_equal(brought.expires, grant.expires);
    assert_int_equal(
        aml_registry_get(txn, key, aml_key_grant(key, &alice), &value),
        AML_REGISTRY_OK);
    assert_int_equal(aml_grant_decode(value, &brought), AML_RECORD_OK);
    assert_int_equal(brought.expires, NOW + AMLD_GROUPS_LIFETIME);
    aml_registry_end(txn);

    /* once */
    assert_int_equal(redeem(s, code, NOW + 20, &grant), AMLD_DEVICE_UNKNOWN);

    /* the provider's session is the browser's only */
    assert_int_equal(scratch_count(s, "sid/"), 1);
}


static void
refused(void **state)
{
    char code[AMLD_SECRET_SIZE], user_code[AMLD_USER_CODE_SIZE];
    scratch_t *s = *state;
    aml_principal_id_t by = signed_in(s, 0), gone = {{9}};
    amld_device_grant_t grant;
    aml_registry_txn_t *txn;
    amld_principal_t p;

    create(s, code, user_code);
    assert_int_equal(amld_device_answer(s->registry, user_code, &gone, 1, NOW),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_device_answer(s->registry, user_code, &by, 1,
                                        NOW + AMLD_DEVICE_LIFETIME),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_device_answer(s->registry, user_code, &by, 0, NOW),
                     AML_REGISTRY_OK);
    assert_int_equal(redeem(s, code, NOW, &grant), AMLD_DEVICE_DENIED);
    assert_int_equal(redeem(s, code, NOW + AMLD_DEVICE_LIFETIME, &grant),
                     AMLD_DEVICE_EXPIRED);

    /* who approved has signed out meanwhile */
    create(s, code, user_code);
    assert_int_equal(amld_device_answer(s->registry, user_code, &by, 1, NOW),
                     AML_REGISTRY_OK);
    end(s, &by);
    assert_int_equal(redeem(s, code, NOW, &grant), AMLD_DEVICE_DENIED);
    assert_int_equal(scratch_count(s, "sign-in-of/"), 0);

    /* or is disabled */
    by = signed_in(s, 0);
    create(s, code, user_code);
    assert_int_equal(amld_device_answer(s->registry, user_code, &by, 1, NOW),
                     AML_REGISTRY_OK);
    txn = writing(s);
    assert_int_equal(amld_principal_load(txn, &alice, &p), AML_REGISTRY_OK);
    p.flags |= AML_PRINCIPAL_DISABLED;
    assert_int_equal(amld_principal_store(txn, &alice, &p), AML_REGISTRY_OK);
    amld_principal_clear(&p);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(redeem(s, code, NOW, &grant), AMLD_DEVICE_DENIED);
    assert_int_equal(scratch_count(s, "refresh/"), 0);

    /* what is no code at all */
    assert_int_equal(redeem(s, "", NOW, &grant), AMLD_DEVICE_UNKNOWN);
    code[0] = code[0] == 'a' ? 'b' : 'a';
    assert_int_equal(redeem(s, code, NOW, &grant), AMLD_DEVICE_UNKNOWN);
}


typedef struct {
    scratch_t *scratch;
    char text[AMLD_REFRESH_SIZE];
    pthread_barrier_t *barrier;
    int won, rc;
} racer_t;


static void *
race_redeem(void *data)
{
    racer_t *r = data;
    amld_device_grant_t grant;
    aml_registry_rc_t rc;

    pthread_barrier_wait(r->barrier);
    r->won = amld_device_redeem(r->scratch->registry, r->text, NOW, 5000,
                                &grant, &rc) == AMLD_DEVICE_APPROVED;

    return NULL;
}


static void *
race_refresh(void *data)
{
    amld_refresh_use_t use;
    racer_t *r = data;

    pthread_barrier_wait(r->barrier);
    r->rc = amld_refresh_use(r->scratch->registry, r->text, "aml on box", NOW,
                             &use);

    return NULL;
}


/* How many of eight at once have won. */
static unsigned
race(scratch_t *s, const char *text, void *(*run)(void *), racer_t racers[8])
{
    pthread_barrier_t barrier;
    pthread_t threads[8];
    unsigned i, won = 0;

    pthread_barrier_init(&barrier, NULL, 8);
    for (i = 0; i < 8; i++) {
        memset(&racers[i], 0, sizeof(racers[i]));
        racers[i].scratch = s;
        racers[i].barrier = &barrier;
        strcpy(racers[i].text, text);
        assert_int_equal(pthread_create(&threads[i], NULL, run, &racers[i]), 0);
    }
    for (i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        won += racers[i].won;
    }
    pthread_barrier_destroy(&barrier);

    return won;
}


static void
races(void **state)
{
    char code[AMLD_SECRET_SIZE], user_code[AMLD_USER_CODE_SIZE];
    scratch_t *s = *state;
    aml_principal_id_t by = signed_in(s, 0);
    amld_device_grant_t grant;
    racer_t racers[8];
    unsigned i, round, used, reused;

    for (round = 0; round < 10; round++) {
        create(s, code, user_code);
        assert_int_equal(
            amld_device_answer(s->registry, user_code, &by, 1, NOW),
            AML_REGISTRY_OK);
        assert_int_equal(race(s, code, race_redeem, racers), 1);
    }
    assert_int_equal(scratch_count(s, "refresh/"), 10);
    assert_int_equal(scratch_count(s, "sign-in-of/"), 11);

    /* of a refresh token two uses at once are good, as the answer to the first
     * may be lost, and the next ends it all */
    create(s, code, user_code);
    assert_int_equal(amld_device_answer(s->registry, user_code, &by, 1, NOW),
                     AML_REGISTRY_OK);
    assert_int_equal(redeem(s, code, NOW, &grant), AMLD_DEVICE_APPROVED);
    (void) race(s, grant.refresh, race_refresh, racers);
    for (i = 0, used = 0, reused = 0; i < 8; i++) {
        used += racers[i].rc == AML_REGISTRY_OK;
        reused += racers[i].rc == AML_REGISTRY_DENIED;
        assert_true(racers[i].rc == AML_REGISTRY_OK ||
                    racers[i].rc == AML_REGISTRY_DENIED ||
                    racers[i].rc == AML_REGISTRY_NOTFOUND);
    }
    assert_int_equal(used, 2);
    assert_int_equal(reused, 1);
    assert_int_equal(scratch_count(s, "sign-in-of/"), 11);
}


static aml_registry_rc_t
use(scratch_t *s, const char *text, const char *client, int64_t now,
    char next[AMLD_REFRESH_SIZE])
{
    amld_refresh_use_t use;
    aml_registry_rc_t rc;

    rc = amld_refresh_use(s->registry, text, client, now, &use);
    strcpy(next, use.next);

    return rc;
}


static aml_principal_id_t
refreshable(scratch_t *s, char first[AMLD_REFRESH_SIZE])
{
    aml_principal_id_t sign_in = signed_in(s, 0);
    aml_registry_txn_t *txn = writing(s);

    assert_int_equal(
        amld_refresh_create(txn, &sign_in, "box", NOW + 900, first),
        AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    return sign_in;
}


/* It has been used, and nobody knows whether the answer came. */
static void
lost_answers(void **state)
{
    static const struct {
        int after;        /* seconds, until the first comes again */
        int second_first; /* what it brought was used before that */
        int good;
    } cases[] = {
        {0, 0, 1},
        {AMLD_REFRESH_GRACE, 0, 1},
        {AMLD_REFRESH_GRACE + 1, 0, 0},
        {-1, 0, 0},
        {0, 1, 0},
    };
    char first[AMLD_REFRESH_SIZE], second[AMLD_REFRESH_SIZE],
        next[AMLD_REFRESH_SIZE], method[16], client[65];
    amld_refresh_use_t again;
    scratch_t *s = *state;
    aml_principal_id_t id;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        id = refreshable(s, first);
        assert_int_equal(use(s, first, "box", NOW + 9, second),
                         AML_REGISTRY_OK);
        if (cases[i].second_first) {
            assert_int_equal(use(s, second, "box", NOW + 9, next),
                             AML_REGISTRY_OK);
        }
        assert_int_equal(
            amld_refresh_use(s->registry, first, "another", NOW + 9, &again),
            AML_REGISTRY_NOTFOUND);
        assert_int_equal(amld_refresh_use(s->registry, first, "box",
                                          NOW + 9 + cases[i].after, &again),
                         cases[i].good ? AML_REGISTRY_OK : AML_REGISTRY_DENIED);
        assert_int_equal(again.again, cases[i].good);
        assert_int_equal(there(s, &id, method, client),
                         cases[i].good ? AML_REGISTRY_OK
                                       : AML_REGISTRY_NOTFOUND);
    }
}


/* After that all is as it was before. */
static void
lost_once(void **state)
{
    char first[AMLD_REFRESH_SIZE], lost[AMLD_REFRESH_SIZE],
        second[AMLD_REFRESH_SIZE], third[AMLD_REFRESH_SIZE],
        next[AMLD_REFRESH_SIZE], method[16], client[65];
    const char *const stolen[] = {first, lost, first};
    scratch_t *s = *state;
    aml_principal_id_t id;
    size_t i;

    for (i = 0; i < 3; i++) {
        id = refreshable(s, first);
        assert_int_equal(use(s, first, "box", NOW, lost), AML_REGISTRY_OK);
        assert_int_equal(use(s, first, "box", NOW, second), AML_REGISTRY_OK);
        assert_string_not_equal(lost, second);

        /* the first a third time, what was taken for lost, the first after
         * what it has brought has been used */
        if (i == 2) {
            assert_int_equal(use(s, second, "box", NOW, third),
                             AML_REGISTRY_OK);
            assert_int_equal(use(s, second, "box", NOW, third),
                             AML_REGISTRY_OK);
        }
        assert_int_equal(use(s, stolen[i], "box", NOW, next),
                         AML_REGISTRY_DENIED);
        assert_int_equal(there(s, &id, method, client), AML_REGISTRY_NOTFOUND);
        assert_int_equal(use(s, i == 2 ? third : second, "box", NOW, next),
                         AML_REGISTRY_NOTFOUND);
    }
}


static void
refreshing(void **state)
{
    char first[AMLD_REFRESH_SIZE], second[AMLD_REFRESH_SIZE],
        third[AMLD_REFRESH_SIZE], forged[AMLD_REFRESH_SIZE], method[16],
        client[65], from[AML_REGISTRY_KEY_MAX + 1] = "";
    scratch_t *s = *state;
    aml_principal_id_t sign_in = signed_in(s, 0), other = signed_in(s, 0);
    aml_registry_txn_t *txn = writing(s);
    size_t n;

    assert_int_equal(
        amld_refresh_create(txn, &sign_in, "box", NOW + 100, first),
        AML_REGISTRY_OK);
    assert_int_equal(amld_refresh_create(txn, &other, "box", NOW + 100, forged),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    /* for nobody else, and not for ever */
    assert_int_equal(use(s, first, "another", NOW, second),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(use(s, first, "box", NOW + 100, second),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(use(s, "", "box", NOW, second), AML_REGISTRY_NOTFOUND);

    assert_int_equal(use(s, first, "box", NOW, second), AML_REGISTRY_OK);
    assert_string_not_equal(first, second);
    assert_int_equal(use(s, second, "box", NOW, third), AML_REGISTRY_OK);

    /* who does not know the family ends nothing */
    memcpy(forged + 48, first + 48, AMLD_SECRET_CHARS);
    forged[10] = forged[10] == 'a' ? 'b' : 'a';
    assert_int_equal(use(s, forged, "box", NOW, second), AML_REGISTRY_NOTFOUND);
    assert_int_equal(there(s, &sign_in, method, client), AML_REGISTRY_OK);
    assert_int_equal(there(s, &other, method, client), AML_REGISTRY_OK);

    /* the first once more: it is in the wrong hands, or was */
    assert_int_equal(use(s, first, "box", NOW, forged), AML_REGISTRY_DENIED);
    assert_int_equal(there(s, &sign_in, method, client), AML_REGISTRY_NOTFOUND);
    assert_int_equal(use(s, third, "box", NOW, forged), AML_REGISTRY_NOTFOUND);
    assert_int_equal(there(s, &other, method, client), AML_REGISTRY_OK);

    /* the sweep takes what has nothing to refresh */
    assert_int_equal(scratch_count(s, "refresh/"), 1);
    assert_int_equal(amld_refresh_sweep(s->registry, NOW, 10, from, &n),
                     AML_REGISTRY_OK);
    assert_int_equal(n, 0);
    end(s, &other);
    assert_int_equal(amld_refresh_sweep(s->registry, NOW, 10, from, &n),
                     AML_REGISTRY_OK);
    assert_int_equal(n, 1);
    assert_string_equal(from, "");
    assert_int_equal(scratch_count(s, "refresh/"), 0);
}


static void
sweep(void **state)
{
    char code[AMLD_SECRET_SIZE], user_code[AMLD_USER_CODE_SIZE];
    scratch_t *s = *state;
    size_t i, n;

    for (i = 0; i < 3; i++) {
        create(s, code, user_code);
    }
    assert_int_equal(
        amld_devices_sweep(s->registry, NOW + AMLD_DEVICE_LIFETIME, &n),
        AML_REGISTRY_OK);
    assert_int_equal(n, 0);
    assert_int_equal(
        amld_devices_sweep(s->registry,
                           NOW + AMLD_DEVICE_LIFETIME + AMLD_DEVICE_LINGER, &n),
        AML_REGISTRY_OK);
    assert_int_equal(n, 3);
    assert_int_equal(scratch_count(s, "device"), 0);
}


/* A stranger who asks for ever fills no disk. */
static void
bounded(void **state)
{
    char code[AMLD_SECRET_SIZE], user_code[AMLD_USER_CODE_SIZE], key[96];
    scratch_t *s = *state;
    aml_registry_txn_t *txn = writing(s);
    amld_device_t d = {
        .client = "x", .address = "", .agent = "", .created = NOW};
    size_t i;

    for (i = 0; i < AMLD_DEVICES_MOST - 1; i++) {
        snprintf(key, sizeof(key), "device/%064zu", i);
        assert_int_equal(aml_registry_put(txn, key, strlen(key), "{}", 2),
                         AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(amld_device_create(s->registry, &d, code, user_code),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_device_create(s->registry, &d, code, user_code),
                     AML_REGISTRY_LIMIT);
    assert_int_equal(scratch_count(s, "device-user/"), 1);
}


static void
polls(void **state)
{
    amld_polls_t *p = amld_polls_new();
    uint8_t one[32] = {1}, other[32] = {2};

    (void) state;
    assert_non_null(p);

    assert_false(amld_polls_hasty(p, one, 5, 1000));
    assert_false(amld_polls_hasty(p, other, 5, 1000));
    assert_false(amld_polls_hasty(p, one, 5, 5000));
    assert_true(amld_polls_hasty(p, one, 5, 8000));
    /* ten seconds from then on */
    assert_true(amld_polls_hasty(p, one, 5, 14000));
    assert_false(amld_polls_hasty(p, one, 5, 28000));
    assert_true(amld_polls_hasty(p, one, 5, 33000));
    assert_false(amld_polls_hasty(p, other, 5, 33000));

    amld_polls_free(p);
    amld_polls_free(NULL);
}


#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_codes),
        TEST(approved),
        TEST(refused),
        TEST(races),
        TEST(refreshing),
        TEST(lost_answers),
        TEST(lost_once),
        TEST(sweep),
        TEST(bounded),
        cmocka_unit_test(polls),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
