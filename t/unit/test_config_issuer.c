/*
 * Sections "issuer" of the configuration: what each kind makes of little, and
 * that each fault is named.
 */

#include "t/unit/config_fixture.h"

#include <sys/stat.h>

#include "auth/key.h"

#define T1 "72f988bf-86f1-41af-91ab-2d7cd011db47"
#define T2 "0aa0aaaa-0000-4000-8000-00000000000b"
#define MS "https://login.microsoftonline.com/"
#define ED                                                                     \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"                              \
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

#define ALG(name) (UINT32_C(1) << AML_ALG_##name)


static void
write_file(scratch_t *s, const char *name, mode_t mode, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}


static amld_config_t *
good(scratch_t *s, const char *section)
{
    char err[4096], text[4096];
    amld_config_t *c;

    snprintf(text, sizeof(text), "%s%s", GOOD, section);
    c = read_text(s, text, err, sizeof(err));
    assert_string_equal(err, "");
    assert_non_null(c);

    return c;
}


/* ---- kinds ---- */

static void
oidc(void **state)
{
    amld_config_t *c =
        good(*state, "issuer \"corp\" { issuer = \"https://id.example/r/\"\n"
                     " audience = { \"api\" } }\n");
    const amld_issuer_config_t *i = amld_issuer_find(c, "corp");

    assert_non_null(i);
    assert_null(amld_issuer_find(c, "Corp"));
    assert_int_equal(c->issuer_count, 1);
    assert_string_equal(i->kind->name, "oidc");
    assert_int_equal(i->iss_count, 1);
    assert_string_equal(i->iss[0].iss, "https://id.example/r/");
    assert_string_equal(i->iss[0].space, "https://id.example/r/");
    assert_string_equal(i->iss[0].name_claim, "preferred_username");
    assert_null(i->iss_any);
    /* Discovery section 4.1: one slash */
    assert_string_equal(i->discovery, "https://id.example/r/.well-known/"
                                      "openid-configuration");
    assert_null(i->keys);
    assert_int_equal(i->audience_count, 1);
    assert_string_equal(i->audiences[0], "api");
    assert_true((i->algs & ALG(RS256)) != 0);
    assert_string_equal(i->identity_claim, "");
    assert_string_equal(i->groups_claim, "groups");
    assert_string_equal(i->roles_claim, "roles");
    assert_int_equal(i->leeway, 60);
    assert_null(i->client_id);
    assert_false(i->sign_in);
    assert_string_equal(i->label, "Sign in with corp");
    assert_null(i->ca);
    assert_null(i->proxy);
    assert_int_equal(i->key_refresh, 0);
    assert_int_equal(i->key_cooldown, 60);
    assert_int_equal(i->key_grace, 86400);
    amld_config_free(c);
}


static void
everything(void **state)
{
    amld_config_t *c;
    const amld_issuer_config_t *i;
    scratch_t *s = *state;
    char path[128];

    write_file(s, "secret", 0600, "hush\n");
    write_file(s, "keys.json", 0644, "{\"keys\":[" ED "]}");
    c = good(s, "issuer corp {\n"
                "  kind = keycloak\n"
                "  issuer = \"https://id.example:8443/realms/lab\"\n"
                "  discovery = \"https://10.0.0.1/meta?x=y\"\n"
                "  keys = \"keys.json\"\n"
                "  audience = { a, b, c, d, e, f, g, h }\n"
                "  algorithms = { ES384, EdDSA }\n"
                "  identity_claim = employee\n"
                "  name_claim = mail\n"
                "  groups_claim = \"a.b.c\"\n"
                "  roles_claim = \"\"\n"
                "  leeway = 0s\n"
                "  client_id = aml\n"
                "  client_secret_file = secret\n"
                "  scopes = \"openid offline_access\"\n"
                "  label = \"Our \\\"own\\\"\"\n"
                "  proxy = \"http://user:pw@proxy.example:3128\"\n"
                "  sign_in = false\n"
                "  key_refresh = 15m\n"
                "  key_cooldown = 5s\n"
                "  key_grace = 2d\n"
                "}\n");
    i = amld_issuer_find(c, "corp");

    assert_string_equal(i->iss[0].iss, "https://id.example:8443/realms/lab");
    assert_string_equal(i->discovery, "https://10.0.0.1/meta?x=y");
    snprintf(path, sizeof(path), "%s/keys.json", s->dir);
    assert_string_equal(i->keys, path);
    assert_int_equal(i->audience_count, 8);
    assert_string_equal(i->audiences[7], "h");
    assert_int_equal(i->algs, ALG(ES384) | ALG(EDDSA));
    assert_string_equal(i->identity_claim, "employee");
    assert_string_equal(i->iss[0].name_claim, "mail");
    assert_string_equal(i->groups_claim, "a.b.c");
    assert_string_equal(i->roles_claim, "");
    assert_int_equal(i->leeway, 0);
    assert_string_equal(i->client_id, "aml");
    snprintf(path, sizeof(path), "%s/secret", s->dir);
    assert_string_equal(i->client_secret_file, path);
    assert_string_equal(i->scopes, "openid offline_access");
    assert_string_equal(i->label, "Our \"own\"");
    assert_string_equal(i->proxy, "http://user:pw@proxy.example:3128");
    assert_false(i->sign_in);
    assert_int_equal(i->key_refresh, 900);
    assert_int_equal(i->key_cooldown, 5);
    assert_int_equal(i->key_grace, 2 * 86400);
    amld_config_free(c);
}


static void
kinds(void **state)
{
    static const struct {
        const char *kind, *issuer, *name, *roles;
        uint32_t without; /* algorithms */
    } table[] = {
        {"keycloak", "https://k.example/realms/a", "preferred_username",
         "realm_access.roles", ALG(ES512)},
        {"google", "https://accounts.google.com", "email", "", ALG(ES256)},
        {"dex", "https://d.example/dex", "preferred_username", "", ALG(PS256)},
        {"glewlwyd", "https://g.example/api/oidc", "name", "", ALG(RS384)},
        {"oidc", "https://o.example", "preferred_username", "roles",
         ALG(RS512)},
    };
    const amld_issuer_config_t *i;
    amld_config_t *c;
    char text[512];
    size_t k;

    for (k = 0; k < sizeof(table) / sizeof(table[0]); k++) {
        snprintf(text, sizeof(text),
                 "issuer x { kind = %s\n issuer = \"%s\"\n client_id = c }\n",
                 table[k].kind, table[k].issuer);
        if (strcmp(table[k].kind, "google") == 0) {
            strcpy(text, "issuer x { kind = google\n client_id = c }\n");
        }
        c = good(*state, text);
        i = amld_issuer_find(c, "x");
        assert_int_equal(i->iss_count, 1);
        assert_string_equal(i->iss[0].iss, table[k].issuer);
        assert_string_equal(i->iss[0].name_claim, table[k].name);
        assert_string_equal(i->roles_claim, table[k].roles);
        assert_true((i->algs & ALG(RS256)) != 0);
        assert_int_equal(i->algs & table[k].without, 0);
        assert_true(strncmp(i->scopes, "openid", 6) == 0);
        assert_true(i->sign_in);
        /* an ID token of the client is no access token of ours */
        assert_int_equal(i->audience_count, 0);
        amld_config_free(c);
    }
}


/* ---- Entra ---- */

static void
entra_many(void **state)
{
    amld_config_t *c =
        good(*state, "issuer e { kind = entra\n client_id = \"11\"\n"
                     " tenants = { \"" T1 "\", \"0AA0AAAA-0000-4000-8000-"
                     "00000000000B\" } }\n");
    const amld_issuer_config_t *i = amld_issuer_find(c, "e");

    assert_int_equal(i->iss_count, 4);
    assert_string_equal(i->iss[0].iss, MS T1 "/v2.0");
    assert_string_equal(i->iss[0].space, T1);
    assert_string_equal(i->iss[0].name_claim, "preferred_username");
    assert_string_equal(i->iss[1].iss, "https://sts.windows.net/" T1 "/");
    assert_string_equal(i->iss[1].space, T1);
    assert_string_equal(i->iss[1].name_claim, "unique_name");
    assert_string_equal(i->iss[2].iss, MS T2 "/v2.0");
    assert_string_equal(i->iss[3].iss, "https://sts.windows.net/" T2 "/");
    assert_string_equal(i->iss[3].space, T2);
    assert_string_equal(i->iss_any, MS "{tenantid}/v2.0");
    /* one tenant's metadata would name that tenant only */
    assert_string_equal(i->discovery, MS "organizations/v2.0/.well-known/"
                                         "openid-configuration");
    assert_int_equal(i->audience_count, 2);
    assert_string_equal(i->audiences[0], "11");
    assert_string_equal(i->audiences[1], "api://11");
    assert_int_equal(i->kind->flags, AML_ISSUER_REQUIRE_SCOPE);
    assert_int_equal(i->algs, ALG(RS256));
    amld_config_free(c);
}


static void
entra_one(void **state)
{
    static const char *const issuers[] = {
        MS T1 "/v2.0", MS T1 "/v2.0/", MS T1, MS T1 "/",
        "\"\n tenants = { \"" T1 "\" }\n scopes = \"openid"};
    const amld_issuer_config_t *i;
    amld_config_t *c;
    char text[512];
    size_t k;

    /* as Entra's own pages show the issuer */
    for (k = 0; k < 4; k++) {
        snprintf(text, sizeof(text),
                 "issuer e { kind = entra\n issuer = \"%s\"\n"
                 " audience = { api } }\n",
                 issuers[k]);
        c = good(*state, text);
        i = amld_issuer_find(c, "e");
        assert_int_equal(i->iss_count, 2);
        assert_string_equal(i->iss[0].iss, MS T1 "/v2.0");
        assert_string_equal(i->iss[1].iss, "https://sts.windows.net/" T1 "/");
        assert_string_equal(i->discovery,
                            MS T1 "/v2.0/.well-known/openid-configuration");
        assert_int_equal(i->audience_count, 1);
        amld_config_free(c);
    }

    c = good(*state, "issuer e { kind = entra\n issuer = \"" MS
                     "common/v2.0\"\n audience = { api }\n"
                     " tenants = { \"" T1 "\" } }\n");
    i = amld_issuer_find(c, "e");
    assert_int_equal(i->iss_count, 2);
    assert_string_equal(i->iss[0].iss, MS T1 "/v2.0");
    amld_config_free(c);

    c = good(*state, "issuer e { kind = entra\n audience = { api }\n"
                     " issuer = \"https://login.partner.microsoftonline.cn\"\n"
                     " name_claim = oid\n tenants = { \"" T1 "\" } }\n");
    i = amld_issuer_find(c, "e");
    assert_string_equal(i->iss[0].iss, "https://login.partner.microsoftonline"
                                       ".cn/" T1 "/v2.0");
    assert_string_equal(i->iss[1].iss, "https://sts.chinacloudapi.cn/" T1 "/");
    assert_string_equal(i->iss[1].name_claim, "oid");
    amld_config_free(c);
}


/* ---- faults ---- */

typedef struct {
    const char *options; /* of a section that is complete otherwise */
    const char *want;    /* behind the file's name */
} fault_t;


static void
faults(void **state)
{
    static const fault_t table[] = {
        {"bogus = 1", ":11: no such option 'bogus'"},
        {"kind = okta", ":11: issuer \"x\": kind: \"okta\" is none of"},
        {"issuer = \"http://a.b\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https://\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https:///a\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https://a.b?c\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https://a.b#c\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https://a.b/ c\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https://u:p@a.b/\"", ":11: issuer \"x\": issuer: "},
        {"issuer = \"https://aml.localhost:8443\"",
         ":11: issuer \"x\": issuer: is the studio's own"},
        {"discovery = \"http://a.b\"", ":12: issuer \"x\": discovery: "},
        {"discovery = \"https://a.b#c\"", ":12: issuer \"x\": discovery: "},
        {"keys = \"none.json\"", ":12: issuer \"x\": keys: /"},
        {"keys = \"html.json\"", "html.json: what was read is no key set"},
        {"keys = \"empty.json\"", "empty.json: has no key that can be used"},
        {"keys = \"private.json\"", "has no key that can be used"},
        {"keys = \".\"", ":12: issuer \"x\": keys: "},
        {"audience = { \"\" }", ":12: issuer \"x\": audience: has an empty"},
        {"audience = { a, b, c, d, e, f, g, h, i }",
         ":12: issuer \"x\": audience: are more than 8"},
        {"algorithms = { RS256, HS256 }",
         ":12: issuer \"x\": algorithms: \"HS256\" is none of"},
        {"algorithms = { none }", ":12: issuer \"x\": algorithms: \"none\""},
        {"algorithms = { rs256 }", ":12: issuer \"x\": algorithms: \"rs256\""},
        {"leeway = 301s", ":12: issuer \"x\": leeway: "},
        {"leeway = soon", ":12: issuer \"x\": leeway: "},
        {"tenants = { \"" T1 "\" }",
         ":12: issuer \"x\": tenants: are of kind entra only"},
        {"client_secret_file = \"open\"",
         "open: others may read or change it; chmod 600"},
        {"client_secret_file = \"none\"",
         ":12: issuer \"x\": client_secret_file: /"},
        {"ca = \"none.pem\"", ":12: issuer \"x\": ca: /"},
        {"ca = \"html.json\"", "html.json: has no certificate in PEM"},
        {"ca = \".\"", ":12: issuer \"x\": ca: "},
        {"proxy = \"proxy:3128\"", ":12: issuer \"x\": proxy: "},
        {"proxy = \"http://\"", ":12: issuer \"x\": proxy: "},
        {"proxy = \"\"", ":12: issuer \"x\": proxy: "},
        {"sign_in = perhaps", ":12: "},
        {"key_refresh = 8d", ":12: issuer \"x\": key_refresh: "},
        {"key_cooldown = 0s", ":12: issuer \"x\": key_cooldown: "},
        {"key_grace = 9s", ":12: issuer \"x\": key_grace: "},
        {"key_grace = 31d", ":12: issuer \"x\": key_grace: "},
        {"leeway = 1s\nleeway = 1s", ":13: issuer \"x\": leeway: is given"},
    };
    scratch_t *s = *state;
    char err[4096], text[4096];
    amld_config_t *c;
    size_t i;

    write_file(s, "open", 0644, "hush\n");
    write_file(s, "html.json", 0644, "<html>\n");
    write_file(s, "empty.json", 0644, "{\"keys\":[]}\n");
    write_file(s, "private.json", 0644,
               "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}\n");

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        snprintf(text, sizeof(text),
                 "%sissuer x {\n%s\n%s\naudience = { a }\n}", GOOD,
                 strncmp(table[i].options, "issuer", 6) != 0
                     ? "issuer = \"https://id.example\""
                     : table[i].options,
                 strncmp(table[i].options, "issuer", 6) != 0 ? table[i].options
                                                             : "");
        if (strncmp(table[i].options, "kind", 4) == 0 ||
            strncmp(table[i].options, "bogus", 5) == 0) {
            snprintf(text, sizeof(text), "%sissuer x {\n%s\n}", GOOD,
                     table[i].options);
        }
        if (strncmp(table[i].options, "audience", 8) == 0) {
            snprintf(text, sizeof(text),
                     "%sissuer x {\nissuer = \"https://id.example\"\n%s\n}",
                     GOOD, table[i].options);
        }

        c = read_text(s, text, err, sizeof(err));
        if (c != NULL || strstr(err, table[i].want) == NULL) {
            print_error("%s\n--- wanted \"%s\", got:\n%s\n", text,
                        table[i].want, err);
            fail();
        }
        assert_null(strstr(err, "u:p@")); /* it may be a password */
    }
}


/* Of whole sections. */
static void
more_faults(void **state)
{
    static const fault_t table[] = {
        {"issuer \"a b\" { issuer = \"https://i.example\"\n client_id = c }",
         ":11: issuer \"a b\": name: "},
        {"issuer a { client_id = c }", ":10: issuer \"a\": issuer: is missing"},
        {"issuer a { issuer = \"https://i.example\" }",
         "audience: is missing, and so is client_id"},
        {"issuer a { issuer = \"https://i.example\"\n client_id = c }\n"
         "issuer a { issuer = \"https://j.example\"\n client_id = c }",
         ":12: found duplicate title 'a'"},
        {"issuer a { issuer = \"https://i.example\"\n client_id = c }\n"
         "issuer b { issuer = \"https://i.example\"\n client_id = c }",
         ":12: issuer \"b\": issuer: https://i.example is there twice"},
        {"issuer a { kind = entra\n client_id = c }",
         "issuer \"a\": tenants: is missing"},
        {"issuer a { kind = entra\n client_id = c\n issuer = \"" MS
         "common/v2.0\" }",
         "issuer \"a\": tenants: is missing"},
        {"issuer a { kind = entra\n client_id = c\n tenants = { x } }",
         ":12: issuer \"a\": tenants: \"x\" is not a UUID"},
        {"issuer a { kind = entra\n client_id = c\n issuer = \"" MS
         "contoso.example/v2.0\" }",
         ":12: issuer \"a\": issuer: \"contoso.example\" is not a tenant's"},
        {"issuer a { kind = entra\n client_id = c\n identity_claim = upn\n"
         " tenants = { \"" T1 "\" } }",
         ":12: issuer \"a\": identity_claim: is not for kind entra"},
        {"issuer a { kind = entra\n client_id = c\n tenants = { \"" T1
         "\", \"" T1 "\" } }",
         "is there twice"},
        {"issuer a { kind = entra\n client_id = c\n tenants = { \"" T1
         "\" } }\nissuer b { issuer = \"https://sts.windows.net/" T1
         "/\"\n client_id = c }",
         "issuer \"b\": issuer: https://sts.windows.net/" T1
         "/ is there twice"},
    };
    scratch_t *s = *state;
    char err[4096], text[4096], path[512];
    amld_config_t *c;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        snprintf(text, sizeof(text), "%s%s\n", GOOD, table[i].options);
        c = read_text(s, text, err, sizeof(err));
        if (c != NULL || strstr(err, table[i].want) == NULL) {
            print_error("%s\n--- wanted \"%s\", got:\n%s\n", text,
                        table[i].want, err);
            fail();
        }
    }

    /* slashes take three bytes of a registry's key each */
    memset(path, '/', 160);
    path[160] = '\0';
    snprintf(
        text, sizeof(text),
        "%sissuer a { issuer = \"https://i.example%s\"\n client_id = c }\n",
        GOOD, path);
    assert_null(read_text(s, text, err, sizeof(err)));
    assert_non_null(strstr(err, ":10: issuer \"a\": issuer: is too long"));
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oidc),        cmocka_unit_test(everything),
        cmocka_unit_test(kinds),       cmocka_unit_test(entra_many),
        cmocka_unit_test(entra_one),   cmocka_unit_test(faults),
        cmocka_unit_test(more_faults),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests_name("issuers of the configuration", tests,
                                       scratch_setup, scratch_teardown);
}
