#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/action.h"

#define S "/subscriptions/5f1c"
#define G S "/resourceGroups/lab_1"
#define N "Microsoft.MachineLearningServices"
#define W G "/providers/" N "/workspaces/demo"


static void
names(void **state)
{
    static const struct {
        const char *method, *path, *action, *scope;
    } t[] = {
        {"GET", W "/computes/lab1", N "/workspaces/computes/read",
         W "/computes/lab1"},
        {"HEAD", W "/computes/lab1", N "/workspaces/computes/read",
         W "/computes/lab1"},
        {"GET", W "/computes", N "/workspaces/computes/read", W},
        {"PUT", W "/computes/lab1", N "/workspaces/computes/write",
         W "/computes/lab1"},
        {"PATCH", W "/computes/lab1", N "/workspaces/computes/write",
         W "/computes/lab1"},
        {"DELETE", W "/computes/lab1", N "/workspaces/computes/delete",
         W "/computes/lab1"},
        {"POST", W "/computes/lab1/start",
         N "/workspaces/computes/start/action", W "/computes/lab1"},
        {"POST", W "/jobs/j-1/cancel", N "/workspaces/jobs/cancel/action",
         W "/jobs/j-1"},
        {"POST", W "/listKeys", N "/workspaces/listKeys/action", W},
        {"GET", W, N "/workspaces/read", W},
        {"DELETE", W, N "/workspaces/delete", W},
        {"GET", G "/providers/" N "/workspaces", N "/workspaces/read", G},
        {"GET", S "/providers/" N "/workspaces", N "/workspaces/read", S},
        {"GET", W "/jobs/j-1/logs", N "/workspaces/jobs/logs/read",
         W "/jobs/j-1"},
        {"GET", S "/providers/" N "/locations/local/usages",
         N "/locations/usages/read", S},
        {"GET", S "/providers/" N "/locations/local", N "/locations/read", S},
        {"GET", S "/providers/" N "/locations/local/operations/1",
         N "/locations/operations/read", S},
        {"POST", S "/providers/" N "/locations/local/updateQuotas",
         N "/locations/updateQuotas/action", S},

        /* the case of the path stays */
        {"GET", "/Subscriptions/S/PROVIDERS/n/Workspaces/W",
         "n/Workspaces/read", "/Subscriptions/S/PROVIDERS/n/Workspaces/W"},

        /* extension resources, at what they extend */
        {"GET", W "/providers/Microsoft.Authorization/roleAssignments",
         "Microsoft.Authorization/roleAssignments/read", W},
        {"PUT", W "/providers/Microsoft.Authorization/roleAssignments/r1",
         "Microsoft.Authorization/roleAssignments/write",
         W "/providers/Microsoft.Authorization/roleAssignments/r1"},
        {"GET", S "/providers/Microsoft.Authorization/roleDefinitions",
         "Microsoft.Authorization/roleDefinitions/read", S},
        {"GET", "/providers/Microsoft.Authorization/roleDefinitions",
         "Microsoft.Authorization/roleDefinitions/read", "/"},
        {"POST", "/providers/N/check", "N/check/action", "/"},

        /* a name that looks like the word */
        {"GET", "/subscriptions/providers/providers/N/workspaces/providers",
         "N/workspaces/read",
         "/subscriptions/providers/providers/N/workspaces/providers"},
        {"GET", "/subscriptions/s/providers/N/workspaces/providers/computes/c",
         "N/workspaces/computes/read",
         "/subscriptions/s/providers/N/workspaces/providers/computes/c"},
        {"GET", S "/providers/N/providers/x", "N/providers/read",
         S "/providers/N/providers/x"},
        {"GET", W "/locations/l", N "/workspaces/locations/read",
         W "/locations/l"},
        {"GET", W "/computes/...", N "/workspaces/computes/read",
         W "/computes/..."},
    };
    aml_action_t a;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (aml_action_of(aml_str_of(t[i].method), aml_str_of(t[i].path), &a) !=
            0) {
            fail_msg("%s %s: refused", t[i].method, t[i].path);
        }
        if (!aml_str_eq((aml_str_t){a.action, a.action_len},
                        aml_str_of(t[i].action)) ||
            !aml_str_eq(a.scope, aml_str_of(t[i].scope))) {
            fail_msg("%s %s: %.*s at %.*s", t[i].method, t[i].path,
                     (int) a.action_len, a.action, (int) a.scope.n, a.scope.p);
        }
        assert_ptr_equal(a.scope.p, t[i].path);
    }
}


static void
refuses(void **state)
{
    static const struct {
        const char *method, *path;
    } t[] = {
        {"GET", ""},
        {"GET", "/"},
        {"GET", "//"},
        {"GET", "providers/N/t"},
        {"GET", "/providers"},
        {"GET", "/providers/N"},
        {"GET", S},
        {"GET", G},
        {"GET", "/subscriptions"},
        {"GET", S "/providers"},
        {"GET", S "/providers/" N},
        {"GET", S "/resourceGroups/providers/" N "/workspaces"},
        {"GET", W "/"},
        {"GET", W "//computes"},
        {"GET", "/" W},
        {"GET", W "/computes/lab1/"},
        {"GET", W "/computes/."},
        {"GET", W "/computes/.."},
        {"GET", W "/../demo2/computes"},
        {"GET", W "/computes/a%20b"},
        {"GET", W "/computes/a b"},
        {"GET", W "/computes/a;b"},
        {"GET", W "/computes/a*"},
        {"GET", W "/comp*tes/a"},
        {"GET", W "/computes/a?x"},
        {"GET", W "/computes/a\\b"},
        {"GET", W "/computes/\xc3\xa9"},
        {"GET", W "/computes/a\n"},
        {"GET", W "/providers"},
        {"GET", W "/providers/Microsoft.Authorization"},
        {"POST", W "/providers"},
        {"PUT", W "/computes"},
        {"PATCH", W "/computes"},
        {"DELETE", W "/computes"},
        {"POST", W "/computes/lab1"},
        {"POST", W},
        {"OPTIONS", W "/computes"},
        {"TRACE", W "/computes"},
        {"CONNECT", W "/computes"},
        {"get", W "/computes"},
        {"GETX", W "/computes"},
        {"", W "/computes"},
    };
    aml_action_t a;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (aml_action_of(aml_str_of(t[i].method), aml_str_of(t[i].path), &a) !=
            -1) {
            fail_msg("%s %s: %.*s", t[i].method, t[i].path, (int) a.action_len,
                     a.action);
        }
    }

    assert_int_equal(aml_action_of(aml_str("GET"),
                                   (aml_str_t){W "/computes\0x",
                                               sizeof(W "/computes\0x") - 1},
                                   &a),
                     -1);
    assert_int_equal(aml_action_of(aml_str("GET"), (aml_str_t){NULL, 0}, &a),
                     -1);
}


static void
keeps_to_its_limits(void **state)
{
    char path[4096];
    aml_action_t a;
    size_t n, i, fits = 0;

    (void) state;

    /* Types of growing length: the action must end inside its array. */
    for (n = 1; n <= 260; n++) {
        memcpy(path, "/providers/N/", 13);
        memset(path + 13, 't', n);
        if (aml_action_of(aml_str("GET"), (aml_str_t){path, 13 + n}, &a) == 0) {
            assert_true(a.action_len <= AML_ACTION_MAX);
            assert_int_equal(a.action_len, 2 + n + 5);
            fits = n;
        }
    }
    assert_int_equal(fits, AML_ACTION_MAX - 7);

    /* A long name is no part of the action, but has its own limit. */
    memcpy(path, "/providers/N/t/", 15);
    memset(path + 15, 'n', sizeof(path) - 15);
    assert_int_equal(
        aml_action_of(aml_str("GET"), (aml_str_t){path, 15 + 260}, &a), 0);
    assert_int_equal(
        aml_action_of(aml_str("GET"), (aml_str_t){path, 15 + 261}, &a), -1);

    /* A long path of good segments. */
    n = 0;
    for (i = 0; n + 64 < sizeof(path); i++) {
        memcpy(path + n, "/subscriptions/abcdefghijklmnopqrstuv", 37);
        n += 37;
    }
    memcpy(path + n, "/providers/N/t", 14);
    assert_int_equal(
        aml_action_of(aml_str("GET"), (aml_str_t){path, n + 14}, &a), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(refuses),
        cmocka_unit_test(keeps_to_its_limits),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
