#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "auth/roles.h"

#define M "Microsoft.MachineLearningServices/workspaces/"
#define L "Microsoft.MachineLearningServices/locations/"
#define BUILTIN "auth/builtin-roles.json" /* tests run at the root */
#define GUID "01234567-89ab-cdef-0123-456789abcdef"
#define GUID2 "11234567-89ab-cdef-0123-456789abcdef"


/* ---- matching ---- */

static void
matches(void **state)
{
    static const struct {
        int matches;
        const char *pattern, *action;
    } t[] = {
        {1, "*", "a"},
        {1, "*", "a/b/c"},
        {1, "*", ""},
        {1, "", ""},
        {0, "", "a"},
        {0, "a", ""},
        {1, "a/b/read", "A/B/Read"},
        {1, "A/*/READ", "a/x/y/read"},
        {0, "a/b/read", "a/b/rea"},
        {0, "a/b/read", "a/b/reads"},
        {1, "*/read", "a/read"},
        {1, "*/read", "/read"},
        {0, "*/read", "a/readx"},
        {0, "*/read", "read"},
        {0, "*/read", "a/read/action"},
        {1, "a/*", "a/"},
        {1, "a/*", "a/b/c"},
        {0, "a/*", "a"},
        {0, "a/*", "ab/c"},
        {1, "a*", "abc/d"},
        {1, "**", "a"},
        {1, "a**b", "ab"},

        /* the middle of a slash, a star and a slash may be nothing */
        {1, "a/*/c", "a/c"},
        {1, "a/*/c", "a//c"},
        {1, "a/*/c", "a/b/c"},
        {1, "a/*/c", "a/b/b/c"},
        {0, "a/*/c", "ac"},
        {0, "a/*/c", "a/bc"},
        {0, "a/*/c", "ab/c"},
        {1, "/*/", "/"},
        {1, "/*/*/", "/"},
        {1, "a/*/*/c", "a/c"},
        {1, "a/*/*/c", "a/b/c"},
        {0, "a*/c", "ac"},
        {0, "a/*c/", "a/"},
        {0, "a/b*/c", "a/c"},
        {0, "a/**/c", "a/c"},
        {0, "/", ""},

        /* the earliest place is not always the last */
        {1, "*ab*ab", "abxabab"},
        {1, "a*a*b", "aaab"},
        {0, "a*a", "a"},
        {0, "*abc*abc", "abcab"},
        {0, "a*ab*b", "ab"},

        /* nothing else is special */
        {0, "a?c", "abc"},
        {0, "a[b]c", "abc"},
        {0, "a.c", "abc"},
        {0, "a\\*", "a*"},
    };
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (aml_role_match(aml_str_of(t[i].pattern), aml_str_of(t[i].action)) !=
            t[i].matches) {
            fail_msg("\"%s\" \"%s\": %d", t[i].pattern, t[i].action,
                     !t[i].matches);
        }
    }

    assert_int_equal(aml_role_match(aml_str("*"), (aml_str_t){NULL, 0}), 1);
    assert_int_equal(aml_role_match((aml_str_t){NULL, 0}, aml_str("a")), 0);
}


/* The rule as it is written, as slow as it likes. */
static int
says_the_rule(const char *p, const char *t)
{
    if (*p == '\0') {
        return *t == '\0';
    }
    if (strncmp(p, "/*/", 3) == 0 && says_the_rule(p + 2, t)) {
        return 1;
    }
    if (*p == '*') {
        return says_the_rule(p + 1, t) ||
               (*t != '\0' && says_the_rule(p, t + 1));
    }

    return *p == *t && says_the_rule(p + 1, t + 1);
}


static void
matches_as_the_rule_says(void **state)
{
    static const char letters[] = "a/b*";
    unsigned seed = 7, i, k, n, hits = 0;
    char pattern[9], text[11];

    (void) state;

    for (i = 0; i < 400000; i++) {
        seed = seed * 1664525u + 1013904223u;
        n = (seed >> 28) % 9;
        for (k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            pattern[k] = letters[(seed >> 24) % 4];
        }
        pattern[n] = '\0';
        n = (seed >> 13) % 11;
        for (k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[k] = letters[(seed >> 24) % 3];
        }
        text[n] = '\0';

        int want = says_the_rule(pattern, text);
        hits += (unsigned) want;
        if (aml_role_match(aml_str_of(pattern), aml_str_of(text)) != want) {
            fail_msg("\"%s\" \"%s\": %d", pattern, text, !want);
        }
    }
    assert_true(hits > 1000);
}


/* Pieces that are long enough to be looked for in another way. */
static void
long_pieces(void **state)
{
    static const char letters[] = "aAb/";
    unsigned seed = 3, i, k, n, m, hits = 0;
    char pattern[64], text[128], folded[64], low[128];

    (void) state;

    for (i = 0; i < 200000; i++) {
        m = 9 + i % 12;
        n = m + i % 60;
        for (k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[k] = letters[(seed >> 24) % 4];
            low[k] = (char) (text[k] == 'A' ? 'a' : text[k]);
        }
        text[n] = low[n] = '\0';

        /* what is in it, spoilt now and then */
        pattern[0] = folded[0] = '*';
        memcpy(pattern + 1, text + (seed >> 8) % (n - m + 1), m);
        if (i % 3 == 0) {
            pattern[1 + (seed >> 16) % m] = 'b';
        }
        pattern[m + 1] = folded[m + 1] = '*';
        pattern[m + 2] = folded[m + 2] = '\0';
        for (k = 1; k <= m; k++) {
            folded[k] = (char) (pattern[k] == 'A' ? 'a' : pattern[k]);
        }

        int want = says_the_rule(folded, low);
        hits += (unsigned) !want;
        if (aml_role_match(aml_str_of(pattern), aml_str_of(text)) != want) {
            fail_msg("\"%s\" \"%s\": %d", pattern, text, !want);
        }
    }
    assert_true(hits > 1000);
}


/* What makes a backtracking matcher run for years. */
static void
takes_no_time(void **state)
{
    char pattern[1000], text[256];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(pattern); i++) {
        pattern[i] = i % 2 ? 'a' : '*';
    }
    pattern[sizeof(pattern) - 1] = 'b';
    memset(text, 'a', sizeof(text));

    for (i = 0; i < 1000; i++) {
        assert_int_equal(aml_role_match((aml_str_t){pattern, sizeof(pattern)},
                                        (aml_str_t){text, sizeof(text)}),
                         0);
    }
}


static void
scopes(void **state)
{
    static const struct {
        int covers;
        const char *at, *scope;
    } t[] = {
        {1, "/", "/"},
        {1, "/", "/subscriptions/s"},
        {1, "/subscriptions/s", "/subscriptions/s"},
        {1, "/subscriptions/S", "/Subscriptions/s/resourceGroups/g"},
        {0, "/subscriptions/s", "/subscriptions/s2"},
        {0, "/subscriptions/s", "/subscriptions/s2/resourceGroups/g"},
        {0, "/subscriptions/s", "/subscriptions"},
        {0, "/subscriptions/s", "/"},
        {0, "/subscriptions/s/", "/subscriptions/s"},
        {0, "/subscriptions/s/", "/subscriptions/s/resourceGroups/g"},
        {0, "", "/"},
        {0, "", ""},
        {0, "/", ""},
        {0, "/", "subscriptions/s"},
        {0, "subscriptions", "subscriptions/s"},
        {0, "*", "/subscriptions/s"},
        {0, "/subscriptions/*", "/subscriptions/s"},
    };
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (aml_scope_covers(aml_str_of(t[i].at), aml_str_of(t[i].scope)) !=
            t[i].covers) {
            fail_msg("\"%s\" \"%s\": %d", t[i].at, t[i].scope, !t[i].covers);
        }
    }
}


/* ---- the built-in roles ---- */

enum {
    OWNER = 0,
    CONTRIBUTOR,
    READER,
    SCIENTIST,
    OPERATOR,
    ROLES
};

static const struct {
    const char *guid, *name;
} builtin[ROLES] = {
    {"8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner"},
    {"b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor"},
    {"acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader"},
    {"f6c7c914-8db3-469d-8ca1-694a8f32e121", "AzureML Data Scientist"},
    {"e503ece1-11d0-4e8e-8e2c-7a6c3bf38815", "AzureML Compute Operator"},
};


static int
load_builtin(void **state)
{
    static const char *const shape[] = {"name", "type", "id", "properties"};
    aml_role_t **roles;
    json_error_t error;
    json_t *all, *one;
    char *text, err[128];
    size_t i, k;

    all = json_load_file(BUILTIN, JSON_REJECT_DUPLICATES, &error);
    if (all == NULL || !json_is_array(all) || json_array_size(all) != ROLES) {
        print_error(BUILTIN ": %s\n", error.text);
        return -1;
    }
    roles = calloc(ROLES, sizeof(*roles));
    if (roles == NULL) {
        return -1;
    }

    json_array_foreach(all, i, one)
    {
        for (k = 0; k < 4; k++) {
            if (json_object_get(one, shape[k]) == NULL) {
                return -1;
            }
        }
        text = json_dumps(one, 0);
        roles[i] = aml_role_parse(text, strlen(text), err, sizeof(err));
        free(text);
        if (roles[i] == NULL) {
            print_error("%s\n", err);
            return -1;
        }
    }
    json_decref(all);
    *state = roles;

    return 0;
}


static int
free_builtin(void **state)
{
    aml_role_t **roles = *state;
    size_t i;

    for (i = 0; i < ROLES; i++) {
        aml_role_free(roles[i]);
    }
    free(roles);

    return 0;
}


static void
builtin_names(void **state)
{
    aml_role_t **roles = *state;
    aml_principal_id_t id;
    size_t i;

    for (i = 0; i < ROLES; i++) {
        assert_int_equal(aml_uuid_parse(aml_str_of(builtin[i].guid), &id), 0);
        assert_true(aml_principal_eq(aml_role_id(roles[i]), &id));
        assert_string_equal(aml_role_name(roles[i]), builtin[i].name);
    }
}


/* ---- reading ---- */

static aml_role_t *
parse(const char *json, char *err)
{
    return aml_role_parse(json, strlen(json), err, 128);
}


static void
formats(void **state)
{
    static const struct {
        const char *what, *json;
    } t[] = {
        {"PowerShell",
         "{\"Name\":\"Trainer\",\"Id\":\"" GUID "\",\"IsCustom\":true,"
         "\"Description\":\"\",\"Actions\":[\"a/*\"],\"NotActions\":[\"a/b\"],"
         "\"DataActions\":[],\"NotDataActions\":[],"
         "\"AssignableScopes\":[\"/\"]}"},
        {"ARM", "{\"name\":\"" GUID "\",\"id\":\"/subscriptions/s/providers/"
                "Microsoft.Authorization/roleDefinitions/" GUID "\","
                "\"properties\":{\"roleName\":\"Trainer\",\"permissions\":"
                "[{\"actions\":[\"a/*\"],\"notActions\":[\"a/b\"]}]}}"},
        {"ARM without id",
         "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"Trainer\","
         "\"permissions\":[{\"actions\":[\"a/*\"],"
         "\"notActions\":[\"a/b\"]}]}}"},
        {"az", "{\"name\":\"" GUID "\",\"id\":\"/x/" GUID "\","
               "\"roleName\":\"Trainer\",\"roleType\":\"CustomRole\","
               "\"permissions\":[{\"actions\":[\"a/*\"],"
               "\"notActions\":[\"a/b\"]}]}"},
        {"other case, other order",
         "{\"NOTACTIONS\":[\"A/B\"],\"aCTIONS\":[\"A/*\"],"
         "\"ID\":\"01234567-89AB-CDEF-0123-456789ABCDEF\","
         "\"NAME\":\"Trainer\"}"},
        {"a label that is a GUID", "{\"Name\":\"Trainer\",\"Id\":\"" GUID "\","
                                   "\"Actions\":[\"a/*\"],"
                                   "\"NotActions\":[\"a/b\"],"
                                   "\"DataActions\":null}"},
    };
    aml_principal_id_t id;
    char err[128];
    aml_role_t *r;
    size_t i;

    (void) state;
    assert_int_equal(aml_uuid_parse(aml_str(GUID), &id), 0);

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        r = parse(t[i].json, err);
        if (r == NULL) {
            fail_msg("%s: %s", t[i].what, err);
        }
        assert_string_equal(err, "");
        assert_string_equal(aml_role_name(r), "Trainer");
        assert_true(aml_principal_eq(aml_role_id(r), &id));
        assert_int_equal(aml_role_allows(r, aml_str("a/c")), 1);
        assert_int_equal(aml_role_allows(r, aml_str("a/b")), 0);
        assert_int_equal(aml_role_allows(r, aml_str("b")), 0);
        aml_role_free(r);
    }
    aml_role_free(NULL);
}


/* NotActions takes from the actions beside it and from nothing else. */
static void
permissions_are_united(void **state)
{
    char err[128];
    aml_role_t *r;

    (void) state;

    r = parse("{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
              "\"permissions\":["
              "{\"actions\":[\"a/*\"],\"notActions\":[\"a/x\",\"*\"]},"
              "{\"actions\":[\"a/x\"],\"notActions\":null},"
              "{\"notActions\":[\"a/x\"]},{}]}}",
              err);
    assert_non_null(r);
    assert_int_equal(aml_role_allows(r, aml_str("a/x")), 1);
    assert_int_equal(aml_role_allows(r, aml_str("a/y")), 0);
    aml_role_free(r);

    /* dataActions grant nothing here */
    r = parse("{\"Name\":\"r\",\"Id\":\"" GUID "\",\"DataActions\":[\"*\"]}",
              err);
    assert_non_null(r);
    assert_int_equal(aml_role_allows(r, aml_str("a/x")), 0);
    aml_role_free(r);
}


static void
refuses(void **state)
{
    static const char *const t[] = {
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{}",
        "\xff",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\"}x",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Name\":\"r\"}",
        "{\"Id\":\"" GUID "\",\"Actions\":[]}",
        "{\"Name\":\"\",\"Id\":\"" GUID "\",\"Actions\":[]}",
        "{\"Name\":\"r\",\"Actions\":[]}",
        "{\"Name\":\"r\",\"Id\":null,\"Actions\":[]}",
        "{\"Name\":\"r\",\"Id\":7,\"Actions\":[]}",
        "{\"Name\":\"r\",\"Id\":\"01234567\",\"Actions\":[]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "/\",\"Actions\":[]}",
        "{\"Name\":\"r\",\"Id\":\"x" GUID "\",\"Actions\":[]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":\"*\"}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":{\"0\":\"*\"}}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[1]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[null]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"\"]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"a\\u0000b\"]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"*\"],"
        "\"NotActions\":\"a\"}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"*\"],"
        "\"NotActions\":[1]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"*\"],"
        "\"notactions\":[\"a\"],\"NotActions\":[]}",
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"id\":\"" GUID2 "\","
        "\"Actions\":[\"*\"]}",
        "{\"name\":\"" GUID2 "\",\"id\":\"/x/" GUID "\","
        "\"properties\":{\"roleName\":\"r\",\"permissions\":[]}}",
        "{\"name\":\"" GUID "\",\"properties\":[]}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\"}}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":1,"
        "\"permissions\":[]}}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
        "\"permissions\":{}}}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
        "\"permissions\":[[]]}}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
        "\"permissions\":[{\"actions\":[\"*\"]},{\"actions\":[0]}]}}",

        /* two formats at once: which is it? */
        "{\"name\":\"" GUID "\",\"actions\":[\"*\"],\"properties\":{"
        "\"roleName\":\"r\",\"permissions\":[]}}",
        "{\"name\":\"" GUID "\",\"roleName\":\"r\",\"permissions\":[],"
        "\"NotActions\":[\"*\"]}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
        "\"permissions\":[],\"Actions\":[\"*\"]}}",
        "{\"name\":\"" GUID "\",\"permissions\":[],\"properties\":{"
        "\"roleName\":\"r\",\"permissions\":[{\"actions\":[\"*\"]}]}}",

        /* what can't be kept */
        "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"*\"],"
        "\"Condition\":\"x\"}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
        "\"permissions\":[{\"actions\":[\"*\"],\"condition\":\"x\"}]}}",
        "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
        "\"permissions\":[{\"actions\":[\"*\"],\"condition\":{}}]}}",
    };
    char err[128], longest[2200];
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        aml_role_t *r = parse(t[i], err);
        if (r != NULL) {
            fail_msg("%s", t[i]);
        }
        if (err[0] == '\0') {
            fail_msg("no reason for %s", t[i]);
        }
    }

    i = (size_t) snprintf(longest, sizeof(longest),
                          "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":["
                          "\"%01100d\"]}",
                          0);
    assert_null(aml_role_parse(longest, i, err, sizeof(err)));

    /* Nowhere, or hardly anywhere, to say why. */
    assert_null(aml_role_parse("{}", 2, NULL, 0));
    err[1] = '#';
    assert_null(aml_role_parse("{}", 2, err, 1));
    assert_int_equal(err[0], '\0');
    assert_int_equal(err[1], '#');
}


static void
assignable(void **state)
{
    static const struct {
        const char *scopes;
        const char *yes, *no;
    } t[] = {
        {"", "/subscriptions/s", NULL},
        {",\"AssignableScopes\":null", "/", NULL},
        {",\"AssignableScopes\":[\"/\"]", "/subscriptions/s", NULL},
        {",\"assignablescopes\":[\"/a/b\",\"/c/d\"]", "/C/d/e/f", "/a/b2"},
        {",\"AssignableScopes\":[\"/a/b\"]", "/a/b", "/a"},
        {",\"AssignableScopes\":[\"/a/b\"]", "/a/b/c/d", "/"},
        {",\"AssignableScopes\":[]", NULL, "/"},
        {",\"AssignableScopes\":\"/\"", NULL, "/"},
        {",\"AssignableScopes\":[7,null]", NULL, "/"},
        {",\"AssignableScopes\":[\"/\"],\"assignableScopes\":[]", NULL, "/"},
    };
    char json[512], err[128];
    aml_role_t *r;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        snprintf(json, sizeof(json), "{\"Name\":\"r\",\"Id\":\"" GUID "\"%s}",
                 t[i].scopes);
        r = parse(json, err);
        assert_non_null(r);
        assert_true(t[i].yes == NULL ||
                    aml_role_assignable(r, aml_str_of(t[i].yes)));
        assert_true(t[i].no == NULL ||
                    !aml_role_assignable(r, aml_str_of(t[i].no)));
        aml_role_free(r);
    }
}


static void
says_what_it_is(void **state)
{
    static const struct {
        int custom;
        const char *json;
    } t[] = {
        {0, "{\"Name\":\"r\",\"Id\":\"" GUID "\"}"},
        {0, "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"IsCustom\":false}"},
        {1, "{\"Name\":\"r\",\"Id\":\"" GUID "\",\"IsCustom\":true}"},
        {1, "{\"name\":\"" GUID "\",\"roleName\":\"r\",\"roleType\":"
            "\"CustomRole\",\"permissions\":[]}"},
        {1, "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
            "\"type\":\"customRole\",\"permissions\":[]}}"},
        {0, "{\"name\":\"" GUID "\",\"properties\":{\"roleName\":\"r\","
            "\"type\":\"BuiltInRole\",\"permissions\":[]}}"},
    };
    char err[128];
    aml_role_t *r;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        r = parse(t[i].json, err);
        assert_non_null(r);
        assert_int_equal(aml_role_custom(r), t[i].custom);
        aml_role_free(r);
    }

    r = parse("{\"Name\":\"r\",\"Id\":\"" GUID "\",\"Actions\":[\"a/*\"],"
              "\"NotActions\":[\"a/b\"]}",
              err);
    assert_non_null(r);
    assert_int_equal(aml_role_takes_back(r, aml_str("A/B")), 1);
    assert_int_equal(aml_role_takes_back(r, aml_str("a/c")), 0);
    assert_int_equal(aml_role_takes_back(r, aml_str("b/c")), 0);
    assert_int_equal(aml_role_takes_back(r, aml_str("")), 0);
    aml_role_free(r);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(matches_as_the_rule_says),
        cmocka_unit_test(long_pieces),
        cmocka_unit_test(takes_no_time),
        cmocka_unit_test(scopes),
        cmocka_unit_test_setup_teardown(builtin_names, load_builtin,
                                        free_builtin),
        cmocka_unit_test(formats),
        cmocka_unit_test(permissions_are_united),
        cmocka_unit_test(refuses),
        cmocka_unit_test(assignable),
        cmocka_unit_test(says_what_it_is),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
