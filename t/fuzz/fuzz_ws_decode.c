/*
 * What a client of a tunnel says, or a server to aml, against a reader that has
 * all of it in one piece and takes it byte by byte.  The first byte says how it
 * is cut, whether a server is heard, and whether it is decoded in place.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "upstreams/ws_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


/* What came out: payload of data frames, and a line of events. */
typedef struct {
    uint8_t *bytes;
    size_t n;
    uint8_t *events; /* kind, code or size, payload */
    size_t event_bytes;
} result_t;


static void
note(result_t *r, aml_ws_event_t kind, unsigned code, const uint8_t *p,
     size_t n)
{
    r->events[r->event_bytes++] = (uint8_t) kind;
    r->events[r->event_bytes++] = (uint8_t) (code >> 8);
    r->events[r->event_bytes++] = (uint8_t) code;
    if (n > 0) {
        memcpy(r->events + r->event_bytes, p, n);
        r->event_bytes += n;
    }
}


static int
is_utf8(const uint8_t *p, size_t n)
{
    size_t i, k;
    uint32_t c;

    for (i = 0; i < n; i += k) {
        if (p[i] < 0x80) {
            k = 1;
            continue;
        }
        if ((p[i] & 0xe0) == 0xc0) {
            k = 2;
            c = p[i] & 0x1f;
        } else if ((p[i] & 0xf0) == 0xe0) {
            k = 3;
            c = p[i] & 0x0f;
        } else if ((p[i] & 0xf8) == 0xf0) {
            k = 4;
            c = p[i] & 0x07;
        } else {
            return 0;
        }
        if (n - i < k) {
            return 0;
        }
        for (size_t j = 1; j < k; j++) {
            if (p[i + j] >> 6 != 2) {
                return 0;
            }
            c = c * 64 + p[i + j] % 64;
        }
        if (c < (k == 2   ? 0x80u
                 : k == 3 ? 0x800u
                          : 0x10000u) ||
            c > 0x10ffff || c >> 11 == 0x1b) {
            return 0;
        }
    }
    return 1;
}


static unsigned
close_fault(const uint8_t *p, size_t n, unsigned *code)
{
    *code = 0;
    if (n == 0) {
        return 0;
    }
    if (n == 1) {
        return 1002;
    }
    *code = p[0] * 256u + p[1];
    if (*code < 1000 || *code > 4999 || (*code > 1014 && *code < 3000) ||
        *code == 1004 || *code == 1005 || *code == 1006) {
        return 1002;
    }
    return is_utf8(p + 2, n - 2) ? 0 : 1007;
}


static void
read_whole(const uint8_t *p, size_t n, int server, result_t *r)
{
    size_t at = 0, head, i, mask = server ? 0 : 4;
    uint64_t size;
    unsigned opcode, fin, code, fault, size7;
    int open = 0;
    uint8_t control[125];

    while (n - at >= 2) {
        fin = p[at] >> 7;
        opcode = p[at] & 15;
        size7 = p[at + 1] & 127;
        if (p[at] & 0x70 || (p[at + 1] < 128) != server ||
            (opcode > 2 && opcode < 8) || opcode > 10 ||
            (opcode >= 8 && (!fin || size7 > 125)) || (opcode == 0 && !open) ||
            ((opcode == 1 || opcode == 2) && open)) {
            note(r, AML_WS_BROKEN, 1002, NULL, 0);
            return;
        }
        if (opcode == 1) {
            note(r, AML_WS_BROKEN, 1003, NULL, 0);
            return;
        }
        head = (size7 == 126 ? 4 : size7 == 127 ? 10 : 2) + mask;
        if (n - at < head) {
            return;
        }
        size = size7;
        if (size7 > 125) {
            size = 0;
            for (i = 2; i < head - mask; i++) {
                size = size * 256 + p[at + i];
            }
            if (size <= (size7 == 126 ? 125u : 65535u) || size >> 63) {
                note(r, AML_WS_BROKEN, 1002, NULL, 0);
                return;
            }
        }
        if (opcode < 8) {
            open = !fin;
        }
        for (i = 0; i < size && at + head + i < n; i++) {
            uint8_t byte = p[at + head + i];

            if (!server) {
                byte ^= p[at + head - 4 + i % 4];
            }
            if (opcode < 8) {
                r->bytes[r->n++] = byte;
            } else {
                control[i] = byte;
            }
        }
        if (i < size) {
            return;
        }
        at += head + size;
        if (opcode == 8) {
            fault = close_fault(control, size, &code);
            note(r, fault ? AML_WS_BROKEN : AML_WS_CLOSED, fault ? fault : code,
                 NULL, 0);
            return;
        }
        if (opcode >= 9) {
            note(r, opcode == 9 ? AML_WS_PING : AML_WS_PONG, (unsigned) size,
                 control, size);
        }
    }
}


static void
take_piece(aml_ws_decoder_t *d, uint8_t *p, size_t n, result_t *r, int in_place)
{
    const uint8_t *in = p;
    uint8_t *out = in_place ? p : r->bytes + r->n, *begin = out;

    while (in < p + n) {
        const uint8_t *before = in;
        aml_ws_event_t event = aml_ws_decode(d, &in, p + n, &out);

        assert(in > before && in <= p + n);
        assert(!in_place || out <= in);
        if (event == AML_WS_PING || event == AML_WS_PONG) {
            note(r, event, d->control_size, d->control, d->control_size);
        } else if (event != AML_WS_MORE) {
            note(r, event, d->code, NULL, 0);
        } else {
            assert(in == p + n);
        }
    }
    if (in_place) {
        memcpy(r->bytes + r->n, begin, (size_t) (out - begin));
    }
    r->n += (size_t) (out - begin);
}


static result_t
result(size_t n)
{
    result_t r = {calloc(1, n + 1), 0, calloc(2, n + 4), 0};

    assert(r.bytes != NULL && r.events != NULL);
    return r;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    aml_ws_decoder_t d = {0};
    result_t whole, pieces;
    size_t at, k, piece;
    uint8_t *copy;
    int in_place;

    if (n == 0) {
        return 0;
    }
    piece = 1 + data[0] % 64;
    d.server = data[0] >> 6 & 1;
    in_place = data[0] >> 7;
    data++;
    n--;

    whole = result(n);
    pieces = result(n);
    read_whole(data, n, d.server, &whole);

    for (at = 0; at < n; at += k) {
        k = n - at < piece ? n - at : piece;
        copy = malloc(k); /* no larger: a sanitizer sees what is behind */
        assert(copy != NULL);
        memcpy(copy, data + at, k);
        take_piece(&d, copy, k, &pieces, in_place);
        free(copy);
    }

    assert(pieces.n == whole.n);
    assert(memcmp(pieces.bytes, whole.bytes, whole.n) == 0);
    assert(pieces.event_bytes == whole.event_bytes);
    assert(memcmp(pieces.events, whole.events, whole.event_bytes) == 0);

    free(whole.bytes);
    free(whole.events);
    free(pieces.bytes);
    free(pieces.events);
    return 0;
}
