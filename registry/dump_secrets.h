/*
 * Documents for people: without what is secret by its name, and without what
 * looks like a secret wherever it is.
 */

#ifndef AML_DUMP_SECRETS_H
#define AML_DUMP_SECRETS_H

#include <jansson.h>

#define AML_DUMP_NOT_SHOWN "(not shown)"

/* A copy, the caller's; NULL without memory.  jansson's own limit bounds the
 * depth. */
json_t *aml_dump_without_secrets(const json_t *json);

#endif /* AML_DUMP_SECRETS_H */
