/*
 * Principal records, changed as a whole.
 */

#include "auth/principals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>


static aml_registry_rc_t
principal_get(aml_registry_txn_t *txn, const aml_principal_id_t *id,
              aml_principal_t *record)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    aml_registry_rc_t rc;
    aml_str_t value;
    size_t n;

    n = aml_key_principal(key, id);
    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    return aml_principal_decode(value, record) == AML_RECORD_OK
               ? AML_REGISTRY_OK
               : AML_REGISTRY_CORRUPT;
}


aml_registry_rc_t
amld_principal_load(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                    amld_principal_t *p)
{
    aml_principal_t record;
    aml_registry_rc_t rc;
    aml_str_t rest;

    memset(p, 0, sizeof(*p));

    rc = principal_get(txn, id, &record);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    p->not_before = record.not_before;
    p->flags = record.flags;
    p->name = strndup(record.name.p, record.name.n);
    p->issuer = strndup(record.issuer.p, record.issuer.n);
    p->room = malloc(record.assignments.n + 1);
    p->list = calloc((size_t) record.assignment_count + 1, sizeof(*p->list));

    if (p->name == NULL || p->issuer == NULL || p->room == NULL ||
        p->list == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    memcpy(p->room, record.assignments.p, record.assignments.n);
    rest = (aml_str_t){p->room, record.assignments.n};

    while (p->count < record.assignment_count &&
           aml_assignment_next(&rest, &p->list[p->count])) {
        p->count++;
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
amld_principal_store(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                     const amld_principal_t *p)
{
    char key[AML_REGISTRY_KEY_MAX + 1], *buf;
    aml_principal_t record;
    aml_registry_rc_t rc;
    size_t n;

    memset(&record, 0, sizeof(record));
    record.not_before = p->not_before;
    record.flags = p->flags;
    record.name = aml_str_of(p->name);
    record.issuer = aml_str_of(p->issuer);
    record.assignment_count = (uint16_t) p->count;

    buf = malloc(AML_RECORD_MAX);
    if (buf == NULL) {
        errno = ENOMEM;
        return AML_REGISTRY_FAILED;
    }

    n = p->count <= UINT16_MAX
            ? aml_principal_encode(&record, p->list, buf, AML_RECORD_MAX)
            : 0;

    rc = n == 0
             ? AML_REGISTRY_TOOLONG
             : aml_registry_put(txn, key, aml_key_principal(key, id), buf, n);
    free(buf);

    return rc;
}


void
amld_principal_clear(amld_principal_t *p)
{
    free(p->name);
    free(p->issuer);
    free(p->list);
    free(p->room);
    memset(p, 0, sizeof(*p));
}


size_t
amld_principal_entry(const amld_principal_t *p, const aml_principal_id_t *role,
                     aml_str_t scope)
{
    size_t i;

    for (i = 0; i < p->count; i++) {
        if (aml_principal_eq(&p->list[i].role, role) &&
            aml_str_caseeq(p->list[i].scope, scope)) {
            break;
        }
    }

    return i;
}


void
amld_principal_void(amld_principal_t *p, int64_t now)
{
    p->not_before = (p->not_before > now ? p->not_before : now) + 1;
}


aml_registry_rc_t
amld_principal_issued(aml_registry_txn_t *txn, const aml_principal_id_t *id,
                      int64_t now, int64_t *issued)
{
    aml_principal_t record;
    aml_registry_rc_t rc;

    rc = principal_get(txn, id, &record);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    if (record.flags & AML_PRINCIPAL_DISABLED) {
        return AML_REGISTRY_DENIED;
    }

    *issued = record.not_before > now ? record.not_before : now;

    return AML_REGISTRY_OK;
}
