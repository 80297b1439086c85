/*
 * Instances of workspaces that are configured no more, as a section was taken
 * out or renamed.  Nobody reaches them by the API, and amld does not know their
 * share, so it can't look after what runs of them, nor end it as its person
 * would have it ended.
 */

#ifndef AMLD_WORKSPACES_H
#define AMLD_WORKSPACES_H

#include "computes/config/config.h"
#include "registry/registry.h"

/* 0, or -1 after what runs, or is on its way, was logged: amld does not start
 * then.  What is stopped is only warned of. */
int
amld_workspaces_check(aml_registry_t *registry, const amld_config_t *config);

#endif /* AMLD_WORKSPACES_H */
