/*
 * What was asked: target, identity, form, parameters of a pattern.
 *
 * nginx decides on a path that it has normalised and hands on the one that
 * the client sent.  So nothing is normalised here: a path that could mean two
 * things is refused.
 */

#include "computes/http/http_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/cookie.h"


/* ---- decoding ---- */

static int
http_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}


/* RFC 3629: shortest form, no surrogates, at most U+10FFFF */
static int
http_is_utf8(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *) text;
    size_t i = 0, more, k;
    uint32_t c, least;

    while (i < n) {
        if (s[i] < 0x80) {
            i++;
            continue;
        }

        if ((s[i] & 0xe0) == 0xc0) {
            more = 1, c = s[i] & 0x1f, least = 0x80;
        } else if ((s[i] & 0xf0) == 0xe0) {
            more = 2, c = s[i] & 0x0f, least = 0x800;
        } else if ((s[i] & 0xf8) == 0xf0) {
            more = 3, c = s[i] & 0x07, least = 0x10000;
        } else {
            return 0;
        }

        if (n - i <= more) {
            return 0;
        }

        for (k = 1; k <= more; k++) {
            if ((s[i + k] & 0xc0) != 0x80) {
                return 0;
            }
            c = c << 6 | (s[i + k] & 0x3f);
        }

        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            return 0;
        }

        i += more + 1;
    }

    return 1;
}


/* %XX, and "+" when `plus`, into `dst` (n + 1 bytes); the length, or -1 when
 * malformed, a NUL, or not UTF-8. */
static ssize_t
http_decode(char *dst, const char *src, size_t n, int plus)
{
    size_t i, len = 0;
    int high, low;

    for (i = 0; i < n; i++) {
        if (src[i] == '\0') {
            return -1;
        }

        if (src[i] != '%') {
            dst[len++] = plus && src[i] == '+' ? ' ' : src[i];
            continue;
        }

        if (n - i < 3) {
            return -1;
        }

        high = http_hex(src[i + 1]);
        low = http_hex(src[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            return -1;
        }

        dst[len++] = (char) (high << 4 | low);
        i += 2;
    }

    dst[len] = '\0';

    return http_is_utf8(dst, len) ? (ssize_t) len : -1;
}


int
amld_http_parse_pairs(amld_http_pairs_t *pairs, const char *text, size_t n)
{
    const char *end = text + n, *amp, *equals;
    amld_http_pair_t *pair;
    ssize_t len;
    char *room;

    if (n == 0) {
        return 0;
    }

    /* decoded text is never longer; a NUL behind each name and value */
    room = malloc(n + 2 * AMLD_HTTP_PAIRS);
    if (room == NULL) {
        return -1;
    }
    pairs->room = room;

    while (text < end) {
        amp = memchr(text, '&', (size_t) (end - text));
        if (amp == NULL) {
            amp = end;
        }

        if (amp == text) {
            text++;
            continue;
        }

        if (pairs->n == AMLD_HTTP_PAIRS) {
            return -1;
        }
        pair = &pairs->pair[pairs->n++];

        equals = memchr(text, '=', (size_t) (amp - text));
        if (equals == NULL) {
            equals = amp;
        }

        len = http_decode(room, text, (size_t) (equals - text), 1);
        if (len < 0) {
            return -1;
        }
        pair->name = room;
        pair->name_len = (size_t) len;
        room += len + 1;

        pair->value = room;
        if (equals < amp) {
            len = http_decode(room, equals + 1, (size_t) (amp - equals - 1), 1);
            if (len < 0) {
                return -1;
            }
            room += len + 1;
        } else {
            *room++ = '\0';
        }

        text = amp + 1;
    }

    return 0;
}


void
amld_http_pairs_free(amld_http_pairs_t *pairs)
{
    free(pairs->room);
    pairs->room = NULL;
    pairs->n = 0;
}


/* The first; `count`, unless NULL, is how many there are. */
static const char *
http_pair_value(const amld_http_pairs_t *pairs, const char *name, size_t *count)
{
    const char *value = NULL;
    size_t i, n = strlen(name), found = 0;

    for (i = 0; i < pairs->n && (found == 0 || count != NULL); i++) {
        if (pairs->pair[i].name_len == n &&
            memcmp(pairs->pair[i].name, name, n) == 0) {
            value = found++ == 0 ? pairs->pair[i].value : value;
        }
    }

    if (count != NULL) {
        *count = found;
    }

    return value;
}


/* ---- the target ---- */

static const char *
http_check_path(const char *raw, size_t n, const char *path)
{
    const char *p, *segment;
    size_t i;

    for (i = 0; i + 2 < n; i++) {
        if (raw[i] == '%' && raw[i + 1] == '2' &&
            (raw[i + 2] == 'f' || raw[i + 2] == 'F')) {
            return "The path has an encoded slash.";
        }
    }

    for (p = path; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f || *p == '\\') {
            return "The path has a character that is not allowed.";
        }
    }

    segment = path + 1;
    if (*segment == '\0') {
        return NULL;
    }

    for (p = segment;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }

        n = (size_t) (p - segment);
        if (n == 0 && *p == '/') {
            return "The path has an empty segment.";
        }
        if ((n == 1 && segment[0] == '.') ||
            (n == 2 && segment[0] == '.' && segment[1] == '.')) {
            return "The path has a dot segment.";
        }

        if (*p == '\0') {
            return NULL;
        }
        segment = p + 1;
    }
}


const char *
amld_http_parse_target(amld_exchange_t *e)
{
    const char *target = e->target, *question;
    size_t n = strlen(target), path;

    if (n > AMLD_PATH_MAX) {
        return "The address is too long.";
    }

    if (target[0] != '/' || strchr(target, '#') != NULL) {
        return "The address is malformed.";
    }

    /* as the gateway takes it, see docs/decisions.md */
    if (target[1] == '/') {
        target++;
        n--;
    }

    question = strchr(target, '?');
    path = question != NULL ? (size_t) (question - target) : n;

    e->path = malloc(path + 1);
    if (e->path == NULL || http_decode(e->path, target, path, 0) < 0) {
        return "The path is malformed.";
    }
    e->request.path = e->path;

    if (question != NULL &&
        amld_http_parse_pairs(&e->query, question + 1, n - path - 1) != 0) {
        return "The query is malformed.";
    }

    return http_check_path(target, path, e->path);
}


/* ---- headers ---- */

typedef struct {
    const char *name;
    const char *value;
    int count;
} http_header_count_t;


static enum MHD_Result
http_header_each(void *data, enum MHD_ValueKind kind, const char *name,
                 const char *value)
{
    http_header_count_t *h = data;

    (void) kind;

    if (strcasecmp(name, h->name) == 0) {
        h->value = value != NULL ? value : "";
        h->count++;
    }

    return MHD_YES;
}


/* How often it is there; `value` is "" when it is not. */
static int
http_header(const amld_exchange_t *e, const char *name, const char **value)
{
    http_header_count_t h = {.name = name, .value = ""};

    MHD_get_connection_values(e->connection, MHD_HEADER_KIND, http_header_each,
                              &h);
    *value = h.value;

    return h.count;
}


static int
http_is_clean(const char *value)
{
    const char *p;

    for (p = value; *p != '\0'; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            return 0;
        }
    }

    return http_is_utf8(value, strlen(value));
}


static int
http_parse_session(const char *hex, uint8_t hash[32])
{
    int high, low;
    size_t i;

    if (strlen(hex) != 64) {
        return -1;
    }

    for (i = 0; i < 32; i++) {
        high = http_hex(hex[2 * i]);
        low = http_hex(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        hash[i] = (uint8_t) (high << 4 | low);
    }

    return 0;
}


const char *
amld_http_parse_headers(amld_exchange_t *e)
{
    static const char bad[] = "An identity header is malformed.";
    amld_request_t *r = &e->request;
    const char *principal, *credential, *session, *sign_in, *groups, *other;
    struct {
        const char *name;
        const char **value;
    } once[] = {
        {"Host", &r->host},
        {"X-Forwarded-For", &r->client},
        {"X-AML-Request-Id", &r->id},
        {"X-AML-Name", &r->name},
        {"X-AML-Action", &r->action},
        {"X-AML-Principal", &principal},
        {"X-AML-Credential", &credential},
        {"X-AML-Session", &session},
        {"X-AML-Sign-In", &sign_in},
        {"X-AML-Groups", &groups},
        {"Origin", &other},
        {"Sec-Fetch-Site", &other},
        {"Sec-Fetch-Mode", &other},
        {"Sec-Fetch-Dest", &other},
        {"Authorization", &other},
    };
    size_t i;

    for (i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        if (http_header(e, once[i].name, once[i].value) > 1) {
            return "A header is repeated that may be there once.";
        }
        if (!http_is_clean(*once[i].value)) {
            return "A header has a character that is not allowed.";
        }
    }

    if (*principal == '\0') {
        r->name = "";
        return *credential == '\0' && *session == '\0' && *sign_in == '\0' &&
                       *groups == '\0'
                   ? NULL
                   : bad;
    }

    if (aml_uuid_parse(aml_str_of(principal), &r->principal) != 0) {
        return bad;
    }

    r->by_session = strcmp(credential, "session") == 0;
    r->by_personal = strcmp(credential, "personal-token") == 0;

    if (r->by_session || r->by_personal) {
        if (http_parse_session(session, r->session) != 0) {
            return bad;
        }

    } else if (strcmp(credential, "token") != 0 || *session != '\0') {
        return bad;
    }

    if (*groups != '\0' && strcmp(groups, "unknown") != 0) {
        return bad;
    }
    r->groups_unknown = *groups != '\0';

    if (*sign_in != '\0') {
        if (aml_uuid_parse(aml_str_of(sign_in), &r->sign_in) != 0) {
            return bad;
        }
        r->in_sign_in = 1;
    }

    r->identified = 1;

    return NULL;
}


const char *
amld_http_parse_form(amld_exchange_t *e)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const char *value;
    size_t n = sizeof(type) - 1;

    if (http_header(e, "Content-Type", &value) != 1 ||
        strncasecmp(value, type, n) != 0 ||
        (value[n] != '\0' && value[n] != ';' && value[n] != ' ')) {
        return NULL;
    }

    if (amld_http_parse_pairs(&e->form, e->request.body, e->request.body_len) !=
        0) {
        return "The form is malformed.";
    }

    return NULL;
}


/* ---- patterns ---- */

static int
http_segment(const char **text, aml_str_t *segment)
{
    const char *slash;

    if (**text != '/') {
        return 0;
    }

    segment->p = *text + 1;
    slash = strchr(segment->p, '/');
    segment->n =
        slash != NULL ? (size_t) (slash - segment->p) : strlen(segment->p);
    *text = segment->p + segment->n;

    return 1;
}


static char *
http_param(amld_http_pairs_t *params, char *room, const char *name,
           size_t name_len, const char *value, size_t n)
{
    amld_http_pair_t *pair = &params->pair[params->n++];

    pair->name = name;
    pair->name_len = name_len;
    pair->value = room;
    memcpy(room, value, n);
    room[n] = '\0';

    return room + n + 1;
}


int
amld_http_match(const char *pattern, const char *path,
                amld_http_pairs_t *params)
{
    aml_str_t want, have;
    char *room;
    size_t n = 0;

    amld_http_pairs_free(params);

    room = malloc(strlen(path) + AMLD_HTTP_SEGMENTS + 1);
    if (room == NULL) {
        return -1;
    }
    params->room = room;

    while (http_segment(&pattern, &want)) {
        if (++n > AMLD_HTTP_SEGMENTS || !http_segment(&path, &have)) {
            return 0;
        }

        if (want.n == 1 && want.p[0] == '*') {
            http_param(params, room, "*", 1, have.p, strlen(have.p));
            return have.n > 0;
        }

        if (want.n > 2 && want.p[0] == '{' && want.p[want.n - 1] == '}') {
            if (have.n == 0) {
                return 0;
            }
            room = http_param(params, room, want.p + 1, want.n - 2, have.p,
                              have.n);
            continue;
        }

        if (!aml_str_caseeq(want, have)) {
            return 0;
        }
    }

    return *path == '\0';
}


/* ---- what handlers ask ---- */

void
amld_request_audited(const amld_request_t *request)
{
    amld_exchange_t *e = request->internal;

    if (e != NULL) {
        e->audited = 1;
    }
}


const char *
amld_request_param(const amld_request_t *request, const char *name)
{
    const amld_exchange_t *e = request->internal;

    return http_pair_value(&e->params, name, NULL);
}


const char *
amld_request_query(const amld_request_t *request, const char *name)
{
    const amld_exchange_t *e = request->internal;

    return http_pair_value(&e->query, name, NULL);
}


int
amld_request_query_repeated(const amld_request_t *request, const char *name)
{
    const amld_exchange_t *e = request->internal;
    size_t count;

    (void) http_pair_value(&e->query, name, &count);

    return count > 1;
}


const char *
amld_request_form(const amld_request_t *request, const char *name)
{
    const amld_exchange_t *e = request->internal;

    return http_pair_value(&e->form, name, NULL);
}


const char *
amld_request_header(const amld_request_t *request, const char *name)
{
    const amld_exchange_t *e = request->internal;
    const char *value;

    return http_header(e, name, &value) > 0 ? value : NULL;
}


typedef struct {
    aml_str_t name;
    aml_str_t value;
    int count;
} http_cookie_t;


static enum MHD_Result
http_cookie_each(void *data, enum MHD_ValueKind kind, const char *name,
                 const char *value)
{
    http_cookie_t *c = data;
    aml_str_t found;
    int n;

    (void) kind;

    if (strcasecmp(name, "Cookie") != 0 || value == NULL) {
        return MHD_YES;
    }

    n = aml_cookie_find(aml_str_of(value), c->name, &found);
    if (n > 0) {
        c->value = found;
        c->count += n;
    }

    return MHD_YES;
}


int
amld_request_cookie(const amld_request_t *request, const char *name,
                    char *value, size_t size)
{
    const amld_exchange_t *e = request->internal;
    http_cookie_t c = {.name = aml_str_of(name)};

    MHD_get_connection_values(e->connection, MHD_HEADER_KIND, http_cookie_each,
                              &c);

    if (c.count != 1 || c.value.n >= size) {
        return -1;
    }

    memcpy(value, c.value.p, c.value.n);
    value[c.value.n] = '\0';

    return 0;
}
