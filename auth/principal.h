/*
 * Who is asking: 128 bits derived from where an identity comes from and what
 * it is called there.  Names and e-mail addresses are labels, never identity.
 */

#ifndef AML_PRINCIPAL_H
#define AML_PRINCIPAL_H

#include <stdint.h>

#include "auth/str.h"

#define AML_UUID_TEXT 36 /* characters, without NUL */

typedef struct {
    uint8_t b[16];
} aml_principal_id_t;

/*
 * A UUID of version 8 (RFC 9562 section 5.8) from SHA-256 over
 * space, one NUL byte, subject.  `space` is the issuer or the namespace that
 * its record names ("urn:aml:local" for local accounts, the tenant for Entra).
 * Returns 0, or -1 when either is empty, `space` has a NUL, or OpenSSL fails.
 */
int aml_principal_derive(aml_str_t space, aml_str_t subject,
                         aml_principal_id_t *id);

/*
 * Groups and app roles of an issuer are principals too, so that roles can be
 * assigned to them: derived from `value` in a namespace of their own, `space`
 * and "#group" or "#role", in which no person can be.
 */
typedef enum {
    AML_GROUP,
    AML_APP_ROLE
} aml_group_kind_t;

/* Returns 0, or -1 as above, or when `space` is longer than any issuer. */
int aml_group_derive(aml_group_kind_t kind, aml_str_t space, aml_str_t value,
                     aml_principal_id_t *id);

/* 36 lower-case characters; `text` has AML_UUID_TEXT + 1 bytes for the NUL. */
void aml_uuid_format(const aml_principal_id_t *id, char *text);

/* Either case, dashes required. 0, or -1. */
int aml_uuid_parse(aml_str_t text, aml_principal_id_t *id);

/* A random UUID, version 4. 0, or -1 without entropy. */
int aml_uuid_random(aml_principal_id_t *id);

static inline int
aml_principal_eq(const aml_principal_id_t *a, const aml_principal_id_t *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

#endif /* AML_PRINCIPAL_H */
