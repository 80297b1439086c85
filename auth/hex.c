#include "auth/hex.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>


/*
 * Four bytes at once: the key of each session and the UUID of each person that
 * a request has are such text, and byte by byte that is one instruction in
 * fifty of all that the worker does.
 */
static uint64_t
hex_of(uint32_t bytes)
{
    uint64_t v, letters;

    /* each byte into 16 bits of its own, then each half into 8, high first */

    v = bytes;
    v = (v | v << 16) & 0x0000ffff0000ffffu;
    v = (v | v << 8) & 0x00ff00ff00ff00ffu;
    v = (v >> 4 | v << 8) & 0x0f0f0f0f0f0f0f0fu;

    /* 1 where a half is above 9 */

    letters = (v + 0x0606060606060606u) >> 4 & 0x0101010101010101u;

    return v + 0x3030303030303030u + letters * ('a' - '0' - 10);
}


void
aml_hex_encode(char *dst, const void *src, size_t n)
{
    uint32_t bytes;
    uint64_t text;
    const uint8_t *p = src;

    for (; n >= sizeof(bytes); n -= sizeof(bytes)) {
        memcpy(&bytes, p, sizeof(bytes));
        text = htole64(hex_of(le32toh(bytes)));
        memcpy(dst, &text, sizeof(text));
        p += sizeof(bytes);
        dst += sizeof(text);
    }

    if (n != 0) {
        bytes = 0;
        memcpy(&bytes, p, n);
        text = htole64(hex_of(le32toh(bytes)));
        memcpy(dst, &text, 2 * n);
    }
}


/* -1 where it is no digit. */
static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}


int
aml_hex_decode(void *dst, const char *src, size_t n)
{
    uint8_t *p = dst;
    int high, low;

    for (; n > 0; n--, src += 2) {
        high = hex_digit(src[0]);
        low = high < 0 ? -1 : hex_digit(src[1]);
        if (low < 0) {
            return -1;
        }
        *p++ = (uint8_t) (high << 4 | low);
    }

    return 0;
}
