#include "upstreams/ws_decode.h"

#include <string.h>

#define FIN 0x80u
#define RESERVED 0x70u
#define OPCODE 0x0fu
#define CONTINUATION 0x00u
#define TEXT 0x01u
#define BINARY 0x02u
#define CONTROL 0x08u
#define CLOSE 0x08u
#define PING 0x09u
#define PONG 0x0au
#define MASK 0x80u
#define LENGTH 0x7fu


static aml_ws_event_t
broken(aml_ws_decoder_t *d, unsigned code)
{
    d->ended = 1;
    d->code = code;

    return AML_WS_BROKEN;
}


/* The first two bytes: 0, or what is wrong with them. */
static unsigned
check_first(const aml_ws_decoder_t *d)
{
    unsigned opcode = d->head[0] & OPCODE;
    unsigned size = d->head[1] & LENGTH;

    if (d->head[0] & RESERVED || ((d->head[1] & MASK) != 0) == d->server) {
        return AML_WS_PROTOCOL;
    }

    if (opcode & CONTROL) {
        return opcode > PONG || !(d->head[0] & FIN) || size > AML_WS_CONTROL_MAX
                   ? AML_WS_PROTOCOL
                   : 0;
    }

    if (opcode > BINARY || (opcode != CONTINUATION) == d->in_message) {
        return AML_WS_PROTOCOL;
    }

    return opcode == TEXT ? AML_WS_UNSUPPORTED : 0;
}


/* The header is there, but for its form it was not looked at. */
static unsigned
begin_payload(aml_ws_decoder_t *d)
{
    if (aml_ws_payload_size(d->head, &d->left) != 0) {
        return AML_WS_PROTOCOL;
    }

    d->opcode = d->head[0] & OPCODE;
    if (!d->server) {
        memcpy(d->mask, d->head + d->have - 4, 4);
    }
    d->turn = 0;
    d->have = 0;
    d->control_size = 0;
    d->in_payload = 1;

    if (!(d->opcode & CONTROL)) {
        d->in_message = !(d->head[0] & FIN);
        d->data++;
    }

    return 0;
}


/* A byte of a header: 0, or what is wrong with it. */
static unsigned
take_header(aml_ws_decoder_t *d, uint8_t byte)
{
    unsigned code;

    d->head[d->have++] = byte;

    if (d->have == 2) {
        code = check_first(d);
        if (code != 0) {
            return code;
        }
    }

    return d->have == aml_ws_header_size(d->head, d->have) ? begin_payload(d)
                                                           : 0;
}


/* `to` is `from` or before it. */
static void
unmask(aml_ws_decoder_t *d, uint8_t *to, const uint8_t *from, size_t n)
{
    uint8_t key[8];
    uint64_t wide, word;
    size_t i;

    for (i = 0; i < sizeof(key); i++) {
        key[i] = d->mask[(d->turn + i) & 3];
    }

    memcpy(&wide, key, sizeof(wide));

    for (i = 0; n - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, from + i, sizeof(word));
        word ^= wide;
        memcpy(to + i, &word, sizeof(word));
    }

    for (; i < n; i++) {
        to[i] = from[i] ^ key[i & 7];
    }

    d->turn = (uint8_t) ((d->turn + n) & 3);
    d->left -= n;
}


/* The rest of a table in RFC 3629 section 4; how long the character is that
 * begins at p, 0 where it is none. */
static size_t
character(const uint8_t *p, size_t n)
{
    size_t i, size;
    uint32_t c;

    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    if (*p < 0x80) {
        return 1;
    }

    size = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    if (*p < 0xc0 || *p > 0xf7 || n < size) {
        return 0;
    }

    c = *p & (0xffu >> (size + 1));
    for (i = 1; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }

    return c < least[size] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)
               ? 0
               : size;
}


static int
is_utf8(const uint8_t *p, size_t n)
{
    size_t k;

    while (n > 0) {
        k = character(p, n);
        if (k == 0) {
            return 0;
        }
        p += k;
        n -= k;
    }

    return 1;
}


/* What may be said: RFC 6455 section 7.4, and what IANA has added. */
static int
is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
            code != 1006) ||
           (code >= 3000 && code <= 4999);
}


static aml_ws_event_t
closed(aml_ws_decoder_t *d)
{
    d->ended = 1;
    d->code = 0;

    if (d->control_size == 0) {
        return AML_WS_CLOSED;
    }

    if (d->control_size == 1) {
        return broken(d, AML_WS_PROTOCOL);
    }

    d->code = (unsigned) d->control[0] << 8 | d->control[1];

    if (!is_close_code(d->code)) {
        return broken(d, AML_WS_PROTOCOL);
    }

    if (!is_utf8(d->control + 2, d->control_size - 2u)) {
        return broken(d, AML_WS_BAD_TEXT);
    }

    return AML_WS_CLOSED;
}


/* The last byte of a frame has come. */
static aml_ws_event_t
end_frame(aml_ws_decoder_t *d)
{
    d->in_payload = 0;

    switch (d->opcode) {
    case CLOSE:
        return closed(d);
    case PING:
        return AML_WS_PING;
    case PONG:
        return AML_WS_PONG;
    default:
        return AML_WS_MORE;
    }
}


/* What there is of a payload; the frame may have none. */
static void
take_payload(aml_ws_decoder_t *d, const uint8_t **in, size_t n, uint8_t **out)
{
    if (n > d->left) {
        n = (size_t) d->left;
    }

    if (d->opcode & CONTROL) {
        unmask(d, d->control + d->control_size, *in, n);
        d->control_size = (uint8_t) (d->control_size + n);
    } else {
        unmask(d, *out, *in, n);
        *out += n;
    }

    *in += n;
}


aml_ws_event_t
aml_ws_decode(aml_ws_decoder_t *d, const uint8_t **in, const uint8_t *end,
              uint8_t **out)
{
    unsigned code;
    aml_ws_event_t event;

    while (*in < end) {
        if (d->ended) {
            *in = end;
            return AML_WS_MORE;
        }

        if (d->in_payload) {
            take_payload(d, in, (size_t) (end - *in), out);
        } else {
            code = take_header(d, *(*in)++);
            if (code != 0) {
                return broken(d, code);
            }
        }

        if (d->in_payload && d->left == 0) {
            event = end_frame(d);
            if (event != AML_WS_MORE) {
                return event;
            }
        }
    }

    return AML_WS_MORE;
}
