/*
 * The configuration file: its options, and what of them fits together.
 */

#include "computes/config/config.h"

#include <confuse.h>
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/audit.h"
#include "computes/config/config_computes.h"
#include "computes/config/config_issuer.h"
#include "computes/config/config_pam.h"
#include "computes/config/config_podman.h"
#include "computes/config/config_read.h"
#include "computes/config/config_shares.h"
#include "computes/config/config_text.h"
#include "computes/config/config_value.h"
#include "computes/engines/engine.h"
#include "computes/files/paths.h"
#include "upstreams/application.h"

#define WORKSPACE_ID                                                           \
    "/subscriptions/%s/resourceGroups/%s/providers/"                           \
    "Microsoft.MachineLearningServices/workspaces/%s"

static cfg_opt_t workspace_options[] = {
    CFG_STR("subscription", NULL, CFGF_NODEFAULT),
    CFG_STR("resource_group", NULL, CFGF_NODEFAULT),
    CFG_STR("location", "local", CFGF_NONE),
    CFG_STR("share", NULL, CFGF_NODEFAULT), CFG_END()};

static cfg_opt_t application_options[] = {
    CFG_STR("program", NULL, CFGF_NODEFAULT), CFG_END()};

static cfg_opt_t config_options[] = {
    CFG_STR("studio", NULL, CFGF_NODEFAULT),
    CFG_STR("apps", NULL, CFGF_NODEFAULT),
    CFG_STR("registry", "/var/lib/aml/registry", CFGF_NONE),
    CFG_STR("registry_size", "1g", CFGF_NONE),
    CFG_STR("registry_group", NULL, CFGF_NODEFAULT),
    CFG_STR("listen", "/run/aml/amld.sock", CFGF_NONE),
    CFG_STR("activity", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("gateway_uids", "{www-data}", CFGF_NONE),
    CFG_STR("state", "/var/lib/aml/state", CFGF_NONE),
    CFG_STR("roles", NULL, CFGF_NODEFAULT),
    CFG_STR("engine", "process", CFGF_NONE),
    CFG_STR("samples", NULL, CFGF_NODEFAULT),
    CFG_STR("unix_accounts", NULL, CFGF_NODEFAULT),
    CFG_STR("unix_accounts_least", "1000", CFGF_NONE),
    CFG_STR("audit", "", CFGF_NONE),
    CFG_STR("threads", "4", CFGF_NONE),
    CFG_STR("session_lifetime", "12h", CFGF_NONE),
    CFG_STR("session_idle", "8h", CFGF_NONE),
    CFG_STR("device_lifetime", "7d", CFGF_NONE),
    CFG_STR("token_lifetime", "1h", CFGF_NONE),
    CFG_STR("personal_token_lifetime", "365d", CFGF_NONE),
    CFG_STR("key_lifetime", "30d", CFGF_NONE),
    CFG_STR("backoff_account", "5", CFGF_NONE),
    CFG_STR("backoff_address", "20", CFGF_NONE),
    CFG_STR("backoff_first", "1s", CFGF_NONE),
    CFG_STR("backoff_most", "5m", CFGF_NONE),
    CFG_STR("start_timeout", "60s", CFGF_NONE),
    CFG_STR("stop_timeout", "10s", CFGF_NONE),
    CFG_STR("job_log_max", "64m", CFGF_NONE),
    CFG_STR("job_queue", "1000", CFGF_NONE),
    CFG_STR("job_history", "200000", CFGF_NONE),
    CFG_STR("job_history_size", "256m", CFGF_NONE),
    CFG_STR("job_keep", "0", CFGF_NONE),
    CFG_SEC("workspace", workspace_options,
            CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("application", application_options,
            CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("size", amld_config_size_options,
            CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("quota", amld_config_quota_options,
            CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_BOOL("local_sign_in", cfg_true, CFGF_NONE),
    CFG_SEC("pam", amld_config_pam_options, CFGF_NODEFAULT),
    CFG_SEC("podman", amld_config_podman_options, CFGF_NONE),
    CFG_SEC("issuer", amld_config_issuer_options,
            CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_END()};


/* ---- hosts ---- */

static void
config_hosts(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    const char *value;
    char *port = NULL;
    size_t studio, apps;

    value = amld_config_string(r, cfg, "studio");
    if (value != NULL) {
        if (strncmp(value, "https://", 8) != 0 ||
            amld_value_authority(value + 8, &c->studio_host, &port) != 0) {
            amld_config_fault(r, cfg, "studio",
                              "\"%s\" is not an origin such as "
                              "https://aml.example.org or "
                              "https://aml.localhost:8443",
                              value);

        } else if (asprintf(&c->studio, "https://%s%s", c->studio_host, port) <
                   0) {
            c->studio = NULL;
            amld_config_fault(r, cfg, "studio", "no memory");
        }
        free(port);
    }

    value = amld_config_string(r, cfg, "apps");
    if (value != NULL &&
        amld_value_authority(value, &c->apps, &c->apps_port) != 0) {
        amld_config_fault(
            r, cfg, "apps",
            "\"%s\" is not a domain such as instances.example.org "
            "or instances.aml.localhost:8443",
            value);
    }

    if (c->studio == NULL || c->apps == NULL) {
        return;
    }

    /* an instance of that name could be taken for the studio */
    studio = strlen(c->studio_host);
    apps = strlen(c->apps);
    if (studio > apps && c->studio_host[studio - apps - 1] == '.' &&
        strcmp(c->studio_host + studio - apps, c->apps) == 0) {
        amld_config_fault(r, cfg, "studio",
                          "must not be a name below apps \"%s\"", c->apps);
    }
}


/* ---- users ---- */

static int
config_is_number(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}


static void
config_gateway(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    unsigned i, n = cfg_size(cfg, "gateway_uids");
    const char *name;
    struct passwd *pw;
    uint64_t uid;

    if (n == 0) {
        amld_config_fault(r, cfg, "gateway_uids", "is empty");
        return;
    }

    c->gateway_uids = calloc(n, sizeof(uid_t));
    if (c->gateway_uids == NULL) {
        amld_config_fault(r, cfg, "gateway_uids", "no memory");
        return;
    }

    for (i = 0; i < n; i++) {
        name = cfg_getnstr(cfg, "gateway_uids", i);

        if (config_is_number(name)) {
            if (amld_value_scaled(name, "", NULL, &uid) == 0 &&
                uid < (uid_t) -1) {
                c->gateway_uids[c->gateway_uid_count++] = (uid_t) uid;
                continue;
            }
            pw = NULL;
        } else {
            pw = getpwnam(name);
        }

        if (pw == NULL) {
            amld_config_fault(r, cfg, "gateway_uids", "no such user \"%s\"",
                              name);
            continue;
        }
        c->gateway_uids[c->gateway_uid_count++] = pw->pw_uid;
    }
}


static void
config_socket(amld_config_reader_t *r, cfg_t *cfg, const char *name,
              const char *path)
{
    if (path != NULL &&
        strlen(path) >= sizeof(((struct sockaddr_un *) 0)->sun_path)) {
        amld_config_fault(r, cfg, name,
                          "%s: longer than a socket's path can be", path);
    }
}


static void
config_sockets(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    const char *slash;

    c->listen = amld_config_path(r, cfg, "listen");
    config_socket(r, cfg, "listen", c->listen);

    if (cfg_getstr(cfg, "activity") != NULL) {
        c->activity = amld_config_path(r, cfg, "activity");

    } else if (c->listen != NULL) {
        slash = strrchr(c->listen, '/');
        if (asprintf(&c->activity, "%.*s/activity.sock",
                     (int) (slash - c->listen), c->listen) < 0) {
            c->activity = NULL;
            amld_config_fault(r, cfg, "activity", "no memory");
        }
    }

    config_socket(r, cfg, "activity", c->activity);

    if (c->listen != NULL && c->activity != NULL &&
        strcmp(c->listen, c->activity) == 0) {
        amld_config_fault(r, cfg, "activity", "is the same as listen");
    }
}


static void
config_registry_group(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    const char *value = cfg_getstr(cfg, "registry_group");

    if (value == NULL) {
        return;
    }

    if (getgrnam(value) == NULL) {
        amld_config_fault(r, cfg, "registry_group", "no such group \"%s\"",
                          value);
        return;
    }

    c->registry_group = amld_config_copy(r, value);
}


/* ---- sections ---- */

static void
config_workspace(amld_config_reader_t *r, cfg_t *section, amld_config_t *c)
{
    amld_workspace_t *w = &c->workspaces[c->workspace_count];
    aml_principal_id_t id;
    const char *value;
    const char *title = cfg_title(section) != NULL ? cfg_title(section) : "";
    size_t i;

    if (!amld_value_is_name(title, 3, 33, "_-")) {
        amld_config_fault(
            r, section, "name",
            "is not 3 to 33 letters, digits and \"_-\", a letter or "
            "digit first");
    }

    for (i = 0; i < c->workspace_count; i++) {
        if (c->workspaces[i].name != NULL &&
            strcasecmp(c->workspaces[i].name, title) == 0) {
            amld_config_fault(r, section, "name",
                              "differs from another workspace's in case only");
        }
    }

    c->workspace_count++;
    w->name = amld_config_copy(r, title);

    value = amld_config_string(r, section, "subscription");
    if (value != NULL) {
        if (aml_uuid_parse(aml_str_of(value), &id) != 0) {
            amld_config_fault(r, section, "subscription",
                              "\"%s\" is not a UUID", value);
        } else {
            w->subscription = amld_value_lower(amld_config_copy(r, value));
        }
    }

    w->resource_group =
        amld_config_name(r, section, "resource_group", 1, 90, "-._()");
    w->location = amld_config_name(r, section, "location", 1, 64, "-");
    w->share = amld_config_path(r, section, "share");

    if (w->name == NULL || w->subscription == NULL ||
        w->resource_group == NULL) {
        return;
    }

    if (asprintf(&w->id, WORKSPACE_ID, w->subscription, w->resource_group,
                 w->name) < 0) {
        w->id = NULL;
        amld_config_fault(r, section, "name", "no memory");
    }
}


static void
config_application(amld_config_reader_t *r, cfg_t *section, amld_config_t *c)
{
    amld_application_config_t *a = &c->applications[c->application_count++];
    const amld_engine_t *engine;
    struct stat st;

    a->name = amld_config_copy(r, cfg_title(section));

    if (aml_application_by_name(aml_str_of(cfg_title(section))) == NULL) {
        amld_config_fault(r, section, "name", "there is no such application");
    }

    a->program = amld_config_path(r, section, "program");
    engine = c->engine != NULL ? amld_engine_find(c->engine) : NULL;
    if (a->program == NULL || (engine != NULL && engine->inside != NULL)) {
        /* the latter is a path inside, where it is not known what there is */
        return;
    }

    if (stat(a->program, &st) != 0) {
        amld_config_fault(r, section, "program", "%s: %s", a->program,
                          strerror(errno));
    } else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0) {
        amld_config_fault(r, section, "program", "%s: not an executable file",
                          a->program);
    }
}


static void
config_sections(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    unsigned i, workspaces, applications, issuers;

    workspaces = cfg_size(cfg, "workspace");
    applications = cfg_size(cfg, "application");
    issuers = cfg_size(cfg, "issuer");

    if (workspaces == 0) {
        amld_config_fault(r, cfg, "workspace", "there must be one at least");
    }

    c->workspaces = calloc(workspaces + 1, sizeof(*c->workspaces));
    c->share_full = calloc(workspaces + 1, sizeof(*c->share_full));
    c->applications = calloc(applications + 1, sizeof(*c->applications));
    c->issuers = calloc(issuers + 1, sizeof(*c->issuers));
    if (c->workspaces == NULL || c->share_full == NULL ||
        c->applications == NULL || c->issuers == NULL) {
        amld_config_fault(r, cfg, "workspace", "no memory");
        return;
    }

    for (i = 0; i < workspaces; i++) {
        config_workspace(r, cfg_getnsec(cfg, "workspace", i), c);
    }
    amld_config_shares(r, cfg, c);

    for (i = 0; i < applications; i++) {
        config_application(r, cfg_getnsec(cfg, "application", i), c);
    }

    for (i = 0; i < issuers; i++) {
        amld_config_issuer(r, cfg_getnsec(cfg, "issuer", i), &c->issuers[i]);
        c->issuer_count++;
    }
    amld_config_issuers_check(r, cfg, c);

    amld_config_computes(r, cfg, c);

    if (cfg_size(cfg, "pam") > 0) {
        c->pam = amld_config_pam(r, cfg_getsec(cfg, "pam"));
    }

    c->podman = amld_config_podman(r, cfg_getsec(cfg, "podman"),
                                   c->engine != NULL &&
                                       strcmp(c->engine, "podman") == 0);

    c->local_sign_in = cfg_getbool(cfg, "local_sign_in");
}


static void
config_top(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    c->file = amld_config_copy(r, r->file);

    config_hosts(r, cfg, c);

    c->registry = amld_config_path(r, cfg, "registry");
    c->registry_size = amld_config_size(r, cfg, "registry_size");
    config_registry_group(r, cfg, c);

    config_sockets(r, cfg, c);
    config_gateway(r, cfg, c);

    c->state = amld_config_path(r, cfg, "state");
    c->roles = amld_config_shared(r, cfg, "roles", "builtin-roles.json");
    if (c->roles != NULL && access(c->roles, R_OK) != 0) {
        amld_config_fault(r, cfg, "roles", "%s: %s", c->roles, strerror(errno));
    }

    c->engine = amld_config_copy(r, cfg_getstr(cfg, "engine"));
    if (c->engine != NULL && amld_engine_find(c->engine) == NULL) {
        amld_config_fault(r, cfg, "engine", "there is no engine \"%s\"",
                          c->engine);
    }

    amld_config_accounts(r, cfg, c);
    amld_config_samples(r, cfg, c);

    c->audit = amld_config_copy(r, cfg_getstr(cfg, "audit"));
    if (c->audit != NULL && amld_audit_spec_fault(c->audit) != NULL) {
        amld_config_fault(r, cfg, "audit", "\"%s\" %s", c->audit,
                          amld_audit_spec_fault(c->audit));
    }

    c->threads = amld_config_number(r, cfg, "threads", 1, 64);
    c->session_lifetime =
        amld_config_duration(r, cfg, "session_lifetime", 60, 30 * 86400);
    c->session_idle =
        amld_config_duration(r, cfg, "session_idle", 0, 30 * 86400);
    c->device_lifetime =
        amld_config_duration(r, cfg, "device_lifetime", 60, 90 * 86400);
    c->token_lifetime =
        amld_config_duration(r, cfg, "token_lifetime", 60, 86400);
    c->personal_token_lifetime = amld_config_duration(
        r, cfg, "personal_token_lifetime", 86400, 3650 * 86400);
    c->key_lifetime =
        amld_config_duration(r, cfg, "key_lifetime", 60, 400 * 86400);
    c->backoff_account = amld_config_number(r, cfg, "backoff_account", 1, 1000);
    c->backoff_address =
        amld_config_number(r, cfg, "backoff_address", 1, 1000000);
    c->backoff_first = amld_config_duration(r, cfg, "backoff_first", 1, 3600);
    c->backoff_most = amld_config_duration(r, cfg, "backoff_most", 1, 86400);
    c->start_timeout = amld_config_duration(r, cfg, "start_timeout", 1, 3600);
    c->stop_timeout = amld_config_duration(r, cfg, "stop_timeout", 1, 3600);
    c->job_log_max = amld_config_size(r, cfg, "job_log_max");
    c->job_queue = amld_config_number(r, cfg, "job_queue", 1, 100000);
    c->job_history = amld_config_number(r, cfg, "job_history", 1, 10000000);
    c->job_history_size = amld_config_size(r, cfg, "job_history_size");
    c->job_keep = amld_config_duration(r, cfg, "job_keep", 0, 3650 * 86400);
}


/* ---- the file ---- */

static int
config_openable(amld_config_reader_t *r)
{
    struct stat st;
    char *path, *real;

    /* libconfuse's scanner ends the process when a read fails */
    if (stat(r->file, &st) != 0 || access(r->file, R_OK) != 0) {
        fprintf(stderr, "%s: %s\n", r->file, strerror(errno));
        return -1;
    }

    if (!S_ISREG(st.st_mode)) {
        fprintf(stderr, "%s: not a regular file\n", r->file);
        return -1;
    }

    real = realpath(r->file, NULL);
    if (real == NULL) {
        fprintf(stderr, "%s: %s\n", r->file, strerror(errno));
        return -1;
    }

    path = dirname(real);
    r->directory = amld_config_copy(r, strcmp(path, "/") == 0 ? "" : path);
    free(real);

    return r->directory != NULL ? 0 : -1;
}


static void
config_watch(cfg_t *cfg)
{
    static const char *const nested[] = {"workspace|subscription",
                                         "workspace|resource_group",
                                         "workspace|location",
                                         "workspace|share",
                                         "application|program",
                                         "pam|service",
                                         "pam|directory",
                                         "pam|allowed_groups",
                                         "podman|program",
                                         "podman|runtime",
                                         "podman|image",
                                         "podman|uid_base",
                                         "podman|pids",
                                         "podman|gpu",
                                         "podman|host_ports",
                                         "podman|images",
                                         "podman|timeout",
                                         "size|family",
                                         "size|cores",
                                         "size|memory",
                                         "size|gpus",
                                         "quota|limit"};
    char name[64];
    size_t i;

    for (i = 0; config_options[i].name != NULL; i++) {
        cfg_set_validate_func(cfg, config_options[i].name, amld_config_note);
    }

    for (i = 0; i < sizeof(nested) / sizeof(nested[0]); i++) {
        cfg_set_validate_func(cfg, nested[i], amld_config_note);
    }

    for (i = 0; amld_config_issuer_options[i].name != NULL; i++) {
        (void) snprintf(name, sizeof(name), "issuer|%s",
                        amld_config_issuer_options[i].name);
        cfg_set_validate_func(cfg, name, amld_config_note);
    }
}


amld_config_t *
amld_config_read(const char *file)
{
    amld_config_reader_t reader = {.file = file};
    amld_config_t *c = NULL;
    cfg_t *cfg = NULL;
    char *text = NULL, deep[512];
    int rc;

    if (config_openable(&reader) != 0) {
        return NULL;
    }

    amld_config_reader = &reader;

    c = calloc(1, sizeof(*c));
    cfg = cfg_init(config_options, CFGF_NONE);
    if (c == NULL || cfg == NULL) {
        fprintf(stderr, "%s: no memory\n", file);
        reader.faults++;
        goto done;
    }

    cfg_set_error_function(cfg, amld_config_error);
    config_watch(cfg);

    text = amld_config_text(file);
    if (text == NULL) {
        fprintf(stderr, "%s: %s\n", file, strerror(errno));
        reader.faults++;
        goto done;
    }

    rc = cfg_parse_buf(cfg, text);
    if (rc != CFG_SUCCESS) {
        if (reader.faults == 0) {
            amld_config_fault_line(&reader,
                                   rc == CFG_PARSE_ERROR ? cfg->line : 0,
                                   "can't be understood");
        }
        goto done;
    }

    config_top(&reader, cfg, c);
    config_sections(&reader, cfg, c);

    if (reader.faults == 0 && amld_paths_check(c, deep, sizeof(deep)) != 0) {
        amld_config_fault(&reader, cfg, "state", "%s", deep);
    }

done:

    amld_config_reader = NULL;
    free(text);
    free(reader.notes);
    free(reader.directory);
    if (cfg != NULL) {
        cfg_free(cfg);
    }

    if (reader.faults != 0) {
        amld_config_free(c);
        return NULL;
    }

    return c;
}


void
amld_config_free(amld_config_t *c)
{
    size_t i;

    if (c == NULL) {
        return;
    }

    for (i = 0; i < c->workspace_count; i++) {
        free(c->workspaces[i].name);
        free(c->workspaces[i].subscription);
        free(c->workspaces[i].resource_group);
        free(c->workspaces[i].location);
        free(c->workspaces[i].share);
        free(c->workspaces[i].id);
    }

    for (i = 0; i < c->application_count; i++) {
        free(c->applications[i].name);
        free(c->applications[i].program);
    }

    for (i = 0; i < c->issuer_count; i++) {
        amld_config_issuer_clear(&c->issuers[i]);
    }

    amld_config_computes_free(c);
    free(c->workspaces);
    free(c->applications);
    amld_config_pam_free(c->pam);
    amld_config_podman_free(c->podman);
    free(c->issuers);
    free(c->file);
    free(c->registry);
    free(c->registry_group);
    free(c->listen);
    free(c->activity);
    free(c->gateway_uids);
    free(c->state);
    free(c->studio);
    free(c->studio_host);
    free(c->apps);
    free(c->apps_port);
    free(c->roles);
    free(c->share_full);
    free(c->engine);
    free(c->audit);
    free(c);
}


const amld_workspace_t *
amld_workspace_find(const amld_config_t *config, const char *subscription,
                    const char *resource_group, const char *name)
{
    const amld_workspace_t *w;
    size_t i;

    for (i = 0; i < config->workspace_count; i++) {
        w = &config->workspaces[i];
        if (strcasecmp(w->subscription, subscription) == 0 &&
            strcasecmp(w->resource_group, resource_group) == 0 &&
            strcasecmp(w->name, name) == 0) {
            return w;
        }
    }

    return NULL;
}
