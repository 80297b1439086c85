/*
 * Public keys and signatures, by OpenSSL 3's provider interface.
 *
 * All that can be done once for a key is done once: the EVP_PKEY, and for
 * each algorithm that it is used with a digest and an initialised context.  A
 * check is then one digest and one public-key operation.
 */

#include "auth/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/edwards.h"

#define AML_RSA_BYTES_MAX (AML_RSA_BITS_MAX / 8)
#define AML_RSA_E_BITS_MIN 17 /* FIPS 186-5 section 5.4: above 2^16 */
#define AML_RSA_E_BITS_MAX 64 /* OpenSSL's limit for large moduli */
#define AML_COORD_MAX 66      /* bytes of a coordinate of P-521 */

typedef struct {
    const char *name;
    aml_kty_t kty;
    aml_curve_t curve; /* AML_CURVE_NONE: any of the type */
    const char *digest;
    int pss;
} aml_alg_info_t;

typedef struct {
    const char *name;  /* RFC 7518 section 6.2.1.1, RFC 8037 section 2 */
    const char *group; /* OpenSSL's name */
    aml_kty_t kty;
    size_t coord; /* bytes of a coordinate, or of the whole key */
    size_t sig;   /* bytes of a signature */
} aml_curve_info_t;

typedef struct {
    EVP_MD *md;
    EVP_MD_CTX *digest;
    EVP_PKEY_CTX *ctx;
} aml_verifier_slot_t;

struct aml_verifier {
    aml_kty_t kty;
    aml_curve_t curve;
    aml_alg_t only; /* AML_ALG_NONE: any that fits */
    size_t sig;
    EVP_PKEY *pkey;
    aml_verifier_slot_t slots[AML_ALG_COUNT];
};


static const aml_alg_info_t aml_algs[AML_ALG_COUNT] = {
    [AML_ALG_RS256] = {"RS256", AML_KTY_RSA, AML_CURVE_NONE, "SHA256", 0},
    [AML_ALG_RS384] = {"RS384", AML_KTY_RSA, AML_CURVE_NONE, "SHA384", 0},
    [AML_ALG_RS512] = {"RS512", AML_KTY_RSA, AML_CURVE_NONE, "SHA512", 0},
    [AML_ALG_PS256] = {"PS256", AML_KTY_RSA, AML_CURVE_NONE, "SHA256", 1},
    [AML_ALG_PS384] = {"PS384", AML_KTY_RSA, AML_CURVE_NONE, "SHA384", 1},
    [AML_ALG_PS512] = {"PS512", AML_KTY_RSA, AML_CURVE_NONE, "SHA512", 1},
    [AML_ALG_ES256] = {"ES256", AML_KTY_EC, AML_CURVE_P256, "SHA256", 0},
    [AML_ALG_ES384] = {"ES384", AML_KTY_EC, AML_CURVE_P384, "SHA384", 0},
    [AML_ALG_ES512] = {"ES512", AML_KTY_EC, AML_CURVE_P521, "SHA512", 0},
    [AML_ALG_EDDSA] = {"EdDSA", AML_KTY_OKP, AML_CURVE_NONE, NULL, 0},
};

static const aml_curve_info_t aml_curves[] = {
    [AML_CURVE_NONE] = {NULL, NULL, 0, 0, 0},
    [AML_CURVE_P256] = {"P-256", "P-256", AML_KTY_EC, 32, 64},
    [AML_CURVE_P384] = {"P-384", "P-384", AML_KTY_EC, 48, 96},
    [AML_CURVE_P521] = {"P-521", "P-521", AML_KTY_EC, 66, 132},
    [AML_CURVE_ED25519] = {"Ed25519", "ED25519", AML_KTY_OKP, 32, 64},
    [AML_CURVE_ED448] = {"Ed448", "ED448", AML_KTY_OKP, 57, 114},
};

#define AML_CURVES (sizeof(aml_curves) / sizeof(aml_curves[0]))


aml_alg_t
aml_alg_find(aml_str_t name)
{
    int i;

    for (i = AML_ALG_NONE + 1; i < AML_ALG_COUNT; i++) {
        if (aml_str_eq(name, aml_str_of(aml_algs[i].name))) {
            return (aml_alg_t) i;
        }
    }

    return AML_ALG_NONE;
}


aml_str_t
aml_alg_name(aml_alg_t alg)
{
    if ((int) alg <= AML_ALG_NONE || alg >= AML_ALG_COUNT) {
        return aml_str_of(NULL);
    }

    return aml_str_of(aml_algs[alg].name);
}


/* The entry for a curve that keys of this type can have, or NULL. */
static const aml_curve_info_t *
aml_curve_info(aml_kty_t kty, aml_curve_t curve)
{
    if ((int) curve <= AML_CURVE_NONE || (size_t) curve >= AML_CURVES ||
        aml_curves[curve].kty != kty) {
        return NULL;
    }

    return &aml_curves[curve];
}


int
aml_alg_fits(aml_alg_t alg, aml_kty_t kty, aml_curve_t curve)
{
    if ((int) alg <= AML_ALG_NONE || alg >= AML_ALG_COUNT ||
        aml_algs[alg].kty != kty) {
        return 0;
    }

    if (kty == AML_KTY_RSA) {
        return curve == AML_CURVE_NONE;
    }

    return aml_curve_info(kty, curve) != NULL &&
           (aml_algs[alg].curve == AML_CURVE_NONE ||
            aml_algs[alg].curve == curve);
}


/* ---- numbers and points ---- */

/* JWKs of some libraries have a zero byte before the modulus, which RFC 7518
 * section 6.3.1.1 forbids but speaks of. */
static aml_str_t
aml_key_number(aml_str_t s)
{
    while (s.n > 0 && s.p[0] == 0) {
        s.p++;
        s.n--;
    }

    return s;
}


static size_t
aml_key_bits(aml_str_t number)
{
    size_t bits;
    unsigned char top;

    if (number.n == 0) {
        return 0;
    }

    bits = (number.n - 1) * 8;
    for (top = (unsigned char) number.p[0]; top != 0; top >>= 1) {
        bits++;
    }

    return bits;
}


static int
aml_key_odd(aml_str_t number)
{
    return number.n > 0 && (number.p[number.n - 1] & 1);
}


static int
aml_key_rsa_sane(aml_str_t n, aml_str_t e)
{
    size_t nbits, ebits;

    nbits = aml_key_bits(n);
    ebits = aml_key_bits(e);

    return nbits >= AML_RSA_BITS_MIN && nbits <= AML_RSA_BITS_MAX &&
           aml_key_odd(n) && ebits >= AML_RSA_E_BITS_MIN &&
           ebits <= AML_RSA_E_BITS_MAX && aml_key_odd(e);
}


/* ---- from a record ---- */

static EVP_PKEY *
aml_key_from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *ctx;

    pkey = NULL;

    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (ctx == NULL) {
        return NULL;
    }

    if (EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }

    EVP_PKEY_CTX_free(ctx);

    return pkey;
}


static aml_key_rc_t
aml_key_rsa(const aml_public_key_t *key, EVP_PKEY **pkey)
{
    BIGNUM *n, *e;
    aml_str_t ns, es;
    OSSL_PARAM *params;
    OSSL_PARAM_BLD *bld;

    ns = aml_key_number(key->a);
    es = aml_key_number(key->b);

    if (key->curve != AML_CURVE_NONE || !aml_key_rsa_sane(ns, es)) {
        return AML_KEY_INVALID;
    }

    params = NULL;

    n = BN_bin2bn((const unsigned char *) ns.p, (int) ns.n, NULL);
    e = BN_bin2bn((const unsigned char *) es.p, (int) es.n, NULL);
    bld = OSSL_PARAM_BLD_new();

    if (n != NULL && e != NULL && bld != NULL &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e)) {
        params = OSSL_PARAM_BLD_to_param(bld);
    }

    if (params != NULL) {
        *pkey = aml_key_from_params("RSA", params);
    }

    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(e);
    BN_free(n);

    return *pkey != NULL ? AML_KEY_OK : AML_KEY_FAILED;
}


static aml_key_rc_t
aml_key_ec(const aml_public_key_t *key, EVP_PKEY **pkey)
{
    OSSL_PARAM params[3];
    unsigned char point[1 + 2 * AML_COORD_MAX];
    const aml_curve_info_t *curve;

    curve = aml_curve_info(AML_KTY_EC, key->curve);
    if (curve == NULL) {
        return AML_KEY_UNSUPPORTED;
    }

    if (key->a.n != curve->coord || key->b.n != curve->coord) {
        return AML_KEY_INVALID;
    }

    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(point + 1, key->a.p, curve->coord);
    memcpy(point + 1 + curve->coord, key->b.p, curve->coord);

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 (char *) curve->group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  point, 1 + 2 * curve->coord);
    params[2] = OSSL_PARAM_construct_end();

    /* Fails for a point that is not on the curve; on these curves, whose
     * cofactor is 1, every other point is good. */
    *pkey = aml_key_from_params("EC", params);

    return *pkey != NULL ? AML_KEY_OK : AML_KEY_INVALID;
}


static aml_key_rc_t
aml_key_okp(const aml_public_key_t *key, EVP_PKEY **pkey)
{
    int rc;
    OSSL_PARAM params[2];
    const aml_curve_info_t *curve;

    curve = aml_curve_info(AML_KTY_OKP, key->curve);
    if (curve == NULL) {
        return AML_KEY_UNSUPPORTED;
    }

    if (key->a.n != curve->coord || key->b.n != 0) {
        return AML_KEY_INVALID;
    }

    rc = aml_edwards_check(key->curve, key->a);
    if (rc != 1) {
        return rc == 0 ? AML_KEY_INVALID : AML_KEY_FAILED;
    }

    params[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  (char *) key->a.p, key->a.n);
    params[1] = OSSL_PARAM_construct_end();

    *pkey = aml_key_from_params(curve->group, params);

    return *pkey != NULL ? AML_KEY_OK : AML_KEY_FAILED;
}


aml_key_rc_t
aml_verifier_new(const aml_public_key_t *key, aml_verifier_t **out)
{
    aml_key_rc_t rc;
    aml_verifier_t *v;

    *out = NULL;

    if (key->alg >= AML_ALG_COUNT ||
        (key->alg != AML_ALG_NONE &&
         !aml_alg_fits((aml_alg_t) key->alg, key->kty, key->curve))) {
        return AML_KEY_INVALID;
    }

    v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return AML_KEY_FAILED;
    }

    v->kty = key->kty;
    v->curve = key->curve;
    v->only = (aml_alg_t) key->alg;

    /* nginx logs what is left in OpenSSL's error queue. */
    ERR_set_mark();

    switch (key->kty) {
    case AML_KTY_RSA:
        rc = aml_key_rsa(key, &v->pkey);
        break;
    case AML_KTY_EC:
        rc = aml_key_ec(key, &v->pkey);
        break;
    case AML_KTY_OKP:
        rc = aml_key_okp(key, &v->pkey);
        break;
    default:
        rc = AML_KEY_UNSUPPORTED;
    }

    ERR_pop_to_mark();

    if (rc != AML_KEY_OK) {
        aml_verifier_free(v);
        return rc;
    }

    v->sig = key->kty == AML_KTY_RSA ? (size_t) EVP_PKEY_get_size(v->pkey)
                                     : aml_curves[key->curve].sig;
    *out = v;

    return AML_KEY_OK;
}


void
aml_verifier_free(aml_verifier_t *v)
{
    int i;

    if (v == NULL) {
        return;
    }

    for (i = 0; i < AML_ALG_COUNT; i++) {
        EVP_PKEY_CTX_free(v->slots[i].ctx);
        EVP_MD_CTX_free(v->slots[i].digest);
        EVP_MD_free(v->slots[i].md);
    }

    EVP_PKEY_free(v->pkey);
    free(v);
}


int
aml_verifier_fits(const aml_verifier_t *v, aml_alg_t alg)
{
    return aml_alg_fits(alg, v->kty, v->curve) &&
           (v->only == AML_ALG_NONE || v->only == alg);
}


/* ---- signatures ---- */

/* What an algorithm needs is made when a token first uses it: most keys sign
 * with one. */
static aml_verifier_slot_t *
aml_verifier_slot(aml_verifier_t *v, aml_alg_t alg)
{
    EVP_MD *md;
    EVP_MD_CTX *digest;
    EVP_PKEY_CTX *ctx;
    aml_verifier_slot_t *slot;
    const aml_alg_info_t *info;

    slot = &v->slots[alg];
    if (slot->digest != NULL) {
        return slot;
    }

    info = &aml_algs[alg];
    md = NULL;
    ctx = NULL;

    digest = EVP_MD_CTX_new();
    if (digest == NULL) {
        return NULL;
    }

    if (info->digest != NULL) {
        md = EVP_MD_fetch(NULL, info->digest, NULL);
        ctx = EVP_PKEY_CTX_new_from_pkey(NULL, v->pkey, NULL);

        if (md == NULL || ctx == NULL ||
            EVP_DigestInit_ex(digest, md, NULL) != 1 ||
            EVP_PKEY_verify_init(ctx) != 1) {
            goto failed;
        }

        if (v->kty == AML_KTY_RSA &&
            EVP_PKEY_CTX_set_rsa_padding(ctx, info->pss
                                                  ? RSA_PKCS1_PSS_PADDING
                                                  : RSA_PKCS1_PADDING) != 1) {
            goto failed;
        }

        /* RFC 7518 section 3.5: salt as long as the digest, MGF1 with it,
         * which is what OpenSSL takes where nothing else is said. */
        if (EVP_PKEY_CTX_set_signature_md(ctx, md) != 1 ||
            (info->pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(
                              ctx, RSA_PSS_SALTLEN_DIGEST) != 1)) {
            goto failed;
        }
    }

    slot->md = md;
    slot->digest = digest;
    slot->ctx = ctx;

    return slot;

failed:
    EVP_PKEY_CTX_free(ctx);
    EVP_MD_CTX_free(digest);
    EVP_MD_free(md);

    return NULL;
}


/* One DER INTEGER from `n` big-endian bytes; returns the bytes written. */
static size_t
aml_der_integer(unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t pad;

    while (n > 1 && src[0] == 0) {
        src++;
        n--;
    }

    pad = (src[0] & 0x80) ? 1 : 0;

    dst[0] = 0x02;
    dst[1] = (unsigned char) (n + pad);
    dst[2] = 0;
    memcpy(dst + 2 + pad, src, n);

    return 2 + pad + n;
}


/* r and s, `half` bytes each, as the ECDSA-Sig-Value of RFC 3279. */
static size_t
aml_der_signature(unsigned char *dst, const unsigned char *sig, size_t half)
{
    size_t n, head;
    unsigned char body[2 * (3 + AML_COORD_MAX)];

    n = aml_der_integer(body, sig, half);
    n += aml_der_integer(body + n, sig + half, half);

    head = 0;
    dst[head++] = 0x30;
    if (n > 0x7f) {
        dst[head++] = 0x81;
    }
    dst[head++] = (unsigned char) n;
    memcpy(dst + head, body, n);

    return head + n;
}


static int
aml_verifier_hashed(aml_verifier_t *v, aml_verifier_slot_t *slot,
                    const void *data, size_t n, const unsigned char *sig)
{
    size_t siglen;
    unsigned mdlen;
    unsigned char md[EVP_MAX_MD_SIZE], der[3 + 2 * (3 + AML_COORD_MAX)];

    if (EVP_DigestInit_ex(slot->digest, NULL, NULL) != 1 ||
        EVP_DigestUpdate(slot->digest, data, n) != 1 ||
        EVP_DigestFinal_ex(slot->digest, md, &mdlen) != 1) {
        return -1;
    }

    siglen = v->sig;
    if (v->kty == AML_KTY_EC) {
        siglen = aml_der_signature(der, sig, siglen / 2);
        sig = der;
    }

    /* What OpenSSL can't read is no signature either: only 1 counts. */
    return EVP_PKEY_verify(slot->ctx, sig, siglen, md, mdlen) == 1;
}


static int
aml_verifier_pure(aml_verifier_t *v, aml_verifier_slot_t *slot,
                  const void *data, size_t n, const unsigned char *sig)
{
    if (EVP_DigestVerifyInit_ex(slot->digest, NULL, NULL, NULL, NULL, v->pkey,
                                NULL) != 1) {
        return -1;
    }

    return EVP_DigestVerify(slot->digest, sig, v->sig, data, n) == 1;
}


int
aml_verifier_check(aml_verifier_t *v, aml_alg_t alg, const void *data, size_t n,
                   const void *sig, size_t siglen)
{
    int rc;
    aml_verifier_slot_t *slot;

    /* OpenSSL takes RSA-PSS signatures that lack leading zeros; here the
     * length is exact for every type. */
    if (!aml_verifier_fits(v, alg) || siglen != v->sig) {
        return 0;
    }

    ERR_set_mark();

    slot = aml_verifier_slot(v, alg);
    if (slot == NULL) {
        rc = -1;

    } else if (slot->ctx != NULL) {
        rc = aml_verifier_hashed(v, slot, data, n, sig);

    } else {
        rc = aml_verifier_pure(v, slot, data, n, sig);
    }

    ERR_pop_to_mark();

    return rc;
}


/* ---- to a record ---- */

/* Puts a number into `room`, with at least `width` bytes; -1 when it does not
 * fit or OpenSSL has no such number. */
static int
aml_key_export(EVP_PKEY *pkey, const char *param, size_t width, aml_str_t *out,
               unsigned char **room, size_t *size)
{
    int rc;
    size_t n;
    BIGNUM *bn;

    rc = -1;
    bn = NULL;

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) == 1) {
        n = (size_t) BN_num_bytes(bn);
        if (n < width) {
            n = width;
        }

        if (n <= *size && BN_bn2binpad(bn, *room, (int) n) == (int) n) {
            *out = (aml_str_t){(const char *) *room, n};
            *room += n;
            *size -= n;
            rc = 0;
        }
    }

    BN_free(bn);

    return rc;
}


static aml_curve_t
aml_key_curve_of(EVP_PKEY *pkey)
{
    int nid;
    char name[64];

    if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL) != 1) {
        return AML_CURVE_NONE;
    }

    nid = OBJ_txt2nid(name);
    if (nid == NID_undef) {
        nid = EC_curve_nist2nid(name);
    }

    switch (nid) {
    case NID_X9_62_prime256v1:
        return AML_CURVE_P256;
    case NID_secp384r1:
        return AML_CURVE_P384;
    case NID_secp521r1:
        return AML_CURVE_P521;
    default:
        return AML_CURVE_NONE;
    }
}


static aml_key_rc_t
aml_key_record(EVP_PKEY *pkey, aml_public_key_t *key, unsigned char *room,
               size_t size)
{
    size_t n;

    if (EVP_PKEY_is_a(pkey, "RSA")) {
        key->kty = AML_KTY_RSA;

        if (aml_key_export(pkey, OSSL_PKEY_PARAM_RSA_N, 0, &key->a, &room,
                           &size) != 0 ||
            aml_key_export(pkey, OSSL_PKEY_PARAM_RSA_E, 0, &key->b, &room,
                           &size) != 0) {
            return AML_KEY_FAILED;
        }

        return aml_key_rsa_sane(key->a, key->b) ? AML_KEY_OK : AML_KEY_INVALID;
    }

    if (EVP_PKEY_is_a(pkey, "EC")) {
        key->kty = AML_KTY_EC;
        key->curve = aml_key_curve_of(pkey);
        if (key->curve == AML_CURVE_NONE) {
            return AML_KEY_UNSUPPORTED;
        }

        n = aml_curves[key->curve].coord;
        if (aml_key_export(pkey, OSSL_PKEY_PARAM_EC_PUB_X, n, &key->a, &room,
                           &size) != 0 ||
            aml_key_export(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, n, &key->b, &room,
                           &size) != 0) {
            return AML_KEY_FAILED;
        }

        return AML_KEY_OK;
    }

    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        key->curve = AML_CURVE_ED25519;

    } else if (EVP_PKEY_is_a(pkey, "ED448")) {
        key->curve = AML_CURVE_ED448;

    } else {
        return AML_KEY_UNSUPPORTED;
    }

    key->kty = AML_KTY_OKP;

    n = size;
    if (EVP_PKEY_get_raw_public_key(pkey, room, &n) != 1) {
        return AML_KEY_FAILED;
    }

    key->a = (aml_str_t){(const char *) room, n};

    return AML_KEY_OK;
}


aml_key_rc_t
aml_public_key_of(EVP_PKEY *pkey, aml_public_key_t *key, void *room,
                  size_t size)
{
    aml_key_rc_t rc;

    memset(key, 0, sizeof(*key));

    ERR_set_mark();
    rc = aml_key_record(pkey, key, room, size);
    ERR_pop_to_mark();

    return rc;
}


/* The members that RFC 7638 section 3.2 and RFC 8037 section 2 name, in
 * order, without blanks.  Values are base64url: nothing to escape. */
int
aml_key_thumbprint(const aml_public_key_t *key, char kid[44])
{
    int n;
    char json[256 + aml_base64url_size(AML_RSA_BYTES_MAX)];
    char a[aml_base64url_size(AML_RSA_BYTES_MAX) + 1];
    char b[aml_base64url_size(AML_COORD_MAX) + 1];
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned mdlen;
    aml_str_t as, bs;
    const aml_curve_info_t *curve;

    as = key->a;
    bs = key->b;
    if (key->kty == AML_KTY_RSA) {
        as = aml_key_number(as);
        bs = aml_key_number(bs);
    }

    if (as.n > AML_RSA_BYTES_MAX || bs.n > AML_COORD_MAX) {
        return -1;
    }

    a[aml_base64url_encode(a, as.p, as.n)] = '\0';
    b[aml_base64url_encode(b, bs.p, bs.n)] = '\0';

    curve = aml_curve_info(key->kty, key->curve);

    if (key->kty == AML_KTY_RSA) {
        n = snprintf(json, sizeof(json),
                     "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", b, a);

    } else if (curve != NULL && key->kty == AML_KTY_EC) {
        n = snprintf(
            json, sizeof(json),
            "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
            curve->name, a, b);

    } else if (curve != NULL) {
        n = snprintf(json, sizeof(json),
                     "{\"crv\":\"%s\",\"kty\":\"OKP\",\"x\":\"%s\"}",
                     curve->name, a);

    } else {
        return -1;
    }

    if (n < 0 || (size_t) n >= sizeof(json) ||
        EVP_Digest(json, (size_t) n, md, &mdlen, EVP_sha256(), NULL) != 1) {
        return -1;
    }

    kid[aml_base64url_encode(kid, md, mdlen)] = '\0';

    return 0;
}
