/*
 * Role definitions: as they are written, and as the registry has them.
 */

#include "t/unit/scratch.h"

#include <jansson.h>

#include "auth/assignments.h"
#include "auth/principals.h"
#include "auth/role_store.h"
#include "auth/roles.h"
#include "registry/records.h"

#define GUID "01234567-89ab-cdef-0123-456789abcdef"
#define GUID2 "11234567-89ab-cdef-0123-456789abcdef"
#define SUB "/subscriptions/s-1"
#define W SUB "/resourceGroups/rg/providers/M.L/workspaces/demo"


static json_t *
normalised(const char *text, const aml_principal_id_t *id, int custom,
           amld_role_fault_t *fault)
{
    json_error_t error;
    json_t *in = json_loads(text, 0, &error), *role;

    if (in == NULL) {
        fail_msg("%s: %s", error.text, text);
    }
    memset(fault, 0, sizeof(*fault));
    role = amld_role_normalise(in, id, custom, fault);
    json_decref(in);

    return role;
}


/* All that the formats can say comes to the same. */
static void
formats(void **state)
{
    static const char *const t[] = {
        /* Get-AzRoleDefinition | ConvertTo-Json */
        "{\"Name\":\"Trainer\",\"Id\":\"" GUID "\",\"IsCustom\":true,"
        "\"Description\":\"d\",\"Actions\":[\"a/*\"],\"NotActions\":[\"a/b\"],"
        "\"DataActions\":[],\"NotDataActions\":[],\"AssignableScopes\":[\"" W
        "\"],\"Condition\":null,\"ConditionVersion\":null}",
        /* az role definition list */
        "{\"assignableScopes\":[\"" W "\"],\"createdBy\":null,"
        "\"description\":\"d\",\"id\":\"" SUB "/providers/Microsoft."
        "Authorization/roleDefinitions/" GUID "\",\"name\":\"" GUID "\","
        "\"permissions\":[{\"actions\":[\"a/*\"],\"condition\":null,"
        "\"conditionVersion\":null,\"dataActions\":[],\"notActions\":"
        "[\"a/b\"],\"notDataActions\":[]}],\"roleName\":\"Trainer\","
        "\"roleType\":\"CustomRole\",\"type\":"
        "\"Microsoft.Authorization/roleDefinitions\"}",
        /* an answer of ARM's */
        "{\"name\":\"" GUID "\",\"id\":\"/x/" GUID "\",\"type\":"
        "\"Microsoft.Authorization/roleDefinitions\",\"properties\":{"
        "\"roleName\":\"Trainer\",\"type\":\"CustomRole\",\"description\":\"d\""
        ",\"assignableScopes\":[\"" W "\"],\"permissions\":[{\"actions\":"
        "[\"a/*\"],\"notActions\":[\"a/b\"]}],\"createdOn\":\"x\"}}",
        /* what an SDK sends: the address has the GUID */
        "{\"properties\":{\"roleName\":\"Trainer\",\"description\":\"d\","
        "\"assignableScopes\":[\"" W "\"],\"permissions\":[{\"actions\":"
        "[\"a/*\"],\"notActions\":[\"a/b\"],\"dataActions\":null}]}}",
    };
    amld_role_fault_t fault;
    aml_principal_id_t id;
    json_t *role, *want;
    size_t i;

    (void) state;

    assert_int_equal(aml_uuid_parse(aml_str(GUID), &id), 0);
    want = json_pack(
        "{s:s,s:s,s:s,s:{s:s,s:s,s:s,s:[s],s:[{s:[s],s:[s],s:[],s:[]}]}}", "id",
        "/providers/Microsoft.Authorization/roleDefinitions/" GUID, "name",
        GUID, "type", "Microsoft.Authorization/roleDefinitions", "properties",
        "roleName", "Trainer", "type", "CustomRole", "description", "d",
        "assignableScopes", W, "permissions", "actions", "a/*", "notActions",
        "a/b", "dataActions", "notDataActions");
    assert_non_null(want);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        role = normalised(t[i], &id, 1, &fault);
        if (role == NULL) {
            fail_msg("%s: %s", fault.message, t[i]);
        }
        if (!json_equal(role, want)) {
            fail_msg("%s", json_dumps(role, 0));
        }
        json_decref(role);

        /* who it says it is; the last says nothing */
        role = normalised(t[i], NULL, 1, &fault);
        assert_non_null(role);
        assert_int_equal(
            strcmp(json_string_value(json_object_get(role, "name")), GUID) == 0,
            i < 3);
        assert_true(amld_role_custom(role));
        assert_string_equal(amld_role_name(role), "Trainer");
        json_decref(role);
    }
    json_decref(want);

    /* a built-in one is for everywhere */
    role = normalised("{\"Name\":\"r\",\"Id\":\"" GUID "\"}", NULL, 0, &fault);
    assert_non_null(role);
    assert_false(amld_role_custom(role));
    assert_true(amld_role_covers(role, aml_str("/x")));
    assert_false(amld_role_within(role, SUB));
    assert_true(amld_role_within(role, "/"));
    json_decref(role);
}


static void
faults(void **state)
{
#define BODY(text)                                                             \
    "{\"properties\":{\"roleName\":\"r\",\"assignableScopes\":[\"/\"],"        \
    "\"permissions\":[" text "]}}"
#define FLAT(text)                                                             \
    "{\"Name\":\"r\",\"AssignableScopes\":[\"/\"],\"Actions\":[\"*\"]" text "}"
    static const struct {
        const char *code, *json;
    } t[] = {
        {"InvalidRequestContent", "[]"},
        {"InvalidRequestContent", "{\"properties\":7}"},
        {"InvalidRequestContent", "{\"properties\":{\"roleName\":\"r\","
                                  "\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRequestContent", BODY("")},
        {"InvalidRequestContent", BODY("7")},
        {"InvalidRequestContent", BODY("{\"actions\":7}")},
        {"InvalidRequestContent", BODY("{\"notAction\":[\"a\"]}")},
        {"InvalidRequestContent", BODY("{\"actions\":[\"*\"],\"Actions\":[]}")},
        {"InvalidRequestContent", BODY("{\"actions\":[\"*\"],\"name\":\"x\"}")},
        {"InvalidActionOrNotAction", BODY("{\"actions\":[7]}")},
        {"InvalidActionOrNotAction", BODY("{\"actions\":[\"\"]}")},
        {"InvalidActionOrNotAction", BODY("{\"actions\":[\"a b\"]}")},
        {"InvalidActionOrNotAction", BODY("{\"notActions\":[\"a?\"]}")},
        {"InvalidActionOrNotAction", BODY("{\"actions\":[\"\\u00e9\"]}")},
        {"InvalidActionOrNotAction", BODY("{\"dataActions\":[\"a\\n\"]}")},
        {"ConditionsNotSupported",
         BODY("{\"actions\":[\"*\"],\"condition\":\"@Resource[x]\"}")},
        {"ConditionsNotSupported", FLAT(",\"Condition\":\"x\"")},
        {"InvalidRequestContent", FLAT(",\"NotAction\":[\"a\"]")},
        {"InvalidRequestContent", FLAT(",\"IsCustom\":false")},
        {"InvalidRequestContent", FLAT(",\"roleType\":\"BuiltInRole\"")},
        {"InvalidRequestContent", FLAT(",\"Description\":7")},
        {"InvalidRequestContent", FLAT(",\"Description\":\"a\\u001b[2J\"")},
        {"InvalidRequestContent", FLAT(",\"Description\":\"a\\u009b2J\"")},
        {"InvalidRequestContent", FLAT(",\"permissions\":[{}]")},
        {"InvalidRequestContent", FLAT(",\"Id\":\"" GUID2 "\"")},
        {"InvalidRequestContent",
         "{\"actions\":[],\"properties\":{\"roleName\":\"r\",\"permissions\":"
         "[{}],\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRequestContent",
         "{\"permissions\":[{}],\"properties\":{\"roleName\":\"r\","
         "\"permissions\":[{}],\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRequestContent",
         "{\"properties\":{\"roleName\":\"r\",\"type\":\"BuiltInRole\","
         "\"permissions\":[{}],\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRequestContent",
         "{\"name\":\"" GUID "\",\"id\":\"" GUID2 "\",\"properties\":{"
         "\"roleName\":\"r\",\"permissions\":[{}],\"assignableScopes\":[\"/\"]}"
         "}"},
        {"InvalidRoleDefinitionName",
         "{\"properties\":{\"permissions\":[{}],\"assignableScopes\":[\"/\"]}"
         "}"},
        {"InvalidRoleDefinitionName",
         "{\"name\":\"r\",\"properties\":{\"permissions\":[{}],"
         "\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRoleDefinitionName",
         "{\"properties\":{\"roleName\":\" r\",\"permissions\":[{}],"
         "\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRoleDefinitionName",
         "{\"properties\":{\"roleName\":\"" GUID "\",\"permissions\":[{}],"
         "\"assignableScopes\":[\"/\"]}}"},
        {"InvalidRequestContent",
         "{\"properties\":{\"roleName\":\"r\",\"permissions\":[{}]}}"},
        {"InvalidRequestContent",
         "{\"properties\":{\"roleName\":\"r\",\"permissions\":[{}],"
         "\"assignableScopes\":[]}}"},
        {"InvalidAssignableScope",
         "{\"properties\":{\"roleName\":\"r\",\"permissions\":[{}],"
         "\"assignableScopes\":[\"/\",\"/subscriptions/<id>\"]}}"},
        {"InvalidAssignableScope",
         "{\"properties\":{\"roleName\":\"r\",\"permissions\":[{}],"
         "\"assignableScopes\":[7]}}"},
    };
    amld_role_fault_t fault;
    aml_principal_id_t id;
    json_t *role, *list;
    char *text;
    size_t i;

    (void) state;

    assert_int_equal(aml_uuid_parse(aml_str(GUID), &id), 0);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        role = normalised(t[i].json, &id, 1, &fault);
        if (role != NULL || strcmp(fault.code, t[i].code) != 0 ||
            fault.message[0] == '\0') {
            fail_msg("%s: %s", role != NULL ? "taken" : fault.code, t[i].json);
        }
    }

    /* no GUID anywhere, or one that is none */
    assert_null(normalised(FLAT(""), NULL, 0, &fault));
    assert_string_equal(fault.code, "InvalidRoleDefinitionId");
    assert_null(normalised(FLAT(",\"Id\":\"x\""), NULL, 1, &fault));
    assert_string_equal(fault.code, "InvalidRoleDefinitionId");
    role = normalised(FLAT(",\"Id\":null"), NULL, 1, &fault);
    assert_non_null(role);
    json_decref(role);

    /* too much: every request that a role decides on reads it whole */
    list = json_array();
    for (i = 0; i < AMLD_ROLE_PATTERNS + 1; i++) {
        json_array_append_new(list, json_sprintf("%0200d", 0));
    }
    role = json_pack("{s:{s:s,s:[s],s:[{s:O}]}}", "properties", "roleName", "r",
                     "assignableScopes", "/", "permissions", "actions", list);
    text = json_dumps(role, 0);
    json_decref(role);
    assert_null(normalised(text, &id, 1, &fault));
    assert_string_equal(fault.code, "InvalidRequestContent");
    free(text);
    json_array_remove(list, 0);
    role = json_pack("{s:{s:s,s:[s],s:[{s:O}]}}", "properties", "roleName", "r",
                     "assignableScopes", "/", "permissions", "actions", list);
    text = json_dumps(role, 0);
    json_decref(role);
    json_decref(list);
    assert_null(normalised(text, &id, 1, &fault));
    assert_string_equal(fault.code, "RoleDefinitionTooLarge");
    free(text);
}


static amld_role_rc_t
define(scratch_t *s, const char *guid, const char *name, const char *scopes,
       const char *within)
{
    amld_role_fault_t fault;
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    aml_principal_id_t id;
    amld_role_rc_t answer;
    char text[1024];
    json_t *role;

    assert_int_equal(aml_uuid_parse(aml_str_of(guid), &id), 0);
    snprintf(text, sizeof(text),
             "{\"Name\":\"%s\",\"Actions\":[\"*/read\"],\"AssignableScopes\":"
             "[%s]}",
             name, scopes);
    role = normalised(text, &id, 1, &fault);
    if (role == NULL) {
        fail_msg("%s", fault.message);
    }

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    answer = amld_role_define(txn, role, within, "by", &rc);
    json_decref(role);
    if (answer == AMLD_ROLE_OK) {
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    } else {
        assert_string_not_equal(amld_role_strerror(answer), "done");
        aml_registry_end(txn);
    }

    return answer;
}


static amld_role_rc_t
undefine(scratch_t *s, const char *guid, const char *within)
{
    aml_registry_txn_t *txn;
    aml_registry_rc_t rc;
    aml_principal_id_t id;
    amld_role_rc_t answer;

    assert_int_equal(aml_uuid_parse(aml_str_of(guid), &id), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    answer = amld_role_undefine(txn, &id, within, NULL, &rc);
    if (answer == AMLD_ROLE_OK) {
        assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    } else {
        aml_registry_end(txn);
    }

    return answer;
}


static void
assign(scratch_t *s, const char *role, const char *scope)
{
    amld_principal_t p = {.name = (char *) "p", .issuer = (char *) "x"};
    amld_assignment_t a = {.principal = {{1}}};
    aml_registry_txn_t *txn;

    assert_int_equal(aml_uuid_parse(aml_str_of(role), &a.role), 0);
    assert_int_equal(aml_uuid_random(&a.id), 0);
    snprintf(a.scope, sizeof(a.scope), "%s", scope);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_principal_store(txn, &a.principal, &p),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


#define OWNER "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

static void
custom(void **state)
{
    scratch_t *s = *state;
    aml_registry_txn_t *txn;
    aml_principal_id_t id;
    json_t *role;

    assert_int_equal(amld_roles_load(s->registry, "auth/builtin-roles.json"),
                     0);

    /* only within where one may */
    assert_int_equal(define(s, GUID, "Trainer", "\"" SUB "\"", W),
                     AMLD_ROLE_OUTSIDE);
    assert_int_equal(define(s, GUID, "Trainer", "\"" W "\",\"/\"", W),
                     AMLD_ROLE_OUTSIDE);
    assert_int_equal(define(s, GUID, "Trainer", "\"" W "2\"", W),
                     AMLD_ROLE_OUTSIDE);
    assert_int_equal(define(s, GUID, "Trainer", "\"" SUB "\"", SUB),
                     AMLD_ROLE_OK);
    /* nor change what others have where one may not */
    assert_int_equal(define(s, GUID, "Trainer", "\"" W "\"", W),
                     AMLD_ROLE_OUTSIDE);
    assert_int_equal(undefine(s, GUID, W), AMLD_ROLE_OUTSIDE);

    /* names are unique, in any case; built-in roles are what they are */
    assert_int_equal(define(s, GUID2, "TRAINER", "\"/\"", "/"), AMLD_ROLE_NAME);
    assert_int_equal(define(s, GUID2, "owner", "\"/\"", "/"), AMLD_ROLE_NAME);
    assert_int_equal(define(s, OWNER, "Owner", "\"/\"", "/"),
                     AMLD_ROLE_BUILTIN);
    assert_int_equal(define(s, OWNER, "Mine", "\"/\"", "/"), AMLD_ROLE_BUILTIN);
    assert_int_equal(undefine(s, OWNER, "/"), AMLD_ROLE_BUILTIN);
    assert_int_equal(undefine(s, GUID2, "/"), AMLD_ROLE_MISSING);
    assert_int_equal(define(s, GUID, "Coach", "\"" SUB "\"", "/"),
                     AMLD_ROLE_OK);

    /* in use: it stays, and stays assignable there */
    assign(s, GUID, W "/computes/lab");
    assert_int_equal(undefine(s, GUID, "/"), AMLD_ROLE_IN_USE);
    assert_int_equal(define(s, GUID, "Coach", "\"" W "2\"", "/"),
                     AMLD_ROLE_IN_USE);
    assert_int_equal(define(s, GUID, "Coach", "\"" W "\"", "/"), AMLD_ROLE_OK);
    assert_int_equal(define(s, GUID2, "Other", "\"" W "2\"", "/"),
                     AMLD_ROLE_OK);
    assert_int_equal(undefine(s, GUID2, "/"), AMLD_ROLE_OK);

    assert_int_equal(aml_uuid_parse(aml_str(GUID), &id), 0);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_role_load(txn, &id, &role), AML_REGISTRY_OK);
    assert_string_equal(amld_role_name(role), "Coach");
    assert_string_equal(json_string_value(json_object_get(
                            json_object_get(role, "properties"), "createdBy")),
                        "by");
    json_decref(role);
    aml_registry_end(txn);

    /* built-in ones that are loaded again leave it alone */
    assert_int_equal(amld_roles_load(s->registry, "auth/builtin-roles.json"),
                     0);
    assert_int_equal(scratch_count(s, "role/"), 6);
}


/* One that has a built-in one's name, from before that was built in. */
static void
same_name(void **state)
{
    scratch_t *s = *state;
    char key[AML_REGISTRY_KEY_MAX + 1], text[AML_UUID_TEXT + 1];
    static const char role[] =
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"OWNER\","
        "\"type\":\"CustomRole\",\"permissions\":[]}}";
    aml_registry_txn_t *txn;
    aml_principal_id_t id;

    assert_int_equal(aml_uuid_parse(aml_str(GUID), &id), 0);
    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_put(txn, key, aml_key_role(key, &id), role,
                                      sizeof(role) - 1),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_role_find(txn, "owner", &id), AML_REGISTRY_OK);
    aml_uuid_format(&id, text);
    assert_string_equal(text, GUID);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(amld_roles_load(s->registry, "auth/builtin-roles.json"),
                     0);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    assert_int_equal(amld_role_find(txn, "owner", &id), AML_REGISTRY_OK);
    aml_uuid_format(&id, text);
    assert_string_equal(text, OWNER);
    aml_registry_end(txn);
}


static void
limit(void **state)
{
    scratch_t *s = *state;
    amld_role_rc_t rc = AMLD_ROLE_OK;
    char guid[AML_UUID_TEXT + 1], key[AML_REGISTRY_KEY_MAX + 1], role[512];
    aml_registry_txn_t *txn;
    aml_principal_id_t id;
    int i;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);
    for (i = 0; i < AMLD_ROLES_MAX - 1; i++) {
        snprintf(guid, sizeof(guid), "%08x-89ab-cdef-0123-456789abcdef",
                 (unsigned) i);
        assert_int_equal(aml_uuid_parse(aml_str_of(guid), &id), 0);
        snprintf(role, sizeof(role),
                 "{\"name\":\"%s\",\"properties\":{\"roleName\":\"r%d\","
                 "\"type\":\"CustomRole\",\"permissions\":[],"
                 "\"assignableScopes\":[\"/\"]}}",
                 guid, i);
        assert_int_equal(aml_registry_put(txn, key, aml_key_role(key, &id),
                                          role, strlen(role)),
                         AML_REGISTRY_OK);
    }
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    rc = define(s, GUID, "last", "\"/\"", "/");
    assert_int_equal(rc, AMLD_ROLE_OK);
    assert_int_equal(define(s, GUID2, "more", "\"/\"", "/"), AMLD_ROLE_LIMIT);
    assert_int_equal(define(s, GUID, "changed", "\"/\"", "/"), AMLD_ROLE_OK);
}


static void
definitions(void **state)
{
    scratch_t *s = *state;
    aml_principal_id_t id;
    aml_registry_txn_t *txn;
    uint64_t before, after;
    char path[128], name[64];
    FILE *f;

    snprintf(path, sizeof(path), "%s/roles.json", s->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("[{\"Name\":\"Watcher\",\"Id\":\"acdd72a7-3385-48ef-bd42-"
          "f606fba81ae7\",\"Actions\":[\"*/read\"],\"NotActions\":[]}]",
          f);
    fclose(f);

    assert_int_equal(amld_roles_load(s->registry, path), 0);

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    before = aml_registry_version(txn);
    assert_int_equal(amld_role_find(txn, "wATCHER", &id), AML_REGISTRY_OK);
    amld_role_label(txn, &id, name, sizeof(name));
    assert_string_equal(name, "Watcher");
    assert_int_equal(amld_role_find(txn,
                                    "acdd72a7-3385-48ef-bd42-"
                                    "f606fba81ae7",
                                    &id),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_role_find(txn, "Owner", &id), AML_REGISTRY_NOTFOUND);
    aml_registry_end(txn);

    /* nothing has changed, and nothing is written */
    assert_int_equal(amld_roles_load(s->registry, path), 0);
    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);
    after = aml_registry_version(txn);
    aml_registry_end(txn);
    assert_int_equal(before, after);

    /* one that is wrong: none is taken */
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("[{\"Name\":\"Good\",\"Id\":\"8e3af657-a8ff-443c-a75c-2fe8c4bcb635\""
          ",\"Actions\":[\"*\"]},{\"Name\":\"Bad\"}]",
          f);
    fclose(f);
    assert_int_equal(amld_roles_load(s->registry, path), -1);
    assert_int_equal(scratch_count(s, "role/"), 1);
    assert_int_equal(amld_roles_load(s->registry, "/nonexistent"), -1);
}


int
main(void)
{
#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(faults),
        TEST(custom),
        TEST(same_name),
        TEST(limit),
        TEST(definitions),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("role definitions", tests, NULL, NULL);
}
