#include "computes/instances/base64.h"

#include <stdint.h>


static int
base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }

    return c == '+' ? 62 : c == '/' ? 63 : -1;
}


int
amld_base64_decode(char *dst, size_t *len, const char *text, size_t n)
{
    size_t i, k, padding, out;
    uint32_t word;
    int value;

    if (n % 4 != 0) {
        return -1;
    }

    padding = 0;
    while (padding < 2 && padding < n && text[n - 1 - padding] == '=') {
        padding++;
    }

    out = 0;

    for (i = 0; i < n; i += 4) {
        word = 0;
        for (k = 0; k < 4; k++) {
            value = i + k < n - padding ? base64_value(text[i + k]) : 0;
            if (value < 0) {
                return -1;
            }
            word = word << 6 | (uint32_t) value;
        }

        dst[out++] = (char) (word >> 16);
        dst[out++] = (char) (word >> 8);
        dst[out++] = (char) word;

        /* bits that no byte has are zero */
        if (i + 4 == n && padding != 0) {
            if ((padding == 2 ? word & 0xffff : word & 0xff) != 0) {
                return -1;
            }
            out -= padding;
        }
    }

    dst[out] = '\0';
    *len = out;

    return 0;
}
