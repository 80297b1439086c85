/*
 * Fills the registry of an amld that does not run with compute instances, as
 * amld itself would write them, so that lists, quotas and restarts can be
 * looked at with very many.
 *
 *     computes_fill CONFIG WORKSPACE COUNT [CREATOR-UUID] [STATE] [PREFIX]
 *
 * Names are PREFIX-00001 and so on with the digits written as letters, as the
 * name rule wants it; STATE is "Stopped" unless it is said.  Without a creator
 * every instance has one of its own.
 */

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/instances/computes.h"

#define BATCH 1000

typedef struct {
    const amld_config_t *config;
    const amld_workspace_t *workspace;
    const char *creator;
    const char *state;
    const char *prefix;
} fill_t;


static _Noreturn void
die(const char *what, const char *why)
{
    fprintf(stderr, "computes_fill: %s: %s\n", what, why);
    exit(1);
}


static void
one(const fill_t *f, aml_registry_txn_t *txn, unsigned long n)
{
    int i;
    char name[32], runtime[16], creator[AML_UUID_TEXT + 1], digits[8];
    json_t *doc;
    amld_key_t key;
    uint64_t generation;
    aml_registry_rc_t rc;

    for (i = 4; i >= 0; i--, n /= 10) {
        digits[i] = (char) ('a' + n % 10);
    }
    digits[5] = '\0';
    n = strtoul(digits, NULL, 36);

    snprintf(name, sizeof(name), "%s-%s", f->prefix, digits);
    snprintf(runtime, sizeof(runtime), "f%07lx", n & 0xfffffff);
    if (f->creator != NULL) {
        snprintf(creator, sizeof(creator), "%s", f->creator);
    } else {
        snprintf(creator, sizeof(creator), "00000000-0000-4000-8000-%012lx", n);
    }

    if (amld_compute_key(&key, f->workspace, name) != 0 ||
        amld_compute_generation(txn, &generation) != AML_REGISTRY_OK) {
        die(name, "no key");
    }

    doc = json_pack(
        "{s:s,s:s,s:s,s:s,s:{s:s},s:{s:s,s:i,s:i,s:i},s:s,s:s,s:s,s:s,s:s,"
        "s:s,s:{s:s,s:s,s:s,s:s},s:[],s:s+,s:{},s:{},s:I}",
        "name", name, "workspace", f->workspace->id, "location",
        f->workspace->location, "runtime", runtime, "requested", "vmSize",
        "STANDARD_DS3_V2", "size", "family", "standardDSv2Family", "cores", 4,
        "memory", 14336, "gpus", 0, "creator", creator, "creatorName", "filled",
        "organisation", creator, "createdOn", "2026-01-01T00:00:00.000Z",
        "modifiedOn", "2026-01-01T00:00:00.000Z", "state", f->state,
        "lastOperation", "name", "Create", "time", "2026-01-01T00:00:00.000Z",
        "status", "Succeeded", "trigger", "User", "errors", "folder", "Users/",
        name, "commands", "tags", "generation", (json_int_t) generation);

    rc = doc != NULL ? amld_compute_store(txn, f->config, &key, doc)
                     : AML_REGISTRY_FAILED;
    json_decref(doc);
    if (rc != AML_REGISTRY_OK) {
        die(name, aml_registry_strerror(rc));
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

    if (argc < 4 || argc > 7) {
        fprintf(stderr, "usage: computes_fill CONFIG WORKSPACE COUNT "
                        "[CREATOR-UUID|-] [STATE] [PREFIX]\n");
        return 2;
    }

    config = amld_config_read(argv[1]);
    if (config == NULL) {
        return 1;
    }

    memset(&f, 0, sizeof(f));
    f.config = config;
    f.creator = argc > 4 && strcmp(argv[4], "-") != 0 ? argv[4] : NULL;
    f.state = argc > 5 ? argv[5] : "Stopped";
    f.prefix = argc > 6 ? argv[6] : "filled";
    count = strtoul(argv[3], NULL, 10);

    for (k = 0; k < config->workspace_count; k++) {
        if (strcmp(config->workspaces[k].name, argv[2]) == 0) {
            f.workspace = &config->workspaces[k];
        }
    }
    if (f.workspace == NULL) {
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
        one(&f, txn, n);
        if (n % BATCH == BATCH - 1 || n + 1 == count) {
            rc = aml_registry_commit(txn);
            txn = NULL;
        }
    }
    if (rc != AML_REGISTRY_OK) {
        die(config->registry, aml_registry_strerror(rc));
    }

    aml_registry_close(registry);
    amld_config_free(config);
    return 0;
}
