/*
 * Assignments and the lists that decide, brought together at start.
 */

#include "auth/assignments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/principals.h"
#include "computes/amld.h"
#include "computes/instances/computes.h"

#define PRINCIPAL_FAMILY "principal/"
#define PRINCIPAL_KEY (sizeof(PRINCIPAL_FAMILY) - 1 + AML_UUID_TEXT)
#define TEND_BATCH 2048 /* principals that one transaction sets right */

typedef struct {
    aml_registry_txn_t *txn;
    aml_principal_id_t id[TEND_BATCH]; /* of those to be set right */
    size_t n;
    char last[AML_REGISTRY_KEY_MAX + 1];
    size_t last_len;
    int ends;
    aml_registry_rc_t rc;
} tend_t;

/* The entries of a principal's list, and which have their assignment. */
typedef struct {
    const amld_principal_t *p;
    unsigned char *has;
    amld_assignment_t *stray; /* assignments that no entry stands behind */
    size_t strays;
    int failed;
} compare_t;


static int
compare_each(void *data, const amld_assignment_entry_t *entry)
{
    compare_t *compare = data;
    amld_assignment_t *a;
    size_t i;

    i = amld_principal_entry(compare->p, &entry->role, entry->scope);
    if (i < compare->p->count && !compare->has[i]) {
        compare->has[i] = 1;
        return 0;
    }

    a = realloc(compare->stray, (compare->strays + 1) * sizeof(*a));
    if (a == NULL) {
        compare->failed = 1;
        return 1;
    }
    compare->stray = a;
    a += compare->strays++;
    a->id = entry->id;
    a->principal = entry->principal;
    (void) snprintf(a->scope, sizeof(a->scope), "%.*s", (int) entry->scope.n,
                    entry->scope.p);

    return 0;
}


/* Is the entry one that an assignment can be of?  One that is there twice
 * needs no second. */
static int
compare_wants(const compare_t *compare, size_t i)
{
    char scope[AMLD_SCOPE_MAX + 1];
    const aml_assignment_t *entry = &compare->p->list[i];

    if (compare->has[i] || entry->scope.n > AMLD_SCOPE_MAX) {
        return 0;
    }

    memcpy(scope, entry->scope.p, entry->scope.n);
    scope[entry->scope.n] = '\0';

    return amld_scope_valid(scope) &&
           amld_principal_entry(compare->p, &entry->role, entry->scope) == i;
}


static aml_registry_rc_t
compare_begin(aml_registry_txn_t *txn, const aml_principal_id_t *id,
              amld_principal_t *p, compare_t *compare)
{
    aml_registry_rc_t rc;

    memset(compare, 0, sizeof(*compare));
    compare->p = p;

    rc = amld_principal_load(txn, id, p);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    compare->has = calloc(p->count + 1, 1);
    if (compare->has == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    rc = amld_assignments_of(txn, id, (aml_str_t){NULL, 0}, compare_each,
                             compare);
    if (rc == AML_REGISTRY_OK && compare->failed) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    return rc;
}


static void
compare_end(compare_t *compare, amld_principal_t *p)
{
    free(compare->has);
    free(compare->stray);
    amld_principal_clear(p);
}


static int
tend_each(void *data, aml_str_t key, aml_str_t value)
{
    tend_t *tend = data;
    aml_principal_id_t id;
    amld_principal_t p;
    compare_t compare;
    int wrong;
    size_t i;

    (void) value;

    /* where the batch before ended */
    if (aml_str_eq(key, (aml_str_t){tend->last, tend->last_len})) {
        return 0;
    }
    if (tend->n == TEND_BATCH) {
        tend->ends = 0;
        return 1;
    }
    memcpy(tend->last, key.p, key.n);
    tend->last_len = key.n;

    if (key.n != PRINCIPAL_KEY ||
        aml_uuid_parse(
            (aml_str_t){key.p + key.n - AML_UUID_TEXT, AML_UUID_TEXT}, &id) !=
            0) {
        return 0;
    }

    /* A record that can't be read is found by who asks for it. */
    tend->rc = compare_begin(tend->txn, &id, &p, &compare);
    if (tend->rc == AML_REGISTRY_OK) {
        wrong = compare.strays != 0;
        for (i = 0; i < p.count && !wrong; i++) {
            wrong = compare_wants(&compare, i);
        }
        if (wrong) {
            tend->id[tend->n++] = id;
        }

    } else if (tend->rc == AML_REGISTRY_CORRUPT) {
        amld_log(AMLD_LOG_ERROR, "%.*s: %s", (int) key.n, key.p,
                 aml_registry_strerror(tend->rc));
        tend->rc = AML_REGISTRY_OK;
    }
    compare_end(&compare, &p);

    return tend->rc != AML_REGISTRY_OK;
}


static aml_registry_rc_t
tend_principal(aml_registry_txn_t *txn, const aml_principal_id_t *id)
{
    amld_assignment_t a;
    amld_principal_t p;
    compare_t compare;
    aml_registry_rc_t rc;
    size_t i;

    rc = compare_begin(txn, id, &p, &compare);

    for (i = 0; i < compare.strays && rc == AML_REGISTRY_OK; i++) {
        rc = amld_assignment_forget(txn, &compare.stray[i]);
    }

    for (i = 0; i < p.count && rc == AML_REGISTRY_OK; i++) {
        if (!compare_wants(&compare, i)) {
            continue;
        }

        memset(&a, 0, sizeof(a));
        a.principal = *id;
        a.role = p.list[i].role;
        a.type =
            p.flags & AML_PRINCIPAL_GROUP ? AMLD_TYPE_GROUP : AMLD_TYPE_USER;
        memcpy(a.scope, p.list[i].scope.p, p.list[i].scope.n);
        amld_time_now(a.created_on);
        amld_time_now(a.updated_on);

        rc = amld_assignment_id(txn, id, &a.role, a.scope, &a.id);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_assignment_add(txn, &a);
        }
    }

    compare_end(&compare, &p);

    return rc;
}


static aml_registry_rc_t
tend_batch(aml_registry_t *registry, tend_t *tend)
{
    aml_registry_rc_t rc;
    size_t i;

    tend->n = 0;
    tend->ends = 1;
    tend->rc = AML_REGISTRY_OK;

    rc = aml_registry_read(registry, &tend->txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    rc = aml_registry_each(tend->txn, aml_str(PRINCIPAL_FAMILY),
                           (aml_str_t){tend->last, tend->last_len}, tend_each,
                           tend);
    aml_registry_end(tend->txn);

    if (rc == AML_REGISTRY_OK) {
        rc = tend->rc;
    }
    if (rc != AML_REGISTRY_OK || tend->n == 0) {
        return rc;
    }

    rc = aml_registry_write(registry, &tend->txn);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }
    for (i = 0; i < tend->n && rc == AML_REGISTRY_OK; i++) {
        rc = tend_principal(tend->txn, &tend->id[i]);
    }
    if (rc == AML_REGISTRY_OK) {
        return aml_registry_commit(tend->txn);
    }
    aml_registry_end(tend->txn);

    return rc;
}


int
amld_assignments_tend(aml_registry_t *registry)
{
    aml_registry_rc_t rc;
    size_t changed = 0;
    tend_t *tend;

    tend = calloc(1, sizeof(*tend));
    if (tend == NULL) {
        amld_log(AMLD_LOG_ERROR, "assignments: no memory");
        return -1;
    }

    do {
        rc = tend_batch(registry, tend);
        changed += tend->n;
    } while (rc == AML_REGISTRY_OK && !tend->ends);

    free(tend);

    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "assignments: %s", aml_registry_strerror(rc));
        return -1;
    }
    if (changed > 0) {
        amld_log(AMLD_LOG_INFO,
                 "assignments: those of %zu principals were "
                 "set right",
                 changed);
    }

    return 0;
}
