#include "computes/config/config_podman.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "computes/config/config_value.h"
#include "computes/engines/podman.h"

/* Above those of the machine's own accounts and of what systemd and subuid(5)
 * give away, below what some file systems and NFS servers take for signed. */
#define PODMAN_UID_LEAST 65536
#define PODMAN_UID_MOST 2147418112 /* 2^31 - 65536 */

cfg_opt_t amld_config_podman_options[] = {
    CFG_STR("program", "/usr/bin/podman", CFGF_NONE),
    CFG_STR("runtime", "auto", CFGF_NONE),
    CFG_STR("image", "localhost/aml-instance", CFGF_NONE),
    CFG_STR("uid_base", "1879048192", CFGF_NONE),
    CFG_STR("pids", "4096", CFGF_NONE),
    CFG_STR("gpu", "nvidia.com/gpu", CFGF_NONE),
    CFG_STR_LIST("host_ports", "{}", CFGF_NONE),
    CFG_STR_LIST("images", "{}", CFGF_NONE),
    CFG_STR("timeout", "30s", CFGF_NONE),
    CFG_END()};


static int
podman_is_word(const char *text, const char *marks)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t i;

    for (i = 0; text[i] != '\0'; i++) {
        if (strchr(letters, text[i]) == NULL &&
            (i == 0 || strchr(marks, text[i]) == NULL)) {
            return 0;
        }
    }

    return i > 0 && i < 256;
}


static void
podman_ports(amld_config_reader_t *r, cfg_t *section, amld_podman_config_t *p)
{
    unsigned i, n = cfg_size(section, "host_ports");
    const char *text;
    uint64_t port;

    p->host_ports = calloc(n + 1, sizeof(*p->host_ports));
    if (p->host_ports == NULL) {
        amld_config_fault(r, section, "host_ports", "no memory");
        return;
    }

    for (i = 0; i < n; i++) {
        text = cfg_getnstr(section, "host_ports", i);
        if (amld_value_scaled(text, "", NULL, &port) != 0 || port < 1 ||
            port > 65535) {
            amld_config_fault(r, section, "host_ports",
                              "\"%s\" is not a port from 1 to 65535", text);
            continue;
        }
        p->host_ports[p->host_port_count++] = (unsigned) port;
    }
}


static void
podman_images(amld_config_reader_t *r, cfg_t *section, amld_podman_config_t *p)
{
    char *text;
    size_t count = 0;
    unsigned i, n = cfg_size(section, "images");

    p->images = calloc(n + 1, sizeof(*p->images));
    if (p->images == NULL) {
        amld_config_fault(r, section, "images", "no memory");
        return;
    }

    for (i = 0; i < n; i++) {
        text = amld_config_copy(r, cfg_getnstr(section, "images", i));
        if (text == NULL) {
            return;
        }
        p->images[count++] = text;
        if (strcmp(text, "*") != 0 && !podman_is_word(text, "-._/:@*")) {
            amld_config_fault(r, section, "images",
                              "\"%s\" is not the name of an image, in which * "
                              "is for anything",
                              text);
        }
    }
}


static void
podman_runtime(amld_config_reader_t *r, cfg_t *section, int used,
               amld_podman_config_t *p)
{
    const char *value = amld_config_string(r, section, "runtime");

    if (value == NULL) {
        return;
    }

    if (*value == '/') {
        p->runtime = amld_config_path(r, section, "runtime");
        if (used && p->runtime != NULL && access(p->runtime, X_OK) != 0) {
            amld_config_fault(r, section, "runtime", "%s: %s", p->runtime,
                              strerror(errno));
        }
        return;
    }

    if (strcmp(value, "auto") != 0 && strcmp(value, "crun") != 0 &&
        strcmp(value, "runc") != 0) {
        amld_config_fault(r, section, "runtime",
                          "\"%s\" is not auto, crun, runc or a path", value);
    }
    p->runtime = amld_config_copy(r, value);
}


amld_podman_config_t *
amld_config_podman(amld_config_reader_t *r, cfg_t *section, int used)
{
    amld_podman_config_t *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        amld_config_fault(r, section, "program", "no memory");
        return NULL;
    }

    p->program = amld_config_path(r, section, "program");
    podman_runtime(r, section, used, p);

    p->image = amld_config_copy(r, cfg_getstr(section, "image"));
    if (p->image != NULL && !podman_is_word(p->image, "-._/:@")) {
        amld_config_fault(r, section, "image",
                          "\"%s\" is not the name of an image", p->image);
    }

    p->uid_base = amld_config_number(r, section, "uid_base", PODMAN_UID_LEAST,
                                     PODMAN_UID_MOST);
    p->pids = amld_config_number(r, section, "pids", 64, 4194304);

    p->gpu = amld_config_copy(r, cfg_getstr(section, "gpu"));
    if (p->gpu != NULL &&
        (!podman_is_word(p->gpu, "-._/") || strchr(p->gpu, '/') == NULL)) {
        amld_config_fault(r, section, "gpu",
                          "\"%s\" is not a kind of CDI devices such as "
                          "nvidia.com/gpu",
                          p->gpu);
    }

    podman_ports(r, section, p);
    podman_images(r, section, p);
    p->timeout = amld_config_duration(r, section, "timeout", 1, 3600);

    if (!used) {
        return p;
    }

    if (geteuid() != 0) {
        amld_config_fault(r, section, "program",
                          "the engine podman needs amld to be root: whoever is "
                          "root in an instance is an account of their own "
                          "outside, which only root can make so");
    }

    if (p->program != NULL && access(p->program, X_OK) != 0) {
        amld_config_fault(r, section, "program",
                          "%s: %s; the engine podman needs the package podman",
                          p->program, strerror(errno));
    }

    return p;
}


void
amld_config_podman_free(amld_podman_config_t *p)
{
    size_t i;

    if (p == NULL) {
        return;
    }

    free(p->program);
    free(p->runtime);
    free(p->image);
    free(p->gpu);
    free(p->host_ports);
    for (i = 0; p->images != NULL && p->images[i] != NULL; i++) {
        free(p->images[i]);
    }
    free(p->images);
    free(p);
}
