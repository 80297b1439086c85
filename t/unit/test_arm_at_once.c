/*
 * PUTs at the same moment: who gets a name, or the last cores.
 */

#include "t/unit/arm_bodies.h"

#include <pthread.h>

typedef struct {
    server_t *s;
    const char *principal;
    char target[256];
    long status;
    char code[64];
} put_t;


static void *
put_one(void *data)
{
    char v[1024];
    put_t *p = data;
    answer_t *a = malloc(sizeof(*a));

    *a = call_by(p->s, p->principal, "PUT", p->target, BODY);
    p->status = a->status;
    snprintf(p->code, sizeof(p->code), "%.60s", at(a, "error/code", v));
    free(a);

    return NULL;
}


static void
one_name_at_once(void **state)
{
    server_t *s = *state;
    unsigned round, i, won;
    pthread_t threads[4];
    put_t puts[4];

    for (round = 0; round < 10; round++) {
        for (i = 0; i < 4; i++) {
            puts[i].s = s;
            puts[i].principal = i == 0   ? MINE
                                : i == 1 ? THEIRS
                                : i == 2
                                    ? "22222222-2222-8222-8222-222222222222"
                                    : "33333333-3333-8333-8333-333333333333";
            snprintf(puts[i].target, sizeof(puts[i].target),
                     W "/computes/%s-%c" V, i % 2 ? "lab" : "LAB",
                     (int) ('a' + round));
            assert_int_equal(
                pthread_create(&threads[i], NULL, put_one, &puts[i]), 0);
        }
        for (i = 0, won = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            won += puts[i].status == 201;
            if (puts[i].status != 201) {
                assert_int_equal(puts[i].status, 409);
                assert_string_equal(puts[i].code, "NameNotAvailable");
            }
        }
        assert_int_equal(won, 1);
    }
    assert_int_equal(scratch_count(s->scratch, "compute/"), 10);
}


static void
quota(void **state)
{
    static amld_quota_config_t limits[] = {
        {(char *) "standardDSv2Family", 14},
        {(char *) "total", 20},
    };
    server_t *s = *state;
    char v[1024];
    unsigned i, won;
    pthread_t threads[6];
    put_t puts[6];
    answer_t a;

    s->config.quotas = limits;
    s->config.quota_count = 2;

    /* six at once, and room for three */
    for (i = 0; i < 6; i++) {
        puts[i].s = s;
        puts[i].principal = MINE;
        snprintf(puts[i].target, sizeof(puts[i].target), W "/computes/lab-%c" V,
                 (int) ('a' + i));
        assert_int_equal(pthread_create(&threads[i], NULL, put_one, &puts[i]),
                         0);
    }
    for (i = 0, won = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        won += puts[i].status == 201;
        if (puts[i].status != 201) {
            assert_int_equal(puts[i].status, 409);
            assert_string_equal(puts[i].code, "QuotaExceeded");
        }
    }
    assert_int_equal(won, 3);
    assert_int_equal(scratch_count(s->scratch, "compute/"), 3);
    assert_int_equal(scratch_count(s->scratch, "name/"), 3);

    /* which quota, its limit, what is used, by how much */
    a = call(s, "PUT", LAB, BODY);
    assert_int_equal(a.status, 409);
    assert_string_equal(
        at(&a, "error/message", v),
        "The quota 'standardDSv2Family' in 'local' is 14 cores, of which 12 "
        "are in use; 'STANDARD_DS3_V2' has 4 cores, which is 2 too many. "
        "Compute instances that are stopped count. Delete one, ask for a "
        "smaller size, or have the quota raised.");
    assert_string_equal(at(&a, "error/additionalInfo/0/info/quota", v),
                        "standardDSv2Family");

    /* all together */
    a = call(s, "PUT", LAB, INSIDE("\"vmSize\":\"STANDARD_NC12\""));
    assert_int_equal(a.status, 409);
    assert_non_null(strstr(at(&a, "error/message", v), "The quota 'total'"));
    assert_non_null(strstr(v, "which is 4 too many"));

    /* one that there is already takes nothing more */
    for (i = 0; puts[i].status != 201; i++) {
        /* void */
    }
    assert_int_equal(call(s, "PUT", puts[i].target, BODY).status, 200);
    assert_int_equal(
        call(s, "PUT", LAB, INSIDE("\"vmSize\":\"STANDARD_DS2_V2\"")).status,
        201);
}


int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, arm_setup, arm_teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_name_at_once),
        TEST(quota),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("arm_at_once", tests, NULL, NULL);
}
