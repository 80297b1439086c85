#include "auth/csp.h"


static int
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}


static aml_str_t
trim(const char *p, const char *end)
{
    while (p < end && is_blank(*p)) {
        p++;
    }
    while (p < end && is_blank(end[-1])) {
        end--;
    }

    return (aml_str_t){p, (size_t) (end - p)};
}


static int
is_ancestors(aml_str_t directive)
{
    size_t n = 0;

    while (n < directive.n && !is_blank(directive.p[n])) {
        n++;
    }

    return aml_str_caseeq((aml_str_t){directive.p, n},
                          aml_str("frame-ancestors"));
}


size_t
aml_csp_without_ancestors(char *dst, aml_str_t value)
{
    char *d = dst, separator = '\0';
    const char *p = value.p, *end = value.p + value.n, *stop;
    aml_str_t directive;

    /* a separator is written when something follows, and not more often than
     * one was read: what is written never overtakes what is read */

    while (p < end) {
        for (stop = p; stop < end && *stop != ';' && *stop != ','; stop++) {
            /* void */
        }

        directive = trim(p, stop);

        if (directive.n != 0 && !is_ancestors(directive)) {
            if (separator != '\0' && d != dst) {
                *d++ = separator;
            }
            separator = '\0';

            memmove(d, directive.p, directive.n);
            d += directive.n;
        }

        /* the end of a policy is more than that of a directive */
        if (stop < end && separator != ',') {
            separator = *stop;
        }

        p = stop < end ? stop + 1 : end;
    }

    return (size_t) (d - dst);
}
