/*
 * What they may do: applications and roles, over a real registry.
 */

#include "t/unit/decide_fixture.h"

#include <jansson.h>


/* ---- may they ---- */

static void
applications(void **state)
{
    static const struct {
        aml_instance_state_t state;
        aml_reason_t reason;
    } t[] = {
        {AML_INSTANCE_UNKNOWN, AML_REASON_INSTANCE_FAILED},
        {AML_INSTANCE_CREATING, AML_REASON_INSTANCE_STARTING},
        {AML_INSTANCE_STARTING, AML_REASON_INSTANCE_STARTING},
        {AML_INSTANCE_RESTARTING, AML_REASON_INSTANCE_STARTING},
        {AML_INSTANCE_STOPPING, AML_REASON_INSTANCE_STOPPING},
        {AML_INSTANCE_DELETING, AML_REASON_INSTANCE_STOPPING},
        {AML_INSTANCE_STOPPED, AML_REASON_INSTANCE_STOPPED},
        {AML_INSTANCE_FAILED, AML_REASON_INSTANCE_FAILED},
        {AML_INSTANCE_RUNNING, AML_REASON_PORT_NOT_OPEN},
    };
    const aml_identity_t creator = identity(&alice), other = identity(&bob);
    aml_identity_t nobody = identity(&alice);
    char key[AML_REGISTRY_KEY_MAX + 1], name[16];
    env_t *e = *state;
    size_t i;

    nobody.credential = AML_CREDENTIAL_NONE;

    assert_int_equal(application(e, &creator, "lab", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        aml_reason_t with_port =
            t[i].state == AML_INSTANCE_RUNNING ? AML_REASON_OK : t[i].reason;

        snprintf(name, sizeof(name), "lab%zu", i);
        put_route(e, name, 0, t[i].state);
        assert_int_equal(application(e, &creator, name, 8888), t[i].reason);
        assert_int_equal(application(e, &other, name, 8888),
                         AML_REASON_NOT_CREATOR);

        put_route(e, name, 8888, t[i].state);
        assert_int_equal(application(e, &creator, name, 8888), with_port);
        assert_int_equal(application(e, &other, name, 8888),
                         AML_REASON_NOT_CREATOR);
        assert_int_equal(application(e, &nobody, name, 8888),
                         AML_REASON_SIGN_IN_REQUIRED);

        /* other ports of the same instance */
        assert_int_equal(application(e, &creator, name, 8787), t[i].reason);
        assert_int_equal(application(e, &other, name, 8787),
                         AML_REASON_NOT_CREATOR);
    }

    /* the instance's own record is no application */
    assert_int_equal(application(e, &creator, "lab8", 0),
                     AML_REASON_PORT_NOT_OPEN);
    assert_int_equal(application(e, &creator, "lab8", 65536 + 8888),
                     AML_REASON_PORT_NOT_OPEN);

    /* names that are none */
    assert_int_equal(application(e, &creator, "", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);
    assert_int_equal(application(e, &creator, "LAB8", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);
    assert_int_equal(application(e, &creator, "lab8/8888", 8888),
                     AML_REASON_INSTANCE_NOT_FOUND);

    spoil(e, key, aml_key_route(key, aml_str("lab8"), 8888));
    assert_int_equal(application(e, &creator, "lab8", 8888),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    spoil(e, key, aml_key_route(key, aml_str("lab8"), 0));
    assert_int_equal(application(e, &creator, "lab8", 1),
                     AML_REASON_REGISTRY_UNAVAILABLE);
}


/* Without an address the port's own state says what there is. */
static void
on_demand(void **state)
{
    static const struct {
        aml_instance_state_t state;
        aml_reason_t reason;
    } t[] = {
        {AML_INSTANCE_STOPPED, AML_REASON_APPLICATION_NOT_STARTED},
        {AML_INSTANCE_STARTING, AML_REASON_APPLICATION_STARTING},
        {AML_INSTANCE_FAILED, AML_REASON_APPLICATION_FAILED},
        {AML_INSTANCE_RUNNING, AML_REASON_REGISTRY_UNAVAILABLE},
        {AML_INSTANCE_UNKNOWN, AML_REASON_REGISTRY_UNAVAILABLE},
        {AML_INSTANCE_DELETING, AML_REASON_REGISTRY_UNAVAILABLE},
    };
    const aml_identity_t creator = identity(&alice), other = identity(&bob);
    const aml_identity_t nobody = {.credential = AML_CREDENTIAL_NONE};
    env_t *e = *state;
    size_t i;

    put_route(e, "demand", 0, AML_INSTANCE_RUNNING);
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        put_demand(e, "demand", 8787, t[i].state);
        assert_int_equal(application(e, &creator, "demand", 8787), t[i].reason);
        assert_int_equal(application(e, &other, "demand", 8787),
                         AML_REASON_NOT_CREATOR);
        assert_int_equal(application(e, &nobody, "demand", 8787),
                         AML_REASON_SIGN_IN_REQUIRED);
        assert_int_equal(application(e, &creator, "demand", 8080),
                         AML_REASON_PORT_NOT_OPEN);
    }

    put_route(e, "demand", 8787, AML_INSTANCE_RUNNING);
    assert_int_equal(application(e, &creator, "demand", 8787), AML_REASON_OK);
}


/* On a port of people's own it is a custom service; with an address whoever
 * listens there is asked first. */
static void
services(void **state)
{
    static const struct {
        aml_instance_state_t state;
        aml_reason_t reason;
        aml_reason_t with_address;
    } t[] = {
        {AML_INSTANCE_STOPPED, AML_REASON_SERVICE_STOPPED, AML_REASON_OK},
        {AML_INSTANCE_STARTING, AML_REASON_SERVICE_STARTING, AML_REASON_OK},
        {AML_INSTANCE_FAILED, AML_REASON_SERVICE_FAILED, AML_REASON_OK},
        {AML_INSTANCE_RUNNING, AML_REASON_PORT_NOT_OPEN, AML_REASON_OK},
        {AML_INSTANCE_DELETING, AML_REASON_PORT_NOT_OPEN,
         AML_REASON_INSTANCE_STOPPING},
    };
    const aml_identity_t creator = identity(&alice), other = identity(&bob);
    const aml_identity_t nobody = {.credential = AML_CREDENTIAL_NONE};
    aml_target_t target = {.port = 5000};
    env_t *e = *state;
    size_t i;

    put_route(e, "lab", 0, AML_INSTANCE_RUNNING);
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        put_demand(e, "lab", 5000, t[i].state);
        assert_int_equal(application(e, &creator, "lab", 5000), t[i].reason);
        assert_int_equal(application(e, &other, "lab", 5000),
                         AML_REASON_NOT_CREATOR);
        assert_int_equal(application(e, &nobody, "lab", 5000),
                         AML_REASON_SIGN_IN_REQUIRED);

        target.route.state = t[i].state;
        assert_int_equal(aml_decide_silent(&target), t[i].reason);

        put_route(e, "lab", 5000, t[i].state);
        assert_int_equal(application(e, &creator, "lab", 5000),
                         t[i].with_address);
        assert_int_equal(application(e, &other, "lab", 5000),
                         AML_REASON_NOT_CREATOR);
    }

    target.port = 0;
    target.route.state = AML_INSTANCE_STOPPED;
    assert_int_equal(aml_decide_silent(&target), AML_REASON_PORT_NOT_OPEN);
}


/* A record that lies under another port's key. */
static void
misplaced_routes(void **state)
{
    const aml_identity_t creator = identity(&alice);
    char key[AML_REGISTRY_KEY_MAX + 1], copy[512];
    aml_registry_txn_t *txn;
    env_t *e = *state;
    aml_str_t value;
    size_t n;

    put_route(e, "lab", 22, AML_INSTANCE_RUNNING);
    n = aml_key_route(key, aml_str("lab"), 22);
    assert_int_equal(aml_registry_read(e->reg, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_get(txn, key, n, &value), AML_REGISTRY_OK);
    assert_true(value.n <= sizeof(copy));
    memcpy(copy, value.p, value.n);
    aml_registry_end(txn);

    store(e, key, aml_key_route(key, aml_str("lab"), 80), copy, value.n, 0);
    assert_int_equal(application(e, &creator, "lab", 22), AML_REASON_OK);
    assert_int_equal(application(e, &creator, "lab", 80),
                     AML_REASON_REGISTRY_UNAVAILABLE);
}


static void
put_builtin_roles(env_t *e)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *text;
    json_t *all, *one;
    aml_principal_id_t id;
    size_t i;

    all = json_load_file("auth/builtin-roles.json", 0, NULL);
    assert_non_null(all);
    json_array_foreach(all, i, one)
    {
        assert_int_equal(aml_uuid_parse(aml_str_of(json_string_value(
                                            json_object_get(one, "name"))),
                                        &id),
                         0);
        text = json_dumps(one, JSON_COMPACT);
        store(e, key, aml_key_role(key, &id), text, strlen(text), 0);
        free(text);
    }
    json_decref(all);
}


static void
assign(env_t *e, const char *role, const char *scope, const char *role2,
       const char *scope2)
{
    aml_assignment_t list[2];
    uint16_t count = 0;

    if (role != NULL) {
        assert_int_equal(aml_uuid_parse(aml_str_of(role), &list[count].role),
                         0);
        list[count++].scope = aml_str_of(scope);
    }
    if (role2 != NULL) {
        assert_int_equal(aml_uuid_parse(aml_str_of(role2), &list[count].role),
                         0);
        list[count++].scope = aml_str_of(scope2);
    }
    put_principal_with(e, &alice, 0, 0, aml_str("Alice"), list, count);
}


static void
actions(void **state)
{
    static const char path[] = WORKSPACE "/computes/lab";
    const aml_identity_t who = identity(&alice), other = identity(&bob);
    aml_identity_t nobody = identity(&alice);
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_principal_id_t contributor;
    env_t *e = *state;

    nobody.credential = AML_CREDENTIAL_NONE;
    assert_int_equal(aml_uuid_parse(aml_str(CONTRIBUTOR), &contributor), 0);
    put_builtin_roles(e);

    /* a stranger, and someone without roles */
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_ACTION_DENIED);
    assign(e, NULL, NULL, NULL, NULL);
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_ACTION_DENIED);

    assign(e, CONTRIBUTOR, WORKSPACE, NULL, NULL);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_OK);
    assert_int_equal(action(e, &who, "GET", WORKSPACE "/computes"),
                     AML_REASON_OK);
    assert_int_equal(action(e, &nobody, "PUT", path),
                     AML_REASON_SIGN_IN_REQUIRED);
    assert_int_equal(action(e, &other, "PUT", path), AML_REASON_ACTION_DENIED);

    /* there and below, and nowhere else */
    assert_int_equal(
        action(e, &who, "GET",
               "/subscriptions/s/resourceGroups/g/providers/M/workspaces"),
        AML_REASON_ACTION_DENIED);
    assert_int_equal(action(e, &who, "GET", WORKSPACE "2/computes"),
                     AML_REASON_ACTION_DENIED);
    assign(e, CONTRIBUTOR, "/", NULL, NULL);
    assert_int_equal(action(e, &who, "GET", WORKSPACE "2/computes"),
                     AML_REASON_OK);
    assert_int_equal(
        action(e, &who, "PUT",
               WORKSPACE
               "/providers/Microsoft.Authorization/roleAssignments/r"),
        AML_REASON_ACTION_DENIED);

    /* roles are united */
    assign(e, READER, WORKSPACE, NULL, NULL);
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_OK);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_ACTION_DENIED);
    assign(e, READER, WORKSPACE, CONTRIBUTOR, path);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_OK);
    assert_int_equal(action(e, &who, "PUT", WORKSPACE "/computes/lab2"),
                     AML_REASON_ACTION_DENIED);

    /* a role that was deleted, one that is broken, one that is another */
    store(e, key, aml_key_role(key, &contributor), NULL, 0, 0);
    assert_int_equal(action(e, &who, "PUT", path), AML_REASON_ACTION_DENIED);
    store(e, key, aml_key_role(key, &contributor), "{", 1, 0);
    assert_int_equal(action(e, &who, "PUT", path),
                     AML_REASON_REGISTRY_UNAVAILABLE);
    assert_int_equal(action(e, &who, "GET", path), AML_REASON_OK);
    store(e, key, aml_key_role(key, &contributor),
          "{\"Name\":\"x\",\"Id\":\"" READER "\",\"Actions\":[\"*\"]}",
          strlen("{\"Name\":\"x\",\"Id\":\"" READER "\",\"Actions\":[\"*\"]}"),
          0);
    assert_int_equal(action(e, &who, "PUT", path),
                     AML_REASON_REGISTRY_UNAVAILABLE);

    spoil(e, key, aml_key_principal(key, &alice));
    assert_int_equal(action(e, &who, "GET", path),
                     AML_REASON_REGISTRY_UNAVAILABLE);
}


int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(applications), T(actions),  T(misplaced_routes),
        T(on_demand),    T(services),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
