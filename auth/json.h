/*
 * JSON that others have written: tokens, key sets, metadata of providers.
 */

#ifndef AML_JSON_H
#define AML_JSON_H

#include <jansson.h>

#include "auth/str.h"

/* Nested deeper than anything that is read here; jansson's own limit is 2048
 * calls. */
#define AML_JSON_DEPTH_MAX 16

/*
 * The object that `text` is, or NULL.  Refused are duplicate members, what is
 * nested deeper than AML_JSON_DEPTH_MAX, bytes behind the object, NUL in
 * strings, bad UTF-8 and numbers out of range.  The caller has bounded the
 * length, and has the reference.
 */
json_t *aml_json_object(aml_str_t text);

/* 1 when nothing in it is nested deeper; what else is wrong with it the parser
 * says. */
int aml_json_shallow(aml_str_t text);

/* Lives as long as `string` does; empty when it is none. */
aml_str_t aml_json_string(const json_t *string);

#endif /* AML_JSON_H */
