/*
 * Datagrams of activity, as a stranger could send them: what is taken for one
 * says the same when it is written again.  Likewise of missing keys and of
 * applications that are wanted.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/activity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    aml_activity_t list[AML_ACTIVITY_RECORDS];
    aml_activity_batch_t again = {.n = 0};
    uint8_t missing[AML_MISSING_KEY_MAX], wanted[AML_WANTED_MAX];
    unsigned i, count;
    aml_wanted_t w;
    aml_str_t iss;

    /* a copy of exactly that size, so that one byte too far is seen */
    char *copy = malloc(n > 0 ? n : 1);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    if (aml_activity_decode((aml_str_t){copy, n}, list, &count) ==
        AML_RECORD_OK) {
        assert(count > 0 && count <= AML_ACTIVITY_RECORDS);
        for (i = 0; i < count; i++) {
            assert(aml_activity_add(&again, &list[i]) == 0);
        }
        assert(again.n == n && memcmp(again.bytes, data, n) == 0);
    } else {
        assert(count == 0);
    }
    if (aml_missing_key_decode((aml_str_t){copy, n}, &iss) == AML_RECORD_OK) {
        assert(count == 0);
        assert(iss.n == n - 4);
        assert(n > sizeof(missing) ||
               (aml_missing_key_encode(iss, missing) == n &&
                memcmp(missing, data, n) == 0));
    }
    if (aml_wanted_decode((aml_str_t){copy, n}, &w) == AML_RECORD_OK) {
        assert(count == 0 && w.port != 0);
        assert(aml_wanted_encode(&w, wanted) == n &&
               memcmp(wanted, data, n) == 0);
    }
    free(copy);
    return 0;
}
