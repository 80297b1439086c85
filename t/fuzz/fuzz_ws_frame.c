/*
 * Frames of a websocket, against a reader that has all of them in one piece.
 * The first byte says how they are cut.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "upstreams/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


typedef struct {
    size_t end;    /* of the last whole frame */
    unsigned data; /* data frames that have begun */
    int closed;
    int lost;
} reading_t;


static reading_t
read_whole(const uint8_t *p, size_t n)
{
    reading_t r = {0};
    size_t at = 0, head;
    uint64_t size;
    unsigned opcode;

    while (n - at >= 2) {
        if (r.closed) {
            r.lost = 1;
            break;
        }
        opcode = p[at] & 15;
        size = p[at + 1] & 127;
        head = size == 126 ? 4 : size == 127 ? 10 : 2;
        if ((opcode > 2 && opcode < 8) || opcode > 10 ||
            (opcode > 2 && (size > 125 || !(p[at] & 128)))) {
            r.lost = 1;
            break;
        }
        if (p[at + 1] & 128) {
            head += 4;
        }
        if (n - at < head) {
            break;
        }
        if (size == 126) {
            size = (uint64_t) p[at + 2] << 8 | p[at + 3];
            r.lost = size < 126;
        } else if (size == 127) {
            size = 0;
            for (int i = 2; i < 10; i++) {
                size = size << 8 | p[at + i];
            }
            r.lost = size < 65536 || size >> 63;
        }
        if (r.lost) {
            break;
        }
        r.data += opcode < 3;
        r.closed |= opcode == 8;
        if (n - at - head < size) {
            return r;
        }
        at += head + size;
        r.end = at;
    }
    if (r.closed && r.end < n) {
        r.lost = 1;
    }
    return r;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    aml_ws_stream_t s = {0}, ahead;
    size_t at = 0, piece, until;
    reading_t r;

    if (n == 0) {
        return 0;
    }
    piece = 1 + data[0] % 64;
    data++;
    n--;

    r = read_whole(data, n);
    while (at < n) {
        size_t k = n - at < piece ? n - at : piece;

        until = aml_ws_until(&s, data + at, k, k / 2);
        assert(until >= k / 2 && until <= k);
        ahead = s;
        aml_ws_feed(&ahead, data + at, until);
        assert(until == k || aml_ws_between(&ahead));

        aml_ws_feed(&s, data + at, k);
        at += k;
    }
    assert(s.lost == (unsigned) r.lost);
    if (!s.lost) {
        assert(s.data == r.data);
        assert(s.closing == (unsigned) r.closed);
        assert(aml_ws_between(&s) == (r.end == n));
    }
    return 0;
}
