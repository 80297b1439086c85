/*
 * Public keys of EdDSA: are the bytes a point that signatures can be checked
 * with?  OpenSSL takes any bytes.
 */

#ifndef AML_EDWARDS_H
#define AML_EDWARDS_H

#include "auth/str.h"
#include "registry/records.h"

/*
 * 1 when `point`, encoded as in RFC 8032 section 5.1.2 or 5.2.2, is a point
 * of the curve (AML_CURVE_ED25519 or AML_CURVE_ED448) that is not of small
 * order, with which anybody could sign; 0 when it is not; -1 without memory.
 */
int aml_edwards_check(aml_curve_t curve, aml_str_t point);

#endif /* AML_EDWARDS_H */
