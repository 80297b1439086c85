/*
 * The registry's flat records, as a damaged file would hand them out.  The
 * first byte chooses the record.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "auth/key.h"
#include "registry/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


static void
inside(aml_str_t part, aml_str_t whole)
{
    if (part.n > 0) {
        assert(part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
    }
}


static void
session(aml_str_t value)
{
    aml_session_t s;

    if (aml_session_decode(value, &s) == AML_RECORD_OK) {
        inside(s.host, value);
    }
}


static void
principal(aml_str_t value)
{
    aml_principal_t p;
    aml_assignment_t a;
    unsigned count = 0;

    if (aml_principal_decode(value, &p) != AML_RECORD_OK) {
        return;
    }
    inside(p.name, value);
    inside(p.issuer, value);
    aml_str_t rest = p.assignments;
    while (aml_assignment_next(&rest, &a)) {
        inside(a.scope, value);
        count++;
    }
    assert(count <= p.assignment_count);
}


static void
route(aml_str_t value)
{
    aml_route_t r;

    if (aml_route_decode(value, &r) == AML_RECORD_OK) {
        inside(r.name, value);
        inside(r.address, value);
        inside(r.compute, value);
        assert(r.state < AML_INSTANCE_STATES);
    }
}


static void
key(aml_str_t value)
{
    aml_public_key_t k;
    aml_verifier_t *v;

    if (aml_public_key_decode(value, &k) == AML_RECORD_OK) {
        inside(k.a, value);
        inside(k.b, value);
        if (aml_verifier_new(&k, &v) == AML_KEY_OK) {
            aml_verifier_free(v);
        }
    }
}


static void
issuer(aml_str_t value)
{
    aml_issuer_t i;

    if (aml_issuer_decode(value, &i) == AML_RECORD_OK) {
        assert(i.audience_count <= AML_ISSUER_AUDIENCES);
        for (unsigned n = 0; n < i.audience_count; n++) {
            inside(i.audiences[n], value);
        }
        inside(i.identity_claim, value);
        inside(i.name_claim, value);
        inside(i.groups_claim, value);
        inside(i.roles_claim, value);
    }
}


static void
grant(aml_str_t value)
{
    aml_grant_t g;

    if (aml_grant_decode(value, &g) == AML_RECORD_OK) {
        assert(g.group_count <= AML_GRANT_GROUPS);
        for (unsigned n = 0; n < g.group_count; n++) {
            (void) aml_grant_group(&g, n);
        }
    }
}


static void
token(aml_str_t value)
{
    aml_personal_token_t t;

    if (aml_personal_token_decode(value, &t) == AML_RECORD_OK) {
        inside(t.label, value);
        for (unsigned n = 0; n < t.instance_count; n++) {
            inside(t.instances[n], value);
        }
        for (unsigned n = 0; n < t.action_count; n++) {
            inside(t.actions[n], value);
        }
    }
}


static void
counts(aml_str_t value)
{
    aml_counts_t c;

    (void) aml_counts_decode(value, &c);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const targets[])(aml_str_t) = {
        session, principal, route, key, issuer, grant, token, counts};

    if (n == 0) {
        return 0;
    }
    char *copy = malloc(n);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    targets[data[0] % (sizeof(targets) / sizeof(targets[0]))](
        (aml_str_t){copy + 1, n - 1});
    free(copy);
    return 0;
}
