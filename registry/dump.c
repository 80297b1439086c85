#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "auth/key.h"
#include "registry/dump.h"
#include "registry/dump_secrets.h"
#include "registry/records.h"

#define DUMP_BATCH 512     /* records a snapshot */
#define DUMP_HASH_SHOWN 12 /* hex digits */


typedef struct {
    aml_str_t key, value;
    aml_str_t family, rest; /* of the key, without the '/' between them */
} entry_t;

typedef json_t *(*dump_value_pt)(const entry_t *e);

typedef struct {
    const char *name;
    int hash_last; /* the key's last part is a hash that is a credential; 2: or
                    * a host, which has a dot */
    dump_value_pt value;
} family_t;

typedef struct {
    FILE *out; /* memory */
    int json;
    int any;     /* something was printed before */
    size_t left; /* of the batch */
    char last[AML_REGISTRY_KEY_MAX];
    size_t last_len;
    char family[AML_REGISTRY_KEY_MAX];
    size_t family_len;
    int failed;
} dump_t;


/* ---- pieces of values ---- */

/* What is not UTF-8 is written as \xNN, byte by byte. */
static json_t *
string_of(aml_str_t s)
{
    char *text, *p;
    size_t i;
    json_t *json;

    json = json_stringn(s.n != 0 ? s.p : "", s.n);
    if (json != NULL) {
        return json;
    }

    text = malloc(s.n * 4 + 1);
    if (text == NULL) {
        return NULL;
    }

    for (i = 0, p = text; i < s.n; i++) {
        if (s.p[i] >= ' ' && s.p[i] < 0x7f) {
            *p++ = s.p[i];
        } else {
            p += sprintf(p, "\\x%02x", (unsigned char) s.p[i]);
        }
    }

    json = json_stringn(text, (size_t) (p - text));
    free(text);

    return json;
}


static json_t *
uuid_of(const aml_principal_id_t *id)
{
    char text[AML_UUID_TEXT + 1];

    aml_uuid_format(id, text);

    return json_string(text);
}


/* Seconds since 1970 as RFC 3339, 0 as null. */
static json_t *
time_of(int64_t seconds)
{
    char text[64];
    time_t t = (time_t) seconds;
    struct tm tm;

    if (seconds == 0) {
        return json_null();
    }

    if (gmtime_r(&t, &tm) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(text, sizeof(text), "%" PRId64, seconds);
    }

    return json_string(text);
}


/* A JSON integer is signed. */
static json_t *
number_of(uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);

    return json_string(text);
}


static json_t *
not_shown(size_t n)
{
    return json_sprintf("(not shown, %zu bytes)", n);
}


static json_t *
unreadable(aml_record_rc_t rc)
{
    return json_string(rc == AML_RECORD_TRUNCATED ? "(unreadable: wrong length)"
                       : rc == AML_RECORD_VERSION
                           ? "(unreadable: unknown version)"
                           : "(unreadable: invalid)");
}


/* A part of a key as it was before aml_key_key() or aml_key_issuer(). */
static json_t *
key_part(aml_str_t part)
{
    char text[AML_REGISTRY_KEY_MAX], hex[3];
    size_t i, n;

    for (i = 0, n = 0; i < part.n && n < sizeof(text); i++) {
        if (part.p[i] == '%' && part.n - i > 2) {
            hex[0] = part.p[i + 1];
            hex[1] = part.p[i + 2];
            hex[2] = '\0';
            text[n++] = (char) strtoul(hex, NULL, 16);
            i += 2;
        } else {
            text[n++] = part.p[i];
        }
    }

    return string_of((aml_str_t){text, n});
}


/* ---- records ---- */

static json_t *
session_value(const entry_t *e)
{
    aml_session_t s;
    aml_record_rc_t rc;

    rc = aml_session_decode(e->value, &s);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "principal",
                     uuid_of(&s.principal), "host", string_of(s.host),
                     "created", time_of(s.created), "expires",
                     time_of(s.expires), "signIn", uuid_of(&s.sign_in));
}


static json_t *
principal_value(const entry_t *e)
{
    json_t *list;
    aml_str_t rest;
    aml_assignment_t a;
    aml_principal_t p;
    aml_record_rc_t rc;

    rc = aml_principal_decode(e->value, &p);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    list = json_array();

    for (rest = p.assignments; aml_assignment_next(&rest, &a);) {
        (void) json_array_append_new(list, json_pack("{s:o, s:o}", "role",
                                                     uuid_of(&a.role), "scope",
                                                     string_of(a.scope)));
    }

    return json_pack("{s:o, s:o, s:o, s:b, s:b, s:o}", "name",
                     string_of(p.name), "issuer", string_of(p.issuer),
                     "notBefore", time_of(p.not_before), "disabled",
                     (p.flags & AML_PRINCIPAL_DISABLED) != 0, "group",
                     (p.flags & AML_PRINCIPAL_GROUP) != 0, "assignments", list);
}


static json_t *
grant_value(const entry_t *e)
{
    unsigned i;
    json_t *groups;
    aml_grant_t g;
    aml_record_rc_t rc;
    aml_principal_id_t id;

    rc = aml_grant_decode(e->value, &g);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    groups = json_array();

    for (i = 0; i < g.group_count; i++) {
        id = aml_grant_group(&g, i);
        (void) json_array_append_new(groups, uuid_of(&id));
    }

    return json_pack("{s:o, s:o, s:b, s:o}", "principal", uuid_of(&g.principal),
                     "expires", time_of(g.expires), "groupsUnknown",
                     (g.flags & AML_GRANT_UNKNOWN) != 0, "groups", groups);
}


static json_t *
strings_of(const aml_str_t *list, unsigned n)
{
    unsigned i;
    json_t *array = json_array();

    for (i = 0; i < n; i++) {
        (void) json_array_append_new(array, string_of(list[i]));
    }

    return array;
}


static json_t *
token_value(const entry_t *e)
{
    aml_personal_token_t t;
    aml_record_rc_t rc;

    rc = aml_personal_token_decode(e->value, &t);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "id",
                     uuid_of(&t.id), "principal", uuid_of(&t.principal),
                     "label", string_of(t.label), "created", time_of(t.created),
                     "expires", time_of(t.expires), "allInstances",
                     t.instance_count == 0 &&
                         (t.flags & AML_TOKEN_NO_INSTANCES) == 0,
                     "instances", strings_of(t.instances, t.instance_count),
                     "actions", strings_of(t.actions, t.action_count));
}


static json_t *
route_value(const entry_t *e)
{
    static const char *const states[AML_INSTANCE_STATES] = {
        "Unknown", "Creating",   "Starting", "Running", "Stopping",
        "Stopped", "Restarting", "Deleting", "Failed"};
    json_t *json;
    aml_route_t r;
    aml_record_rc_t rc;

    rc = aml_route_decode(e->value, &r);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    json =
        json_pack("{s:o, s:s, s:o, s:o, s:i}", "name", string_of(r.name),
                  "state", states[r.state], "creator", uuid_of(&r.creator),
                  "generation", number_of(r.generation), "port", (int) r.port);
    if (json == NULL) {
        return NULL;
    }

    if (r.address.n != 0) {
        (void) json_object_set_new(json, "address", string_of(r.address));
    }

    if (r.compute.n != 0) {
        (void) json_object_set_new(json, "compute", string_of(r.compute));
    }

    return json;
}


static json_t *
key_value(const entry_t *e)
{
    static const char *const types[] = {"", "RSA", "EC", "OKP"};
    static const char *const curves[] = {"",      "P-256",   "P-384",
                                         "P-521", "Ed25519", "Ed448"};
    json_t *json;
    aml_str_t issuer, kid;
    const char *slash;
    aml_record_rc_t rc;
    aml_public_key_t k;

    rc = aml_public_key_decode(e->value, &k);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    issuer = e->rest;
    kid = aml_str("");
    slash = memchr(e->rest.p, '/', e->rest.n);
    if (slash != NULL) {
        issuer.n = (size_t) (slash - e->rest.p);
        kid = (aml_str_t){slash + 1, e->rest.n - issuer.n - 1};
    }

    json = json_pack("{s:o, s:o, s:s, s:o}", "issuer", key_part(issuer), "kid",
                     key_part(kid), "type", types[k.kty], "expires",
                     time_of(k.expires));
    if (json == NULL) {
        return NULL;
    }

    if (k.kty == AML_KTY_RSA) {
        (void) json_object_set_new(json, "bits",
                                   json_integer((json_int_t) k.a.n * 8));
    } else {
        (void) json_object_set_new(json, "curve", json_string(curves[k.curve]));
    }

    if (k.alg != AML_ALG_NONE) {
        (void) json_object_set_new(json, "alg",
                                   string_of(aml_alg_name((aml_alg_t) k.alg)));
    }

    return json;
}


static json_t *
issuer_value(const entry_t *e)
{
    unsigned i;
    json_t *algs;
    aml_str_t identity;
    aml_issuer_t is;
    aml_record_rc_t rc;

    rc = aml_issuer_decode(e->value, &is);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    algs = json_array();
    for (i = AML_ALG_NONE + 1; i < AML_ALG_COUNT; i++) {
        if (is.algs & (UINT32_C(1) << i)) {
            (void) json_array_append_new(
                algs, string_of(aml_alg_name((aml_alg_t) i)));
        }
    }

    identity = is.identity == AML_IDENTITY_ENTRA       ? aml_str("tid+oid")
               : is.identity == AML_IDENTITY_PRINCIPAL ? aml_str("principal")
               : is.identity_claim.n != 0              ? is.identity_claim
                                                       : aml_str("sub");

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I, s:I}", "issuer",
        key_part(e->rest), "algorithms", algs, "audiences",
        strings_of(is.audiences, is.audience_count), "identity",
        string_of(identity), "space", string_of(is.space), "nameClaim",
        string_of(is.name_claim), "groupsClaim", string_of(is.groups_claim),
        "rolesClaim", string_of(is.roles_claim), "requireScope",
        (is.flags & AML_ISSUER_REQUIRE_SCOPE) != 0, "leewaySeconds",
        (json_int_t) is.leeway, "lifetimeSeconds", (json_int_t) is.lifetime);
}


static json_t *
counts_value(const entry_t *e)
{
    unsigned i;
    json_t *waits;
    aml_counts_t c;
    aml_record_rc_t rc;

    rc = aml_counts_decode(e->value, &c);
    if (rc != AML_RECORD_OK) {
        return unreadable(rc);
    }

    waits = json_array();
    for (i = 0; i < AML_COUNTS_WAITS; i++) {
        (void) json_array_append_new(waits,
                                     json_integer((json_int_t) c.job_waits[i]));
    }

    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I}",
        "jobsSubmitted", (json_int_t) c.jobs_submitted, "jobsCompleted",
        (json_int_t) c.jobs_completed, "jobsFailed", (json_int_t) c.jobs_failed,
        "jobsCanceled", (json_int_t) c.jobs_canceled, "jobsQueued",
        (json_int_t) c.jobs_queued, "jobsRunning", (json_int_t) c.jobs_running,
        "jobWaits", waits, "jobWaitedMilliseconds", (json_int_t) c.job_waited,
        "serviceStarts", (json_int_t) c.service_starts, "serviceRestarts",
        (json_int_t) c.service_restarts, "serviceFailures",
        (json_int_t) c.service_failures);
}


/* ---- documents ---- */

static json_t *
document_value(const entry_t *e)
{
    json_t *json, *copy;

    json = json_loadb(e->value.p, e->value.n, JSON_DECODE_ANY, NULL);

    /* text, such as the ID that a name stands for */
    if (json == NULL) {
        json = json_stringn(e->value.n != 0 ? e->value.p : "", e->value.n);
    }

    if (json == NULL) {
        return not_shown(e->value.n);
    }

    copy = aml_dump_without_secrets(json);
    json_decref(json);

    return copy;
}


/* Of families that hold secrets: named members only, and only plain ones. */
static json_t *
guarded_value(const entry_t *e)
{
    static const char *const members[] = {
        "host",    "principal",       "sign_in", "kid",
        "alg",     "created",         "expires", "retires",
        "issuer",  "not_before",      "state",   "active",
        "rotates", "session_expires", "signs"};
    size_t i;
    json_t *json, *copy, *v;

    json = json_loadb(e->value.p, e->value.n, 0, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return not_shown(e->value.n);
    }

    copy = json_object();

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        v = json_object_get(json, members[i]);

        if (v != NULL && !json_is_object(v) && !json_is_array(v)) {
            (void) json_object_set(copy, members[i], v);
        }
    }

    json_decref(json);

    return copy;
}


static json_t *
unknown_value(const entry_t *e)
{
    return not_shown(e->value.n);
}


static const family_t families[] = {{"account", 0, document_value},
                                    {"assignment", 0, document_value},
                                    {"assignment-at", 0, document_value},
                                    {"assignment-of", 0, document_value},
                                    {"code", 1, guarded_value},
                                    {"compute", 0, document_value},
                                    {"counts", 0, counts_value},
                                    {"folder", 0, document_value},
                                    {"grant", 0, grant_value},
                                    {"issuer", 0, issuer_value},
                                    {"job", 0, document_value},
                                    {"jobactive", 0, document_value},
                                    {"jobarchived", 0, document_value},
                                    {"jobqueue", 0, document_value},
                                    {"jobrun", 0, document_value},
                                    {"jobtime", 0, document_value},
                                    {"jobuse", 0, document_value},
                                    {"key", 0, key_value},
                                    {"keyset", 0, document_value},
                                    {"meta", 0, document_value},
                                    {"name", 0, document_value},
                                    {"operation", 0, document_value},
                                    {"operation-ended", 0, document_value},
                                    {"operation-of", 0, document_value},
                                    {"due", 0, document_value},
                                    {"samples", 0, document_value},
                                    {"unix-account", 0, document_value},
                                    {"pending", 0, document_value},
                                    {"principal", 0, principal_value},
                                    {"quota", 0, document_value},
                                    {"role", 0, document_value},
                                    {"route", 0, route_value},
                                    {"session", 1, session_value},
                                    {"share", 0, document_value},
                                    {"sign-in", 2, document_value},
                                    {"signing-key", 0, guarded_value},
                                    {"token", 1, token_value},
                                    {"token-of", 0, document_value},
                                    {"token-seen", 1, document_value},
                                    {"sid", 0, document_value},
                                    {"sign-in-of", 0, document_value},
                                    {"sign-in-secret", 0, guarded_value},
                                    {"flow", 1, guarded_value},
                                    {"device", 1, guarded_value},
                                    {"device-user", 1, unknown_value},
                                    {"refresh", 1, guarded_value},
                                    {NULL, 1, unknown_value}};


/* ---- printing ---- */

/* Control characters could drive the terminal; also those beyond ASCII. */
static void
print_plain(FILE *out, const char *s, size_t n)
{
    size_t i;
    unsigned char c;

    for (i = 0; i < n; i++) {
        c = (unsigned char) s[i];

        if (c == 0xc2 && i + 1 < n && (unsigned char) s[i + 1] < 0xa0) {
            fprintf(out, "\\x%02x\\x%02x", c, (unsigned char) s[++i]);

        } else if (c < ' ' || c == 0x7f) {
            fprintf(out, "\\x%02x", c);

        } else {
            fputc(c, out);
        }
    }
}


static int
print_json(FILE *out, const json_t *value, size_t flags)
{
    return json_dumpf(value, out, flags | JSON_ENCODE_ANY);
}


/* One line; strings as they are. */
static int
print_line(FILE *out, const json_t *value)
{
    int rc;
    char *text;

    if (json_is_string(value)) {
        print_plain(out, json_string_value(value), json_string_length(value));
        fputc('\n', out);
        return 0;
    }

    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL) {
        return -1;
    }

    print_plain(out, text, strlen(text));
    rc = fputc('\n', out) == EOF ? -1 : 0;
    free(text);

    return rc;
}


static int
print_text(FILE *out, const json_t *key, const json_t *value)
{
    json_t *v;
    const char *name;

    print_plain(out, json_string_value(key), json_string_length(key));

    if (!json_is_object(value)) {
        if (json_is_string(value) && json_string_length(value) == 0) {
            fputc('\n', out);
            return 0;
        }
        fputs("  ", out);
        return print_line(out, value);
    }

    fputc('\n', out);

    json_object_foreach((json_t *) value, name, v)
    {
        fputs("    ", out);
        print_plain(out, name, strlen(name));
        fputs(": ", out);

        if (print_line(out, v) != 0) {
            return -1;
        }
    }

    return 0;
}


/* The key as it is shown. */
static json_t *
shown_key(const entry_t *e, const family_t *f)
{
    char text[AML_REGISTRY_KEY_MAX + 4];
    size_t n, at;

    if (!f->hash_last) {
        return string_of(e->key);
    }

    for (at = e->key.n; at != 0 && e->key.p[at - 1] != '/'; at--) {
        /* void */
    }

    n = e->key.n;
    if (n - at <= DUMP_HASH_SHOWN ||
        (f->hash_last == 2 && memchr(e->key.p + at, '.', n - at) != NULL)) {
        return string_of(e->key);
    }

    n = at + DUMP_HASH_SHOWN;
    memcpy(text, e->key.p, n);
    memcpy(text + n, "...", 3);

    return string_of((aml_str_t){text, n + 3});
}


static const family_t *
family_of(entry_t *e)
{
    const char *slash;
    const family_t *f;

    e->family = e->key;
    e->rest = aml_str("");

    slash = memchr(e->key.p, '/', e->key.n);
    if (slash != NULL) {
        e->family.n = (size_t) (slash - e->key.p);
        e->rest = (aml_str_t){slash + 1, e->key.n - e->family.n - 1};
    }

    for (f = families; f->name != NULL; f++) {
        if (aml_str_eq(e->family, aml_str_of(f->name))) {
            break;
        }
    }

    return f;
}


static int
dump_entry(dump_t *d, entry_t *e)
{
    int rc = -1;
    json_t *key, *value, *all;
    const family_t *f;

    f = family_of(e);
    key = shown_key(e, f);
    value = f->value(e);

    if (key == NULL || value == NULL) {
        json_decref(key);
        json_decref(value);
        return -1;
    }

    if (d->json) {
        fputs(d->any ? ",\n" : "\n", d->out);
        all = json_pack("{s:O, s:o, s:O}", "key", key, "family",
                        string_of(e->family), "value", value);
        if (all != NULL) {
            rc = print_json(d->out, all, JSON_COMPACT);
            json_decref(all);
        }

    } else {
        if (d->any &&
            !aml_str_eq(e->family, (aml_str_t){d->family, d->family_len})) {
            fputc('\n', d->out);
        }
        rc = print_text(d->out, key, value);
    }

    memcpy(d->family, e->family.p, e->family.n);
    d->family_len = e->family.n;
    d->any = 1;

    json_decref(key);
    json_decref(value);

    return rc;
}


static int
dump_each(void *data, aml_str_t key, aml_str_t value)
{
    dump_t *d = data;
    entry_t e = {.key = key, .value = value};

    /* where the batch before ended */
    if (aml_str_eq(key, (aml_str_t){d->last, d->last_len})) {
        return 0;
    }

    if (d->left == 0) {
        return 1;
    }

    if (dump_entry(d, &e) != 0) {
        d->failed = 1;
        return 1;
    }

    d->left--;
    memcpy(d->last, key.p, key.n);
    d->last_len = key.n;

    return 0;
}


/* One snapshot's worth, by way of memory. */
static aml_registry_rc_t
dump_batch(aml_registry_t *reg, dump_t *d, FILE *out)
{
    char *text = NULL;
    size_t n = 0;
    aml_registry_rc_t rc;
    aml_registry_txn_t *txn;

    d->out = open_memstream(&text, &n);
    if (d->out == NULL) {
        return AML_REGISTRY_FAILED;
    }

    d->left = DUMP_BATCH;

    rc = aml_registry_read(reg, &txn);
    if (rc == AML_REGISTRY_OK) {
        rc = aml_registry_each(txn, aml_str(""),
                               (aml_str_t){d->last, d->last_len}, dump_each, d);
        aml_registry_end(txn);
    }

    if (fclose(d->out) != 0 || d->failed) {
        errno = ENOMEM;
        rc = AML_REGISTRY_FAILED;
    }

    if (rc == AML_REGISTRY_OK && fwrite(text, 1, n, out) != n) {
        rc = AML_REGISTRY_FAILED;
    }

    free(text);

    return rc;
}


aml_registry_rc_t
amld_registry_dump(aml_registry_t *reg, FILE *out, int json)
{
    dump_t d = {.json = json};
    aml_registry_rc_t rc;

    if (json) {
        fprintf(out, "{\"format\":%d,\"records\":[", AML_REGISTRY_FORMAT);
    }

    do {
        rc = dump_batch(reg, &d, out);
        if (rc != AML_REGISTRY_OK) {
            return rc;
        }
    } while (d.left == 0);

    if (json) {
        fputs("\n]}\n", out);
    }

    return fflush(out) == 0 ? AML_REGISTRY_OK : AML_REGISTRY_FAILED;
}
