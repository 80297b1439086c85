/*
 * The Cookie header, RFC 6265bis section 5.6 as user agents send it:
 * name=value pairs parted by "; ".  Names are case-sensitive.
 */

#ifndef AML_COOKIE_H
#define AML_COOKIE_H

#include "auth/str.h"

#define AML_COOKIE_SESSION "__Host-aml"
#define AML_COOKIE_BROWSER "__Host-aml-browser" /* binds sign-in codes */
#define AML_COOKIE_LEFT "__Host-aml-left" /* signed out here, see oidc.h */

/*
 * Finds `name` in one header value.  Returns how many times it is there (2
 * means two or more); `value` is the first one's, without surrounding blanks.
 */
int aml_cookie_find(aml_str_t header, aml_str_t name, aml_str_t *value);

/*
 * Copies `header` to `dst` (header.n bytes are enough) without the gateway's
 * own cookies: every cookie whose name is AML_COOKIE_SESSION or begins with
 * it and a dash.  Returns the new length; equal to header.n only when nothing
 * was removed; 0 when nothing is left and the header should go.
 */
size_t aml_cookie_strip(char *dst, aml_str_t header);

#endif /* AML_COOKIE_H */
