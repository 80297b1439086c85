/*
 * Hosts, cookies, methods with paths, policies and base64url: what a stranger
 * or an application sends before anything is known about them.  The first byte
 * chooses.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/action.h"
#include "auth/base64url.h"
#include "auth/cookie.h"
#include "auth/csp.h"
#include "auth/origin.h"
#include "upstreams/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);


/* Up to the next newline. */
static aml_str_t
field(aml_str_t *rest)
{
    aml_str_t line = *rest;
    const char *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;

    if (end == NULL) {
        *rest = (aml_str_t){NULL, 0};
        return line;
    }
    line.n = (size_t) (end - line.p);
    rest->p = end + 1;
    rest->n -= line.n + 1;
    return line;
}


static void
hosts(aml_str_t in)
{
    aml_host_t h;
    aml_str_t name;

    if (aml_host_parse(in, aml_str("instances.example.org"), &h) != 0) {
        return;
    }
    name = (aml_str_t){h.name, h.name_len};
    assert(h.port >= 1 && h.port <= 65535);
    assert(aml_instance_name_check(name) == AML_NAME_OK);
    for (size_t i = 0; i < h.name_len; i++) {
        assert(h.name[i] < 'A' || h.name[i] > 'Z');
    }
}


static void
cookies(aml_str_t in)
{
    aml_str_t value;
    char *dst = malloc(in.n > 0 ? in.n : 1);

    if (dst == NULL) {
        return;
    }
    if (aml_cookie_find(in, aml_str(AML_COOKIE_SESSION), &value) > 0) {
        assert(value.n <= in.n);
    }
    size_t left = aml_cookie_strip(dst, in);
    assert(left <= in.n);
    aml_str_t out = {dst, left};
    assert(aml_cookie_find(out, aml_str(AML_COOKIE_SESSION), &value) == 0);
    assert(aml_cookie_find(out, aml_str(AML_COOKIE_BROWSER), &value) == 0);
    free(dst);
}


static void
actions(aml_str_t in)
{
    aml_action_t a;
    aml_str_t method = field(&in);

    if (aml_action_of(method, in, &a) != 0) {
        return;
    }
    assert(a.action_len > 0 && a.action_len <= sizeof(a.action));
    assert(a.scope.p >= in.p && a.scope.p + a.scope.n <= in.p + in.n);
}


static void
origins(aml_str_t in)
{
    aml_origin_t o = {0};
    aml_str_t accept, with;

    o.method = field(&in);
    o.host = field(&in);
    o.origin = field(&in);
    o.fetch_site = field(&in);
    o.fetch_mode = field(&in);
    o.fetch_dest = field(&in);
    accept = field(&in);
    with = field(&in);
    o.websocket = in.n & 1;
    (void) aml_origin_is_page(&o, accept, with);
    if (aml_origin_allowed(&o) && aml_str_eq(o.method, aml_str("POST"))) {
        /* somebody has to have said that it is the same origin */
        assert(o.origin.n > 0 ||
               aml_str_eq(o.fetch_site, aml_str("same-origin")));
    }
}


static void
policies(aml_str_t in)
{
    char *dst = malloc(in.n > 0 ? in.n : 1);

    if (dst == NULL) {
        return;
    }
    size_t n = aml_csp_without_ancestors(dst, in);
    assert(n <= in.n);
    for (size_t i = 0, first = 1; i < n; i++) {
        if (dst[i] == ';' || dst[i] == ',') {
            first = 1;
        } else if (dst[i] != ' ' && dst[i] != '\t' && dst[i] != '\f' && first) {
            first = 0;
            size_t name = sizeof("frame-ancestors") - 1;
            assert(
                n - i < name ||
                !aml_str_caseeq((aml_str_t){dst + i, name},
                                aml_str("frame-ancestors")) ||
                (n - i > name && memchr(" \t\f;,", dst[i + name], 5) == NULL));
        }
    }
    assert(aml_csp_without_ancestors(dst, (aml_str_t){dst, n}) == n);
    free(dst);
}


static void
base64url(aml_str_t in)
{
    size_t n = 0;
    char *raw = malloc(aml_base64url_room(in.n) + 1);
    char *again = malloc(in.n + 4);

    if (raw != NULL && again != NULL &&
        aml_base64url_decode(raw, &n, in.p, in.n) == 0) {
        /* one spelling only */
        assert(n <= aml_base64url_room(in.n));
        assert(aml_base64url_encode(again, raw, n) == in.n);
        assert(in.n == 0 || memcmp(again, in.p, in.n) == 0);
    }
    free(raw);
    free(again);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const targets[])(aml_str_t) = {hosts,   cookies,   actions,
                                                 origins, base64url, policies};

    if (n == 0) {
        return 0;
    }
    /* a copy of exactly that size, so that one byte too far is seen */
    char *copy = malloc(n);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    targets[data[0] % 6]((aml_str_t){copy + 1, n - 1});
    free(copy);
    return 0;
}
