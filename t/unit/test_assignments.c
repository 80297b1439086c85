/*
 * Role assignments: documents, indexes and the list that decides.
 */

#include "t/unit/scratch.h"

#include <ctype.h>

#include "auth/assignments.h"
#include "auth/principals.h"
#include "registry/records.h"

#define SUB "/subscriptions/s-1"
#define W SUB "/resourceGroups/rg/providers/M.L/workspaces/demo"


static aml_principal_id_t
numbered(unsigned n)
{
    aml_principal_id_t id = {{0}};

    id.b[15] = (uint8_t) n;
    id.b[14] = (uint8_t) (n >> 8);

    return id;
}


static void
put_principal(aml_registry_txn_t *txn, unsigned n, uint32_t flags)
{
    amld_principal_t p = {.flags = flags, .name = (char *) "p"};
    aml_principal_id_t id = numbered(n);

    p.issuer = (char *) "urn:x";
    assert_int_equal(amld_principal_store(txn, &id, &p), AML_REGISTRY_OK);
}


static amld_assignment_t
made(unsigned id, unsigned principal, unsigned role, const char *scope)
{
    amld_assignment_t a;

    memset(&a, 0, sizeof(a));
    a.id = numbered(id);
    a.principal = numbered(principal);
    a.role = numbered(role);
    snprintf(a.scope, sizeof(a.scope), "%s", scope);
    snprintf(a.created_on, sizeof(a.created_on), "2026-11-23T09:07:44.123Z");

    return a;
}


static aml_registry_txn_t *
writing(scratch_t *s)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_write(s->registry, &txn), AML_REGISTRY_OK);

    return txn;
}


static aml_registry_txn_t *
reading(scratch_t *s)
{
    aml_registry_txn_t *txn;

    assert_int_equal(aml_registry_read(s->registry, &txn), AML_REGISTRY_OK);

    return txn;
}


static void
add(scratch_t *s, unsigned id, unsigned principal, unsigned role,
    const char *scope)
{
    amld_assignment_t a = made(id, principal, role, scope);
    aml_registry_txn_t *txn = writing(s);

    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


/* How many entries the list of a principal has. */
static size_t
entries(scratch_t *s, unsigned principal)
{
    aml_principal_id_t id = numbered(principal);
    aml_registry_txn_t *txn = reading(s);
    amld_principal_t p;
    size_t n;

    assert_int_equal(amld_principal_load(txn, &id, &p), AML_REGISTRY_OK);
    n = p.count;
    amld_principal_clear(&p);
    aml_registry_end(txn);

    return n;
}


static void
principals(scratch_t *s)
{
    aml_registry_txn_t *txn = writing(s);

    put_principal(txn, 1, 0);
    put_principal(txn, 2, AML_PRINCIPAL_GROUP);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
}


static void
round_trip(void **state)
{
    scratch_t *s = *state;
    aml_principal_id_t one = numbered(1), seven = numbered(7), id;
    amld_assignment_t a = made(100, 1, 7, W), b;
    aml_registry_txn_t *txn;
    amld_principal_t p;

    principals(s);

    txn = writing(s);
    a.type = AMLD_TYPE_SERVICE;
    snprintf(a.description, sizeof(a.description), "for \"tests\"");
    snprintf(a.created_by, sizeof(a.created_by),
             "00000000-0000-0000-0000-000000000009");
    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    txn = reading(s);
    assert_int_equal(amld_assignment_get(txn, &a.id, &b), AML_REGISTRY_OK);
    assert_memory_equal(&a, &b, sizeof(a));
    memset(&b, 0, sizeof(b));
    assert_int_equal(amld_assignment_find(txn, &one, &seven,
                                          SUB "/RESOURCEGROUPS/rg/providers/"
                                              "M.L/workspaces/DEMO",
                                          &b),
                     AML_REGISTRY_OK);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_int_equal(amld_assignment_find(txn, &one, &seven, SUB, &b),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_assignment_find(txn, &one, &one, W, &b),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_assignment_find(txn, &seven, &seven, W, &b),
                     AML_REGISTRY_NOTFOUND);
    assert_int_equal(amld_assignment_get(txn, &seven, &b),
                     AML_REGISTRY_NOTFOUND);

    /* what workers read */
    assert_int_equal(amld_principal_load(txn, &one, &p), AML_REGISTRY_OK);
    assert_int_equal(p.count, 1);
    assert_true(aml_principal_eq(&p.list[0].role, &seven));
    assert_true(aml_str_eq(p.list[0].scope, aml_str(W)));
    amld_principal_clear(&p);
    aml_registry_end(txn);

    txn = writing(s);
    snprintf(a.description, sizeof(a.description), "other");
    assert_int_equal(amld_assignment_update(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_get(txn, &a.id, &b), AML_REGISTRY_OK);
    assert_string_equal(b.description, "other");
    assert_int_equal(amld_assignment_id(txn, &one, &seven, W, &id),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "assignment"), 3);

    txn = writing(s);
    assert_int_equal(amld_assignment_remove(txn, &a), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(scratch_count(s, "assignment"), 0);
    assert_int_equal(entries(s, 1), 0);
}


static void
refused(void **state)
{
    scratch_t *s = *state;
    amld_assignment_t a = made(1, 99, 7, W);
    aml_registry_rc_t rc = AML_REGISTRY_OK;
    aml_registry_txn_t *txn;
    char scope[AMLD_SCOPE_MAX + 1];
    unsigned i;

    principals(s);
    txn = writing(s);
    assert_int_equal(amld_assignment_add(txn, &a), AML_REGISTRY_NOTFOUND);

    /* until the record is full */
    memset(scope, 'x', sizeof(scope) - 1);
    scope[0] = '/';
    scope[sizeof(scope) - 1] = '\0';
    for (i = 0; i < 1000 && rc == AML_REGISTRY_OK; i++) {
        a = made(i, 1, i, scope);
        rc = amld_assignment_add(txn, &a);
    }
    assert_int_equal(rc, AML_REGISTRY_TOOLONG);
    assert_true(i > 100);
    aml_registry_end(txn);
    assert_int_equal(scratch_count(s, "assignment"), 0);
}


/* The same GUID for the same thing, another where that is taken. */
static void
guids(void **state)
{
    scratch_t *s = *state;
    aml_principal_id_t one = numbered(1), two = numbered(2), a, b, c;
    aml_registry_txn_t *txn;
    amld_assignment_t taken;

    principals(s);
    txn = writing(s);
    assert_int_equal(amld_assignment_id(txn, &one, &two, W, &a),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_id(txn, &one, &two,
                                        "/SUBSCRIPTIONS/S-1/resourcegroups/RG/"
                                        "providers/m.l/workspaces/demo",
                                        &b),
                     AML_REGISTRY_OK);
    assert_true(aml_principal_eq(&a, &b));
    assert_int_equal(amld_assignment_id(txn, &two, &one, W, &b),
                     AML_REGISTRY_OK);
    assert_false(aml_principal_eq(&a, &b));
    assert_int_equal(amld_assignment_id(txn, &one, &two, SUB, &b),
                     AML_REGISTRY_OK);
    assert_false(aml_principal_eq(&a, &b));

    taken = made(0, 2, 9, "/");
    taken.id = a;
    assert_int_equal(amld_assignment_add(txn, &taken), AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_id(txn, &one, &two, W, &b),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_id(txn, &one, &two, W, &c),
                     AML_REGISTRY_OK);
    assert_false(aml_principal_eq(&a, &b));
    assert_false(aml_principal_eq(&b, &c));
    aml_registry_end(txn);
}


typedef struct {
    char ids[256];
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t key_len;
    size_t stop; /* after so many */
    size_t n;
} seen_t;


static int
see(void *data, const amld_assignment_entry_t *entry)
{
    seen_t *seen = data;
    char text[AML_UUID_TEXT + 1];

    if (seen->stop != 0 && seen->n == seen->stop) {
        memcpy(seen->key, entry->key.p, entry->key.n);
        seen->key_len = entry->key.n;
        return 1;
    }
    seen->n++;
    aml_uuid_format(&entry->id, text);
    strncat(seen->ids, text + AML_UUID_TEXT - 2,
            sizeof(seen->ids) - strlen(seen->ids) - 1);
    strncat(seen->ids, " ", sizeof(seen->ids) - strlen(seen->ids) - 1);

    return 0;
}


static void
saw(scratch_t *s, const char *scope, int below, const char *ids)
{
    aml_registry_txn_t *txn = reading(s);
    seen_t seen = {.n = 0};

    assert_int_equal(amld_assignments_at(txn, scope, below,
                                         (aml_str_t){NULL, 0}, see, &seen),
                     AML_REGISTRY_OK);
    aml_registry_end(txn);
    assert_string_equal(seen.ids, ids);
}


static void
walks(void **state)
{
    scratch_t *s = *state;
    aml_principal_id_t two = numbered(2);
    aml_registry_txn_t *txn;
    seen_t seen = {.stop = 2}, rest = {.n = 0};

    principals(s);
    add(s, 0x01, 1, 7, "/");
    add(s, 0x02, 1, 7, SUB);
    add(s, 0x03, 1, 7, W);
    add(s, 0x04, 2, 7, W);
    add(s, 0x05, 1, 7, W "/computes/lab");
    add(s, 0x06, 1, 7, W "2");
    add(s, 0x07, 1, 7, W "-x");
    add(s, 0x08, 1, 7, SUB "2");
    add(s, 0x09, 2, 7, W "/Computes/LAB");

    saw(s, "/", 0, "01 ");
    saw(s, SUB, 0, "02 ");
    saw(s, W, 0, "03 04 ");
    saw(s, "/SUBSCRIPTIONS/s-1", 0, "02 ");
    saw(s, W, 1, "03 04 05 09 ");
    saw(s, W "/computes/lab", 0, "05 09 ");
    saw(s, W "/computes", 0, "");
    saw(s, W "/computes", 1, "05 09 ");
    saw(s, SUB, 1, "02 07 03 04 05 09 06 ");
    saw(s, "/", 1, "01 02 07 03 04 05 09 06 08 ");
    saw(s, "/subscriptions/s", 1, "");

    /* from where it was left */
    txn = reading(s);
    assert_int_equal(
        amld_assignments_at(txn, W, 1, (aml_str_t){NULL, 0}, see, &seen),
        AML_REGISTRY_OK);
    assert_string_equal(seen.ids, "03 04 ");
    assert_int_equal(amld_assignments_at(txn, W, 1,
                                         (aml_str_t){seen.key, seen.key_len},
                                         see, &rest),
                     AML_REGISTRY_OK);
    assert_string_equal(rest.ids, "05 09 ");

    memset(&rest, 0, sizeof(rest));
    assert_int_equal(
        amld_assignments_of(txn, &two, (aml_str_t){NULL, 0}, see, &rest),
        AML_REGISTRY_OK);
    assert_string_equal(rest.ids, "04 09 ");
    aml_registry_end(txn);
}


/* What ends with a principal, and what with a place. */
static void
ends(void **state)
{
    scratch_t *s = *state;
    aml_principal_id_t one = numbered(1);
    aml_registry_txn_t *txn;

    principals(s);
    add(s, 1, 1, 7, W);
    add(s, 2, 1, 8, W "/computes/lab");
    add(s, 3, 2, 7, W "/computes/LAB");
    add(s, 4, 2, 7, W "/computes/lab2");
    add(s, 5, 2, 7, W "/computes/lab/x/y");

    txn = writing(s);
    assert_int_equal(amld_assignments_end_below(txn, W "/computes/Lab"),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    saw(s, "/", 1, "01 04 ");
    assert_int_equal(entries(s, 1), 1);
    assert_int_equal(entries(s, 2), 1);

    txn = writing(s);
    assert_int_equal(amld_assignments_end_of(txn, &one), AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    saw(s, "/", 1, "04 ");
    assert_int_equal(entries(s, 1), 0);
    assert_int_equal(scratch_count(s, "assignment"), 3);
}


static void
put_list(aml_registry_txn_t *txn, unsigned n, const aml_assignment_t *list,
         uint16_t count, uint32_t flags)
{
    char key[AML_REGISTRY_KEY_MAX + 1], buf[4096];
    aml_principal_id_t id = numbered(n);
    aml_principal_t p = {.flags = flags, .assignment_count = count};
    size_t size;

    size = aml_principal_encode(&p, list, buf, sizeof(buf));
    assert_true(size > 0);
    assert_int_equal(
        aml_registry_put(txn, key, aml_key_principal(key, &id), buf, size),
        AML_REGISTRY_OK);
}


/* A registry of an earlier release: lists without assignments; and what an
 * earlier release took away behind our back. */
static void
tended(void **state)
{
    scratch_t *s = *state;
    char long_scope[AMLD_SCOPE_MAX + 8];
    aml_assignment_t list[4] = {
        {numbered(7), aml_str(W)},
        {numbered(7), aml_str("/Subscriptions/s-1")},
        {numbered(7), aml_str(SUB)},
        {numbered(8), {long_scope, sizeof(long_scope)}},
    };
    aml_principal_id_t one = numbered(1), seven = numbered(7), id;
    aml_registry_txn_t *txn;
    uint64_t before, after;
    amld_assignment_t a;
    unsigned i;

    memset(long_scope, 'x', sizeof(long_scope));
    long_scope[0] = '/';

    txn = writing(s);
    put_list(txn, 1, list, 4, 0);
    put_list(txn, 2, list, 1, AML_PRINCIPAL_GROUP);
    for (i = 3; i < 5003; i++) {
        put_list(txn, i, list, 1, 0);
    }
    assert_int_equal(aml_registry_put(txn, "principal/x", 11, "?", 1),
                     AML_REGISTRY_OK);
    assert_int_equal(amld_assignment_id(txn, &one, &seven, W, &id),
                     AML_REGISTRY_OK);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);

    assert_int_equal(amld_assignments_tend(s->registry), 0);
    assert_int_equal(scratch_count(s, "assignment/"), 5003);
    assert_int_equal(scratch_count(s, "assignment-at/"), 5003);
    assert_int_equal(scratch_count(s, "assignment-of/"), 5003);
    assert_int_equal(entries(s, 1), 4);

    txn = reading(s);
    assert_int_equal(amld_assignment_find(txn, &one, &seven, W, &a),
                     AML_REGISTRY_OK);
    assert_true(aml_principal_eq(&a.id, &id));
    assert_int_equal(a.type, AMLD_TYPE_USER);
    assert_true(isdigit((unsigned char) a.created_on[0]));
    assert_string_equal(a.created_by, "");
    one = numbered(2);
    assert_int_equal(amld_assignment_find(txn, &one, &seven, W, &a),
                     AML_REGISTRY_OK);
    assert_int_equal(a.type, AMLD_TYPE_GROUP);
    before = aml_registry_version(txn);
    aml_registry_end(txn);

    /* nothing to do, nothing written */
    assert_int_equal(amld_assignments_tend(s->registry), 0);
    txn = reading(s);
    after = aml_registry_version(txn);
    aml_registry_end(txn);
    assert_int_equal(before, after);

    /* the list decides */
    txn = writing(s);
    put_list(txn, 1, list + 1, 1, 0);
    put_list(txn, 2, NULL, 0, 0);
    assert_int_equal(aml_registry_commit(txn), AML_REGISTRY_OK);
    assert_int_equal(amld_assignments_tend(s->registry), 0);
    assert_int_equal(scratch_count(s, "assignment/"), 5001);
    assert_int_equal(scratch_count(s, "assignment-at/"), 5001);
    assert_int_equal(scratch_count(s, "assignment-of/"), 5001);
    assert_int_equal(entries(s, 1), 1);
    assert_int_equal(entries(s, 2), 0);
}


static void
broken(void **state)
{
    static const char *const values[] = {
        "",
        "{",
        "[]",
        "{\"id\":7}",
        "{\"id\":\"00000000-0000-0000-0000-000000000001\"}",
        "{\"id\":\"00000000-0000-0000-0000-000000000001\",\"principal\":"
        "\"00000000-0000-0000-0000-000000000001\",\"role\":"
        "\"00000000-0000-0000-0000-000000000001\",\"principalType\":\"User\","
        "\"scope\":\"x\",\"description\":\"\",\"createdOn\":\"\","
        "\"updatedOn\":\"\",\"createdBy\":\"\",\"updatedBy\":\"\"}"};
    static const char key[] = "assignment/00000000-0000-0000-0000-000000000001";
    scratch_t *s = *state;
    aml_principal_id_t one = numbered(1);
    aml_registry_txn_t *txn;
    amld_assignment_t a;
    seen_t seen = {.n = 0};
    size_t i;

    txn = writing(s);
    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_int_equal(aml_registry_put(txn, key, sizeof(key) - 1, values[i],
                                          strlen(values[i])),
                         AML_REGISTRY_OK);
        assert_int_equal(amld_assignment_get(txn, &one, &a),
                         AML_REGISTRY_CORRUPT);
    }

#define PUT(k)                                                                 \
    assert_int_equal(aml_registry_put(txn, k, strlen(k), "x", 1),              \
                     AML_REGISTRY_OK)
    PUT("assignment-at/s/x");
    assert_int_equal(
        amld_assignments_at(txn, "/", 1, (aml_str_t){NULL, 0}, see, &seen),
        AML_REGISTRY_CORRUPT);
    PUT("assignment-of/00000000-0000-0000-0000-000000000001/x");
    assert_int_equal(
        amld_assignments_of(txn, &one, (aml_str_t){NULL, 0}, see, &seen),
        AML_REGISTRY_CORRUPT);
    assert_int_equal(seen.n, 0);
    aml_registry_end(txn);
}


static void
scopes(void **state)
{
    static const char *const bad[] = {"",         "subscriptions", "//",
                                      "/a/",      "/a//b",         "/a b",
                                      "/a/../b?", "/a\n",          "/a/%2f"};
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(amld_scope_valid(bad[i]));
    }

    assert_true(amld_scope_valid("/"));
    assert_true(amld_scope_valid("/subscriptions/a/resourceGroups/b_(c)"));
}


static void
types(void **state)
{
    (void) state;

    assert_int_equal(amld_principal_type_find("user"), AMLD_TYPE_USER);
    assert_int_equal(amld_principal_type_find("Group"), AMLD_TYPE_GROUP);
    assert_int_equal(amld_principal_type_find("SERVICEPRINCIPAL"),
                     AMLD_TYPE_SERVICE);
    assert_int_equal(amld_principal_type_find(""), AMLD_TYPE_COUNT);
    assert_int_equal(amld_principal_type_find("ForeignGroup"), AMLD_TYPE_COUNT);
}


int
main(void)
{
#define TEST(f)                                                                \
    cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(round_trip),
        TEST(refused),
        TEST(guids),
        TEST(walks),
        TEST(ends),
        TEST(tended),
        TEST(broken),
        cmocka_unit_test(scopes),
        cmocka_unit_test(types),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("assignments", tests, NULL, NULL);
}
