/*
 * How much there is of jobs: of a person, and of all in the registry.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "computes/jobs/job.h"

#define USE_KEY "jobuse/%s"
#define USE_TEXT 64

/* LMDB's: a page has nodes of at most a half of it; what is larger has pages
 * of its own.  Nodes have a head, and an entry in their page's table. */
#define USE_PAGE 4096
#define USE_PAGE_HEAD 16
#define USE_NODE 12
#define USE_NODE_MOST 2038
#define USE_POINTER 8

static aml_registry_rc_t
use_person(aml_registry_txn_t *txn, const json_t *doc, int count, int64_t more);
static aml_registry_rc_t use_all(aml_registry_txn_t *txn, const amld_key_t *key,
                                 int64_t before, int64_t n);
static int64_t use_taken(const amld_key_t *key, int64_t n);
static aml_registry_rc_t use_get(aml_registry_txn_t *txn, const char *key,
                                 size_t klen, char text[USE_TEXT]);

static const char use_taken_key[] = "jobtaken";


aml_registry_rc_t
amld_job_use(aml_registry_txn_t *txn, const char *principal,
             amld_job_use_t *use)
{
    int len;
    char key[AML_REGISTRY_KEY_MAX + 1], text[USE_TEXT];
    aml_registry_rc_t rc;

    use->count = 0;
    use->bytes = 0;

    len = snprintf(key, sizeof(key), USE_KEY, principal);
    if (len <= 0 || (size_t) len >= sizeof(key)) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = use_get(txn, key, (size_t) len, text);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    return sscanf(text, "%" SCNu64 " %" SCNu64, &use->count, &use->bytes) == 2
               ? AML_REGISTRY_OK
               : AML_REGISTRY_CORRUPT;
}


aml_registry_rc_t
amld_job_taken(aml_registry_txn_t *txn, uint64_t *bytes)
{
    char text[USE_TEXT];
    aml_registry_rc_t rc;

    *bytes = 0;

    rc = use_get(txn, use_taken_key, sizeof(use_taken_key) - 1, text);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    return sscanf(text, "%" SCNu64, bytes) == 1 ? AML_REGISTRY_OK
                                                : AML_REGISTRY_CORRUPT;
}


aml_registry_rc_t
amld_job_use_change(aml_registry_txn_t *txn, const amld_key_t *key,
                    const json_t *doc, int64_t before, int64_t n)
{
    aml_registry_rc_t rc;

    rc = use_person(txn, doc, (n >= 0) - (before >= 0),
                    (n >= 0 ? n : 0) - (before >= 0 ? before : 0));

    return rc == AML_REGISTRY_OK ? use_all(txn, key, before, n) : rc;
}


static aml_registry_rc_t
use_person(aml_registry_txn_t *txn, const json_t *doc, int count, int64_t more)
{
    int len;
    char key[AML_REGISTRY_KEY_MAX + 1], text[USE_TEXT];
    int64_t counted, sum;
    const char *creator;
    amld_job_use_t use;
    aml_registry_rc_t rc;

    creator = amld_compute_str(doc, "creator");

    rc = amld_job_use(txn, creator, &use);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    counted = (int64_t) use.count + count;
    sum = (int64_t) use.bytes + more;
    len = snprintf(key, sizeof(key), USE_KEY, creator);

    if (counted <= 0) {
        rc = aml_registry_del(txn, key, (size_t) len);
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    (void) snprintf(text, sizeof(text), "%" PRId64 " %" PRId64, counted,
                    sum > 0 ? sum : 0);

    return aml_registry_put(txn, key, (size_t) len, text, strlen(text));
}


static aml_registry_rc_t
use_all(aml_registry_txn_t *txn, const amld_key_t *key, int64_t before,
        int64_t n)
{
    char text[USE_TEXT];
    int64_t more, sum;
    uint64_t taken;
    aml_registry_rc_t rc;

    more = use_taken(key, n) - use_taken(key, before);
    if (more == 0) {
        return AML_REGISTRY_OK;
    }

    rc = amld_job_taken(txn, &taken);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    sum = (int64_t) taken + more;
    if (sum <= 0) {
        rc = aml_registry_del(txn, use_taken_key, sizeof(use_taken_key) - 1);
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    (void) snprintf(text, sizeof(text), "%" PRId64, sum);

    return aml_registry_put(txn, use_taken_key, sizeof(use_taken_key) - 1, text,
                            strlen(text));
}


/* By one document of `n` bytes: it, and an entry in two lists. */
static int64_t
use_taken(const amld_key_t *key, int64_t n)
{
    int64_t node, entry, pages;

    if (n < 0) {
        return 0;
    }

    node = (int64_t) key->n + USE_NODE;
    pages = 0;

    if (node + n <= USE_NODE_MOST) {
        node += n;
    } else {
        node += USE_POINTER;
        pages = (USE_PAGE_HEAD + n + USE_PAGE - 1) / USE_PAGE;
    }

    /* a list's keys are as long as the document's, with a number for a name */
    entry = (int64_t) key->n + (int64_t) sizeof("jobactive/") + 16 + USE_NODE;

    /* pages of a tree are half full at the worst */
    return 2 * (node + 2 * entry) + pages * USE_PAGE;
}


/* A text of the registry's, with an end. */
static aml_registry_rc_t
use_get(aml_registry_txn_t *txn, const char *key, size_t klen,
        char text[USE_TEXT])
{
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, key, klen, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    if (value.n >= USE_TEXT) {
        return AML_REGISTRY_CORRUPT;
    }

    memcpy(text, value.p, value.n);
    text[value.n] = '\0';

    return AML_REGISTRY_OK;
}
