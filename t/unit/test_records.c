#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/key.h"
#include "registry/records.h"
#include "registry/registry.h"


typedef aml_record_rc_t (*decode_pt)(aml_str_t value);

static aml_principal_id_t
id(uint8_t first)
{
    aml_principal_id_t i = {{0}};

    i.b[0] = first;
    i.b[15] = 0xfe;

    return i;
}


/* ---- one good record of each ---- */

static size_t
session(void *buf, size_t size)
{
    aml_session_t s = {.created = 1790000000,
                       .expires = INT64_C(0x0102030405060708),
                       .principal = id(1),
                       .sign_in = id(2),
                       .host = aml_str("first-lab.instances.aml.localhost")};

    return aml_session_encode(&s, buf, size);
}


static size_t
principal(void *buf, size_t size)
{
    aml_assignment_t list[2] = {
        {id(3), aml_str("/subscriptions/s/resourceGroups/g")},
        {id(4), aml_str("/")}};
    aml_principal_t p = {.not_before = 17,
                         .flags = AML_PRINCIPAL_DISABLED,
                         .name = aml_str("Zo\xc3\xab"),
                         .issuer = aml_str("https://aml.localhost:8443"),
                         .assignment_count = 2};

    return aml_principal_encode(&p, list, buf, size);
}


static size_t
route(void *buf, size_t size)
{
    aml_route_t r = {.state = AML_INSTANCE_RUNNING,
                     .port = 8888,
                     .generation = UINT64_C(0xfedcba9876543210),
                     .creator = id(5),
                     .name = aml_str("First-Lab"),
                     .address = aml_str("unix:/run/aml/1/8888.sock"),
                     .compute = aml_str("")};

    return aml_route_encode(&r, buf, size);
}


static size_t
public_key(void *buf, size_t size)
{
    aml_public_key_t k = {.kty = AML_KTY_RSA,
                          .curve = AML_CURVE_NONE,
                          .alg = AML_ALG_PS256,
                          .expires = 99,
                          .a = aml_str("\x80\0\x01"),
                          .b = aml_str("\x01\0\x01")};

    return aml_public_key_encode(&k, buf, size);
}


static size_t
issuer(void *buf, size_t size)
{
    aml_issuer_t i = {.algs = 1u << AML_ALG_RS256 | 1u << AML_ALG_EDDSA,
                      .leeway = 60,
                      .lifetime = 3600,
                      .identity = AML_IDENTITY_ENTRA,
                      .space = aml_str("urn:x"),
                      .flags = AML_ISSUER_REQUIRE_SCOPE,
                      .identity_claim = aml_str("uid"),
                      .name_claim = aml_str("preferred_username"),
                      .groups_claim = aml_str("groups"),
                      .roles_claim = aml_str("roles"),
                      .audience_count = 2,
                      .audiences = {aml_str("https://a"), aml_str("b")}};

    return aml_issuer_encode(&i, buf, size);
}


static int
within(aml_str_t part, aml_str_t value)
{
    return part.n == 0 ||
           (part.p >= value.p && part.p + part.n <= value.p + value.n);
}


static aml_record_rc_t
session_rc(aml_str_t v)
{
    aml_session_t s;
    aml_record_rc_t rc = aml_session_decode(v, &s);

    assert_true(rc != AML_RECORD_OK || within(s.host, v));
    return rc;
}


static aml_record_rc_t
principal_rc(aml_str_t v)
{
    unsigned n;
    aml_principal_t p;
    aml_assignment_t a;
    aml_record_rc_t rc = aml_principal_decode(v, &p);

    if (rc == AML_RECORD_OK) {
        assert_true(within(p.name, v) && within(p.issuer, v));
        for (n = 0; aml_assignment_next(&p.assignments, &a); n++) {
            assert_true(within(a.scope, v));
        }
        assert_int_equal(n, p.assignment_count);
    }
    return rc;
}


static aml_record_rc_t
route_rc(aml_str_t v)
{
    aml_route_t r;
    aml_record_rc_t rc = aml_route_decode(v, &r);

    assert_true(
        rc != AML_RECORD_OK ||
        (within(r.name, v) && within(r.address, v) && within(r.compute, v)));
    return rc;
}


static aml_record_rc_t
public_key_rc(aml_str_t v)
{
    aml_public_key_t k;
    aml_record_rc_t rc = aml_public_key_decode(v, &k);

    assert_true(rc != AML_RECORD_OK || (within(k.a, v) && within(k.b, v)));
    return rc;
}


static aml_record_rc_t
issuer_rc(aml_str_t v)
{
    unsigned n;
    aml_issuer_t i;
    aml_record_rc_t rc = aml_issuer_decode(v, &i);

    if (rc == AML_RECORD_OK) {
        assert_true(i.audience_count <= AML_ISSUER_AUDIENCES);
        for (n = 0; n < i.audience_count; n++) {
            assert_true(within(i.audiences[n], v));
        }
    }
    return rc;
}


static const struct {
    size_t (*make)(void *buf, size_t size);
    decode_pt decode;
} records[] = {{session, session_rc},
               {principal, principal_rc},
               {route, route_rc},
               {public_key, public_key_rc},
               {issuer, issuer_rc}};

#define RECORDS (sizeof(records) / sizeof(records[0]))


/* ---- what goes in comes out ---- */

static void
test_session(void **state)
{
    char buf[512];
    aml_session_t s;
    aml_principal_id_t one = id(1), two = id(2);
    size_t n = session(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_session_decode((aml_str_t){buf, n}, &s),
                     AML_RECORD_OK);
    assert_int_equal(s.created, 1790000000);
    assert_int_equal(s.expires, INT64_C(0x0102030405060708));
    assert_true(aml_principal_eq(&s.principal, &one));
    assert_true(aml_principal_eq(&s.sign_in, &two));
    assert_true(
        aml_str_eq(s.host, aml_str("first-lab.instances.aml.localhost")));
}


static void
test_principal(void **state)
{
    char buf[512];
    aml_str_t rest;
    aml_principal_t p;
    aml_assignment_t a;
    aml_principal_id_t three = id(3), four = id(4);
    size_t n = principal(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_principal_decode((aml_str_t){buf, n}, &p),
                     AML_RECORD_OK);
    assert_int_equal(p.not_before, 17);
    assert_int_equal(p.flags, AML_PRINCIPAL_DISABLED);
    assert_true(aml_str_eq(p.name, aml_str("Zo\xc3\xab")));
    assert_true(aml_str_eq(p.issuer, aml_str("https://aml.localhost:8443")));
    assert_int_equal(p.assignment_count, 2);

    rest = p.assignments;
    assert_int_equal(aml_assignment_next(&rest, &a), 1);
    assert_true(aml_principal_eq(&a.role, &three));
    assert_true(
        aml_str_eq(a.scope, aml_str("/subscriptions/s/resourceGroups/g")));
    assert_int_equal(aml_assignment_next(&rest, &a), 1);
    assert_true(aml_principal_eq(&a.role, &four));
    assert_true(aml_str_eq(a.scope, aml_str("/")));
    assert_int_equal(aml_assignment_next(&rest, &a), 0);

    /* nobody: no name, no roles */
    memset(&p, 0, sizeof(p));
    p.flags = AML_PRINCIPAL_GROUP;
    n = aml_principal_encode(&p, NULL, buf, sizeof(buf));
    assert_int_equal(aml_principal_decode((aml_str_t){buf, n}, &p),
                     AML_RECORD_OK);
    assert_int_equal(p.flags, AML_PRINCIPAL_GROUP);
    rest = p.assignments;
    assert_int_equal(aml_assignment_next(&rest, &a), 0);
}


static void
test_route(void **state)
{
    char buf[512];
    aml_route_t r, whole;
    aml_principal_id_t five = id(5);
    size_t n = route(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_route_decode((aml_str_t){buf, n}, &r), AML_RECORD_OK);
    assert_int_equal(r.state, AML_INSTANCE_RUNNING);
    assert_int_equal(r.port, 8888);
    assert_true(r.generation == UINT64_C(0xfedcba9876543210));
    assert_true(aml_principal_eq(&r.creator, &five));
    assert_true(aml_str_eq(r.name, aml_str("First-Lab")));
    assert_true(aml_str_eq(r.address, aml_str("unix:/run/aml/1/8888.sock")));
    assert_int_equal(r.compute.n, 0);

    whole = r;
    whole.port = 0;
    whole.address = aml_str("");
    whole.compute = aml_str("/subscriptions/s/x");
    n = aml_route_encode(&whole, buf, sizeof(buf));
    assert_int_equal(aml_route_decode((aml_str_t){buf, n}, &r), AML_RECORD_OK);
    assert_true(aml_str_eq(r.compute, aml_str("/subscriptions/s/x")));
}


static void
test_public_key(void **state)
{
    char buf[512];
    aml_public_key_t k;
    size_t n = public_key(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_public_key_decode((aml_str_t){buf, n}, &k),
                     AML_RECORD_OK);
    assert_int_equal(k.kty, AML_KTY_RSA);
    assert_int_equal(k.curve, AML_CURVE_NONE);
    assert_int_equal(k.alg, AML_ALG_PS256);
    assert_int_equal(k.expires, 99);
    assert_true(aml_str_eq(k.a, aml_str("\x80\0\x01")));
    assert_true(aml_str_eq(k.b, aml_str("\x01\0\x01")));
}


/* What of a principal lies before its assignments: read alone, and not less
 * strictly. */
static void
test_principal_head(void **state)
{
    char buf[512], *copy;
    aml_principal_t p, whole;
    size_t n = principal(buf, sizeof(buf)), at, head;

    (void) state;

    assert_int_equal(aml_principal_decode((aml_str_t){buf, n}, &whole),
                     AML_RECORD_OK);
    assert_int_equal(aml_principal_decode_head((aml_str_t){buf, n}, &p),
                     AML_RECORD_OK);
    assert_int_equal(p.not_before, whole.not_before);
    assert_int_equal(p.flags, whole.flags);
    assert_true(aml_str_eq(p.name, whole.name));
    assert_int_equal(p.assignment_count, 0);
    assert_int_equal(p.assignments.n, 0);

    head = 2 + 8 + 4 + 2 + 2 + p.name.n;
    for (at = 0; at < n; at++) {
        copy = malloc(at != 0 ? at : 1); /* for the sanitizer */
        memcpy(copy, buf, at);
        assert_int_equal(aml_principal_decode_head((aml_str_t){copy, at}, &p),
                         at < head ? AML_RECORD_TRUNCATED : AML_RECORD_OK);
        free(copy);
    }

    buf[2 + 8] = 4;
    assert_int_equal(aml_principal_decode_head((aml_str_t){buf, n}, &p),
                     AML_RECORD_INVALID);
    buf[0] = 9;
    assert_int_equal(aml_principal_decode_head((aml_str_t){buf, n}, &p),
                     AML_RECORD_VERSION);
}


static void
test_issuer(void **state)
{
    char buf[512];
    aml_issuer_t i;
    size_t n = issuer(buf, sizeof(buf));

    (void) state;

    assert_int_equal(aml_issuer_decode((aml_str_t){buf, n}, &i), AML_RECORD_OK);
    assert_int_equal(i.algs, 1u << AML_ALG_RS256 | 1u << AML_ALG_EDDSA);
    assert_int_equal(i.leeway, 60);
    assert_int_equal(i.lifetime, 3600);
    assert_int_equal(i.identity, AML_IDENTITY_ENTRA);
    assert_true(aml_str_eq(i.space, aml_str("urn:x")));
    assert_true(aml_str_eq(i.name_claim, aml_str("preferred_username")));
    assert_int_equal(i.audience_count, 2);
    assert_true(aml_str_eq(i.audiences[0], aml_str("https://a")));
    assert_true(aml_str_eq(i.audiences[1], aml_str("b")));
    assert_int_equal(i.flags, AML_ISSUER_REQUIRE_SCOPE);
    assert_true(aml_str_eq(i.identity_claim, aml_str("uid")));
    assert_true(aml_str_eq(i.groups_claim, aml_str("groups")));
    assert_true(aml_str_eq(i.roles_claim, aml_str("roles")));

    /* of the first release: without the four that came later */
    buf[0] = 1;
    n -= 4 + 2 + 3 + 2 + 6 + 2 + 5;
    assert_int_equal(aml_issuer_decode((aml_str_t){buf, n}, &i), AML_RECORD_OK);
    assert_true(aml_str_eq(i.audiences[1], aml_str("b")));
    assert_int_equal(i.flags, 0);
    assert_int_equal(i.identity_claim.n + i.groups_claim.n + i.roles_claim.n,
                     0);
}


/* The bytes on disk: other releases read them. */
static void
test_layout(void **state)
{
    char buf[128];
    aml_session_t s = {.created = 1, .expires = 258, .host = aml_str("ab")};
    static const char want[] = "\1\0"
                               "\1\0\0\0\0\0\0\0"
                               "\2\1\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\2\0ab";

    (void) state;

    assert_int_equal(aml_session_encode(&s, buf, sizeof(buf)),
                     sizeof(want) - 1);
    assert_memory_equal(buf, want, sizeof(want) - 1);
}


/* ---- bad values ---- */

/* A copy of exactly n bytes, so that a sanitizer sees one read too many. */
static aml_record_rc_t
decode_copy(decode_pt decode, const char *p, size_t n)
{
    char *copy = malloc(n != 0 ? n : 1);
    aml_record_rc_t rc;

    assert_non_null(copy);
    memcpy(copy, p, n);
    rc = decode((aml_str_t){copy, n});
    free(copy);

    return rc;
}


static void
test_cut(void **state)
{
    size_t i, n, cut;
    char buf[600];

    (void) state;

    for (i = 0; i < RECORDS; i++) {
        memset(buf, 0, sizeof(buf));
        n = records[i].make(buf, 512);
        assert_true(n > 0);
        assert_int_equal(decode_copy(records[i].decode, buf, n), AML_RECORD_OK);

        for (cut = 0; cut < n; cut++) {
            assert_int_equal(decode_copy(records[i].decode, buf, cut),
                             AML_RECORD_TRUNCATED);
        }

        /* longer than it says is as wrong as shorter */
        assert_int_equal(decode_copy(records[i].decode, buf, n + 1),
                         AML_RECORD_TRUNCATED);
    }
}


static void
test_version(void **state)
{
    size_t i, n;
    char buf[512];

    (void) state;

    for (i = 0; i < RECORDS; i++) {
        n = records[i].make(buf, sizeof(buf));

        buf[0] = 9;
        assert_int_equal(decode_copy(records[i].decode, buf, n),
                         AML_RECORD_VERSION);
        buf[0] = 0;
        assert_int_equal(decode_copy(records[i].decode, buf, n),
                         AML_RECORD_VERSION);
        buf[0] = 1;
        buf[1] = 1;
        assert_int_equal(decode_copy(records[i].decode, buf, n),
                         AML_RECORD_VERSION);

        /* told from a cut one, as long as the version is there */
        assert_int_equal(decode_copy(records[i].decode, buf, 2),
                         AML_RECORD_VERSION);
    }
}


/* Any byte of a good record changed, and records of random bytes: never a
 * read outside of the value, and what is taken holds together. */
static void
test_random(void **state)
{
    size_t i, n, at, round, len;
    char buf[512], was;
    unsigned seen[RECORDS][4] = {{0}};

    (void) state;

    srand(11);

    for (i = 0; i < RECORDS; i++) {
        n = records[i].make(buf, sizeof(buf));

        for (at = 0; at < n; at++) {
            was = buf[at];
            for (round = 1; round < 256; round++) {
                buf[at] = (char) (was ^ (char) round);
                seen[i][decode_copy(records[i].decode, buf, n)]++;
            }
            buf[at] = was;
        }

        for (round = 0; round < 20000; round++) {
            len = (size_t) rand() % 200;
            for (at = 0; at < len; at++) {
                /* lengths of random bytes would nearly never fit */
                buf[at] = (char) (rand() % 4 != 0 ? rand() % 3 : rand());
            }
            if (round % 2 == 0 && len > 2) {
                buf[0] = 1;
                buf[1] = 0;
            }
            seen[i][decode_copy(records[i].decode, buf, len)]++;
        }

        assert_true(seen[i][AML_RECORD_OK] > 0);
        assert_true(seen[i][AML_RECORD_TRUNCATED] > 0);
        assert_true(seen[i][AML_RECORD_VERSION] > 0);
    }
}


/* A record is written whole, or not at all and no byte too far. */
static void
test_room(void **state)
{
    size_t i, n, room;
    char *buf, whole[512];

    (void) state;

    for (i = 0; i < RECORDS; i++) {
        n = records[i].make(whole, sizeof(whole));

        for (room = 0; room <= n; room++) {
            buf = malloc(room != 0 ? room : 1);
            assert_non_null(buf);
            assert_int_equal(records[i].make(buf, room), room == n ? n : 0);
            free(buf);
        }
    }
}


/* What must not be kept can be neither written nor, with the bytes patched
 * in, read. */
static void
test_invalid(void **state)
{
    size_t n, i;
    char buf[512];
    aml_session_t s = {.host = aml_str("")};
    aml_principal_t p = {.flags = 4};
    aml_principal_t q = {.assignment_count = 1};
    aml_route_t r, good = {.state = AML_INSTANCE_STOPPED,
                           .port = 22,
                           .name = aml_str("lab")};
    static const aml_str_t scopes[] = {aml_str(""), aml_str("x"),
                                       aml_str("subscriptions/s"),
                                       aml_str("/s/"), aml_str("//")};
    aml_assignment_t a;

    (void) state;

    assert_int_equal(aml_session_encode(&s, buf, sizeof(buf)), 0);
    assert_int_equal(aml_principal_encode(&p, NULL, buf, sizeof(buf)), 0);

    for (i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        a.role = id(1);
        a.scope = scopes[i];
        assert_int_equal(aml_principal_encode(&q, &a, buf, sizeof(buf)), 0);
    }

    /* a scope whose '/' is patched away, and an unknown flag */
    n = principal(buf, sizeof(buf));
    buf[n - 1] = 'x';
    assert_int_equal(decode_copy(principal_rc, buf, n), AML_RECORD_INVALID);
    n = principal(buf, sizeof(buf));
    buf[2 + 8] = 4;
    assert_int_equal(decode_copy(principal_rc, buf, n), AML_RECORD_INVALID);

    assert_true(aml_route_encode(&good, buf, sizeof(buf)) > 0);
    r = good;
    r.state = AML_INSTANCE_STATES;
    assert_int_equal(aml_route_encode(&r, buf, sizeof(buf)), 0);
    r = good;
    r.name = aml_str("");
    assert_int_equal(aml_route_encode(&r, buf, sizeof(buf)), 0);
    r = good;
    r.compute = aml_str("/x");
    assert_int_equal(aml_route_encode(&r, buf, sizeof(buf)), 0);
    r = good;
    r.port = 0;
    r.address = aml_str("unix:/x/*.sock");
    assert_true(aml_route_encode(&r, buf, sizeof(buf)) > 0);

    n = route(buf, sizeof(buf));
    buf[2] = AML_INSTANCE_STATES;
    assert_int_equal(decode_copy(route_rc, buf, n), AML_RECORD_INVALID);
    buf[2] = (char) 0xff;
    buf[3] = (char) 0xff;
    assert_int_equal(decode_copy(route_rc, buf, n), AML_RECORD_INVALID);
}


static void
test_invalid_keys(void **state)
{
    static const struct {
        int kty, curve, alg, a, b, ok;
    } k[] = {
        {AML_KTY_RSA, AML_CURVE_NONE, 0, 1, 1, 1},
        {AML_KTY_RSA, AML_CURVE_P256, 0, 1, 1, 0},
        {AML_KTY_RSA, AML_CURVE_NONE, 0, 0, 1, 0},
        {AML_KTY_RSA, AML_CURVE_NONE, 0, 1, 0, 0},
        {AML_KTY_EC, AML_CURVE_P256, AML_ALG_ES256, 1, 1, 1},
        {AML_KTY_EC, AML_CURVE_P521, 0, 1, 1, 1},
        {AML_KTY_EC, AML_CURVE_NONE, 0, 1, 1, 0},
        {AML_KTY_EC, AML_CURVE_ED25519, 0, 1, 1, 0},
        {AML_KTY_EC, AML_CURVE_P384, 0, 1, 0, 0},
        {AML_KTY_OKP, AML_CURVE_ED25519, AML_ALG_EDDSA, 1, 0, 1},
        {AML_KTY_OKP, AML_CURVE_ED448, 0, 1, 0, 1},
        {AML_KTY_OKP, AML_CURVE_ED25519, 0, 1, 1, 0},
        {AML_KTY_OKP, AML_CURVE_P256, 0, 1, 0, 0},
        {AML_KTY_OKP, AML_CURVE_NONE, 0, 1, 0, 0},
        {0, AML_CURVE_NONE, 0, 1, 1, 0},
        {4, AML_CURVE_NONE, 0, 1, 1, 0},
        {AML_KTY_RSA, AML_CURVE_NONE, AML_ALG_COUNT, 1, 1, 0},
        {AML_KTY_EC, AML_CURVE_ED448 + 1, 0, 1, 1, 0},
    };
    size_t i, n;
    char buf[256];
    aml_issuer_t is = {.audience_count = 1, .audiences = {aml_str("a")}};
    aml_issuer_t bad;

    (void) state;

    for (i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
        aml_public_key_t key = {.kty = (aml_kty_t) k[i].kty,
                                .curve = (aml_curve_t) k[i].curve,
                                .alg = (uint16_t) k[i].alg,
                                .a = {"a", (size_t) k[i].a},
                                .b = {"b", (size_t) k[i].b}};

        n = aml_public_key_encode(&key, buf, sizeof(buf));
        if ((n != 0) != k[i].ok) {
            fail_msg("key %zu", i);
        }
    }

    n = public_key(buf, sizeof(buf));
    buf[2] = AML_KTY_EC;
    assert_int_equal(decode_copy(public_key_rc, buf, n), AML_RECORD_INVALID);

    assert_true(aml_issuer_encode(&is, buf, sizeof(buf)) > 0);

    bad = is;
    bad.algs = 1u << AML_ALG_NONE;
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);
    bad.algs = 1u << AML_ALG_COUNT;
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);
    bad = is;
    bad.audiences[0] = aml_str("");
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);
    bad = is;
    bad.audience_count = AML_ISSUER_AUDIENCES + 1;
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);
    bad = is;
    bad.identity = (aml_identity_kind_t) 3;
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);
    bad = is;
    bad.identity = AML_IDENTITY_ENTRA;
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);
    bad = is;
    bad.flags = 2;
    assert_int_equal(aml_issuer_encode(&bad, buf, sizeof(buf)), 0);

    /* "none" can't be slipped in by way of the stored bits either */
    n = issuer(buf, sizeof(buf));
    buf[2] |= 1;
    assert_int_equal(decode_copy(issuer_rc, buf, n), AML_RECORD_INVALID);
    n = issuer(buf, sizeof(buf));
    buf[2 + 12 + 2] = AML_ISSUER_AUDIENCES + 1;
    assert_int_equal(decode_copy(issuer_rc, buf, n), AML_RECORD_INVALID);
}


static void
test_long(void **state)
{
    char *host, *buf;
    aml_session_t s = {0};
    size_t n, max = 70000, fixed = 2 + 8 + 8 + 16 + 16 + 2;

    (void) state;

    host = malloc(max);
    buf = malloc(max * 2);
    assert_non_null(host);
    assert_non_null(buf);
    memset(host, 'h', max);

    /* never larger than a record may be, whatever the buffer */
    s.host = (aml_str_t){host, AML_RECORD_MAX - fixed};
    n = aml_session_encode(&s, buf, max * 2);
    assert_int_equal(n, AML_RECORD_MAX);
    assert_int_equal(session_rc((aml_str_t){buf, n}), AML_RECORD_OK);

    s.host.n++;
    assert_int_equal(aml_session_encode(&s, buf, max * 2), 0);
    s.host.n = 65536;
    assert_int_equal(aml_session_encode(&s, buf, max * 2), 0);
    s.host.n = 65537;
    assert_int_equal(aml_session_encode(&s, buf, max * 2), 0);

    free(host);
    free(buf);
}


/* ---- keys ---- */

static void
test_keys(void **state)
{
    char key[AML_REGISTRY_KEY_MAX + 1];
    uint8_t hash[32];
    aml_principal_id_t one = id(0xab);
    size_t i;

    (void) state;

    for (i = 0; i < 32; i++) {
        hash[i] = (uint8_t) (i * 8 + 7);
    }

    assert_int_equal(aml_key_session(key, hash), 8 + 64);
    assert_string_equal(key, "session/070f171f272f373f474f575f676f777f"
                             "878f979fa7afb7bfc7cfd7dfe7eff7ff");
    assert_int_equal(aml_key_principal(key, &one), 10 + 36);
    assert_string_equal(key, "principal/ab000000-0000-0000-0000-0000000000fe");
    assert_int_equal(aml_key_role(key, &one), 5 + 36);
    assert_string_equal(key, "role/ab000000-0000-0000-0000-0000000000fe");

    assert_int_equal(aml_key_route(key, aml_str("first-lab"), 8888), 20);
    assert_string_equal(key, "route/first-lab/8888");
    assert_int_not_equal(aml_key_route(key, aml_str("a"), 0), 0);
    assert_string_equal(key, "route/a/0");
    assert_int_not_equal(aml_key_route(key, aml_str("a"), 65535), 0);
    assert_string_equal(key, "route/a/65535");

    assert_int_equal(aml_key_route(key, aml_str(""), 1), 0);
    assert_int_equal(aml_key_route(key, aml_str("Lab"), 1), 0);
    assert_int_equal(aml_key_route(key, aml_str("a/b"), 1), 0);
    assert_int_equal(aml_key_route(key, aml_str("a\0"), 1), 0);
    assert_int_equal(aml_key_route(key, aml_str("a"), 65536), 0);

    assert_int_not_equal(
        aml_key_issuer(key, aml_str("https://aml.localhost:8443")), 0);
    assert_string_equal(key, "issuer/https:%2F%2Faml.localhost:8443");
}


/* The key ID comes out of the token: it must not reach into the keys of
 * another issuer, whose name begins like its own. */
static void
test_keys_apart(void **state)
{
    static const struct {
        aml_str_t iss, kid;
    } pair[] = {{aml_str("https://x"), aml_str("t/k")},
                {aml_str("https://x/t"), aml_str("k")},
                {aml_str("https://x/"), aml_str("t/k")},
                {aml_str("https://x%2Ft"), aml_str("k")},
                {aml_str("https://x"), aml_str("t%2Fk")},
                {aml_str("https://x"), aml_str("t")},
                {aml_str("https://x"), aml_str("t\0")},
                {aml_str("https://x"), aml_str("t%00")},
                {aml_str("https://x"), aml_str("")},
                {aml_str("https://x"), aml_str("T")},
                {aml_str("https://x"), aml_str("\xc3\xa9")},
                {aml_str("https://x"), aml_str("\xff")}};
    char key[12][AML_REGISTRY_KEY_MAX + 1], prefix[AML_REGISTRY_KEY_MAX + 1];
    size_t i, j, n, plen;

    (void) state;

    plen = aml_key_key(prefix, aml_str("https://x"), aml_str(""));
    assert_int_equal(prefix[plen - 1], '/');

    for (i = 0; i < 12; i++) {
        n = aml_key_key(key[i], pair[i].iss, pair[i].kid);
        assert_int_equal(n, strlen(key[i]));

        for (j = 0; j < n; j++) {
            assert_true(key[i][j] > ' ' && key[i][j] < 0x7f);
        }

        for (j = 0; j < i; j++) {
            assert_string_not_equal(key[i], key[j]);
        }

        assert_int_equal(strncmp(key[i], prefix, plen) == 0,
                         aml_str_eq(pair[i].iss, aml_str("https://x")));
    }
}


static void
test_keys_long(void **state)
{
    size_t n;
    char text[600], *key;

    (void) state;

    memset(text, 'x', sizeof(text));

    for (n = 480; n < sizeof(text); n++) {
        key = malloc(AML_REGISTRY_KEY_MAX + 1);
        assert_non_null(key);
        assert_int_equal(aml_key_key(key, aml_str("i"), (aml_str_t){text, n}),
                         4 + 2 + n <= AML_REGISTRY_KEY_MAX ? 4 + 2 + n : 0);
        assert_int_equal(aml_key_issuer(key, (aml_str_t){text, n}),
                         7 + n <= AML_REGISTRY_KEY_MAX ? 7 + n : 0);
        free(key);
    }

    /* three characters each, when they are escaped */
    memset(text, '/', sizeof(text));
    for (n = 160; n < 180; n++) {
        key = malloc(AML_REGISTRY_KEY_MAX + 1);
        assert_non_null(key);
        assert_int_equal(aml_key_issuer(key, (aml_str_t){text, n}),
                         7 + 3 * n <= AML_REGISTRY_KEY_MAX ? 7 + 3 * n : 0);
        free(key);
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_principal),
        cmocka_unit_test(test_route),
        cmocka_unit_test(test_public_key),
        cmocka_unit_test(test_principal_head),
        cmocka_unit_test(test_issuer),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_invalid_keys),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_apart),
        cmocka_unit_test(test_keys_long),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
