/*
 * JSON Web Tokens: from bytes to who speaks.
 */

#include "auth/jwt.h"

#include "auth/base64url.h"
#include "auth/claims.h"
#include "auth/json.h"

/* The last second of the year 9999: later is a mistake, not a time. */
#define AML_JWT_TIME_MAX 253402300799

#define AML_JWT_LOGOUT_SECONDS 300

/* The three parts; the form of RFC 7515 section 7.1. */
typedef struct {
    aml_str_t signing_input; /* of the token: header, dot, payload */
    aml_str_t header;        /* not decoded */
    aml_str_t payload;       /* decoded */
    aml_str_t signature;     /* decoded */
} aml_jwt_parts_t;


static int
aml_jwt_part(aml_str_t text, char **room, aml_str_t *part)
{
    size_t n;

    if (aml_base64url_decode(*room, &n, text.p, text.n) != 0) {
        return -1;
    }

    *part = (aml_str_t){*room, n};
    *room += n;

    return 0;
}


/* `*room` has aml_base64url_room() of the token's length. */
static int
aml_jwt_split(aml_str_t token, char **room, aml_jwt_parts_t *parts)
{
    const char *end, *first, *second;

    if (token.n == 0) {
        return -1;
    }

    end = token.p + token.n;

    first = memchr(token.p, '.', token.n);
    if (first == NULL) {
        return -1;
    }

    second = memchr(first + 1, '.', (size_t) (end - first - 1));
    if (second == NULL) {
        return -1;
    }

    parts->signing_input = (aml_str_t){token.p, (size_t) (second - token.p)};
    parts->header = (aml_str_t){token.p, (size_t) (first - token.p)};

    /* A third dot is no character of base64url. */
    if (aml_jwt_part((aml_str_t){first + 1, (size_t) (second - first - 1)},
                     room, &parts->payload) != 0 ||
        aml_jwt_part((aml_str_t){second + 1, (size_t) (end - second - 1)}, room,
                     &parts->signature) != 0) {
        return -1;
    }

    return 0;
}


/* RFC 7519 section 5.1, RFC 9068 section 2.1, OpenID Connect Back-Channel
 * Logout section 2.4; media types are compared without case and may leave out
 * "application/". */
static int
aml_jwt_typ_known(aml_str_t typ, aml_jwt_use_t use)
{
    aml_str_t prefix, own;

    prefix = aml_str("application/");
    if (typ.n > prefix.n &&
        aml_str_caseeq((aml_str_t){typ.p, prefix.n}, prefix)) {
        typ.p += prefix.n;
        typ.n -= prefix.n;
    }

    own = use == AML_JWT_LOGOUT   ? aml_str("logout+jwt")
          : use == AML_JWT_ACCESS ? aml_str("at+jwt")
                                  : aml_str("JWT");

    return aml_str_caseeq(typ, aml_str("JWT")) || aml_str_caseeq(typ, own);
}


static int
aml_jwt_typ_access(aml_str_t typ)
{
    return typ.n >= 6 &&
           aml_str_caseeq((aml_str_t){typ.p + typ.n - 6, 6}, aml_str("at+jwt"));
}


/* Keys and addresses of keys in a header are for somebody else: `jwk`, `jku`,
 * `x5c`, `x5u` are never looked at. */
static aml_reason_t
aml_jwt_header_members(const json_t *header, aml_jwt_use_t use,
                       aml_jwt_header_t *h, aml_str_t *kid)
{
    size_t i;
    json_t *v;

    v = json_object_get(header, "alg");
    if (!json_is_string(v)) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    h->alg = aml_alg_find(aml_json_string(v));

    if (json_object_get(header, "crit") != NULL) {
        return AML_REASON_TOKEN_CRITICAL;
    }

    v = json_object_get(header, "typ");
    if (v != NULL) {
        if (!json_is_string(v)) {
            return AML_REASON_TOKEN_MALFORMED;
        }

        if (!aml_jwt_typ_known(aml_json_string(v), use)) {
            return AML_REASON_TOKEN_TYPE;
        }

        h->access = aml_jwt_typ_access(aml_json_string(v));
    }

    *kid = (aml_str_t){"", 0};
    v = json_object_get(header, "kid");
    if (v != NULL) {
        if (!json_is_string(v)) {
            return AML_REASON_TOKEN_MALFORMED;
        }

        *kid = aml_json_string(v);
        if (kid->n == 0 || kid->n > AML_JWT_KID_MAX) {
            return AML_REASON_TOKEN_KEY;
        }

        for (i = 0; i < kid->n; i++) {
            if ((unsigned char) kid->p[i] < 0x20 || kid->p[i] == 0x7f) {
                return AML_REASON_TOKEN_KEY;
            }
        }
    }

    return h->alg != AML_ALG_NONE ? AML_REASON_OK : AML_REASON_TOKEN_ALGORITHM;
}


/* Of the header as it stands in the token; `h` is filled whole. */
static aml_reason_t
aml_jwt_header(aml_str_t text, aml_jwt_use_t use, char **room,
               aml_jwt_header_t *h)
{
    json_t *json;
    aml_str_t decoded, kid;
    aml_reason_t rc;

    if (aml_jwt_part(text, room, &decoded) != 0) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    json = aml_json_object(decoded);
    if (json == NULL) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    h->access = 0;

    rc = aml_jwt_header_members(json, use, h, &kid);
    if (rc == AML_REASON_OK) {
        h->kid_len = kid.n;
        memcpy(h->kid, kid.p, kid.n);

        h->text_len = text.n <= sizeof(h->text) ? text.n : 0;
        memcpy(h->text, text.p, h->text_len);
    }

    json_decref(json);

    return rc;
}


/* RFC 7519 section 2: a NumericDate may have a fraction.  `up` rounds to the
 * later second. */
static int
aml_jwt_time(const json_t *v, int up, int64_t *t)
{
    double d;
    json_int_t i;

    if (json_is_integer(v)) {
        i = json_integer_value(v);
        if (i < 0 || i > AML_JWT_TIME_MAX) {
            return -1;
        }

        *t = i;
        return 0;
    }

    if (!json_is_real(v)) {
        return -1;
    }

    d = json_real_value(v);
    if (!(d >= 0 && d < (double) AML_JWT_TIME_MAX)) {
        return -1;
    }

    *t = (int64_t) d;
    if (up && (double) *t < d) {
        (*t)++;
    }

    return 0;
}


/* Leeway is for times that lie ahead; a token that is past its end is past
 * it, so that nobody who remembers it has to reckon with more. */
static aml_reason_t
aml_jwt_times(const json_t *claims, int64_t now, aml_jwt_use_t use,
              const aml_issuer_t *issuer, aml_jwt_identity_t *identity)
{
    json_t *iat, *nbf, *exp;
    int64_t issued, from, ahead;

    exp = json_object_get(claims, "exp");
    nbf = json_object_get(claims, "nbf");
    iat = json_object_get(claims, "iat");

    issued = 0;
    from = 0;

    if ((nbf != NULL && aml_jwt_time(nbf, 1, &from) != 0) ||
        (iat != NULL && aml_jwt_time(iat, 0, &issued) != 0)) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    /* logout tokens had no exp in earlier drafts; then iat has to do */

    if (exp == NULL && use == AML_JWT_LOGOUT && json_is_integer(iat)) {
        identity->expires = issued + AML_JWT_LOGOUT_SECONDS;

    } else if (aml_jwt_time(exp, 1, &identity->expires) != 0) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    if (now >= identity->expires) {
        return AML_REASON_TOKEN_EXPIRED;
    }

    ahead = now + issuer->leeway;
    if (from > ahead || issued > ahead) {
        return AML_REASON_TOKEN_NOT_YET;
    }

    identity->issued = iat != NULL ? issued : from;

    if (issuer->lifetime != 0 &&
        ((iat == NULL && nbf == NULL) ||
         identity->expires - identity->issued > issuer->lifetime)) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    /* their clock may be ahead: what they gave out before something here was
     * revoked must not look as if it had come after.  Ours is not */
    if (use == AML_JWT_ACCESS && issuer->identity != AML_IDENTITY_PRINCIPAL) {
        identity->issued = identity->issued > issuer->leeway
                               ? identity->issued - issuer->leeway
                               : 0;
    }

    return AML_REASON_OK;
}


static int
aml_jwt_is_for(const aml_issuer_t *issuer, aml_str_t audience)
{
    size_t i;

    for (i = 0; i < issuer->audience_count && i < AML_ISSUER_AUDIENCES; i++) {
        if (aml_str_eq(audience, issuer->audiences[i])) {
            return 1;
        }
    }

    return 0;
}


/* RFC 7519 section 4.1.3: one string or an array of them. */
static aml_reason_t
aml_jwt_audience(const json_t *aud, const aml_issuer_t *issuer)
{
    int found;
    size_t i;
    json_t *v;

    if (json_is_string(aud)) {
        return aml_jwt_is_for(issuer, aml_json_string(aud))
                   ? AML_REASON_OK
                   : AML_REASON_TOKEN_AUDIENCE;
    }

    if (aud == NULL) {
        return AML_REASON_TOKEN_AUDIENCE;
    }

    if (!json_is_array(aud)) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    found = 0;
    for (i = 0; i < json_array_size(aud); i++) {
        v = json_array_get(aud, i);
        if (!json_is_string(v)) {
            return AML_REASON_TOKEN_CLAIMS;
        }

        found |= aml_jwt_is_for(issuer, aml_json_string(v));
    }

    return found ? AML_REASON_OK : AML_REASON_TOKEN_AUDIENCE;
}


/* ---- all of it ---- */

static aml_reason_t
aml_jwt_claims(const json_t *claims, aml_str_t iss, int64_t now,
               aml_jwt_use_t use, const aml_issuer_t *issuer,
               aml_jwt_identity_t *identity)
{
    aml_reason_t rc;

    rc = aml_jwt_times(claims, now, use, issuer, identity);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    rc = aml_jwt_audience(json_object_get(claims, "aud"), issuer);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    return use == AML_JWT_LOGOUT
               ? AML_REASON_OK
               : aml_claims_identity(claims, iss, issuer, use, identity);
}


/*
 * ID, refresh and logout tokens are signed by the same keys and can have the
 * same audience.  What tells them from access tokens differs: a `typ` in the
 * header (RFC 9068) or, with Keycloak, in the claims; else claims that only
 * the others have.
 */
static int
aml_jwt_is_access(const aml_jwt_header_t *header, const json_t *claims)
{
    json_t *typ;

    typ = json_object_get(claims, "typ");

    if (json_is_string(typ)) {
        if (aml_str_caseeq(aml_json_string(typ), aml_str("Bearer"))) {
            return 1;
        }

        if (aml_str_caseeq(aml_json_string(typ), aml_str("ID")) ||
            aml_str_caseeq(aml_json_string(typ), aml_str("Refresh")) ||
            aml_str_caseeq(aml_json_string(typ), aml_str("Offline")) ||
            aml_str_caseeq(aml_json_string(typ), aml_str("Logout"))) {
            return 0;
        }
    }

    if (json_object_get(claims, "events") != NULL) {
        return 0;
    }

    return header->access || (json_object_get(claims, "nonce") == NULL &&
                              json_object_get(claims, "at_hash") == NULL &&
                              json_object_get(claims, "c_hash") == NULL);
}


/* OpenID Connect Back-Channel Logout section 2.6. */
static int
aml_jwt_is_logout(const json_t *claims)
{
    json_t *events;

    events = json_object_get(claims, "events");

    return json_is_object(json_object_get(
               events, "http://schemas.openid.net/event/backchannel-logout")) &&
           json_object_get(claims, "nonce") == NULL;
}


static int
aml_jwt_fits(const aml_jwt_header_t *header, const json_t *claims,
             aml_jwt_use_t use)
{
    switch (use) {
    case AML_JWT_ACCESS:
        return aml_jwt_is_access(header, claims);
    case AML_JWT_LOGOUT:
        return aml_jwt_is_logout(claims);
    default:
        return json_object_get(claims, "events") == NULL;
    }
}


static aml_reason_t
aml_jwt_signed(const aml_jwt_parts_t *parts, aml_alg_t alg, aml_str_t iss,
               aml_str_t kid, const aml_jwt_source_t *source)
{
    aml_reason_t rc;
    aml_verifier_t *verifier;

    rc = source->key(source->data, iss, kid, &verifier);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    if (!aml_verifier_fits(verifier, alg)) {
        return AML_REASON_TOKEN_ALGORITHM;
    }

    return aml_verifier_check(verifier, alg, parts->signing_input.p,
                              parts->signing_input.n, parts->signature.p,
                              parts->signature.n) == 1
               ? AML_REASON_OK
               : AML_REASON_TOKEN_SIGNATURE;
}


static aml_reason_t
aml_jwt_judge(const aml_jwt_parts_t *parts, const aml_jwt_header_t *header,
              const json_t *claims, int64_t now, aml_jwt_use_t use,
              const aml_jwt_source_t *source, aml_jwt_identity_t *identity)
{
    json_t *v;
    aml_str_t iss;
    aml_issuer_t issuer;
    aml_reason_t rc;

    v = json_object_get(claims, "iss");
    if (!json_is_string(v) || json_string_length(v) == 0) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    iss = aml_json_string(v);

    rc = source->issuer(source->data, iss, &issuer);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    if (!(issuer.algs & (1u << header->alg))) {
        return AML_REASON_TOKEN_ALGORITHM;
    }

    rc = aml_jwt_signed(parts, header->alg, iss,
                        (aml_str_t){header->kid, header->kid_len}, source);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    if (!aml_jwt_fits(header, claims, use)) {
        return AML_REASON_TOKEN_TYPE;
    }

    return aml_jwt_claims(claims, iss, now, use, &issuer, identity);
}


aml_reason_t
aml_jwt_open(aml_str_t token, int64_t now, aml_jwt_use_t use,
             const aml_jwt_source_t *source, aml_jwt_identity_t *identity,
             json_t **opened)
{
    char room[aml_base64url_room(AML_JWT_MAX)], *free_room;
    json_t *claims;
    aml_reason_t rc;
    aml_jwt_parts_t parts;
    aml_jwt_header_t own, *header;

    free_room = room;

    if (token.n > AML_JWT_MAX ||
        aml_jwt_split(token, &free_room, &parts) != 0) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    header = source->header;

    if (header == NULL || header->text_len == 0 ||
        !aml_str_eq(parts.header,
                    (aml_str_t){header->text, header->text_len})) {
        header = &own;

        rc = aml_jwt_header(parts.header, use, &free_room, header);
        if (rc != AML_REASON_OK) {
            return rc;
        }
    }

    claims = aml_json_object(parts.payload);
    if (claims == NULL) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    rc = aml_jwt_judge(&parts, header, claims, now, use, source, identity);

    if (rc == AML_REASON_OK && header == &own && source->header != NULL) {
        *source->header = own;
    }

    if (rc == AML_REASON_OK && opened != NULL) {
        *opened = claims;
    } else {
        json_decref(claims);
    }

    return rc;
}


aml_reason_t
aml_jwt_verify(aml_str_t token, int64_t now, const aml_jwt_source_t *source,
               aml_jwt_identity_t *identity)
{
    return aml_jwt_open(token, now, AML_JWT_ACCESS, source, identity, NULL);
}
