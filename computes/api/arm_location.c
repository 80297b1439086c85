/*
 * What a region has: sizes, quotas, what of them is in use.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/audit.h"
#include "computes/api/arm.h"
#include "computes/instances/quota.h"
#include "computes/instances/sizes.h"

#define LOCATION_QUOTAS 200 /* of one updateQuotas */
#define LOCATION_NAME 128   /* "quota/<region>/<name>" has more room */

/* Of a body that changes quotas. */
typedef struct {
    const char *name; /* as the catalogue spells it, or as it was sent */
    int known;        /* there is such a quota */
    const char *id;   /* as it was sent */
    int64_t limit;
    amld_quota_t now; /* what has come of it */
} location_change_t;

/* Every quota of a region, "total" first. */
typedef struct {
    size_t count;
    size_t room;
    char (*names)[LOCATION_NAME];
    size_t prefix; /* of a key that is walked */
    int failed;
} location_names_t;

static int
location_begin(amld_arm_t *arm, amld_t *d, const amld_request_t *request,
               amld_response_t *response, const char **region);
static void location_list(amld_t *d, const amld_request_t *request,
                          amld_response_t *response, int usages);
static int
location_names(amld_arm_t *arm, const char *region, location_names_t *names);
static int location_add(location_names_t *names, const char *name, size_t n);
static int location_each(void *data, aml_str_t key, aml_str_t value);
static json_t *
location_quota(const amld_arm_t *arm, const char *region, const char *name,
               const amld_quota_t *q, int usages);
static int location_changes(amld_arm_t *arm, const char *region,
                            const json_t *body, location_change_t *changes,
                            size_t *count, amld_arm_fault_t *fault);
static int
location_change(amld_arm_t *arm, const char *region, const json_t *sent,
                location_change_t *change, amld_arm_fault_t *fault);
static aml_registry_rc_t
location_write(amld_arm_t *arm, const char *region, location_change_t *changes,
               size_t count);
static void location_audit(const amld_arm_t *arm, const char *region,
                           const location_change_t *change);


void
amld_arm_sizes(amld_t *d, const amld_request_t *request,
               amld_response_t *response)
{
    size_t i, n;
    json_t *list;
    amld_arm_t arm;
    const char *region;
    const amld_size_t *sizes;

    if (location_begin(&arm, d, request, response, &region) == 0) {
        sizes = amld_sizes(d->config, &n);
        list = json_array();

        for (i = 0; i < n; i++) {
            json_array_append_new(
                list,
                json_pack("{s:s,s:s,s:i,s:i,s:f,s:i,s:i,s:b,s:b,s:[s]}", "name",
                          sizes[i].name, "family", sizes[i].family, "vCPUs",
                          (int) sizes[i].cores, "gpus", (int) sizes[i].gpus,
                          "memoryGB", sizes[i].memory / 1024.0, "osVhdSizeMB",
                          0, "maxResourceVolumeMB", 0, "lowPriorityCapable", 0,
                          "premiumIO", 0, "supportedComputeTypes",
                          "ComputeInstance"));
        }

        amld_response_json(response, 200, json_pack("{s:o}", "value", list));
    }

    amld_arm_end(&arm);
}


void
amld_arm_usages(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    location_list(d, request, response, 1);
}


void
amld_arm_quotas(amld_t *d, const amld_request_t *request,
                amld_response_t *response)
{
    location_list(d, request, response, 0);
}


void
amld_arm_update_quotas(amld_t *d, const amld_request_t *request,
                       amld_response_t *response)
{
    size_t i, n;
    json_t *body, *list, *one;
    amld_arm_t arm;
    const char *region;
    amld_arm_fault_t fault;
    aml_registry_rc_t rc;
    location_change_t *changes;

    if (location_begin(&arm, d, request, response, &region) != 0) {
        amld_arm_end(&arm);
        return;
    }

    n = 0;
    changes = calloc(LOCATION_QUOTAS, sizeof(*changes));
    body = amld_arm_body(request->body, request->body_len, &fault);

    if (changes == NULL) {
        amld_arm_registry_error(&arm, AML_REGISTRY_FAILED);

    } else if (body == NULL ||
               location_changes(&arm, region, body, changes, &n, &fault) != 0) {
        amld_arm_faulty(&arm, &fault);

    } else if ((rc = location_write(&arm, region, changes, n)) !=
               AML_REGISTRY_OK) {
        amld_arm_registry_error(&arm, rc);

    } else {
        list = json_array();
        for (i = 0; i < n; i++) {
            one = location_quota(&arm, region, changes[i].name, &changes[i].now,
                                 0);
            json_object_set_new(one, "id", json_string(changes[i].id));
            json_object_set_new(one, "status",
                                json_string(changes[i].known
                                                ? "Success"
                                                : "InvalidVMFamilyName"));
            json_array_append_new(list, one);
            location_audit(&arm, region, &changes[i]);
        }
        amld_response_json(response, 200, json_pack("{s:o}", "value", list));
    }

    free(changes);
    json_decref(body);
    amld_arm_end(&arm);
}


/* The region as the configuration spells it; 0, or -1 when the response was
 * filled. */
static int
location_begin(amld_arm_t *arm, amld_t *d, const amld_request_t *request,
               amld_response_t *response, const char **region)
{
    size_t i;
    const char *subscription, *location;
    const amld_workspace_t *w;

    if (amld_arm_enter(arm, d, request, response) != 0) {
        return -1;
    }

    subscription = amld_request_param(request, "subscription");
    location = amld_request_param(request, "location");

    for (i = 0; i < d->config->workspace_count; i++) {
        w = &d->config->workspaces[i];
        if (strcasecmp(w->subscription, subscription) == 0 &&
            strcasecmp(w->location, location) == 0) {
            *region = w->location;
            return 0;
        }
    }

    amld_response_error(response, 404, "ResourceNotFound", "location",
                        "The subscription '%.100s' has no workspace in the "
                        "location '%.100s'.",
                        subscription, location);

    return -1;
}


static void
location_list(amld_t *d, const amld_request_t *request,
              amld_response_t *response, int usages)
{
    size_t i;
    json_t *list;
    amld_arm_t arm;
    const char *region;
    amld_quota_t q;
    location_names_t names;
    aml_registry_rc_t rc;

    if (location_begin(&arm, d, request, response, &region) != 0) {
        amld_arm_end(&arm);
        return;
    }

    memset(&names, 0, sizeof(names));
    list = json_array();

    rc = aml_registry_read(d->registry, &arm.txn);
    if (rc != AML_REGISTRY_OK) {
        arm.txn = NULL;
    } else if (location_names(&arm, region, &names) != 0) {
        rc = AML_REGISTRY_FAILED;
    }

    for (i = 0; i < names.count && rc == AML_REGISTRY_OK; i++) {
        rc = amld_quota_get(arm.txn, d->config, region, names.names[i], &q);
        json_array_append_new(
            list, location_quota(&arm, region, names.names[i], &q, usages));
    }

    if (rc == AML_REGISTRY_OK) {
        amld_response_json(response, 200, json_pack("{s:O}", "value", list));
    } else {
        amld_arm_registry_error(&arm, rc);
    }

    free(names.names);
    json_decref(list);
    amld_arm_end(&arm);
}


/* Those of the catalogue, and those that were and of which something is still
 * in use; 0, or -1. */
static int
location_names(amld_arm_t *arm, const char *region, location_names_t *names)
{
    int n;
    char *p;
    size_t i, count;
    amld_key_t prefix;
    const amld_size_t *sizes;

    sizes = amld_sizes(arm->d->config, &count);

    names->failed |=
        location_add(names, AMLD_QUOTA_TOTAL, sizeof(AMLD_QUOTA_TOTAL) - 1);
    for (i = 0; i < count; i++) {
        names->failed |=
            location_add(names, sizes[i].family, strlen(sizes[i].family));
    }

    n = snprintf(prefix.p, sizeof(prefix.p), "quota/%s/", region);
    for (p = prefix.p; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char) (*p + 32) : *p;
    }
    names->prefix = (size_t) n;

    return aml_registry_each(arm->txn, (aml_str_t){prefix.p, names->prefix},
                             aml_str(""), location_each,
                             names) == AML_REGISTRY_OK &&
                   !names->failed
               ? 0
               : -1;
}


static int
location_add(location_names_t *names, const char *name, size_t n)
{
    size_t i;
    void *grown;

    for (i = 0; i < names->count; i++) {
        if (strlen(names->names[i]) == n &&
            strncasecmp(names->names[i], name, n) == 0) {
            return 0;
        }
    }

    if (n >= LOCATION_NAME) {
        return 0;
    }

    if (names->count == names->room) {
        names->room = names->room == 0 ? 16 : names->room * 2;
        grown = realloc(names->names, names->room * sizeof(*names->names));
        if (grown == NULL) {
            return 1;
        }
        names->names = grown;
    }

    memcpy(names->names[names->count], name, n);
    names->names[names->count++][n] = '\0';

    return 0;
}


static int
location_each(void *data, aml_str_t key, aml_str_t value)
{
    location_names_t *names;

    (void) value;
    names = data;

    names->failed |=
        location_add(names, key.p + names->prefix, key.n - names->prefix);

    return names->failed;
}


static json_t *
location_quota(const amld_arm_t *arm, const char *region, const char *name,
               const amld_quota_t *q, int usages)
{
    int total;
    json_t *one;
    const char *kind, *words;

    total = strcmp(name, AMLD_QUOTA_TOTAL) == 0;
    kind = usages ? "usages" : "quotas";
    words = total ? "Total cores" : name;

    one = json_pack(
        "{s:o,s:o,s:s,s:s,s:I,s:{s:s,s:s}}", "id",
        json_sprintf("/subscriptions/%s/providers/" AMLD_ARM_PROVIDER
                     "/locations/%s/%s/%s",
                     amld_request_param(arm->request, "subscription"), region,
                     kind, name),
        "type",
        json_sprintf(AMLD_ARM_PROVIDER "/%s/%s",
                     total ? "dedicatedCores" : "vmFamily", kind),
        "unit", "Count", "amlWorkspaceLocation", region, "limit",
        (json_int_t) q->limit, "name", "value", name, "localizedValue", words);

    if (usages) {
        json_object_set_new(one, "currentValue",
                            json_integer((json_int_t) q->used));
    }

    return one;
}


static int
location_changes(amld_arm_t *arm, const char *region, const json_t *body,
                 location_change_t *changes, size_t *count,
                 amld_arm_fault_t *fault)
{
    size_t i, k;
    json_t *location, *list, *one;

    location = json_object_get(body, "location");
    if (location != NULL && !json_is_null(location) &&
        (!json_is_string(location) ||
         strcasecmp(json_string_value(location), region) != 0)) {
        return amld_arm_fault(fault, "UserError", "location",
                              "The quotas at this path are those of '%s'.",
                              region);
    }

    list = json_object_get(body, "value");
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > LOCATION_QUOTAS) {
        return amld_arm_fault(fault, "InvalidRequestContent", "value",
                              "The member 'value' must be a list of 1 to %d "
                              "quotas.",
                              LOCATION_QUOTAS);
    }

    json_array_foreach(list, i, one)
    {
        if (location_change(arm, region, one, &changes[i], fault) != 0 ||
            changes[i].name == NULL) {
            return -1;
        }
        for (k = 0; k < i; k++) {
            if (strcasecmp(changes[k].name, changes[i].name) == 0) {
                return amld_arm_fault(fault, "UserError", "value",
                                      "The quota '%.100s' is there twice.",
                                      changes[i].name);
            }
        }
    }

    *count = i;

    return 0;
}


static int
location_change(amld_arm_t *arm, const char *region, const json_t *sent,
                location_change_t *change, amld_arm_fault_t *fault)
{
    char prefix[512];
    size_t n;
    json_t *limit, *unit;
    const char *id;

    n = (size_t) snprintf(prefix, sizeof(prefix),
                          "/subscriptions/%s/providers/" AMLD_ARM_PROVIDER
                          "/locations/%s/quotas/",
                          amld_request_param(arm->request, "subscription"),
                          region);
    id = json_string_value(json_object_get(sent, "id"));

    if (id == NULL || n >= sizeof(prefix) || strncasecmp(id, prefix, n) != 0 ||
        id[n] == '\0') {
        return amld_arm_fault(fault, "UserError", "value.id",
                              "The id of a quota is '%.300s' and the name of a "
                              "family, or '" AMLD_QUOTA_TOTAL
                              "'. Workspaces have no quotas of their own.",
                              prefix);
    }

    limit = json_object_get(sent, "limit");
    if (!json_is_null(limit) && (!json_is_integer(limit) ||
                                 json_integer_value(limit) < AMLD_QUOTA_NONE ||
                                 json_integer_value(limit) > AMLD_QUOTA_MOST)) {
        return amld_arm_fault(fault, "UserError", "value.limit",
                              "A limit is a whole number of cores from 0 to "
                              "%lld, -1 for none, or null for that of the "
                              "configuration.",
                              (long long) AMLD_QUOTA_MOST);
    }

    unit = json_object_get(sent, "unit");
    if (unit != NULL && !json_is_null(unit) &&
        (!json_is_string(unit) ||
         strcasecmp(json_string_value(unit), "Count") != 0)) {
        return amld_arm_fault(fault, "UserError", "value.unit",
                              "The unit of a quota is 'Count'.");
    }

    change->id = id;
    change->name = id + n;
    change->limit =
        json_is_null(limit) ? AMLD_QUOTA_DEFAULT : json_integer_value(limit);

    change->known =
        strcasecmp(change->name, AMLD_QUOTA_TOTAL) == 0 ||
        amld_size_family(arm->d->config, change->name, &change->name);

    return 0;
}


static aml_registry_rc_t
location_write(amld_arm_t *arm, const char *region, location_change_t *changes,
               size_t count)
{
    size_t i;
    aml_registry_rc_t rc;

    rc = aml_registry_write(arm->d->registry, &arm->txn);
    if (rc != AML_REGISTRY_OK) {
        arm->txn = NULL;
        return rc;
    }

    for (i = 0; i < count && rc == AML_REGISTRY_OK; i++) {
        if (!changes[i].known) {
            changes[i].now.limit = changes[i].limit;
            continue;
        }

        rc = amld_quota_set_limit(arm->txn, region, changes[i].name,
                                  changes[i].limit);
        if (rc == AML_REGISTRY_OK) {
            rc = amld_quota_get(arm->txn, arm->d->config, region,
                                changes[i].name, &changes[i].now);
        }
    }

    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_commit(arm->txn);
        arm->txn = NULL;
    }

    return rc;
}


static void
location_audit(const amld_arm_t *arm, const char *region,
               const location_change_t *change)
{
    char scope[AMLD_PATH_MAX], target[300], limit[24];

    if (!change->known) {
        return;
    }

    snprintf(limit, sizeof(limit), "%lld", (long long) change->limit);
    snprintf(target, sizeof(target), "%.100s/%.64s: %s", region, change->name,
             change->limit == AMLD_QUOTA_NONE      ? "no limit"
             : change->limit == AMLD_QUOTA_DEFAULT ? "as configured"
                                                   : limit);
    snprintf(scope, sizeof(scope), "%.*s", (int) arm->scope.n, arm->scope.p);

    amld_log(AMLD_LOG_INFO, "quota %s, by %s", target, arm->request->name);
    amld_audit_request(arm->d, arm->request,
                       &(amld_audit_event_t){.event = "quota",
                                             .target = target,
                                             .action = arm->request->action,
                                             .scope = scope});
}
