#include "computes/instances/compute_index.h"

#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "computes/amld.h"
#include "computes/instances/quota.h"
#include "computes/instances/sizes.h"

#define INDEX_COMPUTE "compute/"
#define INDEX_COMPUTE_LEN (sizeof(INDEX_COMPUTE) - 1)
#define INDEX_QUOTA "quota/"

/* What a quota's record should say. */
typedef struct {
    char *name; /* behind "quota/" */
    int64_t used;
} tend_sum_t;

typedef struct {
    const amld_config_t *config;
    aml_registry_txn_t *txn; /* a snapshot */
    tend_sum_t *sums;
    size_t sum_count;
    amld_key_t *sizeless; /* documents that have no size */
    size_t sizeless_count;
    amld_key_t *wrong; /* keys of an index: to add, or to take away */
    size_t wrong_count;
    int failed;
} tend_t;

static const char *const index_families[] = {
    [AMLD_INDEX_OF] = "compute-of/",
    [AMLD_INDEX_BY] = "compute-by/",
    [AMLD_INDEX_RUNTIME] = "runtime/",
};

static int index_found(void *data, aml_str_t key, aml_str_t value);
static const char *index_of(const json_t *doc, amld_index_t index);
static int index_key(amld_key_t *key, amld_index_t index, const json_t *doc,
                     const amld_key_t *compute);
static int tend_document(void *data, aml_str_t key, aml_str_t value);
static int tend_entry(void *data, aml_str_t key, aml_str_t value);
static int tend_quota(void *data, aml_str_t key, aml_str_t value);
static tend_sum_t *tend_sum(tend_t *t, const char *region, const char *name);
static int tend_keep(amld_key_t **list, size_t *count, const amld_key_t *key);
static aml_registry_rc_t tend_look(tend_t *t, aml_registry_t *registry);
static void tend_sizes(tend_t *t, aml_registry_t *registry);
static aml_registry_rc_t tend_write(tend_t *t, aml_registry_txn_t *txn);
static void tend_clear(tend_t *t);


aml_registry_rc_t
amld_compute_index_add(aml_registry_txn_t *txn, const amld_key_t *key,
                       const json_t *doc)
{
    int i;
    amld_key_t entry = {.n = 0};
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, key->p, key->n, &value);
    if (rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }

    for (i = AMLD_INDEX_OF; i < AMLD_INDEX_COUNT; i++) {
        if (index_key(&entry, (amld_index_t) i, doc, key) != 0) {
            return AML_REGISTRY_TOOLONG;
        }
        rc = aml_registry_put(txn, entry.p, entry.n, "1", 1);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }
    }

    return amld_quota_use_by(txn, doc, 1);
}


aml_registry_rc_t
amld_compute_index_remove(aml_registry_txn_t *txn, const amld_key_t *key,
                          const json_t *doc)
{
    int i;
    amld_key_t entry = {.n = 0};
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, key->p, key->n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    for (i = AMLD_INDEX_OF; i < AMLD_INDEX_COUNT; i++) {
        if (index_key(&entry, (amld_index_t) i, doc, key) != 0) {
            return AML_REGISTRY_TOOLONG;
        }
        rc = aml_registry_del(txn, entry.p, entry.n);
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
    }

    return amld_quota_use_by(txn, doc, -1);
}


int
amld_compute_index_prefix(amld_key_t *prefix, amld_index_t index,
                          const char *principal,
                          const amld_workspace_t *workspace)
{
    int n;
    amld_key_t compute = {.n = 0};

    if (amld_compute_prefix(&compute, workspace) != 0) {
        return -1;
    }

    n = snprintf(prefix->p, sizeof(prefix->p), "%s%s/%s", index_families[index],
                 principal, compute.p + INDEX_COMPUTE_LEN);
    if (n <= 0 || (size_t) n >= sizeof(prefix->p)) {
        return -1;
    }
    prefix->n = (size_t) n;

    return 0;
}


static int
index_found(void *data, aml_str_t key, aml_str_t value)
{
    (void) key;
    (void) value;

    return *(int *) data = 1;
}


aml_registry_rc_t
amld_compute_runtime_new(aml_registry_txn_t *txn, const amld_config_t *c,
                         char runtime[AMLD_RUNTIME_SIZE])
{
    int n, found;
    char path[PATH_MAX];
    unsigned char raw[4];
    amld_key_t prefix;
    aml_registry_rc_t rc;

    do {
        if (RAND_bytes(raw, sizeof(raw)) != 1) {
            return AML_REGISTRY_FAILED;
        }
        snprintf(runtime, AMLD_RUNTIME_SIZE, "%02x%02x%02x%02x", raw[0], raw[1],
                 raw[2], raw[3]);

        n = snprintf(prefix.p, sizeof(prefix.p), "%s%s/",
                     index_families[AMLD_INDEX_RUNTIME], runtime);
        snprintf(path, sizeof(path), "%s/i/%s", c->state, runtime);

        found = access(path, F_OK) == 0;
        rc = aml_registry_each(txn, (aml_str_t){prefix.p, (size_t) n},
                               aml_str(""), index_found, &found);
    } while (rc == AML_REGISTRY_OK && found);

    return rc;
}


int
amld_compute_index_tend(aml_registry_t *registry, const amld_config_t *c)
{
    tend_t t;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    memset(&t, 0, sizeof(t));
    t.config = c;

    rc = tend_look(&t, registry);

    if (rc == AML_REGISTRY_OK && t.sizeless_count != 0) {
        tend_sizes(&t, registry);
        tend_clear(&t);
        rc = tend_look(&t, registry);
    }

    if (rc != AML_REGISTRY_OK) {
        tend_clear(&t);
        amld_log(AMLD_LOG_ERROR, "indexes of compute instances: %s",
                 aml_registry_strerror(rc));
        return -1;
    }

    /* Where that can't be written, amld is of more use with it than not at
     * all. */
    rc = aml_registry_write(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = tend_write(&t, txn);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR,
                 "indexes of compute instances can't be put right: %s",
                 aml_registry_strerror(rc));
    }

    tend_clear(&t);

    return 0;
}


static const char *
index_of(const json_t *doc, amld_index_t index)
{
    const char *by;

    if (index == AMLD_INDEX_RUNTIME) {
        return amld_compute_str(doc, "runtime");
    }

    by = amld_compute_str(json_object_get(doc, "createdBy"), "principal");

    return index == AMLD_INDEX_BY && by[0] != '\0'
               ? by
               : amld_compute_str(doc, "creator");
}


static int
index_key(amld_key_t *key, amld_index_t index, const json_t *doc,
          const amld_key_t *compute)
{
    int n;

    n = snprintf(key->p, sizeof(key->p), "%s%s/%s", index_families[index],
                 index_of(doc, index), compute->p + INDEX_COMPUTE_LEN);
    if (n <= 0 || (size_t) n >= sizeof(key->p)) {
        return -1;
    }
    key->n = (size_t) n;

    return 0;
}


/* Everything that differs, and what should be used. */
static aml_registry_rc_t
tend_look(tend_t *t, aml_registry_t *registry)
{
    int i;
    aml_registry_rc_t rc;

    rc = aml_registry_read(registry, &t->txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_each(t->txn, aml_str(INDEX_COMPUTE), aml_str(""),
                           tend_document, t);
    for (i = AMLD_INDEX_OF; i < AMLD_INDEX_COUNT && rc == AML_REGISTRY_OK;
         i++) {
        rc = aml_registry_each(t->txn, aml_str_of(index_families[i]),
                               aml_str(""), tend_entry, t);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(t->txn, aml_str(INDEX_QUOTA), aml_str(""),
                               tend_quota, t);
    }

    aml_registry_end(t->txn);

    return t->failed ? AML_REGISTRY_FAILED : rc;
}


static int
tend_document(void *data, aml_str_t key, aml_str_t value)
{
    int i;
    json_t *doc;
    tend_t *t;
    amld_key_t compute = {.n = 0}, entry = {.n = 0};
    aml_str_t found;
    json_int_t cores;
    tend_sum_t *sum;
    const json_t *size;

    t = data;

    if (key.n > AML_REGISTRY_KEY_MAX) {
        return 0;
    }
    memcpy(compute.p, key.p, key.n);
    compute.p[key.n] = '\0';
    compute.n = key.n;

    /* what is no document is told of where it is loaded */
    doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(doc)) {
        json_decref(doc);
        return 0;
    }

    size = json_object_get(doc, "size");
    cores = json_integer_value(json_object_get(size, "cores"));
    if (size == NULL &&
        amld_size_find(t->config,
                       amld_compute_str(json_object_get(doc, "requested"),
                                        "vmSize")) != NULL) {
        t->failed |= tend_keep(&t->sizeless, &t->sizeless_count, &compute);
    }

    if (cores > 0) {
        for (i = 0; i < 2; i++) {
            sum = tend_sum(t, amld_compute_str(doc, "location"),
                           i == 0 ? amld_compute_str(size, "family")
                                  : AMLD_QUOTA_TOTAL);
            if (sum == NULL) {
                t->failed = 1;
                break;
            }
            sum->used += cores;
        }
    }

    for (i = AMLD_INDEX_OF; i < AMLD_INDEX_COUNT; i++) {
        if (index_key(&entry, (amld_index_t) i, doc, &compute) == 0 &&
            aml_registry_get(t->txn, entry.p, entry.n, &found) ==
                AML_REGISTRY_NOTFOUND) {
            t->failed |= tend_keep(&t->wrong, &t->wrong_count, &entry);
        }
    }

    json_decref(doc);

    return t->failed;
}


/* An entry of an index that is of no document, or of another's. */
static int
tend_entry(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    tend_t *t;
    amld_key_t compute = {.n = 0}, entry = {.n = 0}, want = {.n = 0};
    aml_str_t found;
    const char *rest;
    amld_index_t index;

    (void) value;
    t = data;

    if (key.n > AML_REGISTRY_KEY_MAX) {
        return 0;
    }
    memcpy(entry.p, key.p, key.n);
    entry.p[key.n] = '\0';
    entry.n = key.n;

    for (index = AMLD_INDEX_OF; index + 1 < AMLD_INDEX_COUNT &&
                                strncmp(entry.p, index_families[index],
                                        strlen(index_families[index])) != 0;
         index++) {
        /* void */
    }
    rest = strchr(entry.p + strlen(index_families[index]), '/');

    doc = NULL;
    if (rest != NULL) {
        compute.n = (size_t) snprintf(compute.p, sizeof(compute.p),
                                      INDEX_COMPUTE "%s", rest + 1);
        if (compute.n < sizeof(compute.p) &&
            aml_registry_get(t->txn, compute.p, compute.n, &found) ==
                AML_REGISTRY_OK) {
            doc = json_loadb(found.p, found.n, JSON_REJECT_DUPLICATES, NULL);
        }
    }

    if (doc == NULL || index_key(&want, index, doc, &compute) != 0 ||
        want.n != entry.n || memcmp(want.p, entry.p, entry.n) != 0) {
        t->failed |= tend_keep(&t->wrong, &t->wrong_count, &entry);
    }

    json_decref(doc);

    return t->failed;
}


/* So that a quota of which nothing is used any more is looked at, too. */
static int
tend_quota(void *data, aml_str_t key, aml_str_t value)
{
    char name[AML_REGISTRY_KEY_MAX + 1], *slash;
    tend_t *t;

    (void) value;
    t = data;

    if (key.n > AML_REGISTRY_KEY_MAX) {
        return 0;
    }
    memcpy(name, key.p, key.n);
    name[key.n] = '\0';

    slash = strrchr(name, '/');
    if (slash < name + sizeof(INDEX_QUOTA) - 1) {
        return 0;
    }
    *slash = '\0';

    t->failed |= tend_sum(t, name + sizeof(INDEX_QUOTA) - 1, slash + 1) == NULL;

    return t->failed;
}


static tend_sum_t *
tend_sum(tend_t *t, const char *region, const char *name)
{
    char *text;
    size_t i;
    tend_sum_t *grown;

    if (asprintf(&text, "%s/%s", region, name) < 0) {
        return NULL;
    }

    for (i = 0; i < t->sum_count; i++) {
        if (strcasecmp(t->sums[i].name, text) == 0) {
            free(text);
            return &t->sums[i];
        }
    }

    grown = realloc(t->sums, (t->sum_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        free(text);
        return NULL;
    }

    t->sums = grown;
    t->sums[t->sum_count].name = text;
    t->sums[t->sum_count].used = 0;

    return &t->sums[t->sum_count++];
}


static int
tend_keep(amld_key_t **list, size_t *count, const amld_key_t *key)
{
    amld_key_t *grown;

    /* room for 1, 2, 4 … */
    if ((*count & (*count - 1)) == 0) {
        grown = realloc(*list, (*count == 0 ? 1 : *count * 2) * sizeof(**list));
        if (grown == NULL) {
            return 1;
        }
        *list = grown;
    }

    (*list)[(*count)++] = *key;

    return 0;
}


/* Documents of releases that knew no sizes. */
static void
tend_sizes(tend_t *t, aml_registry_t *registry)
{
    size_t i;
    json_t *doc;
    aml_registry_rc_t rc;
    const amld_size_t *size;
    aml_registry_txn_t *txn;

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        txn = NULL;
    }

    for (i = 0; i < t->sizeless_count && rc == AML_REGISTRY_OK; i++) {
        rc = amld_compute_load(txn, &t->sizeless[i], &doc);
        if (rc == AML_REGISTRY_CORRUPT) {
            rc = AML_REGISTRY_OK;
            continue;
        }
        if (rc != AML_REGISTRY_OK) {
            break;
        }

        size = amld_size_find(
            t->config,
            amld_compute_str(json_object_get(doc, "requested"), "vmSize"));
        rc = size != NULL && amld_size_freeze(doc, size) == 0
                 ? amld_compute_store(txn, t->config, &t->sizeless[i], doc)
                 : AML_REGISTRY_FAILED;
        json_decref(doc);
    }

    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    if (rc == AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_INFO, "%zu compute instances have got a size",
                 t->sizeless_count);
    } else {
        amld_log(AMLD_LOG_ERROR, "sizes of compute instances: %s",
                 aml_registry_strerror(rc));
    }
}


static aml_registry_rc_t
tend_write(tend_t *t, aml_registry_txn_t *txn)
{
    char *name;
    size_t i;
    aml_str_t value;
    amld_quota_t q;
    aml_registry_rc_t rc;

    rc = AML_REGISTRY_OK;

    for (i = 0; i < t->sum_count && rc == AML_REGISTRY_OK; i++) {
        /* "<region>/<name>"; neither has a slash */
        name = strchr(t->sums[i].name, '/');
        *name++ = '\0';

        rc = amld_quota_get(txn, t->config, t->sums[i].name, name, &q);
        if (rc == AML_REGISTRY_OK && q.used == t->sums[i].used) {
            continue;
        }
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_CORRUPT) {
            return rc;
        }

        amld_log(AMLD_LOG_WARN,
                 "quota %s in %s: %lld cores are in use, not %lld", name,
                 t->sums[i].name, (long long) t->sums[i].used,
                 (long long) q.used);
        rc = amld_quota_set_used(txn, t->sums[i].name, name, t->sums[i].used);
    }

    for (i = 0; i < t->wrong_count && rc == AML_REGISTRY_OK; i++) {
        rc = aml_registry_get(txn, t->wrong[i].p, t->wrong[i].n, &value);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_del(txn, t->wrong[i].p, t->wrong[i].n);
        } else if (rc == AML_REGISTRY_NOTFOUND) {
            rc = aml_registry_put(txn, t->wrong[i].p, t->wrong[i].n, "1", 1);
        }
    }

    if (rc == AML_REGISTRY_OK && t->wrong_count != 0) {
        amld_log(AMLD_LOG_WARN,
                 "index of compute instances: %zu entries were put right",
                 t->wrong_count);
    }

    return rc;
}


static void
tend_clear(tend_t *t)
{
    size_t i;

    for (i = 0; i < t->sum_count; i++) {
        free(t->sums[i].name);
    }
    free(t->sums);
    free(t->sizeless);
    free(t->wrong);

    t->sums = NULL;
    t->sizeless = NULL;
    t->wrong = NULL;
    t->sum_count = 0;
    t->sizeless_count = 0;
    t->wrong_count = 0;
}
