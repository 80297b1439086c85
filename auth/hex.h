/*
 * Hexadecimal text of bytes (RFC 4648 section 8), in lower case.
 */

#ifndef AML_HEX_H
#define AML_HEX_H

#include <stddef.h>

/* Writes 2 * n characters, without a NUL. */
void aml_hex_encode(char *dst, const void *src, size_t n);

/* Reads 2 * n digits of either case; 0, or -1 when one is none: a NUL ends it.
 */
int aml_hex_decode(void *dst, const char *src, size_t n);

#endif /* AML_HEX_H */
