/*
 * The body of a PUT of a job.  What is taken of it comes out in one form: sent
 * again it changes nothing, and what is answered can be sent again, too.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "computes/api/arm_job.h"

#define W                                                                      \
    "/subscriptions/s/resourceGroups/r/providers/"                             \
    "Microsoft.MachineLearningServices/workspaces/w"
#define SOMEBODY "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const amld_workspace_t workspace = {
    (char *) "w",     (char *) "s",  (char *) "r",
    (char *) "local", (char *) "/s", (char *) W,
};


static void
faulty(const amld_arm_fault_t *fault)
{
    assert(fault->code != NULL && fault->code[0] != '\0');
    assert(fault->message[0] != '\0');
    assert(strcmp(fault->code, "InternalServerError") != 0);
}


/* What the runner relies on. */
static void
kept(const json_t *requested)
{
    json_t *value;
    const char *directory, *name;

    assert(amld_compute_str(requested, "command")[0] != '\0');
    directory = amld_compute_str(requested, "workingDirectory");
    assert(directory[0] != '/' && strstr(directory, "//") == NULL);
    assert(strncmp(directory, "../", 3) != 0 &&
           strstr(directory, "/../") == NULL && strcmp(directory, "..") != 0);

    json_object_foreach(json_object_get(requested, "environmentVariables"),
                        name, value)
    {
        assert(json_is_string(value) && strchr(name, '=') == NULL);
        assert(strncmp(name, "AML_", 4) != 0);
        assert(strlen(json_string_value(value)) == json_string_length(value));
    }
}


/* Sent for a job that is as `doc` says. */
static void
changes_nothing(const amld_job_put_t *put, json_t *doc)
{
    json_t *before = json_deep_copy(doc);

    assert(amld_job_put_differs(put, doc) == NULL);
    assert(amld_job_put_apply(put, doc) == 0);
    assert(json_equal(before, doc));
    json_decref(before);
}


static void
answered(json_t *doc)
{
    amld_arm_fault_t fault = {NULL, NULL, ""};
    json_t *answer = amld_arm_job_json(doc, SOMEBODY);
    amld_job_put_t again;
    char *text;

    assert(answer != NULL);
    text = json_dumps(answer, JSON_COMPACT);
    assert(text != NULL);
    assert(amld_job_put_read(&again, text, strlen(text), &workspace, "job",
                             &fault) == 0);
    changes_nothing(&again, doc);
    amld_job_put_free(&again);
    free(text);
    json_decref(answer);
}


static void
created(const amld_job_put_t *put)
{
    json_t *requested, *doc;

    requested = amld_job_put_requested(put, "Users/ann");
    assert(requested != NULL);
    kept(requested);

    doc = json_pack("{s:s,s:{},s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:o,s:{s:i},s:s}",
                    "displayName", "job", "tags", "name", "job", "workspace", W,
                    "compute", "compute/s/r/w/lab", "computeName", put->compute,
                    "creator", SOMEBODY, "status", "Queued", "seq", 1,
                    "requested", requested, "times", "submitted", 1, "folder",
                    "Users/ann/jobs/job");
    assert(doc != NULL);
    assert(amld_job_put_apply(put, doc) == 0);

    changes_nothing(put, doc);
    answered(doc);
    json_decref(doc);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    amld_arm_fault_t fault = {NULL, NULL, ""};
    amld_job_put_t put;

    if (amld_job_put_read(&put, (const char *) data, n, &workspace, "job",
                          &fault) != 0 ||
        amld_job_put_complete(&put, &fault) != 0) {
        faulty(&fault);

    } else {
        created(&put);
    }

    amld_job_put_free(&put);

    return 0;
}
