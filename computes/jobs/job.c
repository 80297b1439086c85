#include "computes/jobs/job.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB_FAMILY "job/"
#define JOB_FAMILY_LEN (sizeof(JOB_FAMILY) - 1)
#define JOB_COMPUTE "compute/"
#define JOB_COMPUTE_LEN (sizeof(JOB_COMPUTE) - 1)
#define JOB_SEQ 16 /* hex digits */

typedef struct {
    const amld_key_t *prefix;
    const char *workspace; /* of lists: prefix of keys; NULL: values are keys */
    amld_job_each_pt each;
    void *data;
} job_walk_t;

typedef struct {
    size_t n;
    size_t most;
} job_count_t;

static int
job_prefix(amld_key_t *key, const char *family, const amld_key_t *compute);
static aml_registry_rc_t
job_index(aml_registry_txn_t *txn, const amld_key_t *key, const json_t *doc,
          int there);
static aml_registry_rc_t
job_entry(aml_registry_txn_t *txn, const amld_key_t *entry, const char *value,
          size_t n, int there, int *was);
static int job_each(void *data, aml_str_t key, aml_str_t value);
static int job_count(void *data, uint64_t seq, const amld_key_t *job);

static const char *const job_statuses[AMLD_JOB_STATUS_COUNT] = {
    [AMLD_JOB_QUEUED] = "Queued",
    [AMLD_JOB_RUNNING] = "Running",
    [AMLD_JOB_CANCEL_REQUESTED] = "CancelRequested",
    [AMLD_JOB_COMPLETED] = "Completed",
    [AMLD_JOB_FAILED] = "Failed",
    [AMLD_JOB_CANCELED] = "Canceled",
};

static const char *const job_views[] = {
    [AMLD_JOBS_ALL] = "jobtime/",
    [AMLD_JOBS_ACTIVE] = "jobactive/",
    [AMLD_JOBS_ARCHIVED] = "jobarchived/",
};


const char *
amld_job_status_name(amld_job_status_t status)
{
    return job_statuses[status];
}


amld_job_status_t
amld_job_status(const json_t *doc)
{
    size_t i;
    const char *name;

    name = amld_compute_str(doc, "status");

    for (i = 0; i < AMLD_JOB_STATUS_COUNT; i++) {
        if (strcmp(job_statuses[i], name) == 0) {
            break;
        }
    }

    return (amld_job_status_t) i;
}


int
amld_job_set_status(json_t *doc, amld_job_status_t status)
{
    return amld_compute_set_str(doc, "status", job_statuses[status]);
}


int
amld_job_has_ended(const json_t *doc)
{
    amld_job_status_t status;

    status = amld_job_status(doc);

    return status == AMLD_JOB_COMPLETED || status == AMLD_JOB_FAILED ||
           status == AMLD_JOB_CANCELED;
}


int
amld_job_runs(const json_t *doc)
{
    return !amld_job_has_ended(doc) &&
           (amld_job_status(doc) == AMLD_JOB_RUNNING ||
            amld_job_time(doc, "started") != 0);
}


int
amld_job_cancel(json_t *doc, int64_t now)
{
    if (amld_job_has_ended(doc)) {
        return 0;
    }

    if (json_object_set_new(doc, "cancel", json_true()) != 0) {
        return -1;
    }

    if (amld_job_runs(doc)) {
        return amld_job_set_status(doc, AMLD_JOB_CANCEL_REQUESTED);
    }

    (void) json_object_del(doc, "message"); /* what it has waited for */

    return amld_job_set_status(doc, AMLD_JOB_CANCELED) == 0 &&
                   amld_job_set_time(doc, "ended", now) == 0
               ? 0
               : -1;
}


uint64_t
amld_job_seq(const json_t *doc)
{
    return (uint64_t) json_integer_value(json_object_get(doc, "seq"));
}


int64_t
amld_job_time(const json_t *doc, const char *name)
{
    return json_integer_value(
        json_object_get(json_object_get(doc, "times"), name));
}


int
amld_job_set_time(json_t *doc, const char *name, int64_t ms)
{
    json_t *times;

    times = json_object_get(doc, "times");
    if (!json_is_object(times)) {
        if (json_object_set_new(doc, "times", json_object()) != 0) {
            return -1;
        }
        times = json_object_get(doc, "times");
    }

    return json_object_set_new(times, name, json_integer(ms));
}


int
amld_job_name_check(const char *id)
{
    size_t n;

    static const char may[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz0123456789-_";

    n = strlen(id);

    return n != 0 && n <= AMLD_JOB_NAME_MAX && strspn(id, may) == n &&
                   id[0] != '-' && id[0] != '_'
               ? 0
               : -1;
}


int
amld_job_key(amld_key_t *key, const amld_workspace_t *workspace, const char *id)
{
    char *p;
    amld_key_t prefix = {.n = 0};

    if (amld_job_name_check(id) != 0 ||
        amld_compute_prefix(&prefix, workspace) != 0 ||
        amld_key_format(key, JOB_FAMILY "%s%s", prefix.p + JOB_COMPUTE_LEN,
                        id) != 0) {
        return -1;
    }

    for (p = key->p; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char) (*p + 32) : *p;
    }

    return 0;
}


int
amld_job_compute(amld_key_t *key, const json_t *doc)
{
    const char *compute;

    compute = amld_compute_str(doc, "compute");

    return strncmp(compute, JOB_COMPUTE, JOB_COMPUTE_LEN) == 0
               ? amld_key_format(key, "%s", compute)
               : -1;
}


aml_registry_rc_t
amld_job_load(aml_registry_txn_t *txn, const amld_key_t *key, json_t **doc)
{
    aml_str_t value;
    aml_registry_rc_t rc;

    *doc = NULL;

    rc = aml_registry_get(txn, key->p, key->n, &value);

    return rc == AML_REGISTRY_OK ? amld_job_parse(value, doc) : rc;
}


aml_registry_rc_t
amld_job_parse(aml_str_t value, json_t **doc)
{
    amld_key_t compute = {.n = 0};

    *doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    /* What everything else relies on. */
    if (json_is_object(*doc) &&
        amld_job_status(*doc) != AMLD_JOB_STATUS_COUNT &&
        amld_job_name_check(amld_compute_str(*doc, "name")) == 0 &&
        amld_compute_str(*doc, "workspace")[0] != '\0' &&
        amld_compute_str(*doc, "creator")[0] != '\0' &&
        amld_job_compute(&compute, *doc) == 0 && amld_job_seq(*doc) != 0 &&
        json_is_object(json_object_get(*doc, "requested"))) {
        return AML_REGISTRY_OK;
    }

    json_decref(*doc);
    *doc = NULL;

    return AML_REGISTRY_CORRUPT;
}


aml_registry_rc_t
amld_job_store(aml_registry_txn_t *txn, const amld_key_t *key,
               const json_t *doc)
{
    char *text;
    size_t n;
    int64_t before;
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, key->p, key->n, &value);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
        return rc;
    }
    before = rc == AML_REGISTRY_OK ? (int64_t) value.n : -1;

    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL) {
        return AML_REGISTRY_FAILED;
    }
    n = strlen(text);

    rc = aml_registry_put(txn, key->p, key->n, text, n);
    free(text);

    if (rc == AML_REGISTRY_OK) {
        rc = job_index(txn, key, doc, 1);
    }
    if (rc == AML_REGISTRY_OK && before != (int64_t) n) {
        rc = amld_job_use_change(txn, key, doc, before, (int64_t) n);
    }

    return rc;
}


aml_registry_rc_t
amld_job_remove(aml_registry_txn_t *txn, const amld_key_t *key,
                const json_t *doc)
{
    int64_t before;
    aml_str_t value;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, key->p, key->n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }
    before = (int64_t) value.n;

    rc = aml_registry_del(txn, key->p, key->n);
    if (rc == AML_REGISTRY_OK) {
        rc = job_index(txn, key, doc, 0);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = amld_job_use_change(txn, key, doc, before, -1);
    }

    return rc;
}


aml_registry_rc_t
amld_job_queue_each(aml_registry_txn_t *txn, const amld_key_t *compute,
                    uint64_t from, amld_job_each_pt each, void *data)
{
    amld_key_t prefix = {.n = 0}, first = {.n = 0};
    job_walk_t walk;

    if (job_prefix(&prefix, "jobqueue/", compute) != 0 ||
        amld_key_format(&first, "%s%016" PRIx64, prefix.p, from) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    walk.prefix = &prefix;
    walk.workspace = NULL;
    walk.each = each;
    walk.data = data;

    return aml_registry_each(txn, (aml_str_t){prefix.p, prefix.n},
                             (aml_str_t){first.p, first.n}, job_each, &walk);
}


aml_registry_rc_t
amld_job_run_each(aml_registry_txn_t *txn, const amld_key_t *compute,
                  amld_job_each_pt each, void *data)
{
    amld_key_t prefix = {.n = 0};
    job_walk_t walk;

    if (job_prefix(&prefix, "jobrun/", compute) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    walk.prefix = &prefix;
    walk.workspace = NULL;
    walk.each = each;
    walk.data = data;

    return aml_registry_each(txn, (aml_str_t){prefix.p, prefix.n}, aml_str(""),
                             job_each, &walk);
}


aml_registry_rc_t
amld_job_queue_count(aml_registry_txn_t *txn, const amld_key_t *compute,
                     size_t most, size_t *count)
{
    job_count_t c;
    aml_registry_rc_t rc;

    c.n = 0;
    c.most = most;
    rc = most == 0 ? AML_REGISTRY_OK
                   : amld_job_queue_each(txn, compute, 0, job_count, &c);
    *count = c.n;

    return rc;
}


int
amld_job_any_runs(aml_registry_txn_t *txn, const amld_key_t *compute)
{
    job_count_t c = {.n = 0, .most = 1};

    return amld_job_run_each(txn, compute, job_count, &c) == AML_REGISTRY_OK &&
           c.n != 0;
}


aml_registry_rc_t
amld_job_list_each(aml_registry_txn_t *txn, const amld_workspace_t *workspace,
                   amld_job_view_t view, uint64_t from, amld_job_each_pt each,
                   void *data)
{
    amld_key_t ws = {.n = 0}, prefix = {.n = 0}, first = {.n = 0};
    job_walk_t walk;

    if (amld_compute_prefix(&ws, workspace) != 0 ||
        job_prefix(&prefix, job_views[view], &ws) != 0 ||
        amld_key_format(&first, "%s%016" PRIx64, prefix.p, ~from) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    walk.prefix = &prefix;
    walk.workspace = ws.p + JOB_COMPUTE_LEN;
    walk.each = each;
    walk.data = data;

    return aml_registry_each(txn, (aml_str_t){prefix.p, prefix.n},
                             (aml_str_t){first.p, first.n}, job_each, &walk);
}


/* A family and what is behind "compute/", which a workspace's prefix ends with
 * a slash. */
static int
job_prefix(amld_key_t *key, const char *family, const amld_key_t *compute)
{
    return amld_key_format(key, "%s%s%s", family, compute->p + JOB_COMPUTE_LEN,
                           compute->p[compute->n - 1] == '/' ? "" : "/");
}


static aml_registry_rc_t
job_index(aml_registry_txn_t *txn, const amld_key_t *key, const json_t *doc,
          int there)
{
    int archived, wanted[5], was[5];
    size_t i, ws;
    uint64_t seq;
    const char *id, *end;
    amld_key_t compute = {.n = 0}, entry[5];
    aml_registry_rc_t rc;

    seq = amld_job_seq(doc);
    archived = json_is_true(json_object_get(doc, "archived"));

    /* "job/<workspace>/<id>" */
    end = strrchr(key->p, '/');
    if (end == NULL || strncmp(key->p, JOB_FAMILY, JOB_FAMILY_LEN) != 0 ||
        amld_job_compute(&compute, doc) != 0 || seq == 0) {
        return AML_REGISTRY_CORRUPT;
    }
    id = end + 1;
    ws = (size_t) (id - key->p) - JOB_FAMILY_LEN;

    wanted[AMLD_JOBS_ALL] = there;
    wanted[AMLD_JOBS_ACTIVE] = there && !archived;
    wanted[AMLD_JOBS_ARCHIVED] = there && archived;
    wanted[3] = there && !amld_job_has_ended(doc);
    wanted[4] = there && amld_job_runs(doc);

    for (i = 0; i < 5; i++) {
        if (i < 3
                ? amld_key_format(&entry[i], "%s%.*s%016" PRIx64, job_views[i],
                                  (int) ws, key->p + JOB_FAMILY_LEN, ~seq) != 0
                : amld_key_format(&entry[i], "%s%s/%016" PRIx64,
                                  i == 3 ? "jobqueue/" : "jobrun/",
                                  compute.p + JOB_COMPUTE_LEN, seq) != 0) {
            return AML_REGISTRY_TOOLONG;
        }

        rc =
            i < 3
                ? job_entry(txn, &entry[i], id, strlen(id), wanted[i], &was[i])
                : job_entry(txn, &entry[i], key->p, key->n, wanted[i], &was[i]);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }
    }

    return amld_job_count(
        txn, doc, amld_job_stage(was[AMLD_JOBS_ALL], was[3], was[4]),
        amld_job_stage(wanted[AMLD_JOBS_ALL], wanted[3], wanted[4]));
}


/* Writes nothing where it is so already. */
static aml_registry_rc_t
job_entry(aml_registry_txn_t *txn, const amld_key_t *entry, const char *value,
          size_t n, int there, int *was)
{
    aml_str_t have;
    aml_registry_rc_t rc;

    rc = aml_registry_get(txn, entry->p, entry->n, &have);
    *was = rc == AML_REGISTRY_OK;

    if (rc == AML_REGISTRY_OK && !there) {
        return aml_registry_del(txn, entry->p, entry->n);
    }
    if (rc == AML_REGISTRY_NOTFOUND) {
        return there ? aml_registry_put(txn, entry->p, entry->n, value, n)
                     : AML_REGISTRY_OK;
    }

    return rc;
}


static int
job_each(void *data, aml_str_t key, aml_str_t value)
{
    char hex[JOB_SEQ + 1];
    uint64_t seq;
    amld_key_t job = {.n = 0};
    const job_walk_t *walk;

    walk = data;

    if (key.n != walk->prefix->n + JOB_SEQ) {
        return 0;
    }
    memcpy(hex, key.p + walk->prefix->n, JOB_SEQ);
    hex[JOB_SEQ] = '\0';
    seq = strtoull(hex, NULL, 16);

    if (walk->workspace != NULL) {
        seq = ~seq;
        if (amld_key_format(&job, JOB_FAMILY "%s%.*s", walk->workspace,
                            (int) value.n, value.p) != 0) {
            return 0;
        }
    } else if (amld_key_format(&job, "%.*s", (int) value.n, value.p) != 0) {
        return 0;
    }

    return walk->each(walk->data, seq, &job);
}


static int
job_count(void *data, uint64_t seq, const amld_key_t *job)
{
    job_count_t *c;

    (void) seq;
    (void) job;
    c = data;

    return ++c->n == c->most;
}
