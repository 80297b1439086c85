/*
 * Which credentials are in use, and whose keys are missing: what workers of
 * nginx tell amld, in datagrams that they never wait with.  One that is lost is
 * lost; use goes on and is told of again.
 *
 * A datagram, little-endian, begins with a number (16 bits) for what it is, and
 * in which version: 3, activity: count (16 bits), then records: kind and length
 * of the name (8 bits each), port and age (16), requests, polls, frames in,
 * frames out (32), 32 bytes of the credential, the name.  1 was that without
 * polls, and is not understood any more.  2, a token named a key that is
 * not known: its issuer, as 16-bit length and bytes.  4, a token asked for an
 * application that is started on demand: port (16), 16 bytes of its principal,
 * and the instance's name, as the issuer.
 */

#ifndef AML_ACTIVITY_H
#define AML_ACTIVITY_H

#include <stdint.h>

#include "auth/str.h"
#include "registry/records.h"

#define AML_ACTIVITY_RECORDS 64 /* in a datagram, at most */
#define AML_ACTIVITY_MAX 4996   /* bytes of one */
#define AML_ACTIVITY_AGE_MAX 65535

/* What `credential` is. */
typedef enum {
    AML_ACTIVITY_SESSION = 1, /* SHA-256 of the cookie */
    AML_ACTIVITY_PERSONAL,    /* SHA-256 of the personal token */
    AML_ACTIVITY_TOKEN        /* of a JSON Web Token: its principal's UUID, and
                               * that of its sign-in, or zeros */
} aml_activity_kind_t;

/* What a credential was used for since the record of it before. */
typedef struct {
    aml_activity_kind_t kind;
    uint8_t credential[32];
    uint32_t requests; /* that were allowed; a websocket is one as it begins */
    uint32_t polls;    /* of these, what a page asks on and on by itself */
    uint32_t in;       /* data frames on websockets, from the client */
    uint32_t out;      /* and to it; pings and the like are none */
    unsigned age;      /* seconds since the last of these */
    aml_str_t name;    /* of the instance, lower case; empty: the studio */
    unsigned port;     /* of its application; 0: the studio */
} aml_activity_t;

/* A datagram in the making.  All zero is an empty one. */
typedef struct {
    uint8_t bytes[AML_ACTIVITY_MAX];
    size_t n; /* 0: empty */
    unsigned count;
} aml_activity_batch_t;

/* 0, or -1 when it is full: send it, set `n` and `count` to 0, add again.  A
 * greater age is written as the greatest. */
int aml_activity_add(aml_activity_batch_t *batch, const aml_activity_t *a);

/*
 * Takes a datagram apart: `list` has room for AML_ACTIVITY_RECORDS; names
 * point into the datagram.  All of it is good, or `*count` is 0.
 */
aml_record_rc_t
aml_activity_decode(aml_str_t datagram, aml_activity_t *list, unsigned *count);


#define AML_MISSING_KEY_MAX 516 /* bytes of such a datagram */

/* Writes one; the bytes, or 0 when `iss` is empty or longer than the registry
 * could have. */
size_t aml_missing_key_encode(aml_str_t iss, uint8_t buf[AML_MISSING_KEY_MAX]);
/* `iss` points into the datagram. */
aml_record_rc_t aml_missing_key_decode(aml_str_t datagram, aml_str_t *iss);


#define AML_WANTED_MAX 46 /* bytes of such a datagram */

/* An application that is to be started, and for whom. */
typedef struct {
    aml_principal_id_t principal;
    aml_str_t name; /* of the instance, lower case */
    unsigned port;
} aml_wanted_t;

/* The bytes, or 0 for what names no application. */
size_t aml_wanted_encode(const aml_wanted_t *w, uint8_t buf[AML_WANTED_MAX]);
/* `name` points into the datagram. */
aml_record_rc_t aml_wanted_decode(aml_str_t datagram, aml_wanted_t *w);

#endif /* AML_ACTIVITY_H */
