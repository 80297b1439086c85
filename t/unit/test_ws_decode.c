#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "upstreams/ws_decode.h"

#define SIZE ((size_t) 400 * 1024)

/* What a client says, and what of it is payload of data frames. */
typedef struct {
    uint8_t bytes[SIZE];
    size_t n;
    uint8_t payload[SIZE];
    size_t payload_n;
} said_t;

/* What was heard. */
typedef struct {
    uint8_t payload[SIZE];
    size_t n;
    unsigned pings, pongs;
    aml_ws_event_t last;
    unsigned code;
    uint8_t control[AML_WS_CONTROL_MAX];
    size_t control_n;
} heard_t;


static void
add_raw(said_t *s, unsigned first, unsigned second, const void *p, size_t n)
{
    s->bytes[s->n++] = (uint8_t) first;
    s->bytes[s->n++] = (uint8_t) second;
    if (n > 0) {
        memcpy(s->bytes + s->n, p, n);
        s->n += n;
    }
}


/* A masked frame; its payload is random where `p` is NULL. */
static void
add(said_t *s, unsigned first, const void *p, size_t size)
{
    size_t i, wide = size <= 125 ? 0 : size <= 65535 ? 2 : 8;
    uint8_t mask[4];

    s->bytes[s->n++] = (uint8_t) first;
    s->bytes[s->n++] = (uint8_t) (0x80 | (wide == 0   ? size
                                          : wide == 2 ? 126
                                                      : 127));
    for (i = 0; i < wide; i++) {
        s->bytes[s->n++] = (uint8_t) (size >> (8 * (wide - 1 - i)));
    }
    for (i = 0; i < 4; i++) {
        mask[i] = s->bytes[s->n++] = (uint8_t) rand();
    }
    for (i = 0; i < size; i++) {
        uint8_t byte = p != NULL ? ((const uint8_t *) p)[i] : (uint8_t) rand();

        if ((first & 15) < 8) {
            s->payload[s->payload_n++] = byte;
        }
        s->bytes[s->n++] = byte ^ mask[i & 3];
    }
}


/* In pieces of `piece` bytes, in place, to the first end. */
static void
hear(const said_t *s, size_t piece, heard_t *h)
{
    static uint8_t copy[SIZE];
    aml_ws_decoder_t d = {0};
    size_t at, k;

    memset(h, 0, sizeof(*h));

    for (at = 0; at < s->n; at += k) {
        const uint8_t *in = copy;
        uint8_t *out = copy;

        k = s->n - at < piece ? s->n - at : piece;
        memcpy(copy, s->bytes + at, k);
        while (in < copy + k) {
            aml_ws_event_t event = aml_ws_decode(&d, &in, copy + k, &out);

            assert_true(out <= in);
            if (event == AML_WS_MORE) {
                continue;
            }
            assert_true(h->last != AML_WS_CLOSED && h->last != AML_WS_BROKEN);
            h->last = event;
            h->code = d.code;
            h->pings += event == AML_WS_PING;
            h->pongs += event == AML_WS_PONG;
            h->control_n = d.control_size;
            memcpy(h->control, d.control, d.control_size);
        }
        memcpy(h->payload + h->n, copy, (size_t) (out - copy));
        h->n += (size_t) (out - copy);
    }
}


static said_t *
nothing(void)
{
    static said_t s;

    s.n = s.payload_n = 0;
    return &s;
}


static void
assert_broken(const said_t *s, unsigned code)
{
    static heard_t h;
    size_t piece;

    for (piece = 1; piece <= 32; piece++) {
        hear(s, piece, &h);
        assert_int_equal(h.last, AML_WS_BROKEN);
        assert_int_equal(h.code, code);
    }
}


static void
test_stream(void **state)
{
    static heard_t h;
    static const size_t pieces[] = {1,  2,    3,     5,     7,   8,
                                    13, 1024, 16384, 65536, SIZE};
    said_t *s = nothing();
    size_t i;

    (void) state;
    srand(11);
    for (i = 0; i <= 130; i++) {
        add(s, 0x82, NULL, i);
    }
    add(s, 0x89, "are you there", 13);
    add(s, 0x02, NULL, 7); /* in pieces, with control frames between */
    add(s, 0x89, NULL, 0);
    add(s, 0x00, NULL, 0);
    add(s, 0x8a, "yes", 3);
    add(s, 0x00, NULL, 65535);
    add(s, 0x80, NULL, 126);
    add(s, 0x82, NULL, 65536);
    add(s, 0x82, NULL, 200000);
    add(s, 0x89, NULL, 125);

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        hear(s, pieces[i], &h);
        assert_int_equal(h.n, s->payload_n);
        assert_memory_equal(h.payload, s->payload, h.n);
        assert_int_equal(h.pings, 3);
        assert_int_equal(h.pongs, 1);
        assert_int_equal(h.last, AML_WS_PING);
        assert_int_equal(h.control_n, 125);
    }
}


static void
test_ping_payload(void **state)
{
    static heard_t h;
    said_t *s = nothing();
    size_t piece;

    (void) state;
    add(s, 0x89, "longer, and before", 18);
    add(s, 0x89, "what comes back", 15);
    for (piece = 1; piece < s->n; piece++) {
        hear(s, piece, &h);
        assert_int_equal(h.control_n, 15);
        assert_memory_equal(h.control, "what comes back", 15);
        assert_int_equal(h.n, 0);
    }
}


static void
test_broken_headers(void **state)
{
    unsigned opcode, bit;
    said_t *s;

    (void) state;

    for (opcode = 0; opcode < 16; opcode++) {
        if (opcode > 2 && opcode != 8 && opcode != 9 && opcode != 10) {
            s = nothing();
            add(s, 0x80 | opcode, NULL, 1);
            assert_broken(s, AML_WS_PROTOCOL);
        }
        if (opcode > 7) {
            s = nothing();
            add(s, opcode, NULL, 1); /* a control frame in pieces */
            assert_broken(s, AML_WS_PROTOCOL);
            s = nothing();
            add(s, 0x80 | opcode, NULL, 126);
            assert_broken(s, AML_WS_PROTOCOL);
        }
    }
    for (bit = 0x10; bit <= 0x40; bit <<= 1) {
        s = nothing();
        add(s, 0x82 | bit, NULL, 5);
        assert_broken(s, AML_WS_PROTOCOL);
    }

    s = nothing();
    add_raw(s, 0x82, 5, "no mask", 7);
    assert_broken(s, AML_WS_PROTOCOL);

    s = nothing();
    add(s, 0x80, NULL, 1); /* goes on with nothing */
    assert_broken(s, AML_WS_PROTOCOL);
    s = nothing();
    add(s, 0x02, NULL, 1);
    add(s, 0x82, NULL, 1); /* within another */
    assert_broken(s, AML_WS_PROTOCOL);
    s = nothing();
    add(s, 0x82, NULL, 1);
    add(s, 0x80, NULL, 1); /* behind the last */
    assert_broken(s, AML_WS_PROTOCOL);
}


static void
test_text(void **state)
{
    said_t *s = nothing();

    (void) state;
    add(s, 0x81, "text", 4);
    assert_broken(s, AML_WS_UNSUPPORTED);
    s = nothing();
    add(s, 0x01, "text", 4);
    assert_broken(s, AML_WS_UNSUPPORTED);
}


static void
test_lengths(void **state)
{
    static heard_t h;
    said_t *s = nothing();

    (void) state;
    add_raw(s, 0x82, 0xfe, "\0\x7dmask", 6); /* 125 in 16 bits */
    assert_broken(s, AML_WS_PROTOCOL);
    s = nothing();
    add_raw(s, 0x82, 0xff, "\0\0\0\0\0\0\xff\xffmask", 12);
    assert_broken(s, AML_WS_PROTOCOL);
    s = nothing();
    add_raw(s, 0x82, 0xff, "\x80\0\0\0\0\0\0\0mask", 12);
    assert_broken(s, AML_WS_PROTOCOL);
    s = nothing();
    add_raw(s, 0x82, 0xff, "\xff\xff\xff\xff\xff\xff\xff\xffmask", 12);
    assert_broken(s, AML_WS_PROTOCOL);

    /* nothing is wrong with these: what is there of them goes through */
    s = nothing();
    add_raw(s, 0x82, 0xff, "\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0xyz", 15);
    hear(s, 4, &h);
    assert_int_equal(h.last, AML_WS_MORE);
    assert_int_equal(h.n, 3);
    assert_memory_equal(h.payload, "xyz", 3);
}


static void
test_close(void **state)
{
    static const struct {
        const char *payload;
        size_t n;
        aml_ws_event_t event;
        unsigned code;
    } cases[] = {
        {"", 0, AML_WS_CLOSED, 0},
        {"\x03", 1, AML_WS_BROKEN, 1002},
        {"\x03\xe8", 2, AML_WS_CLOSED, 1000},
        {"\x03\xe7", 2, AML_WS_BROKEN, 1002}, /* 999 */
        {"\x03\xe9"
         "bye",
         5, AML_WS_CLOSED, 1001},
        {"\x03\xec", 2, AML_WS_BROKEN, 1002}, /* 1004 */
        {"\x03\xed", 2, AML_WS_BROKEN, 1002}, /* 1005 */
        {"\x03\xee", 2, AML_WS_BROKEN, 1002}, /* 1006 */
        {"\x03\xf6", 2, AML_WS_CLOSED, 1014},
        {"\x03\xf7", 2, AML_WS_BROKEN, 1002}, /* 1015 */
        {"\x0b\xb7", 2, AML_WS_BROKEN, 1002}, /* 2999 */
        {"\x0b\xb8", 2, AML_WS_CLOSED, 3000},
        {"\x13\x87", 2, AML_WS_CLOSED, 4999},
        {"\x13\x88", 2, AML_WS_BROKEN, 1002}, /* 5000 */
        {"\0\0", 2, AML_WS_BROKEN, 1002},
        {"\x03\xe8Gr\xc3\xbc\xc3\x9f"
         "e \xe2\x82\xac \xf0\x9f\x98\x80",
         18, AML_WS_CLOSED, 1000},
        {"\x03\xe8\xff", 3, AML_WS_BROKEN, 1007},
        {"\x03\xe8\xc3", 3, AML_WS_BROKEN, 1007},         /* half of one */
        {"\x03\xe8\xc0\xaf", 4, AML_WS_BROKEN, 1007},     /* too long */
        {"\x03\xe8\xed\xa0\x80", 5, AML_WS_BROKEN, 1007}, /* a surrogate */
        {"\x03\xe8\xf4\x90\x80\x80", 6, AML_WS_BROKEN, 1007},
        {"\x03\xe8\x80", 3, AML_WS_BROKEN, 1007},
    };
    static heard_t h;
    size_t i, piece;
    said_t *s;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s = nothing();
        add(s, 0x88, cases[i].payload, cases[i].n);
        add(s, 0x82, "nobody hears this", 17);
        add_raw(s, 0xff, 0xff, "nor is looked at that", 21);
        for (piece = 1; piece <= s->n; piece++) {
            hear(s, piece, &h);
            assert_int_equal(h.last, cases[i].event);
            assert_int_equal(h.code, cases[i].code);
            assert_int_equal(h.n, 0);
        }
    }
}


/* What the server says: its headers, by the reader that follows them. */
static void
test_header(void **state)
{
    static const struct {
        uint64_t size;
        const char *bytes;
        size_t n;
    } cases[] = {
        {0, "\x82\x00", 2},
        {125, "\x82\x7d", 2},
        {126, "\x82\x7e\x00\x7e", 4},
        {65535, "\x82\x7e\xff\xff", 4},
        {65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10},
        {INT64_MAX, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10},
    };
    uint8_t head[AML_WS_HEADER_MAX];
    uint64_t size;
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(aml_ws_header(head, 0x82, cases[i].size), cases[i].n);
        assert_memory_equal(head, cases[i].bytes, cases[i].n);
        assert_int_equal(aml_ws_header_size(head, cases[i].n), cases[i].n);
        assert_int_equal(aml_ws_payload_size(head, &size), 0);
        assert_true(size == cases[i].size);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_ping_payload),
        cmocka_unit_test(test_broken_headers),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_header),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
