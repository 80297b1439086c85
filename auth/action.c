#include "auth/action.h"

/* ARM's own limits are lower; these bound the work for a hostile path. */
#define PATH_MAX_BYTES 2048
#define SEGMENT_MAX 260

typedef struct {
    const char *p; /* where the next '/' is expected */
    const char *end;
} walk_t;


static int
is_segment_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '(' || c == ')';
}


/* 1 with the next segment, 0 at the end, -1 when it is malformed. */
static int
next_segment(walk_t *w, aml_str_t *segment)
{
    const char *p = w->p;

    if (p == w->end) {
        return 0;
    }
    if (*p++ != '/') {
        return -1;
    }

    segment->p = p;
    while (p < w->end && is_segment_char((unsigned char) *p)) {
        p++;
    }
    segment->n = (size_t) (p - segment->p);
    w->p = p;

    if (segment->n == 0 || segment->n > SEGMENT_MAX ||
        aml_str_eq(*segment, aml_str(".")) ||
        aml_str_eq(*segment, aml_str(".."))) {
        return -1;
    }

    return 1;
}


static int
append(aml_action_t *a, aml_str_t s, int slash)
{
    size_t n = s.n + (slash ? 1 : 0);

    if (n > sizeof(a->action) - a->action_len) {
        return -1;
    }
    if (slash) {
        a->action[a->action_len++] = '/';
    }
    memcpy(a->action + a->action_len, s.p, s.n);
    a->action_len += s.n;

    return 0;
}


/* The verb, and whether it needs the path to end in a name (1), in a type or
 * operation (0), or takes both (-1). */
static int
verb_of(aml_str_t method, aml_str_t *verb, int *wants_name)
{
    static const struct {
        const char *method, *verb;
        int wants_name;
    } verbs[] = {
        {"GET", "read", -1},   {"HEAD", "read", -1},    {"PUT", "write", 1},
        {"PATCH", "write", 1}, {"DELETE", "delete", 1}, {"POST", "action", 0},
    };
    size_t i;

    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (aml_str_eq(method, aml_str_of(verbs[i].method))) {
            *verb = aml_str_of(verbs[i].verb);
            *wants_name = verbs[i].wants_name;
            return 0;
        }
    }

    return -1;
}


/* Scope segments come in pairs, so that a subscription or resource group that
 * is called "providers" is not taken for the word. */
static int
skip_scope(walk_t *w, const char **scope_end)
{
    aml_str_t segment;

    for (;;) {
        *scope_end = w->p;
        if (next_segment(w, &segment) != 1) {
            return -1;
        }
        if (aml_str_caseeq(segment, aml_str("providers"))) {
            return 0;
        }
        if (next_segment(w, &segment) != 1) {
            return -1;
        }
    }
}


/*
 * "/Namespace/type/name/type/name…", from behind "providers".  A type that is
 * "providers" starts over: what follows is an extension of what came before.
 * `scope_end` comes in as the end of what is before "providers" and goes out
 * behind the last name.
 */
static int
read_types(walk_t *w, aml_action_t *a, const char **scope_end,
           int *ends_in_name)
{
    const char *outer = *scope_end;
    aml_str_t segment;
    int rc, located = 0, types = 0;

    if (next_segment(w, &segment) != 1 || append(a, segment, 0) != 0) {
        return -1;
    }

    while ((rc = next_segment(w, &segment)) == 1) {

        if (types > 0 && aml_str_caseeq(segment, aml_str("providers"))) {
            outer = *scope_end;
            located = 0;
            types = 0;
            a->action_len = 0;
            if (next_segment(w, &segment) != 1 || append(a, segment, 0) != 0) {
                return -1;
            }
            continue;
        }

        /* A location is no resource: nothing is assigned there. */
        if (types++ == 0) {
            located = aml_str_caseeq(segment, aml_str("locations"));
        }
        if (append(a, segment, 1) != 0) {
            return -1;
        }
        *ends_in_name = 0;

        rc = next_segment(w, &segment);
        if (rc != 1) {
            break;
        }
        *ends_in_name = 1;
        *scope_end = located ? outer : w->p;
    }

    return rc == 0 && types > 0 ? 0 : -1;
}


int
aml_action_of(aml_str_t method, aml_str_t path, aml_action_t *a)
{
    const char *scope_end;
    aml_str_t verb;
    walk_t w;
    int wants_name, ends_in_name = 0;

    a->action_len = 0;
    a->scope = (aml_str_t){NULL, 0};

    if (verb_of(method, &verb, &wants_name) != 0 || path.n == 0 ||
        path.n > PATH_MAX_BYTES) {
        return -1;
    }

    w = (walk_t){path.p, path.p + path.n};

    if (skip_scope(&w, &scope_end) != 0 ||
        read_types(&w, a, &scope_end, &ends_in_name) != 0) {
        return -1;
    }
    if (wants_name != -1 && wants_name != ends_in_name) {
        return -1;
    }
    if (append(a, verb, 1) != 0) {
        return -1;
    }

    /* Nothing above it: the root, "/". */
    if (scope_end == path.p) {
        scope_end++;
    }
    a->scope = (aml_str_t){path.p, (size_t) (scope_end - path.p)};

    return 0;
}
