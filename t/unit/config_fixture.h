/*
 * Configurations as text, and what amld says of them.
 */

#ifndef AML_TEST_CONFIG_FIXTURE_H
#define AML_TEST_CONFIG_FIXTURE_H

#include "t/unit/scratch.h"

#include <fcntl.h>

#include "computes/config/config.h"

#define WORKSPACE                                                              \
    "workspace \"demo\" {\n"                                                   \
    "  subscription = \"11111111-2222-3333-4444-555555555555\"\n"              \
    "  resource_group = \"rg\"\n"                                              \
    "  share = \"/srv/share\"\n"                                               \
    "}\n"
#define HOSTS                                                                  \
    "studio = \"https://aml.localhost:8443\"\n"                                \
    "apps = \"instances.aml.localhost:8443\"\n"
#define REST "roles = \"/dev/null\"\ngateway_uids = {0}\n" WORKSPACE
#define GOOD HOSTS REST


/* Reads `text` as a file; what went to standard error is in `err`. */
static inline amld_config_t *
read_text(scratch_t *s, const char *text, char *err, size_t size)
{
    char path[128], out[128];
    amld_config_t *config;
    int saved, fd;
    ssize_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/amld.conf", s->dir);
    snprintf(out, sizeof(out), "%s/err", s->dir);

    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);

    fflush(stderr);
    saved = dup(STDERR_FILENO);
    fd = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(saved >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);

    config = amld_config_read(path);

    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);

    n = pread(fd, err, size - 1, 0);
    err[n > 0 ? n : 0] = '\0';
    close(fd);

    return config;
}

#endif /* AML_TEST_CONFIG_FIXTURE_H */
