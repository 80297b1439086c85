/*
 * Passwords of local accounts: crypt(5) yescrypt, by libcrypt.
 */

#ifndef AML_PASSWORD_H
#define AML_PASSWORD_H

#include <stddef.h>

#define AML_PASSWORD_HASH_SIZE 384 /* CRYPT_OUTPUT_SIZE */
#define AML_PASSWORD_MAX 511       /* bytes; longer are refused: crypt(3) */

/* Hashes with a new salt into `hash`; 0, or -1 (no entropy, too long, empty).
 */
int aml_password_hash(const char *password, char hash[AML_PASSWORD_HASH_SIZE]);

/* 1 when it is the one, in constant time over the hash; 0 otherwise.  With
 * hash NULL it takes as long and answers 0: for accounts that don't exist. */
int aml_password_check(const char *password, const char *hash);

/* `n` random characters of 64, NUL-ended, into n + 1 bytes; 0, or -1. */
int aml_password_generate(char *password, size_t n);

#endif /* AML_PASSWORD_H */
