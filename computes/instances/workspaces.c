#include "computes/instances/workspaces.h"

#include <stdio.h>

#include "computes/amld.h"
#include "computes/instances/computes.h"

#define WORKSPACES_NAMED 20 /* instances; of more only how many */

typedef struct {
    const amld_config_t *config;
    size_t live, settled;
    char one[256]; /* of those that are settled */
} workspaces_check_t;

static int workspaces_each(void *data, aml_str_t key, aml_str_t value);


int
amld_workspaces_check(aml_registry_t *registry, const amld_config_t *config)
{
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;
    workspaces_check_t check = {.config = config};

    rc = aml_registry_read(registry, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str("compute/"), aml_str(""),
                               workspaces_each, &check);
        aml_registry_end(txn);
    }
    if (rc != AML_REGISTRY_OK) {
        amld_log(AMLD_LOG_ERROR, "workspaces: registry: %s",
                 aml_registry_strerror(rc));
        return -1;
    }

    if (check.settled > 0) {
        amld_log(
            AMLD_LOG_WARN,
            "%zu instance%s that %s not run, such as %s, %s of a workspace "
            "that is configured no more: nobody can start or delete %s",
            check.settled, check.settled == 1 ? "" : "s",
            check.settled == 1 ? "does" : "do", check.one,
            check.settled == 1 ? "is" : "are",
            check.settled == 1 ? "it" : "them");
    }

    if (check.live > 0) {
        amld_log(
            AMLD_LOG_ERROR,
            "%zu instance%s of a workspace that is configured no more: put "
            "its section back as it was, and stop or delete what runs "
            "before it is taken out",
            check.live, check.live == 1 ? " is" : "s are");
        return -1;
    }

    return 0;
}


static int
workspaces_each(void *data, aml_str_t key, aml_str_t value)
{
    json_t *doc;
    workspaces_check_t *check;

    (void) key;
    check = data;

    /* What is damaged, whoever reads it says. */
    if (amld_compute_parse(value, &doc) != AML_REGISTRY_OK ||
        amld_compute_workspace(check->config, doc) != NULL) {
        json_decref(doc);
        return 0;
    }

    if (amld_compute_settled(doc)) {
        if (check->settled++ == 0) {
            (void) snprintf(check->one, sizeof(check->one), "%s",
                            amld_compute_str(doc, "name"));
        }
    } else if (check->live++ < WORKSPACES_NAMED) {
        amld_log(AMLD_LOG_ERROR,
                 "%s is %s, and its workspace %s is configured no more",
                 amld_compute_str(doc, "name"), amld_compute_str(doc, "state"),
                 amld_compute_str(doc, "workspace"));
    }
    json_decref(doc);

    return 0;
}
