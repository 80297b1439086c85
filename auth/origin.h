/*
 * Where a request comes from, for requests that a browser signs with a cookie.
 * Instance origins are same-site with the studio and with each other, so
 * SameSite protects nothing here; Fetch Metadata and Origin do.
 */

#ifndef AML_ORIGIN_H
#define AML_ORIGIN_H

#include "auth/str.h"

typedef struct {
    aml_str_t method;
    aml_str_t host;       /* the Host header, port included */
    aml_str_t origin;     /* the headers' values, empty when absent */
    aml_str_t fetch_site; /* Sec-Fetch-Site */
    aml_str_t fetch_mode; /* Sec-Fetch-Mode */
    aml_str_t fetch_dest; /* Sec-Fetch-Dest */
    int websocket;        /* Upgrade: websocket */
    int embeddable;       /* some origins may show it in a frame */
} aml_origin_t;

/*
 * 1 when a cookie may speak for this request.
 *
 * Unsafe methods and websockets: Origin, where present, must be
 * "https://" + host; Sec-Fetch-Site, where present, "same-origin" (or "none"
 * for a safe method); one of the two must be there.  Safe methods: same, but
 * both may be absent, and a top-level navigation (mode "navigate", dest
 * "document") may come from anywhere; so may that of a frame where the answer
 * says to the browser who may show it (`embeddable`).
 */
int aml_origin_allowed(const aml_origin_t *o);

/*
 * 1 when a person looks at the answer (a page is due), 0 when a program does:
 * Sec-Fetch-Mode is "navigate", or it is absent and `accept` has text/html
 * and the request is neither XHR nor a websocket. Only GET and HEAD.
 */
int aml_origin_is_page(const aml_origin_t *o, aml_str_t accept,
                       aml_str_t requested_with);

#endif /* AML_ORIGIN_H */
