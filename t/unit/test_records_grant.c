/*
 * Records of grants, personal access tokens, and counts.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "registry/records.h"


static size_t
grant(void *buf, size_t size)
{
    static const aml_principal_id_t groups[] = {{{1}}, {{2}}, {{3}}};
    aml_grant_t g = {.expires = 77,
                     .flags = AML_GRANT_UNKNOWN,
                     .principal = {{9}},
                     .group_count = 3};

    return aml_grant_encode(&g, groups, buf, size);
}


static size_t
token(void *buf, size_t size)
{
    aml_personal_token_t t = {
        .created = 1,
        .expires = 2,
        .principal = {{3}},
        .id = {{4}},
        .label = aml_str("nightly"),
        .instance_count = 2,
        .action_count = 1,
        .instances = {aml_str("first-lab"), aml_str("b")},
        .actions = {aml_str("*/read")},
    };

    return aml_personal_token_encode(&t, buf, size);
}


static size_t
counts(void *buf, size_t size)
{
    aml_counts_t c = {.jobs_submitted = 1,
                      .jobs_completed = 2,
                      .jobs_failed = 3,
                      .jobs_canceled = 4,
                      .jobs_queued = 5,
                      .jobs_running = 6,
                      .job_waits = {7, 8, 9, 10, 11, 12},
                      .job_waited = 13,
                      .service_starts = 14,
                      .service_restarts = 15,
                      .service_failures = 1ull << 63};

    return aml_counts_encode(&c, buf, size);
}


static aml_record_rc_t
decode_counts(aml_str_t v)
{
    aml_counts_t c;

    return aml_counts_decode(v, &c);
}


static aml_record_rc_t
decode_grant(aml_str_t v)
{
    aml_grant_t g;
    unsigned i;
    aml_record_rc_t rc = aml_grant_decode(v, &g);

    for (i = 0; rc == AML_RECORD_OK && i < g.group_count; i++) {
        (void) aml_grant_group(&g, i); /* within the value: the sanitizer */
    }

    return rc;
}


static aml_record_rc_t
decode_token(aml_str_t v)
{
    aml_personal_token_t t;

    return aml_personal_token_decode(v, &t);
}


/* Exactly as long as it says, for the sanitizer. */
static aml_record_rc_t
copied(aml_record_rc_t (*decode)(aml_str_t), const void *p, size_t n)
{
    char *copy = malloc(n + (n == 0));
    aml_record_rc_t rc;

    memcpy(copy, p, n);
    rc = decode((aml_str_t){copy, n});
    free(copy);

    return rc;
}


static void
test_grant(void **state)
{
    char buf[512];
    aml_grant_t g;
    aml_principal_id_t id;
    size_t n = grant(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_grant_decode((aml_str_t){buf, n}, &g), AML_RECORD_OK);
    assert_int_equal(g.expires, 77);
    assert_int_equal(g.flags, AML_GRANT_UNKNOWN);
    assert_int_equal(g.principal.b[0], 9);
    assert_int_equal(g.group_count, 3);
    id = aml_grant_group(&g, 2);
    assert_int_equal(id.b[0], 3);

    g.flags = 2;
    g.group_count = 0;
    assert_int_equal(aml_grant_encode(&g, NULL, buf, sizeof(buf)), 0);
    g.flags = 0;
    assert_true(aml_grant_encode(&g, NULL, buf, sizeof(buf)) > 0);
    g.group_count = AML_GRANT_GROUPS + 1;
    assert_int_equal(aml_grant_encode(&g, NULL, buf, sizeof(buf)), 0);
}


static void
test_token(void **state)
{
    char buf[512];
    aml_personal_token_t t, u;
    size_t n = token(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_personal_token_decode((aml_str_t){buf, n}, &t),
                     AML_RECORD_OK);
    assert_int_equal(t.created, 1);
    assert_int_equal(t.expires, 2);
    assert_int_equal(t.principal.b[0], 3);
    assert_int_equal(t.id.b[0], 4);
    assert_true(aml_str_eq(t.label, aml_str("nightly")));
    assert_int_equal(t.instance_count, 2);
    assert_true(aml_str_eq(t.instances[1], aml_str("b")));
    assert_int_equal(t.action_count, 1);
    assert_true(aml_str_eq(t.actions[0], aml_str("*/read")));

    /* "none" and a list of them; more than there is room for; an empty one */
    u = t;
    u.flags = AML_TOKEN_NO_INSTANCES;
    assert_int_equal(aml_personal_token_encode(&u, buf, sizeof(buf)), 0);
    u.instance_count = 0;
    assert_true(aml_personal_token_encode(&u, buf, sizeof(buf)) > 0);
    u.flags = 2;
    assert_int_equal(aml_personal_token_encode(&u, buf, sizeof(buf)), 0);
    u = t;
    u.action_count = AML_TOKEN_SCOPES + 1;
    assert_int_equal(aml_personal_token_encode(&u, buf, sizeof(buf)), 0);
    u = t;
    u.actions[0] = aml_str("");
    assert_int_equal(aml_personal_token_encode(&u, buf, sizeof(buf)), 0);
}


static void
test_counts(void **state)
{
    char buf[512];
    unsigned i;
    aml_counts_t c;
    size_t n = counts(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_counts_decode((aml_str_t){buf, n}, &c), AML_RECORD_OK);
    assert_int_equal(c.jobs_submitted, 1);
    assert_int_equal(c.jobs_completed, 2);
    assert_int_equal(c.jobs_failed, 3);
    assert_int_equal(c.jobs_canceled, 4);
    assert_int_equal(c.jobs_queued, 5);
    assert_int_equal(c.jobs_running, 6);
    for (i = 0; i < AML_COUNTS_WAITS; i++) {
        assert_int_equal(c.job_waits[i], 7 + i);
        assert_true(aml_counts_bound(i) >
                        (i > 0 ? aml_counts_bound(i - 1) : 0) ||
                    i == AML_COUNTS_WAITS - 1);
    }
    assert_int_equal(aml_counts_bound(AML_COUNTS_WAITS - 1), 0);
    assert_int_equal(c.job_waited, 13);
    assert_int_equal(c.service_starts, 14);
    assert_int_equal(c.service_restarts, 15);
    assert_true(c.service_failures == 1ull << 63);
}


static void
test_every_byte(void **state)
{
    static const struct {
        size_t (*make)(void *buf, size_t size);
        aml_record_rc_t (*decode)(aml_str_t);
    } records[] = {
        {grant, decode_grant}, {token, decode_token}, {counts, decode_counts}};
    char buf[512], old;
    size_t i, n, at;
    int c;

    (void) state;

    for (i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        n = records[i].make(buf, sizeof(buf));
        assert_int_equal(copied(records[i].decode, buf, n), AML_RECORD_OK);
        assert_int_equal(copied(records[i].decode, buf, n + 1),
                         AML_RECORD_TRUNCATED);
        for (at = 0; at < n; at++) {
            assert_int_equal(copied(records[i].decode, buf, at),
                             AML_RECORD_TRUNCATED);
            assert_int_equal(records[i].make(buf, at), 0);
        }

        n = records[i].make(buf, sizeof(buf));
        for (at = 0; at < n; at++) {
            old = buf[at];
            for (c = 0; c < 256; c++) {
                buf[at] = (char) c;
                (void) copied(records[i].decode, buf, n);
            }
            buf[at] = old;
        }
        buf[0] = 2;
        assert_int_equal(copied(records[i].decode, buf, n), AML_RECORD_VERSION);
    }
}


static void
test_keys(void **state)
{
    char key[512];
    uint8_t hash[32] = {0xab};
    aml_principal_id_t id = {{0x12}};

    (void) state;

    assert_int_equal(aml_key_grant(key, &id), 6 + 36);
    assert_string_equal(key, "grant/12000000-0000-0000-0000-000000000000");
    assert_int_equal(aml_key_token(key, hash), 6 + 64);
    assert_memory_equal(key, "token/ab00", 10);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grant),  cmocka_unit_test(test_token),
        cmocka_unit_test(test_counts), cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_keys),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
