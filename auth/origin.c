#include "auth/origin.h"


static int
is_read(aml_str_t method)
{
    return aml_str_eq(method, aml_str("GET")) ||
           aml_str_eq(method, aml_str("HEAD"));
}


/* RFC 9110 section 9.2.1; TRACE is never proxied. */
static int
is_safe(aml_str_t method)
{
    return is_read(method) || aml_str_eq(method, aml_str("OPTIONS"));
}


static int
is_own_origin(aml_str_t origin, aml_str_t host)
{
    static const char scheme[] = "https://";
    const size_t n = sizeof(scheme) - 1;

    if (host.n == 0 || origin.n != n + host.n ||
        memcmp(origin.p, scheme, n) != 0) {
        return 0;
    }

    return aml_str_caseeq((aml_str_t){origin.p + n, host.n}, host);
}


int
aml_origin_allowed(const aml_origin_t *o)
{
    int safe = is_safe(o->method);

    if (!o->websocket && is_read(o->method) &&
        aml_str_eq(o->fetch_mode, aml_str("navigate")) &&
        (aml_str_eq(o->fetch_dest, aml_str("document")) ||
         (o->embeddable && aml_str_eq(o->fetch_dest, aml_str("iframe"))))) {
        return 1;
    }

    if (o->origin.n != 0 && !is_own_origin(o->origin, o->host)) {
        return 0;
    }

    if (o->fetch_site.n != 0 &&
        !aml_str_eq(o->fetch_site, aml_str("same-origin")) &&
        !(safe && aml_str_eq(o->fetch_site, aml_str("none")))) {
        return 0;
    }

    if (!safe || o->websocket) {
        return o->origin.n != 0 || o->fetch_site.n != 0;
    }

    return 1;
}


/* Does the list of media ranges (RFC 9110 section 12.5.1) name text/html? */
static int
accepts_html(aml_str_t accept)
{
    const char *p, *end, *stop;
    aml_str_t range;

    if (accept.n == 0) {
        return 0;
    }

    p = accept.p;
    end = p + accept.n;

    for (;;) {
        stop = memchr(p, ',', (size_t) (end - p));
        if (stop == NULL) {
            stop = end;
        }

        while (p < stop && (*p == ' ' || *p == '\t')) {
            p++;
        }
        range.p = p;
        while (p < stop && *p != ';' && *p != ' ' && *p != '\t') {
            p++;
        }
        range.n = (size_t) (p - range.p);

        if (aml_str_caseeq(range, aml_str("text/html"))) {
            return 1;
        }
        if (stop == end) {
            return 0;
        }
        p = stop + 1;
    }
}


int
aml_origin_is_page(const aml_origin_t *o, aml_str_t accept,
                   aml_str_t requested_with)
{
    if (!is_read(o->method) || o->websocket) {
        return 0;
    }

    if (o->fetch_mode.n != 0) {
        return aml_str_eq(o->fetch_mode, aml_str("navigate"));
    }

    /* Android's web views send their package name in X-Requested-With, also
     * for what a person opens: only the one value means XHR. */
    if (aml_str_caseeq(requested_with, aml_str("XMLHttpRequest"))) {
        return 0;
    }

    return accepts_html(accept);
}
