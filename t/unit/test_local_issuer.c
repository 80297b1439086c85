/*
 * The local issuer: its tokens hold at the gateway, and its keys come and go.
 */

#include "t/unit/scratch.h"

#include "auth/decide.h"
#include "auth/local_issuer.h"

#define NOW 1795000000
#define DAY 86400
#define LIFETIME (30 * DAY)
#define TOKEN 3600


static amld_config_t
settings(void)
{
    static char studio[] = "https://aml.localhost:8443";
    amld_config_t c;

    memset(&c, 0, sizeof(c));
    c.studio = studio;
    c.token_lifetime = TOKEN;
    c.key_lifetime = LIFETIME;

    return c;
}


static amld_account_t
account(scratch_t *s)
{
    amld_account_t a;

    assert_int_equal(
        amld_account_add(s->registry, "alice", "open sesame", NOW, &a),
        AMLD_ACCOUNT_OK);

    return a;
}


static aml_reason_t
verify(scratch_t *s, const char *token, int64_t now, aml_identity_t *who)
{
    aml_decider_t *d = aml_decider_new(16);
    aml_registry_txn_t *txn;
    aml_identity_t ignored;
    aml_reason_t reason;

    assert_non_null(d);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    reason = aml_identify_token(d, txn, aml_str_of(token), now,
                                who != NULL ? who : &ignored);
    aml_registry_end(txn);
    aml_decider_free(d);

    return reason;
}


static amld_account_rc_t
mint_for(scratch_t *s, const amld_config_t *c, const amld_account_t *a,
         int64_t now, char **token)
{
    amld_mint_t m = {a->principal, a->name, NULL, a};

    return amld_issuer_mint(s->registry, c, &m, now, token);
}


static char *
mint(scratch_t *s, const amld_config_t *c, const amld_account_t *a, int64_t now)
{
    char *token;

    assert_int_equal(mint_for(s, c, a, now, &token), AMLD_ACCOUNT_OK);
    assert_non_null(token);

    return token;
}


typedef struct {
    amld_signing_key_t key[8];
    size_t n;
} keys_t;


static int
collect(void *data, const amld_signing_key_t *key)
{
    keys_t *keys = data;

    assert_true(keys->n < 8);
    keys->key[keys->n++] = *key;

    return 0;
}


static keys_t
keys(scratch_t *s)
{
    keys_t k = {.n = 0};

    assert_int_equal(amld_issuer_each(s->registry, collect, &k), 0);

    return k;
}


static uint64_t
generation(scratch_t *s, uint64_t *version)
{
    aml_registry_txn_t *txn;
    uint64_t g;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    g = aml_registry_key_generation(txn);
    *version = aml_registry_version(txn);
    aml_registry_end(txn);

    return g;
}


static void
token_holds(void **state)
{
    scratch_t *s = *state;
    amld_config_t c = settings();
    amld_account_t alice = account(s), other;
    aml_identity_t who;
    char *token;

    /* no key yet */
    assert_int_equal(mint_for(s, &c, &alice, NOW, &token), AMLD_ACCOUNT_FAILED);
    assert_null(token);

    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW), 0);
    token = mint(s, &c, &alice, NOW);

    assert_int_equal(verify(s, token, NOW, &who), AML_REASON_OK);
    assert_true(aml_principal_eq(&who.principal, &alice.principal));
    assert_int_equal(who.name_len, 5);
    assert_memory_equal(who.name, "alice", 5);
    assert_int_equal(who.expires, NOW + TOKEN);
    assert_int_equal(verify(s, token, NOW + TOKEN + AMLD_ISSUER_LEEWAY, NULL),
                     AML_REASON_TOKEN_EXPIRED);

    /* a new password voids it, and one who was checked before gets none */
    assert_int_equal(
        amld_account_set_password(s->registry, "alice", "close sesame", NOW),
        AMLD_ACCOUNT_OK);
    assert_int_equal(verify(s, token, NOW, NULL), AML_REASON_PRINCIPAL_REVOKED);
    free(token);
    assert_int_equal(mint_for(s, &c, &alice, NOW, &token),
                     AMLD_ACCOUNT_REFUSED);

    /* but the new password gets one within the same second */
    assert_int_equal(
        amld_account_check(s->registry, "alice", "close sesame", &other),
        AMLD_ACCOUNT_OK);
    token = mint(s, &c, &other, NOW);
    assert_int_equal(verify(s, token, NOW, NULL), AML_REASON_OK);

    assert_int_equal(amld_account_remove(s->registry, "alice", NOW),
                     AMLD_ACCOUNT_OK);
    assert_int_equal(verify(s, token, NOW + 2, NULL),
                     AML_REASON_PRINCIPAL_REVOKED);
    free(token);
}


static void
rotation(void **state)
{
    scratch_t *s = *state;
    amld_config_t c = settings();
    amld_account_t alice = account(s);
    char *old, *new;
    uint64_t version, same, g;
    int64_t turn = NOW + LIFETIME;
    keys_t k;

    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW), 0);
    k = keys(s);
    assert_int_equal(k.n, 1);
    assert_int_equal(k.key[0].signs, NOW);
    assert_int_equal(k.key[0].retires, 0);

    /* nothing to do: nothing is written */
    g = generation(s, &version);
    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW + DAY), 0);
    assert_int_equal(generation(s, &same), g);
    assert_int_equal(version, same);

    /* the next is there before it signs, and the gateway hears of it */
    assert_int_equal(amld_issuer_tend(s->registry, &c, turn - 3600), 0);
    k = keys(s);
    assert_int_equal(k.n, 2);
    assert_int_equal(k.key[1].signs, turn);
    assert_int_equal(k.key[0].retires, turn + TOKEN + AMLD_ISSUER_LEEWAY);
    assert_true(generation(s, &version) > g);
    assert_int_equal(scratch_count(s, "key/"), 2);

    old = mint(s, &c, &alice, turn - 1);
    new = mint(s, &c, &alice, turn);
    assert_memory_not_equal(old, new, 100);
    assert_int_equal(verify(s, old, turn - 1, NULL), AML_REASON_OK);

    /* its turn: the old one can sign no more, but what it signed is good */
    assert_int_equal(amld_issuer_tend(s->registry, &c, turn), 0);
    k = keys(s);
    assert_int_equal(k.n, 2);
    assert_false(k.key[0].can_sign);
    assert_true(k.key[1].can_sign);
    assert_int_equal(verify(s, old, turn + TOKEN - 2, NULL), AML_REASON_OK);
    assert_int_equal(verify(s, new, turn, NULL), AML_REASON_OK);

    assert_int_equal(
        amld_issuer_tend(s->registry, &c, turn + TOKEN + AMLD_ISSUER_LEEWAY),
        0);
    assert_int_equal(keys(s).n, 1);
    assert_int_equal(scratch_count(s, "key/"), 1);
    assert_int_equal(scratch_count(s, "signing-key/"), 1);
    assert_int_equal(verify(s, old, turn, NULL), AML_REASON_TOKEN_KEY);

    free(old);
    free(new);
}


static void
at_once(void **state)
{
    scratch_t *s = *state;
    amld_config_t c = settings();
    amld_account_t alice = account(s);
    char kid[AMLD_KID_SIZE], *first, *second, *third;
    keys_t k;

    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW), 0);
    first = mint(s, &c, &alice, NOW);

    assert_int_equal(amld_issuer_rotate(s->registry, &c, NOW + 1, 0, kid), 0);
    second = mint(s, &c, &alice, NOW + 1);
    k = keys(s);
    assert_int_equal(k.n, 2);
    assert_string_equal(k.key[1].kid, kid);
    assert_false(k.key[0].can_sign);
    assert_int_equal(verify(s, first, NOW + 1, NULL), AML_REASON_OK);
    assert_int_equal(verify(s, second, NOW + 1, NULL), AML_REASON_OK);

    assert_int_equal(amld_issuer_rotate(s->registry, &c, NOW + 2, 1, kid), 0);
    k = keys(s);
    assert_int_equal(k.n, 1);
    assert_string_equal(k.key[0].kid, kid);
    assert_int_equal(verify(s, first, NOW + 2, NULL), AML_REASON_TOKEN_KEY);
    assert_int_equal(verify(s, second, NOW + 2, NULL), AML_REASON_TOKEN_KEY);
    third = mint(s, &c, &alice, NOW + 2);
    assert_int_equal(verify(s, third, NOW + 2, NULL), AML_REASON_OK);

    free(first);
    free(second);
    free(third);
}


/* One that waits for its turn gives way to one that signs at once. */
static void
at_once_before_turn(void **state)
{
    scratch_t *s = *state;
    amld_config_t c = settings();
    char kid[AMLD_KID_SIZE];
    keys_t k;

    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW), 0);
    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW + LIFETIME - 10), 0);
    assert_int_equal(keys(s).n, 2);

    assert_int_equal(
        amld_issuer_rotate(s->registry, &c, NOW + LIFETIME - 5, 0, kid), 0);
    k = keys(s);
    assert_int_equal(k.n, 2);
    assert_string_equal(k.key[1].kid, kid);
    assert_int_equal(k.key[1].signs, NOW + LIFETIME - 5);
    assert_int_equal(scratch_count(s, "key/"), 2);
}


/* The clock went back: there is a key that can sign, at once. */
static void
clock_back(void **state)
{
    scratch_t *s = *state;
    amld_config_t c = settings();
    amld_account_t alice;
    char *token;

    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW), 0);
    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW - DAY), 0);

    assert_int_equal(amld_account_add(s->registry, "alice", "open sesame",
                                      NOW - DAY, &alice),
                     AMLD_ACCOUNT_OK);
    token = mint(s, &c, &alice, NOW - DAY);
    assert_int_equal(verify(s, token, NOW - DAY, NULL), AML_REASON_OK);
    free(token);
}


static void
origin_changes(void **state)
{
    scratch_t *s = *state;
    static char moved[] = "https://aml.example.org";
    amld_config_t c = settings();
    amld_account_t alice = account(s);
    char *old, *new;

    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW), 0);
    old = mint(s, &c, &alice, NOW);

    c.studio = moved;
    assert_int_equal(amld_issuer_tend(s->registry, &c, NOW + 1), 0);
    new = mint(s, &c, &alice, NOW + 1);

    assert_int_equal(scratch_count(s, "issuer/"), 1);
    assert_int_equal(scratch_count(s, "key/"), 1);
    assert_int_equal(verify(s, old, NOW + 1, NULL), AML_REASON_TOKEN_ISSUER);
    assert_int_equal(verify(s, new, NOW + 1, NULL), AML_REASON_OK);

    free(old);
    free(new);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(token_holds, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(rotation, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(at_once, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(at_once_before_turn, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(clock_back, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(origin_changes, scratch_setup,
                                        scratch_teardown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("local_issuer", tests, NULL, NULL);
}
