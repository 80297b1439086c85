/*
 * base64url without padding, RFC 4648 section 5 as RFC 7515 section 2 uses
 * it.  Strict: padding, other characters, a length of 1 modulo 4 and
 * non-zero bits behind the last byte are errors.
 */

#ifndef AML_BASE64URL_H
#define AML_BASE64URL_H

#include <stddef.h>
#include <stdint.h>

#define aml_base64url_size(n) (((n) *4 + 2) / 3) /* characters for n bytes */
#define aml_base64url_room(n) ((n) *3 / 4)       /* bytes for n characters */

/* Writes aml_base64url_size(n) characters, no NUL; returns their number. */
size_t aml_base64url_encode(char *dst, const void *src, size_t n);

/* Writes at most aml_base64url_room(n) bytes; 0 and their number in *len, or
 * -1. */
int aml_base64url_decode(void *dst, size_t *len, const char *src, size_t n);

#endif /* AML_BASE64URL_H */
