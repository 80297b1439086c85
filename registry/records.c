/*
 * Encoders and decoders of the flat records, and the keys they lie under.
 */

#include "registry/records.h"
#include "auth/hex.h"
#include "auth/key.h"
#include "registry/codec.h"
#include "registry/registry.h"

#define SESSION_VERSION 1
#define PRINCIPAL_VERSION 1
#define ROUTE_VERSION 1
#define PUBLIC_KEY_VERSION 1
#define ISSUER_VERSION 2


/* ---- keys ---- */

typedef struct {
    char *key;
    size_t n;
    int full;
} key_out_t;


static void
key_add(key_out_t *k, const char *p, size_t n)
{
    if (k->full || n > AML_REGISTRY_KEY_MAX - k->n) {
        k->full = 1;
        return;
    }

    memcpy(k->key + k->n, p, n);
    k->n += n;
}


/*
 * A part that others choose, such as a key ID out of a token: with '/' in it,
 * the keys of one issuer could be asked for as if they were another's.
 */
static void
key_add_part(key_out_t *k, aml_str_t part)
{
    static const char digits[] = "0123456789ABCDEF";
    char c, escape[3];
    size_t i, from;

    for (i = 0, from = 0; i < part.n; i++) {
        c = part.p[i];

        if (c <= ' ' || c >= 0x7f || c == '/' || c == '%') {
            key_add(k, part.p + from, i - from);
            escape[0] = '%';
            escape[1] = digits[(uint8_t) c >> 4];
            escape[2] = digits[(uint8_t) c & 0x0f];
            key_add(k, escape, sizeof(escape));
            from = i + 1;
        }
    }

    if (part.n != from) {
        key_add(k, part.p + from, part.n - from);
    }
}


static void
key_add_uuid(key_out_t *k, const aml_principal_id_t *id)
{
    char text[AML_UUID_TEXT + 1];

    aml_uuid_format(id, text);
    key_add(k, text, AML_UUID_TEXT);
}


static size_t
key_end(key_out_t *k)
{
    if (k->full) {
        k->key[0] = '\0';
        return 0;
    }

    k->key[k->n] = '\0';
    return k->n;
}


size_t
aml_key_route(char *key, aml_str_t lowercase_name, unsigned port)
{
    char c, digits[5];
    size_t i;
    key_out_t k = {key, 0, 0};

    if (lowercase_name.n == 0 || port > 65535) {
        k.full = 1;
    }

    for (i = 0; i < lowercase_name.n; i++) {
        c = lowercase_name.p[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-') {
            k.full = 1;
        }
    }

    key_add(&k, "route/", 6);
    key_add(&k, lowercase_name.p, lowercase_name.n);
    key_add(&k, "/", 1);

    i = sizeof(digits);
    do {
        digits[--i] = (char) ('0' + port % 10);
        port /= 10;
    } while (port != 0 && i != 0);

    key_add(&k, digits + i, sizeof(digits) - i);

    return key_end(&k);
}


size_t
aml_key_key(char *key, aml_str_t issuer, aml_str_t kid)
{
    key_out_t k = {key, 0, 0};

    key_add(&k, "key/", 4);
    key_add_part(&k, issuer);
    key_add(&k, "/", 1);
    key_add_part(&k, kid);

    return key_end(&k);
}


size_t
aml_key_issuer(char *key, aml_str_t issuer)
{
    key_out_t k = {key, 0, 0};

    key_add(&k, "issuer/", 7);
    key_add_part(&k, issuer);

    return key_end(&k);
}


static size_t
key_of_hash(char *key, aml_str_t family, const uint8_t hash[32])
{
    char hex[64];
    key_out_t k = {key, 0, 0};

    aml_hex_encode(hex, hash, 32);

    key_add(&k, family.p, family.n);
    key_add(&k, hex, sizeof(hex));

    return key_end(&k);
}


size_t
aml_key_session(char *key, const uint8_t hash[32])
{
    return key_of_hash(key, aml_str("session/"), hash);
}


size_t
aml_key_token(char *key, const uint8_t hash[32])
{
    return key_of_hash(key, aml_str("token/"), hash);
}


static size_t
key_of_uuid(char *key, aml_str_t family, const aml_principal_id_t *id)
{
    key_out_t k = {key, 0, 0};

    key_add(&k, family.p, family.n);
    key_add_uuid(&k, id);

    return key_end(&k);
}


size_t
aml_key_principal(char *key, const aml_principal_id_t *id)
{
    return key_of_uuid(key, aml_str("principal/"), id);
}


size_t
aml_key_grant(char *key, const aml_principal_id_t *id)
{
    return key_of_uuid(key, aml_str("grant/"), id);
}


size_t
aml_key_role(char *key, const aml_principal_id_t *role)
{
    return key_of_uuid(key, aml_str("role/"), role);
}


/* ---- session ---- */

static int
session_valid(const aml_session_t *s)
{
    return s->host.n != 0;
}


size_t
aml_session_encode(const aml_session_t *s, void *buf, size_t size)
{
    out_t o = out(buf, size);

    if (!session_valid(s)) {
        return 0;
    }

    put_16(&o, SESSION_VERSION);
    put_64(&o, (uint64_t) s->created);
    put_64(&o, (uint64_t) s->expires);
    put(&o, s->principal.b, sizeof(s->principal.b));
    put(&o, s->sign_in.b, sizeof(s->sign_in.b));
    put_str(&o, s->host);

    return end(&o);
}


aml_record_rc_t
aml_session_decode(aml_str_t value, aml_session_t *s)
{
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = get_version(&in, SESSION_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    s->created = (int64_t) get_64(&in);
    s->expires = (int64_t) get_64(&in);
    get(&in, s->principal.b, sizeof(s->principal.b));
    get(&in, s->sign_in.b, sizeof(s->sign_in.b));
    s->host = get_str(&in);

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return session_valid(s) ? AML_RECORD_OK : AML_RECORD_INVALID;
}


/* ---- principal ---- */

static int
assignment_valid(const aml_assignment_t *a)
{
    return a->scope.n != 0 && a->scope.p[0] == '/' &&
           (a->scope.n == 1 || a->scope.p[a->scope.n - 1] != '/');
}


static int
principal_valid(const aml_principal_t *p)
{
    return (p->flags & ~(AML_PRINCIPAL_DISABLED | AML_PRINCIPAL_GROUP)) == 0;
}


size_t
aml_principal_encode(const aml_principal_t *p, const aml_assignment_t *list,
                     void *buf, size_t size)
{
    unsigned i;
    out_t o = out(buf, size);

    if (!principal_valid(p)) {
        return 0;
    }

    put_16(&o, PRINCIPAL_VERSION);
    put_64(&o, (uint64_t) p->not_before);
    put_32(&o, p->flags);
    put_16(&o, p->assignment_count);
    put_str(&o, p->name);
    put_str(&o, p->issuer);

    for (i = 0; i < p->assignment_count; i++) {
        if (!assignment_valid(&list[i])) {
            return 0;
        }
        put(&o, list[i].role.b, sizeof(list[i].role.b));
        put_str(&o, list[i].scope);
    }

    return end(&o);
}


static int
assignment_take(in_t *in, aml_assignment_t *a)
{
    get(in, a->role.b, sizeof(a->role.b));
    a->scope = get_str(in);

    return !in->cut;
}


static aml_record_rc_t
principal_head(in_t *in, aml_principal_t *p)
{
    aml_record_rc_t rc;

    rc = get_version(in, PRINCIPAL_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    p->not_before = (int64_t) get_64(in);
    p->flags = get_32(in);
    p->assignment_count = get_16(in);
    p->name = get_str(in);

    return in->cut ? AML_RECORD_TRUNCATED : AML_RECORD_OK;
}


aml_record_rc_t
aml_principal_decode_head(aml_str_t value, aml_principal_t *p)
{
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = principal_head(&in, p);
    p->assignment_count = 0;
    p->issuer = p->assignments = aml_str("");

    return rc != AML_RECORD_OK  ? rc
           : principal_valid(p) ? AML_RECORD_OK
                                : AML_RECORD_INVALID;
}


aml_record_rc_t
aml_principal_decode(aml_str_t value, aml_principal_t *p)
{
    unsigned i;
    int valid;
    in_t in = in_of(value);
    aml_assignment_t a = {0};
    aml_record_rc_t rc;

    rc = principal_head(&in, p);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    p->issuer = get_str(&in);
    p->assignments = (aml_str_t){(const char *) in.p, in.n};

    valid = principal_valid(p);

    for (i = 0; i < p->assignment_count && assignment_take(&in, &a); i++) {
        valid &= assignment_valid(&a);
    }

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return valid ? AML_RECORD_OK : AML_RECORD_INVALID;
}


int
aml_assignment_next(aml_str_t *rest, aml_assignment_t *a)
{
    in_t in = in_of(*rest);

    if (rest->n == 0 || !assignment_take(&in, a)) {
        return 0;
    }

    *rest = (aml_str_t){(const char *) in.p, in.n};

    return 1;
}


/* ---- route ---- */

static int
route_valid(const aml_route_t *r)
{
    return (unsigned) r->state < AML_INSTANCE_STATES && r->name.n != 0 &&
           (r->port == 0 || r->compute.n == 0);
}


size_t
aml_route_encode(const aml_route_t *route, void *buf, size_t size)
{
    out_t o = out(buf, size);

    if (!route_valid(route)) {
        return 0;
    }

    put_16(&o, ROUTE_VERSION);
    put_16(&o, route->state);
    put_16(&o, route->port);
    put_64(&o, route->generation);
    put(&o, route->creator.b, sizeof(route->creator.b));
    put_str(&o, route->name);
    put_str(&o, route->address);
    put_str(&o, route->compute);

    return end(&o);
}


aml_record_rc_t
aml_route_decode(aml_str_t value, aml_route_t *route)
{
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = get_version(&in, ROUTE_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    route->state = (aml_instance_state_t) get_16(&in);
    route->port = get_16(&in);
    route->generation = get_64(&in);
    get(&in, route->creator.b, sizeof(route->creator.b));
    route->name = get_str(&in);
    route->address = get_str(&in);
    route->compute = get_str(&in);

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return route_valid(route) ? AML_RECORD_OK : AML_RECORD_INVALID;
}


/* ---- key ---- */

static int
public_key_valid(const aml_public_key_t *k)
{
    if (k->a.n == 0 || k->alg >= AML_ALG_COUNT) {
        return 0;
    }

    switch (k->kty) {
    case AML_KTY_RSA:
        return k->curve == AML_CURVE_NONE && k->b.n != 0;
    case AML_KTY_EC:
        return k->b.n != 0 &&
               (k->curve == AML_CURVE_P256 || k->curve == AML_CURVE_P384 ||
                k->curve == AML_CURVE_P521);
    case AML_KTY_OKP:
        return k->b.n == 0 &&
               (k->curve == AML_CURVE_ED25519 || k->curve == AML_CURVE_ED448);
    }

    return 0;
}


size_t
aml_public_key_encode(const aml_public_key_t *k, void *buf, size_t size)
{
    out_t o = out(buf, size);

    if (!public_key_valid(k)) {
        return 0;
    }

    put_16(&o, PUBLIC_KEY_VERSION);
    put_16(&o, k->kty);
    put_16(&o, k->curve);
    put_16(&o, k->alg);
    put_64(&o, (uint64_t) k->expires);
    put_str(&o, k->a);
    put_str(&o, k->b);

    return end(&o);
}


aml_record_rc_t
aml_public_key_decode(aml_str_t value, aml_public_key_t *k)
{
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = get_version(&in, PUBLIC_KEY_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    k->kty = (aml_kty_t) get_16(&in);
    k->curve = (aml_curve_t) get_16(&in);
    k->alg = get_16(&in);
    k->expires = (int64_t) get_64(&in);
    k->a = get_str(&in);
    k->b = get_str(&in);

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return public_key_valid(k) ? AML_RECORD_OK : AML_RECORD_INVALID;
}


/* ---- issuer ---- */

/* Bits of algorithms that there are: AML_ALG_NONE can never be allowed. */
#define ISSUER_ALGS (((UINT32_C(1) << AML_ALG_COUNT) - 1) & ~UINT32_C(1))


static int
issuer_valid(const aml_issuer_t *i)
{
    unsigned n;

    if ((i->algs & ~ISSUER_ALGS) != 0 ||
        (unsigned) i->identity > AML_IDENTITY_PRINCIPAL ||
        (i->flags & ~AML_ISSUER_REQUIRE_SCOPE) != 0 ||
        (i->identity == AML_IDENTITY_ENTRA && i->space.n == 0) ||
        i->audience_count > AML_ISSUER_AUDIENCES) {
        return 0;
    }

    for (n = 0; n < i->audience_count; n++) {
        if (i->audiences[n].n == 0) {
            return 0;
        }
    }

    return 1;
}


size_t
aml_issuer_encode(const aml_issuer_t *i, void *buf, size_t size)
{
    unsigned n;
    out_t o = out(buf, size);

    if (!issuer_valid(i)) {
        return 0;
    }

    put_16(&o, ISSUER_VERSION);
    put_32(&o, i->algs);
    put_32(&o, i->leeway);
    put_32(&o, i->lifetime);
    put_16(&o, i->identity);
    put_16(&o, i->audience_count);
    put_str(&o, i->space);
    put_str(&o, i->name_claim);

    for (n = 0; n < i->audience_count; n++) {
        put_str(&o, i->audiences[n]);
    }

    put_32(&o, i->flags);
    put_str(&o, i->identity_claim);
    put_str(&o, i->groups_claim);
    put_str(&o, i->roles_claim);

    return end(&o);
}


aml_record_rc_t
aml_issuer_decode(aml_str_t value, aml_issuer_t *i)
{
    unsigned n, version;
    in_t in = in_of(value);
    aml_record_rc_t rc;

    version = get_16(&in);
    if (in.cut) {
        return AML_RECORD_TRUNCATED;
    }

    if (version == 0 || version > ISSUER_VERSION) {
        return AML_RECORD_VERSION;
    }

    i->algs = get_32(&in);
    i->leeway = get_32(&in);
    i->lifetime = get_32(&in);
    i->identity = (aml_identity_kind_t) get_16(&in);
    i->audience_count = get_16(&in);
    i->space = get_str(&in);
    i->name_claim = get_str(&in);

    if (i->audience_count > AML_ISSUER_AUDIENCES) {
        return in.cut ? AML_RECORD_TRUNCATED : AML_RECORD_INVALID;
    }

    for (n = 0; n < i->audience_count; n++) {
        i->audiences[n] = get_str(&in);
    }

    i->flags = 0;
    i->identity_claim = i->groups_claim = i->roles_claim = aml_str("");

    if (version > 1) {
        i->flags = get_32(&in);
        i->identity_claim = get_str(&in);
        i->groups_claim = get_str(&in);
        i->roles_claim = get_str(&in);
    }

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return issuer_valid(i) ? AML_RECORD_OK : AML_RECORD_INVALID;
}
