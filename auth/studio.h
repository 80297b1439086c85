/*
 * The studio page: a person's own instances.
 */

#ifndef AMLD_STUDIO_H
#define AMLD_STUDIO_H

#include "computes/http.h"

/* 0, or -1 after the reason was logged and nothing was answered. */
int amld_studio_page(amld_t *d, const amld_request_t *request,
                     amld_response_t *response);

#endif /* AMLD_STUDIO_H */
