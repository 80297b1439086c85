#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/reason.h"


static void
codes(void **state)
{
    const aml_reason_info_t *info;
    size_t k;
    int i, j;

    (void) state;

    for (i = 0; i < AML_REASON_COUNT; i++) {
        info = aml_reason_info((aml_reason_t) i);

        assert_true(info->code.n > 1 && info->code.n <= 40);
        for (k = 0; k < info->code.n; k++) {
            assert_true((info->code.p[k] >= 'a' && info->code.p[k] <= 'z') ||
                        info->code.p[k] == '_');
        }
        assert_int_equal(aml_reason_find(info->code), i);

        for (j = 0; j < i; j++) {
            assert_false(aml_str_eq(info->code,
                                    aml_reason_info((aml_reason_t) j)->code));
        }
    }

    assert_int_equal(aml_reason_find(aml_str("")), AML_REASON_COUNT);
    assert_int_equal(aml_reason_find(aml_str("not_creato")), AML_REASON_COUNT);
    assert_int_equal(aml_reason_find(aml_str("NOT_CREATOR")), AML_REASON_COUNT);
    assert_int_equal(aml_reason_find(aml_str("not_creator")),
                     AML_REASON_NOT_CREATOR);
}


static void
statuses(void **state)
{
    static const struct {
        aml_reason_t reason;
        unsigned status;
    } t[] = {
        {AML_REASON_OK, 200},
        {AML_REASON_SIGN_IN_REQUIRED, 401},
        {AML_REASON_SESSION_UNKNOWN, 401},
        {AML_REASON_TOKEN_SIGNATURE, 401},
        {AML_REASON_CREDENTIAL_REPEATED, 400},
        {AML_REASON_NOT_CREATOR, 403},
        {AML_REASON_ACTION_DENIED, 403},
        {AML_REASON_CROSS_ORIGIN, 403},
        {AML_REASON_INSTANCE_NOT_FOUND, 404},
        {AML_REASON_INSTANCE_STARTING, 503},
        {AML_REASON_INSTANCE_STOPPED, 409},
        {AML_REASON_APPLICATION_UNREACHABLE, 502},
        {AML_REASON_APPLICATION_TIMEOUT, 504},
        {AML_REASON_DAEMON_UNAVAILABLE, 503},
        {AML_REASON_REGISTRY_UNAVAILABLE, 503},
    };
    const aml_reason_info_t *info;
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        assert_int_equal(aml_reason_info(t[i].reason)->status, t[i].status);
    }

    for (i = 1; i < AML_REASON_COUNT; i++) {
        info = aml_reason_info((aml_reason_t) i);

        /* A refusal is one, and never "internal server error". */
        assert_true(info->status >= 400 && info->status < 600);
        assert_int_not_equal(info->status, 500);
        assert_true(info->title.n > 0 && info->text.n > 0 && info->next.n > 0);
        assert_int_equal(info->text.p[info->text.n - 1], '.');
        assert_int_equal(info->next.p[info->next.n - 1], '.');
    }
}


static void
out_of_range(void **state)
{
    const aml_reason_info_t *last;

    (void) state;

    last = aml_reason_info(AML_REASON_REGISTRY_UNAVAILABLE);
    assert_ptr_equal(aml_reason_info(AML_REASON_COUNT), last);
    assert_ptr_equal(aml_reason_info((aml_reason_t) 100000), last);
    assert_ptr_equal(aml_reason_info((aml_reason_t) -1), last);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(statuses),
        cmocka_unit_test(out_of_range),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
