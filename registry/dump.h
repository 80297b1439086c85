/*
 * The registry, printed for people: every key and its value, decoded, in
 * order of family.
 *
 * Secrets are left out: hashes of passwords, private keys, codes; of a
 * session's hash the first 12 hex digits are shown, enough to tell two apart.
 * What is in a family that this code does not know is not shown at all.
 */

#ifndef AMLD_DUMP_H
#define AMLD_DUMP_H

#include <stdio.h>

#include "registry/registry.h"

/*
 * Writes to `out`; with `json`, one object
 * {"format":1,"records":[{"key","family","value"},…]}, otherwise text.  A
 * reader's or a writer's handle, without an open snapshot.  Snapshots are
 * short, so that a slow `out` does not keep amld from using pages again: a
 * change in the meantime may be seen in part.  FAILED with errno also when
 * `out` can't be written.
 */
aml_registry_rc_t amld_registry_dump(aml_registry_t *reg, FILE *out, int json);

#endif /* AMLD_DUMP_H */
