#include <string.h>

#include "auth/base64url.h"

#define NONE 0xff


static const char alphabet[64] = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M',
    'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z',
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
    'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '-', '_'};


size_t
aml_base64url_encode(char *dst, const void *src, size_t n)
{
    char *d = dst;
    const uint8_t *s = src;

    for (; n >= 3; n -= 3, s += 3) {
        *d++ = alphabet[s[0] >> 2];
        *d++ = alphabet[(s[0] & 0x03) << 4 | s[1] >> 4];
        *d++ = alphabet[(s[1] & 0x0f) << 2 | s[2] >> 6];
        *d++ = alphabet[s[2] & 0x3f];
    }

    if (n != 0) {
        *d++ = alphabet[s[0] >> 2];

        if (n == 1) {
            *d++ = alphabet[(s[0] & 0x03) << 4];

        } else {
            *d++ = alphabet[(s[0] & 0x03) << 4 | s[1] >> 4];
            *d++ = alphabet[(s[1] & 0x0f) << 2];
        }
    }

    return (size_t) (d - dst);
}


static inline unsigned
value_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned) (c - 'A');
    }

    if (c >= 'a' && c <= 'z') {
        return (unsigned) (c - 'a') + 26;
    }

    if (c >= '0' && c <= '9') {
        return (unsigned) (c - '0') + 52;
    }

    return c == '-' ? 62 : c == '_' ? 63 : NONE;
}


int
aml_base64url_decode(void *dst, size_t *len, const char *src, size_t n)
{
    unsigned a, b, c, d;
    uint8_t *p = dst;

    for (; n >= 4; n -= 4, src += 4) {
        a = value_of(src[0]);
        b = value_of(src[1]);
        c = value_of(src[2]);
        d = value_of(src[3]);

        if ((a | b | c | d) > 63) {
            return -1;
        }

        *p++ = (uint8_t) (a << 2 | b >> 4);
        *p++ = (uint8_t) (b << 4 | c >> 2);
        *p++ = (uint8_t) (c << 6 | d);
    }

    if (n == 1) {
        return -1;
    }

    if (n != 0) {
        a = value_of(src[0]);
        b = value_of(src[1]);
        c = n == 3 ? value_of(src[2]) : 0;

        if ((a | b | c) > 63) {
            return -1;
        }

        /* one text for one value: nothing may hide behind the last byte */
        if (n == 2 ? (b & 0x0f) != 0 : (c & 0x03) != 0) {
            return -1;
        }

        *p++ = (uint8_t) (a << 2 | b >> 4);
        if (n == 3) {
            *p++ = (uint8_t) (b << 4 | c >> 2);
        }
    }

    *len = (size_t) (p - (uint8_t *) dst);

    return 0;
}
