/*
 * What is left of providers and keys that are there no more.
 */

#ifndef AMLD_OIDC_STRAYS_H
#define AMLD_OIDC_STRAYS_H

#include "auth/sealed.h"
#include "computes/amld.h"

/*
 * Ends sign-ins with providers that no section signs people in with any more,
 * and what was derived from them: nobody would hear from the provider that they
 * have ended.  `ended` is how many, of which the log has one line.
 */
aml_registry_rc_t amld_oidc_strays_end(amld_t *d, size_t *ended);

/* How many sign-ins are to be renewed with secrets that no key of the sealer
 * opens; a line of the log says so, and names the keys' `file`. */
aml_registry_rc_t
amld_oidc_strays_sealed(amld_t *d, const amld_sealer_t *sealer,
                        const char *file, size_t *count);

#endif /* AMLD_OIDC_STRAYS_H */
