/*
 * base64 as RFC 4648 section 4 has it: padded, nothing else in it.
 */

#ifndef AMLD_BASE64_H
#define AMLD_BASE64_H

#include <stddef.h>

/* Bytes that `n` characters may stand for, and one more for a NUL. */
#define amld_base64_room(n) ((n) / 4 * 3 + 1)

/* Decodes into `dst`, of amld_base64_room(n) bytes, NUL-ended, and sets `len`.
 * 0, or -1 when it is malformed. */
int amld_base64_decode(char *dst, size_t *len, const char *text, size_t n);

#endif /* AMLD_BASE64_H */
