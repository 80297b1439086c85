/*
 * How flat records are written and read: little-endian numbers, strings as a
 * 16-bit length and bytes.  For the files that encode and decode records.
 *
 * A writer that has no room, and a reader that has nothing left, note it and
 * go on; the end says so.
 */

#ifndef AML_CODEC_H
#define AML_CODEC_H

#include <endian.h>

#include "registry/records.h"

#define STRING_MAX 65535


typedef struct {
    uint8_t *p;
    size_t room;
    size_t used;
    int full;
} out_t;

typedef struct {
    const uint8_t *p;
    size_t n;
    int cut;
} in_t;


static inline void
put(out_t *o, const void *p, size_t n)
{
    if (o->full || n > o->room - o->used) {
        o->full = 1;
        return;
    }

    if (n != 0) {
        memcpy(o->p + o->used, p, n);
        o->used += n;
    }
}


static inline void
put_16(out_t *o, unsigned v)
{
    uint16_t x = htole16((uint16_t) v);

    put(o, &x, sizeof(x));
}


static inline void
put_32(out_t *o, uint32_t v)
{
    uint32_t x = htole32(v);

    put(o, &x, sizeof(x));
}


static inline void
put_64(out_t *o, uint64_t v)
{
    uint64_t x = htole64(v);

    put(o, &x, sizeof(x));
}


static inline void
put_str(out_t *o, aml_str_t s)
{
    if (s.n > STRING_MAX) {
        o->full = 1;
        return;
    }

    put_16(o, (unsigned) s.n);
    put(o, s.p, s.n);
}


static inline out_t
out(void *buf, size_t size)
{
    return (out_t){buf, size < AML_RECORD_MAX ? size : AML_RECORD_MAX, 0, 0};
}


static inline size_t
end(const out_t *o)
{
    return o->full ? 0 : o->used;
}


static inline void
get(in_t *in, void *p, size_t n)
{
    if (in->n < n) {
        in->cut = 1;
        in->n = 0;
        memset(p, 0, n);
        return;
    }

    memcpy(p, in->p, n);
    in->p += n;
    in->n -= n;
}


static inline uint16_t
get_16(in_t *in)
{
    uint16_t x;

    get(in, &x, sizeof(x));
    return le16toh(x);
}


static inline uint32_t
get_32(in_t *in)
{
    uint32_t x;

    get(in, &x, sizeof(x));
    return le32toh(x);
}


static inline uint64_t
get_64(in_t *in)
{
    uint64_t x;

    get(in, &x, sizeof(x));
    return le64toh(x);
}


static inline aml_str_t
get_str(in_t *in)
{
    size_t n;
    aml_str_t s;

    n = get_16(in);

    if (in->n < n) {
        in->cut = 1;
        in->n = 0;
        return (aml_str_t){"", 0};
    }

    s = (aml_str_t){(const char *) in->p, n};
    in->p += n;
    in->n -= n;

    return s;
}


static inline in_t
in_of(aml_str_t value)
{
    return (in_t){(const uint8_t *) value.p, value.n, 0};
}


/* What the value's length says, once everything was taken off it. */
static inline aml_record_rc_t
length_rc(const in_t *in)
{
    return in->cut || in->n != 0 ? AML_RECORD_TRUNCATED : AML_RECORD_OK;
}


/* The version comes first, so that a later layout is told from a cut one. */
static inline aml_record_rc_t
get_version(in_t *in, unsigned version)
{
    unsigned v;

    v = get_16(in);
    if (in->cut) {
        return AML_RECORD_TRUNCATED;
    }

    return v == version ? AML_RECORD_OK : AML_RECORD_VERSION;
}

#endif /* AML_CODEC_H */
