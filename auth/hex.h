/*
 * Lowercase hexadecimal text of bytes (RFC 4648 section 8, in lower case).
 */

#ifndef AML_HEX_H
#define AML_HEX_H

#include <stddef.h>

/* Writes 2 * n characters, without a NUL. */
void aml_hex_encode(char *dst, const void *src, size_t n);

#endif /* AML_HEX_H */
