#include "computes/instances/sizes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DSV2 (char *) "standardDSv2Family"
#define ESV3 (char *) "standardESv3Family"
#define FSV2 (char *) "standardFSv2Family"
#define NC (char *) "standardNCFamily"
#define NCSV3 (char *) "standardNCSv3Family"

/* Memory in MiB.  The first is the default. */
static const amld_size_t sizes_built_in[] = {
    /* for most things */
    {(char *) "STANDARD_DS3_V2", DSV2, 4, 14336, 0},
    {(char *) "STANDARD_DS1_V2", DSV2, 1, 3584, 0},
    {(char *) "STANDARD_DS2_V2", DSV2, 2, 7168, 0},
    {(char *) "STANDARD_DS4_V2", DSV2, 8, 28672, 0},
    {(char *) "STANDARD_DS5_V2", DSV2, 16, 57344, 0},
    /* for computing */
    {(char *) "STANDARD_F2S_V2", FSV2, 2, 4096, 0},
    {(char *) "STANDARD_F4S_V2", FSV2, 4, 8192, 0},
    {(char *) "STANDARD_F8S_V2", FSV2, 8, 16384, 0},
    {(char *) "STANDARD_F16S_V2", FSV2, 16, 32768, 0},
    /* for much memory */
    {(char *) "STANDARD_DS11_V2", DSV2, 2, 14336, 0},
    {(char *) "STANDARD_DS12_V2", DSV2, 4, 28672, 0},
    {(char *) "STANDARD_DS13_V2", DSV2, 8, 57344, 0},
    {(char *) "STANDARD_DS14_V2", DSV2, 16, 114688, 0},
    {(char *) "STANDARD_E4S_V3", ESV3, 4, 32768, 0},
    {(char *) "STANDARD_E8S_V3", ESV3, 8, 65536, 0},
    {(char *) "STANDARD_E16S_V3", ESV3, 16, 131072, 0},
    /* with graphics processors */
    {(char *) "STANDARD_NC6", NC, 6, 57344, 1},
    {(char *) "STANDARD_NC12", NC, 12, 114688, 2},
    {(char *) "STANDARD_NC24", NC, 24, 229376, 4},
    {(char *) "STANDARD_NC6S_V3", NCSV3, 6, 114688, 1},
    {(char *) "STANDARD_NC12S_V3", NCSV3, 12, 229376, 2},
    {(char *) "STANDARD_NC24S_V3", NCSV3, 24, 458752, 4},
};


const amld_size_t *
amld_sizes(const amld_config_t *config, size_t *count)
{
    if (config->size_count != 0) {
        *count = config->size_count;
        return config->sizes;
    }

    *count = sizeof(sizes_built_in) / sizeof(sizes_built_in[0]);

    return sizes_built_in;
}


const amld_size_t *
amld_size_find(const amld_config_t *config, const char *name)
{
    size_t i, n;
    const amld_size_t *sizes;

    sizes = amld_sizes(config, &n);

    if (name == NULL) {
        return sizes;
    }

    for (i = 0; i < n; i++) {
        if (strcasecmp(sizes[i].name, name) == 0) {
            return &sizes[i];
        }
    }

    return NULL;
}


int
amld_size_family(const amld_config_t *config, const char *family,
                 const char **spelling)
{
    size_t i, n;
    const amld_size_t *sizes;

    sizes = amld_sizes(config, &n);

    for (i = 0; i < n; i++) {
        if (strcasecmp(sizes[i].family, family) == 0) {
            *spelling = sizes[i].family;
            return 1;
        }
    }

    return 0;
}


void
amld_size_names(const amld_config_t *config, char *text, size_t room)
{
    size_t i, n, used, len;
    const amld_size_t *sizes;

    static const char cut[] = ", …";

    sizes = amld_sizes(config, &n);
    used = 0;
    text[0] = '\0';

    for (i = 0; i < n; i++) {
        len = strlen(sizes[i].name) + (i != 0 ? 2 : 0);
        if (used + len + sizeof(cut) > room) {
            snprintf(text + used, room - used, "%s", cut);
            return;
        }
        used += (size_t) snprintf(text + used, room - used, "%s%s",
                                  i != 0 ? ", " : "", sizes[i].name);
    }
}


int
amld_size_freeze(json_t *doc, const amld_size_t *size)
{
    return json_object_set_new(
        doc, "size",
        json_pack("{s:s,s:i,s:i,s:i}", "family", size->family, "cores",
                  (int) size->cores, "memory", (int) size->memory, "gpus",
                  (int) size->gpus));
}
