#include "computes/config/config_pam.h"

#include <stdlib.h>
#include <string.h>

#include "auth/pam.h"
#include "computes/config/config_value.h"


cfg_opt_t amld_config_pam_options[] = {
    CFG_STR("service", "aml", CFGF_NONE),
    CFG_STR("directory", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("allowed_groups", "{}", CFGF_NONE), CFG_END()};


/* That a group is there today says nothing of tomorrow; that it has a name
 * does. */
static void
pam_groups(amld_config_reader_t *r, cfg_t *section, amld_pam_config_t *pam)
{
    unsigned i, n = cfg_size(section, "allowed_groups");
    const char *name;

    pam->groups = calloc(n + 1, sizeof(*pam->groups));
    if (pam->groups == NULL) {
        amld_config_fault(r, section, "allowed_groups", "no memory");
        return;
    }

    for (i = 0; i < n; i++) {
        name = cfg_getnstr(section, "allowed_groups", i);
        if (*name == '\0') {
            amld_config_fault(r, section, "allowed_groups",
                              "has an empty name");
        }
        pam->groups[pam->group_count++] = amld_config_copy(r, name);
    }
}


amld_pam_config_t *
amld_config_pam(amld_config_reader_t *r, cfg_t *section)
{
    amld_pam_config_t *pam = calloc(1, sizeof(*pam));

    if (pam == NULL) {
        amld_config_fault(r, section, "service", "no memory");
        return NULL;
    }

    pam->service = amld_config_name(r, section, "service", 1, 64, "._-");
    if (cfg_getstr(section, "directory") != NULL) {
        pam->directory = amld_config_path(r, section, "directory");
    }
    pam_groups(r, section, pam);

    if (pam->service != NULL && !amld_pam_service_exists(pam)) {
        amld_config_fault(r, section, "service",
                          "there is no PAM service \"%s\" in %s", pam->service,
                          pam->directory != NULL ? pam->directory
                                                 : "/etc/pam.d");
    }

    return pam;
}


void
amld_config_pam_free(amld_pam_config_t *pam)
{
    size_t i;

    if (pam == NULL) {
        return;
    }

    for (i = 0; i < pam->group_count; i++) {
        free(pam->groups[i]);
    }
    free(pam->groups);
    free(pam->service);
    free(pam->directory);
    free(pam);
}
