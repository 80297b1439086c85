#include "upstreams/ws_frame.h"

#define FIN 0x80u
#define DEFLATED 0x40u /* RFC 7692 */
#define OPCODE 0x0fu
#define CONTROL 0x08u
#define CLOSE 0x08u
#define MASK 0x80u
#define LENGTH 0x7fu


size_t
aml_ws_header_size(const uint8_t *head, size_t have)
{
    size_t n = 2;

    if (have < 2) {
        return n;
    }

    switch (head[1] & LENGTH) {
    case 126:
        n += 2;
        break;
    case 127:
        n += 8;
        break;
    default:
        break;
    }

    return head[1] & MASK ? n + 4 : n;
}


/* The first two bytes are there. */
static int
is_frame(const aml_ws_stream_t *s)
{
    unsigned opcode = s->head[0] & OPCODE;

    if (opcode & CONTROL) {
        /* whole, and short */
        return opcode <= 0x0a && s->head[0] & FIN &&
               (s->head[1] & LENGTH) <= 125;
    }

    return opcode <= 0x02;
}


int
aml_ws_payload_size(const uint8_t *head, uint64_t *size)
{
    size_t i, bytes;
    uint64_t n = 0, least;

    switch (head[1] & LENGTH) {
    case 126:
        bytes = 2;
        least = 126;
        break;
    case 127:
        bytes = 8;
        least = 65536;
        break;
    default:
        *size = head[1] & LENGTH;
        return 0;
    }

    for (i = 0; i < bytes; i++) {
        n = n << 8 | head[2 + i];
    }

    *size = n;

    return n < least || n > INT64_MAX ? -1 : 0;
}


static int
is_keep_alive(const aml_ws_stream_t *s)
{
    return s->keep_alive != 0 && s->left <= s->keep_alive &&
           !(s->head[0] & DEFLATED);
}


static void
begin_frame(aml_ws_stream_t *s)
{
    unsigned opcode = s->head[0] & OPCODE;

    s->have = 0;

    if (aml_ws_payload_size(s->head, &s->left) != 0) {
        s->lost = 1;
        return;
    }

    if (opcode == CLOSE) {
        s->closing = 1;
    } else if (!(opcode & CONTROL) && !is_keep_alive(s)) {
        s->data++;
    }
}


/* Takes in what belongs together, of `n` > 0 bytes; how many. */
static size_t
step(aml_ws_stream_t *s, const uint8_t *p, size_t n)
{
    if (s->left > 0) {
        n = n < s->left ? n : (size_t) s->left;
        s->left -= n;
        return n;
    }

    if (s->closing) {
        s->lost = 1;
        return n;
    }

    s->head[s->have++] = *p;

    if (s->have == 2 && !is_frame(s)) {
        s->lost = 1;
    } else if (s->have == aml_ws_header_size(s->head, s->have)) {
        begin_frame(s);
    }

    return 1;
}


void
aml_ws_feed(aml_ws_stream_t *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    size_t k;

    while (n > 0 && !s->lost) {
        k = step(s, p, n);
        p += k;
        n -= k;
    }
}


int
aml_ws_between(const aml_ws_stream_t *s)
{
    return s->left == 0 && s->have == 0 && !s->lost;
}


size_t
aml_ws_until(const aml_ws_stream_t *s, const void *data, size_t n, size_t least)
{
    const uint8_t *p = data;
    aml_ws_stream_t ahead = *s;
    size_t at = 0;

    while (at < n && !ahead.lost) {
        if (at >= least && aml_ws_between(&ahead)) {
            return at;
        }

        /* a boundary before `least` is none */
        at += step(&ahead, p + at, n - at);
    }

    return n;
}


size_t
aml_ws_header(uint8_t head[AML_WS_HEADER_MAX], unsigned first, uint64_t size)
{
    size_t i, wide = size <= 125 ? 0 : size <= UINT16_MAX ? 2 : 8;

    head[0] = (uint8_t) first;
    head[1] = (uint8_t) (wide == 0 ? size : wide == 2 ? 126 : 127);

    for (i = 0; i < wide; i++) {
        head[2 + i] = (uint8_t) (size >> 8 * (wide - 1 - i));
    }

    return 2 + wide;
}


size_t
aml_ws_close_frame(uint8_t frame[AML_WS_CLOSE_MAX], unsigned code,
                   aml_str_t reason)
{
    size_t n = reason.n;

    if (n > AML_WS_REASON_MAX) {
        n = AML_WS_REASON_MAX;
        while (n > 0 && ((unsigned char) reason.p[n] & 0xc0) == 0x80) {
            n--;
        }
    }

    frame[0] = FIN | CLOSE;
    frame[1] = (uint8_t) (2 + n);
    frame[2] = (uint8_t) (code >> 8);
    frame[3] = (uint8_t) code;
    if (n > 0) {
        memcpy(frame + 4, reason.p, n);
    }

    return 4 + n;
}
