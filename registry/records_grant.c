/*
 * Records of what people are granted beside their sessions: grants and
 * personal access tokens.
 */

#include "registry/codec.h"

#define GRANT_VERSION 1
#define TOKEN_VERSION 1


/* ---- grant ---- */

static int
grant_valid(const aml_grant_t *g)
{
    return (g->flags & ~AML_GRANT_UNKNOWN) == 0 &&
           g->group_count <= AML_GRANT_GROUPS;
}


size_t
aml_grant_encode(const aml_grant_t *g, const aml_principal_id_t *list,
                 void *buf, size_t size)
{
    unsigned i;
    out_t o = out(buf, size);

    if (!grant_valid(g)) {
        return 0;
    }

    put_16(&o, GRANT_VERSION);
    put_64(&o, (uint64_t) g->expires);
    put_32(&o, g->flags);
    put(&o, g->principal.b, sizeof(g->principal.b));
    put_16(&o, g->group_count);

    for (i = 0; i < g->group_count; i++) {
        put(&o, list[i].b, sizeof(list[i].b));
    }

    return end(&o);
}


aml_record_rc_t
aml_grant_decode(aml_str_t value, aml_grant_t *g)
{
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = get_version(&in, GRANT_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    g->expires = (int64_t) get_64(&in);
    g->flags = get_32(&in);
    get(&in, g->principal.b, sizeof(g->principal.b));
    g->group_count = get_16(&in);
    g->groups = in.p;

    if (in.cut || in.n != g->group_count * sizeof(g->principal.b)) {
        return AML_RECORD_TRUNCATED;
    }

    return grant_valid(g) ? AML_RECORD_OK : AML_RECORD_INVALID;
}


aml_principal_id_t
aml_grant_group(const aml_grant_t *g, unsigned i)
{
    aml_principal_id_t id;

    memcpy(id.b, g->groups + i * sizeof(id.b), sizeof(id.b));

    return id;
}


/* ---- personal access token ---- */

static int
scopes_valid(const aml_str_t *list, unsigned n)
{
    unsigned i;

    if (n > AML_TOKEN_SCOPES) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (list[i].n == 0) {
            return 0;
        }
    }

    return 1;
}


static int
token_valid(const aml_personal_token_t *t)
{
    return (t->flags & ~AML_TOKEN_NO_INSTANCES) == 0 &&
           scopes_valid(t->instances, t->instance_count) &&
           scopes_valid(t->actions, t->action_count) &&
           !(t->instance_count != 0 && (t->flags & AML_TOKEN_NO_INSTANCES));
}


static void
put_scopes(out_t *o, const aml_str_t *list, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        put_str(o, list[i]);
    }
}


static int
get_scopes(in_t *in, aml_str_t *list, unsigned n)
{
    unsigned i;

    if (n > AML_TOKEN_SCOPES) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        list[i] = get_str(in);
    }

    return 0;
}


size_t
aml_personal_token_encode(const aml_personal_token_t *t, void *buf, size_t size)
{
    out_t o = out(buf, size);

    if (!token_valid(t)) {
        return 0;
    }

    put_16(&o, TOKEN_VERSION);
    put_64(&o, (uint64_t) t->created);
    put_64(&o, (uint64_t) t->expires);
    put_32(&o, t->flags);
    put(&o, t->principal.b, sizeof(t->principal.b));
    put(&o, t->id.b, sizeof(t->id.b));
    put_16(&o, t->instance_count);
    put_16(&o, t->action_count);
    put_str(&o, t->label);
    put_scopes(&o, t->instances, t->instance_count);
    put_scopes(&o, t->actions, t->action_count);

    return end(&o);
}


aml_record_rc_t
aml_personal_token_decode(aml_str_t value, aml_personal_token_t *t)
{
    in_t in = in_of(value);
    aml_record_rc_t rc;

    rc = get_version(&in, TOKEN_VERSION);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    t->created = (int64_t) get_64(&in);
    t->expires = (int64_t) get_64(&in);
    t->flags = get_32(&in);
    get(&in, t->principal.b, sizeof(t->principal.b));
    get(&in, t->id.b, sizeof(t->id.b));
    t->instance_count = get_16(&in);
    t->action_count = get_16(&in);
    t->label = get_str(&in);

    if (get_scopes(&in, t->instances, t->instance_count) != 0 ||
        get_scopes(&in, t->actions, t->action_count) != 0) {
        return in.cut ? AML_RECORD_TRUNCATED : AML_RECORD_INVALID;
    }

    rc = length_rc(&in);
    if (rc != AML_RECORD_OK) {
        return rc;
    }

    return token_valid(t) ? AML_RECORD_OK : AML_RECORD_INVALID;
}
