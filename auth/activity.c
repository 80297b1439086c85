#include "auth/activity.h"

#include "registry/codec.h"
#include "upstreams/host.h"

#define VERSION 3
#define MISSING_KEY 2 /* its version, too */
#define WANTED 4      /* likewise */
#define HEAD 4

_Static_assert(AML_ACTIVITY_MAX >=
                   HEAD + AML_ACTIVITY_RECORDS *
                              (2 + 4 + 16 + 32 + AML_INSTANCE_NAME_MAX),
               "a full datagram");


int
aml_activity_add(aml_activity_batch_t *batch, const aml_activity_t *a)
{
    out_t o;
    uint8_t kind = (uint8_t) a->kind, name_len = (uint8_t) a->name.n;
    uint16_t count;

    if (batch->count == AML_ACTIVITY_RECORDS) {
        return -1;
    }

    o = out(batch->bytes, sizeof(batch->bytes));
    o.used = batch->n;

    if (batch->count == 0) {
        o.used = 0;
        put_16(&o, VERSION);
        put_16(&o, 0);
    }

    put(&o, &kind, 1);
    put(&o, &name_len, 1);
    put_16(&o, a->port);
    put_16(&o, a->age < AML_ACTIVITY_AGE_MAX ? a->age : AML_ACTIVITY_AGE_MAX);
    put_32(&o, a->requests);
    put_32(&o, a->polls);
    put_32(&o, a->in);
    put_32(&o, a->out);
    put(&o, a->credential, sizeof(a->credential));
    put(&o, a->name.p, name_len);

    if (o.full) {
        return -1;
    }

    batch->n = o.used;
    count = htole16((uint16_t) ++batch->count);
    memcpy(batch->bytes + 2, &count, sizeof(count));

    return 0;
}


/* Of an application's host, or of none. */
static int
is_place(aml_str_t name, unsigned port)
{
    size_t i;

    if (name.n == 0) {
        return port == 0;
    }

    for (i = 0; i < name.n; i++) {
        if (name.p[i] >= 'A' && name.p[i] <= 'Z') {
            return 0;
        }
    }

    return port != 0 && aml_instance_name_check(name) == AML_NAME_OK;
}


static aml_record_rc_t
decode_one(in_t *in, aml_activity_t *a)
{
    uint8_t kind, name_len;

    get(in, &kind, 1);
    get(in, &name_len, 1);
    a->port = get_16(in);
    a->age = get_16(in);
    a->requests = get_32(in);
    a->polls = get_32(in);
    a->in = get_32(in);
    a->out = get_32(in);
    get(in, a->credential, sizeof(a->credential));

    if (in->cut || in->n < name_len) {
        return AML_RECORD_TRUNCATED;
    }

    a->kind = (aml_activity_kind_t) kind;
    a->name = (aml_str_t){(const char *) in->p, name_len};
    in->p += name_len;
    in->n -= name_len;

    return kind >= AML_ACTIVITY_SESSION && kind <= AML_ACTIVITY_TOKEN &&
                   is_place(a->name, a->port)
               ? AML_RECORD_OK
               : AML_RECORD_INVALID;
}


aml_record_rc_t
aml_activity_decode(aml_str_t datagram, aml_activity_t *list, unsigned *count)
{
    in_t in = in_of(datagram);
    aml_record_rc_t rc;
    unsigned i, n;

    *count = 0;

    rc = get_version(&in, VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    n = get_16(&in);
    if (n == 0 || n > AML_ACTIVITY_RECORDS) {
        return in.cut ? AML_RECORD_TRUNCATED : AML_RECORD_INVALID;
    }

    for (i = 0; i < n; i++) {
        rc = decode_one(&in, &list[i]);
        if (rc != AML_RECORD_OK) {
            return rc;
        }
    }

    rc = length_rc(&in);
    if (rc == AML_RECORD_OK) {
        *count = n;
    }

    return rc;
}


size_t
aml_missing_key_encode(aml_str_t iss, uint8_t buf[AML_MISSING_KEY_MAX])
{
    out_t o = out(buf, AML_MISSING_KEY_MAX);

    put_16(&o, MISSING_KEY);
    put_str(&o, iss);

    return iss.n > 0 ? end(&o) : 0;
}


aml_record_rc_t
aml_missing_key_decode(aml_str_t datagram, aml_str_t *iss)
{
    in_t in = in_of(datagram);
    aml_record_rc_t rc;

    rc = get_version(&in, MISSING_KEY);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    *iss = get_str(&in);
    rc = length_rc(&in);

    return rc == AML_RECORD_OK && iss->n == 0 ? AML_RECORD_INVALID : rc;
}


size_t
aml_wanted_encode(const aml_wanted_t *w, uint8_t buf[AML_WANTED_MAX])
{
    out_t o = out(buf, AML_WANTED_MAX);

    put_16(&o, WANTED);
    put_16(&o, w->port);
    put(&o, w->principal.b, sizeof(w->principal.b));
    put_str(&o, w->name);

    return w->name.n > 0 && is_place(w->name, w->port) ? end(&o) : 0;
}


aml_record_rc_t
aml_wanted_decode(aml_str_t datagram, aml_wanted_t *w)
{
    in_t in = in_of(datagram);
    aml_record_rc_t rc;

    rc = get_version(&in, WANTED);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    w->port = get_16(&in);
    get(&in, w->principal.b, sizeof(w->principal.b));
    w->name = get_str(&in);

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return w->name.n > 0 && is_place(w->name, w->port) ? AML_RECORD_OK
                                                       : AML_RECORD_INVALID;
}
