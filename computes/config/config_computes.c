/*
 * The sections "size" and "quota" of the configuration, and whom instances run
 * as.
 */

#include "computes/config/config_computes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "computes/config/config_value.h"
#include "computes/instances/quota.h"
#include "computes/instances/sizes.h"

#define CONFIG_CORES 65536
#define CONFIG_GPUS 64
#define MIB ((size_t) 1024 * 1024)

cfg_opt_t amld_config_size_options[] = {CFG_STR("family", NULL, CFGF_NODEFAULT),
                                        CFG_STR("cores", NULL, CFGF_NODEFAULT),
                                        CFG_STR("memory", NULL, CFGF_NODEFAULT),
                                        CFG_STR("gpus", "0", CFGF_NONE),
                                        CFG_END()};

cfg_opt_t amld_config_quota_options[] = {CFG_STR("limit", NULL, CFGF_NODEFAULT),
                                         CFG_END()};


static void
config_size(amld_config_reader_t *r, cfg_t *section, amld_config_t *c)
{
    size_t i;
    const char *title;
    amld_size_t *s;

    s = &c->sizes[c->size_count];
    title = cfg_title(section) != NULL ? cfg_title(section) : "";

    if (!amld_value_is_name(title, 1, AMLD_SIZE_NAME, "_-")) {
        amld_config_fault(r, section, "name",
                          "is not 1 to %d letters, digits and \"_-\", a letter "
                          "or digit first",
                          AMLD_SIZE_NAME);
    }

    for (i = 0; i < c->size_count; i++) {
        if (c->sizes[i].name != NULL &&
            strcasecmp(c->sizes[i].name, title) == 0) {
            amld_config_fault(r, section, "name",
                              "differs from another size's in case only");
        }
    }

    c->size_count++;
    s->name = amld_config_copy(r, title);
    s->family = amld_config_name(r, section, "family", 1, AMLD_SIZE_NAME, "_-");
    if (s->family != NULL && strcasecmp(s->family, AMLD_QUOTA_TOTAL) == 0) {
        amld_config_fault(r, section, "family",
                          "\"%s\" is the quota of all families together",
                          AMLD_QUOTA_TOTAL);
    }
    s->cores = amld_config_number(r, section, "cores", 1, CONFIG_CORES);
    s->memory = (unsigned) (amld_config_size(r, section, "memory") / MIB);
    s->gpus = amld_config_number(r, section, "gpus", 0, CONFIG_GPUS);
}


static void
config_quota(amld_config_reader_t *r, cfg_t *section, amld_config_t *c)
{
    size_t i;
    const char *title, *spelling;
    amld_quota_config_t *q;

    q = &c->quotas[c->quota_count];
    title = cfg_title(section) != NULL ? cfg_title(section) : "";

    for (i = 0; i < c->quota_count; i++) {
        if (c->quotas[i].name != NULL &&
            strcasecmp(c->quotas[i].name, title) == 0) {
            amld_config_fault(r, section, "name",
                              "differs from another quota's in case only");
        }
    }

    c->quota_count++;
    q->name = amld_config_copy(r, title);

    /* a family that failed its own check has no name to compare with */
    if (strcasecmp(title, AMLD_QUOTA_TOTAL) != 0 && r->faults == 0 &&
        !amld_size_family(c, title, &spelling)) {
        amld_config_fault(r, section, "name",
                          "no size has that family; it is \"%s\" for all "
                          "families together",
                          AMLD_QUOTA_TOTAL);
    }

    q->limit =
        amld_config_number(r, section, "limit", 0, (unsigned) AMLD_QUOTA_MOST);
}


void
amld_config_computes(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    unsigned i, sizes, quotas;

    sizes = cfg_size(cfg, "size");
    quotas = cfg_size(cfg, "quota");

    c->sizes = calloc(sizes + 1, sizeof(*c->sizes));
    c->quotas = calloc(quotas + 1, sizeof(*c->quotas));
    if (c->sizes == NULL || c->quotas == NULL) {
        amld_config_fault(r, cfg, "size", "no memory");
        return;
    }

    for (i = 0; i < sizes; i++) {
        config_size(r, cfg_getnsec(cfg, "size", i), c);
    }

    for (i = 0; i < quotas; i++) {
        config_quota(r, cfg_getnsec(cfg, "quota", i), c);
    }
}


void
amld_config_accounts(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    const char *value;

    c->unix_accounts_least =
        amld_config_number(r, cfg, "unix_accounts_least", 1, INT32_MAX);

    value = cfg_getstr(cfg, "unix_accounts");

    /* Other engines have accounts of their own making. */
    if (c->engine != NULL && strcmp(c->engine, "process") != 0) {
        return;
    }

    if (value == NULL) {
        c->unix_accounts = geteuid() == 0;

    } else if (strcmp(value, "creator") == 0) {
        c->unix_accounts = 1;
        if (geteuid() != 0) {
            amld_config_fault(r, cfg, "unix_accounts",
                              "\"creator\" needs amld to be root");
        }

    } else if (strcmp(value, "amld") != 0) {
        amld_config_fault(r, cfg, "unix_accounts",
                          "\"%s\" is neither \"creator\" nor \"amld\"", value);
    }
}


void
amld_config_samples(amld_config_reader_t *r, cfg_t *cfg, amld_config_t *c)
{
    const char *value;
    struct stat st;

    value = cfg_getstr(cfg, "samples");

    if (value == NULL || *value != '\0') {
        c->samples = amld_config_shared(r, cfg, "samples", "samples");
        if (value != NULL && c->samples != NULL &&
            (stat(c->samples, &st) != 0 || !S_ISDIR(st.st_mode))) {
            amld_config_fault(r, cfg, "samples", "%s: not a directory",
                              c->samples);
        }
    }
}


void
amld_config_computes_free(amld_config_t *c)
{
    size_t i;

    for (i = 0; i < c->size_count; i++) {
        free(c->sizes[i].name);
        free(c->sizes[i].family);
    }

    for (i = 0; i < c->quota_count; i++) {
        free(c->quotas[i].name);
    }

    free(c->sizes);
    free(c->quotas);
    free(c->samples);
}
