/*
 * What is counted of jobs and services.
 */

#include "registry/codec.h"

#define COUNTS_VERSION 1


size_t
aml_counts_encode(const aml_counts_t *c, void *buf, size_t size)
{
    unsigned i;
    out_t o = out(buf, size);

    put_16(&o, COUNTS_VERSION);
    put_64(&o, c->jobs_submitted);
    put_64(&o, c->jobs_completed);
    put_64(&o, c->jobs_failed);
    put_64(&o, c->jobs_canceled);
    put_64(&o, c->jobs_queued);
    put_64(&o, c->jobs_running);
    for (i = 0; i < AML_COUNTS_WAITS; i++) {
        put_64(&o, c->job_waits[i]);
    }
    put_64(&o, c->job_waited);
    put_64(&o, c->service_starts);
    put_64(&o, c->service_restarts);
    put_64(&o, c->service_failures);

    return end(&o);
}


aml_record_rc_t
aml_counts_decode(aml_str_t value, aml_counts_t *c)
{
    unsigned i;
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = get_version(&in, COUNTS_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    c->jobs_submitted = get_64(&in);
    c->jobs_completed = get_64(&in);
    c->jobs_failed = get_64(&in);
    c->jobs_canceled = get_64(&in);
    c->jobs_queued = get_64(&in);
    c->jobs_running = get_64(&in);
    for (i = 0; i < AML_COUNTS_WAITS; i++) {
        c->job_waits[i] = get_64(&in);
    }
    c->job_waited = get_64(&in);
    c->service_starts = get_64(&in);
    c->service_restarts = get_64(&in);
    c->service_failures = get_64(&in);

    return length_rc(&in);
}


unsigned
aml_counts_bound(unsigned i)
{
    static const unsigned bounds[AML_COUNTS_WAITS] = {1, 10, 60, 600, 3600, 0};

    return bounds[i];
}
