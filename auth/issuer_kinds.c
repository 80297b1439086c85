/*
 * The kinds of identity providers that work without further settings.
 */

#include "auth/issuer_kinds.h"

#include <string.h>

#include "auth/key.h"

#define RS256 (UINT32_C(1) << AML_ALG_RS256)
#define ES256 (UINT32_C(1) << AML_ALG_ES256)
#define PS256 (UINT32_C(1) << AML_ALG_PS256)
#define EDDSA (UINT32_C(1) << AML_ALG_EDDSA)


const amld_issuer_kind_t amld_issuer_kinds[] = {
    /* v1's label is unique_name, v2's preferred_username: see config_issuer.c;
     * `sub` differs from application to application, so tid and oid */
    {.name = "entra",
     .identity = AML_IDENTITY_ENTRA,
     .name_claim = "preferred_username",
     .groups_claim = "groups",
     .roles_claim = "roles",
     .scopes = "openid profile email offline_access",
     .algs = RS256,
     .flags = AML_ISSUER_REQUIRE_SCOPE},

    {.name = "keycloak",
     .identity = AML_IDENTITY_SUB,
     .name_claim = "preferred_username",
     .groups_claim = "groups",
     .roles_claim = "realm_access.roles",
     .scopes = "openid profile email",
     .algs = RS256 | ES256 | PS256 | EDDSA},

    /* its access tokens are opaque: for sign-in only */
    {.name = "google",
     .issuer = "https://accounts.google.com",
     .identity = AML_IDENTITY_SUB,
     .name_claim = "email",
     .groups_claim = "",
     .roles_claim = "",
     .scopes = "openid profile email",
     .algs = RS256},

    {.name = "dex",
     .identity = AML_IDENTITY_SUB,
     .name_claim = "preferred_username",
     .groups_claim = "groups",
     .roles_claim = "",
     .scopes = "openid profile email groups offline_access",
     .algs = RS256 | ES256,
     .vague = 1},

    {.name = "glewlwyd",
     .identity = AML_IDENTITY_SUB,
     .name_claim = "name",
     .groups_claim = "groups",
     .roles_claim = "",
     .scopes = "openid",
     .algs = RS256 | ES256 | PS256 | EDDSA,
     .bare = 1},

    {.name = "oidc",
     .identity = AML_IDENTITY_SUB,
     .name_claim = "preferred_username",
     .groups_claim = "groups",
     .roles_claim = "roles",
     .scopes = "openid profile email",
     .algs = RS256 | ES256 | PS256 | EDDSA,
     .consent = 1},

    {.name = NULL}};


const amld_issuer_kind_t *
amld_issuer_kind(const char *name)
{
    const amld_issuer_kind_t *kind;

    for (kind = amld_issuer_kinds; kind->name != NULL; kind++) {
        if (strcmp(kind->name, name) == 0) {
            return kind;
        }
    }

    return NULL;
}
