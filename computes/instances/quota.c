#include "computes/instances/quota.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/amld.h"
#include "computes/instances/computes.h"

typedef struct {
    int64_t used;
    int64_t limit;
} quota_record_t;


static size_t
quota_key(char key[AML_REGISTRY_KEY_MAX + 1], const char *region,
          const char *name)
{
    int n;
    char *p;

    n = snprintf(key, AML_REGISTRY_KEY_MAX + 1, "quota/%s/%s", region, name);
    if (n <= 0 || n > AML_REGISTRY_KEY_MAX) {
        return 0;
    }

    for (p = key; *p != '\0'; p++) {
        *p = (char) tolower((unsigned char) *p);
    }

    return (size_t) n;
}


static aml_registry_rc_t
quota_load(aml_registry_txn_t *txn, const char *region, const char *name,
           quota_record_t *record)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    size_t n;
    json_t *json, *limit;
    aml_str_t value;
    aml_registry_rc_t rc;

    record->used = 0;
    record->limit = AMLD_QUOTA_DEFAULT;

    n = quota_key(key, region, name);
    if (n == 0) {
        return AML_REGISTRY_TOOLONG;
    }

    rc = aml_registry_get(txn, key, n, &value);
    if (rc != AML_REGISTRY_OK) {
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    json = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return AML_REGISTRY_CORRUPT;
    }

    record->used = json_integer_value(json_object_get(json, "used"));
    limit = json_object_get(json, "limit");
    if (json_is_integer(limit)) {
        record->limit = json_integer_value(limit);
    }
    json_decref(json);

    return AML_REGISTRY_OK;
}


static aml_registry_rc_t
quota_store(aml_registry_txn_t *txn, const char *region, const char *name,
            const quota_record_t *record)
{
    int len;
    char key[AML_REGISTRY_KEY_MAX + 1], text[96];
    size_t n;
    aml_registry_rc_t rc;

    n = quota_key(key, region, name);
    if (n == 0) {
        return AML_REGISTRY_TOOLONG;
    }

    if (record->limit == AMLD_QUOTA_DEFAULT && record->used == 0) {
        rc = aml_registry_del(txn, key, n);
        return rc == AML_REGISTRY_NOTFOUND ? AML_REGISTRY_OK : rc;
    }

    if (record->limit == AMLD_QUOTA_DEFAULT) {
        len = snprintf(text, sizeof(text), "{\"used\":%lld}",
                       (long long) record->used);
    } else {
        len = snprintf(text, sizeof(text), "{\"limit\":%lld,\"used\":%lld}",
                       (long long) record->limit, (long long) record->used);
    }

    return aml_registry_put(txn, key, n, text, (size_t) len);
}


static int64_t
quota_configured(const amld_config_t *config, const char *name)
{
    size_t i;

    for (i = 0; i < config->quota_count; i++) {
        if (strcasecmp(config->quotas[i].name, name) == 0) {
            return config->quotas[i].limit;
        }
    }

    return AMLD_QUOTA_NONE;
}


int64_t
amld_quota_over(const amld_quota_t *q, int64_t asked)
{
    if (q->limit == AMLD_QUOTA_NONE || q->used + asked <= q->limit) {
        return 0;
    }

    return q->used + asked - q->limit;
}


aml_registry_rc_t
amld_quota_get(aml_registry_txn_t *txn, const amld_config_t *config,
               const char *region, const char *name, amld_quota_t *q)
{
    quota_record_t record;
    aml_registry_rc_t rc;

    rc = quota_load(txn, region, name, &record);

    q->used = record.used;
    q->limit = record.limit == AMLD_QUOTA_DEFAULT
                   ? quota_configured(config, name)
                   : record.limit;

    return rc;
}


aml_registry_rc_t
amld_quota_check(aml_registry_txn_t *txn, const amld_config_t *config,
                 const char *region, const char *family, int64_t cores,
                 amld_quota_refusal_t *refusal)
{
    size_t i;
    const char *names[2];
    aml_registry_rc_t rc;

    refusal->name = NULL;
    names[0] = family;
    names[1] = AMLD_QUOTA_TOTAL;

    for (i = 0; i < 2; i++) {
        rc = amld_quota_get(txn, config, region, names[i], &refusal->quota);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }

        refusal->over = amld_quota_over(&refusal->quota, cores);
        if (refusal->over != 0) {
            refusal->name = names[i];
            return AML_REGISTRY_OK;
        }
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
amld_quota_set_limit(aml_registry_txn_t *txn, const char *region,
                     const char *name, int64_t limit)
{
    quota_record_t record;
    aml_registry_rc_t rc;

    rc = quota_load(txn, region, name, &record);
    if (rc != AML_REGISTRY_OK) {
        return rc;
    }

    record.limit = limit;

    return quota_store(txn, region, name, &record);
}


aml_registry_rc_t
amld_quota_use(aml_registry_txn_t *txn, const char *region, const char *family,
               int64_t cores)
{
    size_t i;
    const char *names[2];
    quota_record_t record;
    aml_registry_rc_t rc;

    names[0] = family;
    names[1] = AMLD_QUOTA_TOTAL;

    for (i = 0; i < 2; i++) {
        rc = quota_load(txn, region, names[i], &record);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }

        record.used += cores;
        if (record.used < 0) {
            amld_log(AMLD_LOG_ERROR,
                     "quota %s in %s: more cores were given back than used",
                     names[i], region);
            record.used = 0;
        }

        rc = quota_store(txn, region, names[i], &record);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }
    }

    return AML_REGISTRY_OK;
}


aml_registry_rc_t
amld_quota_use_by(aml_registry_txn_t *txn, const json_t *doc, int sign)
{
    json_int_t cores;
    const json_t *size;

    size = json_object_get(doc, "size");
    cores = json_integer_value(json_object_get(size, "cores"));
    if (cores <= 0) {
        return AML_REGISTRY_OK;
    }

    return amld_quota_use(txn, amld_compute_str(doc, "location"),
                          amld_compute_str(size, "family"), sign * cores);
}


aml_registry_rc_t
amld_quota_set_used(aml_registry_txn_t *txn, const char *region,
                    const char *name, int64_t used)
{
    quota_record_t record;
    aml_registry_rc_t rc;

    /* also where it was not readable */
    rc = quota_load(txn, region, name, &record);
    if (rc != AML_REGISTRY_OK && rc != AML_REGISTRY_CORRUPT) {
        return rc;
    }

    record.used = used;

    return quota_store(txn, region, name, &record);
}
