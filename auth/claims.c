/*
 * Who a token speaks for, from its claims: subject, label, groups.
 */

#include "auth/claims.h"

#include "auth/json.h"

/* OpenID Connect Core section 2. */
#define AML_JWT_SUBJECT_MAX 255


json_t *
aml_claims_find(const json_t *claims, aml_str_t path)
{
    size_t n;
    json_t *v;
    const char *dot;

    /* a name may have dots itself, as addresses do: as it stands first */

    v = json_object_getn(claims, path.p, path.n);

    while (v == NULL && json_is_object(claims)) {
        dot = memchr(path.p, '.', path.n);
        if (dot == NULL) {
            return json_object_getn(claims, path.p, path.n);
        }

        n = (size_t) (dot - path.p);
        claims = json_object_getn(claims, path.p, n);
        path.p += n + 1;
        path.n -= n + 1;
    }

    return v;
}


/* ---- the label ---- */

/* Takes a character off `s`, which is UTF-8; its code point, or -1. */
static int32_t
aml_utf8_next(aml_str_t *s)
{
    int32_t c;
    size_t i, more;
    const unsigned char *p;

    p = (const unsigned char *) s->p;
    c = p[0];
    more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

    if (more >= s->n) {
        return -1;
    }

    if (more > 0) {
        c &= 0x3f >> more;
        for (i = 1; i <= more; i++) {
            c = (int32_t) ((uint32_t) c << 6 | (p[i] & 0x3f));
        }
    }

    s->p += more + 1;
    s->n -= more + 1;

    return c;
}


/* Neither controls nor what reorders or hides other characters: a label is
 * shown in pages, logs and headers. */
static int
aml_utf8_printable(int32_t c)
{
    size_t i;
    static const int32_t hidden[][2] = {
        {0x0000, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},
        {0x061c, 0x061c},   {0x115f, 0x1160},   {0x180e, 0x180e},
        {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},
        {0x3164, 0x3164},   {0xd800, 0xf8ff},   {0xfdd0, 0xfdef},
        {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
        {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff}};

    for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (c >= hidden[i][0] && c <= hidden[i][1]) {
            return 0;
        }
    }

    return (c & 0xfffe) != 0xfffe;
}


/* Whole characters only, no blanks around. */
static void
claims_label(aml_str_t rest, aml_jwt_identity_t *identity)
{
    int32_t c;
    size_t n, len;
    const char *from;

    n = 0;

    while (rest.n > 0) {
        from = rest.p;
        c = aml_utf8_next(&rest);
        if (c < 0) {
            break;
        }

        if (!aml_utf8_printable(c) || (c == ' ' && n == 0)) {
            continue;
        }

        len = (size_t) (rest.p - from);
        if (n + len > sizeof(identity->name)) {
            break;
        }

        memcpy(identity->name + n, from, len);
        n += len;
    }

    while (n > 0 && identity->name[n - 1] == ' ') {
        n--;
    }

    identity->name_len = n;
}


/* ---- groups and app roles ---- */

static int
claims_add_group(aml_jwt_identity_t *identity, aml_group_kind_t kind,
                 aml_str_t space, const json_t *value)
{
    aml_principal_id_t *id;

    if (!json_is_string(value) || json_string_length(value) == 0 ||
        identity->group_count == AML_JWT_GROUPS_MAX) {
        return -1;
    }

    id = &identity->groups[identity->group_count];

    if (aml_group_derive(kind, space, aml_json_string(value), id) != 0) {
        return -1;
    }

    identity->group_count++;

    return 0;
}


/* A string or an array of them; whatever can't be taken leaves it unknown. */
static void
claims_add_groups(aml_jwt_identity_t *identity, aml_group_kind_t kind,
                  aml_str_t space, const json_t *claim)
{
    size_t i;

    if (claim == NULL || json_is_null(claim)) {
        return;
    }

    if (!json_is_array(claim)) {
        if (claims_add_group(identity, kind, space, claim) != 0) {
            identity->groups_unknown = 1;
        }
        return;
    }

    for (i = 0; i < json_array_size(claim); i++) {
        if (claims_add_group(identity, kind, space, json_array_get(claim, i)) !=
            0) {
            identity->groups_unknown = 1;
        }
    }
}


/*
 * Entra leaves `groups` out where there are too many for a token, and says so
 * in `_claim_names` (with an address, which is never followed) or `hasgroups`.
 */
static int
claims_groups_elsewhere(const json_t *claims, aml_str_t groups_claim)
{
    json_t *names;

    names = json_object_get(claims, "_claim_names");

    return json_is_true(json_object_get(claims, "hasgroups")) ||
           json_object_get(names, "groups") != NULL ||
           json_object_getn(names, groups_claim.p, groups_claim.n) != NULL;
}


static void
claims_groups(const json_t *claims, aml_str_t space, const aml_issuer_t *issuer,
              aml_jwt_identity_t *identity)
{
    identity->group_count = 0;
    identity->groups_unknown = 0;

    if (issuer->groups_claim.n > 0) {
        claims_add_groups(identity, AML_GROUP, space,
                          aml_claims_find(claims, issuer->groups_claim));

        if (claims_groups_elsewhere(claims, issuer->groups_claim)) {
            identity->groups_unknown = 1;
        }
    }

    if (issuer->roles_claim.n > 0) {
        claims_add_groups(identity, AML_APP_ROLE, space,
                          aml_claims_find(claims, issuer->roles_claim));
    }
}


/* ---- identity ---- */

static int
claims_subject(const json_t *claims, aml_str_t name, aml_str_t *value)
{
    json_t *v;

    v = aml_claims_find(claims, name);
    if (!json_is_string(v)) {
        return -1;
    }

    *value = aml_json_string(v);

    return value->n > 0 && value->n <= AML_JWT_SUBJECT_MAX ? 0 : -1;
}


/* Entra: `sub` differs from application to application, `oid` does not.  A
 * tenant is a UUID, so that no token speaks in a namespace of another kind. */
static int
claims_entra(const json_t *claims, const aml_issuer_t *issuer, aml_str_t *space,
             aml_str_t *subject)
{
    aml_principal_id_t tenant;

    if (claims_subject(claims, aml_str("tid"), space) != 0 ||
        claims_subject(claims, aml_str("oid"), subject) != 0) {
        return -1;
    }

    return aml_uuid_parse(*space, &tenant) == 0 &&
                   aml_str_caseeq(*space, issuer->space)
               ? 0
               : -1;
}


/* Our own tokens: the principal as such, and the sign-in that it ends with. */
static int
claims_principal(const json_t *claims, aml_jwt_identity_t *identity)
{
    json_t *sid;
    aml_str_t subject;

    if (claims_subject(claims, aml_str("sub"), &subject) != 0 ||
        aml_uuid_parse(subject, &identity->principal) != 0) {
        return -1;
    }

    sid = json_object_get(claims, "sid");

    if (sid == NULL) {
        return 0;
    }

    identity->in_sign_in = 1;

    return json_is_string(sid)
               ? aml_uuid_parse(aml_json_string(sid), &identity->sign_in)
               : -1;
}


static int
claims_has_text(const json_t *claims, const char *name)
{
    const json_t *v = json_object_get(claims, name);

    return json_is_string(v) && json_string_length(v) > 0;
}


/* `scp` is a person's, `roles` an application's; Entra has one or the other
 * in what is meant for an API.  ID tokens may have `roles` as well, but not the
 * application that asked: `azp` in v2, `appid` in v1. */
static int
claims_scope(const json_t *claims)
{
    if (!claims_has_text(claims, "azp") && !claims_has_text(claims, "appid")) {
        return -1;
    }

    if (claims_has_text(claims, "scp")) {
        return 0;
    }

    return json_array_size(json_object_get(claims, "roles")) > 0 ? 0 : -1;
}


aml_reason_t
aml_claims_identity(const json_t *claims, aml_str_t iss,
                    const aml_issuer_t *issuer, aml_jwt_use_t use,
                    aml_jwt_identity_t *identity)
{
    int rc;
    json_t *name;
    aml_str_t space, subject;

    space = issuer->space.n > 0 ? issuer->space : iss;
    identity->in_sign_in = 0;

    switch (issuer->identity) {

    case AML_IDENTITY_PRINCIPAL:
        rc = claims_principal(claims, identity);
        break;

    case AML_IDENTITY_ENTRA:
        rc = claims_entra(claims, issuer, &space, &subject);
        if (rc == 0) {
            space = issuer->space; /* one spelling of it */
            rc = aml_principal_derive(space, subject, &identity->principal);
        }
        break;

    default:
        rc =
            claims_subject(claims,
                           issuer->identity_claim.n > 0 ? issuer->identity_claim
                                                        : aml_str("sub"),
                           &subject);
        if (rc == 0) {
            rc = aml_principal_derive(space, subject, &identity->principal);
        }
        break;
    }

    if (rc == 0 && use == AML_JWT_ACCESS &&
        (issuer->flags & AML_ISSUER_REQUIRE_SCOPE)) {
        rc = claims_scope(claims);
    }

    if (rc != 0) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    identity->name_len = 0;
    if (issuer->name_claim.n > 0) {
        name = aml_claims_find(claims, issuer->name_claim);
        if (json_is_string(name)) {
            claims_label(aml_json_string(name), identity);
        }
    }

    claims_groups(claims, space, issuer, identity);

    return AML_REASON_OK;
}


void
aml_jwt_identity_copy(aml_jwt_identity_t *to, const aml_jwt_identity_t *from)
{
    memcpy(to, from,
           offsetof(aml_jwt_identity_t, groups) +
               from->group_count * sizeof(from->groups[0]));
}
