/* What answers are made of, and whether it has changed. */

#include "registry/changes.h"

#include <string.h>

#define ANYTHING (AML_REGISTRY_WATCHED + 1)
#define UNKNOWN (AML_REGISTRY_CHANGES + 1)


void
aml_registry_watch(aml_registry_txn_t *txn, aml_registry_watch_t *watch)
{
    txn->watch = watch;

    if (watch != NULL) {
        watch->count = 0;
    }
}


void
aml_watch_note(aml_registry_watch_t *watch, uint64_t hash)
{
    if (hash == 0) {
        watch->count = ANYTHING;
    }

    if (watch->count < AML_REGISTRY_WATCHED) {
        watch->keys[watch->count] = hash;
    }

    if (watch->count < ANYTHING) {
        watch->count++;
    }
}


static void
changes_each(void *data, uint64_t hash)
{
    aml_registry_changes_t *changes = data;

    if (changes->count < AML_REGISTRY_CHANGES) {
        changes->keys[changes->count] = hash;
    }

    if (changes->count < UNKNOWN) {
        changes->count++;
    }
}


void
aml_registry_changes(aml_registry_txn_t *txn, uint64_t since,
                     aml_registry_changes_t *changes)
{
    changes->count = 0;
    changes->any = aml_registry_version(txn) != since;

    if (!aml_changes_since(txn, since, changes_each, changes)) {
        changes->count = UNKNOWN;
    }
}


int
aml_registry_concerns(const aml_registry_changes_t *changes,
                      const aml_registry_watch_t *watch)
{
    unsigned i, k;

    if (changes->count > AML_REGISTRY_CHANGES ||
        watch->count > AML_REGISTRY_WATCHED) {
        return changes->any;
    }

    for (i = 0; i < changes->count; i++) {
        for (k = 0; k < watch->count; k++) {
            if (changes->keys[i] == watch->keys[k]) {
                return 1;
            }
        }
    }

    return 0;
}
