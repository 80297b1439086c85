#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/activity.h"

static aml_activity_t
sample(unsigned i)
{
    aml_activity_t a = {.kind = AML_ACTIVITY_SESSION + i % 3,
                        .requests = 1 + i,
                        .polls = i,
                        .in = 1000000 * i,
                        .out = UINT32_MAX - i,
                        .age = i};

    memset(a.credential, (int) i, sizeof(a.credential));
    a.credential[31] = 0xa5;
    if (i % 2) {
        a.name = aml_str_of(i % 4 == 1 ? "lab" : "a23456789-123456789-bcde");
        a.port = i % 4 == 1 ? 8888 : 65535;
    }

    return a;
}


static void
same(const aml_activity_t *a, const aml_activity_t *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(a->credential, b->credential, 32);
    assert_int_equal(a->requests, b->requests);
    assert_int_equal(a->polls, b->polls);
    assert_int_equal(a->in, b->in);
    assert_int_equal(a->out, b->out);
    assert_int_equal(a->age, b->age);
    assert_int_equal(a->port, b->port);
    assert_true(aml_str_eq(a->name, b->name));
}


static aml_record_rc_t
decode(const aml_activity_batch_t *b, size_t n, aml_activity_t *list,
       unsigned *count)
{
    return aml_activity_decode((aml_str_t){(const char *) b->bytes, n}, list,
                               count);
}


static void
test_round(void **state)
{
    aml_activity_batch_t batch = {.n = 0};
    aml_activity_t list[AML_ACTIVITY_RECORDS], a;
    unsigned i, k, count;

    (void) state;

    for (i = 0; i < AML_ACTIVITY_RECORDS; i++) {
        a = sample(i);
        assert_int_equal(aml_activity_add(&batch, &a), 0);
        assert_int_equal(decode(&batch, batch.n, list, &count), AML_RECORD_OK);
        assert_int_equal(count, i + 1);
        for (k = 0; k <= i; k++) {
            a = sample(k);
            same(&a, &list[k]);
        }
    }

    assert_int_equal(aml_activity_add(&batch, &a), -1);
    assert_int_equal(batch.count, AML_ACTIVITY_RECORDS);

    /* and again from the beginning */
    batch.n = batch.count = 0;
    a = sample(3);
    assert_int_equal(aml_activity_add(&batch, &a), 0);
    assert_int_equal(decode(&batch, batch.n, list, &count), AML_RECORD_OK);
    assert_int_equal(count, 1);
    same(&a, &list[0]);
}


/* The longest of everything fits as often as is promised. */
static void
test_full(void **state)
{
    aml_activity_batch_t batch = {.n = 0};
    aml_activity_t a = sample(3);
    unsigned i;

    (void) state;

    assert_int_equal(a.name.n, 24);
    for (i = 0; i < AML_ACTIVITY_RECORDS; i++) {
        assert_int_equal(aml_activity_add(&batch, &a), 0);
    }
    assert_true(batch.n <= AML_ACTIVITY_MAX);
}


static void
test_age(void **state)
{
    aml_activity_batch_t batch = {.n = 0};
    aml_activity_t a = sample(1), list[AML_ACTIVITY_RECORDS];
    unsigned count;

    (void) state;

    a.age = 1 << 20;
    assert_int_equal(aml_activity_add(&batch, &a), 0);
    assert_int_equal(decode(&batch, batch.n, list, &count), AML_RECORD_OK);
    assert_int_equal(list[0].age, AML_ACTIVITY_AGE_MAX);
}


static void
refused(const aml_activity_batch_t *b, size_t n, aml_record_rc_t rc)
{
    aml_activity_t list[AML_ACTIVITY_RECORDS];
    unsigned count = 7;

    assert_int_equal(decode(b, n, list, &count), rc);
    assert_int_equal(count, 0);
}


static void
test_bad(void **state)
{
    static const char *const names[] = {"Lab", "la", "lab-1", "1lab", "la.b"};
    aml_activity_batch_t batch = {.n = 0}, bad;
    aml_activity_t a;
    unsigned i;
    size_t n;

    (void) state;

    for (i = 0; i < 3; i++) {
        a = sample(i);
        assert_int_equal(aml_activity_add(&batch, &a), 0);
    }

    for (n = 0; n < batch.n; n++) {
        refused(&batch, n, AML_RECORD_TRUNCATED);
    }

    memcpy(&bad, &batch, sizeof(bad));
    refused(&bad, batch.n + 1, AML_RECORD_TRUNCATED); /* one byte more */

    bad.bytes[0] = 2;
    refused(&bad, batch.n, AML_RECORD_VERSION);

    memcpy(&bad, &batch, sizeof(bad));
    bad.bytes[2] = 0;
    refused(&bad, batch.n, AML_RECORD_INVALID);
    bad.bytes[2] = AML_ACTIVITY_RECORDS + 1;
    refused(&bad, batch.n, AML_RECORD_INVALID);

    memcpy(&bad, &batch, sizeof(bad));
    bad.bytes[4] = 0;
    refused(&bad, batch.n, AML_RECORD_INVALID);
    bad.bytes[4] = 4;
    refused(&bad, batch.n, AML_RECORD_INVALID);

    /* the studio has no port, an instance has one */
    memcpy(&bad, &batch, sizeof(bad));
    bad.bytes[6] = 1;
    refused(&bad, batch.n, AML_RECORD_INVALID);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bad.n = bad.count = 0;
        a = sample(1);
        a.name = aml_str_of(names[i]);
        assert_int_equal(aml_activity_add(&bad, &a), 0);
        refused(&bad, bad.n, AML_RECORD_INVALID);
    }
    bad.n = bad.count = 0;
    a = sample(1);
    a.port = 0;
    assert_int_equal(aml_activity_add(&bad, &a), 0);
    refused(&bad, bad.n, AML_RECORD_INVALID);
}


static void
test_missing_key(void **state)
{
    char longest[AML_MISSING_KEY_MAX];
    uint8_t buf[AML_MISSING_KEY_MAX];
    aml_activity_t list[AML_ACTIVITY_RECORDS];
    aml_activity_batch_t batch = {.n = 0};
    aml_activity_t a = sample(1);
    unsigned count;
    aml_str_t iss;
    size_t n, i;

    (void) state;

    n = aml_missing_key_encode(aml_str("https://id.example"), buf);
    assert_int_equal(n, 4 + strlen("https://id.example"));
    for (i = 0; i <= n; i++) {
        assert_int_equal(
            aml_missing_key_decode((aml_str_t){(char *) buf, i}, &iss),
            i == n ? AML_RECORD_OK : AML_RECORD_TRUNCATED);
    }
    assert_true(aml_str_eq(iss, aml_str("https://id.example")));

    /* neither is taken for the other */
    assert_int_equal(
        aml_activity_decode((aml_str_t){(char *) buf, n}, list, &count),
        AML_RECORD_VERSION);
    assert_int_equal(aml_activity_add(&batch, &a), 0);
    assert_int_equal(aml_missing_key_decode(
                         (aml_str_t){(char *) batch.bytes, batch.n}, &iss),
                     AML_RECORD_VERSION);

    memset(longest, 'i', sizeof(longest));
    assert_int_equal(
        aml_missing_key_encode((aml_str_t){longest, sizeof(longest) - 4}, buf),
        AML_MISSING_KEY_MAX);
    assert_int_equal(
        aml_missing_key_encode((aml_str_t){longest, sizeof(longest) - 3}, buf),
        0);
    assert_int_equal(aml_missing_key_encode(aml_str(""), buf), 0);
    assert_int_equal(aml_missing_key_decode((aml_str_t){"\2\0\0\0", 4}, &iss),
                     AML_RECORD_INVALID);
    assert_int_equal(aml_missing_key_decode((aml_str_t){"\2\0\1\0ab", 6}, &iss),
                     AML_RECORD_TRUNCATED);
}


static void
test_wanted(void **state)
{
    static const char *const names[] = {"", "Lab", "la", "lab-1", "la.b"};
    aml_wanted_t w = {.principal = {{1, 2, 3}},
                      .name = aml_str("a23456789-123456789-bcde"),
                      .port = 8787},
                 got;
    uint8_t buf[AML_WANTED_MAX], again[AML_WANTED_MAX];
    aml_activity_t list[AML_ACTIVITY_RECORDS];
    unsigned count;
    aml_str_t iss;
    size_t n, i;

    (void) state;

    /* the longest name there is */
    n = aml_wanted_encode(&w, buf);
    assert_int_equal(n, AML_WANTED_MAX);
    for (i = 0; i <= n; i++) {
        assert_int_equal(aml_wanted_decode((aml_str_t){(char *) buf, i}, &got),
                         i == n ? AML_RECORD_OK : AML_RECORD_TRUNCATED);
    }
    assert_memory_equal(&got.principal, &w.principal, sizeof(w.principal));
    assert_true(aml_str_eq(got.name, w.name));
    assert_int_equal(got.port, 8787);
    assert_int_equal(aml_wanted_encode(&got, again), n);
    assert_memory_equal(again, buf, n);

    /* none is taken for another */
    assert_int_equal(
        aml_activity_decode((aml_str_t){(char *) buf, n}, list, &count),
        AML_RECORD_VERSION);
    assert_int_equal(aml_missing_key_decode((aml_str_t){(char *) buf, n}, &iss),
                     AML_RECORD_VERSION);
    buf[0] = 2;
    assert_int_equal(aml_wanted_decode((aml_str_t){(char *) buf, n}, &got),
                     AML_RECORD_VERSION);

    /* what names no application */
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        w.name = aml_str_of(names[i]);
        assert_int_equal(aml_wanted_encode(&w, buf), 0);
    }
    w.name = aml_str("lab");
    w.port = 0;
    assert_int_equal(aml_wanted_encode(&w, buf), 0);
    w.port = 80;
    n = aml_wanted_encode(&w, buf);
    assert_true(n > 0);
    buf[2] = 0;
    assert_int_equal(aml_wanted_decode((aml_str_t){(char *) buf, n}, &got),
                     AML_RECORD_INVALID);
    buf[2] = 80;
    buf[n - 1] = '.';
    assert_int_equal(aml_wanted_decode((aml_str_t){(char *) buf, n}, &got),
                     AML_RECORD_INVALID);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),       cmocka_unit_test(test_full),
        cmocka_unit_test(test_age),         cmocka_unit_test(test_bad),
        cmocka_unit_test(test_missing_key), cmocka_unit_test(test_wanted),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
