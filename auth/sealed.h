/*
 * Secrets at rest: AES-256-GCM, with a key that is in no registry.  Whoever can
 * read the registry, such as nginx's workers, has only what is sealed.
 *
 * The keys are in a file of amld's alone, one a line, "<id> <key>" in 8 and 64
 * hex digits.  The first one seals, each of them opens; a new first line is a
 * new key, and a line that is taken out makes what it sealed unreadable.
 *
 * What is sealed is bound to `what` it is, such as the sign-in whose it is: put
 * elsewhere, it does not open.  Each `what` has a key of its own derived from
 * the file's, so that however many are sealed, nonces don't meet.
 *
 * Any thread.
 */

#ifndef AMLD_SEALED_H
#define AMLD_SEALED_H

#include <stddef.h>
#include <stdint.h>

#include "auth/str.h"

#define AMLD_SEALED_KEYS 8   /* lines of the file */
#define AMLD_SEALED_EXTRA 33 /* bytes more: version, id, nonce, tag */

typedef struct amld_sealer amld_sealer_t;

/* Reads the keys of `file`, which is made with one where it is missing.  NULL
 * after the reason was logged: also when others may read or change it. */
amld_sealer_t *amld_sealer_new(const char *file);
void amld_sealer_free(amld_sealer_t *s); /* NULL is allowed */

/* Writes text.n + AMLD_SEALED_EXTRA bytes; 0, or -1 when OpenSSL fails. */
int amld_seal(const amld_sealer_t *s, aml_str_t what, aml_str_t text,
              uint8_t *sealed);

/*
 * Writes sealed.n - AMLD_SEALED_EXTRA bytes; 0, or -1 when it was not sealed as
 * `what`, was changed, or its key is gone.
 */
int amld_unseal(const amld_sealer_t *s, aml_str_t what, aml_str_t sealed,
                uint8_t *text);

/* Is there a key for that? */
int amld_sealer_opens(const amld_sealer_t *s, aml_str_t sealed);

#endif /* AMLD_SEALED_H */
