/*
 * Lists of computes, in pages.
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/arm.h"
#include "upstreams/host.h"

typedef struct {
    json_t *list;
    const amld_config_t *config;
    unsigned long skip;
    size_t prefix;
    char next[AML_INSTANCE_NAME_MAX + 1];
    int failed;
} arm_list_t;

static int arm_list_each(void *data, aml_str_t key, aml_str_t value);


void
amld_arm_list(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    char base[300], from[AML_REGISTRY_KEY_MAX + 1];
    size_t i, n;
    json_t *body;
    amld_key_t prefix;
    amld_arm_t arm;
    arm_list_t list;
    const char *skip, *name;
    aml_registry_rc_t rc;

    if (amld_arm_begin(&arm, d, request, response, 0) != 0) {
        amld_arm_end(&arm);
        return;
    }

    /* Its name in 2020-08-01. */
    name = "$skip";
    skip = amld_request_query(request, "$skip");
    if (skip == NULL &&
        (skip = amld_request_query(request, "$skiptoken")) != NULL) {
        name = "$skiptoken";
    }
    if (skip == NULL) {
        skip = "";
        name = amld_arm_since(&arm, "2020-08-02") ? "$skip" : "$skiptoken";
    }

    n = strlen(skip);
    for (i = 0; i < n; i++) {
        if (!isdigit((unsigned char) skip[i]) &&
            !(skip[i] >= 'a' && skip[i] <= 'z') && skip[i] != '-') {
            break;
        }
    }
    if (i < n || n > AML_INSTANCE_NAME_MAX ||
        amld_compute_prefix(&prefix, arm.workspace) != 0) {
        amld_response_error(response, 400, "InvalidSkipToken", name,
                            "The parameter '%s' is not one that this service "
                            "has given out.",
                            name);
        amld_arm_end(&arm);
        return;
    }

    memset(&list, 0, sizeof(list));
    list.list = json_array();
    list.config = d->config;
    list.prefix = prefix.n;

    /* A name goes on where the last page ended; no name begins with a digit,
     * so that a number is how many to leave out. */
    from[0] = '\0';
    if (isdigit((unsigned char) skip[0])) {
        list.skip = strtoul(skip, NULL, 10);
    } else if (n != 0) {
        snprintf(from, sizeof(from), "%.*s%s", (int) prefix.n, prefix.p, skip);
    }

    rc = aml_registry_read(d->registry, &arm.txn);
    if (rc != AML_REGISTRY_OK) {
        arm.txn = NULL;
    } else {
        rc = aml_registry_each(arm.txn, (aml_str_t){prefix.p, prefix.n},
                               aml_str_of(from), arm_list_each, &list);
    }

    if (rc != AML_REGISTRY_OK || list.failed) {
        json_decref(list.list);
        amld_arm_registry_error(&arm, list.failed ? AML_REGISTRY_FAILED : rc);
        amld_arm_end(&arm);
        return;
    }

    body = json_pack("{s:o}", "value", list.list);
    if (list.next[0] != '\0') {
        amld_arm_base(&arm, base, sizeof(base));
        json_object_set_new(
            body, "nextLink",
            json_sprintf("%s%s/computes?api-version=%s&%%24%s=%s", base,
                         arm.workspace->id, arm.version, name + 1, list.next));
    }

    amld_response_json(response, 200, body);
    amld_arm_end(&arm);
}


static int
arm_list_each(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    arm_list_t *list;

    list = data;

    if (list->skip != 0) {
        list->skip--;
        return 0;
    }

    if (json_array_size(list->list) == AMLD_ARM_PAGE) {
        snprintf(list->next, sizeof(list->next), "%.*s",
                 (int) (key.n - list->prefix), key.p + list->prefix);
        return 1;
    }

    doc = json_loadb(value.p, value.n, JSON_REJECT_DUPLICATES, NULL);
    list->failed |= doc == NULL ||
                    json_array_append_new(
                        list->list, amld_arm_compute(list->config, doc)) != 0;
    json_decref(doc);

    return list->failed;
}
