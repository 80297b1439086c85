/*
 * Key sets and metadata of providers.  The first byte chooses.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/discovery.h"
#include "auth/jwks.h"
#include "auth/jwt.h"
#include "auth/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


/* Whatever is taken can be used, written down and told apart. */
static void
key_set(aml_str_t in)
{
    static char record[AML_RECORD_MAX];
    unsigned verdicts = 0;
    aml_verifier_t *v;
    aml_jwks_t set;
    size_t i, k;

    if (aml_jwks_parse(in, &set) != AML_JWKS_OK) {
        assert(set.key_count == 0);
        aml_jwks_clear(&set);
        return;
    }

    for (i = 0; i < AML_JWK_VERDICTS; i++) {
        verdicts += set.verdicts[i];
    }
    assert(verdicts <= AML_JWKS_KEYS_MAX);
    assert(set.verdicts[AML_JWK_TAKEN] == set.key_count);

    for (i = 0; i < set.key_count; i++) {
        assert(set.keys[i].kid.n > 0 && set.keys[i].kid.n <= AML_JWT_KID_MAX);
        for (k = 0; k < i; k++) {
            assert(!aml_str_eq(set.keys[i].kid, set.keys[k].kid));
        }
        assert(aml_public_key_encode(&set.keys[i].key, record, sizeof(record)) >
               0);
        assert(aml_verifier_new(&set.keys[i].key, &v) == AML_KEY_OK);
        aml_verifier_free(v);
    }

    aml_jwks_clear(&set);
}


static void
metadata(aml_str_t in)
{
    amld_discovery_t d, copy;

    if (amld_discovery_parse(in.p, in.n, "https://id.example", NULL, &d) ==
        NULL) {
        assert(strcmp(d.issuer, "https://id.example") == 0);
        assert(strncmp(d.jwks_uri, "https://", 8) == 0);
        if (amld_discovery_copy(&copy, &d) == 0) {
            assert(strcmp(copy.jwks_uri, d.jwks_uri) == 0);
            amld_discovery_clear(&copy);
        }
    }

    amld_discovery_clear(&d);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy;

    if (n == 0) {
        return 0;
    }

    /* of exactly that size, so that one byte too far is seen */
    copy = malloc(n);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    ((data[0] & 1) != 0 ? metadata : key_set)((aml_str_t){copy + 1, n - 1});
    free(copy);

    return 0;
}
