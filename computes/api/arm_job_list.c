/*
 * Lists of jobs, newest first, in pages.  A page begins where the one before
 * has ended, looks at no more than so many documents, and leaves out no more
 * than so many jobs, so that it takes no longer for the history behind it; one
 * that was filtered, or is to leave out many, may have fewer jobs than others,
 * or none, and still lead on.
 */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "computes/api/arm_job.h"

#define LIST_TEXT 600 /* bytes of a filter */

typedef struct {
    amld_arm_t *arm;
    json_t *list;
    amld_job_view_t view;
    const char *view_name;
    const char *skip_name;
    const char *tag;     /* NULL: any */
    const char *compute; /* its name; NULL: any */
    int none;            /* no job is of the type that was asked for */
    uint64_t from;       /* seq */
    unsigned long skip;  /* or how many to leave out */
    size_t looked;
    size_t left_out; /* by their keys alone */
    uint64_t next;   /* 0: this is the last page */
    aml_registry_rc_t failed;
} job_list_t;

static int list_query(job_list_t *list);
static int list_skip(job_list_t *list);
static int list_each(void *data, uint64_t seq, const amld_key_t *key);
static int list_wanted(const job_list_t *list, const json_t *doc);
static json_t *list_next(const job_list_t *list);
static int list_escape(const char *text, char *out, size_t size);


void
amld_arm_job_list(amld_t *d, const amld_request_t *request,
                  amld_response_t *response)
{
    json_t *body;
    amld_arm_t arm;
    job_list_t list;
    aml_registry_rc_t rc;

    memset(&list, 0, sizeof(list));
    list.arm = &arm;

    if (amld_arm_begin(&arm, d, request, response, 0) != 0 ||
        list_query(&list) != 0 || list_skip(&list) != 0) {
        amld_arm_end(&arm);
        return;
    }

    list.list = json_array();

    rc = aml_registry_read(d->registry, &arm.txn);
    if (rc != AML_REGISTRY_OK) {
        arm.txn = NULL;
    } else if (!list.none) {
        rc = amld_job_list_each(arm.txn, arm.workspace, list.view, list.from,
                                list_each, &list);
    }
    if (rc == AML_REGISTRY_OK) {
        rc = list.failed;
    }

    if (rc != AML_REGISTRY_OK) {
        json_decref(list.list);
        amld_arm_registry_error(&arm, rc);
        amld_arm_end(&arm);
        return;
    }

    body = json_pack("{s:o}", "value", list.list);
    if (list.next != 0) {
        json_object_set_new(body, "nextLink", list_next(&list));
    }

    amld_response_json(response, 200, body);
    amld_arm_end(&arm);
}


/* What is asked for; 0, or -1 when the response was filled. */
static int
list_query(job_list_t *list)
{
    size_t i;
    const char *text;

    static const struct {
        const char *name;
        amld_job_view_t view;
    } views[] = {
        {"ActiveOnly", AMLD_JOBS_ACTIVE},
        {"ArchivedOnly", AMLD_JOBS_ARCHIVED},
        {"All", AMLD_JOBS_ALL},
    };

    text = amld_request_query(list->arm->request, "listViewType");
    text = text != NULL ? text : views[0].name;
    for (i = 0; i < 3 && strcasecmp(text, views[i].name) != 0; i++) {
        /* void */
    }
    if (i == 3) {
        amld_response_error(list->arm->response, 400, "UnsupportedQuery",
                            "listViewType",
                            "'listViewType' is 'ActiveOnly', 'ArchivedOnly' or "
                            "'All'.");
        return -1;
    }
    list->view = views[i].view;
    list->view_name = views[i].name;

    /* There are no others. */
    text = amld_request_query(list->arm->request, "jobType");
    list->none =
        text != NULL && text[0] != '\0' && strcasecmp(text, "Command") != 0;

    list->tag = amld_request_query(list->arm->request, "tag");
    list->compute = amld_request_query(list->arm->request, "compute");

    if ((list->tag != NULL && strlen(list->tag) >= LIST_TEXT) ||
        (list->compute != NULL && strlen(list->compute) >= LIST_TEXT)) {
        amld_response_error(list->arm->response, 400, "UnsupportedQuery", NULL,
                            "The parameters 'tag' and 'compute' are the name "
                            "of a tag, and that of a compute instance.");
        return -1;
    }

    return 0;
}


/* Where the page begins: how many jobs to leave out, or, as nextLink has it,
 * "~" and a job's number, with "-" and how many are still to be left out
 * behind it; 0, or -1 when the response was filled. */
static int
list_skip(job_list_t *list)
{
    char *end;
    const char *skip;
    unsigned long long number;

    static const char *const names[] = {"$skip", "$skipToken", "$skiptoken"};
    size_t i;

    list->from = UINT64_MAX;
    list->skip_name = names[0];
    skip = NULL;

    for (i = 0; i < 3 && skip == NULL; i++) {
        skip = amld_request_query(list->arm->request, names[i]);
        if (skip != NULL) {
            list->skip_name = names[i];
        }
    }
    if (skip == NULL || skip[0] == '\0') {
        return 0;
    }

    errno = 0;
    end = NULL;
    number = 0;
    if (skip[0] == '~' && isxdigit((unsigned char) skip[1])) {
        number = strtoull(skip + 1, &end, 16);
        list->from = number;
        if (*end == '-' && isdigit((unsigned char) end[1])) {
            list->skip = strtoul(end + 1, &end, 10);
        }
    } else if (isdigit((unsigned char) skip[0])) {
        list->skip = strtoul(skip, &end, 10);
    }

    if (end == NULL || *end != '\0' || errno != 0 ||
        (skip[0] == '~' && number == 0)) {
        amld_response_error(list->arm->response, 400, "InvalidSkipToken",
                            list->skip_name,
                            "The parameter '%s' is not one that this service "
                            "has given out.",
                            list->skip_name);
        return -1;
    }

    return 0;
}


static int
list_each(void *data, uint64_t seq, const amld_key_t *key)
{
    json_t *doc;
    job_list_t *list;
    aml_registry_rc_t rc;

    list = data;

    /* Keys only, as long as nothing else decides. */
    if (list->skip != 0 && list->tag == NULL && list->compute == NULL) {
        if (list->left_out == AMLD_JOB_LEFT_OUT) {
            list->next = seq;
            return 1;
        }
        list->left_out++;
        list->skip--;
        return 0;
    }

    if (json_array_size(list->list) == AMLD_ARM_PAGE ||
        list->looked == AMLD_JOB_LOOKED) {
        list->next = seq;
        return 1;
    }
    list->looked++;

    rc = amld_job_load(list->arm->txn, key, &doc);
    if (rc == AML_REGISTRY_CORRUPT || rc == AML_REGISTRY_NOTFOUND) {
        /* One that is damaged hides no other. */
        amld_log(AMLD_LOG_ERROR,
                 "%s: is no document of a job, and left out "
                 "of lists",
                 key->p);
        return 0;
    }
    if (rc != AML_REGISTRY_OK) {
        list->failed = rc;
        return 1;
    }

    if (list_wanted(list, doc)) {
        if (list->skip != 0) {
            list->skip--;
        } else if (json_array_append_new(
                       list->list, amld_arm_job_json(doc, list->arm->asker)) !=
                   0) {
            list->failed = AML_REGISTRY_FAILED;
        }
    }
    json_decref(doc);

    return list->failed != AML_REGISTRY_OK;
}


static int
list_wanted(const job_list_t *list, const json_t *doc)
{
    return (list->tag == NULL ||
            json_object_get(json_object_get(doc, "tags"), list->tag) != NULL) &&
           (list->compute == NULL ||
            strcasecmp(amld_compute_str(doc, "computeName"), list->compute) ==
                0);
}


static json_t *
list_next(const job_list_t *list)
{
    char base[300], skip[32] = "", tag[3 * LIST_TEXT + 16] = "",
                    compute[3 * LIST_TEXT + 16] = "";

    if (list->tag != NULL) {
        (void) list_escape(list->tag, tag, sizeof(tag));
    }
    if (list->compute != NULL) {
        (void) list_escape(list->compute, compute, sizeof(compute));
    }

    if (list->skip != 0) {
        (void) snprintf(skip, sizeof(skip), "-%lu", list->skip);
    }

    amld_arm_base(list->arm, base, sizeof(base));

    return json_sprintf(
        "%s%s/jobs?api-version=%s&listViewType=%s%s%s%s%s&%%24%s=~%" PRIx64
        "%s",
        base, list->arm->workspace->id, list->arm->version, list->view_name,
        list->tag != NULL ? "&tag=" : "", tag,
        list->compute != NULL ? "&compute=" : "", compute, list->skip_name + 1,
        list->next, skip);
}


static int
list_escape(const char *text, char *out, size_t size)
{
    size_t n;

    for (n = 0; *text != '\0'; text++) {
        if (n + 4 > size) {
            return -1;
        }
        if (isalnum((unsigned char) *text) || strchr("-._~", *text) != NULL) {
            out[n++] = *text;
        } else {
            n += (size_t) snprintf(out + n, size - n, "%%%02X",
                                   (unsigned char) *text);
        }
    }
    out[n] = '\0';

    return 0;
}
