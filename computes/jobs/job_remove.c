#include "computes/jobs/job_remove.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "computes/files/reserve.h"

#define REMOVE_ONCE 128 /* jobs in a transaction */

typedef struct {
    const amld_job_which_t *which;
    size_t looked;
    size_t most;
    char *from;
    size_t n;
    amld_key_t keys[REMOVE_ONCE];
} remove_t;

static aml_registry_rc_t remove_find(aml_registry_t *registry, remove_t *r);
static int remove_look(void *data, aml_str_t key, aml_str_t value);
static aml_registry_rc_t
remove_write(aml_registry_t *registry, const amld_job_which_t *which,
             const amld_key_t *keys, size_t count, json_t **docs);
static aml_registry_rc_t
remove_one(aml_registry_txn_t *txn, const amld_job_which_t *which,
           const amld_key_t *key, json_t **doc);
static int64_t remove_time(const json_t *doc);
static int remove_is(const amld_job_which_t *which, const json_t *doc);

static const char remove_family[] = "job/";


int
amld_job_is_one(const amld_job_which_t *which, const json_t *doc)
{
    const char *workspace;

    workspace = strrchr(amld_compute_str(doc, "workspace"), '/');

    return (which->creator == NULL ||
            strcasecmp(which->creator, amld_compute_str(doc, "creator")) ==
                0) &&
           (which->name == NULL ||
            strcasecmp(which->name, amld_compute_str(doc, "name")) == 0) &&
           (which->workspace == NULL ||
            (workspace != NULL &&
             strcasecmp(which->workspace, workspace + 1) == 0));
}


aml_registry_rc_t
amld_jobs_remove(aml_registry_t *registry, const amld_job_which_t *which,
                 size_t most, char *from, amld_job_removed_pt removed,
                 void *data, size_t *n)
{
    int spent;
    size_t i, done, once, count;
    json_t *docs[REMOVE_ONCE];
    remove_t r = {.which = which, .most = most, .from = from};
    aml_registry_rc_t rc;

    *n = 0;
    once = REMOVE_ONCE;
    spent = 0;

    do {
        rc = remove_find(registry, &r);

        for (done = 0; rc == AML_REGISTRY_OK && done < r.n; done += count) {
            count = r.n - done < once ? r.n - done : once;
            rc = remove_write(registry, which, r.keys + done, count, docs);

            if (amld_reserve_is_full(rc) && once > 1) {
                /* it takes pages to give up pages: a few of them at a time */
                once = 1;
                count = 0;
                rc = AML_REGISTRY_OK;
                continue;
            }
            if (amld_reserve_is_full(rc) && !spent &&
                amld_reserve_spend(registry) == 0) {
                spent = 1;
                count = 0;
                rc = AML_REGISTRY_OK;
                continue;
            }
            if (rc != AML_REGISTRY_OK) {
                break;
            }

            once = once < REMOVE_ONCE ? 2 * once : once;
            for (i = 0; i < count; i++) {
                if (docs[i] != NULL) {
                    (*n)++;
                    if (removed != NULL) {
                        removed(data, docs[i]);
                    }
                    json_decref(docs[i]);
                }
            }
        }
    } while (rc == AML_REGISTRY_OK && from[0] != '\0' && r.looked < most);

    return rc;
}


/* The next ones, as many as one transaction takes. */
static aml_registry_rc_t
remove_find(aml_registry_t *registry, remove_t *r)
{
    char start[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    (void) snprintf(start, sizeof(start), "%s", r->from);
    r->from[0] = '\0';
    r->n = 0;

    rc = aml_registry_read(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    rc = aml_registry_each(txn, aml_str(remove_family), aml_str_of(start),
                           remove_look, r);
    aml_registry_end(txn);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static int
remove_look(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    remove_t *r;
    amld_key_t *found;

    r = data;

    if (r->looked == r->most || r->n == REMOVE_ONCE) {
        (void) snprintf(r->from, AML_REGISTRY_KEY_MAX + 1, "%.*s", (int) key.n,
                        key.p);
        return 1;
    }
    r->looked++;

    if (amld_job_parse(value, &doc) == AML_REGISTRY_OK &&
        remove_is(r->which, doc) && key.n < sizeof(found->p)) {
        found = &r->keys[r->n++];
        memcpy(found->p, key.p, key.n);
        found->p[key.n] = '\0';
        found->n = key.n;
    }
    json_decref(doc);

    return 0;
}


/* Those that were removed are in `docs`, NULL for those that are there no more,
 * or are others; all of it the caller's only when it is written. */
static aml_registry_rc_t
remove_write(aml_registry_t *registry, const amld_job_which_t *which,
             const amld_key_t *keys, size_t count, json_t **docs)
{
    size_t i;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    for (i = 0; i < count; i++) {
        docs[i] = NULL;
    }

    rc = aml_registry_write(registry, &txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    for (i = 0; i < count && rc == AML_REGISTRY_OK; i++) {
        rc = remove_one(txn, which, &keys[i], &docs[i]);
    }

    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(txn);
    } else {
        aml_registry_end(txn);
    }

    for (i = 0; rc != AML_REGISTRY_OK && i < count; i++) {
        json_decref(docs[i]);
    }

    return rc;
}


static aml_registry_rc_t
remove_one(aml_registry_txn_t *txn, const amld_job_which_t *which,
           const amld_key_t *key, json_t **doc)
{
    aml_registry_rc_t rc;

    rc = amld_job_load(txn, key, doc);
    if (rc == AML_REGISTRY_NOTFOUND || rc == AML_REGISTRY_CORRUPT) {
        return AML_REGISTRY_OK;
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (!remove_is(which, *doc)) {
        json_decref(*doc);
        *doc = NULL;
        return AML_REGISTRY_OK;
    }

    return amld_job_remove(txn, key, *doc);
}


/* When it has ended; one that a clock has ended before it began has ended
 * later. */
static int64_t
remove_time(const json_t *doc)
{
    int64_t ended, started, submitted;

    ended = amld_job_time(doc, "ended");
    started = amld_job_time(doc, "started");
    submitted = amld_job_time(doc, "submitted");

    ended = started > ended ? started : ended;

    return submitted > ended ? submitted : ended;
}


static int
remove_is(const amld_job_which_t *which, const json_t *doc)
{
    return amld_job_has_ended(doc) && amld_job_is_one(which, doc) &&
           (which->before == 0 || remove_time(doc) < which->before);
}
