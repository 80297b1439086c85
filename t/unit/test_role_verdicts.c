/*
 * What the built-in roles allow, action by action, and where: the table in
 * t/data/role-verdicts.json, over a real registry.
 */

#include "t/unit/decide_fixture.h"

#include <ctype.h>
#include <jansson.h>

#include "auth/role_store.h"
#include "auth/roles.h"

#define ROLES 5
#define TABLE "t/data/role-verdicts.json" /* tests run at the root */


static json_t *
table(const char *member)
{
    json_error_t error;
    json_t *all, *part;

    all = json_load_file(TABLE, JSON_REJECT_DUPLICATES, &error);
    if (all == NULL) {
        fail_msg("%d: %s", error.line, error.text);
    }
    part = json_incref(json_object_get(all, member));
    json_decref(all);
    assert_non_null(part);

    return part;
}


static aml_principal_id_t
role_named(env_t *e, const char *name)
{
    aml_registry_txn_t *txn;
    aml_principal_id_t id;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_role_find(txn, name, &id), AML_REGISTRY_OK);
    aml_registry_end(txn);

    return id;
}


static aml_role_t *
role_read(env_t *e, const char *name)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_principal_id_t id = role_named(e, name);
    aml_registry_txn_t *txn;
    aml_role_t *role;
    aml_str_t value;

    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_get(txn, key, aml_key_role(key, &id), &value),
                     AML_REGISTRY_OK);
    role = aml_role_parse(value.p, value.n, NULL, 0);
    aml_registry_end(txn);
    assert_non_null(role);

    return role;
}


/* Every other letter the other way. */
static void
other_case(char *to, const char *from)
{
    int flip = 0;

    for (; *from != '\0'; from++) {
        flip = !flip;
        *to++ = (char) (!flip                            ? *from
                        : islower((unsigned char) *from) ? toupper(*from)
                                                         : tolower(*from));
    }
    *to = '\0';
}


static void
actions(void **state)
{
    json_t *names = table("roles"), *list = table("actions"), *verdicts;
    aml_role_t *roles[ROLES];
    char mixed[256];
    const char *name;
    env_t *e = *state;
    size_t i;

    assert_int_equal(amld_roles_load(e->reg, "auth/builtin-roles.json"), 0);
    assert_int_equal(json_array_size(names), ROLES);
    for (i = 0; i < ROLES; i++) {
        roles[i] = role_read(e, json_string_value(json_array_get(names, i)));
    }
    assert_true(json_object_size(list) >= 60);

    json_object_foreach(list, name, verdicts)
    {
        other_case(mixed, name);
        for (i = 0; i < ROLES; i++) {
            int want = json_string_value(verdicts)[i] == '1';

            if (aml_role_allows(roles[i], aml_str_of(name)) != want ||
                aml_role_allows(roles[i], aml_str_of(mixed)) != want) {
                fail_msg("%s, %s: %d", aml_role_name(roles[i]), name, !want);
            }
        }
    }

    for (i = 0; i < ROLES; i++) {
        assert_false(aml_role_allows(roles[i], aml_str("")));
        aml_role_free(roles[i]);
    }
    json_decref(names);
    json_decref(list);
}


static void
requests(void **state)
{
    json_t *list = table("requests"), *one, *pair, *ask;
    const aml_identity_t who = identity(&alice);
    aml_assignment_t assigned[8];
    const char *method, *path;
    env_t *e = *state;
    size_t i, k;
    int want;

    assert_int_equal(amld_roles_load(e->reg, "auth/builtin-roles.json"), 0);

    json_array_foreach(list, i, one)
    {
        json_array_foreach(json_object_get(one, "assigned"), k, pair)
        {
            assert_true(k < 8);
            assigned[k].role =
                role_named(e, json_string_value(json_array_get(pair, 0)));
            assigned[k].scope =
                aml_str_of(json_string_value(json_array_get(pair, 1)));
        }
        put_principal_with(e, &alice, 0, 0, aml_str("Alice"), assigned,
                           (uint16_t) k);

        json_array_foreach(json_object_get(one, "asks"), k, ask)
        {
            method = json_string_value(json_array_get(ask, 0));
            path = json_string_value(json_array_get(ask, 1));
            want = json_is_true(json_array_get(ask, 2));

            if (action(e, &who, method, path) !=
                (want ? AML_REASON_OK : AML_REASON_ACTION_DENIED)) {
                fail_msg("%s: %s %s",
                         json_string_value(json_object_get(one, "why")), method,
                         path);
            }
        }
    }
    json_decref(list);
}


int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(actions),
        T(requests),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("role verdicts", tests, NULL, NULL);
}
