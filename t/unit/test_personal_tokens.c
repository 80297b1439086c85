/*
 * Personal access tokens in the registry, and as the gateway takes them.
 */

#include "t/unit/scratch.h"

#include "auth/accounts.h"
#include "auth/decide.h"
#include "auth/personal_tokens.h"
#include "auth/principals.h"
#include "auth/sessions.h"

#define NOW 1795000000

static const aml_principal_id_t alice = {{0xa1}}, bob = {{0xb0}};


static aml_registry_txn_t *
writing(scratch_t *s)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

    return txn;
}


static void
person(scratch_t *s, const aml_principal_id_t *id, uint32_t flags,
       int64_t not_before)
{
    static char name[] = "Alice", issuer[] = "i";
    amld_principal_t p = {.name = name,
                          .issuer = issuer,
                          .flags = flags,
                          .not_before = not_before};
    aml_registry_txn_t *txn = writing(s);

    assert_int_equal(amld_principal_store(txn, id, &p), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static aml_registry_rc_t
make(scratch_t *s, const aml_principal_id_t *principal, int64_t expires,
     aml_personal_token_t *t, char text[AMLD_TOKEN_SIZE])
{
    aml_personal_token_t made = {.principal = *principal,
                                 .created = NOW,
                                 .expires = expires,
                                 .label = aml_str("nightly"),
                                 .action_count = 1,
                                 .actions = {aml_str("A/*/read")}};
    aml_registry_txn_t *txn = writing(s);
    aml_registry_rc_t rc;

    rc = amld_personal_token_create(txn, &made, text);
    *t = made;
    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static aml_reason_t
asked(scratch_t *s, const char *text, int64_t now)
{
    aml_decider_t *d = aml_decider_new(4);
    aml_registry_txn_t *txn;
    aml_identity_t who;
    aml_reason_t rc;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    rc = aml_identify_token(d, txn, aml_str_of(text), now, &who);
    aml_registry_end(txn);
    aml_decider_free(d);

    return rc;
}


static int
count_each(void *data, const aml_personal_token_t *t, const uint8_t hash[32])
{
    (void) hash;
    assert_true(aml_str_eq(t->label, aml_str("nightly")));
    (*(size_t *) data)++;

    return 0;
}


static size_t
count(scratch_t *s, const aml_principal_id_t *principal)
{
    aml_registry_txn_t *txn;
    size_t n = 0;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_personal_tokens_each(txn, principal, count_each, &n),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);

    return n;
}


static void
nothing_left(scratch_t *s)
{
    assert_int_equal(scratch_count(s, "token/"), 0);
    assert_int_equal(scratch_count(s, "token-of/"), 0);
    assert_int_equal(scratch_count(s, "token-seen/"), 0);
}


static aml_registry_rc_t
take_back(scratch_t *s, const aml_principal_id_t *principal,
          const aml_principal_id_t *id)
{
    aml_registry_txn_t *txn = writing(s);
    aml_registry_rc_t rc = amld_personal_token_revoke(txn, principal, id);

    if (rc != AML_REGISTRY_OK) {
        aml_registry_end(txn);
        return rc;
    }

    return aml_registry_commit(txn);
}


static void
making(void **state)
{
    char text[AMLD_TOKEN_SIZE], other[AMLD_TOKEN_SIZE];
    scratch_t *s = *state;
    aml_personal_token_t t;

    /* of nobody, and of somebody who is out */
    assert_int_equal(make(s, &alice, NOW + 10, &t, text),
                     AML_REGISTRY_NOTFOUND);
    person(s, &bob, AML_PRINCIPAL_DISABLED, 0);
    assert_int_equal(make(s, &bob, NOW + 10, &t, text), AML_REGISTRY_DENIED);
    nothing_left(s);

    person(s, &alice, 0, NOW + 1);
    assert_int_equal(make(s, &alice, NOW + 10, &t, text), AML_REGISTRY_OK);
    assert_int_equal(strlen(text), AML_TOKEN_CHARS);
    assert_memory_equal(text, AML_TOKEN_PREFIX, strlen(AML_TOKEN_PREFIX));
    assert_int_equal(make(s, &alice, NOW + 10, &t, other), AML_REGISTRY_OK);
    assert_string_not_equal(text, other);

    /* it counts from the person's not-before, and is good until it expires */
    assert_int_equal(t.created, NOW + 1);
    assert_int_equal(asked(s, text, NOW + 1), AML_REASON_OK);
    assert_int_equal(asked(s, text, NOW + 10), AML_REASON_TOKEN_EXPIRED);
    text[20] = text[20] == 'a' ? 'b' : 'a';
    assert_int_equal(asked(s, text, NOW), AML_REASON_TOKEN_UNKNOWN);

    assert_int_equal(count(s, &alice), 2);
    assert_int_equal(count(s, &bob), 0);
    assert_int_equal(count(s, NULL), 2);
}


static void
limit(void **state)
{
    char text[AMLD_TOKEN_SIZE];
    scratch_t *s = *state;
    aml_personal_token_t t;
    int i;

    person(s, &alice, 0, 0);
    person(s, &bob, 0, 0);

    /* what has expired does not count */
    assert_int_equal(make(s, &alice, NOW, &t, text), AML_REGISTRY_OK);
    for (i = 0; i < AMLD_TOKENS_MOST; i++) {
        assert_int_equal(make(s, &alice, NOW + 10, &t, text), AML_REGISTRY_OK);
    }
    assert_int_equal(make(s, &alice, NOW + 10, &t, text), AML_REGISTRY_LIMIT);
    assert_int_equal(make(s, &bob, NOW + 10, &t, text), AML_REGISTRY_OK);
    assert_int_equal(take_back(s, &bob, &t.id), AML_REGISTRY_OK);
}


static void
revoking(void **state)
{
    char one[AMLD_TOKEN_SIZE], two[AMLD_TOKEN_SIZE], key[160],
        hex[AMLD_HASH_HEX_SIZE];
    scratch_t *s = *state;
    aml_personal_token_t first, second;
    aml_registry_txn_t *txn;
    aml_decider_t *d;
    aml_identity_t who;
    size_t n;

    person(s, &alice, 0, 0);
    person(s, &bob, 0, 0);
    assert_int_equal(make(s, &alice, NOW + 10, &first, one), AML_REGISTRY_OK);
    assert_int_equal(make(s, &alice, NOW + 10, &second, two), AML_REGISTRY_OK);

    /* a use that was noted */
    d = aml_decider_new(4);
    txn = writing(s);
    assert_int_equal(aml_identify_token(d, txn, aml_str_of(one), NOW, &who),
                     AML_REASON_OK);
    amld_hash_format(who.session, hex);
    snprintf(key, sizeof(key), "token-seen/%s", hex);
    assert_int_equal(amld_personal_token_seen(txn, who.session), 0);
    assert_int_equal(
        aml_registry_put(txn, key, strlen(key), "{\"seen\":77}", 11),
        AML_REGISTRY_OK);
    assert_int_equal(amld_personal_token_seen(txn, who.session), 77);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    aml_decider_free(d);

    /* another's, by whoever knows the id */
    assert_int_equal(take_back(s, &bob, &first.id), AML_REGISTRY_NOTFOUND);
    assert_int_equal(asked(s, one, NOW), AML_REASON_OK);

    assert_int_equal(take_back(s, &alice, &first.id), AML_REGISTRY_OK);
    assert_int_equal(take_back(s, &alice, &first.id), AML_REGISTRY_NOTFOUND);
    assert_int_equal(asked(s, one, NOW), AML_REASON_TOKEN_UNKNOWN);
    assert_int_equal(asked(s, two, NOW), AML_REASON_OK);
    assert_int_equal(scratch_count(s, "token-seen/"), 0);

    txn = writing(s);
    assert_int_equal(amld_personal_tokens_end_of(txn, &bob, &n),
                     AML_REGISTRY_OK);
    assert_int_equal(n, 0);
    assert_int_equal(amld_personal_tokens_end_of(txn, &alice, &n),
                     AML_REGISTRY_OK);
    assert_int_equal(n, 1);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(asked(s, two, NOW), AML_REASON_TOKEN_UNKNOWN);
    nothing_left(s);
}


static void
with_the_account(void **state)
{
    char text[AMLD_TOKEN_SIZE];
    scratch_t *s = *state;
    aml_personal_token_t t;
    amld_account_t a;

    assert_int_equal(
        amld_account_add(s->registry, "alice", "open sesame", NOW, &a),
        AMLD_ACCOUNT_OK);
    assert_int_equal(make(s, &a.principal, NOW + 10, &t, text),
                     AML_REGISTRY_OK);
    assert_int_equal(
        amld_account_set_password(s->registry, "alice", "sesame open", NOW),
        AMLD_ACCOUNT_OK);
    nothing_left(s);

    assert_int_equal(make(s, &a.principal, NOW + 10, &t, text),
                     AML_REGISTRY_OK);
    assert_int_equal(asked(s, text, NOW + 1), AML_REASON_OK);
    assert_int_equal(amld_account_remove(s->registry, "alice", NOW),
                     AMLD_ACCOUNT_OK);
    assert_int_equal(asked(s, text, NOW + 1), AML_REASON_TOKEN_UNKNOWN);
    nothing_left(s);
}


static void
sweep(void **state)
{
    char text[AMLD_TOKEN_SIZE], from[AML_REGISTRY_KEY_MAX + 1] = "";
    scratch_t *s = *state;
    aml_personal_token_t t;
    size_t removed, total = 0, rounds = 0;
    int i;

    person(s, &alice, 0, 0);
    for (i = 0; i < 9; i++) {
        assert_int_equal(make(s, &alice, NOW + 1 + i % 2, &t, text),
                         AML_REGISTRY_OK);
    }

    do {
        assert_int_equal(
            amld_personal_tokens_sweep(s->registry, NOW + 1, 4, from, &removed),
            AML_REGISTRY_OK);
        assert_true(removed <= 4);
        total += removed;
        rounds++;
    } while (*from != '\0');

    assert_int_equal(total, 5);
    assert_int_equal(rounds, 3);
    assert_int_equal(count(s, &alice), 4);
    assert_int_equal(scratch_count(s, "token-of/"), 4);

    assert_int_equal(
        amld_personal_tokens_sweep(s->registry, NOW + 2, 100, from, &removed),
        AML_REGISTRY_OK);
    assert_int_equal(removed, 4);
    nothing_left(s);
}


#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(making),           TEST(limit), TEST(revoking),
        TEST(with_the_account), TEST(sweep),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("personal_tokens", tests, NULL, NULL);
}
