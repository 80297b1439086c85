#include "computes/instances/operations.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "computes/amld.h"

#define OPERATION_FAMILY "operation/"
#define OPERATION_ENDED "operation-ended/"
#define OPERATION_OF "operation-of/"
#define OPERATION_TENDED "meta/operations-noted"
#define OPERATION_TIME 16 /* digits */
#define OPERATION_BATCH 512
#define OPERATION_OVER "00000000000000" /* ids without a record */

/* One that has ended, as its keys have it. */
typedef struct {
    char time[OPERATION_TIME + 1];
    char id[AMLD_OPERATION_ID + 1];
    char creator[64];
} operation_ended_t;

typedef struct {
    char before[OPERATION_TIME + 1];
    char from[64]; /* the key to go on from */
    size_t n;
    operation_ended_t ended[OPERATION_BATCH];
} operation_old_t;

/* One person's. */
typedef struct {
    size_t n;
    operation_ended_t first;
} operation_own_t;

static const char *const operation_names[] = {"Start", "Stop", "Restart",
                                              "Update"};

static size_t operation_key(char *key, const char *id);
static int operation_new_id(char *id);
static aml_registry_rc_t
operation_put(aml_registry_txn_t *txn, const char *id, const json_t *op);
static aml_registry_rc_t
operation_close(aml_registry_txn_t *txn, const char *id, const char *status,
                const char *code, const char *message);
static aml_registry_rc_t
operation_over(const char *id, int64_t now, json_t **op);
static aml_registry_rc_t
operation_note(aml_registry_txn_t *txn, const operation_ended_t *e);
static aml_registry_rc_t
operation_remove(aml_registry_txn_t *txn, const operation_ended_t *e);
static int
operation_keys(const operation_ended_t *e, amld_key_t *ended, amld_key_t *of);
static int operation_ended(aml_str_t key, operation_ended_t *e);
static int operation_own(void *data, aml_str_t key, aml_str_t value);
static int operation_old(void *data, aml_str_t key, aml_str_t value);
static int operation_unnoted(void *data, aml_str_t key, aml_str_t value);


aml_registry_rc_t
amld_operation_begin(aml_registry_txn_t *txn, const amld_key_t *compute,
                     json_t *doc, const char *name)
{
    char id[AMLD_OPERATION_ID + 1], now[AMLD_TIME_SIZE];
    json_t *op;
    const char *before;
    aml_registry_rc_t rc;

    before = amld_compute_str(doc, "operation");
    if (before[0] != '\0') {
        rc = operation_close(txn, before, "Canceled", "OperationPreempted",
                             "Another operation took its place.");
        if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_NOTFOUND) {
            return rc;
        }
    }

    amld_time_now(now);
    if (operation_new_id(id) != 0) {
        return AML_REGISTRY_FAILED;
    }

    op = json_pack("{s:s%,s:s,s:s,s:s,s:s}", "compute", compute->p, compute->n,
                   "creator", amld_compute_str(doc, "creator"), "name", name,
                   "status", "InProgress", "startTime", now);
    rc = operation_put(txn, id, op);
    json_decref(op);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    (void) json_object_del(doc, "progress");

    /* What is created anew runs its creation script again. */
    if (strcmp(name, "Create") == 0) {
        (void) json_object_del(doc, "created");
    }

    if (amld_compute_set_str(doc, "operation", id) != 0 ||
        json_object_set_new(doc, "begun", json_false()) != 0 ||
        json_object_set_new(doc, "lastOperation",
                            json_pack("{s:s,s:s,s:s,s:s}", "name", name, "time",
                                      now, "status", "InProgress", "trigger",
                                      "User")) != 0) {
        return AML_REGISTRY_FAILED;
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
amld_operation_end(aml_registry_txn_t *txn, json_t *doc, const char *code,
                   const char *message)
{
    char id[AMLD_OPERATION_ID + 1], status[64];
    json_t *last;
    aml_registry_rc_t rc;

    snprintf(id, sizeof(id), "%s", amld_compute_str(doc, "operation"));
    if (id[0] == '\0') {
        return AML_REGISTRY_OK;
    }

    last = json_object_get(doc, "lastOperation");
    if (json_is_object(last)) {
        if (code == NULL) {
            snprintf(status, sizeof(status), "Succeeded");
        } else {
            snprintf(status, sizeof(status), "%sFailed",
                     amld_compute_str(last, "name"));
        }
        if (amld_compute_set_str(last, "status", status) != 0) {
            return AML_REGISTRY_FAILED;
        }
    }

    (void) json_object_del(doc, "operation");

    rc = operation_close(txn, id, code == NULL ? "Succeeded" : "Failed", code,
                         message);

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


void
amld_operation_done(const char *name, char *id)
{
    size_t i, last;

    last = sizeof(operation_names) / sizeof(operation_names[0]) - 1;
    for (i = 0; i < last && strcmp(operation_names[i], name) != 0; i++) {
        /* void */
    }

    snprintf(id, AMLD_OPERATION_ID + 1, OPERATION_OVER "%02x%016llx",
             (unsigned) i & 0xff, (unsigned long long) time(NULL));
}


aml_registry_rc_t
amld_operation_load(aml_registry_txn_t *txn, const char *id, json_t **op)
{
    char key[64];
    size_t n;
    aml_str_t value;
    aml_registry_rc_t rc;

    *op = NULL;

    n = operation_key(key, id);
    if (n == 0) {
        return AML_REGISTRY_NOTFOUND;
    }

    if (strncmp(id, OPERATION_OVER, sizeof(OPERATION_OVER) - 1) == 0) {
        return operation_over(id, (int64_t) time(NULL), op);
    }

    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    *op = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    return json_is_object(*op) ? AML_REGISTRY_OK : AML_REGISTRY_CORRUPT;
}


size_t
amld_operations_sweep(aml_registry_t *registry, int64_t now)
{
    size_t i, total;
    operation_old_t *old;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    old = malloc(sizeof(*old));
    if (old == NULL || now < AMLD_OPERATION_KEPT) {
        free(old);
        return 0;
    }

    total = 0;
    snprintf(old->before, sizeof(old->before), "%016llx",
             (unsigned long long) (now - AMLD_OPERATION_KEPT) * 1000000);

    do {
        old->n = 0;

        rc = aml_registry_read(registry, &txn);
        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_each(txn, aml_str(OPERATION_ENDED), aml_str(""),
                                   operation_old, old);
            aml_registry_end(txn);
        }
        if (rc != AML_REGISTRY_OK || old->n == 0) {
            break;
        }

        rc = aml_registry_write(registry, &txn);
        if (rc != AML_REGISTRY_OK) {
            break;
        }
        for (i = 0; i < old->n && rc == AML_REGISTRY_OK; i++) {
            rc = operation_remove(txn, &old->ended[i]);
        }
        if (rc != AML_REGISTRY_OK) {
            aml_registry_end(txn);
            break;
        }

        rc = aml_registry_commit(txn);
        total += rc == AML_REGISTRY_OK ? old->n : 0;

    } while (rc == AML_REGISTRY_OK && old->n == OPERATION_BATCH);

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "operations: %s", aml_registry_strerror(rc));
    }

    free(old);

    return total;
}


void
amld_operations_tend(aml_registry_t *registry)
{
    size_t i;
    aml_str_t value;
    operation_old_t *old;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    old = calloc(1, sizeof(*old));
    if (old == NULL) {
        return;
    }

    do {
        old->n = 0;

        rc = aml_registry_write(registry, &txn);
        if (rc != AML_REGISTRY_OK) {
            break;
        }

        rc = aml_registry_get(txn, OPERATION_TENDED,
                              sizeof(OPERATION_TENDED) - 1, &value);
        if (rc == AML_REGISTRY_OK) {
            aml_registry_end(txn);
            break;
        }
        if (rc == AML_REGISTRY_NOTFOUND) {
            rc = aml_registry_each(txn, aml_str(OPERATION_FAMILY),
                                   aml_str_of(old->from), operation_unnoted,
                                   old);
        }
        for (i = 0; i < old->n && rc == AML_REGISTRY_OK; i++) {
            rc = operation_note(txn, &old->ended[i]);
        }
        if (rc == AML_REGISTRY_OK && old->n < OPERATION_BATCH) {
            rc = aml_registry_put(txn, OPERATION_TENDED,
                                  sizeof(OPERATION_TENDED) - 1, "1", 1);
        }

        if (rc == AML_REGISTRY_OK) {
            rc = aml_registry_commit(txn);
        } else {
            aml_registry_end(txn);
        }
    } while (rc == AML_REGISTRY_OK && old->n == OPERATION_BATCH);

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "operations: %s", aml_registry_strerror(rc));
    }

    free(old);
}


static size_t
operation_key(char *key, const char *id)
{
    if (strlen(id) != AMLD_OPERATION_ID ||
        strspn(id, "0123456789abcdef") != AMLD_OPERATION_ID) {
        return 0;
    }

    memcpy(key, OPERATION_FAMILY, sizeof(OPERATION_FAMILY));
    strcat(key, id);

    return strlen(key);
}


static int
operation_new_id(char *id)
{
    size_t i;
    unsigned char raw[AMLD_OPERATION_ID / 2];

    if (RAND_bytes(raw, sizeof(raw)) != 1) {
        return -1;
    }

    for (i = 0; i < sizeof(raw); i++) {
        snprintf(id + 2 * i, 3, "%02x", raw[i]);
    }

    return 0;
}


static aml_registry_rc_t
operation_put(aml_registry_txn_t *txn, const char *id, const json_t *op)
{
    char key[64], *text;
    size_t n;
    aml_registry_rc_t rc;

    text = op != NULL ? json_dumps(op, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (text == NULL) {
        return AML_REGISTRY_FAILED;
    }

    n = operation_key(key, id);
    rc = aml_registry_put(txn, key, n, text, strlen(text));
    free(text);

    return rc;
}


static aml_registry_rc_t
operation_close(aml_registry_txn_t *txn, const char *id, const char *status,
                const char *code, const char *message)
{
    int failed;
    char now[AMLD_TIME_SIZE];
    json_t *op;
    struct timespec clock;
    aml_registry_rc_t rc;
    operation_ended_t e;

    rc = amld_operation_load(txn, id, &op);
    if (rc != AML_REGISTRY_OK) {
        json_decref(op);
        return rc == AML_REGISTRY_CORRUPT ? AML_REGISTRY_NOTFOUND : rc;
    }

    amld_time_now(now);
    failed = json_object_set_new(op, "status", json_string(status)) ||
             json_object_set_new(op, "endTime", json_string(now));
    if (code != NULL) {
        failed |= json_object_set_new(
            op, "error",
            json_pack("{s:s,s:s}", "code", code, "message", message));
    }

    clock_gettime(CLOCK_REALTIME, &clock);
    snprintf(e.time, sizeof(e.time), "%016llx",
             (unsigned long long) clock.tv_sec * 1000000 +
                 (unsigned long long) clock.tv_nsec / 1000);
    snprintf(e.id, sizeof(e.id), "%s", id);
    snprintf(e.creator, sizeof(e.creator), "%s",
             amld_compute_str(op, "creator"));

    rc = failed ? AML_REGISTRY_FAILED : operation_put(txn, id, op);
    if (rc == AML_REGISTRY_OK) {
        rc = operation_note(txn, &e);
    }
    json_decref(op);

    return rc;
}


/* What the id of one without a record says. */
static aml_registry_rc_t
operation_over(const char *id, int64_t now, json_t **op)
{
    char text[AMLD_TIME_SIZE];
    int64_t at;
    unsigned name;
    unsigned long long second;

    if (sscanf(id + sizeof(OPERATION_OVER) - 1, "%2x%16llx", &name, &second) !=
            2 ||
        name >= sizeof(operation_names) / sizeof(operation_names[0]) ||
        second > (unsigned long long) now + 60) {
        return AML_REGISTRY_NOTFOUND;
    }

    at = (int64_t) second;
    if (at < now - AMLD_OPERATION_KEPT) {
        return AML_REGISTRY_NOTFOUND;
    }

    amld_time_text(text, at * 1000);
    *op = json_pack("{s:s,s:s,s:s,s:s}", "name", operation_names[name],
                    "status", "Succeeded", "startTime", text, "endTime", text);

    return *op != NULL ? AML_REGISTRY_OK : AML_REGISTRY_FAILED;
}


/* Notes an end, and removes the creator's first where they have too many. */
static aml_registry_rc_t
operation_note(aml_registry_txn_t *txn, const operation_ended_t *e)
{
    size_t n;
    amld_key_t ended, of;
    aml_registry_rc_t rc;
    operation_own_t own;

    if (operation_keys(e, &ended, &of) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc =
        aml_registry_put(txn, ended.p, ended.n, e->creator, strlen(e->creator));
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_put(txn, of.p, of.n, "1", 1);
    }
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    own.n = 0;
    n = of.n - OPERATION_TIME - 1 - AMLD_OPERATION_ID;
    rc = aml_registry_each(txn, (aml_str_t){of.p, n}, aml_str(""),
                           operation_own, &own);
    if (rc == AML_REGISTRY_OK && own.n > AMLD_OPERATIONS_OF) {
        snprintf(own.first.creator, sizeof(own.first.creator), "%s",
                 e->creator);
        rc = operation_remove(txn, &own.first);
    }

    return rc;
}


static aml_registry_rc_t
operation_remove(aml_registry_txn_t *txn, const operation_ended_t *e)
{
    char key[64];
    amld_key_t ended, of;
    aml_registry_rc_t rc;

    if (operation_keys(e, &ended, &of) != 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = aml_registry_del(txn, key, operation_key(key, e->id));
    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        rc = aml_registry_del(txn, ended.p, ended.n);
    }
    if (rc == AML_REGISTRY_OK || rc == AML_REGISTRY_NOTFOUND) {
        rc = aml_registry_del(txn, of.p, of.n);
    }

    return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
}


static int
operation_keys(const operation_ended_t *e, amld_key_t *ended, amld_key_t *of)
{
    int n;

    n = snprintf(ended->p, sizeof(ended->p), OPERATION_ENDED "%s/%s", e->time,
                 e->id);
    if (n <= 0 || (size_t) n >= sizeof(ended->p)) {
        return -1;
    }
    ended->n = (size_t) n;

    n = snprintf(of->p, sizeof(of->p), OPERATION_OF "%s/%s/%s", e->creator,
                 e->time, e->id);
    if (n <= 0 || (size_t) n >= sizeof(of->p)) {
        return -1;
    }
    of->n = (size_t) n;

    return 0;
}


/* "…/<time>/<id>"; 0, or -1 when it is no such key. */
static int
operation_ended(aml_str_t key, operation_ended_t *e)
{
    const char *p;

    if (key.n < OPERATION_TIME + 1 + AMLD_OPERATION_ID) {
        return -1;
    }
    p = key.p + key.n - OPERATION_TIME - 1 - AMLD_OPERATION_ID;
    if (p[OPERATION_TIME] != '/') {
        return -1;
    }

    memcpy(e->time, p, OPERATION_TIME);
    e->time[OPERATION_TIME] = '\0';
    memcpy(e->id, p + OPERATION_TIME + 1, AMLD_OPERATION_ID);
    e->id[AMLD_OPERATION_ID] = '\0';

    return 0;
}


static int
operation_own(void *data, aml_str_t key, aml_str_t value)
{
    operation_own_t *own;

    (void) value;
    own = data;

    if (own->n == 0 && operation_ended(key, &own->first) != 0) {
        return 0;
    }
    own->n++;

    return 0;
}


static int
operation_old(void *data, aml_str_t key, aml_str_t value)
{
    operation_old_t *old;
    operation_ended_t *e;

    old = data;
    e = &old->ended[old->n];

    if (operation_ended(key, e) != 0 || value.n >= sizeof(e->creator)) {
        return 0;
    }
    if (strcmp(e->time, old->before) >= 0) {
        return 1;
    }

    memcpy(e->creator, value.p, value.n);
    e->creator[value.n] = '\0';
    old->n++;

    return old->n == OPERATION_BATCH;
}


/* One that has ended and says so, in seconds, as earlier releases wrote it. */
static int
operation_unnoted(void *data, aml_str_t key, aml_str_t value)
{
    json_t *op;
    json_int_t ended;
    operation_old_t *old;
    operation_ended_t *e;

    old = data;

    if (key.n != sizeof(OPERATION_FAMILY) - 1 + AMLD_OPERATION_ID) {
        return 0;
    }

    /* behind this one */
    memcpy(old->from, key.p, key.n);
    old->from[key.n] = '/';
    old->from[key.n + 1] = '\0';

    op = json_loadb(value.p, value.n, 0, NULL);
    ended = json_integer_value(json_object_get(op, "ended"));

    if (ended > 0) {
        e = &old->ended[old->n++];
        snprintf(e->time, sizeof(e->time), "%016llx",
                 (unsigned long long) ended * 1000000);
        snprintf(e->id, sizeof(e->id), "%.*s", AMLD_OPERATION_ID,
                 key.p + sizeof(OPERATION_FAMILY) - 1);
        snprintf(e->creator, sizeof(e->creator), "%s",
                 amld_compute_str(op, "creator"));
    }
    json_decref(op);

    return old->n == OPERATION_BATCH;
}
