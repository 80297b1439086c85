/*
 * The body of a PUT of a compute.  What is taken of it comes out in one form:
 * sent again it changes nothing, and what is answered can be sent again, too.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "computes/api/arm.h"
#include "computes/instances/sizes.h"

#define W                                                                      \
    "/subscriptions/s/resourceGroups/r/providers/"                             \
    "Microsoft.MachineLearningServices/workspaces/w"
#define SOMEBODY "4482d47f-0b4b-81ab-a8e0-f0be3a5a6306"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static amld_workspace_t workspace = {
    (char *) "w",     (char *) "s",  (char *) "r",
    (char *) "local", (char *) "/s", (char *) W,
};
static amld_config_t config = {
    .apps = (char *) "apps",
    .apps_port = (char *) "",
    .workspaces = &workspace,
    .workspace_count = 1,
};


static void
faulty(const amld_arm_fault_t *fault)
{
    assert(fault->code != NULL && fault->code[0] != '\0');
    assert(fault->message[0] != '\0');
    assert(strcmp(fault->code, "InternalServerError") != 0);
}


/* Sent for an instance that is as `doc` says. */
static void
changes_nothing(const amld_arm_put_t *put, json_t *doc)
{
    json_t *before = json_deep_copy(doc);

    assert(amld_arm_put_differs(put, doc) == NULL);
    assert(amld_arm_put_apply(put, doc) == 0);
    assert(json_equal(before, doc));
    json_decref(before);
}


static void
answered(json_t *doc)
{
    amld_arm_fault_t fault = {NULL, NULL, ""};
    json_t *answer = amld_arm_compute(&config, doc, "");
    amld_arm_put_t again;
    char *text;

    assert(answer != NULL);
    text = json_dumps(answer, JSON_COMPACT);
    assert(text != NULL);
    assert(amld_arm_put_read(&again, text, strlen(text), &workspace, &fault) ==
           0);
    changes_nothing(&again, doc);
    amld_arm_put_free(&again);
    free(text);
    json_decref(answer);
}


static void
created(const amld_arm_put_t *put, const char *vm_size)
{
    amld_arm_fault_t fault = {NULL, NULL, ""};
    json_t *requested, *doc;

    requested = amld_arm_put_requested(put, vm_size, &fault);
    if (requested == NULL) {
        faulty(&fault);
        return;
    }

    doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o}", "name", "lab", "workspace",
                    W, "location", "local", "creator", SOMEBODY, "state",
                    "Stopped", "requested", requested, "tags",
                    put->tags != NULL ? json_deep_copy(put->tags)
                                      : json_object());
    assert(doc != NULL);
    if (put->description != NULL) {
        assert(amld_compute_set_str(doc, "description", put->description) == 0);
    }

    changes_nothing(put, doc);
    answered(doc);
    json_decref(doc);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    amld_arm_fault_t fault = {NULL, NULL, ""};
    const amld_size_t *size;
    amld_arm_put_t put;

    if (amld_arm_put_read(&put, (const char *) data, n, &workspace, &fault) !=
        0) {
        faulty(&fault);

    } else {
        size = amld_size_find(&config, put.vm_size);
        if (size != NULL) {
            created(&put, size->name);
        }
    }

    amld_arm_put_free(&put);

    return 0;
}
