/*
 * JSON Web Tokens: from bytes to who speaks.
 */

#include "auth/jwt.h"

#include "auth/base64url.h"
#include "auth/json.h"

/* The last second of the year 9999: later is a mistake, not a time. */
#define AML_JWT_TIME_MAX 253402300799

/* OpenID Connect Core section 2. */
#define AML_JWT_SUBJECT_MAX 255

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


/* RFC 7519 section 5.1, RFC 9068 section 2.1; media types are compared
 * without case and may leave out "application/". */
static int
aml_jwt_typ_known(aml_str_t typ)
{
    aml_str_t prefix;

    prefix = aml_str("application/");
    if (typ.n > prefix.n &&
        aml_str_caseeq((aml_str_t){typ.p, prefix.n}, prefix)) {
        typ.p += prefix.n;
        typ.n -= prefix.n;
    }

    return aml_str_caseeq(typ, aml_str("JWT")) ||
           aml_str_caseeq(typ, aml_str("at+jwt"));
}


/* Keys and addresses of keys in a header are for somebody else: `jwk`, `jku`,
 * `x5c`, `x5u` are never looked at. */
static aml_reason_t
aml_jwt_header_members(const json_t *header, aml_alg_t *alg, aml_str_t *kid)
{
    size_t i;
    json_t *v;

    v = json_object_get(header, "alg");
    if (!json_is_string(v)) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    *alg = aml_alg_find(aml_json_string(v));

    if (json_object_get(header, "crit") != NULL) {
        return AML_REASON_TOKEN_CRITICAL;
    }

    v = json_object_get(header, "typ");
    if (v != NULL &&
        (!json_is_string(v) || !aml_jwt_typ_known(aml_json_string(v)))) {
        return AML_REASON_TOKEN_MALFORMED;
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

    return *alg != AML_ALG_NONE ? AML_REASON_OK : AML_REASON_TOKEN_ALGORITHM;
}


/* Of the header as it stands in the token; `h` is filled whole. */
static aml_reason_t
aml_jwt_header(aml_str_t text, char **room, aml_jwt_header_t *h)
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

    rc = aml_jwt_header_members(json, &h->alg, &kid);
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
aml_jwt_times(const json_t *claims, int64_t now, const aml_issuer_t *issuer,
              aml_jwt_identity_t *identity)
{
    json_t *iat, *nbf, *exp;
    int64_t issued, from, ahead;

    exp = json_object_get(claims, "exp");
    nbf = json_object_get(claims, "nbf");
    iat = json_object_get(claims, "iat");

    issued = 0;
    from = 0;

    if (aml_jwt_time(exp, 1, &identity->expires) != 0 ||
        (nbf != NULL && aml_jwt_time(nbf, 1, &from) != 0) ||
        (iat != NULL && aml_jwt_time(iat, 0, &issued) != 0)) {
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
aml_jwt_name(const json_t *v, aml_jwt_identity_t *identity)
{
    int32_t c;
    size_t n, len;
    aml_str_t rest;
    const char *from;

    n = 0;
    rest = aml_json_string(v);

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


/* ---- identity ---- */

static int
aml_jwt_subject(const json_t *claims, const char *name, aml_str_t *value)
{
    json_t *v;

    v = json_object_get(claims, name);
    if (!json_is_string(v)) {
        return -1;
    }

    *value = aml_json_string(v);

    return value->n > 0 && value->n <= AML_JWT_SUBJECT_MAX ? 0 : -1;
}


static aml_reason_t
aml_jwt_identity(const json_t *claims, aml_str_t iss,
                 const aml_issuer_t *issuer, aml_jwt_identity_t *identity)
{
    json_t *name;
    aml_str_t space, subject;

    space = issuer->space.n > 0 ? issuer->space : iss;

    if (issuer->identity == AML_IDENTITY_ENTRA) {
        if (aml_jwt_subject(claims, "tid", &space) != 0 ||
            aml_jwt_subject(claims, "oid", &subject) != 0 ||
            (issuer->space.n > 0 && !aml_str_eq(space, issuer->space))) {
            return AML_REASON_TOKEN_CLAIMS;
        }

    } else if (aml_jwt_subject(claims, "sub", &subject) != 0) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    if (aml_principal_derive(space, subject, &identity->principal) != 0) {
        return AML_REASON_TOKEN_CLAIMS;
    }

    identity->name_len = 0;
    if (issuer->name_claim.n > 0) {
        name = json_object_getn(claims, issuer->name_claim.p,
                                issuer->name_claim.n);
        if (json_is_string(name)) {
            aml_jwt_name(name, identity);
        }
    }

    return AML_REASON_OK;
}


static aml_reason_t
aml_jwt_claims(const json_t *claims, aml_str_t iss, int64_t now,
               const aml_issuer_t *issuer, aml_jwt_identity_t *identity)
{
    aml_reason_t rc;

    rc = aml_jwt_times(claims, now, issuer, identity);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    rc = aml_jwt_audience(json_object_get(claims, "aud"), issuer);
    if (rc != AML_REASON_OK) {
        return rc;
    }

    return aml_jwt_identity(claims, iss, issuer, identity);
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
              const json_t *claims, int64_t now, const aml_jwt_source_t *source,
              aml_jwt_identity_t *identity)
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

    return aml_jwt_claims(claims, iss, now, &issuer, identity);
}


aml_reason_t
aml_jwt_verify(aml_str_t token, int64_t now, const aml_jwt_source_t *source,
               aml_jwt_identity_t *identity)
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

        rc = aml_jwt_header(parts.header, &free_room, header);
        if (rc != AML_REASON_OK) {
            return rc;
        }
    }

    claims = aml_json_object(parts.payload);
    if (claims == NULL) {
        return AML_REASON_TOKEN_MALFORMED;
    }

    rc = aml_jwt_judge(&parts, header, claims, now, source, identity);

    json_decref(claims);

    if (rc == AML_REASON_OK && header == &own && source->header != NULL) {
        *source->header = own;
    }

    return rc;
}
