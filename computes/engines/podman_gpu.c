/*
 * GPUs, by CDI: the host describes its devices in /etc/cdi or /var/run/cdi,
 * where podman looks, too.  A device belongs to one instance as long as that
 * has a container, whether it runs or not: quota counts the same way.
 */

#include "computes/engines/podman.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "computes/engines/podman_run.h"

#define GPU_MAX 64 /* of a host */
#define GPU_SPEC 1048576

static int gpu_of_host(const amld_podman_spec_t *s, unsigned char *there);
static int gpu_of_file(const amld_podman_spec_t *s, const char *path,
                       unsigned char *there);
static int gpu_taken(const amld_podman_spec_t *s, unsigned char *taken,
                     char *err, size_t size);


int
amld_podman_gpus(const amld_podman_spec_t *s, char *text, size_t size,
                 char *err, size_t err_size)
{
    unsigned char there[GPU_MAX] = {0}, taken[GPU_MAX] = {0};
    int i, n, have, chosen;

    have = gpu_of_host(s, there);
    if (have == 0) {
        snprintf(err, err_size,
                 "this size has %lld GPUs, and the host describes no device "
                 "%s=0 in /etc/cdi or /var/run/cdi; for NVIDIA's: nvidia-ctk "
                 "cdi generate --output=/etc/cdi/nvidia.yaml",
                 (long long) s->gpus, s->gpu);
        return -1;
    }

    if (gpu_taken(s, taken, err, err_size) != 0) {
        return -1;
    }

    text[0] = '\0';
    for (i = 0, n = 0, chosen = 0; i < GPU_MAX && chosen < s->gpus; i++) {
        if (there[i] && !taken[i]) {
            n += snprintf(text + n, size - (size_t) n, "%s%d",
                          chosen > 0 ? "," : "", i);
            if ((size_t) n >= size) {
                break;
            }
            chosen++;
        }
    }

    if (chosen < s->gpus) {
        snprintf(err, err_size,
                 "this size has %lld GPUs; the host has %d, and %d of them are "
                 "free: the others are other instances', until these are "
                 "deleted",
                 (long long) s->gpus, have, chosen);
        return -1;
    }

    return 0;
}


static int
gpu_of_host(const amld_podman_spec_t *s, unsigned char *there)
{
    static const char *const directories[] = {"/etc/cdi", "/var/run/cdi"};
    char path[PATH_MAX];
    DIR *dir;
    size_t k;
    int n = 0;
    struct dirent *entry;
    const char *end;

    for (k = 0; k < 2; k++) {
        dir = opendir(directories[k]);
        if (dir == NULL) {
            continue;
        }
        while ((entry = readdir(dir)) != NULL) {
            end = strrchr(entry->d_name, '.');
            if (end != NULL &&
                (strcmp(end, ".yaml") == 0 || strcmp(end, ".json") == 0)) {
                snprintf(path, sizeof(path), "%s/%s", directories[k],
                         entry->d_name);
                n += gpu_of_file(s, path, there);
            }
        }
        closedir(dir);
    }

    return n;
}


/* Names of devices that are numbers, in JSON as in YAML as it is generated:
 * the rest of a specification is podman's to read. */
static int
gpu_of_file(const amld_podman_spec_t *s, const char *path, unsigned char *there)
{
    char *text, *p, *end;
    long number;
    size_t length;
    int n = 0;
    FILE *f;

    text = malloc(GPU_SPEC);
    f = fopen(path, "re");
    if (text == NULL || f == NULL) {
        free(text);
        if (f != NULL) {
            fclose(f);
        }
        return 0;
    }
    length = fread(text, 1, GPU_SPEC - 1, f);
    text[length] = '\0';
    fclose(f);

    if (strstr(text, s->gpu) == NULL) {
        free(text);
        return 0;
    }

    for (p = text; (p = strstr(p, "name")) != NULL;) {
        p += 4;
        p += strspn(p, "\"'");
        p += strspn(p, " ");
        if (*p++ != ':') {
            continue;
        }
        p += strspn(p, " \"'");
        number = strtol(p, &end, 10);
        if (end != p && strchr("\"' \r\n,}", *end) != NULL && number >= 0 &&
            number < GPU_MAX && !there[number]) {
            there[number] = 1;
            n++;
        }
    }

    free(text);

    return n;
}


static int
gpu_taken(const amld_podman_spec_t *s, unsigned char *taken, char *err,
          size_t size)
{
    char out[16384], *p, *end;
    long number;
    amld_podman_args_t a;

    /* Of every amld on this machine. */
    amld_podman_args(&a, s->podman);
    amld_podman_arg(&a, "ps");
    amld_podman_arg(&a, "--all");
    amld_podman_arg(&a, "--filter=label=aml.gpus");
    amld_podman_arg(&a, "--format={{index .Labels \"aml.gpus\"}}");

    if (amld_podman_run(&a, NULL, s->timeout, out, sizeof(out), err, size) !=
        0) {
        return -1;
    }

    for (p = out; *p != '\0'; p = end) {
        number = strtol(p, &end, 10);
        if (end == p) {
            end++;
        } else if (number >= 0 && number < GPU_MAX) {
            taken[number] = 1;
        }
    }

    return 0;
}
