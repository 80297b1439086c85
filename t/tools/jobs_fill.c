/*
 * Fills the registry of an amld that does not run with jobs that have ended, as
 * amld itself would have written them, so that lists and queues can be looked
 * at with a long history.
 *
 *     jobs_fill CONFIG WORKSPACE COMPUTE COUNT [PREFIX]
 *
 * They are of the compute instance of that name, and its creator's; names are
 * PREFIX-0000001 and so on.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/jobs/job.h"

#define BATCH 1000

typedef struct {
    const amld_workspace_t *workspace;
    const char *prefix;
    amld_key_t compute;
    json_t *instance;
} fill_t;


static _Noreturn void
die(const char *what, const char *why)
{
    fprintf(stderr, "jobs_fill: %s: %s\n", what, why);
    exit(1);
}


static void
one(const fill_t *f, aml_registry_txn_t *txn, unsigned long n)
{
    char id[64];
    json_t *doc;
    uint64_t seq;
    int64_t ms;
    amld_key_t key;
    aml_registry_rc_t rc;
    const char *folder;

    snprintf(id, sizeof(id), "%.40s-%07lu", f->prefix, n + 1);

    if (amld_job_key(&key, f->workspace, id) != 0 ||
        amld_compute_generation(txn, &seq) != AML_REGISTRY_OK) {
        die(id, "no key");
    }

    ms = (int64_t) (seq / 1000);
    folder = amld_compute_str(f->instance, "folder");

    doc = json_pack(
        "{s:s,s:s,s:s%,s:s,s:s,s:s,s:s,s:I,s:s,s:i,s:s,s:{},"
        "s:{s:I,s:I,s:I},s:{s:s,s:s,s:{},s:s,s:{}},s:o}",
        "name", id, "workspace", f->workspace->id, "compute", f->compute.p,
        f->compute.n, "computeName", amld_compute_str(f->instance, "name"),
        "runtime", amld_compute_str(f->instance, "runtime"), "creator",
        amld_compute_str(f->instance, "creator"), "creatorName",
        amld_compute_str(f->instance, "creatorName"), "seq", (json_int_t) seq,
        "status", "Completed", "exitCode", 0, "displayName", id, "tags",
        "times", "submitted", (json_int_t) ms, "started", (json_int_t) ms,
        "ended", (json_int_t) ms, "requested", "command", "true",
        "environmentId", "", "environmentVariables", "experimentName",
        "Default", "properties", "folder",
        json_sprintf("%s/jobs/%s", folder, id));

    rc = doc != NULL ? amld_job_store(txn, &key, doc) : AML_REGISTRY_FAILED;
    json_decref(doc);
    if (rc != AML_REGISTRY_OK) {
        die(id, aml_registry_strerror(rc));
    }
}


int
main(int argc, char **argv)
{
    size_t k;
    unsigned long n, count;
    fill_t f;
    amld_config_t *config;
    aml_registry_t *registry;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn = NULL;

    if (argc < 5 || argc > 6) {
        fprintf(stderr,
                "usage: jobs_fill CONFIG WORKSPACE COMPUTE COUNT [PREFIX]\n");
        return 2;
    }

    config = amld_config_read(argv[1]);
    if (config == NULL) {
        return 1;
    }

    memset(&f, 0, sizeof(f));
    f.prefix = argc > 5 ? argv[5] : "filled";
    count = strtoul(argv[4], NULL, 10);

    for (k = 0; k < config->workspace_count; k++) {
        if (strcmp(config->workspaces[k].name, argv[2]) == 0) {
            f.workspace = &config->workspaces[k];
        }
    }
    if (f.workspace == NULL ||
        amld_compute_key(&f.compute, f.workspace, argv[3]) != 0) {
        die(argv[2], "no such workspace");
    }

    rc = aml_registry_open_writer(config->registry, config->registry_size,
                                  (gid_t) -1, &registry);

    for (n = 0; n < count && rc == AML_REGISTRY_OK; n++) {
        if (txn == NULL) {
            rc = aml_registry_write(registry, &txn);
            if (rc != AML_REGISTRY_OK) {
                break;
            }
        }
        if (f.instance == NULL &&
            amld_compute_load(txn, &f.compute, &f.instance) !=
                AML_REGISTRY_OK) {
            die(argv[3], "no such compute instance");
        }
        one(&f, txn, n);
        if (n % BATCH == BATCH - 1 || n + 1 == count) {
            rc = aml_registry_commit(txn);
            txn = NULL;
        }
    }
    if (rc != AML_REGISTRY_OK) {
        die(config->registry, aml_registry_strerror(rc));
    }

    json_decref(f.instance);
    aml_registry_close(registry);
    amld_config_free(config);

    return 0;
}
