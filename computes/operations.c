#include "computes/operations.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPERATION_FAMILY "operation/"
#define OPERATION_BATCH 256

typedef struct {
    int64_t before;
    size_t n;
    char ids[OPERATION_BATCH][AMLD_OPERATION_ID + 1];
} operation_old_t;

static size_t operation_key(char *key, const char *id);
static int operation_new_id(char *id);
static aml_registry_rc_t
operation_put(aml_registry_txn_t *txn, const char *id, const json_t *op);
static aml_registry_rc_t
operation_close(aml_registry_txn_t *txn, const char *id, const char *status,
                const char *code, const char *message);
static int operation_old(void *data, aml_str_t key, aml_str_t value);


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


aml_registry_rc_t
amld_operation_done(aml_registry_txn_t *txn, const amld_key_t *compute,
                    const char *name, char *id)
{
    char now[AMLD_TIME_SIZE];
    json_t *op;
    aml_registry_rc_t rc;

    amld_time_now(now);
    if (operation_new_id(id) != 0) {
        return AML_REGISTRY_FAILED;
    }

    op = json_pack("{s:s%,s:s,s:s,s:s,s:s,s:I}", "compute", compute->p,
                   compute->n, "name", name, "status", "Succeeded", "startTime",
                   now, "endTime", now, "ended", (json_int_t) time(NULL));
    rc = operation_put(txn, id, op);
    json_decref(op);

    return rc;
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

    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    *op = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);

    return json_is_object(*op) ? AML_REGISTRY_OK : AML_REGISTRY_CORRUPT;
}


int
amld_operations_sweep(aml_registry_t *registry, int64_t now)
{
    char key[64];
    size_t i;
    operation_old_t *old;
    aml_registry_txn_t *txn;

    old = malloc(sizeof(*old));
    if (old == NULL) {
        return 0;
    }

    old->n = 0;
    old->before = now - AMLD_OPERATION_KEPT;

    if (aml_registry_read(registry, &txn) == AML_REGISTRY_OK) {
        (void) aml_registry_each(txn, aml_str(OPERATION_FAMILY), aml_str(""),
                                 operation_old, old);
        aml_registry_end(txn);
    }

    i = 0;
    if (old->n != 0 && aml_registry_write(registry, &txn) == AML_REGISTRY_OK) {
        for (i = 0; i < old->n; i++) {
            (void) aml_registry_del(txn, key, operation_key(key, old->ids[i]));
        }
        if (aml_registry_commit(txn) != AML_REGISTRY_OK) {
            i = 0;
        }
    }

    free(old);

    return (int) i;
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
    aml_registry_rc_t rc;

    rc = amld_operation_load(txn, id, &op);
    if (rc != AML_REGISTRY_OK) {
        json_decref(op);
        return rc == AML_REGISTRY_CORRUPT ? AML_REGISTRY_NOTFOUND : rc;
    }

    amld_time_now(now);
    failed =
        json_object_set_new(op, "status", json_string(status)) ||
        json_object_set_new(op, "endTime", json_string(now)) ||
        json_object_set_new(op, "ended", json_integer((json_int_t) time(NULL)));
    if (code != NULL) {
        failed |= json_object_set_new(
            op, "error",
            json_pack("{s:s,s:s}", "code", code, "message", message));
    }

    rc = failed ? AML_REGISTRY_FAILED : operation_put(txn, id, op);
    json_decref(op);

    return rc;
}


static int
operation_old(void *data, aml_str_t key, aml_str_t value)
{
    json_t *op;
    json_int_t ended;
    operation_old_t *old;

    old = data;

    if (key.n != sizeof(OPERATION_FAMILY) - 1 + AMLD_OPERATION_ID) {
        return 0;
    }

    op = json_loadb(value.p, value.n, 0, NULL);
    ended = json_integer_value(json_object_get(op, "ended"));
    json_decref(op);

    if (ended != 0 && ended < old->before) {
        memcpy(old->ids[old->n], key.p + sizeof(OPERATION_FAMILY) - 1,
               AMLD_OPERATION_ID);
        old->ids[old->n][AMLD_OPERATION_ID] = '\0';
        old->n++;
    }

    return old->n == OPERATION_BATCH;
}
