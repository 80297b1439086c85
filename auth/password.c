/*
 * Passwords of local accounts, by libcrypt.
 */

#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define AML_PASSWORD_METHOD "$y$"

/* What is hashed against where there is no account: yescrypt with the cost
 * that libcrypt takes by default, as in new hashes. */
#define AML_PASSWORD_NOBODY "$y$j9T$KqTAYvyTf2mt6DtSr7ND40"


static int
aml_password_sane(const char *password)
{
    size_t n;

    n = strnlen(password, AML_PASSWORD_MAX + 1);

    return n > 0 && n <= AML_PASSWORD_MAX;
}


/* The hash under a setting, or -1. `out` is whole or untouched. */
static int
aml_password_crypt(const char *password, const char *setting,
                   char out[AML_PASSWORD_HASH_SIZE])
{
    int rc;
    char *hash;
    size_t n;
    struct crypt_data *data;

    /* 32 KB: too much for a thread's stack */
    data = calloc(1, sizeof(*data));
    if (data == NULL) {
        return -1;
    }

    rc = -1;

    hash = crypt_r(password, setting, data);
    if (hash != NULL && hash[0] != '*') {
        n = strlen(hash);
        if (n < AML_PASSWORD_HASH_SIZE) {
            memcpy(out, hash, n + 1);
            rc = 0;
        }
    }

    OPENSSL_cleanse(data, sizeof(*data));
    free(data);

    return rc;
}


int
aml_password_hash(const char *password, char hash[AML_PASSWORD_HASH_SIZE])
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];

    if (!aml_password_sane(password)) {
        return -1;
    }

    if (crypt_gensalt_rn(AML_PASSWORD_METHOD, 0, NULL, 0, setting,
                         sizeof(setting)) == NULL) {
        return -1;
    }

    return aml_password_crypt(password, setting, hash);
}


int
aml_password_check(const char *password, const char *hash)
{
    int rc;
    size_t n;
    char again[AML_PASSWORD_HASH_SIZE];
    const char *setting;

    if (!aml_password_sane(password)) {
        return 0;
    }

    setting = hash;
    if (hash == NULL || strncmp(hash, AML_PASSWORD_METHOD,
                                sizeof(AML_PASSWORD_METHOD) - 1) != 0) {
        hash = NULL;
        setting = AML_PASSWORD_NOBODY;
    }

    if (aml_password_crypt(password, setting, again) != 0) {
        return 0;
    }

    n = strlen(again);
    rc =
        hash != NULL && strlen(hash) == n && CRYPTO_memcmp(hash, again, n) == 0;

    OPENSSL_cleanse(again, sizeof(again));

    return rc;
}


int
aml_password_generate(char *password, size_t n)
{
    size_t i;
    unsigned char random[AML_PASSWORD_MAX];
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    if (n == 0 || n > AML_PASSWORD_MAX || RAND_bytes(random, (int) n) != 1) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        password[i] = characters[random[i] & 63];
    }
    password[n] = '\0';

    OPENSSL_cleanse(random, sizeof(random));

    return 0;
}
