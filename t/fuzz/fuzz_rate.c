/*
 * Token buckets over memory that anything may have written to.  The first
 * bytes are what is asked for, the rest is the memory: whatever it says, nobody
 * gets more than the burst, and damage is reported.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/rate.h"

#define SETS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const size_t size = SETS * AML_RATE_WAYS * AML_RATE_BUCKET;
    struct {
        uint64_t now;
        uint32_t rate;
        uint16_t burst;
        aml_rate_key_t key;
    } ask;
    aml_rate_table_t t = {.sets = SETS, .secret = {7, 11}};
    aml_rate_limit_t limit;
    uint64_t wait;
    unsigned i, ok = 0, corrupt = 0;
    int evicted;

    if (n < sizeof(ask)) {
        return 0;
    }
    memcpy(&ask, data, sizeof(ask));
    data += sizeof(ask);
    n -= sizeof(ask);
    limit.rate = ask.rate % (AML_RATE_MOST * 1000u) + 1;
    limit.burst = ask.burst % 512 + 1;
    ask.now = ask.now % (UINT64_MAX / 2) + 1;
    ask.key.kind = ask.key.kind % 255 + 1;

    t.memory = calloc(1, size);
    if (t.memory == NULL) {
        return 0;
    }
    memcpy(t.memory, data, n < size ? n : size);
    for (i = 0; i < 1024; i++) {
        switch (aml_rate_take(&t, &ask.key, &limit, ask.now, &wait, &evicted)) {
        case AML_RATE_OK:
            ok++;
            break;
        case AML_RATE_LIMITED:
            assert(wait > 0);
            break;
        default:
            corrupt++;
        }
    }
    assert(ok <= limit.burst);
    assert(corrupt <= AML_RATE_WAYS);
    free(t.memory);
    return 0;
}
