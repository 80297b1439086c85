/*
 * Keys that are good, for sets that are, and for those that are not.
 */

#ifndef JWKS_FIXTURE_H
#define JWKS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"

/* RFC 7517 appendix A.1 */
#define RSA_N                                                                  \
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1R"     \
    "K7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9"     \
    "yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZg"     \
    "nYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We"     \
    "Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK"     \
    "gw"
#define RSA_THUMBPRINT "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define EC_X "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
#define EC_Y "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"

/* RFC 8037 appendix A */
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_D "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define ED_THUMBPRINT "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

/* members of a good key, without braces: to be added to */
#define RSA "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""
#define EC                                                                     \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\""
#define ED "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\""
#define SET(keys) "{\"keys\":[" keys "]}"


/* Parses a copy that is exactly as long as it says, for the sanitizer. */
static inline aml_jwks_rc_t
parse_n(const char *text, size_t n, aml_jwks_t *set)
{
    char *copy = malloc(n + (n == 0));
    aml_jwks_rc_t rc;

    assert_non_null(copy);
    memcpy(copy, text, n);
    rc = aml_jwks_parse((aml_str_t){copy, n}, set);
    free(copy); /* the set has what it needs */

    assert_int_equal(ERR_peek_error(), 0);

    return rc;
}


static inline aml_jwks_rc_t
parse(const char *text, aml_jwks_t *set)
{
    return parse_n(text, strlen(text), set);
}


static inline void
assert_kid(const aml_jwks_t *set, size_t i, const char *kid)
{
    assert_true(i < set->key_count);
    assert_int_equal(set->keys[i].kid.n, strlen(kid));
    assert_memory_equal(set->keys[i].kid.p, kid, strlen(kid));
}


static inline void
assert_verdict(const char *key, aml_jwk_verdict_t verdict)
{
    aml_jwks_t set;
    char *text;

    /* beside a good one, which it must not spoil */
    assert_true(asprintf(&text, SET("%s,{" ED ",\"kid\":\"good\"}"), key) > 0);
    assert_int_equal(parse(text, &set), AML_JWKS_OK);
    if (set.verdicts[verdict] != (verdict == AML_JWK_TAKEN ? 2 : 1) ||
        set.key_count != (verdict == AML_JWK_TAKEN ? 2 : 1)) {
        print_error("%.300s: not \"%s\"\n", key, aml_jwk_verdict_text(verdict));
        fail();
    }
    assert_kid(&set, set.key_count - 1, "good");

    aml_jwks_clear(&set);
    free(text);
}

#endif /* JWKS_FIXTURE_H */
