/*
 * JWK Sets.
 */

#include "auth/jwks.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/json.h"
#include "auth/jwt.h"
#include "auth/key.h"

#define THUMBPRINT_SIZE 44

/* A key on its way; `verdict` may still change when others are known. */
typedef struct {
    aml_jwk_t jwk;
    aml_jwk_verdict_t verdict;
    int named; /* it has a kid that counts for AML_JWK_REPEATED */
    char thumbprint[THUMBPRINT_SIZE]; /* empty when there is none */
} jwks_entry_t;


const char *
aml_jwk_verdict_text(aml_jwk_verdict_t verdict)
{
    static const char *const texts[AML_JWK_VERDICTS] = {
        [AML_JWK_TAKEN] = "good",
        [AML_JWK_MALFORMED] = "malformed",
        [AML_JWK_TYPE] = "of an unknown type",
        [AML_JWK_CURVE] = "on an unknown curve",
        [AML_JWK_SYMMETRIC] = "symmetric",
        [AML_JWK_PRIVATE] = "published with the private half",
        [AML_JWK_USE] = "for another use",
        [AML_JWK_ALGORITHM] = "for another algorithm",
        [AML_JWK_INVALID] = "too weak or invalid",
        [AML_JWK_KID] = "with an unusable kid",
        [AML_JWK_REPEATED] = "with the kid of another",
    };

    return (unsigned) verdict < AML_JWK_VERDICTS ? texts[verdict] : "unknown";
}


const char *
aml_jwks_strerror(aml_jwks_rc_t rc)
{
    switch (rc) {
    case AML_JWKS_OK:
        return "no error";
    case AML_JWKS_LARGE:
        return "the key set is too large";
    case AML_JWKS_MALFORMED:
        return "what was read is no key set";
    case AML_JWKS_MANY:
        return "the key set has too many keys";
    case AML_JWKS_FILE:
        return "the file can't be read";
    default:
        return "no memory";
    }
}


/* ---- members ---- */

/* RFC 7517 sections 4.2 and 4.3; both may be there. */
static aml_jwk_verdict_t
jwks_use(const json_t *jwk)
{
    int verify = 0;
    size_t i, j, n;
    json_t *v, *op;

    v = json_object_get(jwk, "use");
    if (v != NULL) {
        if (!json_is_string(v)) {
            return AML_JWK_MALFORMED;
        }
        if (!aml_str_eq(aml_json_string(v), aml_str("sig"))) {
            return AML_JWK_USE;
        }
    }

    v = json_object_get(jwk, "key_ops");
    if (v == NULL) {
        return AML_JWK_TAKEN;
    }
    if (!json_is_array(v)) {
        return AML_JWK_MALFORMED;
    }

    n = json_array_size(v);

    for (i = 0; i < n; i++) {
        op = json_array_get(v, i);
        if (!json_is_string(op)) {
            return AML_JWK_MALFORMED;
        }

        /* none may be there twice; there are eight of them */
        for (j = 0; j < i; j++) {
            if (i >= 16 || json_equal(op, json_array_get(v, j))) {
                return AML_JWK_MALFORMED;
            }
        }

        verify |= aml_str_eq(aml_json_string(op), aml_str("verify"));
    }

    return verify ? AML_JWK_TAKEN : AML_JWK_USE;
}


static int
jwks_private(const json_t *jwk)
{
    static const char *const names[] = {"d",  "p",  "q",   "dp",
                                        "dq", "qi", "oth", "k"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (json_object_get(jwk, names[i]) != NULL) {
            return 1;
        }
    }

    return 0;
}


static aml_jwk_verdict_t
jwks_bytes(const json_t *jwk, const char *name, char **room, aml_str_t *bytes)
{
    size_t n;
    json_t *v;
    aml_str_t text;

    v = json_object_get(jwk, name);
    if (!json_is_string(v)) {
        return AML_JWK_MALFORMED;
    }

    text = aml_json_string(v);
    if (text.n == 0 || aml_base64url_decode(*room, &n, text.p, text.n) != 0) {
        return AML_JWK_MALFORMED;
    }

    *bytes = (aml_str_t){*room, n};
    *room += n;

    return AML_JWK_TAKEN;
}


static aml_jwk_verdict_t
jwks_curve(const json_t *jwk, aml_kty_t kty, aml_curve_t *curve)
{
    static const struct {
        aml_kty_t kty;
        aml_curve_t curve;
        const char *name;
    } curves[] = {
        {AML_KTY_EC, AML_CURVE_P256, "P-256"},
        {AML_KTY_EC, AML_CURVE_P384, "P-384"},
        {AML_KTY_EC, AML_CURVE_P521, "P-521"},
        {AML_KTY_OKP, AML_CURVE_ED25519, "Ed25519"},
        {AML_KTY_OKP, AML_CURVE_ED448, "Ed448"},
    };
    size_t i;
    json_t *v;

    v = json_object_get(jwk, "crv");
    if (!json_is_string(v)) {
        return AML_JWK_MALFORMED;
    }

    for (i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (curves[i].kty == kty &&
            aml_str_eq(aml_json_string(v), aml_str_of(curves[i].name))) {
            *curve = curves[i].curve;
            return AML_JWK_TAKEN;
        }
    }

    return AML_JWK_CURVE;
}


static aml_jwk_verdict_t
jwks_material(const json_t *jwk, aml_public_key_t *key, char **room)
{
    aml_jwk_verdict_t verdict;

    if (key->kty == AML_KTY_RSA) {
        verdict = jwks_bytes(jwk, "n", room, &key->a);
        return verdict != AML_JWK_TAKEN ? verdict
                                        : jwks_bytes(jwk, "e", room, &key->b);
    }

    verdict = jwks_curve(jwk, key->kty, &key->curve);
    if (verdict == AML_JWK_TAKEN) {
        verdict = jwks_bytes(jwk, "x", room, &key->a);
    }
    if (verdict == AML_JWK_TAKEN && key->kty == AML_KTY_EC) {
        verdict = jwks_bytes(jwk, "y", room, &key->b);
    }

    return verdict;
}


static aml_jwk_verdict_t
jwks_algorithm(const json_t *jwk, aml_public_key_t *key)
{
    json_t *v;
    aml_alg_t alg;

    v = json_object_get(jwk, "alg");
    if (v == NULL) {
        return AML_JWK_TAKEN;
    }
    if (!json_is_string(v)) {
        return AML_JWK_MALFORMED;
    }

    alg = aml_alg_find(aml_json_string(v));
    if (!aml_alg_fits(alg, key->kty, key->curve)) {
        return AML_JWK_ALGORITHM;
    }

    key->alg = (uint16_t) alg;

    return AML_JWK_TAKEN;
}


static aml_jwk_verdict_t
jwks_valid(const aml_public_key_t *key)
{
    aml_verifier_t *verifier;
    aml_key_rc_t rc;

    rc = aml_verifier_new(key, &verifier);
    aml_verifier_free(verifier);

    return rc == AML_KEY_OK ? AML_JWK_TAKEN : AML_JWK_INVALID;
}


static aml_jwk_verdict_t
jwks_kid(const json_t *jwk, aml_str_t *kid)
{
    size_t i;
    json_t *v;

    v = json_object_get(jwk, "kid");
    if (v == NULL) {
        return AML_JWK_TAKEN;
    }
    if (!json_is_string(v)) {
        return AML_JWK_MALFORMED;
    }

    *kid = aml_json_string(v);
    if (kid->n == 0 || kid->n > AML_JWT_KID_MAX) {
        return AML_JWK_KID;
    }

    for (i = 0; i < kid->n; i++) {
        if ((unsigned char) kid->p[i] < 0x20 || kid->p[i] == 0x7f) {
            return AML_JWK_KID;
        }
    }

    return AML_JWK_TAKEN;
}


static aml_jwk_verdict_t
jwks_type(const json_t *jwk, aml_kty_t *kty)
{
    aml_str_t name;

    name = aml_json_string(json_object_get(jwk, "kty"));

    if (aml_str_eq(name, aml_str("RSA"))) {
        *kty = AML_KTY_RSA;

    } else if (aml_str_eq(name, aml_str("EC"))) {
        *kty = AML_KTY_EC;

    } else if (aml_str_eq(name, aml_str("OKP"))) {
        *kty = AML_KTY_OKP;

    } else if (aml_str_eq(name, aml_str("oct"))) {
        return AML_JWK_SYMMETRIC;

    } else {
        return name.n != 0 ? AML_JWK_TYPE : AML_JWK_MALFORMED;
    }

    return AML_JWK_TAKEN;
}


/* ---- one key ---- */

/*
 * In an order that makes the most of a bad key: what it is for, then its kid,
 * so that a kid also counts as used by a key that is wrong otherwise; then
 * what it is made of, so that a key whose private half is known can be told
 * from its public half elsewhere in the set.
 */
static aml_jwk_verdict_t
jwks_judge(const json_t *jwk, jwks_entry_t *e, char **room)
{
    aml_public_key_t *key = &e->jwk.key;
    aml_jwk_verdict_t verdict;

    if (!json_is_object(jwk)) {
        return AML_JWK_MALFORMED;
    }

    verdict = jwks_type(jwk, &key->kty);
    if (verdict == AML_JWK_TAKEN) {
        verdict = jwks_use(jwk);
    }
    if (verdict == AML_JWK_TAKEN) {
        verdict = jwks_kid(jwk, &e->jwk.kid);
    }
    if (verdict != AML_JWK_TAKEN) {
        return verdict;
    }

    e->named = e->jwk.kid.n != 0;
    e->jwk.issuer = aml_json_string(json_object_get(jwk, "issuer"));

    verdict = jwks_material(jwk, key, room);
    if (verdict == AML_JWK_TAKEN &&
        aml_key_thumbprint(key, e->thumbprint) != 0) {
        e->thumbprint[0] = '\0';
        verdict = AML_JWK_INVALID;
    }

    if (jwks_private(jwk)) {
        return AML_JWK_PRIVATE;
    }

    if (verdict == AML_JWK_TAKEN) {
        verdict = jwks_algorithm(jwk, key);
    }

    return verdict == AML_JWK_TAKEN ? jwks_valid(key) : verdict;
}


/* ---- all keys ---- */

/* Where the set names no kid, tokens name the thumbprint or none. */
static void
jwks_name(jwks_entry_t *e, char **room)
{
    if (e->jwk.kid.n != 0 || e->thumbprint[0] == '\0') {
        return;
    }

    memcpy(*room, e->thumbprint, THUMBPRINT_SIZE - 1);
    e->jwk.kid = (aml_str_t){*room, THUMBPRINT_SIZE - 1};
    e->named = 1;
    *room += THUMBPRINT_SIZE - 1;
}


static void
jwks_compare(jwks_entry_t *a, jwks_entry_t *b)
{
    int private;

    private = a->verdict == AML_JWK_PRIVATE || b->verdict == AML_JWK_PRIVATE;

    if (private && a->thumbprint[0] != '\0' &&
        strcmp(a->thumbprint, b->thumbprint) == 0) {
        a->verdict = AML_JWK_PRIVATE;
        b->verdict = AML_JWK_PRIVATE;
    }

    if (a->named && b->named && aml_str_eq(a->jwk.kid, b->jwk.kid)) {
        if (a->verdict == AML_JWK_TAKEN) {
            a->verdict = AML_JWK_REPEATED;
        }
        if (b->verdict == AML_JWK_TAKEN) {
            b->verdict = AML_JWK_REPEATED;
        }
    }
}


static void
jwks_all(const json_t *keys, jwks_entry_t *entries, aml_jwks_t *set)
{
    char *room = set->room;
    size_t i, j, n;

    n = json_array_size(keys);

    for (i = 0; i < n; i++) {
        entries[i].verdict =
            jwks_judge(json_array_get(keys, i), &entries[i], &room);
        jwks_name(&entries[i], &room);
    }

    for (i = 0; i < n; i++) {
        for (j = 0; j < i; j++) {
            jwks_compare(&entries[i], &entries[j]);
        }
    }

    for (i = 0; i < n; i++) {
        set->verdicts[entries[i].verdict]++;
        if (entries[i].verdict == AML_JWK_TAKEN) {
            set->keys[set->key_count++] = entries[i].jwk;
        }
    }
}


aml_jwks_rc_t
aml_jwks_parse(aml_str_t text, aml_jwks_t *set)
{
    json_t *keys;
    jwks_entry_t *entries;

    memset(set, 0, sizeof(*set));

    if (text.n > AML_JWKS_SIZE_MAX) {
        return AML_JWKS_LARGE;
    }

    set->json = aml_json_object(text);
    keys = json_object_get(set->json, "keys");
    if (!json_is_array(keys)) {
        return AML_JWKS_MALFORMED;
    }
    if (json_array_size(keys) > AML_JWKS_KEYS_MAX) {
        return AML_JWKS_MANY;
    }

    /* decoded is shorter than text; and a thumbprint a key */
    set->room = malloc(text.n + AML_JWKS_KEYS_MAX * THUMBPRINT_SIZE);
    entries = calloc(AML_JWKS_KEYS_MAX, sizeof(*entries));
    if (set->room == NULL || entries == NULL) {
        free(entries);
        return AML_JWKS_FAILED;
    }

    jwks_all(keys, entries, set);
    free(entries);

    return AML_JWKS_OK;
}


aml_jwks_rc_t
aml_jwks_read(const char *file, aml_jwks_t *set)
{
    aml_jwks_rc_t rc = AML_JWKS_FILE;
    char *text;
    size_t n;
    FILE *f;

    memset(set, 0, sizeof(*set));

    f = fopen(file, "re");
    if (f == NULL) {
        return AML_JWKS_FILE;
    }

    text = malloc(AML_JWKS_SIZE_MAX + 1);
    if (text == NULL) {
        rc = AML_JWKS_FAILED;

    } else {
        n = fread(text, 1, AML_JWKS_SIZE_MAX + 1, f);
        if (!ferror(f)) {
            rc = aml_jwks_parse((aml_str_t){text, n}, set);
        }
    }

    free(text);
    (void) fclose(f);

    return rc;
}


void
aml_jwks_clear(aml_jwks_t *set)
{
    json_decref(set->json);
    free(set->room);
    memset(set, 0, sizeof(*set));
}
