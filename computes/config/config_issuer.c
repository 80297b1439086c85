/*
 * Identity providers, from the configuration.
 */

#include "computes/config/config_issuer.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/jwks.h"
#include "auth/key.h"
#include "computes/config/config_value.h"
#include "registry/registry.h"

#define URL_MAX 512
#define WELL_KNOWN "/.well-known/openid-configuration"


cfg_opt_t amld_config_issuer_options[] = {
    CFG_STR("kind", "oidc", CFGF_NONE),
    CFG_STR("issuer", NULL, CFGF_NODEFAULT),
    CFG_STR("discovery", NULL, CFGF_NODEFAULT),
    CFG_STR("keys", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("audience", "{}", CFGF_NONE),
    CFG_STR_LIST("algorithms", "{}", CFGF_NONE),
    CFG_STR("identity_claim", NULL, CFGF_NODEFAULT),
    CFG_STR("name_claim", NULL, CFGF_NODEFAULT),
    CFG_STR("groups_claim", NULL, CFGF_NODEFAULT),
    CFG_STR("roles_claim", NULL, CFGF_NODEFAULT),
    CFG_STR("account_claim", NULL, CFGF_NODEFAULT),
    CFG_STR("leeway", "60s", CFGF_NONE),
    CFG_STR_LIST("tenants", "{}", CFGF_NONE),
    CFG_STR("client_id", NULL, CFGF_NODEFAULT),
    CFG_STR("client_secret_file", NULL, CFGF_NODEFAULT),
    CFG_STR("scopes", NULL, CFGF_NODEFAULT),
    CFG_STR("label", NULL, CFGF_NODEFAULT),
    CFG_STR("ca", NULL, CFGF_NODEFAULT),
    CFG_STR("proxy", NULL, CFGF_NODEFAULT),
    CFG_BOOL("sign_in", cfg_true, CFGF_NONE),
    CFG_BOOL("userinfo", cfg_false, CFGF_NONE),
    CFG_STR("key_refresh", "0s", CFGF_NONE),
    CFG_STR("key_cooldown", "60s", CFGF_NONE),
    CFG_STR("key_grace", "24h", CFGF_NONE),
    CFG_END()};


/* ---- values ---- */

static char *
issuer_text(amld_config_reader_t *r, cfg_t *section, const char *name,
            const char *otherwise)
{
    const char *value = cfg_getstr(section, name);

    if (value == NULL) {
        return otherwise != NULL ? amld_config_copy(r, otherwise) : NULL;
    }

    return amld_config_copy(r, value);
}


static int
issuer_is_url(const char *text)
{
    const char *p;

    if (strncmp(text, "https://", 8) != 0 || text[8] == '\0' ||
        text[8] == '/' || strlen(text) > URL_MAX) {
        return 0;
    }

    for (p = text; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\') {
            return 0;
        }
    }

    /* a password there would get into logs */
    return memchr(text + 8, '@', strcspn(text + 8, "/?#")) == NULL;
}


/* An address of https, without a fragment; for an issuer without a query, too
 * (OpenID Connect Discovery section 3). */
static char *
issuer_url(amld_config_reader_t *r, cfg_t *section, const char *name,
           const char *otherwise, const char *without)
{
    char *url = issuer_text(r, section, name, otherwise);

    if (url != NULL && (!issuer_is_url(url) || strpbrk(url, without) != NULL)) {
        /* one with an @ may have a password */
        amld_config_fault(r, section, name,
                          "\"%s\" is not an address such as "
                          "https://id.example.org/realm",
                          strchr(url, '@') == NULL ? url : "https://…@…");
        free(url);
        return NULL;
    }

    return url;
}


static char *
issuer_file(amld_config_reader_t *r, cfg_t *section, const char *name)
{
    char *path;

    if (cfg_getstr(section, name) == NULL) {
        return NULL;
    }

    path = amld_config_path(r, section, name);
    if (path != NULL && access(path, R_OK) != 0) {
        amld_config_fault(r, section, name, "%s: %s", path, strerror(errno));
    }

    return path;
}


/* A secret that others can read is none. */
static void
issuer_secret(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i)
{
    struct stat st;

    i->client_secret_file = issuer_file(r, section, "client_secret_file");

    if (i->client_secret_file != NULL &&
        stat(i->client_secret_file, &st) == 0 &&
        (st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        amld_config_fault(r, section, "client_secret_file",
                          "%s: others may read or change it; chmod 600",
                          i->client_secret_file);
    }
}


static void
issuer_ca(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i)
{
    X509 *x509 = NULL;
    FILE *f;

    i->ca = issuer_file(r, section, "ca");
    f = i->ca != NULL ? fopen(i->ca, "re") : NULL;
    if (f == NULL) {
        return;
    }

    x509 = PEM_read_X509(f, NULL, NULL, NULL);
    if (x509 == NULL) {
        amld_config_fault(r, section, "ca", "%s: has no certificate in PEM",
                          i->ca);
    }

    X509_free(x509);
    ERR_clear_error();
    (void) fclose(f);
}


static void
issuer_proxy(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i)
{
    static const char *const schemes[] = {"http://", "https://", "socks5h://",
                                          "socks5://"};
    size_t n, k;

    i->proxy = issuer_text(r, section, "proxy", NULL);
    if (i->proxy == NULL) {
        return;
    }

    for (k = 0; k < sizeof(schemes) / sizeof(schemes[0]); k++) {
        n = strlen(schemes[k]);
        if (strncmp(i->proxy, schemes[k], n) == 0 && i->proxy[n] != '\0' &&
            i->proxy[n] != '/' && strpbrk(i->proxy, " \t\"") == NULL) {
            return;
        }
    }

    /* it may have a password */
    amld_config_fault(
        r, section, "proxy",
        "is not an address such as http://proxy.example.org:3128");
}


static void
issuer_audiences(amld_config_reader_t *r, cfg_t *section,
                 amld_issuer_config_t *i)
{
    unsigned n, count = cfg_size(section, "audience");
    char *api = NULL;

    i->audiences = calloc(AML_ISSUER_AUDIENCES, sizeof(char *));
    if (i->audiences == NULL) {
        amld_config_fault(r, section, "audience", "no memory");
        return;
    }

    if (count > AML_ISSUER_AUDIENCES) {
        amld_config_fault(r, section, "audience", "are more than %d",
                          AML_ISSUER_AUDIENCES);
        return;
    }

    for (n = 0; n < count; n++) {
        if (*cfg_getnstr(section, "audience", n) == '\0') {
            amld_config_fault(r, section, "audience", "has an empty one");
        }
        i->audiences[i->audience_count++] =
            amld_config_copy(r, cfg_getnstr(section, "audience", n));
    }

    /* in Entra the API's own, by its number (v2) or its address (v1) */
    if (count == 0 && i->kind->identity == AML_IDENTITY_ENTRA &&
        i->client_id != NULL && asprintf(&api, "api://%s", i->client_id) > 0) {
        i->audiences[i->audience_count++] = amld_config_copy(r, i->client_id);
        i->audiences[i->audience_count++] = api;
    }
}


static void
issuer_algorithms(amld_config_reader_t *r, cfg_t *section,
                  amld_issuer_config_t *i)
{
    unsigned n, count = cfg_size(section, "algorithms");
    const char *name;
    aml_alg_t alg;

    i->algs = count == 0 ? i->kind->algs : 0;

    for (n = 0; n < count; n++) {
        name = cfg_getnstr(section, "algorithms", n);
        alg = aml_alg_find(aml_str_of(name));
        if (alg == AML_ALG_NONE) {
            amld_config_fault(r, section, "algorithms",
                              "\"%s\" is none of RS256, RS384, RS512, PS256, "
                              "PS384, PS512, ES256, ES384, ES512, EdDSA",
                              name);
            continue;
        }
        i->algs |= UINT32_C(1) << alg;
    }
}


/* ---- what `iss` may be ---- */

static void
issuer_add(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i,
           char *iss, const char *space, const char *name_claim)
{
    if (iss == NULL) {
        amld_config_fault(r, section, "issuer", "no memory");
        return;
    }

    i->iss[i->iss_count].iss = iss;
    i->iss[i->iss_count].space = amld_config_copy(r, space);
    i->iss[i->iss_count].name_claim = name_claim;
    i->iss_count++;
}


static int
is_uuid(const char *text)
{
    aml_principal_id_t id;

    return aml_uuid_parse(aml_str_of(text), &id) == 0;
}


/*
 * The authority, and the tenant where `issuer` has one, as Entra's pages show
 * it: "https://login.microsoftonline.com/<tenant>/v2.0".  The tenant is part of
 * `authority`, or NULL.
 */
static const char *
entra_split(char *authority)
{
    char *last;

    last = authority + strlen(authority) - 1;
    if (*last == '/') {
        *last = '\0';
    }

    last = strrchr(authority, '/');
    if (strcmp(last, "/v2.0") == 0) {
        *last = '\0';
        last = strrchr(authority, '/');
    }

    if (last == NULL || last <= authority + strlen("https://")) {
        return NULL;
    }
    *last = '\0';

    return last + 1;
}


static void
entra_tenant(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i,
             const char *authority, const char *text)
{
    char *tenant = amld_value_lower(amld_config_copy(r, text)), *iss;
    int china = strcmp(authority, AMLD_ENTRA_CHINA) == 0;

    if (tenant == NULL) {
        return;
    }

    if (asprintf(&iss, AMLD_ENTRA_V2, authority, tenant) < 0) {
        iss = NULL;
    }
    issuer_add(r, section, i, iss, tenant, i->name_claim);

    if (asprintf(&iss, china ? AMLD_ENTRA_V1_CHINA : AMLD_ENTRA_V1, tenant) <
        0) {
        iss = NULL;
    }
    issuer_add(r, section, i, iss, tenant,
               cfg_getstr(section, "name_claim") != NULL ? i->name_claim
                                                         : "unique_name");
    free(tenant);
}


/* Metadata and keys of one tenant name that tenant; of several they have to
 * be those of all. */
static void
entra_addresses(amld_config_reader_t *r, cfg_t *section,
                amld_issuer_config_t *i, const char *authority)
{
    if (asprintf(&i->iss_any, AMLD_ENTRA_V2, authority, AMLD_ENTRA_ANY) < 0) {
        i->iss_any = NULL;
        amld_config_fault(r, section, "issuer", "no memory");
    }

    if (i->iss_count > 2 && cfg_getstr(section, "discovery") == NULL &&
        asprintf(&i->discovery, AMLD_ENTRA_V2 WELL_KNOWN, authority,
                 "organizations") < 0) {
        i->discovery = NULL;
        amld_config_fault(r, section, "discovery", "no memory");
    }
}


static void
issuer_entra(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i)
{
    unsigned n, count = cfg_size(section, "tenants");
    const char *one, *text;
    char *authority;

    authority = issuer_url(r, section, "issuer", AMLD_ENTRA_AUTHORITY, "?#");
    if (authority == NULL) {
        return;
    }

    one = entra_split(authority);
    if (one != NULL && !is_uuid(one) && strcmp(one, "common") != 0 &&
        strcmp(one, "organizations") != 0) {
        amld_config_fault(r, section, "issuer",
                          "\"%s\" is not a tenant's UUID, \"organizations\" "
                          "or \"common\"",
                          one);
    }

    i->iss = calloc(2 * ((size_t) count + 1), sizeof(*i->iss));
    if (i->iss == NULL) {
        amld_config_fault(r, section, "issuer", "no memory");
        free(authority);
        return;
    }

    for (n = 0; n < count; n++) {
        text = cfg_getnstr(section, "tenants", n);
        if (!is_uuid(text)) {
            amld_config_fault(r, section, "tenants", "\"%s\" is not a UUID",
                              text);
        } else {
            entra_tenant(r, section, i, authority, text);
        }
    }

    if (count == 0 && one != NULL && is_uuid(one)) {
        entra_tenant(r, section, i, authority, one);

    } else if (count == 0) {
        amld_config_fault(r, section, "tenants",
                          "is missing: the tenants whose people are let in");
    }

    entra_addresses(r, section, i, authority);
    free(authority);
}


static void
issuer_iss(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i)
{
    char *iss;

    if (i->kind->identity == AML_IDENTITY_ENTRA) {
        issuer_entra(r, section, i);
        return;
    }

    if (cfg_size(section, "tenants") != 0) {
        amld_config_fault(r, section, "tenants", "are of kind entra only");
    }

    iss = issuer_url(r, section, "issuer", i->kind->issuer, "?#");
    if (iss == NULL) {
        if (cfg_getstr(section, "issuer") == NULL) {
            amld_config_fault(r, section, "issuer", "is missing");
        }
        return;
    }

    i->iss = calloc(1, sizeof(*i->iss));
    if (i->iss == NULL) {
        free(iss);
        amld_config_fault(r, section, "issuer", "no memory");
        return;
    }
    issuer_add(r, section, i, iss, iss, i->name_claim);
}


/* A set that has nothing to offer is a fault, not an issuer without keys. */
static void
issuer_keys(amld_config_reader_t *r, cfg_t *section, amld_issuer_config_t *i)
{
    aml_jwks_t *set;
    aml_jwks_rc_t rc;

    if (cfg_getstr(section, "keys") == NULL) {
        return;
    }

    i->keys = amld_config_path(r, section, "keys");
    set = i->keys != NULL ? malloc(sizeof(*set)) : NULL;
    if (set == NULL) {
        return;
    }

    rc = aml_jwks_read(i->keys, set);
    if (rc == AML_JWKS_FILE) {
        amld_config_fault(r, section, "keys", "%s: %s", i->keys,
                          strerror(errno));

    } else if (rc != AML_JWKS_OK) {
        amld_config_fault(r, section, "keys", "%s: %s", i->keys,
                          aml_jwks_strerror(rc));

    } else if (set->key_count == 0) {
        amld_config_fault(r, section, "keys", "%s: has no key that can be used",
                          i->keys);
    }

    aml_jwks_clear(set);
    free(set);
}


static void
issuer_discovery(amld_config_reader_t *r, cfg_t *section,
                 amld_issuer_config_t *i)
{
    const char *base;
    size_t n;

    issuer_keys(r, section, i);

    if (cfg_getstr(section, "discovery") != NULL) {
        i->discovery = issuer_url(r, section, "discovery", NULL, "#");
        return;
    }

    if (i->discovery != NULL || i->iss_count == 0) {
        return;
    }

    /* with a key set of its own it is needed for sign-in only */
    if (i->keys != NULL && i->client_id == NULL) {
        return;
    }

    base = i->iss[0].iss;
    n = strlen(base);
    if (asprintf(&i->discovery, "%.*s" WELL_KNOWN,
                 (int) (base[n - 1] == '/' ? n - 1 : n), base) < 0) {
        i->discovery = NULL;
        amld_config_fault(r, section, "discovery", "no memory");
    }
}


/* ---- a section ---- */

void
amld_config_issuer(amld_config_reader_t *r, cfg_t *section,
                   amld_issuer_config_t *i)
{
    const char *kind = cfg_getstr(section, "kind");
    char label[128];

    memset(i, 0, sizeof(*i));

    i->name = amld_config_copy(r, cfg_title(section));
    if (i->name == NULL || !amld_value_is_name(i->name, 1, 32, "_-")) {
        amld_config_fault(r, section, "name",
                          "is not 1 to 32 letters, digits and \"_-\", a letter "
                          "or digit first");
    }

    i->kind = amld_issuer_kind(kind);
    if (i->kind == NULL) {
        amld_config_fault(r, section, "kind",
                          "\"%s\" is none of entra, keycloak, google, dex, "
                          "glewlwyd, oidc",
                          kind);
        return;
    }

    i->identity_claim = issuer_text(r, section, "identity_claim", "");
    i->name_claim = issuer_text(r, section, "name_claim", i->kind->name_claim);
    i->groups_claim =
        issuer_text(r, section, "groups_claim", i->kind->groups_claim);
    i->roles_claim =
        issuer_text(r, section, "roles_claim", i->kind->roles_claim);
    i->account_claim = issuer_text(r, section, "account_claim", "");

    if (i->kind->identity == AML_IDENTITY_ENTRA &&
        cfg_getstr(section, "identity_claim") != NULL) {
        amld_config_fault(r, section, "identity_claim",
                          "is not for kind entra, whose identity is tid and "
                          "oid");
    }

    i->leeway = amld_config_duration(r, section, "leeway", 0, 300);
    i->client_id = issuer_text(r, section, "client_id", NULL);
    issuer_secret(r, section, i);
    i->scopes = issuer_text(r, section, "scopes", i->kind->scopes);

    (void) snprintf(label, sizeof(label), "Sign in with %.64s",
                    i->name != NULL ? i->name : "");
    i->label = issuer_text(r, section, "label", label);

    issuer_ca(r, section, i);
    issuer_proxy(r, section, i);
    i->sign_in = cfg_getbool(section, "sign_in") && i->client_id != NULL;
    i->userinfo = cfg_getbool(section, "userinfo");
    i->key_refresh =
        amld_config_duration(r, section, "key_refresh", 0, 7 * 86400);
    i->key_cooldown =
        amld_config_duration(r, section, "key_cooldown", 1, 86400);
    i->key_grace =
        amld_config_duration(r, section, "key_grace", 10, 30 * 86400);

    issuer_audiences(r, section, i);
    issuer_algorithms(r, section, i);
    issuer_iss(r, section, i);
    issuer_discovery(r, section, i);

    if (i->client_id == NULL && i->audience_count == 0) {
        amld_config_fault(r, section, "audience",
                          "is missing, and so is client_id: neither tokens nor "
                          "sign-in would work");
    }
}


/* It is part of the registry's keys, which have a bound; a kid of 43
 * characters, that of a thumbprint, is the least. */
static int
issuer_fits(const char *iss)
{
    char key[AML_REGISTRY_KEY_MAX + 1];

    return aml_key_key(
               key, aml_str_of(iss),
               aml_str("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")) != 0;
}


/* An `iss` is one section's, and not ours: it says whose keys are taken. */
void
amld_config_issuers_check(amld_config_reader_t *r, cfg_t *cfg,
                          const amld_config_t *c)
{
    const amld_issuer_config_t *a, *b;
    size_t i, j, m, n;

    for (i = 0; i < c->issuer_count; i++) {
        a = &c->issuers[i];
        for (m = 0; m < a->iss_count; m++) {
            if (!issuer_fits(a->iss[m].iss)) {
                amld_config_fault(r, cfg_getnsec(cfg, "issuer", (unsigned) i),
                                  "issuer", "is too long");
            }

            if (c->studio != NULL && strcmp(a->iss[m].iss, c->studio) == 0) {
                amld_config_fault(r, cfg_getnsec(cfg, "issuer", (unsigned) i),
                                  "issuer", "is the studio's own");
            }

            for (j = 0; j <= i; j++) {
                b = &c->issuers[j];
                for (n = 0; n < (i == j ? m : b->iss_count); n++) {
                    if (strcmp(a->iss[m].iss, b->iss[n].iss) == 0) {
                        amld_config_fault(
                            r, cfg_getnsec(cfg, "issuer", (unsigned) i),
                            "issuer", "%s is there twice", a->iss[m].iss);
                    }
                }
            }
        }
    }
}


void
amld_config_issuer_clear(amld_issuer_config_t *i)
{
    size_t n;

    for (n = 0; n < i->audience_count; n++) {
        free(i->audiences[n]);
    }
    for (n = 0; n < i->iss_count; n++) {
        free(i->iss[n].iss);
        free(i->iss[n].space);
    }

    free(i->name);
    free(i->discovery);
    free(i->keys);
    free(i->audiences);
    free(i->identity_claim);
    free(i->name_claim);
    free(i->groups_claim);
    free(i->roles_claim);
    free(i->account_claim);
    free(i->client_id);
    free(i->client_secret_file);
    free(i->scopes);
    free(i->label);
    free(i->ca);
    free(i->proxy);
    free(i->iss);
    free(i->iss_any);
    memset(i, 0, sizeof(*i));
}


const amld_issuer_config_t *
amld_issuer_find(const amld_config_t *config, const char *name)
{
    size_t i;

    for (i = 0; i < config->issuer_count; i++) {
        if (strcmp(config->issuers[i].name, name) == 0) {
            return &config->issuers[i];
        }
    }

    return NULL;
}
