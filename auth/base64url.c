#include <string.h>

#include "auth/base64url.h"


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


/* One more than a character's value, so that 0 is for those that have none:
 * tokens are long, and a table takes a third of the time of comparisons. */
static const unsigned char values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,
    ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12,
    ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,
    ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
    ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54,
    ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
    ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64};


/* Above 63 for what is no character of base64url. */
static inline unsigned
value_of(char c)
{
    return values[(unsigned char) c] - 1U;
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
