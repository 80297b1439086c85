/*
 * What follows from the documents of instances: who has which, and how many
 * cores are in use.  It changes in the transaction that writes the first
 * document of an instance, or removes it.
 *
 *   compute-of/<principal>/<as behind compute/>   whose instance it is
 *   compute-by/<principal>/<as behind compute/>   who asked for it
 *   runtime/<name of its directory>/<as behind compute/>
 *   quota/…                                       see quota.h
 */

#ifndef AMLD_COMPUTE_INDEX_H
#define AMLD_COMPUTE_INDEX_H

#include "computes/instances/computes.h"

typedef enum {
    AMLD_INDEX_OF = 0,
    AMLD_INDEX_BY,
    AMLD_INDEX_RUNTIME,
    AMLD_INDEX_COUNT
} amld_index_t;

/* To be called before the document is written or removed; does nothing where
 * it is there already, or not there. */
aml_registry_rc_t
amld_compute_index_add(aml_registry_txn_t *txn, const amld_key_t *key,
                       const json_t *doc);
aml_registry_rc_t
amld_compute_index_remove(aml_registry_txn_t *txn, const amld_key_t *key,
                          const json_t *doc);

/* What the keys of a principal's instances in a workspace begin with; behind
 * it is the name in lower case.  0, or -1 when it is too long. */
int amld_compute_index_prefix(amld_key_t *prefix, amld_index_t index,
                              const char *principal,
                              const amld_workspace_t *workspace);

#define AMLD_RUNTIME_SIZE 9 /* bytes */

/* A name for the private directory of a new instance: drawn until no instance
 * has it, and nothing of it is in the state directory. */
aml_registry_rc_t
amld_compute_runtime_new(aml_registry_txn_t *txn, const amld_config_t *c,
                         char runtime[AMLD_RUNTIME_SIZE]);

/*
 * At start: compares all this with the documents.  What differs, as after a
 * release that did not write it, is put right and logged; instances without a
 * size get the one that the catalogue has by its name.  0, also where it could
 * not be written, or -1 when it could not be read; both are logged.
 */
int amld_compute_index_tend(aml_registry_t *registry, const amld_config_t *c);

#endif /* AMLD_COMPUTE_INDEX_H */
