#include "auth/cookie.h"


typedef struct {
    aml_str_t whole; /* with its blanks, without the semicolon */
    aml_str_t name;
    aml_str_t value;
    int equals;
} cookie_pair_t;


static aml_str_t
trim(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    return (aml_str_t){p, (size_t) (end - p)};
}


/* Takes the pair at `p` and returns where the next one starts, or NULL. */
static const char *
next_pair(const char *p, const char *end, cookie_pair_t *pair)
{
    const char *semicolon, *stop, *equals;

    semicolon = memchr(p, ';', (size_t) (end - p));
    stop = semicolon != NULL ? semicolon : end;
    equals = memchr(p, '=', (size_t) (stop - p));

    pair->whole = (aml_str_t){p, (size_t) (stop - p)};
    pair->equals = equals != NULL;
    pair->name = trim(p, equals != NULL ? equals : stop);
    pair->value = equals != NULL ? trim(equals + 1, stop) : trim(stop, stop);

    return semicolon != NULL ? semicolon + 1 : NULL;
}


static int
is_ours(aml_str_t name)
{
    static const aml_str_t prefix = {AML_COOKIE_SESSION,
                                     sizeof(AML_COOKIE_SESSION) - 1};

    if (name.n < prefix.n || memcmp(name.p, prefix.p, prefix.n) != 0) {
        return 0;
    }

    return name.n == prefix.n || name.p[prefix.n] == '-';
}


int
aml_cookie_find(aml_str_t header, aml_str_t name, aml_str_t *value)
{
    const char *p, *end;
    cookie_pair_t pair;
    int found = 0;

    *value = (aml_str_t){NULL, 0};
    if (header.n == 0 || name.n == 0) {
        return 0;
    }

    p = header.p;
    end = p + header.n;

    while (p != NULL) {
        p = next_pair(p, end, &pair);
        if (!pair.equals || !aml_str_eq(pair.name, name)) {
            continue;
        }
        if (found == 1) {
            return 2;
        }
        found = 1;
        *value = pair.value;
    }

    return found;
}


size_t
aml_cookie_strip(char *dst, aml_str_t header)
{
    const char *p, *end;
    cookie_pair_t pair;
    size_t n = 0;
    int removed = 0;

    if (header.p == NULL || header.n == 0) {
        return 0;
    }

    p = header.p;
    end = p + header.n;

    while (p != NULL) {
        p = next_pair(p, end, &pair);

        /* A name without '=' is nobody's cookie, but must not reach an
         * application that takes it for one. */
        if (is_ours(pair.name)) {
            removed = 1;
            continue;
        }
        if (pair.name.n == 0 && !pair.equals) {
            continue;
        }

        if (n == 0) {
            pair.whole = trim(pair.whole.p, pair.whole.p + pair.whole.n);
        } else {
            dst[n++] = ';';
        }
        memcpy(dst + n, pair.whole.p, pair.whole.n);
        n += pair.whole.n;
    }

    if (!removed) {
        memcpy(dst, header.p, header.n);
        return header.n;
    }

    return n;
}
