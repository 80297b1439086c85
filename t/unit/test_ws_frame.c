#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "upstreams/ws_frame.h"

#define TEXT 0x81
#define FIRST 0x01  /* of a fragmented text */
#define MIDDLE 0x00 /* a continuation */
#define LAST 0x80
#define CLOSE 0x88
#define PING 0x89

/* What a peer says, and where its frames end. */
typedef struct {
    uint8_t bytes[400 * 1024];
    size_t n;
    size_t ends[64];
    size_t count;
} said_t;


/* A frame with a length in `wide` bytes: 1, 3 or 9. */
static void
add_header(said_t *s, unsigned first, uint64_t size, unsigned wide, int mask)
{
    unsigned i;

    s->bytes[s->n++] = (uint8_t) first;
    s->bytes[s->n++] = (uint8_t) ((wide == 1   ? size
                                   : wide == 3 ? 126
                                               : 127) |
                                  (mask ? 0x80 : 0));
    for (i = 1; i < wide; i++) {
        s->bytes[s->n++] = (uint8_t) (size >> (8 * (wide - 1 - i)));
    }
    for (i = 0; mask && i < 4; i++) {
        s->bytes[s->n++] = (uint8_t) rand();
    }
}


static void
add(said_t *s, unsigned first, size_t size, int mask)
{
    size_t i;

    add_header(s, first, size, size <= 125 ? 1 : size <= 65535 ? 3 : 9, mask);
    for (i = 0; i < size; i++) {
        s->bytes[s->n++] = (uint8_t) rand();
    }
    s->ends[s->count++] = s->n;
}


static said_t *
conversation(int mask)
{
    static said_t s;

    srand(7);
    s.n = s.count = 0;
    add(&s, TEXT, 0, mask);
    add(&s, TEXT, 1, mask);
    add(&s, FIRST, 125, mask);
    add(&s, PING, 125, mask);
    add(&s, MIDDLE, 126, mask);
    add(&s, MIDDLE, 0, mask);
    add(&s, LAST, 65535, mask);
    add(&s, 0x8a, 0, mask);
    add(&s, 0x82, 65536, mask);
    add(&s, 0xc2, 300, mask); /* compressed */
    add(&s, TEXT, 5, mask);

    return &s;
}


static int
is_end(const said_t *s, size_t at)
{
    size_t i;

    for (i = 0; i < s->count; i++) {
        if (s->ends[i] == at) {
            return 1;
        }
    }

    return at == 0;
}


static void
in_pieces(const said_t *s, size_t piece)
{
    aml_ws_stream_t stream = {0};
    size_t at, n;

    for (at = 0; at < s->n; at += n) {
        n = s->n - at < piece ? s->n - at : piece;
        assert_int_equal(aml_ws_between(&stream), is_end(s, at));
        aml_ws_feed(&stream, s->bytes + at, n);
    }

    assert_true(aml_ws_between(&stream));
    assert_int_equal(stream.data, 9);
    assert_false(stream.lost);
    assert_false(stream.closing);
}


/* What an application says only to be there is not counted. */
static void
test_keep_alives(void **state)
{
    static const uint8_t most[] = {0, 1, 5, 125, 255};
    static const uint32_t counted[] = {9, 6, 5, 4, 3};
    static const uint8_t deflated[] = {0x82, 1, 0, 0xc2, 1, 0};
    const said_t *s = conversation(1);
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(most); i++) {
        aml_ws_stream_t stream = {.keep_alive = most[i]};

        aml_ws_feed(&stream, s->bytes, s->n);
        assert_true(aml_ws_between(&stream));
        assert_int_equal(stream.data, counted[i]);
    }

    /* how long that was before is not known */
    {
        aml_ws_stream_t stream = {.keep_alive = 9};

        aml_ws_feed(&stream, deflated, sizeof(deflated));
        assert_int_equal(stream.data, 1);
    }
}


static void
test_pieces(void **state)
{
    static const size_t pieces[] = {1,  2,   3,    5,    7,     13,
                                    14, 126, 1000, 4096, 65536, 1 << 20};
    size_t i;

    (void) state;

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        in_pieces(conversation(0), pieces[i]);
        in_pieces(conversation(1), pieces[i]);
    }
}


/* One frame of each size around those where the header changes, cut in two at
 * each byte of its header and around its end. */
static void
test_cuts(void **state)
{
    static const size_t sizes[] = {0,   1,     125,   126,  127,
                                   255, 65535, 65536, 65537};
    size_t i, cut;
    int mask;

    (void) state;

    for (mask = 0; mask < 2; mask++) {
        for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            static said_t s;

            s.n = s.count = 0;
            add(&s, TEXT, sizes[i], mask);
            for (cut = 0; cut <= s.n; cut++) {
                aml_ws_stream_t stream = {0};

                if (cut > AML_WS_HEADER_MAX + 2 && cut + 3 < s.n) {
                    continue;
                }
                aml_ws_feed(&stream, s.bytes, cut);
                assert_int_equal(aml_ws_between(&stream),
                                 cut == 0 || cut == s.n);
                assert_int_equal(
                    aml_ws_until(&stream, s.bytes + cut, s.n - cut, 0),
                    cut == 0 ? 0 : s.n - cut);
                aml_ws_feed(&stream, s.bytes + cut, s.n - cut);
                assert_true(aml_ws_between(&stream));
                assert_int_equal(stream.data, 1);
            }
        }
    }
}


/* From wherever one is and whatever must go: to the next end. */
static void
test_until(void **state)
{
    const said_t *s = conversation(0);
    size_t at, least, i, got, window, expected;

    (void) state;
    srand(11);

    for (i = 0; i < 20000; i++) {
        aml_ws_stream_t stream = {0}, before;

        at = (size_t) rand() % (i % 2 ? 1000 : s->n);
        window = (size_t) rand() % (i % 3 ? 700 : 100000);
        if (window > s->n - at) {
            window = s->n - at;
        }
        least = window > 0 ? (size_t) rand() % (window + 1) : 0;

        aml_ws_feed(&stream, s->bytes, at);
        memcpy(&before, &stream, sizeof(before));
        got = aml_ws_until(&stream, s->bytes + at, window, least);
        assert_memory_equal(&before, &stream, sizeof(before));

        for (expected = least; expected < window && !is_end(s, at + expected);
             expected++) {
        }
        assert_int_equal(got, expected);
    }
}


static void
test_long(void **state)
{
    aml_ws_stream_t stream = {0};
    said_t *s = calloc(1, sizeof(*s));

    (void) state;
    assert_non_null(s);

    add_header(s, 0x82, INT64_MAX, 9, 0);
    aml_ws_feed(&stream, s->bytes, s->n);
    assert_false(stream.lost);
    assert_int_equal(stream.left, INT64_MAX);
    assert_false(aml_ws_between(&stream));
    aml_ws_feed(&stream, s->bytes, 100);
    assert_int_equal(stream.left, INT64_MAX - 100);
    free(s);
}


static void
lost(const char *bytes, size_t n)
{
    aml_ws_stream_t stream = {0}, slow = {0};
    static const char more[300];
    size_t i;

    aml_ws_feed(&stream, bytes, n);
    assert_true(stream.lost);
    assert_false(aml_ws_between(&stream));

    for (i = 0; i < n; i++) {
        aml_ws_feed(&slow, bytes + i, 1);
    }
    assert_true(slow.lost);

    /* for good: zeros would else be the frames that they look like */
    aml_ws_feed(&stream, more, sizeof(more));
    assert_true(stream.lost);
    assert_int_equal(aml_ws_until(&stream, more, sizeof(more), 0),
                     sizeof(more));
}


static void
test_lost(void **state)
{
    unsigned opcode;
    char bytes[2] = {0};

    (void) state;

    for (opcode = 3; opcode < 16; opcode++) {
        if (opcode < 8 || opcode > 10) {
            bytes[0] = (char) (0x80 | opcode);
            lost(bytes, 2);
        }
    }

    lost("\x09\x00", 2);                                /* half a ping */
    lost("\x89\x7e\x00\x7e", 2);                        /* too long a ping */
    lost("\x88\x7f", 2);                                /* nor a close */
    lost("\x81\x7e\x00\x7d", 4);                        /* not the shortest */
    lost("\x81\x7f\0\0\0\0\0\0\xff\xff", 10);           /* nor this */
    lost("\x81\x7f\x80\0\0\0\0\0\0\0", 10);             /* RFC 6455: MSB 0 */
    lost("HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", 34); /* something else */
    lost("\x88\x02\x03\xe8\x81", 5);                    /* behind the end */
}


static void
test_closing(void **state)
{
    aml_ws_stream_t stream = {0};

    (void) state;

    aml_ws_feed(&stream, "\x81\x01x\x88\x02", 5);
    assert_true(stream.closing);
    assert_false(aml_ws_between(&stream));
    aml_ws_feed(&stream, "\x03\xe8", 2);
    assert_true(aml_ws_between(&stream));
    assert_true(stream.closing);
    assert_false(stream.lost);
}


static void
test_close_frame(void **state)
{
    static const char *const euros = /* 42 characters of three bytes */
        "€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€";
    uint8_t frame[AML_WS_CLOSE_MAX];
    aml_ws_stream_t stream = {0};
    char text[200];
    size_t n;

    (void) state;

    n = aml_ws_close_frame(frame, AML_WS_POLICY, aml_str("session_unknown"));
    assert_int_equal(n, 19);
    assert_memory_equal(frame, "\x88\x11\x03\xf0session_unknown", n);

    n = aml_ws_close_frame(frame, 1000, aml_str(""));
    assert_int_equal(n, 4);
    assert_memory_equal(frame, "\x88\x02\x03\xe8", n);

    memset(text, 'x', sizeof(text));
    n = aml_ws_close_frame(frame, 1000, (aml_str_t){text, sizeof(text)});
    assert_int_equal(n, AML_WS_CLOSE_MAX);
    assert_int_equal(frame[1], 125);

    n = aml_ws_close_frame(frame, 1000, aml_str_of(euros));
    assert_int_equal(n, 4 + 123);
    n = aml_ws_close_frame(frame, 1000, aml_str_of(euros + 1));
    assert_int_equal(n, 4 + 122);

    aml_ws_feed(&stream, frame, n);
    assert_true(stream.closing && aml_ws_between(&stream));
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),  cmocka_unit_test(test_keep_alives),
        cmocka_unit_test(test_cuts),    cmocka_unit_test(test_until),
        cmocka_unit_test(test_long),    cmocka_unit_test(test_lost),
        cmocka_unit_test(test_closing), cmocka_unit_test(test_close_frame),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
