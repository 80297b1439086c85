/*
 * Points of the Edwards curves.
 *
 *   a x^2 + y^2 = 1 + d x^2 y^2,  so  x^2 = (y^2 - 1) / (d y^2 - a)
 *
 * with a = -1 for Ed25519 and a = 1 for Ed448.  Points of small order have
 * x = 0 or y = 0, and on Ed25519 also y^2 = -x^2, which is
 * d y^4 + 2 y^2 - 1 = 0.
 */

#include "auth/edwards.h"

#include <openssl/bn.h>

#define AML_EDWARDS_MAX 57 /* bytes of a point of Ed448 */


int
aml_edwards_check(aml_curve_t curve, aml_str_t point)
{
    int rc, i;
    BN_CTX *ctx;
    BIGNUM *p, *d, *y, *yy, *u, *v, *t;
    unsigned char buf[AML_EDWARDS_MAX], *b;

    if (point.n != (curve == AML_CURVE_ED25519 ? 32 : AML_EDWARDS_MAX)) {
        return 0;
    }

    rc = -1;

    ctx = BN_CTX_new();
    if (ctx == NULL) {
        return -1;
    }

    BN_CTX_start(ctx);
    p = BN_CTX_get(ctx);
    d = BN_CTX_get(ctx);
    y = BN_CTX_get(ctx);
    yy = BN_CTX_get(ctx);
    u = BN_CTX_get(ctx);
    v = BN_CTX_get(ctx);
    t = BN_CTX_get(ctx);
    if (t == NULL) {
        goto done;
    }

    b = buf;
    for (i = (int) point.n - 1; i >= 0; i--) {
        *b++ = (unsigned char) point.p[i];
    }
    buf[0] &= 0x7f; /* the sign of x */

    if (BN_bin2bn(buf, (int) point.n, y) == NULL) {
        goto done;
    }

    if (curve == AML_CURVE_ED25519) {
        /* p = 2^255 - 19, d = -121665 / 121666 */
        if (!BN_set_bit(p, 255) || !BN_sub_word(p, 19) ||
            !BN_set_word(t, 121666) || BN_mod_inverse(d, t, p, ctx) == NULL ||
            !BN_mul_word(d, 121665) || !BN_sub(d, p, d) ||
            !BN_nnmod(d, d, p, ctx)) {
            goto done;
        }

    } else {
        /* p = 2^448 - 2^224 - 1, d = -39081 */
        if (!BN_set_bit(p, 448) || !BN_set_bit(t, 224) || !BN_sub(p, p, t) ||
            !BN_sub_word(p, 1) || !BN_copy(d, p) || !BN_sub_word(d, 39081)) {
            goto done;
        }
    }

    if (BN_cmp(y, p) >= 0) {
        rc = 0;
        goto done;
    }

    /* u = y^2 - 1, v = d y^2 - a */
    if (!BN_mod_sqr(yy, y, p, ctx) ||
        !BN_mod_sub(u, yy, BN_value_one(), p, ctx) ||
        !BN_mod_mul(v, d, yy, p, ctx)) {
        goto done;
    }

    if (curve == AML_CURVE_ED25519) {
        /* t = d y^4 + 2 y^2 - 1 */
        if (!BN_mod_mul(t, v, yy, p, ctx) || !BN_mod_add(t, t, yy, p, ctx) ||
            !BN_mod_add(t, t, u, p, ctx) ||
            !BN_mod_add(v, v, BN_value_one(), p, ctx)) {
            goto done;
        }

    } else if (!BN_one(t) || !BN_mod_sub(v, v, BN_value_one(), p, ctx)) {
        goto done;
    }

    if (BN_is_zero(y) || BN_is_zero(u) || BN_is_zero(t)) {
        rc = 0;
        goto done;
    }

    /* u / v is a square exactly when u v is; v is never 0: d is no square
     * times a. */
    if (!BN_mod_mul(u, u, v, p, ctx)) {
        goto done;
    }

    i = BN_kronecker(u, p, ctx);
    if (i >= -1) {
        rc = (i == 1);
    }

done:
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);

    return rc;
}
