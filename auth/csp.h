/*
 * Content-Security-Policy of an application that others may embed.
 */

#ifndef AML_CSP_H
#define AML_CSP_H

#include "auth/str.h"

/*
 * Copies the header's value without any frame-ancestors (Content Security
 * Policy Level 3, sections 2.2.2 and 6.4.2); `dst` has room for value.n bytes,
 * and may be value.p.  Returns what is left, 0 for nothing.
 */
size_t aml_csp_without_ancestors(char *dst, aml_str_t value);

#endif /* AML_CSP_H */
