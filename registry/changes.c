/* The ring of what commits changed; see changes.h. */

#include "registry/changes.h"

#include <endian.h>
#include <stdio.h>

#define AML_CHANGES_ALL 0xffff
#define AML_CHANGES_HEAD (sizeof(uint64_t) + sizeof(uint16_t))


int
aml_changes_hot(const void *key, size_t n)
{
    size_t i;

    static const aml_str_t families[] = {
        {"session/", 8}, {"principal/", 10}, {"route/", 6},  {"grant/", 6},
        {"token/", 6},   {"key/", 4},        {"issuer/", 7},
    };

    for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (n > families[i].n &&
            memcmp(key, families[i].p, families[i].n) == 0) {
            return 1;
        }
    }

    return 0;
}


/* 64-bit machines only.  Both halves of the product: every bit of it depends on
 * all of both. */
static uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}


uint64_t
aml_changes_hash(const void *key, size_t n)
{
    uint64_t h, words[2];
    const uint8_t *p = key;

    /* the length tells keys apart that differ in zero bytes at their end */

    h = 0x9e3779b97f4a7c15u ^ n;

    for (; n >= sizeof(words); n -= sizeof(words), p += sizeof(words)) {
        memcpy(words, p, sizeof(words));
        h = fold(le64toh(words[0]) ^ h,
                 le64toh(words[1]) ^ 0xd6e8feb86659fd93u);
    }

    memset(words, 0, sizeof(words));
    memcpy(words, p, n);
    h = fold(le64toh(words[0]) ^ h, le64toh(words[1]) ^ 0xd6e8feb86659fd93u);
    h = fold(h ^ 0x9fb21c651e98df25u, 0xd6e8feb86659fd93u);

    return h != 0 ? h : 1;
}


void
aml_changes_note(aml_registry_txn_t *txn, const void *key, size_t n)
{
    uint64_t hash;

    txn->changed = 1;

    if (!aml_changes_hot(key, n)) {
        return;
    }

    if (txn->noted < AML_CHANGES_MAX) {
        hash = htole64(aml_changes_hash(key, n));
        memcpy(txn->hashes + txn->noted * sizeof(hash), &hash, sizeof(hash));
    }

    if (txn->noted <= AML_CHANGES_MAX) {
        txn->noted++;
    }
}


static size_t
entry_key(char *key, size_t size, uint64_t version)
{
    return (size_t) snprintf(key, size, AML_CHANGES_KEY "%02x",
                             (unsigned) (version % AML_CHANGES_RING));
}


aml_registry_rc_t
aml_changes_write(aml_registry_txn_t *txn)
{
    char key[sizeof(AML_CHANGES_KEY "ff")];
    size_t n;
    uint8_t entry[AML_CHANGES_HEAD + sizeof(txn->hashes)];
    uint16_t count;
    uint64_t version;

    n = 0;
    version = htole64(aml_registry_version(txn));
    count = htole16(AML_CHANGES_ALL);

    if (txn->noted <= AML_CHANGES_MAX) {
        n = txn->noted * sizeof(uint64_t);
        count = htole16((uint16_t) txn->noted);
    }

    memcpy(entry, &version, sizeof(version));
    memcpy(entry + sizeof(version), &count, sizeof(count));
    memcpy(entry + AML_CHANGES_HEAD, txn->hashes, n);

    return aml_registry_put(
        txn, key, entry_key(key, sizeof(key), aml_registry_version(txn)), entry,
        AML_CHANGES_HEAD + n);
}


static int
entry_read(aml_str_t entry, uint64_t expected,
           void (*each)(void *data, uint64_t hash), void *data)
{
    size_t i;
    uint16_t count;
    uint64_t version, hash;

    if (entry.n < AML_CHANGES_HEAD) {
        return 0;
    }

    memcpy(&version, entry.p, sizeof(version));
    memcpy(&count, entry.p + sizeof(version), sizeof(count));
    count = le16toh(count);

    if (le64toh(version) != expected ||
        entry.n != AML_CHANGES_HEAD + count * sizeof(hash)) {
        return 0;
    }

    for (i = 0; i < count; i++) {
        memcpy(&hash, entry.p + AML_CHANGES_HEAD + i * sizeof(hash),
               sizeof(hash));
        each(data, le64toh(hash));
    }

    return 1;
}


int
aml_changes_since(aml_registry_txn_t *txn, uint64_t since,
                  void (*each)(void *data, uint64_t hash), void *data)
{
    char key[sizeof(AML_CHANGES_KEY "ff")];
    uint64_t v, version;
    aml_str_t entry;

    version = aml_registry_version(txn);

    if (version < since || version - since > AML_CHANGES_RING) {
        return 0;
    }

    for (v = since + 1; v <= version; v++) {
        if (aml_registry_get(txn, key, entry_key(key, sizeof(key), v),
                             &entry) != AML_REGISTRY_OK ||
            !entry_read(entry, v, each, data)) {
            return 0;
        }
    }

    return 1;
}
