/*
 * Lists of computes, in pages: all of a workspace, or one person's.
 *
 * ARM has no filter for computes.  Ours is in the form of ARM's filters, by the
 * members that the answers have; and there is a plain parameter for each:
 *
 *   createdBy/userId eq '…'                                       createdBy
 *   personalComputeInstanceSettings/assignedUser/objectId eq '…'  assignedUser
 *
 * with "properties/" before it as often as the answers have it.
 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/api/arm.h"
#include "computes/instances/compute_index.h"
#include "computes/jobs/job.h"
#include "upstreams/host.h"

#define LIST_FILTER_MAX 512

/* Whose. */
typedef struct {
    const char *member; /* of the filter */
    const char *parameter;
    amld_index_t index;
} list_by_t;

typedef struct {
    json_t *list;
    const amld_config_t *config;
    const char *asker;
    aml_registry_txn_t *txn;
    amld_key_t computes; /* what keys of computes begin with */
    amld_key_t prefix;   /* and those that are walked */
    const list_by_t *by; /* NULL: all */
    char principal[AML_UUID_TEXT + 1];
    unsigned long skip;
    const char *skip_name; /* "$skip", or its name in 2020-08-01 */
    char from[AML_REGISTRY_KEY_MAX + 1];
    char next[AML_INSTANCE_NAME_MAX + 1];
    int failed;
} arm_list_t;

static const list_by_t list_by[] = {
    {"createdBy/userId", "createdBy", AMLD_INDEX_BY},
    {"personalComputeInstanceSettings/assignedUser/objectId", "assignedUser",
     AMLD_INDEX_OF},
};

static int arm_list_filter(amld_arm_t *arm, arm_list_t *list);
static const char *arm_list_equal(const char *filter, const list_by_t **by);
static int arm_list_skip(amld_arm_t *arm, arm_list_t *list);
static int arm_list_each(void *data, aml_str_t key, aml_str_t value);
static aml_registry_rc_t arm_list_walk(amld_arm_t *arm, arm_list_t *list);
static json_t *arm_list_next(amld_arm_t *arm, const arm_list_t *list);


void
amld_arm_list(amld_t *d, const amld_request_t *request,
              amld_response_t *response)
{
    json_t *body;
    amld_arm_t arm;
    arm_list_t list;
    aml_registry_rc_t rc;

    memset(&list, 0, sizeof(list));
    list.config = d->config;

    if (amld_arm_begin(&arm, d, request, response, 0) != 0 ||
        arm_list_filter(&arm, &list) != 0 || arm_list_skip(&arm, &list) != 0) {
        amld_arm_end(&arm);
        return;
    }

    list.asker = arm.asker;
    list.list = json_array();

    rc = arm_list_walk(&arm, &list);
    if (rc != AML_REGISTRY_OK || list.failed) {
        json_decref(list.list);
        amld_arm_registry_error(&arm, list.failed ? AML_REGISTRY_FAILED : rc);
        amld_arm_end(&arm);
        return;
    }

    body = json_pack("{s:o}", "value", list.list);
    if (list.next[0] != '\0') {
        json_object_set_new(body, "nextLink", arm_list_next(&arm, &list));
    }

    amld_response_json(response, 200, body);
    amld_arm_end(&arm);
}


/* Whose are asked for; 0, or -1 when the response was filled. */
static int
arm_list_filter(amld_arm_t *arm, arm_list_t *list)
{
    char text[LIST_FILTER_MAX];
    size_t i, n, asked;
    const char *filter, *value, *what;
    aml_principal_id_t id;

    asked = 0;
    value = NULL;
    what = "$filter";

    for (i = 0; i < sizeof(list_by) / sizeof(list_by[0]); i++) {
        filter = amld_request_query(arm->request, list_by[i].parameter);
        if (filter != NULL) {
            snprintf(text, sizeof(text), "%s", filter);
            value = text;
            what = list_by[i].parameter;
            list->by = &list_by[i];
            asked++;
        }
    }

    filter = amld_request_query(arm->request, "$filter");
    if (filter != NULL && filter[0] != '\0') {
        asked++;
        what = "$filter";
        value = strlen(filter) < sizeof(text)
                    ? arm_list_equal(filter, &list->by)
                    : NULL;
        if (value != NULL) {
            n = strcspn(value, "'");
            memcpy(text, value, n);
            text[n] = '\0';
            value = text;
        }
    }

    if (asked == 0) {
        return 0;
    }

    if (asked == 1 && value != NULL && strcasecmp(value, "me") == 0) {
        aml_uuid_format(&arm->request->principal, list->principal);
        return 0;
    }

    if (asked == 1 && value != NULL &&
        aml_uuid_parse(aml_str_of(value), &id) == 0) {
        aml_uuid_format(&id, list->principal);
        return 0;
    }

    amld_response_error(
        arm->response, 400, "UnsupportedQuery", what,
        "Compute instances can be listed by one of the filters 'createdBy/"
        "userId eq '{id}'' and 'personalComputeInstanceSettings/assignedUser/"
        "objectId eq '{id}'', or of the parameters 'createdBy' and "
        "'assignedUser'; the id is a principal's, or 'me'.");

    return -1;
}


/* Behind the quote that opens the value; NULL when it is no such filter. */
static const char *
arm_list_equal(const char *filter, const list_by_t **by)
{
    size_t i, n;
    const char *p, *end;

    static const char outer[] = "properties/";

    for (p = filter; *p == ' '; p++) {
        /* void */
    }
    for (i = 0; i < 2 && strncasecmp(p, outer, sizeof(outer) - 1) == 0; i++) {
        p += sizeof(outer) - 1;
    }

    for (i = 0; i < sizeof(list_by) / sizeof(list_by[0]); i++) {
        n = strlen(list_by[i].member);
        if (strncasecmp(p, list_by[i].member, n) == 0 && p[n] == ' ') {
            break;
        }
    }
    if (i == sizeof(list_by) / sizeof(list_by[0])) {
        return NULL;
    }
    p += n + strspn(p + n, " ");

    if (strncasecmp(p, "eq ", 3) != 0) {
        return NULL;
    }
    p += 3;
    p += strspn(p, " ");

    if (*p++ != '\'') {
        return NULL;
    }
    end = strchr(p, '\'');
    if (end == NULL || end[1 + strspn(end + 1, " ")] != '\0') {
        return NULL;
    }

    *by = &list_by[i];

    return p;
}


/* Where the page begins; 0, or -1 when the response was filled. */
static int
arm_list_skip(amld_arm_t *arm, arm_list_t *list)
{
    size_t i, n;
    const char *skip;

    list->skip_name = "$skip";
    skip = amld_request_query(arm->request, "$skip");
    if (skip == NULL &&
        (skip = amld_request_query(arm->request, "$skiptoken")) != NULL) {
        list->skip_name = "$skiptoken";
    }
    if (skip == NULL) {
        skip = "";
        list->skip_name =
            amld_arm_since(arm, "2020-08-02") ? "$skip" : "$skiptoken";
    }

    /* A number, or a name in lower case. */
    n = strlen(skip);
    i = strspn(skip, "0123456789");
    if (i == 0) {
        i = strspn(skip, "abcdefghijklmnopqrstuvwxyz0123456789-");
    }

    if (i < n || n > AML_INSTANCE_NAME_MAX ||
        amld_compute_prefix(&list->computes, arm->workspace) != 0 ||
        (list->by != NULL &&
         amld_compute_index_prefix(&list->prefix, list->by->index,
                                   list->principal, arm->workspace) != 0)) {
        amld_response_error(arm->response, 400, "InvalidSkipToken",
                            list->skip_name,
                            "The parameter '%s' is not one that this service "
                            "has given out.",
                            list->skip_name);
        return -1;
    }

    if (list->by == NULL) {
        list->prefix = list->computes;
    }

    /* A name goes on where the last page ended; no name begins with a digit,
     * so that a number is how many to leave out. */
    if (isdigit((unsigned char) skip[0])) {
        list->skip = strtoul(skip, NULL, 10);
    } else if (n != 0) {
        snprintf(list->from, sizeof(list->from), "%.*s%s", (int) list->prefix.n,
                 list->prefix.p, skip);
    }

    return 0;
}


static aml_registry_rc_t
arm_list_walk(amld_arm_t *arm, arm_list_t *list)
{
    aml_registry_rc_t rc;

    rc = aml_registry_read(arm->d->registry, &arm->txn);
    if (rc != AML_REGISTRY_OK) {
        arm->txn = NULL;
        return rc;
    }
    list->txn = arm->txn;

    return aml_registry_each(arm->txn,
                             (aml_str_t){list->prefix.p, list->prefix.n},
                             aml_str_of(list->from), arm_list_each, list);
}


static int
arm_list_each(void *data, aml_str_t key, aml_str_t value)
{
    int n;
    json_t *doc, *body;
    aml_str_t name;
    amld_key_t compute;
    arm_list_t *list;

    list = data;
    name = (aml_str_t){key.p + list->prefix.n, key.n - list->prefix.n};

    if (list->skip != 0) {
        list->skip--;
        return 0;
    }

    if (json_array_size(list->list) == AMLD_ARM_PAGE) {
        snprintf(list->next, sizeof(list->next), "%.*s", (int) name.n, name.p);
        return 1;
    }

    n = snprintf(compute.p, sizeof(compute.p), "%s%.*s", list->computes.p,
                 (int) name.n, name.p);
    if (n <= 0 || (size_t) n >= sizeof(compute.p)) {
        return list->failed = 1;
    }
    compute.n = (size_t) n;

    /* an index has the name only */
    if (list->by != NULL && aml_registry_get(list->txn, compute.p, compute.n,
                                             &value) != AML_REGISTRY_OK) {
        return list->failed = 1;
    }

    /* One that is damaged hides no other. */
    if (amld_compute_parse(value, &doc) != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR,
                 "%s%.*s: is no document of a compute, and left out of lists",
                 list->computes.p, (int) name.n, name.p);
        return 0;
    }

    body = amld_arm_compute(list->config, doc, list->asker);
    amld_arm_compute_works(body, amld_job_any_runs(list->txn, &compute));
    list->failed |= json_array_append_new(list->list, body) != 0;
    json_decref(doc);

    return list->failed;
}


static json_t *
arm_list_next(amld_arm_t *arm, const arm_list_t *list)
{
    char base[300], by[80] = "";

    if (list->by != NULL) {
        snprintf(by, sizeof(by), "&%s=%s", list->by->parameter,
                 list->principal);
    }

    amld_arm_base(arm, base, sizeof(base));

    return json_sprintf("%s%s/computes?api-version=%s%s&%%24%s=%s", base,
                        arm->workspace->id, arm->version, by,
                        list->skip_name + 1, list->next);
}
